/* SPDX-License-Identifier: MIT */
/* Directories: one archive (legacy) with its part of the catalog, or metadata archive and payload stream side by side
 * [BKP-221 .. BKP-223, CAT-070 .. CAT-076]. */
#include <stdio.h>
#include <string.h>

#include "client/backup_int.h"

enum { CATALOG_AVG = 512 << 10 }; /* CHK-003 */

struct pbr_backup_catalog {
    struct pbr_backup_stream stream;
    struct pbr_pcat_writer *writer;
};

/* ---- hooks of the walk ---- */

struct walk {
    struct pbr_backup_run *run;
    const char *archive;
    struct pbr_chunk_stream *payload; /* split only */
    struct pbr_pcat_writer *catalog;  /* legacy only */
    struct pbr_reference *reference;  /* metadata mode with something to re-use */
};

static int on_entry(void *ctx, struct pbr_span path, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    (void)path;
    (void)diag;
    w->run->progress.files++;
    if (w->run->progress.files % 256 == 0)
        pbr_backup_report(w->run, w->archive);
    return PBR_OK;
}

static int on_suggest(void *ctx, uint64_t payload_pos, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    return pbr_chunk_stream_suggest(w->payload, payload_pos, diag);
}

static int on_decide(void *ctx, struct pbr_create *cr, const struct pbr_create_entry *entry,
                     struct pbr_create_plan *ret, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    return pbr_reference_decide(w->reference, cr, entry, ret, diag);
}

static int on_flush(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    return pbr_reference_flush(w->reference, cr, diag);
}

static int on_cat_dir_start(void *ctx, struct pbr_span name, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    return pbr_pcat_writer_start_dir(w->catalog, name, diag);
}

static int on_cat_dir_end(void *ctx, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    return pbr_pcat_writer_end_dir(w->catalog, diag);
}

static int on_cat_entry(void *ctx, char type, struct pbr_span name, uint64_t size, int64_t mtime_s,
                        struct pbr_diag *diag)
{
    struct walk *w = ctx;
    const struct pbr_pcat_entry entry = {
        .type = (enum pbr_pcat_type)type, .name = name, .size = size, .mtime_s = mtime_s
    };
    return pbr_pcat_writer_add(w->catalog, &entry, diag);
}

static struct pbr_create_opts with_hooks(struct walk *w)
{
    struct pbr_create_opts opts = w->run->opts->create;
    opts.hooks.ctx = w;
    opts.hooks.entry = on_entry;
    if (w->payload)
        opts.hooks.suggest = on_suggest;
    if (w->reference) {
        opts.hooks.decide = on_decide;
        opts.hooks.flush = on_flush;
    }
    if (w->catalog) {
        opts.hooks.cat_dir_start = on_cat_dir_start;
        opts.hooks.cat_dir_end = on_cat_dir_end;
        opts.hooks.cat_entry = on_cat_entry;
    }
    return opts;
}

/* ---- catalog ---- */

static int catalog_open(struct pbr_backup_run *run, struct pbr_diag *diag)
{
    const struct pbr_chunk_stream_opts opts = { .avg = CATALOG_AVG };
    if (run->catalog)
        return PBR_OK;
    run->catalog = pbr_alloc(run->env, 1, sizeof(*run->catalog));
    if (!run->catalog)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the catalog");
    int rc = pbr_backup_stream_open(run, &run->catalog->stream, "catalog.pcat1.didx", &opts, 0, false, diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_writer_new(run->env, &run->catalog->stream.sink, &run->catalog->writer, diag);
    return rc;
}

int pbr_backup_catalog_finish(struct pbr_backup_run *run, struct pbr_diag *diag)
{
    if (!run->catalog)
        return PBR_OK;
    const int rc = pbr_pcat_writer_finish(run->catalog->writer, diag);
    return rc < 0 ? rc : pbr_backup_stream_finish(&run->catalog->stream, NULL, diag);
}

void pbr_backup_catalog_free(struct pbr_backup_run *run)
{
    if (!run->catalog)
        return;
    pbr_pcat_writer_free(run->catalog->writer);
    pbr_backup_stream_release(&run->catalog->stream);
    pbr_free(run->env, run->catalog);
    run->catalog = NULL;
}

/* ---- one archive ---- */

static int backup_legacy(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd,
                         struct pbr_diag *diag)
{
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    struct pbr_backup_stream archive = { 0 };
    struct pbr_create_stats stats;
    const struct pbr_chunk_stream_opts opts = { .avg = run->opts->chunk_size };
    (void)snprintf(name, sizeof(name), "%s.didx", spec->target);
    int rc = catalog_open(run, diag);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_open(run, &archive, name, &opts, 0, true, diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_writer_start_dir(run->catalog->writer, pbr_span_str(name), diag);
    if (rc == PBR_OK) {
        struct walk w = { .run = run, .archive = name, .catalog = run->catalog->writer };
        const struct pbr_create_opts create = with_hooks(&w);
        rc = pbr_create(run->env, fd, spec->path, &archive.sink, NULL, &create, &stats, diag);
    }
    if (rc == PBR_OK)
        rc = pbr_pcat_writer_end_dir(run->catalog->writer, diag);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_finish(&archive, &stats, diag);
    pbr_backup_stream_release(&archive);
    return rc;
}

static int backup_split(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd,
                        struct pbr_diag *diag)
{
    char meta_name[PBR_ARCHIVE_NAME_MAX + 1], payload_name[PBR_ARCHIVE_NAME_MAX + 1];
    struct pbr_backup_stream meta = { 0 }, payload = { 0 };
    struct pbr_backup_reference previous;
    struct pbr_create_stats stats;
    const struct pbr_chunk_stream_opts meta_opts = { .avg = run->opts->chunk_size };
    const struct pbr_chunk_stream_opts payload_opts = { .avg = run->opts->chunk_size, .payload = true };
    (void)snprintf(meta_name, sizeof(meta_name), "%s.mpxar.didx", spec->base);
    (void)snprintf(payload_name, sizeof(payload_name), "%s.ppxar.didx", spec->base);
    int rc = pbr_backup_reference_open(run, spec->base, &previous, diag);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_open(run, &payload, payload_name, &payload_opts, 0, true, diag);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_open(run, &meta, meta_name, &meta_opts, 0, true, diag);
    if (rc == PBR_OK) {
        struct walk w = {
            .run = run, .archive = payload_name, .payload = payload.chunks, .reference = previous.ref
        };
        if (previous.ref)
            pbr_reference_set_payload(previous.ref, payload.chunks);
        const struct pbr_create_opts create = with_hooks(&w);
        rc = pbr_create(run->env, fd, spec->path, &meta.sink, &payload.sink, &create, &stats, diag);
    }
    if (rc == PBR_OK && previous.ref)
        pbr_reference_log_summary(previous.ref);
    pbr_backup_reference_close(&previous);
    if (rc == PBR_OK) /* the payload half comes first in the manifest (MAN-034) */
        rc = pbr_backup_stream_finish(&payload, &stats, diag);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_finish(&meta, NULL, diag);
    pbr_backup_stream_release(&payload);
    pbr_backup_stream_release(&meta);
    return rc;
}

int pbr_backup_pxar(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd, struct pbr_diag *diag)
{
    const bool legacy = run->opts->mode == PBR_MODE_LEGACY;
    pbr_log(run->env, PBR_LOG_INFO, "Upload directory '%s' to '%s' as %s.%s.didx", spec->path, run->repo, spec->base,
            legacy ? "pxar" : "mpxar");
    const int rc = legacy ? backup_legacy(run, spec, fd, diag) : backup_split(run, spec, fd, diag);
    if (rc < 0)
        pbr_diag_context(diag, "%s", spec->target);
    return rc;
}
