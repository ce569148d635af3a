# covers: CRT-122 CRT-143 EXT-014 EXT-050 EXT-060 EXT-061 EXT-069 EXT-070 EXT-077 PXAR-074 PXAR-105 PXAR-106 PXAR-109
# SPDX-License-Identifier: MIT
"""Captures, comparison, and extraction of archives back into equal trees."""
from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from . import acl, archive_tree, fsattr, pxar_write, tree
from .errors import OracleError
from .golden import GOLDEN, golden_module, splitmix64
from .pxar import Reader
from .source import BytesSource

CLI = [sys.executable, str(Path(__file__).with_name("oracle.py"))]
TREES = [name for name in golden_module("trees").TREES if not name.startswith("goodbye")]
BUILD = Callable[[str], str]


def packed(source: str, split: bool, options: pxar_write.Options | None = None) -> Reader:
    archive, payload = io.BytesIO(), io.BytesIO() if split else None
    pxar_write.create(source, archive, payload, options)
    stream = None if payload is None else BytesSource(payload.getvalue())
    return Reader(BytesSource(archive.getvalue()), stream)


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *map(str, args)], capture_output=True, text=True, cwd="/")


@pytest.mark.parametrize("split", [False, True], ids=["v1", "split"])
@pytest.mark.parametrize("name", TREES)
def test_round_trip(name: str, split: bool, build: BUILD, full_fs: Path) -> None:
    source = build(name)
    reader, selection = packed(source, split), pxar_write.Selection()
    wanted = tree.scan(source, selection)
    assert tree.compare(archive_tree.capture(reader), wanted) == []
    target = str(full_fs / "target")
    archive_tree.extract(packed(source, split), target)
    assert tree.compare(tree.scan(target), wanted) == []


def test_differences_are_found(build: BUILD, full_fs: Path) -> None:
    """One change of every kind, each reported under the name that ignores it."""
    source = os.fsencode(build("modes"))
    one = source + b"/mode-0777"
    old = tree.scan(source)
    fd = fsattr.open_quiet(one)

    def owner() -> None:
        os.chown(one, 7, 8)
        os.chmod(one, 0o4777)  # chown takes setuid away

    def link() -> None:
        os.link(source + b"/mode-0400", source + b"/sticky/x")
        os.utime(source + b"/sticky", ns=(1_700_000_000 * 10**9,) * 2)

    records = [(acl.USER_OBJ, 7, acl.NO_ID), (acl.USER, 7, 5), (acl.GROUP_OBJ, 7, acl.NO_ID),
               (acl.MASK, 7, acl.NO_ID), (acl.OTHER, 7, acl.NO_ID)]
    changes: list[tuple[str, Callable[[], object]]] = [
        ("mtime", lambda: os.utime(one, ns=(1, 1))), ("mode", lambda: os.chmod(one, 0o4777)),
        ("owner", owner), ("xattrs", lambda: os.setxattr(one, "user.x", b"1")),
        ("acls", lambda: os.setxattr(one, acl.ACCESS, acl.pack_raw(records))),
        ("fcaps", lambda: os.setxattr(one, tree.CAPABILITY, b"\1\0\0\2" + bytes(16))),
        ("flags", lambda: fsattr.set_inode_flags(fd, fsattr.FLAGS["noatime"][0])),
        ("nodump", lambda: fsattr.set_inode_flags(
            fd, fsattr.NODUMP | fsattr.FLAGS["noatime"][0]))]
    try:
        for name, change in changes:
            change()
            new = tree.scan(source)
            assert len(tree.compare(old, new)) == 1, name
            assert tree.compare(old, new, [name]) == [], name
            old = new
    finally:
        os.close(fd)
    link()
    new = tree.scan(source)
    assert tree.compare(old, new) == [
        "'/mode-0400': hard link of: None != b'mode-0400'",
        "'/sticky/x': only in the second (file)"]
    with pytest.raises(ValueError):
        tree.compare(old, new, ["nonsense"])


def test_contents_and_types(full_fs: Path) -> None:
    for side in ("a", "b"):
        (full_fs / side).mkdir()
        (full_fs / side / "f").write_bytes(b"same size " + side.encode())
    (full_fs / "a" / "x").symlink_to("y")
    (full_fs / "b" / "x").mkdir()
    found = tree.compare(tree.scan(str(full_fs / "a")), tree.scan(str(full_fs / "b")),
                         ["mtime", "mode"])
    assert [line.split(":")[1] for line in found] == [" content", " type", " target"]


def test_acls_survive() -> None:
    records = [(1, 7, acl.NO_ID), (2, 5, 1001), (4, 5, acl.NO_ID), (16, 7, acl.NO_ID),
               (32, 0, acl.NO_ID)]
    items = acl.to_items(acl.pack_raw(records), None)
    assert (items.users, items.group_obj) == ([(1001, 5)], 5)  # PXAR-111
    assert acl.to_raw(items, 0o770) == {acl.ACCESS: acl.pack_raw(records)}
    for raw in (b"", b"\1\0\0\0", acl.pack_raw(records)[:-1]):
        with pytest.raises(OracleError):
            acl.parse_raw(raw)


def test_immutable_files(full_fs: Path) -> None:
    """EXT-050: our extractor sets the flag after the last hard link."""
    source, target = full_fs / "source", full_fs / "target"
    source.mkdir()
    (source / "a").write_bytes(b"locked\n")
    os.link(source / "a", source / "b")
    fds = []
    try:
        fds.append(fsattr.open_quiet(os.fsencode(source / "a")))
        fsattr.set_inode_flags(fds[0], fsattr.FLAGS["immutable"][0] | fsattr.NODUMP)
        archive_tree.extract(packed(str(source), True), str(target))
        fds.append(fsattr.open_quiet(os.fsencode(target / "a")))
        assert tree.compare(tree.scan(str(source)), tree.scan(str(target))) == []
    finally:
        for fd in fds:
            fsattr.set_inode_flags(fd, 0)
            os.close(fd)


def test_extract_refuses(full_fs: Path) -> None:
    (full_fs / "s").mkdir()
    (full_fs / "t").mkdir()
    (full_fs / "t" / "x").write_bytes(b"")
    with pytest.raises(FileExistsError):
        archive_tree.extract(packed(str(full_fs / "s"), False), str(full_fs / "t"))


def test_command_line(build: BUILD, full_fs: Path) -> None:
    source, a, p = build("hardlinks"), full_fs / "a.mpxar", full_fs / "a.ppxar"
    made = run("pxar-create", source, a, "--payload-output", p, "--exclude", "alone")
    assert made.returncode == 0
    dump = run("pxar-dump", a, "--payload-input", p)
    value = json.loads(dump.stdout)
    assert dump.returncode == 0 and value["version"] == 2
    assert value["prelude"] == '{"exclude-patterns":"alone\\n"}'
    assert [e["path"] for e in value["entries"]][:3] == ["/", "/a", "/a/first"]
    args = ("pxar-compare", a, source, "--payload-input", p)
    assert run(*args, "--exclude", "alone").returncode == 0
    left = run(*args)
    assert left.returncode == 1 and "'/z/alone': only in the second" in left.stdout
    target = full_fs / "target"
    assert run("pxar-extract", a, target, "--payload-input", p).returncode == 0
    diff = run("tree-diff", source, target)
    assert diff.returncode == 1 and diff.stdout == "'/z/alone': only in the first (file)\n"
    assert run("tree-diff", source, source, "--ignore", "mtime,owner").returncode == 0
    a.write_bytes(a.read_bytes()[:-1])
    dump = run("pxar-dump", a)
    assert dump.returncode == 3 and json.loads(dump.stdout)["error"]["rule"] == "PXAR-225"
    assert run("pxar-extract", a, full_fs / "other").returncode == 3
    assert run("pxar-dump", full_fs / "missing").returncode == 1


def test_the_noise_of_sources_is_that_of_the_script() -> None:
    """golden.splitmix64 computes many words at once; the script says what they are."""
    text = subprocess.run([sys.executable, "-c", "import sys, trees; [print(trees.noise(s, n).hex()) for s in (0, 1, 51388, 2**64 - 1) "
                           "for n in (0, 1, 7, 8, 9, 16383, 16384, 16385, 50001)]"],
                          capture_output=True, text=True, check=True, cwd=GOLDEN, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}).stdout
    assert text.split("\n")[:-1] == [splitmix64(s, n).hex() for s in (0, 1, 51388, 2**64 - 1)
                                     for n in (0, 1, 7, 8, 9, 16383, 16384, 16385, 50001)]
