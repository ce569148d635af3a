# SPDX-License-Identifier: MIT
"""Applies the edits of testdata/golden/malformed.json to golden archives."""
from __future__ import annotations

from functools import lru_cache
from typing import Any

from .conftest import GOLDEN


@lru_cache(maxsize=None)
def base(name: str) -> bytes:
    return (GOLDEN / "pxar" / name).read_bytes()


def edit(data: bytes, change: dict[str, Any]) -> bytes:
    match change:
        case {"truncate": size}:
            return data[:size]
        case {"at": at, "bytes": text}:
            raw = bytes.fromhex(text)
            return data[:at] + raw + data[at + len(raw):]
        case {"remove": [at, size]}:
            return data[:at] + data[at + size:]
        case {"duplicate": [at, size]}:
            return data[:at + size] + data[at:at + size] + data[at + size:]
        case {"append": text}:
            return data + bytes.fromhex(text)
    raise ValueError(f"unknown edit {change}")


def archives(case: dict[str, Any]) -> tuple[bytes, bytes | None]:
    """Archive and payload stream of a case."""
    if case["form"] == "v1":
        return edit(base(f"{case['base']}.pxar"), case["edit"]), None
    archive, payload = base(f"{case['base']}.mpxar"), base(f"{case['base']}.ppxar")
    if "payload" in case["edit"]:
        return archive, edit(payload, case["edit"]["payload"])
    return edit(archive, case["edit"]), payload
