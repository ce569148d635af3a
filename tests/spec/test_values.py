# covers: PXAR-010 PXAR-011 PXAR-012 PXAR-013 PXAR-014 PXAR-016 PXAR-040 PXAR-053 PXAR-063 PXAR-070 PXAR-079 PXAR-134 PXAR-135
# covers: PXAR-137 PXAR-172 CHK-020 CHK-026 BLOB-008 BLOB-010 BLOB-101 IDX-001 IDX-040 CAT-001 CAT-007 CAT-030 CAT-033 CRY-006
# covers: CRY-090 MAN-045 BKP-138 BKP-143 BKP-164 CDM-086 CDM-093 CDM-163
# SPDX-License-Identifier: MIT
"""Values that stand in the running text of the sheets, computed anew with the independent reader."""
from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib

import pytest
from documents import ROOT
from oracle import blob, catalog, chunker, crypto
from oracle.pxar_items import CODE, HEADER, siphash24, tree_order
from spec_rules import Spec

KEY = crypto.Key(bytes(range(32)))
NEAR = 4000  # characters behind the rule's ID in which its value stands


def near(spec: Spec, rule: str) -> str:
    path, line = spec.rules[rule].where.rsplit(":", 1)
    text = (ROOT / "spec" / path.rsplit("/", 1)[-1]).read_text(encoding="utf-8")
    return "\n".join(text.splitlines()[int(line) - 1:])[:NEAR]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def item(name: str, content: bytes = b"") -> bytes:
    return HEADER.pack(CODE[name], 16 + len(content)) + content


def entry_v1() -> bytes:
    return item("ENTRY_V1", struct.pack("<QQIIQ", 0o40755, 0, 7, 8, 1430487000123456789))


def stamp(ns: int) -> str:
    return struct.pack("<qII", ns // 10**9, ns % 10**9, 0).hex(" ")


START, TAIL = item("PAYLOAD_START"), item("PAYLOAD_TAIL")
HELLO, WORLD = b"hello world", hashlib.sha256(b"hello world").hexdigest()
MAGICS = {"BLOB-001": ["Proxmox Backup uncompressed blob v1.0", "Proxmox Backup zstd compressed blob v1.0",
                       "Proxmox Backup encrypted blob v1.0", "Proxmox Backup zstd compressed encrypted blob v1.0"],
          "IDX-001": ["Proxmox Backup dynamic sized chunk index v1.0"], "IDX-040": ["Proxmox Backup fixed sized chunk index v1.0"],
          "CAT-001": ["Proxmox Backup Catalog file v1.0"]}
VALUES = [
    ("PXAR-010", hashlib.sha1(b"PROXMOX ARCHIVE FORMAT").hexdigest()[:16]), ("PXAR-010", hashlib.sha1(b"PROXMOX ARCHIVE FORMAT").hexdigest()[16:32]),
    ("PXAR-015", item("ENTRY")[:8].hex(" ")), ("PXAR-040", item("FORMAT_VERSION", struct.pack("<Q", 2)).hex(" ")),
    ("PXAR-052", stamp(-10**6)), ("PXAR-053", stamp(-305112600 * 10**9)), ("PXAR-053", stamp(-305112600 * 10**9 - 10**6)),
    ("PXAR-063", entry_v1().hex(" ")), ("PXAR-070", item("FILENAME", b"a\0").hex(" ")), ("PXAR-085", item("XATTR", b"user.foo\0bar").hex(" ")),
    ("PXAR-111", item("ACL_USER", struct.pack("<QQ", 1001, 5)).hex(" ")), ("PXAR-111", item("ACL_GROUP_OBJ", struct.pack("<Q", 5)).hex(" ")),
    ("PXAR-134", START.hex(" ")), ("PXAR-135", TAIL.hex(" ")), ("PXAR-137", item("PAYLOAD")[:8].hex(" ")),
    *[("PXAR-016", f"`{n}` → `{siphash24(n.encode()):016x}`") for n in ("a", "b", "c", "d", "file1", "file2", ".pxarexclude-cli")],
    ("PXAR-016", f"single byte `ff` → `{siphash24(bytes([255])):016x}`"), ("PXAR-016", f"empty string → `{siphash24(b''):016x}`"),
    *[("PXAR-172", f"| {n} | {' '.join(map(str, tree_order(n)))} |") for n in range(1, 13)],
    ("CHK-020", sha(struct.pack("<256I", *chunker.table()))), ("CHK-020", f"T[0xff]=0x{chunker.table()[255]:08x}"),
    ("BLOB-010", f"0x{zlib.crc32(b'123456789'):X}"), ("BLOB-101", sha(bytes(4 << 20))),
    ("BLOB-110", f"0x{zlib.crc32(b'hello'):X}"), ("BLOB-110", sha(b"hello")), ("BLOB-111", KEY.digest(b"hello").hex()),
    ("CAT-007", f"{catalog.MAGIC.hex()} 0100 0800000000000000"),
    *[("CAT-030", f"{n} → `{catalog.put_u64(n).hex()}`") for n in (0, 127, 128, 300)],
    ("CAT-030", f"2^64−1 → `{catalog.put_u64(2**64 - 1).hex()}`"),
    *[("CAT-033", f"−{n} → `{catalog.put_i64(-n).hex()}`") for n in (1, 127, 128, 300)],
    ("CRY-006", sha(b"Proxmox Backup Encryption Key Fingerprint")), ("CRY-090", KEY.id_key.hex()), ("CRY-090", KEY.fingerprint_text()),
    ("CRY-090", KEY.digest(b"").hex()), ("CRY-090", KEY.digest(b"hello").hex()), ("CRY-090", KEY.auth_tag(b"hello").hex()),
    ("BKP-138", WORLD),
    ("BKP-164", hashlib.sha256(hashlib.sha256(bytes(4 << 20)).digest() + hashlib.sha256(HELLO).digest()).hexdigest()),
    ("CDM-086", f"{START[:8].hex()} {START[8:].hex()}"), ("CDM-086", f"{TAIL[:8].hex()} {TAIL[8:].hex()}"),
    ("CDM-093", sha(START)), ("CDM-093", sha(TAIL)), ("CDM-163", sha(START + TAIL)),
    *[(rule, hashlib.sha256(text.encode()).digest()[:8].hex()) for rule, texts in MAGICS.items() for text in texts],
]


@pytest.mark.parametrize(("rule", "value"), VALUES)
def test_value_in_the_text_is_right(spec: Spec, rule: str, value: str) -> None:
    assert value in near(spec, rule)


def test_item_constants_are_hashes_of_the_strings_beside_them(spec: Spec) -> None:
    rows = re.findall(r"^\| [^|]+ \| `0x([0-9a-f]{16})` \| `(__[A-Z_0-9]+__)` \|$", near(spec, "PXAR-014"), re.M)
    assert len(rows) == 23
    assert [f"{siphash24(text.encode()):016x}" for _, text in rows] == [number for number, _ in rows]


def test_device_numbers_in_the_text_split_and_join(spec: Spec) -> None:
    rows = re.findall(r"\(((?:0x)?\w+), ?((?:0x)?\w+)\) ↔ (0x[0-9a-f]+)", near(spec, "PXAR-079").splitlines()[0])
    assert len(rows) == 3
    for major, minor, dev in ((int(a, 0), int(b, 0), int(c, 0)) for a, b, c in rows):
        assert dev == (major & 0xFFF) << 8 | (major & 0xFFFFF000) << 32 | minor & 0xFF | (minor & 0xFFFFFF00) << 12


def test_rolling_hash_in_the_text(spec: Spec) -> None:
    """After n >= 64 bytes it is a function of the last 64 (CHK-026)."""
    text = near(spec, "CHK-027")
    counts = [int(n) for n in re.search(r"h after ([0-9, ]+) bytes", text).group(1).split(", ")]  # type: ignore[union-attr]
    values = [int(v, 16) for v in re.findall(r"0x[0-9a-f]{8}", text[text.index("h after"):])[:len(counts)]]
    state, data = 1, b""
    while len(data) < max(counts):  # SplitMix64
        state = (state + 0x9E3779B97F4A7C15) % 2**64 if data else (1 + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        data += (z ^ z >> 31).to_bytes(8, "little")
    table = chunker.table()

    def rotate(x: int, k: int) -> int:
        return (x << k % 32 | x >> (32 - k % 32)) % 2**32

    for count, value in zip(counts, values, strict=True):
        window = data[max(0, count - 64):count]
        h = 0
        for k, byte in enumerate(reversed(window)):
            h ^= rotate(table[byte], k)
        assert h == value


def test_index_checksum_of_the_example(spec: Spec) -> None:
    """The three chunks of BKP-138: hello world, five bytes, hello world."""
    body = json.loads(re.search(r"\{.*\}", near(spec, "BKP-138")).group(0))  # type: ignore[union-attr]
    assert body["offset-list"] == [0, 11, 16] and body["digest-list"][0] == body["digest-list"][2] == WORLD
    packed = b"".join(struct.pack("<Q", end) + bytes.fromhex(d) for end, d in zip((11, 16, 27), body["digest-list"], strict=True))
    assert sha(packed) in near(spec, "BKP-143")


def test_manifest_signature_of_the_example(spec: Spec) -> None:
    text = near(spec, "MAN-090")
    signed = re.search(r"```\n(\{.*?\})\n```", text, re.S).group(1)  # type: ignore[union-attr]
    assert KEY.auth_tag(signed.encode()).hex() in text and KEY.id_key.hex() in text
    assert blob.decode(blob.encode(signed.encode())) == signed.encode()
