# SPDX-License-Identifier: MIT
"""Exclude patterns (spec/create.md sections 4 and 5): parsing, matching, `.pxarexclude` files."""
from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from .errors import OracleError
from .tree import Filter

# CRT-077, CRT-078: ASCII only; print includes DEL, space lacks VT
CLASSES: dict[bytes, set[int]] = {
    b"alnum": {c for c in range(128) if chr(c).isalnum()},
    b"alpha": {c for c in range(128) if chr(c).isalpha()},
    b"blank": {0x20, 0x09}, b"cntrl": {*range(32), 127}, b"digit": {*range(0x30, 0x3A)},
    b"graph": {*range(0x21, 0x7F)}, b"lower": {*range(0x61, 0x7B)}, b"print": {*range(0x20, 0x80)},
    b"punct": {c for c in range(0x21, 0x7F) if not chr(c).isalnum()},
    b"space": {0x20, 0x09, 0x0A, 0x0C, 0x0D}, b"upper": {*range(0x41, 0x5B)},
    b"xdigit": set(b"0123456789abcdefABCDEF"),
}


@dataclass(slots=True)
class Pattern:
    """A parsed pattern; `text` is without leading `!` and trailing slashes (CRT-055)."""
    text: bytes
    include: bool
    dirs_only: bool
    anchored: bool
    regex: re.Pattern[bytes]

    def matches(self, path: bytes, is_dir: Callable[[], bool]) -> bool:
        """`path` starts with a slash (CRT-085)."""
        if self.dirs_only and not is_dir():  # CRT-089
            return False
        tries = [path]
        if not self.anchored:  # CRT-086
            tries += [path[i + 1:] for i, byte in enumerate(path) if byte == 0x2F]
        return any(self.regex.fullmatch(one) for one in tries)

    def stored(self) -> bytes:
        """Line of the stored text form (CRT-055), with its newline."""
        slash = b"/" if self.dirs_only and not self.text.endswith(b"/") else b""
        return (b"!" if self.include else b"") + self.text + slash + b"\n"


def parse(text: bytes, include: bool = False, anchored: bool = False) -> Pattern:
    """Parse one pattern (CRT-070..083)."""
    if text.startswith(b"!"):  # CRT-070
        text, include = text[1:], not include
    stripped = text.rstrip(b"/")
    dirs_only = stripped != text or not stripped
    text = stripped or b"/"  # CRT-071
    if 0 in text:
        raise OracleError("CRT-072", text.index(0), "null-byte in pattern")
    return Pattern(text, include, dirs_only, anchored, re.compile(_translate(text), re.DOTALL))


def _one(byte: int) -> bytes:
    return b"\\x%02x" % byte


def _translate(text: bytes) -> bytes:
    """The pattern as a Python regular expression over bytes."""
    out, pos = b"", 0
    while pos < len(text):
        char = text[pos:pos + 1]
        if char == b"\\":  # CRT-072, CRT-073
            if pos + 1 == len(text):
                raise OracleError("CRT-072", pos, "trailing backslash in pattern")
            out += _one(text[pos + 1])
            pos += 2
        elif char == b"?":  # CRT-074
            out += b"[^/]"
            pos += 1
        elif char == b"*":
            piece, pos = _stars(text, pos)
            out += piece
        elif char == b"[":
            piece, pos = _class(text, pos)
            out += piece
        else:
            out += _one(text[pos])
            pos += 1
    return out


def _stars(text: bytes, pos: int) -> tuple[bytes, int]:
    """A run of stars: one star, or a double star with its slash (CRT-074..076)."""
    end = pos
    while text[end:end + 1] == b"*":
        end += 1
    before = pos == 0 or text[pos - 1:pos] == b"/"
    if end - pos < 2 or not before or text[end:end + 1] not in (b"", b"/"):
        return b"[^/]*", end
    if end == len(text):
        return b".*", end
    return b"(?:.*/)?", end + 1


def _class(text: bytes, start: int) -> tuple[bytes, int]:
    """`[...]` (CRT-077..082)."""
    def at(index: int) -> int:
        if index >= len(text):
            raise OracleError("CRT-082", start, "unclosed character class")
        return text[index]

    pos, members = start + 1, set()
    negate = at(pos) == 0x5E
    pos += negate
    literal_dash = True  # first, or after a named class or range
    while at(pos) != 0x5D:
        if text[pos:pos + 2] == b"[:":
            end = text.find(b":]", pos + 2)
            name = text[pos + 2:end] if end >= 0 else b""
            if name not in CLASSES:
                raise OracleError("CRT-077", pos, "malformed named character class")
            members |= CLASSES[name]
            pos, literal_dash = end + 2, True
            continue
        if at(pos) == 0x2D and literal_dash:
            members.add(0x2D)
            pos, literal_dash = pos + 1, False
            continue
        pos += at(pos) == 0x5C
        low = high = at(pos)
        pos, literal_dash = pos + 1, False
        if at(pos) == 0x2D:  # range; a `]` after the dash is its end (CRT-082)
            pos += 1
            pos += at(pos) == 0x5C
            high = at(pos)
            pos, literal_dash = pos + 1, True
        members |= set(range(min(low, high), max(low, high) + 1))
    members = set(range(256)) - members if negate else members
    if not members:
        return b"(?!)", pos + 1
    return b"[" + b"".join(_one(m) for m in sorted(members)) + b"]", pos + 1


def normalise(text: bytes) -> bytes:
    """Lexical normalisation of clients from 4.2.0 on (CRT-050)."""
    parts: list[bytes] = []
    for part in text.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    out = (b"/" if text.startswith(b"/") else b"") + b"/".join(parts)
    return out + b"/" if text.endswith(b"/") and not out.endswith(b"/") else out


def parse_exclude_file(data: bytes, directory: bytes) -> list[Pattern]:
    """Lines of a `.pxarexclude` in `directory` (relative, root = empty): CRT-043..050."""
    out = []
    for line in data.split(b"\n"):
        line = line.strip(b" \t\r\n\f")
        if not line or line.startswith(b"#"):
            continue
        include, anchored = False, False
        if line.startswith(b"!"):
            include, line = True, line[1:]
        if line.startswith(b"/"):
            anchored = True
            line = (b"/" + directory if directory else b"") + line
        try:
            out.append(parse(normalise(line), include, anchored))
        except OracleError:
            continue  # CRT-045
    return out


class Selection(Filter):
    """Decides during a walk which names are archived (CRT-020..024, CRT-051, CRT-092)."""

    def __init__(self, patterns: list[Pattern] | None = None):
        self.patterns = list(patterns or [])
        self.marks: list[int] = []

    def enter(self, path: bytes, full: bytes) -> None:
        self.marks.append(len(self.patterns))
        if full:
            self.patterns += parse_exclude_file(_read_exclude(full), path)

    def leave(self) -> None:
        del self.patterns[self.marks.pop():]

    def keep(self, path: bytes, is_dir: Callable[[], bool]) -> bool:
        if path == b".pxarexclude-cli":  # CRT-022
            return False
        for pattern in reversed(self.patterns):
            if pattern.matches(b"/" + path, is_dir):
                return pattern.include
        return True


def _read_exclude(directory: bytes) -> bytes:
    """The directory's `.pxarexclude`, followed if it is a symlink (CRT-042, CRT-044)."""
    name = directory + b"/.pxarexclude"
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            return b""
        with open(name, "rb") as f:
            return f.read()
    except (FileNotFoundError, PermissionError):
        return b""
