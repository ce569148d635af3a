#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes src/prim/crc32_table.inc: the 16 tables of CRC-32/ISO-HDLC for 16 bytes a step (BLOB-010).

Run it from the top folder after changing it; the result is checked in: ci/gen-crc32.py > src/prim/crc32_table.inc
"""
POLY = 0xEDB88320
SLICES = 16


def main() -> None:
    first = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLY if crc & 1 else 0)
        first.append(crc)
    tables = [first]
    while len(tables) < SLICES:
        tables.append([c >> 8 ^ first[c & 0xFF] for c in tables[-1]])
    print("/* SPDX-License-Identifier: MIT */")
    print("/* Written by ci/gen-crc32.py: table[k][b] is the CRC of byte b followed by k zero bytes [BLOB-010]. */")
    for table in tables:
        print("{")
        for at in range(0, 256, 8):
            print("    " + " ".join(f"0x{c:08x}," for c in table[at:at + 8]))
        print("},")


main()
