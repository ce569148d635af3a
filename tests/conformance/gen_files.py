# SPDX-License-Identifier: MIT
"""Generators of small files that cases name by their contents: index files, key files, archives made of entries."""
from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from conformance import trees
from conformance.generate import generator, source, tree_generator
from oracle import index
from oracle.crypto import Key


@generator("key-file")
def key_file(key: str) -> bytes:
    """A key file without passphrase for a key in hex."""
    stamp = "2023-11-14T22:13:20+00:00"
    value = {"kdf": None, "created": stamp, "modified": stamp, "data": base64.b64encode(bytes.fromhex(key)).decode(),
             "fingerprint": Key(bytes.fromhex(key)).fingerprint_text()}
    return json.dumps(value, separators=(",", ":")).encode()


def digest(number: int) -> bytes:
    return hashlib.sha256(b"chunk %d" % number).digest()


@generator("dynamic-index")
def dynamic_index(ends: list[int], uuid: str = "00112233445566778899aabbccddeeff", ctime: int = 1_700_000_000) -> bytes:
    """A dynamic index whose chunks end there; the digest of chunk n is SHA-256 of `chunk n`."""
    return index.build_dynamic([(end, digest(n)) for n, end in enumerate(ends)], bytes.fromhex(uuid), ctime)


@generator("fixed-index")
def fixed_index(size: int, chunk: int, uuid: str = "00112233445566778899aabbccddeeff", ctime: int = 1_700_000_000) -> bytes:
    """A fixed index of an image of that size."""
    return index.build_fixed(size, chunk, [digest(n) for n in range(-(-size // chunk))], bytes.fromhex(uuid), ctime)


@generator("repeat")
def repeat(text: str, count: int, head: str = "", tail: str = "") -> bytes:
    """`text` that many times between head and tail: long lines, deep JSON."""
    return head.encode() + text.encode() * count + tail.encode()


@generator("json")
def json_text(value: Any, remove: list[str] | None = None, put: dict[str, Any] | None = None) -> bytes:
    """A JSON object, less some members, with others."""
    changed = {k: v for k, v in value.items() if k not in (remove or [])} | (put or {})
    return json.dumps(changed, indent=2, ensure_ascii=False).encode()


@tree_generator("patterns")
def patterns_tree(path: Path, lines: list[str]) -> None:
    """The tree of testdata/golden/patterns.json with a .pxarexclude file."""
    from conformance.cases_observed import pattern_nodes
    trees.build(path, [*pattern_nodes(), {"path": ".pxarexclude", "data": {"text": "\n".join(lines) + "\n"}}], source)
