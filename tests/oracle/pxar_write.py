# SPDX-License-Identifier: MIT
"""Second implementation of archive creation (spec/create.md): directory tree to v1 or split bytes.

All payload is newly written unless `reuse` names an offset for a path (PXAR-204); nothing is
chunked, and injected payload is only counted (PXAR-205), not written. Races, unreadable files and
other error recovery is left out: errors propagate.
"""
from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from . import acl, fsattr
from .errors import OracleError
from .patterns import Pattern, Selection, normalise, parse
from .pxar_items import (CODE, GOODBYE_RECORD, HEADER, STAT, Content, Entry, Link, siphash24,
                         tree_order)
from .tree import CAPABILITY, Walked, read_xattrs, walk

CLI_NAME = b".pxarexclude-cli"


@dataclass(slots=True)
class Options:
    """What influences an archive (CRT-001..008)."""
    exclude: list[bytes] = field(default_factory=list)
    normalise: bool = False  # backup client from 4.2.0 on (CRT-041); `pxar create`: not
    skip_lost_and_found: bool = False
    all_file_systems: bool = False
    include_devices: set[int] = field(default_factory=set)
    xattrs: bool = True
    acls: bool = True
    fcaps: bool = True
    reuse: Mapping[bytes, int] = field(default_factory=dict)
    injections: Sequence[tuple[int, int]] = ()  # (boundary, bytes), ascending
    draft: bool = False  # split archives without markers, version and prelude (SPL-020..026)

    def patterns(self) -> list[Pattern]:
        """The initial pattern list (CRT-040)."""
        texts = [normalise(t) if self.normalise else t for t in self.exclude]
        return [parse(t) for t in texts + ([b"lost+found"] if self.skip_lost_and_found else [])]


class Encoder:
    """Writes items; keeps the two stream positions and the goodbye records."""

    def __init__(self, archive: BinaryIO, payload: BinaryIO | None, prelude: bytes | None,
                 injections: Sequence[tuple[int, int]] = (), draft: bool = False):
        self.archive, self.payload, self.injections = archive, payload, list(injections)
        self.pos = self.payload_pos = 0
        self.dirs: list[tuple[int, int, bytes, list[tuple[int, int, int]]]] = []
        if payload is not None and not draft:  # PXAR-200
            self.out_payload(HEADER.pack(CODE["PAYLOAD_START"], 16))
            self.item("FORMAT_VERSION", (2).to_bytes(8, "little"))
            if prelude is not None:
                self.item("PRELUDE", prelude)

    def out(self, data: bytes) -> None:
        self.archive.write(data)
        self.pos += len(data)

    def out_payload(self, data: bytes) -> None:
        assert self.payload is not None
        self.payload.write(data)
        self.payload_pos += len(data)

    def advance(self) -> None:
        """Count the chunks injected at the current payload position (PXAR-205, CHK-083)."""
        while self.injections and self.injections[0][0] == self.payload_pos:
            self.payload_pos += self.injections.pop(0)[1]

    def item(self, name: str, content: bytes) -> None:
        self.out(HEADER.pack(CODE[name], 16 + len(content)) + content)

    def numbers(self, name: str, *values: int) -> None:
        self.item(name, b"".join(v.to_bytes(8, "little") for v in values))

    def stat(self, entry: Entry) -> None:
        """ENTRY and attributes in the fixed order (PXAR-031)."""
        self.item("ENTRY", STAT.pack(entry.mode, entry.flags, entry.uid, entry.gid,
                                     entry.mtime_secs, entry.mtime_nanos, 0))
        for name, value in entry.xattrs:
            self.item("XATTR", name + b"\0" + value)
        access = entry.acl
        for user in access.users:
            self.numbers("ACL_USER", *user)
        for group in access.groups:
            self.numbers("ACL_GROUP", *group)
        if access.group_obj is not None:
            self.numbers("ACL_GROUP_OBJ", access.group_obj)
        if access.default is not None:
            self.numbers("ACL_DEFAULT", *access.default)
        for user in access.default_users:
            self.numbers("ACL_DEFAULT_USER", *user)
        for group in access.default_groups:
            self.numbers("ACL_DEFAULT_GROUP", *group)
        if entry.fcaps is not None:
            self.item("FCAPS", entry.fcaps)
        if entry.projid:
            self.numbers("QUOTA_PROJID", entry.projid)

    def open_dir(self, name: bytes | None, entry: Entry) -> None:
        start = self.pos
        if name is None:
            self.dirs.append((0, 0, b"", []))  # PXAR-153
        else:
            self.item("FILENAME", name + b"\0")
            self.dirs.append((start, self.pos, name, []))
        self.stat(entry)

    def close_dir(self) -> None:
        """GOODBYE (PXAR-150..155)."""
        start, entry_pos, name, children = self.dirs.pop()
        here, size = self.pos, 16 + 24 * (len(children) + 1)
        records = sorted(children)
        table = b"".join(GOODBYE_RECORD.pack(records[i][0], here - records[i][1], records[i][2])
                         for i in tree_order(len(records)))
        tail = GOODBYE_RECORD.pack(CODE["GOODBYE_TAIL"], here - entry_pos, size)
        self.item("GOODBYE", table + tail)
        if self.dirs:
            self.child(name, start, 0)
        elif self.payload is not None:  # PXAR-135
            self.advance()
            self.out_payload(HEADER.pack(CODE["PAYLOAD_TAIL"], 16))

    def child(self, name: bytes, start: int, extra: int) -> None:
        self.dirs[-1][3].append((siphash24(name), start, self.pos - start + extra))

    def leaf(self, name: bytes, entry: Entry) -> None:
        """Anything but directories and regular files (PXAR-207)."""
        start = self.pos
        self.item("FILENAME", name + b"\0")
        if entry.link is not None:
            self.item("HARDLINK", (start - entry.link.target).to_bytes(8, "little")
                      + entry.link.path + b"\0")
        else:
            self.stat(entry)
        if entry.target is not None:
            self.item("SYMLINK", entry.target + b"\0")
        if entry.device is not None:
            self.numbers("DEVICE", *entry.device)
        self.child(name, start, 0)

    def file(self, name: bytes, entry: Entry, data: BinaryIO | None) -> None:
        """A regular file (PXAR-202..204); `data` None: reference to existing payload."""
        start, content = self.pos, entry.content
        assert content is not None
        self.item("FILENAME", name + b"\0")
        self.stat(entry)
        if self.payload is None:
            self.out(HEADER.pack(CODE["PAYLOAD"], 16 + content.size))
            self.copy(data, content.size, self.out)
        elif data is None:
            self.numbers("PAYLOAD_REF", content.header, content.size)
        else:
            self.advance()
            self.numbers("PAYLOAD_REF", self.payload_pos, content.size)
            self.out_payload(HEADER.pack(CODE["PAYLOAD"], 16 + content.size))
            self.copy(data, content.size, self.out_payload)
        new_in_payload = self.payload is not None and data is not None
        self.child(name, start, content.size if new_in_payload else 0)  # PXAR-157, PXAR-158

    @staticmethod
    def copy(data: BinaryIO | None, size: int, out: object) -> None:
        """Exactly `size` bytes: cut off or filled with zeros (CRT-141, CRT-142)."""
        assert data is not None and callable(out)
        while size:
            piece = data.read(min(size, 1 << 20)) or b"\0" * min(size, 1 << 20)
            out(piece)
            size -= len(piece)


class Creator(Selection):
    """Walks the tree and feeds the encoder."""

    def __init__(self, source: bytes, archive: BinaryIO, payload: BinaryIO | None,
                 options: Options):
        self.initial = options.patterns()
        super().__init__(self.initial)
        self.source, self.options = source, options
        self.text = b"".join(p.stored() for p in self.initial)
        self.encoder = Encoder(archive, payload, None if payload is None else self.prelude(),
                               options.injections, options.draft)
        self.links: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.fs: list[set[str]] = []  # features per open directory (CRT-067)
        self.devices: set[int] = set()

    def prelude(self) -> bytes | None:
        """CRT-057."""
        if not self.initial:
            return None
        value = {"exclude-patterns": self.text.decode("utf-8")}
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def descend(self, entry: Walked, parent: os.stat_result) -> bool:
        """Mount points (CRT-060..065)."""
        if entry.st.st_dev == parent.st_dev:
            self.fs.append(self.fs[-1])
            return True
        kind = self.fs_type(entry.full)
        self.fs.append(fsattr.features(kind))
        return kind not in fsattr.VIRTUAL and (self.options.all_file_systems
                                               or entry.st.st_dev in self.devices)

    @staticmethod
    def fs_type(path: bytes) -> int:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return fsattr.fs_type(fd)
        finally:
            os.close(fd)

    def entry(self, walked: Walked, features: set[str]) -> Entry:
        """Metadata as section 8 of create.md reads it."""
        st = walked.st
        secs, nanos = divmod(st.st_mtime_ns, 1_000_000_000)
        entry = Entry(walked.path, walked.kind, 0, 0, st.st_mode, 0, st.st_uid, st.st_gid, secs,
                      nanos)
        if walked.kind in ("file", "dir"):
            fd = fsattr.open_quiet(walked.full)
            try:
                entry.flags = fsattr.get_inode_flags(fd)
                if fsattr.PROJID in features:
                    entry.projid = fsattr.get_projid(fd)
                if fsattr.XATTRS in features and self.options.xattrs:  # CRT-105, CRT-008
                    self.extended(entry, read_xattrs(fd), features)
            finally:
                os.close(fd)
        return entry

    def extended(self, entry: Entry, found: dict[bytes, bytes], features: set[str]) -> None:
        """Split the xattrs into plain ones, capabilities and ACLs (CRT-106..113)."""
        access, default = found.pop(acl.ACCESS, None), found.pop(acl.DEFAULT, None)
        fcaps = found.pop(CAPABILITY, None)
        if self.options.fcaps and fsattr.FCAPS in features:
            entry.fcaps = fcaps
        if self.options.acls and fsattr.ACLS in features:
            entry.acl = acl.to_items(access, default if entry.kind == "dir" else None)
        entry.xattrs = list(found.items())

    def add(self, walked: Walked) -> None:
        """One entry below the root."""
        name, st, encoder = walked.path.rpartition(b"/")[2], walked.st, self.encoder
        key = (st.st_dev, st.st_ino)
        start = encoder.pos
        if walked.kind == "file" and key in self.links:  # CRT-143
            path, target = self.links[key]
            encoder.leaf(name, _link(walked.path, path, target, start))
            return
        entry = self.entry(walked, self.fs[-1])
        if walked.kind == "dir":
            encoder.open_dir(name, entry)
        elif walked.kind == "file":
            if st.st_nlink > 1:
                self.links[key] = (walked.path, start)
            self.add_file(name, walked, entry)
        else:
            if walked.kind == "symlink":
                entry.target = os.readlink(walked.full)
            elif walked.kind in ("chardev", "blockdev"):
                entry.device = split_device(st.st_rdev)
            encoder.leaf(name, entry)

    def add_file(self, name: bytes, walked: Walked, entry: Entry) -> None:
        reused = self.options.reuse.get(walked.path)
        entry.content = Content("", reused or 0, 0, walked.st.st_size)
        if reused is not None:
            self.encoder.file(name, entry, None)
            return
        with open(fsattr.open_quiet(walked.full), "rb") as data:
            self.encoder.file(name, entry, data)

    def add_cli_file(self) -> None:
        """`.pxarexclude-cli` as last entry of a v1 archive (CRT-056) or a draft's (SPL-026)."""
        if (self.encoder.payload is None or self.options.draft) and self.initial:
            entry = Entry(CLI_NAME, "file", 0, 0, 0o100600, 0, os.getuid(), os.getgid(), 0, 0,
                          content=Content("", 0, 0, len(self.text)))
            self.encoder.file(CLI_NAME, entry, io.BytesIO(self.text))

    def run(self) -> None:
        kind = self.fs_type(self.source)
        if kind in fsattr.VIRTUAL:
            raise OracleError("CRT-010", None, "refusing to archive a virtual file system")
        self.fs = [fsattr.features(kind)]
        for walked in walk(self.source, self):
            if walked is None:
                self.fs.pop()
                if not self.fs:
                    self.add_cli_file()
                self.encoder.close_dir()
            elif not walked.path:
                self.devices = self.options.include_devices | {walked.st.st_dev}
                self.encoder.open_dir(None, self.entry(walked, self.fs[-1]))
            else:
                self.add(walked)


def _link(path: bytes, target_path: bytes, target: int, start: int) -> Entry:
    return Entry(path, "hardlink", start, start, link=Link(target_path, start - target, target))


def split_device(device: int) -> tuple[int, int]:
    """PXAR-079."""
    return (device >> 8 & 0xFFF | device >> 32 & 0xFFFFF000,
            device & 0xFF | device >> 12 & 0xFFFFFF00)


def create(source: str | bytes, archive: BinaryIO, payload: BinaryIO | None = None,
           options: Options | None = None) -> int:
    """Write the archive of directory `source`; with `payload` a split one (CRT-002).

    Returns the length of the payload stream, injected bytes included.
    """
    creator = Creator(os.fsencode(source), archive, payload, options or Options())
    creator.run()
    return creator.encoder.payload_pos
