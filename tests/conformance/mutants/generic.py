# SPDX-License-Identifier: MIT
"""Spoils the answer of a right implementation: exit status, a member of the view, a file, something in the extracted tree.

Every case has to fail for at least one of these beside `rejects-everything` and `crashes`, which fail wherever anything is accepted.
"""
from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import play
from conformance.adapters import ACCEPTED, REJECTED, Outcome
from conformance.mutants import lab
from conformance.mutants.lab import Bench

Spoil = Callable[[Any], Any]
BLUNT = ("rejects-everything", "crashes")  # kill every accept or info case: no merit


@dataclass(frozen=True)
class Generic:
    """`view` and `files` return False if there is nothing to spoil."""
    name: str
    does: str
    exit: int | None = None
    view: Callable[[Any], bool] | None = None
    files: Callable[[Path], bool] | None = None


# ---- members of a view ----

def wrong(value: Any) -> Any:
    """The neighbour of a value."""
    if isinstance(value, list):
        return [wrong(value[0]), *value[1:]] if value else ["1"]
    if isinstance(value, dict):
        return {k: wrong(v) if n == 0 else v for n, (k, v) in enumerate(value.items())}
    if value is None:
        return {}
    text = str(value)
    if text.lstrip("-").isdigit() and len(text) < 21:
        changed = str(int(text) + 1)
        return changed.zfill(len(text)) if text.startswith("0") else changed
    return text[:-1] + ("0" if text[-1] != "0" else "1") if text else "x"


def members(view: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every member of every object in it, outermost first."""
    queue = [view]
    while queue:
        one = queue.pop(0)
        if isinstance(one, dict):
            yield from ((one, name) for name in one)
            queue += one.values()
        elif isinstance(one, list):
            queue += one


def spoil_member(name: str) -> Callable[[Any], bool]:
    """Wrong in the last object that has it."""
    def act(view: Any) -> bool:
        holders = [holder for holder, key in members(view) if key == name]
        for holder in holders[-1:]:
            holder[name] = wrong(holder[name])
        return bool(holders)
    return act


def leave_out(name: str) -> Callable[[Any], bool]:
    def act(view: Any) -> bool:
        holders = [holder for holder, key in members(view) if key == name]
        for holder in holders[-1:]:
            del holder[name]
        return bool(holders)
    return act


def lists_of(view: Any) -> list[list[Any]]:
    return [holder[name] for holder, name in members(view) if isinstance(holder[name], list) and holder[name]]


def drop(at: int) -> Callable[[Any], bool]:
    def act(view: Any) -> bool:
        found = lists_of(view)
        if found:
            del found[0][at]
        return bool(found)
    return act


def doubled(view: Any) -> bool:
    found = lists_of(view)
    if found:
        found[0].append(found[0][-1])
    return bool(found)


def invented(view: Any) -> bool:
    """An empty list gets a member."""
    for holder, name in members(view):
        if holder[name] == []:
            holder[name] = [{}]
            return True
    return False


def emptied(view: Any) -> bool:
    had = bool(view)
    view.clear()
    return had


NUMBERS = ("size", "end", "offset", "mtime", "mode", "uid", "gid", "version", "ctime", "chunk-size", "backup-time", "created", "modified", "projid",
           "start", "chunk", "flags", "group_obj")
NAMES = ("path", "kind", "target", "sha256", "digest", "uuid", "csum", "filename", "crypt-mode", "fingerprint", "key-fingerprint", "prelude", "type", "kdf",
         "backup-type", "backup-id", "hint", "signed", "device", "xattrs", "fcaps", "users", "groups", "default", "default_users", "default_groups",
         "lookups", "found", "acl")


# ---- files ----

def outputs(out: Path) -> list[Path]:
    return [p for p in sorted(out.iterdir()) if p.is_file() and not p.is_symlink() and p.name != "view.json"]


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], bool]:
    def act(out: Path) -> bool:
        found = outputs(out)
        for path in found[:1]:
            path.write_bytes(change(path.read_bytes()))
        return bool(found)
    return act


def flipped(at: float) -> Callable[[bytes], bytes]:
    def act(data: bytes) -> bytes:
        if not data:
            return b"x"
        where = min(int(len(data) * at), len(data) - 1)
        return data[:where] + bytes([data[where] ^ 1]) + data[where + 1:]
    return act


def gone(out: Path) -> bool:
    found = outputs(out)
    for path in found:
        path.unlink()
    return bool(found)


# ---- extracted trees ----

def inside(out: Path, kind: str) -> list[Path]:
    """Names below the target, deepest last."""
    target = out / "target"
    found = sorted(target.rglob("*")) if target.is_dir() and not target.is_symlink() else []
    return [p for p in found if (kind == "any" or kind == "file" and p.is_file() and not p.is_symlink()
                                 or kind == "link" and p.is_symlink() or kind == "real" and not p.is_symlink())]


def last(kind: str, act: Callable[[Path], None]) -> Callable[[Path], bool]:
    def run(out: Path) -> bool:
        for path in reversed(inside(out, kind)):
            try:
                act(path)
            except OSError:  # immutable, or not empty
                continue
            return True
        return False
    return run


def remove(path: Path) -> None:
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def other_time(path: Path) -> None:
    st = path.lstat()
    os.utime(path, ns=(st.st_mtime_ns, st.st_mtime_ns + 1), follow_symlinks=False)


def other_bytes(path: Path) -> None:
    st = path.lstat()
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(st.st_mtime_ns, st.st_mtime_ns))


def made_more(out: Path) -> bool:
    target = out / "target"
    target.mkdir(exist_ok=True)
    st = target.stat()
    (target / "not-in-the-archive").touch()
    os.utime(target, ns=(st.st_mtime_ns, st.st_mtime_ns))
    return True


def escaped(out: Path) -> bool:
    (out / "outside" / "secret").write_text("overwritten\n")
    return True


def escaped_new(out: Path) -> bool:
    (out / "outside" / "new").touch()
    return True


VIEWS = [Generic("view-empty", "an empty view", view=emptied), Generic("drops-first", "the first member of the longest list is missing", view=drop(0)),
         Generic("drops-last", "the last one is missing", view=drop(-1)), Generic("repeats-last", "the last one comes twice", view=doubled),
         Generic("invents-one", "something where nothing is", view=invented),
         *(Generic(f"{name}-off-by-one", f"{name} of the last object is one too large", view=spoil_member(name)) for name in NUMBERS),
         *(Generic(f"{name}-wrong", f"{name} of the last object is another one", view=spoil_member(name)) for name in NAMES),
         *(Generic(f"{name}-left-out", f"{name} of the last object is missing", view=leave_out(name)) for name in (*NUMBERS, *NAMES))]
FILES = [Generic("first-byte", "the first byte written is wrong", files=rewrite(flipped(0.0))),
         Generic("middle-byte", "a byte in the middle is wrong", files=rewrite(flipped(0.5))),
         Generic("last-byte", "the last byte is wrong", files=rewrite(flipped(1.0))),
         Generic("cut-short", "the last byte is missing", files=rewrite(lambda d: d[:-1])),
         Generic("one-more", "a byte too many", files=rewrite(lambda d: d + b"\0")), Generic("no-file", "nothing is written", files=gone)]
TREES = [Generic("name-missing", "a name is not restored", files=last("any", remove)),
         Generic("name-invented", "a name that is not in the archive", files=made_more),
         Generic("content-wrong", "a byte more in a file", files=last("file", other_bytes)),
         Generic("mode-wrong", "another mode", files=last("real", lambda p: p.chmod(p.stat().st_mode & 0o7777 ^ 1))),
         Generic("mtime-wrong", "a nanosecond later", files=last("any", other_time)),
         Generic("owner-wrong", "another owner", files=last("any", lambda p: os.chown(p, p.lstat().st_uid + 1, -1, follow_symlinks=False))),
         Generic("escapes", "writes through a link that leads outside", files=escaped),
         Generic("escapes-new", "makes a name outside", files=escaped_new)]
STATUS = [Generic("accepts-everything", "exit status 0 and an empty view", exit=ACCEPTED), Generic("rejects-everything", "exit status 1", exit=REJECTED),
          Generic("crashes", "dies", exit=lab.CRASH)]
ALL = [*STATUS, *VIEWS, *FILES, *TREES]


def applicable(bench: Bench) -> list[Generic]:
    """Sharp ones first."""
    more = TREES if bench.case.verb == "pxar-extract" else FILES if (bench.folder / "base-out").exists() and outputs(bench.folder / "base-out") else []
    return [STATUS[0], *VIEWS, *more, *STATUS[1:]]


def spoilt(one: Generic, bench: Bench, base: Path, out: Path) -> bool:
    """Plays the right answer in `base` again with the defect; True if the case fails."""
    code = bench.exit
    if one.exit is not None:
        if one.exit == code:
            return False
        code = one.exit
    view = lab.read_view(base) if one.view else {} if code == ACCEPTED and one.exit is not None else None
    if one.view and (view is None or not one.view(view)):
        return False
    lab.copy_tree(base, out)
    if view is not None:
        (out / "view.json").write_text(json.dumps(view), encoding="utf-8")
    before = guard_again(bench, out)
    if one.files and not one.files(out):
        return False
    return lab.verdict(bench, Outcome(code, False, 0.0, ""), out, before) is not None


def guard_again(bench: Bench, out: Path) -> Callable[[], None]:
    """What `outside` must look like, of an OUTDIR that was copied."""
    if bench.case.verb != "pxar-extract":
        return lambda: None
    lab.remove(out / "outside")
    return play.guarded(bench.case.verb, out)


def hunt(task: tuple[int, bool]) -> tuple[str, list[str]]:
    """(case, generic mutants that it fails): the first sharp one, or all."""
    number, whole = task
    bench = lab.BENCHES[number]
    killers: list[str] = []
    for one in applicable(bench):
        if spoilt(one, bench, bench.folder / "base-out", bench.folder / "spoilt"):
            killers.append(one.name)
            if not whole and one.name not in BLUNT:
                break
    lab.remove(bench.folder / "spoilt")
    return bench.case.id, killers
