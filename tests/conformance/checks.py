# SPDX-License-Identifier: MIT
"""Checks of cases (`expect.checks`): what has to be true of files, directories, datastore and journal afterwards.

A check is a function f(ctx, **members) that raises Mismatch. Further ones stand in modules check_*.py.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from conformance.cases import Case, CaseError

F = TypeVar("F", bound=Callable[..., None])
CHECKS: dict[str, Callable[..., None]] = {}


class Mismatch(Exception):
    """The implementation did not do what the case expects."""

    def __init__(self, expected: Any, actual: Any) -> None:
        super().__init__(expected, actual)
        self.expected, self.actual = expected, actual


@dataclass
class Context:
    """What checks may look at."""
    case: Case
    case_dir: Path                      # input of the call; of client cases input and tree of the whole case
    out_dir: Path                       # output of the call, or of the last one
    args: dict[str, Any] = field(default_factory=dict)
    store: Path | None = None           # datastore directory, if known
    journal: list[dict[str, Any]] = field(default_factory=list)  # of this step, or of the whole case
    snapshot: str = ""                  # last one that was made: TYPE/ID/TIME

    @property
    def tree(self) -> Path:
        return self.case_dir / "tree"

    def out(self, name: str) -> Path:
        """A file that the adapter had to write."""
        path = self.out_dir / name
        if not path.exists():
            raise Mismatch(f"OUTDIR/{name}", f"only {sorted(p.name for p in self.out_dir.iterdir())}")
        return path

    def the_store(self) -> Path:
        if self.store is None:
            raise CaseError("the check needs a datastore")
        return self.store

    def key(self) -> Any:
        """The case's key.json as a key of the oracle, or None."""
        from oracle.crypto import load_key
        path = self.case_dir / "key.json"
        return load_key(str(path)) if path.exists() else None


def check(name: str) -> Callable[[F], F]:
    def put(function: F) -> F:
        if CHECKS.setdefault(name, function) is not function:
            raise CaseError(f"check {name!r} is registered twice")
        return function
    return put


def run(ctx: Context, checks: list[dict[str, Any]]) -> None:
    """All checks of a case in order. What the oracle cannot read is the implementation's failure."""
    from conformance import plugins
    from oracle.errors import OracleError
    plugins.load()
    for one in checks:
        members = {k.replace("-", "_"): v for k, v in one.items() if k != "check"}
        function = CHECKS.get(one["check"])
        if function is None:
            raise CaseError(f"no check {one['check']!r}; there are: {', '.join(sorted(CHECKS))}")
        try:
            function(ctx, **members)
        except OracleError as e:
            raise Mismatch(f"{one['check']}: data that the Python reader accepts", str(e)) from None
