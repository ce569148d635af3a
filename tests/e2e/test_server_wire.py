# SPDX-License-Identifier: MIT
# covers: BKP-001 BKP-002 BKP-004 BKP-005 BKP-010 BKP-011 BKP-012 BKP-013 BKP-019 BKP-025 BKP-029 BKP-050 BKP-052 BKP-202 BKP-305 BKP-307 RDR-009 CDM-036
# covers: BKP-053 BKP-054 BKP-057 BKP-058 BKP-067 BKP-095 BKP-096 BKP-121 BKP-122 BKP-123 BKP-124 BKP-126 BKP-138 BKP-143
# covers: BKP-182 BKP-185 BKP-186 BKP-191 BKP-200 BKP-201 BKP-203 BKP-210 BKP-300 BKP-306 BKP-310 BKP-311 BKP-312 BKP-313
# covers: BKP-314 BKP-317 BKP-318 RDR-006 RDR-022 RDR-024 RDR-032 RDR-035 RDR-040 RDR-105 RDR-106 API-014 API-077 API-147
"""The server on the wire: connections, flow control, sessions, and the requests of the original client replayed."""
from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from wire_client import (BACKUP, PASSWORD, READER, STORE, TOKEN, TOKEN_SECRET, USER, H2, Http1, Reader, Refused, Server,
                         Writer, backup, blob, digest, index_csum, make_server, server, upgrade_query)

__all__ = ["make_server", "server"]
TOP = Path(__file__).resolve().parents[2]
SERVER_PREFACE = bytes.fromhex("000018040000000000" "0003000000c8" "000402000000" "000500400000" "000600004000")
SERVER_WINDOW = bytes.fromhex("000004080000000000" "01ff0001")


def noise(seed: int, size: int) -> bytes:
    sys.path.insert(0, str(TOP / "testdata" / "golden"))
    from trees import noise as golden_noise  # noqa: PLC0415
    return bytes(golden_noise(seed, size))


def login(http: Http1) -> dict[str, str]:
    body = json.dumps({"password": PASSWORD, "username": USER}).encode()
    data = http.call("POST", "//api2/json/access/ticket", {"content-type": "application/json"}, body).data
    return {"cookie": f"PBSAuthCookie={data['ticket']}", "csrfpreventiontoken": data["CSRFPreventionToken"]}


# ---- connection ----

def test_certificate_has_the_announced_fingerprint_and_no_alpn_is_selected(server: Server) -> None:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    ctx.set_alpn_protocols(["h2", "http/1.1"])
    with ctx.wrap_socket(socket.create_connection(("127.0.0.1", server.port), 10)) as tls:
        assert tls.selected_alpn_protocol() is None
    assert server.fingerprint.replace(":", "") == Http1(server).fingerprint()


@pytest.mark.parametrize(("request_line", "host", "status"), [("GET / HTTP/1.1", True, 301), ("POST /x HTTP/1.1", True, 308),
                                                               ("GET / HTTP/1.1", False, 400)])
def test_plain_http_is_redirected(server: Server, request_line: str, host: bool, status: int) -> None:
    http = Http1(server, tls=False)
    reply = http.raw(f"{request_line}\n" + ("Host: pbs:8007\n" if host else "") + "\n")
    assert reply.status == status
    assert reply.headers.get("location") == ("https://pbs:8007" if host else None)


def test_upgrade_is_accepted_in_the_words_of_the_original_client(server: Server) -> None:
    http = Http1(server)
    reply = http.raw(f"GET //api2/json/backup?backup-id=elsa&backup-time=1700000000&backup-type=host&benchmark=false"
                     f"&debug=true&store={STORE} HTTP/1.1\nuser-agent: proxmox-backup-client/1.0\n"
                     "content-type: application/x-www-form-urlencoded\n"
                     f"authorization: PBSAPIToken {TOKEN}:{TOKEN_SECRET}\nconnection: upgrade\nupgrade: {BACKUP}\n"
                     "host: pbs.example:8007\n\n")
    assert reply.status == 101
    assert reply.headers["upgrade"] == BACKUP and reply.headers["connection"] == "upgrade" and "date" in reply.headers
    assert "content-length" not in reply.headers
    assert H2(http).call("GET", "/previous_backup_time").data is None


def test_hand_written_upgrade_without_host_and_with_equals_sign_is_accepted(server: Server) -> None:
    http = Http1(server)
    reply = http.raw(f"GET /api2/json/backup?{upgrade_query()} HTTP/1.1\nAuthorization: PBSAPIToken={TOKEN}:{TOKEN_SECRET}"
                     f"\nUpgrade: {BACKUP}\nConnection: Upgrade\n\n")
    assert reply.status == 101


def test_upgrade_is_accepted_after_login_and_calls_on_the_same_connection(server: Server) -> None:
    http = Http1(server)
    headers = login(http)
    assert http.call("GET", "/api2/json/version", headers).status == 200
    assert http.call("GET", "/api2/json/nothing", headers).status == 404
    assert Writer(server, http=http, headers=headers).call("GET", "/previous_backup_time").data is None


def test_http2_bytes_may_follow_the_upgrade_request_at_once(server: Server) -> None:
    http = Http1(server)
    request = (f"GET //api2/json/reader?{upgrade_query()} HTTP/1.1\r\nauthorization: PBSAPIToken {TOKEN}:{TOKEN_SECRET}"
               f"\r\nupgrade: {READER}\r\n\r\n").encode()
    backup(server)
    held: list[bytes] = []
    send, http.send = http.send, held.append  # type: ignore[method-assign]
    h2 = H2(http)
    stream = h2.start("GET", "/download?file-name=index.json.blob")
    http.send = send  # type: ignore[method-assign]
    http.send(request + b"".join(held))
    assert http.read_reply().status == 101
    assert h2.wait(stream).status == 200


def test_server_speaks_first_and_with_the_settings_of_the_original(server: Server) -> None:
    http = Http1(server)
    assert http.upgrade(f"//api2/json/backup?{upgrade_query()}", BACKUP, server.token_header).status == 101
    want = SERVER_PREFACE + SERVER_WINDOW
    while len(http.buffer) < len(want):
        http._fill()  # noqa: SLF001
    assert http.buffer == want


def test_refused_upgrade_leaves_an_ordinary_connection(server: Server) -> None:
    http = Http1(server)
    for _ in range(3):
        reply = http.upgrade(f"//api2/json/backup?{upgrade_query(store='nothing')}", BACKUP, server.token_header)
        assert (reply.status, reply.text) == (400, "no such datastore 'nothing'")
    assert http.token_call("GET", "version").status == 200


def test_http1_bodies_come_in_any_coding_and_in_pieces(server: Server) -> None:
    http = Http1(server)
    body = json.dumps({"password": PASSWORD, "username": USER}).encode()
    head = b"POST /api2/json/access/ticket HTTP/1.1\r\ncontent-type: application/json\r\n"
    chunked = b"".join(b"%x;x=y\r\n%c\r\n" % (1, c) for c in body) + b"0\r\ntrailer: 1\r\n\r\n"
    for message in (head + b"content-length: %d\r\n\r\n" % len(body) + body,
                    head + b"transfer-encoding: chunked\r\n\r\n" + chunked):
        for i in range(len(message)):
            http.send(message[i:i + 1])
        assert http.read_reply().data["username"] == USER
    http.send((head + b"content-length: %d\r\n\r\n" % len(body) + body) * 3)  # pipelined
    assert [http.read_reply().status for _ in range(3)] == [200] * 3
    http.send(head.replace(b"application/json", b"application/x-www-form-urlencoded") +
              b"expect: 100-continue\r\ncontent-length: 36\r\n\r\n")
    assert http.read_reply().status == 100
    http.send(b"username=root%40pam&password=secret1")
    assert http.read_reply().status == 401


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n",
                                     b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
                                     b"GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
                                     b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"])
def test_garbage_is_answered_400_and_the_connection_closed(server: Server, garbage: bytes) -> None:
    http = Http1(server)
    http.send(garbage)
    assert http.read_reply().status == 400
    assert http.sock.recv(1) == b""
    assert Http1(server).token_call("GET", "version").status == 200


def test_one_silent_connection_does_not_hold_up_others(server: Server) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    half = Http1(server)
    half.send(b"GET /api2/json/version HTTP/1.1\r\nauth")
    assert Http1(server).token_call("GET", "version").status == 200
    for s in silent:
        s.close()


# ---- a backup and what it leaves ----

def test_backup_can_be_read_back(server: Server) -> None:
    chunks = backup(server)
    r = Reader(server)
    manifest = r.download("index.json.blob")
    assert manifest.headers["content-type"] == "application/octet-stream"
    index = r.download("root.pxar.didx").body
    entries = [(int.from_bytes(index[i:i + 8], "little"), index[i + 8:i + 40].hex()) for i in range(4096, len(index), 40)]
    assert [e[0] for e in entries] == [11, 16, 27]
    got = r.chunk(entries[0][1])
    assert got.body == blob(chunks[0]) and got.headers["content-length"] == "23"
    assert r.call("GET", "/speedtest").body == b"A" * 1048576
    assert r.call("GET", "/").data == [{"subdir": "chunk"}, {"subdir": "download"}, {"subdir": "speedtest"}]


def test_next_backup_knows_the_chunks_of_the_previous_index_only_after_asking(server: Server) -> None:
    chunks = backup(server)
    w = Writer(server, time_s=1700000100)
    assert w.call("GET", "/previous_backup_time").data == 1700000000
    wid = w.create("root.pxar.didx")
    reply = w.append(wid, [digest(chunks[0])], [0])
    assert (reply.status, reply.text) == (400, f"no such chunk {digest(chunks[0])}")
    previous = w.call("GET", "/previous?archive-name=root.pxar.didx")
    assert previous.status == 200 and len(previous.body) == 4096 + 3 * 40
    assert previous.body == Reader(server).download("root.pxar.didx").body
    assert w.append(wid, [digest(chunks[0]), digest(chunks[1])], [0, 11]).data is None
    csum = index_csum([(11, digest(chunks[0])), (16, digest(chunks[1]))])
    assert w.close_index(wid, 2, 16, csum).data is None
    assert w.manifest([{"crypt-mode": "none", "csum": csum, "filename": "root.pxar.didx", "size": 16}]).status == 200
    assert w.finish().data is None
    times = [s["backup-time"] for s in Http1(server).token_call("GET", f"admin/datastore/{STORE}/snapshots").data]
    assert times == [1700000000, 1700000100]
    assert [e["chunks"] for e in server.events("known")] == [2]


def test_manifest_is_rewritten_with_statistics_and_keeps_unprotected(server: Server) -> None:
    w = Writer(server)
    entry = w.archive("a.pxar.didx", [b"x" * 100, b"y" * 50, b"x" * 100])
    assert w.manifest([entry], notes="kept").status == 200
    assert w.finish().data is None
    raw = Reader(server).download("index.json.blob").body
    assert raw[:8] in (bytes([49, 185, 88, 66, 111, 182, 163, 127]), bytes([66, 171, 56, 7, 190, 131, 112, 161]))
    import zstandard  # noqa: PLC0415
    text = zstandard.ZstdDecompressor().decompressobj().decompress(raw[12:]) if raw[0] == 49 else raw[12:]
    unprotected = json.loads(text)["unprotected"]
    assert unprotected["notes"] == "kept"
    stats = unprotected["chunk_upload_stats"]
    assert stats["count"] == 3 and stats["duplicates"] == 1


def test_chunks_are_known_over_all_writers_and_may_come_twice_or_never_be_used(server: Server) -> None:
    w = Writer(server)
    a, b = w.create("a.pxar.didx"), w.create("b.pxar.didx")
    assert (a, b) == (1, 2)
    streams = [w.upload(a, b"shared") for _ in range(5)]
    assert [w.wait(s).data for s in streams] == [digest(b"shared")] * 5
    assert w.chunk(a, bytes(4 << 20)).status == 200  # never appended
    assert w.append(b, [digest(b"shared")] * 2, [0, 6]).data is None
    assert w.close_index(b, 2, 12, index_csum([(6, digest(b"shared")), (12, digest(b"shared"))])).data is None
    states = [e["state"] for e in server.events("chunk")]
    assert states == ["new", "known", "known", "known", "known", "new"]


def test_two_halves_of_a_split_archive_interleave(server: Server) -> None:
    w = Writer(server)
    meta, payload = w.create("r.mpxar.didx"), w.create("r.ppxar.didx")
    parts = [b"p%d" % i * 1000 for i in range(10)]
    ends, at = [], 0
    for i, part in enumerate(parts):
        assert w.chunk(payload, part).status == 200
        assert w.append(payload, [digest(part)], [at]).data is None
        at += len(part)
        ends.append((at, digest(part)))
        if i == 4:
            assert w.chunk(meta, b"meta").status == 200
            assert w.append(meta, [digest(b"meta")], [0]).data is None
            assert w.close_index(meta, 1, 4, index_csum([(4, digest(b"meta"))])).data is None
    assert w.close_index(payload, 10, at, index_csum(ends)).data is None


# ---- flow control and frames ----

def test_seventy_uploads_at_a_time_are_served(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.pxar.didx")
    plains = [bytes([i]) * (200_000 + i) for i in range(70)]
    streams = []
    for plain in plains:
        raw = blob(plain)
        streams.append(w.start("POST", f"/dynamic_chunk?digest={digest(plain)}&encoded-size={len(raw)}&size={len(plain)}"
                               f"&wid={wid}", "application/octet-stream", end=False))
    for at in range(0, 210_000, 30_000):  # a piece of each in turn
        for plain, stream in zip(plains, streams, strict=True):
            raw = blob(plain)
            piece, last = raw[at:at + 30_000], at + 30_000 >= len(raw)
            if piece:
                w.send_body(stream, piece, end=last)
    assert [w.wait(s).data for s in streams] == [digest(p) for p in plains]
    at, offsets = 0, []
    for plain in plains:
        offsets.append(at)
        at += len(plain)
    assert w.append(wid, [digest(p) for p in plains], offsets).data is None


def test_stream_beyond_two_hundred_is_refused_and_the_others_go_on(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.pxar.didx")
    assert w.settings[3] == 200
    w.conn.remote_settings.update({3: 1000})  # so that the library lets us
    w.conn.remote_settings.acknowledge()
    raw = blob(b"some data")
    streams = [w.start("POST", f"/dynamic_chunk?digest={digest(b'some data')}&encoded-size={len(raw)}&size=9&wid={wid}",
                       "application/octet-stream", end=False) for _ in range(202)]
    for stream in streams[200:]:
        with pytest.raises(ConnectionResetError, match="7"):
            w.wait(stream)
    for stream in streams[:200]:
        w.send_body(stream, raw)
    assert {w.wait(s).status for s in streams[:200]} == {200}
    assert w.call("GET", "/previous_backup_time").data is None


def test_json_body_may_be_split_at_any_byte(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.pxar.didx")
    w.chunk(wid, b"x")
    body = json.dumps({"digest-list": [digest(b"x")], "offset-list": [0], "wid": wid}).encode()
    stream = w.start("PUT", "/dynamic_index", "application/json; charset=UTF-8", end=False)
    w.send_body(stream, body, end=False, piece=1)
    w.conn.send_data(stream, b"", end_stream=True)
    w.flush()
    assert w.wait(stream).data is None


@pytest.mark.parametrize("window", [1000, 65535, 2**31 - 2])
def test_client_with_any_window_gets_big_bodies(server: Server, window: int) -> None:
    big = noise(1, 1 << 20) * 3
    backup(server, chunks=[big, b"end"])
    r = Reader(server, window=window, frame=16384 if window < 1 << 20 else 4 << 20)
    r.download("root.pxar.didx")
    streams = [r.start("GET", f"/chunk?digest={digest(big)}") for _ in range(3)]
    assert all(r.wait(s).body == blob(big) for s in streams)
    largest = max(r.replies[streams[0]]["frames"])
    assert largest <= window and (window < 1 << 20 or largest > 16384)


def test_largest_chunk_fits_in_huge_and_in_small_frames(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.pxar.didx")
    raw = bytes([123, 103, 133, 190, 34, 45, 76, 240]) + bytes(36) + noise(5, 1 << 20) * 16  # encrypted: taken on trust
    assert len(raw) == 16777260
    for frame in (4 << 20, 5000):
        w.frame = frame
        name = digest(b"%d" % frame)
        stream = w.start("POST", f"/dynamic_chunk?digest={name}&encoded-size={len(raw)}&size=16777216&wid={wid}",
                         "application/octet-stream", end=False)
        w.send_body(stream, raw)
        assert w.wait(stream).data == name
    assert w.conn.max_outbound_frame_size == 4 << 20


def test_too_large_a_chunk_is_answered_while_it_comes_and_the_connection_lives(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.pxar.didx")
    stream = w.start("POST", f"/dynamic_chunk?digest={digest(b'x')}&encoded-size=13&size=1&wid={wid}",
                     "application/octet-stream", end=False)
    w.send_body(stream, blob(b"x") + b"more", end=False)
    reply = w.wait(stream)
    assert (reply.status, reply.text) == (400, "uploaded chunk is larger than announced.")
    while w.replies[stream]["reset"] is None:
        w.pump()
    assert w.replies[stream]["reset"] == 0
    assert w.chunk(wid, b"x").status == 200


def test_too_many_header_bytes_end_one_stream_only(server: Server) -> None:
    w = Writer(server)
    reply = w.wait(w.start("GET", "/previous_backup_time", x_filler="a" * 17000))
    assert (reply.status, reply.body) == (431, b"")
    assert w.wait(w.start("GET", "/previous_backup_time", x_filler="a" * 15000)).status == 200


def test_benchmark_posts_are_pipelined_and_leave_nothing(server: Server) -> None:
    w = Writer(server, "benchmark", benchmark="true")
    body = b"".join(i.to_bytes(4, "little") for i in range(1 << 18))
    streams = []
    for _ in range(12):
        streams.append(w.start("POST", "/speedtest", "application/octet-stream", end=False))
        w.send_body(streams[-1], body)
    assert [w.wait(s).data for s in streams] == [None] * 12
    w.close()
    server.wait_event("abort")
    assert Http1(server).token_call("GET", f"admin/datastore/{STORE}/snapshots").data == []


# ---- life of sessions ----

def test_second_writer_of_a_group_is_refused_other_groups_and_readers_go_on(server: Server) -> None:
    backup(server)
    w = Writer(server, time_s=1700000100)
    with pytest.raises(Refused) as refused:
        Writer(server, time_s=1700000200)
    assert refused.value.reply.status == 400
    other = Writer(server, "h2")
    readers = [Reader(server) for _ in range(3)]
    for r in readers:
        assert r.download("root.pxar.didx").status == 200
    with pytest.raises(Refused, match="while reading snapshot 'host/h1/2023-11-14T22:15:00Z'"):
        Reader(server, time_s=1700000100)
    reply = Http1(server).token_call("DELETE", f"admin/datastore/{STORE}/snapshots", backup_id="h1",
                                     backup_time=1700000000, backup_type="host")
    assert reply.status == 400 and reply.text.startswith("failed to delete snapshot - ")
    assert w.call("GET", "/previous_backup_time").data == 1700000000
    assert other.call("GET", "/previous_backup_time").data is None


@pytest.mark.parametrize("how", ["close", "abrupt", "goaway", "before preface"])
def test_session_that_ends_without_finish_is_removed_and_the_group_is_free(server: Server, how: str) -> None:
    if how == "before preface":
        http = Http1(server)
        assert http.upgrade(f"//api2/json/backup?{upgrade_query()}", BACKUP, server.token_header).status == 101
        http.close()
    else:
        w = Writer(server)
        w.archive("a.pxar.didx", [b"data"])
        if how == "goaway":
            w.conn.close_connection()
            w.flush()
        w.close(abrupt=how == "abrupt")
    server.wait_event("abort")
    assert not (server.store / "host" / "h1").exists()
    backup(server)


@pytest.mark.parametrize("how", ["stay", "close", "abrupt", "goaway"])
def test_finish_releases_the_group_with_its_answer_and_any_end_is_fine(server: Server, how: str) -> None:
    w = Writer(server)
    w.manifest([w.archive("a.pxar.didx", [b"data"])])
    assert w.finish().data is None
    if how == "goaway":
        w.conn.close_connection()
        w.flush()
    if how != "stay":
        w.close(abrupt=how == "abrupt")
    backup(server, time_s=1700000100)
    assert server.events("abort") == []
    assert len(Http1(server).token_call("GET", f"admin/datastore/{STORE}/snapshots").data) == 2


def test_reader_that_never_asks_ends_quietly(server: Server) -> None:
    backup(server)
    for abrupt in (False, True):
        Reader(server).close(abrupt)
    http = Http1(server)
    assert http.upgrade(f"//api2/json/reader?{upgrade_query()}", READER, server.token_header).status == 101
    http.close()
    server.wait_event("disconnect", 4)
    assert Http1(server).token_call("DELETE", f"admin/datastore/{STORE}/snapshots", backup_id="h1",
                                    backup_time=1700000000, backup_type="host").data is None


def test_stopped_server_removes_unfinished_snapshots(server: Server) -> None:
    backup(server)
    w = Writer(server, time_s=1700000100)
    w.create("a.pxar.didx")
    assert server.stop() == 0
    assert [p.name for p in (server.store / "host" / "h1").iterdir() if p.is_dir()] == ["2023-11-14T22:13:20Z"]


# ---- the original client, replayed ----

def transcript(name: str) -> list[dict[str, Any]]:
    """Requests of one recorded connection in order, each with the answer it got."""
    text = (TOP / "testdata" / "golden" / "wire" / name).read_text().split("=== tcp stream 1")[0]
    requests: dict[int, dict[str, Any]] = {}
    stream, side = 0, ""
    for line in text.splitlines():
        frame = re.match(r"([cs])> (\w+)Frame stream=(\d+) len=(\d+)", line)
        if frame:
            side, kind, stream, length = frame[1], frame[2], int(frame[3]), int(frame[4])
            if side == "c" and kind == "Headers":
                requests[stream] = {"headers": {}, "body": "", "length": 0, "answer": "", "status": 0}
            if stream in requests and kind == "Data":
                requests[stream]["length" if side == "c" else "answer_length"] = length
            state = kind
        elif line.startswith("     ") and stream in requests:
            value = line.strip()
            if state == "Headers":
                key, val = value.rsplit(": ", 1) if ": " in value else (value, "")
                if side == "c":
                    requests[stream]["headers"][key] = val
                elif key == ":status":
                    requests[stream]["status"] = int(val)
            else:
                requests[stream]["body" if side == "c" else "answer"] += value
    return [requests[i] for i in sorted(requests)]


def on_trust(size: int) -> bytes:
    """An encrypted blob of that size: the server cannot look into it."""
    return bytes([123, 103, 133, 190, 34, 45, 76, 240]) + bytes(size - 8)


def replay_body(request: dict[str, Any], w: Writer, uploads: dict[str, list[tuple[str, int]]]) -> tuple[str, bytes]:
    """Path and body to send. Recorded bodies are cut: chunks are replaced by ones of the same size, append lists are put
    together again from the uploads so far."""
    path = request["headers"][":path"]
    if "index.json.blob" in path:
        text = json.dumps({"backup-id": w.backup_id, "backup-time": w.time_s, "backup-type": "host", "files": [],
                           "signature": None, "unprotected": {}}).encode()
        return re.sub(r"encoded-size=\d+", f"encoded-size={len(blob(text))}", path), blob(text)
    chunk = re.search(r"_chunk\?digest=(\w+)&encoded-size=\d+&size=(\d+)&wid=(\d+)", path)
    if chunk:
        uploads.setdefault(chunk[3], []).append((chunk[1], int(chunk[2])))
        size = max(45, request["length"])
        return re.sub(r"encoded-size=\d+", f"encoded-size={size}", path), on_trust(size)
    if request["headers"][":method"] == "PUT":
        for wid, chunks in uploads.items():
            offsets = [sum(size for _, size in chunks[:i]) for i in range(len(chunks))]
            body = json.dumps({"digest-list": [d for d, _ in chunks], "offset-list": offsets, "wid": int(wid)},
                              separators=(",", ":"))
            if body.startswith(request["body"][:190]):
                assert len(body) == request["length"]
                return path, body.encode()
        raise AssertionError(path)
    if request["headers"]["content-type"] == "application/octet-stream":
        return path, bytes.fromhex(request["body"])
    return path, request["body"].encode()


def replay(w: Writer, name: str) -> int:
    requests = transcript(name)
    creates = [r for r in requests if "_index?" in r["headers"][":path"]]  # the order of their numbers was chance
    order = iter(sorted(creates, key=lambda r: str(r["answer"])))
    uploads: dict[str, list[tuple[str, int]]] = {}
    for recorded in requests:
        request = next(order) if recorded in creates else recorded
        path, body = replay_body(request, w, uploads)
        reply = w.call(request["headers"][":method"], path, body or None, content_type=request["headers"]["content-type"])
        assert (reply.status, reply.text) == (request["status"], request["answer"]), path
        assert reply.headers["content-type"] == "application/json;charset=UTF-8"
        assert reply.headers["content-length"] == str(len(request["answer"]))
    return len(requests)


def test_recorded_backup_of_the_original_client_gets_the_recorded_answers(server: Server) -> None:
    assert replay(Writer(server, "wire2"), "backup-legacy-img-conf.txt") == 18
    files = Http1(server).token_call("GET", f"admin/datastore/{STORE}/files", backup_id="wire2", backup_time=1700000000,
                                     backup_type="host").data
    assert {f["filename"] for f in files} == {"root.pxar.didx", "catalog.pcat1.didx", "disk.img.fidx", "etc.conf.blob",
                                              "index.json.blob"}


def test_recorded_encrypted_backup_gets_the_recorded_answers(server: Server) -> None:
    assert replay(Writer(server, "wire4"), "backup-encrypted.txt") == 11


def test_embedded_style_sessions_leave_no_descriptor_behind(server: Server) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    backup(server)
    server.wait_event("disconnect")
    time.sleep(0.05)
    before = open_files()
    for i in range(3):
        backup(server, time_s=1700000100 + i)
        r = Reader(server)
        r.download("index.json.blob")
        r.close(abrupt=True)
    server.wait_event("disconnect", 7)
    time.sleep(0.05)
    assert open_files() == before
