/* SPDX-License-Identifier: MIT */
/* AES-256-GCM with 16 byte IV and without additional data [BLOB-040 .. BLOB-044, CRY-041].
 * Thread: thread-safe. */
#include <openssl/err.h>
#include <openssl/evp.h>

#include "prim/prim.h"

enum {
    IV_LEN = 16,
    TAG_LEN = 16,
    STEP = 1 << 30, /* OpenSSL counts the bytes of one call in an int */
};

/* The IV length must be set before key and IV are given [CRY-041]. */
static bool init(EVP_CIPHER_CTX *ctx, const uint8_t key[32], const uint8_t iv[IV_LEN], int encrypt)
{
    return EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), NULL, NULL, encrypt, NULL) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, IV_LEN, NULL) == 1 &&
           EVP_CipherInit_ex2(ctx, NULL, key, iv, encrypt, NULL) == 1;
}

static bool run(EVP_CIPHER_CTX *ctx, struct pbr_span in, uint8_t *out)
{
    for (size_t done = 0; done < in.len;) {
        const size_t left = in.len - done;
        const int step = left < STEP ? (int)left : STEP;
        int got = 0;
        if (EVP_CipherUpdate(ctx, out + done, &got, in.ptr + done, step) != 1 || got != step)
            return false;
        done += (size_t)step;
    }
    return true;
}

int pbr_gcm_seal(const uint8_t key[32], const uint8_t iv[IV_LEN], struct pbr_span in, uint8_t *out,
                 uint8_t tag[TAG_LEN])
{
    uint8_t rest[TAG_LEN]; /* GCM has no last block, but the call wants a place for one */
    int rest_len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return PBR_E_NOMEM;
    const bool ok = init(ctx, key, iv, 1) && run(ctx, in, out) &&
                    EVP_CipherFinal_ex(ctx, rest, &rest_len) == 1 &&
                    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (ok)
        return PBR_OK;
    ERR_clear_error();
    return PBR_E_CRYPTO;
}

int pbr_gcm_open(const uint8_t key[32], const uint8_t iv[IV_LEN], const uint8_t tag[TAG_LEN],
                 struct pbr_span in, uint8_t *out)
{
    uint8_t rest[TAG_LEN];
    uint8_t want[TAG_LEN];
    int rest_len = 0;
    int rc = PBR_E_CRYPTO;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return PBR_E_NOMEM;
    for (size_t i = 0; i < TAG_LEN; i++) /* the call takes a pointer without const */
        want[i] = tag[i];
    if (init(ctx, key, iv, 0) && run(ctx, in, out) &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, want) == 1)
        rc = EVP_CipherFinal_ex(ctx, rest, &rest_len) == 1 ? PBR_OK : PBR_E_INTEGRITY;
    EVP_CIPHER_CTX_free(ctx);
    if (rc != PBR_OK) {
        pbr_wipe(in.len ? out : NULL, in.len); /* nothing unauthenticated leaves [BLOB-056] */
        ERR_clear_error();
    }
    return rc;
}
