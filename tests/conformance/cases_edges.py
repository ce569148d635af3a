# SPDX-License-Identifier: MIT
"""Cases at the edges that the vectors and golden files leave out: each is there because an implementation with one defect passed everything else."""
from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from conformance import plugins
from conformance.gen_basic import segments
from conformance.generate import source
from conformance.oracle_views import entry_view
from oracle import blob, catalog, chunker, manifest, pxar
from oracle.crypto import Key, derive, gcm_encrypt
from oracle.pxar_items import CODE, GOODBYE_RECORD
from oracle.source import BytesSource

Json = dict[str, Any]
ACCEPT: Json = {"verdict": "accept"}
REJECT: Json = {"verdict": "reject"}
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def case(ident: str, rules: str, does: str, expect: Json, **more: Any) -> Json:
    return {"id": f"edge-{ident}", "rules": rules.split(), "does": does, **more, "expect": expect}


# ---- archives, item by item ----

def entry(mode: int, secs: int = 1_700_000_000, padding: int = 0) -> str:
    return "ENTRY " + struct.pack("<QQIIqII", mode, 0, 10, 20, secs, 5, padding).hex()


def entry_v1(mode: int) -> str:
    return "ENTRY_V1 " + struct.pack("<QQIIQ", mode, 0, 10, 20, 1_700_000_000_000_000_005).hex()


def text(kind: str, value: str) -> str:
    return f"{kind} {value.encode().hex()}00"


def link(distance: int, path: str) -> str:
    return f"HARDLINK {distance.to_bytes(8, 'little').hex()}{path.encode().hex()}00"


def payload(data: str) -> str:
    return f"PAYLOAD {data.encode().hex()}"


def ref(offset: int, size: int) -> str:
    return f"PAYLOAD_REF {struct.pack('<QQ', offset, size).hex()}"


def xattr(name: str, value: str) -> str:
    return f"XATTR {name.encode().hex()}00{value.encode().hex()}"


def numbers(kind: str, *values: int) -> str:
    return f"{kind} {b''.join(v.to_bytes(8, 'little') for v in values).hex()}"


def table(offset: int) -> str:
    """A goodbye table of a tail alone, so far behind its directory."""
    return f"GOODBYE {GOODBYE_RECORD.pack(CODE['GOODBYE_TAIL'], offset, 40).hex()}"


def version(number: int) -> str:
    return f"FORMAT_VERSION {number.to_bytes(8, 'little').hex()}"


ROOT, FILE = entry(0o040755), entry(0o100644)
NAME_A, NAME_B, NAME_C = (text("FILENAME", n) for n in "abc")
A = [NAME_A, FILE, payload("aaa")]
V2 = version(2)
PLAIN = [ROOT, *A, "GOODBYE"]


def archive(*items: str, **more: Any) -> Json:
    return {"gen": "archive-items", "args": {"items": list(items)} | more}


def split(items: list[str], pieces: list[str], **more: Any) -> Json:
    return {"archive.mpxar": archive(*items, **more), "archive.ppxar": {"gen": "payload-stream", "args": {"pieces": pieces}}}


def reader(sources: Json) -> pxar.Reader:
    plugins.load()
    main = source(sources.get("archive.pxar") or sources["archive.mpxar"])
    return pxar.Reader(BytesSource(main), BytesSource(source(sources["archive.ppxar"])) if "archive.ppxar" in sources else None)


def read(sources: Json) -> Json:
    found = reader(sources)
    entries = [entry_view(found, e) for e in found]
    return ACCEPT | {"view": {"version": str(found.version), "entries": entries}}


def listed(sources: Json) -> Json:
    found = reader(sources)
    every = [i for e in list(found) for i in e.items] + found.prologue
    return ACCEPT | {"view": {"items": [{"type": i.type, "offset": str(i.offset), "size": str(i.size)} for i in sorted(every, key=lambda i: i.offset)]}}


def two(first: str, second: str) -> list[str]:
    """Two files whose references are given."""
    return [V2, ROOT, NAME_A, FILE, first, NAME_B, FILE, second, "GOODBYE"]


HEX_A, HEX_B = b"aaa".hex(), b"bbbb".hex()


def good_archives() -> Iterator[tuple[str, str, str, Json]]:
    yield "entry-v1", "PXAR-060 PXAR-062", "ENTRY_V1 for a file, beside ENTRY", {"archive.pxar": archive(ROOT, NAME_A, entry_v1(0o100640), payload("aaa"), "GOODBYE")}
    yield "entry-padding", "PXAR-055", "garbage in ENTRY's padding, as pxar before 0.10.0 wrote it", {"archive.pxar": archive(ROOT, NAME_A, entry(0o100644, padding=0xDEADBEEF), payload("aaa"), "GOODBYE")}
    yield "version-1", "PXAR-041", "an explicit version 1", {"archive.pxar": archive(version(1), *PLAIN)}
    yield "payload-holes", "PXAR-242 CDM-087", "payload that no reference points at, before, between and behind", split(two(ref(20, 3), ref(51, 4)), ["hole:01020304", HEX_A, "hole:0102030405060708090a0b0c", HEX_B, "hole:00"])
    yield "reused-sizes", "PXAR-158", "sizes in the table without the contents, as for re-used payload", split(two(ref(16, 3), ref(35, 4)), [HEX_A, HEX_B], reused=True)


def bad_archives() -> Iterator[tuple[str, str, str, Json]]:
    """What one pass over the entries need not see: for pxar-verify. `should` behind the rules: readers may take it (PXAR-136), or writers make it."""
    second = 16 + 2 + 16 + 40 + 16 + 3  # size of the entry a, which begins at 56
    yield "link-to-link", "PXAR-277", "a hard link to a hard link", {"archive.pxar": archive(ROOT, *A, NAME_B, link(second, "a"), NAME_C, link(16 + 2 + 16 + 8 + 2, "b"), "GOODBYE")}
    yield "references-backwards", "PXAR-245", "references that go backwards, as a client before 4.1.7 wrote them", split(two(ref(35, 4), ref(16, 3)), [HEX_A, HEX_B])
    yield "reference-twice", "PXAR-245", "two references to one payload", split(two(ref(16, 3), ref(16, 3)), [HEX_A])
    yield "mode-without-type", "PXAR-220", "a mode of no type", {"archive.pxar": archive(ROOT, NAME_A, entry(0o644), payload("aaa"), "GOODBYE")}
    yield "xattr-twice", "PXAR-087 should", "one attribute twice", {"archive.pxar": archive(ROOT, NAME_A, FILE, xattr("user.a", "1"), xattr("user.a", "2"), payload("aaa"), "GOODBYE")}
    yield "acl-id-twice", "PXAR-110 should", "two ACL entries for one user", {"archive.pxar": archive(ROOT, NAME_A, FILE, numbers("ACL_USER", 7, 4), numbers("ACL_USER", 7, 6), payload("aaa"), "GOODBYE")}
    yield "fcaps-twice", "PXAR-032", "capabilities twice", {"archive.pxar": archive(ROOT, NAME_A, FILE, "FCAPS 01", "FCAPS 01", payload("aaa"), "GOODBYE")}
    yield "version-3", "PXAR-041", "a version that does not exist", {"archive.pxar": archive(version(3), *PLAIN)}
    yield "root-is-a-file", "PXAR-229", "the root is a regular file, with a table all the same", {"archive.pxar": archive(FILE, payload("aaa"), table(75))}
    yield "link-as-name", "PXAR-224", "a SYMLINK item where a FILENAME has to be", {"archive.pxar": {"of": archive(ROOT, *A, NAME_B, FILE, payload("b"), "GOODBYE"), "edit": [{"at": 56 + second, "bytes": CODE["SYMLINK"].to_bytes(8, "little").hex()}]}}
    yield "file-ends-with-a-link", "PXAR-220", "a regular file with a SYMLINK item in place of its contents", {"archive.pxar": archive(ROOT, NAME_A, FILE, text("SYMLINK", "b"), "GOODBYE")}
    yield "records-swapped", "PXAR-170", "two right records in the wrong order", {"archive.pxar": {"of": archive(ROOT, *A, NAME_B, FILE, payload("b"), "GOODBYE"), "edit": [{"swap": [[-72, 24], [-48, 24]]}]}}
    yield "payload-of-version-1", "PXAR-008 should", "an archive of one stream with a payload stream beside it", {"archive.mpxar": archive(version(1), *PLAIN), "archive.ppxar": {"gen": "payload-stream", "args": {"pieces": [HEX_A]}}}
    yield "tail-marker-gone", "PXAR-135 should", "a payload stream of one file that ends with it", {"archive.mpxar": archive(V2, ROOT, NAME_A, FILE, ref(16, 3), "GOODBYE"), "archive.ppxar": {"of": {"gen": "payload-stream", "args": {"pieces": [HEX_A]}}, "edit": [{"truncate": -16}]}}


def archives() -> list[Json]:
    return [case(i, rules, does, read(sources), input=sources) for i, rules, does, sources in good_archives()]


def damaged() -> list[Json]:
    return [case(i, rules.removesuffix(" should"), does, REJECT, input=sources, **({"level": "should"} if rules.endswith(" should") else {}))
            for i, rules, does, sources in bad_archives()]


def items() -> list[Json]:
    plain, halves = {"archive.pxar": archive(*PLAIN)}, split(two(ref(16, 3), ref(35, 4)), [HEX_A, HEX_B])
    return [case("items-one-stream", "PXAR-003 PXAR-030 PXAR-150", "the items of a small archive", listed(plain), input=plain),
            case("items-split", "PXAR-003 PXAR-040 PXAR-131", "the items of a metadata archive", listed(halves), input={"archive.mpxar": halves["archive.mpxar"]})]


def without_payload() -> list[Json]:
    return [case("no-payload", "PXAR-278", "a metadata archive without its payload: the contents are not in it",
                 {"verdict": "info", "checks": [{"check": "no-contents"}], "note": "refused, or listed without contents"},
                 input={"archive.mpxar": archive(V2, ROOT, NAME_A, FILE, ref(16, 3), "GOODBYE")}, flags=["DataLoss"])]


def extracted() -> list[Json]:
    return [case("name-twice", "EXT-051", "one name twice in a directory: the second does not replace the first", REJECT, input={"archive.pxar": archive(ROOT, *A, *A, "GOODBYE")}, needs=["root"])]


# ---- blobs ----

def skippable(data: bytes) -> bytes:
    return bytes.fromhex("502a4d18") + len(data).to_bytes(4, "little") + data


def frame(data: bytes) -> bytes:
    """A zstd frame with one raw block."""
    return bytes.fromhex("28b52ffd20") + bytes([len(data)]) + (1 | len(data) << 3).to_bytes(3, "little") + data


def packed(body: bytes) -> Json:
    return {"blob": {"hex": (blob.MAGICS["compressed"] + zlib.crc32(body).to_bytes(4, "little") + body).hex()}}


def key_input(key: bytes) -> Json:
    return {"key.json": {"gen": "key-file", "args": {"key": key.hex()}}}


def decoded() -> list[Json]:
    hello: Json = ACCEPT | {"files": {"plain": {"text": "hello"}}}
    short = blob.MAGICS["encrypted"] + bytes(35)
    return [case("skippable-frame", "BLOB-053", "a skippable frame before the contents", hello, input=packed(skippable(b"note") + frame(b"hello"))),
            case("skippable-frame-behind", "BLOB-053", "a skippable frame behind the contents", hello, input=packed(frame(b"hello") + skippable(b""))),
            case("skippable-frame-cut", "BLOB-054", "a skippable frame that is longer than the blob", REJECT, input=packed(frame(b"hello") + skippable(b"12345678")[:-1])),
            case("encrypted-43-bytes", "BLOB-050", "an encrypted blob a byte shorter than its header, with a CRC of no bytes", REJECT, input={"blob": {"hex": short.hex()}} | key_input(KEY)),
            case("bomb", "BLOB-060", "a few kilobytes that are more than 128 MiB", REJECT, input={"blob": {"gen": "blob-of-zeros", "args": {"size": (128 << 20) + 1}}}, flags=["CrashSafety", "Limits"], limit_s=120)]


def encoded() -> list[Json]:
    secret: Json = {"plain": {"text": "hello hello hello"}} | key_input(KEY)
    noise = {"plain": {"gen": "segments", "args": {"parts": ["splitmix64:5:4000"]}}}
    return [case("encode-encrypted", "BLOB-040 BLOB-041", "with a key", ACCEPT | {"checks": [{"check": "blob-holds", "kind": "encrypted"}]}, input=secret, flags=["Crypto"]),
            case("encode-encrypted-compressed", "BLOB-040 BLOB-013", "with a key, compression asked for", ACCEPT | {"checks": [{"check": "blob-holds", "kind": "encrypted-compressed"}]},
                 input={"plain": {"gen": "segments", "args": {"parts": ["mod:61:20000"]}}} | key_input(KEY), args={"compress": True}, flags=["Crypto"]),
            case("encode-noise", "BLOB-033", "compression is asked for and does not pay", ACCEPT | {"checks": [{"check": "blob-holds", "kind": "uncompressed"}]}, input=noise, args={"compress": True})]


# ---- indexes, catalogs ----

def indexes() -> list[Json]:
    dynamic, fixed = {"gen": "dynamic-index", "args": {"ends": [100, 250]}}, {"gen": "fixed-index", "args": {"size": 5 << 20, "chunk": 4 << 20}}
    empty = hashlib.sha256(b"").hexdigest()
    before = {"ctime": -86_401}
    return [case("ctime-negative", "IDX-003", "an index made before 1970", ACCEPT | {"view": {"kind": "dynamic", "ctime": "-86401"}},
                 input={"archive.didx": {"gen": "dynamic-index", "args": {"ends": [100]} | before}}, flags=["Interop"]),
            case("fixed-ctime-negative", "IDX-042", "a fixed index made before 1970", ACCEPT | {"view": {"kind": "fixed", "ctime": "-86401"}},
                 input={"archive.fidx": {"gen": "fixed-index", "args": {"size": 100, "chunk": 4096} | before}}, flags=["Interop"]),
            case("file-cut-in-header", "IDX-014", "a dynamic index of 4095 bytes", REJECT, input={"archive.didx": {"of": dynamic, "edit": [{"truncate": 4095}]}}),
            case("fixed-cut-in-header", "IDX-014", "a fixed index that ends within its sizes", REJECT, input={"archive.fidx": {"of": fixed, "edit": [{"truncate": 75}]}}, flags=["CrashSafety"]),
            case("file-empty", "IDX-014", "a file without a byte", REJECT, input={"archive.didx": {"hex": ""}}),
            case("fixed-as-dynamic", "IDX-015", "a fixed index under the name of a dynamic one", REJECT, input={"archive.didx": fixed}),
            case("dynamic-as-fixed", "IDX-015", "a dynamic index under the name of a fixed one", REJECT, input={"archive.fidx": dynamic}),
            case("partial-record", "IDX-016", "a byte behind the last record, and a checksum that fits", REJECT, input={"archive.didx": {"of": dynamic, "edit": [{"append": "00"}, {"repair": "index-csum"}]}}),
            case("dynamic-without-records", "IDX-017", "no record, and a checksum that fits", REJECT, input={"archive.didx": {"of": dynamic, "edit": [{"truncate": 4096}, {"repair": "index-csum"}]}}),
            case("fixed-of-size-0", "IDX-058", "an image of no bytes, and a checksum that fits", REJECT,
                 input={"archive.fidx": {"of": fixed, "edit": [{"truncate": 4096}, {"at": 64, "u64": "0"}, {"at": 32, "bytes": empty}]}})]


def catalogs() -> list[Json]:
    big = catalog.build([catalog.Item("f", b"big", (1 << 64) - 1, -(1 << 62))])
    inner = bytes([1, 0])  # a table without entries
    upper = bytes([2]) + b"".join(b"d" + bytes([1]) + name + bytes([len(inner)]) for name in (b"a", b"b"))
    shared = catalog.MAGIC + inner + bytes([len(upper)]) + upper + (8 + len(inner)).to_bytes(8, "little")
    return [case("number-of-ten-bytes", "CAT-030 CAT-031", "a size of 64 bits, which takes ten bytes", ACCEPT | {"view": {"entries": [{"path": "big", "kind": "file", "size": str((1 << 64) - 1), "mtime": str(-(1 << 62))}]}},
                 input={"catalog.pcat1": {"hex": big.hex()}}),
            case("table-used-twice", "CAT-052", "two directories with one table", REJECT, input={"catalog.pcat1": {"hex": shared.hex()}}, level="should", flags=["CrashSafety"]),
            case("too-deep", "CAT-052", "directories five thousand deep", REJECT, input={"catalog.pcat1": {"gen": "deep-catalog", "args": {"depth": 5000}}}, flags=["CrashSafety", "Limits"])]


# ---- manifests, keys ----

def files(size: int = 17, **more: Any) -> Json:
    return {"backup-type": "host", "backup-id": "web-1", "backup-time": 1_700_000_000,
            "files": [{"filename": "a.conf.blob", "crypt-mode": "none", "size": size, "csum": "01" * 32}], "signature": None, "unprotected": {}} | more


def raw(value: Json) -> Json:
    return {"index.json": {"text": json.dumps(value, ensure_ascii=False)}}


def signed(value: Json, key: bytes) -> Json:
    return value | {"signature": Key(key).auth_tag(manifest.canonical({k: v for k, v in value.items() if k not in ("signature", "unprotected")})).hex(),
                    "unprotected": {"key-fingerprint": Key(key).fingerprint_text()}}


def manifests() -> list[Json]:
    no_mode = files()
    del no_mode["files"][0]["crypt-mode"]
    umlaut = files()
    umlaut["files"][0]["filename"] = "ä\u007f\u001f.conf.blob"
    named = files(unprotected={"key-fingerprint": Key(KEY).fingerprint_text()})
    encoded_text = blob.encode(json.dumps(files()).encode(), compress=False).hex()
    return [case("mode-missing", "MAN-017", "an entry without crypt-mode: none", ACCEPT | {"view": {"files": [{"filename": "a.conf.blob", "crypt-mode": "none"}]}}, input=raw(no_mode)),
            case("size-above-32-bits", "MAN-018", "a size of five gigabytes and a bit", ACCEPT | {"view": {"files": [{"size": "5000000001"}]}}, input=raw(files(5_000_000_001))),
            case("in-a-blob", "MAN-001", "the manifest in its blob", ACCEPT | {"view": {"backup-id": "web-1"}}, input={"index.json.blob": {"hex": encoded_text}}),
            case("signed-name-beyond-ascii", "MAN-043", "a signed manifest with a name beyond ASCII", ACCEPT | {"view": {"signed": "yes"}}, input=raw(signed(umlaut, KEY)) | key_input(KEY), flags=["Crypto"]),
            case("file-entry-is-a-number", "MAN-021", "a number in the list of files", REJECT, input=raw(files(files=[1]))),
            case("unsigned-of-another-key", "MAN-052", "no signature, but the fingerprint of another key", REJECT, input=raw(named) | key_input(OTHER), flags=["Crypto"])]


def key_text(**more: Any) -> Json:
    stamp = "2023-11-14T22:13:20+00:00"
    return {"kdf": None, "created": stamp, "modified": stamp, "data": base64.b64encode(KEY).decode()} | more


def locked(passphrase: bytes, cut: int = 0) -> Json:
    kdf = {"PBKDF2": {"iter": 65535, "salt": base64.b64encode(bytes(32)).decode()}}
    iv = bytes(range(16))
    secret, tag = gcm_encrypt(derive(kdf, passphrase), iv, KEY)
    data = (iv + tag + secret)[:cut or None]
    return key_text(kdf=kdf, data=base64.b64encode(data).decode())


def keys() -> list[Json]:
    def of(value: Json) -> Json:
        return {"key.json": {"text": json.dumps(value)}}
    return [case("passphrase-of-four", "CRY-034", "a passphrase of four characters, although it is the right one", REJECT, input=of(locked(b"four")), args={"passphrase": "four"}, flags=["Crypto"], level="should"),
            case("passphrase-of-five", "CRY-034 CRY-035", "a passphrase of five characters", ACCEPT | {"view": {"kdf": "pbkdf2", "fingerprint": Key(KEY).fingerprint.hex()}}, input=of(locked(b"fiver")), args={"passphrase": "fiver"}),
            case("locked-data-short", "CRY-035", "an encrypted key of 31 bytes: not even IV and tag", REJECT, input=of(locked(b"fiver", 31)), args={"passphrase": "fiver"}, flags=["CrashSafety"]),
            case("times-with-offsets", "CRY-022", "one moment, written far east and far west of Greenwich", ACCEPT | {"view": {"created": "1700000000", "modified": "1700000000"}},
                 input=of(key_text(created="2023-11-15T03:58:20+05:45", modified="2023-11-14T12:43:20-09:30"))),
            case("times-in-utc", "CRY-022", "a time with Z", ACCEPT | {"view": {"created": "1700000000", "modified": "1700000001"}},
                 input=of(key_text(created="2023-11-14T22:13:20Z", modified="2023-11-14T22:13:21Z"))),
            case("fingerprint-short", "CRY-012", "a fingerprint of 31 bytes", REJECT, input=of(key_text(fingerprint=Key(KEY).fingerprint_text()[3:]))),
            case("kdf-unknown", "CRY-021", "a key derivation that does not exist", REJECT, input=of(key_text(kdf={"Argon2": {"salt": "AAAA"}}))),
            case("kdf-without-salt", "CRY-021", "scrypt without salt", REJECT, input=of(key_text(kdf={"Scrypt": {"n": 65536, "r": 8, "p": 1}})), args={"passphrase": "fiver"}),
            case("kdf-two", "CRY-021", "two key derivations", REJECT, input=of(key_text(kdf={"Scrypt": {"n": 65536, "r": 8, "p": 1, "salt": "AAAA"}, "PBKDF2": {"iter": 1, "salt": "AAAA"}})), args={"passphrase": "fiver"})]


# ---- chunker ----

def keyed() -> list[Json]:
    """Digests with a key; the cuts are those without."""
    parts = ["splitmix64:51388:200000", "byte:0:300000"]
    data = segments(parts)
    ends = chunker.fast_cuts(data, 65536)
    step = 4 << 20
    image = bytes(step) + b"tail"

    def chunks(of: bytes, at: list[int]) -> Json:
        return ACCEPT | {"view": {"chunks": [{"end": str(e), "digest": blob.digest_of(of[s:e], True, Key(KEY)).hex()} for s, e in zip([0, *at], at)]}}
    return [case("keyed-digests", "BLOB-071 CRY-004", "digests with a key", chunks(data, ends), input={"data": {"gen": "segments", "args": {"parts": parts}}} | key_input(KEY),
                 args={"avg": "65536"}, flags=["ByteExact", "Crypto"]),
            case("keyed-digests-fixed", "BLOB-071 CRY-004", "digests of fixed chunks with a key", chunks(image, [step, step + 4]),
                 input={"data": {"gen": "segments", "args": {"parts": [f"byte:0:{step}", "byte:116:1", "byte:97:1", "byte:105:1", "byte:108:1"]}}} | key_input(KEY),
                 args={"fixed": str(step)}, flags=["ByteExact", "Crypto"])]


def cut() -> list[Json]:
    at_minimum = {"gen": "segments", "args": {"parts": ["byte:0:16320", "splitmix64:51388:64", "byte:0:1000"]}}
    return [case("cut-at-the-minimum", "CHK-032", "a window that cuts, with its last byte at exactly the minimum", ACCEPT | {"view": {"chunks": [{"end": "16384"}, {"end": "17384"}]}},
                 input={"data": at_minimum}, args={"avg": "65536"}),
            *keyed(), *(case(f"average-{avg}", "CHK-001", f"an average of {avg} bytes, which is no power of two", REJECT, input={"data": {"text": "0123456789"}}, args={"avg": str(avg)})
                        for avg in (65537, 98304, 100_000)),
            case("injection-behind-the-end", "CHK-086", "a forced boundary behind the end of the data", REJECT, input={"data": {"text": "0123456789"}, "script": {"text": "F 50 100\nD 10\n"}}, args={"avg": "65536"}, verb="chunk-stream"),
            case("injection-behind-the-last-message", "CHK-086", "a forced boundary that is queued when all data came", REJECT, input={"data": {"text": "0123456789"}, "script": {"text": "D 10\nF 10 100\n"}}, args={"avg": "65536"}, verb="chunk-stream"),
            case("suggestion-behind-the-last-message", "CHK-073", "a suggested boundary that is queued when all data came", ACCEPT | {"view": {"result": [{"kind": "raw", "size": "10", "end": "10"}]}},
                 input={"data": {"text": "0123456789"}, "script": {"text": "D 10\nS 5\n"}}, args={"avg": "65536"}, verb="chunk-stream")]


# ---- writers ----

def tree(*nodes: Json) -> list[Json]:
    return [{"path": "", "mode": "755"}, *nodes]


def empty(path: str) -> Json:
    return {"path": path, "data": {"text": ""}}


def folder(path: str) -> Json:
    return {"path": path, "kind": "dir"}


def created() -> list[Json]:
    zeros = {"gen": "segments", "args": {"parts": ["byte:1:1000", "byte:0:1048576", "byte:2:1000"]}}
    return [case("zeros-inside", "CRT-140", "a megabyte of zeros between other bytes", ACCEPT | {"checks": [{"check": "archive-holds-tree"}]}, tree=tree({"path": "f", "data": zeros}), flags=["DataLoss"]),
            case("unsearchable-directory", "CRT-027 CDM-147", "a name that is listed and cannot be stat'ed is left out, and what follows is archived",
                 ACCEPT | {"checks": [{"check": "archive-paths", "paths": ["a", "d", "z"]}]}, tree={"gen": "unsearchable"}, needs=["user"], level="should", flags=["DataLoss"])]


def excluded() -> list[Json]:
    def paths(*names: str) -> Json:
        return ACCEPT | {"checks": [{"check": "archive-paths", "paths": list(names)}]}
    nested = tree(folder("a"), {"path": "a/.pxarexclude", "data": {"text": "x\n"}}, empty("a/x"), folder("b"), empty("b/x"))
    return [case("nested-file-ends-with-its-directory", "CRT-051", "a line of a/.pxarexclude, and a name like it in b", paths("a", "a/.pxarexclude", "b", "b/x"), tree=nested),
            case("negated-class-and-slash", "CRT-081", "[^x] matches a slash", paths("d"), tree=tree(folder("d"), empty("d/a")), args={"exclude": ["d[^x]a"]}),
            case("star-and-newline", "CRT-074", "* matches a newline in a name", paths("b"), tree=tree(empty("a\\x0ac"), empty("b")), args={"exclude": ["a*c"]}),
            case("class-name-unknown", "CRT-077", "a named class that does not exist", REJECT, tree=tree(), args={"exclude": ["[[:foo:]]"]}),
            case("backslash-at-the-end", "CRT-072", "a pattern that ends with a backslash", REJECT, tree=tree(), args={"exclude": ["foo\\"]}),
            case("backslash-escapes", "CRT-073", "\\x5c in a pattern is x5c, no escape of ours", paths("\\x5c"), tree=tree(empty("x5c"), empty("\\x5c")), args={"exclude": ["\\x5c"]})]


# ---- clients ----

ONE = ["root.pxar:tree"]


def run(mode: str, *checks: Json) -> Json:
    return {"run": "backup", "args": {"archives": ONE, "mode": mode, "chunk-size": "64"}, "expect": ACCEPT | ({"checks": list(checks)} if checks else {})}


def reused() -> list[Json]:
    order, holds = {"check": "payload-in-order"}, {"check": "snapshot-holds", "archive": "root.pxar"}
    sizes = [{"path": "a", "size": "15000"}, {"path": "b", "size": "1500"}, {"path": "d", "size": "15000"}]
    return [case("references-repeat-in-a-chunk", "CDM-142 CDM-143", "two files of the snapshot before refer to one payload, and its chunk is still held when the second comes", ACCEPT, tree=tree(*sizes),
                 steps=[run("data"), {"edit-store": "references", "args": {"name": "root.mpxar.didx", "set": {"d": 16}}}, {"edit-tree": {"remove": ["b"]}}, run("metadata", order, holds)],
                 flags=["Reuse", "Historical"]),
            case("same-name-elsewhere", "CDM-041", "a new file with name, size and time of one that was in another directory", ACCEPT, tree=tree(folder("d"), {"path": "d/x", "size": "100000"}),
                 steps=[run("data"), {"edit-tree": {"remove": ["d/x"]}}, {"edit-tree": [{"path": "x", "size": "100000"}]}, run("metadata", order, holds)]),
            case("attribute-value-alone", "CDM-044", "a new value of an attribute is no reason to read the file again; that it has new contents too shows nowhere", ACCEPT, level="should", needs=["xattrs"],
                 tree=tree({"path": "a", "size": "200000", "xattrs": {"user.x": "01"}}),
                 steps=[run("data"), {"edit-tree": [{"path": "a", "data": {"gen": "segments", "args": {"parts": ["splitmix64:9:200000"]}}, "xattrs": {"user.x": "02"}}]},
                        run("metadata", order, {"check": "uploaded-at-most", "archive": "root.ppxar.didx", "bytes": "4096"})])]


def restored() -> list[Json]:
    text_of = {"a.conf.blob": {"of": {"text": "hello"}}}
    return [case("encrypted-manifest", "MAN-001", "a manifest that is encrypted, with the right key", ACCEPT, input={"key.json": {"gen": "key-file", "args": {"key": KEY.hex()}}},
                 server={"store": {"gen": "snapshots", "args": {"files": text_of, "key": KEY.hex()}}},
                 steps=[{"edit-store": "encrypted-manifest", "args": {"key": KEY.hex()}},
                        {"run": "restore", "args": {"archive": "a.conf", "snapshot": "host/c1/2023-11-14T22:13:20Z", "keyfile": "key.json"}, "expect": REJECT}], flags=["Crypto"])]


READER = {"role": "reader", "level": "must"}
WRITER = {"role": "writer", "level": "must"}
ABOUT = "Edges that other families leave out."


def family(area: str, defaults: Json, cases: list[Json]) -> tuple[str, Json]:
    return f"{area}/edges.json", {"area": area, "about": ABOUT, "defaults": defaults, "cases": cases}


def families() -> Iterator[tuple[str, Json]]:
    yield family("pxar", READER | {"verb": "pxar-entries", "flags": ["Compat"]}, [*archives(), *without_payload(), *({**c, "verb": "pxar-items"} for c in items())])
    yield family("verify", READER | {"verb": "pxar-verify", "flags": ["Integrity"]}, damaged())
    yield family("extract", READER | {"verb": "pxar-extract", "flags": ["DataLoss"]}, extracted())
    yield family("blob", READER | {"verb": "blob-decode", "flags": ["Integrity"]}, [*decoded(), *({"role": "writer", "verb": "blob-encode", "flags": ["Interop"], **c} for c in encoded())])
    yield family("idx", READER | {"verb": "index-decode", "flags": ["Integrity"]}, indexes())
    yield family("cat", READER | {"verb": "catalog-decode", "flags": ["Limits"]}, catalogs())
    yield family("man", READER | {"verb": "manifest-verify", "flags": ["Interop"]}, manifests())
    yield family("key", READER | {"verb": "key-open", "flags": ["Interop"]}, keys())
    yield family("chunk", {"role": "chunker", "verb": "chunk", "level": "must", "flags": ["ByteExact"]}, cut())
    yield family("create", WRITER | {"verb": "pxar-create", "flags": ["ByteExact"]}, created())
    yield family("exclude", WRITER | {"verb": "pxar-create", "flags": ["DataLoss"]}, excluded())
    yield family("reuse", {"role": "reuse", "verb": "backup", "level": "must", "flags": ["Reuse"], "limit_s": 60}, reused())
    yield family("restore", {"role": "client", "verb": "restore", "level": "must", "limit_s": 60}, restored())
