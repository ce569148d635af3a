# covers: CLI-091 EXT-011 EXT-090 PXAR-004 PXAR-020 PXAR-021 PXAR-022 PXAR-024 PXAR-041 PXAR-071 PXAR-074 PXAR-075
# covers: PXAR-079 PXAR-081 PXAR-086 PXAR-100 PXAR-135 PXAR-150 PXAR-151 PXAR-152 PXAR-154 PXAR-170 PXAR-220 PXAR-223
# covers: PXAR-224 PXAR-225 PXAR-227 PXAR-240 PXAR-243
# SPDX-License-Identifier: MIT
"""The 2335 one-fault archives of malformed.json: what the original refuses is refused with exit status 3, a rule and an
offset; what both it and the independent reader accept is accepted.

All cases are listed. Extraction and verification, which the unit tests do for every case in one process, take every
PBSREF_STRIDE-th case (default 8; the phase shifts with the seed).
"""
from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from lib_pxar import FAILED, MALFORMED, OK, PARTIAL, ROOT, SEED, Archive, Result, golden, place, remove
from oracle import malformed

__all__ = ["place"]
CASES: list[dict[str, Any]] = golden("malformed")["cases"]
CHUNKS = 24
STRIDE = int(os.environ.get("PBSREF_STRIDE", "8"))
# every refusal says which rule and where: a position, or for errors of one entry its name
WHERE = re.compile(r"(?:(?:payload )?offset \d+, |error at entry \".*\(.*)rule (?:PXAR|EXT)-\d{3}\)$")
# nanoseconds that are none: an error of that entry when it is extracted, here and in the original
NO_TIME = "failed to set modification time: EINVAL: Invalid argument (rule EXT-077)"


def deviations(*sections: str) -> set[str]:
    """Rules in the tables of these sections of deviations.md; `A-001 … A-003` are three."""
    out: set[str] = set()
    for section in (ROOT / "spec" / "deviations.md").read_text().split("\n## "):
        if section.splitlines()[0] not in sections:
            continue
        for row in section.splitlines():
            column = row.split("|")[2] if row.count("|") > 3 else ""
            for first, last in re.findall(r"([A-Z]+-\d{3})(?: … [A-Z]+-(\d{3}))?", column):
                area, start = first.split("-")
                out |= {f"{area}-{n:03d}" for n in range(int(start), int(last or start) + 1)}
    return out


# the original lists or extracts these, we do not, and say so
STRICTER = deviations("Reading archives")
STRICTER_EXTRACTING = STRICTER | deviations("Extracting")
with open(ROOT / "tests" / "oracle" / "malformed_stricter.json", encoding="utf-8") as _f:
    ORACLE_STRICTER: dict[str, str] = json.load(_f)


def name_of(case: dict[str, Any]) -> str:
    return f"{case['base']} {case['form']}: {case['fault']}"


def rule_of(result: Result) -> str:
    found = WHERE.search(result.lines[-1])
    assert found, f"no rule and offset in: {result}"
    return found[0].rpartition(" ")[2].rstrip(")")


def written(case: dict[str, Any], where: Path) -> Archive:
    return Archive(where, "case", case["form"] == "split").write(*malformed.archives(case))


def check_list(case: dict[str, Any], archive: Archive) -> None:
    result = archive.list()
    if case["list"]["exit"] != 0:
        result.expect_only_failure(MALFORMED)
        rule_of(result)
    elif result.code != OK:
        result.expect_only_failure(MALFORMED)
        assert rule_of(result) in STRICTER, (name_of(case), result)
    else:
        digest = hashlib.sha256(result.raw).hexdigest()
        assert result.err == "" and digest.startswith(case["list_sha256"]), name_of(case)


def check_verify(case: dict[str, Any], archive: Archive) -> None:
    result = archive.verify()
    accepted = case["list"]["exit"] == 0 and case["extract_strict"]["exit"] == 0
    if result.code == OK:
        assert accepted, (name_of(case), result)
        assert name_of(case) not in ORACLE_STRICTER, f"the independent reader refuses {name_of(case)}"
        return
    result.expect_failure(MALFORMED)
    rule_of(result)
    assert not accepted or name_of(case) in ORACLE_STRICTER, (name_of(case), result)


def check_extract(case: dict[str, Any], archive: Archive, target: Path) -> None:
    result = archive.extract(target, "--strict", "--no-xattrs" if os.geteuid() else "--no-acls=0")
    if case["extract_strict"]["exit"] != 0:
        assert result.code in (MALFORMED, FAILED), (name_of(case), result)
        result.expect_failure(result.code)
        if result.code == MALFORMED:
            rule_of(result)
        else:  # the file system said no, in the same words as to the original
            cause = result.lines[-1].rpartition(": ")[2]
            no_time = "nanoseconds" in case["fault"] and result.lines[-1].endswith(NO_TIME)
            assert no_time or cause in case["extract_strict"]["message"], (name_of(case), result)
    elif result.code != OK:
        result.expect_failure(MALFORMED)
        assert rule_of(result) in STRICTER_EXTRACTING, (name_of(case), result)
    remove(target)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_listing(chunk: int, place: Path) -> None:
    for case in CASES[chunk::CHUNKS]:
        check_list(case, written(case, place))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_verification_and_strict_extraction(chunk: int, place: Path) -> None:
    print(f"PBSREF_SEED={SEED} PBSREF_STRIDE={STRIDE}")
    chosen = CASES[SEED % STRIDE::STRIDE]
    for case in chosen[chunk::CHUNKS]:
        archive = written(case, place)
        check_verify(case, archive)
        if os.geteuid() == 0:  # foreign owners, devices
            check_extract(case, archive, place / "target")


def test_tolerant_extraction_ends_with_malformed_not_with_partial(place: Path) -> None:
    """EXT-090: a break in the archive is fatal also without --strict."""
    base = (ROOT / "testdata" / "golden" / "pxar" / "one-file.pxar").read_bytes()
    archive = Archive(place).write(base[:-30])
    result = archive.extract(place / "target")
    assert result.code == MALFORMED and result.code != PARTIAL
    rule_of(result)


def test_cases_are_what_they_are_said_to_be() -> None:
    assert len(CASES) == 2335 and sum(c["list"]["exit"] == 0 for c in CASES) > 500
