/* SPDX-License-Identifier: MIT */
/* covers: MAN-021 MAN-024 MAN-040 MAN-043 MAN-044 MAN-045 MAN-048 MAN-066 */
#include "format/manifest.h"
#include "test.h"

static uint64_t below(uint64_t *seed, uint64_t n)
{
    return test_next_random(seed) % n;
}

/* Text of a few characters with everything that needs an escape, as UTF-8. */
static json_t *random_string(uint64_t *seed)
{
    static const char *const parts[] = { "a",    "B",        "\"",           "\\",
                                         "/",    "\n",       "\x01",         "\x1f",
                                         "\x7f", "\xc3\xa9", "\xe2\x80\xa8", "\xf0\x9f\x98\x80",
                                         " ",    "0" };
    char text[64] = "";
    size_t len = 0;
    for (uint64_t n = below(seed, 12); n > 0; n--) {
        const char *part = parts[below(seed, sizeof(parts) / sizeof(parts[0]))];
        memcpy(text + len, part, strlen(part) + 1);
        len += strlen(part);
    }
    return json_stringn(text, len);
}

/* At most three levels deep. `all` adds what canonical JSON does not have. */
static json_t *random_value(uint64_t *seed, unsigned depth, bool all)
{
    json_t *value;
    switch (below(seed, depth ? (all ? 8 : 6) : 4)) {
    case 0:
        return json_integer((json_int_t)test_next_random(seed));
    case 1:
        return json_boolean(below(seed, 2));
    case 2:
        return json_integer((json_int_t)below(seed, 20) - 10);
    case 4:
        value = json_array();
        for (uint64_t n = below(seed, 5); n > 0; n--)
            assert_int_equal(json_array_append_new(value, random_value(seed, depth - 1, all)), 0);
        return value;
    case 5:
        value = json_object();
        for (uint64_t n = below(seed, 5); n > 0; n--) {
            json_t *name = random_string(seed);
            assert_int_equal(json_object_set_new(value, json_string_value(name),
                                                 random_value(seed, depth - 1, all)),
                             0);
            json_decref(name);
        }
        return value;
    case 6:
        return json_null();
    case 7:
        return json_real((double)(int64_t)test_next_random(seed) / 1000.0);
    default:
        return random_string(seed);
    }
}

static void test_printed_values_parse_to_equal_ones_and_print_the_same_again(void **state)
{
    (void)state;
    uint64_t seed = test_seed(41);
    for (int run = 0; run < 3000; run++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        struct pbr_buf a, b;
        json_t *value = random_value(&seed, 3, run % 2), *back;
        pbr_buf_init(&a, &env, 1 << 20);
        pbr_buf_init(&b, &env, 1 << 20);
        const bool pretty = run % 2;
        check_int(pretty ? pbr_json_pretty(value, &a) : pbr_json_canonical(value, &a, NULL),
                  PBR_OK);
        check_int(pbr_json_parse(pbr_buf_span(&a), &back, NULL), PBR_OK);
        check(json_equal(value, back));
        check_int(pretty ? pbr_json_pretty(back, &b) : pbr_json_canonical(back, &b, NULL), PBR_OK);
        check_span(pbr_buf_span(&b), pbr_buf_span(&a));
        json_decref(value);
        json_decref(back);
        pbr_buf_release(&a);
        pbr_buf_release(&b);
        check_int(w.live_allocs, 0);
    }
}

static void random_manifest(uint64_t *seed, const struct pbr_env *env, struct pbr_manifest *m)
{
    static const char *const types[] = { "host", "vm", "ct" };
    struct pbr_snapshot s = { .time_s = (int64_t)test_next_random(seed) };
    (void)snprintf(s.group.type, sizeof(s.group.type), "%s", types[below(seed, 3)]);
    (void)snprintf(s.group.id, sizeof(s.group.id), "id-%u", (unsigned)below(seed, 1000));
    assert_int_equal(pbr_manifest_init(m, env, &s), PBR_OK);
    for (uint64_t n = below(seed, 30); n > 0; n--) {
        char name[32];
        uint8_t csum[PBR_DIGEST_LEN];
        (void)snprintf(name, sizeof(name), "f%u.blob", (unsigned)below(seed, 100));
        for (size_t i = 0; i < sizeof(csum); i++)
            csum[i] = (uint8_t)test_next_random(seed);
        assert_int_equal(pbr_manifest_add(m, name, (enum pbr_crypt_mode)below(seed, 3),
                                          test_next_random(seed) >> below(seed, 60) >> 1, csum),
                         PBR_OK);
    }
    json_decref(m->unprotected);
    m->unprotected = json_pack("{s:o}", "notes", random_value(seed, 3, true));
    assert_non_null(m->unprotected);
}

static void test_manifests_come_back_byte_for_byte_and_keep_their_signature(void **state)
{
    (void)state;
    uint64_t seed = test_seed(42);
    for (int run = 0; run < 300; run++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        const uint8_t id_key[32] = { (uint8_t)run }, fingerprint[32] = { 4, (uint8_t)run };
        struct pbr_manifest m, back;
        struct pbr_buf a, b;
        random_manifest(&seed, &env, &m);
        pbr_buf_init(&a, &env, 1 << 20);
        pbr_buf_init(&b, &env, 1 << 20);
        if (run % 2)
            check_int(pbr_manifest_sign(&m, id_key, fingerprint), PBR_OK);
        check_int(pbr_manifest_emit(&m, &a), PBR_OK);
        check_int(pbr_manifest_parse(&back, &env, pbr_buf_span(&a), NULL), PBR_OK);
        check_u64(back.file_nr, m.file_nr);
        for (size_t i = 0; i < m.file_nr; i++)
            assert_memory_equal(&back.files[i], &m.files[i], sizeof(m.files[i]));
        check(json_equal(back.unprotected, m.unprotected));
        check_int(pbr_manifest_verify(&back, id_key, fingerprint, NULL), PBR_OK);
        check_int(pbr_manifest_emit(&back, &b), PBR_OK);
        check_span(pbr_buf_span(&b), pbr_buf_span(&a));
        for (size_t len = 0; len < a.len; len += 1 + below(&seed, 20)) {
            struct pbr_manifest none;
            const int rc = pbr_manifest_parse(&none, &env, pbr_span(a.ptr, len), NULL);
            check(rc == PBR_E_TRUNCATED || rc == PBR_E_FORMAT);
        }
        pbr_manifest_release(&m);
        pbr_manifest_release(&back);
        pbr_buf_release(&a);
        pbr_buf_release(&b);
        check_int(w.live_allocs, 0);
    }
}

static void test_every_signed_member_is_under_the_signature(void **state)
{
    (void)state;
    uint64_t seed = test_seed(43);
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    const uint8_t key[32] = { 3 };
    struct pbr_manifest m;
    do {
        random_manifest(&seed, &env, &m);
        if (m.file_nr < 3)
            pbr_manifest_release(&m);
    } while (m.file_nr < 3);
    check_int(pbr_manifest_sign(&m, key, key), PBR_OK);

    struct pbr_snapshot *s = &m.snapshot;
    struct pbr_manifest_file *f = &m.files[1];
    uint8_t *const bytes[] = { (uint8_t *)&s->group.id[0],
                               (uint8_t *)&s->time_s,
                               (uint8_t *)&f->name[0],
                               (uint8_t *)&f->size,
                               f->csum,
                               f->csum + 31,
                               (uint8_t *)&m.signature[5] };
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        *bytes[i] ^= 1;
        check_fail(pbr_manifest_verify(&m, key, key, diag), PBR_E_INTEGRITY, "MAN-048");
        *bytes[i] ^= 1;
    }
    f->crypt_mode = (f->crypt_mode + 1) % 3;
    check_fail(pbr_manifest_verify(&m, key, key, diag), PBR_E_INTEGRITY, "MAN-048");
    f->crypt_mode = (f->crypt_mode + 2) % 3;
    m.file_nr--;
    check_fail(pbr_manifest_verify(&m, key, key, diag), PBR_E_INTEGRITY, "MAN-048");
    m.file_nr++;
    check_int(json_object_set_new(m.unprotected, "notes", json_string("changed")), 0);
    check_int(pbr_manifest_verify(&m, key, key, NULL), PBR_OK);
    pbr_manifest_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printed_values_parse_to_equal_ones_and_print_the_same_again),
        cmocka_unit_test(test_manifests_come_back_byte_for_byte_and_keep_their_signature),
        cmocka_unit_test(test_every_signed_member_is_under_the_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
