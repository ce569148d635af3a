/* SPDX-License-Identifier: MIT */
/* Content-defined and fixed cutter; see cut.h. Positions in here count from the start of the open chunk; the byte at
 * position e is tested at size e + 1. */
#include "chunk/cut.h"

#include <string.h>

#include "base/limits.h"

int pbr_cut_init(struct pbr_cut *c, uint64_t avg, enum pbr_find_level level, struct pbr_diag *diag)
{
    struct pbr_find find;
    const int rc = pbr_find_init(&find, avg, level, diag);
    if (rc < 0)
        return rc;

    const size_t min = (size_t)avg / 4;
    *c = (struct pbr_cut){
        .find = find,
        .min = min,
        .max = (size_t)avg * 4,
        .first = min > PBR_CHUNK_WINDOW ? min : PBR_CHUNK_WINDOW + 1,
    };
    return PBR_OK;
}

int pbr_cut_init_fixed(struct pbr_cut *c, uint64_t size, struct pbr_diag *diag)
{
    if (size == 0 || size > PBR_CHUNK_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "CHK-009", "chunk size %" PRIu64, size);
    *c = (struct pbr_cut){ .min = (size_t)size, .max = (size_t)size, .first = (size_t)size };
    return PBR_OK;
}

void pbr_cut_reset(struct pbr_cut *c)
{
    c->size = 0;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Moves the window along: afterwards history ends with the last bytes of what was there and `in`. */
static void keep_history(struct pbr_cut *c, struct pbr_span in)
{
    if (in.len >= PBR_CHUNK_WINDOW) {
        memcpy(c->history, in.ptr + in.len - PBR_CHUNK_WINDOW, PBR_CHUNK_WINDOW);
        return;
    }
    memmove(c->history, c->history + in.len, PBR_CHUNK_WINDOW - in.len);
    memcpy(c->history + PBR_CHUNK_WINDOW - in.len, in.ptr, in.len);
}

/* First candidate position in [from, to), which lies in `in`, or `to`. For the first 64 bytes of `in` the
 * window reaches back into history: those are searched in a copy of both. */
static size_t find_across(const struct pbr_cut *c, struct pbr_span in, size_t from, size_t to)
{
    const size_t at = c->size; /* position of in.ptr[0] */
    if (from - at < PBR_CHUNK_WINDOW) {
        uint8_t seam[2 * PBR_CHUNK_WINDOW];
        const size_t seam_end = smaller(to, at + PBR_CHUNK_WINDOW);
        const size_t shift = PBR_CHUNK_WINDOW; /* in.ptr[i] is seam[i + shift] */
        memcpy(seam, c->history, PBR_CHUNK_WINDOW);
        memcpy(seam + shift, in.ptr, seam_end - at);
        const size_t found = pbr_find_candidate(&c->find, seam, from - at + shift, seam_end - at + shift);
        from = found - shift + at;
        if (from < seam_end || seam_end == to)
            return from;
    }
    return at + pbr_find_candidate(&c->find, in.ptr, from - at, to - at);
}

size_t pbr_cut_push(struct pbr_cut *c, struct pbr_span in)
{
    if (in.len == 0)
        return 0;
    const size_t room = c->max - c->size; /* a chunk ends here at the latest; > 0 always */
    const size_t end = c->size + smaller(in.len, room);
    const size_t from = larger(c->size, c->first - 1);
    const size_t to = smaller(end, c->max - 1);

    if (from < to) {
        const size_t found = find_across(c, in, from, to);
        if (found < to) {
            const size_t taken = found + 1 - c->size;
            pbr_cut_reset(c);
            return taken;
        }
    }
    if (in.len >= room) {
        pbr_cut_reset(c);
        return room;
    }
    if (end + PBR_CHUNK_WINDOW >= c->first)
        keep_history(c, in);
    c->size = end;
    return 0;
}

size_t pbr_cut_scan(const struct pbr_cut *c, const uint8_t *chunk, size_t scanned, size_t len)
{
    const size_t from = larger(scanned, c->first - 1);
    const size_t to = smaller(len, c->max - 1);

    if (from < to) {
        const size_t found = pbr_find_candidate(&c->find, chunk, from, to);
        if (found < to)
            return found + 1;
    }
    return len >= c->max ? c->max : 0;
}
