# SPDX-License-Identifier: MIT
"""Dynamic chunker (spec/chunker.md): the byte loop, a bulk variant, and the chunk stream.

`Scanner` is the straightforward one. `candidates` computes the same hash for all positions at
once with lanes of one big integer, which makes checking megabytes bearable (CHK-026: the hash
depends on the last 64 bytes only); the tests compare the two.
"""
from __future__ import annotations

import hashlib
import json
import struct
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from .errors import OracleError

WINDOW = 64  # CHK-006
CATALOG_AVG = 524288  # CHK-003
M32 = 0xFFFFFFFF
TABLE_FILE = Path(__file__).resolve().parents[2] / "spec" / "vectors" / "buzhash-table.json"


@lru_cache(maxsize=1)
def table() -> list[int]:
    """Substitution table, with its self check (CHK-020)."""
    values = [int(v, 16) for v in json.loads(TABLE_FILE.read_text())["table_hex"]]
    digest = hashlib.sha256(struct.pack("<256I", *values)).hexdigest()
    if digest != "5b52080d38287da9d2e278466e3e0db7ec98e5e8b226f50612a56fa012b1f660":
        raise OracleError("CHK-020", None, "hash table damaged")
    return values


class Scanner:
    """The plain chunker with the scan contract of CHK-040..045."""

    def __init__(self, avg: int):
        if avg < 256 or avg & (avg - 1):
            raise OracleError("CHK-001", None, f"average {avg}")
        self.min, self.max = avg // 4, avg * 4  # CHK-004
        self.mask, self.limit = 2 * avg - 1, 2 * avg - 3  # CHK-005
        self.ring = bytearray(WINDOW)
        self.h = self.size = 0

    def reset(self, _position: int = 0) -> None:
        self.h = self.size = 0  # CHK-022

    def roll(self, byte: int) -> None:
        """CHK-023..025; `size` then includes the byte."""
        values, slot = table(), self.size & 63
        self.h = (self.h << 1 | self.h >> 31) & M32 ^ values[byte]
        if self.size >= WINDOW:
            self.h ^= values[self.ring[slot]]
        self.ring[slot] = byte
        self.size += 1

    def scan(self, data: bytes) -> int:
        """CHK-030..032; the same as `roll` for each byte, written out for speed."""
        values, ring, h, size = table(), self.ring, self.h, self.size
        low, high = max(self.min, WINDOW + 1), self.max  # CHK-023: no test while the window fills
        mask, limit = self.mask, self.limit
        for count, byte in enumerate(data, 1):
            slot = size & 63
            h = (h << 1 | h >> 31) & M32 ^ values[byte]
            if size >= 64:
                h ^= values[ring[slot]]
            ring[slot] = byte
            size += 1
            if size >= low and (size >= high or (h & mask) >= limit):
                self.reset()
                return count
        self.h, self.size = h, size
        return 0


def cuts(data: bytes, avg: int) -> Iterator[int]:
    """End offsets of all chunks by the byte loop."""
    scanner, pos = Scanner(avg), 0
    while pos < len(data):
        found = scanner.scan(memoryview(data)[pos:])
        pos = pos + found if found else len(data)
        yield pos


# -- bulk variant -----------------------------------------------------------------------------

BLOCK = 1 << 18


@lru_cache(maxsize=64)
def _lanes(value: int, count: int) -> int:
    return int.from_bytes(struct.pack("<I", value) * count, "little")


def _hashes(block: bytes) -> int:
    """Lane n (32 bits) is the hash over block[n-63..n]; lanes below 63 are meaningless."""
    count, values = len(block), table()
    spread = bytearray(4 * count)
    for i in range(4):
        spread[i::4] = block.translate(bytes(v >> 8 * i & 0xFF for v in values))
    h = int.from_bytes(spread, "little")
    for width in (1, 2, 4, 8, 16, 32):  # hash of 2w bytes from two hashes of w bytes (CHK-026)
        r = width % 32
        high = (h & _lanes(M32 >> r, count)) << r
        low = h >> (32 - r) & _lanes((1 << r) - 1, count) if r else 0
        h ^= (high | low) << 32 * width
        h &= (1 << 32 * count) - 1
    return h


def candidates(data: bytes, avg: int) -> list[tuple[int, int]]:
    """(end offset, hash) of every position whose hash cuts for `avg` (CHK-031), ascending.

    Whoever uses a larger average filters by hash: its cut values are among these.
    """
    mask, out = 2 * avg - 1, []
    for start in range(0, len(data), BLOCK):
        before = max(0, start - 63)
        block = data[before:start + BLOCK]
        h = _hashes(block)
        # (h & mask) + 3 carries into the bit above the mask exactly if (h & mask) >= mask - 2
        hit = (h & _lanes(mask, len(block))) + _lanes(3, len(block)) & _lanes(mask + 1, len(block))
        if not hit:
            continue
        found, all_hashes = hit.to_bytes(4 * len(block), "little"), None
        shift = (mask + 1).bit_length() - 1
        needle, lane_byte = bytes([1 << shift % 8]), shift // 8
        pos = found.find(needle)
        while pos >= 0:
            n = pos // 4
            if pos % 4 == lane_byte and before + n >= start and n >= 63:
                all_hashes = all_hashes or h.to_bytes(4 * len(block), "little")
                out.append((before + n + 1, struct.unpack_from("<I", all_hashes, 4 * n)[0]))
            pos = found.find(needle, pos + 1)
    return out


def filtered(found: list[tuple[int, int]], avg: int) -> list[int]:
    """End offsets among candidates that cut for `avg`."""
    return [end for end, h in found if h & (2 * avg - 1) >= 2 * avg - 3]


class FastScanner:
    """Scan contract over a stream whose candidates are known; only lengths of data are used."""

    def __init__(self, avg: int, ends: list[int]):
        self.min, self.max, self.ends = avg // 4, avg * 4, array("Q", ends)
        self.start = self.pos = 0

    def reset(self, position: int) -> None:
        """The next chunk begins at this offset of the scanned stream."""
        self.start = self.pos = position

    def scan(self, data: bytes) -> int:
        stop = self.pos + len(data)
        where = bisect_left(self.ends, max(self.pos + 1, self.start + max(self.min, WINDOW + 1)))
        end = self.ends[where] if where < len(self.ends) else stop + 1
        end = min(end, self.start + self.max)
        if end > stop:
            self.pos = stop
            return 0
        found = end - self.pos
        self.reset(end)
        return found


def fast_cuts(data: bytes, avg: int, found: list[tuple[int, int]] | None = None) -> list[int]:
    """The same as `cuts`, from candidates."""
    scanner = FastScanner(avg, filtered(candidates(data, avg) if found is None else found, avg))
    out, pos, view = [], 0, memoryview(data)
    while pos < len(data):
        step = scanner.scan(view[pos:])
        pos = pos + step if step else len(data)
        out.append(pos)
    return out


class ChunkStream:
    """Driver with suggested and forced boundaries (CHK-060..086).

    Without suggestions and injections it is the plain chunk stream. `result` collects
    ("raw", length, stream end) and ("inject", size, stream end).
    """

    def __init__(self, avg: int, scanner: Scanner | FastScanner | None = None):
        self.scanner = scanner or Scanner(avg)
        self.min, self.max = avg // 4, avg * 4
        self.buffer = bytearray()
        self.scanned = self.consumed = self.raw = 0  # CHK-060; raw = consumed without injections
        self.suggestions: deque[int] = deque()
        self.current: int | None = None
        self.injections: deque[tuple[int, int]] = deque()
        self.pending: tuple[int, int] | None = None
        self.result: list[tuple[str, int, int]] = []

    def suggest(self, boundary: int) -> None:
        self.suggestions.append(boundary)

    def inject(self, boundary: int, size: int) -> None:
        self.injections.append((boundary, size))

    def push(self, data: bytes) -> None:
        """One message from the source (CHK-061, CHK-079)."""
        self.buffer += data
        while self.scanned < len(self.buffer):
            if self.pending is None and self.injections:  # CHK-076
                self.pending = self.injections.popleft()
            found = self.scan()
            end = self.scanned + found if found else len(self.buffer)
            if self.pending is not None and self.pending[0] <= self.consumed + end:
                boundary, size = self.pending
                self.emit(boundary - self.consumed)
                self.scanner.reset(self.raw)
                self.consumed += size
                self.result.append(("inject", size, self.consumed))
                self.pending = None
            elif found:
                self.emit(end)
            else:
                self.scanned = len(self.buffer)

    def emit(self, length: int) -> None:
        del self.buffer[:length]
        self.consumed += length
        self.raw += length
        self.scanned = 0
        self.result.append(("raw", length, self.consumed))

    def scan(self) -> int:
        """Payload chunker (CHK 7.2)."""
        pos, total, base = self.scanned, len(self.buffer), self.consumed
        while True:
            if self.current is None:
                if not self.suggestions:
                    return self.plain()
                self.current = self.suggestions.popleft()
            boundary = self.current
            if boundary < base + pos:
                self.current = None
            elif boundary > base + total:
                return self.plain()
            elif boundary - base < self.min:
                self.current = None
            elif boundary - base > self.max:
                return self.plain()
            else:
                self.current = None
                if boundary - base == pos:
                    return self.plain()
                self.scanner.reset(self.raw + boundary - base)
                return boundary - base - pos

    def plain(self) -> int:
        return self.scanner.scan(memoryview(self.buffer)[self.scanned:].toreadonly())

    def finish(self) -> list[tuple[str, int, int]]:
        """CHK-062, CHK-086."""
        if self.buffer:
            self.emit(len(self.buffer))
        if self.pending or self.injections:
            raise OracleError("CHK-086", self.consumed, "injection queue not fully consumed")
        return self.result
