# SPDX-License-Identifier: MIT
"""What the tests of the documents share: the rules of spec/, and the blocks of bytes in the sheets."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "ci")]

from documents import Example, read_examples  # noqa: E402
from spec_rules import Spec  # noqa: E402


@pytest.fixture(scope="session")
def examples() -> dict[str, Example]:
    return read_examples()


@pytest.fixture(scope="session")
def spec() -> Spec:
    return Spec(str(ROOT / "spec"))
