/* SPDX-License-Identifier: MIT */
/* A stream of the snapshot under check: chunks that cannot be had are reported and passed over; see check_int.h. */
#include <string.h>

#include "archive/access.h"
#include "client/check_int.h"

enum { BAD_MAX = 1 << 30, PROGRESS_STEP = 1 << 20 };

static const uint8_t zeros[64 << 10];

void check_part_init(struct check_part *p, struct check *c)
{
    p->c = c;
    pbr_buf_init(&p->bad, c->env, BAD_MAX);
}

void check_part_release(struct check_part *p)
{
    if (p->bad.env)
        pbr_buf_release(&p->bad);
}

/* ---- damaged ranges ---- */

static size_t bad_nr(const struct check_part *p)
{
    return p->bad.len / sizeof(struct check_bad);
}

static const struct check_bad *bad_at(const struct check_part *p, size_t k)
{
    return (const void *)(p->bad.ptr + k * sizeof(struct check_bad));
}

/* Number of the first damaged range that ends behind `off`. */
static size_t first_behind(const struct check_part *p, uint64_t off)
{
    size_t lo = 0, hi = bad_nr(p);
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (bad_at(p, mid)->end > off)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

const struct check_bad *check_part_damage(const struct check_part *p, uint64_t start, uint64_t end, size_t *ret_nr)
{
    const size_t first = first_behind(p, start);
    size_t k = first;
    while (k < bad_nr(p) && bad_at(p, k)->start < end)
        k++;
    *ret_nr = k - first;
    return k > first ? bad_at(p, first) : NULL;
}

static int insert_bad(struct check_part *p, const struct check_bad *bad, struct pbr_diag *diag)
{
    const size_t at = first_behind(p, bad->start) * sizeof(*bad);
    uint8_t *room;
    const int rc = pbr_buf_reserve(&p->bad, sizeof(*bad), &room);
    if (rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "no memory for the damaged chunks");
    memmove(p->bad.ptr + at + sizeof(*bad), p->bad.ptr + at, p->bad.len - at);
    memcpy(p->bad.ptr + at, bad, sizeof(*bad));
    p->bad.len += sizeof(*bad);
    return PBR_OK;
}

int check_part_add_bad(struct check_part *p, uint64_t i, const struct pbr_diag *cause, struct pbr_diag *diag)
{
    size_t known;
    const struct check_bad bad = { .start = pbr_index_start(p->ix, i),
                                   .end = pbr_index_end(p->ix, i),
                                   .missing = cause->code == PBR_E_REMOTE || cause->code == PBR_E_NOENT };
    const struct check_where at = { .file = p->file, .rule = cause->rule, .has_off = true,
                                    .off = p->origin ? p->origin[i] : bad.start };
    if (check_part_damage(p, bad.start, bad.end, &known))
        return PBR_OK;
    p->c->res.files[p->file].bad_chunks++;
    check_report(p->c, bad.missing ? CHECK_CHUNK_MISSING : CHECK_CHUNK_CORRUPT, &at, "%s", cause->text);
    return insert_bad(p, &bad, diag);
}

/* ---- the stream ---- */

static void show_progress(struct check_part *p)
{
    const struct pbr_check_opts *o = p->c->opts;
    if (!o->progress || (p->pos < p->shown + PROGRESS_STEP && p->pos < p->size))
        return;
    p->shown = p->pos;
    o->progress(o->ctx, p->c->res.files[p->file].name, p->pos, p->size);
}

/* The chunk at the position cannot be had: from here to its end there are zeros. */
static int make_hole(struct check_part *p, int rc, const struct pbr_diag *cause, struct pbr_diag *diag)
{
    uint64_t i;
    if (!p->ix || !pbr_access_is_loss(rc, cause) || !pbr_index_lookup(p->ix, p->pos, &i)) {
        if (diag && diag->code == PBR_OK)
            *diag = *cause;
        return rc;
    }
    rc = check_part_add_bad(p, i, cause, diag);
    if (rc == PBR_OK)
        rc = pbr_stream_skip(&p->inner, pbr_index_end(p->ix, i) - p->pos, diag);
    if (rc == PBR_OK)
        p->hole_end = pbr_index_end(p->ix, i);
    return rc;
}

static int part_peek(void *ctx, struct pbr_span *ret, struct pbr_diag *diag)
{
    struct check_part *p = ctx;
    struct pbr_diag cause = { 0 };
    if (p->pos >= p->hole_end) {
        int rc = pbr_stream_peek(&p->inner, ret, &cause);
        if (rc == PBR_OK)
            return rc;
        rc = make_hole(p, rc, &cause, diag);
        if (rc < 0)
            return rc;
    }
    const uint64_t left = p->hole_end - p->pos;
    *ret = pbr_span(zeros, left < sizeof(zeros) ? (size_t)left : sizeof(zeros));
    return PBR_OK;
}

static void part_consume(void *ctx, size_t n)
{
    struct check_part *p = ctx;
    if (p->pos >= p->hole_end) /* a hole was skipped when it was made */
        pbr_stream_consume(&p->inner, n);
    p->pos += n;
    show_progress(p);
}

/* Reads what is skipped, so that its chunks are checked. */
static int skip_reading(struct check_part *p, uint64_t n, struct pbr_diag *diag)
{
    while (n > 0) {
        struct pbr_span view;
        const int rc = part_peek(p, &view, diag);
        if (rc < 0)
            return rc;
        if (view.len == 0)
            return pbr_fail(diag, PBR_E_TRUNCATED, NULL, p->pos, "stream ends %" PRIu64 " bytes early", n);
        const size_t k = view.len < n ? view.len : (size_t)n;
        part_consume(p, k);
        n -= k;
    }
    return PBR_OK;
}

static int part_skip(void *ctx, uint64_t n, struct pbr_diag *diag)
{
    struct check_part *p = ctx;
    if (!p->skips)
        return skip_reading(p, n, diag);
    if (p->pos < p->hole_end) {
        const uint64_t hole = p->hole_end - p->pos < n ? p->hole_end - p->pos : n;
        p->pos += hole;
        n -= hole;
    }
    const int rc = n ? pbr_stream_skip(&p->inner, n, diag) : PBR_OK;
    if (rc == PBR_OK)
        p->pos += n;
    return rc;
}

static void part_close(void *ctx)
{
    struct check_part *p = ctx;
    pbr_stream_close(&p->inner);
    p->inner = (struct pbr_stream){ 0 };
}

int check_part_stream(struct check_part *p, struct pbr_stream *ret, struct pbr_diag *diag)
{
    const int rc = p->open_stream(p->ctx, &p->inner, diag);
    if (rc < 0)
        return rc;
    p->pos = p->hole_end = p->shown = 0;
    *ret = (struct pbr_stream){
        .ctx = p, .peek = part_peek, .consume = part_consume, .skip = part_skip, .close = part_close
    };
    return PBR_OK;
}

int check_part_drain(struct pbr_stream *s, struct pbr_diag *diag)
{
    struct pbr_span view;
    int rc;
    while ((rc = pbr_stream_peek(s, &view, diag)) == PBR_OK && view.len > 0)
        pbr_stream_consume(s, view.len);
    return rc;
}
