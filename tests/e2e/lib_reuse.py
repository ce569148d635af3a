# SPDX-License-Identifier: MIT
"""What a backup in metadata mode must re-use: a plain model of spec/change-detection.md, and what really was re-used, out of
the server's journal. Written from the sheet alone; the previous snapshot and the tree are read by the independent reader.

Nothing is accounted for here: a copy of a chunk knows which of its bytes are needed, padding is counted from that.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import tree
from oracle import acl
from oracle.archive_tree import node_of
from oracle.patterns import Selection, parse
from oracle.pxar import Reader
from oracle.tree import CAPABILITY, Node

HEADER = 16
BATCH = 128  # CDM-090
Row = tuple[int, int, bytes]  # start, end, digest


# ---- what is there: the previous snapshot and the tree ----

@dataclass(slots=True)
class Old:
    """An entry of the previous metadata archive; `offset` of files with a payload."""
    node: Node
    offset: int | None
    size: int


@dataclass(slots=True)
class Previous:
    entries: dict[bytes, Old]
    rows: list[Row]

    @property
    def size(self) -> int:
        return self.rows[-1][1]


def previous_of(reader: Reader, rows: list[Row]) -> Previous:
    entries: dict[bytes, Old] = {}
    for entry in reader:
        if entry.link is not None:  # CDM-047: no metadata of its own
            continue
        content = entry.content if entry.kind == "file" else None
        entries[entry.path] = Old(node_of(entry), content.offset - HEADER if content else None, content.size if content else 0)
    return Previous(entries, rows)


@dataclass(slots=True)
class Entry:
    """One step of the walk: "file", "dir", "end" of a directory, or "other"."""
    kind: str
    path: bytes
    node: Node | None = None
    size: int = 0
    inode: tuple[int, int] = (0, 0)
    links: int = 1


def walk_of(source: Path, excludes: Iterable[str] = ()) -> list[Entry]:
    """In archive order, without the root [CDM-050, CDM-073]."""
    out: list[Entry] = []
    inside: list[bytes] = []
    for found in tree.walk(os.fsencode(source), Selection([parse(p.encode()) for p in excludes])):
        if found is None:
            out.append(Entry("end", inside.pop()))
            continue
        kind = {"file": "file", "dir": "dir"}.get(found.kind, "other")
        if kind == "dir":
            inside.append(found.path)
        node = tree.read_node(found, content=False)
        tree.canonical_acls({b"": node})
        out.append(Entry(kind, found.path, node, found.st.st_size, (found.st.st_dev, found.st.st_ino), found.st.st_nlink))
    return out[1:-1]


def same_metadata(a: Node, b: Node) -> bool:
    """CDM-043; of extended attributes the names only, in order [CDM-044]."""
    special = (CAPABILITY, acl.ACCESS, acl.DEFAULT)

    def view(n: Node) -> tuple[Any, ...]:
        return (n.mode, n.flags, n.uid, n.gid, n.mtime_ns, n.projid, [x for x in n.xattrs if x not in special],
                [n.xattrs.get(x) for x in special])

    return view(a) == view(b)


# ---- the decisions ----

@dataclass(slots=True)
class Copy:
    """One chunk of the previous stream on its way into the new one; its number is its identity [CDM-061]."""
    number: int
    start: int
    end: int
    needed: list[tuple[int, int]] = field(default_factory=list)  # disjoint ranges of the previous stream

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def unused(self) -> int:
        return self.size - sum(min(e, self.end) - max(s, self.start) for s, e in self.needed)


@dataclass
class Plan:
    references: list[tuple[bytes, int, int]] = field(default_factory=list)  # path, offset, size; full files only
    links: list[bytes] = field(default_factory=list)
    reused: set[bytes] = field(default_factory=set)
    written: set[bytes] = field(default_factory=set)
    injections: list[tuple[int, list[int]]] = field(default_factory=list)  # boundary, numbers of previous chunks
    hardlinks: int = 0
    partial: int = 0
    warned: list[bytes] = field(default_factory=list)
    pos: int = HEADER

    def reused_size(self) -> int:
        return sum(size + HEADER for path, _, size in self.references if path in self.reused)

    def written_size(self) -> int:
        return sum(size + HEADER for path, _, size in self.references if path in self.written)


class Model:
    """Sections 3, 5, 6 and 8 of the sheet."""

    def __init__(self, previous: Previous | None, cache_limit: int) -> None:
        self.previous, self.limit, self.plan = previous, cache_limit, Plan()
        self.waiting: list[tuple[Entry, int | None]] = []  # offset in the previous stream: a file that may be re-used
        self.start = self.end = 0
        self.held: Copy | None = None
        self.seen: set[tuple[int, int]] = set()
        self.archived: set[tuple[int, int]] = set()
        self.accepted: list[tuple[int, int]] = []

    def run(self, entries: list[Entry]) -> Plan:
        for entry in entries:
            if self.previous is None:
                self.write(entry)
            else:
                self.add(entry)
        if self.previous is not None:
            self.flush(keep=False)
            self.inject_held()
        self.plan.pos += HEADER
        return self.plan

    # -- writing --

    def write(self, entry: Entry, offset: int | None = None) -> None:
        if entry.kind != "file":
            return
        if entry.links > 1 and entry.inode in self.archived:  # CDM-084
            self.plan.links.append(entry.path)
            return
        self.archived.add(entry.inode)
        if offset is None:
            self.plan.references.append((entry.path, self.plan.pos, entry.size))
            self.plan.written.add(entry.path)
            self.plan.pos += HEADER + entry.size
        else:
            self.plan.references.append((entry.path, offset, entry.size))
            self.plan.reused.add(entry.path)

    def inject(self, copies: list[Copy]) -> None:
        for first in range(0, len(copies), BATCH):
            batch = copies[first:first + BATCH]
            self.plan.injections.append((self.plan.pos, [c.number for c in batch]))
            self.plan.pos += sum(c.size for c in batch)
        self.plan.partial += sum(1 for c in copies if c.unused)

    def inject_held(self) -> None:
        if self.held:
            self.inject([self.held])
        self.held = None

    def replay(self, first: Copy | None) -> None:
        """`first`: the chunk that comes at P; None: everything is written anew."""
        self.inject_held()
        base = self.plan.pos
        for entry, offset in self.waiting:
            self.write(entry, None if first is None or offset is None else base + offset - first.start)
        self.waiting = []
        self.start = self.end

    # -- section 5 --

    def copies(self) -> list[Copy]:
        assert self.previous
        out: list[Copy] = []
        for number, (start, end, _) in enumerate(self.previous.rows):
            if end <= self.start:
                continue
            out.append(Copy(number, start, end, [(self.start, self.end)]))
            if end > self.end:  # not >=: CDM-058
                break
        if not out[-1].end > self.end:
            raise AssertionError("a range behind the markers was accepted")
        for copy in out:
            copy.needed = [(max(copy.start, self.start), min(copy.end, self.end))] if \
                max(copy.start, self.start) < min(copy.end, self.end) else []
        return out

    def flush(self, keep: bool) -> None:
        if self.start == self.end:
            self.replay(None)
            return
        copies = self.copies()
        continued = self.held is not None and self.held.number == copies[0].number
        if continued and self.held:
            copies[0].needed += self.held.needed
        if 10 * sum(c.unused for c in copies) > sum(c.size for c in copies):  # CDM-065
            self.replay(None)
            return
        if continued:
            self.held = None
        self.inject_held()
        self.replay(copies[0])
        if keep:
            self.inject(copies[:-1])
            self.held = copies[-1]
        else:
            self.inject(copies)

    # -- section 3 --

    def reusable(self, entry: Entry) -> int | None:
        assert self.previous and entry.node
        old = self.previous.entries.get(entry.path)
        if old is None or old.offset is None or not same_metadata(entry.node, old.node) or old.size != entry.size:
            return None
        end = old.offset + HEADER + old.size
        if old.offset < HEADER or end > self.previous.size - HEADER:  # CDM-059
            return None
        if any(old.offset <= s or old.offset < e for s, e in self.accepted):  # CDM-042 f
            self.plan.warned.append(entry.path)
            return None
        self.accepted.append((old.offset, end))
        return old.offset

    # -- section 6 --

    def add(self, entry: Entry) -> None:
        if entry.kind == "end":
            if self.waiting:
                self.waiting.append((entry, None))
            return
        if sum(1 for e, _ in self.waiting if e.kind != "end") >= self.limit:
            self.flush(keep=True)
        if entry.kind == "file":
            self.add_file(entry)
        elif self.waiting:
            self.waiting.append((entry, None))
        else:
            self.replay(None)
            self.write(entry)

    def add_file(self, entry: Entry) -> None:
        if entry.links > 1:
            if entry.inode in self.seen:
                self.waiting.append((entry, None))
                return
            self.seen.add(entry.inode)
            self.plan.hardlinks += 1
        offset = self.reusable(entry)
        if offset is None:
            self.flush(keep=False)
            self.inject_held()
            self.write(entry)
            return
        if self.end == 0:
            self.start = self.end = offset
        if self.end != offset:
            self.flush(keep=True)
            self.start = offset
        self.end = offset + HEADER + entry.size
        self.waiting.append((entry, offset))


def predict(previous: Previous | None, source: Path, excludes: Iterable[str] = (), cache_limit: int = 1 << 16) -> Plan:
    return Model(previous, cache_limit).run(walk_of(source, excludes))


# ---- what the summary must say [CDM-110, CDM-111] ----

def human(n: int) -> str:
    power = max(0, (n.bit_length() - 1) // 10)
    if power == 0:
        return f"{n} B"
    return f"{n / 1024 ** power:.3f}".rstrip("0").rstrip(".") + f" {' KMGTP'[power]}iB"


def summary_of(plan: Plan, rows: list[Row]) -> list[str]:
    reused, written = len(plan.reused), len(plan.written)
    injected = sum(rows[n][1] - rows[n][0] for _, numbers in plan.injections for n in numbers)
    return [f" - {reused + written + plan.hardlinks} total files ({plan.hardlinks} hardlinks)",
            f" - {reused} unchanged, reusable files with {human(plan.reused_size())} data",
            f" - {written} changed or non-reusable files with {human(plan.written_size())} data",
            f" - {human(injected - plan.reused_size())} padding in {plan.partial} partially reused chunks"]


# ---- what really happened: the journal of the server ----

@dataclass
class Stream:
    """One index that was uploaded."""
    name: str
    rows: list[Row] = field(default_factory=list)
    uploaded: list[tuple[bytes, int]] = field(default_factory=list)
    size: int = 0
    chunks: int = 0


def streams_of(events: list[dict[str, Any]]) -> dict[str, Stream]:
    """By archive name; of the last backup session in `events`."""
    out: dict[int, Stream] = {}
    for e in events:
        if e["event"] == "index-create":
            out[e["wid"]] = Stream(e["name"])
        elif e["event"] == "chunk":
            out[e["wid"]].uploaded.append((bytes.fromhex(e["digest"]), e["size"]))
        elif e["event"] == "index-append":
            rows = out[e["wid"]].rows
            for digest, offset in zip(e["digests"], e["offsets"], strict=True):
                if rows:
                    rows[-1] = (rows[-1][0], offset, rows[-1][2])
                rows.append((offset, offset, bytes.fromhex(digest)))
        elif e["event"] == "index-close":
            stream = out[e["wid"]]
            stream.size, stream.chunks = e["size"], e["chunk-count"]
            start, _, digest = stream.rows[-1]
            stream.rows[-1] = (start, e["size"], digest)
    return {s.name: s for s in out.values()}


def must_upload(rows: list[Row], known: set[bytes], injected: list[tuple[int, int]]) -> dict[bytes, int]:
    """Raw chunks that neither the previous index has nor an earlier one of the stream [CDM-101]; digest -> size."""
    out: dict[bytes, int] = {}
    for start, end, digest in rows:
        if not any(s <= start < e for s, e in injected) and digest not in known:
            out[digest] = end - start
    return out


# ---- what was read of the source: a trace of system calls ----

CALL = re.compile(r"^(\d+)\s+(?:<\.\.\. (\w+) resumed>|(\w+)\(\d+<([^>]*)>)(.*)$")


def reads_of(trace: str, source: Path) -> dict[bytes, int]:
    """Bytes read per file below `source`, of strace -f -y -e trace=<calls that read>."""
    open_calls: dict[str, str] = {}
    out: dict[bytes, int] = {}
    for line in trace.splitlines():
        found = CALL.match(line)
        if not found:
            continue
        pid, resumed, _, path, rest = found.groups()
        if resumed:
            path = open_calls.pop(pid, "")
        elif "<unfinished" in rest:
            open_calls[pid] = path
            continue
        n = re.search(r"= (\d+)", rest)
        if n and path.startswith(f"{source}/"):
            name = os.fsencode(os.path.relpath(path, source))
            out[name] = out.get(name, 0) + int(n[1])
    return out
