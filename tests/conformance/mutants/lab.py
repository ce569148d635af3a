# SPDX-License-Identifier: MIT
"""Plays file cases in this process: inputs are laid out once, every mutant gets a process of its own, forked with all that in place."""
from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import generate, play, trees
from conformance.adapters import ACCEPTED, REJECTED, UNSUPPORTED, Outcome, clean_env, find
from conformance.cases import Case, CaseError
from conformance.checks import Context, Mismatch
from conformance.mutants import model

CRASH = 70
SLACK_S = 10.0
MEMORY = 3 << 30
FORKING = threading.Lock()  # a pipe must not be inherited by the other child
FILE_ROLES = ("reader", "writer", "chunker")


class Overtime(BaseException):
    """Not an Exception, so that no mutant catches it."""


@dataclass
class Bench:
    """A case laid out, and how the right implementation did."""
    case: Case
    folder: Path
    base: str = ""          # "oracle", "pbsref", or why nothing can be told from it
    seconds: float = 0.0
    exit: int = ACCEPTED
    killers: list[str] = field(default_factory=list)

    @property
    def case_dir(self) -> Path:
        return self.folder / "case"

    @property
    def usable(self) -> bool:
        return self.base in ("oracle", "pbsref")

    def context(self, out: Path) -> Context:
        return Context(self.case, self.case_dir, out, self.case.get("args", {}))


def lay(case: Case, folder: Path) -> Bench:
    generate.lay(case, folder / "case", folder / "out")
    generate.lay_args(folder / "case", case, case.verb, case.get("args", {}))
    remove(folder / "out")
    return Bench(case, folder)


def remove(path: Path) -> None:
    if path.exists():
        trees.remove_work(path)


def fresh_out(bench: Bench, name: str) -> Path:
    """An OUTDIR as the verb announces it."""
    out = bench.folder / name
    remove(out)
    out.mkdir()
    if bench.case.get("target") is not None:
        generate.tree(out / "target", bench.case.get("target"))
    return out


# ---- one call ----

def _alarm(*_: Any) -> None:
    raise Overtime


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def call(adapter: Any, bench: Bench, out: Path, limit_s: float) -> Outcome:
    """As the adapter's main does it, in this process."""
    began, timed_out, said = time.monotonic(), False, ""
    try:
        with time_limit(limit_s), contextlib.redirect_stdout(io.StringIO()):
            adapter.VERBS[bench.case.verb](adapter.Call(str(bench.case_dir), str(out)))
        code = ACCEPTED
    except adapter.Unsupported:
        code = UNSUPPORTED
    except adapter.REJECTIONS as e:
        code, said = REJECTED, str(e)
    except Overtime:
        code, timed_out = CRASH, True
    except Exception as e:
        code, said = CRASH, repr(e)
    return Outcome(code, timed_out, time.monotonic() - began, said)


def verdict(bench: Bench, found: Outcome, out: Path, untouched: Callable[[], None]) -> Mismatch | None:
    """What the suite objects to, None if nothing."""
    try:
        untouched()
        play.judge(bench.case.expect, bench.case.rules, found, bench.case.limit_s, bench.context(out))
    except Mismatch as e:
        return e
    return None


def run(adapter: Any, bench: Bench, name: str, limit_s: float) -> tuple[Outcome, Mismatch | None]:
    out = fresh_out(bench, name)
    untouched = play.guarded(bench.case.verb, out)
    found = call(adapter, bench, out, limit_s)
    if found.exit == UNSUPPORTED:
        return found, None
    return found, verdict(bench, found, out, untouched)


def run_program(bench: Bench, name: str) -> tuple[Outcome, Mismatch | None]:
    """The same with the adapter of pbsref."""
    out = fresh_out(bench, name)
    untouched = play.guarded(bench.case.verb, out)
    home = bench.folder / "home"
    home.mkdir(exist_ok=True)
    found = find("pbsref").call(bench.case.verb, bench.case_dir, out, home, bench.folder / "log", bench.case.limit_s)
    return found, None if found.exit == UNSUPPORTED else verdict(bench, found, out, untouched)


# ---- baseline ----

def measure(bench: Bench) -> Bench:
    """Lets the oracle play the case, or pbsref where the oracle cannot; the result stays in `base-out`."""
    found, wrong = run(_baseline(), bench, "base-out", bench.case.limit_s)
    bench.base = "oracle"
    if found.exit == UNSUPPORTED or wrong:
        why = f"the oracle fails: {wrong.expected}: {wrong.actual}"[:300] if wrong else "unsupported"
        found, wrong = run_program(bench, "base-out")
        bench.base = "pbsref"
        if found.exit == UNSUPPORTED or wrong:
            bench.base = why + (f"; pbsref fails: {wrong.expected}: {wrong.actual}"[:300] if wrong else "; pbsref: unsupported")
    bench.seconds, bench.exit = found.seconds, found.exit
    return bench


_loaded: dict[str, Any] = {}


def _baseline() -> Any:
    if "adapter" not in _loaded:
        _loaded["adapter"] = model.load()
    return _loaded["adapter"]


# ---- many at once ----

def _child(work: Callable[[Any], Any], tasks: Sequence[Any], pipe: int) -> None:
    """Does its tasks and ends without unwinding the parent's state."""
    code = 1
    try:
        with os.fdopen(pipe, "wb") as out:
            for task in tasks:
                pickle.dump(work(task), out)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _collect(pipe: int) -> list[Any]:
    with os.fdopen(pipe, "rb") as source:
        found = io.BytesIO(source.read())
    out = []
    while found.tell() < len(found.getbuffer()):
        out.append(pickle.load(found))
    return out


def pool_map(work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int, batch: int = 1) -> Iterator[Any]:
    """In forked processes that end after each batch, so that a mutant leaves nothing behind; the order is that of the tasks."""
    batches = [tasks[at:at + batch] for at in range(0, len(tasks), batch)]

    def one(part: Sequence[Any]) -> list[Any]:
        with FORKING:
            source, pipe = os.pipe2(os.O_CLOEXEC)
            pid = os.fork()
            if pid == 0:
                os.close(source)
                _child(work, part, pipe)
            os.close(pipe)
        found = _collect(source)
        if os.waitpid(pid, 0)[1] or len(found) != len(part):
            raise CaseError(f"a process of the lab died over {part[0]}")
        return found

    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(one, batches):
            yield from found


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


BENCHES: list[Bench] = []  # filled before the processes are forked


def order(one: model.Mutant, benches: Sequence[Bench]) -> list[Bench]:
    """Cases of the mutant's areas, those that name its rule first, quick ones first."""
    chosen = [b for b in benches if b.case.area in one.areas and b.base == "oracle"]
    return sorted(chosen, key=lambda b: (one.rule not in b.case.rules, b.seconds))


def hunt(task: tuple[model.Mutant, bool]) -> tuple[str, list[str], str]:
    """(name of the mutant, cases that fail with it, what the first one said)."""
    one, whole = task
    limit_memory()
    adapter, killers, said = model.load(one.patches), [], ""
    for bench in order(one, BENCHES):
        found, wrong = run(adapter, bench, f"out-{os.getpid()}", 3 * bench.seconds + SLACK_S)
        remove(bench.folder / f"out-{os.getpid()}")
        if found.exit == UNSUPPORTED or wrong is None:
            continue
        said = said or f"{wrong.expected}: {wrong.actual}"
        killers.append(bench.case.id)
        if not whole:
            break
    return one.name, killers, said


def copy_tree(source: Path, target: Path) -> None:
    """With everything that a restore sets; a directory without special files is copied here."""
    remove(target)
    if not (source / "target").exists():
        shutil.copytree(source, target)
        return
    subprocess.run(["cp", "-a", str(source), str(target)], check=True, env=clean_env(source.parent), stdin=subprocess.DEVNULL)


def read_view(out: Path) -> Any:
    path = out / "view.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def forget(folder: Path) -> None:
    """A working directory with everything in it."""
    if folder.exists():
        trees.remove_work(folder)
    shutil.rmtree(folder, ignore_errors=True)
