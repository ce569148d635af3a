#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares two directory trees: names, types, contents, and the metadata that an archive keeps.

Owners, special extended attributes and devices are compared when run as root only: nobody else can restore them.
With --since, what changed in the first tree after that moment (by its ctime) counts as changed, not as different.
Exit status 0 equal, 1 different.
"""
import argparse
import errno
import json
import os
import stat
import sys

BLOCK = 1 << 20
SHOWN = 20
ROOT = os.geteuid() == 0
# What others keep, in words of the archive: user and trusted attributes, capabilities, ACLs
XATTRS = ("user.", "trusted.", "security.capability", "system.posix_acl_") if ROOT else ("user.", "system.posix_acl_")


def xattrs_of(path: bytes) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as e:
        if e.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            return {}
        raise
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in names if n.startswith(XATTRS)}


class Comparer:
    def __init__(self, left: bytes, right: bytes, since_ns: int | None) -> None:
        self.left, self.right, self.since_ns = left, right, since_ns
        self.files = self.bytes = self.changed = self.unreadable = 0
        self.differences: list[str] = []
        self.links: dict[tuple[int, int], tuple[int, int]] = {}  # inode on the left: inode on the right
        self.buffers = memoryview(bytearray(BLOCK)), memoryview(bytearray(BLOCK))

    def moved(self, *names: bytes) -> bool:
        """Whether one of these changed on the left since the moment given, or vanished."""
        if self.since_ns is None:
            return False
        for name in names:
            try:
                if os.lstat(os.path.join(self.left, name)).st_ctime_ns >= self.since_ns:
                    return True
            except FileNotFoundError:
                return True
        return False

    def differs(self, name: bytes, what: str, *changing: bytes) -> None:
        if self.moved(*(changing or (name,))):
            self.changed += 1
        else:
            self.differences.append(f"{os.fsdecode(b'/' + name)!r}: {what}")

    def content(self, name: bytes) -> None:
        one, two = self.buffers
        with open(os.path.join(self.left, name), "rb", buffering=0) as a, \
                open(os.path.join(self.right, name), "rb", buffering=0) as b:
            at = 0
            while got := a.readinto(one):
                have = 0
                while have < got and (n := b.readinto(two[have:got])):
                    have += n
                if have != got or one[:got] != two[:got]:
                    self.differs(name, f"content differs in the bytes from {at}")
                    return
                at += got

    def hard_link(self, name: bytes, a: os.stat_result, b: os.stat_result) -> None:
        """Names of one file on the left are names of one file on the right."""
        there = self.links.setdefault((a.st_dev, a.st_ino), (b.st_dev, b.st_ino))
        if there != (b.st_dev, b.st_ino):
            self.differs(name, "not a hard link to the same file")

    def entry(self, name: bytes) -> bool:
        """Compares one entry that both have; True: a directory to descend into."""
        a, b = (os.lstat(os.path.join(top, name)) for top in (self.left, self.right))
        self.files += 1
        kind = stat.S_IFMT(a.st_mode)
        if kind != stat.S_IFMT(b.st_mode):
            self.differs(name, f"type {kind:o} against {stat.S_IFMT(b.st_mode):o}")
            return False
        fields = [("mode", f"{a.st_mode:o}", f"{b.st_mode:o}"), ("mtime", a.st_mtime_ns, b.st_mtime_ns)]
        if ROOT:
            fields += [("owner", a.st_uid, b.st_uid), ("group", a.st_gid, b.st_gid)]
        if stat.S_ISREG(kind):
            fields.append(("size", a.st_size, b.st_size))
        if stat.S_ISLNK(kind):
            fields.append(("target", *(os.readlink(os.path.join(top, name)) for top in (self.left, self.right))))
        if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
            fields.append(("device", a.st_rdev, b.st_rdev))
        fields.append(("attributes", *(xattrs_of(os.path.join(top, name)) for top in (self.left, self.right))))
        for what, mine, other in fields:
            if mine != other:
                self.differs(name, f"{what} {mine} against {other}")
        if not stat.S_ISDIR(kind) and a.st_nlink > 1:
            self.hard_link(name, a, b)
        if stat.S_ISREG(kind) and a.st_size == b.st_size:
            self.bytes += a.st_size
            self.content(name)
        return stat.S_ISDIR(kind) and a.st_dev == self.device

    def names(self, top: bytes, name: bytes) -> set[bytes]:
        return set(os.listdir(os.path.join(top, name)))

    def run(self) -> None:
        self.device = os.lstat(self.left).st_dev  # other file systems are not backed up
        self.entry(b"")
        todo = [b""]
        while todo:
            folder = todo.pop()
            try:
                mine, other = self.names(self.left, folder), self.names(self.right, folder)
            except PermissionError:
                self.unreadable += 1
                continue
            except FileNotFoundError:
                self.differs(folder, "vanished")
                continue
            for base in sorted(mine | other):
                name = os.path.join(folder, base)
                if base not in other:
                    self.differs(name, "missing in the second tree", name)
                elif base not in mine:
                    self.differs(name, "not in the first tree", folder)
                else:
                    self.child(name, todo)

    def child(self, name: bytes, todo: list[bytes]) -> None:
        try:
            if self.entry(name):
                todo.append(name)
        except PermissionError:
            self.unreadable += 1
        except FileNotFoundError:
            self.differs(name, "vanished")


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("first")
    args.add_argument("second")
    args.add_argument("--since", type=int, metavar="NS", help="ns since the epoch")
    args.add_argument("--json", action="store_true", help="one JSON object instead of text")
    opts = args.parse_args()

    c = Comparer(os.fsencode(opts.first), os.fsencode(opts.second), opts.since)
    c.run()
    if opts.json:
        print(json.dumps({"files": c.files, "bytes": c.bytes, "changed": c.changed, "unreadable": c.unreadable,
                          "different": len(c.differences), "differences": c.differences[:SHOWN]}))
    else:
        for line in c.differences[:SHOWN]:
            print(line)
        if len(c.differences) > SHOWN:
            print(f"... and {len(c.differences) - SHOWN} more")
        print(f"{c.files} entries, {c.bytes} bytes compared: {len(c.differences)} differences, "
              f"{c.changed} changed meanwhile, {c.unreadable} not readable")
    return 1 if c.differences else 0


if __name__ == "__main__":
    sys.exit(main())
