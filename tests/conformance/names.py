# SPDX-License-Identifier: MIT
"""Name text of views (spec/adapters.md): printable ASCII but the backslash stands for itself, other bytes are \\xHH."""
from __future__ import annotations

import re

ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def to_text(name: bytes) -> str:
    return "".join(chr(b) if 0x20 <= b <= 0x7E and b != 0x5C else f"\\x{b:02x}" for b in name)


def to_bytes(text: str) -> bytes:
    return ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), text.encode("utf-8", "surrogateescape"))


def normal(text: str) -> str:
    """The form that views are compared in: characters beyond printable ASCII written as bytes, nothing else touched."""
    if text.isascii() and text.isprintable():
        return text
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(b) if 0x20 <= b <= 0x7E else f"\\x{b:02x}" for b in raw)


def mtime_text(mtime_ns: int) -> str:
    secs, nanos = divmod(mtime_ns, 1_000_000_000)
    return f"{secs}.{nanos:09d}"


def mtime_ns(text: str) -> int:
    secs, _, nanos = text.partition(".")
    return int(secs) * 1_000_000_000 + int(nanos or 0)
