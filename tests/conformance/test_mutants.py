# SPDX-License-Identifier: MIT
"""The tables of mutants: every patch applies, names are unique. What the mutants do is shown by `make mutants`."""
from __future__ import annotations

import pytest

from conformance.cases import load
from conformance.mutants import equivalent, model, reader, wire_tables, writer
from conformance.rules import rules

PATCHED = [*reader.TABLE, *reader.checks(), *writer.TABLE, *writer.checks(), *wire_tables.CLIENTS]
EVERY = [*PATCHED, *wire_tables.SERVERS]


def test_names_are_unique() -> None:
    names = [m.name for m in EVERY]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("table", ["reader", "writer", "wire"])
def test_every_patch_applies_and_compiles(table: str) -> None:
    chosen = {"reader": [*reader.TABLE, *reader.checks()], "writer": writer.TABLE, "wire": wire_tables.CLIENTS}[table]
    for one in chosen:
        for module in {module for module, _, _ in one.patches}:
            compile(model.patched(module, one.patches), module, "exec")


def test_every_mutant_names_a_rule_and_areas_that_exist() -> None:
    areas = {c.area for c in load()}
    assert {m.rule for m in EVERY} - rules().keys() == set()
    assert {a for m in EVERY for a in m.areas} - areas == set()


def test_what_is_called_equivalent_is_a_mutant() -> None:
    assert equivalent.REASONS.keys() - {m.name for m in EVERY} == set()


def test_a_mutant_of_the_oracle_leaves_the_oracle_of_the_checks_alone() -> None:
    from oracle import blob
    raw = blob.encode(b"hello", compress=False)
    damaged = raw[:8] + bytes(4) + raw[12:]
    broken = model.load((("oracle.blob", "zlib.crc32(blob.payload) != blob.crc", "False"),))
    assert broken.blob.decode(damaged) == b"hello"
    with pytest.raises(blob.OracleError):
        blob.decode(damaged)
