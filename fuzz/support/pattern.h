/* SPDX-License-Identifier: MIT */
/* Inputs of the target pattern: a pattern, a line end, then paths, one a line (a '/' is put before each; empty parts are left
 * out).
 *
 * Thread: plain values. */
#ifndef PBR_FUZZ_PATTERN_H
#define PBR_FUZZ_PATTERN_H

#include "fuzz.h"

enum { FUZZ_PATHS = 64 }; /* more are not looked at */

struct fuzz_pattern {
    struct pbr_span text, paths;
    size_t at, nr; /* where the next path begins; how many there were */
};

/* One line of `in` from `at` on, without its end. */
static inline struct pbr_span fuzz_line(struct pbr_span in, size_t at)
{
    const struct pbr_span rest = pbr_span_sub(in, at, SIZE_MAX);
    const uint8_t *end = rest.len ? memchr(rest.ptr, '\n', rest.len) : NULL;
    return pbr_span_sub(rest, 0, end ? (size_t)(end - rest.ptr) : rest.len);
}

static inline struct fuzz_pattern fuzz_pattern_get(struct pbr_span in)
{
    const struct pbr_span text = fuzz_line(in, 0);
    return (struct fuzz_pattern){ .text = text, .paths = pbr_span_sub(in, text.len + 1, SIZE_MAX) };
}

/* The next path into `ret`, which has room for paths.len + 1 bytes; false: that was the last one. */
static inline bool fuzz_pattern_next(struct fuzz_pattern *p, struct pbr_buf *ret)
{
    if (p->at > p->paths.len || p->nr == FUZZ_PATHS)
        return false;
    const struct pbr_span line = fuzz_line(p->paths, p->at);
    pbr_buf_clear(ret);
    MUST(pbr_buf_append_u8(ret, '/') == PBR_OK);
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] != '/' || ret->ptr[ret->len - 1] != '/')
            MUST(pbr_buf_append_u8(ret, line.ptr[i]) == PBR_OK);
    p->at += line.len + 1;
    p->nr++;
    return true;
}

#endif
