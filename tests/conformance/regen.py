# SPDX-License-Identifier: MIT
"""Families of cases that are many of one kind are written by a script: modules cases_*.py beside this one, with a line per fault.

Such a module has `families()`, which yields (path below spec/cases, family). `python3 -m conformance.regen` (from tests/) writes the
files, with `--check` it only says what differs. The JSON files stay what counts: reviewed as a diff, permanent ids.
"""
from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.cases import CASES

WIDTH = 160


def text_of(family: dict[str, Any]) -> str:
    """The file of a family: a line per case where it fits, else a line per member."""
    def short(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    def block(case: dict[str, Any]) -> str:
        line = "    " + short(case)
        if len(line) <= WIDTH:
            return line
        return "    {" + ",\n     ".join(f"{short(k)}: {short(v)}" for k, v in case.items()) + "}"
    head = "".join(f"  {short(k)}: {short(v)},\n" for k, v in family.items() if k != "cases")
    return "{\n" + head + '  "cases": [\n' + ",\n".join(map(block, family["cases"])) + "\n  ]\n}\n"


def families() -> Iterator[tuple[Path, str]]:
    """Every generated file with what has to be in it."""
    for path in sorted(Path(__file__).parent.glob("cases_*.py")):
        module = importlib.import_module(f"conformance.{path.stem}")
        for name, family in module.families():
            yield CASES / name, text_of(family)


def main(argv: list[str]) -> int:
    differing = [(path, text) for path, text in families() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in differing:
        print(path)
        if argv != ["--check"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if differing and argv == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
