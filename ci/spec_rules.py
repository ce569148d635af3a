# SPDX-License-Identifier: MIT
"""Reads the rules out of spec/: identifiers, text, level, and the exceptions in spec/untested.md.

The sheets are those that the reading order in spec/README.md lists with their prefix. A rule is defined where its ID
begins a line, a list item or a table row of its sheet. Its level is `must` unless the table under "## Levels" at the
end of the sheet says should, may or info. Ranges (`PXAR-150 .. PXAR-173`) stand for every rule in between.
"""
import os
import re
from dataclasses import dataclass, field

LEVELS = ("must", "should", "may", "info")
SHEET_ROW = re.compile(r"^\|\s*`([a-z-]+\.md)`\s*\|\s*([A-Z]{2,5})\s*\|", re.M)
LEVEL_ROW = re.compile(r"^\|\s*(should|may|info)\s*\|(.*)\|\s*$", re.M)
EXCUSE_ROW = re.compile(r"^\|\s*([^|]+?)\s*\|\s*([A-Z]{2,5}-\d{3}[^|]*?)\s*\|\s*$", re.M)


@dataclass
class Rule:
    ident: str
    where: str
    text: str
    level: str = "must"
    cited: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)
    excuse: str = ""


def read(path: str) -> str:
    with open(path, encoding="utf-8") as f:
        return f.read()


class Spec:
    """Rules by ID, in the order of the sheets; `problems` lists what is wrong with the documents."""

    def __init__(self, folder: str = "spec") -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.rules: dict[str, Rule] = {}
        self.sheets: dict[str, str] = {}          # prefix -> file
        self.idents_of: dict[str, list[str]] = {}  # prefix -> IDs
        self.excused: set[str] = set()
        for name, prefix in SHEET_ROW.findall(read(os.path.join(folder, "README.md"))):
            self.sheets[prefix] = os.path.join(folder, name)
        words = "|".join(self.sheets)
        self.define_at = re.compile(rf"^\s*(?:[-*|]\s*)?(?:\*\*|`|\|\s*)*((?:{words})-\d{{3}}[a-z]?)\b(.*)")
        self.cite_at = re.compile(rf"\b({words})-(\d{{3}})([a-z]?)\b"
                                  rf"(?:\s*(\.\.\.?|…|–|/)\s*(?:(?:{words})-)?(\d{{3}})(?![\d.]))?")
        for prefix, path in self.sheets.items():
            self.sheet(prefix, path)
        self.numbers = {p: [(int(re.search(r"-(\d{3})", i).group(1)), i) for i in ids]
                        for p, ids in self.idents_of.items()}
        for prefix, path in self.sheets.items():
            self.levels(prefix, path)
        self.excuses()

    def sheet(self, prefix: str, path: str) -> None:
        lines = read(path).split("\n## Levels\n")[0].splitlines()
        self.idents_of[prefix] = []
        fenced = False
        for at, line in enumerate(lines):
            fenced ^= line.lstrip().startswith("```")
            m = None if fenced else self.define_at.match(line)
            if not m or not m.group(1).startswith(prefix + "-"):
                continue
            ident = m.group(1)
            if ident in self.rules:
                self.problems.append(f"{path}:{at + 1}: {ident} is also defined at {self.rules[ident].where}")
                continue
            self.rules[ident] = Rule(ident, f"{path}:{at + 1}", self.text(lines, at, m.group(2)))
            self.idents_of[prefix].append(ident)

    def text(self, lines: list[str], at: int, first: str) -> str:
        """The rule's words: its table row, or its lines up to a blank one, a table or the next rule."""
        text = [first]
        if not lines[at].lstrip().startswith("|"):
            for line in lines[at + 1:]:
                if not line.strip() or line.lstrip().startswith(("|", "```", "#")) or self.define_at.match(line):
                    break
                text.append(line.strip())
        plain = re.sub(r"\*\*|`", "", " ".join(text)).replace(" | ", " · ")
        plain = re.sub(r"(?<![\w*/.])\*(\w[^*]*)\*(?!\w)", r"\1", plain)  # emphasis
        return re.sub(r"\s+", " ", plain).strip(" |:—·-")

    def levels(self, prefix: str, path: str) -> None:
        parts = read(path).split("\n## Levels\n")
        if len(parts) != 2:
            self.problems.append(f"{path}: one section \"## Levels\" is needed, there are {len(parts) - 1}")
            return
        given: set[str] = set()
        for level, row in LEVEL_ROW.findall(parts[1]):
            named = self.idents(row, f"{path} (Levels)")
            for ident in sorted(named & given):
                self.problems.append(f"{path}: {ident} has two levels")
            for ident in named:
                if not ident.startswith(prefix + "-"):
                    self.problems.append(f"{path}: {ident} belongs to another sheet")
                self.rules[ident].level = level
            given |= named

    def excuses(self) -> None:
        path = os.path.join(self.folder, "untested.md")
        if not os.path.exists(path):
            return
        for reason, idents in EXCUSE_ROW.findall(read(path)):
            for ident in self.idents(idents, path):
                if ident in self.excused:
                    self.problems.append(f"{path}: {ident} stands there twice")
                self.excused.add(ident)
                self.rules[ident].excuse = reason

    def idents(self, text: str, path: str, base: int = 1) -> set[str]:
        """Rules that a text names, ranges included; unknown ones become problems."""
        found = set()
        for m in self.cite_at.finditer(text):
            prefix, first, letter, joint, last = m.groups()
            for ident in [f"{prefix}-{first}{letter}"] + ([f"{prefix}-{last}"] if joint else []):
                if ident in self.rules:
                    found.add(ident)
                else:
                    line = base + text.count("\n", 0, m.start())
                    self.problems.append(f"{path}:{line}: {ident} is defined in no sheet")
            if joint and joint != "/":
                low, high = int(first), int(last)
                found.update(i for n, i in self.numbers.get(prefix, ()) if low <= n <= high)
        return found
