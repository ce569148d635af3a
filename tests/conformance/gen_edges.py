# SPDX-License-Identifier: MIT
"""Generators for cases at the edges of the formats: archives item by item, payload streams, zstd frames."""
from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from conformance import trees
from conformance.generate import generator, source, store_edit, tree_generator
from oracle.pxar_items import CODE, GOODBYE_RECORD, HEADER, siphash24, tree_order

Frame = dict[str, Any]


def _header(name: str, size: int) -> bytes:
    return HEADER.pack(CODE[name], 16 + size)


class _Archive:
    """Puts items one behind the other; a GOODBYE without content is computed."""

    def __init__(self, reused: bool) -> None:
        self.out, self.stack, self.reused = bytearray(), [], reused
        self.start, self.name, self.extra, self.leaf = 0, b"", 0, False

    def close_leaf(self) -> None:
        if self.leaf:
            self.stack[-1]["children"].append((siphash24(self.name), self.start, len(self.out) - self.start + self.extra))
        self.leaf, self.extra = False, 0

    def put(self, kind: str, content: bytes) -> None:
        if kind in ("FILENAME", "GOODBYE"):
            self.close_leaf()
        if kind == "FILENAME":
            self.start, self.name, self.leaf = len(self.out), content.rstrip(b"\0"), True
        if kind in ("ENTRY", "ENTRY_V1") and stat.S_ISDIR(int.from_bytes(content[:8], "little")):
            base = len(self.out) if self.stack else 0
            self.stack.append({"start": self.start, "entry": base, "name": self.name, "children": []})
            self.leaf = False
        if kind == "PAYLOAD_REF" and not self.reused:
            self.extra = int.from_bytes(content[8:16], "little")
        if kind == "GOODBYE" and not content:
            self.goodbye()
            return
        self.out += _header(kind, len(content)) + content

    def goodbye(self) -> None:
        frame: Frame = self.stack.pop()
        here, records = len(self.out), sorted(frame["children"])
        size = 16 + 24 * (len(records) + 1)
        self.out += _header("GOODBYE", size - 16)
        for slot in tree_order(len(records)):
            name_hash, start, length = records[slot]
            self.out += GOODBYE_RECORD.pack(name_hash, here - start, length)
        self.out += GOODBYE_RECORD.pack(CODE["GOODBYE_TAIL"], here - frame["entry"], size)
        if self.stack:
            self.stack[-1]["children"].append((siphash24(frame["name"]), frame["start"], len(self.out) - frame["start"]))


def _piece(text: str) -> bytes:
    piece, _, count = text.partition("*")
    return bytes.fromhex(piece) * int(count or 1)


@generator("archive-items")
def archive_items(items: list[str], reused: bool = False) -> bytes:
    """An archive of items, each `TYPE HEX`; `GOODBYE` alone is the table that belongs there. HEX may be several pieces, `HEX*COUNT` is
    one many times. With `reused`, sizes in the table as for references to re-used payload."""
    made = _Archive(reused)
    for item in items:
        kind, *pieces = item.split()
        made.put(kind, b"".join(map(_piece, pieces)))
    return bytes(made.out)


@generator("payload-stream")
def payload_stream(pieces: list[str]) -> bytes:
    """START, payloads with these contents in hex (`hole:HEX` is bytes that no reference points at), TAIL."""
    out = _header("PAYLOAD_START", 0)
    for piece in pieces:
        hole, _, text = piece.rpartition(":")
        data = bytes.fromhex(text)
        out += data if hole else _header("PAYLOAD", len(data)) + data
    return out + _header("PAYLOAD_TAIL", 0)


@generator("deep-catalog")
def deep_catalog(depth: int) -> bytes:
    """A catalog of directories, one in the other."""
    from oracle import catalog
    item = catalog.Item("d", b"d")
    for _ in range(depth):
        item = catalog.Item("d", b"d", children=[item])
    return catalog.build([item])


@generator("blob-of-zeros")
def blob_of_zeros(size: int) -> bytes:
    """A compressed blob of that many zero bytes."""
    from oracle import blob
    import zlib
    import zstandard
    payload = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(size))
    return blob.MAGICS["compressed"] + zlib.crc32(payload).to_bytes(4, "little") + payload


@tree_generator("unsearchable")
def unsearchable(path: Path) -> None:
    """Files around a directory whose names can be listed and nothing more, by anyone but root."""
    trees.build(path, [{"path": "a", "size": "100"}, {"path": "d", "kind": "dir"}, {"path": "d/x", "size": "100"}, {"path": "z", "size": "100"}], source)
    (path / "d").chmod(0o444)


@store_edit("encrypted-manifest")
def encrypted_manifest(store: Path, key: str) -> None:
    """The manifests of all snapshots, encrypted with a key."""
    from oracle import blob
    from oracle.crypto import Key
    for path in store.glob("*/*/*/index.json.blob"):
        text = blob.decode(path.read_bytes())
        path.write_bytes(blob.encode(text, compress=False, key=Key(bytes.fromhex(key)), iv=os.urandom(16)))
