# covers: API-060 API-148 BKP-011 BKP-015 BKP-016 BKP-017 BKP-018 BKP-051 BKP-056 BKP-242 RDR-003 RDR-020 RDR-030
# SPDX-License-Identifier: MIT
"""What our client says, recorded, next to what the original client said: requests, parameters and their order, headers, bodies,
content types, settings of HTTP/2; all but digests, sizes, times and names."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorder import Recorder, Request, Talk, read_golden
from support import (GOLDEN, KEYFILE, PASSWORD, ROOT_USER, T0, TOKEN, TOKEN_SECRET, Client, golden_module, golden_tree, scenario)

pytestmark = pytest.mark.skipif(not ROOT_USER, reason="the trees of the transcripts need root")
WIRE = GOLDEN / "wire"
T1 = 1_700_000_100


@pytest.fixture
def record(make_server: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., list[Talk]]]:
    """record(store, runs, token=False): runs the client through a recorder; what it said in the last run."""
    recorders: list[Recorder] = []

    def run(store: Path | None, *runs: list[Any], token: bool = False) -> list[Talk]:
        server = make_server(store=store)
        for i, args in enumerate(runs):
            recorder = Recorder(tmp_path, server.port)
            recorders.append(recorder)
            repository = f"{TOKEN + '@' if token else ''}127.0.0.1:{recorder.port}:{server.datastore}"
            client = Client(tmp_path / f"home-{len(recorders)}", PBS_REPOSITORY=repository, PBS_FINGERPRINT=recorder.fingerprint,
                            PBS_PASSWORD=TOKEN_SECRET if token else PASSWORD)
            client.expect_ok(*args)
        server.stop()
        return recorders[-1].talks()

    yield run
    for recorder in recorders:
        recorder.close()


def plain(talks: list[Talk]) -> list[dict[str, Any]]:
    """Requests of HTTP/1, in order. Ours asks for the ticket on a connection of its own."""
    return [r.form() for t in talks for r in t.plain]


def upgraded(talks: list[Talk]) -> list[Talk]:
    return [t for t in talks if t.streams]


def writer_of(request: Request) -> str | None:
    return request.param("wid") or (str(request.json()["wid"]) if request.method == "PUT" and request.json() else None)


def outline(talk: Talk) -> list[dict[str, Any]]:
    """What is said once, in order: all but the chunks, appends and closes of indexes and the chunks read. For the two halves of
    an archive the original asks side by side, so in any order: for the chunks known of each, and for a new index."""
    forms = [r.form() for r in talk.streams if r.method != "PUT" and r.path.strip("/") not in
             ("dynamic_chunk", "fixed_chunk", "dynamic_close", "fixed_close", "chunk")]
    halves = [i for i, f in enumerate(forms) if any(v.endswith(("mpxar.didx", "ppxar.didx")) for _, v in f["params"])]
    places = [i for i in halves if forms[i]["path"] != "/previous"
              or any(forms[k]["path"] == "/previous" for k in halves if k < i)]  # the first is the reference
    for i, form in zip(places, sorted((forms[i] for i in places), key=repr)):
        forms[i] = form
    return forms


def is_cut(request: Request) -> bool:
    """Transcripts cut long lines."""
    return bool(request.body) and dict(request.headers).get("content-type") == "application/json" and request.json() is None


def repeated(talk: Talk, cut: set[str]) -> list[str]:
    """The distinct forms of the rest, without those requests of which the transcript has only a part."""
    once = outline(talk)
    return sorted({repr(form) for r in talk.streams
                   if (form := r.form()) not in once and f"{r.method} {r.path}" not in cut})


def lives_of_indexes(talk: Talk, cut: set[str]) -> list[list[str]]:
    """For each index: chunks, then appends, at the end the close."""
    lives: dict[str, list[str]] = {}
    for r in talk.streams:
        step, wid = f"{r.method} {r.path}", writer_of(r)
        if wid and step not in cut:
            life = lives.setdefault(wid, [])
            life += [step] if step not in life else []
    return sorted(lives.values())


def assert_same_talk(ours: list[Talk], name: str) -> None:
    golden = read_golden(WIRE / f"{name}.txt")
    assert golden and plain(ours) == plain(golden)
    assert len(upgraded(ours)) == len(upgraded(golden))
    for our, gold in zip(upgraded(ours), upgraded(golden)):
        assert (our.settings, our.window) == (gold.settings, gold.window)
        assert outline(our) == outline(gold)
        cut = {f"{r.method} {r.path}" for r in gold.streams if is_cut(r)}
        assert {(r.method, r.path) for r in our.streams} == {(r.method, r.path) for r in gold.streams}
        assert repeated(our, cut) == repeated(gold, cut)
        assert lives_of_indexes(our, cut) == lives_of_indexes(gold, cut)


def backup(*specs: Any, group: str = "wire", at: int = T0) -> list[Any]:
    return ["backup", *specs, "--backup-id", group, "--backup-time", str(at)]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return golden_tree("special-files", tmp_path / "tree")


def test_backup_of_every_kind(record: Callable[..., list[Talk]], small: Path, tmp_path: Path) -> None:
    noise = golden_module("trees").noise
    (tmp_path / "disk").write_bytes(noise(42, 65536) * 64 + bytes(4 << 20) + noise(43, 10000) * 100)
    (tmp_path / "conf").write_text("key: value\n")
    talks = record(None, backup(f"root.pxar:{small}", f"disk.img:{tmp_path / 'disk'}", f"etc.conf:{tmp_path / 'conf'}"))
    assert_same_talk(talks, "backup-legacy-img-conf")
    assert [r.path for r in upgraded(talks)[0].streams[-2:]] == ["/blob", "/finish"]


def test_backup_encrypted(record: Callable[..., list[Talk]], small: Path) -> None:
    talks = record(None, [*backup(f"root.pxar:{small}"), "--keyfile", KEYFILE, "--change-detection-mode", "data"])
    assert_same_talk(talks, "backup-encrypted")


def split_runs(tree: Path) -> list[list[Any]]:
    common = ["--chunk-size", "64", "--change-detection-mode"]
    return [[*backup(f"root.pxar:{tree}"), *common, "data"], [*backup(f"root.pxar:{tree}", at=T1), *common, "metadata"]]


def test_backup_data(record: Callable[..., list[Talk]], tmp_path: Path) -> None:
    tree = scenario("one-file-changed", tmp_path / "tree", 0)
    assert_same_talk(record(None, split_runs(tree)[0]), "backup-data")


def test_backup_metadata(record: Callable[..., list[Talk]], tmp_path: Path) -> None:
    """The previous manifest and index, the previous metadata through a reader session of its own, chunks that are re-used."""
    tree = scenario("one-file-changed", tmp_path / "tree", 0)
    store = tmp_path / "store1"
    record(None, split_runs(tree)[0])
    scenario("one-file-changed", tree, 1)
    assert_same_talk(record(store, split_runs(tree)[1]), "backup-metadata")


def test_restore(record: Callable[..., list[Talk]], tmp_path: Path) -> None:
    tree = scenario("one-file-changed", tmp_path / "tree", 0)
    talks = record(None, *split_runs(tree), ["restore", "host/wire/2023-11-14T22:15:00Z", "root.pxar", tmp_path / "out"])
    assert_same_talk(talks, "restore")


@pytest.mark.parametrize(("name", "args"), [
    ("restore-image", ["restore", "host/mixed/2023-11-14T22:13:20Z", "disk.img", "-"]),
    ("catalog-dump", ["catalog", "dump", "host/legacy/2023-11-14T22:13:20Z"]),
    ("snapshot-files", ["snapshot", "files", "host/split/2023-11-14T22:15:00Z"]),
    ("list", ["snapshot", "list"]),
    ("status", ["status"]),
    ("prune-dry", ["prune", "host/reuse", "--keep-last", "1", "--dry-run"]),
    ("forget", ["snapshot", "forget", "host/enc/2023-11-14T22:13:20Z"]),
])
def test_other_commands(record: Callable[..., list[Talk]], golden_store: Path, name: str, args: list[str]) -> None:
    assert_same_talk(record(golden_store, args), name)


def test_list_with_a_token(record: Callable[..., list[Talk]], golden_store: Path) -> None:
    assert_same_talk(record(golden_store, ["snapshot", "list"], token=True), "list-with-token")
