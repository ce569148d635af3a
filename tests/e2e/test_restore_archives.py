# covers: API-095 CLI-060 CLI-061 CLI-062 EXT-100 EXT-101 EXT-110 EXT-111 EXT-112 EXT-113 MAN-076 RDR-020 RDR-050 RDR-066 RDR-070
# covers: RDR-071 RDR-072 RDR-073
# SPDX-License-Identifier: MIT
"""What a restore makes of a snapshot: names of archives, targets, patterns, overwriting, messages."""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import (ROOT_USER, T0, Client, Repo, assert_holds, assert_same, assert_sound, noise, oracle_store, small_tree,
                     snapshots_of, stored_bytes)

SNAPSHOT = "host/box/2023-11-14T22:13:20Z"
CONF = b"key: value\n"


def build_box(folder: Path, client: Client) -> None:
    """One legacy snapshot of tree, image and conf, and a newer one of another tree in split form."""
    source, newer = small_tree(folder / "source", 7), small_tree(folder / "newer", 8)
    (folder / "conf").write_bytes(CONF)
    (folder / "image").write_bytes(noise(3, 100_000))
    client.backup(f"root.pxar:{source}", f"etc.conf:{folder / 'conf'}", f"disk.img:{folder / 'image'}")
    client.backup(f"root.pxar:{newer}", mode="data", at=T0 + 100)
    assert_sound(folder / "store1", snapshots=2)
    assert_holds(folder / "store1", SNAPSHOT, "root.pxar", source)
    assert_holds(folder / "store1", "host/box/latest", "root.pxar", newer)


@pytest.fixture(params=["tls", "dir"])
def filled(request: pytest.FixtureRequest, prebuilt: Callable[..., Path], open_repo: Callable[[str, Path], Repo]) -> Repo:
    return open_repo(request.param, prebuilt("box", build_box))


@pytest.fixture
def local(prebuilt: Callable[..., Path], open_repo: Callable[[str, Path], Repo]) -> Repo:
    return open_repo("dir", prebuilt("box", build_box))


def names(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def test_group_means_its_newest_snapshot(filled: Repo, tmp_path: Path) -> None:
    filled.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", tmp_path / "newer")
    filled.client.expect_ok("restore", SNAPSHOT, "root.pxar", tmp_path / "old")
    assert_same(tmp_path / "old", tmp_path / "source")
    filled.client.expect_failure(1, "backup group host/none does not contain any snapshots.", "restore", "host/none", "root.pxar",
                        tmp_path / "x")


def test_group_skips_unfinished_snapshots(filled: Repo, tmp_path: Path) -> None:
    (filled.store / "host/box/2023-12-01T00:00:00Z").mkdir()
    filled.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", tmp_path / "newer")
    (filled.store / "host/empty/2023-12-01T00:00:00Z").mkdir(parents=True)
    (filled.store / "host/empty/owner").write_text("root@pam\n")
    filled.client.expect_failure(1, "backup group host/empty does not contain any finished snapshots.", "restore", "host/empty", "a.pxar",
                        tmp_path / "x")


@pytest.mark.parametrize("name", ["root.pxar", "root.pxar.didx", "root.mpxar", "root.mpxar.didx", "root.ppxar", "root.ppxar.didx"])
def test_names_of_a_split_archive(local: Repo, tmp_path: Path, name: str) -> None:
    local.client.expect_ok("restore", "host/box", name, tmp_path / "out")
    assert_same(tmp_path / "out", tmp_path / "newer")


@pytest.mark.parametrize("name", ["root.pxar", "root.pxar.didx"])
def test_names_of_one_archive(filled: Repo, tmp_path: Path, name: str) -> None:
    filled.client.expect_ok("restore", SNAPSHOT, name, tmp_path / "out")
    assert_same(tmp_path / "out", tmp_path / "source")


def test_files(filled: Repo, tmp_path: Path) -> None:
    image = (tmp_path / "image").read_bytes()
    for name, data in (("etc.conf", CONF), ("etc.conf.blob", CONF), ("disk.img", image), ("disk.img.fidx", image)):
        out = tmp_path / f"out-{name}"
        filled.client.expect_ok("restore", SNAPSHOT, name, out)
        assert out.read_bytes() == data
        assert filled.client.expect_ok("restore", SNAPSHOT, name, "-").out == data
        filled.client.expect_failure(1, f'unable to create target file "{out}"', "restore", SNAPSHOT, name, out)
        assert out.read_bytes() == data
        assert stored_bytes(filled.store, SNAPSHOT, name, tmp_path / "x") == data


def test_catalog_is_a_stream_like_others(filled: Repo, tmp_path: Path) -> None:
    data = filled.client.expect_ok("restore", SNAPSHOT, "catalog.pcat1", "-").out
    assert data == stored_bytes(filled.store, SNAPSHOT, "catalog.pcat1", tmp_path / "x")


def test_one_archive_to_standard_output(filled: Repo, tmp_path: Path) -> None:
    data = filled.client.expect_ok("restore", SNAPSHOT, "root.pxar", "-").out
    assert data == stored_bytes(filled.store, SNAPSHOT, "root.pxar", tmp_path / "x")
    filled.client.expect_failure(2, "unable to pipe split archive", "restore", "host/box", "root.pxar", "-")
    filled.client.expect_failure(2, "patterns not allowed when restoring to stdout", "restore", SNAPSHOT, "root.pxar", "-", "--pattern", "**")


def test_manifest_is_decoded_and_replaces_its_target(filled: Repo, tmp_path: Path) -> None:
    out = tmp_path / "index.json"
    out.write_text("old")
    filled.client.expect_ok("restore", SNAPSHOT, "index.json", out)
    assert out.read_bytes() == stored_bytes(filled.store, SNAPSHOT, "index.json", tmp_path / "x")
    found = json.loads(out.read_text())
    assert (found["backup-id"], found["backup-time"], found["backup-type"]) == ("box", T0, "host")
    assert filled.client.expect_ok("restore", SNAPSHOT, "index.json", "-").out == out.read_bytes()


@pytest.mark.parametrize("name", ["root.pxar.didx", "disk.img.fidx", "etc.conf.blob", "index.json.blob", "catalog.pcat1"])
def test_raw_files(local: Repo, tmp_path: Path, name: str) -> None:
    stored = name if name.count(".") > 1 else name + ".didx"
    data = local.client.expect_ok("restore", SNAPSHOT, name, "-", "--raw").out
    assert data == (local.store / SNAPSHOT / stored).read_bytes()


@pytest.mark.parametrize(("code", "text", "args"), [
    (1, "archive not found in manifest", [SNAPSHOT, "nosuch.pxar"]),
    (1, "archive not found in manifest", [SNAPSHOT, "nosuch.img"]),
    (1, "archive not found in manifest", [SNAPSHOT, "nosuch.conf"]),
    (2, "failed to parse archive type for 'root.tar'", [SNAPSHOT, "root.tar"]),
    (2, "failed to parse archive type for 'root'", [SNAPSHOT, "root"]),
    (1, "archive not found in manifest", [SNAPSHOT, "../root.pxar"]),
    (4, "snapshot host/box/2023-11-14T22:13:21Z does not exist.", ["host/box/2023-11-14T22:13:21Z", "root.pxar"]),
    (4, "does not exist.", ["host/nobox/2023-11-14T22:13:20Z", "root.pxar"]),
    (2, "unable to parse backup snapshot path 'host/box/yesterday'", ["host/box/yesterday", "root.pxar"]),
    (2, "unable to parse backup snapshot path", ["tape/box/2023-11-14T22:13:20Z", "root.pxar"]),
    (2, "unable to parse backup snapshot path", ["box", "root.pxar"]),
    (2, "missing argument", [SNAPSHOT]),
])
def test_errors(local: Repo, tmp_path: Path, code: int, text: str, args: list[str]) -> None:
    target = [] if len(args) == 1 else [tmp_path / "out"]
    local.client.expect_failure(code, text, "restore", *args, *target)
    assert not (tmp_path / "out").exists()


# ---- directories as targets ----

def test_target_must_be_new_or_empty(dir_repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", entries=20)
    dir_repo.client.backup(f"root.pxar:{source}")
    out = tmp_path / "out"
    out.mkdir()
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", out)
    assert_same(out, source)
    before = {p: p.lstat() for p in out.rglob("*")}
    result = dir_repo.client.run("restore", "host/box", "root.pxar", out)
    assert result.exit == 1 and "exist" in result.stderr, result.stderr
    assert {p: p.lstat() for p in out.rglob("*")} == before
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "no" / "such" / "parent")
    assert_same(tmp_path / "no" / "such" / "parent", source)


def overwriting_source(path: Path) -> Path:
    (path / "d").mkdir(parents=True)
    (path / "d/file").write_text("new")
    (path / "d/link").symlink_to("new")
    (path / "hard1").write_text("hard")
    os.link(path / "hard1", path / "hard2")
    return path


@pytest.mark.parametrize(("options", "exit_code", "replaced"), [
    ((), 1, ""),
    (("--allow-existing-dirs",), 1, ""),
    (("--allow-existing-dirs", "--overwrite-files"), 1, "f"),
    (("--allow-existing-dirs", "--overwrite-files", "--overwrite-symlinks"), 1, "fs"),
    (("--allow-existing-dirs", "--overwrite-files", "--overwrite-symlinks", "--overwrite-hardlinks"), 0, "fsh"),
    (("--allow-existing-dirs", "--overwrite"), 0, "fsh"),
])
def test_overwriting(dir_repo: Repo, tmp_path: Path, options: tuple[str, ...], exit_code: int, replaced: str) -> None:
    source, out = overwriting_source(tmp_path / "source"), tmp_path / "out"
    dir_repo.client.backup(f"root.pxar:{source}")
    (out / "d").mkdir(parents=True)
    for name in ("d/file", "hard1", "hard2"):
        (out / name).write_text("old")
    (out / "d/link").symlink_to("old")
    (out / "other").write_text("stays")
    result = dir_repo.client.run("restore", "host/box", "root.pxar", out, *options)
    assert result.exit == exit_code, result.stderr
    assert (out / "d/file").read_text() == ("new" if "f" in replaced else "old")
    assert os.readlink(out / "d/link") == ("new" if "s" in replaced else "old")
    assert (out / "hard2").read_text() == ("hard" if "h" in replaced else "old")
    assert (out / "other").read_text() == "stays"


@pytest.mark.parametrize("mode", ["legacy", "data"])
def test_patterns(dir_repo: Repo, tmp_path: Path, mode: str) -> None:
    source = tmp_path / "source"
    for name in ("etc/a.conf", "etc/b.txt", "etc/sub/c.conf", "var/d.conf", "var/e"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    dir_repo.client.backup(f"root.pxar:{source}", mode=mode)
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out", "--pattern", "etc/**/*.conf", "--pattern", "/var/e")
    files = [n for n in names(tmp_path / "out") if (tmp_path / "out" / n).is_file()]
    assert files == ["etc/a.conf", "etc/sub/c.conf", "var/e"]
    for name in files:
        assert (tmp_path / "out" / name).read_text() == name
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "none", "--pattern", "nothing/matches")
    assert names(tmp_path / "none") == []


def test_prelude_goes_to_its_file(dir_repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", entries=10)
    dir_repo.client.backup(f"root.pxar:{source}", mode="data")
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out", "--prelude-target", tmp_path / "prelude")
    assert_same(tmp_path / "out", source)
    found = oracle_store(dir_repo.store)
    reader = found.reader(found.find("host/box/latest"), "root.pxar")
    next(iter(reader))
    if reader.prelude is None:
        assert not (tmp_path / "prelude").exists()
    else:
        assert (tmp_path / "prelude").read_bytes() == reader.prelude


def test_attributes_can_be_left_out(dir_repo: Repo, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("x")
    try:
        os.setxattr(source / "f", "user.a", b"1")
    except OSError:
        pytest.skip("no extended attributes here")
    (source / "f").chmod(0o4751)
    if ROOT_USER:
        os.chown(source / "f", 1234, 1234)
        (source / "f").chmod(0o4751)
    dir_repo.client.backup(f"root.pxar:{source}")
    run = ("restore", "host/box", "root.pxar")
    dir_repo.client.expect_ok(*run, tmp_path / "all")
    assert_same(tmp_path / "all", source)
    dir_repo.client.expect_ok(*run, tmp_path / "some", "--ignore-xattrs", "--ignore-ownership", "--ignore-permissions", "--ignore-acls")
    found = (tmp_path / "some/f").stat()
    assert os.listxattr(tmp_path / "some/f") == []
    assert found.st_uid == os.getuid()
    assert found.st_mode & 0o7777 != 0o4751
    assert (tmp_path / "some/f").read_text() == "x"


@pytest.mark.skipif(not ROOT_USER, reason="devices need root")
def test_old_snapshots_stay_what_they_were(repo: Repo, tmp_path: Path) -> None:
    kept = {}
    for i in range(4):
        kept[f"tree{i}"] = small_tree(tmp_path / f"tree{i}", seed=i)
        repo.client.backup(f"root.pxar:{kept[f'tree{i}']}", at=T0 + i, mode=("legacy", "data")[i % 2])
    assert_sound(repo.store, snapshots=4)
    for i, snapshot in enumerate(snapshots_of(repo.store)):
        repo.client.expect_ok("restore", snapshot, "root.pxar", tmp_path / f"out{i}")
        assert_same(tmp_path / f"out{i}", kept[f"tree{i}"])
