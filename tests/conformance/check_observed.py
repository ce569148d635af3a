# SPDX-License-Identifier: MIT
"""Checks of what was observed with the original."""
from __future__ import annotations

from conformance.check_basic import none, written_archive
from conformance.checks import Context, check
from conformance.names import to_text
from oracle import tree


@check("archive-leaves-out")
def archive_leaves_out(ctx: Context, paths: list[str]) -> None:
    """Of CASEDIR/tree exactly these paths are missing in the archive; .pxarexclude in the root does not matter."""
    found = {to_text(e.path) for e in written_archive(ctx)}
    there = {to_text(p) for p in tree.scan(str(ctx.tree), content=False) if p} - {".pxarexclude"}
    wanted = set(paths)
    none([f"{p} is in the archive" for p in sorted(wanted & found)] + [f"{p} is missing" for p in sorted(there - found - wanted)], "left out")
