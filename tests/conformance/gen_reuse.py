# SPDX-License-Identifier: MIT
"""Trees and datastores of the re-use scenarios: those of testdata/golden/reuse and the worked ones of spec/vectors/reuse.json.

A datastore holds the snapshot that a backup in metadata mode will refer to, laid by the oracle exactly as recorded, so that what is
re-used does not depend on how a client cut its own first backup.
"""
from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tempfile
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from conformance.cases import CaseError
from conformance.gen_basic import GOLDEN, scenario, splitmix64, vectors
from conformance.gen_stores import T0, put_chunk, put_index, put_manifest
from conformance.generate import tree_generator
from oracle import index, manifest, pxar_write

MTIME = 1_700_000_000
# reuse.py leaves this directory's time to the clock; the recorded archive has this one
CLOCK = {("directory-replaced-by-file", 2): ("b", 1795300300807660374)}
Rows = list[tuple[int, bytes]]  # end, digest
INVERTED = bytes(range(255, -1, -1))


@lru_cache(maxsize=None)
def recorded(name: str) -> list[dict[str, Any]]:
    return list(json.loads((GOLDEN / "reuse" / f"{name}.json").read_text())["generations"])


def worked(name: str) -> dict[str, Any]:
    return dict(next(s for s in vectors("reuse")["scenarios"] if s["id"] == name))


# ---- trees ----

@tree_generator("scenario-at")
def scenario_at(path: Path, name: str, generation: int) -> None:
    """A golden scenario after so many generations of edits."""
    for number in range(generation + 1):
        scenario(path, name, number)
    if late := CLOCK.get((name, generation)):
        os.utime(path / late[0], ns=(late[1], late[1]))


def put(path: Path, data: bytes, mtime: int = MTIME) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o644)
    os.utime(path, (mtime, mtime))


def stamp(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        os.chmod(folder, 0o755)
        os.utime(folder, (MTIME, MTIME))


@tree_generator("worked-tree")
def worked_tree(path: Path, name: str) -> None:
    """A tree of the worked scenarios."""
    path.mkdir()
    for name_, what, arg in vectors("reuse")["trees"][name]:
        if what == "symlink":
            (path / name_).symlink_to(arg)
            os.utime(path / name_, (MTIME, MTIME), follow_symlinks=False)
        elif what == "link":
            (path / name_).parent.mkdir(exist_ok=True)
            os.link(path / arg, path / name_)
        else:
            put(path / name_, splitmix64(arg, what))
    stamp(path)


@tree_generator("worked-edit")
def worked_edit(path: Path, name: str) -> None:
    """The edits of one worked scenario."""
    for what, file, *args in worked(name)["edits"]:
        at = path / file
        if what == "remove":
            at.unlink()
        elif what == "append":
            put(at, at.read_bytes() + args[0].encode())
        elif what == "chmod":
            at.chmod(int(args[0], 8))
        elif what == "mtime":
            os.utime(at, (args[0], args[0]))
        elif what == "add":
            put(at, splitmix64(args[1], args[0]))
        elif what == "rename":
            at.rename(path / args[0])
        else:
            raise CaseError(f"edit {what!r}")
    stamp(path)


def chain(name: str) -> list[str]:
    """A worked scenario and those before it, first one first."""
    before = worked(name).get("on")
    return [*(chain(before) if before else []), name]


@tree_generator("worked-at")
def worked_at(path: Path, name: str) -> None:
    """The tree that a worked scenario backs up."""
    first, *later = chain(name)
    worked_tree(path, worked(first)["tree"])
    for one in later:
        worked_edit(path, one)


@tree_generator("rot")
def rot(path: Path) -> None:
    """Inverts every byte of every regular file and puts the time back: what is not read is not noticed. Twice: as before."""
    for folder, _, names in os.walk(path):
        for name in names:
            at = Path(folder) / name
            if at.is_file() and not at.is_symlink() and at.stat().st_size:
                before = at.stat()
                at.write_bytes(at.read_bytes().translate(INVERTED))
                os.utime(at, ns=(before.st_mtime_ns, before.st_mtime_ns))


@tree_generator("set")
def set_attributes(path: Path, file: str, mtime_ns: str = "", mode: str = "", uid: str = "", xattr: dict[str, str] | None = None, grow: str = "",
                   rename: str = "") -> None:
    """Changes one thing about a file; its time stays, and those of directories, unless that is what is changed."""
    folders = {Path(f): os.stat(f).st_mtime_ns for f, _, _ in os.walk(path)}
    at = path / file
    before = at.stat().st_mtime_ns
    if grow:
        at.write_bytes(at.read_bytes() + bytes(int(grow)))
    for name, value in (xattr or {}).items():
        os.setxattr(at, name, bytes.fromhex(value))
    if uid:
        os.chown(at, int(uid), -1)
    if mode:
        at.chmod(int(mode, 8))
    os.utime(at, ns=(int(mtime_ns or before), int(mtime_ns or before)))
    if rename:
        at.rename(path / rename)
    for folder, when in folders.items():
        os.utime(folder, ns=(when, when))


# ---- datastores ----

def stream_of(root: Path, references: list[tuple[str, int]], size: int) -> bytes:
    """What is known of a payload stream from its references; the rest is zero."""
    stream = bytearray(size)
    stream[:16] = bytes.fromhex("d24e4a19c2684c831000000000000000")
    stream[-16:] = bytes.fromhex("b5814c988bb7726c1000000000000000")
    for path, offset in references:
        data = (root / path).read_bytes()
        stream[offset:offset + 16 + len(data)] = struct.pack("<QQ", 0x28147A1B0B7C1A25, 16 + len(data)) + data
    return bytes(stream)


def put_raw(store: Path, stream: bytes, start: int, end: int, digest: str) -> bytes:
    """A chunk that was cut from the stream; its digest has to begin as recorded."""
    made = put_chunk(store, stream[start:end], None, False)
    if not made.hex().startswith(digest):
        raise CaseError(f"chunk {start}..{end}: {made.hex()}, recorded is {digest}")
    return made


def put_snapshot(store: Path, archive: bytes, rows: Rows) -> None:
    folder = store / "host/c1/2023-11-14T22:13:20Z"
    folder.mkdir(parents=True)
    (folder.parent / "owner").write_text("root@pam\n")
    found = manifest.Manifest("host", "c1", T0)
    raw = index.build_dynamic(rows, bytes(16), T0)
    (folder / "root.ppxar.didx").write_bytes(raw)
    found.files.append(manifest.File("root.ppxar.didx", rows[-1][0], hashlib.sha256(raw[4096:]).digest(), "none"))
    size, csum = put_index(store, folder / "root.mpxar.didx", archive, 0, None, False)
    found.files.append(manifest.File("root.mpxar.didx", size, csum, "none"))
    put_manifest(folder, found, None)


@tree_generator("golden-reference")
def golden_reference(path: Path, name: str, generation: int) -> None:
    """The original's snapshot of a generation of a golden scenario."""
    (path / ".chunks").mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work) / "tree"
        for number in range(generation + 1):
            scenario(tree, name, number)
            row = recorded(name)[number]
            if "payload_size" not in row:
                continue
            stream = stream_of(tree, [(p, o) for p, kind, o, _ in row["refs"] if kind == "ref"], row["payload_size"])
            start = 0
            for end, digest, kind in row["index"]:
                if kind == "raw":
                    put_raw(path, stream, start, end, digest)
                start = end
    rows = [(end, bytes.fromhex(digest)) for end, digest, _ in recorded(name)[generation]["index"]]
    put_snapshot(path, (GOLDEN / "reuse" / f"{name}.g{generation}.mpxar").read_bytes(), rows)


def worked_rows(case: dict[str, Any], before: Rows, cut: Callable[[int, int, str], bytes]) -> Rows:
    """The payload index of a worked scenario: chunks of the previous one as they were, others by `cut(start, end, beginning of
    the digest)`."""
    rows: Rows = []
    for entry in case["index"]:
        start = rows[-1][0] if rows else 0
        if isinstance(entry, dict):
            for number in range(entry["previous"][0], entry["previous"][1] + 1):
                start += before[number][0] - (before[number - 1][0] if number else 0)
                rows.append((start, before[number][1]))
            assert start == entry["end"]
        else:
            rows.append((entry[0], cut(start, entry[0], entry[1])))
    return rows


def end_of(entry: Any) -> int:
    return int(entry["end"] if isinstance(entry, dict) else entry[0])


@tree_generator("worked-reference")
def worked_reference(path: Path, name: str) -> None:
    """The snapshot that a worked scenario refers to: that of the one before it."""
    (path / ".chunks").mkdir(parents=True)
    rows: Rows = []
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory() as work:
        for one in chain(name)[:-1]:
            case, tree = worked(one), Path(work) / "tree"
            if "tree" in case:
                worked_tree(tree, case["tree"])
            else:
                worked_edit(tree, one)
            references = [(p, o) for p, o in case["references"]]
            stream = stream_of(tree, references, end_of(case["index"][-1]))
            rows = worked_rows(case, rows, partial(put_raw, path, stream))
            ranges = [(at, at + size) for at, size, _ in case["injections"]]
            reuse = {os.fsencode(p): o for p, o in references if any(a <= o < b for a, b in ranges)}
            archive = io.BytesIO()
            pxar_write.create(str(tree), archive, io.BytesIO(), pxar_write.Options(reuse=reuse, injections=[(at, size) for at, size, _ in case["injections"]]))
    put_snapshot(path, archive.getvalue(), rows)
