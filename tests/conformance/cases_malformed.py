# SPDX-License-Identifier: MIT
"""Archives with one fault each, from testdata/golden/malformed.json: per form, item type and kind of fault the first one.

What the original refuses, a reader must refuse. What it takes although the specification forbids it, `pxar-verify` should find.
What both take is left out. The rule is the one that the independent reader names.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from conformance.cases import ROOT
from oracle import archive_tree, pxar
from oracle.errors import OracleError
from oracle.malformed import archives
from oracle.source import BytesSource

Json = dict[str, Any]
GOLDEN = ROOT / "testdata" / "golden"


@lru_cache(maxsize=1)
def observed() -> list[Json]:
    return list(json.loads((GOLDEN / "malformed.json").read_text(encoding="utf-8"))["cases"])


def kind_of(case: Json) -> str:
    """The fault without the number of the item or entry."""
    return re.sub(r" #\d+| entry \d+|(?<=type) at \d+|(?<=size \d) at \d+", "", case["fault"])


def slug(text: str) -> str:
    return "-".join("".join(c.lower() if c.isalnum() else " " for c in text.replace("+", " plus ").replace("->", " to ")).split())


def broken_rule(case: Json) -> str | None:
    archive, payload = archives(case)
    try:
        reader = pxar.Reader(BytesSource(archive), BytesSource(payload) if payload is not None else None)
        for entry in reader:
            if entry.content is not None and (entry.content.where == "archive" or reader.payload is not None):
                archive_tree.content_digest(reader, entry)
    except OracleError as e:
        return e.rule
    return None


def sources(case: Json) -> Json:
    """The golden archive with the edit, in the terms of the schema."""
    def of(name: str, edit: Json | None) -> Json:
        plain = {"file": f"testdata/golden/pxar/{name}"}
        return plain if edit is None else {"of": plain, "edit": [edit]}

    if case["form"] == "v1":
        return {"archive.pxar": of(f"{case['base']}.pxar", case["edit"])}
    inner = case["edit"].get("payload")
    return {"archive.mpxar": of(f"{case['base']}.mpxar", None if inner else case["edit"]), "archive.ppxar": of(f"{case['base']}.ppxar", inner)}


def refused(case: Json) -> bool:
    """By decoding it; what only fails when metadata is applied (a mode or time that no file can have) is not the reader's."""
    return bool(case["list"]["exit"])


def flags(text: str) -> list[str]:
    if "slash" in text or "dots" in text or "absolute" in text:
        return ["Traversal"]
    return ["Integrity"] if re.search("flipped|removed|hash|offset|marker|tail", text) else ["CrashSafety"]


def chosen() -> Iterator[tuple[str, Json, str]]:
    """Kind of fault, the case, the rule."""
    seen: set[tuple[str, str, bool]] = set()
    for case in observed():
        kind = kind_of(case)
        key = (case["form"], kind, refused(case))
        if key in seen or len(case["edit"].get("append", "")) > 300:
            continue
        rule = broken_rule(case)
        if rule is not None:
            seen.add(key)
            yield kind, case, rule


def families() -> Iterator[tuple[str, Json]]:
    must: list[Json] = []
    should: list[Json] = []
    for kind, case, rule in chosen():
        bad = refused(case)
        one = {"id": slug(("fault " if bad else "hidden ") + case["form"] + " " + kind), "rules": [rule],
               "does": f"{case['base']}: {case['fault']}", "flags": flags(kind), "input": sources(case), "expect": {"verdict": "reject"}}
        (must if bad else should).append(one)
    yield "pxar/faults.json", {"area": "pxar", "about": "Archives with one fault each that the original refuses to extract.",
                               "defaults": {"role": "reader", "verb": "pxar-entries", "level": "must",
                                            "why": "a reader that goes on writes wrong data or loses the rest"}, "cases": must}
    yield "verify/faults.json", {"area": "verify", "about": "Archives with one fault each that the original lists and extracts without a word.",
                                 "defaults": {"role": "reader", "verb": "pxar-verify", "level": "should",
                                              "why": "the damage shows only when an entry is looked up or the archive serves as reference"}, "cases": should}
