#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares directories that golden archives were extracted to.

    golden_extract_compare.py EXTRACTED TREES

EXTRACTED holds NAME.v1 and NAME.split for archives NAME.pxar and NAME.mpxar of testdata/golden/pxar. Each is compared
with what the independent reader finds in the archive and, for archives made without options, with the tree itself,
which trees.py builds below TREES. The attribute "nodump" is archived but not restored (EXT-078).
"""
from __future__ import annotations

import importlib.util
import json
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(TOP, "testdata", "golden")
sys.path.insert(0, os.path.join(TOP, "tests"))
sys.dont_write_bytecode = True

from oracle import archive_tree, pxar, tree  # noqa: E402


def trees_module():
    spec = importlib.util.spec_from_file_location("trees", os.path.join(GOLDEN, "trees.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain_names() -> set[str]:
    with open(os.path.join(GOLDEN, "golden.json"), encoding="utf-8") as f:
        return {a["tree"] for a in json.load(f)["archives"] if not a["options"]}


def build(trees, name: str, where: str) -> str:
    path = os.path.join(where, name)
    if not os.path.exists(path):
        made = trees.Tree(path)
        trees.TREES[name](made)
        made.done()
    return path


def archive_of(name: str, kind: str):
    base = os.path.join(GOLDEN, "pxar", name)
    if kind == "v1":
        return pxar.open_reader(base + ".pxar", None, False)
    return pxar.open_reader(base + ".mpxar", base + ".ppxar", False)


def main(extracted: str, where: str) -> int:
    trees, plain, compared, bad = trees_module(), plain_names(), 0, 0
    for directory in sorted(os.listdir(extracted)):
        name, _, kind = directory.rpartition(".")
        got = tree.scan(os.path.join(extracted, directory))
        lines = tree.compare(archive_tree.capture(archive_of(name, kind)), got, ["nodump"])
        if name in plain and name != "excludes":
            lines += tree.compare(tree.scan(build(trees, name, where)), got, ["nodump"])
        for line in lines:
            print(f"{directory}: {line}")
        compared, bad = compared + 1, bad + bool(lines)
    print(f"{compared} extracted archives compared, {bad} differ")
    return 1 if bad or not compared else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
