# SPDX-License-Identifier: MIT
"""Archive entries as a tree capture (tree.Node), and a simple extractor."""
from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable

from . import acl, fsattr
from .errors import OracleError
from .pxar import Reader
from .pxar_items import Entry
from .tree import CAPABILITY, Node, group_links, storable

CLI_NAME = b".pxarexclude-cli"


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


def extract(reader: Reader, target: str | bytes) -> int:
    """Restore everything into `target`, which must be missing or an empty directory.

    Since the target is fresh and the parser refuses bad names, duplicates and foreign link
    targets, no path used here can lead through a symlink. Inode flags are set last of all, so
    that immutable files can still get their hard links (EXT-050).
    """
    root = os.fsencode(target)
    os.makedirs(root, mode=0o700, exist_ok=True)
    if os.path.islink(root) or os.listdir(root):
        raise FileExistsError(f"{os.fsdecode(root)} is not an empty directory")
    late: list[Entry] = []
    flagged: list[tuple[bytes, Entry]] = []
    count = 0
    for entry in reader:
        count += 1
        full = root + b"/" + entry.path if entry.path else root
        if entry.kind == "dir":
            if entry.path:
                os.mkdir(full, 0o700)
            late.append(entry)
        else:
            _create(reader, entry, root, full)
        if entry.flags and entry.kind in ("dir", "file"):
            flagged.append((full, entry))
    for entry in reversed(late):  # children before parents, so that times survive (EXT-061)
        full = root + b"/" + entry.path if entry.path else root
        apply_metadata(entry, full)
    for full, entry in reversed(flagged):
        fd = fsattr.open_quiet(full)
        try:
            fsattr.set_inode_flags(fd, entry.flags)
        finally:
            os.close(fd)
    return count


def _create(reader: Reader, entry: Entry, root: bytes, full: bytes) -> None:
    match entry.kind:
        case "hardlink":
            assert entry.link is not None
            os.link(root + b"/" + entry.link.path, full, follow_symlinks=False)
            return
        case "symlink":
            assert entry.target is not None
            os.symlink(entry.target, full)
        case "file":
            _write_file(reader, entry, full)
        case _:
            major, minor = entry.device or (0, 0)
            os.mknod(full, entry.mode, os.makedev(major, minor) if entry.device else 0)
    apply_metadata(entry, full)


def _write_file(reader: Reader, entry: Entry, full: bytes) -> None:
    assert entry.content is not None
    size = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(full, flags, 0o600), "wb") as f:
        for piece in reader.data(entry):
            f.write(piece)
            size += len(piece)
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
