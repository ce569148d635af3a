/* SPDX-License-Identifier: MIT */
/* Key files; layout in keyfile.h [CRY-001 .. CRY-037]. Thread: an object is not shared. */
#include "format/keyfile.h"

#include <string.h>

#include "format/manifest.h"
#include "prim/prim.h"

enum { IV_LEN = 16, TAG_LEN = 16, SALT_LEN = 32, HEAD_LEN = IV_LEN + TAG_LEN,
       EMIT_FIXED = 512 /* names, numbers, times, fingerprint of a file */ };

/* ---- names of the functions ---- */

static const struct {
    const char *cli;    /* word of the command line */
    const char *member; /* name in the file; case counts [CRY-021] */
} kdfs[] = {
    [PBR_KDF_NONE] = { "none", NULL },
    [PBR_KDF_SCRYPT] = { "scrypt", "Scrypt" },
    [PBR_KDF_PBKDF2] = { "pbkdf2", "PBKDF2" },
};

const char *pbr_kdf_name(enum pbr_kdf kdf)
{
    return kdfs[kdf].cli;
}

bool pbr_kdf_parse(struct pbr_span text, enum pbr_kdf *ret)
{
    for (unsigned i = 0; i < sizeof(kdfs) / sizeof(kdfs[0]); i++)
        if (pbr_span_eq_str(text, kdfs[i].cli)) {
            *ret = (enum pbr_kdf)i;
            return true;
        }
    return false;
}

/* ---- derivation ---- */

int pbr_key_derive(const uint8_t key[PBR_KEY_LEN], uint8_t ret_id_key[32],
                   uint8_t ret_fingerprint[32])
{
    uint8_t input[PBR_DIGEST_LEN];
    uint8_t id_key[32];
    int rc = pbr_pbkdf2_sha256(pbr_span(key, PBR_KEY_LEN), pbr_span_str("_id_key"), 10, id_key,
                               sizeof(id_key));
    if (rc == PBR_OK)
        rc = pbr_sha256(pbr_span_str("Proxmox Backup Encryption Key Fingerprint"),
                        pbr_span(NULL, 0), input);
    if (rc == PBR_OK)
        rc = pbr_sha256(pbr_span(input, sizeof(input)), pbr_span(id_key, sizeof(id_key)),
                        ret_fingerprint);
    if (rc == PBR_OK)
        memcpy(ret_id_key, id_key, sizeof(id_key));
    pbr_wipe(id_key, sizeof(id_key));
    return rc;
}

void pbr_keyfile_release(struct pbr_keyfile *k)
{
    if (!k->env)
        return;
    pbr_secret_release(&k->salt);
    pbr_secret_release(&k->data);
    pbr_free(k->env, k->hint);
    *k = (struct pbr_keyfile){ 0 };
}

/* ---- parse ---- */

static int bad(struct pbr_diag *diag, const char *rule, const char *member)
{
    return pbr_fail_at(diag, PBR_E_FORMAT, rule, "key file: missing or wrong member `%s`", member);
}

static bool get_text(const json_t *object, const char *member, struct pbr_span *ret)
{
    const json_t *value = json_object_get(object, member);
    if (!json_is_string(value))
        return false;
    *ret = pbr_span(json_string_value(value), json_string_length(value));
    return true;
}

static int get_base64(const struct pbr_env *env, const json_t *object, const char *rule,
                      const char *member, struct pbr_secret *ret, struct pbr_diag *diag)
{
    struct pbr_span text;
    struct pbr_buf bytes;
    if (!get_text(object, member, &text))
        return bad(diag, rule, member);
    pbr_buf_init(&bytes, env, text.len);
    int rc = pbr_base64_decode(text, &bytes);
    if (rc == PBR_OK)
        rc = pbr_secret_set(ret, env, pbr_buf_span(&bytes));
    pbr_wipe(bytes.ptr, bytes.cap);
    pbr_buf_release(&bytes);
    return rc == PBR_E_FORMAT ? bad(diag, rule, member) : rc;
}

static int get_count(const json_t *object, const char *rule, const char *member, uint64_t *ret,
                     struct pbr_diag *diag)
{
    const json_t *value = json_object_get(object, member);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return bad(diag, rule, member);
    *ret = (uint64_t)json_integer_value(value);
    return PBR_OK;
}

/* null or missing: in clear; else an object whose only member selects the function [CRY-021]. */
static int parse_kdf(struct pbr_keyfile *k, const json_t *top, struct pbr_diag *diag)
{
    const json_t *kdf = json_object_get(top, "kdf");
    if (!kdf || json_is_null(kdf))
        return PBR_OK;
    const json_t *scrypt = json_object_get(kdf, kdfs[PBR_KDF_SCRYPT].member);
    const json_t *pbkdf2 = json_object_get(kdf, kdfs[PBR_KDF_PBKDF2].member);
    if (json_object_size(kdf) != 1 || (!scrypt && !pbkdf2))
        return bad(diag, "CRY-021", "kdf");
    k->kdf = scrypt ? PBR_KDF_SCRYPT : PBR_KDF_PBKDF2;
    int rc;
    if (scrypt) {
        rc = get_count(scrypt, "CRY-021", "n", &k->n, diag);
        if (rc == PBR_OK)
            rc = get_count(scrypt, "CRY-021", "r", &k->r, diag);
        if (rc == PBR_OK)
            rc = get_count(scrypt, "CRY-021", "p", &k->p, diag);
    } else {
        rc = get_count(pbkdf2, "CRY-021", "iter", &k->iter, diag);
    }
    if (rc < 0)
        return rc;
    return get_base64(k->env, scrypt ? scrypt : pbkdf2, "CRY-021", "salt", &k->salt, diag);
}

static int parse_time(const json_t *top, const char *member, struct pbr_zone_time *ret,
                      struct pbr_diag *diag)
{
    struct pbr_span text;
    if (!get_text(top, member, &text) || !pbr_time_parse_zone(text, ret))
        return bad(diag, "CRY-022", member);
    return PBR_OK;
}

/* The two members that may be missing or null. */
static int parse_optional(struct pbr_keyfile *k, const json_t *top, struct pbr_diag *diag)
{
    const json_t *fingerprint = json_object_get(top, "fingerprint");
    const json_t *hint = json_object_get(top, "hint");
    struct pbr_span text = { 0 };
    if (fingerprint && !json_is_null(fingerprint)) {
        if (!get_text(top, "fingerprint", &text) || !pbr_fingerprint_parse(text, k->fingerprint))
            return bad(diag, "CRY-024", "fingerprint");
        k->has_fingerprint = true;
    }
    if (!hint || json_is_null(hint))
        return PBR_OK;
    if (!get_text(top, "hint", &text) || memchr(text.ptr, 0, text.len))
        return bad(diag, "CRY-025", "hint");
    k->hint = pbr_strndup(k->env, text);
    return k->hint ? PBR_OK : PBR_E_NOMEM;
}

int pbr_keyfile_parse(struct pbr_keyfile *k, const struct pbr_env *env, struct pbr_span text,
                      struct pbr_diag *diag)
{
    struct pbr_keyfile made = { .env = env };
    json_t *top = NULL;
    int rc = pbr_json_parse(text, &top, diag);
    if (rc < 0)
        return rc;
    if (!json_is_object(top))
        rc = pbr_fail_at(diag, PBR_E_FORMAT, "CRY-020", "key file is no JSON object");
    if (rc == PBR_OK)
        rc = parse_kdf(&made, top, diag);
    if (rc == PBR_OK)
        rc = parse_time(top, "created", &made.created, diag);
    if (rc == PBR_OK)
        rc = parse_time(top, "modified", &made.modified, diag);
    if (rc == PBR_OK)
        rc = get_base64(env, top, "CRY-023", "data", &made.data, diag);
    if (rc == PBR_OK)
        rc = parse_optional(&made, top, diag);
    json_decref(top);
    if (rc < 0) {
        pbr_keyfile_release(&made);
        return rc;
    }
    *k = made;
    return PBR_OK;
}

/* ---- emit ---- */

/* `"name":"base64"` */
static int emit_base64(const char *name, const struct pbr_secret *bytes, struct pbr_buf *out)
{
    int rc = pbr_buf_printf(out, "\"%s\":\"", name);
    if (rc == PBR_OK)
        rc = pbr_base64_encode(pbr_span(bytes->ptr, bytes->len), true, out);
    return rc == PBR_OK ? pbr_buf_append_u8(out, '"') : rc;
}

static int emit_kdf(const struct pbr_keyfile *k, struct pbr_buf *out)
{
    int rc;
    if (k->kdf == PBR_KDF_NONE)
        return pbr_buf_printf(out, "{\"kdf\":null");
    if (k->kdf == PBR_KDF_SCRYPT)
        rc = pbr_buf_printf(
            out, "{\"kdf\":{\"Scrypt\":{\"n\":%" PRIu64 ",\"r\":%" PRIu64 ",\"p\":%" PRIu64 ",",
            k->n, k->r, k->p);
    else
        rc = pbr_buf_printf(out, "{\"kdf\":{\"PBKDF2\":{\"iter\":%" PRIu64 ",", k->iter);
    if (rc == PBR_OK)
        rc = emit_base64("salt", &k->salt, out);
    return rc == PBR_OK ? pbr_buf_printf(out, "}}") : rc;
}

static int emit_optional(const struct pbr_keyfile *k, struct pbr_buf *out)
{
    char fingerprint[PBR_FINGERPRINT_TEXT + 1];
    int rc = PBR_OK;
    pbr_fingerprint_format(k->fingerprint, fingerprint);
    if (k->has_fingerprint)
        rc = pbr_buf_printf(out, ",\"fingerprint\":\"%s\"", fingerprint);
    if (rc < 0 || !k->hint)
        return rc;
    rc = pbr_buf_printf(out, ",\"hint\":");
    return rc == PBR_OK ? pbr_json_quote(pbr_span_str(k->hint), out) : rc;
}

int pbr_keyfile_emit(const struct pbr_keyfile *k, struct pbr_buf *out)
{
    char created[PBR_ZONE_TIME_TEXT + 1], modified[PBR_ZONE_TIME_TEXT + 1];
    const size_t before = out->len;
    uint8_t *room; /* for all of it at once: a buffer that moves leaves a copy of the key behind */
    if (!pbr_time_format_zone(&k->created, created) ||
        !pbr_time_format_zone(&k->modified, modified))
        return PBR_E_ARG;
    int rc = pbr_buf_reserve(out, EMIT_FIXED + 2 * (k->data.len + k->salt.len) + (k->hint ? 6 * strlen(k->hint) : 0), &room);
    if (rc == PBR_OK)
        rc = emit_kdf(k, out);
    if (rc == PBR_OK)
        rc = pbr_buf_printf(out, ",\"created\":\"%s\",\"modified\":\"%s\",", created, modified);
    if (rc == PBR_OK)
        rc = emit_base64("data", &k->data, out);
    if (rc == PBR_OK)
        rc = emit_optional(k, out);
    if (rc == PBR_OK)
        rc = pbr_buf_append_u8(out, '}');
    if (rc < 0)
        out->len = before;
    return rc;
}

/* ---- lock and unlock ---- */

static int derive(const struct pbr_keyfile *k, struct pbr_span password, uint8_t out[32],
                  struct pbr_diag *diag)
{
    const struct pbr_span salt = pbr_span(k->salt.ptr, k->salt.len);
    const bool scrypt = k->kdf == PBR_KDF_SCRYPT;
    const char *rule = scrypt ? "CRY-032" : "CRY-033";
    const int rc = scrypt ? pbr_scrypt(password, salt, k->n, k->r, k->p, out, 32)
                          : pbr_pbkdf2_sha256(password, salt, k->iter, out, 32);
    if (rc == PBR_E_ARG)
        return pbr_fail_at(diag, PBR_E_FORMAT, rule,
                           "key file: impossible parameters of the derivation");
    if (rc == PBR_E_LIMIT)
        return pbr_fail_at(diag, PBR_E_LIMIT, rule, "key file: derivation costs too much");
    return rc < 0 ? pbr_fail_at(diag, rc, rule, "key derivation failed") : PBR_OK;
}

/* Decrypts the locked data; *ret has the length of the ciphertext. */
static int open_locked(const struct pbr_keyfile *k, struct pbr_span password,
                       struct pbr_secret *ret, struct pbr_diag *diag)
{
    uint8_t derived[32];
    if (password.len < PBR_PASSPHRASE_MIN)
        return pbr_fail_at(diag, PBR_E_CRYPTO, "CRY-034", "passphrase is shorter than %d bytes",
                           (int)PBR_PASSPHRASE_MIN);
    int rc = derive(k, password, derived, diag);
    if (rc < 0)
        return rc;
    if (k->data.len < HEAD_LEN) {
        rc = pbr_fail_at(diag, PBR_E_FORMAT, "CRY-035", "key file: %zu bytes of data", k->data.len);
        goto out;
    }
    const struct pbr_span locked = pbr_span(k->data.ptr + HEAD_LEN, k->data.len - HEAD_LEN);
    rc = pbr_secret_set(ret, k->env, locked);
    if (rc == PBR_OK)
        rc = pbr_gcm_open(derived, k->data.ptr, k->data.ptr + IV_LEN, locked, ret->ptr);
    if (rc == PBR_E_INTEGRITY)
        rc =
            pbr_fail_at(diag, PBR_E_CRYPTO, "CRY-035", "wrong passphrase or damaged key file%s%s%s",
                        k->hint ? " (hint: " : "", k->hint ? k->hint : "", k->hint ? ")" : "");
out:
    pbr_wipe(derived, sizeof(derived));
    return rc;
}

static int check_key(const struct pbr_keyfile *k, struct pbr_span key, struct pbr_diag *diag)
{
    uint8_t id_key[32], fingerprint[32];
    if (key.len != PBR_KEY_LEN)
        return pbr_fail_at(diag, PBR_E_FORMAT, "CRY-027", "key of %zu bytes", key.len);
    const int rc = pbr_key_derive(key.ptr, id_key, fingerprint);
    pbr_wipe(id_key, sizeof(id_key));
    if (rc < 0)
        return rc;
    if (k->has_fingerprint && memcmp(fingerprint, k->fingerprint, sizeof(fingerprint)) != 0)
        return pbr_fail_at(diag, PBR_E_INTEGRITY, "CRY-024",
                           "key does not have the fingerprint the key file says");
    return PBR_OK;
}

int pbr_keyfile_unlock(const struct pbr_keyfile *k, const struct pbr_span *password,
                       uint8_t ret_key[PBR_KEY_LEN], struct pbr_diag *diag)
{
    struct pbr_secret key = { 0 };
    int rc = k->kdf == PBR_KDF_NONE
                 ? pbr_secret_set(&key, k->env, pbr_span(k->data.ptr, k->data.len))
                 : open_locked(k, password ? *password : pbr_span(NULL, 0), &key, diag);
    if (rc == PBR_OK)
        rc = check_key(k, pbr_span(key.ptr, key.len), diag);
    if (rc == PBR_OK)
        memcpy(ret_key, key.ptr, PBR_KEY_LEN);
    pbr_secret_release(&key);
    return rc;
}

/* Salt, IV, tag and ciphertext of `key` [CRY-030]. */
static int lock(struct pbr_keyfile *k, const uint8_t key[PBR_KEY_LEN], struct pbr_span password,
                struct pbr_diag *diag)
{
    uint8_t salt[SALT_LEN], derived[32], data[HEAD_LEN + PBR_KEY_LEN];
    int rc = k->env->random(k->env->ctx, salt, sizeof(salt));
    if (rc == PBR_OK)
        rc = pbr_secret_set(&k->salt, k->env, pbr_span(salt, sizeof(salt)));
    if (rc == PBR_OK)
        rc = derive(k, password, derived, diag);
    if (rc == PBR_OK)
        rc = k->env->random(k->env->ctx, data, IV_LEN);
    if (rc == PBR_OK)
        rc =
            pbr_gcm_seal(derived, data, pbr_span(key, PBR_KEY_LEN), data + HEAD_LEN, data + IV_LEN);
    if (rc == PBR_OK)
        rc = pbr_secret_set(&k->data, k->env, pbr_span(data, sizeof(data)));
    pbr_wipe(derived, sizeof(derived));
    return rc;
}

int pbr_keyfile_make(struct pbr_keyfile *k, const struct pbr_env *env,
                     const uint8_t key[PBR_KEY_LEN], const struct pbr_keyfile_opts *opts,
                     struct pbr_diag *diag)
{
    uint8_t id_key[32];
    struct pbr_keyfile made = {
        .env = env, .kdf = opts->kdf, .created = opts->created, .modified = opts->modified
    };
    if (opts->kdf != PBR_KDF_NONE && opts->password.len < PBR_PASSPHRASE_MIN)
        return pbr_fail_at(diag, PBR_E_ARG, "CRY-034", "passphrase is shorter than %d bytes",
                           (int)PBR_PASSPHRASE_MIN);
    if (opts->kdf == PBR_KDF_SCRYPT) {
        made.n = opts->n ? opts->n : 65536;
        made.r = 8;
        made.p = 1;
    } else if (opts->kdf == PBR_KDF_PBKDF2) {
        made.iter = opts->iter ? opts->iter : 65535; /* not 65536 [CRY-033] */
    }
    int rc = pbr_key_derive(key, id_key, made.fingerprint);
    pbr_wipe(id_key, sizeof(id_key));
    made.has_fingerprint = true;
    if (rc == PBR_OK)
        rc = opts->kdf == PBR_KDF_NONE ? pbr_secret_set(&made.data, env, pbr_span(key, PBR_KEY_LEN))
                                       : lock(&made, key, opts->password, diag);
    if (rc == PBR_OK && opts->hint) {
        made.hint = pbr_strdup(env, opts->hint);
        rc = made.hint ? PBR_OK : PBR_E_NOMEM;
    }
    if (rc < 0) {
        pbr_keyfile_release(&made);
        return rc;
    }
    *k = made;
    return PBR_OK;
}
