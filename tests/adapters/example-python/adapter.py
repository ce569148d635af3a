#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A complete small adapter: reads and writes uncompressed, unencrypted blobs (spec/adapters.md)."""
import hashlib
import json
import struct
import sys
import traceback
import zlib
from pathlib import Path

UNCOMPRESSED = bytes.fromhex("42ab3807be8370a1")                                                # BLOB-001
OTHERS = [bytes.fromhex(m) for m in ("31b958426fb6a37f", "7b6785be222d4cf0", "e6591bbf0bbfd80b")]


class Rejected(Exception):
    pass


class Unsupported(Exception):
    pass


def option(case: Path, name: str) -> str | None:
    path = case / "args" / name
    return path.read_text() if path.exists() else None


def blob_decode(case: Path, out: Path) -> None:
    raw = (case / "blob").read_bytes()
    if raw[:8] in OTHERS and len(raw) >= 12:
        raise Unsupported  # zstd and AES are not in the standard library
    if len(raw) < 12 or raw[:8] != UNCOMPRESSED:
        raise Rejected("BLOB-050: too short, or wrong magic")
    if struct.unpack("<I", raw[8:12])[0] != zlib.crc32(raw[12:]):
        raise Rejected("BLOB-010: wrong CRC")
    digest, size = option(case, "digest"), option(case, "size")
    if digest is not None and digest != hashlib.sha256(raw[12:]).hexdigest():
        raise Rejected("BLOB-059: wrong digest")
    if size is not None and int(size) != len(raw) - 12:
        raise Rejected("BLOB-061: wrong size")
    (out / "plain").write_bytes(raw[12:])
    (out / "view.json").write_text(json.dumps({"kind": "uncompressed"}))


def blob_encode(case: Path, out: Path) -> None:
    if (case / "key.json").exists() or option(case, "compress") is not None:
        raise Unsupported
    plain = (case / "plain").read_bytes()
    (out / "blob").write_bytes(UNCOMPRESSED + struct.pack("<I", zlib.crc32(plain)) + plain)


def main(verb: str, case: str, out: str) -> int:
    verbs = {"blob-decode": blob_decode, "blob-encode": blob_encode}
    try:
        if verb not in verbs:
            raise Unsupported
        verbs[verb](Path(case), Path(out))
    except Rejected as e:
        print(e)
        return 1
    except Unsupported:
        return 127
    except Exception:  # Python's own 1 would be "rejected"
        traceback.print_exc()
        return 70
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print("example-python 1")
        sys.exit(0)
    sys.exit(main(*sys.argv[1:]))
