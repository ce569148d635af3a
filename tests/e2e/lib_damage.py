# SPDX-License-Identifier: MIT
"""Damage done to snapshots of a datastore: indexes, manifests and archives that are replaced by others, consistently or not.
For plain (unencrypted) snapshots."""
from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oracle import blob
from oracle.index import build_dynamic
from oracle.pxar import Reader
from oracle.pxar_items import Entry
from support import oracle_store, snapshot_dirs


def index_rows(store: Path, which: int, name: str = "root.ppxar.didx") -> list[tuple[int, bytes]]:
    return rows_of(store / snapshot_dirs(store)[which].path / name)


def rows_of(index: Path) -> list[tuple[int, bytes]]:
    """(end, digest) of a dynamic index file."""
    data = index.read_bytes()[4096:]
    return [(struct.unpack_from("<Q", data, at)[0], data[at + 8:at + 40]) for at in range(0, len(data), 40)]


def read_manifest(store: Path, which: int) -> dict[str, Any]:
    return json.loads(blob.decode((store / snapshot_dirs(store)[which].path / "index.json.blob").read_bytes()))


def repack_manifest(store: Path, which: int, edit: Callable[[dict[str, Any]], None]) -> None:
    """Writes the manifest of a snapshot again, as an uncompressed blob."""
    manifest = read_manifest(store, which)
    edit(manifest)
    data = blob.encode(json.dumps(manifest).encode(), compress=False)
    (store / snapshot_dirs(store)[which].path / "index.json.blob").write_bytes(data)


def replace_index(store: Path, which: int, name: str, rows: list[tuple[int, bytes]]) -> None:
    """Another index, and a manifest that agrees with it."""
    data = build_dynamic(rows, bytes(16), 0)
    (store / snapshot_dirs(store)[which].path / name).write_bytes(data)

    def edit(manifest: dict[str, Any]) -> None:
        for f in manifest["files"]:
            if f["filename"] == name:
                f["csum"], f["size"] = hashlib.sha256(data[4096:]).hexdigest(), rows[-1][0]

    repack_manifest(store, which, edit)


def read_archive(store: Path, which: int, name: str = "root.mpxar.didx") -> bytes:
    found = oracle_store(store)
    snapshot = snapshot_dirs(store)[which]
    source = found.stream(snapshot, name, found.manifest(snapshot))
    return b"".join(source.blocks(0, source.size))


def replace_archive(store: Path, which: int, data: bytes, name: str = "root.mpxar.didx") -> None:
    """Another content, in chunks, index and manifest that agree with it."""
    rows = []
    for at in range(0, len(data), 1 << 20):
        piece = data[at:at + (1 << 20)]
        digest = hashlib.sha256(piece)
        path = store / ".chunks" / digest.hexdigest()[:4] / digest.hexdigest()
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(blob.encode(piece))
        rows.append((at + len(piece), digest.digest()))
    replace_index(store, which, name, rows)


def entries_of(store: Path, which: int) -> dict[bytes, Entry]:
    """Of a split archive, with the places of all items."""
    found = oracle_store(store)
    snapshot = snapshot_dirs(store)[which]
    source = found.stream(snapshot, "root.mpxar.didx", found.manifest(snapshot))
    return {entry.path: entry for entry in Reader(source, None, lax_refs=True)}


def item_at(entry: Entry, kind: str) -> int:
    """Offset of the first item of a kind that belongs to the entry."""
    return next(i.offset for i in entry.items if i.type == kind)


def patch(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new):]
