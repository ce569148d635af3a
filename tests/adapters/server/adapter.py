#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adapter of a server that is running already. Cases that need a prepared datastore or a fixed clock are unsupported.

Needs an account that may back up to, read from and remove snapshots of the datastore.
"""
from __future__ import annotations

import json
import os
import re
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

REPOSITORY = re.compile(r"(?:(?P<auth>.+)@)?(?P<host>\[[^\]]+\]|[^:@/]+)(?::(?P<port>\d+))?:(?P<store>[^:@/]+)")


class Trouble(Exception):
    pass


def target() -> dict[str, Any]:
    """server.json of the parameter."""
    text = os.environ.get("CONFORM_PARAMETER", "")
    match = REPOSITORY.fullmatch(text)
    if not match:
        raise Trouble(f"not a repository: {text!r}; use server:AUTH-ID@HOST:PORT:DATASTORE")
    password = os.environ.get("CONFORM_PASSWORD", "")
    if not password:
        raise Trouble("CONFORM_PASSWORD is not set")
    auth = match["auth"] or "root@pam"
    out = {"host": match["host"].strip("[]"), "port": match["port"] or "8007", "datastore": match["store"], "auth-id": auth,
           "fingerprint": os.environ.get("CONFORM_FINGERPRINT", "")}
    return out | ({"token-id": auth, "token-secret": password} if "!" in auth else {"password": password})


def version() -> str:
    """What the server says of itself; also checks credentials and fingerprint."""
    from conformance.checks import Mismatch
    from conformance.raw_http import Http1
    from conformance.wire import Target
    value = target()
    peer = Target(value["host"], int(value["port"]), value["datastore"], value["auth-id"], value.get("password", ""),
                  value.get("token-id", ""), value.get("token-secret", ""))
    try:
        http = Http1(peer)
        wanted = value["fingerprint"].replace(":", "").lower()
        if wanted and http.fingerprint() != wanted:
            raise Trouble(f"fingerprint of the server is {http.fingerprint()}")
        reply = http.call("GET", "/api2/json/version", peer.token_header)
    except (OSError, EOFError, ssl.SSLError) as e:
        raise Trouble(f"{value['host']}:{value['port']}: {e}") from None
    except Mismatch as e:
        raise Trouble(f"login: {e.actual}") from None
    if reply.status != 200:
        raise Trouble(f"version: {reply.status} {reply.text.strip()}")
    return f"server {reply.data['version']}.{reply.data['release']} at {value['host']}:{value['port']}"


def serve(case_dir: Path, out_dir: Path) -> int:
    if any((case_dir / "args").iterdir()):
        return 127
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    (out_dir / "server.tmp").write_text(json.dumps(target()))
    os.rename(out_dir / "server.tmp", out_dir / "server.json")
    signal.sigwait([signal.SIGTERM])
    return 0


def main(argv: list[str]) -> int:
    try:
        if argv == ["--version"]:
            print(version())
            return 0
        verb, case_dir, out_dir = argv
        return serve(Path(case_dir), Path(out_dir)) if verb == "serve" else 127
    except Trouble as e:
        print(e, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
