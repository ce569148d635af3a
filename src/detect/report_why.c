/* SPDX-License-Identifier: MIT */
/* Why files were read again: what differs, or, of unchanged ones, what their chunks would have wasted [CDM-042, CDM-065];
 * see report.h. Ranges are put together as change detection does, from unchanged files in archive order that touch each
 * other in the earlier stream [CDM-055]. */
#include "detect/report_int.h"
#include "detect/run.h"

/* ---- what differs ---- */

static unsigned differences(const struct pbr_layout_entry *is, const struct pbr_layout_entry *was)
{
    if (was->kind == PBR_KIND_HARDLINK)
        return PBR_WHY_LINK;
    if (was->kind != PBR_KIND_FILE)
        return PBR_WHY_TYPE;
    unsigned why = is->size != was->size ? PBR_WHY_SIZE : 0;
    why |= is->mtime_s != was->mtime_s || is->mtime_ns != was->mtime_ns ? PBR_WHY_MTIME : 0;
    why |= is->mode != was->mode ? PBR_WHY_MODE : 0;
    why |= is->uid != was->uid || is->gid != was->gid ? PBR_WHY_OWNER : 0;
    why |= is->flags != was->flags ? PBR_WHY_FLAGS : 0;
    why |= !pbr_layout_attributes_equal(is, was) ? PBR_WHY_ATTRIBUTES : 0;
    return why;
}

/* ---- unchanged files ---- */

struct group {
    size_t first;        /* file of the report */
    uint64_t start, end; /* in the earlier stream; empty: no group is open */
};

/* Share of the chunks of [start, end) that is not in it, in thousandths, rounded up: above 100 is too much [CDM-065]. */
static unsigned waste_of(const struct pbr_report *r, const struct group *g)
{
    struct pbr_run run;
    if (pbr_run_find(pbr_layout_index(r->before), g->start, g->end, &run, NULL) < 0)
        return 1000;
    const double share = (double)(run.start_pad + run.end_pad) / (double)run.size;
    const unsigned permille = (unsigned)(share * 1000.0);
    return share > 0.1 && permille <= 100 ? 101 : permille;
}

static bool is_unchanged(const struct pbr_report_file *f)
{
    return f->kind == PBR_REPORT_FILE_REENCODED && f->why == 0;
}

static void close_group(struct pbr_report *r, struct group *g, size_t end)
{
    if (g->start == g->end)
        return;
    const unsigned waste = waste_of(r, g);
    for (size_t i = g->first; i < end; i++) {
        if (!is_unchanged(&r->files[i]))
            continue;
        r->files[i].why = waste > 100 ? PBR_WHY_PADDING : PBR_WHY_OTHER;
        r->files[i].waste_permille = waste > 100 ? waste : 0;
    }
    g->start = g->end = 0;
}

/* References that change detection accepts ascend [CDM-042 f]. */
static bool is_accepted(const struct pbr_report *r, const struct pbr_layout_entry *was, uint64_t *accepted_end)
{
    const uint64_t end = pbr_report_range_end(was);
    if (!pbr_run_holds_from(pbr_layout_index(r->before), pbr_layout_first(r->before), was->off, end) || was->off < *accepted_end)
        return false;
    *accepted_end = end;
    return true;
}

/* The draft with an appendix looks at sizes and ctime, which no archive has [APX-091, APX-133]. */
static void explain_inline(struct pbr_report *r)
{
    for (size_t i = 0; i < r->file_nr; i++)
        if (is_unchanged(&r->files[i]))
            r->files[i].why = PBR_WHY_OTHER;
}

static void explain_unchanged(struct pbr_report *r)
{
    struct group g = { 0 };
    uint64_t accepted_end = 0;
    for (size_t i = 0; i < r->file_nr; i++) {
        struct pbr_report_file *f = &r->files[i];
        const struct pbr_layout_entry *was = pbr_report_old_entry(r, f);
        if (f->kind == PBR_REPORT_FILE_LINK)
            continue;
        const bool accepted = was && was->kind == PBR_KIND_FILE &&
                              (is_unchanged(f) || f->kind == PBR_REPORT_FILE_REUSED) && is_accepted(r, was, &accepted_end);
        if (!accepted || !is_unchanged(f) || was->off != g.end)
            close_group(r, &g, i);
        if (is_unchanged(f) && !accepted)
            f->why = PBR_WHY_REFERENCE;
        if (!is_unchanged(f))
            continue;
        if (g.start == g.end)
            g = (struct group){ .first = i, .start = was->off };
        g.end = pbr_report_range_end(was);
    }
    close_group(r, &g, r->file_nr);
}

/* Nothing was re-used although something could have been: that was not padding. */
static void explain_no_reuse(struct pbr_report *r)
{
    bool other = false;
    for (size_t i = 0; i < r->file_nr; i++) {
        if (r->files[i].kind == PBR_REPORT_FILE_REUSED || r->files[i].kind == PBR_REPORT_FILE_KEPT)
            return;
        other = other || (r->files[i].why & PBR_WHY_OTHER);
    }
    for (size_t i = 0; i < r->file_nr && other; i++) {
        struct pbr_report_file *f = &r->files[i];
        if (!(f->why & (PBR_WHY_OTHER | PBR_WHY_PADDING)))
            continue;
        f->why = PBR_WHY_NO_REUSE;
        f->waste_permille = 0;
    }
}

void pbr_report_explain(struct pbr_report *r)
{
    for (size_t i = 0; i < r->file_nr; i++) {
        struct pbr_report_file *f = &r->files[i];
        if (f->kind == PBR_REPORT_FILE_REENCODED)
            f->why = differences(pbr_report_entry(r, f), pbr_report_old_entry(r, f));
    }
    if (r->before && pbr_layout_is_inline(r->now))
        explain_inline(r);
    else if (r->before)
        explain_unchanged(r);
    explain_no_reuse(r);
}

/* ---- words ---- */

const char *pbr_report_chunk_word(enum pbr_report_chunk_kind kind)
{
    static const char *const words[PBR_REPORT_CHUNK_KINDS] = { "new", "reused", "reused-part", "known", "marker" };
    return words[kind];
}

const char *pbr_report_file_word(enum pbr_report_file_kind kind)
{
    static const char *const words[PBR_REPORT_FILE_KINDS] = { "reused", "reencoded", "new", "kept", "hardlink" };
    return words[kind];
}

const char *pbr_report_why_word(enum pbr_report_why bit)
{
    switch (bit) {
    case PBR_WHY_TYPE: return "type";
    case PBR_WHY_LINK: return "was-hardlink";
    case PBR_WHY_SIZE: return "size";
    case PBR_WHY_MTIME: return "mtime";
    case PBR_WHY_MODE: return "mode";
    case PBR_WHY_OWNER: return "owner";
    case PBR_WHY_FLAGS: return "flags";
    case PBR_WHY_ATTRIBUTES: return "attributes";
    case PBR_WHY_PADDING: return "padding";
    case PBR_WHY_REFERENCE: return "reference";
    case PBR_WHY_NO_REUSE: return "no-reuse";
    case PBR_WHY_OTHER: return "other";
    case PBR_WHY_BITS: break;
    }
    return "";
}
