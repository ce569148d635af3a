#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs fuzz targets for a time, two at once, prints a table and fails if anything was found; or takes what was found
into fuzz/corpus, minimised. Called by `make fuzz`, `make fuzz-all` and `make fuzz-min`, which build the targets.

What a run leaves: BUILD/fuzz-run/<engine>/<target>/ (inputs, log), BUILD/fuzz-run/results.jsonl (a line a target),
BUILD/fuzz-found/<target>-* (inputs that broke something).
"""
from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SLACK = 900  # seconds beyond the asked time before a fuzzer is ended: running the seeds, the last input
INPUT_MAX = 16384
TIMEOUT_S = 20  # one input
KEEP_BYTES = 160 << 10  # fuzz/corpus: bytes a target
# little code, much content: inputs also count that take the same edges more often
BROAD = {"blob", "catalog", "chunk", "detect", "h2_server", "manifest", "pattern", "server", "tree"}


@dataclasses.dataclass
class Result:
    target: str
    engine: str
    seconds: int
    executions: int = 0
    per_second: float = 0.0
    edges: int = 0
    found: list[str] = dataclasses.field(default_factory=list)
    error: str = ""


def seed_folders(target: str) -> list[pathlib.Path]:
    folders = [pathlib.Path("fuzz/corpus") / target, pathlib.Path("fuzz/regress") / target]
    return [f for f in folders if f.is_dir()]


def dictionary(target: str, option: str) -> list[str]:
    path = pathlib.Path("fuzz/dict") / f"{target}.dict"
    return [option.format(path)] if option.endswith("{}") and path.exists() else []


running: set[subprocess.Popen[bytes]] = set()
stopping = threading.Event()


def end(process: subprocess.Popen[bytes]) -> None:
    """The fuzzer and what it started: AFL++ ends its targets, which have sessions of their own, if it is asked to end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    running.discard(process)


def on_signal(number: int, _frame: object) -> None:
    stopping.set()
    for process in list(running):
        end(process)
    raise SystemExit(128 + number)


def spawn(command: list[str], log: pathlib.Path, seconds: int, env: dict[str, str]) -> int:
    """Exit status; ended by force when it does not come to its end. Targets that need a file system get an empty folder."""
    if stopping.is_set():
        return -1
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with open(log, "wb") as out, tempfile.TemporaryDirectory(prefix="pbr-fuzz-", dir=fast) as place:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env={**os.environ, "TMPDIR": place, **env}, start_new_session=True)
        running.add(process)
        try:
            return process.wait(timeout=seconds + SLACK)
        except subprocess.TimeoutExpired:
            return -1
        finally:
            end(process)


def keep(found: pathlib.Path, target: str, files: list[pathlib.Path]) -> list[str]:
    found.mkdir(parents=True, exist_ok=True)
    names = []
    for path in files:
        data = path.read_bytes()
        name = found / f"{target}-{hashlib.sha256(data).hexdigest()[:16]}"
        name.write_bytes(data)
        names.append(str(name))
    return names


def run_libfuzzer(build: pathlib.Path, target: str, seconds: int) -> Result:
    result = Result(target, "libfuzzer", seconds)
    room = build / "fuzz-run/libfuzzer" / target
    (room / "new").mkdir(parents=True, exist_ok=True)
    before = set(room.glob("found-*"))
    command = [str(build / "fuzz/fuzz" / target), f"-max_total_time={seconds}", f"-max_len={INPUT_MAX}",
               f"-timeout={TIMEOUT_S}", "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={room}/found-",
               *dictionary(target, "-dict={}"), str(room / "new"), *map(str, seed_folders(target))]
    status = spawn(command, room / "log", seconds, LIBFUZZER_ENV)
    text = (room / "log").read_text(errors="replace")
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    edges = re.findall(r"cov: (\d+)", text)
    result.executions = int(runs.group(1)) if runs else 0
    result.per_second = result.executions / max(1, seconds)
    result.edges = int(edges[-1]) if edges else 0
    result.found = keep(build / "fuzz-found", target, sorted(set(room.glob("found-*")) - before))
    if status != 0 and not result.found:
        result.error = f"exit status {status}, see {room}/log"
    return result


SPARE = "quarantine_size_mb=32:malloc_context_size=6"  # AddressSanitizer: time goes into inputs
LIBFUZZER_ENV = {"ASAN_OPTIONS": SPARE}
AFL_ENV = {
    "AFL_NO_UI": "1", "AFL_SKIP_CPUFREQ": "1", "AFL_NO_AFFINITY": "1", "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
    "AFL_AUTORESUME": "1", "AFL_FAST_CAL": "1", "AFL_CMPLOG_ONLY_NEW": "1",
    "ASAN_OPTIONS": f"abort_on_error=1:symbolize=0:detect_leaks=0:{SPARE}",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1",
}


def run_afl(build: pathlib.Path, target: str, seconds: int) -> Result:
    result = Result(target, "afl", seconds)
    room = build / "fuzz-run/afl" / target
    seeds = room / "seeds"
    shutil.rmtree(seeds, ignore_errors=True)
    seeds.mkdir(parents=True)
    for folder in seed_folders(target):
        for path in folder.iterdir():
            if 0 < path.stat().st_size <= INPUT_MAX:
                shutil.copy(path, seeds / path.name)
    command = ["afl-fuzz", "-i", str(seeds), "-o", str(room / "out"), "-V", str(seconds), "-t", f"{TIMEOUT_S * 1000}+",
               "-m", "none", "-G", str(INPUT_MAX), "-T", target, *dictionary(target, "-x{}"), "--",
               str(build / "afl/fuzz" / target)]
    status = spawn(command, room / "log", seconds, AFL_ENV)
    stats = room / "out/default/fuzzer_stats"
    if stats.exists() and not stopping.is_set():
        values = dict(re.findall(r"^(\w+)\s*:\s*(.*)$", stats.read_text(), re.M))
        result.executions = int(values.get("execs_done", 0))
        result.per_second = float(values.get("execs_per_sec", 0))
        result.edges = int(values.get("edges_found", 0))
    files = sorted((room / "out/default").glob("crashes/id*")) + sorted((room / "out/default").glob("hangs/id*"))
    result.found = keep(build / "fuzz-found", target, files)
    if status != 0 or not stats.exists():
        result.error = f"exit status {status}, see {room}/log"
    return result


def run_all(args: argparse.Namespace) -> int:
    run = run_afl if args.engine == "afl" else run_libfuzzer
    header = f"{'target':<12} {'seconds':>7} {'executions':>11} {'exec/s':>8} {'edges':>6} {'found':>5}"
    print(f"{header}  ({args.engine})", flush=True)
    bad = 0
    args.build.joinpath("fuzz-run").mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool, \
            open(args.build / "fuzz-run/results.jsonl", "a", encoding="utf-8") as out:
        for job in concurrent.futures.as_completed([pool.submit(run, args.build, t, args.time) for t in args.targets]):
            r = job.result()
            print(f"{r.target:<12} {r.seconds:>7} {r.executions:>11} {r.per_second:>8.0f} {r.edges:>6} {len(r.found):>5}"
                  f"{'  ' + r.error if r.error else ''}", flush=True)
            for name in r.found:
                print(f"  {name}", flush=True)
            out.write(json.dumps({"time": int(time.time()), **dataclasses.asdict(r)}) + "\n")
            bad += bool(r.found or r.error)
    return 1 if bad else 0


def minimise(build: pathlib.Path, target: str) -> None:
    """libFuzzer's merge over corpus and what runs found: smallest inputs first, each must add coverage."""
    room = build / "fuzz-run/min" / target
    shutil.rmtree(room, ignore_errors=True)
    (room / "out").mkdir(parents=True)
    folders = [pathlib.Path("fuzz/corpus") / target, build / "fuzz-run/libfuzzer" / target / "new",
               build / "fuzz-run/afl" / target / "out/default/queue"]
    command = [str(build / "fuzz/fuzz" / target), "-merge=1", f"-use_counters={int(target in BROAD)}",
               f"-max_len={INPUT_MAX}", f"-timeout={TIMEOUT_S}", "-rss_limit_mb=2048",
               str(room / "out"), *[str(f) for f in folders if f.is_dir()]]
    if spawn(command, room / "log", 1800, LIBFUZZER_ENV) != 0:
        raise SystemExit(f"{target}: merging failed, see {room}/log")
    corpus = folders[0]
    kept, size = [], 0
    for path in sorted((room / "out").iterdir(), key=lambda p: (p.stat().st_size, p.name)):
        data = path.read_bytes()
        if size + len(data) > KEEP_BYTES:
            break
        size += len(data)
        kept.append(data)
    for old in corpus.iterdir() if corpus.is_dir() else []:
        old.unlink()
    corpus.mkdir(parents=True, exist_ok=True)
    for data in kept:
        (corpus / hashlib.sha256(data).hexdigest()).write_bytes(data)
    print(f"{target:<12} {len(kept):>5} of {len(list((room / 'out').iterdir())):>5} inputs, {size:>7} bytes", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--engine", choices=("afl", "libfuzzer"), default="afl")
    parser.add_argument("--time", type=int, default=60, help="seconds a target")
    parser.add_argument("--jobs", type=int, default=2, help="targets at once")
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    if not args.minimise:
        return run_all(args)
    for target in args.targets:
        minimise(args.build, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
