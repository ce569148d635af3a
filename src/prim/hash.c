/* SPDX-License-Identifier: MIT */
/* SHA-256, HMAC-SHA-256, constant-time comparison: OpenSSL behind prim.h [BLOB-070, CRY-004,
 * CRY-005].
 *
 * OpenSSL keeps a queue of errors for each thread; a failure here leaves none behind, because TLS
 * code of the same thread would read it as its own. Thread: functions without an object are
 * thread-safe; a pbr_sha256 is not shared. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "prim/prim.h"

struct pbr_sha256 {
    const struct pbr_env *env;
    EVP_MD_CTX *run;     /* everything hashed so far */
    EVP_MD_CTX *scratch; /* copy that is finished for a result, so that `run` can go on */
};

static int crypto_failed(void)
{
    ERR_clear_error();
    return PBR_E_CRYPTO;
}

/* Empty input may have no pointer at all, which OpenSSL need not accept. */
static int update(EVP_MD_CTX *ctx, struct pbr_span in)
{
    return in.len == 0 || EVP_DigestUpdate(ctx, in.ptr, in.len) == 1;
}

int pbr_sha256(struct pbr_span a, struct pbr_span b, uint8_t out[PBR_DIGEST_LEN])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx)
        return PBR_E_NOMEM;
    const bool ok = EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) == 1 && update(ctx, a) &&
                    update(ctx, b) && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return crypto_failed();
    for (size_t i = 0; i < PBR_DIGEST_LEN; i++)
        out[i] = digest[i];
    return PBR_OK;
}

int pbr_sha256_new(const struct pbr_env *env, struct pbr_sha256 **ret)
{
    int rc = PBR_E_NOMEM;
    struct pbr_sha256 *h = pbr_alloc(env, 1, sizeof(*h));
    if (!h)
        goto out;
    h->env = env;
    h->run = EVP_MD_CTX_new();
    h->scratch = EVP_MD_CTX_new();
    if (!h->run || !h->scratch)
        goto out;
    if (EVP_DigestInit_ex2(h->run, EVP_sha256(), NULL) != 1) {
        rc = crypto_failed();
        goto out;
    }

    *ret = h;
    h = NULL;
    rc = PBR_OK;
out:
    pbr_sha256_free(h);
    return rc;
}

void pbr_sha256_free(struct pbr_sha256 *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->run);
    EVP_MD_CTX_free(h->scratch);
    pbr_free(h->env, h);
}

int pbr_sha256_update(struct pbr_sha256 *h, struct pbr_span in)
{
    return update(h->run, in) ? PBR_OK : crypto_failed();
}

int pbr_sha256_result(const struct pbr_sha256 *h, uint8_t out[PBR_DIGEST_LEN])
{
    if (EVP_MD_CTX_copy_ex(h->scratch, h->run) != 1 ||
        EVP_DigestFinal_ex(h->scratch, out, NULL) != 1)
        return crypto_failed();
    return PBR_OK;
}

int pbr_hmac_sha256(struct pbr_span key, struct pbr_span in, uint8_t out[PBR_DIGEST_LEN])
{
    static const uint8_t none[1] = { 0 };
    if (key.len > INT32_MAX)
        return PBR_E_ARG;
    if (!HMAC(EVP_sha256(), key.len ? key.ptr : none, (int)key.len, in.len ? in.ptr : none, in.len,
              out, NULL))
        return crypto_failed();
    return PBR_OK;
}

bool pbr_equal_secret(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
