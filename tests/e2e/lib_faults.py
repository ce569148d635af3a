# SPDX-License-Identifier: MIT
"""Faults of the file system and of the clock below the program: system calls that fail (strace), files that change between two
system calls (strace stops the program), a clock that runs fast (a preloaded library)."""
from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Client, Result, program

LIMIT_S = 120


def need_strace(folder: Path) -> None:
    """Skips where system calls cannot be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-o", str(folder / "probe"), "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("tracing is not permitted here")


def run_command(client: Client, command: list[str]) -> Result:
    env = {**client.env, "ASAN_OPTIONS": "exitcode=99:detect_leaks=0"}
    done = subprocess.run(command, env=env, capture_output=True, timeout=LIMIT_S)
    text = done.stderr.decode(errors="surrogateescape")
    assert done.returncode >= 0 and done.returncode != 99, text
    return Result(command, done.returncode, done.stdout, text)


def strace_command(folder: Path, paths: list[str | Path], call: str, fault: str) -> list[str]:
    only = [part for p in paths for part in ("-P", str(p))]
    return ["strace", "-f", "-o", str(folder / "trace"), *only, "-e", f"trace={call}", "-e", f"inject={call}:{fault}"]


def run_with_fault(client: Client, folder: Path, path: Path, call: str, error: str, *args: str | Path) -> Result:
    """Runs the program; every `call` on `path`, by its name or by a descriptor of it, fails with `error`."""
    need_strace(folder)
    command = strace_command(folder, [path.name, path], call, f"error={error}")
    result = run_command(client, [*command, program(), *map(str, args)])
    assert "(INJECTED)" in (folder / "trace").read_text(errors="replace"), "the fault was never met"
    return result


def run_with_change(client: Client, folder: Path, path: Path, call: str, change: Callable[[], None], *args: str | Path,
                    when: int = 1) -> Result:
    """Runs the program; after the when-th `call` on `path` it stands still while `change` is done."""
    need_strace(folder)
    command = strace_command(folder, [path.name, path], call, f"signal=STOP:when={when}")
    env = {**client.env, "ASAN_OPTIONS": "exitcode=99:detect_leaks=0"}
    process = subprocess.Popen([*command, program(), *map(str, args)], env=env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        stopped = wait_for_stop(process, folder / "trace")
        change()
        os.kill(stopped, signal.SIGCONT)
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # strace alone would leave the program running
            process.communicate()
    text = err.decode(errors="surrogateescape")
    assert process.returncode >= 0 and process.returncode != 99, text
    return Result([str(a) for a in args], process.returncode, out, text)


def wait_for_stop(process: subprocess.Popen[bytes], trace: Path) -> int:
    """The process that the trace says was stopped."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = re.search(r"^(\d+) +--- stopped by SIGSTOP", trace.read_text(errors="replace") if trace.exists() else "", re.M)
        if found:
            return int(found[1])
        assert process.poll() is None, f"it ended without the call: {process.communicate()[1].decode(errors='replace')}"
        time.sleep(0.01)
    raise AssertionError(f"it was never stopped: {trace.read_text(errors='replace')}")


def clock_library(session_path: Path) -> Path:
    """fast_clock.c as a library to preload."""
    raw = Path(program()).read_bytes()
    if b"__asan_init" in raw or b"__tsan_init" in raw:
        pytest.skip("a sanitizer must be the first library")
    target = session_path / "fast_clock.so"
    if not target.exists():
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", str(target),
                        str(Path(__file__).with_name("fast_clock.c"))], check=True)
    return target
