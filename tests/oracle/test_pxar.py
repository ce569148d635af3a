# covers: PXAR-003 PXAR-010 PXAR-012 PXAR-013 PXAR-014 PXAR-016 PXAR-030 PXAR-040 PXAR-043 PXAR-050 PXAR-052 PXAR-060
# covers: PXAR-061 PXAR-063 PXAR-070 PXAR-073 PXAR-074 PXAR-131 PXAR-134 PXAR-135 PXAR-139 PXAR-150 PXAR-151 PXAR-152
# covers: PXAR-153 PXAR-157 PXAR-158 PXAR-170 PXAR-172 PXAR-180 PXAR-181 PXAR-182 PXAR-183
# SPDX-License-Identifier: MIT
"""Parser: constants, worked examples of the sheet, every golden archive."""
from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from .conftest import GOLDEN, golden
from .errors import OracleError
from .pxar import open_reader, parse
from .pxar_items import (CODE, HEADER, STAT, STAT_V1, TYPES, Content, Entry, Link, siphash24,
                         tree_order)
from .pxar_write import Encoder
from .source import BytesSource, FileSource

EXTRACT = GOLDEN / "extract.pxar"
V1 = sorted((GOLDEN / "pxar").glob("*.pxar"))
V2 = sorted((GOLDEN / "pxar").glob("*.mpxar"))
REUSE = sorted((GOLDEN / "reuse").glob("*.mpxar"))
KINDS = {"-": "file", "d": "dir", "l": "symlink", "b": "blockdev", "c": "chardev", "p": "fifo",
         "s": "socket", "L": "hardlink"}


def test_constants() -> None:
    for name, (code, text) in TYPES.items():
        assert siphash24(text.encode()) == code, name
    for name, value in ((b"a", 0x0C26E9067C2C7BCF), (b"file1", 0x3D21C7E25C46B0A3),
                        (b"", 0x76614015F8D1BB6C), (b".pxarexclude-cli", 0x046975CE672E09EB),
                        (b"\xff", 0x5E60E7E3360496B8)):
        assert siphash24(name) == value


def test_tree_order() -> None:
    table = {1: "0", 2: "1 0", 3: "1 0 2", 4: "2 1 3 0", 5: "3 1 4 0 2", 6: "3 1 5 0 2 4",
             7: "3 1 5 0 2 4 6", 8: "4 2 6 1 3 5 7 0", 9: "5 3 7 1 4 6 8 0 2",
             10: "6 3 8 1 5 7 9 0 2 4", 11: "7 3 9 1 5 8 10 0 2 4 6",
             12: "7 3 10 1 5 9 11 0 2 4 6 8"}
    for count, text in table.items():
        assert tree_order(count) == [int(x) for x in text.split()]
    assert tree_order(0) == []


def example(payload: io.BytesIO | None, prelude: bytes | None) -> bytes:
    """The tree of PXAR-182 and PXAR-183."""
    def entry(kind: str, mode: int, nanos: int, size: int | None = None) -> Entry:
        content = None if size is None else Content("", 0, 0, size)
        secs = 1430487000 if nanos else 1430487001
        return Entry(b"", kind, 0, 0, mode, 0, 1000, 1000, secs, nanos, content=content)

    out = io.BytesIO()
    encoder = Encoder(out, payload, prelude)
    encoder.open_dir(None, entry("dir", 0o40755, 1_000_000))
    start = encoder.pos
    encoder.file(b"a", entry("file", 0o100644, 0, 5), io.BytesIO(b"hello"))
    encoder.leaf(b"b", Entry(b"b", "hardlink", 0, 0, link=Link(b"a", 0, start)))
    encoder.open_dir(b"c", entry("dir", 0o40755, 1_000_000))
    encoder.file(b"d", entry("file", 0o100644, 0, 0), io.BytesIO(b""))
    encoder.close_dir()
    encoder.close_dir()
    return out.getvalue()


def test_worked_examples() -> None:
    v1 = example(None, None)
    assert len(v1) == 535
    assert hashlib.sha256(v1).hexdigest() == \
        "164b0e06259262e48ce38ee86603372411582a8c4b69e1f6b00c954221db9b2d"
    payload = io.BytesIO()
    v2 = example(payload, b'{"exclude-patterns":"*.tmp\\n"}')
    assert hashlib.sha256(v2).hexdigest() == \
        "77bbe328ba08eef10e4dd5cf52e4be4832dc3065e49f2563e1bfc61493e095f3"
    assert hashlib.sha256(payload.getvalue()).hexdigest() == \
        "e1485e18d9935baa12cbe23d423ea5a0f35067ad37f5f77693007fb4f4628867"
    for entries in (parse(v1), parse(v2, payload.getvalue()), parse(v2)):
        assert [e.path for e in entries] == [b"", b"a", b"b", b"c", b"c/d"]
        link = entries[2].link
        assert link is not None and link.path == b"a" and link.target == entries[1].start
        assert entries[0].end == (535 if entries[1].start == 56 else 632)


def test_legacy_entry() -> None:
    """PXAR-063, ENTRY_V1 as root."""
    stat = STAT_V1.pack(0o40755, 0, 7, 8, 1430487000123456789)
    item = HEADER.pack(CODE["ENTRY_V1"], 48) + stat
    assert item.hex() == ("ffce1c1c0a85da113000000000000000ed41000000000000000000000000000007000000"
                          "08000000153d2cfa581cda13")
    archive = item + HEADER.pack(CODE["GOODBYE"], 40) + \
        b"".join(n.to_bytes(8, "little") for n in (CODE["GOODBYE_TAIL"], 48, 40))
    root, = parse(archive)
    assert (root.mtime_secs, root.mtime_nanos, root.uid, root.gid) == (1430487000, 123456789, 7, 8)


def test_negative_time() -> None:
    """PXAR-052."""
    raw = STAT.pack(0, 0, 0, 0, -1, 999_000_000, 0)
    assert raw[24:].hex() == "ffffffffffffffffc0878b3b00000000"


@pytest.mark.parametrize("path", V1 + V2, ids=lambda p: p.name)
def test_golden(path: Path) -> None:
    """Parses, and agrees with the original's listing line by line."""
    payload = path.with_suffix(".ppxar")
    split = path.suffix == ".mpxar" and payload.exists()
    entries = list(open_reader(str(path), str(payload) if split else None))
    listing = path.with_suffix(".list").read_bytes().splitlines()
    if path.suffix == ".mpxar":  # the listings are those of the v1 archives
        listing = [line for line in listing if b'"/.pxarexclude-cli"' not in line]
    assert len(entries) == len(listing)
    for entry, line in zip(entries, listing):
        assert entry.kind == KINDS[chr(line[0])]
        owner, _date, _time, size, _path = line[12:].decode("latin-1").split(None, 4)
        assert owner == f"{entry.uid}/{entry.gid}"
        if entry.content is not None:
            assert int(size) == entry.content.size
        if entry.device is not None:
            assert size == "{},{}".format(*entry.device)
        assert line[10:11] == (b" " if entry.acl.empty() else b"+")
        assert line[11:12] == (b"+" if entry.xattrs else b" ")


def test_extract_archive() -> None:
    paths = [e.path.decode() for e in open_reader(str(EXTRACT))]
    assert paths == ["", "d", "d/sub", "d/sub/deep", "d/x", "d/y", "empty", "f", "h", "l", "p", "z"]


@pytest.mark.parametrize("path", REUSE, ids=lambda p: p.name)
def test_reuse_archives(path: Path) -> None:
    """Payload references of archives with re-used payload, against the recorded ones."""
    name, generation = path.name.removesuffix(".mpxar").rsplit(".g", 1)
    recorded = golden(f"reuse/{name}")["generations"][int(generation)]
    found = [[e.path.decode(), "ref", e.content.header, e.content.size]
             for e in open_reader(str(path)) if e.content]
    assert found == [ref for ref in recorded["refs"] if ref[1] == "ref"]


def test_order_of_references() -> None:
    """PXAR-139: archives with decreasing references exist; they need `lax_refs`."""
    out = io.BytesIO()
    encoder = Encoder(out, io.BytesIO(), None)
    encoder.open_dir(None, Entry(b"", "dir", 0, 0, 0o40755))
    for name, offset, size in ((b"a", 32, 5), (b"b", 16, 0)):
        content = Content("payload", offset, offset + 16, size)
        encoder.file(name, Entry(name, "file", 0, 0, 0o100644, content=content), None)
    encoder.close_dir()
    packed = [HEADER.pack(CODE["PAYLOAD_START"], 16), HEADER.pack(CODE["PAYLOAD"], 16),
              HEADER.pack(CODE["PAYLOAD"], 21), b"hello", HEADER.pack(CODE["PAYLOAD_TAIL"], 16)]
    for payload in (b"".join(packed), None):
        with pytest.raises(OracleError) as caught:
            parse(out.getvalue(), payload)
        assert caught.value.rule == "PXAR-245"
        assert len(parse(out.getvalue(), payload, lax_refs=True)) == 3


def test_sources(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1024
    path = tmp_path / "data"
    path.write_bytes(data)
    with FileSource(path) as source:
        for offset, length in ((0, 16), (65530, 16), (262140, 16), (5, 100_000), (262144, 1)):
            assert source.read(offset, length) == BytesSource(data).read(offset, length)
        assert b"".join(source.blocks(3, 10 ** 6)) == data[3:]
