# covers: API-015 API-147 BKP-087 BKP-220 BKP-224 CLI-009 CLI-011 CLI-052 IDX-116 RDR-066
# SPDX-License-Identifier: MIT
"""Backups that go wrong: a server that misbehaves or dies, a client that is killed, a source that changes meanwhile.

Always the same: the client ends soon and says why, no half snapshot shows, the next backup works, older ones are intact.
"""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import (ROOT_USER, T0, Client, Repo, Server, assert_holds, assert_same, assert_sound, noise, small_tree,
                     snapshot_dirs, snapshots_of, stored_bytes)

SOON = 60
ARGS = ("--backup-id", "box", "--chunk-size", "64")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = small_tree(tmp_path / "source", entries=30)
    for i in range(12):
        (path / f"big{i}").write_bytes(noise(i, 200_000))
    return path


def check_after_failure(server: Server, client: Client, source: Path, kept: int = 0) -> None:
    """No trace of the failed backup; a new one works at once (the fault is over) and everything is sound."""
    deadline = time.monotonic() + 20
    while len(snapshot_dirs(server.store)) > kept and time.monotonic() < deadline:
        time.sleep(0.02)  # the server may still be noticing that the connection is gone
    assert len(snapshot_dirs(server.store)) == kept
    client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0 + 500))
    assert_sound(server.store, snapshots=kept + 1)
    assert_holds(server.store, "host/box/latest", "root.pxar", source)


PLACES = {
    "login": "POST *access/ticket", "upgrade": "upgrade backup", "create": "POST /dynamic_index", "first chunk": "POST /dynamic_chunk",
    "later chunk": "POST /dynamic_chunk#9", "append": "PUT /dynamic_index", "close": "POST /dynamic_close", "manifest": "POST /blob",
    "finish": "POST /finish",
}


@pytest.mark.parametrize("what", ["status=500,out of order", "reset", "close", "goaway", "rst-stream"])
@pytest.mark.parametrize("place", PLACES)
def test_server_that_misbehaves_once(make_server: Callable[..., Server], make_client: Callable[..., Client], source: Path,
                                     place: str, what: str) -> None:
    where = PLACES[place]
    server = make_server(faults=(f"{where if '#' in where else where + '#1'}:{what}",))
    client = make_client(server)
    result = client.run("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0), limit=SOON)
    assert result.exit == 4, result.stderr
    assert result.lines()[-1].startswith("Error: ")
    if what.startswith("status"):
        assert "out of order" in result.stderr
    assert len(server.events("fault")) == 1
    check_after_failure(server, client, source)


@pytest.mark.parametrize("what", ["short=1", "corrupt=2"])
@pytest.mark.parametrize("place", ["login", "create"])
def test_answers_that_are_cut_or_damaged(make_server: Callable[..., Server], make_client: Callable[..., Client], source: Path,
                                         place: str, what: str) -> None:
    server = make_server(faults=(f"{PLACES[place]}#1:{what}",))
    client = make_client(server)
    result = client.run("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0), limit=SOON)
    assert result.exit in (3, 4), result.stderr
    check_after_failure(server, client, source)


@pytest.mark.parametrize("where", ["chunk-write#3", "POST /blob#1", "POST /dynamic_index#1", "POST /dynamic_close#1", "POST /finish#1"])
def test_datastore_that_is_full(make_server: Callable[..., Server], make_client: Callable[..., Client], source: Path,
                                where: str) -> None:
    server = make_server(faults=(f"{where}:enospc",))
    client = make_client(server)
    result = client.run("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0), limit=SOON)
    assert result.exit == 4 and "No space left on device" in result.stderr, result.stderr
    check_after_failure(server, client, source)


def test_server_that_forgets_chunks(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                    source: Path) -> None:
    """It said that it has them, then refuses the append."""
    server = make_server(faults=("POST /dynamic_chunk#2:lie=known",))
    client = make_client(server)
    result = client.expect_failure(4, "cannot append to ", "backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0), limit=SOON)
    assert "chunk" in result.stderr
    check_after_failure(server, client, source)


@pytest.mark.parametrize("what", ["lie=csum", "lie=size", "status=404,gone", "rst-stream", "corrupt=100", "short=4100"])
def test_unusable_previous_index_means_a_full_backup(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                                     source: Path, what: str) -> None:
    """First answer to `previous` is the manifest, the second is an index."""
    server = make_server(faults=(f"GET /previous#2:{what}",))
    client = make_client(server)
    client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0))
    result = client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0 + 1), "--output-format", "json", limit=SOON)
    assert result.json()["archives"][0]["known_chunks"] == 0
    assert "Error downloading .didx from previous manifest: " in result.stderr
    assert_sound(server.store, snapshots=2)
    assert_holds(server.store, "host/box/latest", "root.pxar", source)


@pytest.mark.parametrize("what", ["status=400,no", "corrupt=10", "short=20", "rst-stream"])
def test_unusable_previous_manifest_means_a_full_backup(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                                        source: Path, what: str) -> None:
    server = make_server(faults=(f"GET /previous#1:{what}",))
    client = make_client(server)
    client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0))
    result = client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0 + 1), "--output-format", "json", limit=SOON)
    assert result.json()["archives"][0]["known_chunks"] == 0
    assert "Couldn't download previous manifest - " in result.stderr
    assert_sound(server.store, snapshots=2)
    assert_holds(server.store, "host/box/latest", "root.pxar", source)


def test_old_server_without_previous_backup_time(make_server: Callable[..., Server],
                                                 make_client: Callable[..., Client], source: Path) -> None:
    server = make_server(faults=("GET /previous_backup_time#*:status=404,Path '/previous_backup_time' not found.",))
    client = make_client(server)
    for i in range(2):
        result = client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0 + i), "--output-format", "json")
    assert result.json()["archives"][0]["new_chunks"] == 0
    assert_sound(server.store, snapshots=2)
    assert_holds(server.store, "host/box/latest", "root.pxar", source)


@pytest.mark.parametrize("faults", [("accept#*:window=100",), ("upgrade#*:window=70000",), ("POST /dynamic_chunk#*:delay=5",),
                                    ("PUT /dynamic_index#*:delay=50",)])
def test_slow_servers_are_waited_for(make_server: Callable[..., Server], make_client: Callable[..., Client], tmp_path: Path,
                                     faults: tuple[str, ...]) -> None:
    source = small_tree(tmp_path / "source", entries=20)
    server = make_server(faults=faults)
    client = make_client(server)
    client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0))
    assert_sound(server.store, snapshots=1)
    assert_holds(server.store, "host/box/latest", "root.pxar", source)
    client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", source)


# ---- death of the server ----

@pytest.mark.parametrize("moment", ["chunk", "index-close"])
def test_server_killed_in_the_middle(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                     source: Path, moment: str) -> None:
    """The stalled call shows that we are in the middle; then the server is gone without a word."""
    where = {"chunk": "POST /dynamic_chunk#9", "index-close": "POST /blob#1"}[moment]
    server = make_server(faults=(f"{where}:stall",))
    client = make_client(server)
    process = client.start("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0))
    server.wait_for("fault")
    server.kill()
    out, err = process.communicate(timeout=SOON)
    assert process.returncode == 4, err
    again = make_server(store=server.store)
    assert snapshots_of(server.store) == []
    other = make_client(again)
    assert other.expect_ok("snapshot", "list", "--output-format", "json").json() in ([], None) or all(
        "index.json.blob" not in [f["filename"] for f in s["files"]]
        for s in other.expect_ok("snapshot", "list", "--output-format", "json").json())
    other.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0 + 1))
    assert_holds(server.store, "host/box/latest", "root.pxar", source)
    other.expect_ok("restore", "host/box", "root.pxar", other.home / "out")
    assert_same(other.home / "out", source)


# ---- death of the client ----

def pipe_backup(client: Client, pipe: Path, *extra: str) -> tuple[subprocess.Popen[bytes], int]:
    """A backup that waits for more of its image; returns it and the writing end."""
    os.mkfifo(pipe)
    process = client.start("backup", f"disk.img:{pipe}", "--backup-id", "box", *extra)
    fd = os.open(pipe, os.O_WRONLY)
    return process, fd


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_client_that_is_stopped(repo: Repo, source: Path, tmp_path: Path, sig: signal.Signals) -> None:
    repo.client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0))
    process, fd = pipe_backup(repo.client, tmp_path / "pipe", "--backup-time", str(T0 + 10))
    try:
        for piece in range(5):
            os.write(fd, noise(piece, 50_000))
        deadline = time.monotonic() + 20
        while not (repo.store / "host/box/2023-11-14T22:13:30Z").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(sig)
        process.communicate(timeout=SOON)
    finally:
        os.close(fd)
    assert process.returncode == (-9 if sig == signal.SIGKILL else 130)
    assert snapshots_of(repo.store) == ["host/box/2023-11-14T22:13:20Z"]
    listed = repo.client.expect_ok("snapshot", "list", "--output-format", "json").json()
    finished = [s for s in listed if any(f["filename"] == "index.json.blob" for f in s["files"])]
    assert [s["backup-time"] for s in finished] == [T0]
    repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", source)
    repo.client.expect_ok("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0 + 20))
    assert_holds(repo.store, "host/box/latest", "root.pxar", source)
    if sig != signal.SIGKILL or repo.server:
        assert_sound(repo.store, snapshots=2)


def test_interrupted_while_the_server_is_silent(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                                source: Path) -> None:
    for where in ("POST *access/ticket", "upgrade backup", "POST /dynamic_chunk#5", "POST /finish"):
        server = make_server(faults=(f"{where}:stall",))
        client = make_client(server)
        process = client.start("backup", f"root.pxar:{source}", *ARGS, "--backup-time", str(T0))
        server.wait_for("fault")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SOON)
        assert process.returncode == 130, err
        check_after_failure(server, client, source)
        client.expect_ok("snapshot", "forget", snapshots_of(server.store)[0])


# ---- sources ----

def test_unreadable_files_are_named_and_left_out(repo: Repo, tmp_path: Path) -> None:
    if ROOT_USER:
        pytest.skip("root reads everything")
    source = small_tree(tmp_path / "source", entries=10)
    (source / "secret").write_text("x")
    (source / "secret").chmod(0)
    result = repo.client.expect_ok("backup", f"root.pxar:{source}", *ARGS)
    assert 'failed to open file: "secret": access denied' in result.stderr
    assert_sound(repo.store, snapshots=1)
    (source / "secret").unlink()
    assert_holds(repo.store, "host/box/latest", "root.pxar", source, ignore=("dir-mtime",))


def test_source_that_changes_while_it_is_read(repo: Repo, tmp_path: Path) -> None:
    """Files come, go, grow and shrink all the time: the backup ends well and the archive is sound."""
    source = tmp_path / "source"
    (source / "stable").mkdir(parents=True)
    for i in range(60):
        (source / "stable" / f"s{i:02d}").write_bytes(noise(i, 30_000))
    stop = threading.Event()

    def stir() -> None:
        i = 0
        while not stop.is_set():
            for k in range(20):
                p = source / f"f{k:02d}"
                if (i + k) % 3 == 0:
                    p.unlink(missing_ok=True)
                else:
                    p.write_bytes(bytes(((i * 7919 + k * 104729) % 300_000)))
            i += 1

    thread = threading.Thread(target=stir)
    thread.start()
    try:
        for n in range(4):
            result = repo.client.run("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + n),
                                     "--change-detection-mode", ("legacy", "data")[n % 2])
            assert result.exit == 0, result.stderr
    finally:
        stop.set()
        thread.join()
    assert_sound(repo.store, snapshots=4)
    for i, snapshot in enumerate(snapshots_of(repo.store)):
        repo.client.expect_ok("restore", snapshot, "root.pxar", tmp_path / f"out{i}")
        assert_same(tmp_path / f"out{i}" / "stable", source / "stable")


def test_image_that_shrinks_is_refused(dir_repo: Repo, tmp_path: Path) -> None:
    """Sources are opened in order, before anything is sent: once the last one is open, the image's size was taken."""
    image, first, last = tmp_path / "image", tmp_path / "first", tmp_path / "last"
    image.write_bytes(noise(1, 3 << 20))
    os.mkfifo(first)
    os.mkfifo(last)
    process = dir_repo.client.start("backup", f"a.img:{first}", f"b.img:{image}", f"c.img:{last}", "--backup-id", "box")
    fd = os.open(first, os.O_WRONLY)
    end = os.open(last, os.O_WRONLY)
    os.truncate(image, 1 << 20)
    os.write(fd, b"x")
    os.close(fd)
    _, err = process.communicate(timeout=SOON)
    os.close(end)
    assert process.returncode == 1 and b"shrank while it was read" in err, err
    assert snapshots_of(dir_repo.store) == []


def test_conf_that_is_too_large(dir_repo: Repo, tmp_path: Path) -> None:
    """More than the client loads; nothing is left behind."""
    with open(tmp_path / "huge", "wb") as f:
        f.truncate(129 << 20)
    result = dir_repo.client.run("backup", f"a.conf:{tmp_path / 'huge'}", "--backup-id", "box")
    assert result.exit != 0 and str(tmp_path / "huge") in result.stderr, result.stderr
    assert snapshots_of(dir_repo.store) == []


def test_full_pipe_of_messages_does_not_stop_the_server(make_server: Callable[..., Server],
                                                        make_client: Callable[..., Client], tmp_path: Path) -> None:
    """Many sessions one after the other, some broken off: the server goes on and its memory of locks is right."""
    server = make_server(faults=("POST /dynamic_close#2+:reset",))
    client = make_client(server)
    source = small_tree(tmp_path / "source", entries=5)
    for i in range(6):
        assert client.run("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + i), limit=SOON).exit == 4
    (tmp_path / "conf").write_bytes(b"x")
    client.backup(f"a.conf:{tmp_path / 'conf'}", at=T0 + 100)
    assert_sound(server.store, snapshots=1)
    assert stored_bytes(server.store, "host/box/latest", "a.conf", tmp_path / "x") == b"x"
