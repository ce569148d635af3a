# SPDX-License-Identifier: MIT
"""Generators that several areas use: formulas for data, members of the vectors, golden trees and datastores, checksums."""
from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from array import array
from functools import lru_cache
from pathlib import Path
from typing import Any

from conformance.cases import SPEC, CaseError
from conformance.generate import generator, repair, tree_generator
from oracle import golden
from oracle.golden import GOLDEN, splitmix64


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

@tree_generator("golden")
def golden_tree(path: Path, name: str) -> None:
    """A tree of testdata/golden/trees.py; needs root."""
    golden.golden_tree(name, path)


@tree_generator("scenario")
def scenario(path: Path, name: str, generation: int) -> None:
    """A scenario of testdata/golden/reuse.py: generation 0 is built, a later one is applied to the tree that is there."""
    golden.scenario(name, path, generation)


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
