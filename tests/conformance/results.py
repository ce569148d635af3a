# SPDX-License-Identifier: MIT
"""results.jsonl: a `run` line, a line per adapter, a line per case and adapter. Everything else is made from it."""
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.cases import CaseError
from conformance.options import counts

VERDICTS = ("pass", "fail", "unsupported", "skip", "info", "error")


@dataclass
class Run:
    about: dict[str, Any] = field(default_factory=dict)
    adapters: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def strict(self) -> bool:
        return bool(self.about.get("strict"))

    def sort(self) -> None:
        order = {a["adapter"]: n for n, a in enumerate(self.adapters)}
        self.results.sort(key=lambda r: (r["case"], order.get(r["adapter"], 0)))

    def of(self, adapter: str) -> list[dict[str, Any]]:
        return [r for r in self.results if r["adapter"] == adapter]

    def tally(self, adapter: str, area: str | None = None) -> Counter[str]:
        return Counter(r["verdict"] for r in self.of(adapter) if area in (None, r["area"]))

    def areas(self) -> list[str]:
        return sorted({r["area"] for r in self.results})

    def failing(self) -> list[dict[str, Any]]:
        """Failures that count: level, and not in the baseline."""
        return [r for r in self.results if r["verdict"] == "fail" and counts(r["level"], self.strict) and not r.get("known")]

    def lines(self) -> Iterable[str]:
        for kind, records in (("run", [self.about]), ("adapter", self.adapters), ("result", self.results)):
            for record in records:
                yield json.dumps({"record": kind, **record}, ensure_ascii=False)

    def save(self, path: Path) -> None:
        path.write_text("".join(line + "\n" for line in self.lines()), encoding="utf-8", errors="backslashreplace")


def read(path: Path) -> Run:
    run = Run()
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            kind = record.pop("record")
            if kind == "run":
                run.about = record
            else:
                {"adapter": run.adapters, "result": run.results}[kind].append(record)
    except (OSError, ValueError, KeyError) as e:
        raise CaseError(f"{path}: no results: {e!r}") from None
    return run


def failed_before(path: Path) -> list[list[str]]:
    """[case, adapter] of every failure in an earlier run."""
    return [[r["case"], r["adapter"]] for r in read(path).results if r["verdict"] == "fail"]
