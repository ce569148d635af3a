# SPDX-License-Identifier: MIT
"""Entries of archives as the oracle reads them, in the form of views (spec/adapters.md)."""
from __future__ import annotations

from typing import Any

from conformance.names import mtime_text, to_text
from oracle import archive_tree, pxar
from oracle.pxar_items import Entry


def entry_view(reader: pxar.Reader, entry: Entry) -> dict[str, Any]:
    out: dict[str, Any] = {"path": to_text(entry.path), "kind": entry.kind}
    if entry.link is not None:
        return out | {"target": to_text(entry.link.path)}
    out |= {"mode": f"{entry.mode & 0o7777:04o}", "uid": str(entry.uid), "gid": str(entry.gid), "mtime": mtime_text(entry.mtime_ns)}
    if entry.flags:
        out["flags"] = str(entry.flags)
    if entry.content is not None:
        out |= {"size": str(entry.content.size), "sha256": archive_tree.content_digest(reader, entry)}
    if entry.target is not None:
        out["target"] = to_text(entry.target)
    if entry.device is not None:
        out["device"] = [str(n) for n in entry.device]
    if entry.xattrs:
        out["xattrs"] = {to_text(name): value.hex() for name, value in entry.xattrs}
    if entry.fcaps is not None:
        out["fcaps"] = entry.fcaps.hex()
    if entry.projid:
        out["projid"] = str(entry.projid)
    if not entry.acl.empty():
        out["acl"] = acl_view(entry)
    return out


def acl_view(entry: Entry) -> dict[str, Any]:
    acl, out = entry.acl, {}
    for name in ("users", "groups", "default_users", "default_groups"):
        if rows := getattr(acl, name):
            out[name] = [[str(n) for n in row] for row in rows]
    if acl.group_obj is not None:
        out["group_obj"] = str(acl.group_obj)
    if acl.default is not None:
        out["default"] = [str(n) for n in acl.default]
    return out
