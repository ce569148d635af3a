#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A pbsref with one defect: stands between the adapter and the program. MUTANT_REAL is the program, MUTANT what is wrong with a
client (a name below), MUTANT_FAULTS what a server does wrong (--fault, one a line)."""
from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Words = list[str]


def without(words: Words, *options: str) -> Words:
    """Less options with their values."""
    out, skip = [], False
    for word in words:
        if not skip and word not in options:
            out.append(word)
        skip = not skip and word in options
    return out


def other(words: Words, option: str, change: Callable[[str], str]) -> Words:
    return [change(word) if n and words[n - 1] == option else word for n, word in enumerate(words)]


def mode(words: Words, old: str, new: str) -> Words:
    return other(words, "--change-detection-mode", lambda m: new if m == old else m)


def trusting(words: Words) -> Words:
    """Takes the certificate of whoever answers."""
    host, port = words[words.index("--repository") + 1].rpartition("@")[2].split(":")[:2]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection((host, int(port)), 10)) as tls:
        text = hashlib.sha256(tls.getpeercert(True) or b"").hexdigest()
    os.environ["PBS_FINGERPRINT"] = ":".join(text[i:i + 2] for i in range(0, 64, 2))
    return words


def first_archive(words: Words) -> Words:
    specs = [w for w in words if ".pxar:" in w or ".img:" in w or ".conf:" in w]
    return [w for w in words if w not in specs[1:]]


CHANGES: dict[str, Callable[[Words], Words]] = {
    "no-ns": lambda w: without(w, "--ns"), "no-key": lambda w: without(w, "--keyfile", "--crypt-mode"), "no-exclude": lambda w: without(w, "--exclude"),
    "no-crypt-mode": lambda w: without(w, "--crypt-mode"),
    "no-chunk-size": lambda w: without(w, "--chunk-size"), "no-pattern": lambda w: without(w, "--pattern"),
    "always-legacy": lambda w: without(w, "--change-detection-mode"),
    "metadata-is-data": lambda w: mode(w, "metadata", "data"), "data-is-metadata": lambda w: mode(w, "data", "metadata"),
    "late": lambda w: other(w, "--backup-time", lambda t: str(int(t) + 1)), "other-group": lambda w: other(w, "--backup-id", lambda i: i + os.urandom(4).hex()),
    "trusting": trusting, "first-archive": first_archive,
}
# what clients with historical defects left behind, made out of what a right one stored
TRACES: dict[str, Callable[[Path], None]] = {
    "references-swapped": lambda store: stores().change_references(store, "root.mpxar.didx", swap=["b", "d/c"]),
    "reference-repeated": lambda store: stores().change_references(store, "root.mpxar.didx", set=offset_of(store, "b", "a")),
    "reference-behind": lambda store: stores().change_references(store, "root.mpxar.didx", set={"e": 10**9}),
    "stale-size": lambda store: stores().replace_archive(store, "root.ppxar.didx", edit=[{"at": sorted(references(store).values())[1] + 8, "u64": "77"}]),
    "chunk-twice": lambda store: repeat_chunk(store),
    "no-tail": lambda store: stores().replace_archive(store, "root.ppxar.didx", edit=[{"at": -16, "bytes": "00" * 8}]),
}


def stores() -> Any:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from conformance import gen_stores
    return gen_stores


def references(store: Path) -> dict[str, int]:
    found = stores()
    from oracle.datastore import Store
    from oracle.pxar import Reader
    snapshot, whole = found.newest(store), Store(str(store))
    reader = Reader(whole.stream(snapshot, "root.mpxar.didx", whole.manifest(snapshot)), None, lax_refs=True)
    return {os.fsdecode(e.path): e.content.offset - 16 for e in reader if e.kind == "file" and e.content}


def offset_of(store: Path, path: str, instead: str) -> dict[str, int]:
    return {path: references(store)[instead]}


def repeat_chunk(store: Path) -> None:
    """The chunk before the last one once more, as 4.1.12 did at every hole."""
    from struct import pack, unpack_from
    found = stores()
    raw = (found.folder_of(store) / "root.ppxar.didx").read_bytes()[4096:]
    rows = [(unpack_from("<Q", raw, at)[0], raw[at + 8:at + 40]) for at in range(0, len(raw), 40)]
    size = rows[-2][0] - rows[-3][0]
    end = rows.pop()
    rows += [(rows[-1][0] + size, rows[-1][1]), (end[0] + size, end[1])]
    body = b"".join(pack("<Q", stop) + digest for stop, digest in rows)
    found.damage_index(store, "root.ppxar.didx", [{"truncate": 0}] if not body else [{"remove": [0, len(raw)]}, {"append": body.hex()}])


ENDS = {"says-done": lambda status: 0, "crashes": lambda status: 70 if status else 0, "never-done": lambda status: 1}


def main() -> int:
    real, name, words = os.environ["MUTANT_REAL"], os.environ.get("MUTANT", ""), sys.argv[1:]
    if words[:1] == ["serve"]:
        for fault in os.environ.get("MUTANT_FAULTS", "").splitlines():
            words += ["--fault", fault]
        os.execv(real, [real, *words])
    if words[0] not in ("backup", "restore"):
        os.execv(real, [real, *words])
    if name in CHANGES:
        words = CHANGES[name](words)
    status = subprocess.run([real, *words], stdin=subprocess.DEVNULL).returncode
    if name in TRACES and status == 0 and "metadata" in words:
        TRACES[name](Path.cwd().parents[1] / "store")  # of the suite's server: beside the folder of the step
    return ENDS[name](status) if name in ENDS else status


if __name__ == "__main__":
    sys.exit(main())
