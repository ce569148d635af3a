#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets from testdata/golden and spec/vectors: FOLDER/<target>/<sha256 of content>.

usage: fuzz/make-seeds.py [FOLDER]   (default: fuzz/corpus; run from the top folder)

Files that lie there already are kept. `make fuzz-min` leaves of them what adds coverage.
"""
import hashlib
import io
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile
from typing import Iterator

import seeds_wire

FILES_MAX, SIZE_MAX = 400, 12000
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


def golden_archives() -> Iterator[tuple[bytes, bytes | None]]:
    """Archive and payload stream (None: one stream) of every golden tree, and every 7th malformed variant."""
    for path in sorted(GOLDEN.glob("pxar/*.*pxar")):
        if path.suffix == ".pxar":
            yield path.read_bytes(), None
        elif path.suffix == ".mpxar" and path.with_suffix(".ppxar").exists():
            yield path.read_bytes(), path.with_suffix(".ppxar").read_bytes()
            if path.read_bytes()[24:32] == bytes.fromhex("efac88e5746495d5"):  # no prelude
                yield draft_split(path.read_bytes()), path.with_suffix(".ppxar").read_bytes()
    yield draft_appendix((GOLDEN / "pxar/one-file.pxar").read_bytes()), None
    yield (GOLDEN / "extract.pxar").read_bytes(), None
    for case in json.loads((GOLDEN / "malformed.json").read_text())["cases"][::7]:
        yield malformed(case)


def draft_split(archive: bytes) -> bytes:
    """A metadata archive without FORMAT_VERSION: everything but the root's tail is relative (SPL-026)."""
    tail = len(archive) - 16
    return archive[24:tail] + (int.from_bytes(archive[tail:tail + 8], "little") - 24).to_bytes(8, "little") + archive[tail + 8:]


def draft_appendix(archive: bytes) -> bytes:
    """An archive of one file, as a reference to an appendix that holds it (APX-025 .. APX-034)."""
    def u64(*numbers: int) -> bytes:
        return b"".join(n.to_bytes(8, "little") for n in numbers)

    tail = archive[-24:]
    table = len(archive) - int.from_bytes(tail[16:], "little")
    file, name_size = archive[56:table], int.from_bytes(archive[64:72], "little")
    payload = file.index(u64(0x28147A1B0B7C1A25)) + 8
    size = int.from_bytes(file[payload:payload + 8], "little") - 16
    out = archive[:56 + name_size] + u64(0x849B4A17E0234F8E, 32, 0, size)
    out += u64(0x9FF6C9507864B38D, 24, len(file)) + file
    goodbye = len(out)
    out += archive[table:table + 8] + u64(16 + 3 * 24) + archive[table + 16:table + 24] + u64(goodbye - 56, name_size + 32)
    return out + tail[:8] + u64(goodbye, 16 + 3 * 24) + u64(0x5B1B9ABB7AE454F1, len(file), len(file))


def malformed(case: dict) -> tuple[bytes, bytes | None]:
    def base(ending: str) -> bytes:
        return (GOLDEN / "pxar" / f"{case['base']}.{ending}").read_bytes()

    if case["form"] == "v1":
        return edited(base("pxar"), case["edit"]), None
    if "payload" in case["edit"]:
        return base("mpxar"), edited(base("ppxar"), case["edit"]["payload"])
    return edited(base("mpxar"), case["edit"]), base("ppxar")


def edited(data: bytes, change: dict) -> bytes:
    match change:
        case {"truncate": size}:
            return data[:size]
        case {"at": at, "bytes": text}:
            return data[:at] + bytes.fromhex(text) + data[at + len(text) // 2:]
        case {"remove": [at, size]}:
            return data[:at] + data[at + size:]
        case {"duplicate": [at, size]}:
            return data[:at + size] + data[at:]
        case {"append": text}:
            return data + bytes.fromhex(text)
    raise ValueError(change)


def pxar_dec() -> Iterator[bytes]:
    for archive, _ in golden_archives():
        yield archive


def pairs(options: list[int]) -> Iterator[bytes]:
    """Inputs of support/archive.h."""
    for number, (archive, payload) in enumerate(golden_archives()):
        head = len(archive).to_bytes(4, "little") + bytes([payload is not None, options[number % len(options)], number % 40, 0])
        yield head + archive + (payload or b"")


def pxar_split() -> Iterator[bytes]:
    yield from pairs([0, 1])


def access() -> Iterator[bytes]:
    yield from pairs([0])


def extract() -> Iterator[bytes]:
    yield from pairs([0, 32, 0x3f, 0x1f, 64, 0x80, 0x2f, 0xc0])


def noise(seed: int, size: int) -> bytes:
    rng = random.Random(seed)
    return bytes(rng.randrange(256) if rng.random() < 0.5 else rng.randrange(8) for _ in range(size))


def tree() -> Iterator[bytes]:
    for seed in range(40):
        yield noise(seed, 20 + 12 * seed)


def detect() -> Iterator[bytes]:
    """Streams of files one behind the other, in chunks; every so many of them were changed."""
    for seed in range(40):
        rng = random.Random(seed)
        sizes = [rng.choice((0, 1, 100, 1000, 5000)) for _ in range(2 + seed)]
        total, cuts = sum(16 + size for size in sizes), bytearray()
        while len(cuts) < 126 and total > 0:
            cut = min(total, 1 + rng.randrange(4000))
            total -= cut
            cuts += cut.to_bytes(2, "little")
        records, at = b"", 16
        for number, size in enumerate(sizes):
            what = rng.choice((1, 1, 1, 1, 1, 0, 3, 4)) if number % (1 + seed % 9) == 0 else 1
            records += bytes([1 | (0x40 if number % 11 == 5 else 0), what]) + size.to_bytes(2, "little")
            records += at.to_bytes(3, "little") + bytes([number % 3])
            at += 16 + size
            if number % 7 == 3:
                records += bytes([rng.choice((2, 4, 6)), 0, 0, 0, 0, 0, 0, 0])
        yield bytes([seed, len(cuts) // 2 - 1, 1, 0, 0, 0, 0, 0]) + bytes(cuts) + records
        yield noise(seed, 40 + 10 * seed)


def datastore(ending: str) -> Iterator[bytes]:
    """Files of the golden datastore."""
    packed = subprocess.run(["zstd", "-dcq", str(GOLDEN / "datastore/datastore.tar.zst")], check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
        for member in tar:
            if member.isfile() and re.search(ending, member.name) and member.size <= SIZE_MAX:
                content = tar.extractfile(member)
                assert content
                yield content.read()


def index() -> Iterator[bytes]:
    """Built from the described entries: header of 4096 bytes and records."""
    yield from datastore(r"\.[df]idx$")
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
    yield from datastore(r"\.blob$|\.chunks/../|\.chunks/[0-9a-f]{4}/")


def catalog() -> Iterator[bytes]:
    yield from hex_members(vector("catalog"), "file_hex")
    yield from extended_catalogs()


def extended_catalogs() -> Iterator[bytes]:
    """The draft's format (APX-070 .. APX-074): an archive with a file, a reference and a directory; numbers below 128."""
    def table(*entries: bytes) -> bytes:
        body = bytes([len(entries)]) + b"".join(entries)
        return bytes([len(body)]) + body

    out = bytes.fromhex("ccdf18d3bb7db7e2")
    inner = len(out)
    out += table(b"f\x01a" + bytes([5, 1, 2, 100]))
    archive = len(out)
    out += table(b"f\x01x" + bytes([3, 9, 8, 56]), b"r\x01y" + bytes([7, 6, 5, 0]), b"d\x01z" + bytes([archive - inner]),
                 b"l\x01s")
    root = len(out)
    out += table(b"a\x06t.didx" + bytes([root - archive, 120]))
    yield out + root.to_bytes(8, "little")


def manifest() -> Iterator[bytes]:
    yield from text_members(vector("manifest"), "text.*|canonical")
    yield from text_members(vector("crypto"), "text|keyfile")
    for path in sorted((GOLDEN / "datastore/client-output").glob("*.json")):
        yield path.read_bytes()


def pattern() -> Iterator[bytes]:
    data = json.loads((GOLDEN / "patterns.json").read_text())
    paths = "\n".join(data["tree"][::7])
    texts = sorted(set(p.decode() for p in text_members(data, "pattern")), key=len)
    for text in texts:
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
    for requests, _, _ in seeds_wire.connections(GOLDEN / "wire"):
        yield requests


def h2_client() -> Iterator[bytes]:
    frame = seeds_wire.frame
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
    for _, _, server in seeds_wire.connections(GOLDEN / "wire"):
        yield bytes([0, 0]) + server


def h2_server() -> Iterator[bytes]:
    frame, hpack = seeds_wire.frame, seeds_wire.hpack
    get = hpack([(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/chunk?digest=00")])
    post = hpack([(":method", "POST"), (":scheme", "https"), (":path", "/blob"), ("content-type", "text/plain")])
    settings = frame(4, 0, 0, bytes.fromhex("00047ffffffe000500400000"))
    requests = [frame(1, 5, 1, get) + frame(1, 5, 3, get) + frame(4, 1, 0, b""),
                frame(1, 4, 1, post) + frame(0, 0, 1, b"hello ") + frame(0, 1, 1, b"world"),
                frame(1, 4, 1, post) + frame(3, 0, 1, (8).to_bytes(4, "big")) + frame(1, 5, 3, get),
                frame(1, 0, 1, post[:20]) + frame(9, 4, 1, post[20:]) + frame(0, 9, 1, b"\x02ab\0\0"),
                b"".join(frame(1, 4, 2 * i + 1, post) for i in range(60)),
                b"".join(frame(1, 4, 2 * i + 1, b"\x83\x84\x87") for i in range(230)),
                frame(6, 0, 0, bytes(8)) + frame(8, 0, 0, (1000).to_bytes(4, "big")) + frame(7, 0, 0, bytes(8))]
    for number, request in enumerate(requests * 6):
        yield bytes([number % 4, number // len(requests), 2 * (number & 1), 0]) + settings + request
    for number, (_, client, _) in enumerate(seeds_wire.connections(GOLDEN / "wire")):
        yield bytes([0, number % 6, 0, 0]) + client


def server() -> Iterator[bytes]:
    """See fuzz/server.c: a byte that says what, a byte of flags, parameters."""
    def chunk(writer: int, content: bytes, flags: int = 0) -> bytes:
        return bytes([1, flags, writer, len(content) - 1]) + content

    def append(writer: int, which: int, flags: int = 0) -> bytes:
        return bytes([2, flags, writer, which])

    def close(writer: int, flags: int = 0) -> bytes:
        return bytes([3, flags, writer])

    def raw(what: int, query: bytes, body: bytes = b"", flags: int = 0) -> bytes:
        return bytes([6, flags, what, len(query)]) + query + bytes([len(body)]) + body

    head, create, manifest, finish = bytes(8), bytes([0, 0]), bytes([4, 0, 1]) + b"x", bytes([5, 0])
    conf, reader, again = bytes([4, 0, 4]) + b"conf", bytes([8, 0]), bytes([7, 0])
    whole = create + chunk(0, b"hello world") + append(0, 0) + chunk(0, b"a" * 200) + append(0, 1) + close(0) + conf
    whole += manifest + finish
    yield head + whole
    yield head + whole + reader + b"".join(bytes([9, 0, i]) for i in range(5)) + bytes([10, 0, 0, 10, 0, 1])
    yield head + whole + again + raw(8, b"archive-name=a.pxar.didx") + raw(9, b"") + whole + again + whole + reader
    yield head + create * 2 + chunk(0, b"x", 1) + chunk(0, b"x", 3) + chunk(0, b"x") + append(1, 0) + append(0, 0, 1) + \
        append(0, 0, 3) + close(1, 1) + close(1, 3) + close(1) + close(1) + finish + manifest + finish
    yield head + raw(0x15, b"archive-name=a.fidx&size=4194304") + \
        raw(0x25, b"", b'{"wid":1,"digest-list":[],"offset-list":[]}', 1) + \
        raw(0x17, b"", b'{"wid":1,"chunk-count":0,"size":0,"csum":""}', 1)
    yield head + b"".join(raw(i, b"", b"", i % 8) for i in range(64))
    yield head + create + bytes([4, 1, 4]) + b"abcd" + bytes([4, 3, 4]) + b"abcd" + bytes([0, 1]) + finish + reader


TARGETS = (pxar_dec, pxar_split, access, extract, tree, index, blob, catalog, manifest, pattern, chunk, detect, http1,
           h2_client, h2_server, server)


def main() -> None:
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "fuzz/corpus")
    for target in TARGETS:
        folder = top / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        seeds = sorted({s for s in target() if len(s) <= SIZE_MAX}, key=lambda s: (len(s), s))
        step = max(1, -(-len(seeds) // FILES_MAX))
        for seed in seeds[::step]:
            (folder / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
        print(f"{target.__name__}: {len(list(folder.iterdir()))} files")


if __name__ == "__main__":
    main()
