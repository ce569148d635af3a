# SPDX-License-Identifier: MIT
"""Our server, around which client and reuse cases are played."""
from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from conformance.adapters import clean_env, end_group, program, tail, wait
from conformance.cases import CaseError

USER, PASSWORD = "root@pam", "pw-4711"
TOKEN, TOKEN_SECRET = "root@pam!t1", "tok-4712"
DATASTORE = "store1"
START_LIMIT_S = 30


class Server:
    """`pbsref serve` over a datastore directory, with a journal; ready when made."""

    def __init__(self, folder: Path, store: Path, faults: list[str], options: list[str]) -> None:
        binary = program()
        if binary is None:
            raise CaseError("no pbsref program for the server; set PBSREF or build it")
        folder.mkdir()
        self.store, self.journal, self.log = store, folder / "journal.jsonl", folder / "server.log"
        self.journal.touch()
        env = clean_env(folder)
        if not store.exists():
            subprocess.run([binary, "store", "init", "--lazy", str(store)], env=env, check=True, stdout=subprocess.DEVNULL)
        ready = folder / "ready.json"
        words = [binary, "serve", "--store", str(store), "--datastore", DATASTORE, "--ready-file", str(ready), "--journal", str(self.journal),
                 "--no-sync", "--user", f"{USER}:{PASSWORD}", "--token", f"{TOKEN}:{TOKEN_SECRET}"]
        for fault in faults:
            words += ["--fault", fault]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*words, *options], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        line = self._wait(ready)
        self.port, self.fingerprint = int(line["port"]), str(line["fingerprint"])

    def _wait(self, ready: Path) -> dict[str, Any]:
        deadline = time.monotonic() + START_LIMIT_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                end_group(self.process)
                raise CaseError(f"the server did not become ready: {tail(self.log)}")
            time.sleep(0.002)
        return dict(json.loads(ready.read_text()))

    def credentials(self) -> dict[str, str]:
        """The options that every client call gets."""
        return {"repository": f"{USER}@127.0.0.1:{self.port}:{DATASTORE}", "host": "127.0.0.1", "port": str(self.port),
                "datastore": DATASTORE, "auth-id": USER, "password": PASSWORD, "fingerprint": self.fingerprint}

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text(encoding="utf-8", errors="replace").splitlines()]

    def stop(self) -> None:
        """Orderly, so that the journal is complete."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            wait(self.process, 20)
        end_group(self.process)
        if self.process.returncode not in (0, None):
            raise CaseError(f"our server ended with {self.process.returncode}: {tail(self.log)}")
