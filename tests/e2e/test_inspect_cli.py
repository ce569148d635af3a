# covers: PXAR-134 PXAR-135 PXAR-036 IDX-015 IDX-030 IDX-051 BLOB-059 BLOB-061 CAT-080 MAN-048 CRY-037 CHK-086 PXAR-271
# SPDX-License-Identifier: MIT
"""`pbsref inspect`, `blob encode` and `chunk --script`, against the independent reader."""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import GOLDEN, KEYFILE, ROOT, Client

from oracle import blob, pxar
from oracle.crypto import load_key

NESTED = GOLDEN / "pxar" / "nested"
VECTORS = ROOT / "spec" / "vectors"


@pytest.fixture
def cli(make_client: Callable[..., Client]) -> Client:
    return make_client()


def inspect(cli: Client, *args: str | Path) -> Any:
    return cli.expect_ok("inspect", *args, "--output-format", "json").json()


def vector(name: str, section: str, number: int = 0) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())[section][number]


# ---- recognition ----

@pytest.mark.parametrize("path, kind", [(f"{NESTED}.pxar", "archive"), (f"{NESTED}.mpxar", "archive"), (f"{NESTED}.ppxar", "payload"), (KEYFILE, "key")])
def test_files_are_recognised_by_their_magic(cli: Client, path: str | Path, kind: str) -> None:
    assert inspect(cli, path)["type"] == kind


def test_files_of_a_datastore_are_recognised(cli: Client, golden_store: Path) -> None:
    snapshot = golden_store / "host" / "mixed" / "2023-11-14T22:13:20Z"
    found = {p.name: inspect(cli, p)["type"] for p in snapshot.iterdir()}
    assert found == {"catalog.pcat1.didx": "dynamic-index", "root.pxar.didx": "dynamic-index", "disk.img.fidx": "fixed-index",
                     "etc.conf.blob": "blob", "index.json.blob": "blob"}


def test_a_catalog_is_recognised(cli: Client, tmp_path: Path) -> None:
    raw = bytes.fromhex(vector("catalog", "files")["file_hex"])
    (tmp_path / "c").write_bytes(raw)
    assert inspect(cli, tmp_path / "c")["type"] == "catalog"


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 100, b"[]", NESTED.name.encode() * 20])
def test_other_files_are_refused(cli: Client, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    cli.expect_failure(3, "no magic of a known format", "inspect", tmp_path / "f")


def test_a_type_that_does_not_fit_is_refused_with_its_rule(cli: Client, golden_store: Path) -> None:
    snapshot = golden_store / "host" / "mixed" / "2023-11-14T22:13:20Z"
    cli.expect_failure(3, "IDX-015", "inspect", "--type", "fixed-index", snapshot / "root.pxar.didx")
    cli.expect_failure(3, "BLOB-0", "inspect", "--type", "blob", snapshot / "root.pxar.didx")
    cli.expect_failure(3, "PXAR-134", "inspect", "--type", "payload", f"{NESTED}.pxar")
    cli.expect_failure(3, "MAN-0", "inspect", "--type", "manifest", KEYFILE)


# ---- archives ----

def test_entries_are_those_of_the_archive(cli: Client) -> None:
    for args in ([f"{NESTED}.pxar"], [f"{NESTED}.mpxar", "--payload-input", f"{NESTED}.ppxar"]):
        view = inspect(cli, *args)
        wanted = pxar.parse(*(Path(a).read_bytes() for a in args if a != "--payload-input"))
        assert [e["path"] for e in view["entries"]] == [os.fsdecode(e.path) for e in wanted]
        assert view["version"] == str(len(args) // 2 + 1)
        assert all("sha256" in e for e in view["entries"] if e["kind"] == "file")


def test_a_metadata_archive_alone_shows_no_contents(cli: Client) -> None:
    files = [e for e in inspect(cli, f"{NESTED}.mpxar")["entries"] if e["kind"] == "file"]
    assert files and not any("sha256" in e for e in files)


def test_bytes_behind_an_archive_are_an_error(cli: Client, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(Path(f"{NESTED}.pxar").read_bytes() + b"\0")
    cli.expect_failure(3, "PXAR-036", "inspect", tmp_path / "a")


def test_lookups_find_what_is_there(cli: Client) -> None:
    entries = inspect(cli, f"{NESTED}.pxar")["entries"]
    words = [w for e in entries for w in ("--lookup", e["path"])]
    assert inspect(cli, f"{NESTED}.pxar", *words, "--lookup", "no/such")["found"] == [*entries, None]


def test_lookups_neither_go_up_nor_below_a_file(cli: Client) -> None:
    file = next(e["path"] for e in inspect(cli, f"{NESTED}.pxar")["entries"] if e["kind"] == "file")
    for path in ("..", f"{file}/x"):
        cli.expect_failure(2, "PXAR-271", "inspect", f"{NESTED}.pxar", "--lookup", path)


def test_items_are_those_of_the_stream(cli: Client) -> None:
    items = inspect(cli, f"{NESTED}.pxar", "--items")["items"]
    assert (items[0], items[-1]["type"]) == ({"type": "ENTRY", "offset": "0", "size": "56"}, "GOODBYE")
    assert int(items[-1]["offset"]) + int(items[-1]["size"]) == os.path.getsize(f"{NESTED}.pxar")


def test_a_payload_without_tail_is_refused(cli: Client, tmp_path: Path) -> None:
    whole = Path(f"{NESTED}.ppxar").read_bytes()
    for cut in (1, 16, len(whole) - 16):
        (tmp_path / "p").write_bytes(whole[:-cut])
        cli.expect_failure(3, "PXAR-135", "inspect", tmp_path / "p", "--type", "payload")


# ---- blobs ----

@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("plain", [b"", b"hello", b"a" * 10_000])
def test_blobs_go_there_and_back(cli: Client, tmp_path: Path, plain: bytes, compress: bool, keyed: bool) -> None:
    key = ["--keyfile", str(KEYFILE)] if keyed else []
    (tmp_path / "in").write_bytes(plain)
    cli.expect_ok("blob", "encode", tmp_path / "in", tmp_path / "blob", *key, *(["--compress"] if compress else []))
    raw = (tmp_path / "blob").read_bytes()
    assert blob.decode(raw, load_key(str(KEYFILE)) if keyed else None) == plain
    view = inspect(cli, tmp_path / "blob", "--output", tmp_path / "out", *key)
    assert (tmp_path / "out").read_bytes() == plain
    assert view["kind"] == blob.parse(raw).kind and view["size"] == str(len(plain))
    assert keyed or view["digest"] == hashlib.sha256(plain).hexdigest()


def test_existing_files_are_not_overwritten(cli: Client, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x")
    cli.expect_failure(1, "cannot create", "blob", "encode", tmp_path / "in", tmp_path / "in")
    cli.expect_ok("blob", "encode", tmp_path / "in", tmp_path / "blob")
    cli.expect_failure(1, "cannot create", "inspect", tmp_path / "blob", "--output", tmp_path / "in")
    assert (tmp_path / "in").read_bytes() == b"x"


def test_digest_and_size_are_checked(cli: Client, tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(bytes.fromhex(vector("blob", "valid", 1)["blob_hex"]))
    good = hashlib.sha256(b"hello").hexdigest()
    inspect(cli, path, "--digest", good, "--size", "5")
    cli.expect_failure(3, "BLOB-059", "inspect", path, "--digest", "00" * 32)
    cli.expect_failure(3, "BLOB-061", "inspect", path, "--size", "4")
    cli.expect_failure(2, "64 hexadecimal digits", "inspect", path, "--digest", "xyz")


# ---- indexes, catalogs, manifests, keys ----

def test_lookups_in_an_index(cli: Client, golden_store: Path) -> None:
    path = golden_store / "host" / "mixed" / "2023-11-14T22:13:20Z" / "disk.img.fidx"
    view = inspect(cli, path, "--offset", "0", "--offset", "4194304", "--offset", "9999999999")
    assert view["lookups"] == [{"chunk": "0", "start": "0"}, {"chunk": "1", "start": "4194304"}, None]
    assert view["chunk-size"] == "4194304" and view["kind"] == "fixed"


def test_the_entries_of_a_catalog(cli: Client, tmp_path: Path) -> None:
    from oracle import catalog
    raw = bytes.fromhex(vector("catalog", "files")["file_hex"])
    (tmp_path / "c").write_bytes(raw)
    shown = [e["path"].rpartition("/")[2] for e in inspect(cli, tmp_path / "c")["entries"]]

    def names(items: list[catalog.Item]) -> list[str]:
        return [n for item in items for n in (item.name.decode(), *names(item.children))]
    assert shown == names(catalog.parse(raw))


def test_a_manifest_of_another_key_is_refused(cli: Client, golden_store: Path, tmp_path: Path) -> None:
    path = golden_store / "host" / "sign" / "2023-11-14T22:13:20Z" / "index.json.blob"
    assert inspect(cli, "--type", "manifest", path, "--keyfile", KEYFILE)["signed"] == "yes"
    other = tmp_path / "other.json"
    cli.expect_ok("key", "create", other, "--kdf", "none")
    cli.expect_failure(3, "MAN-048", "inspect", "--type", "manifest", path, "--keyfile", other)


def test_a_key_shows_its_fingerprint(cli: Client) -> None:
    assert inspect(cli, KEYFILE)["fingerprint"] == load_key(str(KEYFILE)).fingerprint.hex()


# ---- chunker ----

def test_scripts_give_what_the_vectors_say(cli: Client, tmp_path: Path) -> None:
    from conformance.generate import source
    for case in json.loads((VECTORS / "chunker.json").read_text())["stream"][:12]:
        (tmp_path / "data").write_bytes(source({"gen": "segments", "args": {"parts": case["input"]}}))
        (tmp_path / "script").write_text("".join(" ".join(map(str, line)) + "\n" for line in case["script"]))
        shown = cli.expect_ok("chunk", tmp_path / "data", "--avg", str(case["avg"]), "--script", tmp_path / "script", "--output-format", "json").json()
        wanted = [{"kind": k, "size": str(n), "end": str(e)} for k, n, e in case["result"]]
        assert shown["result"] == [w for w in wanted if w["size"] != "0"], case["id"]


@pytest.mark.parametrize("script, exit_status, text", [("D 9\n", 2, "more than the file has"), ("X 1\n", 2, "not a line"), ("D\n", 2, "not a line"),
                                                       ("D 1 2 3\n", 2, "not a line"), ("F 100 5\nD 4\n", 1, "CHK-086")])
def test_scripts_that_cannot_be_played(cli: Client, tmp_path: Path, script: str, exit_status: int, text: str) -> None:
    (tmp_path / "data").write_bytes(b"12345678")
    (tmp_path / "script").write_text(script)
    cli.expect_failure(exit_status, text, "chunk", tmp_path / "data", "--avg", "1024", "--script", tmp_path / "script")


def test_keyed_digests(cli: Client, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"hello")
    shown = cli.expect_ok("chunk", tmp_path / "data", "--keyfile", KEYFILE, "--output-format", "json").json()
    assert shown == [{"offset": 0, "size": 5, "digest": load_key(str(KEYFILE)).digest(b"hello").hex()}]


# ---- conform ----

def test_conform_finds_the_suite_from_anywhere(cli: Client, tmp_path: Path) -> None:
    env = {"PBSREF_HARNESS": str(ROOT)}
    assert cli.run("conform", "list", "blob", env=env).stdout.startswith("blob/")
    assert cli.run("conform", "list", "no-such", env=env).exit == 2
    assert cli.run("conform", "--help").stdout.startswith("Usage: pbsref conform")
    lost = cli.run("conform", "list", env={"PBSREF_HARNESS": str(tmp_path)})
    assert lost.exit == 1 and "PBSREF_HARNESS" in lost.stderr
