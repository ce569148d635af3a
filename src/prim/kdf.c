/* SPDX-License-Identifier: MIT */
/* Key derivation from passphrases: scrypt and PBKDF2-HMAC-SHA-256 [CRY-002, CRY-032, CRY-033].
 * Thread: thread-safe. */
#include <openssl/err.h>
#include <openssl/evp.h>

#include "prim/prim.h"

/* Memory that a key file's parameters may ask for [CRY-032]. */
#define SCRYPT_MEM_MAX (UINT64_C(1025) << 20)

static int crypto_failed(void)
{
    ERR_clear_error();
    return PBR_E_CRYPTO;
}

/* Bytes scrypt works in: 128*r for each of p blocks and for each of n+2 rows; true if that is in
 * bounds. */
static bool scrypt_mem_ok(uint64_t n, uint64_t r, uint64_t p)
{
    uint64_t row, blocks, rows, sum;
    return pbr_mul(r, 128, &row) && pbr_mul(row, p, &blocks) && pbr_add(n, 2, &sum) &&
           pbr_mul(row, sum, &rows) && pbr_add(blocks, rows, &sum) && sum <= SCRYPT_MEM_MAX;
}

int pbr_scrypt(struct pbr_span password, struct pbr_span salt, uint64_t n, uint64_t r, uint64_t p,
               uint8_t *out, size_t out_len)
{
    static const uint8_t none[1] = { 0 };
    if (n < 2 || (n & (n - 1)) != 0 || r < 1 || p < 1)
        return PBR_E_ARG; /* RFC 7914: n is a power of two above one */
    if (!scrypt_mem_ok(n, r, p))
        return PBR_E_LIMIT;
    if (EVP_PBE_scrypt(password.len ? (const char *)password.ptr : "", password.len,
                       salt.len ? salt.ptr : none, salt.len, n, r, p, SCRYPT_MEM_MAX, out,
                       out_len) != 1)
        return crypto_failed();
    return PBR_OK;
}

int pbr_pbkdf2_sha256(struct pbr_span password, struct pbr_span salt, uint64_t iterations,
                      uint8_t *out, size_t out_len)
{
    static const uint8_t none[1] = { 0 };
    if (iterations < 1 || password.len > INT32_MAX || salt.len > INT32_MAX || out_len > INT32_MAX)
        return PBR_E_ARG;
    if (iterations > INT32_MAX)
        return PBR_E_LIMIT; /* hours of work, and more than the library counts */
    if (PKCS5_PBKDF2_HMAC(password.len ? (const char *)password.ptr : "", (int)password.len,
                          salt.len ? salt.ptr : none, (int)salt.len, (int)iterations, EVP_sha256(),
                          (int)out_len, out) != 1)
        return crypto_failed();
    return PBR_OK;
}
