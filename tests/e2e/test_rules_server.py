# covers: BKP-080 BKP-086 BKP-097 BKP-118 BKP-131 BKP-134 BKP-146 BKP-175 BKP-187 BKP-206 BKP-303 BKP-308 BKP-315 BLOB-074
# covers: BLOB-080 BLOB-081 BLOB-082 BLOB-085 IDX-011 IDX-092 IDX-132 MAN-081 MAN-082 MAN-083 RDR-001 RDR-008 RDR-025
# covers: RDR-100 RDR-102
# SPDX-License-Identifier: MIT
"""Rules of the backup and reader protocol and of the datastore, each with a session made for it."""
from __future__ import annotations

import hashlib
import json
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from support import verify
from wire_client import (READER, STORE, Http1, Reader, Server, Writer, backup, blob, digest, index_csum, make_server, server,
                         upgrade_query)

__all__ = ["make_server", "server"]
NEXT = 1700000100
SNAPSHOT = "host/h1/2023-11-14T22:13:20Z"
# what the sheet says the server sends first (BKP-052)
SETTINGS = bytes.fromhex("000018040000000000 0003000000c8 000402000000 000500400000 000600004000 000004080000000000 01ff0001")


def stored(server: Server, name: str, snapshot: str = SNAPSHOT) -> bytes:
    return (server.store / snapshot / name).read_bytes()


def zeros(name: str, size: int) -> str:
    """An upload's query with an announced raw length."""
    return f"/blob?encoded-size={size}&file-name={name}"


# ---- writer sessions ----

def test_previous_backup_time_may_be_asked_any_number_of_times(server: Server) -> None:
    backup(server)
    w = Writer(server, time_s=NEXT)
    assert [w.call("GET", "/previous_backup_time").data for _ in range(5)] == [1700000000] * 5
    assert w.append(1, [digest(b"hello world")], [0]).text.startswith("no such chunk")  # it changes nothing


def test_an_index_holds_the_end_and_digest_of_each_append(server: Server) -> None:
    parts = [b"one", b"three", b"one", b"x" * 1000]
    w = Writer(server)
    w.manifest([w.archive("a.didx", parts)])
    assert w.finish().data is None
    index, at, records = stored(server, "a.didx"), 0, b""
    for part in parts:
        at += len(part)
        records += at.to_bytes(8, "little") + hashlib.sha256(part).digest()
    assert index[4096:] == records
    assert index[32:64] == hashlib.sha256(records).digest()


def test_uuid_and_time_of_an_index_are_the_servers_and_in_no_checksum(server: Server) -> None:
    for time_s in (1700000000, NEXT):
        w = Writer(server, time_s=time_s)
        w.manifest([w.archive("a.didx", [b"same"])])
        assert w.finish().data is None
    one, two = stored(server, "a.didx"), stored(server, "a.didx", "host/h1/2023-11-14T22:15:00Z")
    assert one[8:24] != two[8:24] and one[8:24] != bytes(16)
    assert int.from_bytes(one[24:32], "little", signed=True) > 1_600_000_000
    assert one[32:64] == two[32:64] and one[4096:] == two[4096:]


def test_a_lost_chunk_of_the_base_is_refused_and_the_base_is_one_no_more(server: Server) -> None:
    """The original does not look (BKP-205), and makes a snapshot that cannot be restored."""
    chunks = backup(server)
    lost = digest(chunks[0])
    (server.store / ".chunks" / lost[:4] / lost).unlink()
    w = Writer(server, time_s=NEXT)
    assert w.call("GET", "/previous?archive-name=root.pxar.didx").status == 200
    wid = w.create("root.pxar.didx")
    assert w.append(wid, [lost], [0]).text == f"no such chunk {lost}"
    w.close()
    server.wait_event("abort")
    assert Writer(server, time_s=NEXT).call("GET", "/previous_backup_time").data is None


def test_a_chunk_stays_known_when_its_index_is_closed(server: Server) -> None:
    w = Writer(server)
    w.archive("a.didx", [b"kept"])
    wid = w.create("b.didx")
    assert w.append(wid, [digest(b"kept")], [0]).data is None
    assert w.close_index(wid, 1, 4, index_csum([(4, digest(b"kept"))])).data is None


def test_parameters_come_in_the_query_or_as_json(server: Server) -> None:
    w = Writer(server)
    one = w.call("POST", "/dynamic_index?archive-name=a.didx").data
    two = w.json("POST", "/dynamic_index", {"archive-name": "b.didx"}).data
    assert (one, two) == (1, 2)
    w.chunk(one, b"data")
    name, csum = digest(b"data"), index_csum([(4, digest(b"data"))])
    assert w.call("PUT", f"/dynamic_index?digest-list={name}&offset-list=0&wid={one}").data is None
    assert w.json("PUT", "/dynamic_index", {"digest-list": [name], "offset-list": [0], "wid": two}).data is None
    assert w.call("POST", f"/dynamic_close?chunk-count=1&csum={csum}&size=4&wid={one}").data is None
    assert w.json("POST", "/dynamic_close", {"chunk-count": 1, "csum": csum, "size": 4, "wid": two}).data is None
    # uploads: the body is data, so a JSON body is not looked at
    reply = w.json("POST", "/blob", {"file-name": "a.blob", "encoded-size": 12})
    assert reply.status == 400 and "parameter is missing" in reply.text


def test_the_previous_manifest_comes_as_it_is_stored(server: Server) -> None:
    backup(server)
    w = Writer(server, time_s=NEXT)
    raw = w.call("GET", "/previous?archive-name=index.json.blob").body
    assert raw == stored(server, "index.json.blob")
    for entry in json.loads(_plain(raw))["files"]:
        if entry["filename"].endswith(".didx"):
            index = w.call("GET", f"/previous?archive-name={entry['filename']}").body
            assert hashlib.sha256(index[4096:]).hexdigest() == entry["csum"]
            assert int.from_bytes(index[-40:-32], "little") == entry["size"]


def _plain(raw: bytes) -> bytes:
    from oracle import blob as blobs  # noqa: PLC0415 - support.py puts it on the path
    return blobs.decode(raw)


def test_one_append_may_name_many_chunks_and_one_of_them_twice(server: Server) -> None:
    parts = [b"%05d" % i for i in range(164)]
    w = Writer(server)
    w.manifest([w.archive("x.ppxar.didx", parts)])
    assert w.finish().data is None
    w = Writer(server, time_s=NEXT)
    assert w.call("GET", "/previous?archive-name=x.ppxar.didx").status == 200
    names = [digest(p) for p in parts]
    names[100] = names[7]
    wid = w.create("x.ppxar.didx")
    assert w.append(wid, names, [5 * i for i in range(164)]).data is None
    csum = index_csum([(5 * i + 5, n) for i, n in enumerate(names)])
    assert w.close_index(wid, 164, 820, csum).data is None
    r = Reader(server)  # the base stays readable while the session holds it
    assert r.download("x.ppxar.didx").status == 200 and r.chunk(names[0]).status == 200


# ---- states, as the tables of the sheet say ----

def table_of(sheet: str, head: str) -> list[list[str]]:
    """Rows of the table with this head, cell by cell."""
    text = (Path(__file__).parents[2] / "spec" / sheet).read_text(encoding="utf-8")
    lines = text[text.index(head):].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def session_in(server: Server, state: str) -> Writer:
    """A writer session in a state, with a base snapshot, an open dynamic index 1 and a known chunk."""
    w = Writer(server, time_s=NEXT)
    wid = w.create("open.didx")
    assert w.chunk(wid, b"known").status == 200
    if state == "active":
        return w
    assert w.append(wid, [digest(b"known")], [0]).data is None
    assert w.close_index(wid, 1, 5, index_csum([(5, digest(b"known"))])).data is None
    if state == "finished":
        w.manifest([])
        assert w.finish().data is None
    else:
        assert w.finish().text.startswith("unable to update manifest blob")
    return w


CALLS = {
    "`previous_backup_time`, `speedtest`": lambda w: [w.call("GET", "/previous_backup_time"), w.call("POST", "/speedtest", b"x")],
    "`previous` of a blob": lambda w: [w.call("GET", "/previous?archive-name=index.json.blob")],
    "`previous` of an index": lambda w: [w.call("GET", "/previous?archive-name=root.pxar.didx")],
    "`dynamic_index`, `fixed_index` POST": lambda w: [w.call("POST", "/dynamic_index?archive-name=n.didx"),
                                                      w.call("POST", "/fixed_index?archive-name=n.fidx&size=1")],
    "`*_index` PUT, lists not empty": lambda w: [w.append(1, [digest(b"known")], [0])],
    "`*_index` PUT, empty lists": lambda w: [w.append(1, [], []), w.append(77, [], [])],
    "`*_chunk`": lambda w: [w.chunk(1, b"another")],
    "`*_close`": lambda w: [w.append(1, [digest(b"known")], [0]), w.close_index(1, 1, 5, index_csum([(5, digest(b"known"))]))],
    "`blob`": lambda w: [w.blob("a.blob", blob(b"x"))],
    "`finish`": lambda w: [w.finish()],
}
TEXTS = {"finishing": "backup is already in the process of finishing.", "finished": "backup already marked as finished."}


def test_the_table_of_calls_and_states_is_complete() -> None:
    assert [row[0] for row in table_of("backup-protocol.md", "| call | active |")] == list(CALLS)


@pytest.mark.parametrize("state", ["active", "finishing", "finished"])
@pytest.mark.parametrize("call", CALLS)
def test_calls_are_served_or_refused_as_the_table_says(server: Server, call: str, state: str) -> None:
    row = next(r for r in table_of("backup-protocol.md", "| call | active |") if r[0] == call)
    said = row[1 + ["active", "finishing", "finished"].index(state)]
    said = row[1] if said.startswith("same") else said
    backup(server)
    w = session_in(server, state)
    if call == "`finish`" and state == "active":
        w.append(1, [digest(b"known")], [0])
        w.close_index(1, 1, 5, index_csum([(5, digest(b"known"))]))
        w.manifest([])
    replies = CALLS[call](w)
    if said.startswith("served"):
        assert [r.status for r in replies] == [200] * len(replies)
    else:
        assert "refused" in said and [(r.status, r.text) for r in replies] == [(400, TEXTS[state])] * len(replies)
    if call == "`*_chunk`":
        name = digest(b"another")
        assert (server.store / ".chunks" / name[:4] / name).exists()


def test_a_refused_checksum_spoils_the_writer_a_refused_count_does_not(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.didx")
    w.chunk(wid, b"data")
    w.append(wid, [digest(b"data")], [0])
    good = index_csum([(4, digest(b"data"))])
    for count, size in ((2, 4), (1, 5)):
        assert w.close_index(wid, count, size, good).status == 400
    assert w.append(wid, [digest(b"data")], [4]).data is None  # still open
    assert w.close_index(wid, 2, 8, good).text.endswith("got unexpected checksum")
    for reply in (w.append(wid, [digest(b"data")], [8]), w.close_index(wid, 2, 8, good)):
        assert reply.text.endswith("already closed")
    assert w.finish().text == "found open index writer - unable to finish backup"


# ---- uploads ----

@pytest.mark.parametrize(("change", "text"), [
    ({"size": 0}, "'size': value must have a minimum value of 1 (got 0)"),
    ({"size": 16777217}, "'size': value must have a maximum value of 16777216 (got 16777217)"),
    ({"encoded-size": 12}, "'encoded-size': value must have a minimum value of 13 (got 12)"),
    ({"encoded-size": 16777261}, "'encoded-size': value must have a maximum value of 16777260 (got 16777261)"),
    ({"digest": digest(b"x").upper()}, "'digest': value does not match the regex pattern"),
])
def test_announced_sizes_and_digests_of_chunks_are_bounded(server: Server, change: dict[str, Any], text: str) -> None:
    w = Writer(server)
    query = {"digest": digest(b"x"), "encoded-size": 13, "size": 1, "wid": w.create("a.didx")} | change
    reply = w.call("POST", "/dynamic_chunk?" + urlencode(query), blob(b"x"), content_type="application/octet-stream")
    assert (reply.status, reply.text) == (400, f"parameter verification failed - {text}")


def test_blobs_are_bounded_and_stored_as_they_came(server: Server) -> None:
    w = Writer(server)
    assert "must have a minimum value of 12" in w.call("POST", zeros("a.blob", 11), b"").text
    assert "must have a maximum value of 16777260" in w.call("POST", zeros("a.blob", 16777261), b"").text
    assert w.blob("a.txt", blob(b"x")).text == "wrong blob file extension: 'a.txt'"
    assert w.blob("a.blob", blob(b"x"), 14).text == "got blob with unexpected length (14 != 13)"
    raw = blob(b"text")
    assert w.blob("zero-crc.blob", raw[:8] + bytes(4) + raw[12:]).text == "Data blob has wrong CRC checksum."
    assert w.blob("a.blob", raw).data is None
    w.manifest([])
    assert w.finish().data is None
    assert stored(server, "a.blob") == raw


def test_a_log_is_taken_once_checked_and_not_listed_in_the_manifest(server: Server) -> None:
    backup(server)
    http = Http1(server)
    path = f"/api2/json/admin/datastore/{STORE}/upload-backup-log?backup-id=h1&backup-time=1700000000&backup-type=host"
    headers = {**server.token_header, "content-type": "application/octet-stream"}
    raw = blob(b"what happened\n")
    reply = http.call("POST", path, headers, raw[:8] + bytes(4) + raw[12:])
    assert (reply.status, reply.text) == (400, "Data blob has wrong CRC checksum.")
    assert http.call("POST", path, headers, raw).status == 200
    assert http.call("POST", path, headers, raw).text == "backup already contains a log."
    assert stored(server, "client.log.blob") == raw
    listed = json.loads(_plain(stored(server, "index.json.blob")))["files"]
    assert "client.log.blob" not in [f["filename"] for f in listed]
    assert Reader(server).download("client.log.blob").body == raw


# ---- reader sessions ----

def test_a_reader_session_begins_with_the_same_settings(server: Server) -> None:
    backup(server)
    http = Http1(server)
    reply = http.upgrade(f"//api2/json/reader?{upgrade_query()}", READER, server.token_header)
    assert reply.status == 101 and reply.headers["upgrade"] == READER
    got = b""
    sock: socket.socket | ssl.SSLSocket = http.sock
    while len(got) < len(SETTINGS):
        got += sock.recv(len(SETTINGS) - len(got))
    assert got == SETTINGS


def test_downloading_an_index_permits_its_chunks_even_if_nobody_reads_it(server: Server) -> None:
    chunks = backup(server)
    r = Reader(server)
    r.start("GET", "/download?file-name=root.pxar.didx")  # its answer is left alone
    reply = r.chunk(digest(chunks[0]))
    assert (reply.status, reply.body) == (200, blob(chunks[0]))


def test_what_a_client_stored_without_a_checksum_is_sound(server: Server) -> None:
    """The server puts the CRC right; index, manifest and chunks fit together."""
    w = Writer(server)
    wid, plain = w.create("a.didx"), b"content" * 100
    raw = blob(plain)
    assert w.chunk(wid, plain, raw=raw[:8] + bytes(4) + raw[12:]).status == 200
    assert w.append(wid, [digest(plain)], [0]).data is None
    csum = index_csum([(len(plain), digest(plain))])
    assert w.close_index(wid, 1, len(plain), csum).data is None
    w.manifest([{"crypt-mode": "none", "csum": csum, "filename": "a.didx", "size": len(plain)}])
    assert w.finish().data is None
    assert verify(str(server.store), None, None).problems == []
    r = Reader(server)
    assert r.download("a.didx").headers["content-type"] == "application/octet-stream"
    assert r.chunk(digest(plain)).body == raw


# ---- layout ----

def test_paths_of_the_zero_chunk_and_of_a_snapshot_in_a_namespace(server: Server) -> None:
    http = Http1(server)
    for body in ({"name": "a", "parent": ""}, {"name": "b", "parent": "a"}):
        reply = http.call("POST", f"/api2/json/admin/datastore/{STORE}/namespace",
                          {**server.token_header, "content-type": "application/json"}, json.dumps(body).encode())
        assert reply.status == 200
    w = Writer(server, "web-1", ns="a/b")
    files = [w.archive(f"root.{half}.didx", [bytes(4 << 20)]) for half in ("ppxar", "mpxar")]
    w.manifest(files)
    assert w.finish().data is None
    folder = server.store / "ns/a/ns/b/host/web-1"
    assert (folder / "owner").read_text() == "root@pam!t1\n"
    assert {p.name for p in (folder / "2023-11-14T22:13:20Z").iterdir()} == {
        "root.mpxar.didx", "root.ppxar.didx", "index.json.blob"}
    zero = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8"
    assert [p.name for p in Path(server.store / ".chunks" / "bb9f").iterdir()] == [zero]
    assert zero == zero.lower() and [e["digest"] for e in server.events("chunk")] == [zero, zero]
