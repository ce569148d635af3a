/* SPDX-License-Identifier: MIT */
/* Boundaries of a payload stream; see boundary.h. */
#include "chunk/boundary.h"

#include <string.h>

/* ---- queue ---- */

static int fifo_push(const struct pbr_env *env, struct pbr_fifo *q, const void *element, size_t size)
{
    if (q->head > 0 && q->len == q->cap && q->head >= q->len / 2) { /* half of it is used up: move, do not grow */
        memmove(q->ptr, q->ptr + q->head * size, (q->len - q->head) * size);
        q->len -= q->head;
        q->head = 0;
    }
    if (q->len == q->cap) {
        uint64_t bytes;
        size_t want;
        if (!pbr_mul(q->cap ? 2 * (uint64_t)q->cap : 64, size, &bytes) || !pbr_to_size(bytes, &want))
            return PBR_E_NOMEM;
        uint8_t *ptr = pbr_realloc(env, q->ptr, want);
        if (!ptr)
            return PBR_E_NOMEM;
        q->ptr = ptr;
        q->cap = want / size;
    }
    memcpy(q->ptr + q->len * size, element, size);
    q->len++;
    return PBR_OK;
}

static bool fifo_pop(struct pbr_fifo *q, void *ret, size_t size)
{
    if (q->head == q->len)
        return false;
    memcpy(ret, q->ptr + q->head * size, size);
    q->head++;
    if (q->head == q->len)
        q->head = q->len = 0;
    return true;
}

/* ---- life ---- */

void pbr_boundary_init(struct pbr_boundary *b, const struct pbr_env *env, const struct pbr_cut *cut)
{
    *b = (struct pbr_boundary){ .env = env, .cut = *cut };
}

void pbr_boundary_release(struct pbr_boundary *b)
{
    pbr_free(b->env, b->suggested.ptr);
    pbr_free(b->env, b->forced.ptr);
    b->suggested = b->forced = (struct pbr_fifo){ 0 };
}

int pbr_boundary_suggest(struct pbr_boundary *b, uint64_t off)
{
    return fifo_push(b->env, &b->suggested, &off, sizeof(off));
}

int pbr_boundary_force(struct pbr_boundary *b, const struct pbr_forced *forced)
{
    return fifo_push(b->env, &b->forced, forced, sizeof(*forced));
}

/* ---- scan ---- */

static size_t scan_hash(const struct pbr_boundary *b, struct pbr_span buffer)
{
    return pbr_cut_scan(&b->cut, buffer.ptr, b->scanned, buffer.len);
}

/* The decision of section 7.2: `base` is consumed, `pos` is scanned, `total` is buffer.len there. Returns the
 * size of the chunk, or 0 if no boundary was found. */
static size_t scan(struct pbr_boundary *b, struct pbr_span buffer)
{
    for (;;) {
        if (!b->has_suggestion && !fifo_pop(&b->suggested, &b->suggestion, sizeof(b->suggestion)))
            return scan_hash(b, buffer);
        b->has_suggestion = true;

        if (b->suggestion >= b->consumed && b->suggestion - b->consumed > buffer.len)
            return scan_hash(b, buffer); /* not reached yet: kept, the hash may cut first [CHK-072] */
        if (b->suggestion < b->consumed || b->suggestion - b->consumed < b->scanned) {
            b->has_suggestion = false; /* behind what was scanned [CHK-073] */
            continue;
        }
        const size_t size = (size_t)(b->suggestion - b->consumed);
        if (size < b->cut.min) {
            b->has_suggestion = false;
            continue;
        }
        if (size > b->cut.max)
            return scan_hash(b, buffer); /* kept: within reach after a hash cut [CHK-073] */
        b->has_suggestion = false;
        return size == b->scanned ? scan_hash(b, buffer) : size; /* [CHK-071, CHK-074] */
    }
}

/* ---- driver ---- */

static int emit(struct pbr_boundary *b, enum pbr_boundary_event event, size_t len, struct pbr_boundary_step *ret)
{
    *ret = (struct pbr_boundary_step){ .len = len, .start = b->consumed };
    b->consumed += len;
    b->scanned = 0;
    return (int)event;
}

int pbr_boundary_step(struct pbr_boundary *b, struct pbr_span buffer, struct pbr_boundary_step *ret,
                      struct pbr_diag *diag)
{
    if (!b->has_pending) /* one at a time, taken before the scan [CHK-076] */
        b->has_pending = fifo_pop(&b->forced, &b->pending, sizeof(b->pending));
    if (b->has_pending && b->pending.boundary < b->consumed)
        return pbr_fail(diag, PBR_E_ARG, "CHK-083", b->consumed, "injection at %" PRIu64 " lies behind",
                        b->pending.boundary);

    const size_t size = b->scanned < buffer.len ? scan(b, buffer) : 0;
    const size_t end = size ? size : buffer.len;
    if (b->has_pending && b->pending.boundary - b->consumed <= end) { /* [CHK-079 a] */
        const int event = emit(b, PBR_BOUNDARY_INJECT, (size_t)(b->pending.boundary - b->consumed), ret);
        ret->forced = b->pending;
        b->consumed += b->pending.size;
        b->has_pending = false;
        return event;
    }
    if (size)
        return emit(b, PBR_BOUNDARY_CUT, size, ret); /* [CHK-079 b] */
    b->scanned = buffer.len;
    return PBR_BOUNDARY_MORE;
}

int pbr_boundary_finish(struct pbr_boundary *b, struct pbr_span buffer, struct pbr_boundary_step *ret,
                        struct pbr_diag *diag)
{
    if (b->has_pending || b->forced.head < b->forced.len)
        return pbr_fail(diag, PBR_E_STATE, "CHK-086", b->consumed, "injection queue not fully consumed");
    return buffer.len ? emit(b, PBR_BOUNDARY_CUT, buffer.len, ret) : PBR_BOUNDARY_MORE;
}
