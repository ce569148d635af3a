#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs all measurements and prints one table and JSON lines.

    bench/run.py --build build/release [--only PREFIX] [--rounds N] [--files N] [--json FILE]

Two kinds: the C programs in BUILD/bench, which print JSON lines themselves, and the program `pbsref` as a whole on a
generated tree (seeded; small files and a few large ones). The latter are measured in turn with their floors, `cat` of
all files, `tar` to /dev/null, and for backups in metadata mode, which read next to nothing and are counted in files, a walk
that stats every entry (`find -printf`), round by round. A figure that cannot be measured says why and is no failure; a command
that fails is one (exit status 1).

Every figure: name, value, unit, n (rounds), bytes, floor (same unit, same run), ratio (value / floor), peak_memory of
the process in bytes, spread ((slowest - fastest) / median), commit, cpu. The peak of a started program comes from wait4
and counts this script's own size until exec, some 20 MiB, as the least.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LARGE_FILES = (64 << 20, 64 << 20, 32 << 20, 9 << 20, 4 << 20)
DIRS = 200


class Unavailable(Exception):
    """The thing to measure is not there: reported, no failure."""


class Failed(Exception):
    """A command ended with an error."""


# ---- tree ------------------------------------------------------------------------------------

def make_tree(top: Path, files: int, seed: int) -> int:
    """Small files of 0 to 16 KiB, half of them text, and the large ones; returns the bytes."""
    rng = random.Random(seed)
    text = "\n".join(f"entry {i} size={rng.randrange(1 << 20)} of archive" for i in range(800)).encode()
    total = 0
    for i in range(files):
        folder = top / f"d{i % DIRS:03d}" / f"e{i % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        size = int(rng.paretovariate(0.9) * 400) % 16384
        start = rng.randrange(len(text) - 16384)
        data = text[start:start + size] if i % 2 else rng.randbytes(size)
        (folder / f"f{i:06d}").write_bytes(data)
        total += size
    for i, size in enumerate(LARGE_FILES):
        with open(top / f"large{i}", "wb") as out:
            for _ in range(size >> 20):
                out.write(rng.randbytes(1 << 20))
        total += size
    return total


# ---- one process -----------------------------------------------------------------------------

@dataclass
class Usage:
    seconds: float
    peak: int


def run_process(argv: list[str], cwd: Path) -> Usage:
    with tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            err.seek(0)
            text = err.read().decode(errors="replace").strip().splitlines()
            raise Failed(f"{' '.join(argv[:3])} ...: exit {child.returncode}: {text[-1] if text else ''}")
    return Usage(seconds, usage.ru_maxrss * 1024)


# ---- figures of the program ------------------------------------------------------------------

@dataclass
class Case:
    name: str
    argv: Callable[[int], list[str]]  # round -> command; prepares what the command needs
    floor: str
    unit: str = "MB/s"                # or files/s
    usages: list[Usage] = field(default_factory=list)
    problem: str = ""
    failed: bool = False


class Bench:
    def __init__(self, program: Path, work: Path, files: int):
        self.program, self.work, self.tree = str(program), work, work / "tree"
        self.tree.mkdir()
        self.bytes = make_tree(self.tree, files, 1)
        self.files = sorted(p for p in self.tree.rglob("*") if p.is_file())

    def fresh(self, name: str) -> Path:
        path = self.work / name
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        return path

    def need(self, path: Path) -> Path:
        if not path.exists():
            raise Unavailable(f"{path.name} was not made")
        return path

    def cat(self, _round: int) -> list[str]:
        return ["sh", "-c", "find tree -type f -print0 | xargs -0 cat >/dev/null"]

    def walk(self, _round: int) -> list[str]:
        return ["sh", "-c", "find tree -printf '%m %U %G %s %T@\\n' >/dev/null"]

    def tar(self, _round: int) -> list[str]:  # through a pipe: tar skips the reading if it sees /dev/null
        return ["sh", "-c", "tar -cf - tree | cat >/dev/null"]

    def untar(self, _round: int) -> list[str]:
        archive, target = self.work / "tree.tar", self.fresh("untar")
        if not archive.exists():
            run_process(["tar", "-cf", str(archive), "tree"], self.work)
        target.mkdir()
        return ["tar", "-xf", str(archive), "-C", str(target)]

    def create(self, _round: int) -> list[str]:
        return [self.program, "pxar", "create", str(self.fresh("a.pxar")), str(self.tree)]

    def create_split(self, _round: int) -> list[str]:
        return [self.program, "pxar", "create", str(self.fresh("a.mpxar")), str(self.tree),
                "--payload-output", str(self.fresh("a.ppxar"))]

    def extract(self, _round: int) -> list[str]:
        return [self.program, "pxar", "extract", str(self.need(self.work / "a.pxar")), str(self.fresh("out"))]

    def backup(self, mode: str, store: str = "store", group: str = "bench") -> list[str]:
        return [self.program, "backup", f"root.pxar:{self.tree}", "--repository", f"dir:{self.work / store}",
                "--backup-id", group, "--change-detection-mode", mode]

    def backup_first(self, _round: int) -> list[str]:
        store = self.fresh("store")
        run_process([self.program, "store", "init", str(store)], self.work)  # 65,536 folders: not what is measured
        return self.backup("data")

    def backup_again(self, _round: int) -> list[str]:
        self.newest("bench")
        self.next_second()
        return self.backup("data")

    def metadata_reference(self, group: str) -> None:
        """A snapshot in data mode, a second before the one that is measured."""
        store = self.work / "store-metadata"
        if not store.exists():
            run_process([self.program, "store", "init", "--lazy", str(store)], self.work)
        self.next_second()
        run_process(self.backup("data", store.name, group), self.work)

    def metadata_unchanged(self, _round: int) -> list[str]:
        self.metadata_reference("unchanged")
        self.next_second()
        return self.backup("metadata", "store-metadata", "unchanged")

    def metadata_touched(self, number: int) -> list[str]:
        """Every hundredth file has another time, and is read."""
        self.metadata_reference("touched")
        for path in self.files[number % 100::100]:
            os.utime(path)
        self.next_second()
        return self.backup("metadata", "store-metadata", "touched")

    def restore(self, _round: int) -> list[str]:
        return [self.program, "restore", self.newest("bench"), "root.pxar", str(self.fresh("out")),
                "--repository", f"dir:{self.work / 'store'}"]

    def newest(self, name: str) -> str:
        group = self.work / "store" / "host" / name
        times = sorted(p.name for p in group.iterdir() if p.is_dir()) if group.is_dir() else []
        if not times:
            raise Unavailable("no snapshot was made")
        return f"host/{name}/{times[-1]}"

    @staticmethod
    def next_second() -> None:
        """Snapshots of one group need different times."""
        time.sleep(1.05 - time.time() % 1.0)

    def cases(self) -> list[Case]:
        return [
            Case("tree.cat", self.cat, "tree.cat"),
            Case("tree.tar", self.tar, "tree.cat"),
            Case("tree.untar", self.untar, "tree.untar"),
            Case("pxar.create", self.create, "tree.tar"),
            Case("pxar.create.split", self.create_split, "tree.tar"),
            Case("pxar.extract", self.extract, "tree.untar"),
            Case("backup.first", self.backup_first, "tree.cat"),
            Case("backup.unchanged.data", self.backup_again, "tree.cat"),
            Case("tree.walk", self.walk, "tree.walk", "files/s"),
            Case("backup-metadata-unchanged", self.metadata_unchanged, "tree.walk", "files/s"),
            Case("backup-metadata-1pct", self.metadata_touched, "tree.walk", "files/s"),
            Case("restore", self.restore, "tree.untar"),
        ]


def measure(bench: Bench, cases: list[Case], rounds: int) -> None:
    """All cases in turn, one round of warm-up first."""
    for number in range(rounds + 1):
        for case in cases:
            if case.problem:
                continue
            try:
                usage = run_process(case.argv(number), bench.work)
            except (Unavailable, FileNotFoundError) as e:
                case.problem = f"not available: {e}"
            except Failed as e:
                case.problem, case.failed = str(e), True
            else:
                if number > 0:
                    case.usages.append(usage)


def rate(bench: Bench, case: Case) -> float:
    amount = bench.bytes / 1e6 if case.unit == "MB/s" else len(bench.files)
    return amount / statistics.median(u.seconds for u in case.usages)


def program_figures(bench: Bench, cases: list[Case]) -> Iterator[dict]:
    by_name = {case.name: case for case in cases}
    for case in cases:
        if not case.usages:
            yield {"name": case.name, "problem": case.problem, "failed": case.failed}
            continue
        seconds = [u.seconds for u in case.usages]
        value, floor = rate(bench, case), rate(bench, by_name[case.floor])
        yield {"name": case.name, "value": round(value, 1), "unit": case.unit, "n": len(seconds),
               "spread": round((max(seconds) - min(seconds)) / statistics.median(seconds), 2), "bytes": bench.bytes,
               "floor": round(floor, 1), "floor_name": case.floor, "ratio": round(value / floor, 4),
               "peak_memory": max(u.peak for u in case.usages)}


def run_program(options: argparse.Namespace) -> Iterator[dict]:
    program = options.build.resolve() / "pbsref"
    with tempfile.TemporaryDirectory(prefix="pbsref-bench-", dir=options.tmp) as work:
        bench = Bench(program, Path(work), options.files)
        wanted = [c for c in bench.cases() if c.name.startswith(options.only)]
        needed = {c.floor for c in wanted} | {c.name for c in wanted}
        if needed & {"pxar.extract"}:
            needed.add("pxar.create")
        if any(n.startswith(("backup.", "restore")) for n in needed):
            needed |= {"backup.first", "tree.cat"}
        cases = [c for c in bench.cases() if c.name in needed]
        measure(bench, cases, options.rounds)
        yield from program_figures(bench, cases)


# ---- the C programs --------------------------------------------------------------------------

def run_c_programs(options: argparse.Namespace) -> Iterator[dict]:
    found = sorted(p for p in (options.build / "bench").glob("*") if p.is_file() and not p.suffix
                   and os.access(p, os.X_OK))
    if not found:
        yield {"name": "bench/*.c", "problem": f"not available: no programs in {options.build / 'bench'}"}
    for path in found:
        done = subprocess.run([path.resolve()], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            figure = json.loads(line)
            if figure["name"].startswith(options.only):
                yield figure
        if done.returncode != 0:
            yield {"name": f"bench/{path.name}", "problem": f"exit {done.returncode}: {done.stderr.strip()}",
                   "failed": True}


# ---- report ----------------------------------------------------------------------------------

def surroundings() -> dict[str, str]:
    here = Path(__file__).resolve().parent
    git = subprocess.run(["git", "-C", here, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True,
                         check=False)
    models = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]
    return {"commit": git.stdout.strip() or "unknown", "cpu": models[0] if models else "unknown"}


def table_line(figure: dict) -> str:
    if "problem" in figure:
        return f"{figure['name']:<28} {figure['problem']}"
    return (f"{figure['name']:<28} {figure['value']:>10.1f} {figure['unit']:<7} {figure['floor']:>9.1f} "
            f"{figure['ratio']:>7.3f} {figure['spread']:>7.2f} {figure['n']:>3} {figure['peak_memory'] / 2**20:>8.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs all measurements; prints a table and JSON lines.")
    parser.add_argument("--build", type=Path, required=True, help="folder of one variant, such as build/release")
    parser.add_argument("--only", default="", metavar="PREFIX", help="only figures whose name begins so")
    parser.add_argument("--rounds", type=int, default=3, help="of the program's figures (default 3)")
    parser.add_argument("--files", type=int, default=20000, help="small files in the tree (default 20000)")
    parser.add_argument("--tmp", type=Path, help="where the tree is made (default: the system's place)")
    parser.add_argument("--json", type=Path, help="write the JSON lines to this file instead")
    options = parser.parse_args()
    if options.rounds < 1 or options.files < 0:
        parser.error("--rounds must be positive, --files not negative")

    around, lines, failed = surroundings(), [], False
    print(f"{'name':<28} {'value':>10} {'unit':<7} {'floor':>9} {'ratio':>7} {'spread':>7} {'n':>3} {'peak MiB':>8}")
    for source in (run_c_programs, run_program):
        for figure in source(options):
            print(table_line(figure), flush=True)
            failed |= figure.get("failed", False)
            lines.append(json.dumps(figure | around))
    if options.json:
        options.json.write_text("".join(line + "\n" for line in lines))
    else:
        print("\n" + "\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
