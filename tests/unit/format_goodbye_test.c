/* SPDX-License-Identifier: MIT */
/* covers: PXAR-170 PXAR-171 PXAR-172 PXAR-173 PXAR-270 */
#include "test.h"

#include "format/goodbye.h"

/* sorted[k] = k, arranged: slot k holds the sorted index */
static const int WORKED[12][12] = {
    { 0 },
    { 1, 0 },
    { 1, 0, 2 },
    { 2, 1, 3, 0 },
    { 3, 1, 4, 0, 2 },
    { 3, 1, 5, 0, 2, 4 },
    { 3, 1, 5, 0, 2, 4, 6 },
    { 4, 2, 6, 1, 3, 5, 7, 0 },
    { 5, 3, 7, 1, 4, 6, 8, 0, 2 },
    { 6, 3, 8, 1, 5, 7, 9, 0, 2, 4 },
    { 7, 3, 9, 1, 5, 8, 10, 0, 2, 4, 6 },
    { 7, 3, 10, 1, 5, 9, 11, 0, 2, 4, 6, 8 },
};

static struct pbr_pxar_rec *shuffled(size_t n, uint64_t *random)
{
    struct pbr_pxar_rec *recs = calloc(n + 1, sizeof(*recs));
    assert_non_null(recs);
    for (size_t i = 0; i < n; i++)
        recs[i].hash = i;
    for (size_t i = n; i > 1; i--) {
        const size_t k = (size_t)(test_next_random(random) % i);
        const struct pbr_pxar_rec swap = recs[i - 1];
        recs[i - 1] = recs[k];
        recs[k] = swap;
    }
    return recs;
}

static void test_small_tables_are_those_of_the_sheet(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    uint64_t random = 1;
    for (size_t n = 1; n <= 12; n++) {
        struct pbr_pxar_rec *recs = shuffled(n, &random);
        check_int(pbr_goodbye_arrange(&env, recs, n), PBR_OK);
        for (size_t i = 0; i < n; i++)
            check_u64(recs[i].hash, (uint64_t)WORKED[n - 1][i]);
        free(recs);
    }
    check_int(w.live_allocs, 0);
}

/* The sheet's other description (PXAR-171): recursive choice of the root. */
static void place_upstream(const uint64_t *sorted, size_t n, unsigned e, struct pbr_pxar_rec *table, size_t slot)
{
    if (n == 0)
        return;
    const size_t p = (size_t)1 << e;
    const size_t t = p + p / 2 - 1;
    const size_t root = n > t ? p - 1 : p - 1 - (t - n);
    table[slot].hash = sorted[root];
    if (n == 1)
        return;
    place_upstream(sorted, root, e - 1, table, 2 * slot + 1);
    place_upstream(sorted + root + 1, n - root - 1, e - 1, table, 2 * slot + 2);
}

static void test_tables_up_to_3000_follow_both_descriptions(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    uint64_t random = test_seed(7);
    for (size_t n = 1; n <= 3000; n += n < 300 ? 1 : 37) {
        struct pbr_pxar_rec *recs = shuffled(n, &random);
        struct pbr_pxar_rec *want = calloc(n, sizeof(*want));
        uint64_t *sorted = calloc(n, sizeof(*sorted));
        assert_non_null(want);
        assert_non_null(sorted);
        unsigned e = 0;
        while (((size_t)2 << e) <= n)
            e++;
        for (size_t i = 0; i < n; i++)
            sorted[i] = i;
        place_upstream(sorted, n, e, want, 0);
        check_int(pbr_goodbye_arrange(&env, recs, n), PBR_OK);
        uint64_t next = 0;
        for (size_t slot = pbr_goodbye_first(n); slot < n; slot = pbr_goodbye_after(slot, n))
            check_u64(recs[slot].hash, next++);
        check_u64(next, n);
        for (size_t i = 0; i < n; i++)
            check_u64(recs[i].hash, want[i].hash);
        free(recs);
        free(want);
        free(sorted);
    }
}

static void test_equal_hashes_keep_their_order(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_pxar_rec recs[100];
    for (size_t i = 0; i < 100; i++)
        recs[i] = (struct pbr_pxar_rec){ .hash = i % 3, .offset = i };
    check_int(pbr_goodbye_arrange(&env, recs, 100), PBR_OK);
    uint64_t hash = 0, offset = 0;
    bool first = true;
    for (size_t slot = pbr_goodbye_first(100); slot < 100; slot = pbr_goodbye_after(slot, 100)) {
        check(first || recs[slot].hash > hash || (recs[slot].hash == hash && recs[slot].offset > offset));
        hash = recs[slot].hash;
        offset = recs[slot].offset;
        first = false;
    }
}

static uint64_t hash_of(void *ctx, size_t i)
{
    const struct pbr_pxar_rec *recs = ctx;
    return recs[i].hash;
}

/* All records of every hash are found, for tables with runs of equal hashes of any length. */
static void test_lookup_visits_every_equal_hash(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    uint64_t random = test_seed(11);
    for (size_t n = 0; n <= 200; n++) {
        struct pbr_pxar_rec recs[200];
        size_t count[8] = { 0 };
        for (size_t i = 0; i < n; i++) {
            recs[i] = (struct pbr_pxar_rec){ .hash = test_next_random(&random) % 7, .offset = i };
            count[recs[i].hash]++;
        }
        check_int(pbr_goodbye_arrange(&env, recs, n), PBR_OK);
        for (uint64_t hash = 0; hash < 8; hash++) {
            struct pbr_goodbye_find f;
            size_t at, found = 0;
            bool seen[200] = { false };
            pbr_goodbye_find_init(&f, hash, n);
            while (pbr_goodbye_find_next(&f, hash_of, recs, &at)) {
                check(at < n && recs[at].hash == hash && !seen[at]);
                seen[at] = true;
                found++;
            }
            check_u64(found, count[hash]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_tables_are_those_of_the_sheet),
        cmocka_unit_test(test_tables_up_to_3000_follow_both_descriptions),
        cmocka_unit_test(test_equal_hashes_keep_their_order),
        cmocka_unit_test(test_lookup_visits_every_equal_hash),
    };
    return cmocka_run_group_tests_name("format_goodbye", tests, NULL, NULL);
}
