/* SPDX-License-Identifier: MIT */
/* Candidate finder: where the rolling hash of the content-defined chunker has a cut value. Stateless: because the
 * window has 64 bytes and 64 is a multiple of the word size, the hash after a byte is a function of the 64 bytes that
 * end with it and of nothing else [CHK-026]:
 *
 *   h[e] = XOR over k = 0..63 of rotl32(T[p[e - k]], k mod 32)
 *   e is a candidate if (h[e] AND mask) >= limit      mask = 2 * avg - 1, limit = mask - 2      [CHK-005, CHK-031]
 *
 * Which candidate becomes a cut (minimum, maximum, suggestions, forced boundaries) is decided in cut.h and
 * boundary.h. Every kernel gives the same answers; the portable one is the yardstick of the others.
 *
 * Thread: a finder is shared const. */
#ifndef PBR_CHUNK_FIND_H
#define PBR_CHUNK_FIND_H

#include "base/bytes.h"

enum {
    PBR_CHUNK_WINDOW = 64,            /* CHK-006 */
    PBR_CHUNK_AVG_MIN = 256,          /* our lower bound: min = avg / 4 is not below the window */
    PBR_CHUNK_AVG_MAX = 4194304,      /* max = 4 * avg is what a server accepts at most (CHK-009) */
    PBR_CHUNK_AVG_DEFAULT = 4194304,  /* CHK-002 */
    PBR_CHUNK_AVG_CATALOG = 524288,   /* CHK-003 */
};

/* Instruction sets a kernel may need. AUTO takes the fastest that this processor and this build have. */
enum pbr_find_level { PBR_FIND_AUTO, PBR_FIND_PORTABLE, PBR_FIND_AVX2, PBR_FIND_AVX512 };

struct pbr_find {
    uint32_t mask;
    uint32_t limit;
    enum pbr_find_level level; /* of the kernel in use, never AUTO */
    size_t (*kernel)(const struct pbr_find *f, const uint8_t *p, size_t from, size_t to);
};

/* PBR_E_ARG: avg is not a power of two in AVG_MIN..AVG_MAX (CHK-001, CHK-009). PBR_E_UNSUPPORTED: no kernel of
 * that level here. */
PBR_MUST_USE int pbr_find_init(struct pbr_find *f, uint64_t avg, enum pbr_find_level level, struct pbr_diag *diag);

/* The first candidate position in [from, to), or `to` if there is none (also if from >= to). Reads p[from - 64
 * .. to - 1] at most and nothing around it; from >= 64. Never fails, never allocates. */
size_t pbr_find_candidate(const struct pbr_find *f, const uint8_t *p, size_t from, size_t to);

/* "auto", "portable", "avx2", "avx512"; static. */
const char *pbr_find_level_name(enum pbr_find_level level);
/* The reverse, for PBSREF_CPU=; false if it is none of them. */
PBR_MUST_USE bool pbr_find_level_parse(struct pbr_span text, enum pbr_find_level *ret);

#endif
