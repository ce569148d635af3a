#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Template of an adapter: fill in the verbs that your implementation can do and delete the others (spec/adapters.md).

A verb returns ACCEPTED or REJECTED; an exception or a signal counts as a crash of the implementation. (Python alone would end with 1
after an exception, which means "rejected": hence the last lines.)
"""
import json
import sys
import traceback
from pathlib import Path

ACCEPTED, REJECTED, UNSUPPORTED, CRASH = 0, 1, 127, 70


class Call:
    """CASEDIR, OUTDIR and the options of a case."""

    def __init__(self, case_dir: str, out_dir: str) -> None:
        self.case, self.out = Path(case_dir), Path(out_dir)

    def option(self, name: str) -> str | None:
        """The value; "" for an option that is just set; None if it is not there."""
        path = self.case / "args" / name
        return path.read_text() if path.exists() else None

    def options(self, name: str) -> list[str]:
        """The values of a list."""
        return (self.option(name) or "").split("\n")[:-1]

    def view(self, value: object) -> int:
        """Numbers as decimal strings, bytes as hex, names as name text."""
        (self.out / "view.json").write_text(json.dumps(value))
        return ACCEPTED


# ---- reader ----

def pxar_entries(call: Call) -> int:
    """archive.pxar, or archive.mpxar + archive.ppxar -> view: version, prelude, entries."""
    return UNSUPPORTED


def pxar_items(call: Call) -> int:
    """The archive's items -> view: items [{type, offset, size}]."""
    return UNSUPPORTED


def pxar_verify(call: Call) -> int:
    """REJECTED if anything in the archive is inconsistent."""
    return UNSUPPORTED


def pxar_lookup(call: Call) -> int:
    """paths -> view: found [entry or null], through goodbye tables."""
    return UNSUPPORTED


def pxar_extract(call: Call) -> int:
    """The archive -> OUTDIR/target."""
    return UNSUPPORTED


def blob_decode(call: Call) -> int:
    """blob, perhaps key.json -> OUTDIR/plain and view: kind."""
    return UNSUPPORTED


def index_decode(call: Call) -> int:
    """archive.didx or archive.fidx -> view: kind, uuid, ctime, csum, size, chunk-size, chunks, lookups."""
    return UNSUPPORTED


def catalog_decode(call: Call) -> int:
    """catalog.pcat1 -> view: entries."""
    return UNSUPPORTED


def manifest_verify(call: Call) -> int:
    """index.json or index.json.blob, perhaps key.json -> view: backup-type, ..., files, signed."""
    return UNSUPPORTED


def key_open(call: Call) -> int:
    """key.json, option passphrase -> view: kdf, created, modified, fingerprint, hint."""
    return UNSUPPORTED


# ---- writer, chunker ----

def pxar_create(call: Call) -> int:
    """CASEDIR/tree -> OUTDIR/archive.pxar, or with option split archive.mpxar and archive.ppxar."""
    return UNSUPPORTED


def blob_encode(call: Call) -> int:
    """plain, perhaps key.json, option compress -> OUTDIR/blob."""
    return UNSUPPORTED


def chunk(call: Call) -> int:
    """data, option avg or fixed, perhaps key.json -> view: chunks [{end, digest}]."""
    return UNSUPPORTED


def chunk_stream(call: Call) -> int:
    """data, script, option avg -> view: result [{kind, size, end}]."""
    return UNSUPPORTED


# ---- client ----

def backup(call: Call) -> int:
    """One backup of the options' archives to the options' repository."""
    return UNSUPPORTED


def restore(call: Call) -> int:
    """An archive of a snapshot -> OUTDIR/target."""
    return UNSUPPORTED


# ---- server ----

def serve(call: Call) -> int:
    """Starts a server, writes OUTDIR/server.json, stays until SIGTERM."""
    return UNSUPPORTED


VERBS = {"pxar-entries": pxar_entries, "pxar-items": pxar_items, "pxar-verify": pxar_verify, "pxar-lookup": pxar_lookup,
         "pxar-extract": pxar_extract, "blob-decode": blob_decode, "index-decode": index_decode, "catalog-decode": catalog_decode,
         "manifest-verify": manifest_verify, "key-open": key_open, "pxar-create": pxar_create, "blob-encode": blob_encode,
         "chunk": chunk, "chunk-stream": chunk_stream, "backup": backup, "restore": restore, "serve": serve}

if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print("template 1")  # or print the reason to stderr and exit with 1, if the implementation is not installed
        sys.exit(0)
    verb, case_dir, out_dir = sys.argv[1:]
    try:
        status = VERBS[verb](Call(case_dir, out_dir)) if verb in VERBS else UNSUPPORTED
    except Exception:
        traceback.print_exc()
        status = CRASH
    sys.exit(status)
