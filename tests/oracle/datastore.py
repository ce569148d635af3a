# SPDX-License-Identifier: MIT
"""A datastore directory (spec/index-files.md section 5): snapshots, chunks, archive streams."""
from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from . import blob, index, manifest
from .crypto import Key
from .errors import OracleError
from .pxar import Reader
from .source import Source

TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")  # IDX-109
MANIFEST, CLIENT_LOG, RSA_KEY = "index.json.blob", "client.log.blob", "rsa-encrypted.key.blob"
CACHED_CHUNKS = 8


def time_text(seconds: int) -> str:
    """IDX-109."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True, frozen=True)
class Snapshot:
    """A snapshot directory; `ns` is the slash-joined namespace (IDX-110)."""
    ns: str
    type: str
    id: str
    time: str

    @property
    def path(self) -> str:
        """Relative to the datastore's root."""
        parts = [p for name in self.ns.split("/") if name for p in ("ns", name)]
        return "/".join([*parts, self.type, self.id, self.time])


class Store:
    """Read access to a datastore; `key` decrypts and verifies signatures."""

    def __init__(self, root: str, key: Key | None = None):
        self.root, self.key = root, key
        if not os.path.isdir(os.path.join(root, ".chunks")):
            raise OracleError("IDX-100", None, f"{root} is no datastore: no .chunks directory")

    # -- finding things ------------------------------------------------------------------------

    def snapshots(self) -> list[Snapshot]:
        """All snapshot directories, finished or not, ordered by path."""
        out, spaces = [], [("", self.root)]
        while spaces:
            ns, base = spaces.pop()
            spaces += [(f"{ns}/{name}".strip("/"), os.path.join(base, "ns", name))
                       for name in _dirs(os.path.join(base, "ns"))]
            for kind in manifest.TYPES:  # IDX-107
                for group in _dirs(os.path.join(base, kind)):
                    out += [Snapshot(ns, kind, group, time)
                            for time in _dirs(os.path.join(base, kind, group))
                            if TIME.fullmatch(time)]
        return sorted(out, key=lambda s: s.path)

    def find(self, text: str) -> Snapshot:
        """`[ns/NAME/...]TYPE/ID/TIME`; TIME may be `latest`."""
        matching = [s for s in self.snapshots() if s.path == text or text.endswith("/latest")
                    and s.path.rpartition("/")[0] == text.rpartition("/")[0]]
        if not matching:
            raise FileNotFoundError(f"no snapshot {text}")
        return matching[-1]

    def full(self, snapshot: Snapshot, name: str = "") -> str:
        return os.path.join(self.root, snapshot.path, name)

    def owner(self, snapshot: Snapshot) -> str | None:
        """IDX-111."""
        try:
            with open(os.path.join(os.path.dirname(self.full(snapshot).rstrip("/")), "owner")) as f:
                return f.readline().rstrip() or None
        except OSError:
            return None

    def raw(self, snapshot: Snapshot, name: str) -> bytes:
        with open(self.full(snapshot, name), "rb") as f:
            return f.read()

    # -- files of a snapshot -------------------------------------------------------------------

    def manifest(self, snapshot: Snapshot) -> manifest.Manifest:
        """Decoded and, with a key, verified manifest (MAN-001, MAN-048)."""
        raw = self.raw(snapshot, MANIFEST)
        if blob.parse(raw).encrypted:
            raise OracleError("MAN-001", 0, "encrypted manifest")
        found = manifest.parse(blob.decode(raw))
        manifest.verify(found, self.key)
        return found

    def usable(self, snapshot: Snapshot) -> manifest.Manifest:
        """The manifest, after the checks that precede any use of a snapshot."""
        found = self.manifest(snapshot)
        manifest.check_fingerprint(found, self.key)
        return found

    def index(self, snapshot: Snapshot, entry: manifest.File) -> index.Index:
        """An index that agrees with its name and manifest entry (IDX-022, MAN-030, MAN-031)."""
        kind = index.archive_type(entry.filename)
        found = index.parse(self.raw(snapshot, entry.filename), kind=kind)
        if (found.csum, found.size) != (entry.csum, entry.size):
            raise OracleError("MAN-072", None, f"{entry.filename}: size or csum differs")
        return found

    def chunk_path(self, digest: bytes) -> str:
        """IDX-100."""
        text = digest.hex()
        return os.path.join(self.root, ".chunks", text[:4], text)

    def chunk(self, digest: bytes, size: int, encrypted: bool) -> bytes:
        """A chunk's plain data, with every check (BLOB-087, BLOB-088, BLOB-091)."""
        raw = self.load_chunk(digest, encrypted)
        return blob.decode(raw, self.key, digest, size, limit=blob.MAX_CHUNK)

    def load_chunk(self, digest: bytes, encrypted: bool) -> bytes:
        """A chunk's raw blob; CRC and kind checked."""
        try:
            with open(self.chunk_path(digest), "rb") as f:
                raw = f.read()
        except FileNotFoundError:
            text = f"chunk {digest.hex()} is missing"
            raise OracleError("IDX-100", None, text, "missing") from None
        if blob.load(raw).encrypted != encrypted:
            raise OracleError("BLOB-087", 0, f"chunk {digest.hex()} is of a kind that does not fit "
                                             "the archive's crypt-mode", "wrong-kind")
        return raw

    def stream(self, snapshot: Snapshot, name: str, files: manifest.Manifest) -> ChunkedSource:
        """Random access to the content of an index."""
        entry = files.file(name)
        return ChunkedSource(self, self.index(snapshot, entry), entry.crypt_mode == "encrypt")

    def blob(self, snapshot: Snapshot, entry: manifest.File) -> bytes:
        """Decoded blob file (MAN-032, BLOB-092)."""
        raw = self.raw(snapshot, entry.filename)
        check_blob(entry, raw)
        return blob.decode(raw, self.key)

    def reader(self, snapshot: Snapshot, archive: str,
               files: manifest.Manifest | None = None) -> Reader:
        """pxar reader over an archive, split or not (IDX-094)."""
        files = files or self.usable(snapshot)
        names = index.resolve(archive, {f.filename for f in files.files})
        if not names[0].endswith(("pxar.didx", ".pxar.meta.didx")):
            raise OracleError("IDX-094", None, f"{archive} is not a pxar archive", "not-found")
        sources = [self.stream(snapshot, name, files) for name in names]
        return Reader(sources[0], sources[1] if len(sources) > 1 else None)

    def copy(self, snapshot: Snapshot, archive: str, target: str) -> None:
        """Any file of a snapshot, decoded, into a new file."""
        files = self.usable(snapshot)
        name = index.stored_name(archive)
        with open(target, "xb") as out:
            if name == MANIFEST:  # MAN-076
                out.write(blob.decode(self.raw(snapshot, name)))
            elif index.archive_type(name) == "blob":
                out.write(self.blob(snapshot, files.file(name)))
            else:
                source = self.stream(snapshot, name, files)
                for piece in source.blocks(0, source.size):
                    out.write(piece)


def check_blob(entry: manifest.File, raw: bytes) -> None:
    """Raw length, SHA-256 and kind of a blob file (MAN-032, CRY-042)."""
    if len(raw) != entry.size or hashlib.sha256(raw).digest() != entry.csum:
        raise OracleError("MAN-032", None, f"{entry.filename}: size or csum is not the manifest's")
    wanted = entry.crypt_mode == "encrypt" and entry.filename != RSA_KEY
    if blob.load(raw).encrypted != wanted:
        raise OracleError("CRY-042", 0, f"{entry.filename}: kind does not fit crypt-mode "
                                        f"{entry.crypt_mode}")


def _dirs(path: str) -> Iterator[str]:
    """Names of safe form (IDX-108) or of time form that are directories."""
    if os.path.isdir(path):
        with os.scandir(path) as names:
            yield from sorted(e.name for e in names if e.is_dir(follow_symlinks=False)
                              and (index.safe_name(e.name) or TIME.fullmatch(e.name)))


class ChunkedSource(Source):
    """The byte stream an index describes (IDX-030, IDX-051)."""

    def __init__(self, store: Store, chunks: index.Index, encrypted: bool):
        self.store, self.index, self.encrypted = store, chunks, encrypted
        self.size = chunks.size
        self.cache: OrderedDict[int, bytes] = OrderedDict()

    def _chunk(self, number: int) -> bytes:
        if number in self.cache:
            self.cache.move_to_end(number)
            return self.cache[number]
        start, end, digest = self.index.chunks[number]
        data = self.cache[number] = self.store.chunk(digest, end - start, self.encrypted)
        if len(self.cache) > CACHED_CHUNKS:
            self.cache.popitem(last=False)
        return data

    def read(self, offset: int, length: int) -> bytes:
        out = bytearray()
        while len(out) < length:
            where = self.index.lookup(offset + len(out))
            if where is None:
                break
            number, inside = where
            out += self._chunk(number)[inside:inside + length - len(out)]
        return bytes(out)
