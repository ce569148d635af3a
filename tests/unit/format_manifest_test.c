/* SPDX-License-Identifier: MIT */
/* covers: MAN-003 MAN-010 MAN-011 MAN-012 MAN-013 MAN-014 MAN-015 MAN-016 MAN-017 MAN-018 */
/* covers: MAN-019 MAN-020 MAN-021 MAN-022 MAN-024 MAN-040 MAN-041 MAN-042 MAN-043 MAN-044 */
/* covers: MAN-045 MAN-046 MAN-048 MAN-049 MAN-051 MAN-052 MAN-066 MAN-072 MAN-090 CRY-010 */
/* covers: CRY-011 CRY-012 CRY-095 BKP-181 RDR-051 */
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
    r->top = vector_load("manifest");
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

struct keys {
    uint8_t id_key[32], fingerprint[32];
};

static void keys_of(const json_t *v, struct keys *ret)
{
    uint8_t key[32];
    vector_hex_into(v, "enc_key_hex", key, sizeof(key));
    assert_int_equal(pbr_key_derive(key, ret->id_key, ret->fingerprint), PBR_OK);
}

/* The manifest that the members of a vector describe. */
static void build(const json_t *fields, const struct pbr_env *env, struct pbr_manifest *m)
{
    struct pbr_snapshot s = { .time_s = (int64_t)vector_u64(fields, "backup-time") };
    (void)snprintf(s.group.type, sizeof(s.group.type), "%s", vector_text(fields, "backup-type"));
    (void)snprintf(s.group.id, sizeof(s.group.id), "%s", vector_text(fields, "backup-id"));
    assert_int_equal(pbr_manifest_init(m, env, &s), PBR_OK);
    size_t i;
    json_t *file;
    json_array_foreach(json_object_get(fields, "files"), i, file)
    {
        uint8_t csum[PBR_DIGEST_LEN];
        enum pbr_crypt_mode mode = PBR_CRYPT_NONE;
        vector_hex_into(file, "csum", csum, sizeof(csum));
        assert_true(pbr_crypt_mode_parse(pbr_span_str(vector_text(file, "crypt-mode")), &mode));
        assert_int_equal(pbr_manifest_add(m, vector_text(file, "filename"), mode,
                                          vector_u64(file, "size"), csum),
                         PBR_OK);
    }
}

/* A key is another one even if only the last byte of its fingerprint says so. */
static void test_every_byte_of_the_fingerprint_counts(void **state)
{
    struct rig *r = *state;
    const json_t *v = vector_member(r->top, "signed");
    struct pbr_manifest m = { 0 };
    struct keys k;
    keys_of(v, &k);
    check_int(pbr_manifest_parse(&m, &r->env, pbr_span_str(vector_text(v, "text_written_by_client")), NULL), PBR_OK);
    check_int(pbr_manifest_verify(&m, k.id_key, k.fingerprint, NULL), PBR_OK);
    k.fingerprint[31] ^= 1;
    check_fail(pbr_manifest_verify(&m, k.id_key, k.fingerprint, diag), PBR_E_CRYPTO, "MAN-048");
    check_fail(pbr_manifest_check_fingerprint(&m, k.fingerprint, diag), PBR_E_CRYPTO, "MAN-052");
    pbr_manifest_release(&m);
}

static void test_signed_manifest_is_written_byte_for_byte(void **state)
{
    struct rig *r = *state;
    const json_t *v = vector_member(r->top, "signed");
    struct pbr_manifest m;
    struct keys k;
    keys_of(v, &k);
    build(vector_member(v, "fields"), &r->env, &m);
    check_int(pbr_manifest_sign(&m, k.id_key, k.fingerprint), PBR_OK);
    check_str(m.signature, vector_text(v, "signature_hex"));
    check_int(pbr_manifest_emit(&m, &r->out), PBR_OK);
    check_span(pbr_buf_span(&r->out), pbr_span_str(vector_text(v, "text_written_by_client")));
    check_int(pbr_manifest_verify(&m, k.id_key, k.fingerprint, NULL), PBR_OK);
    pbr_manifest_release(&m);
}

static void test_texts_of_the_vectors_come_back_byte_for_byte(void **state)
{
    struct rig *r = *state;
    const char *const texts[] = {
        vector_text(vector_member(r->top, "signed"), "text_written_by_client"),
        vector_text(vector_member(r->top, "signed"), "text_after_server_additions"),
        vector_text(vector_member(r->top, "unsigned"), "text_written_by_client"),
    };
    for (size_t i = 0; i < 3; i++) {
        struct pbr_manifest m;
        check_int(pbr_manifest_parse(&m, &r->env, pbr_span_str(texts[i]), NULL), PBR_OK);
        pbr_buf_clear(&r->out);
        check_int(pbr_manifest_emit(&m, &r->out), PBR_OK);
        check_span(pbr_buf_span(&r->out), pbr_span_str(texts[i]));
        pbr_manifest_release(&m);
    }
}

static void test_load_cases_end_as_listed(void **state)
{
    struct rig *r = *state;
    size_t i, ok = 0;
    json_t *v;
    json_array_foreach(json_object_get(r->top, "load_cases"), i, v)
    {
        const char *result = vector_text(v, "result");
        struct pbr_manifest m;
        struct keys k;
        struct pbr_diag d = { 0 };
        check_int(pbr_manifest_parse(&m, &r->env, pbr_span_str(vector_text(v, "text")), NULL),
                  PBR_OK);
        if (!vector_text_or_null(v, "enc_key_hex")) {
            const bool missing = strstr(result, "missing-key") != NULL;
            check_int(pbr_manifest_check_fingerprint(&m, NULL, &d),
                      missing ? PBR_E_CRYPTO : PBR_OK);
            if (missing)
                check_str(d.text,
                          "missing key - manifest was created with key 0e:ab:d4:46:0b:6e:b9:ca");
        } else {
            keys_of(v, &k);
            const int rc = pbr_manifest_verify(&m, k.id_key, k.fingerprint, &d);
            if (strcmp(result, "wrong-key") == 0) {
                check_int(rc, PBR_E_CRYPTO);
                check_str(
                    d.text,
                    "wrong key - unable to verify signature since manifest's key "
                    "0e:ab:d4:46:0b:6e:b9:ca does not match provided key 1a:c8:2c:72:fb:bb:62:06");
                struct pbr_diag other = { 0 };
                check_int(pbr_manifest_check_fingerprint(&m, k.fingerprint, &other), PBR_E_CRYPTO);
                check_str(other.rule, "MAN-052");
                check_str(other.text, "wrong key - manifest's key 0e:ab:d4:46:0b:6e:b9:ca does not match "
                                      "provided key 1a:c8:2c:72:fb:bb:62:06");
            } else if (strcmp(result, "bad-signature") == 0) {
                check_int(rc, PBR_E_INTEGRITY);
                check_str(d.text, "wrong signature in manifest");
            } else { /* "ok", or "4.1.9 and later: ok" */
                check(strncmp(result, "ok", 2) == 0 ||
                      strstr(result, "4.1.9 and later: ok") == result);
                check_int(rc, PBR_OK);
                ok++;
            }
        }
        pbr_manifest_release(&m);
    }
    check(ok >= 8);
}

static void test_known_answer_of_the_original_is_reproduced(void **state)
{
    struct rig *r = *state;
    const json_t *v = vector_member(r->top, "upstream_known_answer");
    const json_t *scrypt = vector_member(v, "scrypt");
    const struct pbr_span salt = vector_hex(scrypt, "salt_hex");
    uint8_t key[32], want[32];
    struct keys k;
    struct pbr_manifest m;
    check_int(pbr_scrypt(pbr_span_str(vector_text(v, "password")), salt, vector_u64(scrypt, "n"),
                         vector_u64(scrypt, "r"), vector_u64(scrypt, "p"), key, sizeof(key)),
              PBR_OK);
    vector_hex_into(v, "enc_key_hex", want, sizeof(want));
    assert_memory_equal(key, want, sizeof(key));
    keys_of(v, &k);

    /* the canonical text is JSON too, so it can be read as an unsigned manifest */
    check_int(pbr_manifest_parse(&m, &r->env, pbr_span_str(vector_text(v, "canonical")), NULL),
              PBR_OK);
    check_int(pbr_manifest_sign(&m, k.id_key, k.fingerprint), PBR_OK);
    check_str(m.signature, vector_text(v, "signature_hex"));
    pbr_manifest_release(&m);
    test_unload(salt);
}

static void test_canonical_form_is_the_listed_bytes(void **state)
{
    struct rig *r = *state;
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(r->top, "canonical_json"), i, v)
    {
        const json_t *value = vector_member(v, "value");
        pbr_buf_clear(&r->out);
        if (vector_text_or_null(v, "error_class")) {
            check_fail(pbr_json_canonical(value, &r->out, diag), PBR_E_FORMAT, "MAN-041");
            check_u64(r->out.len, 0);
            continue;
        }
        const struct pbr_span want = vector_hex(v, "canonical_hex");
        check_int(pbr_json_canonical(value, &r->out, NULL), PBR_OK);
        check_span(pbr_buf_span(&r->out), want);
        test_unload(want);
    }
    check(i >= 8);
    json_t *real = json_pack("[f]", 1.5);
    check_fail(pbr_json_canonical(real, &r->out, diag), PBR_E_FORMAT, "MAN-042");
    json_decref(real);
}

static void test_every_control_character_is_escaped_as_listed(void **state)
{
    struct rig *r = *state;
    for (unsigned c = 0; c < 0x80; c++) {
        const char byte = (char)c;
        char want[16];
        static const char shorts[] = "\b\t\n\f\r", letters[] = "btnfr";
        const char *at = c ? strchr(shorts, (int)c) : NULL;
        if (at)
            (void)snprintf(want, sizeof(want), "\"\\%c\"", letters[at - shorts]);
        else if (c < 0x20)
            (void)snprintf(want, sizeof(want), "\"\\u%04x\"", c);
        else
            (void)snprintf(want, sizeof(want), c == '"' || c == '\\' ? "\"\\%c\"" : "\"%c\"",
                           (int)c);
        pbr_buf_clear(&r->out);
        check_int(pbr_json_quote(pbr_span(&byte, 1), &r->out), PBR_OK);
        check_span(pbr_buf_span(&r->out), pbr_span_str(want));
    }
}

static void test_pretty_form_is_that_of_the_original(void **state)
{
    struct rig *r = *state;
    json_t *value;
    check_int(
        pbr_json_parse(
            pbr_span_str("{\"b\":[],\"a\":{\"z\":null,\"Z\":[1,{}, true]},\"c\":\"x\\u001f/\"}"),
            &value, NULL),
        PBR_OK);
    check_int(pbr_json_pretty(value, &r->out), PBR_OK);
    check_span(pbr_buf_span(&r->out), pbr_span_str("{\n  \"a\": {\n    \"Z\": [\n      1,\n      "
                                                   "{},\n      true\n    ],\n    \"z\": null\n  "
                                                   "},\n  \"b\": [],\n  \"c\": \"x\\u001f/\"\n}"));
    json_decref(value);
}

static void test_nesting_is_bounded_both_ways(void **state)
{
    struct rig *r = *state;
    char text[400];
    json_t *value = NULL, *outer;
    memset(text, '[', 200);
    memset(text + 128, ']', 128);
    check_int(pbr_json_parse(pbr_span(text, 256), &value, NULL), PBR_OK);
    check_int(pbr_json_canonical(value, &r->out, NULL), PBR_OK);
    check_span(pbr_buf_span(&r->out), pbr_span(text, 256));
    memset(text, '[', 129);
    memset(text + 129, ']', 129);
    outer = value;
    check_fail(pbr_json_parse(pbr_span(text, 258), &value, diag), PBR_E_LIMIT, "MAN-003");
    check(value == outer);
    outer = json_array();
    check_int(json_array_append_new(outer, value), 0);
    pbr_buf_clear(&r->out);
    check_int(pbr_json_canonical(outer, &r->out, NULL),
              PBR_OK); /* the innermost one is empty: 128 levels open */
    value = json_array();
    check_int(json_array_append_new(value, outer), 0);
    check_fail(pbr_json_canonical(value, &r->out, diag), PBR_E_LIMIT, "MAN-003");
    json_decref(value);
    /* brackets and quotes inside strings do not count */
    memset(text, '[', sizeof(text));
    memcpy(text, "\"\\\"", 3);
    text[200] = '"';
    text[201] = 0;
    check_int(pbr_json_parse(pbr_span_str(text), &value, NULL), PBR_OK);
    json_decref(value);
}

#define FILE_OK "{\"filename\":\"a.blob\",\"crypt-mode\":\"none\",\"size\":1,\"csum\":\"" CSUM "\"}"
#define CSUM "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEAD "{\"backup-type\":\"vm\",\"backup-id\":\"1\",\"backup-time\":5,"

static void test_broken_manifests_are_refused_by_rule(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *text, *rule;
        int code;
    } cases[] = {
        { "", "MAN-021", PBR_E_TRUNCATED },
        { "[]", "MAN-021", PBR_E_FORMAT },
        { "{", "MAN-021", PBR_E_TRUNCATED },
        { HEAD "\"files\":[]} x", "MAN-021", PBR_E_FORMAT },
        { "{\"backup-id\":\"1\",\"backup-time\":5,\"files\":[]}", "MAN-010", PBR_E_FORMAT },
        { "{\"backup-type\":\"lxc\",\"backup-id\":\"1\",\"backup-time\":5,\"files\":[]}", "MAN-010",
          PBR_E_FORMAT },
        { "{\"backup-type\":\"hosthosthost\",\"backup-id\":\"1\",\"backup-time\":5,\"files\":[]}",
          "MAN-010", PBR_E_FORMAT },
        { "{\"backup-type\":1,\"backup-id\":\"1\",\"backup-time\":5,\"files\":[]}", "MAN-010",
          PBR_E_FORMAT },
        { "{\"backup-type\":\"vm\",\"backup-time\":5,\"files\":[]}", "MAN-011", PBR_E_FORMAT },
        { "{\"backup-type\":\"vm\",\"backup-id\":\"1\",\"files\":[]}", "MAN-012", PBR_E_FORMAT },
        { "{\"backup-type\":\"vm\",\"backup-id\":\"1\",\"backup-time\":5.5,\"files\":[]}",
          "MAN-012", PBR_E_FORMAT },
        { HEAD "\"x\":1}", "MAN-013", PBR_E_FORMAT },
        { HEAD "\"files\":{}}", "MAN-013", PBR_E_FORMAT },
        { HEAD "\"files\":[1]}", "MAN-013", PBR_E_FORMAT },
        { HEAD "\"files\":[{\"size\":1,\"csum\":\"" CSUM "\"}]}", "MAN-016", PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\\u0000b\",\"size\":1,\"csum\":\"" CSUM "\"}]}",
          "MAN-016", PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\",\"crypt-mode\":\"NONE\",\"size\":1,\"csum\":\"" CSUM
               "\"}]}",
          "MAN-017", PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\",\"crypt-mode\":null,\"size\":1,\"csum\":\"" CSUM
               "\"}]}",
          "MAN-017", PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\",\"csum\":\"" CSUM "\"}]}", "MAN-018", PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\",\"size\":-1,\"csum\":\"" CSUM "\"}]}", "MAN-018",
          PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\",\"size\":\"1\",\"csum\":\"" CSUM "\"}]}", "MAN-018",
          PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\",\"size\":1}]}", "MAN-019", PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\",\"size\":1,\"csum\":\"00\"}]}", "MAN-019",
          PBR_E_FORMAT },
        { HEAD "\"files\":[{\"filename\":\"a\",\"size\":1,\"csum\":"
               "\"zz112233445566778899aabbccddeeff00112233445566"
               "778899aabbccddeeff\"}]}",
          "MAN-019", PBR_E_FORMAT },
        { HEAD "\"files\":[],\"signature\":5}", "MAN-015", PBR_E_FORMAT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbr_manifest m = { .file_nr = 99 };
        struct pbr_diag d = { 0 };
        check_int(pbr_manifest_parse(&m, &r->env, pbr_span_str(cases[i].text), &d), cases[i].code);
        check_str(d.rule, cases[i].rule);
        check_u64(m.file_nr, 99);
    }
    struct pbr_manifest m;
    struct pbr_diag d = { 0 };
    check_int(pbr_manifest_parse(&m, &r->env, pbr_span_str(cases[22].text), &d), PBR_E_FORMAT);
    check_str(d.text, "Invalid string length");
}

static void test_old_and_unknown_members_are_read_as_the_original_reads_them(void **state)
{
    struct rig *r = *state;
    struct pbr_manifest m;
    /* duplicate: the last counts; unknown: ignored; crypt-mode missing: none; csum in upper case */
    static const char text[] =
        "  {\"backup-id\":\"old\",\"backup-type\":\"ct\",\"backup-id\":\"new\",\"extra\":[1],"
        "\"backup-time\":-7,\"unprotected\":{\"notes\":\"a\\nb\",\"x\":{\"y\":[null,1.5]}},"
        "\"files\":[{\"csum\":\"00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff\","
        "\"size\":9223372036854775807,\"filename\":\"b.blob\",\"z\":0}," FILE_OK "]}\n";
    check_int(pbr_manifest_parse(&m, &r->env, pbr_span_str(text), NULL), PBR_OK);
    check_str(m.snapshot.group.id, "new");
    check_str(m.snapshot.group.type, "ct");
    check(m.snapshot.time_s == -7);
    check(!m.has_signature);
    check_u64(m.file_nr, 2);
    check_int(m.files[0].crypt_mode, PBR_CRYPT_NONE);
    check_u64(m.files[0].size, INT64_MAX);
    assert_memory_equal(m.files[0].csum, m.files[1].csum, 32);
    check(pbr_manifest_find(&m, "a.blob") == &m.files[1]);
    assert_null(pbr_manifest_find(&m, "c.blob"));
    check_int(pbr_manifest_emit(&m, &r->out), PBR_OK);
    check_span(
        pbr_buf_span(&r->out),
        pbr_span_str(
            "{\n  \"backup-id\": \"new\",\n  \"backup-time\": -7,\n  \"backup-type\": \"ct\",\n"
            "  \"files\": [\n    {\n      \"crypt-mode\": \"none\",\n      \"csum\": \"" CSUM
            "\",\n"
            "      \"filename\": \"b.blob\",\n      \"size\": 9223372036854775807\n    },\n    {\n"
            "      \"crypt-mode\": \"none\",\n      \"csum\": \"" CSUM "\",\n"
            "      \"filename\": \"a.blob\",\n      \"size\": 1\n    }\n  ],\n"
            "  \"signature\": null,\n  \"unprotected\": {\n    \"notes\": \"a\\nb\",\n    \"x\": "
            "{\n"
            "      \"y\": [\n        null,\n        1.5\n      ]\n    }\n  }\n}"));
    pbr_manifest_release(&m);
}

static void test_only_safe_names_are_added_and_the_first_of_equal_ones_is_found(void **state)
{
    struct rig *r = *state;
    const struct pbr_snapshot s = { .group = { "host", "h" }, .time_s = 1 };
    const uint8_t csum[32] = { 0 };
    struct pbr_manifest m;
    check_int(pbr_manifest_init(&m, &r->env, &s), PBR_OK);
    for (uint64_t i = 0; i < 20; i++)
        check_int(pbr_manifest_add(&m, "same.blob", PBR_CRYPT_ENCRYPT, i, csum), PBR_OK);
    check_u64(pbr_manifest_find(&m, "same.blob")->size, 0);
    check_int(pbr_manifest_add(&m, "../x.blob", PBR_CRYPT_NONE, 1, csum), PBR_E_ARG);
    check_int(pbr_manifest_add(&m, "", PBR_CRYPT_NONE, 1, csum), PBR_E_ARG);
    check_int(pbr_manifest_add(&m, "x.blob", PBR_CRYPT_NONE, UINT64_MAX, csum), PBR_E_ARG);
    check_u64(m.file_nr, 20);
    pbr_manifest_release(&m);
    pbr_manifest_release(&m);
}

static void test_fingerprints_are_written_with_colons_and_read_with_or_without(void **state)
{
    (void)state;
    uint8_t fp[32], back[32];
    char text[96], brief[24];
    for (size_t i = 0; i < 32; i++)
        fp[i] = (uint8_t)(i * 8 + 7);
    pbr_fingerprint_format(fp, text);
    check_str(text, "07:0f:17:1f:27:2f:37:3f:47:4f:57:5f:67:6f:77:7f:87:8f:97:9f:a7:af:b7:bf:c7:cf:"
                    "d7:df:e7:ef:f7:ff");
    pbr_fingerprint_format_short(fp, brief);
    check_str(brief, "07:0f:17:1f:27:2f:37:3f");
    check(pbr_fingerprint_parse(pbr_span_str(text), back));
    assert_memory_equal(back, fp, 32);
    check(pbr_fingerprint_parse(
        pbr_span_str("::070F171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7f:f"), back));
    assert_memory_equal(back, fp, 32);
    check(!pbr_fingerprint_parse(pbr_span_str("07:0f"), back));
    check(!pbr_fingerprint_parse(
        pbr_span_str("070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff0"), back));
    check(!pbr_fingerprint_parse(
        pbr_span_str("x70f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff"), back));
}

static void test_a_fingerprint_that_is_none_is_an_error(void **state)
{
    struct rig *r = *state;
    static const char *const texts[] = {
        HEAD "\"files\":[],\"signature\":\"x\",\"unprotected\":{\"key-fingerprint\":\"no\"}}",
        HEAD "\"files\":[],\"signature\":\"x\",\"unprotected\":{\"key-fingerprint\":7}}",
    };
    const uint8_t key[32] = { 0 };
    for (size_t i = 0; i < 2; i++) {
        struct pbr_manifest m;
        check_int(pbr_manifest_parse(&m, &r->env, pbr_span_str(texts[i]), NULL), PBR_OK);
        check_fail(pbr_manifest_verify(&m, key, key, diag), PBR_E_FORMAT, "MAN-060");
        check_fail(pbr_manifest_check_fingerprint(&m, NULL, diag), PBR_E_FORMAT, "MAN-060");
        pbr_manifest_release(&m);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_every_byte_of_the_fingerprint_counts),
        T(test_signed_manifest_is_written_byte_for_byte),
        T(test_texts_of_the_vectors_come_back_byte_for_byte),
        T(test_load_cases_end_as_listed),
        T(test_known_answer_of_the_original_is_reproduced),
        T(test_canonical_form_is_the_listed_bytes),
        T(test_every_control_character_is_escaped_as_listed),
        T(test_pretty_form_is_that_of_the_original),
        T(test_nesting_is_bounded_both_ways),
        T(test_broken_manifests_are_refused_by_rule),
        T(test_old_and_unknown_members_are_read_as_the_original_reads_them),
        T(test_only_safe_names_are_added_and_the_first_of_equal_ones_is_found),
        T(test_fingerprints_are_written_with_colons_and_read_with_or_without),
        T(test_a_fingerprint_that_is_none_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
