# SPDX-License-Identifier: MIT
"""Makes the inputs of cases: sources, edits, generators, repairs, trees, store edits (spec/cases/schema.json).

`conform.py lay CASE-ID DIR` lays the input of a case into a directory. Registered functions are deterministic.
"""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from conformance import trees
from conformance.cases import ROOT, Case, CaseError

F = TypeVar("F", bound=Callable[..., Any])
GENERATORS: dict[str, Callable[..., bytes]] = {}
TREE_GENERATORS: dict[str, Callable[..., None]] = {}
REPAIRS: dict[str, Callable[[bytes], bytes]] = {}
STORE_EDITS: dict[str, Callable[..., None]] = {}


def _register(table: dict[str, Any], name: str) -> Callable[[F], F]:
    def put(function: F) -> F:
        if table.setdefault(name, function) is not function:
            raise CaseError(f"{name!r} is registered twice")
        return function
    return put


def generator(name: str) -> Callable[[F], F]:
    """f(**args) -> bytes."""
    return _register(GENERATORS, name)


def tree_generator(name: str) -> Callable[[F], F]:
    """f(path, **args): makes the directory, or changes it if it exists."""
    return _register(TREE_GENERATORS, name)


def repair(name: str) -> Callable[[F], F]:
    """f(data) -> data with a checksum that fits again."""
    return _register(REPAIRS, name)


def store_edit(name: str) -> Callable[[F], F]:
    """f(store, **args): damages a datastore directory."""
    return _register(STORE_EDITS, name)


def find(table: dict[str, F], name: str) -> F:
    from conformance import plugins
    plugins.load()
    if name not in table:
        raise CaseError(f"nothing is registered as {name!r}; there are: {', '.join(sorted(table))}")
    return table[name]


# ---- sources and edits ----

def source(spec: dict[str, Any]) -> bytes:
    """The bytes of a source."""
    match spec:
        case {"hex": text}:
            return bytes.fromhex(text)
        case {"text": text}:
            return str(text).encode("utf-8")
        case {"file": name}:
            path = (ROOT / name).resolve()
            if not path.is_relative_to(ROOT.resolve()) or not path.is_file():
                raise CaseError(f"no file {name}")
            return path.read_bytes()
        case {"gen": name}:
            return find(GENERATORS, name)(**spec.get("args", {}))
        case {"of": of, "edit": edits}:
            data = source(of)
            for one in edits:
                data = edit(data, one)
            return data
    raise CaseError(f"not a source: {spec}")


def _place(data: bytes, at: int, length: int = 0) -> int:
    """An offset, from the end if negative, that leaves room for `length` bytes."""
    start = at + len(data) if at < 0 else at
    if start < 0 or start + length > len(data):
        raise CaseError(f"edit at {at}, {length} bytes, of {len(data)}")
    return start


def _put(data: bytes, at: int, new: bytes) -> bytes:
    start = _place(data, at, len(new))
    if data[start:start + len(new)] == new:
        raise CaseError(f"edit at {at} changes nothing")
    return data[:start] + new + data[start + len(new):]


def edit(data: bytes, one: dict[str, Any]) -> bytes:
    """One edit. An edit that changes nothing is an error of the case."""
    match one:
        case {"truncate": size}:
            if not -len(data) < size < len(data):
                raise CaseError(f"truncate to {size} of {len(data)}")
            return data[:size]
        case {"at": at, "bytes": text}:
            return _put(data, at, bytes.fromhex(text))
        case {"at": at, "xor": text}:
            mask = bytes.fromhex(text)
            start = _place(data, at, len(mask))
            return _put(data, at, bytes(a ^ b for a, b in zip(data[start:], mask)))
        case {"at": at, "u64": value}:
            return _put(data, at, (int(value) & (1 << 64) - 1).to_bytes(8, "little"))
        case {"at": at, "u32": value}:
            return _put(data, at, (int(value) & (1 << 32) - 1).to_bytes(4, "little"))
        case {"insert": at, "bytes": text}:
            start = _place(data, at)
            return data[:start] + bytes.fromhex(text) + data[start:]
        case {"remove": [at, size]}:
            start = _place(data, at, size)
            return data[:start] + data[start + size:]
        case {"duplicate": [at, size]}:
            start = _place(data, at, size)
            return data[:start + size] + data[start:start + size] + data[start + size:]
        case {"swap": [one_range, other]}:
            return _swap(data, *sorted([one_range, other]))
        case {"append": text}:
            return data + bytes.fromhex(text)
        case {"replace": old, "with": new}:
            if data.count(old.encode()) != 1:
                raise CaseError(f"{old!r} occurs {data.count(old.encode())} times")
            return data.replace(old.encode(), new.encode())
        case {"repair": name}:
            return find(REPAIRS, name)(data)
    raise CaseError(f"not an edit: {one}")


def _swap(data: bytes, first: list[int], second: list[int]) -> bytes:
    a, b = _place(data, *first), _place(data, *second)
    a_end, b_end = a + first[1], b + second[1]
    if a_end > b:
        raise CaseError("ranges to swap overlap")
    return data[:a] + data[b:b_end] + data[a_end:b] + data[a:a_end] + data[b_end:]


# ---- directories ----

def tree(path: Path, spec: Any) -> None:
    """Makes a directory, or changes one that exists."""
    if isinstance(spec, dict) and "gen" in spec:
        find(TREE_GENERATORS, spec["gen"])(path, **spec.get("args", {}))
    elif isinstance(spec, dict) and "remove" in spec:
        for name in spec["remove"]:
            trees.remove(path / os.fsdecode(trees.to_bytes(name)))
    else:
        trees.build(path, spec, source)


def lay_args(folder: Path, case: Case, verb: str, args: dict[str, Any]) -> None:
    """`args/NAME` and case.json."""
    (folder / "args").mkdir(parents=True)
    for name, value in args.items():
        text = "" if value is True else "".join(f"{v}\n" for v in value) if isinstance(value, list) else str(value)
        (folder / "args" / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    about = {"id": case.id, "verb": verb, "args": args}
    (folder / "case.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def lay(case: Case, folder: Path, out: Path) -> None:
    """CASEDIR with all input files and the tree, and OUTDIR with what the verb announces."""
    folder.mkdir(parents=True)
    out.mkdir(parents=True)
    for name, spec in case.get("input", {}).items():
        (folder / name).write_bytes(source(spec))
    if case.get("tree") is not None:
        tree(folder / "tree", case.get("tree"))
    if case.get("target") is not None:
        tree(out / "target", case.get("target"))
