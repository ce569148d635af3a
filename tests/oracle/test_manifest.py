# covers: MAN-010 MAN-011 MAN-012 MAN-013 MAN-014 MAN-015 MAN-016 MAN-017 MAN-018 MAN-019 MAN-021 MAN-024 MAN-040
# covers: MAN-041 MAN-042 MAN-043 MAN-044 MAN-045 MAN-048 MAN-049 MAN-051 MAN-052
# SPDX-License-Identifier: MIT
"""Manifests against spec/vectors/manifest.json."""
from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from . import manifest
from .conftest import vectors
from .crypto import Key
from .errors import OracleError

VECTORS = vectors("manifest")


@pytest.mark.parametrize("case", VECTORS["canonical_json"], ids=lambda c: ascii(c["value"])[:20])
def test_canonical(case: dict[str, Any]) -> None:
    if "canonical_hex" in case:
        assert manifest.canonical(case["value"]).hex() == case["canonical_hex"]
        return
    with pytest.raises(OracleError) as caught:
        manifest.canonical(case["value"])
    assert caught.value.error_class == case["error_class"]


def test_signed() -> None:
    case = VECTORS["signed"]
    key = Key(bytes.fromhex(case["enc_key_hex"]))
    found = manifest.parse(case["text_written_by_client"])
    assert manifest.canonical(found.signed_value()).decode() == case["canonical"]
    assert manifest.signature(found, key) == case["signature_hex"]
    assert manifest.text_form(found) == case["text_written_by_client"]
    assert hashlib.sha256(manifest.text_form(found).encode()).hexdigest() == case["text_sha256"]
    assert key.fingerprint_text() == case["key_fingerprint"]
    later = manifest.parse(case["text_after_server_additions"])
    assert manifest.text_form(later) == case["text_after_server_additions"]


def test_unsigned_text() -> None:
    text = VECTORS["unsigned"]["text_written_by_client"]
    assert manifest.text_form(manifest.parse(text)) == text


def test_known_answer() -> None:
    case = VECTORS["upstream_known_answer"]
    scrypt = case["scrypt"]
    raw = hashlib.scrypt(case["password"].encode(), salt=bytes.fromhex(scrypt["salt_hex"]),
                         n=scrypt["n"], r=scrypt["r"], p=scrypt["p"], maxmem=1025 << 20, dklen=32)
    assert raw.hex() == case["enc_key_hex"]
    found = manifest.parse(case["canonical"])
    assert manifest.signature(found, Key(raw)) == case["signature_hex"]


@pytest.mark.parametrize("case", VECTORS["load_cases"], ids=lambda c: c["name"])
def test_load(case: dict[str, Any]) -> None:
    key = Key(bytes.fromhex(case["enc_key_hex"])) if case["enc_key_hex"] else None
    result = case["result"].removeprefix("load: ").removeprefix("4.1.9 and later: ")
    found = manifest.parse(case["text"])
    if result.startswith("ok"):
        manifest.verify(found, key)
    else:
        with pytest.raises(OracleError) as caught:
            manifest.verify(found, key)
        assert caught.value.error_class == result
    if "fingerprint check: missing-key" in result:
        with pytest.raises(OracleError) as caught:
            manifest.check_fingerprint(found, key)
        assert caught.value.error_class == "missing-key"


@pytest.mark.parametrize("change", [
    {"backup-type": "other"}, {"backup-id": 1}, {"backup-time": "1"}, {"files": {}},
    {"files": [{}]}, {"signature": 1},
    {"files": [{"filename": "a", "size": -1, "csum": "00" * 32}]},
    {"files": [{"filename": "a", "size": 1, "csum": "00" * 31}]},
    {"files": [{"filename": "a", "size": 1, "csum": "00" * 32, "crypt-mode": "x"}]}])
def test_refused(change: dict[str, Any]) -> None:
    value = {"backup-type": "host", "backup-id": "a", "backup-time": 1, "files": []}
    manifest.parse(json.dumps(value))
    with pytest.raises(OracleError):
        manifest.parse(json.dumps(value | change))
    for name in change.keys() - {"signature"}:
        with pytest.raises(OracleError):
            manifest.parse(json.dumps({k: v for k, v in value.items() if k != name}))
