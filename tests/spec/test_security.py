# SPDX-License-Identifier: MIT
"""spec/security.md: every test that it names exists and says that it covers a rule of its row."""
from __future__ import annotations

import re
from functools import cache

import pytest
from documents import ROOT
from spec_rules import Spec

NAMED = re.compile(r"`((?:tests|fuzz)/[a-z0-9_/]+\.(?:c|py)): (test_[a-z0-9_]+)`")
COVERS_C = re.compile(r"/\*\s*covers:(.*?)\*/", re.S)
COVERS_PY = re.compile(r"^# ?covers:(.*)", re.M)


def rows() -> list[tuple[str, str, str, str]]:
    text = (ROOT / "spec/security.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [(cells[0], cells[1], cells[2], cells[3]) for cells in lines if len(cells) == 4 and cells[0] != "attempt"]


@cache
def source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def covered(path: str) -> frozenset[str]:
    spec = Spec(str(ROOT / "spec"))
    blocks = (COVERS_C if path.endswith(".c") else COVERS_PY).findall(source(path))
    return frozenset().union(*(spec.idents(block, path) for block in blocks))


@pytest.mark.parametrize(("attempt", "rules", "answer", "tests"), rows(), ids=lambda v: v[:40])
def test_each_row_is_proved_by_existing_tests(spec: Spec, attempt: str, rules: str, answer: str, tests: str) -> None:
    named = NAMED.findall(tests)
    assert attempt and answer and named and len(named) == len(tests.split(", ")), tests
    bounds = re.findall(r"`(PBR_[A-Z_]+)`", rules)
    assert all(f"| `{name}` |" in source("spec/limits.md") for name in bounds), rules
    wanted = spec.idents(rules, "security.md")
    assert wanted or bounds, f"no rule: {rules}"
    for path, name in named:
        define = rf"^static void {name}\(|cmocka_unit_test\({name}\)" if path.endswith(".c") else rf"^def {name}\("
        assert re.search(define, source(path), re.M), f"{path} has no {name}"
    proved = frozenset().union(*(covered(path) for path, _ in named))
    assert bounds or wanted & proved, f"none of {sorted(wanted)} is covered by {sorted({p for p, _ in named})}"


def test_there_is_a_row_for_each_kind_of_attacker() -> None:
    text = source("spec/security.md")
    assert len(rows()) >= 50
    assert len(re.findall(r"^## ", text, re.M)) == 7
