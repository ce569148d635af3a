# covers: API-050 API-149 BKP-017 BKP-071 BKP-236 BKP-284 BKP-316 BLOB-032 BLOB-075 BLOB-100 CAT-065 CAT-076 CAT-082
# covers: CAT-088 CDM-002 CDM-004 CDM-021 CDM-022 CDM-023 CDM-024 CLI-019 CLI-033 CLI-040 CLI-043 CRT-005 CRT-006 CRT-160
# covers: CRT-161 IDX-085 IDX-086 IDX-087 IDX-088 IDX-089 IDX-090 IDX-091 IDX-095 IDX-119 IDX-125 MAN-002 MAN-004 MAN-037
# covers: RDR-101
# SPDX-License-Identifier: MIT
"""Rules of the backup and restore client, each with a run made for it: what is sent in which order, what is stored under which
name and in which form, what is refused."""
from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support import (KEYFILE, ROOT_USER, T0, Client, Repo, Server, assert_sound, chunk_files, manifest_of, mounted, noise,
                     oracle_store, small_tree, stored_bytes)

from oracle import blob, catalog, index

SNAPSHOT = "host/box/2023-11-14T22:13:20Z"
ARGS = ("--backup-id", "box", "--backup-time", str(T0))
PLAIN, ZSTD = bytes.fromhex("42ab3807be8370a1"), bytes.fromhex("31b958426fb6a37f")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tree = small_tree(tmp_path / "source", 3, 20)
    (tree / "text").write_bytes(b"the same line again\n" * 5000)
    return tree


def catalog_of(store: Path, tmp_path: Path) -> dict[str, catalog.Item]:
    """Path in the catalog -> entry."""
    found: dict[str, catalog.Item] = {}

    def walk(items: list[catalog.Item], above: str) -> None:
        for item in items:
            path = f"{above}{item.name.decode()}"
            found[path] = item
            walk(item.children or [], path + "/")

    walk(catalog.parse(stored_bytes(store, SNAPSHOT, "catalog.pcat1.didx", tmp_path / "catalog")), "")
    return found


# ---- names and order ----

@pytest.mark.parametrize(("mode", "archives"), [
    ("legacy", ["root.pxar.didx", "catalog.pcat1.didx"]), ("data", ["root.mpxar.didx", "root.ppxar.didx"]),
    ("metadata", ["root.mpxar.didx", "root.ppxar.didx"]), (None, ["root.pxar.didx", "catalog.pcat1.didx"])])
def test_files_of_a_snapshot_have_their_names(dir_repo: Repo, tmp_path: Path, source: Path, mode: str | None,
                                              archives: list[str]) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(noise(1, 5000))
    given = ["--change-detection-mode", mode] if mode else []
    dir_repo.client.expect_ok("backup", f"root.pxar:{source}", f"drive-scsi0.img:{tmp_path / 'a'}", f"qemu-server.conf:{tmp_path / 'b'}",
                              f"tasks.log:{tmp_path / 'c'}", *given, *ARGS)
    files = {"drive-scsi0.img.fidx", "qemu-server.conf.blob", "tasks.log.blob", *archives}
    assert set(os.listdir(dir_repo.store / SNAPSHOT)) == files | {"index.json.blob"}
    # the manifest lists all of them, but neither itself nor a log
    assert {f.filename for f in manifest_of(dir_repo.store, SNAPSHOT).files} == files
    assert not blob.parse((dir_repo.store / SNAPSHOT / "index.json.blob").read_bytes()).encrypted


def test_requests_of_a_backup_come_in_their_order(pbs_server: Server, client: Client, tmp_path: Path, source: Path) -> None:
    (tmp_path / "conf").write_bytes(b"x")
    other = small_tree(tmp_path / "other", 4, 5)
    client.backup(f"a.conf:{tmp_path / 'conf'}", f"one.pxar:{source}", f"disk.img:{source / 'text'}", f"two.pxar:{other}")
    requests = pbs_server.events("request")
    upgrade = next(r for r in requests if r["path"] == "/api2/json/backup")
    wanted = {"backup-id": "box", "backup-time": T0, "backup-type": "host", "benchmark": False, "debug": True,
              "store": pbs_server.datastore}
    assert {k: str(v).lower() for k, v in upgrade["params"].items()} == {k: str(v).lower() for k, v in wanted.items()}
    blobs = [r["params"]["file-name"] for r in requests if r["path"] == "/blob"]
    assert blobs == ["a.conf.blob", "index.json.blob"] and requests[-1]["path"] == "/finish"
    assert requests[-2]["params"]["file-name"] == "index.json.blob"
    # the catalog is created with the first archive and closed after the last one
    names = {e["wid"]: e["name"] for e in pbs_server.events("index-create")}
    made = list(names.values())
    assert made[0:2] in (["catalog.pcat1.didx", "one.pxar.didx"], ["one.pxar.didx", "catalog.pcat1.didx"])
    closed = [names[e["wid"]] for e in pbs_server.events("index-close")]
    assert closed == ["one.pxar.didx", "disk.img.fidx", "two.pxar.didx", "catalog.pcat1.didx"]
    conf = next(i for i, r in enumerate(requests) if r["path"] == "/blob")
    assert conf < next(i for i, r in enumerate(requests) if r["path"] == "/dynamic_index")


def test_restoring_a_snapshot_by_its_path_makes_no_call_but_the_login(pbs_server: Server, client: Client, tmp_path: Path,
                                                                      source: Path) -> None:
    client.backup(f"root.pxar:{source}")
    for i, args in enumerate((["restore", SNAPSHOT, "root.pxar", tmp_path / "out"], ["catalog", "dump", SNAPSHOT])):
        before = len(pbs_server.events("request"))
        client.expect_ok(*args, env={"XDG_RUNTIME_DIR": str(tmp_path / f"run{i}")})
        paths = [r["path"] for r in pbs_server.events("request")[before:]]
        assert paths[:2] == ["/api2/json/access/ticket", "/api2/json/reader"]
        assert set(paths[2:]) == {"/download", "/chunk"}


# ---- what is stored ----

def test_what_shrinks_is_compressed_and_the_rest_is_not(dir_repo: Repo, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for i in range(300):
        (tree / f"a rather long name {i:04d}").touch()
    (tmp_path / "text").write_bytes(b"again and " * 1000)
    (tmp_path / "noise").write_bytes(noise(7, 3000))
    dir_repo.client.backup(f"root.pxar:{tree}", f"text.conf:{tmp_path / 'text'}", f"text.log:{tmp_path / 'text'}",
                           f"noise.conf:{tmp_path / 'noise'}", f"noise.img:{tmp_path / 'noise'}", f"text.img:{tmp_path / 'text'}")
    folder = dir_repo.store / SNAPSHOT
    assert {n: (folder / n).read_bytes()[:8] == ZSTD for n in os.listdir(folder) if n.endswith(".blob")} == {
        "text.conf.blob": True, "text.log.blob": True, "noise.conf.blob": False, "index.json.blob": True}

    def kinds(name: str) -> set[bytes]:
        raw = index.parse((folder / name).read_bytes())
        step = 40 if name.endswith(".didx") else 32
        entries = (folder / name).read_bytes()[4096:]
        digests = [entries[i + step - 32:i + step].hex() for i in range(0, len(entries), step)]
        assert raw.size > 0
        return {(dir_repo.store / ".chunks" / d[:4] / d).read_bytes()[:8] for d in digests}

    assert kinds("root.pxar.didx") == kinds("text.img.fidx") == kinds("catalog.pcat1.didx") == {ZSTD}
    assert kinds("noise.img.fidx") == {PLAIN}


def test_the_manifest_has_length_and_hash_of_the_raw_blob(dir_repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "conf").write_bytes(b"key: value\n" * 100)
    dir_repo.client.backup(f"a.conf:{tmp_path / 'conf'}")
    raw = (dir_repo.store / SNAPSHOT / "a.conf.blob").read_bytes()
    (entry,) = manifest_of(dir_repo.store, SNAPSHOT).files
    assert (entry.size, entry.csum) == (len(raw), hashlib.sha256(raw).digest())
    assert blob.decode(raw) == (tmp_path / "conf").read_bytes() and len(raw) < 1100


def test_zeros_are_a_chunk_like_any_other(dir_repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(8 << 20))
    dir_repo.client.backup(f"disk.img:{tmp_path / 'image'}")
    (chunk,) = chunk_files(dir_repo.store)
    assert chunk.name == "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8"
    raw = chunk.read_bytes()
    assert raw[:8] == ZSTD and blob.decode(raw) == bytes(4 << 20)
    assert (dir_repo.store / SNAPSHOT / "disk.img.fidx").read_bytes()[4096:].hex() == 2 * chunk.name


def test_signing_alone_changes_nothing_but_the_manifest(make_store: Callable[..., Path], make_client: Callable[..., Client],
                                                        source: Path) -> None:
    stores = []
    for name, args in (("plain", ()), ("signed", ("--keyfile", str(KEYFILE), "--crypt-mode", "sign-only"))):
        stores.append(make_store(name))
        client = make_client(PBS_REPOSITORY=f"dir:{stores[-1]}")
        client.expect_ok("backup", f"root.pxar:{source}", f"a.conf:{source / 'text'}", *ARGS, *args)
    chunks = [{p.name: p.read_bytes() for p in chunk_files(s)} for s in stores]
    assert chunks[0] == chunks[1]
    assert len({(s / SNAPSHOT / "a.conf.blob").read_bytes() for s in stores}) == 1
    plain, signed = ([(f.filename, f.size, f.csum) for f in manifest_of(s, SNAPSHOT, keyed=i > 0).files] for i, s in enumerate(stores))
    assert plain == signed


def test_a_snapshot_made_by_hand_is_read(make_store: Callable[..., Path], make_client: Callable[..., Client], tmp_path: Path) -> None:
    """Chunks, index with any UUID and time, blobs, manifest, owner: nothing else is needed."""
    store = make_store("hand")
    parts = [b"first part, ", b"second part"]
    ends, at = [], 0
    for part in parts:
        name = hashlib.sha256(part).hexdigest()
        folder = store / ".chunks" / name[:4]
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(blob.encode(part))
        at += len(part)
        ends.append((at, bytes.fromhex(name)))
    snapshot = store / SNAPSHOT
    snapshot.mkdir(parents=True)
    (snapshot.parent / "owner").write_text("root@pam\n")
    made = index.build_dynamic(ends, bytes(16), 0)
    (snapshot / "any.pxar.didx").write_bytes(made)
    conf = blob.encode(b"conf")
    (snapshot / "a.conf.blob").write_bytes(conf)
    files = [("any.pxar.didx", at, hashlib.sha256(made[4096:]).hexdigest()), ("a.conf.blob", len(conf), hashlib.sha256(conf).hexdigest())]
    text = json.dumps({"backup-type": "host", "backup-id": "box", "backup-time": T0, "signature": None, "unprotected": {},
                       "files": [{"filename": n, "crypt-mode": "none", "size": s, "csum": c} for n, s, c in files]})
    (snapshot / "index.json.blob").write_bytes(blob.encode(text.encode()))
    client = make_client(PBS_REPOSITORY=f"dir:{store}")
    client.expect_ok("store", "verify", store)
    assert client.expect_ok("restore", SNAPSHOT, "a.conf", "-").out == b"conf"
    assert client.expect_ok("restore", SNAPSHOT, "any.pxar", "-").out == b"".join(parts)


# ---- catalog ----

def test_the_catalog_names_archives_in_full_and_only_files_have_sizes(dir_repo: Repo, tmp_path: Path, source: Path) -> None:
    dir_repo.client.backup(f"root.pxar:{source}", f"two.pxar:{source}", "--exclude", "text")
    found = catalog_of(dir_repo.store, tmp_path)
    assert [p for p in found if "/" not in p] == ["root.pxar.didx", "two.pxar.didx"]
    assert not any(p.endswith("/text") for p in found)
    others = [item for item in found.values() if item.type != "f"]
    assert {item.type for item in others} > {"d"} and all((item.size, item.mtime) == (0, 0) for item in others)
    assert any(item.size and item.mtime for item in found.values() if item.type == "f")


@pytest.mark.skipif(not ROOT_USER, reason="mounting needs root")
def test_mount_points_are_crossed_only_if_allowed(dir_repo: Repo, tmp_path: Path, source: Path) -> None:
    with mounted(source / "one"), mounted(source / "two"):
        for name in ("one", "two"):
            (source / name / "inside").write_bytes(b"x")

        def inside(*args: str) -> set[str]:
            dir_repo.client.expect_ok("backup", f"root.pxar:{source}", *ARGS, *args)
            found = catalog_of(dir_repo.store, tmp_path)
            assert found["root.pxar.didx/one"].type == found["root.pxar.didx/two"].type == "d"
            assert all(found[f"root.pxar.didx/{n}"].children == [] or f"root.pxar.didx/{n}/inside" in found for n in ("one", "two"))
            dir_repo.client.expect_ok("snapshot", "forget", SNAPSHOT)
            return {p.split("/")[1] for p in found if p.endswith("/inside")}

        assert inside() == set()
        assert inside("--include-dev", str(source / "one")) == {"one"}
        assert inside("--include-dev", str(source / "one"), "--include-dev", str(source / "two")) == {"one", "two"}
        assert inside("--all-file-systems") == {"one", "two"}
        dir_repo.client.expect_failure(1, "No such file", "backup", f"root.pxar:{source}", *ARGS, "--include-dev", "/nowhere")


def test_a_catalog_that_is_not_the_listed_one_is_not_used(dir_repo: Repo, source: Path) -> None:
    dir_repo.client.backup(f"root.pxar:{source}")
    path = dir_repo.store / SNAPSHOT / "catalog.pcat1.didx"
    good = path.read_bytes()
    end = int.from_bytes(good[-40:-32], "little")
    path.write_bytes(good + (end + 1).to_bytes(8, "little") + bytes(32))
    dir_repo.client.expect_failure(3, "wrong size for file 'catalog.pcat1.didx'", "catalog", "dump", SNAPSHOT)
    path.write_bytes(good[:4096] + good[4096:-1] + bytes([good[-1] ^ 1]))
    dir_repo.client.expect_failure(3, "wrong checksum for file 'catalog.pcat1.didx'", "catalog", "dump", SNAPSHOT)


# ---- names given for restore ----

def test_the_other_half_of_a_split_archive_is_found_by_its_name(dir_repo: Repo, tmp_path: Path, source: Path) -> None:
    """Only the named half is looked for in the manifest; that the other is not listed shows when it is read."""
    dir_repo.client.backup(f"root.pxar:{source}", mode="data")
    path = dir_repo.store / SNAPSHOT / "index.json.blob"
    text = json.loads(blob.decode(path.read_bytes()))
    text["files"] = [f for f in text["files"] if f["filename"] != "root.ppxar.didx"]
    path.write_bytes(blob.encode(json.dumps(text).encode()))
    for name in ("root.pxar", "root.mpxar"):
        dir_repo.client.expect_failure(1, "manifest does not contain file 'root.ppxar.didx'", "restore", SNAPSHOT, name, tmp_path / "out")
    dir_repo.client.expect_failure(1, "", "restore", SNAPSHOT, "root.ppxar", tmp_path / "out")


# ---- refused early ----

def test_sources_are_checked_before_anything_is_connected(make_client: Callable[..., Client], tmp_path: Path) -> None:
    client = make_client(PBS_REPOSITORY="127.0.0.1:1:store", PBS_PASSWORD="x")
    (tmp_path / "good").write_bytes(b"x")
    for spec in (f"a.pxar:{tmp_path / 'none'}", f"a.conf:{tmp_path / 'none'}", f"a.img:{tmp_path}", f"a.pxar:{tmp_path / 'good'}"):
        result = client.run("backup", f"b.conf:{tmp_path / 'good'}", spec)
        assert result.exit in (1, 2) and str(tmp_path) in result.stderr and "127.0.0.1" not in result.stderr
    client.expect_failure(4, "127.0.0.1", "backup", f"b.conf:{tmp_path / 'good'}")


def test_options_that_exclude_each_other(dir_repo: Repo, source: Path) -> None:
    dir_repo.client.expect_failure(2, "option 'all-file-systems' conflicts with option 'include-dev'", "backup", f"root.pxar:{source}",
                                   "--all-file-systems", "--include-dev", "/")
    dir_repo.client.expect_failure(2, "change-detection-mode", "backup", f"root.pxar:{source}", "--change-detection-mode", "Data")


# ---- answers ----

@pytest.mark.parametrize(("answer", "text"), [
    ('status=200,{"data":null}', None), ('status=200,{"data":7,"more":1}', None),
    ('status=200,{"other":1}', "got result without data property"), ("status=200,no json", ""), ("status=503,come back later", "come back later"),
])
def test_answers_are_taken_as_the_protocol_says(make_server: Callable[..., Server], make_client: Callable[..., Client],
                                                source: Path, answer: str, text: str | None) -> None:
    """The upload of a blob is answered by a fault: only the member `data` counts, an error is shown in its own words."""
    server = make_server(faults=(f"POST /blob#1:{answer}",))
    client = make_client(server)
    args = ("backup", f"a.conf:{source / 'text'}", *ARGS)
    if text is None:
        client.expect_ok(*args)
    else:
        client.expect_failure(3 if answer.endswith("no json") else 4, text, *args)


@pytest.mark.parametrize(("call", "status"), [("GET /download#2", 503), ("GET /chunk#1", 401), ("GET /chunk#1", 404)])
def test_readers_show_what_the_server_said(make_server: Callable[..., Server], make_client: Callable[..., Client], tmp_path: Path,
                                           source: Path, call: str, status: int) -> None:
    server = make_server(faults=(f"{call}:status={status},the words of the server",))
    client = make_client(server)
    client.backup(f"root.pxar:{source}", "--chunk-size", "64")
    client.expect_failure(4, "the words of the server", "restore", SNAPSHOT, "root.pxar", tmp_path / "out")
    assert_sound(server.store, snapshots=1)


# ---- the previous snapshot's key ----

def test_a_previous_snapshot_of_another_key_is_not_built_on(dir_repo: Repo, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    dir_repo.client.expect_ok("key", "create", other, "--kdf", "none")

    def run(second: int, *options: str | Path) -> str:
        """A full backup, whatever is there: what it says about the previous one."""
        result = dir_repo.client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + second),
                                           "--change-detection-mode", "metadata", "--output-format", "json", *options)
        assert all(a["known_chunks"] == 0 for a in result.json()["archives"]) and "Change detection summary" not in result.stderr
        return next(line for line in result.lines() if "previous manifest" in line and not line.startswith("Downloading"))

    assert run(0, "--keyfile", KEYFILE) == "No previous manifest available."
    assert re.match(r"Couldn't (download|re-use) previous manifest - wrong key - ", run(1, "--keyfile", other))
    dir_repo.client.expect_ok("snapshot", "forget", "host/box/2023-11-14T22:13:21Z")
    assert re.match(r"Couldn't re-use previous manifest - missing key - manifest was created with key ", run(2, "--crypt-mode", "none"))
    with pytest.raises(StopIteration):  # the one before has no key: any will do, but its chunks are of no use
        run(3, "--keyfile", KEYFILE)


# ---- times, modes, rates ----

def test_times_are_shown_in_the_local_zone(dir_repo: Repo, source: Path) -> None:
    os.utime(source / "text", (T0, T0))
    zone = {"TZ": "XYZ-5:30"}  # five and a half hours ahead
    lines = dir_repo.client.expect_ok("backup", f"root.pxar:{source}", *ARGS, env=zone).lines()
    assert any(line.startswith("Starting backup protocol: ") for line in lines)
    dir_repo.client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 1), env=zone)
    again = dir_repo.client.expect_ok("backup", f"root.pxar:{source}", "--backup-id", "box", "--backup-time", str(T0 + 2), env=zone)
    assert "Downloading previous manifest (Wed Nov 15 03:43:21 2023)" in again.stderr
    dump = dir_repo.client.expect_ok("catalog", "dump", SNAPSHOT, env=zone)
    size = (source / "text").stat().st_size
    assert f'f "./root.pxar.didx/text" {size} 2023-11-15T03:43:20Z' in dump.stderr


def test_stored_files_have_the_usual_modes(dir_repo: Repo, source: Path) -> None:
    dir_repo.client.backup(f"root.pxar:{source}", f"a.conf:{source / 'text'}")
    folder = dir_repo.store / SNAPSHOT
    modes = {p.name: p.stat().st_mode & 0o777 for p in [*folder.iterdir(), folder, folder.parent, *chunk_files(dir_repo.store)[:1]]}
    umask = os.umask(0)
    os.umask(umask)
    wanted = {n: (0o755 if (folder / n).is_dir() or n in (folder.name, "box") else 0o644) & ~umask for n in modes}
    assert modes == wanted


def test_a_rate_is_kept(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(noise(4, 3 << 20))
    begun = time.monotonic()
    client.expect_ok("backup", f"disk.img:{tmp_path / 'image'}", *ARGS, "--rate", "1MiB", "--burst", "64KiB")
    assert time.monotonic() - begun > 2.5
    begun = time.monotonic()
    client.expect_ok("restore", SNAPSHOT, "disk.img", "-", "--rate", "1MiB", "--burst", "64KiB")
    assert time.monotonic() - begun > 2.5


# ---- certificates ----

def certificate(folder: Path) -> tuple[Path, Path, Path]:
    """An authority, and a certificate of 127.0.0.1 that it signed: (authority, certificate, key)."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415
    import ipaddress  # noqa: PLC0415
    now = datetime.now(timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in ("authority", "server")]

    def make(i: int) -> x509.CertificateBuilder:
        return (x509.CertificateBuilder().subject_name(names[i]).issuer_name(names[0]).public_key(keys[i].public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
                .add_extension(x509.BasicConstraints(ca=i == 0, path_length=None), critical=True))

    built = [make(0), make(1).add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)]
    paths = folder / "authority.pem", folder / "server.pem", folder / "server.key"
    for path, builder in zip(paths, built):
        path.write_bytes(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(keys[1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


def test_a_certificate_of_a_trusted_authority_needs_no_fingerprint(make_server: Callable[..., Server],
                                                                   make_client: Callable[..., Client], tmp_path: Path) -> None:
    authority, cert, key = certificate(tmp_path)
    server = make_server("--tls-cert", str(cert), "--tls-key", str(key))
    wrong = ":".join(["00"] * 32)
    client = make_client(server, PBS_FINGERPRINT=wrong)
    client.expect_failure(4, "fingerprint", "list")  # not trusted: the fingerprint counts
    trusting = {"SSL_CERT_FILE": str(authority)}
    client.expect_ok("list", env=trusting)
    client.expect_ok("list", env={**trusting, "PBS_FINGERPRINT": None})
    assert oracle_store(server.store).snapshots() == []
