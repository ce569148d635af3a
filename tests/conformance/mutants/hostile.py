# SPDX-License-Identifier: MIT
"""Readers and extractors that believe what a hostile archive says; each with all the checks left out that would stop it behind the first."""
from __future__ import annotations

from conformance.mutants.model import Mutant, Patch, mutant

READ = "pxar verify access extract"
P, I, T = "oracle.pxar", "oracle.pxar_items", "oracle.archive_tree"

ANY_TEXT: Patch = (P, "if len(raw) < 2 or raw[-1] != 0 or 0 in raw[:-1]:", "if False:")
ANY_NAME: Patch = (I, '"FILENAME": (2, 4097)', '"FILENAME": (0, 4097)')
NAME_TWICE: Patch = (P, "if name in frame.names:", "if False:")
ANY_NUL: Patch = (P, "        if 0 in raw[:-1]:\n", "        if False:\n")
NO_NAME: Patch = (P, 'if b"/" in name or name in (b".", b".."):', "if False:")
FOREIGN_PATH: Patch = (P, "if self.files[target] != path:", "if False:")
ANY_DISTANCE: Patch = (P, "        if target not in self.files:  # PXAR-074, PXAR-076", "        self.files.setdefault(target, b'')\n        if False:")
UNPLACED: Patch = (T, "                self.check_place(entry.link.path)\n", "")

NAMES = [
    mutant("name-dot-dot", "PXAR-071", READ, "takes `..` for a name", (P, 'name in (b".", b"..")', 'name == b"."')),
    mutant("name-dot", "PXAR-071", READ, "takes `.` for a name", (P, 'name in (b".", b"..")', 'name == b".."')),
    mutant("name-empty", "PXAR-071", READ, "takes an empty name", ANY_NAME, (P, "if len(raw) < 2 or raw[-1] != 0 or", "if not raw or raw[-1] != 0 or")),
    mutant("name-unterminated", "PXAR-071", READ, "does not look at the NUL behind a name", (P, "if len(raw) < 2 or raw[-1] != 0 or", "if len(raw) < 2 or"), (P, "        return raw[:-1]\n", '        return raw.rstrip(b"\\0")\n')),
    mutant("name-nothing", "PXAR-071", READ, "takes names without a byte", ANY_NAME, ANY_TEXT),
    mutant("name-nul", "PXAR-081", READ, "takes a NUL within a name", ANY_NUL, (P, "raw[-1] != 0 or 0 in raw[:-1]:", "raw[-1] != 0:")),
    mutant("name-cut-at-nul", "EXT-030", "extract", "names end at the first NUL", (P, "        raw = self.content(item)\n        if 0 in raw[:-1]:", '        raw = self.content(item).split(b"\\0")[0] + b"\\0"\n        if 0 in raw[:-1]:')),
]

# what a limit is in the oracle's table, and without an upper end
SIZES = {"ENTRY": "(40, 40)", "FILENAME": "(2, 4097)", "SYMLINK": "(2, 4097)", "HARDLINK": "(10, 4105)", "DEVICE": "(16, 16)", "XATTR": "(1, 65791)", "FCAPS": "(0, 65791)",
         "ACL_USER": "(16, 16)", "ACL_GROUP": "(16, 16)", "ACL_GROUP_OBJ": "(8, 8)", "ACL_DEFAULT": "(32, 32)", "ACL_DEFAULT_USER": "(16, 16)",
         "ACL_DEFAULT_GROUP": "(16, 16)", "QUOTA_PROJID": "(8, 8)", "PAYLOAD_REF": "(16, 16)"}


def unlimited(kind: str, limit: str) -> Mutant:
    """Bytes behind the last one that counts are not looked at."""
    more: list[Patch] = [(P, "STAT.unpack(", "STAT.unpack_from(")] if kind == "ENTRY" else []
    more += [(P, 'int.from_bytes(raw[8:], "little")\n        if offset < 16', 'int.from_bytes(raw[8:16], "little")\n        if offset < 16')] if kind == "PAYLOAD_REF" else []
    more += [(P, "acl.default = (values[0],", "del numbers[4:]\n                acl.default = (values[0],")] if kind == "ACL_DEFAULT" else []
    return mutant(f"limit-{kind.lower().replace('_', '-')}", "PXAR-020", "pxar", f"{kind} of any size", (I, f'"{kind}": {limit}', f'"{kind}": {limit.split(",")[0]}, M64)'), *more)


ITEMS = [
    *(unlimited(kind, limit) for kind, limit in SIZES.items()),
    *(mutant(f"limit-too-low-{kind.lower()}", "PXAR-020", "pxar", f"{kind} a byte shorter than it may be", (I, f'"{kind}": {limit}', f'"{kind}": {limit.replace(end, str(int(end) - 1))}'))
      for kind, limit, end in (("HARDLINK", "(10, 4105)", "4105"), ("FCAPS", "(0, 65791)", "65791"), ("XATTR", "(1, 65791)", "65791"), ("FILENAME", "(2, 4097)", "4097"))),
    mutant("attribute-twice", "PXAR-032", "pxar", "the last of two FCAPS counts, and so on", (P, "if order < rank or order == rank and not repeats:", "if order < rank:")),
    mutant("references-overlap", "PXAR-245", READ, "references may lead to the same payload, or into another's contents", (P, "self.consumed = offset + 16 + size\n", "self.consumed = offset\n"), (P, "if self.consumed > self.payload.size - 16:", "if False:")),
    mutant("payload-size-trusted", "PXAR-243", READ, "does not compare the size in the payload stream with the reference's",
           (P, 'self.payload.read(offset, 16) != HEADER.pack(CODE["PAYLOAD"], 16 + size)', 'self.payload.read(offset, 8) != HEADER.pack(CODE["PAYLOAD"], 16 + size)[:8]')),
    mutant("payload-type-trusted", "PXAR-243", READ, "does not look at the type of the item that a reference leads to",
           (P, 'self.payload.read(offset, 16) != HEADER.pack(CODE["PAYLOAD"], 16 + size)', 'self.payload.read(offset + 8, 8) != HEADER.pack(CODE["PAYLOAD"], 16 + size)[8:]')),
]

LOOK_UP = [
    mutant("lookup-up-ignored", "PXAR-271", "access", "`..` in a path is not there", ("adapter", '            raise OracleError("PXAR-271", None, "cannot enter parent directory in archive")\n', "            continue\n")),
    mutant("lookup-below-a-file", "PXAR-271", "access", "nothing is found below a file", ("adapter", 'if found["kind"] != "dir":', "if False:")),
    mutant("lookup-spelling", "PXAR-271", "access", "a slash too many makes a path another one", ("adapter", 'if name not in (b"", b".")]', "if path]")),
    mutant("lookup-first-of-equal-hashes", "PXAR-269", "access", "ends at the first name whose hash fits",
           ("adapter", '        found = by_path.get(b"/".join(names[:number + 1]))\n',
            "        from oracle.pxar_items import siphash24\n"
            '        path = b"/".join(names[:number + 1])\n'
            '        twin = next((p for p in by_path if p and (p.rpartition(b"/")[0], siphash24(p.rpartition(b"/")[2])) == (path.rpartition(b"/")[0], siphash24(name))), b"")\n'
            "        found = by_path[path] if twin == path else None\n")),
    mutant("lookup-names-trusted", "PXAR-266", "access", "a record that leads to a name of another hash, or to none, is passed over",
           NO_NAME, ANY_NUL, ANY_TEXT, (P, "if value != hashes[index]:", "if False:"), (P, "if child is None or child.hash != value:", "if child is None:")),
]

EXTRACT = [
    mutant("extract-link-outside", "EXT-034", "extract", "hard links lead wherever their path says", FOREIGN_PATH, UNPLACED),
    mutant("extract-link-failed", "PXAR-073", "extract", "hard links that cannot be made are left out without a word", FOREIGN_PATH, ANY_DISTANCE, UNPLACED,
           (I, '"HARDLINK": (10, 4105)', '"HARDLINK": (9, 4105)'), (P, 'path = self.text(item, raw[8:], "PXAR-073")', "path = raw[8:-1]"),
           (T, "                replacing(full, self.over.hardlinks, lambda: os.link(old, full, follow_symlinks=False))\n",
            "                try:\n                    os.link(old, full, follow_symlinks=False)\n                except OSError:\n                    pass\n")),
    mutant("extract-link-absolute", "EXT-033", "extract", "an absolute path of a hard link counts from the root of the archive", (P, 'path = self.text(item, raw[8:], "PXAR-073")', 'path = self.text(item, raw[8:], "PXAR-073").lstrip(b"/")')),
    mutant("extract-link-beneath", "EXT-034", "extract", "hard links go through what was in the target before", UNPLACED),
    mutant("extract-into-symlink", "EXT-035", "extract", "a symlink to a directory is as good as a directory", NAME_TWICE, (T, "stat.S_ISDIR(os.lstat(full).st_mode)", "stat.S_ISDIR(os.stat(full).st_mode)")),
    mutant("extract-into-anything", "EXT-035", "extract", "directories that are there are always taken over, symlinks too", NAME_TWICE, (T, "            if not self.over.dirs or not stat.S_ISDIR(os.lstat(full).st_mode):", "            if not os.path.isdir(full):")),
    mutant("extract-into-parent", "PXAR-071", "extract", "`..` is a directory that is there", (P, 'name in (b".", b"..")', 'name == b"."')),
    mutant("extract-through-symlink", "EXT-036", "extract", "files are written where a symlink in their place leads", NAME_TWICE,
           (T, "os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC", "os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC")),
    mutant("extract-symlink-overwritten", "EXT-036", "extract", "with overwriting, files are written through symlinks",
           (T, "        os.unlink(full)\n        make()\n", "        os.unlink(full if not os.path.islink(full) else os.path.realpath(full))\n        make()\n")),
    mutant("extract-mode-cut", "EXT-042", "extract", "bits of a mode that mean nothing are left out", (P, "kind is None or entry.mode >> 16", "kind is None"), (T, "if entry.mode & ~0o177777:", "if False:")),
    mutant("extract-symlink-empty", "EXT-038", "extract", "an empty target of a symlink becomes `.`", (P, 'entry.target = self.text(item, self.content(item), "PXAR-072")', "entry.target = self.content(item)[:-1]"),
           (I, '"SYMLINK": (2, 4097)', '"SYMLINK": (1, 4097)'), (T, 'target = entry.target or b""', 'target = entry.target or b"."')),
    mutant("extract-every-attribute", "EXT-065", "extract", "sets attributes of any kind", (T, "for name, value in entry.xattrs if storable(name))\n    if", "for name, value in entry.xattrs)\n    if")),
    mutant("extract-end-ignored", "EXT-090", "extract", "an archive that ends early is restored as far as it goes, without a word",
           ("adapter", '    archive_tree.extract(call.reader(), str(call.out / "target"), over)\n',
            '    try:\n        archive_tree.extract(call.reader(), str(call.out / "target"), over)\n    except OracleError as e:\n        if e.rule not in ("PXAR-225", "PXAR-226"):\n            raise\n')),
    mutant("extract-errors-forgotten", "EXT-004", "extract", "entries that failed are forgotten at the end", (T, "    if run.failed:\n", "    if False:\n")),
    mutant("extract-holes-filled", "EXT-044", "extract", "zeros are written", (T, 'if block.strip(b"\\0"):', "if True:")),
    mutant("extract-last-hole-lost", "EXT-044", "extract", "a hole at the end is left out", (T, "        f.truncate(size)\n", "")),
    mutant("extract-bad-names-left-out", "PXAR-071", "extract", "entries whose names cannot be made are left out without a word", ANY_NAME, ANY_TEXT, ANY_NUL, NO_NAME, (T, "    if run.failed:\n", "    if False:\n")),
    mutant("extract-overwrites-always", "EXT-051", "extract", "what is there is always replaced", NAME_TWICE, (T, "        if not allowed:\n            raise\n", "")),
]

OTHERS = [
    mutant("chunk-key-ignored", "BLOB-071", "chunk", "digests of chunks without the key", ("adapter", "blob.digest_of(data[s:e], key is not None, key)", "blob.digest_of(data[s:e], False, None)")),
    mutant("idx-ctime-unsigned", "IDX-003", "idx", "ctime read as unsigned", ("oracle.index", 'struct.unpack_from("<q", raw, 24)', 'struct.unpack_from("<Q", raw, 24)')),
    mutant("exclude-name-text", "CRT-073", "exclude create", "\\\\xHH in a pattern is decoded before it is a pattern", ("adapter", 'call.patterns("exclude")', 'call.names("exclude")')),
]

TABLE = [*NAMES, *ITEMS, *LOOK_UP, *EXTRACT, *OTHERS]
