# SPDX-License-Identifier: MIT
"""Further operations of server cases: calls with any parameter wrong, REST, hand-written requests, sessions that end in any way.

Texts of members may hold `{wid:NAME}` `{digest:DATA}` `{size:DATA}` `{encoded:DATA}` (length of the uncompressed blob) `{csum:NAME}`
`{id}` `{time}` `{store}`; DATA is text, `zeros:N` or `noise:N`. A string that is just `{wid:NAME}` is a number in JSON. null in a
query leaves the parameter out.
"""
from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import struct
import time
from typing import Any
from urllib.parse import quote, urlencode

from conformance.cases import CaseError
from conformance.checks import Mismatch
from conformance.names import to_bytes
from conformance.raw_http import BACKUP, H2, READER, Http1, Reply, blob, digest, index_csum
from conformance.trees import noise
from conformance.wire import T0, Session, answer, op

PLACE = re.compile(r"\{(wid|digest|size|encoded|csum|id|time|store)(?::([^}]*))?\}")
PATIENCE_S = 10.0


def plain(text: str) -> bytes:
    """DATA of a member."""
    kind, _, size = text.partition(":")
    if kind == "zeros" and size.isdecimal():
        return bytes(int(size))
    if kind == "noise" and size.isdecimal():
        return noise(text.encode(), int(size))
    return text.encode()


def csum_of(s: Session, name: str) -> str:
    records = s.records.get(name, [])
    if name.endswith(".fidx"):
        return hashlib.sha256(b"".join(bytes.fromhex(d) for _, d in records)).hexdigest()
    return index_csum(records)


def place(s: Session, kind: str, arg: str) -> str:
    match kind:
        case "wid":
            if arg not in s.wids:
                raise CaseError(f"no index {arg!r} was created")
            return str(s.wids[arg])
        case "digest":
            return digest(plain(arg))
        case "size":
            return str(len(plain(arg)))
        case "encoded":
            return str(len(blob(plain(arg))))
        case "csum":
            return csum_of(s, arg)
        case "id":
            return s.backup_id
        case "time":
            return str(s.time_s)
    return s.target.datastore


def filled(s: Session, value: Any) -> Any:
    """With the places of all texts in it filled."""
    if isinstance(value, str):
        whole = PLACE.fullmatch(value)
        if whole and whole[1] == "wid":
            return int(place(s, "wid", whole[2]))
        return PLACE.sub(lambda m: place(s, m[1], m[2] or ""), value)
    if isinstance(value, list):
        return [filled(s, v) for v in value]
    if isinstance(value, dict):
        return {k: filled(s, v) for k, v in value.items()}
    return value


def query_text(s: Session, query: dict[str, Any] | None) -> str:
    """"" or "?a=b&c=d"; a list repeats its key."""
    pairs = [(k, str(one)) for k, v in sorted(filled(s, query or {}).items()) if v is not None for one in (v if isinstance(v, list) else [v])]
    return "?" + urlencode(pairs) if pairs else ""


def changed(raw: bytes, change: dict[str, Any]) -> bytes:
    """A blob with a fault: at + bytes, truncate, append."""
    if "at" in change:
        at, new = int(change["at"]), bytes.fromhex(change["bytes"])
        raw = raw[:at] + new + raw[at + len(new):]
    if "truncate" in change:
        raw = raw[:int(change["truncate"])]
    return raw + bytes.fromhex(change.get("append", ""))


def holds(expected: Any, found: Any, where: str = "data") -> None:
    """As views: members that are not named do not matter, lists are equal."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key not in found:
                raise Mismatch(f"{where}.{key}", f"only {sorted(found)}")
            holds(value, found[key], f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (a, b) in enumerate(zip(expected, found)):
            holds(a, b, f"{where}[{number}]")
    elif expected != found:
        raise Mismatch(f"{where}: {expected!r}", repr(found))


# ---- calls on the open session ----

@op("call")
def call(s: Session, method: str, path: str, query: dict[str, Any] | None = None, json_body: Any = None, text_body: str | None = None,
         blob_of: str | None = None, hex_body: str | None = None, change: dict[str, Any] | None = None, content_type: str | None = None,
         status: str = "200", text: str = "", data: Any = ..., headers: dict[str, str] | None = None, type_is: str | None = None) -> None:
    """Any call with anything wrong. The body: json-body, text-body, hex-body, or the blob of data, perhaps with a `change`."""
    body: bytes | None = None
    kind = "application/x-www-form-urlencoded"
    if json_body is not None:
        body, kind = json.dumps(filled(s, json_body), separators=(",", ":"), sort_keys=True).encode(), "application/json"
    elif text_body is not None:
        body, kind = str(filled(s, text_body)).encode(), "application/json"
    elif blob_of is not None:
        body, kind = changed(blob(plain(blob_of)), change or {}), "application/octet-stream"
    elif hex_body is not None:
        body, kind = bytes.fromhex(hex_body), "application/octet-stream"
    stream = s.stream().start(method, path + query_text(s, query), kind if content_type is None else content_type or None, end=body is None,
                              **{k.replace("-", "_"): v for k, v in (headers or {}).items()})
    if body is not None:
        send_until_answered(s.stream(), stream, body)
    s.reply = answer(s.stream().wait(stream), status, str(filled(s, text)))
    if type_is is not None and s.reply.headers.get("content-type", "") != type_is:
        raise Mismatch(f"content-type {type_is!r}", s.reply.headers.get("content-type", ""))
    if data is not ... and s.reply.status == 200:
        holds(filled(s, data), s.reply.data)


def send_until_answered(h2: H2, stream: int, body: bytes) -> None:
    """The answer to an upload that is refused may come, and the stream be reset, before the body is sent."""
    import h2.exceptions as problems
    try:
        h2.send_body(stream, body)
    except (problems.StreamClosedError, problems.ProtocolError):
        if not h2.replies[stream]["done"]:
            raise


@op("put-chunks")
def put_chunks(s: Session, name: str, chunks: list[str], status: str = "200", text: str = "") -> None:
    """Uploads chunks of DATA for an index."""
    kind = "fixed" if name.endswith(".fidx") else "dynamic"
    for one in chunks:
        raw = blob(plain(one))
        query = {"digest": digest(plain(one)), "encoded-size": len(raw), "size": len(plain(one)), "wid": s.wids[name]}
        stream = s.stream().start("POST", f"/{kind}_chunk?{urlencode(query)}", "application/octet-stream", end=False)
        send_until_answered(s.stream(), stream, raw)
        s.reply = answer(s.stream().wait(stream), status, text)


@op("add")
def add(s: Session, name: str, chunks: list[str], status: str = "200", text: str = "", offsets: list[str] | None = None, kept: str = "",
        sizes: list[str] | None = None) -> None:
    """Appends; what counts are the records that were accepted: all, or `kept` of a refused list. `sizes`: where known lengths differ."""
    kind = "fixed" if name.endswith(".fidx") else "dynamic"
    records = s.records.setdefault(name, [])
    end, right, more = records[-1][0] if records else 0, [], []
    for number, one in enumerate(chunks):
        right.append(end)
        end += int(sizes[number]) if sizes else len(plain(one))
        more.append((end, digest(plain(one))))
    body = {"wid": s.wids[name], "digest-list": [d for _, d in more], "offset-list": [int(o) for o in offsets] if offsets is not None else right}
    s.reply = answer(s.stream().json("PUT", f"/{kind}_index", body), status, text)
    records += more if s.reply.status == 200 else more[:int(kept or 0)]


@op("image")
def image(s: Session, name: str, chunks: list[str]) -> None:
    """A whole fixed index, everything right."""
    total = sum(len(plain(c)) for c in chunks)
    s.reply = answer(s.stream().call("POST", f"/fixed_index?archive-name={quote(name)}&size={total}"), "200")
    s.wids[name], s.records[name] = int(s.reply.data), []
    put_chunks(s, name, list(dict.fromkeys(chunks)))
    add(s, name, chunks)
    query = {"chunk-count": len(chunks), "csum": csum_of(s, name), "size": total, "wid": s.wids[name]}
    answer(s.stream().call("POST", f"/fixed_close?{urlencode(query)}"), "200")
    s.files.append({"crypt-mode": "none", "csum": csum_of(s, name), "filename": name, "size": total})


@op("base")
def base(s: Session, files: dict[str, list[str]], later: str = "0", unprotected: dict[str, Any] | None = None) -> None:
    """A finished snapshot: indexes (.didx, .fidx) with their chunks, or blobs (.blob); the session is left."""
    from conformance import wire
    begin(s, later)
    for name, chunks in files.items():
        if name.endswith(".fidx"):
            image(s, name, chunks)
        elif name.endswith(".blob"):
            wire.upload_blob(s, name, chunks[0])
        else:
            wire.archive(s, name, chunks)
    wire.manifest(s, members={"unprotected": unprotected or {}})
    wire.finish(s)
    s.hang_up()


# ---- sessions ----

def begin(s: Session, later: str = "0", query: dict[str, Any] | None = None) -> Reply:
    """An upgrade that has to succeed, with patience: a server may take a moment to notice that the session before is over."""
    s.time_s = T0 + int(later)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        reply = s.upgrade("backup", filled(s, query or {}), None, BACKUP)
        if reply.status == 101 or time.monotonic() > deadline:
            return answer(reply, "101")
        time.sleep(0.05)


@op("next-session")
def next_session(s: Session, later: str = "0", query: dict[str, Any] | None = None) -> None:
    """As backup-session, but after another one of the group whose end may still be on its way."""
    begin(s, later, query)


@op("upgrade")
def upgrade(s: Session, kind: str, query: dict[str, Any] | None = None, status: str = "101", text: str = "", headers: dict[str, str] | None = None,
            protocol: str | None = None, later: str = "0") -> None:
    """Either upgrade, with places in `query`."""
    s.time_s = T0 + int(later)
    standard = BACKUP if kind == "backup" else READER
    answer(s.upgrade(kind, filled(s, query or {}), headers, standard if protocol is None else protocol), status, str(filled(s, text)))


@op("narrow-session")
def narrow_session(s: Session, kind: str, window: str, later: str = "0") -> None:
    """A session whose client grants small windows and frames of 16384 bytes."""
    s.hang_up()
    s.time_s = T0 + int(later)
    query = {"backup-id": s.backup_id, "backup-time": str(s.time_s), "backup-type": "host", "store": s.target.datastore}
    s.http = Http1(s.target)
    answer(s.http.upgrade(f"/api2/json/{kind}?{urlencode(query)}", BACKUP if kind == "backup" else READER), "101")
    s.h2 = H2(s.http, window=int(window), frame=16384)


@op("leave")
def leave(s: Session, how: str) -> None:
    """Ends the connection: close, abrupt (TCP reset), goaway."""
    if how == "goaway":
        s.stream().conn.close_connection()
        s.stream().flush()
    s.hang_up(abrupt=how == "abrupt")


@op("second-session")
def second_session(s: Session, kind: str, status: str, text: str = "", later: str = "0", query: dict[str, Any] | None = None) -> None:
    """An upgrade on a connection of its own, while the session goes on; it is dropped at once."""
    params = {"backup-id": s.backup_id, "backup-time": str(T0 + int(later)), "backup-type": "host", "store": s.target.datastore} | (query or {})
    http = Http1(s.target)
    try:
        reply = http.upgrade(f"/api2/json/{kind}?{urlencode(sorted(params.items()))}", BACKUP if kind == "backup" else READER)
        answer(reply, status, text)
    finally:
        http.close()


@op("visible")
def visible(s: Session, snapshots: list[str] | None = None, patient: bool = True) -> None:
    """The finished snapshots of the group (seconds after the first), as REST lists them."""
    wanted = sorted(T0 + int(one) for one in snapshots or [])
    deadline = time.monotonic() + (PATIENCE_S if patient else 0)
    while True:
        reply = Http1(s.target).token_call("GET", f"admin/datastore/{s.target.datastore}/snapshots", backup_id=s.backup_id, backup_type="host")
        listed = [] if reply.status == 400 else answer(reply, "200").data  # 400: the group is not there
        there = sorted(x["backup-time"] for x in listed if any(f["filename"] == "index.json.blob" for f in x["files"]))
        left = [x["backup-time"] for x in listed if x["backup-time"] not in there]
        if (there, left) == (wanted, []):
            return
        if time.monotonic() > deadline:
            raise Mismatch(f"snapshots {wanted} and nothing unfinished", f"{there}, unfinished {left}")
        time.sleep(0.05)


# ---- what is stored ----

@op("index-holds")
def index_holds(s: Session, name: str, chunks: list[str]) -> None:
    """On a reader session: the index has these chunks, a correct checksum, and each chunk reads back."""
    from oracle import blob as oracle_blob
    from oracle import index
    raw = answer(s.stream().call("GET", f"/download?file-name={quote(name)}"), "200").body
    found = index.parse(raw)
    end, wanted = 0, []
    for one in chunks:
        end += len(plain(one))
        wanted.append((end, digest(plain(one))))
    got = list(zip(found.ends, (d.hex() for d in found.digests)))
    if got != wanted:
        raise Mismatch(f"{name}: {wanted}", got)
    for one in dict.fromkeys(chunks):
        reply = answer(s.stream().call("GET", f"/chunk?digest={digest(plain(one))}"), "200")
        if oracle_blob.decode(reply.body) != plain(one):
            raise Mismatch(f"a blob of {one!r}", reply.body[:100].hex())


@op("blob-holds")
def blob_holds(s: Session, name: str, data: str) -> None:
    """On a reader session: the blob is as it was uploaded, byte for byte."""
    reply = answer(s.stream().call("GET", f"/download?file-name={quote(name)}"), "200")
    if reply.body != blob(plain(data)):
        raise Mismatch(f"{name} as uploaded", reply.body[:200].hex())


@op("manifest-holds")
def manifest_holds(s: Session, members: dict[str, Any]) -> None:
    """On a reader session: members of the stored manifest."""
    from oracle import blob as oracle_blob
    raw = answer(s.stream().call("GET", "/download?file-name=index.json.blob"), "200").body
    holds(filled(s, members), json.loads(oracle_blob.decode(raw)), "manifest")


# ---- HTTP/1.1 ----

def credentials(s: Session, auth: str) -> dict[str, str]:
    """token or ticket of the server, none, or wrong ones."""
    from conformance.play import Unsupported
    if auth in ("ticket", "token") and not (s.target.password if auth == "ticket" else s.target.token_id):
        raise Unsupported
    match auth:
        case "none":
            return {"x-nothing": "1"}
        case "ticket" | "bad-csrf" | "no-csrf":
            if not s.target.ticket:
                s.target.login()
            cookie = {"cookie": f"PBSAuthCookie={quote(s.target.ticket, safe='')}"}
            csrf = {"ticket": {"csrfpreventiontoken": s.target.csrf}, "bad-csrf": {"csrfpreventiontoken": "wrong"}, "no-csrf": {}}
            return cookie | csrf[auth]
        case "bad-ticket":
            return {"cookie": f"PBSAuthCookie=PBS%3A{quote(s.target.auth_id)}%3A65530000%3A%3AAAAA", "csrfpreventiontoken": "x"}
        case "bad-secret":
            return {"authorization": f"PBSAPIToken {s.target.token_id or 'root@pam!none'}:wrong"}
        case "token-equals":
            return {"authorization": f"PBSAPIToken={s.target.token_id}:{s.target.token_secret}"}
        case "token-colon":
            return {"authorization": f"PBSAPIToken:{s.target.token_id}:{s.target.token_secret}"}
        case "bad-cookie-good-token":
            return {"cookie": "PBSAuthCookie=bad", "authorization": f"PBSAPIToken {s.target.token_id}:{s.target.token_secret}"}
    return dict(s.target.token_header)


@op("rest")
def rest(s: Session, method: str, path: str, query: dict[str, Any] | None = None, json_body: Any = None, form: dict[str, str] | None = None,
         blob_of: str | None = None, change: dict[str, Any] | None = None, auth: str = "", status: str = "200", text: str = "", data: Any = ...,
         listed: dict[str, Any] | None = None, header: dict[str, str] | None = None, snapshot: str = "", group: bool = False) -> None:
    """A REST call below /api2/json, `D/` is the datastore. `snapshot` adds the parameters of the one that many seconds after the first,
    `group` those of the group. `listed`: an element that the list in `data` has to have."""
    params: dict[str, Any] = {"backup-id": "{id}", "backup-type": "host"} if group or snapshot else {}
    params |= {"backup-time": str(T0 + int(snapshot))} if snapshot else {}
    params |= query or {}
    headers, body = credentials(s, auth), None
    if json_body is not None:
        headers["content-type"], body = "application/json", json.dumps(filled(s, (params if group or snapshot else {}) | json_body)).encode()
        params = {}
    elif form is not None:
        headers["content-type"], body = "application/x-www-form-urlencoded", urlencode(filled(s, form)).encode()
    elif blob_of is not None:
        headers["content-type"], body = "application/octet-stream", changed(blob(plain(blob_of)), change or {})
    full = re.sub(r"^D/", f"admin/datastore/{s.target.datastore}/", path)
    http = Http1(s.target)
    try:
        s.reply = http.call(method, (full if full.startswith("/") else f"/api2/json/{full}") + query_text(s, params), headers, body)
    finally:
        http.close()
    answer(s.reply, status, str(filled(s, text)))
    for name, value in (header or {}).items():
        if not s.reply.headers.get(name, "").startswith(value):
            raise Mismatch(f"header {name}: {value}", s.reply.headers.get(name, "(none)"))
    if data is not ...:
        holds(filled(s, data), s.reply.data)
    if listed is not None and not any(contains(filled(s, listed), one) for one in s.reply.data):
        raise Mismatch(f"an element {filled(s, listed)}", s.reply.data)


def contains(expected: Any, found: Any) -> bool:
    try:
        holds(expected, found)
    except Mismatch:
        return False
    return True


@op("login")
def login(s: Session, password: str = "", username: str = "", as_json: bool = True, path: str = "/api2/json/access/ticket", status: str = "200",
          text: str = "", with_ticket: bool = False) -> None:
    """POST access/ticket, by default with what is right; the ticket of a success has to be good for a call."""
    from conformance.play import Unsupported
    if not s.target.password:
        raise Unsupported
    if with_ticket and not s.target.ticket:
        s.target.login()
    value = {"username": username or s.target.auth_id, "password": password or (s.target.ticket if with_ticket else s.target.password)}
    body = json.dumps(value).encode() if as_json else urlencode(value).encode()
    http = Http1(s.target)
    try:
        s.reply = http.call("POST", path, {"content-type": "application/json" if as_json else "application/x-www-form-urlencoded"}, body)
        answer(s.reply, status, text)
        if s.reply.status == 200:
            cookie = {"cookie": f"PBSAuthCookie={quote(s.reply.data['ticket'], safe='')}", "csrfpreventiontoken": s.reply.data["CSRFPreventionToken"]}
            answer(http.call("GET", "/api2/json/version", cookie), "200")
            holds({"username": s.target.auth_id}, s.reply.data)
    finally:
        http.close()


@op("http")
def http_request(s: Session, lines: list[str], status: str, text: str = "", tls: bool = True, header: dict[str, str] | None = None,
                 body: str = "", bare: bool = False) -> None:
    """A request written by hand. `{auth}` in a line: the credentials; `{query}`: parameters of an upgrade. A 101 opens the session.
    `bare`: without the credentials line being needed."""
    s.hang_up()
    s.http = Http1(s.target, tls=tls)
    query = urlencode({"backup-id": s.backup_id, "backup-time": str(s.time_s), "backup-type": "host", "store": s.target.datastore})
    auth = [f"{k}: {v}" for k, v in s.target.token_header.items()]
    out = []
    for line in lines:
        out += auth if line == "{auth}" else [str(filled(s, line.replace("{query}", query)))]
    s.http.send("".join(f"{line}\r\n" for line in [*out, ""]).encode() + to_bytes(body))
    s.reply = answer(s.http.read_reply(), status, text)
    for name, value in (header or {}).items():
        if s.reply.headers.get(name, "") != value:
            raise Mismatch(f"header {name}: {value}", s.reply.headers.get(name, "(none)"))
    if s.reply.status == 101:
        s.h2 = H2(s.http)
        s.made.add(s.time_s)
        s.wids, s.records, s.files = {}, {}, []


@op("garbage")
def garbage(s: Session, hex: str = "", text: str = "", tls: bool = True) -> None:
    """Bytes on a new connection; the server has to answer with an error or to close it, and to do so soon."""
    http = Http1(s.target, tls=tls)
    http.sock.settimeout(PATIENCE_S)
    try:
        http.send(bytes.fromhex(hex) or to_bytes(text))
        seen = b""
        while data := http.sock.recv(65536):
            seen += data
            if seen.startswith(b"HTTP/1.1 4") and b"\r\n\r\n" in seen:
                return
        if seen.startswith(b"HTTP/1.1 2"):
            raise Mismatch("an error, or the end of the connection", seen[:200].decode(errors="replace"))
    except TimeoutError:
        raise Mismatch(f"an error, or the end of the connection, within {PATIENCE_S:g} s", "silence") from None
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        http.close()


# ---- HTTP/2 frames ----

@op("frames")
def frames(s: Session, hex: str = "", repeat: str = "1", size: str = "") -> None:
    """Bytes on the open connection, past the library; `size` bytes of zeros behind them."""
    s.stream().http.send((bytes.fromhex(hex) + bytes(int(size or 0))) * int(repeat))


@op("connection-ends")
def connection_ends(s: Session) -> None:
    """The server gives the connection up: GOAWAY, or it closes it."""
    h2 = s.stream()
    h2.http.sock.settimeout(PATIENCE_S)
    try:
        while not h2.closed and h2.goaway is None:
            h2.pump()
    except TimeoutError:
        raise Mismatch(f"GOAWAY or the end of the connection within {PATIENCE_S:g} s", "the connection goes on") from None
    if h2.goaway == 0:
        raise Mismatch("GOAWAY with an error code, or the end of the connection", "GOAWAY NO_ERROR")
    s.hang_up()


@op("ping")
def ping(s: Session) -> None:
    """A PING has to be answered with the same bytes."""
    import h2.events
    conn, seen = s.stream(), []
    original = conn._event

    def watch(event: Any) -> None:
        if isinstance(event, h2.events.PingAckReceived):
            seen.append(event.ping_data)
        original(event)

    conn._event = watch  # type: ignore[method-assign]
    conn.conn.ping(b"8 bytes.")
    conn.flush()
    deadline = time.monotonic() + PATIENCE_S
    while not seen and not conn.closed and time.monotonic() < deadline:
        conn.pump()
    if seen != [b"8 bytes."]:
        raise Mismatch("an answer to the PING", seen or "the connection ended")


@op("half-upload")
def half_upload(s: Session, name: str, data: str, part: str, end: bool = False) -> None:
    """Only the first bytes of a chunk's body; with `end` the stream ends there, else it is reset."""
    raw = blob(plain(data))
    query = {"digest": digest(plain(data)), "encoded-size": len(raw), "size": len(plain(data)), "wid": s.wids[name]}
    h2 = s.stream()
    stream = h2.start("POST", f"/dynamic_chunk?{urlencode(query)}", "application/octet-stream", end=False)
    h2.send_body(stream, raw[:int(part)], end=end)
    if not end:
        h2.conn.reset_stream(stream, 8)
        h2.flush()


@op("piecewise")
def piecewise(s: Session, method: str, path: str, json_body: Any, status: str = "200") -> None:
    """A JSON body in DATA frames of one byte, the end in an empty frame of its own."""
    h2 = s.stream()
    stream = h2.start(method, path, "application/json; charset=UTF-8", end=False)
    h2.send_body(stream, json.dumps(filled(s, json_body)).encode(), end=False, piece=1)
    h2.conn.send_data(stream, b"", end_stream=True)
    h2.flush()
    s.reply = answer(h2.wait(stream), status)


@op("many-uploads")
def many_uploads(s: Session, name: str, count: str, size: str) -> None:
    """That many chunks at a time, a piece of each in turn; all are then appended."""
    h2, sizes = s.stream(), int(size)
    chunks = [f"noise:{sizes + number}" for number in range(int(count))]
    raws = [blob(plain(c)) for c in chunks]
    streams = []
    for one, raw in zip(chunks, raws):
        query = {"digest": digest(plain(one)), "encoded-size": len(raw), "size": len(raw) - 12, "wid": s.wids[name]}
        streams.append(h2.start("POST", f"/dynamic_chunk?{urlencode(query)}", "application/octet-stream", end=False))
    piece = max(1, sizes // 3)
    for at in range(0, len(raws[-1]), piece):
        for raw, stream in zip(raws, streams):
            if raw[at:at + piece]:
                h2.send_body(stream, raw[at:at + piece], end=at + piece >= len(raw))
    for stream in streams:
        answer(h2.wait(stream), "200")
    add(s, name, chunks)


@op("too-many-streams")
def too_many_streams(s: Session) -> None:
    """One stream more than the server allows: it alone is refused, with REFUSED_STREAM."""
    h2 = s.stream()
    while 3 not in h2.settings and h2.conn.remote_settings.max_concurrent_streams > 100_000:
        h2.pump()
    limit = h2.settings.get(3)
    if limit is None or limit > 2000:
        return  # no limit
    h2.conn.remote_settings.update({3: limit + 10})
    h2.conn.remote_settings.acknowledge()
    open_ones = [h2.start("POST", "/speedtest", "application/octet-stream", end=False) for _ in range(limit)]
    extra = h2.start("POST", "/speedtest", "application/octet-stream", end=False)
    try:
        reply = h2.wait(extra)
    except ConnectionResetError as e:
        if str(e) != "7":
            raise Mismatch("RST_STREAM with REFUSED_STREAM (7)", f"code {e}") from None
    else:
        raise Mismatch("RST_STREAM with REFUSED_STREAM (7)", f"status {reply.status}")
    for stream in open_ones:
        h2.send_body(stream, b"x")
        answer(h2.wait(stream), "200")


@op("stream-refused")
def stream_refused(s: Session, method: str, path: str, body: str, headers: dict[str, str]) -> None:
    """A malformed request: its stream is reset, or it is answered with an error."""
    h2 = s.stream()
    h2.conn.config.validate_outbound_headers = False
    stream = h2.start(method, str(filled(s, path)), "application/octet-stream", end=False, **{k.replace("-", "_"): v for k, v in headers.items()})
    h2.http.send(struct.pack(">I", len(body))[1:] + b"\x00\x01" + struct.pack(">I", stream) + body.encode())
    try:
        reply = h2.wait(stream)
    except ConnectionResetError:
        return
    answer(reply, "error")


@op("plain-http")
def plain_http(s: Session, line: str, host: bool, status: str) -> None:
    """HTTP without TLS on the same port."""
    http = Http1(s.target, tls=False)
    try:
        reply = answer(http.raw(f"{line} HTTP/1.1\n" + ("Host: pbs:8007\n" if host else "") + "\n"), status)
        if host and reply.headers.get("location") != "https://pbs:8007":
            raise Mismatch("location: https://pbs:8007", reply.headers.get("location", "(none)"))
    finally:
        http.close()


@op("silent-connections")
def silent_connections(s: Session, count: str) -> None:
    """Connections that say nothing do not keep others from being served."""
    silent = [socket.create_connection((s.target.host, s.target.port), 10) for _ in range(int(count))]
    try:
        began = time.monotonic()
        http = Http1(s.target)
        answer(http.token_call("GET", "version"), "200")
        http.close()
        if time.monotonic() - began > PATIENCE_S:
            raise Mismatch(f"an answer within {PATIENCE_S:g} s", f"{time.monotonic() - began:.1f} s")
    finally:
        for one in silent:
            one.close()
