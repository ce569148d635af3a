# SPDX-License-Identifier: MIT
"""The cases of the conformance suite name rules, and no case that must pass rests on rules that nobody has to keep."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from documents import ROOT
from spec_rules import Spec


def cases() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((ROOT / "spec/cases").rglob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict) and "cases" in data:
            yield from ((path, {**data.get("defaults", {}), **case}) for case in data["cases"])
        elif isinstance(data, dict) and "rules" in data:
            yield path, data


def test_no_case_demands_what_no_rule_demands(spec: Spec) -> None:
    wrong = []
    for path, case in cases():
        levels = {spec.rules[i].level for i in spec.idents(" ; ".join(case.get("rules", [])), str(path))}
        if not levels:
            wrong.append(f"{path.name}: {case.get('id')} names no rule")
        elif case.get("level", "must") == "must" and not levels & {"must", "should"}:
            wrong.append(f"{path.name}: {case.get('id')} is must, its rules are {', '.join(sorted(levels))}")
    assert not wrong, "\n".join(wrong)


def test_there_are_cases() -> None:
    assert sum(1 for _ in cases()) > 300
