/* SPDX-License-Identifier: MIT */
/* Payload references against the payload stream and its index [CDM-123 .. CDM-127, PXAR-131 .. PXAR-139]; see check_int.h.
 *
 * References come in archive order, and so does the stream: it is read once, in step with them. Only references that go
 * back, and headers when no payload is read, use random access. */
#include <string.h>

#include "archive/access.h"
#include "client/check_int.h"

static struct check_where in_archive(const struct check_payload *p, const struct pbr_pxar_entry *e, struct pbr_span path)
{
    return (struct check_where){ .file = p->meta_file, .path = path, .has_off = true, .off = e->entry_pos };
}

static struct check_where in_payload(const struct check_payload *p, struct pbr_span path, uint64_t off)
{
    return (struct check_where){ .file = p->part->file, .path = path, .has_off = true, .off = off };
}

/* ---- bytes ---- */

static int read_back(struct check_payload *p, uint64_t off, uint8_t out[PBR_PXAR_HDR], struct pbr_diag *diag)
{
    if (!p->src_open) {
        const int rc = p->part->open_source(p->part->ctx, &p->src, diag);
        if (rc < 0)
            return rc;
        p->src_open = true;
    }
    return pbr_source_read_at(&p->src, off, out, PBR_PXAR_HDR, diag);
}

/* 16 bytes at `off`: from the stream if it stands before them, else by random access. 0: they are in a damaged chunk;
 * 1: *out is set. */
static int read_header(struct check_payload *p, uint64_t off, uint8_t out[PBR_PXAR_HDR], struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    size_t n;
    int rc = PBR_OK;
    if (!p->open || off < p->part->pos) {
        if (check_part_damage(p->part, off, off + PBR_PXAR_HDR, &n))
            return 0;
        rc = read_back(p, off, out, &cause);
        if (rc == PBR_OK)
            return 1;
        uint64_t i; /* only the first chunk of the two that a header may touch is named */
        if (pbr_access_is_loss(rc, &cause) && p->part->ix && pbr_index_lookup(p->part->ix, off, &i)) {
            rc = check_part_add_bad(p->part, i, &cause, diag);
            return rc;
        }
        if (diag && diag->code == PBR_OK)
            *diag = cause;
        return rc;
    }
    rc = pbr_stream_skip(&p->s, off - p->part->pos, diag);
    if (rc == PBR_OK)
        rc = pbr_stream_read(&p->s, out, PBR_PXAR_HDR, diag);
    if (rc < 0)
        return rc;
    return check_part_damage(p->part, off, off + PBR_PXAR_HDR, &n) ? 0 : 1;
}

static int check_marker(struct check_payload *p, enum check_name name, uint64_t htype, uint64_t off,
                        struct pbr_diag *diag)
{
    uint8_t have[PBR_PXAR_HDR], want[PBR_PXAR_HDR];
    const struct check_where at = in_payload(p, pbr_span(NULL, 0), off);
    const int rc = read_header(p, off, have, diag);
    if (rc <= 0)
        return rc;
    pbr_pxar_hdr_emit(want, htype, 0);
    if (memcmp(have, want, sizeof(want)) != 0)
        check_report(p->part->c, name, &at, "payload stream does not %s marker",
                     name == CHECK_START_MARKER ? "begin with its start" : "end with its tail");
    return PBR_OK;
}

int check_payload_open(struct check_payload *p, struct check_part *part, size_t meta_file, struct pbr_diag *diag)
{
    const struct check_where at = { .file = part->file, .has_off = true, .off = part->size };
    int rc = PBR_OK;
    *p = (struct check_payload){ .part = part, .meta_file = meta_file };
    if (!part->skips)
        rc = check_part_stream(part, &p->s, diag);
    if (rc < 0)
        return rc;
    p->open = !part->skips;
    p->begin = p->covered_end = part->draft ? 0 : PBR_PXAR_HDR;
    if (part->draft)
        return PBR_OK;
    if (part->size < PBR_PXAR_HDR) {
        check_report(part->c, CHECK_START_MARKER, &at, "payload stream of %" PRIu64 " bytes", part->size);
        return PBR_OK;
    }
    return check_marker(p, CHECK_START_MARKER, PBR_PXAR_PAYLOAD_START, 0, diag);
}

void check_payload_close(struct check_payload *p)
{
    if (p->open)
        pbr_stream_close(&p->s);
    if (p->src_open)
        pbr_source_close(&p->src);
    p->open = p->src_open = false;
}

/* ---- order ---- */

static bool chunk_at(const struct check_payload *p, uint64_t off, uint64_t *ret)
{
    return p->part->ix && pbr_index_lookup(p->part->ix, off, ret);
}

/* The reference goes back into the chunk in which the file before it ends: that chunk was held back, and another with the
 * same digest taken for it [CDM-144]. An end on a chunk's edge counts to the next chunk, as in the lookup [CDM-058]. */
static bool is_held_chunk(const struct check_payload *p, uint64_t off)
{
    uint64_t mine, before;
    /* first and last chunk hold a marker: they were not re-used */
    return p->last_end < p->part->size && chunk_at(p, off, &mine) && chunk_at(p, p->last_end, &before) &&
           mine == before && mine > 0 && mine + 1 < p->part->ix->entry_nr;
}

/* The chunk of the file before stands once more directly behind itself, and this file uses the copy. */
static bool is_repeated_chunk(const struct check_payload *p, uint64_t off)
{
    const struct pbr_index *ix = p->part->ix;
    uint64_t mine, before;
    if (!p->has_last || !chunk_at(p, off, &mine) || !chunk_at(p, p->last_end - 1, &before) || mine != before + 1 ||
        memcmp(pbr_index_digest(ix, mine), pbr_index_digest(ix, before), PBR_DIGEST_LEN) != 0)
        return false;
    const uint64_t used = p->last_end - pbr_index_start(ix, before);
    const uint64_t size = pbr_index_end(ix, before) - pbr_index_start(ix, before);
    return used < size && off - pbr_index_start(ix, mine) >= used;
}

/* Whether the reference stands where it may. */
static bool check_order(struct check_payload *p, const struct pbr_pxar_entry *e, struct pbr_span path)
{
    struct check *c = p->part->c;
    const struct check_where at = in_archive(p, e, path);
    const uint64_t off = e->ref_off;
    if (p->has_last && off <= p->top) {
        const bool held = off <= p->last && is_held_chunk(p, off);
        check_report(c, held ? CHECK_REF_HELD : CHECK_REF_ORDER, &at,
                     "payload reference %" PRIu64 " is not greater than %" PRIu64 " before it", off, p->top);
        p->disordered = true;
        return false;
    }
    if (p->has_last && off < p->covered_end) {
        check_report(c, CHECK_REF_OVERLAP, &at,
                     "payload reference %" PRIu64 " lies in the record of another file, which ends at %" PRIu64, off,
                     p->covered_end);
        p->disordered = true;
        return false;
    }
    if (is_repeated_chunk(p, off))
        check_report(c, CHECK_REPEATED_CHUNK, &at, "the chunk in which the file before ends is repeated for this file");
    return true;
}

/* ---- padding ---- */

/* Part of [start, end) that lies in [lo, hi). */
static uint64_t common(uint64_t start, uint64_t end, uint64_t lo, uint64_t hi)
{
    const uint64_t from = start > lo ? start : lo, to = end < hi ? end : hi;
    return from < to ? to - from : 0;
}

/* Start and tail marker are always newly written, so a chunk that holds more than the marker was cut from new data: no byte
 * of it is padding [CDM-093, CDM-127]. */
static void add_gap(struct check_payload *p, uint64_t start, uint64_t end)
{
    const struct pbr_index *ix = p->part->ix;
    p->gaps += end - start;
    if (!ix || ix->entry_nr == 0)
        return;
    p->first_gap += common(start, end, PBR_PXAR_HDR, pbr_index_end(ix, 0));
    if (ix->size > PBR_PXAR_HDR)
        p->last_gap += common(start, end, pbr_index_start(ix, ix->entry_nr - 1), ix->size - PBR_PXAR_HDR);
}

static void finish_padding(struct check_payload *p)
{
    struct pbr_check_file *f = &p->part->c->res.files[p->part->file];
    struct check_where at = in_payload(p, pbr_span(NULL, 0), 0);
    if (p->disordered || p->part->size < p->begin + PBR_PXAR_HDR)
        return;
    if (p->covered_end < p->part->size - PBR_PXAR_HDR)
        add_gap(p, p->covered_end, p->part->size - PBR_PXAR_HDR);
    f->has_padding = true;
    f->padding_bytes = p->gaps;
    if (p->part->draft) /* without start marker a re-used chunk may well be the first one [SPL-025, SPL-104] */
        return;
    if (p->first_gap)
        check_report(p->part->c, CHECK_PADDING, &at,
                     "%" PRIu64 " bytes that no file uses in the first chunk, which was newly written", p->first_gap);
    at.off = p->part->ix ? pbr_index_start(p->part->ix, p->part->ix->entry_nr - 1) : 0;
    if (p->last_gap && p->part->ix->entry_nr > 1)
        check_report(p->part->c, CHECK_PADDING, &at,
                     "%" PRIu64 " bytes that no file uses in the last chunk, which was newly written", p->last_gap);
}

/* ---- one reference ---- */

/* PAYLOAD header for exactly the file's size at the reference [PXAR-243]. */
static int check_header(struct check_payload *p, const struct pbr_pxar_entry *e, struct pbr_span path,
                        struct pbr_diag *diag)
{
    uint8_t hdr[PBR_PXAR_HDR];
    const struct check_where at = in_payload(p, path, e->ref_off);
    const int rc = read_header(p, e->ref_off, hdr, diag);
    if (rc <= 0)
        return rc;
    const uint64_t htype = pbr_get_u64le(hdr), full = pbr_get_u64le(hdr + 8);
    if (htype != PBR_PXAR_PAYLOAD)
        check_report(p->part->c, CHECK_PAYLOAD_HEADER, &at, "no PAYLOAD header where the file's contents should be");
    else if (full < PBR_PXAR_HDR || full - PBR_PXAR_HDR != e->size)
        check_report(p->part->c, CHECK_STALE_SIZE, &at,
                     "PAYLOAD header says %" PRIu64 " bytes, the file has %" PRIu64, full - PBR_PXAR_HDR, e->size);
    return PBR_OK;
}

static void report_damage(struct check_payload *p, struct pbr_span path, uint64_t start, uint64_t end)
{
    size_t n = 0;
    const struct check_bad *bad = check_part_damage(p->part, start, end, &n);
    const struct check_where at = in_payload(p, path, bad ? bad->start : 0);
    if (bad)
        check_report(p->part->c, CHECK_DAMAGED_PATH, &at, "contents lie in a %s chunk at %" PRIu64 "%s",
                     bad->missing ? "missing" : "corrupt", bad->start, n > 1 ? ", and in more" : "");
}

/* Header, and the contents if payload is read. If not, a header is only worth its chunk where the order is wrong. */
static int read_record(struct check_payload *p, const struct pbr_pxar_entry *e, struct pbr_span path, uint64_t end,
                       bool in_order, struct pbr_diag *diag)
{
    int rc = p->open || !in_order ? check_header(p, e, path, diag) : PBR_OK;
    if (rc == PBR_OK && p->open && p->part->pos < end)
        rc = pbr_stream_skip(&p->s, end - p->part->pos, diag);
    if (rc == PBR_OK)
        report_damage(p, path, e->ref_off, end);
    return rc;
}

int check_payload_ref(struct check_payload *p, const struct pbr_pxar_entry *e, struct pbr_span path,
                      struct pbr_diag *diag)
{
    const struct check_where at = in_archive(p, e, path);
    uint64_t end;
    p->refs++;
    if (e->ref_off < p->begin) {
        check_report(p->part->c, CHECK_REF_MARKER, &at, "payload reference %" PRIu64 " into the start marker", e->ref_off);
        p->disordered = true;
        return PBR_OK;
    }
    if (!pbr_add(e->ref_off, PBR_PXAR_HDR, &end) || !pbr_add(end, e->size, &end) || end > p->part->size) {
        check_report(p->part->c, CHECK_REF_BEHIND, &at,
                     "payload reference %" PRIu64 " for %" PRIu64 " bytes reaches behind the payload stream of %" PRIu64,
                     e->ref_off, e->size, p->part->size);
        p->disordered = true;
        return PBR_OK;
    }
    if (!p->part->draft && end > p->part->size - PBR_PXAR_HDR)
        check_report(p->part->c, CHECK_REF_MARKER, &at, "payload reference %" PRIu64 " reaches into the tail marker",
                     e->ref_off);
    const bool in_order = check_order(p, e, path);
    if (e->ref_off > p->covered_end)
        add_gap(p, p->covered_end, e->ref_off);
    p->has_last = true;
    p->last = e->ref_off;
    p->last_end = end;
    p->top = e->ref_off > p->top ? e->ref_off : p->top;
    p->covered_end = end > p->covered_end ? end : p->covered_end;
    return read_record(p, e, path, end, in_order, diag);
}

int check_payload_finish(struct check_payload *p, bool complete, struct pbr_diag *diag)
{
    struct check_part *part = p->part;
    int rc = PBR_OK;
    if (!part->draft && part->size >= 2 * PBR_PXAR_HDR)
        rc = check_marker(p, CHECK_TAIL_MARKER, PBR_PXAR_PAYLOAD_TAIL, part->size - PBR_PXAR_HDR, diag);
    if (rc == PBR_OK && p->open)
        rc = check_part_drain(&p->s, diag);
    if (rc == PBR_OK && complete)
        finish_padding(p);
    return rc;
}
