# SPDX-License-Identifier: MIT
"""Terminal table, matrix.md, junit.xml and report.html, all made from a run's results."""
from __future__ import annotations

import os
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from conformance import report_html
from conformance.results import VERDICTS, Run
from conformance.rules import text_of

LOG_LINES = 3
XML_BAD = {c: "?" for c in (*range(9), 11, 12, *range(14, 32))}


def repeat_command(run: Run, result: dict[str, Any]) -> str:
    given = next((a.get("given", a["adapter"]) for a in run.adapters if a["adapter"] == result["adapter"]), result["adapter"])
    prog = os.environ.get("CONFORM_PROG", "pbsref conform")
    return f"{prog} run {result['case']} --adapter {shlex.quote(given)} -v"


def failure_text(run: Run, alike: list[dict[str, Any]]) -> str:
    """A failure as the terminal shows it, with the names of those of the same kind."""
    result = alike[0]
    lines = [f"FAIL {result['case']} ({result['adapter']}, {result['level']})"]
    lines += [f"  {title}: {result[name]}" for title, name in (("expected", "expected"), ("actual  ", "actual"))]
    lines += [f"  said:     {line}" for line in result["log"].strip().splitlines()[-LOG_LINES:] if line.strip() not in result["actual"]]
    lines += [f"  {rule}: {text_of(rule)[:300]}" for rule in result["rules"]]
    lines += [f"  repeat:   {repeat_command(run, result)}"]
    lines += textwrap.wrap(f"and {len(alike) - 1} like it: " + " ".join(r["case"] for r in alike[1:]), 140, initial_indent="  ", subsequent_indent="    ",
                           break_on_hyphens=False) if len(alike) > 1 else []
    return "\n".join([*lines, ""])


def families(results: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Failures of one adapter, one level and the same rules that look the same but for numbers, side by side."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for r in results:
        found.setdefault((r["adapter"], r["level"], *r["rules"], re.sub(r"\d+", "#", r["actual"])), []).append(r)
    return list(found.values())


def table(run: Run) -> str:
    """Counts per adapter."""
    width = max([len("adapter"), *(len(a["adapter"]) for a in run.adapters)])
    lines = [f"{'adapter':<{width}}" + "".join(f"{v:>13}" for v in VERDICTS)]
    for adapter in run.adapters:
        tally = run.tally(adapter["adapter"])
        lines.append(f"{adapter['adapter']:<{width}}" + "".join(f"{tally[v]:>13}" for v in VERDICTS))
    rest = sum(r["verdict"] == "fail" for r in run.results) - len(run.failing())
    lines.append(f"{len(run.failing())} failures count{' (strict)' if run.strict else ''}; "
                 + (f"{rest} do not (by their level, or known from the baseline); " if rest else "") + f"{run.about.get('seconds', 0)} s")
    return "\n".join(lines)


def cell(run: Run, adapter: str, area: str) -> str:
    """`passed/judged` of an area, with what else there was in words."""
    tally = run.tally(adapter, area)
    judged = tally["pass"] + tally["fail"]
    parts = [f"{tally['pass']}/{judged}"] if judged else []
    also = ("info", "skip", "error", "unsupported") if judged else ("info", "skip", "error")
    parts += [f"{tally[v]} {v}" for v in also if tally[v]]
    return ", ".join(parts) or "–"


def matrix(run: Run) -> str:
    """matrix.md: implementation by area. Only what was really run."""
    ran = [a for a in run.adapters if not a["absent"]]
    areas = run.areas()
    lines = [f"Run of {run.about.get('started', '?')}: {run.about.get('cases', '?')} cases, as {run.about.get('user', '?')}. "
             "Passed of judged; – = unsupported.", "",
             "| implementation | " + " | ".join(areas) + " |", "|---|" + "---|" * len(areas)]
    lines += [f"| {a['adapter']}: {a['version']} | " + " | ".join(cell(run, a["adapter"], area) for area in areas) + " |" for a in ran]
    for adapter in ran:
        failing = [f"`{r['case']}`" + ("" if r in run.failing() else " (does not count)") for r in run.of(adapter["adapter"])
                   if r["verdict"] == "fail"]
        if failing:
            lines += ["", f"{adapter['adapter']} fails: " + ", ".join(failing)]
    lines += [line for a in run.adapters if a["absent"] for line in ("", f"{a['adapter']} was not run: {a['absent']}")]
    return "\n".join(lines) + "\n"


def junit(run: Run) -> bytes:
    top = ElementTree.Element("testsuites")
    for adapter in run.adapters:
        results, tally = run.of(adapter["adapter"]), run.tally(adapter["adapter"])
        suite = ElementTree.SubElement(top, "testsuite", name=adapter["adapter"], tests=str(len(results)), errors=str(tally["error"]),
                                       failures=str(sum(r["adapter"] == adapter["adapter"] for r in run.failing())),
                                       skipped=str(sum(_skipped(run, r) for r in results)), timestamp=run.about.get("started", "")[:19],
                                       time=str(round(sum(r["seconds"] for r in results), 3)))
        for result in results:
            _junit_case(suite, run, result)
    return bytes(ElementTree.tostring(top, encoding="utf-8", xml_declaration=True))


def _skipped(run: Run, result: dict[str, Any]) -> bool:
    return result["verdict"] in ("unsupported", "skip") or result["verdict"] == "fail" and result not in run.failing()


def _junit_case(suite: ElementTree.Element, run: Run, result: dict[str, Any]) -> None:
    area, _, name = result["case"].partition("/")
    case = ElementTree.SubElement(suite, "testcase", classname=f"{result['adapter']}.{area}", name=name, time=str(result["seconds"]))
    text = f"expected: {result['expected']}\nactual: {result['actual']}".translate(XML_BAD)
    if _skipped(run, result):
        why = result["reason"] or (text if result["verdict"] == "fail" else result["verdict"])
        ElementTree.SubElement(case, "skipped", message=why.translate(XML_BAD))
    elif result["verdict"] in ("fail", "error"):
        kind = "failure" if result["verdict"] == "fail" else "error"
        body = ElementTree.SubElement(case, kind, message=(" ".join(result["rules"]) + ": " + result["actual"][:200]).translate(XML_BAD))
        body.text = text + f"\n{result['reason']}\n{repeat_command(run, result)}\n".translate(XML_BAD)


def write(run: Run, folder: Path) -> None:
    """All files of a report."""
    run.save(folder / "results.jsonl")
    (folder / "matrix.md").write_text("# Conformance\n\n" + matrix(run), encoding="utf-8")
    (folder / "junit.xml").write_bytes(junit(run))
    (folder / "report.html").write_text(report_html.page(run, lambda result: repeat_command(run, result)), encoding="utf-8", errors="replace")
