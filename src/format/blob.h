/* SPDX-License-Identifier: MIT */
/* The data blob envelope (chunks and *.blob files).
 *
 *   offset size
 *        0    8  magic: one of four kinds                 [BLOB-001]
 *        8    4  CRC-32 of the payload                    [BLOB-002, BLOB-010, BLOB-011]
 *       12       payload (unencrypted kinds)              [BLOB-003]
 *       12   16  IV                                       [BLOB-004]
 *       28   16  tag
 *       44       ciphertext (encrypted kinds)
 * Sealing and opening (compression, encryption, digest) is chunk/seal.h. Thread: plain values. */
#ifndef PBR_FORMAT_BLOB_H
#define PBR_FORMAT_BLOB_H

#include "base/bytes.h"

enum pbr_blob_kind { PBR_BLOB_PLAIN, PBR_BLOB_ZSTD, PBR_BLOB_ENC, PBR_BLOB_ENC_ZSTD };

struct pbr_blob {
    enum pbr_blob_kind kind;
    uint32_t crc;             /* as stored */
    uint8_t iv[16], tag[16];  /* encrypted kinds */
    struct pbr_span payload;  /* borrowed from the raw bytes */
};

static inline bool pbr_blob_is_encrypted(enum pbr_blob_kind kind)
{
    return kind == PBR_BLOB_ENC || kind == PBR_BLOB_ENC_ZSTD;
}

static inline bool pbr_blob_is_compressed(enum pbr_blob_kind kind)
{
    return kind == PBR_BLOB_ZSTD || kind == PBR_BLOB_ENC_ZSTD;
}

size_t pbr_blob_hdr_len(enum pbr_blob_kind kind);

/* Lengths and magic only (BLOB-050): TRUNCATED (texts of BKP-114: "blob too small (N bytes).", ...) or FORMAT. */
PBR_MUST_USE int pbr_blob_parse(struct pbr_span raw, struct pbr_blob *ret, struct pbr_diag *diag);
/* The CRC over the payload (BLOB-051): INTEGRITY, text "Data blob has wrong CRC checksum." */
PBR_MUST_USE int pbr_blob_check_crc(const struct pbr_blob *blob, struct pbr_diag *diag);
/* Writes the header of `blob` (kind, crc, iv, tag) to out, pbr_blob_hdr_len bytes. */
void pbr_blob_hdr_emit(const struct pbr_blob *blob, uint8_t *out);
/* Puts the right CRC into a raw blob in place (BKP-117). raw must have passed pbr_blob_parse. */
void pbr_blob_fix_crc(uint8_t *raw, size_t len);

#endif
