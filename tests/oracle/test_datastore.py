# covers: IDX-022 IDX-030 IDX-051 IDX-094 IDX-100 IDX-107 IDX-109 IDX-110 IDX-111 IDX-116 BLOB-087 BLOB-088 BLOB-091
# covers: BLOB-092 CAT-060 CAT-061 CAT-062 CAT-063 CAT-064 CAT-070 CHK-003 CRY-042 CRY-043 MAN-001 MAN-024 MAN-030
# covers: MAN-031 MAN-032 MAN-036 MAN-048 MAN-052 MAN-072
# SPDX-License-Identifier: MIT
"""The golden datastore: verified, restored, compared with its rebuilt sources, then damaged."""
from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from . import archive_tree, blob, catalog, manifest, tree
from .golden import GOLDEN, golden_module
from .crypto import load_key
from .datastore import Store, time_text
from .errors import OracleError
from .patterns import Selection, parse
from .test_tree import run
from .verify import flat_catalog, flat_entries, verify

KEY = str(GOLDEN / "datastore" / "client-output" / "key-none.json")
T1, T2, T3 = "2023-11-14T22:13:20Z", "2023-11-14T22:15:00Z", "2023-11-14T22:16:40Z"
# archives made by the dynamic chunker alone, so with predictable cuts (CHK-064)
AVERAGES = {".mpxar.didx": 4194304, ".pxar.didx": 4194304, ".pcat1.didx": 524288}
# snapshot, tree of trees.py, whether it needs the key, exclude patterns
TREES = [
    (f"host/legacy/{T1}", "nested", False, []), (f"host/legacy/{T2}", "nested", False, []),
    (f"host/split/{T1}", "nested", False, []), (f"host/split/{T2}", "nested", False, []),
    (f"host/excludes/{T1}", "nested", False, [b"leaf", b"/d0/d1"]),
    (f"host/mixed/{T1}", "special-files", False, []),
    (f"host/sign/{T1}", "special-files", True, []),
    (f"host/enc/{T1}", "special-files", True, []), (f"host/enc/{T2}", "special-files", True, []),
]


def store_of(root: str, keyed: bool = False) -> Store:
    return Store(root, load_key(KEY) if keyed else None)


@pytest.mark.parametrize("keyed", [False, True])
def test_verify(golden_store: str, keyed: bool) -> None:
    report = verify(golden_store, load_key(KEY) if keyed else None, AVERAGES)
    assert report.problems == []
    assert (report.snapshots, report.files, report.unreferenced, report.bad) == (12, 28, 0, 0)
    assert report.chunks == sum(len(files) for _, _, files in os.walk(golden_store + "/.chunks"))


@pytest.mark.parametrize("path,name,keyed,exclude", TREES, ids=[t[0] for t in TREES])
def test_trees(golden_store: str, path: str, name: str, keyed: bool, exclude: list[bytes],
               build: Callable[[str], str], full_fs: Path) -> None:
    store, source = store_of(golden_store, keyed), build(name)
    snapshot = store.find(path)
    wanted = tree.scan(source, Selection([parse(p) for p in exclude]))
    assert tree.compare(archive_tree.capture(store.reader(snapshot, "root.pxar")), wanted) == []
    target = str(full_fs / "target")
    archive_tree.extract(store.reader(snapshot, "root.pxar"), target)
    assert tree.compare(tree.scan(target), wanted) == []


def test_reuse(golden_store: str, scenario: Callable[[str, int], str]) -> None:
    store = store_of(golden_store)
    for generation, time in enumerate((T1, T2, T3)):
        source = scenario("one-file-changed", generation)
        reader = store.reader(store.find(f"host/reuse/{time}"), "root.mpxar")
        assert tree.compare(archive_tree.capture(reader), tree.scan(source)) == []


def test_image_and_blobs(golden_store: str, tmp_path: Path) -> None:
    noise = golden_module("trees").noise
    store = store_of(golden_store)
    snapshot = store.find("host/mixed/latest")
    for name in ("disk.img", "etc.conf", "index.json", "catalog.pcat1"):
        store.copy(snapshot, name, str(tmp_path / name))
    image = noise(42, 65536) * 64 + bytes(4 << 20) + noise(43, 10000) * 100
    assert (tmp_path / "disk.img").read_bytes() == image
    assert (tmp_path / "etc.conf").read_bytes() == b"key: value\n"
    text = (tmp_path / "index.json").read_text()
    assert manifest.text_form(manifest.parse(text)) == text  # MAN-024
    keyed = store_of(golden_store, True)
    keyed.copy(keyed.find("host/enc/latest"), "etc.conf", str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == b"key: value\n"


def test_catalog_dump(golden_store: str) -> None:
    """The original's own listing of a catalog, and of a split archive (CAT-080, CAT-083)."""
    store = store_of(golden_store)
    for group, name, output in (("legacy", "root.pxar.didx", "catalog-legacy.txt"),
                                ("split", "root.mpxar.didx", "catalog-split.txt")):
        lines = (GOLDEN / "datastore" / "client-output" / output).read_text().splitlines()
        snapshot = store.find(f"host/{group}/{T1}")
        wanted = []
        for line in lines:
            if found := re.match(r'([a-z]) "\./([^"]*)"(?: (\d+) (\S+))?', line):
                kind, path, size, time = found.groups()
                wanted.append((kind, path, int(size or 0), time or time_text(0)))
        if group == "legacy":
            source = store.stream(snapshot, "catalog.pcat1.didx", store.usable(snapshot))
            flat = flat_catalog(catalog.parse(source.read(0, source.size)))
        else:
            flat = flat_entries(store.reader(snapshot, name), name)
        ours = [(kind, path.decode(), size, time_text(time)) for kind, path, size, time in flat]
        if group == "split":  # no line for the top directory
            assert sorted(ours[1:]) == sorted(wanted)
        else:
            assert ours == wanted


def test_signatures(golden_store: str) -> None:
    store, keyed = store_of(golden_store), store_of(golden_store, True)
    for group in ("enc", "sign"):
        snapshot = keyed.find(f"host/{group}/{T1}")
        found = keyed.usable(snapshot)
        assert keyed.key is not None and found.signature == manifest.signature(found, keyed.key)
        with pytest.raises(OracleError) as caught:  # also for sign-only (MAN-053)
            store.usable(snapshot)
        assert caught.value.error_class == "missing-key"


def damaged(root: str, path: str, change: Callable[[bytes], bytes]) -> list[str]:
    """Problems of the datastore with one file changed; the file is put back."""
    full = os.path.join(root, path)
    old = Path(full).read_bytes()
    try:
        Path(full).write_bytes(change(old))
        return verify(root).problems
    finally:
        Path(full).write_bytes(old)


def test_damage_is_found(golden_store: str) -> None:
    mixed = f"host/mixed/{T1}"

    def flip(at: int) -> Callable[[bytes], bytes]:
        return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

    store = store_of(golden_store)
    image = store.index(store.find(mixed), store.manifest(store.find(mixed)).file("disk.img.fidx"))
    chunk = os.path.relpath(store.chunk_path(image.chunks[-1][2]), golden_store)
    other = blob.encode(b"something else")
    for path, change, rule in (
            (chunk, lambda data: data[:-1], "BLOB-010"), (chunk, flip(20), "BLOB-010"),
            (chunk, lambda data: other, "BLOB-059"), (chunk, lambda data: b"", "BLOB-050"),
            (f"{mixed}/disk.img.fidx", flip(4100), "IDX-048"),
            (f"{mixed}/root.pxar.didx", lambda data: data[:-1], "IDX-016"),
            (f"{mixed}/root.pxar.didx", flip(4096), "IDX-010"),
            (f"{mixed}/etc.conf.blob", lambda data: other, "MAN-032"),
            (f"{mixed}/index.json.blob", lambda data: blob.encode(b"{}"), "MAN-021"),
            ("host/mixed/owner", lambda data: b"", "IDX-111")):
        found = damaged(golden_store, path, change)
        assert found and any(rule in line for line in found), (path, rule, found)
    os.rename(f"{golden_store}/{chunk}", f"{golden_store}/{chunk}.0.bad")
    assert any("is missing" in line for line in verify(golden_store).problems)
    os.rename(f"{golden_store}/{chunk}.0.bad", f"{golden_store}/{chunk}")
    for path in (f"{golden_store}/{mixed}/left.tmp_abcdef", f"{golden_store}/{chunk}.tmp_abcdef"):
        Path(path).touch()
        assert len(verify(golden_store).problems) == 1
        os.unlink(path)
    assert verify(golden_store).problems == []


def test_namespaces(golden_store: str) -> None:
    inner = f"{golden_store}/ns/a/ns/b/host"
    os.makedirs(inner)
    shutil.copytree(f"{golden_store}/host/split", f"{inner}/split")
    store = store_of(golden_store)
    assert [s.ns for s in store.snapshots() if s.id == "split"] == ["", "", "a/b", "a/b"]
    assert store.find("ns/a/ns/b/host/split/latest").time == T2
    assert verify(golden_store).problems == []


def test_command_line(golden_store: str, build: Callable[[str], str], full_fs: Path) -> None:
    source, target = build("special-files"), full_fs / "target"
    listed = [json.loads(line) for line in run("list", golden_store).stdout.splitlines()]
    assert len(listed) == 12 and all(one["finished"] for one in listed)
    done = run("verify", golden_store, "--keyfile", KEY, "--average", ".mpxar.didx=4194304")
    assert done.returncode == 0 and done.stdout.endswith("0 problems\n")
    enc, key = f"host/enc/{T2}", ("--keyfile", KEY)
    assert run("restore", golden_store, enc, "root.pxar", target, *key).returncode == 0
    assert run("tree-diff", source, target).stdout == ""
    assert run("compare", golden_store, enc, "root.pxar", source, *key).returncode == 0
    os.chmod(os.path.join(source, "regular"), 0o600)
    left = run("compare", golden_store, enc, "root.pxar", source, *key)
    assert (left.returncode, left.stdout) == (1, "'/regular': mode: '0o644' != '0o600'\n")
    left = run("compare", golden_store, enc, "root.pxar", source, *key, "--ignore", "mode")
    assert left.returncode == 0
    assert run("restore", golden_store, enc, "root.pxar", full_fs / "x").returncode == 3
    assert run("restore", golden_store, "host/x/latest", "root.pxar", full_fs / "x").returncode == 1
    raw = full_fs / "raw"
    mixed = f"host/mixed/{T1}"
    assert run("restore", golden_store, mixed, "catalog.pcat1", raw).returncode == 0
    assert '["f", "root.pxar.didx/regular", 8, 1700000000]' in run("catalog-dump", raw).stdout
    index = json.loads(run("index-dump", f"{golden_store}/{mixed}/disk.img.fidx").stdout)
    assert index["size"] == 2 * (4 << 20) + 1_000_000
    assert run("blob-decode", f"{golden_store}/{mixed}/etc.conf.blob").stdout == "key: value\n"
