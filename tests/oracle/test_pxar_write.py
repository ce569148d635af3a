# covers: CRT-002 CRT-007 CRT-008 CRT-021 CRT-023 CRT-051 CRT-056 CRT-057 CRT-100 CRT-101 CRT-106 CRT-107 CRT-108
# covers: CRT-111 CRT-112 CRT-113 CRT-115 CRT-120 CRT-122 CRT-143 CRT-147 CRT-148 CRT-150 PXAR-031 PXAR-079 PXAR-105
# covers: PXAR-106 PXAR-107 PXAR-109 PXAR-110 PXAR-122 PXAR-203 PXAR-204 PXAR-205
# SPDX-License-Identifier: MIT
"""The writer against every golden archive, byte for byte, and against the re-use archives."""
from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from typing import Any

import pytest

from . import pxar_write
from .conftest import GOLDEN, golden

ARCHIVES = golden("golden")["archives"]
# reuse.py leaves this directory's time to the clock; the recorded archive has this one
CLOCK = {("directory-replaced-by-file", 2): ("b", 1795300300807660374)}
SCENARIOS = sorted(p.name.removesuffix(".json") for p in (GOLDEN / "reuse").glob("*.json"))


def options_of(words: list[str]) -> pxar_write.Options:
    options, rest = pxar_write.Options(), iter(words)
    for word in rest:
        value = next(rest)
        match word:
            case "--exclude":
                options.exclude.append(value.encode())
            case "--no-xattrs":
                options.xattrs = False
            case "--no-acls":
                options.acls = False
            case "--no-fcaps":
                options.fcaps = False
            case _:  # no effect on creation (CRT-007)
                assert word in ("--no-device-nodes", "--no-fifos", "--no-sockets")
    return options


@pytest.mark.parametrize("row", ARCHIVES, ids=lambda r: " ".join([r["tree"], *r["options"]]))
def test_golden(row: dict[str, Any], build: Callable[[str], str]) -> None:
    source, made = build(row["tree"]), {}
    for split in (False, True):
        archive, payload = io.BytesIO(), io.BytesIO() if split else None
        pxar_write.create(source, archive, payload, options_of(row["options"]))
        made["mpxar" if split else "pxar"] = archive.getvalue()
        if payload is not None:
            made["ppxar"] = payload.getvalue()
    for name, wanted in row["files"].items():
        ending = name.rpartition(".")[2]
        if ending == "list":
            continue
        data = made.pop(ending)
        stored = GOLDEN / "pxar" / name
        if stored.exists():  # for a readable message
            assert data == stored.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (wanted["size"], wanted["sha256"])
    assert not made


class Nowhere(io.RawIOBase):
    """Swallows the payload."""

    def write(self, data: Any) -> int:
        return len(data)


@pytest.mark.parametrize("name", SCENARIOS)
def test_reuse(name: str, scenario: Callable[[str, int], str]) -> None:
    """Metadata archives with recorded re-use: all their bytes and the payload's length."""
    checked = 0
    for row in golden(f"reuse/{name}")["generations"]:
        source = scenario(name, row["generation"])
        if late := CLOCK.get((name, row["generation"])):
            os.utime(os.path.join(source, late[0]), ns=(late[1], late[1]))
        if not row.get("mpxar"):
            continue  # legacy mode: no split archive
        injections = [(boundary, size) for boundary, size, _ in row["injections"]]
        reused = {path.encode(): offset for path, kind, offset, _ in row["refs"] if kind == "ref"
                  and any(start <= offset < start + size for start, size in injections)}
        archive = io.BytesIO()
        options = pxar_write.Options(reuse=reused, injections=injections)
        length = pxar_write.create(source, archive, Nowhere(), options)
        assert hashlib.sha256(archive.getvalue()).hexdigest() == row["mpxar"]["sha256"]
        assert length == row["payload_size"]
        checked += 1
    assert checked
