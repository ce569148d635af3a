# covers:
# SPDX-License-Identifier: MIT
"""The command line of the suite: selection, gating, baseline, strict, reports."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conformance.cases import ROOT, CaseError, load, select
from conformance.runner_support import HEAD, conform, make_adapter, make_case

BLOBS = ("blob/plain-hello", "blob/magic-flipped", "blob/payload-flipped")
NO_CRC = '''
raw = (case / "blob").read_bytes()
if raw[:8].hex() != "42ab3807be8370a1": sys.exit(1)
(out / "plain").write_bytes(raw[12:]); view(kind="uncompressed")
'''
CRC = NO_CRC + 'import zlib\nif zlib.crc32(raw[12:]) != int.from_bytes(raw[8:12], "little"): sys.exit(1)\n'


@pytest.fixture
def sloppy(tmp_path: Path) -> Path:
    """A reader of blobs that does not check the CRC."""
    return make_adapter(tmp_path / "sloppy", NO_CRC).folder


@pytest.fixture
def careful(tmp_path: Path) -> Path:
    return make_adapter(tmp_path / "careful", CRC).folder


def results(folder: Path, kind: str = "result") -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return [r for r in records if r["record"] == kind]


def verdicts(folder: Path) -> dict[str, str]:
    return {r["case"]: r["verdict"] for r in results(folder)}


# ---- exit status ----

def test_a_run_without_failure_ends_with_0(careful: Path) -> None:
    run = conform("run", *BLOBS, "--adapter", careful)
    assert (run.exit, "3" in run.out) == (0, True), run


def test_a_failure_ends_with_1_and_says_all_that_is_needed(sloppy: Path) -> None:
    run = conform("run", *BLOBS, "--adapter", sloppy)
    assert run.exit == 1
    for text in ("FAIL blob/payload-flipped (sloppy, must)", "expected: rejected by BLOB-010", "actual  : accepted",
                 "BLOB-010: The CRC is", f"conform run blob/payload-flipped --adapter {sloppy} -v"):
        assert text in run.out, text


def test_the_repeat_command_repeats(sloppy: Path) -> None:
    words = re.search(r"repeat: +pbsref conform (run .*)", conform("run", *BLOBS, "--adapter", sloppy).out)
    assert words
    run = conform(*words[1].split())
    assert run.exit == 1 and run.out.count("FAIL") == 1


@pytest.mark.parametrize("words", [("run", "no-such-area", "--adapter", "oracle"), ("run", "blob", "--adapter", "no-such"),
                                   ("run", "--adapter"), ("frobnicate",), (), ("report", "/no/such/dir"),
                                   ("run", "blob", "--adapter", "oracle", "--baseline", "/no/such/file")])
def test_usage_errors_end_with_2(words: tuple[str, ...]) -> None:
    assert conform(*words).exit == 2


@pytest.mark.parametrize("answer", ["0", "1", "2", "126"])
def test_an_adapter_without_handshake_makes_the_run_invalid(tmp_path: Path, answer: str) -> None:
    adapter = make_adapter(tmp_path / "rude", f"sys.exit({answer})", head=HEAD.replace("sys.exit(127)", f"sys.exit({answer})"))
    run = conform("run", "blob/plain-hello", "--adapter", adapter.folder)
    assert run.exit == 3 and "not with 127" in run.err


def test_an_adapter_that_cannot_be_started_makes_the_run_invalid(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "gone", "", run=["./no-such-program"])
    assert conform("run", "blob/plain-hello", "--adapter", adapter.folder).exit == 3


def test_an_implementation_that_is_not_installed_is_skipped_with_its_reason(tmp_path: Path, careful: Path) -> None:
    absent = make_adapter(tmp_path / "absent", "os.abort()", version=["sh", "-c", "echo it is not here >&2; exit 1"]).folder
    report = tmp_path / "report"
    run = conform("run", *BLOBS, "--adapter", absent, "--adapter", careful, "--report", report)
    assert run.exit == 0 and "absent: skipped: it is not here" in run.out
    assert {r["verdict"] for r in results(report) if r["adapter"] == "absent"} == {"skip"}
    assert "| absent" not in (report / "matrix.md").read_text()
    alone = conform("run", *BLOBS, "--adapter", absent)
    assert alone.exit == 3 and "nothing was run" in alone.err


def test_broken_configurations_are_usage_errors(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [({"name": None}, '"name"'), ({"run": None}, '"run"'), ({"run": []}, '"run"'), ({"run": [1]}, '"run"'),
                                               ({"roles": ["Reader"]}, "no role Reader; roles are reader"), ({"roles": None}, '"roles"')]
    for number, (config, text) in enumerate(wrong):
        folder = tmp_path / f"bad{number}"
        with pytest.raises(CaseError, match=text):
            make_adapter(folder, "", **config)
        run = conform("run", "blob", "--adapter", folder)
        assert run.exit == 2 and text in run.err and "Error(" not in run.err
    (tmp_path / "bad0" / "adapter.json").write_text("{")
    assert "Expecting property name" in conform("run", "blob", "--adapter", tmp_path / "bad0").err


# ---- baseline, strict ----

def test_what_failed_in_the_baseline_does_not_count(tmp_path: Path, sloppy: Path, careful: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    assert conform("run", *BLOBS, "--adapter", sloppy, "--report", before).exit == 1
    again = conform("run", *BLOBS, "--adapter", sloppy, "--baseline", before / "results.jsonl", "--report", after)
    assert again.exit == 0 and "0 failures count" in again.out
    assert verdicts(after)["blob/payload-flipped"] == "fail"
    (sloppy / "adapter.py").write_text(HEAD + "sys.exit(1)")
    worse = conform("run", *BLOBS, "--adapter", sloppy, "--baseline", before / "results.jsonl")
    assert worse.exit == 1 and "FAIL blob/plain-hello" in worse.out
    assert "passes now, failed in the baseline: blob/payload-flipped (sloppy)" in worse.out


def test_the_baseline_is_per_adapter(tmp_path: Path, sloppy: Path) -> None:
    before = tmp_path / "before"
    conform("run", *BLOBS, "--adapter", sloppy, "--report", before)
    other = make_adapter(tmp_path / "other", NO_CRC).folder
    assert conform("run", *BLOBS, "--adapter", other, "--baseline", before / "results.jsonl").exit == 1


def made_up_root(tmp_path: Path, level: str) -> Path:
    """A harness of its own: one family with one case, the rest is the real one's."""
    root = tmp_path / f"root-{level}"
    (root / "spec" / "cases" / "made").mkdir(parents=True)
    for name in ("tests", "testdata"):
        (root / name).symlink_to(ROOT / name)
    for path in (ROOT / "spec").glob("*.md"):
        (root / "spec" / path.name).symlink_to(path)
    for name in ("schema.json", "flags.json"):
        (root / "spec" / "cases" / name).symlink_to(ROOT / "spec" / "cases" / name)
    data = make_case(level=level, expect={"verdict": "reject"}).data
    family = {"area": "made", "about": "one case, made up", "cases": [data]}
    (root / "spec" / "cases" / "made" / "one.json").write_text(json.dumps(family))
    return root


@pytest.mark.parametrize("level, strict, status", [("must", False, 1), ("must", True, 1), ("should", False, 0), ("should", True, 1),
                                                   ("may", False, 0), ("may", True, 0)])
def test_levels_decide_what_counts(tmp_path: Path, sloppy: Path, level: str, strict: bool, status: int) -> None:
    env = {"CONFORM_ROOT": str(made_up_root(tmp_path, level))}
    run = conform("run", "--adapter", sloppy, *(["--strict"] if strict else []), "--report", tmp_path / "report", env=env)
    assert run.exit == status, run
    assert verdicts(tmp_path / "report") == {"made/made-up": "fail"}


# ---- selection ----

def test_cases_are_selected_by_id_area_prefix_and_pattern() -> None:
    cases = [make_case(id=i) for i in ("ab", "ab-c", "ab-d", "x")]

    def chosen(*patterns: str) -> list[str]:
        return [c.id for c in select(cases, list(patterns))]
    assert chosen() == chosen("made") == chosen("made/") == [c.id for c in cases]
    assert chosen("made/ab") == ["made/ab"]  # the exact id, not what begins with it
    assert chosen("made/ab-") == chosen("made/ab-*") == ["made/ab-c", "made/ab-d"]
    assert chosen("made/x", "made/*c") == ["made/ab-c", "made/x"]
    with pytest.raises(CaseError, match="nope"):
        chosen("made", "nope")


def test_role_verb_and_level_narrow_what_is_selected() -> None:
    cases = [make_case(id=i, role=role, verb=verb, level=level) for i, role, verb, level in
             (("a", "reader", "pxar-entries", "must"), ("b", "reader", "index-decode", "should"), ("c", "chunker", "chunk", "must"))]

    def chosen(*words: str) -> str:
        return "".join(c.id[-1] for c in select(cases, list(words)))
    assert (chosen("role=reader"), chosen("role=reader", "level=must"), chosen("verb=chunk", "verb=index-decode")) == ("ab", "a", "bc")
    assert chosen("role=reader", "made/b") == "b"
    for words in (("role=pilot",), ("colour=red",), ("role=reader", "verb=chunk"), ("role=reader", "made/c")):
        with pytest.raises(CaseError):
            chosen(*words)


def test_lay_makes_what_an_adapter_is_given(tmp_path: Path) -> None:
    target = tmp_path / "laid"
    run = conform("lay", "blob/plain-hello", target)
    assert run.exit == 0 and run.out.split() == ["adapter", "blob-decode", str(target / "case"), str(target / "out")]
    assert (target / "case" / "blob").read_bytes()[12:] == b"hello" and (target / "case" / "case.json").is_file()
    assert conform("lay", "blob/plain-hello", target).exit == 2  # never into what is there


def test_what_a_crashing_adapter_said_is_shown(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "clumsy", "print('no such room'); sys.exit(70)").folder
    run = conform("run", "blob/plain-hello", "--adapter", folder)
    assert run.exit == 1 and re.search(r"crash: exit status 70\n +said: +no such room", run.out), run.out


def test_failures_alike_are_shown_once(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "deaf", "sys.exit(70)").folder
    run = conform("run", "blob", "--adapter", folder)
    named = re.findall(r"blob/[a-z0-9-]+", re.sub(r"repeat:.*", "", run.out))
    must = {line.split()[0] for line in conform("list", "blob", "level=must").out.splitlines()}
    assert len(must) == len(named) > run.out.count("FAIL") and set(named) == must, run.out


def test_failures_that_do_not_count_are_shown_on_request(sloppy: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    conform("run", *BLOBS, "--adapter", sloppy, "--report", before)
    words = ("run", *BLOBS, "--adapter", sloppy, "--baseline", before / "results.jsonl")
    quiet, loud = conform(*words), conform(*words, "-v")
    assert "0 failures count; 1 do not" in quiet.out and "FAIL" not in quiet.out
    assert "FAIL blob/payload-flipped" in loud.out and loud.exit == 0


def test_list_prints_without_running() -> None:
    run = conform("list", "blob/plain-hello")
    assert run.exit == 0 and run.out.startswith("blob/plain-hello ") and "BLOB-010" in run.out
    long = conform("list", "blob/plain-hello", "-v")
    assert "BLOB-010: The CRC is" in long.out
    assert json.loads(conform("list", "blob/plain-hello", "--json").out)["verb"] == "blob-decode"
    assert len(conform("list").out.splitlines()) == len(load())


# ---- reports ----

def test_a_report_has_everything(tmp_path: Path, sloppy: Path) -> None:
    report = tmp_path / "report"
    conform("run", *BLOBS, "blob/encode-plain", "--adapter", sloppy, "--adapter", "oracle", "--report", report)
    about, = results(report, "run")
    assert about["cases"] == 4 and about["seconds"] > 0
    assert [a["version"] for a in results(report, "adapter")][0] == "sloppy 1"
    assert len(results(report)) == 2 * about["cases"]
    check_junit(report)
    check_html(report)
    assert "`blob/payload-flipped`" in (report / "matrix.md").read_text()
    assert (report / "logs" / "sloppy" / "blob" / "payload-flipped" / "adapter-1.log").exists()


def check_junit(report: Path) -> None:
    suites = ElementTree.parse(report / "junit.xml").getroot()
    sloppy = next(s for s in suites if s.get("name") == "sloppy")
    failed = [r["case"] for r in results(report) if r["adapter"] == "sloppy" and r["verdict"] == "fail"]
    assert int(sloppy.get("failures", "")) == len(failed) == len(sloppy.findall("testcase/failure"))
    assert int(sloppy.get("tests", "")) == len(sloppy.findall("testcase"))
    assert "BLOB-010" in sloppy.find("testcase[@name='payload-flipped']/failure").get("message")  # type: ignore[union-attr, operator]


def check_html(report: Path) -> None:
    """Self-contained: nothing is fetched and nothing has to run."""
    page = (report / "report.html").read_text()
    assert "<script" not in page and not re.search(r"(?:src|href)=[\"']?[^#\"']", page) and "url(" not in page and "@import" not in page
    for text in ("rejected by BLOB-010", "The CRC is the ordinary", "conform run blob/payload-flipped", "prefers-color-scheme: dark"):
        assert text in page, text


def test_names_of_hostile_content_are_escaped(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "html", 'view(kind="<img src=x>\\x00&"); print("<b>\\x1b[31m")', version=["echo", "<i>"])
    report = tmp_path / "report"
    conform("run", "blob/plain-hello", "--adapter", adapter.folder, "--report", report)
    page = (report / "report.html").read_text()
    assert "<img" not in page and "<i>" not in page.split("</style>")[1].split("<div class=bar>")[0] and "&lt;img" in page
    ElementTree.parse(report / "junit.xml")


def test_a_report_is_made_again_from_its_results(tmp_path: Path, sloppy: Path) -> None:
    report = tmp_path / "report"
    conform("run", *BLOBS, "--adapter", sloppy, "--report", report)
    names = ("results.jsonl", "matrix.md", "report.html", "junit.xml")
    before = {name: (report / name).read_bytes() for name in names}
    for name in names[1:]:
        (report / name).unlink()
    assert conform("report", report).exit == 1
    assert {name: (report / name).read_bytes() for name in names} == before


def test_parallel_runs_give_the_same_verdicts(tmp_path: Path, sloppy: Path) -> None:
    for jobs in ("0", "3"):
        conform("run", *BLOBS, "blob/encode-plain", "--adapter", sloppy, "--report", tmp_path / jobs, "-n", jobs)
    assert verdicts(tmp_path / "0") == verdicts(tmp_path / "3")


def test_kept_directories_hold_input_and_output(tmp_path: Path, sloppy: Path) -> None:
    report = tmp_path / "report"
    conform("run", "blob/plain-hello", "--adapter", sloppy, "--report", report, "--keep")
    kept = report / "logs" / "sloppy" / "blob" / "plain-hello"
    assert (kept / "case" / "blob").exists() and (kept / "out" / "plain").read_bytes() == b"hello"


def test_the_readme_gets_its_matrix(tmp_path: Path, careful: Path) -> None:
    script = ROOT / "ci" / "readme-matrix.py"
    if not script.exists():
        pytest.skip("not in the source tree")
    report, readme = tmp_path / "report", tmp_path / "README.md"
    conform("run", *BLOBS, "--adapter", careful, "--report", report)
    readme.write_text("before\n<!-- matrix: begin (make matrix) -->\nold\n<!-- matrix: end -->\nafter\n")
    subprocess.run([sys.executable, script, report / "results.jsonl", readme], check=True)
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "| careful: careful 1 | 3/3 |" in text and "old" not in text


def test_what_is_installed_is_enough(tmp_path: Path) -> None:
    """Only the directories that `make install` takes along, from another working directory."""
    makefile = ROOT / "Makefile"
    if not makefile.exists():
        pytest.skip("not in the source tree")
    suite = re.search(r"^SUITE\s*:=(.*)", makefile.read_text(), re.M)
    assert suite
    installed = tmp_path / "share" / "pbsref"
    for name in suite[1].split():
        shutil.copytree(ROOT / name, installed / name, ignore=shutil.ignore_patterns("__pycache__", "test_*.py"))
    words = [sys.executable, str(installed / "tests" / "conformance" / "conform.py"), "run", *BLOBS, "create/golden-empty", "--adapter", "oracle", "-n", "0"]
    run = subprocess.run(words, cwd="/", capture_output=True, text=True, env={k: v for k, v in os.environ.items() if not k.startswith("CONFORM_")})
    assert run.returncode == 0, run
    assert not list(installed.rglob("__pycache__"))
