/* SPDX-License-Identifier: MIT */
/* covers: BKP-235 */
#include "test.h"

#include "chunk/known.h"

static void digest_of(uint64_t n, uint8_t out[PBR_DIGEST_LEN])
{
    for (size_t i = 0; i < PBR_DIGEST_LEN; i += 8)
        pbr_put_u64le(out + i, test_next_random(&n));
}

/* The first eight bytes choose the slot: all equal ones meet in one probe run. */
static void colliding(uint64_t n, uint8_t out[PBR_DIGEST_LEN])
{
    memset(out, 0xff, PBR_DIGEST_LEN);
    pbr_put_u64le(out + 24, n);
}

static void test_empty_map_knows_nothing(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_known k = { 0 };
    const uint8_t zero[PBR_DIGEST_LEN] = { 0 };

    pbr_known_release(&k); /* never initialised */
    pbr_known_init(&k, &env);
    check(!pbr_known_get(&k, zero, NULL));
    check_int(w.allocs, 0);
    pbr_known_release(&k);
    check_int(w.live_allocs, 0);
}

static void check_all(void (*make)(uint64_t, uint8_t *), uint32_t nr)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_known k;
    uint8_t digest[PBR_DIGEST_LEN];
    uint32_t value = 7;

    pbr_known_init(&k, &env);
    for (uint32_t i = 0; i < nr; i++) {
        make(i, digest);
        check_int(pbr_known_set(&k, digest, i), PBR_OK);
        check_int(pbr_known_set(&k, digest, i * 3), PBR_OK); /* overwritten, not doubled */
    }
    check_int(k.count, nr);
    check(k.capacity / 4 * 3 >= k.count);
    for (uint32_t i = 0; i < nr; i++) {
        make(i, digest);
        check(pbr_known_get(&k, digest, &value));
        check_int(value, i * 3);
        make(i + nr, digest);
        check(!pbr_known_get(&k, digest, &value));
        check_int(value, i * 3); /* untouched */
    }
    pbr_known_release(&k);
    check_int(w.live_allocs, 0);
}

static void test_what_was_set_is_found_again(void **state)
{
    (void)state;
    check_all(digest_of, 5000);
}

static void test_colliding_digests_are_told_apart(void **state)
{
    (void)state;
    check_all(colliding, 300); /* the run begins at the last slot and goes on at the first */
}

static void test_overwriting_needs_no_memory(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_known k;
    uint8_t digest[PBR_DIGEST_LEN];
    uint32_t value;

    pbr_known_init(&k, &env);
    for (uint32_t i = 0; i < 1000; i++) {
        digest_of(i, digest);
        check_int(pbr_known_set(&k, digest, 0), PBR_OK);
        w.alloc_fault = (struct pbr_fault){ .nth = 0, .sticky = true };
        check_int(pbr_known_set(&k, digest, 1), PBR_OK);
        w.alloc_fault = (struct pbr_fault){ .nth = -1 };
        check(pbr_known_get(&k, digest, &value));
        check_int(value, 1);
    }
    pbr_known_release(&k);
    check_int(w.live_allocs, 0);
}

static void test_failed_growth_leaves_the_map_as_it_was(void **state)
{
    (void)state;
    for (long nth = 0; nth < 2; nth++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        struct pbr_known k;
        uint8_t digest[PBR_DIGEST_LEN];
        uint32_t nr = 0;
        int rc = PBR_OK;

        pbr_known_init(&k, &env);
        for (; nr < 48; nr++) { /* three quarters of the first table */
            digest_of(nr, digest);
            check_int(pbr_known_set(&k, digest, nr), PBR_OK);
        }
        w.alloc_fault.nth = nth;
        digest_of(nr, digest);
        rc = pbr_known_set(&k, digest, nr);
        check_int(rc, PBR_E_NOMEM);
        check_int(k.count, 48);
        check(!pbr_known_get(&k, digest, NULL));
        check_int(pbr_known_set(&k, digest, nr), PBR_OK); /* and works again */
        for (uint32_t i = 0; i <= nr; i++) {
            digest_of(i, digest);
            check(pbr_known_get(&k, digest, NULL));
        }
        pbr_known_release(&k);
        check_int(w.live_allocs, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_map_knows_nothing),
        cmocka_unit_test(test_what_was_set_is_found_again),
        cmocka_unit_test(test_colliding_digests_are_told_apart),
        cmocka_unit_test(test_overwriting_needs_no_memory),
        cmocka_unit_test(test_failed_growth_leaves_the_map_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
