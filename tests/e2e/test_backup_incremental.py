# covers: API-147 BKP-220 BKP-224 BKP-235 BKP-237 BKP-240 BKP-242 BKP-243 BKP-244 CLI-041 MAN-054 MAN-064
# SPDX-License-Identifier: MIT
"""What is sent and what is re-used: the server's journal says which chunks arrived and how the indexes were appended."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import (T0, Client, Repo, Server, assert_holds, assert_same, assert_sound, chunk_files, manifest_of, noise,
                     oracle_store, small_tree, snapshot_dirs, snapshots_of, stored_bytes)

MODES = ["legacy", "data", "metadata"]
KIB64 = 64 << 10


def bigger_tree(path: Path, seed: int = 1, files: int = 40, size: int = 90_000) -> Path:
    path.mkdir()
    for i in range(files):
        (path / f"f{i:03d}").write_bytes(noise(1000 * seed + i, size + 31 * i))
    return path


def archives(result: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {a["name"]: a for a in result["archives"]}


def sent(server: Server) -> list[str]:
    """Digests of chunks that came in, in order."""
    return [e["digest"] for e in server.events("chunk")]


def index_of(store: Path, name: str, which: int = -1) -> Any:
    snapshot = snapshot_dirs(store)[which]
    return oracle_store(store).index(snapshot, oracle_store(store).manifest(snapshot).file(name))


@pytest.mark.parametrize("mode", ["legacy", "data"])
@pytest.mark.parametrize("chunk_size", ["64", "4096"])
def test_unchanged_sources_send_no_chunk(pbs_server: Server, client: Client, tmp_path: Path, mode: str, chunk_size: str) -> None:
    source = bigger_tree(tmp_path / "source")
    (tmp_path / "image").write_bytes(noise(5, 9 << 20))
    specs = (f"root.pxar:{source}", f"disk.img:{tmp_path / 'image'}", "--chunk-size", chunk_size)
    if chunk_size == "64":
        specs = (specs[0], *specs[2:])
    first = archives(client.backup(*specs, mode=mode))
    before = len(sent(pbs_server))
    second = archives(client.backup(*specs, mode=mode, at=T0 + 1))
    for name, figures in second.items():
        if name != "catalog.pcat1.didx":  # it never looks at the previous one (CAT-074)
            assert figures["new_chunks"] == 0
            assert figures["known_chunks"] == figures["chunks"] == first[name]["chunks"]
    again = [e for e in pbs_server.events("chunk")][before:]
    assert [e["state"] for e in again] == (["known"] if mode == "legacy" else [])
    assert_sound(pbs_server.store, snapshots=2)
    for snapshot in snapshots_of(pbs_server.store):
        assert_holds(pbs_server.store, snapshot, "root.pxar", source)
    csums = [[f.csum for f in manifest_of(pbs_server.store, s).files] for s in snapshots_of(pbs_server.store)]
    assert csums[0] == csums[1]


@pytest.mark.parametrize("order", [("legacy", "data", "legacy"), ("data", "legacy", "data")])
def test_modes_in_turn(pbs_server: Server, client: Client, tmp_path: Path, order: tuple[str, ...]) -> None:
    """The archive of the other mode has another name: nothing is known, but nothing is stored twice either."""
    source = bigger_tree(tmp_path / "source")
    for i, mode in enumerate(order):
        result = archives(client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode=mode, at=T0 + i))
        name = "root.pxar.didx" if mode == "legacy" else "root.ppxar.didx"
        assert result[name]["known_chunks"] == 0 and result[name]["new_chunks"] > 20
    states = [e["state"] for e in pbs_server.events("chunk") if e["conn"] == pbs_server.events("chunk")[-1]["conn"]]
    assert set(states) == {"known"}  # third run: all of it was there since the first
    assert_sound(pbs_server.store, snapshots=3)
    for i, snapshot in enumerate(snapshots_of(pbs_server.store)):
        client.expect_ok("restore", snapshot, "root.pxar", tmp_path / f"out{i}")
        assert_same(tmp_path / f"out{i}", source)


@pytest.mark.parametrize("mode", MODES)
def test_changed_file_sends_the_chunks_around_it(pbs_server: Server, client: Client, tmp_path: Path, mode: str) -> None:
    source = bigger_tree(tmp_path / "source")
    client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode=mode)
    (source / "f020").write_bytes(noise(99, 70_000))
    result = archives(client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode=mode, at=T0 + 1))
    figures = result["root.pxar.didx" if mode == "legacy" else "root.ppxar.didx"]
    reused = figures["known_chunks"] + figures["injected_chunks"]
    assert 0 < figures["new_chunks"] <= 8 < reused
    assert figures["new_bytes"] + figures["known_bytes"] + figures["injected_bytes"] == figures["size"]
    assert_sound(pbs_server.store, snapshots=2)
    assert_holds(pbs_server.store, "host/box/latest", "root.pxar", source)


def test_removed_and_added_files(repo: Repo, tmp_path: Path) -> None:
    source = bigger_tree(tmp_path / "source", files=20)
    for i in range(6):
        repo.client.backup(f"root.pxar:{source}", "--chunk-size", "64", at=T0 + i, mode=MODES[i % 3])
        assert_holds(repo.store, "host/box/latest", "root.pxar", source)
        (source / f"f{5 + i:03d}").unlink()
        (source / f"a{i}").write_bytes(noise(70 + i, 30_000))
        (source / f"dir{i}").mkdir()
    assert_sound(repo.store, snapshots=6)


def test_chunk_that_occurs_twice_is_sent_once(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    block = noise(1, 4 << 20)
    image = (block + bytes(4 << 20)) * 5
    (tmp_path / "image").write_bytes(image)
    figures = archives(client.backup(f"disk.img:{tmp_path / 'image'}"))["disk.img.fidx"]
    assert (figures["chunks"], figures["new_chunks"], figures["known_chunks"]) == (10, 2, 8)
    assert len(sent(pbs_server)) == 2
    offsets = [o for e in pbs_server.events("index-append") for o in e["offsets"]]
    assert offsets == [i * (4 << 20) for i in range(10)]
    assert_sound(pbs_server.store, snapshots=1)
    assert stored_bytes(pbs_server.store, "host/box/latest", "disk.img", tmp_path / "x") == image


def test_appends_are_in_order_and_of_bounded_size(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    source = bigger_tree(tmp_path / "source", files=150, size=100_000)
    for at in (T0, T0 + 1):
        client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode="data", at=at)
    assert_sound(pbs_server.store, snapshots=2)
    assert_holds(pbs_server.store, "host/box/latest", "root.pxar", source)
    index = index_of(pbs_server.store, "root.ppxar.didx")
    assert len(index.chunks) > 150
    for created in pbs_server.events("index-create", name="root.ppxar.didx"):
        appends = pbs_server.events("index-append", conn=created["conn"], wid=created["wid"])
        assert [d for e in appends for d in e["digests"]] == [d.hex() for _, _, d in index.chunks]
        assert [o for e in appends for o in e["offsets"]] == [start for start, _, _ in index.chunks]
        assert all(64 <= len(e["digests"]) <= 256 for e in appends[:-1])
        close = pbs_server.events("index-close", conn=created["conn"], wid=created["wid"])[0]
        assert (close["chunk-count"], close["size"], close["csum"]) == (len(index.chunks), index.size, index.csum.hex())


@pytest.mark.parametrize("mode", MODES)
def test_small_chunks_many_of_them(repo: Repo, tmp_path: Path, mode: str) -> None:
    source = bigger_tree(tmp_path / "source", files=8, size=2_000_000)
    repo.client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode=mode)
    index = index_of(repo.store, "root.pxar.didx" if mode == "legacy" else "root.ppxar.didx")
    assert len(index.chunks) > 100
    assert_sound(repo.store, snapshots=1)
    assert_holds(repo.store, "host/box/latest", "root.pxar", source)
    repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", source)


# ---- equal input, equal output ----

@pytest.mark.parametrize("mode", MODES)
def test_result_does_not_depend_on_threads_or_transport(make_store: Callable[..., Path], make_server: Callable[..., Server],
                                                        make_client: Callable[..., Client], tmp_path: Path, mode: str) -> None:
    source = bigger_tree(tmp_path / "source", files=60)
    small_tree(source / "sub")
    stores = []
    for workers in ("1", "4", "2"):
        store = make_store(f"store{workers}")
        stores.append(store)
        if workers == "2":
            client = make_client(make_server(store=store))
        else:
            client = make_client(PBS_REPOSITORY=f"dir:{store}")
        for at in (T0, T0 + 1):
            client.backup(f"root.pxar:{source}", "--chunk-size", "64", "--workers", workers, mode=mode, at=at)
        assert_sound(store, snapshots=2)
        assert_holds(store, "host/box/latest", "root.pxar", source)
    for which in (0, 1):
        found = [manifest_of(s, snapshots_of(s)[which]).files for s in stores]
        assert [(f.filename, f.csum, f.size) for f in found[0]] == [(f.filename, f.csum, f.size) for f in found[1]]
        assert [(f.filename, f.csum, f.size) for f in found[0]] == [(f.filename, f.csum, f.size) for f in found[2]]
    assert len({tuple(p.name for p in chunk_files(s)) for s in stores}) == 1
    assert len({tuple(p.read_bytes() for p in chunk_files(s)) for s in stores}) == 1


# ---- previous snapshots that are of no use ----

def test_previous_snapshot_that_failed_verification_is_not_used(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    """Its chunks may be bad: all is sent again (MAN-064)."""
    from oracle import blob, manifest
    source = bigger_tree(tmp_path / "source", files=5)
    client.backup(f"root.pxar:{source}")
    path = pbs_server.store / snapshots_of(pbs_server.store)[0] / "index.json.blob"
    import json
    text = json.loads(blob.decode(path.read_bytes()))
    text["unprotected"]["verify_state"] = {"state": "failed", "upid": "UPID:x:00000001:00000001:00000001:00000001:verify:x:root@pam:"}
    path.write_bytes(blob.encode(json.dumps(text).encode()))
    assert manifest.parse(blob.decode(path.read_bytes())).files
    result = client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 1), "--output-format", "json")
    assert "No previous manifest available." in result.lines()
    assert archives(result.json())["root.pxar.didx"]["known_chunks"] == 0
    assert_sound(pbs_server.store, snapshots=2)
    assert_holds(pbs_server.store, "host/box/latest", "root.pxar", source)


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_damaged_previous_manifest_is_named_by_the_server(repo: Repo, tmp_path: Path, damage: str) -> None:
    """The session is refused (BKP-041) until somebody removes the snapshot; a missing manifest is an unfinished snapshot."""
    source = bigger_tree(tmp_path / "source", files=5)
    repo.client.backup(f"root.pxar:{source}")
    path = repo.store / snapshots_of(repo.store)[0] / "index.json.blob"
    raw = path.read_bytes()
    path.write_bytes(raw[:20] if damage == "truncate" else raw[:-1] + bytes([raw[-1] ^ 1]))
    args = ("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 1))
    repo.client.expect_failure(4, f"""unable to load blob '"{path}"' - """, *args)
    path.unlink()
    result = repo.client.expect_ok(*args)
    assert "No previous manifest available." in result.lines()
    path.write_bytes(raw)
    assert_sound(repo.store, snapshots=2)
    assert_holds(repo.store, "host/box/latest", "root.pxar", source)


def test_damaged_previous_index_is_only_a_warning(repo: Repo, tmp_path: Path) -> None:
    source = bigger_tree(tmp_path / "source", files=5)
    repo.client.backup(f"root.pxar:{source}")
    path = repo.store / snapshots_of(repo.store)[0] / "root.pxar.didx"
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    result = repo.client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 1),
                            "--output-format", "json")
    assert archives(result.json())["root.pxar.didx"]["known_chunks"] == 0
    path.write_bytes(raw)
    assert_sound(repo.store, snapshots=2)
    assert_holds(repo.store, "host/box/latest", "root.pxar", source)


# ---- groups and locks ----

def test_two_backups_of_a_group_at_once(repo: Repo, tmp_path: Path) -> None:
    """The second is refused while the first one runs; other groups go on."""
    import os
    import threading
    source = small_tree(tmp_path / "source", entries=10)
    os.mkfifo(tmp_path / "pipe")
    first = repo.client.start("backup", f"disk.img:{tmp_path / 'pipe'}", "--backup-id", "box", "--backup-time", str(T0))
    release = threading.Event()

    def feed() -> None:
        with open(tmp_path / "pipe", "wb") as f:
            f.write(noise(1, 100_000))
            f.flush()
            release.wait(60)
            f.write(noise(2, 100_000))

    writer = threading.Thread(target=feed)
    writer.start()
    try:
        deadline = 200
        while not (repo.store / "host/box/2023-11-14T22:13:20Z").exists() and deadline:
            release.wait(0.05)
            deadline -= 1
        assert deadline and first.poll() is None
        second = repo.client.expect_failure(4, "", "backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 1))
        assert "lock" in second.stderr, second.stderr
        repo.client.backup(f"root.pxar:{source}", group="other")
    finally:
        release.set()
        writer.join()
        out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert snapshots_of(repo.store) == ["host/box/2023-11-14T22:13:20Z", "host/other/2023-11-14T22:13:20Z"]
    assert_sound(repo.store, snapshots=2)
    assert_holds(repo.store, "host/other/latest", "root.pxar", source)
    assert stored_bytes(repo.store, "host/box/latest", "disk.img", tmp_path / "x") == noise(1, 100_000) + noise(2, 100_000)
    repo.client.backup(f"root.pxar:{source}", at=T0 + 2)
