#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adapter of the original command-line programs, proxmox-backup-client and pxar, as spec/cli.md describes them.

Archives are read by extracting them and looking at the result, which needs root for owners and devices.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

CLIENT, PXAR = "proxmox-backup-client", "pxar"
REFUSAL = 255  # CLI-010
ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
EXTRACT_FLAGS = ("strict", "allow-existing-dirs", "overwrite", "overwrite-files", "overwrite-symlinks", "overwrite-hardlinks", "no-xattrs",
                 "no-acls", "no-fcaps", "no-device-nodes", "no-fifos", "no-sockets")


class Unsupported(Exception):
    pass


class Call:
    def __init__(self, case_dir: str, out_dir: str) -> None:
        self.case, self.out = Path(case_dir), Path(out_dir)
        self.env = dict(os.environ)

    def has(self, name: str) -> bool:
        return (self.case / "args" / name).exists()

    def text(self, name: str) -> str:
        return os.fsdecode((self.case / "args" / name).read_bytes())

    def list(self, name: str) -> list[str]:
        return self.text(name).split("\n")[:-1] if self.has(name) else []

    def options(self, *names: str) -> list[str]:
        words = []
        for name in names:
            if self.has(name):
                words += [f"--{name}", *([self.text(name)] if self.text(name) else [])]
        return words

    def repeated(self, option: str, name: str) -> list[bytes]:
        values = [ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), os.fsencode(one)) for one in self.list(name)]
        return [word for value in values for word in (f"--{option}".encode(), value)]

    def archive(self) -> list[str]:
        split, payload = self.case / "archive.mpxar", self.case / "archive.ppxar"
        if not split.exists():
            return [str(self.case / "archive.pxar")]
        return [str(split), *(["--payload-input", str(payload)] if payload.exists() else [])]

    def run(self, *words: str | bytes) -> int:
        if shutil.which(os.fsdecode(words[0])) is None:
            raise Unsupported
        status = subprocess.run(words, env=self.env, stdin=subprocess.DEVNULL).returncode
        return {0: 0, REFUSAL: 1, 1: 1, 3: 1, 4: 1, 5: 1}.get(status, 2)


def pxar_entries(call: Call) -> int:
    """`pxar list`, `pxar extract --strict`, and what then lies there."""
    if os.getuid() != 0:
        raise Unsupported
    status = call.run(PXAR, "list", *call.archive())
    if status == 0:
        status = call.run(PXAR, "extract", *call.archive(), str(call.out / "target"), "--strict")
    if status == 0:
        version = "2" if (call.case / "archive.mpxar").exists() else "1"
        (call.out / "view.json").write_text(json.dumps({"version": version, "entries": describe(call.out / "target")}))
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
    return call.run(PXAR, "extract", *call.archive(), str(call.out / "target"), *call.options(*EXTRACT_FLAGS), *call.repeated("pattern", "patterns"))


def pxar_create(call: Call) -> int:
    split = call.has("split")
    payload = ["--payload-output", str(call.out / "archive.ppxar")] if split else []
    return call.run(PXAR, "create", str(call.out / ("archive.mpxar" if split else "archive.pxar")), str(call.case / "tree"), *payload,
                    *call.repeated("exclude", "exclude"), *call.options("all-file-systems", "no-xattrs", "no-acls", "no-fcaps"))


def connect(call: Call) -> list[str]:
    call.env |= {"PBS_PASSWORD": call.text("password"), "PBS_FINGERPRINT": call.text("fingerprint")}
    return call.options("repository", "ns", "keyfile")


def backup(call: Call) -> int:
    mode = ["--change-detection-mode", call.text("mode")] if call.has("mode") else []
    return call.run(CLIENT, "backup", *call.list("archives"), *mode, *connect(call), *call.repeated("exclude", "exclude"),
                    *call.options("backup-type", "backup-id", "backup-time", "crypt-mode", "chunk-size", "all-file-systems", "skip-lost-and-found"))


def restore(call: Call) -> int:
    return call.run(CLIENT, "restore", call.text("snapshot"), call.text("archive"), str(call.out / "target"), *connect(call),
                    *call.options(*EXTRACT_FLAGS[1:6]), *call.repeated("pattern", "patterns"))


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


def main(argv: list[str]) -> int:
    if argv == ["--version"]:
        return show_version()
    verb, case_dir, out_dir = argv
    try:
        return VERBS[verb](Call(case_dir, out_dir)) if verb in VERBS else 127
    except Unsupported:
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
