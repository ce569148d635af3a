# SPDX-License-Identifier: MIT
"""Operations of server cases on HTTP/2: frames past the library, bodies in pieces, streams that are reset."""
from __future__ import annotations

import json
import struct
import time
from typing import Any
from urllib.parse import urlencode

import h2.events

from conformance.checks import Mismatch
from conformance.raw_http import blob, digest
from conformance.wire import Session, answer, op
from conformance.wire_server import PATIENCE_S, add, filled, plain


@op("frames")
def frames(s: Session, hex: str = "", repeat: str = "1", size: str = "") -> None:
    """Bytes on the open connection, past the library; `size` bytes of zeros behind them."""
    s.stream().http.send((bytes.fromhex(hex) + bytes(int(size or 0))) * int(repeat))


@op("connection-ends")
def connection_ends(s: Session) -> None:
    """The server gives the connection up: GOAWAY, or it closes it."""
    conn = s.stream()
    conn.http.sock.settimeout(PATIENCE_S)
    try:
        while not conn.closed and conn.goaway is None:
            conn.pump()
    except TimeoutError:
        raise Mismatch(f"GOAWAY or the end of the connection within {PATIENCE_S:g} s", "the connection goes on") from None
    if conn.goaway == 0:
        raise Mismatch("GOAWAY with an error code, or the end of the connection", "GOAWAY NO_ERROR")
    s.hang_up()


@op("ping")
def ping(s: Session) -> None:
    """A PING has to be answered with the same bytes."""
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
    conn = s.stream()
    stream = conn.start("POST", f"/dynamic_chunk?{urlencode(query)}", "application/octet-stream", end=False)
    conn.send_body(stream, raw[:int(part)], end=end)
    if not end:
        conn.conn.reset_stream(stream, 8)
        conn.flush()


@op("piecewise")
def piecewise(s: Session, method: str, path: str, json_body: Any, status: str = "200") -> None:
    """A JSON body in DATA frames of one byte, the end in an empty frame of its own."""
    conn = s.stream()
    stream = conn.start(method, path, "application/json; charset=UTF-8", end=False)
    conn.send_body(stream, json.dumps(filled(s, json_body)).encode(), end=False, piece=1)
    conn.conn.send_data(stream, b"", end_stream=True)
    conn.flush()
    s.reply = answer(conn.wait(stream), status)


@op("many-uploads")
def many_uploads(s: Session, name: str, count: str, size: str) -> None:
    """That many chunks at a time, a piece of each in turn; all are then appended."""
    conn, sizes = s.stream(), int(size)
    chunks = [f"noise:{sizes + number}" for number in range(int(count))]
    raws = [blob(plain(c)) for c in chunks]
    streams = []
    for one, raw in zip(chunks, raws):
        query = {"digest": digest(plain(one)), "encoded-size": len(raw), "size": len(raw) - 12, "wid": s.wids[name]}
        streams.append(conn.start("POST", f"/dynamic_chunk?{urlencode(query)}", "application/octet-stream", end=False))
    piece = max(1, sizes // 3)
    for at in range(0, len(raws[-1]), piece):
        for raw, stream in zip(raws, streams):
            if raw[at:at + piece]:
                conn.send_body(stream, raw[at:at + piece], end=at + piece >= len(raw))
    for stream in streams:
        answer(conn.wait(stream), "200")
    add(s, name, chunks)


@op("too-many-streams")
def too_many_streams(s: Session) -> None:
    """One stream more than the server allows: it alone is refused, with REFUSED_STREAM."""
    conn = s.stream()
    while 3 not in conn.settings and conn.conn.remote_settings.max_concurrent_streams > 100_000:
        conn.pump()
    limit = conn.settings.get(3)
    if limit is None or limit > 2000:
        return  # no limit
    conn.conn.remote_settings.update({3: limit + 10})
    conn.conn.remote_settings.acknowledge()
    open_ones = [conn.start("POST", "/speedtest", "application/octet-stream", end=False) for _ in range(limit)]
    extra = conn.start("POST", "/speedtest", "application/octet-stream", end=False)
    try:
        reply = conn.wait(extra)
    except ConnectionResetError as e:
        if str(e) != "7":
            raise Mismatch("RST_STREAM with REFUSED_STREAM (7)", f"code {e}") from None
    else:
        raise Mismatch("RST_STREAM with REFUSED_STREAM (7)", f"status {reply.status}")
    for stream in open_ones:
        conn.send_body(stream, b"x")
        answer(conn.wait(stream), "200")


@op("stream-refused")
def stream_refused(s: Session, method: str, path: str, body: str, headers: dict[str, str]) -> None:
    """A malformed request: its stream is reset, or it is answered with an error."""
    conn = s.stream()
    conn.conn.config.validate_outbound_headers = False
    stream = conn.start(method, str(filled(s, path)), "application/octet-stream", end=False, **{k.replace("-", "_"): v for k, v in headers.items()})
    conn.http.send(struct.pack(">I", len(body))[1:] + b"\x00\x01" + struct.pack(">I", stream) + body.encode())
    try:
        reply = conn.wait(stream)
    except ConnectionResetError:
        return
    answer(reply, "error")
