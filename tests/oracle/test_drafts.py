# covers: APX-010 APX-011 APX-012 APX-013 APX-016 APX-018 APX-025 APX-026 APX-028 APX-029 APX-031 APX-032 APX-033
# covers: APX-035 APX-037 APX-054 APX-056 APX-060 APX-061 APX-070 APX-072 APX-073 APX-074 SPL-014 SPL-015 SPL-020
# covers: SPL-023 SPL-024 SPL-025 SPL-026
# SPDX-License-Identifier: MIT
"""The worked examples of the two drafts, and archives and catalogs with one fault."""
from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from . import catalog, draft_appendix, index
from .errors import OracleError
from .pxar import Reader, parse
from .pxar_items import CODE, GOODBYE_RECORD, HEADER, TYPES, Content, Entry, siphash24
from .pxar_write import Encoder
from .source import BytesSource

DIR = Entry(b"", "dir", 0, 0, 0o40755, mtime_secs=1_700_000_000)
A_BIN = bytes(i % 251 for i in range(3000))


@contextmanager
def check_refused(rule: str) -> Iterator[None]:
    with pytest.raises(OracleError) as caught:
        yield
    assert caught.value.rule == rule


def file(encoder: Encoder, name: bytes, data: bytes) -> None:
    entry = Entry(name, "file", 0, 0, 0o100644, mtime_secs=1_700_000_000, content=Content("", 0, 0, len(data)))
    encoder.file(name, entry, io.BytesIO(data))


def archive(*files: tuple[bytes, bytes]) -> bytes:
    out = io.BytesIO()
    encoder = Encoder(out, None, None)
    encoder.open_dir(None, DIR)
    for name, data in files:
        file(encoder, name, data)
    encoder.close_dir()
    return out.getvalue()


def split(*files: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    out, payload = io.BytesIO(), io.BytesIO()
    encoder = Encoder(out, payload, None, draft=True)
    encoder.open_dir(None, DIR)
    for name, data in files:
        file(encoder, name, data)
    encoder.close_dir()
    return out.getvalue(), payload.getvalue()


def with_appendix(old: bytes, refs: list[tuple[bytes, int, int]], *files: tuple[bytes, bytes]) -> bytes:
    """An archive of references and files, with all of `old` as its appendix."""
    out = io.BytesIO()
    encoder = Encoder(out, None, None)
    encoder.open_dir(None, DIR)
    for name, offset, size in refs:
        start = encoder.pos
        encoder.item("FILENAME", name + b"\0")
        encoder.numbers("APPENDIX_REF", offset, size)
        encoder.child(name, start, 0)
    for name, data in files:
        file(encoder, name, data)
    encoder.numbers("APPENDIX", len(old))
    a = encoder.pos
    encoder.out(old)
    here = encoder.pos
    encoder.close_dir()
    raw = out.getvalue()
    size = len(raw) - here + 24
    body = raw[here + 16:-24]
    return raw[:here] + HEADER.pack(CODE["GOODBYE"], size) + body + GOODBYE_RECORD.pack(CODE["GOODBYE_TAIL"], here, size) + \
        GOODBYE_RECORD.pack(CODE["APPENDIX_TAIL"], here - a, len(old))


ONE = archive((b"a.bin", A_BIN), (b"b.txt", b"hello"))
TWO = with_appendix(ONE, [(b"a.bin", 56, 3000)], (b"b.txt", b"HELLO!"))


def test_types_are_hashes_of_their_names() -> None:
    assert all(siphash24(text.encode()) == code for code, text in TYPES.values())


def test_worked_examples() -> None:
    meta, payload = split((b"f", b"hi\n"))
    assert hashlib.sha256(meta).hexdigest() == "edcb9be13c9fe3ee582c815500c975f9d0478accf0cbde35d25cb1f86a1b135f"
    assert hashlib.sha256(payload).hexdigest() == "c1b55d30df61f384abe60fa07cf471cc2e9a2bf269785728487759ca41f432d4"
    assert hashlib.sha256(ONE).hexdigest() == "b49b973e777ebe38189f8a0992dd6401baee8cebaf73960d97324eb14161dce2"
    assert hashlib.sha256(TWO).hexdigest() == "470f4208f063827fb518688902ad358a54e559e8421f0e6456ede11e81537f76"


def contents(raw: bytes, payload: bytes | None = None) -> dict[bytes, bytes]:
    reader = Reader(BytesSource(raw), None if payload is None else BytesSource(payload))
    return {e.path: b"".join(reader.data(e)) for e in reader if e.kind == "file"}


def test_drafts_are_read() -> None:
    assert contents(*split((b"f", b"hi\n"), (b"g", b""))) == {b"f": b"hi\n", b"g": b""}
    assert contents(TWO) == {b"a.bin": A_BIN, b"b.txt": b"HELLO!"}
    marker = HEADER.pack(CODE["DRAFT_VERSION"], 16)
    assert contents(marker + ONE) == {b"a.bin": A_BIN, b"b.txt": b"hello"}


def test_split_faults() -> None:
    meta, payload = split((b"f", b"hi\n"))
    with check_refused("SPL-024"):
        parse(meta, payload[:-16])
    with check_refused("PXAR-243"):
        parse(meta, b"\0" * 16 + payload[16:])
    with check_refused("PXAR-220"):  # contents where a payload stream is given
        parse(archive((b"f", b"hi\n")), payload)


@pytest.mark.parametrize("rule, refs", [
    ("APX-054", [(b"a.bin", 3337, 3000)]), ("APX-054", [(b"a.bin", 56, 2999)]), ("APX-054", [(b"b.bin", 56, 3000)]),
    ("PXAR-223", [(b"a.bin", 57, 3000)]), ("APX-054", [(b"a.bin", 78, 3000)]),
    ("APX-026", []),
])
def test_references_are_checked(rule: str, refs: list[tuple[bytes, int, int]]) -> None:
    with check_refused(rule):
        parse(with_appendix(ONE, refs))


def test_references_do_not_lead_to_references() -> None:
    old = with_appendix(ONE, [(b"a.bin", 56, 3000)])
    assert contents(old)[b"a.bin"] == A_BIN
    nested = with_appendix(old, [(b"a.bin", 56, 3000)])  # a reference behind a reference
    with check_refused("APX-029"):
        parse(nested)


def test_truncations_and_last_records() -> None:
    for size in range(len(TWO)):
        with pytest.raises(OracleError):
            parse(TWO[:size])
    for at, rule in ((len(TWO) - 8, "APX-061"), (len(TWO) - 16, "APX-061"), (len(TWO) - 24, "APX-056"), (226, "APX-061")):
        bad = bytearray(TWO)
        bad[at] ^= 1
        with check_refused(rule):
            parse(bytes(bad))


def test_extended_catalogs() -> None:
    items = [catalog.Item("a", b"root.pxar.didx", position=234, children=[
        catalog.Item("r", b"a.bin", 3000, 1_700_000_000, 1_700_000_100, 56),
        catalog.Item("f", b"b.txt", 6, 1_700_000_000, 1_700_000_200, 110)])]
    raw = catalog.build(items, extended=True)
    assert raw.hex() == ("ccdf18d3bb7db7e2" "2802" "7205612e62696eb81780e2cfaa06e4e2cfaa0638"
                         "6605622e7478740680e2cfaa06c8e3cfaa066e" "1401" "610e726f6f742e707861722e6469647829ea01" "3100000000000000")
    found = catalog.parse(raw)
    assert [(i.type, i.position, i.ctime) for i in found[0].children] == [("r", 56, 1_700_000_100), ("f", 110, 1_700_000_200)]
    assert draft_appendix.entries_by_path(found, b"root.pxar.didx")[1] == 234
    with check_refused("CAT-044"):
        catalog.parse(catalog.MAGIC + raw[8:])
    with check_refused("APX-074"):
        catalog.parse(catalog.build([catalog.Item("d", b"x", children=items)], extended=True))


def test_names_of_halves() -> None:
    pair = ["root.pxar.meta.didx", "root.pxar.pld.didx"]
    for name in ("root.pxar", "root.pxar.didx", "root.pxar.meta", "root.pxar.pld.didx", "root.pxar.data"):
        assert index.resolve(name, set(pair)) == pair
    assert index.resolve("root.pxar", {*pair, "root.pxar.didx"}) == ["root.pxar.didx"]
    with check_refused("SPL-014"):
        index.resolve("root.pxar", {*pair, "root.pxar.data.didx"})
