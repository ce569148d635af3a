# SPDX-License-Identifier: MIT
"""Checks of the oracle that can be left out without a difference from outside, with the reason."""
from __future__ import annotations

REASONS: dict[str, str] = {
}


def reason(name: str) -> str:
    return REASONS.get(name, "")
