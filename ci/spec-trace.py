#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which rule of spec/ is cited by which code and covered by which test or case.

Writes a table per sheet (--out, Markdown; --html, one page without outside resources) and prints totals per sheet.
Exit status 1 if an ID is cited anywhere that no sheet defines, or defined twice, if a rule of level must is covered by
no test or case and not listed in spec/untested.md, or if a rule listed there is covered after all.
--open SHEET,... only lists the uncovered ones of these sheets (APX,SPL), and of all without a value.
"""
import argparse
import glob
import html
import json
import os
import re
import sys
from collections.abc import Iterator

from spec_rules import LEVELS, Rule, Spec, read

COVERS_C = re.compile(r"/\*\s*covers:(.*?)\*/", re.S)
COVERS_PY = re.compile(r"^# ?covers:(.*(?:\n#(?!\s*covers:).*)*)", re.M)
WORDS = 90
HEAD = ("rules", "sheet", "defined", *LEVELS, "must covered", "must excused", "must open", "cited in src/")


def files(folder: str, *ends: str) -> list[str]:
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(d for d in folders if not d.startswith((".", "__")))
        found += [os.path.join(top, n) for n in sorted(names) if n.endswith(ends)]
    return found


def cases_in(data: object) -> Iterator[dict]:
    """Every object with a list of rules, wherever in the document it stands."""
    if isinstance(data, dict):
        if isinstance(data.get("rules"), list):
            yield data
        for value in data.values():
            yield from cases_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from cases_in(value)


class Trace(Spec):
    def scan(self) -> None:
        for path in files("src", ".c", ".h", ".inc", ".py"):
            for ident in self.idents(read(path), path):
                self.rules[ident].cited.add(path.removeprefix("src/"))
        for folder in ("tests", "fuzz", "bench", "ci"):
            for path in files(folder, ".c", ".h", ".py"):
                self.test(path, covering=folder in ("tests", "fuzz"))
        for path in files("spec/cases", ".json"):
            self.cases(path)
        for path in sorted(glob.glob("spec/*.md")):
            self.idents(read(path), path)
        self.problems += [f"spec/untested.md: {r.ident} is covered by {min(r.covered)}"
                          for r in self.rules.values() if r.excuse and r.covered]

    def test(self, path: str, covering: bool) -> None:
        text = read(path)
        self.idents(text, path)
        if not covering:
            return
        known = len(self.problems)
        for block in (COVERS_PY if path.endswith(".py") else COVERS_C).findall(text):
            for ident in self.idents(block, path):
                self.rules[ident].covered.add(path.removeprefix("tests/"))
        del self.problems[known:]  # the whole file was looked at already

    def cases(self, path: str) -> None:
        try:
            data = json.loads(read(path))
        except ValueError as e:
            self.problems.append(f"{path}: {e}")
            return
        for case in cases_in(data):
            name = f"case {os.path.basename(os.path.dirname(path))}/{case.get('id', os.path.basename(path))}"
            for ident in self.idents(" ; ".join(map(str, case["rules"])), path):
                self.rules[ident].covered.add(name)

    def open(self) -> list[Rule]:
        return [r for r in self.rules.values() if r.level == "must" and not r.covered and not r.excuse]

    def totals(self) -> list[tuple]:
        rows = []
        for prefix, ids in self.idents_of.items():
            rules = [self.rules[i] for i in ids]
            must = [r for r in rules if r.level == "must"]
            rows.append((prefix, self.sheets[prefix], len(rules), *(sum(r.level == v for r in rules) for v in LEVELS),
                         sum(bool(r.covered) for r in must), sum(bool(r.excuse) for r in must),
                         sum(not r.covered and not r.excuse for r in must), sum(bool(r.cited) for r in rules)))
        return rows

    def sum(self) -> tuple:
        rows = self.totals()
        return ("all", "", *(sum(r[i] for r in rows) for i in range(2, len(HEAD))))


def short(text: str) -> str:
    return text if len(text) <= WORDS else text[:WORDS].rsplit(" ", 1)[0] + " …"


def names(paths: set[str]) -> str:
    shown = sorted(paths)
    return ", ".join(shown[:4]) + (f", +{len(shown) - 4}" if len(shown) > 4 else "")


def state(r: Rule) -> str:
    return "covered" if r.covered else "excused" if r.excuse else "open" if r.level == "must" else "not covered"


def markdown(trace: Trace) -> str:
    out = ["# Rules of spec/: level, where they are cited, what covers them", "",
           "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    out += ["| " + " | ".join(map(str, row)) + " |" for row in [*trace.totals(), trace.sum()]]
    for prefix, ids in trace.idents_of.items():
        out += ["", f"## {prefix}", "", "| rule | level | says | cited in | covered by |", "|---|---|---|---|---|"]
        for ident in ids:
            r = trace.rules[ident]
            by = names(r.covered) or (f"not tested: {r.excuse}" if r.excuse else "**open**" if r in trace.open() else "")
            out.append(f"| {ident} | {r.level} | {short(r.text).replace('|', '·')} | {names(r.cited)} | {by} |")
    return "\n".join(out) + "\n"


STYLE = """:root{color-scheme:light dark}body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:100em;padding:0 1em}
table{border-collapse:collapse;margin:1em 0;width:100%}td,th{border:1px solid #8885;padding:.25em .6em;text-align:left;
vertical-align:top}table.totals{width:auto}table.totals td:nth-child(n+3){text-align:right}
td:first-child{white-space:nowrap;font-weight:600}.covered{border-left:.5em solid #2a8a4a}.excused{border-left:.5em solid #b8860b}
.open{border-left:.5em solid #c0392b;background:#c0392b22}.not-covered{border-left:.5em solid #8888}
.level{white-space:nowrap}.paths{font:12px/1.4 ui-monospace,monospace;min-width:19em;max-width:28em;overflow-wrap:anywhere}
nav a{margin-right:1em}summary{cursor:pointer}"""


def cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{html.escape(text)}</td>' if kind else f"<td>{html.escape(text)}</td>"


def paths(found: set[str]) -> str:
    if len(found) <= 4:
        return f'<td class="paths">{"<br>".join(html.escape(p) for p in sorted(found))}</td>'
    rows = sorted(found)
    return (f'<td class="paths"><details><summary>{html.escape(rows[0])} and {len(rows) - 1} more</summary>'
            + "<br>".join(html.escape(p) for p in rows) + "</details></td>")


def page(trace: Trace) -> str:
    head = "<tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in HEAD) + "</tr>"
    out = ['<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
           f"<title>Rules of spec/</title><style>{STYLE}</style></head><body><h1>Rules of spec/</h1>",
           "<p>Left edge: green covered by a test or case, amber excused in untested.md, red a must rule without either, "
           "grey not covered and not required to be.</p><nav>",
           *(f'<a href="#{p}">{p}</a>' for p in trace.idents_of), '</nav><table class="totals">', head]
    out += ["<tr>" + "".join(cell(str(c)) for c in row) + "</tr>" for row in [*trace.totals(), trace.sum()]]
    out.append("</table>")
    for prefix, ids in trace.idents_of.items():
        out.append(f'<h2 id="{prefix}">{prefix}: {html.escape(trace.sheets[prefix])}</h2><table>'
                   "<tr><th>rule</th><th>level</th><th>says</th><th>cited in</th><th>covered by</th></tr>")
        for ident in ids:
            r = trace.rules[ident]
            by = paths(r.covered) if r.covered else cell(f"not tested: {r.excuse}" if r.excuse else "")
            out.append(f'<tr id="{ident}"><td class="{state(r).replace(" ", "-")}">{ident}</td>{cell(r.level, "level")}'
                       f"{cell(r.text)}{paths(r.cited)}{by}</tr>")
        out.append("</table>")
    return "\n".join(out) + "</body></html>\n"


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", default="build/spec-trace.md", metavar="FILE")
    args.add_argument("--html", metavar="FILE")
    args.add_argument("--open", nargs="?", const="all", default="", metavar="SHEET,...",
                      help="uncovered must rules are no failure: of all sheets, or of these")
    opts = args.parse_args()

    trace = Trace()
    trace.scan()
    write(opts.out, markdown(trace))
    if opts.html:
        write(opts.html, page(trace))
    for row in [*trace.totals(), trace.sum()]:
        print("  %-5s %4d rules, %4d must: %4d covered, %3d excused, %3d open" % (row[0], row[2], row[3], *row[7:10]))
    tolerated = set(trace.idents_of) if opts.open == "all" else set(opts.open.split(","))
    failing = [r for r in trace.open() if r.ident.split("-")[0] not in tolerated]
    for rule in failing:
        print(f"{rule.where}: {rule.ident} (must) is covered by no test or case: {short(rule.text)}")
    for prefix in trace.idents_of:
        if left := [r.ident for r in trace.open() if r.ident.startswith(prefix + "-") and r not in failing]:
            print("  open:", *left)
    for line in trace.problems:
        print(line)
    print(f"  {opts.out}" + (f", {opts.html}" if opts.html else ""))
    return 1 if trace.problems or failing else 0


if __name__ == "__main__":
    sys.exit(main())
