# covers: CDM-003 CDM-020 CDM-042 CDM-095 CDM-101 CDM-111 CDM-127
# SPDX-License-Identifier: MIT
"""`reuse show`: its figures against the independent reader, the server's journal and what the backup itself said."""
from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lib_reuse import human
from support import (CLIENT_OUTPUT, KEYFILE, T0, Client, Repo, Server, noise, oracle_store, small_tree, snapshot_dirs,
                     snapshots_of)

ROOM = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")  # what a terminal or a reader may be fooled by


def tree_of(path: Path, files: int = 120, size: int = 4000) -> Path:
    for i in range(files):
        folder = path / f"d{i * 4 // files}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{i:04d}").write_bytes(noise(i, size + i))
        os.utime(folder / f"f{i:04d}", ns=(0, (T0 - i) * 10**9 + i))
    return path


def edit(source: Path, at: int) -> None:
    """Touches, changes, removes and adds a few files."""
    plain = sorted(p for p in source.rglob("*") if p.is_file() and not p.is_symlink() and p.stat().st_nlink == 1)
    os.utime(plain[at], ns=(0, (T0 + at) * 10**9))
    plain[len(plain) // 2].write_bytes(noise(500 + at, 5000))
    plain[-1].chmod(0o600 if plain[-1].stat().st_mode & 0o777 != 0o600 else 0o640)
    plain[len(plain) // 3].unlink()
    (source / f"new{at}").write_bytes(noise(900 + at, 3000))


def backup(client: Client, source: Path, at: int, mode: str = "metadata", *extra: str | Path) -> dict[str, Any]:
    """Figures of the payload archive."""
    told = client.backup(f"root.pxar:{source}", "--chunk-size", "64", *map(str, extra), at=T0 + at, mode=mode)
    return next((a for a in told["archives"] if a["name"].endswith(".ppxar.didx")), {})


def show(client: Client, *args: str | Path) -> dict[str, Any]:
    return client.expect_ok("reuse", "show", *args, "--output-format", "json").json()


def number(archive: dict[str, Any], kind: str) -> int:
    return archive["file_kinds"][kind]["number"]


# ---- the same told by the independent reader ----

class Side:
    """Chunks and payload ranges of one snapshot."""

    def __init__(self, store: Path, which: int, keyed: bool = False) -> None:
        found = oracle_store(store, keyed)
        snapshot = snapshot_dirs(store)[which]
        files = found.usable(snapshot)
        self.chunks = found.index(snapshot, files.file("root.ppxar.didx")).chunks
        self.meta = found.index(snapshot, files.file("root.mpxar.didx")).chunks
        self.files: dict[bytes, tuple[int, int]] = {}
        self.links: set[bytes] = set()
        for entry in found.reader(snapshot, "root.mpxar"):
            if entry.kind == "file" and entry.content:
                self.files[entry.path] = (entry.content.header, entry.content.size)
            elif entry.link is not None:
                self.links.add(entry.path)

    def padding(self) -> list[int]:
        """Per chunk the bytes that neither a file nor a marker has."""
        size = self.chunks[-1][1]
        ranges = [(0, 16), *[(o, o + 16 + n) for o, n in self.files.values()], (size - 16, size)]
        return [end - start - sum(max(0, min(end, z) - max(start, a)) for a, z in ranges) for start, end, _ in self.chunks]

    def sent(self, before: Side | None) -> set[str]:
        known = {d for _, _, d in before.chunks} if before else set()
        return {d.hex() for _, _, d in self.chunks} - {d.hex() for d in known}


def check_against_oracle(archive: dict[str, Any], now: Side, before: Side | None) -> None:
    assert [c["padding"] for c in archive["chunks"]] == now.padding()
    assert archive["padding"] == sum(now.padding())
    assert [(c["offset"], c["offset"] + c["size"], c["digest"]) for c in archive["chunks"]] == [
        (a, z, d.hex()) for a, z, d in now.chunks]
    assert {c["digest"] for c in archive["chunks"] if c["uploaded"]} == now.sent(before)
    assert archive["uploaded"]["number"] == len(now.sent(before))
    files = {f["path"].encode(): f for f in archive["files"]}
    assert {p: (f["offset"], f["size"]) for p, f in files.items() if f["kind"] != "hardlink"} == now.files
    assert {p for p, f in files.items() if f["kind"] == "hardlink"} == now.links
    old = before.files if before else {}
    assert archive["removed_files"] == len((old.keys() | (before.links if before else set())) - now.files.keys() - now.links)
    for path, f in files.items():
        if f["kind"] == "new":
            assert path not in old
        elif f["kind"] == "reencoded":
            assert f["why"], path
        elif f["kind"] == "reused":
            same_bytes_of_chunks(f, now, before, old[path][0])


def same_bytes_of_chunks(f: dict[str, Any], now: Side, before: Side | None, old: int) -> None:
    """A re-used file lies in the chunks it lay in, at the same place."""
    assert before is not None and f["previous_offset"] == old
    first = next(i for i, (a, z, _) in enumerate(before.chunks) if a <= old < z)
    ours = now.chunks[f["first_chunk"]:f["first_chunk"] + f["chunks"]]
    assert [d for _, _, d in ours] == [d for _, _, d in before.chunks[first:first + f["chunks"]]]
    assert f["offset"] - ours[0][0] == old - before.chunks[first][0]


def test_figures_are_those_of_backup_journal_and_oracle(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    sides: list[Side] = []
    for at in range(4):
        mark = len(pbs_server.journal_lines())
        told = backup(client, source, at, "metadata" if at else "data")
        events = pbs_server.journal_lines()[mark:]
        sides.append(Side(pbs_server.store, at))
        report = show(client, "host/box")
        archive = report["archives"][0]
        check_against_oracle(archive, sides[at], sides[at - 1] if at else None)
        uploads = {e["digest"] for e in events if e["event"] == "chunk"}
        meta = {d for _, _, d in sides[at].meta} - ({d for _, _, d in sides[at - 1].meta} if at else set())
        assert uploads == sides[at].sent(sides[at - 1] if at else None) | {d.hex() for d in meta}
        assert archive["metadata_uploaded"]["number"] == len(meta)
        assert archive["uploaded"]["bytes"] == sum(
            e["size"] for e in events if e["event"] == "chunk" and bytes.fromhex(e["digest"]) not in meta)
        assert number(archive, "reused") == told["reused_files"]
        assert archive["injected"]["number"] == told["injected_chunks"]
        assert archive["injected"]["bytes"] == told["injected_bytes"]
        assert report["direct"] and (report["against"] is None) == (at == 0)
        edit(source, at)
    assert number(archive, "reused") > 40 and archive["padding"] > 0


@pytest.mark.parametrize("seed", range(3))
def test_random_trees(dir_repo: Repo, tmp_path: Path, seed: int) -> None:
    """Links, devices, empty files and odd names."""
    source = small_tree(tmp_path / "source", seed=seed, entries=150)
    before = None
    for at in range(3):
        told = backup(dir_repo.client, source, at, "metadata" if at else "data")
        now = Side(dir_repo.store, at)
        archive = show(dir_repo.client, "host/box")["archives"][0]
        check_against_oracle(archive, now, before)
        assert (number(archive, "reused"), archive["injected"]["number"]) == (told["reused_files"], told["injected_chunks"])
        before = now
        edit(source, at)


def test_reasons_are_the_edits(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source", files=60, size=30000)
    backup(dir_repo.client, source, 0, "data")
    os.utime(source / "d0" / "f0003", ns=(0, T0 * 10**9))
    (source / "d1" / "f0020").write_bytes(b"short")
    os.utime(source / "d1" / "f0020", ns=(0, (T0 - 20) * 10**9 + 20))
    (source / "d2" / "f0040").chmod(0o600)
    (source / "d3" / "f0050").rename(source / "d3" / "moved")
    backup(dir_repo.client, source, 1)
    archive = show(dir_repo.client, "host/box")["archives"][0]
    why = {f["path"]: f["why"] for f in archive["files"] if f["kind"] == "reencoded" and f["why"] != ["padding"]}
    assert why == {"d0/f0003": ["mtime"], "d1/f0020": ["size"], "d2/f0040": ["mode"]}
    assert [f["path"] for f in archive["files"] if f["kind"] == "new"] == ["d3/moved"]
    assert all(f["waste_permille"] > 100 for f in archive["files"] if f.get("why") == ["padding"])
    assert archive["removed_files"] == 1


def test_generations_tell_how_long_chunks_stay(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    for at in range(4):
        backup(dir_repo.client, source, at, "metadata" if at else "data")
    report = show(dir_repo.client, "host/box", "--generations", "3")
    assert [g["snapshot"] for g in report["generations"]] == snapshots_of(dir_repo.store)[-3:]
    archive = report["archives"][0]
    assert archive["pieces"] == 1 and number(archive, "reused") == 120
    assert {f["age"] for f in archive["files"]} == {3}
    assert report["generations"][-1]["archives"][0]["padding"] == archive["padding"]
    assert len(show(dir_repo.client, "host/box", "--generations", "9")["generations"]) == 4
    text = dir_repo.client.expect_ok("reuse", "show", "host/box").stdout
    assert "120 of 120 files re-used without reading" in text and "the snapshot before it" in text


def test_against_another_snapshot(dir_repo: Repo, tmp_path: Path) -> None:
    """What a snapshot in between brought in is not in the older one, although the last backup did not read it."""
    source = tree_of(tmp_path / "source")
    backup(dir_repo.client, source, 0, "data")
    (source / "late").write_bytes(noise(5, 200_000))
    backup(dir_repo.client, source, 1)
    backup(dir_repo.client, source, 2)
    first, second, third = snapshots_of(dir_repo.store)
    assert show(dir_repo.client, third, "--against", second)["direct"] is True
    report = show(dir_repo.client, third, "--against", first)
    assert report["direct"] is False and report["against"] == first
    late = next(f for f in report["archives"][0]["files"] if f["path"] == "late")
    assert late["kind"] == "kept"
    assert number(report["archives"][0], "reused") >= 110
    out = dir_repo.client.expect_ok("reuse", "show", third, "--against", first).stdout
    assert "not in the other snapshot" in out
    dir_repo.client.expect_failure(2, "mutually exclusive", "reuse", "show", third, "--against", first, "--generations", "2")


def test_encrypted_snapshots(repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    for at in range(2):
        told = backup(repo.client, source, at, "metadata" if at else "data", "--keyfile", KEYFILE)
    archive = show(repo.client, "host/box", "--keyfile", KEYFILE)["archives"][0]
    check_against_oracle(archive, Side(repo.store, 1, keyed=True), Side(repo.store, 0, keyed=True))
    assert number(archive, "reused") == told["reused_files"] == 120
    repo.client.expect_failure(3, "key", "reuse", "show", "host/box")


def test_payload_is_never_fetched(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    backup(client, source, 0, "data")
    backup(client, source, 1)
    mark = len(pbs_server.journal_lines())
    client.expect_ok("reuse", "show", "host/box", "--html", tmp_path / "map.html")
    read = {e["digest"] for e in pbs_server.journal_lines()[mark:] if e["event"] == "chunk-read"}
    assert read == {d.hex() for which in range(2) for _, _, d in Side(pbs_server.store, which).meta}


def test_other_modes_are_named(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    backup(dir_repo.client, source, 0, "legacy")
    dir_repo.client.expect_failure(1, "made in legacy mode", "reuse", "show", "host/box")
    backup(dir_repo.client, source, 1)
    report = show(dir_repo.client, "host/box")
    assert report["archives"][0]["not_compared_because"] == "the snapshot before it has this archive in one stream, not split"
    assert number(report["archives"][0], "new") == 120
    backup(dir_repo.client, source, 2, "data")
    archive = show(dir_repo.client, "host/box")["archives"][0]
    assert number(archive, "reencoded") == 120 and archive["uploaded"]["number"] == 0
    assert {tuple(f["why"]) for f in archive["files"]} == {("no-reuse",)}
    assert "data mode" in dir_repo.client.expect_ok("reuse", "show", "host/box").stdout
    (tmp_path / "x.conf").write_text("x")
    dir_repo.client.expect_ok("backup", f"x.conf:{tmp_path / 'x.conf'}", "--backup-id", "conf")
    dir_repo.client.expect_failure(1, "no archive of files", "reuse", "show", "host/conf")


def test_draft_with_two_archives(dir_repo: Repo, tmp_path: Path) -> None:
    """Split archives of the draft's names are found like the released ones."""
    source = tree_of(tmp_path / "source")
    for at in range(2):
        told = dir_repo.client.backup(f"root.pxar:{source}", "--chunk-size", "64", "--format-profile", "draft-split", at=T0 + at,
                                      mode="metadata")
    archive = show(dir_repo.client, "host/box")["archives"][0]
    assert (archive["name"], archive["metadata_archive"]) == ("root.pxar", "root.pxar.meta.didx")
    assert number(archive, "reused") == sum(a.get("reused_files") or 0 for a in told["archives"]) > 0


def test_several_archives_and_other_files(dir_repo: Repo, tmp_path: Path) -> None:
    one, two = tree_of(tmp_path / "one"), tree_of(tmp_path / "two", files=40)
    (tmp_path / "x.conf").write_text("x")
    for at in range(2):
        dir_repo.client.backup(f"one.pxar:{one}", f"two.pxar:{two}", f"x.conf:{tmp_path / 'x.conf'}", "--chunk-size", "64",
                               at=T0 + at, mode="metadata")
    report = show(dir_repo.client, "host/box", "--html", tmp_path / "map.html")
    assert [(a["name"], number(a, "reused")) for a in report["archives"]] == [("one.pxar", 120), ("two.pxar", 40)]
    assert [(o["name"], o["what"]) for o in report["others"]] == [("x.conf.blob", "file")]
    page = (tmp_path / "map.html").read_text()
    assert page.count("<section>") == 2 and "x.conf.blob" in page


HOSTILE = ["<script>alert(1)</script>"[:24].replace("/", "|"), "a\x1b[31mred", "\u202egnp.exe", "line\nbreak", "tab\t", "&amp;",
           "quote\"'", "</title>".replace("/", "\\"), "x" * 255, "\x7f", "c1\x9b31m"]


def test_hostile_names_stay_names(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source", files=20)
    backup(dir_repo.client, source, 0, "data")
    for name in HOSTILE:
        (source / name).write_bytes(noise(1, 100))
    with open(os.fsencode(source) + b"/\xff\xfe", "wb") as f:
        f.write(b"not text")
    backup(dir_repo.client, source, 1)
    result = dir_repo.client.expect_ok("reuse", "show", "host/box", "--html", tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    assert not ROOM.search(result.stdout) and not ROOM.search(page)
    assert "<script" not in page and "</title>\n<style>" in page and page.count("<title>Re-use") == 1
    assert "&lt;script&gt;alert(1)&lt;|scrip" in page and "\\u{1b}[31mred" in page
    paths = {f["path"] for f in show(dir_repo.client, "host/box")["archives"][0]["files"]}
    assert set(HOSTILE) <= paths


def test_page_replaces_a_file_and_failure_leaves_it(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source", files=20)
    backup(dir_repo.client, source, 0, "data")
    page = tmp_path / "map.html"
    page.write_text("old")
    dir_repo.client.expect_failure(1, "", "reuse", "show", "host/nobody", "--html", page)
    assert page.read_text() == "old"
    dir_repo.client.expect_ok("reuse", "show", "host/box", "--html", page)
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert sorted(p.name for p in tmp_path.glob("map*")) == ["map.html"]
    dir_repo.client.expect_failure(1, "missing/map.html", "reuse", "show", "host/box", "--html", tmp_path / "missing" / "map.html")


def test_damaged_metadata_is_refused(dir_repo: Repo, tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source", files=20)
    backup(dir_repo.client, source, 0, "data")
    for _, _, digest in Side(dir_repo.store, 0).meta:
        path = dir_repo.store / ".chunks" / digest.hex()[:4] / digest.hex()
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
    dir_repo.client.expect_failure(3, "root.pxar", "reuse", "show", "host/box")


@pytest.mark.parametrize("which", [1, 2])
def test_snapshots_of_the_original(which: int, golden_store: Path, make_client: Callable[..., Client]) -> None:
    """Figures for the original's own runs are those it printed."""
    runs = [s.path for s in snapshot_dirs(golden_store) if s.path.startswith("host/reuse/")]
    (golden_store / "host" / "reuse" / "owner").write_text("root@pam\n")
    archive = show(make_client(PBS_REPOSITORY=f"dir:{golden_store}"), runs[which])["archives"][0]
    said = (CLIENT_OUTPUT / f"reuse-{which}.txt").read_text()
    files = re.search(r" - (\d+) unchanged, reusable files .*\n - (\d+) changed or non-reusable", said)
    padding = re.search(r" - (.*) padding in (\d+) partially", said)
    assert files and padding
    assert (number(archive, "reused"), number(archive, "reencoded") + number(archive, "new")) == tuple(map(int, files.groups()))
    assert archive["chunk_kinds"]["reused-part"]["number"] == int(padding[2])
    assert human(archive["padding"]) == padding[1]


def test_huge_indexes_give_a_bounded_page(dir_repo: Repo, tmp_path: Path) -> None:
    """More chunks than cells."""
    source = tmp_path / "source"
    source.mkdir()
    for i in range(12):
        (source / f"f{i}").write_bytes(noise(i, 1_500_000))
    for at in range(9):
        backup(dir_repo.client, source, at, "metadata" if at else "data")
    dir_repo.client.expect_ok("reuse", "show", "host/box", "--html", tmp_path / "map.html", "--generations", "9")
    page = (tmp_path / "map.html").read_text()
    chunks = show(dir_repo.client, "host/box")["archives"][0]["payload_chunks"]
    assert page.count("<svg class=map") == 9
    assert len(page) < 4_000_000 and chunks > 150
