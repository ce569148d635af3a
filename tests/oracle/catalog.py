# SPDX-License-Identifier: MIT
"""Catalog files, format pcat1 (spec/catalog.md), and the extended format of a draft (APX-070..082)."""
from __future__ import annotations

from dataclasses import dataclass, field

from .errors import OracleError

MAGIC = bytes.fromhex("91fd60f9c46758d5")  # CAT-001
MAGIC_EXTENDED = bytes.fromhex("ccdf18d3bb7db7e2")  # APX-070
TYPES = frozenset("dflhbcps")
DIRS = "da"
M64 = (1 << 64) - 1
MAX_DEPTH = 4096  # CAT-052


@dataclass(slots=True)
class Item:
    """One catalog entry; `start` and `children` only for directories.

    Extended format: `ctime` and `position` of files (type f) and references (r, the position is one
    in the appendix); `position` of archives (a) is where their appendix starts, or 0.
    """
    type: str
    name: bytes
    size: int = 0
    mtime: int = 0
    ctime: int = 0
    position: int = 0
    start: int = 0
    children: list[Item] = field(default_factory=list)


def get_u64(data: bytes, pos: int) -> tuple[int, int]:
    """Value and following position (CAT-030, CAT-031)."""
    value = 0
    for i in range(10):
        byte = _byte(data, pos + i)
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value & M64, pos + i + 1
    raise OracleError("CAT-031", pos, "number too long", "varint-too-long")


def get_i64(data: bytes, pos: int) -> tuple[int, int]:
    """Value and following position (CAT-034..036)."""
    value = 0
    for i in range(11):
        byte = _byte(data, pos + i)
        if byte == 0:
            value &= M64
            return -value if value < 1 << 63 else value - (1 << 64), pos + i + 1
        if byte < 0x80 and i == 10:  # CAT-036
            break
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            value &= M64
            return value - (1 << 64) if value >> 63 else value, pos + i + 1
    raise OracleError("CAT-034", pos, "number too long", "varint-too-long")


def _byte(data: bytes, pos: int) -> int:
    if pos >= len(data):
        raise OracleError("CAT-045", pos, "entry runs past its table", "eof")
    return data[pos]


def put_u64(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(128 + value % 128)
        value //= 128
    return bytes(out) + bytes([value])


def put_i64(value: int) -> bytes:
    """CAT-037."""
    if value >= 0:
        return put_u64(value)
    out = bytearray(put_u64(-value))
    out[-1] |= 0x80
    return bytes(out) + b"\0"


def is_extended(data: bytes) -> bool:
    return data[:8] == MAGIC_EXTENDED


def parse(data: bytes) -> list[Item]:
    """The root directory's entries with everything below them. Iterative."""
    if len(data) < 16:
        raise OracleError("CAT-041", 0, f"catalog of {len(data)} bytes", "eof")
    if data[:8] not in (MAGIC, MAGIC_EXTENDED):
        raise OracleError("CAT-040", 0, f"unknown magic {data[:8].hex()}", "bad-magic")
    root = Item("d", b"", start=int.from_bytes(data[-8:], "little"))
    left = len(data) - 16  # bytes of tables; more are read only where one is used twice (CAT-002)
    stack = [(root, 0)]
    while stack:
        directory, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise OracleError("CAT-052", directory.start, "too deep", "too-deep")
        directory.children, end = read_table(data, directory.start)
        left -= end - directory.start
        if left < 0:
            raise OracleError("CAT-052", directory.start, "tables used twice", "shared-table")
        if depth and any(child.type == "a" for child in directory.children):  # APX-074
            raise OracleError("APX-074", directory.start, "archive below the root", "bad-entry-type")
        stack += [(child, depth + 1) for child in directory.children if child.type in DIRS]
    return root.children


def read_table(data: bytes, start: int) -> tuple[list[Item], int]:
    """One directory table (CAT-004, CAT-040..047), and where it ends."""
    limit = len(data) - 8
    if not 8 <= start < limit:
        raise OracleError("CAT-041", start, "table outside the file", "eof")
    length, pos = get_u64(data[:limit], start)
    if length == 0:
        raise OracleError("CAT-042", start, "table of length 0", "table-too-small")
    if pos + length > limit:
        raise OracleError("CAT-041", start, "table runs past the end", "eof")
    table = data[:pos + length]
    count, pos = get_u64(table, pos)
    items = []
    for _ in range(count):
        item, pos = read_item(table, pos, start, is_extended(data))
        items.append(item)
    if pos != len(table):
        raise OracleError("CAT-046", pos, f"{len(table) - pos} bytes left over", "trailing-data")
    return items, pos


def read_item(table: bytes, pos: int, start: int, extended: bool = False) -> tuple[Item, int]:
    """One entry of the table that begins at `start` (CAT-010..020, APX-072..074)."""
    kind = chr(_byte(table, pos))
    if kind not in TYPES and not (extended and kind in "ra"):
        raise OracleError("CAT-044", pos, f"unknown entry type {kind!r}", "bad-entry-type")
    length, pos = get_u64(table, pos + 1)
    if length >= 4096:
        raise OracleError("CAT-043", pos, f"name of {length} bytes", "name-too-long")
    if pos + length > len(table):
        raise OracleError("CAT-045", pos, "name runs past its table", "eof")
    item = Item(kind, table[pos:pos + length])
    pos += length
    if kind in "fr":
        item.size, pos = get_u64(table, pos)
        item.mtime, pos = get_i64(table, pos)
        if extended:
            item.ctime, pos = get_i64(table, pos)
            item.position, pos = get_u64(table, pos)
    elif kind in DIRS:
        offset, pos = get_u64(table, pos)
        if not 1 <= offset <= start - 8:  # CAT-020, CAT-047, CAT-048
            raise OracleError("CAT-047", pos, f"directory offset {offset}", "bad-directory-offset")
        item.start = start - offset
        if kind == "a":
            item.position, pos = get_u64(table, pos)
    return item, pos


def build(items: list[Item], extended: bool = False) -> bytes:
    """A catalog with these entries in the root; fills in `start` (CAT-002, CAT-003)."""
    out = bytearray(MAGIC_EXTENDED if extended else MAGIC)
    root = Item("d", b"", children=items)
    stack: list[tuple[Item, int]] = [(root, 0)]
    while stack:  # children first, the table itself last
        directory, done = stack.pop()
        dirs = [child for child in directory.children if child.type in DIRS]
        if done < len(dirs):
            stack += [(directory, done + 1), (dirs[done], 0)]
            continue
        directory.start = len(out)
        body = put_u64(len(directory.children))
        body += b"".join(_put_item(child, directory.start, extended) for child in directory.children)
        out += put_u64(len(body)) + body
    return bytes(out) + root.start.to_bytes(8, "little")


def _put_item(item: Item, start: int, extended: bool) -> bytes:
    out = item.type.encode() + put_u64(len(item.name)) + item.name
    if item.type in "fr":
        out += put_u64(item.size) + put_i64(item.mtime)
        if extended:
            out += put_i64(item.ctime) + put_u64(item.position)
    elif item.type in DIRS:
        out += put_u64(start - item.start)
        if item.type == "a":
            out += put_u64(item.position)
    return out
