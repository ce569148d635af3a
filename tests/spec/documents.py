# SPDX-License-Identifier: MIT
"""The blocks of bytes in the sheets of spec/, as the tests of the documents read them."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FENCE = re.compile(r"^( *)```hex name=([a-z0-9-]+)\n(.*?)^ *```$", re.M | re.S)


@dataclass(slots=True)
class Example:
    """One block: where it stands, its bytes, and the positions written at its lines that are wrong."""
    name: str
    sheet: str
    data: bytes
    wrong: list[str]


def read_block(name: str, sheet: str, text: str) -> Example:
    data, wrong = bytearray(), []
    start = int(text.split()[0], 16)  # a block may be a later part of something
    for line in text.splitlines():
        position, *tokens = line.split(";")[0].split()
        if int(position, 16) != start + len(data):
            wrong.append(f"{sheet}: {name}: {position} stands at {start + len(data):06x}")
        for token in tokens:
            byte, star, count = token.partition("*")
            data += bytes.fromhex(byte) * (int(count) if star else 1)
    return Example(name, sheet, bytes(data), wrong)


def read_examples() -> dict[str, Example]:
    found: dict[str, Example] = {}
    for path in sorted((ROOT / "spec").glob("*.md")):
        for _, name, text in FENCE.findall(path.read_text(encoding="utf-8")):
            assert name not in found, f"{path.name}: {name} stands twice"
            found[name] = read_block(name, path.name, text)
    return found
