#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes src/format/quote_table.inc: the ranges of code points that quoted names show as \\u{...} (EXT-141).

    pip install unicodedata2==16.0.0 && python3 ci/gen-quote-table.py > src/format/quote_table.inc

Escaped are the general categories Cc Cf Cn Co Cs Zl Zp and Zs other than the ASCII space, and the property
Grapheme_Extend = Mn + Me + Other_Grapheme_Extend. The module has no properties, so the last set, which is about fifty
characters, stands here as PropList.txt of Unicode 16.0 has it (those that are Mn or Cf anyway are left out)."""

import sys

import unicodedata2 as unicodedata

UNICODE = "16.0.0"
CATEGORIES = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs", "Mn", "Me"}
OTHER_GRAPHEME_EXTEND = [
    (0x09BE, 0x09BE), (0x09D7, 0x09D7), (0x0B3E, 0x0B3E), (0x0B57, 0x0B57), (0x0BBE, 0x0BBE), (0x0BD7, 0x0BD7),
    (0x0CC0, 0x0CC0), (0x0CC2, 0x0CC2), (0x0CC7, 0x0CC8), (0x0CCA, 0x0CCB), (0x0CD5, 0x0CD6), (0x0D3E, 0x0D3E),
    (0x0D57, 0x0D57), (0x0DCF, 0x0DCF), (0x0DDF, 0x0DDF), (0x1715, 0x1715), (0x1734, 0x1734), (0x1B35, 0x1B35),
    (0x1B3B, 0x1B3B), (0x1B3D, 0x1B3D), (0x1B43, 0x1B44), (0x1BAA, 0x1BAA), (0x1BF2, 0x1BF3), (0x302E, 0x302F),
    (0xA953, 0xA953), (0xA9C0, 0xA9C0), (0xFF9E, 0xFF9F), (0x111C0, 0x111C0), (0x11235, 0x11235),
    (0x1133E, 0x1133E), (0x1134D, 0x1134D), (0x11357, 0x11357), (0x113B8, 0x113B8), (0x113C2, 0x113C2),
    (0x113C5, 0x113C5), (0x113C7, 0x113C9), (0x113CF, 0x113CF), (0x114B0, 0x114B0), (0x114BD, 0x114BD),
    (0x115AF, 0x115AF), (0x116B6, 0x116B6), (0x11930, 0x11930), (0x1193D, 0x1193D), (0x16FF0, 0x16FF1),
    (0x1D165, 0x1D166), (0x1D16D, 0x1D172),
]


def is_escaped(code: int) -> bool:
    if code == 0x20:
        return False
    return unicodedata.category(chr(code)) in CATEGORIES or any(a <= code <= b for a, b in OTHER_GRAPHEME_EXTEND)


def ranges() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for code in range(0x110000):
        if not is_escaped(code):
            continue
        if found and found[-1][1] == code - 1:
            found[-1] = (found[-1][0], code)
        else:
            found.append((code, code))
    return found


def main() -> int:
    if unicodedata.unidata_version != UNICODE:
        print(f"need Unicode {UNICODE}, this is {unicodedata.unidata_version}", file=sys.stderr)
        return 1
    print("/* SPDX-License-Identifier: MIT */")
    print(f"/* Made by ci/gen-quote-table.py from Unicode {UNICODE}: characters that listings escape (EXT-141). */")
    for first, last in ranges():
        print(f"{{ {first:#x}, {last:#x} }},")
    return 0


if __name__ == "__main__":
    sys.exit(main())
