/* SPDX-License-Identifier: MIT */
/* The manifest as values and as text, and its signature; see manifest.h [MAN-010 .. MAN-024,
 * MAN-044 .. MAN-052]. Thread: an object is not shared. */
#include "format/manifest.h"

#include <string.h>

/* ---- names of the crypt modes [MAN-017] ---- */

static const char *const crypt_modes[] = {
    [PBR_CRYPT_NONE] = "none",
    [PBR_CRYPT_ENCRYPT] = "encrypt",
    [PBR_CRYPT_SIGN_ONLY] = "sign-only",
};

const char *pbr_crypt_mode_name(enum pbr_crypt_mode mode)
{
    return crypt_modes[mode];
}

bool pbr_crypt_mode_parse(struct pbr_span text, enum pbr_crypt_mode *ret)
{
    for (unsigned i = 0; i < sizeof(crypt_modes) / sizeof(crypt_modes[0]); i++)
        if (pbr_span_eq_str(text, crypt_modes[i])) {
            *ret = (enum pbr_crypt_mode)i;
            return true;
        }
    return false;
}

/* ---- object ---- */

int pbr_manifest_init(struct pbr_manifest *m, const struct pbr_env *env,
                      const struct pbr_snapshot *s)
{
    json_t *unprotected = json_object();
    if (!unprotected)
        return PBR_E_NOMEM;
    *m = (struct pbr_manifest){ .env = env, .snapshot = *s, .unprotected = unprotected };
    return PBR_OK;
}

void pbr_manifest_release(struct pbr_manifest *m)
{
    if (!m->env)
        return;
    pbr_free(m->env, m->files);
    json_decref(m->unprotected);
    *m = (struct pbr_manifest){ 0 };
}

static int append(struct pbr_manifest *m, const struct pbr_manifest_file *file)
{
    if (m->file_nr == m->file_cap) {
        const size_t cap = m->file_cap ? m->file_cap * 2 : 8;
        uint64_t size;
        if (!pbr_mul(cap, sizeof(*m->files), &size) || size > SIZE_MAX)
            return PBR_E_NOMEM;
        struct pbr_manifest_file *files = pbr_realloc(m->env, m->files, (size_t)size);
        if (!files)
            return PBR_E_NOMEM;
        m->files = files;
        m->file_cap = cap;
    }
    m->files[m->file_nr++] = *file;
    return PBR_OK;
}

int pbr_manifest_add(struct pbr_manifest *m, const char *name, enum pbr_crypt_mode mode,
                     uint64_t size, const uint8_t csum[PBR_DIGEST_LEN])
{
    const struct pbr_span text = pbr_span_str(name);
    struct pbr_manifest_file file = { .crypt_mode = mode, .size = size };
    if (!pbr_name_is_safe_id(text) || text.len > PBR_ARCHIVE_NAME_MAX || size > INT64_MAX)
        return PBR_E_ARG;
    memcpy(file.name, text.ptr, text.len);
    memcpy(file.csum, csum, sizeof(file.csum));
    return append(m, &file);
}

const struct pbr_manifest_file *pbr_manifest_find(const struct pbr_manifest *m, const char *name)
{
    for (size_t i = 0; i < m->file_nr; i++)
        if (strcmp(m->files[i].name, name) == 0)
            return &m->files[i];
    return NULL;
}

/* ---- parse ---- */

static int bad_member(struct pbr_diag *diag, const char *rule, const char *name, const char *what)
{
    return pbr_fail_at(diag, PBR_E_FORMAT, rule, "%s in member `%s`", what, name);
}

/* A required string member as a NUL-terminated text in out. */
static int get_text(const json_t *object, const char *rule, const char *name, char *out, size_t cap,
                    struct pbr_diag *diag)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        return pbr_fail_at(diag, PBR_E_FORMAT, rule, "missing member `%s`", name);
    if (!json_is_string(value))
        return bad_member(diag, rule, name, "no string");
    const size_t len = json_string_length(value);
    if (memchr(json_string_value(value), 0, len))
        return bad_member(diag, rule, name, "NUL character");
    if (len >= cap)
        return pbr_fail_at(diag, PBR_E_LIMIT, rule, "member `%s` has %zu bytes", name, len);
    memcpy(out, json_string_value(value), len + 1);
    return PBR_OK;
}

static int get_integer(const json_t *object, const char *rule, const char *name, int64_t *ret,
                       struct pbr_diag *diag)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        return pbr_fail_at(diag, PBR_E_FORMAT, rule, "missing member `%s`", name);
    if (!json_is_integer(value))
        return bad_member(diag, rule, name, "no integer");
    *ret = json_integer_value(value);
    return PBR_OK;
}

static int get_csum(const json_t *object, uint8_t out[PBR_DIGEST_LEN], struct pbr_diag *diag)
{
    const json_t *value = json_object_get(object, "csum");
    if (!value)
        return pbr_fail_at(diag, PBR_E_FORMAT, "MAN-019", "missing member `csum`");
    if (!json_is_string(value))
        return bad_member(diag, "MAN-019", "csum", "no string");
    const struct pbr_span text = pbr_span(json_string_value(value), json_string_length(value));
    if (text.len != 2 * PBR_DIGEST_LEN) /* the server's text [BKP-181] */
        return pbr_fail_at(diag, PBR_E_FORMAT, "MAN-019", "Invalid string length");
    if (!pbr_parse_hex(text, out, PBR_DIGEST_LEN))
        return bad_member(diag, "MAN-019", "csum", "no hex digits");
    return PBR_OK;
}

static int get_crypt_mode(const json_t *object, enum pbr_crypt_mode *ret, struct pbr_diag *diag)
{
    const json_t *value = json_object_get(object, "crypt-mode");
    if (!value) {
        *ret = PBR_CRYPT_NONE; /* very old backups [MAN-017] */
        return PBR_OK;
    }
    if (!json_is_string(value) ||
        !pbr_crypt_mode_parse(pbr_span(json_string_value(value), json_string_length(value)), ret))
        return bad_member(diag, "MAN-017", "crypt-mode", "unknown value");
    return PBR_OK;
}

static int parse_file(const json_t *object, struct pbr_manifest_file *ret, struct pbr_diag *diag)
{
    int64_t size = 0;
    if (!json_is_object(object))
        return pbr_fail_at(diag, PBR_E_FORMAT, "MAN-013", "entry of `files` is no object");
    int rc = get_text(object, "MAN-016", "filename", ret->name, sizeof(ret->name), diag);
    if (rc == PBR_OK)
        rc = get_crypt_mode(object, &ret->crypt_mode, diag);
    if (rc == PBR_OK)
        rc = get_integer(object, "MAN-018", "size", &size, diag);
    if (rc == PBR_OK && size < 0)
        rc = bad_member(diag, "MAN-018", "size", "negative number");
    if (rc == PBR_OK)
        rc = get_csum(object, ret->csum, diag);
    ret->size = (uint64_t)size;
    return rc;
}

static int parse_files(struct pbr_manifest *m, const json_t *top, struct pbr_diag *diag)
{
    const json_t *files = json_object_get(top, "files");
    if (!json_is_array(files))
        return pbr_fail_at(diag, PBR_E_FORMAT, "MAN-013", "%s member `files`",
                           files ? "no array in" : "missing");
    for (size_t i = 0; i < json_array_size(files); i++) {
        struct pbr_manifest_file file = { 0 };
        int rc = parse_file(json_array_get(files, i), &file, diag);
        if (rc == PBR_OK)
            rc = append(m, &file);
        if (rc < 0)
            return rc;
    }
    return PBR_OK;
}

static int parse_snapshot(struct pbr_snapshot *s, const json_t *top, struct pbr_diag *diag)
{
    char type[8] = "";
    if (!json_is_object(top))
        return pbr_fail_at(diag, PBR_E_FORMAT, "MAN-021", "manifest is no JSON object");
    int rc = get_text(top, "MAN-010", "backup-type", type, sizeof(type), diag);
    if (rc == PBR_E_LIMIT || (rc == PBR_OK && !pbr_backup_type_ok(pbr_span_str(type)))) {
        pbr_diag_clear(diag);
        return bad_member(diag, "MAN-010", "backup-type", "unknown value");
    }
    if (rc == PBR_OK)
        rc = get_text(top, "MAN-011", "backup-id", s->group.id, sizeof(s->group.id), diag);
    if (rc == PBR_OK)
        rc = get_integer(top, "MAN-012", "backup-time", &s->time_s, diag);
    if (rc == PBR_OK)
        memcpy(s->group.type, type, strlen(type));
    return rc;
}

static int parse_signature(struct pbr_manifest *m, const json_t *top, struct pbr_diag *diag)
{
    const json_t *value = json_object_get(top, "signature");
    if (!value || json_is_null(value))
        return PBR_OK;
    m->has_signature = true;
    return get_text(top, "MAN-015", "signature", m->signature, sizeof(m->signature), diag);
}

/* Fills m, which is released by the caller on failure. */
static int parse_members(struct pbr_manifest *m, const json_t *top, struct pbr_diag *diag)
{
    int rc = parse_snapshot(&m->snapshot, top, diag);
    if (rc == PBR_OK)
        rc = parse_files(m, top, diag);
    if (rc == PBR_OK)
        rc = parse_signature(m, top, diag);
    if (rc < 0)
        return rc;
    json_t *unprotected = json_object_get(top, "unprotected");
    m->unprotected = unprotected ? json_incref(unprotected) : json_object(); /* [MAN-014] */
    return m->unprotected ? PBR_OK : PBR_E_NOMEM;
}

int pbr_manifest_parse(struct pbr_manifest *m, const struct pbr_env *env, struct pbr_span text,
                       struct pbr_diag *diag)
{
    json_t *top;
    struct pbr_manifest made = { .env = env };
    int rc = pbr_json_parse(text, &top, diag);
    if (rc < 0)
        return rc;
    rc = parse_members(&made, top, diag);
    json_decref(top);
    if (rc < 0) {
        pbr_manifest_release(&made);
        return rc;
    }
    *m = made;
    return PBR_OK;
}

/* ---- emit ---- */

/* jansson takes the new value over also when it fails; a NULL value is a failed allocation. */
static bool set(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

static json_t *file_to_json(const struct pbr_manifest_file *file)
{
    char csum[2 * PBR_DIGEST_LEN + 1];
    json_t *object = json_object();
    pbr_format_hex(file->csum, PBR_DIGEST_LEN, csum);
    if (object && set(object, "crypt-mode", json_string(pbr_crypt_mode_name(file->crypt_mode))) &&
        set(object, "csum", json_string(csum)) &&
        set(object, "filename", json_string(file->name)) &&
        set(object, "size", json_integer((json_int_t)file->size)))
        return object;
    json_decref(object);
    return NULL;
}

/* Everything that the signature covers [MAN-044]; NULL if out of memory. */
static json_t *signed_members(const struct pbr_manifest *m)
{
    json_t *top = json_object();
    json_t *files = json_array(); /* belongs to `top` from here on */
    if (!top || !set(top, "files", files) ||
        !set(top, "backup-id", json_string(m->snapshot.group.id)) ||
        !set(top, "backup-time", json_integer(m->snapshot.time_s)) ||
        !set(top, "backup-type", json_string(m->snapshot.group.type)))
        goto failed;
    for (size_t i = 0; i < m->file_nr; i++)
        if (json_array_append_new(files, file_to_json(&m->files[i])) != 0)
            goto failed;
    return top;
failed:
    if (!top)
        json_decref(files);
    json_decref(top);
    return NULL;
}

int pbr_manifest_emit(const struct pbr_manifest *m, struct pbr_buf *out)
{
    int rc = PBR_E_NOMEM;
    json_t *top = signed_members(m);
    if (top && set(top, "signature", m->has_signature ? json_string(m->signature) : json_null()) &&
        json_object_set(top, "unprotected", m->unprotected) == 0)
        rc = pbr_json_pretty(top, out);
    json_decref(top);
    return rc;
}

/* ---- signature ---- */

/* 64 lower-case hex digits [MAN-045]. */
static int compute_signature(const struct pbr_manifest *m, const uint8_t id_key[32], char ret[65],
                             struct pbr_diag *diag)
{
    uint8_t tag[PBR_DIGEST_LEN];
    struct pbr_buf text;
    pbr_buf_init(&text, m->env, SIZE_MAX);
    json_t *top = signed_members(m);
    int rc = top ? pbr_json_canonical(top, &text, diag) : PBR_E_NOMEM;
    json_decref(top);
    if (rc == PBR_OK)
        rc = pbr_hmac_sha256(pbr_span(id_key, 32), pbr_buf_span(&text), tag);
    pbr_buf_release(&text);
    if (rc == PBR_OK)
        pbr_format_hex(tag, sizeof(tag), ret);
    return rc;
}

int pbr_manifest_sign(struct pbr_manifest *m, const uint8_t id_key[32],
                      const uint8_t fingerprint[32])
{
    char signature[65];
    char text[PBR_FINGERPRINT_TEXT + 1];
    if (!json_is_object(m->unprotected))
        return PBR_E_ARG;
    const int rc = compute_signature(m, id_key, signature, NULL);
    if (rc < 0)
        return rc;
    pbr_fingerprint_format(fingerprint, text);
    if (!set(m->unprotected, "key-fingerprint", json_string(text)))
        return PBR_E_NOMEM;
    memcpy(m->signature, signature, sizeof(signature));
    m->has_signature = true;
    return PBR_OK;
}

int pbr_manifest_verify(const struct pbr_manifest *m, const uint8_t id_key[32],
                        const uint8_t fingerprint[32], struct pbr_diag *diag)
{
    char want[65];
    uint8_t named[32];
    if (!m->has_signature)
        return PBR_OK; /* also with a key: an unsigned manifest passes [MAN-048, MAN-051] */
    int rc = pbr_manifest_fingerprint(m, named, diag);
    if (rc < 0)
        return rc;
    if (rc == 1 && memcmp(named, fingerprint, sizeof(named)) != 0) {
        char a[PBR_FINGERPRINT_SHORT + 1], b[PBR_FINGERPRINT_SHORT + 1];
        pbr_fingerprint_format_short(named, a);
        pbr_fingerprint_format_short(fingerprint, b);
        return pbr_fail_at(
            diag, PBR_E_CRYPTO, "MAN-048",
            "wrong key - unable to verify signature since manifest's key %s does not match "
            "provided key %s",
            a, b);
    }
    rc = compute_signature(m, id_key, want, diag);
    if (rc < 0)
        return rc;
    if (!pbr_equal_secret((const uint8_t *)want, (const uint8_t *)m->signature, sizeof(want)))
        return pbr_fail_at(diag, PBR_E_INTEGRITY, "MAN-048", "wrong signature in manifest");
    return PBR_OK;
}

/* ---- fingerprints ---- */

int pbr_manifest_fingerprint(const struct pbr_manifest *m, uint8_t ret[32], struct pbr_diag *diag)
{
    const json_t *value = json_object_get(m->unprotected, "key-fingerprint");
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value) ||
        !pbr_fingerprint_parse(pbr_span(json_string_value(value), json_string_length(value)), ret))
        return bad_member(diag, "MAN-060", "key-fingerprint", "no fingerprint");
    return 1;
}

int pbr_manifest_check_fingerprint(const struct pbr_manifest *m, const uint8_t *fingerprint,
                                   struct pbr_diag *diag)
{
    uint8_t named[32];
    char a[PBR_FINGERPRINT_SHORT + 1], b[PBR_FINGERPRINT_SHORT + 1];
    const int rc = pbr_manifest_fingerprint(m, named, diag);
    if (rc <= 0)
        return rc;
    pbr_fingerprint_format_short(named, a);
    if (!fingerprint)
        return pbr_fail_at(diag, PBR_E_CRYPTO, "MAN-052",
                           "missing key - manifest was created with key %s", a);
    if (memcmp(named, fingerprint, sizeof(named)) == 0)
        return PBR_OK;
    pbr_fingerprint_format_short(fingerprint, b);
    return pbr_fail_at(diag, PBR_E_CRYPTO, "MAN-052",
                       "wrong key - manifest's key %s does not match provided key %s", a, b);
}

static void format_pairs(const uint8_t *in, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        pbr_format_hex(in + i, 1, out + 3 * i); /* its NUL is overwritten by the colon */
        out[3 * i + 2] = i + 1 < n ? ':' : 0;
    }
}

void pbr_fingerprint_format(const uint8_t fp[32], char out[96])
{
    format_pairs(fp, 32, out);
}

void pbr_fingerprint_format_short(const uint8_t fp[32], char out[24])
{
    format_pairs(fp, 8, out);
}

bool pbr_fingerprint_parse(struct pbr_span text, uint8_t ret[32])
{
    uint8_t digits[64];
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ':')
            continue; /* wherever it stands [CRY-012] */
        if (n == sizeof(digits))
            return false;
        digits[n++] = text.ptr[i];
    }
    return pbr_parse_hex(pbr_span(digits, n), ret, 32);
}
