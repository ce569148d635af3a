# SPDX-License-Identifier: MIT
"""Runs the mutants against the cases: `python3 -m conformance.mutants` from tests/.

Exit status 1 if a listed mutant survives, or if a case of level must fails for no mutant. --full plays every mutant against every case of
its areas, otherwise each ends at the first case that catches it.
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

from conformance import plugins  # noqa: E402
from conformance.cases import CaseError, load, select  # noqa: E402
from conformance.mutants import report  # noqa: E402
from conformance.mutants.session import Session  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("mutants", nargs="*", metavar="MUTANT", help="names or beginnings of names; default all")
    parser.add_argument("--case", action="append", default=[], help="cases by id, area or prefix")
    parser.add_argument("--full", action="store_true", help="all cases of each mutant, not only the first that catches it")
    parser.add_argument("--no-wire", action="store_true", help="files only: neither clients nor servers")
    parser.add_argument("--list", action="store_true", help="print the mutants and end")
    parser.add_argument("--out", type=Path, default=Path("build/mutants.md"))
    parser.add_argument("-n", "--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args(argv)
    plugins.load()
    try:
        cases = select(load(), args.case)
        with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
            session = Session(cases, Path(folder), args.mutants, args.full, not args.no_wire, args.jobs)
            if args.list:
                print("\n".join(f"{m.name:<48} {m.rule:<9} {m.does}" for m in session.mutants))
                return 0
            began = time.monotonic()
            try:
                session.play()
            finally:
                session.clean()
    except CaseError as e:
        print(f"mutants: {e}", file=sys.stderr)
        return 2
    text, good = report.write(session, time.monotonic() - began)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text, encoding="utf-8")
    print(report.summary(session))
    print(f"{args.out} has the table")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
