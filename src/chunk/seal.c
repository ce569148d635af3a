/* SPDX-License-Identifier: MIT */
/* Sealing and opening of blobs; see seal.h. Compression comes first, then encryption, then the CRC
 * [BLOB-022]. Thread: a sealer/opener is not shared; a pbr_crypt is shared const. */
#include "chunk/seal.h"

#include <string.h>

#include "base/limits.h"
#include "format/keyfile.h"

struct pbr_sealer {
    const struct pbr_env *env;
    struct pbr_zstd_enc *zstd;
    struct pbr_buf packed; /* compressed data on its way into encryption */
};

struct pbr_opener {
    const struct pbr_env *env;
    struct pbr_zstd_dec *zstd;
    struct pbr_buf packed; /* decrypted data on its way into decompression */
};

/* ---- keys ---- */

int pbr_crypt_init(struct pbr_crypt *c, const uint8_t key[32])
{
    struct pbr_crypt made;
    memcpy(made.enc_key, key, sizeof(made.enc_key));
    const int rc = pbr_key_derive(key, made.id_key, made.fingerprint);
    if (rc == PBR_OK)
        *c = made;
    pbr_crypt_wipe(&made);
    return rc;
}

void pbr_crypt_wipe(struct pbr_crypt *c)
{
    pbr_wipe(c, sizeof(*c));
}

int pbr_chunk_digest(const struct pbr_crypt *crypt, struct pbr_span plain,
                     uint8_t out[PBR_DIGEST_LEN])
{
    /* the key comes after the data: a plain hash with a suffix, not an HMAC [BLOB-071] */
    return pbr_sha256(
        plain, crypt ? pbr_span(crypt->id_key, sizeof(crypt->id_key)) : pbr_span(NULL, 0), out);
}

/* ---- sealing ---- */

int pbr_sealer_new(const struct pbr_env *env, struct pbr_sealer **ret)
{
    struct pbr_sealer *s = pbr_alloc(env, 1, sizeof(*s));
    if (!s)
        return PBR_E_NOMEM;
    s->env = env;
    pbr_buf_init(&s->packed, env, PBR_BLOB_PLAIN_MAX);
    const int rc = pbr_zstd_enc_new(env, &s->zstd);
    if (rc < 0) {
        pbr_sealer_free(s);
        return rc;
    }
    *ret = s;
    return PBR_OK;
}

void pbr_sealer_free(struct pbr_sealer *s)
{
    if (!s)
        return;
    pbr_zstd_enc_free(s->zstd);
    pbr_buf_release(&s->packed);
    pbr_free(s->env, s);
}

/* Compresses to out, whose room is as long as `plain`: a longer result is not worth it [BLOB-024,
 * BLOB-025]. *ret_len = 0 if the data stays as it is. */
static int try_compress(struct pbr_sealer *s, bool compress, struct pbr_span plain, uint8_t *out,
                        size_t *ret_len)
{
    *ret_len = 0;
    if (!compress || plain.len == 0)
        return PBR_OK;
    return pbr_zstd_compress(s->zstd, plain, out, plain.len, ret_len);
}

/* `out` has room for the header and plain.len bytes. */
static int seal_open_kind(struct pbr_sealer *s, bool compress, struct pbr_span plain, uint8_t *out,
                          size_t *ret_len)
{
    uint8_t *const payload = out + pbr_blob_hdr_len(PBR_BLOB_PLAIN);
    size_t packed;
    const int rc = try_compress(s, compress, plain, payload, &packed);
    if (rc < 0)
        return rc;
    const size_t len = packed ? packed : plain.len;
    if (!packed && len)
        memcpy(payload, plain.ptr, len);

    const struct pbr_blob blob = { .kind = packed ? PBR_BLOB_ZSTD : PBR_BLOB_PLAIN,
                                   .crc = pbr_crc32(0, pbr_span(payload, len)) };
    pbr_blob_hdr_emit(&blob, out);
    *ret_len = pbr_blob_hdr_len(blob.kind) + len;
    return PBR_OK;
}

static int seal_encrypted_kind(struct pbr_sealer *s, const struct pbr_crypt *crypt, bool compress,
                               struct pbr_span plain, uint8_t *out, size_t *ret_len)
{
    struct pbr_blob blob = { .kind = PBR_BLOB_ENC };
    uint8_t *const payload = out + pbr_blob_hdr_len(PBR_BLOB_ENC);
    uint8_t *packed;
    size_t packed_len;
    pbr_buf_clear(&s->packed);
    int rc = pbr_buf_reserve(&s->packed, compress ? plain.len : 0, &packed);
    if (rc < 0)
        return rc;
    rc = try_compress(s, compress, plain, packed, &packed_len);
    if (rc < 0)
        return rc;
    if (packed_len) {
        blob.kind = PBR_BLOB_ENC_ZSTD;
        plain = pbr_span(packed, packed_len);
    }

    rc = s->env->random(s->env->ctx, blob.iv, sizeof(blob.iv)); /* fresh for each blob [BLOB-041] */
    if (rc < 0)
        return rc;
    rc = pbr_gcm_seal(crypt->enc_key, blob.iv, plain, payload, blob.tag);
    if (rc < 0)
        return rc;
    blob.crc = pbr_crc32(0, pbr_span(payload, plain.len));
    pbr_blob_hdr_emit(&blob, out);
    *ret_len = pbr_blob_hdr_len(blob.kind) + plain.len;
    return PBR_OK;
}

int pbr_seal(struct pbr_sealer *s, const struct pbr_crypt *crypt, bool compress,
             struct pbr_span plain, struct pbr_buf *out, struct pbr_diag *diag)
{
    uint8_t *raw;
    size_t raw_len = 0;
    if (plain.len > PBR_BLOB_PLAIN_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, "BLOB-021", "blob of %zu bytes, at most %d",
                           plain.len, (int)PBR_BLOB_PLAIN_MAX);
    int rc = pbr_buf_reserve(
        out, pbr_blob_hdr_len(crypt ? PBR_BLOB_ENC : PBR_BLOB_PLAIN) + plain.len, &raw);
    if (rc == PBR_OK)
        rc = crypt ? seal_encrypted_kind(s, crypt, compress, plain, raw, &raw_len)
                   : seal_open_kind(s, compress, plain, raw, &raw_len);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "cannot encode a blob of %zu bytes: %s", plain.len,
                           pbr_err_name(rc));
    out->len += raw_len;
    return PBR_OK;
}

/* ---- opening ---- */

int pbr_opener_new(const struct pbr_env *env, struct pbr_opener **ret)
{
    struct pbr_opener *o = pbr_alloc(env, 1, sizeof(*o));
    if (!o)
        return PBR_E_NOMEM;
    o->env = env;
    pbr_buf_init(&o->packed, env, PBR_BLOB_PLAIN_MAX);
    const int rc = pbr_zstd_dec_new(env, &o->zstd);
    if (rc < 0) {
        pbr_opener_free(o);
        return rc;
    }
    *ret = o;
    return PBR_OK;
}

void pbr_opener_free(struct pbr_opener *o)
{
    if (!o)
        return;
    pbr_zstd_dec_free(o->zstd);
    pbr_wipe(o->packed.ptr, o->packed.cap); /* it held plain data of encrypted backups */
    pbr_buf_release(&o->packed);
    pbr_free(o->env, o);
}

static int check_kind(enum pbr_blob_kind kind, const struct pbr_open_opts *opts,
                      struct pbr_diag *diag)
{
    const bool encrypted = pbr_blob_is_encrypted(kind);
    if (opts->want == PBR_OPEN_UNENCRYPTED && encrypted)
        return pbr_fail_at(diag, PBR_E_CRYPTO, "BLOB-087",
                           "encrypted blob where an unencrypted one is due");
    if (opts->want == PBR_OPEN_ENCRYPTED && !encrypted)
        return pbr_fail_at(diag, PBR_E_CRYPTO, "BLOB-087",
                           "unencrypted blob where an encrypted one is due");
    if (encrypted && !opts->crypt)
        return pbr_fail_at(diag, PBR_E_CRYPTO, "BLOB-055",
                           "blob is encrypted, and there is no key");
    return PBR_OK;
}

/* Appends the decrypted payload to `to`. The tag is checked before anything looks at the data
 * [BLOB-056]. */
static int decrypt(const struct pbr_blob *blob, const struct pbr_crypt *crypt, struct pbr_buf *to,
                   struct pbr_diag *diag)
{
    uint8_t *p;
    int rc = pbr_buf_reserve(to, blob->payload.len, &p);
    if (rc < 0)
        return pbr_fail_at(diag, rc, "BLOB-060", "encrypted blob with %zu bytes: %s",
                           blob->payload.len, pbr_err_name(rc));
    rc = pbr_gcm_open(crypt->enc_key, blob->iv, blob->tag, blob->payload, p);
    if (rc == PBR_E_INTEGRITY)
        return pbr_fail_at(diag, rc, "BLOB-056", "decryption failed: wrong key or damaged data");
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "decryption failed");
    to->len += blob->payload.len;
    return PBR_OK;
}

static int decompress(struct pbr_opener *o, struct pbr_span packed,
                      const struct pbr_open_opts *opts, struct pbr_buf *out, struct pbr_diag *diag)
{
    size_t expect = 0;
    if (opts->has_len && opts->len <= out->max - out->len)
        expect = (size_t)opts->len;
    const int rc = pbr_zstd_decompress(o->zstd, packed, expect, out, diag);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "decompression failed: %s", pbr_err_name(rc))
                  : PBR_OK;
}

/* Plain data of `blob`: borrowed from the raw bytes or from what is appended to out. */
static int decode(struct pbr_opener *o, const struct pbr_blob *blob,
                  const struct pbr_open_opts *opts, struct pbr_buf *out, struct pbr_span *ret,
                  struct pbr_diag *diag)
{
    const size_t before = out->len;
    int rc = PBR_OK;
    switch (blob->kind) {
    case PBR_BLOB_PLAIN:
        if (blob->payload.len > out->max - before)
            return pbr_fail_at(diag, PBR_E_LIMIT, "BLOB-060", "blob of %zu bytes, at most %zu",
                               blob->payload.len, out->max - before);
        *ret = blob->payload;
        return PBR_OK;
    case PBR_BLOB_ZSTD:
        rc = decompress(o, blob->payload, opts, out, diag);
        break;
    case PBR_BLOB_ENC:
        rc = decrypt(blob, opts->crypt, out, diag);
        break;
    case PBR_BLOB_ENC_ZSTD:
        pbr_buf_clear(&o->packed);
        rc = decrypt(blob, opts->crypt, &o->packed, diag);
        if (rc == PBR_OK)
            rc = decompress(o, pbr_buf_span(&o->packed), opts, out, diag);
        break;
    }
    if (rc < 0)
        return rc;
    *ret = pbr_span_sub(pbr_buf_span(out), before, out->len - before);
    return PBR_OK;
}

/* Digest, then length, as the server does [BLOB-059, BLOB-061]; the texts are its texts too
 * [BKP-115]. */
static int check_plain(const struct pbr_blob *blob, struct pbr_span plain,
                       const struct pbr_open_opts *opts, struct pbr_diag *diag)
{
    if (opts->digest) {
        uint8_t digest[PBR_DIGEST_LEN];
        const struct pbr_crypt *key =
            pbr_blob_is_encrypted(blob->kind) ? opts->crypt : NULL; /* [BLOB-073] */
        const int rc = pbr_chunk_digest(key, plain, digest);
        if (rc < 0)
            return pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
        if (memcmp(digest, opts->digest, sizeof(digest)) != 0)
            return pbr_fail_at(diag, PBR_E_INTEGRITY, "BLOB-059",
                               "detected chunk with wrong digest.");
    }
    if (opts->has_len && opts->len != plain.len)
        return pbr_fail_at(diag, PBR_E_INTEGRITY, "BLOB-061",
                           "detected chunk with wrong length (%" PRIu64 " != %zu)", opts->len,
                           plain.len);
    return PBR_OK;
}

int pbr_open_blob(struct pbr_opener *o, struct pbr_span raw, const struct pbr_open_opts *opts,
                  struct pbr_buf *out, struct pbr_span *ret_plain, struct pbr_diag *diag)
{
    struct pbr_blob blob;
    struct pbr_span plain;
    int rc = pbr_blob_parse(raw, &blob, diag);
    if (rc == PBR_OK && !opts->skip_crc)
        rc = pbr_blob_check_crc(&blob, diag);
    if (rc == PBR_OK)
        rc = check_kind(blob.kind, opts, diag);
    if (rc < 0)
        return rc;

    const size_t before = out->len;
    const size_t own_max = out->max;
    const size_t max = opts->max ? opts->max : PBR_CHUNK_MAX;
    if (out->max - before > max)
        out->max =
            before + max; /* the caller's bound for this blob, for as long as it is decoded */
    rc = decode(o, &blob, opts, out, &plain, diag);
    out->max = own_max;
    if (rc == PBR_OK)
        rc = check_plain(&blob, plain, opts, diag);
    if (rc < 0) {
        out->len = before;
        return rc;
    }
    *ret_plain = plain;
    return PBR_OK;
}
