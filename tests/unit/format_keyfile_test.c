/* SPDX-License-Identifier: MIT */
/* covers: CRY-001 CRY-002 CRY-006 CRY-020 CRY-021 CRY-022 CRY-023 CRY-024 CRY-025 CRY-027 */
/* covers: CRY-030 CRY-031 CRY-032 CRY-033 CRY-034 CRY-035 CRY-036 CRY-037 CRY-081 CRY-091 */
/* covers: CRY-092 CRY-093 */
#include "format/keyfile.h"
#include "format/manifest.h"
#include "vector.h"

struct rig {
    struct test_world w;
    struct pbr_env env;
    struct pbr_buf out;
    json_t *top;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->env = test_env(&r->w);
    pbr_buf_init(&r->out, &r->env, 1 << 20);
    r->top = vector_load("crypto");
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    pbr_buf_release(&r->out);
    json_decref(r->top);
    assert_int_equal(r->w.live_allocs, 0);
    free(r);
    return 0;
}

static void test_key_files_of_the_vectors_unlock_and_come_back_byte_for_byte(void **state)
{
    struct rig *r = *state;
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(r->top, "keyfiles"), i, v)
    {
        const char *text = vector_text(v, "text"), *password = vector_text_or_null(v, "password");
        const struct pbr_span pw = pbr_span_str(password ? password : "");
        uint8_t key[32], want[32];
        struct pbr_keyfile k;
        check_int(pbr_keyfile_parse(&k, &r->env, pbr_span_str(text), NULL), PBR_OK);
        check(k.created.time_s == (int64_t)vector_u64(v, "created"));
        check(k.modified.time_s == (int64_t)vector_u64(v, "modified"));
        if (vector_text_or_null(v, "hint"))
            check_str(k.hint, vector_text(v, "hint"));
        else
            assert_null(k.hint);
        check_int(pbr_keyfile_unlock(&k, password ? &pw : NULL, key, NULL), PBR_OK);
        vector_hex_into(v, "enc_key_hex", want, sizeof(want));
        assert_memory_equal(key, want, sizeof(key));
        pbr_buf_clear(&r->out);
        check_int(pbr_keyfile_emit(&k, &r->out), PBR_OK);
        check_span(pbr_buf_span(&r->out), pbr_span_str(text));
        pbr_keyfile_release(&k);
        pbr_keyfile_release(&k);
    }
    check(i >= 4);
}

static const struct {
    const char *name;
    int code;
    const char *rule;
} classes[] = {
    { "auth-failed", PBR_E_CRYPTO, "CRY-035" },
    { "passphrase-too-short", PBR_E_CRYPTO, "CRY-034" },
    { "short-data", PBR_E_FORMAT, "CRY-035" },
    { "fingerprint-mismatch", PBR_E_INTEGRITY, "CRY-024" },
    { "bad-json", PBR_E_FORMAT, "CRY-021" },
    { "bad-key-length", PBR_E_FORMAT, "CRY-027" },
};

static void test_negative_vectors_fail_for_the_stated_reason(void **state)
{
    struct rig *r = *state;
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(r->top, "keyfiles_negative_or_tolerated"), i, v)
    {
        const char *password = vector_text_or_null(v, "password"),
                   *class = vector_text_or_null(v, "error_class");
        const struct pbr_span pw = pbr_span_str(password ? password : "");
        uint8_t key[32] = { 0xaa };
        struct pbr_keyfile k = { 0 };
        struct pbr_diag d = { 0 };
        int rc = pbr_keyfile_parse(&k, &r->env, pbr_span_str(vector_text(v, "keyfile")), &d);
        if (rc == PBR_OK)
            rc = pbr_keyfile_unlock(&k, password ? &pw : NULL, key, &d);
        pbr_keyfile_release(&k);
        if (!class) {
            check_int(rc, PBR_OK);
            continue;
        }
        size_t n = 0;
        while (strcmp(classes[n].name, class) != 0) {
            n++;
            assert_true(n < sizeof(classes) / sizeof(classes[0]));
        }
        check_int(rc, classes[n].code);
        check_str(d.rule, classes[n].rule);
        check(key[0] == 0xaa && key[1] == 0);
        if (strcmp(vector_text(v, "name"), "wrong-password-with-hint") == 0)
            assert_non_null(strstr(d.text, "the usual one"));
    }
    check(i >= 9);
}

static void test_a_made_file_is_read_back_with_its_key(void **state)
{
    struct rig *r = *state;
    static const enum pbr_kdf kdfs[] = { PBR_KDF_NONE, PBR_KDF_SCRYPT, PBR_KDF_PBKDF2 };
    const uint8_t key[32] = { 9, 8, 7 };
    for (size_t i = 0; i < 3; i++) {
        const struct pbr_span pw = pbr_span_str("12345");
        const struct pbr_keyfile_opts opts = { .kdf = kdfs[i],
                                               .password = pw,
                                               .created = { 1700000000, 60 },
                                               .modified = { 1700003600, -90 },
                                               .hint = i ? "a \"hint\"" : NULL,
                                               .n = 1024,
                                               .iter = i == 2 ? 0 : 7 };
        struct pbr_keyfile made, read;
        uint8_t got[32];
        check_int(pbr_keyfile_make(&made, &r->env, key, &opts, NULL), PBR_OK);
        check_u64(made.salt.len, i ? 32 : 0);
        check_u64(made.data.len, i ? 64 : 32);
        check_u64(made.iter, i == 2 ? 65535 : 0);
        pbr_buf_clear(&r->out);
        check_int(pbr_keyfile_emit(&made, &r->out), PBR_OK);
        if (i == 0)
            check_u64(r->out.len, 255); /* always, with a key in clear [CRY-081] */
        check_int(pbr_keyfile_parse(&read, &r->env, pbr_buf_span(&r->out), NULL), PBR_OK);
        check_int(pbr_keyfile_unlock(&read, &pw, got, NULL), PBR_OK);
        assert_memory_equal(got, key, sizeof(key));
        pbr_keyfile_release(&made);
        pbr_keyfile_release(&read);
    }
    const struct pbr_keyfile_opts opts = { .kdf = PBR_KDF_SCRYPT,
                                           .password = pbr_span_str("1234") };
    struct pbr_keyfile k;
    check_fail(pbr_keyfile_make(&k, &r->env, key, &opts, diag), PBR_E_ARG, "CRY-034");
}

#define TIMES "\"created\":\"2023-11-14T22:13:20Z\",\"modified\":\"2023-11-14T22:13:20Z\","
#define KEY "\"data\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\""

static void test_broken_key_files_are_refused_by_rule(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *text, *rule;
        int code;
    } cases[] = {
        { "", "MAN-021", PBR_E_TRUNCATED },
        { "[]", "CRY-020", PBR_E_FORMAT },
        { "{" TIMES KEY "} {}", "MAN-021", PBR_E_FORMAT },
        { "{\"kdf\":\"Scrypt\"," TIMES KEY "}", "CRY-021", PBR_E_FORMAT },
        { "{\"kdf\":{}," TIMES KEY "}", "CRY-021", PBR_E_FORMAT },
        { "{\"kdf\":{\"scrypt\":{\"n\":16,\"r\":1,\"p\":1,\"salt\":\"\"}}," TIMES KEY "}",
          "CRY-021", PBR_E_FORMAT },
        { "{\"kdf\":{\"Scrypt\":{\"n\":16,\"r\":1,\"p\":1,\"salt\":\"\"},\"x\":1}," TIMES KEY "}",
          "CRY-021", PBR_E_FORMAT },
        { "{\"kdf\":{\"Scrypt\":{\"n\":-16,\"r\":1,\"p\":1,\"salt\":\"\"}}," TIMES KEY "}",
          "CRY-021", PBR_E_FORMAT },
        { "{\"kdf\":{\"PBKDF2\":{\"iter\":1}}," TIMES KEY "}", "CRY-021", PBR_E_FORMAT },
        { "{\"modified\":\"2023-11-14T22:13:20Z\"," KEY "}", "CRY-022", PBR_E_FORMAT },
        { "{\"created\":\"2023-11-14T22:13:20Z\",\"modified\":\"now\"," KEY "}", "CRY-022",
          PBR_E_FORMAT },
        { "{" TIMES "\"data\":\"A\"}", "CRY-023", PBR_E_FORMAT },
        { "{" TIMES "\"x\":1}", "CRY-023", PBR_E_FORMAT },
        { "{" TIMES KEY ",\"fingerprint\":\"0e\"}", "CRY-024", PBR_E_FORMAT },
        { "{" TIMES KEY ",\"hint\":1}", "CRY-025", PBR_E_FORMAT },
        { "{" TIMES KEY ",\"hint\":\"a\\u0000\"}", "CRY-025", PBR_E_FORMAT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbr_keyfile k = { .n = 77 };
        struct pbr_diag d = { 0 };
        check_int(pbr_keyfile_parse(&k, &r->env, pbr_span_str(cases[i].text), &d), cases[i].code);
        check_str(d.rule, cases[i].rule);
        check_u64(k.n, 77);
    }
}

static void test_formatting_unknown_members_and_missing_padding_are_tolerated(void **state)
{
    struct rig *r = *state;
    static const char text[] = " { \"x\" : [] , \"hint\":null,\"fingerprint\":null," TIMES
                               "\"data\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\" } \n";
    struct pbr_keyfile k;
    uint8_t key[32];
    check_int(pbr_keyfile_parse(&k, &r->env, pbr_span_str(text), NULL), PBR_OK);
    check_int(pbr_keyfile_unlock(&k, NULL, key, NULL), PBR_OK);
    for (uint8_t i = 0; i < 32; i++)
        check_int(key[i], i);
    pbr_keyfile_release(&k);
}

static void test_parameters_that_cannot_be_or_cost_too_much_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *kdf, *rule;
        int code;
    } cases[] = {
        { "{\"Scrypt\":{\"n\":15,\"r\":1,\"p\":1,\"salt\":\"\"}}", "CRY-032", PBR_E_FORMAT },
        { "{\"Scrypt\":{\"n\":1099511627776,\"r\":8,\"p\":1,\"salt\":\"\"}}", "CRY-032",
          PBR_E_LIMIT },
        { "{\"PBKDF2\":{\"iter\":0,\"salt\":\"\"}}", "CRY-033", PBR_E_FORMAT },
        { "{\"PBKDF2\":{\"iter\":4294967296,\"salt\":\"\"}}", "CRY-033", PBR_E_LIMIT },
    };
    const struct pbr_span pw = pbr_span_str("correct horse");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[400];
        struct pbr_keyfile k;
        uint8_t key[32];
        (void)snprintf(text, sizeof(text), "{\"kdf\":%s," TIMES KEY "}", cases[i].kdf);
        check_int(pbr_keyfile_parse(&k, &r->env, pbr_span_str(text), NULL), PBR_OK);
        check_fail(pbr_keyfile_unlock(&k, &pw, key, diag), cases[i].code, cases[i].rule);
        check_fail(pbr_keyfile_unlock(&k, NULL, key, diag), PBR_E_CRYPTO, "CRY-034");
        pbr_keyfile_release(&k);
    }
}

static void test_functions_have_the_command_line_s_names(void **state)
{
    (void)state;
    enum pbr_kdf kdf = PBR_KDF_NONE;
    check_str(pbr_kdf_name(PBR_KDF_NONE), "none");
    check(pbr_kdf_parse(pbr_span_str("scrypt"), &kdf) && kdf == PBR_KDF_SCRYPT);
    check(pbr_kdf_parse(pbr_span_str("pbkdf2"), &kdf) && kdf == PBR_KDF_PBKDF2);
    check(!pbr_kdf_parse(pbr_span_str("Scrypt"), &kdf));
}

static void test_constants_are_those_of_the_vectors(void **state)
{
    struct rig *r = *state;
    const json_t *c = vector_member(r->top, "constants");
    uint8_t digest[32];
    char hex[65];
    check_int(pbr_sha256(pbr_span_str(vector_text(c, "fingerprint_input_ascii")), pbr_span(NULL, 0),
                         digest),
              PBR_OK);
    pbr_format_hex(digest, 32, hex);
    check_str(hex, vector_text(c, "fingerprint_input_sha256_hex"));
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(r->top, "derivations"), i, v)
    {
        uint8_t key[32], id_key[32], fp[32];
        char full[96], brief[24];
        vector_hex_into(v, "enc_key_hex", key, 32);
        check_int(pbr_key_derive(key, id_key, fp), PBR_OK);
        pbr_fingerprint_format(fp, full);
        check_str(full, vector_text(v, "fingerprint_full"));
        pbr_fingerprint_format_short(fp, brief);
        check_str(brief, vector_text(v, "fingerprint_short"));
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_key_files_of_the_vectors_unlock_and_come_back_byte_for_byte),
        T(test_negative_vectors_fail_for_the_stated_reason),
        T(test_a_made_file_is_read_back_with_its_key),
        T(test_broken_key_files_are_refused_by_rule),
        T(test_formatting_unknown_members_and_missing_padding_are_tolerated),
        T(test_parameters_that_cannot_be_or_cost_too_much_are_refused),
        T(test_functions_have_the_command_line_s_names),
        T(test_constants_are_those_of_the_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
