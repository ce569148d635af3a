# SPDX-License-Identifier: MIT
"""POSIX ACLs: raw Linux xattr values (CRT-115) to archive items (PXAR-105..110) and back."""
from __future__ import annotations

import struct

from .errors import OracleError
from .pxar_items import NO_MASK, Acl

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NO_ID = 0xFFFFFFFF
Record = tuple[int, int, int]  # tag, permissions, id


def parse_raw(raw: bytes) -> list[Record]:
    """The records of an ACL xattr."""
    if len(raw) < 4 or (len(raw) - 4) % 8 or raw[:4] != b"\2\0\0\0":
        raise OracleError("CRT-115", None, "not a POSIX ACL of version 2")
    return list(struct.iter_unpack("<HHI", raw[4:]))


def pack_raw(records: list[Record]) -> bytes:
    """An ACL xattr with its records in the order the kernel demands, named ones by id."""
    body = b"".join(struct.pack("<HHI", *r) for r in sorted(records, key=lambda r: (r[0], r[2])))
    return b"\2\0\0\0" + body


def canonical(raw: bytes) -> bytes:
    """The same ACL in canonical record order."""
    return pack_raw(parse_raw(raw))


def _only(records: list[Record], tag: int) -> int | None:
    return next((perm for t, perm, _ in records if t == tag), None)


def _named(records: list[Record], tag: int) -> list[tuple[int, int]]:
    return sorted((who, perm) for t, perm, who in records if t == tag)  # PXAR-110


def to_items(access: bytes | None, default: bytes | None) -> Acl:
    """What the archive stores for the two ACL xattrs of a file."""
    acl = Acl()
    if access is not None:
        records = parse_raw(access)
        acl.users, acl.groups = _named(records, USER), _named(records, GROUP)
        if _only(records, MASK) is not None:  # PXAR-107
            acl.group_obj = _only(records, GROUP_OBJ)
    if default is not None:
        records = parse_raw(default)
        fixed = [_only(records, tag) for tag in (USER_OBJ, GROUP_OBJ, OTHER, MASK)]
        if any(perm is not None for perm in fixed):  # PXAR-109
            u, g, o, m = (NO_MASK if perm is None else perm for perm in fixed)
            acl.default = (u, g, o, m)
        acl.default_users, acl.default_groups = _named(records, USER), _named(records, GROUP)
    return acl


def to_raw(acl: Acl, mode: int) -> dict[bytes, bytes]:
    """The ACL xattrs a file with these items and this mode must have (EXT-069, EXT-070)."""
    out: dict[bytes, bytes] = {}
    group_bits = mode >> 3 & 7
    if acl.users or acl.groups or acl.group_obj is not None:
        owner = group_bits if acl.group_obj is None else acl.group_obj
        records = [(USER_OBJ, mode >> 6 & 7, NO_ID), (GROUP_OBJ, owner, NO_ID),
                   (MASK, group_bits, NO_ID), (OTHER, mode & 7, NO_ID)]
        records += [(USER, perm, who) for who, perm in acl.users]
        records += [(GROUP, perm, who) for who, perm in acl.groups]
        out[ACCESS] = pack_raw(records)
    if acl.default is not None:
        fixed = zip((USER_OBJ, GROUP_OBJ, OTHER, MASK), acl.default)
        records = [(tag, perm, NO_ID) for tag, perm in fixed if perm != NO_MASK]
        records += [(USER, perm, who) for who, perm in acl.default_users]
        records += [(GROUP, perm, who) for who, perm in acl.default_groups]
        out[DEFAULT] = pack_raw(records)
    return out
