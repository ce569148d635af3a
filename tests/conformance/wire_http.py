# SPDX-License-Identifier: MIT
"""Operations of server cases on HTTP/1.1: REST calls, logins, identities, requests written by hand, garbage."""
from __future__ import annotations

import json
import re
import socket
import ssl
import time
from typing import Any
from urllib.parse import quote, urlencode

from conformance.checks import Mismatch
from conformance.names import to_bytes
from conformance.raw_http import BACKUP, H2, READER, Http1
from conformance.wire import T0, Session, answer, op
from conformance.wire_server import PATIENCE_S, blob_of_data, changed, filled, holds, query_text


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
         listed: dict[str, Any] | None = None, header: dict[str, str] | None = None, snapshot: str = "", group: bool = False,
         patient: bool = False) -> None:
    """A REST call below /api2/json, `D/` is the datastore. `snapshot` adds the parameters of the one that many seconds after the first,
    `group` those of the group. `listed`: an element that the list in `data` has to have. `patient`: tried again until the status fits."""
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
        headers["content-type"], body = "application/octet-stream", changed(blob_of_data(blob_of), change or {})
    full = re.sub(r"^D/", f"admin/datastore/{s.target.datastore}/", path)
    target = (full if full.startswith("/") else f"/api2/json/{full}") + query_text(s, params)
    deadline = time.monotonic() + (PATIENCE_S if patient else 0)
    while True:
        http = Http1(s.target)
        try:
            s.reply = http.call(method, target, headers, body)
        finally:
            http.close()
        if s.reply.status == int(status) if status.isdecimal() else True:
            break
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
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


@op("as")
def identity(s: Session, auth: str) -> None:
    """From now on everything is done by the user (`ticket`) or by its token (`token`)."""
    from conformance.play import Unsupported
    if s.target.token_id:
        s.target.spare = s.target.token_id, s.target.token_secret
    if not s.target.spare[0] or not s.target.password:
        raise Unsupported
    s.target.token_id, s.target.token_secret = s.target.spare if auth == "token" else ("", "")


@op("change-owner")
def change_owner(s: Session, to: str, status: str = "200") -> None:
    """The group's new owner: user or token."""
    owner = s.target.auth_id if to == "user" else s.target.spare[0]
    http = Http1(s.target)
    answer(http.token_call("POST", f"admin/datastore/{s.target.datastore}/change-owner",
                           {"backup-id": s.backup_id, "backup-type": "host", "new-owner": owner}), status)
    http.close()


def ended_task(http: Http1, upid: str) -> tuple[str, dict[str, Any]]:
    """Path and last status of a task, once it is over."""
    task = f"nodes/localhost/tasks/{''.join(c if c.isalnum() else f'%{ord(c):02X}' for c in upid)}"
    deadline = time.monotonic() + PATIENCE_S
    while (state := answer(http.token_call("GET", f"{task}/status"), "200").data)["status"] == "running":
        if time.monotonic() > deadline:
            raise Mismatch("the task ends", state)
        time.sleep(0.1)
    return task, dict(state)


@op("collect-garbage")
def collect_garbage(s: Session) -> None:
    """Starts it, waits for the task, and reads its log. Again for a while if it fails: sessions of other cases, and those just
    ending, keep the lock that it needs alone [IDX-103]."""
    http = Http1(s.target)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        upid = answer(http.token_call("POST", f"admin/datastore/{s.target.datastore}/gc"), "200").data
        task, state = ended_task(http, upid)
        if state.get("exitstatus") == "OK" or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    holds({"status": "stopped", "exitstatus": "OK", "upid": upid}, state)
    log = json.loads(answer(http.token_call("GET", f"{task}/log", limit=500, start=1), "200").body)
    numbers = [line["n"] for line in log["data"]]
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        raise Mismatch("lines numbered from 1", numbers)
    http.close()


@op("denied-upgrade")
def denied_upgrade(s: Session, kind: str, auth: str) -> None:
    """An upgrade with wrong credentials: 401."""
    answer(s.upgrade(kind, {}, credentials(s, auth), BACKUP if kind == "backup" else READER), "401")


@op("same-connection")
def same_connection(s: Session, requests: list[str]) -> None:
    """Several requests on one connection, the last one an upgrade that is accepted."""
    s.hang_up()
    s.http = Http1(s.target)
    for one in requests:
        if one == "version":
            answer(s.http.token_call("GET", "version"), "200")
            continue
        store = s.target.datastore if one == "backup" else "no-such-store"
        query = {"backup-id": s.backup_id, "backup-time": str(s.time_s), "backup-type": "host", "store": store}
        reply = answer(s.http.upgrade(f"//api2/json/backup?{urlencode(query)}", BACKUP), "101" if one == "backup" else "400")
        if reply.status == 101:
            s.h2 = H2(s.http)
            s.made.add(s.time_s)


@op("http-upgrade-only")
def http_upgrade_only(s: Session) -> None:
    """An upgrade that is accepted, after which nothing was sent yet."""
    s.hang_up()
    query = {"backup-id": s.backup_id, "backup-time": str(s.time_s), "backup-type": "host", "store": s.target.datastore}
    s.http = Http1(s.target)
    answer(s.http.upgrade(f"/api2/json/backup?{urlencode(query)}", BACKUP), "101")
    s.made.add(s.time_s)


@op("raw-ends")
def raw_ends(s: Session, text: str, end: bool = False) -> None:
    """Bytes after the upgrade; with `end` we go then, else the server has to end the connection."""
    assert s.http is not None
    s.http.send(text.encode())
    s.http.sock.settimeout(PATIENCE_S)
    try:
        while not end and s.http.sock.recv(65536):
            pass
    except TimeoutError:
        raise Mismatch(f"the end of the connection within {PATIENCE_S:g} s", "it goes on") from None
    except (ConnectionError, ssl.SSLError):
        pass
    s.hang_up()


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
