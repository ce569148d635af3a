# SPDX-License-Identifier: MIT
"""spec/quirks.md has every rule of the released sheets that is marked QUIRK, once, and no other."""
from __future__ import annotations

import re
from collections import Counter

from documents import ROOT
from spec_rules import Spec

DRAFTS = ("APX-", "SPL-", "SYS-")
ROW = re.compile(r"^\| [^|]+ \| ([A-Z]+-\d{3}) \| [^|]+ \|[^|]*\| [^|]+ \|$", re.M)
TEXT = (ROOT / "spec/quirks.md").read_text(encoding="utf-8")


def test_every_marked_rule_has_one_row(spec: Spec) -> None:
    marked = {i for i, rule in spec.rules.items() if "QUIRK" in rule.text and not i.startswith(DRAFTS)}
    listed = Counter(ROW.findall(TEXT))
    twice = [i for i, n in listed.items() if n > 1]
    assert not twice
    assert not marked - set(listed), f"not listed: {sorted(marked - set(listed))}"
    assert not set(listed) - marked, f"not marked QUIRK: {sorted(set(listed) - marked)}"


def test_no_row_is_malformed() -> None:
    rows = [line for line in TEXT.splitlines() if re.match(r"\| [^|]+ \| [A-Z]+-\d{3} ", line)]
    assert [line for line in rows if not ROW.match(line)] == []
