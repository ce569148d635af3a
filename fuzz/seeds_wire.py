# SPDX-License-Identifier: MIT
"""Seeds out of testdata/golden/wire: the transcripts' requests and frames as bytes again, each connection in both
directions. Headers become literals without indexing; bodies that the transcript shortened stay short."""
from __future__ import annotations

import ast
import pathlib
import re
from typing import Iterator

FRAME = re.compile(r"([cs])> (\w+) stream=(\d+) len=(\d+) flags=(\[.*?\])\s?(.*)$")
KINDS = {"DataFrame": 0, "HeadersFrame": 1, "RstStreamFrame": 3, "SettingsFrame": 4, "PingFrame": 6, "GoAwayFrame": 7,
         "WindowUpdateFrame": 8}
FLAGS = {"END_STREAM": 1, "ACK": 1, "END_HEADERS": 4}


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def hpack_text(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    left, out = len(text) - 127, b"\x7f"
    while left >= 128:
        out += bytes([left % 128 | 128])
        left //= 128
    return out + bytes([left]) + text


def hpack(headers: list[tuple[str, str]]) -> bytes:
    return b"".join(b"\0" + hpack_text(n.encode()) + hpack_text(v.encode()) for n, v in headers)


def header_lines(lines: list[str]) -> list[tuple[str, str]]:
    found = (re.match(r"\s+(:?[a-z0-9-]+): (.*)$", line) for line in lines)
    return [(m.group(1), m.group(2)) for m in found if m]


def frame_bytes(match: re.Match[str], lines: list[str]) -> bytes:
    """One frame of the transcript; `lines` are those below it."""
    kind, stream, rest = KINDS.get(match.group(2)), int(match.group(3)), match.group(6)
    flags = sum(FLAGS.get(f, 0) for f in ast.literal_eval(match.group(5)))
    if kind == 1:
        return frame(1, flags, stream, hpack(header_lines(lines)))
    if kind == 0:
        return frame(0, flags, stream, "".join(line.strip() for line in lines).encode())
    if kind == 4:
        settings = ast.literal_eval(rest) if rest.startswith("{") else {}
        return frame(4, flags, 0, b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in settings.items()))
    if kind == 8:
        return frame(8, 0, stream, int(rest or "1").to_bytes(4, "big"))
    return frame(kind, flags, stream, bytes(8 if kind in (6, 7) else 4)) if kind is not None else b""


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """A line that begins something, and the indented ones below it."""
    head, below = "", []
    for line in text.splitlines():
        if line.startswith(" "):
            below.append(line)
            continue
        if head:
            yield head, below
        head, below = line, []
    if head:
        yield head, below


def http1_request(head: str, lines: list[str]) -> bytes:
    headers = [h for h in header_lines(lines) if h[0] != "body"]
    body = "".join(v for n, v in header_lines(lines) if n == "body")
    text = head.removeprefix("c> ") + "\r\n"
    for name, value in headers:
        text += f"{name}: {len(body) if name == 'content-length' else value}\r\n"
    return (text + "\r\n" + body).encode()


def connections(folder: pathlib.Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Per connection: HTTP/1.1 requests, HTTP/2 bytes of the client (without preface), of the server."""
    for path in sorted(folder.glob("*.txt")):
        for part in re.split(r"^=== .*$", path.read_text(), flags=re.M):
            requests, client, server = b"", b"", b""
            for head, lines in blocks(part):
                match = FRAME.match(head)
                if match and match.group(1) == "c":
                    client += frame_bytes(match, lines)
                elif match:
                    server += frame_bytes(match, lines)
                elif re.match(r"c> [A-Z]+ /\S* HTTP/1.1$", head):
                    requests += http1_request(head, lines)
            if requests or client:
                yield requests, client, server
