# SPDX-License-Identifier: MIT
"""Sources of the golden archives: the scripts trees.py and reuse.py of testdata/golden as modules, and what they make."""
from __future__ import annotations

import importlib
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

GOLDEN = Path(__file__).resolve().parents[2] / "testdata" / "golden"
BLOCK = 2048  # words at a time
LANE = 128    # bits of a word and its product
GAMMA = 0x9E3779B97F4A7C15


def _lanes(values: list[int]) -> int:
    """Words side by side in one number, so that Python's arithmetic works on all of them at once."""
    return int.from_bytes(b"".join(v.to_bytes(LANE // 8, "little") for v in values), "little")


ONES = _lanes([1] * BLOCK)
WORDS = ONES * ((1 << 64) - 1)
STEPS = _lanes([GAMMA * (i + 1) & (1 << 64) - 1 for i in range(BLOCK)])


@lru_cache(maxsize=4)
def splitmix64(seed: int, size: int) -> bytes:
    """`size` bytes of SplitMix64 output (little endian words) for a 64-bit seed: the noise of all sources."""
    out = bytearray()
    for at in range(0, -(-size // 8), BLOCK):
        z = STEPS + ONES * ((seed + at * GAMMA) & (1 << 64) - 1) & WORDS
        z = (z ^ z >> 30 & WORDS) * 0xBF58476D1CE4E5B9 & WORDS
        z = (z ^ z >> 27 & WORDS) * 0x94D049BB133111EB & WORDS
        z = z ^ z >> 31 & WORDS
        out += memoryview(z.to_bytes(BLOCK * LANE // 8, "little")).cast("Q")[::2].tobytes()
    return bytes(out[:size])


@lru_cache(maxsize=None)
def golden_module(name: str) -> ModuleType:
    """`trees` or `reuse`, the scripts that build the sources of the golden archives; their noise is made faster."""
    sys.path.insert(0, str(GOLDEN))
    try:
        module = importlib.import_module(name)
    finally:
        sys.path.remove(str(GOLDEN))
    module.noise = splitmix64  # type: ignore[attr-defined]
    return module


def golden_tree(name: str, path: Path) -> Path:
    """Builds a tree of trees.py; needs root."""
    trees = golden_module("trees")
    made = trees.Tree(str(path))
    trees.TREES[name](made)
    made.done()
    return path


def scenario(name: str, path: Path, generation: int) -> Path:
    """Builds a scenario of reuse.py (generation 0), or applies the edits of its next generation to the tree that is there."""
    trees, reuse = golden_module("trees"), golden_module("reuse")
    step = reuse.SCENARIOS[name][1]
    work = reuse.Edit(str(path), generation) if generation else trees.Tree(str(path))
    step(None if generation else work, work if generation else None, generation)
    work.done()
    return path
