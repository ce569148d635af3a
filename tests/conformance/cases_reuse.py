# SPDX-License-Identifier: MIT
"""Cases of role reuse: metadata mode against the recorded decisions of the original, against the worked scenarios, and against
previous snapshots that are damaged (spec/change-detection.md).

Two levels. *Must* is what any correct re-use keeps: everything can be restored, references are in order, what counts as changed is
read, what counts as unchanged is not. *Should* is that the decisions are those of the original.
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.cases import ROOT
from conformance.cases_client import KEYFILE, case, check, count

Case = dict[str, Any]
Step = dict[str, Any]
ARGS = {"archives": ["root.pxar:tree"], "chunk-size": "64"}
ORDER, READABLE, HOLDS = check("payload-in-order"), check("contents-readable"), check("snapshot-holds", archive="root.pxar")
RIGHT = [ORDER, HOLDS]  # which also reads everything, in order
MADE = "made by the original software"


def run(mode: str, *checks: dict[str, Any], verdict: str = "accept", **args: Any) -> Step:
    return {"run": "backup", "args": ARGS | {"mode": mode} | {k.replace("_", "-"): v for k, v in args.items()},
            "expect": {"verdict": verdict} | ({"checks": list(checks)} if checks else {})}


def edit(gen: str, **args: Any) -> Step:
    return {"edit-tree": {"gen": gen} | ({"args": args} if args else {})}


def damage(what: str, /, **args: Any) -> Step:
    return {"edit-store": what} | ({"args": args} if args else {})


def golden() -> dict[str, list[dict[str, Any]]]:
    return {p.stem: json.loads(p.read_text())["generations"] for p in sorted((ROOT / "testdata/golden/reuse").glob("*.json"))}


def worked() -> list[dict[str, Any]]:
    return list(json.loads((ROOT / "spec/vectors/reuse.json").read_text())["scenarios"])


# ---- decisions ----

def golden_decisions() -> Iterator[Case]:
    for name, rows in golden().items():
        for row in rows:
            number, reference = row["generation"], row.get("reference")
            if reference is None:
                continue
            yield case(f"decisions-{name}-{number}", "CDM-042 CDM-065 CDM-056 CDM-058", f"scenario {name}, generation {number} on {reference} as the original stored it: its decisions",
                       run("metadata", check("decisions", golden=name, generation=number)), tree={"gen": "scenario-at", "args": {"name": name, "generation": number}}, needs=["root"],
                       server={"store": {"gen": "golden-reference", "args": {"name": name, "generation": reference}}}, checks=[check("store-sound", snapshots="2")])


def worked_decisions() -> Iterator[Case]:
    for one in worked():
        if "on" not in one or "cache_limit" in one:
            continue
        args = {"exclude": one["exclude"]} if "exclude" in one else {}
        historical = any(rule in ("CDM-140", "CDM-144", "CDM-145") for rule in one["rules"])
        yield case(f"worked-{one['id'].lower()}", " ".join(one["rules"]), f"worked scenario {one['id']}: {one['does']}", run("metadata", check("decisions", scenario=one["id"]), ORDER, READABLE, **args),
                   tree={"gen": "worked-at", "args": {"name": one["id"]}}, server={"store": {"gen": "worked-reference", "args": {"name": one["id"]}}},
                   flags=["Reuse", "Historical"] if historical else ["Reuse"])


def small_decisions() -> Iterator[Case]:
    for name, rules, size, first, ends, does in (("tenth", "CDM-065 CDM-161", 272, 32, [16, 336, 352], "padding of exactly a tenth: re-used"), ("more-than-tenth", "CDM-065 CDM-071", 271, 16, [319], "padding of more than a tenth: read again"),
                                                 ("tiny", "CDM-160 CDM-071", 100, 16, [148], "a tree that is too small to be re-used"), ("empty-file", "CDM-162 CDM-048", 0, 16, [48], "a file without contents")):
        yield case(f"small-{name}", rules, f"one file of {size} bytes, unchanged: {does}", run("data"), run("metadata", check("payload", references_at={"f": first}, ends=ends), *RIGHT), tree=[{"path": ""}, {"path": "f", "size": str(size)}])
    yield case("small-no-file", "CDM-163", "no regular file at all", run("data"), run("metadata", check("payload", references_at={}, ends=[32]), HOLDS), tree=[{"path": ""}, {"path": "d", "kind": "dir"}])


# ---- what must always hold ----

def golden_invariants() -> Iterator[Case]:
    for name, rows in golden().items():
        steps: list[Step] = []
        for row in rows:
            if row["generation"]:
                steps.append(edit("scenario", name=name, generation=row["generation"]))
            new = sum(b - a for (a, _), (b, kind) in zip([(0, ""), *((e, k) for e, _, k in row.get("index", []))], ((e, k) for e, _, k in row.get("index", []))) if kind == "raw")
            bound = [check("uploaded-at-most", archive="root.ppxar.didx", bytes=str(new + 262144))] if row["mode"] == "metadata" and row.get("reference") is not None else []
            unseen = name == "same-metadata-other-content" and row["generation"] > 0  # CDM-045: contents of the snapshot before are kept
            steps.append(run(row["mode"], *([ORDER] if row["mode"] != "legacy" else []), READABLE if unseen else HOLDS, *bound))
        yield case(f"chain-{name}", "CDM-129 CDM-125 CDM-124 CDM-127 CDM-121", f"scenario {name}: {', '.join(r['mode'] for r in rows)}, each on the one before", *steps,
                   tree={"gen": "scenario", "args": {"name": name, "generation": 0}}, needs=["root"], checks=[check("store-sound", snapshots=str(len(rows)))])


FILES = [{"path": ""}, {"path": "a", "size": "100000"}, {"path": "b", "size": "100000"}, {"path": "d", "kind": "dir"}, {"path": "d/c", "size": "100000"}, {"path": "e", "size": "100000"}]


def must_cases() -> Iterator[Case]:
    yield case("not-read", "CDM-045 CDM-042", "contents changed while size and times stayed: re-used files are not read", run("data"), edit("rot"), run("metadata", ORDER, READABLE), edit("rot"),
               {"run": "restore", "args": {"archive": "root.pxar"}, "expect": {"verdict": "accept", "checks": [check("target-equals-tree")]}}, tree=FILES)
    yield case("not-read-twice", "CDM-045 CDM-132", "the same over two runs", run("data"), edit("rot"), run("metadata", ORDER), run("metadata", ORDER, READABLE), edit("rot"),
               {"run": "restore", "args": {"archive": "root.pxar"}, "expect": {"verdict": "accept", "checks": [check("target-equals-tree")]}}, tree=FILES)
    yield case("data-reads-all", "CDM-006 CDM-172", "the same in data mode: everything is read", run("data"), edit("rot"), run("data", ORDER, HOLDS), tree=FILES)
    for name, rules, does, needs, args in (
            ("mtime", "CDM-043", "a time that is a nanosecond later", [], {"mtime_ns": "1700000000000000001"}), ("mtime-back", "CDM-043 CDM-173", "a time that went back", [], {"mtime_ns": "1600000000000000000"}),
            ("mode", "CDM-043", "another mode", [], {"mode": "600"}), ("owner", "CDM-043", "another owner", ["root"], {"uid": "1234"}), ("xattr", "CDM-043 CDM-044", "an attribute that was not there", ["xattrs"], {"xattr": {"user.new": "01"}}),
            ("size", "CDM-140 CDM-042", "another size and the same time", [], {"grow": "10"})):
        yield case(f"changed-{name}", rules, f"{does}: the file is read", run("data"), edit("rot"), edit("set", file="b", **args), run("metadata", check("archived-file", path="b"), ORDER, READABLE), tree=FILES,
                   flags=["Reuse", "Historical", "DataLoss"] if name == "size" else ["Reuse", "DataLoss"], **({"needs": needs} if needs else {}))
    yield case("changed-name", "CDM-041", "a file under another name is read", run("data"), edit("rot"), edit("set", file="b", rename="bb"), run("metadata", check("archived-file", path="bb"), ORDER, READABLE), tree=FILES, flags=["Reuse", "DataLoss"])
    yield case("changed-xattr-value", "CDM-044 CDM-164", "a new value of an attribute is stored", run("data"), edit("set", file="b", xattr={"user.x": "02"}), run("metadata", *RIGHT), needs=["xattrs"],
               tree=[*FILES[:2], {"path": "b", "size": "100000", "xattrs": {"user.x": "01"}}, *FILES[3:]], flags=["Reuse", "Metadata"])
    yield case("directory-to-file", "CDM-165 CDM-041", "a directory became a file of the same name", run("data"), {"edit-tree": {"remove": ["d"]}}, {"edit-tree": [{"path": "d", "size": "100000"}]}, run("metadata", *RIGHT), tree=FILES)
    yield case("file-to-directory", "CDM-040 CDM-041", "a file became a directory of the same name", run("data"), {"edit-tree": {"remove": ["b"]}}, {"edit-tree": [{"path": "b", "kind": "dir"}, {"path": "b/x", "size": "50000"}]}, run("metadata", *RIGHT), tree=FILES)
    yield case("excluded", "CDM-050 CDM-009", "a pattern that is new leaves out a file", run("data"), run("metadata", ORDER, READABLE, check("snapshot-holds", archive="root.pxar", exclude=["/b"]), exclude=["/b"]), tree=FILES)
    yield case("excluded-below", "CDM-148 CDM-050", "a .pxarexclude below the root with an anchored pattern", run("data"), {"edit-tree": [{"path": "d/.pxarexclude", "data": {"text": "/c\n"}}]}, run("metadata", *RIGHT), tree=FILES, flags=["Reuse", "Historical"])
    yield case("links", "CDM-084 CDM-047", "the first name of a file with three is removed", run("data"), {"edit-tree": {"remove": ["a"]}}, run("metadata", *RIGHT), run("metadata", *RIGHT),
               tree=[*FILES, {"path": "f", "kind": "hardlink", "to": "a"}, {"path": "g", "kind": "hardlink", "to": "a"}])
    for name, modes, does in (("legacy-metadata", ("legacy", "metadata", "metadata"), "a legacy snapshot is no reference, the next one is"), ("metadata-legacy", ("metadata", "legacy", "metadata"), "legacy in between"),
                              ("data-metadata", ("data", "metadata", "data", "metadata"), "data and metadata in turn")):
        yield case(f"modes-{name}", "CDM-010 CDM-006" if "legacy" in name else "CDM-006 CDM-011", does, *[step for number, mode in enumerate(modes) for step in
                   ([{"edit-tree": [{"path": f"new{number}", "size": "5000"}]}] if number else []) + [run(mode, *([ORDER] if mode != "legacy" else []), HOLDS)]], tree=FILES, checks=[check("store-sound", snapshots=str(len(modes)))])
    yield case("first-run", "CDM-006 CDM-126 CDM-024", "metadata mode without a snapshot before is data mode: no gaps", run("metadata", check("payload-in-order", injected=False), READABLE, HOLDS), tree=FILES, checks=[check("store-sound", snapshots="1")])
    yield case("encrypted", "CDM-037", "encrypted, with the same key: re-used", run("data", keyfile="key.json"), edit("rot"), run("metadata", ORDER, READABLE, keyfile="key.json"), edit("rot"),
               {"run": "restore", "args": {"archive": "root.pxar", "keyfile": "key.json"}, "expect": {"verdict": "accept", "checks": [check("target-equals-tree")]}}, tree=FILES, input=KEYFILE, flags=["Reuse", "Crypto"],
               checks=[check("chunks-encrypted"), check("store-sound", snapshots="2")])
    yield case("mode-of-encryption", "CDM-029", "signed before, encrypted now: nothing is re-used, so that nothing stays unencrypted", run("data", keyfile="key.json", crypt_mode="sign-only"), edit("rot"), run("metadata", HOLDS, keyfile="key.json"),
               tree=FILES, input=KEYFILE, flags=["Reuse", "Crypto"], why="chunks in the clear would be part of an encrypted snapshot")
    yield case("two-archives", "CDM-026 CDM-100", "two directories, each with its own reference", {"run": "backup", "args": {"archives": ["root.pxar:tree", "sub.pxar:tree/d"], "mode": "data", "chunk-size": "64"}}, edit("rot"),
               {"run": "backup", "args": {"archives": ["root.pxar:tree", "sub.pxar:tree/d"], "mode": "metadata", "chunk-size": "64"}, "expect": {"verdict": "accept", "checks": [ORDER, check("payload-in-order", base="sub"), READABLE]}}, edit("rot"),
               {"run": "restore", "args": {"archive": "root.pxar"}, "expect": {"verdict": "accept", "checks": [check("target-equals-tree")]}}, tree=FILES)


# ---- snapshots before that are damaged or were written by defective clients ----

def damaged_cases() -> Iterator[Case]:
    old = ["Reuse", "Historical"]
    yield case("references-repeated", "CDM-143 CDM-142", "two files of the snapshot before share one payload reference: references of the new one increase", run("data"), damage("references", name="root.mpxar.didx", set={"b": 16}),
               run("metadata", *RIGHT), tree=FILES, flags=old)
    yield case("references-decreasing", "CDM-143 CDM-042", "references of the snapshot before go back", run("data"), damage("references", name="root.mpxar.didx", set={"e": 16}), run("metadata", *RIGHT), tree=FILES, flags=old)
    yield case("references-swapped", "CDM-167 CDM-143", "references of two files are swapped", run("data"), damage("references", name="root.mpxar.didx", swap=["b", "d/c"]), run("metadata", ORDER, READABLE), run("data", *RIGHT), tree=FILES, flags=old)
    yield case("references-behind", "CDM-059 CDM-169", "the payload index of the snapshot before was cut: references behind the data must not be copied", run("data"),
               damage("file", name="root.ppxar.didx", edit=[{"truncate": 4096 + 40}, {"repair": "index-csum"}]), damage("agree", name="root.ppxar.didx"), run("metadata", *RIGHT, verdict="info"), run("data", *RIGHT), tree=FILES, flags=[*old, "DataLoss"])
    yield case("references-into-marker", "CDM-059 CDM-124", "a reference to the start marker", run("data"), damage("references", name="root.mpxar.didx", set={"a": 0}), run("metadata", *RIGHT), tree=FILES, flags=old)
    yield case("same-content", "CDM-144 CDM-061 CDM-145", "the same small files twice, the last one before a hole removed: equal chunks are not one chunk", run("data"), {"edit-tree": {"remove": ["b2", "c"]}}, run("metadata", *RIGHT, check("no-chunk-twice")),
               tree={"gen": "worked-tree", "args": {"name": "D"}}, flags=[*old, "DataLoss"])
    yield case("same-content-again", "CDM-144 CDM-061", "the same with one more hole, and two more runs", run("data"), {"edit-tree": {"remove": ["b2", "c", "d1"]}}, run("metadata", *RIGHT), run("metadata", *RIGHT), run("metadata", *RIGHT),
               tree={"gen": "worked-tree", "args": {"name": "D"}}, flags=[*old, "DataLoss"])
    yield case("held-chunk", "CDM-092 CDM-144", "a small hole within one chunk: it is not stored twice", run("data"), {"edit-tree": {"remove": ["p1"]}}, run("metadata", *RIGHT, check("no-chunk-twice")), tree={"gen": "worked-tree", "args": {"name": "U"}}, flags=old)
    for name, rules, does, steps in (
            ("metadata-index", "CDM-027", "the metadata index is damaged", [damage("file", name="root.mpxar.didx", edit=[{"at": -1, "xor": "01"}])]),
            ("metadata-chunk", "CDM-032 CDM-180", "a chunk of the metadata archive is damaged", [damage("chunk", archive="root.mpxar.didx", edit=[{"at": 100, "xor": "01"}])]),
            ("metadata-missing", "CDM-032 CDM-180", "a chunk of the metadata archive is missing", [damage("chunk", archive="root.mpxar.didx")]),
            ("payload-index", "CDM-030", "the payload index is damaged", [damage("file", name="root.ppxar.didx", edit=[{"at": -1, "xor": "01"}])]),
            ("metadata-garbage", "CDM-032 CDM-180", "the metadata archive is no archive", [damage("archive", name="root.mpxar.didx", of={"text": "no archive " * 50})]),
            ("metadata-cut", "CDM-032 CDM-180", "the metadata archive is cut", [damage("archive", name="root.mpxar.didx", edit=[{"truncate": -200}])])):
        yield case(f"damaged-{name}", rules, f"{does}: refused, or a snapshot that is right; a run in data mode always works", run("data"), *steps, run("metadata", *RIGHT, verdict="info"),
                   {"edit-tree": [{"path": "new", "size": "1000"}]}, run("data", *RIGHT), tree=FILES, flags=["Reuse", "Integrity"])
    yield case("damaged-verify", "CDM-020", "the snapshot before failed its verification: everything is read", run("data"), damage("verify-failed"), edit("rot"), run("metadata", check("payload-in-order", injected=False), HOLDS), tree=FILES,
               flags=["Reuse", "DataLoss"])
    yield case("reader-refused", "CDM-025 BKP-230", "the reader session on the snapshot before is refused: no backup", run("data"), run("metadata", verdict="reject"), server={"faults": ["upgrade reader#1:status=400,no"]}, tree=FILES,
               checks=[check("store-sound", snapshots="1"), count("finish", "1")], flags=["Reuse", "Misbehaviour"])
    yield case("metadata-index-refused", "CDM-027 BKP-230", "the metadata index cannot be fetched: no reference, and a full backup", run("data"), edit("rot"), run("metadata", HOLDS, ORDER), server={"faults": ["GET /download#1:status=404,gone"]}, tree=FILES,
               checks=[count("fault", "1")], flags=["Reuse", "Misbehaviour"])
    yield case("payload-missing", "CDM-028", "the snapshot before has no payload index: no reference", run("data"), damage("manifest", drop=["root.ppxar.didx"]), edit("rot"), run("metadata", HOLDS, check("payload-in-order", injected=False)), tree=FILES,
               flags=["Reuse", "DataLoss"])
    for name, where in (("append", "PUT /dynamic_index#2:status=400,no"), ("chunk", "POST /dynamic_chunk#2:reset"), ("close", "POST /dynamic_close#2:status=500,no")):
        yield case(f"fault-{name}", "CDM-100 CDM-103", f"one of the two uploads fails ({where}): no snapshot", run("metadata", check("no-snapshot"), verdict="reject"), run("metadata", *RIGHT), server={"faults": [where]}, tree=FILES,
                   checks=[check("store-sound", snapshots="1")], flags=["Reuse", "Misbehaviour"])
    yield case("fault-second-run", "CDM-100 CDM-103", "one of the two uploads of the second backup fails: the first snapshot stays, and is the reference of the third", run("data"), {"edit-tree": [{"path": "new", "size": "300000"}]},
               run("metadata", verdict="reject"), run("metadata", *RIGHT), server={"faults": ["POST /dynamic_close#4:status=500,no"]}, tree=FILES, checks=[check("store-sound", snapshots="2")], flags=["Reuse", "Misbehaviour"])


def family(about: str, cases: list[Case], level: str) -> dict[str, Any]:
    return {"area": "reuse", "about": f"{about}; written by tests/conformance/cases_reuse.py",
            "defaults": {"role": "reuse", "verb": "backup", "level": level, "flags": ["Reuse"], "limit_s": 60}, "cases": cases}


def families() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every family of area reuse."""
    yield "reuse/decisions.json", family("Decisions of golden scenarios: references and re-used chunks are the original's", list(golden_decisions()), "should")
    yield "reuse/worked.json", family("The worked scenarios of the sheet, and the smallest trees", [*worked_decisions(), *small_decisions()], "should")
    yield "reuse/chains.json", family("Golden scenarios, backed up generation by generation: what must hold of any re-use", list(golden_invariants()), "must")
    yield "reuse/changes.json", family("What counts as changed, and what does not", list(must_cases()), "must")
    yield "reuse/damaged.json", family("Snapshots before that are damaged, or that defective clients wrote", list(damaged_cases()), "must")
