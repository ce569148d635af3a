# SPDX-License-Identifier: MIT
"""The text of the specification's rules, for reports."""
from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from conformance.cases import SPEC

SHEETS = "PXAR|CRT|EXT|BLOB|IDX|CAT|MAN|CRY|BKP|RDR|API|CLI|CHK|CDM|APX|SPL|SYS"
DEFINE = re.compile(rf"^\s*(?:[-*|]\s*)?(?:\*\*|`|\|\s*)*((?:{SHEETS})-\d{{3}}[a-z]?)\b(.*)")
LONGEST = 2000


@dataclass(frozen=True)
class Rule:
    ident: str
    text: str
    sheet: str


def _continues(line: str) -> bool:
    return bool(line.strip()) and not DEFINE.match(line) and not line.lstrip().startswith(("|", "#", "```"))


def _read(path: Path) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        match = DEFINE.match(line)
        if not match or match[1] in found:
            continue
        text = match[2]
        if not line.lstrip().startswith("|"):
            for more in lines[number + 1:number + 40]:
                if not _continues(more):
                    break
                text += " " + more.strip()
        text = text.strip().strip("|").strip().removeprefix("**").lstrip("`:—- |").strip()
        found[match[1]] = Rule(match[1], text[:LONGEST], path.name)
    return found


@lru_cache(maxsize=1)
def rules() -> dict[str, Rule]:
    out: dict[str, Rule] = {}
    for path in sorted(SPEC.glob("*.md")):
        for ident, rule in _read(path).items():
            out.setdefault(ident, rule)
    return out


def text_of(ident: str) -> str:
    rule = rules().get(ident)
    return rule.text if rule else "(no such rule)"
