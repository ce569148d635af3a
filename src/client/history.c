/* SPDX-License-Identifier: MIT */
/* Snapshots side by side; see history.h. */
#include "client/history.h"

#include <stdio.h>
#include <string.h>

#include "archive/access.h"
#include "archive/read.h"

static int no_memory(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the report");
}

/* ---- one archive ---- */

static int read_entries(const struct pbr_env *env, struct pbr_stream *archive, struct pbr_layout *layout,
                        struct pbr_diag *diag)
{
    struct pbr_reader *reader;
    struct pbr_pxar_event ev = { .ev = PBR_PXAR_EV_MORE };
    uint64_t goodbye_pos = 0;
    const struct pbr_reader_opts opts = { .meta_only = true, .goodbye = true };
    int rc = pbr_reader_open_opts(env, archive, NULL, &opts, &reader, diag);
    if (rc < 0)
        return rc;
    while (rc == PBR_OK && ev.ev != PBR_PXAR_EV_END) {
        rc = pbr_reader_next(reader, &ev, diag);
        if (rc < 0)
            break;
        if (ev.ev == PBR_PXAR_EV_ENTRY)
            rc = pbr_layout_add(layout, pbr_reader_path(reader), &ev.entry, diag);
        else if (ev.ev == PBR_PXAR_EV_GOODBYE)
            goodbye_pos = ev.pos;
        else if (ev.ev == PBR_PXAR_EV_GOODBYE_REC)
            pbr_layout_record(layout, goodbye_pos, &ev.rec);
    }
    pbr_reader_free(reader);
    return rc < 0 ? rc : pbr_layout_finish(layout, diag);
}

/* `a` stays where it is: streams point into it. */
static int load_archive(const struct pbr_env *env, struct pbr_restore *r, const char *name,
                        struct pbr_history_archive *a, struct pbr_diag *diag)
{
    struct pbr_restore_archive found, *stored = &a->stored;
    int rc = pbr_restore_find(r, name, &found, diag);
    if (rc < 0)
        return rc;
    *stored = found;
    if (!stored->payload_name[0])
        return pbr_fail_at(diag, PBR_E_NOENT, "SPL-092", "the snapshot has no payload archive for '%s'", name);
    rc = pbr_restore_streams(r, stored, true, diag);
    if (rc == PBR_OK)
        rc = pbr_layout_new(env, &stored->payload_index.index, &a->layout, diag);
    if (rc == PBR_OK && stored->profile == PBR_PROFILE_DRAFT_SPLIT) /* no start marker [SPL-025] */
        pbr_layout_set_frame(a->layout, 0, pbr_layout_last(a->layout));
    if (rc == PBR_OK)
        rc = read_entries(env, &stored->stream, a->layout, diag);
    pbr_stream_close(&stored->stream); /* the session ends before the report is made */
    if (rc < 0)
        pbr_diag_context(diag, "%s", a->name);
    return rc;
}

/* ---- one archive of the draft with an appendix ---- */

/* An event of the reader; `frame`: where the appendix begins, where the root's table does. */
static int take_inline(struct pbr_reader *reader, const struct pbr_pxar_event *ev, uint64_t frame[2], struct pbr_layout *layout,
                       struct pbr_diag *diag)
{
    if (ev->ev == PBR_PXAR_EV_APPENDIX)
        frame[0] = ev->pos + ev->size;
    if (ev->ev == PBR_PXAR_EV_GOODBYE)
        frame[1] = ev->pos;
    if (ev->ev != PBR_PXAR_EV_ENTRY)
        return PBR_OK;
    if (ev->entry.kind == PBR_KIND_APPENDIX_REF)
        return pbr_reader_want(reader, diag);
    if (ev->entry.kind == PBR_KIND_FILE)
        return pbr_layout_add_inline(layout, pbr_reader_path(reader), &ev->entry, pbr_reader_in_appendix(reader), diag);
    return pbr_layout_add(layout, pbr_reader_path(reader), &ev->entry, diag);
}

static int read_inline(const struct pbr_env *env, struct pbr_stream *archive, uint64_t size, struct pbr_layout *layout,
                       struct pbr_diag *diag)
{
    struct pbr_reader *reader;
    struct pbr_pxar_event ev = { .ev = PBR_PXAR_EV_MORE };
    uint64_t frame[2] = { size, size };
    const struct pbr_reader_opts opts = { .goodbye = true };
    int rc = pbr_reader_open_opts(env, archive, NULL, &opts, &reader, diag);
    if (rc < 0)
        return rc;
    while (rc == PBR_OK && ev.ev != PBR_PXAR_EV_END) {
        rc = pbr_reader_next(reader, &ev, diag);
        if (rc == PBR_OK)
            rc = take_inline(reader, &ev, frame, layout, diag);
    }
    pbr_reader_free(reader);
    pbr_layout_set_frame(layout, frame[0], frame[0] == size ? size : frame[1]);
    return rc < 0 ? rc : pbr_layout_finish(layout, diag);
}

/* The one stream is payload and metadata: its index counts as the payload's. */
static int load_inline(const struct pbr_env *env, struct pbr_restore *r, const char *name, struct pbr_history_archive *a,
                       struct pbr_diag *diag)
{
    struct pbr_restore_archive *stored = &a->stored;
    a->is_inline = true;
    (void)snprintf(a->name, sizeof(a->name), "%.*s", (int)(strlen(name) - strlen(".didx")), name);
    int rc = pbr_restore_find(r, name, stored, diag);
    if (rc == PBR_OK)
        rc = pbr_restore_streams(r, stored, true, diag);
    if (rc == PBR_OK)
        rc = pbr_layout_new(env, &stored->index.index, &a->layout, diag);
    if (rc == PBR_OK)
        rc = read_inline(env, &stored->stream, stored->index.index.size, a->layout, diag);
    pbr_stream_close(&stored->stream);
    stored->payload_index = stored->index;
    stored->index = (struct pbr_fetched_index){ 0 };
    if (rc < 0)
        pbr_diag_context(diag, "%s", a->name);
    return rc;
}

/* Whether an archive in one stream has an appendix: its last records tell [APX-060]. */
static int has_appendix(const struct pbr_env *env, struct pbr_restore *r, const char *name, bool *ret, struct pbr_diag *diag)
{
    struct pbr_restore_archive found;
    struct pbr_source src;
    struct pbr_access *access = NULL;
    uint64_t start;
    *ret = false;
    int rc = pbr_restore_find(r, name, &found, diag);
    if (rc < 0)
        return rc;
    rc = pbr_restore_source(r, &found.index, &src, diag);
    if (rc == PBR_OK) {
        rc = pbr_access_open(env, &src, NULL, &access, diag);
        *ret = rc == PBR_OK && pbr_access_appendix(access, &start) > 0;
        pbr_access_free(access);
        pbr_source_close(&src);
    }
    pbr_restore_archive_release(&found);
    return rc;
}

/* ---- one snapshot ---- */

/* "root.mpxar.didx", "root.pxar.meta.didx" -> "root.pxar"; false for everything that is no metadata archive. */
static bool user_name(const char *stored, char *out, size_t cap)
{
    const struct pbr_span name = pbr_span_str(stored);
    if (!pbr_name_is_metadata(name))
        return false;
    const size_t base = strcspn(stored, "."); /* names have no other dot [CDM-004, SPL-010] */
    const int n = snprintf(out, cap, "%.*s.pxar", (int)base, stored);
    return n > 0 && (size_t)n < cap;
}

/* Whether it belongs to an archive that was loaded, as its payload stream or as a whole. */
static bool is_loaded(const struct pbr_generation *g, const char *stored)
{
    for (size_t i = 0; i < g->archive_nr; i++) {
        const struct pbr_restore_archive *a = &g->archives[i].stored;
        if (strcmp(a->payload_name, stored) == 0 || strcmp(a->name, stored) == 0)
            return true;
    }
    return false;
}

/* Archives in one stream that are worth looking into: with an appendix, or before one that has it in the next snapshot. */
static int load_inline_archives(const struct pbr_env *env, struct pbr_restore *r, struct pbr_generation *g,
                                const struct pbr_generation *next, struct pbr_diag *diag)
{
    const struct pbr_manifest *m = pbr_restore_manifest(r);
    int rc = PBR_OK;
    for (size_t i = 0; i < m->file_nr && rc == PBR_OK; i++) {
        const char *name = m->files[i].name;
        char user[PBR_ARCHIVE_NAME_MAX + 1];
        bool wanted = false;
        if (!pbr_span_ends(pbr_span_str(name), ".pxar.didx"))
            continue;
        (void)snprintf(user, sizeof(user), "%.*s", (int)(strlen(name) - strlen(".didx")), name);
        const struct pbr_history_archive *later = next ? pbr_generation_find(next, user) : NULL;
        if (!(later && later->is_inline))
            rc = has_appendix(env, r, name, &wanted, diag);
        else
            wanted = true;
        if (rc == PBR_OK && wanted && !pbr_generation_find(g, user))
            rc = load_inline(env, r, name, &g->archives[g->archive_nr++], diag);
    }
    return rc;
}

static const char *describe(const char *stored)
{
    const struct pbr_span name = pbr_span_str(stored);
    if (pbr_span_ends(name, ".pxar.didx"))
        return "archive in one stream";
    if (pbr_span_ends(name, ".fidx"))
        return "image";
    return pbr_span_ends(name, ".pcat1.didx") ? "catalog" : "file";
}

static int fill_generation(const struct pbr_env *env, struct pbr_restore *r, struct pbr_generation *g,
                           const struct pbr_generation *next, struct pbr_diag *diag)
{
    const struct pbr_manifest *m = pbr_restore_manifest(r);
    int rc = PBR_OK;
    g->archives = pbr_alloc(env, m->file_nr + 1, sizeof(*g->archives));
    g->others = pbr_alloc(env, m->file_nr + 1, sizeof(*g->others));
    if (!g->archives || !g->others)
        return no_memory(diag);
    for (size_t i = 0; i < m->file_nr && rc == PBR_OK; i++) {
        struct pbr_history_archive *a = &g->archives[g->archive_nr];
        if (!user_name(m->files[i].name, a->name, sizeof(a->name)))
            continue;
        g->archive_nr++;
        rc = load_archive(env, r, m->files[i].name, a, diag);
    }
    if (rc == PBR_OK)
        rc = load_inline_archives(env, r, g, next, diag);
    for (size_t i = 0; i < m->file_nr && rc == PBR_OK; i++) {
        const struct pbr_manifest_file *f = &m->files[i];
        struct pbr_history_other *o = &g->others[g->other_nr];
        if (pbr_name_is_metadata(pbr_span_str(f->name)) || is_loaded(g, f->name))
            continue;
        g->other_nr++;
        memcpy(o->name, f->name, sizeof(o->name));
        o->size = f->size;
        o->what = describe(f->name);
    }
    return rc;
}

static int load_generation(const struct pbr_env *env, struct pbr_client *c, const char *ns,
                           const struct pbr_crypt *crypt, struct pbr_generation *g, const struct pbr_generation *next,
                           struct pbr_diag *diag)
{
    char text[300];
    struct pbr_restore *r = NULL;
    int rc = pbr_restore_open(env, c, ns, &g->snapshot, crypt, &r, diag);
    if (rc == PBR_OK)
        rc = fill_generation(env, r, g, next, diag);
    pbr_restore_close(r);
    if (rc < 0) {
        pbr_snapshot_format(&g->snapshot, text, sizeof(text));
        pbr_diag_context(diag, "%s", text);
    }
    return rc;
}

/* ---- comparing ---- */

const struct pbr_history_archive *pbr_generation_find(const struct pbr_generation *g, const char *name)
{
    for (size_t i = 0; i < g->archive_nr; i++)
        if (strcmp(g->archives[i].name, name) == 0)
            return &g->archives[i];
    return NULL;
}

static const char *why_no_before(const struct pbr_generation *before, const char *name)
{
    if (!before)
        return "there is no snapshot before it";
    const size_t len = strlen(name);
    for (size_t i = 0; i < before->other_nr; i++) {
        if (strncmp(before->others[i].name, name, len) == 0 && strcmp(before->others[i].name + len, ".didx") == 0)
            return "the snapshot before it has this archive in one stream, not split";
    }
    return "the snapshot before it has no archive of this name";
}

static int compare(const struct pbr_env *env, struct pbr_history_archive *a, const struct pbr_generation *before,
                   struct pbr_diag *diag)
{
    const struct pbr_history_archive *was = before ? pbr_generation_find(before, a->name) : NULL;
    a->before = was;
    a->no_before = was ? NULL : why_no_before(before, a->name);
    int rc = pbr_report_new(env, a->layout, was ? was->layout : NULL, &a->report, diag);
    if (rc == PBR_OK && was)
        pbr_report_age(a->report, was->report);
    if (rc == PBR_OK && !a->is_inline)
        rc = pbr_report_sent(env, &a->stored.index.index, was ? &was->stored.index.index : NULL, &a->metadata_sent, diag);
    return rc;
}

static int refuse_without_split(const struct pbr_generation *g, struct pbr_diag *diag)
{
    char text[300];
    bool one_stream = false;
    pbr_snapshot_format(&g->snapshot, text, sizeof(text));
    for (size_t i = 0; i < g->other_nr; i++)
        one_stream = one_stream || pbr_span_ends(pbr_span_str(g->others[i].name), ".pxar.didx");
    return pbr_fail_at(diag, PBR_E_NOENT, "CDM-003",
                       one_stream ? "%s holds its archives in one stream (made in legacy mode): files are re-used only "
                                    "between split archives, made in data or metadata mode"
                                  : "%s holds no archive of files, so none can have been re-used",
                       text);
}

static int load_all(struct pbr_history *h, struct pbr_client *c, const char *ns, const struct pbr_crypt *crypt,
                    struct pbr_diag *diag)
{
    int rc = PBR_OK;
    for (size_t i = h->nr; i > 0 && rc == PBR_OK; i--) { /* newest first: it decides whether there is anything to show */
        rc = load_generation(h->env, c, ns, crypt, &h->generations[i - 1], i < h->nr ? &h->generations[i] : NULL, diag);
        if (rc == PBR_OK && i == h->nr && h->generations[i - 1].archive_nr == 0)
            rc = refuse_without_split(&h->generations[i - 1], diag);
    }
    for (size_t i = 0; i < h->nr; i++) {
        struct pbr_generation *g = &h->generations[i];
        for (size_t k = 0; k < g->archive_nr && rc == PBR_OK; k++)
            rc = compare(h->env, &g->archives[k], i > 0 ? &h->generations[i - 1] : NULL, diag);
    }
    return rc;
}

int pbr_history_load(const struct pbr_env *env, struct pbr_client *c, const char *ns,
                     const struct pbr_snapshot *snapshots, size_t nr, bool direct,
                     const struct pbr_crypt *crypt, struct pbr_history *ret, struct pbr_diag *diag)
{
    struct pbr_history h = { .env = env, .nr = nr, .direct = direct };
    if (nr == 0 || nr > PBR_HISTORY_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "1 to %d snapshots can be shown at once", PBR_HISTORY_MAX - 1);
    h.generations = pbr_alloc(env, nr, sizeof(*h.generations));
    if (!h.generations)
        return no_memory(diag);
    for (size_t i = 0; i < nr; i++)
        h.generations[i].snapshot = snapshots[i];
    const int rc = load_all(&h, c, ns, crypt, diag);
    if (rc < 0)
        pbr_history_release(&h);
    else
        *ret = h;
    return rc;
}

void pbr_history_release(struct pbr_history *h)
{
    for (size_t i = 0; h->generations && i < h->nr; i++) {
        struct pbr_generation *g = &h->generations[i];
        for (size_t k = 0; k < g->archive_nr; k++) {
            pbr_report_free(g->archives[k].report);
            pbr_layout_free(g->archives[k].layout);
            pbr_restore_archive_release(&g->archives[k].stored);
        }
        pbr_free(h->env, g->archives);
        pbr_free(h->env, g->others);
    }
    pbr_free(h->env, h->generations);
    *h = (struct pbr_history){ 0 };
}
