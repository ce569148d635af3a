/* SPDX-License-Identifier: MIT */
/* covers: BLOB-040 BLOB-041 BLOB-042 BLOB-043 BLOB-044 CRY-032 CRY-033 CRY-041 CRY-082 CRY-083 */
/* covers: CRY-085 CRY-086 */
#include "prim/prim.h"
#include "vector.h"

/* ---- AES-256-GCM ---- */

static void test_gcm_gives_the_worked_example_with_a_16_byte_iv(void **state)
{
    (void)state;
    json_t *top = vector_load("crypto");
    const json_t *chain = vector_member(top, "full_chain");
    uint8_t key[32], iv[16], tag[16], out[5], back[5];
    char hex[33];
    vector_hex_into(chain, "enc_key_hex", key, 32);
    vector_hex_into(chain, "iv_hex", iv, 16);

    check_int(pbr_gcm_seal(key, iv, pbr_span_str("hello"), out, tag), PBR_OK);
    pbr_format_hex(out, sizeof(out), hex);
    check_str(hex, vector_text(chain, "ciphertext_hex"));
    pbr_format_hex(tag, sizeof(tag), hex);
    check_str(hex, vector_text(chain, "tag_hex"));
    check_int(pbr_gcm_open(key, iv, tag, pbr_span(out, sizeof(out)), back), PBR_OK);
    assert_memory_equal(back, "hello", 5);
    json_decref(top);
}

static void test_gcm_opens_nothing_that_was_changed_and_leaves_no_plain_bytes(void **state)
{
    (void)state;
    const uint8_t key[32] = { 1 };
    uint8_t iv[16] = { 2 }, tag[16], sealed[40], plain[40], back[40];
    static const uint8_t zero[40];
    memset(plain, 'p', sizeof(plain));
    check_int(pbr_gcm_seal(key, iv, pbr_span(plain, sizeof(plain)), sealed, tag), PBR_OK);

    uint8_t *const parts[] = { iv, tag, sealed };
    const size_t lens[] = { sizeof(iv), sizeof(tag), sizeof(sealed) };
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < lens[k]; i++) {
            parts[k][i] ^= 0x10;
            memset(back, 'x', sizeof(back));
            check_int(pbr_gcm_open(key, iv, tag, pbr_span(sealed, sizeof(sealed)), back),
                      PBR_E_INTEGRITY);
            assert_memory_equal(back, zero, sizeof(back));
            parts[k][i] ^= 0x10;
        }
    check_int(pbr_gcm_open(key, iv, tag, pbr_span(sealed, sizeof(sealed)), back), PBR_OK);
    assert_memory_equal(back, plain, sizeof(back));
}

/* ---- key derivation ---- */

static void test_scrypt_gives_the_value_of_rfc_7914(void **state)
{
    (void)state;
    uint8_t out[64];
    char hex[129];
    check_int(pbr_scrypt(pbr_span(NULL, 0), pbr_span(NULL, 0), 16, 1, 1, out, sizeof(out)), PBR_OK);
    pbr_format_hex(out, sizeof(out), hex);
    check_str(hex, "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
                   "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
}

static void test_scrypt_refuses_impossible_and_unaffordable_parameters(void **state)
{
    (void)state;
    static const struct {
        uint64_t n, r, p;
        int want;
    } cases[] = {
        { 0, 8, 1, PBR_E_ARG },
        { 1, 8, 1, PBR_E_ARG },
        { 1000, 8, 1, PBR_E_ARG },
        { 16, 0, 1, PBR_E_ARG },
        { 16, 8, 0, PBR_E_ARG },
        { UINT64_C(1) << 21, 8, 1, PBR_E_LIMIT },
        { UINT64_C(1) << 63, 8, 1, PBR_E_LIMIT },
        { 16, UINT64_MAX / 2, 1, PBR_E_LIMIT },
        { 16, 8, UINT64_MAX, PBR_E_LIMIT },
    };
    uint8_t out[32];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_int(pbr_scrypt(pbr_span_str("p"), pbr_span_str("s"), cases[i].n, cases[i].r,
                             cases[i].p, out, 32),
                  cases[i].want);
}

static void test_pbkdf2_gives_the_value_of_rfc_7914_and_bounds_its_work(void **state)
{
    (void)state;
    uint8_t out[64];
    char hex[129];
    check_int(pbr_pbkdf2_sha256(pbr_span_str("passwd"), pbr_span_str("salt"), 1, out, sizeof(out)),
              PBR_OK);
    pbr_format_hex(out, sizeof(out), hex);
    check_str(hex, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
                   "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
    check_int(pbr_pbkdf2_sha256(pbr_span_str("p"), pbr_span_str("s"), 0, out, 32), PBR_E_ARG);
    check_int(pbr_pbkdf2_sha256(pbr_span_str("p"), pbr_span_str("s"), UINT64_C(1) << 31, out, 32),
              PBR_E_LIMIT);
}

/* ---- base64 ---- */

static void test_base64_gives_the_values_of_rfc_4648_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *padded, *bare;
    } cases[] = {
        { "", "", "" },
        { "f", "Zg==", "Zg" },
        { "fo", "Zm8=", "Zm8" },
        { "foo", "Zm9v", "Zm9v" },
        { "foob", "Zm9vYg==", "Zm9vYg" },
        { "fooba", "Zm9vYmE=", "Zm9vYmE" },
        { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
        { "\xfb\xef\xff", "++//", "++//" },
    };
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbr_buf b;
        pbr_buf_init(&b, &env, 100);
        check_int(pbr_base64_encode(pbr_span_str(cases[i].plain), true, &b), PBR_OK);
        check_span(pbr_buf_span(&b), pbr_span_str(cases[i].padded));
        pbr_buf_clear(&b);
        check_int(pbr_base64_encode(pbr_span_str(cases[i].plain), false, &b), PBR_OK);
        check_span(pbr_buf_span(&b), pbr_span_str(cases[i].bare));
        pbr_buf_clear(&b);
        check_int(pbr_base64_decode(pbr_span_str(cases[i].padded), &b), PBR_OK);
        check_int(pbr_base64_decode(pbr_span_str(cases[i].bare), &b), PBR_OK);
        check_u64(b.len, 2 * strlen(cases[i].plain));
        check_span(pbr_span_sub(pbr_buf_span(&b), 0, b.len / 2), pbr_span_str(cases[i].plain));
        check_span(pbr_span_sub(pbr_buf_span(&b), b.len / 2, b.len), pbr_span_str(cases[i].plain));
        pbr_buf_release(&b);
    }
    check_int(w.live_allocs, 0);
}

static void test_base64_refuses_what_is_not_canonical(void **state)
{
    (void)state;
    static const char *const cases[] = { "Z",      "Zg=",  "Zh==",  "Zm9=",     "Zm8==",
                                         "====",   "=",    "Zm9v=", "Zm9v====", "Z g=",
                                         "Zg==\n", "Zm-_", "Zm9vA", "Z=g=",     "Zg==Zg==" };
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf b;
    pbr_buf_init(&b, &env, 100);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_int(pbr_base64_decode(pbr_span_str(cases[i]), &b), PBR_E_FORMAT);
        check_u64(b.len, 0);
    }
    pbr_buf_release(&b);
}

/* ---- RSA ---- */

static void test_rsa_opens_the_vector_with_plain_and_with_locked_private_key(void **state)
{
    (void)state;
    json_t *top = vector_load("crypto");
    const json_t *rsa = vector_member(top, "rsa");
    const struct pbr_span password = pbr_span_str(vector_text(rsa, "private_key_password"));
    const struct pbr_span wrong = pbr_span_str("wrong");
    const struct pbr_span locked = pbr_span_str(vector_text(rsa, "private_key_encrypted_pem"));
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf sealed, plain;
    pbr_buf_init(&sealed, &env, 1000);
    pbr_buf_init(&plain, &env, 2000);
    check_int(pbr_base64_decode(pbr_span_str(vector_text(rsa, "ciphertext_base64")), &sealed),
              PBR_OK);

    check_int(pbr_rsa_decrypt(pbr_span_str(vector_text(rsa, "private_key_pem")), NULL,
                              pbr_buf_span(&sealed), &plain, NULL),
              PBR_OK);
    check_span(pbr_buf_span(&plain), pbr_span_str(vector_text(rsa, "plaintext")));
    pbr_buf_clear(&plain);
    check_int(pbr_rsa_decrypt(locked, &password, pbr_buf_span(&sealed), &plain, NULL), PBR_OK);
    check_span(pbr_buf_span(&plain), pbr_span_str(vector_text(rsa, "plaintext")));

    check_fail(pbr_rsa_decrypt(locked, &wrong, pbr_buf_span(&sealed), &plain, diag), PBR_E_CRYPTO,
               "CRY-086");
    check_fail(pbr_rsa_decrypt(locked, NULL, pbr_buf_span(&sealed), &plain, diag), PBR_E_CRYPTO,
               "CRY-086");
    check_fail(pbr_rsa_decrypt(pbr_span_str("no key"), NULL, pbr_buf_span(&sealed), &plain, diag),
               PBR_E_CRYPTO, "CRY-086");
    pbr_buf_release(&sealed);
    pbr_buf_release(&plain);
    check_int(w.live_allocs, 0);
    json_decref(top);
}

static void test_rsa_seals_up_to_11_bytes_less_than_the_modulus(void **state)
{
    (void)state;
    json_t *top = vector_load("crypto");
    const json_t *rsa = vector_member(top, "rsa");
    const struct pbr_span public_pem = pbr_span_str(vector_text(rsa, "public_key_pem"));
    const struct pbr_span private_pem = pbr_span_str(vector_text(rsa, "private_key_pem"));
    uint8_t text[384 - 10];
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf sealed, plain;
    pbr_buf_init(&sealed, &env, 1000);
    pbr_buf_init(&plain, &env, 2000);
    memset(text, 't', sizeof(text));

    check_int(pbr_rsa_encrypt(public_pem, pbr_span(text, 384 - 11), &sealed, NULL), PBR_OK);
    check_u64(sealed.len, 384);
    check_int(pbr_rsa_decrypt(private_pem, NULL, pbr_buf_span(&sealed), &plain, NULL), PBR_OK);
    check_span(pbr_buf_span(&plain), pbr_span(text, 384 - 11));
    check_fail(pbr_rsa_encrypt(public_pem, pbr_span(text, sizeof(text)), &sealed, diag),
               PBR_E_CRYPTO, "CRY-083");
    check_fail(pbr_rsa_encrypt(private_pem, pbr_span(text, 1), &sealed, diag), PBR_E_CRYPTO,
               "CRY-085");
    check_u64(sealed.len, 384);
    pbr_buf_release(&sealed);
    pbr_buf_release(&plain);
    json_decref(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gcm_gives_the_worked_example_with_a_16_byte_iv),
        cmocka_unit_test(test_gcm_opens_nothing_that_was_changed_and_leaves_no_plain_bytes),
        cmocka_unit_test(test_scrypt_gives_the_value_of_rfc_7914),
        cmocka_unit_test(test_scrypt_refuses_impossible_and_unaffordable_parameters),
        cmocka_unit_test(test_pbkdf2_gives_the_value_of_rfc_7914_and_bounds_its_work),
        cmocka_unit_test(test_base64_gives_the_values_of_rfc_4648_and_back),
        cmocka_unit_test(test_base64_refuses_what_is_not_canonical),
        cmocka_unit_test(test_rsa_opens_the_vector_with_plain_and_with_locked_private_key),
        cmocka_unit_test(test_rsa_seals_up_to_11_bytes_less_than_the_modulus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
