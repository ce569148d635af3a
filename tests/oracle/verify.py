# SPDX-License-Identifier: MIT
"""Verifies everything in a datastore: manifests, indexes, blobs, chunks, archives, catalogs."""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from . import blob, catalog, chunker, index, manifest
from .crypto import Key
from .datastore import CLIENT_LOG, MANIFEST, Snapshot, Store, check_blob, time_text
from .errors import OracleError
from .pxar_items import Entry

LETTERS = {"dir": "d", "file": "f", "symlink": "l", "hardlink": "h", "blockdev": "b",
           "chardev": "c", "fifo": "p", "socket": "s"}


@dataclass(slots=True)
class Report:
    """What was found; `problems` is empty if all is well."""
    problems: list[str] = field(default_factory=list)
    snapshots: int = 0
    files: int = 0
    chunks: int = 0
    unreferenced: int = 0
    bad: int = 0


class Verifier:
    def __init__(self, store: Store, averages: dict[str, int] | None = None):
        """`averages`: file name ending to average chunk size, to compare cuts exactly (CHK-064)."""
        self.store, self.report = store, Report()
        self.averages = averages or {}
        self.done: set[tuple[bytes, int, bool]] = set()
        self.failed: set[tuple[bytes, int, bool]] = set()

    def problem(self, where: str, error: object) -> None:
        self.report.problems.append(f"{where}: {error}")

    def run(self) -> Report:
        for snapshot in self.store.snapshots():
            self.report.snapshots += 1
            try:
                self.snapshot(snapshot)
            except (OracleError, OSError) as e:
                self.problem(snapshot.path, e)
        self.chunk_directory()
        return self.report

    def snapshot(self, snapshot: Snapshot) -> None:
        if self.store.owner(snapshot) is None:
            self.problem(snapshot.path, "[IDX-111]: group without owner")
        present = set(os.listdir(self.store.full(snapshot)))
        if MANIFEST not in present:
            self.problem(snapshot.path, "[IDX-116]: not finished, no manifest")
            return
        files = self.store.manifest(snapshot)
        named = (files.type, files.id, time_text(files.time))
        if named != (snapshot.type, snapshot.id, snapshot.time):
            self.problem(snapshot.path, "[MAN-023]: manifest names another snapshot")
        names = [f.filename for f in files.files]
        for extra in sorted(present - set(names) - {MANIFEST, CLIENT_LOG, ".protected"}):
            self.problem(f"{snapshot.path}/{extra}", "[MAN-075]: not in the manifest")
        if CLIENT_LOG in present:
            blob.load(self.store.raw(snapshot, CLIENT_LOG))
        if len(names) != len(set(names)):
            self.problem(snapshot.path, "[MAN-023]: file listed twice")
        for entry in files.files:
            self.report.files += 1
            try:
                self.file(snapshot, entry)
            except (OracleError, OSError) as e:
                self.problem(f"{snapshot.path}/{entry.filename}", e)
        self.contents(snapshot, files)

    def file(self, snapshot: Snapshot, entry: manifest.File) -> None:
        """MAN-073."""
        name = entry.filename
        if not index.safe_name(name) or name.rpartition(".")[2] not in index.TYPES:
            raise OracleError("IDX-081", None, "bad file name")
        if index.archive_type(entry.filename) == "blob":
            raw = self.store.raw(snapshot, entry.filename)
            check_blob(entry, raw)
            if not blob.parse(raw).encrypted or self.store.key:
                blob.decode(raw, self.store.key)
            return
        found = self.store.index(snapshot, entry)
        if found.kind == "fixed" and found.chunk_size != index.SERVER_CHUNK_SIZE:  # IDX-049
            raise OracleError("IDX-049", 72, f"chunk size {found.chunk_size}")
        for start, end, digest in found.chunks:
            if not 1 <= end - start <= blob.MAX_CHUNK:  # CHK-009
                raise OracleError("CHK-009", None, f"chunk of {end - start} bytes")
            self.chunk(digest, end - start, entry.crypt_mode == "encrypt")

    def chunk(self, digest: bytes, size: int, encrypted: bool) -> None:
        """Each chunk once; without the key encrypted ones by CRC and kind only (BLOB-091)."""
        what = (digest, size, encrypted)
        if what in self.failed:
            raise OracleError("BLOB-091", None, f"chunk {digest.hex()} is bad")
        if what in self.done:
            return
        try:
            if encrypted and self.store.key is None:
                self.store.load_chunk(digest, encrypted)
            else:
                self.store.chunk(digest, size, encrypted)
        except OracleError:
            self.failed.add(what)
            raise
        self.done.add(what)
        self.report.chunks += 1

    # -- what the archives hold ----------------------------------------------------------------

    def contents(self, snapshot: Snapshot, files: manifest.Manifest) -> None:
        """Parse archives and compare the catalog with them (CAT-060..065)."""
        archives: dict[str, list[tuple[str, bytes, int, int]]] = {}
        places: dict[bytes, tuple[str, int]] = {}
        stored = None
        for entry in files.files:
            name = entry.filename
            if entry.crypt_mode == "encrypt" and self.store.key is None:
                continue
            try:
                if name.endswith((".pxar.didx", ".mpxar.didx", ".pxar.meta.didx")):
                    reader = self.store.reader(snapshot, name, files)
                    entries = list(reader)
                    archives[name] = list(flat_entries(entries, name))
                    places |= flat_places(entries, name, reader.appendix)
                elif name == "catalog.pcat1.didx":
                    source = self.store.stream(snapshot, name, files)
                    data = source.read(0, source.size)
                    stored = list(flat_catalog(catalog.parse(data)))
                    if catalog.is_extended(data):
                        self.places(f"{snapshot.path}/{name}", catalog.parse(data), places)
                self.cuts(snapshot, files, name)
            except (OracleError, OSError) as e:
                self.problem(f"{snapshot.path}/{name}", e)
        if stored is not None:
            wanted = [line for lines in archives.values() for line in lines]
            for one, two in zip(stored, wanted):
                if one != two:
                    self.problem(f"{snapshot.path}/catalog.pcat1.didx",
                                 f"[CAT-062]: {one} where the archive has {two}")
                    return
            if len(stored) != len(wanted):
                self.problem(f"{snapshot.path}/catalog.pcat1.didx",
                             f"[CAT-062]: {len(stored)} entries, the archives have {len(wanted)}")

    def places(self, where: str, items: list[catalog.Item], wanted: dict[bytes, tuple[str, int]]) -> None:
        """Positions in an extended catalog; it comes behind all archives (APX-072..074)."""
        found = {path: (item.type, item.position) for path, item in walk_catalog(items)
                 if item.type in "fra"}
        for path in sorted(found.keys() | wanted.keys()):
            if found.get(path) != wanted.get(path):
                self.problem(where, f"[APX-072]: {path!r} at {found.get(path)}, not {wanted.get(path)}")

    def cuts(self, snapshot: Snapshot, files: manifest.Manifest, name: str) -> None:
        """Chunk boundaries against the reference chunker, where they are deterministic."""
        average = next((a for ending, a in self.averages.items() if name.endswith(ending)), None)
        if average is None:
            return
        source = self.store.stream(snapshot, name, files)
        wanted = chunker.fast_cuts(source.read(0, source.size), average)
        if wanted != [end for _, end, _ in source.index.chunks]:
            raise OracleError("CHK-030", None, f"not cut as an average of {average} demands")

    def chunk_directory(self) -> None:
        """Placement and leftovers in `.chunks` (IDX-100, IDX-104, IDX-105)."""
        used = {digest.hex() for digest, _, _ in self.done | self.failed}
        base = os.path.join(self.store.root, ".chunks")
        for prefix in sorted(os.listdir(base)):
            inside = os.path.join(base, prefix)
            for name in sorted(os.listdir(inside)) if os.path.isdir(inside) else [prefix]:
                if name.endswith(".bad"):
                    self.report.bad += 1
                elif name[:4] != prefix or not re.fullmatch("[0-9a-f]{64}", name):
                    self.problem(f".chunks/{prefix}/{name}", "[IDX-100]: misplaced or left over")
                else:
                    self.report.unreferenced += name not in used


def flat_entries(entries: Iterable[Entry], archive: str) -> Iterable[tuple[str, bytes, int, int]]:
    """An archive as catalog lines (type, path, size, mtime)."""
    top = archive.encode()
    for entry in entries:
        path = top + b"/" + entry.path if entry.path else top
        size, mtime = (entry.content.size, entry.mtime_secs) if entry.content else (0, 0)
        yield LETTERS[entry.kind], path, size, mtime


def flat_places(entries: Iterable[Entry], archive: str,
                appendix: tuple[int, int]) -> dict[bytes, tuple[str, int]]:
    """What an extended catalog says of an archive: the archive itself, and every regular file."""
    top = archive.encode()
    out = {top: ("a", appendix[0])}
    for entry in entries:
        if entry.kind == "file":
            ref = entry.appendix is not None
            out[top + b"/" + entry.path] = ("r", entry.appendix or 0) if ref else ("f", entry.start)
    return out


def walk_catalog(items: list[catalog.Item]) -> Iterable[tuple[bytes, catalog.Item]]:
    """Entries with their paths, parents before children, iteratively."""
    stack = [(b"", iter(items))]
    while stack:
        prefix, rest = stack[-1]
        item = next(rest, None)
        if item is None:
            stack.pop()
            continue
        path = prefix + item.name
        yield path, item
        if item.type in catalog.DIRS:
            stack.append((path + b"/", iter(item.children)))


def flat_catalog(items: list[catalog.Item]) -> Iterable[tuple[str, bytes, int, int]]:
    """A catalog as lines; the draft's entries as what they stand for (APX-082)."""
    for path, item in walk_catalog(items):
        yield {"r": "f", "a": "d"}.get(item.type, item.type), path, item.size, item.mtime


def verify(root: str, key: Key | None = None, averages: dict[str, int] | None = None) -> Report:
    """Verify a whole datastore."""
    return Verifier(Store(root, key), averages).run()
