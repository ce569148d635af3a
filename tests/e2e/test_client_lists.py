# covers: API-090 API-091 API-092 API-093 API-094 API-096 API-097 API-105 API-107 API-108 API-116 API-125 CLI-001 CLI-002 CLI-003
# covers: CLI-004 CLI-005 CLI-006 CLI-007 CLI-008 CLI-012 CLI-013 CLI-016 CLI-070 CLI-074
# SPDX-License-Identifier: MIT
"""list, snapshot list|files|forget, prune, status, version, catalog dump: in every format, over both ways to a datastore."""
from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support import (T0, Client, Repo, Server, assert_holds, assert_sound, manifest_of, noise, small_tree,
                     snapshot_dirs, snapshots_of)

SNAPSHOT = "host/box/2023-11-14T22:13:20Z"


def build_three(folder: Path, client: Client) -> None:
    tree = small_tree(folder / "source", entries=10)
    (folder / "conf").write_bytes(b"x\n")
    (folder / "image").write_bytes(noise(1, 1536))
    for i, group in enumerate(("box", "box", "another")):
        client.backup(f"root.pxar:{tree}", f"etc.conf:{folder / 'conf'}", f"disk.img:{folder / 'image'}", group=group,
                      at=T0 + 100 * i, mode=("legacy", "data", "legacy")[i])
    assert_sound(folder / "store1", snapshots=3)
    for snapshot in snapshots_of(folder / "store1"):
        assert_holds(folder / "store1", snapshot, "root.pxar", tree)


@pytest.fixture(params=["tls", "dir"])
def filled(request: pytest.FixtureRequest, prebuilt: Callable[..., Path], open_repo: Callable[[str, Path], Repo]) -> Repo:
    return open_repo(request.param, prebuilt("three", build_three))


def sizes_of(store: Path, snapshot: str) -> dict[str, int]:
    found = {f.filename: f.size for f in manifest_of(store, snapshot).files}
    return {**found, "index.json.blob": (store / snapshot / "index.json.blob").stat().st_size}


def owner_of(repo: Repo) -> str:
    return (repo.store / "host/box/owner").read_text().strip()


def test_list(filled: Repo) -> None:
    found = filled.client.expect_ok("list", "--output-format", "json").json()
    assert [(g["backup-type"], g["backup-id"], g["last-backup"], g["backup-count"], g["owner"]) for g in found] == [
        ("host", "another", T0 + 200, 1, owner_of(filled)), ("host", "box", T0 + 100, 2, owner_of(filled))]
    assert sorted(found[1]["files"]) == ["disk.img.fidx", "etc.conf.blob", "index.json.blob", "root.mpxar.didx", "root.ppxar.didx"]
    text = filled.client.expect_ok("list").stdout.splitlines()
    assert len(text) == 3
    assert text[1].split() == ["host/another", "host/another/2023-11-14T22:16:40Z", "1", "catalog.pcat1", "disk.img", "etc.conf",
                               "index.json", "root.pxar"]
    assert text[2].split() == ["host/box", "host/box/2023-11-14T22:15:00Z", "2", "disk.img", "etc.conf", "index.json",
                               "root.mpxar", "root.ppxar"]


def test_snapshot_list(filled: Repo) -> None:
    found = filled.client.expect_ok("snapshot", "list", "--output-format", "json").json()
    assert sorted((s["backup-id"], s["backup-time"]) for s in found) == [("another", T0 + 200), ("box", T0), ("box", T0 + 100)]
    of_group = filled.client.expect_ok("snapshots", "host/box", "--output-format", "json").json()
    assert sorted(s["backup-time"] for s in of_group) == [T0, T0 + 100]
    for item in found:
        when = datetime.fromtimestamp(item["backup-time"], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        snapshot = f"host/{item['backup-id']}/{when}"
        wanted = sizes_of(filled.store, snapshot)
        assert {f["filename"]: f["size"] for f in item["files"]} == wanted
        assert [f["filename"] for f in item["files"]] == list(wanted)  # manifest order, then the manifest itself
        assert item["size"] == sum(wanted.values())
        assert (item["protected"], item["owner"]) == (False, owner_of(filled))
        assert {f["crypt-mode"] for f in item["files"]} == {"none"}
    rows = [line.split() for line in filled.client.expect_ok("snapshot", "list", "host/box").stdout.splitlines()]
    assert [row[0] for row in rows] == ["snapshot", SNAPSHOT, "host/box/2023-11-14T22:15:00Z"]
    assert rows[1][2] in ("B", "KiB") and rows[1][3:] == ["catalog.pcat1", "disk.img", "etc.conf", "index.json", "root.pxar"]
    assert filled.client.expect_ok("snapshot", "list", "host/none", "--output-format", "json").json() == []


def test_snapshot_files(filled: Repo) -> None:
    found = filled.client.expect_ok("snapshot", "files", SNAPSHOT, "--output-format", "json").json()
    assert {f["filename"]: f["size"] for f in found} == sizes_of(filled.store, SNAPSHOT)
    rows = [line.split() for line in filled.client.expect_ok("files", SNAPSHOT).stdout.splitlines()[1:]]
    assert rows == [[name, "none", str(size)] for name, size in sizes_of(filled.store, SNAPSHOT).items()]
    filled.client.expect_failure(4, "No such file or directory", "snapshot", "files", "host/box/2020-01-01T00:00:00Z")
    filled.client.expect_failure(2, "unable to parse backup snapshot path 'host/box'", "snapshot", "files", "host/box")


def test_formats_say_the_same(filled: Repo) -> None:
    for args in (("list",), ("snapshot", "list"), ("snapshot", "files", SNAPSHOT), ("version",),
                 ("prune", "host/box", "--keep-last", "1", "--dry-run")):
        line = filled.client.expect_ok(*args, "--output-format", "json")
        pretty = filled.client.expect_ok(*args, "--output-format", "json-pretty")
        assert line.json() == pretty.json()
        assert len(line.stdout.splitlines()) == 1 < len(pretty.stdout.splitlines())
        assert pretty.stdout.splitlines()[1].startswith("  ") and not pretty.stdout.splitlines()[1].startswith("   ")
        assert filled.client.expect_ok(*args, env={"PROXMOX_OUTPUT_FORMAT": "json"}).out == line.out
    filled.client.expect_failure(2, "output-format", "list", "--output-format", "xml")


def test_table_on_request_without_header(filled: Repo) -> None:
    with_header = filled.client.expect_ok("list").stdout.splitlines()
    without = filled.client.expect_ok("list", env={"PROXMOX_OUTPUT_NO_HEADER": "1"}).stdout.splitlines()
    assert len(with_header) == len(without) + 1
    assert [line.split() for line in without] == [line.split() for line in with_header[1:]]


def test_forget(filled: Repo) -> None:
    result = filled.client.expect_ok("snapshot", "forget", SNAPSHOT)
    assert result.out == b"" and result.stderr == ""
    assert snapshots_of(filled.store) == ["host/another/2023-11-14T22:16:40Z", "host/box/2023-11-14T22:15:00Z"]
    assert_sound(filled.store, snapshots=2)
    filled.client.expect_failure(4, "failed to delete snapshot - ", "snapshot", "forget", SNAPSHOT)
    filled.client.expect_ok("forget", "host/box/2023-11-14T22:15:00Z")
    assert not (filled.store / "host/box").exists()  # the last one takes the group with it


# ---- prune ----

PERIODS: dict[str, Callable[[datetime], Any]] = {
    "hourly": lambda t: (t.year, t.timetuple().tm_yday, t.hour), "daily": lambda t: (t.year, t.timetuple().tm_yday),
    "weekly": lambda t: t.isocalendar()[:2], "monthly": lambda t: (t.year, t.month), "yearly": lambda t: t.year,
}


def expected_keeps(times: list[int], unfinished: set[int], protected: set[int], rules: dict[str, int]) -> dict[int, bool]:
    """API-108, written down once more."""
    mark: dict[int, str] = {}
    newest_first = sorted(times, reverse=True)
    finished_seen = partial_kept = False
    for t in newest_first:
        if t in unfinished:
            if not finished_seen and not partial_kept:
                mark[t], partial_kept = "partial", True
            else:
                mark[t] = "remove"
        else:
            finished_seen = True
    rows = [("last", None)] + list(PERIODS.items())
    for rule, period in rows:
        count = rules.get(rule, 0)
        if not count:
            continue

        def ident(t: int) -> Any:
            return t if period is None else period(datetime.fromtimestamp(t, timezone.utc))

        covered = {ident(t) for t, m in mark.items() if m == "keep"}
        chosen: set[Any] = set()
        for t in newest_first:
            if t in mark:
                continue
            if t in protected:
                mark[t] = "protected"
                continue
            if ident(t) in covered:
                continue
            if ident(t) in chosen:
                mark[t] = "remove"
            elif len(chosen) < count:
                chosen.add(ident(t))
                mark[t] = "keep"
            else:
                break
    return {t: not rules or mark.get(t) in ("keep", "partial", "protected") or t in protected for t in times}


def make_group(store: Path, times: list[int], unfinished: set[int]) -> None:
    """Snapshots that hold nothing but a manifest."""
    import json

    from oracle import blob
    group = store / "host" / "many"
    group.mkdir(parents=True)
    (group / "owner").write_text("root@pam\n")
    for t in times:
        path = group / datetime.fromtimestamp(t, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        path.mkdir()
        if t not in unfinished:
            text = {"backup-type": "host", "backup-id": "many", "backup-time": t, "files": [], "unprotected": {}}
            (path / "index.json.blob").write_bytes(blob.encode(json.dumps(text).encode()))


RULES = [
    {"last": 1}, {"last": 3}, {"hourly": 2}, {"daily": 3}, {"weekly": 2}, {"monthly": 3}, {"yearly": 2},
    {"last": 2, "daily": 3}, {"last": 1, "hourly": 2, "daily": 2, "weekly": 2, "monthly": 2, "yearly": 1}, {},
]


@pytest.mark.parametrize("seed", [1, 2])
def test_prune_selection(pbs_server: Server, client: Client, seed: int) -> None:
    rng = random.Random(seed)
    spans = [600, 4000, 50_000, 400_000, 3_000_000]
    times = [1_600_000_000]
    while len(times) < 30:
        times.append(times[-1] + rng.randrange(1, rng.choice(spans)))
    unfinished = set(rng.sample(times, 2)) | ({times[-1]} if seed == 2 else set())
    make_group(pbs_server.store, times, unfinished)
    for rules in RULES:
        options = [part for rule, n in rules.items() for part in (f"--keep-{rule}", str(n))]
        found = client.expect_ok("prune", "host/many", "--dry-run", *options, "--output-format", "json").json()
        assert [s["backup-time"] for s in found] == times  # oldest first
        wanted = expected_keeps(times, unfinished, set(), rules)
        assert {s["backup-time"]: s["keep"] for s in found} == wanted, rules
    assert len(snapshot_dirs(pbs_server.store)) == len(times)


def test_prune_removes_what_it_says(filled: Repo, tmp_path: Path) -> None:
    for i in range(3):
        filled.client.backup(f"root.pxar:{tmp_path / 'source'}", at=T0 + 1000 + i)
    dry = filled.client.expect_ok("prune", "host/box", "--keep-last", "2", "--dry-run", "--output-format", "json").json()
    assert [s["keep"] for s in dry] == [False, False, False, True, True]
    assert len(snapshots_of(filled.store)) == 6
    assert filled.client.expect_ok("prune", "host/box", "--keep-last", "2", "--output-format", "json").json() == dry
    assert snapshots_of(filled.store) == ["host/another/2023-11-14T22:16:40Z", "host/box/2023-11-14T22:30:01Z",
                                          "host/box/2023-11-14T22:30:02Z"]
    assert_sound(filled.store, snapshots=3)
    filled.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    filled.client.expect_failure(4, "No such file or directory", "prune", "host/none", "--keep-last", "1")


def test_prune_options(filled: Repo) -> None:
    text = filled.client.expect_ok("prune", "host/box", "--keep-last", "1", "--dry-run").stdout.splitlines()
    assert [line.split() for line in text[1:]] == [[SNAPSHOT, "remove"], ["host/box/2023-11-14T22:15:00Z", "keep"]]
    text = filled.client.expect_ok("prune", "host/box", "--keep-last", "1", "--dry-run", "--quiet").stdout.splitlines()
    assert [line.split() for line in text[1:]] == [[SNAPSHOT, "remove"]]
    assert all(s["keep"] for s in filled.client.expect_ok("prune", "host/box", "--output-format", "json").json())
    filled.client.expect_failure(2, "keep-last", "prune", "host/box", "--keep-last", "0")
    filled.client.expect_failure(2, "", "prune", "box", "--keep-last", "1")
    assert len(snapshots_of(filled.store)) == 3


def test_protected_snapshots_stay(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "source", entries=3)
    for i in range(3):
        client.backup(f"root.pxar:{tree}", at=T0 + i)
        assert_holds(pbs_server.store, "host/box/latest", "root.pxar", tree)
    (pbs_server.store / SNAPSHOT / ".protected").touch()
    client.expect_failure(4, "cannot remove protected snapshot", "snapshot", "forget", SNAPSHOT)
    found = client.expect_ok("prune", "host/box", "--keep-last", "1", "--output-format", "json").json()
    assert [(s["keep"], s["protected"]) for s in found] == [(True, True), (False, False), (True, False)]
    assert len(snapshots_of(pbs_server.store)) == 2
    assert_sound(pbs_server.store, snapshots=2)


# ---- the rest ----

def test_status(repo: Repo) -> None:
    found = repo.client.expect_ok("status", "--output-format", "json").json()
    assert found["total"] >= found["used"] > 0 and found["avail"] > 0
    rows = [line.split() for line in repo.client.expect_ok("status").stdout.splitlines()]
    assert [row[0] for row in rows] == ["name", "total", "used", "avail"]
    assert rows[2][-1] == "%)"


def test_version(repo: Repo, make_client: Callable[..., Client]) -> None:
    text = repo.client.expect_ok("version").stdout.splitlines()
    assert text[0].startswith("client version: ") and text[1] == "server version: 4.2.0"
    found = repo.client.expect_ok("version", "--output-format", "json").json()
    assert found["server"]["version"] == "4.2" and found["server"]["release"] == "0"
    alone = make_client().expect_ok("version")
    assert len(alone.stdout.splitlines()) == 1
    lost = make_client(PBS_PASSWORD="x").expect_ok("version", "--repository", "127.0.0.1:1:store")
    assert "could not connect to server - " in lost.stderr and len(lost.stdout.splitlines()) == 1


def test_empty_datastore(repo: Repo) -> None:
    assert repo.client.expect_ok("list", "--output-format", "json").json() == []
    assert repo.client.expect_ok("snapshot", "list", "--output-format", "json").json() == []
    repo.client.expect_ok("list")


# ---- command line ----

def test_spellings_of_options(filled: Repo) -> None:
    wanted = filled.client.expect_ok("list", "--output-format", "json").out
    for args in (["list", "--output-format=json"], ["list", "-output-format", "json"], ["lis", "--output-format", "json"],
                 ["list", "--output-format", "json", "--"]):
        assert filled.client.expect_ok(*args).out == wanted
    assert filled.client.expect_ok("snap", "li", "--output-format", "json").out == filled.client.expect_ok("snapshots", "--output-format", "json").out
    for word in ("1", "on", "YES", "true"):
        found = filled.client.expect_ok("prune", "host/box", "--keep-last", "1", "--dry-run", word, "--output-format", "json").json()
        assert len(found) == 2
    assert len(snapshots_of(filled.store)) == 3
    filled.client.expect_ok("prune", "host/box", "--keep-last", "1", "--dry-run", "off")
    assert len(snapshots_of(filled.store)) == 2


@pytest.mark.parametrize(("text", "args"), [
    ("no command specified", []),
    ("no such command 'nosuch'", ["nosuch"]),
    ("no such command 'snapshot nosuch'", ["snapshot", "nosuch"]),
    ("missing parameter value", ["list", "--repository"]),
    ("missing argument", ["snapshot", "files"]),
    ("got additional arguments", ["list", "x"]),
    ("duplicate parameter", ["list", "--ns", "a", "--ns", "b"]),
    ("ns", ["login", "--ns", "a"]),
    ("ns", ["version", "--ns", "a"]),
])
def test_usage_errors(make_client: Callable[..., Client], text: str, args: list[str]) -> None:
    make_client(PBS_REPOSITORY="127.0.0.1:1:store", PBS_PASSWORD="x").expect_failure(2, text, *args)


@pytest.mark.parametrize("group", ["pxar", "key", "snapshot", "store", "reuse", "catalog"])
def test_a_group_without_a_verb_lists_its_verbs(make_client: Callable[..., Client], group: str) -> None:
    client = make_client()
    commands = [line.strip() for line in client.expect_ok("help").stdout.splitlines() if line.startswith(f"  {group} ")]
    assert commands
    for args, text in (([group], "no command specified."), ([group[:3]], "no command specified."),
                       ([group, "nosuch"], f"no such command '{group} nosuch'")):
        result = client.expect_failure(2, text, *args)
        assert result.out == b"" and [line.strip() for line in result.lines()[1:-1]] == commands
    result = client.expect_ok(group, "--help")
    assert result.stderr == "" and [line.strip() for line in result.stdout.splitlines()[1:]] == commands


def test_log_level(dir_repo: Repo, tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "source", entries=3)
    assert dir_repo.client.expect_ok("backup", f"a.pxar:{tree}", "--backup-id", "box", env={"PBS_LOG": "warn"}).stderr == ""
    snapshot = snapshots_of(dir_repo.store)[0]
    assert_holds(dir_repo.store, snapshot, "a.pxar", tree)
    assert dir_repo.client.expect_ok("catalog", "dump", snapshot, env={"PBS_LOG": "warn"}).stderr == ""
    assert "unknown log level" in dir_repo.client.expect_ok("list", env={"PBS_LOG": "loud"}).stderr
