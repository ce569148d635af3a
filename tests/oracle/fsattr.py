# SPDX-License-Identifier: MIT
"""File system attributes that have no function in `os`: inode flags, project id, fs type."""
from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602  # CRT-120, EXT-078
FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820  # CRT-126, EXT-075
FSXATTR = struct.Struct("<IIIII8s")
# CRT-120: "this object has no such attribute"
TOLERATED = (errno.ENOTTY, errno.ENOSYS, errno.EBADF, errno.EOPNOTSUPP, errno.EINVAL)

# CRT-122: bit of ENTRY.flags, bit of the inode (FAT attributes are not handled here)
FLAGS: dict[str, tuple[int, int]] = {
    "append": (0x00010000, 0x20), "noatime": (0x00020000, 0x80), "compr": (0x00040000, 0x04),
    "nocow": (0x00080000, 0x00800000), "nodump": (0x00100000, 0x40),
    "dirsync": (0x00200000, 0x00010000), "immutable": (0x00400000, 0x10),
    "sync": (0x00800000, 0x08), "nocomp": (0x01000000, 0x400),
    "projinherit": (0x02000000, 0x20000000),
}
NODUMP = FLAGS["nodump"][0]
INODE_MASK = sum(inode for _, inode in FLAGS.values())

# CRT-133: features by f_type; "any other" has all but project ids
XATTRS, ACLS, FCAPS, PROJID = "xattrs", "acls", "fcaps", "projid"
FEATURES: dict[int, set[str]] = {
    0x4D44: set(), 0xEF53: {XATTRS, ACLS, FCAPS, PROJID}, 0x58465342: {XATTRS, ACLS, FCAPS, PROJID},
    0x2FC12FC1: {XATTRS, ACLS, FCAPS, PROJID}, 0x9123683E: {XATTRS, ACLS, FCAPS},
    0x01021994: {ACLS}, 0x65735546: {XATTRS},
}
# CRT-061: file systems whose contents are never archived
VIRTUAL = {0x42494E4D, 0x63677270, 0x0027E0EB, 0x62656570, 0x64626720, 0x1CD1, 0xDE5E81E4,
           0x65735543, 0x958458F6, 0x19800202, 0x6E667364, 0x9FA0, 0x6165676C, 0x67596969,
           0x73636673, 0xF97CFF8C, 0x43415D53, 0x62656572}


def features(fs_type: int) -> set[str]:
    return FEATURES.get(fs_type, {XATTRS, ACLS, FCAPS})


def fs_type(fd: int) -> int:
    """f_type of fstatfs."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(512)
    if libc.fstatfs(fd, buffer) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF


def get_inode_flags(fd: int) -> int:
    """The inode's flags as bits of ENTRY.flags; 0 where unsupported."""
    try:
        raw = struct.unpack("<I", fcntl.ioctl(fd, FS_IOC_GETFLAGS, b"\0" * 8)[:4])[0]
    except OSError as e:
        if e.errno in TOLERATED:
            return 0
        raise
    return sum(entry for entry, inode in FLAGS.values() if raw & inode)


def set_inode_flags(fd: int, entry_flags: int) -> None:
    """Set exactly these flags, leaving inode flags outside CRT-122 alone."""
    old = struct.unpack("<I", fcntl.ioctl(fd, FS_IOC_GETFLAGS, b"\0" * 8)[:4])[0]
    new = old & ~INODE_MASK | sum(inode for entry, inode in FLAGS.values() if entry_flags & entry)
    if new != old:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("<Q", new))


def get_projid(fd: int) -> int:
    """Quota project id; 0 where unsupported."""
    try:
        return FSXATTR.unpack(fcntl.ioctl(fd, FS_IOC_FSGETXATTR, b"\0" * 28))[3]
    except OSError as e:
        if e.errno in TOLERATED:
            return 0
        raise


def set_projid(fd: int, projid: int) -> None:
    fields = list(FSXATTR.unpack(fcntl.ioctl(fd, FS_IOC_FSGETXATTR, b"\0" * 28)))
    fields[3] = projid
    fcntl.ioctl(fd, FS_IOC_FSSETXATTR, FSXATTR.pack(*fields))


def open_quiet(path: bytes) -> int:
    """Open a regular file or directory for reading without touching its access time (CRT-180)."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)
