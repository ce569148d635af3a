# SPDX-License-Identifier: MIT
"""The one error type of the oracle: which rule was broken, where, and how."""
from __future__ import annotations


class OracleError(Exception):
    """Malformed input. `rule` is a fact ID such as `PXAR-074`, `offset` a byte position or None.

    `error_class` is the short class name used by the vectors (`bad-crc`, `wrong-key`, ...).
    """

    def __init__(self, rule: str, offset: int | None, text: str, error_class: str = "malformed"):
        super().__init__(rule, offset, text, error_class)
        self.rule = rule
        self.offset = offset
        self.text = text
        self.error_class = error_class

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at {self.offset}"
        return f"[{self.rule}]{where}: {self.text}"
