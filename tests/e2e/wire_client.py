# SPDX-License-Identifier: MIT
"""Backup and reader sessions over the raw client of tests/conformance/raw_http.py, and a server to talk to."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from conformance.raw_http import (BACKUP, H2, PLAIN_MAGIC, READER, Http1, Refused, Reply, blob, digest,  # noqa: E402, F401
                                  index_csum)

USER, PASSWORD = "root@pam", "secret"
TOKEN, TOKEN_SECRET = "root@pam!t1", "tok-secret"
STORE = "store1"
ZERO_CHUNK = 4 << 20


class Server:
    """`pbsref serve` on a directory."""
    host = "127.0.0.1"

    def __init__(self, program: str, folder: Path, *extra: str, auth: bool = True) -> None:
        self.store = folder / "datastore"
        (self.store / ".chunks").mkdir(parents=True, exist_ok=True)  # prefix folders are made when needed
        self.journal = folder / "journal.jsonl"
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        args = [program, "serve", "--store", str(self.store), "--datastore", STORE, "--ready-file", str(ready),
                "--journal", str(self.journal)]
        if auth:
            args += ["--user", f"{USER}:{PASSWORD}", "--token", f"{TOKEN}:{TOKEN_SECRET}"]
        self.process = subprocess.Popen([*args, *extra])
        deadline = time.monotonic() + 30
        while not ready.exists() or not ready.read_text().strip():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not become ready")
            time.sleep(0.01)
        line = json.loads(ready.read_text())
        self.port: int = line["port"]
        self.fingerprint: str = line["fingerprint"]
        assert line["pid"] == self.process.pid and line["datastore"] == STORE

    def journal_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [line for line in self.journal_lines() if line["event"] in names]

    def wait_event(self, name: str, count: int = 1) -> None:
        """Waits until the journal has so many events of a name."""
        deadline = time.monotonic() + 10
        while len(self.events(name)) < count:
            assert time.monotonic() < deadline, f"no {name} in the journal"
            time.sleep(0.01)

    def stop(self) -> int:
        if self.process.poll() is not None:
            return self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    @property
    def token_header(self) -> dict[str, str]:
        return {"authorization": f"PBSAPIToken {TOKEN}:{TOKEN_SECRET}"}


def upgrade_query(backup_id: str = "h1", time_s: int = 1700000000, **extra: str) -> str:
    params = {"backup-id": backup_id, "backup-time": str(time_s), "backup-type": "host", "debug": "true",
              "store": STORE, **{k.replace("_", "-"): v for k, v in extra.items()}}
    return urlencode(sorted(params.items()))


class Writer(H2):
    """A backup session."""

    def __init__(self, server: Server, backup_id: str = "h1", time_s: int = 1700000000, http: Http1 | None = None,
                 window: int = 2**31 - 2, frame: int = 4 << 20, headers: dict[str, str] | None = None,
                 **extra: str) -> None:
        http = http or Http1(server)
        self.backup_id, self.time_s = backup_id, time_s
        query = upgrade_query(backup_id, time_s, **{"benchmark": "false", **extra})
        reply = http.upgrade(f"//api2/json/backup?{query}", BACKUP, headers)
        if reply.status != 101:
            raise Refused(reply)
        super().__init__(http, window, frame)

    def create(self, name: str, size: int | None = None, **extra: str) -> int:
        if name.endswith(".fidx"):
            query = {"archive-name": name, **extra} | ({"size": str(size)} if size else {})
            return self.call("POST", "/fixed_index?" + urlencode(sorted(query.items()))).data
        return self.call("POST", f"/dynamic_index?archive-name={name}").data

    def upload(self, wid: int, plain: bytes, kind: str = "dynamic", raw: bytes | None = None,
               name: str | None = None, size: int | None = None, encoded: int | None = None) -> int:
        raw = blob(plain) if raw is None else raw
        stream = self.start("POST", f"/{kind}_chunk?digest={name or digest(plain)}"
                            f"&encoded-size={encoded or len(raw)}&size={size or len(plain)}&wid={wid}",
                            "application/octet-stream", end=False)
        self.send_body(stream, raw)
        return stream

    def chunk(self, wid: int, plain: bytes, kind: str = "dynamic", **kw: Any) -> Reply:
        return self.wait(self.upload(wid, plain, kind, **kw))

    def append(self, wid: int, digests: list[str], offsets: list[int], kind: str = "dynamic") -> Reply:
        return self.json("PUT", f"/{kind}_index", {"digest-list": digests, "offset-list": offsets, "wid": wid})

    def close_index(self, wid: int, count: int, size: int, csum: str, kind: str = "dynamic") -> Reply:
        return self.call("POST", f"/{kind}_close?chunk-count={count}&csum={csum}&size={size}&wid={wid}")

    def blob(self, name: str, raw: bytes, announced: int | None = None) -> Reply:
        return self.call("POST", f"/blob?encoded-size={announced or len(raw)}&file-name={name}", raw,
                         content_type="application/octet-stream")

    def archive(self, name: str, chunks: list[bytes]) -> dict[str, Any]:
        """A whole dynamic index; its manifest entry."""
        wid = self.create(name)
        records, offsets, end = [], [], 0
        for plain in chunks:
            assert self.chunk(wid, plain).status == 200
            offsets.append(end)
            end += len(plain)
            records.append((end, digest(plain)))
        assert self.append(wid, [d for _, d in records], offsets).data is None
        csum = index_csum(records)
        assert self.close_index(wid, len(chunks), end, csum).data is None
        return {"crypt-mode": "none", "csum": csum, "filename": name, "size": end}

    def manifest(self, files: list[dict[str, Any]], **unprotected: Any) -> Reply:
        text = json.dumps({"backup-id": self.backup_id, "backup-time": self.time_s, "backup-type": "host",
                           "files": files, "signature": None, "unprotected": unprotected}).encode()
        return self.blob("index.json.blob", blob(text))

    def finish(self) -> Reply:
        return self.call("POST", "/finish")


class Reader(H2):
    def __init__(self, server: Server, backup_id: str = "h1", time_s: int = 1700000000, window: int = 2**31 - 2,
                 frame: int = 4 << 20, **extra: str) -> None:
        http = Http1(server)
        reply = http.upgrade(f"//api2/json/reader?{upgrade_query(backup_id, time_s, **extra)}", READER)
        if reply.status != 101:
            raise Refused(reply)
        super().__init__(http, window, frame)

    def download(self, name: str) -> Reply:
        return self.call("GET", f"/download?file-name={name}")

    def chunk(self, name: str) -> Reply:
        return self.call("GET", f"/chunk?digest={name}")


def backup(server: Server, backup_id: str = "h1", time_s: int = 1700000000, chunks: list[bytes] | None = None,
           **extra: str) -> list[bytes]:
    """A finished snapshot with one archive root.pxar.didx."""
    chunks = chunks or [b"hello world", b"abcde", b"hello world"]
    w = Writer(server, backup_id, time_s, **extra)
    entry = w.archive("root.pxar.didx", chunks)
    assert w.manifest([entry]).status == 200
    assert w.finish().data is None
    w.close()
    return chunks


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers, each in its folder; all must end without complaint."""
    servers: list[Server] = []

    def start(*extra: str, folder: str = "server", auth: bool = True) -> Server:
        (tmp_path / folder).mkdir(exist_ok=True)
        servers.append(Server(os.environ.get("PBSREF", "build/pbsref"), tmp_path / folder, *extra, auth=auth))
        return servers[-1]

    yield start
    for server in servers:
        assert server.stop() == 0


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()
