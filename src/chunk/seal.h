/* SPDX-License-Identifier: MIT */
/* Sealing plain data into blobs and opening blobs: compression, encryption, digests [BLOB sections 3, 5, 6].
 * Thread: a sealer/opener is not shared; a pbr_crypt is shared const. */
#ifndef PBR_CHUNK_SEAL_H
#define PBR_CHUNK_SEAL_H

#include "base/env.h"
#include "format/blob.h"
#include "prim/prim.h"

/* The keys derived from one encryption key (crypto.md). Wiped by pbr_crypt_wipe. */
struct pbr_crypt {
    uint8_t enc_key[32];
    uint8_t id_key[32];
    uint8_t fingerprint[32];
};
PBR_MUST_USE int pbr_crypt_init(struct pbr_crypt *c, const uint8_t key[32]);
void pbr_crypt_wipe(struct pbr_crypt *c);

/* Digest of plain data: SHA-256, or keyed if `crypt` is not NULL (BLOB-070, BLOB-071). */
PBR_MUST_USE int pbr_chunk_digest(const struct pbr_crypt *crypt, struct pbr_span plain, uint8_t out[PBR_DIGEST_LEN]);

struct pbr_sealer;
PBR_MUST_USE int pbr_sealer_new(const struct pbr_env *env, struct pbr_sealer **ret);
void pbr_sealer_free(struct pbr_sealer *s);
/* Appends the raw blob of `plain` to out (BLOB-033). crypt NULL: unencrypted. LIMIT above 128 MiB (BLOB-021). */
PBR_MUST_USE int pbr_seal(struct pbr_sealer *s, const struct pbr_crypt *crypt, bool compress, struct pbr_span plain,
                          struct pbr_buf *out, struct pbr_diag *diag);

struct pbr_opener;
PBR_MUST_USE int pbr_opener_new(const struct pbr_env *env, struct pbr_opener **ret);
void pbr_opener_free(struct pbr_opener *o);

enum pbr_open_want { PBR_OPEN_ANY, PBR_OPEN_UNENCRYPTED, PBR_OPEN_ENCRYPTED };
struct pbr_open_opts {
    const struct pbr_crypt *crypt; /* NULL: encrypted kinds fail with CRYPTO (BLOB-055) */
    enum pbr_open_want want;       /* kind that the archive's crypt-mode demands (BLOB-087): else CRYPTO */
    bool skip_crc;                 /* parse without CRC check (BKP-117) */
    const uint8_t *digest;         /* expected digest, or NULL (BLOB-059): INTEGRITY */
    bool has_len;
    uint64_t len;                  /* expected plain length: INTEGRITY */
    size_t max;                    /* plain bytes at most; 0 = PBR_CHUNK_MAX */
};
/* Decodes `raw` and appends the plain data to out (whose own maximum also counts). For kind "uncompressed" *ret_plain
 * borrows from raw and out stays empty; otherwise it borrows from out. */
PBR_MUST_USE int pbr_open_blob(struct pbr_opener *o, struct pbr_span raw, const struct pbr_open_opts *opts,
                               struct pbr_buf *out, struct pbr_span *ret_plain, struct pbr_diag *diag);

#endif
