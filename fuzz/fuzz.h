/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share: an env without a world around it, an assertion that names what broke, a hash of what was
 * seen, and reproducible ways to split an input. */
#ifndef PBR_FUZZ_H
#define PBR_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Stays on in every build, unlike assert. */
#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            (void)fprintf(stderr, "%s:%d: property violated: %s\n", __FILE__, __LINE__, #cond);    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void *fuzz_realloc(void *ctx, void *p, size_t size)
{
    (void)ctx;
    return realloc(p, size);
}

static inline void fuzz_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static inline int64_t fuzz_now_s(void *ctx)
{
    (void)ctx;
    return 1700000000;
}

static inline uint64_t fuzz_mono_ns(void *ctx)
{
    (void)ctx;
    return 0;
}

static inline int fuzz_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    memset(out, 0x5a, len);
    return PBR_OK;
}

static const struct pbr_env fuzz_env = {
    .realloc = fuzz_realloc, .free = fuzz_free, .now_s = fuzz_now_s, .mono_ns = fuzz_mono_ns, .random = fuzz_random
};

/* ---- hash of what was seen (FNV-1a) ---- */

static inline void fuzz_hash(uint64_t *h, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        *h = (*h ^ p[i]) * UINT64_C(0x100000001b3);
}

static inline void fuzz_hash_u64(uint64_t *h, uint64_t v)
{
    fuzz_hash(h, &v, sizeof(v));
}

/* The length is hashed too: pieces cannot be mistaken for each other. */
static inline void fuzz_hash_span(uint64_t *h, struct pbr_span s)
{
    fuzz_hash_u64(h, s.len);
    fuzz_hash(h, s.ptr, s.len);
}

static inline void fuzz_hash_str(uint64_t *h, const char *text)
{
    fuzz_hash_span(h, text ? pbr_span_str(text) : pbr_span(NULL, 0));
}

/* ---- splitting ---- */

enum fuzz_split { FUZZ_WHOLE, FUZZ_BYTES, FUZZ_RANDOM, FUZZ_SPLITS };

/* Length of the next piece of what is left; `state` starts anywhere. */
static inline size_t fuzz_piece(enum fuzz_split how, uint64_t *state, size_t left)
{
    if (how == FUZZ_WHOLE || left == 0)
        return left;
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    const size_t n = how == FUZZ_BYTES ? 1 : 1 + (size_t)(*state >> 33) % 37;
    return n < left ? n : left;
}

#endif
