#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adapter of pbsref: every verb is one command of the program, whose JSON already has the form of a view."""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ACCEPTED, REJECTED, UNSUPPORTED, CRASH = 0, 1, 127, 2
USAGE = 2
REFUSALS = (1, 3, 4, 5)  # failed, malformed, peer, done in part; 2 = usage would be this adapter's fault
ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
FIXED = 4 << 20
EXTRACT_FLAGS = ("strict", "allow-existing-dirs", "overwrite", "overwrite-files", "overwrite-symlinks", "overwrite-hardlinks", "no-xattrs",
                 "no-acls", "no-fcaps", "no-device-nodes", "no-fifos", "no-sockets")
SERVER_USER, SERVER_PASSWORD, SERVER_TOKEN, SERVER_SECRET = "root@pam", "secret", "root@pam!t1", "tok-secret"


def program() -> str | None:
    path = os.environ.get("PBSREF")
    if path:
        return path
    built = Path(__file__).resolve().parents[3] / "build" / "pbsref"
    return str(built) if os.access(built, os.X_OK) else shutil.which("pbsref")


class Unsupported(Exception):
    pass


class Call:
    """One call of the adapter."""

    def __init__(self, case_dir: str, out_dir: str) -> None:
        self.case, self.out = Path(case_dir), Path(out_dir)
        self.env = dict(os.environ)

    def has(self, name: str) -> bool:
        return (self.case / "args" / name).exists()

    def text(self, name: str) -> str:
        return os.fsdecode((self.case / "args" / name).read_bytes())

    def list(self, name: str) -> list[str]:
        return self.text(name).split("\n")[:-1] if self.has(name) else []

    def names(self, name: str) -> list[bytes]:
        """Name text as bytes."""
        return [ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), os.fsencode(one)) for one in self.list(name)]

    def options(self, *names: str) -> list[str]:
        """--NAME VALUE for those that are set; a file without content is a flag."""
        words = []
        for name in names:
            if self.has(name):
                words += [f"--{name}", *([self.text(name)] if self.text(name) else [])]
        return words

    def repeated(self, option: str, name: str) -> list[bytes]:
        return [word for value in self.names(name) for word in (f"--{option}".encode(), value)]

    def key(self) -> list[str]:
        path = self.case / "key.json"
        return ["--keyfile", str(path)] if path.exists() else []

    def archive(self) -> list[str]:
        """The archive file and what names its payload."""
        split = self.case / "archive.mpxar"
        if not split.exists():
            return [str(self.case / "archive.pxar")]
        payload = self.case / "archive.ppxar"
        return [str(split), *(["--payload-input", str(payload)] if payload.exists() else [])]

    def run(self, *words: str | bytes, refusals: tuple[int, ...] = REFUSALS) -> int:
        """The exit status as an adapter's."""
        self.stdout = b""
        run = subprocess.run([program() or "pbsref", *words], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.stdout = run.stdout
        if run.returncode == 0:
            return ACCEPTED
        if run.returncode in refusals:
            return REJECTED
        print(f"ended with {run.returncode}", file=sys.stderr)
        if run.returncode < 0:
            sys.stdout.flush()
            die(-run.returncode)
        return CRASH

    def view(self, value: Any) -> None:
        (self.out / "view.json").write_text(json.dumps(value), encoding="utf-8")

    def inspect(self, kind: str, *words: str | bytes) -> int:
        """`pbsref inspect`, whose output is the view."""
        status = self.run("inspect", "--type", kind, "--output-format", "json", *words)
        if status == ACCEPTED:
            self.view(json.loads(self.stdout))
        return status


def die(signo: int) -> NoReturn:
    """As the program died, so that the suite sees the signal."""
    signal.signal(signo, signal.SIG_DFL)
    os.kill(os.getpid(), signo)
    sys.exit(CRASH)


# ---- reader ----

def pxar_entries(call: Call) -> int:
    return call.inspect("archive", *call.archive())


def pxar_items(call: Call) -> int:
    return call.inspect("archive", call.archive()[0], "--items")


def pxar_verify(call: Call) -> int:
    return call.run("pxar", "verify", *call.archive())


def pxar_lookup(call: Call) -> int:
    return call.inspect("archive", *call.archive(), *call.repeated("lookup", "paths"))


def pxar_extract(call: Call) -> int:
    return call.run("pxar", "extract", *call.archive(), str(call.out / "target"), *call.options(*EXTRACT_FLAGS), *call.repeated("pattern", "patterns"))


def blob_decode(call: Call) -> int:
    return call.inspect("blob", str(call.case / "blob"), "--output", str(call.out / "plain"), *call.options("digest", "size"), *call.key())


def index_decode(call: Call) -> int:
    fixed = call.case / "archive.fidx"
    path = fixed if fixed.exists() else call.case / "archive.didx"
    return call.inspect("fixed-index" if fixed.exists() else "dynamic-index", str(path), *call.repeated("offset", "offsets"))


def catalog_decode(call: Call) -> int:
    return call.inspect("catalog", str(call.case / "catalog.pcat1"))


def manifest_verify(call: Call) -> int:
    name = "index.json.blob" if (call.case / "index.json.blob").exists() else "index.json"
    return call.inspect("manifest", str(call.case / name), *call.key())


def key_open(call: Call) -> int:
    if call.has("passphrase"):
        call.env["PBS_ENCRYPTION_PASSWORD"] = call.text("passphrase")
    return call.inspect("key", str(call.case / "key.json"))


# ---- writer, chunker ----

def pxar_create(call: Call) -> int:
    split = call.has("split")
    archive = call.out / ("archive.mpxar" if split else "archive.pxar")
    payload = ["--payload-output", str(call.out / "archive.ppxar")] if split else []
    return call.run("pxar", "create", str(archive), str(call.case / "tree"), *payload, *call.repeated("exclude", "exclude"),
                    *call.options("all-file-systems", "no-xattrs", "no-acls", "no-fcaps"),
                    refusals=(*REFUSALS, USAGE))  # a pattern that cannot be parsed


def blob_encode(call: Call) -> int:
    return call.run("blob", "encode", str(call.case / "plain"), str(call.out / "blob"), *call.options("compress"), *call.key())


def chunk(call: Call) -> int:
    if call.has("fixed") and int(call.text("fixed")) != FIXED:
        raise Unsupported
    how = ["--fixed"] if call.has("fixed") else call.options("avg")
    status = call.run("chunk", str(call.case / "data"), *how, *call.key(), "--output-format", "json")
    if status == ACCEPTED:
        call.view({"chunks": [{"end": str(c["offset"] + c["size"]), "digest": c["digest"]} for c in json.loads(call.stdout)]})
    return status


def chunk_stream(call: Call) -> int:
    status = call.run("chunk", str(call.case / "data"), "--script", str(call.case / "script"), *call.options("avg"), "--output-format", "json")
    if status == ACCEPTED:
        call.view(json.loads(call.stdout))
    return status


# ---- client, server ----

def connect(call: Call) -> list[str]:
    call.env |= {"PBS_PASSWORD": call.text("password"), "PBS_FINGERPRINT": call.text("fingerprint")}
    return call.options("repository", "ns", "keyfile")


def backup(call: Call) -> int:
    mode = ["--change-detection-mode", call.text("mode")] if call.has("mode") else []
    return call.run("backup", *call.list("archives"), *mode, *connect(call), *call.repeated("exclude", "exclude"),
                    *call.options("backup-type", "backup-id", "backup-time", "crypt-mode", "chunk-size", "all-file-systems", "skip-lost-and-found"),
                    refusals=(*REFUSALS, 2))  # archive names and sources of a case may be the wrong ones


def restore(call: Call) -> int:
    return call.run("restore", call.text("snapshot"), call.text("archive"), str(call.out / "target"), *connect(call),
                    *call.options(*EXTRACT_FLAGS[1:6]), *call.repeated("pattern", "patterns"), refusals=(*REFUSALS, 2))


def serve(call: Call) -> int:
    """Our server, until SIGTERM."""
    store = Path(call.text("store")) if call.has("store") else call.out / "store"
    if not store.exists() and call.run("store", "init", "--lazy", str(store)) != ACCEPTED:
        return CRASH
    ready = call.out / "ready.json"
    words = [program() or "pbsref", "serve", "--store", str(store), "--datastore", "store1", "--ready-file", str(ready), "--no-sync",
             "--journal", str(call.out / "journal.jsonl"), "--user", f"{SERVER_USER}:{SERVER_PASSWORD}", "--token", f"{SERVER_TOKEN}:{SERVER_SECRET}",
             *call.options("now")]
    server = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while not ready.exists():
        if server.poll() is not None:
            return CRASH
        try:
            server.wait(0.01)
        except subprocess.TimeoutExpired:
            pass
    line = json.loads(ready.read_text())
    value = {"host": "127.0.0.1", "port": str(line["port"]), "fingerprint": line["fingerprint"], "datastore": line["datastore"],
             "auth-id": SERVER_USER, "password": SERVER_PASSWORD, "token-id": SERVER_TOKEN, "token-secret": SERVER_SECRET, "store": str(store)}
    (call.out / "server.tmp").write_text(json.dumps(value))
    os.rename(call.out / "server.tmp", call.out / "server.json")
    return server.wait()


VERBS: dict[str, Callable[[Call], int]] = {
    "pxar-entries": pxar_entries, "pxar-items": pxar_items, "pxar-verify": pxar_verify, "pxar-lookup": pxar_lookup,
    "pxar-extract": pxar_extract, "pxar-create": pxar_create, "blob-decode": blob_decode, "blob-encode": blob_encode,
    "index-decode": index_decode, "catalog-decode": catalog_decode, "manifest-verify": manifest_verify, "key-open": key_open,
    "chunk": chunk, "chunk-stream": chunk_stream, "backup": backup, "restore": restore, "serve": serve}


def show_version() -> int:
    path = program()
    if path is None:
        print("no pbsref: neither $PBSREF nor build/pbsref nor on PATH", file=sys.stderr)
        return 1
    run = subprocess.run([path, "version", "--output-format", "json"], capture_output=True, env={**os.environ, "PBS_REPOSITORY": ""})
    try:
        value = json.loads(run.stdout)["client"]["version"]
    except (ValueError, KeyError, TypeError):
        value = "unknown version"
    print(f"pbsref {value}")
    return 0


def main(argv: list[str]) -> int:
    if argv == ["--version"]:
        return show_version()
    verb, case_dir, out_dir = argv
    if verb not in VERBS:
        return UNSUPPORTED
    try:
        return VERBS[verb](Call(case_dir, out_dir))
    except Unsupported:
        return UNSUPPORTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
