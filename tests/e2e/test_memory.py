# covers: CRT-030 CDM-081 CDM-082
# SPDX-License-Identifier: MIT
"""Memory does not grow with the number of files: the peak for a tree and for one eight times as large, directories of the
same size. What may grow is named in the headers: chunks on their way and buffers, until they are full (a few MiB for archives
as small as these), entries that wait for their neighbours (CDM-081: a lowered limit of open files bounds them here), 40
bytes per chunk, 16 and a little per hard linked file, and the tables of the directories on the current path.
"""
from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import T0, Client, Repo, program, remove_tree

FILES = (6_000, 48_000)
GROWTH = 6 << 20  # bytes: 150 for each file that the larger tree has more, less than its name has
OPEN_FILES = 400


@pytest.fixture(scope="module")
def trees() -> Iterator[tuple[Path, Path]]:
    """Names of 200 bytes, few contents, 50 files in a directory, 40 directories in one above. In memory: disks take long."""
    base = Path(tempfile.mkdtemp(prefix="pbsref-e2e-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    made = []
    for count in FILES:
        top = base / f"files-{count}"
        for i in range(count):
            folder = top / f"{i // 2000:02d}" / f"{i // 50 % 40:02d}"
            if i % 50 == 0:
                folder.mkdir(parents=True)
            (folder / f"{i:0200d}").write_bytes(b"%d" % i if i % 10 == 0 else b"")
        made.append(top)
    yield made[0], made[1]
    remove_tree(base)


def high_water(pid: int) -> int:
    """Not ru_maxrss: that one includes the process that started it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def peak_of(client: Client, *args: str | Path) -> int:
    """Bytes, looked at every millisecond while it runs."""
    peak = 0
    with tempfile.TemporaryFile() as err, subprocess.Popen(
            [program(), *map(str, args)], env=client.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))) as process:
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.001)
        err.seek(0)
        assert process.returncode == 0, err.read().decode()
    return peak


def assert_bounded(name: str, peaks: list[int]) -> None:
    print(f"{name}: " + ", ".join(f"{count} files {peak / 2**20:.1f} MiB" for count, peak in zip(FILES, peaks, strict=True)))
    assert min(peaks) > 2 << 20, "no figure was taken"
    assert peaks[1] <= peaks[0] + GROWTH


@pytest.fixture(autouse=True)
def no_sanitizer() -> None:
    raw = Path(program()).read_bytes()
    if any(f"__{name}_init".encode() in raw for name in ("asan", "tsan", "msan")):
        pytest.skip("a sanitizer has memory of its own")


@pytest.mark.parametrize("mode", ["legacy", "data", "metadata"])
def test_backup_needs_the_same_memory_for_more_files(dir_repo: Repo, trees: tuple[Path, Path], mode: str) -> None:
    """`metadata`: of an unchanged tree, so every file is looked up in the previous archive."""
    peaks = []
    for tree in trees:
        args = ["backup", f"root.pxar:{tree}", "--backup-id", tree.name, "--chunk-size", "64", "--workers", "1",
                "--change-detection-mode", mode]
        if mode == "metadata":
            dir_repo.client.expect_ok(*args, "--backup-time", str(T0))
        peaks.append(peak_of(dir_repo.client, *args, "--backup-time", str(T0 + 1)))
    assert_bounded(f"backup, {mode}", peaks)


def test_archives_as_files_need_the_same_memory_for_more_files(make_client: Callable[..., Client], trees: tuple[Path, Path],
                                                               tmp_path: Path) -> None:
    client = make_client()
    created = [peak_of(client, "pxar", "create", tmp_path / f"{tree.name}.pxar", tree) for tree in trees]
    listed = [peak_of(client, "pxar", "list", tmp_path / f"{tree.name}.pxar") for tree in trees]
    assert_bounded("pxar create", created)
    assert_bounded("pxar list", listed)


def test_peak_of_the_summary_is_that_of_the_program_alone(dir_repo: Repo, tmp_path: Path) -> None:
    """Not of the process that started it, whose size counts in getrusage()."""
    (tmp_path / "source").mkdir()
    ballast = bytearray(b"x") * (200 << 20)
    summary = dir_repo.client.backup(f"root.pxar:{tmp_path / 'source'}")
    assert len(ballast) == 200 << 20 and 1 << 20 < summary["peak_memory"] < 100 << 20
