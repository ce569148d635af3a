# SPDX-License-Identifier: MIT
"""Checks of re-use: that references and chunks of a split archive are in order, and that they are those that were recorded."""
from __future__ import annotations

import hashlib
import os
from typing import Any

from conformance.check_basic import reader_of, same
from conformance.check_wire import snapshot_of
from conformance.checks import Context, Mismatch, check
from conformance.gen_reuse import end_of, recorded, worked
from oracle import archive_tree, index
from oracle.pxar import Reader

HEADER = 16
START, TAIL = bytes.fromhex("d24e4a19c2684c831000000000000000"), bytes.fromhex("b5814c988bb7726c1000000000000000")
Rows = list[tuple[int, int, str]]  # start, end, digest


def payload_rows(ctx: Context, archive: str, snapshot: str = "") -> Rows:
    store, found = snapshot_of(ctx, snapshot)
    return [(a, b, d.hex()) for a, b, d in store.index(found, store.manifest(found).file(archive)).chunks]


def previous_rows(ctx: Context, archive: str) -> Rows:
    """The same of the snapshot before the last one of the group; none if there is none."""
    group = ctx.snapshot.rpartition("/")[0]
    times = sorted(p.name for p in (ctx.the_store() / group).iterdir() if (p / archive).exists() and p.name < ctx.snapshot.rpartition("/")[2])
    return [(a, b, d.hex()) for a, b, d in index.parse((ctx.the_store() / group / times[-1] / archive).read_bytes(), strict=False).chunks] if times else []


def references(reader: Reader) -> tuple[list[tuple[str, int, int]], list[str]]:
    """Files with a payload in archive order, path, offset and size; hard links."""
    files, links = [], []
    for entry in reader:
        if entry.link is not None:
            links.append(os.fsdecode(entry.path))
        elif entry.kind == "file" and entry.content is not None:
            files.append((os.fsdecode(entry.path), entry.content.offset - HEADER, entry.content.size))
    return files, links


@check("payload-in-order")
def payload_in_order(ctx: Context, base: str = "root", injected: bool = True) -> None:
    """CDM-121 .. CDM-128 of the last snapshot: markers, references strictly increasing without overlap and inside, and what no
    reference points at lies in chunks of the snapshot before (with `injected` false: there is nothing of the kind)."""
    archive = f"{base}.ppxar.didx"
    reader = reader_of(ctx, f"{base}.pxar")
    if reader.payload is None:
        raise Mismatch("a split archive", "one stream")
    files, _ = references(reader)
    rows, old = payload_rows(ctx, archive), {d for _, _, d in previous_rows(ctx, archive)}
    size = rows[-1][1]
    at, gaps = HEADER, []
    for path, offset, length in files:
        if offset < at:
            raise Mismatch(f"the payload of {path} at {at} or later", f"at {offset}")
        gaps.append((at, offset))
        at = offset + HEADER + length
    if at > size - HEADER:
        raise Mismatch(f"the last payload before the marker at {size - HEADER}", f"it ends at {at}")
    gaps.append((at, size - HEADER))
    stream = reader.payload
    same((START.hex(), TAIL.hex()), (stream.read(0, 16).hex(), stream.read(size - 16, 16).hex()), "markers")
    for begin, end in gaps:
        wrong = [(a, b) for a, b, d in rows if max(a, begin) < min(b, end) and (d not in old or not injected)]
        if wrong:
            raise Mismatch("bytes that no reference points at only in chunks of the snapshot before", f"{begin}..{end} in new chunks {wrong[:4]}")


@check("contents-readable")
def contents_readable(ctx: Context, base: str = "root") -> None:
    """Every file of the last snapshot can be read, one after the other as a sequential reader does."""
    reader = reader_of(ctx, f"{base}.pxar")
    for entry in reader:
        if entry.kind == "file" and entry.link is None:
            archive_tree.content_digest(reader, entry)


@check("archived-file")
def archived_file(ctx: Context, path: str, base: str = "root", inverted: bool = False) -> None:
    """A file of the last snapshot has the bytes that the tree has now (or each of them inverted)."""
    reader = reader_of(ctx, f"{base}.pxar")
    data = (ctx.tree / path).read_bytes()
    wanted = hashlib.sha256(bytes(b ^ 0xFF for b in data) if inverted else data).hexdigest()
    for entry in reader:
        if entry.path == os.fsencode(path):
            found = archive_tree.content_digest(reader, entry)
            if found != wanted:
                raise Mismatch(f"{path}: contents {'from the snapshot before' if inverted else 'as they are now'}", "others")
            return
    raise Mismatch(f"{path} in the archive", "no such entry")


@check("decisions")
def decisions(ctx: Context, golden: str = "", generation: int = 0, scenario: str = "") -> None:
    """References, hard links, re-used chunks with their places, and the length of the payload are the recorded ones. Cuts between
    chunks of new data may differ (CHK-064)."""
    files, links = references(reader_of(ctx, "root.pxar"))
    rows = payload_rows(ctx, "root.ppxar.didx")
    if golden:
        row = recorded(golden)[generation]
        wanted = [(p, o) for p, kind, o, _ in row["refs"] if kind == "ref"]
        wanted_links = [p for p, kind, _, _ in row["refs"] if kind == "hardlink"]
        injected, start = [], 0
        for end, digest, kind in row["index"]:
            injected += [(start, end, digest)] if kind == "inject" else []
            start = end
        size = row["payload_size"]
    else:
        case = worked(scenario)
        wanted, wanted_links = [(p, o) for p, o in case["references"]], [p for p, _ in case["links"]]
        injected, size = worked_injections(ctx, case), end_of(case["index"][-1])
    same(wanted, [(p, o) for p, o, _ in files], "references")
    same(wanted_links, links, "hard links")
    same(size, rows[-1][1], "length of the payload")
    missing = [r for r in injected if r not in rows]
    if missing:
        raise Mismatch(f"re-used chunks {missing[:5]}", f"chunks {rows[:40]}")
    between = [r for r in rows if r not in injected]
    cut = [r for r in between if any(a < r[1] and r[0] < b for a, b, _ in injected)]
    same([], cut, "chunks that overlap re-used ones")


def worked_injections(ctx: Context, case: dict[str, Any]) -> Rows:
    before, out, start = previous_rows(ctx, "root.ppxar.didx"), [], 0
    for entry in case["index"]:
        if isinstance(entry, dict):
            for a, b, digest in before[entry["previous"][0]:entry["previous"][1] + 1]:
                out.append((start, start + b - a, digest))
                start += b - a
        start = end_of(entry)
    return out


@check("payload")
def payload(ctx: Context, references_at: dict[str, int], ends: list[int]) -> None:
    """References by path, and where the chunks of the payload end."""
    files, _ = references(reader_of(ctx, "root.pxar"))
    same(references_at, {p: o for p, o, _ in files}, "references")
    same(ends, [b for _, b, _ in payload_rows(ctx, "root.ppxar.didx")], "ends of the chunks")


@check("no-chunk-twice")
def no_chunk_twice(ctx: Context) -> None:
    """No chunk of the snapshot before is put in more often than it was there (CDM-144: the defect of 4.1.12)."""
    old = [d for _, _, d in previous_rows(ctx, "root.ppxar.didx")]
    now = [d for _, _, d in payload_rows(ctx, "root.ppxar.didx")]
    twice = [d for d in set(now) if d in old and now.count(d) > old.count(d)]
    same([], twice, "chunks that are there more often than before")

