# covers: IDX-001 IDX-006 IDX-010 IDX-014 IDX-015 IDX-016 IDX-017 IDX-022 IDX-023 IDX-030 IDX-031 IDX-040 IDX-047
# covers: IDX-048 IDX-051 IDX-056 IDX-057 IDX-058 IDX-083 IDX-094
# SPDX-License-Identifier: MIT
"""Index files against spec/vectors/index.json."""
from __future__ import annotations

import hashlib
from typing import Any

import pytest

from . import index
from .conftest import vectors
from .errors import OracleError

VECTORS = vectors("index")


def file_of(case: dict[str, Any]) -> bytes:
    """The index file of a vector."""
    uuid, ctime = bytes.fromhex(case.get("uuid_hex", "00" * 16)), case.get("ctime", 0)
    if "entries" in case:
        ends = [(e["end"], bytes.fromhex(e["digest_hex"])) for e in case["entries"]]
        return index.build_dynamic(ends, uuid, ctime)
    digests = [bytes.fromhex(d) for d in case["digests_hex"]]
    return index.build_fixed(case["size"], case["chunk_size"], digests, uuid, ctime)


@pytest.mark.parametrize("case", VECTORS["didx"] + VECTORS["fidx"], ids=lambda c: c["name"])
def test_files(case: dict[str, Any]) -> None:
    raw = file_of(case)
    for name in ("header_first_64_hex", "header_first_80_hex"):
        assert raw.startswith(bytes.fromhex(case.get(name, "")))
    assert raw[4096:].hex() == case["body_hex"]
    if "file_sha256" in case:
        assert hashlib.sha256(raw).hexdigest() == case["file_sha256"]
    found = index.parse(raw)
    assert found.csum.hex() == case["index_csum_hex"]
    assert found.size == case.get("archive_size", case.get("size"))
    if "chunk_ranges" in case:
        assert [[start, end] for start, end, _ in found.chunks] == case["chunk_ranges"]
    for one in case.get("lookups", []):
        wanted = None if one["index"] is None else (one["index"], one["offset_in_chunk"])
        assert found.lookup(one["offset"]) == wanted


def faulty(case: dict[str, Any]) -> bytes:
    """The file a vector describes in words (`construct`)."""
    dynamic, fixed = file_of(VECTORS["didx"][0]), file_of(VECTORS["fidx"][0])
    entry = b"\1" * 32
    made = {
        "too-short": dynamic[:4095], "header-only": dynamic[:4096], "partial-entry": dynamic[:-1],
        "fidx-magic": index.FIDX_MAGIC + dynamic[8:],
        "wrong-header-csum": dynamic[:32] + bytes(32) + dynamic[64:],
        "decreasing-ends": index.build_dynamic([(20, entry), (10, entry)], bytes(16), 0),
        "nonzero-reserved": dynamic[:64] + b"\xff" + dynamic[65:],
        "extra-entry": fixed + bytes(32), "missing-entry": fixed[:-32],
        "chunk-size-not-power-of-two": fixed[:72] + (4095).to_bytes(8, "little") + fixed[80:],
        "chunk-size-zero": fixed[:72] + bytes(8) + fixed[80:],
        "size-zero": index.build_fixed(0, 4096, [], bytes(16), 0),
    }
    return made[case["name"]]


@pytest.mark.parametrize("case", VECTORS["invalid_or_tolerated"], ids=lambda c: c["name"])
def test_faulty_files(case: dict[str, Any]) -> None:
    raw = faulty(case)
    stricter = {"wrong-header-csum": "IDX-010", "nonzero-reserved": "IDX-005",
                "decreasing-ends": "IDX-023"}
    kind = {"didx": "dynamic", "fidx": "fixed"}[case["kind"]]
    with pytest.raises(OracleError) as caught:
        index.parse(raw, kind=kind)
    if case["error_class"] is not None:
        assert caught.value.error_class == case["error_class"]
        return
    assert caught.value.rule == stricter[case["name"]].replace("IDX-010", "IDX-010" if kind == "dynamic" else "IDX-048")
    if case["name"] != "decreasing-ends":
        index.parse(raw, strict=False)


@pytest.mark.parametrize("case", VECTORS["archive_name_mapping"], ids=lambda c: c["input"])
def test_names(case: dict[str, Any]) -> None:
    if case["result"] is None:
        with pytest.raises(OracleError):
            index.stored_name(case["input"])
        return
    name = index.stored_name(case["input"])
    assert {"name": name, "type": index.archive_type(name)} == case["result"]


def test_resolution() -> None:
    split, plain = {"a.mpxar.didx", "a.ppxar.didx"}, {"a.pxar.didx", "d.img.fidx"}
    halves = ["a.mpxar.didx", "a.ppxar.didx"]
    for name in ("a.pxar", "a.mpxar", "a.ppxar", "a.pxar.didx", "a.ppxar.didx"):
        assert index.resolve(name, split) == halves
    assert index.resolve("a.pxar", plain) == ["a.pxar.didx"]
    assert index.resolve("d.img", plain) == ["d.img.fidx"]
    for name in ("b.pxar", "a.mpxar", "d.conf"):
        with pytest.raises(OracleError):
            index.resolve(name, plain)
