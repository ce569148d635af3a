# SPDX-License-Identifier: MIT
"""Writers and chunkers with one defect each."""
from __future__ import annotations

from conformance.mutants.model import Mutant, dropped_checks, mutant

W, A, T, F, H, B, L = "oracle.pxar_write", "oracle.acl", "oracle.tree", "oracle.patterns", "oracle.chunker", "oracle.blob", "oracle.fsattr"

CREATE = [
    mutant("write-unsorted", "CRT-021", "create", "names in descending order", (T, "in sorted(e.name for e in names)", "in sorted((e.name for e in names), reverse=True)")),
    mutant("write-padding", "PXAR-055", "create", "garbage in ENTRY's padding", (W, "entry.mtime_secs, entry.mtime_nanos, 0))", "entry.mtime_secs, entry.mtime_nanos, 1))")),
    mutant("write-nanoseconds-lost", "PXAR-050", "create", "whole seconds only", (W, "entry.mtime_secs, entry.mtime_nanos, 0))", "entry.mtime_secs, 0, 0))")),
    mutant("write-mode-permissions", "PXAR-050", "create", "mode without the type", (W, "STAT.pack(entry.mode,", "STAT.pack(entry.mode & 0o7777,")),
    mutant("write-owner-swapped", "PXAR-050", "create", "group in the place of the owner", (W, "st.st_uid, st.st_gid, secs", "st.st_gid, st.st_uid, secs")),
    mutant("write-xattr-no-nul", "PXAR-086", "create", "no NUL between name and value of an attribute", (W, 'name + b"\\0" + value)', "name + value)")),
    mutant("write-fcaps-first", "PXAR-031", "create", "capabilities before the attributes", (W, "        for name, value in entry.xattrs:", "        if entry.fcaps is not None:\n            self.item(\"FCAPS\", entry.fcaps)\n            entry.fcaps = None\n        for name, value in entry.xattrs:")),
    mutant("write-no-xattrs", "CRT-105", "create", "no attributes", (W, "if fsattr.XATTRS in features and self.options.xattrs:", "if False:")),
    mutant("write-fcaps-as-xattr", "CRT-106", "create", "capabilities as an attribute of that name", (W, "fcaps = found.pop(CAPABILITY, None)", "fcaps = None")),
    mutant("write-acl-as-xattr", "CRT-106", "create", "no ACLs", (W, "if self.options.acls and fsattr.ACLS in features:", "if False:")),
    mutant("write-acl-minimal", "PXAR-107", "create", "ACL_GROUP_OBJ without a mask too", (A, "if _only(records, MASK) is not None:", "if True:")),
    mutant("write-acl-mask-zero", "PXAR-109", "create", "a missing default mask becomes 0", (A, "(NO_MASK if perm is None else perm for perm in fixed)", "(0 if perm is None else perm for perm in fixed)")),
    mutant("write-flags-lost", "CRT-120", "create", "no inode flags", (W, "entry.flags = fsattr.get_inode_flags(fd)", "entry.flags = 0")),
    mutant("write-link-copied", "CRT-143", "create", "hard links as files of their own", (W, "if st.st_nlink > 1:", "if False:")),
    mutant("write-link-from-item", "PXAR-074", "create", "distance of hard links counted from the HARDLINK item", (W, '(start - entry.link.target).to_bytes', "(self.pos - entry.link.target).to_bytes")),
    mutant("write-link-relative", "PXAR-073", "create", "hard links name the last part of the path", (W, '+ entry.link.path + b"\\0")', '+ entry.link.path.rpartition(b"/")[2] + b"\\0")')),
    mutant("write-symlink-no-nul", "PXAR-072", "create", "no NUL behind the target of a link", (W, 'self.item("SYMLINK", entry.target + b"\\0")', 'self.item("SYMLINK", entry.target)')),
    mutant("write-name-no-nul", "PXAR-071", "create", "no NUL behind names", (W, '        start, content = self.pos, entry.content\n        assert content is not None\n        self.item("FILENAME", name + b"\\0")', '        start, content = self.pos, entry.content\n        assert content is not None\n        self.item("FILENAME", name)')),
    mutant("write-device-makedev", "PXAR-079", "create", "the number of a device in one piece", (W, 'self.numbers("DEVICE", *entry.device)', 'self.numbers("DEVICE", 0, entry.device[0] << 8 | entry.device[1])')),
    mutant("write-goodbye-sorted", "PXAR-170", "create", "tables sorted by hash", (W, "for i in tree_order(len(records)))", "for i in range(len(records)))")),
    mutant("write-goodbye-size", "PXAR-154", "create", "sizes counted from ENTRY", (W, "self.pos - start + extra))", "self.pos - start - 17 - len(name) + extra))")),
    mutant("write-goodbye-tail", "PXAR-153", "create", "tails counted from FILENAME", (W, "self.dirs.append((start, self.pos, name, []))", "self.dirs.append((start, start, name, []))")),
    mutant("write-goodbye-root", "PXAR-153", "create", "the root's tail counted from its ENTRY", (W, 'self.dirs.append((0, 0, b"", []))', 'self.dirs.append((0, self.pos, b"", []))')),
    mutant("write-split-sizes", "PXAR-157", "create", "split: sizes without the content", (W, "content.size if new_in_payload else 0", "0")),
    mutant("write-split-start", "PXAR-134", "create", "split: no start marker", (W, 'self.out_payload(HEADER.pack(CODE["PAYLOAD_START"], 16))', "pass")),
    mutant("write-split-tail", "PXAR-135", "create", "split: no tail marker", (W, 'self.out_payload(HEADER.pack(CODE["PAYLOAD_TAIL"], 16))', "pass")),
    mutant("write-split-version", "PXAR-040", "create", "split: no version", (W, '            self.item("FORMAT_VERSION", (2).to_bytes(8, "little"))\n', "")),
    mutant("write-split-refs-to-data", "PXAR-131", "create", "split: references lead to the data", (W, 'self.numbers("PAYLOAD_REF", self.payload_pos, content.size)', 'self.numbers("PAYLOAD_REF", self.payload_pos + 16, content.size)')),
    mutant("write-split-no-header", "PXAR-131", "create", "split: no PAYLOAD headers in the payload stream", (W, 'self.out_payload(HEADER.pack(CODE["PAYLOAD"], 16 + content.size))', "pass")),
    mutant("write-payload-size", "PXAR-070", "create", "size of PAYLOAD without its header", (W, 'self.out(HEADER.pack(CODE["PAYLOAD"], 16 + content.size))', 'self.out(HEADER.pack(CODE["PAYLOAD"], content.size))')),
    mutant("write-prelude-lost", "CRT-057", "create", "exclude patterns of the command line are not stored in a split archive", (W, "        if not self.initial:\n            return None\n", "        return None\n")),
    mutant("write-cli-file-lost", "CRT-056", "create exclude", "exclude patterns of the command line are not stored", (W, "if (self.encoder.payload is None or self.options.draft) and self.initial:", "if False:")),
    mutant("write-root-lost", "PXAR-033", "create", "the root without its attributes", (W, "        self.stat(entry)\n\n    def close_dir", "        if name is None:\n            entry.xattrs, entry.acl = [], type(entry.acl)()\n        self.stat(entry)\n\n    def close_dir")),
    mutant("write-holes-dropped", "CRT-140", "create", "holes of files are left out", (W, 'piece = data.read(min(size, 1 << 20))', 'piece = data.read(min(size, 1 << 20)).rstrip(b"\\0")')),
    mutant("write-xattr-sorted", "CRT-108", "create", "attributes sorted, not in the order of the kernel", (W, "entry.xattrs = list(found.items())", "entry.xattrs = sorted(found.items(), reverse=True)")),
    mutant("write-unstatted-fatal", "CDM-147", "create", "before 4.2.2: a name that cannot be stat'ed ends the run", (T, "(errno.ENOENT, errno.EACCES, errno.ESTALE)", "(errno.ENOENT, errno.ESTALE)")),
]

EXCLUDE = [
    mutant("exclude-anchored-in-subdirectory", "CDM-148", "exclude create", "before 4.1.7: anchored lines of a nested .pxarexclude never match", (F, 'line = (b"/" + directory if directory else b"") + line', 'line = (directory if directory else b"") + line')),
    mutant("exclude-not-normalised", "CDM-149", "exclude create", "before 4.1.13: patterns with ./ or .. never match", (F, "out.append(parse(normalise(line), include, anchored))", "out.append(parse(line, include, anchored))")),
    mutant("exclude-first-match", "CRT-092", "exclude create", "the first pattern that matches decides", (F, "for pattern in reversed(self.patterns):", "for pattern in self.patterns:")),
    mutant("exclude-outlives-directory", "CRT-051", "exclude create", "lines of a nested file act beyond its directory", (F, "        del self.patterns[self.marks.pop():]", "        self.marks.pop()")),
    mutant("exclude-file-ignored", "CRT-043", "exclude create", "does not read .pxarexclude", (F, "self.patterns += parse_exclude_file(_read_exclude(full), path)", "pass")),
    mutant("exclude-comment-matches", "CRT-043", "exclude create", "lines with # are patterns", (F, 'if not line or line.startswith(b"#"):', "if not line:")),
    mutant("exclude-spaces-kept", "CRT-043", "exclude create", "spaces around a line are part of it", (F, 'line = line.strip(b" \\t\\r\\n\\f")', "line = line")),
    mutant("exclude-include-ignored", "CRT-070", "exclude create", "! has no meaning", (F, "text, include = text[1:], not include", "text, include = text[1:], include")),
    mutant("exclude-file-include-ignored", "CRT-046", "exclude create", "! in a file has no meaning", (F, "include, line = True, line[1:]", "include, line = False, line[1:]")),
    mutant("exclude-star-matches-slash", "CRT-074", "exclude create", "* matches a slash", (F, 'return b"[^/]*", end', 'return b".*", end')),
    mutant("exclude-question-slash", "CRT-074", "exclude create", "? matches a slash", (F, 'out += b"[^/]"', 'out += b"."')),
    mutant("exclude-double-star", "CRT-075", "exclude create", "** is *", (F, "if end - pos < 2 or not before", "if True or not before")),
    mutant("exclude-double-star-needs-one", "CRT-076", "exclude create", "**/ needs a directory", (F, 'return b"(?:.*/)?", end + 1', 'return b".*/", end + 1')),
    mutant("exclude-directory-only-ignored", "CRT-089", "exclude create", "a slash at the end is ignored", (F, "if self.dirs_only and not is_dir():", "if False:")),
    mutant("exclude-always-anchored", "CRT-086", "exclude create", "patterns match whole paths only", (F, "if not self.anchored:  # CRT-086", "if False:")),
    mutant("exclude-never-anchored", "CRT-043", "exclude create", "a slash at the front does not anchor", (F, "            anchored = True\n", "")),
    mutant("exclude-class-bang", "CRT-079", "exclude create", "[!ab] is negated", (F, "    negate = at(pos) == 0x5E", "    negate = at(pos) in (0x5E, 0x21)")),
    mutant("exclude-class-bracket", "CRT-080", "exclude create", "] in the first place of a class is a member", (F, "    literal_dash = True  # first", "    if at(pos) == 0x5D and text.find(b']', pos + 1) > 0:\n        members.add(0x5D)\n        pos += 1\n    literal_dash = True  # first")),
    mutant("exclude-class-slash", "CRT-081", "exclude create", "a negated class does not match a slash", (F, "members = set(range(256)) - members if negate", "members = set(range(256)) - members - {0x2F} if negate")),
    mutant("exclude-escape", "CRT-073", "exclude create", "a backslash is a backslash", (F, 'if char == b"\\\\":  # CRT-072, CRT-073', "if False:")),
    mutant("exclude-case", "CRT-083", "exclude create", "case does not matter", (F, "re.compile(_translate(text), re.DOTALL)", "re.compile(_translate(text), re.DOTALL | re.IGNORECASE)")),
    mutant("exclude-newline", "CRT-074", "exclude create", "* does not match a newline", (F, 'return b"[^/]*", end', 'return b"[^/\\n]*", end')),
    mutant("exclude-parent-only", "CRT-023", "exclude create", "what is in an excluded directory is archived all the same", (T, "chosen.keep(", "(lambda *a: True)(")),
    *dropped_checks(F, "exclude create", ("parse", "_translate", "_class")),
]

BLOB = [
    mutant("encode-crc-with-header", "BLOB-011", "blob", "CRC over the magic too", (B, 'return MAGICS[kind] + struct.pack("<I", zlib.crc32(payload)) + payload', 'return MAGICS[kind] + struct.pack("<I", zlib.crc32(MAGICS[kind] + payload)) + payload')),
    mutant("encode-crc-big-endian", "BLOB-010", "blob", "CRC in the wrong byte order", (B, 'return MAGICS[kind] + struct.pack("<I"', 'return MAGICS[kind] + struct.pack(">I"')),
    mutant("encode-crc-plain", "BLOB-011", "blob", "CRC of encrypted blobs over the plain text", (B, 'struct.pack("<I", zlib.crc32(secret))', 'struct.pack("<I", zlib.crc32(payload))')),
    mutant("encode-compressed-always", "BLOB-033", "blob", "compressed even if that makes it longer", (B, "if len(packed) <= len(data):", "if True:")),
    mutant("encode-never-compressed", "BLOB-033", "blob", "never compressed", (B, "if len(packed) <= len(data):", "if False:")),
    mutant("encode-kind-wrong", "BLOB-001", "blob", "compressed contents under the magic of plain ones", (B, 'payload, kind = packed, "compressed"', 'payload, kind = packed, "uncompressed"')),
    mutant("encode-tag-first", "BLOB-040", "blob", "tag before IV", (B, "+ iv + tag + secret", "+ tag + iv + secret")),
    mutant("encode-ignores-key", "BLOB-040", "blob", "plain text although there is a key", (B, "    if key is None:\n        return MAGICS", "    if True:\n        return MAGICS")),
    mutant("encode-iv-12", "BLOB-041", "blob", "IV of 12 bytes, as is usual for GCM", ("oracle.crypto", "modes.GCM(iv)).encryptor()", "modes.GCM(iv[:12])).encryptor()")),
]

CHUNK = [
    mutant("cut-mask", "CHK-005", "chunk", "mask of the average itself", (H, "needle, lane_byte", "out[:] = out\n        needle, lane_byte"), (H, "return [end for end, h in found if h & (2 * avg - 1) >= 2 * avg - 3]", "return [end for end, h in found if h & (4 * avg - 1) >= 4 * avg - 3]")),
    mutant("cut-threshold", "CHK-031", "chunk", "cuts at the highest value only", (H, "if h & (2 * avg - 1) >= 2 * avg - 3]", "if h & (2 * avg - 1) >= 2 * avg - 1]")),
    mutant("cut-minimum", "CHK-004", "chunk", "minimum of half the average", (H, "        self.min, self.max, self.ends = avg // 4, avg * 4, array", "        self.min, self.max, self.ends = avg // 2, avg * 4, array")),
    mutant("cut-maximum", "CHK-004", "chunk", "maximum of twice the average", (H, "        self.min, self.max, self.ends = avg // 4, avg * 4, array", "        self.min, self.max, self.ends = avg // 4, avg * 2, array")),
    mutant("cut-minimum-exclusive", "CHK-032", "chunk", "no cut at exactly the minimum", (H, "self.start + max(self.min, WINDOW + 1)))", "self.start + max(self.min, WINDOW + 1) + 1))")),
    mutant("cut-before", "CHK-030", "chunk", "the byte that cuts belongs to the next chunk", (H, "        found = end - self.pos\n        self.reset(end)\n", "        end = max(end - 1, self.pos + 1)\n        found = end - self.pos\n        self.reset(end)\n")),
    mutant("cut-table", "CHK-020", "chunk", "a wrong table entry", (H, "    return values\n\n\nclass Scanner", "    return [values[0] ^ 1, *values[1:]]\n\n\nclass Scanner")),
    mutant("cut-rotation", "CHK-024", "chunk", "rotates to the right", (H, "        r = width % 32\n", "        r = -width % 32\n")),
    mutant("cut-window", "CHK-006", "chunk", "window of 32 bytes", (H, "    for width in (1, 2, 4, 8, 16, 32):", "    for width in (1, 2, 4, 8, 16):")),
    mutant("cut-empty-chunk", "CHK-062", "chunk", "an empty chunk at the end", ("adapter", "    starts = [0, *ends]\n", "    ends = [*ends, len(data)]\n    starts = [0, *ends]\n")),
    mutant("cut-last-lost", "CHK-062", "chunk", "what is left at the end is no chunk", (H, "pos = pos + step if step else len(data)\n        out.append(pos)", "pos = pos + step if step else len(data)\n        out += [pos] if step else []")),
    mutant("digest-unkeyed", "CHK-035", "chunk blob", "digests without the key", (B, "    if not blob_encrypted:\n", "    if True:\n")),
    mutant("fixed-off-by-one", "CHK-050", "chunk", "fixed chunks of a byte more", ("adapter", 'step = int(call.text("fixed"))', 'step = int(call.text("fixed")) + 1')),
    mutant("fixed-padded", "CHK-050", "chunk", "the last fixed chunk is full", ("adapter", "ends = [min(at + step, len(data)) for", "ends = [at + step for")),
    mutant("suggest-ignored", "CHK-073", "chunk", "suggested boundaries are ignored", (H, "        self.suggestions.append(boundary)", "        pass")),
    mutant("suggest-below-minimum", "CHK-073", "chunk", "a suggestion below the minimum is taken", (H, "elif boundary - base < self.min:", "elif boundary - base < 1:")),
    mutant("suggest-above-maximum", "CHK-073", "chunk", "a suggestion beyond the maximum is taken", (H, "elif boundary - base > self.max:", "elif boundary - base > 8 * self.max:")),
    mutant("suggest-past-kept", "CHK-073", "chunk", "suggestions that were passed block the queue", (H, "            if boundary < base + pos:\n                self.current = None", "            if boundary < base + pos:\n                return self.plain()")),
    mutant("suggest-no-reset", "CHK-074", "chunk", "the hash goes on behind a suggested cut", (H, "                self.scanner.reset(self.raw + boundary - base)\n", "")),
    mutant("inject-no-reset", "CHK-080", "chunk", "the hash goes on behind an injection", (H, "                self.scanner.reset(self.raw)\n", "")),
    mutant("inject-late", "CHK-079", "chunk", "an injection at the end of what was read waits for more data", (H, "self.pending[0] <= self.consumed + end", "self.pending[0] < self.consumed + end")),
    mutant("inject-not-counted", "CHK-083", "chunk", "injected bytes do not move the stream's offset", (H, "                self.consumed += size\n", "")),
    mutant("inject-left-over", "CHK-086", "chunk", "injections that are left over at the end are forgotten", (H, "        if self.pending or self.injections:\n            raise", "        if False:\n            raise")),
    mutant("stream-end-twice", "CDM-151", "chunk", "before 4.1.5: asks for data again after the end, and gives out an empty chunk", ("adapter", "for k, n, e in stream.finish() if n or k == \"inject\"]})", "for k, n, e in [*stream.finish(), ('raw', 0, 0)]]})")),
]

TABLE = [*CREATE, *EXCLUDE, *BLOB, *CHUNK]


def checks() -> list[Mutant]:
    return []
