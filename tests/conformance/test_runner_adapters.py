# covers:
# SPDX-License-Identifier: MIT
"""The shipped adapters and what spec/adapters.md says of them."""
from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.adapters import FOLDER, end_group, find, handshake, program, wait
from conformance.cases import SPEC, load, schema
from conformance.play import play
from conformance.runner_support import conform, make_adapter, make_case
from conformance.servers import PASSWORD, TOKEN, TOKEN_SECRET, USER, Server
from conformance.trees import remove_work

VERBS = schema()["$defs"]["case"]["properties"]["verb"]["enum"]
SHIPPED = sorted(p.parent.name for p in FOLDER.glob("*/adapter.json"))
DOCS = (SPEC / "adapters.md").read_text()
needs_program = pytest.mark.skipif(program() is None, reason="no pbsref program")


def verdicts(report: Path, adapter: str) -> dict[str, str]:
    records = [json.loads(line) for line in (report / "results.jsonl").read_text().splitlines()]
    return {r["case"]: r["verdict"] for r in records if r["record"] == "result" and r["adapter"].startswith(adapter)}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_adapters_answer_the_handshake(name: str, tmp_path: Path) -> None:
    adapter = find(name)
    version, reason = adapter.version(tmp_path / "version")
    assert version or reason
    assert version is None or handshake(adapter, tmp_path) is None
    assert adapter.config["about"]


def test_the_template_has_every_verb(tmp_path: Path) -> None:
    text = (FOLDER / "template" / "adapter.py").read_text()
    assert set(re.findall(r'"([a-z-]+)": [a-z_]+', text[text.index("VERBS"):])) == set(VERBS)


def test_the_documentation_has_every_verb_option_and_shipped_adapter() -> None:
    assert set(re.findall(r"^\| `([a-z]+(?:-[a-z]+)*)` \|", DOCS, re.M)) | {"serve"} >= set(VERBS)
    used = {name for case in load() for args in (case.get("args", {}), *(s.get("args", {}) for s in case.get("steps", []) if "run" in s)) for name in args}
    assert {name for name in used if f"`{name}`" not in DOCS} == set()
    for name in ("example-python", "example-shell", "template"):
        assert f"tests/adapters/{name}" in DOCS


def test_the_example_in_python_is_a_correct_reader(tmp_path: Path) -> None:
    assert conform("run", "blob/plain", "blob/magic", "blob/payload", "blob/encode", "--adapter", "example-python", "--report", tmp_path).exit == 0
    found = verdicts(tmp_path, "example-python")
    assert {found[c] for c in ("blob/plain-hello", "blob/magic-flipped", "blob/payload-flipped", "blob/encode-plain")} == {"pass"}


@needs_program
def test_the_example_in_shell_drives_a_program(tmp_path: Path) -> None:
    assert conform("run", "create/small-tree", "extract/name-slash", "--adapter", "example-shell", "--report", tmp_path,
                   env={"PXAR": f"{program()} pxar"}).exit == 0
    assert set(verdicts(tmp_path, "example-shell").values()) == {"pass"}


@needs_program
def test_the_original_programs_are_used_when_they_are_on_path(tmp_path: Path) -> None:
    """pbsref understands their command lines, so it can stand in for them here."""
    shims = tmp_path / "bin"
    shims.mkdir()
    for name, words in (("pxar", "pxar"), ("proxmox-backup-client", "")):
        (shims / name).write_text(f'#!/bin/sh\nexec {program()} {words} "$@"\n')
        (shims / name).chmod(0o755)
    import os
    run = conform("run", "backup/legacy", "create/small-tree", "extract/name-slash", "pxar/header-cut", "--adapter", "proxmox-backup-client",
                  "--report", tmp_path / "report", env={"PATH": f"{shims}:{os.environ['PATH']}"})
    assert run.exit == 0, run
    found = verdicts(tmp_path / "report", "proxmox-backup-client")
    assert found["backup/legacy"] == found["create/small-tree"] == found["extract/name-slash"] == "pass"
    assert found["pxar/header-cut"] == ("pass" if os.getuid() == 0 else "unsupported")


@pytest.fixture
def running_server(tmp_path: Path) -> Iterator[Server]:
    if program() is None:
        pytest.skip("no pbsref program")
    server = Server(tmp_path / "running", tmp_path / "store", [], [])
    yield server
    server.stop()


@pytest.mark.parametrize("auth_id, secret", [(USER, PASSWORD), (TOKEN, TOKEN_SECRET)])
def test_a_running_server_is_tested_by_its_repository(tmp_path: Path, running_server: Server, auth_id: str, secret: str) -> None:
    name = f"server:{auth_id}@127.0.0.1:{running_server.port}:store1"
    env = {"CONFORM_PASSWORD": secret, "CONFORM_FINGERPRINT": running_server.fingerprint}
    run = conform("run", "server/one-snapshot", "server/finish-without-manifest", "--adapter", name, "--report", tmp_path / "report", env=env)
    assert run.exit == 0, run
    assert set(verdicts(tmp_path / "report", "server").values()) == {"pass"}
    assert not any(secret in p.read_text(errors="replace") for p in (tmp_path / "report").rglob("*") if p.is_file())
    assert list(running_server.store.glob("host/*/*/index.json.blob")) == []  # what the suite made is gone


@pytest.mark.parametrize("env, reason", [({}, "CONFORM_PASSWORD is not set"), ({"CONFORM_PASSWORD": "wrong"}, "login"),
                                         ({"CONFORM_PASSWORD": PASSWORD, "CONFORM_FINGERPRINT": "00" * 32}, "fingerprint of the server")])
def test_a_server_that_cannot_be_used_is_skipped_with_the_reason(running_server: Server, env: dict[str, str], reason: str) -> None:
    run = conform("run", "server/one-snapshot", "--adapter", f"server:{USER}@127.0.0.1:{running_server.port}:store1", env=env)
    assert run.exit == 3 and reason in run.out


# ---- crashes are not rejections ----

ORACLE = f'''
sys.path.insert(0, {str(FOLDER / "oracle")!r})
import adapter
def verb(call):
    %s
adapter.VERBS["blob-decode"] = verb
adapter.common.exceptions_are_crashes()
argv = [sys.argv[1], str(case), str(out)]
sys.exit(adapter.common.answer(argv, adapter.show_version, adapter.VERBS, adapter.Call, adapter.REJECTIONS))
'''


@pytest.mark.parametrize("body, actual", [
    ('raise adapter.OracleError("BLOB-050", 0, "no blob")', "rejected"), ("raise ValueError", "crash"), ("raise OSError", "crash"), ("return {}[0]", "crash"),
    ("verb(call)", "crash"), ("raise MemoryError", "crash"), ("raise adapter.Unsupported", "unsupported")])
def test_only_the_oracles_own_rejection_is_one(tmp_path: Path, body: str, actual: str) -> None:
    """Where a case expects a rejection a traceback must not pass for it."""
    result = play(make_case(expect={"verdict": "reject"}), make_adapter(tmp_path / "a", ORACLE % body), tmp_path / "work")
    assert result.verdict == {"rejected": "pass", "crash": "fail", "unsupported": "unsupported"}[actual], result
    assert result.actual.startswith(actual if actual != "unsupported" else "")


def test_an_oracle_that_cannot_be_loaded_is_a_crash(tmp_path: Path) -> None:
    body = f'import runpy\nsys.modules["oracle"] = None\nrunpy.run_path({str(FOLDER / "oracle" / "adapter.py")!r}, run_name="__main__")'
    result = play(make_case(expect={"verdict": "reject"}), make_adapter(tmp_path / "a", body), tmp_path / "work")
    assert result.verdict == "fail" and result.actual == "crash: exit status 70" and "ModuleNotFoundError" in result.log, result


@pytest.mark.parametrize("name", ["example-python", "template"])
def test_an_exception_in_a_shipped_example_is_a_crash(tmp_path: Path, name: str) -> None:
    text = (FOLDER / name / "adapter.py").read_text().partition("\n")[2]
    broken = text.replace("UNSUPPORTED\n", "{}[0]\n") if name == "template" else text.replace('raw = (case / "blob")', 'raw = (case / "none")')
    result = play(make_case(expect={"verdict": "reject"}), make_adapter(tmp_path / "a", broken, head="#!/usr/bin/python3\n"), tmp_path / "work")
    assert result.verdict == "fail" and result.actual.startswith("crash: exit status 70"), result


PROGRAM = """#!/bin/sh
case $1 in version) echo '{"client": {"version": "0"}}'; exit 0 ;; esac
%s
"""
VERDICTS = [*((f"exit {n}", "rejected") for n in range(1, 6)), ("exit 130", "crash: exit status 70"),
            ("exit 99", "crash: exit status 70"), ("kill -SEGV $$", "killed by SIGSEGV"), ("echo nonsense", "crash: exit status 70")]


@pytest.mark.parametrize("body, actual", VERDICTS)
def test_what_a_verb_of_pbsref_makes_of_an_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, actual: str) -> None:
    """An orderly refusal of the program, also of what the case says on the command line, or a crash."""
    script = tmp_path / "program"
    script.write_text(PROGRAM % body)
    script.chmod(0o755)
    monkeypatch.setenv("PBSREF", str(script))
    result = play(make_case(expect={"verdict": "reject"}), find("pbsref"), tmp_path / "work")
    assert (result.verdict, result.actual) == ("pass" if actual == "rejected" else "fail", actual), result


@pytest.mark.parametrize("verb, words", [("pxar-create", []), ("pxar-extract", []), ("blob-encode", []), ("chunk", ["avg"]),
                                         ("backup", ["password", "fingerprint"]), ("restore", ["password", "fingerprint", "snapshot", "archive"])])
def test_a_usage_error_is_a_rejection_in_every_verb_of_pbsref(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, words: list[str]) -> None:
    script = tmp_path / "program"
    script.write_text(PROGRAM % "exit 2")
    script.chmod(0o755)
    monkeypatch.setenv("PBSREF", str(script))
    (tmp_path / "case" / "args").mkdir(parents=True)
    for word in words:
        (tmp_path / "case" / "args" / word).write_text("1")
    (tmp_path / "out").mkdir()
    found = find("pbsref").call(verb, tmp_path / "case", tmp_path / "out", tmp_path / "home", tmp_path / "log", 30)
    assert (found.exit, found.timed_out) == (1, False), found


def test_the_end_of_a_process_is_noticed_at_once(tmp_path: Path) -> None:
    quick = subprocess.Popen(["sleep", "0.1"])
    assert wait(quick, 30) and quick.returncode == 0
    slow = subprocess.Popen(["sleep", "60"])
    assert not wait(slow, 0.05) and slow.returncode is None
    slow.kill()
    assert wait(slow, 30) and slow.returncode == -9


# ---- servers that misbehave ----

START = '''
server = {"host": "127.0.0.1", "port": "1", "datastore": "s", "auth-id": "root@pam", "password": "x"}
(out / "tmp").write_text(json.dumps(server)); os.rename(out / "tmp", out / "server.json")
'''
REAL = f'''
sys.path.insert(0, {str(FOLDER / "pbsref")!r})
import adapter
'''


@pytest.mark.parametrize("body, expected", [
    ("sys.exit(1)", "the server starts and stays"), ("os.abort()", "the server starts and stays"), ("time.sleep(60)", "OUTDIR/server.json"),
    ('(out / "server.json").write_text("{}"); time.sleep(60)', "OUTDIR/server.json as adapters.md says")])
def test_a_server_that_does_not_start_fails(tmp_path: Path, body: str, expected: str) -> None:
    limit_s = 1.5 if "sleep(60)" in body and "server.json" not in body else 30
    result = play(one_server_case(limit_s=limit_s), make_adapter(tmp_path / "a", body), tmp_path / "work")
    assert (result.verdict, result.expected) == ("fail", expected), result


def test_a_server_that_cannot_be_reached_fails(tmp_path: Path) -> None:
    result = play(one_server_case(), make_adapter(tmp_path / "a", START + "time.sleep(60)"), tmp_path / "work")
    assert result.verdict == "fail" and "connection ended" in result.actual, result


@needs_program
def test_a_step_that_is_answered_differently_fails_with_its_number(tmp_path: Path) -> None:
    steps = [{"op": "backup-session"}, {"op": "finish", "status": "200"}]
    result = play(one_server_case(steps=steps), find("pbsref"), tmp_path / "work")
    remove_work(tmp_path / "work")
    assert result.verdict == "fail" and result.expected == "step 2, finish: status 200" and result.actual.startswith("400")


@needs_program
def test_a_server_that_ignores_the_signal_fails(tmp_path: Path) -> None:
    body = REAL + "signal.signal = lambda *_: None\nimport signal as s\n" \
        "_ = s.pthread_sigmask(s.SIG_BLOCK, [s.SIGTERM])\nsys.exit(adapter.serve(adapter.Call(case, out)))"
    result = play(one_server_case(), make_adapter(tmp_path / "deaf", body), tmp_path / "work")
    remove_work(tmp_path / "work")
    assert result.verdict == "fail" and "SIGTERM" in result.expected, result


def one_server_case(**more: Any) -> Any:
    from dataclasses import replace
    case = next(c for c in load() if c.id == "server/one-snapshot")
    return replace(case, data={**case.data, **more})


# ---- clients ----

@needs_program
def test_steps_of_a_client_are_judged_one_by_one(tmp_path: Path) -> None:
    liar = make_adapter(tmp_path / "liar", "sys.exit(0)")
    case = next(c for c in load() if c.id == "backup/legacy")
    result = play(case, liar, tmp_path / "work")
    remove_work(tmp_path / "work")
    assert result.verdict == "fail" and result.expected.startswith("step 1: snapshots: 1"), result


def test_leftovers_of_a_process_group_are_killed() -> None:
    process = subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True)
    end_group(process)
    assert process.returncode == -9
