# SPDX-License-Identifier: MIT
"""Dynamic and fixed index files and archive names (spec/index-files.md)."""
from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field

from .errors import OracleError

HEADER_SIZE = 4096
DIDX_MAGIC, FIDX_MAGIC = bytes.fromhex("1c914ea519bab3cd"), bytes.fromhex("2f7f41ed91fd0fcd")
SERVER_CHUNK_SIZE = 4194304  # IDX-049
TYPES = {"didx": "dynamic", "fidx": "fixed", "blob": "blob"}
# IDX-083
ADDED = {"pxar": "didx", "mpxar": "didx", "ppxar": "didx", "pcat1": "didx", "img": "fidx",
         "conf": "blob", "json": "blob", "key": "blob", "log": "blob"}


@dataclass(slots=True)
class Index:
    """An index of either kind: `chunks` are (start, end, digest)."""
    kind: str  # "dynamic" or "fixed"
    uuid: bytes
    ctime: int
    stored_csum: bytes
    csum: bytes  # recomputed (IDX-010, IDX-048)
    size: int
    chunk_size: int = 0
    chunks: list[tuple[int, int, bytes]] = field(default_factory=list)

    def lookup(self, offset: int) -> tuple[int, int] | None:
        """Chunk number and offset inside it (IDX-030, IDX-051); bisection."""
        if offset >= self.size:
            return None
        low, high = 0, len(self.chunks) - 1
        while low != high:
            middle = (low + high) // 2
            if offset < self.chunks[middle][1]:
                high = middle
            else:
                low = middle + 1
        return low, offset - self.chunks[low][0]


def parse(raw: bytes, strict: bool = True, kind: str | None = None) -> Index:
    """Parse; by magic if the kind is not given.

    `strict` adds what readers do not check: stored checksum and reserved bytes.
    """
    if len(raw) < HEADER_SIZE:
        raise OracleError("IDX-014", 0, f"index of {len(raw)} bytes", "too-small")
    if kind is not None and raw[:8] != {"dynamic": DIDX_MAGIC, "fixed": FIDX_MAGIC}.get(kind):
        raise OracleError("IDX-015", 0, f"no magic of a {kind} index: {raw[:8].hex()}", "bad-magic")
    if raw[:8] == DIDX_MAGIC:
        index, reserved = _parse_dynamic(raw), raw[64:HEADER_SIZE]
    elif raw[:8] == FIDX_MAGIC:
        index, reserved = _parse_fixed(raw), raw[80:HEADER_SIZE]
    else:
        raise OracleError("IDX-015", 0, f"unknown magic {raw[:8].hex()}", "bad-magic")
    if strict and index.stored_csum != index.csum:
        raise OracleError("IDX-010" if index.kind == "dynamic" else "IDX-048", 32, "checksum in the header is wrong", "bad-csum")
    if strict and any(reserved):
        raise OracleError("IDX-005", 64, "reserved bytes are not zero", "bad-reserved")
    return index


def _common(raw: bytes, kind: str, size: int) -> Index:
    return Index(kind, raw[8:24], struct.unpack_from("<q", raw, 24)[0], raw[32:64],
                 hashlib.sha256(raw[HEADER_SIZE:]).digest(), size)


def _parse_dynamic(raw: bytes) -> Index:
    body = raw[HEADER_SIZE:]
    if len(body) % 40:
        raise OracleError("IDX-016", len(raw), "length of a partial entry", "bad-file-size")
    if not body:
        raise OracleError("IDX-017", HEADER_SIZE, "no entries", "empty-index")
    index, start = _common(raw, "dynamic", 0), 0
    for number, (end, digest) in enumerate(struct.iter_unpack("<Q32s", body)):
        if end < start:  # IDX-023
            raise OracleError("IDX-023", HEADER_SIZE + 40 * number, f"end {end} after {start}",
                              "decreasing-ends")
        index.chunks.append((start, end, digest))
        start = end
    index.size = start
    return index


def _parse_fixed(raw: bytes) -> Index:
    size, chunk_size = struct.unpack_from("<QQ", raw, 64)
    if chunk_size == 0 or chunk_size & (chunk_size - 1):
        raise OracleError("IDX-056", 72, f"chunk size {chunk_size}", "bad-chunk-size")
    count = -(-size // chunk_size)
    if len(raw) != HEADER_SIZE + 32 * count:
        raise OracleError("IDX-057", len(raw), "file length does not fit the size", "bad-file-size")
    if size == 0:
        raise OracleError("IDX-058", 64, "size 0", "empty-index")
    index = _common(raw, "fixed", size)
    index.chunk_size = chunk_size
    for i in range(count):
        digest = raw[HEADER_SIZE + 32 * i:HEADER_SIZE + 32 * (i + 1)]
        index.chunks.append((i * chunk_size, min((i + 1) * chunk_size, size), digest))
    return index


def build_dynamic(ends: list[tuple[int, bytes]], uuid: bytes, ctime: int) -> bytes:
    """A dynamic index file (IDX-001..010)."""
    body = b"".join(struct.pack("<Q", end) + digest for end, digest in ends)
    return _header(DIDX_MAGIC, uuid, ctime, body, b"") + body


def build_fixed(size: int, chunk_size: int, digests: list[bytes], uuid: bytes, ctime: int) -> bytes:
    """A fixed index file (IDX-040..048)."""
    body = b"".join(digests)
    return _header(FIDX_MAGIC, uuid, ctime, body, struct.pack("<QQ", size, chunk_size)) + body


def _header(magic: bytes, uuid: bytes, ctime: int, body: bytes, more: bytes) -> bytes:
    head = magic + uuid + struct.pack("<q", ctime) + hashlib.sha256(body).digest() + more
    return head.ljust(HEADER_SIZE, b"\0")


def stored_name(name: str) -> str:
    """Stored file name of an archive name (IDX-080, IDX-083, IDX-084)."""
    if name.endswith(DRAFT_HALVES):  # SPL-015
        return name + ".didx"
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        raise OracleError("IDX-083", None, f"no archive type in {name!r}", "bad-name")
    if extension in TYPES:
        return name
    if extension not in ADDED:
        raise OracleError("IDX-083", None, f"unknown archive type in {name!r}", "bad-name")
    return f"{name}.{ADDED[extension]}"


def archive_type(stored: str) -> str:
    return TYPES[stored.rpartition(".")[2]]


def safe_name(name: str) -> bool:
    """IDX-081."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name) is not None


DRAFT_HALVES = (".pxar.meta", ".pxar.pld", ".pxar.data")


def _draft_pair(base: str, present: set[str]) -> list[str]:
    """SPL-010, SPL-014."""
    if base + ".meta.didx" not in present:
        raise OracleError("IDX-094", None, f"no archive {base!r} in the manifest", "not-found")
    payloads = [name for name in (base + ".pld.didx", base + ".data.didx") if name in present]
    if len(payloads) > 1:
        raise OracleError("SPL-014", None, f"two payload archives of {base!r}", "bad-name")
    return [base + ".meta.didx", *payloads]


def resolve(name: str, present: set[str]) -> list[str]:
    """Stored name, or for split archives both halves: metadata, payload (IDX-094, SPL-015)."""
    stored = stored_name(name)
    if stored not in present and stored.endswith(".pxar.didx"):
        base = stored.removesuffix(".didx")
        stored = base.removesuffix(".pxar") + ".mpxar.didx"
        if stored not in present and base + ".meta.didx" in present:
            stored = base + ".meta.didx"
    for half in DRAFT_HALVES:
        if stored.endswith(half + ".didx"):
            return _draft_pair(stored.removesuffix(half + ".didx") + ".pxar", present)
    if stored not in present:
        raise OracleError("IDX-094", None, f"no archive {name!r} in the manifest", "not-found")
    for ending in (".mpxar.didx", ".ppxar.didx"):
        if stored.endswith(ending):
            base = stored.removesuffix(ending)
            return [base + ".mpxar.didx", base + ".ppxar.didx"]
    return [stored]
