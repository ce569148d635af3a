# SPDX-License-Identifier: MIT
"""Running the program on a terminal and answering its questions."""
from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import tempfile
import termios
import time
from pathlib import Path

from support import LIMIT_S, Client, Result, program


class Terminal:
    """The program with a terminal of its own as standard input and standard error; standard output is a file."""

    def __init__(self, client: Client, *args: str | Path, env: dict[str, str | None] | None = None) -> None:
        self.master, self.slave = pty.openpty()
        self.args, self.shown = [str(a) for a in args], b""
        merged = {**client.env, **(env or {})}
        slave, self.out = self.slave, tempfile.TemporaryFile()
        self.process = subprocess.Popen([program(), *self.args], stdin=slave, stderr=slave, stdout=self.out,
                                        env={k: v for k, v in merged.items() if v is not None}, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
        self.deadline = time.monotonic() + LIMIT_S

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def read(self, wait: float = 0.01) -> None:
        assert time.monotonic() < self.deadline, f"no end of\n{self.shown!r}"
        if select.select([self.master], [], [], wait)[0]:
            self.shown += os.read(self.master, 65536)

    def wait_question(self, text: bytes) -> None:
        """Until the question is there and echo is off."""
        before = len(self.shown)
        while text not in self.shown[before:] or self.echoes():
            assert self.process.poll() is None or select.select([self.master], [], [], 0)[0], self.shown
            self.read()

    def answer(self, question: bytes, answer: bytes) -> None:
        self.wait_question(question)
        os.write(self.master, answer + b"\n")

    def close(self) -> None:
        self.out.close()
        os.close(self.slave)
        os.close(self.master)

    def finish(self) -> Result:
        while self.process.poll() is None:
            self.read()
        while select.select([self.master], [], [], 0.02)[0]:
            self.read()
        assert self.echoes()
        self.out.seek(0)
        out = self.out.read()
        self.close()
        text = self.shown.decode(errors="surrogateescape").replace("\r\n", "\n")
        assert self.process.returncode >= 0 and self.process.returncode != 99, text
        return Result(self.args, self.process.returncode, out, text)


NEW, AGAIN, OLD = b"New passphrase: ", b"The same again: ", b"Passphrase of the encryption key: "


def dialogue(client: Client, answers: list[tuple[bytes, bytes]], *args: str | Path,
             env: dict[str, str | None] | None = None) -> Result:
    """A run with (question, answer) pairs; none of the answers may appear on the screen."""
    terminal = Terminal(client, *args, env=env)
    for question, answer in answers:
        terminal.answer(question, answer)
    result = terminal.finish()
    for _, answer in answers:
        assert not answer or answer not in result.out + result.stderr.encode(errors="surrogateescape")
    return result
