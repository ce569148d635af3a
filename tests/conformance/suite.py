# SPDX-License-Identifier: MIT
"""What pytest runs: one test per case and adapter. Started by conform.py, which sets the options."""
from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from conformance import play, trees
from conformance.adapters import Adapter, find
from conformance.cases import Case, load, select
from conformance.options import Options


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    options = Options.current()
    cases = select(load(), options.select)
    adapters = [find(text) for text in options.adapters]
    pairs = [(adapter, case) for case in cases for adapter in adapters]
    metafunc.parametrize(("adapter", "case"), pairs, ids=[f"{a.slug}-{c.id}" for a, c in pairs])


def test_case(adapter: Adapter, case: Case, request: pytest.FixtureRequest) -> None:
    options = Options.current()
    reason = options.absent.get(adapter.label)
    work = Path(tempfile.mkdtemp(prefix="conform-"))
    try:
        result = play.Result(case.id, adapter.label, play.SKIP, reason) if reason else play.play(case, adapter, work)
        options.keep_work(case, adapter, work)
    finally:
        trees.remove_work(work)
    request.node.user_properties.append(("conform", result.as_json()))
    options.conclude(case, result)
