/* SPDX-License-Identifier: MIT */
/* Content-defined cutter: where the plain chunker ends chunks [CHK-030 .. CHK-045], and the fixed one [CHK-055]
 * as the case min = max.
 *
 *   avg       power of two, 256 .. 4 MiB                                               [CHK-001]
 *   min, max  avg / 4, avg * 4; a chunk is min .. max bytes, the last one 1 .. max     [CHK-004, CHK-007]
 *   cut       after the first byte that makes size >= max,                             [CHK-030, CHK-032]
 *             or size >= min with a candidate of find.h there
 *
 * No test is made while the window is filling, so for avg = 256 the first tested size is 65, not min = 64 [CHK-023].
 * Nothing before the 64 bytes in front of the first tested one is looked at [CHK-050].
 *
 * Two ways to use it: pbr_cut_push for data that comes in pieces, pbr_cut_scan for a caller that has the whole
 * chunk so far in one piece of memory. Both give the same cuts.
 *
 * Thread: not shared; pbr_cut_scan is shared const. */
#ifndef PBR_CHUNK_CUT_H
#define PBR_CHUNK_CUT_H

#include "chunk/find.h"

struct pbr_cut {
    struct pbr_find find;
    size_t min;    /* smallest size at which a suggestion or candidate may cut */
    size_t max;
    size_t first;  /* first size that is tested for a candidate: max(min, 65), or max for the fixed cutter */
    size_t size;   /* bytes of the open chunk pushed so far */
    uint8_t history[PBR_CHUNK_WINDOW]; /* the bytes before `size`, right-aligned; older ones are of no consequence */
};

/* Errors: those of pbr_find_init; c then is untouched. */
PBR_MUST_USE int pbr_cut_init(struct pbr_cut *c, uint64_t avg, enum pbr_find_level level, struct pbr_diag *diag);

/* Every chunk but the last has exactly `size` bytes. PBR_E_ARG for 0 or more than 16 MiB (CHK-009). */
PBR_MUST_USE int pbr_cut_init_fixed(struct pbr_cut *c, uint64_t size, struct pbr_diag *diag);

/* Finds the next cut in `in` [CHK-040]. Returns the number of bytes up to and including the cut (1..in.len);
 * the next call begins a new chunk with the byte behind it. Returns 0 if all of `in` belongs to the open chunk;
 * the caller then pushes what follows. Never fails, never allocates. Independent of how the stream is split
 * over calls [CHK-042]. */
size_t pbr_cut_push(struct pbr_cut *c, struct pbr_span in);

/* The next byte pushed begins a new chunk [CHK-045]. */
void pbr_cut_reset(struct pbr_cut *c);

/* The same for a chunk that lies at chunk[0 .. len), of which the first `scanned` bytes are known to hold no
 * cut. Returns the size of the chunk (scanned + 1 .. len), or 0 if it goes on behind len. Does not use or
 * change the state of push. */
size_t pbr_cut_scan(const struct pbr_cut *c, const uint8_t *chunk, size_t scanned, size_t len);

#endif
