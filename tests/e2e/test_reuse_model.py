# covers: CDM-003 CDM-007 CDM-009 CDM-010 CDM-011 CDM-012 CDM-020 CDM-026 CDM-031 CDM-033 CDM-035 CDM-037 CDM-040
# covers: CDM-041 CDM-042 CDM-043 CDM-044 CDM-045 CDM-047 CDM-048 CDM-050 CDM-055 CDM-056 CDM-058 CDM-060 CDM-061
# covers: CDM-065 CDM-066 CDM-067 CDM-068 CDM-069 CDM-070 CDM-072 CDM-073 CDM-075 CDM-076 CDM-078 CDM-079 CDM-081
# covers: CDM-083 CDM-084 CDM-090 CDM-091 CDM-092 CDM-093 CDM-095 CDM-096 CDM-101 CDM-102 CDM-104 CDM-110 CDM-111
# covers: CDM-112 CDM-113 CDM-120 CDM-121 CDM-122 CDM-123 CDM-124 CDM-125 CDM-126 CDM-127 CDM-128 CDM-129 CDM-170
# covers: CDM-173
# SPDX-License-Identifier: MIT
"""Chains of backups of a random tree with random edits, program against server: after each one the references, the injected
chunks, the uploads, the figures and what was read of the source must be those that the model of lib_reuse.py says, and the
snapshot must hold the tree.

    PBR_SEED=N           another chain than the usual ones; a failure names its seed and all edits
    PBR_MODEL_CHAINS=N   that many, one after the other from the seed on (make check-model)
"""
from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lib_reuse import (HEADER, Plan, Previous, Row, Stream, predict, previous_of, reads_of, streams_of, summary_of,
                       must_upload)
from support import KEYFILE, ROOT_USER, T0, Client, Server, archive_tree, assert_sound, noise, oracle_store, program, tree
from oracle.patterns import Selection, parse

GENERATIONS = 10
SUMMARY = "Change detection summary:"
USING = "Using previous index as metadata reference for 'root.mpxar.didx'"
READING = "trace=read,readv,pread64,preadv,preadv2,mmap,sendfile,copy_file_range,splice"
FIRST_SEED = int(os.environ.get("PBR_SEED") or 41)
CHAINS = int(os.environ.get("PBR_MODEL_CHAINS") or 3)


# ---- edits ----

@dataclass
class Edits:
    """A tree and what is done to it; `log` tells all of it."""
    root: Path
    rng: random.Random
    excludes: list[str] = field(default_factory=list)
    hidden: set[bytes] = field(default_factory=set)  # content was changed so that nobody can see it
    log: list[str] = field(default_factory=list)
    clock: int = T0
    names: int = 0

    def files(self) -> list[Path]:
        return sorted(p for p in self.root.rglob("*") if p.is_file() and not p.is_symlink() and p.name != ".pxarexclude")

    def dirs(self) -> list[Path]:
        return [self.root, *sorted(p for p in self.root.rglob("*") if p.is_dir() and not p.is_symlink())]

    def new_name(self) -> str:
        self.names += 1
        return f"{self.rng.choice('abcdefghijklmnopqrstuvwxyz')}{self.names:03d}"

    def stamp(self, p: Path) -> None:
        self.clock += 1
        os.utime(p, ns=(0, self.clock * 10**9 + self.rng.randrange(10**9)))

    def write(self, p: Path, size: int) -> None:
        p.write_bytes(noise(self.rng.randrange(6) if self.rng.random() < 0.2 else self.rng.randrange(1 << 30), size))
        self.stamp(p)

    def size(self) -> int:
        r = self.rng
        return r.choice([0, 1, 255, 271, 272, 300, r.randrange(3000), r.randrange(30_000), r.randrange(90_000),
                         r.randrange(90_000), 65_536 - 16, r.randrange(400_000)])

    def apply(self, number: int) -> None:
        for _ in range(number):
            self.one()

    def one(self) -> None:
        operation = self.rng.choice(OPERATIONS)
        at = len(self.log)
        self.log.append(operation.__name__)
        self.log[at] += " " + str(operation(self) or "")


def with_file(action: Callable[[Edits, Path], object]) -> Callable[[Edits], str]:
    def run(e: Edits) -> str:
        files = e.files()
        if not files:
            return "(no file)"
        p = e.rng.choice(files)
        return f"{p.relative_to(e.root)} {action(e, p) or ''}"

    run.__name__ = action.__name__
    return run


def create(e: Edits) -> str:
    p = e.rng.choice(e.dirs()) / e.new_name()
    e.write(p, e.size())
    return f"{p.relative_to(e.root)} {p.stat().st_size}"


def make_dir(e: Edits) -> str:
    p = e.rng.choice(e.dirs()) / e.new_name()
    p.mkdir()
    e.write(p / "inside", e.size())
    return str(p.relative_to(e.root))


def symlink(e: Edits) -> None:
    (e.rng.choice(e.dirs()) / e.new_name()).symlink_to("nowhere")


def fifo(e: Edits) -> None:
    os.mkfifo(e.rng.choice(e.dirs()) / e.new_name())


def insert_neighbours(e: Edits, p: Path) -> None:
    for suffix in ("-", "~"):
        if not p.with_name(p.name + suffix).exists():
            e.write(p.with_name(p.name + suffix), e.size())


def rewrite(e: Edits, p: Path) -> None:
    e.write(p, p.stat().st_size)


def grow(e: Edits, p: Path) -> None:
    with open(p, "ab") as f:
        f.write(noise(e.names, 1 + e.rng.randrange(5000)))
    e.stamp(p)


def shrink(e: Edits, p: Path) -> None:
    os.truncate(p, e.rng.randrange(p.stat().st_size + 1))
    e.stamp(p)


def touch(e: Edits, p: Path) -> None:
    e.stamp(p)


def chmod(e: Edits, p: Path) -> None:
    p.chmod(p.stat().st_mode & 0o7777 ^ 0o111)


def chown(e: Edits, p: Path) -> str | None:
    if not ROOT_USER:
        return "(not root)"
    os.chown(p, e.rng.randrange(3), e.rng.randrange(3))
    return None


def set_xattr(e: Edits, p: Path) -> str | None:
    name = f"user.{e.rng.choice('ab')}"
    try:
        if name in os.listxattr(p) and e.rng.random() < 0.4:
            os.removexattr(p, name)
        else:
            os.setxattr(p, name, str(e.names).encode())
    except OSError as error:
        return f"({error.strerror})"
    return name


def rename(e: Edits, p: Path) -> str:
    new = p.with_name(e.new_name())
    p.rename(new)
    return f"-> {new.name}"


def move(e: Edits, p: Path) -> str:
    new = e.rng.choice(e.dirs()) / p.name
    if not new.exists():
        p.rename(new)
    return f"-> {new.relative_to(e.root)}"


def rename_dir(e: Edits) -> str:
    p = e.rng.choice(e.dirs())
    if p == e.root:
        return "(the root)"
    p.rename(p.with_name(e.new_name()))
    return str(p.relative_to(e.root))


def delete(e: Edits, p: Path) -> None:
    p.unlink()


def delete_dir(e: Edits) -> str:
    p = e.rng.choice(e.dirs())
    if p == e.root or e.rng.random() < 0.7:
        return "(none)"
    shutil.rmtree(p)
    return str(p.relative_to(e.root))


def link(e: Edits, p: Path) -> str:
    new = e.rng.choice(e.dirs()) / e.new_name()
    os.link(p, new)
    return str(new.relative_to(e.root))


def replace_by_dir(e: Edits, p: Path) -> None:
    p.unlink()
    p.mkdir()
    e.write(p / "x", e.size())


def hidden_size(e: Edits, p: Path) -> None:
    """Another size, the same time: the size gives it away [CDM-140]."""
    st = p.stat()
    os.truncate(p, st.st_size + 10)
    os.utime(p, ns=(0, st.st_mtime_ns))


def hidden_content(e: Edits, p: Path) -> str | None:
    """The same size and time [CDM-045]."""
    st = p.stat()
    if st.st_nlink > 1 or st.st_size == 0:
        return "(not this one)"
    p.write_bytes(noise(e.names + 7, st.st_size))
    os.utime(p, ns=(0, st.st_mtime_ns))
    e.hidden.add(os.fsencode(p.relative_to(e.root)))
    return None


def exclude(e: Edits) -> str:
    """Patterns of the command line, or a file of them, come and go."""
    file = e.rng.choice(e.dirs()) / ".pxarexclude"
    if e.rng.random() < 0.5:
        if file.exists():
            file.unlink()
        else:
            file.write_text(f"{e.rng.choice('abcdefgh')}*\n")
            e.stamp(file)
        return str(file.relative_to(e.root))
    if e.excludes and e.rng.random() < 0.6:
        return f"no more {e.excludes.pop()}"
    e.excludes.append(f"{e.rng.choice('ijklmnop')}{e.rng.randrange(10)}*")
    return f"--exclude {e.excludes[-1]}"


OPERATIONS: list[Callable[[Edits], object]] = [
    create, create, create, make_dir, symlink, fifo, rename_dir, delete_dir, exclude,
    *map(with_file, (insert_neighbours, rewrite, grow, shrink, touch, touch, chmod, chown, set_xattr, set_xattr, rename, move,
                     delete, delete, link, replace_by_dir, hidden_size, hidden_content))]


# ---- a chain ----

@dataclass
class Chain:
    server: Server
    client: Client
    edits: Edits
    rng: random.Random
    keyed: bool = False
    cache_limit: int | None = None  # of open files, as a resource limit
    traced: Path | None = None
    last_mode: str = ""
    digests: dict[bytes, str] = field(default_factory=dict)  # of the files, as archived last
    reused: int = 0
    injections: int = 0

    def store(self) -> Any:
        return oracle_store(self.server.store, self.keyed)

    def rows(self, name: str) -> list[Row]:
        """Of an index of the newest snapshot; empty if it has none of that name."""
        store = self.store()
        snapshot = store.find("host/box/latest")
        if not os.path.exists(store.full(snapshot, name)):
            return []
        return store.index(snapshot, store.manifest(snapshot).file(name)).chunks

    def previous(self, mode: str) -> Previous | None:
        if mode != "metadata" or self.last_mode not in ("data", "metadata"):
            return None
        store = self.store()
        return previous_of(store.reader(store.find("host/box/latest"), "root.mpxar"), self.rows("root.ppxar.didx"))

    def command(self, number: int, mode: str, chunk_size: int) -> list[str]:
        args = ["backup", f"root.pxar:{self.edits.root}", "--backup-id", "box", "--backup-time", str(T0 + number),
                "--chunk-size", str(chunk_size), "--change-detection-mode", mode, "--output-format", "json"]
        for pattern in self.edits.excludes:
            args += ["--exclude", pattern]
        return args + (["--keyfile", str(KEYFILE)] if self.keyed else [])

    def run(self, args: list[str]) -> tuple[dict[str, dict[str, Any]], list[str], dict[bytes, int] | None]:
        """Figures by archive, log lines, and what was read if that is traced."""
        command = [program(), *args]
        if self.traced:
            command = ["strace", "-f", "-y", "-s", "0", "-o", str(self.traced), "-e", READING, *command]

        def lower() -> None:
            if self.cache_limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.cache_limit, self.cache_limit))

        done = subprocess.run(command, env={**self.client.env, "ASAN_OPTIONS": "exitcode=99:detect_leaks=0"}, timeout=120,
                              capture_output=True, preexec_fn=lower)
        text = done.stderr.decode()
        assert done.returncode == 0, text
        reads = reads_of(self.traced.read_text(errors="replace"), self.edits.root) if self.traced else None
        return {a["name"]: a for a in json.loads(done.stdout)["archives"]}, [x.rstrip() for x in text.splitlines()], reads

    def generation(self, number: int) -> None:
        mode = self.rng.choice(["metadata"] * 8 + ["data", "legacy"]) if number else "data"
        chunk_size = self.rng.choice([64, 64, 64, 128])
        self.edits.log.append(f"--- generation {number}: {mode}, chunks of {chunk_size} KiB, without {self.edits.excludes}")
        previous = self.previous(mode)
        limit = self.cache_limit - self.cache_limit // 2 if self.cache_limit else 1 << 16  # CDM-081
        plan = predict(previous, self.edits.root, self.edits.excludes, limit)
        known = {name: {d for _, _, d in self.rows(name)} if number else set()
                 for name in ("root.pxar.didx", "root.mpxar.didx", "root.ppxar.didx")}
        mark = len(self.server.journal_lines())
        figures, lines, reads = self.run(self.command(number, mode, chunk_size))
        streams = streams_of(self.server.journal_lines()[mark:])
        if mode == "legacy":
            check_upload(streams["root.pxar.didx"], figures["root.pxar.didx"], known["root.pxar.didx"], [])
        else:
            assert (USING in lines) == (previous is not None)
            self.check_split(plan, previous, figures, lines, streams, known)
        if reads is not None:
            check_reads(plan, reads)
        self.check_content(plan, mode)
        self.last_mode = mode
        self.reused += len(plan.reused)
        self.injections += len(plan.injections)

    def check_split(self, plan: Plan, previous: Previous | None, figures: dict[str, dict[str, Any]], lines: list[str],
                    streams: dict[str, Stream], known: dict[str, set[bytes]]) -> None:
        payload, meta = streams["root.ppxar.didx"], streams["root.mpxar.didx"]
        assert payload.rows == self.rows("root.ppxar.didx") and meta.rows == self.rows("root.mpxar.didx")
        assert payload.size == plan.pos and payload.chunks == len(payload.rows)
        old = previous.rows if previous else []
        injected = check_injections(plan, payload.rows, old)
        check_upload(payload, figures[payload.name], known[payload.name], injected)
        check_upload(meta, figures[meta.name], known[meta.name], [])
        f = figures[payload.name]
        assert (f["reused_files"], f["files"]) == (len(plan.reused), len(plan.references))
        assert f["injected_bytes"] == sum(e - s for s, e in injected)
        assert f["injected_chunks"] == sum(len(numbers) for _, numbers in plan.injections)
        assert (SUMMARY in lines) == (previous is not None)
        if previous:
            assert lines[lines.index(SUMMARY) + 1:][:4] == summary_of(plan, old)
        check_references(plan, payload)

    def check_content(self, plan: Plan, mode: str) -> None:
        """References as predicted; every file as it is, or, if it was re-used, as it was archived before."""
        store = self.store()
        name = "root.pxar" if mode == "legacy" else "root.mpxar"
        reader = store.reader(store.find("host/box/latest"), name)
        if mode != "legacy":
            entries = [e for e in reader if e.path]
            assert [(e.path, e.content.offset - HEADER, e.content.size) for e in entries
                    if e.kind == "file" and e.link is None] == plan.references
            assert [e.path for e in entries if e.link is not None] == plan.links
        nodes = archive_tree.capture(store.reader(store.find("host/box/latest"), name))
        nodes.pop(archive_tree.CLI_NAME, None)
        wanted = tree.scan(str(self.edits.root), Selection([parse(p.encode()) for p in self.edits.excludes]))
        for path in self.edits.hidden & plan.reused if mode != "legacy" else ():
            wanted[path].digest = self.digests[path]
        self.edits.hidden = {p for p in self.edits.hidden & plan.reused} if mode != "legacy" else set()
        assert tree.compare(nodes, wanted) == []
        self.digests = {path: node.digest for path, node in nodes.items()}


def check_injections(plan: Plan, rows: list[Row], old: list[Row]) -> list[tuple[int, int]]:
    """The stored index has exactly these chunks of the previous one, there; returns where."""
    starts = {start: i for i, (start, _, _) in enumerate(rows)}
    out = []
    for boundary, numbers in plan.injections:
        at = starts[boundary]
        end = boundary
        for k, number in enumerate(numbers):
            size = old[number][1] - old[number][0]
            assert rows[at + k] == (end, end + size, old[number][2])
            end += size
        out.append((boundary, end))
    return out


def check_upload(stream: Stream, figures: dict[str, Any], known: set[bytes], injected: list[tuple[int, int]]) -> None:
    """Each raw chunk that is new went over the wire once, nothing else did."""
    wanted = must_upload(stream.rows, known, injected)
    assert sorted(stream.uploaded) == sorted(wanted.items())
    assert (figures["new_chunks"], figures["new_bytes"]) == (len(wanted), sum(wanted.values()))
    assert figures["chunks"] == len(stream.rows)
    assert figures["new_bytes"] + figures["known_bytes"] + figures["injected_bytes"] == stream.size


def check_references(plan: Plan, payload: Stream) -> None:
    at = HEADER
    for _, offset, size in plan.references:
        assert offset >= at
        at = offset + HEADER + size
    assert at <= payload.size - HEADER


def check_reads(plan: Plan, reads: dict[bytes, int]) -> None:
    """Contents of files that are written were read once, of others not a byte. Lists of patterns are read in any case."""
    sizes = {path: size for path, _, size in plan.references if path in plan.written and size > 0}
    got = {path: n for path, n in reads.items() if n > 0 and not path.endswith(b".pxarexclude")}
    assert got == {path: n for path, n in sizes.items() if not path.endswith(b".pxarexclude")}


def check_chain(chain: Chain, seed: int) -> None:
    chain.edits.root.mkdir()
    try:
        first = [create] * 8 + [make_dir, with_file(link)]
        for _ in range(chain.rng.randrange(20, 50)):
            chain.rng.choice(first)(chain.edits)
        for number in range(GENERATIONS):
            chain.generation(number)
            chain.edits.apply(chain.rng.choice([0, 1, 1, 2, 3, 6, 12]))
    except AssertionError:
        print(f"PBR_SEED={seed} repeats this:\n" + "\n".join(chain.edits.log))
        raise
    assert_sound(chain.server.store, keyed=chain.keyed, snapshots=GENERATIONS)
    assert chain.reused > 0 and chain.injections > 0  # it must not all hold because nothing is re-used


def chain_of(seed: int, pbs_server: Server, client: Client, tmp_path: Path, **kw: Any) -> Chain:
    rng = random.Random(seed)
    return Chain(pbs_server, client, Edits(tmp_path / "source", rng), rng, **kw)


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + CHAINS))
def test_generations_are_as_predicted(seed: int, pbs_server: Server, client: Client, tmp_path: Path) -> None:
    check_chain(chain_of(seed, pbs_server, client, tmp_path), seed)


def test_encrypted_generations_are_as_predicted(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    """Digests are keyed; the decisions are the same."""
    check_chain(chain_of(FIRST_SEED, pbs_server, client, tmp_path, keyed=True), FIRST_SEED)


def test_generations_with_little_room_are_as_predicted(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    """20 entries may wait."""
    check_chain(chain_of(FIRST_SEED, pbs_server, client, tmp_path, cache_limit=40), FIRST_SEED)


def can_trace(path: Path) -> bool:
    return shutil.which("strace") is not None and subprocess.run(
        ["strace", "-o", str(path), "true"], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("seed", [FIRST_SEED + 100])
def test_only_what_is_written_was_read(seed: int, pbs_server: Server, client: Client, tmp_path: Path) -> None:
    if not can_trace(tmp_path / "trace"):
        pytest.skip("system calls cannot be traced here (strace is missing or not permitted)")
    check_chain(chain_of(seed, pbs_server, client, tmp_path, traced=tmp_path / "trace"), seed)
