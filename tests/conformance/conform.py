#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Command line of the conformance suite; `pbsref conform` runs this file. See spec/adapters.md."""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

try:
    import pytest  # noqa: E402
except ImportError:
    sys.exit("conform: needs Python's pytest (Debian: python3-pytest python3-pytest-xdist python3-h2 python3-zstandard python3-cryptography)")

from conformance import plugins, report  # noqa: E402
from conformance.adapters import COMPILED, Adapter, find, handshake  # noqa: E402
from conformance.cases import Case, CaseError, RunError, load, select  # noqa: E402
from conformance.generate import lay, lay_args  # noqa: E402
from conformance.options import ENV, Options  # noqa: E402
from conformance.results import Run, failed_before, read  # noqa: E402
from conformance.rules import text_of  # noqa: E402

HERE = Path(__file__).resolve().parent
GOOD, FAILED, USAGE, INVALID = 0, 1, 2, 3
DONE = ("pass", "fail", "unsupported", "info")
MARKS = {"pass": ".", "fail": "F", "unsupported": "u", "skip": "s", "info": "i", "error": "E"}


class Collector:
    """Takes the results from pytest's processes and shows them as they come."""

    def __init__(self, run: Run, cases: dict[str, Case], known: list[list[str]], verbose: bool) -> None:
        self.run, self.cases, self.known, self.verbose = run, cases, known, verbose
        self.out = sys.stdout
        self.column = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call":
            for name, value in report.user_properties:
                if name == "conform":
                    self.take(value)

    def take(self, result: dict[str, Any]) -> None:
        case = self.cases[result["case"]]
        about = {"area": case.area, "role": case.role, "verb": case.verb, "level": case.level, "rules": case.rules,
                 "flags": case.get("flags", []), "known": [result["case"], result["adapter"]] in self.known}
        self.run.results.append(result | about)
        if self.verbose:
            print(f"{result['verdict']:<12} {result['adapter']:<12} {result['case']}  {result['reason']}", file=self.out, flush=True)
            return
        self.column = self.column % 100 + 1
        print(MARKS[result["verdict"]], end="\n" if self.column == 100 else "", file=self.out, flush=True)


def check_adapters(names: list[str]) -> tuple[list[Adapter], dict[str, str], list[dict[str, Any]]]:
    """Finds them, asks for versions, shakes hands. A bad answer makes the run invalid."""
    adapters, absent, about = [find(name) for name in names], {}, []
    if len({a.label for a in adapters}) != len(adapters):
        raise CaseError("an adapter is named twice")
    with tempfile.TemporaryDirectory(prefix="conform-") as folder:
        for number, adapter in enumerate(adapters):
            work = Path(folder) / str(number)
            version, reason = adapter.version(work / "version")
            if version is None:
                absent[adapter.label] = reason
            elif wrong := handshake(adapter, work):
                raise RunError(f"adapter {adapter.label} {wrong}")
            about.append({"adapter": adapter.label, "given": names[number], "version": version or "", "absent": reason,
                          "about": adapter.config.get("about", ""), "roles": adapter.roles})
    return adapters, absent, about


def run_pytest(options: Options, jobs: str, collector: Collector) -> int:
    with tempfile.TemporaryDirectory(prefix="conform-") as folder:
        settings, log = Path(folder) / "options.json", Path(folder) / "pytest.log"
        options.save(settings)
        parallel = ["-n", jobs] if jobs != "0" and find_spec("xdist") else []
        words = ["-q", "-p", "no:cacheprovider", "--tb=short", "--rootdir", str(HERE), *parallel, str(HERE / "suite.py")]
        os.environ |= {ENV: str(settings), COMPILED: str(Path(folder) / "compiled")}
        with open(log, "w") as f, contextlib.redirect_stdout(f):
            code = pytest.main(words, plugins=[collector])
        del os.environ[ENV], os.environ[COMPILED]
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            print(f"\npytest ended with {code!r}:\n{log.read_text()[-4000:]}", file=sys.stderr)
            return INVALID
    return GOOD


def do_run(args: argparse.Namespace) -> int:
    cases = select(load(), args.select)
    names = args.adapter or ["pbsref"]
    known = failed_before(Path(args.baseline)) if args.baseline else []
    adapters, absent, about = check_adapters(names)
    folder = Path(args.report).resolve() if args.report else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    run = Run({"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "select": args.select, "strict": args.strict,
               "baseline": args.baseline or "", "cases": len(cases), "user": "root" if os.getuid() == 0 else "ordinary user",
               "system": f"{platform.system()} {platform.release()} {platform.machine()}", "python": platform.python_version()}, about)
    options = Options(args.select, names, args.strict, str(folder or ""), args.keep, absent, known)
    collector = Collector(run, {c.id: c for c in cases}, known, args.verbose)
    began = time.monotonic()
    code = run_pytest(options, args.jobs, collector)
    run.about["seconds"] = round(time.monotonic() - began, 1)
    run.sort()
    if folder:
        report.write(run, folder)
    return conclude(run, code, len(cases) * len(adapters), known, args.verbose)


def conclude(run: Run, code: int, wanted: int, known: list[list[str]], verbose: bool) -> int:
    """Shows failures and the table; the exit status."""
    print()
    failing = run.failing()
    families = report.families([r for r in run.results if r["verdict"] == "fail"] if verbose else failing)
    for alike in families if verbose else families[:20]:
        print(report.failure_text(run, alike))
    if len(families) > 20 and not verbose:
        print(f"… and {sum(map(len, families[20:]))} more that count (-v shows all, and those that do not)\n")
    errors = [r for r in run.results if r["verdict"] == "error"]
    for result in errors[:5]:
        print(f"error: {result['case']} ({result['adapter']}): {result['reason']}\n", file=sys.stderr)
    for case, adapter in known:
        if any(r["case"] == case and r["adapter"] == adapter and r["verdict"] == "pass" for r in run.results):
            print(f"passes now, failed in the baseline: {case} ({adapter})")
    print(report.table(run))
    for adapter in run.adapters:
        if adapter["absent"]:
            print(f"{adapter['adapter']}: skipped: {adapter['absent']}")
    if code or errors or len(run.results) != wanted:
        print(f"the run is invalid: {len(errors)} errors, {len(run.results)} of {wanted} results", file=sys.stderr)
        return INVALID
    if not any(r["verdict"] in DONE for r in run.results):
        print("the run is invalid: nothing was run", file=sys.stderr)
        return INVALID
    return FAILED if failing else GOOD


def do_list(args: argparse.Namespace) -> int:
    for case in select(load(), args.select):
        if args.json:
            print(json.dumps({"case": case.id, **case.data}, ensure_ascii=False))
        elif args.verbose:
            print(f"{case.id}\n    {case.level}, {case.role}: {case.get('does')}")
            print("".join(f"    {rule}: {text_of(rule)[:200]}\n" for rule in case.rules), end="")
        else:
            print(f"{case.id:<44} {case.level:<7} {case.role:<8} {case.verb:<15} {' '.join(case.rules):<30} {case.get('does')}")
    return GOOD


def do_lay(args: argparse.Namespace) -> int:
    case = select(load(), [args.case])[0]
    folder = Path(args.folder)
    if folder.exists() and list(folder.iterdir()):
        raise CaseError(f"{folder} is not empty")
    plugins.load()
    lay(case, folder / "case", folder / "out")
    lay_args(folder / "case", case, case.verb, case.get("args", {}))
    print(f"adapter {case.verb or 'VERB'} {folder.resolve() / 'case'} {folder.resolve() / 'out'}")
    return GOOD


def do_report(args: argparse.Namespace) -> int:
    folder = Path(args.folder)
    run = read(folder / "results.jsonl")
    report.write(run, folder)
    print(report.table(run))
    return FAILED if run.failing() else GOOD


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog=os.environ.get("CONFORM_PROG", "conform.py"), formatter_class=argparse.RawDescriptionHelpFormatter,
                                  description="Plays the conformance cases against implementations; spec/adapters.md has the whole story.",
                                  epilog="Exit status: 0 nothing that counts failed, 1 something did, 2 usage, 3 the run is invalid.")
    verbs = top.add_subparsers(required=True, metavar="list|run|report|lay")
    for name, function, text in (("list", do_list, "print cases without running them"), ("run", do_run, "play cases against adapters")):
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        sub.add_argument("select", nargs="*", metavar="CASE",
                         help="id, area, id prefix or pattern, e.g. idx, idx/bad-*; role=, verb=, level= narrow it; default all")
        sub.add_argument("-v", "--verbose", action="store_true", help="a line per case, all failures")
    sub.add_argument("--adapter", action="append", metavar="NAME", help="name or path, NAME:PARAMETER; may be repeated (default pbsref)")
    sub.add_argument("--report", metavar="DIR", help="write results.jsonl, junit.xml, matrix.md, report.html and logs there")
    sub.add_argument("--strict", action="store_true", help="failures of level should count too")
    sub.add_argument("--baseline", metavar="FILE", help="results.jsonl of an earlier run: what failed there does not count")
    sub.add_argument("--keep", action="store_true", help="keep whole working directories with the report's logs")
    sub.add_argument("-n", "--jobs", default="auto", metavar="N", help="cases at a time (default: processors; 0: in this process)")
    verbs.choices["list"].add_argument("--json", action="store_true", help="whole cases, one JSON object a line")
    sub = verbs.add_parser("report", help="make matrix, JUnit and HTML again from results.jsonl")
    sub.set_defaults(function=do_report)
    sub.add_argument("folder", metavar="DIR")
    sub = verbs.add_parser("lay", help="lay the input of a case into DIR/case and what the verb announces into DIR/out, without running anything")
    sub.set_defaults(function=do_lay)
    sub.add_argument("case", metavar="CASE")
    sub.add_argument("folder", metavar="DIR")
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return int(args.function(args))
    except CaseError as e:
        print(f"conform: {e}", file=sys.stderr)
        return INVALID if isinstance(e, RunError) else USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return GOOD


if __name__ == "__main__":
    from conformance import conform
    sys.exit(conform.main())
