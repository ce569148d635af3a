# SPDX-License-Identifier: MIT
"""Checks of client cases: what is in a snapshot, how chunks are stored, what was sent, what a restore gave."""
from __future__ import annotations

import hashlib
from typing import Any

from conformance.check_basic import events, same
from conformance.checks import Context, Mismatch, check
from conformance.generate import source
from oracle import blob
from oracle.datastore import Store


def snapshot_of(ctx: Context, snapshot: str = "") -> tuple[Store, Any]:
    store = Store(str(ctx.the_store()), ctx.key())
    try:
        return store, store.find(snapshot or ctx.snapshot)
    except FileNotFoundError as e:
        raise Mismatch(f"snapshot {snapshot or ctx.snapshot}", str(e)) from None


@check("manifest-files")
def manifest_files(ctx: Context, files: list[str], mode: str = "none", snapshot: str = "", signed: bool = False, ordered: bool = False) -> None:
    """Names in the manifest, all of one crypt mode; signed with the case's key or not at all."""
    store, found = snapshot_of(ctx, snapshot)
    value = store.manifest(found)
    names = [f.filename for f in value.files]
    same(files if ordered else sorted(files), names if ordered else sorted(names), "files of the manifest")
    same({mode} if files else set(), {f.crypt_mode for f in value.files}, "crypt modes")
    same(signed, value.signature is not None, "signed")


@check("chunks-encrypted")
def chunks_encrypted(ctx: Context, encrypted: bool = True) -> None:
    """Every chunk and every blob but the manifest is encrypted, or none is."""
    root = ctx.the_store()
    paths = [p for p in (root / ".chunks").glob("*/*") if len(p.name) == 64]
    paths += [p for p in root.glob("**/*.blob") if p.name != "index.json.blob"]
    wrong = [p.name for p in paths if blob.parse(p.read_bytes()).encrypted != encrypted]
    same([], wrong, f"{'not encrypted' if encrypted else 'encrypted'} although they must {'be' if encrypted else 'not be'}")
    if not paths:
        raise Mismatch("chunks", "none")


@check("stored-file")
def stored_file(ctx: Context, archive: str, of: dict[str, Any] | None = None, path: str = "", snapshot: str = "") -> None:
    """Contents of an image or a blob of the last snapshot: a source, or a file of CASEDIR."""
    store, found = snapshot_of(ctx, snapshot)
    wanted = source(of) if of is not None else (ctx.case_dir / path).read_bytes()
    value = store.manifest(found)
    if archive.endswith(".blob"):
        data = store.blob(found, value.file(archive))
    else:
        stream = store.stream(found, archive, value)
        data = b"".join(stream.blocks(0, stream.size))
    if data != wanted:
        raise Mismatch(f"{archive}: {len(wanted)} bytes, SHA-256 {hashlib.sha256(wanted).hexdigest()}",
                       f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()}")


@check("restored")
def restored(ctx: Context, of: dict[str, Any] | None = None, path: str = "") -> None:
    """OUTDIR/target is a file with the bytes of a source, or of a file of CASEDIR."""
    wanted = source(of) if of is not None else (ctx.case_dir / path).read_bytes()
    data = ctx.out("target").read_bytes()
    if data != wanted:
        raise Mismatch(f"{len(wanted)} bytes, SHA-256 {hashlib.sha256(wanted).hexdigest()}", f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()}")


@check("restored-files")
def restored_files(ctx: Context, files: dict[str, str], missing: list[str] | None = None) -> None:
    """Files below OUTDIR/target by SHA-256 of their contents, and names that must not be there."""
    for name, digest in files.items():
        path = ctx.out("target") / name
        if not path.is_file():
            raise Mismatch(f"target/{name}", "no such file")
        same(digest, hashlib.sha256(path.read_bytes()).hexdigest(), f"SHA-256 of {name}")
    there = [name for name in missing or [] if (ctx.out("target") / name).exists()]
    same([], there, "names that were not asked for")


@check("requests")
def requests(ctx: Context, method: str, path: str, at_most: str) -> None:
    """How often the client asked."""
    found = [e for e in events(ctx, "request") if e.get("method") == method and str(e.get("path", "")).split("?")[0] == path]
    if len(found) > int(at_most):
        raise Mismatch(f"{method} {path}: at most {at_most}", len(found))


@check("acknowledged-first")
def acknowledged_first(ctx: Context) -> None:
    """Chunks are appended after they became known to the session, never before, and the index is closed with what was appended."""
    known: dict[Any, set[str]] = {}
    counts: dict[Any, int] = {}
    for line in ctx.journal:
        session = line.get("conn")
        if line["event"] == "chunk":
            known.setdefault(session, set()).add(line["digest"])
        elif line["event"] == "index-append":
            counts[session, line["wid"]] = counts.get((session, line["wid"]), 0) + len(line["digests"])
            if len(line["digests"]) > 512:
                raise Mismatch("at most 512 entries in an append", len(line["digests"]))
        elif line["event"] == "index-close":
            same(counts.get((session, line["wid"])), line["chunk-count"], "chunk count of a close")


@check("chunk-limits")
def chunk_limits(ctx: Context, largest: str, at_least: str) -> None:
    """Sizes and number of the chunks that were sent."""
    sizes = [int(e["size"]) for e in events(ctx, "chunk")]
    if len(sizes) < int(at_least) or max(sizes, default=0) > int(largest):
        raise Mismatch(f"at least {at_least} chunks of at most {largest} bytes", sorted(sizes))


@check("not-restored")
def not_restored(ctx: Context) -> None:
    """A refused restore leaves no file that looks whole: nothing, or something that is empty."""
    target = ctx.out_dir / "target"
    if target.exists() and (target.stat().st_size if target.is_file() else any(target.iterdir())):
        raise Mismatch("no target, or an empty one", f"{target.stat().st_size} bytes")
