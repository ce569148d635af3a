# covers: API-016 API-020 API-021 API-023 API-024 API-025 API-027 API-028 API-029 API-030 API-031 API-032 API-040 API-041 API-042
# covers: API-044 API-045 API-046 API-047 API-051 API-052 API-053 API-054 API-060 API-064 API-067 API-069 API-075 API-077 API-079
# covers: API-080 API-095 API-114 API-150
# SPDX-License-Identifier: MIT
"""Who we are and whom we talk to: repositories, passwords, tickets, tokens, certificates, namespaces, the proxy."""
from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import (PASSWORD, T0, TOKEN, TOKEN_SECRET, USER, Client, Server, assert_holds, assert_sound, small_tree,
                     snapshots_of)

WRONG_FINGERPRINT = ":".join(["ab"] * 32)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return small_tree(tmp_path / "source", entries=10)


def paths_of(server: Server) -> list[str]:
    return [e["path"] for e in server.events("request")]


# ---- passwords ----

def test_password_sources(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\nsecond line\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "proxmox-backup-client.password").write_text(PASSWORD)
    for env in ({"PBS_PASSWORD": PASSWORD}, {"PBS_PASSWORD": f"{PASSWORD}\nmore"}, {"PBS_PASSWORD_FILE": str(secret)},
                {"PBS_PASSWORD_CMD": f"cat '{secret}'"}, {"PBS_PASSWORD_CMD": f'echo "{PASSWORD}"'},
                {"CREDENTIALS_DIRECTORY": str(credentials)}):
        client.expect_ok("list", env={"PBS_PASSWORD": None, "XDG_RUNTIME_DIR": None, **env})
    with open(secret) as f:
        client.expect_ok("list", env={"PBS_PASSWORD": None, "XDG_RUNTIME_DIR": None, "PBS_PASSWORD_FD": str(f.fileno())},
                  pass_fds=(f.fileno(),))


def test_first_password_source_wins(client: Client, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong\n")
    client.expect_ok("list", env={"PBS_PASSWORD_FILE": str(tmp_path / "wrong")})
    client.expect_failure(4, "permission check failed.", "list", env={"PBS_PASSWORD": "", "PBS_PASSWORD_FILE": "/dev/null"})


def test_password_that_cannot_be_read(client: Client) -> None:
    def env(**changes: str) -> dict[str, str | None]:
        return {"PBS_PASSWORD": None, "XDG_RUNTIME_DIR": None, **changes}

    client.expect_failure(1, "PBS_PASSWORD_FILE", "list", env=env(PBS_PASSWORD_FILE="/nonexistent"))
    client.expect_failure(1, "PBS_PASSWORD_CMD", "list", env=env(PBS_PASSWORD_CMD="false"))
    client.expect_failure(2, "PBS_PASSWORD_FD", "list", env=env(PBS_PASSWORD_FD="x"))
    client.expect_failure(2, "no password input mechanism available", "list", env=env())


def test_wrong_password(pbs_server: Server, client: Client, tree: Path) -> None:
    client.expect_failure(4, "permission check failed.", "list", env={"PBS_PASSWORD": "wrong"})
    client.expect_failure(4, "permission check failed.", "backup", f"a.pxar:{tree}", env={"PBS_PASSWORD": "wrong"})
    client.expect_failure(4, "permission check failed.", "list", "--repository", pbs_server.repository("nobody@pam"))
    assert snapshots_of(pbs_server.store) == []
    assert not (client.home / "run/proxmox-backup/tickets").exists()


# ---- tickets ----

def tickets_of(client: Client) -> Any:
    return json.loads((client.home / "run/proxmox-backup/tickets").read_text())


def test_login_stores_a_ticket_and_logout_removes_it(pbs_server: Server, client: Client, tree: Path) -> None:
    before = int(time.time())
    client.expect_ok("login")
    entry = tickets_of(client)["127.0.0.1"][USER]
    assert set(entry) == {"timestamp", "ticket", "token"}
    assert before <= entry["timestamp"] <= time.time()
    assert entry["ticket"].startswith("PBS:root@pam:")
    assert (client.home / "run/proxmox-backup/tickets").stat().st_mode & 0o777 == 0o600
    no_password = {"PBS_PASSWORD": None}
    client.expect_ok("list", env=no_password)
    client.expect_ok("backup", f"a.pxar:{tree}", "--backup-id", "box", env=no_password)
    assert_sound(pbs_server.store, snapshots=1)
    assert_holds(pbs_server.store, "host/box/latest", "a.pxar", tree)
    client.expect_ok("logout")
    assert tickets_of(client).get("127.0.0.1", {}) == {}
    client.expect_failure(2, "no password input mechanism available", "list", env=no_password)
    again = client.expect_ok("logout")
    assert f"no ticket found for {USER} on server 127.0.0.1" in again.stderr


def test_ticket_format_written_by_others(pbs_server: Server, client: Client) -> None:
    """A cache with other servers and users, and stale entries, which are dropped."""
    client.expect_ok("login")
    path = client.home / "run/proxmox-backup/tickets"
    found = tickets_of(client)
    now = int(time.time())
    found["127.0.0.1"]["other@pbs"] = {"timestamp": now, "ticket": "PBS:x", "token": "y"}
    found["127.0.0.1"]["stale@pbs"] = {"timestamp": now - 7200, "ticket": "PBS:x", "token": "y"}
    found["elsewhere"] = {"root@pam": {"timestamp": now - 100, "ticket": "PBS:z", "token": "t"}}
    path.write_text(json.dumps(found, indent=1))
    client.expect_ok("list", env={"PBS_PASSWORD": None})
    left = tickets_of(client)
    assert set(left["127.0.0.1"]) == {USER, "other@pbs"}
    assert left["elsewhere"] == found["elsewhere"]


def test_stale_ticket_is_not_used(pbs_server: Server, client: Client) -> None:
    client.expect_ok("login")
    found = tickets_of(client)
    found["127.0.0.1"][USER]["timestamp"] -= 7141
    (client.home / "run/proxmox-backup/tickets").write_text(json.dumps(found))
    client.expect_failure(2, "no password input mechanism available", "list", env={"PBS_PASSWORD": None})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"127.0.0.1":[]}', '{"127.0.0.1":{"root@pam":{"timestamp":"x"}}}'])
def test_damaged_ticket_file_is_replaced(client: Client, content: str) -> None:
    path = client.home / "run/proxmox-backup/tickets"
    path.parent.mkdir()
    path.write_text(content)
    client.expect_ok("login")
    assert tickets_of(client)["127.0.0.1"][USER]["ticket"]


def test_no_runtime_directory(client: Client, tmp_path: Path) -> None:
    """The ticket is not kept, nothing else happens, and the directory is not made up."""
    for folder in (None, str(tmp_path / "no" / "run"), ""):
        client.expect_ok("login", env={"XDG_RUNTIME_DIR": folder})
        client.expect_ok("list", env={"XDG_RUNTIME_DIR": folder})
    assert not (tmp_path / "no").exists() and not (client.home / "run" / "proxmox-backup").exists()


# ---- tokens ----

def test_token(pbs_server: Server, client: Client, tree: Path) -> None:
    env: dict[str, str | None] = {"PBS_REPOSITORY": pbs_server.repository(TOKEN), "PBS_PASSWORD": TOKEN_SECRET}
    client.expect_ok("backup", f"a.pxar:{tree}", "--backup-id", "box", env=env)
    assert "/api2/json/access/ticket" not in paths_of(pbs_server)
    assert pbs_server.events("session")[0]["auth"] == TOKEN
    assert (pbs_server.store / "host/box/owner").read_text().strip() == TOKEN
    assert_sound(pbs_server.store, snapshots=1)
    assert_holds(pbs_server.store, "host/box/latest", "a.pxar", tree)
    client.expect_ok("restore", "host/box", "a.pxar", client.home / "out", env=env)
    client.expect_failure(4, "authentication failed", "list", env={**env, "PBS_PASSWORD": "wrong"})
    client.expect_failure(2, "API token secret must be provided!", "list", env={**env, "PBS_PASSWORD": None})
    assert not (client.home / "run/proxmox-backup/tickets").exists()


# ---- certificates ----

def test_wrong_fingerprint(pbs_server: Server, client: Client, tree: Path) -> None:
    for args in (("list",), ("backup", f"a.pxar:{tree}")):
        result = client.expect_failure(4, "fingerprint", *args, env={"PBS_FINGERPRINT": WRONG_FINGERPRINT})
        assert pbs_server.fingerprint in result.stderr
    assert snapshots_of(pbs_server.store) == []
    assert paths_of(pbs_server) == []  # no secret went out


def test_no_fingerprint_and_nobody_to_ask(pbs_server: Server, client: Client) -> None:
    result = client.expect_failure(4, "ertificate", "list", env={"PBS_FINGERPRINT": None})
    assert pbs_server.fingerprint in result.stderr
    assert paths_of(pbs_server) == []
    assert not (client.home / ".config/proxmox-backup/fingerprints").exists()


def test_fingerprint_is_compared_without_case(pbs_server: Server, client: Client) -> None:
    client.expect_ok("list", env={"PBS_FINGERPRINT": pbs_server.fingerprint.upper()})


def test_fingerprint_cache(pbs_server: Server, client: Client) -> None:
    path = client.home / ".config/proxmox-backup/fingerprints"
    path.parent.mkdir(parents=True)
    path.write_text(f"other.host {WRONG_FINGERPRINT}\nbroken line here\n127.0.0.1 {pbs_server.fingerprint}\n")
    client.expect_ok("list", env={"PBS_FINGERPRINT": None})
    path.write_text(f"127.0.0.1 {WRONG_FINGERPRINT}\n")
    client.expect_failure(4, "fingerprint", "list", env={"PBS_FINGERPRINT": None})
    client.expect_ok("list")  # the explicit one wins
    assert path.read_text() == f"127.0.0.1 {WRONG_FINGERPRINT}\n"


def test_fingerprint_from_a_file_and_from_nowhere(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    (tmp_path / "fp").write_text(pbs_server.fingerprint + "\n")
    client.expect_ok("list", env={"PBS_FINGERPRINT": None, "PBS_FINGERPRINT_FILE": str(tmp_path / "fp")})
    client.expect_failure(4, "ertificate", "list", env={"PBS_FINGERPRINT": None, "PBS_FINGERPRINT_FILE": "/nonexistent"})


def test_fingerprint_is_confirmed_on_a_terminal(pbs_server: Server, client: Client) -> None:
    """With a pseudo terminal on standard input: `n` refuses, `y` connects and is remembered."""
    path = client.home / ".config/proxmox-backup/fingerprints"
    for answer, code in (("n\n", 4), ("x\ny\n", 0)):
        ours, theirs = os.openpty()
        os.write(ours, answer.encode())
        result = client.run("list", env={"PBS_FINGERPRINT": None}, stdin=theirs)
        os.close(ours)
        os.close(theirs)
        assert result.exit == code, result.stderr
        assert f"fingerprint: {pbs_server.fingerprint}" in result.stderr
        assert "Are you sure you want to continue connecting? (y/n): " in result.stderr
        assert path.exists() == (code == 0)
    assert path.read_text().split() == ["127.0.0.1", pbs_server.fingerprint]
    client.expect_ok("list", env={"PBS_FINGERPRINT": None})


# ---- repositories ----

@pytest.mark.parametrize("text", [
    "", ":", "a:b:c:d", "store/x", ".store", "host:", "host:99999:store", "host:-1:store", "root@pam@:store", "@host:store",
    "root@@host:store", "ho st:store", "-host:store", "[::1:8007:store", "::1:8007:store", "host:8007x:store", "host:008007:store",
    "a@pam!@host:store", "x" * 257,
])
def test_malformed_repository(make_client: Callable[..., Client], text: str) -> None:
    client = make_client(PBS_PASSWORD="x")
    client.expect_failure(2, "", "list", f"--repository={text}")
    client.expect_failure(2, "", "list", env={"PBS_REPOSITORY": text})


def test_repository_forms(pbs_server: Server, client: Client, tree: Path) -> None:
    for i, (text, shown) in enumerate((
            (f"127.0.0.1:{pbs_server.port}:store1", f"127.0.0.1:{pbs_server.port}:store1"),
            (f"localhost:{pbs_server.port}:store1", f"localhost:{pbs_server.port}:store1"),
            (f"root@pam@127.0.0.1:{pbs_server.port}:store1", f"root@pam@127.0.0.1:{pbs_server.port}:store1"))):
        lines = client.expect_ok("backup", f"a.pxar:{tree}", "--backup-id", "box", "--backup-time", str(T0 + i), "--repository", text).lines()
        assert f"Upload directory '{tree}' to '{shown}' as a.pxar.didx" in lines
    assert_sound(pbs_server.store, snapshots=3)
    assert_holds(pbs_server.store, "host/box/latest", "a.pxar", tree)


def test_default_port_is_8007(make_client: Callable[..., Client]) -> None:
    client = make_client(PBS_PASSWORD="x")
    for text in ("127.255.255.1:store", "user@pbs!token@127.255.255.1:store"):
        client.expect_failure(4, "127.255.255.1:8007", "list", "--repository", text)


def test_unknown_datastore(pbs_server: Server, client: Client, tree: Path) -> None:
    args = ("--repository", f"127.0.0.1:{pbs_server.port}:nostore")
    client.expect_failure(4, "no such datastore 'nostore'", "list", *args)
    client.expect_failure(4, "no such datastore 'nostore'", "backup", f"a.pxar:{tree}", *args)


def have_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not have_ipv6(), reason="no IPv6 loopback address")
def test_ipv6(make_server: Callable[..., Server], make_client: Callable[..., Client], tree: Path) -> None:
    server = make_server("--listen", "[::1]:0")
    client = make_client(server, PBS_REPOSITORY=f"[::1]:{server.port}:store1")
    client.backup(f"a.pxar:{tree}")
    client.expect_ok("restore", "host/box", "a.pxar", client.home / "out")
    parts: dict[str, str | None] = {"PBS_REPOSITORY": None}
    client.expect_ok("list", "--server", "::1", "--port", str(server.port), "--datastore", "store1", env=parts)
    client.expect_ok("list", "--server", "[::1]", "--port", str(server.port), "--datastore", "store1", env=parts)
    assert_sound(server.store, snapshots=1)
    assert_holds(server.store, "host/box/latest", "a.pxar", tree)


def test_parts_and_environment(pbs_server: Server, client: Client) -> None:
    port, none = str(pbs_server.port), {"PBS_REPOSITORY": None}
    parts = {"PBS_SERVER": "127.0.0.1", "PBS_PORT": port, "PBS_DATASTORE": "store1"}
    client.expect_ok("list", "--server", "127.0.0.1", "--port", port, "--datastore", "store1", env=none)
    client.expect_ok("list", env={**none, **parts})
    client.expect_ok("list", "--port", port, env={**none, **parts, "PBS_PORT": "1"})  # field by field
    client.expect_ok("list", "--datastore", "store1", env={**parts, "PBS_DATASTORE": "x", "PBS_REPOSITORY": "nowhere:store"})
    client.expect_ok("list", env={**parts, "PBS_PORT": "1"})  # PBS_REPOSITORY goes before parts
    client.expect_ok("list", "--repository", pbs_server.repository(), env={"PBS_REPOSITORY": "nowhere:x", **parts, "PBS_PORT": "1"})
    client.expect_failure(2, "--repository and --server/--port/--datastore/--auth-id are mutually exclusive", "list", "--repository",
                 pbs_server.repository(), "--port", port)
    client.expect_failure(2, "--datastore is required when not using --repository", "list", "--server", "127.0.0.1", env=none)
    client.expect_failure(2, "unable to get (default) repository", "list", env=none)
    auth = {**none, **parts, "PBS_PASSWORD": TOKEN_SECRET}
    client.expect_ok("list", "--auth-id", TOKEN, env=auth)
    client.expect_ok("list", env={**auth, "PBS_AUTH_ID": TOKEN})


def test_malformed_parts_of_the_environment_are_ignored(pbs_server: Server, client: Client) -> None:
    parts = {"PBS_REPOSITORY": None, "PBS_SERVER": "127.0.0.1", "PBS_DATASTORE": "store1"}
    client.expect_ok("list", "--port", str(pbs_server.port), env={**parts, "PBS_AUTH_ID": "nonsense"})
    client.expect_failure(4, ":8007", "list", env={**parts, "PBS_PORT": "eight", "PBS_SERVER": "127.255.255.1"})


def test_repository_from_a_file(pbs_server: Server, client: Client, tmp_path: Path) -> None:
    (tmp_path / "repo").write_text(pbs_server.repository() + "\n")
    client.expect_ok("list", env={"PBS_REPOSITORY": None, "PBS_REPOSITORY_FILE": str(tmp_path / "repo")})
    client.expect_ok("list", env={"PBS_REPOSITORY": None, "PBS_REPOSITORY_CMD": f"cat {tmp_path / 'repo'}"})


def test_server_that_is_not_there(make_client: Callable[..., Client], tree: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    client = make_client(PBS_PASSWORD="x", PBS_REPOSITORY=f"127.0.0.1:{port}:store1")
    for args in (("list",), ("backup", f"a.pxar:{tree}"), ("restore", "host/a", "a.pxar", "x")):
        client.expect_failure(4, f"127.0.0.1:{port}", *args)


# ---- namespaces ----

class Rest:
    """A logged-in connection for the calls that the program does not make."""

    def __init__(self, server: Server) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.http = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"PBSAPIToken={TOKEN}:{TOKEN_SECRET}", "content-type": "application/json"}
        self.http.request(method, f"/api2/json/{path}", json.dumps(body) if body else None, headers)
        answer = self.http.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)["data"]


def test_namespaces(pbs_server: Server, client: Client, tree: Path) -> None:
    rest = Rest(pbs_server)
    rest.call("POST", "admin/datastore/store1/namespace", {"name": "a"})
    assert rest.call("POST", "admin/datastore/store1/namespace", {"name": "b", "parent": "a"}) == "a/b"
    lines = client.expect_ok("backup", f"r.pxar:{tree}", "--backup-id", "box", "--backup-time", str(T0), "--ns", "a/b").lines()
    assert "Starting backup: [a/b]:host/box/2023-11-14T22:13:20Z" in lines
    client.backup(f"r.pxar:{tree}", at=T0 + 1, env={"PBS_NAMESPACE": "a"})
    assert snapshots_of(pbs_server.store) == ["ns/a/host/box/2023-11-14T22:13:21Z", "ns/a/ns/b/host/box/2023-11-14T22:13:20Z"]
    assert_sound(pbs_server.store, snapshots=2)
    for snapshot in snapshots_of(pbs_server.store):
        assert_holds(pbs_server.store, snapshot, "r.pxar", tree)
    assert client.expect_ok("list", "--output-format", "json").json() == []
    assert len(client.expect_ok("list", "--output-format", "json", "--ns", "a/b").json()) == 1
    client.expect_ok("restore", "host/box", "r.pxar", client.home / "out", "--ns", "a/b")
    client.expect_failure(1, "does not contain any snapshots", "restore", "host/box", "r.pxar", client.home / "out2", "--ns", "")
    client.expect_failure(4, "namespace not found", "backup", f"r.pxar:{tree}", "--ns", "nowhere")
    client.expect_ok("snapshot", "forget", "host/box/2023-11-14T22:13:20Z", "--ns", "a/b")
    assert snapshots_of(pbs_server.store) == ["ns/a/host/box/2023-11-14T22:13:21Z"]


@pytest.mark.parametrize("ns", ["a//b", "/a", "a/", "a/../b", ".", "a b", "a/b/c/d/e/f/g/h", "x" * 257])
def test_malformed_namespaces(client: Client, ns: str) -> None:
    result = client.run("list", f"--ns={ns}")
    assert result.exit in (2, 3), result.stderr
    client.expect_failure(2, "ns", "status", "--ns", "a")  # has none (CLI-074)


# ---- proxy ----

class Proxy(threading.Thread):
    """CONNECT and nothing else; counts what it was asked for."""

    def __init__(self, password: str | None = None) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.password, self.targets = password, list[str]()
        self.pairs: list[socket.socket] = []

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(4096) or b"\r\n\r\n"
        lines = head.decode().split("\r\n")
        wanted = self.password and "basic " + base64.b64encode(self.password.encode()).decode()
        given = [line.split(": ", 1)[1] for line in lines if line.lower().startswith("proxy-authorization: ")]
        if wanted and [g[:6].lower() + g[6:] for g in given] != [wanted]:
            peer.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            peer.close()
            return
        method, target, _ = lines[0].split()
        assert method == "CONNECT"
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        server = socket.create_connection((host, int(port)))
        self.pairs += [peer, server]
        peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        for one, two in ((peer, server), (server, peer)):
            threading.Thread(target=self.copy, args=(one, two), daemon=True).start()

    @staticmethod
    def copy(one: socket.socket, two: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                two.sendall(data)
            two.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self.listener.close()
        for s in self.pairs:
            s.close()


@pytest.fixture
def make_proxy() -> Iterator[Callable[..., Proxy]]:
    proxies: list[Proxy] = []

    def make(password: str | None = None) -> Proxy:
        proxies.append(Proxy(password))
        proxies[-1].start()
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


def test_proxy(pbs_server: Server, client: Client, tree: Path, make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy()
    env = {"ALL_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "*", "HTTPS_PROXY": "http://127.0.0.1:1"}
    result = client.expect_ok("backup", f"a.pxar:{tree}", "--backup-id", "box", env=env)
    assert f"Using proxy connection: 127.0.0.1:{pbs_server.port}" in result.lines()
    client.expect_ok("restore", "host/box", "a.pxar", client.home / "out", env={**env, "ALL_PROXY": f"127.0.0.1:{proxy.port}"})
    assert set(proxy.targets) == {f"127.0.0.1:{pbs_server.port}"} and len(proxy.targets) >= 2
    assert_sound(pbs_server.store, snapshots=1)
    assert_holds(pbs_server.store, "host/box/latest", "a.pxar", tree)


def test_proxy_with_password(pbs_server: Server, client: Client, make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy("me:pass")
    client.expect_ok("list", env={"ALL_PROXY": f"http://me:pass@127.0.0.1:{proxy.port}"})
    client.expect_failure(4, "407", "list", env={"ALL_PROXY": f"http://me:no@127.0.0.1:{proxy.port}"})
    assert len(proxy.targets) == 1


def test_proxy_that_is_not_there_or_of_another_kind(client: Client, tree: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    client.expect_failure(4, "", "list", env={"ALL_PROXY": f"http://127.0.0.1:{port}"})
    client.expect_failure(4, "", "backup", f"a.pxar:{tree}", env={"ALL_PROXY": f"http://127.0.0.1:{port}"})
    for scheme in ("socks5", "https"):
        result = client.run("list", env={"ALL_PROXY": f"{scheme}://127.0.0.1:{port}"})
        assert f"unsupported proxy scheme '{scheme}'" in result.stderr and result.exit == 2


def test_proxy_without_port_has_1080(client: Client) -> None:
    client.expect_failure(4, "127.255.255.2 port 1080", "list", env={"ALL_PROXY": "http://127.255.255.2"})
