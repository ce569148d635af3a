/* SPDX-License-Identifier: MIT */
/* RSA with PKCS#1 v1.5 padding, for the master key that can open every snapshot's key [CRY-080 ..
 * CRY-087]. Thread: thread-safe. */
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "prim/prim.h"

/* Without a callback of ours the library would ask on the terminal. */
static int give_password(char *out, int cap, int writing, void *ctx)
{
    const struct pbr_span *password = ctx;
    (void)writing;
    if (!password || cap < 0 || password->len > (size_t)cap)
        return -1;
    if (password->len)
        memcpy(out, password->ptr, password->len);
    return (int)password->len;
}

static int failed(struct pbr_diag *diag, const char *rule, const char *text)
{
    ERR_clear_error();
    return pbr_fail_at(diag, PBR_E_CRYPTO, rule, "%s", text);
}

static EVP_PKEY *read_key(struct pbr_span pem, bool private, const struct pbr_span *password)
{
    if (pem.len == 0 || pem.len > INT32_MAX)
        return NULL;
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    if (!bio)
        return NULL;
    void *ctx = (void *)(uintptr_t)password;
    EVP_PKEY *key = private ? PEM_read_bio_PrivateKey(bio, NULL, give_password, ctx)
                            : PEM_read_bio_PUBKEY(bio, NULL, give_password, ctx);
    BIO_free(bio);
    if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

typedef int (*crypt_fn)(EVP_PKEY_CTX *ctx, unsigned char *out, size_t *outlen,
                        const unsigned char *in, size_t inlen);

/* One operation with a prepared context; the first call of `run_fn` asks for the room needed. */
static int run(EVP_PKEY_CTX *ctx, crypt_fn run_fn, struct pbr_span in, struct pbr_buf *out)
{
    size_t len = 0;
    uint8_t *p;
    if (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) <= 0 ||
        run_fn(ctx, NULL, &len, in.ptr, in.len) <= 0)
        return PBR_E_CRYPTO;
    const int rc = pbr_buf_reserve(out, len, &p);
    if (rc < 0)
        return rc;
    if (run_fn(ctx, p, &len, in.ptr, in.len) <= 0)
        return PBR_E_CRYPTO;
    out->len += len;
    return PBR_OK;
}

int pbr_rsa_encrypt(struct pbr_span public_pem, struct pbr_span in, struct pbr_buf *out,
                    struct pbr_diag *diag)
{
    int rc = PBR_E_CRYPTO;
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *key = read_key(public_pem, false, NULL);
    if (!key)
        return failed(diag, "CRY-085", "not an RSA public key in PEM form");
    ctx = EVP_PKEY_CTX_new(key, NULL);
    if (ctx && EVP_PKEY_encrypt_init(ctx) > 0)
        rc = run(ctx, EVP_PKEY_encrypt, in, out);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (rc == PBR_E_CRYPTO)
        return failed(diag, "CRY-083", "RSA encryption failed: the key is too short for the data");
    return rc;
}

int pbr_rsa_decrypt(struct pbr_span private_pem, const struct pbr_span *password,
                    struct pbr_span in, struct pbr_buf *out, struct pbr_diag *diag)
{
    int rc = PBR_E_CRYPTO;
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *key = read_key(private_pem, true, password);
    if (!key)
        return failed(diag, "CRY-086", "not an RSA private key in PEM form, or wrong password");
    ctx = EVP_PKEY_CTX_new(key, NULL);
    if (ctx && EVP_PKEY_decrypt_init(ctx) > 0)
        rc = run(ctx, EVP_PKEY_decrypt, in, out);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (rc == PBR_E_CRYPTO)
        return failed(diag, "CRY-086", "RSA decryption failed");
    return rc;
}
