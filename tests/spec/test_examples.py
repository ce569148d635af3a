# covers: PXAR-001 PXAR-015 PXAR-052 PXAR-060 PXAR-062 PXAR-063 PXAR-085 PXAR-101 PXAR-102 PXAR-103 PXAR-104 PXAR-111 CAT-021
# covers: PXAR-138 PXAR-150 PXAR-151 PXAR-157 PXAR-158 PXAR-172 PXAR-180 .. PXAR-183 PXAR-185 .. PXAR-191 CRT-116 BLOB-002 BLOB-003 BLOB-004
# covers: APX-070 APX-071 APX-072 APX-073 APX-074 SPL-020 SPL-023 SPL-024 SPL-025 BLOB-014 BLOB-022
# covers: BLOB-110 .. BLOB-112 BLOB-114 BLOB-115 IDX-130 IDX-131 CAT-090 BKP-126 CRY-030 CRY-092
# SPDX-License-Identifier: MIT
"""The blocks of bytes in the sheets, read out of the text: the independent reader decodes each, and encoding what was
read gives the same bytes. The C library does the same in tests/unit/*_examples_test.c."""
from __future__ import annotations

import hashlib
import io
import re
import struct
from collections.abc import Callable

import pytest
from documents import ROOT, Example, read_examples
from oracle import acl, blob, catalog, crypto, index, pxar
from oracle.pxar_items import CODE, GOODBYE_RECORD, HEADER, Content, Entry, siphash24, tree_order
from oracle.pxar_write import Encoder

KEY = crypto.Key(bytes(range(32)))
EXAMPLES = read_examples()


def encode(entries: list[Entry], archive: bytes, payload: bytes | None, prelude: bytes | None,
           injected: list[tuple[int, int]]) -> tuple[bytes, bytes | None]:
    """The same entries, written again; a reference into injected payload stays one."""
    out, data = io.BytesIO(), None if payload is None else io.BytesIO()
    encoder = Encoder(out, data, prelude, injected)
    reused = [(boundary, boundary + size) for boundary, size in injected]
    for entry in entries:
        name = entry.path.rsplit(b"/", 1)[-1]
        while len(encoder.dirs) > (entry.path.count(b"/") + 1 if entry.path else 0):
            encoder.close_dir()
        if entry.kind == "dir":
            encoder.open_dir(name or None, entry)
        elif entry.kind == "file":
            source = archive if payload is None else payload
            here = entry.content
            assert here is not None
            if any(low <= here.header < high for low, high in reused):
                encoder.file(name, entry, None)
            else:
                encoder.file(name, entry, io.BytesIO(source[here.offset:here.offset + here.size]))
        else:
            encoder.leaf(name, entry)
    for boundary, size in injected:  # the encoder only counts injected bytes
        if data is not None and payload is not None:
            written = data.getvalue()
            data = io.BytesIO(written[:boundary] + payload[boundary:boundary + size] + written[boundary:])
            data.seek(0, io.SEEK_END)
            encoder.payload = data
    while encoder.dirs:
        encoder.close_dir()
    return out.getvalue(), data and data.getvalue()


@pytest.mark.parametrize(("name", "payload", "prelude", "injected", "paths"), [
    ("pxar-empty-v1", None, None, [], [b""]),
    ("pxar-empty-v2", "pxar-empty-v2-payload", None, [], [b""]),
    ("pxar-small-v1", None, None, [], [b"", b"a", b"b", b"c", b"c/d"]),
    ("pxar-small-v2", "pxar-small-v2-payload", b'{"exclude-patterns":"*.tmp\\n"}', [], [b"", b"a", b"b", b"c", b"c/d"]),
    ("pxar-items", None, None, [], [b"", b"acl", b"blk", b"fifo", b"link", b"sock", b"sym"]),
    ("pxar-reused", "pxar-reused-payload", None, [(16, 73)], [b"", b"kept", b"small"]),
])
def test_archives_decode_and_encode_to_the_same_bytes(examples: dict[str, Example], name: str, payload: str | None,
                                                      prelude: bytes | None, injected: list[tuple[int, int]],
                                                      paths: list[bytes]) -> None:
    archive = examples[name].data
    content = None if payload is None else examples[payload].data
    entries = pxar.parse(archive, content)
    assert [e.path for e in entries] == paths
    assert encode(entries, archive, content, prelude, injected) == (archive, content)


def test_items_example_says_what_its_text_says(examples: dict[str, Example]) -> None:
    root, file, device, _, link, _, target = pxar.parse(examples["pxar-items"].data)
    assert root.acl.default == (7, 5, 0, 7) and root.acl.default_users == [(1001, 7)]
    assert (file.mtime_secs, file.mtime_nanos, file.flags) == (-1, 999_000_000, 0x410000)
    assert file.acl == acl.to_items(examples["acl-xattr"].data, None)
    assert file.xattrs == [(b"user.foo", b"bar")] and file.projid == 1234 and len(file.fcaps or b"") == 20
    assert device.device == (259, 300) and target.target == b"/tmp/x"
    assert link.link is not None and link.link.path == b"acl" and link.link.target == file.start


def test_re_used_payload_is_read_through_references_only(examples: dict[str, Example]) -> None:
    payload = examples["pxar-reused-payload"].data
    _, kept, small = pxar.parse(examples["pxar-reused"].data, payload)
    assert kept.content is not None and small.content is not None
    assert [payload[c.offset:c.offset + c.size] for c in (kept.content, small.content)] == [b"hello", b"new\n"]
    assert payload.count(HEADER.pack(CODE["PAYLOAD_START"], 16)) == 2  # the old marker lies inside


def test_legacy_entries_are_read(examples: dict[str, Example]) -> None:
    root, file = pxar.parse(examples["pxar-entry-v1"].data)
    assert (root.uid, root.gid, root.mtime_ns) == (7, 8, 1430487000123456789)
    assert (file.mode, file.mtime_ns) == (0o100644, 1430487001000000000)


def test_goodbye_table_is_the_search_tree_of_its_hashes(examples: dict[str, Example]) -> None:
    data = examples["pxar-table"].data
    assert HEADER.unpack_from(data) == (CODE["GOODBYE"], 184)
    children = sorted((siphash24(n.encode()), 500 - 56 - 74 * i, 74) for i, n in enumerate("abcdef"))
    records = [GOODBYE_RECORD.unpack_from(data, at) for at in range(16, 184, 24)]
    assert records == [children[i] for i in tree_order(6)] + [(CODE["GOODBYE_TAIL"], 500, 184)]


@pytest.mark.parametrize(("name", "plain", "keyed", "again"), [
    ("blob-plain", b"hello", False, False), ("blob-encrypted", b"hello", True, False),
    ("blob-encrypted-empty", b"", True, False), ("chunk-body", b"hello world", False, False),
    ("blob-zstd", b"a" * 100, False, None), ("blob-encrypted-zstd", b"a" * 100, True, None),
])
def test_blobs_decode_and_encode(examples: dict[str, Example], name: str, plain: bytes, keyed: bool,
                                 again: bool | None) -> None:
    raw = examples[name].data
    key = KEY if keyed else None
    digest = blob.digest_of(plain, keyed, key)
    assert blob.decode(raw, key, digest) == plain
    if again is not None:  # frames of zstd are not canonical (BLOB-031)
        assert blob.encode(plain, again, key, bytes(range(0xA0, 0xB0)) if keyed else None) == raw


def test_index_files_parse_and_build(examples: dict[str, Example]) -> None:
    dynamic, fixed = examples["didx"].data, examples["fidx"].data
    uuid, ctime = bytes.fromhex("00112233445566778899aabbccddeeff"), 1_700_000_000
    assert index.parse(dynamic).size == 6024 and index.parse(fixed).size == 8196
    ends = [(end, dynamic[at + 8:at + 40]) for at in range(4096, len(dynamic), 40)
            for end in struct.unpack_from("<Q", dynamic, at)]
    assert index.build_dynamic(ends, uuid, ctime) == dynamic
    digests = [fixed[at:at + 32] for at in range(4096, len(fixed), 32)]
    assert index.build_fixed(8196, 4096, digests, uuid, ctime) == fixed
    assert [d for _, d in ends] == [hashlib.sha256(c).digest() for c in (b"A" * 1000, b"B" * 24, b"C" * 5000)]


def test_catalog_parses_and_builds(examples: dict[str, Example]) -> None:
    data = examples["catalog"].data
    (archive,) = catalog.parse(data)
    assert catalog.build([archive]) == data
    found = archive.children + archive.children[1].children
    assert {(i.type, i.name, i.size, i.mtime) for i in found} == {
        ("f", b"a.txt", 5, 1_700_000_000), ("d", b"sub", 0, 0), ("h", b"z-hard", 0, 0), ("l", b"link", 0, 0), ("f", b"old", 300, -1)}


def test_draft_split_archive_decodes(examples: dict[str, Example]) -> None:
    archive, payload = examples["spl-archive"].data, examples["spl-payload"].data
    _, file = pxar.parse(archive, payload)
    assert file.path == b"f" and file.content is not None
    assert payload[file.content.offset:file.content.offset + file.content.size] == b"hi\n"


def test_draft_appendix_archive_decodes(examples: dict[str, Example]) -> None:
    """Snapshot 2: its head, all of snapshot 1, its tail."""
    a_bin = bytes(i % 251 for i in range(3000))
    out = io.BytesIO()
    encoder = Encoder(out, None, None)

    def entry(mode: int, size: int = 0) -> Entry:
        return Entry(b"", "file", 0, 0, mode=mode, mtime_secs=1_700_000_000, content=Content("archive", 0, 0, size))

    encoder.open_dir(None, entry(0o40755))
    for name, data in ((b"a.bin", a_bin), (b"b.txt", b"hello")):
        encoder.file(name, entry(0o100644, len(data)), io.BytesIO(data))
    encoder.close_dir()
    archive = examples["apx-head"].data + out.getvalue() + examples["apx-tail"].data
    assert hashlib.sha256(archive).hexdigest() == "470f4208f063827fb518688902ad358a54e559e8421f0e6456ede11e81537f76"
    found = {e.path: e.content for e in pxar.parse(archive) if e.kind == "file"}
    assert {path: archive[c.offset:c.offset + c.size] for path, c in found.items() if c} == {b"a.bin": a_bin, b"b.txt": b"HELLO!"}


def test_draft_catalog_parses_and_builds(examples: dict[str, Example]) -> None:
    data = examples["apx-catalog"].data
    (archive,) = catalog.parse(data)
    assert (archive.type, archive.name, archive.position) == ("a", b"root.pxar.didx", 234)
    assert [(i.type, i.name, i.size, i.ctime, i.position) for i in archive.children] == [
        ("r", b"a.bin", 3000, 1_700_000_100, 56), ("f", b"b.txt", 6, 1_700_000_200, 110)]
    assert catalog.build([archive], extended=True) == data


def test_acl_attribute_becomes_the_items(examples: dict[str, Example]) -> None:
    raw = examples["acl-xattr"].data
    items = acl.to_items(raw, None)
    assert (items.users, items.groups, items.group_obj) == ([(1001, 5)], [(50, 4)], 5)
    assert acl.to_raw(items, 0o770) == {acl.ACCESS: raw}


def test_protected_key_opens(examples: dict[str, Example]) -> None:
    raw = examples["key-data"].data
    kdf = {"Scrypt": {"n": 65536, "r": 8, "p": 1, "salt": "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="}}
    derived = crypto.derive(kdf, b"correct horse")
    assert crypto.gcm_decrypt(derived, raw[:16], raw[16:32], raw[32:]) == bytes(range(32))


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """(type, stream, payload) of each HTTP/2 frame."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at:at + 3], "big")
        stream = int.from_bytes(data[at + 5:at + 9], "big")
        found.append((data[at + 3], stream, data[at + 9:at + 9 + size]))
        at += 9 + size
    return found


@pytest.mark.parametrize(("name", "settings", "window"), [
    ("h2-client-settings", {4: 2**31 - 2, 5: 4 << 20}, 2**31 - 2),
    ("h2-server-settings", {3: 200, 4: 32 << 20, 5: 4 << 20, 6: 16384}, 32 << 20),
])
def test_http2_settings_say_what_their_text_says(examples: dict[str, Example], name: str, settings: dict[int, int],
                                                 window: int) -> None:
    (kind, stream, body), update = frames(examples[name].data)
    assert (kind, stream) == (4, 0)
    assert dict(struct.iter_unpack(">HI", body)) == settings
    assert update == (8, 0, (window - 65535).to_bytes(4, "big"))


def test_positions_and_sums_in_the_text_are_right(examples: dict[str, Example]) -> None:
    wrong = [w for e in examples.values() for w in e.wrong]
    sums = {hashlib.sha256(e.data).hexdigest() for e in examples.values()}
    stated = re.compile(r"SHA-256[^`\n]*\n?`([0-9a-f]{64})`:?[^`]*?```hex", re.S)
    for sheet in ("pxar-format.md", "index-files.md", "catalog.md", "draft-split-stream.md"):
        for value in stated.findall((ROOT / "spec" / sheet).read_text(encoding="utf-8")):
            if value not in sums:
                wrong.append(f"{sheet}: no block has SHA-256 {value}")
    assert not wrong, "\n".join(wrong)


def test_every_block_is_used_by_this_file_and_by_a_c_test() -> None:
    here = (ROOT / "tests/spec/test_examples.py").read_text(encoding="utf-8")
    c = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests/unit").glob("*_examples_test.c"))
    missing: Callable[[str], list[str]] = lambda text: [n for n in EXAMPLES if f'"{n}"' not in text]
    assert not missing(here) and not missing(c)
