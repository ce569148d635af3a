# SPDX-License-Identifier: MIT
"""Manifest (spec/manifest.md): parsing, canonical JSON, text form, signature."""
from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from .crypto import Key, parse_fingerprint
from .errors import OracleError

TYPES = ("host", "vm", "ct")
CRYPT_MODES = ("none", "encrypt", "sign-only")


@dataclass(slots=True)
class File:
    """MAN-016..019."""
    filename: str
    size: int
    csum: bytes
    crypt_mode: str = "none"

    def value(self) -> dict[str, Any]:
        return {"filename": self.filename, "crypt-mode": self.crypt_mode, "size": self.size,
                "csum": self.csum.hex()}


@dataclass(slots=True)
class Manifest:
    """MAN-010..015."""
    type: str
    id: str
    time: int
    files: list[File] = field(default_factory=list)
    unprotected: Any = field(default_factory=dict)
    signature: str | None = None

    def signed_value(self) -> dict[str, Any]:
        return {"backup-type": self.type, "backup-id": self.id, "backup-time": self.time,
                "files": [f.value() for f in self.files]}

    def file(self, name: str) -> File:
        """First entry of that name (MAN-072)."""
        for one in self.files:
            if one.filename == name:
                return one
        raise OracleError("MAN-072", None, f"{name!r} is not in the manifest", "not-found")

    def fingerprint(self) -> bytes | None:
        known = self.unprotected if isinstance(self.unprotected, dict) else {}
        stored = known.get("key-fingerprint")
        return None if stored is None else parse_fingerprint(str(stored))


def _typed(value: dict[str, Any], name: str, kind: type) -> Any:
    """MAN-021."""
    found = value.get(name)
    if not isinstance(found, kind) or isinstance(found, bool):
        raise OracleError("MAN-021", None, f"member {name!r} missing or of wrong type", "bad-json")
    return found


def _parse_file(value: Any) -> File:
    if not isinstance(value, dict):
        raise OracleError("MAN-021", None, "file entry is not an object", "bad-json")
    name, csum, size = (_typed(value, "filename", str), _typed(value, "csum", str),
                        _typed(value, "size", int))
    mode = _typed(value, "crypt-mode", str) if "crypt-mode" in value else "none"  # MAN-017
    try:
        raw = bytes.fromhex(csum) if len(csum) == 64 and csum.isalnum() else b""
    except ValueError:
        raw = b""
    if len(raw) != 32 or mode not in CRYPT_MODES or not 0 <= size < 1 << 64:
        raise OracleError("MAN-021", None, f"bad csum, size or crypt-mode of {name!r}", "bad-json")
    return File(name, size, raw, mode)


def parse(text: str | bytes) -> Manifest:
    """Parse without any signature check."""
    try:
        value = json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except ValueError as e:
        raise OracleError("MAN-021", None, f"not JSON: {e}", "bad-json") from None
    except RecursionError:
        raise OracleError("MAN-003", None, "nested too deeply", "bad-json") from None
    if not isinstance(value, dict):
        raise OracleError("MAN-021", None, "not an object", "bad-json")
    files = [_parse_file(one) for one in _typed(value, "files", list)]
    manifest = Manifest(_typed(value, "backup-type", str), _typed(value, "backup-id", str),
                        _typed(value, "backup-time", int), files, value.get("unprotected", {}),
                        value.get("signature"))
    if manifest.type not in TYPES:
        raise OracleError("MAN-021", None, f"backup type {manifest.type!r}", "bad-json")
    if manifest.signature is not None and not isinstance(manifest.signature, str):
        raise OracleError("MAN-021", None, "signature is not a string", "bad-json")
    return manifest


ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f",
           "\r": "\\r"}


def _string(text: str) -> str:
    """MAN-043."""
    return '"' + "".join(ESCAPES.get(c, f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


def canonical(value: Any) -> bytes:
    """Canonical JSON (MAN-040..043)."""
    if isinstance(value, dict):
        pairs = sorted((k.encode(), v) for k, v in value.items())
        return b"{" + b",".join(_string(k.decode()).encode() + b":" + canonical(v)
                                for k, v in pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(canonical(v) for v in value) + b"]"
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return str(value).encode()
    if isinstance(value, str):
        return _string(value).encode()
    text = f"{type(value).__name__} in canonical JSON"
    raise OracleError("MAN-041", None, text, "null-not-allowed")


def signature(manifest: Manifest, key: Key) -> str:
    """MAN-044, MAN-045, recomputed from the parsed manifest (MAN-049)."""
    return key.auth_tag(canonical(manifest.signed_value())).hex()


def text_form(manifest: Manifest) -> str:
    """Text as client and server write it (MAN-024)."""
    value = manifest.signed_value() | {"signature": manifest.signature,
                                       "unprotected": manifest.unprotected}
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def verify(manifest: Manifest, key: Key | None) -> None:
    """MAN-048: signature check of loading with a key."""
    if key is None or manifest.signature is None:  # MAN-051
        return
    stored = manifest.fingerprint()
    if stored is not None and stored != key.fingerprint:
        raise OracleError("MAN-048", None, "made with another key", "wrong-key")
    if not hmac.compare_digest(manifest.signature.encode(), signature(manifest, key).encode()):
        raise OracleError("MAN-048", None, "wrong signature", "bad-signature")


def check_fingerprint(manifest: Manifest, key: Key | None) -> None:
    """MAN-052: separate check before a manifest is used."""
    stored = manifest.fingerprint()
    if stored is not None and key is None:
        raise OracleError("MAN-052", None, "key needed", "missing-key")
    if stored is not None and key is not None and stored != key.fingerprint:
        raise OracleError("MAN-052", None, "made with another key", "wrong-key")
