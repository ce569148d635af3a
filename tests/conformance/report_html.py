# SPDX-License-Identifier: MIT
"""report.html: one file without outside resources, readable in light and dark, complete without scripts."""
from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

from conformance.cases import Case, CaseError, flags, load
from conformance.results import VERDICTS, Run
from conformance.rules import rules, text_of

STYLE = """
:root { color-scheme: light dark; --ink: #1c2530; --faint: #5c6a79; --paper: #ffffff; --panel: #f3f5f8; --line: #d5dbe3;
  --pass: #1a7f4b; --fail: #c0282d; --info: #2f66b8; --unsupported: #77828e; --skip: #8a6d1d; --error: #8a2be2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --faint: #9aa7b5; --paper: #14181d; --panel: #1d232a; --line: #333c47;
  --pass: #4fc587; --fail: #ff7d7d; --info: #7db0ff; --unsupported: #8b97a4; --skip: #d9b95a; --error: #d29bff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; padding: 1.5rem; max-width: 76rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem } h3 { font-size: 1rem; margin: 1.4rem 0 .4rem }
p.sub, .faint { color: var(--faint) } p.sub { margin: 0 0 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
thead th { color: var(--faint); font-weight: 500 } td.n { white-space: nowrap }
.v { font-weight: 600; white-space: nowrap } .pass { color: var(--pass) } .fail { color: var(--fail) } .info { color: var(--info) }
.unsupported { color: var(--unsupported); font-weight: 400 } .skip { color: var(--skip) } .error { color: var(--error) }
details { border: 1px solid var(--line); border-radius: 6px; margin: .35rem 0; background: var(--paper) }
details > summary { cursor: pointer; padding: .4rem .7rem; overflow-wrap: anywhere } details[open] > summary { border-bottom: 1px solid var(--line) }
details > div { padding: .5rem .9rem } details details { background: var(--panel) }
summary .right { float: right; padding-left: 1rem }
summary::after { content: ""; display: block; clear: both }
.bar { display: flex; height: 8px; width: 10rem; border-radius: 4px; overflow: hidden; background: var(--line) }
.bar i { display: block; height: 100% }
pre, code { font: 13px/1.45 ui-monospace, monospace }
code { background: var(--panel); padding: 0 .2em; border-radius: 3px }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .5rem .7rem;
      overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 .8rem }
details details pre { background: var(--paper) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0 }
dt { color: var(--faint) }
dd { margin: 0; overflow-wrap: anywhere }
blockquote { margin: .2rem 0 .6rem; padding-left: .8rem; border-left: 3px solid var(--line) }
a { color: var(--info) }
"""


def esc(text: Any) -> str:
    return html.escape(str(text))


def prose(text: str) -> str:
    """The little Markdown that rules have."""
    out = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", out)


def clipped(text: str, size: int) -> str:
    return text if len(text) <= size else text[:size].rsplit(" ", 1)[0].replace("`", "") + " …"


def verdict(name: str, more: str = "") -> str:
    return f'<span class="v {name}">{name}{more}</span>'


class Page:
    def __init__(self, run: Run, repeat: Callable[[dict[str, Any]], str]) -> None:
        self.run, self.repeat = run, repeat
        self.absent = {a["adapter"] for a in run.adapters if a["absent"]}
        self.cases: dict[str, Case] = {}
        try:
            self.cases = {c.id: c for c in load()}
        except CaseError:
            pass  # a report of a run with other cases than these: without their descriptions
        self.failing = {(r["case"], r["adapter"]) for r in run.failing()}
        self.by_case: dict[str, list[dict[str, Any]]] = {}
        for result in run.results:
            self.by_case.setdefault(result["case"], []).append(result)

    def head(self) -> str:
        about = self.run.about
        names = ", ".join(esc(a["adapter"]) for a in self.run.adapters if not a["absent"])
        counted = len(self.failing)
        line = verdict("fail", f": {counted} failures count") if counted else verdict("pass", ": no failure counts")
        return (f"<h1>Conformance: {names}</h1><p class=sub>{esc(about.get('started'))} · {esc(about.get('cases'))} cases · "
                f"{esc(about.get('seconds'))} s · as {esc(about.get('user'))} · {esc(about.get('system'))}"
                f"{' · strict' if self.run.strict else ''}{' · baseline ' + esc(about['baseline']) if about.get('baseline') else ''}</p><p>{line}</p>")

    def implementations(self) -> str:
        rows = []
        for adapter in self.run.adapters:
            tally = self.run.tally(adapter["adapter"])
            total = sum(tally.values()) or 1
            bar = "".join(f'<i style="width:{100 * tally[v] / total:.2f}%;background:var(--{v})" title="{v}"></i>' for v in VERDICTS if tally[v])
            counts = "".join(f'<td class=n>{f"<span class={v}>{tally[v]}</span>" if tally[v] else "–"}</td>' for v in VERDICTS)
            about = esc(adapter["version"]) or f'not run: {esc(adapter["absent"])}'
            rows.append(f'<tr><td><b>{esc(adapter["adapter"])}</b><br><span class=faint>{about}</span></td><td><div class=bar>{bar}</div></td>{counts}</tr>')
        heads = "".join(f"<th>{v}</th>" for v in VERDICTS)
        return f"<div class=wide><table><thead><tr><th>implementation</th><th></th>{heads}</tr></thead>{''.join(rows)}</table></div>"

    def areas(self) -> str:
        ran = [a["adapter"] for a in self.run.adapters if not a["absent"]]
        rows = []
        for area in self.run.areas():
            cells = []
            for adapter in ran:
                tally = self.run.tally(adapter, area)
                judged = tally["pass"] + tally["fail"]
                name = "fail" if tally["fail"] else "pass"
                text = f'<span class="v {name}">{tally["pass"]}/{judged}</span>' if judged else '<span class=unsupported>–</span>'
                text += "".join(f' <span class={v}>{tally[v]} {v}</span>' for v in ("info", "skip", "error") if tally[v])
                cells.append(f"<td class=n>{text}</td>")
            rows.append(f'<tr><td><a href="#area-{area}">{area}</a></td>{"".join(cells)}</tr>')
        heads = "".join(f"<th>{esc(a)}</th>" for a in ran)
        return f"<h2>By area</h2><div class=wide><table><thead><tr><th>area</th>{heads}</tr></thead>{''.join(rows)}</table></div>"

    def mark(self, result: dict[str, Any]) -> str:
        note = ""
        if result["verdict"] == "fail" and (result["case"], result["adapter"]) not in self.failing:
            note = " (in the baseline)" if result.get("known") else " (does not count)"
        return verdict(result["verdict"], note)

    def outcome(self, result: dict[str, Any]) -> str:
        """What one implementation did in a case."""
        out = [f'<dl><dt>{esc(result["adapter"])}</dt><dd>{self.mark(result)} '
               f'<span class=faint>{result["seconds"]:.2f} s</span> {esc(result["reason"])}</dd></dl>']
        if result["verdict"] == "fail":
            out.append(f'<div class=faint>expected</div><pre>{esc(result["expected"])}</pre><div class=faint>actual</div><pre>{esc(result["actual"])}</pre>')
        elif result["verdict"] == "info":
            out.append(f'<pre>{esc(result["actual"])}</pre>')
        if result["log"]:
            out.append(f'<div class=faint>printed by the adapter</div><pre>{esc(result["log"])}</pre>')
        if result["verdict"] in ("fail", "error", "info"):
            out.append(f'<div class=faint>repeat</div><pre>{esc(self.repeat(result))}</pre>')
        return "".join(out)

    def case(self, ident: str, anchor: bool = True) -> str:
        results = self.by_case[ident]
        first, found = results[0], self.cases.get(ident)
        marks = " · ".join(f'{esc(r["adapter"])} {self.mark(r)}' for r in results if r["verdict"] not in ("unsupported", "skip"))
        does = esc(found.get("does")) if found else ""
        out = [f'<details{f" id={chr(34)}{esc(ident)}{chr(34)}" if anchor else ""}><summary>'
               f'<span class=right>{marks}</span><b>{esc(ident)}</b> <span class=faint>{esc(first["level"])}</span> {does}</summary><div>']
        if found and found.get("why"):
            out.append(f'<p>If this fails: {esc(found.get("why"))}</p>')
        out += [f"<b>{rule}</b><blockquote>{prose(text_of(rule))}</blockquote>" for rule in first["rules"]]
        out += [self.outcome(r) for r in results if r["verdict"] != "unsupported" and r["adapter"] not in self.absent]
        if found:
            shown = {k: v for k, v in found.data.items() if k not in ("id", "does", "why", "rules", "level")}
            text = json.dumps(shown, indent=1, ensure_ascii=False)
            text = text if len(text) < 6000 else text[:6000] + "\n…"
            known = flags()
            marks = "".join(f"<dt>{esc(f)}</dt><dd>{esc(known.get(f, ''))}</dd>" for f in found.get("flags", []))
            out.append(f"<dl>{marks}</dl><details><summary>the case as data ({esc(found.family.name)})</summary><div><pre>{esc(text)}</pre></div></details>")
        return "".join(out) + "</div></details>"

    def failures(self) -> str:
        idents = sorted({r["case"] for r in self.run.results if r["verdict"] in ("fail", "error")})
        if not idents:
            return ""
        return f"<h2>Failures ({len(idents)} cases)</h2>" + "".join(self.case(i, anchor=False) for i in idents)

    def by_rule(self) -> str:
        """Each rule with its cases; the cases themselves are shown by area."""
        found: dict[str, set[str]] = {}
        for ident, results in self.by_case.items():
            for rule in results[0]["rules"]:
                found.setdefault(rule, set()).add(ident)
        sheets: dict[str, list[str]] = {}
        for rule in sorted(found):
            sheets.setdefault(rules()[rule].sheet if rule in rules() else "(unknown)", []).append(rule)
        return "<h2>By rule</h2>" + "".join(self.sheet(name, idents, found) for name, idents in sorted(sheets.items()))

    def sheet(self, name: str, idents: list[str], found: dict[str, set[str]]) -> str:
        rows = []
        for rule in idents:
            lines = []
            for case in sorted(found[rule]):
                marks = " · ".join(f'{esc(r["adapter"])} {self.mark(r)}' for r in self.by_case[case])
                lines.append(f'<li><a href="#{esc(case)}">{esc(case)}</a>: {marks}</li>')
            bad = any(r["verdict"] == "fail" for case in found[rule] for r in self.by_case[case])
            state = verdict("fail") if bad else f"<span class=faint>{len(found[rule])}</span>"
            rows.append(f"<details><summary><span class=right>{state}</span><b>{rule}</b> {prose(clipped(text_of(rule), 110))}</summary>"
                        f"<div><blockquote>{prose(text_of(rule))}</blockquote><ul>{''.join(lines)}</ul></div></details>")
        return f"<details><summary><b>{esc(name)}</b> <span class=faint>{len(idents)} rules</span></summary><div>{''.join(rows)}</div></details>"

    def by_area(self) -> str:
        out = ["<h2>All cases</h2>"]
        for area in self.run.areas():
            idents = sorted(i for i, results in self.by_case.items() if results[0]["area"] == area)
            out.append(f'<h3 id="area-{area}">{area}</h3>' + "".join(self.case(i) for i in idents))
        return "".join(out)

    def text(self) -> str:
        body = self.head() + self.implementations() + self.areas() + self.failures() + self.by_rule() + self.by_area()
        return ("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
                f"<title>Conformance report</title><style>{STYLE}</style><body>{body}</body></html>\n")


def page(run: Run, repeat: Callable[[dict[str, Any]], str]) -> str:
    return Page(run, repeat).text()
