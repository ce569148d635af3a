# SPDX-License-Identifier: MIT
"""What a client says to a server: recorded by a proxy that ends TLS, or read from a golden transcript; both in one form."""
from __future__ import annotations

import ast
import datetime
import ipaddress
import json
import re
import select
import socket
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEPT_PARAMS = ("debug", "benchmark", "backup-type", "archive-name", "file-name")
KEPT_HEADERS = ("content-type", "connection", "upgrade", ":scheme")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def shape(value: Any) -> Any:
    """A JSON value without its values: members in their order, one element of a list."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    return [shape(v) for v in value[:1]] if isinstance(value, list) else type(value).__name__


@dataclass
class Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes | None = None

    @property
    def path(self) -> str:
        return re.sub(r"/datastore/[^/]+/", "/datastore/STORE/", urlsplit(self.target).path if self.target[:2] != "//"
                      else self.target.partition("?")[0])

    @property
    def params(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    def param(self, name: str) -> str | None:
        return dict(self.params).get(name)

    def json(self) -> Any:
        """None for a body that a transcript cut."""
        try:
            return json.loads(self.body or b"null")
        except ValueError:
            return None

    def form(self) -> dict[str, Any]:
        """What has to be equal: no digests, sizes, times, names of hosts."""
        kind = dict(self.headers).get("content-type", "")
        body: Any = None
        if self.body:
            body = json.dumps(shape(self.json())) if kind == "application/json" else "bytes"
        return {"method": self.method, "path": self.path, "question": "?" in self.target, "body": body,
                "params": [(k, v if k in KEPT_PARAMS else "") for k, v in self.params],
                "headers": sorted((k, v if k in KEPT_HEADERS else "") for k, v in self.headers
                                  if k not in ("user-agent", "host", ":method", ":path"))}


@dataclass
class Talk:
    """The requests of a connection, and its HTTP/2 settings if it was upgraded."""
    plain: list[Request] = field(default_factory=list)
    streams: list[Request] = field(default_factory=list)
    settings: dict[int, int] = field(default_factory=dict)
    window: int = 0


# ---- golden transcripts ----

def read_golden(path: Path) -> list[Talk]:
    talks: list[Talk] = []
    current: Request | None = None
    open_streams: dict[str, Request] = {}
    for line in path.read_text().splitlines():
        if line.startswith("==="):
            talks.append(Talk())
            open_streams = {}
        elif line.startswith("s>"):
            current = None
        elif match := re.match(r"c> (\w+) (\S+) HTTP/1.1", line):
            current = Request(match[1], match[2], [])
            talks[-1].plain.append(current)
        elif match := re.match(r"c> SettingsFrame .*flags=\[\] (\{.*\})", line):
            talks[-1].settings, current = ast.literal_eval(match[1]), None
        elif match := re.match(r"c> WindowUpdateFrame stream=0 .* \+(\d+)", line):
            talks[-1].window, current = talks[-1].window + int(match[1]), None
        elif match := re.match(r"c> HeadersFrame stream=(\d+) ", line):
            current = open_streams[match[1]] = Request("", "", [])
            talks[-1].streams.append(current)
        elif match := re.match(r"c> DataFrame stream=(\d+) ", line):
            current = open_streams[match[1]]
        elif line.startswith("c>"):
            current = None
        elif current and (match := re.match(r"     (:?[a-z-]+): (.*)$|   (:?[a-z-]+): (.*)$", line)):
            name, value = (match[1], match[2]) if match[1] else (match[3], match[4])
            if name == "body":
                current.body = value.encode()
                continue
            current.headers.append((name, value))
            if name == ":method":
                current.method = value
            if name == ":path":
                current.target = value
        elif current and line.startswith("     "):
            current.body = (current.body or b"") + line.strip().encode()
    return talks


# ---- recording ----

def make_certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A context for a server on loopback, and the certificate's fingerprint."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "recorder")])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(key, hashes.SHA256()))
    path = folder / "recorder.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, made.fingerprint(hashes.SHA256()).hex(":")


class Recorder:
    """A proxy before a server; `talks()` is what clients said, a connection each."""

    def __init__(self, folder: Path, port: int) -> None:
        self.server_port = port
        self.context, self.fingerprint = make_certificate(folder)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.said: list[bytearray] = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(raw,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        outer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        outer.check_hostname, outer.verify_mode = False, ssl.CERT_NONE
        try:
            with self.context.wrap_socket(raw, server_side=True) as client, \
                    outer.wrap_socket(socket.create_connection(("127.0.0.1", self.server_port))) as server:
                said = bytearray()
                self.said.append(said)
                self._pump(client, server, said)
        except OSError:
            pass

    @staticmethod
    def _pump(client: ssl.SSLSocket, server: ssl.SSLSocket, said: bytearray) -> None:
        """Both ways in one thread: a TLS socket must not be read and written by two at a time."""
        while True:
            ready = [s for s in (client, server) if s.pending()] or select.select([client, server], [], [])[0]
            for one in ready:
                one.settimeout(0)
                try:
                    data = one.recv(65536)
                except ssl.SSLWantReadError:  # part of a record, or nothing but a session ticket
                    continue
                finally:
                    one.settimeout(None)
                if not data:
                    return
                if one is client:
                    said += data
                (server if one is client else client).sendall(data)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(30)

    def talks(self) -> list[Talk]:
        return [parse(bytes(said)) for said in self.said if said]


def parse(data: bytes) -> Talk:
    talk = Talk()
    while data and not data.startswith(PREFACE):
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(k.lower(), v) for k, _, v in (line.partition(": ") for line in lines)]
        length = int(dict(headers).get("content-length", "0"))
        talk.plain.append(Request(method, target, headers, data[:length] or None))
        data = data[length:]
    if data:
        parse_frames(data[len(PREFACE):], talk)
    return talk


def parse_frames(data: bytes, talk: Talk) -> None:
    import hpack
    import hyperframe.frame as frames
    decoder, streams = hpack.Decoder(), {}
    while len(data) >= 9:
        frame, length = frames.Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9:9 + length]))
        data = data[9 + length:]
        if isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
            talk.settings |= frame.settings
        elif isinstance(frame, frames.WindowUpdateFrame) and frame.stream_id == 0:
            talk.window += frame.window_increment
        elif isinstance(frame, frames.HeadersFrame):
            headers = [(str(k), str(v)) for k, v in decoder.decode(frame.data)]
            streams[frame.stream_id] = Request(dict(headers)[":method"], dict(headers)[":path"], headers)
            talk.streams.append(streams[frame.stream_id])
        elif isinstance(frame, frames.DataFrame):
            streams[frame.stream_id].body = (streams[frame.stream_id].body or b"") + frame.data
