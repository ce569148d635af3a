# covers: CRY-010 CRY-020 CRY-021 CRY-022 CRY-023 CRY-024 CRY-025 CRY-026 CRY-032 CRY-033 CRY-034 CRY-051 CRY-064 CRY-065 CRY-070
# covers: CRY-071 CRY-072 CRY-091 CRY-092 CRY-093
# SPDX-License-Identifier: MIT
"""`key create|show|change-passphrase`; what they write is read with the independent reader."""
from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import CLIENT_OUTPUT, KEYFILE, ROOT, Client
from terminal import AGAIN, NEW, OLD, Terminal, dialogue

from oracle.crypto import load_key, parse_key_file
from oracle.errors import OracleError

SECRET = b"correct horse \xc3\xa9"
TWICE = [(NEW, SECRET), (AGAIN, SECRET)]
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
CREATED = "2023-11-14T22:13:20+00:00"


@pytest.fixture
def user(make_client: Callable[..., Client]) -> Client:
    return make_client()


def vector(name: str) -> str:
    found = json.loads((ROOT / "spec/vectors/crypto.json").read_text())["keyfiles"]
    return str(next(k["text"] for k in found if k["name"] == name))


@pytest.mark.parametrize("kdf", ["none", "pbkdf2", "scrypt", None])
def test_new_keys_open_with_the_independent_reader(user: Client, tmp_path: Path, kdf: str | None) -> None:
    path, options = tmp_path / "key", ["--kdf", kdf] if kdf else []
    old = os.umask(0)
    try:
        result = dialogue(user, [] if kdf == "none" else TWICE, "key", "create", path, *options,
                          env={"TZ": "Asia/Kolkata"})
    finally:
        os.umask(old)
    assert result.exit == 0, result.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert re.fullmatch(r'\{"kdf":(null|\{.*\}),"created":"' + TIME + '","modified":"' + TIME + r'","data":"[^"]*","fingerprint":"[0-9a-f:]{95}"\}', text)
    found = parse_key_file(text)
    assert text.count("+05:30") == 2 and abs(found.created - time.time()) < 60 and found.modified == found.created
    load_key(str(path), None if kdf == "none" else SECRET)
    if kdf == "none":
        assert found.kdf is None and len(text) == 255
    elif kdf == "pbkdf2":
        assert found.kdf and found.kdf["PBKDF2"]["iter"] == 65535
    else:
        assert found.kdf and [found.kdf["Scrypt"][k] for k in "nrp"] == [65536, 8, 1]
    if found.kdf:
        assert len(found.data) == 64
        with pytest.raises(OracleError):
            load_key(str(path), SECRET[:-1])


def test_keys_differ(user: Client, tmp_path: Path) -> None:
    for i in range(4):
        user.expect_ok("key", "create", tmp_path / str(i), "--kdf", "none")
    assert len({load_key(str(tmp_path / str(i))).enc_key for i in range(4)}) == 4


def test_create_says_what_the_original_says(user: Client, tmp_path: Path) -> None:
    lines = (CLIENT_OUTPUT / "key-create.txt").read_text().splitlines()
    assert lines[0].endswith("key create FILES/key --kdf none") and lines[1:-1] == [] and lines[-1] == "exit 0"
    result = user.expect_ok("key", "create", tmp_path / "key", "--kdf", "none")
    assert result.out == b"" and result.stderr == ""


def test_nothing_is_ever_overwritten(user: Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        user.expect_failure(1, "exists already", "key", "create", tmp_path / name, "--kdf", "none")
        assert dialogue(user, [], "key", "create", tmp_path / name).exit == 1  # before any question
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "nowhere").exists()
    user.expect_failure(1, "", "key", "create", tmp_path / "no" / "dir", "--kdf", "none")
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("home")) == ["file", "link"]


def test_passphrases_that_are_refused(user: Client, tmp_path: Path) -> None:
    for answers, text in (([(NEW, b"abcd")], "shorter than 5 bytes"), ([(NEW, SECRET), (AGAIN, b"other horse")], "differ")):
        result = dialogue(user, answers, "key", "create", tmp_path / "key")
        assert result.exit == 1 and text in result.stderr
    user.expect_failure(1, "no terminal", "key", "create", tmp_path / "key")
    user.expect_failure(1, "no terminal", "key", "create", tmp_path / "key", env={"PBS_ENCRYPTION_PASSWORD": "horses"})
    assert not (tmp_path / "key").exists()


def test_default_places(user: Client, tmp_path: Path) -> None:
    first = user.home / ".config/proxmox-backup/encryption-key.json"
    user.expect_failure(1, "no default key file", "key", "show")
    for where in ("one", "two"):
        (tmp_path / where / "proxmox-backup").mkdir(parents=True)
    shutil.copy(KEYFILE, tmp_path / "two/proxmox-backup/encryption-key.json")
    env: dict[str, str | None] = {"XDG_CONFIG_DIRS": f"{tmp_path}/one:{tmp_path}/two"}
    shown = user.expect_ok("key", "show", "--output-format", "json", env=env).json()
    assert shown["fingerprint"] == load_key(str(KEYFILE)).fingerprint_text()
    user.expect_ok("key", "create", "--kdf", "none", env=env)  # goes to the first place all the same
    assert stat.S_IMODE(first.stat().st_mode) == 0o600 and stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert user.expect_ok("key", "show", "--output-format", "json", env=env).json()["path"] == f'"{first}"'
    user.expect_failure(1, "exists already", "key", "create", "--kdf", "none")
    user.expect_ok("key", "create", "--kdf", "none", env={"XDG_CONFIG_HOME": str(tmp_path / "one")})
    load_key(str(tmp_path / "one/proxmox-backup/encryption-key.json"))
    user.expect_failure(2, "neither HOME", "key", "create", "--kdf", "none", env={"HOME": None})


def test_hints(user: Client, tmp_path: Path) -> None:
    for hint in ("", "x" * 65, "a\tb", "a\x7f", "\u0085"):
        user.expect_failure(2, "hint", "key", "create", tmp_path / "key", "--hint", hint)
    user.expect_failure(2, "--hint", "key", "create", tmp_path / "key", "--kdf", "none", "--hint", "x")
    hint = "é" * 63 + '"'
    assert dialogue(user, TWICE, "key", "create", tmp_path / "key", "--kdf", "pbkdf2", "--hint", hint).exit == 0
    assert parse_key_file((tmp_path / "key").read_bytes()).hint == hint
    result = user.expect_failure(3, f"hint: {hint}", "catalog", "dump", "host/a/2023-11-14T22:13:20Z", "--keyfile", tmp_path / "key",
                                 env={"PBS_ENCRYPTION_PASSWORD": "wrong horse", "PBS_REPOSITORY": "dir:/nonexistent"})
    assert "wrong horse" not in result.stderr


def test_change_passphrase_keeps_the_key(user: Client, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(vector("scrypt-default-params"))
    path.chmod(0o640)
    old, key = parse_key_file(path.read_bytes()), load_key(str(path), b"correct horse")
    steps = [(["--kdf", "pbkdf2", "--hint", "new"], b"correct horse", b"second", "new"), ([], b"second", b"third", None),
             (["--kdf", "none"], b"third", None, None), (["--kdf", "pbkdf2"], None, b"fourth", None)]
    for options, before, after, hint in steps:
        answers = ([(OLD, before)] if before else []) + ([(NEW, after), (AGAIN, after)] if after else [])
        result = dialogue(user, answers, "key", "change-passphrase", path, *options)
        assert result.exit == 0, result.stderr
        found = parse_key_file(path.read_bytes())
        assert found.created == old.created and found.hint == hint and time.time() - found.modified < 60
        assert '"created":"2023-11-14T23:13:20+01:00"' in path.read_text()  # its zone stays, too
        assert load_key(str(path), after).enc_key == key.enc_key and found.fingerprint == key.fingerprint
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and list(tmp_path.glob("key*")) == [path]


def test_change_passphrase_that_fails_changes_nothing(user: Client, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(vector("pbkdf2-default-params"))
    right: dict[str, str | None] = {"PBS_ENCRYPTION_PASSWORD": "correct horse"}
    for kdf in ("none", "scrypt"):
        user.expect_failure(1, "terminal", "key", "change-passphrase", path, "--kdf", kdf, env=right)
    assert dialogue(user, [(OLD, b"wrong horse")], "key", "change-passphrase", path).exit == 3
    assert dialogue(user, [(NEW, b"horses"), (AGAIN, b"horse")], "key", "change-passphrase", path, env=right).exit == 1
    assert dialogue(user, [], "key", "change-passphrase", tmp_path / "none").exit == 1
    assert path.read_text() == vector("pbkdf2-default-params") and list(tmp_path.glob("key*")) == [path]
    result = dialogue(user, [], "key", "change-passphrase", path, "--kdf", "none", env=right)
    assert result.exit == 0 and load_key(str(path)).enc_key == bytes(range(32))


def test_show(user: Client, tmp_path: Path) -> None:
    path = tmp_path / 'a "key"'
    path.write_text(vector("scrypt-default-params"))
    fingerprint = load_key(str(path), b"correct horse").fingerprint_text()
    shown = user.expect_ok("key", "show", path, "--output-format", "json-pretty")
    assert shown.json() == {"path": f'"{tmp_path}/a \\"key\\""', "kdf": "scrypt", "created": 1_700_000_000, "modified": 1_700_003_600,
                            "fingerprint": fingerprint, "hint": "the usual one"}
    assert list(shown.json()) == sorted(shown.json()) and shown.stdout.startswith('{\n  "created": 1700000000,\n')
    text = user.expect_ok("key", "show", path).stdout
    for word in (str(path), "scrypt", fingerprint, "the usual one", "2023-11-14T23:13:20+01:00"):
        assert word in text
    path.write_text(vector("scrypt-small-no-fingerprint"))
    assert set(user.expect_ok("key", "show", path, "--output-format", "json").json()) == {"path", "kdf", "created", "modified"}
    path.write_text(vector("none"))
    assert user.expect_ok("key", "show", path, "--output-format", "json").json()["kdf"] == "none"
    path.write_text("{}")
    user.expect_failure(3, "CRY-022", "key", "show", path)


@contextlib.contextmanager
def disposition(number: int, action: signal.Handlers) -> Iterator[None]:
    """What children of this process inherit for a signal: the tests may run under nohup."""
    before = signal.signal(number, action)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_a_question_brings_echo_back(user: Client, tmp_path: Path, number: int) -> None:
    with disposition(number, signal.SIG_DFL):
        terminal = Terminal(user, "key", "create", tmp_path / "key")
    terminal.wait_question(NEW)
    assert not terminal.echoes()
    os.kill(terminal.process.pid, number)
    while terminal.process.poll() is None:
        terminal.read()
    assert terminal.echoes()
    assert terminal.process.returncode == (-number if number == signal.SIGHUP else 130)
    terminal.close()
    assert not (tmp_path / "key").exists()


def test_a_signal_that_was_ignored_before_stays_so_at_a_question(user: Client, tmp_path: Path) -> None:
    path = tmp_path / "key"
    with disposition(signal.SIGHUP, signal.SIG_IGN):
        terminal = Terminal(user, "key", "create", path)
    terminal.wait_question(NEW)
    os.kill(terminal.process.pid, signal.SIGHUP)
    terminal.read(0.3)
    assert terminal.process.poll() is None and not terminal.echoes(), terminal.shown
    os.write(terminal.master, b"correct horse\n")
    terminal.answer(AGAIN, b"correct horse")
    assert terminal.finish().exit == 0 and load_key(str(path), b"correct horse")


def test_end_of_input_at_a_question(user: Client, tmp_path: Path) -> None:
    terminal = Terminal(user, "key", "create", tmp_path / "key")
    terminal.wait_question(NEW)
    os.write(terminal.master, b"\x04")
    result = terminal.finish()
    assert result.exit == 1 and "nothing was entered" in result.stderr
