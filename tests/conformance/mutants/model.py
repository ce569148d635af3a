# SPDX-License-Identifier: MIT
"""What a mutant is, and how the oracle is loaded with a defect in it."""
from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from conformance.cases import ROOT, CaseError

TESTS = ROOT / "tests"
ADAPTER = TESTS / "adapters" / "oracle" / "adapter.py"
DRAFTS = ("APX-", "SPL-")  # rules of drafts, which the suite does not ask for
Patch = tuple[str, str, str]  # module, text that occurs once in it, what stands there instead


@dataclass(frozen=True)
class Mutant:
    """One defect in an implementation that is otherwise right."""
    name: str
    rule: str
    areas: tuple[str, ...]  # areas of which a case must notice
    does: str
    patches: tuple[Patch, ...]
    equivalent: str = ""  # why no case can notice: another check behind it says the same


def mutant(name: str, rule: str, areas: str, does: str, *patches: Patch) -> Mutant:
    return Mutant(name, rule, tuple(areas.split()), does, patches)


# modules that are found elsewhere than their name says
PLACES = {"adapter": ADAPTER, "lib_reuse": TESTS / "e2e" / "lib_reuse.py", "client": Path(__file__).with_name("client.py")}


def source_path(module: str) -> Path:
    """Of `oracle.pxar`, `conformance.oracle_views`, or one of PLACES."""
    return PLACES.get(module) or TESTS / (module.replace(".", "/") + ".py")


@lru_cache(maxsize=None)
def source_of(module: str) -> str:
    return source_path(module).read_text(encoding="utf-8").replace("from support import tree", "from oracle import tree")


def patched(module: str, patches: Sequence[Patch]) -> str:
    text = source_of(module)
    for where, old, new in patches:
        if where == module:
            if text.count(old) != 1:
                raise CaseError(f"mutant: {old!r} occurs {text.count(old)} times in {module}")
            text = text.replace(old, new)
    return text


@lru_cache(maxsize=None)
def code_of(module: str) -> Any:
    return compile(source_of(module), str(source_path(module)), "exec", dont_inherit=True)


class Loader(importlib.machinery.SourceFileLoader):
    """Takes the code from the patched text; nothing is cached on disk."""

    def __init__(self, name: str, path: str, patches: Sequence[Patch]) -> None:
        super().__init__(name, path)
        self.patches = patches

    def get_code(self, fullname: str) -> Any:
        if any(module == fullname for module, _, _ in self.patches):
            return compile(patched(fullname, self.patches), self.path, "exec", dont_inherit=True)
        return code_of(fullname)


class Finder(importlib.abc.MetaPathFinder):
    def __init__(self, patches: Sequence[Patch]) -> None:
        self.patches = patches

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if not _ours(fullname) or fullname == "oracle":
            return None
        file = str(source_path(fullname))
        return importlib.util.spec_from_file_location(fullname, file, loader=Loader(fullname, file, self.patches))


def _ours(name: str) -> bool:
    return name in PLACES or name in ("oracle", "conformance.oracle_views") or name.startswith("oracle.")


def load(patches: Sequence[Patch] = (), main: str = "adapter") -> ModuleType:
    """The oracle's adapter, or `main`, over modules of its own; those that checks use stay as they are."""
    kept = {name: module for name, module in sys.modules.items() if _ours(name)}
    for name in kept:
        del sys.modules[name]
    finder = Finder(patches)
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module(main)
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if _ours(n)]:
            del sys.modules[name]
        sys.modules.update(kept)


# ---- one mutant per check of the oracle ----

def _rule(node: ast.stmt) -> str | None:
    """The rule of `raise OracleError(rule, ...)`."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and getattr(node.exc.func, "id", "") == "OracleError":
        first = node.exc.args[0]
        return first.value if isinstance(first, ast.Constant) else "PXAR-071"  # text(): the caller's rule
    return None


def dropped_checks(module: str, areas: str, names: Sequence[str] = ()) -> Iterator[Mutant]:
    """For each `if ...: raise OracleError` a mutant that never raises it; of the given functions, or of all."""
    text = source_of(module)
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    raw = text.encode()
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef) or names and function.name not in names:
            continue
        seen: dict[str, int] = {}
        for node in ast.walk(function):
            rule = next(filter(None, map(_rule, node.body)), None) if isinstance(node, ast.If) else None
            if rule is None or not isinstance(node, ast.If) or rule.startswith(DRAFTS):
                continue
            seen[rule] = seen.get(rule, 0) + 1
            begin = starts[node.test.lineno - 1] + node.test.col_offset
            end = starts[(node.test.end_lineno or 0) - 1] + (node.test.end_col_offset or 0)
            rest = raw[end:].decode()
            head = raw[:begin].decode()
            old, new = _unique(head, raw[begin:end].decode(), rest)
            number = f"-{seen[rule]}" if seen[rule] > 1 else ""
            yield Mutant(f"unchecked-{module.rpartition('.')[2]}-{function.name.strip('_')}-{rule}{number}", rule, tuple(areas.split()),
                         f"does not check: {' '.join(ast.unparse(node.test).split())[:90]}", ((module, old, new),))


def _unique(head: str, test: str, rest: str) -> tuple[str, str]:
    """Enough text around a condition to find it again."""
    whole, after = head + test + rest, len(rest)
    for more in range(0, len(head) + 1, 20):
        old = head[len(head) - more:] + test + rest[:20]
        if whole.count(old) == 1:
            return old, head[len(head) - more:] + "False" + rest[:20]
    raise CaseError(f"condition not found again: {test} {after}")
