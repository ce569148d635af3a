# SPDX-License-Identifier: MIT
"""ci/spec-trace.py: what it counts, and what makes it fail, on a small made-up specification."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT
from spec_rules import LEVELS, Spec

README = "| `one.md` | ABC | things |\n"
SHEET = """# One

- ABC-001 first rule,
  on two lines
- ABC-002 second rule

| ABC-003 | a rule in a table |
|---|---|

```
ABC-001 inside a block is not a second definition
```

## Levels

| level | rules |
|---|---|
| info | ABC-003 |
"""


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for folder in ("spec/cases/area", "src", "tests/unit"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "spec/README.md").write_text(README)
    (tmp_path / "spec/one.md").write_text(SHEET)
    (tmp_path / "src/a.c").write_text("/* [ABC-001] */\n")
    (tmp_path / "tests/unit/a_test.c").write_text("/* covers: ABC-001 .. ABC-002 */\n")
    return tmp_path


def trace(top: Path, *args: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, str(ROOT / "ci/spec-trace.py"), "--out", "out.md", "--html", "out.html", *args], cwd=top,
                          capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_everything_covered_is_fine(top: Path) -> None:
    code, out = trace(top)
    assert code == 0 and "ABC      3 rules,    2 must:    2 covered,   0 excused,   0 open" in out
    text = (top / "out.md").read_text()
    assert "| ABC-001 | must | first rule, on two lines | a.c | unit/a_test.c |" in text
    assert "| ABC-003 | info | a rule in a table |  |  |" in text
    page = (top / "out.html").read_text()
    assert page.count('<tr id="ABC-') == 3 and "<script" not in page and "http" not in page


def test_an_uncovered_must_rule_fails_by_name(top: Path) -> None:
    (top / "tests/unit/a_test.c").write_text("/* covers: ABC-001 */\n")
    code, out = trace(top)
    assert code == 1 and "spec/one.md:5: ABC-002 (must) is covered by no test or case: second rule" in out
    assert trace(top, "--open", "ABC")[0] == trace(top, "--open")[0] == 0
    assert trace(top, "--open", "XYZ")[0] == 1


def test_a_case_covers_what_its_rules_name(top: Path) -> None:
    (top / "tests/unit/a_test.c").write_text("/* covers: ABC-001 */\n")
    (top / "spec/cases/area/c.json").write_text(json.dumps({"cases": [{"id": "c1", "rules": ["ABC-002"]}]}))
    assert trace(top)[0] == 0
    assert "case area/c1" in (top / "out.md").read_text()


def test_an_excused_rule_is_no_failure_until_it_is_covered(top: Path) -> None:
    (top / "tests/unit/a_test.c").write_text("/* covers: ABC-001 */\n")
    (top / "spec/untested.md").write_text("| nobody can | ABC-002 |\n")
    assert trace(top)[0] == 0
    assert "not tested: nobody can" in (top / "out.md").read_text()
    (top / "tests/unit/a_test.c").write_text("/* covers: ABC-001 ABC-002 */\n")
    code, out = trace(top)
    assert code == 1 and "spec/untested.md: ABC-002 is covered by unit/a_test.c" in out


@pytest.mark.parametrize(("path", "text", "problem"), [
    ("src/b.c", "/* ABC-044 */", "src/b.c:1: ABC-044 is defined in no sheet"),
    ("tests/unit/b_test.c", "\n/* covers: ABC-001 ABC-045 */", "tests/unit/b_test.c:2: ABC-045 is defined in no sheet"),
    ("spec/cases/area/b.json", '[{"id": "b", "rules": ["ABC-046"]}]', "ABC-046 is defined in no sheet"),
    ("spec/cases/area/b.json", "{", "spec/cases/area/b.json:"),
    ("spec/quirks.md", "ABC-047", "spec/quirks.md:1: ABC-047 is defined in no sheet"),
    ("spec/one.md", SHEET.replace("- ABC-002", "- ABC-001"), "ABC-001 is also defined"),
    ("spec/one.md", SHEET + "| may | ABC-003 |\n", "ABC-003 has two levels"),
    ("spec/one.md", SHEET.split("## Levels")[0], 'one section "## Levels" is needed'),
])
def test_what_is_wrong_in_the_documents_fails(top: Path, path: str, text: str, problem: str) -> None:
    (top / path).write_text(text)
    code, out = trace(top)
    assert code == 1 and problem in out


def test_the_sheets_of_this_project_are_well_formed(spec: Spec) -> None:
    assert spec.problems == []
    assert len(spec.rules) > 1600 and {r.level for r in spec.rules.values()} == set(LEVELS)
    assert all(r.text for r in spec.rules.values())
