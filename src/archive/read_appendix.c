/* SPDX-License-Identifier: MIT */
/* Files in the appendix of a draft's archive, in one forward pass [APX-050 .. APX-056]; see read_int.h. The section is
 * passed over as raw bytes, but for the places that references lead to: there stands a file's old encoding, read by a
 * decoder of its own. */
#include <stdlib.h>
#include <string.h>

#include "archive/read_int.h"

enum { WANTED_MAX = 1 << 30, PATHS_MAX = 1 << 30 }; /* bytes: 20 million files */

void pbr_reader_appendix_init(struct pbr_reader *r)
{
    pbr_buf_init(&r->appendix.wanted, r->env, WANTED_MAX);
    pbr_buf_init(&r->appendix.paths, r->env, PATHS_MAX);
}

void pbr_reader_appendix_release(struct pbr_reader *r)
{
    pbr_pxar_dec_free(r->appendix.dec);
    pbr_buf_release(&r->appendix.wanted);
    pbr_buf_release(&r->appendix.paths);
}

bool pbr_reader_in_appendix(const struct pbr_reader *r)
{
    return r->appendix.open;
}

int pbr_reader_want(struct pbr_reader *r, struct pbr_diag *diag)
{
    struct pbr_reader_appendix *a = &r->appendix;
    const struct pbr_span path = pbr_reader_path(r);
    if (r->last.kind != PBR_KIND_APPENDIX_REF || a->open)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "the last entry is no appendix reference");
    const struct pbr_wanted w = { .off = r->last.appendix_off,
                                  .size = r->last.size,
                                  .path = a->paths.len,
                                  .path_len = path.len,
                                  .name_len = (uint32_t)r->last.name.len,
                                  .depth = r->last_depth };
    int rc = pbr_buf_append(&a->paths, path);
    if (rc == PBR_OK)
        rc = pbr_buf_append(&a->wanted, pbr_span(&w, sizeof(w)));
    return rc < 0 ? pbr_fail_at(diag, (enum pbr_err)rc, NULL, "list of appendix references: %s", pbr_err_name(rc)) : PBR_OK;
}

static struct pbr_wanted *wanted_at(struct pbr_reader *r, size_t i)
{
    return (void *)(r->appendix.wanted.ptr + i * sizeof(struct pbr_wanted));
}

static size_t wanted_nr(const struct pbr_reader *r)
{
    return r->appendix.wanted.len / sizeof(struct pbr_wanted);
}

static int by_off(const void *pa, const void *pb)
{
    const struct pbr_wanted *a = pa, *b = pb;
    return a->off != b->off ? (a->off < b->off ? -1 : 1) : (a->path > b->path) - (a->path < b->path);
}

int pbr_reader_appendix_open(struct pbr_reader *r, const struct pbr_pxar_event *ev, struct pbr_diag *diag)
{
    struct pbr_reader_appendix *a = &r->appendix;
    const size_t n = wanted_nr(r);
    a->open = true;
    a->start = ev->pos + ev->size;
    a->total = ev->total;
    a->pos = 0;
    if (n > 0)
        qsort(a->wanted.ptr, n, sizeof(struct pbr_wanted), by_off);
    if (n > 0 && wanted_at(r, n - 1)->off >= a->total)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-054", a->start, "reference to %" PRIu64 " of an appendix of %" PRIu64 " bytes",
                        wanted_at(r, n - 1)->off, a->total);
    return PBR_OK;
}

/* n bytes of the section were taken out of the window. */
static void done_with(struct pbr_reader *r, uint64_t n)
{
    r->appendix.pos += n;
    pbr_pxar_dec_data_skipped(r->dec, n);
}

static int skip_to(struct pbr_reader *r, uint64_t off, struct pbr_diag *diag)
{
    struct pbr_reader_appendix *a = &r->appendix;
    struct pbr_diag cause = { 0 };
    const uint64_t n = off - a->pos;
    const int rc = pbr_window_skip(&r->archive, n, &cause);
    if (rc == PBR_E_TRUNCATED)
        return pbr_fail(diag, rc, "PXAR-225", a->start + a->pos, "unexpected EOF in the appendix");
    if (rc < 0 && diag && diag->code == PBR_OK)
        *diag = cause;
    if (rc == PBR_OK)
        done_with(r, n);
    return rc;
}

/* The items of one entry, from the current position on. */
static int decode(struct pbr_reader *r, struct pbr_pxar_event *ret, struct pbr_diag *diag)
{
    struct pbr_reader_appendix *a = &r->appendix;
    for (;;) {
        size_t used;
        int rc = pbr_window_fill(&r->archive, diag);
        if (rc < 0)
            return rc;
        const struct pbr_span rest = pbr_window_rest(&r->archive);
        const uint64_t left = a->total - a->pos;
        if (rest.len == 0)
            return pbr_fail(diag, PBR_E_TRUNCATED, "PXAR-225", a->start + a->pos, "unexpected EOF in the appendix");
        if (left == 0)
            return pbr_fail(diag, PBR_E_FORMAT, "APX-054", a->start + a->pos, "a file runs beyond the appendix");
        rc = pbr_pxar_dec_step(a->dec, pbr_span_sub(rest, 0, left < rest.len ? (size_t)left : rest.len), &used, ret, diag);
        if (rc < 0)
            return rc;
        r->archive.off += used;
        done_with(r, used);
        if (ret->ev == PBR_PXAR_EV_ENTRY)
            return PBR_OK;
    }
}

static int check_entry(const struct pbr_reader *r, const struct pbr_wanted *w, const struct pbr_pxar_entry *e,
                       struct pbr_diag *diag)
{
    const struct pbr_reader_appendix *a = &r->appendix;
    const uint64_t at = a->start + w->off;
    const struct pbr_span path = pbr_span_sub(pbr_buf_span(&a->paths), w->path, w->path_len);
    const struct pbr_span name = pbr_span_sub(path, path.len - w->name_len, w->name_len);
    if (!pbr_span_eq(e->name, name))
        return pbr_fail(diag, PBR_E_FORMAT, "APX-054", at, "the appendix has another name than the reference");
    if (e->kind != PBR_KIND_FILE || e->has_ref)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-029", at, "a reference leads to a %s", pbr_pxar_kind_name(e->kind));
    if (e->size != w->size)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-054", at, "file of %" PRIu64 " bytes, reference to %" PRIu64, e->size,
                        w->size);
    if (e->size > a->total - a->pos)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-054", at, "a file runs beyond the appendix");
    return PBR_OK;
}

static int open_wanted(struct pbr_reader *r, const struct pbr_wanted *w, struct pbr_pxar_event *ret, struct pbr_diag *diag)
{
    struct pbr_reader_appendix *a = &r->appendix;
    const struct pbr_pxar_dec_opts opts = { .subtree = true, .base_pos = a->start + w->off };
    const struct pbr_span path = pbr_span_sub(pbr_buf_span(&a->paths), w->path, w->path_len);
    uint8_t *nul;
    pbr_pxar_dec_free(a->dec);
    a->dec = NULL;
    pbr_buf_clear(&r->path);
    if (pbr_pxar_dec_new(r->env, &opts, &a->dec) < 0 || pbr_buf_append(&r->path, path) < 0 ||
        pbr_buf_reserve(&r->path, 1, &nul) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    *nul = 0;
    int rc = decode(r, ret, diag);
    if (rc == PBR_OK)
        rc = check_entry(r, w, &ret->entry, diag);
    if (rc < 0)
        return rc;
    ret->depth = w->depth;
    r->last = ret->entry;
    r->last_depth = w->depth;
    r->content = CONTENT_APPENDIX;
    r->ref_left = ret->entry.size;
    return 1;
}

int pbr_reader_appendix_next(struct pbr_reader *r, struct pbr_pxar_event *ret, struct pbr_diag *diag)
{
    struct pbr_reader_appendix *a = &r->appendix;
    int rc;
    if (r->content == CONTENT_APPENDIX) { /* what was not read of the file before */
        rc = skip_to(r, a->pos + r->ref_left, diag);
        if (rc < 0)
            return rc;
    }
    r->content = CONTENT_NONE;
    if (a->next == wanted_nr(r)) {
        rc = skip_to(r, a->total, diag);
        a->open = false;
        return rc;
    }
    const struct pbr_wanted *w = wanted_at(r, a->next++);
    if (w->off < a->pos)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-054", a->start + w->off, "a reference into the file of another one");
    rc = skip_to(r, w->off, diag);
    return rc < 0 ? rc : open_wanted(r, w, ret, diag);
}

int pbr_reader_appendix_content(struct pbr_reader *r, struct pbr_span *ret, struct pbr_diag *diag)
{
    if (r->ref_left == 0) {
        r->content = CONTENT_DONE;
        *ret = pbr_span(NULL, 0);
        return PBR_OK;
    }
    const int rc = pbr_window_fill(&r->archive, diag);
    if (rc < 0)
        return rc;
    const struct pbr_span rest = pbr_window_rest(&r->archive);
    if (rest.len == 0)
        return pbr_fail(diag, PBR_E_TRUNCATED, "PXAR-226", r->appendix.start + r->appendix.pos,
                        "unexpected EOF in file contents");
    const size_t n = rest.len < r->ref_left ? rest.len : (size_t)r->ref_left;
    *ret = pbr_span_sub(rest, 0, n);
    r->archive.off += n;
    done_with(r, n);
    r->ref_left -= n;
    return PBR_OK;
}
