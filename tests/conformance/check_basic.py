# SPDX-License-Identifier: MIT
"""Checks that several areas use."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from conformance.checks import Context, Mismatch, check
from conformance.names import mtime_text, to_text
from conformance.views import difference
from oracle import archive_tree, blob, pxar, tree
from oracle.datastore import Store
from oracle.patterns import Selection, normalise, parse
from oracle.verify import verify


def same(expected: Any, actual: Any, what: str) -> None:
    if expected != actual:
        raise Mismatch(f"{what}: {expected}", f"{actual}")


def none(differences: list[str], what: str) -> None:
    if differences:
        raise Mismatch(f"{what}: equal", "\n".join(differences[:20]))


# ---- files ----

@check("blob-holds")
def blob_holds(ctx: Context, kind: str = "", of: str = "plain") -> None:
    """OUTDIR/blob decodes to CASEDIR/plain, and is of that kind (one of several, with `|`)."""
    raw = ctx.out("blob").read_bytes()
    plain = blob.decode(raw, ctx.key())
    same((ctx.case_dir / of).read_bytes().hex(), plain.hex(), "contents")
    if kind and blob.parse(raw).kind not in kind.split("|"):
        raise Mismatch(f"kind {kind}", blob.parse(raw).kind)


def written_archive(ctx: Context) -> pxar.Reader:
    if "split" in ctx.args:
        return pxar.open_reader(str(ctx.out("archive.mpxar")), str(ctx.out("archive.ppxar")))
    return pxar.open_reader(str(ctx.out("archive.pxar")))


def pattern(text: str) -> bytes:
    """A line of a list of patterns as the adapter gets it; name text it is not."""
    return text.encode("utf-8", "surrogateescape")


def selection(ctx: Context) -> Selection:
    return Selection([parse(pattern(p)) for p in ctx.args.get("exclude", [])])


@check("archive-holds-tree")
def archive_holds_tree(ctx: Context, ignore: list[str] | None = None) -> None:
    """The archive in OUTDIR, read by the oracle, equals CASEDIR/tree less what is excluded."""
    nodes = archive_tree.capture(written_archive(ctx))
    nodes.pop(archive_tree.CLI_NAME, None)
    none(tree.compare(nodes, tree.scan(str(ctx.tree), selection(ctx)), ignore or []), "archive and tree")


@check("archive-paths")
def archive_paths(ctx: Context, paths: list[str] | None = None, excluded: list[str] | None = None) -> None:
    """The archive's paths without the root; or which paths of the tree are missing in it."""
    found = [to_text(e.path) for e in written_archive(ctx) if e.path and e.path != archive_tree.CLI_NAME]
    if paths is not None:
        same(paths, found, "paths")
    if excluded is not None:
        there = [to_text(p) for p in tree.scan(str(ctx.tree), content=False) if p]
        same(sorted(excluded), sorted(set(there) - set(found)), "left out")


# ---- extracted trees ----

@check("target-equals-tree")
def target_equals_tree(ctx: Context, ignore: list[str] | None = None, exclude: list[str] | None = None) -> None:
    """OUTDIR/target equals CASEDIR/tree."""
    chosen = Selection([parse(pattern(p)) for p in exclude or []])
    none(tree.compare(tree.scan(str(ctx.out("target"))), tree.scan(str(ctx.tree), chosen), ignore or []), "target and tree")


@check("target-equals-archive")
def target_equals_archive(ctx: Context, ignore: list[str] | None = None) -> None:
    """OUTDIR/target equals the archive in CASEDIR as the oracle reads it."""
    split = (ctx.case_dir / "archive.mpxar").exists()
    reader = pxar.open_reader(str(ctx.case_dir / "archive.mpxar"), str(ctx.case_dir / "archive.ppxar")) if split else \
        pxar.open_reader(str(ctx.case_dir / "archive.pxar"))
    nodes = archive_tree.capture(reader)
    tree.canonical_acls(nodes)
    none(tree.compare(tree.scan(str(ctx.out("target"))), nodes, ignore or []), "target and archive")


def target_view(target: Path) -> list[dict[str, Any]]:
    """A directory as entries of a view, the root left out."""
    out = []
    for path, node in tree.scan(str(target)).items():
        if not path:
            continue
        one: dict[str, Any] = {"path": to_text(path), "kind": node.kind, "mode": f"{node.mode & 0o7777:04o}", "uid": str(node.uid),
                               "gid": str(node.gid), "mtime": mtime_text(node.mtime_ns)}
        if node.kind == "file":
            one |= {"size": str(node.size), "sha256": node.digest}
        if node.target is not None:
            one["target"] = to_text(node.target)
        if node.link is not None:
            one["link"] = to_text(node.link)
        if node.xattrs:
            one["xattrs"] = {to_text(k): v.hex() for k, v in node.xattrs.items()}
        out.append(one)
    return out


@check("target-entries")
def target_entries(ctx: Context, entries: list[dict[str, Any]]) -> None:
    """Everything in OUTDIR/target, sorted by path; each entry is contained in what is there."""
    there = sorted(target_view(ctx.out("target")), key=lambda e: e["path"])
    if found := difference(sorted(entries, key=lambda e: e["path"]), there, "target"):
        raise Mismatch(f"{found[0]}: {found[1]}", found[2])


@check("target-bytes")
def target_bytes(ctx: Context, of: str) -> None:
    """The file OUTDIR/target equals a file of CASEDIR."""
    if ctx.out("target").read_bytes() != (ctx.case_dir / of).read_bytes():
        raise Mismatch(f"the bytes of {of}", f"{os.path.getsize(ctx.out('target'))} bytes, different ones")


@check("target-missing-or-empty")
def target_missing(ctx: Context) -> None:
    """Nothing was restored."""
    target = ctx.out_dir / "target"
    if target.is_dir() and not any(target.iterdir()):
        return
    if os.path.lexists(target):
        raise Mismatch("nothing restored", "OUTDIR/target is there")


# ---- datastore and journal ----

@check("store-sound")
def store_sound(ctx: Context, snapshots: str = "") -> None:
    """Everything in the datastore verifies with the oracle; so many snapshots."""
    if ctx.store is None:
        return  # a server whose datastore cannot be looked at
    report = verify(str(ctx.store), ctx.key())
    none(report.problems, "datastore")
    if snapshots:
        same(int(snapshots), report.snapshots, "snapshots")


def reader_of(ctx: Context, archive: str, snapshot: str = "") -> pxar.Reader:
    """The oracle's reader over an archive of the last snapshot, or of TYPE/ID/TIME."""
    store = Store(str(ctx.the_store()), ctx.key())
    try:
        return store.reader(store.find(snapshot or ctx.snapshot), archive)
    except FileNotFoundError as e:
        raise Mismatch(f"snapshot {snapshot or ctx.snapshot}", str(e)) from None


@check("snapshot-holds")
def snapshot_holds(ctx: Context, archive: str, snapshot: str = "", exclude: list[str] | None = None,
                   ignore: list[str] | None = None) -> None:
    """An archive of the last snapshot (or of TYPE/ID/TIME), read by the oracle, equals CASEDIR/tree."""
    nodes = archive_tree.capture(reader_of(ctx, archive, snapshot))
    nodes.pop(archive_tree.CLI_NAME, None)
    chosen = Selection([parse(normalise(pattern(p))) for p in exclude or []])
    none(tree.compare(nodes, tree.scan(str(ctx.tree), chosen), ignore or []), f"{archive} and tree")


@check("no-snapshot")
def no_snapshot(ctx: Context) -> None:
    """No finished snapshot: none with a manifest."""
    there = [s.path for s in Store(str(ctx.the_store())).snapshots() if (ctx.the_store() / s.path / "index.json.blob").exists()]
    same([], there, "finished snapshots")


def events(ctx: Context, event: str, where: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Journal lines of an event whose members equal `where`; numbers as decimal strings."""
    def equal(wanted: Any, value: Any) -> bool:
        return wanted == (str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    return [line for line in ctx.journal if line["event"] == event
            and all(equal(v, line.get(k)) for k, v in (where or {}).items())]


@check("journal")
def journal(ctx: Context, event: str, where: dict[str, Any] | None = None, count: str = "", at_least: str = "", at_most: str = "") -> None:
    """How often an event is in the server's journal: count, or at-least and at-most."""
    number = len(events(ctx, event, where))
    what = f"{event} {where or ''}".strip()
    if count:
        same(int(count), number, f"journal: {what}")
    if at_least and number < int(at_least):
        raise Mismatch(f"journal: {what}: at least {at_least}", number)
    if at_most and number > int(at_most):
        raise Mismatch(f"journal: {what}: at most {at_most}", number)


def uploads(ctx: Context, archive: str) -> list[dict[str, Any]]:
    """Chunk uploads to the index of a name."""
    wids = {(line["conn"], line["wid"]) for line in events(ctx, "index-create", {"name": archive})}
    return [line for line in events(ctx, "chunk") if (line["conn"], line["wid"]) in wids]


@check("uploaded-at-most")
def uploaded_at_most(ctx: Context, archive: str, bytes: str) -> None:
    """Plain bytes of the chunks uploaded for an index."""
    total = sum(int(line["size"]) for line in uploads(ctx, archive))
    if total > int(bytes):
        raise Mismatch(f"at most {bytes} bytes uploaded for {archive}", total)


@check("reuse-invariants")
def reuse_invariants(ctx: Context, archive: str) -> None:
    """What any correct re-use keeps: the oracle reads everything, references valid and strictly increasing."""
    reader = reader_of(ctx, archive)
    if reader.payload is None:
        raise Mismatch("a split archive", "one stream")
    for entry in reader:  # the strict reader checks order, bounds and headers of references
        if entry.kind == "file":
            archive_tree.content_digest(reader, entry)
