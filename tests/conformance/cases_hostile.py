# SPDX-License-Identifier: MIT
"""What a hostile archive can carry, verb by verb: names and links that lead elsewhere, wrong sizes and references, lookups that leave the tree.

The attempts are those of spec/security.md, "A hostile archive".
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from conformance.cases_edges import (A, ACCEPT, FILE, HEX_A, HEX_B, NAME_A, NAME_B, NAME_C, REJECT, ROOT, V2, archive, entry, link, numbers, payload, read, ref,
                                     split, text, two, xattr)
from conformance.gen_edges import archive_items
from oracle.pxar_items import CODE, HEADER

Json = dict[str, Any]
DIR, SYMLINK = entry(0o040755), entry(0o120777)
B = [NAME_B, FILE, payload("bbb")]
# two names with one hash: SipHash-2-4 with the key of PXAR-010 gives 8d7709ceaae7069f for both
TWINS = ("fbnnijeglakfodpb", "pclhmhdbjhdbfinf")


def case(ident: str, rules: str, does: str, expect: Json, **more: Any) -> Json:
    return {"id": f"hostile-{ident}", "rules": rules.split(), "does": does, **more, "expect": expect}


def name(raw: str) -> str:
    return f"FILENAME {raw.encode('latin-1').hex()}"


def one(*items: str) -> Json:
    """An archive of one stream."""
    return {"archive.pxar": archive(ROOT, *items, "GOODBYE")}


def place(*items: str) -> int:
    """Where the next item behind the root and these begins."""
    return len(archive_items([ROOT, *items]))


# ---- names ----

NAMES = [("dot-dot", "PXAR-071", "a name `..`", "..\0"), ("dot", "PXAR-071", "a name `.`", ".\0"), ("empty", "PXAR-071", "an empty name", "\0"),
         ("nothing", "PXAR-071", "a name without even its NUL", ""), ("slash", "PXAR-071", "a name with a slash", "d/x\0"),
         ("unterminated", "PXAR-071", "a name without NUL", "ab"), ("nul", "PXAR-081", "a NUL within a name", "a\0b\0")]


def names(verb: str) -> Iterator[Json]:
    for ident, rule, does, raw in NAMES:
        more = {"level": "should"} if rule == "PXAR-081" else {}
        yield case(f"{verb.removeprefix('pxar-')}-name-{ident}", rule, does, REJECT, verb=verb, input=one(name(raw), FILE, payload("x")), **more)


# ---- reading ----

def at_the_limits() -> Json:
    """The longest that every item may be."""
    file = ["FILENAME 61*4096 00", FILE, "XATTR 757365722e6100 62*65784", "FCAPS 63*65791", payload("x")]
    return one(*file, *deep_link(4094), text("FILENAME", "s"), SYMLINK, "SYMLINK 74*4096 00")


def deep_link(length: int) -> list[str]:
    """A file below a directory with a name of that length, and a hard link to it."""
    folder = [f"FILENAME 64*{length} 00", DIR]
    back = place(*folder, *B, "GOODBYE") - place(*folder)
    return [*folder, *B, "GOODBYE", NAME_C, f"HARDLINK {back.to_bytes(8, 'little').hex()} 64*{length} 2f6200"]


def limits() -> Iterator[Json]:
    """PXAR-020, each header a byte above its limit and everything else right; a GOODBYE has none."""
    yield from (case(f"size-{kind}", "PXAR-020", f"{kind.upper()}: {does}", REJECT, input=one(*items)) for kind, does, items in [
        ("filename", "a name of 4097 bytes", ["FILENAME 61*4097 00", FILE, payload("x")]),
        ("symlink", "a target of 4097 bytes", [NAME_A, SYMLINK, "SYMLINK 74*4097 00"]),
        ("hardlink", "a right path of 4097 bytes", deep_link(4095)),
        ("device", "17 bytes", [NAME_A, entry(0o020600), "DEVICE " + "00" * 17]),
        ("xattr", "65792 bytes", [NAME_A, FILE, "XATTR 757365722e6100 62*65785", payload("x")]),
        ("fcaps", "65792 bytes", [NAME_A, FILE, "FCAPS 63*65792", payload("x")]),
        ("acl-user", "17 bytes", [NAME_A, FILE, numbers("ACL_USER", 7, 4) + "00", payload("x")]),
        ("acl-group", "17 bytes", [NAME_A, FILE, numbers("ACL_GROUP", 7, 4) + "00", payload("x")]),
        ("acl-group-obj", "9 bytes", [NAME_A, FILE, numbers("ACL_GROUP_OBJ", 4) + "00", payload("x")]),
        ("acl-default", "33 bytes", [NAME_A, DIR, numbers("ACL_DEFAULT", 7, 5, 4, 7) + "00", "GOODBYE"]),
        ("acl-default-user", "17 bytes", [NAME_A, DIR, numbers("ACL_DEFAULT_USER", 7, 4) + "00", "GOODBYE"]),
        ("acl-default-group", "17 bytes", [NAME_A, DIR, numbers("ACL_DEFAULT_GROUP", 7, 4) + "00", "GOODBYE"]),
        ("quota-projid", "9 bytes", [NAME_A, FILE, numbers("QUOTA_PROJID", 5) + "00", payload("x")]),
        ("entry", "41 bytes", [NAME_A, FILE + "00", payload("x")])])
    yield case("size-payload-ref", "PXAR-020", "PAYLOAD_REF: 17 bytes", REJECT, input=split([V2, ROOT, NAME_A, FILE, ref(16, 3) + "00", "GOODBYE"], [HEX_A]))


def repeats() -> Iterator[Json]:
    acl = [numbers("ACL_GROUP_OBJ", 4), numbers("ACL_DEFAULT", 7, 5, 4, 7), "FCAPS 01", numbers("QUOTA_PROJID", 5)]
    for item in acl:
        kind = item.partition(" ")[0]
        yield case(f"twice-{kind.lower().replace('_', '-')}", "PXAR-032", f"two {kind} items", REJECT, input=one(NAME_A, DIR, item, item, "GOODBYE"))


def references() -> Iterator[Json]:
    """Decoding contents from start to end meets what a lister of names need not."""
    inner = HEADER.pack(CODE["PAYLOAD"], 19).hex() + "626262"  # a payload within a payload
    short = split(two(ref(16, 3), ref(35, 4)), [HEX_A, HEX_B])
    yield case("references-backwards", "PXAR-242", "references that go backwards", REJECT, input=split(two(ref(35, 4), ref(16, 3)), [HEX_A, HEX_B]))
    yield case("reference-twice", "PXAR-245", "two references to one payload", REJECT, input=split(two(ref(16, 3), ref(16, 3)), [HEX_A]))
    yield case("reference-inside", "PXAR-245", "a reference to what looks like a payload within another's contents", REJECT, input=split(two(ref(16, 19), ref(32, 3)), [inner]))
    yield case("reference-short", "PXAR-243", "a reference to three bytes of a payload of four", REJECT, input=split(two(ref(16, 3), ref(35, 3)), [HEX_A, HEX_B]))
    yield case("reference-long", "PXAR-243", "a reference to four bytes of a payload of three, and more payload behind it", REJECT, input=split(two(ref(16, 4), ref(36, 3)), [HEX_A, "00", HEX_B]))
    yield case("reference-to-another-item", "PXAR-243", "a reference to something that is no payload", REJECT,
               input=short | {"archive.ppxar": {"of": short["archive.ppxar"], "edit": [{"at": 16, "xor": "01"}]}})


# ---- looking up ----

def lookups() -> Iterator[Json]:
    tree = one(*A, text("FILENAME", "d"), DIR, *B, "GOODBYE", text("FILENAME", "l"), SYMLINK, text("SYMLINK", "d"))
    twins = one(*A, *(item for twin in TWINS for item in (text("FILENAME", twin), FILE, payload(twin))), text("FILENAME", "z"), FILE, payload("z"))

    def file(data: str, **more: str) -> Json:
        return {"kind": "file", "size": str(len(data)), "sha256": hashlib.sha256(data.encode()).hexdigest()} | more
    for ident, does, path in (("up", "a path that is `..`", ".."), ("up-and-down", "up again from a directory", "d/../a"), ("below-a-file", "a name below a file", "a/x"),
                              ("below-a-link", "a name below a link to a directory, which is not followed", "l/b")):
        yield case(f"lookup-{ident}", "PXAR-271", does, REJECT, input=tree, args={"paths": [path]})
    yield case("lookup-spellings", "PXAR-271", "a slash in front, `.` and two slashes make no difference", ACCEPT | {"view": {"found": [file("bbb")] * 4}},
               input=tree, args={"paths": ["/d/b", "./d/b", "d/./b", "d//b"]})
    yield case("lookup-missing", "PXAR-271", "what is not there is not found", ACCEPT | {"view": {"found": [None, None, {"path": "d", "kind": "dir"}]}},
               input=tree, args={"paths": ["x", "x/y", "d"]})
    yield case("lookup-equal-hashes", "PXAR-269", "two names with the same hash", ACCEPT | {"view": {"found": [file(n, path=n) for n in (*TWINS, "z")] + [None]}},
               input=twins, args={"paths": [*TWINS, "z", "y"]})
    for ident, does, raw in (("dot-dot", "`..`", "2e2e"), ("slash", "a name with a slash", "2f61")):
        yield case(f"lookup-name-{ident}", "PXAR-266", f"a record whose hash fits leads to {does}", REJECT, args={"paths": ["aa"]},
                   input={"archive.pxar": {"of": archive(ROOT, name("aa\0"), FILE, payload("x"), "GOODBYE"), "edit": [{"at": 72, "bytes": raw}]}})
    yield case("lookup-name-nul", "PXAR-081 PXAR-266", "a record whose hash fits leads to a name with a NUL", REJECT, args={"paths": ["aa"]}, level="should",
               input={"archive.pxar": {"of": archive(ROOT, name("aa\0"), FILE, payload("x"), "GOODBYE"), "edit": [{"at": 73, "bytes": "00"}]}})


# ---- extracting ----

APART = {"check": "target-apart"}


def lacking(*paths: str) -> Json:
    """Refused, and nothing of these is there, nor anything of the directory beside the target."""
    return REJECT | {"checks": [APART | {"lacks": list(paths)}]}


def linked(path: str, *before: str) -> Json:
    """`h`, a hard link to a path that is none of a file's; its distance leads to the file `a`."""
    return one(*A, *before, text("FILENAME", "h"), link(place(*A, *before) - place(), path))


def extracted_names() -> Iterator[Json]:
    for ident, rule, does, raw in NAMES:
        rules = "EXT-030" if ident == "nul" else f"EXT-030 {rule}" if ident == "slash" else rule
        yield case(f"name-{ident}", rules, does, REJECT | {"checks": [{"check": "target-missing-or-empty"}]}, input=one(name(raw), FILE, payload("x")))
    yield case("directory-dot-dot", "PXAR-071 EXT-031", "a directory `..` with a file in it", REJECT, input=one(name("..\0"), DIR, *A, "GOODBYE"), args={"allow-existing-dirs": True})


def extracted_links() -> Iterator[Json]:
    folder, up = [text("FILENAME", "d"), DIR, "GOODBYE"], [text("FILENAME", "l"), SYMLINK, text("SYMLINK", "../outside")]
    secret = [text("FILENAME", "d"), DIR, text("FILENAME", "secret"), FILE, payload("mine"), "GOODBYE"]
    within = one(*secret, text("FILENAME", "h"), link(place(*secret) - place(*secret[:2]), "d/secret"))
    there = [{"path": "", "kind": "dir"}, {"path": "d", "kind": "symlink", "to": "../outside"}]
    yield case("link-outside", "EXT-034", "a hard link to ../outside/secret", lacking("h"), input=linked("../outside/secret"))
    yield case("link-outside-by-a-directory", "EXT-034", "a hard link to d/../../outside/secret", lacking("h"), input=linked("d/../../outside/secret", *folder))
    yield case("link-up", "EXT-034", "a hard link to ..", lacking("h"), input=linked(".."))
    yield case("link-to-the-root", "EXT-034", "a hard link to .", lacking("h"), input=linked("."))
    yield case("link-absolute", "EXT-033", "a hard link to /a, where a is in the archive", lacking("h"), input=linked("/a"))
    yield case("link-empty", "PXAR-073", "a hard link to nothing", lacking("h"), input=linked(""))
    yield case("link-to-itself", "PXAR-074", "a hard link to its own name", lacking("h"), input=one(*A, text("FILENAME", "h"), link(0, "h")))
    yield case("link-through-a-symlink", "EXT-034", "a symlink l to ../outside, and a hard link to l/secret", lacking("h"), input=linked("l/secret", *up))
    yield case("link-through-a-symlink-inside", "EXT-034", "a symlink l to d, and a hard link to l/b, which is d/b", lacking("h"), level="should",
               input=linked("l/b", text("FILENAME", "d"), DIR, *B, "GOODBYE", text("FILENAME", "l"), SYMLINK, text("SYMLINK", "d")))
    for ident, args in (("", {}), ("-allowed", {"allow-existing-dirs": True})):
        yield case(f"link-through-what-was-there{ident}", "EXT-034 EXT-035", "a right link to d/secret, where the target has a symlink d to ../outside", lacking("h"), input=within, target=there,
                   **({"args": args} if args else {}))


def extracted_over() -> Iterator[Json]:
    """Symlinks in the way: what must not happen is the same, whether the entry is refused or replaces the link."""
    replaced = {"verdict": "info", "note": "refused, or the link is replaced",
                "checks": [APART, {"check": "target-entries", "entries": [{"path": "f", "kind": "file", "size": "3", "sha256": hashlib.sha256(b"aaa").hexdigest()}]}]}
    file = [text("FILENAME", "f"), FILE, payload("aaa")]
    folder = [text("FILENAME", "d"), DIR, *A, "GOODBYE"]
    allowed = {"allow-existing-dirs": True}

    def symlink(path: str, to: str) -> list[str]:
        return [text("FILENAME", path), SYMLINK, text("SYMLINK", to)]

    def there(path: str, to: str) -> list[Json]:
        return [{"path": "", "kind": "dir"}, {"path": path, "kind": "symlink", "to": to}]
    yield case("symlink-then-directory", "EXT-035", "a symlink d to ../outside, then a directory d with a file in it", lacking("d/a"), input=one(*symlink("d", "../outside"), *folder), args=allowed)
    yield case("symlink-then-directory-strict", "EXT-035 EXT-040", "the same where directories may not exist", lacking("d/a"), input=one(*symlink("d", "../outside"), *folder))
    yield case("directory-over-a-symlink", "EXT-035", "a directory d, where the target has a symlink d to ../outside", lacking("d/a"), input=one(*folder), target=there("d", "../outside"), args=allowed)
    yield case("symlink-then-file", "EXT-036", "a symlink f to ../outside/secret, then a file f", replaced, input=one(*symlink("f", "../outside/secret"), *file), args={"overwrite": True})
    yield case("symlink-then-file-kept", "EXT-036 EXT-051", "the same, nothing may be replaced", REJECT, input=one(*symlink("f", "../outside/secret"), *file))
    yield case("file-over-a-symlink", "EXT-036", "a file f, where the target has a symlink f to ../outside/secret", replaced, input=one(*file), target=there("f", "../outside/secret"), args={"overwrite-files": True})
    yield case("file-over-a-dangling-symlink", "EXT-036", "a file f, where the target has a symlink f to ../outside/new", replaced, input=one(*file), target=there("f", "../outside/new"), args={"overwrite-files": True})


def extracted_rest() -> Iterator[Json]:
    foreign = {"archive.mpxar": archive(V2, ROOT, NAME_A, FILE, ref(16, 3), "GOODBYE")}
    nulls = "00*4194304 61 00*8192"
    data = bytes(4 << 20) + b"a" + bytes(8192)
    root = {"needs": ["root"], "flags": ["Metadata"]}
    yield case("mode-bits", "EXT-042", "a mode with a bit above the type", REJECT, input=one(NAME_A, entry(0o1100644), payload("x")))
    yield case("symlink-empty", "EXT-038", "a symlink to nothing", REJECT, input=one(NAME_A, SYMLINK, "SYMLINK 00"))
    yield case("attribute-of-another-kind", "EXT-065", "an attribute that archives do not hold", ACCEPT | {"checks": [{"check": "target-apart", "unnamed": ["a security.probe"]}]},
               input=one(NAME_A, FILE, xattr("security.probe", "x"), payload("x")), **root)
    yield case("contents-cut", "EXT-090 PXAR-225", "the archive ends within a file", REJECT, flags=["DataLoss"],
               input={"archive.pxar": {"of": archive(ROOT, *A, "GOODBYE"), "edit": [{"truncate": place(*A) - 1}]}})
    yield case("payload-missing", "PXAR-278", "contents that are in no file", REJECT, input=foreign, flags=["DataLoss"])
    yield case("payload-of-another", "PXAR-243", "the payload stream of another archive", REJECT, input=foreign | {"archive.ppxar": {"gen": "payload-stream", "args": {"pieces": [HEX_B]}}}, flags=["DataLoss"])
    yield case("holes", "EXT-044", "four megabytes of zeros before a byte, and some behind it: both are holes",
               ACCEPT | {"checks": [{"check": "target-entries", "entries": [{"path": "a", "kind": "file", "size": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}]},
                                    {"check": "target-sparse", "path": "a", "bytes": "65536"}]},
               input=one(NAME_A, FILE, f"PAYLOAD {nulls}"), flags=["Limits"], needs=["root"])


def families() -> Iterator[tuple[str, Json]]:
    base = {"role": "reader", "level": "must", "flags": ["Traversal"]}
    twins = [item for twin in TWINS for item in (text("FILENAME", twin), FILE, payload(twin))]
    limit = at_the_limits()
    crash = {"flags": ["CrashSafety", "Limits"]}
    yield "pxar/hostile.json", {
        "area": "pxar", "about": "Archives with names, sizes and references that no writer makes.", "defaults": base | {"verb": "pxar-entries"},
        "cases": [*names("pxar-entries"), *names("pxar-items"), case("sizes-at-the-limits", "PXAR-020 PXAR-072 PXAR-073", "every item as long as it may be", read(limit), input=limit, flags=["Compat"]),
                  *(c | crash for c in limits()), *(c | crash for c in repeats()), *(c | {"flags": ["Integrity"]} for c in references())]}
    yield "verify/hostile.json", {
        "area": "verify", "about": "Names that no writer makes, and two that only look wrong.", "defaults": base | {"verb": "pxar-verify"},
        "cases": [*names("pxar-verify"), case("equal-hashes", "PXAR-170", "two names with the same hash", ACCEPT, input=one(*twins), flags=["Compat"])]}
    yield "access/hostile.json", {
        "area": "access", "about": "Lookups that would leave the tree, and names that are hard to find.", "defaults": base | {"verb": "pxar-lookup"}, "cases": list(lookups())}
    yield "extract/hostile.json", {
        "area": "extract", "about": "What spec/security.md says of hostile archives, tried on an extractor: nothing outside the target may change or get into it.",
        "defaults": base | {"verb": "pxar-extract"}, "cases": [*extracted_names(), *extracted_links(), *extracted_over(), *extracted_rest()]}
