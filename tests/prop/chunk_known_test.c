/* SPDX-License-Identifier: MIT */
/* covers: BKP-235 */
/* The digest map against a plain array: any sequence of sets gives the same answers. */
#include "test.h"

#include "chunk/known.h"

enum { UNIVERSE = 400, STEPS = 3000, RUNS = 20 };

/* Few different slots, so that runs of full slots meet and wrap around. */
static void digest_of(uint64_t n, unsigned spread, uint8_t out[PBR_DIGEST_LEN])
{
    memset(out, 0, PBR_DIGEST_LEN);
    pbr_put_u64le(out, UINT64_MAX - n % spread);
    pbr_put_u64le(out + 16, n);
}

static void test_map_answers_like_an_array(void **state)
{
    (void)state;
    uint64_t random = test_seed(20250731);
    for (int run = 0; run < RUNS; run++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        struct pbr_known k;
        bool have[UNIVERSE] = { false };
        uint32_t value[UNIVERSE] = { 0 };
        size_t count = 0;
        const unsigned spread = 1 + (unsigned)(test_next_random(&random) % 64);

        pbr_known_init(&k, &env);
        for (int step = 0; step < STEPS; step++) {
            const uint64_t r = test_next_random(&random);
            const size_t n = r % UNIVERSE;
            uint8_t digest[PBR_DIGEST_LEN];
            uint32_t got = 0;
            digest_of(n, spread, digest);
            if (r >> 60 < 5) {
                w.alloc_fault.nth = r >> 55 & 15 ? -1 : 0; /* now and then memory is short */
                const int rc = pbr_known_set(&k, digest, (uint32_t)(r >> 20));
                w.alloc_fault = (struct pbr_fault){ .nth = -1 };
                if (rc < 0) {
                    check(!have[n]);
                    continue;
                }
                count += !have[n];
                have[n] = true;
                value[n] = (uint32_t)(r >> 20);
            }
            check_int(pbr_known_get(&k, digest, &got), have[n]);
            check_int(got, have[n] ? value[n] : 0);
            check_int(k.count, count);
        }
        pbr_known_release(&k);
        check_int(w.live_allocs, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_map_answers_like_an_array) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
