#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every file below testdata/ has a line in the PROVENANCE.json of its folder, or of the nearest folder above it.

    sources  who made files, how, under which licence, and which files (`match`: patterns of the path from there)
    files    path: SHA-256 and source

--check verifies both ways: no file without a line, no line without a file, digests right, sources complete.
--update writes the lines anew for what `match` places, and prints what changed; the sources stay as they are.
Exit status 1 if anything is wrong.
"""
import argparse
import fnmatch
import hashlib
import json
import os
import sys

TOP = "testdata"
NAME = "PROVENANCE.json"
WANTED = ("made_by", "how", "licence", "match")


def digest(path: str) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class Folder:
    """One PROVENANCE.json and the files that belong to it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.record = os.path.join(path, NAME)
        self.found: list[str] = []
        with open(self.record, encoding="utf-8") as f:
            data = json.load(f)
        self.sources: dict[str, dict] = data.get("sources", {})
        self.lines: dict[str, dict] = data.get("files", {})

    def check(self) -> list[str]:
        bad = [f"{self.record}: source {name}: no {key}" for name, source in self.sources.items()
               for key in WANTED if not source.get(key)]
        for name in self.found:
            line = self.lines.get(name)
            path = os.path.join(self.path, name)
            if line is None:
                bad.append(f"{path}: no line in {self.record} (ci/provenance.py --update)")
            elif line.get("source") not in self.sources:
                bad.append(f"{path}: source {line.get('source')} is not in {self.record}")
            elif line.get("sha256") != digest(path):
                bad.append(f"{path}: SHA-256 differs from {self.record}")
        return bad + [f"{self.record}: {name} does not exist" for name in sorted(self.lines.keys() - set(self.found))]

    def source_of(self, name: str) -> str | None:
        for key, source in self.sources.items():
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in source.get("match", ())):
                return key
        return None

    def update(self) -> list[str]:
        bad, lines = [], {}
        for name in self.found:
            source = self.source_of(name)
            if source is None:
                bad.append(f"{os.path.join(self.path, name)}: no source in {self.record} matches it: add one")
                continue
            lines[name] = {"sha256": digest(os.path.join(self.path, name)), "source": source}
            if name not in self.lines:
                print(f"new: {os.path.join(self.path, name)}")
            elif self.lines[name] != lines[name]:
                print(f"changed: {os.path.join(self.path, name)}")
        for name in sorted(self.lines.keys() - lines.keys()):
            print(f"gone: {os.path.join(self.path, name)}")
        self.lines = lines
        self.save()
        return bad

    def save(self) -> None:
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(line)}" for name, line in self.lines.items())
        sources = json.dumps(self.sources, indent=1).replace("\n", "\n ")
        with open(self.record, "w", encoding="utf-8") as f:
            f.write('{\n "sources": ' + sources + ',\n "files": {\n' + rows + "\n }\n}\n")


def collect() -> tuple[list[Folder], list[str]]:
    folders: dict[str, Folder] = {}
    bad = []
    for top, below, names in os.walk(TOP):
        below[:] = sorted(d for d in below if d != "__pycache__")
        if NAME in names:
            folders[top] = Folder(top)
        owner = top
        while owner and owner not in folders:
            owner = os.path.dirname(owner)
        for name in sorted(names):
            path = os.path.join(top, name)
            if not owner:
                bad.append(f"{path}: no {NAME} in its folder or above")
            elif name != NAME:
                folders[owner].found.append(os.path.relpath(path, owner))
    return list(folders.values()), bad


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = args.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true")
    what.add_argument("--update", action="store_true")
    opts = args.parse_args()

    folders, bad = collect()
    for folder in folders:
        bad += folder.update() if opts.update else folder.check()
    for line in bad:
        print(line)
    if not bad:
        print(f"provenance: {sum(len(f.found) for f in folders)} files, {len(folders)} records")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
