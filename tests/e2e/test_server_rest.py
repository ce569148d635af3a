# SPDX-License-Identifier: MIT
# covers: API-001 API-002 API-003 API-004 API-005 API-006 API-007 API-008 API-009 API-010 API-012 API-060 API-061 API-062 BKP-043 RDR-007
# covers: API-063 API-064 API-065 API-075 API-076 API-077 API-081 API-090 API-091 API-092 API-093 API-094 API-096 API-097
# covers: API-105 API-106 API-107 API-110 API-111 API-112 API-113 API-114 API-116 API-120 API-121 API-122 API-123 API-124
# covers: API-125 API-126 API-130 API-141 API-142 API-143 API-144 API-146 API-148 BKP-319
"""REST calls of the server: authentication, lists, changes, tasks."""
from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from wire_client import (PASSWORD, STORE, TOKEN, TOKEN_SECRET, USER, Http1, Reader, Server, Writer, backup, blob,
                         make_server, server)

__all__ = ["make_server", "server"]
D = f"admin/datastore/{STORE}"
JSON = {"content-type": "application/json"}
S1 = {"backup_id": "h1", "backup_time": 1700000000, "backup_type": "host"}
G1 = {"backup_id": "h1", "backup_type": "host"}
G1_BODY = {"backup-id": "h1", "backup-type": "host"}


def login(http: Http1, password: str = PASSWORD, **more: Any) -> Any:
    return http.call("POST", "//api2/json/access/ticket", JSON,
                     json.dumps({"username": USER, "password": password, **more}).encode())


# ---- requests in general ----

def test_statuses_and_texts_before_a_call_is_reached(server: Server) -> None:
    http = Http1(server)
    auth = server.token_header
    reply = http.call("GET", "/api2/json/version")
    assert (reply.status, reply.text) == (401, "authentication failed")
    assert reply.headers["set-cookie"].startswith("__Host-PBSAuthCookie=; Expires=Thu, 01 Jan 1970")
    assert "content-type" not in reply.headers
    assert http.call("GET", "/api2/json/nothing").status == 401  # before the path is looked at
    reply = http.call("GET", "/api2/json/nothing", auth)
    assert (reply.status, reply.text) == (404, "Path '/api2/json/nothing' not found.")
    assert http.call("DELETE", "/api2/json/version", auth).text == "Path '/api2/json/version' not found."
    assert http.call("GET", f"/api2/json/{D}/catalog", auth).status == 404
    assert http.call("GET", "/api2/xml/version", auth).text == "Unsupported output format 'xml'."
    assert http.call("GET", "/api2/json/.x", auth).text == "path contains illegal components"
    reply = http.call("POST", "/other", auth)
    assert (reply.status, reply.text) == (400, "invalid http method for path")
    reply = http.call("GET", "/api2/json/version?x=1", auth)
    assert (reply.status, reply.text) == (
        400, "parameter verification failed - 'x': schema does not allow additional properties.")
    assert reply.headers["content-type"] == "application/json;charset=UTF-8"
    assert http.call("GET", "//api2//json/version/", auth).data["version"] == "4.2"
    reply = http.call("GET", "/api2/json/admin/datastore/nothing/groups", auth)
    assert (reply.status, reply.text) == (400, "no such datastore 'nothing'")


@pytest.mark.parametrize(("length", "status"), [(3072, 400), (3073, 414)])
def test_long_paths_are_refused(server: Server, length: int, status: int) -> None:
    path = "/api2/json/version"
    reply = Http1(server).call("GET", f"{path}?{'x' * (length - len(path))}", server.token_header)
    assert reply.status == status
    assert status == 400 or reply.body == b""


def test_calls_without_login(server: Server) -> None:
    assert Http1(server).call("GET", "/api2/json/ping").data == {"pong": True}


def test_parameters_come_as_query_form_or_json(server: Server) -> None:
    http = Http1(server)
    for headers, body in ((JSON, b'{"name":"a"}'), ({"content-type": "application/x-www-form-urlencoded"}, b"name=b&parent=")):
        assert http.call("POST", f"/api2/json/{D}/namespace", server.token_header | headers, body).status == 200
    assert http.token_call("POST", f"{D}/namespace", name="c").data == "c"
    assert [n["ns"] for n in http.token_call("GET", f"{D}/namespace").data] == ["", "a", "b", "c"]
    assert http.call("GET", f"/api2/json/{D}/namespace?", server.token_header).status == 200


def test_body_limit(server: Server) -> None:
    http = Http1(server)
    for size, status in ((524287, 200), (524288, 400)):
        body = b'{"name":"a"' + b" " * (size - 12) + b"}"
        reply = http.call("POST", f"/api2/json/{D}/namespace", server.token_header | JSON, body)
        assert reply.status == status
    assert reply.text == "Request body too large"
    assert http.token_call("GET", "version").status == 200


# ---- authentication ----

def test_ticket_by_json_and_form_and_renewal(server: Server) -> None:
    http = Http1(server)
    reply = login(http)
    assert reply.headers["content-type"] == "application/json"
    answer = json.loads(reply.body)
    assert answer["status"] == 200 and answer["success"] is True
    data = answer["data"]
    assert data["username"] == USER
    assert re.fullmatch(r"PBS:root@pam:[0-9A-F]{8,}::[A-Za-z0-9+/]+", data["ticket"])
    assert re.fullmatch(r"[0-9A-F]{8,}:[A-Za-z0-9+/]+", data["CSRFPreventionToken"])
    form = f"username={quote(USER)}&password={quote(PASSWORD)}".encode()
    assert http.call("POST", "/api2/json/access/ticket", {"content-type": "application/x-www-form-urlencoded"},
                     form).data["username"] == USER
    again = login(http, data["ticket"]).data  # a ticket in the password's place
    assert again["ticket"] != data["ticket"]
    assert login(http, data["ticket"]).status == 200


def test_http_only_ticket_is_in_the_cookie(server: Server) -> None:
    http = Http1(server)
    reply = login(http, **{"http-only": True})
    assert "ticket" not in reply.data and "ticket-info" in reply.data
    value = reply.headers["set-cookie"].split(";")[0].split("=", 1)
    assert value[0] == "__Host-PBSAuthCookie"
    assert http.call("GET", "/api2/json/version", {"cookie": "=".join(value)}).status == 200


@pytest.mark.parametrize(("body", "status", "text"), [
    ({"username": USER, "password": "wrong"}, 401, "permission check failed."),
    ({"username": "nobody@pam", "password": PASSWORD}, 401, "permission check failed."),
    ({"username": USER, "password": "PBS:root@pam:00000000::x"}, 401, "permission check failed."),
    ({"username": USER}, 400, "no password provided"),
    ({"username": TOKEN, "password": TOKEN_SECRET}, 400,
     "parameter verification failed - 'username': value does not match the regex pattern"),
])
def test_refused_logins(server: Server, body: dict[str, str], status: int, text: str) -> None:
    reply = Http1(server).call("POST", "/api2/json/access/ticket", JSON, json.dumps(body).encode())
    assert (reply.status, reply.text) == (status, text)
    assert (status == 401) == ("set-cookie" in reply.headers)


def test_credentials_on_requests(server: Server) -> None:
    http = Http1(server)
    data = login(http).data
    ticket, csrf = data["ticket"], data["CSRFPreventionToken"]

    def status(method: str = "GET", **headers: str) -> int:
        body = b'{"name":"x"}' if method == "POST" else None
        return http.call(method, f"/api2/json/{D}/namespace", {k.replace("_", "-"): v for k, v in headers.items()} | JSON,
                         body).status

    for name in ("PBSAuthCookie", "__Host-PBSAuthCookie"):
        assert status(cookie=f"a=b; {name}={ticket}", csrfpreventiontoken=csrf) == 200
        assert status(cookie=f"{name}={ticket}", csrfpreventiontoken="wrong") == 200
        assert status("POST", cookie=f"{name}={ticket}") == 401
        assert status("POST", cookie=f"{name}={ticket}", csrfpreventiontoken="wrong") == 401
        assert status("POST", cookie=f"{name}={ticket}", csrfpreventiontoken=csrf) == 200
    assert status(cookie=f"PBSAuthCookie={quote(ticket)}") == 200  # values are percent-decoded
    good = f"{TOKEN}:{TOKEN_SECRET}"
    assert status(authorization=f"PBSAPIToken={good}") == 200
    assert status("POST", authorization=f"PBSAPIToken {good}") == 200
    assert status(authorization=f"PBSAPIToken={TOKEN}:%74ok-secret") == 200
    for bad in (f"PBSAPIToken:{good}", f"pbsapitoken={good}", f"PBSAPIToken={good}x", f"PBSAPIToken={TOKEN}",
                f"Bearer {good}"):
        assert status(authorization=bad) == 401
    assert status(cookie="PBSAuthCookie=bad", authorization=f"PBSAPIToken={good}") == 401  # the cookie decides
    assert status(cookie=f"PBSAuthCookie=bad; __Host-PBSAuthCookie={ticket}") == 200


def test_refusal_is_delayed_as_configured_and_others_are_served_meanwhile(make_server: Callable[..., Server]) -> None:
    server = make_server("--fault", "GET /api2/json/version#1:delay=600")
    slow, start = Http1(server), time.monotonic()
    slow.send(f"GET /api2/json/version HTTP/1.1\r\nauthorization: PBSAPIToken={TOKEN}:{TOKEN_SECRET}\r\n\r\n".encode())
    server.wait_event("fault")
    assert Http1(server).token_call("GET", "version").status == 200
    assert time.monotonic() - start < 0.6
    assert slow.read_reply().status == 200
    assert time.monotonic() - start >= 0.6


# ---- lists ----

def test_lists_of_an_empty_store(server: Server) -> None:
    http = Http1(server)
    for path in ("groups", "snapshots"):
        assert http.token_call("GET", f"{D}/{path}").data == []
        reply = http.token_call("GET", f"{D}/{path}", ns="none")
        assert (reply.status, reply.text) == (400, "ENOENT: No such file or directory")
    assert http.token_call("GET", f"{D}/snapshots", **G1).data == []
    assert http.token_call("GET", f"{D}/groups", ns="").data == []
    assert http.token_call("GET", f"{D}/namespace").data == [{"ns": ""}]
    assert http.token_call("GET", f"{D}/namespace", parent="none").data == [{"ns": "none"}]


def test_lists_of_snapshots_groups_and_files(server: Server) -> None:
    backup(server)
    backup(server, time_s=1700000100)
    backup(server, "h2")
    (server.store / "host" / "h2" / "2023-11-14T23:00:00Z").mkdir()
    http = Http1(server)
    groups = sorted(http.token_call("GET", f"{D}/groups").data, key=lambda g: str(g["backup-id"]))
    assert groups[0] == {"backup-type": "host", "backup-id": "h1", "last-backup": 1700000100, "backup-count": 2,
                         "files": groups[0]["files"], "owner": TOKEN}
    assert set(groups[0]["files"]) == {"index.json.blob", "root.pxar.didx"}
    snapshots = http.token_call("GET", f"{D}/snapshots", **G1).data
    assert [s["backup-time"] for s in snapshots] == [1700000000, 1700000100]
    first = snapshots[0]
    assert list(first) == ["backup-type", "backup-id", "backup-time", "files", "size", "owner", "protected"]
    size = first["files"][1]["size"]
    assert first["files"] == [{"filename": "root.pxar.didx", "crypt-mode": "none", "size": 27},
                              {"filename": "index.json.blob", "crypt-mode": "none", "size": size}]
    assert first["size"] == 27 + size and first["protected"] is False
    unfinished = http.token_call("GET", f"{D}/snapshots", backup_id="h2", backup_type="host").data[1]
    assert unfinished["files"] == [] and "size" not in unfinished
    files = http.token_call("GET", f"{D}/files", **S1)
    assert files.text.startswith('{"data":[{"crypt-mode":"none","filename":"root.pxar.didx","size":27}')
    reply = http.token_call("GET", f"{D}/files", backup_id="h1", backup_time=5, backup_type="host")
    assert (reply.status, reply.text) == (400, "ENOENT: No such file or directory")
    reply = http.token_call("GET", f"{D}/files", backup_id="h2", backup_time=1700002800, backup_type="host")
    assert reply.status == 400 and reply.text.startswith("unable to load blob '\"")


def test_unfinished_snapshot_of_a_running_session_is_listed_plainly(server: Server) -> None:
    w = Writer(server)
    w.archive("a.didx", [b"x"])
    listed = Http1(server).token_call("GET", f"{D}/snapshots").data
    assert [f for s in listed for f in s["files"]] == [{"filename": "a.didx"}]
    assert w.call("GET", "/previous_backup_time").status == 200


def test_server_wide_calls(server: Server) -> None:
    http = Http1(server)
    assert http.token_call("GET", "admin/datastore").data[0]["store"] == STORE
    status = http.token_call("GET", f"{D}/status").data
    assert status["total"] >= status["used"] > 0 and status["avail"] > 0
    assert "pbs-instance-id" in http.token_call("GET", "nodes/localhost/identity").data
    assert [u["userid"] for u in http.token_call("GET", "access/users?include_tokens=true").data] == [USER]


# ---- changes ----

def test_notes_protection_and_forget(server: Server) -> None:
    backup(server)
    http = Http1(server)
    assert http.token_call("GET", f"{D}/notes", **S1).data == ""
    assert http.token_call("PUT", f"{D}/notes", **S1, notes="first line\nsecond ü").data is None
    assert http.token_call("GET", f"{D}/notes", **S1).data == "first line\nsecond ü"
    assert http.token_call("GET", f"{D}/snapshots").data[0]["comment"] == "first line"
    assert http.token_call("GET", f"{D}/protected", **S1).data is False
    assert http.token_call("PUT", f"{D}/protected", **S1, protected="true").data is None
    assert http.token_call("GET", f"{D}/protected", **S1).data is True
    reply = http.token_call("DELETE", f"{D}/snapshots", **S1)
    assert (reply.status, reply.text) == (400, 'failed to delete snapshot - "cannot remove protected snapshot"')
    reply = http.token_call("DELETE", f"{D}/groups", **G1)
    assert (reply.status, reply.text) == (400, "group only partially deleted due to protected snapshots")
    assert http.token_call("DELETE", f"{D}/groups", **G1, error_on_protected="false").data == {
        "removed-groups": 0, "protected-snapshots": 1, "removed-snapshots": 0}
    http.token_call("PUT", f"{D}/protected", **S1, protected="0")
    assert http.token_call("DELETE", f"{D}/snapshots", **S1).data is None
    assert not (server.store / "host" / "h1").exists()
    reply = http.token_call("DELETE", f"{D}/snapshots", **S1)
    assert reply.text == ('failed to delete snapshot - "removing backup snapshot \\"'
                          f'{server.store}/host/h1/2023-11-14T22:13:20Z\\" failed - No such file or directory (os error 2)"')
    reply = http.token_call("PUT", f"{D}/protected", **S1, protected="true")
    assert reply.text == "snapshot host/h1/2023-11-14T22:13:20Z does not exist!"
    reply = http.token_call("DELETE", f"{D}/groups", **G1)
    assert reply.status == 400 and "ENOENT: No such file or directory" in reply.text


def test_snapshot_in_use_can_not_be_forgotten(server: Server) -> None:
    backup(server)
    r = Reader(server)
    http = Http1(server)
    text = http.token_call("DELETE", f"{D}/snapshots", **S1).text
    assert text.startswith("failed to delete snapshot - Error {\n") and "unable to acquire snapshot lock" in text
    assert http.token_call("DELETE", f"{D}/groups", **G1).text.startswith("while destroying group 'host/h1'")
    r.close()
    server.wait_event("disconnect", 2)
    assert http.token_call("DELETE", f"{D}/groups", **G1).data["removed-snapshots"] == 1


def test_prune(server: Server) -> None:
    for i in range(4):
        backup(server, time_s=1700000000 + 86400 * i)
    http = Http1(server)
    dry = http.token_call("POST", f"{D}/prune", {**G1_BODY, "keep-last": 2, "dry-run": True}).data
    assert [(x["backup-time"], x["keep"]) for x in dry] == [(1700000000 + 86400 * i, i >= 2) for i in range(4)]
    assert set(dry[0]) == {"backup-id", "backup-time", "backup-type", "keep", "protected"}
    assert len(http.token_call("GET", f"{D}/snapshots").data) == 4
    assert all(x["keep"] for x in http.token_call("POST", f"{D}/prune", G1_BODY).data)
    upid = http.token_call("POST", f"{D}/prune", {**G1_BODY, "keep-last": 2, "use-task": True}).data
    assert upid.startswith("UPID:")
    assert [s["backup-time"] for s in http.token_call("GET", f"{D}/snapshots").data] == [1700172800, 1700259200]
    reply = http.token_call("POST", f"{D}/prune", {"backup-id": "none", "backup-type": "host"})
    assert (reply.status, reply.text) == (400, "ENOENT: No such file or directory")
    reply = http.token_call("POST", f"{D}/prune", {**G1_BODY, "max-depth": 1})
    assert reply.text == "parameter verification failed - 'max-depth': schema does not allow additional properties"


def test_change_owner(server: Server) -> None:
    backup(server)
    http = Http1(server)
    login_data = login(http).data
    root = {"cookie": f"PBSAuthCookie={login_data['ticket']}", "csrfpreventiontoken": login_data["CSRFPreventionToken"]}

    def change(headers: dict[str, str], owner: str, group: str = "h1") -> Any:
        body = {"backup-id": group, "backup-type": "host", "new-owner": owner}
        return http.call("POST", f"/api2/json/{D}/change-owner", headers | JSON, json.dumps(body).encode())

    assert change(root, USER).data is None
    assert http.token_call("GET", f"{D}/groups").data[0]["owner"] == USER
    assert change(root, USER).data is None
    reply = change(server.token_header, TOKEN)
    assert (reply.status, reply.text) == (
        401, f"{TOKEN} does not have permission to change owner of backup group 'host/h1' to {TOKEN}")
    assert change(root, "x@pam").text == "user 'x@pam' is inactive or non-existent"
    assert change(root, "x@pam!t").text == "API token 'x@pam!t' is inactive or non-existent"
    assert "No such file or directory" in change(root, USER, "none").text


def test_log_upload(server: Server) -> None:
    backup(server)
    http = Http1(server)
    path = f"/api2/json/{D}/upload-backup-log?backup-id=h1&backup-time=1700000000&backup-type=host"
    headers = server.token_header | {"content-type": "application/octet-stream"}
    assert http.call("POST", path, headers, b"short").text == "blob too small (5 bytes)."
    assert http.call("POST", path, headers, b"X" * 20).text == "unable to parse raw blob - wrong magic"
    assert http.call("POST", path, headers, blob(b"log")[:-1]).text == "Data blob has wrong CRC checksum."
    assert http.call("POST", path, headers, blob(b"log" * 300000)).data is None  # larger than any JSON body
    assert http.call("POST", path, headers, blob(b"log")).text == "backup already contains a log."
    files = [f["filename"] for f in http.token_call("GET", f"{D}/files", **S1).data]
    assert files[-1] == "client.log.blob"


def test_namespaces(server: Server) -> None:
    http = Http1(server)
    create = f"{D}/namespace"
    assert http.token_call("POST", create, {"name": "a", "parent": ""}).data == "a"
    assert http.token_call("POST", create, {"name": "b", "parent": "a"}).data == "a/b"
    assert http.token_call("POST", create, {"name": "b", "parent": "a"}).data == "a/b"
    reply = http.token_call("POST", create, {"name": "c", "parent": "x"})
    assert (reply.status, reply.text) == (400, "cannot create new namespace, parent x doesn't already exists")
    assert [n["ns"] for n in http.token_call("GET", create).data] == ["", "a", "a/b"]
    assert [n["ns"] for n in http.token_call("GET", create, max_depth=1).data] == ["", "a"]
    assert [n["ns"] for n in http.token_call("GET", create, parent="a").data] == ["a", "a/b"]
    backup(server, ns="a/b")
    assert len(http.token_call("GET", f"{D}/snapshots", ns="a/b").data) == 1
    assert Reader(server, ns="a/b").download("root.pxar.didx").status == 200
    reply = http.token_call("DELETE", create, ns="a/b")
    assert (reply.status, reply.text) == (
        400, "only partially deleted due to existing groups but `delete-groups` not true")
    server.wait_event("disconnect", 2)
    assert http.token_call("DELETE", create, ns="a", delete_groups="true").data == {
        "removed-groups": 1, "protected-snapshots": 0, "removed-snapshots": 1}
    assert http.token_call("DELETE", create, ns="none").data["removed-groups"] == 0


# ---- tasks ----

def test_garbage_collection_is_a_finished_task_with_a_log(server: Server) -> None:
    backup(server)
    http = Http1(server)
    reply = http.raw(f"POST /api2/json/{D}/gc HTTP/1.1\nauthorization: PBSAPIToken={TOKEN}:{TOKEN_SECRET}\n"
                     "content-type: application/x-www-form-urlencoded\n\n")  # neither length nor coding
    upid = reply.data
    assert re.fullmatch(r"UPID:[^:]+:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8,16}:[0-9A-F]{8}:garbage_collection:store1:"
                        rf"{re.escape(TOKEN)}:", upid)
    task = f"nodes/localhost/tasks/{''.join(c if c.isalnum() else f'%{ord(c):02X}' for c in upid)}"
    log = json.loads(http.token_call("GET", f"{task}/log", limit=500, start=1, test_status="true").body)
    assert log["active"] is False and log["total"] == len(log["data"])
    assert [line["n"] for line in log["data"]] == list(range(1, log["total"] + 1))
    assert log["data"][-1]["t"] == "TASK OK"
    status = http.token_call("GET", f"{task}/status").data
    assert (status["status"], status["exitstatus"], status["upid"]) == ("stopped", "OK", upid)
    part = json.loads(http.token_call("GET", f"{task}/log", limit=2, start=2).body)
    assert [line["n"] for line in part["data"]] == [2, 3]
    assert http.token_call("GET", "nodes/localhost/tasks/UPID%3Anone/status").status == 404


def test_sessions_are_listed_as_tasks(server: Server) -> None:
    backup(server)
    r = Reader(server)
    w = Writer(server, "h2")
    http = Http1(server)
    tasks = http.token_call("GET", "nodes/localhost/tasks", limit=50, start=0).data
    assert [(t["worker_type"], t["worker_id"], t.get("status")) for t in tasks[:2]] == [
        ("backup", f"{STORE}:host/h2", None), ("reader", f"{STORE}:host/h1/6553F100", None)]
    listed = json.loads(http.token_call("GET", "nodes/localhost/tasks", running="true", store=STORE).body)
    assert [t["worker_type"] for t in listed["data"]] == ["backup"] and listed["total"] == 1
    w.close()
    server.wait_event("abort")
    tasks = http.token_call("GET", "nodes/localhost/tasks", store=STORE).data
    assert r.download("index.json.blob").status == 200
    assert [t["status"] for t in tasks] == ["backup ended but finished state is not set.", "OK"]


def test_gc_that_can_not_run_says_so_in_its_task(server: Server) -> None:
    w = Writer(server)
    http = Http1(server)
    upid = http.token_call("POST", f"{D}/gc").data
    status = http.token_call("GET", f"nodes/localhost/tasks/{quote(upid, safe='')}/status").data
    assert status["status"] == "stopped" and status["exitstatus"] != "OK"
    assert w.call("GET", "/previous_backup_time").status == 200
