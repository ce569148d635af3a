# covers: CDM-040 CDM-041 CDM-042 CDM-043 CDM-044 CDM-045 CDM-047 CDM-048 CDM-055 CDM-056 CDM-057 CDM-058 CDM-059
# covers: CDM-060 CDM-062 CDM-065 CDM-066 CDM-067 CDM-068 CDM-069 CDM-070 CDM-072 CDM-073 CDM-075 CDM-076 CDM-077
# covers: CDM-079 CDM-081 CDM-083 CDM-084 CDM-086 CDM-088 CDM-090 CDM-091 CDM-092 CDM-093 CDM-096 CDM-110 CDM-111
# covers: CDM-112 CDM-113 CDM-169 CHK-065 CHK-067
# SPDX-License-Identifier: MIT
"""Decisions of metadata mode against what the original decided: every scenario of testdata/golden/reuse, generation by
generation, each on the original's previous metadata archive and payload index."""
from __future__ import annotations

import hashlib
import json
import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from support import GOLDEN, ROOT_USER, Client, scenario

pytestmark = pytest.mark.skipif(not ROOT_USER, reason="the trees have owners and devices: root only")

REUSE = GOLDEN / "reuse"
# reuse.py leaves this directory's time to the clock; the recorded archive has this one
CLOCK = {("directory-replaced-by-file", 2): ("b", 1795300300807660374)}
DIDX_MAGIC = bytes([28, 145, 78, 165, 25, 186, 179, 205])


def record(name: str) -> list[dict[str, Any]]:
    return json.loads((REUSE / f"{name}.json").read_text())["generations"]


def referring(name: str) -> list[int]:
    """Generations that had a reference."""
    return [row["generation"] for row in record(name) if row.get("reference") is not None]


CASES = [(p.stem, g) for p in sorted(REUSE.glob("*.json")) for g in referring(p.stem)]


def write_index(rows: list[list[Any]], path: Path) -> Path:
    """A dynamic index file of [end, digest, kind] rows."""
    entries = b"".join(struct.pack("<Q", end) + bytes.fromhex(digest) for end, digest, _ in rows)
    head = DIDX_MAGIC + bytes(16) + struct.pack("<q", 0) + hashlib.sha256(entries).digest()
    path.write_bytes(head.ljust(4096, b"\0") + entries)
    return path


def build(name: str, generation: int, path: Path) -> Path:
    for g in range(generation + 1):
        scenario(name, path, g)
    if late := CLOCK.get((name, generation)):
        os.utime(path / late[0], ns=(late[1], late[1]))
    return path


def test_all_scenarios_are_here() -> None:
    assert len(list(REUSE.glob("*.json"))) == 22
    assert len(CASES) >= 30


def counters(lines: list[str]) -> list[str]:
    at = lines.index("Change detection summary:")
    return lines[at:at + 5]


@pytest.mark.parametrize("name,generation", CASES, ids=[f"{n}-{g}" for n, g in CASES])
def test_decisions_equal_the_original(name: str, generation: int, tmp_path: Path) -> None:
    rows = record(name)
    row = rows[generation]
    before = rows[row["reference"]]
    source = build(name, generation, tmp_path / "tree")
    index = write_index(before["index"], tmp_path / "previous.ppxar.didx")
    made = tmp_path / "new.mpxar"
    result = Client(tmp_path / "home").expect_ok(
        "reuse", "plan", source, "--reference-archive", REUSE / f"{name}.g{row['reference']}.mpxar",
        "--reference-index", index, "--metadata-output", made, "--chunk-size", "64", "--output-format", "json")
    plan = result.json()
    assert plan["references"] == [r for r in row["refs"] if r[1] in ("ref", "hardlink")]
    assert plan["injections"] == row["injections"]
    assert plan["suggested"] == row["suggested"]
    assert plan["payload_size"] == row["payload_size"] == plan["payload_index"][-1][0]
    assert [e for e in plan["payload_index"] if e[2] == "inject"] == [e for e in row["index"] if e[2] == "inject"]
    assert made.read_bytes() == (REUSE / f"{name}.g{generation}.mpxar").read_bytes()
    assert counters([line.rstrip() for line in result.lines()]) == [line.removeprefix("LOG ") for line in row["logs"]
                                                                    if "re-encode:" not in line]
    check_counters(plan, row)


def check_counters(plan: dict[str, Any], row: dict[str, Any]) -> None:
    """The figures of the JSON output are those of the references and injections."""
    c = plan["counters"]
    files = [r for r in plan["references"] if r[1] == "ref"]
    assert c["reused_files"] + c["reencoded_files"] == len(files)
    assert c["reused_size"] + c["reencoded_size"] == sum(size + 16 for _, _, _, size in files)
    assert c["injected_size"] == sum(size for _, size, _ in row["injections"])
    assert c["injected_chunks"] == sum(n for _, _, n in row["injections"])
    assert c["padding"] == c["injected_size"] - c["reused_size"]
    assert plan["payload_size"] == 32 + c["injected_size"] + c["reencoded_size"]


# ---- damaged references ----

def assert_orderly(plan: dict[str, Any]) -> None:
    """References increase, do not overlap, and lie inside the stream."""
    at = 16
    for _, kind, offset, size in plan["references"]:
        if kind == "ref":
            assert offset >= at
            at = offset + 16 + size
    assert at <= plan["payload_size"] - 16


@pytest.mark.parametrize("seed", range(4))
def test_damaged_references_end_orderly(seed: int, tmp_path: Path) -> None:
    """Bytes of the previous archive or index changed: refused, or a plan that holds together."""
    rng = random.Random(seed)
    rows = record("hardlinks")
    source = build("hardlinks", 1, tmp_path / "tree")
    index = write_index(rows[0]["index"], tmp_path / "previous.ppxar.didx")
    archive, good = tmp_path / "previous.mpxar", (REUSE / "hardlinks.g0.mpxar").read_bytes()
    client, exits = Client(tmp_path / "home"), set()
    for _ in range(25):
        data = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        archive.write_bytes(data[:rng.randrange(len(data))] if rng.randrange(8) == 0 else data)
        result = client.run("reuse", "plan", source, "--reference-archive", archive, "--reference-index", index,
                            "--chunk-size", "64", "--output-format", "json")
        exits.add(result.exit)
        assert result.exit in (0, 3), result.stderr
        if result.exit == 0:
            assert_orderly(result.json())
    assert 0 in exits


def test_reference_that_ends_behind_its_index(tmp_path: Path) -> None:
    """The original would write references behind the data (CDM-059, CDM-169)."""
    rows = record("hardlinks")
    source = build("hardlinks", 1, tmp_path / "tree")
    index = write_index(rows[0]["index"][:2], tmp_path / "previous.ppxar.didx")
    plan = Client(tmp_path / "home").expect_ok("reuse", "plan", source, "--reference-archive", REUSE / "hardlinks.g0.mpxar",
                                        "--reference-index", index, "--chunk-size", "64", "--output-format", "json").json()
    assert_orderly(plan)
    assert plan["counters"]["reused_files"] <= 2


def test_both_references_are_required(tmp_path: Path) -> None:
    client = Client(tmp_path / "home")
    client.expect_failure(2, "--reference-index", "reuse", "plan", tmp_path, "--reference-archive", tmp_path / "x")
    client.expect_failure(1, "cannot open", "reuse", "plan", tmp_path, "--reference-archive", tmp_path / "x", "--reference-index",
                 tmp_path / "y")
