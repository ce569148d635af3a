# SPDX-License-Identifier: MIT
"""pxar item types, the name hash, goodbye table order, and the data classes of an archive."""
from __future__ import annotations

import struct
from dataclasses import dataclass, field

M64 = (1 << 64) - 1
K0, K1 = 0x83AC3F1CFBB450DB, 0xAA4F1B6879369FBD  # PXAR-010
HEADER = struct.Struct("<QQ")  # PXAR-003: type, full size
GOODBYE_RECORD = struct.Struct("<QQQ")  # PXAR-150: hash, offset, size
STAT = struct.Struct("<QQIIqII")  # PXAR-050
STAT_V1 = struct.Struct("<QQIIQ")  # PXAR-060

# PXAR-014: constant of each item and the string it is the hash of
TYPES: dict[str, tuple[int, str]] = {
    "FORMAT_VERSION": (0x730F6C75DF16A40D, "__PROXMOX_FORMAT_VERSION__"),
    "PRELUDE": (0xE309D79D9F7B771B, "__PROXMOX_FORMAT_PRELUDE__"),
    "ENTRY": (0xD5956474E588ACEF, "__PROXMOX_FORMAT_ENTRY_V2__"),
    "ENTRY_V1": (0x11DA850A1C1CCEFF, "__PROXMOX_FORMAT_ENTRY__"),
    "FILENAME": (0x16701121063917B3, "__PROXMOX_FORMAT_FILENAME__"),
    "SYMLINK": (0x27F971E7DBF5DC5F, "__PROXMOX_FORMAT_SYMLINK__"),
    "DEVICE": (0x9FC9E906586D5CE9, "__PROXMOX_FORMAT_DEVICE__"),
    "XATTR": (0x0DAB0229B57DCD03, "__PROXMOX_FORMAT_XATTR__"),
    "ACL_USER": (0x2CE8540A457D55B8, "__PROXMOX_FORMAT_ACL_USER__"),
    "ACL_GROUP": (0x136E3ECEB04C03AB, "__PROXMOX_FORMAT_ACL_GROUP__"),
    "ACL_GROUP_OBJ": (0x10868031E9582876, "__PROXMOX_FORMAT_ACL_GROUP_OBJ__"),
    "ACL_DEFAULT": (0xBBBB13415A6896F5, "__PROXMOX_FORMAT_ACL_DEFAULT__"),
    "ACL_DEFAULT_USER": (0xC89357B40532CD1F, "__PROXMOX_FORMAT_ACL_DEFAULT_USER__"),
    "ACL_DEFAULT_GROUP": (0xF90A8A5816038FFE, "__PROXMOX_FORMAT_ACL_DEFAULT_GROUP__"),
    "FCAPS": (0x2DA9DD9DB5F7FB67, "__PROXMOX_FORMAT_FCAPS__"),
    "QUOTA_PROJID": (0xE07540E82F7D1CBB, "__PROXMOX_FORMAT_QUOTA_PROJID__"),
    "HARDLINK": (0x51269C8422BD7275, "__PROXMOX_FORMAT_HARDLINK__"),
    "PAYLOAD": (0x28147A1B0B7C1A25, "__PROXMOX_FORMAT_PXAR_PAYLOAD__"),
    "PAYLOAD_REF": (0x419D3D6BC4BA977E, "__PROXMOX_FORMAT_PXAR_PAYLOAD_REF__"),
    "GOODBYE": (0x2FEC4FA642D5731D, "__PROXMOX_FORMAT_GOODBYE__"),
    "GOODBYE_TAIL": (0xEF5EED5B753E1555, "__PROXMOX_FORMAT_PXAR_GOODBYE_TAIL_MARKER__"),
    "PAYLOAD_START": (0x834C68C2194A4ED2, "__PROXMOX_FORMAT_PXAR_PAYLOAD_START_MARKER__"),
    "PAYLOAD_TAIL": (0x6C72B78B984C81B5, "__PROXMOX_FORMAT_PXAR_PAYLOAD_TAIL_MARKER__"),
    # of the draft with an appendix (APX-010..013)
    "APPENDIX": (0x9FF6C9507864B38D, "__PROXMOX_FORMAT_APPENDIX__"),
    "APPENDIX_REF": (0x849B4A17E0234F8E, "__PROXMOX_FORMAT_PXAR_APPENDIX_REF__"),
    "APPENDIX_TAIL": (0x5B1B9ABB7AE454F1, "__PROXMOX_FORMAT_APPENDIX_TAIL__"),
    "DRAFT_VERSION": (0x3AF1A225C9D83FD3, "__PROXMOX_FORMAT_VERSION_2__"),
}
CODE: dict[str, int] = {name: code for name, (code, _) in TYPES.items()}
# items that may stand in an archive (the markers of tables and payload streams may not, PXAR-223)
ARCHIVE_ITEM: dict[int, str] = {
    code: name for name, code in CODE.items()
    if name not in ("GOODBYE_TAIL", "PAYLOAD_START", "PAYLOAD_TAIL", "APPENDIX_TAIL")
}

# PXAR-020: content size limits (lowest, highest); exact for fixed structs (PXAR-021..024)
LIMITS: dict[str, tuple[int, int]] = {
    "FORMAT_VERSION": (8, 8), "ENTRY": (40, 40), "ENTRY_V1": (32, 32), "PAYLOAD_REF": (16, 16),
    "DEVICE": (16, 16), "QUOTA_PROJID": (8, 8), "ACL_GROUP_OBJ": (8, 8), "ACL_DEFAULT": (32, 32),
    "ACL_USER": (16, 16), "ACL_GROUP": (16, 16), "ACL_DEFAULT_USER": (16, 16),
    "ACL_DEFAULT_GROUP": (16, 16), "FILENAME": (2, 4097), "SYMLINK": (2, 4097),
    "HARDLINK": (10, 4105), "XATTR": (1, 65791), "FCAPS": (0, 65791), "GOODBYE": (24, M64),
    "APPENDIX": (8, 8), "APPENDIX_REF": (16, 16), "DRAFT_VERSION": (0, 0),  # APX-020, APX-035
}
# PXAR-031: the order the encoder always writes; a True marks items that may repeat (PXAR-032)
ATTRIBUTES: dict[str, tuple[int, bool]] = {
    "XATTR": (0, True), "ACL_USER": (1, True), "ACL_GROUP": (2, True), "ACL_GROUP_OBJ": (3, False),
    "ACL_DEFAULT": (4, False), "ACL_DEFAULT_USER": (5, True), "ACL_DEFAULT_GROUP": (6, True),
    "FCAPS": (7, False), "QUOTA_PROJID": (8, False),
}
NO_MASK = M64  # PXAR-100


def siphash24(data: bytes) -> int:
    """SipHash-2-4 with the format's key (PXAR-010), used for types and file names."""
    v0, v1 = K0 ^ 0x736F6D6570736575, K1 ^ 0x646F72616E646F6D
    v2, v3 = K0 ^ 0x6C7967656E657261, K1 ^ 0x7465646279746573

    def rounds(count: int, v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
        for _ in range(count):
            v0 = (v0 + v1) & M64
            v1 = (v1 << 13 & M64 | v1 >> 51) ^ v0
            v0 = v0 << 32 & M64 | v0 >> 32
            v2 = (v2 + v3) & M64
            v3 = (v3 << 16 & M64 | v3 >> 48) ^ v2
            v0 = (v0 + v3) & M64
            v3 = (v3 << 21 & M64 | v3 >> 43) ^ v0
            v2 = (v2 + v1) & M64
            v1 = (v1 << 17 & M64 | v1 >> 47) ^ v2
            v2 = v2 << 32 & M64 | v2 >> 32
        return v0, v1, v2, v3

    whole = len(data) // 8 * 8
    last = (len(data) & 0xFF) << 56 | int.from_bytes(data[whole:], "little")
    for word in (*(w for (w,) in struct.iter_unpack("<Q", data[:whole])), last):
        v3 ^= word
        v0, v1, v2, v3 = rounds(2, v0, v1, v2, v3)
        v0 ^= word
    v0, v1, v2, v3 = rounds(4, v0, v1, v2 ^ 0xFF, v3)
    return v0 ^ v1 ^ v2 ^ v3


def tree_order(count: int) -> list[int]:
    """PXAR-170: for each array slot the index of the sorted record that stands in it."""
    table = [0] * count
    following = iter(range(count))

    def place(slot: int) -> None:  # depth is log2(count)
        if slot < count:
            place(2 * slot + 1)
            table[slot] = next(following)
            place(2 * slot + 2)

    place(0)
    return table


@dataclass(slots=True)
class Item:
    """One item of an archive: type name, position of its header, full size (PXAR-003)."""
    type: str
    offset: int
    size: int


@dataclass(slots=True)
class Acl:
    """ACL items as stored (PXAR-100..110); `default` is (user_obj, group_obj, other, mask)."""
    users: list[tuple[int, int]] = field(default_factory=list)
    groups: list[tuple[int, int]] = field(default_factory=list)
    group_obj: int | None = None
    default: tuple[int, int, int, int] | None = None
    default_users: list[tuple[int, int]] = field(default_factory=list)
    default_groups: list[tuple[int, int]] = field(default_factory=list)

    def empty(self) -> bool:
        return not (self.users or self.groups or self.default_users or self.default_groups
                    or self.group_obj is not None or self.default is not None)


@dataclass(slots=True)
class Content:
    """Where a file's bytes are: in the archive (v1) or in the payload stream (v2, draft)."""
    where: str  # "archive" or "payload"
    header: int  # position of the PAYLOAD header there (PXAR-131)
    offset: int  # position of the data
    size: int


@dataclass(slots=True)
class Link:
    """A HARDLINK item: target path, distance (PXAR-074) and the FILENAME position it leads to."""
    path: bytes
    distance: int
    target: int


@dataclass(slots=True)
class Entry:
    """One entry. `path` is relative to the root, without leading slash; the root's is empty."""
    path: bytes
    kind: str  # dir file symlink blockdev chardev fifo socket hardlink
    start: int  # position of FILENAME (root: 0, PXAR-153)
    entry: int  # position of ENTRY or HARDLINK
    mode: int = 0
    flags: int = 0
    uid: int = 0
    gid: int = 0
    mtime_secs: int = 0
    mtime_nanos: int = 0
    xattrs: list[tuple[bytes, bytes]] = field(default_factory=list)
    acl: Acl = field(default_factory=Acl)
    fcaps: bytes | None = None
    projid: int | None = None
    target: bytes | None = None
    device: tuple[int, int] | None = None
    link: Link | None = None
    content: Content | None = None
    items: list[Item] = field(default_factory=list)
    appendix: int | None = None  # offset in the appendix of a file that is a reference (APX-028)
    end: int = 0  # for directories known only after their GOODBYE was read

    @property
    def mtime_ns(self) -> int:
        return self.mtime_secs * 1_000_000_000 + self.mtime_nanos
