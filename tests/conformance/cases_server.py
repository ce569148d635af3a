# SPDX-License-Identifier: MIT
"""Cases of role server: a line per thing that a server has to accept or to refuse (spec/backup-protocol.md, reader-protocol.md, rest-api.md).

A refused request is always tried inside a backup that goes on and is finished afterwards, so that a case also shows that the
refusal left nothing behind (BKP-074).
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Step = dict[str, Any]
Case = dict[str, Any]
MIB4 = 4 << 20
ZEROS = f"zeros:{MIB4}"
HELLO, OTHER = "hello world", "other"
ABSENT = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
CHUNK = {"digest": "{digest:hello world}", "encoded-size": "{encoded:hello world}", "size": "{size:hello world}", "wid": "{wid:a.didx}"}
DIGEST = "{digest:hello world}"


def op(what: str, /, **members: Any) -> Step:
    return {"op": what} | {k.replace("_", "-"): v for k, v in members.items()}


def call(method: str, path: str, status: str = "200", **members: Any) -> Step:
    return op("call", method=method, path=path, status=status, **members)


def case(id: str, rules: str, does: str, *steps: Step, sound: str = "", **members: Any) -> Case:
    checks = {"checks": [{"check": "store-sound", "snapshots": sound}]} if sound else {}
    return {"id": id, "rules": rules.split(), "does": does, **members, "steps": list(steps), "expect": {"verdict": "accept"} | checks}


def family(about: str, cases: list[Case], level: str = "must", flags: list[str] | None = None) -> dict[str, Any]:
    return {"area": "server", "about": f"{about}; written by tests/conformance/cases_server.py",
            "defaults": {"role": "server", "verb": "serve", "level": level, "flags": flags or ["Protocol"], "limit_s": 60}, "cases": cases}


SESSION = op("backup-session")
CREATE = op("create-index", name="a.didx")
FINISH = [op("manifest"), op("finish")]
GOOD = [op("put-chunks", name="a.didx", chunks=[HELLO]), op("add", name="a.didx", chunks=[HELLO]), op("close-index", name="a.didx"), *FINISH]


# ---- before the upgrade ----

# id, rules, parameter, value (None = left out), what it is
PARAMETERS: list[tuple[str, str, str, str | None, str]] = [
    ("id-missing", "BKP-015 BKP-031", "backup-id", None, "no backup-id"),
    ("id-empty", "BKP-015 BKP-031", "backup-id", "", "an empty backup-id"),
    ("id-dot", "BKP-015 BKP-031", "backup-id", ".hidden", "a backup-id that begins with a dot"),
    ("id-slash", "BKP-015 BKP-031", "backup-id", "a/../../b", "a backup-id with slashes"),
    ("time-missing", "BKP-015 BKP-031", "backup-time", None, "no backup-time"),
    ("time-zero", "BKP-015 BKP-031", "backup-time", "0", "backup-time 0"),
    ("time-negative", "BKP-015 BKP-031", "backup-time", "-5", "a negative backup-time"),
    ("time-word", "BKP-015 BKP-031", "backup-time", "now", "a backup-time that is no number"),
    ("time-huge", "BKP-015 BKP-031", "backup-time", "9" * 30, "a backup-time beyond 64 bits"),
    ("type-missing", "BKP-015 BKP-031", "backup-type", None, "no backup-type"),
    ("type-case", "BKP-015 BKP-031", "backup-type", "Host", "a backup-type in upper case"),
    ("type-unknown", "BKP-015 BKP-031", "backup-type", "lxc", "a backup-type that does not exist"),
    ("store-missing", "BKP-015 BKP-031", "store", None, "no store"),
    ("store-short", "BKP-015 BKP-031", "store", "ab", "a store name of two characters"),
    ("store-long", "BKP-015 BKP-031", "store", "a" * 33, "a store name of 33 characters"),
    ("store-slash", "BKP-015 BKP-031", "store", "../etc", "a store name with a slash"),
    ("store-unknown", "BKP-033", "store", "no-such-store", "a datastore that does not exist"),
    ("debug-word", "BKP-016 BKP-031", "debug", "maybe", "a boolean that is none"),
    ("extra", "BKP-015 BKP-031", "extra", "1", "a parameter that does not exist"),
    ("ns-empty-component", "BKP-015 BKP-031", "ns", "a//b", "a namespace with an empty component"),
    ("ns-dots", "BKP-015 BKP-031", "ns", "a/../b", "a namespace with dots as a component"),
    ("ns-deep", "BKP-015 BKP-031", "ns", "a/b/c/d/e/f/g/h", "a namespace of eight components"),
    ("ns-long", "BKP-015 BKP-031", "ns", "a" * 257, "a namespace of 257 characters"),
]
READER_TOO = ("id-missing", "id-slash", "time-zero", "type-case", "store-unknown", "extra", "ns-dots")


def upgrade_cases() -> Iterator[Case]:
    for name, rules, param, value, does in PARAMETERS:
        yield case(f"upgrade-{name}", rules, f"upgrade to the backup protocol with {does}", op("upgrade", kind="backup", query={param: value}, status="400"),
                   SESSION, CREATE, *GOOD, sound="1")
        if name in READER_TOO:
            yield case(f"reader-upgrade-{name}", f"RDR-002 {rules}", f"upgrade to the reader protocol with {does}",
                       op("base", files={"a.didx": [HELLO]}), op("upgrade", kind="reader", query={param: value}, status="400"),
                       op("reader-session"), op("index-holds", name="a.didx", chunks=[HELLO]))
    for name in ("benchmark", "no-cache"):
        yield case(f"reader-upgrade-{name}", "RDR-002", f"upgrade to the reader protocol with the writer's parameter {name}",
                   op("base", files={"a.didx": [HELLO]}), op("upgrade", kind="reader", query={name: "false"}, status="400"))
    yield case("upgrade-booleans", "BKP-016", "every spelling of a boolean",
               *(op("next-session", query={"debug": word}) for word in ("1", "on", "YES", "true", "True", "0", "off", "No", "FALSE")), call("GET", "/previous_backup_time"))
    for name, protocol, does in (("other", "proxmox-backup-reader-protocol-v1", "the reader's protocol name"),
                                 ("upper-case", "PROXMOX-BACKUP-PROTOCOL-V1", "the protocol name in upper case"),
                                 ("list", "proxmox-backup-protocol-v1, h2c", "a list of protocols"), ("empty", "", "an empty protocol name")):
        yield case(f"upgrade-protocol-{name}", "BKP-014 BKP-034", f"upgrade to the backup protocol with {does}", op("backup-session", protocol=protocol, status="400"),
                   SESSION, call("GET", "/previous_backup_time", data=None))
    yield case("reader-upgrade-protocol", "RDR-004 BKP-034", "upgrade to the reader protocol with the writer's protocol name",
               op("base", files={"a.didx": [HELLO]}), op("reader-session", protocol="proxmox-backup-protocol-v1", status="400"))
    yield case("upgrade-no-header", "BKP-034", "a backup request without an Upgrade header",
               op("http", lines=["GET /api2/json/backup?{query} HTTP/1.1", "host: pbs:8007", "{auth}"], status="400"))
    for method in ("POST", "PUT", "DELETE"):
        yield case(f"upgrade-{method.lower()}", "BKP-010", f"an upgrade request with method {method}",
                   op("http", lines=[f"{method} /api2/json/backup?{{query}} HTTP/1.1", "host: pbs:8007", "{auth}", "upgrade: proxmox-backup-protocol-v1", "content-length: 0"],
                      status="404"))
    yield from credential_cases()
    yield from group_cases()
    yield from hand_written_cases()


def credential_cases() -> Iterator[Case]:
    for auth, does in (("none", "no credentials"), ("bad-secret", "a wrong token secret"), ("bad-ticket", "a forged ticket")):
        yield case(f"upgrade-auth-{auth}", "BKP-030", f"upgrade with {does}", op("denied-upgrade", kind="backup", auth=auth), SESSION, CREATE, *GOOD, sound="1",
                   flags=["Protocol", "Crypto"])
    yield case("reader-upgrade-auth", "BKP-030 RDR-004", "reader upgrade with a wrong token secret", op("base", files={"a.didx": [HELLO]}),
               op("denied-upgrade", kind="reader", auth="bad-secret"), flags=["Protocol", "Crypto"])


def group_cases() -> Iterator[Case]:
    two = [op("base", files={"a.didx": [HELLO]}), op("base", files={"a.didx": [OTHER]}, later="100")]
    for name, later, does in (("equal", "100", "equal to the last snapshot's"), ("older", "99", "before the last snapshot's"), ("much-older", "50", "between two snapshots")):
        yield case(f"time-{name}", "BKP-040", f"backup-time {does}", *two, op("backup-session", later=later, status="400"), op("visible", snapshots=["0", "100"]), sound="2",
                   flags=["Protocol", "DataLoss"])
    yield case("group-locked", "BKP-037 API-147 BKP-200", "a second writer of the group while the first one works", SESSION, CREATE,
               op("second-session", kind="backup", status="400", later="100"), *GOOD, op("visible", snapshots=["0"]), sound="1", flags=["Protocol", "DataLoss"])
    yield case("other-group", "BKP-200 API-147", "a writer of another group meanwhile is served", SESSION, CREATE,
               op("second-session", kind="backup", status="101", query={"backup-id": "conform-other-group"}), *GOOD, sound="1")
    yield case("reader-meanwhile", "RDR-105 RDR-006 BKP-315", "readers of the base snapshot while a writer holds it", op("base", files={"a.didx": [HELLO]}),
               op("next-session", later="100"), op("second-session", kind="reader", status="101"), op("second-session", kind="reader", status="101"), CREATE, *GOOD, sound="2")
    yield case("reader-of-unfinished", "RDR-004", "a reader of the snapshot that is being written", op("base", files={"a.didx": [HELLO]}),
               op("next-session", later="100"), op("second-session", kind="reader", later="100", status="400"), CREATE, *GOOD, sound="2")
    yield case("reader-no-snapshot", "RDR-004", "a reader of a snapshot that does not exist", op("base", files={"a.didx": [HELLO]}),
               op("upgrade", kind="reader", later="5", status="400"))
    yield case("reader-no-namespace", "RDR-005", "a reader in a namespace that does not exist", op("base", files={"a.didx": [HELLO]}),
               op("upgrade", kind="reader", query={"ns": "no-such-namespace"}, status="400"))
    yield case("no-namespace", "BKP-035", "a backup into a namespace that does not exist", op("upgrade", kind="backup", query={"ns": "no-such-namespace"}, status="404"),
               op("rest", method="GET", path="D/namespace", status="200"), SESSION, CREATE, *GOOD, sound="1")
    yield case("benchmark-flag", "BKP-036", "benchmark=true for an ordinary group", op("backup-session", query={"benchmark": "true"}, status="400"), SESSION, CREATE, *GOOD)
    yield case("benchmark-group", "BKP-036", "the benchmark group without the flag", op("upgrade", kind="backup", query={"backup-id": "benchmark"}, status="400"))
    yield case("owner-user", "BKP-038", "a token on a group that its user owns",
               op("as", auth="ticket"), op("base", files={"a.didx": [HELLO]}), op("as", auth="token"), op("backup-session", later="100", status="400"),
               op("as", auth="ticket"), op("visible", snapshots=["0"]))
    yield case("owner-token", "BKP-038", "a user on a group that a token of it owns",
               op("as", auth="token"), op("base", files={"a.didx": [HELLO]}), op("as", auth="ticket"), op("base", files={"a.didx": [OTHER]}, later="100"),
               op("visible", snapshots=["0", "100"]))
    failed = {"verify_state": {"state": "failed", "upid": "UPID:elsa:00004F37:00000000:00000000:00000000:verify:store1:root@pam:"}}
    yield case("base-failed", "BKP-039 BKP-091", "the newest snapshot failed its verification: there is no base, also no older one",
               op("base", files={"a.didx": [HELLO]}), op("base", files={"a.didx": [OTHER]}, later="100", unprotected=failed), op("next-session", later="200"),
               call("GET", "/previous_backup_time", data=None), call("GET", "/previous", "400", query={"archive-name": "index.json.blob"}), CREATE, *GOOD,
               flags=["Protocol", "DataLoss"], why="chunks that are known to be damaged would be re-used")
    yield case("base-older-than-failed", "BKP-040", "without a base any time is accepted", op("base", files={"a.didx": [HELLO]}, later="100", unprotected=failed),
               op("next-session", later="50"), CREATE, *GOOD, op("visible", snapshots=["50", "100"]))


def hand_written_cases() -> Iterator[Case]:
    words = ["upgrade: proxmox-backup-protocol-v1"]
    for name, rules, does, lines in (
            ("double-slash", "BKP-011 BKP-300", "the path with two leading slashes, as the original client sends it",
             ["GET //api2/json/backup?{query} HTTP/1.1", "host: pbs:8007", "{auth}", "connection: upgrade", *words]),
            ("single-slash", "BKP-011", "the path with one leading slash", ["GET /api2/json/backup?{query} HTTP/1.1", "host: pbs:8007", "{auth}", "connection: upgrade", *words]),
            ("no-host", "BKP-013 BKP-300", "no Host header, no User-Agent, as a third-party client sends it",
             ["GET /api2/json/backup?{query} HTTP/1.1", "{auth}", "Connection: Upgrade", "Upgrade: proxmox-backup-protocol-v1"]),
            ("no-connection", "BKP-012 BKP-014", "no Connection header, as clients before 3.0.5",
             ["GET //api2/json/backup?{query} HTTP/1.1", "host: pbs:8007", "{auth}", *words]),
            ("debug", "BKP-017 BKP-019", "benchmark and debug in words, with the original's content type",
             ["GET //api2/json/backup?{query}&benchmark=false&debug=true HTTP/1.1", "user-agent: proxmox-backup-client/1.0",
              "content-type: application/x-www-form-urlencoded", "{auth}", "connection: upgrade", *words, "host: pbs.example:8007"]),
            ("empty-ns", "API-143 BKP-015", "an empty namespace, which is the root", ["GET /api2/json/backup?{query}&ns= HTTP/1.1", "host: pbs:8007", "{auth}", *words])):
        yield case(f"upgrade-{name}", rules, does, op("http", lines=lines, status="101", header={"upgrade": "proxmox-backup-protocol-v1"}), CREATE, *GOOD, sound="1",
                   flags=["Protocol", "Interop"])
    yield case("upgrade-duplicate", "BKP-015 BKP-031", "a parameter twice",
               op("http", lines=["GET /api2/json/backup?{query}&store={store} HTTP/1.1", "host: pbs:8007", "{auth}", *words], status="400"))
    yield case("upgrade-after-refusal", "BKP-309 BKP-005", "refused upgrades leave an ordinary connection, on which the next one is accepted",
               op("same-connection", requests=["bad-store", "version", "bad-store", "backup"]), CREATE, *GOOD, sound="1")


# ---- requests on the upgraded connection ----

def request_cases() -> Iterator[Case]:
    def refused(id: str, rules: str, does: str, step: Step) -> Case:
        return case(id, f"{rules} BKP-074", does, SESSION, CREATE, step, *GOOD, sound="1")

    yield refused("path-unknown", "BKP-061", "a path that does not exist", call("GET", "/nothing", "404"))
    yield refused("path-deeper", "BKP-061", "a path below an endpoint", call("POST", "/finish/now", "404"))
    yield refused("method-get", "BKP-061", "GET of an endpoint that is POST", call("GET", "/finish", "404"))
    yield refused("method-delete", "BKP-061", "DELETE of an endpoint", call("DELETE", "/dynamic_index", "404"))
    yield refused("path-dot", "BKP-060", "a path component that begins with a dot", call("GET", "/.hidden", "400"))
    yield refused("path-dots", "BKP-060", "dots as a path component", call("GET", "/blob/../finish", "400"))
    yield refused("path-slashes", "BKP-060", "empty path components are ignored", call("GET", "//previous_backup_time/", data=None))
    yield refused("content-type", "BKP-063", "a content type that is not known", call("POST", "/finish", "400", content_type="text/plain"))
    yield refused("json-broken", "BKP-064", "a body that is no JSON", call("PUT", "/dynamic_index", "400", text_body='{"wid":'))
    yield refused("json-array", "BKP-064", "a JSON body that is an array", call("PUT", "/dynamic_index", "400", text_body="[]"))
    yield refused("json-not-utf8", "BKP-066", "a JSON body that is not UTF-8", call("PUT", "/dynamic_index", "400", hex_body="fffe", content_type="application/json"))
    yield refused("json-query-ignored", "BKP-062", "parameters in the query beside a JSON body",
                  call("POST", "/dynamic_index", "400", query={"archive-name": "b.didx"}, text_body="{}"))
    yield refused("json-blob", "BKP-062 BKP-303", "parameters of an upload in a JSON body", call("POST", "/blob", "400", json_body={"encoded-size": 12, "file-name": "a.blob"}))
    yield refused("body-too-large", "BKP-066", "a JSON body of a megabyte", call("PUT", "/dynamic_index", "400", text_body=" " * 1048576))
    yield case("json-split", "BKP-310", "a JSON body in frames of one byte, its end in an empty one", SESSION, CREATE, op("put-chunks", name="a.didx", chunks=[HELLO]),
               op("piecewise", method="PUT", path="/dynamic_index", json_body={"wid": "{wid:a.didx}", "digest-list": [DIGEST], "offset-list": [0]}),
               call("POST", "/dynamic_close", query={"chunk-count": "1", "csum": "{csum:b.didx}", "size": "11", "wid": "{wid:a.didx}"}, status="400"))
    yield case("parameters-in-json", "BKP-303 BKP-062", "parameters of create, append and close in JSON bodies", SESSION,
               call("POST", "/dynamic_index", json_body={"archive-name": "a.didx"}, data=1), op("opened", name="a.didx"),
               op("put-chunks", name="a.didx", chunks=[HELLO]), op("add", name="a.didx", chunks=[HELLO]),
               call("POST", "/dynamic_close", json_body={"chunk-count": 1, "csum": "{csum:a.didx}", "size": 11, "wid": "{wid:a.didx}"}),
               *FINISH, op("reader-session"), op("index-holds", name="a.didx", chunks=[HELLO]), flags=["Protocol", "Interop"])
    yield case("parameters-in-query", "BKP-303 BKP-065", "parameters of an append in the query, lists as repeated keys", SESSION, CREATE,
               op("put-chunks", name="a.didx", chunks=[HELLO]),
               call("PUT", "/dynamic_index", query={"digest-list": [DIGEST, DIGEST], "offset-list": ["0", "11"], "wid": "{wid:a.didx}"}),
               op("add", name="a.didx", chunks=[HELLO], offsets=["0"], status="400"),
               op("add", name="a.didx", chunks=[HELLO], offsets=["22"]), op("leave", how="close"), flags=["Protocol", "Interop"])
    yield case("content-types", "BKP-063", "content types that are accepted", SESSION,
               *(call("GET", "/previous_backup_time", content_type=t, data=None) for t in ("", "application/json", "application/x-www-form-urlencoded; charset=UTF-8")),
               call("POST", "/speedtest", hex_body="00", content_type="any/thing", data=None))
    yield case("old-headers", "BKP-056", "credentials and another authority on HTTP/2 requests are ignored", SESSION,
               call("GET", "/previous_backup_time", headers={"authorization": "PBSAPIToken nobody@pam!x:wrong"}, data=None), flags=["Protocol", "Interop"])


# ---- chunks ----

# id, rules, what is wrong, changed parameters, changes of the body, status
CHUNKS: list[tuple[str, str, str, dict[str, Any], dict[str, Any], str]] = [
    ("digest-wrong", "BKP-115", "a digest of other data", {"digest": "{digest:other}"}, {}, "400"),
    ("digest-short", "BKP-110", "a digest of 62 digits", {"digest": "ab" * 31}, {}, "400"),
    ("digest-upper-case", "BKP-110", "a digest in upper case", {"digest": "B94D27B9934D3E08A52E52D7DA7DABFAC484EFE37A5380EE9088F7ACE2EFCDE9"}, {}, "400"),
    ("digest-missing", "BKP-110", "no digest", {"digest": None}, {}, "400"),
    ("size-wrong", "BKP-115", "a size that the data does not have", {"size": "12"}, {}, "400"),
    ("size-zero", "BKP-110", "size 0", {"size": "0"}, {}, "400"),
    ("size-above", "BKP-110", "a size above 16 MiB", {"size": "16777217"}, {}, "400"),
    ("size-missing", "BKP-110", "no size", {"size": None}, {}, "400"),
    ("encoded-size-larger", "BKP-113", "encoded-size is larger than the body", {"encoded-size": "24"}, {}, "400"),
    ("encoded-size-smaller", "BKP-113", "encoded-size is smaller than the body", {"encoded-size": "22"}, {}, "400"),
    ("encoded-size-minimum", "BKP-110", "encoded-size 12", {"encoded-size": "12"}, {}, "400"),
    ("encoded-size-above", "BKP-110", "encoded-size above the maximum", {"encoded-size": "16777261"}, {}, "400"),
    ("encoded-size-missing", "BKP-110", "no encoded-size", {"encoded-size": None}, {}, "400"),
    ("wid-zero", "BKP-110", "wid 0", {"wid": "0"}, {}, "400"),
    ("wid-above", "BKP-110", "wid 257", {"wid": "257"}, {}, "400"),
    ("wid-missing", "BKP-110", "no wid", {"wid": None}, {}, "400"),
    ("wid-unknown", "BKP-118", "the wid of no writer", {"wid": "99"}, {}, "400"),
    ("parameter-extra", "BKP-110 BKP-031", "a parameter that does not exist", {"crypt-mode": "none"}, {}, "400"),
    ("magic", "BKP-114", "a body with a magic that is not known", {}, {"at": "0", "bytes": "00"}, "400"),
    ("data-damaged", "BKP-115", "a body whose data is not that of the digest", {}, {"at": "15", "bytes": "00"}, "400"),
    ("body-cut", "BKP-113", "a body that is shorter than announced", {}, {"truncate": "20"}, "400"),
    ("body-longer", "BKP-113", "a body that is longer than announced", {}, {"append": "00"}, "400"),
    ("not-zstd", "BKP-115", "a compressed blob that zstd cannot decode", {}, {"at": "0", "bytes": "31b9586f42b6a37f"}, "400"),
    ("encrypted-short", "BKP-114", "an encrypted blob that is shorter than its header", {"encoded-size": "20"}, {"at": "0", "bytes": "7b6785be222d4cf0", "truncate": "20"}, "400"),
]


def chunk_cases() -> Iterator[Case]:
    not_known = op("add", name="a.didx", chunks=[HELLO], status="400")
    for name, rules, does, query, change, status in CHUNKS:
        yield case(f"chunk-{name}", f"{rules} BKP-096", f"chunk upload with {does}", SESSION, CREATE,
                   call("POST", "/dynamic_chunk", status, query=CHUNK | query, blob_of=HELLO, **({"change": change} if change else {})), not_known, *GOOD, sound="1",
                   flags=["Integrity", "Protocol"])
    yield case("chunk-wrong-kind", "BKP-125", "a chunk sent to the endpoint of the other kind of index", SESSION, CREATE, op("create-index", name="b.fidx", size="11"),
               call("POST", "/fixed_chunk", "400", query=CHUNK, blob_of=HELLO), call("POST", "/dynamic_chunk", "400", query=CHUNK | {"wid": "{wid:b.fidx}"}, blob_of=HELLO), not_known)
    yield case("chunk-closed-writer", "BKP-118", "a chunk for an index that is closed", SESSION, op("archive", name="z.didx", chunks=[OTHER]),
               call("POST", "/dynamic_chunk", "400", query=CHUNK | {"wid": "{wid:z.didx}"}, blob_of=HELLO), CREATE, not_known, *GOOD, sound="1")
    yield case("chunk-crc-wrong", "BKP-117 RDR-102", "the CRC of an uploaded chunk is wrong: it is put right", SESSION, CREATE,
               call("POST", "/dynamic_chunk", query=CHUNK, blob_of=HELLO, change={"at": "8", "bytes": "00000000"}, data=DIGEST),
               op("add", name="a.didx", chunks=[HELLO]), op("close-index", name="a.didx"), *FINISH,
               op("reader-session"), op("index-holds", name="a.didx", chunks=[HELLO]), sound="1", flags=["Protocol", "Interop"])
    yield case("chunk-twice", "BKP-123 BKP-122", "the same chunk twice, and once more in the next backup", SESSION, CREATE,
               op("put-chunks", name="a.didx", chunks=[HELLO, HELLO]), *GOOD, op("next-session", later="100"), op("create-index", name="a.didx"), *GOOD, sound="2")
    yield case("chunk-never-used", "BKP-124", "a chunk that no index uses", SESSION, CREATE, op("put-chunks", name="a.didx", chunks=[OTHER]), *GOOD, sound="1")
    yield case("chunk-other-writer", "BKP-121 BKP-206", "a chunk uploaded for one index is used in another, also after the first was closed", SESSION,
               op("archive", name="z.didx", chunks=[HELLO]), CREATE, op("add", name="a.didx", chunks=[HELLO]), op("close-index", name="a.didx"), *FINISH, sound="1")
    yield case("chunk-encrypted", "BKP-116", "an encrypted chunk is taken on trust", SESSION, CREATE,
               call("POST", "/dynamic_chunk", query={"digest": ABSENT, "encoded-size": "104", "size": "60", "wid": "{wid:a.didx}"}, hex_body="7b6785be222d4cf0" + "11" * 96, data=ABSENT),
               op("leave", how="close"))
    yield case("chunk-compressed", "BKP-115", "a compressed chunk", SESSION, CREATE, op("compressed-chunk", name="a.didx", data="zeros:100000"),
               op("add", name="a.didx", chunks=["zeros:100000"]), op("close-index", name="a.didx"), *FINISH, op("reader-session"), op("index-holds", name="a.didx", chunks=["zeros:100000"]), sound="1")
    yield case("chunk-compressed-wrong", "BKP-115", "a compressed chunk of other data than its digest says", SESSION, CREATE,
               op("compressed-chunk", name="a.didx", data="zeros:100000", digest_of=HELLO, status="400"), not_known, *GOOD, sound="1", flags=["Integrity", "Protocol"])
    yield case("chunk-largest", "BKP-110 BKP-054", "a chunk of 16 MiB", SESSION, CREATE, op("put-chunks", name="a.didx", chunks=["zeros:16777216"]),
               op("add", name="a.didx", chunks=["zeros:16777216"]), op("close-index", name="a.didx"), *FINISH, sound="1", flags=["Limits", "Protocol"])
    yield case("chunk-smallest", "BKP-110", "a chunk of one byte", SESSION, CREATE, op("put-chunks", name="a.didx", chunks=["x"]),
               op("add", name="a.didx", chunks=["x", "x"]), op("close-index", name="a.didx"), *FINISH, op("reader-session"), op("index-holds", name="a.didx", chunks=["x", "x"]), flags=["Limits", "Protocol"])


# ---- dynamic indexes ----

def append(**members: Any) -> dict[str, Any]:
    return {"wid": "{wid:a.didx}", "digest-list": [DIGEST], "offset-list": [0]} | {k.replace("_", "-"): v for k, v in members.items()}


# id, rules, what is wrong, body of the append
APPENDS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("unknown-chunk", "BKP-132 BKP-096", "a chunk that was not uploaded", append(digest_list=["{digest:not uploaded}"])),
    ("unknown-second", "BKP-132 BKP-135", "a second chunk that was not uploaded", append(digest_list=[DIGEST, ABSENT], offset_list=[0, 11])),
    ("offset-behind", "BKP-133", "an offset behind the end", append(offset_list=[1])),
    ("offset-gap", "BKP-133 BKP-135", "a second offset that leaves a gap", append(digest_list=[DIGEST, DIGEST], offset_list=[0, 12])),
    ("offset-end", "BKP-133", "the end of the chunk in place of its start", append(offset_list=[11])),
    ("offset-negative", "BKP-130", "a negative offset", append(offset_list=[-1])),
    ("offset-text", "BKP-064", "an offset as a string", append(offset_list=["0"])),
    ("offsets-fewer", "BKP-131", "fewer offsets than digests", append(offset_list=[])),
    ("offsets-more", "BKP-131", "more offsets than digests", append(offset_list=[0, 11])),
    ("offsets-missing", "BKP-130 BKP-064", "no offsets", {"wid": "{wid:a.didx}", "digest-list": [DIGEST]}),
    ("digest-upper-case", "BKP-130", "a digest in upper case", append(digest_list=["B94D27B9934D3E08A52E52D7DA7DABFAC484EFE37A5380EE9088F7ACE2EFCDE9"])),
    ("digest-number", "BKP-064", "a number as a digest", append(digest_list=[1])),
    ("digest-scalar", "BKP-064", "a digest that is no list", append(digest_list=DIGEST)),
    ("wid-unknown", "BKP-136", "the wid of no writer", append(wid=99)),
    ("wid-zero", "BKP-130", "wid 0", append(wid=0)),
    ("wid-above", "BKP-130", "wid 257", append(wid=257)),
    ("wid-text", "BKP-064", "a wid as a string", append(wid="1 ")),
    ("parameter-extra", "BKP-064", "a parameter that does not exist", append(sizes=[11])),
]
CLOSE = {"chunk-count": "2", "csum": "{csum:a.didx}", "size": "16", "wid": "{wid:a.didx}"}
# id, rules, what is wrong, changed parameters
CLOSES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("count-more", "BKP-142", "a chunk count of one more", {"chunk-count": "3"}),
    ("count-fewer", "BKP-142", "a chunk count of one fewer", {"chunk-count": "1"}),
    ("count-zero", "BKP-140", "a chunk count of 0", {"chunk-count": "0"}),
    ("count-missing", "BKP-140", "no chunk count", {"chunk-count": None}),
    ("size-larger", "BKP-142", "a size of one more", {"size": "17"}),
    ("size-smaller", "BKP-142", "a size of one fewer", {"size": "15"}),
    ("size-zero", "BKP-140", "size 0", {"size": "0"}),
    ("csum-wrong", "BKP-142", "a checksum that is wrong", {"csum": ABSENT}),
    ("csum-of-digests", "BKP-143", "the checksum of the digests alone, as of a fixed index", {"csum": "{digests:a.didx}"}),
    ("csum-short", "BKP-144", "a checksum of two digits", {"csum": "ab"}),
    ("csum-no-hex", "BKP-144", "a checksum that is not hex", {"csum": "xy" * 32}),
    ("csum-missing", "BKP-140", "no checksum", {"csum": None}),
    ("wid-unknown", "BKP-142", "the wid of no writer", {"wid": "99"}),
    ("wid-above", "BKP-140", "wid 257", {"wid": "257"}),
]


def dynamic_cases() -> Iterator[Case]:
    for name, does, archive in (("extension", "of a fixed index", "a.fidx"), ("no-extension", "without an extension", "a"), ("slash", "with slashes", "../../a.didx"),
                                ("dot", "that begins with a dot", ".a.didx"), ("blob", "of a blob", "a.blob")):
        yield case(f"create-{name}", "BKP-100", f"create a dynamic index with a name {does}", SESSION, call("POST", "/dynamic_index", "400", query={"archive-name": archive}),
                   CREATE, *GOOD, sound="1", flags=["Protocol", "Traversal"])
    yield case("create-no-name", "BKP-100", "create a dynamic index without a name", SESSION, call("POST", "/dynamic_index", "400"), CREATE, *GOOD)
    yield case("create-ids", "BKP-101 BKP-302", "writer ids count from 1 over both kinds, refused creations do not count", SESSION,
               call("POST", "/dynamic_index", query={"archive-name": "a.didx"}, data=1), call("POST", "/dynamic_index", "400", query={"archive-name": "a"}),
               call("POST", "/fixed_index", query={"archive-name": "a.fidx", "size": "5"}, data=2), call("POST", "/dynamic_index", query={"archive-name": "b.didx"}, data=3))
    up = op("put-chunks", name="a.didx", chunks=[HELLO])
    for name, rules, does, body in APPENDS:
        first = name in ("unknown-second", "offset-gap")
        tail = [op("add", name="a.didx", chunks=[OTHER], offsets=["11" if first else "0"], sizes=["5"])] if first else []
        good = [op("put-chunks", name="a.didx", chunks=[OTHER]), *([op("opened", name="a.didx", chunks=[HELLO])] if first else []),
                *tail, *([] if first else [op("add", name="a.didx", chunks=[HELLO, OTHER])]), op("close-index", name="a.didx"), *FINISH]
        yield case(f"append-{name}", rules, f"append with {does}", SESSION, CREATE, up, call("PUT", "/dynamic_index", "400", json_body=body), *good, sound="1",
                   flags=["Integrity", "Protocol"])
    yield case("append-closed", "BKP-136", "append to an index that is closed", SESSION, op("archive", name="z.didx", chunks=[HELLO]),
               op("add", name="z.didx", chunks=[HELLO], status="400"), CREATE, *GOOD, sound="1")
    yield case("append-empty", "BKP-131", "empty lists do nothing, for any wid", SESSION, CREATE, call("PUT", "/dynamic_index", json_body=append(digest_list=[], offset_list=[])),
               call("PUT", "/dynamic_index", json_body=append(digest_list=[], offset_list=[], wid=77)), *GOOD, sound="1")
    yield case("append-repeated", "BKP-137 BKP-134", "the same chunk several times in one list", SESSION, CREATE, op("put-chunks", name="a.didx", chunks=[HELLO, OTHER]),
               op("add", name="a.didx", chunks=[HELLO, HELLO, OTHER, HELLO]), op("close-index", name="a.didx"), *FINISH,
               op("reader-session"), op("index-holds", name="a.didx", chunks=[HELLO, HELLO, OTHER, HELLO]), sound="1")
    yield case("append-many", "BKP-315 BKP-132", "a list of 500 entries", SESSION, CREATE, up, op("add", name="a.didx", chunks=[HELLO] * 500), op("close-index", name="a.didx"), *FINISH, sound="1",
               flags=["Limits", "Protocol"])
    filled = [SESSION, CREATE, op("put-chunks", name="a.didx", chunks=[HELLO, OTHER]), op("add", name="a.didx", chunks=[HELLO, OTHER])]
    for name, rules, does, query in CLOSES:
        yield case(f"close-{name}", rules, f"close with {does}", *filled, call("POST", "/dynamic_close", "400", query=CLOSE | query), op("leave", how="close"), op("visible"),
                   flags=["Integrity", "Protocol"])
    yield case("close-again", "BKP-146", "a close that was refused for its count is repeated, after one more append", *filled,
               call("POST", "/dynamic_close", "400", query=CLOSE | {"chunk-count": "9"}), op("add", name="a.didx", chunks=[HELLO]), op("close-index", name="a.didx"), *FINISH,
               since="4.0.16", sound="1")
    yield case("close-spoilt", "BKP-146 BKP-181", "after a refused checksum the writer is spoilt, and the backup cannot be finished", *filled,
               call("POST", "/dynamic_close", "400", query=CLOSE | {"csum": ABSENT}), call("POST", "/dynamic_close", "400", query=CLOSE),
               op("blob", name="b.blob", data="x"), op("manifest"), op("finish", status="400"), op("leave", how="close"), op("visible"), since="4.0.16",
               flags=["Integrity", "Protocol"])
    yield case("close-twice", "BKP-142 BKP-145", "close an index twice", SESSION, op("archive", name="a.didx", chunks=[HELLO]), op("close-index", name="a.didx", status="400"), *FINISH, sound="1")
    yield case("close-empty", "BKP-141", "close a dynamic index without entries", SESSION, CREATE, call("POST", "/dynamic_close", "400", query=CLOSE | {"chunk-count": "0", "size": "0"}))
    yield case("close-upper-case", "BKP-140", "a checksum in upper case is right", SESSION, CREATE, op("put-chunks", name="a.didx", chunks=[HELLO, OTHER, HELLO]),
               op("add", name="a.didx", chunks=[HELLO, OTHER, HELLO]), call("POST", "/dynamic_close", query={"chunk-count": "3", "csum": "{CSUM:a.didx}", "size": "27", "wid": "{wid:a.didx}"}), *FINISH,
               op("reader-session"), op("index-holds", name="a.didx", chunks=[HELLO, OTHER, HELLO]))
    yield case("close-example", "BKP-143 BKP-138 BKP-126", "the worked example: chunks of 11, 5 and 11 bytes", SESSION, CREATE,
               call("POST", "/dynamic_chunk", query=CHUNK, hex_body="42ab3807be8370a185114a0d68656c6c6f20776f726c64"), op("put-chunks", name="a.didx", chunks=["abcde"]),
               op("add", name="a.didx", chunks=[HELLO, "abcde", HELLO]), op("close-index", name="a.didx"), *FINISH,
               op("reader-session"), op("index-holds", name="a.didx", chunks=[HELLO, "abcde", HELLO]), sound="1")
    yield case("two-writers", "BKP-314", "the halves of a split archive interleave", SESSION, op("create-index", name="r.mpxar.didx"), op("create-index", name="r.ppxar.didx"),
               op("put-chunks", name="r.ppxar.didx", chunks=[HELLO]), op("put-chunks", name="r.mpxar.didx", chunks=["meta"]), op("add", name="r.ppxar.didx", chunks=[HELLO]),
               op("add", name="r.mpxar.didx", chunks=["meta", HELLO]), op("close-index", name="r.mpxar.didx"), op("put-chunks", name="r.ppxar.didx", chunks=[OTHER]),
               op("add", name="r.ppxar.didx", chunks=[OTHER]), op("close-index", name="r.ppxar.didx"), op("manifest"), op("finish"), op("reader-session"),
               op("index-holds", name="r.mpxar.didx", chunks=["meta", HELLO]), op("index-holds", name="r.ppxar.didx", chunks=[HELLO, OTHER]))


# ---- fixed indexes ----

FCLOSE = {"chunk-count": "2", "csum": "{csum:a.fidx}", "size": str(MIB4 + 11), "wid": "{wid:a.fidx}"}


def fixed_cases() -> Iterator[Case]:
    create = op("create-index", name="a.fidx", size=str(MIB4 + 11))
    chunks = op("put-chunks", name="a.fidx", chunks=[ZEROS, HELLO])
    good = [op("add", name="a.fidx", chunks=[ZEROS, HELLO]), op("close-index", name="a.fidx"), *FINISH]
    yield case("fixed-example", "BKP-164 BKP-160 BKP-150", "the worked example: an image of 4 MiB and eleven bytes", SESSION, op("image", name="a.fidx", chunks=[ZEROS, HELLO]), *FINISH,
               op("reader-session"), op("index-holds", name="a.fidx", chunks=[ZEROS, HELLO]), sound="1")
    for name, rules, does, query in (("extension", "BKP-147", "with the extension of a dynamic one", {"archive-name": "a.didx", "size": "5"}),
                                     ("size-zero", "BKP-147", "of size 0", {"archive-name": "a.fidx", "size": "0"}), ("no-name", "BKP-147", "without a name", {"size": "5"}),
                                     ("slash", "BKP-147", "with slashes in its name", {"archive-name": "../a.fidx", "size": "5"})):
        yield case(f"fixed-create-{name}", rules, f"create a fixed index {does}", SESSION, call("POST", "/fixed_index", "400", query=query), create, chunks, *good)
    for name, rules, does, body in (
            ("unaligned", "BKP-156", "an offset that is not a multiple of 4 MiB", {"digest-list": ["{digest:" + ZEROS + "}"], "offset-list": [11]}),
            ("beyond", "BKP-156", "a chunk behind the end of the image", {"digest-list": ["{digest:" + ZEROS + "}"], "offset-list": [MIB4]}),
            ("small-in-the-middle", "BKP-156", "a small chunk that is not the last one", {"digest-list": [DIGEST], "offset-list": [0]}),
            ("unknown-chunk", "BKP-155", "a chunk that was not uploaded", {"digest-list": [ABSENT], "offset-list": [0]}),
            ("lists", "BKP-155", "lists of different lengths", {"digest-list": [DIGEST], "offset-list": []}),
            ("negative", "BKP-155", "a negative offset", {"digest-list": [DIGEST], "offset-list": [-1]})):
        yield case(f"fixed-append-{name}", rules, f"append to a fixed index: {does}", SESSION, create, chunks,
                   call("PUT", "/fixed_index", "400", json_body=body | {"wid": "{wid:a.fidx}"}), *good, sound="1", flags=["Integrity", "Protocol"])
    yield case("fixed-append-any-order", "BKP-157", "entries are written in any order", SESSION, create, chunks,
               op("add", name="a.fidx", chunks=[HELLO], offsets=[str(MIB4)]), op("add", name="a.fidx", chunks=[ZEROS], offsets=["0"]), op("opened", name="a.fidx", chunks=[ZEROS, HELLO]),
               op("close-index", name="a.fidx"), *FINISH, op("reader-session"), op("index-holds", name="a.fidx", chunks=[ZEROS, HELLO]), sound="1")
    for name, rules, does, query in (("count-more", "BKP-161", "a chunk count of one more", {"chunk-count": "3"}), ("count-fewer", "BKP-161", "a chunk count of one fewer", {"chunk-count": "1"}),
                                     ("size", "BKP-162", "another size than at creation", {"size": str(MIB4 + 12)}), ("csum", "BKP-164", "a wrong checksum", {"csum": ABSENT}),
                                     ("csum-short", "BKP-144", "a checksum of two digits", {"csum": "ab"}), ("wid", "BKP-159", "the wid of no writer", {"wid": "9"})):
        yield case(f"fixed-close-{name}", rules, f"close a fixed index with {does}", SESSION, create, chunks, op("add", name="a.fidx", chunks=[ZEROS, HELLO]),
                   call("POST", "/fixed_close", "400", query=FCLOSE | query), op("leave", how="close"), op("visible"), flags=["Integrity", "Protocol"])
    yield case("fixed-close-incomplete", "BKP-162", "close a fixed index that has a hole", SESSION, create, chunks, op("add", name="a.fidx", chunks=[ZEROS]),
               call("POST", "/fixed_close", "400", query=FCLOSE | {"chunk-count": "1"}), op("leave", how="close"), op("visible"), flags=["Integrity", "DataLoss"])
    yield case("fixed-chunk-large", "BKP-119", "a chunk of more than 4 MiB for a fixed index", SESSION, create, op("put-chunks", name="a.fidx", chunks=[f"zeros:{MIB4 + 1}"], status="400"), chunks, *good)
    yield case("fixed-chunk-ends", "BKP-119", "a second small chunk for a fixed index", SESSION, create, chunks, op("put-chunks", name="a.fidx", chunks=[OTHER], status="400"), *good)
    yield case("fixed-growing", "BKP-158 BKP-147", "an image of unknown size", SESSION, op("create-index", name="a.fidx"), chunks,
               op("add", name="a.fidx", chunks=[ZEROS, ZEROS, HELLO]), op("add", name="a.fidx", chunks=[ZEROS], offsets=[str(2 * MIB4)], status="400"), op("close-index", name="a.fidx"), *FINISH,
               op("reader-session"), op("index-holds", name="a.fidx", chunks=[ZEROS, ZEROS, HELLO]), since="4.1.5", sound="1")
    first = op("base", files={"a.fidx": [ZEROS, HELLO]})
    old = "97b78b3b89518e9dd8a29b80e1ae99650dd0a6ddc2bd31900d31e424e9aa2f41"
    again = {"archive-name": "a.fidx", "size": str(MIB4 + 11), "reuse-csum": old}
    yield case("fixed-incremental", "BKP-151 BKP-163 BKP-153", "an incremental image: one block changed, the others come from the index before", first, op("next-session", later="100"),
               call("POST", "/fixed_index", query=again, data=1), op("opened", name="a.fidx"), op("add", name="a.fidx", chunks=[ZEROS], status="400"),
               op("put-chunks", name="a.fidx", chunks=["HELLO WORLD"]), op("add", name="a.fidx", chunks=["HELLO WORLD"], offsets=[str(MIB4)]), op("opened", name="a.fidx", chunks=[ZEROS, "HELLO WORLD"]),
               op("close-index", name="a.fidx", chunk_count="1", size="1"), *FINISH, op("upgrade", kind="reader", later="100"),
               op("index-holds", name="a.fidx", chunks=[ZEROS, "HELLO WORLD"]), sound="2")
    for name, does, query in (("csum", "a checksum that is not the last one's", {"reuse-csum": ABSENT}), ("size", "another number of chunks", {"size": str(MIB4)}),
                              ("name", "the name of an archive that was not there", {"archive-name": "b.fidx"}), ("no-size", "no size", {"size": None})):
        yield case(f"fixed-incremental-{name}", "BKP-151", f"an incremental image with {does}", first, op("next-session", later="100"),
                   call("POST", "/fixed_index", "400", query=again | query), op("image", name="a.fidx", chunks=[ZEROS, HELLO]), *FINISH, sound="2")
    yield case("fixed-incremental-first", "BKP-151", "an incremental image without a snapshot before", SESSION, call("POST", "/fixed_index", "400", query=again), create, chunks, *good)


# ---- blobs, finish, life of a session ----

def blob_cases() -> Iterator[Case]:
    query = {"encoded-size": "{encoded:text}", "file-name": "a.blob"}
    good = [op("blob", name="a.blob", data="text"), *FINISH, op("reader-session"), op("blob-holds", name="a.blob", data="text")]
    for name, rules, does, change_query, change in (
            ("extension", "BKP-170", "another extension", {"file-name": "a.conf"}, {}), ("index-name", "BKP-170", "the name of an index", {"file-name": "a.didx"}, {}),
            ("slash", "BKP-170", "slashes in its name", {"file-name": "../../owner.blob"}, {}), ("dot", "BKP-170", "a name that begins with a dot", {"file-name": ".a.blob"}, {}),
            ("no-name", "BKP-170", "no name", {"file-name": None}, {}), ("no-size", "BKP-170", "no encoded-size", {"encoded-size": None}, {}),
            ("size-larger", "BKP-171", "an encoded-size of one more", {"encoded-size": "17"}, {}), ("size-smaller", "BKP-171", "an encoded-size of one fewer", {"encoded-size": "15"}, {}),
            ("size-minimum", "BKP-170", "encoded-size 11", {"encoded-size": "11"}, {}), ("size-above", "BKP-170", "encoded-size above the maximum", {"encoded-size": "16777261"}, {}),
            ("crc", "BKP-172", "a wrong CRC", {}, {"at": "8", "bytes": "00000000"}), ("magic", "BKP-172", "a magic that is not known", {}, {"at": "0", "bytes": "00"}),
            ("damaged", "BKP-172", "contents that the CRC is not of", {}, {"at": "12", "bytes": "00"})):
        yield case(f"blob-{name}", rules, f"a blob with {does}", SESSION, call("POST", "/blob", "400", query=query | change_query, blob_of="text", **({"change": change} if change else {})),
                   *good, sound="1", flags=["Integrity", "Protocol"])
    yield case("blob-replaced", "BKP-173", "a blob is uploaded twice: the second one counts", SESSION, call("POST", "/blob", query=query, blob_of="TEXT"), *good, sound="1")
    yield case("blob-empty", "BKP-170", "a blob without contents", SESSION, op("blob", name="a.blob", data=""), *FINISH, op("reader-session"), op("blob-holds", name="a.blob", data=""), flags=["Limits", "Protocol"])


def finish_cases() -> Iterator[Case]:
    over = [op("leave", how="close"), op("visible")]
    archive = op("archive", name="a.didx", chunks=[HELLO])
    yield case("finish-empty", "BKP-181", "finish without a single file", SESSION, op("finish", status="400"), CREATE, *GOOD, sound="1", flags=["Protocol", "DataLoss"])
    yield case("finish-without-manifest", "BKP-181 BKP-317", "finish without a manifest: nothing remains", SESSION, archive, op("finish", status="400"), *over, flags=["Protocol", "DataLoss"])
    yield case("finish-open-writer", "BKP-181", "finish while an index is open", SESSION, archive, op("create-index", name="b.didx"), op("manifest"), op("finish", status="400"), *over,
               flags=["Protocol", "DataLoss"])
    for name, does, members in (("csum", "a checksum that is empty", {"files": [{"crypt-mode": "none", "csum": "", "filename": "a.didx", "size": 11}]}),
                                ("files", "files that are no list", {"files": 1}), ("type", "a backup type that does not exist", {"backup-type": "x"})):
        yield case(f"finish-manifest-{name}", "BKP-181", f"finish with a manifest with {does}", SESSION, archive, op("manifest", members=members), op("finish", status="400"), *over,
                   flags=["Protocol", "DataLoss"])
    yield case("finish-manifest-not-json", "BKP-181", "finish with a manifest that is no JSON", SESSION, archive, op("blob", name="index.json.blob", data="{"), op("finish", status="400"), *over)
    yield case("finish-manifest-encrypted", "BKP-181", "finish with an encrypted manifest", SESSION, archive,
               call("POST", "/blob", query={"encoded-size": "60", "file-name": "index.json.blob"}, hex_body="7b6785be222d4cf0" + "80d45e84" + "00" * 48, status="200|400"),
               op("finish", status="400"), *over)
    yield case("finish-twice", "BKP-080 BKP-185", "finish twice: the snapshot stays", SESSION, archive, *FINISH, op("finish", status="400"), op("leave", how="close"), op("visible", snapshots=["0"]), sound="1")
    after = [SESSION, op("create-index", name="b.didx"), op("put-chunks", name="b.didx", chunks=[HELLO]), op("add", name="b.didx", chunks=[HELLO]), op("close-index", name="b.didx"), *FINISH]
    for name, does, step in (("create", "create an index", call("POST", "/dynamic_index", "400", query={"archive-name": "c.didx"})),
                             ("create-fixed", "create a fixed index", call("POST", "/fixed_index", "400", query={"archive-name": "c.fidx", "size": "5"})),
                             ("chunk", "upload a chunk", call("POST", "/dynamic_chunk", "400", query=CHUNK | {"wid": "1"}, blob_of=HELLO)),
                             ("append", "append", call("PUT", "/dynamic_index", "400", json_body=append(wid=1))),
                             ("close", "close an index", call("POST", "/dynamic_close", "400", query=CLOSE | {"wid": "1"}))):
        yield case(f"finished-{name}", "BKP-080", f"{does} after finish", *after, step, op("leave", how="close"), op("visible", snapshots=["0"]), sound="1")
    yield case("finished-index", "BKP-097", "previous of an index after finish", op("base", files={"a.didx": [HELLO]}), op("next-session", later="100"), archive, *FINISH,
               call("GET", "/previous", "400", query={"archive-name": "a.didx"}), call("GET", "/previous", query={"archive-name": "index.json.blob"}), call("GET", "/previous_backup_time", data=1700000000))
    yield case("manifest-statistics", "BKP-182", "finish adds upload statistics and keeps what is unprotected", SESSION, op("archive", name="a.didx", chunks=[HELLO, OTHER, HELLO]),
               op("manifest", members={"unprotected": {"notes": "kept"}}), op("finish"), op("reader-session"),
               op("manifest-holds", members={"backup-id": "{id}", "unprotected": {"notes": "kept", "chunk_upload_stats": {"count": 3}}}), sound="1")
    for how in ("close", "abrupt", "goaway"):
        yield case(f"leave-{how}", "BKP-203 BKP-317 BKP-201", f"a session ends without finish ({how}): nothing remains, the group is free at once", SESSION, archive, op("manifest"),
                   op("leave", how=how), op("visible"), op("next-session"), CREATE, *GOOD, op("visible", snapshots=["0"]), sound="1", flags=["Protocol", "DataLoss"])
        yield case(f"finished-leave-{how}", "BKP-186 BKP-202 BKP-318", f"a session ends after finish ({how}): the snapshot stays, the group is free with the answer", SESSION, archive, *FINISH,
                   op("leave", how=how), op("backup-session", later="100"), op("visible", snapshots=["0"], others=True), CREATE, *GOOD, op("visible", snapshots=["0", "100"]), sound="2",
                   flags=["Protocol", "DataLoss"])
    yield case("leave-keeps-older", "BKP-203", "a session that ends without finish leaves older snapshots alone", op("base", files={"a.didx": [HELLO]}), op("next-session", later="100"),
               op("archive", name="a.didx", chunks=[OTHER]), op("leave", how="abrupt"), op("visible", snapshots=["0"]), op("upgrade", kind="reader"), op("index-holds", name="a.didx", chunks=[HELLO]), sound="1",
               flags=["Protocol", "DataLoss"])
    yield case("benchmark", "BKP-191 BKP-190", "a benchmark session: uploads, no finish, nothing remains", op("next-session", query={"backup-id": "benchmark", "benchmark": "true"}),
               call("POST", "/speedtest", hex_body="00" * 1000, data=None), call("POST", "/speedtest", hex_body="", data=None), op("leave", how="close"), op("visible"))


def previous_cases() -> Iterator[Case]:
    base = op("base", files={"a.didx": [HELLO, OTHER], "a.fidx": [ZEROS, "end"], "a.blob": ["text"]})
    session = op("next-session", later="100")
    yield case("previous-none", "BKP-085 BKP-091 BKP-304", "there is no snapshot before", SESSION, call("GET", "/previous_backup_time", data=None),
               *(call("GET", "/previous", "400", query={"archive-name": n}) for n in ("index.json.blob", "a.didx", "a.fidx")))
    yield case("previous-time", "BKP-085 BKP-086", "the time of the snapshot before, any number of times", base, session, *[call("GET", "/previous_backup_time", data=1700000000)] * 3)
    yield case("previous-registers", "BKP-093 BKP-096 BKP-305", "chunks of the snapshot before may be appended after its index was fetched, not earlier", base, session, CREATE,
               op("add", name="a.didx", chunks=[HELLO], status="400"), op("fetch-previous", name="a.didx", chunks=[HELLO, OTHER]), op("add", name="a.didx", chunks=[OTHER, HELLO, HELLO]),
               op("close-index", name="a.didx"), *FINISH, op("upgrade", kind="reader", later="100"), op("index-holds", name="a.didx", chunks=[OTHER, HELLO, HELLO]), sound="2", flags=["Protocol", "DataLoss"])
    yield case("previous-registers-fixed", "BKP-093", "the same for a fixed index, whose last chunk is smaller", base, session, op("create-index", name="a.fidx", size=str(MIB4 + 3)),
               op("add", name="a.fidx", chunks=[ZEROS], status="400"), op("fetch-previous", name="a.fidx", chunks=[ZEROS, "end"]), op("add", name="a.fidx", chunks=[ZEROS, "end"]), op("close-index", name="a.fidx"),
               *FINISH, sound="2")
    yield case("previous-manifest", "BKP-094 BKP-308 BKP-095", "the manifest of the snapshot before, as a reader gets it", base, session, op("same-manifest"))
    for name, does, archive, status in (("extension", "with an extension that is not known", "a.txt", "400"), ("no-index", "of an index that is not there", "b.didx", "400"),
                                        ("no-fixed", "of a fixed index that is not there", "b.fidx", "400"), ("no-blob", "of a blob that is not there", "b.blob", "404"),
                                        ("slash", "of a path", "../owner.blob", "400")):
        yield case(f"previous-{name}", "BKP-090 BKP-092" if name in ("extension", "slash") else "BKP-094" if name == "no-blob" else "BKP-093", f"previous {does}", base, session,
                   call("GET", "/previous", status, query={"archive-name": archive}), CREATE, *GOOD, sound="2")
    yield case("previous-only-newest", "BKP-039", "the newest finished snapshot is the one before", base, op("base", files={"a.didx": ["newer"]}, later="50"), session,
               call("GET", "/previous_backup_time", data=1700000050), op("fetch-previous", name="a.didx", chunks=["newer"]), CREATE, op("add", name="a.didx", chunks=[HELLO], status="400"))


# ---- reader ----

def reader_cases() -> Iterator[Case]:
    base = op("base", files={"a.didx": [HELLO, OTHER], "b.didx": ["only in b"], "c.blob": ["text"]})
    reader = op("reader-session")
    yield case("read-back", "RDR-022 RDR-024 RDR-032", "indexes, blobs and chunks read back as they were written", base, reader, op("index-holds", name="a.didx", chunks=[HELLO, OTHER]),
               op("index-holds", name="b.didx", chunks=["only in b"]), op("blob-holds", name="c.blob", data="text"))
    yield case("read-not-permitted", "RDR-031 RDR-103", "a chunk before its index was downloaded", base, reader, op("read-chunk", data=HELLO, status="401"), flags=["Protocol", "Misbehaviour"])
    yield case("read-other-index", "RDR-031 RDR-034", "a chunk of another index than the one that was downloaded", base, reader, op("download", name="a.didx"), op("read-chunk", data=HELLO),
               op("read-chunk", data="only in b", status="401"), op("download", name="b.didx"), op("read-chunk", data="only in b"))
    yield case("read-next-session", "RDR-031", "what one session may read another may not", base, reader, op("download", name="a.didx"), op("read-chunk", data=HELLO), reader,
               op("read-chunk", data=HELLO, status="401"))
    yield case("read-any-order", "RDR-035", "chunks in any order and repeatedly", base, reader, op("download", name="a.didx"), *(op("read-chunk", data=d) for d in (OTHER, HELLO, HELLO, OTHER)))
    for name, rules, does, step in (
            ("extension", "RDR-020", "a file with an extension that is not known", call("GET", "/download", "400", query={"file-name": "owner"})),
            ("slash", "RDR-020", "a path", call("GET", "/download", "400", query={"file-name": "../c.blob"})),
            ("no-name", "RDR-020", "nothing", call("GET", "/download", "400")),
            ("no-index", "RDR-022", "an index that is not there", call("GET", "/download", "400", query={"file-name": "d.didx"})),
            ("no-blob", "RDR-023", "a blob that is not there", call("GET", "/download", "404", query={"file-name": "d.blob"})),
            ("digest-short", "RDR-030", "a chunk with a short digest", call("GET", "/chunk", "400", query={"digest": "ab"})),
            ("digest-upper-case", "RDR-030", "a chunk with a digest in upper case", call("GET", "/chunk", "400", query={"digest": "B94D27B9934D3E08A52E52D7DA7DABFAC484EFE37A5380EE9088F7ACE2EFCDE9"})),
            ("no-digest", "RDR-030", "a chunk without a digest", call("GET", "/chunk", "400")),
            ("post", "RDR-045", "a chunk with POST", call("POST", "/chunk", "404", query={"digest": DIGEST})),
            ("writer-call", "RDR-045", "an endpoint of the writer", call("POST", "/finish", "404"))):
        yield case(f"read-{name}", rules, f"a reader asks for {does}", base, reader, step, op("index-holds", name="a.didx", chunks=[HELLO, OTHER]))
    yield case("read-log", "RDR-021 API-113", "a log that the manifest does not name can be downloaded", base,
               op("rest", method="POST", path="D/upload-backup-log", snapshot="0", blob_of="log"), reader, op("blob-holds", name="client.log.blob", data="log"))
    yield case("read-forget", "RDR-006", "a snapshot that is read cannot be removed", base, reader, op("rest", method="DELETE", path="D/snapshots", snapshot="0", status="400"),
               op("index-holds", name="a.didx", chunks=[HELLO, OTHER]), flags=["Protocol", "DataLoss"])
    yield case("read-nothing", "RDR-009", "a reader that leaves without a request", base, reader, op("leave", how="abrupt"), reader, op("leave", how="goaway"), reader,
               op("index-holds", name="a.didx", chunks=[HELLO, OTHER]))
    big = op("base", files={"a.didx": ["noise:1500000", "noise:700000"]})
    for window in ("1000", "65535"):
        yield case(f"read-window-{window}", "RDR-106 BKP-054", f"a reader that grants windows of {window} bytes", big, op("narrow-session", kind="reader", window=window),
                   op("index-holds", name="a.didx", chunks=["noise:1500000", "noise:700000"]), flags=["Protocol", "Limits"])


# ---- HTTP/2, HTTP/1.1, TLS ----

def frame(kind: str, flags: str, stream: int, payload: str = "", length: int | None = None) -> str:
    size = len(payload) // 2 if length is None else length
    return f"{size:06x}{kind}{flags}{stream:08x}{payload}"


# id, what, bytes
BAD_FRAMES: list[tuple[str, str, str]] = [
    ("data-on-0", "a DATA frame on stream 0", frame("00", "01", 0, "00")),
    ("data-on-idle", "a DATA frame on a stream that was never opened", frame("00", "01", 101, "00")),
    ("headers-even", "a request on an even stream", frame("01", "05", 2, "82")),
    ("headers-on-0", "a HEADERS frame on stream 0", frame("01", "05", 0, "82")),
    ("continuation", "a CONTINUATION frame without a HEADERS frame", frame("09", "04", 101, "82")),
    ("hpack", "a header block that cannot be decoded", frame("01", "05", 101, "ffffffffff")),
    ("settings-size", "a SETTINGS frame of five bytes", frame("04", "00", 0, "0000000000")),
    ("settings-stream", "a SETTINGS frame on a stream", frame("04", "00", 101, "")),
    ("settings-ack-body", "an acknowledgement of SETTINGS with a body", frame("04", "01", 0, "000300000001")),
    ("settings-window", "an initial window of more than 2^31 - 1", frame("04", "00", 0, "0004ffffffff")),
    ("ping-size", "a PING frame of seven bytes", frame("06", "00", 0, "00" * 7)),
    ("ping-stream", "a PING frame on a stream", frame("06", "00", 101, "00" * 8)),
    ("window-zero", "a WINDOW_UPDATE of 0 for the connection", frame("08", "00", 0, "00000000")),
    ("window-overflow", "WINDOW_UPDATEs beyond 2^31 - 1", frame("08", "00", 0, "7fffffff") * 2),
    ("window-size", "a WINDOW_UPDATE frame of three bytes", frame("08", "00", 0, "000000")),
    ("rst-idle", "a RST_STREAM of a stream that was never opened", frame("03", "00", 101, "00000008")),
    ("rst-on-0", "a RST_STREAM of stream 0", frame("03", "00", 0, "00000008")),
    ("push", "a PUSH_PROMISE from the client", frame("05", "04", 101, "0000000282")),
    ("padding", "padding longer than its frame", frame("01", "0d", 101, "7f82")),
    ("frame-size", "a frame larger than the server announced", frame("00", "00", 0, "", 0xFFFFFF)),
]


def wire_cases() -> Iterator[Case]:
    archive = op("archive", name="z.didx", chunks=[OTHER])
    again = [op("visible"), op("next-session"), CREATE, *GOOD, op("visible", snapshots=["0"])]
    for name, does, text in BAD_FRAMES:
        yield case(f"h2-{name}", "BKP-050 BKP-203", f"{does}: the connection ends, nothing remains, the server goes on", SESSION, archive, op("frames", hex=text), op("connection-ends"), *again,
                   sound="1", flags=["CrashSafety", "Misbehaviour"])
    yield case("h2-no-preface", "BKP-050", "HTTP/1.1 again after the upgrade", op("http-upgrade-only"), op("raw-ends", text="GET / HTTP/1.1\r\nhost: x\r\n\r\n"), *again, sound="1",
               flags=["CrashSafety", "Misbehaviour"])
    yield case("h2-preface-cut", "BKP-050 BKP-203", "the connection ends in the middle of the preface", op("http-upgrade-only"), op("raw-ends", text="PRI * HTT", end=True), *again, sound="1",
               flags=["CrashSafety", "Misbehaviour"])
    yield case("h2-unknown-frame", "BKP-050", "a frame of an unknown type is ignored", SESSION, CREATE, op("frames", hex=frame("fa", "00", 0, "001122")), *GOOD, sound="1")
    yield case("h2-unknown-setting", "BKP-050", "a setting that is not known is ignored", SESSION, CREATE, op("frames", hex=frame("04", "00", 0, "abcd00000001")), *GOOD, sound="1")
    yield case("h2-priority", "BKP-050", "a PRIORITY frame is ignored", SESSION, CREATE, op("frames", hex=frame("02", "00", 101, "0000000010")), *GOOD, sound="1")
    yield case("h2-ping", "BKP-050 BKP-053", "a PING is answered", SESSION, op("ping"), CREATE, op("ping"), *GOOD, sound="1")
    yield case("h2-reset-upload", "BKP-050 BKP-113", "a chunk upload that is reset half way: not known, the session goes on", SESSION, CREATE, op("half-upload", name="a.didx", data=HELLO, part="15"),
               op("add", name="a.didx", chunks=[HELLO], status="400"), *GOOD, sound="1", flags=["Integrity", "Misbehaviour"])
    yield case("h2-cut-session", "BKP-203", "the connection is reset while a chunk comes", SESSION, CREATE, op("half-upload", name="a.didx", data=HELLO, part="15"), op("leave", how="abrupt"), *again, sound="1",
               flags=["DataLoss", "Misbehaviour"])
    for name, does, headers in (("length-more", "a content-length above the body's", {"content-length": "30"}), ("length-less", "a content-length below the body's", {"content-length": "3"})):
        yield case(f"h2-{name}", "BKP-050", f"an upload with {does}: the request is malformed", SESSION, CREATE,
                   op("stream-refused", method="POST", path="/blob?encoded-size=16&file-name=a.blob", body="sixteen bytes ..", headers=headers), *GOOD, sound="1", flags=["Integrity", "Misbehaviour"])
    yield case("h2-headers-large", "BKP-057 BKP-052", "a header list of more than 16 KiB: status 431, and the connection lives on", SESSION, CREATE,
               call("GET", "/previous_backup_time", "431", headers={"x-filler": "a" * 17000}), call("GET", "/previous_backup_time", headers={"x-filler": "a" * 15000}), *GOOD, sound="1", since="4.0",
               flags=["Limits", "Misbehaviour"])
    yield case("h2-too-many-streams", "BKP-052", "a stream more than the server allows is refused, the others go on", SESSION, op("too-many-streams"), CREATE, *GOOD, sound="1", flags=["Limits", "Misbehaviour"])
    yield case("h2-seventy", "BKP-306 BKP-312", "seventy uploads at a time, a piece of each in turn", SESSION, CREATE, op("many-uploads", name="a.didx", count="70", size="30000"), op("close-index", name="a.didx"),
               *FINISH, sound="1", flags=["Limits", "Protocol"])
    yield case("h2-large-bodies", "BKP-312 BKP-054", "unfinished bodies of more than the connection's window together", SESSION, CREATE, op("many-uploads", name="a.didx", count="12", size="3000000"),
               op("close-index", name="a.didx"), *FINISH, sound="1", flags=["Limits", "Protocol"])
    yield case("http-plain", "BKP-004", "HTTP without TLS is redirected", op("plain-http", line="GET /", host=True, status="301"), op("plain-http", line="POST /x", host=True, status="308"),
               op("plain-http", line="GET /", host=False, status="400"), since="3.0.5", level="should")
    for name, does, members in (("binary", "bytes that are no request", {"hex": "000102030d0a0d0a"}), ("line", "a request line without a path", {"text": "GET\r\n\r\n"}),
                                ("header", "a header without a colon", {"text": "GET / HTTP/1.1\r\nbad header\r\n\r\n"}),
                                ("lengths", "two content-lengths that differ", {"text": "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"}),
                                ("chunked", "a chunked body with a size that is no number", {"text": "POST /api2/json/access/ticket HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"}),
                                ("no-tls", "a TLS record that holds no handshake", {"hex": "1603010010" + "ff" * 16, "tls": False})):
        yield case(f"http-{name}", "API-014", f"{does}: an error or the end, and the server goes on", op("garbage", **members), op("rest", method="GET", path="version"), flags=["CrashSafety", "Misbehaviour"])
    yield case("http-silent", "BKP-004", "twenty connections that say nothing do not hold up others", op("silent-connections", count="20"), SESSION, CREATE, *GOOD, flags=["CrashSafety", "Misbehaviour"])


# ---- REST ----

def rest_cases() -> Iterator[Case]:
    def rest(method: str, path: str, **members: Any) -> Step:
        return op("rest", method=method, path=path, **members)

    base = op("base", files={"a.didx": [HELLO], "a.blob": ["text"]})
    yield case("login", "API-060 API-062 API-075", "login with a password, as JSON and as a form, on both forms of the path", op("login"), op("login", as_json=False), op("login", path="//api2/json/access/ticket"))
    yield case("login-ticket", "API-061", "login with a ticket in the password's place", op("login", with_ticket=True))
    for name, does, members, status in (("password", "a wrong password", {"password": "wrong"}, "401"), ("user", "a user that does not exist", {"username": "no-such-user@pam"}, "401"),
                                        ("forged", "a forged ticket as password", {"password": "PBS:root@pam:6553F100::AAAA"}, "401"),
                                        ("token", "a token id as user name", {"username": "root@pam!t1"}, "400")):
        yield case(f"login-{name}", "API-064", f"login with {does}", op("login", status=status, **members), flags=["Protocol", "Crypto"])
    yield case("login-no-password", "API-064", "login without a password", rest("POST", "access/ticket", auth="none", form={"username": "root@pam"}, status="400"), flags=["Protocol", "Crypto"])
    for auth, does, status in (("none", "no credentials", "401"), ("bad-secret", "a wrong secret", "401"), ("bad-ticket", "a forged ticket", "401"), ("token-colon", "a colon behind PBSAPIToken", "401"),
                               ("bad-cookie-good-token", "a bad cookie beside a good token", "401")):
        yield case(f"rest-auth-{auth}", "API-010 API-077" if "token" in auth else "API-010", f"a call with {does}", rest("GET", "version", auth=auth, status=status), rest("GET", "D/groups", auth=auth, status=status),
                   flags=["Protocol", "Crypto"])
    yield case("rest-auth-token", "API-077", "a token with a space and with an equals sign", rest("GET", "version", auth="token", data={}), rest("GET", "version", auth="token-equals", data={}))
    yield case("rest-csrf", "API-076", "calls that change something need the CSRF token, others do not", base, rest("GET", "version", auth="no-csrf"), rest("GET", "version", auth="bad-csrf"),
               rest("DELETE", "D/snapshots", snapshot="0", auth="no-csrf", status="401"), rest("DELETE", "D/snapshots", snapshot="0", auth="bad-csrf", status="401"), op("visible", snapshots=["0"]),
               flags=["Protocol", "Crypto"])
    yield case("rest-unknown-path", "API-012", "a path that does not exist: 401 before 404", rest("GET", "nothing", auth="none", status="401"), rest("GET", "nothing", status="404"), rest("DELETE", "version", status="404"))
    yield case("rest-path", "API-001 API-002", "components that begin with a dot, an unknown format, empty components", rest("GET", "/api2/json/.x", status="400"), rest("GET", "/api2/xml/version", status="400"),
               rest("GET", "//api2//json/version/", data={}))
    yield case("rest-extra", "API-006", "a parameter that does not exist", rest("GET", "version", query={"x": "1"}, status="400"), rest("GET", "D/groups", query={"x": "1"}, status="400"))
    yield case("rest-long", "API-003", "a path of more than 3072 bytes: 414", rest("GET", "version", query={"x": "y" * 3072}, status="414"), rest("GET", "version", query={"x": "y" * 2000}, status="400"))
    yield case("rest-no-store", "API-096 BKP-033", "a datastore that does not exist", rest("GET", "admin/datastore/no-such-store/groups", status="400"))
    yield case("rest-lists", "API-090 API-091 API-092", "groups, snapshots and files of a backup", base, op("base", files={"a.didx": [OTHER]}, later="100"),
               rest("GET", "D/groups", listed={"backup-id": "{id}", "backup-type": "host", "backup-count": 2, "last-backup": 1700000100}),
               rest("GET", "D/snapshots", group=True, listed={"backup-id": "{id}", "backup-time": 1700000100, "protected": False}), rest("GET", "D/snapshots", query={"ns": ""}, listed={"backup-id": "{id}"}),
               rest("GET", "D/files", snapshot="0", listed={"filename": "a.didx", "crypt-mode": "none", "size": 11}), rest("GET", "D/files", snapshot="0", listed={"filename": "a.blob"}),
               rest("GET", "D/files", snapshot="7", status="400"))
    yield case("rest-unfinished", "BKP-319 API-091", "a snapshot that is being written is listed without manifest and size", op("backup-session"), op("archive", name="a.didx", chunks=[HELLO]),
               rest("GET", "D/snapshots", group=True, listed={"backup-time": 1700000000, "files": [{"filename": "a.didx"}]}))
    yield case("rest-notes", "API-110", "notes are set and read", base, rest("GET", "D/notes", snapshot="0", data=""), rest("PUT", "D/notes", snapshot="0", query={"notes": "first line\nsecond"}),
               rest("GET", "D/notes", snapshot="0", data="first line\nsecond"), rest("GET", "D/snapshots", group=True, listed={"comment": "first line"}), sound="1")
    yield case("rest-protected", "API-111 API-105", "a protected snapshot cannot be removed", base, rest("PUT", "D/protected", snapshot="0", query={"protected": "true"}), rest("GET", "D/protected", snapshot="0", data=True),
               rest("DELETE", "D/snapshots", snapshot="0", status="400"), op("visible", snapshots=["0"]), rest("PUT", "D/protected", snapshot="0", query={"protected": "0"}),
               rest("DELETE", "D/snapshots", snapshot="0"), op("visible"), flags=["Protocol", "DataLoss"])
    yield case("rest-forget", "API-105", "one snapshot of two is removed, once", base, op("base", files={"a.didx": [OTHER]}, later="100"), rest("DELETE", "D/snapshots", snapshot="0"), op("visible", snapshots=["100"]),
               rest("DELETE", "D/snapshots", snapshot="0", status="400"), op("upgrade", kind="reader", later="100"), op("index-holds", name="a.didx", chunks=[OTHER]), sound="1")
    yield case("rest-prune", "API-107", "prune keeps the last one; a dry run removes nothing", *(op("base", files={"a.didx": [HELLO]}, later=str(n)) for n in (0, 100, 200)),
               rest("POST", "D/prune", group=True, json_body={"keep-last": 1, "dry-run": True}), op("visible", snapshots=["0", "100", "200"]), rest("POST", "D/prune", group=True, json_body={}),
               op("visible", snapshots=["0", "100", "200"]), rest("POST", "D/prune", group=True, json_body={"keep-last": 1}), op("visible", snapshots=["200"]), sound="1", flags=["Protocol", "DataLoss"])
    yield case("rest-log", "API-113", "a log is checked and taken once", base, rest("POST", "D/upload-backup-log", snapshot="0", blob_of="log", change={"at": "8", "bytes": "00000000"}, status="400"),
               rest("POST", "D/upload-backup-log", snapshot="0", blob_of="log", change={"truncate": "5"}, status="400"), rest("POST", "D/upload-backup-log", snapshot="0", blob_of="log"),
               rest("POST", "D/upload-backup-log", snapshot="0", blob_of="other", status="400"), rest("GET", "D/files", snapshot="0", listed={"filename": "client.log.blob"}),
               op("reader-session"), op("blob-holds", name="client.log.blob", data="log"), sound="1")
    yield case("rest-namespaces", "API-114 API-143", "namespaces are made, used, listed and removed", rest("POST", "D/namespace", json_body={"name": "{id}", "parent": ""}, data="{id}"),
               rest("POST", "D/namespace", json_body={"name": "b", "parent": "{id}"}, data="{id}/b"), rest("POST", "D/namespace", json_body={"name": "b", "parent": "{id}"}, data="{id}/b"),
               rest("POST", "D/namespace", json_body={"name": "b", "parent": "no-such-parent"}, status="400"), rest("GET", "D/namespace", listed={"ns": "{id}/b"}),
               op("next-session", query={"ns": "{id}/b"}), CREATE, *GOOD, op("leave", how="close"), rest("GET", "D/snapshots", query={"ns": "{id}/b"}, listed={"backup-id": "{id}"}), op("visible"),
               op("upgrade", kind="reader", query={"ns": "{id}/b"}), op("index-holds", name="a.didx", chunks=[HELLO]), op("leave", how="close"),
               rest("DELETE", "D/namespace", query={"ns": "{id}/b"}, status="400"), rest("DELETE", "D/namespace", query={"ns": "{id}", "delete-groups": "true"}, patient=True))
    yield case("rest-numbers", "API-144", "integers and booleans as text in a query, as numbers in JSON", base, rest("PUT", "D/protected", snapshot="0", query={"protected": "yes"}),
               rest("GET", "D/protected", snapshot="0", data=True), rest("PUT", "D/protected", snapshot="0", query={"protected": "off"}), rest("GET", "D/protected", snapshot="0", data=False),
               rest("POST", "D/prune", group=True, json_body={"keep-last": "x"}, status="400"), op("visible", snapshots=["0"]))
    yield case("rest-gc", "API-116 API-121 API-122", "garbage collection is a task with a log, and keeps what is used", base, op("collect-garbage"), op("reader-session"),
               op("index-holds", name="a.didx", chunks=[HELLO]), sound="1", flags=["Protocol", "DataLoss"])
    yield case("rest-version", "API-125", "ping needs no credentials, version does", rest("GET", "ping", auth="none", data={"pong": True}), rest("GET", "version", auth="none", status="401"))
    yield case("rest-owner", "API-112", "the owner of a group is changed by the user, not by a token to itself", op("as", auth="token"), base, op("as", auth="ticket"),
               op("change-owner", to="user"), op("as", auth="token"), op("backup-session", later="100", status="400"), op("change-owner", to="token", status="error"))


# ---- texts ----

def text_cases() -> Iterator[Case]:
    def param(name: str, reason: str) -> str:
        return f"parameter verification failed - '{name}': {reason}"

    regex, missing = "value does not match the regex pattern", "parameter is missing and it is not optional."

    def upgrade(query: dict[str, Any], text: str, status: str = "400") -> Step:
        return op("upgrade", kind="backup", query=query, status=status, text=text)

    yield case("text-upgrade", "BKP-031", "texts of refused upgrades: parameters", upgrade({"backup-id": None}, param("backup-id", missing)), upgrade({"backup-id": ".x"}, param("backup-id", regex)),
               upgrade({"backup-time": "0"}, param("backup-time", "value must have a minimum value of 1 (got 0)")), upgrade({"backup-type": "Host"}, param("backup-type", "value 'Host' is not defined in the enumeration.")),
               upgrade({"store": "ab"}, param("store", "value must be at least 3 characters long")), upgrade({"store": "a" * 33}, param("store", "value may only be 32 characters long")),
               upgrade({"debug": "maybe"}, param("debug", "Unable to parse boolean option.")), upgrade({"extra": "1"}, param("extra", "schema does not allow additional properties.")),
               upgrade({"backup-id": None, "store": None}, f"parameter verification failed:\n- 'backup-id': {missing}\n- 'store': {missing}"))
    yield case("text-upgrade-checks", "BKP-034 BKP-033 BKP-035 BKP-036", "texts of refused upgrades: the checks behind the parameters", upgrade({"store": "no-such-store"}, "no such datastore 'no-such-store'"),
               op("backup-session", protocol="x", status="400", text="invalid protocol name"), upgrade({"ns": "no-such-namespace"}, "namespace not found", "404"),
               upgrade({"benchmark": "true"}, "benchmark flags is only allowed on 'host/benchmark'"), upgrade({"backup-id": "benchmark"}, "unable to run benchmark without --benchmark flags"),
               upgrade({"ns": "a/b/c/d/e/f/g/h"}, "namespace too deep, 7 >= max 7"),
               op("base", files={"a.didx": [HELLO]}), op("backup-session", status="400", text="backup timestamp is older than last backup."),
               op("upgrade", kind="reader", later="7", status="400", text="snapshot host/{id}/2023-11-14T22:13:27Z does not exist."))
    yield case("text-calls", "BKP-061 BKP-063 BKP-064", "texts of refused calls", SESSION, CREATE, call("GET", "/nothing", "404", text="Path '/nothing' not found."),
               call("GET", "/.x", "400", text="path contains illegal components"), call("POST", "/finish", "400", content_type="text/plain", text='unsupported content type Ok("text/plain")'),
               call("PUT", "/dynamic_index", "400", text_body="[]", text="Expected object - got array."), call("PUT", "/dynamic_index", "400", text_body='{"wid":', text="EOF while parsing a value at line 1 column 7"),
               call("PUT", "/dynamic_index", "400", json_body=append(wid="x"), text=param("wid", "Expected integer value.")),
               call("PUT", "/dynamic_index", "400", json_body=append(digest_list=DIGEST), text=param("digest-list", "Expected array - got scalar value.")),
               call("PUT", "/dynamic_index", "400", json_body=append(digest_list=["x"]), text=param("digest-list/[0]", regex)), call("PUT", "/dynamic_index", "400", text_body=" " * 600000, text="Request body too large"))
    yield case("text-chunks", "BKP-113 BKP-114 BKP-115 BKP-118", "texts of refused chunks", SESSION, CREATE, op("create-index", name="a.fidx", size="100"),
               *(call("POST", "/dynamic_chunk", "400", query=CHUNK | query, blob_of=HELLO, change=change, text=text) for query, change, text in (
                   ({"encoded-size": "24"}, {}, "uploaded chunk has unexpected size."), ({"encoded-size": "22"}, {}, "uploaded chunk is larger than announced."),
                   ({}, {"at": "0", "bytes": "00"}, "unable to parse raw blob - wrong magic"), ({"digest": ABSENT}, {}, "detected chunk with wrong digest."),
                   ({"size": "12"}, {}, "detected chunk with wrong length (12 != 11)"), ({"wid": "99"}, {}, "dynamic writer '99' not registered"))))
    yield case("text-indexes", "BKP-132 BKP-133 BKP-142", "texts of refused appends and closes", SESSION, CREATE, call("POST", "/dynamic_index", "400", query={"archive-name": "a.fidx"}, text="wrong archive extension: 'a.fidx'"),
               op("add", name="a.didx", chunks=[HELLO], status="400", text="no such chunk b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"),
               op("put-chunks", name="a.didx", chunks=[HELLO]), op("add", name="a.didx", chunks=[HELLO], offsets=["5"], status="400", text="dynamic writer 'a.didx' append chunk failed - got strange chunk offset (0 != 5)"),
               call("PUT", "/dynamic_index", "400", json_body=append(offset_list=[]), text="offset list has wrong length (0 != 1)"), op("add", name="a.didx", chunks=[HELLO]),
               call("POST", "/dynamic_close", "400", query=CLOSE, text="dynamic writer 'a.didx' close failed - unexpected chunk count (1 != 2)"),
               call("POST", "/dynamic_close", "400", query=CLOSE | {"chunk-count": "1"}, text="dynamic writer 'a.didx' close failed - unexpected file size (11 != 16)"),
               call("POST", "/dynamic_close", "400", query=CLOSE | {"chunk-count": "1", "size": "11", "csum": ABSENT}, text="dynamic writer 'a.didx' close failed - got unexpected checksum"),
               call("POST", "/dynamic_close", "400", query=CLOSE | {"wid": "9"}, text="dynamic writer '9' not registered"))
    yield case("text-finish", "BKP-181 BKP-080", "texts of finish", SESSION, op("finish", status="400", text="backup does not contain valid files (file count == 0)"), CREATE,
               op("finish", status="400", text="found open index writer - unable to finish backup"), *GOOD, op("finish", status="400", text="backup already marked as finished."))
    yield case("text-previous", "BKP-091 BKP-092 BKP-094", "texts of previous", SESSION, call("GET", "/previous", "400", query={"archive-name": "a.didx"}, text="no valid previous backup"), CREATE, *GOOD,
               op("leave", how="close"), op("next-session", later="100"), call("GET", "/previous", "400", query={"archive-name": "a.txt"}, text='unknown archive type: "a.txt"'),
               call("GET", "/previous", "400", query={"archive-name": "b.didx"}, text="Unable to open dynamic index "), call("GET", "/previous", "404", query={"archive-name": "b.blob"}, text=" failed - not found"))
    yield case("text-reader", "RDR-020 RDR-023 RDR-031", "texts of the reader", op("base", files={"a.didx": [HELLO]}), op("reader-session"), call("GET", "/download", "400", query={"file-name": "a.txt"}, text='unknown archive type: "a.txt"'),
               call("GET", "/download", "404", query={"file-name": "b.blob"}, text=" failed - not found"), op("read-chunk", data=HELLO, status="401", text=" not allowed"))
    yield case("text-rest", "API-010 API-012 API-064", "texts of REST calls", op("rest", method="GET", path="version", auth="none", status="401", text="authentication failed"),
               op("rest", method="GET", path="nothing", status="404", text="Path '/api2/json/nothing' not found."), op("login", password="wrong", status="401", text="permission check failed."))


def families() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every family of area server."""
    one = case("one-snapshot", "BKP-300 BKP-301 BKP-307", "one dynamic index, manifest, finish", SESSION, op("archive", name="misc.didx", chunks=[HELLO, "abcde", HELLO]), *FINISH, sound="1")
    for name, about, cases, level in (
            ("upgrade", "What decides about an upgrade", list(upgrade_cases()), "must"), ("requests", "Requests on the upgraded connection", list(request_cases()), "must"),
            ("chunks", "Chunk uploads", list(chunk_cases()), "must"), ("dynamic", "Dynamic indexes", list(dynamic_cases()), "must"), ("fixed", "Fixed indexes", list(fixed_cases()), "must"),
            ("blobs", "Blobs", list(blob_cases()), "must"), ("session", "Finish, and how a session ends", [one, *finish_cases()], "must"),
            ("previous", "The snapshot before", list(previous_cases()), "must"), ("reader", "The reader protocol", list(reader_cases()), "must"),
            ("wire", "HTTP/2 frames, HTTP/1.1 and connections", list(wire_cases()), "must"), ("rest", "REST calls", list(rest_cases()), "must"),
            ("texts", "Error texts", list(text_cases()), "should")):
        yield f"server/{name}.json", family(about, cases, level, ["Diagnosis"] if name == "texts" else None)
