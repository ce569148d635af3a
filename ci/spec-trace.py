#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which rule of spec/ is cited by which code and covered by which test or case.

Writes a table per sheet (--out, Markdown; --html, one page without outside resources) and prints totals per sheet.
A rule is defined where its ID begins a line, a list item or a table row of spec/*.md. Ranges (`PXAR-150 .. PXAR-173`)
stand for every rule in between. Exit status 1 if an ID is cited anywhere that no sheet defines, or defined twice.
"""
import argparse
import glob
import html
import json
import os
import re
import sys
from dataclasses import dataclass, field

SHEETS = "PXAR|CRT|EXT|BLOB|IDX|CAT|MAN|CRY|BKP|RDR|API|CLI|CHK|CDM|APX|SPL|SYS"
DEFINE = re.compile(rf"^\s*(?:[-*|]\s*)?(?:\*\*|`|\|\s*)*((?:{SHEETS})-\d{{3}}[a-z]?)\b(.*)")
CITE = re.compile(rf"\b({SHEETS})-(\d{{3}})([a-z]?)\b"
                  rf"(?:\s*(\.\.\.?|…|–|/)\s*(?:(?:{SHEETS})-)?(\d{{3}})(?![\d.]))?")
COVERS_C = re.compile(r"/\*\s*covers:(.*?)\*/", re.S)
COVERS_PY = re.compile(r"^# ?covers:(.*(?:\n#(?!\s*covers:).*)*)", re.M)
WORDS = 70


@dataclass
class Rule:
    ident: str
    where: str
    text: str
    cited: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as f:
        return f.read()


def files(folder: str, *ends: str) -> list[str]:
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(d for d in folders if not d.startswith((".", "__")))
        found += [os.path.join(top, n) for n in sorted(names) if n.endswith(ends)]
    return found


def first_words(rest: str) -> str:
    text = re.sub(r"[*`]", "", rest).strip(" |:—-").replace("|", "·")
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= WORDS else text[:WORDS].rsplit(" ", 1)[0] + " …"


class Trace:
    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}
        self.sheets: dict[str, list[str]] = {}
        self.problems: list[str] = []
        for path in sorted(glob.glob("spec/*.md")):
            for number, line in enumerate(read(path).splitlines(), 1):
                if m := DEFINE.match(line):
                    self.define(m.group(1), f"{path}:{number}", first_words(m.group(2)))
        self.by_sheet = {s: {int(i[-4:-1] if i[-1].isalpha() else i[-3:]): [] for i in ids}
                         for s, ids in self.sheets.items()}
        for ident in self.rules:
            sheet, number = ident.split("-")
            self.by_sheet[sheet][int(number[:3])].append(ident)

    def define(self, ident: str, where: str, text: str) -> None:
        if ident in self.rules:
            self.problems.append(f"{where}: {ident} is also defined at {self.rules[ident].where}")
            return
        self.rules[ident] = Rule(ident, where, text)
        self.sheets.setdefault(ident.split("-")[0], []).append(ident)

    def idents(self, text: str, path: str, base: int = 1) -> set[str]:
        """Rules that a text names, ranges included; unknown ones become problems."""
        found = set()
        for m in CITE.finditer(text):
            sheet, first, letter, joint, last = m.groups()
            named = [f"{sheet}-{first}{letter}"]
            if joint:
                named.append(f"{sheet}-{last}")
            for ident in named:
                if ident in self.rules:
                    found.add(ident)
                else:
                    line = base + text.count("\n", 0, m.start())
                    self.problems.append(f"{path}:{line}: {ident} is defined in no sheet")
            if joint and joint != "/":
                for number in range(int(first), int(last)):
                    found.update(self.by_sheet.get(sheet, {}).get(number, ()))
        return found

    def add(self, idents: set[str], path: str, tests: bool) -> None:
        for ident in idents:
            (self.rules[ident].covered if tests else self.rules[ident].cited).add(path)

    def code(self) -> None:
        for path in files("src", ".c", ".h", ".inc", ".py"):
            self.add(self.idents(read(path), path), path.removeprefix("src/"), tests=False)
        for folder in ("tests", "fuzz", "bench", "ci"):
            for path in files(folder, ".c", ".h", ".py"):
                if path != "ci/spec-trace.py":
                    self.test(path, covering=folder in ("tests", "fuzz"))
        for path in files("spec/cases", ".json"):
            self.case(path)
        for path in sorted(glob.glob("spec/*.md")):
            self.idents(read(path), path)

    def test(self, path: str, covering: bool) -> None:
        text = read(path)
        self.idents(text, path)
        if covering:
            known = len(self.problems)
            for block in (COVERS_PY if path.endswith(".py") else COVERS_C).findall(text):
                self.add(self.idents(block, path), path.removeprefix("tests/"), tests=True)
            del self.problems[known:]  # the whole file was looked at already

    def case(self, path: str) -> None:
        data = json.loads(read(path))
        for case in data if isinstance(data, list) else [data]:
            if isinstance(case, dict) and isinstance(case.get("rules"), list):
                self.add(self.idents(" ; ".join(case["rules"]), path), f"case {case.get('id', path)}", tests=True)

    def totals(self) -> list[tuple[str, str, int, int, int, int]]:
        rows = []
        for sheet, ids in self.sheets.items():
            rules = [self.rules[i] for i in ids]
            rows.append((sheet, rules[0].where.split(":")[0], len(rules), sum(bool(r.cited) for r in rules),
                         sum(bool(r.covered) for r in rules), sum(not r.cited and not r.covered for r in rules)))
        return rows


HEAD = ("rules", "sheet", "defined", "cited", "covered", "neither")


def names(paths: set[str]) -> str:
    shown = sorted(paths)
    return ", ".join(shown[:4]) + (f", +{len(shown) - 4}" if len(shown) > 4 else "")


def markdown(trace: Trace) -> str:
    out = ["# Rules of spec/: where they are cited and what covers them", "",
           "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    out += ["| " + " | ".join(map(str, row)) + " |" for row in trace.totals()]
    for sheet, ids in trace.sheets.items():
        out += ["", f"## {sheet}", "", "| rule | says | cited in | covered by |", "|---|---|---|---|"]
        for ident in ids:
            r = trace.rules[ident]
            out.append(f"| {ident} | {r.text} | {names(r.cited)} | {names(r.covered)} |")
        neither = [i for i in ids if not trace.rules[i].cited and not trace.rules[i].covered]
        if neither:
            out += ["", f"Neither cited nor covered ({len(neither)}): {', '.join(neither)}"]
    return "\n".join(out) + "\n"


STYLE = """body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:110em;color-scheme:light dark}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #8886;padding:.2em .6em;text-align:left;
vertical-align:top}.none{background:#e553}.part{background:#eb03}.full{background:#4a43}"""


def page(trace: Trace) -> str:
    def row(cells: tuple, kind: str = "", cell: str = "td") -> str:
        return f'<tr class="{kind}">' + "".join(f"<{cell}>{html.escape(str(c))}</{cell}>" for c in cells) + "</tr>"

    out = ['<!doctype html><html lang="en"><meta charset="utf-8"><title>spec trace</title>', f"<style>{STYLE}</style>",
           "<h1>Rules of spec/</h1>", "<table>", row(HEAD, cell="th")]
    out += [row(r) for r in trace.totals()] + ["</table>"]
    for sheet, ids in trace.sheets.items():
        out += [f"<h2>{sheet}</h2><table>", row(("rule", "says", "cited in", "covered by"), cell="th")]
        for ident in ids:
            r = trace.rules[ident]
            kind = "full" if r.covered else "part" if r.cited else "none"
            out.append(row((ident, r.text, names(r.cited), names(r.covered)), kind))
        out.append("</table>")
    return "\n".join(out) + "\n"


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", default="build/spec-trace.md", metavar="FILE")
    args.add_argument("--html", metavar="FILE")
    opts = args.parse_args()

    trace = Trace()
    trace.code()
    write(opts.out, markdown(trace))
    if opts.html:
        write(opts.html, page(trace))
    rows = trace.totals()
    for row in rows:
        print("  %-5s %4d rules, %4d cited in src/, %4d covered by tests, %4d neither" % (row[0], *row[2:]))
    print("  all   %4d rules, %4d cited in src/, %4d covered by tests, %4d neither; %s"
          % (*(sum(r[i] for r in rows) for i in range(2, 6)), opts.out))
    for line in trace.problems:
        print(line)
    return 1 if trace.problems else 0


if __name__ == "__main__":
    sys.exit(main())
