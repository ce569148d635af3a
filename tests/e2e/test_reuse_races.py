# covers: CDM-042 CDM-045 CDM-046 CDM-059 CDM-085 CRT-025 CRT-026 CRT-029 CRT-140 CRT-141 CRT-142 CRT-180 CRT-182
# covers: BKP-040 CDM-171 CDM-172 CDM-173 CDM-174 CDM-175 CDM-176 CDM-177 CDM-178
# SPDX-License-Identifier: MIT
"""A source that changes under the walk, and clocks that go back. The program is stopped right behind a system call, the change
is made, and it goes on: the snapshot holds one state or the other of what changed and all of what did not, or the backup
fails and says why. What was not seen this time is seen by the next run."""
from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from lib_faults import clock_library, run_with_change
from support import (T0, Repo, Result, archive_tree, assert_holds, assert_sound, noise, oracle_store, snapshots_of, thirty_files,
                     tree)

MODES = ("legacy", "data", "metadata", "touched")  # touched: metadata mode, and the file was changed before
SIZE = 20_000
VICTIM = "d1/f12"
OLD, NEW = noise(12, SIZE), noise(99, SIZE)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return thirty_files(tmp_path / "source", SIZE)


def mode_of(how: str) -> str:
    return "metadata" if how == "touched" else how


def backup_args(source: Path, at: int, how: str) -> list[str]:
    return ["backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + at), "--chunk-size", "64",
            "--change-detection-mode", mode_of(how)]


def prepare(repo: Repo, source: Path, how: str) -> None:
    """A first backup; "touched" leaves the file changed since."""
    repo.client.expect_ok(*backup_args(source, 0, "legacy" if how == "legacy" else "data"))
    if how == "touched":
        (source / VICTIM).touch()


def race(repo: Repo, source: Path, folder: Path, how: str, change: Callable[[], None], call: str = "newfstatat",
         name: str = VICTIM) -> Result:
    prepare(repo, source, how)
    return run_with_change(repo.client, folder, source / name, call, change, *backup_args(source, 1, how))


def contents(repo: Repo, how: str, path: str = VICTIM) -> bytes | None:
    """As the newest snapshot has it; None: it does not."""
    store = oracle_store(repo.store)
    reader = store.reader(store.find("host/box/latest"), "root.pxar" if how == "legacy" else "root.mpxar")
    for entry in reader:
        if entry.path == os.fsencode(path) and entry.kind == "file":
            return b"".join(reader.data(entry))
    return None


def assert_rest_holds(repo: Repo, source: Path, how: str, without: str = VICTIM) -> None:
    """All but what changed, and the directories above it."""
    store = oracle_store(repo.store)
    reader = store.reader(store.find("host/box/latest"), "root.pxar" if how == "legacy" else "root.mpxar")
    changed = [os.fsencode(without), os.fsencode(os.path.dirname(without)), b""]
    got, want = archive_tree.capture(reader), tree.scan(str(source))
    for nodes in (got, want):
        for path in [p for p in nodes if p in changed or p.startswith(changed[0] + b"/")]:
            del nodes[path]
    assert tree.compare(got, want) == []


def assert_next_run_sees_it(repo: Repo, source: Path, how: str) -> None:
    repo.client.expect_ok(*backup_args(source, 2, how))
    assert_holds(repo.store, "host/box/latest", "root.pxar" if how == "legacy" else "root.mpxar", source)


def assert_failed(repo: Repo, result: Result, text: str) -> None:
    assert result.exit != 0 and text in result.lines()[-1], result.stderr
    assert len(snapshots_of(repo.store)) == 1


# ---- between listing and reading ----

@pytest.mark.parametrize("how", MODES)
def test_contents_change_after_the_listing(dir_repo: Repo, source: Path, tmp_path: Path, how: str) -> None:
    """The new contents with the old time; or, re-used, the old ones. The time gives it away to the next run."""
    result = race(dir_repo, source, tmp_path, how, lambda: (source / VICTIM).write_bytes(NEW) and None)
    assert result.exit == 0 and "warning" not in result.stderr, result.stderr
    assert contents(dir_repo, how) == (OLD if how == "metadata" else NEW)
    assert_rest_holds(dir_repo, source, how)
    assert_next_run_sees_it(dir_repo, source, how)


@pytest.mark.parametrize("how", MODES)
def test_file_grows_after_the_listing(dir_repo: Repo, source: Path, tmp_path: Path, how: str) -> None:
    result = race(dir_repo, source, tmp_path, how, lambda: (source / VICTIM).write_bytes(NEW + b"more") and None)
    assert result.exit == 0, result.stderr
    warned = f'warning: file size increased while reading: "{VICTIM}", file will be truncated!' in result.stderr
    assert (warned, contents(dir_repo, how)) == ((False, OLD) if how == "metadata" else (True, NEW))
    assert_rest_holds(dir_repo, source, how)
    assert_next_run_sees_it(dir_repo, source, how)


@pytest.mark.parametrize("how", MODES)
def test_file_shrinks_after_the_listing(dir_repo: Repo, source: Path, tmp_path: Path, how: str) -> None:
    result = race(dir_repo, source, tmp_path, how, lambda: (source / VICTIM).write_bytes(NEW[:500]) and None)
    assert result.exit == 0, result.stderr
    warned = f'warning: file size shrunk while reading: "{VICTIM}", file will be padded with zeros!' in result.stderr
    assert (warned, contents(dir_repo, how)) == ((False, OLD) if how == "metadata" else (True, NEW[:500] + bytes(SIZE - 500)))
    assert_rest_holds(dir_repo, source, how)
    assert_next_run_sees_it(dir_repo, source, how)


@pytest.mark.parametrize("how", MODES)
def test_file_vanishes_after_the_listing(dir_repo: Repo, source: Path, tmp_path: Path, how: str) -> None:
    result = race(dir_repo, source, tmp_path, how, (source / VICTIM).unlink)
    assert result.exit == 0, result.stderr
    assert f'warning: file vanished while reading: "{VICTIM}"' in result.stderr
    assert contents(dir_repo, how) is None
    assert_rest_holds(dir_repo, source, how)
    assert_next_run_sees_it(dir_repo, source, how)


def to_dir(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_bytes(NEW)


def to_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("f13")


def to_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(path.parent)
        try:
            s.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("how", ["legacy", "data", "touched"])
@pytest.mark.parametrize("change,text", [(to_dir, "failed to read"), (to_symlink, "failed to open"), (to_fifo, ""),
                                         (to_socket, "failed to open")])
def test_file_becomes_something_else(dir_repo: Repo, source: Path, tmp_path: Path, change: Callable[[Path], None], text: str,
                                     how: str) -> None:
    """Nothing is followed, nothing blocks: what cannot be read as a file ends the backup (CRT-182); a fifo is an empty file."""
    result = race(dir_repo, source, tmp_path, how, lambda: change(source / VICTIM))
    if text:
        assert_failed(dir_repo, result, text)
        assert VICTIM in result.lines()[-1]
    else:
        assert result.exit == 0 and "file size shrunk while reading" in result.stderr, result.stderr
        assert contents(dir_repo, how) == bytes(SIZE)
        assert_rest_holds(dir_repo, source, how)
    assert_next_run_sees_it(dir_repo, source, how)


# ---- while it waits ----

@pytest.mark.parametrize("change,wanted", [
    (lambda p: p.unlink(), OLD), (lambda p: os.truncate(p, 500), OLD[:500] + bytes(SIZE - 500)),
    (lambda p: p.rename(p.with_name("elsewhere")), OLD)], ids=["removed", "shrunk", "renamed"])
def test_file_changes_while_it_waits(dir_repo: Repo, source: Path, tmp_path: Path, change: Callable[[Path], object],
                                     wanted: bytes) -> None:
    """Between two changed files it is not worth re-using, which shows only later: it is read through its open descriptor."""
    prepare(dir_repo, source, "metadata")
    for name in ("f11", "f13"):
        (source / "d1" / name).touch()
    result = run_with_change(dir_repo.client, tmp_path, source / "d1" / "f13", "openat", lambda: change(source / VICTIM) and None,
                             *backup_args(source, 1, "metadata"))
    assert result.exit == 0, result.stderr
    assert contents(dir_repo, "metadata") == wanted
    assert_sound(dir_repo.store, snapshots=2)
    assert_next_run_sees_it(dir_repo, source, "metadata")


def test_reused_file_is_removed_while_it_waits(dir_repo: Repo, source: Path, tmp_path: Path) -> None:
    """Its old payload serves all the same."""
    prepare(dir_repo, source, "metadata")
    result = run_with_change(dir_repo.client, tmp_path, source / "d1" / "f13", "openat", (source / VICTIM).unlink,
                             *backup_args(source, 1, "metadata"))
    assert result.exit == 0 and " - 30 unchanged" in result.stderr, result.stderr
    assert contents(dir_repo, "metadata") == OLD
    assert_next_run_sees_it(dir_repo, source, "metadata")


# ---- directories ----

@pytest.mark.parametrize("how", ["legacy", "data", "metadata"])
def test_directory_vanishes_after_the_listing(dir_repo: Repo, source: Path, tmp_path: Path, how: str) -> None:
    result = race(dir_repo, source, tmp_path, how, lambda: shutil.rmtree(source / "d1"), name="d1")
    assert result.exit == 0 and 'warning: file vanished while reading: "d1"' in result.stderr, result.stderr
    assert_rest_holds(dir_repo, source, how, without="d1")
    assert_next_run_sees_it(dir_repo, source, how)


@pytest.mark.parametrize("how", ["legacy", "data", "metadata"])
def test_directory_becomes_a_file(dir_repo: Repo, source: Path, tmp_path: Path, how: str) -> None:
    def change() -> None:
        shutil.rmtree(source / "d1")
        (source / "d1").write_bytes(NEW)

    assert_failed(dir_repo, race(dir_repo, source, tmp_path, how, change, name="d1"), "failed to open")
    assert_next_run_sees_it(dir_repo, source, how)


@pytest.mark.parametrize("how", ["legacy", "data", "metadata"])
def test_directory_is_emptied_once_it_is_open(dir_repo: Repo, source: Path, tmp_path: Path, how: str) -> None:
    """Removed altogether it cannot be listed, which ends the backup (CRT-029), or is empty: file systems differ."""
    result = race(dir_repo, source, tmp_path, how, lambda: shutil.rmtree(source / "d1"), call="openat", name="d1")
    if result.exit != 0:
        assert_failed(dir_repo, result, "failed to read directory")
    else:
        assert_rest_holds(dir_repo, source, how, without="d1")
    assert_next_run_sees_it(dir_repo, source, how)


@pytest.mark.parametrize("how", ["legacy", "data", "metadata"])
def test_directory_moves_away_once_it_is_open(dir_repo: Repo, source: Path, tmp_path: Path, how: str) -> None:
    """It is archived where the walk met it."""
    result = race(dir_repo, source, tmp_path, how, lambda: (source / "d1").rename(tmp_path / "elsewhere") and None,
                  call="openat", name="d1")
    assert result.exit == 0, result.stderr
    assert contents(dir_repo, how) == OLD
    assert_next_run_sees_it(dir_repo, source, how)


# ---- clocks ----

@pytest.mark.parametrize("how", ["legacy", "data", "metadata"])
def test_backup_before_the_last_one_is_refused(repo: Repo, source: Path, how: str) -> None:
    """The machine's clock went back."""
    repo.client.expect_ok(*backup_args(source, 100, how))
    before = snapshots_of(repo.store)
    for at in (100, 99, -100_000):
        result = repo.client.run(*backup_args(source, at, how))
        assert result.exit == 4 and "backup timestamp is older than last backup." in result.stderr, result.stderr
    assert snapshots_of(repo.store) == before
    repo.client.expect_ok(*backup_args(source, 101, how))
    assert_sound(repo.store, snapshots=2)


def test_file_times_that_go_back_are_changes(dir_repo: Repo, source: Path) -> None:
    """Older than before is as different as newer."""
    prepare(dir_repo, source, "metadata")
    (source / VICTIM).write_bytes(NEW)
    os.utime(source / VICTIM, ns=(0, (T0 - 10**8) * 10**9))
    assert dir_repo.client.expect_ok(*backup_args(source, 1, "metadata"))
    assert contents(dir_repo, "metadata") == NEW
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)


@pytest.mark.parametrize("nanoseconds", [-1, 1, -10**9])
def test_one_nanosecond_is_a_change(dir_repo: Repo, source: Path, nanoseconds: int) -> None:
    prepare(dir_repo, source, "metadata")
    then = (source / VICTIM).stat().st_mtime_ns
    (source / VICTIM).write_bytes(NEW)
    os.utime(source / VICTIM, ns=(0, then + nanoseconds))
    dir_repo.client.expect_ok(*backup_args(source, 1, "metadata"))
    assert contents(dir_repo, "metadata") == NEW


def test_wall_clock_goes_back_during_the_backup(dir_repo: Repo, source: Path, session_path: Path) -> None:
    prepare(dir_repo, source, "metadata")
    env = {"LD_PRELOAD": str(clock_library(session_path)), "CLOCK_BACK": "86400"}
    result = dir_repo.client.expect_ok(*backup_args(source, 1, "metadata"), env=env)
    assert " - 30 unchanged" in result.stderr
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)
    assert_sound(dir_repo.store, snapshots=2)


def test_what_nobody_can_see(dir_repo: Repo, source: Path) -> None:
    """Contents changed, size and time as before: metadata mode keeps the old contents, data mode reads the new ones."""
    prepare(dir_repo, source, "metadata")
    then = (source / VICTIM).stat().st_mtime_ns
    (source / VICTIM).write_bytes(NEW)
    os.utime(source / VICTIM, ns=(0, then))
    dir_repo.client.expect_ok(*backup_args(source, 1, "metadata"))
    assert contents(dir_repo, "metadata") == OLD
    dir_repo.client.expect_ok(*backup_args(source, 2, "data"))
    assert contents(dir_repo, "data") == NEW
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)
