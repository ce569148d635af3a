# SPDX-License-Identifier: MIT
"""What the tests of the runner share: adapters made up for a test, cases made up for a test, and the command line."""
from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.adapters import Adapter, find, program
from conformance.cases import ROOT, Case

CONFORM = ROOT / "tests" / "conformance" / "conform.py"
HELLO = "42ab3807be8370a186a6103668656c6c6f"
ROLES = ["reader", "writer", "chunker", "client", "server", "reuse"]
HEAD = '''#!/usr/bin/python3
import json, os, signal, subprocess, sys, time
from pathlib import Path
verb, case, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
if verb == "no-such-verb":
    sys.exit(127)
def view(**members):
    (out / "view.json").write_text(json.dumps(members))
'''


def make_adapter(folder: Path, body: str, head: str = HEAD, **config: Any) -> Adapter:
    """An adapter that runs `body` for every verb; `verb`, `case`, `out` and `view(...)` are at hand."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "adapter.py"
    script.write_text(head + body + "\n")
    script.chmod(0o755)
    import json
    about = {"name": folder.name, "run": ["./adapter.py"], "version": ["echo", f"{folder.name} 1"], "roles": ROLES}
    (folder / "adapter.json").write_text(json.dumps({k: v for k, v in (about | config).items() if v is not None}))
    return find(str(folder))


def make_case(**members: Any) -> Case:
    """A blob case that accepts, unless said otherwise."""
    data = {"id": "made-up", "rules": ["BLOB-010"], "level": "must", "role": "reader", "verb": "blob-decode", "does": "made up", "limit_s": 10,
            "input": {"blob": {"hex": HELLO}}, "expect": {"verdict": "accept", "view": {"kind": "uncompressed"}}}
    return Case("made", data | members, Path("made-up.json"))


@dataclass
class Ended:
    exit: int
    out: str
    err: str


def conform(*words: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, limit: int = 120) -> Ended:
    """The command line, in one process unless -n is given."""
    args = [str(w) for w in words]
    if args and args[0] == "run" and "-n" not in args:
        args += ["-n", "0"]
    ours = program()
    base = {k: v for k, v in os.environ.items() if not k.startswith(("CONFORM_", "PYTEST_"))}
    run = subprocess.run([sys.executable, str(CONFORM), *args], capture_output=True, text=True, timeout=limit, cwd=cwd,
                         env={**base, **({"PBSREF": ours} if ours else {}), **(env or {})})
    return Ended(run.returncode, run.stdout, run.stderr)
