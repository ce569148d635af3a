/* SPDX-License-Identifier: MIT */
/* Runs of chunks of a previous payload index: which ones hold a range of the payload stream, and how much of them lies
 * outside of it [CDM-056 .. CDM-062].
 *
 *   first              last                    s, e: the range; both chunks are taken whole
 *   |--start_pad--s----|------|---e--end_pad--|
 *
 * Pure. Thread: plain values, not shared. */
#ifndef PBR_DETECT_RUN_H
#define PBR_DETECT_RUN_H

#include "format/index.h"

/* Consecutive entries of an index. An entry is itself and nothing else: another one with the same digest is another
 * one [CDM-061], so its number is its identity. */
struct pbr_run {
    uint64_t first;     /* number of the first entry */
    uint64_t nr;        /* entries; 0: none, the other members do not count */
    uint64_t size;      /* sum of their sizes */
    uint64_t start_pad; /* bytes before the range in the first entry */
    uint64_t end_pad;   /* bytes behind it in the last one; the next entry in full if the range ends with one [CDM-058] */
};

/* The run for [start, end), start < end. FORMAT with rule CDM-056 if start lies behind the index. A range that reaches
 * beyond the end takes what there is, without end padding [CDM-059]: callers refuse such ranges before. */
PBR_MUST_USE int pbr_run_find(const struct pbr_index *ix, uint64_t start, uint64_t end, struct pbr_run *ret,
                              struct pbr_diag *diag);

/* The same without the chunk behind the range, as the draft with an appendix looks it up [APX-094, APX-096]: the last entry
 * is the one that holds byte end - 1. FORMAT with rule APX-095 if the range reaches beyond the index. */
PBR_MUST_USE int pbr_run_cover(const struct pbr_index *ix, uint64_t start, uint64_t end, struct pbr_run *ret,
                               struct pbr_diag *diag);

/* Whether a reference to [start, end) is one that an intact snapshot has: behind the start marker, before the tail
 * marker [CDM-059, CDM-123, CDM-124]. */
bool pbr_run_holds(const struct pbr_index *ix, uint64_t start, uint64_t end);
/* The same where the first file can begin at `first`: 0 in the draft that has no start marker [SPL-025]. */
bool pbr_run_holds_from(const struct pbr_index *ix, uint64_t first, uint64_t start, uint64_t end);

#endif
