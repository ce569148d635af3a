# covers: CLI-001 CLI-002 CLI-003 CLI-004 CLI-005 CLI-006 CLI-007 CLI-012 CLI-013 CLI-080 CLI-085 CLI-090 CRT-003
# covers: EXT-001 EXT-002 EXT-003 EXT-049 EXT-067 EXT-143 EXT-145 EXT-005
# SPDX-License-Identifier: MIT
"""The command line of `pbsref pxar`: options, abbreviations, output formats, standard input, help, man page, completion."""
from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lib_pxar import (FAILED, GOLDEN, MALFORMED, OK, PARTIAL, USAGE, Archive, environment, golden_archive, golden_file, pbsref, place,
                      root_place, run, same, scan)
from oracle import archive_tree
from oracle.tree import CAPABILITY
from oracle import acl, pxar

__all__ = ["place", "root_place"]
VERBS = ["create", "extract", "list", "dump", "verify"]


@pytest.fixture
def source(place: Path) -> Path:
    top = place / "source"
    (top / "sub").mkdir(parents=True)
    (top / "a").write_text("a\n")
    (top / "sub" / "b").write_text("b\n")
    os.mkfifo(top / "pipe")
    os.mknod(top / "sock", stat.S_IFSOCK | 0o600)
    return top


# ---- words and options ----------------------------------------------------------------------------------------------

def test_abbreviations(source: Path, place: Path) -> None:
    """CLI-006: any unique prefix, of nested commands too."""
    pbsref("px", "cr", place / "1.pxar", source).expect_fine()
    pbsref("pxar", "c", place / "2.pxar", source).expect_fine()
    assert (place / "1.pxar").read_bytes() == (place / "2.pxar").read_bytes()
    assert pbsref("px", "l", place / "1.pxar").expect_fine().out == run("list", place / "1.pxar").out
    pbsref("px", "ve", place / "1.pxar").expect_fine()
    pbsref("px", "ex", place / "1.pxar", place / "out").expect_fine()
    same(scan(source), scan(place / "out"))


@pytest.mark.parametrize("words", [["nonsense"], ["pxar", "nonsense"], ["pxarx", "list"], ["pxar", "lists", "x"], [], ["pxar"],
                                   ["p", "l"], ["help", "nonsense"], ["", "list"]], ids=repr)
def test_unknown_commands(words: list[str]) -> None:
    result = pbsref(*words).expect_failure(USAGE, "rule CLI-00")
    assert words == [] or result.raw == b""


def test_ways_to_write_options(source: Path, place: Path) -> None:
    """CLI-001, CLI-002, CLI-005: all mean the same archive."""
    ways: list[list[object]] = [
        ["--exclude", "sub", "--no-xattrs"], ["--exclude=sub", "--no-xattrs=true"], ["-exclude", "sub", "-no-xattrs", "ON"],
        ["--exclude=sub", "--no-xattrs", "1"], ["--no-xattrs=Yes", "-exclude=sub"]]
    made = set()
    for n, way in enumerate(ways):
        run("create", place / f"{n}", source, *way).expect_fine()
        run("create", *way, "--", place / f"{n}-first", source).expect_fine()
        made |= {(place / f"{n}").read_bytes(), (place / f"{n}-first").read_bytes()}
    run("create", "--source", source, "--archive", place / "named", *ways[0]).expect_fine()
    run("create", f"--archive={place}/half", source, *ways[0]).expect_fine()
    made |= {(place / "named").read_bytes(), (place / "half").read_bytes()}
    assert len(made) == 1


def test_booleans(source: Path, place: Path) -> None:
    """CLI-002: alone, or with a value of eight; anything else attached is refused."""
    os.setxattr(source / "a", "user.x", b"1")
    with_xattr = Archive(place, "with")
    with_xattr.create(source).expect_fine()
    for n, (value, on) in enumerate([("1", True), ("on", True), ("yes", True), ("TRUE", True), ("0", False), ("off", False),
                                     ("No", False), ("false", False)]):
        for form in ([f"--no-xattrs={value}"], ["--no-xattrs", value]):
            one = Archive(place, f"{n}-{len(form)}")
            one.create(source, *form).expect_fine()
            assert (one.bytes() == with_xattr.bytes()) != on, form
    for bad in ("2", "maybe", ""):
        Archive(place, "bad").create(source, f"--no-xattrs={bad}").expect_only_failure(USAGE, "'no-xattrs'")
    # a word that is no boolean is the next argument
    run("create", "--no-xattrs", place / "next", source).expect_fine()


@pytest.mark.parametrize("args,words", [
    (["--entries-max", "1", "--entries-max", "2"], ["'entries-max'", "duplicate parameter."]),
    (["--no-acls", "--no-acls"], ["'no-acls'", "duplicate parameter."]),
    (["--payload-output=p", "--payload-output=q"], ["'payload-output'", "duplicate parameter."]),
    (["--entries-max"], ["'entries-max'", "missing parameter value."]),
    (["--exclude", "--no-acls"], ["'exclude'", "missing parameter value."]),
    (["--entries-max", "many"], ["'entries-max'"]), (["--entries-max=-1"], ["'entries-max'"]),
    (["--entries-max=18446744073709551616"], ["'entries-max'"]), (["--entries-max="], ["'entries-max'"]),
    (["--unknown"], ["'unknown'", "schema does not allow additional properties."]),
    (["--exclud", "x"], ["'exclud'"]), (["--strict"], ["'strict'"]), (["surplus"], ["additional arguments", "surplus", "CLI-005"]),
    (["--archive=twice"], ["'archive'", "duplicate parameter."])], ids=lambda v: " ".join(v) if isinstance(v, list) else str(v))
def test_usage_errors(args: list[str], words: list[str], source: Path, place: Path) -> None:
    run("create", "a.pxar", source, *args, cwd=place).expect_only_failure(USAGE, *words)
    assert {p.name for p in place.iterdir()} == {"source"}


@pytest.mark.parametrize("verb", VERBS)
def test_missing_arguments(verb: str) -> None:
    run(verb).expect_only_failure(USAGE, "missing argument", "archive", "rule CLI-005")
    if verb == "create":
        run(verb, "x").expect_only_failure(USAGE, "missing argument", "source")


def test_entries_max_zero_and_default(source: Path, place: Path) -> None:
    """CRT-003: 0 is a limit, not "no limit"."""
    run("create", place / "a", source, "--entries-max", 0).expect_failure(FAILED, "(> 0)", "CRT-030")
    run("create", place / "a", source).expect_fine()


def test_new_files_are_private(source: Path, place: Path) -> None:
    """CLI-080: mode 0640 less umask; the extension does not matter, `-` is a name."""
    archive = Archive(place, split=True)
    archive.create(source, umask=0o002).expect_fine()
    assert archive.payload
    assert [stat.S_IMODE(p.stat().st_mode) for p in (archive.path, archive.payload)] == [0o640, 0o640]
    run("create", "-", source, cwd=place, umask=0o077).expect_fine()
    assert stat.S_IMODE((place / "-").stat().st_mode) == 0o600
    assert (place / "-").read_bytes()[:8] == golden_file("empty.pxar").read_bytes()[:8]


def test_names_that_look_like_options(source: Path, place: Path) -> None:
    (place / "-dash").mkdir()
    run("create", "--", "-out.pxar", "-dash", cwd=place).expect_fine()
    assert (place / "-out.pxar").exists()
    run("list", "--archive=-out.pxar", cwd=place).expect_fine()
    run("list", "-out.pxar", cwd=place).expect_failure(USAGE)


# ---- options of extraction ------------------------------------------------------------------------------------------

def test_kinds_can_be_left_out(source: Path, place: Path) -> None:
    """EXT-049, CRT-007: fifos and sockets are archived in any case, and restored unless switched off."""
    archive = Archive(place)
    archive.create(source, "--no-fifos", "--no-sockets", "--no-device-nodes").expect_fine()
    everything = set(archive.capture())
    assert {b"pipe", b"sock"} <= everything
    for n, (option, gone) in enumerate([("--no-fifos", {b"pipe"}), ("--no-sockets", {b"sock"}), ("--no-device-nodes", set())]):
        archive.extract(place / f"t{n}", option).expect_fine()
        assert set(scan(place / f"t{n}")) == everything - gone


def test_attributes_can_be_left_out(root_place: Path) -> None:
    """EXT-067: the three switches are independent."""
    for name in ("xattrs", "capabilities", "acl-access"):
        archive = golden_archive(name, True)
        whole = archive.capture()
        groups = {"--no-xattrs": lambda n: n not in (CAPABILITY, acl.ACCESS, acl.DEFAULT), "--no-fcaps": lambda n: n == CAPABILITY,
                  "--no-acls": lambda n: n in (acl.ACCESS, acl.DEFAULT)}
        for option, left_out in groups.items():
            target = root_place / f"{name}{option}"
            archive.extract(target, option).expect_fine()
            for path, node in scan(target).items():
                assert set(node.xattrs) == {n for n in whole[path].xattrs if not left_out(n)}, (name, option, path)


def test_overwrite_is_all_three(source: Path, place: Path) -> None:
    """EXT-003."""
    (source / "link").symlink_to("a")
    os.link(source / "a", source / "zz")
    archive = Archive(place)
    archive.create(source, "--exclude", "pipe", "--exclude", "sock").expect_fine()
    target = place / "target"
    archive.extract(target).expect_fine()
    first = scan(target)
    archive.extract(target, "--allow-existing-dirs").expect_failure(PARTIAL)
    archive.extract(target, "--allow-existing-dirs", "--overwrite").expect_fine()
    same(first, scan(target))
    three = ["--overwrite-files", "--overwrite-symlinks", "--overwrite-hardlinks"]
    archive.extract(target, "--allow-existing-dirs", *three).expect_fine()
    same(first, scan(target))
    for missing in range(3):
        some = [option for n, option in enumerate(three) if n != missing]
        archive.extract(target, "--allow-existing-dirs", *some).expect_failure(PARTIAL)


# ---- standard input -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("piped", [True, False], ids=["pipe", "file"])
def test_standard_input(piped: bool, source: Path, place: Path) -> None:
    """EXT-001: `-` is a version 1 archive on standard input; --payload-input is ignored then."""
    archive = Archive(place)
    archive.create(source).expect_fine()

    def read(verb: str, *args: object) -> Any:
        if piped:
            return run(verb, "-", *args, input=archive.path.read_bytes())
        with open(archive.path, "rb") as f:
            return run(verb, "-", *args, stdin=f)
    read("extract", place / "target", "--payload-input", place / "nothing").expect_fine()
    same(scan(source), scan(place / "target"))
    assert read("list").expect_fine().out == archive.list().out
    assert read("dump").expect_fine().out == archive.dump().out
    assert read("verify").expect_fine().out == archive.verify().out


def test_split_archives_do_not_come_on_standard_input(place: Path) -> None:
    data, _ = golden_archive("one-file", True).bytes()
    for verb in ("list", "extract"):
        result = run(verb, "-", *([place / "x"] if verb == "extract" else []), input=data)
        assert result.code in (MALFORMED, USAGE), result
        result.expect_failure(result.code)


# ---- log level ------------------------------------------------------------------------------------------------------

def test_log_levels(place: Path) -> None:
    """CLI-012, EXT-145."""
    archive = golden_archive("excludes.cli", True)
    plain = archive.list().expect_fine()
    assert plain.err == "" and plain.raw.startswith(b'"/"\n')
    debug = archive.list(env={"PXAR_LOG": "debug"}).expect_fine()
    assert debug.raw.startswith(b"drwx") and "pxar format version" in debug.err and "prelude of size" in debug.err
    assert archive.list(env={"PXAR_LOG": "off", "PBS_LOG": "debug"}).expect_fine().raw == plain.raw
    assert archive.list(env={"PBS_LOG": "debug"}).expect_fine().raw == debug.raw
    strange = archive.list(env={"PXAR_LOG": "loud"}).expect_fine()
    assert strange.raw == plain.raw and len(strange.lines) == 1 and "loud" in strange.err


def test_long_lists_of_split_archives_show_payload_offsets() -> None:
    """EXT-143: otherwise they are those of the version 1 archive."""
    one = golden_archive("hardlinks", False).list("--long").expect_fine().out.splitlines()
    two = golden_archive("hardlinks", True).list("--long").expect_fine().out.splitlines()
    offsets = {}
    for plain, split in zip(one, two, strict=True):
        assert split.startswith(plain)
        if plain.startswith("-"):
            offsets[plain.split('"')[1]] = int(split[len(plain):])
    reader = pxar.open_reader(*map(str, (golden_file("hardlinks.mpxar"), golden_file("hardlinks.ppxar"))))
    assert offsets == {"/" + os.fsdecode(e.path): e.content.header for e in reader if e.content}


def test_time_zone() -> None:
    """EXT-143: local time."""
    archive = golden_archive("one-file", False)
    utc = archive.list("--long").expect_fine().out.splitlines()[0]
    east = archive.list("--long", env={"TZ": "IST-05:30"}).expect_fine().out.splitlines()[0]
    assert "2023-11-14 22:13:20" in utc and "2023-11-15 03:43:20" in east


# ---- dump and verify ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["special-files", "acl-default", "xattrs", "hardlinks", "names", "times", "nested"])
@pytest.mark.parametrize("split", [False, True], ids=["v1", "split"])
def test_dumps_tell_what_the_independent_reader_finds(name: str, split: bool) -> None:
    archive = golden_archive(name, split)
    items = [json.loads(line) for line in archive.dump("--output-format", "json").expect_fine().out.splitlines()]
    reader = archive.reader()
    wanted = {(item.offset, item.size, item.type) for entry in list(reader) for item in entry.items}
    wanted |= {(item.offset, item.size, item.type) for item in reader.prologue}
    assert {(i["offset"], i["size"], i["type"]) for i in items if not i["type"].startswith("GOODBYE_")} == wanted
    entries = [e for e in archive.reader() if e.kind != "hardlink"]
    stats = [i for i in items if i["type"] == "ENTRY"]
    assert [(int(i["mode"], 8), i["uid"], i["gid"], i["mtime_ns"], i["offset"]) for i in stats] == \
        [(e.mode, e.uid, e.gid, e.mtime_nanos, e.entry) for e in entries]


def test_dumps_in_both_forms_carry_the_same_facts() -> None:
    """Every value of the JSON form stands in the text form's line of that offset."""
    for name in ("special-files", "acl-default", "excludes.cli"):
        archive = golden_archive(name, True)
        text = archive.dump().expect_fine().out.splitlines()
        items = [json.loads(line) for line in archive.dump("--output-format=json").expect_fine().out.splitlines()]
        assert len(text) == len(items)
        for line, item in zip(text, items):
            offset, size, kind = line.split()[:3]
            assert (int(offset), int(size), kind) == (item["offset"], item["size"], item["type"])
            for key in item.keys() - {"offset", "size", "type"}:
                assert f"{key}=" in line, (line, item)
                if isinstance(item[key], int) and not isinstance(item[key], bool):
                    assert f"{key}={item[key]}" in line, (line, item)
        assert [json.loads(line) for line in archive.dump(env={"PROXMOX_OUTPUT_FORMAT": "json"}).out.splitlines()] == items


def test_verdicts_in_both_forms_carry_the_same_facts(place: Path) -> None:
    data, payload = golden_archive("hardlinks", True).bytes()
    at = len(data) - 16  # the distance in the root's GOODBYE tail
    damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    for content, code in ((data, OK), (damaged, MALFORMED)):
        archive = Archive(place, split=True).write(content, payload)
        text = archive.verify()
        one = archive.verify("--output-format", "json")
        pretty = archive.verify("--output-format=json-pretty")
        assert text.code == one.code == pretty.code == code
        value = json.loads(one.out)
        assert value == json.loads(pretty.out) and one.out.count("\n") == 1 and pretty.out.startswith("{\n  \"")
        last = text.out.splitlines()[-1]
        assert last.startswith("ok: " if code == OK else "DAMAGED: ")
        assert f"{value['entries']} entries" in last and f"{value['errors']} errors" in last
        assert f"{value['files']} files" in last and f"{value['file_bytes']} bytes of contents" in last
        assert f"{value['warnings']} warnings" in last and f"{value['padding_bytes']} bytes of padding" in last
        findings = text.out.splitlines()[:-1]
        assert len(findings) == len(value["findings"]) == value["errors"] + value["warnings"]
        for line, finding in zip(findings, value["findings"]):
            assert line.startswith(finding["level"] + ": ") and finding["text"] in line
            assert f"rule {finding['rule']}" in line and f"offset {finding['offset']}" in line
        if code == OK:
            nodes = archive_tree.capture(archive.reader())
            assert value["entries"] == len(nodes) and value["references"] == value["files"]


def test_unknown_output_formats() -> None:
    path = golden_file("empty.pxar")
    for verb in ("dump", "verify"):
        run(verb, path, "--output-format", "xml").expect_only_failure(USAGE, "'output-format'", "xml")


# ---- help -----------------------------------------------------------------------------------------------------------

def commands() -> dict[str, set[str]]:
    """Every command with its options, as the completion knows them."""
    script = pbsref("help", "--format", "bash").expect_fine().out
    found = re.findall(r"^    '([a-z -]+)'\*\) all=\"([^\"]*)\" ;;$", script, re.MULTILINE)
    return {name: set(options.split()) for name, options in found}


def test_every_command_has_help() -> None:
    listed = set(re.findall(r"^  ([a-z][a-z -]*?)  +\S", pbsref("help").expect_fine().out, re.MULTILINE))
    known = commands()
    assert listed == set(known) and {f"pxar {v}" for v in VERBS} <= listed
    verbose = pbsref("help", "--verbose").expect_fine().out
    man = pbsref("help", "--format", "man").expect_fine().out.replace("\\-", "-")
    for name, options in known.items():
        page = pbsref(*name.split(), "--help").expect_fine()
        assert page.err == "" and page.out.startswith(f"Usage: pbsref {name}") and "--help" in options
        assert page.out == pbsref(*name.split(), "-h").expect_fine().out == pbsref("help", *name.split()).expect_fine().out
        shown = set(re.findall(r"^  (--[a-z0-9-]+)", page.out, re.MULTILINE))
        assert shown == options - {"--help"}, name
        assert page.out in verbose and f"pbsref {name}" in man
        for option in shown:
            assert option.removeprefix("--") in man, (name, option)


def test_help_for_the_whole() -> None:
    for words in (["help"], ["--help"], ["-h"]):
        page = pbsref(*words).expect_fine()
        assert page.err == "" and page.out.startswith("pbsref: ") and "Exit status" in page.out
    nothing = pbsref()
    assert nothing.code == USAGE and nothing.out == pbsref("help").out


def test_help_does_nothing_else(source: Path, place: Path) -> None:
    run("create", place / "a.pxar", source, "--help").expect_fine()
    assert not (place / "a.pxar").exists()
    # behind `--` it is a name
    run("create", "--", place / "a.pxar", "--help", cwd=place).expect_failure(1, "--help")


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_man_page_renders_without_warnings(place: Path) -> None:
    page = place / "pbsref.1"
    page.write_text(pbsref("help", "--format", "man").expect_fine().out)
    done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", str(page)], capture_output=True, text=True,
                          env=environment(), timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", str(page)], capture_output=True, text=True,
                           env=environment(), timeout=60).stdout
    for name in commands():
        assert f"pbsref {name}" in re.sub(r"\s+", " ", shown)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_completion(place: Path) -> None:
    script = place / "completion"
    script.write_text(pbsref("help", "--format", "bash").expect_fine().out)
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True).stderr == b""

    def complete(*words: str) -> set[str]:
        code = f'. "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pbsref; printf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", code, "bash", "pbsref", *words], capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        return set(done.stdout.split())
    assert complete("px") == {"pxar"}
    assert complete("pxar", "") == set(VERBS)
    assert complete("pxar", "extract", "--overwrite-s") == {"--overwrite-symlinks"}
    assert complete("pxar", "create", "--") == commands()["pxar create"]
    assert {name.split()[0] for name in commands()} <= complete("")


def test_the_golden_directory_is_left_as_it_was() -> None:
    """Reading changes nothing: golden files keep their times and sizes."""
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in (GOLDEN / "pxar").iterdir()}
    for verb in ("list", "verify", "dump"):
        run(verb, golden_file("nested.pxar")).expect_fine()
    assert before == {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in (GOLDEN / "pxar").iterdir()}
