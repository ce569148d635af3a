# SPDX-License-Identifier: MIT
"""Snapshots with exactly one defect, consistent in everything else, put straight into a datastore.

A small tree is encoded by the oracle's writer, one thing is altered, and then chunks, digests, index checksums and manifest
are made to fit: a verification of chunks finds nothing wrong. `SPLIT` and `LEGACY` list such defects with the finding that
names each; `Split` and `Legacy` are the intact material, for defects of one's own:

    work = Split()
    work.set_ref(b"c", offset=16)
    write(store, "host/bad", work.files())
"""
from __future__ import annotations

import hashlib
import io
import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import support  # noqa: F401  puts the oracle on the path

from oracle import blob, catalog, index, manifest, pxar
from oracle.crypto import Key
from oracle.datastore import time_text
from oracle.pxar_items import CODE, GOODBYE_RECORD, HEADER, Content, Entry, Link
from oracle.pxar_write import Encoder

TIME = 1_700_000_000
META, PAYLOAD = "root.mpxar.didx", "root.ppxar.didx"
ARCHIVE, CATALOG, CONF = "root.pxar.didx", "catalog.pcat1.didx", "etc.conf.blob"


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


# ---- a datastore ----

@dataclass
class Stream:
    """Contents of an index: bytes, and where they are cut; `fixed` for images (chunk size)."""
    data: bytes
    cuts: list[int] = field(default_factory=list)
    mode: str = "none"
    fixed: int = 0

    def pieces(self) -> list[bytes]:
        if self.fixed:
            return [self.data[at:at + self.fixed] for at in range(0, len(self.data), self.fixed)]
        ends = sorted({c for c in self.cuts if 0 < c < len(self.data)} | {len(self.data)})
        return [self.data[a:b] for a, b in zip([0, *ends], ends)]


def chunk_file(store: Path, digest: bytes) -> Path:
    return store / ".chunks" / digest.hex()[:4] / digest.hex()


def put_chunk(store: Path, data: bytes, key: Key | None) -> bytes:
    digest = blob.digest_of(data, key is not None, key)
    path = chunk_file(store, digest)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob.encode(data, key=key, iv=os.urandom(16)))
    return digest


def index_bytes(stream: Stream, digests: list[bytes]) -> bytes:
    if stream.fixed:
        return index.build_fixed(len(stream.data), stream.fixed, digests, bytes(16), TIME)
    ends, end = [], 0
    for piece, digest in zip(stream.pieces(), digests):
        end += len(piece)
        ends.append((end, digest))
    return index.build_dynamic(ends, bytes(16), TIME)


def write(store: Path, group: str, files: dict[str, Stream | bytes], key: Key | None = None, time: int = TIME,
          edit: Callable[[manifest.Manifest], None] | None = None) -> str:
    """Puts a snapshot into the datastore; `bytes` are blob files as stored. Returns its path.

    `edit` changes the manifest before it is signed (with `key`) and stored.
    """
    kind, name = group.split("/")
    found = manifest.Manifest(kind, name, time)
    folder = store / group / time_text(time)
    folder.mkdir(parents=True)
    (store / group / "owner").write_text("root@pam\n")
    for filename, content in files.items():
        if isinstance(content, bytes):
            raw, size, csum, mode = content, len(content), hashlib.sha256(content).digest(), "none"
        else:
            sealing = key if content.mode == "encrypt" else None
            raw = index_bytes(content, [put_chunk(store, piece, sealing) for piece in content.pieces()])
            size, csum, mode = len(content.data), hashlib.sha256(raw[index.HEADER_SIZE:]).digest(), content.mode
        (folder / filename).write_bytes(raw)
        found.files.append(manifest.File(filename, size, csum, mode))
    if edit:
        edit(found)
    store_manifest(folder, found, key)
    return f"{group}/{time_text(time)}"


def store_manifest(folder: Path, found: manifest.Manifest, key: Key | None = None) -> None:
    if key:
        found.unprotected = {"key-fingerprint": key.fingerprint_text()}
        found.signature = manifest.signature(found, key)
    (folder / "index.json.blob").write_bytes(blob.encode(manifest.text_form(found).encode()))


# ---- archives ----

def stat(path: bytes, kind: str = "file", size: int = 0, header: int = 0, mtime: int = TIME) -> Entry:
    mode = {"file": 0o100644, "dir": 0o40755, "symlink": 0o120777}[kind]
    content = Content("", header, 0, size) if kind == "file" else None
    return Entry(path, kind, 0, 0, mode, mtime_secs=mtime, content=content)


class Archive:
    """What both forms share: entries by path, goodbye tables, edits in place."""

    def __init__(self) -> None:
        self.meta = bytearray()  # the archive stream
        self.cuts: list[int] = []

    def intact_entries(self) -> list[Entry]:
        raise NotImplementedError

    def find(self, path: bytes) -> Entry:
        return next(e for e in self.intact if e.path == path)

    intact: list[Entry]

    def keep(self) -> None:
        """Notes where everything is, before it is altered."""
        self.intact = self.intact_entries()

    def put(self, at: int, data: bytes) -> None:
        self.meta[at:at + len(data)] = data

    def item(self, path: bytes, kind: str) -> int:
        """Position of an item's header."""
        return next(i.offset for i in self.find(path).items if i.type == kind)

    def table(self, path: bytes) -> tuple[int, list[tuple[int, int, int]]]:
        """Position of the first goodbye record of a directory, and the records with the tail."""
        end = self.find(path).end
        size = GOODBYE_RECORD.unpack_from(self.meta, end - 24)[2]
        first = end - size + 16
        return first, list(GOODBYE_RECORD.iter_unpack(bytes(self.meta[first:end])))

    def set_record(self, path: bytes, number: int, **change: int) -> None:
        first, records = self.table(path)
        number %= len(records)
        values = dict(zip(("hash", "offset", "size"), records[number])) | change
        self.put(first + 24 * number, GOODBYE_RECORD.pack(values["hash"], values["offset"], values["size"]))

    def record_of(self, directory: bytes, name: bytes) -> int:
        """Number of the record of a child."""
        first, records = self.table(directory)
        goodbye = first - 16
        start = self.find(directory + b"/" + name if directory else name).start
        return next(i for i, r in enumerate(records[:-1]) if goodbye - r[1] == start)

    def swap_records(self, path: bytes, one: int, two: int) -> None:
        first, records = self.table(path)
        self.put(first + 24 * one, GOODBYE_RECORD.pack(*records[two]))
        self.put(first + 24 * two, GOODBYE_RECORD.pack(*records[one]))


Item = tuple[str, bytes, object]  # how an entry is made: see compose


def compose(encoder: Encoder, items: list[Item], closed: bool = True) -> None:
    """Encodes entries: ("file", path, bytes) new content, ("ref", path, (offset, size)), ("dir", path, None), ("up", b"",
    None) end of a directory, ("link", path, target), ("symlink", path, target). The root is there already if `closed`."""
    starts: dict[bytes, int] = {}
    encoder.open_dir(None, stat(b"", "dir"))
    for kind, path, value in items:
        name = path.rpartition(b"/")[2]
        starts[path] = encoder.pos
        if kind == "file":
            assert isinstance(value, bytes)
            encoder.file(name, stat(path, size=len(value)), io.BytesIO(value))
        elif kind == "ref":
            assert isinstance(value, tuple)
            encoder.file(name, stat(path, size=value[1], header=value[0]), None)
        elif kind == "dir":
            encoder.open_dir(name, stat(path, "dir"))
        elif kind == "up":
            encoder.close_dir()
        elif kind == "link":
            assert isinstance(value, bytes)
            encoder.leaf(name, Entry(path, "hardlink", 0, 0, link=Link(value, 0, starts[value])))
        else:
            assert isinstance(value, bytes)
            entry = stat(path, "symlink")
            entry.target = value
            encoder.leaf(name, entry)
    if closed:
        encoder.close_dir()


TREE: list[Item] = [
    ("file", b"a", noise(1, 60_000)), ("file", b"b0", noise(2, 6000)), ("file", b"b1", noise(3, 6000)),
    ("file", b"c", noise(4, 40_000)), ("dir", b"dir", None), ("file", b"dir/x", noise(5, 3000)),
    ("file", b"dir/y", noise(6, 50_000)), ("link", b"dir/z", b"a"), ("up", b"", None), ("file", b"empty", b""),
    ("symlink", b"ln", b"dir/x"), ("dir", b"sub", None), ("file", b"sub/s", noise(7, 6000)), ("up", b"", None),
    ("file", b"tail", noise(8, 6000)),
]


class Split(Archive):
    """A split archive of TREE, or of `items`; every file's record begins a chunk, and both markers have one of their own."""

    def __init__(self, items: list[Item] | None = None, payload: bytes | None = None, cuts: list[int] | None = None,
                 closed: bool = True) -> None:
        super().__init__()
        archive, written = io.BytesIO(), io.BytesIO()
        encoder = Encoder(archive, written, None)
        compose(encoder, TREE if items is None else items, closed)
        self.meta = bytearray(archive.getvalue())
        self.payload = bytearray(written.getvalue() if payload is None else payload)
        if closed:
            self.keep()
        self.payload_cuts = cuts if cuts is not None else self.records()

    def intact_entries(self) -> list[Entry]:
        return pxar.parse(bytes(self.meta), bytes(self.payload), lax_refs=True)

    def records(self) -> list[int]:
        return [16, *(e.content.header for e in self.intact if e.content), len(self.payload) - 16]

    def ref(self, path: bytes) -> tuple[int, int]:
        content = self.find(path).content
        assert content
        return content.header, content.size

    def set_ref(self, path: bytes, offset: int | None = None, size: int | None = None) -> None:
        old = self.ref(path)
        at = self.item(path, "PAYLOAD_REF") + 16
        self.put(at, struct.pack("<QQ", old[0] if offset is None else offset, old[1] if size is None else size))

    def put_payload(self, at: int, data: bytes) -> None:
        self.payload[at:at + len(data)] = data

    def files(self) -> dict[str, Stream | bytes]:
        return {PAYLOAD: Stream(bytes(self.payload), self.payload_cuts), META: Stream(bytes(self.meta), self.cuts)}


class Legacy(Archive):
    """One stream, with catalog and a conf."""

    def __init__(self) -> None:
        super().__init__()
        archive = io.BytesIO()
        compose(Encoder(archive, None, None), TREE)
        self.meta = bytearray(archive.getvalue())
        self.keep()
        top = self.catalog_items()
        self.items = [catalog.Item("d", ARCHIVE.encode(), children=top)]
        self.catalog: bytes | None = None  # instead of what the items make

    def intact_entries(self) -> list[Entry]:
        return pxar.parse(bytes(self.meta))

    def catalog_items(self) -> list[catalog.Item]:
        letters = {"dir": "d", "file": "f", "symlink": "l", "hardlink": "h"}
        by_path: dict[bytes, list[catalog.Item]] = {b"": []}
        for e in self.intact[1:]:
            above, _, name = e.path.rpartition(b"/")
            one = catalog.Item(letters[e.kind], name, e.content.size if e.content else 0, e.mtime_secs)
            by_path[above].append(one)
            if e.kind == "dir":
                by_path[e.path] = one.children
        return by_path[b""]

    def catalog_item(self, path: bytes) -> tuple[list[catalog.Item], int]:
        """The list that an entry is in, and its place there."""
        level = self.items[0].children
        *above, name = path.split(b"/")
        for part in above:
            level = next(i for i in level if i.name == part).children
        return level, next(n for n, i in enumerate(level) if i.name == name)

    def files(self) -> dict[str, Stream | bytes]:
        stored = self.catalog if self.catalog is not None else catalog.build(self.items)
        return {ARCHIVE: Stream(bytes(self.meta), self.cuts), CONF: blob.encode(b"key: value\n" * 20), CATALOG: Stream(stored)}


# ---- defects ----

@dataclass(frozen=True)
class Defect:
    """What is altered, and the finding that must name it. `path` is as the finding shows it, None: none."""
    id: str
    apply: Callable[..., object]  # of the work; may return other work
    name: str
    rule: str
    file: str
    path: str | None = None
    known: str | None = None  # ID of the known historical defect
    level: str = "error"
    exact: bool = True        # no other finding at all


def _swap_refs(w: Split) -> None:
    one, two = w.ref(b"b1"), w.ref(b"sub/s")
    w.set_ref(b"b1", offset=two[0])
    w.set_ref(b"sub/s", offset=one[0])


HELD = noise(10, 6000), noise(11, 6000), noise(12, 6000)


def record(data: bytes) -> bytes:
    return HEADER.pack(CODE["PAYLOAD"], 16 + len(data)) + data


START, TAIL = HEADER.pack(CODE["PAYLOAD_START"], 16), HEADER.pack(CODE["PAYLOAD_TAIL"], 16)


def held_chunk() -> Split:
    """As scenario D3 of a client that compared digests only: the held chunk of b0..b2 was taken for that of d0..d2."""
    a, e, new = noise(13, 30_000), noise(14, 30_000), noise(15, 500)
    small = b"".join(map(record, HELD))
    parts = [START, record(a), small, record(new), record(e), TAIL]
    at = [sum(map(len, parts[:i])) for i in range(len(parts))]
    items: list[Item] = [("ref", b"a", (at[1], len(a))), ("ref", b"b0", (at[2], 6000)), ("ref", b"b1", (at[2] + 6016, 6000)),
                         ("ref", b"d0", (at[2], 6000)), ("ref", b"d1", (at[3], len(new))), ("ref", b"e", (at[4], len(e)))]
    return Split(items, b"".join(parts), at[1:])


def repeated_chunk() -> Split:
    """p1 was removed, and the chunk of p0..p2 put once more at the hole."""
    small = b"".join(map(record, HELD))
    parts = [START, small, small, TAIL]
    items: list[Item] = [("ref", b"p0", (16, 6000)), ("ref", b"p2", (16 + len(small) + 2 * 6016, 6000))]
    return Split(items, b"".join(parts), [16, 16 + len(small), 16 + 2 * len(small)])


def overlap() -> Split:
    """The record of y lies inside the contents of x."""
    x = noise(16, 100) + record(b"inside") + noise(17, 100)
    items: list[Item] = [("ref", b"x", (16, len(x))), ("ref", b"y", (16 + 16 + 100, 6))]
    return Split(items, START + record(x) + TAIL, [16, 32 + len(x)])


def not_closed() -> Split:
    items: list[Item] = [("file", b"a", noise(18, 100)), ("dir", b"stale", None), ("file", b"stale/b", noise(19, 100)),
                         ("up", b"", None)]
    archive, payload = io.BytesIO(), io.BytesIO()
    encoder = Encoder(archive, payload, None)
    compose(encoder, items, closed=False)
    payload.write(TAIL)
    work = Split()
    work.meta, work.payload = bytearray(archive.getvalue()), bytearray(payload.getvalue())
    work.payload_cuts = [16, len(work.payload) - 16]
    return work


def gap_in_first_chunk() -> Split:
    data = noise(20, 1000)
    return Split([("ref", b"f", (16 + 100, len(data)))], START + noise(21, 100) + record(data) + TAIL, [1132])


def gap_in_last_chunk() -> Split:
    data = noise(22, 1000)
    return Split([("ref", b"f", (16, len(data)))], START + record(data) + noise(23, 100) + TAIL, [16, 1032])


def missing_record() -> Split:
    """The goodbye table of dir lacks a child."""
    archive, payload = io.BytesIO(), io.BytesIO()

    class Forgetful(Encoder):
        def close_dir(self) -> None:
            if self.dirs[-1][2] == b"dir":
                self.dirs[-1][3].pop()
            super().close_dir()

    compose(Forgetful(archive, payload, None), TREE)
    work = Split()
    work.meta = bytearray(archive.getvalue())
    return work


def unsorted_names() -> Split:
    return Split([("file", b"b", b"1" * 300), ("file", b"a", b"2" * 300)])


def _nanoseconds(w: Split) -> None:
    w.put(w.item(b"c", "ENTRY") + 16 + 32, struct.pack("<I", 2_000_000_000))


def _unknown_item(w: Split) -> None:
    w.put(w.item(b"dir/y", "ENTRY"), b"\x77" * 8)


def _cut(w: Split) -> None:
    del w.meta[w.item(b"sub/s", "PAYLOAD_REF") + 8:]


def _replace_link_path(w: Split) -> None:
    w.put(w.item(b"dir/z", "HARDLINK") + 24, b"c")


def _tail(w: Archive, **change: int) -> None:
    w.set_record(b"dir", -1, **change)


# in the split archive of a snapshot; the verification of chunks passes in all of them
SPLIT: list[Defect] = [
    Defect("goodbye-swapped", lambda w: w.swap_records(b"", 1, 2), "goodbye-order", "PXAR-170", META, '"/"'),
    Defect("goodbye-hash", lambda w: w.set_record(b"dir", 0, hash=12345), "goodbye-child", "PXAR-151", META, '"/dir"'),
    Defect("goodbye-offset", lambda w: w.set_record(b"dir", 0, offset=7), "goodbye-child", "PXAR-151", META, '"/dir"'),
    Defect("goodbye-size-of-file", lambda w: w.set_record(b"", w.record_of(b"", b"c"), size=3), "goodbye-size", "PXAR-157",
           META, '"/"'),
    Defect("goodbye-size-of-symlink", lambda w: w.set_record(b"", w.record_of(b"", b"ln"), size=3), "goodbye-size",
           "PXAR-154", META, '"/"'),
    Defect("goodbye-tail-offset", lambda w: _tail(w, offset=1), "goodbye-tail", "PXAR-152", META, '"/dir"'),
    Defect("goodbye-tail-root", lambda w: w.set_record(b"", -1, offset=1), "goodbye-tail", "PXAR-153", META, '"/"'),
    Defect("goodbye-record-missing", lambda w: missing_record(), "goodbye-count", "PXAR-150", META, '"/dir"'),
    Defect("hardlink-to-directory", lambda w: w.put(w.item(b"dir/z", "HARDLINK") + 16,
                                                    struct.pack("<Q", w.find(b"dir/z").start - w.find(b"dir").start)),
           "hardlink-target", "PXAR-074", META, '"/dir/z"'),
    Defect("hardlink-to-nothing", lambda w: w.put(w.item(b"dir/z", "HARDLINK") + 16, struct.pack("<Q", 1)),
           "hardlink-target", "PXAR-074", META, '"/dir/z"'),
    Defect("hardlink-path", _replace_link_path, "hardlink-path", "PXAR-075", META, '"/dir/z"'),
    Defect("entry-nanoseconds", _nanoseconds, "entry-value", "PXAR-050", META, '"/c"'),
    Defect("unknown-item", _unknown_item, "archive-structure", "PXAR-223", META, '"/dir/x"', exact=False),
    Defect("bytes-behind-the-end", lambda w: w.meta.extend(b"more"), "trailing-bytes", "PXAR-036", META),
    Defect("names-unsorted", lambda w: unsorted_names(), "name-order", "PXAR-034", META, '"/a"', level="warning"),
    Defect("name-twice", lambda w: w.put(w.item(b"dir/y", "FILENAME") + 16, b"x"), "name-twice", "EXT-051", META, '"/dir/x"',
           exact=False),
    Defect("start-marker", lambda w: w.put_payload(0, b"\0" * 8), "payload-start-marker", "PXAR-134", PAYLOAD),
    Defect("tail-marker", lambda w: w.put_payload(len(w.payload) - 16, b"\0" * 8), "payload-tail-marker", "PXAR-135",
           PAYLOAD, known="CDM-141"),
    Defect("payload-header", lambda w: w.put_payload(w.ref(b"c")[0], b"\0" * 8), "payload-header", "PXAR-243", PAYLOAD, '"/c"'),
    Defect("reference-into-start", lambda w: w.set_ref(b"a", offset=0), "reference-into-marker", "CDM-124", META, '"/a"'),
    Defect("reference-into-tail", lambda w: w.set_ref(b"tail", size=6001), "reference-into-marker", "CDM-124", META,
           '"/tail"', exact=False),
    Defect("references-overlap", lambda w: overlap(), "references-overlap", "PXAR-245", META, '"/y"'),
    Defect("padding-in-first-chunk", lambda w: gap_in_first_chunk(), "padding-in-new-chunk", "CDM-127", PAYLOAD),
    Defect("padding-in-last-chunk", lambda w: gap_in_last_chunk(), "padding-in-new-chunk", "CDM-127", PAYLOAD),
]

# traces of known historical defects, in the same way
HISTORICAL: list[Defect] = [
    Defect("reference-behind-data", lambda w: w.set_ref(b"tail", offset=10**9), "reference-behind-data", "PXAR-274", META,
           '"/tail"', "CDM-059"),
    Defect("directory-not-closed", lambda w: not_closed(), "directory-not-closed", "PXAR-225", META, '"/stale"', "CDM-080"),
    Defect("stale-size", lambda w: w.put_payload(w.ref(b"c")[0] + 8, struct.pack("<Q", 16 + 39_990)), "stale-size", "PXAR-243",
           PAYLOAD, '"/c"', "CDM-140"),
    Defect("archive-ends-early", _cut, "archive-ends-early", "PXAR-225", META, '"/sub"', "CDM-141"),
    Defect("references-swapped", _swap_refs, "references-not-increasing", "PXAR-139", META, '"/sub/s"', "CDM-142", exact=False),
    Defect("reference-repeated", lambda w: w.set_ref(b"sub/s", offset=w.ref(b"b1")[0]), "references-not-increasing",
           "PXAR-139", META, '"/sub/s"', "CDM-142"),
    Defect("held-chunk-mistaken", lambda w: held_chunk(), "held-chunk-mistaken", "PXAR-139", META, '"/d0"', "CDM-144"),
    Defect("repeated-chunk", lambda w: repeated_chunk(), "repeated-chunk", "CDM-128", META, '"/p2"', "CDM-144", level="note"),
]


def _drop(w: Legacy, path: bytes) -> None:
    level, at = w.catalog_item(path)
    del level[at]


def _insert(w: Legacy) -> None:
    level, at = w.catalog_item(b"dir/x")
    level.insert(at + 1, catalog.Item("f", b"xx", 5, TIME))


def _change(w: Legacy, **values: int | str) -> None:
    level, at = w.catalog_item(b"sub/s")
    for name, value in values.items():
        setattr(level[at], name, value)


def _break_catalog(w: Legacy) -> None:
    data = bytearray(catalog.build(w.items))
    data[data.index(b"\x01s") - 1] = 0x21  # the entry's type
    w.catalog = bytes(data)


LEGACY: list[Defect] = [
    Defect("catalog-lacks-file", lambda w: _drop(w, b"dir/y"), "catalog-entry-missing", "CAT-062", CATALOG, '"/dir/y"'),
    Defect("catalog-has-more", _insert, "catalog-entry-extra", "CAT-062", CATALOG, '"dir/xx"'),
    Defect("catalog-size", lambda w: _change(w, size=1), "catalog-entry-value", "CAT-063", CATALOG, '"/sub/s"'),
    Defect("catalog-mtime", lambda w: _change(w, mtime=1), "catalog-entry-value", "CAT-063", CATALOG, '"/sub/s"'),
    Defect("catalog-type", lambda w: _change(w, type="l"), "catalog-entry-value", "CAT-010", CATALOG, '"/sub/s"'),
    Defect("catalog-lacks-archive", lambda w: setattr(w.items[0], "name", b"other.pxar.didx"), "catalog-entry-missing",
           "CAT-060", CATALOG, exact=False),
    Defect("catalog-has-archive", lambda w: w.items.append(catalog.Item("d", b"other.pxar.didx")), "catalog-entry-extra",
           "CAT-060", CATALOG, '"other.pxar.didx"'),
    Defect("catalog-broken", _break_catalog, "catalog", "CAT-044", CATALOG),
    Defect("legacy-goodbye", lambda w: w.swap_records(b"", 1, 2), "goodbye-order", "PXAR-170", ARCHIVE, '"/"'),
    Defect("legacy-hardlink", lambda w: w.put(w.item(b"dir/z", "HARDLINK") + 16, struct.pack("<Q", 1)), "hardlink-target",
           "PXAR-074", ARCHIVE, '"/dir/z"'),
]


def work_of(defect: Defect) -> Archive:
    """The altered material."""
    work: Archive = Legacy() if defect in LEGACY else Split()
    other = defect.apply(work)
    return other if isinstance(other, Archive) else work
