/* SPDX-License-Identifier: MIT */
/* CRC-32/ISO-HDLC, 16 bytes a step: reflected polynomial 0xEDB88320, start and final XOR 0xFFFFFFFF
 * [BLOB-010]. Thread: thread-safe. */
#include "prim/prim.h"

enum { SLICES = 16 };

static const uint32_t table[SLICES][256] = {
#include "prim/crc32_table.inc"
};

/* The four bytes of `word` stand `first`, first-1, ... bytes before the end of the step. */
static inline uint32_t four(uint32_t word, unsigned first)
{
    return table[first][word & 0xff] ^ table[first - 1][word >> 8 & 0xff] ^
           table[first - 2][word >> 16 & 0xff] ^ table[first - 3][word >> 24];
}

uint32_t pbr_crc32(uint32_t crc, struct pbr_span in)
{
    struct pbr_cur c = pbr_cur(in);
    crc = ~crc;
    while (pbr_cur_left(&c) >= SLICES) {
        const uint8_t *p = pbr_cur_take(&c, SLICES);
        crc = four(pbr_get_u32le(p) ^ crc, 15) ^ four(pbr_get_u32le(p + 4), 11) ^
              four(pbr_get_u32le(p + 8), 7) ^ four(pbr_get_u32le(p + 12), 3);
    }
    while (pbr_cur_left(&c) > 0)
        crc = crc >> 8 ^ table[0][(crc ^ pbr_cur_u8(&c)) & 0xff];
    return ~crc;
}
