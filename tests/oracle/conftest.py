# SPDX-License-Identifier: MIT
"""Shared fixtures: golden data, deterministic trees, the unpacked golden datastore."""
from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import fsattr
from .golden import GOLDEN, golden_tree
from .golden import scenario as golden_scenario

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "spec" / "vectors"


def vectors(name: str) -> dict[str, Any]:
    """One of the vector files of the fact sheets."""
    return json.loads((VECTORS / f"{name}.json").read_text())


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


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
    return lambda name: str(golden_tree(name, full_fs / f"source-{name}"))


@pytest.fixture
def scenario(full_fs: Path) -> Callable[[str, int], str]:
    """Builds a scenario of reuse.py, or applies the edits of its next generation."""
    return lambda name, generation: str(golden_scenario(name, full_fs / f"scenario-{name}", generation))


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
