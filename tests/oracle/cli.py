# SPDX-License-Identifier: MIT
"""Command line of the oracle.

  list STORE                                  snapshots, one JSON object a line
  verify STORE [--keyfile F] [--average ENDING=BYTES ...]
  restore STORE SNAPSHOT ARCHIVE TARGET       pxar archives to a directory, others to a file
  compare STORE SNAPSHOT ARCHIVE SOURCE_TREE  an archive against a directory, without extracting
  pxar-dump FILE [--payload-input P]          all entries as JSON
  pxar-extract FILE TARGET [--payload-input P]
  pxar-compare FILE SOURCE_TREE [--payload-input P]
  pxar-create SOURCE FILE [--payload-output P] [--exclude PATTERN ...]
  tree-diff A B [--ignore what,what]          two directories
  index-dump FILE, catalog-dump FILE, blob-decode FILE [TARGET], chunk-ends FILE --average BYTES

SNAPSHOT is [ns/NAME/...]TYPE/ID/TIME, TIME may be `latest`. A protected key file takes its
passphrase from PBS_ENCRYPTION_PASSWORD. Exit status: 0 fine, 1 difference or failure, 2 usage,
3 malformed data.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable

from . import archive_tree, blob, catalog, chunker, index, pxar, pxar_write, tree
from .archive_tree import CLI_NAME
from .crypto import Key, load_key
from .datastore import MANIFEST, Store
from .errors import OracleError
from .patterns import Selection
from .verify import flat_catalog, verify

Args = argparse.Namespace


def key_of(args: Args) -> Key | None:
    if not args.keyfile:
        return None
    return load_key(args.keyfile, os.environb.get(b"PBS_ENCRYPTION_PASSWORD"))


def do_list(args: Args) -> int:
    store = Store(args.store, key_of(args))
    for snapshot in store.snapshots():
        value = {"snapshot": snapshot.path, "owner": store.owner(snapshot),
                 "finished": os.path.exists(store.full(snapshot, MANIFEST))}
        if value["finished"]:
            found = store.manifest(snapshot)
            value["signed"] = found.signature is not None
            value["files"] = [{"name": f.filename, "size": f.size, "crypt-mode": f.crypt_mode,
                               "csum": f.csum.hex()} for f in found.files]
        print(json.dumps(value))
    return 0


def do_verify(args: Args) -> int:
    pairs = [average.rpartition("=") for average in args.average]
    averages = {ending: int(value) for ending, _, value in pairs}
    report = verify(args.store, key_of(args), averages)
    for problem in report.problems:
        print(problem)
    print(f"{report.snapshots} snapshots, {report.files} files, {report.chunks} chunks verified, "
          f"{report.unreferenced} unreferenced, {report.bad} bad, {len(report.problems)} problems")
    return 1 if report.problems else 0


def do_restore(args: Args) -> int:
    store = Store(args.store, key_of(args))
    snapshot = store.find(args.snapshot)
    stored = index.stored_name(args.archive)
    if stored.endswith(("pxar.didx", ".pxar.meta.didx")) and not args.raw:
        print(archive_tree.extract(store.reader(snapshot, args.archive), args.target), "entries")
    else:
        store.copy(snapshot, args.archive, args.target)
    return 0


def show(differences: list[str]) -> int:
    for line in differences:
        print(line)
    return 1 if differences else 0


def compare_archive(reader: pxar.Reader, args: Args) -> int:
    """Archive first, directory second; patterns select as at creation."""
    nodes = archive_tree.capture(reader)
    options = pxar_write.Options([os.fsencode(p) for p in args.exclude], args.normalise,
                                 args.skip_lost_and_found)
    nodes.pop(CLI_NAME, None)  # CRT-022, CRT-056
    wanted = tree.scan(args.source, Selection(options.patterns()))
    return show(tree.compare(nodes, wanted, ignored(args)))


def ignored(args: Args) -> list[str]:
    return [name for part in args.ignore for name in part.split(",") if name]


def do_compare(args: Args) -> int:
    store = Store(args.store, key_of(args))
    return compare_archive(store.reader(store.find(args.snapshot), args.archive), args)


def do_pxar_compare(args: Args) -> int:
    return compare_archive(pxar.open_reader(args.file, args.payload_input, args.lax), args)


def do_dump(args: Args) -> int:
    reader = pxar.open_reader(args.file, args.payload_input, args.lax)
    status, separator, tail = 0, "", "]"
    sys.stdout.write('{"entries":[')
    try:
        for entry in reader:
            sys.stdout.write(separator + "\n" + json.dumps(archive_tree.as_json(entry)))
            separator = ","
    except OracleError as e:
        error = {"rule": e.rule, "offset": e.offset, "text": e.text}
        status, tail = 3, "],\n\"error\":" + json.dumps(error)
    prelude = None if reader.prelude is None else os.fsdecode(reader.prelude)
    print(f'\n{tail},\n"version":{reader.version},\n"prelude":{json.dumps(prelude)}}}')
    return status


def do_extract(args: Args) -> int:
    reader = pxar.open_reader(args.file, args.payload_input, args.lax)
    print(archive_tree.extract(reader, args.target), "entries")
    return 0


def do_create(args: Args) -> int:
    options = pxar_write.Options([os.fsencode(p) for p in args.exclude], args.normalise,
                                 args.skip_lost_and_found, args.all_file_systems, draft=args.draft)
    with open(args.file, "xb") as archive:
        if not args.payload_output:
            pxar_write.create(args.source, archive, None, options)
            return 0
        with open(args.payload_output, "xb") as payload:
            pxar_write.create(args.source, archive, payload, options)
    return 0


def do_diff(args: Args) -> int:
    return show(tree.compare(tree.scan(args.a), tree.scan(args.b), ignored(args)))


def read(path: str) -> bytes:
    with open(path, "rb") as f:
        return f.read()


def do_index(args: Args) -> int:
    found = index.parse(read(args.file))
    print(json.dumps({"kind": found.kind, "uuid": found.uuid.hex(), "ctime": found.ctime,
                      "csum": found.csum.hex(), "size": found.size, "chunk-size": found.chunk_size,
                      "chunks": [[s, e, d.hex()] for s, e, d in found.chunks]}))
    return 0


def do_catalog(args: Args) -> int:
    for letter, path, size, mtime in flat_catalog(catalog.parse(read(args.file))):
        print(json.dumps([letter, os.fsdecode(path), size, mtime]))
    return 0


def do_blob(args: Args) -> int:
    data = blob.decode(read(args.file), key_of(args))
    if args.target:
        with open(args.target, "xb") as f:
            f.write(data)
    else:
        sys.stdout.buffer.write(data)
    return 0


def do_chunks(args: Args) -> int:
    print(json.dumps(chunker.fast_cuts(read(args.file), args.average)))
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="oracle.py", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Callable[[Args], int], *names: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name)
        sub.set_defaults(run=run)
        for one in names:
            sub.add_argument(one)
        return sub

    def key(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--keyfile")
        return sub

    def pxar_file(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--payload-input")
        sub.add_argument("--lax", action="store_true", help="accept decreasing payload references")
        return sub

    def selecting(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--exclude", action="append", default=[])
        sub.add_argument("--normalise", action="store_true", help="patterns as the client >= 4.2.0")
        sub.add_argument("--skip-lost-and-found", action="store_true")
        return sub

    def ignoring(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--ignore", action="append", default=[], metavar=",".join(tree.IGNORABLE))
        return sub

    key(verb("list", do_list, "store"))
    key(verb("verify", do_verify, "store")).add_argument("--average", action="append", default=[])
    sub = key(verb("restore", do_restore, "store", "snapshot", "archive", "target"))
    sub.add_argument("--raw", action="store_true", help="the archive stream itself, as a file")
    ignoring(selecting(key(verb("compare", do_compare, "store", "snapshot", "archive", "source"))))
    pxar_file(verb("pxar-dump", do_dump, "file"))
    pxar_file(verb("pxar-extract", do_extract, "file", "target"))
    ignoring(selecting(pxar_file(verb("pxar-compare", do_pxar_compare, "file", "source"))))
    sub = selecting(verb("pxar-create", do_create, "source", "file"))
    sub.add_argument("--payload-output")
    sub.add_argument("--draft", action="store_true", help="split as draft-split does")
    sub.add_argument("--all-file-systems", action="store_true")
    ignoring(verb("tree-diff", do_diff, "a", "b"))
    verb("index-dump", do_index, "file")
    verb("catalog-dump", do_catalog, "file")
    key(verb("blob-decode", do_blob, "file")).add_argument("target", nargs="?")
    verb("chunk-ends", do_chunks, "file").add_argument("--average", type=int, required=True)
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except OracleError as e:
        print(f"malformed: {e}", file=sys.stderr)
        return 3
    except (OSError, ValueError) as e:
        print(f"failed: {e}", file=sys.stderr)
        return 1
