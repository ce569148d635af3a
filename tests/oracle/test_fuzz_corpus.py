# covers: PXAR-220 PXAR-223 PXAR-225 IDX-015 BLOB-001 CAT-040 CAT-052 MAN-021 CRY-023 CRT-072 CHK-023
# SPDX-License-Identifier: MIT
"""The parsers in C and this oracle agree on every input of the fuzz corpus: whether it is accepted, and what is in it.

FUZZ_VIEW names the program of fuzz/view/, which `make check` builds. What only a limit of the C side refuses (a signature of
more than 64 characters, say) is not compared: the oracle has no limits.
"""
from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import blob, catalog, chunker, crypto, index, manifest, patterns, pxar
from .conftest import ROOT
from .errors import OracleError
from .pxar_items import Acl, Entry
from .source import BytesSource

VIEW = os.environ.get("FUZZ_VIEW", "")
BATCH = 200
PLAIN_MAX, CONTENT_MAX, PATHS = 1 << 20, 1 << 14, 64
KEY = crypto.Key(bytes(range(32)))
# the checker warns, the oracle refuses: a draft's payload stream without its tail marker
WARNED = {"SPL-024"}
# which view, and the targets whose inputs it takes
KINDS = {"pxar": ["pxar_dec"], "pair": ["pxar_split", "access", "extract"], "index": ["index"], "blob": ["blob"],
         "catalog": ["catalog"], "manifest": ["manifest"], "keyfile": ["manifest"], "pattern": ["pattern"],
         "chunk": ["chunk"], "tree": ["tree"]}


# ---- what the oracle makes of an input --------------------------------------------------------------

def ids(pairs: list[tuple[int, int]]) -> list[list[str]]:
    return [[str(a), str(b)] for a, b in pairs]


def acl_view(acl: Acl) -> list[Any]:
    default = None if acl.default is None else [str(n) for n in acl.default]
    return [ids(acl.users), ids(acl.groups), None if acl.group_obj is None else str(acl.group_obj), default,
            ids(acl.default_users), ids(acl.default_groups)]


WORDS = {"dir": "directory", "blockdev": "device", "chardev": "device"}


def entry_view(reader: pxar.Reader, entry: Entry) -> dict[str, Any]:
    view: dict[str, Any] = {"kind": WORDS.get(entry.kind, entry.kind), "path": entry.path.hex(), "entry": str(entry.entry)}
    if entry.link is not None:
        return view | {"link": [entry.link.path.hex(), str(entry.link.distance)]}
    stat = (entry.mode, entry.flags, entry.uid, entry.gid, entry.mtime_secs, entry.mtime_nanos)
    view |= {"stat": [str(n) for n in stat], "xattrs": [[n.hex(), v.hex()] for n, v in entry.xattrs],
             "acl": acl_view(entry.acl), "fcaps": None if entry.fcaps is None else entry.fcaps.hex(),
             "projid": None if entry.projid is None else str(entry.projid)}
    if entry.target is not None:
        view["target"] = entry.target.hex()
    if entry.device is not None:
        view["device"] = [str(n) for n in entry.device]
    if entry.content is not None:
        view["size"] = str(entry.content.size)
        if entry.content.where == "archive" or reader.payload is not None:
            view["content"] = hashlib.sha256(b"".join(reader.data(entry))).hexdigest()
    return view


def archive_view(archive: bytes, payload: bytes | None) -> dict[str, Any]:
    reader = pxar.Reader(BytesSource(archive), None if payload is None else BytesSource(payload))
    entries = list(reader)
    return {"version": str(reader.version), "prelude": None if reader.prelude is None else reader.prelude.hex(),
            "entries": [entry_view(reader, entry) for entry in entries]}


def pair_view(data: bytes) -> dict[str, Any]:
    """Layout: fuzz/support/archive.h."""
    if len(data) < 8:
        raise OracleError("", 0, "too short for an input")
    rest, size = data[8:], int.from_bytes(data[:4], "little")
    return archive_view(rest[:size], rest[size:] if data[4] & 1 else None)


def index_view(data: bytes) -> dict[str, Any]:
    found = index.parse(data, strict=False)
    return {"kind": found.kind, "uuid": found.uuid.hex(), "ctime": str(found.ctime), "csum": found.stored_csum.hex(),
            "size": str(found.size), "chunk-size": str(found.chunk_size), "real-csum": found.csum.hex(),
            "entries": [[str(s), str(e), d.hex()] for s, e, d in found.chunks]}


def blob_view(data: bytes) -> dict[str, Any]:
    plain = blob.decode(data, KEY, limit=PLAIN_MAX)
    return {"size": str(len(plain)), "content": hashlib.sha256(plain).hexdigest()}


def catalog_view(data: bytes) -> list[list[str]]:
    out: list[list[str]] = []
    stack = [(b"", item) for item in reversed(catalog.parse(data))]
    while stack:
        path, item = stack.pop()
        path = path + b"/" + item.name if path else item.name
        out.append([str(n) for n in (ord(item.type), path.hex(), item.size, item.mtime, item.ctime, item.position)])
        stack += [(path, child) for child in reversed(item.children)]
    return out


def manifest_view(data: bytes) -> dict[str, Any]:
    found = manifest.parse(data)
    try:
        unprotected = manifest.canonical(found.unprotected).hex()
    except OracleError:
        unprotected = None
    files = [[f.filename.encode().hex(), f.crypt_mode, str(f.size), f.csum.hex()] for f in found.files]
    return {"type": found.type, "id": found.id, "time": str(found.time), "files": files, "unprotected": unprotected,
            "signature": None if found.signature is None else found.signature.encode().hex()}


def keyfile_view(data: bytes) -> dict[str, Any]:
    found = crypto.parse_key_file(data)
    return {"kdf": str([None, "Scrypt", "PBKDF2"].index(next(iter(found.kdf)) if found.kdf else None))}


def one_path(line: bytes) -> bytes:
    out = b"/"
    for i in range(len(line)):
        if line[i:i + 1] != b"/" or not out.endswith(b"/"):
            out += line[i:i + 1]
    return out


def pattern_view(data: bytes) -> list[Any]:
    text, _, rest = data.partition(b"\n")
    paths = [one_path(line) for line in rest.split(b"\n")[:PATHS]]
    out: list[Any] = []
    for anchored in (False, True):
        found = patterns.parse(text, anchored=anchored)
        verdicts = [found.matches(p, lambda: True) << 1 | found.matches(p, lambda: False) for p in paths]
        out.append([found.text.hex(), found.include, found.dirs_only, verdicts])
    return [*out, patterns.normalise(text).hex()]


def chunk_view(data: bytes) -> dict[str, Any]:
    """Layout: fuzz/chunk.c. The end of the content is no cut, unless one falls there."""
    content = b""
    for _ in range(1 + data[1] % 16 if len(data) >= 4 else 0):
        if len(data) - 4 <= CONTENT_MAX - len(content):
            content += data[4:]
    ends = list(chunker.cuts(content + b"\0", 256 << data[0] % 4)) if content else []
    return {"size": str(len(content)), "ends": [str(end) for end in ends if end <= len(content)]}


VIEWS: dict[str, Callable[[bytes], Any]] = {
    "pxar": lambda data: archive_view(data, None), "pair": pair_view, "index": index_view, "blob": blob_view,
    "catalog": catalog_view, "manifest": manifest_view, "keyfile": keyfile_view, "pattern": pattern_view,
    "chunk": chunk_view,
}


# ---- comparison -------------------------------------------------------------------------------------

def inputs(kind: str) -> list[Path]:
    folders = [ROOT / "fuzz" / part / target for part in ("corpus", "regress") for target in KINDS[kind]]
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())


def views_in_c(kind: str, files: list[Path]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for start in range(0, len(files), BATCH):
        command = [VIEW, kind, *map(str, files[start:start + BATCH])]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=300)
        out += [json.loads(line) for line in done.stdout.splitlines()]
    return out


def view_here(kind: str, data: bytes) -> dict[str, Any]:
    try:
        return {"accept": True, "rule": None, "view": VIEWS[kind](data)}
    except OracleError as e:
        return {"accept": False, "rule": e.rule, "view": None}


@pytest.mark.skipif(not VIEW, reason="FUZZ_VIEW does not name the program of fuzz/view (make check does)")
@pytest.mark.parametrize("kind", sorted(VIEWS))
def test_both_accept_the_same_and_see_the_same(kind: str) -> None:
    files = inputs(kind)
    assert files
    accepted = 0
    for path, ours in zip(files, views_in_c(kind, files), strict=True):
        if ours["limit"]:
            continue
        here = view_here(kind, path.read_bytes())
        if here["rule"] in WARNED:
            continue
        accepted += here["accept"]
        assert ours["accept"] == here["accept"], (path, ours["rule"], here["rule"])
        assert ours["view"] == here["view"], path
    assert accepted > 5 and (kind == "chunk" or accepted < len(files))


@pytest.mark.skipif(not VIEW, reason="FUZZ_VIEW does not name the program of fuzz/view (make check does)")
def test_the_oracle_reads_what_the_encoder_writes() -> None:
    """Trees of the round-trip target in every form, drafts included, and what the decoder makes of them."""
    files = inputs("tree")
    assert len(files) > 20
    entries = 0
    for path, line in zip(files, views_in_c("tree", files), strict=True):
        for form, (raw, view) in enumerate(line["view"]):
            assert view_here("pair", bytes.fromhex(raw)) == {"accept": True, "rule": None, "view": view}, (path, form)
            entries += len(view["entries"])
    assert entries > 1000
