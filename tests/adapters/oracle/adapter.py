#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adapter of tests/oracle, the independent Python implementation of every format."""
from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
sys.dont_write_bytecode = sys.pycache_prefix is None

import common  # noqa: E402
from common import Unsupported  # noqa: E402

if __name__ == "__main__":
    common.exceptions_are_crashes()

from conformance.names import to_text  # noqa: E402
from conformance.oracle_views import entry_view  # noqa: E402
from oracle import archive_tree, blob, catalog, chunker, index, manifest, pxar, pxar_write  # noqa: E402
from oracle.crypto import Key, load_key, parse_key_file  # noqa: E402
from oracle.errors import OracleError  # noqa: E402

REJECTIONS = (OracleError,)  # any other exception is a crash of the oracle
KINDS = {"d": "dir", "f": "file", "l": "symlink", "h": "hardlink", "b": "blockdev", "c": "chardev", "p": "fifo", "s": "socket"}


class Call(common.Call):
    def data(self, name: str) -> bytes:
        return (self.case / name).read_bytes()

    def key(self) -> Key | None:
        return load_key(str(self.case / "key.json")) if (self.case / "key.json").exists() else None

    def reader(self) -> pxar.Reader:
        if (self.case / "archive.mpxar").exists():
            payload = self.case / "archive.ppxar"
            return pxar.open_reader(str(self.case / "archive.mpxar"), str(payload) if payload.exists() else None)
        return pxar.open_reader(str(self.case / "archive.pxar"))


def pxar_entries(call: Call) -> None:
    reader = call.reader()
    entries = [entry_view(reader, e) for e in reader]
    view: dict[str, Any] = {"version": str(reader.version), "entries": entries}
    if reader.prelude is not None:
        view["prelude"] = reader.prelude.hex()
    call.view(view)


def pxar_items(call: Call) -> None:
    reader = call.reader()
    entries = list(reader)  # a directory's GOODBYE is known when it ends
    items = [*reader.prologue, *(item for entry in entries for item in entry.items)]
    call.view({"items": [{"type": i.type, "offset": str(i.offset), "size": str(i.size)} for i in sorted(items, key=lambda i: i.offset)]})


def pxar_verify(call: Call) -> None:
    reader = call.reader()
    for entry in reader:
        if entry.content is not None and (entry.content.where == "archive" or reader.payload is not None):
            archive_tree.content_digest(reader, entry)


def pxar_lookup(call: Call) -> None:
    reader = call.reader()
    by_path = {e.path: entry_view(reader, e) for e in reader}
    call.view({"found": [look_up(by_path, path) for path in call.names("paths")]})


def look_up(by_path: dict[bytes, Any], path: bytes) -> Any:
    """One component after the other (PXAR-271); no component is the root."""
    found, names = by_path[b""], [name for name in path.split(b"/") if name not in (b"", b".")]
    for number, name in enumerate(names):
        if name == b"..":
            raise OracleError("PXAR-271", None, "cannot enter parent directory in archive")
        if found["kind"] != "dir":
            raise OracleError("PXAR-271", None, f"{found['path']!r} is no directory")
        found = by_path.get(b"/".join(names[:number + 1]))
        if found is None:
            return None
    return found


def pxar_extract(call: Call) -> None:
    if {path.name for path in (call.case / "args").iterdir()} - {"strict", *common.OVERWRITE_FLAGS}:
        raise Unsupported
    files, symlinks, hardlinks = (call.has("overwrite") or call.has(f"overwrite-{what}") for what in ("files", "symlinks", "hardlinks"))
    over = archive_tree.Over(call.has("allow-existing-dirs"), files, symlinks, hardlinks, call.has("strict"))
    archive_tree.extract(call.reader(), str(call.out / "target"), over)


def pxar_create(call: Call) -> None:
    options = pxar_write.Options(call.patterns("exclude"), all_file_systems=call.has("all-file-systems"),
                                 xattrs=not call.has("no-xattrs"), acls=not call.has("no-acls"), fcaps=not call.has("no-fcaps"))
    split = call.has("split")
    with open(call.out / ("archive.mpxar" if split else "archive.pxar"), "xb") as archive:
        if not split:
            pxar_write.create(str(call.case / "tree"), archive, None, options)
            return
        with open(call.out / "archive.ppxar", "xb") as payload:
            pxar_write.create(str(call.case / "tree"), archive, payload, options)


def chunks(call: Call) -> None:
    data, key = call.data("data"), call.key()
    if call.has("fixed"):
        step = int(call.text("fixed"))
        ends = [min(at + step, len(data)) for at in range(0, len(data), step)]
    else:
        ends = chunker.fast_cuts(data, average(call))
    starts = [0, *ends]
    call.view({"chunks": [{"end": str(e), "digest": blob.digest_of(data[s:e], key is not None, key).hex()} for s, e in zip(starts, ends)]})


def average(call: Call) -> int:
    avg = int(call.text("avg"))
    chunker.Scanner(avg)  # refuses what is no average
    return avg


def chunk_stream(call: Call) -> None:
    data, avg, pos = call.data("data"), average(call), 0
    known = chunker.filtered(chunker.candidates(data, avg), avg)
    stream = chunker.ChunkStream(avg, chunker.FastScanner(avg, known))
    for line in call.data("script").decode().splitlines():
        kind, *numbers = line.split()
        values = list(map(int, numbers))
        if kind == "S":
            stream.suggest(*values)
        elif kind == "F":
            stream.inject(*values)
        else:
            for _ in range(values[1] if len(values) > 1 else 1):
                stream.push(data[pos:pos + values[0]])
                pos += values[0]
    call.view({"result": [{"kind": k, "size": str(n), "end": str(e)} for k, n, e in stream.finish() if n or k == "inject"]})


def blob_decode(call: Call) -> None:
    raw = call.data("blob")
    digest = bytes.fromhex(call.text("digest")) if call.has("digest") else None
    size = int(call.text("size")) if call.has("size") else None
    plain = blob.decode(raw, call.key(), digest, size)
    (call.out / "plain").write_bytes(plain)
    call.view({"kind": blob.parse(raw).kind})


def blob_encode(call: Call) -> None:
    key = call.key()
    (call.out / "blob").write_bytes(blob.encode(call.data("plain"), call.has("compress"), key, os.urandom(16) if key else None))


def index_decode(call: Call) -> None:
    fixed = (call.case / "archive.fidx").exists()
    found = index.parse(call.data("archive.fidx" if fixed else "archive.didx"), kind="fixed" if fixed else "dynamic")
    view: dict[str, Any] = {"kind": found.kind, "uuid": found.uuid.hex(), "ctime": str(found.ctime), "csum": found.csum.hex(),
                            "size": str(found.size), "chunks": [{"end": str(e), "digest": d.hex()} for _, e, d in found.chunks]}
    if fixed:
        view["chunk-size"] = str(found.chunk_size)
    view["lookups"] = []
    for offset in map(int, call.list("offsets")):
        where = found.lookup(offset)
        view["lookups"].append(where and {"chunk": str(where[0]), "start": str(offset - where[1])})
    call.view(view)


def catalog_decode(call: Call) -> None:
    entries, stack = [], [(b"", item) for item in reversed(catalog.parse(call.data("catalog.pcat1")))]
    while stack:
        above, item = stack.pop()
        path = above + b"/" + item.name if above else item.name
        one = {"path": to_text(path), "kind": KINDS[item.type]}
        if item.type == "f":
            one |= {"size": str(item.size), "mtime": str(item.mtime)}
        entries.append(one)
        stack += [(path, child) for child in reversed(item.children)]
    call.view({"entries": entries})


def manifest_verify(call: Call) -> None:
    raw = blob.decode(call.data("index.json.blob")) if (call.case / "index.json.blob").exists() else call.data("index.json")
    found, key = manifest.parse(raw), call.key()
    manifest.verify(found, key)
    if key is not None:
        manifest.check_fingerprint(found, key)
    stored = found.fingerprint()
    view = {"backup-type": found.type, "backup-id": found.id, "backup-time": str(found.time), "signed": "yes" if found.signature else "no",
            "files": [{"filename": f.filename, "size": str(f.size), "csum": f.csum.hex(), "crypt-mode": f.crypt_mode} for f in found.files]}
    call.view(view | ({"key-fingerprint": stored.hex()} if stored is not None else {}))


def key_open(call: Call) -> None:
    found = parse_key_file(call.data("key.json"))
    key = found.unlock(call.text("passphrase").encode() if call.has("passphrase") else None)
    kdf = next(iter(found.kdf)).lower() if found.kdf else "none"
    view = {"kdf": kdf, "created": str(found.created), "modified": str(found.modified), "fingerprint": key.fingerprint.hex()}
    call.view(view | ({"hint": found.hint} if found.hint is not None else {}))


VERBS: dict[str, Callable[[Call], None]] = {
    "pxar-entries": pxar_entries, "pxar-items": pxar_items, "pxar-verify": pxar_verify, "pxar-lookup": pxar_lookup,
    "pxar-extract": pxar_extract, "pxar-create": pxar_create, "chunk": chunks, "chunk-stream": chunk_stream, "blob-decode": blob_decode,
    "blob-encode": blob_encode, "index-decode": index_decode, "catalog-decode": catalog_decode, "manifest-verify": manifest_verify,
    "key-open": key_open}


def show_version() -> int:
    print(f"oracle on Python {sys.version.split()[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(common.answer(sys.argv[1:], show_version, VERBS, Call, REJECTIONS))
