# covers: BKP-226 BKP-227 BKP-230 CDM-001 CDM-003 CDM-005 CDM-006 CDM-010 CDM-011 CDM-012 CDM-021 CDM-024 CDM-025
# covers: CDM-026 CDM-027 CDM-028 CDM-029 CDM-030 CDM-031 CDM-032 CDM-033 CDM-037 CDM-044 CDM-093 CDM-101 CDM-102
# covers: CDM-104 CDM-116 CDM-120 CDM-121 CDM-122 CDM-123 CDM-124 CDM-125 CDM-129 CDM-132 CDM-163 CDM-164 CHK-084
# SPDX-License-Identifier: MIT
"""Backups in metadata mode: what is re-used of the previous snapshot, what is not, and that every snapshot holds its source."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lib_damage import index_rows, repack_manifest, rows_of
from support import (CLIENT_OUTPUT, KEYFILE, ROOT_USER, T0, Client, Repo, Server, assert_holds, assert_same, assert_sound,
                     golden_tree, manifest_of, noise, oracle_store, program, scenario, small_tree, snapshot_dirs, snapshots_of)

SPLIT = ("root.ppxar.didx", "root.mpxar.didx")
USING = "Using previous index as metadata reference for 'root.mpxar.didx'"
SUMMARY = "Change detection summary:"


def tree_of(path: Path, files: int = 200, size: int = 3000, seed: int = 1) -> Path:
    for i in range(files):
        folder = path / f"d{i * 4 // files}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{i:04d}").write_bytes(noise(1000 * seed + i, size + i))
        os.utime(folder / f"f{i:04d}", ns=(0, (T0 - i) * 10**9 + i))
    return path


class Run:
    """One backup: its figures by archive name, and what it said."""

    def __init__(self, client: Client, source: Path, at: int, *extra: str, mode: str = "metadata",
                 chunk_size: int = 64) -> None:
        args = ["backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + at), "--chunk-size",
                str(chunk_size), "--change-detection-mode", mode, "--output-format", "json", *extra]
        result = client.expect_ok(*args)
        self.lines = [line.rstrip() for line in result.lines()]
        self.archives: dict[str, dict[str, Any]] = {a["name"]: a for a in result.json()["archives"]}

    @property
    def payload(self) -> dict[str, Any]:
        return self.archives["root.ppxar.didx"]

    def summary(self) -> list[str]:
        at = self.lines.index(SUMMARY)
        return self.lines[at + 1:at + 5]

    def assert_no_reference(self) -> None:
        assert USING not in self.lines and SUMMARY not in self.lines
        assert self.payload["injected_chunks"] == 0 and self.payload["reused_files"] == 0


# ---- re-use ----

def test_generations(repo: Repo, tmp_path: Path) -> None:
    """data, metadata unchanged, again, 1 % touched, files changed, removed and added."""
    source = tree_of(tmp_path / "source", size=15_000)
    Run(repo.client, source, 0, mode="data")
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source)

    first = Run(repo.client, source, 1)
    assert first.lines.index(USING) > [i for i, x in enumerate(first.lines) if x.startswith("Upload directory ")][0]
    assert first.summary()[0] == " - 200 total files (0 hardlinks)"
    assert first.payload["reused_files"] == 200 and first.payload["new_chunks"] == 2  # start and tail markers
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source)

    again = Run(repo.client, source, 2)
    assert again.payload["reused_files"] == 200 and again.payload["new_chunks"] == 0
    assert index_rows(repo.store, 1) == index_rows(repo.store, 2)

    for i in (50, 121):
        (source / f"d{i * 4 // 200}" / f"f{i:04d}").touch()
    touched = Run(repo.client, source, 3)
    assert 100 < touched.payload["reused_files"] < 199
    assert touched.payload["new_bytes"] < touched.payload["size"] // 3
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source)

    (source / "d0" / "f0003").write_bytes(noise(77, 100_000))
    (source / "d1" / "f0060").unlink()
    (source / "d2" / "new").write_bytes(b"new")
    shutil.rmtree(source / "d3")
    changed = Run(repo.client, source, 4)
    assert changed.payload["reused_files"] > 50
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source)
    assert_sound(repo.store, snapshots=5)

    repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", source)


def test_padding_is_what_no_reference_needs(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(dir_repo.client, source, 0, mode="data")
    (source / "d1" / "f0070").touch()
    run = Run(dir_repo.client, source, 1)
    rows, before = index_rows(dir_repo.store, 1), {d for _, d in index_rows(dir_repo.store, 0)}
    assert rows[-1][0] == run.payload["size"]
    reused = run.payload["reused_bytes"] + 16 * run.payload["reused_files"]
    starts = [0, *[end for end, _ in rows]]
    known = sum(end - starts[i] for i, (end, digest) in enumerate(rows) if digest in before)
    assert run.payload["injected_bytes"] <= known
    assert run.payload["size"] - run.payload["injected_bytes"] == 32 + sum(
        a["file_bytes"] - a["reused_bytes"] + 16 * (a["files"] - a["reused_files"]) for a in [run.payload])
    assert run.payload["injected_bytes"] >= reused


def test_random_trees(repo: Repo, tmp_path: Path) -> None:
    """Links, devices, empty files, odd names; a random half of the files is touched, some removed."""
    source = small_tree(tmp_path / "source", seed=5, entries=120)
    Run(repo.client, source, 0, mode="data")
    for at in range(1, 4):
        plain = sorted(p for p in source.rglob("*") if p.is_file() and not p.is_symlink())
        for i, p in enumerate(plain):
            if i % 9 == at:
                os.utime(p, ns=(0, (T0 + at) * 10**9))
            elif i % 17 == at and p.stat().st_nlink == 1:
                p.unlink()
        run = Run(repo.client, source, at)
        assert SUMMARY in run.lines
        assert_holds(repo.store, "host/box/latest", "root.mpxar", source)
    assert_sound(repo.store, snapshots=4)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_contents_of_reused_files_are_not_read(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(dir_repo.client, source, 0, mode="data")
    (source / "d3" / "f0199").touch()
    trace = tmp_path / "trace"
    args = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=read,readv,pread64,preadv,mmap,sendfile,copy_file_range",
            program(), "backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 1), "--chunk-size", "64",
            "--change-detection-mode", "metadata", "--output-format", "json"]
    done = subprocess.run(args, env={**dir_repo.client.env, "ASAN_OPTIONS": "detect_leaks=0"}, capture_output=True, timeout=120)
    if b"ptrace" in done.stderr.lower():
        pytest.skip("tracing is not permitted here")
    assert done.returncode == 0, done.stderr
    reused = next(a for a in json.loads(done.stdout)["archives"] if a["name"] == SPLIT[0])["reused_files"]
    read = set(re.findall(re.escape(str(source)) + r"/(d\d/f\d{4})>", trace.read_text()))
    assert "d3/f0199" in read
    assert len(read) == 200 - reused and reused > 150


def test_descriptors_are_few_enough(dir_repo: Repo, tmp_path: Path) -> None:
    """A low limit of open files only costs re-use."""
    import resource
    source = tree_of(tmp_path / "source", files=400, size=1000)
    Run(dir_repo.client, source, 0, mode="data")
    args = ("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 1), "--chunk-size", "64",
            "--change-detection-mode", "metadata")
    result = dir_repo.client.expect_ok(*args, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
    assert "resource limit for open file handles low: 200" in result.stderr
    assert " - 400 total files (0 hardlinks)" in result.stderr
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)


def test_attributes_of_reused_files_are_the_new_ones(dir_repo: Repo, tmp_path: Path) -> None:
    """A new value of an extended attribute re-uses the payload and is archived; a new attribute does not."""
    source = tree_of(tmp_path / "source", files=60)
    target = source / "d1" / "f0020"
    try:
        os.setxattr(target, "user.a", b"1")
    except OSError:
        pytest.skip("no extended attributes on this file system")
    Run(dir_repo.client, source, 0, mode="data")
    os.setxattr(target, "user.a", b"2")
    assert Run(dir_repo.client, source, 1).payload["reused_files"] == 60
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)
    os.setxattr(target, "user.b", b"")
    assert Run(dir_repo.client, source, 2).payload["reused_files"] < 60
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)


def test_no_files_at_all(dir_repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    Run(dir_repo.client, tmp_path / "source", 0, mode="data")
    run = Run(dir_repo.client, tmp_path / "source", 1)
    assert run.summary() == [" - 0 total files (0 hardlinks)", " - 0 unchanged, reusable files with 0 B data",
                             " - 0 changed or non-reusable files with 0 B data", " - 0 B padding in 0 partially reused chunks"]
    assert [d.hex() for _, d in index_rows(dir_repo.store, 1)] == [
        "564ec2fcce3caf1c2c13c24f67af54095c5a0df7f47a6298365358d07baa67ff"]


def test_other_chunk_size(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(dir_repo.client, source, 0, mode="data")
    run = Run(dir_repo.client, source, 1, chunk_size=256)
    assert run.payload["reused_files"] == 200
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)


def test_several_archives(repo: Repo, tmp_path: Path) -> None:
    one, two = tree_of(tmp_path / "one", seed=1), tree_of(tmp_path / "two", seed=2)
    for at in range(2):
        result = repo.client.expect_ok("backup", f"one.pxar:{one}", f"two.pxar:{two}", "--backup-id", "box", "--backup-time",
                                str(T0 + at), "--change-detection-mode", "metadata", "--chunk-size", "64",
                                "--output-format", "json")
    assert [a.get("reused_files") for a in result.json()["archives"]] == [200, None, 200, None]
    assert_holds(repo.store, "host/box/latest", "one.mpxar", one)
    assert_holds(repo.store, "host/box/latest", "two.mpxar", two)


def own(group: Path) -> None:
    """Gives a group of the original's to the user of dir: repositories."""
    (group / "owner").write_text("root@pam\n")


@pytest.mark.skipif(not ROOT_USER, reason="the tree has owners and devices: root only")
@pytest.mark.parametrize("generation", [1, 2])
def test_same_as_the_original(generation: int, golden_store: Path, make_client: Callable[..., Client], tmp_path: Path) -> None:
    """On the datastore that the original wrote, the run that it made: same metadata archive, same re-used chunks, same
    summary, and what it made can be the reference of ours."""
    runs = [s for s in snapshot_dirs(golden_store) if s.path.startswith("host/reuse/")]
    source = tmp_path / "tree"
    for g in range(generation + 1):
        scenario("one-file-changed", source, g)
    archive, payload = (rows_of(golden_store / runs[generation].path / name) for name in ("root.mpxar.didx", "root.ppxar.didx"))
    old = {digest for _, digest in rows_of(golden_store / runs[generation - 1].path / "root.ppxar.didx")}
    for s in runs[generation:]:
        shutil.rmtree(golden_store / s.path)
    own(golden_store / "host" / "reuse")
    client = make_client(PBS_REPOSITORY=f"dir:{golden_store}")
    result = client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "reuse", "--backup-time", str(T0 + 5000),
                       "--change-detection-mode", "metadata", "--chunk-size", "64")
    lines = [line.rstrip() for line in result.lines()]
    wanted = [line.rstrip() for line in (CLIENT_OUTPUT / f"reuse-{generation}.txt").read_text().splitlines()]
    at = wanted.index(SUMMARY)
    assert lines[lines.index(SUMMARY):][:5] == wanted[at:at + 5]
    new = next(s for s in snapshot_dirs(golden_store) if s.path.startswith("host/reuse/") and s not in runs)
    assert rows_of(golden_store / new.path / "root.mpxar.didx") == archive
    made = rows_of(golden_store / new.path / "root.ppxar.didx")
    assert [row for row in made if row[1] in old] == [row for row in payload if row[1] in old]
    assert made[-1] == payload[-1]
    assert_holds(golden_store, new.path, "root.mpxar", source)


@pytest.mark.skipif(not ROOT_USER, reason="the tree has owners and devices: root only")
def test_on_an_encrypted_backup_of_the_original(golden_store: Path, make_client: Callable[..., Client], tmp_path: Path) -> None:
    source = golden_tree("special-files", tmp_path / "tree")
    own(golden_store / "host" / "enc")
    client = make_client(PBS_REPOSITORY=f"dir:{golden_store}")
    result = client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "enc", "--backup-time", str(T0 + 5000),
                       "--change-detection-mode", "metadata", "--keyfile", KEYFILE)
    assert USING in [line.rstrip() for line in result.lines()]
    assert_holds(golden_store, "host/enc/latest", "root.mpxar", source, keyed=True)


# ---- requests ----

def test_requests(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    """A second session on the previous snapshot; the payload index through the writer, no payload chunk read."""
    source = tree_of(tmp_path / "source")
    Run(client, source, 0, mode="data")
    before = len(pbs_server.events("request"))
    Run(client, source, 1)
    paths = [(e["method"], e["path"].rpartition("/")[2], e.get("params") or {}) for e in pbs_server.events("request")[before:]]
    names = [name for _, name, _ in paths]
    assert names.count("previous_backup_time") == 2
    assert names.count("previous") >= 4  # manifest, payload index for reference and known chunks, metadata index
    assert "download" in names and "chunk" in names
    payload = {d.hex() for _, d in index_rows(pbs_server.store, 0)}
    read = [json.dumps(p) for _, name, p in paths if name == "chunk"]
    assert read and not any(d in line for d in payload for line in read)
    assert len([e for e in pbs_server.events("chunk")]) > 0


# ---- no reference ----

def test_first_backup(repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    run = Run(repo.client, source, 0)
    assert "No previous manifest available." in run.lines
    run.assert_no_reference()
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source)


def test_after_legacy(repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(repo.client, source, 0, mode="data")
    Run(repo.client, source, 1, mode="legacy")
    run = Run(repo.client, source, 2)
    run.assert_no_reference()
    assert not [line for line in run.lines if "without reference" in line]
    assert Run(repo.client, source, 3).payload["reused_files"] == 200
    assert_sound(repo.store, snapshots=4)


def test_data_mode_uses_no_reference(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(dir_repo.client, source, 0)
    run = Run(dir_repo.client, source, 1, mode="data")
    run.assert_no_reference()
    assert run.payload["new_chunks"] == 0


def test_previous_metadata_index_is_gone(repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(repo.client, source, 0, mode="data")
    (repo.store / snapshot_dirs(repo.store)[0].path / "root.mpxar.didx").unlink()
    run = Run(repo.client, source, 1)
    assert "No previous metadata index, continue without reference" in run.lines
    run.assert_no_reference()
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source)


def test_previous_payload_index_is_not_in_the_manifest(repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(repo.client, source, 0, mode="data")

    def drop(manifest: dict[str, Any]) -> None:
        manifest["files"] = [f for f in manifest["files"] if f["filename"] != "root.ppxar.didx"]

    repack_manifest(repo.store, 0, drop)
    run = Run(repo.client, source, 1)
    assert "No previous payload index found in manifest, continue without reference" in run.lines
    run.assert_no_reference()
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source)


def test_other_crypt_mode(repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    key = ("--keyfile", str(KEYFILE))
    Run(repo.client, source, 0, *key, "--crypt-mode", "sign-only", mode="data")
    run = Run(repo.client, source, 1, *key, "--crypt-mode", "encrypt")
    assert "Crypt mode mismatch, continue without reference" in run.lines
    run.assert_no_reference()
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source, keyed=True)
    encrypted = Run(repo.client, source, 2, *key)
    assert encrypted.payload["reused_files"] == 200
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source, keyed=True)
    plain = Run(repo.client, source, 3)  # the manifest names a key, none is given
    assert any(line.startswith("Couldn't re-use previous manifest") for line in plain.lines)
    plain.assert_no_reference()
    assert_sound(repo.store, keyed=True, snapshots=4)


# ---- damaged reference ----

def expect_failure(client: Client, source: Path, text: str) -> None:
    result = client.run("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 9), "--chunk-size",
                        "64", "--change-detection-mode", "metadata")
    assert result.exit in (1, 3, 4) and text in result.stderr, result.stderr


def test_previous_payload_index_is_gone(repo: Repo, tmp_path: Path) -> None:
    """Listed, but not to be had: the backup ends (BKP-230)."""
    source = tree_of(tmp_path / "source")
    Run(repo.client, source, 0, mode="data")
    (repo.store / snapshot_dirs(repo.store)[0].path / "root.ppxar.didx").unlink()
    expect_failure(repo.client, source, "root.ppxar.didx")
    assert len(snapshots_of(repo.store)) == 1


def test_previous_metadata_chunk_is_gone(repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(repo.client, source, 0, mode="data")
    for _, digest in index_rows(repo.store, 0, "root.mpxar.didx"):
        (repo.store / ".chunks" / digest.hex()[:4] / digest.hex()).unlink()
    expect_failure(repo.client, source, "chunk")
    assert len(snapshots_of(repo.store)) == 1


def test_manifest_order_and_markers(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    Run(dir_repo.client, source, 0, mode="data")
    Run(dir_repo.client, source, 1)
    files = manifest_of(dir_repo.store, snapshots_of(dir_repo.store)[-1]).files
    assert [f.filename for f in files] == list(SPLIT)
    rows = index_rows(dir_repo.store, 1)
    assert rows[0] == (16, bytes.fromhex("c3aef320d932bc67b7e919943a7ecac2c743d1af285f1d912d6f3f4a647f60a5"))
    assert rows[-1][1].hex() == "d0947d64cf10fd8e368128d3f5b4c33a4926b2887d9950b5c3d43e5e32835a07"
    ends = [end for end, _ in rows]
    assert ends == sorted(set(ends))


def test_the_mode_concerns_directories_only(dir_repo: Repo, tmp_path: Path) -> None:
    """CDM-001: legacy is the default, names of modes are lower case, images and files are the same in each of them."""
    source = tree_of(tmp_path / "source", files=3)
    (tmp_path / "disk").write_bytes(noise(5, 9_000_000))
    (tmp_path / "note").write_text("a note\n")
    specs = [f"root.pxar:{source}", f"disk.img:{tmp_path / 'disk'}", f"a.conf:{tmp_path / 'note'}"]
    stored: dict[str, dict[str, bytes]] = {}
    for n, mode in enumerate(("", "legacy", "data", "metadata")):
        how = ["--change-detection-mode", mode] if mode else []
        dir_repo.client.expect_ok("backup", *specs, "--backup-id", "box", "--backup-time", str(T0 + n), *how)
        folder = max(p for p in (dir_repo.store / "host" / "box").iterdir() if p.is_dir())
        stored[mode] = {p.name: p.read_bytes() for p in folder.iterdir()}
    split = {"root.mpxar.didx", "root.ppxar.didx"}
    assert stored[""].keys() == stored["legacy"].keys() and "root.pxar.didx" in stored[""]
    assert split <= stored["data"].keys() and split <= stored["metadata"].keys()
    for mode in stored:
        assert stored[mode]["disk.img.fidx"][4096:] == stored[""]["disk.img.fidx"][4096:]
        assert stored[mode]["a.conf.blob"] == stored[""]["a.conf.blob"]
    dir_repo.client.expect_failure(2, "Metadata", "backup", specs[0], "--change-detection-mode", "Metadata")
