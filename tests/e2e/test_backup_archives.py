# covers: BKP-220 BKP-221 BKP-222 BKP-223 BKP-228 BKP-229 BKP-248 BKP-271 BKP-273 BKP-276 CAT-070 CAT-071 CAT-072 CAT-073 CAT-074
# covers: CAT-075 CAT-080 CAT-081 CAT-083 CHK-056 CLI-030 CLI-031 CLI-032 CLI-042 CLI-044 CLI-050 CLI-051 CLI-070 MAN-030
# covers: MAN-031 MAN-032 MAN-034
# SPDX-License-Identifier: MIT
"""What a backup writes: the datastore is read with the independent reader and compared with the source, byte for byte."""
from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from support import (CLIENT_OUTPUT, ROOT_USER, T0, Client, Repo, assert_holds, assert_same, assert_sound, golden_module,
                     golden_tree, manifest_of, noise, oracle_store, small_tree, snapshot_dirs, snapshots_of, stored_bytes)

MIB4 = 4 << 20
# average chunk sizes of archives whose cuts depend on nothing else (CHK-064)
AVERAGES = {".mpxar.didx": MIB4, ".pxar.didx": MIB4, ".pcat1.didx": 512 << 10}
needs_root = pytest.mark.skipif(not ROOT_USER, reason="owners, devices and trusted attributes need root")


def files_of(store: Path, snapshot: str = "host/box/latest") -> list[str]:
    return [f.filename for f in manifest_of(store, snapshot).files]


@needs_root
@pytest.mark.parametrize("mode", ["legacy", "data"])
def test_all_golden_trees_in_one_archive(repo: Repo, tmp_path: Path, mode: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in golden_module("trees").TREES:
        golden_tree(name, source / name)
    repo.client.backup(f"root.pxar:{source}", mode=mode)
    assert_sound(repo.store, snapshots=1, averages=AVERAGES)
    assert_holds(repo.store, "host/box/latest", "root.pxar", source)
    repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    again = tmp_path / "again"
    repo.client.backup(f"root.pxar:{tmp_path / 'out'}", mode=mode, at=T0 + 1, group="again")
    assert_holds(repo.store, "host/again/latest", "root.pxar", tmp_path / "out")
    repo.client.expect_ok("restore", "host/again", "root.pxar", again)
    assert_same(tmp_path / "out", again)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("mode", ["legacy", "data"])
def test_random_tree(dir_repo: Repo, tmp_path: Path, mode: str, seed: int) -> None:
    source = small_tree(tmp_path / "source", seed=seed, entries=120)
    dir_repo.client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode=mode)
    assert_sound(dir_repo.store, snapshots=1)
    assert_holds(dir_repo.store, "host/box/latest", "root.pxar", source)
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", source)


@pytest.mark.parametrize("mode", ["legacy", "data"])
def test_several_sources_in_one_backup(repo: Repo, tmp_path: Path, mode: str) -> None:
    one, two = small_tree(tmp_path / "one", 4), small_tree(tmp_path / "two", 5)
    files = {"image": noise(1, MIB4 + 12345), "conf": b"key: value\n", "log": b"", "big": noise(2, 300_000)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    result = repo.client.backup("etc.conf:" + str(tmp_path / "conf"), f"b.pxar:{one}", f"disk.img:{tmp_path / 'image'}",
                                f"a.pxar:{two}", f"empty.log:{tmp_path / 'log'}", f"big.conf:{tmp_path / 'big'}", mode=mode)
    if mode == "legacy":
        wanted = ["etc.conf.blob", "b.pxar.didx", "disk.img.fidx", "a.pxar.didx", "empty.log.blob", "big.conf.blob",
                  "catalog.pcat1.didx"]
    else:
        wanted = ["etc.conf.blob", "b.ppxar.didx", "b.mpxar.didx", "disk.img.fidx", "a.ppxar.didx", "a.mpxar.didx",
                  "empty.log.blob", "big.conf.blob"]
    assert files_of(repo.store) == wanted
    assert [a["name"] for a in result["archives"]] == wanted
    assert result["snapshot"] == "host/box/2023-11-14T22:13:20Z"
    assert_sound(repo.store, snapshots=1, averages=AVERAGES)
    assert_holds(repo.store, "host/box/latest", "b.pxar", one)
    assert_holds(repo.store, "host/box/latest", "a.pxar", two)
    stored = {"disk.img": "image", "etc.conf": "conf", "empty.log": "log", "big.conf": "big"}
    for archive, name in stored.items():
        assert stored_bytes(repo.store, "host/box/latest", archive, tmp_path / "x") == files[name]
        assert repo.client.expect_ok("restore", "host/box", archive, "-").out == files[name]
        repo.client.expect_ok("restore", "host/box", archive, tmp_path / f"out-{archive}")
        assert (tmp_path / f"out-{archive}").read_bytes() == files[name]


# ---- catalog ----

@needs_root
def test_catalog_lines_are_the_original_clients(repo: Repo, tmp_path: Path) -> None:
    source = golden_tree("nested", tmp_path / "source")
    for at, mode, name in ((T0, "legacy", "catalog-legacy"), (T0 + 1, "data", "catalog-split")):
        repo.client.backup(f"root.pxar:{source}", mode=mode, at=at)
        snapshot = snapshots_of(repo.store)[-1]
        golden = (CLIENT_OUTPUT / f"{name}.txt").read_text().splitlines()[1:-1]
        result = repo.client.expect_ok("catalog", "dump", snapshot)
        assert result.lines() == [line.rstrip() for line in golden]
        assert result.out == b""


def test_catalog_lines_of_odd_names(dir_repo: Repo, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in (b'quote"', b"back\\slash", b"new\nline", b"\xff", "ä".encode(), b"\x01", b"it's"):
        (Path(os.fsdecode(os.path.join(os.fsencode(source), name)))).touch()
    os.utime(source / "ä", (0, T0))
    dir_repo.client.backup(f"b.pxar:{source}", f"a.pxar:{source}")
    lines = dir_repo.client.expect_ok("catalog", "dump", snapshots_of(dir_repo.store)[0], env={"TZ": "UTC-02:30"}).lines()
    names = [r"\u{1}", r"back\\slash", r"it's", r"new\nline", r'quote\"', "ä", r"\xFF"]
    assert [line.split(" 0 ")[0] for line in lines] == [
        text for archive in ("b", "a")
        for text in [f'd "./{archive}.pxar.didx"', *(f'f "./{archive}.pxar.didx/{name}"' for name in names)]]
    assert f'f "./b.pxar.didx/ä" 0 2023-11-15T00:43:20Z' in lines


def test_only_legacy_archives_have_a_catalog(dir_repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", entries=5)
    (tmp_path / "conf").write_bytes(b"x")
    dir_repo.client.backup(f"a.conf:{tmp_path / 'conf'}")
    assert files_of(dir_repo.store) == ["a.conf.blob"]
    dir_repo.client.expect_failure(1, "neither a catalog nor a metadata archive", "catalog", "dump", snapshots_of(dir_repo.store)[0])
    dir_repo.client.backup(f"a.pxar:{source}", mode="data", at=T0 + 1)
    assert files_of(dir_repo.store) == ["a.ppxar.didx", "a.mpxar.didx"]
    assert_holds(dir_repo.store, "host/box/latest", "a.pxar", source)
    dir_repo.client.expect_failure(2, "unable to parse backup snapshot path 'host/box'", "catalog", "dump", "host/box")


# ---- images ----

@pytest.mark.parametrize("size", [1, 4095, MIB4 - 1, MIB4, MIB4 + 1, 2 * MIB4])
def test_image_sizes(dir_repo: Repo, tmp_path: Path, size: int) -> None:
    (tmp_path / "image").write_bytes(noise(size, size))
    dir_repo.client.backup(f"disk.img:{tmp_path / 'image'}")
    index = oracle_store(dir_repo.store).index(snapshot_dirs(dir_repo.store)[0],
                                               manifest_of(dir_repo.store, "host/box/latest").file("disk.img.fidx"))
    assert (index.size, index.chunk_size, len(index.chunks)) == (size, MIB4, -(-size // MIB4))
    assert_sound(dir_repo.store)
    dir_repo.client.expect_ok("restore", "host/box", "disk.img", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "image").read_bytes()
    assert stored_bytes(dir_repo.store, "host/box/latest", "disk.img", tmp_path / "x") == (tmp_path / "image").read_bytes()


def test_image_with_repeated_and_zero_chunks(repo: Repo, tmp_path: Path) -> None:
    block = noise(9, MIB4)
    data = block + bytes(2 * MIB4) + block + bytes(1000)
    (tmp_path / "image").write_bytes(data)
    result = repo.client.backup(f"disk.img:{tmp_path / 'image'}")
    archive = result["archives"][0]
    assert (archive["chunks"], archive["new_chunks"], archive["known_chunks"]) == (5, 3, 2)
    assert_sound(repo.store, snapshots=1)
    assert repo.client.expect_ok("restore", "host/box", "disk.img", "-").out == data
    assert stored_bytes(repo.store, "host/box/latest", "disk.img", tmp_path / "x") == data


@pytest.mark.parametrize("size", [1, MIB4, 2 * MIB4 + 77])
def test_image_from_a_pipe(repo: Repo, tmp_path: Path, size: int) -> None:
    data, fifo = noise(size, size), tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(data))
    writer.start()
    try:
        repo.client.backup(f"disk.img:{fifo}")
    finally:
        writer.join()
    assert_sound(repo.store, snapshots=1)
    assert manifest_of(repo.store, "host/box/latest").file("disk.img.fidx").size == size
    assert stored_bytes(repo.store, "host/box/latest", "disk.img", tmp_path / "x") == data


# ---- options ----

@pytest.mark.parametrize("mode", ["legacy", "data"])
def test_excludes(dir_repo: Repo, tmp_path: Path, mode: str) -> None:
    source = tmp_path / "source"
    for name in ("keep/a.tmp", "keep/b", "gone/x", "deep/gone/y", "c.tmp"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "keep/.pxarexclude").write_text("b\n")
    dir_repo.client.backup(f"root.pxar:{source}", "--exclude", "*.tmp", "--exclude", "/gone", mode=mode)
    assert_sound(dir_repo.store)
    assert_holds(dir_repo.store, "host/box/latest", "root.pxar", source, exclude=("*.tmp", "/gone"))
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*"))
    extra = [".pxarexclude-cli"] if mode == "legacy" else []
    assert found == sorted([*extra, "deep", "deep/gone", "deep/gone/y", "keep", "keep/.pxarexclude"])
    if mode == "legacy":
        assert (tmp_path / "out/.pxarexclude-cli").read_bytes().splitlines() == [b"*.tmp", b"/gone"]
    else:
        dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out2", "--prelude-target", tmp_path / "prelude")
        assert b"*.tmp" in (tmp_path / "prelude").read_bytes()


def test_messages(repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", entries=10)
    (tmp_path / "conf").write_bytes(b"x\n")
    args = ("backup", f"root.pxar:{source}", f"etc.conf:{tmp_path / 'conf'}", "--backup-id", "box", "--backup-type", "ct")
    name = repo.server.repository() if repo.server else f"dir:{repo.store}"
    lines = repo.client.expect_ok(*args, "--backup-time", str(T0)).lines()
    assert lines[0] == "Starting backup: ct/box/2023-11-14T22:13:20Z"
    assert lines[1].startswith("Client name: ")
    assert lines[2].startswith("Starting backup protocol: ")
    assert lines[3] == "No previous manifest available."
    assert lines[4] == f"Upload directory '{source}' to '{name}' as root.pxar.didx"
    assert lines[5].startswith("root.pxar: had to backup ")
    assert lines[6] == f"Upload config file '{tmp_path / 'conf'}' to '{name}' as etc.conf.blob"
    assert lines[7].startswith("Uploaded backup catalog (")
    assert lines[8].startswith("Duration: ")
    assert lines[9].startswith("End Time: ")
    lines = repo.client.expect_ok(*args, "--backup-time", str(T0 + 60), "--change-detection-mode", "data").lines()
    assert lines[3] == "Downloading previous manifest (Tue Nov 14 22:13:20 2023)"
    assert lines[4].endswith(" as root.mpxar.didx")
    assert_sound(repo.store, snapshots=2)
    for snapshot in snapshots_of(repo.store):
        assert_holds(repo.store, snapshot, "root.pxar", source)


def test_dry_run_leaves_nothing(repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", entries=10)
    lines = repo.client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--dry-run").lines()
    assert any(line.startswith(f"Would upload directory '{source}' to ") and line.endswith(" as root.pxar.didx")
               for line in lines)
    assert "dry-run: no upload happened" in lines
    assert snapshots_of(repo.store) == []
    assert list((repo.store / ".chunks").glob("????/*")) == []


@pytest.mark.parametrize(("code", "text", "args"), [
    (2, "'bad name.pxar:/tmp' is not a backup source", ["bad name.pxar:/tmp"]),
    (2, "is not a backup source", ["a.b.pxar:/tmp"]),
    (2, "is not a backup source", ["a.tar:/tmp"]),
    (2, "is not a backup source", ["a.pxar:"]),
    (2, "got target twice: 'a.pxar'", ["a.pxar:/etc", "a.pxar:/etc"]),
    (1, "unable to access '/nonexistent'", ["a.pxar:/nonexistent"]),
    (1, "No such file or directory", ["a.img:/nonexistent"]),
    (2, "got unexpected file type (expected directory)", ["a.pxar:/etc/passwd"]),
    (2, "got unexpected file type (expected regular file)", ["a.conf:/etc"]),
    (2, "got unexpected file type (expected file, block device, or fifo): /etc", ["a.img:/etc"]),
    (2, "got unexpected file type (expected file, block device, or fifo)", ["a.img:/dev/null"]),
    (1, "use '/dev/stdin' instead of '-'", ["a.img:-"]),
    (2, "got zero-sized file '/proc/self/status'", ["a.img:/proc/self/status"]),
    (2, "chunk", ["a.pxar:/etc", "--chunk-size", "63"]),
    (2, "chunk", ["a.pxar:/etc", "--chunk-size", "100"]),
    (2, "chunk", ["a.pxar:/etc", "--chunk-size", "8192"]),
    (2, "backup-type", ["a.pxar:/etc", "--backup-type", "nope"]),
    (2, "backup-time", ["a.pxar:/etc", "--backup-time", "0"]),
    (2, "change-detection-mode", ["a.pxar:/etc", "--change-detection-mode", "fast"]),
    (2, "nosuch", ["a.pxar:/etc", "--nosuch"]),
    (2, "duplicate", ["a.pxar:/etc", "--backup-id", "a", "--backup-id", "b"]),
    (2, "all-file-systems", ["a.pxar:/etc", "--all-file-systems", "--include-dev", "/"]),
])
def test_refused_before_anything_is_sent(dir_repo: Repo, code: int, text: str, args: list[str]) -> None:
    dir_repo.client.expect_failure(code, text, "backup", *args)
    assert snapshot_dirs(dir_repo.store) == []


def test_illegal_ids_are_refused(dir_repo: Repo, tmp_path: Path) -> None:
    for ident in ("", "../x", "a/b", ".hidden", "a b"):
        result = dir_repo.client.run("backup", "a.pxar:/etc", f"--backup-id={ident}")
        assert result.exit in (2, 3), result.stderr
    assert snapshot_dirs(dir_repo.store) == []


def test_source_may_be_a_link_to_a_directory(dir_repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", entries=10)
    (tmp_path / "link").symlink_to(source)
    dir_repo.client.backup(f"root.pxar:{tmp_path / 'link'}")
    assert_holds(dir_repo.store, "host/box/latest", "root.pxar", source)


def test_default_group_is_the_host_name(dir_repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", entries=3)
    dir_repo.client.expect_ok("backup", f"root.pxar:{source}")
    snapshot = snapshots_of(dir_repo.store)[0]
    assert snapshot.split("/")[:2] == ["host", os.uname().nodename.partition(".")[0]]
    assert_holds(dir_repo.store, snapshot, "root.pxar", source)


def test_empty_directory(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for at, mode in ((T0, "legacy"), (T0 + 1, "data")):
        repo.client.backup(f"root.pxar:{tmp_path / 'source'}", mode=mode, at=at)
        assert_holds(repo.store, "host/box/latest", "root.pxar", tmp_path / "source")
        repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / mode)
        assert_same(tmp_path / mode, tmp_path / "source")
    assert_sound(repo.store, snapshots=2)


def test_backup_time_must_be_new(repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", entries=3)
    repo.client.backup(f"root.pxar:{source}")
    for at in (T0, T0 - 1):
        repo.client.expect_failure(4, "backup timestamp is older than last backup." if at < T0 else "", "backup", f"root.pxar:{source}",
                          "--backup-id", "box", "--backup-time", str(at))
    assert snapshots_of(repo.store) == ["host/box/2023-11-14T22:13:20Z"]
    assert_holds(repo.store, "host/box/latest", "root.pxar", source)
