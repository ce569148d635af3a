# SPDX-License-Identifier: MIT
"""Data blobs (spec/data-blob.md): the four kinds, CRC, digest, encryption."""
from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

from .crypto import Key, gcm_decrypt, gcm_encrypt
from .errors import OracleError

MAX_CHUNK, MAX_BLOB = 16 << 20, 128 << 20  # BLOB-060
# BLOB-001, BLOB-008
MAGICS: dict[str, bytes] = {
    "uncompressed": bytes.fromhex("42ab3807be8370a1"),
    "compressed": bytes.fromhex("31b958426fb6a37f"),
    "encrypted": bytes.fromhex("7b6785be222d4cf0"),
    "encrypted-compressed": bytes.fromhex("e6591bbf0bbfd80b"),
}


@dataclass(slots=True)
class Blob:
    """A parsed raw blob."""
    kind: str
    crc: int
    payload: bytes
    iv: bytes = b""
    tag: bytes = b""

    @property
    def encrypted(self) -> bool:
        return self.kind.startswith("encrypted")

    @property
    def compressed(self) -> bool:
        return self.kind.endswith("compressed") and self.kind != "uncompressed"


def parse(raw: bytes) -> Blob:
    """BLOB-050: structure only, no CRC."""
    if len(raw) < 12:
        raise OracleError("BLOB-050", 0, f"blob of {len(raw)} bytes", "too-small")
    kind = next((k for k, magic in MAGICS.items() if raw[:8] == magic), None)
    if kind is None:
        raise OracleError("BLOB-001", 0, f"unknown magic {raw[:8].hex()}", "bad-magic")
    crc = struct.unpack_from("<I", raw, 8)[0]
    if not kind.startswith("encrypted"):
        return Blob(kind, crc, raw[12:])
    if len(raw) < 44:
        raise OracleError("BLOB-050", 0, f"encrypted blob of {len(raw)} bytes",
                          "too-small-encrypted")
    return Blob(kind, crc, raw[44:], raw[12:28], raw[28:44])


def load(raw: bytes) -> Blob:
    """Parse and check the CRC (BLOB-051, BLOB-011)."""
    blob = parse(raw)
    if zlib.crc32(blob.payload) != blob.crc:
        raise OracleError("BLOB-010", 8, "wrong CRC", "bad-crc")
    return blob


def decompress(data: bytes, limit: int) -> bytes:
    """All zstd frames of `data` (BLOB-027, BLOB-053, BLOB-054), skippable ones dropped."""
    import zstandard
    out = bytearray()
    if not data:
        raise OracleError("BLOB-054", 0, "empty zstd payload", "zstd-incomplete")
    while data:
        if len(data) >= 8 and 0x184D2A50 <= int.from_bytes(data[:4], "little") <= 0x184D2A5F:
            length = 8 + int.from_bytes(data[4:8], "little")
            if length > len(data):
                raise OracleError("BLOB-054", 0, "cut skippable frame", "zstd-incomplete")
            data = data[length:]
            continue
        frame, pos = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(), 0
        while pos < len(data) and not frame.eof:  # small pieces, so that the limit bites in time
            try:
                out += frame.decompress(data[pos:pos + 1024])
            except zstandard.ZstdError as e:
                raise OracleError("BLOB-054", 0, f"zstd: {e}", "zstd-error") from None
            if len(out) > limit:
                raise OracleError("BLOB-060", 0, f"more than {limit} bytes", "too-large")
            pos += 1024
        if not frame.eof:
            raise OracleError("BLOB-054", 0, "incomplete zstd frame", "zstd-incomplete")
        data = frame.unused_data + data[pos:]
    return bytes(out)


def plain(blob: Blob, key: Key | None = None, limit: int = MAX_BLOB) -> bytes:
    """Decrypt and decompress (BLOB-052..058)."""
    data = blob.payload
    if blob.encrypted:
        if key is None:
            raise OracleError("BLOB-055", None, "encrypted and no key given", "missing-key")
        data = gcm_decrypt(key.enc_key, blob.iv, blob.tag, data)
    return decompress(data, limit) if blob.compressed else data


def digest_of(data: bytes, blob_encrypted: bool, key: Key | None) -> bytes:
    """BLOB-070, BLOB-071, BLOB-073."""
    if not blob_encrypted:
        return hashlib.sha256(data).digest()
    assert key is not None
    return key.digest(data)


def decode(raw: bytes, key: Key | None = None, digest: bytes | None = None,
           size: int | None = None, limit: int = MAX_BLOB) -> bytes:
    """CRC, decryption, decompression, digest (BLOB-059) and length (BLOB-061)."""
    blob = load(raw)
    data = plain(blob, key, limit)
    if digest is not None and digest_of(data, blob.encrypted, key) != digest:
        raise OracleError("BLOB-059", None, f"content is not {digest.hex()}", "digest-mismatch")
    if size is not None and len(data) != size:
        raise OracleError("BLOB-061", None, f"{len(data)} bytes, not {size}", "length-mismatch")
    return data


def encode(data: bytes, compress: bool = True, key: Key | None = None,
           iv: bytes | None = None) -> bytes:
    """BLOB-033; for encrypted blobs the caller supplies the IV."""
    import zstandard
    payload, kind = data, "uncompressed"
    if len(data) > MAX_BLOB:
        raise OracleError("BLOB-021", None, "more than 128 MiB", "too-large")
    if compress and data:
        packed = zstandard.ZstdCompressor(level=1, write_checksum=False).compress(data)
        if len(packed) <= len(data):
            payload, kind = packed, "compressed"
    if key is None:
        return MAGICS[kind] + struct.pack("<I", zlib.crc32(payload)) + payload
    assert iv is not None and len(iv) == 16
    secret, tag = gcm_encrypt(key.enc_key, iv, payload)
    name = "encrypted" if kind == "uncompressed" else "encrypted-compressed"
    return MAGICS[name] + struct.pack("<I", zlib.crc32(secret)) + iv + tag + secret
