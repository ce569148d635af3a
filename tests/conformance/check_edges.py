# SPDX-License-Identifier: MIT
"""Checks of the cases in cases_edges.py."""
from __future__ import annotations

import json

from conformance.checks import Context, Mismatch, check


@check("no-contents")
def no_contents(ctx: Context) -> None:
    """Whatever the view lists, it does not claim to know contents."""
    found = [e["path"] for e in json.loads(ctx.out("view.json").read_text(encoding="utf-8")).get("entries", []) if "sha256" in e]
    if found:
        raise Mismatch("no contents, they are not in this file", f"a digest for {found}")
