# covers: CLI-085 EXT-003 EXT-004 EXT-006 EXT-013 EXT-020 EXT-021 EXT-022 EXT-023 EXT-024 EXT-025 EXT-026 EXT-027
# covers: EXT-028 EXT-033 EXT-034 EXT-035 EXT-036 EXT-038 EXT-040 EXT-043 EXT-046 EXT-047 EXT-048 EXT-051 EXT-091
# covers: EXT-092 EXT-093
# SPDX-License-Identifier: MIT
"""The 177 extractions of extract.json through the command line, and hostile archives: nothing outside the target is
touched, and the result is the original's but where spec/deviations.md says otherwise."""
from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from lib_pxar import (FAILED, GOLDEN, IS_ROOT, MALFORMED, OK, PARTIAL, Archive, Result, extracted_by, golden, place,
                      root_place, run, scan)
from oracle import archive_tree, pxar
from oracle.pxar_items import Content, Entry, Link
from oracle.pxar_write import Encoder

__all__ = ["place", "root_place"]
ROWS: list[dict[str, Any]] = golden("extract")["rows"]
ARCHIVE = GOLDEN / "extract.pxar"
KINDS = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo"}
# deviations.md: the row's state before, an option -> what happens here (EXT-035, EXT-036)
REPLACED = [(before, option) for before in ("symlink f -> outside file", "dangling symlink f", "fifo f exists")
            for option in ("--overwrite", "--overwrite-files")]
REFUSED = [("symlink d -> outside dir", "--allow-existing-dirs")]
FIRST = {row["before"]: row for row in reversed(ROWS) if not row["options"] and "split" not in row}


def prepare(before: str, target: Path, outside: Path) -> None:
    """The state before a row."""
    outside.mkdir()
    if before == "missing":
        return
    target.mkdir()
    what, name = before.split()[0], before.split()[1] if " " in before else ""
    if before == "symlink f -> outside file":
        (outside / "victim").write_text("untouched\n")
        (target / "f").symlink_to(outside / "victim")
    elif before == "symlink d -> outside dir":
        (outside / "dir").mkdir()
        (target / "d").symlink_to(outside / "dir")
    elif before == "dangling symlink f":
        (target / "f").symlink_to(outside / "nothing")
    elif before == "symlink l exists":
        (target / "l").symlink_to("elsewhere")
    elif what == "file":
        (target / name).write_text("old\n")
    elif what == "fifo":
        os.mkfifo(target / name, 0o644)
    elif what == "directory":
        (target / name).mkdir()
        if "with" in before:
            (target / name / ("y" if "with y" in before else "other")).write_text("old\n")
    else:
        assert before == "empty", before


def shape(top: Path, outside: Path) -> dict[str, dict[str, Any]]:
    """A directory as extract.json describes it; times that are not archived ones are "now"."""
    out: dict[str, dict[str, Any]] = {}
    first: dict[int, str] = {}
    paths = sorted((str(p.relative_to(top)) for p in top.rglob("*")), key=lambda p: (p.count("/"), p))
    for path in paths:
        st = os.lstat(top / path)
        kind = KINDS[stat.S_IFMT(st.st_mode)]
        node = {"type": kind, "mode": oct(stat.S_IMODE(st.st_mode)), "uid": st.st_uid, "gid": st.st_gid}
        if kind in ("dir", "file"):
            node["mtime_ns"] = st.st_mtime_ns if st.st_mtime < 1_700_000_001 else "now"
        if kind == "file":
            node["content"] = (top / path).read_text()
            if st.st_nlink > 1:
                node["link_of"] = first.setdefault(st.st_ino, path)
        if kind == "symlink":
            node["target"] = os.readlink(top / path).replace(str(outside), "OUTSIDE")
        out[path] = node
    return out


def wanted(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {n["path"]: {k: v for k, v in n.items() if k != "path"} for n in nodes}


def said(row: dict[str, Any]) -> list[str]:
    """The original's errors, each as the line that we print: the chain of causes in one."""
    out: list[str] = []
    for line in row["printed"]:
        if line.startswith("error: "):
            out.append("error:")
        elif line.startswith("    "):
            out[-1] += (": " if out[-1] != "error:" else " ") + line.partition(": ")[2]
    return out


def check_messages(row: dict[str, Any], result: Result) -> None:
    if row["exit"] == 0:
        assert result.code == OK and result.lines == [], result
    elif "--strict" in row["options"]:
        result.expect_only_failure(FAILED, row["printed"][-1].removeprefix("Error: error extracting archive - "))
    else:
        result.expect_failure(PARTIAL, "there were errors", "rule EXT-004")
        lines = said(row)
        if len(row["printed"]) == 12:  # cut there in extract.json: the last one is not whole
            assert result.lines[:len(lines) - 1] == lines[:-1], result
        else:
            assert result.lines[:-1] == lines, result


def extract(row: dict[str, Any], place: Path) -> tuple[Result, Path, Path]:
    target, outside = place / "target", place / "outside"
    prepare(row["before"], target, outside)
    archive = Archive(place, "extract", bool(row.get("split")))
    if archive.split:  # the same tree as a split archive
        run("extract", ARCHIVE, place / "tree").expect_fine()
        archive.create(place / "tree").expect_fine()
    else:
        archive.write(ARCHIVE.read_bytes())
    return archive.extract(target, *row["options"]), target, outside


def has(row: dict[str, Any], listed: list[tuple[str, str]]) -> bool:
    return any((row["before"], option) in listed for option in row["options"])


@pytest.mark.parametrize("row", ROWS, ids=[f"{r['before']} {' '.join(r['options'])}{' split' * ('split' in r)}" for r in ROWS])
def test_as_the_original(row: dict[str, Any], root_place: Path) -> None:
    result, target, outside = extract(row, root_place)
    plain = FIRST[row["before"]]
    if has(row, REPLACED):
        assert result.expect_fine().lines == []
        assert shape(target, outside) == wanted(FIRST["missing"]["after"])
        assert shape(outside, outside) == wanted(plain["outside"])
    elif has(row, REFUSED):
        result.expect_failure(FAILED if "--strict" in row["options"] else PARTIAL)
        assert shape(outside, outside) == wanted(plain["outside"])
        if "--strict" not in row["options"]:
            assert shape(target, outside) == wanted(plain["after"])
    elif row["printed"] and "parameter verification failed" in row["printed"][0]:  # EXT-006: ours takes them
        texts = [os.fsencode(p) for p in row["options"][1::2]]
        reader = pxar.open_reader(str(ARCHIVE))
        links = {e.path for e in reader if e.link is not None}
        nodes = archive_tree.capture(pxar.open_reader(str(ARCHIVE)))
        chosen = extracted_by(nodes, links, texts)
        lost = {b"h"} & chosen if b"f" not in chosen else set()  # EXT-028: the link's target was not chosen
        result.expect_failure(PARTIAL) if lost else result.expect_fine()
        assert set(scan(target)) == chosen - lost
    else:
        check_messages(row, result)
        assert shape(target, outside) == wanted(row["after"])
        assert shape(outside, outside) == wanted(row["outside"])


# ---- hostile archives -----------------------------------------------------------------------------------------------

def regular(name: bytes, data: bytes = b"evil") -> tuple[Entry, bytes]:
    uid, gid = os.getuid(), os.getgid()
    return Entry(name, "file", 0, 0, 0o100644, 0, uid, gid, 1, 0, content=Content("", 0, 0, len(data))), data


def link(name: bytes, path: bytes) -> tuple[Entry, bytes]:
    return Entry(name, "hardlink", 0, 0, link=Link(path, 0, 56)), b""


def symlink(name: bytes, target: bytes) -> tuple[Entry, bytes]:
    return Entry(name, "symlink", 0, 0, 0o120777, 0, os.getuid(), os.getgid(), 1, 0, target=target), b""


def directory(mode: int = 0o40755) -> Entry:
    return Entry(b"", "dir", 0, 0, mode, 0, os.getuid(), os.getgid(), 1, 0)


def made_of(*items: tuple[Entry, bytes] | list[Any]) -> bytes:
    """A version 1 archive; a list is a directory: name, then items."""
    out = io.BytesIO()
    encoder = Encoder(out, None, None)
    encoder.open_dir(None, directory())
    stack: list[Any] = [iter(items)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            encoder.close_dir()
            stack.pop()
        elif isinstance(item, list):
            encoder.open_dir(item[0], directory())
            stack.append(iter(item[1:]))
        elif item[0].content is not None:
            encoder.file(item[0].path, item[0], io.BytesIO(item[1]))
        else:
            encoder.leaf(item[0].path, item[0])
    return out.getvalue()


OUT = b"../outside"
# what, items, options, rule that the message names (None: an error of the file system)
HOSTILE = [
    ("name with slash", [regular(b"../outside/x")], [], "PXAR-071"),
    ("absolute name", [regular(b"/tmp/pbsref-evil")], [], "PXAR-071"),
    ("name dotdot", [[b"..", regular(b"x")]], ["--allow-existing-dirs"], "PXAR-071"),
    ("name dot", [regular(b".")], [], "PXAR-071"),
    ("name with nul", [regular(b"a\0b")], [], "PXAR-081"),
    ("empty name", [regular(b"")], [], "PXAR-0"),
    ("hard link up", [regular(b"a"), link(b"x", b"../outside/victim")], [], "EXT-034"),
    ("hard link absolute", [regular(b"a"), link(b"x", b"/etc/hostname")], [], "EXT-033"),
    ("hard link through symlink", [symlink(b"s", OUT), link(b"x", b"s/victim")], [], None),
    ("file through symlink", [symlink(b"s", OUT), [b"s", regular(b"victim")]], [], None),
    ("the same, entered", [symlink(b"s", OUT), [b"s", regular(b"victim")]],
     ["--allow-existing-dirs", "--overwrite"], "EXT-035"),
    ("written through symlink", [symlink(b"v", OUT + b"/victim"), regular(b"v")], [], None),
    ("directory over file", [regular(b"d"), [b"d", regular(b"x")]], ["--allow-existing-dirs", "--overwrite"], None),
]


@pytest.mark.parametrize("strict", [[], ["--strict"]], ids=["tolerant", "strict"])
@pytest.mark.parametrize("what,items,options,rule", HOSTILE, ids=[h[0] for h in HOSTILE])
def test_nothing_outside_is_touched(what: str, items: list[Any], options: list[str], rule: str | None,
                                    strict: list[str], place: Path) -> None:
    outside, target = place / "outside", place / "target"
    outside.mkdir()
    (outside / "victim").write_text("untouched\n")
    before = scan(outside)
    archive = Archive(place).write(made_of(*items))
    result = archive.extract(target, *options, *strict)
    assert result.code in ((FAILED, MALFORMED) if strict else (PARTIAL, MALFORMED)), result
    result.expect_failure(result.code)
    assert scan(outside) == before, what
    assert not Path("/tmp/pbsref-evil").exists()
    if rule and (strict or result.code == MALFORMED):
        assert f"rule {rule}" in result.lines[-1], result
    for path in target.rglob("*"):
        assert path.is_symlink() or path.lstat().st_nlink == 1 or path.is_dir()


def test_overwriting_replaces_links_not_what_they_lead_to(place: Path) -> None:
    """EXT-036, EXT-051: the second file of a name replaces a link of the archive itself."""
    outside, target = place / "outside", place / "target"
    outside.mkdir()
    (outside / "victim").write_text("untouched\n")
    archive = Archive(place).write(made_of(symlink(b"v", OUT + b"/victim"), regular(b"v")))
    archive.extract(target, "--overwrite").expect_fine()
    assert (target / "v").read_text() == "evil" and not (target / "v").is_symlink()
    assert (outside / "victim").read_text() == "untouched\n"


@pytest.mark.parametrize("what", ["missing/deep/er", "empty", "symlink", "file"])
def test_targets(what: str, place: Path) -> None:
    """EXT-013: made with its parents, an existing one is fine, a link to one is followed, a file is none."""
    archive = Archive(place).write(made_of(regular(b"x")))
    target = place / what
    if what == "empty":
        target.mkdir()
    elif what == "symlink":
        (place / "real").mkdir()
        target.symlink_to("real")
    elif what == "file":
        target.write_text("in the way")
        archive.extract(target).expect_only_failure(FAILED, str(target))
        assert target.read_text() == "in the way"
        return
    archive.extract(target).expect_fine()
    assert (target / "x").read_text() == "evil"
    assert stat.S_IMODE(target.stat().st_mode) == 0o755 and target.stat().st_mtime == 1  # EXT-014
    again = archive.extract(target)
    again.expect_failure(PARTIAL, "there were errors")
    assert len(again.lines) == 2 and "EEXIST" in again.lines[0]


def test_without_target_the_working_directory_is_it(place: Path) -> None:
    archive = Archive(place).write(made_of(regular(b"x")))
    (place / "here").mkdir()
    archive._read("extract", (), {"cwd": place / "here"}).expect_fine()
    assert (place / "here" / "x").read_text() == "evil"


@pytest.mark.skipif(IS_ROOT, reason="needs a normal user: root may give files to anybody")
def test_foreign_owners_without_root(place: Path) -> None:
    """EXT-095: everything is restored but the owner; status says so."""
    result = run("extract", ARCHIVE, place / "target").expect_failure(PARTIAL, "there were errors")
    assert any("failed to set ownership" in line for line in result.lines)
    assert (place / "target" / "d" / "sub" / "deep").read_text() == "deep\n"
