# SPDX-License-Identifier: MIT
"""spec/limits.md says what the headers say, and leaves out no bound of src/base/limits.h."""
from __future__ import annotations

import re

import pytest
from documents import ROOT

ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (\d+) \| (.*) \|$", re.M)
HEADER = "src/base/limits.h"


def value(text: str) -> int:
    """A constant expression of C: numbers, + * << and brackets."""
    plain = re.sub(r"UINT64_C|(?<=\d)[uUlL]+", "", text)
    assert re.fullmatch(r"[\d\s+*<()]+", plain), text
    return int(eval(plain))  # noqa: S307 - digits and operators only


def constant(source: str, name: str) -> int:
    found = re.search(rf"(?:#define\s+{name}\s+|\b{name}\s*=\s*)([^,;/}}\n]+)", source)
    assert found, f"{name} is not there"
    return value(found.group(1).strip())


def rows(part: str) -> list[tuple[str, int, str]]:
    text = (ROOT / "spec/limits.md").read_text(encoding="utf-8")
    section = text[text.index(part):].split("\n## ")[0]
    return [(name, int(number), rest) for name, number, rest in ROW.findall(section)]


def test_figures_equal_the_header() -> None:
    source = (ROOT / HEADER).read_text(encoding="utf-8")
    wrong = [f"{name}: {number} here, {constant(source, name)} there"
             for name, number, _ in rows("Bounds of the formats") if constant(source, name) != number]
    assert not wrong, "\n".join(wrong)


def test_no_bound_of_the_header_is_left_out() -> None:
    source = (ROOT / HEADER).read_text(encoding="utf-8")
    there = set(re.findall(r"^\s+(PBR_[A-Z_]+) =", source, re.M)) | set(re.findall(r"#define (PBR_[A-Z_]+_DEFAULT)", source))
    assert there == {name for name, _, _ in rows("Bounds of the formats")}


@pytest.mark.parametrize(("name", "number", "rest"), rows("Bounds of single rooms"), ids=lambda v: str(v)[:30])
def test_figures_equal_the_sources(name: str, number: int, rest: str) -> None:
    path = rest.split("|")[0].strip().strip("`")
    assert constant((ROOT / path).read_text(encoding="utf-8"), name) == number


def test_every_row_has_a_reason_or_a_rule() -> None:
    bare = [name for name, _, rest in rows("Bounds of the formats") if not rest.split("|")[2].strip()]
    assert not bare
