# covers: CRY-002 CRY-004 CRY-006 CRY-010 CRY-012 CRY-020 CRY-021 CRY-022 CRY-023 CRY-024 CRY-030 CRY-032 CRY-033 CRY-034 CRY-035 CRY-082 CRY-094
# SPDX-License-Identifier: MIT
"""Keys against spec/vectors/crypto.json."""
from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from . import blob, crypto
from .conftest import vectors
from .errors import OracleError

VECTORS = vectors("crypto")


def password_of(case: dict[str, Any]) -> bytes | None:
    return case["password"].encode() if case.get("password") is not None else None


@pytest.mark.parametrize("case", VECTORS["derivations"], ids=lambda c: c["enc_key_hex"][:8])
def test_derivations(case: dict[str, Any]) -> None:
    key = crypto.Key(bytes.fromhex(case["enc_key_hex"]))
    assert key.id_key.hex() == case["id_key_hex"]
    assert key.fingerprint.hex() == case["fingerprint_hex"]
    assert key.fingerprint_text() == case["fingerprint_full"]
    assert crypto.parse_fingerprint(case["fingerprint_full"].upper()) == key.fingerprint
    for one in case["digest_of"]:
        data = bytes.fromhex(one["plain_hex"])
        assert key.digest(data).hex() == one["keyed_digest_hex"]
        assert hashlib.sha256(data).hexdigest() == one["plain_sha256"]
    assert key.digest(bytes(4 << 20)).hex() == case["digest_zero_4MiB_hex"]


def test_constants() -> None:
    constants = VECTORS["constants"]
    assert crypto.FINGERPRINT_INPUT.hex() == constants["fingerprint_input_sha256_hex"]


@pytest.mark.parametrize("case", VECTORS["keyfiles"], ids=lambda c: c["name"])
def test_key_files(case: dict[str, Any]) -> None:
    found = crypto.parse_key_file(case["text"])
    assert (found.created, found.modified) == (case["created"], case["modified"])
    assert found.hint == case.get("hint")
    if "derived_key_hex" in case:
        assert found.kdf is not None
        derived = crypto.derive(found.kdf, password_of(case) or b"")
        assert derived.hex() == case["derived_key_hex"]
        parts = "data_iv_hex", "data_tag_hex", "data_ciphertext_hex"
        assert found.data.hex() == "".join(case[p] for p in parts)
    assert found.unlock(password_of(case)).enc_key.hex() == case["enc_key_hex"]


@pytest.mark.parametrize("case", VECTORS["keyfiles_negative_or_tolerated"], ids=lambda c: c["name"])
def test_bad_key_files(case: dict[str, Any]) -> None:
    if case["error_class"] is None:
        crypto.parse_key_file(case["keyfile"]).unlock(password_of(case))
        return
    with pytest.raises(OracleError) as caught:
        crypto.parse_key_file(case["keyfile"]).unlock(password_of(case))
    assert caught.value.error_class == case["error_class"]


def test_full_chain() -> None:
    case = VECTORS["full_chain"]
    key = crypto.parse_key_file(case["keyfile"]).unlock(case["password"].encode())
    assert key.enc_key.hex() == case["enc_key_hex"] and key.id_key.hex() == case["id_key_hex"]
    data, raw = bytes.fromhex(case["plain_hex"]), bytes.fromhex(case["blob_hex"])
    assert blob.encode(data, False, key, bytes.fromhex(case["iv_hex"])) == raw
    assert blob.decode(raw, key, bytes.fromhex(case["chunk_digest_hex"])) == data


def test_master_key() -> None:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    case = VECTORS["rsa"]
    secret = base64.b64decode(case["ciphertext_base64"])
    assert hashlib.sha256(blob.encode(secret, False)).hexdigest() == case["blob_sha256"]
    password = case["private_key_password"].encode()
    for name, phrase in (("private_key_pem", None), ("private_key_encrypted_pem", password)):
        text = load_pem_private_key(case[name].encode(), phrase).decrypt(secret, PKCS1v15())
        assert text.decode() == case["plaintext"]
    crypto.parse_key_file(case["plaintext"]).unlock()
