# covers: APX-007 APX-054 APX-102 SPL-024 SPL-027 SPL-092 SYS-024 SYS-045 SYS-047
# SPDX-License-Identifier: MIT
"""`check` and `reuse show` on snapshots of the two drafts."""
from __future__ import annotations

import time
from pathlib import Path

import pytest
from drafts import CATALOG, META, PLAIN, PLD, Draft, plain_tree, rows, split, stream
from support import Repo, noise, snapshot_dirs

PROFILES = ("draft-split", "draft-appendix")


def three_generations(repo: Repo, source: Path, profile: str) -> list[Draft]:
    plain_tree(source, files=30, size=200_000)
    runs = [Draft(repo.client, profile, source, 0), Draft(repo.client, profile, source, 1)]
    time.sleep(1.1)
    (source / "d1" / "f015").write_bytes(noise(9, 200_000))
    return [*runs, Draft(repo.client, profile, source, 2)]


@pytest.mark.parametrize("profile", PROFILES)
def test_intact_snapshots_check(dir_repo: Repo, tmp_path: Path, profile: str) -> None:
    three_generations(dir_repo, tmp_path / "source", profile)
    for snapshot in snapshot_dirs(dir_repo.store):
        found = dir_repo.client.expect_ok("check", snapshot.path, "--output-format", "json").json()
        assert found["errors"] == found["warnings"] == 0 and found["findings"] == []
        kinds = {f["name"]: f["kind"] for f in found["files"]}
        assert kinds.items() >= ({META: "metadata", PLD: "payload"} if profile == "draft-split" else {PLAIN: "archive"}).items()


@pytest.mark.parametrize("profile", PROFILES)
def test_a_lost_chunk_names_its_files(dir_repo: Repo, tmp_path: Path, profile: str) -> None:
    """Also of files whose contents stand in chunks that were re-used."""
    three_generations(dir_repo, tmp_path / "source", profile)
    name = PLD if profile == "draft-split" else PLAIN
    digest = rows(dir_repo.store, 2, name)[len(rows(dir_repo.store, 2, name)) // 2][2].hex()
    (dir_repo.store / ".chunks" / digest[:4] / digest).unlink()
    result = dir_repo.client.run("check", "host/box", "--output-format", "json")
    assert result.exit == 3
    damaged = [f["path"] for f in result.json()["findings"] if f["name"] == "damaged-path"]
    assert damaged and all("/f0" in p for p in damaged)


def test_damage_of_an_appendix_is_found(dir_repo: Repo, tmp_path: Path) -> None:
    """As a file: a reference of another size, and one into another file."""
    three_generations(dir_repo, tmp_path / "source", "draft-appendix")
    data = stream(dir_repo.store, 2, PLAIN, tmp_path)
    marker = (0x849B4A17E0234F8E).to_bytes(8, "little")
    at = data.index(marker)
    for delta, name in ((24, "size"), (16, "place")):
        bad = bytearray(data)
        bad[at + delta] ^= 4
        path = tmp_path / f"{name}.pxar"
        path.write_bytes(bad)
        result = dir_repo.client.run("check", path, "--output-format", "json")
        assert result.exit == 3 and result.json()["errors"] > 0, result.stderr
    good = tmp_path / "good.pxar"
    good.write_bytes(data)
    dir_repo.client.expect_ok("check", good)


def test_missing_half_is_told(dir_repo: Repo, tmp_path: Path) -> None:
    from test_backup_metadata import repack_manifest
    split(dir_repo.client, plain_tree(tmp_path / "source"), 0)
    repack_manifest(dir_repo.store, 0, lambda m: m["files"].pop(0))
    result = dir_repo.client.run("check", "host/box")
    assert result.exit == 3


@pytest.mark.parametrize("profile", PROFILES)
def test_what_was_reused_is_shown(dir_repo: Repo, tmp_path: Path, profile: str) -> None:
    """Figures of the report are those of the backup; the map is written."""
    runs = three_generations(dir_repo, tmp_path / "source", profile)
    name = PLD if profile == "draft-split" else PLAIN
    shown = dir_repo.client.expect_ok("reuse", "show", "host/box", "--output-format", "json").json()
    archive = shown["archives"][0] if "archives" in shown else shown["generations"][-1]["archives"][0]
    text = dir_repo.client.expect_ok("reuse", "show", "host/box", "--html", tmp_path / "map.html").stdout
    assert f"{runs[2][name]['reused_files']} of 30 files re-used without reading" in text
    assert archive["archive"] == "root.pxar" if "archive" in archive else archive["name"] == "root.pxar"
    html = (tmp_path / "map.html").read_text()
    assert html.startswith("<!doctype html>") or html.lower().startswith("<!doctype html")
    first = dir_repo.client.run("reuse", "show", snapshot_dirs(dir_repo.store)[0].path)
    assert first.exit == (0 if profile == "draft-split" else 1)  # nothing tells an archive in one stream from a legacy one


def test_catalog_positions_are_checked(dir_repo: Repo, tmp_path: Path) -> None:
    """A catalog whose positions are not the archive's would lead the next run astray."""
    import hashlib

    from test_backup_metadata import repack_manifest

    from oracle import blob, catalog, index
    three_generations(dir_repo, tmp_path / "source", "draft-appendix")
    items = catalog.parse(stream(dir_repo.store, 2, CATALOG, tmp_path))
    file = next(i for i in items[0].children[0].children if i.type in "fr")
    file.position += 1
    data = catalog.build(items, extended=True)
    digest = hashlib.sha256(data).digest()
    path = dir_repo.store / ".chunks" / digest.hex()[:4]
    path.mkdir(exist_ok=True)
    (path / digest.hex()).write_bytes(blob.encode(data))
    made = index.build_dynamic([(len(data), digest)], bytes(16), 1_700_000_000)
    (dir_repo.store / snapshot_dirs(dir_repo.store)[2].path / CATALOG).write_bytes(made)

    def edit(manifest: dict[str, list[dict[str, object]]]) -> None:
        entry = next(f for f in manifest["files"] if f["filename"] == CATALOG)
        entry["csum"], entry["size"] = index.parse(made).csum.hex(), len(data)

    repack_manifest(dir_repo.store, 2, edit)
    result = dir_repo.client.run("check", "host/box", "--output-format", "json")
    assert result.exit == 3 or result.json()["warnings"] > 0
    assert [f["name"] for f in result.json()["findings"]] == ["catalog-entry-value"]
