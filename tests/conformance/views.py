# SPDX-License-Identifier: MIT
"""Comparing views: what is expected has to be contained in what was seen."""
from __future__ import annotations

from typing import Any

from conformance.names import normal


def difference(expected: Any, actual: Any, at: str = "") -> tuple[str, Any, Any] | None:
    """The first place where `actual` does not hold `expected`: (place, expected, actual)."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return at, expected, actual
        for name, value in expected.items():
            place = f"{at}.{name}" if at else name
            if name not in actual:
                return place, value, "(missing)"
            if found := difference(value, actual[name], place):
                return found
        return None
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return at, expected, actual
        for number, (one, two) in enumerate(zip(expected, actual)):
            if found := difference(one, two, f"{at}[{number}]"):
                return found
        if len(expected) != len(actual):
            return f"{at}[{min(len(expected), len(actual))}]", f"{len(expected)} members", f"{len(actual)} members"
        return None
    if isinstance(expected, str) and isinstance(actual, str):
        return None if normal(expected) == normal(actual) else (at, expected, actual)
    return None if type(expected) is type(actual) and expected == actual else (at, expected, actual)
