# covers: CRT-020 CRT-021 CRT-040 CRT-046 CRT-051 CRT-055 CRT-056 CRT-057 CRT-086 CRT-092 CRT-100 CRT-107 CRT-108
# covers: CRT-113 CRT-122 CRT-143 EXT-020 EXT-021 EXT-022 EXT-024 EXT-025 EXT-028 EXT-044 EXT-050 EXT-060 EXT-061
# covers: EXT-064 EXT-069 EXT-070 EXT-076 EXT-077 EXT-078 PXAR-170
# SPDX-License-Identifier: MIT
"""Random trees, patterns and selections: the independent writer makes the same bytes, the independent reader finds the
same tree, and the tree comes back. Repeat a run with the printed PBSREF_SEED; PBSREF_EXAMPLES makes it longer."""
from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from lib_pxar import (EXT4, IS_ROOT, MALFORMED, OK, PARTIAL, SEED, Archive, extracted_by, fs_type, place, remove, same, scan,
                      selected, written_by_oracle)
from oracle import acl, fsattr, patterns, pxar_write
from oracle.errors import OracleError

__all__ = ["place"]
EXAMPLES = int(os.environ.get("PBSREF_EXAMPLES", "12"))
PARTS = pytest.mark.parametrize("part", range(4))
SECOND = 10**9


def settled(part: int) -> Any:
    """Deterministic, nothing stored, the seed in the output of a failure."""
    def wrap(test: Any) -> Any:
        plain = settings(max_examples=EXAMPLES, database=None, deadline=None, print_blob=True,
                         phases=(Phase.generate, Phase.shrink),
                         suppress_health_check=list(HealthCheck))(test)
        return seed(SEED * 101 + part)(plain)
    print(f"PBSREF_SEED={SEED}, part {part}")
    return wrap


# ---- trees ----------------------------------------------------------------------------------------------------------

@dataclass
class Spec:
    """One name and what it is to be."""
    name: bytes
    kind: str
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    mtime_ns: int = 0
    pieces: list[tuple[str, int, int]] = field(default_factory=list)  # kind, seed, size
    target: bytes = b"x"
    device: tuple[int, int] = (0, 0)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    access: tuple[Any, ...] | None = None
    default: tuple[Any, ...] | None = None
    fcaps: bytes | None = None
    flags: int = 0
    link_to: int = 0
    children: list[Spec] = field(default_factory=list)


ODD = [b"\xff", b"\xc3\xa4", b"\xcc\x81", b"\xe2\x80\x8b", b"\n", b"\t", b"\r", b" ", b'"', b"'", b"\\", b"\x01", b"\x7f",
       b"-", b".", b"*", b"?", b"[", b"!", b"#", b"$", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80"]
LETTERS = st.sampled_from([b"a", b"b", b"c", b"A", b"0"])
NAMES = st.one_of(
    st.lists(LETTERS, min_size=1, max_size=3).map(b"".join),
    st.lists(st.one_of(LETTERS, st.sampled_from(ODD)), min_size=1, max_size=5).map(b"".join),
    st.sampled_from([b"lost+found", b"x" * 255, b"\xff" * 255, b"...", b".hidden", b"a.b", b"a-b", b"ab"]),
).filter(lambda n: n not in (b".", b".."))
BITS = st.integers(0, 7)
IDS = st.sampled_from([0, 1, 1000, 65534, 2**31, 2**32 - 2])
TIMES = st.one_of(st.integers(-2**31 * SECOND, (2**33) * SECOND), st.sampled_from([0, -1, 1, -SECOND, SECOND - 1, 1 - SECOND]))
OWNERS = st.tuples(IDS, IDS) if IS_ROOT else st.just((os.geteuid(), os.getegid()))
XATTRS = st.dictionaries(
    st.sampled_from([b"user.a", b"user.b", b"user.\xff", b"user." + b"n" * 100] + [b"trusted.t", b"trusted.u"] * IS_ROOT),
    st.binary(max_size=40), max_size=3)
NAMED = st.dictionaries(st.integers(0, 5).map(lambda i: i * 700), BITS, max_size=3)
ACLS = st.none() | st.tuples(BITS, BITS, BITS, BITS, NAMED, NAMED)
PIECES = st.lists(st.tuples(st.sampled_from(["data", "zeros", "hole"]), st.integers(0, 255),
                            st.sampled_from([0, 1, 5, 4095, 4096, 4097, 8192, 20000])), max_size=3)
FLAGS = st.sampled_from([0] * 8 + [fsattr.FLAGS[n][0] for n in ("noatime", "nodump", "sync")]
                        + [fsattr.FLAGS["immutable"][0], fsattr.FLAGS["append"][0]] * IS_ROOT)
FCAPS = st.none() | st.integers(0, 2**31).map(lambda bits: b"\x01\0\0\x02" + bits.to_bytes(4, "little") + bytes(12)) \
    if IS_ROOT else st.none()


def modes(least: int) -> st.SearchStrategy[int]:
    return st.integers(0, 0o7777).map(lambda m: m if IS_ROOT else m | least)


FILES = st.builds(Spec, NAMES, st.just("file"), modes(0o400), OWNERS, TIMES, PIECES, xattrs=XATTRS, access=ACLS, fcaps=FCAPS,
                  flags=FLAGS)
LINKS = st.builds(Spec, NAMES, st.just("symlink"), owner=OWNERS, mtime_ns=TIMES,
                  target=st.one_of(NAMES, st.just(b"/etc/passwd"), st.just(b"../" * 20 + b"x"), st.just(b"t" * 4000)))
HARD = st.builds(Spec, NAMES, st.just("hardlink"), link_to=st.integers(0, 50))
SPECIAL = st.builds(Spec, NAMES, st.sampled_from(["fifo", "socket"] + ["chardev", "blockdev"] * IS_ROOT), modes(0), OWNERS,
                    TIMES, device=st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1)))
LEAVES = st.one_of(FILES, FILES, FILES, LINKS, HARD, SPECIAL)


def directories(inner: st.SearchStrategy[Spec], least: int = 0) -> st.SearchStrategy[Spec]:
    entries = st.lists(st.one_of(inner, LEAVES), min_size=least, max_size=5 + least, unique_by=lambda s: s.name)
    return st.builds(Spec, NAMES, st.just("dir"), modes(0o700), OWNERS, TIMES, xattrs=XATTRS, access=ACLS, default=ACLS,
                     flags=FLAGS, children=entries)


TREES = directories(st.recursive(LEAVES, directories, max_leaves=10), 3)


def raw_acl(parts: tuple[Any, ...]) -> bytes:
    user, group, mask, other, users, groups = parts
    records = [(acl.USER_OBJ, user, acl.NO_ID), (acl.GROUP_OBJ, group, acl.NO_ID), (acl.OTHER, other, acl.NO_ID)]
    records += [(acl.USER, perm, who) for who, perm in users.items()]
    records += [(acl.GROUP, perm, who) for who, perm in groups.items()]
    if users or groups or mask & 1:
        records.append((acl.MASK, mask, acl.NO_ID))
    return acl.pack_raw(records)


def content(full: bytes, spec: Spec) -> None:
    with open(full, "wb") as f:
        size = 0
        for kind, number, length in spec.pieces:
            size += length
            if kind == "hole":
                f.truncate(size)
                f.seek(size)
            else:
                f.write(bytes(length) if kind == "zeros" else bytes((number + i * 7) % 256 for i in range(length)))


class Builder:
    """Makes a tree; attributes last, children before parents, flags after all."""

    def __init__(self, top: Path):
        self.files: list[bytes] = []
        self.flagged: list[tuple[bytes, int]] = []
        self.top = os.fsencode(top)

    def build(self, spec: Spec) -> None:
        stack = [(spec, self.top, False)]
        while stack:
            one, full, entered = stack.pop()
            if one.kind == "dir" and not entered:
                os.mkdir(full, 0o700)
                stack.append((one, full, True))
                stack += [(child, full + b"/" + child.name, False) for child in reversed(one.children)]
            else:
                self.leaf(one, full)
        for full, flags in self.flagged:
            fd = fsattr.open_quiet(full)
            try:
                fsattr.set_inode_flags(fd, flags)
            finally:
                os.close(fd)

    def leaf(self, spec: Spec, full: bytes) -> None:
        match spec.kind:
            case "hardlink":
                if self.files:
                    os.link(self.files[spec.link_to % len(self.files)], full)
                return
            case "file":
                content(full, spec)
                self.files.append(full)
            case "symlink":
                os.symlink(spec.target, full)
            case "fifo" | "socket":
                os.mknod(full, (stat.S_IFIFO if spec.kind == "fifo" else stat.S_IFSOCK) | 0o600)
            case "chardev" | "blockdev":
                kind = stat.S_IFCHR if spec.kind == "chardev" else stat.S_IFBLK
                os.mknod(full, kind | 0o600, os.makedev(*spec.device))
        self.attributes(spec, full)

    def attributes(self, spec: Spec, full: bytes) -> None:
        os.chown(full, *spec.owner, follow_symlinks=False)
        if spec.kind in ("file", "dir"):
            for name, value in spec.xattrs.items():
                os.setxattr(full, name, value)
            if spec.access:
                os.setxattr(full, acl.ACCESS, raw_acl(spec.access))
            if spec.default:
                os.setxattr(full, acl.DEFAULT, raw_acl(spec.default))
            if spec.fcaps:
                os.setxattr(full, "security.capability", spec.fcaps)
            if spec.flags:
                self.flagged.append((full, spec.flags))
        if spec.kind != "symlink":
            os.chmod(full, spec.mode)
        os.utime(full, ns=(spec.mtime_ns, spec.mtime_ns), follow_symlinks=False)


@contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """An empty directory for one example."""
    where = Path(tempfile.mkdtemp(dir=place))
    try:
        yield where
    finally:
        remove(where)


def built(spec: Spec, where: Path) -> Path:
    top = where / "source"
    Builder(top).build(spec)
    return top


@pytest.fixture
def room(place: Path) -> Path:
    if fs_type(place) != EXT4:
        pytest.skip("needs ext4 below the temporary directory: inode flags, order of attributes")
    return place


# ---- properties -----------------------------------------------------------------------------------------------------

def check_round_trip(spec: Spec, place: Path) -> None:
    with scratch(place) as where:
        source = built(spec, where)
        tree = scan(source)
        for split in (False, True):
            one, target = Archive(where, "one", split), where / f"target-{split}"
            assert one.create(source).expect_fine().lines == []
            assert one.bytes() == written_by_oracle(source, split), "the independent writer makes other bytes"
            same(one.capture(), tree)
            assert one.verify().expect_fine().out.startswith("ok: ")
            assert one.extract(target, "--strict").expect_fine().lines == []
            same(tree, scan(target), "nodump")  # EXT-078
        again = Archive(where, "again", True)
        again.create(source).expect_fine()
        assert again.bytes() == one.bytes()


@PARTS
def test_trees_come_back(part: int, room: Path) -> None:
    @settled(part)
    @given(TREES)
    def check(spec: Spec) -> None:
        check_round_trip(spec, room)
    check()


PATTERN = st.lists(st.sampled_from([b"a", b"b", b"c", b"A", b"0", b"*", b"**", b"?", b"/", b"[ab]", b"[^a]", b"\\*", b".", b"!",
                                    b"[[:alpha:]]", b"[a-", b"**/", b"/**", b" ", b"-"]), min_size=1, max_size=5).map(b"".join)
PLAIN_NAMES = st.lists(LETTERS, min_size=1, max_size=2).map(b"".join)
LINES = st.lists(PATTERN, min_size=1, max_size=3).map(b"\n".join)


def plain_directories(inner: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
    exclude = st.builds(lambda text: Spec(b".pxarexclude", "file", target=text), LINES)
    entries = st.lists(st.one_of(inner, inner, inner, exclude), max_size=6, unique_by=lambda s: s.name)
    return st.builds(Spec, PLAIN_NAMES, st.just("dir"), children=entries)


PLAIN = plain_directories(st.recursive(st.builds(Spec, PLAIN_NAMES, st.sampled_from(["file", "file", "fifo"])),
                                       plain_directories, max_leaves=12))


def built_plain(spec: Spec, where: Path) -> Path:
    """Names only; `.pxarexclude` files hold `target`."""
    top = where / "source"
    stack = [(spec, os.fsencode(top))]
    while stack:
        one, full = stack.pop()
        if one.kind == "dir":
            os.mkdir(full)
            stack += [(child, full + b"/" + child.name) for child in one.children]
        elif one.kind == "fifo":
            os.mkfifo(full)
        else:
            with open(full, "wb") as f:
                f.write(one.target + b"\n")
    return top


def parses(texts: list[bytes]) -> bool:
    try:
        for text in texts:
            patterns.parse(text)
    except OracleError:
        return False
    return True


def check_excludes(spec: Spec, texts: list[bytes], split: bool, place: Path) -> None:
    with scratch(place) as where:
        source, one = built_plain(spec, where), Archive(where, split=split)
        made = one.create(source, *(b"--exclude=" + text for text in texts))
        if not parses(texts):
            made.expect_failure(2, "invalid exclude pattern", "rule CRT-")
            assert not one.exists()
            return
        assert made.code == OK
        assert one.bytes() == written_by_oracle(source, split, pxar_write.Options(texts))
        nodes = one.capture()
        nodes.pop(b".pxarexclude-cli", None)
        same(nodes, selected(source, texts))


@PARTS
def test_excludes(part: int, place: Path) -> None:
    @settled(part)
    @given(PLAIN, st.lists(PATTERN, max_size=3), st.booleans())
    def check(spec: Spec, texts: list[bytes], split: bool) -> None:
        check_excludes(spec, texts, split, place)
    check()


def check_selection(spec: Spec, texts: list[bytes], from_file: bool, split: bool, place: Path) -> None:
    with scratch(place) as where:
        source, one, target = built_plain(spec, where), Archive(where, split=split), where / "target"
        one.create(source).expect_fine()
        links = {entry.path for entry in one.reader() if entry.link is not None}
        wanted = extracted_by(one.capture(), links, texts)
        (where / "list").write_bytes(b"# comment\n\n" + b"".join(b" " + t + b"\t\r\n" for t in texts))
        options = ["--files-from", where / "list"] if from_file else [b"--pattern=" + text for text in texts]
        one.extract(target, *options).expect_fine()
        assert set(scan(target)) == wanted


@PARTS
def test_selections(part: int, place: Path) -> None:
    usable = PATTERN.filter(lambda t: parses([t]) and t.strip() == t and not t.startswith(b"#"))

    @settled(part)
    @given(PLAIN, st.lists(usable, min_size=1, max_size=3), st.booleans(), st.booleans())
    def check(spec: Spec, texts: list[bytes], from_file: bool, split: bool) -> None:
        check_selection(spec, texts, from_file, split, place)
    check()


def damaged(data: bytes, edits: list[tuple[str, float, int]]) -> bytes:
    for kind, where, value in edits:
        at = int(where * max(len(data) - 1, 0))
        match kind:
            case "flip":
                data = data[:at] + bytes([data[at] ^ (1 << value % 8)]) + data[at + 1:] if data else data
            case "cut":
                data = data[:at]
            case "zero":
                data = data[:at] + bytes(min(value, len(data) - at)) + data[at + value:]
            case "grow":
                data = data[:at] + bytes([value]) * 8 + data[at:]
            case "huge":
                data = data[:at] + b"\xff" * min(8, len(data) - at) + data[at + 8:]
    return data


EDITS = st.lists(st.tuples(st.sampled_from(["flip", "flip", "flip", "cut", "zero", "grow", "huge"]), st.floats(0, 1),
                           st.integers(1, 64)), min_size=1, max_size=3)


@PARTS
def test_damage_never_hurts(part: int, room: Path) -> None:
    """Damaged archives end with an error or a result; always soon, and within the target."""
    archives: dict[bool, tuple[bytes, bytes | None]] = {}
    with scratch(room) as where:
        source = built(SAMPLE, where)
        (where / "outside").mkdir()
        for split in (False, True):
            archives[split] = written_by_oracle(source, split)
        before = scan(where / "source")

        @settled(part)
        @given(st.booleans(), st.booleans(), EDITS)
        def check(split: bool, in_payload: bool, edits: list[tuple[str, float, int]]) -> None:
            with scratch(where) as here:
                data, payload = archives[split]
                if in_payload and payload is not None:
                    payload = damaged(payload, edits)
                else:
                    data = damaged(data, edits)
                one = Archive(here, split=split).write(data, payload)
                listed = one.list(timeout=20)
                assert listed.code in (OK, MALFORMED), listed
                verdict = one.verify(timeout=20)
                assert verdict.code in (OK, MALFORMED), verdict
                done = one.extract(here / "target", timeout=20)
                assert done.code in (OK, MALFORMED, PARTIAL), done
                if verdict.code == OK and listed.code == OK:
                    assert done.code in (OK, PARTIAL), (done, verdict)
                one.dump("--output-format", "json", timeout=20)
        check()
        same(before, scan(where / "source"))


SAMPLE = Spec(b"", "dir", 0o755, children=[
    Spec(b"d", "dir", 0o750, children=[Spec(b"f", "file", pieces=[("data", 1, 5000)], xattrs={b"user.a": b"1"}),
                                       Spec(b"h", "hardlink"), Spec(b"s", "symlink", target=b"../x")]),
    Spec(b"e", "file", access=(6, 4, 7, 0, {5: 4}, {}), mode=0o640), Spec(b"p", "fifo"), Spec(b"z", "file", pieces=[("zeros", 0, 8192)]),
], default=(7, 5, 0, 0, {}, {}))
if not IS_ROOT:
    for _spec in (SAMPLE, *SAMPLE.children, *SAMPLE.children[0].children):
        _spec.owner = (os.geteuid(), os.getegid())
