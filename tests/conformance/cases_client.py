# SPDX-License-Identifier: MIT
"""Cases of role client: backups and restores against our server, which also misbehaves, and against datastores with one fault.

A client must never end with success when the snapshot is not there or is not what was backed up, and must never restore other
data than what the snapshot holds.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.cases import ROOT

Case = dict[str, Any]
Step = dict[str, Any]
T0, STEP_S = 1_700_000_000, 3600
SNAPSHOT = "host/c1/2023-11-14T22:13:20Z"
KEY, OTHER_KEY = "11" * 32, "22" * 32
KEYFILE = {"key.json": {"gen": "key-file", "args": {"key": KEY}}}
BOTH_KEYS = KEYFILE | {"other.json": {"gen": "key-file", "args": {"key": OTHER_KEY}}}
TREE = [{"path": "", "mode": "755"}, {"path": "a", "data": {"text": "aaa\n"}}, {"path": "big", "size": "400000"}, {"path": "d", "kind": "dir"},
        {"path": "d/b", "size": "30000"}, {"path": "d/empty"}, {"path": "ln", "kind": "symlink", "to": "d/b"}]
IMAGE = {"gen": "segments", "args": {"parts": ["counter32:7:4194304", "byte:0:4194304", "splitmix64:8:1000"]}}
SMALL_IMAGE = {"gen": "segments", "args": {"parts": ["counter32:7:4194304", "splitmix64:8:1000"]}}
CONF = {"text": "key: value\n" * 20}
GOLD = "testdata/golden/pxar/one-file"
ROOT_PXAR = "root.pxar:tree"


def backup(*archives: str, reject: bool = False, checks: list[Any] | None = None, **args: Any) -> Step:
    expect: dict[str, Any] = {"verdict": "reject" if reject else "accept"} | ({"checks": checks} if checks else {})
    return {"run": "backup", "args": {"archives": list(archives) or [ROOT_PXAR]} | named(args), "expect": expect}


def restore(archive: str, reject: bool = False, checks: list[Any] | None = None, **args: Any) -> Step:
    expect: dict[str, Any] = {"verdict": "reject" if reject else "accept"} | ({"checks": checks} if checks else {})
    return {"run": "restore", "args": {"archive": archive} | named(args), "expect": expect}


def named(args: dict[str, Any]) -> dict[str, Any]:
    return {k.replace("_", "-"): v for k, v in args.items()}


def check(name: str, **members: Any) -> dict[str, Any]:
    return {"check": name} | named(members)


def case(id: str, rules: str, does: str, *steps: Step, checks: list[Any] | None = None, **members: Any) -> Case:
    return {"id": id, "rules": rules.split(), "does": does, **members, "steps": list(steps), "expect": {"verdict": "accept"} | ({"checks": checks} if checks else {})}


SAME_TREE = check("target-equals-tree")
SOUND1, SOUND2 = check("store-sound", snapshots="1"), check("store-sound", snapshots="2")
ORDER = check("acknowledged-first")


def holds(archive: str = "root.pxar", **members: Any) -> dict[str, Any]:
    return check("snapshot-holds", archive=archive, **members)


def count(event: str, number: str, **where: str) -> dict[str, Any]:
    return check("journal", event=event, count=number, **({"where": named(where)} if where else {}))


UNKNOWN = count("known", "0", name="root.pxar.didx")       # the index of the snapshot before was not asked for
NOTHING_NEW = count("chunk", "0", state="new")
NOTHING_SENT = check("uploaded-at-most", archive="root.pxar.didx", bytes="0")  # the catalog may be: CAT-074


# ---- backups that succeed ----

def good_backups() -> Iterator[Case]:
    yield case("legacy", "BKP-222 CDM-002 BKP-228", "one directory, legacy mode, and back", backup(checks=[SOUND1, holds(), ORDER, count("finish", "1"),
               check("manifest-files", files=["catalog.pcat1.didx", "root.pxar.didx"])]), restore("root.pxar", checks=[SAME_TREE]))
    for mode in ("data", "metadata"):
        yield case(mode, "BKP-223 CDM-003 CDM-005", f"one directory, {mode} mode, and back", backup(mode=mode, checks=[SOUND1, holds(), ORDER, count("finish", "1"),
                   check("manifest-files", files=["root.ppxar.didx", "root.mpxar.didx"], ordered=True)]), restore("root.pxar", checks=[SAME_TREE]))
    yield case("empty-directory", "BKP-141 CDM-163", "a directory without entries, in both forms", backup("a.pxar:tree", checks=[holds("a.pxar")]), backup("a.pxar:tree", mode="data", checks=[holds("a.pxar")]),
               restore("a.pxar", checks=[SAME_TREE]), tree=[{"path": ""}], checks=[SOUND2], flags=["Limits", "Protocol"])
    for name, size, does in (("small", 1, "of one byte"), ("exact", 4 << 20, "of exactly 4 MiB"), ("more", (4 << 20) + 1, "of 4 MiB and a byte")):
        data = {"gen": "segments", "args": {"parts": [f"counter32:9:{size}"]}}
        yield case(f"image-{name}", "BKP-248 BKP-164", f"an image {does}, and back", backup("disk.img:image", checks=[SOUND1, check("stored-file", archive="disk.img.fidx", path="image")]),
                   restore("disk.img", checks=[check("restored", path="image")]), input={"image": data}, flags=["Limits", "Protocol"])
    yield case("image-repeated", "BKP-235 BKP-164", "an image with equal blocks: each is sent once", backup("disk.img:image", checks=[
               SOUND1, check("stored-file", archive="disk.img.fidx", path="image"), count("chunk", "3")]), restore("disk.img", checks=[check("restored", path="image")]),
               input={"image": {"gen": "segments", "args": {"parts": ["byte:0:8388608", "counter32:7:4194304", "byte:0:4194304", "splitmix64:8:1000"]}}})
    yield case("conf", "BKP-228 MAN-030", "a conf and a log file, and back", backup("etc.conf:conf", "run.log:conf", checks=[
               SOUND1, check("stored-file", archive="etc.conf.blob", path="conf"), check("manifest-files", files=["etc.conf.blob", "run.log.blob"])]),
               restore("etc.conf", checks=[check("restored", path="conf")]), input={"conf": CONF})
    yield case("several", "BKP-221 BKP-222 CAT-061", "two directories, an image and a conf in one backup, with one catalog", backup(ROOT_PXAR, "d.pxar:tree/d", "disk.img:image", "etc.conf:conf", checks=[
               SOUND1, ORDER, holds(), check("manifest-files", files=["root.pxar.didx", "d.pxar.didx", "disk.img.fidx", "etc.conf.blob", "catalog.pcat1.didx"]), count("index-close", "4")]),
               restore("root.pxar", checks=[SAME_TREE]), restore("disk.img", checks=[check("restored", path="image")]), input={"image": SMALL_IMAGE, "conf": CONF})
    yield case("several-split", "CDM-003 CDM-004", "two directories in data mode: two pairs, no catalog", backup(ROOT_PXAR, "d.pxar:tree/d", mode="data", checks=[
               SOUND1, ORDER, holds(), check("manifest-files", files=["root.ppxar.didx", "root.mpxar.didx", "d.ppxar.didx", "d.mpxar.didx"])]), restore("root.pxar", checks=[SAME_TREE]))
    for kind, name in (("vm", "100"), ("ct", "_x.y-z")):
        yield case(f"type-{kind}", "BKP-015 BKP-017", f"a group of type {kind}", backup(backup_type=kind, backup_id=name, checks=[SOUND1, holds(snapshot=f"{kind}/{name}/2023-11-14T23:13:20Z")]))
    yield case("namespace", "BKP-017 BKP-035 API-032", "a namespace, and back", backup(ns="a/b", checks=[SOUND1, holds(snapshot="ns/a/ns/b/host/c1/2023-11-14T23:13:20Z")]), restore("root.pxar", ns="a/b", checks=[SAME_TREE]),
               server={"store": {"gen": "snapshots", "args": {"namespaces": ["a", "a/b"]}}})
    yield case("exclude", "CDM-009 CRT-040", "patterns on the command line, both forms", backup(exclude=["/d", "*.x"], checks=[holds(exclude=["/d", "*.x"])]), backup(exclude=["/d"], mode="data", checks=[holds(exclude=["/d"])]),
               checks=[SOUND2], flags=["DataLoss", "Protocol"])
    yield case("encrypted", "BKP-236 CRY-001 BKP-228", "with a key: every chunk and blob is encrypted, the manifest signed", backup(ROOT_PXAR, "etc.conf:conf", keyfile="key.json", checks=[
               SOUND1, holds(), check("chunks-encrypted"), check("manifest-files", files=["root.pxar.didx", "etc.conf.blob", "catalog.pcat1.didx"], mode="encrypt", signed=True)]),
               restore("root.pxar", keyfile="key.json", checks=[SAME_TREE]), restore("etc.conf", keyfile="key.json", checks=[check("restored", path="conf")]), input=KEYFILE | {"conf": CONF}, flags=["Crypto", "Protocol"])
    yield case("encrypted-split", "CDM-037 BKP-236", "with a key, data mode", backup(mode="data", keyfile="key.json", checks=[SOUND1, holds(), check("chunks-encrypted")]),
               restore("root.pxar", keyfile="key.json", checks=[SAME_TREE]), input=KEYFILE, flags=["Crypto", "Protocol"])
    yield case("sign-only", "CLI-045 MAN-048", "signed, not encrypted", backup(keyfile="key.json", crypt_mode="sign-only", checks=[
               SOUND1, holds(), check("chunks-encrypted", encrypted=False), check("manifest-files", files=["root.pxar.didx", "catalog.pcat1.didx"], mode="sign-only", signed=True)]),
               restore("root.pxar", keyfile="key.json", checks=[SAME_TREE]), input=KEYFILE, flags=["Crypto", "Protocol"])
    yield case("chunk-sizes", "CHK-002 CDM-012", "chunks of 64 KiB on average: none above 256 KiB", backup(mode="data", chunk_size="64", checks=[SOUND1, holds(), check("chunk-limits", largest="262144", at_least="2")]))


def repeated_backups() -> Iterator[Case]:
    for name, args, does in (("legacy", {}, "legacy mode"), ("data", {"mode": "data"}, "data mode")):
        yield case(f"again-{name}", "BKP-224 BKP-235 CDM-101", f"nothing changed, {does}: no chunk is sent again", backup(**args), backup(**args, checks=[NOTHING_NEW, *([NOTHING_SENT] if name == "legacy" else [count("chunk", "0")]), holds(), ORDER]), checks=[SOUND2], flags=["Reuse", "Protocol"])
    yield case("again-image", "BKP-224 BKP-235", "one block of an image changed: only that one is sent", backup("disk.img:image"), backup("disk.img:image2", checks=[
               count("chunk", "1"), check("stored-file", archive="disk.img.fidx", path="image2")]),
               input={"image": IMAGE, "image2": {"of": IMAGE, "edit": [{"at": 5000000, "bytes": "01"}]}}, checks=[SOUND2], flags=["Reuse", "Protocol"])
    yield case("again-changed", "BKP-224 BKP-235", "a small file is new: little is sent", backup(mode="data", chunk_size="64"), {"edit-tree": [{"path": "new", "data": {"text": "new\n"}}]},
               backup(mode="data", chunk_size="64", checks=[holds(), check("uploaded-at-most", archive="root.ppxar.didx", bytes="262144")]), checks=[SOUND2], flags=["Reuse", "Protocol"])
    yield case("again-encrypted", "BKP-224 CDM-037", "encrypted and unchanged: no chunk is sent again", backup(keyfile="key.json"), backup(keyfile="key.json", checks=[NOTHING_NEW, NOTHING_SENT, holds()]), input=KEYFILE,
               checks=[SOUND2], flags=["Reuse", "Crypto"])
    yield case("again-other-key", "CDM-023 BKP-220", "the snapshot before has another key: nothing of it is used", backup(keyfile="key.json", checks=[SOUND1]), backup(keyfile="other.json", checks=[
               UNKNOWN, count("index-close", "2"), count("finish", "1")]), restore("root.pxar", keyfile="other.json", checks=[SAME_TREE]), input=BOTH_KEYS, flags=["Reuse", "Crypto"])
    yield case("again-plain", "CDM-023", "the snapshot before is encrypted, this one is not", backup(keyfile="key.json"), backup(checks=[UNKNOWN]), restore("root.pxar", checks=[SAME_TREE]), input=KEYFILE, flags=["Reuse", "Crypto"])
    yield case("again-verify", "CDM-020 BKP-039", "the snapshot before failed its verification: everything is sent", backup(), {"edit-store": "verify-failed"},
               backup(checks=[UNKNOWN, count("finish", "1"), holds()]), flags=["Reuse", "DataLoss"])
    for name, where, what in (("index-lies-csum", "GET /previous#2", "lie=csum"), ("index-lies-size", "GET /previous#2", "lie=size"), ("index-missing", "GET /previous#2", "status=404,gone"),
                              ("index-short", "GET /previous#2", "short=4100"), ("manifest-refused", "GET /previous#1", "status=400,no"), ("manifest-corrupt", "GET /previous#1", "corrupt=10"),
                              ("manifest-short", "GET /previous#1", "short=20")):
        yield case(f"again-{name}", "BKP-224" if name.startswith("index") else "BKP-220", f"{where} of the second backup: {what}: a full backup, and a sound one", backup(),
                   backup(checks=[holds(), count("fault", "1"), check("journal", event="chunk", at_least="2")]), server={"faults": [f"{where}:{what}"]}, checks=[SOUND2], flags=["Reuse", "Misbehaviour"])
    yield case("again-old-server", "BKP-087", "a server without previous_backup_time", backup(), backup(checks=[NOTHING_NEW, NOTHING_SENT, holds()]), server={"faults": ["GET /previous_backup_time#*:status=404,not found"]},
               checks=[SOUND2], flags=["Reuse", "Compat"])
    for name, does, faults in (("narrow", "windows of a hundred bytes", ["accept#*:window=100"]), ("slow", "chunk uploads that are answered late", ["POST /dynamic_chunk#*:delay=50"]),
                               ("late-append", "appends that are answered late", ["PUT /dynamic_index#*:delay=50"])):
        yield case(f"slow-{name}", "BKP-054 BKP-240", f"a server with {does}", backup(chunk_size="64", checks=[SOUND1, holds(), ORDER]), server={"faults": faults}, flags=["Protocol", "Misbehaviour"])


# ---- backups that must fail ----

WRITES = {"login": "POST *access/ticket", "upgrade": "upgrade backup", "create": "POST /dynamic_index", "chunk": "POST /dynamic_chunk", "append": "PUT /dynamic_index", "close": "POST /dynamic_close",
          "manifest": "POST /blob", "finish": "POST /finish"}
KINDS = {"refused": ("status=400,refused", "status 400"), "failed": ("status=500,failed", "status 500"), "reset": ("reset", "a TCP reset"), "goaway": ("goaway", "GOAWAY"), "rst-stream": ("rst-stream", "RST_STREAM"),
         "close": ("close", "the end of the connection")}
TRIED = [("login", "refused"), ("login", "reset"), ("upgrade", "refused"), ("upgrade", "failed"), ("upgrade", "close"), ("create", "refused"), ("create", "goaway"), ("chunk", "refused"), ("chunk", "failed"), ("chunk", "reset"),
         ("chunk", "goaway"), ("chunk", "rst-stream"), ("append", "refused"), ("append", "rst-stream"), ("close", "refused"), ("close", "close"), ("manifest", "refused"), ("manifest", "reset"), ("finish", "refused"),
         ("finish", "failed"), ("finish", "reset"), ("finish", "rst-stream"), ("finish", "close")]
NONE = [check("no-snapshot")]


def refused_backups() -> Iterator[Case]:
    for place, kind in TRIED:
        what, says = KINDS[kind]
        name = "finish-refused" if (place, kind) == ("finish", "refused") else f"fault-{place}-{kind}"
        yield case(name, "BKP-282 BKP-071" if "status" in what else "BKP-282", f"the answer to {WRITES[place]} is {says}", backup(mode="data", reject=True, checks=NONE), backup(mode="data", checks=[holds()]),
                   server={"faults": [f"{WRITES[place]}#1:{what}"]}, checks=[SOUND1, count("fault", "1")], flags=["Misbehaviour", "DataLoss"], why="a client that goes on reports a backup that does not exist")
    for name, where, does in (("late-chunk", "POST /dynamic_chunk#3:status=500,failed", "the third chunk fails"), ("late-append", "PUT /dynamic_index#2:status=400,refused", "the second append is refused"),
                              ("second-close", "POST /dynamic_close#2:status=400,refused", "the second index cannot be closed"), ("space", "chunk-write#3:enospc", "the datastore is full"),
                              ("forgotten", "POST /dynamic_chunk#2:lie=known", "a chunk is accepted, but the append that uses it is refused"), ("create-short", "POST /dynamic_index#1:short=1", "the writer id is cut"),
                              ("create-corrupt", "POST /dynamic_index#1:corrupt=2", "the writer id is damaged")):
        yield case(f"fault-{name}", "BKP-282", does, backup(mode="data", chunk_size="64", reject=True, checks=NONE), backup(mode="data", checks=[holds()]), server={"faults": [where]}, checks=[SOUND1],
                   flags=["Misbehaviour", "DataLoss"])
    yield case("fault-image", "BKP-282", "a chunk of an image fails", backup("disk.img:image", reject=True, checks=NONE), input={"image": SMALL_IMAGE}, server={"faults": ["POST /fixed_chunk#2:status=500,failed"]},
               flags=["Misbehaviour", "DataLoss"])
    yield case("fault-one-of-two", "BKP-282", "the second archive fails: no snapshot with the first one alone", backup(ROOT_PXAR, "disk.img:image", reject=True, checks=NONE), input={"image": SMALL_IMAGE},
               server={"faults": ["POST /fixed_close#1:status=400,refused"]}, flags=["Misbehaviour", "DataLoss"])
    yield case("fault-keeps-older", "BKP-282 BKP-203", "a failed backup leaves the snapshot before alone", backup(), {"edit-tree": [{"path": "new", "size": "100000"}]}, backup(reject=True),
               restore("root.pxar", snapshot="host/c1/2023-11-14T23:13:20Z", checks=[check("restored-files", files={"a": "17e682f060b5f8e47ea04c5c4855908b0a5ad612022260fe50e11ecb0cc0ab76"}, missing=["new"])]),
               server={"faults": ["POST /finish#2:status=400,refused"]}, checks=[SOUND1], flags=["Misbehaviour", "DataLoss"])
    for name, rules, does, args in (("password", "API-064", "a wrong password", {"password": "wrong"}), ("fingerprint", "API-053 API-054", "a fingerprint that is not the server's", {"fingerprint": ":".join(["ab"] * 32)}),
                                    ("ns-missing", "BKP-035", "a namespace that does not exist", {"ns": "none"})):
        yield case(f"wrong-{name}", rules, does, backup(reject=True, checks=NONE, **args), backup(checks=[holds()]), checks=[SOUND1, count("finish", "1")], flags=["Protocol", "Crypto"])
    yield case("wrong-fingerprint-nothing-sent", "API-053 API-054", "a server with another certificate gets no password", backup(reject=True, fingerprint=":".join(["ab"] * 32)),
               checks=[count("request", "0"), count("session", "0")], flags=["Crypto"], why="whoever sits between client and server would learn the password")
    for name, does, archives in (("twice", "the same archive name twice", [ROOT_PXAR, "root.pxar:tree/d"]), ("missing-source", "a source that does not exist", ["root.pxar:none"]),
                                 ("file-as-directory", "a file in place of a directory", ["root.pxar:tree/a"]), ("extension", "an archive type that does not exist", ["root.tar:tree"])):
        yield case(f"wrong-{name}", "CLI-031" if name == "extension" else "CLI-032", does, backup(*archives, reject=True, checks=NONE))
    yield case("wrong-time", "BKP-040", "a backup time before the last snapshot's", backup(), backup(backup_time=str(T0), reject=True), checks=[SOUND1, count("finish", "1")], flags=["Protocol", "DataLoss"])
    yield case("wrong-owner", "BKP-038", "a group of another owner", backup(reject=True), server={"store": {"gen": "snapshots", "args": {"files": {"etc.conf.blob": {"of": CONF}}, "owner": "other@pbs"}}},
               checks=[SOUND1], flags=["Protocol"])


# ---- restores ----

def store(files: dict[str, Any], **args: Any) -> dict[str, Any]:
    return {"store": {"gen": "snapshots", "args": {"files": files} | args}}


PXAR = {"root.pxar.didx": {"of": {"file": f"{GOLD}.pxar"}, "cut": "60"}}
SPLIT = {"root.ppxar.didx": {"of": {"file": f"{GOLD}.ppxar"}, "cut": "20"}, "root.mpxar.didx": {"of": {"file": f"{GOLD}.mpxar"}, "cut": "60"}}
IMG = {"disk.img.fidx": {"of": SMALL_IMAGE}}
BLOB = {"etc.conf.blob": {"of": CONF}}
GOLDEN_PXAR = {"archive.pxar": {"file": f"{GOLD}.pxar"}}
SAME_ARCHIVE = check("target-equals-archive")


def good_restores() -> Iterator[Case]:
    for name, files, does in (("legacy", PXAR, "one stream"), ("split", SPLIT, "a pair")):
        yield case(f"{name}", "RDR-071 RDR-050", f"an archive of {does} that the oracle stored", restore("root.pxar", snapshot=SNAPSHOT, checks=[SAME_ARCHIVE]), server=store(files), input=GOLDEN_PXAR, needs=["root"])
    for compress in (False, True):
        word = "compressed" if compress else "plain"
        yield case(f"image-{word}", "RDR-073 RDR-060", f"an image of {word} chunks", restore("disk.img", snapshot=SNAPSHOT, checks=[check("restored", of=SMALL_IMAGE)]),
                   server=store({"disk.img.fidx": {"of": SMALL_IMAGE, "compress": compress}}))
        yield case(f"conf-{word}", "RDR-053", f"a {word} blob", restore("etc.conf", snapshot=SNAPSHOT, checks=[check("restored", of=CONF)]), server=store({"etc.conf.blob": {"of": CONF, "compress": compress}}))
        yield case(f"encrypted-{word}", "RDR-060 CRY-001", f"an encrypted {word} image and blob", restore("disk.img", snapshot=SNAPSHOT, keyfile="key.json", checks=[check("restored", of=SMALL_IMAGE)]),
                   restore("etc.conf", snapshot=SNAPSHOT, keyfile="key.json", checks=[check("restored", of=CONF)]),
                   server=store({"disk.img.fidx": {"of": SMALL_IMAGE, "compress": compress}, "etc.conf.blob": {"of": CONF, "compress": compress}}, key=KEY), input=KEYFILE, flags=["Crypto", "Interop"])
    yield case("signed", "RDR-051 MAN-048", "a signed snapshot, with its key", restore("etc.conf", snapshot=SNAPSHOT, keyfile="key.json", checks=[check("restored", of=CONF)]), server=store(BLOB, key=KEY, mode="sign-only"), input=KEYFILE,
               flags=["Crypto", "Interop"])
    yield case("namespace", "RDR-003", "from a namespace", restore("etc.conf", snapshot=SNAPSHOT, ns="a/b", checks=[check("restored", of=CONF)]), server=store(BLOB, ns="a/b"))
    yield case("repeated-chunks", "RDR-060 RDR-063", "an archive whose chunks occur many times", restore("root.img", snapshot=SNAPSHOT, checks=[check("restored", of={"gen": "segments", "args": {"parts": ["byte:7:20971520"]}})]),
               server=store({"root.img.fidx": {"of": {"gen": "segments", "args": {"parts": ["byte:7:20971520"]}}}}), checks=[check("journal", event="chunk-read", at_most="5")])
    for mode in ("legacy", "data"):
        yield case(f"pattern-{mode}", "CDM-153 EXT-020" if mode == "data" else "EXT-020", f"one file out of a {mode} archive", backup(mode=mode), restore("root.pxar", patterns=["d/b"], checks=[
                   check("restored-files", files={"d/b": digest_of("d/b", 30000)}, missing=["a", "big", "ln"])]), tree=TREE, flags=["Historical", "DataLoss"] if mode == "data" else ["DataLoss"])
    for window in ("1000", "70000"):
        yield case(f"window-{window}", "RDR-104 RDR-106", f"a server that grants windows of {window} bytes", restore("disk.img", snapshot=SNAPSHOT, checks=[check("restored", of=SMALL_IMAGE)]),
                   server=store(IMG) | {"faults": [f"accept#*:window={window}"]}, flags=["Protocol", "Misbehaviour"])
    golden = {"store": {"gen": "golden-store"}}
    for name, snapshot, archive, wanted in (("conf", "host/mixed/2023-11-14T22:13:20Z", "etc.conf", {"text": "key: value\n"}),):
        yield case(f"golden-{name}", "RDR-053 BLOB-087", "a blob of a datastore of the original server", restore(archive, snapshot=snapshot, checks=[check("restored", of=wanted)]), server=golden, flags=["Interop"])
    for name, snapshot, tree in (("legacy", "host/legacy/2023-11-14T22:13:20Z", "nested"), ("split", "host/split/2023-11-14T22:15:00Z", "nested"), ("mixed", "host/mixed/2023-11-14T22:13:20Z", "special-files")):
        yield case(f"golden-{name}", "RDR-050 RDR-071", f"an archive of the original server: {name}", restore("root.pxar", snapshot=snapshot, checks=[SAME_TREE]), server=golden, tree={"gen": "golden", "args": {"name": tree}},
                   needs=["root"], flags=["Interop"])
    yield case("golden-encrypted", "RDR-060 CRY-001", "an encrypted archive of the original", restore("root.pxar", snapshot="host/enc/2023-11-14T22:15:00Z", keyfile="key.json", checks=[SAME_TREE]), server=golden,
               tree={"gen": "golden", "args": {"name": "special-files"}}, input={"key.json": {"file": "testdata/golden/datastore/client-output/key-none.json"}}, needs=["root"], flags=["Interop", "Crypto"])


def digest_of(path: str, size: int) -> str:
    import hashlib

    from conformance.trees import noise
    return hashlib.sha256(noise(path.encode(), size)).hexdigest()


FLIP_DATA = [{"at": 20, "xor": "01"}]
# id, rules, what, files of the snapshot, archive to restore, store edit, its arguments
DAMAGES: list[tuple[str, str, str, dict[str, Any], str, str, dict[str, Any]]] = [
    ("chunk-missing", "RDR-033 RDR-066", "the last chunk of an image is missing", IMG, "disk.img", "chunk", {"archive": "disk.img.fidx", "number": "-1"}),
    ("chunk-missing-pxar", "RDR-033 RDR-066", "a chunk of an archive is missing", PXAR, "root.pxar", "chunk", {"archive": "root.pxar.didx", "number": "1"}),
    ("chunk-missing-mpxar", "RDR-033 RDR-066", "a chunk of the metadata is missing", SPLIT, "root.pxar", "chunk", {"archive": "root.mpxar.didx", "number": "2"}),
    ("chunk-missing-ppxar", "RDR-033 RDR-066", "a chunk of the payload is missing", SPLIT, "root.pxar", "chunk", {"archive": "root.ppxar.didx", "number": "1"}),
    ("chunk-crc", "RDR-060", "a chunk whose CRC is wrong", IMG, "disk.img", "chunk", {"archive": "disk.img.fidx", "number": "1", "edit": FLIP_DATA}),
    ("chunk-digest", "RDR-060", "a chunk of other data, with a right CRC", IMG, "disk.img", "chunk", {"archive": "disk.img.fidx", "number": "1", "edit": [*FLIP_DATA, {"repair": "blob-crc"}]}),
    ("chunk-digest-pxar", "RDR-060", "a chunk of an archive with other data, with a right CRC", PXAR, "root.pxar", "chunk",
     {"archive": "root.pxar.didx", "number": "3", "edit": [*FLIP_DATA, {"repair": "blob-crc"}]}),
    ("chunk-digest-ppxar", "RDR-060", "a chunk of the payload with other data, with a right CRC", SPLIT, "root.pxar", "chunk",
     {"archive": "root.ppxar.didx", "number": "1", "edit": [{"at": 30, "xor": "01"}, {"repair": "blob-crc"}]}),
    ("chunk-magic", "RDR-060", "a chunk with a magic that is not known", IMG, "disk.img", "chunk", {"archive": "disk.img.fidx", "edit": [{"at": 0, "xor": "ff"}]}),
    ("chunk-short", "RDR-060", "a chunk that is cut", IMG, "disk.img", "chunk", {"archive": "disk.img.fidx", "edit": [{"truncate": 1000}]}),
    ("chunk-header", "RDR-060", "a chunk file of five bytes", IMG, "disk.img", "chunk", {"archive": "disk.img.fidx", "edit": [{"truncate": 5}]}),
    ("chunk-swapped", "RDR-060", "a chunk file with a sound blob of other data", IMG, "disk.img", "chunk", {"archive": "disk.img.fidx", "of": {"text": "other"}}),
    ("chunk-zeros", "RDR-060", "a chunk file with a sound blob of zeros", IMG, "disk.img", "chunk", {"archive": "disk.img.fidx", "of": {"gen": "segments", "args": {"parts": ["byte:0:4194304"]}}}),
    ("index-missing", "RDR-022", "the index is missing", IMG, "disk.img", "file", {"name": "disk.img.fidx"}),
    ("index-magic", "RDR-052", "the index has a wrong magic", IMG, "disk.img", "file", {"name": "disk.img.fidx", "edit": [{"at": 0, "xor": "ff"}]}),
    ("index-cut", "RDR-052", "the index is cut", PXAR, "root.pxar", "file", {"name": "root.pxar.didx", "edit": [{"truncate": -1}]}),
    ("index-record-cut", "RDR-052", "the last record of the index is missing", PXAR, "root.pxar", "file", {"name": "root.pxar.didx", "edit": [{"truncate": -40}]}),
    ("index-digest", "RDR-052", "a digest of the index is another one", PXAR, "root.pxar", "file", {"name": "root.pxar.didx", "edit": [{"at": -1, "xor": "01"}, {"repair": "index-csum"}]}),
    ("index-swapped", "RDR-052", "two digests of the index are swapped, its own checksum is right", PXAR, "root.pxar", "file",
     {"name": "root.pxar.didx", "edit": [{"swap": [[4104, 32], [4144, 32]]}, {"repair": "index-csum"}]}),
    ("index-end", "RDR-052", "the end of the index is one more", PXAR, "root.pxar", "file", {"name": "root.pxar.didx", "edit": [{"at": -40, "u64": "234"}, {"repair": "index-csum"}]}),
    ("index-decreasing", "IDX-023", "ends of the index decrease, manifest and checksum agree", PXAR, "root.pxar", "index", {"name": "root.pxar.didx", "edit": [{"at": 0, "u64": "130"}]}),
    ("index-lengths", "RDR-061", "chunks are longer than the index says, manifest and checksum agree", PXAR, "root.pxar", "index", {"name": "root.pxar.didx", "edit": [{"at": 0, "u64": "59"}]}),
    ("index-order", "PXAR-030", "chunks are swapped, manifest and checksum agree: what comes is no archive", PXAR, "root.pxar", "index",
     {"name": "root.pxar.didx", "edit": [{"swap": [[8, 32], [48, 32]]}]}),
    ("blob-missing", "RDR-023", "the blob is missing", BLOB, "etc.conf", "file", {"name": "etc.conf.blob"}),
    ("blob-crc", "RDR-053", "the blob is damaged", BLOB, "etc.conf", "file", {"name": "etc.conf.blob", "edit": [{"at": 30, "xor": "01"}]}),
    ("blob-digest", "RDR-053", "the blob is another one than the manifest's, with a right CRC", BLOB, "etc.conf", "file", {"name": "etc.conf.blob", "edit": [{"at": 30, "xor": "01"}, {"repair": "blob-crc"}]}),
    ("blob-longer", "RDR-053", "the blob has more bytes than the manifest says", BLOB, "etc.conf", "file", {"name": "etc.conf.blob", "edit": [{"append": "00"}, {"repair": "blob-crc"}]}),
    ("blob-short", "RDR-053", "the blob is cut", BLOB, "etc.conf", "file", {"name": "etc.conf.blob", "edit": [{"truncate": 20}]}),
    ("manifest-missing", "RDR-051", "the manifest is missing", BLOB, "etc.conf", "file", {"name": "index.json.blob"}),
    ("manifest-crc", "RDR-051", "the manifest is damaged", BLOB, "etc.conf", "file", {"name": "index.json.blob", "edit": [{"at": -3, "xor": "01"}]}),
    ("manifest-json", "RDR-051", "the manifest is no JSON", BLOB, "etc.conf", "manifest", {"text": "{"}),
    ("manifest-array", "RDR-051", "the manifest is an array", BLOB, "etc.conf", "manifest", {"text": "[]"}),
    ("manifest-size", "RDR-052", "the manifest says another size of the index", IMG, "disk.img", "manifest", {"file": "disk.img.fidx", "members": {"size": 4195303}}),
    ("manifest-csum", "RDR-052", "the manifest says another checksum of the index", IMG, "disk.img", "manifest", {"file": "disk.img.fidx", "members": {"csum": "00" * 32}}),
    ("manifest-csum-blob", "RDR-053", "the manifest says another checksum of the blob", BLOB, "etc.conf", "manifest", {"file": "etc.conf.blob", "members": {"csum": "00" * 32}}),
    ("manifest-dropped", "RDR-071", "the manifest does not list the archive", BLOB, "etc.conf", "manifest", {"drop": ["etc.conf.blob"]}),
    ("archive-cut", "PXAR-225", "the archive ends early, in everything else the snapshot is sound", PXAR, "root.pxar", "archive", {"name": "root.pxar.didx", "edit": [{"truncate": 150}]}),
    ("archive-dots", "PXAR-071", "a name in the archive leads outside", PXAR, "root.pxar", "archive", {"name": "root.pxar.didx", "edit": [{"at": 72, "bytes": "2e2e2f"}]}),
    ("archive-payload", "PXAR-243", "the payload header in the split archive does not fit its reference", SPLIT, "root.pxar", "archive", {"name": "root.ppxar.didx", "edit": [{"at": 24, "u64": "30"}]}),
    ("archive-reference", "PXAR-274", "a reference behind the end of the payload", SPLIT, "root.pxar", "references", {"name": "root.mpxar.didx", "set": {"hello.txt": 1000000}}),
]
# the same for encrypted or signed snapshots: keys of the restore, mode
KEYED: list[tuple[str, str, str, dict[str, Any], str, str, str, dict[str, Any], str]] = [
    ("other-key", "RDR-051", "an encrypted archive with another key", IMG, "disk.img", "", "", {}, "other.json"),
    ("no-key", "RDR-051", "an encrypted archive without a key", IMG, "disk.img", "", "", {}, ""),
    ("no-key-blob", "RDR-051", "an encrypted blob without a key", BLOB, "etc.conf", "", "", {}, ""),
    ("signed-other-key", "RDR-051", "a signed snapshot with another key", BLOB, "etc.conf", "sign-only", "", {}, "other.json"),
    ("signed-tampered", "RDR-051 MAN-048", "a signed manifest that was changed", BLOB, "etc.conf", "sign-only", "manifest", {"file": "etc.conf.blob", "members": {"size": 1}}, "key.json"),
    ("signed-time", "RDR-051 MAN-048", "a signed manifest with another backup time", BLOB, "etc.conf", "sign-only", "manifest", {"set": {"backup-time": 1700000001}}, "key.json"),
    ("encrypted-tampered", "RDR-051 MAN-048", "the signed manifest of an encrypted snapshot was changed", IMG, "disk.img", "", "manifest", {"set": {"backup-id": "c2"}}, "key.json"),
    ("encrypted-chunk", "RDR-060 CRY-021", "an encrypted chunk that was changed, with a right CRC", IMG, "disk.img", "", "chunk",
     {"archive": "disk.img.fidx", "edit": [{"at": 100, "xor": "01"}, {"repair": "blob-crc"}]}, "key.json"),
    ("encrypted-plain-chunk", "RDR-060", "an unencrypted chunk in an encrypted archive", IMG, "disk.img", "", "chunk", {"archive": "disk.img.fidx", "of": SMALL_IMAGE}, "key.json"),
    ("encrypted-other-chunk", "RDR-060", "a chunk of other data, encrypted with the right key", IMG, "disk.img", "", "chunk", {"archive": "disk.img.fidx", "of": {"text": "other"}, "key": KEY}, "key.json"),
]


def refused_restores() -> Iterator[Case]:
    for name, rules, does, files, archive, edit, args in DAMAGES:
        single = archive != "root.pxar"
        yield case(f"bad-{name}", rules, does, {"edit-store": edit, "args": args}, restore(archive, snapshot=SNAPSHOT, reject=True, checks=[check("not-restored")] if single else None), server=store(files),
                   flags=["Integrity", "DataLoss"] if name != "archive-dots" else ["Traversal"])
    yield case("bad-plain-encrypted-chunk", "RDR-060", "an encrypted chunk in an archive that is not encrypted", {"edit-store": "chunk", "args": {"archive": "disk.img.fidx", "of": SMALL_IMAGE, "key": KEY}},
               restore("disk.img", snapshot=SNAPSHOT, reject=True, checks=[check("not-restored")]), server=store(IMG), flags=["Integrity", "Crypto"])
    for name, rules, does, files, archive, mode, edit, args, key in KEYED:
        steps = [{"edit-store": edit, "args": args}] if edit else []
        yield case(f"bad-{name}", rules, does, *steps, restore(archive, snapshot=SNAPSHOT, reject=True, checks=[check("not-restored")], **({"keyfile": key} if key else {})),
                   server=store(files, key=KEY, **({"mode": mode} if mode else {})), input=BOTH_KEYS, flags=["Crypto", "Integrity"])
    for name, rules, does, given in (("snapshot", "RDR-004", "a snapshot that does not exist", {"snapshot": "host/c1/2023-11-14T22:13:21Z"}), ("namespace", "RDR-005", "a namespace that does not exist", {"snapshot": SNAPSHOT, "ns": "none"}),
                                     ("password", "API-064", "a wrong password", {"snapshot": SNAPSHOT, "password": "wrong"}),
                                     ("fingerprint", "API-053", "a fingerprint that is not the server's", {"snapshot": SNAPSHOT, "fingerprint": ":".join(["cd"] * 32)})):
        yield case(f"bad-{name}", rules, does, restore("etc.conf", reject=True, checks=[check("not-restored")], **given), server=store(BLOB), flags=["Protocol"])
    for name, does, archive in (("archive", "an archive that is not there", "none.conf"), ("archive-pxar", "an archive that is not there, neither as a pair", "none.pxar"), ("archive-type", "an extension that is not known", "etc.tar")):
        yield case(f"bad-{name}", "RDR-071" if name != "archive-type" else "RDR-070", does, restore(archive, snapshot=SNAPSHOT, reject=True), server=store(BLOB), flags=["Protocol"])
    for name, where in (("manifest", "GET /download#1"), ("index", "GET /download#2"), ("chunk", "GET /chunk#2")):
        for what in ("status=500,failed", "reset", "goaway", "rst-stream", "short=20", "corrupt=1"):
            yield case(f"fault-{name}-{what.partition('=')[0]}", "RDR-101 RDR-066" if "status" in what else "RDR-066", f"the answer to the {name} request: {what}",
                       restore("disk.img", snapshot=SNAPSHOT, reject=True, checks=[check("not-restored")]), restore("disk.img", snapshot=SNAPSHOT, checks=[check("restored", of=SMALL_IMAGE)]),
                       server=store(IMG) | {"faults": [f"{where}:{what}"]}, checks=[count("fault", "1")], flags=["Misbehaviour", "Integrity"])
    for what in ("csum", "size"):
        yield case(f"fault-index-lies-{what}", "RDR-052", f"the server lies about the index: {what}", restore("disk.img", snapshot=SNAPSHOT, reject=True, checks=[check("not-restored")]),
                   server=store(IMG) | {"faults": [f"GET /download#2:lie={what}"]}, checks=[count("fault", "1")], flags=["Misbehaviour", "Integrity"])


def family(area: str, about: str, cases: list[Case], **more: Any) -> dict[str, Any]:
    return {"area": area, "about": f"{about}; written by tests/conformance/cases_client.py",
            "defaults": {"role": "client", "verb": area, "level": "must", "flags": ["Protocol"], "limit_s": 60} | more, "cases": cases}


def families() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every family of the areas backup and restore."""
    assert (ROOT / f"{GOLD}.pxar").exists()
    yield "backup/basic.json", family("backup", "Backups that succeed", list(good_backups()), tree=TREE)
    yield "backup/repeated.json", family("backup", "A second backup of the same group", list(repeated_backups()), tree=TREE)
    yield "backup/refused.json", family("backup", "Backups that must not succeed", list(refused_backups()), tree=TREE)
    yield "restore/good.json", family("restore", "Restores that succeed", list(good_restores()))
    yield "restore/refused.json", family("restore", "Restores that must not succeed", list(refused_restores()))
