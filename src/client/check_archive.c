/* SPDX-License-Identifier: MIT */
/* One archive under check: structure, damage by lost chunks, and what its entries say of payload and catalog; see
 * check_int.h. */
#include <string.h>

#include "archive/salvage.h"
#include "client/check_int.h"

struct walk {
    struct check *c;
    struct check_part *part;
    struct check_payload *payload; /* NULL: none */
    struct check_catalog *catalog; /* NULL: none */
    bool salvaging;
    bool split;                    /* references were seen */
    struct pbr_buf stopped;        /* text of the break in the grammar, told when its cause is known */
    struct pbr_diag stop;
    bool has_stop;
};

static bool meets_damage(const struct walk *w, uint64_t start, uint64_t end)
{
    size_t n;
    return check_part_damage(w->part, start, end, &n) != NULL;
}

/* ---- entries ---- */

static void report_damage(struct walk *w, const struct pbr_pxar_entry *e, struct pbr_span path)
{
    size_t n = 0;
    const bool has_data = e->kind == PBR_KIND_FILE && !e->has_ref;
    uint64_t end = e->end_pos;
    if (has_data && !pbr_add(e->data_pos, e->size, &end))
        end = UINT64_MAX;
    const struct check_bad *bad = check_part_damage(w->part, e->name_pos, end, &n);
    if (!bad)
        return;
    const struct check_where at = { .file = w->part->file, .path = path, .has_off = true, .off = bad->start };
    check_report(w->c, CHECK_DAMAGED_PATH, &at, "%s lies in a %s chunk at %" PRIu64 "%s",
                 has_data && bad->start >= e->end_pos ? "file content" : "the entry", bad->missing ? "missing" : "corrupt",
                 bad->start, n > 1 ? ", and in more" : "");
}

static int on_entry(void *ctx, const struct pbr_pxar_entry *e, struct pbr_span path, bool in_appendix,
                    struct pbr_diag *diag)
{
    struct walk *w = ctx;
    int rc = PBR_OK;
    report_damage(w, e, path);
    if (w->catalog && !w->salvaging && !in_appendix)
        rc = check_catalog_entry(w->catalog, e, path, diag);
    if (rc < 0 || !e->has_ref)
        return rc;
    w->split = true;
    return w->payload ? check_payload_ref(w->payload, e, path, diag) : PBR_OK;
}

static int on_salvaged(void *ctx, const struct pbr_pxar_entry *e, struct pbr_span path, struct pbr_diag *diag)
{
    return on_entry(ctx, e, path, false, diag);
}

static void on_finding(void *ctx, const struct pbr_verify_finding *f)
{
    struct walk *w = ctx;
    const struct check_where at = {
        .file = w->part->file, .rule = f->rule, .path = f->path, .has_off = true, .off = f->off
    };
    uint64_t reached = 0;
    if (f->broke) { /* told when the whole archive was read: the reason may be a lost chunk */
        w->has_stop = true;
        (void)pbr_fail(&w->stop, PBR_E_FORMAT, f->rule, f->off, "%s", f->text);
        if (pbr_buf_append(&w->stopped, f->path) < 0)
            pbr_buf_clear(&w->stopped);
        return;
    }
    if (!pbr_add(f->reached, PBR_PXAR_HDR, &reached))
        reached = UINT64_MAX;
    if (!meets_damage(w, f->off, reached)) /* else it says no more than that the chunk is lost */
        check_report(w->c, check_name_of_rule(f->rule), &at, "%s", f->text);
}

/* ---- what lies behind a break ---- */

static void on_lost(void *ctx, struct pbr_span dir, bool whole, const struct pbr_diag *cause)
{
    struct walk *w = ctx;
    const struct check_where at = { .file = w->part->file, .path = dir };
    check_report_cause(w->c, whole ? CHECK_LOST_DIRECTORY : CHECK_LOST_ENTRY, &at, cause);
}

static int salvage(struct walk *w, uint64_t from, struct pbr_diag *diag)
{
    struct pbr_source src;
    const struct pbr_salvage_opts opts = { .from = from, .entry = on_salvaged, .lost = on_lost, .ctx = w };
    int rc = w->part->open_source(w->part->ctx, &src, diag);
    if (rc < 0)
        return rc;
    w->salvaging = true;
    rc = pbr_salvage(w->c->env, &src, &opts, diag);
    pbr_source_close(&src);
    return rc;
}

/* The stream ended inside the archive [PXAR-225, PXAR-226]. */
static bool ends_early(const struct walk *w)
{
    return w->has_stop && w->stop.rule &&
           (strcmp(w->stop.rule, "PXAR-225") == 0 || strcmp(w->stop.rule, "PXAR-226") == 0);
}

/* The finding for a break, by its trace; none if a lost chunk explains it. */
static void report_break(struct walk *w, const struct pbr_verify_result *r)
{
    const struct check_where at = { .file = w->part->file,
                                    .rule = w->stop.rule,
                                    .path = pbr_buf_span(&w->stopped),
                                    .has_off = true,
                                    .off = w->stop.off };
    uint64_t reached = 0;
    if (!w->has_stop)
        return;
    if (!pbr_add(r->broken_pos > w->stop.off ? r->broken_pos : w->stop.off, PBR_PXAR_HDR, &reached))
        reached = UINT64_MAX;
    if (meets_damage(w, r->broken_pos, reached))
        return;
    if (!ends_early(w))
        check_report(w->c, CHECK_STRUCTURE, &at, "behind this entry: %s", w->stop.text);
    else if (r->after_dir && r->broken_pos == w->part->size)
        check_report(w->c, CHECK_NOT_CLOSED, &at, "the archive ends with %" PRIu64 " directories not closed",
                     r->open_dirs);
    else
        check_report(w->c, CHECK_ENDS_EARLY, &at, "behind this entry: %s", w->stop.text);
}

/* ---- the archive ---- */

static int verify(struct walk *w, struct pbr_stream *s, struct pbr_verify_result *ret, struct pbr_diag *diag)
{
    const struct pbr_verify_opts opts = { .meta_only = true,
                                          .contents = !w->part->skips,
                                          .report = on_finding,
                                          .entry = on_entry,
                                          .refs_elsewhere = true,
                                          .ctx = w };
    int rc = pbr_verify(w->c->env, s, NULL, &opts, ret, diag);
    if (rc == PBR_OK && ret->broken && !w->part->skips)
        rc = check_part_drain(s, diag); /* the other chunks are checked all the same */
    return rc;
}

static void keep_figures(struct walk *w, const struct pbr_verify_result *r)
{
    struct pbr_check_file *f = &w->c->res.files[w->part->file];
    f->entries = r->entries;
    f->files = r->files;
    f->hardlinks = r->hardlinks;
    f->references = r->refs;
    f->contents = !w->part->skips;
}

static int walk_archive(struct walk *w, const char *stored, struct pbr_diag *diag)
{
    struct pbr_stream s;
    struct pbr_verify_result r = { 0 };
    int rc = check_part_stream(w->part, &s, diag);
    if (rc < 0)
        return rc;
    if (w->catalog)
        rc = check_catalog_begin(w->catalog, stored, diag);
    if (rc == PBR_OK)
        rc = verify(w, &s, &r, diag);
    if (rc == PBR_OK) {
        keep_figures(w, &r);
        report_break(w, &r);
    }
    pbr_stream_close(&s);
    if (rc == PBR_OK && r.broken && !ends_early(w)) /* what ends early has no table to start from */
        rc = salvage(w, r.broken_pos, diag);
    if (rc == PBR_OK && w->catalog)
        rc = check_catalog_end(w->catalog, !r.broken, diag);
    if (rc == PBR_OK && w->payload)
        rc = check_payload_finish(w->payload, !r.broken, diag);
    return rc;
}

int check_archive(struct check *c, struct check_part *archive, struct check_part *payload,
                  struct check_catalog *catalog, const char *stored, struct pbr_diag *diag)
{
    struct check_payload refs = { 0 };
    struct walk w = { .c = c, .part = archive, .payload = payload ? &refs : NULL, .catalog = catalog };
    const struct check_where at = { .file = archive->file };
    int rc = payload ? check_payload_open(&refs, payload, archive->file, diag) : PBR_OK;
    pbr_buf_init(&w.stopped, c->env, 1 << 20);
    if (rc == PBR_OK)
        rc = walk_archive(&w, stored, diag);
    if (rc == PBR_OK && w.split && !payload && !c->opts->metadata_only)
        check_report(c, CHECK_SPLIT_PAIR, &at, "the payload stream of this split archive is not there to be checked");
    check_payload_close(&refs);
    pbr_buf_release(&w.stopped);
    return rc;
}
