# covers: CDM-111
# SPDX-License-Identifier: MIT
"""The page of `reuse show --html` in a browser: what is in its DOM, what it looks like in light and dark, that it asks nobody
for anything. Headless Chromium; without it the tests skip."""
from __future__ import annotations

import html.parser
import http.server
import json
import os
import re
import shutil
import struct
import subprocess
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support import T0, Client, noise

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH (ci/install-deps test)")

WIDTH, HEIGHT = 1280, 900
Colour = tuple[int, int, int]
# the page's own palette: background, text, cells that are new, re-used, padding
THEMES: dict[str, dict[str, Colour]] = {
    "light": {"bg": (0xff, 0xff, 0xff), "fg": (0x1b, 0x1f, 0x24), "n": (0xe8, 0x59, 0x0c), "w": (0x3b, 0x82, 0xc4),
              "p": (0xc3, 0xd9, 0xee)},
    "dark": {"bg": (0x14, 0x17, 0x1b), "fg": (0xe6, 0xe9, 0xec), "n": (0xff, 0x8c, 0x42), "w": (0x4a, 0x97, 0xdd),
             "p": (0x29, 0x48, 0x63)},
}


# ---- a picture ----

@dataclass
class Picture:
    """Pixels of a PNG: 8 bits a channel, RGB or RGBA, not interlaced."""
    width: int
    height: int
    rows: list[bytes]
    step: int

    def at(self, x: int, y: int) -> Colour:
        r, g, b = self.rows[y][x * self.step:x * self.step + 3]
        return r, g, b

    def colours(self) -> Counter[Colour]:
        found: Counter[Colour] = Counter()
        for row in self.rows:
            found.update((row[i], row[i + 1], row[i + 2]) for i in range(0, len(row), self.step))
        return found


def unfilter(kind: int, row: bytearray, above: bytes, step: int) -> None:
    for i in range(len(row)):
        left, up = row[i - step] if i >= step else 0, above[i]
        corner = above[i - step] if i >= step else 0
        if kind == 1:
            row[i] = (row[i] + left) & 255
        elif kind == 2:
            row[i] = (row[i] + up) & 255
        elif kind == 3:
            row[i] = (row[i] + (left + up) // 2) & 255
        elif kind == 4:
            p = left + up - corner
            nearest = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
            row[i] = (row[i] + nearest) & 255


def read_png(path: Path) -> Picture:
    data, at, packed = path.read_bytes(), 8, b""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width = height = step = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and interlace == 0
            step = 3 if colour == 2 else 4
        elif kind == b"IDAT":
            packed += body
        at += size + 12
    plain, rows, above = zlib.decompress(packed), [], bytes(width * step)
    for y in range(height):
        start = y * (width * step + 1)
        row = bytearray(plain[start + 1:start + 1 + width * step])
        unfilter(plain[start], row, above, step)
        above = bytes(row)
        rows.append(above)
    return Picture(width, height, rows, step)


def luminance(colour: Colour) -> float:
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: Colour, two: Colour) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def near(one: Colour, two: Colour) -> bool:
    return all(abs(a - b) <= 3 for a, b in zip(one, two))


# ---- a browser ----

class Browser:
    """Chromium with a profile of its own; every request it would make to the network goes to a proxy that counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        browser = self

        class Proxy(http.server.BaseHTTPRequestHandler):
            def refuse(self) -> None:
                browser.asked.append(self.path)
                self.send_error(403)

            do_GET = do_POST = do_HEAD = do_CONNECT = refuse

            def log_message(self, *_: Any) -> None:
                pass

        self.proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.proxy.shutdown()
        self.proxy.server_close()

    def run(self, page: Path, *args: str, dark: bool = False) -> subprocess.CompletedProcess[bytes]:
        home = self.folder / "browser"
        home.mkdir(exist_ok=True)
        env = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home), "DBUS_SESSION_BUS_ADDRESS": ""}
        done = subprocess.run(
            [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
             "--force-device-scale-factor=1", "--force-color-profile=srgb", f"--user-data-dir={home / 'profile'}",
             f"--window-size={WIDTH},{HEIGHT}", f"--proxy-server=127.0.0.1:{self.proxy.server_port}", "--proxy-bypass-list=<-loopback>",
             "--enable-logging=stderr", f"--blink-settings=preferredColorScheme={0 if dark else 1}", *args, page.as_uri()],
            env=env, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done

    def picture(self, page: Path, dark: bool) -> Picture:
        target = self.folder / f"{page.stem}-{'dark' if dark else 'light'}.png"
        self.run(page, f"--screenshot={target}", dark=dark)
        if keep := os.environ.get("PBSREF_PICTURES"):
            shutil.copy(target, keep)
        return read_png(target)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    opened = Browser(tmp_path)
    yield opened
    opened.close()


# ---- what is in the page ----

@dataclass
class Map:
    cells: list[list[str]] = field(default_factory=list)  # classes of the rectangles, cell by cell
    titles: list[str] = field(default_factory=list)


class Page(html.parser.HTMLParser):
    """Maps, text, and everything that could lead out of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.maps: list[Map] = []
        self.words: list[str] = []
        self.outside: list[str] = []
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.outside += [f"{tag} {k}" for k in values if k in ("src", "href", "srcset", "xlink:href", "data", "action") or k.startswith("on")]
        self.outside += [tag] if tag in ("script", "iframe", "link", "object", "embed", "img") else []
        if tag == "svg":
            self.inside = [values.get("class") or ""]
            if self.inside == ["map"]:
                self.maps.append(Map())
        elif tag == "g":
            self.maps[-1].cells.append([])
        elif tag == "rect" and self.inside[:1] == ["map"]:
            self.maps[-1].cells[-1].append(values.get("class") or "")
        elif tag == "title":
            self.inside.append("title")

    def handle_endtag(self, tag: str) -> None:
        if tag == "svg":
            self.inside = []
        elif tag == "title":
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if self.inside == ["map", "title"]:
            self.maps[-1].titles.append(data)
        elif not self.inside:
            self.words.append(data)

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@dataclass
class Shown:
    page: Path
    report: dict[str, Any]


@pytest.fixture
def shown(make_store: Any, make_client: Any, tmp_path: Path) -> Shown:
    """Two generations of a small tree, the second with an edit, a removal and a new file with an ugly name."""
    source, store = tmp_path / "source", make_store()
    client: Client = make_client(PBS_REPOSITORY=f"dir:{store}")
    for i in range(150):
        (source / f"d{i % 5}").mkdir(parents=True, exist_ok=True)
        (source / f"d{i % 5}" / f"f{i:03d}").write_bytes(noise(i, 20_000 + i))
    options = ("--chunk-size", "64")
    client.backup(f"root.pxar:{source}", *options, at=T0, mode="data")
    (source / "d1" / "f001").write_bytes(noise(999, 90_000))
    (source / "d3" / "f053").unlink()
    (source / "d4" / "<img src=http://127.0.0.1:9>".replace("/", "|")).write_bytes(noise(1000, 150_000))
    client.backup(f"root.pxar:{source}", *options, at=T0 + 86400, mode="metadata")
    page = tmp_path / "map.html"
    report = client.expect_ok("reuse", "show", "host/box", "--generations", "2", "--html", page, "--output-format", "json").json()
    return Shown(page, report)


# ---- tests ----

LETTERS = {"new": {"n"}, "reused": {"w"}, "reused-part": {"w", "p"}, "known": {"k"}, "marker": {"m"}}


def test_dom_has_a_cell_per_chunk_of_its_kind(shown: Shown, browser: Browser) -> None:
    done = browser.run(shown.page, "--dump-dom")
    page = Page(done.stdout.decode())
    chunks = shown.report["archives"][0]["chunks"]
    assert len(page.maps) == 2
    assert len(page.maps[1].cells) == len(chunks) == len(page.maps[1].titles)
    for cell, title, chunk, number in zip(page.maps[1].cells, page.maps[1].titles, chunks, range(len(chunks))):
        assert set(cell) <= LETTERS[chunk["kind"]] and cell, chunk
        assert title.startswith(f"chunk {number}: ") and f" at {chunk['offset']}" in title
    assert [set(c) for c in page.maps[0].cells] == [{"n"}] * len(page.maps[0].cells)
    kinds = shown.report["archives"][0]["file_kinds"]
    files = sum(k["number"] for k in kinds.values())
    text = page.text()
    assert f"{kinds['reused']['number']} of {files} files re-used without reading" in text
    assert re.search(r"[\d.]+ [KM]iB of [\d.]+ MiB uploaded", text)
    assert "Files that were read again, and why" in text and "size 19.5 KiB → 87.9 KiB" in text


def test_files_are_named_where_they_lie(shown: Shown, browser: Browser) -> None:
    page = Page(browser.run(shown.page, "--dump-dom").stdout.decode())
    archive = shown.report["archives"][0]
    for f in archive["files"][:40]:
        title = page.maps[1].titles[f["first_chunk"]]
        assert f"{f['path']} at {f['offset']} (" in title or "more files" in title


def test_browser_is_content_and_asks_nobody(shown: Shown, browser: Browser) -> None:
    """No error or warning on the console, nothing that leads out, no request."""
    done = browser.run(shown.page, "--dump-dom")
    said = [line for line in done.stderr.decode(errors="replace").splitlines() if ":CONSOLE" in line]
    assert said == []
    assert Page(done.stdout.decode()).outside == []
    assert not re.search(r"url\(|@import|https?://(?!127\.0\.0\.1:9>)", shown.page.read_text().replace("&gt;", ">"))
    blank = shown.page.with_name("blank.html")
    blank.write_text("<!DOCTYPE html><title>x</title>")
    asked = {json.dumps(a.split("?")[0]) for a in browser.asked}
    assert not any(":9" in a for a in asked)
    browser.asked.clear()
    browser.run(blank, "--dump-dom")
    assert asked <= {json.dumps(a.split("?")[0]) for a in browser.asked}  # what the browser does by itself


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_are_seen_and_readable(shown: Shown, browser: Browser, theme: str) -> None:
    palette = THEMES[theme]
    picture = browser.picture(shown.page, theme == "dark")
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    assert near(picture.at(3, 3), palette["bg"])
    found = picture.colours()
    assert found.most_common(1)[0][0] == picture.at(3, 3)

    def area(name: str) -> int:
        return sum(n for colour, n in found.items() if near(colour, palette[name]))

    assert area("fg") > 500, "text"
    assert contrast(palette["fg"], palette["bg"]) >= 7
    assert contrast(palette["n"], palette["bg"]) >= 3 and contrast(palette["w"], palette["bg"]) >= 3
    assert area("n") > 3000 and area("w") > 3000 and area("p") > 50
    chunks = shown.report["archives"][0]["chunks"]
    first = shown.report["generations"][0]["archives"][0]
    cell = 13 * 13
    new = sum(c["kind"] == "new" for c in chunks) + first["payload_chunks"]
    bar = 26 * WIDTH
    assert new * cell * 0.9 <= area("n") <= new * cell * 1.1 + bar


def test_page_fits_a_narrow_window(shown: Shown, browser: Browser) -> None:
    """A phone's width: nothing is cut off at the right."""
    target = browser.folder / "narrow.png"
    browser.run(shown.page, f"--screenshot={target}", "--window-size=500,900")
    picture = read_png(target)
    background = picture.at(3, 3)
    assert all(near(picture.at(picture.width - 4, y), background) for y in range(picture.height))
