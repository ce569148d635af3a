#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets from testdata/golden and spec/vectors: fuzz/corpus/<target>/<sha256 of content>.

Small ones only: at most 30 files of at most 8 KiB a target, the smallest first. Files that lie there already are kept (a
grown corpus is not undone); `--fresh` removes them before. Run from the top folder.
"""
import hashlib
import json
import pathlib
import re
import sys
from typing import Iterator

FILES_MAX, SIZE_MAX = 30, 8192
GOLDEN = pathlib.Path("testdata/golden")
VECTORS = pathlib.Path("spec/vectors")


def vector(name: str) -> dict:
    return json.loads((VECTORS / f"{name}.json").read_text())


def hex_members(value: object, pattern: str) -> Iterator[bytes]:
    """Bytes of every member whose name matches, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if re.fullmatch(pattern, key) and isinstance(inner, str):
                yield bytes.fromhex(inner)
            yield from hex_members(inner, pattern)
    elif isinstance(value, list):
        for inner in value:
            yield from hex_members(inner, pattern)


def text_members(value: object, pattern: str) -> Iterator[bytes]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if re.fullmatch(pattern, key) and isinstance(inner, str):
                yield inner.encode()
            yield from text_members(inner, pattern)
    elif isinstance(value, list):
        for inner in value:
            yield from text_members(inner, pattern)


def pxar_dec() -> Iterator[bytes]:
    kinds: dict[str, bytes] = {}
    for path in sorted(GOLDEN.glob("pxar/*.*pxar"), key=lambda p: p.stat().st_size):
        if path.suffix != ".ppxar" and path.stat().st_size <= SIZE_MAX:
            kinds.setdefault(path.name.split("-")[0].split(".")[0] + path.suffix, path.read_bytes())
    yield from kinds.values()


def index() -> Iterator[bytes]:
    """Built from the described entries: header of 4096 bytes and records."""
    data = vector("index")
    for case in data["didx"]:
        records = b"".join(e["end"].to_bytes(8, "little") + bytes.fromhex(e["digest_hex"]) for e in case["entries"])
        csum = hashlib.sha256(records).digest()
        head = bytes.fromhex(data["magic"]["didx"]) + bytes.fromhex(case.get("uuid_hex", "00" * 16))
        yield (head + case.get("ctime", 0).to_bytes(8, "little", signed=True) + csum).ljust(4096, b"\0") + records
    for case in data["fidx"]:
        records = b"".join(bytes.fromhex(d) for d in case["digests_hex"])
        csum = hashlib.sha256(records).digest()
        head = bytes.fromhex(data["magic"]["fidx"]) + bytes.fromhex(case["uuid_hex"])
        head += case["ctime"].to_bytes(8, "little", signed=True) + csum
        head += case["size"].to_bytes(8, "little") + case["chunk_size"].to_bytes(8, "little")
        yield head.ljust(4096, b"\0") + records


def blob() -> Iterator[bytes]:
    yield from hex_members(vector("blob"), "blob_hex")


def catalog() -> Iterator[bytes]:
    yield from hex_members(vector("catalog"), "file_hex")


def manifest() -> Iterator[bytes]:
    yield from text_members(vector("manifest"), "text.*|canonical")
    yield from text_members(vector("crypto"), "text|keyfile")


def pattern() -> Iterator[bytes]:
    data = json.loads((GOLDEN / "patterns.json").read_text())
    paths = "\n".join(data["tree"][::7])
    texts = sorted(set(p.decode() for p in text_members(data, "pattern")), key=len)
    for text in texts[:: max(1, len(texts) // FILES_MAX)]:
        yield f"{text}\n{paths}".encode()


def chunk() -> Iterator[bytes]:
    """Seeded noise, constants and short periods, at every average."""
    for avg in range(4):
        for seed in (b"a", b"b"):
            noise, block = b"", seed
            while len(noise) < 3000:
                block = hashlib.sha256(block).digest()
                noise += block
            yield bytes([avg, avg * 3, 0, 0]) + noise
        yield bytes([avg, 15, 0, 0]) + bytes(400)
        yield bytes([avg, 9, 0, 0]) + bytes(range(256)) * 2


def http1() -> Iterator[bytes]:
    plain = ["GET / HTTP/1.1\r\n\r\n", "GET /api2/json/version HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
             "POST /a?b=c HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
             "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n",
             "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
             "GET //api2/json/backup?backup-id=a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: "
             "proxmox-backup-protocol-v1\r\nAuthorization: PBSAPIToken=u@pbs!t:secret\r\n\r\nPRI * HTTP/2.0\r\n\r\n"]
    for text in plain:
        yield text.encode()


def h2_client() -> Iterator[bytes]:
    def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
        return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body

    settings = frame(4, 0, 0, bytes.fromhex("0003000000c8000402000000000500400000"))
    ok, refused = b"\x88", b"\x8c"  # :status 200, 400
    answers = [b"".join(frame(1, 5, s, ok) for s in (1, 3, 5)),
               frame(1, 4, 1, ok) + frame(0, 1, 1, b"{\"data\":null}") + frame(1, 5, 3, refused) + frame(3, 0, 3, bytes(4)),
               frame(3, 0, 1, (7).to_bytes(4, "big")) + frame(7, 0, 0, (1).to_bytes(4, "big") + bytes(4)),
               frame(1, 4, 1, ok) + frame(0, 0, 1, bytes(1200)) + frame(0, 1, 1, b""),
               frame(8, 0, 0, (100000).to_bytes(4, "big")) + frame(8, 0, 3, (100000).to_bytes(4, "big")) + frame(1, 5, 3, ok),
               frame(6, 0, 0, bytes(8)) + frame(4, 1, 0, b"")]
    for limit in (0, 3):
        for answer in answers:
            yield bytes([limit, 0]) + settings + answer


def main() -> None:
    for target in (pxar_dec, index, blob, catalog, manifest, pattern, chunk, http1, h2_client):
        folder = pathlib.Path("fuzz/corpus") / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        if "--fresh" in sys.argv:
            for old in folder.iterdir():
                old.unlink()
        seeds = sorted({s for s in target() if len(s) <= SIZE_MAX}, key=lambda s: (len(s), s))
        step = max(1, -(-len(seeds) // FILES_MAX))
        for seed in seeds[::step]:
            (folder / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
        print(f"{target.__name__}: {len(list(folder.iterdir()))} files")


if __name__ == "__main__":
    main()
