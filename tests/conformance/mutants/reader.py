# SPDX-License-Identifier: MIT
"""Readers with one defect each: what they wrongly refuse, what they read wrongly, and every check left out."""
from __future__ import annotations

from conformance.mutants import hostile
from conformance.mutants.model import Mutant, dropped_checks, mutant

PXAR = "pxar verify access extract"
P, I, B, X, C, M, K = "oracle.pxar", "oracle.pxar_items", "oracle.blob", "oracle.index", "oracle.catalog", "oracle.manifest", "oracle.crypto"

ARCHIVE = [
    mutant("entry-v1-refused", "PXAR-062", PXAR, "knows the present ENTRY only", (P, 'if item.type not in ("ENTRY", "ENTRY_V1"):', 'if item.type != "ENTRY":')),
    mutant("entry-padding-read", "PXAR-055", PXAR, "demands zeros in ENTRY's padding, as old writers did not write them",
           (P, "        kind = KINDS.get(stat.S_IFMT", '        if item.type == "ENTRY" and any(raw[36:]):\n            raise OracleError("PXAR-055", item.offset, "padding")\n'
            "        kind = KINDS.get(stat.S_IFMT")),
    mutant("version-1-refused", "PXAR-041", PXAR, "refuses an explicit FORMAT_VERSION 1", (P, "self.version not in (1, 2)", "self.version != 2")),
    mutant("documented-entry", "PXAR-057", PXAR, "reads ENTRY as the published diagram draws it: 64-bit owner", (I, 'struct.Struct("<QQIIqII")', 'struct.Struct("<QIQIqII")')),
    mutant("time-unsigned", "PXAR-052", PXAR, "times before 1970 are read as unsigned", (I, 'struct.Struct("<QQIIqII")', 'struct.Struct("<QQIIQII")')),
    mutant("nanoseconds-lost", "PXAR-050", PXAR, "keeps whole seconds only", (I, "return self.mtime_secs * 1_000_000_000 + self.mtime_nanos", "return self.mtime_secs * 1_000_000_000")),
    mutant("seconds-32-bit", "PXAR-050", PXAR, "seconds are cut to 32 bits", (I, "return self.mtime_secs * 1_000_000_000", "return (self.mtime_secs & 0xFFFFFFFF) * 1_000_000_000")),
    mutant("set-id-lost", "PXAR-050", PXAR, "drops set-id and sticky bits", ("conformance.oracle_views", "entry.mode & 0o7777", "entry.mode & 0o777")),
    mutant("owner-16-bit", "PXAR-050", PXAR, "owners are cut to 16 bits", ("conformance.oracle_views", '"uid": str(entry.uid)', '"uid": str(entry.uid & 0xFFFF)')),
    mutant("owner-signed", "PXAR-050", PXAR, "groups are read as signed", (I, 'struct.Struct("<QQIIqII")', 'struct.Struct("<QQIiqII")')),
    mutant("owner-swapped", "PXAR-050", PXAR, "group in the place of the owner", (P, "entry.flags, entry.uid, entry.gid, entry.mtime_secs", "entry.flags, entry.gid, entry.uid, entry.mtime_secs")),
    mutant("flags-lost", "PXAR-050", PXAR, "leaves the flags of ENTRY out", ("conformance.oracle_views", "    if entry.flags:", "    if False:")),
    mutant("xattr-value-cut", "PXAR-086", PXAR, "values of attributes end at a NUL", (P, "entry.xattrs.append((name, value))", 'entry.xattrs.append((name, value.partition(b"\\0")[0]))')),
    mutant("xattr-one-only", "PXAR-032", PXAR, "one attribute an entry", (P, "if order < rank or order == rank and not repeats:", "if order <= rank:")),
    mutant("fcaps-lost", "PXAR-088", PXAR, "skips FCAPS", (P, "                entry.fcaps = raw", "                pass")),
    mutant("acl-owner-lost", "PXAR-106", PXAR, "takes the mode's group bits for the group's permissions, with an ACL too",
           (P, "acl.group_obj = self.permission(item, numbers[0])", "self.permission(item, numbers[0])")),
    mutant("acl-default-order", "PXAR-100", PXAR, "mask and other exchanged in ACL_DEFAULT", (P, "(values[0], values[1], values[2], values[3])", "(values[0], values[1], values[3], values[2])")),
    mutant("acl-no-mask-refused", "PXAR-109", PXAR, "refuses the value that stands for a missing mask", (P, "n if n == NO_MASK else self.permission(item, n)", "self.permission(item, n)")),
    mutant("acl-default-users-lost", "PXAR-100", PXAR, "named default users become access users", (P, '"ACL_DEFAULT_USER": acl.default_users', '"ACL_DEFAULT_USER": acl.users')),
    mutant("symlink-short", "PXAR-072", PXAR, "targets of links up to 255 bytes", (I, '"SYMLINK": (2, 4097)', '"SYMLINK": (2, 256)')),
    mutant("name-255-refused", "PXAR-071", PXAR, "names up to 254 bytes", (I, '"FILENAME": (2, 4097)', '"FILENAME": (2, 255)')),
    mutant("names-utf8", "PXAR-071", PXAR, "names have to be UTF-8", (P, "        frame.names.add(name)", "        name.decode()\n        frame.names.add(name)")),
    mutant("name-backslash", "PXAR-071", PXAR, "takes a backslash for a separator", (P, 'if b"/" in name or name', 'if b"/" in name or b"\\\\" in name or name')),
    mutant("device-swapped", "PXAR-079", PXAR, "minor and major number exchanged", (P, "major, minor = raw[:8], raw[8:]", "minor, major = raw[:8], raw[8:]")),
    mutant("link-from-item", "PXAR-074", PXAR, "distance of a hard link counted from its HARDLINK item", (P, "target = entry.start - distance", "target = entry.entry - distance")),
    mutant("link-absolute", "PXAR-075", PXAR, "paths of hard links taken relative to the directory of the link",
           (P, "entry.link = Link(path, distance, target)", 'entry.link = Link((entry.path.rpartition(b"/")[0] + b"/" + path).lstrip(b"/"), distance, target)')),
    mutant("link-to-link", "PXAR-277", PXAR, "a hard link may be the target of another", (P, '            if entry.kind == "file":\n                self.files', '            if entry.kind in ("file", "hardlink"):\n                self.files')),
    mutant("link-twice-refused", "PXAR-074", PXAR, "two links to one file are refused", (P, "entry.link = Link(path, distance, target)", "entry.link = Link(path, distance, target)\n        del self.files[target]")),
    mutant("payload-header-missed", "PXAR-131", PXAR, "a reference leads to the data, not to the header before it", (P, 'return Content("payload", offset, offset + 16, size)', 'return Content("payload", offset, offset, size)')),
    mutant("payload-tail-only", "PXAR-133", PXAR, "takes the payload stream without start marker: references 16 too small", (P, 'return Content("payload", offset, offset + 16, size)', 'return Content("payload", offset, offset + 32, size)')),
    mutant("holes-refused", "PXAR-242", PXAR, "payload that nothing refers to is refused", (P, "if not self.lax_refs and offset < self.consumed:", "if offset > max(self.consumed, 16):")),
    mutant("references-backwards", "CDM-131", PXAR, "references may go backwards, as a client before 4.1.7 wrote them", (P, "if not self.lax_refs and offset < self.consumed:", "if False:")),
    mutant("split-sizes-fixed", "PXAR-157", PXAR, "refuses goodbye sizes that include the content", (P, "sizes = (size, size + entry.content.size)", "sizes = (size,)")),
    mutant("split-sizes-reused", "PXAR-158", PXAR, "refuses goodbye sizes without the content, which re-used payload has", (P, "sizes = (size, size + entry.content.size)", "sizes = (size + entry.content.size,)")),
    mutant("prelude-refused", "PXAR-042", PXAR, "no item between version and root", (P, 'if item.type != "PRELUDE":', "if True:")),
    mutant("prelude-lost", "PXAR-042", "pxar", "skips the prelude", (P, "self.prelude = self.content(item)", "self.prelude = None")),
    mutant("garbage-without-payload", "PXAR-278", PXAR, "reads contents out of the archive when the payload is missing", (P, 'source = self.archive if content.where == "archive" else self.payload', "source = self.payload or self.archive")),
    mutant("short-content", "PXAR-226", PXAR, "takes the end of the stream for the end of the file",
           (P, "        if pos + size > self.archive.size:", '        if pos + size > self.archive.size and name != "PAYLOAD":'),
           ("oracle.archive_tree", "    if entry.content is None or size != entry.content.size:  # PXAR-226", "    if False:")),
    mutant("goodbye-ignored", "PXAR-150", "verify", "skips the goodbye tables", (P, "                self.check_goodbye(frame, item)\n", "")),
    mutant("goodbye-hash-order", "PXAR-170", PXAR, "tables sorted, not in the order of the search tree", (P, "enumerate(tree_order(len(hashes)))", "enumerate(range(len(hashes)))")),
    mutant("goodbye-key", "PXAR-010", PXAR, "another key for the name hash", (I, "0x83AC3F1CFBB450DB", "0x83AC3F1CFBB450DA")),
    mutant("goodbye-tail-from-name", "PXAR-153", PXAR, "tail counted from FILENAME", (P, "base = frame.entry.entry if frame.entry.path else self.base", "base = frame.entry.start if frame.entry.path else self.base")),
    mutant("empty-directory-refused", "PXAR-152", PXAR, "a table with a tail alone is refused", (I, '"GOODBYE": (24, M64)', '"GOODBYE": (48, M64)')),
    mutant("empty-file-refused", "PXAR-070", PXAR, "PAYLOAD without content is refused", (P, '            case "PAYLOAD":\n', '            case "PAYLOAD" if item.size == 16:\n                raise OracleError("PXAR-070", item.offset, "empty")\n            case "PAYLOAD":\n')),
    mutant("sorted-only", "PXAR-034", PXAR, "names have to be sorted", (P, "        frame.names.add(name)", "        if frame.names and name < max(frame.names):\n            raise OracleError('PXAR-034', item.offset, 'order')\n        frame.names.add(name)")),
    mutant("one-level-lost", "PXAR-035", PXAR, "paths without the upper directories", (P, 'path = frame.entry.path + b"/" + name if frame.entry.path else name', 'path = frame.entry.path.rpartition(b"/")[2] + b"/" + name if frame.entry.path else name')),
    mutant("last-entry-lost", "PXAR-037", PXAR, "sockets and fifos swallow the next entry", (P, 'if item.type in ("FILENAME", "GOODBYE", "APPENDIX"):\n                return', 'if item.type in ("FILENAME", "GOODBYE", "APPENDIX"):\n                entry.end += item.size if item.type == "FILENAME" and entry.kind != "dir" else 0\n                return')),
    mutant("lookup-by-basename", "PXAR-260", "access", "finds an entry by its last name alone", ("adapter", "by_path = {e.path: entry_view(reader, e) for e in reader}", "by_path = {e.path.rpartition(b'/')[2]: entry_view(reader, e) for e in reader}")),
    mutant("lookup-missing-fails", "PXAR-260", "access", "a path that is not there is an error", ("adapter", "        if found is None:\n            return None\n", "")),
    mutant("lookup-root-missing", "PXAR-260", "access", "the root cannot be looked up", ("adapter", "for e in reader}\n    call.view({\"found\"", "for e in reader if e.path}\n    call.view({\"found\"")),
    mutant("items-size-without-header", "PXAR-003", "pxar", "item sizes without their header", ("adapter", '"size": str(i.size)} for i in sorted', '"size": str(i.size - 16)} for i in sorted')),
    mutant("items-goodbye-lost", "PXAR-150", "pxar", "does not list the goodbye tables", (P, "                frame.entry.items.append(item)\n", "")),
]

EXTRACT = [
    mutant("extract-times-early", "EXT-061", "extract", "directory times set before the contents are made", ("oracle.archive_tree", "            self.late.append(entry)", "            self.late.append(entry)\n            apply_metadata(entry, full)\n            self.late.pop()")),
    mutant("extract-no-owner", "EXT-060", "extract", "owners are not restored", ("oracle.archive_tree", "    os.chown(full, entry.uid, entry.gid, follow_symlinks=False)\n", "")),
    mutant("extract-owner-last", "EXT-060", "extract", "owner after mode: set-id bits get lost",
           ("oracle.archive_tree", "    os.chown(full, entry.uid, entry.gid, follow_symlinks=False)\n    for name", "    for name"),
           ("oracle.archive_tree", "    os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)", "    os.chown(full, entry.uid, entry.gid, follow_symlinks=False)\n    os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)")),
    mutant("extract-no-xattrs", "EXT-065", "extract", "attributes are not restored", ("oracle.archive_tree", "    yield from ((name, value) for name, value in entry.xattrs if storable(name))\n", "")),
    mutant("extract-no-fcaps", "EXT-060", "extract", "capabilities are not restored", ("oracle.archive_tree", "        yield CAPABILITY, entry.fcaps", "        return")),
    mutant("extract-no-acls", "EXT-069", "extract", "ACLs are not restored", ("oracle.archive_tree", "    yield from acl.to_raw(entry.acl, entry.mode).items()\n\n\ndef as_json", "\n\ndef as_json")),
    mutant("extract-no-mode", "EXT-060", "extract", "modes are left as created", ("oracle.archive_tree", "os.chmod(full, stat.S_IMODE(entry.mode))", "pass")),
    mutant("extract-umask", "EXT-060", "extract", "modes without set-id bits", ("oracle.archive_tree", "os.chmod(full, stat.S_IMODE(entry.mode))", "os.chmod(full, entry.mode & 0o777)")),
    mutant("extract-no-mtime", "EXT-060", "extract", "times are not restored", ("oracle.archive_tree", "    os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)\n", "")),
    mutant("extract-link-copied", "EXT-030", "extract", "hard links become copies", ("oracle.archive_tree", "replacing(full, self.over.hardlinks, lambda: os.link(old, full, follow_symlinks=False))", "__import__('shutil').copy2(old, full)")),
    mutant("extract-no-flags", "EXT-060", "extract", "inode flags are not restored", ("oracle.archive_tree", "            fsattr.set_inode_flags(fd, entry.flags)", "            pass")),
    mutant("extract-device-as-fifo", "EXT-040", "extract", "devices without numbers", ("oracle.archive_tree", "os.makedev(major, minor) if entry.device else 0", "0")),
]

BLOBS = [
    mutant("blob-crc-ignored", "BLOB-010", "blob", "does not look at the CRC", (B, "zlib.crc32(blob.payload) != blob.crc", "False")),
    mutant("blob-crc-whole", "BLOB-011", "blob", "CRC over tag and IV too", (B, "return Blob(kind, crc, raw[44:], raw[12:28], raw[28:44])", "return Blob(kind, crc ^ 1, raw[44:], raw[12:28], raw[28:44])")),
    mutant("blob-tag-ignored", "BLOB-056", "blob", "decrypts without looking at the tag", (K, "return decryptor.update(data) + decryptor.finalize()", "return decryptor.update(data)")),
    mutant("blob-iv-and-tag-exchanged", "BLOB-040", "blob", "tag before IV", (B, "raw[44:], raw[12:28], raw[28:44]", "raw[44:], raw[28:44], raw[12:28]")),
    mutant("blob-digest-ignored", "BLOB-059", "blob", "does not compare the digest", (B, "digest is not None and digest_of", "False and digest_of")),
    mutant("blob-digest-plain", "BLOB-070", "blob", "digest of encrypted blobs without the key", (B, "    if not blob_encrypted:\n", "    if True:\n")),
    mutant("blob-length-ignored", "BLOB-061", "blob", "does not compare the length", (B, "size is not None and len(data) != size", "False")),
    mutant("blob-frame-size-needed", "BLOB-027", "blob", "needs the content size in the zstd frame, which old writers left out",
           (B, "        frame, pos = zstandard", "        if zstandard.frame_content_size(data) < 0:\n            raise OracleError('BLOB-027', 0, 'size')\n        frame, pos = zstandard")),
    mutant("blob-one-frame", "BLOB-053", "blob", "decodes the first zstd frame only", (B, "        data = frame.unused_data + data[pos:]", "        data = b''")),
    mutant("blob-cut-frame", "BLOB-054", "blob", "takes what a cut zstd frame yields", (B, "        if not frame.eof:\n            raise", "        if False:\n            raise")),
    mutant("blob-skippable-refused", "BLOB-053", "blob", "refuses skippable frames", (B, "            length = 8 + int.from_bytes(data[4:8], \"little\")\n", "            raise OracleError('BLOB-053', 0, 'skippable frame')\n            length = 0\n")),
    mutant("blob-kind-by-length", "BLOB-001", "blob", "takes any magic for uncompressed", (B, 'if raw[:8] == magic), None)', 'if raw[:8] == magic), "uncompressed")')),
    mutant("blob-empty-refused", "BLOB-020", "blob", "refuses empty contents", (B, "    if len(raw) < 12:", "    if len(raw) < 13:")),
    mutant("blob-missing-key", "BLOB-055", "blob", "without a key hands out the ciphertext", (B, '            raise OracleError("BLOB-055", None, "encrypted and no key given", "missing-key")', "            return data")),
]

INDEXES = [
    mutant("idx-csum-ignored", "IDX-010", "idx", "does not compare the checksum", (X, "if strict and index.stored_csum != index.csum:", "if False:")),
    mutant("idx-csum-of-file", "IDX-010", "idx", "checksum over the whole file", (X, "hashlib.sha256(raw[HEADER_SIZE:]).digest(), size)", "hashlib.sha256(raw).digest(), size)")),
    mutant("idx-16k-header", "IDX-013", "idx", "header of 16384 bytes", (X, "HEADER_SIZE = 4096", "HEADER_SIZE = 16384")),
    mutant("idx-magic-ignored", "IDX-015", "idx", "kind from the name, magic not looked at", (X, '    if kind is not None and raw[:8] != {"dynamic": DIDX_MAGIC, "fixed": FIDX_MAGIC}.get(kind):', '    raw = {"dynamic": DIDX_MAGIC, "fixed": FIDX_MAGIC}[kind or "dynamic"] + raw[8:]\n    if False:')),
    mutant("idx-kind-ignored", "IDX-015", "idx", "takes an index of the other kind", (X, "    if kind is not None and raw[:8] !=", "    if False and raw[:8] !=")),
    mutant("idx-big-endian", "IDX-003", "idx", "ctime in the wrong byte order", (X, 'struct.unpack_from("<q", raw, 24)', 'struct.unpack_from(">q", raw, 24)')),
    mutant("idx-uuid-guid", "IDX-002", "idx", "UUID in the mixed order of a GUID", (X, "return Index(kind, raw[8:24]", "return Index(kind, __import__('uuid').UUID(bytes_le=raw[8:24]).bytes")),
    mutant("idx-end-off-by-one", "IDX-020", "idx", "ends taken as the last byte", (X, "index.chunks.append((start, end, digest))", "index.chunks.append((start, end + 1, digest))")),
    mutant("idx-lookup-left", "IDX-030", "idx", "an offset at a chunk's end is looked up in that chunk", (X, "if offset < self.chunks[middle][1]:", "if offset <= self.chunks[middle][1]:")),
    mutant("idx-lookup-end", "IDX-030", "idx", "the offset behind the last byte is in the last chunk", (X, "if offset >= self.size:", "if offset > self.size:")),
    mutant("idx-last-chunk-full", "IDX-051", "idx", "the last chunk of an image is full", (X, "min((i + 1) * chunk_size, size), digest", "(i + 1) * chunk_size, digest")),
    mutant("idx-partial-entry", "IDX-016", "idx", "a cut last entry is left out", (X, "    body = raw[HEADER_SIZE:]\n    if", "    body = raw[HEADER_SIZE:len(raw) - (len(raw) - HEADER_SIZE) % 40]\n    if")),
]

CATALOGS = [
    mutant("cat-time-unsigned", "CAT-034", "cat", "times read as unsigned numbers", (C, "        item.mtime, pos = get_i64(table, pos)\n", "        item.mtime, pos = get_u64(table, pos)\n")),
    mutant("cat-time-sign-lost", "CAT-034", "cat", "times before 1970 lose their sign", (C, "            return -value if value < 1 << 63 else value - (1 << 64), pos + i + 1", "            return value, pos + i + 1")),
    mutant("cat-number-seven", "CAT-030", "cat", "numbers of more than nine bytes are refused", (C, "    for i in range(10):", "    for i in range(9):")),
    mutant("cat-root-first", "CAT-002", "cat", "the first table is the root's", (C, 'start=int.from_bytes(data[-8:], "little")', "start=8")),
    mutant("cat-offset-absolute", "CAT-020", "cat", "directory offsets counted from the beginning", (C, "        item.start = start - offset\n", "        item.start = offset\n")),
    mutant("cat-empty-directory", "CAT-042", "cat", "tables without entries are refused", (C, "    if length == 0:", "    if length <= 1:")),
    mutant("cat-order-lost", "CAT-011", "cat", "the entries of a directory backwards", ("adapter", "for child in reversed(item.children)]", "for child in item.children]")),
    mutant("cat-hardlink-unknown", "CAT-010", "cat", "hard links are an unknown type", (C, 'frozenset("dflhbcps")', 'frozenset("dflbcps")')),
    mutant("cat-files-only", "CAT-010", "cat", "lists files and directories only", ("adapter", "        entries.append(one)\n", '        if item.type in "df":\n            entries.append(one)\n')),
]

MANIFESTS = [
    mutant("man-signature-ignored", "MAN-048", "man", "does not check the signature", (M, "    if key is None or manifest.signature is None:  # MAN-051", "    if True:")),
    mutant("man-signature-demanded", "MAN-051", "man", "with a key, a manifest without signature is refused", (M, "    if key is None or manifest.signature is None:  # MAN-051\n        return", "    if key is None:\n        return\n    if manifest.signature is None:\n        raise OracleError('MAN-051', None, 'unsigned')")),
    mutant("man-signs-unprotected", "MAN-044", "man", "`unprotected` is signed too", (M, "canonical(manifest.signed_value())", 'canonical(manifest.signed_value() | {"unprotected": {}})')),
    mutant("man-key-order", "MAN-040", "man", "signs the members in the order of the text", (M, "pairs = sorted((k.encode(), v) for k, v in value.items())", "pairs = [(k.encode(), v) for k, v in value.items()]")),
    mutant("man-escapes", "MAN-043", "man", "signs text with \\u escapes beyond ASCII", (M, "    return '\"' + \"\".join(ESCAPES", "    return json.dumps(text)\n    return '\"' + \"\".join(ESCAPES")),
    mutant("man-mode-needed", "MAN-017", "man", "crypt-mode may not be missing", (M, 'if "crypt-mode" in value else "none"', 'if True else "none"')),
    mutant("man-unknown-refused", "MAN-020", "man", "unknown members are refused", (M, "    files = [_parse_file(one) for one", "    if value.keys() - {'backup-id', 'backup-time', 'backup-type', 'files', 'signature', 'unprotected'}:\n        raise OracleError('MAN-020', None, 'unknown')\n    files = [_parse_file(one) for one")),
    mutant("man-other-key", "MAN-052", "man", "does not compare the key's fingerprint", ("adapter", "        manifest.check_fingerprint(found, key)", "        pass"), (M, "if stored is not None and stored != key.fingerprint:\n        raise OracleError(\"MAN-048\"", "if False:\n        raise OracleError(\"MAN-048\"")),
    mutant("man-size-32-bit", "MAN-018", "man", "sizes are cut to 32 bits", (M, "return File(name, size, raw, mode)", "return File(name, size & 0xFFFFFFFF, raw, mode)")),
    mutant("man-blob-refused", "MAN-001", "man", "does not know manifests in blobs", ("adapter", 'blob.decode(call.data("index.json.blob")) if', 'call.data("index.json.blob") if')),
    mutant("man-files-sorted", "MAN-016", "man", "files sorted by name", ("adapter", "for f in found.files]}", "for f in sorted(found.files, key=lambda f: f.filename, reverse=True)]}")),
]

KEYS = [
    mutant("key-fingerprint-trusted", "CRY-024", "key", "shows the stored fingerprint, right or not", (K, "if self.fingerprint is not None and self.fingerprint != key.fingerprint:", "if False:")),
    mutant("key-no-pbkdf2", "CRY-021", "key", "knows scrypt only", (K, '"PBKDF2": {"iter", "salt"}}', "}")),
    mutant("key-scrypt-fixed", "CRY-031", "key", "ignores the parameters of scrypt", (K, 'n, r, p = parameters["n"], parameters["r"], parameters["p"]', "n, r, p = 65536, 8, 1")),
    mutant("key-fingerprint-of-key", "CRY-006", "key", "fingerprint is the key's SHA-256", (K, "self.fingerprint = self.digest(FINGERPRINT_INPUT)", "self.fingerprint = hashlib.sha256(enc_key).digest()")),
    mutant("key-digest-prefix", "CRY-004", "key chunk blob", "keyed digests with the key in front", (K, "return hashlib.sha256(data + self.id_key).digest()", "return hashlib.sha256(self.id_key + data).digest()")),
    mutant("key-iterations", "CRY-002", "key chunk blob man", "another number of iterations for the id key", (K, 'b"_id_key", 10, 32', 'b"_id_key", 1000, 32')),
    mutant("key-local-time", "CRY-022", "key", "ignores the zone of times", (K, "return int(datetime.strptime(text, form).timestamp())", "return int(datetime.strptime(text[:19] + '+0000', form).timestamp())")),
    mutant("key-any-passphrase", "CRY-034", "key", "passphrases may be short", (K, "if len(password) < 5:", "if False:")),
    mutant("key-length-any", "CRY-027", "key", "keys may have any length", (K, "if len(enc_key) != 32:", "if False:")),
    mutant("key-hint-lost", "CRY-020", "key", "does not know the hint", ("adapter", '({"hint": found.hint} if found.hint is not None else {})', "{}")),
]


def checks() -> list[Mutant]:
    """Every check of the independent reader, left out."""
    return [*dropped_checks(P, PXAR), *dropped_checks(B, "blob", ("parse", "load", "decompress", "plain", "decode")),
            *dropped_checks(X, "idx", ("parse", "_parse_dynamic", "_parse_fixed")), *dropped_checks(C, "cat"),
            *dropped_checks(M, "man", ("_typed", "_parse_file", "parse", "verify", "check_fingerprint")), *dropped_checks(K, "key blob"),
            *dropped_checks("oracle.chunker", "chunk"), *dropped_checks("oracle.archive_tree", PXAR, ("content_digest", "_write_file"))]


TABLE = [*ARCHIVE, *EXTRACT, *BLOBS, *INDEXES, *CATALOGS, *MANIFESTS, *KEYS, *hostile.TABLE]
