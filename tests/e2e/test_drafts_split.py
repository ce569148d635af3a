# covers: CDM-065 CDM-067 CDM-081 CDM-082 SPL-001 SPL-002 SPL-003 SPL-004 SPL-010 SPL-012 SPL-014 SPL-015 SPL-020
# covers: SPL-025 SPL-026 SPL-039 SPL-045 SPL-046 SPL-047 SPL-048 SPL-049 SPL-050 SPL-051 SPL-052 SPL-060 SPL-061
# covers: SPL-062 SPL-063 SPL-064 SPL-065 SPL-066 SPL-067 SPL-068 SPL-070 SPL-075 SPL-076 SPL-077 SPL-078 SPL-080
# covers: SPL-081 SPL-082 SPL-090 SPL-092 SPL-100 SPL-101 SPL-102 SPL-103 SPL-104 SPL-105 SPL-107 SPL-108 SPL-120
# covers: SPL-121 SYS-001 SYS-003 SYS-005 SYS-006 SYS-007 SYS-008 SYS-009 SYS-010 SYS-011 SYS-012 SYS-013 SYS-014
# covers: SYS-016 SYS-017 SYS-015 SYS-018 SYS-019 SYS-020 SYS-021 SYS-022 SYS-023 SYS-024 SYS-025 SYS-064 SYS-065
# covers: SYS-071
# SPDX-License-Identifier: MIT
"""The draft with two streams, `.pxar.meta.didx` and `.pxar.pld.didx`: what is written, what is re-used, what fails how."""
from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from drafts import (CATALOG, DATA, META, NOT_RELEASED, PLAIN, PLD, USING_SPLIT, Draft, files_of, plain_tree, requests, rows,
                    split, split_model, stream)
from support import (KEYFILE, ROOT, ROOT_USER, T0, Client, Repo, Server, assert_holds, assert_same, assert_sound, golden_tree,
                     noise, oracle_store, small_tree, snapshot_dirs)

from oracle import chunker
from oracle.pxar import parse


# ---- what is written ----

def test_two_archives_and_a_catalog(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    """Names on the wire, order in the manifest, top directory of the catalog, the line that it is a draft."""
    source = small_tree(tmp_path / "source", seed=3)
    run = split(client, source, 0)
    created = [e["params"]["archive-name"] for e in requests(pbs_server, "POST", "/dynamic_index")]
    assert sorted(created) == sorted([META, PLD, CATALOG]) and created.index(META) < created.index(PLD)
    assert files_of(pbs_server.store) == [PLD, META, CATALOG]
    assert [line for line in run.lines if NOT_RELEASED in line] == [
        "format profile 'draft-split' is a draft that was never released: released software cannot read it"]
    assert f"Upload directory '{source}' to 'root@pam@127.0.0.1:{pbs_server.port}:{pbs_server.datastore}' as {META}" in run.lines \
        or any(line.startswith(f"Upload directory '{source}' to ") and line.endswith(f" as {META}") for line in run.lines)
    dump = client.expect_ok("catalog", "dump", "host/box/2023-11-14T22:13:20Z")
    tops = [line for line in dump.lines() if line.count("/") == 1]
    assert tops == [f'd "./{META}"']
    assert_sound(pbs_server.store, snapshots=1)


@pytest.mark.parametrize("exclude", [(), ("*7", "/nothing")])
def test_streams_are_those_of_the_independent_writer(dir_repo: Repo, tmp_path: Path, exclude: tuple[str, ...]) -> None:
    source = small_tree(tmp_path / "source", seed=11, entries=90)
    split(dir_repo.client, source, 0, *[f"--exclude={e}" for e in exclude])
    archive, payload = split_model(source, exclude)
    assert stream(dir_repo.store, 0, META, tmp_path) == archive
    assert stream(dir_repo.store, 0, PLD, tmp_path) == payload
    entries = parse(archive, payload)
    assert not any(item.type in ("PAYLOAD", "FORMAT_VERSION", "PRELUDE") for e in entries for item in e.items)
    assert (".pxarexclude-cli" in [os.fsdecode(e.path) for e in entries]) == bool(exclude)


def test_data_mode_is_one_self_contained_archive(dir_repo: Repo, tmp_path: Path) -> None:
    """The same bytes as the released legacy mode, in both drafts, under the same name, with the same catalog."""
    source = small_tree(tmp_path / "source", seed=4)
    dir_repo.client.backup(f"root.pxar:{source}", mode="legacy", at=T0)
    for at, profile in ((1, "draft-split"), (2, "draft-appendix")):
        run = Draft(dir_repo.client, profile, source, at, mode="data", chunk_size=4096)
        assert list(run.archives) == [PLAIN, CATALOG]
        assert stream(dir_repo.store, at, PLAIN, tmp_path) == stream(dir_repo.store, 0, PLAIN, tmp_path)
        assert stream(dir_repo.store, at, CATALOG, tmp_path) == stream(dir_repo.store, 0, CATALOG, tmp_path)
    assert_sound(dir_repo.store, snapshots=3)


@pytest.mark.skipif(not ROOT_USER, reason="golden trees have owners and devices")
def test_data_mode_equals_the_golden_archive(dir_repo: Repo, tmp_path: Path) -> None:
    """The tree of a golden version 1 archive, through the draft's data mode: byte for byte what the original made."""
    from support import GOLDEN
    source = golden_tree("hardlinks", tmp_path / "source")
    split(dir_repo.client, source, 0, mode="data")
    assert stream(dir_repo.store, 0, PLAIN, tmp_path) == (GOLDEN / "pxar" / "hardlinks.pxar").read_bytes()


@pytest.mark.parametrize("suffix", ["pld", "data"])
def test_any_name_restores_the_pair(dir_repo: Repo, tmp_path: Path, suffix: str) -> None:
    source = small_tree(tmp_path / "source", seed=6)
    split(dir_repo.client, source, 0, f"--payload-suffix={suffix}")
    assert files_of(dir_repo.store)[0] == {"pld": PLD, "data": DATA}[suffix]
    for i, name in enumerate(["root.pxar", "root.pxar.didx", "root.pxar.meta", META, "root.pxar.pld", PLD, "root.pxar.data", DATA]):
        dir_repo.client.expect_ok("restore", "host/box", name, tmp_path / f"out{i}")
        assert_same(tmp_path / f"out{i}", source)
    dir_repo.client.expect_failure(2, "unable to pipe split archive", "restore", "host/box", "root.pxar", "-")
    dir_repo.client.expect_failure(2, "needs --format-profile draft-split", "backup", f"root.pxar:{source}",
                                   "--payload-suffix", "data")


def test_payload_suffix_may_change_between_runs(dir_repo: Repo, tmp_path: Path) -> None:
    """A run that writes `.data` re-uses what one wrote as `.pld`."""
    source = plain_tree(tmp_path / "source")
    split(dir_repo.client, source, 0)
    run = split(dir_repo.client, source, 1, "--payload-suffix=data")
    assert USING_SPLIT in run.lines and run[DATA]["reused_files"] == 24
    assert_sound(dir_repo.store, snapshots=2)
    assert_holds(dir_repo.store, "host/box/latest", "root.pxar", source)


# ---- re-use ----

def test_generations(repo: Repo, tmp_path: Path) -> None:
    """Full, unchanged, again, changed: everything restores, unchanged payload is not sent."""
    source = plain_tree(tmp_path / "source", files=60, size=60_000)
    full = split(repo.client, source, 0)
    assert full[PLD]["reused_files"] == 0 and USING_SPLIT not in full.lines
    first = rows(repo.store, 0, PLD)
    for at in (1, 2):
        run = split(repo.client, source, at)
        assert USING_SPLIT in run.lines and run[PLD]["reused_files"] == 60
        assert run[PLD]["new_bytes"] * 100 < run[PLD]["size"]
        assert run[PLD]["injected_bytes"] <= run[PLD]["size"]
        digests = {d for _, _, d in first}
        assert sum(d not in digests for _, _, d in rows(repo.store, at, PLD)) <= 1  # the tail marker
        assert run[META]["size"] < 1024 * 62
        assert any("backup was done incrementally, reused " in line for line in run.lines)
        assert_holds(repo.store, "host/box/latest", "root.pxar", source)
    (source / "d1" / "f030").write_bytes(b"new content")
    (source / "d2" / "f059").unlink()
    (source / "d0" / "added").write_bytes(noise(5, 100_000))
    run = split(repo.client, source, 3)
    assert 40 <= run[PLD]["reused_files"] < 59
    assert_holds(repo.store, "host/box/latest", "root.pxar", source)
    repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", source)
    assert_sound(repo.store, snapshots=4)


def test_a_chunk_may_stand_at_the_very_beginning(dir_repo: Repo, tmp_path: Path) -> None:
    """Without start marker a re-used chunk can be the first thing in the stream, with padding before its first file."""
    source = plain_tree(tmp_path / "source", files=12, size=100_000)
    split(dir_repo.client, source, 0)
    (source / "d0" / "f000").unlink()
    run = split(dir_repo.client, source, 1)
    first = rows(dir_repo.store, 1, PLD)[0]
    assert first[2] in {d for _, _, d in rows(dir_repo.store, 0, PLD)} and run[PLD]["reused_files"] == 11
    payload = stream(dir_repo.store, 1, PLD, tmp_path)
    entries = parse(stream(dir_repo.store, 1, META, tmp_path), payload)
    first_file = next(e for e in entries if e.content is not None)
    assert first_file.content is not None and first_file.content.header > 0
    assert_holds(dir_repo.store, "host/box/latest", "root.pxar", source)
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out")
    assert_same(tmp_path / "out", source)


def test_metadata_alone_is_read_of_the_previous_snapshot(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    source = plain_tree(tmp_path / "source")
    split(client, source, 0)
    since = len(pbs_server.journal_lines())
    split(client, source, 1)
    read = {e["params"]["digest"] for e in requests(pbs_server, "GET", "/chunk", since)}
    assert read and read <= {d.hex() for _, _, d in rows(pbs_server.store, 0, META)}
    asked = [e["params"]["archive-name"] for e in requests(pbs_server, "GET", "/previous", since)]
    assert asked.count(META) == 1 and asked.count(PLD) == 2  # the reference, and what need not be sent


def test_profiles_do_not_take_each_other_for_a_reference(dir_repo: Repo, tmp_path: Path) -> None:
    """A snapshot of another format has no archive of that name: everything is encoded, without a word."""
    source = plain_tree(tmp_path / "source")
    dir_repo.client.backup(f"root.pxar:{source}", "--chunk-size=64", mode="metadata", at=T0)
    run = split(dir_repo.client, source, 1)
    assert USING_SPLIT not in run.lines and run[PLD]["reused_files"] == 0
    released = dir_repo.client.backup(f"root.pxar:{source}", "--chunk-size=64", mode="metadata", at=T0 + 2)
    assert released["archives"][0]["reused_files"] == 0
    run = Draft(dir_repo.client, "draft-appendix", source, 3)
    assert run[PLAIN]["reused_files"] == 0
    assert_sound(dir_repo.store, snapshots=4)


def test_encrypted(dir_repo: Repo, tmp_path: Path) -> None:
    """Both archives are encrypted; an unencrypted snapshot is no reference for an encrypted one."""
    source = plain_tree(tmp_path / "source")
    key = f"--keyfile={KEYFILE}"
    split(dir_repo.client, source, 0)
    run = split(dir_repo.client, source, 1, key)
    assert "Crypt mode mismatch, continue without reference" in run.lines and run[PLD]["injected_chunks"] == 0
    run = split(dir_repo.client, source, 2, key)
    assert USING_SPLIT in run.lines and run[PLD]["reused_files"] == 24
    found = oracle_store(dir_repo.store, keyed=True)
    assert [f.crypt_mode for f in found.manifest(found.snapshots()[-1]).files] == ["encrypt"] * 3
    assert_holds(dir_repo.store, "host/box/latest", "root.pxar", source, keyed=True)
    assert_sound(dir_repo.store, keyed=True, snapshots=3)
    dir_repo.client.expect_ok("restore", "host/box", "root.pxar", tmp_path / "out", key)
    assert_same(tmp_path / "out", source)


def test_only_listed_archives_are_split(dir_repo: Repo, tmp_path: Path) -> None:
    a, b = plain_tree(tmp_path / "a"), plain_tree(tmp_path / "b", seed=2)
    args = ["backup", f"root.pxar:{a}", f"b.pxar:{b}", "--backup-id", "box", "--format-profile", "draft-split"]
    dir_repo.client.expect_ok(*args, "--backup-time", str(T0), "--change-detection-mode", "metadata:root.pxar:other.pxar")
    assert files_of(dir_repo.store) == [PLD, META, "b.pxar.didx", CATALOG]
    dump = dir_repo.client.expect_ok("catalog", "dump", "host/box/2023-11-14T22:13:20Z")
    assert [line for line in dump.lines() if line.count("/") == 1] == [f'd "./{META}"', 'd "./b.pxar.didx"']
    assert_sound(dir_repo.store, snapshots=1)
    for name, source in (("root", a), ("b", b)):
        assert_holds(dir_repo.store, "host/box/latest", f"{name}.pxar", source)


def test_missing_payload_archive(dir_repo: Repo, tmp_path: Path) -> None:
    """Names and metadata can be had, contents not."""
    source = small_tree(tmp_path / "source")
    split(dir_repo.client, source, 0)
    from test_backup_metadata import repack_manifest
    repack_manifest(dir_repo.store, 0, lambda m: m["files"].pop(0))
    (dir_repo.store / snapshot_dirs(dir_repo.store)[0].path / PLD).unlink()
    dir_repo.client.expect_failure(1, "rule SPL-092", "restore", "host/box", "root.pxar", tmp_path / "out")
    assert dir_repo.client.expect_ok("catalog", "dump", "host/box/2023-11-14T22:13:20Z").lines()


def test_two_payload_archives_are_refused(dir_repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source")
    split(dir_repo.client, source, 0)
    from test_backup_metadata import repack_manifest

    def twice(manifest: dict[str, list[dict[str, object]]]) -> None:
        manifest["files"].append({**manifest["files"][0], "filename": DATA})

    repack_manifest(dir_repo.store, 0, twice)
    dir_repo.client.expect_failure(3, "rule SPL-014", "restore", "host/box", "root.pxar", tmp_path / "out")


# ---- chunks and limits ----

@pytest.mark.parametrize(("descriptors", "size", "average_kib", "reused"), [
    (1000, 100, 4096, 240),  # room for all of them: one range
    (240, 100, 4096, 0),     # two ranges that share a chunk: half of it is padding for each (CDM-065, CDM-067)
    (240, 30_000, 64, 240),  # two ranges of some 50 chunks each: what the shared one adds is below a tenth
])
@pytest.mark.parametrize(("profile", "name"), [("draft-split", PLD), ("released", "root.ppxar.didx")])
def test_unchanged_files_are_written_again_where_few_bytes_fit_into_the_look_ahead(
        dir_repo: Repo, tmp_path: Path, profile: str, name: str, descriptors: int, size: int, average_kib: int, reused: int) -> None:
    """SPL-108, CDM-081: as many entries wait as half the limit of open files; a full cache ends the range."""
    import resource
    source = plain_tree(tmp_path / "source", files=240, size=size)
    for at in range(2):
        run = Draft(dir_repo.client, profile, source, at, chunk_size=average_kib,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)))
    assert run[name]["reused_files"] == reused
    assert_holds(dir_repo.store, "host/box/latest", "root.pxar", source)


def test_each_stream_is_cut_by_the_plain_chunker(dir_repo: Repo, tmp_path: Path) -> None:
    """No suggested boundaries in this draft: cuts are those of the stream's bytes alone."""
    source = plain_tree(tmp_path / "source", files=40, size=300_000)
    split(dir_repo.client, source, 0, chunk_size=256)
    for name in (META, PLD):
        data = stream(dir_repo.store, 0, name, tmp_path)
        assert [end for _, end, _ in rows(dir_repo.store, 0, name)] == chunker.fast_cuts(data, 256 << 10)
    sizes = [end - start for start, end, _ in rows(dir_repo.store, 0, PLD)]
    assert 64 << 10 <= sum(sizes) // len(sizes) <= 1 << 20


@pytest.mark.parametrize("large_first", [True, False])
@pytest.mark.parametrize("profile", ["draft-split", "released"])
def test_unequal_streams_do_not_block_each_other(dir_repo: Repo, tmp_path: Path, profile: str, large_first: bool) -> None:
    """Many empty files and a large one, in either order; memory stays bounded."""
    source = tmp_path / "source"
    (source / "m").mkdir(parents=True)
    for i in range(15_000):
        (source / "m" / f"{i:05d}").touch()
    large = source / ("a" if large_first else "z")
    with open(large, "wb") as f:
        for i in range(24):
            f.write(noise(i, 4 << 20))
    result = dir_repo.client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0),
                                       "--change-detection-mode", "metadata", "--format-profile", profile, "--output-format", "json")
    if "ASAN_OPTIONS" not in os.environ.get("PBSREF", "") and "release" in os.path.realpath(os.environ.get("PBSREF", "release")):
        assert result.json()["peak_memory"] < 512 << 20
    assert_sound(dir_repo.store, snapshots=1)


# ---- failures ----

def failed_backup(server: Server, client: Client, source: Path, *extra: str) -> str:
    """The last line of a backup that fails; nothing is closed, and nothing is left."""
    since = len(server.journal_lines())
    result = client.run("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0), "--chunk-size", "64",
                        "--change-detection-mode", "metadata", "--format-profile", "draft-split", *extra)
    assert result.exit != 0
    assert not requests(server, "POST", "/finish", since) and not requests(server, "POST", "/dynamic_close", since)
    deadline = time.monotonic() + 20
    while snapshot_dirs(server.store) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert snapshot_dirs(server.store) == []
    return result.lines()[-1]


def test_both_uploads_fail(make_server: Callable[..., Server], make_client: Callable[..., Client], tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source")
    server = make_server(faults=("PUT /dynamic_index#*:status=400,bad day",))
    line = failed_backup(server, make_client(server), source)
    assert f"upload failed: cannot append to {META}: bad day - cannot append to {PLD}: bad day" in line


def test_one_upload_fails(make_server: Callable[..., Server], make_client: Callable[..., Client], tmp_path: Path) -> None:
    """Of the metadata archive or of the payload, whichever comes first; the other one goes on to its end."""
    source = small_tree(tmp_path / "source")
    seen = set()
    for attempt in range(12):
        server = make_server(faults=("PUT /dynamic_index#1:status=400,bad day",))
        line = failed_backup(server, make_client(server), source)
        assert "upload failed: cannot append to root.pxar." in line and " - " not in line.split("upload failed")[1]
        seen.add(META in line)
        assert len(requests(server, "PUT", "/dynamic_index")) == 2  # the other one's append was made all the same
        if len(seen) == 2 and attempt >= 3:
            break
    assert seen


def test_released_split_archives_join_errors_too(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                                 tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source")
    server = make_server(faults=("PUT /dynamic_index#*:status=400,bad day",))
    result = make_client(server).expect_failure(4, "upload failed: cannot append to root.mpxar.didx: bad day - cannot append to "
                                                "root.ppxar.didx: bad day", "backup", f"root.pxar:{source}", "--backup-id", "box",
                                                "--change-detection-mode", "data")
    assert "root.pxar: upload failed" in result.lines()[-1]


@pytest.mark.parametrize("profile", ["draft-split", "released"])
def test_answers_of_one_upload_do_not_hold_up_the_other(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                                        tmp_path: Path, profile: str) -> None:
    """The first append is never answered; appends of the other archive are sent and answered all the same."""
    source = plain_tree(tmp_path / "source", files=100, size=100_000)
    for i in range(2000):
        (source / "d0" / f"{i:04d}-{'x' * 100}").touch()
    server = make_server(faults=("PUT /dynamic_index#1:stall",))
    process = make_client(server).start("backup", f"root.pxar:{source}", "--backup-id", "box", "--chunk-size", "64",
                                        "--change-detection-mode", "metadata", "--format-profile", profile)
    try:
        server.wait_for("fault")
        deadline = time.monotonic() + 30
        while not [e for e in requests(server, "PUT", "/dynamic_index") if e["status"] == 200]:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()


def test_archiver_failure_reaches_both_uploads(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                               tmp_path: Path) -> None:
    """In the middle of the tree and right at its end; often enough to meet a race."""
    source = plain_tree(tmp_path / "source", files=6, size=30_000)
    (source / "d2" / "last").write_bytes(b"too many")
    server = make_server()
    client = make_client(server)
    for i in range(15):
        line = failed_backup(server, client, source, "--entries-max", "245"[i % 3])  # root, first and last directory
        assert "exceeded allowed number of file entries" in line or "entries" in line


def test_failing_upload_stops_the_archiver(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                           tmp_path: Path) -> None:
    """The source never ends: a pipe that is fed as long as somebody reads, behind many files."""
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "a", "wb") as f:
        for i in range(8):
            f.write(noise(i, 1 << 20))
    with open(source / "b", "wb") as f:
        f.truncate(1 << 40)  # a day's work, if it were read
    server = make_server(faults=("POST /dynamic_chunk#16+:status=400,disk on fire",))
    begin = time.monotonic()
    line = failed_backup(server, make_client(server), source)
    assert "disk on fire" in line and "upload failed: " in line
    assert time.monotonic() - begin < 30


def test_fixed_index_for_a_directory_is_refused(dir_repo: Repo, tmp_path: Path) -> None:
    """A directory is only taken for an archive, and a fixed index only for an image: before anything is opened."""
    result = dir_repo.client.run("backup", f"root.img:{tmp_path}", "--backup-id", "box")
    assert result.exit == 2 and "got unexpected file type" in result.stderr
    result = dir_repo.client.run("backup", f"root.pxar:{KEYFILE}", "--backup-id", "box", "--format-profile", "draft-split")
    assert result.exit == 2 and "expected directory" in result.stderr


# ---- archives as files ----

def test_archives_as_files(tmp_path: Path, make_client: Callable[..., Client]) -> None:
    """create, extract, list, dump and verify without a server."""
    client = make_client()
    source = small_tree(tmp_path / "source", seed=8, entries=80)
    meta, payload = tmp_path / "x.meta", tmp_path / "x.pld"
    client.expect_ok("pxar", "create", meta, source, "--format-profile", "draft-split", "--payload-output", payload)
    assert (meta.read_bytes(), payload.read_bytes()) == split_model(source)
    client.expect_ok("pxar", "extract", meta, tmp_path / "out", "--payload-input", payload)
    assert_same(tmp_path / "out", source)
    listed = client.expect_ok("pxar", "list", meta, "--payload-input", payload).stdout
    plain = tmp_path / "plain.pxar"
    client.expect_ok("pxar", "create", plain, source)
    assert listed == client.expect_ok("pxar", "list", plain).stdout
    assert "PAYLOAD_REF payload_offset=0 " in client.expect_ok("pxar", "dump", meta).stdout
    assert "ok: " in client.expect_ok("pxar", "verify", meta, "--payload-input", payload).stdout
    client.expect_failure(3, "payload input required", "pxar", "extract", meta, tmp_path / "none")
    same = tmp_path / "appendix.pxar"
    client.expect_ok("pxar", "create", same, source, "--format-profile", "draft-appendix")
    assert same.read_bytes() == plain.read_bytes()  # without a reference a plain archive
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix in (".meta", ".pld", ".pxar")) == [
        "appendix.pxar", "plain.pxar", "x.meta", "x.pld"]  # no second file where none was asked for
    for profile, extra in (("draft-split", ()), ("draft-appendix", ("--payload-output", str(tmp_path / "no")))):
        client.expect_failure(2, "payload stream", "pxar", "create", tmp_path / "bad", source, "--format-profile", profile, *extra)


def test_verify_finds_damage_in_files(tmp_path: Path, make_client: Callable[..., Client]) -> None:
    client = make_client()
    source = plain_tree(tmp_path / "source", files=4, size=1000)
    meta, payload = tmp_path / "x.meta", tmp_path / "x.pld"
    client.expect_ok("pxar", "create", meta, source, "--format-profile", "draft-split", "--payload-output", payload)
    data = bytearray(payload.read_bytes())
    data[8] ^= 1  # the size in the first header
    payload.write_bytes(data)
    client.expect_failure(3, "PXAR-243", "pxar", "verify", meta, "--payload-input", payload)


# ---- outlook and review ----

def test_every_profile_lists_the_same_paths(dir_repo: Repo, tmp_path: Path) -> None:
    """From a catalog of either format, or from the metadata archive."""
    source = small_tree(tmp_path / "source", seed=9, entries=100)
    shown = []
    for at, (profile, mode) in enumerate([("released", "legacy"), ("released", "data"), ("draft-split", "metadata"),
                                          ("draft-appendix", "metadata"), ("draft-appendix", "metadata")]):
        Draft(dir_repo.client, profile, source, at, "--appendix-threshold", "10000", mode=mode)
        lines = dir_repo.client.expect_ok("catalog", "dump", snapshot_dirs(dir_repo.store)[-1].path).lines()
        shown.append([re.sub(r'"\./[^/"]+', '"./', line) for line in lines if line.count("/") > 1])
    assert len(shown[0]) >= 100 and all(one == shown[0] for one in shown)


def test_remarks_of_the_review() -> None:
    """Outputs and options are grouped, so that another output does not change the call; and it is a payload stream."""
    sources = {p: p.read_text() for p in (ROOT / "src").rglob("*.[ch]")}
    header = sources[ROOT / "src" / "archive" / "create.h"]
    prototype = re.search(r"int pbr_create\((.*?)\);", header, re.S)
    assert prototype is not None
    types = re.findall(r"const struct (pbr_create_\w+) \*", prototype.group(1))
    assert types == ["pbr_create_outputs", "pbr_create_opts"] and "pbr_sink" not in prototype.group(1)
    assert not [p for p, text in sources.items() if "stream_payload" in text]
