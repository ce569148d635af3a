# SPDX-License-Identifier: MIT
"""Plays one case against one adapter and judges the outcome (spec/adapters.md: Verdicts)."""
from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import struct
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from conformance import checks, generate, trees, views
from conformance.adapters import ACCEPTED, REJECTED, UNSUPPORTED, Adapter, Outcome, end_group, tail, wait
from conformance.cases import ROOT, Case, CaseError
from conformance.checks import Context, Mismatch
from conformance.servers import Server

T0, STEP_S = 1_700_000_000, 3600
SHOWN = 4000
PASS, FAIL, UNSUPP, SKIP, INFO, ERROR = "pass", "fail", "unsupported", "skip", "info", "error"


@dataclass
class Result:
    """One line of results.jsonl."""
    case: str
    adapter: str
    verdict: str
    reason: str = ""
    expected: str = ""
    actual: str = ""
    seconds: float = 0.0
    log: str = ""

    def as_json(self) -> dict[str, Any]:
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


class Skip(Exception):
    pass


class Unsupported(Exception):
    pass


# ---- what the machine can do ----

def _probe(action: Callable[[str], None]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "probe")
        Path(path).touch()
        try:
            action(path)
        except OSError:
            return False
    return True


def _flags(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, 0x40086602, struct.pack("q", 0x40))  # FS_IOC_SETFLAGS, nodump
    finally:
        os.close(fd)


@lru_cache(maxsize=None)
def can(need: str) -> bool:
    match need:
        case "root":
            return os.getuid() == 0
        case "user":
            return os.getuid() != 0
        case "xattrs":
            return _probe(lambda path: os.setxattr(path, "user.probe", b"1"))
        case "acls":
            acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", t, 6, i) for t, i in
                                                 ((1, 0xFFFFFFFF), (2, 7), (4, 0xFFFFFFFF), (16, 0xFFFFFFFF), (32, 0xFFFFFFFF)))
            return _probe(lambda path: os.setxattr(path, "system.posix_acl_access", acl))
        case "inode-flags":
            return _probe(_flags)
    raise CaseError(f"unknown need {need!r}")


REASONS = {"root": "needs root", "user": "needs an ordinary user", "xattrs": "the file system has no user attributes",
           "acls": "the file system has no ACLs", "inode-flags": "the file system has no inode flags"}


# ---- judging one call ----

def shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + f" … ({len(text)} characters)"


def view_of(out: Path) -> Any:
    import json
    path = out / "view.json"
    if not path.exists():
        raise Mismatch("OUTDIR/view.json", "no such file")
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except ValueError as e:
        raise Mismatch("OUTDIR/view.json is JSON", str(e)) from None


def expected_view(expect: dict[str, Any]) -> Any:
    import json
    if "view-file" in expect:
        return json.loads((ROOT / expect["view-file"]).read_text(encoding="utf-8"))
    return expect.get("view")


def compare_file(name: str, spec: dict[str, Any], ctx: Context) -> None:
    data = ctx.out(name).read_bytes()
    if "sha256" in spec:
        found = {"size": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}
        if found != spec:
            raise Mismatch(f"{name}: {spec}", found)
        return
    wanted = generate.source(spec)
    if data != wanted:
        first = next((i for i, (a, b) in enumerate(zip(wanted, data)) if a != b), min(len(wanted), len(data)))
        raise Mismatch(f"{name}: {len(wanted)} bytes, at {first}: {wanted[first:first + 32].hex()}",
                       f"{len(data)} bytes, at {first}: {data[first:first + 32].hex()}")


def judge(expect: dict[str, Any], rules: list[str], found: Outcome, limit_s: float, ctx: Context) -> str:
    """"" or what an info case saw; raises Mismatch."""
    if found.exit == UNSUPPORTED and not found.timed_out:
        raise Unsupported
    wanted = expect["verdict"]
    if found.crashed:
        raise Mismatch("rejected" if wanted == "reject" else "accepted" if wanted == "accept" else "accepted or rejected",
                       found.describe(limit_s))
    if wanted == "reject" and found.exit != REJECTED:
        raise Mismatch(f"rejected by {rules[0]}", "accepted" + _seen(ctx.out_dir))
    if wanted == "accept" and found.exit != ACCEPTED:
        raise Mismatch("accepted", f"rejected: {_last_line(found.log)}")
    if found.exit == ACCEPTED:
        view = expected_view(expect)
        if view is not None and (difference := views.difference(view, view_of(ctx.out_dir))):
            raise Mismatch(f"{difference[0]}: {shown(difference[1])}", difference[2])
        for name, spec in expect.get("files", {}).items():
            compare_file(name, spec, ctx)
    if found.exit == ACCEPTED or wanted == "reject":
        checks.run(ctx, expect.get("checks", []))
    return found.describe(limit_s)


def _seen(out: Path) -> str:
    path = out / "view.json"
    return f"; view: {path.read_text(errors='replace')[:500]}" if path.exists() else ""


def _last_line(log: str) -> str:
    lines = log.strip().splitlines()
    return lines[-1] if lines else "(nothing printed)"


def guarded(verb: str, out: Path) -> Callable[[], None]:
    """For verbs that write a tree: lays OUTDIR/outside, and returns a check that nothing but the target was touched."""
    if verb not in ("pxar-extract", "restore"):
        return lambda: None
    from oracle import tree
    outside = out / "outside"
    trees.build(outside, [{"path": "", "mode": "750"}, {"path": "secret", "data": {"text": "secret\n"}, "mode": "600"}], generate.source)
    before = tree.scan(str(outside))

    def untouched() -> None:
        changed = tree.compare(before, tree.scan(str(outside)))
        if changed:
            raise Mismatch("nothing outside the target is touched", "\n".join(changed))
        if more := {p.name for p in out.iterdir()} - {"outside", "target", "view.json"}:
            raise Mismatch("nothing beside the target is made", f"made in OUTDIR: {sorted(more)}")
    return untouched


# ---- the kinds of cases ----

class Play:
    """One case in its working directory."""

    def __init__(self, case: Case, adapter: Adapter, work: Path) -> None:
        self.case, self.adapter, self.work = case, adapter, work
        self.home = work / "home"
        self.home.mkdir(parents=True)
        self.logs: list[Path] = []

    def call(self, verb: str, case_dir: Path, out_dir: Path) -> Outcome:
        log = self.work / f"adapter-{len(self.logs) + 1}.log"
        self.logs.append(log)
        return self.adapter.call(verb, case_dir, out_dir, self.home, log, self.case.limit_s)

    def single(self) -> str:
        case, case_dir, out_dir = self.case, self.work / "case", self.work / "out"
        args = case.get("args", {})
        generate.lay(case, case_dir, out_dir)
        generate.lay_args(case_dir, case, case.verb, args)
        untouched = guarded(case.verb, out_dir)
        found = self.call(case.verb, case_dir, out_dir)
        untouched()
        return judge(case.expect, case.rules, found, case.limit_s, Context(case, case_dir, out_dir, args))

    def client(self) -> str:
        """Steps around our server."""
        case, case_dir, setup = self.case, self.work / "case", self.case.get("server", {})
        generate.lay(case, case_dir, self.work / "out")
        store = self.work / "store"
        if "store" in setup:
            generate.tree(store, setup["store"])
        server = Server(self.work / "server", store, setup.get("faults", []), setup.get("options", []))
        try:
            self.ctx = Context(case, case_dir, self.work / "out", store=store)
            seen = ""
            for number, step in enumerate(case.get("steps"), 1):
                try:
                    seen = self.step(number, step, server) or seen
                except Mismatch as e:
                    raise Mismatch(f"step {number}: {shown(e.expected)}", e.actual) from None
        finally:
            server.stop()
        self.ctx.journal = server.lines()
        checks.run(self.ctx, case.expect.get("checks", []))
        return seen

    def step(self, number: int, step: dict[str, Any], server: Server) -> str:
        ctx = self.ctx
        if "edit-tree" in step:
            generate.tree(ctx.tree, step["edit-tree"])
            return ""
        if "edit-store" in step:
            generate.find(generate.STORE_EDITS, step["edit-store"])(server.store, **step.get("args", {}))
            return ""
        if "run" not in step:
            raise CaseError(f"step {step} is not for clients")
        verb, folder = step["run"], self.work / f"step-{number}"
        ctx.out_dir = folder / "out"
        ctx.out_dir.mkdir(parents=True)
        if ctx.case.get("target") is not None and verb == "restore":
            generate.tree(ctx.out_dir / "target", ctx.case.get("target"))
        ctx.args = self.client_args(verb, number, step.get("args", {})) | server.credentials()
        ctx.args |= {k: v for k, v in step.get("args", {}).items() if k in server.credentials()}  # e.g. a wrong password
        generate.lay_args(folder / "case", ctx.case, verb, ctx.args)
        untouched = guarded(verb, ctx.out_dir)
        before = len(server.lines())
        found = self.call(verb, folder / "case", ctx.out_dir)
        untouched()
        ctx.journal = server.lines()[before:]
        return judge(step.get("expect", {"verdict": "accept"}), ctx.case.rules, found, ctx.case.limit_s, ctx)

    def client_args(self, verb: str, number: int, given: dict[str, Any]) -> dict[str, Any]:
        """Defaults of a step, and absolute paths."""
        from oracle.datastore import time_text
        ctx, args = self.ctx, dict(given)
        if verb == "backup":
            args = {"backup-type": "host", "backup-id": "c1", "backup-time": str(T0 + number * STEP_S)} | args
            ctx.snapshot = f"{args['backup-type']}/{args['backup-id']}/{time_text(int(args['backup-time']))}"
            args["archives"] = [self.absolute(spec) for spec in args["archives"]]
        else:
            args.setdefault("snapshot", ctx.snapshot)
        if "keyfile" in args:
            args["keyfile"] = str(ctx.case_dir / args["keyfile"])
        return args

    def absolute(self, spec: str) -> str:
        name, _, path = spec.partition(":")
        return f"{name}:{self.ctx.case_dir / path}"

    def server(self) -> str:
        """The adapter's server, driven by the raw client."""
        from conformance import wire
        case, case_dir, out_dir = self.case, self.work / "case", self.work / "out"
        args = dict(case.get("args", {}))
        generate.lay(case, case_dir, out_dir)
        if "store" in case.get("server", {}):
            generate.tree(self.work / "store", case.get("server")["store"])
            args["store"] = str(self.work / "store")
        generate.lay_args(case_dir, case, "serve", args)
        log = self.work / "adapter-1.log"
        self.logs.append(log)
        with open(log, "wb") as f:
            process = self.adapter.start("serve", case_dir, out_dir, self.home, f)
        try:
            peer = self.ready(process, out_dir, log)
            ctx = Context(case, case_dir, out_dir, args, Path(peer.store) if peer.store else None)
            self.drive(wire.Session(peer, ctx))
        finally:
            end = self.stop(process)
        if end not in (0, -signal.SIGTERM):
            raise Mismatch("the server ends with 0 after SIGTERM", f"{Outcome(end, end == -signal.SIGKILL, 0, '').describe(10)}: {tail(log)}")
        checks.run(ctx, case.expect.get("checks", []))
        return "played"

    def drive(self, session: Any) -> None:
        from conformance import wire
        deadline = time.monotonic() + self.case.limit_s
        try:
            for number, step in enumerate(self.case.get("steps"), 1):
                if "op" not in step:
                    raise CaseError(f"step {step} is not for servers")
                if time.monotonic() > deadline:
                    raise Mismatch("the conversation ends in time", f"step {number} after {self.case.limit_s:g} s")
                try:
                    wire.perform(session, step)
                except Mismatch as e:
                    raise Mismatch(f"step {number}, {step['op']}: {shown(e.expected)}", e.actual) from None
        finally:
            session.close()

    def ready(self, process: subprocess.Popen[bytes], out_dir: Path, log: Path) -> Any:
        from conformance import wire
        deadline = time.monotonic() + self.case.limit_s
        while not (out_dir / "server.json").exists():
            if process.poll() is not None:
                if process.returncode == UNSUPPORTED:
                    raise Unsupported
                raise Mismatch("the server starts and stays", f"ended with {process.returncode}: {_last_line(tail(log))}")
            if time.monotonic() > deadline:
                raise Mismatch("OUTDIR/server.json", f"not there after {self.case.limit_s:g} s")
            time.sleep(0.002)
        return wire.peer(out_dir / "server.json")

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            wait(process, 10)
        end_group(process)
        return int(process.returncode)


def play(case: Case, adapter: Adapter, work: Path) -> Result:
    """Never raises; the harness's own faults are `error`."""
    result = Result(case.id, adapter.label, ERROR)
    began = time.monotonic()
    one: Play | None = None
    try:
        if case.role not in adapter.roles:
            raise Unsupported
        for need in case.get("needs", []):
            if not can(need):
                raise Skip(REASONS[need])
        one = Play(case, adapter, work)
        how = {"client": one.client, "reuse": one.client, "server": one.server}.get(case.role, one.single)
        result.actual = how()
        result.verdict = INFO if case.expect["verdict"] == "info" else PASS
    except Unsupported:
        result.verdict = UNSUPP
    except Skip as e:
        result.verdict, result.reason = SKIP, str(e)
    except Mismatch as e:
        result.verdict, result.expected, result.actual = FAIL, shown(e.expected), shown(e.actual)
    except CaseError as e:
        result.reason = str(e)
    except Exception:
        result.reason = traceback.format_exc()
    result.seconds = time.monotonic() - began
    if one and one.logs and one.logs[-1].exists() and result.verdict in (FAIL, ERROR):
        result.log = tail(one.logs[-1])
    return result
