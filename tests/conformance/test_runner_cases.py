# covers:
# SPDX-License-Identifier: MIT
"""The cases themselves: schema, inputs that can be made, generated files up to date; and the edits that make faults."""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from conformance import regen, trees
from conformance.cases import CASES, ROOT, Case, CaseError, family_files, flags, load, problems, schema
from conformance.generate import edit, lay, source
from conformance.names import mtime_ns, mtime_text, to_bytes, to_text

DATA = bytes(range(8))


@pytest.mark.parametrize("path", family_files(), ids=lambda p: str(p.relative_to(CASES)))
def test_families_follow_the_schema(path: Path) -> None:
    pytest.importorskip("jsonschema")
    assert problems(path) == []


def test_ids_are_unique_and_flags_explained() -> None:
    cases = load()
    assert len({c.id for c in cases}) == len(cases) > 0
    assert all(len(text) > 20 for text in flags().values())
    assert set(schema()["$defs"]["case"]["properties"]) >= {"id", "rules", "level", "role", "verb", "does", "expect"}


@pytest.mark.parametrize("area", sorted({c.area for c in load()}))
def test_every_input_can_be_made(area: str, tmp_path: Path) -> None:
    skipped = 0
    for number, case in enumerate(c for c in load() if c.area == area):
        if os.getuid() != 0 and "root" in case.get("needs", []):
            skipped += 1
            continue
        try:
            lay(case, tmp_path / f"{number}", tmp_path / f"{number}-out")
            assert {p.name for p in (tmp_path / f"{number}").iterdir()} >= set(case.get("input", {}))
        finally:
            for folder in (tmp_path / f"{number}", tmp_path / f"{number}-out"):
                if folder.exists():
                    trees.remove_work(folder)
    if skipped:
        print(f"{skipped} trees need root")


def test_generated_families_are_up_to_date() -> None:
    differing = [str(path) for path, text in regen.families() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert differing == [], "run: cd tests && python3 -m conformance.regen"


@pytest.mark.parametrize("one, wanted", [
    ({"truncate": 3}, DATA[:3]), ({"truncate": -3}, DATA[:5]), ({"at": 1, "bytes": "ffff"}, b"\0\xff\xff\3\4\5\6\7"),
    ({"at": -1, "bytes": "ff"}, b"\0\1\2\3\4\5\6\xff"), ({"at": 2, "xor": "80"}, b"\0\1\x82\3\4\5\6\7"),
    ({"at": 0, "u64": "1"}, b"\1\0\0\0\0\0\0\0"), ({"at": 0, "u64": "-1"}, b"\xff" * 8), ({"at": 4, "u32": "258"}, b"\0\1\2\3\2\1\0\0"),
    ({"insert": 8, "bytes": "aa"}, DATA + b"\xaa"), ({"remove": [0, 7]}, b"\7"), ({"duplicate": [0, 2]}, b"\0\1" + DATA),
    ({"swap": [[0, 2], [6, 1]]}, b"\6\2\3\4\5\0\1\7"), ({"append": "00"}, DATA + b"\0")])
def test_edits(one: dict[str, Any], wanted: bytes) -> None:
    assert edit(DATA, one) == wanted


@pytest.mark.parametrize("one", [{"truncate": 8}, {"truncate": 9}, {"at": 8, "bytes": "00"}, {"at": 0, "bytes": "0001"}, {"at": 0, "xor": "00"},
                                 {"at": 1, "u64": "0"}, {"at": -9, "bytes": "00"}, {"remove": [4, 5]}, {"swap": [[0, 3], [2, 2]]},
                                 {"replace": "x", "with": "y"}, {"repair": "none"}, {"fly": 1}])
def test_edits_that_do_nothing_or_do_not_fit_are_errors(one: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        edit(DATA, one)


def test_sources() -> None:
    assert source({"text": "ä"}) == b"\xc3\xa4"
    assert source({"of": {"text": "a b"}, "edit": [{"replace": "a", "with": "c"}, {"append": "0a"}]}) == b"c b\n"
    assert source({"gen": "segments", "args": {"parts": ["byte:7:2", "mod:3:4", "counter32:1:5", "splitmix64:1:3"]}}).hex() == \
        "0707" "00010200" "0100000002" "c15c02"
    with pytest.raises(CaseError):
        source({"file": "Makefile/../../etc/passwd"})


def test_repaired_checksums_are_right() -> None:
    from oracle import blob, index
    made = source({"of": {"hex": "42ab3807be8370a18600000068656c6c6f"}, "edit": [{"repair": "blob-crc"}]})
    assert blob.decode(made) == b"hello"
    raw = index.build_dynamic([(5, b"\1" * 32)], b"\0" * 16, 0)
    wrong = raw[:32] + b"\0" * 32 + raw[64:]
    assert index.parse(edit(wrong, {"repair": "index-csum"})).size == 5


@pytest.mark.parametrize("raw, text", [(b"a b/c", "a b/c"), (b"\\", "\\x5c"), (b"\xc3\xa4", "\\xc3\\xa4"), (b"\x7f\n", "\\x7f\\x0a")])
def test_name_text(raw: bytes, text: str) -> None:
    assert (to_text(raw), to_bytes(text)) == (text, raw)


@pytest.mark.parametrize("ns, text", [(0, "0.000000000"), (-500_000_000, "-1.500000000"), (1_700_000_000_000_000_001, "1700000000.000000001")])
def test_time_text(ns: int, text: str) -> None:
    assert (mtime_text(ns), mtime_ns(text)) == (text, ns)


def test_trees_are_built_and_changed(tmp_path: Path) -> None:
    nodes = [{"path": "", "mode": "700", "mtime": "5.000000006"}, {"path": "d", "kind": "dir"}, {"path": "d/f", "size": "70", "mode": "600"},
             {"path": "h", "kind": "hardlink", "to": "d/f"}, {"path": "l", "kind": "symlink", "to": "\\xff"}, {"path": "s", "kind": "socket"},
             {"path": "p", "kind": "fifo"}]
    root = tmp_path / "tree"
    trees.build(root, nodes, source)
    first = (root / "d/f").read_bytes()
    assert os.stat(root).st_mtime_ns == 5_000_000_006 and os.stat(root / "h").st_nlink == 2 and len(first) == 70
    assert os.readlink(os.fsencode(root / "l")) == b"\xff"
    trees.build(root, [{"path": "d/f", "data": {"text": "new"}}], source)
    assert (root / "h").read_bytes() == first and (root / "d/f").read_bytes() == b"new"


def test_laying_is_deterministic(tmp_path: Path) -> None:
    case: Case = next(c for c in load() if c.id == "create/small-tree")
    from oracle import tree
    for name in ("one", "two"):
        lay(case, tmp_path / name, tmp_path / f"{name}-out")
    assert tree.compare(tree.scan(str(tmp_path / "one" / "tree")), tree.scan(str(tmp_path / "two" / "tree"))) == []


LIST_LINE = re.compile(r'(\S{10})[ +]+(\d+)/(\d+) +(\S+ \S+) +(\S+) "((?:[^"\\]|\\.)*)"(?: -> "((?:[^"\\]|\\.)*)")?')
RUST = re.compile(r"\\(?:u\{([0-9a-f]+)\}|x([0-9A-F]{2})|(.))")
LETTERS = {"d": "dir", "-": "file", "l": "symlink", "L": "hardlink", "p": "fifo", "s": "socket", "c": "chardev", "b": "blockdev"}


def unquoted(text: str) -> str:
    """A name as the original's listing quotes it, as name text."""
    def one(m: re.Match[str]) -> str:
        return chr(int(m[1], 16)) if m[1] else chr(0xDC00 + int(m[2], 16)) if m[2] else {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}.get(m[3], m[3])
    return to_text(os.fsencode(RUST.sub(one, text)))


def test_views_of_golden_archives_are_what_the_original_lists() -> None:
    compared = 0
    for case in load():
        path = ROOT / str(case.get("input", {}).get("archive.pxar", {}).get("file", "")).replace(".pxar", ".list")
        if case.area != "pxar" or not case.id.startswith("pxar/golden-") or not path.is_file():
            continue
        entries = case.expect["view"]["entries"]
        lines = [m for m in map(LIST_LINE.fullmatch, path.read_text(errors="surrogateescape").splitlines()) if m]
        assert len(lines) == len(entries), case.id
        for m, entry in zip(lines, entries):
            wanted = {"kind": LETTERS[m[1][0]], "path": unquoted(m[6])[1:]} | ({"target": unquoted(m[7])} if m[7] is not None else {})
            if entry["kind"] != "hardlink":
                wanted |= {"uid": m[2], "gid": m[3]}
            if entry["kind"] == "file":
                wanted["size"] = m[5]
            if "device" in entry:
                wanted["device"] = m[5].split(",")
            assert {k: entry.get(k) for k in wanted} == wanted, case.id
            compared += 1
    assert compared > 300
