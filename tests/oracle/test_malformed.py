# covers: PXAR-004 PXAR-020 PXAR-021 PXAR-022 PXAR-024 PXAR-031 PXAR-032 PXAR-036 PXAR-041 PXAR-042 PXAR-071 PXAR-075
# covers: PXAR-076 PXAR-081 PXAR-086 PXAR-100 PXAR-109 PXAR-135 PXAR-151 PXAR-152 PXAR-154 PXAR-170 PXAR-220 PXAR-223
# covers: PXAR-224 PXAR-225 PXAR-229 PXAR-240 PXAR-243 PXAR-245 PXAR-262
# SPDX-License-Identifier: MIT
"""Faulty archives: whatever the original refuses is refused; where this reader is stricter is
recorded, with the rule, in malformed_stricter.json (rewrite it with ORACLE_RECORD=1)."""
from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from . import malformed
from .conftest import golden
from .errors import OracleError
from .pxar import parse
from .pxar_items import Acl, Content, Entry, Link
from .pxar_write import Encoder

RECORD = Path(__file__).with_name("malformed_stricter.json")
# what both accept: variants that are well-formed archives
HARMLESS = ("last byte flipped", "mode ")


def test_malformed() -> None:
    stricter: dict[str, str] = {}
    both: list[str] = []
    for case in golden("malformed")["cases"]:
        name = f"{case['base']} {case['form']}: {case['fault']}"
        accepted = case["list"]["exit"] == 0 and case["extract_strict"]["exit"] == 0
        try:
            parse(*malformed.archives(case))
        except OracleError as e:
            if accepted:
                stricter[name] = e.rule
            continue
        assert accepted, f"refused by the original: {name}: {case['extract_strict']}"
        both.append(name)
    assert all(any(word in name for word in HARMLESS) for name in both)
    if os.environ.get("ORACLE_RECORD"):
        RECORD.write_text(json.dumps(stricter, indent=0, sort_keys=True) + "\n")
    assert stricter == json.loads(RECORD.read_text())


def is_accepted(archive: bytes, payload: bytes) -> bool:
    try:
        parse(archive, payload)
    except OracleError:
        return False
    return True


def test_every_truncation() -> None:
    """No prefix of an archive is one."""
    for name in ("hardlinks", "special-files", "acl-default"):
        archive, payload = malformed.base(f"{name}.mpxar"), malformed.base(f"{name}.ppxar")
        assert [size for size in range(len(archive)) if is_accepted(archive[:size], payload)] == [], name


def archive_of(entries: list[Entry], version: int | None = None) -> bytes:
    """A v1 archive of files, links and so on in the root, in this order."""
    out = io.BytesIO()
    encoder = Encoder(out, None, None)
    if version is not None:
        encoder.numbers("FORMAT_VERSION", version)
    encoder.open_dir(None, Entry(b"", "dir", 0, 0, 0o40755))
    for entry in entries:
        if entry.content is None:
            encoder.leaf(entry.path, entry)
        else:
            encoder.file(entry.path, entry, io.BytesIO(b"data"))
    encoder.close_dir()
    return out.getvalue()


def regular(name: bytes, **more: Any) -> Entry:
    return Entry(name, "file", 0, 0, 0o100644, content=Content("", 0, 0, 4), **more)


def hardlink(name: bytes, target: int, path: bytes) -> Entry:
    return Entry(name, "hardlink", 0, 0, link=Link(path, 0, target))


def symlink(name: bytes, target: bytes) -> Entry:
    return Entry(name, "symlink", 0, 0, 0o120777, target=target)


# files start at 56 and take 16 + 2 + 56 + 16 + 4 = 94 bytes with a name of one byte
FAULTS: list[tuple[str, list[Entry]]] = [
    ("EXT-051", [regular(b"a"), regular(b"a")]),
    ("PXAR-071", [regular(b"..")]), ("PXAR-071", [regular(b"a/b")]),
    ("PXAR-081", [regular(b"a\0b")]), ("PXAR-020", [regular(b"")]),
    ("PXAR-072", [symlink(b"s", b"a\0b")]), ("PXAR-020", [symlink(b"s", b"")]),
    ("PXAR-075", [regular(b"a"), hardlink(b"b", 56, b"../a")]),
    ("PXAR-074", [regular(b"a"), hardlink(b"b", 56, b"a"), hardlink(b"c", 150, b"b")]),
    ("PXAR-074", [symlink(b"a", b"x"), hardlink(b"b", 56, b"a")]),
    ("PXAR-074", [hardlink(b"a", 56, b"a")]),
    ("PXAR-086", [regular(b"a", xattrs=[(b"", b"1")])]),
    ("PXAR-087", [regular(b"a", xattrs=[(b"user.a", b"1"), (b"user.a", b"1")])]),
    ("PXAR-110", [regular(b"a", acl=Acl(users=[(1, 7), (1, 6)], group_obj=7))]),
    ("PXAR-100", [regular(b"a", acl=Acl(group_obj=8))]),
    ("PXAR-101", [regular(b"a", acl=Acl(groups=[(1 << 32, 7)]))]),
    ("PXAR-050", [regular(b"a", mtime_nanos=10**9)]),
    ("PXAR-220", [Entry(b"a", "file", 0, 0, 0o100644)]),
    ("PXAR-220", [Entry(b"a", "fifo", 0, 0, 0o010644, target=b"x")]),
]


@pytest.mark.parametrize("rule,entries", FAULTS, ids=[f"{i}-{f[0]}" for i, f in enumerate(FAULTS)])
def test_made_up(rule: str, entries: list[Entry]) -> None:
    with pytest.raises(OracleError) as caught:
        parse(archive_of(entries))
    assert caught.value.rule == rule


def test_tolerated() -> None:
    """Unusual, but not wrong: order of names, explicit version 1, garbage in the padding."""
    parse(archive_of([regular(b"z"), regular(b"a"), hardlink(b"b", 56, b"z")]))
    assert len(parse(archive_of([regular(b"a")], version=1))) == 2
    with pytest.raises(OracleError):
        parse(archive_of([regular(b"a")], version=3))
    raw = bytearray(archive_of([]))
    raw[52:56] = b"junk"  # PXAR-055
    assert len(parse(bytes(raw))) == 1
