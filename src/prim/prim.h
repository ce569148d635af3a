/* SPDX-License-Identifier: MIT */
/* Thin wrappers over well-kept libraries (OpenSSL, zstd) and two small own functions (SipHash-2-4, CRC-32): no policy.
 * Thread: functions without an object are thread-safe; objects are not shared. */
#ifndef PBR_PRIM_PRIM_H
#define PBR_PRIM_PRIM_H

#include "base/bytes.h"
#include "base/env.h"

enum { PBR_DIGEST_LEN = 32 };

/* SHA-256 of a then b (either may be empty). PBR_E_CRYPTO if the library fails. */
PBR_MUST_USE int pbr_sha256(struct pbr_span a, struct pbr_span b, uint8_t out[PBR_DIGEST_LEN]);

struct pbr_sha256;
PBR_MUST_USE int pbr_sha256_new(const struct pbr_env *env, struct pbr_sha256 **ret);
void pbr_sha256_free(struct pbr_sha256 *h);
PBR_MUST_USE int pbr_sha256_update(struct pbr_sha256 *h, struct pbr_span in);
/* Result so far; the object can be updated further. */
PBR_MUST_USE int pbr_sha256_result(const struct pbr_sha256 *h, uint8_t out[PBR_DIGEST_LEN]);

PBR_MUST_USE int pbr_hmac_sha256(struct pbr_span key, struct pbr_span in, uint8_t out[PBR_DIGEST_LEN]);

/* CRC-32/ISO-HDLC (BLOB-010); start with crc = 0, feed the result back in to continue. */
uint32_t pbr_crc32(uint32_t crc, struct pbr_span in);

/* SipHash-2-4, 64 bit (PXAR-010). */
uint64_t pbr_siphash24(uint64_t k0, uint64_t k1, struct pbr_span in);

/* Constant time. */
bool pbr_equal_secret(const uint8_t *a, const uint8_t *b, size_t len);

/* AES-256-GCM with a 16 byte IV and no additional data (BLOB-040 .. BLOB-043). `out` has in.len bytes.
 * open: PBR_E_INTEGRITY if the tag is wrong; out then is wiped. */
PBR_MUST_USE int pbr_gcm_seal(const uint8_t key[32], const uint8_t iv[16], struct pbr_span in, uint8_t *out,
                              uint8_t tag[16]);
PBR_MUST_USE int pbr_gcm_open(const uint8_t key[32], const uint8_t iv[16], const uint8_t tag[16], struct pbr_span in,
                              uint8_t *out);

/* Key derivation (crypto.md); out_len bytes. */
PBR_MUST_USE int pbr_scrypt(struct pbr_span password, struct pbr_span salt, uint64_t n, uint64_t r, uint64_t p,
                            uint8_t *out, size_t out_len);
PBR_MUST_USE int pbr_pbkdf2_sha256(struct pbr_span password, struct pbr_span salt, uint64_t iterations, uint8_t *out,
                                   size_t out_len);

/* RSAES-PKCS1-v1_5 with keys as PEM text (CRY-082, CRY-085, CRY-086); appends to out. The password unlocks the private
 * key (NULL: there is none). CRYPTO if the key is no RSA key, is locked, is too short for `in` or does not fit. */
PBR_MUST_USE int pbr_rsa_encrypt(struct pbr_span public_pem, struct pbr_span in, struct pbr_buf *out,
                                 struct pbr_diag *diag);
PBR_MUST_USE int pbr_rsa_decrypt(struct pbr_span private_pem, const struct pbr_span *password, struct pbr_span in,
                                 struct pbr_buf *out, struct pbr_diag *diag);

/* Base64, standard alphabet. Encoding appends to out; decoding refuses anything not canonical. */
PBR_MUST_USE int pbr_base64_encode(struct pbr_span in, bool pad, struct pbr_buf *out);
PBR_MUST_USE int pbr_base64_decode(struct pbr_span in, struct pbr_buf *out);

/* zstd compressor, reusable: one frame, level 1, content size in the header (BLOB-023, BLOB-024). */
struct pbr_zstd_enc;
PBR_MUST_USE int pbr_zstd_enc_new(const struct pbr_env *env, struct pbr_zstd_enc **ret);
void pbr_zstd_enc_free(struct pbr_zstd_enc *z);
/* At most cap bytes; *ret_len = 0 if it does not fit. */
PBR_MUST_USE int pbr_zstd_compress(struct pbr_zstd_enc *z, struct pbr_span in, uint8_t *out, size_t cap,
                                   size_t *ret_len);

/* zstd decompressor, reusable: any number of frames, with or without content size, skippable frames (BLOB-053).
 * Appends to out, never beyond out's maximum (PBR_E_LIMIT). FORMAT with rule BLOB-054 for garbage or an incomplete
 * frame; diag.text then is the library's own text. `expect` is the expected plain length (a hint, 0 = unknown). */
struct pbr_zstd_dec;
PBR_MUST_USE int pbr_zstd_dec_new(const struct pbr_env *env, struct pbr_zstd_dec **ret);
void pbr_zstd_dec_free(struct pbr_zstd_dec *z);
PBR_MUST_USE int pbr_zstd_decompress(struct pbr_zstd_dec *z, struct pbr_span in, size_t expect, struct pbr_buf *out,
                                     struct pbr_diag *diag);

#endif
