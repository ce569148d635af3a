# covers: BLOB-001 BLOB-008 BLOB-010 BLOB-011 BLOB-027 BLOB-033 BLOB-050 BLOB-053 BLOB-054 BLOB-056 BLOB-059 BLOB-061 BLOB-070 BLOB-071 BLOB-101
# SPDX-License-Identifier: MIT
"""Data blobs against spec/vectors/blob.json."""
from __future__ import annotations

import hashlib
from typing import Any

import pytest

from . import blob
from .conftest import vectors
from .crypto import Key
from .errors import OracleError

VECTORS = vectors("blob")


def key_of(case: dict[str, Any]) -> Key | None:
    return Key(bytes.fromhex(case["enc_key_hex"])) if case.get("enc_key_hex") else None


def plain_of(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["plain_hex"]) if "plain_hex" in case else bytes(case["plain_len"])


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda c: c["name"])
def test_valid(case: dict[str, Any]) -> None:
    raw, key, data = bytes.fromhex(case["blob_hex"]), key_of(case), plain_of(case)
    assert hashlib.sha256(raw).hexdigest() == case["blob_sha256"]
    parsed = blob.load(raw)
    assert (parsed.kind, parsed.crc) == (case["magic_kind"], case["crc32_value"])
    digest = bytes.fromhex(case["chunk_digest_hex"])
    assert blob.decode(raw, key, digest, case["plain_len"]) == data
    iv = parsed.iv or None
    if case["encoder_must_reproduce"]:
        assert blob.encode(data, True, key, iv) == raw
        assert blob.encode(data, False, key, iv) == raw
    assert blob.decode(blob.encode(data, True, key, iv), key, digest) == data


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda c: c["name"])
def test_invalid(case: dict[str, Any]) -> None:
    digest = bytes.fromhex(case["expected_digest_hex"]) if "expected_digest_hex" in case else None
    raw, size = bytes.fromhex(case["blob_hex"]), case.get("expected_size")
    with pytest.raises(OracleError) as caught:
        blob.decode(raw, key_of(case), digest, size)
    assert caught.value.error_class == case["error_class"]


def test_zero_chunks_and_magics() -> None:
    zero = VECTORS["zero_chunk_digests"]
    key = Key(bytes.fromhex(zero["enc_key_hex"]))
    for case in zero["sizes"]:
        data = bytes(case["size"])
        assert hashlib.sha256(data).hexdigest() == case["plain_digest"]
        assert key.digest(data).hex() == case["keyed_digest"]
    for name, magic in VECTORS["magics"].items():
        assert blob.MAGICS[name.replace("_", "-")].hex() == magic
    for kind, text in (("uncompressed", "uncompressed"), ("compressed", "zstd compressed"),
                       ("encrypted", "encrypted"),
                       ("encrypted-compressed", "zstd compressed encrypted")):
        wanted = hashlib.sha256(f"Proxmox Backup {text} blob v1.0".encode()).digest()[:8]
        assert blob.MAGICS[kind] == wanted


def test_bounded_decompression() -> None:
    raw = blob.encode(bytes(1 << 20))
    with pytest.raises(OracleError) as caught:
        blob.decode(raw, limit=1 << 19)
    assert caught.value.rule == "BLOB-060"
