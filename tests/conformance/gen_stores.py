# SPDX-License-Identifier: MIT
"""Datastores laid by the oracle, and damage done to snapshots: consistent in everything but what a case names."""
from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

from conformance.cases import CaseError
from conformance.generate import edit as edited
from conformance.generate import source, store_edit, tree_generator
from oracle import blob, index, manifest
from oracle.crypto import Key
from oracle.datastore import Snapshot, Store, time_text
from oracle.pxar import Reader

T0 = 1_700_000_000
MIB4 = 4 << 20


# ---- laying ----

def put_chunk(store: Path, data: bytes, key: Key | None, compress: bool) -> bytes:
    """Its digest."""
    digest = blob.digest_of(data, key is not None, key)
    path = store / ".chunks" / digest.hex()[:4] / digest.hex()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob.encode(data, compress=compress, key=key, iv=hashlib.sha256(b"iv" + digest).digest()[:16]))
    return digest


def put_index(store: Path, path: Path, data: bytes, cut: int, key: Key | None, compress: bool) -> tuple[int, bytes]:
    """An index of pieces of `cut` bytes; size and checksum for the manifest."""
    fixed = path.suffix == ".fidx"
    step = MIB4 if fixed else cut or len(data)
    pieces = [data[at:at + step] for at in range(0, len(data), step)]
    digests = [put_chunk(store, piece, key, compress) for piece in pieces]
    if fixed:
        raw = index.build_fixed(len(data), step, digests, bytes(16), T0)
    else:
        ends = [min(at + step, len(data)) for at in range(0, len(data), step)]
        raw = index.build_dynamic(list(zip(ends, digests)), bytes(16), T0)
    path.write_bytes(raw)
    return len(data), hashlib.sha256(raw[index.HEADER_SIZE:]).digest()


def put_manifest(folder: Path, found: manifest.Manifest, key: Key | None) -> None:
    if key is not None:
        found.unprotected = {**found.unprotected, "key-fingerprint": key.fingerprint_text()}
        found.signature = manifest.signature(found, key)
    (folder / "index.json.blob").write_bytes(blob.encode(manifest.text_form(found).encode()))


def group_folder(store: Path, ns: str, group: str) -> Path:
    folder = store
    for name in filter(None, ns.split("/")):
        folder = folder / "ns" / name
        folder.mkdir(parents=True, exist_ok=True)
    return folder / group


@tree_generator("snapshots")
def snapshots(path: Path, files: dict[str, Any] | None = None, key: str = "", mode: str = "", ns: str = "", group: str = "host/c1",
              time: str = str(T0), owner: str = "root@pam", unprotected: dict[str, Any] | None = None, namespaces: list[str] | None = None) -> None:
    """One snapshot. `files`: server names with {"of": source, "cut": bytes, "compress": true}; `key`: 32 bytes in hex; `mode`: with
    a key `encrypt` or `sign-only`. Without files only the namespaces are made."""
    (path / ".chunks").mkdir(parents=True, exist_ok=True)
    for name in namespaces or []:
        group_folder(path, name, "").mkdir(parents=True, exist_ok=True)
    if not files:
        return
    sealing = Key(bytes.fromhex(key)) if key else None
    mode = mode or ("encrypt" if sealing else "none")
    kind, _, name = group.partition("/")
    found = manifest.Manifest(kind, name, int(time))
    folder = group_folder(path, ns, group) / time_text(int(time))
    folder.mkdir(parents=True)
    (folder.parent / "owner").write_text(owner + "\n")
    for filename, how in files.items():
        data, cipher, compress = source(how["of"]), sealing if mode == "encrypt" else None, bool(how.get("compress"))
        if filename.endswith(".blob"):
            raw = blob.encode(data, compress=compress, key=cipher, iv=bytes(16))
            (folder / filename).write_bytes(raw)
            size, csum = len(raw), hashlib.sha256(raw).digest()
        else:
            size, csum = put_index(path, folder / filename, data, int(how.get("cut", "0")), cipher, compress)
        found.files.append(manifest.File(filename, size, csum, mode))
    found.unprotected = dict(unprotected or {})
    put_manifest(folder, found, sealing)


# ---- damage ----

def newest(store: Path) -> Snapshot:
    found = Store(str(store)).snapshots()
    if not found:
        raise CaseError("no snapshot to damage")
    return max(found, key=lambda s: s.time)


def folder_of(store: Path) -> Path:
    return store / newest(store).path


def chunk_path(store: Path, archive: str, number: int) -> Path:
    chunks = index.parse((folder_of(store) / archive).read_bytes()).chunks
    digest = chunks[number][2].hex()
    return store / ".chunks" / digest[:4] / digest


@store_edit("chunk")
def damage_chunk(store: Path, archive: str, number: str = "0", edit: list[dict[str, Any]] | None = None, of: dict[str, Any] | None = None,
                 key: str = "") -> None:
    """Damages the n-th chunk of an index (from the end if negative): edited bytes, a blob of other data, or removed."""
    path = chunk_path(store, archive, int(number))
    if edit is not None:
        raw = path.read_bytes()
        for one in edit:
            raw = edited(raw, one)
        path.write_bytes(raw)
    elif of is not None:
        path.write_bytes(blob.encode(source(of), key=Key(bytes.fromhex(key)) if key else None, iv=bytes(16)))
    else:
        path.unlink()


@store_edit("file")
def damage_file(store: Path, name: str, edit: list[dict[str, Any]] | None = None) -> None:
    """A file of the newest snapshot: edited, or removed."""
    path = folder_of(store) / name
    if edit is None:
        path.unlink()
        return
    raw = path.read_bytes()
    for one in edit:
        raw = edited(raw, one)
    path.write_bytes(raw)


def change_manifest(store: Path, change: Any) -> None:
    path = folder_of(store) / "index.json.blob"
    value = json.loads(blob.decode(path.read_bytes()))
    change(value)
    path.write_bytes(blob.encode(json.dumps(value).encode(), compress=False))


@store_edit("manifest")
def damage_manifest(store: Path, set: dict[str, Any] | None = None, file: str = "", members: dict[str, Any] | None = None, drop: list[str] | None = None,
                    text: str | None = None) -> None:
    """Members of the manifest or of one of its files, or another text; stored as a sound blob, not signed anew."""
    if text is not None:
        (folder_of(store) / "index.json.blob").write_bytes(blob.encode(text.encode()))
        return

    def change(value: dict[str, Any]) -> None:
        value.update(set or {})
        for name in drop or []:
            value["files"] = [f for f in value["files"] if f["filename"] != name]
        for one in value["files"]:
            if one["filename"] == file:
                one.update(members or {})
    change_manifest(store, change)


@store_edit("agree")
def agree(store: Path, name: str) -> None:
    """The manifest's size and checksum of an index as they are now."""
    raw = (folder_of(store) / name).read_bytes()
    size = struct.unpack_from("<Q", raw, len(raw) - 40)[0] if len(raw) > 4096 else 0

    def change(value: dict[str, Any]) -> None:
        for one in value["files"]:
            if one["filename"] == name:
                one["csum"], one["size"] = hashlib.sha256(raw[4096:]).hexdigest(), size
    change_manifest(store, change)


@store_edit("index")
def damage_index(store: Path, name: str, edit: list[dict[str, Any]]) -> None:
    """A dynamic index is edited behind its header, and checksum and manifest are made to agree."""
    path = folder_of(store) / name
    raw = path.read_bytes()
    body = raw[4096:]
    for one in edit:
        body = edited(body, one)
    path.write_bytes(raw[:32] + hashlib.sha256(body).digest() + raw[64:4096] + body)
    agree(store, name)


def contents(store: Path, name: str) -> bytes:
    found, snapshot = Store(str(store)), newest(store)
    stream = found.stream(snapshot, name, found.manifest(snapshot))
    return b"".join(stream.blocks(0, stream.size))


@store_edit("archive")
def replace_archive(store: Path, name: str, of: dict[str, Any] | None = None, edit: list[dict[str, Any]] | None = None) -> None:
    """Other contents, in chunks, index and manifest that agree with it."""
    data = source(of) if of is not None else contents(store, name)
    for one in edit or []:
        data = edited(data, one)
    put_index(store, folder_of(store) / name, data, 0, None, False)
    agree(store, name)


@store_edit("references")
def change_references(store: Path, name: str, swap: list[str] | None = None, set: dict[str, int] | None = None) -> None:
    """Payload references of a split archive: those of two paths swapped, or set to offsets."""
    data = bytearray(contents(store, name))
    found, snapshot = Store(str(store)), newest(store)
    reader = Reader(found.stream(snapshot, name, found.manifest(snapshot)), None, lax_refs=True)
    places = {os.fsdecode(e.path): next(i.offset for i in e.items if i.type == "PAYLOAD_REF") + 16 for e in reader if e.kind == "file"}
    if swap:
        one, two = (places[p] for p in swap)
        data[one:one + 8], data[two:two + 8] = data[two:two + 8], data[one:one + 8]
    for path, offset in (set or {}).items():
        struct.pack_into("<Q", data, places[path], offset)
    put_index(store, folder_of(store) / name, bytes(data), 0, None, False)
    agree(store, name)


@store_edit("verify-failed")
def verify_failed(store: Path) -> None:
    """As a failed verification leaves it."""
    def change(value: dict[str, Any]) -> None:
        value.setdefault("unprotected", {})["verify_state"] = {
            "state": "failed", "upid": "UPID:elsa:00004F37:00000000:00000000:65530000:verify:store1:root@pam:"}
    change_manifest(store, change)
