# SPDX-License-Identifier: MIT
"""Strict sequential parser of pxar archives, version 1 and 2 (spec/pxar-format.md).

Also of the two drafts: split archives without markers and version (spec/draft-split-stream.md) are
taken for such if no FORMAT_VERSION stands at their beginning, and files may be references into an
appendix (spec/draft-appendix.md), which are handed out as the files they lead to.

Rejects everything that no encoder writes and that the facts do not require readers to accept.
Tolerated on purpose: any order of names (PXAR-034), unsorted ACL lists (PXAR-110), garbage in
ENTRY's padding (PXAR-055), ENTRY_V1 (PXAR-062), an explicit FORMAT_VERSION 1 (PXAR-041).
"""
from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from .errors import OracleError
from .pxar_items import (ARCHIVE_ITEM, ATTRIBUTES, CODE, GOODBYE_RECORD, HEADER, LIMITS, NO_MASK,
                         STAT, STAT_V1, Content, Entry, Item, Link, siphash24, tree_order)
from .source import BytesSource, FileSource, Source

KINDS = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "symlink",
         stat.S_IFBLK: "blockdev", stat.S_IFCHR: "chardev", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket"}
# the item that has to end an entry of that kind; None: nothing follows (PXAR-030)
ENDS = {"symlink": "SYMLINK", "blockdev": "DEVICE", "chardev": "DEVICE", "dir": None,
        "fifo": None, "socket": None}
END_ITEMS = ("SYMLINK", "DEVICE", "PAYLOAD", "PAYLOAD_REF")


@dataclass(slots=True)
class Child:
    """What the goodbye table must say about a child: start, hash, allowed sizes."""
    hash: int
    start: int
    sizes: tuple[int, ...]


@dataclass(slots=True)
class Frame:
    """An open directory."""
    entry: Entry
    children: list[Child] = field(default_factory=list)
    names: set[bytes] = field(default_factory=set)


class Reader:
    """Iterates over the entries of an archive; after the iteration the whole archive is checked.

    `lax_refs` accepts payload references that decrease or overlap (PXAR-139); without `payload`
    references are only checked among themselves.
    """

    def __init__(self, archive: Source, payload: Source | None = None, lax_refs: bool = False):
        self.archive = archive
        self.payload = payload
        self.lax_refs = lax_refs
        self.version = 1
        self.explicit_version = False
        self.prelude: bytes | None = None
        self.prologue: list[Item] = []
        self.files: dict[int, bytes] = {}  # FILENAME position -> path, of regular files
        self.consumed = 16  # end of the last referenced payload (PXAR-241)
        self.base = 0  # what the root's tail counts from (PXAR-153, APX-035)
        self.payload_kind = ""  # draft: PAYLOAD or PAYLOAD_REF, whichever came first
        self.appendix = (0, 0)  # start and length of the appendix
        self.places: list[tuple[int, int]] = []  # of files in it

    # -- items ---------------------------------------------------------------------------------

    def header(self, pos: int) -> Item:
        """The item header at `pos`, with every check that needs no context."""
        raw = self.archive.read(pos, 16)
        if len(raw) < 16:
            raise OracleError("PXAR-225", pos, "archive ends where an item is expected", "eof")
        code, size = HEADER.unpack(raw)
        name = ARCHIVE_ITEM.get(code)
        if name is None:
            raise OracleError("PXAR-223", pos, f"unknown item type {code:#018x}")
        if size < 16:
            raise OracleError("PXAR-004", pos, f"{name} item too small ({size})")
        low, high = LIMITS.get(name, (0, 1 << 64))
        if not low <= size - 16 <= high:
            raise OracleError("PXAR-020", pos, f"{name} content of {size - 16} bytes")
        if pos + size > self.archive.size:
            raise OracleError("PXAR-225", pos, f"{name} item runs past the end", "eof")
        return Item(name, pos, size)

    def content(self, item: Item) -> bytes:
        return self.archive.read(item.offset + 16, item.size - 16)

    # -- start of the archive ------------------------------------------------------------------

    def read_prologue(self) -> int:
        """FORMAT_VERSION and PRELUDE (PXAR-040..046); returns the position of the root ENTRY."""
        item = self.header(0)
        self.find_appendix()
        if item.type == "DRAFT_VERSION":  # APX-035
            self.prologue.append(item)
            self.base = 16
            return 16
        if item.type != "FORMAT_VERSION":
            return 0
        self.version = int.from_bytes(self.content(item), "little")
        self.explicit_version = True
        if self.version not in (1, 2):
            raise OracleError("PXAR-041", 0, f"unknown format version {self.version}")
        self.prologue.append(item)
        if self.appendix[1]:
            self.base = 24
        item = self.header(24)
        if item.type != "PRELUDE":
            return 24
        if self.version != 2:
            raise OracleError("PXAR-043", 24, "prelude in a version 1 archive")
        self.prelude = self.content(item)
        self.prologue.append(item)
        return 24 + item.size

    def find_appendix(self) -> None:
        """What the last record says (APX-060, APX-061)."""
        end = self.archive.size
        raw = self.archive.read(end - 48, 48) if end >= 48 else bytes(48)
        (tail, back, size), (last, offset, total) = GOODBYE_RECORD.iter_unpack(raw)
        if last != CODE["APPENDIX_TAIL"]:
            return
        start = end - size - offset
        if tail != CODE["GOODBYE_TAIL"] or not 0 < total == offset or start < 24 or back > end - size:
            raise OracleError("APX-061", end - 24, "last record does not lead to an appendix")
        if self.archive.read(start - 24, 24) != HEADER.pack(CODE["APPENDIX"], 24) + total.to_bytes(8, "little"):
            raise OracleError("APX-061", start - 24, "no APPENDIX item where the last record leads")
        self.appendix = (start, total)

    @property
    def is_draft(self) -> bool:
        """SPL-026: neither version nor prelude."""
        return not self.explicit_version

    def check_payload_frame(self) -> None:
        """Start and tail marker of the payload stream (PXAR-133..135, PXAR-240)."""
        if self.payload is None:
            return
        if self.version != 2 and not self.is_draft:
            raise OracleError("PXAR-008", 0, "payload stream given for a version 1 archive")
        if self.is_draft:  # no start marker (SPL-025), but a tail (SPL-024)
            self.consumed = 0
            tail = self.payload.read(max(self.payload.size - 16, 0), 16)
            if tail != HEADER.pack(CODE["PAYLOAD_TAIL"], 16):
                raise OracleError("SPL-024", self.payload.size, "payload stream has no tail marker")
            return
        start = self.payload.read(0, 16)
        if start != HEADER.pack(CODE["PAYLOAD_START"], 16):
            raise OracleError("PXAR-134", 0, "payload stream has no start marker")
        tail = self.payload.read(self.payload.size - 16, 16)
        if self.payload.size < 32 or tail != HEADER.pack(CODE["PAYLOAD_TAIL"], 16):
            raise OracleError("PXAR-135", self.payload.size, "payload stream has no tail marker")

    # -- one entry -----------------------------------------------------------------------------

    def read_stat(self, entry: Entry, item: Item) -> None:
        raw = self.content(item)
        if item.type == "ENTRY":
            (entry.mode, entry.flags, entry.uid, entry.gid, entry.mtime_secs, entry.mtime_nanos,
             _padding) = STAT.unpack(raw)
        else:  # PXAR-060
            entry.mode, entry.flags, entry.uid, entry.gid, ns = STAT_V1.unpack(raw)
            entry.mtime_secs, entry.mtime_nanos = divmod(ns, 1_000_000_000)
        kind = KINDS.get(stat.S_IFMT(entry.mode & 0xFFFF))
        if kind is None or entry.mode >> 16:
            raise OracleError("PXAR-050", item.offset, f"impossible mode {entry.mode:#o}")
        if entry.mtime_nanos >= 1_000_000_000:
            raise OracleError("PXAR-050", item.offset, f"{entry.mtime_nanos} nanoseconds")
        entry.kind = kind

    def read_attribute(self, entry: Entry, item: Item) -> None:
        raw = self.content(item)
        numbers = [int.from_bytes(raw[i:i + 8], "little") for i in range(0, len(raw), 8)]
        acl = entry.acl
        match item.type:
            case "XATTR":
                name, nul, value = raw.partition(b"\0")
                if not nul or not name or len(name) > 255:
                    raise OracleError("PXAR-086", item.offset, "bad attribute name")
                if any(name == other for other, _ in entry.xattrs):
                    raise OracleError("PXAR-087", item.offset, f"attribute {name!r} twice")
                entry.xattrs.append((name, value))
            case "FCAPS":
                entry.fcaps = raw
            case "QUOTA_PROJID":
                entry.projid = numbers[0]
                if entry.projid >> 32:
                    raise OracleError("PXAR-089", item.offset, "project id above 32 bits")
            case "ACL_GROUP_OBJ":
                acl.group_obj = self.permission(item, numbers[0])
            case "ACL_DEFAULT":  # PXAR-109: missing entries are NO_MASK
                values = [n if n == NO_MASK else self.permission(item, n) for n in numbers]
                acl.default = (values[0], values[1], values[2], values[3])
            case _:
                if numbers[0] >= 0xFFFFFFFF:
                    raise OracleError("PXAR-101", item.offset, f"impossible id {numbers[0]}")
                where = {"ACL_USER": acl.users, "ACL_GROUP": acl.groups,
                         "ACL_DEFAULT_USER": acl.default_users,
                         "ACL_DEFAULT_GROUP": acl.default_groups}[item.type]
                if any(numbers[0] == other for other, _ in where):
                    raise OracleError("PXAR-110", item.offset, f"id {numbers[0]} twice")
                where.append((numbers[0], self.permission(item, numbers[1])))

    @staticmethod
    def permission(item: Item, value: int) -> int:
        if value > 7:
            raise OracleError("PXAR-100", item.offset, f"ACL permission {value:#x}")
        return value

    def read_node(self, path: bytes, start: int, pos: int) -> Entry:
        """ENTRY, attributes and the item that ends the entry, or HARDLINK (PXAR-030)."""
        item = self.header(pos)
        entry = Entry(path, "hardlink", start, pos, items=[item], end=pos + item.size)
        if item.type == "HARDLINK" and path:
            self.read_hardlink(entry, item)
            return entry
        if item.type == "APPENDIX_REF" and path:
            return self.read_appendix_ref(entry, item)
        if item.type not in ("ENTRY", "ENTRY_V1"):
            raise OracleError("PXAR-030", pos, f"{item.type} where ENTRY is expected")
        self.read_stat(entry, item)
        rank = -1
        while True:
            item = self.header(entry.end)
            if item.type not in ATTRIBUTES:
                break
            order, repeats = ATTRIBUTES[item.type]
            if order < rank or order == rank and not repeats:
                rule = "PXAR-032" if order == rank else "PXAR-031"
                raise OracleError(rule, item.offset, f"{item.type} repeated or out of order")
            rank = order
            self.read_attribute(entry, item)
            entry.items.append(item)
            entry.end += item.size
        self.read_end(entry, item)
        return entry

    def read_end(self, entry: Entry, item: Item) -> None:
        """The item after the attributes has to fit the type in `mode` (PXAR-220)."""
        wanted = ENDS.get(entry.kind, "PAYLOAD_REF" if self.version == 2 and not self.appendix[1]
                          else "PAYLOAD")
        if entry.kind == "file" and self.is_draft and item.type in ("PAYLOAD", "PAYLOAD_REF"):
            # one kind in the whole archive (SPL-020)
            wanted = self.payload_kind = self.payload_kind or (
                "PAYLOAD_REF" if self.payload is not None else item.type)
        if wanted is None:
            if item.type in ("FILENAME", "GOODBYE", "APPENDIX"):
                return  # belongs to the caller (PXAR-037)
            raise OracleError("PXAR-220", item.offset, f"{item.type} in a {entry.kind} entry")
        if item.type != wanted:
            raise OracleError("PXAR-220", item.offset,
                              f"{item.type} instead of {wanted} in a {entry.kind} entry")
        entry.items.append(item)
        entry.end += item.size
        match item.type:
            case "SYMLINK":
                entry.target = self.text(item, self.content(item), "PXAR-072")
            case "DEVICE":
                raw = self.content(item)
                major, minor = raw[:8], raw[8:]
                entry.device = (int.from_bytes(major, "little"), int.from_bytes(minor, "little"))
                if max(entry.device) >> 32:
                    raise OracleError("PXAR-079", item.offset, f"device number {entry.device}")
            case "PAYLOAD":
                entry.content = Content("archive", item.offset, item.offset + 16, item.size - 16)
            case _:
                entry.content = self.read_reference(item)

    @staticmethod
    def text(item: Item, raw: bytes, rule: str) -> bytes:
        """A NUL terminated, non-empty string without other NULs."""
        if len(raw) < 2 or raw[-1] != 0 or 0 in raw[:-1]:
            raise OracleError(rule, item.offset, f"bad string in {item.type}")
        return raw[:-1]

    def read_hardlink(self, entry: Entry, item: Item) -> None:
        raw = self.content(item)
        distance = int.from_bytes(raw[:8], "little")
        path = self.text(item, raw[8:], "PXAR-073")
        target = entry.start - distance
        if target not in self.files:  # PXAR-074, PXAR-076
            raise OracleError("PXAR-074", item.offset, f"distance {distance}: no file there")
        if self.files[target] != path:
            raise OracleError("PXAR-075", item.offset,
                              f"path {path!r}, but the distance leads to {self.files[target]!r}")
        entry.link = Link(path, distance, target)

    def read_reference(self, item: Item) -> Content:
        """PAYLOAD_REF and, with a payload stream, the PAYLOAD header it points to."""
        raw = self.content(item)
        offset, size = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
        if offset < 16 and not self.is_draft:
            raise OracleError("PXAR-134", item.offset, f"payload reference to {offset}")
        if not self.lax_refs and offset < self.consumed:  # PXAR-139, PXAR-242, PXAR-245
            raise OracleError("PXAR-245", item.offset,
                              f"payload reference {offset} before {self.consumed}")
        self.consumed = offset + 16 + size
        if self.payload is not None:
            if self.consumed > self.payload.size - 16:
                raise OracleError("PXAR-274", item.offset, "payload reference past the end")
            if self.payload.read(offset, 16) != HEADER.pack(CODE["PAYLOAD"], 16 + size):
                raise OracleError("PXAR-243", item.offset, f"no PAYLOAD of size {size} at {offset}")
        return Content("payload", offset, offset + 16, size)

    def read_appendix_ref(self, ref: Entry, item: Item) -> Entry:
        """The file that stands in the appendix, under the reference's name (APX-028, APX-029, APX-054)."""
        raw = self.content(item)
        offset, size = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
        start, total = self.appendix
        if not total:
            raise OracleError("APX-056", item.offset, "reference, but no appendix")
        if offset >= total:
            raise OracleError("APX-054", item.offset, f"reference to {offset} of {total} bytes")
        name_item = self.header(start + offset)
        if name_item.type != "FILENAME":
            raise OracleError("APX-054", item.offset, f"reference to a {name_item.type}")
        name = self.text(name_item, self.content(name_item), "PXAR-071")
        if name != ref.path.rpartition(b"/")[2]:
            raise OracleError("APX-054", item.offset, f"reference to {name!r}")
        if self.header(name_item.offset + name_item.size).type == "APPENDIX_REF":  # APX-030
            raise OracleError("APX-029", item.offset, "reference to a reference")
        entry = self.read_node(ref.path, ref.start, name_item.offset + name_item.size)
        if entry.kind != "file" or entry.content is None or entry.content.where != "archive" \
                or entry.appendix is not None:
            raise OracleError("APX-029", item.offset, f"reference to a {entry.kind}")
        if entry.content.size != size:
            raise OracleError("APX-054", item.offset, f"{entry.content.size} bytes, reference says {size}")
        end = entry.content.offset + size - start
        if end > total:
            raise OracleError("APX-054", item.offset, "file runs beyond the appendix")
        self.places.append((offset, end))
        entry.appendix, entry.items, entry.end = offset, [item], item.offset + item.size
        return entry

    def check_places(self) -> None:
        """No two references to the same bytes (APX-054)."""
        self.places.sort()
        for (_, end), (start, _) in zip(self.places, self.places[1:]):
            if start < end:
                raise OracleError("APX-054", self.appendix[0] + start, "two references overlap")

    # -- directories ---------------------------------------------------------------------------

    def read_name(self, frame: Frame, item: Item) -> bytes:
        raw = self.content(item)
        if 0 in raw[:-1]:
            raise OracleError("PXAR-081", item.offset, "NUL inside a file name")
        name = self.text(item, raw, "PXAR-071")
        if b"/" in name or name in (b".", b".."):
            raise OracleError("PXAR-071", item.offset, f"illegal file name {name!r}")
        if name in frame.names:  # EXT-051: cannot be extracted
            raise OracleError("EXT-051", item.offset, f"file name {name!r} twice in a directory")
        frame.names.add(name)
        return name

    def check_goodbye(self, frame: Frame, item: Item) -> None:
        """Every record of the table (PXAR-150..158, PXAR-170)."""
        pos, raw = item.offset, self.content(item)
        tails = 2 if self.appendix[1] and not frame.entry.path else 1  # APX-034
        if len(raw) % 24 or len(raw) // 24 != len(frame.children) + tails:
            raise OracleError("PXAR-150", pos, f"goodbye table of {len(raw)} bytes for "
                                               f"{len(frame.children)} children")
        records = list(GOODBYE_RECORD.iter_unpack(raw))
        if tails == 2 and records.pop() != (CODE["APPENDIX_TAIL"], pos - self.appendix[0], self.appendix[1]):
            raise OracleError("APX-032", pos, "last record does not fit the appendix")
        *records, tail = records
        base = frame.entry.entry if frame.entry.path else self.base  # PXAR-153
        if tail != (CODE["GOODBYE_TAIL"], pos - base, item.size):
            raise OracleError("PXAR-152", pos, f"goodbye tail {tail}")
        hashes = sorted(child.hash for child in frame.children)
        by_offset = {pos - child.start: child for child in frame.children}
        for slot, index in enumerate(tree_order(len(hashes))):
            value, offset, size = records[slot]
            where = pos + 16 + 24 * slot
            if value != hashes[index]:
                raise OracleError("PXAR-170", where, f"goodbye record {slot}: hash or order")
            child = by_offset.pop(offset, None)
            if child is None or child.hash != value:
                raise OracleError("PXAR-151", where, f"goodbye record {slot}: offset {offset}")
            if size not in child.sizes:  # PXAR-154..158
                raise OracleError("PXAR-154", where, f"goodbye record {slot}: size {size}, "
                                                     f"expected one of {child.sizes}")

    def add_child(self, frame: Frame, name: bytes, entry: Entry) -> None:
        """Remember what the parent's table must hold once `entry.end` is known."""
        size = entry.end - entry.start
        sizes = (size,)
        if entry.content is not None and entry.content.where == "payload":
            sizes = (size, size + entry.content.size)  # PXAR-158, PXAR-157
        frame.children.append(Child(siphash24(name), entry.start, sizes))

    def __iter__(self) -> Iterator[Entry]:
        pos = self.read_prologue()
        self.check_payload_frame()
        root = self.read_node(b"", 0, pos)
        if root.kind != "dir":
            raise OracleError("PXAR-229", pos, f"the root is of type {root.kind}")
        stack = [Frame(root)]
        yield root
        pos = root.end
        while stack:
            frame, item = stack[-1], self.header(pos)
            if item.type == "GOODBYE":
                self.check_goodbye(frame, item)
                frame.entry.items.append(item)
                pos = frame.entry.end = item.offset + item.size
                stack.pop()
                if stack:
                    self.add_child(stack[-1], frame.entry.path.rpartition(b"/")[2], frame.entry)
                continue
            if item.type == "APPENDIX":  # APX-025, APX-026: once, behind all children of the root
                if len(stack) > 1 or item.offset + 24 != self.appendix[0] or not self.places:
                    raise OracleError("APX-026", pos, "misplaced APPENDIX")
                self.check_places()
                pos = sum(self.appendix)
                if self.header(pos).type != "GOODBYE":
                    raise OracleError("APX-025", pos, "entries behind the appendix")
                continue
            if item.type != "FILENAME":
                raise OracleError("PXAR-224", pos, f"{item.type} instead of FILENAME or GOODBYE")
            name = self.read_name(frame, item)
            path = frame.entry.path + b"/" + name if frame.entry.path else name
            entry = self.read_node(path, pos, pos + item.size)
            entry.items.insert(0, item)
            if entry.kind == "file":
                self.files[entry.start] = path
            pos = entry.end
            if entry.kind == "dir":
                stack.append(Frame(entry))
            else:
                self.add_child(frame, name, entry)
            yield entry
        if pos != self.archive.size:
            raise OracleError("PXAR-036", pos, f"{self.archive.size - pos} bytes after the archive")

    def data(self, entry: Entry) -> Iterator[bytes]:
        """A regular file's bytes."""
        content = entry.content
        assert content is not None
        source = self.archive if content.where == "archive" else self.payload
        if source is None:  # PXAR-278
            raise OracleError("PXAR-278", entry.entry, "no payload stream for this archive")
        return source.blocks(content.offset, content.size)


def parse(archive: bytes, payload: bytes | None = None, lax_refs: bool = False) -> list[Entry]:
    """All entries of an archive in memory."""
    source = None if payload is None else BytesSource(payload)
    return list(Reader(BytesSource(archive), source, lax_refs))


def open_reader(path: str, payload: str | None = None, lax_refs: bool = False) -> Reader:
    """A reader over files."""
    stream = FileSource(payload, window=16) if payload else None  # only headers, then bulk data
    return Reader(FileSource(path), stream, lax_refs)
