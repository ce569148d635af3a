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


def short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def lines(value: Any, indent: int, room: int) -> str:
    """JSON that is broken only where it does not fit into WIDTH; `room` is what stands on the line already."""
    line = short(value)
    if room + len(line) <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    pad = " " * (indent + 1)
    if isinstance(value, list):
        return "[\n" + ",\n".join(pad + lines(v, indent + 1, indent + 2) for v in value) + "]"
    members = [f"{short(k)}: " + lines(v, indent + 1, indent + len(short(k)) + 4) for k, v in value.items()]
    return "{" + (",\n" + pad).join(members) + "}"


def text_of(family: dict[str, Any]) -> str:
    """The file of a family: a line per case where it fits."""
    head = "".join(f"  {short(k)}: {lines(v, 4, len(k) + 6)},\n" for k, v in family.items() if k != "cases")
    return "{\n" + head + '  "cases": [\n' + ",\n".join("    " + lines(c, 4, 5) for c in family["cases"]) + "\n  ]\n}\n"


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
