# SPDX-License-Identifier: MIT
# covers: BKP-074 BKP-203 BKP-317 RDR-031 API-010 API-146
"""Scripted faults of the server, each seen from the client's side and in the journal; the journal itself."""
from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from wire_client import (STORE, Http1, Reader, Refused, Server, Writer, backup, blob, digest, index_csum, make_server,
                         upgrade_query)

__all__ = ["make_server"]
Make = Callable[..., Server]
A = digest(b"hello world")


def fired(server: Server) -> list[str]:
    return [e["fault"] for e in server.events("fault")]


def test_status_comes_instead_of_the_call_on_the_nth_match(make_server: Make) -> None:
    fault = "POST /dynamic_index#2:status=503,come back later"
    server = make_server("--fault", fault)
    w = Writer(server)
    assert w.create("a.didx") == 1
    reply = w.call("POST", "/dynamic_index?archive-name=b.didx")
    assert (reply.status, reply.text) == (503, "come back later")
    assert w.create("c.didx") == 2  # the refused one was not carried out
    assert fired(server) == [fault]


def test_delay_holds_one_answer_and_no_other(make_server: Make) -> None:
    server = make_server("--fault", "POST /dynamic_index#1:delay=500")
    w = Writer(server)
    start = time.monotonic()
    slow = w.start("POST", "/dynamic_index?archive-name=a.didx")
    assert w.call("GET", "/previous_backup_time").data is None
    assert time.monotonic() - start < 0.5
    assert w.wait(slow).data == 1
    assert time.monotonic() - start >= 0.5


@pytest.mark.parametrize("what", ["reset", "close", "goaway"])
def test_connection_faults_end_the_session(make_server: Make, what: str) -> None:
    server = make_server("--fault", f"POST /finish#1:{what}")
    w = Writer(server)
    w.manifest([w.archive("a.didx", [b"x"])])
    stream = w.start("POST", "/finish")
    while not w.closed:
        w.pump()
    assert not w.replies[stream]["done"]
    assert (w.goaway == 0) == (what == "goaway")
    server.wait_event("abort")
    assert Http1(server).token_call("GET", f"admin/datastore/{STORE}/snapshots").data == []
    backup(server)


def test_rst_stream_ends_one_stream(make_server: Make) -> None:
    server = make_server("--fault", "GET /chunk#1:rst-stream")
    backup(server)
    r = Reader(server)
    r.download("root.pxar.didx")
    with pytest.raises(ConnectionResetError, match="2"):
        r.chunk(A)
    assert r.chunk(A).status == 200


def test_stall_never_answers_and_the_rest_goes_on(make_server: Make) -> None:
    server = make_server("--fault", "GET /previous_backup_time#1:stall", "--fault", "accept#2:stall")
    w = Writer(server)
    stalled = w.start("GET", "/previous_backup_time")
    assert w.create("a.didx") == 1
    assert not w.replies[stalled]["done"]
    with socket.create_connection(("127.0.0.1", server.port), 0.5) as raw, pytest.raises(TimeoutError):
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.recv(1)
    assert Http1(server).token_call("GET", "version").status == 200


def test_short_and_corrupt_bodies(make_server: Make) -> None:
    server = make_server("--fault", f"chunk-read {A}#1:short=5", "--fault", f"chunk-read {A}#2:corrupt=3",
                         "--fault", "GET /download#3+:short=100")
    backup(server)
    r = Reader(server)
    r.download("root.pxar.didx")
    raw = blob(b"hello world")
    assert r.chunk(A).body == raw[:5]
    assert r.chunk(A).body == raw[:-3] + bytes(255 - c for c in raw[-3:])
    assert r.chunk(A).body == raw
    assert len(r.download("root.pxar.didx").body) == 4216
    assert [len(r.download("root.pxar.didx").body) for _ in range(2)] == [100, 100]


def test_lies_about_indexes(make_server: Make) -> None:
    server = make_server("--fault", "GET /previous#2:lie=csum", "--fault", "GET /previous#3:lie=size")
    backup(server)
    w = Writer(server, time_s=1700000100)
    true, csum, size = (w.call("GET", "/previous?archive-name=root.pxar.didx").body for _ in range(3))
    assert csum[:-32] == true[:-32] and csum[-32:] == bytes(255 - c for c in true[-32:])
    assert size[:-40] == true[:-40] and size[-32:] == true[-32:]
    assert int.from_bytes(size[-40:-32], "little") == int.from_bytes(true[-40:-32], "little") + 1


def test_lie_about_known_chunks(make_server: Make) -> None:
    server = make_server("--fault", "POST /dynamic_chunk#1:lie=known", "--fault", "GET /previous#1:lie=known")
    w = Writer(server)
    wid = w.create("a.didx")
    assert w.chunk(wid, b"hello world").data == A
    assert w.append(wid, [A], [0]).text == f"no such chunk {A}"
    assert not (server.store / ".chunks" / A[:4] / A).exists()
    w.close()
    server.wait_event("abort")
    backup(server)
    w = Writer(server, time_s=1700000100)
    assert w.call("GET", "/previous?archive-name=root.pxar.didx").status == 200
    wid = w.create("a.didx")
    assert w.append(wid, [A], [0]).text == f"no such chunk {A}"


def test_full_disk_fails_one_call(make_server: Make) -> None:
    server = make_server("--fault", f"chunk-write {A}#1:enospc", "--fault", "POST /finish#1:enospc")
    w = Writer(server)
    wid = w.create("a.didx")
    reply = w.chunk(wid, b"hello world")
    assert reply.status == 400 and "No space left on device" in reply.text
    assert w.append(wid, [A], [0]).text == f"no such chunk {A}"
    assert w.chunk(wid, b"hello world").status == 200
    w.append(wid, [A], [0])
    w.close_index(wid, 1, 11, index_csum([(11, A)]))
    w.manifest([])
    assert w.finish().status == 400
    w.close()
    server.wait_event("abort")
    assert not (server.store / "host" / "h1").exists()
    backup(server)


@pytest.mark.parametrize("place", ["accept", "upgrade", "upgrade backup"])
def test_small_windows(make_server: Make, place: str) -> None:
    server = make_server("--fault", f"{place}#1:window=1000")
    w = Writer(server)
    wid = w.create("a.didx")
    assert w.settings[4] == 1000
    streams = [w.start("POST", f"/dynamic_chunk?digest={digest(p)}&encoded-size={len(p) + 12}&size={len(p)}&wid={wid}",
                       end=False) for p in (b"a" * 50000, b"b" * 50000)]
    w.send_body(streams[0], blob(b"a" * 50000))
    w.send_body(streams[1], blob(b"b" * 50000))
    assert [w.wait(s).status for s in streams] == [200, 200]


def test_upgrade_faults(make_server: Make) -> None:
    server = make_server("--fault", "upgrade reader#1:status=500,no", "--fault", "upgrade backup#1:close")
    with pytest.raises(EOFError):
        Writer(server)
    backup(server)
    with pytest.raises(Refused, match="500 no"):
        Reader(server)
    assert Reader(server).download("index.json.blob").status == 200


def first_byte(server: Server) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
        return raw.recv(1)


@pytest.mark.parametrize("what", ["reset", "close"])
def test_accept_faults(make_server: Make, what: str) -> None:
    server = make_server("--fault", f"accept#1:{what}")
    if what == "reset":
        with pytest.raises(ConnectionResetError):  # also within connect, if the reset is faster than that returns
            first_byte(server)
    else:
        assert first_byte(server) == b""
    assert Http1(server).token_call("GET", "version").status == 200


def test_answer_to_a_closed_connection_is_dropped_quietly(make_server: Make) -> None:
    server = make_server("--fault", "* *#*:delay=100")
    http = Http1(server)
    http.send(b"GET /api2/json/ping HTTP/1.1\r\n\r\n")
    server.wait_event("fault")
    http.close(abrupt=True)
    server.wait_event("disconnect")
    assert Http1(server).token_call("GET", "version").status == 200


def members(event: dict[str, Any]) -> set[str]:
    return set(event) - {"event", "conn"}


def test_journal_tells_a_backup_in_order(make_server: Make) -> None:
    server = make_server()
    backup(server)
    server.wait_event("disconnect")
    lines = server.journal_lines()
    names = [e["event"] for e in lines if e["event"] != "request"]
    assert names == ["connection", "session", "index-create", "chunk", "chunk", "chunk", "index-append", "index-close",
                     "finish", "disconnect"]
    assert [e["path"] for e in lines if e["event"] == "request"] == [
        "/api2/json/backup", "/dynamic_index", "/dynamic_chunk", "/dynamic_chunk", "/dynamic_chunk", "/dynamic_index",
        "/dynamic_close", "/blob", "/finish"]
    chunk = next(e for e in lines if e["event"] == "chunk")
    assert (chunk["wid"], chunk["digest"], chunk["size"], chunk["encoded-size"], chunk["state"]) == (1, A, 11, 23, "new")
    append = next(e for e in lines if e["event"] == "index-append")
    assert append["offsets"] == [0, 11, 16] and append["digests"][0] == A and append["wid"] == 1
    request = next(e for e in lines if e["event"] == "request" and e["path"] == "/dynamic_close")
    assert members(request) == {"stream", "method", "path", "params", "status", "in", "out", "ms"}
    assert request["params"]["chunk-count"] == 3
    session = next(e for e in lines if e["event"] == "session")
    assert session["snapshot"] == "host/h1/2023-11-14T22:13:20Z" and session["protocol"] == "backup"


def test_journal_holds_no_secret(make_server: Make) -> None:
    server = make_server()
    http = Http1(server)
    for password in ("secret", "wrong-secret"):
        http.call("POST", "/api2/json/access/ticket", {"content-type": "application/json"},
                  f'{{"password":"{password}","username":"root@pam"}}'.encode())
    http.upgrade(f"/api2/json/backup?{upgrade_query(store='none')}", "x")
    text = server.journal.read_text()
    assert "secret" not in text and "PBS:" not in text
    errors = [e.get("error") for e in server.events("request")]
    assert errors == [None, "permission check failed.", "no such datastore 'none'"]
