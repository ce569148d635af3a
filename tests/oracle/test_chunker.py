# covers: CHK-004 CHK-005 CHK-006 CHK-020 CHK-022 CHK-023 CHK-024 CHK-025 CHK-026 CHK-027 CHK-030 CHK-031 CHK-032
# covers: CHK-033 CHK-034 CHK-040 CHK-041 CHK-042 CHK-044 CHK-061 CHK-062 CHK-071 CHK-072 CHK-073 CHK-074 CHK-076
# covers: CHK-079 CHK-080 CHK-081 CHK-082 CHK-086
# SPDX-License-Identifier: MIT
"""Chunker against spec/vectors/chunker.json.

Every vector is checked in full with the bulk variant. The byte loop, at a few MB/s, does the
vectors up to 256 KiB and the first 96 KiB of 64 KiB-average ones; both must agree there.
"""
from __future__ import annotations

import hashlib
from array import array
from functools import lru_cache
from typing import Any

import pytest

from . import chunker
from .conftest import vectors
from .golden import splitmix64
from .errors import OracleError

VECTORS = vectors("chunker")
BIG = ["splitmix64:1:67108864"]
LOOP = 256 * 1024


def segment(text: str) -> bytes:
    """One input segment, `kind:arg:len`."""
    kind, first, last = text.split(":")
    arg, size = int(first, 0), int(last)
    if kind == "byte":
        return bytes([arg]) * size
    if kind == "mod":
        return (bytes(i & 255 for i in range(arg)) * (size // arg + 1))[:size]
    if kind == "counter32":
        return array("I", range(arg, arg + (size + 3) // 4)).tobytes()[:size]
    return splitmix64(arg, size)


@lru_cache(maxsize=1)
def big() -> tuple[bytes, list[tuple[int, int]]]:
    """64 MiB of random data with the candidates of the smallest average."""
    data = segment(BIG[0])
    return data, chunker.candidates(data, 65536)


def test_table_and_hash_trace() -> None:
    trace, scanner = VECTORS["hash_trace"], chunker.Scanner(4194304)
    data, wanted = segment(trace["input"][0]), dict((n, int(h, 16)) for n, h in trace["h"])
    for count, byte in enumerate(data, 1):
        scanner.roll(byte)
        if count in wanted:
            assert scanner.h == wanted[count]
    assert len(chunker.table()) == 256


def test_random_64_mib() -> None:
    data, found = big()
    cases = [c for c in VECTORS["plain"] if c["input"] == BIG]
    assert len(cases) == 7
    for case in cases:
        assert hashlib.sha256(data).hexdigest() == case["sha256"]
        assert chunker.fast_cuts(data, case["avg"], found) == case["ends"]


SMALL = [c for c in VECTORS["plain"] if c["input"] != BIG]


@pytest.mark.parametrize("case", SMALL, ids=lambda c: c["id"])
def test_plain(case: dict[str, Any]) -> None:
    data = b"".join(segment(s) for s in case["input"])
    assert hashlib.sha256(data).hexdigest() == case["sha256"] and len(data) == case["size"]
    assert chunker.fast_cuts(data, case["avg"]) == case["ends"]
    if len(data) <= LOOP:
        assert list(chunker.cuts(data, case["avg"])) == case["ends"]
    elif case["avg"] == 65536:
        part = data[:96 * 1024]
        assert list(chunker.cuts(part, 65536)) == chunker.fast_cuts(part, 65536)


@pytest.mark.parametrize("piece", [1, 7, 4096, 100_000])
def test_split_calls(piece: int) -> None:
    """CHK-042: the cuts do not depend on how the data arrives."""
    data, stream = splitmix64(1, 140_000), chunker.ChunkStream(65536)
    for pos in range(0, len(data), piece):
        stream.push(data[pos:pos + piece])
    assert [end for _, _, end in stream.finish()] == [35256, 134453, 140_000]


def play(case: dict[str, Any], data: bytes, scanner: Any) -> list[list[Any]]:
    stream, pos = chunker.ChunkStream(case["avg"], scanner), 0
    for step in case["script"]:
        match step:
            case ["S", boundary]:
                stream.suggest(boundary)
            case ["F", boundary, size]:
                stream.inject(boundary, size)
            case ["D", size, *times]:
                for _ in range(times[0] if times else 1):
                    stream.push(data[pos:pos + size])
                    pos += size
    assert pos == len(data)
    return [list(one) for one in stream.finish()]


@pytest.mark.parametrize("case", VECTORS["stream"], ids=lambda c: c["id"])
def test_stream(case: dict[str, Any]) -> None:
    if case["input"] == BIG:
        data, found = big()
    else:
        data = b"".join(segment(s) for s in case["input"])
        found = chunker.candidates(data, case["avg"])
    scanner = chunker.FastScanner(case["avg"], chunker.filtered(found, case["avg"]))
    assert play(case, data, scanner) == case["result"]
    if len(data) <= LOOP:
        assert play(case, data, None) == case["result"]


def test_left_over_injection() -> None:
    stream = chunker.ChunkStream(65536)
    stream.inject(5000, 1)
    stream.push(bytes(100))
    with pytest.raises(OracleError):
        stream.finish()
