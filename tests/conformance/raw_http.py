# SPDX-License-Identifier: MIT
"""A client that speaks the protocols by hand: HTTP/1.1 over TLS, the upgrade, HTTP/2 frames through python3-h2.

Nothing of the program under test is used, so that what is sent is exactly what the caller says, right or wrong.
"""
from __future__ import annotations

import hashlib
import json
import socket
import ssl
import struct
import zlib
from typing import Any, Protocol
from urllib.parse import urlencode

import h2.config
import h2.connection
import h2.events
import h2.settings

BACKUP = "proxmox-backup-protocol-v1"
READER = "proxmox-backup-reader-protocol-v1"
PLAIN_MAGIC = bytes([66, 171, 56, 7, 190, 131, 112, 161])


def blob(plain: bytes) -> bytes:
    """An uncompressed data blob."""
    return PLAIN_MAGIC + struct.pack("<I", zlib.crc32(plain)) + plain


def digest(plain: bytes) -> str:
    return hashlib.sha256(plain).hexdigest()


def index_csum(chunks: list[tuple[int, str]]) -> str:
    """Checksum of a dynamic index: (end, digest) records."""
    return hashlib.sha256(b"".join(struct.pack("<Q", end) + bytes.fromhex(d) for end, d in chunks)).hexdigest()


class Peer(Protocol):
    """The server to talk to."""
    host: str
    port: int

    @property
    def token_header(self) -> dict[str, str]: ...


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def data(self) -> Any:
        assert self.status == 200, (self.status, self.text)
        return json.loads(self.body)["data"]


class Http1:
    """One keep-alive connection."""

    def __init__(self, server: Peer, tls: bool = True) -> None:
        self.server = server
        raw = socket.create_connection((server.host, server.port), 30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock: Any = raw
        if tls:
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ctx.check_hostname = False
            ctx.verify_mode = ssl.CERT_NONE
            self.sock = ctx.wrap_socket(raw)
        self.buffer = b""

    def fingerprint(self) -> str:
        return hashlib.sha256(self.sock.getpeercert(True)).hexdigest()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _fill(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("connection closed")
        self.buffer += data

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read_reply(self) -> Reply:
        status_line = self._line().decode()
        assert status_line.startswith("HTTP/1.1 "), status_line
        headers: dict[str, str] = {}
        while line := self._line().decode():
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        while len(self.buffer) < length:
            self._fill()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Reply(int(status_line.split()[1]), headers, body)

    def raw(self, text: str, body: bytes = b"") -> Reply:
        self.send(text.replace("\n", "\r\n").encode() + body)
        return self.read_reply()

    def call(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Reply:
        lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1:8007", "user-agent: proxmox-backup-client/1.0"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b""))
        return self.read_reply()

    def token_call(self, method: str, path: str, body: Any = None, **params: Any) -> Reply:
        """A REST call below /api2/json with the token; `body` is sent as JSON, `params` as query."""
        headers = dict(self.server.token_header)
        data = None
        if body is not None:
            headers["content-type"] = "application/json"
            data = json.dumps(body).encode()
        query = "?" + urlencode({k.replace("_", "-"): v for k, v in sorted(params.items())}) if params else ""
        return self.call(method, f"/api2/json/{path}{query}", headers, data)

    def upgrade(self, path: str, protocol: str, headers: dict[str, str] | None = None) -> Reply:
        return self.call("GET", path, {**(headers or self.server.token_header), "connection": "upgrade",
                                       "upgrade": protocol})

    def close(self, abrupt: bool = False) -> None:
        if abrupt:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class H2:
    """HTTP/2 on an upgraded connection."""

    def __init__(self, http: Http1, window: int = 2**31 - 2, frame: int = 4 << 20) -> None:
        self.http = http
        self.frame = frame
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_inbound_headers=False)
        self.conn = h2.connection.H2Connection(config)
        self.conn.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
                                         h2.settings.SettingCodes.MAX_FRAME_SIZE: frame})
        self.conn.max_inbound_frame_size = frame
        self.conn.initiate_connection()
        if window > 65535:
            self.conn.increment_flow_control_window(window - 65535)
        self.replies: dict[int, dict[str, Any]] = {}
        self.settings: dict[int, int] = {}
        self.window_updates: list[int] = []
        self.closed = False
        self.goaway: int | None = None
        self.flush()

    def flush(self) -> None:
        data = self.conn.data_to_send()
        if data:
            self.http.send(data)

    def pump(self) -> None:
        """Takes in what comes next."""
        if self.http.buffer:
            data, self.http.buffer = self.http.buffer, b""
        else:
            try:
                data = self.http.sock.recv(1 << 20)
            except (ConnectionError, ssl.SSLError):
                data = b""
        if not data:
            self.closed = True
            return
        for event in self.conn.receive_data(data):
            self._event(event)
        self.flush()

    def _event(self, event: Any) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            reply = self.replies[event.stream_id]
            reply["headers"] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.replies[event.stream_id]["body"] += event.data
            self.replies[event.stream_id]["frames"].append(len(event.data))
            if event.flow_controlled_length:
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.replies[event.stream_id]["done"] = True
        elif isinstance(event, h2.events.StreamReset):
            self.replies[event.stream_id]["reset"] = event.error_code
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings.update({int(k): v.new_value for k, v in event.changed_settings.items()})
        elif isinstance(event, h2.events.WindowUpdated):
            self.window_updates.append(event.delta)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)

    def start(self, method: str, path: str, content_type: str | None = "application/x-www-form-urlencoded",
              end: bool = True, **extra: str) -> int:
        stream = self.conn.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "https"), (":authority", "localhost:8007"), (":path", path),
                   ("user-agent", "proxmox-backup-client/1.0")]
        if content_type:
            headers.append(("content-type", content_type))
        headers += [(k.replace("_", "-"), v) for k, v in extra.items()]
        self.replies[stream] = {"body": b"", "done": False, "reset": None, "frames": []}
        self.conn.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def send_body(self, stream: int, body: bytes, end: bool = True, piece: int | None = None) -> None:
        """Sends as the windows allow, taking in what comes meanwhile."""
        at = 0
        while True:
            room = min(self.conn.local_flow_control_window(stream), self.conn.max_outbound_frame_size,
                       piece or self.frame, len(body) - at)
            if room > 0 or at == len(body):
                last = at + room == len(body)
                self.conn.send_data(stream, body[at:at + room], end_stream=end and last)
                self.flush()
                at += room
                if last:
                    return
            else:
                self.pump()
                assert not self.closed

    def wait(self, stream: int) -> Reply:
        state = self.replies[stream]
        while not state["done"] and state["reset"] is None:
            assert not self.closed, "connection closed before the answer"
            self.pump()
        if not state["done"]:
            raise ConnectionResetError(int(state["reset"]))
        headers = state["headers"]
        return Reply(int(headers[":status"]), headers, state["body"])

    def call(self, method: str, path: str, body: bytes | None = None, **kw: Any) -> Reply:
        stream = self.start(method, path, end=body is None, **kw)
        if body is not None:
            self.send_body(stream, body)
        return self.wait(stream)

    def json(self, method: str, path: str, body: Any) -> Reply:
        return self.call(method, path, json.dumps(body, separators=(",", ":"), sort_keys=True).encode(),
                         content_type="application/json")

    def close(self, abrupt: bool = False) -> None:
        self.http.close(abrupt)


class Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.status} {reply.text}")
        self.reply = reply
