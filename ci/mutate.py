#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mutation testing of C rooms: small faults put into the source one at a time; do the room's tests notice?

A sample of all mutants of the files (--count, --seed; the same seed gives the same sample) is compiled, one file each, into a
shared object that is preloaded before the library, and the unit, property and torture tests named after the room are run until one
fails; what survives runs the quick ones again under Valgrind.
A mutant whose machine code equals the original's is no mutant and is left out. Survivors that tests/mutation-survivors.md
calls equivalent do not count. Writes --out (Markdown); exit status 1 if --least is given and the score is below it.

    ci/mutate.py --build build --count 150 --seed 1 src/format src/chunk src/detect
"""
from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRIAGE = ROOT / "tests" / "mutation-survivors.md"
SKIP = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', re.S | re.M)
SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+": "-", "-": "+", "+=": "-=",
         "-=": "+=", "*": "+", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&": "|", "|": "&"}
BINARY = re.compile(r"(?<=[\w)\]] )(<=|>=|==|!=|&&|\|\||\+=|-=|<<|>>|[-<>+*/%&|])(?=[ \n])")
NUMBER = re.compile(r"(?<![\w.])(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)(?![\w.])")
NEGATION = re.compile(r"(?<=[( ])!(?=[\w(])")
LEAVE = re.compile(r"^[ \t]+(continue|break);", re.M)
CHECK = re.compile(r"^[ \t]*(?:else )?if \(", re.M)
CALLED = re.compile(r"^[ \t]+([a-z]\w*\([^;=]*\));[ \t]*$", re.M)
SLACK_S = 10.0
VALGRIND_S = 90.0
VALGRIND = ("valgrind", "-q", "--error-exitcode=99")


@dataclass
class Mutant:
    file: str
    start: int
    end: int
    new: str
    what: str
    line: int = 0
    text: str = ""
    verdict: str = ""
    by: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Survives edits elsewhere in the file."""
        return self.file, self.text, self.what


@dataclass
class Test:
    path: Path
    seconds: float = 0.0


@dataclass
class Room:
    name: str
    tests: list[Test] = field(default_factory=list)


# ---- mutants of a file ----

def blank(source: str) -> str:
    """The source with comments, strings and preprocessor lines as spaces; offsets stay."""
    return SKIP.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), source)


def closing(text: str, at: int) -> int:
    """Offset of the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise ValueError("unbalanced parentheses")


def checks(code: str, name: str) -> Iterator[Mutant]:
    """Refusals: `if (...) return pbr_fail` and other returns of an error, made never true."""
    for match in CHECK.finditer(code):
        begin = match.end() - 1
        end = closing(code, begin)
        after = code[end + 1:end + 120].lstrip(" {\n")
        if after.startswith(("return pbr_fail", "return PBR_E", "return rc", "goto out")):
            yield Mutant(name, begin + 1, end, "0", "check dropped")


def mutants_of(path: Path) -> list[Mutant]:
    source = path.read_text(encoding="utf-8")
    code, name = blank(source), str(path.relative_to(ROOT))
    found = list(checks(code, name))
    for match in BINARY.finditer(code):
        found.append(Mutant(name, match.start(), match.end(), SWAPS[match[0]], f"{match[0]} -> {SWAPS[match[0]]}"))
    tables = {n for n, line in enumerate(code.splitlines()) if len(re.findall(r"0x[0-9a-fA-F]+", line)) > 3}  # one number of a row is enough
    for match in NUMBER.finditer(code):
        row = code.count("\n", 0, match.start())
        if row in tables and "0x" in code[code.rfind("\n", 0, match.start()) + 1:match.start()]:
            continue
        value = int(match[1], 8 if re.fullmatch("0[0-7]+", match[1]) else 0)
        found.append(Mutant(name, match.start(), match.end(), f"{value + 1}{match[2]}", f"{match[0]} -> {value + 1}{match[2]}"))
        if value > 1:
            found.append(Mutant(name, match.start(), match.end(), f"{value - 1}{match[2]}", f"{match[0]} -> {value - 1}{match[2]}"))
    found += [Mutant(name, m.start(), m.end(), "", "! dropped") for m in NEGATION.finditer(code)]
    found += [Mutant(name, m.start(1), m.end(1), "", f"{m[1]} dropped") for m in LEAVE.finditer(code)]
    found += [Mutant(name, m.start(1), m.end(1), "(void)0", "call dropped") for m in CALLED.finditer(code)]
    lines, seen = source.splitlines(), Counter[tuple[int, str]]()
    for one in sorted(found, key=lambda m: m.start):
        one.line = source.count("\n", 0, one.start) + 1
        one.text = lines[one.line - 1].strip()
        seen[one.line, one.what] += 1
        number = seen[one.line, one.what]
        one.what += f" #{number}" if number > 1 else ""
    return found


def sample(files: list[Path], count: int, seed: int) -> tuple[list[Mutant], int]:
    every = [m for path in files for m in mutants_of(path)]
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    return sorted(chosen, key=lambda m: (m.file, m.start)), len(every)


# ---- building and running ----

class Lab:
    """The library as a shared object, test programs linked with it, and how to compile one file."""

    def __init__(self, build: Path, rooms: list[str], jobs: int) -> None:
        self.build, self.work, self.jobs = build, build / "mutation", jobs
        self.work.mkdir(parents=True, exist_ok=True)
        self.lock, self.known = threading.Lock(), triaged()
        self.careful: dict[str, list[Test]] = {}
        self.make("release/libpbsref.so.0")
        self.library = build / "release" / "libpbsref.so.0"
        self.flags = self.variable("ALL_CFLAGS")
        self.libs = self.variable("PKG_LIBS")
        self.rooms = {room: Room(room) for room in rooms}
        with ThreadPoolExecutor(jobs) as pool:
            for room in rooms:
                sources = sorted(p for kind in ("unit", "prop", "torture") for p in (ROOT / "tests" / kind).glob(f"{room}_*_test.c"))
                self.rooms[room].tests = list(pool.map(self.link, sources))
        for room in self.rooms.values():
            room.tests = [self.timed(t) for t in room.tests]
            room.tests.sort(key=lambda t: t.seconds)

    def make(self, target: str) -> None:
        subprocess.run(["make", "-s", f"BUILD={self.build}", f"-j{self.jobs}", str(self.build / target)], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)

    def variable(self, name: str) -> list[str]:
        text = subprocess.run(["make", "-s", "-f", "Makefile", "-f", "/dev/stdin", "show"], cwd=ROOT, check=True, capture_output=True, text=True,
                              input=f"show:\n\t@printf '%s' '$(subst ',\"'\",$({name}))'\n").stdout
        return [w for w in text.replace("'", "").replace('"\\"', '"').split() if w != "-g"]

    def compile(self, source: Path, output: Path, *more: str) -> bool:
        run = subprocess.run(["cc", *self.flags, "-w", "-g0", str(source), "-o", str(output), *more], cwd=ROOT, capture_output=True, text=True)
        self.said = run.stderr
        return run.returncode == 0

    def link(self, source: Path) -> Test:
        program = self.work / source.parent.name / source.stem
        program.parent.mkdir(exist_ok=True)
        newest = max(p.stat().st_mtime for p in (source, self.library, *source.parent.glob("*.h")))
        if not program.exists() or program.stat().st_mtime < newest:
            if not self.compile(source, program, "-Itests/unit", str(self.library), f"-Wl,-rpath,{self.library.parent}", "-lcmocka", *self.libs):
                sys.exit(f"mutate: {source}: {self.said}")
        return Test(program)

    def timed(self, test: Test) -> Test:
        began = time.monotonic()
        if self.fails(test, None, 120.0):
            sys.exit(f"mutate: {test.path.name} fails without any mutant")
        test.seconds = time.monotonic() - began
        return test

    def fails(self, test: Test, mutant: Path | None, limit_s: float, *wrap: str) -> bool:
        """Runs a test; a crash or the time limit is a failure too."""
        env = {**os.environ, "PBR_SEED": "1"} | ({"LD_PRELOAD": str(mutant)} if mutant else {})
        process = subprocess.Popen([*wrap, str(test.path)], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            return process.wait(limit_s) != 0
        except subprocess.TimeoutExpired:
            return True
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def valgrind_tests(self, room: str) -> list[Test]:
        """Quick unit tests of a room, for mutants that only touch memory they should not; none without valgrind."""
        if not shutil.which(VALGRIND[0]):
            return []
        with self.lock:
            if room not in self.careful:
                quick = [t for t in self.rooms[room].tests if t.seconds < 1 and t.path.parent.name == "unit"]
                self.careful[room] = [t for t in quick if not self.fails(t, None, VALGRIND_S, *VALGRIND)]
            return self.careful[room]

    def code(self, path: Path) -> str:
        """What the machine executes and the constants it reads, as a hash."""
        out = path.with_suffix(".bin")
        subprocess.run(["objcopy", "-O", "binary", "-R", ".comment", "-R", ".note*", str(path), str(out)], check=True)
        return hashlib.sha256(out.read_bytes()).hexdigest()

    def original(self, file: str) -> str:
        return self.code(self.object(ROOT / file, self.work / (file.replace("/", "-") + ".o"), file) or Path())

    def object(self, source: Path, output: Path, file: str) -> Path | None:
        good = self.compile(source, output, "-fPIC", "-c", f"-I{(ROOT / file).parent}")
        return output if good else None


def judge(lab: Lab, mutant: Mutant, number: int, originals: dict[str, str]) -> Mutant:
    """Compiles the mutant and runs the tests of its room, quick ones and those of its name first."""
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    folder = lab.work / f"m{number}"
    folder.mkdir(exist_ok=True)
    changed = folder / Path(mutant.file).name
    changed.write_text(source[:mutant.start] + mutant.new + source[mutant.end:], encoding="utf-8")
    found = lab.object(changed, folder / "m.o", mutant.file)
    if found is None:
        mutant.verdict = "does not compile"
    elif lab.code(found) == originals[mutant.file]:
        mutant.verdict = "same code"
    else:
        shared = folder / "m.so"
        subprocess.run(["cc", "-shared", "-o", str(shared), str(found)], check=True)
        room, stem = Path(mutant.file).parent.name, Path(mutant.file).stem.split("_")[0]
        mutant.verdict = "survived"
        for test in sorted(lab.rooms[room].tests, key=lambda t: (stem not in t.path.name, t.seconds)):
            if lab.fails(test, shared, 4 * test.seconds + SLACK_S):
                mutant.verdict, mutant.by = "killed", test.path.name
                break
        for test in lab.valgrind_tests(room) if mutant.verdict == "survived" and mutant.key not in lab.known else ():
            if lab.fails(test, shared, VALGRIND_S, *VALGRIND):
                mutant.verdict, mutant.by = "killed", f"valgrind {test.path.name}"
                break
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return mutant


# ---- triage and report ----

def triaged() -> dict[tuple[str, str, str], str]:
    """Survivors that no test can tell apart: rows `| file | line | change | equivalent | reason |`."""
    out = {}
    for line in TRIAGE.read_text(encoding="utf-8").splitlines() if TRIAGE.exists() else []:
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 5 and cells[3] == "equivalent":
            out[tuple(c.strip("`").replace("\\|", "|") for c in cells[:3])] = cells[4]
    return out


def report(mutants: list[Mutant], every: int, seed: int) -> tuple[str, float]:
    known = triaged()
    for one in mutants:
        if one.verdict == "survived" and one.key in known:
            one.verdict = "equivalent"
    files: dict[str, Counter[str]] = {}
    for one in mutants:
        files.setdefault(one.file, Counter())[one.verdict] += 1
    total: Counter[str] = sum(files.values(), Counter())
    lines = ["# Source mutation", "", f"Sample of {len(mutants)} of {every} mutants, seed {seed}. No mutants: {total['same code']} with equal machine code, "
             f"{total['does not compile']} that do not compile.", "",
             "| file | mutants | killed | equivalent | survived | score |", "|---|---|---|---|---|---|"]
    for name, tally in [*sorted(files.items()), ("**all**", total)]:
        real = tally["killed"] + tally["survived"]
        lines.append(f"| {name} | {real + tally['equivalent']} | {tally['killed']} | {tally['equivalent']} | {tally['survived']} | "
                     f"{100 * tally['killed'] / real:.0f} % |" if real else f"| {name} | {tally['equivalent']} | 0 | {tally['equivalent']} | 0 | |")
    survivors = [m for m in mutants if m.verdict == "survived"]
    lines += ["", f"## Survivors: {len(survivors)}", "", "| file | line | change | |", "|---|---|---|---|"]
    lines += [f"| {m.file} | `{m.text}` | {m.what} | line {m.line} |".replace("||", "\\|\\|") for m in survivors]
    real = total["killed"] + total["survived"]
    return "\n".join(lines) + "\n", 100 * total["killed"] / real if real else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", help="rooms: src/format ...; or single files")
    parser.add_argument("--build", default="build", type=Path)
    parser.add_argument("--count", default=150, type=int)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--jobs", default=os.cpu_count() or 1, type=int)
    parser.add_argument("--least", default=0.0, type=float, help="score in percent that is needed for exit status 0")
    parser.add_argument("--out", type=Path, help="default: BUILD/mutation.md")
    args = parser.parse_args()
    places = [ROOT / f for f in args.folders]
    files = [f for place in places for f in (sorted(place.glob("*.c")) if place.is_dir() else [place])]
    print(f"ci/mutate.py --count {args.count} --seed {args.seed} {' '.join(args.folders)}", flush=True)
    chosen, every = sample(files, args.count, args.seed)
    lab = Lab(args.build.resolve(), sorted({f.parent.name for f in files}), args.jobs)
    originals = {name: lab.original(name) for name in sorted({m.file for m in chosen})}
    with ThreadPoolExecutor(args.jobs) as pool:
        for number, one in enumerate(pool.map(lambda pair: judge(lab, pair[1], pair[0], originals), enumerate(chosen)), 1):
            print(f"  {number:>3} {one.verdict:<16} {one.file}:{one.line} {one.what}  {one.by or one.text}", flush=True)
    text, score = report(chosen, every, args.seed)
    out = args.out or args.build / "mutation.md"
    out.write_text(text, encoding="utf-8")
    print(text)
    print(f"score {score:.1f} %, {out}")
    return 1 if score < args.least else 0


if __name__ == "__main__":
    sys.exit(main())
