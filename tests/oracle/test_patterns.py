# covers: CRT-022 CRT-043 CRT-045 CRT-046 CRT-047 CRT-048 CRT-050 CRT-052 CRT-055 CRT-070 CRT-071 CRT-072 CRT-073
# covers: CRT-074 CRT-075 CRT-076 CRT-077 CRT-079 CRT-080 CRT-081 CRT-082 CRT-085 CRT-086 CRT-087 CRT-089 CRT-092
# covers: CRT-094
# SPDX-License-Identifier: MIT
"""Exclude patterns against testdata/golden/patterns.json and the sheet's examples."""
from __future__ import annotations

from typing import Any

import pytest

from . import patterns
from .conftest import golden
from .errors import OracleError

GOLDEN = golden("patterns")
NAMES: list[str] = GOLDEN["tree"]
DIRS = {name.rpartition("/")[0] for name in NAMES}


def excluded(chosen: list[patterns.Pattern]) -> list[str]:
    """Names of the tree that a walk leaves out, with everything below left out directories."""
    selection, out = patterns.Selection(chosen), []
    for name in NAMES:
        parts = name.split("/")
        above = ["/".join(parts[:i]) for i in range(1, len(parts) + 1)]
        if not all(selection.keep(path.encode(), lambda: path in DIRS) for path in above):
            out.append(name)
    return sorted(out)


def row_id(row: dict[str, Any]) -> str:
    return ascii(row.get("pattern", row.get("patterns")))


@pytest.mark.parametrize("row", GOLDEN["rows"], ids=row_id)
def test_golden(row: dict[str, Any]) -> None:
    texts = row.get("patterns", [row.get("pattern")])
    if "excluded" not in row["cli"]:  # the original crashes here (CRT-082)
        with pytest.raises(OracleError):
            [patterns.parse(t.encode()) for t in texts]
        assert patterns.parse_exclude_file("\n".join(texts).encode(), b"") == []  # CRT-045
        return
    assert excluded([patterns.parse(t.encode()) for t in texts]) == sorted(row["cli"]["excluded"])
    lines = "\n".join(texts).encode()
    assert excluded(patterns.parse_exclude_file(lines, b"")) == sorted(row["file"]["excluded"])


# CRT section 5.4; a trailing slash on a path marks a directory
EXAMPLES = [
    ("foo", "/foo /a/foo", "/foo/a"), ("/foo", "/foo", "/a/foo"), ("foo/", "/foo/", "/foo"),
    ("a/b", "/a/b /x/a/b", "/xa/b"), ("*", "/a /a/b", ""), ("/*", "/a", "/a/b"),
    ("/a/*", "/a/b", "/a/b/c"), ("/a/**", "/a/b /a/b/c", "/a"), ("**/foo", "/foo /a/b/foo", ""),
    ("/**/foo", "/foo /a/b/foo", ""), ("*/foo", "/foo /a/foo", ""), ("a/**/b", "/a/b /a/x/y/b", ""),
    ("a**b", "/axxb", "/axx/b"), ("?", "/a", "/ab"), ("a?b", "", "/a/b"),
    ("x*/y", "/xa/y", "/xa/b/y"), ("*.txt", "/.txt /a.txt", ""), ("[^ab]", "/c", "/a"),
    ("[!ab]", "/a /!", "/c"), ("[c-a]", "/b", ""),
    (r"\*", "/*", "/a"), ("**/", "/a/ /a/b/", "/a"), ("[]", "", "/a"), ("[^]", "/a", ""),
    ("a[^x]b", "/a/b", ""),
]


@pytest.mark.parametrize("text,yes,no", EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_examples(text: str, yes: str, no: str) -> None:
    pattern = patterns.parse(text.encode())
    for path, wanted in [(p, True) for p in yes.split()] + [(p, False) for p in no.split()]:
        found = pattern.matches((path.rstrip("/") or "/").encode(), lambda: path.endswith("/"))
        assert found == wanted, path


def test_errors_and_stored_form() -> None:
    for text in (b"a\0b", b"a\\", b"foo\\/", b"[", b"[^", b"[a-", b"[abc", b"[a-]", b"[[:foo:]]"):
        with pytest.raises(OracleError):
            patterns.parse(text)
    for text, stored in (("*.tmp", "*.tmp\n"), ("!keep", "!keep\n"), ("dir//", "dir/\n"),
                         ("/", "/\n")):
        assert patterns.parse(text.encode()).stored() == stored.encode()


def test_normalise() -> None:
    for text, wanted in (("./x", "x"), ("a//b", "a/b"), ("foo/.", "foo"), ("foo//", "foo/"),
                         ("../x", "x"), ("/../x", "/x"), ("!./x", "!./x"), ("/", "/"),
                         ("a/b/", "a/b/")):
        assert patterns.normalise(text.encode()) == wanted.encode(), text


def test_exclude_file() -> None:
    found = patterns.parse_exclude_file(b"# c\n\n /a \n!/b\r\n!!foo\n[x\nx/\n", b"sub")
    assert [(p.text, p.include, p.anchored, p.dirs_only) for p in found] == [
        (b"/sub/a", False, True, False), (b"/sub/b", True, True, False),
        (b"foo", False, False, False), (b"x", False, False, True)]
