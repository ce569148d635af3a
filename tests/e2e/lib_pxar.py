# SPDX-License-Identifier: MIT
"""Helpers of the archive tests: running `pbsref pxar`, golden data, trees, and what must be left behind: nothing.

The program is PBSREF from the environment, else build/pbsref. Seeds: PBSREF_SEED (printed by the tests that use it).
"""
from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "testdata" / "golden"
sys.path.insert(0, str(ROOT / "tests"))

from oracle import archive_tree, fsattr, pxar, pxar_write, tree  # noqa: E402

PBSREF = os.path.abspath(os.environ.get("PBSREF") or ROOT / "build" / "pbsref")
SEED = int(os.environ.get("PBSREF_SEED", "20240611"))
IS_ROOT = os.geteuid() == 0
EXT4 = 0xEF53
OK, FAILED, USAGE, MALFORMED, PARTIAL = 0, 1, 2, 3, 5
LOCKED = fsattr.FLAGS["immutable"][0] | fsattr.FLAGS["append"][0]
# what may not reach the program from outside
SETTINGS = ("PBS_", "PXAR_", "PROXMOX_")


class Result:
    """What a run of the program came to."""

    def __init__(self, args: list[str], done: subprocess.CompletedProcess[bytes]):
        self.args, self.code, self.raw = args, done.returncode, done.stdout or b""
        self.err = done.stderr.decode("utf-8", "backslashreplace")
        self.lines = self.err.splitlines()

    @property
    def out(self) -> str:
        return self.raw.decode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"pbsref {self.args} ended with {self.code}, saying {self.err!r}"

    def expect_fine(self) -> Result:
        assert self.code == OK, self
        return self

    def expect_failure(self, code: int, *words: str) -> Result:
        """Ended with `code` and exactly one line that begins with "Error: ", the last one, with all `words` in it."""
        assert self.code == code, self
        assert [line for line in self.lines if line.startswith("Error: ")] == self.lines[-1:], self
        for word in words:
            assert word in self.lines[-1], (word, self)
        return self

    def expect_only_failure(self, code: int, *words: str) -> Result:
        """The same, and there is no other line."""
        self.expect_failure(code, *words)
        assert len(self.lines) == 1, self
        return self


def environment(**more: str) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    return {**plain, "TZ": "UTC", "LC_ALL": "C", **more}


def pbsref(*args: object, env: dict[str, str] | None = None, timeout: float = 60, **more: Any) -> Result:
    """Runs the program; it may neither hang nor die of a signal nor of a sanitizer's finding."""
    words = [os.fsdecode(a) if isinstance(a, (bytes, Path)) else str(a) for a in args]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    done = subprocess.run([PBSREF, *words], timeout=timeout, env=environment(**(env or {})), **streams)
    result = Result(words, done)
    assert result.code in (OK, FAILED, USAGE, MALFORMED, PARTIAL), result
    assert "Sanitizer" not in result.err and "runtime error" not in result.err, result
    return result


def run(verb: str, *args: object, **more: Any) -> Result:
    return pbsref("pxar", verb, *args, **more)


# ---- golden data ----------------------------------------------------------------------------------------------------

def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def golden_file(name: str) -> Path:
    return GOLDEN / "pxar" / name


def trees() -> ModuleType:
    """The script that builds the sources of the golden archives."""
    sys.path.insert(0, str(GOLDEN))
    try:
        return importlib.import_module("trees")
    finally:
        sys.path.remove(str(GOLDEN))


def build(name: str, path: Path) -> Path:
    made = trees().Tree(str(path))
    trees().TREES[name](made)
    made.done()
    return path


# ---- archives in files ----------------------------------------------------------------------------------------------

class Archive:
    """Names of an archive's files below `where`: NAME.pxar, or NAME.mpxar and NAME.ppxar."""

    def __init__(self, where: Path, name: str = "a", split: bool = False):
        self.split = split
        self.path = where / (f"{name}.mpxar" if split else f"{name}.pxar")
        self.payload = where / f"{name}.ppxar" if split else None

    def create(self, source: object, *options: object, **more: Any) -> Result:
        extra = ["--payload-output", self.payload] if self.payload else []
        return run("create", self.path, source, *extra, *options, **more)

    def _read(self, verb: str, options: tuple[object, ...], more: dict[str, Any]) -> Result:
        extra = ["--payload-input", self.payload] if self.payload else []
        return run(verb, self.path, *extra, *options, **more)

    def list(self, *options: object, **more: Any) -> Result:
        return self._read("list", options, more)

    def verify(self, *options: object, **more: Any) -> Result:
        return self._read("verify", options, more)

    def dump(self, *options: object, **more: Any) -> Result:
        return run("dump", self.path, *options, **more)

    def extract(self, target: object, *options: object, **more: Any) -> Result:
        return self._read("extract", (target, *options), more)

    def bytes(self) -> tuple[bytes, bytes | None]:
        return self.path.read_bytes(), self.payload.read_bytes() if self.payload else None

    def write(self, archive: bytes, payload: bytes | None = None) -> Archive:
        self.path.write_bytes(archive)
        if self.payload is not None and payload is not None:
            self.payload.write_bytes(payload)
        return self

    def reader(self) -> pxar.Reader:
        """The independent reader on these files."""
        return pxar.open_reader(str(self.path), str(self.payload) if self.payload else None)

    def capture(self) -> dict[bytes, tree.Node]:
        reader = self.reader()
        try:
            return archive_tree.capture(reader)
        finally:
            reader.archive.close()
            if self.payload is not None:
                reader.payload.close()

    def exists(self) -> bool:
        return self.path.exists() or self.payload is not None and self.payload.exists()


def golden_archive(name: str, split: bool) -> Archive:
    return Archive(GOLDEN / "pxar", name, split)


def written_by_oracle(source: Path, split: bool, options: pxar_write.Options | None = None) -> tuple[bytes, bytes | None]:
    """The archive as the independent writer makes it."""
    import io
    archive, payload = io.BytesIO(), io.BytesIO() if split else None
    pxar_write.create(str(source), archive, payload, options)
    return archive.getvalue(), None if payload is None else payload.getvalue()


# ---- directories ----------------------------------------------------------------------------------------------------

def unlock(top: Path) -> None:
    """Takes immutable and append-only flags away and makes directories accessible, so that all can be removed."""
    for where, _, files in os.walk(os.fsencode(top)):
        for name in (b".", *files):
            full = where + b"/" + name
            if os.path.islink(full) or not (name == b"." or os.path.isfile(full)):
                continue
            if name == b".":
                _unlock_one(full)
                os.chmod(full, 0o700)
            elif os.access(full, os.R_OK):
                _unlock_one(full)


def _unlock_one(full: bytes) -> None:
    fd = fsattr.open_quiet(full)
    try:
        flags = fsattr.get_inode_flags(fd)
        if flags & LOCKED:
            fsattr.set_inode_flags(fd, flags & ~LOCKED)
    finally:
        os.close(fd)


def remove(top: Path) -> None:
    if top.exists():
        unlock(top)
        shutil.rmtree(os.fsencode(top))


def fs_type(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return fsattr.fs_type(fd)
    finally:
        os.close(fd)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An empty directory; everything in it is removed afterwards, whatever its attributes."""
    os.umask(0o022)
    yield tmp_path
    for one in tmp_path.iterdir():
        if one.is_symlink() or not one.is_dir():
            one.unlink()
        else:
            remove(one)


@pytest.fixture
def root_place(place: Path) -> Path:
    """Where all attributes can be set: root on ext4."""
    if not IS_ROOT:
        pytest.skip("needs root: foreign owners, devices, trusted attributes")
    if fs_type(place) != EXT4:
        pytest.skip("needs ext4 below the temporary directory: inode flags, order of attributes")
    return place


def scan(path: Path) -> dict[bytes, tree.Node]:
    return tree.scan(os.fsencode(path))


def selected(path: Path, patterns: list[bytes] | None = None) -> dict[bytes, tree.Node]:
    """The part of a directory that an archive of it holds."""
    options = pxar_write.Options(list(patterns or []))
    from oracle.patterns import Selection
    return tree.scan(os.fsencode(path), Selection(options.patterns()))


def same(a: dict[bytes, tree.Node], b: dict[bytes, tree.Node], *ignore: str) -> None:
    differences = tree.compare(a, b, ignore)
    assert differences == [], "\n".join(differences[:20])


# ---- selection on extraction ----------------------------------------------------------------------------------------

def extracted_by(nodes: dict[bytes, tree.Node], links: set[bytes], texts: list[bytes]) -> set[bytes]:
    """Paths that patterns select from an archive, as EXT-020 .. EXT-027 say; `links` are its HARDLINK entries."""
    from oracle import patterns
    chosen = [patterns.parse(text, include=True) for text in texts]
    state: dict[bytes, bool] = {b"": not chosen}
    made: set[bytes] = {b""}
    for path, node in nodes.items():  # archive order: parents first
        if not path:
            continue
        parent = path.rpartition(b"/")[0]
        is_dir = node.kind == "dir"
        verdict = next((p.include for p in reversed(chosen)
                        if p.matches(b"/" + path, lambda: is_dir and path not in links)), None)
        take = state[parent] if verdict is None else verdict
        if is_dir:
            state[path] = take
            take = state[parent] and verdict is not False  # EXT-024, EXT-025
        if take:  # with the directories above it (EXT-026)
            parts = path.split(b"/")
            made |= {b"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return made
