# SPDX-License-Identifier: MIT
"""Checks of the cases in cases_edges.py and cases_hostile.py."""
from __future__ import annotations

import json
import os
from pathlib import Path

from conformance.checks import Context, Mismatch, check


@check("no-contents")
def no_contents(ctx: Context) -> None:
    """Whatever the view lists, it does not claim to know contents."""
    found = [e["path"] for e in json.loads(ctx.out("view.json").read_text(encoding="utf-8")).get("entries", []) if "sha256" in e]
    if found:
        raise Mismatch("no contents, they are not in this file", f"a digest for {found}")


def inodes(folder: Path) -> set[tuple[int, int]]:
    """Files below a directory, which is not followed into by links."""
    found = (os.lstat(os.path.join(base, name)) for base, _, names in os.walk(folder) for name in names)
    return {(s.st_dev, s.st_ino) for s in found}


@check("target-apart")
def target_apart(ctx: Context, lacks: list[str] | None = None, unnamed: list[str] | None = None) -> None:
    """No file of OUTDIR/outside has a name in OUTDIR/target, and none of `lacks` is there; of `unnamed` (`PATH ATTRIBUTE`) no attribute."""
    target = ctx.out_dir / "target"
    if inodes(target) & inodes(ctx.out_dir / "outside"):
        raise Mismatch("no link to a file outside the target", "there is one")
    if there := [path for path in lacks or [] if os.path.lexists(target / path)]:
        raise Mismatch("not restored", there)
    for path, _, name in (one.partition(" ") for one in unnamed or []):
        if name in os.listxattr(ctx.out(f"target/{path}"), follow_symlinks=False):
            raise Mismatch(f"{path} without {name}", "it is there")


@check("target-sparse")
def target_sparse(ctx: Context, path: str, bytes: str) -> None:
    """A file takes no more room than that, where the file system keeps holes at all."""
    probe = ctx.out_dir / "hole.probe"
    with open(probe, "xb") as file:
        file.truncate(4 << 20)
    keeps = probe.stat().st_blocks * 512 < 1 << 20
    probe.unlink()
    room = ctx.out(f"target/{path}").stat().st_blocks * 512
    if keeps and room > int(bytes):
        raise Mismatch(f"{path}: at most {bytes} bytes of the disk", room)
