# SPDX-License-Identifier: MIT
"""Generators that several areas use: formulas for data, members of the vectors, golden trees and datastores, checksums."""
from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
import zlib
from array import array
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from conformance.cases import ROOT, SPEC, CaseError
from conformance.generate import generator, repair, tree_generator

GOLDEN = ROOT / "testdata" / "golden"
M64 = (1 << 64) - 1


@lru_cache(maxsize=4)
def splitmix64(seed: int, size: int) -> bytes:
    words, state = array("Q"), seed & M64
    for _ in range(-(-size // 8)):
        state = (state + 0x9E3779B97F4A7C15) & M64
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & M64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
        words.append(z ^ (z >> 31))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()[:size]


def segment(text: str) -> bytes:
    """One segment of spec/vectors/chunker.json: KIND:ARG:LENGTH."""
    kind, first, length = text.split(":")
    arg, size = int(first, 0), int(length)
    match kind:
        case "byte":
            return bytes([arg]) * size
        case "mod":
            return (bytes(i & 0xFF for i in range(arg)) * (size // arg + 1))[:size]
        case "counter32":
            words = array("I", range(arg, arg + -(-size // 4)))
            if sys.byteorder == "big":
                words.byteswap()
            return words.tobytes()[:size]
        case "splitmix64":
            return splitmix64(arg, size)
    raise CaseError(f"unknown segment {text!r}")


@generator("segments")
def segments(parts: list[str]) -> bytes:
    return b"".join(map(segment, parts))


@lru_cache(maxsize=None)
def vectors(name: str) -> Any:
    return json.loads((SPEC / "vectors" / f"{name}.json").read_text(encoding="utf-8"))


@generator("vector")
def vector(file: str, section: str, name: str, field: str) -> bytes:
    """A hex or text member of a vector that is found by its name or id; `section` may have dots."""
    found = vectors(file)
    for part in section.split("."):
        found = found[part]
    value = next((v[field] for v in found if name in (v.get("name"), v.get("id"))), None)
    if not isinstance(value, str):
        raise CaseError(f"no {field} of {name} in {file}.json, {section}")
    return bytes.fromhex(value) if field.endswith("hex") else value.encode("utf-8")


# ---- golden data ----

@lru_cache(maxsize=None)
def golden_module(name: str) -> ModuleType:
    """`trees` or `reuse`, the scripts that build the sources of the golden archives."""
    sys.path.insert(0, str(GOLDEN))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(GOLDEN))


@tree_generator("golden")
def golden_tree(path: Path, name: str) -> None:
    """A tree of testdata/golden/trees.py; needs root."""
    module = golden_module("trees")
    made = module.Tree(str(path))
    module.TREES[name](made)
    made.done()


@tree_generator("scenario")
def scenario(path: Path, name: str, generation: int) -> None:
    """A scenario of testdata/golden/reuse.py: generation 0 is built, a later one is applied to the tree that is there."""
    step = golden_module("reuse").SCENARIOS[name][1]
    if generation:
        work = golden_module("reuse").Edit(str(path), generation)
        step(None, work, generation)
    else:
        work = golden_module("trees").Tree(str(path))
        step(work, None, 0)
    work.done()


def _untar(*args: str) -> bytes:
    archive = GOLDEN / "datastore" / "datastore.tar.zst"
    run = subprocess.run(["tar", "-x", "-f", str(archive), "--zstd", *args], capture_output=True)
    if run.returncode:
        raise CaseError(f"tar: {run.stderr.decode(errors='replace').strip()}")
    return run.stdout


@generator("golden-store-file")
def golden_store_file(path: str) -> bytes:
    """A file of the original server's datastore."""
    return _untar("-O", f"./{path}")


@tree_generator("golden-store")
def golden_store(path: Path) -> None:
    """The original server's datastore."""
    path.mkdir()
    _untar("-C", str(path))


# ---- checksums ----

@repair("blob-crc")
def blob_crc(data: bytes) -> bytes:
    start = 44 if data[:8] in (bytes.fromhex("7b6785be222d4cf0"), bytes.fromhex("e6591bbf0bbfd80b")) else 12
    return data[:8] + zlib.crc32(data[start:]).to_bytes(4, "little") + data[12:]


@repair("index-csum")
def index_csum(data: bytes) -> bytes:
    return data[:32] + hashlib.sha256(data[4096:]).digest() + data[64:]
