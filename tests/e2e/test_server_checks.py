# SPDX-License-Identifier: MIT
# covers: BKP-014 BKP-015 BKP-016 BKP-030 BKP-031 BKP-033 BKP-034 BKP-035 BKP-036 BKP-037 BKP-038 BKP-039 BKP-040 BKP-042 BKP-141 BKP-166 MAN-070
# covers: BKP-060 BKP-061 BKP-062 BKP-063 BKP-064 BKP-065 BKP-066 BKP-068 BKP-073 BKP-074 BKP-080 BKP-085 BKP-090 BKP-091
# covers: BKP-092 BKP-093 BKP-094 BKP-097 BKP-100 BKP-101 BKP-103 BKP-104 BKP-110 BKP-111 BKP-112 BKP-113 BKP-114 BKP-115
# covers: BKP-116 BKP-117 BKP-118 BKP-119 BKP-120 BKP-125 BKP-130 BKP-131 BKP-132 BKP-133 BKP-135 BKP-136 BKP-137 BKP-140
# covers: BKP-142 BKP-144 BKP-145 BKP-146 BKP-147 BKP-149 BKP-150 BKP-151 BKP-153 BKP-155 BKP-156 BKP-157 BKP-158 BKP-159
# covers: BKP-160 BKP-161 BKP-162 BKP-163 BKP-164 BKP-165 BKP-170 BKP-171 BKP-172 BKP-173 BKP-175 BKP-180 BKP-181 BKP-187
# covers: BKP-190 BKP-304 RDR-002 RDR-004 RDR-005 RDR-020 RDR-021 RDR-023 RDR-030 RDR-031 RDR-033 RDR-034 RDR-045 RDR-103
"""Every check of the backup and reader protocols with its exact text, in the order of the specification."""
from __future__ import annotations

import hashlib
import json
import struct
import zlib
from typing import Any

import pytest
from wire_client import (BACKUP, PLAIN_MAGIC, READER, STORE, Http1, Reader, Refused, Server, Writer, backup, blob, digest,
                         index_csum, make_server, server, upgrade_query)

__all__ = ["make_server", "server"]
A, B = digest(b"hello world"), digest(b"other")
JSON_TYPE = "application/json;charset=UTF-8"
MIB4 = 4 << 20
ZERO = digest(bytes(MIB4))


def param(name: str, reason: str) -> str:
    return f"parameter verification failed - '{name}': {reason}"


# ---- before the upgrade ----

SAFE = "value does not match the regex pattern"
MISSING = "parameter is missing and it is not optional."


@pytest.mark.parametrize(("query", "text"), [
    ({"backup-id": None}, param("backup-id", MISSING)),
    ({"backup-id": None, "store": None},
     f"parameter verification failed:\n- 'backup-id': {MISSING}\n- 'store': {MISSING}"),
    ({"backup-id": ".x"}, param("backup-id", SAFE)),
    ({"backup-id": ""}, param("backup-id", SAFE)),
    ({"backup-time": "0"}, param("backup-time", "value must have a minimum value of 1 (got 0)")),
    ({"backup-time": "-5"}, param("backup-time", "value must have a minimum value of 1 (got -5)")),
    ({"backup-time": "x"}, param("backup-time", "invalid digit found in string")),
    ({"backup-time": ""}, param("backup-time", "cannot parse integer from empty string")),
    ({"backup-time": "9" * 30}, param("backup-time", "number too large to fit in target type")),
    ({"backup-type": "Host"}, param("backup-type", "value 'Host' is not defined in the enumeration.")),
    ({"store": "ab"}, param("store", "value must be at least 3 characters long")),
    ({"store": "a" * 33}, param("store", "value may only be 32 characters long")),
    ({"store": "a/b"}, param("store", SAFE)),
    ({"debug": "maybe"}, param("debug", "Unable to parse boolean option.")),
    ({"extra": "1"}, param("extra", "schema does not allow additional properties.")),
    ({"ns": "a//b"}, param("ns", SAFE)),
    ({"ns": "a/b/c/d/e/f/g/h/i"}, param("ns", SAFE)),
    ({"ns": "a/b/c/d/e/f/g/h"}, "namespace too deep, 7 >= max 7"),
    ({"ns": "a" * 257}, param("ns", "value may only be 256 characters long")),
    ({"store": "other"}, "no such datastore 'other'"),
])
@pytest.mark.parametrize("protocol", ["backup", "reader"])
def test_upgrade_parameters(server: Server, query: dict[str, str | None], text: str, protocol: str) -> None:
    params = dict(p.split("=") for p in upgrade_query().split("&")) | query
    path = f"//api2/json/{protocol}?" + "&".join(f"{k}={v}" for k, v in params.items() if v is not None)
    reply = Http1(server).upgrade(path, BACKUP if protocol == "backup" else READER)
    assert (reply.status, reply.text) == (400, text)
    assert reply.headers.get("content-type") == JSON_TYPE


def test_upgrade_parameters_that_only_the_writer_has(server: Server) -> None:
    http = Http1(server)
    for name in ("benchmark", "no-cache"):
        reply = http.upgrade(f"//api2/json/reader?{upgrade_query()}&{name}=false", READER)
        assert reply.text == param(name, "schema does not allow additional properties.")
    reply = http.upgrade(f"//api2/json/backup?{upgrade_query()}&store=store1", BACKUP)
    assert reply.text == param("store", "duplicate parameter.")


@pytest.mark.parametrize("word", ["1", "on", "YES", "true", "True", "0", "off", "no", "FALSE"])
def test_booleans_in_all_spellings(server: Server, word: str) -> None:
    assert Writer(server, debug=word).call("GET", "/previous_backup_time").status == 200


def test_upgrade_is_refused_in_the_stated_order(server: Server) -> None:
    http = Http1(server)
    path = f"//api2/json/backup?{upgrade_query()}"
    bad = f"//api2/json/backup?{upgrade_query(store='x')}"
    assert http.call("GET", bad).text == "authentication failed"
    assert http.call("GET", bad, server.token_header).text.startswith("parameter verification")
    none = f"//api2/json/backup?{upgrade_query(store='none')}"
    assert http.call("GET", none, server.token_header).text == "no such datastore 'none'"
    assert http.call("GET", path, server.token_header).text == "missing Upgrade header"
    for word in (READER, BACKUP.upper(), f"{BACKUP}, x"):
        assert http.upgrade(path, word).text == "invalid protocol name"
    reply = http.upgrade(f"{path}&ns=a", BACKUP)
    assert (reply.status, reply.text) == (404, "namespace not found")
    assert http.upgrade(f"{path}&benchmark=true", BACKUP).text == "benchmark flags is only allowed on 'host/benchmark'"
    text = "unable to run benchmark without --benchmark flags"
    assert http.upgrade(f"//api2/json/backup?{upgrade_query('benchmark')}", BACKUP).text == text
    for method in ("POST", "PUT", "DELETE"):
        reply = http.call(method, path, {**server.token_header, "upgrade": BACKUP})
        assert (reply.status, reply.text) == (404, "Path '/api2/json/backup' not found.")
    assert not (server.store / "host").exists() or not list((server.store / "host").iterdir())


def test_time_must_be_newer_than_the_last_finished_snapshot(server: Server) -> None:
    backup(server, time_s=1700000100)
    for time_s in (1700000100, 1700000099):
        with pytest.raises(Refused, match="400 backup timestamp is older than last backup."):
            Writer(server, time_s=time_s)
    (server.store / "host" / "h1" / "2023-11-14T22:18:20Z").mkdir()  # unfinished leftover
    with pytest.raises(Refused, match="400 backup directory already exists."):
        Writer(server, time_s=1700000300)
    assert Writer(server, time_s=1700000200).call("GET", "/previous_backup_time").data == 1700000100


def test_owner_decides_who_may_write(server: Server) -> None:
    backup(server)  # by the token
    user = {"content-type": "application/json"}
    http = Http1(server)
    data = http.call("POST", "//api2/json/access/ticket", user, b'{"password":"secret","username":"root@pam"}').data
    ticket = {"cookie": f"PBSAuthCookie={data['ticket']}"}
    Writer(server, time_s=1700000100, headers=ticket).close()  # the token's user may
    backup_by_user = Writer(server, "h2", headers=ticket)
    backup_by_user.manifest([backup_by_user.archive("a.pxar.didx", [b"x"])])
    assert backup_by_user.finish().data is None
    with pytest.raises(Refused, match=r"400 backup owner check failed \(root@pam!t1 != root@pam\)"):
        Writer(server, "h2", 1700000100)


def test_failed_verification_leaves_no_base(server: Server) -> None:
    w = Writer(server, time_s=1700000100)
    w.manifest([w.archive("a.pxar.didx", [b"x"])], verify_state={"state": "failed", "upid": "UPID:x"})
    assert w.finish().data is None
    w = Writer(server, time_s=1700000050)  # even an older one is fine
    assert w.call("GET", "/previous_backup_time").data is None
    assert w.call("GET", "/previous?archive-name=index.json.blob").text == "no valid previous backup"


def test_reader_upgrade_checks(server: Server) -> None:
    with pytest.raises(Refused, match="400 snapshot host/h1/2023-11-14T22:13:20Z does not exist."):
        Reader(server)
    with pytest.raises(Refused, match="does not exist"):
        Reader(server, ns="nowhere")
    http = Http1(server)
    assert http.call("GET", f"//api2/json/reader?{upgrade_query()}", server.token_header).text == "missing Upgrade header"
    assert http.upgrade(f"//api2/json/reader?{upgrade_query()}", BACKUP).text == "invalid protocol name"
    assert http.call("GET", f"//api2/json/reader?{upgrade_query()}").status == 401


# ---- requests on the upgraded connection ----

def expect(reply: Any, text: str, status: int = 400, content_type: str | None = JSON_TYPE) -> None:
    assert (reply.status, reply.text) == (status, text)
    assert reply.headers.get("content-type") == content_type


def test_paths_and_methods(server: Server) -> None:
    w = Writer(server)
    expect(w.call("GET", "/nothing"), "Path '/nothing' not found.", 404)
    expect(w.call("GET", "/finish"), "Path '/finish' not found.", 404)
    expect(w.call("PATCH", "/finish"), "Path '/finish' not found.", 404)
    expect(w.call("POST", "/finish/x"), "Path '/finish/x' not found.", 404)
    expect(w.call("GET", "/.hidden"), "path contains illegal components", 400, None)
    assert w.call("GET", "//previous_backup_time/").data is None
    names = [e["subdir"] for e in w.call("GET", "/").data]
    assert names == sorted(names) and len(names) == 11 and "dynamic_chunk" in names


def test_content_types(server: Server) -> None:
    w = Writer(server)
    for given in (None, "application/x-www-form-urlencoded; charset=x", "application/json;x"):
        assert w.call("GET", "/previous_backup_time", content_type=given).data is None
    expect(w.call("POST", "/finish", content_type="text/plain"), 'unsupported content type Ok("text/plain")', 400, None)
    assert w.call("POST", "/dynamic_index?archive-name=ignored", b'{"archive-name":"a.didx"}',
                  content_type="application/json").data == 1
    assert w.call("POST", "/dynamic_index", b"archive-name=b.didx").data == 2
    expect(w.call("POST", "/dynamic_index?archive-name=a.didx", b"", content_type="application/json"),
           param("archive-name", "property is missing and it is not optional"), 400, None)
    assert w.call("POST", "/speedtest?_dc=12345", b"x" * 100, content_type="any/thing").data is None


@pytest.mark.parametrize(("body", "text"), [
    ({"wid": "1", "digest-list": [], "offset-list": []}, param("wid", "Expected integer value.")),
    ({"wid": 1.5, "digest-list": [], "offset-list": []}, param("wid", "Expected integer value.")),
    ({"wid": 0, "digest-list": [], "offset-list": []}, param("wid", "value must have a minimum value of 1 (got 0)")),
    ({"wid": 257, "digest-list": [], "offset-list": []}, param("wid", "value must have a maximum value of 256 (got 257)")),
    ({"wid": 1, "digest-list": A, "offset-list": []}, param("digest-list", "Expected array - got scalar value.")),
    ({"wid": 1, "digest-list": {}, "offset-list": []}, param("digest-list", "Expected array - got object.")),
    ({"wid": 1, "digest-list": [A, A, A, "x"], "offset-list": [0] * 4}, param("digest-list/[3]", SAFE)),
    ({"wid": 1, "digest-list": [A, A.upper()], "offset-list": [0] * 2}, param("digest-list/[1]", SAFE)),
    ({"wid": 1, "digest-list": [1], "offset-list": [0]}, param("digest-list/[0]", "Expected string value.")),
    ({"wid": 1, "digest-list": [A], "offset-list": ["0"]}, param("offset-list/[0]", "Expected integer value.")),
    ({"wid": 1, "digest-list": [A], "offset-list": [-1]},
     param("offset-list/[0]", "value must have a minimum value of 0 (got -1)")),
    ({"wid": 1, "digest-list": [], "offset-list": [], "x": 1}, param("x", "schema does not allow additional properties")),
    ({"wid": 1, "digest-list": []}, param("offset-list", "property is missing and it is not optional")),
    ([], "Expected object - got array."),
    (b'{"wid":', "EOF while parsing a value at line 1 column 7"),
    (b"\xff\xfe", "Request body not uft8: invalid utf-8 sequence of 1 bytes from index 0"),
    ({"wid": 1, "digest-list": [A], "offset-list": []}, "offset list has wrong length (0 != 1)"),
    ({"wid": 1, "digest-list": [A], "offset-list": [0]}, f"no such chunk {A}"),
])
def test_append_bodies(server: Server, body: Any, text: str) -> None:
    w = Writer(server)
    w.create("a.didx")
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = w.call("PUT", "/dynamic_index", raw, content_type="application/json")
    assert (reply.status, reply.text) == (400, text)
    assert (reply.headers.get("content-type") is None) == (not text.startswith(("no such", "offset list")))


def test_body_limit_of_plain_calls(server: Server) -> None:
    w = Writer(server)
    head = b'{"digest-list":[],"offset-list":[],"wid":1'
    fits = head + b" " * (524287 - len(head) - 1) + b"}"
    assert w.call("PUT", "/dynamic_index", fits, content_type="application/json").data is None
    reply = w.call("PUT", "/dynamic_index", fits + b" ", content_type="application/json")
    expect(reply, "Request body too large", 400, None)
    assert w.call("GET", "/previous_backup_time").status == 200


def test_lists_come_in_queries_too(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.didx")
    w.chunk(wid, b"hello world")
    path = f"/dynamic_index?digest-list={A}&digest-list={A}&offset-list=0&offset-list=11&wid={wid}"
    assert w.call("PUT", path).data is None


# ---- previous ----

def test_previous(server: Server) -> None:
    w = Writer(server)
    expect(w.call("GET", "/previous?archive-name=a.didx"), "no valid previous backup")
    expect(w.call("GET", "/previous?archive-name=a.txt"), "no valid previous backup")
    expect(w.call("GET", "/previous"), param("archive-name", MISSING), 400, None)
    w.close()
    server.wait_event("abort")
    backup(server)
    w = Writer(server, time_s=1700000100)
    expect(w.call("GET", "/previous?archive-name=a.txt"), 'unknown archive type: "a.txt"')
    reply = w.call("GET", "/previous?archive-name=no.didx")
    assert reply.status == 400 and reply.text.startswith("Unable to open dynamic index ")
    reply = w.call("GET", "/previous?archive-name=no.fidx")
    assert reply.status == 400 and reply.text.startswith("Unable to open fixed index ")
    reply = w.call("GET", "/previous?archive-name=no.blob")
    assert reply.status == 404 and reply.text.startswith('open file "') and reply.text.endswith('" failed - not found')
    w.manifest([w.archive("b.didx", [b"x"])])
    assert w.finish().data is None
    done = "backup already marked as finished."
    expect(w.call("GET", "/previous?archive-name=root.pxar.didx"), done)
    assert w.call("GET", "/previous?archive-name=index.json.blob").status == 200
    assert w.call("GET", "/previous_backup_time").data == 1700000000
    expect(w.call("POST", "/dynamic_index?archive-name=c.didx"), done)
    expect(w.call("POST", "/fixed_index?archive-name=c.fidx&size=1"), done)
    expect(w.finish(), done)
    expect(w.append(1, [digest(b"x")], [0]), done)
    assert w.append(77, [], []).data is None
    expect(w.chunk(1, b"new"), done)
    assert w.blob("late.blob", blob(b"x")).data is None
    assert w.call("POST", "/speedtest", b"x").data is None


# ---- chunks ----

def chunk_call(w: Writer, query: dict[str, Any], body: bytes, kind: str = "dynamic") -> Any:
    path = f"/{kind}_chunk?" + "&".join(f"{k}={v}" for k, v in query.items() if v is not None)
    return w.call("POST", path, body, content_type="application/octet-stream")


@pytest.mark.parametrize(("change", "text"), [
    ({"wid": None}, param("wid", MISSING)),
    ({"digest": "ab"}, param("digest", SAFE)),
    ({"digest": A.upper()}, param("digest", SAFE)),
    ({"size": 0}, param("size", "value must have a minimum value of 1 (got 0)")),
    ({"size": 16777217}, param("size", "value must have a maximum value of 16777216 (got 16777217)")),
    ({"encoded-size": 12}, param("encoded-size", "value must have a minimum value of 13 (got 12)")),
    ({"encoded-size": 16777261}, param("encoded-size", "value must have a maximum value of 16777260 (got 16777261)")),
])
def test_chunk_parameters(server: Server, change: dict[str, Any], text: str) -> None:
    w = Writer(server)
    query = {"wid": 1, "digest": A, "size": 11, "encoded-size": 23} | change
    for kind in ("dynamic", "fixed"):
        expect(chunk_call(w, query, blob(b"hello world"), kind), text, 400, None)


def zstd_blob(payload: bytes) -> bytes:
    return bytes([49, 185, 88, 66, 111, 182, 163, 127]) + struct.pack("<I", zlib.crc32(payload)) + payload


def test_chunk_contents(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.didx")
    raw = blob(b"hello world")
    query = {"wid": wid, "digest": A, "size": 11, "encoded-size": 23}
    expect(chunk_call(w, query | {"encoded-size": 24}, raw), "uploaded chunk has unexpected size.")
    expect(chunk_call(w, query | {"encoded-size": 22}, raw), "uploaded chunk is larger than announced.")
    expect(chunk_call(w, query, b"X" + raw[1:]), "unable to parse raw blob - wrong magic")
    expect(chunk_call(w, query | {"encoded-size": 20}, bytes([123, 103, 133, 190, 34, 45, 76, 240]) + bytes(12)),
           "encrypted blob too small (20 bytes).")
    expect(chunk_call(w, query | {"digest": B}, raw), "detected chunk with wrong digest.")
    expect(chunk_call(w, query | {"size": 12}, raw), "detected chunk with wrong length (12 != 11)")
    assert chunk_call(w, query | {"encoded-size": 17}, zstd_blob(b"nozst")).text == "Unknown frame descriptor"
    expect(w.append(wid, [A], [0]), f"no such chunk {A}")
    assert chunk_call(w, query, PLAIN_MAGIC + b"\0\0\0\0" + raw[12:]).data == A  # CRC is not looked at...
    w.append(wid, [A], [0])
    w.close_index(wid, 1, 11, index_csum([(11, A)]))
    w.manifest([])
    assert w.finish().data is None
    r = Reader(server)
    r.download("a.didx")
    assert r.chunk(A).body == raw  # ... but put right


def test_chunk_is_stored_before_the_writer_is_looked_at(server: Server) -> None:
    w = Writer(server)
    expect(w.chunk(7, b"hello world"), "dynamic writer '7' not registered")
    expect(w.chunk(7, b"hello world", "fixed"), "fixed writer '7' not registered")
    wid = w.create("a.didx")
    fixed = w.create("a.fidx", 100)
    expect(w.chunk(wid, b"x", "fixed"), f"fixed writer '{wid}' not registered")
    expect(w.chunk(fixed, b"x"), f"dynamic writer '{fixed}' not registered")
    expect(w.append(wid, [A], [0]), f"no such chunk {A}")
    assert (server.store / ".chunks" / A[:4] / A).exists()
    assert w.chunk(wid, b"hello world").data == A
    assert [e["state"] for e in server.events("chunk")] == ["known"]


def test_known_size_is_the_one_uploaded_last(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.didx")
    trusted = bytes([123, 103, 133, 190, 34, 45, 76, 240]) + bytes(60)
    for size in (100, 200):
        assert w.chunk(wid, b"", raw=trusted, name=B, size=size).data == B
    assert w.append(wid, [B], [0]).data is None
    expect(w.append(wid, [B], [100]), "dynamic writer 'a.didx' append chunk failed - got strange chunk offset (200 != 100)")


# ---- dynamic indexes ----

def test_dynamic_create(server: Server) -> None:
    w = Writer(server)
    expect(w.call("POST", "/dynamic_index?archive-name=a.fidx"), "wrong archive extension: 'a.fidx'")
    expect(w.call("POST", "/dynamic_index?archive-name=a/b.didx"), param("archive-name", SAFE), 400, None)
    assert [w.create(f"n{i}.didx") for i in range(3)] == [1, 2, 3]
    assert w.create("n0.fidx", 10) == 4  # one counter for both kinds


def test_dynamic_append(server: Server) -> None:
    w = Writer(server)
    wid = w.create("root.pxar.didx")
    for plain in (b"hello world", b"other"):
        w.chunk(wid, plain)
    expect(w.append(9, [A], [0]), "dynamic writer '9' not registered")
    assert w.append(9, [], []).data is None
    strange = "dynamic writer 'root.pxar.didx' append chunk failed - got strange chunk offset ({} != {})"
    expect(w.append(wid, [A], [5]), strange.format(0, 5))
    expect(w.append(wid, [A, B], [0, 12]), strange.format(11, 12))  # the first one stays
    expect(w.append(wid, [A], [0]), strange.format(11, 0))
    assert w.append(wid, [B, A, A], [11, 16, 27]).data is None
    csum = index_csum([(11, A), (16, B), (27, A), (38, A)])
    assert w.close_index(wid, 4, 38, csum).data is None
    expect(w.append(wid, [A], [38]), f"dynamic writer '{wid}' not registered")


def test_dynamic_close(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.didx")
    w.chunk(wid, b"hello world")
    w.append(wid, [A], [0])
    good = index_csum([(11, A)])
    fail = "dynamic writer 'a.didx' close failed - "
    expect(w.close_index(wid, 0, 11, good), param("chunk-count", "value must have a minimum value of 1 (got 0)"), 400, None)
    expect(w.close_index(wid, 1, 0, good), param("size", "value must have a minimum value of 1 (got 0)"), 400, None)
    assert w.close_index(99, 1, 11, "ab").status == 400  # the checksum's form is looked at first
    assert w.close_index(99, 1, 11, "ab").text == "Invalid string length"
    assert w.close_index(99, 1, 11, "a").text == "Odd number of digits"
    expect(w.close_index(99, 1, 11, good), "dynamic writer '99' not registered")
    expect(w.close_index(wid, 2, 12, good), fail + "unexpected chunk count (1 != 2)")
    expect(w.close_index(wid, 1, 12, good), fail + "unexpected file size (11 != 12)")
    assert w.append(wid, [A], [11]).data is None  # still open
    assert w.close_index(wid, 2, 22, index_csum([(11, A), (22, A)]).upper()).data is None
    wid = w.create("b.didx")
    w.append(wid, [A], [0])
    expect(w.close_index(wid, 1, 11, "00" * 32), "dynamic writer 'b.didx' close failed - got unexpected checksum")
    expect(w.close_index(wid, 1, 11, good), "dynamic writer 'b.didx' close failed - already closed")
    expect(w.append(wid, [A], [11]), "dynamic writer 'b.didx' append chunk failed - already closed")
    expect(w.chunk(wid, b"other"), "dynamic writer 'b.didx' register chunk failed - already closed")
    expect(w.finish(), "found open index writer - unable to finish backup")


def test_indexes_are_limited_by_the_schema_of_wid(server: Server) -> None:
    w = Writer(server)
    for i in range(257):
        assert w.create("a.didx") == i + 1
    expect(w.close_index(257, 1, 1, A), param("wid", "value must have a maximum value of 256 (got 257)"), 400, None)


# ---- fixed indexes ----

def fixed_csum(*digests: str) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(d) for d in digests)).hexdigest()


def test_fixed_image_of_the_specification(server: Server) -> None:
    w = Writer(server)
    wid = w.create("disk.img.fidx", MIB4 + 11)
    assert w.chunk(wid, bytes(MIB4), "fixed").data == ZERO
    assert w.chunk(wid, b"hello world", "fixed").data == A
    assert w.append(wid, [A, ZERO], [MIB4, 0], "fixed").data is None  # any order
    csum = "97b78b3b89518e9dd8a29b80e1ae99650dd0a6ddc2bd31900d31e424e9aa2f41"
    assert csum == fixed_csum(ZERO, A)
    assert w.close_index(wid, 2, MIB4 + 11, csum, "fixed").data is None


def test_fixed_append_and_close(server: Server) -> None:
    w = Writer(server)
    expect(w.call("POST", "/fixed_index?archive-name=a.didx&size=1"), "wrong archive extension: 'a.didx'")
    expect(w.call("POST", "/fixed_index?archive-name=a.fidx&size=0"),
           param("size", "value must have a minimum value of 1 (got 0)"), 400, None)
    wid = w.create("a.fidx", 2 * MIB4 + 11)
    w.chunk(wid, bytes(MIB4), "fixed")
    w.chunk(wid, b"hello world", "fixed")
    expect(w.chunk(wid, b"other", "fixed"), f"fixed writer '{wid}' - detected multiple end chunks (chunk size too small)")
    expect(w.chunk(wid, bytes(MIB4 + 1), "fixed"), f"fixed writer 'a.fidx' - got large chunk ({MIB4 + 1} > {MIB4}")
    expect(w.append(wid, [B], [0], "fixed"), f"no such chunk {B}")
    expect(w.append(8, [A], [0], "fixed"), "fixed writer '8' not registered")
    expect(w.append(wid, [A], [0], "fixed"), f"chunk with unexpected length (11 != {MIB4}")
    expect(w.append(wid, [ZERO], [100], "fixed"), "got unaligned chunk (pos = 100)")
    expect(w.append(wid, [ZERO], [2 * MIB4], "fixed"), f"refusing to resize from {2 * MIB4 + 11} to {3 * MIB4}")
    assert w.append(wid, [ZERO, ZERO, A], [0, MIB4, 2 * MIB4], "fixed").data is None
    assert w.append(wid, [ZERO], [0], "fixed").data is None  # again: counts
    fail = "fixed writer 'a.fidx' close failed - "
    size, csum = 2 * MIB4 + 11, fixed_csum(ZERO, ZERO, A)
    expect(w.close_index(wid, 3, size, csum, "fixed"), fail + "received wrong number of chunk (4 != 3)")
    expect(w.close_index(wid, 4, size, csum, "fixed"), fail + "unexpected chunk count (3 != 4)")


def test_fixed_size_and_checksum_at_close(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.fidx", 11)
    w.chunk(wid, b"hello world", "fixed")
    w.append(wid, [A], [0], "fixed")
    fail = "fixed writer 'a.fidx' close failed - "
    expect(w.close_index(wid, 1, 12, fixed_csum(A), "fixed"), fail + "unexpected file size (11 != 12)")
    expect(w.close_index(wid, 1, 11, fixed_csum(B), "fixed"), fail + "got unexpected checksum")
    expect(w.close_index(wid, 1, 11, fixed_csum(A), "fixed"), fail + "already closed")


def test_growing_fixed_index(server: Server) -> None:
    w = Writer(server)
    wid = w.create("a.fidx")
    w.chunk(wid, bytes(MIB4), "fixed")
    w.chunk(wid, b"hello world", "fixed")
    assert w.append(wid, [ZERO, ZERO, A], [0, MIB4, 2 * MIB4], "fixed").data is None
    end = 2 * MIB4 + 11
    expect(w.append(wid, [ZERO], [2 * MIB4], "fixed"), f"refusing to resize from {end} to {3 * MIB4}")
    assert w.close_index(wid, 3, end, fixed_csum(ZERO, ZERO, A), "fixed").data is None
    empty = w.create("b.fidx")
    expect(w.close_index(empty, 0, 0, fixed_csum(), "fixed"), "fidx file must have at least one chunk")
    expect(w.append(empty, [ZERO], [0], "fixed"), "cannot write to closed index file.")
    expect(w.close_index(empty, 0, 0, fixed_csum(), "fixed"), "cannot close already closed index file.")
    expect(w.finish(), "found open index writer - unable to finish backup")


def test_incremental_fixed_index(server: Server) -> None:
    def image(w: Writer, wid: int) -> None:
        w.chunk(wid, bytes(MIB4), "fixed")
        w.chunk(wid, b"hello world", "fixed")

    w = Writer(server)
    expect(w.call("POST", "/fixed_index?archive-name=d.fidx&size=5&reuse-csum=x"),
           "cannot reuse index - no valid previous backup exists")
    expect(w.call("POST", "/fixed_index?archive-name=d.fidx&reuse-csum=x"), "size is required for incremental backups")
    wid = w.create("d.fidx", MIB4 + 11)
    image(w, wid)
    w.append(wid, [ZERO, A], [0, MIB4], "fixed")
    old = fixed_csum(ZERO, A)
    w.close_index(wid, 2, MIB4 + 11, old, "fixed")
    w.manifest([])
    assert w.finish().data is None

    w = Writer(server, time_s=1700000100)
    base = "/fixed_index?archive-name=d.fidx&size="
    expect(w.call("POST", f"/fixed_index?archive-name=e.fidx&size=5&reuse-csum={old}"),
           "cannot reuse index - no previous backup exists for archive")
    expect(w.call("POST", f"{base}{MIB4 + 11}&reuse-csum={old.upper()}"),
           f"expected csum ({old.upper()}) doesn't match last backup's ({old}), cannot do incremental backup")
    reply = w.call("POST", f"{base}{MIB4}&reuse-csum={old}")
    assert reply.status == 400 and reply.text.startswith("cannot reuse index - index sizes not equal (")
    wid = w.call("POST", f"{base}{MIB4 + 11}&reuse-csum={old}").data
    expect(w.append(wid, [A], [MIB4], "fixed"), f"no such chunk {A}")  # nothing became known
    w.chunk(wid, b"HELLO WORLD", "fixed")
    new = digest(b"HELLO WORLD")
    assert w.append(wid, [new], [MIB4], "fixed").data is None
    assert w.close_index(wid, 1, 1, fixed_csum(ZERO, new), "fixed").data is None  # size is ignored


# ---- blobs and finish ----

def test_blobs(server: Server) -> None:
    w = Writer(server)
    raw = blob(b"text")
    expect(w.blob("a.txt", raw), "wrong blob file extension: 'a.txt'")
    expect(w.blob("a.blob", raw, len(raw) + 1), f"got blob with unexpected length ({len(raw) + 1} != {len(raw)})")
    expect(w.blob("a.blob", raw + b"more", len(raw)), f"got blob with unexpected length ({len(raw)} != {len(raw) + 4})")
    expect(w.blob("a.blob", b"X" + raw[1:]), "unable to parse raw blob - wrong magic")
    expect(w.blob("a.blob", raw[:8] + b"\0\0\0\0" + raw[12:]), "Data blob has wrong CRC checksum.")
    expect(w.call("POST", "/blob?encoded-size=11&file-name=a.blob", b"x"),
           param("encoded-size", "value must have a minimum value of 12 (got 11)"), 400, None)
    for _ in range(2):
        assert w.blob("a.blob", raw).data is None
    assert w.blob("empty.blob", blob(b"")).data is None


def test_finish(server: Server) -> None:
    w = Writer(server)
    expect(w.finish(), "backup does not contain valid files (file count == 0)")
    wid = w.create("a.didx")
    expect(w.finish(), "found open index writer - unable to finish backup")
    w.chunk(wid, b"hello world")
    w.append(wid, [A], [0])
    w.close_index(wid, 1, 11, index_csum([(11, A)]))
    reply = w.finish()
    assert reply.status == 400
    assert reply.text.startswith('unable to update manifest blob - unable to load blob \'"')
    assert reply.text.endswith("No such file or directory (os error 2)")
    busy = "backup is already in the process of finishing."
    expect(w.finish(), busy)
    expect(w.call("POST", "/dynamic_index?archive-name=b.didx"), busy)


def test_manifest_with_empty_checksum_is_refused(server: Server) -> None:
    w = Writer(server)
    w.manifest([{"crypt-mode": "none", "csum": "", "filename": "a.blob", "size": 1}])
    reply = w.finish()
    assert reply.status == 400 and "Invalid string length" in reply.text


# ---- reader ----

def test_reader_calls(server: Server) -> None:
    backup(server)
    backup(server, "h2", chunks=[b"hello world", b"only here"])
    r = Reader(server)
    expect(r.download("a.txt"), 'unknown archive type: "a.txt"')
    expect(r.call("GET", "/download"), param("file-name", MISSING), 400, None)
    expect(r.call("GET", "/chunk?digest=ab"), param("digest", SAFE), 400, None)
    reply = r.download("no.blob")
    assert reply.status == 404 and reply.text.startswith('open file "') and reply.text.endswith('" failed - not found')
    assert r.download("no.didx").text.startswith("Unable to open dynamic index ")
    assert r.download("no.fidx").text.startswith("Unable to open fixed index ")
    expect(r.chunk(A), f"download chunk {A} not allowed", 401)
    assert r.download("root.pxar.didx").status == 200
    assert r.chunk(A).body == blob(b"hello world")
    other = digest(b"only here")
    expect(r.chunk(other), f"download chunk {other} not allowed", 401)
    expect(r.call("POST", "/chunk"), "Path '/chunk' not found.", 404)
    (server.store / ".chunks" / A[:4] / A).unlink()
    reply = r.chunk(A)
    assert reply.status == 400 and reply.text.startswith('reading file "') and '" failed: ' in reply.text


def test_reader_may_fetch_files_that_the_manifest_does_not_name(server: Server) -> None:
    backup(server)
    log = blob(b"log text")
    path = f"/api2/json/admin/datastore/{STORE}/upload-backup-log?backup-id=h1&backup-time=1700000000&backup-type=host"
    assert Http1(server).call("POST", path, server.token_header | {"content-type": "application/octet-stream"}, log).data is None
    assert Reader(server).download("client.log.blob").body == log
