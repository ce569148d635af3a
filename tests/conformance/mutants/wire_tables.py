# SPDX-License-Identifier: MIT
"""Mutants of clients, of change detection and of servers."""
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.mutants.model import Patch

C, R, W = "client", "lib_reuse", "oracle.pxar_write"


@dataclass(frozen=True)
class ClientMutant:
    name: str
    rule: str
    areas: tuple[str, ...]
    does: str
    patches: tuple[Patch, ...]
    cases: tuple[str, ...] = ()  # beginnings of ids that should notice; they come first


@dataclass(frozen=True)
class ServerMutant:
    """`request` matches "METHOD PATH", `status` and `text` the right answer; `gives` and `body` are what comes instead."""
    name: str
    rule: str
    does: str
    request: str
    status: str = ""
    text: str = ""
    gives: int = 0
    body: Callable[[bytes], bytes] | None = None
    store: Callable[[Path], None] | None = None
    areas: tuple[str, ...] = ("server",)
    cases: tuple[str, ...] = ()


def client(name: str, rule: str, areas: str, does: str, *patches: Patch, cases: str = "") -> ClientMutant:
    return ClientMutant(name, rule, tuple(areas.split()), does, patches, tuple(cases.split()))


BACKUP = [
    client("client-ignores-finish", "BKP-282", "backup", "does not look at the answer to finish", (C, '        self.session.ask("POST", "/finish")\n', '        self.session.h2.call("POST", "/finish")\n'), cases="backup/finish backup/fault-finish"),
    client("client-no-finish", "BKP-190", "backup", "never calls finish", (C, "        self.upload_manifest()\n        self.finish()\n", "        self.upload_manifest()\n")),
    client("client-manifest-first", "BKP-174", "backup", "uploads the manifest before the archives", (C, "        for base, ending, path in self.sources:\n            if ending == \"pxar\":\n                self.dir", "        self.upload_manifest()\n        for base, ending, path in self.sources:\n            if ending == \"pxar\":\n                self.dir"), (C, "        self.upload_manifest()\n        self.finish()\n", "        self.finish()\n")),
    client("client-no-manifest-entry", "BKP-174", "backup", "believes that the server adds files to the manifest", (C, "        self.files.append(manifest.File(name, end, csum, self.mode))\n", "")),
    client("client-ignores-errors", "BKP-071", "backup", "goes on after a refused chunk", (C, '            raise Refused(f"{method} {path}: {reply.status} {reply.body[:200]!r}")', "            return reply"), cases="backup/fault-chunk"),
    client("client-ignores-append", "BKP-282", "backup", "does not look at the answer to an append", (C, '                raise Refused(f"append: {reply.status}")', "                pass"), cases="backup/fault-append backup/fault-late-append"),
    client("client-success-after-failure", "CDM-141", "backup", "before 3.3.3: reports success although archiving failed", (C, "    Backup(call).run()", "    try:\n        Backup(call).run()\n    except Exception:\n        pass"), cases="backup/fault"),
    client("client-finishes-after-failure", "CDM-141", "backup", "finishes with what was uploaded until the failure", (C, "        for base, ending, path in self.sources:\n            if ending == \"pxar\":\n                self.directory(base, path, mode)", "        for base, ending, path in self.sources:\n            if ending == \"pxar\":\n                try:\n                    self.directory(base, path, mode)\n                except (Refused, *FAILURES):\n                    pass"), cases="backup/fault-one backup/fault-second"),
    client("client-any-certificate", "API-053", "backup restore", "does not compare the fingerprint", (C, "if http.fingerprint() != self.fingerprint:", "if False:"), cases="backup/wrong-fingerprint"),
    client("client-login-first", "API-054", "backup", "sends the password before the certificate was compared", (C, "        body = urlencode({\"username\"", "        h = Http1(self)\n        h.call('POST', '/api2/json/access/ticket', {'content-type': 'application/x-www-form-urlencoded'}, urlencode({'username': self.user, 'password': self.password}).encode())\n        body = urlencode({\"username\""), cases="backup/wrong-fingerprint"),
    client("client-no-namespace", "BKP-017", "backup restore", "leaves the namespace out", (C, '({"ns": self.ns} if self.ns else {})', "{}"), cases="backup/namespace"),
    client("client-sends-known", "BKP-235", "backup", "uploads every chunk again", (C, "digest.hex() not in self.known:", "True:"), cases="backup/again backup/image-repeated"),
    client("client-never-previous", "BKP-224", "backup", "does not look at the snapshot before", (C, "        self.load_previous()\n        mode", "        mode"), cases="backup/again"),
    client("client-trusts-previous", "BKP-224", "backup", "does not compare the index before with its manifest", (C, "            if (found.csum, found.size) != (entry.csum, entry.size):\n                return\n", ""), (C, '            raw = self.session.ask("GET", "/previous", archive_name=entry.filename).body\n            found = index.parse(raw,', '            raw = self.session.ask("GET", "/previous", archive_name=entry.filename).body\n            found = index.parse(raw, False,'), cases="backup/again-index"),
    client("client-fails-without-previous", "BKP-220", "backup", "ends when the manifest before cannot be read", (C, "        except (Refused, *FAILURES):\n            return\n        self.previous = found", "        except ValueError:\n            return\n        self.previous = found"), cases="backup/again-manifest"),
    client("client-fails-without-previous-index", "BKP-224", "backup", "ends when an index before cannot be read", (C, "        except (Refused, *FAILURES):\n            return\n        self.known |=", "        except ValueError:\n            return\n        self.known |="), cases="backup/again-index"),
    client("client-needs-previous-time", "BKP-087", "backup", "ends on a server without previous_backup_time", (C, "        if reply.status == 200 and reply.data is None:", "        if reply.data is None:"), cases="backup/again-old"),
    client("client-other-key", "CDM-023", "backup", "uses chunks of a snapshot that was made with another key", (C, "            manifest.verify(found, self.key)\n            manifest.check_fingerprint(found, self.key)\n        except (Refused, *FAILURES):\n            return\n        self.previous", "        except (Refused, *FAILURES):\n            return\n        self.previous"), (C, "if usual and entry", "if entry"), cases="backup/again-other backup/again-plain"),
    client("client-plain-chunks", "BKP-236", "backup", "does not encrypt chunks", (C, "raw = blob.encode(chunk, True, self.encrypts, os.urandom(16) if self.encrypts else None)", "raw = blob.encode(chunk, True)"), cases="backup/encrypted"),
    client("client-plain-blobs", "BKP-236", "backup", "does not encrypt blobs", (C, "key = None if plain else self.encrypts", "key = None"), cases="backup/encrypted"),
    client("client-plain-digests", "CRY-004", "backup", "digests of encrypted chunks without the key", (C, "blob.digest_of(data, self.encrypts is not None, self.encrypts)", "hashlib.sha256(data).digest()"), cases="backup/encrypted"),
    client("client-unsigned", "MAN-044", "backup", "does not sign the manifest", (C, "            found.signature = manifest.signature(found, self.key)\n", ""), cases="backup/encrypted backup/sign"),
    client("client-encrypts-signed", "CLI-045", "backup", "encrypts although it should only sign", (C, 'self.key if self.mode == "encrypt" else None', "self.key"), cases="backup/sign"),
    client("client-crypt-mode-none", "MAN-017", "backup", "says none for encrypted archives", (C, "self.files.append(manifest.File(name, end, csum, self.mode))", 'self.files.append(manifest.File(name, end, csum, "none"))'), cases="backup/encrypted"),
    client("client-no-catalog", "CAT-061", "backup", "legacy mode without catalog", (C, 'if self.catalogs and mode == "legacy":', "if False:"), cases="backup/legacy backup/several"),
    client("client-catalog-flat", "CAT-062", "backup", "a catalog with the upper directory alone", (C, "            folders[above].children.append(item)", "            top.children.append(item) if not above else None"), cases="backup/legacy"),
    client("client-catalog-one", "CAT-061", "backup", "the catalog holds the last archive only", (C, "        self.catalogs.append(top)", "        self.catalogs = [top]"), cases="backup/several"),
    client("client-exclude-ignored", "CDM-009", "backup", "does not know exclude patterns", (C, '[os.fsencode(p) for p in self.call.list("exclude")], normalise', "[], normalise"), cases="backup/exclude"),
    client("client-mode-ignored", "CDM-003", "backup", "always makes one stream", (C, '        if mode == "legacy":\n            pxar_write', "        if True:\n            pxar_write"), cases="backup/data"),
    client("client-chunk-size-ignored", "CHK-002", "backup", "ignores the chunk size", (C, 'int(call.text("chunk-size", "4096")) << 10', "4096 << 10"), cases="backup/chunk-sizes"),
    client("client-image-chunks", "BKP-248", "backup", "images in chunks of 1 MiB", (C, "        step = index.SERVER_CHUNK_SIZE\n", "        step = 1 << 20\n"), cases="backup/image"),
    client("client-image-padded", "BKP-164", "backup", "the last chunk of an image is filled with zeros", (C, "[data[at:at + step] for at in range(0, len(data), step)], len(data))", "[data[at:at + step].ljust(step, b'\\0') for at in range(0, len(data), step)], len(data))"), cases="backup/image-small backup/image-more"),
    client("client-offsets-from-end", "BKP-130", "backup", "offsets of an append are ends", (C, '"offset-list": starts[at:at + len(part)]', '"offset-list": starts[at + 1:at + 1 + len(part)]')),
    client("client-type-host", "BKP-015", "backup", "every group is of type host", (C, 'self.group = call.text("backup-type")', 'self.group = "host"'), cases="backup/type"),
    client("client-archive-twice", "CLI-032", "backup", "takes the same archive name twice", (C, "        if len({(b, e) for b, e, _ in out}) != len(out):", "        if False:"), cases="backup/wrong-twice"),
    client("client-file-as-directory", "CLI-032", "backup", "makes an empty archive of a file", (C, "if not base or ending not in TYPES or not TYPES[ending](path):", "if not base or ending not in TYPES or not os.path.exists(path):"), (C, "        archive, payload = io.BytesIO(), io.BytesIO()\n", "        archive, payload = io.BytesIO(), io.BytesIO()\n        if not os.path.isdir(path):\n            return\n"), cases="backup/wrong-file"),
    client("client-wrong-time", "BKP-040", "backup", "names the present as backup time", (C, 'self.peer.session("backup", BACKUP, self.group, self.call.text("backup-time"))', 'self.peer.session("backup", BACKUP, self.group, str(int(self.call.text("backup-time")) + 1))')),
    client("client-drops-last-chunk", "BKP-141", "backup", "closes an index without its last chunk", (C, "        self.append(kind, wid, records)\n        body", "        records = records[:-1] if len(records) > 1 else records\n        end = records[-1][0] if records else 0\n        self.append(kind, wid, records)\n        body")),
]

RESTORE = [
    client("restore-digest-ignored", "RDR-060", "restore", "does not compare digests of chunks", (C, "return blob.decode(raw, self.key, digest, size, limit=blob.MAX_CHUNK)", "return blob.decode(raw, self.key, None, None, limit=blob.MAX_CHUNK)"), cases="restore/bad-chunk"),
    client("restore-crc-ignored", "RDR-060", "restore", "does not look at CRCs", ("oracle.blob", "zlib.crc32(blob.payload) != blob.crc", "False"), (C, "return blob.decode(raw, self.key, digest, size, limit=blob.MAX_CHUNK)", "return blob.decode(raw, self.key, None, None, limit=blob.MAX_CHUNK)"), cases="restore/bad-chunk"),
    client("restore-length-ignored", "BLOB-088", "restore", "does not compare lengths of chunks", (C, "return blob.decode(raw, self.key, digest, size, limit=blob.MAX_CHUNK)", "return blob.decode(raw, self.key, None, None, limit=blob.MAX_CHUNK)[:size]"), cases="restore/bad-chunk"),
    client("restore-kind-ignored", "RDR-060", "restore", "takes unencrypted chunks in an encrypted archive", (C, "        if blob.load(raw).encrypted != encrypted:\n            raise Refused(\"chunk of the wrong kind\")\n        return blob.decode(raw, self.key, digest, size, limit=blob.MAX_CHUNK)", "        return blob.decode(raw, self.key, digest if blob.parse(raw).encrypted == encrypted else None, size if blob.parse(raw).encrypted == encrypted else None, limit=blob.MAX_CHUNK)"), cases="restore/bad-encrypted-plain"),
    client("restore-missing-as-zeros", "RDR-066", "restore", "writes zeros where a chunk is missing", (C, '        raw = self.session.ask("GET", "/chunk", digest=digest.hex()).body\n', '        try:\n            raw = self.session.ask("GET", "/chunk", digest=digest.hex()).body\n        except Refused:\n            return bytes(size)\n'), cases="restore/bad-chunk-missing"),
    client("restore-index-unchecked", "RDR-052", "restore", "does not compare an index with the manifest", (C, "        if found.csum != entry.csum or found.size != entry.size:\n", "        if False:\n"), cases="restore/bad-index"),
    client("restore-manifest-unverified", "MAN-048", "restore", "does not check the signature", (C, "        manifest.verify(self.manifest, key)\n", ""), cases="restore/bad-encrypted-tampered restore/bad-manifest"),
    client("restore-key-unchecked", "MAN-052", "restore", "does not compare the key's fingerprint", (C, "        manifest.verify(self.manifest, key)\n        manifest.check_fingerprint(self.manifest, key)\n", ""), cases="restore/bad-key restore/bad"),
    client("restore-encrypted-manifest", "MAN-001", "restore", "takes an encrypted manifest", (C, '            raise Refused("encrypted manifest")\n        self.manifest = manifest.parse(blob.decode(raw))', '            pass\n        self.manifest = manifest.parse(blob.decode(raw, key))'), cases="restore/bad-manifest"),
    client("restore-blob-unchecked", "RDR-053", "restore", "does not compare a blob with the manifest", (C, "        check_blob(entry, raw)\n", ""), cases="restore/bad-blob"),
    client("restore-keeps-going", "RDR-066", "restore", "writes an image up to the damage and reports success", (C, '        data = b"".join(source.blocks(0, source.size))\n', '        data = b""\n        try:\n            for piece in source.blocks(0, source.size):\n                data += piece\n        except (Refused, *FAILURES):\n            pass\n'), cases="restore/bad-chunk"),
    client("restore-half-file", "RDR-066", "restore", "leaves the image up to the damage behind", (C, '        data = b"".join(source.blocks(0, source.size))\n', '        data = b""\n        for piece in source.blocks(0, source.size):\n            data += piece\n            target.write_bytes(data)\n'), cases="restore/bad-chunk"),
    client("restore-last-chunk-lost", "RDR-060", "restore", "leaves the last byte of images out", (C, '        data = b"".join(source.blocks(0, source.size))\n', '        data = b"".join(source.blocks(0, source.size - 1))\n')),
    client("restore-no-split", "RDR-071", "restore", "does not find a pair by the name of the archive", ("oracle.index", '        stored = base.removesuffix(".pxar") + ".mpxar.didx"\n', "        pass\n"), cases="restore/"),
    client("restore-payload-header-ignored", "PXAR-243", "restore", "does not compare payload headers with their references", ("oracle.pxar", 'if self.payload.read(offset, 16) != HEADER.pack(CODE["PAYLOAD"], 16 + size):', "if False:"), cases="restore/bad-archive-payload"),
    client("restore-namespace-ignored", "BKP-017", "restore backup", "reads from the root namespace", (C, '({"ns": self.ns} if self.ns else {})', "{}"), cases="restore/ns backup/namespace"),
]

REUSE = [
    client("reuse-size-ignored", "CDM-140", "reuse", "before 3.3.2: the size of a file is not compared", (R, " or old.size != entry.size:", ":"), cases="reuse/worked-t3 reuse/changed"),
    client("reuse-references-repeat", "CDM-142", "reuse", "before 4.1.7: references may repeat or go backwards", (R, "if any(old.offset <= s or old.offset < e for s, e in self.accepted):  # CDM-042 f", "if False:")),
    client("reuse-fails-on-backwards", "CDM-143", "reuse", "4.1.7 to 4.1.11: ends when references before go backwards", (R, "            self.plan.warned.append(entry.path)\n            return None", '            raise ValueError("payload offset goes backwards")')),
    client("reuse-by-digest", "CDM-144", "reuse", "before 4.1.12: the held chunk is recognised by its digest alone", (R, "continued = self.held is not None and self.held.number == copies[0].number", "continued = self.held is not None and self.previous.rows[self.held.number][2] == self.previous.rows[copies[0].number][2]"), cases="reuse/worked-d"),
    client("reuse-inject-at-holes", "CDM-144", "reuse", "4.1.12: the held chunk is injected at every hole", (R, "continued = self.held is not None and self.held.number == copies[0].number", "continued = False"), cases="reuse/worked-u"),
    client("reuse-threshold-wraps", "CDM-145", "reuse", "before 4.1.13: padding below zero wraps around", (R, "        if 10 * sum(c.unused for c in copies) > sum(c.size for c in copies):  # CDM-065", "        used = sum(e - s for s, e in self.held.needed) if self.held else 0\n        if 10 * ((sum(c.unused for c in copies) - used) % (1 << 64)) > sum(c.size for c in copies):"), cases="reuse/worked"),
    client("reuse-mtime-ignored", "CDM-043", "reuse", "times are not compared", (R, "n.mtime_ns, n.projid", "n.projid"), cases="reuse/change"),
    client("reuse-mtime-seconds", "CDM-043", "reuse", "times are compared in whole seconds", (R, "n.mtime_ns, n.projid", "n.mtime_ns // 10**9, n.projid"), cases="reuse/change"),
    client("reuse-mode-ignored", "CDM-043", "reuse", "modes are not compared", (R, "return (n.mode, n.flags", "return (n.flags"), cases="reuse/change"),
    client("reuse-owner-ignored", "CDM-043", "reuse", "owners are not compared", (R, "n.uid, n.gid, ", ""), cases="reuse/change"),
    client("reuse-values-compared", "CDM-044", "reuse", "values of attributes are compared", (R, "[x for x in n.xattrs if x not in special]", "dict(n.xattrs)"), cases="reuse/change reuse/xattr"),
    client("reuse-never", "CDM-042", "reuse", "nothing is ever re-used", (R, "        if old is None or old.offset is None or", "        if True or"), cases="reuse/"),
    client("reuse-always", "CDM-065", "reuse", "padding does not matter", (R, "        if 10 * sum(c.unused for c in copies) > sum(c.size for c in copies):  # CDM-065", "        if False:"), cases="reuse/small reuse/worked"),
    client("reuse-half-padding", "CDM-065", "reuse", "threshold of a half", (R, "        if 10 * sum(c.unused", "        if 2 * sum(c.unused"), cases="reuse/small reuse/worked"),
    client("reuse-base-wrong", "CDM-083", "reuse", "references without the offset inside the first chunk", (R, "base + offset - first.start", "base + offset - self.start"), cases="reuse/worked"),
    client("reuse-base-header", "CDM-083", "reuse", "references lead to the data", (R, "base + offset - first.start", "base + offset - first.start + 16")),
    client("reuse-last-chunk-lost", "CDM-056", "reuse", "the chunk that was held last is not injected", (R, "            self.flush(keep=False)\n            self.inject_held()\n        self.plan.pos", "            self.flush(keep=True)\n        self.plan.pos")),
    client("reuse-damaged-range", "CDM-059", "reuse", "ranges behind the end of the index before are taken", (R, "        if old.offset < HEADER or end > self.previous.size - HEADER:  # CDM-059", "        if False:"), (R, '            raise AssertionError("a range behind the markers was accepted")', "            pass")),
    client("reuse-links-followed", "CDM-084", "reuse", "hard links are archived as files of their own", (W, "if walked.kind == \"file\" and key in self.links:", "if False:"), cases="reuse/worked-h"),
    client("reuse-other-key", "CDM-023", "reuse", "re-uses chunks of another key", (C, "            manifest.verify(found, self.key)\n            manifest.check_fingerprint(found, self.key)\n        except (Refused, *FAILURES):\n            return\n        self.previous", "        except (Refused, *FAILURES):\n            return\n        self.previous"), (C, "            usual = ", "            usual = True or ")),
    client("reuse-one-directory", "CDM-041", "reuse", "looks for files by their last name", (R, "        entries[entry.path] = Old(", "        entries[entry.path] = entries[entry.path.rpartition(b'/')[2]] = Old(")),
    client("reuse-gap-in-payload", "CDM-127", "reuse", "uploads a chunk that nothing refers to", (R, "            self.plan.written.add(entry.path)\n            self.plan.pos += HEADER + entry.size", "            self.plan.written.add(entry.path)\n            self.plan.pos += HEADER + entry.size"), (W, "        if self.dirs:\n            self.child(name, start, 0)\n        elif self.payload is not None:  # PXAR-135\n            self.advance()\n", "        if self.dirs:\n            self.child(name, start, 0)\n        elif self.payload is not None:  # PXAR-135\n            self.advance()\n            self.out_payload(bytes(5000))\n")),
    client("reuse-no-tail", "CDM-123", "reuse backup", "no tail marker", (W, 'self.out_payload(HEADER.pack(CODE["PAYLOAD_TAIL"], 16))', "pass")),
    client("reuse-sizes-of-table", "PXAR-158", "reuse", "goodbye sizes with the content for re-used files too", (W, "content.size if new_in_payload else 0", "content.size if self.payload is not None else 0"), cases="reuse/worked"),
]

CLIENTS = [*BACKUP, *RESTORE, *REUSE]


# ---- servers ----

def changed(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """The member `data` of an answer."""
    return lambda raw: json.dumps({"data": change(json.loads(raw)["data"])}).encode()


def flip(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1]) if raw else b"x"


def each(pattern: str, act: Callable[[Path], None]) -> Callable[[Path], None]:
    def edit(store: Path) -> None:
        for path in sorted(store.glob(pattern)):
            if path.is_file():
                act(path)
    return edit


def last_byte(path: Path) -> None:
    path.write_bytes(flip(path.read_bytes()))


def unfinished(store: Path) -> None:
    """What an aborted session leaves behind."""
    folder = store / "host" / "conform-left" / "2023-11-14T22:13:20Z"
    for made in list(store.glob("*/*/*/index.json.blob")):
        made.rename(made.with_name("index.json.tmp"))
    if not list(store.glob("host/*/*")):
        folder.mkdir(parents=True)
        (folder / "root.didx.tmp").touch()


def takes(name: str, rule: str, does: str, request: str, cases: str = "", text: str = "") -> ServerMutant:
    """Answers 200 where the right answer is an error."""
    return ServerMutant(name, rule, does, request, "^[45]", text, 200, cases=tuple(cases.split()))


SERVERS = [
    takes("server-any-digest", "BKP-117", "takes a chunk under a wrong digest", r"POST /(dynamic|fixed)_chunk", "server/chunk", "igest|CRC|crc"),
    takes("server-any-size", "BKP-117", "takes a chunk of another size than announced", r"POST /(dynamic|fixed)_chunk", "server/chunk"),
    takes("server-any-writer", "BKP-116", "takes chunks for writers that do not exist", r"POST /(dynamic|fixed)_chunk", "server/chunk", "[Ww]riter|registered|wid"),
    takes("server-append-unknown", "BKP-134", "takes appends of chunks that were never uploaded", r"PUT /(dynamic|fixed)_index", "server/append server/dynamic"),
    takes("server-append-any-offset", "BKP-135", "takes appends at any offset", r"PUT /(dynamic|fixed)_index", "server/append server/dynamic", "offset"),
    takes("server-close-any-csum", "BKP-145", "closes an index with a wrong checksum", r"POST /(dynamic|fixed)_close", "server/close", "checksum|csum"),
    takes("server-close-any-count", "BKP-145", "closes an index with a wrong number of chunks", r"POST /(dynamic|fixed)_close", "server/close", "count|chunk"),
    takes("server-close-any-size", "BKP-145", "closes an index with a wrong size", r"POST /(dynamic|fixed)_close", "server/close", "size"),
    takes("server-close-twice", "BKP-146", "closes an index twice", r"POST /(dynamic|fixed)_close", "server/close", "closed|registered|writer"),
    takes("server-finish-open", "BKP-190", "finishes with open writers", r"POST /finish", "server/finish"),
    takes("server-finish-without-manifest", "BKP-191", "finishes without a manifest", r"POST /finish", "server/finish-without"),
    takes("server-blob-any-crc", "BKP-171", "takes a blob with a wrong CRC", r"POST /blob", "server/blob"),
    takes("server-blob-any-name", "BKP-170", "takes any file name for a blob", r"POST /blob", "server/blob", "name|schema|parameter|pattern"),
    takes("server-any-name", "BKP-101", "takes any archive name", r"POST /(dynamic|fixed)_index", "server/"),
    takes("server-unknown-parameters", "BKP-063", "ignores unknown parameters", r"(POST|PUT|GET) /", "server/", "additional properties|schema"),
    takes("server-reader-any-file", "RDR-020", "hands out files that are not there as empty ones", r"GET /download", "server/"),
    takes("server-reader-any-chunk", "RDR-030", "hands out chunks that were not opened", r"GET /chunk", "server/"),
    takes("server-previous-missing", "BKP-085", "answers for archives that the snapshot before does not have", r"GET /previous", "server/previous"),
    ServerMutant("server-upgrade-any", "BKP-014", "upgrades whatever is asked", r"GET /+api2/json/(backup|reader)", "^[45]", "", 101, cases=("server/upgrade",)),
    ServerMutant("server-upgrade-200", "BKP-025", "answers 200 to an upgrade", r"GET /+api2/json/(backup|reader)", "^101", "", 200),
    ServerMutant("server-no-login", "API-063", "knows no password", r"POST /api2/json/access/ticket", "^200", "", 401),
    ServerMutant("server-any-login", "API-064", "takes any password", r"POST /api2/json/access/ticket", "^40", "", 200, lambda raw: b'{"data":{"username":"root@pam","ticket":"x","CSRFPreventionToken":"y"}}'),
    ServerMutant("server-json-errors", "BKP-068", "errors as JSON", r".* /", "^400", ".", 400, lambda raw: json.dumps({"errors": {"x": "other"}, "success": 0}).encode()),
    ServerMutant("server-error-500", "BKP-068", "refuses with 500", r"(POST|PUT|GET) /", "^400", "", 500),
    ServerMutant("server-writer-ids-from-zero", "BKP-102", "ids of writers are text", r"POST /(dynamic|fixed)_index", "^200", "", 200, changed(str)),
    ServerMutant("server-one-writer-id", "BKP-102", "every writer has the same id", r"POST /(dynamic|fixed)_index", "^200", "", 200, changed(lambda n: 1)),
    ServerMutant("server-fixed-null", "BKP-071", "answers without data", r"POST /(dynamic|fixed)_index", "^200", "", 200, lambda raw: b"{}"),
    ServerMutant("server-finish-answers", "BKP-190", "finish fails", r"POST /finish", "^200", "", 400),
    ServerMutant("server-download-damaged", "RDR-021", "a byte of a download is wrong", r"GET /download", "^200", "", 200, flip),
    ServerMutant("server-download-short", "RDR-021", "a byte of a download is missing", r"GET /download", "^200", "", 200, lambda raw: raw[:-1]),
    ServerMutant("server-chunk-damaged", "RDR-030", "a byte of a chunk is wrong", r"GET /chunk", "^200", "", 200, flip),
    ServerMutant("server-chunk-decoded", "RDR-031", "hands out chunks without their envelope", r"GET /chunk", "^200", "", 200, lambda raw: raw[12:]),
    ServerMutant("server-previous-damaged", "BKP-085", "a byte of the index before is wrong", r"GET /previous\?", "^200", "", 200, flip),
    ServerMutant("server-previous-time-zero", "BKP-086", "the time of the snapshot before is always 0", r"GET /previous_backup_time", "^200", "", 200, changed(lambda t: 0)),
    ServerMutant("server-list-wrong", "API-105", "an empty list of snapshots", r"GET /api2/json/admin/datastore/[^/]*/snapshots", "^200", "", 200, changed(lambda rows: [])),
    ServerMutant("server-lists-unfinished", "BKP-203", "a finished snapshot loses its manifest, an aborted one stays", r"$", store=unfinished),
    ServerMutant("server-damages-chunks", "BKP-120", "a byte of every stored chunk is wrong", r"$", store=each(".chunks/*/*", last_byte)),
    ServerMutant("server-loses-chunks", "BKP-120", "chunks are acknowledged and not stored", r"$", store=each(".chunks/*/*", Path.unlink)),
    ServerMutant("server-damages-indexes", "IDX-071", "a byte of every index is wrong", r"$", store=each("*/*/*/*.?idx", last_byte)),
    ServerMutant("server-damages-blobs", "BKP-172", "a byte of every blob is wrong", r"$", store=each("*/*/*/*.blob", last_byte)),
]

TABLE: list[Any] = [*CLIENTS, *SERVERS]
