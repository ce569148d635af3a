/* SPDX-License-Identifier: MIT */
/* Chunk files: `.chunks/<first 4 hex digits>/<64 hex digits>`, one raw blob each [IDX-100]. Written to a temporary name in
 * the same directory and renamed [IDX-104]; not synced one by one unless the store's sync level says so. The access time
 * is set from env's clock at every insert and touch: garbage collection goes by it [IDX-121].
 * Thread: as the store. */
#ifndef PBR_STORE_CHUNK_H
#define PBR_STORE_CHUNK_H

#include "prim/prim.h"
#include "store/store.h"

enum { PBR_CHUNK_ENCODED_MIN = 13 }; /* header and one byte (BLOB-080) */

struct pbr_store_put {
    bool duplicate;       /* the file that was there is kept */
    uint64_t stored_size; /* raw bytes of the chunk as it lies in the store now */
};

/* What the server does with an uploaded chunk [BLOB-083, BLOB-084, BKP-113 .. BKP-117]: parses `raw`; if unencrypted,
 * decodes it and compares digest and plain length; puts the right CRC into raw. Codes TRUNCATED, FORMAT, INTEGRITY, LIMIT
 * with the original's texts. */
PBR_MUST_USE int pbr_store_chunk_check(struct pbr_store *s, uint8_t *raw, size_t len,
                                       const uint8_t digest[PBR_DIGEST_LEN], uint64_t plain_size,
                                       struct pbr_diag *diag);

/* Stores checked bytes under `digest`, by the rules for duplicates [BLOB-089, BLOB-090, BKP-122]. PBR_E_EXIST for the
 * refusals of BLOB-090. A missing prefix directory is made. */
PBR_MUST_USE int pbr_store_chunk_insert(struct pbr_store *s, struct pbr_span raw,
                                        const uint8_t digest[PBR_DIGEST_LEN], struct pbr_store_put *ret,
                                        struct pbr_diag *diag);

/* check, then insert. */
PBR_MUST_USE int pbr_store_chunk_put(struct pbr_store *s, uint8_t *raw, size_t len,
                                     const uint8_t digest[PBR_DIGEST_LEN], uint64_t plain_size,
                                     struct pbr_store_put *ret, struct pbr_diag *diag);

/* The file, open for reading; the caller closes *ret_fd. Missing: PBR_E_NOENT with the text of RDR-033. */
PBR_MUST_USE int pbr_store_chunk_open(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN], int *ret_fd,
                                      uint64_t *ret_size, struct pbr_diag *diag);
/* The raw bytes, unchecked [BLOB-086]. *ret is initialised on success only; the caller releases it. */
PBR_MUST_USE int pbr_store_chunk_load(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN], struct pbr_buf *ret,
                                      struct pbr_diag *diag);
/* Raw size, or NOENT without touching a diag. */
PBR_MUST_USE int pbr_store_chunk_stat(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN], uint64_t *ret_size);
/* Sets the access time to now; NOENT if missing. */
PBR_MUST_USE int pbr_store_chunk_touch(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN]);
/* Renames to `<digest>.<0-9>.bad` [IDX-105]. */
PBR_MUST_USE int pbr_store_chunk_mark_bad(struct pbr_store *s, const uint8_t digest[PBR_DIGEST_LEN],
                                          struct pbr_diag *diag);

#endif
