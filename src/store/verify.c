/* SPDX-License-Identifier: MIT */
/* Verification of snapshots; see verify.h. */
#include "store/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "store/chunk.h"
#include "store/store_int.h"
#include "sys/fd.h"

/* What is known of a chunk, kept in a pbr_known: plain length of a good unencrypted one, or one of these bits. */
#define CHUNK_BAD (UINT32_C(1) << 31)
#define CHUNK_MISSING (UINT32_C(1) << 30)
#define CHUNK_ENCRYPTED (UINT32_C(1) << 29)

struct verify_run {
    struct pbr_store *s;
    const struct pbr_verify_opts *opts;
    struct pbr_known chunks;
    struct pbr_verify_report report;
    struct pbr_verify_snapshot *snap; /* being looked at; in report.items */
    int rc;                           /* out of memory while noting a problem */
};

/* ---- problems ---- */

PBR_PRINTF(4, 5)
static void problem(struct verify_run *v, const char *file, const char *rule, const char *fmt, ...)
{
    struct pbr_verify_snapshot *snap = v->snap;
    void *items = snap->problems;
    char text[PBR_DIAG_TEXT_MAX];
    va_list ap;

    snap->problems_seen++;
    if (snap->problem_nr >= PBR_VERIFY_PROBLEMS_MAX)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    char *copy = pbr_strdup(v->s->env, text);
    if (!copy || !store_grow(v->s->env, &items, snap->problem_nr, &snap->problem_cap, sizeof(*snap->problems))) {
        pbr_free(v->s->env, copy);
        v->rc = PBR_E_NOMEM;
        return;
    }
    snap->problems = items;
    struct pbr_verify_problem *p = &snap->problems[snap->problem_nr++];
    *p = (struct pbr_verify_problem){ .rule = rule, .text = copy };
    (void)snprintf(p->file, sizeof(p->file), "%s", file);
}

/* True if the run must stop: not a finding but a failure of ours. */
static bool is_fatal(struct verify_run *v, int rc)
{
    if (rc == PBR_E_NOMEM)
        v->rc = rc;
    return v->rc < 0;
}

/* ---- chunks ---- */

/* Reads and checks one chunk [BLOB-091]; its state goes to *ret. */
static int check_chunk(struct verify_run *v, const uint8_t *digest, uint32_t *ret, struct pbr_diag *cause)
{
    struct pbr_open_opts opts = { .want = PBR_OPEN_UNENCRYPTED, .skip_crc = true, .digest = digest };
    struct pbr_buf raw;
    struct pbr_blob blob;
    struct pbr_span plain = { 0 };
    int rc = pbr_store_chunk_load(v->s, digest, &raw, cause);
    if (rc < 0) {
        *ret = rc == PBR_E_NOENT ? CHUNK_MISSING : CHUNK_BAD;
        return rc;
    }
    v->report.chunks++;
    v->report.chunk_bytes += raw.len;
    rc = pbr_blob_parse(pbr_buf_span(&raw), &blob, cause);
    if (rc == PBR_OK)
        rc = pbr_blob_check_crc(&blob, cause);
    if (rc == PBR_OK && !pbr_blob_is_encrypted(blob.kind)) {
        pbr_buf_clear(&v->s->plain);
        rc = pbr_open_blob(v->s->opener, pbr_buf_span(&raw), &opts, &v->s->plain, &plain, cause);
    }
    if (rc == PBR_OK)
        *ret = pbr_blob_is_encrypted(blob.kind) ? CHUNK_ENCRYPTED : (uint32_t)plain.len;
    else
        *ret = CHUNK_BAD;
    pbr_buf_release(&raw);
    return rc;
}

/* State of a chunk, from the run's memory or from disk. */
static uint32_t chunk_state(struct verify_run *v, const uint8_t *digest, struct pbr_diag *cause)
{
    uint32_t state;
    if (pbr_known_get(&v->chunks, digest, &state))
        return state;
    const int rc = check_chunk(v, digest, &state, cause);
    if (is_fatal(v, rc))
        return CHUNK_BAD;
    if (state == CHUNK_MISSING)
        v->report.missing_chunks++;
    if (state == CHUNK_BAD) {
        v->report.bad_chunks++;
        if (v->opts->rename_bad && pbr_store_chunk_mark_bad(v->s, digest, NULL) == PBR_OK)
            v->report.renamed_chunks++;
    }
    if (pbr_known_set(&v->chunks, digest, state) < 0)
        v->rc = PBR_E_NOMEM;
    return state;
}

static void verify_entry(struct verify_run *v, const struct pbr_manifest_file *f, const uint8_t *digest, uint64_t len)
{
    struct pbr_diag cause = { 0 };
    char hex[2 * PBR_DIGEST_LEN + 1];
    const uint32_t state = chunk_state(v, digest, &cause);
    const char *why = cause.text[0] ? cause.text : "seen before";
    if (v->rc < 0)
        return;
    pbr_format_hex(digest, PBR_DIGEST_LEN, hex);
    if (state == CHUNK_MISSING) {
        problem(v, f->name, "BLOB-091", "chunk %s is missing", hex);
        return;
    }
    if (state == CHUNK_BAD) {
        problem(v, f->name, cause.rule ? cause.rule : "BLOB-091", "chunk %s is corrupt: %s", hex, why);
        return;
    }
    if ((state == CHUNK_ENCRYPTED) != (f->crypt_mode == PBR_CRYPT_ENCRYPT))
        problem(v, f->name, "BLOB-091", "chunk %s: Index and chunk CryptMode don't match.", hex);
    if (state != CHUNK_ENCRYPTED && state != len)
        problem(v, f->name, "BLOB-061", "chunk %s: detected chunk with wrong length (%" PRIu64 " != %" PRIu32 ")", hex,
                len, state);
}

/* ---- files ---- */

static void verify_index(struct verify_run *v, const struct pbr_manifest_file *f)
{
    struct pbr_diag cause = { 0 };
    struct pbr_store_index ix;
    uint8_t csum[PBR_DIGEST_LEN];
    int rc = pbr_store_load_index(v->s, v->snap->ns, &v->snap->id, f->name, &ix, &cause);
    if (rc < 0) {
        if (!is_fatal(v, rc))
            problem(v, f->name, cause.rule, "%s", cause.text);
        return;
    }
    v->report.indexes++;
    rc = pbr_index_csum(&ix.ix, csum);
    if (!is_fatal(v, rc)) {
        struct pbr_index strict;
        if (rc < 0 || memcmp(csum, f->csum, sizeof(csum)) != 0)
            problem(v, f->name, "IDX-022", "wrong checksum for file '%s'", f->name);
        else if (pbr_index_parse(pbr_buf_span(&ix.file), true, &strict, &cause) < 0)
            problem(v, f->name, cause.rule, "%s", cause.text); /* what readers tolerate, and no writer makes */
        if (ix.ix.size != f->size)
            problem(v, f->name, "IDX-022", "wrong size for file '%s' (%" PRIu64 " != %" PRIu64 ")", f->name, f->size,
                    ix.ix.size);
        for (uint64_t i = 0; v->rc == PBR_OK && i < ix.ix.entry_nr; i++)
            verify_entry(v, f, pbr_index_digest(&ix.ix, i), pbr_index_end(&ix.ix, i) - pbr_index_start(&ix.ix, i));
    }
    pbr_store_index_release(&ix);
}

/* CRC, and for unencrypted kinds a decode [BLOB-092]. */
static int check_blob(struct verify_run *v, struct pbr_span raw, struct pbr_diag *cause)
{
    const struct pbr_open_opts opts = { .want = PBR_OPEN_UNENCRYPTED, .skip_crc = true, .max = PBR_BLOB_PLAIN_MAX };
    struct pbr_blob blob;
    struct pbr_span plain;
    int rc = pbr_blob_parse(raw, &blob, cause);
    if (rc == PBR_OK)
        rc = pbr_blob_check_crc(&blob, cause);
    if (rc < 0 || pbr_blob_is_encrypted(blob.kind))
        return rc;
    pbr_buf_clear(&v->s->plain);
    return pbr_open_blob(v->s->opener, raw, &opts, &v->s->plain, &plain, cause);
}

static void verify_blob(struct verify_run *v, int dirfd, const struct pbr_manifest_file *f)
{
    struct pbr_diag cause = { 0 };
    struct pbr_buf raw;
    uint8_t csum[PBR_DIGEST_LEN];
    int rc = store_load(v->s, dirfd, f->name, PBR_BLOB_PLAIN_MAX, &raw, &cause);
    if (rc < 0) {
        if (!is_fatal(v, rc))
            problem(v, f->name, "BLOB-092", "cannot read file '%s': %s", f->name, cause.text);
        return;
    }
    v->report.blobs++;
    if (raw.len != f->size)
        problem(v, f->name, "MAN-032", "wrong size for file '%s' (%" PRIu64 " != %zu)", f->name, f->size, raw.len);
    rc = pbr_sha256(pbr_buf_span(&raw), pbr_span(NULL, 0), csum);
    if (rc < 0 || memcmp(csum, f->csum, sizeof(csum)) != 0)
        problem(v, f->name, "MAN-032", "wrong checksum for file '%s'", f->name);
    rc = check_blob(v, pbr_buf_span(&raw), &cause);
    if (rc < 0 && !is_fatal(v, rc))
        problem(v, f->name, cause.rule, "%s", cause.text);
    pbr_buf_release(&raw);
}

static void verify_files(struct verify_run *v, int dirfd, const struct pbr_manifest *m)
{
    for (size_t i = 0; v->rc == PBR_OK && i < m->file_nr; i++) {
        struct pbr_diag cause = { 0 };
        enum pbr_file_type type;
        if (store_check_name(m->files[i].name, &type, &cause) < 0)
            problem(v, "index.json.blob", "MAN-073", "%s", cause.text);
        else if (type == PBR_FILE_BLOB)
            verify_blob(v, dirfd, &m->files[i]);
        else
            verify_index(v, &m->files[i]);
    }
}

/* ---- snapshots ---- */

static int add_snapshot(struct verify_run *v, const char *ns, const struct pbr_snapshot *id)
{
    struct pbr_verify_report *r = &v->report;
    void *items = r->items;
    if (!store_grow(v->s->env, &items, r->nr, &r->cap, sizeof(*r->items)))
        return PBR_E_NOMEM;
    r->items = items;
    v->snap = &r->items[r->nr++];
    *v->snap = (struct pbr_verify_snapshot){ .id = *id };
    (void)snprintf(v->snap->ns, sizeof(v->snap->ns), "%s", ns);
    return PBR_OK;
}

static void verify_manifest(struct verify_run *v)
{
    struct pbr_diag cause = { 0 };
    struct pbr_manifest m = { 0 };
    int fd = -1;
    int rc = pbr_store_load_manifest(v->s, v->snap->ns, &v->snap->id, &m, NULL, &cause);
    if (rc == PBR_OK) {
        rc = store_open_snap(v->s, v->snap->ns, &v->snap->id, "API-097", &fd, &cause);
        if (rc == PBR_OK)
            verify_files(v, fd, &m);
        pbr_manifest_release(&m);
        pbr_close(&fd);
    }
    if (rc < 0 && !is_fatal(v, rc))
        problem(v, STORE_MANIFEST, cause.rule, "%s", cause.text);
}

/* One finished snapshot, under a shared lock; one that is being written or removed is skipped. */
static int verify_snapshot(struct verify_run *v, const char *ns, const struct pbr_snapshot *id, struct pbr_diag *diag)
{
    struct pbr_store_lock *lock;
    int rc = pbr_store_lock_snapshot(v->s, ns, id, PBR_STORE_SHARED, &lock, NULL);
    if (rc == PBR_E_STATE) {
        v->report.skipped_snapshots++;
        return PBR_OK;
    }
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "cannot lock a snapshot");
    rc = add_snapshot(v, ns, id);
    if (rc == PBR_OK) {
        verify_manifest(v);
        rc = v->rc;
    }
    if (rc == PBR_OK) {
        const bool ok = v->snap->problems_seen == 0;
        v->report.failed_snapshots += !ok;
        if (v->opts->upid && pbr_store_set_verify_state(v->s, ns, id, ok, v->opts->upid, NULL) < 0)
            pbr_log(v->s->env, PBR_LOG_WARN, "cannot note the verify state of a snapshot");
    }
    pbr_store_unlock(lock);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "cannot verify a snapshot: %s", pbr_err_name(rc)) : PBR_OK;
}

static int verify_namespace(struct verify_run *v, const char *ns, struct pbr_diag *diag)
{
    const struct pbr_group *g = v->opts->group;
    struct pbr_store_snapshots l;
    int rc = pbr_store_list_snapshots(v->s, ns, g ? g->type : NULL, g ? g->id : NULL, &l, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < l.nr; i++) {
        if (l.items[i].finished)
            rc = verify_snapshot(v, ns, &l.items[i].id, diag);
        else
            v->report.skipped_snapshots++;
    }
    pbr_store_snapshots_release(&l);
    return rc;
}

static int verify_all(struct verify_run *v, struct pbr_diag *diag)
{
    struct pbr_store_namespaces all;
    int rc = pbr_store_list_namespaces(v->s, "", PBR_NS_DEPTH_MAX, &all, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < all.nr; i++)
        rc = verify_namespace(v, all.items[i], diag);
    pbr_store_namespaces_release(&all);
    return rc;
}

int pbr_store_verify(struct pbr_store *s, const struct pbr_verify_opts *opts, struct pbr_verify_report *ret,
                     struct pbr_diag *diag)
{
    static const struct pbr_verify_opts standard = { 0 };
    struct verify_run v = { .s = s, .opts = opts ? opts : &standard, .report = { .env = s->env } };
    const char *ns = v.opts->ns ? v.opts->ns : "";
    int rc = store_need_coders(s, diag);
    if (rc < 0)
        return rc;
    pbr_known_init(&v.chunks, s->env);
    if (v.opts->snapshot && !pbr_store_has_snapshot(s, ns, v.opts->snapshot))
        rc = pbr_fail_at(diag, PBR_E_NOENT, "API-097", "ENOENT: No such file or directory");
    else if (v.opts->snapshot)
        rc = verify_snapshot(&v, ns, v.opts->snapshot, diag);
    else if (v.opts->ns || v.opts->group)
        rc = verify_namespace(&v, ns, diag);
    else
        rc = verify_all(&v, diag);
    pbr_known_release(&v.chunks);
    if (rc < 0) {
        pbr_verify_report_release(&v.report);
        return rc;
    }
    *ret = v.report;
    return PBR_OK;
}

void pbr_verify_report_release(struct pbr_verify_report *r)
{
    if (!r->env)
        return;
    for (size_t i = 0; i < r->nr; i++) {
        for (size_t k = 0; k < r->items[i].problem_nr; k++)
            pbr_free(r->env, r->items[i].problems[k].text);
        pbr_free(r->env, r->items[i].problems);
    }
    pbr_free(r->env, r->items);
    *r = (struct pbr_verify_report){ 0 };
}
