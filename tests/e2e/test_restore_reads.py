# covers: EXT-029 RDR-030 RDR-065 PXAR-242
# SPDX-License-Identifier: MIT
"""Which chunks a restore asks the server for: those that hold a byte it needs, each once."""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from support import Client, Server, assert_same, chunks_of, noise, oracle_store

GROUP = "host/box"
CHUNK_KIB = 64
BIG = 90 * CHUNK_KIB << 10


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Small files, a file of many chunks, and small ones again."""
    path = tmp_path / "source"
    (path / "a").mkdir(parents=True)
    (path / "c").mkdir()
    for i in range(60):
        (path / "a" / f"f{i:02d}").write_bytes(noise(i, 30_000))
        (path / "c" / f"f{i:02d}").write_bytes(noise(100 + i, 30_000))
    (path / "b").write_bytes(noise(99, BIG))
    return path


def chunk_reads(server: Server) -> list[str]:
    return [line["digest"] for line in server.events("chunk-read")]


def numbers(server: Server, index: str, digests: Iterable[str]) -> list[int]:
    """Which chunks of an index were read, in ascending order."""
    of = {digest.hex(): i for i, (_, _, digest) in enumerate(chunks_of(server.store, f"{GROUP}/latest", index))}
    return sorted(of[d] for d in digests if d in of)


def holding(server: Server, index: str, start: int, end: int) -> set[int]:
    """The chunks with bytes of a range."""
    chunks = chunks_of(server.store, f"{GROUP}/latest", index)
    return {i for i, (begin, stop, _) in enumerate(chunks) if begin < end and start < stop}


def places(server: Server) -> dict[str, tuple[int, int]]:
    """Every file's record: from its PAYLOAD header to the end of its contents."""
    found = oracle_store(server.store)
    return {e.path.decode(): (e.content.header, e.content.offset + e.content.size)
            for e in found.reader(found.find(f"{GROUP}/latest"), "root.pxar") if e.content}


def restore(client: Client, target: Path, *patterns: str) -> None:
    client.expect_ok("restore", GROUP, "root.pxar", target, *(x for p in patterns for x in ("--pattern", p)))


@pytest.mark.parametrize("paths", [("a/f00",), ("a/f30",), ("b",), ("c/f59",), ("a/f05", "c/f20"), ()])
def test_split_archive_is_read_where_the_files_are(pbs_server: Server, client: Client, source: Path, tmp_path: Path,
                                                  paths: tuple[str, ...]) -> None:
    client.backup(f"root.pxar:{source}", "--chunk-size", str(CHUNK_KIB), mode="data")
    restore(client, tmp_path / "out", *(f"/{p}" for p in paths or ("nothing",)))
    for path in paths:
        assert (tmp_path / "out" / path).read_bytes() == (source / path).read_bytes()
    records = places(pbs_server)
    needed = {0}.union(*(holding(pbs_server, "root.ppxar.didx", *records[p]) for p in paths))  # 0: the start marker
    reads = chunk_reads(pbs_server)
    assert numbers(pbs_server, "root.ppxar.didx", reads) == sorted(needed)
    metadata = chunks_of(pbs_server.store, f"{GROUP}/latest", "root.mpxar.didx")
    assert numbers(pbs_server, "root.mpxar.didx", reads) == list(range(len(metadata)))
    assert len(chunks_of(pbs_server.store, f"{GROUP}/latest", "root.ppxar.didx")) > 100


def test_read_ahead_is_no_more_than_was_read_in_a_row(pbs_server: Server, client: Client, source: Path, tmp_path: Path) -> None:
    client.backup(f"root.pxar:{source}", "--chunk-size", str(CHUNK_KIB), mode="data")
    restore(client, tmp_path / "out", "/a/f1?")
    records = places(pbs_server)
    start, end = records["a/f10"][0], records["a/f19"][1]
    needed = {0} | holding(pbs_server, "root.ppxar.didx", start, end)
    allowed = {0} | holding(pbs_server, "root.ppxar.didx", start, end + (end - start))
    got = set(numbers(pbs_server, "root.ppxar.didx", chunk_reads(pbs_server)))
    assert needed <= got <= allowed


def test_one_archive_is_read_up_to_its_end_but_for_big_contents_that_are_not_wanted(
        pbs_server: Server, client: Client, source: Path, tmp_path: Path) -> None:
    client.backup(f"root.pxar:{source}", "--chunk-size", str(CHUNK_KIB))
    restore(client, tmp_path / "out", "/a/f30")
    assert (tmp_path / "out/a/f30").read_bytes() == (source / "a/f30").read_bytes()
    chunks = chunks_of(pbs_server.store, f"{GROUP}/latest", "root.pxar.didx")
    got = numbers(pbs_server, "root.pxar.didx", chunk_reads(pbs_server))
    records = places(pbs_server)
    unwanted = [place for path, place in records.items() if path != "a/f30"]
    assert set(range(len(chunks))) - set(got) <= {
        i for i, (begin, stop, _) in enumerate(chunks) if any(start < begin and stop <= end for start, end in unwanted)}
    start, end = records["b"]
    inside = {i for i, (begin, stop, _) in enumerate(chunks) if start < begin and stop <= end}
    assert len(inside) > 70
    assert len(inside & set(got)) < len(inside) / 2  # what was asked for ahead of the first of them


@pytest.mark.parametrize("mode", ["legacy", "data"])
def test_whole_restore_reads_every_chunk_once(pbs_server: Server, client: Client, source: Path, tmp_path: Path,
                                              mode: str) -> None:
    client.backup(f"root.pxar:{source}", "--chunk-size", str(CHUNK_KIB), mode=mode)
    restore(client, tmp_path / "out")
    assert_same(tmp_path / "out", source)
    for index in ["root.pxar.didx"] if mode == "legacy" else ["root.mpxar.didx", "root.ppxar.didx"]:
        chunks = chunks_of(pbs_server.store, f"{GROUP}/latest", index)
        assert numbers(pbs_server, index, chunk_reads(pbs_server)) == list(range(len(chunks)))
