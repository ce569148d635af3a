# covers: CDM-059 CDM-080 CDM-121 CDM-122 CDM-124 CDM-127 CDM-140 CDM-141 CDM-142 CDM-144 MAN-048 MAN-051 MAN-072 MAN-073 PXAR-134
# covers: PXAR-135 PXAR-139 PXAR-150 PXAR-151 PXAR-152 PXAR-153 PXAR-154 PXAR-157 PXAR-170 PXAR-074 PXAR-075 PXAR-243 PXAR-245
# covers: PXAR-036 PXAR-034 PXAR-050 PXAR-225 PXAR-274 CAT-010 CAT-044 CAT-060 CAT-062 CAT-063 IDX-010 IDX-023 IDX-024 BLOB-051
# SPDX-License-Identifier: MIT
"""`pbsref check` on snapshots with one constructed defect each: it names the defect, its rule and its place, and nothing else.

A verification of chunks passes on the archives: only the deep check can see what is wrong with them.
"""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lib_defects as d
import pytest
from support import KEYFILE, Client, Repo, oracle_store

from oracle import blob, manifest
from oracle.crypto import load_key


def check(client: Client, *args: str | Path, code: int | None = None) -> dict[str, Any]:
    """What the command says, in JSON; its exit status must fit."""
    result = client.run("check", *args, "--output-format", "json")
    found = result.json()
    assert result.exit == (3 if found["errors"] else 0), result.stderr
    assert found["ok"] == (found["errors"] == 0)
    assert code is None or result.exit == code, result.stderr
    return found


def seen(found: dict[str, Any]) -> list[tuple[str, str, str, str | None, str | None, str]]:
    return [(f["name"], f["rule"], f["file"], f["path"], f["defect"], f["level"]) for f in found["findings"]]


def wanted(defect: d.Defect) -> tuple[str, str, str, str | None, str | None, str]:
    return defect.name, defect.rule, defect.file, defect.path, defect.known, defect.level


@pytest.fixture(params=["tls", "dir"])
def place(request: pytest.FixtureRequest, make_store: Callable[..., Path], open_repo: Callable[[str, Path], Repo]) -> Repo:
    return open_repo(request.param, make_store())


def test_the_intact_material_is_clean(place: Repo) -> None:
    for name, work in (("split", d.Split()), ("legacy", d.Legacy())):
        found = check(place.client, d.write(place.store, f"host/{name}", work.files()), code=0)
        assert found["findings"] == [] and all(f["errors"] == 0 for f in found["files"])
        assert {f["name"] for f in found["files"]} == {*work.files(), "index.json.blob"}


@pytest.mark.parametrize("defect", d.SPLIT + d.HISTORICAL + d.LEGACY, ids=lambda x: x.id)
def test_each_defect_is_named_with_rule_and_path(dir_repo: Repo, defect: d.Defect) -> None:
    snapshot = d.write(dir_repo.store, "host/bad", d.work_of(defect).files())
    assert json.loads(dir_repo.client.expect_ok("store", "verify", dir_repo.store, "--output-format", "json").out)[
        "failed-snapshots"] == 0  # nothing that digests can tell
    found = check(dir_repo.client, snapshot, code=3 if defect.level == "error" else 0)
    assert seen(found).count(wanted(defect)) == 1, found["findings"]
    assert not defect.exact or len(found["findings"]) == 1, found["findings"]
    assert all(f["text"] for f in found["findings"])


def test_all_defects_over_tls(pbs_server: Any, make_client: Callable[..., Client]) -> None:
    client = make_client(pbs_server)
    for defect in d.SPLIT + d.HISTORICAL + d.LEGACY:
        snapshot = d.write(pbs_server.store, f"host/{defect.id}", d.work_of(defect).files())
        assert wanted(defect) in seen(check(client, snapshot)), defect.id


def test_defects_of_one_archive_are_all_reported(dir_repo: Repo) -> None:
    work = d.Split()
    some = [x for x in d.SPLIT if x.exact and x.level == "error" and x.id in
            ("goodbye-hash", "goodbye-size-of-symlink", "entry-nanoseconds", "hardlink-path", "payload-header", "start-marker")]
    for defect in some:
        defect.apply(work)
    found = check(dir_repo.client, d.write(dir_repo.store, "host/bad", work.files()), code=3)
    assert sorted(map(str, seen(found))) == sorted(str(wanted(x)) for x in some)


def test_a_broken_item_does_not_hide_what_lies_behind_it(dir_repo: Repo) -> None:
    work = d.Split()
    work.put(work.item(b"dir/y", "ENTRY"), b"\x77" * 8)
    work.put_payload(work.ref(b"tail")[0], b"\0" * 8)
    work.put_payload(work.ref(b"sub/s")[0] + 8, b"\1")
    found = seen(check(dir_repo.client, d.write(dir_repo.store, "host/bad", work.files()), code=3))
    assert sorted((n, p) for n, _, _, p, _, _ in found) == [
        ("archive-structure", '"/dir/x"'), ("lost-entry", '"/dir"'), ("payload-header", '"/tail"'), ("stale-size", '"/sub/s"')]


def test_metadata_only_finds_what_is_not_payload(dir_repo: Repo) -> None:
    for defect in d.SPLIT + d.HISTORICAL:
        snapshot = d.write(dir_repo.store, f"host/{defect.id}", d.work_of(defect).files())
        found = seen(check(dir_repo.client, snapshot, "--metadata-only"))
        if defect.name in ("payload-header", "stale-size"):  # in the payload alone
            assert found == [], defect.id
        else:
            assert wanted(defect) in found, defect.id


# ---- manifest, indexes, blobs ----

def first(store: Path, work: d.Archive, edit: Callable[[manifest.Manifest], None]) -> str:
    return d.write(store, "host/bad", work.files(), edit=edit)


def drop(name: str) -> Callable[[manifest.Manifest], None]:
    def edit(found: manifest.Manifest) -> None:
        found.files = [f for f in found.files if f.filename != name]
    return edit


def change(name: str, **values: Any) -> Callable[[manifest.Manifest], None]:
    def edit(found: manifest.Manifest) -> None:
        for key, value in values.items():
            setattr(found.file(name), key, value)
    return edit


@pytest.mark.parametrize("edit, name, rule, file", [
    (drop(d.PAYLOAD), "split-pair", "CDM-121", d.META),
    (drop(d.META), "split-pair", "CDM-121", d.PAYLOAD),
    (change(d.META, size=7), "file-size", "MAN-072", d.META),
    (change(d.PAYLOAD, csum=bytes(32)), "file-checksum", "MAN-072", d.PAYLOAD),
    (change(d.PAYLOAD, crypt_mode="sign-only"), "file-crypt-mode", "CDM-121", d.PAYLOAD),
    (lambda m: m.files.append(manifest.File("more.img.fidx", 1, bytes(32))), "file-unavailable", "MAN-072", "more.img.fidx"),
    (lambda m: m.files.append(m.files[0]), "manifest", "MAN-073", "index.json.blob"),
    (lambda m: m.files.append(manifest.File("odd.name", 1, bytes(32))), "manifest", "MAN-073", "index.json.blob"),
    (lambda m: setattr(m, "id", "other"), "manifest", "MAN-071", "index.json.blob"),
], ids=["no-payload", "no-metadata", "size", "checksum", "crypt-mode", "missing", "twice", "name", "identity"])
def test_manifest_that_does_not_fit(dir_repo: Repo, edit: Callable[[manifest.Manifest], None], name: str, rule: str,
                                    file: str) -> None:
    found = check(dir_repo.client, first(dir_repo.store, d.Split(), edit), code=3)
    assert [(n, r, f) for n, r, f, _, _, _ in seen(found)] == [(name, rule, file)]


def test_manifest_that_cannot_be_read(dir_repo: Repo) -> None:
    snapshot = d.write(dir_repo.store, "host/bad", d.Split().files())
    (dir_repo.store / snapshot / "index.json.blob").write_bytes(blob.encode(b"{}"))
    found = check(dir_repo.client, snapshot, code=3)
    assert [(f["name"], f["file"]) for f in found["findings"]] == [("manifest", "index.json.blob")]


@pytest.mark.parametrize("at, raw, name, rule", [
    (32, bytes(32), "index-checksum", "IDX-010"),
    (4096 + 40, (16).to_bytes(8, "little"), "index", "IDX-024"),
    (4096, (10**9).to_bytes(8, "little"), "file-unavailable", "MAN-072"),  # the server does not hand these out
    (0, bytes(8), "file-unavailable", "MAN-072"),
], ids=["stored-checksum", "empty-chunk", "decreasing", "magic"])
def test_index_that_no_writer_makes(dir_repo: Repo, at: int, raw: bytes, name: str, rule: str) -> None:
    snapshot = d.write(dir_repo.store, "host/bad", d.Split().files())
    path = dir_repo.store / snapshot / d.PAYLOAD
    data = bytearray(path.read_bytes())
    data[at:at + len(raw)] = raw
    path.write_bytes(data)
    found = check(dir_repo.client, snapshot, code=3)
    assert (name, rule, d.PAYLOAD) in [(n, r, f) for n, r, f, _, _, _ in seen(found)]


def test_blob_with_wrong_crc_and_blob_that_is_another(dir_repo: Repo) -> None:
    files = d.Legacy().files()
    raw = bytearray(files[d.CONF])  # type: ignore[arg-type]
    raw[8] ^= 1
    snapshot = d.write(dir_repo.store, "host/crc", {**files, d.CONF: bytes(raw)})
    assert [(n, r, f) for n, r, f, _, _, _ in seen(check(dir_repo.client, snapshot))] == [("blob", "BLOB-051", d.CONF)]
    snapshot = d.write(dir_repo.store, "host/other", files)
    (dir_repo.store / snapshot / d.CONF).write_bytes(blob.encode(b"something else"))
    assert {f["name"] for f in check(dir_repo.client, snapshot)["findings"]} == {"file-size", "file-checksum"}


def signed(store: Path, group: str, mode: str, edit: Callable[[manifest.Manifest], None] | None = None) -> str:
    files = {name: d.Stream(s.data, s.cuts, mode) for name, s in d.Split().files().items() if isinstance(s, d.Stream)}
    return d.write(store, group, files, load_key(str(KEYFILE)), edit=edit)


@pytest.mark.parametrize("mode", ["sign-only", "encrypt"])
def test_signature_is_checked_with_the_key(dir_repo: Repo, mode: str) -> None:
    assert check(dir_repo.client, signed(dir_repo.store, "host/good", mode), "--keyfile", KEYFILE)["findings"] == []
    snapshot = signed(dir_repo.store, "host/bad", mode)
    found = oracle_store(dir_repo.store, keyed=True)
    kept = manifest.parse(blob.decode((dir_repo.store / snapshot / "index.json.blob").read_bytes()))
    kept.time += 1
    assert found.key
    (dir_repo.store / snapshot / "index.json.blob").write_bytes(blob.encode(manifest.text_form(kept).encode()))
    names = [(n, r) for n, r, *_ in seen(check(dir_repo.client, snapshot, "--keyfile", KEYFILE, code=3))]
    assert names == [("manifest-signature", "MAN-048"), ("manifest", "MAN-071")]
    kept.time, kept.signature = kept.time - 1, None  # what loading accepts
    (dir_repo.store / snapshot / "index.json.blob").write_bytes(blob.encode(manifest.text_form(kept).encode()))
    names = [(n, r) for n, r, *_ in seen(check(dir_repo.client, snapshot, "--keyfile", KEYFILE, code=3))]
    assert names == [("manifest-signature", "MAN-051")]


def test_signed_snapshot_is_checked_without_key_but_for_its_signature(dir_repo: Repo) -> None:
    assert check(dir_repo.client, signed(dir_repo.store, "host/good", "sign-only"), code=0)["findings"] == []


def test_encrypted_snapshot_needs_its_key(dir_repo: Repo, tmp_path: Path) -> None:
    snapshot = signed(dir_repo.store, "host/good", "encrypt")
    dir_repo.client.expect_failure(3, "missing key", "check", snapshot)
    other = tmp_path / "other.json"
    dir_repo.client.expect_ok("key", "create", other, "--kdf", "none")
    dir_repo.client.expect_failure(3, "wrong key", "check", snapshot, "--keyfile", other)


def test_encrypted_archives_have_their_defects_found(dir_repo: Repo) -> None:
    defect = next(x for x in d.HISTORICAL if x.id == "held-chunk-mistaken")
    files = {n: d.Stream(s.data, s.cuts, "encrypt") for n, s in d.work_of(defect).files().items() if isinstance(s, d.Stream)}
    snapshot = d.write(dir_repo.store, "host/bad", files, load_key(str(KEYFILE)))
    assert seen(check(dir_repo.client, snapshot, "--keyfile", KEYFILE)) == [wanted(defect)]
