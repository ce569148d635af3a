# covers: CRT-025 CRT-026 CRT-028 CRT-029 CRT-042 CRT-066 CRT-102 CRT-109 CRT-110 CRT-124 CRT-132 CRT-146 CRT-183 PXAR-051
# covers: PXAR-053
# SPDX-License-Identifier: MIT
"""Rules of archive creation that need a file system with errors, or with times and flags that are rare: single system calls
are made to fail by a preloaded library (lib_fault.c)."""
from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT_USER, T0, Client, Repo, Result, mounted, program, stored_bytes

from oracle import catalog, pxar

NODUMP_FL, NODUMP_FLAG = 0x40, 0x00100000
SNAPSHOT = "host/box/2023-11-14T22:13:20Z"


@pytest.fixture(scope="session")
def shim(session_path: Path) -> Path:
    """The library to preload."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    if b"__asan_init" in Path(program()).resolve().read_bytes() or b"__tsan_init" in Path(program()).resolve().read_bytes():
        pytest.skip("a sanitizer's library wants to be the first")
    path = session_path / "fault.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(path),
                    str(Path(__file__).with_name("lib_fault.c")), "-ldl"], check=True)
    return path


@pytest.fixture
def create(make_client: Callable[..., Client], tmp_path: Path, shim: Path) -> Callable[..., Result]:
    """create(source, fault, ..., args=()): `pxar create` into out.pxar, with faults `CALL NAME ACTION`."""
    client = make_client()

    def run(source: Path, *faults: str, args: tuple[str, ...] = ()) -> Result:
        (tmp_path / "out.pxar").unlink(missing_ok=True)
        return client.run("pxar", "create", tmp_path / "out.pxar", source, *args,
                          env={"LD_PRELOAD": str(shim), "FAULTS": "\n".join(faults)})

    return run


def entries(tmp_path: Path) -> dict[bytes, pxar.Entry]:
    return {e.path: e for e in pxar.parse((tmp_path / "out.pxar").read_bytes())}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tree = tmp_path / "source"
    (tree / "d").mkdir(parents=True)
    for name in ("a", "b", "c", "d/x"):
        (tree / name).write_bytes(name.encode())
    (tree / "link").symlink_to("a")
    os.setxattr(tree / "b", "user.one", b"1")
    os.setxattr(tree / "b", "user.two", b"2")
    return tree


def test_without_faults_all_is_archived(create: Callable[..., Result], source: Path, tmp_path: Path) -> None:
    assert create(source).exit == 0
    found = entries(tmp_path)
    assert set(found) == {b"", b"a", b"b", b"c", b"d", b"d/x", b"link"}
    assert sorted(found[b"b"].xattrs) == [(b"user.one", b"1"), (b"user.two", b"2")]


@pytest.mark.parametrize(("fault", "missing", "warning"), [
    (f"fstatat b errno={errno.ENOENT}", {b"b"}, 'warning: file vanished while reading directory: "b"'),
    (f"fstatat b errno={errno.ESTALE}", {b"b"}, 'warning: stale file handle encountered while reading: "b"'),
    (f"openat b errno={errno.ESTALE}", {b"b"}, 'warning: stale file handle encountered while reading: "b"'),
    (f"openat d errno={errno.ESTALE}", {b"d", b"d/x"}, 'warning: stale file handle encountered while reading: "d"'),
    (f"flistxattr b errno={errno.ESTALE}", {b"b"}, 'warning: stale file handle encountered while reading: "b"'),
    (f"getflags b errno={errno.ESTALE}", {b"b"}, 'warning: stale file handle encountered while reading: "b"'),
    (f"readlinkat link errno={errno.ESTALE}", {b"link"}, 'warning: stale file handle encountered while reading: "link"'),
    (f"openat .pxarexclude errno={errno.ESTALE}", set(), ".pxarexclude"),
])
def test_stale_and_vanished_entries_are_left_out(create: Callable[..., Result], source: Path, tmp_path: Path, fault: str,
                                                 missing: set[bytes], warning: str) -> None:
    assert create(source).exit == 0
    whole = set(entries(tmp_path))
    result = create(source, fault)
    assert result.exit == 0 and warning in result.stderr
    assert set(entries(tmp_path)) == whole - missing


@pytest.mark.parametrize(("fault", "text"), [
    (f"fstatat b errno={errno.EIO}", '"b"'), (f"openat b errno={errno.EIO}", '"b"'), (f"openat b errno={errno.ELOOP}", '"b"'),
    (f"getdents source errno={errno.EIO}", "failed to read directory"), (f"getdents d errno={errno.EIO}", 'failed to read directory "d"'),
    (f"flistxattr b errno={errno.EIO}", '"b"'), (f"getflags b errno={errno.EIO}", '"b"'), (f"fgetxattr user.two errno={errno.EIO}", '"b"'),
    (f"fstatat b value={0o150644}", "unknown file type"), (f"openat .pxarexclude errno={errno.EIO}", ".pxarexclude"),
    (f"flistxattr b errno={errno.E2BIG}", "--skip-e2big-xattr"), (f"fgetxattr user.two errno={errno.E2BIG}", "--skip-e2big-xattr"),
])
def test_other_errors_end_the_creation(create: Callable[..., Result], source: Path, tmp_path: Path, fault: str, text: str) -> None:
    result = create(source, fault)
    assert result.exit == 1 and text in result.stderr
    assert not (tmp_path / "out.pxar").exists()


@pytest.mark.parametrize("error", ["ENOTTY", "ENOSYS", "EBADF", "EOPNOTSUPP", "EINVAL"])
def test_a_file_system_without_flags_gives_none(create: Callable[..., Result], source: Path, tmp_path: Path, error: str) -> None:
    assert create(source, f"getflags b errno={getattr(errno, error)}").exit == 0
    assert entries(tmp_path)[b"b"].flags == 0


def test_a_file_system_without_attributes_is_asked_once(create: Callable[..., Result], source: Path, tmp_path: Path) -> None:
    """EOPNOTSUPP turns attributes off for what follows, EBADF only means none here."""
    assert create(source, f"flistxattr a errno={errno.EBADF}").exit == 0
    assert len(entries(tmp_path)[b"b"].xattrs) == 2
    assert create(source, f"flistxattr a errno={errno.EOPNOTSUPP}").exit == 0
    assert entries(tmp_path)[b"b"].xattrs == []


def test_attributes_that_disappear_are_left_out(create: Callable[..., Result], source: Path, tmp_path: Path) -> None:
    for gone in ("ENODATA", "EOPNOTSUPP"):
        assert create(source, f"fgetxattr user.two errno={getattr(errno, gone)}").exit == 0
        assert entries(tmp_path)[b"b"].xattrs == [(b"user.one", b"1")]


def test_attributes_that_are_too_big_end_the_reading_of_this_entry_only(dir_repo: Repo, source: Path, tmp_path: Path, shim: Path) -> None:
    os.setxattr(source / "c", "user.three", b"3")
    names = os.listxattr(source / "b")  # in the kernel's order
    for fault, left in ((f"flistxattr b errno={errno.E2BIG}", []), (f"fgetxattr {names[1]} errno={errno.E2BIG}", names[:1])):
        dir_repo.client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0), "--skip-e2big-xattr",
                                  env={"LD_PRELOAD": str(shim), "FAULTS": fault})
        found = {e.path: e for e in pxar.parse(stored_bytes(dir_repo.store, SNAPSHOT, "root.pxar", tmp_path / "x"))}
        assert [n.decode() for n, _ in found[b"b"].xattrs] == left
        assert found[b"c"].xattrs == [(b"user.three", b"3")]
        dir_repo.client.expect_ok("snapshot", "forget", SNAPSHOT)


def test_files_marked_nodump_are_archived_with_their_flag(create: Callable[..., Result], source: Path, tmp_path: Path) -> None:
    assert create(source, f"getflags b value={NODUMP_FL}", f"getflags d value={NODUMP_FL}").exit == 0
    found = entries(tmp_path)
    assert found[b"b"].flags == found[b"d"].flags == NODUMP_FLAG and b"d/x" in found


def test_only_attributes_follow_the_switches(create: Callable[..., Result], source: Path, tmp_path: Path) -> None:
    """--no-* leave out attributes, never entries, flags or times."""
    os.mkfifo(source / "fifo")
    assert create(source, f"getflags b value={NODUMP_FL}").exit == 0
    whole = entries(tmp_path)
    assert create(source, f"getflags b value={NODUMP_FL}", args=("--no-xattrs", "--no-fcaps", "--no-acls", "--no-device-nodes",
                                                                 "--no-fifos", "--no-sockets")).exit == 0
    bare = entries(tmp_path)
    assert set(bare) == set(whole) and bare[b"b"].xattrs == []
    assert all((bare[p].mode, bare[p].flags, bare[p].mtime_ns) == (e.mode, e.flags, e.mtime_ns) for p, e in whole.items())


@pytest.mark.skipif(not ROOT_USER, reason="mounting needs root")
def test_a_stale_mount_point_is_left_out(create: Callable[..., Result], source: Path, tmp_path: Path) -> None:
    with mounted(source / "m"):
        assert create(source).exit == 0 and b"m" in entries(tmp_path)
        result = create(source, f"fstatfs m errno={errno.ESTALE}")
        assert result.exit == 0 and '"m"' in result.stderr
        assert set(entries(tmp_path)) == {b"", b"a", b"b", b"c", b"d", b"d/x", b"link"}
        result = create(source, f"fstatfs m errno={errno.EIO}")
        assert result.exit == 1 and '"m"' in result.stderr


def test_an_excluded_name_is_not_looked_at(create: Callable[..., Result], source: Path, tmp_path: Path) -> None:
    """Whatever its stat would say; a pattern for directories needs the type."""
    fault = f"fstatat b errno={errno.EIO}"
    assert create(source, fault, args=("--exclude", "b")).exit == 0
    assert b"b" not in entries(tmp_path)
    assert create(source, fault, args=("--exclude", "b/")).exit == 1


def test_a_stale_link_is_in_the_catalog_only(dir_repo: Repo, source: Path, tmp_path: Path, shim: Path) -> None:
    dir_repo.client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0),
                              env={"LD_PRELOAD": str(shim), "FAULTS": f"readlinkat link errno={errno.ESTALE}"})
    (archive,) = catalog.parse(stored_bytes(dir_repo.store, SNAPSHOT, "catalog.pcat1.didx", tmp_path / "x"))
    assert b"link" in [i.name for i in archive.children]
    paths = [e.path for e in pxar.parse(stored_bytes(dir_repo.store, SNAPSHOT, "root.pxar", tmp_path / "x"))]
    assert b"link" not in paths and b"d/x" in paths


# ---- values ----

@pytest.mark.parametrize(("when_ns", "stored"), [
    (-305112600 * 10**9, "e8 59 d0 ed ff ff ff ff 00 00 00 00 00 00 00 00"),
    (-305112600 * 10**9 - 10**6, "e7 59 d0 ed ff ff ff ff c0 87 8b 3b 00 00 00 00"),
    (-10**6, "ff ff ff ff ff ff ff ff c0 87 8b 3b 00 00 00 00"),
])
def test_times_before_the_epoch_are_counted_from_the_second_below(make_client: Callable[..., Client], tmp_path: Path, when_ns: int,
                                                                  stored: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "f").touch()
    os.utime(tmp_path / "source" / "f", ns=(0, when_ns))
    if (tmp_path / "source" / "f").stat().st_mtime_ns != when_ns:
        pytest.skip("this file system has no such times")
    make_client().expect_ok("pxar", "create", tmp_path / "out.pxar", tmp_path / "source")
    data = (tmp_path / "out.pxar").read_bytes()
    at = data.index(b"f\0") + 2 + 16 + 24  # FILENAME; header, mode, flags, owner of ENTRY
    assert data[at:at + 16] == bytes.fromhex(stored)


def test_types_have_the_numbers_of_the_format(make_client: Callable[..., Client], tmp_path: Path) -> None:
    import socket  # noqa: PLC0415
    tree = tmp_path / "s"
    tree.mkdir()
    (tree / "file").touch(mode=0o600)
    os.chmod(tree / "file", 0o7755)
    (tree / "link").symlink_to("x")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.relpath(tree / "sock"))
    wanted = {b"": 0o040000, b"file": 0o100000, b"link": 0o120000, b"fifo": 0o010000, b"sock": 0o140000}
    if ROOT_USER:
        os.mknod(tree / "char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(tree / "block", stat.S_IFBLK | 0o600, os.makedev(7, 0))
        wanted |= {b"char": 0o020000, b"block": 0o060000}
    make_client().expect_ok("pxar", "create", tmp_path / "out.pxar", tree)
    found = entries(tmp_path)
    assert {p: e.mode & 0o170000 for p, e in found.items()} == wanted
    assert found[b"file"].mode & 0o7777 == 0o7755
