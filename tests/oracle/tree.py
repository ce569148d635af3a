# SPDX-License-Identifier: MIT
"""Walks a directory tree, captures every attribute an archive stores, and compares two captures.

A capture is a dict from path (bytes, relative, root = empty) to `Node`, in archive order.
"""
from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from . import acl, fsattr

KINDS = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "symlink",
         stat.S_IFBLK: "blockdev", stat.S_IFCHR: "chardev", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket"}
SKIPPED = (errno.ENOENT, errno.EACCES, errno.ESTALE)  # of a stat: the entry is left out [CRT-026 .. CRT-028]
CAPABILITY = b"security.capability"
# names accepted by --ignore, and what each leaves out
IGNORABLE = ("mtime", "dir-mtime", "root", "owner", "mode", "xattrs", "acls", "fcaps", "flags",
             "nodump", "projid", "content", "hardlinks", "special")


@dataclass(slots=True)
class Node:
    """All attributes of one name. ACLs and capabilities are raw xattrs; ACLs in canonical order."""
    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    digest: str = ""  # SHA-256 of a regular file's content
    target: bytes | None = None
    device: tuple[int, int] | None = None
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    flags: int = 0  # as in ENTRY.flags
    projid: int = 0
    link: bytes | None = None  # smallest path of a group of hard links with two or more members


@dataclass(slots=True)
class Walked:
    """One name met by `walk`."""
    path: bytes
    full: bytes
    st: os.stat_result

    @property
    def kind(self) -> str:
        return KINDS[stat.S_IFMT(self.st.st_mode)]


class Filter:
    """What `walk` asks while descending; the default keeps everything."""

    def enter(self, path: bytes, full: bytes) -> None:
        """Before a directory is listed."""

    def leave(self) -> None:
        """After a directory and everything below it is done."""

    def keep(self, path: bytes, is_dir: Callable[[], bool]) -> bool:
        return True

    def descend(self, entry: Walked, parent: os.stat_result) -> bool:
        return True


def walk(root: bytes, chosen: Filter | None = None) -> Iterable[Walked | None]:
    """Depth first, names sorted bytewise (CRT-021); None marks the end of a directory."""
    chosen = chosen or Filter()
    top = Walked(b"", root, os.stat(root))
    yield top
    stack = [(top, iter(_listing(top, chosen)))]
    while stack:
        parent, names = stack[-1]
        entry = next(names, None)
        if entry is None:
            stack.pop()
            chosen.leave()
            yield None
            continue
        yield entry
        if entry.kind == "dir":
            found = _listing(entry, chosen) if chosen.descend(entry, parent.st) else \
                _closed(entry, chosen)
            stack.append((entry, iter(found)))


def _closed(entry: Walked, chosen: Filter) -> list[Walked]:
    chosen.enter(entry.path, b"")
    return []


def _listing(directory: Walked, chosen: Filter) -> list[Walked]:
    chosen.enter(directory.path, directory.full)
    out = []
    with os.scandir(directory.full) as names:
        for name in sorted(e.name for e in names):
            path = directory.path + b"/" + name if directory.path else name
            full = directory.full + b"/" + name
            try:
                if chosen.keep(path, lambda: stat.S_ISDIR(os.lstat(full).st_mode)):
                    out.append(Walked(path, full, os.lstat(full)))
            except OSError as e:
                if e.errno not in SKIPPED:
                    raise
    return out


def storable(name: bytes) -> bool:
    """Whether an xattr belongs into an archive (CRT-106, CRT-107)."""
    if name in (CAPABILITY, acl.ACCESS, acl.DEFAULT, b"security.NTACL"):
        return True
    return len(name) <= 255 and name.startswith((b"user.", b"trusted."))


def read_xattrs(fd: int) -> dict[bytes, bytes]:
    """Storable xattrs of an open file in kernel order (CRT-108)."""
    try:
        names = [os.fsencode(n) for n in os.listxattr(fd)]
    except OSError as e:
        if e.errno in fsattr.TOLERATED:
            return {}
        raise
    return {n: os.getxattr(fd, n) for n in names if storable(n)}


def read_node(entry: Walked, content: bool = True) -> Node:
    """All attributes of one name; `content` also hashes a regular file."""
    st = entry.st
    node = Node(entry.kind, st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns)
    if node.kind == "symlink":
        node.target = os.readlink(entry.full)
    elif node.kind in ("blockdev", "chardev"):
        node.device = (os.major(st.st_rdev), os.minor(st.st_rdev))
    elif node.kind in ("file", "dir"):
        fd = fsattr.open_quiet(entry.full)
        try:
            node.xattrs = read_xattrs(fd)
            node.flags = fsattr.get_inode_flags(fd)
            node.projid = fsattr.get_projid(fd)
            if node.kind == "file":
                node.size = st.st_size
                node.digest = _digest(fd) if content else ""
        finally:
            os.close(fd)
    return node


def _digest(fd: int) -> str:
    digest = hashlib.sha256()
    while piece := os.read(fd, 1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def canonical_acls(nodes: dict[bytes, Node]) -> None:
    for node in nodes.values():
        for name in (acl.ACCESS, acl.DEFAULT):
            if name in node.xattrs:
                node.xattrs[name] = acl.canonical(node.xattrs[name])


def group_links(nodes: dict[bytes, Node], groups: Iterable[list[bytes]]) -> None:
    """Give all members of a group of two or more the group's smallest path."""
    for group in groups:
        for path in group if len(group) > 1 else ():
            nodes[path].link = min(group)


def scan(root: str | bytes, chosen: Filter | None = None,
         content: bool = True) -> dict[bytes, Node]:
    """Capture a whole tree. Hard links are grouped for regular files only (CRT-143, CRT-144)."""
    nodes: dict[bytes, Node] = {}
    inodes: dict[tuple[int, int], list[bytes]] = {}
    for entry in walk(os.fsencode(root), chosen):
        if entry is None:
            continue
        key = (entry.st.st_dev, entry.st.st_ino)
        first = inodes.get(key)
        if first is not None:  # same inode: do not read it again
            first.append(entry.path)
            same = nodes[first[0]]
            nodes[entry.path] = Node(**{name: getattr(same, name) for name in Node.__slots__})
            continue
        nodes[entry.path] = read_node(entry, content)
        if entry.kind == "file" and entry.st.st_nlink > 1:
            inodes[key] = [entry.path]
    group_links(nodes, inodes.values())
    canonical_acls(nodes)
    return nodes


def _attributes(path: bytes, node: Node, ignore: set[str]) -> dict[str, object]:
    """The attributes of a node that take part in a comparison, by readable name."""
    out: dict[str, object] = {"type": node.kind}
    if not path and "root" in ignore:
        return out
    if "mode" not in ignore and node.kind != "symlink":
        out["mode"] = oct(node.mode & 0o7777)
    if "owner" not in ignore:
        out["owner"] = f"{node.uid}:{node.gid}"
    if "mtime" not in ignore and not (node.kind == "dir" and "dir-mtime" in ignore):
        out["mtime"] = node.mtime_ns
    if node.kind == "file" and "content" not in ignore:
        out["size"], out["content"] = node.size, node.digest
    out["target"], out["device"] = node.target, node.device
    if "flags" not in ignore:
        out["flags"] = hex(node.flags & ~(fsattr.NODUMP if "nodump" in ignore else 0))
    if "projid" not in ignore:
        out["projid"] = node.projid
    if "hardlinks" not in ignore:
        out["hard link of"] = node.link
    for name, value in node.xattrs.items():
        group = "fcaps" if name == CAPABILITY else \
            "acls" if name in (acl.ACCESS, acl.DEFAULT) else "xattrs"
        if group not in ignore:
            out["xattr " + os.fsdecode(name)] = value
    return out


def compare(a: dict[bytes, Node], b: dict[bytes, Node], ignore: Iterable[str] = ()) -> list[str]:
    """Readable differences between two captures; an empty list means equal."""
    left_out = set(ignore)
    if unknown := left_out - set(IGNORABLE):
        raise ValueError(f"cannot ignore {sorted(unknown)}; known: {', '.join(IGNORABLE)}")
    special = ("blockdev", "chardev", "fifo", "socket") if "special" in left_out else ()
    out = []
    for path in sorted(a.keys() | b.keys()):
        shown = repr(os.fsdecode(b"/" + path))
        one, two = a.get(path), b.get(path)
        if any(node is not None and node.kind in special for node in (one, two)):
            continue
        if one is None or two is None:
            node, side = (one, "first") if two is None else (two, "second")
            out.append(f"{shown}: only in the {side} ({node.kind})")  # type: ignore[union-attr]
            continue
        left, right = (_attributes(path, node, left_out) for node in (one, two))
        out += [f"{shown}: {key}: {left.get(key)!r} != {right.get(key)!r}"
                for key in (*left, *(k for k in right if k not in left))
                if left.get(key) != right.get(key)]
    return out
