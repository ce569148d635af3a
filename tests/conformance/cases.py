# SPDX-License-Identifier: MIT
"""Loads and selects the cases of spec/cases. A case is the family's defaults with the case's own members over them."""
from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("CONFORM_ROOT") or Path(__file__).resolve().parents[2])
SPEC = ROOT / "spec"
CASES = SPEC / "cases"
LIMIT_S = 30.0


class CaseError(Exception):
    """A case, an input or an option of the run cannot be used: the harness's own fault."""


class RunError(CaseError):
    """The run cannot begin: an adapter does not keep to the contract."""


@dataclass(frozen=True)
class Case:
    """One case; `data` is the merged object of schema.json."""
    area: str
    data: dict[str, Any]
    family: Path

    @property
    def id(self) -> str:
        return f"{self.area}/{self.data['id']}"

    @property
    def role(self) -> str:
        return str(self.data["role"])

    @property
    def verb(self) -> str:
        return str(self.data["verb"])

    @property
    def level(self) -> str:
        return str(self.data["level"])

    @property
    def rules(self) -> list[str]:
        return list(self.data["rules"])

    @property
    def expect(self) -> dict[str, Any]:
        return dict(self.data["expect"])

    @property
    def limit_s(self) -> float:
        return float(self.data.get("limit_s", LIMIT_S))

    def get(self, name: str, standard: Any = None) -> Any:
        return self.data.get(name, standard)


def merged(family: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    return {**family.get("defaults", {}), **one}


def family_files(folder: Path = CASES) -> list[Path]:
    return sorted(folder.glob("*/*.json"))


def read_family(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise CaseError(f"{path}: {e}") from None
    if not isinstance(value, dict) or not {"area", "about", "cases"} <= value.keys():
        raise CaseError(f"{path}: not a family of cases")
    return value


def load(folder: Path = CASES) -> list[Case]:
    """All cases, sorted by id; ids are unique."""
    found: dict[str, Case] = {}
    for path in family_files(folder):
        family = read_family(path)
        if family["area"] != path.parent.name:
            raise CaseError(f"{path}: area {family['area']!r} does not fit the folder")
        for one in family["cases"]:
            case = Case(family["area"], merged(family, one), path)
            if case.id in found:
                raise CaseError(f"{path}: {case.id} is also in {found[case.id].family}")
            found[case.id] = case
    return [found[name] for name in sorted(found)]


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    return dict(json.loads((CASES / "schema.json").read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def flags() -> dict[str, str]:
    return dict(json.loads((CASES / "flags.json").read_text(encoding="utf-8")))


def problems(path: Path) -> list[str]:
    """What is wrong with a family file: schema, flags, members that do not fit the role."""
    import jsonschema
    family = read_family(path)
    whole = {**family, "cases": [merged(family, one) for one in family["cases"]]}
    out = []
    for error in jsonschema.Draft202012Validator(schema()).iter_errors(whole):
        at = "/".join(map(str, error.absolute_path))
        out.append(f"{path}: {at}: {error.message[:300]}")
    for one in whole["cases"]:
        out += [f"{path}: {one.get('id')}: {text}" for text in _inconsistent(one)]
    return out


def _inconsistent(one: dict[str, Any]) -> Iterable[str]:
    from conformance.rules import rules
    yield from (f"unknown flag {flag}" for flag in one.get("flags", []) if flag not in flags())
    yield from (f"no rule {rule}" for rule in one.get("rules", []) if rule not in rules())
    if (one.get("role") in ("client", "reuse", "server")) != ("steps" in one):
        yield "steps are for client, reuse and server cases, and needed there"
    expect = one.get("expect", {})
    if expect.get("verdict") == "reject" and (expect.keys() & {"view", "view-file", "files"}):
        yield "a rejected input has no result"
    if expect.get("verdict") == "accept" and "steps" not in one and one.get("verb") != "pxar-verify" \
            and not expect.keys() & {"view", "view-file", "files", "checks"}:
        yield "an accepted input needs something to compare"


KEYS = {"role": lambda c: c.role, "verb": lambda c: c.verb, "level": lambda c: c.level}  # what cases are selected by


def select(cases: list[Case], words: list[str]) -> list[Case]:
    """By id, area, id prefix or shell pattern, and of these by role=, verb= and level=, in the order of `cases`. Every word has
    to select something."""
    keyed: dict[str, set[str]] = {}
    for word in words:
        key, is_keyed, value = word.partition("=")
        if is_keyed:
            keyed.setdefault(key, set()).add(value)
    for key, values in keyed.items():
        if key not in KEYS:
            raise CaseError(f"cases are selected by {', '.join(f'{k}=' for k in KEYS)} or id, not by {key!r}")
        if missing := values - {KEYS[key](c) for c in cases}:
            raise CaseError(f"no case has {key} {' or '.join(sorted(missing))}")
        cases = [c for c in cases if KEYS[key](c) in values]
    return _by_id(cases, [word for word in words if "=" not in word])


def _by_id(cases: list[Case], patterns: list[str]) -> list[Case]:
    if not patterns:
        return cases
    wanted: set[str] = set()
    for pattern in patterns:
        hits = {c.id for c in cases if _matches(c, pattern, exact=True)} or \
               {c.id for c in cases if _matches(c, pattern, exact=False)}
        if not hits:
            raise CaseError(f"no case matches {pattern!r}")
        wanted |= hits
    return [c for c in cases if c.id in wanted]


def _matches(case: Case, pattern: str, exact: bool) -> bool:
    if exact:
        return pattern in (case.id, case.area, f"{case.area}/")
    if any(c in pattern for c in "*?["):
        return fnmatch.fnmatchcase(case.id, pattern)
    return case.id.startswith(pattern)
