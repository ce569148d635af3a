# SPDX-License-Identifier: MIT
"""Finds adapters and calls them as spec/adapters.md says: own directories, own process group, time limit."""
from __future__ import annotations

import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from conformance.cases import ROOT, CaseError

FOLDER = ROOT / "tests" / "adapters"
COMPILED = "CONFORM_COMPILED"  # a directory for compiled modules
UNKNOWN_VERB = "no-such-verb"
ACCEPTED, REJECTED, UNSUPPORTED = 0, 1, 127
SETUP_LIMIT_S = 30.0
ROLES = ("reader", "writer", "chunker", "client", "server", "reuse")
LOG_TAIL = 2000
DROP = ("PBS_", "PXAR_", "PROXMOX_", "XDG_", "LC_", "LANG", "ALL_PROXY", "CREDENTIALS_DIRECTORY", "PYTEST_", "CONFORM_OPTIONS")


def program() -> str | None:
    """The pbsref program that serves as our server and that the adapter of that name drives."""
    for path in (os.environ.get("PBSREF"), str(ROOT / "build" / "pbsref"), str(ROOT.parent.parent / "bin" / "pbsref")):
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return shutil.which("pbsref")


def clean_env(home: Path) -> dict[str, str]:
    """The caller's environment without anything that client programs take settings from."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(DROP) and not k.lower().endswith("_proxy")}
    ours = program()
    env.update(HOME=str(home), XDG_RUNTIME_DIR=str(home / "run"), TZ="UTC", CONFORM_ROOT=str(ROOT))
    if COMPILED in env:  # kept for a run of the suite, so that not every call of an adapter in Python compiles its modules anew
        env["PYTHONPYCACHEPREFIX"] = env.pop(COMPILED)
        env.pop("PYTHONDONTWRITEBYTECODE", None)
    else:
        env["PYTHONDONTWRITEBYTECODE"] = "1"
    return env | ({"PBSREF": ours} if ours else {})


@dataclass
class Outcome:
    """How a call ended. `exit` is negative for a signal."""
    exit: int
    timed_out: bool
    seconds: float
    log: str

    @property
    def crashed(self) -> bool:
        return self.timed_out or self.exit not in (ACCEPTED, REJECTED, UNSUPPORTED)

    def describe(self, limit_s: float) -> str:
        if self.timed_out:
            return f"time limit of {limit_s:g} s exceeded"
        if self.exit < 0:
            return f"killed by {signal.Signals(-self.exit).name}"
        names = {ACCEPTED: "accepted", REJECTED: "rejected", UNSUPPORTED: "unsupported"}
        return names.get(self.exit, f"crash: exit status {self.exit}")


@dataclass
class Adapter:
    folder: Path
    config: dict[str, Any]
    parameter: str = ""
    known_version: tuple[str | None, str] | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        return str(self.config["name"]) + (f":{self.parameter}" if self.parameter else "")

    @property
    def slug(self) -> str:
        """The label as a file name."""
        return re.sub(r"[^A-Za-z0-9._@-]+", "_", self.label)

    @property
    def roles(self) -> list[str]:
        return list(self.config["roles"])

    def command(self, name: str) -> list[str]:
        words = [str(w) for w in self.config[name]]
        first = self.folder / words[0]
        return [str(first) if first.exists() else words[0], *words[1:]]

    def environment(self, home: Path) -> dict[str, str]:
        (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
        return clean_env(home) | {"CONFORM_PARAMETER": self.parameter}

    def version(self, home: Path) -> tuple[str | None, str]:
        """(version line, ""), or (None, why it is not there). Asked once."""
        if self.known_version is None:
            self.known_version = self._ask_version(home)
        return self.known_version

    def _ask_version(self, home: Path) -> tuple[str | None, str]:
        if "version" not in self.config:
            return "version unknown", ""
        try:
            run = subprocess.run(self.command("version"), env=self.environment(home), stdin=subprocess.DEVNULL, capture_output=True,
                                 timeout=SETUP_LIMIT_S, text=True, errors="replace")
        except (OSError, subprocess.TimeoutExpired) as e:
            return None, f"version: {e}"
        if run.returncode == 0 and run.stdout.strip():
            return run.stdout.strip().splitlines()[0], ""
        said = (run.stderr or run.stdout).strip().splitlines()
        return None, said[-1] if said else f"version command ended with {run.returncode}"

    def start(self, verb: str, case_dir: Path, out_dir: Path, home: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        no_core_files()
        return subprocess.Popen([*self.command("run"), verb, str(case_dir), str(out_dir)], cwd=out_dir, env=self.environment(home),
                                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def call(self, verb: str, case_dir: Path, out_dir: Path, home: Path, log: Path, limit_s: float) -> Outcome:
        """One call; whatever is left of its process group is killed."""
        began = time.monotonic()
        with open(log, "wb") as f:
            process = self.start(verb, case_dir, out_dir, home, f)
        timed_out = True
        try:
            timed_out = not wait(process, limit_s)
        finally:
            end_group(process)
        return Outcome(process.returncode, timed_out, time.monotonic() - began, tail(log))


def no_core_files() -> None:
    """For this process and those it starts. (A function between fork and exec would do it for one, and make every start slow.)"""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def wait(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Whether it ended in time. At once when it ends: Popen.wait with a limit looks every 50 ms."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:  # an old kernel, or a sandbox
        fd = -1
    try:
        if fd >= 0:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll(limit_s * 1000)
            limit_s = 0.001
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return False
    finally:
        if fd >= 0:
            os.close(fd)
    return True


def end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def tail(log: Path, size: int = LOG_TAIL) -> str:
    data = log.read_bytes()
    text = data[-size:].decode("utf-8", "replace")
    return text if len(data) <= size else "… " + text


def find(text: str) -> Adapter:
    """By NAME, NAME:PARAMETER, or the path of a folder or its adapter.json (with :PARAMETER after it too)."""
    for name, parameter in ((text, ""), text.partition(":")[::2]):
        for folder in (FOLDER / name, Path(name), Path(name).parent):
            if name and (folder / "adapter.json").is_file() and (folder != Path(name).parent or name.endswith("adapter.json")):
                return Adapter(folder.resolve(), _config(folder / "adapter.json"), parameter)
    known = ", ".join(sorted(p.parent.name for p in FOLDER.glob("*/adapter.json")))
    raise CaseError(f"no adapter {text!r}; there are: {known}, or give the path of a folder with adapter.json")


def _config(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise CaseError(f"{path}: {e}") from None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        raise CaseError(f"{path}: needs \"name\", a text")
    for member in ("run", "roles"):
        words = value.get(member)
        if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
            raise CaseError(f"{path}: needs \"{member}\", a list of words")
    if unknown := set(value["roles"]) - set(ROLES):
        raise CaseError(f"{path}: no role {' '.join(sorted(unknown))}; roles are {' '.join(ROLES)}")
    return value


def handshake(adapter: Adapter, work: Path) -> str | None:
    """What is wrong with the adapter, None if nothing."""
    for name in ("case", "out", "home"):
        (work / name).mkdir(parents=True)
    (work / "case" / "args").mkdir()
    (work / "case" / "case.json").write_text("{}")
    try:
        found = adapter.call(UNKNOWN_VERB, work / "case", work / "out", work / "home", work / "log", SETUP_LIMIT_S)
    except OSError as e:
        return f"cannot be run: {e}"
    if found.exit != UNSUPPORTED or found.timed_out:
        return f"answers an unknown verb with {found.describe(SETUP_LIMIT_S)}, not with 127\n{found.log}"
    return None
