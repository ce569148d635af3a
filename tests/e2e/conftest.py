# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests. Everything lies in a directory of the test and is gone when it ends."""
from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from support import GOLDEN, Client, Repo, Server, remove_tree


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Instead of pytest's, which stays; $PBSREF_KEEP keeps it."""
    path = Path(tempfile.mkdtemp(prefix="pbsref-e2e-"))
    yield path
    if not os.environ.get("PBSREF_KEEP"):
        remove_tree(path)


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A directory in memory, for datastores with all their 65,536 directories."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="pbsref-e2e-", dir=base))
    yield path
    remove_tree(path)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """An empty datastore of a name."""
    maker = Client(tmp_path / "maker")

    def make(name: str = "store1") -> Path:
        maker.expect_ok("store", "init", "--lazy", tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def make_server(tmp_path: Path, make_store: Callable[..., Path]) -> Iterator[Callable[..., Server]]:
    """make_server(*options, store=PATH, faults=(...)); servers end with the test, orderly."""
    servers: list[Server] = []

    def make(*extra: str, store: Path | None = None, faults: tuple[str, ...] = (), users: bool = True) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        if store is None:
            store = tmp_path / "store1"
            if not store.exists():
                make_store()
        servers.append(Server(folder, store, *extra, faults=faults, users=users))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def pbs_server(make_server: Callable[..., Server]) -> Server:
    return make_server()


@pytest.fixture
def make_client(tmp_path: Path) -> Callable[..., Client]:
    """A client with a home of its own for a server, or without settings."""
    made: list[Client] = []

    def make(server: Server | None = None, **env: str) -> Client:
        made.append(Client(tmp_path / f"home{len(made)}", **{**(server.environment() if server else {}), **env}))
        return made[-1]

    return make


@pytest.fixture
def client(pbs_server: Server, make_client: Callable[..., Client]) -> Client:
    return make_client(pbs_server)


@pytest.fixture
def dir_repo(make_store: Callable[..., Path], make_client: Callable[..., Client]) -> Repo:
    """A datastore used without a server."""
    store = make_store("dir-store")
    return Repo(make_client(PBS_REPOSITORY=f"dir:{store}"), store)


@pytest.fixture
def open_repo(make_server: Callable[..., Server], make_client: Callable[..., Client]) -> Callable[[str, Path], Repo]:
    """A datastore that exists, through a server ("tls") or as a directory ("dir")."""

    def open_one(how: str, store: Path) -> Repo:
        if how == "dir":
            return Repo(make_client(PBS_REPOSITORY=f"dir:{store}"), store)
        server = make_server(store=store)
        return Repo(make_client(server), store, server)

    return open_one


@pytest.fixture(params=["tls", "dir"])
def repo(request: pytest.FixtureRequest, make_store: Callable[..., Path], open_repo: Callable[[str, Path], Repo]) -> Repo:
    """An empty datastore, both ways."""
    return open_repo(request.param, make_store())


@pytest.fixture(scope="session")
def session_path() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pbsref-e2e-session-"))
    yield path
    remove_tree(path)


@pytest.fixture
def prebuilt(session_path: Path, tmp_path: Path) -> Callable[[str, Callable[[Path, Client], None]], Path]:
    """Copies what `build(folder, client)` made once in this session to the test's directory; `client` fills folder/store1."""

    def get(name: str, build: Callable[[Path, Client], None]) -> Path:
        folder = session_path / name
        if not folder.exists():
            folder.mkdir()
            Client(session_path / f"{name}-home").expect_ok("store", "init", "--lazy", folder / "store1")
            server = Server(session_path / f"{name}-server", folder / "store1")
            build(folder, Client(session_path / f"{name}-home", **server.environment()))
            server.stop()
        subprocess.run(["cp", "-a", f"{folder}/.", str(tmp_path)], check=True)
        return tmp_path / "store1"

    return get


@pytest.fixture
def golden_store(session_path: Path, tmp_path: Path) -> Path:
    """The golden datastore, unpacked."""
    unpacked = session_path / "gold"
    if not unpacked.exists():
        with open(GOLDEN / "datastore" / "datastore.tar.zst", "rb") as f, \
                zstandard.ZstdDecompressor().stream_reader(f) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
            tar.extractall(unpacked)
    subprocess.run(["cp", "-a", str(unpacked), str(tmp_path / "gold")], check=True)
    return tmp_path / "gold"
