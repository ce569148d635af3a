# SPDX-License-Identifier: MIT
"""A plain backup client of the oracle's formats and the raw wire client: what client mutants are made of.

The verbs `backup` and `restore` of spec/adapters.md, right but slow. No threads, everything in memory, no options for extraction.
"""
from __future__ import annotations

import hashlib
import io
import json
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import h2.exceptions

from conformance.raw_http import BACKUP, H2, READER, Http1, Reply
from lib_reuse import Plan, predict, previous_of
from oracle import archive_tree, blob, catalog, chunker, index, manifest, pxar, pxar_write
from oracle.crypto import Key, load_key
from oracle.datastore import ChunkedSource, check_blob
from oracle.errors import OracleError
from oracle.pxar import Reader
from oracle.source import BytesSource

BATCH = 128
TYPES = {"pxar": os.path.isdir, "img": os.path.isfile, "conf": os.path.isfile, "log": os.path.isfile}
FAILURES = (OracleError, OSError, EOFError, ValueError, KeyError, AssertionError, ssl.SSLError, h2.exceptions.ProtocolError)
DRAFT_LETTERS = {"dir": "d", "file": "f", "symlink": "l", "hardlink": "h", "blockdev": "b", "chardev": "c", "fifo": "p", "socket": "s"}


class Refused(Exception):
    """The operation failed in an orderly way."""


class Unsupported(Exception):
    pass


class Call:
    def __init__(self, case_dir: str, out_dir: str) -> None:
        self.case, self.out = Path(case_dir), Path(out_dir)

    def has(self, name: str) -> bool:
        return (self.case / "args" / name).exists()

    def text(self, name: str, standard: str = "") -> str:
        return os.fsdecode((self.case / "args" / name).read_bytes()) if self.has(name) else standard

    def list(self, name: str) -> list[str]:
        return self.text(name).split("\n")[:-1]

    def key(self) -> Key | None:
        return load_key(self.text("keyfile")) if self.has("keyfile") else None


class Peer:
    """Server and credentials; every connection is checked before anything is sent over it."""

    def __init__(self, call: Call) -> None:
        self.host, self.port, self.store, self.ns = call.text("host"), int(call.text("port")), call.text("datastore"), call.text("ns")
        self.user, self.password, self.fingerprint = call.text("auth-id"), call.text("password"), call.text("fingerprint").replace(":", "").lower()
        self.header: dict[str, str] = {}

    @property
    def token_header(self) -> dict[str, str]:
        return self.header

    def connect(self) -> Http1:
        http = Http1(self)
        if http.fingerprint() != self.fingerprint:
            raise Refused("another certificate")
        return http

    def login(self) -> None:
        body = urlencode({"username": self.user, "password": self.password}).encode()
        reply = self.connect().call("POST", "/api2/json/access/ticket", {"content-type": "application/x-www-form-urlencoded"}, body)
        if reply.status != 200:
            raise Refused(f"login: {reply.status}")
        self.header = {"cookie": f"PBSAuthCookie={quote(reply.data['ticket'], safe='')}", "csrfpreventiontoken": reply.data["CSRFPreventionToken"]}

    def session(self, kind: str, protocol: str, group: tuple[str, str], time_s: str) -> Session:
        query = {"backup-type": group[0], "backup-id": group[1], "backup-time": time_s, "store": self.store} | ({"ns": self.ns} if self.ns else {})
        http = self.connect()
        reply = http.upgrade(f"/api2/json/{kind}?{urlencode(sorted(query.items()))}", protocol)
        if reply.status != 101:
            raise Refused(f"upgrade: {reply.status} {reply.body[:200]!r}")
        return Session(H2(http))


class Session:
    def __init__(self, h2: H2) -> None:
        self.h2 = h2

    def ask(self, method: str, path: str, body: bytes | None = None, **query: Any) -> Reply:
        full = path + ("?" + urlencode({k.replace("_", "-"): v for k, v in sorted(query.items())}) if query else "")
        reply = self.h2.call(method, full, body, **({"content_type": "application/octet-stream"} if body is not None else {}))
        if reply.status != 200:
            raise Refused(f"{method} {path}: {reply.status} {reply.body[:200]!r}")
        return reply


# ---- restore ----

class Remote:
    """A snapshot read through a reader session, in the form that ChunkedSource asks for."""

    def __init__(self, session: Session, key: Key | None) -> None:
        self.session, self.key = session, key
        raw = self.download("index.json.blob")
        if blob.parse(raw).encrypted:
            raise Refused("encrypted manifest")
        self.manifest = manifest.parse(blob.decode(raw))
        manifest.verify(self.manifest, key)
        manifest.check_fingerprint(self.manifest, key)

    def download(self, name: str) -> bytes:
        return self.session.ask("GET", "/download", file_name=name).body

    def index(self, entry: manifest.File) -> index.Index:
        found = index.parse(self.download(entry.filename), kind=index.archive_type(entry.filename))
        if found.csum != entry.csum or found.size != entry.size:
            raise Refused(f"{entry.filename} is not the manifest's")
        return found

    def chunk(self, digest: bytes, size: int, encrypted: bool) -> bytes:
        raw = self.session.ask("GET", "/chunk", digest=digest.hex()).body
        if blob.load(raw).encrypted != encrypted:
            raise Refused("chunk of the wrong kind")
        return blob.decode(raw, self.key, digest, size, limit=blob.MAX_CHUNK)

    def stream(self, name: str) -> ChunkedSource:
        entry = self.manifest.file(name)
        return ChunkedSource(self, self.index(entry), entry.crypt_mode == "encrypt")  # type: ignore[arg-type]

    def blob(self, name: str) -> bytes:
        entry, raw = self.manifest.file(name), self.download(name)
        check_blob(entry, raw)
        return blob.decode(raw, self.key)


def time_of(text: str) -> str:
    from datetime import datetime
    return str(int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()))


def restore(call: Call) -> None:
    if any(call.has(name) for name in ("patterns", "overwrite", "overwrite-files", "overwrite-symlinks", "overwrite-hardlinks", "allow-existing-dirs")):
        raise Unsupported
    kind, name, when = call.text("snapshot").split("/")
    peer = Peer(call)
    peer.login()
    remote = Remote(peer.session("reader", READER, (kind, name), time_of(when)), call.key())
    wanted, target = call.text("archive"), call.out / "target"
    names = index.resolve(wanted, {f.filename for f in remote.manifest.files})
    if names[0].endswith("pxar.didx"):
        sources = [remote.stream(n) for n in names]
        archive_tree.extract(Reader(sources[0], sources[1] if len(sources) > 1 else None), str(target))
        return
    if names[0].endswith(".blob"):
        data = remote.blob(names[0])
    else:
        source = remote.stream(names[0])
        data = b"".join(source.blocks(0, source.size))
    target.write_bytes(data)


# ---- backup ----

def suggested(archive: bytes) -> list[int]:
    """Where payloads begin (CDM-088)."""
    return sorted({e.content.header for e in Reader(BytesSource(archive), None, lax_refs=True) if e.content is not None})


class Backup:
    """One backup session."""

    def __init__(self, call: Call) -> None:
        self.call, self.key = call, call.key()
        self.mode = call.text("crypt-mode", "encrypt" if self.key else "none")
        self.encrypts = self.key if self.mode == "encrypt" else None
        self.average = int(call.text("chunk-size", "4096")) << 10
        self.group = call.text("backup-type"), call.text("backup-id")
        self.known: set[str] = set()
        self.files: list[manifest.File] = []
        self.previous: manifest.Manifest | None = None
        self.previous_time = ""
        self.rows: dict[str, index.Index] = {}
        self.catalogs: list[catalog.Item] = []
        self.sources = self.parse_sources()

    def parse_sources(self) -> list[tuple[str, str, str]]:
        out = []
        for spec in self.call.list("archives"):
            name, _, path = spec.partition(":")
            base, _, ending = name.rpartition(".")
            if not base or ending not in TYPES or not TYPES[ending](path):
                raise Refused(f"bad source {spec}")
            out.append((base, ending, path))
        if len({(b, e) for b, e, _ in out}) != len(out):
            raise Refused("an archive twice")
        return out

    def run(self) -> None:
        self.peer = Peer(self.call)
        self.peer.login()
        self.session = self.peer.session("backup", BACKUP, self.group, self.call.text("backup-time"))
        self.load_previous()
        mode = self.call.text("mode", "legacy")
        for base, ending, path in self.sources:
            if ending == "pxar":
                self.directory(base, path, mode)
            elif ending == "img":
                self.image(base, path)
            else:
                self.upload_blob(f"{base}.{ending}.blob", Path(path).read_bytes())
        if self.catalogs and mode == "legacy":
            data = catalog.build(self.catalogs)
            self.upload_index("catalog.pcat1.didx", self.cut(data, 524288))
        self.upload_manifest()
        self.finish()

    def finish(self) -> None:
        self.session.ask("POST", "/finish")

    # -- the snapshot before --

    def load_previous(self) -> None:
        """What of it can be used: a failure means a full backup."""
        reply = self.session.h2.call("GET", "/previous_backup_time")
        if reply.status == 200 and reply.data is None:
            return
        self.previous_time = str(reply.data) if reply.status == 200 else ""  # older servers do not have the call
        try:
            found = manifest.parse(blob.decode(self.session.ask("GET", "/previous", archive_name="index.json.blob").body))
            manifest.verify(found, self.key)
            manifest.check_fingerprint(found, self.key)
        except (Refused, *FAILURES):
            return
        self.previous = found
        for entry in found.files:
            usual = entry.crypt_mode == ("encrypt" if self.encrypts else "none") or entry.crypt_mode == "sign-only" and not self.encrypts
            if usual and entry.filename.endswith((".didx", ".fidx")) and entry.filename.split(".")[0] in {b for b, _, _ in self.sources}:
                self.load_index(entry)

    def load_index(self, entry: manifest.File) -> None:
        try:
            raw = self.session.ask("GET", "/previous", archive_name=entry.filename).body
            found = index.parse(raw, kind=index.archive_type(entry.filename))
            if (found.csum, found.size) != (entry.csum, entry.size):
                return
        except (Refused, *FAILURES):
            return
        self.known |= {d.hex() for _, _, d in found.chunks}
        self.rows[entry.filename] = found

    # -- archives --

    def cut(self, data: bytes, average: int) -> list[bytes]:
        ends = chunker.fast_cuts(data, average)
        return [data[s:e] for s, e in zip([0, *ends], ends)]

    def directory(self, base: str, path: str, mode: str) -> None:
        options = pxar_write.Options([os.fsencode(p) for p in self.call.list("exclude")], normalise=True, all_file_systems=self.call.has("all-file-systems"),
                                     skip_lost_and_found=self.call.has("skip-lost-and-found"))
        archive, payload = io.BytesIO(), io.BytesIO()
        if mode == "legacy":
            pxar_write.create(path, archive, None, options)
            self.upload_index(f"{base}.pxar.didx", self.cut(archive.getvalue(), self.average))
            self.add_catalog(f"{base}.pxar.didx", archive.getvalue())
            return
        plan = self.plan(base, path) if mode == "metadata" else None
        rows = self.rows[f"{base}.ppxar.didx"].chunks if plan else []
        if plan:
            options.reuse = {p: offset for p, offset, _ in plan.references if p in plan.reused}
            options.injections = [(at, sum(rows[n][1] - rows[n][0] for n in numbers)) for at, numbers in plan.injections]
        pxar_write.create(path, archive, payload, options)
        self.upload_index(f"{base}.ppxar.didx", self.payload_chunks(payload.getvalue(), plan, rows, suggested(archive.getvalue())))
        self.upload_index(f"{base}.mpxar.didx", self.cut(archive.getvalue(), self.average))

    def plan(self, base: str, path: str) -> Plan | None:
        """Which files are re-used, None without a previous archive to compare with."""
        names = f"{base}.mpxar.didx", f"{base}.ppxar.didx"
        if self.previous is None or not self.previous_time or not all(name in self.rows for name in names):
            return None
        remote = Remote(self.peer.session("reader", READER, self.group, self.previous_time), self.key)
        source = remote.stream(names[0])
        reader = Reader(BytesSource(source.read(0, source.size)), None, lax_refs=True)
        return predict(previous_of(reader, self.rows[names[1]].chunks), Path(path), [pattern for pattern in self.call.list("exclude")])

    def payload_chunks(self, data: bytes, plan: Plan | None, rows: list[tuple[int, int, bytes]],
                       boundaries: list[int]) -> list[bytes | tuple[int, bytes]]:
        """New chunks as data, chunks of the previous snapshot as (size, digest)."""
        ends = chunker.filtered(chunker.candidates(data, self.average), self.average)
        stream = chunker.ChunkStream(self.average, chunker.FastScanner(self.average, ends))
        queue = list(plan.injections) if plan else []
        for boundary in boundaries:
            stream.suggest(boundary)
        for at, numbers in queue:
            stream.inject(at, sum(rows[n][1] - rows[n][0] for n in numbers))
        stream.push(data)
        out: list[bytes | tuple[int, bytes]] = []
        at = 0
        for kind, size, _ in stream.finish():
            if kind == "inject":
                out += [(rows[n][1] - rows[n][0], rows[n][2]) for n in queue.pop(0)[1]]
            elif size:
                out.append(data[at:at + size])
                at += size
        return out

    def add_catalog(self, name: str, data: bytes) -> None:
        top = catalog.Item("d", name.encode())
        folders = {b"": top}
        for entry in pxar.parse(data):
            if not entry.path:
                continue
            above, _, last = entry.path.rpartition(b"/")
            item = catalog.Item(DRAFT_LETTERS[entry.kind], last)
            if entry.kind == "file" and entry.content is not None:
                item.size, item.mtime = entry.content.size, entry.mtime_secs
            folders[above].children.append(item)
            folders[entry.path] = item
        self.catalogs.append(top)

    def image(self, base: str, path: str) -> None:
        data = Path(path).read_bytes()
        step = index.SERVER_CHUNK_SIZE
        self.upload_index(f"{base}.img.fidx", [data[at:at + step] for at in range(0, len(data), step)], len(data))

    # -- uploads --

    def digest(self, data: bytes) -> bytes:
        return blob.digest_of(data, self.encrypts is not None, self.encrypts)

    def upload_index(self, name: str, chunks: list[Any], size: int | None = None) -> None:
        kind = "fixed" if size is not None else "dynamic"
        wid = self.session.ask("POST", f"/{kind}_index", archive_name=name, **({"size": size} if size is not None else {})).data
        if not isinstance(wid, int):
            raise Refused("no writer id")
        records: list[tuple[int, bytes]] = []
        end = 0
        for chunk in chunks:
            length, digest = chunk if isinstance(chunk, tuple) else (len(chunk), self.digest(chunk))
            if not isinstance(chunk, tuple) and digest.hex() not in self.known:
                raw = blob.encode(chunk, True, self.encrypts, os.urandom(16) if self.encrypts else None)
                self.session.ask("POST", f"/{kind}_chunk", raw, digest=digest.hex(), encoded_size=len(raw), size=length, wid=wid)
                self.known.add(digest.hex())
            end += length
            records.append((end, digest))
        self.append(kind, wid, records)
        body = b"".join((b"" if kind == "fixed" else e.to_bytes(8, "little")) + d for e, d in records)
        csum = hashlib.sha256(body).digest()
        self.session.ask("POST", f"/{kind}_close", chunk_count=len(records), csum=csum.hex(), size=end, wid=wid)
        self.files.append(manifest.File(name, end, csum, self.mode))

    def append(self, kind: str, wid: int, records: list[tuple[int, bytes]]) -> None:
        starts = [0, *(end for end, _ in records)]
        for at in range(0, len(records), BATCH):
            part = records[at:at + BATCH]
            body = {"wid": wid, "digest-list": [d.hex() for _, d in part], "offset-list": starts[at:at + len(part)]}
            reply = self.session.h2.json("PUT", f"/{kind}_index", body)
            if reply.status != 200:
                raise Refused(f"append: {reply.status}")

    def upload_blob(self, name: str, data: bytes, plain: bool = False) -> None:
        key = None if plain else self.encrypts
        raw = blob.encode(data, True, key, os.urandom(16) if key else None)
        self.session.ask("POST", "/blob", raw, encoded_size=len(raw), file_name=name)
        self.files.append(manifest.File(name, len(raw), hashlib.sha256(raw).digest(), self.mode))

    def upload_manifest(self) -> None:
        found = manifest.Manifest(*self.group, int(self.call.text("backup-time")), self.files)
        if self.key is not None and self.mode != "none":
            found.unprotected = {"key-fingerprint": self.key.fingerprint_text()}
            found.signature = manifest.signature(found, self.key)
        raw = blob.encode(json.dumps(json.loads(manifest.text_form(found))).encode())
        self.session.ask("POST", "/blob", raw, encoded_size=len(raw), file_name="index.json.blob")


def backup(call: Call) -> None:
    Backup(call).run()


VERBS: dict[str, Callable[[Call], None]] = {"backup": backup, "restore": restore}
