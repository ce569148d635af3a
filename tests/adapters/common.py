# SPDX-License-Identifier: MIT
"""What the adapters here share: one call of an adapter, the exit statuses of spec/adapters.md, and what counts as a crash.

An adapter from elsewhere does not need this: one file with a verb or two is enough (see template).
"""
from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

ACCEPTED, REJECTED, UNSUPPORTED, CRASH = 0, 1, 127, 70
ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
# options of pxar-extract; those of a restore are the ones for overwriting
OVERWRITE_FLAGS = ("allow-existing-dirs", "overwrite", "overwrite-files", "overwrite-symlinks", "overwrite-hardlinks")
EXTRACT_FLAGS = ("strict", *OVERWRITE_FLAGS, "no-xattrs", "no-acls", "no-fcaps", "no-device-nodes", "no-fifos", "no-sockets")
BACKUP_OPTIONS = ("backup-type", "backup-id", "backup-time", "crypt-mode", "chunk-size", "all-file-systems", "skip-lost-and-found")


class Unsupported(Exception):
    """This verb, or an option of this case, is not supported."""


class Call:
    """One call: CASEDIR, OUTDIR, the options of the case."""

    def __init__(self, case_dir: str, out_dir: str) -> None:
        self.case, self.out = Path(case_dir), Path(out_dir)

    def has(self, name: str) -> bool:
        return (self.case / "args" / name).exists()

    def text(self, name: str) -> str:
        return os.fsdecode((self.case / "args" / name).read_bytes())

    def list(self, name: str) -> list[str]:
        return self.text(name).split("\n")[:-1] if self.has(name) else []

    def patterns(self, name: str) -> list[bytes]:
        """The lines as they stand: in a pattern `\\x` is no escape of ours."""
        return [os.fsencode(one) for one in self.list(name)]

    def names(self, name: str) -> list[bytes]:
        """Name text as bytes."""
        return [ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), one) for one in self.patterns(name)]

    def view(self, value: Any) -> None:
        (self.out / "view.json").write_text(json.dumps(value), encoding="utf-8")


class CommandCall(Call):
    """A call that a command-line program answers, whose options are named as in the original's."""

    def __init__(self, case_dir: str, out_dir: str) -> None:
        super().__init__(case_dir, out_dir)
        self.env = dict(os.environ)

    def options(self, *names: str) -> list[str]:
        """--NAME VALUE for those that are set; a file without content is a flag."""
        words = []
        for name in names:
            if self.has(name):
                words += [f"--{name}", *([self.text(name)] if self.text(name) else [])]
        return words

    def repeated(self, option: str, name: str) -> list[bytes]:
        return [word for value in self.patterns(name) for word in (f"--{option}".encode(), value)]

    def archive(self) -> list[str]:
        """The archive file and what names its payload."""
        split = self.case / "archive.mpxar"
        if not split.exists():
            return [str(self.case / "archive.pxar")]
        payload = self.case / "archive.ppxar"
        return [str(split), *(["--payload-input", str(payload)] if payload.exists() else [])]

    def extract_words(self) -> list[str | bytes]:
        """What follows `pxar extract`."""
        return [*self.archive(), str(self.out / "target"), *self.options(*EXTRACT_FLAGS), *self.repeated("pattern", "patterns")]

    def create_words(self) -> list[str | bytes]:
        """What follows `pxar create`."""
        split = self.has("split")
        payload = ["--payload-output", str(self.out / "archive.ppxar")] if split else []
        return [str(self.out / ("archive.mpxar" if split else "archive.pxar")), str(self.case / "tree"), *payload,
                *self.repeated("exclude", "exclude"), *self.options("all-file-systems", "no-xattrs", "no-acls", "no-fcaps")]

    def connect(self) -> list[str]:
        """Options that name the server; secrets go through the environment."""
        self.env |= {"PBS_PASSWORD": self.text("password"), "PBS_FINGERPRINT": self.text("fingerprint")}
        return self.options("repository", "ns", "keyfile")

    def backup_words(self) -> list[str | bytes]:
        """What follows `backup`."""
        mode = ["--change-detection-mode", self.text("mode")] if self.has("mode") else []
        return [*self.list("archives"), *mode, *self.connect(), *self.repeated("exclude", "exclude"), *self.options(*BACKUP_OPTIONS)]

    def restore_words(self) -> list[str | bytes]:
        """What follows `restore`."""
        return [self.text("snapshot"), self.text("archive"), str(self.out / "target"), *self.connect(),
                *self.options(*OVERWRITE_FLAGS), *self.repeated("pattern", "patterns")]


def ended(status: int, refusals: tuple[int, ...]) -> int:
    """A program's exit status as an adapter's. A signal is passed on, so that the suite sees it."""
    if status == 0:
        return ACCEPTED
    if status in refusals:
        return REJECTED
    print(f"ended with {status}", file=sys.stderr)
    if status < 0:
        die(-status)
    return CRASH


def die(signo: int) -> NoReturn:
    sys.stdout.flush()
    signal.signal(signo, signal.SIG_DFL)
    os.kill(os.getpid(), signo)
    sys.exit(CRASH)


def exceptions_are_crashes() -> None:
    """Instead of Python's exit status 1. To be called before the implementation is imported, which may fail too."""
    def crash(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, value, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(CRASH)
    sys.excepthook = crash


def answer(argv: list[str], version: Callable[[], int], verbs: Mapping[str, Callable[[Any], int | None]], call: type[Call],
           rejections: tuple[type[Exception], ...] = ()) -> int:
    """An adapter's main. Of exceptions only `rejections` are an answer, any other one is a crash."""
    if argv == ["--version"]:
        return version()
    verb, case_dir, out_dir = argv
    if verb not in verbs:
        return UNSUPPORTED
    try:
        return verbs[verb](call(case_dir, out_dir)) or ACCEPTED
    except Unsupported:
        return UNSUPPORTED
    except rejections as e:
        print(f"rejected: {e}", file=sys.stderr)
        return REJECTED
