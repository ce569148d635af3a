/* SPDX-License-Identifier: MIT */
/* One index of a backup: chunk stream, upload, previous index, summary lines [BKP-224, BKP-270 .. BKP-274]. */
#include <stdio.h>
#include <string.h>

#include "client/backup_int.h"
#include "base/limits.h"
#include "client/human.h"
#include "proto/request.h"

enum { REPORT_EVERY_S = 60 };

void pbr_backup_report(struct pbr_backup_run *run, const char *archive)
{
    if (!run->opts->progress)
        return;
    run->progress.archive = archive;
    run->opts->progress(run->opts->progress_ctx, &run->progress);
}

/* ---- between chunk stream and upload: progress ---- */

static int tap_acquire(void *ctx, size_t cap, uint8_t **ret, struct pbr_diag *diag)
{
    struct pbr_backup_stream *s = ctx;
    return s->inner.acquire(s->inner.ctx, cap, ret, diag);
}

static void tap_release(void *ctx, uint8_t *buf)
{
    struct pbr_backup_stream *s = ctx;
    s->inner.release(s->inner.ctx, buf);
}

static void report_minutes(struct pbr_backup_stream *s)
{
    const struct pbr_env *env = s->run->env;
    const uint64_t now = env->mono_ns(env->ctx);
    if (!s->report || now - s->last_report_ns < (uint64_t)REPORT_EVERY_S * 1000000000u)
        return;
    struct pbr_upload_stats stats;
    char size[PBR_HUMAN_MAX], span[PBR_HUMAN_MAX], sent[PBR_HUMAN_MAX];
    pbr_upload_stats(s->upload, &stats);
    pbr_human_size(stats.size, size);
    pbr_human_span(now - s->last_report_ns, span);
    pbr_human_size(stats.acked_bytes, sent);
    pbr_log(env, PBR_LOG_INFO, "processed %s in %s, uploaded %s", size, span, sent);
    s->last_report_ns = now;
}

static int tap_raw(void *ctx, uint8_t *buf, size_t len, uint64_t start, struct pbr_diag *diag)
{
    struct pbr_backup_stream *s = ctx;
    s->run->progress.bytes += len;
    report_minutes(s);
    pbr_backup_report(s->run, s->name);
    return s->inner.raw(s->inner.ctx, buf, len, start, diag);
}

static int tap_inject(void *ctx, uint64_t boundary, const struct pbr_inject *inj, struct pbr_diag *diag)
{
    struct pbr_backup_stream *s = ctx;
    for (size_t i = 0; i < inj->chunk_nr; i++)
        s->run->progress.bytes += inj->chunks[i].size;
    return s->inner.inject(s->inner.ctx, boundary, inj, diag);
}

/* ---- open ---- */

/* Chunks of the previous index of this name need not be sent; any trouble means only that all are (BKP-224). */
static void load_previous(struct pbr_backup_run *run, const char *name, struct pbr_known *known)
{
    struct pbr_diag diag = { 0 };
    struct pbr_fetched_index ix;
    if (!run->has_previous)
        return;
    if (!pbr_manifest_find(&run->previous, name)) {
        pbr_log(run->env, PBR_LOG_DEBUG,
                "Previous manifest does not contain an archive called '%s', skipping download..", name);
        return;
    }
    if (pbr_session_index(run->link, PBR_FETCH_PREVIOUS, &run->previous, name, &ix, &diag) < 0) {
        pbr_log_failure(run->env, PBR_LOG_WARN, &diag, "Error downloading %s from previous manifest", strrchr(name, '.'));
        return;
    }
    if (pbr_session_add_known(&ix.index, known) < 0)
        pbr_known_release(known);
    pbr_fetched_index_release(&ix);
}

int pbr_backup_stream_open(struct pbr_backup_run *run, struct pbr_backup_stream *s, const char *name,
                           const struct pbr_chunk_stream_opts *opts, uint64_t size, bool use_previous,
                           struct pbr_diag *diag)
{
    struct pbr_known known;
    *s = (struct pbr_backup_stream){ .run = run };
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    pbr_known_init(&known, run->env);
    if (use_previous)
        load_previous(run, name, &known);
    int rc = pbr_upload_open(run->pipeline, name, opts->fixed ? PBR_INDEX_FIXED : PBR_INDEX_DYNAMIC, size, &known,
                             &s->upload, diag);
    pbr_known_release(&known);
    if (rc < 0)
        return rc;
    s->inner = pbr_upload_out(s->upload);
    const struct pbr_chunk_out tap = {
        .ctx = s, .acquire = tap_acquire, .release = tap_release, .raw = tap_raw, .inject = tap_inject
    };
    rc = pbr_chunk_stream_new(run->env, opts, &tap, &s->chunks, diag);
    if (rc < 0)
        return rc;
    s->sink = pbr_chunk_stream_sink(s->chunks);
    s->last_report_ns = run->env->mono_ns(run->env->ctx);
    s->report = pbr_span_ends(pbr_span_str(name), ".img.fidx") || pbr_span_ends(pbr_span_str(name), ".pxar.didx") ||
                pbr_span_ends(pbr_span_str(name), ".ppxar.didx") || pbr_span_ends(pbr_span_str(name), ".pxar.pld.didx") ||
                pbr_span_ends(pbr_span_str(name), ".pxar.data.didx");
    return PBR_OK;
}

void pbr_backup_stream_release(struct pbr_backup_stream *s)
{
    pbr_chunk_stream_free(s->chunks); /* the upload belongs to the pipeline */
    s->chunks = NULL;
}

/* ---- finish ---- */

static void log_summary(const struct pbr_backup_stream *s, const struct pbr_upload_stats *u)
{
    const struct pbr_env *env = s->run->env;
    const uint64_t reused = u->known_bytes + u->injected_bytes;
    const uint64_t dirty = u->size - reused;
    char total_text[PBR_HUMAN_MAX], text[PBR_HUMAN_MAX], encoded[PBR_HUMAN_MAX], rate[PBR_HUMAN_MAX];
    const char *dot = strrchr(s->name, '.'); /* without .didx or .fidx */
    const int n = dot ? (int)(dot - s->name) : (int)strlen(s->name);
    pbr_human_size(u->size, total_text);
    if (u->injected_nr > 0) {
        pbr_human_size(u->injected_bytes, text);
        pbr_log(env, PBR_LOG_INFO, "%.*s: reused %s from previous snapshot for unchanged files (%" PRIu64 " chunks)", n, s->name,
                text, u->injected_nr);
    }
    if (strcmp(s->name, "catalog.pcat1.didx") == 0) {
        pbr_log(env, PBR_LOG_INFO, "Uploaded backup catalog (%s)", total_text);
        return;
    }
    pbr_human_size(dirty, text);
    pbr_human_size(u->encoded_bytes, encoded);
    pbr_human_rate(dirty, u->duration_ns, rate);
    pbr_log(env, PBR_LOG_INFO, "%.*s: had to backup %s of %s (compressed %s) in %.2f s (average %s/s)", n, s->name, text,
            total_text, encoded, (double)u->duration_ns / 1e9, rate);
    if (reused > 0 && u->size > 1048576) {
        pbr_human_size(reused, text);
        pbr_log(env, PBR_LOG_INFO, "%.*s: backup was done incrementally, reused %s (%.1f%%)", n, s->name, text,
                (double)reused * 100.0 / (double)u->size);
    }
    if (u->chunk_nr > 0)
        pbr_log(env, PBR_LOG_DEBUG, "%s: Reused %" PRIu64 " from %" PRIu64 " chunks.", s->name, u->known_nr, u->chunk_nr);
}

static int add_result(struct pbr_backup_run *run, const struct pbr_backup_archive *a, struct pbr_diag *diag)
{
    struct pbr_backup_result *r = &run->result;
    if (r->archive_nr == r->archive_cap) {
        const size_t cap = r->archive_cap ? r->archive_cap * 2 : 8;
        struct pbr_backup_archive *bigger = pbr_realloc(run->env, r->archives, cap * sizeof(*bigger));
        if (!bigger)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the result");
        r->archives = bigger;
        r->archive_cap = cap;
    }
    r->archives[r->archive_nr++] = *a;
    return PBR_OK;
}

int pbr_backup_stream_end(struct pbr_backup_stream *s, struct pbr_diag *diag)
{
    const int rc = pbr_chunk_stream_finish(s->chunks, diag);
    if (rc == PBR_OK)
        pbr_upload_end(s->upload);
    return rc;
}

int pbr_backup_stream_drain(struct pbr_backup_stream *s, struct pbr_diag *diag)
{
    const int rc = pbr_upload_finish(s->upload, &s->stats, diag);
    if (rc == PBR_OK)
        log_summary(s, &s->stats);
    return rc;
}

int pbr_backup_stream_close(struct pbr_backup_stream *s, const struct pbr_create_stats *create, struct pbr_diag *diag)
{
    struct pbr_backup_run *run = s->run;
    struct pbr_backup_archive a = { .has_upload = true, .has_create = create != NULL, .upload = s->stats };
    int rc = pbr_upload_close(s->upload, diag);
    if (rc == PBR_OK) {
        rc = pbr_manifest_add(&run->manifest, s->name, run->opts->crypt_mode, a.upload.size, a.upload.csum);
        if (rc < 0)
            (void)pbr_fail_at(diag, rc, NULL, "cannot add %s to the manifest", s->name);
    }
    if (rc < 0)
        return rc;
    run->progress.sent_bytes += a.upload.encoded_bytes;
    memcpy(a.name, s->name, sizeof(a.name));
    a.size = a.upload.size;
    if (create) {
        a.create = *create;
        run->result.warnings += create->warnings;
    }
    return add_result(run, &a, diag);
}

int pbr_backup_stream_finish(struct pbr_backup_stream *s, const struct pbr_create_stats *create,
                             struct pbr_diag *diag)
{
    int rc = pbr_backup_stream_end(s, diag);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_drain(s, diag);
    return rc < 0 ? rc : pbr_backup_stream_close(s, create, diag);
}

/* ---- single files ---- */

int pbr_backup_blob(struct pbr_backup_run *run, const char *name, bool in_manifest, bool encrypt,
                    struct pbr_span plain, struct pbr_diag *diag)
{
    struct pbr_backup_archive a = { 0 };
    struct pbr_sealer *sealer;
    struct pbr_buf raw;
    uint8_t csum[PBR_DIGEST_LEN];
    struct pbr_buf path;
    if (pbr_sealer_new(run->env, &sealer) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a compressor");
    pbr_buf_init(&path, run->env, PBR_URI_MAX);
    pbr_buf_init(&raw, run->env, (size_t)PBR_BLOB_PLAIN_MAX + PBR_BLOB_HDR_MAX);
    int rc = pbr_seal(sealer, encrypt ? run->opts->crypt : NULL, true, plain, &raw, diag);
    pbr_sealer_free(sealer);
    if (rc == PBR_OK && raw.len > PBR_CHUNK_RAW_MAX) /* the server would refuse it (BLOB-082) */
        rc = pbr_fail_at(diag, PBR_E_LIMIT, "BLOB-081", "encoded size %zu exceeds what a server accepts (%d bytes)",
                         raw.len, PBR_CHUNK_RAW_MAX);
    if (rc == PBR_OK && (rc = pbr_request_blob(name, raw.len, &path)) < 0)
        (void)pbr_fail_at(diag, rc, NULL, "no memory for a request");
    if (rc == PBR_OK)
        rc = pbr_link_call_json(run->link, "POST", pbr_buf_cstr(&path), "application/octet-stream", pbr_buf_span(&raw), NULL,
                                diag);
    if (rc < 0)
        pbr_diag_context(diag, "cannot upload %s", name);
    if (rc == PBR_OK && in_manifest) {
        rc = pbr_sha256(pbr_buf_span(&raw), pbr_span(NULL, 0), csum);
        if (rc == PBR_OK)
            rc = pbr_manifest_add(&run->manifest, name, run->opts->crypt_mode, raw.len, csum);
        (void)snprintf(a.name, sizeof(a.name), "%s", name);
        a.size = raw.len;
        if (rc == PBR_OK)
            rc = add_result(run, &a, diag);
        else
            (void)pbr_fail_at(diag, rc, NULL, "cannot add %s to the manifest", name);
    }
    pbr_buf_release(&raw);
    pbr_buf_release(&path);
    return rc;
}
