/* SPDX-License-Identifier: MIT */
/* Directories: one archive (legacy) with its part of the catalog, or metadata archive and payload stream side by side
 * [BKP-221 .. BKP-223, CAT-070 .. CAT-076]; in the drafts' way where the profile says so [SPL, APX]. */
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
    struct pbr_pcat_writer *catalog;  /* not in the released split archives */
    bool extended;                    /* format of the catalog */
    struct pbr_reference *reference;  /* metadata mode with something to re-use */
    struct pbr_catalog_reference *appendix; /* the same for the draft with an appendix */
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

static int on_cat_file(void *ctx, const struct pbr_create_file *file, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    const struct pbr_pcat_entry entry = { .type = file->is_ref ? PBR_PCAT_REF : PBR_PCAT_FILE,
                                          .name = file->name,
                                          .size = file->size,
                                          .mtime_s = file->mtime_s,
                                          .ctime_s = file->ctime_s,
                                          .pos = file->pos };
    return pbr_pcat_writer_add(w->catalog, &entry, diag);
}

static int on_appendix_decide(void *ctx, struct pbr_create *cr, const struct pbr_create_entry *entry,
                              struct pbr_create_plan *ret, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    return pbr_catalog_reference_decide(w->appendix, cr, entry, ret, diag);
}

static int on_appendix_flush(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    return pbr_catalog_reference_flush(w->appendix, cr, diag);
}

static int on_appendix_close(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    struct walk *w = ctx;
    return pbr_catalog_reference_close(w->appendix, cr, diag);
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
        if (w->extended)
            opts.hooks.cat_file = on_cat_file; /* [APX-077] */
    }
    if (w->appendix) {
        opts.profile = PBR_PROFILE_DRAFT_APPENDIX;
        opts.hooks.decide = on_appendix_decide;
        opts.hooks.flush = on_appendix_flush;
        opts.hooks.close = on_appendix_close;
    }
    return opts;
}

/* ---- catalog ---- */

/* The draft's metadata mode writes the extended format, for whatever archive [APX-080]. */
static bool is_extended(const struct pbr_backup_run *run)
{
    return run->opts->profile == PBR_PROFILE_DRAFT_APPENDIX && run->opts->detection.mode == PBR_MODE_METADATA;
}

static int catalog_open(struct pbr_backup_run *run, struct pbr_diag *diag)
{
    const struct pbr_chunk_stream_opts opts = { .avg = CATALOG_AVG };
    if (run->catalog)
        return PBR_OK;
    run->catalog = pbr_alloc(run->env, 1, sizeof(*run->catalog));
    if (!run->catalog)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the catalog");
    int rc = pbr_backup_stream_open(run, &run->catalog->stream, "catalog.pcat1.didx", &opts, 0, false, diag);
    if (rc == PBR_OK && is_extended(run))
        rc = pbr_pcat_writer_new_extended(run->env, &run->catalog->stream.sink, &run->catalog->writer, diag);
    else if (rc == PBR_OK)
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

/* One stream, with its part of the catalog; `previous` without ref: everything is encoded. */
static int plain_stream(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd, const char *name,
                        const struct pbr_backup_appendix *previous, struct pbr_diag *diag)
{
    struct pbr_backup_stream archive = { 0 };
    struct pbr_create_stats stats;
    const struct pbr_create_outputs outputs = { .archive = &archive.sink };
    const struct pbr_chunk_stream_opts opts = { .avg = run->opts->chunk_size, .payload = previous->ref != NULL };
    uint64_t start = 0;
    int rc = pbr_backup_stream_open(run, &archive, name, &opts, 0, true, diag);
    if (rc == PBR_OK)
        rc = catalog_open(run, diag); /* after the archive, as the original asks for the two indexes */
    struct pbr_pcat_writer *catalog = rc == PBR_OK ? run->catalog->writer : NULL;
    if (rc == PBR_OK)
        rc = pbr_pcat_writer_start_dir(catalog, pbr_span_str(name), diag);
    if (rc == PBR_OK) {
        struct walk w = {
            .run = run, .archive = name, .catalog = catalog, .extended = is_extended(run), .appendix = previous->ref
        };
        const struct pbr_create_opts create = with_hooks(&w);
        if (previous->ref)
            pbr_catalog_reference_set_stream(previous->ref, archive.chunks);
        rc = pbr_create(run->env, fd, spec->path, &outputs, &create, &stats, diag);
    }
    if (previous->ref)
        start = pbr_catalog_reference_start(previous->ref);
    if (rc == PBR_OK)
        rc = is_extended(run) ? pbr_pcat_writer_end_archive(catalog, start, diag) : pbr_pcat_writer_end_dir(catalog, diag);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_finish(&archive, &stats, diag);
    pbr_backup_stream_release(&archive);
    return rc;
}

static int backup_plain(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd, enum pbr_change_mode mode,
                        struct pbr_diag *diag)
{
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    struct pbr_backup_appendix previous = { 0 };
    (void)snprintf(name, sizeof(name), "%s.didx", spec->target);
    int rc = PBR_OK;
    if (mode == PBR_MODE_METADATA) /* draft-appendix */
        rc = pbr_backup_appendix_open(run, name, &previous, diag);
    if (rc == PBR_OK)
        rc = plain_stream(run, spec, fd, name, &previous, diag);
    pbr_backup_appendix_close(&previous);
    return rc;
}

/* ---- split archives ---- */

struct split {
    struct pbr_backup_run *run;
    const struct pbr_backup_spec *spec;
    struct pbr_split_names names;
    struct pbr_backup_stream meta, payload;
    struct pbr_create_stats stats;
    bool draft;
};

static int split_create(struct split *s, int fd, struct pbr_reference *ref, struct pbr_diag *diag)
{
    const struct pbr_create_outputs outputs = { .archive = &s->meta.sink, .payload = &s->payload.sink };
    struct walk w = { .run = s->run,
                      .archive = s->names.payload,
                      .payload = s->payload.chunks,
                      .catalog = s->draft ? s->run->catalog->writer : NULL, /* [SPL-077] */
                      .reference = ref };
    struct pbr_create_opts create = with_hooks(&w);
    if (s->draft) {
        create.profile = PBR_PROFILE_DRAFT_SPLIT;
        create.hooks.suggest = NULL; /* the draft's chunker knows no suggested boundaries [SPL-052] */
    }
    if (ref)
        pbr_reference_set_payload(ref, s->payload.chunks);
    int rc = s->draft ? pbr_pcat_writer_start_dir(s->run->catalog->writer, pbr_span_str(s->names.meta), diag) : PBR_OK;
    if (rc == PBR_OK)
        rc = pbr_create(s->run->env, fd, s->spec->path, &outputs, &create, &s->stats, diag);
    return rc;
}

/* Ends both streams, then waits for both: the failure of one does not cancel the wait for the other [SPL-063]. */
static int split_wait(struct split *s, struct pbr_diag *diag)
{
    struct pbr_diag none = { 0 };
    const int payload_end = pbr_backup_stream_end(&s->payload, diag);
    const int meta_end = pbr_backup_stream_end(&s->meta, diag);
    const int payload_rc = payload_end < 0 ? payload_end : pbr_backup_stream_drain(&s->payload, diag);
    const int meta_rc = meta_end < 0 ? meta_end : pbr_backup_stream_drain(&s->meta, payload_rc < 0 ? &none : diag);
    return payload_rc < 0 ? payload_rc : meta_rc;
}

/* Both uploads end before anything else happens; what the server refused of either is reported, the metadata archive's
 * first [SPL-064 .. SPL-067, BKP-280]. `rc`: what came of it so far. */
static int split_drain(struct split *s, int rc, struct pbr_diag *diag)
{
    struct pbr_diag meta = { 0 }, payload = { 0 };
    if (rc == PBR_OK)
        rc = split_wait(s, diag);
    if (rc == PBR_OK || !s->meta.upload || !s->payload.upload)
        return rc;
    const int meta_rc = pbr_upload_failure(s->meta.upload, &meta);
    const int payload_rc = pbr_upload_failure(s->payload.upload, &payload);
    if ((meta_rc == PBR_OK && payload_rc == PBR_OK) || !diag)
        return rc;
    *diag = meta_rc < 0 ? meta : payload;
    if (meta_rc < 0 && payload_rc < 0)
        (void)snprintf(diag->text, sizeof(diag->text), "%.*s - %.*s", PBR_DIAG_TEXT_MAX / 3, meta.text, PBR_DIAG_TEXT_MAX / 3,
                       payload.text);
    pbr_diag_context(diag, "upload failed");
    return diag->code;
}

static int split_close(struct split *s, struct pbr_diag *diag)
{
    int rc = pbr_backup_stream_close(&s->payload, &s->stats, diag); /* first in the manifest (MAN-034, SPL-075) */
    if (rc == PBR_OK)
        rc = pbr_backup_stream_close(&s->meta, NULL, diag);
    return rc < 0 || !s->draft ? rc : pbr_pcat_writer_end_dir(s->run->catalog->writer, diag);
}

static int split_streams(struct split *s, int fd, struct pbr_reference *ref, struct pbr_diag *diag)
{
    const uint64_t avg = s->run->opts->chunk_size;
    const struct pbr_chunk_stream_opts meta_opts = { .avg = avg };
    const struct pbr_chunk_stream_opts payload_opts = { .avg = avg, .payload = true };
    int rc = s->draft ? catalog_open(s->run, diag) : PBR_OK;
    if (rc == PBR_OK && s->draft) /* the metadata upload first [SPL-062] */
        rc = pbr_backup_stream_open(s->run, &s->meta, s->names.meta, &meta_opts, 0, true, diag);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_open(s->run, &s->payload, s->names.payload, &payload_opts, 0, true, diag);
    if (rc == PBR_OK && !s->draft)
        rc = pbr_backup_stream_open(s->run, &s->meta, s->names.meta, &meta_opts, 0, true, diag);
    if (rc == PBR_OK)
        rc = split_create(s, fd, ref, diag);
    return rc;
}

static int backup_split(struct split *s, int fd, enum pbr_change_mode mode, struct pbr_diag *diag)
{
    struct pbr_backup_reference previous;
    int rc = pbr_backup_reference_open(s->run, s->spec->base, mode, &previous, diag);
    if (rc == PBR_OK)
        rc = split_streams(s, fd, previous.ref, diag);
    if (rc == PBR_OK && previous.ref)
        pbr_reference_log_summary(previous.ref);
    pbr_backup_reference_close(&previous);
    rc = split_drain(s, rc, diag);
    if (rc == PBR_OK)
        rc = split_close(s, diag);
    pbr_backup_stream_release(&s->payload);
    pbr_backup_stream_release(&s->meta);
    return rc;
}

static int backup_by_mode(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd, struct pbr_diag *diag)
{
    const enum pbr_change_mode mode = pbr_detection_mode(&run->opts->detection, spec->target);
    struct split split = { .run = run, .spec = spec, .draft = run->opts->profile == PBR_PROFILE_DRAFT_SPLIT };
    const bool splits = mode != PBR_MODE_LEGACY && run->opts->profile != PBR_PROFILE_DRAFT_APPENDIX;
    if (splits && !pbr_split_names(run->opts->profile, spec->base, run->opts->data_suffix, &split.names))
        return pbr_fail_at(diag, PBR_E_ARG, "IDX-083", "archive name '%s' is too long", spec->base);
    pbr_log(run->env, PBR_LOG_INFO, "Upload directory '%s' to '%s' as %s%s", spec->path, run->repo,
            splits ? split.names.meta : spec->target, splits ? "" : ".didx");
    return splits ? backup_split(&split, fd, mode, diag) : backup_plain(run, spec, fd, mode, diag);
}

int pbr_backup_pxar(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd, struct pbr_diag *diag)
{
    const int rc = backup_by_mode(run, spec, fd, diag);
    if (rc < 0)
        pbr_diag_context(diag, "%s", spec->target);
    return rc;
}
