/* SPDX-License-Identifier: MIT */
/* covers: BLOB-010 BLOB-014 BLOB-070 CRY-005 PXAR-010 */
#include "prim/prim.h"
#include "test.h"

static void check_digest(struct pbr_span a, struct pbr_span b, const char *want)
{
    uint8_t digest[PBR_DIGEST_LEN];
    char text[2 * PBR_DIGEST_LEN + 1];
    check_int(pbr_sha256(a, b, digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), text);
    check_str(text, want);
}

static void test_sha256_gives_the_published_digests(void **state)
{
    (void)state;
    const struct pbr_span none = pbr_span(NULL, 0);
    check_digest(none, none, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest(pbr_span_str("abc"), none,
                 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest(pbr_span_str("a"), pbr_span_str("bc"),
                 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest(none, pbr_span_str("hello"),
                 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
}

static void test_running_hash_agrees_and_goes_on_after_a_result(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    const struct pbr_span text =
        pbr_span_str("some text that is longer than a block of sixty-four bytes, split");
    struct pbr_sha256 *h = NULL;
    uint8_t got[PBR_DIGEST_LEN], want[PBR_DIGEST_LEN];

    check_int(pbr_sha256_new(&env, &h), PBR_OK);
    for (size_t i = 0; i <= text.len; i++) {
        check_int(pbr_sha256(pbr_span_sub(text, 0, i), pbr_span(NULL, 0), want), PBR_OK);
        check_int(pbr_sha256_result(h, got), PBR_OK);
        assert_memory_equal(got, want, sizeof(want));
        if (i < text.len)
            check_int(pbr_sha256_update(h, pbr_span_sub(text, i, 1)), PBR_OK);
    }
    check_int(pbr_sha256_update(h, pbr_span(NULL, 0)), PBR_OK);
    pbr_sha256_free(h);
    pbr_sha256_free(NULL);
    check_int(w.live_allocs, 0);
    w.alloc_fault.nth = 0;
    h = NULL;
    check_int(pbr_sha256_new(&env, &h), PBR_E_NOMEM);
    assert_null(h);
}

static void test_hmac_gives_the_values_of_rfc_4231(void **state)
{
    (void)state;
    static const uint8_t zeros[1];
    uint8_t tag[PBR_DIGEST_LEN];
    char text[2 * PBR_DIGEST_LEN + 1];
    check_int(
        pbr_hmac_sha256(pbr_span_str("Jefe"), pbr_span_str("what do ya want for nothing?"), tag),
        PBR_OK);
    pbr_format_hex(tag, sizeof(tag), text);
    check_str(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    check_int(pbr_hmac_sha256(pbr_span(zeros, 0), pbr_span(NULL, 0), tag), PBR_OK);
    pbr_format_hex(tag, sizeof(tag), text);
    check_str(text, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* One bit at a time, straight from the definition of the polynomial. */
static uint32_t slow_crc32(struct pbr_span in)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < in.len; i++) {
        crc ^= in.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void test_crc32_agrees_with_its_definition_at_every_length_and_split(void **state)
{
    (void)state;
    uint8_t bytes[131];
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)test_next_random(&seed);

    check_u64(pbr_crc32(0, pbr_span_str("123456789")), 0xcbf43926);
    check_u64(pbr_crc32(0, pbr_span(NULL, 0)), 0);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        const struct pbr_span in = pbr_span(bytes, len);
        const uint32_t want = slow_crc32(in);
        check_u64(pbr_crc32(0, in), want);
        const uint32_t first = pbr_crc32(0, pbr_span_sub(in, 0, len / 3));
        check_u64(pbr_crc32(first, pbr_span_sub(in, len / 3, len)), want);
    }
}

static void test_siphash_gives_the_published_values(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t want;
    } cases[] = {
        { 0, UINT64_C(0x726fdb47dd0e0e31) }, { 1, UINT64_C(0x74f839c593dc67fd) },
        { 2, UINT64_C(0x0d6c8009d9a94f5a) }, { 7, UINT64_C(0xab0200f58b01d137) },
        { 8, UINT64_C(0x93f5f5799a932462) }, { 15, UINT64_C(0xa129ca6149be45e5) },
    };
    uint8_t in[16];
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_u64(pbr_siphash24(UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908),
                                pbr_span(in, cases[i].len)),
                  cases[i].want);
}

static void test_secrets_are_equal_only_in_full(void **state)
{
    (void)state;
    const uint8_t a[] = { 1, 2, 3 }, b[] = { 1, 2, 4 };
    check(pbr_equal_secret(a, a, 3));
    check(pbr_equal_secret(a, b, 2));
    check(!pbr_equal_secret(a, b, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_gives_the_published_digests),
        cmocka_unit_test(test_running_hash_agrees_and_goes_on_after_a_result),
        cmocka_unit_test(test_hmac_gives_the_values_of_rfc_4231),
        cmocka_unit_test(test_crc32_agrees_with_its_definition_at_every_length_and_split),
        cmocka_unit_test(test_siphash_gives_the_published_values),
        cmocka_unit_test(test_secrets_are_equal_only_in_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
