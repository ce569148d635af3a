# covers: CDM-126 CDM-127 BLOB-059 BLOB-087 BLOB-091 IDX-100 MAN-072 PXAR-261 PXAR-268 PXAR-272 RDR-060
# SPDX-License-Identifier: MIT
"""`pbsref check` on lost and damaged chunks: exactly the paths that they damage are named, everything else is checked, and a
healthy snapshot is read once, without payload if so asked.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lib_defects as d
import pytest
from support import KEYFILE, T0, Client, Repo, Server, chunks_of, golden_module, golden_tree, noise, oracle_store, scenario, small_tree
from test_check_defects import check, seen

from oracle import blob

T1 = "2023-11-14T22:13:20Z"
MODES = ["legacy", "data", "metadata"]


def paths_of(found: dict[str, Any], *names: str) -> list[str]:
    return sorted(f["path"] for f in found["findings"] if f["name"] in names)


def damage(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "other":  # a blob that is fine, of other data
        path.write_bytes(blob.encode(b"other data" * 100))
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


NAMES = {"missing": "chunk-missing", "other": "chunk-corrupt", "flipped": "chunk-corrupt"}


# ---- intact snapshots ----

def test_golden_datastore_is_clean(golden_store: Path, open_repo: Callable[[str, Path], Repo]) -> None:
    repo = open_repo("dir", golden_store)
    snapshots = oracle_store(golden_store).snapshots()
    assert len(snapshots) == 12
    for snapshot in snapshots:
        for extra in ([], ["--metadata-only"]):
            found = check(repo.client, snapshot.path, "--keyfile", KEYFILE, *extra, code=0)
            assert found["findings"] == [], snapshot.path


def test_golden_snapshots_are_clean_over_tls(golden_store: Path, open_repo: Callable[[str, Path], Repo]) -> None:
    repo = open_repo("tls", golden_store)
    for group in ("legacy", "reuse", "enc", "sign", "mixed"):
        assert check(repo.client, f"host/{group}", "--keyfile", KEYFILE, code=0)["findings"] == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("keyed", [False, True])
def test_own_backups_are_clean_in_every_generation(dir_repo: Repo, tmp_path: Path, mode: str, keyed: bool) -> None:
    source = golden_tree("nested", tmp_path / "source")
    small_tree(source / "more", 5, 80)
    for i in range(30):
        (source / f"f{i:02d}").write_bytes(noise(i, 20_000 + i))
    (tmp_path / "conf").write_bytes(b"key: value\n")
    with open(tmp_path / "image", "wb") as image:
        image.truncate(12 << 20)
        image.write(noise(99, 5 << 20))
    key = ["--keyfile", str(KEYFILE)] if keyed else []
    for generation in range(5):
        if generation:
            (source / f"f{generation * 3:02d}").write_bytes(noise(1000 + generation, 10_000))
            (source / f"f{generation * 5:02d}").unlink(missing_ok=True)
            os.utime(source / f"f{20 + generation}", (T0, T0 + generation))
        dir_repo.client.backup(f"root.pxar:{source}", f"etc.conf:{tmp_path / 'conf'}", f"disk.img:{tmp_path / 'image'}",
                               "--chunk-size", "64", *key, mode=mode, at=T0 + generation)
        found = check(dir_repo.client, "host/box", *key, code=0)
        assert found["findings"] == []
        files = {f["name"]: f for f in found["files"]}
        assert all(f["contents_read"] for n, f in files.items() if n != "index.json.blob")
        if mode != "legacy":
            padding = files["root.ppxar.didx"]["padding_bytes"]
            assert (padding > 0) == (mode == "metadata" and generation > 0), "data mode leaves no gaps (CDM-126)"


@pytest.mark.parametrize("name", list(golden_module("reuse").SCENARIOS))
def test_generations_of_every_scenario_are_clean(dir_repo: Repo, tmp_path: Path, name: str) -> None:
    for generation, mode in enumerate(golden_module("reuse").SCENARIOS[name][0]):
        source = scenario(name, tmp_path / "source", generation)
        dir_repo.client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode=mode, at=T0 + generation)
        found = check(dir_repo.client, "host/box", code=0)
        assert [f for f in found["findings"] if f["level"] != "note"] == []
        assert check(dir_repo.client, "host/box", "--metadata-only", code=0)["errors"] == 0


@pytest.mark.parametrize("profile", ["draft-split", "draft-appendix"])
def test_generations_of_the_drafts_are_clean_and_their_damage_is_found(dir_repo: Repo, tmp_path: Path, profile: str) -> None:
    source = small_tree(tmp_path / "source", 6)
    for i in range(40):
        (source / f"f{i:02d}").write_bytes(noise(i, 20_000))
    for generation, mode in enumerate(["data", "metadata", "metadata", "metadata"]):
        (source / f"f{generation * 7:02d}").write_bytes(noise(500 + generation, 21_000))
        dir_repo.client.backup(f"root.pxar:{source}", "--format-profile", profile, "--chunk-size", "64", mode=mode,
                               at=T0 + generation)
        for extra in ([], ["--metadata-only"]):
            assert check(dir_repo.client, "host/box", *extra, code=0)["findings"] == []
    folder = sorted((dir_repo.store / "host/box").iterdir())[-2]  # owner is the last
    name = next(n for n in ("root.pxar.pld.didx", "root.pxar.didx") if (folder / n).exists())
    rows = [(folder / name).read_bytes()[at:at + 40] for at in range(4096, (folder / name).stat().st_size, 40)]
    d.chunk_file(dir_repo.store, rows[len(rows) // 2][8:]).unlink()
    found = check(dir_repo.client, "host/box", code=3)
    names = {f["name"] for f in found["findings"]}
    assert {"chunk-missing", "damaged-path"} <= names <= {"chunk-missing", "damaged-path", "lost-entry"}
    assert not [f for f in found["findings"] if "overlap" in f["text"]]


# ---- payload chunks ----

@pytest.mark.parametrize("how", list(NAMES))
def test_lost_payload_chunk_damages_the_files_in_it(dir_repo: Repo, how: str) -> None:
    work = d.Split()
    work.payload_cuts = [16, work.ref(b"b1")[0] + 100, work.ref(b"dir/x")[0] + 20, len(work.payload) - 16]
    snapshot = d.write(dir_repo.store, "host/bad", work.files())
    digest = chunks_of(dir_repo.store, snapshot, d.PAYLOAD)[2][2]
    damage(d.chunk_file(dir_repo.store, digest), how)
    found = check(dir_repo.client, snapshot, code=3)
    assert [f["name"] for f in found["findings"] if f["name"].startswith("chunk")] == [NAMES[how]]
    assert paths_of(found, "damaged-path") == ['"/b1"', '"/c"', '"/dir/x"']
    assert len(found["findings"]) == 4
    assert digest.hex() in next(f["text"] for f in found["findings"] if f["name"] == NAMES[how]) or how == "missing"


def test_lost_chunk_with_the_headers_alone(dir_repo: Repo) -> None:
    """A header cut in two by a lost chunk is damage of its file only, and not a wrong header."""
    work = d.Split()
    at = work.ref(b"c")[0]
    work.payload_cuts = [16, at - 4, at + 8, len(work.payload) - 16]
    snapshot = d.write(dir_repo.store, "host/bad", work.files())
    d.chunk_file(dir_repo.store, chunks_of(dir_repo.store, snapshot, d.PAYLOAD)[2][2]).unlink()
    found = check(dir_repo.client, snapshot, code=3)
    assert sorted((f["name"], f["path"]) for f in found["findings"] if f["path"]) == [
        ("damaged-path", '"/b1"'), ("damaged-path", '"/c"')]


def test_lost_marker_chunks_are_lost_chunks_only(dir_repo: Repo) -> None:
    snapshot = d.write(dir_repo.store, "host/bad", d.Split().files())
    rows = chunks_of(dir_repo.store, snapshot, d.PAYLOAD)
    for row in (rows[0], rows[-1]):
        d.chunk_file(dir_repo.store, row[2]).unlink()
    names = [n for n, *_ in seen(check(dir_repo.client, snapshot, code=3))]
    assert names == ["chunk-missing", "chunk-missing"]


def test_all_payload_lost_names_every_file(dir_repo: Repo) -> None:
    work = d.Split()
    snapshot = d.write(dir_repo.store, "host/bad", work.files())
    for _, _, digest in chunks_of(dir_repo.store, snapshot, d.PAYLOAD):
        d.chunk_file(dir_repo.store, digest).unlink(missing_ok=True)
    found = check(dir_repo.client, snapshot, code=3)
    files = sorted('"/' + e.path.decode() + '"' for e in work.intact if e.content)
    assert paths_of(found, "damaged-path") == files


def test_findings_are_bounded_and_the_rest_is_counted(dir_repo: Repo) -> None:
    items: list[d.Item] = [("file", b"f%04d" % i, d.noise(i, 50)) for i in range(300)]
    work = d.Split(items)
    work.payload_cuts = [16, len(work.payload) - 16]
    snapshot = d.write(dir_repo.store, "host/bad", work.files())
    d.chunk_file(dir_repo.store, chunks_of(dir_repo.store, snapshot, d.PAYLOAD)[1][2]).unlink()
    found = check(dir_repo.client, snapshot, code=3)
    payload = next(f for f in found["files"] if f["name"] == d.PAYLOAD)
    assert len(found["findings"]) == 21 and payload["omitted"] == {"damaged-path": 280}
    assert payload["counts"] == {"damaged-path": 300, "chunk-missing": 1} and found["errors"] == 301
    text = dir_repo.client.run("check", snapshot, "--findings-max", "3")
    assert text.exit == 3 and f"{d.PAYLOAD}: 297 more of damaged-path" in text.stdout
    assert len([line for line in text.stdout.splitlines() if "damaged-path: " in line]) == 3


# ---- chunks of the archive itself ----

def big_archive() -> d.Split:
    items: list[d.Item] = []
    for i in range(12):
        items.append(("dir", b"d%02d" % i, None))
        items += [("file", b"d%02d/f%02d" % (i, k), d.noise(i * 100 + k, 40)) for k in range(10)]
        items.append(("up", b"", None))
    return d.Split(items)


@pytest.mark.parametrize("how", list(NAMES))
def test_lost_chunk_of_the_metadata_archive(dir_repo: Repo, how: str) -> None:
    """What the chunk held is lost; directories before and behind it are checked all the same."""
    work = big_archive()
    start, end = work.find(b"d04/f03").start + 5, work.find(b"d05/f02").end
    work.cuts = [start, end]
    for name in (b"d02/f01", b"d09/f09"):
        work.put_payload(work.ref(name)[0], b"\0" * 8)
    snapshot = d.write(dir_repo.store, "host/bad", work.files())
    damage(d.chunk_file(dir_repo.store, chunks_of(dir_repo.store, snapshot, d.META)[1][2]), how)
    found = check(dir_repo.client, snapshot, code=3)
    assert paths_of(found, "payload-header") == ['"/d02/f01"', '"/d09/f09"']
    assert [f["name"] for f in found["findings"] if f["name"].startswith("chunk")] == [NAMES[how]]
    assert {f["path"] for f in found["findings"] if f["name"].startswith("lost")} == {'"/d04"', '"/"'}, found["findings"]
    assert not [f for f in found["findings"] if f["name"] == "archive-structure"]


def test_lost_root_table_ends_the_walk(dir_repo: Repo) -> None:
    work = big_archive()
    work.cuts = [work.find(b"d04").start, len(work.meta) - 30]
    snapshot = d.write(dir_repo.store, "host/bad", work.files())
    for row in chunks_of(dir_repo.store, snapshot, d.META)[1:]:
        d.chunk_file(dir_repo.store, row[2]).unlink()
    found = check(dir_repo.client, snapshot, code=3)
    assert paths_of(found, "lost-directory") == ['"/"']


@pytest.mark.parametrize("how", list(NAMES))
def test_lost_chunk_of_a_legacy_archive(dir_repo: Repo, how: str) -> None:
    work = d.Legacy()
    at = work.find(b"dir/y").content
    assert at
    work.cuts = [at.offset + 100, at.offset + 40_000]
    snapshot = d.write(dir_repo.store, "host/bad", work.files())
    damage(d.chunk_file(dir_repo.store, chunks_of(dir_repo.store, snapshot, d.ARCHIVE)[1][2]), how)
    found = check(dir_repo.client, snapshot, code=3)
    assert [(f["name"], f["path"]) for f in found["findings"]] == [(NAMES[how], None), ("damaged-path", '"/dir/y"')]
    assert check(dir_repo.client, snapshot, "--metadata-only", code=0)["findings"] == []


def test_lost_chunk_in_the_middle_of_a_legacy_archive(dir_repo: Repo) -> None:
    """From the contents of one file into the items of the next."""
    work = d.Legacy()
    one, two = work.find(b"c").content, work.find(b"dir/x").content
    assert one and two
    work.cuts = [one.offset + 39_000, two.offset - 4]
    snapshot = d.write(dir_repo.store, "host/bad", work.files())
    d.chunk_file(dir_repo.store, chunks_of(dir_repo.store, snapshot, d.ARCHIVE)[1][2]).unlink()
    found = check(dir_repo.client, snapshot, code=3)
    assert [(f["name"], f["path"]) for f in found["findings"]] == [
        ("chunk-missing", None), ("damaged-path", '"/c"'), ("lost-entry", '"/"')]


def test_lost_chunks_of_catalog_and_image(dir_repo: Repo) -> None:
    work = d.Legacy()
    image = d.Stream(d.noise(1, 1 << 16) * 3 + d.noise(2, 1 << 16), fixed=1 << 16)
    snapshot = d.write(dir_repo.store, "host/bad", {**work.files(), "disk.img.fidx": image})
    d.chunk_file(dir_repo.store, chunks_of(dir_repo.store, snapshot, "disk.img.fidx")[1][2]).unlink()
    d.chunk_file(dir_repo.store, chunks_of(dir_repo.store, snapshot, d.CATALOG)[0][2]).unlink()
    found = check(dir_repo.client, snapshot, code=3)
    names = sorted((f["name"], f["file"]) for f in found["findings"])
    assert names == [("catalog", d.CATALOG), ("chunk-missing", d.CATALOG), ("chunk-missing", "disk.img.fidx")]


def test_chunk_of_the_other_crypt_mode(dir_repo: Repo) -> None:
    from oracle.crypto import load_key
    snapshot = d.write(dir_repo.store, "host/bad", d.Split().files())
    _, _, digest = chunks_of(dir_repo.store, snapshot, d.PAYLOAD)[1]
    d.chunk_file(dir_repo.store, digest).write_bytes(blob.encode(b"x" * 100, key=load_key(str(KEYFILE)), iv=bytes(16)))
    found = check(dir_repo.client, snapshot, code=3)
    assert [f["name"] for f in found["findings"]] == ["chunk-corrupt", "damaged-path"]


# ---- what is read ----

def reads(server: Server) -> list[str]:
    return [line["digest"] for line in server.events("chunk-read")]


@pytest.fixture
def split_backup(pbs_server: Server, client: Client, tmp_path: Path) -> tuple[Server, Client]:
    source = tmp_path / "source"
    source.mkdir()
    for i in range(60):
        (source / f"f{i:02d}").write_bytes(noise(i, 30_000))
    client.backup(f"root.pxar:{source}", "--chunk-size", "64", mode="data")
    return pbs_server, client


def test_each_payload_chunk_is_read_once(split_backup: tuple[Server, Client]) -> None:
    server, client = split_backup
    assert check(client, "host/box", code=0)["findings"] == []
    digests = [c[2].hex() for c in chunks_of(server.store, f"host/box/{T1}", "root.ppxar.didx")]
    assert sorted(x for x in reads(server) if x in set(digests)) == sorted(digests)


def test_metadata_only_reads_no_payload_but_the_markers(split_backup: tuple[Server, Client]) -> None:
    server, client = split_backup
    found = check(client, "host/box", "--metadata-only", code=0)
    assert found["findings"] == []
    digests = [c[2].hex() for c in chunks_of(server.store, f"host/box/{T1}", "root.ppxar.didx")]
    assert len(digests) > 10
    assert {x for x in reads(server) if x in set(digests)} == {digests[0], digests[-1]}
    files = {f["name"]: f["contents_read"] for f in found["files"]}
    assert files["root.mpxar.didx"] and not files["root.ppxar.didx"]


def test_equal_chunks_of_an_image_are_read_once(pbs_server: Server, client: Client) -> None:
    image = d.Stream(bytes(1 << 20) * 40 + d.noise(2, 1 << 20) + bytes(1 << 20), fixed=1 << 20)
    snapshot = d.write(pbs_server.store, "host/bad", {"disk.img.fidx": image})
    assert check(client, snapshot, code=0)["findings"] == []
    assert len(reads(pbs_server)) == 2


# ---- who cannot be reached ----

def test_server_that_is_not_there_and_snapshot_that_is_not_there(pbs_server: Server, client: Client) -> None:
    assert client.run("check", f"host/none/{T1}").exit == 4
    pbs_server.kill()
    assert client.run("check", f"host/none/{T1}").exit == 4
    pbs_server.stop = lambda: None  # type: ignore[method-assign]


def test_connection_that_breaks_is_no_damage(make_server: Callable[..., Server], make_client: Callable[..., Client]) -> None:
    server = make_server(faults=("chunk-read#5:reset",))
    client = make_client(server)
    snapshot = d.write(server.store, "host/good", d.Split().files())
    result = client.run("check", snapshot)
    assert result.exit == 4 and "chunk-missing" not in result.stdout, result.stdout + result.stderr


def test_text_names_file_finding_rule_and_place(dir_repo: Repo) -> None:
    defect = next(x for x in d.HISTORICAL if x.id == "stale-size")
    snapshot = d.write(dir_repo.store, "host/bad", d.work_of(defect).files())
    result = dir_repo.client.expect_failure(3, "1 errors were found", "check", snapshot)
    assert ('root.ppxar.didx: error: stale-size: "/c": PAYLOAD header says 39990 bytes, the file has 40000 '
            '(offset 72064, rule PXAR-243, known defect CDM-140)') in result.stdout.splitlines()
    assert result.stdout.splitlines()[-1] == "DAMAGED: 1 errors, 0 warnings, 0 notes"
    assert dir_repo.client.run("check", snapshot, "--json").json() == \
        dir_repo.client.run("check", snapshot, "--output-format", "json").json()
