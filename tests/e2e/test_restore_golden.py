# covers: API-090 API-092 API-093 API-097 API-107 BLOB-087 CAT-083 CRY-042 IDX-100 IDX-109 MAN-048 MAN-052 MAN-053 MAN-074 RDR-051
# covers: RDR-052 RDR-053 RDR-054 RDR-060 RDR-061
# SPDX-License-Identifier: MIT
"""A datastore of the original server: listed, verified and restored, every snapshot, through a server and without one."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import (CLIENT_OUTPUT, KEYFILE, ROOT_USER, Client, Repo, Server, assert_same, assert_sound, golden_module,
                     golden_tree, oracle_store, scenario, small_tree, stored_bytes)

from oracle import tree
from oracle.patterns import Selection, parse

T1, T2, T3 = "2023-11-14T22:13:20Z", "2023-11-14T22:15:00Z", "2023-11-14T22:16:40Z"
# snapshot, tree of trees.py, whether it needs the key, what was left out
SNAPSHOTS = [
    (f"host/legacy/{T1}", "nested", False, []), (f"host/legacy/{T2}", "nested", False, []),
    (f"host/split/{T1}", "nested", False, []), (f"host/split/{T2}", "nested", False, []),
    (f"host/excludes/{T1}", "nested", False, ["leaf", "/d0/d1"]), (f"host/mixed/{T1}", "special-files", False, []),
    (f"host/sign/{T1}", "special-files", True, []), (f"host/enc/{T1}", "special-files", True, []),
    (f"host/enc/{T2}", "special-files", True, []),
]
needs_root = pytest.mark.skipif(not ROOT_USER, reason="owners and devices need root")


@pytest.fixture(params=["tls", "dir"])
def gold(request: pytest.FixtureRequest, golden_store: Path, open_repo: Callable[[str, Path], Repo]) -> Repo:
    return open_repo(request.param, golden_store)


def golden_json(name: str) -> Any:
    """What the original client printed, without the command line and the exit status."""
    text = (CLIENT_OUTPUT / f"{name}.txt").read_text()
    return json.loads(text.partition("\n")[2].rpartition("exit ")[0])


def in_order(items: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Order of lists is the server's; files of a group are in directory order."""
    for item in items:
        if item["files"] and isinstance(item["files"][0], str):
            item["files"] = sorted(item["files"])
    return sorted(items, key=lambda item: [item[k] for k in keys])


def test_lists_are_the_original_ones(gold: Repo) -> None:
    ours = gold.client.expect_ok("list", "--output-format", "json-pretty").json()
    assert in_order(ours, "backup-id") == in_order(golden_json("list-groups"), "backup-id")
    ours = gold.client.expect_ok("snapshot", "list", "--output-format", "json-pretty").json()
    assert in_order(ours, "backup-id", "backup-time") == in_order(golden_json("list"), "backup-id", "backup-time")


def test_outputs_are_the_original_ones_to_the_byte(gold: Repo) -> None:
    for name, args in (("files", ["snapshot", "files", f"host/split/{T2}"]),
                       ("prune-dry", ["prune", "host/reuse", "--keep-last", "1", "--dry-run", "1"])):
        text = (CLIENT_OUTPUT / f"{name}.txt").read_text().partition("\n")[2].rpartition("exit ")[0]
        assert gold.client.expect_ok(*args, "--output-format", "json-pretty").stdout == text
    for name, snapshot in (("catalog-legacy", f"host/legacy/{T1}"), ("catalog-split", f"host/split/{T2}")):
        wanted = [line.rstrip() for line in (CLIENT_OUTPUT / f"{name}.txt").read_text().splitlines()[1:-1]]
        assert gold.client.expect_ok("catalog", "dump", snapshot).lines() == wanted


def test_error_texts_are_the_original_ones(gold: Repo, tmp_path: Path) -> None:
    for name, code, args in (("restore-bad-archive", 1, [f"host/reuse/{T1}", "nosuch.pxar"]),
                             ("restore-bad-snapshot", 4, ["host/reuse/2023-11-14T22:13:21Z", "root.pxar"]),
                             ("wrong-key", 3, [f"host/enc/{T1}", "root.pxar"])):
        text = (CLIENT_OUTPUT / f"{name}.txt").read_text().splitlines()[1]
        gold.client.expect_failure(code, text, "restore", *args, tmp_path / "out")


def test_store_verify(golden_store: Path, make_client: Callable[..., Client]) -> None:
    client = make_client()
    before = {p: p.stat().st_mtime_ns for p in golden_store.rglob("*") if p.is_file()}
    report = client.expect_ok("store", "verify", golden_store, "--output-format", "json").json()
    assert len(report["snapshots"]) == 12
    assert all(s["ok"] and s["problems"] == [] for s in report["snapshots"])
    assert_sound(golden_store, keyed=True, snapshots=12)
    assert {p: p.stat().st_mtime_ns for p in golden_store.rglob("*") if p.is_file()}.keys() >= before.keys()
    stat = client.expect_ok("store", "stat", golden_store, "--output-format", "json").json()
    assert (stat["groups"], stat["snapshots"], stat["bad-chunks"]) == (7, 12, 0)
    gc = client.expect_ok("store", "gc", golden_store, "--dry-run", "--output-format", "json").json()
    assert (gc["removed-chunks"], gc["missing-chunks"]) == (0, 0)


@needs_root
def test_every_tree(gold: Repo, tmp_path: Path) -> None:
    sources = {name: golden_tree(name, tmp_path / f"source-{name}") for name in ("nested", "special-files")}
    for snapshot, name, keyed, excluded in SNAPSHOTS:
        out = tmp_path / "out"
        gold.client.expect_ok("restore", snapshot, "root.pxar", out, *(["--keyfile", KEYFILE] if keyed else []))
        wanted = tree.scan(str(sources[name]), Selection([parse(p.encode()) for p in excluded]))
        found = tree.scan(str(out), Selection([]))
        if ".pxarexclude-cli" in [p.name for p in out.iterdir()]:
            found.pop(b".pxarexclude-cli")
        assert tree.compare(found, wanted) == [], snapshot
        shutil.rmtree(out)


@needs_root
def test_reuse_generations(gold: Repo, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for generation, time in enumerate((T1, T2, T3)):
        scenario("one-file-changed", source, generation)
        gold.client.expect_ok("restore", f"host/reuse/{time}", "root.pxar", tmp_path / f"out{generation}")
        assert_same(tmp_path / f"out{generation}", source)


def test_image_and_files(gold: Repo, tmp_path: Path) -> None:
    noise = golden_module("trees").noise
    image = noise(42, 65536) * 64 + bytes(4 << 20) + noise(43, 10000) * 100
    assert gold.client.expect_ok("restore", "host/mixed", "disk.img", "-").out == image
    assert gold.client.expect_ok("restore", "host/mixed", "etc.conf", "-").out == b"key: value\n"
    for time in (T1, T2):
        assert gold.client.expect_ok("restore", f"host/enc/{time}", "etc.conf", "-", "--keyfile", KEYFILE).out == b"key: value\n"
        gold.client.expect_ok("restore", f"host/enc/{time}", "etc.conf", tmp_path / time, "--keyfile", KEYFILE)
        assert (tmp_path / time).read_bytes() == b"key: value\n"


def test_key_is_needed(gold: Repo, tmp_path: Path) -> None:
    text = "missing key - manifest was created with key 3b:7f:37:5f:ec:7c:c9:24"
    for snapshot in (f"host/enc/{T1}", f"host/enc/{T2}", f"host/sign/{T1}"):
        gold.client.expect_failure(3, text, "restore", snapshot, "root.pxar", tmp_path / "out")
        gold.client.expect_failure(3, text, "catalog", "dump", snapshot)
        assert not (tmp_path / "out").exists()
    gold.client.expect_failure(1, "", "restore", f"host/enc/{T1}", "root.pxar", tmp_path / "out", "--keyfile", "/nonexistent")
    (tmp_path / "broken").write_text('{"kdf":null}')
    gold.client.expect_failure(3, "key file", "restore", f"host/enc/{T1}", "root.pxar", tmp_path / "out", "--keyfile", tmp_path / "broken")


def test_wrong_key(gold: Repo, tmp_path: Path) -> None:
    import base64
    found = json.loads(KEYFILE.read_text())
    found["data"] = base64.b64encode(bytes(32)).decode()
    found.pop("fingerprint")
    (tmp_path / "wrong").write_text(json.dumps(found))
    for snapshot in (f"host/enc/{T1}", f"host/sign/{T1}"):
        gold.client.expect_failure(3, "wrong key - ", "restore", snapshot, "root.pxar", tmp_path / "out", "--keyfile", tmp_path / "wrong")
    assert not (tmp_path / "out").exists()


def test_key_from_a_descriptor_and_the_default_place(gold: Repo, tmp_path: Path) -> None:
    with open(KEYFILE) as f:
        result = gold.client.expect_ok("restore", "host/enc", "etc.conf", "-", "--keyfd", str(f.fileno()), pass_fds=(f.fileno(),))
    assert result.out == b"key: value\n"
    assert "Using encryption key from file descriptor.." in result.lines()
    assert "Encryption key fingerprint: 3b:7f:37:5f:ec:7c:c9:24" in result.lines()
    place = gold.client.home / ".config/proxmox-backup/encryption-key.json"
    place.parent.mkdir(parents=True)
    shutil.copy(KEYFILE, place)
    result = gold.client.expect_ok("restore", "host/enc", "etc.conf", "-")
    assert result.out == b"key: value\n" and "Using default encryption key.." in result.lines()


def test_signed_manifest_that_was_changed(gold: Repo, tmp_path: Path) -> None:
    from oracle import blob
    path = gold.store / f"host/sign/{T1}/index.json.blob"
    text = json.loads(blob.decode(path.read_bytes()))
    text["files"][0]["size"] += 1
    path.write_bytes(blob.encode(json.dumps(text).encode()))
    gold.client.expect_failure(3, "signature", "restore", f"host/sign/{T1}", "root.pxar", tmp_path / "out", "--keyfile", KEYFILE)
    assert not (tmp_path / "out").exists()


def test_catalogs_of_encrypted_and_signed_snapshots(gold: Repo, tmp_path: Path) -> None:
    lines = gold.client.expect_ok("catalog", "dump", f"host/enc/{T2}", "--keyfile", KEYFILE).lines()
    assert 'f "./root.mpxar.didx/regular" 8 2023-11-14T22:13:20Z' in lines
    assert 'c "./root.mpxar.didx/null"' in lines and 'b "./root.mpxar.didx/disk"' in lines
    lines = gold.client.expect_ok("catalog", "dump", f"host/sign/{T1}", "--keyfile", KEYFILE).lines()
    assert 'f "./root.pxar.didx/regular" 8 2023-11-14T22:13:20Z' in lines and 's "./root.pxar.didx/socket"' in lines


def test_streams_equal_what_the_independent_reader_sees(gold: Repo, tmp_path: Path) -> None:
    for snapshot, _, keyed, _ in SNAPSHOTS:
        for name in (f.filename for f in oracle_store(gold.store).manifest(oracle_store(gold.store).find(snapshot)).files):
            if name.endswith((".mpxar.didx", ".ppxar.didx")):
                continue  # only as a pair
            data = gold.client.expect_ok("restore", snapshot, name, "-", *(["--keyfile", KEYFILE] if keyed else [])).out
            assert data == stored_bytes(gold.store, snapshot, name, tmp_path / "x", keyed=keyed), (snapshot, name)


@needs_root
def test_backup_goes_on_where_the_original_left(gold: Repo, tmp_path: Path) -> None:
    """The previous snapshots are the original's: chunks of equal trees are known."""
    source = golden_tree("nested", tmp_path / "source")
    for group in ("legacy", "split"):
        (gold.store / "host" / group / "owner").write_text("root@pam\n")
    result = gold.client.backup(f"root.pxar:{source}", group="legacy", at=1_700_001_000)
    assert result["archives"][0]["new_chunks"] == 0
    result = gold.client.backup(f"root.pxar:{source}", group="split", at=1_700_001_000, mode="data")
    metadata = next(a for a in result["archives"] if a["name"] == "root.mpxar.didx")
    assert metadata["chunks"] > 0
    assert_sound(gold.store, keyed=True, snapshots=14)
    for group in ("legacy", "split"):
        gold.client.expect_ok("restore", f"host/{group}", "root.pxar", tmp_path / group)
        assert_same(tmp_path / group, source)


def test_foreign_group_is_refused(golden_store: Path, make_client: Callable[..., Client], make_server: Callable[..., Server],
                                  tmp_path: Path) -> None:
    client = make_client(make_server(store=golden_store))
    client.expect_failure(4, "backup owner check failed (root@pam != oracle@pbs)", "backup", f"a.pxar:{small_tree(tmp_path / 's')}",
                 "--backup-id", "legacy")
    assert_sound(golden_store, keyed=True, snapshots=12)
