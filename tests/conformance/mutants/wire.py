# SPDX-License-Identifier: MIT
"""Clients, servers and re-use with one defect each, played against the cases with steps.

A client mutant is client.py (or the model of change detection, tests/e2e/lib_reuse.py) with a patch. A server mutant is our server behind a
filter that changes what it answers or what lies in its datastore: what the suite sees of a server with that defect.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from conformance import checks, play, raw_http, trees
from conformance.adapters import ACCEPTED, REJECTED, UNSUPPORTED, Outcome, clean_env, program
from conformance.cases import Case, CaseError
from conformance.mutants import lab, model
from conformance.mutants.wire_tables import CLIENTS, SERVERS, TABLE, ServerMutant  # noqa: F401
from conformance.servers import DATASTORE, PASSWORD, TOKEN, TOKEN_SECRET, USER

LIMIT_S = 40.0
ROLES = ("client", "reuse", "server")
SAYS_DONE, REFUSES, ALL_GOOD, ALL_BAD = "says-done", "refuses-everything", "answers-200-to-all", "answers-400-to-all"


class ClientAdapter:
    """Looks like an Adapter; calls a client in this process."""
    label = "client mutant"
    roles = ("client", "reuse")

    def __init__(self, client: Any = None, answer: int | None = None) -> None:
        self.client, self.answer = client, answer

    def call(self, verb: str, case_dir: Path, out_dir: Path, home: Path, log: Path, limit_s: float) -> Outcome:
        began, timed_out, said, code = time.monotonic(), False, "", ACCEPTED
        if self.answer is not None:
            log.write_text("")
            return Outcome(self.answer, False, 0.0, "")
        client = self.client
        try:
            with lab.time_limit(min(limit_s, LIMIT_S)):
                client.VERBS[verb](client.Call(str(case_dir), str(out_dir)))
        except client.Unsupported:
            code = UNSUPPORTED
        except (client.Refused, *client.FAILURES) as e:
            code, said = REJECTED, repr(e)
        except lab.Overtime:
            code, timed_out = lab.CRASH, True
        except Exception as e:
            code, said = lab.CRASH, repr(e)
        log.write_text(said)
        return Outcome(code, timed_out, time.monotonic() - began, said)


class ServeAdapter:
    """Our server without the adapter's script around it."""
    label = "server mutant"
    roles = ("server",)

    def start(self, verb: str, case_dir: Path, out_dir: Path, home: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        binary, args = program(), case_dir / "args"
        if binary is None:
            raise CaseError("no pbsref program for the server")
        (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
        env = clean_env(home)
        store = Path((args / "store").read_text()) if (args / "store").exists() else out_dir / "store"
        if not store.exists():
            subprocess.run([binary, "store", "init", "--lazy", str(store)], env=env, check=True, stdout=subprocess.DEVNULL)
        ready = out_dir / "ready.json"
        words = [binary, "serve", "--store", str(store), "--datastore", DATASTORE, "--ready-file", str(ready), "--no-sync",
                 "--journal", str(out_dir / "journal.jsonl"), "--user", f"{USER}:{PASSWORD}", "--token", f"{TOKEN}:{TOKEN_SECRET}"]
        if (args / "now").exists():
            words += ["--now", (args / "now").read_text()]
        process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        threading.Thread(target=self.announce, args=(process, ready, out_dir, store), daemon=True).start()
        return process

    @staticmethod
    def announce(process: subprocess.Popen[bytes], ready: Path, out_dir: Path, store: Path) -> None:
        while not ready.exists() and process.poll() is None:
            time.sleep(0.005)
        if ready.exists():
            line = json.loads(ready.read_text())
            value = {"host": "127.0.0.1", "port": str(line["port"]), "fingerprint": line["fingerprint"], "datastore": DATASTORE, "auth-id": USER,
                     "password": PASSWORD, "token-id": TOKEN, "token-secret": TOKEN_SECRET, "store": str(store)}
            (out_dir / "server.tmp").write_text(json.dumps(value))
            os.rename(out_dir / "server.tmp", out_dir / "server.json")


# ---- what a server with a defect answers ----

Filter = Callable[[str, str, raw_http.Reply], raw_http.Reply]


def answer(status: int, body: bytes, like: raw_http.Reply) -> raw_http.Reply:
    return raw_http.Reply(status, like.headers, body)


def filter_of(one: ServerMutant) -> Filter:
    def act(method: str, path: str, reply: raw_http.Reply) -> raw_http.Reply:
        if not re.match(one.request, f"{method} {path}") or not re.search(one.status, str(reply.status)) or \
                not re.search(one.text, reply.body.decode("latin-1")):
            return reply
        body = one.body(reply.body) if one.body else reply.body if one.gives == reply.status else b'{"data":null}' if one.gives == 200 else b"no"
        return answer(one.gives or reply.status, body, reply)
    return act


def all_good(method: str, path: str, reply: raw_http.Reply) -> raw_http.Reply:
    return answer(200, b'{"data":null}', reply) if reply.status >= 400 else reply


def all_bad(method: str, path: str, reply: raw_http.Reply) -> raw_http.Reply:
    return answer(400, b"no", reply) if reply.status < 400 else reply


REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.[01]\r\n")
HOOKED = ((raw_http.H2, "start"), (raw_http.H2, "wait"), (raw_http.Http1, "send"), (raw_http.Http1, "read_reply"), (checks, "run"))


def install(change: Filter, store_edit: Callable[[Path], None] | None = None) -> None:
    """Puts the filter between the suite and every server, until `uninstall`."""
    start, wait, send, read_reply, run = (getattr(owner, name) for owner, name in HOOKED)

    def start_noted(self: Any, method: str, path: str, *args: Any, **kw: Any) -> int:
        stream: int = start(self, method, path, *args, **kw)
        self.__dict__.setdefault("asked", {})[stream] = (method, path)
        return stream

    def wait_changed(self: Any, stream: int) -> raw_http.Reply:
        return change(*self.__dict__.get("asked", {}).get(stream, ("", "")), wait(self, stream))

    def send_noted(self: Any, data: bytes) -> None:
        if found := REQUEST.match(data):
            self.asked = (found[1].decode(), found[2].decode())
        send(self, data)

    def reply_changed(self: Any) -> raw_http.Reply:
        return change(*self.__dict__.get("asked", ("", "")), read_reply(self))

    def run_after(ctx: Any, wanted: Any) -> None:
        if store_edit and ctx.store and ctx.store.exists():
            store_edit(ctx.store)
        run(ctx, wanted)

    for (owner, name), hook in zip(HOOKED, (start_noted, wait_changed, send_noted, reply_changed, run_after)):
        setattr(owner, name, hook)


PLAIN = [getattr(owner, name) for owner, name in HOOKED]


def uninstall() -> None:
    for (owner, name), function in zip(HOOKED, PLAIN):
        setattr(owner, name, function)


# ---- playing ----

def verdict(case: Case, adapter: Any, folder: Path) -> play.Result:
    work = folder / f"{os.getpid()}-{case.id.replace('/', '-')}"
    try:
        return play.play(case, adapter, work)
    finally:
        if work.exists():
            trees.remove_work(work)
        shutil.rmtree(work, ignore_errors=True)


def adapter_of(case: Case, client: Any) -> Any:
    return ServeAdapter() if case.role == "server" else ClientAdapter(client)


def measure(task: tuple[Case, Path]) -> tuple[str, str, float, str]:
    """How the right implementation does: (case, verdict, seconds, reason)."""
    case, folder = task
    if "wire-client" not in lab._loaded:
        lab._loaded["wire-client"] = model.load((), "client")
    found = verdict(case, adapter_of(case, lab._loaded["wire-client"]), folder)
    return case.id, found.verdict, found.seconds, f"{found.reason}{found.expected} {found.actual}"[:300]


def hunt(task: tuple[Any, Sequence[Case], Path, bool]) -> tuple[str, list[str], str]:
    one, cases, folder, whole = task
    client, killers, said = None, [], ""
    if isinstance(one, ServerMutant):
        install(filter_of(one), one.store)
    else:
        client = model.load(one.patches, "client")
    for case in cases:
        found = verdict(case, adapter_of(case, client), folder)
        if found.verdict == play.FAIL:
            killers.append(case.id)
            said = said or f"{found.expected}: {found.actual}"
            if not whole:
                break
    return one.name, killers, said


def blunt(task: tuple[Case, Path]) -> tuple[str, list[str]]:
    """Which of the two simplest wrong behaviours of its role a case catches: the first of them."""
    case, folder = task
    ways: list[tuple[str, Any]] = [(SAYS_DONE, ACCEPTED), (REFUSES, REJECTED)] if case.role != "server" else [(ALL_GOOD, all_good), (ALL_BAD, all_bad)]
    for name, how in ways:
        if case.role == "server":
            install(how)
        found = verdict(case, ServeAdapter() if case.role == "server" else ClientAdapter(answer=how), folder)
        uninstall()
        if found.verdict == play.FAIL:
            return case.id, [name]
    return case.id, []


def ordered(one: Any, cases: Sequence[Case], seconds: dict[str, float]) -> Iterator[Case]:
    """Those that the table expects to notice first, then those of the rule, then quick ones."""
    hints = tuple(one.cases)
    server = isinstance(one, ServerMutant)
    chosen = [c for c in cases if c.area in one.areas and (c.role == "server") == server]
    yield from sorted(chosen, key=lambda c: (not (hints and c.id.startswith(hints)), one.rule not in c.rules, seconds[c.id]))


def play_session(session: Any) -> None:
    """Baseline, mutants, and the simplest wrong behaviours for every case."""
    cases = [c for c in session.cases if c.role in ROLES]
    folder = session.folder / "wire"
    folder.mkdir()
    session.say(f"{len(cases)} cases with steps")
    usable, seconds = [], {}
    by_id = {c.id: c for c in cases}
    for name, found, took, why in lab.pool_map(measure, [(c, folder) for c in cases], session.jobs, 10):
        if found == play.PASS:
            usable.append(by_id[name])
            seconds[name] = took
        else:
            session.left.append((name, f"{found} with the right implementation of this suite: {why}"))
    session.say(f"{len(session.wire)} mutants of clients and servers, {len(usable)} cases")
    for name, killers, said in lab.pool_map(hunt, [(m, list(ordered(m, usable, seconds)), folder, session.full) for m in session.wire], session.jobs):
        session.settle(name, killers, said)
    rest = [c for c in cases if c.expect["verdict"] != "info" and not session.specific.get(c.id)]
    for case, names in lab.pool_map(blunt, [(c, folder) for c in rest], session.jobs, 10):
        session.generics[case] = names

