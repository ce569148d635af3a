# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: running the program, a server around a datastore, trees, and the independent reader.

The program is $PBSREF, else build/pbsref below the repository's top.
"""
from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "testdata" / "golden"
CLIENT_OUTPUT = GOLDEN / "datastore" / "client-output"
KEYFILE = CLIENT_OUTPUT / "key-none.json"
sys.path.insert(0, str(ROOT / "tests"))

from oracle import archive_tree, tree  # noqa: E402
from oracle.crypto import load_key  # noqa: E402
from oracle.datastore import Snapshot, Store  # noqa: E402
from oracle.golden import golden_module, golden_tree, scenario  # noqa: E402, F401
from oracle.patterns import Selection, parse  # noqa: E402
from oracle.verify import verify  # noqa: E402

USER, PASSWORD = "root@pam", "secret"
TOKEN, TOKEN_SECRET = "root@pam!t1", "tok-secret"
T0 = 1_700_000_000
ROOT_USER = os.getuid() == 0
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
LIMIT_S = 120
# a sanitizer build is several times slower; its findings must not look like an ordinary failure
SANITIZER = {"ASAN_OPTIONS": "exitcode=99:detect_leaks=1", "UBSAN_OPTIONS": "exitcode=99:print_stacktrace=1",
             "TSAN_OPTIONS": "exitcode=99:halt_on_error=0"}


def program() -> str:
    return os.environ.get("PBSREF") or str(ROOT / "build" / "pbsref")


def clean_env(home: Path) -> dict[str, str]:
    """An environment without any setting of the caller's that the program looks at."""
    drop = ("PBS_", "PXAR_", "PROXMOX_", "XDG_", "LC_", "LANG", "ALL_PROXY", "CREDENTIALS_DIRECTORY")
    env = {k: v for k, v in os.environ.items() if not k.startswith(drop) and not k.lower().endswith("_proxy")}
    return {**SANITIZER, **env, "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "TZ": "UTC"}


# ---- running the program ----

@dataclass
class Result:
    args: list[str]
    exit: int
    out: bytes
    stderr: str

    @property
    def stdout(self) -> str:
        return self.out.decode()

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[str]:
        return self.stderr.splitlines()


class Client:
    """The program with its own home; `env` is what every run gets."""

    def __init__(self, home: Path, **env: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "run").mkdir(mode=0o700, exist_ok=True)
        self.home, self.env = home, {**clean_env(home), **env}

    def start(self, *args: str | Path, env: dict[str, str | None] | None = None, **kw: Any) -> subprocess.Popen[bytes]:
        """In a session of its own: nothing to ask questions on."""
        merged = {**self.env, **(env or {})}
        return subprocess.Popen([program(), *map(str, args)], env={k: v for k, v in merged.items() if v is not None},
                                start_new_session=True, stdin=kw.pop("stdin", subprocess.DEVNULL),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def run(self, *args: str | Path, env: dict[str, str | None] | None = None, limit: int = LIMIT_S, **kw: Any) -> Result:
        with self.start(*args, env=env, **kw) as process:
            try:
                out, err = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        text = err.decode(errors="surrogateescape")
        assert process.returncode >= 0 and process.returncode != 99, f"{args}: {process.returncode}\n{text}"
        return Result([str(a) for a in args], process.returncode, out, text)

    def expect_ok(self, *args: str | Path, **kw: Any) -> Result:
        result = self.run(*args, **kw)
        assert result.exit == 0, f"{result.args}: exit {result.exit}\n{result.stderr}"
        return result

    def expect_failure(self, code: int, text: str, *args: str | Path, **kw: Any) -> Result:
        """The exit status, and a text that standard error must hold."""
        result = self.run(*args, **kw)
        assert result.exit == code, f"{result.args}: exit {result.exit}, not {code}\n{result.stderr}"
        assert text in result.stderr, f"{text!r} is not in\n{result.stderr}"
        return result

    def backup(self, *specs: str, at: int = T0, group: str = "box", mode: str = "legacy", **kw: Any) -> dict[str, Any]:
        """A backup that succeeds; its summary. Further options go in as part of `specs`."""
        args = ["backup", *specs, "--backup-id", group, "--backup-time", str(at), "--change-detection-mode", mode,
                "--output-format", "json"]
        return self.expect_ok(*args, **kw).json()


class Repo:
    """A datastore and a client that reaches it, over TLS or as a directory of this machine."""

    def __init__(self, client: Client, store: Path, server: Server | None = None) -> None:
        self.client, self.store, self.server = client, store, server


# ---- server ----

class Server:
    """`pbsref serve` over a datastore directory, ready for connections."""
    user, password, token, token_secret = USER, PASSWORD, TOKEN, TOKEN_SECRET

    def __init__(self, folder: Path, store: Path, *extra: str, faults: tuple[str, ...] = (), users: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store, self.journal, self.log = store, folder / "journal.jsonl", folder / "server.log"
        self.ready = folder / "ready.json"
        self.ready.unlink(missing_ok=True)
        args = [program(), "serve", "--store", str(store), "--ready-file", str(self.ready), "--journal", str(self.journal),
                "--no-sync"]
        if users:
            args += ["--user", f"{USER}:{PASSWORD}", "--token", f"{TOKEN}:{TOKEN_SECRET}"]
        for fault in faults:
            args += ["--fault", fault]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*args, *extra], env=clean_env(folder), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"the server did not become ready: {self.log.read_text()}")
            time.sleep(0.005)
        line = json.loads(self.ready.read_text())
        self.port, self.fingerprint, self.datastore = line["port"], line["fingerprint"], line["datastore"]

    def repository(self, auth_id: str = "", host: str = "127.0.0.1") -> str:
        return f"{auth_id + '@' if auth_id else ''}{host}:{self.port}:{self.datastore}"

    def environment(self) -> dict[str, str]:
        return {"PBS_REPOSITORY": self.repository(), "PBS_PASSWORD": PASSWORD, "PBS_FINGERPRINT": self.fingerprint}

    def journal_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def events(self, name: str, /, **members: Any) -> list[dict[str, Any]]:
        return [line for line in self.journal_lines()
                if line["event"] == name and all(line.get(k) == v for k, v in members.items())]

    def wait_for(self, name: str, /, **members: Any) -> None:
        deadline = time.monotonic() + 30
        while not self.events(name, **members):
            assert time.monotonic() < deadline, f"no {name} {members} in the journal"
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
            assert self.process.returncode == 0, f"server: {self.process.returncode}\n{self.log.read_text()}"


# ---- checking with the independent reader ----

def oracle_store(store: Path, keyed: bool = False) -> Store:
    return Store(str(store), load_key(str(KEYFILE)) if keyed else None)


def assert_sound(store: Path, keyed: bool = False, snapshots: int | None = None, averages: dict[str, int] | None = None) -> None:
    """Everything in the datastore verifies."""
    report = verify(str(store), load_key(str(KEYFILE)) if keyed else None, averages)
    assert report.problems == []
    assert snapshots is None or report.snapshots == snapshots


def assert_holds(store: Path, snapshot: str, archive: str, source: Path, exclude: tuple[str, ...] = (),
                 keyed: bool = False, ignore: tuple[str, ...] = ()) -> None:
    """An archive in the datastore equals a directory in every attribute and every byte; pass "latest" for the time."""
    found = oracle_store(store, keyed)
    nodes = archive_tree.capture(found.reader(found.find(snapshot), archive))
    nodes.pop(archive_tree.CLI_NAME, None)
    wanted = tree.scan(str(source), Selection([parse(p.encode()) for p in exclude]))
    assert tree.compare(nodes, wanted, list(ignore)) == []


def assert_same(one: Path, two: Path, ignore: tuple[str, ...] = ()) -> None:
    """Two directories are equal in every attribute."""
    assert tree.compare(tree.scan(str(one)), tree.scan(str(two)), list(ignore)) == []


def stored_bytes(store: Path, snapshot: str, archive: str, target: Path, keyed: bool = False) -> bytes:
    """The stream of any file of a snapshot, decoded by the independent reader."""
    found = oracle_store(store, keyed)
    target.unlink(missing_ok=True)
    found.copy(found.find(snapshot), archive, str(target))
    return target.read_bytes()


def manifest_of(store: Path, snapshot: str, keyed: bool = False) -> Any:
    found = oracle_store(store, keyed)
    return found.manifest(found.find(snapshot))


def snapshots_of(store: Path) -> list[str]:
    """Finished ones."""
    return [s.path for s in oracle_store(store).snapshots() if (store / s.path / "index.json.blob").exists()]


def chunks_of(store: Path, snapshot: str, name: str) -> list[tuple[int, int, bytes]]:
    """Start, end and digest of every chunk of an index."""
    found = oracle_store(store)
    where = found.find(snapshot)
    return found.index(where, found.manifest(where).file(name)).chunks


def snapshot_dirs(store: Path) -> list[Snapshot]:
    return oracle_store(store).snapshots()


def chunk_files(store: Path) -> list[Path]:
    return sorted(p for p in (store / ".chunks").glob("????/*") if len(p.name) == 64)


# ---- trees ----

def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def thirty_files(path: Path, size: int) -> Path:
    """Three directories of ten files each, every file with a time of its own."""
    for i in range(30):
        folder = path / f"d{i // 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{i:02d}").write_bytes(noise(i, size))
        os.utime(folder / f"f{i:02d}", ns=(0, (T0 - i) * 10**9 + i))
    return path


@contextmanager
def mounted(where: Path) -> Iterator[None]:
    """A small file system of its own."""
    where.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)], capture_output=True).returncode != 0:
        pytest.skip("cannot mount here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)


@dataclass
class RandomTree:
    """A small tree of everything a user may create (and with root, owners and devices), the same for equal seeds."""
    path: Path
    seed: int
    entries: int = 60
    dirs: list[Path] = field(default_factory=list)

    def build(self) -> Path:
        rng = random.Random(self.seed)
        self.path.mkdir()
        self.dirs, files = [self.path], []
        for i in range(self.entries):
            where = rng.choice(self.dirs)
            kind = rng.choice(["file"] * 6 + ["dir", "dir", "symlink", "fifo", "hardlink", "device"])
            p = where / f"{rng.choice(['a', 'Z', '-', 'é', ' sp', '.h'])}{i:03d}"
            if kind == "dir" and len(self.dirs) < 12:
                p.mkdir()
                self.dirs.append(p)
                continue
            if kind == "symlink":
                p.symlink_to(rng.choice(["target", "/abs/olute", "..", "x" * 200]))
            elif kind == "fifo":
                os.mkfifo(p)
            elif kind == "hardlink" and files:
                os.link(rng.choice(files), p)
                continue
            elif kind == "device" and ROOT_USER:
                os.mknod(p, stat.S_IFCHR | 0o600, os.makedev(rng.randrange(1, 200), rng.randrange(200)))
            else:
                p.write_bytes(rng.randbytes(rng.choice([0, 1, 100, 4096, rng.randrange(50_000)])))
                files.append(p)
            self.attributes(p, rng)
        for i, p in enumerate(reversed(self.dirs)):
            os.utime(p, ns=(0, (T0 + i) * 10**9 + i))
        return self.path

    def attributes(self, p: Path, rng: random.Random) -> None:
        if ROOT_USER:
            os.lchown(p, rng.choice([0, 5, 1000]), rng.choice([0, 7, 100]))
        if not p.is_symlink():
            p.chmod(rng.choice([0o644, 0o600, 0o755, 0o4711, 0o1640]))
        os.utime(p, ns=(0, (T0 - rng.randrange(10**6)) * 10**9 + rng.randrange(10**9)), follow_symlinks=False)


def small_tree(path: Path, seed: int = 1, entries: int = 60) -> Path:
    return RandomTree(path, seed, entries).build()


def remove_tree(path: Path) -> None:
    """Removes a directory with whatever a restore may have made: immutable files, unreadable directories."""
    for folder, dirs, files in os.walk(path):
        if ".chunks" in dirs:
            dirs.remove(".chunks")  # may have 65,536 directories, none of them odd
        for name in [*dirs, *files]:
            full = os.path.join(folder, name)
            mode = os.lstat(full).st_mode
            if stat.S_ISDIR(mode):
                os.chmod(full, 0o700) if mode & 0o700 != 0o700 else None
            if ROOT_USER and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                clear_flags(full)
    subprocess.run(["rm", "-rf", str(path)], check=True)


def clear_flags(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        bits = struct.unpack("i", fcntl.ioctl(fd, FS_IOC_GETFLAGS, b"\0" * 4))[0]
        if bits & 0x30:  # immutable, append-only
            fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("i", bits & ~0x30))
    except OSError:
        pass
    finally:
        os.close(fd)
