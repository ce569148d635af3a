# SPDX-License-Identifier: MIT
"""Cases from spec/vectors: chunker, blobs, catalogs, manifests, key files; index files with a line per fault."""
from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from conformance.gen_basic import vectors
from conformance.gen_files import digest, dynamic_index, fixed_index
from conformance.generate import edit
from oracle import blob, catalog, index, manifest
from oracle.crypto import Key, parse_key_file
from oracle.errors import OracleError

Json = dict[str, Any]
LONGEST = 4 << 20  # data of chunker cases; the vectors have longer ones, which take an interpreter seconds
ACCEPT: Json = {"verdict": "accept"}
REJECT: Json = {"verdict": "reject"}


def vector(file: str, section: str, name: str, field: str) -> Json:
    return {"gen": "vector", "args": {"file": file, "section": section, "name": name, "field": field}}


def key_input(key: str | None) -> Json:
    return {"key.json": {"gen": "key-file", "args": {"key": key}}} if key else {}


def broken_rule(act: Any, *args: Any) -> list[str]:
    """The rule that the independent reader names."""
    try:
        act(*args)
    except OracleError as e:
        return [e.rule]
    raise AssertionError(f"accepted: {args!r:.200}")


def slug(text: str) -> str:
    return "-".join(part for part in "".join(c.lower() if c.isalnum() else " " for c in text).split())


# ---- chunker ----

def chunker_plain() -> Json:
    cases = [{"id": slug(v["id"]), "does": f"{' + '.join(v['input']) or 'no data'}, average {v['avg'] >> 10} KiB", "args": {"avg": str(v["avg"])},
              "input": {"data": {"gen": "segments", "args": {"parts": v["input"]}}},
              "expect": ACCEPT | {"view": {"chunks": [{"end": str(end)} for end in v["ends"]]}}}
             for v in vectors("chunker")["plain"] if v["size"] <= LONGEST]
    return {"area": "chunk", "about": "Cut points of the dynamic chunker: edges of minimum and maximum, periodic data, seams, noise.",
            "defaults": {"role": "chunker", "verb": "chunk", "level": "must", "flags": ["ByteExact"],
                         "rules": ["CHK-030", "CHK-031", "CHK-032"],
                         "why": "other cut points mean other digests: nothing is deduplicated between implementations"},
            "cases": cases}


def chunker_stream() -> Json:
    cases = []
    for v in vectors("chunker")["stream"]:
        script = "".join(" ".join(map(str, line)) + "\n" for line in v["script"])
        result = [{"kind": k, "size": str(n), "end": str(e)} for k, n, e in v["result"] if n or k == "inject"]
        cases.append({"id": f"stream-{slug(v['id'])}", "does": v.get("note") or "suggested and forced boundaries", "args": {"avg": str(v["avg"])},
                      "input": {"data": {"gen": "segments", "args": {"parts": v["input"]}}, "script": {"text": script}},
                      "expect": ACCEPT | {"view": {"result": result}}})
    return {"area": "chunk", "about": "The payload chunker: suggested boundaries, forced boundaries with injected chunks.",
            "defaults": {"role": "chunker", "verb": "chunk-stream", "level": "should", "flags": ["ByteExact", "Reuse"],
                         "rules": ["CHK-073", "CHK-079", "CHK-080"]},
            "cases": cases}


def fixed_chunks() -> Json:
    cases = []
    step = 4 << 20
    for size in (0, 1, step - 1, step, step + 1, 2 * step, 9 << 20):
        data = bytes(i & 0xFF for i in range(251)) * (size // 251 + 1)
        ends = [min(at + step, size) for at in range(0, size, step)]
        chunks = [{"end": str(end), "digest": blob.digest_of(data[start:end], False, None).hex()} for start, end in zip([0, *ends], ends)]
        cases.append({"id": f"fixed-{size}", "does": f"{size} bytes in chunks of 4 MiB", "args": {"fixed": str(step)},
                      "input": {"data": {"gen": "segments", "args": {"parts": [f"mod:251:{size}"]}}}, "expect": ACCEPT | {"view": {"chunks": chunks}}})
    return {"area": "chunk", "about": "Fixed chunks: the last one may be short.",
            "defaults": {"role": "chunker", "verb": "chunk", "level": "must", "flags": ["ByteExact", "Limits"], "rules": ["CHK-055"]}, "cases": cases}


# ---- blobs ----

def plain_source(v: Json) -> Json:
    if "plain_hex" not in v:
        return {"gen": "segments", "args": {"parts": [f"byte:0:{v['plain_len']}"]}}
    return {"hex": v["plain_hex"]} if len(v["plain_hex"]) < 200 else vector("blob", "valid", v["name"], "plain_hex")


def blob_source(section: str, v: Json) -> Json:
    return {"hex": v["blob_hex"]} if len(v["blob_hex"]) < 200 else vector("blob", section, v["name"], "blob_hex")


def blobs_valid() -> Json:
    cases = []
    for v in vectors("blob")["valid"]:
        cases.append({"id": "good-" + slug(v["name"]), "does": v.get("note", f"a blob of kind {v['magic_kind']}"),
                      "flags": ["Crypto", "Interop"] if v.get("enc_key_hex") else ["Interop"],
                      "args": {"digest": v["chunk_digest_hex"], "size": str(v["plain_len"])},
                      "input": {"blob": blob_source("valid", v)} | key_input(v.get("enc_key_hex")),
                      "expect": ACCEPT | {"view": {"kind": v["magic_kind"]}, "files": {"plain": plain_source(v)}}})
    return {"area": "blob", "about": "Blobs of every kind that readers must open, foreign encoders' too.",
            "defaults": {"role": "reader", "verb": "blob-decode", "level": "must", "rules": ["BLOB-010", "BLOB-070"]}, "cases": cases}


def blobs_invalid() -> Json:
    cases = []
    for v in vectors("blob")["invalid"]:
        key = Key(bytes.fromhex(v["enc_key_hex"])) if v.get("enc_key_hex") else None
        wanted, size = v.get("expected_digest_hex"), v.get("expected_size")
        args = ({"digest": wanted} if wanted else {}) | ({"size": str(size)} if size is not None else {})
        rule = broken_rule(blob.decode, bytes.fromhex(v["blob_hex"]), key, bytes.fromhex(wanted) if wanted else None, size)
        tolerated = v["name"] == "enc-compressed-truncated-frame-inside"
        cases.append({"id": "bad-" + slug(v["name"]), "rules": rule, "does": v.get("note", v["name"].replace("-", " ")), **({"args": args} if args else {}),
                      **({"level": "should"} if tolerated else {}),
                      "input": {"blob": blob_source("invalid", v)} | key_input(v.get("enc_key_hex")), "expect": REJECT})
    return {"area": "blob", "about": "Damaged, cut, forged and mislabelled blobs.",
            "defaults": {"role": "reader", "verb": "blob-decode", "level": "must", "flags": ["Integrity"],
                         "why": "damaged data would be restored as if it were good"}, "cases": cases}


# ---- indexes ----

def dynamic_view(ends: list[int]) -> Json:
    return {"kind": "dynamic", "size": str(ends[-1]), "chunks": [{"end": str(e), "digest": digest(n).hex()} for n, e in enumerate(ends)]}


def lookup(ends: list[int], offset: int) -> Json | None:
    number = next((n for n, end in enumerate(ends) if offset < end), None)
    return None if number is None else {"chunk": str(number), "start": str(ends[number - 1] if number else 0)}


def dynamic_case(name: str, does: str, ends: list[int], offsets: list[int]) -> Json:
    view = dynamic_view(ends) | {"uuid": "00112233445566778899aabbccddeeff", "ctime": "1700000000",
                                 "csum": dynamic_index(ends)[32:64].hex(), "lookups": [lookup(ends, o) for o in offsets]}
    return {"id": name, "does": does, "args": {"offsets": [str(o) for o in offsets]},
            "input": {"archive.didx": {"gen": "dynamic-index", "args": {"ends": ends}}}, "expect": ACCEPT | {"view": view}}


def fixed_case(name: str, does: str, size: int, chunk: int, offsets: list[int]) -> Json:
    ends = [min(at + chunk, size) for at in range(0, size, chunk)]
    view = dynamic_view(ends) | {"kind": "fixed", "chunk-size": str(chunk), "lookups": [lookup(ends, o) for o in offsets]}
    return {"id": name, "does": does, "args": {"offsets": [str(o) for o in offsets]}, "rules": ["IDX-040", "IDX-047", "IDX-056"],
            "input": {"archive.fidx": {"gen": "fixed-index", "args": {"size": size, "chunk": chunk}}}, "expect": ACCEPT | {"view": view}}


def index_valid() -> Json:
    top = 1 << 62
    return {"area": "idx", "about": "Index files and the chunk that an offset lies in.",
            "defaults": {"role": "reader", "verb": "index-decode", "level": "must", "rules": ["IDX-001", "IDX-010", "IDX-030"], "flags": ["Interop"]},
            "cases": [
                dynamic_case("one-chunk", "one chunk of one byte", [1], [0, 1]),
                dynamic_case("three-chunks", "offsets at both sides of every end", [1000, 1024, 6024], [0, 999, 1000, 1023, 1024, 6023, 6024, 1 << 63]),
                dynamic_case("many-chunks", "a thousand chunks", [n * 4096 for n in range(1, 1001)], [0, 4095, 4096, 2_048_000, 4_095_999, 4_096_000]),
                dynamic_case("largest-chunk", "a chunk of 16 MiB, the largest there is", [16 << 20], [(16 << 20) - 1]),
                fixed_case("fixed-partial-tail", "the last chunk is short", 8196, 4096, [0, 4095, 4096, 8195, 8196]),
                fixed_case("fixed-whole", "the size is a multiple of the chunk size", 8192, 4096, [8191, 8192]),
                fixed_case("fixed-one-byte", "an image of one byte", 1, 4 << 20, [0, 1]),
                fixed_case("fixed-4mib", "chunks of 4 MiB", 9 << 20, 4 << 20, [(8 << 20) - 1, 8 << 20, top])]}


# id, what, edits; the original accepts it: True (readers should not), None (left to the implementation)
DYNAMIC_FAULTS: list[tuple[str, str, list[Json], bool | None]] = [
    ("bad-magic", "first byte of the magic flipped", [{"at": 0, "xor": "01"}], False),
    ("bad-magic-end", "last byte of the magic flipped", [{"at": 7, "xor": "80"}], False),
    ("fixed-magic", "the magic of a fixed index", [{"at": 0, "bytes": index.FIDX_MAGIC.hex()}], False),
    ("blob-magic", "the magic of a blob", [{"at": 0, "bytes": "42ab3807be8370a1"}], False),
    ("empty-file", "no byte at all", [{"truncate": 0}], False),
    ("header-one-short", "4095 bytes", [{"truncate": 4095}], False),
    ("header-only", "a header without entries", [{"truncate": 4096}], False),
    ("entry-cut", "the last entry lacks a byte", [{"truncate": -1}], False),
    ("entry-cut-39", "the last entry has one byte", [{"truncate": -39}], False),
    ("trailing-byte", "one byte after the last entry", [{"append": "00"}], False),
    ("csum-zero", "the stored checksum is zero", [{"at": 32, "bytes": "00" * 32}], True),
    ("csum-flipped", "a bit of the stored checksum flipped", [{"at": 63, "xor": "01"}], True),
    ("entry-removed", "an entry is missing, the checksum is the old one", [{"remove": [4136, 40]}], True),
    ("digest-flipped", "a bit of a digest flipped", [{"at": 4110, "xor": "10"}], True),
    ("reserved-set", "a reserved byte is not zero", [{"at": 64, "bytes": "ff"}], None),
    ("ends-decrease", "the second end is smaller than the first", [{"at": 4136, "u64": "10"}, {"repair": "index-csum"}], True),
    ("ends-equal", "two equal ends: a chunk without bytes", [{"at": 4136, "u64": "1000"}, {"repair": "index-csum"}], None),
    ("first-end-zero", "the first chunk ends at 0", [{"at": 4096, "u64": "0"}, {"repair": "index-csum"}], None),
    ("chunk-too-large", "a chunk of 16 MiB and one byte", [{"at": 4176, "u64": str((16 << 20) + 1025)}, {"repair": "index-csum"}], None),
    ("end-wraps", "an end of 2^64 - 1", [{"at": 4176, "u64": "-1"}, {"repair": "index-csum"}], None)]
FIXED_FAULTS: list[tuple[str, str, list[Json], bool | None]] = [
    ("fixed-bad-magic", "a byte of the magic flipped", [{"at": 3, "xor": "04"}], False),
    ("fixed-dynamic-magic", "the magic of a dynamic index", [{"at": 0, "bytes": index.DIDX_MAGIC.hex()}], False),
    ("fixed-header-one-short", "4095 bytes", [{"truncate": 4095}], False),
    ("fixed-extra-digest", "a digest too many", [{"append": "00" * 32}], False),
    ("fixed-missing-digest", "a digest too few", [{"truncate": -32}], False),
    ("fixed-digest-cut", "half a digest", [{"truncate": -16}], False),
    ("fixed-chunk-size-odd", "a chunk size of 4095", [{"at": 72, "u64": "4095"}], False),
    ("fixed-chunk-size-zero", "a chunk size of 0", [{"at": 72, "u64": "0"}], False),
    ("fixed-chunk-size-huge", "a chunk size of 2^63", [{"at": 72, "u64": str(1 << 63)}], False),
    ("fixed-size-zero", "an image of no bytes with three digests", [{"at": 64, "u64": "0"}], False),
    ("fixed-size-huge", "an image of 2^64 - 1 bytes with three digests", [{"at": 64, "u64": "-1"}], False),
    ("fixed-csum-flipped", "a bit of the stored checksum flipped", [{"at": 40, "xor": "01"}], True),
    ("fixed-digest-flipped", "a bit of a digest flipped", [{"at": 4100, "xor": "01"}], True)]


def fault_cases(faults: list[tuple[str, str, list[Json], bool | None]], name: str, base: Json, raw: bytes, kind: str) -> Iterator[Json]:
    for slug_, what, edits, tolerated in faults:
        data = raw
        for one in edits:
            data = edit(data, one)
        source = {name: {"of": base, "edit": edits}}
        if tolerated is None:
            yield {"id": slug_, "rules": ["IDX-020", "IDX-021", "IDX-023"], "does": what, "level": "may", "input": source,
                   "expect": {"verdict": "info", "note": "the original takes it; others may refuse it"}}
            continue
        yield {"id": slug_, "rules": broken_rule(lambda d: index.parse(d, kind=kind), data), "does": what,
               **({"level": "should"} if tolerated else {}), "input": source, "expect": REJECT}


def index_invalid() -> Json:
    dynamic = {"gen": "dynamic-index", "args": {"ends": [1000, 1024, 6024]}}
    fixed = {"gen": "fixed-index", "args": {"size": 8196, "chunk": 4096}}
    return {"area": "idx", "about": "Index files with one fault each.",
            "defaults": {"role": "reader", "verb": "index-decode", "level": "must", "flags": ["Integrity"],
                         "why": "an index is the only place that says which chunks an archive consists of"},
            "cases": [*fault_cases(DYNAMIC_FAULTS, "archive.didx", dynamic, dynamic_index([1000, 1024, 6024]), "dynamic"),
                      *fault_cases(FIXED_FAULTS, "archive.fidx", fixed, fixed_index(8196, 4096), "fixed")]}


# ---- catalogs ----

KINDS = {"d": "dir", "f": "file", "l": "symlink", "h": "hardlink", "b": "blockdev", "c": "chardev", "p": "fifo", "s": "socket"}


def catalog_rows(items: list[Json], above: str = "") -> Iterator[Json]:
    from conformance.names import to_text
    for item in items:
        path = above + to_text(item["name"].encode("latin-1"))
        one = {"path": path, "kind": KINDS[item["type"]]}
        if item["type"] == "f":
            one |= {"size": str(item["size"]), "mtime": str(item["mtime"])}
        yield one
        yield from catalog_rows(item.get("children", []), path + "/")


def catalogs() -> Json:
    cases = [{"id": slug(v["name"]), "rules": ["CAT-010", "CAT-040"], "does": v.get("note", "a catalog"), "flags": ["Interop"],
              "input": {"catalog.pcat1": {"hex": v["file_hex"]} if len(v["file_hex"]) < 300 else vector("catalog", "files", v["name"], "file_hex")},
              "expect": ACCEPT | {"view": {"entries": list(catalog_rows(v["tree"]))}}} for v in vectors("catalog")["files"]]
    for v in vectors("catalog")["invalid_or_tolerated"]:
        cases.append({"id": slug(v["name"]), "rules": broken_rule(catalog.parse, bytes.fromhex(v["file_hex"])),
                      "does": v.get("note", v["name"].replace("-", " ")), "flags": ["CrashSafety"],
                      **({"level": "should"} if v["error_class"] is None else {}),
                      "input": {"catalog.pcat1": {"hex": v["file_hex"]} if len(v["file_hex"]) < 300 else
                                vector("catalog", "invalid_or_tolerated", v["name"], "file_hex")}, "expect": REJECT})
    return {"area": "cat", "about": "Catalog files.", "defaults": {"role": "reader", "verb": "catalog-decode", "level": "must"}, "cases": cases}


# ---- manifests ----

PLAIN: Json = {"backup-type": "host", "backup-id": "a", "backup-time": 1_700_000_000,
               "files": [{"filename": "root.pxar.didx", "crypt-mode": "none", "size": 1000, "csum": "ab" * 32}], "unprotected": {}, "signature": None}
MANIFEST_FAULTS: list[tuple[str, str, list[str], Json]] = [
    ("type-missing", "no backup-type", ["backup-type"], {}), ("id-missing", "no backup-id", ["backup-id"], {}),
    ("time-missing", "no backup-time", ["backup-time"], {}), ("files-missing", "no files", ["files"], {}),
    ("type-unknown", "an unknown backup-type", [], {"backup-type": "other"}), ("id-number", "a number as backup-id", [], {"backup-id": 1}),
    ("time-text", "a text as backup-time", [], {"backup-time": "1"}), ("files-object", "an object as files", [], {"files": {}}),
    ("file-empty", "a file without members", [], {"files": [{}]}),
    ("size-negative", "a negative size", [], {"files": [{"filename": "a.blob", "crypt-mode": "none", "size": -1, "csum": "00" * 32}]}),
    ("csum-short", "a checksum of 31 bytes", [], {"files": [{"filename": "a.blob", "crypt-mode": "none", "size": 1, "csum": "00" * 31}]}),
    ("csum-not-hex", "a checksum that is not hex", [], {"files": [{"filename": "a.blob", "crypt-mode": "none", "size": 1, "csum": "zz" * 32}]}),
    ("crypt-mode-unknown", "an unknown crypt-mode", [], {"files": [{"filename": "a.blob", "crypt-mode": "x", "size": 1, "csum": "00" * 32}]}),
    ("signature-number", "a number as signature", [], {"signature": 1})]


def manifest_source(v: Json) -> Json:
    return vector("manifest", "load_cases", v["name"], "text")


def manifests() -> Json:
    cases: list[Json] = []
    for v in vectors("manifest")["load_cases"]:
        found = manifest.parse(v["text"])
        key = Key(bytes.fromhex(v["enc_key_hex"])) if v["enc_key_hex"] else None
        ok = v["result"].removeprefix("load: ").removeprefix("4.1.9 and later: ").startswith("ok")
        one: Json = {"id": slug(v["name"]), "rules": ["MAN-040", "MAN-048"], "does": v.get("note", v["name"].replace("-", " ")),
                     "input": {"index.json": manifest_source(v)} | key_input(v["enc_key_hex"]), "flags": ["Crypto"]}
        if ok:
            files = [{"filename": f.filename, "size": str(f.size), "csum": f.csum.hex(), "crypt-mode": f.crypt_mode} for f in found.files]
            one["expect"] = ACCEPT | {"view": {"backup-type": found.type, "backup-id": found.id, "backup-time": str(found.time), "files": files,
                                               "signed": "yes" if found.signature else "no"}}
            if v["name"] == "unsigned-plain-with-key" or "since" in v["result"] or v["result"].startswith("4.1.9"):
                one["level"] = "should"
        else:
            one |= {"rules": broken_rule(manifest.verify, found, key), "expect": REJECT, "why": "a forged manifest would be believed"}
        cases.append(one)
    text = {"gen": "json", "args": {"value": PLAIN}}
    cases.append({"id": "plain-minimal", "rules": ["MAN-010"], "does": "one file, not signed", "input": {"index.json": text}, "flags": ["Interop"],
                  "expect": ACCEPT | {"view": {"backup-id": "a", "signed": "no", "files": [{"filename": "root.pxar.didx", "size": "1000", "csum": "ab" * 32,
                                                                                            "crypt-mode": "none"}]}}})
    for name, what, remove, put in MANIFEST_FAULTS:
        value = {k: x for k, x in PLAIN.items() if k not in remove} | put
        args = {"value": PLAIN} | ({"remove": remove} if remove else {}) | ({"put": put} if put else {})
        cases.append({"id": name, "rules": broken_rule(manifest.parse, json.dumps(value)), "does": what, "flags": ["CrashSafety"],
                      "input": {"index.json": {"gen": "json", "args": args}},
                      "expect": REJECT})
    for name, what, source in (("not-json", "text that is no JSON", {"text": "backup-type: host\n"}), ("empty", "an empty file", {"hex": ""}),
                               ("cut", "the text ends in the middle", {"of": text, "edit": [{"truncate": 60}]}),
                               ("array", "an array instead of an object", {"text": "[]"}),
                               ("deep", "a hundred thousand nested arrays", {"gen": "repeat", "args": {"text": "[", "count": 100_000}}),
                               ("trailing", "a second value after the object", {"of": text, "edit": [{"append": "7b7d"}]})):
        cases.append({"id": name, "rules": ["MAN-003"], "does": what, "flags": ["CrashSafety"], "input": {"index.json": source}, "expect": REJECT})
    return {"area": "man", "about": "Manifests: what is in them, signatures, fingerprints of keys, malformed ones.",
            "defaults": {"role": "reader", "verb": "manifest-verify", "level": "must"}, "cases": cases}


# ---- key files ----

def keys() -> Json:
    cases: list[Json] = []
    for v in vectors("crypto")["keyfiles"]:
        found = parse_key_file(v["text"].encode())
        view = {"kdf": next(iter(found.kdf)).lower() if found.kdf else "none", "created": str(v["created"]), "modified": str(v["modified"]),
                "fingerprint": Key(bytes.fromhex(v["enc_key_hex"])).fingerprint.hex()}
        cases.append({"id": slug(v["name"]), "rules": ["CRY-020", "CRY-010"], "does": v.get("note", "a key file"), "flags": ["Crypto", "Interop"],
                      **({"args": {"passphrase": v["password"]}} if v["password"] else {}),
                      "input": {"key.json": {"text": v["text"]}}, "expect": ACCEPT | {"view": view | ({"hint": v["hint"]} if "hint" in v else {})}})
    for v in vectors("crypto")["keyfiles_negative_or_tolerated"]:
        one: Json = {"id": slug(v["name"]), "does": v.get("note", v["name"].replace("-", " ")), "flags": ["Crypto"],
                     **({"args": {"passphrase": v["password"]}} if v.get("password") else {}), "input": {"key.json": {"text": v["keyfile"]}}}
        secret = v["password"].encode() if v.get("password") else None
        if v["error_class"] is None:
            data = json.loads(v["keyfile"])["data"]
            print_ = Key(base64.b64decode(data)).fingerprint.hex()
            one |= {"rules": ["CRY-020"], "expect": ACCEPT | {"view": {"kdf": "none", "fingerprint": print_}}}
        else:
            one |= {"rules": broken_rule(lambda t, s: parse_key_file(t).unlock(s), v["keyfile"].encode(), secret), "expect": REJECT,
                    **({"level": "should"} if v["error_class"] == "passphrase-too-short" else {})}
        cases.append(one)
    return {"area": "key", "about": "Key files with every key derivation, and what is wrong with others.",
            "defaults": {"role": "reader", "verb": "key-open", "level": "must"}, "cases": cases}


def families() -> Iterator[tuple[str, Json]]:
    yield "chunk/vectors.json", chunker_plain()
    yield "chunk/stream.json", chunker_stream()
    yield "chunk/fixed.json", fixed_chunks()
    yield "blob/valid.json", blobs_valid()
    yield "blob/invalid.json", blobs_invalid()
    yield "idx/valid.json", index_valid()
    yield "idx/invalid.json", index_invalid()
    yield "cat/files.json", catalogs()
    yield "man/files.json", manifests()
    yield "key/files.json", keys()
