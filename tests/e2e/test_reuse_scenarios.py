# covers: CDM-040 CDM-041 CDM-043 CDM-047 CDM-050 CDM-055 CDM-056 CDM-057 CDM-058 CDM-061 CDM-065 CDM-068 CDM-069
# covers: CDM-070 CDM-072 CDM-077 CDM-081 CDM-084 CDM-091 CDM-092 CDM-093 CDM-110 CDM-111 CDM-112 CDM-126 CDM-132
# covers: CDM-140 CDM-144 CDM-145 CHK-065 CHK-067 CDM-181
# SPDX-License-Identifier: MIT
"""The worked scenarios of spec/change-detection.md (spec/vectors/reuse.json): trees, edits, and chunk for chunk what comes of
them. The chunks of the previous snapshot are made here, from the trees and the table; their digests must be the table's."""
from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Client

from conformance.gen_reuse import chain, end_of, stream_of, worked_edit, worked_rows, worked_tree

VECTORS = json.loads((ROOT / "spec" / "vectors" / "reuse.json").read_text())
SCENARIOS: dict[str, dict[str, Any]] = {s["id"]: s for s in VECTORS["scenarios"]}
FIRST = [s["id"] for s in VECTORS["scenarios"] if "tree" in s]
LATER = [s["id"] for s in VECTORS["scenarios"] if "on" in s]
DIDX_MAGIC = bytes([28, 145, 78, 165, 25, 186, 179, 205])
Rows = list[tuple[int, bytes]]  # end, digest


# ---- payload indexes, made here ----

def rows_of(name: str, root: Path, before: Rows) -> Rows:
    """The payload index of a scenario: chunks of the previous one as they were, others from the stream."""
    case = SCENARIOS[name]
    stream = stream_of(root, case["references"], end_of(case["index"][-1]))

    def cut(start: int, end: int, beginning: str) -> bytes:
        digest = hashlib.sha256(stream[start:end]).digest()
        assert digest.hex().startswith(beginning), f"{name}: chunk {start}..{end}"
        return digest
    return worked_rows(case, before, cut)


def injected_rows(name: str, rows: Rows) -> Rows:
    out: Rows = []
    start = 0
    for entry in SCENARIOS[name]["index"]:
        if isinstance(entry, dict):
            out += [row for row in rows if start < row[0] <= entry["end"]]
        start = end_of(entry)
    return out


def write_index(rows: Rows, path: Path) -> Path:
    entries = b"".join(struct.pack("<Q", end) + digest for end, digest in rows)
    head = DIDX_MAGIC + bytes(16) + struct.pack("<q", 0) + hashlib.sha256(entries).digest()
    path.write_bytes(head.ljust(4096, b"\0") + entries)
    return path


# ---- playing them ----

class Play:
    """The tree, the previous archive and the previous index, from scenario to scenario."""

    def __init__(self, folder: Path) -> None:
        self.client, self.folder, self.root = Client(folder / "home"), folder, folder / "tree"
        self.archive, self.rows = folder / "none", []

    def first(self, name: str) -> None:
        worked_tree(self.root, SCENARIOS[name]["tree"])
        self.archive = self.folder / f"{name}.mpxar"
        self.client.expect_ok("pxar", "create", self.archive, self.root, "--payload-output", self.folder / f"{name}.ppxar")
        self.rows = rows_of(name, self.root, [])

    def later(self, name: str) -> tuple[dict[str, Any], list[str]]:
        """The plan of the program, and its log."""
        case = SCENARIOS[name]
        worked_edit(self.root, name)
        made = self.folder / f"{name}.mpxar"
        index = write_index(self.rows, self.folder / f"{name}.didx")
        args = ["reuse", "plan", self.root, "--reference-archive", self.archive, "--reference-index", index,
                "--metadata-output", made, "--chunk-size", "64", "--output-format", "json"]
        for pattern in case.get("exclude", []):
            args += ["--exclude", pattern]
        if "cache_limit" in case:
            args += ["--cache-limit", str(case["cache_limit"])]
        result = self.client.expect_ok(*args)
        self.rows, self.archive = rows_of(name, self.root, self.rows), made
        return result.json(), [line.rstrip() for line in result.lines()]


@pytest.mark.parametrize("name", FIRST)
def test_first_streams_are_those_of_the_table(name: str, tmp_path: Path) -> None:
    """Data mode: references without gaps; the table's digests are those of the contents."""
    play = Play(tmp_path)
    play.first(name)
    case = SCENARIOS[name]
    sizes = {str(p.relative_to(play.root)): p.stat().st_size for p in play.root.rglob("*") if p.is_file() and not p.is_symlink()}
    at = 16
    for path, offset in case["references"]:
        assert offset == at
        at += 16 + sizes[path]
    assert at + 16 == play.rows[-1][0] == (tmp_path / f"{name}.ppxar").stat().st_size
    stream = stream_of(play.root, case["references"], at + 16)
    assert (tmp_path / f"{name}.ppxar").read_bytes() == stream


@pytest.mark.parametrize("name", LATER)
def test_scenario(name: str, tmp_path: Path) -> None:
    case, play = SCENARIOS[name], Play(tmp_path)
    before, *steps = chain(name)
    play.first(before)
    for step in steps:
        plan, lines = play.later(step)
    assert [r[0:3:2] for r in plan["references"] if r[1] == "ref"] == case["references"]
    assert [[r[0], r[3]] for r in plan["references"] if r[1] == "hardlink"] == case["links"]
    assert plan["injections"] == case["injections"]
    got = [(end, bytes.fromhex(digest)) for end, digest, kind in plan["payload_index"] if kind == "inject"]
    assert got == injected_rows(name, play.rows)  # cuts of written data may differ (CHK-064)
    assert plan["payload_size"] == play.rows[-1][0]
    at = lines.index("Change detection summary:")
    assert lines[at + 1:at + 5] == [f" - {line}" for line in case["summary"]]
