# covers: IDX-100 IDX-104 IDX-105 IDX-120 IDX-121 BLOB-091
# SPDX-License-Identifier: MIT
"""store init, verify, gc, stat: on datastores that backups filled, checked with the independent reader."""
from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import (T0, Client, Repo, assert_holds, assert_same, assert_sound, chunk_files, noise, small_tree, snapshots_of)

SNAPSHOT = "host/box/2023-11-14T22:13:20Z"


def build_two(folder: Path, client: Client) -> None:
    """Two snapshots of a group; the image of the first is in no other."""
    source = small_tree(folder / "source", 3)
    (folder / "image").write_bytes(noise(1, 9 << 20))
    client.backup(f"root.pxar:{source}", f"disk.img:{folder / 'image'}")
    client.backup(f"root.pxar:{source}", "--chunk-size", "64", at=T0 + 10, mode="data")
    assert_sound(folder / "store1", snapshots=2)
    for snapshot in snapshots_of(folder / "store1"):
        assert_holds(folder / "store1", snapshot, "root.pxar", source)


@pytest.fixture
def filled(prebuilt: Callable[..., Path], open_repo: Callable[[str, Path], Repo]) -> Repo:
    return open_repo("dir", prebuilt("two", build_two))


def age(store: Path, days: float = 3) -> None:
    then = time.time() - days * 86400
    for p in store.rglob("*"):
        os.utime(p, (then, then), follow_symlinks=False)


# ---- init ----

def test_init(make_client: Callable[..., Client], tmp_path: Path) -> None:
    client = make_client()
    client.expect_ok("store", "init", "--lazy", tmp_path / "lazy")
    assert (tmp_path / "lazy/.chunks").is_dir() and (tmp_path / "lazy/.chunks").stat().st_mode & 0o7777 == 0o750
    client.expect_ok("store", "verify", tmp_path / "lazy")
    (tmp_path / "file").write_text("x")
    client.expect_failure(1, "", "store", "init", "--lazy", tmp_path / "file")
    client.expect_failure(1, "", "store", "init", "--lazy", "/proc/nowhere/store")
    client.expect_failure(2, "missing argument", "store", "init")
    assert (tmp_path / "file").read_text() == "x"


def test_init_of_a_datastore_keeps_it(filled: Repo) -> None:
    before = {p: p.stat().st_mtime_ns for p in filled.store.rglob("*") if p.is_file()}
    filled.client.expect_ok("store", "init", "--lazy", filled.store)
    assert before.items() <= {p: p.stat().st_mtime_ns for p in filled.store.rglob("*") if p.is_file()}.items()
    assert_sound(filled.store, snapshots=2)


def test_init_makes_all_chunk_directories(make_client: Callable[..., Client], memory_path: Path) -> None:
    make_client().expect_ok("store", "init", memory_path / "store")
    names = sorted(n for n in os.listdir(memory_path / "store/.chunks") if len(n) == 4)
    assert names == [f"{i:04x}" for i in range(65536)]


@pytest.mark.parametrize("verb", [["verify"], ["gc"], ["stat"]])
def test_directory_that_is_no_datastore(make_client: Callable[..., Client], tmp_path: Path, verb: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    client = make_client()
    for path in (tmp_path / "empty", tmp_path / "nothing"):
        assert client.run("store", *verb, path).exit in (1, 3)
    assert list((tmp_path / "empty").iterdir()) == [] and not (tmp_path / "nothing").exists()
    result = client.run("list", "--repository", f"dir:{tmp_path / 'empty'}")
    assert result.exit in (1, 3) and str(tmp_path / "empty") in result.stderr


# ---- stat ----

def test_stat(filled: Repo) -> None:
    found = filled.client.expect_ok("store", "stat", filled.store, "--output-format", "json").json()
    chunks = chunk_files(filled.store)
    assert (found["groups"], found["snapshots"], found["unfinished-snapshots"], found["bad-chunks"]) == (1, 2, 0, 0)
    assert (found["chunks"], found["chunk-bytes"]) == (len(chunks), sum(p.stat().st_size for p in chunks))
    assert found["indexes"] == 5 and found["blobs"] == 2
    assert found["index-data-bytes"] > found["chunk-bytes"] * 0 and found["deduplication-factor"] >= 1
    (filled.store / "host/box/2024-01-01T00:00:00Z").mkdir()
    (filled.store / SNAPSHOT / ".protected").touch()
    found = filled.client.expect_ok("store", "stat", filled.store, "--output-format", "json").json()
    assert (found["snapshots"], found["unfinished-snapshots"], found["protected-snapshots"]) in ((2, 1, 1), (3, 1, 1))
    text = filled.client.expect_ok("store", "stat", filled.store).stdout
    assert "deduplication-factor" in text


# ---- verify ----

def test_verify_changes_nothing(filled: Repo) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in filled.store.rglob("*") if ".locks" not in str(p)}
    filled.client.expect_ok("store", "verify", filled.store)
    after = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in filled.store.rglob("*") if ".locks" not in str(p)}
    files = {p for p in before if p.is_file()}
    assert {p: after[p] for p in files if "index.json" not in p.name} == {p: before[p] for p in files if "index.json" not in p.name}
    assert before.keys() == after.keys()


def test_verify_says_which_snapshots_suffer(filled: Repo) -> None:
    victim = max(chunk_files(filled.store), key=lambda p: p.stat().st_size)  # of the image
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(raw)
    result = filled.client.run("store", "verify", filled.store)
    assert result.exit == 3 and SNAPSHOT in result.stdout + result.stderr
    report = filled.client.run("store", "verify", filled.store, "--output-format", "json").json()
    state = {s["snapshot"]: s["ok"] for s in report["snapshots"]}
    assert state == {SNAPSHOT: False, "host/box/2023-11-14T22:13:30Z": True}
    problem = next(s for s in report["snapshots"] if not s["ok"])["problems"][0]
    assert problem["file"] == "disk.img.fidx" and victim.name in problem["text"] and problem["rule"]


# ---- gc ----

def test_gc_keeps_what_is_used(filled: Repo, tmp_path: Path) -> None:
    age(filled.store)
    before = chunk_files(filled.store)
    found = filled.client.expect_ok("store", "gc", filled.store, "--output-format", "json").json()
    assert (found["removed-chunks"], found["missing-chunks"], found["disk-chunks"]) == (0, 0, len(before))
    assert found["index-files"] == 5
    assert chunk_files(filled.store) == before
    assert_sound(filled.store, snapshots=2)
    filled.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", tmp_path / "source")


def test_gc_removes_what_is_not(filled: Repo, tmp_path: Path) -> None:
    filled.client.expect_ok("snapshot", "forget", SNAPSHOT)
    age(filled.store)
    dry = filled.client.expect_ok("store", "gc", filled.store, "--dry-run", "--output-format", "json").json()
    count = len(chunk_files(filled.store))
    assert dry["removed-chunks"] >= 3 and dry["removed-bytes"] > 9_000_000
    age(filled.store)
    found = filled.client.expect_ok("store", "gc", filled.store, "--output-format", "json").json()
    assert found["removed-chunks"] == dry["removed-chunks"]
    assert len(chunk_files(filled.store)) == count - found["removed-chunks"]
    assert_sound(filled.store, snapshots=1)
    filled.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", tmp_path / "source")
    filled.client.backup(f"disk.img:{tmp_path / 'image'}", at=T0 + 20)
    assert_sound(filled.store, snapshots=2)


def test_gc_spares_what_is_young(filled: Repo) -> None:
    filled.client.expect_ok("snapshot", "forget", SNAPSHOT)
    age(filled.store, days=1 / 24)
    found = filled.client.expect_ok("store", "gc", filled.store, "--output-format", "json").json()
    pending = found["pending-chunks"]
    assert found["removed-chunks"] == 0 and pending >= 3
    found = filled.client.expect_ok("store", "gc", filled.store, "--cutoff", "0", "--output-format", "json").json()
    assert (found["removed-chunks"], found["pending-chunks"]) == (pending, 0)


def test_gc_says_what_is_missing(filled: Repo) -> None:
    victim = chunk_files(filled.store)[0]
    victim.unlink()
    assert filled.client.expect_ok("store", "gc", filled.store, "--output-format", "json").json()["missing-chunks"] == 1


def test_gc_cleans_up_temporary_files(filled: Repo) -> None:
    folder = chunk_files(filled.store)[0].parent
    (folder / (folder.name + "0" * 60 + ".tmp_abcdef")).write_bytes(b"x")
    age(filled.store)
    filled.client.expect_ok("store", "gc", filled.store)
    assert not list(folder.glob("*.tmp_*"))
    assert_sound(filled.store, snapshots=2)
