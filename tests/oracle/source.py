# SPDX-License-Identifier: MIT
"""Random access byte sources: memory, files, and (in datastore.py) chunked archives."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

BLOCK = 1 << 20


class Source:
    """A sized byte sequence; `read` may be asked for any range and returns what exists of it."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        raise NotImplementedError

    def blocks(self, offset: int, length: int) -> Iterator[bytes]:
        """The range in pieces of at most 1 MiB; ends early if the source does."""
        end = offset + length
        while offset < end:
            piece = self.read(offset, min(BLOCK, end - offset))
            if not piece:
                return
            yield piece
            offset += len(piece)


class BytesSource(Source):
    def __init__(self, data: bytes):
        self.data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset:offset + length]


class FileSource(Source):
    """A file read with pread through a small read-ahead window; nothing else is kept in memory."""

    def __init__(self, path: str | bytes | os.PathLike, window: int = 64 * 1024):
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size
        self.ahead = window
        self.base = 0
        self.window = b""

    def read(self, offset: int, length: int) -> bytes:
        if length > self.ahead:
            return self._pread(offset, length)
        start = offset - self.base
        if start < 0 or start + length > len(self.window):
            self.base, self.window, start = offset, self._pread(offset, self.ahead), 0
        return self.window[start:start + length]

    def _pread(self, offset: int, length: int) -> bytes:
        out = bytearray()
        while len(out) < length:
            piece = os.pread(self.fd, length - len(out), offset + len(out))
            if not piece:
                break
            out += piece
        return bytes(out)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sha256_range(source: Source, offset: int, length: int) -> bytes:
    """SHA-256 of a range of a source."""
    digest = hashlib.sha256()
    for piece in source.blocks(offset, length):
        digest.update(piece)
    return digest.digest()
