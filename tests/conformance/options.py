# SPDX-License-Identifier: MIT
"""What conform.py tells the pytest processes, handed over as a JSON file, and how a result becomes a test's outcome."""
from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from conformance import play
from conformance.adapters import Adapter
from conformance.cases import Case, CaseError

ENV = "CONFORM_OPTIONS"
KEPT = ("case.json", "view.json", "journal.jsonl")
SECRET = ("server.json",)


def counts(level: str, strict: bool) -> bool:
    """Whether a failure of that level makes the run fail."""
    return level == "must" or strict and level == "should"


@dataclass
class Options:
    select: list[str] = field(default_factory=list)
    adapters: list[str] = field(default_factory=list)
    strict: bool = False
    report: str = ""                  # directory, or empty
    keep: bool = False                # whole working directories instead of logs only
    absent: dict[str, str] = field(default_factory=dict)      # label -> reason
    known: list[list[str]] = field(default_factory=list)      # [case, label] that failed in the baseline

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def current() -> Options:
        return _read(os.environ.get(ENV))

    def log_dir(self, case: Case, adapter: Adapter) -> Path:
        return Path(self.report) / "logs" / adapter.slug / case.id

    def keep_work(self, case: Case, adapter: Adapter, work: Path) -> None:
        """Logs, view and journal of a case; with `keep` everything."""
        if not self.report or not work.exists():
            return
        target = self.log_dir(case, adapter)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.keep:
            shutil.copytree(work, target, symlinks=True, ignore=_special)
            return
        target.mkdir()
        for path in sorted(work.rglob("*")):
            inside = path.relative_to(work).parts
            wanted = path.suffix == ".log" and len(inside) <= 2 or path.name in KEPT and "target" not in inside and "tree" not in inside
            if wanted and path.is_file() and not path.is_symlink():
                shutil.copyfile(path, target / "-".join(inside))

    def conclude(self, case: Case, result: play.Result) -> None:
        """The test's outcome. Details are in the report, pytest needs the verdict only."""
        match result.verdict:
            case play.PASS | play.INFO:
                return
            case play.UNSUPP:
                pytest.skip("unsupported")
            case play.SKIP:
                pytest.skip(result.reason)
            case play.ERROR:
                pytest.fail(f"harness: {result.reason}", pytrace=False)
        if [result.case, result.adapter] in self.known or not counts(case.level, self.strict):
            pytest.xfail(f"fails, does not count: {result.expected}")
        pytest.fail(f"expected: {result.expected}\nactual: {result.actual}", pytrace=False)


def _special(folder: str, names: list[str]) -> list[str]:
    """What cannot be copied: devices, fifos, sockets; and what must not: credentials of a server."""
    return [n for n in names if n in SECRET or not ((p := Path(folder) / n).is_symlink() or p.is_dir() or p.is_file())]


@lru_cache(maxsize=1)
def _read(path: str | None) -> Options:
    if not path:
        raise CaseError("the suite is started by conform.py run (or pbsref conform run)")
    value: dict[str, Any] = json.loads(Path(path).read_text())
    return Options(**value)
