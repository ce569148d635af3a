# covers: BLOB-091 BLOB-092 CLI-009 IDX-023 IDX-116 MAN-072 RDR-006 RDR-022 RDR-023 RDR-033 RDR-051 RDR-052 RDR-053 RDR-060 RDR-061
# covers: RDR-066
# SPDX-License-Identifier: MIT
"""Datastores with damage, servers that misbehave while they are read, targets that cannot take the data.

A restore never passes off other data than was backed up: it ends with a status that tells what broke, and names it.
"""
from __future__ import annotations

import hashlib
import json
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import (ROOT_USER, T0, Client, Repo, Server, assert_holds, assert_same, assert_sound, noise, oracle_store,
                     small_tree)

from oracle import blob

SNAPSHOT = "host/box/2023-11-14T22:13:20Z"
SOON = 60
HEADER = 4096


def build_groups(folder: Path, client: Client) -> None:
    """Tree (one stream and split), image and conf; and another group that shares nothing with it."""
    source, other = small_tree(folder / "source", 7), small_tree(folder / "other", 9, entries=20)
    for i in range(10):
        (source / f"big{i}").write_bytes(noise(i, 150_000))
    (folder / "conf").write_bytes(b"key: value\n" * 50)
    (folder / "image").write_bytes(noise(90, 5 << 20))
    client.backup(f"root.pxar:{source}", f"etc.conf:{folder / 'conf'}", f"disk.img:{folder / 'image'}")
    client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode="data", at=T0 + 1, group="split")
    client.backup(f"root.pxar:{other}", at=T0 + 2, group="other")
    assert_sound(folder / "store1", snapshots=3)
    for snapshot, tree in ((SNAPSHOT, source), ("host/split/latest", source), ("host/other/latest", other)):
        assert_holds(folder / "store1", snapshot, "root.pxar", tree)


@pytest.fixture(params=["tls", "dir"])
def filled(request: pytest.FixtureRequest, prebuilt: Callable[..., Path], open_repo: Callable[[str, Path], Repo]) -> Repo:
    return open_repo(request.param, prebuilt("groups", build_groups))


@pytest.fixture
def local(prebuilt: Callable[..., Path], open_repo: Callable[[str, Path], Repo]) -> Repo:
    """The same without TLS: for what the way to the datastore cannot change."""
    return open_repo("dir", prebuilt("groups", build_groups))


def digests(store: Path, snapshot: str, name: str) -> list[str]:
    found = oracle_store(store)
    where = found.find(snapshot)
    return [d.hex() for _, _, d in found.index(where, found.manifest(where).file(name)).chunks]


def chunk(store: Path, digest: str) -> Path:
    return store / ".chunks" / digest[:4] / digest


def others_are_intact(repo: Repo, tmp_path: Path) -> None:
    """A group that shares no chunk with the damage."""
    out = tmp_path / "out-other"
    repo.client.expect_ok("restore", "host/other", "root.pxar", out)
    assert_same(out, tmp_path / "other")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "bit": lambda raw: raw[:-5] + bytes([raw[-5] ^ 4]) + raw[-4:],
    "crc": lambda raw: raw[:9] + bytes([raw[9] ^ 1]) + raw[10:],
    "magic": lambda raw: b"\0" * 8 + raw[8:],
    "cut": lambda raw: raw[:-1],
    "short": lambda raw: raw[:5],
    "empty": lambda raw: b"",
    "longer": lambda raw: raw + b"\0",
    "other data": lambda raw: blob.encode(b"other"),
    "same length, other data": lambda raw: blob.encode(bytes(len(blob.decode(raw)))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_chunk(local: Repo, tmp_path: Path, damage: str) -> None:
    cases = (("root.pxar.didx", SNAPSHOT, "root.pxar"), ("disk.img.fidx", SNAPSHOT, "disk.img"),
             ("root.ppxar.didx", "host/split/2023-11-14T22:13:21Z", "root.pxar"),
             ("root.mpxar.didx", "host/split/2023-11-14T22:13:21Z", "root.pxar"))
    for i, (index, snapshot, archive) in enumerate(cases):
        victim = digests(local.store, snapshot, index)[-1]
        path = chunk(local.store, victim)
        raw = path.read_bytes()
        path.write_bytes(DAMAGES[damage](raw))
        out = tmp_path / f"out{i}"
        result = local.client.expect_failure(3, victim, "restore", snapshot, archive, out, limit=SOON)
        assert "rule " in result.stderr
        if archive == "disk.img":
            assert not out.exists()
        path.write_bytes(raw)
        local.client.expect_ok("restore", snapshot, archive, tmp_path / f"good{i}")
    others_are_intact(local, tmp_path)
    assert_sound(local.store, snapshots=3)


def test_cut_chunks_are_not_taken_for_the_end_of_the_archive(local: Repo, tmp_path: Path) -> None:
    """Whatever item begins in them: every chunk of both halves."""
    snapshot = "host/split/2023-11-14T22:13:21Z"
    for name in ("root.ppxar.didx", "root.mpxar.didx"):
        for i, victim in enumerate(digests(local.store, snapshot, name)):
            path = chunk(local.store, victim)
            raw = path.read_bytes()
            path.write_bytes(raw[:5])
            local.client.expect_failure(3, victim, "restore", snapshot, "root.pxar", tmp_path / f"{name}{i}", limit=SOON)
            path.write_bytes(raw)


def test_missing_chunk(filled: Repo, tmp_path: Path) -> None:
    for i, (index, archive) in enumerate((("root.pxar.didx", "root.pxar"), ("disk.img.fidx", "disk.img"))):
        victim = digests(filled.store, SNAPSHOT, index)[0]
        chunk(filled.store, victim).rename(tmp_path / "kept")
        filled.client.expect_failure(4, victim, "restore", SNAPSHOT, archive, tmp_path / f"out{i}", limit=SOON)
        (tmp_path / "kept").rename(chunk(filled.store, victim))
    others_are_intact(filled, tmp_path)
    assert_sound(filled.store, snapshots=3)


def test_verify_names_missing_and_damaged_chunks_and_the_next_backup_repairs(filled: Repo, tmp_path: Path) -> None:
    gone, bad = digests(filled.store, SNAPSHOT, "disk.img.fidx")
    chunk(filled.store, gone).unlink()
    chunk(filled.store, bad).write_bytes(DAMAGES["bit"](chunk(filled.store, bad).read_bytes()))
    report = filled.client.run("store", "verify", filled.store, "--output-format", "json")
    assert report.exit == 3
    found = {s["snapshot"]: s for s in report.json()["snapshots"]}
    assert [name for name, s in found.items() if not s["ok"]] == [SNAPSHOT]
    texts = " ".join(p["text"] for p in found[SNAPSHOT]["problems"])
    assert gone in texts and bad in texts
    assert {p["file"] for p in found[SNAPSHOT]["problems"]} == {"disk.img.fidx"}
    assert filled.client.run("store", "verify", filled.store, "--rename-bad").exit == 3
    assert chunk(filled.store, bad + ".0.bad").exists() and not chunk(filled.store, bad).exists()
    # no known chunk of a snapshot that failed: send all of it again
    filled.client.backup(f"disk.img:{tmp_path / 'image'}", group="repair")
    assert chunk(filled.store, gone).exists() and chunk(filled.store, bad).exists()
    filled.client.expect_ok("store", "verify", filled.store)
    assert_sound(filled.store, snapshots=4)
    filled.client.expect_ok("restore", SNAPSHOT, "disk.img", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "image").read_bytes()


# ---- indexes ----

INDEX_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut record": lambda raw: raw[:-1],
    "header only": lambda raw: raw[:HEADER],
    "cut header": lambda raw: raw[:100],
    "empty": lambda raw: b"",
    "magic": lambda raw: b"\0" * 8 + raw[8:],
    "digest": lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
    "end": lambda raw: raw[:-40] + struct.pack("<Q", struct.unpack("<Q", raw[-40:-32])[0] + 1) + raw[-32:],
    "end zero": lambda raw: raw[:-40] + bytes(8) + raw[-32:],
    "huge end": lambda raw: raw[:-40] + b"\xff" * 8 + raw[-32:],
    "one record more": lambda raw: raw + raw[-40:],
}


@pytest.mark.parametrize("damage", INDEX_DAMAGES)
@pytest.mark.parametrize("name", ["root.ppxar.didx", "root.mpxar.didx"])
def test_damaged_dynamic_index(local: Repo, tmp_path: Path, damage: str, name: str) -> None:
    path = local.store / "host/split/2023-11-14T22:13:21Z" / name
    raw = path.read_bytes()
    path.write_bytes(INDEX_DAMAGES[damage](raw))
    result = local.client.run("restore", "host/split", "root.pxar", tmp_path / "out", limit=SOON)
    assert result.exit in (3, 4), result.stderr  # the server parses it too, before it is sent
    assert name in result.stderr
    assert not (tmp_path / "out").exists()
    report = local.client.run("store", "verify", local.store, "--output-format", "json")
    assert report.exit == 3
    assert [s["snapshot"] for s in report.json()["snapshots"] if not s["ok"]] == ["host/split/2023-11-14T22:13:21Z"]
    others_are_intact(local, tmp_path)


@pytest.mark.parametrize("which", ["records", "size", "chunk size"])
def test_damaged_fixed_index(local: Repo, tmp_path: Path, which: str) -> None:
    path = local.store / SNAPSHOT / "disk.img.fidx"
    raw = bytearray(path.read_bytes())
    if which == "records":
        raw[-1] ^= 1
    else:
        struct.pack_into("<Q", raw, 64 if which == "size" else 72, 5 << 20 if which != "size" else (5 << 20) + 1)
    path.write_bytes(raw)
    result = local.client.run("restore", SNAPSHOT, "disk.img", tmp_path / "out", limit=SOON)
    assert result.exit in (3, 4) and "disk.img.fidx" in result.stderr, result.stderr
    assert not (tmp_path / "out").exists()
    local.client.expect_ok("restore", SNAPSHOT, "root.pxar", tmp_path / "good")
    assert_same(tmp_path / "good", tmp_path / "source")


def forge(store: Path, ends: list[int], pieces: list[bytes], name: str = "root.pxar.didx") -> None:
    """A dynamic index of these ends, with manifest and checksum that fit it."""
    path = store / SNAPSHOT / name
    records = b""
    for end, piece in zip(ends, pieces):
        digest = hashlib.sha256(piece).hexdigest()
        chunk(store, digest).parent.mkdir(exist_ok=True)
        chunk(store, digest).write_bytes(blob.encode(piece))
        records += struct.pack("<Q", end) + bytes.fromhex(digest)
    header = bytearray(path.read_bytes()[:HEADER])
    header[32:64] = hashlib.sha256(records).digest()
    path.write_bytes(bytes(header) + records)
    index_json = store / SNAPSHOT / "index.json.blob"
    text = json.loads(blob.decode(index_json.read_bytes()))
    entry = next(f for f in text["files"] if f["filename"] == name)
    entry["size"], entry["csum"] = ends[-1], hashlib.sha256(records).hexdigest()
    index_json.write_bytes(blob.encode(json.dumps(text).encode()))


def test_index_with_decreasing_ends(filled: Repo, tmp_path: Path) -> None:
    """Everything else about it is right, checksum included."""
    forge(filled.store, [1000, 500, 2000], [bytes(1000), b"x" * 500, b"y" * 1000])
    result = filled.client.run("restore", SNAPSHOT, "root.pxar", tmp_path / "out", limit=SOON)
    assert result.exit in (3, 4) and "root.pxar.didx" in result.stderr, result.stderr
    assert "chunk 1 ends at 500, before its start 1000" in result.stderr
    report = filled.client.run("store", "verify", filled.store, "--output-format", "json").json()
    assert "IDX-023" in [p["rule"] for s in report["snapshots"] for p in s["problems"]]


def test_index_with_lengths_that_chunks_do_not_have(filled: Repo, tmp_path: Path) -> None:
    forge(filled.store, [999, 2000], [bytes(1000), b"y" * 1001])
    result = filled.client.run("restore", SNAPSHOT, "root.pxar", "-", limit=SOON)
    assert result.exit == 3 and hashlib.sha256(bytes(1000)).hexdigest() in result.stderr, result.stderr
    assert result.out == b""


def test_index_of_a_stream_that_is_no_archive(filled: Repo, tmp_path: Path) -> None:
    forge(filled.store, [1000, 2000], [bytes(1000), b"y" * 1000])
    assert filled.client.expect_ok("restore", SNAPSHOT, "root.pxar", "-").out == bytes(1000) + b"y" * 1000
    filled.client.expect_failure(3, "error extracting archive", "restore", SNAPSHOT, "root.pxar", tmp_path / "out", limit=SOON)


# ---- blobs and manifests ----

@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_blob(local: Repo, tmp_path: Path, damage: str) -> None:
    path = local.store / SNAPSHOT / "etc.conf.blob"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    result = local.client.expect_failure(3, "etc.conf.blob", "restore", SNAPSHOT, "etc.conf", tmp_path / "out", limit=SOON)
    assert "rule " in result.stderr and not (tmp_path / "out").exists()
    local.client.expect_ok("restore", SNAPSHOT, "root.pxar", tmp_path / "good")
    assert_same(tmp_path / "good", tmp_path / "source")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_manifest(local: Repo, tmp_path: Path, damage: str) -> None:
    path = local.store / SNAPSHOT / "index.json.blob"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    for args in (("restore", SNAPSHOT, "root.pxar", tmp_path / "out"), ("catalog", "dump", SNAPSHOT)):
        local.client.expect_failure(3, "index.json.blob", *args, limit=SOON)
    assert not (tmp_path / "out").exists()
    local.client.expect_ok("snapshot", "list")
    local.client.expect_failure(4, "unable to ", "snapshot", "files", SNAPSHOT)
    others_are_intact(local, tmp_path)
    local.client.expect_ok("snapshot", "forget", SNAPSHOT)
    assert_sound(local.store, snapshots=2)


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"null", b'{"files":1}', b'{"backup-type":"host","backup-id":"box","backup-time":1700000000}',
    b'{"backup-type":"host","backup-id":"box","backup-time":1700000000,"files":[{"filename":"a.pxar.didx","size":-1,"csum":"00"}]}',
    b'{"backup-type":"host","backup-id":"box","backup-time":1700000000,"files":[{"filename":"../x.didx","size":1,"csum":"'
    + b"00" * 32 + b'"}]}',
    b"[" * 100_000,
])
def test_manifest_that_is_not_one(dir_repo: Repo, tmp_path: Path, text: bytes) -> None:
    source = small_tree(tmp_path / "source", entries=3)
    dir_repo.client.backup(f"root.pxar:{source}")
    (dir_repo.store / SNAPSHOT / "index.json.blob").write_bytes(blob.encode(text))
    result = dir_repo.client.run("restore", SNAPSHOT, "x.pxar", tmp_path / "out", limit=SOON)
    assert result.exit in (1, 3), result.stderr
    assert not (tmp_path / "out").exists()


def test_missing_files(filled: Repo, tmp_path: Path) -> None:
    for name, archive in (("disk.img.fidx", "disk.img"), ("etc.conf.blob", "etc.conf"), ("root.pxar.didx", "root.pxar")):
        (filled.store / SNAPSHOT / name).unlink()
        filled.client.expect_failure(4, name, "restore", SNAPSHOT, archive, tmp_path / "out")
    (filled.store / SNAPSHOT / "index.json.blob").unlink()
    filled.client.expect_failure(4, "index.json.blob", "restore", SNAPSHOT, "root.pxar", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    others_are_intact(filled, tmp_path)


# ---- servers ----

def build_chunks(folder: Path, client: Client) -> None:
    """One snapshot of many chunks."""
    source = small_tree(folder / "source", entries=20)
    for i in range(10):
        (source / f"big{i}").write_bytes(noise(i, 200_000))
    client.backup(f"root.pxar:{source}", "--chunk-size", "64")
    assert_holds(folder / "store1", SNAPSHOT, "root.pxar", source)


@pytest.fixture
def small(prebuilt: Callable[..., Path]) -> Path:
    return prebuilt("chunks", build_chunks)


PLACES = ["POST *access/ticket", "GET *snapshots", "upgrade reader", "GET /download#1", "GET /download#2", "chunk-read#1", "GET /chunk#7"]
MISDEEDS = [(where, what) for where in PLACES for what in ("status=500,out of order", "reset", "rst-stream", "short=20", "corrupt=1")
            if where != "upgrade reader" or "=" not in what or "status" in what]  # its answer has no body
MISDEEDS += [(where, what) for where in PLACES[-2:] for what in ("close", "goaway")]


@pytest.mark.parametrize(("where", "what"), MISDEEDS)
def test_server_that_misbehaves_once(small: Path, make_server: Callable[..., Server], make_client: Callable[..., Client],
                                     tmp_path: Path, where: str, what: str) -> None:
    server = make_server(store=small, faults=(f"{where}:{what}",))
    client = make_client(server)
    result = client.run("restore", "host/box", "root.pxar", tmp_path / "out", limit=SOON)
    assert len(server.events("fault")) == 1
    if where == "GET *snapshots" and what in ("reset", "rst-stream"):
        assert result.exit == 0, result.stderr  # a kept connection that turns out dead is opened once more
        return
    assert result.exit in (3, 4), result.stderr
    assert result.lines()[-1].startswith("Error: ")
    if what.startswith("status"):
        assert "out of order" in result.stderr and result.exit == 4
    client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "again")
    assert_same(tmp_path / "again", tmp_path / "source")


@pytest.mark.parametrize("what", ["lie=csum", "lie=size"])
def test_server_that_lies_about_an_index(small: Path, make_server: Callable[..., Server], make_client: Callable[..., Client],
                                         tmp_path: Path, what: str) -> None:
    client = make_client(make_server(store=small, faults=(f"GET /download#2:{what}",)))
    text = "wrong size for file 'root.pxar.didx'" if what == "lie=size" else "wrong checksum for file 'root.pxar.didx'"
    client.expect_failure(3, text, "restore", "host/box", "root.pxar", tmp_path / "out", limit=SOON)
    assert not (tmp_path / "out").exists()


def test_server_killed_while_it_is_read(small: Path, make_server: Callable[..., Server], make_client: Callable[..., Client],
                                        tmp_path: Path) -> None:
    server = make_server(store=small, faults=("GET /chunk#9:stall",))
    client = make_client(server)
    process = client.start("restore", "host/box", "root.pxar", tmp_path / "out")
    server.wait_for("fault")
    server.kill()
    _, err = process.communicate(timeout=SOON)
    assert process.returncode == 4, err
    other = make_client(make_server(store=small))
    other.expect_ok("restore", "host/box", "root.pxar", tmp_path / "again")
    assert_same(tmp_path / "again", tmp_path / "source")
    assert_sound(small, snapshots=1)


def test_interrupted(small: Path, make_server: Callable[..., Server], make_client: Callable[..., Client], tmp_path: Path) -> None:
    server = make_server(store=small, faults=("GET /chunk#9:stall",))
    client = make_client(server)
    process = client.start("restore", "host/box", "root.pxar", tmp_path / "out")
    server.wait_for("fault")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SOON)
    assert process.returncode == 130, err
    client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "again")
    assert_same(tmp_path / "again", tmp_path / "source")


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_image_leaves_no_half_file(prebuilt: Callable[..., Path], make_server: Callable[..., Server],
                                               make_client: Callable[..., Client], tmp_path: Path, sig: signal.Signals) -> None:
    server = make_server(store=prebuilt("groups", build_groups), faults=("GET /chunk#2:stall",))
    (tmp_path / "target").mkdir()
    process = make_client(server).start("restore", SNAPSHOT, "disk.img", tmp_path / "target" / "out")
    server.wait_for("fault")
    process.send_signal(sig)
    _, err = process.communicate(timeout=SOON)
    assert process.returncode == 130, err
    assert list((tmp_path / "target").iterdir()) == []


def test_snapshot_that_is_read_cannot_be_removed(small: Path, make_server: Callable[..., Server], make_client: Callable[..., Client],
                                                 tmp_path: Path) -> None:
    server = make_server(store=small, faults=("GET /chunk#9:delay=1500",))
    client = make_client(server)
    process = client.start("restore", "host/box", "root.pxar", tmp_path / "out")
    server.wait_for("fault")
    client.expect_failure(4, "failed to delete snapshot - ", "snapshot", "forget", SNAPSHOT)
    _, err = process.communicate(timeout=SOON)
    assert process.returncode == 0, err
    assert_same(tmp_path / "out", tmp_path / "source")
    assert_sound(small, snapshots=1)
    client.expect_ok("snapshot", "forget", SNAPSHOT)


# ---- targets ----

@pytest.mark.skipif(not ROOT_USER, reason="mounting needs root")
@pytest.mark.parametrize("archive", ["root.pxar", "disk.img"])
def test_target_that_is_full(dir_repo: Repo, tmp_path: Path, archive: str) -> None:
    source = small_tree(tmp_path / "source", entries=10)
    (source / "big").write_bytes(noise(1, 4 << 20))
    dir_repo.client.backup(f"root.pxar:{source}", f"disk.img:{source / 'big'}")
    target = tmp_path / "tiny"
    target.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(target)], capture_output=True).returncode != 0:
        pytest.skip("cannot mount here")
    try:
        dir_repo.client.expect_failure(1, "No space left on device", "restore", "host/box", archive, target / "out", limit=SOON)
        if archive == "disk.img":
            assert list(target.iterdir()) == []
    finally:
        subprocess.run(["umount", str(target)], check=True)
    assert_sound(dir_repo.store, snapshots=1)
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", source)


def test_standard_output_that_closes_early(filled: Repo, tmp_path: Path) -> None:
    process = filled.client.start("restore", SNAPSHOT, "disk.img", "-")
    assert process.stdout
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr
    text = process.stderr.read().decode()
    assert process.wait(timeout=SOON) == 1 and "roken pipe" in text, text
