# covers: CLI-003 CLI-080 CLI-081 CLI-085 CLI-086 CLI-091 CRT-004 CRT-010 CRT-030 CRT-170 CRT-182 EXT-004 EXT-007
# covers: EXT-011 EXT-015 EXT-051 EXT-090 EXT-100 EXT-142 PXAR-223 PXAR-225 PXAR-229 PXAR-240 PXAR-243
# SPDX-License-Identifier: MIT
"""What cannot work: the exit status is the one of its kind, there is one clear line, and no part of an output stays."""
from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lib_defects import compose
from lib_pxar import (FAILED, IS_ROOT, MALFORMED, OK, PARTIAL, USAGE, Archive, golden_archive, place, run, scan,
                      written_by_oracle)

from oracle.pxar_write import Encoder

__all__ = ["place"]
NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="needs root: mounts a small file system")
NEEDS_USER = pytest.mark.skipif(IS_ROOT, reason="needs a normal user: root may read everything")
SPLIT = pytest.mark.parametrize("split", [False, True], ids=["v1", "split"])


@pytest.fixture
def source(place: Path) -> Path:
    top = place / "source"
    (top / "sub").mkdir(parents=True)
    (top / "a").write_bytes(bytes(range(256)) * 40)
    (top / "sub" / "b").write_text("b\n")
    os.link(top / "a", top / "sub" / "again")
    (top / "link").symlink_to("a")
    return top


@pytest.fixture
def small_fs(place: Path) -> Iterator[Path]:
    """A tmpfs of 256 KiB."""
    where = place / "small"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(where)], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {made.stderr.strip()}")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


# ---- creating -------------------------------------------------------------------------------------------------------

@SPLIT
@pytest.mark.parametrize("what", ["missing", "a file", "a symlink", "a broken symlink"])
def test_sources_that_are_no_directories(what: str, split: bool, source: Path, place: Path) -> None:
    path = place / "thing"
    if what == "a file":
        path.write_text("x")
    elif what != "missing":
        path.symlink_to(source if what == "a symlink" else "nowhere")
    archive = Archive(place, split=split)
    archive.create(path).expect_only_failure(FAILED, str(path))
    assert not archive.exists()


def test_a_virtual_file_system_is_no_source(place: Path) -> None:
    archive = Archive(place)
    archive.create("/proc").expect_only_failure(FAILED, "refusing to backup a virtual file system", "rule CRT-010")
    assert not archive.exists()


@pytest.mark.parametrize("which", ["archive", "payload", "dangling link"])
def test_existing_outputs_are_left_alone(which: str, source: Path, place: Path) -> None:
    archive = Archive(place, split=True)
    assert archive.payload
    old = archive.payload if which == "payload" else archive.path
    other = archive.path if which == "payload" else archive.payload
    old.symlink_to("elsewhere") if which == "dangling link" else old.write_text("precious")
    archive.create(source).expect_only_failure(FAILED, str(old), "File exists")
    assert not other.exists() and not (place / "elsewhere").exists()
    assert old.is_symlink() if which == "dangling link" else old.read_text() == "precious"


def test_one_file_for_both_halves(source: Path, place: Path) -> None:
    run("create", place / "x", source, "--payload-output", place / "x").expect_only_failure(FAILED, "File exists")
    assert not (place / "x").exists()


def test_an_output_directory_that_is_missing(source: Path, place: Path) -> None:
    run("create", place / "no" / "a.pxar", source).expect_only_failure(FAILED, "No such file or directory")
    run("create", place / "a.mpxar", source, "--payload-output", place / "no" / "p").expect_only_failure(FAILED, "No such file")
    assert not (place / "a.mpxar").exists()


@SPLIT
def test_too_many_entries(split: bool, source: Path, place: Path) -> None:
    """CRT-030: the limit is on one path of directories, and the exact number is allowed."""
    archive = Archive(place, split=split)
    for limit in (0, 1, 4):  # a, link, sub; in sub: again, b
        result = archive.create(source, "--entries-max", limit)
        result.expect_only_failure(FAILED, f"exceeded allowed number of file entries (> {limit})", "rule CRT-030")
        assert not archive.exists()
    archive.create(source, "--entries-max", 5).expect_fine()


@NEEDS_ROOT
@SPLIT
@pytest.mark.parametrize("size", [200_000, 300_000, 5_000_000])
def test_disk_full_while_creating(size: int, split: bool, source: Path, small_fs: Path) -> None:
    (source / "large").write_bytes(os.urandom(size))
    archive = Archive(small_fs, split=split)
    result = archive.create(source)
    if size < 256_000:
        result.expect_fine()
        return
    result.expect_only_failure(FAILED, "No space left on device")
    assert list(small_fs.iterdir()) == []


@NEEDS_ROOT
def test_disk_full_of_one_half_takes_the_other_away(source: Path, small_fs: Path, place: Path) -> None:
    (source / "large").write_bytes(bytes(1_000_000))
    run("create", place / "a.mpxar", source, "--payload-output", small_fs / "p").expect_only_failure(FAILED, "No space left")
    assert not (place / "a.mpxar").exists() and list(small_fs.iterdir()) == []


@NEEDS_USER
def test_unreadable_entries_are_skipped_with_a_warning(source: Path, place: Path) -> None:
    """CRT-182: what cannot be opened is named; the archive of the rest is whole."""
    (source / "sub").chmod(0)
    (source / "secret").write_text("s")
    (source / "secret").chmod(0)
    archive = Archive(place)
    result = archive.create(source).expect_fine()
    assert sum("failed to open file" in line and "access denied" in line for line in result.lines) == 2, result
    assert sorted(archive.capture()) == [b"", b"a", b"link"]
    (source / "sub").chmod(0o700)


@NEEDS_USER
def test_an_unreadable_source(source: Path, place: Path) -> None:
    source.chmod(0)
    archive = Archive(place)
    archive.create(source).expect_only_failure(FAILED, str(source), "Permission denied")
    assert not archive.exists()
    source.chmod(0o700)


def test_an_output_that_nobody_reads(place: Path) -> None:
    """A pipe without reader is an error like others, no death by a signal."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = run("list", golden_archive("names", False).path, stdout=write_end)
    os.close(write_end)
    result.expect_only_failure(FAILED, "standard output", "Broken pipe")


# ---- reading --------------------------------------------------------------------------------------------------------

@SPLIT
def test_truncated_at_every_offset(split: bool, place: Path) -> None:
    """No beginning of an archive passes; each says that it ended too early, and where."""
    data, payload = golden_archive("one-file", split).bytes()
    for size in range(0, len(data), 1 if len(data) < 120 else 3):
        archive = Archive(place, split=split).write(data[:size], payload)
        archive.list().expect_only_failure(MALFORMED, "rule PXAR-", "offset ")
        if size % 5 == 0:
            archive.verify().expect_failure(MALFORMED, "rule PXAR-22", "offset ")
            archive.extract(place / "target").expect_failure(MALFORMED, "rule PXAR-22", "offset ")


def test_truncated_payload(place: Path) -> None:
    data, payload = golden_archive("sizes", True).bytes()
    assert payload
    for size in (0, 8, 16, 100, 4096, len(payload) - 17, len(payload) - 16, len(payload) - 1):
        archive = Archive(place, split=True).write(data, payload[:size])
        archive.verify().expect_failure(MALFORMED, "rule PXAR-")
        result = archive.extract(place / f"target-{size}")
        if size < len(payload) - 16:
            assert result.code in (MALFORMED, PARTIAL), result


def test_every_bit_of_a_small_archive(place: Path) -> None:
    """One flipped bit per byte: an error, or an archive that can be read to its end and extracted."""
    data, _ = golden_archive("root-attributes", False).bytes()
    for at in range(0, len(data), 2):
        flipped = data[:at] + bytes([data[at] ^ 1 << at // 2 % 8]) + data[at + 1:]
        verdict = Archive(place).write(flipped).verify(timeout=20)
        assert verdict.code in (OK, MALFORMED), verdict
        if verdict.code == MALFORMED:
            verdict.expect_failure(MALFORMED, "rule ")


@pytest.mark.parametrize("verb", ["list", "verify", "extract", "dump"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive at all", bytes(4096), b"\xff" * 4096, b"a\n" * 3000],
                         ids=["empty", "zip", "zeros", "ones", "text"])
def test_other_files_are_no_archives(content: bytes, verb: str, place: Path) -> None:
    archive = Archive(place).write(content)
    extra = [place / "target"] if verb == "extract" else []
    run(verb, archive.path, *extra).expect_failure(MALFORMED, str(archive.path), "rule PXAR-", "offset ")
    assert not (place / "target").exists()


@pytest.mark.parametrize("verb", ["list", "verify", "extract"])
def test_halves_that_do_not_belong_together(verb: str, place: Path) -> None:
    data, _ = golden_archive("sizes", True).bytes()
    _, other = golden_archive("names", True).bytes()
    archive = Archive(place, split=True).write(data, other)
    extra = (place / "target",) if verb == "extract" else ()
    result = archive._read(verb, extra, {})
    result.expect_failure(PARTIAL if result.code == PARTIAL else MALFORMED, "rule ")
    # a payload that is no payload, a version 1 archive in its place, both exchanged
    archive.write(data, b"x" * 200)
    archive._read(verb, extra, {}).expect_failure(MALFORMED, "rule PXAR-")
    archive.write(data, golden_archive("sizes", False).bytes()[0])
    archive._read(verb, extra, {}).expect_failure(MALFORMED, "rule PXAR-")
    archive.write(other or b"", data)
    archive._read(verb, extra, {}).expect_failure(MALFORMED, "rule PXAR-")


@pytest.mark.parametrize("verb", ["list", "verify", "extract"])
def test_split_archives_need_their_payload(verb: str, place: Path) -> None:
    path = golden_archive("one-file", True).path
    run(verb, path).expect_only_failure(USAGE, "Payload input required", "--payload-input", "rule CLI-091")
    renamed = place / "other-name"  # EXT-142
    renamed.write_bytes(path.read_bytes())
    result = run(verb, renamed, *([place / "target"] if verb == "extract" else []))
    assert result.code in (USAGE, MALFORMED), result
    result.expect_failure(result.code)
    run(verb, path, "--payload-input", place / "missing").expect_only_failure(FAILED, "missing", "No such file")


@pytest.mark.parametrize("verb", ["list", "verify", "extract", "dump"])
def test_archives_that_cannot_be_opened(verb: str, place: Path) -> None:
    (place / "dir").mkdir()
    run(verb, place / "nothing").expect_only_failure(FAILED, "nothing", "No such file or directory")
    run(verb, place / "dir").expect_failure(FAILED, "dir", "directory")


def test_a_payload_for_a_version_1_archive(place: Path) -> None:
    one = golden_archive("one-file", False).path
    payload = golden_archive("one-file", True).payload
    for verb in ("list", "verify"):
        run(verb, one, "--payload-input", payload).expect_failure(MALFORMED, "file contents inside the metadata archive", "rule PXAR-248")


def test_endless_input_ends(place: Path) -> None:
    """A fifo that gives an archive byte by byte is read to its end; one that stops early is an error."""
    data, _ = golden_archive("one-file", False).bytes()
    for size, code in ((len(data), OK), (len(data) // 2, MALFORMED)):
        fifo = place / f"fifo-{size}"
        os.mkfifo(fifo)

        def feed(path: Path = fifo, end: int = size) -> None:
            with open(path, "wb", buffering=0) as f:
                for byte in data[:end]:
                    f.write(bytes([byte]))
        feeder = threading.Thread(target=feed)
        feeder.start()
        result = run("list", fifo, timeout=20)
        feeder.join()
        assert result.code == code, result


def test_bytes_behind_the_archive(place: Path) -> None:
    """EXT-015: extraction does not care, verification does."""
    data, _ = golden_archive("one-file", False).bytes()
    archive = Archive(place).write(data + b"rest")
    assert archive.verify().expect_failure(MALFORMED, "rule PXAR-036")
    if IS_ROOT:
        archive.extract(place / "target").expect_fine()


@SPLIT
@pytest.mark.parametrize(("names", "path"), [
    ([b"x", b"y", b"y"], '"/y"'),       # next to each other: the second one is named
    ([b"x", b"y", b"x", b"y"], '"/"'),  # apart: their directory
])
def test_names_that_are_there_twice(split: bool, names: list[bytes], path: str, place: Path) -> None:
    """EXT-051: listed, as the original does, but neither sound nor extracted."""
    data, contents = io.BytesIO(), io.BytesIO()
    compose(Encoder(data, contents if split else None, None), [("file", name, b"%d" % i) for i, name in enumerate(names)])
    archive = Archive(place, split=split).write(data.getvalue(), contents.getvalue() if split else None)
    assert len(archive.list().expect_fine().out.splitlines()) == 1 + len(names)
    result = archive.verify()
    assert result.code == MALFORMED, result
    errors = [line for line in result.out.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and errors[0].startswith(f"error: {path}: ") and errors[0].endswith("rule EXT-051)"), errors
    assert archive.extract(place / "out").code == PARTIAL
    assert archive.extract(place / "strict", "--strict").code == FAILED


# ---- extracting -----------------------------------------------------------------------------------------------------

@NEEDS_ROOT
def test_disk_full_while_extracting(source: Path, small_fs: Path, place: Path) -> None:
    (source / "large").write_bytes(bytes(range(1, 256)) * 4000)
    archive = Archive(place)
    archive.create(source).expect_fine()
    tolerant = archive.extract(small_fs / "t", "--no-xattrs", "--no-acls")
    tolerant.expect_failure(tolerant.code)
    assert tolerant.code in (PARTIAL, FAILED) and "No space left" in tolerant.err, tolerant
    strict = archive.extract(small_fs / "t2", "--strict")
    strict.expect_failure(FAILED)
    assert "No space left" in strict.err or "ENOSPC" in strict.err, strict


@NEEDS_USER
def test_a_target_without_permission(source: Path, place: Path) -> None:
    archive = Archive(place)
    archive.create(source).expect_fine()
    (place / "closed").mkdir(mode=0o500)
    archive.extract(place / "closed" / "t").expect_only_failure(FAILED, "Permission denied")
    assert archive.extract(place / "closed").expect_failure(PARTIAL).lines[0].startswith("error: ")


def test_files_from(source: Path, place: Path) -> None:
    """EXT-007: read first, one bad line ends it before anything is made."""
    archive = Archive(place)
    archive.create(source).expect_fine()
    target = place / "target"
    archive.extract(target, "--files-from", place / "none").expect_only_failure(FAILED, "none", "No such file")
    (place / "list").write_text("sub\na[b\n")
    result = archive.extract(target, "--files-from", place / "list")
    result.expect_only_failure(result.code, f"bad pattern in file '{place / 'list'}'", "rule CRT-082")
    assert result.code in (USAGE, MALFORMED)
    result = archive.extract(target, "--pattern=[")
    result.expect_only_failure(USAGE, "error in pattern", "rule CRT-082")
    assert not target.exists()
    (place / "list").write_text("# only this\n\n  sub/b \n")
    archive.extract(target, "--files-from", place / "list", "--pattern=link").expect_fine()
    assert set(scan(target)) == {b"", b"sub", b"sub/b", b"link"}


def test_prelude_targets(source: Path, place: Path) -> None:
    """EXT-100, EXT-101."""
    archive, prelude = Archive(place, split=True), place / "prelude"
    archive.create(source, "--exclude", "x").expect_fine()
    archive.extract(place / "1", "--prelude-target", prelude).expect_fine()
    text = prelude.read_text()
    assert text == '{"exclude-patterns":"x\\n"}'
    prelude.write_text("older and longer than that, certainly")
    result = archive.extract(place / "2", "--prelude-target", prelude)
    result.expect_only_failure(FAILED, str(prelude), "File exists")
    assert prelude.read_text().startswith("older")
    archive.extract(place / "2", "--prelude-target", prelude, "--overwrite-files").expect_fine()
    assert prelude.read_text() == text
    archive.write(*written_by_oracle(source, True))
    prelude.unlink()
    assert "No prelude entry found" in archive.extract(place / "3", "--prelude-target", prelude).expect_fine().err
    assert not prelude.exists()
