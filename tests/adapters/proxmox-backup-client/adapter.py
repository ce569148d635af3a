#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adapter of the original command-line programs, proxmox-backup-client and pxar, as spec/cli.md describes them.

Archives are read by extracting them and looking at the result, which needs root for owners and devices.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
sys.dont_write_bytecode = sys.pycache_prefix is None

from common import CommandCall, Unsupported, answer, ended, exceptions_are_crashes  # noqa: E402

CLIENT, PXAR = "proxmox-backup-client", "pxar"
REFUSALS = (255, 1, 2, 3, 4, 5)  # CLI-009, and those of a program that stands in


class Call(CommandCall):
    def run(self, *words: str | bytes) -> int:
        if shutil.which(os.fsdecode(words[0])) is None:
            raise Unsupported
        return ended(subprocess.run(words, env=self.env, stdin=subprocess.DEVNULL).returncode, REFUSALS)


def pxar_entries(call: Call) -> int:
    """`pxar list`, `pxar extract --strict`, and what then lies there."""
    if os.getuid() != 0:
        raise Unsupported
    status = call.run(PXAR, "list", *call.archive())
    if status == 0:
        status = call.run(PXAR, "extract", *call.archive(), str(call.out / "target"), "--strict")
    if status == 0:
        version = "2" if (call.case / "archive.mpxar").exists() else "1"
        call.view({"version": version, "entries": describe(call.out / "target")})
    return status


def describe(target: Path) -> list[dict[str, Any]]:
    from conformance.names import mtime_text, to_text
    from oracle import acl, tree
    out = []
    for path, node in tree.scan(str(target)).items():
        one: dict[str, Any] = {"path": to_text(path), "kind": node.kind}
        if node.link is not None and node.link != path:
            out.append(one | {"kind": "hardlink", "target": to_text(node.link)})
            continue
        one |= {"mode": f"{node.mode & 0o7777:04o}", "uid": str(node.uid), "gid": str(node.gid), "mtime": mtime_text(node.mtime_ns)}
        if node.kind == "file":
            one |= {"size": str(node.size), "sha256": node.digest}
        if node.target is not None:
            one["target"] = to_text(node.target)
        if node.device is not None:
            one["device"] = [str(n) for n in node.device]
        if node.flags:
            one["flags"] = str(node.flags)
        xattrs = {k: v for k, v in node.xattrs.items() if k not in (acl.ACCESS, acl.DEFAULT, tree.CAPABILITY)}
        if xattrs:
            one["xattrs"] = {to_text(k): v.hex() for k, v in xattrs.items()}
        if tree.CAPABILITY in node.xattrs:
            one["fcaps"] = node.xattrs[tree.CAPABILITY].hex()
        out.append(one | acl_of(node))
    return out


def acl_of(node: Any) -> dict[str, Any]:
    from oracle import acl
    found = acl.to_items(node.xattrs.get(acl.ACCESS), node.xattrs.get(acl.DEFAULT))
    if found.empty():
        return {}
    out: dict[str, Any] = {name: [[str(n) for n in row] for row in getattr(found, name)]
                           for name in ("users", "groups", "default_users", "default_groups") if getattr(found, name)}
    if found.group_obj is not None:
        out["group_obj"] = str(found.group_obj)
    if found.default is not None:
        out["default"] = [str(n) for n in found.default]
    return {"acl": out}


def pxar_extract(call: Call) -> int:
    return call.run(PXAR, "extract", *call.extract_words())


def pxar_create(call: Call) -> int:
    return call.run(PXAR, "create", *call.create_words())


def backup(call: Call) -> int:
    return call.run(CLIENT, "backup", *call.backup_words())


def restore(call: Call) -> int:
    return call.run(CLIENT, "restore", *call.restore_words())


VERBS: dict[str, Callable[[Call], int]] = {"pxar-entries": pxar_entries, "pxar-extract": pxar_extract, "pxar-create": pxar_create,
                                           "backup": backup, "restore": restore}


def show_version() -> int:
    found = [name for name in (CLIENT, PXAR) if shutil.which(name)]
    if not found:
        print(f"neither {CLIENT} nor {PXAR} is on PATH", file=sys.stderr)
        return 1
    said = ""
    if CLIENT in found:
        run = subprocess.run([CLIENT, "version", "--output-format", "json"], capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
        try:
            value = json.loads(run.stdout)["client"]
            said = f" {value['version']}.{value['release']}"
        except (ValueError, KeyError, TypeError):
            said = " (unknown version)"
    print(" and ".join(found) + said)
    return 0


if __name__ == "__main__":
    exceptions_are_crashes()
    sys.exit(answer(sys.argv[1:], show_version, VERBS, Call))
