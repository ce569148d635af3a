# covers: CDM-046 CDM-050 CDM-080 CDM-100 CDM-103 CDM-115 CDM-141 CDM-143 CDM-146 CDM-147 CDM-148 CDM-149 CDM-150
# covers: CDM-152 CDM-153 CDM-154 CDM-155 CRT-026 CRT-027 CRT-028 CRT-102 BKP-270 BKP-280
# SPDX-License-Identifier: MIT
"""Defects that the original had once (section 12 of spec/change-detection.md), by number: each test fails on the defective
behaviour. Those that need no program are in tests/unit/detect_history_test.c."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lib_faults import clock_library, run_command, run_with_fault
from support import (ROOT_USER, T0, Client, Repo, Server, assert_holds, assert_sound, noise, oracle_store, program,
                     snapshots_of)

ARGS = ("--backup-id", "box", "--chunk-size", "64")
SPLIT_MODES = ("data", "metadata")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "m").mkdir(parents=True)
    for i, name in enumerate(("a", "b", "m/x", "m/y", "victim", "z")):
        (path / name).write_bytes(noise(i, 40_000 + i))
        os.utime(path / name, ns=(0, (T0 - i) * 10**9))
    return path


def backup(repo: Repo | Client, source: Path, at: int, mode: str, *extra: str) -> list[str]:
    client = repo if isinstance(repo, Client) else repo.client
    return client.expect_ok(*backup_args(source, at, mode), *extra).lines()


def backup_args(source: Path, at: int, mode: str) -> list[str]:
    return ["backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0 + at), "--change-detection-mode", mode]


def archive_name(mode: str) -> str:
    return "root.pxar" if mode == "legacy" else "root.mpxar"


# ---- errors ----

@pytest.mark.parametrize("mode", ["legacy", *SPLIT_MODES])
def test_CDM_141_an_error_behind_all_data_fails_the_backup(dir_repo: Repo, source: Path, mode: str) -> None:
    """The last directory has more entries than are allowed: all contents have gone out when that is seen."""
    backup(dir_repo, source, 0, mode)
    (source / "zz").mkdir()
    for i in range(60):
        (source / "zz" / f"{i}").touch()
    result = dir_repo.client.run(*backup_args(source, 1, mode), "--entries-max", "50")
    assert result.exit != 0 and "exceeded allowed number of file entries (> 50)" in result.stderr, result.stderr
    assert len(snapshots_of(dir_repo.store)) == 1
    assert_sound(dir_repo.store, snapshots=1)


@pytest.mark.parametrize("place", ["POST /dynamic_chunk#*", "PUT /dynamic_index#*", "POST /dynamic_close#*"])
def test_CDM_150_upload_errors_keep_their_cause(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                                source: Path, place: str) -> None:
    server = make_server(faults=(f"{place}:status=500,the disk fell out",))
    result = make_client(server).run(*backup_args(source, 0, "data"))
    assert result.exit == 4 and "the disk fell out" in result.lines()[-1], result.stderr
    assert snapshots_of(server.store) == []


# ---- entries that cannot be had ----

STALE = [("newfstatat", "victim"), ("openat", "victim"), ("flistxattr", "victim"), ("openat", "m"),
         ("newfstatat", "m"), ("readlinkat", "link"), ("newfstatat", "link")]


@pytest.mark.parametrize("mode", ["legacy", *SPLIT_MODES])
@pytest.mark.parametrize("call,name", STALE)
def test_CDM_146_stale_handles_are_left_out(dir_repo: Repo, source: Path, tmp_path: Path, call: str, name: str,
                                            mode: str) -> None:
    """A warning, and the rest is archived where it belongs."""
    (source / "link").symlink_to("nowhere")
    backup(dir_repo, source, 0, mode)
    result = run_with_fault(dir_repo.client, tmp_path, source / name, call, "ESTALE", *backup_args(source, 1, mode))
    assert result.exit == 0, result.stderr
    assert f'warning: stale file handle encountered while reading: "{name}"' in result.stderr
    if (source / name).is_dir():
        shutil.rmtree(source / name)
    else:
        (source / name).unlink()
    assert_holds(dir_repo.store, "host/box/latest", archive_name(mode), source, ignore=("dir-mtime",))
    if (call, mode) != ("readlinkat", "legacy"):  # there the catalog has the link already (CRT-146)
        assert_sound(dir_repo.store, snapshots=2)


@pytest.mark.skipif(not ROOT_USER, reason="mounts a file system: root only")
@pytest.mark.parametrize("mode", ["legacy", *SPLIT_MODES])
def test_CDM_080_a_stale_file_system_is_left_out_before_it_begins(dir_repo: Repo, source: Path, tmp_path: Path,
                                                                  mode: str) -> None:
    """Its type cannot be had while entries wait: what follows must not end up inside of it."""
    if subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    point = source / "n"
    point.mkdir()
    backup(dir_repo, source, 0, mode)
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    script = ('mount -t tmpfs none "$1" && shift && exec strace -f -o "$1/trace" -P "$2" -e trace=fstatfs '
              '-e inject=fstatfs:error=ESTALE "$3" backup "$4" "${@:5}"')
    args = backup_args(source, 1, mode)
    result = run_command(dir_repo.client, ["unshare", "-m", "bash", "-c", script, "-", str(point), str(tmp_path), str(point),
                                           program(), *args[1:], "--all-file-systems", "true"])
    assert result.exit == 0, result.stderr
    assert 'warning: stale file handle encountered while reading: "n"' in result.stderr
    point.rmdir()
    assert_holds(dir_repo.store, "host/box/latest", archive_name(mode), source, ignore=("dir-mtime",))


@pytest.mark.parametrize("mode", ["legacy", *SPLIT_MODES])
@pytest.mark.parametrize("error,text", [("EACCES", 'warning: failed to stat file: "victim": access denied'),
                                        ("ENOENT", 'warning: file vanished while reading directory: "victim"')])
def test_CDM_147_files_that_cannot_be_statted_are_left_out(dir_repo: Repo, source: Path, tmp_path: Path, error: str, text: str,
                                                           mode: str) -> None:
    backup(dir_repo, source, 0, mode)
    result = run_with_fault(dir_repo.client, tmp_path, source / "victim", "newfstatat", error, *backup_args(source, 1, mode))
    assert result.exit == 0 and text in result.stderr, result.stderr
    (source / "victim").unlink()
    assert_holds(dir_repo.store, "host/box/latest", archive_name(mode), source, ignore=("dir-mtime",))
    assert_sound(dir_repo.store, snapshots=2)


# ---- exclusion ----

def test_CDM_148_anchored_patterns_count_from_their_own_directory(dir_repo: Repo, source: Path) -> None:
    (source / "m" / ".pxarexclude").write_text("/x\n")
    (source / "m" / "deep").mkdir()
    (source / "m" / "deep" / "x").write_bytes(b"stays")
    backup(dir_repo, source, 0, "data")
    (source / "m" / "x").unlink()
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source, ignore=("dir-mtime",))


@pytest.mark.parametrize("pattern", ["./victim", "m/../victim", "/./victim", "./m/.././victim"])
def test_CDM_149_patterns_with_dots_match(dir_repo: Repo, source: Path, pattern: str) -> None:
    lines = backup(dir_repo, source, 0, "data", "--exclude", pattern)
    assert any("pattern" in line.lower() or "normali" in line.lower() for line in lines), lines
    (source / "victim").unlink()
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source, ignore=("dir-mtime",))


def test_CDM_155_an_entry_is_looked_at_once(dir_repo: Repo, source: Path, tmp_path: Path) -> None:
    """Patterns for directories need to know what an entry is: still one stat of it."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    result = run_command(dir_repo.client, ["strace", "-f", "-o", str(trace), "-P", "victim", "-e", "trace=newfstatat", program(),
                                           *backup_args(source, 0, "data"), "--exclude", "victim/", "--exclude", "vict*/"])
    if "ptrace" in result.stderr:
        pytest.skip("tracing is not permitted here")
    assert result.exit == 0, result.stderr
    assert len(re.findall(r'newfstatat\([^)]*"victim"', trace.read_text())) == 1


# ---- reading split archives ----

def payload_digests(store: Path) -> set[str]:
    found = oracle_store(store)
    snapshot = found.find("host/box/latest")
    return {d.hex() for _, _, d in found.index(snapshot, found.manifest(snapshot).file("root.ppxar.didx")).chunks}


def test_CDM_152_listing_fetches_no_payload(pbs_server: Server, client: Client, source: Path) -> None:
    backup(client, source, 0, "data")
    snapshot = snapshots_of(pbs_server.store)[0]
    mark = len(pbs_server.journal_lines())
    listed = client.expect_ok("catalog", "dump", snapshot)
    assert "victim" in listed.stdout + listed.stderr
    assert chunks_read(pbs_server, mark) and not chunks_read(pbs_server, mark) & payload_digests(pbs_server.store)
    client.expect_ok("restore", snapshot, "root.pxar", source.with_name("out"))  # where they do show
    assert chunks_read(pbs_server, mark) >= payload_digests(pbs_server.store)


def chunks_read(server: Server, mark: int) -> set[str]:
    return {e["digest"] for e in server.journal_lines()[mark:] if e["event"] == "chunk-read"}


@pytest.mark.parametrize("pattern,names", [("m/y", ["m/y"]), ("z", ["z"]), ("victim", ["victim"]), ("[az]", ["a", "z"])])
def test_CDM_153_parts_of_a_split_archive_are_restored(repo: Repo, source: Path, tmp_path: Path, pattern: str,
                                                       names: list[str]) -> None:
    """Files before and between are skipped, header and content, and those wanted come out whole."""
    for at, mode in enumerate(SPLIT_MODES):
        backup(repo, source, at, mode)
        out = tmp_path / f"out{at}"
        repo.client.expect_ok("restore", snapshots_of(repo.store)[-1], "root.pxar", out, "--pattern", pattern)
        files = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
        assert files == names
        for name in names:
            assert (out / name).read_bytes() == (source / name).read_bytes()


# ---- progress ----

@pytest.mark.parametrize("mode", ["legacy", *SPLIT_MODES])
def test_CDM_154_progress_is_told_every_minute(dir_repo: Repo, source: Path, session_path: Path, mode: str) -> None:
    """On a clock that runs 10000 times as fast: minutes pass while the contents are read. Their stream tells, not the small
    ones beside it."""
    library = clock_library(session_path)
    for i in range(40):
        (source / f"big{i}").write_bytes(noise(100 + i, 500_000))
    result = dir_repo.client.expect_ok(*backup_args(source, 0, mode), env={"LD_PRELOAD": str(library), "FAST_CLOCK": "10000"})
    told = [line for line in result.lines() if re.match(r"processed \S+ (\S?i)?B in .*, uploaded ", line)]
    assert len(told) >= 3, result.stderr
    assert_holds(dir_repo.store, "host/box/latest", archive_name(mode), source)
