# SPDX-License-Identifier: MIT
"""The text of the specification's rules, for reports and failures."""
from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from conformance.cases import SPEC

SHEET_ROW = re.compile(r"^\|\s*`([a-z-]+\.md)`\s*\|\s*([A-Z]{2,5})\s*\|", re.M)
DEFINE = re.compile(r"^\s*(?:[-*|]\s*)?(?:\*\*|`|\|\s*)*(([A-Z]{2,5})-\d{3}[a-z]?)\b(.*)")
LEVELS = "\n## Levels\n"
LONGEST = 2000


@dataclass(frozen=True)
class Rule:
    ident: str
    text: str
    sheet: str


def _continues(line: str) -> bool:
    return bool(line.strip()) and not DEFINE.match(line) and not line.lstrip().startswith(("|", "#", "```"))


def _read(path: Path, prefix: str) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    lines = path.read_text(encoding="utf-8").split(LEVELS)[0].splitlines()
    for number, line in enumerate(lines):
        match = DEFINE.match(line)
        if not match or match[2] != prefix or match[1] in found:
            continue
        text = match[3]
        if not line.lstrip().startswith("|"):
            for more in lines[number + 1:number + 40]:
                if not _continues(more):
                    break
                text += " " + more.strip()
        text = text.strip().strip("|").strip().removeprefix("**").lstrip(":—- |").strip()
        found[match[1]] = Rule(match[1], text[:LONGEST], path.name)
    return found


@lru_cache(maxsize=1)
def rules() -> dict[str, Rule]:
    """By ID. Which sheet defines which prefix says the reading order in spec/README.md."""
    out: dict[str, Rule] = {}
    for name, prefix in SHEET_ROW.findall((SPEC / "README.md").read_text(encoding="utf-8")):
        out |= _read(SPEC / name, prefix)
    return out


def text_of(ident: str) -> str:
    rule = rules().get(ident)
    return rule.text if rule else "(no such rule)"
