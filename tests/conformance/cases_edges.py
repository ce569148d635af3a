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
from conformance.generate import source
from conformance.oracle_views import entry_view
from oracle import blob, catalog, manifest, pxar
from oracle.crypto import Key, derive, gcm_encrypt
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
    """What one pass over the entries need not see: for pxar-verify."""
    second = 16 + 2 + 16 + 40 + 16 + 3
    yield "link-to-link", "PXAR-277", "a hard link to a hard link", {"archive.pxar": archive(ROOT, *A, NAME_B, link(second, "a"), NAME_C, link(16 + 2 + 16 + 8 + 2, "b"), "GOODBYE")}
    yield "references-backwards", "PXAR-245", "references that go backwards, as a client before 4.1.7 wrote them", split(two(ref(35, 4), ref(16, 3)), [HEX_A, HEX_B])
    yield "reference-twice", "PXAR-245", "two references to one payload", split(two(ref(16, 3), ref(16, 3)), [HEX_A])
    yield "tail-marker-gone", "PXAR-135", "a payload stream of one file that ends with it", {"archive.mpxar": archive(V2, ROOT, NAME_A, FILE, ref(16, 3), "GOODBYE"), "archive.ppxar": {"of": {"gen": "payload-stream", "args": {"pieces": [HEX_A]}}, "edit": [{"truncate": -16}]}}


def archives() -> list[Json]:
    return [case(i, rules, does, read(sources), input=sources) for i, rules, does, sources in good_archives()]


def damaged() -> list[Json]:
    return [case(i, rules, does, REJECT, input=sources) for i, rules, does, sources in bad_archives()]


def items() -> list[Json]:
    plain, halves = {"archive.pxar": archive(*PLAIN)}, split(two(ref(16, 3), ref(35, 4)), [HEX_A, HEX_B])
    return [case("items-one-stream", "PXAR-003 PXAR-030 PXAR-150", "the items of a small archive", listed(plain), input=plain),
            case("items-split", "PXAR-003 PXAR-040 PXAR-131", "the items of a metadata archive", listed(halves), input={"archive.mpxar": halves["archive.mpxar"]})]


def without_payload() -> list[Json]:
    return [case("no-payload", "PXAR-278", "a metadata archive without its payload: the contents are not in it",
                 {"verdict": "info", "checks": [{"check": "no-contents"}], "note": "refused, or listed without contents"},
                 input={"archive.mpxar": archive(V2, ROOT, NAME_A, FILE, ref(16, 3), "GOODBYE")}, flags=["DataLoss"])]


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
    return [case("file-cut-in-header", "IDX-014", "a dynamic index of 4095 bytes", REJECT, input={"archive.didx": {"of": dynamic, "edit": [{"truncate": 4095}]}}),
            case("file-empty", "IDX-014", "a file without a byte", REJECT, input={"archive.didx": {"hex": ""}}),
            case("fixed-as-dynamic", "IDX-015", "a fixed index under the name of a dynamic one", REJECT, input={"archive.didx": fixed}),
            case("dynamic-as-fixed", "IDX-015", "a dynamic index under the name of a fixed one", REJECT, input={"archive.fidx": dynamic}),
            case("partial-record", "IDX-016", "a byte behind the last record, and a checksum that fits", REJECT, input={"archive.didx": {"of": dynamic, "edit": [{"append": "00"}, {"repair": "index-csum"}]}}),
            case("dynamic-without-records", "IDX-017", "no record, and a checksum that fits", REJECT, input={"archive.didx": {"of": dynamic, "edit": [{"truncate": 4096}, {"repair": "index-csum"}]}}),
            case("fixed-of-size-0", "IDX-058", "an image of no bytes, and a checksum that fits", REJECT,
                 input={"archive.fidx": {"of": fixed, "edit": [{"truncate": 4096}, {"at": 64, "u64": "0"}, {"at": 32, "bytes": empty}]}})]


def catalogs() -> list[Json]:
    big = catalog.build([catalog.Item("f", b"big", (1 << 64) - 1, -(1 << 62))])
    return [case("number-of-ten-bytes", "CAT-030 CAT-031", "a size of 64 bits, which takes ten bytes", ACCEPT | {"view": {"entries": [{"path": "big", "kind": "file", "size": str((1 << 64) - 1), "mtime": str(-(1 << 62))}]}},
                 input={"catalog.pcat1": {"hex": big.hex()}})]


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
            case("fingerprint-short", "CRY-012", "a fingerprint of 31 bytes", REJECT, input=of(key_text(fingerprint=Key(KEY).fingerprint_text()[3:]))),
            case("kdf-unknown", "CRY-021", "a key derivation that does not exist", REJECT, input=of(key_text(kdf={"Argon2": {"salt": "AAAA"}}))),
            case("kdf-without-salt", "CRY-021", "scrypt without salt", REJECT, input=of(key_text(kdf={"Scrypt": {"n": 65536, "r": 8, "p": 1}})), args={"passphrase": "fiver"}),
            case("kdf-two", "CRY-021", "two key derivations", REJECT, input=of(key_text(kdf={"Scrypt": {"n": 65536, "r": 8, "p": 1, "salt": "AAAA"}, "PBKDF2": {"iter": 1, "salt": "AAAA"}})), args={"passphrase": "fiver"})]


# ---- writers ----

def tree(*nodes: Json) -> list[Json]:
    return [{"path": "", "mode": "755"}, *nodes]


def empty(path: str) -> Json:
    return {"path": path, "data": {"text": ""}}


def folder(path: str) -> Json:
    return {"path": path, "kind": "dir"}


def created() -> list[Json]:
    zeros = {"gen": "segments", "args": {"parts": ["byte:1:1000", "byte:0:1048576", "byte:2:1000"]}}
    return [case("zeros-inside", "CRT-140", "a megabyte of zeros between other bytes", ACCEPT | {"checks": [{"check": "archive-holds-tree"}]}, tree=tree({"path": "f", "data": zeros}), flags=["DataLoss"])]


def excluded() -> list[Json]:
    def paths(*names: str) -> Json:
        return ACCEPT | {"checks": [{"check": "archive-paths", "paths": list(names)}]}
    nested = tree(folder("a"), {"path": "a/.pxarexclude", "data": {"text": "x\n"}}, empty("a/x"), folder("b"), empty("b/x"))
    return [case("nested-file-ends-with-its-directory", "CRT-051", "a line of a/.pxarexclude, and a name like it in b", paths("a", "a/.pxarexclude", "b", "b/x"), tree=nested),
            case("negated-class-and-slash", "CRT-081", "[^x] matches a slash", paths("d"), tree=tree(folder("d"), empty("d/a")), args={"exclude": ["d[^x]a"]}),
            case("star-and-newline", "CRT-074", "* matches a newline in a name", paths("b"), tree=tree(empty("a\\x0ac"), empty("b")), args={"exclude": ["a*c"]}),
            case("class-name-unknown", "CRT-077", "a named class that does not exist", REJECT, tree=tree(), args={"exclude": ["[[:foo:]]"]}),
            case("backslash-at-the-end", "CRT-072", "a pattern that ends with a backslash", REJECT, tree=tree(), args={"exclude": ["foo\\x5c"]})]


READER = {"role": "reader", "level": "must"}
WRITER = {"role": "writer", "level": "must"}
ABOUT = "Edges that other families leave out."


def family(area: str, defaults: Json, cases: list[Json]) -> tuple[str, Json]:
    return f"{area}/edges.json", {"area": area, "about": ABOUT, "defaults": defaults, "cases": cases}


def families() -> Iterator[tuple[str, Json]]:
    yield family("pxar", READER | {"verb": "pxar-entries", "flags": ["Compat"]}, [*archives(), *without_payload(), *({**c, "verb": "pxar-items"} for c in items())])
    yield family("verify", READER | {"verb": "pxar-verify", "flags": ["Integrity"]}, damaged())
    yield family("blob", READER | {"verb": "blob-decode", "flags": ["Integrity"]}, [*decoded(), *({"role": "writer", "verb": "blob-encode", "flags": ["Interop"], **c} for c in encoded())])
    yield family("idx", READER | {"verb": "index-decode", "flags": ["Integrity"]}, indexes())
    yield family("cat", READER | {"verb": "catalog-decode", "flags": ["Limits"]}, catalogs())
    yield family("man", READER | {"verb": "manifest-verify", "flags": ["Interop"]}, manifests())
    yield family("key", READER | {"verb": "key-open", "flags": ["Interop"]}, keys())
    yield family("create", WRITER | {"verb": "pxar-create", "flags": ["ByteExact"]}, created())
    yield family("exclude", WRITER | {"verb": "pxar-create", "flags": ["DataLoss"]}, excluded())
