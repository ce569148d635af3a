# covers: CAT-001 CAT-002 CAT-003 CAT-004 CAT-010 CAT-012 CAT-013 CAT-020 CAT-030 CAT-031 CAT-033 CAT-034 CAT-037
# covers: CAT-040 CAT-041 CAT-042 CAT-043 CAT-044 CAT-045 CAT-046 CAT-047 CAT-052
# SPDX-License-Identifier: MIT
"""Catalogs against spec/vectors/catalog.json."""
from __future__ import annotations

from typing import Any

import pytest

from . import catalog
from .conftest import vectors
from .errors import OracleError

VECTORS = vectors("catalog")


@pytest.mark.parametrize("kind", ["u64", "i64"])
def test_numbers(kind: str) -> None:
    get, put = {"u64": (catalog.get_u64, catalog.put_u64),
                "i64": (catalog.get_i64, catalog.put_i64)}[kind]
    for case in VECTORS[kind]:
        raw, value = bytes.fromhex(case["hex"]), int(case["value"])
        assert put(value) == raw
        assert get(raw, 0) == (value, len(raw))
    for case in VECTORS[f"{kind}_decode_only"]:
        raw = bytes.fromhex(case["hex"])
        if "error_class" in case:
            with pytest.raises(OracleError) as caught:
                get(raw, 0)
            assert caught.value.error_class == case["error_class"]
        else:
            value, end = get(raw, 0)
            assert value == int(case["value"])
            assert raw[end:].hex() == case.get("rest_hex", "")


def plain(items: list[catalog.Item]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for item in items:
        one: dict[str, Any] = {"type": item.type, "name": item.name.decode("latin-1")}
        if item.type == "f":
            one |= {"size": item.size, "mtime": item.mtime}
        if item.type == "d":
            one |= {"start": item.start, "children": plain(item.children)}
        out.append(one)
    return out


@pytest.mark.parametrize("case", VECTORS["files"], ids=lambda c: c["name"])
def test_files(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["file_hex"])
    items = catalog.parse(raw)
    assert plain(items) == case["tree"]
    assert int.from_bytes(raw[-8:], "little") == case["root_start"]
    assert catalog.build(items) == raw


@pytest.mark.parametrize("case", VECTORS["invalid_or_tolerated"], ids=lambda c: c["name"])
def test_faulty_files(case: dict[str, Any]) -> None:
    with pytest.raises(OracleError) as caught:
        catalog.parse(bytes.fromhex(case["file_hex"]))
    # null: accepted by the original although it can never be walked (CAT-048, CAT-052)
    assert caught.value.error_class == (case["error_class"] or "bad-directory-offset")
