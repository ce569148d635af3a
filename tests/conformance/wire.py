# SPDX-License-Identifier: MIT
"""The scripted client of server cases: the operations that `steps` name, over the raw client of raw_http.py.

An operation is f(session, **members). Every operation that gets an answer takes `status` ("200", or several with `|`; "101" of an
upgrade; "error" for any status from 400 on), and `text`, a part that the body must hold. Backup ids are the session's own, so that
a shared server can be used; what was made is removed at the end. Further operations stand in modules wire_*.py.
"""
from __future__ import annotations

import hashlib
import json
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import h2.exceptions

from conformance.cases import CaseError
from conformance.checks import Context, Mismatch
from conformance.raw_http import BACKUP, H2, READER, Http1, Reply, blob, digest, index_csum
from oracle.errors import OracleError

F = TypeVar("F", bound=Callable[..., None])
OPS: dict[str, Callable[..., None]] = {}
T0 = 1_700_000_000
GONE = (EOFError, ConnectionError, AssertionError, ssl.SSLError, h2.exceptions.ProtocolError, TimeoutError)


def op(name: str) -> Callable[[F], F]:
    def put(function: F) -> F:
        if OPS.setdefault(name, function) is not function:
            raise CaseError(f"operation {name!r} is registered twice")
        return function
    return put


@dataclass
class Target:
    """What server.json says."""
    host: str
    port: int
    datastore: str
    auth_id: str = ""
    password: str = ""
    token_id: str = ""
    token_secret: str = ""
    fingerprint: str = ""
    store: str = ""
    ticket: str = ""
    csrf: str = ""
    spare: tuple[str, str] = ("", "")  # a token that is not used at the moment

    @property
    def token_header(self) -> dict[str, str]:
        """Credentials of a request: the token, else a ticket."""
        if self.token_id:
            return {"authorization": f"PBSAPIToken {self.token_id}:{self.token_secret}"}
        if not self.ticket:
            self.login()
        return {"cookie": f"PBSAuthCookie={quote(self.ticket, safe='')}", "csrfpreventiontoken": self.csrf}

    def login(self) -> None:
        http = Http1(self)
        body = urlencode({"username": self.auth_id, "password": self.password}).encode()
        reply = http.call("POST", "/api2/json/access/ticket", {"content-type": "application/x-www-form-urlencoded"}, body)
        http.close()
        if reply.status != 200:
            raise Mismatch("login with the password of server.json", f"{reply.status} {reply.text}")
        self.ticket, self.csrf = reply.data["ticket"], reply.data["CSRFPreventionToken"]


def peer(path: Path) -> Target:
    try:
        value = json.loads(path.read_text())
        return Target(str(value["host"]), int(value["port"]), str(value["datastore"]),
                      **{k.replace("-", "_"): str(value[k]) for k in ("auth-id", "password", "token-id", "token-secret", "fingerprint", "store")
                         if k in value})
    except (ValueError, KeyError, TypeError) as e:
        raise Mismatch("OUTDIR/server.json as adapters.md says", repr(e)) from None


@dataclass
class Session:
    """State of a conversation: connection, indexes being written, files for the manifest."""
    target: Target
    ctx: Context
    backup_id: str = ""
    time_s: int = T0
    http: Http1 | None = None
    h2: H2 | None = None
    reply: Reply | None = None
    wids: dict[str, int] = field(default_factory=dict)        # by archive name
    records: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    made: set[int] = field(default_factory=set)               # times of snapshots that were begun

    def __post_init__(self) -> None:
        unique = f"{self.ctx.case.id} {self.ctx.out_dir} {os.getpid()}"
        self.backup_id = "conform-" + hashlib.sha256(unique.encode()).hexdigest()[:16]

    def stream(self) -> H2:
        if self.h2 is None:
            raise CaseError("no session is open")
        return self.h2

    def upgrade(self, kind: str, query: dict[str, str], headers: dict[str, str] | None, protocol: str) -> Reply:
        self.hang_up()
        params = {"backup-id": self.backup_id, "backup-time": str(self.time_s), "backup-type": "host", "store": self.target.datastore} | query
        text = urlencode(sorted((k, v) for k, v in params.items() if v is not None))
        self.http = Http1(self.target)
        self.reply = self.http.upgrade(f"/api2/json/{kind}?{text}", protocol, headers)
        if self.reply.status == 101:
            self.h2 = H2(self.http)
            if kind == "backup":
                self.made.add(self.time_s)
                self.wids, self.records, self.files = {}, {}, []
        return self.reply

    def hang_up(self, abrupt: bool = False) -> None:
        if self.http is not None:
            self.http.close(abrupt)
        self.http = self.h2 = None

    def close(self) -> None:
        """Hangs up and removes the snapshots, as far as they are there."""
        try:
            self.hang_up()
            for time_s in sorted(self.made) if not self.target.store else ():
                http = Http1(self.target)
                http.token_call("DELETE", f"admin/datastore/{self.target.datastore}/snapshots", backup_type="host",
                                backup_id=self.backup_id, backup_time=str(time_s))
                http.close()
        except GONE:
            pass


def perform(session: Session, step: dict[str, Any]) -> None:
    from conformance import plugins
    plugins.load()
    members = {k.replace("-", "_"): v for k, v in step.items() if k != "op"}
    if step["op"] not in OPS:
        raise CaseError(f"no operation {step['op']!r}; there are: {', '.join(sorted(OPS))}")
    try:
        OPS[step["op"]](session, **members)
    except GONE as e:
        raise Mismatch("an answer", f"connection ended: {e!r}") from None
    except (OracleError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as e:
        raise Mismatch("an answer of the documented form", repr(e)) from None


def answer(reply: Reply, status: str, text: str = "") -> Reply:
    good = reply.status >= 400 if status == "error" else str(reply.status) in status.split("|")
    if not good:
        raise Mismatch(f"status {status}", f"{reply.status} {reply.body[:300].decode(errors='replace')}")
    if text not in reply.body.decode(errors="replace"):
        raise Mismatch(f"{text!r} in the answer", reply.body[:300].decode(errors="replace"))
    return reply


# ---- operations ----

@op("backup-session")
def backup_session(s: Session, status: str = "101", text: str = "", query: dict[str, Any] | None = None, later: str = "0",
                   protocol: str = BACKUP, headers: dict[str, str] | None = None) -> None:
    """The upgrade to the backup protocol; `later` seconds after the first snapshot. null in `query` leaves a parameter out."""
    s.time_s = T0 + int(later)
    answer(s.upgrade("backup", query or {}, headers, protocol), status, text)


@op("reader-session")
def reader_session(s: Session, status: str = "101", text: str = "", query: dict[str, Any] | None = None,
                   protocol: str = READER, headers: dict[str, str] | None = None) -> None:
    answer(s.upgrade("reader", query or {}, headers, protocol), status, text)


@op("request")
def request(s: Session, method: str, path: str, status: str = "200", text: str = "", query: dict[str, str] | None = None,
            json_body: Any = None, hex_body: str | None = None, content_type: str = "") -> None:
    """Any call on the open session."""
    full = path + ("?" + urlencode(sorted(query.items())) if query else "")
    if json_body is not None:
        s.reply = s.stream().json(method, full, json_body)
    else:
        body = bytes.fromhex(hex_body) if hex_body is not None else None
        more = {"content_type": content_type} if content_type else {}
        s.reply = s.stream().call(method, full, body, **more)
    answer(s.reply, status, text)


@op("create-index")
def create_index(s: Session, name: str, status: str = "200", text: str = "", size: str = "") -> None:
    kind = "fixed" if name.endswith(".fidx") else "dynamic"
    query = {"archive-name": name} | ({"size": size} if size else {})
    s.reply = answer(s.stream().call("POST", f"/{kind}_index?{urlencode(sorted(query.items()))}"), status, text)
    if s.reply.status == 200:
        s.wids[name], s.records[name] = int(s.reply.data), []


@op("chunk")
def chunk(s: Session, name: str, data: str, status: str = "200", text: str = "", digest_is: str = "", size: str = "",
          encoded_size: str = "", raw: str = "", wid: str = "") -> None:
    """Uploads a chunk for the index `name`; every parameter can be made wrong."""
    plain = data.encode()
    kind = "fixed" if name.endswith(".fidx") else "dynamic"
    body = bytes.fromhex(raw) if raw else blob(plain)
    query = {"digest": digest_is or digest(plain), "encoded-size": encoded_size or str(len(body)), "size": size or str(len(plain)),
             "wid": wid or str(s.wids.get(name, 0))}
    stream = s.stream().start("POST", f"/{kind}_chunk?{urlencode(query)}", "application/octet-stream", end=False)
    s.stream().send_body(stream, body)
    s.reply = answer(s.stream().wait(stream), status, text)


@op("append")
def append(s: Session, name: str, chunks: list[str], status: str = "200", text: str = "", offsets: list[str] | None = None,
           digests: list[str] | None = None) -> None:
    """Appends chunks (their data) to the index; offsets and digests can be given instead of the right ones."""
    kind = "fixed" if name.endswith(".fidx") else "dynamic"
    records = s.records.setdefault(name, [])
    end = records[-1][0] if records else 0
    right = []
    for data in chunks:
        right.append(end)
        end += len(data.encode())
        records.append((end, digest(data.encode())))
    body = {"wid": s.wids.get(name, 0), "digest-list": digests or [digest(c.encode()) for c in chunks],
            "offset-list": [int(o) for o in offsets] if offsets else right}
    s.reply = answer(s.stream().json("PUT", f"/{kind}_index", body), status, text)


@op("close-index")
def close_index(s: Session, name: str, status: str = "200", text: str = "", csum: str = "", size: str = "", chunk_count: str = "") -> None:
    kind = "fixed" if name.endswith(".fidx") else "dynamic"
    records = s.records.get(name, [])
    total = records[-1][0] if records else 0
    right = index_csum(records) if kind == "dynamic" else hashlib.sha256(b"".join(bytes.fromhex(d) for _, d in records)).hexdigest()
    query = {"chunk-count": chunk_count or str(len(records)), "csum": csum or right, "size": size or str(total), "wid": str(s.wids.get(name, 0))}
    s.reply = answer(s.stream().call("POST", f"/{kind}_close?{urlencode(query)}"), status, text)
    if s.reply.status == 200:
        s.files.append({"crypt-mode": "none", "csum": right, "filename": name, "size": total})


@op("archive")
def archive(s: Session, name: str, chunks: list[str], size: str = "") -> None:
    """A whole index, everything right."""
    create_index(s, name, size=size)
    for data in chunks:
        chunk(s, name, data)
    append(s, name, chunks)
    close_index(s, name)


@op("blob")
def upload_blob(s: Session, name: str, data: str = "", status: str = "200", text: str = "", raw: str = "", encoded_size: str = "") -> None:
    body = bytes.fromhex(raw) if raw else blob(data.encode())
    query = urlencode({"encoded-size": encoded_size or str(len(body)), "file-name": name})
    s.reply = answer(s.stream().call("POST", f"/blob?{query}", body, content_type="application/octet-stream"), status, text)
    if s.reply.status == 200 and name != "index.json.blob":
        s.files.append({"crypt-mode": "none", "csum": hashlib.sha256(body).hexdigest(), "filename": name, "size": len(body)})


@op("manifest")
def manifest(s: Session, status: str = "200", text: str = "", members: dict[str, Any] | None = None) -> None:
    """index.json.blob with what was closed so far; `members` replace members."""
    value = {"backup-id": s.backup_id, "backup-time": s.time_s, "backup-type": "host", "files": s.files, "signature": None, "unprotected": {}}
    upload_blob(s, "index.json.blob", json.dumps(value | (members or {})), status, text)


@op("finish")
def finish(s: Session, status: str = "200", text: str = "") -> None:
    s.reply = answer(s.stream().call("POST", "/finish"), status, text)


@op("download")
def download(s: Session, name: str, status: str = "200", text: str = "") -> None:
    s.reply = answer(s.stream().call("GET", f"/download?file-name={quote(name)}"), status, text)


@op("read-chunk")
def read_chunk(s: Session, data: str, status: str = "200", text: str = "", digest_is: str = "") -> None:
    """Reads the chunk of that data; an accepted answer must decode to it."""
    from oracle import blob as oracle_blob
    name = digest_is or digest(data.encode())
    s.reply = answer(s.stream().call("GET", f"/chunk?digest={name}"), status, text)
    if s.reply.status == 200 and oracle_blob.decode(s.reply.body) != data.encode():
        raise Mismatch(f"a blob of {data!r}", s.reply.body.hex()[:200])


@op("hang-up")
def hang_up(s: Session, abrupt: bool = False) -> None:
    s.hang_up(abrupt)
