# SPDX-License-Identifier: MIT
"""Mutants that no case can catch, with the reason: what is left out is said again by another check, or is no rule."""
from __future__ import annotations

import os

STRICTER = "the oracle is stricter than the rules here, readers may accept it"

REASONS: dict[str, str] = {
    "client-ignores-append": "the close that follows is refused, as its count does not fit",
    "exclude-never-anchored": "an anchored pattern keeps its slash, and no shorter part of a path begins with one",
    "write-acl-minimal": "an ACL without mask is no more than the mode, and the kernel does not store it",
    "reuse-sizes-of-table": "readers have to take both sizes, and archives are compared without them (CDM-130)",
    "unchecked-archive_tree-content_digest-PXAR-226": "the sizes of items were compared with the stream before, so contents are never short",
    "unchecked-archive_tree-write_file-PXAR-226": "the same",
    "unchecked-blob-parse-BLOB-050-2": "a tag that is cut short fits nothing",
    "unchecked-catalog-parse-CAT-041": "the place of the root's table is checked again where it is read",
    "unchecked-catalog-read_item-CAT-045": "whatever follows runs past the table, or its end is not met",
    "unchecked-catalog-read_item-CAT-047": "offset 0 leads to the table itself, which is refused as used twice; a larger one before the file's beginning",
    "unchecked-catalog-read_table-CAT-041": "a table outside the file has no length to read",
    "unchecked-catalog-read_table-CAT-041-2": "what is missing at the end is met when entries are read, or their number is too small for the table",
    "unchecked-catalog-read_table-CAT-042": "a table of length 0 has no number of entries to read",
    "unchecked-chunker-table-CHK-020": "guards the oracle's own table",
    "unchecked-crypto-decrypt-CRY-035": "a tag that is cut short fits nothing",
    "unchecked-crypto-parse_fingerprint-CRY-012": "what is no fingerprint is not the key's either",
    "unchecked-index-parse-IDX-005": STRICTER,
    "unchecked-manifest-check_fingerprint-MAN-052": "called with a key only",
    "unchecked-manifest-verify-MAN-048": "the signature does not fit either, and the fingerprint is compared again before the manifest is used",
    "unchecked-patterns-parse-CRT-072": "an option cannot hold a NUL",
    "unchecked-pxar-header-PXAR-004": "a size below 16 is below every limit of the type, or leads to a place where no item begins",
    "unchecked-pxar-header-PXAR-223": "an unknown type is refused wherever a certain one has to be",
    "unchecked-pxar-read_attribute-PXAR-089": STRICTER,
    "unchecked-pxar-read_attribute-PXAR-101": STRICTER,
    "unchecked-pxar-read_name-EXT-051": "no file is created where one is already",
    "unchecked-pxar-read_name-PXAR-081": "the check of strings behind it says the same",
    "unchecked-pxar-read_prologue-PXAR-043": STRICTER,
    "unchecked-pxar-read_reference-PXAR-134": "at the offsets below 16 stands the start marker, which is no PAYLOAD",
}
if os.getuid() == 0:
    REASONS["write-unstatted-fatal"] = "root may look at every name; run as an ordinary user"


def reason(name: str) -> str:
    return REASONS.get(name, "")
