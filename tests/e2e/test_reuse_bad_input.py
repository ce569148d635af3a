# covers: CDM-027 CDM-030 CDM-032 CDM-033 CDM-042 CDM-049 CDM-059 CDM-087 CDM-143 CDM-167 CDM-169 BKP-132 BKP-184 BKP-230 CDM-179 CDM-180
# SPDX-License-Identifier: MIT
"""Metadata mode on bad input: a previous snapshot that is damaged.

Always the same: either a new snapshot that holds what it must, or an orderly failure; the previous snapshot is untouched."""
from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from lib_damage import (entries_of, index_rows, item_at, patch, read_archive, read_manifest, replace_archive, replace_index)
from support import T0, Client, Repo, Result, Server, assert_holds, assert_sound, noise, snapshot_dirs, snapshots_of, thirty_files

GOODBYE = (0x2FEC4FA642D5731D).to_bytes(8, "little")
SUMMARY = "Change detection summary:"
USING = "Using previous index as metadata reference for 'root.mpxar.didx'"
SIZE = 20_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return thirty_files(tmp_path / "source", SIZE)


def backup_args(source: Path, at: int, mode: str = "metadata") -> list[str]:
    return ["backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + at), "--chunk-size", "64",
            "--change-detection-mode", mode, "--output-format", "json"]


def first_backup(repo: Repo, source: Path) -> None:
    repo.client.expect_ok(*backup_args(source, 0, "data"))


def reused_files(result: Result) -> int:
    return next(a["reused_files"] for a in result.json()["archives"] if a["name"] == "root.ppxar.didx")


def digest_of(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


class Previous:
    """The snapshot of time 0 as it is now: the next run may not touch it."""

    def __init__(self, store: Path) -> None:
        self.store, self.folder = store, store / snapshot_dirs(store)[0].path
        self.files = digest_of(self.folder)

    def check_failure(self, result: Result, text: str) -> None:
        """It failed in an orderly way, with this text; nothing new is there."""
        assert result.exit in (1, 3, 4) and text in result.stderr, result.stderr
        assert result.lines()[-1].startswith("Error: ")
        assert digest_of(self.folder) == self.files
        assert len(snapshots_of(self.store)) == 1

    def check_success(self, result: Result, source: Path) -> None:
        """A new snapshot that holds the source."""
        assert result.exit == 0, result.stderr
        assert digest_of(self.folder) == self.files
        assert_holds(self.store, "host/box/latest", "root.mpxar", source)


# ---- the previous metadata archive ----

def tables(archive: bytes) -> list[int]:
    """Where goodbye tables begin, in archive order; the last one is the root's."""
    out, at = [], archive.find(GOODBYE)
    while at >= 0:
        out.append(at)
        at = archive.find(GOODBYE, at + 1)
    return out


def cut_in_half(archive: bytes) -> bytes:
    return archive[:len(archive) // 2]


def cut_one_byte(archive: bytes) -> bytes:
    return archive[:-1]


def bad_version(archive: bytes) -> bytes:
    return patch(archive, 16, (9).to_bytes(8, "little"))


def bad_first_header(archive: bytes) -> bytes:
    return patch(archive, 0, bytes(8))


def root_tail_garbled(archive: bytes) -> bytes:
    return patch(archive, len(archive) - 24, bytes(24))


def root_tail_of_another_directory(archive: bytes) -> bytes:
    return patch(archive, len(archive) - 16, (24).to_bytes(8, "little"))


def subdir_tail_garbled(archive: bytes) -> bytes:
    at = tables(archive)[0]
    size = int.from_bytes(archive[at + 8:at + 16], "little")
    return patch(archive, at + size - 24, bytes(24))


def subdir_entry_garbled(archive: bytes) -> bytes:
    """The ENTRY of the first file that is looked up."""
    at = archive.find(b"f00\0") + 4
    return patch(archive, at, noise(1, 16))


def record_with_wrong_hash(archive: bytes) -> bytes:
    return patch(archive, tables(archive)[0] + 16, noise(2, 8))


def record_with_wrong_offset(archive: bytes) -> bytes:
    at = tables(archive)[0] + 16 + 8
    return patch(archive, at, (int.from_bytes(archive[at:at + 8], "little") + 24).to_bytes(8, "little"))


def record_that_points_out(archive: bytes) -> bytes:
    return patch(archive, tables(archive)[0] + 16 + 8, (1 << 40).to_bytes(8, "little"))


def record_with_wrong_size(archive: bytes) -> bytes:
    return patch(archive, tables(archive)[0] + 16 + 16, (8).to_bytes(8, "little"))


FAILS = "cannot read the previous metadata archive: "
ROOT_LOST = "cannot open the previous root directory, all files are encoded: "
# what the program says, and how it goes on: all is encoded, the backup fails, or only what is lost is encoded
ARCHIVE_DAMAGE: list[tuple[Callable[[bytes], bytes], str, str]] = [
    (cut_in_half, ROOT_LOST, "encodes"),
    (cut_one_byte, ROOT_LOST, "encodes"),
    (root_tail_garbled, ROOT_LOST, "encodes"),
    (root_tail_of_another_directory, ROOT_LOST, "encodes"),
    (bad_version, FAILS + "unknown format version 9", "fails"),
    (bad_first_header, FAILS + "archive starts with item UNKNOWN", "fails"),
    (subdir_tail_garbled, FAILS + "no goodbye tail marker found", "fails"),
    (subdir_entry_garbled, FAILS + "item UNKNOWN", "fails"),
    (record_with_wrong_offset, FAILS, "fails"),
    (record_that_points_out, FAILS + "invalid file offset", "fails"),
    (record_with_wrong_size, FAILS + "unexpected EOF", "fails"),
    (record_with_wrong_hash, "", "goes on"),
]


@pytest.mark.parametrize("damage,text,then", ARCHIVE_DAMAGE, ids=[d.__name__ for d, _, _ in ARCHIVE_DAMAGE])
def test_damaged_archive(dir_repo: Repo, source: Path, damage: Callable[[bytes], bytes], text: str, then: str) -> None:
    """What cannot be opened at all or is met on the way ends the backup, a lost root directory only costs re-use [CDM-032]."""
    first_backup(dir_repo, source)
    replace_archive(dir_repo.store, 0, damage(read_archive(dir_repo.store, 0)))
    previous = Previous(dir_repo.store)
    result = dir_repo.client.run(*backup_args(source, 1))
    assert USING in [line.rstrip() for line in result.lines()]
    if then == "fails":
        previous.check_failure(result, text)
        dir_repo.client.expect_ok(*backup_args(source, 2, "data"))  # the way out
        assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)
        return
    previous.check_success(result, source)
    assert text in result.stderr and SUMMARY in result.stderr
    assert reused_files(result) == 0 if then == "encodes" else 0 < reused_files(result) < 30


# ---- its references ----

def reference(store: Path, path: bytes) -> tuple[int, int, int]:
    """Where the PAYLOAD_REF's content is in the archive; its offset and size."""
    entry = entries_of(store, 0)[path]
    assert entry.content is not None
    return item_at(entry, "PAYLOAD_REF") + 16, entry.content.offset - 16, entry.content.size


U64 = 1 << 64
# name: how d1/f12's reference is changed, given d1/f11's offset and the length of the stream; whether that gives a warning
REFERENCES: dict[str, tuple[Callable[[int, int], tuple[int, int]], bool]] = {
    "behind the end": (lambda before, length: (length, SIZE), False),
    "at the very end": (lambda before, length: (length - 16 - SIZE, SIZE), False),
    "beyond 64 bits": (lambda before, length: (U64 - 1, SIZE), False),
    "up to 64 bits": (lambda before, length: (U64 - 16 - SIZE, SIZE), False),
    "the same again": (lambda before, length: (before, SIZE), True),
    "before it": (lambda before, length: (before - 1, SIZE), True),
    "to the beginning": (lambda before, length: (16, SIZE), True),
    "overlapping it": (lambda before, length: (before + 16, SIZE), True),
    "another size": (lambda before, length: (before + 16 + SIZE, SIZE + 1), False),
    "a huge size": (lambda before, length: (before + 16 + SIZE, U64 - 1), False),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_damaged_reference(dir_repo: Repo, source: Path, name: str) -> None:
    """The file is encoded, with the original's warning if only the order tells [CDM-049, CDM-059]."""
    first_backup(dir_repo, source)
    place, _, _ = reference(dir_repo.store, b"d1/f12")
    _, before, _ = reference(dir_repo.store, b"d1/f11")
    make, warns = REFERENCES[name]
    offset, size = make(before, index_rows(dir_repo.store, 0)[-1][0])
    replace_archive(dir_repo.store, 0, patch(read_archive(dir_repo.store, 0), place, struct.pack("<QQ", offset, size)))
    previous = Previous(dir_repo.store)
    result = dir_repo.client.run(*backup_args(source, 1))
    previous.check_success(result, source)
    assert 0 < reused_files(result) < 30
    warning = (f're-encode: "f12" previous archive payload offset {offset} not strictly greater than last seen {before}, '
               "treating as non-reusable")
    assert (warning in result.stderr) == warns, result.stderr


def test_reference_into_the_start_marker(dir_repo: Repo, source: Path) -> None:
    """No archive has that: it cannot be read."""
    first_backup(dir_repo, source)
    place, _, _ = reference(dir_repo.store, b"d0/f00")
    replace_archive(dir_repo.store, 0, patch(read_archive(dir_repo.store, 0), place, (15).to_bytes(8, "little")))
    previous = Previous(dir_repo.store)
    result = dir_repo.client.run(*backup_args(source, 1))
    if result.exit == 0:
        previous.check_success(result, source)
        assert reused_files(result) < 30
    else:
        previous.check_failure(result, FAILS)


def test_swapped_references_of_equal_files_are_harmless(dir_repo: Repo, source: Path) -> None:
    """CDM-167: two files of equal content, offsets the wrong way round: one of them is encoded, with a warning."""
    content = noise(7, SIZE)
    (source / "d1" / "f11").write_bytes(content)
    (source / "d1" / "f12").write_bytes(content)
    first_backup(dir_repo, source)
    one, two = reference(dir_repo.store, b"d1/f11"), reference(dir_repo.store, b"d1/f12")
    archive = patch(read_archive(dir_repo.store, 0), one[0], two[1].to_bytes(8, "little"))
    replace_archive(dir_repo.store, 0, patch(archive, two[0], one[1].to_bytes(8, "little")))
    previous = Previous(dir_repo.store)
    result = dir_repo.client.run(*backup_args(source, 1))
    previous.check_success(result, source)
    assert f're-encode: "f12" previous archive payload offset {one[1]} not strictly greater than last seen {two[1]}' in \
        result.stderr
    after = dir_repo.client.expect_ok(*backup_args(source, 2))
    assert "re-encode: " not in after.stderr  # healthy again
    assert_holds(dir_repo.store, "host/box/latest", "root.mpxar", source)


# ---- the previous payload index ----

def test_index_that_is_too_short(dir_repo: Repo, source: Path) -> None:
    """CDM-169: the metadata refers to more than there is."""
    first_backup(dir_repo, source)
    replace_index(dir_repo.store, 0, "root.ppxar.didx", index_rows(dir_repo.store, 0)[:20])
    previous = Previous(dir_repo.store)
    result = dir_repo.client.run(*backup_args(source, 1))
    previous.check_success(result, source)
    assert 0 < reused_files(result) <= 20


Rows = list[tuple[int, bytes]]
INDEXES: dict[str, Callable[[Rows], Rows]] = {
    "not increasing": lambda rows: [rows[1], rows[0], *rows[2:]],
    "an empty chunk": lambda rows: [rows[0], rows[0], *rows[1:]],
    "a chunk of 17 MiB": lambda rows: [*rows, (rows[-1][0] + (17 << 20), bytes(32))],
}


@pytest.mark.parametrize("name", INDEXES)
def test_index_that_no_server_makes(dir_repo: Repo, source: Path, name: str) -> None:
    first_backup(dir_repo, source)
    replace_index(dir_repo.store, 0, "root.ppxar.didx", INDEXES[name](index_rows(dir_repo.store, 0)))
    previous = Previous(dir_repo.store)
    previous.check_failure(dir_repo.client.run(*backup_args(source, 1)), "root.ppxar.didx")


def damaged_previous(repo: Repo, source: Path, index: str, damage: str) -> Previous:
    """A first backup, an index of which is not what the manifest says."""
    first_backup(repo, source)
    damage_index(repo.store / snapshot_dirs(repo.store)[0].path / index, damage)
    return Previous(repo.store)


@pytest.mark.parametrize("damage", ["cut", "flipped", "magic", "empty"])
def test_payload_index_that_is_not_the_manifests(repo: Repo, source: Path, damage: str) -> None:
    """CDM-030: this one ends the backup."""
    previous = damaged_previous(repo, source, "root.ppxar.didx", damage)
    previous.check_failure(repo.client.run(*backup_args(source, 1)), "root.ppxar.didx")


@pytest.mark.parametrize("damage", ["cut", "flipped", "magic", "empty"])
def test_metadata_index_that_is_not_the_manifests(repo: Repo, source: Path, damage: str) -> None:
    """CDM-027: no reference."""
    previous = damaged_previous(repo, source, "root.mpxar.didx", damage)
    result = repo.client.run(*backup_args(source, 1))
    previous.check_success(result, source)
    assert "No previous metadata index, continue without reference" in result.stderr
    assert SUMMARY not in result.stderr and reused_files(result) == 0


def damage_index(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "cut":
        data = data[:-40] if len(data) > 4096 + 40 else data[:-8]
    elif how == "flipped":
        data = data[:-1] + bytes([data[-1] ^ 1])
    elif how == "magic":
        data = bytes(8) + data[8:]
    else:
        data = b""
    path.write_bytes(data)


# ---- chunks that the server has no more ----

@pytest.mark.parametrize("mode", ["metadata", "data"])
def test_payload_chunks_are_gone(repo: Repo, source: Path, mode: str) -> None:
    """The append is refused, the previous snapshot is marked, and the next backup sends all again [BKP-132, BKP-184]."""
    first_backup(repo, source)
    for _, digest in index_rows(repo.store, 0)[3:6]:
        (repo.store / ".chunks" / digest.hex()[:4] / digest.hex()).unlink()
    previous = Previous(repo.store)
    previous.files.pop("index.json.blob")
    result = repo.client.run(*backup_args(source, 1, mode))
    assert result.exit == 4 and "no such chunk " in result.lines()[-1], result.stderr
    assert digest_of(previous.folder).items() >= previous.files.items()
    assert read_manifest(repo.store, 0)["unprotected"]["verify_state"]["state"] == "failed"
    assert len(snapshots_of(repo.store)) == 1
    again = repo.client.expect_ok(*backup_args(source, 2))
    assert "No previous manifest available." in again.stderr and reused_files(again) == 0
    assert_holds(repo.store, "host/box/latest", "root.mpxar", source)
    assert_sound(repo.store, snapshots=2)  # the first one is whole again too
    assert reused_files(repo.client.expect_ok(*backup_args(source, 3))) == 30


@pytest.mark.parametrize("nth", [1, 2])
def test_server_that_refuses_an_injected_chunk(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                               source: Path, nth: int) -> None:
    """It does not know the chunk, whatever it said before."""
    server = make_server()
    first_backup(Repo(make_client(server), server.store, server), source)
    previous = Previous(server.store)
    server = make_server(store=server.store, faults=(f"PUT /dynamic_index#{nth}:status=400,no such chunk 00",))
    client = make_client(server)
    previous.check_failure(client.run(*backup_args(source, 1)), "no such chunk 00")
    previous.check_success(client.run(*backup_args(source, 2)), source)
    assert_sound(server.store, snapshots=2)
