# SPDX-License-Identifier: MIT
"""Imports every module beside this one that registers generators, checks or wire operations: gen_*, check_*, wire_*."""
from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def load() -> None:
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem.startswith(("gen_", "check_", "wire_")):
            importlib.import_module(f"conformance.{path.stem}")
