/* SPDX-License-Identifier: MIT */
/* Manifests in the datastore: loading, rewriting their unprotected part [MAN-060 .. MAN-068], index files and other files
 * of a snapshot as the server opens them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "store/store_int.h"
#include "sys/fd.h"

/* ---- reading ---- */

/* Decodes a raw manifest blob: never encrypted [IDX-091], CRC checked. */
static int parse_blob(struct pbr_store *s, struct pbr_span raw, struct pbr_manifest *ret, struct pbr_diag *diag)
{
    const struct pbr_open_opts opts = { .want = PBR_OPEN_UNENCRYPTED, .skip_crc = true, .max = PBR_BLOB_PLAIN_MAX };
    struct pbr_diag cause = { 0 };
    struct pbr_span text;

    int rc = store_need_coders(s, diag);
    if (rc < 0)
        return rc;
    pbr_buf_clear(&s->plain);
    rc = pbr_open_blob(s->opener, raw, &opts, &s->plain, &text, &cause);
    if (rc < 0)
        return pbr_fail_at(diag, rc, "BKP-181", "decode backup manifest blob failed - %s", cause.text);
    rc = pbr_manifest_parse(ret, s->env, text, &cause);
    if (rc < 0)
        return pbr_fail_at(diag, rc, "BKP-181", "unable to parse backup manifest json - %s", cause.text);
    return PBR_OK;
}

int store_manifest_read(struct pbr_store *s, int dirfd, const char *path, const char *name, struct pbr_manifest *ret,
                        uint64_t *ret_raw_size, struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    struct pbr_blob blob;
    struct pbr_buf raw;
    int rc = store_load(s, dirfd, name, PBR_CHUNK_RAW_MAX, &raw, &cause);
    if (rc < 0)
        return pbr_fail_at(diag, rc, "API-097", "unable to load blob '\"%s\"' - %s", path, cause.text);

    rc = pbr_blob_parse(pbr_buf_span(&raw), &blob, &cause);
    if (rc == PBR_OK)
        rc = pbr_blob_check_crc(&blob, &cause);
    if (rc < 0)
        rc = pbr_fail_at(diag, rc, "API-097", "unable to load blob '\"%s\"' - %s", path, cause.text);
    else
        rc = parse_blob(s, pbr_buf_span(&raw), ret, diag);
    if (rc == PBR_OK && ret_raw_size)
        *ret_raw_size = raw.len;
    pbr_buf_release(&raw);
    return rc;
}

/* "<root>/<snapshot path>/<name>", for messages. */
static void full_name(const struct pbr_store *s, const char *rel, const char *name, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s/%s/%s", s->path, rel, name);
}

int pbr_store_load_manifest(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                            struct pbr_manifest *ret, uint64_t *ret_raw_size, struct pbr_diag *diag)
{
    char rel[STORE_PATH_MAX], path[2 * STORE_PATH_MAX];
    int rc = store_snap_path(ns, snap, rel, diag);
    if (rc < 0)
        return rc;
    full_name(s, rel, STORE_MANIFEST, path, sizeof(path));
    int fd = store_open_dir(s->root_fd, rel);
    if (fd < 0)
        return pbr_fail_at(diag, PBR_E_NOENT, "API-097", "unable to load blob '\"%s\"' - %s", path,
                           store_cause(ENOENT).text);
    rc = store_manifest_read(s, fd, path, STORE_MANIFEST, ret, ret_raw_size, diag);
    pbr_close(&fd);
    return rc;
}

/* ---- writing ---- */

int store_manifest_write(struct pbr_store *s, int dirfd, const struct pbr_manifest *m,
                         int (*before)(struct pbr_store *s, struct pbr_diag *diag), struct pbr_diag *diag)
{
    struct pbr_buf text, raw;
    struct store_file f = { .fd = -1 };
    pbr_buf_init(&text, s->env, PBR_BLOB_PLAIN_MAX);
    pbr_buf_init(&raw, s->env, PBR_BLOB_PLAIN_MAX);

    int rc = store_need_coders(s, diag);
    if (rc == PBR_OK && (rc = pbr_manifest_emit(m, &text)) < 0)
        rc = pbr_fail_at(diag, rc, "MAN-024", "cannot write the manifest as text");
    if (rc == PBR_OK)
        rc = pbr_seal(s->sealer, NULL, true, pbr_buf_span(&text), &raw, diag);
    if (rc == PBR_OK)
        rc = store_file_create(s, &f, dirfd, STORE_MANIFEST, diag);
    if (rc == PBR_OK)
        rc = store_pwrite(s, f.fd, 0, pbr_buf_span(&raw), "the manifest", diag);
    if (rc == PBR_OK && before)
        rc = before(s, diag);
    if (rc == PBR_OK)
        rc = store_file_commit(s, &f, diag);
    else
        store_file_abort(s, &f);
    pbr_buf_release(&text);
    pbr_buf_release(&raw);
    return rc;
}

int pbr_store_update_manifest(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                              int (*change)(void *ctx, struct pbr_manifest *m, struct pbr_diag *diag), void *ctx,
                              struct pbr_diag *diag)
{
    struct pbr_manifest m = { 0 };
    struct pbr_store_lock *lock = NULL;
    int fd = -1;
    int rc = store_lock_manifest(s, ns, snap, &lock, diag);
    if (rc < 0)
        return rc;
    rc = pbr_store_load_manifest(s, ns, snap, &m, NULL, diag);
    if (rc == PBR_OK) {
        rc = change(ctx, &m, diag);
        if (rc == PBR_OK)
            rc = store_open_snap(s, ns, snap, "API-097", &fd, diag);
        if (rc == PBR_OK)
            rc = store_manifest_write(s, fd, &m, NULL, diag);
        pbr_manifest_release(&m);
    }
    pbr_close(&fd);
    pbr_store_unlock(lock);
    return rc;
}

/* ---- files of a snapshot ---- */

int pbr_store_open_file(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, const char *name,
                        int *ret_fd, uint64_t *ret_size, struct pbr_diag *diag)
{
    char rel[STORE_PATH_MAX], path[2 * STORE_PATH_MAX];
    enum pbr_file_type type;
    int rc = store_snap_path(ns, snap, rel, diag);
    if (rc == PBR_OK)
        rc = store_check_name(name, &type, diag);
    if (rc < 0)
        return rc;
    full_name(s, rel, name, path, sizeof(path));

    int dirfd = store_open_dir(s->root_fd, rel);
    const int fd = dirfd < 0 ? -1 : store_open_regular(dirfd, name, ret_size);
    const int os_errno = errno;
    pbr_close(&dirfd);
    if (fd >= 0) {
        *ret_fd = fd;
        return PBR_OK;
    }
    if (os_errno != ENOENT)
        return pbr_fail_at(diag, PBR_E_IO, "RDR-023", "open file \"%s\" failed: %s", path, store_cause(os_errno).text);
    rc = pbr_fail_at(diag, PBR_E_NOENT, "RDR-023", "open file \"%s\" failed - not found", path);
    if (diag)
        diag->status = 404;
    return rc;
}

static int parse_index(struct pbr_span file, enum pbr_file_type type, struct pbr_index *ret, struct pbr_diag *diag)
{
    const int rc = pbr_index_parse(file, false, ret, diag);
    const enum pbr_index_kind want = type == PBR_FILE_DIDX ? PBR_INDEX_DYNAMIC : PBR_INDEX_FIXED;
    if (rc == PBR_OK && ret->kind != want)
        return pbr_fail_at(diag, PBR_E_FORMAT, type == PBR_FILE_DIDX ? "IDX-015" : "IDX-055",
                           "got unknown magic number");
    return rc;
}

int pbr_store_load_index(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, const char *name,
                         struct pbr_store_index *ret, struct pbr_diag *diag)
{
    char rel[STORE_PATH_MAX], path[2 * STORE_PATH_MAX];
    struct pbr_diag cause = { 0 };
    struct pbr_store_index ix = { 0 };
    enum pbr_file_type type;
    int rc = store_snap_path(ns, snap, rel, diag);
    if (rc == PBR_OK)
        rc = store_check_name(name, &type, diag);
    if (rc < 0)
        return rc;
    if (type == PBR_FILE_BLOB)
        return pbr_fail_at(diag, PBR_E_ARG, "RDR-020", "unknown archive type: \"%s\"", name);
    full_name(s, rel, name, path, sizeof(path));

    int dirfd = store_open_dir(s->root_fd, rel);
    if (dirfd < 0)
        rc = pbr_fail_at(&cause, PBR_E_NOENT, NULL, "%s", store_cause(errno).text);
    else
        rc = store_load(s, dirfd, name, PBR_INDEX_SIZE_MAX, &ix.file, &cause);
    pbr_close(&dirfd);
    if (rc == PBR_OK)
        rc = parse_index(pbr_buf_span(&ix.file), type, &ix.ix, &cause);
    if (rc < 0) {
        pbr_store_index_release(&ix);
        return pbr_fail_at(diag, rc, cause.rule ? cause.rule : "BKP-093", "Unable to open %s index \"%s\" - %s",
                           type == PBR_FILE_DIDX ? "dynamic" : "fixed", path, cause.text);
    }
    *ret = ix;
    return PBR_OK;
}

void pbr_store_index_release(struct pbr_store_index *ix)
{
    if (ix->file.env)
        pbr_buf_release(&ix->file);
    *ix = (struct pbr_store_index){ 0 };
}

int pbr_store_known_add(struct pbr_known *k, const struct pbr_index *ix, struct pbr_diag *diag)
{
    if (ix->entry_nr > PBR_STORE_KNOWN_MAX - k->count)
        return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "more than %" PRIu64 " known chunks", PBR_STORE_KNOWN_MAX);
    for (uint64_t i = 0; i < ix->entry_nr; i++) {
        const uint64_t size = pbr_index_end(ix, i) - pbr_index_start(ix, i);
        const int rc = pbr_known_set(k, pbr_index_digest(ix, i), (uint32_t)size);
        if (rc < 0)
            return pbr_fail_at(diag, rc, NULL, "no memory for the known chunks");
    }
    return PBR_OK;
}

int pbr_store_put_log(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, struct pbr_span raw,
                      struct pbr_diag *diag)
{
    char rel[STORE_PATH_MAX];
    struct pbr_blob blob;
    uint64_t size;
    int rc = store_snap_path(ns, snap, rel, diag);
    if (rc < 0)
        return rc;
    int dirfd = store_open_dir(s->root_fd, rel);
    if (dirfd < 0)
        return pbr_fail_at(diag, PBR_E_NOENT, "API-113",
                           "mkstemp \"%s/%s/client.log.tmp_XXXXXX\" failed: ENOENT: No such file or directory", s->path,
                           rel);
    int fd = store_open_regular(dirfd, STORE_LOG, &size);
    if (fd >= 0)
        rc = pbr_fail_at(diag, PBR_E_EXIST, "API-113", "backup already contains a log.");
    pbr_close(&fd);
    if (rc == PBR_OK)
        rc = pbr_blob_parse(raw, &blob, diag);
    if (rc == PBR_OK)
        rc = pbr_blob_check_crc(&blob, diag);
    if (rc == PBR_OK)
        rc = store_save(s, dirfd, STORE_LOG, raw, diag);
    pbr_close(&dirfd);
    return rc;
}
