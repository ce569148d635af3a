# SPDX-License-Identifier: MIT
"""What the tests of the two draft formats share: backups, what the server saw, and the independent implementation."""
from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from support import ROOT, T0, Client, Server, noise, oracle_store, snapshot_dirs, stored_bytes

from oracle import catalog, draft_appendix, index, pxar_write
from oracle.pxar import parse

META, PLD, DATA = "root.pxar.meta.didx", "root.pxar.pld.didx", "root.pxar.data.didx"
PLAIN, CATALOG = "root.pxar.didx", "catalog.pcat1.didx"
NOT_RELEASED = "is a draft that was never released"
USING_SPLIT = f"Using previous index as metadata reference for '{META}'"
USING_APPENDIX = f"Using previous catalog as metadata reference for '{PLAIN}'"
NO_MANIFEST = "No previous manifest, fallback to regular mode"
assert ROOT


class Draft:
    """One backup in a draft format: its figures by archive name, and what it said."""

    def __init__(self, client: Client, profile: str, source: Path | str, at: int, *extra: str, mode: str = "metadata",
                 chunk_size: int = 64, **kw: Any) -> None:
        specs = [source] if isinstance(source, str) else [f"root.pxar:{source}"]
        result = client.expect_ok("backup", *specs, "--backup-id", "box", "--backup-time", str(T0 + at), "--chunk-size",
                                  str(chunk_size), "--change-detection-mode", mode, "--format-profile", profile,
                                  "--output-format", "json", *extra, **kw)
        self.lines = [line.rstrip() for line in result.lines()]
        self.json = result.json()
        self.archives: dict[str, dict[str, Any]] = {a["name"]: a for a in self.json["archives"]}

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.archives[name]


def split(client: Client, source: Path | str, at: int, *extra: str, **kw: Any) -> Draft:
    return Draft(client, "draft-split", source, at, *extra, **kw)


def appendix(client: Client, source: Path | str, at: int, *extra: str, **kw: Any) -> Draft:
    return Draft(client, "draft-appendix", source, at, *extra, **kw)


def requests(server: Server, method: str, path: str, since: int = 0) -> list[dict[str, Any]]:
    return [e for e in server.journal_lines()[since:]
            if e["event"] == "request" and e["method"] == method and e["path"].split("?")[0] == path]


def files_of(store: Path, which: int = -1, keyed: bool = False) -> list[str]:
    """Names in the manifest, in its order."""
    found = oracle_store(store, keyed)
    return [f.filename for f in found.manifest(found.snapshots()[which]).files]


def rows(store: Path, which: int, name: str) -> list[tuple[int, int, bytes]]:
    """Start, end and digest of each chunk."""
    path = store / snapshot_dirs(store)[which].path / name
    return index.parse(path.read_bytes()).chunks


def stream(store: Path, which: int, name: str, tmp: Path, keyed: bool = False) -> bytes:
    return stored_bytes(store, snapshot_dirs(store)[which].path, name, tmp / "stream", keyed)


def split_model(source: Path, exclude: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
    """Both streams of draft-split, everything encoded, by the independent writer."""
    archive, payload = io.BytesIO(), io.BytesIO()
    options = pxar_write.Options([e.encode() for e in exclude], normalise=True, draft=True)
    pxar_write.create(str(source), archive, payload, options)
    return archive.getvalue(), payload.getvalue()


def appendix_model(store: Path, which: int, source: Path, exclude: tuple[str, ...] = (), threshold: int = 2 << 20,
                   keyed: bool = False) -> tuple[bytes, bytes]:
    """Archive and catalog that a metadata run with snapshot `which` as reference makes, by the independent writer."""
    found = oracle_store(store, keyed)
    snapshot = found.snapshots()[which]
    files = found.manifest(snapshot)
    old = found.stream(snapshot, CATALOG, files)
    entries, start = draft_appendix.entries_by_path(catalog.parse(old.read(0, old.size)), PLAIN.encode())
    if not catalog.is_extended(old.read(0, old.size)):
        entries = {}
    encrypted = files.file(PLAIN).crypt_mode == "encrypt"
    reference = draft_appendix.Reference(entries, start, found.index(snapshot, files.file(PLAIN)).chunks,
                                         lambda digest, size: found.chunk(digest, size, encrypted))
    options = pxar_write.Options([e.encode() for e in exclude], normalise=True)
    archive, names, _ = draft_appendix.create(str(source), PLAIN.encode(), options, reference, threshold=threshold)
    return archive, names


def check_appendix_step(store: Path, tmp: Path, source: Path, which: int, exclude: tuple[str, ...] = (),
                        threshold: int = 2 << 20) -> None:
    """Snapshot `which`, made with the one before it as reference and `source` as it is now, is what the model makes."""
    archive, names = appendix_model(store, which - 1, source, exclude, threshold)
    assert stream(store, which, PLAIN, tmp) == archive
    assert stream(store, which, CATALOG, tmp) == names


def plain_tree(path: Path, files: int = 24, size: int = 200_000, seed: int = 1) -> Path:
    for i in range(files):
        folder = path / f"d{i * 3 // files}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{i:03d}").write_bytes(noise(1000 * seed + i, size + 17 * i))
    return path


__all__ = ["parse"]
