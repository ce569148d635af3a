# SPDX-License-Identifier: MIT
"""Keys and derivations (spec/crypto.md)."""
from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .errors import OracleError

FINGERPRINT_INPUT = hashlib.sha256(b"Proxmox Backup Encryption Key Fingerprint").digest()  # CRY-006


class Key:
    """An encryption key with everything derived from it (CRY-001..006)."""

    def __init__(self, enc_key: bytes):
        if len(enc_key) != 32:
            raise OracleError("CRY-027", None, f"key of {len(enc_key)} bytes", "bad-key-length")
        self.enc_key = enc_key
        self.id_key = hashlib.pbkdf2_hmac("sha256", enc_key, b"_id_key", 10, 32)  # CRY-002
        self.fingerprint = self.digest(FINGERPRINT_INPUT)

    def digest(self, data: bytes) -> bytes:
        """Keyed digest of chunks (CRY-004)."""
        return hashlib.sha256(data + self.id_key).digest()

    def auth_tag(self, data: bytes) -> bytes:
        """Manifest signature (CRY-005)."""
        return hmac.digest(self.id_key, data, "sha256")

    def fingerprint_text(self) -> str:
        return self.fingerprint.hex(":")  # CRY-010


def parse_fingerprint(text: str) -> bytes:
    """CRY-012."""
    digits = text.replace(":", "")
    try:
        raw = bytes.fromhex(digits) if len(digits) == 64 and digits.isalnum() else b""
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise OracleError("CRY-012", None, f"bad fingerprint {text!r}", "bad-json")
    return raw


def gcm_decrypt(key: bytes, iv: bytes, tag: bytes, data: bytes) -> bytes:
    """AES-256-GCM with a 16 byte IV and empty AAD (BLOB-040..043)."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    decryptor = Cipher(algorithms.AES(key), modes.GCM(iv, tag)).decryptor()
    try:
        return decryptor.update(data) + decryptor.finalize()
    except InvalidTag:
        raise OracleError("BLOB-056", None, "authentication failed", "auth-failed") from None


def gcm_encrypt(key: bytes, iv: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Ciphertext and tag."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    encryptor = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
    out = encryptor.update(data) + encryptor.finalize()
    return out, encryptor.tag


@dataclass(slots=True)
class KeyFile:
    """A parsed key file; `enc_key` needs the passphrase if there is a kdf (CRY-020..025)."""
    kdf: dict[str, Any] | None
    created: int
    modified: int
    data: bytes
    fingerprint: bytes | None
    hint: str | None

    def unlock(self, password: bytes | None = None) -> Key:
        """CRY-037."""
        raw = self.data
        if self.kdf is not None:
            raw = self._decrypt(password or b"")
        key = Key(raw)
        if self.fingerprint is not None and self.fingerprint != key.fingerprint:
            raise OracleError("CRY-024", None, "fingerprint differs", "fingerprint-mismatch")
        return key

    def _decrypt(self, password: bytes) -> bytes:
        if len(password) < 5:
            raise OracleError("CRY-034", None, "passphrase too short", "passphrase-too-short")
        derived = derive(self.kdf or {}, password)
        if len(self.data) < 32:
            raise OracleError("CRY-035", None, "encrypted key too short", "short-data")
        try:
            return gcm_decrypt(derived, self.data[:16], self.data[16:32], self.data[32:])
        except OracleError:
            raise OracleError("CRY-035", None, "wrong passphrase or damaged key", "auth-failed") from None


def derive(kdf: dict[str, Any], password: bytes) -> bytes:
    """Key protecting a key file (CRY-021, CRY-031..033)."""
    (name, parameters), = kdf.items()
    salt = _base64(parameters["salt"])
    if name == "Scrypt":
        n, r, p = parameters["n"], parameters["r"], parameters["p"]
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=1025 << 20, dklen=32)
    return hashlib.pbkdf2_hmac("sha256", password, salt, parameters["iter"], 32)


def _base64(text: Any) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        if base64.b64encode(raw).rstrip(b"=").decode() != text.rstrip("="):
            raise ValueError  # bits that no byte takes are not zero (RFC 4648, 3.5)
        return raw
    except (TypeError, ValueError):  # binascii.Error is one
        raise OracleError("CRY-023", None, "bad base64", "bad-json") from None


def _time(text: Any) -> int:
    """CRY-022."""
    form = "%Y-%m-%dT%H:%M:%S%z"
    try:
        if len(text) not in (20, 25) or len(text) == 20 and not text.endswith("Z"):
            raise ValueError
        return int(datetime.strptime(text, form).timestamp())
    except (TypeError, ValueError):
        raise OracleError("CRY-022", None, f"bad time {text!r}", "bad-json") from None


def _check_kdf(kdf: Any) -> dict[str, Any] | None:
    if kdf is None:
        return None
    needed = {"Scrypt": {"n", "r", "p", "salt"}, "PBKDF2": {"iter", "salt"}}
    if not isinstance(kdf, dict) or len(kdf) != 1 or not needed.keys() >= kdf.keys() or \
            not all(isinstance(v, dict) and needed[k] <= v.keys() for k, v in kdf.items()):
        raise OracleError("CRY-021", None, "unknown key derivation", "bad-json")
    return kdf


def parse_key_file(text: str | bytes) -> KeyFile:
    """Parse a key file without unlocking it."""
    try:
        value = json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
        data, hint = value["data"], value.get("hint")
        created, modified = value["created"], value["modified"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise OracleError("CRY-020", None, "not a key file", "bad-json") from None
    stored = value.get("fingerprint")
    return KeyFile(_check_kdf(value.get("kdf")), _time(created), _time(modified), _base64(data),
                   None if stored is None else parse_fingerprint(stored), hint)


def load_key(path: str, password: bytes | None = None) -> Key:
    with open(path, "rb") as f:
        return parse_key_file(f.read()).unlock(password)
