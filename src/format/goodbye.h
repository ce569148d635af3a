/* SPDX-License-Identifier: MIT */
/* Goodbye tables: the order of records (an array-embedded binary search tree, PXAR-170), building, lookup, checking.
 *
 *   offset size
 *        0    8  hash of the name (PXAR-013); the tail has PBR_PXAR_GOODBYE_TAIL
 *        8    8  offset: position of GOODBYE minus position of the child's FILENAME (tail: of the directory's ENTRY)
 *       16    8  size of the child's items (PXAR-154 .. PXAR-158); tail: full size of the GOODBYE item
 * Thread: plain values. */
#ifndef PBR_FORMAT_GOODBYE_H
#define PBR_FORMAT_GOODBYE_H

#include "format/pxar_dec.h"

/* Puts n records into table order, in place in `recs` (allocates a scratch copy). Equal hashes keep their input order. */
PBR_MUST_USE int pbr_goodbye_arrange(const struct pbr_env *env, struct pbr_pxar_rec *recs, size_t n);

/* Index of the next record with this hash at or after the state of an iteration over both subtrees of equal hashes
 * (PXAR-173, PXAR-270). Start with *state = 0; returns false when there is none left. */
struct pbr_goodbye_find {
    uint64_t hash;
    size_t n;
    size_t stack[130]; /* both subtrees of at most 64 levels */
    size_t depth;
    bool started;
};
void pbr_goodbye_find_init(struct pbr_goodbye_find *f, uint64_t hash, size_t n);
/* `hash_at(ctx, i)` reads record i. */
bool pbr_goodbye_find_next(struct pbr_goodbye_find *f, uint64_t (*hash_at)(void *ctx, size_t i), void *ctx,
                           size_t *ret_index);

#endif
