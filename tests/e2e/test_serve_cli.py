# covers: API-056 API-077 API-140 API-146 IDX-100 RDR-006
# SPDX-License-Identifier: MIT
"""The mock server as a program: ready line, addresses, certificates, users, clock, journal, signals."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import (PASSWORD, ROOT_USER, T0, Client, Server, assert_holds, assert_same, assert_sound, program, small_tree,
                     snapshots_of)

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return small_tree(tmp_path / "source", entries=10)


def peer_fingerprint(port: int) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as s, context.wrap_socket(s) as tls:
        der = tls.getpeercert(binary_form=True)
        assert der and tls.version() in ("TLSv1.3", "TLSv1.2")
        return ":".join(f"{b:02x}" for b in hashlib.sha256(der).digest())


def test_ready_line_on_standard_output_and_elsewhere(make_client: Callable[..., Client],
                                                     make_store: Callable[..., Path]) -> None:
    client, store = make_client(), make_store()
    ours, theirs = os.pipe()
    for extra, kw in (([], {}), (["--ready-fd", str(theirs)], {"pass_fds": (theirs,)})):
        process = client.start("serve", "--store", store, *extra, **kw)
        assert process.stdout
        line = json.loads(os.read(ours, 4096) if extra else process.stdout.readline())
        assert set(line) == {"datastore", "fingerprint", "pid", "port"}
        assert (line["datastore"], line["pid"]) == ("store1", process.pid)
        assert peer_fingerprint(line["port"]) == line["fingerprint"]
        process.send_signal(signal.SIGTERM if extra else signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0
    os.close(ours)
    os.close(theirs)


def test_ready_file_is_complete_when_it_appears(pbs_server: Server) -> None:
    assert json.loads(pbs_server.ready.read_text())["port"] == pbs_server.port
    assert [p.name for p in pbs_server.ready.parent.iterdir() if "ready" in p.name] == ["ready.json"]


@pytest.mark.parametrize(("text", "args"), [
    ("--store is missing", []),
    ("is not a loopback address", ["--store", "STORE", "--listen", "0.0.0.0:0"]),
    ("is not a loopback address", ["--store", "STORE", "--listen", "[::]:0"]),
    ("is not a loopback address", ["--store", "STORE", "--listen", "192.0.2.1:0"]),
    ("", ["--store", "STORE", "--listen", "nonsense"]),
    ("", ["--store", "STORE", "--listen", "127.0.0.1:99999"]),
    ("--user wants ID:SECRET", ["--store", "STORE", "--user", "root@pam"]),
    ("--token wants ID:SECRET", ["--store", "STORE", "--token", "root@pam!x"]),
    ("fault", ["--store", "STORE", "--fault", "nonsense"]),
    ("", ["--store", "STORE", "--fault", "GET /x#0:reset"]),
    ("", ["--store", "STORE", "--fault", "GET /x#1:explode"]),
    ("", ["--store", "STORE", "--datastore", "x"]),
    ("", ["--store", "STORE", "--datastore", "a/b"]),
])
def test_refused(make_client: Callable[..., Client], make_store: Callable[..., Path], text: str, args: list[str]) -> None:
    store = str(make_store())
    make_client().expect_failure(2, text, "serve", *[store if a == "STORE" else a for a in args], limit=30)


def test_allowed_to_serve_others(make_server: Callable[..., Server], make_client: Callable[..., Client], tree: Path) -> None:
    server = make_server("--listen", "0.0.0.0:0", "--allow-remote")
    make_client(server).backup(f"a.pxar:{tree}")
    assert_sound(server.store, snapshots=1)
    assert_holds(server.store, "host/box/latest", "a.pxar", tree)


def test_port_that_is_taken(make_client: Callable[..., Client], make_store: Callable[..., Path], pbs_server: Server) -> None:
    make_client().expect_failure(1, "", "serve", "--store", pbs_server.store, "--listen", f"127.0.0.1:{pbs_server.port}", limit=30)


def test_store_is_made_if_missing(make_server: Callable[..., Server], make_client: Callable[..., Client], tree: Path,
                                  memory_path: Path) -> None:
    server = make_server(store=memory_path / "fresh-store")
    assert len([n for n in os.listdir(server.store / ".chunks") if len(n) == 4]) == 65536
    make_client(server).backup(f"a.pxar:{tree}")
    assert snapshots_of(server.store) == ["host/box/2023-11-14T22:13:20Z"]
    assert_holds(server.store, "host/box/latest", "a.pxar", tree)


def test_given_certificate(make_server: Callable[..., Server], make_client: Callable[..., Client], tmp_path: Path,
                           tree: Path) -> None:
    from datetime import datetime, timedelta, timezone
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "any subject")])
    now = datetime.now(timezone.utc)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - timedelta(days=2)).not_valid_after(now - timedelta(days=1)).sign(key, SHA256()))
    (tmp_path / "cert").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                     serialization.NoEncryption()))
    server = make_server("--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "key"))
    assert server.fingerprint == ":".join(f"{b:02x}" for b in cert.fingerprint(SHA256()))
    client = make_client(server)
    client.backup(f"a.pxar:{tree}")  # expired and of another name: the fingerprint decides
    assert_holds(server.store, "host/box/latest", "a.pxar", tree)
    result = client.run("serve", "--store", server.store, "--tls-cert", "/nonexistent", "--tls-key", "/nonexistent", limit=30)
    assert result.exit != 0


def test_without_users_nobody_gets_in(make_server: Callable[..., Server], make_client: Callable[..., Client]) -> None:
    make_client(make_server(users=False)).expect_failure(4, "permission check failed.", "list")


def test_several_users(make_server: Callable[..., Server], make_client: Callable[..., Client], tree: Path) -> None:
    """A group belongs to who made it; a password may hold colons."""
    server = make_server("--user", "other@pbs:pass:word")
    other = make_client(server, PBS_REPOSITORY=server.repository("other@pbs"), PBS_PASSWORD="pass:word")
    other.backup(f"a.pxar:{tree}")
    assert (server.store / "host/box/owner").read_text() == "other@pbs\n"
    make_client(server).expect_failure(4, "backup owner check failed (root@pam != other@pbs)", "backup", f"a.pxar:{tree}", "--backup-id", "box")
    assert_holds(server.store, "host/box/latest", "a.pxar", tree)


def test_fixed_clock_and_delay(make_server: Callable[..., Server], make_client: Callable[..., Client], tree: Path) -> None:
    server = make_server("--now", str(T0), "--auth-delay", "700")
    client = make_client(server)
    assert client.expect_ok("login")
    ticket = json.loads((client.home / "run/proxmox-backup/tickets").read_text())["127.0.0.1"]["root@pam"]["ticket"]
    assert ticket.startswith(f"PBS:root@pam:{T0:08X}::")
    begin = time.monotonic()
    client.expect_failure(4, "permission check failed.", "list", env={"PBS_PASSWORD": "wrong"})
    assert time.monotonic() - begin >= 0.7


def test_journal_tells_everything(pbs_server: Server, client: Client, tree: Path) -> None:
    client.backup(f"a.pxar:{tree}")
    names = [e["event"] for e in pbs_server.journal_lines()]
    for name in ("connection", "request", "session", "index-create", "chunk", "index-append", "index-close", "finish", "disconnect"):
        assert name in names, name
    assert all("conn" in e for e in pbs_server.journal_lines())
    assert PASSWORD not in pbs_server.journal.read_text()
    assert pbs_server.events("finish")[0]["snapshot"] == "host/box/2023-11-14T22:13:20Z"
    assert_holds(pbs_server.store, "host/box/latest", "a.pxar", tree)


def test_many_clients_at_once(pbs_server: Server, make_client: Callable[..., Client], tmp_path: Path) -> None:
    trees = [small_tree(tmp_path / f"tree{i}", seed=i, entries=30) for i in range(6)]
    clients = [make_client(pbs_server) for _ in trees]
    running = [c.start("backup", f"a.pxar:{t}", "--backup-id", f"box{i}", "--backup-time", str(T0),
                       "--change-detection-mode", ("legacy", "data")[i % 2]) for i, (c, t) in enumerate(zip(clients, trees))]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert_sound(pbs_server.store, snapshots=6)
    for i, tree in enumerate(trees):
        assert_holds(pbs_server.store, f"host/box{i}/latest", "a.pxar", tree)
    readers = [clients[i].start("restore", "host/box0", "a.pxar", tmp_path / f"out{i}") for i in range(4)]
    for i, process in enumerate(readers):
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert_same(tmp_path / f"out{i}", trees[0])


def test_stopped_server_removes_unfinished_snapshots(make_server: Callable[..., Server],
                                                     make_client: Callable[..., Client], tree: Path) -> None:
    server = make_server(faults=("POST /finish#1:stall",))
    process = make_client(server).start("backup", f"a.pxar:{tree}", "--backup-id", "box")
    server.wait_for("fault")
    server.stop()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 4, err
    assert snapshots_of(server.store) == [] and not list((server.store / "host").glob("*/*Z"))


def test_garbage_on_the_port(pbs_server: Server, client: Client) -> None:
    """Whatever comes in instead of TLS or HTTP ends that connection and nothing else."""
    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(5000), b"\x16\x03\x01\xff\xff" + bytes(100)):
        with socket.create_connection(("127.0.0.1", pbs_server.port), timeout=10) as s:
            s.sendall(data)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for data in (b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET " + b"x" * 100_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", pbs_server.port), timeout=10) as s, context.wrap_socket(s) as tls:
            try:
                tls.sendall(data)
                tls.settimeout(0.3)
                tls.recv(1000)
            except OSError:
                pass
    client.expect_ok("list")


@pytest.mark.skipif(not ROOT_USER, reason="changes the user")
def test_an_ordinary_user_can_do_all_of_it(tmp_path: Path) -> None:
    """Server, backup and restore without any privilege, on a tree that the user owns."""
    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    shutil.copy(os.path.realpath(program()), home / "pbsref")  # the checkout may lie where that user can't look
    script = textwrap.dedent("""\
        set -e
        P=./pbsref; cd $1; mkdir run src src/d; echo hello > src/a; ln -s a src/l; ln src/a src/d/h; chmod 600 src/a; mkfifo src/f
        $P store init --lazy store1
        $P serve --store store1 --ready-file ready --user root@pam:secret --no-sync & server=$!
        while [ ! -e ready ]; do sleep 0.05; done
        export PBS_REPOSITORY=127.0.0.1:$(sed 's/.*"port":\\([0-9]*\\).*/\\1/' ready):store1 PBS_PASSWORD=secret
        export PBS_FINGERPRINT=$(sed 's/.*"fingerprint":"\\([^"]*\\)".*/\\1/' ready)
        for mode in legacy data; do
          $P backup root.pxar:src --backup-id $mode --change-detection-mode $mode
          $P restore host/$mode root.pxar out-$mode
          $P backup root.pxar:src --backup-id $mode --change-detection-mode $mode --repository dir:store1 \
              --backup-time $(($(date +%s) + 100))
        done
        kill $server; wait $server
        """)
    env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "PATH": os.environ["PATH"]}
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script, "sh", str(home)],
                          env=env, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert_sound(home / "store1", snapshots=4)
    for mode in ("legacy", "data"):
        assert_holds(home / "store1", f"host/{mode}/latest", "root.pxar", home / "src")
        assert_same(home / f"out-{mode}", home / "src")
