/* SPDX-License-Identifier: MIT */
/* covers: BLOB-020 BLOB-021 BLOB-022 BLOB-029 BLOB-030 BLOB-031 BLOB-033 BLOB-045 BLOB-052 */
/* covers: BLOB-053 BLOB-055 BLOB-056 BLOB-057 BLOB-058 BLOB-059 BLOB-060 BLOB-061 BLOB-071 */
/* covers: BLOB-072 BLOB-073 BLOB-087 BLOB-101 BLOB-113 BKP-115 CRY-002 CRY-003 CRY-004 CRY-006 */
/* covers: CRY-040 CRY-090 CRY-094 */
#include "base/limits.h"
#include "chunk/seal.h"
#include "vector.h"

struct rig {
    struct test_world w;
    struct pbr_env env;
    struct pbr_sealer *sealer;
    struct pbr_opener *opener;
    struct pbr_buf raw, plain;
    uint8_t iv[16]; /* what the env's random gives */
};

static int fixed_random(void *ctx, uint8_t *out, size_t len)
{
    const struct rig *r = ctx;
    assert_int_equal(len, 16);
    memcpy(out, r->iv, len);
    return PBR_OK;
}

/* The test world is the rig's first member, so one context serves both. */
static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->env = test_env(&r->w);
    r->env.random = fixed_random;
    assert_int_equal(pbr_sealer_new(&r->env, &r->sealer), PBR_OK);
    assert_int_equal(pbr_opener_new(&r->env, &r->opener), PBR_OK);
    pbr_buf_init(&r->raw, &r->env, PBR_BLOB_PLAIN_MAX);
    pbr_buf_init(&r->plain, &r->env, PBR_BLOB_PLAIN_MAX);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    pbr_sealer_free(r->sealer);
    pbr_opener_free(r->opener);
    pbr_buf_release(&r->raw);
    pbr_buf_release(&r->plain);
    assert_int_equal(r->w.live_allocs, 0);
    free(r);
    return 0;
}

/* Key of a vector; NULL if it has none. */
static const struct pbr_crypt *vector_crypt(const json_t *v, struct pbr_crypt *crypt)
{
    uint8_t key[32];
    if (!vector_text_or_null(v, "enc_key_hex"))
        return NULL;
    vector_hex_into(v, "enc_key_hex", key, sizeof(key));
    assert_int_equal(pbr_crypt_init(crypt, key), PBR_OK);
    return crypt;
}

/* Plain bytes of a vector: hex, or as many zeros as it says. */
static struct pbr_span vector_plain(const json_t *v)
{
    if (vector_text_or_null(v, "plain_hex"))
        return vector_hex(v, "plain_hex");
    const size_t len = vector_u64(v, "plain_len");
    uint8_t *zeros = calloc(len, 1);
    assert_non_null(zeros);
    return pbr_span(zeros, len);
}

static void test_valid_vectors_open_to_their_plain_data(void **state)
{
    struct rig *r = *state;
    json_t *top = vector_load("blob");
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(top, "valid"), i, v)
    {
        struct pbr_crypt crypt;
        uint8_t digest[PBR_DIGEST_LEN];
        const struct pbr_span raw = vector_hex(v, "blob_hex"), want = vector_plain(v);
        vector_hex_into(v, "chunk_digest_hex", digest, sizeof(digest));
        const struct pbr_open_opts opts = {
            .crypt = vector_crypt(v, &crypt), .digest = digest, .has_len = true, .len = want.len
        };
        struct pbr_span got = pbr_span(NULL, 0);
        pbr_buf_clear(&r->plain);
        check_int(pbr_open_blob(r->opener, raw, &opts, &r->plain, &got, NULL), PBR_OK);
        check_span(got, want);
        check(r->plain.len ==
              (strcmp(vector_text(v, "magic_kind"), "uncompressed") == 0 ? 0 : want.len));
        test_unload(raw);
        test_unload(want);
    }
    json_decref(top);
}

static void test_vectors_that_say_so_are_reproduced_byte_for_byte(void **state)
{
    struct rig *r = *state;
    json_t *top = vector_load("blob");
    size_t i, exact = 0;
    json_t *v;
    json_array_foreach(json_object_get(top, "valid"), i, v)
    {
        struct pbr_crypt key;
        const struct pbr_crypt *crypt = vector_crypt(v, &key);
        const struct pbr_span raw = vector_hex(v, "blob_hex"), plain = vector_plain(v);
        if (crypt)
            vector_hex_into(v, "iv_hex", r->iv, sizeof(r->iv));
        const bool must = json_is_true(json_object_get(v, "encoder_must_reproduce"));
        for (int compress = 0; must && compress < 2; compress++) {
            pbr_buf_clear(&r->raw);
            check_int(pbr_seal(r->sealer, crypt, compress, plain, &r->raw, NULL), PBR_OK);
            check_span(pbr_buf_span(&r->raw), raw);
            exact++;
        }
        test_unload(raw);
        test_unload(plain);
    }
    check(exact >= 12);
    json_decref(top);
}

static void test_what_is_sealed_opens_to_the_same_data(void **state)
{
    struct rig *r = *state;
    json_t *top = vector_load("blob");
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(top, "valid"), i, v)
    {
        struct pbr_crypt key;
        const struct pbr_crypt *crypt = vector_crypt(v, &key);
        const struct pbr_span plain = vector_plain(v);
        for (int compress = 0; compress < 2; compress++) {
            struct pbr_blob blob;
            struct pbr_span got;
            const struct pbr_open_opts opts = { .crypt = crypt };
            pbr_buf_clear(&r->raw);
            pbr_buf_clear(&r->plain);
            check_int(pbr_buf_append(&r->raw, pbr_span_str("head")), PBR_OK);
            check_int(pbr_seal(r->sealer, crypt, compress, plain, &r->raw, NULL), PBR_OK);
            const struct pbr_span raw = pbr_span_sub(pbr_buf_span(&r->raw), 4, r->raw.len);
            check_int(pbr_blob_parse(raw, &blob, NULL), PBR_OK);
            check(pbr_blob_is_encrypted(blob.kind) == (crypt != NULL));
            if (!compress)
                check(!pbr_blob_is_compressed(blob.kind));
            check(raw.len <= pbr_blob_hdr_len(blob.kind) + plain.len);
            check_int(pbr_open_blob(r->opener, raw, &opts, &r->plain, &got, NULL), PBR_OK);
            check_span(got, plain);
        }
        test_unload(plain);
    }
    json_decref(top);
}

/* Error classes of the vectors as our codes and rules. */
static const struct {
    const char *name;
    int code;
    const char *rule;
} classes[] = {
    { "too-small", PBR_E_TRUNCATED, "BLOB-050" },
    { "bad-magic", PBR_E_FORMAT, "BLOB-050" },
    { "too-small-encrypted", PBR_E_TRUNCATED, "BLOB-050" },
    { "bad-crc", PBR_E_INTEGRITY, "BLOB-051" },
    { "auth-failed", PBR_E_INTEGRITY, "BLOB-056" },
    { "zstd-incomplete", PBR_E_FORMAT, "BLOB-054" },
    { "zstd-error", PBR_E_FORMAT, "BLOB-054" },
    { "missing-key", PBR_E_CRYPTO, "BLOB-055" },
    { "digest-mismatch", PBR_E_INTEGRITY, "BLOB-059" },
    { "length-mismatch", PBR_E_INTEGRITY, "BLOB-061" },
};

static void test_invalid_vectors_fail_for_the_stated_reason(void **state)
{
    struct rig *r = *state;
    json_t *top = vector_load("blob");
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(top, "invalid"), i, v)
    {
        struct pbr_crypt key;
        uint8_t digest[PBR_DIGEST_LEN];
        struct pbr_open_opts opts = { .crypt = vector_crypt(v, &key) };
        const struct pbr_span raw = vector_hex(v, "blob_hex");
        struct pbr_span got = pbr_span(&i, 1);
        struct pbr_diag d = { 0 };
        size_t k = 0;
        if (vector_text_or_null(v, "expected_digest_hex")) {
            vector_hex_into(v, "expected_digest_hex", digest, sizeof(digest));
            opts.digest = digest;
        }
        if (json_object_get(v, "expected_size")) {
            opts.has_len = true;
            opts.len = vector_u64(v, "expected_size");
        }
        while (strcmp(classes[k].name, vector_text(v, "error_class")) != 0) {
            k++;
            assert_true(k < sizeof(classes) / sizeof(classes[0]));
        }
        check_int(pbr_open_blob(r->opener, raw, &opts, &r->plain, &got, &d), classes[k].code);
        assert_non_null(d.rule);
        check_str(d.rule, classes[k].rule);
        check(got.ptr == (const uint8_t *)&i);
        check_u64(r->plain.len, 0);
        test_unload(raw);
    }
    check(i > 15);
    json_decref(top);
}

static void test_zero_chunks_have_the_listed_digests(void **state)
{
    (void)state;
    json_t *top = vector_load("blob");
    const json_t *zero = vector_member(top, "zero_chunk_digests");
    struct pbr_crypt crypt;
    size_t i;
    json_t *v;
    check(vector_crypt(zero, &crypt));
    json_array_foreach(json_object_get(zero, "sizes"), i, v)
    {
        const size_t len = vector_u64(v, "size");
        uint8_t *zeros = calloc(len, 1), digest[PBR_DIGEST_LEN];
        char hex[65];
        assert_non_null(zeros);
        check_int(pbr_chunk_digest(NULL, pbr_span(zeros, len), digest), PBR_OK);
        pbr_format_hex(digest, sizeof(digest), hex);
        check_str(hex, vector_text(v, "plain_digest"));
        check_int(pbr_chunk_digest(&crypt, pbr_span(zeros, len), digest), PBR_OK);
        pbr_format_hex(digest, sizeof(digest), hex);
        check_str(hex, vector_text(v, "keyed_digest"));
        free(zeros);
    }
    check(i > 5);
    json_decref(top);
}

static void test_keys_and_digests_are_derived_as_listed(void **state)
{
    (void)state;
    json_t *top = vector_load("crypto");
    size_t i, k;
    json_t *v, *of;
    json_array_foreach(json_object_get(top, "derivations"), i, v)
    {
        struct pbr_crypt crypt;
        char hex[65];
        check(vector_crypt(v, &crypt));
        pbr_format_hex(crypt.id_key, 32, hex);
        check_str(hex, vector_text(v, "id_key_hex"));
        pbr_format_hex(crypt.fingerprint, 32, hex);
        check_str(hex, vector_text(v, "fingerprint_hex"));
        json_array_foreach(json_object_get(v, "digest_of"), k, of)
        {
            uint8_t out[32];
            const struct pbr_span plain = vector_hex(of, "plain_hex");
            check_int(pbr_chunk_digest(NULL, plain, out), PBR_OK);
            pbr_format_hex(out, 32, hex);
            check_str(hex, vector_text(of, "plain_sha256"));
            check_int(pbr_chunk_digest(&crypt, plain, out), PBR_OK);
            pbr_format_hex(out, 32, hex);
            check_str(hex, vector_text(of, "keyed_digest_hex"));
            check_int(pbr_hmac_sha256(pbr_span(crypt.id_key, 32), plain, out), PBR_OK);
            pbr_format_hex(out, 32, hex);
            check_str(hex, vector_text(of, "auth_tag_hex"));
            test_unload(plain);
        }
        check(k == 3);
        pbr_crypt_wipe(&crypt);
        static const struct pbr_crypt wiped;
        assert_memory_equal(&crypt, &wiped, sizeof(crypt));
    }
    check(i == 3);
    json_decref(top);
}

static void test_kind_must_be_the_one_that_is_due(void **state)
{
    struct rig *r = *state;
    const uint8_t key[32] = { 7 };
    struct pbr_crypt crypt;
    struct pbr_span got;
    check_int(pbr_crypt_init(&crypt, key), PBR_OK);
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        pbr_buf_clear(&r->raw);
        check_int(pbr_seal(r->sealer, encrypted ? &crypt : NULL, true, pbr_span_str("data"),
                           &r->raw, NULL),
                  PBR_OK);
        const struct pbr_open_opts plain = { .crypt = &crypt, .want = PBR_OPEN_UNENCRYPTED };
        const struct pbr_open_opts sealed = { .crypt = &crypt, .want = PBR_OPEN_ENCRYPTED };
        const struct pbr_span raw = pbr_buf_span(&r->raw);
        check_int(
            pbr_open_blob(r->opener, raw, encrypted ? &sealed : &plain, &r->plain, &got, NULL),
            PBR_OK);
        check_fail(
            pbr_open_blob(r->opener, raw, encrypted ? &plain : &sealed, &r->plain, &got, diag),
            PBR_E_CRYPTO, "BLOB-087");
    }
}

static void test_texts_of_chunk_checks_are_the_server_s(void **state)
{
    struct rig *r = *state;
    struct pbr_diag d = { 0 };
    struct pbr_span got;
    const uint8_t digest[PBR_DIGEST_LEN] = { 0 };
    struct pbr_open_opts opts = { .digest = digest };
    check_int(pbr_seal(r->sealer, NULL, true, pbr_span_str("hello"), &r->raw, NULL), PBR_OK);
    check_int(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, &d),
              PBR_E_INTEGRITY);
    check_str(d.text, "detected chunk with wrong digest.");
    pbr_diag_clear(&d);
    opts = (struct pbr_open_opts){ .has_len = true, .len = 6 };
    check_int(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, &d),
              PBR_E_INTEGRITY);
    check_str(d.text, "detected chunk with wrong length (6 != 5)");
}

static void test_crc_check_can_be_left_out(void **state)
{
    struct rig *r = *state;
    struct pbr_span got;
    check_int(pbr_seal(r->sealer, NULL, false, pbr_span_str("hello"), &r->raw, NULL), PBR_OK);
    r->raw.ptr[8] ^= 1;
    const struct pbr_open_opts with = { 0 }, without = { .skip_crc = true };
    check_fail(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &with, &r->plain, &got, diag),
               PBR_E_INTEGRITY, "BLOB-051");
    check_int(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &without, &r->plain, &got, NULL),
              PBR_OK);
    check_span(got, pbr_span_str("hello"));
}

static void test_plain_data_is_bounded_for_every_kind(void **state)
{
    struct rig *r = *state;
    const uint8_t key[32] = { 7 };
    struct pbr_crypt crypt;
    uint8_t text[1000];
    check_int(pbr_crypt_init(&crypt, key), PBR_OK);
    memset(text, 't', sizeof(text));
    for (int kind = 0; kind < 4; kind++) {
        struct pbr_span got;
        struct pbr_open_opts opts = { .crypt = &crypt, .max = 999 };
        pbr_buf_clear(&r->raw);
        check_int(pbr_seal(r->sealer, kind >= 2 ? &crypt : NULL, kind % 2, pbr_span(text, 1000),
                           &r->raw, NULL),
                  PBR_OK);
        check_fail(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, diag),
                   PBR_E_LIMIT, "BLOB-060");
        opts.max = 1000;
        pbr_buf_clear(&r->plain);
        check_int(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, NULL),
                  PBR_OK);
        check_span(got, pbr_span(text, 1000));
        check_u64(r->plain.max, PBR_BLOB_PLAIN_MAX);
        pbr_buf_clear(&r->plain);
    }
}

static void test_default_bound_is_that_of_a_chunk(void **state)
{
    struct rig *r = *state;
    uint8_t *big = calloc(PBR_CHUNK_MAX + 1, 1);
    const struct pbr_open_opts opts = { 0 };
    struct pbr_span got;
    assert_non_null(big);
    check_int(pbr_seal(r->sealer, NULL, true, pbr_span(big, PBR_CHUNK_MAX), &r->raw, NULL), PBR_OK);
    check_int(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, NULL),
              PBR_OK);
    check_u64(got.len, PBR_CHUNK_MAX);
    pbr_buf_clear(&r->raw);
    pbr_buf_clear(&r->plain);
    check_int(pbr_seal(r->sealer, NULL, true, pbr_span(big, PBR_CHUNK_MAX + 1), &r->raw, NULL),
              PBR_OK);
    check_fail(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, diag),
               PBR_E_LIMIT, "BLOB-060");
    free(big);
}

static void test_more_than_128_mib_is_not_sealed(void **state)
{
    struct rig *r = *state;
    const uint8_t byte = 0;
    /* refused by its length alone: nothing of it is read */
    check_fail(pbr_seal(r->sealer, NULL, true, pbr_span(&byte, (size_t)PBR_BLOB_PLAIN_MAX + 1),
                        &r->raw, diag),
               PBR_E_LIMIT, "BLOB-021");
    check_u64(r->raw.len, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_valid_vectors_open_to_their_plain_data),
        T(test_vectors_that_say_so_are_reproduced_byte_for_byte),
        T(test_what_is_sealed_opens_to_the_same_data),
        T(test_invalid_vectors_fail_for_the_stated_reason),
        T(test_zero_chunks_have_the_listed_digests),
        T(test_keys_and_digests_are_derived_as_listed),
        T(test_kind_must_be_the_one_that_is_due),
        T(test_texts_of_chunk_checks_are_the_server_s),
        T(test_crc_check_can_be_left_out),
        T(test_plain_data_is_bounded_for_every_kind),
        T(test_default_bound_is_that_of_a_chunk),
        T(test_more_than_128_mib_is_not_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
