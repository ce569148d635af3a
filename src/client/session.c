/* SPDX-License-Identifier: MIT */
/* Opening sessions and fetching checked files; see session.h. */
#include "client/session.h"

#include <string.h>

#include "base/limits.h"
#include "proto/request.h"

/* ---- sessions ---- */

static int open_session(struct pbr_client *c, enum pbr_api api, struct pbr_upgrade *u, bool limited,
                        struct pbr_link **ret, struct pbr_diag *diag)
{
    const char *protocol = api == PBR_API_BACKUP ? "proxmox-backup-protocol-v1" : "proxmox-backup-reader-protocol-v1";
    struct pbr_buf path;
    const char *store = pbr_client_repo(c)->store;
    u->store = store[0] ? store : "local";
    u->debug = true; /* as the original (BKP-017, RDR-003) */
    pbr_buf_init(&path, pbr_client_env(c), PBR_URI_MAX);
    int rc = pbr_upgrade_path(api, u, &path);
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, "API-003", "upgrade request is too long");
    else
        rc = pbr_client_upgrade(c, pbr_buf_cstr(&path), protocol, limited, ret, diag);
    pbr_buf_release(&path);
    return rc;
}

int pbr_session_open_backup(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot, bool no_cache,
                            struct pbr_link **ret, struct pbr_diag *diag)
{
    struct pbr_upgrade u = { .ns = ns, .snapshot = *snapshot, .no_cache = no_cache };
    return open_session(c, PBR_API_BACKUP, &u, true, ret, diag);
}

int pbr_session_open_reader(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot,
                            struct pbr_link **ret, struct pbr_diag *diag)
{
    struct pbr_upgrade u = { .ns = ns, .snapshot = *snapshot };
    return open_session(c, PBR_API_READER, &u, true, ret, diag);
}

int pbr_session_open_reference(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot,
                               struct pbr_link **ret, struct pbr_diag *diag)
{
    struct pbr_upgrade u = { .ns = ns, .snapshot = *snapshot };
    return open_session(c, PBR_API_READER, &u, false, ret, diag);
}

/* ---- files ---- */

int pbr_session_fetch(struct pbr_link *link, enum pbr_fetch_from from, const char *name, struct pbr_buf *ret,
                      struct pbr_diag *diag)
{
    struct pbr_buf path;
    if (!pbr_name_is_safe_id(pbr_span_str(name)) || strlen(name) > PBR_ARCHIVE_NAME_MAX)
        return pbr_fail_at(diag, PBR_E_FORMAT, "IDX-081", "illegal file name '%s'", name);
    pbr_buf_init(&path, pbr_link_env(link), PBR_URI_MAX);
    int rc = from == PBR_FETCH_READER ? pbr_request_download(name, &path) : pbr_request_previous(name, &path);
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "no memory for a request");
    else
        rc = pbr_link_call(link, "GET", pbr_buf_cstr(&path), NULL, pbr_span(NULL, 0), PBR_INDEX_SIZE_MAX, ret, diag);
    pbr_buf_release(&path);
    return rc;
}

static int check_key(const struct pbr_manifest *m, const struct pbr_crypt *crypt, struct pbr_diag *diag)
{
    const char *have = json_string_value(json_object_get(m->unprotected, "key-fingerprint"));
    char mine[96] = "";
    if (crypt) {
        const int rc = pbr_manifest_verify(m, crypt->id_key, crypt->fingerprint, diag);
        if (rc < 0)
            return rc;
        pbr_fingerprint_format(crypt->fingerprint, mine);
    }
    if (!have)
        return PBR_OK;
    if (!crypt)
        return pbr_fail_at(diag, PBR_E_CRYPTO, "MAN-052", "missing key - manifest was created with key %.23s", have);
    if (strcmp(have, mine) != 0)
        return pbr_fail_at(diag, PBR_E_CRYPTO, "MAN-052", "wrong key - manifest's key %.23s does not match provided key %.23s",
                           have, mine);
    return PBR_OK;
}

static int open_plain(const struct pbr_env *env, struct pbr_span raw, const struct pbr_open_opts *opts,
                      struct pbr_buf *ret, struct pbr_diag *diag)
{
    struct pbr_opener *opener;
    struct pbr_buf out;
    struct pbr_span plain;
    if (pbr_opener_new(env, &opener) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a decompressor");
    pbr_buf_init(&out, env, PBR_BLOB_PLAIN_MAX);
    int rc = pbr_open_blob(opener, raw, opts, &out, &plain, diag);
    if (rc == PBR_OK && out.len == 0 && plain.len > 0) {
        rc = pbr_buf_append(&out, plain); /* uncompressed kind: plain borrows from raw */
        if (rc < 0)
            (void)pbr_fail_at(diag, rc, NULL, "no memory for a blob");
    }
    pbr_opener_free(opener);
    if (rc < 0)
        pbr_buf_release(&out);
    else
        *ret = out;
    return rc;
}

int pbr_session_manifest(const struct pbr_env *env, struct pbr_link *link, enum pbr_fetch_from from,
                         const struct pbr_crypt *crypt, struct pbr_manifest *ret, struct pbr_buf *ret_json,
                         struct pbr_diag *diag)
{
    struct pbr_buf raw, json;
    struct pbr_manifest m;
    int rc = pbr_session_fetch(link, from, "index.json.blob", &raw, diag);
    if (rc < 0)
        return rc;
    const struct pbr_open_opts opts = { .want = PBR_OPEN_UNENCRYPTED, .max = PBR_BLOB_PLAIN_MAX };
    rc = open_plain(env, pbr_buf_span(&raw), &opts, &json, diag);
    pbr_buf_release(&raw);
    if (rc < 0) {
        pbr_diag_context(diag, "index.json.blob");
        return rc;
    }
    rc = pbr_manifest_parse(&m, env, pbr_buf_span(&json), diag);
    if (rc < 0)
        pbr_diag_context(diag, "index.json.blob");
    if (rc == PBR_OK) {
        rc = check_key(&m, crypt, diag);
        if (rc < 0)
            pbr_manifest_release(&m);
    }
    if (rc == PBR_OK && ret_json)
        *ret_json = json;
    else
        pbr_buf_release(&json);
    if (rc == PBR_OK)
        *ret = m;
    return rc;
}

static int check_index(const struct pbr_index *ix, const struct pbr_manifest_file *f, struct pbr_diag *diag)
{
    uint8_t csum[PBR_DIGEST_LEN];
    if (ix->size != f->size)
        return pbr_fail_at(diag, PBR_E_INTEGRITY, "RDR-052", "wrong size for file '%s' (%" PRIu64 " != %" PRIu64 ")", f->name,
                           f->size, ix->size);
    if (pbr_index_csum(ix, csum) < 0 || memcmp(csum, f->csum, sizeof(csum)) != 0)
        return pbr_fail_at(diag, PBR_E_INTEGRITY, "RDR-052", "wrong checksum for file '%s'", f->name);
    return PBR_OK;
}

static const struct pbr_manifest_file *listed(const struct pbr_manifest *m, const char *name, struct pbr_diag *diag)
{
    const struct pbr_manifest_file *f = pbr_manifest_find(m, name);
    if (!f)
        (void)pbr_fail_at(diag, PBR_E_NOENT, "RDR-052", "manifest does not contain file '%s'", name);
    return f;
}

int pbr_session_index(struct pbr_link *link, enum pbr_fetch_from from, const struct pbr_manifest *manifest,
                      const char *name, struct pbr_fetched_index *ret, struct pbr_diag *diag)
{
    struct pbr_fetched_index ix = { 0 };
    const struct pbr_manifest_file *f = listed(manifest, name, diag);
    if (!f)
        return PBR_E_NOENT;
    int rc = pbr_session_fetch(link, from, name, &ix.file, diag);
    if (rc < 0)
        return rc;
    rc = pbr_index_parse(pbr_buf_span(&ix.file), false, &ix.index, diag);
    if (rc < 0)
        pbr_diag_context(diag, "unable to read index '%s'", name);
    if (rc == PBR_OK)
        rc = check_index(&ix.index, f, diag);
    ix.crypt_mode = f->crypt_mode;
    if (rc < 0)
        pbr_buf_release(&ix.file);
    else
        *ret = ix;
    return rc;
}

void pbr_fetched_index_release(struct pbr_fetched_index *ix)
{
    if (ix->file.env)
        pbr_buf_release(&ix->file);
    *ix = (struct pbr_fetched_index){ 0 };
}

int pbr_session_add_known(const struct pbr_index *index, struct pbr_known *known)
{
    int rc = PBR_OK;
    for (uint64_t i = 0; i < index->entry_nr && rc == PBR_OK; i++)
        rc = pbr_known_set(known, pbr_index_digest(index, i), 1);
    return rc;
}

int pbr_session_blob(const struct pbr_env *env, struct pbr_link *link, const struct pbr_manifest *manifest,
                     const char *name, const struct pbr_crypt *crypt, struct pbr_buf *ret_plain,
                     struct pbr_diag *diag)
{
    uint8_t csum[PBR_DIGEST_LEN];
    struct pbr_buf raw;
    const struct pbr_manifest_file *f = listed(manifest, name, diag);
    if (!f)
        return PBR_E_NOENT;
    int rc = pbr_session_fetch(link, PBR_FETCH_READER, name, &raw, diag);
    if (rc < 0)
        return rc;
    const struct pbr_open_opts opts = { .crypt = crypt, .max = PBR_BLOB_PLAIN_MAX };
    if (raw.len != f->size)
        rc = pbr_fail_at(diag, PBR_E_INTEGRITY, "RDR-053", "wrong size for file '%s' (%" PRIu64 " != %zu)", name, f->size,
                         raw.len);
    else if (pbr_sha256(pbr_buf_span(&raw), pbr_span(NULL, 0), csum) < 0 || memcmp(csum, f->csum, sizeof(csum)) != 0)
        rc = pbr_fail_at(diag, PBR_E_INTEGRITY, "RDR-053", "wrong checksum for file '%s'", name);
    if (rc == PBR_OK)
        rc = open_plain(env, pbr_buf_span(&raw), &opts, ret_plain, diag);
    pbr_buf_release(&raw);
    return rc;
}
