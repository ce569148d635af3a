#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Backs up a directory into a new datastore (twice in data mode, once in legacy mode), restores and compares each; then
shows metadata mode: a copy is backed up in data mode, then in metadata mode unchanged, with 1 % of its files touched in one
place, and with 1 % touched all over; a map of what was re-used is written.

Started by ci/quickstart, which builds the program first. Prints every command it runs and tables at the end. The directory
itself is only read: the copy is the tree that the first restore made.
Exit status 0 if every restored tree equals its source, 1 otherwise, 2 if it could not start.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = (("backup (data)", "data"), ("again (data)", "data"), ("backup (legacy)", "legacy"))
SPACE_FACTOR = 6.5  # two stores' worth of chunks at worst, the copy, and three restored trees
TOUCH_EVERY = 100
HEAD = ("act", "files", "bytes", "chunks new/known", "uploaded", "s", "MB/s", "peak memory")
METADATA_HEAD = ("the copy, backed up in", "files", "s", "files/s", "read", "uploaded", "files re-used", "bytes re-used",
                 "padding")


def fail(text: str) -> None:
    print(f"quickstart: {text}", file=sys.stderr)
    sys.exit(2)


def human(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"


def tree_size(top: str) -> int:
    """Bytes on disk, one file system, unreadable parts left out."""
    total, device = 0, os.lstat(top).st_dev
    todo = [top]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for e in entries:
                    st = e.stat(follow_symlinks=False)
                    total += max(st.st_blocks * 512, st.st_size)
                    if e.is_dir(follow_symlinks=False) and st.st_dev == device:
                        todo.append(e.path)
        except OSError:
            continue
    return total


def check_source(source: str, work: str) -> int:
    if not os.path.isdir(source):
        fail(f"{source} is not a directory")
    size = tree_size(source)
    free = shutil.disk_usage(work).free
    if free < size * SPACE_FACTOR:
        fail(f"{source} has {human(size)}; that needs about {human(size * SPACE_FACTOR)} free in {work}, there are "
             f"{human(free)}.\nGive a smaller directory (ci/quickstart /usr/share/doc) or another place (TMPDIR=...).")
    return size


def bytes_read(pid: int) -> int:
    """By read calls of a process that ended and was not waited for, from disk or cache; sockets are left out."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as f:
            return int(dict(line.split(": ") for line in f)["rchar"])
    except (OSError, KeyError, ValueError):
        return 0


def regular_files(top: str) -> list[str]:
    """In the order of the archive, more or less."""
    found: list[str] = []
    for folder, dirs, files in os.walk(top):
        dirs.sort()
        paths = (os.path.join(folder, name) for name in sorted(files))
        found += [p for p in paths if os.path.isfile(p) and not os.path.islink(p)]
    return found


def touch(paths: list[str]) -> int:
    """Gives files another time; how many."""
    touched = 0
    for path in paths:
        try:
            os.utime(path)
            touched += 1
        except OSError:  # not ours, or immutable
            pass
    return touched


class Step:
    """One command: runs it, measures time, bytes read and the peak memory of that process (at least this script's own)."""

    def __init__(self, argv: list[str], stdout=None) -> None:
        print("$ " + " ".join(argv), flush=True)
        began = time.monotonic()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout)
        self.read = 0
        try:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            self.read = bytes_read(child.pid)
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:  # interrupted: nothing of ours stays behind
            child.kill()
            child.wait()
            raise
        child.returncode = os.waitstatus_to_exitcode(status)
        self.status = child.returncode
        self.seconds = time.monotonic() - began
        self.peak = usage.ru_maxrss * 1024


class Run:
    def __init__(self, program: str, source: str, work: str) -> None:
        self.program, self.source, self.work = program, source, work
        self.store = os.path.join(work, "store")
        self.copy = os.path.join(work, "copy")
        self.rows: list[tuple[str, ...]] = []
        self.metadata_rows: list[tuple[str, ...]] = []
        self.bad: list[str] = []

    def command(self, *words: str, stdout=None) -> Step:
        step = Step([self.program, *words], stdout)
        if step.status != 0:
            raise RuntimeError(f"{words[0]} ended with exit status {step.status}")
        return step

    def row(self, act: str, files: int, size: int, chunks: str, sent: str, step: Step) -> None:
        speed = f"{size / step.seconds / 1e6:.0f}" if step.seconds > 0 else "-"
        self.rows.append((act, str(files), human(size), chunks, sent, f"{step.seconds:.2f}", speed, human(step.peak)))

    def report_of(self, source: str, group: str, mode: str, when: int) -> tuple[Step, dict]:
        report = os.path.join(self.work, f"{group}-{when}.json")
        with open(report, "w", encoding="utf-8") as out:
            step = self.command("backup", f"root.pxar:{source}", "--repository", f"dir:{self.store}",
                                "--backup-id", group, "--backup-time", str(when),
                                "--change-detection-mode", mode, "--output-format", "json", stdout=out)
        with open(report, encoding="utf-8") as f:
            return step, json.load(f)

    def backup(self, act: str, mode: str, when: int) -> None:
        step, told = self.report_of(self.source, "quick", mode, when)
        archives = told["archives"]
        step.peak = told.get("peak_memory") or step.peak

        def total(key: str) -> int:
            return sum(a.get(key) or 0 for a in archives)

        sent = total("encoded_bytes")
        self.row(act, max(a.get("files") or 0 for a in archives), total("size"),
                 f"{total('new_chunks')}/{total('known_chunks')}", human(sent), step)
        print(f"  {human(total('size'))} read, {total('new_chunks')} new chunks, {human(sent)} uploaded\n", flush=True)

    def restore(self, act: str, snapshot: str, source: str, since_ns: int, keep: bool = False) -> None:
        # restored trees stay until the end: ext4 is slow to make files where many were just removed, which is not what is measured
        target = os.path.join(self.work, f"restored-{len(self.rows)}")
        step = self.command("restore", snapshot, "root.pxar", target, "--repository", f"dir:{self.store}")
        done = subprocess.run([sys.executable, "-B", os.path.join(HERE, "compare-trees.py"), "--json",
                               "--since", str(since_ns), source, target], stdout=subprocess.PIPE, check=False)
        if done.returncode not in (0, 1):
            raise RuntimeError("the comparison could not be made")
        result = json.loads(done.stdout)
        self.row(act, result["files"], result["bytes"], "-", "-", step)
        verdict = "DIFFERENT" if result["different"] else "equal to the source"
        notes = [f"{result[k]} {k}" for k in ("changed", "unreadable") if result[k]]
        print(f"  {result['files']} entries, {verdict}" + (f" ({', '.join(notes)})" if notes else ""))
        if result["different"]:
            self.bad.append(act)
            print("\n".join("    " + d for d in result["differences"]))
        print(flush=True)
        if keep:
            os.rename(target, self.copy)

    def metadata_run(self, act: str, mode: str, when: int) -> None:
        step, told = self.report_of(self.copy, "quick-copy", mode, when)
        payload = next(a for a in told["archives"] if a["name"].endswith(".ppxar.didx"))
        sent = sum(a.get("encoded_bytes") or 0 for a in told["archives"])
        reused, files = payload["reused_bytes"], payload["files"]
        padding = max(0, payload["injected_bytes"] - reused - 16 * payload["reused_files"])
        speed = f"{files / step.seconds:.0f}" if step.seconds > 0 else "-"
        self.metadata_rows.append((act, str(files), f"{step.seconds:.2f}", speed, human(step.read), human(sent),
                                   str(payload["reused_files"]), human(reused), human(padding)))
        print(f"  {payload['reused_files']} of {files} files re-used, {human(step.read)} read, {human(sent)} uploaded\n", flush=True)

    def metadata_act(self, when: int, page: str) -> None:
        """Touched in one place, most of the chunks stay as they are; touched all over, each of them has a changed file."""
        self.metadata_run("data mode", "data", when)
        self.metadata_run("metadata mode, unchanged", "metadata", when + 1)
        files = regular_files(self.copy)
        share, middle = (len(files) + TOUCH_EVERY - 1) // TOUCH_EVERY, len(files) // 2
        for n, (where, some) in enumerate((("in one place", files[middle:middle + share]), ("all over", files[::TOUCH_EVERY]))):
            touched = touch(some)
            print(f"{touched} files of the copy were touched, {where}\n", flush=True)
            since = time.time_ns()
            self.metadata_run(f"metadata mode, {touched} touched {where}", "metadata", when + 2 + n)
        self.restore("restore (metadata)", snapshot_name("quick-copy", when + 3), self.copy, since)
        self.command("reuse", "show", "host/quick-copy", "--repository", f"dir:{self.store}", "--generations", "4",
                     "--limit", "5", "--html", page)

    def all(self, page: str) -> None:
        self.command("store", "init", self.store)
        now = int(time.time()) - len(ROUNDS) - 4  # each backup has a second of its own, in the past
        started = []
        for n, (act, mode) in enumerate(ROUNDS):
            started.append(time.time_ns())
            self.backup(act, mode, now + n)
        for n, (act, _) in enumerate(ROUNDS):
            self.restore(act.replace("backup", "restore").replace("again", "restore again"), snapshot_name("quick", now + n),
                         self.source, started[n], keep=n == 0)
        self.metadata_act(now + len(ROUNDS), page)


def snapshot_name(group: str, when: int) -> str:
    return f"host/{group}/" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    rows = [head, *body]
    width = [max(len(r[i]) for r in rows) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, width))) for r in rows)


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--program", required=True)
    args.add_argument("--map", metavar="FILE", help="where the page about the re-use goes (default: the current directory)",
                      default="quickstart-map.html")
    args.add_argument("directory", nargs="?", default="/usr/share")
    opts = args.parse_args()

    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _: sys.exit(128 + number))
    source = os.path.realpath(opts.directory)
    work = tempfile.mkdtemp(prefix="pbsref-quickstart.")
    try:
        if os.path.commonpath((source, os.path.realpath(work))) == source:
            fail(f"{source} holds the temporary folder {work}: set TMPDIR to a place outside of it")
        print(f"{source}: {human(check_source(source, work))}, working in {work}\n", flush=True)
        run = Run(opts.program, source, work)
        try:
            run.all(os.path.abspath(opts.map))
        except RuntimeError as e:
            print(f"quickstart: {e}", file=sys.stderr)
            return 1
        print("\n" + table(HEAD, run.rows) + "\n\n" + table(METADATA_HEAD, run.metadata_rows))
        print(f"\nmap of what was re-used: {os.path.abspath(opts.map)}")
        if run.bad:
            print(f"\nDIFFERENT: {', '.join(run.bad)}")
            return 1
        print("\nevery restored tree equals its source")
        return 0
    except KeyboardInterrupt:
        return 130
    finally:
        if os.environ.get("KEEP") == "1":
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
