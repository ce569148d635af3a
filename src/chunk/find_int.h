/* SPDX-License-Identifier: MIT */
/* The substitution table and the kernels behind pbr_find_candidate, for use inside chunk/ and by its tests. A
 * new kernel is one translation unit with its own compiler flags, one declaration here and one line in the
 * table of find.c.
 *
 * Thread: pure functions. */
#ifndef PBR_CHUNK_FIND_INT_H
#define PBR_CHUNK_FIND_INT_H

#include "chunk/find.h"

extern const uint32_t pbr_find_table[256]; /* CHK-020 */

static inline uint32_t pbr_find_rotl1(uint32_t x)
{
    return x << 1 | x >> 31;
}

/* Hash of the 64 bytes before `end` [CHK-023]. */
uint32_t pbr_find_hash(const uint8_t *end);

/* Contract of pbr_find_candidate, with from < to. */
size_t pbr_find_portable(const struct pbr_find *f, const uint8_t *p, size_t from, size_t to);

#endif
