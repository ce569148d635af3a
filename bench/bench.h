/* SPDX-License-Identifier: MIT */
/* What the measuring programs share: seeded data, a clock, median and spread, one JSON line per figure.
 *
 * Figures that belong together are measured in turn, round by round, so that noise of the machine meets all of
 * them; the ratio to a floor (memcpy of the same bytes in the same rounds) is what can be compared between
 * machines.
 *
 * Thread: single-threaded programs. */
#ifndef PBR_BENCH_H
#define PBR_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "sys/env.h"

enum { BENCH_ROUNDS_MAX = 64 };

struct figure {
    const char *name;
    const char *unit;
    size_t bytes;            /* handled per round */
    int (*run)(void *ctx);   /* one round; 0 = fine */
    void *ctx;
    double seconds[BENCH_ROUNDS_MAX];
};

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* SplitMix64, the generator of spec/vectors/chunker.json. */
static inline void bench_random(uint8_t *out, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t z = (seed += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        uint8_t word[8];
        pbr_put_u64le(word, z ^ (z >> 31));
        memcpy(out + i, word, len - i < 8 ? len - i : 8);
    }
}

static inline int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static inline int bench_usage(const char *program)
{
    fprintf(stderr, "usage: %s [ROUNDS, 1..%d]\n", program, BENCH_ROUNDS_MAX);
    return 2;
}

/* Rounds from the command line; 0: not understood. */
static inline unsigned bench_rounds(int argc, char **argv, unsigned standard)
{
    uint64_t n = standard;
    if (argc > 2 || (argc == 2 && !pbr_parse_u64(pbr_span_str(argv[1]), 1, BENCH_ROUNDS_MAX, &n)))
        return 0;
    return (unsigned)n;
}

/* MB/s of the median round; the spread is (slowest - fastest) / median. */
static inline double bench_rate(struct figure *f, unsigned rounds, double *ret_spread)
{
    qsort(f->seconds, rounds, sizeof(f->seconds[0]), by_value);
    const double median = f->seconds[rounds / 2];
    *ret_spread = (f->seconds[rounds - 1] - f->seconds[0]) / median;
    return (double)f->bytes / median / 1e6;
}

/* Runs all figures `rounds` times after one round of warm-up; the first one is the floor. Returns the exit status. */
static inline int bench_all(struct figure *figures, size_t nr, unsigned rounds)
{
    for (unsigned round = 0; round <= rounds; round++) {
        for (size_t i = 0; i < nr; i++) {
            const double start = bench_now();
            if (figures[i].run(figures[i].ctx) != 0) {
                fprintf(stderr, "%s: wrong result\n", figures[i].name);
                return 1;
            }
            if (round > 0)
                figures[i].seconds[round - 1] = bench_now() - start;
        }
    }
    double spread, floor = 0;
    for (size_t i = 0; i < nr; i++) {
        const double rate = bench_rate(&figures[i], rounds, &spread);
        if (i == 0)
            floor = rate;
        printf("{\"name\": \"%s\", \"value\": %.1f, \"unit\": \"%s\", \"n\": %u, \"spread\": %.2f, \"bytes\": %zu, "
               "\"floor\": %.1f, \"ratio\": %.4f, \"peak_memory\": %" PRIu64 ", \"compiler\": \"%s\"}\n",
               figures[i].name, rate, figures[i].unit, rounds, spread, figures[i].bytes, floor, rate / floor,
               pbr_sys_peak_memory(), __VERSION__);
    }
    return 0;
}

#endif
