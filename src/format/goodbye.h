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

/* One record as 24 bytes and back. */
void pbr_goodbye_rec_emit(const struct pbr_pxar_rec *rec, uint8_t out[PBR_PXAR_GOODBYE_REC]);
struct pbr_pxar_rec pbr_goodbye_rec_get(const uint8_t in[PBR_PXAR_GOODBYE_REC]);

/* Puts n records into table order, in place in `recs` (allocates a scratch copy). Equal hashes keep their order. */
PBR_MUST_USE int pbr_goodbye_arrange(const struct pbr_env *env, struct pbr_pxar_rec *recs, size_t n);

/* In-order walk over the slots of a table of n records: start with *slot = pbr_goodbye_first(n); while *slot < n, visit
 * it and set it to pbr_goodbye_after(*slot, n). No memory, no recursion. */
size_t pbr_goodbye_first(size_t n);
size_t pbr_goodbye_after(size_t slot, size_t n);

/* A child of a directory as the archive shows it; what a table must say about it. */
struct pbr_goodbye_child {
    uint64_t hash;
    uint64_t name_pos;   /* position of its FILENAME header */
    uint64_t end_pos;    /* end of its last item in this stream */
    uint64_t size_extra; /* split archives, regular file: its size, which may be added (PXAR-157) or not (PXAR-158) */
    uint32_t name_check; /* a second hash of the name, of another kind: equal in both are equal names */
    bool named;          /* false; pbr_goodbye_check's own mark */
};

/* Sets both hashes. */
void pbr_goodbye_child_set_name(struct pbr_goodbye_child *child, struct pbr_span name);
/* By hash, children with the same hash in the order of the archive. */
void pbr_goodbye_sort(struct pbr_goodbye_child *children, size_t n);

/* Checks a complete table: `recs` n + 1 records as stored, the last being the tail; `children` n of them, sorted;
 * `goodbye_pos` of the GOODBYE header, `dir_pos` what the tail must point to: position of the
 * directory's ENTRY, 0 for the root (PXAR-153). FORMAT with the rule that is violated, offset that of the record. */
PBR_MUST_USE int pbr_goodbye_check(const struct pbr_pxar_rec *recs, struct pbr_goodbye_child *children, size_t n,
                                   uint64_t goodbye_pos, uint64_t dir_pos, struct pbr_diag *diag);

/* Index of the next record with this hash at or after the state of an iteration over both subtrees of equal hashes
 * (PXAR-173, PXAR-270); returns false when there is none left. */
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
