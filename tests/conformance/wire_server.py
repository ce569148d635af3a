# SPDX-License-Identifier: MIT
"""Further operations of server cases: calls with any parameter wrong, REST, hand-written requests, sessions that end in any way.

Texts of members may hold `{wid:NAME}` `{digest:DATA}` `{size:DATA}` `{encoded:DATA}` (length of the uncompressed blob) `{csum:NAME}`
`{CSUM:NAME}` (in upper case) `{digests:NAME}` (checksum as of a fixed index) `{id}` `{time}` `{store}`; DATA is text, `zeros:N` or
`noise:N`. A string that is just `{wid:NAME}` is a number in JSON. null in a query leaves the parameter out.
"""
from __future__ import annotations

import hashlib
import json
import re
import time
from typing import Any
from urllib.parse import quote, urlencode

from h2.exceptions import ProtocolError

from conformance.cases import CaseError
from conformance.checks import Mismatch
from conformance.raw_http import BACKUP, H2, READER, Http1, Reply, blob, digest, index_csum
from conformance.trees import noise
from conformance.wire import T0, Session, answer, op

PLACE = re.compile(r"\{(wid|digest|size|encoded|csum|CSUM|digests|id|time|store)(?::([^}]*))?\}")
PATIENCE_S = 10.0


def plain(text: str) -> bytes:
    """DATA of a member."""
    kind, _, size = text.partition(":")
    if kind == "zeros" and size.isdecimal():
        return bytes(int(size))
    if kind == "noise" and size.isdecimal():
        return noise(text.encode(), int(size))
    return text.encode()


def blob_of_data(text: str) -> bytes:
    return blob(plain(text))


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
        case "CSUM":
            return csum_of(s, arg).upper()
        case "digests":
            return hashlib.sha256(b"".join(bytes.fromhex(d) for _, d in s.records[arg])).hexdigest()
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
    try:
        h2.send_body(stream, body)
    except ProtocolError:
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


@op("opened")
def opened(s: Session, name: str, chunks: list[str] | None = None) -> None:
    """Takes the last answer as the id of index `name`, if it has none yet; with `chunks`: that is what the index holds by now."""
    if name not in s.wids:
        if s.reply is None:
            raise CaseError("no answer yet")
        s.wids[name] = int(s.reply.data)
    end, records = 0, []
    for one in chunks or []:
        end += len(plain(one))
        records.append((end, digest(plain(one))))
    s.records[name] = records


@op("compressed-chunk")
def compressed_chunk(s: Session, name: str, data: str, digest_of: str = "", status: str = "200") -> None:
    """Uploads a chunk as a compressed blob."""
    from oracle import blob as oracle_blob
    raw = oracle_blob.encode(plain(data))
    query = {"digest": digest(plain(digest_of or data)), "encoded-size": len(raw), "size": len(plain(data)), "wid": s.wids[name]}
    s.reply = answer(s.stream().call("POST", f"/dynamic_chunk?{urlencode(query)}", raw, content_type="application/octet-stream"), status)


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
            wire.create_index(s, name)
            put_chunks(s, name, chunks)
            add(s, name, chunks)
            wire.close_index(s, name)
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
def visible(s: Session, snapshots: list[str] | None = None, others: bool = False) -> None:
    """The finished snapshots of the group (seconds after the first), as REST lists them; with `others` unfinished ones may be there."""
    wanted = sorted(T0 + int(one) for one in snapshots or [])
    deadline = time.monotonic() + PATIENCE_S
    while True:
        reply = Http1(s.target).token_call("GET", f"admin/datastore/{s.target.datastore}/snapshots", backup_id=s.backup_id, backup_type="host")
        listed = [] if reply.status == 400 else answer(reply, "200").data  # 400: the group is not there
        there = sorted(x["backup-time"] for x in listed if any(f["filename"] == "index.json.blob" for f in x["files"]))
        left = [x["backup-time"] for x in listed if x["backup-time"] not in there]
        if there == wanted and (others or not left):
            return
        if time.monotonic() > deadline:
            raise Mismatch(f"snapshots {wanted} and nothing unfinished", f"{there}, unfinished {left}")
        time.sleep(0.05)


# ---- what is stored ----

def same_chunks(name: str, found: Any, chunks: list[str]) -> None:
    end, wanted = 0, []
    for one in chunks:
        end += len(plain(one))
        wanted.append((end, digest(plain(one))))
    got = [(stop, d.hex()) for _, stop, d in found.chunks]
    if got != wanted:
        raise Mismatch(f"{name}: {wanted}", got)


@op("index-holds")
def index_holds(s: Session, name: str, chunks: list[str]) -> None:
    """On a reader session: the index has these chunks, a correct checksum, and each chunk reads back."""
    from oracle import blob as oracle_blob
    from oracle import index
    raw = answer(s.stream().call("GET", f"/download?file-name={quote(name)}"), "200").body
    same_chunks(name, index.parse(raw), chunks)
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


@op("fetch-previous")
def fetch_previous(s: Session, name: str, chunks: list[str]) -> None:
    """`previous` of an index, which has to hold these chunks."""
    from oracle import index
    raw = answer(s.stream().call("GET", f"/previous?archive-name={quote(name)}"), "200").body
    same_chunks(name, index.parse(raw), chunks)


@op("same-manifest")
def same_manifest(s: Session) -> None:
    """`previous` of the manifest is byte for byte what a reader of the first snapshot gets."""
    raw = answer(s.stream().call("GET", "/previous?archive-name=index.json.blob"), "200").body
    http = Http1(s.target)
    query = {"backup-id": s.backup_id, "backup-time": str(T0), "backup-type": "host", "store": s.target.datastore}
    answer(http.upgrade(f"/api2/json/reader?{urlencode(query)}", READER), "101")
    other = answer(H2(http).call("GET", "/download?file-name=index.json.blob"), "200").body
    http.close()
    if raw != other:
        raise Mismatch(f"{len(other)} bytes as the reader gets them", f"{len(raw)} bytes, others")
