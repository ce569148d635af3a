# SPDX-License-Identifier: MIT
"""Archive entries as a tree capture (tree.Node), and a simple extractor."""
from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import acl, fsattr
from .errors import OracleError
from .pxar import Reader
from .pxar_items import Entry
from .tree import CAPABILITY, Node, group_links, storable

CLI_NAME = b".pxarexclude-cli"
BLOCK = 4096  # EXT-044


def node_of(entry: Entry) -> Node:
    """The attributes a restored file must have; the digest is left out."""
    node = Node(entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns, target=entry.target,
                device=entry.device, flags=entry.flags, projid=entry.projid or 0)
    node.xattrs = {name: value for name, value in entry.xattrs if storable(name)}  # EXT-065
    if entry.fcaps is not None:
        node.xattrs[CAPABILITY] = entry.fcaps
    node.xattrs.update(acl.to_raw(entry.acl, entry.mode))
    if entry.content is not None:
        node.size = entry.content.size
    return node


def capture(reader: Reader) -> dict[bytes, Node]:
    """Parse the whole archive into the same form as `tree.scan` of the restored tree."""
    nodes: dict[bytes, Node] = {}
    groups: dict[bytes, list[bytes]] = {}
    for entry in reader:
        if entry.link is not None:
            same = nodes[entry.link.path]
            nodes[entry.path] = Node(**{name: getattr(same, name) for name in Node.__slots__})
            groups.setdefault(entry.link.path, [entry.link.path]).append(entry.path)
            continue
        node = nodes[entry.path] = node_of(entry)
        if entry.kind == "file":
            node.digest = content_digest(reader, entry)
    group_links(nodes, groups.values())
    return nodes


def content_digest(reader: Reader, entry: Entry) -> str:
    digest, size = hashlib.sha256(), 0
    for piece in reader.data(entry):
        digest.update(piece)
        size += len(piece)
    if entry.content is None or size != entry.content.size:  # PXAR-226
        raise OracleError("PXAR-226", entry.entry, f"only {size} bytes of content")
    return digest.hexdigest()


@dataclass(frozen=True)
class Over:
    """What is done about what is in the target already. Nothing is ever followed (EXT-034 .. EXT-036)."""
    dirs: bool = False  # directories are taken over (EXT-040)
    files: bool = False  # these three are replaced (EXT-043, EXT-046, EXT-047)
    symlinks: bool = False
    hardlinks: bool = False
    strict: bool = False  # the first error is the last (EXT-091)


def extract(reader: Reader, target: str | bytes, over: Over | None = None) -> int:
    """Restore everything into `target`, which without `over` must be missing or an empty directory.

    Entries are made below directories that this run made or took over, none of which is a symlink,
    and hard links lead to names there. With `over` an entry that fails is left out, and there is one
    error at the end (EXT-004). Inode flags are set last of all, so that immutable files can still
    get their hard links (EXT-050).
    """
    root = os.fsencode(target)
    os.makedirs(root, mode=0o700, exist_ok=True)
    if over is None and (os.path.islink(root) or os.listdir(root)):
        raise FileExistsError(f"{os.fsdecode(root)} is not an empty directory")
    run = Extraction(reader, root, over or Over(), [])
    count = 0
    for entry in reader:
        count += 1
        if not run.attempt(lambda: run.put(entry), over is None) and run.over.strict:
            run.late = [d for d in run.late if d.path and not entry.path.startswith(d.path + b"/")]
            break
    for entry in reversed(run.late):  # children before parents, so that times survive (EXT-061)
        run.attempt(lambda: apply_metadata(entry, run.full(entry)), over is None)
    for entry in reversed(run.flagged):
        fd = fsattr.open_quiet(run.full(entry))
        try:
            fsattr.set_inode_flags(fd, entry.flags)
        finally:
            os.close(fd)
    if run.failed:
        raise OracleError("EXT-004", None, f"there were errors: {'; '.join(run.failed[:9])}")
    return count


class Extraction:
    """One extraction; `made` are the directories that entries and links may be in."""

    def __init__(self, reader: Reader, root: bytes, over: Over, failed: list[str]) -> None:
        self.reader, self.root, self.over, self.failed = reader, root, over, failed
        self.made: set[bytes] = {b""}
        self.late: list[Entry] = []
        self.flagged: list[Entry] = []

    def full(self, entry: Entry) -> bytes:
        return self.root + b"/" + entry.path if entry.path else self.root

    def attempt(self, act: Callable[[], None], fatal: bool) -> bool:
        try:
            act()
        except OSError as e:
            if fatal:
                raise
            self.failed.append(str(e))
            return False
        return True

    def check_place(self, path: bytes) -> None:
        """A name is made or linked only in a directory of this run (EXT-034, EXT-035)."""
        if path.rpartition(b"/")[0] not in self.made:
            raise FileNotFoundError(f"{os.fsdecode(path)!r} is in no directory that was restored")

    def put(self, entry: Entry) -> None:
        full = self.full(entry)
        self.check_place(entry.path)
        if entry.mode & ~0o177777:  # EXT-042
            raise PermissionError(f"mode contains illegal bits: {entry.mode:#o}")
        if entry.kind == "dir":
            if entry.path:
                self.make_directory(full)
            self.made.add(entry.path)
            self.late.append(entry)
        else:
            self.create(entry, full)
        if entry.flags and entry.kind in ("dir", "file"):
            self.flagged.append(entry)

    def make_directory(self, full: bytes) -> None:
        try:
            os.mkdir(full, 0o700)
        except FileExistsError:
            if not self.over.dirs or not stat.S_ISDIR(os.lstat(full).st_mode):  # EXT-035
                raise

    def create(self, entry: Entry, full: bytes) -> None:
        match entry.kind:
            case "hardlink":
                assert entry.link is not None
                self.check_place(entry.link.path)
                old = self.root + b"/" + entry.link.path
                replacing(full, self.over.hardlinks, lambda: os.link(old, full, follow_symlinks=False))
                return
            case "symlink":
                target = entry.target or b""
                replacing(full, self.over.symlinks, lambda: os.symlink(target, full))
            case "file":
                replacing(full, self.over.files, lambda: _write_file(self.reader, entry, full))
            case _:
                major, minor = entry.device or (0, 0)
                os.mknod(full, entry.mode, os.makedev(major, minor) if entry.device else 0)
        apply_metadata(entry, full)


def replacing(full: bytes, allowed: bool, make: Callable[[], None]) -> None:
    """Never through what is there: it is removed, if it is no directory (EXT-036, EXT-046, EXT-047)."""
    try:
        make()
    except FileExistsError:
        if not allowed:
            raise
        os.unlink(full)
        make()


def _write_file(reader: Reader, entry: Entry, full: bytes) -> None:
    """Blocks of zeros become holes (EXT-044)."""
    assert entry.content is not None
    size = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(full, flags, 0o600), "wb") as f:
        for piece in reader.data(entry):
            for at in range(0, len(piece), BLOCK):
                block = piece[at:at + BLOCK]
                if block.strip(b"\0"):
                    f.write(block)
                else:
                    f.seek(len(block), os.SEEK_CUR)
            size += len(piece)
        f.truncate(size)
    if size != entry.content.size:
        raise OracleError("PXAR-226", entry.entry, f"only {size} bytes of content")


def apply_metadata(entry: Entry, full: bytes) -> None:
    """Owner, xattrs, capabilities, ACLs, project id, mode, time: in this order (EXT-060)."""
    os.chown(full, entry.uid, entry.gid, follow_symlinks=False)
    for name, value in _xattrs(entry):
        os.setxattr(full, name, value, follow_symlinks=False)
    if entry.projid:
        fd = fsattr.open_quiet(full)
        try:
            fsattr.set_projid(fd, entry.projid)
        finally:
            os.close(fd)
    if entry.kind != "symlink":  # the mode's group bits are the ACL mask (PXAR-106)
        os.chmod(full, stat.S_IMODE(entry.mode))
    os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)


def _xattrs(entry: Entry) -> Iterable[tuple[bytes, bytes]]:
    yield from ((name, value) for name, value in entry.xattrs if storable(name))
    if entry.fcaps is not None:
        yield CAPABILITY, entry.fcaps
    yield from acl.to_raw(entry.acl, entry.mode).items()


def as_json(entry: Entry) -> dict[str, object]:
    """An entry as plain JSON values; bytes as file system encoded text, values as hex."""
    out: dict[str, object] = {
        "path": "/" + os.fsdecode(entry.path), "kind": entry.kind, "start": entry.start,
        "end": entry.end, "items": [[i.type, i.offset, i.size] for i in entry.items]}
    if entry.link is not None:
        out["link"] = {"path": os.fsdecode(entry.link.path), "distance": entry.link.distance,
                       "target": entry.link.target}
        return out
    out.update(mode=oct(entry.mode), flags=hex(entry.flags), uid=entry.uid, gid=entry.gid,
               mtime=[entry.mtime_secs, entry.mtime_nanos])
    if entry.xattrs:
        out["xattrs"] = [[os.fsdecode(name), value.hex()] for name, value in entry.xattrs]
    if not entry.acl.empty():
        out["acl"] = {name: getattr(entry.acl, name) for name in entry.acl.__slots__}
    if entry.fcaps is not None:
        out["fcaps"] = entry.fcaps.hex()
    if entry.projid is not None:
        out["projid"] = entry.projid
    if entry.target is not None:
        out["target"] = os.fsdecode(entry.target)
    if entry.device is not None:
        out["device"] = list(entry.device)
    if entry.content is not None:
        out["content"] = {name: getattr(entry.content, name) for name in entry.content.__slots__}
    return out
