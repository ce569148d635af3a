/* SPDX-License-Identifier: MIT */
/* Dynamic (.didx) and fixed (.fidx) index files.
 *
 *   offset size
 *        0    8  magic                                              [IDX-001, IDX-040]
 *        8   16  UUID                                               [IDX-002]
 *       24    8  ctime, seconds                                     [IDX-003]
 *       32   32  index checksum                                     [IDX-010, IDX-048]
 *       64    8  fixed: image size                                  [IDX-044]
 *       72    8  fixed: chunk size                                  [IDX-045]
 *     4096       dynamic: {end u64le, digest[32]}...; fixed: digest[32]...
 * Thread: an index is shared const after parse. */
#ifndef PBR_FORMAT_INDEX_H
#define PBR_FORMAT_INDEX_H

#include "base/env.h"
#include "prim/prim.h"

enum { PBR_INDEX_HDR = 4096, PBR_DIDX_REC = 40, PBR_FIDX_REC = 32 };
#define PBR_FIDX_CHUNK_SIZE UINT64_C(4194304)

enum pbr_index_kind { PBR_INDEX_DYNAMIC, PBR_INDEX_FIXED };

/* A parsed index: borrows the file's bytes, which must outlive it. */
struct pbr_index {
    enum pbr_index_kind kind;
    uint8_t uuid[16];
    int64_t ctime_s;
    uint8_t stored_csum[PBR_DIGEST_LEN];
    uint64_t size;        /* archive or image bytes */
    uint64_t chunk_size;  /* fixed only */
    uint64_t entry_nr;
    struct pbr_span entries;
};

/* Whether a file that begins so is an index: by magic (IDX-001, IDX-040). */
bool pbr_index_recognise(struct pbr_span head);
/* Whole file in memory; recognises the kind by magic. Refuses decreasing ends (IDX-023) and, fixed, IDX-054..058.
 * `strict` also refuses empty chunks, chunks above 16 MiB and a stored checksum that does not match. */
PBR_MUST_USE int pbr_index_parse(struct pbr_span file, bool strict, struct pbr_index *ret, struct pbr_diag *diag);

uint64_t pbr_index_start(const struct pbr_index *ix, uint64_t i);  /* offset of the first byte of chunk i */
uint64_t pbr_index_end(const struct pbr_index *ix, uint64_t i);
const uint8_t *pbr_index_digest(const struct pbr_index *ix, uint64_t i);
/* Chunk that holds byte `off` (IDX-030, IDX-051); false if off >= size. */
bool pbr_index_lookup(const struct pbr_index *ix, uint64_t off, uint64_t *ret_i);
/* Recomputed checksum over the entries (IDX-010, IDX-048). */
PBR_MUST_USE int pbr_index_csum(const struct pbr_index *ix, uint8_t out[PBR_DIGEST_LEN]);

/* Header bytes; size and chunk_size only count for fixed. */
void pbr_index_hdr_emit(const struct pbr_index *ix, uint8_t out[PBR_INDEX_HDR]);
void pbr_didx_rec_emit(uint64_t end, const uint8_t digest[PBR_DIGEST_LEN], uint8_t out[PBR_DIDX_REC]);

/* Running checksum of an index being written, on either side of the wire. */
struct pbr_index_sum;
PBR_MUST_USE int pbr_index_sum_new(const struct pbr_env *env, enum pbr_index_kind kind, struct pbr_index_sum **ret);
void pbr_index_sum_free(struct pbr_index_sum *s);
PBR_MUST_USE int pbr_index_sum_add(struct pbr_index_sum *s, uint64_t end, const uint8_t digest[PBR_DIGEST_LEN]);
PBR_MUST_USE int pbr_index_sum_result(const struct pbr_index_sum *s, uint8_t out[PBR_DIGEST_LEN]);

#endif
