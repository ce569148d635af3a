/* SPDX-License-Identifier: MIT */
/* Manifest, index files and blobs under check [MAN-030 .. MAN-052, IDX-010 .. IDX-059, BLOB-092]; see check_int.h. */
#include <string.h>

#include "base/limits.h"
#include "client/check_int.h"

/* Decodes a blob file; *ret is released by the caller. */
static int open_blob(const struct check *c, struct pbr_span raw, const struct pbr_open_opts *opts, struct pbr_buf *out,
                     struct pbr_span *ret, struct pbr_diag *diag)
{
    struct pbr_opener *opener;
    if (pbr_opener_new(c->env, &opener) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a decompressor");
    const int rc = pbr_open_blob(opener, raw, opts, out, ret, diag);
    pbr_opener_free(opener);
    return rc;
}

/* ---- manifest ---- */

/* Another key than the manifest's, or none for what needs one, ends the check: everything would look corrupt. */
static int check_key(struct check *c, const struct pbr_manifest *m, struct pbr_diag *diag)
{
    const struct pbr_crypt *crypt = c->opts->crypt;
    bool encrypted = false;
    for (size_t i = 0; i < m->file_nr; i++)
        encrypted = encrypted || m->files[i].crypt_mode == PBR_CRYPT_ENCRYPT;
    if (!crypt && !(encrypted && c->stored))
        return PBR_OK; /* a signature that nobody can check leaves the rest to be checked */
    if (!crypt)
        return pbr_fail_at(diag, PBR_E_CRYPTO, "MAN-052", "missing key - the snapshot is encrypted");
    return pbr_manifest_check_fingerprint(m, crypt->fingerprint, diag);
}

static int check_signature(struct check *c, size_t file, const struct pbr_manifest *m, struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    const struct check_where at = { .file = file };
    const struct pbr_crypt *crypt = c->opts->crypt;
    bool wants_one = false;
    if (!crypt)
        return PBR_OK;
    for (size_t i = 0; i < m->file_nr; i++)
        wants_one = wants_one || m->files[i].crypt_mode != PBR_CRYPT_NONE;
    if (!m->has_signature && wants_one) /* loading accepts it [MAN-051] */
        check_report(c, CHECK_SIGNATURE, &(struct check_where){ .file = file, .rule = "MAN-051" },
                     "the manifest has files of crypt mode encrypt or sign-only, but no signature");
    const int rc = pbr_manifest_verify(m, crypt->id_key, crypt->fingerprint, &cause);
    return check_found(c, CHECK_SIGNATURE, &at, rc, &cause, diag);
}

static int parse_manifest(struct check *c, struct pbr_span raw, struct pbr_manifest *ret, struct pbr_diag *diag)
{
    const struct pbr_open_opts opts = { .want = PBR_OPEN_UNENCRYPTED, .max = PBR_BLOB_PLAIN_MAX };
    struct pbr_buf out;
    struct pbr_span text = raw;
    int rc = PBR_OK;
    pbr_buf_init(&out, c->env, PBR_BLOB_PLAIN_MAX);
    if (!pbr_span_starts(raw, "{")) /* restored manifests are text [MAN-076] */
        rc = open_blob(c, raw, &opts, &out, &text, diag);
    if (rc == PBR_OK)
        rc = pbr_manifest_parse(ret, c->env, text, diag);
    pbr_buf_release(&out);
    return rc;
}

int check_manifest_bytes(struct check *c, size_t file, struct pbr_span raw, struct pbr_manifest *ret, bool *ret_ok,
                         struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    struct pbr_manifest m;
    const struct check_where at = { .file = file };
    c->res.files[file].size = raw.len;
    *ret_ok = false;
    int rc = parse_manifest(c, raw, &m, &cause);
    if (rc < 0)
        return check_found(c, CHECK_MANIFEST, &at, rc, &cause, diag);
    rc = check_key(c, &m, diag);
    if (rc == PBR_OK)
        rc = check_signature(c, file, &m, diag);
    if (rc < 0) {
        pbr_manifest_release(&m);
        return rc;
    }
    *ret = m;
    *ret_ok = true;
    return PBR_OK;
}

/* ---- index files ---- */

static void compare_listed(struct check *c, size_t file, const struct pbr_index *ix,
                           const struct pbr_manifest_file *listed)
{
    uint8_t csum[PBR_DIGEST_LEN];
    const struct check_where at = { .file = file };
    if (ix->size != listed->size)
        check_report(c, CHECK_FILE_SIZE, &at, "wrong size (manifest %" PRIu64 ", index %" PRIu64 ")", listed->size,
                     ix->size);
    if (pbr_index_csum(ix, csum) < 0 || memcmp(csum, listed->csum, sizeof(csum)) != 0)
        check_report(c, CHECK_FILE_CSUM, &at, "the index is not the one that the manifest names: wrong checksum");
}

int check_index_bytes(struct check *c, size_t file, struct pbr_span raw, const struct pbr_manifest_file *listed,
                      struct pbr_index *ret, bool *ret_ok, struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 }, strict_cause = { 0 };
    struct pbr_index ix, strict;
    const struct check_where at = { .file = file };
    int rc = pbr_index_parse(raw, false, &ix, &cause);
    *ret_ok = rc == PBR_OK;
    if (rc < 0)
        return check_found(c, CHECK_INDEX, &at, rc, &cause, diag);
    c->res.files[file].size = ix.size;
    c->res.files[file].chunks = ix.entry_nr;
    rc = pbr_index_parse(raw, true, &strict, &strict_cause); /* what readers tolerate, and no writer makes */
    if (rc < 0)
        rc = check_found(c, rc == PBR_E_INTEGRITY ? CHECK_INDEX_CSUM : CHECK_INDEX, &at, rc, &strict_cause, diag);
    if (listed)
        compare_listed(c, file, &ix, listed);
    if (rc == PBR_OK)
        *ret = ix;
    return rc;
}

/* ---- blobs ---- */

int check_blob_bytes(struct check *c, size_t file, struct pbr_span raw, const struct pbr_manifest_file *listed,
                     struct pbr_diag *diag)
{
    uint8_t csum[PBR_DIGEST_LEN];
    struct pbr_diag cause = { 0 };
    struct pbr_buf out;
    struct pbr_span plain;
    const struct check_where at = { .file = file };
    struct pbr_open_opts opts = { .crypt = c->opts->crypt, .max = PBR_BLOB_PLAIN_MAX };
    c->res.files[file].size = raw.len;
    if (listed && raw.len != listed->size)
        check_report(c, CHECK_FILE_SIZE, &at, "wrong size (manifest %" PRIu64 ", file %zu)", listed->size, raw.len);
    if (listed && (pbr_sha256(raw, pbr_span(NULL, 0), csum) < 0 || memcmp(csum, listed->csum, sizeof(csum)) != 0))
        check_report(c, CHECK_FILE_CSUM, &at, "the file is not the one that the manifest names: wrong checksum");
    if (listed && listed->crypt_mode == PBR_CRYPT_ENCRYPT && strcmp(listed->name, "rsa-encrypted.key.blob") != 0)
        opts.want = PBR_OPEN_ENCRYPTED;
    pbr_buf_init(&out, c->env, PBR_BLOB_PLAIN_MAX);
    const int rc = open_blob(c, raw, &opts, &out, &plain, &cause);
    pbr_buf_release(&out);
    c->res.files[file].contents = true;
    return check_found(c, CHECK_BLOB, &at, rc, &cause, diag);
}
