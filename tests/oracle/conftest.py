# SPDX-License-Identifier: MIT
"""Shared fixtures: golden data, deterministic trees, the unpacked golden datastore."""
from __future__ import annotations

import importlib
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from . import fsattr

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "testdata" / "golden"
VECTORS = ROOT / "spec" / "vectors"


def vectors(name: str) -> dict[str, Any]:
    """One of the vector files of the fact sheets."""
    return json.loads((VECTORS / f"{name}.json").read_text())


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def golden_module(name: str) -> ModuleType:
    """`trees` or `reuse`, the scripts that build the sources of the golden archives."""
    sys.path.insert(0, str(GOLDEN))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(GOLDEN))


def file_system(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return fsattr.fs_type(fd)
    finally:
        os.close(fd)


@pytest.fixture
def full_fs(tmp_path: Path) -> Path:
    """A directory where all attributes can be set: root on ext4."""
    if os.getuid() != 0:
        pytest.skip("needs root: owners, devices and trusted attributes")
    if file_system(tmp_path) != 0xEF53:
        pytest.skip("needs ext4 below the temporary directory: inode flags, xattr order")
    return tmp_path


@pytest.fixture
def build(full_fs: Path) -> Callable[[str], str]:
    """Builds a tree of trees.py by name and returns its path."""
    trees = golden_module("trees")

    def one(name: str) -> str:
        path = str(full_fs / f"source-{name}")
        made = trees.Tree(path)
        trees.TREES[name](made)
        made.done()
        return path

    return one


@pytest.fixture
def scenario(full_fs: Path) -> Callable[[str, int], str]:
    """Builds a scenario of reuse.py, or applies the edits of its next generation."""
    trees, reuse = golden_module("trees"), golden_module("reuse")

    def one(name: str, generation: int) -> str:
        path = str(full_fs / f"scenario-{name}")
        step = reuse.SCENARIOS[name][1]
        work = reuse.Edit(path, generation) if generation else trees.Tree(path)
        step(None if generation else work, work if generation else None, generation)
        work.done()
        return path

    return one


@pytest.fixture
def golden_store(tmp_path: Path) -> str:
    """The golden datastore, unpacked."""
    import zstandard
    target = tmp_path / "store"
    packed = GOLDEN / "datastore" / "datastore.tar.zst"
    with open(packed, "rb") as f, zstandard.ZstdDecompressor().stream_reader(f) as plain, \
            tarfile.open(fileobj=plain, mode="r|") as tar:
        tar.extractall(target)
    return str(target)
