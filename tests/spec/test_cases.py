# SPDX-License-Identifier: MIT
"""The cases of the conformance suite name rules, and none is stricter than the rules it names."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from documents import ROOT
from spec_rules import LEVELS, Spec


def cases() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((ROOT / "spec/cases").rglob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict) and "cases" in data:
            yield from ((path, {**data.get("defaults", {}), **case}) for case in data["cases"])
        elif isinstance(data, dict) and "rules" in data:
            yield path, data


def test_no_case_is_stricter_than_its_rules(spec: Spec) -> None:
    wrong = []
    for path, case in cases():
        rules = spec.idents(" ; ".join(case.get("rules", [])), str(path))
        strictest = min((LEVELS.index(spec.rules[i].level) for i in rules), default=None)
        level = case.get("level", "must")
        if strictest is None:
            wrong.append(f"{path.name}: {case.get('id')} names no rule")
        elif level in LEVELS and LEVELS.index(level) < strictest:
            wrong.append(f"{path.name}: {case.get('id')} is {level}, its rules are {LEVELS[strictest]} at most")
    assert not wrong, "\n".join(wrong)


def test_there_are_cases() -> None:
    assert sum(1 for _ in cases()) > 300
