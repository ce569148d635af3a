# covers:
# SPDX-License-Identifier: MIT
"""How the runner judges: adapters with one misbehaviour each, and what it makes of them."""
from __future__ import annotations

import json
import os
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from conformance import checks, trees
from conformance.play import Result, play
from conformance.runner_support import make_adapter, make_case

GOOD = '(out / "plain").write_text("hello"); view(kind="uncompressed")'
REJECT = {"verdict": "reject"}


@pytest.fixture
def judged(tmp_path: Path) -> Any:
    """judged(body, **case) -> Result"""
    count = 0

    def run(body: str, config: dict[str, Any] | None = None, **members: Any) -> Result:
        nonlocal count
        count += 1
        adapter = make_adapter(tmp_path / f"adapter{count}", body, **(config or {}))
        work = tmp_path / f"work{count}"
        result = play(make_case(**members), adapter, work)
        if work.exists():
            trees.remove_work(work)
        return result
    return run


def test_the_expected_outcome_passes(judged: Any) -> None:
    assert judged(GOOD).verdict == "pass"
    assert judged("sys.exit(1)", expect=REJECT).verdict == "pass"


def test_accepting_what_must_be_rejected_fails_and_names_the_rule(judged: Any) -> None:
    result = judged(GOOD, expect=REJECT, rules=["BLOB-001", "BLOB-010"])
    assert (result.verdict, result.expected) == ("fail", "rejected by BLOB-001")
    assert "uncompressed" in result.actual


def test_rejecting_what_must_be_accepted_fails_with_what_was_printed(judged: Any) -> None:
    result = judged('print("too strict"); sys.exit(1)')
    assert (result.verdict, result.actual) == ("fail", "rejected: too strict")


@pytest.mark.parametrize("body, actual", [("sys.exit(2)", "crash: exit status 2"), ("sys.exit(126)", "crash: exit status 126"),
                                          ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
                                          ("os.abort()", "killed by SIGABRT")])
@pytest.mark.parametrize("expect", [REJECT, {"verdict": "accept", "view": {}}, {"verdict": "info"}])
def test_a_crash_fails_whatever_is_expected(judged: Any, body: str, actual: str, expect: dict[str, Any]) -> None:
    result = judged(body, expect=expect)
    assert (result.verdict, result.actual) == ("fail", actual)


def test_a_hang_ends_at_the_time_limit_with_everything_it_started(judged: Any, tmp_path: Path) -> None:
    child = tmp_path / "child"
    began = time.monotonic()
    result = judged(f'p = subprocess.Popen(["sleep", "60"]); Path({str(child)!r}).write_text(str(p.pid)); time.sleep(60)', limit_s=1.5)
    assert time.monotonic() - began < 20
    assert (result.verdict, result.actual) == ("fail", "time limit of 1.5 s exceeded")
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{child.read_text()}") and "Z" not in Path(f"/proc/{child.read_text()}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() < deadline, "the child outlived the case"
        time.sleep(0.02)


def test_a_time_limit_is_no_rejection(judged: Any) -> None:
    assert judged("time.sleep(60)", expect=REJECT, limit_s=0.5).verdict == "fail"


def test_ignored_signals_do_not_help(judged: Any) -> None:
    assert judged("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", limit_s=0.5).verdict == "fail"


def test_127_is_unsupported(judged: Any) -> None:
    assert judged("sys.exit(127)").verdict == "unsupported"
    assert judged("sys.exit(127)", expect=REJECT).verdict == "unsupported"


def test_other_roles_are_not_run(judged: Any) -> None:
    assert judged("os.abort()", config={"roles": ["writer"]}).verdict == "unsupported"


def test_info_cases_are_recorded(judged: Any) -> None:
    results = [judged(body, expect={"verdict": "info"}) for body in (GOOD, "sys.exit(1)")]
    assert [(r.verdict, r.actual) for r in results] == [("info", "accepted"), ("info", "rejected")]


@pytest.mark.parametrize("body, expected", [
    ('view(kind="encrypted")', "kind: uncompressed"), ("view()", "kind: uncompressed"), ("pass", "OUTDIR/view.json"),
    ('(out / "view.json").write_text("{")', "OUTDIR/view.json is JSON"), ("view(kind=None)", "kind: uncompressed")])
def test_a_wrong_view_fails_at_its_place(judged: Any, body: str, expected: str) -> None:
    result = judged(body)
    assert (result.verdict, result.expected) == ("fail", expected)


NESTED = {"verdict": "accept", "view": {"entries": [{"path": "a", "size": "1"}, {"path": "ä"}]}}


@pytest.mark.parametrize("entries, place", [
    ('[{"path": "a", "size": "1", "more": []}, {"path": "\\\\xc3\\\\xa4"}]', ""), ('[{"path": "a", "size": 1}, {"path": "ä"}]', "entries[0].size"),
    ('[{"path": "a", "size": "01"}, {"path": "ä"}]', "entries[0].size"), ('[{"path": "a", "size": "1"}]', "entries[1]"),
    ('[{"path": "a", "size": "1"}, {"path": "ä"}, {}]', "entries[2]"), ('[{"path": "ä"}, {"path": "a", "size": "1"}]', "entries[0].path"), ("{}", "entries")])
def test_views_are_compared_by_containment(judged: Any, entries: str, place: str) -> None:
    result = judged(f"view(entries={entries})", expect=NESTED)
    assert (result.verdict, result.expected.partition(":")[0]) == (("fail", place) if place else ("pass", ""))


def test_files_are_compared_byte_by_byte(judged: Any) -> None:
    expect = {"verdict": "accept", "files": {"plain": {"text": "hello"}}}
    assert judged(GOOD, expect=expect).verdict == "pass"
    wrong = judged('(out / "plain").write_text("hellO")', expect=expect)
    assert (wrong.verdict, wrong.expected) == ("fail", "plain: 5 bytes, at 4: 6f")
    longer = judged('(out / "plain").write_text("hello!")', expect=expect)
    assert longer.verdict == "fail" and longer.actual.startswith("6 bytes, at 5")
    assert judged("pass", expect=expect).expected == "OUTDIR/plain"
    digest = {"size": "5", "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
    assert judged(GOOD, expect={"verdict": "accept", "files": {"plain": digest}}).verdict == "pass"
    assert judged(GOOD, expect={"verdict": "accept", "files": {"plain": digest | {"size": "6"}}}).verdict == "fail"


def test_checks_run_after_an_accepted_call(judged: Any) -> None:
    case = {"role": "writer", "verb": "blob-encode", "input": {"plain": {"text": "hello"}},
            "expect": {"verdict": "accept", "checks": [{"check": "blob-holds"}]}}
    good = 'import zlib; d = b"%s"; (out / "blob").write_bytes(bytes.fromhex("42ab3807be8370a1") + zlib.crc32(d).to_bytes(4, "little") + d)'
    assert judged(good % "hello", **case).verdict == "pass"
    assert judged(good % "hallo", **case).verdict == "fail"
    unreadable = judged('(out / "blob").write_bytes(b"x" * 20)', **case)
    assert unreadable.verdict == "fail" and "BLOB-001" in unreadable.actual


@pytest.mark.parametrize("members", [
    {"input": {"blob": {"of": {"hex": "00"}, "edit": [{"at": 0, "bytes": "00"}]}}}, {"input": {"blob": {"file": "testdata/none"}}},
    {"input": {"blob": {"file": "testdata/../../../etc/passwd"}}}, {"input": {"blob": {"gen": "none"}}},
    {"expect": {"verdict": "accept", "checks": [{"check": "none"}]}}, {"needs": ["wings"]}])
def test_faults_of_the_harness_are_errors(judged: Any, members: dict[str, Any]) -> None:
    result = judged(GOOD, **members)
    assert result.verdict == "error" and result.reason


def test_a_check_that_breaks_is_an_error(judged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks.CHECKS, "breaks", lambda ctx: 1 // 0)
    result = judged(GOOD, expect={"verdict": "accept", "checks": [{"check": "breaks"}]})
    assert result.verdict == "error" and "ZeroDivisionError" in result.reason


def test_what_the_machine_cannot_do_is_skipped(judged: Any) -> None:
    need = "user" if os.getuid() == 0 else "root"
    result = judged(GOOD, needs=[need])
    assert result.verdict == "skip" and "user" in result.reason or "root" in result.reason


EXTRACT = {"verb": "pxar-extract", "input": {}, "expect": {"verdict": "accept", "checks": []}}


@pytest.mark.parametrize("body, word", [
    ('(out / "outside" / "x").write_text("x")', "outside"), ('(out / "outside" / "secret").write_text("x")', "outside"),
    ('(out / "outside" / "secret").unlink()', "outside"), ('(out / "outside" / "secret").chmod(0o777)', "outside"),
    ('os.utime(out / "outside", (1, 1))', "outside"), ('(out / "evil").write_text("x")', "beside")])
@pytest.mark.parametrize("status", [0, 1])
def test_touching_what_lies_beside_the_target_fails(judged: Any, body: str, word: str, status: int) -> None:
    result = judged(f"{body}; sys.exit({status})", **EXTRACT | {"expect": REJECT if status else EXTRACT["expect"]})
    assert result.verdict == "fail" and word in result.expected
    assert judged(f'(out / "target").mkdir(); sys.exit({status})', **EXTRACT | {"expect": REJECT if status else EXTRACT["expect"]}).verdict == "pass"


def test_the_call_is_as_documented(judged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBS_PASSWORD", "leak")
    monkeypatch.setenv("https_proxy", "leak")
    body = textwrap.dedent("""
        assert verb == "blob-decode" and Path.cwd() == out and case.is_absolute() and out.is_absolute()
        assert sys.stdin.read() == "" and "leak" not in os.environ.values() and Path(os.environ["HOME"]).is_dir()
        assert (case / "args" / "size").read_bytes() == b"5" and (case / "args" / "flag").read_bytes() == b""
        assert (case / "args" / "names").read_bytes() == b"a b\\n\\xc3\\xa4\\n"
        assert json.loads((case / "case.json").read_text())["id"] == "made/made-up"
        assert (case / "blob").read_bytes()[12:] == b"hello" and list(out.iterdir()) == []
        """) + GOOD
    result = judged(body, args={"size": "5", "flag": True, "names": ["a b", "ä"]})
    assert result.verdict == "pass", result.log


def test_working_directories_are_removed_whatever_lies_in_them(tmp_path: Path) -> None:
    work = tmp_path / "work"
    trees.build(work, [{"path": "d", "kind": "dir", "mode": "000"}, {"path": "f", "mode": "000"}, {"path": "l", "kind": "symlink", "to": "/"},
                       {"path": "p", "kind": "fifo"}], None)
    trees.remove_work(work)
    assert not work.exists()


def test_results_are_plain_data() -> None:
    made = Result("a/b", "x", "fail", actual="\udcff")
    assert Result(**json.loads(json.dumps(made.as_json()))) == made
