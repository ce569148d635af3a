/* SPDX-License-Identifier: MIT */
/* What every C test includes: cmocka, an env with a fixed clock and counted allocations that can fail,
 * short assertions, and the repository's files. */
#ifndef PBR_TEST_H
#define PBR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/io.h"

#define check(cond) assert_true(cond)
#define check_int(got, want) assert_int_equal((got), (want))
#define check_u64(got, want) test_u64((got), (want), #got, __FILE__, __LINE__)
#define check_str(got, want) assert_string_equal((got), (want))
#define check_span(got, want) test_span((got), (want), #got, __FILE__, __LINE__)
/* A call that must fail with this code and this rule in `diag`. */
#define check_fail(call, want_code, want_rule)                                                     \
    do {                                                                                           \
        struct pbr_diag failed_diag = { 0 };                                                        \
        struct pbr_diag *const diag = &failed_diag;                                                 \
        assert_int_equal((call), (want_code));                                                     \
        assert_non_null(failed_diag.rule);                                                          \
        assert_string_equal(failed_diag.rule, (want_rule));                                         \
    } while (0)
/* Prints why and skips. */
#define SKIP(why)                                                                                  \
    do {                                                                                           \
        printf("skip: %s: %s\n", __func__, (why));                                                 \
        skip();                                                                                    \
    } while (0)

static inline void test_u64(uint64_t got, uint64_t want, const char *what, const char *file, int line)
{
    if (got != want) {
        print_error("%s: got %" PRIu64 ", want %" PRIu64 "\n", what, got, want);
        _fail(file, line);
    }
}

static inline void test_span(struct pbr_span got, struct pbr_span want, const char *what, const char *file,
                              int line)
{
    if (!pbr_span_eq(got, want)) {
        size_t at = 0;
        while (at < got.len && at < want.len && got.ptr[at] == want.ptr[at])
            at++;
        print_error("%s: %zu bytes, want %zu; first difference at %zu\n", what, got.len, want.len, at);
        _fail(file, line);
    }
}

/* ---- env for tests: fixed clock (2023-11-14T22:13:20Z), counting random, counted and failing allocations ---- */

struct test_world {
    long live_allocs;
    long allocs;
    struct pbr_fault alloc_fault; /* nth < 0: never fails */
    uint64_t random_state;
    unsigned warnings;
};

static inline void *world_realloc(void *ctx, void *p, size_t size)
{
    struct test_world *w = ctx;
    if (pbr_fault_step(&w->alloc_fault))
        return NULL;
    void *q = realloc(p, size);
    if (q && !p)
        w->live_allocs++;
    w->allocs++;
    return q;
}

static inline void world_free(void *ctx, void *p)
{
    struct test_world *w = ctx;
    w->live_allocs--;
    free(p);
}

static inline int64_t world_now_s(void *ctx)
{
    (void)ctx;
    return 1700000000;
}

static inline uint64_t world_mono_ns(void *ctx)
{
    (void)ctx;
    return 0;
}

/* SplitMix64, the generator of spec/vectors/chunker.json */
static inline uint64_t test_next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline int world_random(void *ctx, uint8_t *out, size_t len)
{
    struct test_world *w = ctx;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)test_next_random(&w->random_state);
    return PBR_OK;
}

static inline void world_log(void *ctx, enum pbr_log_level level, const char *line)
{
    struct test_world *w = ctx;
    (void)line;
    if (level <= PBR_LOG_WARN)
        w->warnings++;
}

static inline struct pbr_env test_env(struct test_world *w)
{
    *w = (struct test_world){ .alloc_fault = { .nth = -1 } };
    return (struct pbr_env){ .ctx = w,
                             .realloc = world_realloc,
                             .free = world_free,
                             .now_s = world_now_s,
                             .mono_ns = world_mono_ns,
                             .random = world_random,
                             .log = world_log };
}

/* A whole file of the repository (tests run from its top folder); the caller frees ptr. */
static inline struct pbr_span test_load(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        print_error("cannot open %s (run from the top folder)\n", path);
        fail();
    }
    fseek(f, 0, SEEK_END);
    const long size = ftell(f);
    rewind(f);
    uint8_t *p = malloc((size_t)size + 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, (size_t)size, f), (size_t)size);
    fclose(f);
    return pbr_span(p, (size_t)size);
}

static inline void test_unload(struct pbr_span in)
{
    free((void *)(uintptr_t)in.ptr);
}

/* Seed of a property test: PBR_SEED=, else the fixed default; always printed, so that a failure can be repeated. */
static inline uint64_t test_seed(uint64_t standard)
{
    const char *text = getenv("PBR_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 0) : standard;
    printf("seed: PBR_SEED=%" PRIu64 "\n", seed);
    return seed;
}

#endif
