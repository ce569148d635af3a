# SPDX-License-Identifier: MIT
"""What the original was seen doing with exclude patterns (patterns.json) and when it extracts over other files (extract.json)."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from conformance.cases import ROOT
from conformance.names import mtime_text, to_text

Json = dict[str, Any]
GOLDEN = ROOT / "testdata" / "golden"


@lru_cache(maxsize=None)
def golden(name: str) -> Json:
    return dict(json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")))


# ---- exclude patterns ----

def pattern_nodes() -> list[Json]:
    names: list[str] = golden("patterns")["tree"]
    folders = {name.rpartition("/")[0] for name in names}
    return [{"path": to_text(n.encode()), "kind": "dir"} if n in folders else {"path": to_text(n.encode()), "data": {"text": n}} for n in names]


def pattern_case(number: int, row: Json, where: str) -> Json | None:
    texts = row.get("patterns") or [row["pattern"]]
    shown = " and ".join(json.dumps(t, ensure_ascii=False) for t in texts)
    one: Json = {"id": f"{where}-{number:03d}", "does": f"{shown} {'on the command line' if where == 'cli' else 'in .pxarexclude'}"}
    if where == "cli":
        one["args"] = {"exclude": texts}
    else:
        one["tree"] = {"gen": "patterns", "args": {"lines": texts}}
    found = row[where]
    if "excluded" not in found:  # the original crashes
        return one | {"rules": ["CRT-082"], "level": "should", "expect": {"verdict": "reject"}} if where == "cli" else None
    if where == "cli" and any("\n" in t for t in texts):
        return None  # an option's file has a value a line
    gone = sorted(to_text(p.encode()) for p in found["excluded"])
    if "log" in row["file"] and row["file"]["excluded"] != row["cli"]["excluded"]:  # what is left out depends on lexical normalisation
        one |= {"rules": ["CRT-041" if where == "cli" else "CRT-050"], "level": "may"}
    return one | {"expect": {"verdict": "accept", "checks": [{"check": "archive-leaves-out", "paths": gone}]}}


def patterns(where: str) -> list[Json]:
    cases = [pattern_case(n, row, where) for n, row in enumerate(golden("patterns")["rows"])]
    return [c for c in cases if c is not None]


# ---- extraction ----

NOT_OURS = ("outside", "dangling")  # links that lead out of the target: those cases have expectations of their own


def before_nodes(before: str) -> list[Json] | None:
    """The target before the extraction; None: there is none."""
    if before == "missing":
        return None
    if before == "empty":
        return [{"path": "", "kind": "dir"}]
    kind, name = before.split()[:2]
    root: list[Json] = [{"path": "", "kind": "dir"}]
    match kind:
        case "file":
            return [*root, {"path": name, "data": {"text": "old\n"}}]
        case "fifo":
            return [*root, {"path": name, "kind": "fifo"}]
        case "symlink":
            return [*root, {"path": name, "kind": "symlink", "to": "elsewhere"}]
    inner = [] if "with" not in before else [{"path": f"{name}/{'y' if 'with y' in before else 'other'}", "data": {"text": "old\n"}}]
    return [*root, {"path": name, "kind": "dir"}, *inner]


def options(words: list[str]) -> Json:
    args: Json = {}
    for name, value in zip(words[::2], words[1::2]):
        if name == "--pattern":
            args.setdefault("patterns", []).append(value)
        else:
            args[name[2:]] = True
    return args


def entry(node: Json) -> Json:
    kind = node["type"]
    one: Json = {"path": node["path"], "kind": kind, "uid": str(node["uid"]), "gid": str(node["gid"])}
    if kind != "symlink":
        one["mode"] = f"{int(node['mode'], 8):04o}"
    if isinstance(node.get("mtime_ns"), int) and node["mtime_ns"] >= 1_700_000_000 * 10**9:
        one["mtime"] = mtime_text(node["mtime_ns"])
    if kind == "file":
        data = node["content"].encode()
        one |= {"size": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}
        if "link_of" in node:
            one["link"] = node["link_of"]
    if kind == "symlink":
        one["target"] = node["target"]
    return one


def extraction_case(row: Json) -> Json | None:
    refused_here = row["printed"] and "parameter verification failed" in row["printed"][0]
    if row["exit"] == "hangs" or "split" in row or refused_here or any(word in row["before"] for word in NOT_OURS):
        return None
    args, nodes = options(row["options"]), before_nodes(row["before"])
    words = [row["before"], *(w.removeprefix("--") for w in row["options"] if w != "1")]
    slug = "-".join("".join(c if c.isalnum() and c.isascii() else f" {ord(c):x} " if c in "*?[]!" else " " for c in " ".join(words).lower()).split())
    one: Json = {"id": f"over-{slug}", "does": f"target: {row['before']}; options: {' '.join(row['options']) or 'none'}"}
    if args:
        one["args"] = args
    if nodes is not None:
        one["target"] = nodes
    verdict = "accept" if row["exit"] == 0 else "reject"
    return one | {"expect": {"verdict": verdict, "checks": [{"check": "target-entries", "entries": [entry(n) for n in row["after"]]}]}}


def extractions() -> list[Json]:
    seen: set[str] = set()
    cases = []
    for one in map(extraction_case, golden("extract")["rows"]):
        if one is not None and one["id"] not in seen:
            seen.add(one["id"])
            cases.append(one)
    return cases


def families() -> Iterator[tuple[str, Json]]:
    base = {"role": "writer", "verb": "pxar-create", "level": "must", "flags": ["DataLoss"],
            "why": "a pattern that matches too much loses files, one that matches too little fills the store"}
    yield "exclude/cli.json", {"area": "exclude", "about": "Exclude patterns given as options: what the original leaves out.",
                               "defaults": base | {"rules": ["CRT-040", "CRT-070"], "tree": pattern_nodes()}, "cases": patterns("cli")}
    yield "exclude/file.json", {"area": "exclude", "about": "The same patterns as lines of a .pxarexclude file in the root.",
                                "defaults": base | {"rules": ["CRT-043", "CRT-046"]}, "cases": patterns("file")}
    yield "extract/over.json", {"area": "extract", "about": "Extraction over what is there already: what is replaced, kept, refused.",
                                "defaults": {"role": "reader", "verb": "pxar-extract", "level": "must", "flags": ["DataLoss"], "needs": ["root"],
                                             "rules": ["EXT-020", "EXT-004"],
                                             "input": {"archive.pxar": {"file": "testdata/golden/extract.pxar"}},
                                             "why": "a restore must replace what it was told to replace, and nothing else"}, "cases": extractions()}
