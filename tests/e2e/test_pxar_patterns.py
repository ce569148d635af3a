# covers: CRT-022 CRT-024 CRT-040 CRT-041 CRT-043 CRT-045 CRT-046 CRT-047 CRT-048 CRT-050 CRT-055 CRT-056 CRT-057
# covers: CRT-070 CRT-071 CRT-072 CRT-074 CRT-075 CRT-076 CRT-077 CRT-079 CRT-080 CRT-081 CRT-082 CRT-086 CRT-089
# covers: CRT-092 CRT-094 CRT-096
# SPDX-License-Identifier: MIT
"""Exclude patterns from the command line and from a `.pxarexclude` file leave out what the original leaves out."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lib_pxar import USAGE, Archive, golden, place, remove

__all__ = ["place"]
GOLDEN = golden("patterns")
NAMES: list[str] = GOLDEN["tree"]
DIRS = {name.rpartition("/")[0] for name in NAMES}
ROWS: list[dict[str, Any]] = GOLDEN["rows"]
EACH = pytest.mark.parametrize("row", ROWS, ids=[ascii(r.get("pattern", r.get("patterns"))) for r in ROWS])
SANITIZED = "Sanitized exclude pattern."


def make_tree(path: Path) -> Path:
    path.mkdir()
    for name in NAMES:  # parents come first
        if name in DIRS:
            (path / name).mkdir()
        else:
            (path / name).write_text(name)
    return path


@pytest.fixture(scope="module")
def with_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same; each test writes its own `.pxarexclude` into it."""
    where = tmp_path_factory.mktemp("patterns")
    yield make_tree(where / "tree")
    remove(where)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tree of all rows; nothing is changed in it."""
    where = tmp_path_factory.mktemp("patterns")
    yield make_tree(where / "tree")
    remove(where)


def texts(row: dict[str, Any]) -> list[str]:
    return row.get("patterns") or [row["pattern"]]


def missing(archive: Archive) -> list[str]:
    """Names of the tree that the independent reader does not find in the archive."""
    return sorted(set(NAMES) - {path.decode() for path in archive.capture()})


@EACH
def test_command_line(row: dict[str, Any], shared: Path, place: Path) -> None:
    archives = [Archive(place, split=split) for split in (False, True)][:2 if ROWS.index(row) % 4 == 0 else 1]
    options = [f"--exclude={text}" for text in texts(row)]
    for archive in archives:
        made = archive.create(shared, *options)
        if "excluded" not in row["cli"]:  # the original crashes here
            made.expect_only_failure(USAGE, "invalid exclude pattern entry", "rule CRT-082")
            assert not archive.exists()
            continue
        assert made.expect_fine().lines == []
        assert missing(archive) == sorted(row["cli"]["excluded"])


@EACH
def test_exclude_file(row: dict[str, Any], with_file: Path, place: Path) -> None:
    source, archive = with_file, Archive(place)
    (source / ".pxarexclude").write_text("\n".join(texts(row)) + "\n")
    made = archive.create(source).expect_fine()
    if "excluded" not in row["file"]:  # CRT-045: reported, ignored
        assert missing(archive) == [] and any("bad pattern in" in line for line in made.lines), made
        return
    assert missing(archive) == sorted(row["file"]["excluded"])
    # CRT-050: the warning the original logs
    assert [SANITIZED in line for line in made.lines] == [SANITIZED in line for line in row["file"].get("log", [])]


def test_patterns_are_stored(shared: Path, place: Path) -> None:
    patterns = ["*.tmp", "!keep\"me", "d/e//", "b\\*"]
    text = "*.tmp\n!keep\"me\nd/e/\nb\\*\n"
    options = [f"--exclude={p}" for p in patterns]
    one, two = Archive(place, "one"), Archive(place, "two", split=True)
    one.create(shared, *options).expect_fine()
    two.create(shared, *options).expect_fine()
    one.extract(place / "t1").expect_fine()
    stored = place / "t1" / ".pxarexclude-cli"
    assert stored.read_text() == text and stored.stat().st_mtime_ns == 0
    assert one.list().expect_fine().out.splitlines()[-1] == '"/.pxarexclude-cli"'
    two.extract(place / "t2", "--prelude-target", place / "prelude").expect_fine()
    assert (place / "prelude").read_text() == json.dumps({"exclude-patterns": text}, separators=(",", ":"))
    assert not (place / "t2" / ".pxarexclude-cli").exists()
    # archiving what was extracted does not archive the stored patterns again (CRT-022)
    again = Archive(place, "again")
    again.create(place / "t1").expect_fine()
    assert b".pxarexclude-cli" not in again.capture()


@pytest.mark.parametrize("text", ["a\\", "[", "[^", "[a-", "[[:none:]]"])
def test_bad_patterns_are_usage_errors(text: str, shared: Path, place: Path) -> None:
    archive = Archive(place, split=True)
    archive.create(shared, "--exclude", "fine", f"--exclude={text}").expect_only_failure(USAGE, "invalid exclude pattern", "rule CRT-")
    assert not archive.exists()


def test_examples_of_the_documentation(place: Path) -> None:
    """CRT-096."""
    root = place / "folder"
    for sub in ("subfolder0", "subfolder1"):
        (root / sub).mkdir(parents=True)
        for n in range(4):
            (root / sub / f"file{n}").write_text(f"{n}\n")
    (root / ".pxarexclude").write_text("/subfolder0/file1\n/subfolder1/*\n!/subfolder1/file2\n")
    (root / "subfolder0" / ".pxarexclude").write_text("file3\n")
    archive = Archive(place)
    archive.create(root).expect_fine()
    assert sorted(archive.capture()) == [b"", b".pxarexclude", b"subfolder0", b"subfolder0/.pxarexclude",
                                         b"subfolder0/file0", b"subfolder0/file2", b"subfolder1",
                                         b"subfolder1/file2"]
