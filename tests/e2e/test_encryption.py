# covers: API-040 API-041 BLOB-087 CLI-045 CLI-047 CRY-036 CRY-042 CRY-043 CRY-050 CRY-051 CRY-052 CRY-053 CRY-060
# covers: CRY-061 CRY-062 CRY-063 MAN-035 MAN-047 MAN-050 MAN-060
# covers: CRY-064 MAN-048 MAN-052 MAN-053 MAN-074
# SPDX-License-Identifier: MIT
"""Keys in use: which key counts, where passphrases come from, what is encrypted and signed, what is refused, what leaks."""
from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import (KEYFILE, T0, Client, Repo, Result, Server, assert_same, chunk_files, noise, program, small_tree)
from terminal import AGAIN, NEW, OLD, dialogue

from oracle import blob
from oracle.crypto import Key, load_key
from oracle.datastore import Store
from oracle.verify import verify

PASS = b"correct horse"
SNAPSHOT = "host/box/2023-11-14T22:13:20Z"
VECTORS = json.loads((Path(__file__).parents[2] / "spec/vectors/crypto.json").read_text())
VECTOR_KEY = bytes(range(32))


def locked_key(path: Path) -> Path:
    """A quick one with the passphrase PASS."""
    path.write_text(next(k["text"] for k in VECTORS["keyfiles"] if k["name"] == "scrypt-small-no-fingerprint"))
    return path


def source(path: Path) -> Path:
    small_tree(path, 7, 20)
    (path / "big").write_bytes(noise(3, 300_000))
    os.utime(path, ns=(0, T0 * 10**9))
    return path


def make_backup(client: Client, tree: Path, *options: str | Path, at: int = T0, **kw: object) -> Result:
    return client.run("backup", f"root.pxar:{tree}", f"etc.conf:{tree / 'big'}", "--backup-id", "box", "--backup-time", str(at),
                      "--change-detection-mode", "data", *options, **kw)  # type: ignore[arg-type]


def place_default(client: Client, key: Path = KEYFILE) -> Path:
    place = client.home / ".config/proxmox-backup/encryption-key.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(key, place)
    return place


# ---- modes ----

@pytest.mark.parametrize("mode", ["data", "legacy"])
def test_everything_but_the_manifest_is_encrypted(repo: Repo, tmp_path: Path, mode: str) -> None:
    tree = source(tmp_path / "tree")
    result = make_backup(repo.client, tree, "--keyfile", KEYFILE) if mode == "data" else repo.client.run(
        "backup", f"root.pxar:{tree}", f"etc.conf:{tree / 'big'}", f"disk.img:{tree / 'big'}", "--backup-id", "box",
        "--backup-time", str(T0), "--keyfile", KEYFILE, "--crypt-mode", "encrypt")
    assert result.exit == 0, result.stderr
    key = load_key(str(KEYFILE))
    assert verify(str(repo.store), key).problems == []
    assert all(blob.parse(p.read_bytes()).encrypted for p in chunk_files(repo.store))
    for path in (repo.store / SNAPSHOT).glob("*.blob"):
        assert blob.parse(path.read_bytes()).encrypted == (path.name != "index.json.blob")
    found = Store(str(repo.store), key)
    manifest = found.usable(found.find(SNAPSHOT))
    assert {f.crypt_mode for f in manifest.files} == {"encrypt"} and manifest.fingerprint() == key.fingerprint
    secret = (tree / "big").read_bytes()[1000:1064]
    assert not any(secret in p.read_bytes() for p in repo.store.rglob("*") if p.is_file())
    repo.client.expect_ok("restore", SNAPSHOT, "root.pxar", tmp_path / "out", "--keyfile", KEYFILE)
    assert_same(tmp_path / "out", tree)
    assert repo.client.expect_ok("restore", SNAPSHOT, "etc.conf", "-", "--keyfile", KEYFILE).out == (tree / "big").read_bytes()


def test_sign_only_signs_and_encrypts_nothing(repo: Repo, tmp_path: Path) -> None:
    tree, key = source(tmp_path / "tree"), load_key(str(KEYFILE))
    assert make_backup(repo.client, tree, "--keyfile", KEYFILE, "--crypt-mode", "sign-only").exit == 0
    assert not any(blob.parse(p.read_bytes()).encrypted for p in [*chunk_files(repo.store), *(repo.store / SNAPSHOT).glob("*.blob")])
    found = Store(str(repo.store), key)
    manifest = found.usable(found.find(SNAPSHOT))
    assert {f.crypt_mode for f in manifest.files} == {"sign-only"} and manifest.fingerprint() == key.fingerprint
    repo.client.expect_ok("restore", SNAPSHOT, "root.pxar", tmp_path / "out", "--keyfile", KEYFILE)
    assert_same(tmp_path / "out", tree)
    repo.client.expect_failure(3, "missing key", "restore", SNAPSHOT, "root.pxar", tmp_path / "o")


def test_the_table_of_modes_and_keys(dir_repo: Repo, tmp_path: Path) -> None:
    """CRY-052, row by row, without a master key."""
    tree, client, at = source(tmp_path / "tree"), dir_repo.client, T0

    def mode(*options: str | Path) -> str:
        nonlocal at
        at += 100
        result = make_backup(client, tree, *options, at=at)
        if result.exit:
            assert result.exit == 2, result.stderr
            return result.stderr.splitlines()[-1]
        found = Store(str(dir_repo.store))
        files = json.loads(blob.decode(found.raw(found.find("host/box/latest"), "index.json.blob")))["files"]
        (only,) = {f["crypt-mode"] for f in files}
        return f"{only}{' default' if 'Using default encryption key..' in result.lines() else ''}"

    for with_default in (False, True):
        if with_default:
            place_default(client)
        assert mode() == ("encrypt default" if with_default else "none")
        assert mode("--keyfile", KEYFILE) == "encrypt"
        assert mode("--crypt-mode", "none") == "none"
        assert "--crypt-mode=none are mutually exclusive" in mode("--crypt-mode", "none", "--keyfile", KEYFILE)
        for given in ("encrypt", "sign-only"):
            without = mode("--crypt-mode", given)
            assert without == f"{given} default" if with_default else "no default key file available" in without
            assert mode("--crypt-mode", given, "--keyfile", KEYFILE) == given
        assert "--keyfile and --keyfd are mutually exclusive" in mode("--keyfile", KEYFILE, "--keyfd", "0")
    assert make_backup(client, tree, "--keyfile", tmp_path / "none", at=at + 1).exit == 1
    assert make_backup(client, tree, "--keyfd", "77", at=at + 1).exit == 1


def test_messages_come_where_the_original_has_them(dir_repo: Repo, tmp_path: Path) -> None:
    lines = make_backup(dir_repo.client, source(tmp_path / "tree"), "--keyfile", KEYFILE).lines()
    assert lines[0].startswith("Starting backup: ") and lines[1].startswith("Client name: ")
    assert lines[2].startswith("Starting backup protocol: ")
    assert lines[3:6] == [f"Using encryption key from '{KEYFILE}'..", "Encryption key fingerprint: 3b:7f:37:5f:ec:7c:c9:24",
                          "No previous manifest available."]


def test_a_default_key_is_loaded_for_reading_unless_told_otherwise(dir_repo: Repo, tmp_path: Path) -> None:
    assert make_backup(dir_repo.client, source(tmp_path / "tree")).exit == 0
    place = place_default(dir_repo.client)
    place.write_text("broken")
    dir_repo.client.expect_failure(3, "key file", "restore", SNAPSHOT, "etc.conf", "-")
    dir_repo.client.expect_ok("restore", SNAPSHOT, "etc.conf", "-", "--crypt-mode", "none")


def test_a_descriptor_is_read_from_where_it_stands_to_its_end(dir_repo: Repo, tmp_path: Path) -> None:
    tree = source(tmp_path / "tree")
    read, write = os.pipe()
    os.write(write, KEYFILE.read_bytes())
    os.close(write)
    result = make_backup(dir_repo.client, tree, "--keyfd", str(read), pass_fds=(read,))
    os.close(read)
    assert result.exit == 0 and "Using encryption key from file descriptor.." in result.lines()
    (tmp_path / "more").write_bytes(b"junk" + KEYFILE.read_bytes())
    with open(tmp_path / "more", "rb", buffering=0) as f:
        f.seek(4)
        dir_repo.client.expect_ok("restore", SNAPSHOT, "etc.conf", "-", "--keyfd", str(f.fileno()), pass_fds=(f.fileno(),))


# ---- passphrases ----

@pytest.fixture
def locked(dir_repo: Repo, tmp_path: Path) -> Callable[..., Result]:
    """locked(env): restores a file that is encrypted with a locked key."""
    key = locked_key(tmp_path / "locked-key")
    env = {"PBS_ENCRYPTION_PASSWORD": PASS.decode()}
    result = make_backup(dir_repo.client, source(tmp_path / "tree"), "--keyfile", key, env=env)
    assert result.exit == 0, result.stderr
    return lambda env, **kw: dir_repo.client.run("restore", SNAPSHOT, "etc.conf", "-", "--keyfile", key, env=env, **kw)


def test_sources_of_the_passphrase_in_their_order(locked: Callable[..., Result], tmp_path: Path) -> None:
    base = "PBS_ENCRYPTION_PASSWORD"
    (tmp_path / "right").write_bytes(PASS + b"\r\nsecond line\n")
    (tmp_path / "wrong").write_bytes(b"wrong horse\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "credentials").mkdir()
    credential = tmp_path / "credentials" / "proxmox-backup-client.encryption-password"
    credential.write_bytes(PASS)
    command = f"sh -c 'printf \"%s\\n%s\" \"{PASS.decode()}\" more'"
    right = [{base: PASS.decode()}, {base: f"{PASS.decode()}\nmore"}, {base + "_FILE": str(tmp_path / "right")},
             {base + "_CMD": command}, {"CREDENTIALS_DIRECTORY": str(credential.parent)}]
    wrong = {base: "wrong horse", base + "_FILE": str(tmp_path / "wrong"), base + "_CMD": "echo wrong horse"}
    for i, env in enumerate(right):
        lower = dict(list(wrong.items())[min(i, 2):] if i < 2 else list(wrong.items())[2:] if i == 2 else [])
        assert locked({**lower, **env}).exit == 0, env
    for variable, value in wrong.items():
        result = locked({"CREDENTIALS_DIRECTORY": str(credential.parent), variable: value})
        assert result.exit == 3 and "wrong passphrase" in result.stderr and "wrong horse" not in result.stderr
    with open(tmp_path / "right", "rb", buffering=0) as f:
        assert locked({base + "_FD": str(f.fileno())}, pass_fds=(f.fileno(),)).exit == 0
    assert "shorter than 5" in locked({base: "", base + "_FILE": str(tmp_path / "right")}).stderr  # set, so it counts
    assert "shorter than 5" in locked({base + "_FILE": str(tmp_path / "empty")}).stderr
    for variable, value in ((base + "_CMD", "false"), (base + "_CMD", "'"), (base + "_FD", "x"), (base + "_FD", "99"),
                            (base + "_FILE", "/nonexistent")):
        result = locked({variable: value})
        assert result.exit in (1, 2) and variable in result.stderr
    credential.write_bytes(PASS + b"\n")  # taken whole
    assert locked({"CREDENTIALS_DIRECTORY": str(credential.parent)}).exit == 3
    result = locked({})
    assert result.exit == 3 and "no terminal" in result.stderr and result.out == b""


def test_the_passphrase_is_asked_for_on_a_terminal(locked: Callable[..., Result], dir_repo: Repo, tmp_path: Path) -> None:
    args = ("restore", SNAPSHOT, "etc.conf", "-", "--keyfile", tmp_path / "locked-key")
    result = dialogue(dir_repo.client, [(OLD, PASS)], *args)
    assert result.exit == 0 and result.out == (tmp_path / "tree/big").read_bytes()
    result = dialogue(dir_repo.client, [(OLD, b"wrong horse")], *args)
    assert result.exit == 3 and "wrong passphrase" in result.stderr and result.out == b""
    assert dialogue(dir_repo.client, [], "restore", SNAPSHOT, "etc.conf", "-", "--keyfile", KEYFILE).exit == 3  # no question


# ---- what is refused ----

def test_wrong_keys_and_changed_snapshots_give_nothing(dir_repo: Repo, tmp_path: Path) -> None:
    client, tree = dir_repo.client, source(tmp_path / "tree")
    for at, mode in ((T0, "encrypt"), (T0 + 100, "sign-only")):
        assert make_backup(client, tree, "--keyfile", KEYFILE, "--crypt-mode", mode, at=at).exit == 0
    other = json.loads(KEYFILE.read_text()) | {"data": base64.b64encode(bytes(32)).decode()}
    (tmp_path / "mismatch").write_text(json.dumps(other))
    other.pop("fingerprint")
    (tmp_path / "wrong").write_text(json.dumps(other))
    for snapshot in (SNAPSHOT, "host/box"):
        for archive in ("root.pxar", "etc.conf"):
            for key, text in (("mismatch", "CRY-024"), ("wrong", "wrong key")):
                client.expect_failure(3, text, "restore", snapshot, archive, tmp_path / "out", "--keyfile", tmp_path / key)
            client.expect_failure(3, "missing key", "restore", snapshot, archive, tmp_path / "out")
    path = dir_repo.store / "host/box/2023-11-14T22:15:00Z/index.json.blob"
    good = json.loads(blob.decode(path.read_bytes()))
    changes = [lambda m: m["files"][0].update(size=m["files"][0]["size"] + 1), lambda m: m["files"].pop(),
               lambda m: m["files"][0].update({"crypt-mode": "none"}), lambda m: m.update({"backup-id": "other"}),
               lambda m: m.update(signature="0" * 64)]
    for change in changes:
        bad = json.loads(json.dumps(good))
        change(bad)
        path.write_bytes(blob.encode(json.dumps(bad).encode()))
        client.expect_failure(3, "signature", "restore", "host/box", "etc.conf", tmp_path / "out", "--keyfile", KEYFILE)
    assert not (tmp_path / "out").exists()


def test_unencrypted_chunks_in_an_encrypted_snapshot_are_refused(dir_repo: Repo, tmp_path: Path) -> None:
    """Somebody who can write to the datastore, but has no key, cannot put in contents."""
    assert make_backup(dir_repo.client, source(tmp_path / "tree"), "--keyfile", KEYFILE).exit == 0
    for path in chunk_files(dir_repo.store):
        path.chmod(0o644)
        path.write_bytes(blob.encode(b"x" * 100))
    dir_repo.client.expect_failure(3, "", "restore", SNAPSHOT, "root.pxar", tmp_path / "out", "--keyfile", KEYFILE)


# ---- what leaks ----

def forms(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret).rstrip(b"=")]


def test_secrets_are_in_no_output_log_or_file(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                              tmp_path: Path) -> None:
    server, tree, key = make_server(), source(tmp_path / "tree"), locked_key(tmp_path / "locked-key")
    client = make_client(server, PBS_ENCRYPTION_PASSWORD=PASS.decode(), PBS_LOG="debug", PXAR_LOG="debug")
    runs = [make_backup(client, tree, "--keyfile", key), make_backup(client, tree, "--keyfile", key, at=T0 + 1),
            client.run("restore", SNAPSHOT, "root.pxar", tmp_path / "out", "--keyfile", key),
            client.run("catalog", "dump", SNAPSHOT, "--keyfile", key), client.run("key", "show", key),
            client.run("key", "show", key, "--output-format", "json"), client.run("key", "show", KEYFILE),
            client.run("restore", SNAPSHOT, "root.pxar", tmp_path / "o2", "--keyfile", key, env={"PBS_ENCRYPTION_PASSWORD": "wrong horse"}),
            client.run("restore", SNAPSHOT, "root.pxar", tmp_path / "o3", "--keyfile", KEYFILE)]
    assert [r.exit for r in runs] == [0] * 7 + [3, 3]
    derived = Key(VECTOR_KEY)
    secrets = [f for s in (VECTOR_KEY, derived.id_key, load_key(str(KEYFILE)).enc_key) for f in forms(s)] + [PASS, b"wrong horse"]
    texts = [r.out + r.stderr.encode() for r in runs] + [server.journal.read_bytes(), server.log.read_bytes()]
    files = [p.read_bytes() for p in server.store.rglob("*") if p.is_file()]
    assert not [s for s in secrets for text in [*texts, *files] if s in text]


@pytest.fixture(scope="session")
def scanner(session_path: Path) -> Path:
    """memory_scan.c as a library."""
    if b"__asan_init" in Path(program()).read_bytes() or b"__tsan_init" in Path(program()).read_bytes():
        pytest.skip("a sanitizer owns the memory, and keeps what was freed")
    target = session_path / "memory_scan.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", str(target),
                    str(Path(__file__).with_name("memory_scan.c"))], check=True)
    return target


class Scan:
    """Environment of a run that looks for secrets in its own memory when it ends."""

    def __init__(self, folder: Path, scanner: Path, secrets: list[bytes]) -> None:
        self.result = folder / "scan-result"
        (folder / "scan-patterns").write_text("".join(bytes(255 - b for b in s).hex() + "\n" for s in secrets))
        self.env = {"LD_PRELOAD": str(scanner), "MEMORY_SCAN": str(folder / "scan-patterns"), "MEMORY_SCAN_OUT": str(self.result)}

    def hits(self) -> list[str]:
        lines = self.result.read_text().splitlines()
        self.result.unlink()
        assert int(lines.pop().removeprefix("scanned ")) > 100_000
        return lines


def test_the_scanner_finds_what_is_there(make_client: Callable[..., Client], scanner: Path, tmp_path: Path) -> None:
    scan = Scan(tmp_path, scanner, [b"needle-in-the-environment"])
    make_client().expect_ok("help", env={**scan.env, "HAY": "needle-in-the-environment"})
    assert scan.hits() != []


def test_no_secret_is_left_in_memory(dir_repo: Repo, scanner: Path, tmp_path: Path) -> None:
    tree, key, clear = source(tmp_path / "tree"), locked_key(tmp_path / "locked-key"), tmp_path / "clear"
    clear.write_text(next(k["text"] for k in VECTORS["keyfiles"] if k["name"] == "none"))
    passfile = tmp_path / "passphrase"
    passfile.write_bytes(PASS + b"\n")
    derived = bytes.fromhex(VECTORS["full_chain"]["derived_key_hex"])
    scan = Scan(tmp_path, scanner, [VECTOR_KEY, base64.b64encode(VECTOR_KEY).rstrip(b"=")[:40], Key(VECTOR_KEY).id_key, derived,
                                    b"correct horse"])
    client, base = dir_repo.client, "PBS_ENCRYPTION_PASSWORD"
    for i, (name, value) in enumerate((("_FILE", str(passfile)), ("_CMD", f"cat {passfile}"))):
        env = {**scan.env, base + name: value}
        assert make_backup(client, tree, "--keyfile", key, at=T0 + i, env=env).exit == 0
        assert scan.hits() == [], "backup"
        for archive in ("root.pxar", "etc.conf"):
            client.expect_ok("restore", "host/box", archive, tmp_path / f"out{name}{archive}", "--keyfile", key, env=env)
            assert scan.hits() == [], f"restore of {archive}"
    assert make_backup(client, tree, "--keyfile", clear, "--crypt-mode", "sign-only", at=T0 + 2, env=scan.env).exit == 0
    assert scan.hits() == [], "backup, signed"
    client.expect_ok("key", "show", clear, env=scan.env)
    assert scan.hits() == [], "key show"
    for path, answers, options in ((key, [(OLD, PASS), (NEW, b"correct horse 2"), (AGAIN, b"correct horse 2")], []),
                                   (clear, [(NEW, PASS), (AGAIN, PASS)], ["--kdf", "pbkdf2"]),
                                   (clear, [(OLD, PASS)], ["--kdf", "none"])):
        assert dialogue(client, answers, "key", "change-passphrase", path, *options, env=dict(scan.env)).exit == 0
        assert scan.hits() == [], f"change of {path.name}"
