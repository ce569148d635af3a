/* SPDX-License-Identifier: MIT */
/* covers: API-002 API-005 API-020 API-021 API-065 API-076 API-077 API-078 API-123 BKP-011 BKP-019
 * BKP-038 BKP-057 */
/* covers: BKP-066 BKP-138 BKP-242 RDR-003 */
/* Texts inside URLs and headers: percent codes, forms, paths, identities, tickets, and the requests
 * as sent. */
#include "proto/form.h"
#include "proto/identity.h"
#include "proto/request.h"
#include "test.h"

static struct test_world world;

static struct pbr_span S(const char *text) {
    return pbr_span_str(text);
}

static void
test_percent_codes_follow_the_sets(void **state)
{
    struct pbr_env env = test_env(&world);
    struct pbr_buf b;
    (void)state;

    pbr_buf_init(&b, &env, 1000);
    check_int(pbr_percent_encode(S("a b\"#<>`?{}%/:+=;,\xc3\xbc"), PBR_PERCENT_CREDENTIAL, &b),
              PBR_OK);
    check_str(pbr_buf_cstr(&b), "a%20b%22%23%3C%3E%60%3F%7B%7D%/:+=;,%C3%BC");
    pbr_buf_clear(&b);
    check_int(pbr_percent_encode(S("UPID:elsa:0-_."), PBR_PERCENT_ALL, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b), "UPID%3Aelsa%3A0%2D%5F%2E");
    pbr_buf_clear(&b);
    check_int(pbr_percent_decode(S("%41%4a+%zz%4"), &b), PBR_OK);
    check_str(pbr_buf_cstr(&b), "AJ+%zz%4");
    pbr_buf_release(&b);
    check_int(world.live_allocs, 0);
}

static void test_form_keeps_order_duplicates_and_empty_values(void **state)
{
    static const char *const want[][2] = {
        { "a", "1 2" }, { "b", "" }, { "c", "" }, { "a", "x=y&" }, { "", "v" }
    };
    struct pbr_env env = test_env(&world);
    struct pbr_form f;
    (void)state;

    check_int(pbr_form_parse(&f, &env, S("&a=1+2&b=&&c&a=x%3Dy%26&=v&")), PBR_OK);
    check_int(f.nr, sizeof(want) / sizeof(want[0]));
    for (size_t i = 0; i < f.nr; i++) {
        check_span(f.pairs[i].key, S(want[i][0]));
        check_span(f.pairs[i].value, S(want[i][1]));
    }
    pbr_form_release(&f);
    check_int(pbr_form_parse(&f, &env, S("")), PBR_OK);
    check_int(f.nr, 0);
    pbr_form_release(&f);
    check_int(world.live_allocs, 0);
}

static void test_paths_lose_empty_parts_and_refuse_dots(void **state)
{
    static const char *const bad[] = { "/.", "/a/..", "/a/.hidden/b", "/%2e%2e", "/a%00b" };
    struct pbr_path p;
    (void)state;

    check_int(pbr_path_parse(&p, S("//api2//json/x%2Fy/"), NULL), PBR_OK);
    check_int(p.nr, 3);
    check_str(p.part[0], "api2");
    check_str(p.part[1], "json");
    check_str(p.part[2], "x/y");
    check_int(pbr_path_parse(&p, S(""), NULL), PBR_OK);
    check_int(p.nr, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_fail(pbr_path_parse(&p, S(bad[i]), diag), PBR_E_FORMAT, "API-002");
    check_fail(pbr_path_parse(&p, S("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"), diag),
               PBR_E_LIMIT, "API-002");
    check_int(p.nr, 0); /* untouched by failures */
}

static void test_utf8_is_told_from_everything_else(void **state)
{
    static const struct {
        const char *text;
        size_t bad; /* offset, or SIZE_MAX: valid */
    } cases[] = { { "plain \xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80", SIZE_MAX },
                  { "\x80", 0 },
                  { "a\xc3", 1 },
                  { "ab\xc0\xaf", 2 },
                  { "\xed\xa0\x80", 0 },
                  { "\xe0\x80\x80", 0 },
                  { "\xf4\x90\x80\x80", 0 },
                  { "\xf0\x80\x80\x80", 0 },
                  { "x\xff", 1 } };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t at = SIZE_MAX;
        check_int(pbr_utf8_valid(S(cases[i].text), &at), cases[i].bad == SIZE_MAX);
        check_u64(at, cases[i].bad);
    }
}

static void test_identities_follow_the_patterns(void **state)
{
    static const struct {
        const char *id;
        bool user, auth;
    } cases[] = { { "root@pam", true, true },    { "a@b@pam", true, true },
                  { "x!y@pbs", true, true },     { "root@pam!t1", false, true },
                  { "root@p", false, false },    { "root", false, false },
                  { "@pam", false, false },      { "a b@pam", false, false },
                  { "a:b@pam", false, false },   { "a/b@pam", false, false },
                  { "root@pam!", false, false }, { "root@pam!.x", false, false } };
    bool is_token;
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_int(pbr_userid_ok(S(cases[i].id)), cases[i].user);
        check_int(pbr_authid_ok(S(cases[i].id)), cases[i].auth);
    }
    check_span(pbr_authid_user(S("x!y@pbs!t"), &is_token), S("x!y@pbs"));
    check(is_token);
    check_span(pbr_authid_user(S("x!y@pbs"), &is_token), S("x!y@pbs"));
    check(!is_token);
}

static void test_owner_rule_lets_users_write_to_what_their_tokens_own(void **state)
{
    (void)state;
    check(pbr_owner_ok(S("u@pam"), S("u@pam")));
    check(pbr_owner_ok(S("u@pam"), S("u@pam!t")));
    check(pbr_owner_ok(S("u@pam!t"), S("u@pam!t")));
    check(!pbr_owner_ok(S("u@pam!t"), S("u@pam")));
    check(!pbr_owner_ok(S("u@pam!a"), S("u@pam!b")));
    check(!pbr_owner_ok(S("v@pam"), S("u@pam!t")));
}

static void test_tickets_are_read_back_and_expire(void **state)
{
    struct pbr_env env = test_env(&world);
    struct pbr_span user;
    struct pbr_buf b;
    int64_t time_s;
    (void)state;

    pbr_buf_init(&b, &env, 1000);
    check_int(pbr_ticket_emit(S("a{b@pam"), 1700000000, S("SEAL"), &b), PBR_OK);
    check_str(pbr_buf_cstr(&b), "PBS:a%7Bb@pam:6553F100::SEAL");
    check(pbr_ticket_parse(pbr_buf_span(&b), &user, &time_s));
    check_span(user, S("a%7Bb@pam"));
    check_int(time_s, 1700000000);
    pbr_buf_release(&b);
    check(!pbr_ticket_parse(S("PBS:u@pam:6553F100:SEAL"), &user, &time_s));
    check(!pbr_ticket_parse(S("PBS:u@pam:6553f100::SEAL"), &user, &time_s));
    check(!pbr_ticket_parse(S("PBS:u@pam:123::SEAL"), &user, &time_s));
    check(!pbr_ticket_parse(S("PVE:u@pam:6553F100::SEAL"), &user, &time_s));
    check(pbr_ticket_fresh(1000, 1000 + 7199));
    check(!pbr_ticket_fresh(1000, 1000 + 7200));
    check(pbr_ticket_fresh(1300, 1000));
    check(!pbr_ticket_fresh(1301, 1000));
}

static void test_credentials_are_found_in_headers(void **state)
{
    static const char *const bad[] = { "PBSAPIToken:u@pam!t:s", "pbsapitoken u@pam!t:s",
                                       "PBSAPIToken", "PBSAPIToken=x", "Basic abc" };
    struct pbr_span id, secret, value;
    (void)state;

    check(pbr_token_header_parse(S("PBSAPIToken u@pam!t:a:b"), &id, &secret));
    check_span(id, S("u@pam!t"));
    check_span(secret, S("a:b"));
    check(pbr_token_header_parse(S("PBSAPIToken=u@pam!t:s"), &id, &secret));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check(!pbr_token_header_parse(S(bad[i]), &id, &secret));
    check(pbr_cookie_find(S("a=1; PBSAuthCookie=PBS:x=y;  b=2"), "PBSAuthCookie", &value));
    check_span(value, S("PBS:x=y"));
    check(pbr_cookie_find(S("a=1;b=2"), "b", &value));
    check(!pbr_cookie_find(S("xPBSAuthCookie=1"), "PBSAuthCookie", &value));
}

static void test_upgrade_paths_are_those_of_the_original(void **state)
{
    struct pbr_env env = test_env(&world);
    struct pbr_upgrade u = { .store = "store1", .debug = true };
    struct pbr_buf b;
    (void)state;

    check_int(pbr_snapshot_parse(S("host/elsa/2023-11-14T22:13:20Z"), &u.snapshot, NULL), PBR_OK);
    pbr_buf_init(&b, &env, 1000);
    check_int(pbr_upgrade_path(PBR_API_BACKUP, &u, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b),
              "//api2/json/backup?backup-id=elsa&backup-time=1700000000&backup-type=host"
              "&benchmark=false&debug=true&store=store1");
    pbr_buf_clear(&b);
    u.ns = "a/b";
    u.no_cache = true;
    check_int(pbr_upgrade_path(PBR_API_BACKUP, &u, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b),
              "//api2/json/backup?backup-id=elsa&backup-time=1700000000&backup-type=host"
              "&benchmark=false&debug=true&no-cache=true&ns=a%2Fb&store=store1");
    pbr_buf_clear(&b);
    check_int(pbr_upgrade_path(PBR_API_READER, &u, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b),
              "//api2/json/reader?backup-id=elsa&backup-time=1700000000&backup-type=host"
              "&debug=true&ns=a%2Fb&store=store1");
    pbr_buf_release(&b);
}

static void test_calls_are_written_as_recorded(void **state)
{
    struct pbr_env env = test_env(&world);
    uint8_t d[32];
    struct pbr_buf b;
    (void)state;

    check(pbr_parse_hex(S("831a657687cbf14b8a3a7671dc6254ed554a14f8d79091d32ccec75edeaa748f"), d,
                        32));
    pbr_buf_init(&b, &env, 2000);
    check_int(pbr_request_create(false, "root.pxar.didx", false, 0, &b), PBR_OK);
    check_int(pbr_request_create(true, "disk.img.fidx", true, 9388608, &b), PBR_OK);
    check_int(pbr_request_blob("etc.conf.blob", 23, &b), PBR_OK);
    check_int(pbr_request_previous("index.json.blob", &b), PBR_OK);
    check_int(pbr_request_download("root.pxar.didx", &b), PBR_OK);
    check_str(pbr_buf_cstr(&b),
              "/dynamic_index?archive-name=root.pxar.didx"
              "/fixed_index?archive-name=disk.img.fidx&size=9388608"
              "/blob?encoded-size=23&file-name=etc.conf.blob"
              "/previous?archive-name=index.json.blob/download?file-name=root.pxar.didx");
    pbr_buf_clear(&b);
    check_int(pbr_request_chunk(false, 1, d, 834, 323, &b), PBR_OK);
    check_str(
        pbr_buf_cstr(&b),
        "/dynamic_chunk?digest=831a657687cbf14b8a3a7671dc6254ed554a14f8d79091d32ccec75edeaa748f"
        "&encoded-size=323&size=834&wid=1");
    pbr_buf_clear(&b);
    check_int(pbr_request_close(true, 3, 1, 834, d, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b), "/fixed_close?chunk-count=1&csum="
                                "831a657687cbf14b8a3a7671dc6254ed554a14f8d79091d32ccec75edeaa748f"
                                "&size=834&wid=3");
    pbr_buf_clear(&b);
    check_int(pbr_request_get_chunk(d, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b),
              "/chunk?digest=831a657687cbf14b8a3a7671dc6254ed554a14f8d79091d32ccec75edeaa748f");
    pbr_buf_release(&b);
}

static void test_append_body_is_the_example_of_the_specification(void **state)
{
    static const char h1[] = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    static const char h2[] = "11770b3ea657fe68cba19675143e4715c8de9d763d3c21a85af6b7513d43997d";
    struct pbr_env env = test_env(&world);
    struct pbr_append_entry e[3] = { { .off = 0 }, { .off = 11 }, { .off = 16 } };
    char want[600];
    struct pbr_buf b;
    (void)state;

    check(pbr_parse_hex(S(h1), e[0].digest, 32) && pbr_parse_hex(S(h2), e[1].digest, 32) &&
          pbr_parse_hex(S(h1), e[2].digest, 32));
    snprintf(want, sizeof(want),
             "{\"digest-list\":[\"%s\",\"%s\",\"%s\"],\"offset-list\":[0,11,16],\"wid\":1}", h1, h2,
             h1);
    pbr_buf_init(&b, &env, 1000);
    check_int(pbr_append_body(1, e, 3, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b), want);
    pbr_buf_release(&b);
    check_int(world.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent_codes_follow_the_sets),
        cmocka_unit_test(test_form_keeps_order_duplicates_and_empty_values),
        cmocka_unit_test(test_paths_lose_empty_parts_and_refuse_dots),
        cmocka_unit_test(test_utf8_is_told_from_everything_else),
        cmocka_unit_test(test_identities_follow_the_patterns),
        cmocka_unit_test(test_owner_rule_lets_users_write_to_what_their_tokens_own),
        cmocka_unit_test(test_tickets_are_read_back_and_expire),
        cmocka_unit_test(test_credentials_are_found_in_headers),
        cmocka_unit_test(test_upgrade_paths_are_those_of_the_original),
        cmocka_unit_test(test_calls_are_written_as_recorded),
        cmocka_unit_test(test_append_body_is_the_example_of_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
