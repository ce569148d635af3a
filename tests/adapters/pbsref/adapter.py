#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adapter of pbsref: every verb is one command of the program, whose JSON already has the form of a view."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = sys.pycache_prefix is None

from common import ACCEPTED, CRASH, CommandCall, Unsupported, answer, ended, exceptions_are_crashes  # noqa: E402

# failed, usage, malformed, peer, done in part: what a case says (patterns, archive names, sizes) may be a usage error too (CLI-009)
REFUSALS = (1, 2, 3, 4, 5)
FIXED = 4 << 20
SERVER_USER, SERVER_PASSWORD, SERVER_TOKEN, SERVER_SECRET = "root@pam", "secret", "root@pam!t1", "tok-secret"


def program() -> str | None:
    path = os.environ.get("PBSREF")
    if path:
        return path
    import shutil  # only here: every call would pay for it
    built = Path(__file__).resolve().parents[3] / "build" / "pbsref"
    return str(built) if os.access(built, os.X_OK) else shutil.which("pbsref")


class Call(CommandCall):
    """One call of the adapter."""

    def key(self) -> list[str]:
        path = self.case / "key.json"
        return ["--keyfile", str(path)] if path.exists() else []

    def run(self, *words: str | bytes) -> int:
        """The exit status as an adapter's; `stdout` is what was printed."""
        run = subprocess.run([program() or "pbsref", *words], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.stdout = run.stdout
        return ended(run.returncode, REFUSALS)

    def inspect(self, kind: str, *words: str | bytes) -> int:
        """`pbsref inspect`, whose output is the view."""
        status = self.run("inspect", "--type", kind, "--output-format", "json", *words)
        if status == ACCEPTED:
            self.view(json.loads(self.stdout))
        return status


# ---- reader ----

def pxar_entries(call: Call) -> int:
    return call.inspect("archive", *call.archive())


def pxar_items(call: Call) -> int:
    return call.inspect("archive", call.archive()[0], "--items")


def pxar_verify(call: Call) -> int:
    return call.run("pxar", "verify", *call.archive())


def pxar_lookup(call: Call) -> int:
    return call.inspect("archive", *call.archive(), *(word for path in call.names("paths") for word in (b"--lookup", path)))


def pxar_extract(call: Call) -> int:
    return call.run("pxar", "extract", *call.extract_words())


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
    return call.run("pxar", "create", *call.create_words())


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

def backup(call: Call) -> int:
    return call.run("backup", *call.backup_words())


def restore(call: Call) -> int:
    return call.run("restore", *call.restore_words())


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
            server.wait(0.002)
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


if __name__ == "__main__":
    exceptions_are_crashes()
    sys.exit(answer(sys.argv[1:], show_version, VERBS, Call))
