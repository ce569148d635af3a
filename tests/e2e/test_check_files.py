# covers: CDM-123 CDM-124 IDX-014 IDX-015 IDX-023 MAN-030 MAN-032 MAN-076 PXAR-131 BLOB-059 BLOB-071
# SPDX-License-Identifier: MIT
"""`pbsref check` on local files: archives alone, with their index, with the manifest, in every combination."""
from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import lib_defects as d
import pytest
from support import GOLDEN, KEYFILE, Client, Repo, noise, oracle_store, program, small_tree
from test_check_defects import check, seen, wanted

from oracle import blob, catalog
from oracle.crypto import load_key


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client()


def unpack(folder: Path, files: dict[str, d.Stream | bytes], store: Path | None = None, snapshot: str = "") -> list[Path]:
    """The streams as files, by the names that a restore gives them; with `snapshot` its indexes and manifest too."""
    folder.mkdir(exist_ok=True)
    made = []
    for name, content in files.items():
        if isinstance(content, bytes):
            path, data = folder / name, content
        else:
            path, data = folder / name.removesuffix(".didx").removesuffix(".fidx"), content.data
        path.write_bytes(data)
        made.append(path)
    if store:
        for path in sorted((store / snapshot).iterdir()):
            if not (folder / path.name).exists():
                shutil.copy(path, folder)
                made.append(folder / path.name)
    return made


def test_golden_archives_are_clean(client: Client) -> None:
    count = 0
    for path in sorted((GOLDEN / "pxar").glob("*.*pxar")):
        if path.suffix == ".ppxar" or path.suffix == ".mpxar" and not path.with_suffix(".ppxar").exists():
            continue
        pair = [path, path.with_suffix(".ppxar")] if path.suffix == ".mpxar" else [path]
        found = check(client, *pair)
        assert [f for f in found["findings"] if f["level"] == "error"] == [], path.name
        count += 1
    assert count > 20


def test_archives_made_by_create_are_clean(client: Client, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", 3)
    client.expect_ok("pxar", "create", tmp_path / "a.pxar", source)
    client.expect_ok("pxar", "create", tmp_path / "b.mpxar", source, "--payload-output", tmp_path / "b.ppxar")
    for files in ([tmp_path / "a.pxar"], [tmp_path / "b.mpxar", tmp_path / "b.ppxar"], [tmp_path / "b.ppxar", tmp_path / "b.mpxar"],
                  [tmp_path / "a.pxar", tmp_path / "b.mpxar", tmp_path / "b.ppxar"]):
        assert check(client, *files, code=0)["findings"] == []
    shutil.move(tmp_path / "b.ppxar", tmp_path / "other-name")
    assert check(client, tmp_path / "b.mpxar", tmp_path / "other-name", code=0)["findings"] == []


def test_metadata_archive_without_its_payload(client: Client, tmp_path: Path) -> None:
    made = unpack(tmp_path / "f", d.Split().files())
    meta, payload = made[1], made[0]
    assert [(n, r) for n, r, *_ in seen(check(client, meta, code=3))] == [("split-pair", "CDM-121")]
    assert check(client, meta, "--metadata-only", code=0)["findings"] == []
    assert [(n, r) for n, r, *_ in seen(check(client, payload, code=3))] == [("split-pair", "CDM-121")]


@pytest.mark.parametrize("defect", d.SPLIT + d.HISTORICAL + d.LEGACY, ids=lambda x: x.id)
def test_defects_are_found_in_files(dir_repo: Repo, tmp_path: Path, defect: d.Defect) -> None:
    files = d.work_of(defect).files()
    snapshot = d.write(dir_repo.store, "host/bad", files)
    found = check(dir_repo.client, *unpack(tmp_path / "f", files, dir_repo.store, snapshot))
    local = {name: str(tmp_path / "f" / name.removesuffix(".didx")) for name in files}
    want = (*wanted(defect)[:2], local[defect.file], *wanted(defect)[3:])
    if defect.id == "catalog-has-archive":  # files need not be all of a snapshot
        assert found["findings"] == []
    elif defect.id == "catalog-lacks-archive":
        assert [f["name"] for f in found["findings"]] == ["catalog-entry-missing"]
    else:
        assert seen(found).count(want) == 1, found["findings"]
        assert not defect.exact or len(found["findings"]) == 1, found["findings"]


def test_defects_of_structure_are_found_without_index_and_manifest(client: Client, tmp_path: Path) -> None:
    for defect in d.SPLIT + d.HISTORICAL:
        if "chunk" in defect.id:  # what only an index tells
            continue
        found = seen(check(client, *unpack(tmp_path / defect.id, d.work_of(defect).files())))
        assert wanted(defect)[:2] in [f[:2] for f in found], defect.id


def test_bytes_that_are_not_those_of_the_index(dir_repo: Repo, tmp_path: Path) -> None:
    work = d.Split()
    files = work.files()
    snapshot = d.write(dir_repo.store, "host/good", files)
    made = unpack(tmp_path / "f", files, dir_repo.store, snapshot)
    assert check(dir_repo.client, *made, code=0)["findings"] == []
    payload = tmp_path / "f" / "root.ppxar"
    data = bytearray(payload.read_bytes())
    data[work.ref(b"dir/y")[0] + 30_000] ^= 1
    payload.write_bytes(data)
    found = check(dir_repo.client, *made, code=3)
    assert [(f["name"], f["rule"], f["path"]) for f in found["findings"]] == [
        ("chunk-corrupt", "BLOB-059", None), ("damaged-path", "BLOB-091", '"/dir/y"')]
    payload.write_bytes(data[:-1])
    assert "file-size" in [f["name"] for f in check(dir_repo.client, *made, code=3)["findings"]]


@pytest.mark.parametrize("at, raw, size, rule", [(0, bytes(8), None, None), (4096, (10**9).to_bytes(8, "little"), None, "IDX-023"),
                                                 (0, b"", 4000, "IDX-014"), (32, bytes(32), None, "IDX-010")])
def test_index_files_that_are_wrong(dir_repo: Repo, tmp_path: Path, at: int, raw: bytes, size: int | None,
                                    rule: str | None) -> None:
    files = d.Split().files()
    snapshot = d.write(dir_repo.store, "host/good", files)
    made = unpack(tmp_path / "f", files, dir_repo.store, snapshot)
    path = tmp_path / "f" / d.PAYLOAD
    data = bytearray(path.read_bytes())
    data[at:at + len(raw)] = raw
    path.write_bytes(data[:size])
    if rule is None:  # nothing tells that it was an index
        dir_repo.client.expect_failure(2, "neither archive, index", "check", *made)
        return
    assert (d.PAYLOAD, rule) in [(Path(f["file"]).name, f["rule"]) for f in check(dir_repo.client, *made, code=3)["findings"]]


def test_manifest_as_blob_and_as_text(dir_repo: Repo, tmp_path: Path) -> None:
    files = d.Legacy().files()
    snapshot = d.write(dir_repo.store, "host/good", files,
                       edit=lambda m: setattr(m.file(d.ARCHIVE), "size", 7))
    made = unpack(tmp_path / "f", files, dir_repo.store, snapshot)
    names = [(Path(f["file"]).name, f["name"]) for f in check(dir_repo.client, *made, code=3)["findings"]]
    assert sorted(names) == [("root.pxar", "file-size"), ("root.pxar.didx", "file-size")]
    stored = tmp_path / "f" / "index.json.blob"
    stored.with_name("index.json").write_bytes(blob.decode(stored.read_bytes()))
    made[made.index(stored)] = stored.with_name("index.json")
    assert [(Path(f["file"]).name, f["name"]) for f in check(dir_repo.client, *made, code=3)["findings"]] == names
    dir_repo.client.expect_failure(2, "one snapshot", "check", stored, stored.with_name("index.json"))


def test_encrypted_snapshot_as_files(dir_repo: Repo, tmp_path: Path) -> None:
    """Restored streams are plain; their indexes have keyed digests."""
    files = {n: d.Stream(s.data, s.cuts, "encrypt") for n, s in d.Split().files().items() if isinstance(s, d.Stream)}
    snapshot = d.write(dir_repo.store, "host/good", files, load_key(str(KEYFILE)))
    made = unpack(tmp_path / "f", files, dir_repo.store, snapshot)
    assert check(dir_repo.client, *made, code=0)["findings"] == []
    assert check(dir_repo.client, *made, "--keyfile", KEYFILE, code=0)["findings"] == []
    data = bytearray(made[0].read_bytes())
    data[5000] ^= 1
    made[0].write_bytes(data)
    assert check(dir_repo.client, *made, code=0)["findings"] == []  # without the key nobody can know
    names = [f["name"] for f in check(dir_repo.client, *made, "--keyfile", KEYFILE, code=3)["findings"]]
    assert names == ["chunk-corrupt", "damaged-path"]


def test_backup_restored_to_files_is_clean(dir_repo: Repo, tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source", 4)
    (source / "big").write_bytes(noise(1, 400_000))
    dir_repo.client.backup(f"root.pxar:{source}", "--chunk-size", "64")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("root.pxar", "catalog.pcat1", "index.json"):
        found = oracle_store(dir_repo.store)
        found.copy(found.find("host/box/latest"), name, str(folder / name))
    for name in ("root.pxar.didx", "catalog.pcat1.didx"):
        shutil.copy(dir_repo.store / f"host/box/2023-11-14T22:13:20Z/{name}", folder)
    found_files = check(dir_repo.client, *sorted(folder.iterdir()), code=0)
    assert found_files["findings"] == [] and len(found_files["files"]) == 5


@pytest.mark.parametrize("data, code, text", [(b"", 2, "neither"), (b"hello", 2, "neither"), (None, 1, "No such file")])
def test_files_that_are_nothing_known(client: Client, tmp_path: Path, data: bytes | None, code: int, text: str) -> None:
    path = tmp_path / "file"
    if data is not None:
        path.write_bytes(data)
    client.expect_failure(code, text, "check", path)


def test_archives_named_so_that_hold_something_else(client: Client, tmp_path: Path) -> None:
    for data in (b"", b"\0" * 100, b"x" * 5):
        (tmp_path / "a.pxar").write_bytes(data)
        assert check(client, tmp_path / "a.pxar", code=3)["errors"] > 0
        (tmp_path / "b.mpxar").write_bytes(bytes(d.Split().meta))
        (tmp_path / "b.ppxar").write_bytes(data)
        assert "payload-start-marker" in [f["name"] for f in
                                          check(client, tmp_path / "b.mpxar", tmp_path / "b.ppxar", code=3)["findings"]]


def test_snapshot_names_win_over_files_of_that_name(client: Client, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "box").write_bytes(bytes(d.Legacy().meta))
    client.expect_failure(2, "repository", "check", "host/box", cwd=tmp_path)
    client.expect_ok("check", "./host/box", cwd=tmp_path)


def test_every_cut_and_every_flipped_byte_of_an_archive_is_survived(client: Client, tmp_path: Path) -> None:
    """No crash, no endless run, and exit 0 only for what an archive does not say: contents, times and the like."""
    work = d.Split([("file", b"a", b"1" * 40), ("dir", b"d", None), ("link", b"d/l", b"a"), ("up", b"", None)])
    meta, payload = tmp_path / "a.mpxar", tmp_path / "a.ppxar"
    payload.write_bytes(bytes(work.payload))
    for size in range(0, len(work.meta), 7):
        meta.write_bytes(work.meta[:size])
        assert client.run("check", meta, payload).exit == 3, size
    data = bytearray(work.meta)
    for at in range(0, len(data), 3):
        data[at] ^= 0xff
        meta.write_bytes(data)
        assert client.run("check", meta, payload).exit in (0, 3), at
        data[at] ^= 0xff


def test_catalog_as_a_file_is_compared(client: Client, tmp_path: Path) -> None:
    work = d.Legacy()
    (tmp_path / "root.pxar").write_bytes(bytes(work.meta))
    d._drop(work, b"tail")
    (tmp_path / "catalog.pcat1").write_bytes(catalog.build(work.items))
    found = check(client, tmp_path / "catalog.pcat1", tmp_path / "root.pxar", code=3)
    assert [(f["name"], f["path"]) for f in found["findings"]] == [("catalog-entry-missing", '"/tail"')]


def test_memory_does_not_grow_with_the_payload(client: Client, tmp_path: Path) -> None:
    peaks = []
    for size in (1 << 20, 200 << 20):
        payload = tmp_path / "a.ppxar"
        with open(payload, "wb") as f:
            f.write(d.START + d.HEADER.pack(d.CODE["PAYLOAD"], 16 + size))
            f.truncate(32 + size)
            f.seek(32 + size)
            f.write(d.TAIL)
        work = d.Split([("ref", b"big", (16, 0))], d.START + d.record(b"") + d.TAIL, [])
        work.set_ref(b"big", size=size)
        (tmp_path / "a.mpxar").write_bytes(bytes(work.meta))
        client.expect_ok("check", tmp_path / "a.mpxar", payload)
        with subprocess.Popen([program(), "check", tmp_path / "a.mpxar", payload], stdout=subprocess.DEVNULL,
                              env=client.env) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < peaks[0] + 8 * 1024, peaks
