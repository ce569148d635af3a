# SPDX-License-Identifier: MIT
"""Second implementation of the draft with an appendix (spec/draft-appendix.md): what a metadata run makes of a tree, given
the previous catalog and index. Obvious and slow: decisions first, over a list of all entries; then everything is written."""
from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from . import catalog, fsattr
from .pxar_items import CODE, GOODBYE_RECORD, HEADER, Entry
from .pxar_write import CLI_NAME, Creator, Encoder, Options
from .tree import Walked, walk

SMALL, THRESHOLD = 1024, 2 << 20  # APX-091 (4), APX-131
LETTERS = {"symlink": "l", "blockdev": "b", "chardev": "c", "fifo": "p", "socket": "s"}


@dataclass(slots=True)
class Reference:
    """The previous snapshot: its catalog's entries for the archive by path, its appendix start, its index."""
    entries: dict[bytes, catalog.Item]
    start: int
    chunks: list[tuple[int, int, bytes]]  # start, end, digest
    read: Callable[[bytes, int], bytes]   # a chunk's bytes by digest and size


@dataclass(slots=True)
class Appendix:
    """Chunks collected so far (APX-100..103)."""
    chunks: list[tuple[bytes, int]] = field(default_factory=list)  # digest, size
    used: list[tuple[int, int]] = field(default_factory=list)

    def start(self, count: int) -> int:
        return sum(size for _, size in self.chunks[:count])

    def add(self, run: list[tuple[bytes, int]], padding: int, length: int) -> int:
        def free(offset: int) -> bool:
            return all(offset + length <= a or b <= offset for a, b in self.used)

        at = next((self.start(p) + padding for p in range(len(self.chunks) - len(run) + 1)
                   if self.chunks[p:p + len(run)] == run and free(self.start(p) + padding)), None)
        if at is None:
            last = self.start(len(self.chunks) - 1) + padding
            if self.chunks and self.chunks[-1] == run[0] and free(last):
                at, run = last, run[1:]
            else:
                at = self.start(len(self.chunks)) + padding
            self.chunks += run
        self.used.append((at, at + length))
        return at


class AppendixCreator(Creator):
    """Writes the archive, and its part of the catalog."""

    def __init__(self, source: bytes, archive: BinaryIO, options: Options, reference: Reference,
                 small: int = SMALL, threshold: int = THRESHOLD):
        super().__init__(source, archive, None, options)
        self.reference, self.small, self.threshold = reference, small, threshold
        self.appendix = Appendix()
        self.refs: set[bytes] = set()
        self.items: list[list[catalog.Item]] = [[]]
        self.a = 0  # where the appendix starts

    # -- decisions -----------------------------------------------------------------------------

    def range_of(self, walked: Walked, features: set[str]) -> tuple[int, int] | None:
        """Bytes of an unchanged file's encoding in the previous archive (APX-091, APX-092, APX-095)."""
        was = self.reference.entries.get(walked.path)
        if was is None or was.type not in "fr" or walked.st.st_size <= self.small \
                or was.ctime != int(walked.st.st_ctime_ns // 10**9) or was.size != walked.st.st_size:
            return None
        head = Encoder(io.BytesIO(), None, None)
        head.item("FILENAME", walked.path.rpartition(b"/")[2] + b"\0")
        head.stat(self.entry(walked, features))
        start = was.position + (self.reference.start if was.type == "r" else 0)
        end = start + head.pos + 16 + was.size
        return (start, end) if end <= self.reference.chunks[-1][1] else None

    def decide(self, features: set[str]) -> None:
        """APX-133: which files become references."""
        waiting: list[Walked] = []
        seen: set[tuple[int, int]] = set()
        for walked in walk(self.source, self):
            if walked is None or walked.kind != "file":
                continue
            key = (walked.st.st_dev, walked.st.st_ino)
            neutral = walked.st.st_nlink > 1 and key in seen or walked.st.st_size <= self.small
            seen.add(key)
            if neutral:
                continue
            if self.range_of(walked, features) is None:
                waiting = []
                continue
            waiting.append(walked)
            if sum(w.st.st_size for w in waiting) >= self.threshold:
                self.refs |= {w.path for w in waiting}
                waiting = []

    # -- writing -------------------------------------------------------------------------------

    def add_file(self, name: bytes, walked: Walked, entry: Entry) -> None:
        kind, position = "f", self.encoder.pos
        if walked.path in self.refs:
            found = self.range_of(walked, self.fs[-1])
            assert found is not None
            start, end = found
            hit = [c for c in self.reference.chunks if c[1] > start and c[0] < end]
            run = [(digest, b - a) for a, b, digest in hit]
            position, kind = self.appendix.add(run, start - hit[0][0], end - start), "r"
            begin = self.encoder.pos
            self.encoder.item("FILENAME", name + b"\0")
            self.encoder.numbers("APPENDIX_REF", position, walked.st.st_size)
            self.encoder.child(name, begin, 0)
        else:
            super().add_file(name, walked, entry)
        self.items[-1].append(catalog.Item(kind, name, walked.st.st_size, int(walked.st.st_mtime_ns // 10**9),
                                           int(walked.st.st_ctime_ns // 10**9), position))

    def add(self, walked: Walked) -> None:
        linked = walked.kind == "file" and (walked.st.st_dev, walked.st.st_ino) in self.links
        super().add(walked)
        name = walked.path.rpartition(b"/")[2]
        if walked.kind == "dir":
            self.items.append([])
        elif linked:
            self.items[-1].append(catalog.Item("h", name))
        elif walked.kind != "file":
            self.items[-1].append(catalog.Item(LETTERS[walked.kind], name))

    def add_cli_file(self) -> None:
        if self.initial:  # APX-079
            self.items[-1].append(catalog.Item("f", CLI_NAME, len(self.text), 0, 0, self.encoder.pos))
        super().add_cli_file()

    def close_root(self) -> None:
        """APPENDIX, the chunks, GOODBYE with its last record (APX-025..034)."""
        encoder, total = self.encoder, self.appendix.start(len(self.appendix.chunks))
        if not total:
            encoder.close_dir()
            return
        encoder.numbers("APPENDIX", total)
        self.a = encoder.pos
        for digest, size in self.appendix.chunks:
            encoder.out(self.reference.read(digest, size))
        here, out = encoder.pos, encoder.archive
        table = io.BytesIO()
        encoder.archive = table
        encoder.close_dir()
        encoder.archive = out
        _, size = HEADER.unpack(table.getvalue()[:16])
        records = table.getvalue()[16:-24]
        out.write(HEADER.pack(CODE["GOODBYE"], size + 24) + records)
        out.write(GOODBYE_RECORD.pack(CODE["GOODBYE_TAIL"], here, size + 24))
        out.write(GOODBYE_RECORD.pack(CODE["APPENDIX_TAIL"], here - self.a, total))

    def run(self) -> None:
        features = fsattr.features(self.fs_type(self.source))
        self.fs = [features]
        self.decide(features)
        self.fs = [features]
        names: list[bytes] = []
        for walked in walk(self.source, self):
            if walked is None:
                self.fs.pop()
                if self.fs:
                    self.encoder.close_dir()
                    children = self.items.pop()
                    self.items[-1].append(catalog.Item("d", names.pop(), children=children))
                else:
                    self.add_cli_file()
                    self.close_root()
            elif not walked.path:
                self.devices = {walked.st.st_dev}
                self.encoder.open_dir(None, self.entry(walked, self.fs[-1]))
            else:
                self.add(walked)
                if walked.kind == "dir":
                    names.append(walked.path.rpartition(b"/")[2])


def entries_by_path(items: list[catalog.Item], target: bytes) -> tuple[dict[bytes, catalog.Item], int]:
    """Of one archive in a catalog: its entries, and where its appendix starts."""
    top = next(item for item in items if item.name == target)
    out: dict[bytes, catalog.Item] = {}
    stack = [(b"", top)]
    while stack:
        prefix, directory = stack.pop()
        for item in directory.children:
            out[prefix + item.name] = item
            stack += [(prefix + item.name + b"/", item)] if item.type == "d" else []
    return out, top.position


def create(source: str, target: bytes, options: Options, reference: Reference, small: int = SMALL,
           threshold: int = THRESHOLD) -> tuple[bytes, bytes, AppendixCreator]:
    """Archive and catalog (with this archive alone) of a metadata run."""
    out = io.BytesIO()
    creator = AppendixCreator(os.fsencode(source), out, options, reference, small, threshold)
    creator.run()
    items = [catalog.Item("a", target, position=creator.a, children=creator.items[0])]
    return out.getvalue(), catalog.build(items, extended=True), creator
