# SPDX-License-Identifier: MIT
"""Every golden archive as cases: read, verified, looked into and extracted, and its tree archived again byte for byte."""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.cases import ROOT
from conformance.oracle_views import entry_view
from oracle import pxar

FOLDER = "testdata/golden/pxar"
# what a tree is about, and the rules that its archive shows; others: the general ones
ABOUT: dict[str, tuple[str, list[str]]] = {
    "empty": ("a root without entries", ["PXAR-036", "PXAR-152"]),
    "root-attributes": ("attributes of the root itself", ["PXAR-030", "PXAR-033"]),
    "one-file": ("one file", ["PXAR-050", "PXAR-071"]),
    "sizes": ("file sizes around edges, empty files", ["PXAR-070", "PXAR-131"]),
    "names": ("names of every kind of byte, long names", ["PXAR-071", "PXAR-034"]),
    "nested": ("directories in directories, empty ones too", ["PXAR-153", "PXAR-154"]),
    "symlinks": ("symbolic links: relative, absolute, dangling, long", ["PXAR-072"]),
    "hardlinks": ("hard links within and across directories", ["PXAR-073", "PXAR-074", "PXAR-077"]),
    "special-files": ("devices, fifo, socket", ["PXAR-079", "PXAR-080", "PXAR-220"]),
    "modes": ("permission bits with set-id and sticky", ["PXAR-050"]),
    "owners": ("owners and groups up to the largest ids", ["PXAR-050"]),
    "times": ("times before 1970, far away, with nanoseconds", ["PXAR-052", "PXAR-053"]),
    "xattrs": ("extended attributes: empty, binary, several", ["PXAR-086", "PXAR-031"]),
    "capabilities": ("file capabilities", ["PXAR-088"]),
    "acl-access": ("access ACLs with and without mask", ["PXAR-100", "PXAR-106"]),
    "acl-default": ("default ACLs of directories", ["PXAR-109", "PXAR-100"]),
    "inode-flags": ("inode flags", ["PXAR-050", "CRT-120"]),
    "excludes": (".pxarexclude files", ["CRT-043", "CRT-092"]),
    "holes": ("files with holes", ["CRT-140"]),
    "several-chunks": ("more contents than fit into a chunk", ["PXAR-131"]),
}
GENERAL = ["PXAR-030", "PXAR-050"]
TABLES = ["PXAR-150", "PXAR-170"]
NEEDS = {"acl-access": ["acls"], "acl-default": ["acls"], "xattrs": ["xattrs"], "root-attributes": ["xattrs"], "capabilities": ["xattrs"],
         "inode-flags": ["inode-flags"]}
OPTIONS = {"--exclude": "exclude", "--no-xattrs": "no-xattrs", "--no-fcaps": "no-fcaps", "--no-acls": "no-acls"}


def subject(tree: str) -> tuple[str, list[str]]:
    if tree.startswith("goodbye-"):
        return f"a directory with {int(tree[8:])} entries: shape of the goodbye table", ["PXAR-170", "PXAR-150"]
    return ABOUT[tree]


class Golden:
    """One entry of golden.json: an archive in both forms."""

    def __init__(self, one: dict[str, Any]) -> None:
        self.tree, self.words, self.files = str(one["tree"]), list(one["options"]), one["files"]
        stem = next(name for name in self.files if name.endswith(".pxar")).removesuffix(".pxar")
        self.stem, self.id = stem, "golden-" + stem.replace(".", "-")
        self.does, self.rules = subject(self.tree)
        if self.words:
            self.does += ", made with " + " ".join(w for w in self.words if w != "1")

    def stored(self, form: str) -> bool:
        return all((ROOT / FOLDER / f"{self.stem}.{end}").exists() for end in (["pxar"] if form == "v1" else ["mpxar", "ppxar"]))

    def input(self, form: str) -> dict[str, Any]:
        ends = ["pxar"] if form == "v1" else ["mpxar", "ppxar"]
        return {f"archive.{end}": {"file": f"{FOLDER}/{self.stem}.{end}"} for end in ends}

    def case(self, form: str, rules: list[str], **members: Any) -> dict[str, Any]:
        split = form == "split"
        return {"id": self.id + ("-split" if split else ""), "rules": sorted({*rules, *(["PXAR-131", "PXAR-133"] if split else [])}),
                "does": self.does + (", split archive" if split else "")} | members

    def reader(self, form: str) -> pxar.Reader:
        base = ROOT / FOLDER / self.stem
        return pxar.open_reader(f"{base}.pxar") if form == "v1" else pxar.open_reader(f"{base}.mpxar", f"{base}.ppxar")

    def entries(self, form: str) -> list[dict[str, Any]]:
        reader = self.reader(form)
        return [entry_view(reader, e) for e in reader]

    def view(self, form: str) -> dict[str, Any]:
        reader = self.reader(form)
        entries = [entry_view(reader, e) for e in reader]
        prelude = {} if reader.prelude is None else {"prelude": reader.prelude.hex()}
        return {"version": "1" if form == "v1" else "2"} | prelude | {"entries": entries}

    def args(self) -> dict[str, Any] | None:
        """Options of `pxar-create`; None for options that a writer need not know."""
        out: dict[str, Any] = {}
        for word, value in zip(self.words[::2], self.words[1::2]):
            if word not in OPTIONS:
                return None
            out[OPTIONS[word]] = [*out.get(OPTIONS[word], []), value] if word == "--exclude" else True
        return out

    def needs(self) -> list[str]:
        return ["root", *NEEDS.get(self.tree, [])]


def archives() -> list[Golden]:
    return [Golden(one) for one in json.loads((ROOT / "testdata" / "golden" / "golden.json").read_text())["archives"]]


def stored() -> list[tuple[Golden, str]]:
    return [(one, form) for one in archives() for form in ("v1", "split") if one.stored(form)]


def source_line(path: str) -> str:
    return f"{path}, made by the original software; written by tests/conformance/cases_golden.py"


def reading() -> dict[str, Any]:
    cases = [one.case(form, [*one.rules, *GENERAL], input=one.input(form), expect={"verdict": "accept", "view": one.view(form)}) for one, form in stored()]
    return {"area": "pxar", "about": source_line("Every golden archive, decoded from start to end: archives"),
            "defaults": {"role": "reader", "verb": "pxar-entries", "level": "must", "flags": ["Compat", "Metadata"]}, "cases": cases}


def verifying() -> dict[str, Any]:
    cases = [one.case(form, [*TABLES, *one.rules], input=one.input(form), expect={"verdict": "accept"}) for one, form in stored()]
    return {"area": "verify", "about": source_line("A strict check finds nothing wrong with golden archives"),
            "defaults": {"role": "reader", "verb": "pxar-verify", "level": "must", "flags": ["Compat"]}, "cases": cases}


def looking() -> dict[str, Any]:
    cases = []
    for one, form in stored():
        entries = one.entries(form)
        paths = [*(e["path"] for e in entries), "no-such-name", "no/such/path"]
        cases.append(one.case(form, ["PXAR-265", "PXAR-269", *one.rules], input=one.input(form), args={"paths": paths},
                              expect={"verdict": "accept", "view": {"found": [*map(brief, entries), None, None]}}))
    return {"area": "access", "about": source_line("Every entry of every golden archive, found by goodbye tables"),
            "defaults": {"role": "reader", "verb": "pxar-lookup", "level": "must", "flags": ["Compat"]}, "cases": cases}


def brief(entry: dict[str, Any]) -> dict[str, Any]:
    """What tells entries apart; the attributes are the business of `pxar-entries`."""
    return {k: entry[k] for k in ("path", "kind", "size", "sha256", "target") if k in entry}


def ignored(one: Golden) -> dict[str, Any]:
    """The flag that restoring leaves alone (EXT-078)."""
    return {"ignore": ["nodump"]} if one.tree == "inode-flags" else {}


def extracting() -> dict[str, Any]:
    cases = [one.case(form, ["EXT-060", *(["EXT-078"] if one.tree == "inode-flags" else []), *one.rules], input=one.input(form), needs=one.needs(),
                      expect={"verdict": "accept", "checks": [{"check": "target-equals-archive"} | ignored(one)]}) for one, form in stored()]
    return {"area": "extract", "about": source_line("Every golden archive, extracted and compared in every attribute"),
            "defaults": {"role": "reader", "verb": "pxar-extract", "level": "must", "flags": ["Metadata"]}, "cases": cases}


def writing() -> dict[str, Any]:
    cases = []
    for one in archives():
        args = one.args()
        if args is None:
            continue
        for form, ends in (("v1", ["pxar"]), ("split", ["mpxar", "ppxar"])):
            files = {f"archive.{end}": {"size": str(found["size"]), "sha256": found["sha256"]} for end in ends
                     if (found := one.files[f"{one.stem}.{end}"])}
            options = args | ({"split": True} if form == "split" else {})
            cases.append(one.case(form, [*one.rules, *TABLES], needs=one.needs(), tree={"gen": "golden", "args": {"name": one.tree}},
                                  **({"args": options} if options else {}), expect={"verdict": "accept", "files": files}))
    return {"area": "create", "about": source_line("The trees of testdata/golden/trees.py have to give the golden archives, byte for byte: archives"),
            "defaults": {"role": "writer", "verb": "pxar-create", "level": "must", "flags": ["ByteExact"]}, "cases": cases}


def families() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "pxar/golden.json", reading()
    yield "verify/golden.json", verifying()
    yield "access/golden.json", looking()
    yield "extract/golden.json", extracting()
    yield "create/golden.json", writing()


