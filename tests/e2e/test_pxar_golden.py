# covers: CLI-080 CLI-090 CRT-002 CRT-003 CRT-007 CRT-008 CRT-012 CRT-021 CRT-055 CRT-056 CRT-057 CRT-100 CRT-108
# covers: CRT-112 CRT-122 CRT-143 EXT-010 EXT-014 EXT-060 EXT-061 EXT-078 EXT-102 EXT-140 EXT-141 EXT-143 EXT-144
# covers: PXAR-010 PXAR-030 PXAR-170
# SPDX-License-Identifier: MIT
"""Every golden tree and variant of options: archives are the original's byte for byte, and come back as the tree."""
from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lib_pxar import (GOLDEN, MALFORMED, ROOT, Archive, build, environment, golden, golden_archive, golden_file, place,
                      root_place, run, same, scan, selected)

__all__ = ["place", "root_place"]
VARIANTS: list[dict[str, Any]] = golden("golden")["archives"]
SPLIT = pytest.mark.parametrize("split", [False, True], ids=["v1", "split"])


def name_of(variant: dict[str, Any]) -> str:
    return next(iter(variant["files"])).removesuffix(".pxar")


EACH = pytest.mark.parametrize("variant", VARIANTS, ids=[name_of(v) for v in VARIANTS])


def is_golden(variant: dict[str, Any], path: Path) -> None:
    """`path` has the bytes that golden.json tells of the file of that name."""
    wanted, data = variant["files"][path.name], path.read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (wanted["size"], wanted["sha256"]), path.name


def excludes(variant: dict[str, Any]) -> list[str]:
    options = variant["options"]
    return [value for key, value in zip(options[::2], options[1::2]) if key == "--exclude"]


def ignored(variant: dict[str, Any]) -> list[str]:
    """What the options left out of the archive (CRT-008)."""
    names = {"--no-xattrs": ["xattrs", "acls", "fcaps"], "--no-fcaps": ["fcaps"], "--no-acls": ["acls"]}
    return [part for option in variant["options"] for part in names.get(option, [])]


@EACH
def test_created_archives_are_the_original_ones_and_hold_the_tree(variant: dict[str, Any], root_place: Path) -> None:
    source = build(variant["tree"], root_place / "source")
    wanted = selected(source, [os.fsencode(p) for p in excludes(variant)])
    for split in (False, True):
        made = Archive(root_place, name_of(variant), split)
        assert made.create(source, *variant["options"]).expect_fine().lines == []
        is_golden(variant, made.path)
        if made.payload:
            is_golden(variant, made.payload)
        nodes = made.capture()
        nodes.pop(b".pxarexclude-cli", None)  # CRT-056
        same(nodes, wanted, *ignored(variant))
        assert made.verify().expect_fine().out.startswith("ok: ")


@EACH
def test_listings_are_the_original_ones(variant: dict[str, Any], place: Path) -> None:
    name, made = name_of(variant), golden_archive(name_of(variant), False)
    if not made.path.exists():
        pytest.skip(f"{name}.pxar is not stored, only its digest (the archive is compared when created)")
    long = made.list(env={"PXAR_LOG": "debug"}).expect_fine()
    assert long.raw == golden_file(f"{name}.list").read_bytes()
    assert made.list("--long").expect_fine().raw == long.raw
    short = made.list().expect_fine()
    assert short.err == "" and b'"/"' == short.raw.splitlines()[0]
    for one, full in zip(short.raw.splitlines(), long.raw.splitlines(), strict=True):
        assert full.split(b' "', 1)[1].startswith(one[1:]), "the path in quotes stands in both forms"


@SPLIT
@EACH
def test_golden_archives_come_back_as_the_tree(variant: dict[str, Any], split: bool, root_place: Path) -> None:
    name = name_of(variant)
    archive = golden_archive(name, split)
    if not archive.path.exists() or archive.payload and not archive.payload.exists():
        pytest.skip(f"the contents of {name} are not stored, only their digest")
    target = root_place / "target"
    assert archive.extract(target).expect_fine().lines == []
    got = scan(target)
    same(archive.capture(), got, "nodump")  # EXT-078: nodump is archived, not restored
    source = build(variant["tree"], root_place / "source")
    wanted = selected(source, [os.fsencode(p) for p in excludes(variant)])
    got.pop(b".pxarexclude-cli", None)  # EXT-102
    same(got, wanted, "nodump", *ignored(variant))


def test_large_trees_come_back_too(root_place: Path) -> None:
    for name in ("holes", "several-chunks"):
        source = build(name, root_place / name)
        for split in (False, True):
            made, target = Archive(root_place, f"{name}-{split}", split), root_place / f"{name}-{split}"
            made.create(source).expect_fine()
            made.extract(target).expect_fine()
            same(scan(source), scan(target))
    sparse = root_place / "holes-True" / "sparse"
    assert sparse.stat().st_blocks * 512 < sparse.stat().st_size, "EXT-044: zeros become holes"


def test_the_oracle_command_agrees(root_place: Path) -> None:
    """pxar-compare of the independent program, as a user would call it."""
    source = build("acl-access", root_place / "source")
    made = Archive(root_place, split=True)
    made.create(source).expect_fine()
    oracle = [sys.executable, str(ROOT / "tests" / "oracle" / "oracle.py")]
    compare = [*oracle, "pxar-compare", str(made.path), str(source), "--payload-input", str(made.payload)]
    assert subprocess.run(compare, env=environment()).returncode == 0
    os.chmod(source / "one-user", 0o600)
    changed = subprocess.run(compare, env=environment(), capture_output=True, text=True)
    assert changed.returncode == 1 and "one-user" in changed.stdout


@pytest.mark.parametrize("path", sorted((GOLDEN / "reuse").glob("*.mpxar")), ids=lambda p: p.stem)
def test_metadata_archives_of_reuse_runs_can_be_dumped(path: Path) -> None:
    lines = [json.loads(line) for line in run("dump", path, "--output-format", "json").expect_fine().out.splitlines()]
    assert lines[0]["type"] == "FORMAT_VERSION" and lines[-1]["type"] == "GOODBYE_TAIL"
    run("list", path).expect_failure(2, "Payload input required", "CLI-091")
    run("verify", path, "--payload-input", path).expect_failure(MALFORMED, "rule PXAR-")
