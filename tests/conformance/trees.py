# SPDX-License-Identifier: MIT
"""Builds the directories of cases from lists of nodes (schema.json: tree, node)."""
from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from conformance.names import mtime_ns, to_bytes

MTIME = "1700000000.000000000"


@lru_cache(maxsize=4)
def noise(seed: bytes, size: int) -> bytes:
    """Bytes that do not compress: SHA-256 in counter mode over the seed."""
    out = bytearray()
    for counter in range(-(-size // 32)):
        out += hashlib.sha256(seed + counter.to_bytes(8, "little")).digest()
    return bytes(out[:size])


def build(root: Path, nodes: Iterable[dict[str, Any]], source: Any) -> None:
    """Creates or changes `root`; `source` resolves the data of files. Names that exist and are not directories are replaced."""
    nodes = list(nodes)
    root.mkdir(parents=True, exist_ok=True)
    base = os.fsencode(root)
    places = [(node, os.path.join(base, to_bytes(node["path"])) if node["path"] else base) for node in nodes]
    for node, full in places:
        _make(node, full, base, source)
    parents = {os.path.dirname(full): None for node, full in places if node["path"]}
    own = {full for _, full in places}
    for node, full in places:
        if node.get("kind") != "hardlink":
            _owner_and_mode(node, full)
    for parent in parents:
        if parent not in own:  # a directory that an edit touched gets the time of an edit
            os.utime(parent, ns=(mtime_ns(MTIME), mtime_ns(MTIME) + 10**9))
    for node, full in reversed(places):
        if node.get("kind") != "hardlink":
            when = mtime_ns(node.get("mtime", MTIME))
            os.utime(full, ns=(when, when), follow_symlinks=False)


def _kind(node: dict[str, Any]) -> str:
    return str(node.get("kind") or ("file" if node["path"] else "dir"))


def _make(node: dict[str, Any], full: bytes, base: bytes, source: Any) -> None:
    kind = _kind(node)
    if kind == "dir":
        os.makedirs(full, exist_ok=True)
        return
    if os.path.lexists(full):
        remove(full)
    match kind:
        case "file":
            data = source(node["data"]) if "data" in node else noise(node["path"].encode(), int(node.get("size", "0")))
            with open(full, "xb") as f:
                f.write(data)
        case "symlink":
            os.symlink(to_bytes(node["to"]), full)
        case "hardlink":
            os.link(os.path.join(base, to_bytes(node["to"])), full, follow_symlinks=False)
        case "fifo":
            os.mkfifo(full)
        case "socket":
            _socket(full)
        case _:
            major, minor = map(int, node["dev"])
            os.mknod(full, 0o600 | (0o020000 if kind == "chardev" else 0o060000), os.makedev(major, minor))


def _socket(full: bytes) -> None:
    """Bound with a relative name, because the whole path may be too long for one."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(os.path.dirname(full))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.path.basename(full))
    finally:
        os.fchdir(here)
        os.close(here)


def _owner_and_mode(node: dict[str, Any], full: bytes) -> None:
    if "uid" in node or "gid" in node:
        os.lchown(full, int(node.get("uid", "-1")), int(node.get("gid", "-1")))
    kind = _kind(node)
    for name, value in node.get("xattrs", {}).items():
        os.setxattr(full, to_bytes(name), bytes.fromhex(value), follow_symlinks=False)
    if kind != "symlink":
        os.chmod(full, int(node.get("mode", "755" if kind == "dir" else "644"), 8))


def remove(full: bytes | Path) -> None:
    """A name with everything below it."""
    if os.path.isdir(full) and not os.path.islink(full):
        shutil.rmtree(full)
    else:
        os.unlink(full)


def remove_work(path: Path) -> None:
    """A working directory, whatever modes and inode flags a restore has set in it."""
    from oracle import fsattr
    for top, folders, names in os.walk(os.fsencode(path)):
        for name in [*folders, *names]:
            full = os.path.join(top, name)
            if os.path.islink(full):
                continue
            if os.path.isdir(full):
                _unlock(full, fsattr)
                os.chmod(full, 0o700)
            elif os.path.isfile(full) and os.getuid() == 0:
                _unlock(full, fsattr)
    shutil.rmtree(path)


def _unlock(full: bytes, fsattr: Any) -> None:
    """Immutable and append-only names cannot be removed."""
    try:
        fd = fsattr.open_quiet(full)
    except OSError:
        return
    try:
        fsattr.set_inode_flags(fd, 0)
    except OSError:
        pass
    finally:
        os.close(fd)
