/* SPDX-License-Identifier: MIT */
/* covers: BLOB-033 BLOB-056 BLOB-060 */
#include "chunk/seal.h"
#include "test.h"

/* All four kinds through fresh objects. The plain data comes back, or the run fails. */
static int all_kinds(const struct pbr_env *env)
{
    static const uint8_t key[32] = { 5 };
    struct pbr_sealer *sealer = NULL;
    struct pbr_opener *opener = NULL;
    struct pbr_crypt crypt;
    struct pbr_buf raw, plain;
    uint8_t text[5000];
    memset(text, 'k', sizeof(text));
    pbr_buf_init(&raw, env, 1 << 20);
    pbr_buf_init(&plain, env, 1 << 20);
    int rc = pbr_crypt_init(&crypt, key);
    if (rc == PBR_OK)
        rc = pbr_sealer_new(env, &sealer);
    if (rc == PBR_OK)
        rc = pbr_opener_new(env, &opener);
    for (int kind = 0; rc == PBR_OK && kind < 4; kind++) {
        const struct pbr_open_opts opts = { .crypt = &crypt };
        struct pbr_span got;
        const size_t before = raw.len;
        rc = pbr_seal(sealer, kind >= 2 ? &crypt : NULL, kind % 2, pbr_span(text, sizeof(text)),
                      &raw, NULL);
        if (rc < 0) {
            check_u64(raw.len, before);
            break;
        }
        rc = pbr_open_blob(opener, pbr_span_sub(pbr_buf_span(&raw), before, raw.len), &opts, &plain,
                           &got, NULL);
        if (rc == PBR_OK)
            check_span(got, pbr_span(text, sizeof(text)));
    }
    pbr_sealer_free(sealer);
    pbr_opener_free(opener);
    pbr_buf_release(&raw);
    pbr_buf_release(&plain);
    return rc;
}

static void test_every_failing_allocation_is_reported_and_nothing_leaks(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        w.alloc_fault = (struct pbr_fault){ .nth = nth, .sticky = nth % 2 };
        const int rc = all_kinds(&env);
        check_int(w.live_allocs, 0);
        check_int(rc, w.alloc_fault.hit ? PBR_E_NOMEM : PBR_OK);
        if (!w.alloc_fault.hit) {
            check(nth > 6);
            break;
        }
    }
}

static int no_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    (void)out;
    (void)len;
    return PBR_E_IO;
}

static void test_without_random_bytes_nothing_is_encrypted(void **state)
{
    (void)state;
    static const uint8_t key[32] = { 5 };
    struct test_world w;
    struct pbr_env env = test_env(&w);
    struct pbr_sealer *sealer;
    struct pbr_crypt crypt;
    struct pbr_buf raw;
    env.random = no_random;
    pbr_buf_init(&raw, &env, 1 << 20);
    check_int(pbr_crypt_init(&crypt, key), PBR_OK);
    check_int(pbr_sealer_new(&env, &sealer), PBR_OK);
    check_int(pbr_seal(sealer, &crypt, true, pbr_span_str("plain"), &raw, NULL), PBR_E_IO);
    check_u64(raw.len, 0);
    check_int(pbr_seal(sealer, NULL, true, pbr_span_str("plain"), &raw, NULL), PBR_OK);
    pbr_sealer_free(sealer);
    pbr_buf_release(&raw);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_failing_allocation_is_reported_and_nothing_leaks),
        cmocka_unit_test(test_without_random_bytes_nothing_is_encrypted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
