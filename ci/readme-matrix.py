#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts the compatibility matrix of a conformance run between the markers of README.md: only what was really run.

    ci/readme-matrix.py RESULTS.jsonl [README.md]
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from conformance import report, results  # noqa: E402

BEGIN, END = "<!-- matrix: begin (make matrix) -->", "<!-- matrix: end -->"


def replaced(text: str, table: str) -> str:
    """The README with the table between its markers."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README has no markers {BEGIN} … {END}")
    return f"{head}{begin}\n{table}{end}{tail}"


def main(argv: list[str]) -> int:
    if len(argv) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    readme = Path(argv[1] if len(argv) == 2 else "README.md")
    readme.write_text(replaced(readme.read_text(encoding="utf-8"), report.matrix(results.read(Path(argv[0])))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
