/* SPDX-License-Identifier: MIT */
/* Parameters out of an input: every taking function gives zeros once the input is used up, so that every input means
 * something and a shorter one a simpler thing.
 *
 * Thread: plain values. */
#ifndef PBR_FUZZ_TAKE_H
#define PBR_FUZZ_TAKE_H

#include "base/bytes.h"

struct take {
    struct pbr_span left;
};

static inline bool take_more(const struct take *t)
{
    return t->left.len > 0;
}

static inline uint64_t take_u(struct take *t, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes && t->left.len > 0; i++) {
        v |= (uint64_t)t->left.ptr[0] << 8 * i;
        t->left = pbr_span_sub(t->left, 1, SIZE_MAX);
    }
    return v;
}

static inline uint8_t take_u8(struct take *t)
{
    return (uint8_t)take_u(t, 1);
}

/* Up to n bytes. */
static inline struct pbr_span take_span(struct take *t, size_t n)
{
    const struct pbr_span s = pbr_span_sub(t->left, 0, n);
    t->left = pbr_span_sub(t->left, s.len, SIZE_MAX);
    return s;
}

#endif
