/* SPDX-License-Identifier: MIT */
/* covers: IDX-080 IDX-081 IDX-083 IDX-084 IDX-107 IDX-108 IDX-109 IDX-110 API-032 API-033 */
/* covers: API-034 BKP-015 RDR-070 CRY-022 */
#include "format/name.h"
#include "vector.h"

static void test_archive_names_of_the_vectors_map_as_listed(void **state)
{
    (void)state;
    static const char *const types[] = { "dynamic", "fixed", "blob" };
    json_t *top = vector_load("index");
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(top, "archive_name_mapping"), i, v)
    {
        char out[PBR_ARCHIVE_NAME_MAX + 1] = "untouched";
        struct pbr_diag d = { 0 };
        const struct pbr_span in = pbr_span_str(vector_text(v, "input"));
        const json_t *want = vector_member(v, "result");
        const int rc = pbr_name_stored(in, out, &d);
        if (json_is_null(want)) {
            char text[64];
            (void)snprintf(text, sizeof(text), "failed to parse archive type for '%s'",
                           vector_text(v, "input"));
            check_int(rc, PBR_E_ARG);
            check_str(d.rule, "RDR-070");
            check_str(d.text, text);
            check_str(out, "untouched");
            continue;
        }
        enum pbr_file_type type;
        check_int(rc, PBR_OK);
        check_str(out, vector_text(want, "name"));
        check(pbr_name_file_type(pbr_span_str(out), &type));
        check_str(types[type], vector_text(want, "type"));
    }
    check(i >= 18);
    json_decref(top);
}

static void test_archive_names_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    char name[300], out[PBR_ARCHIVE_NAME_MAX + 1];
    memset(name, 'n', sizeof(name));
    memcpy(name + 245, ".pxar", 6);
    check_int(pbr_name_stored(pbr_span(name, 250), out, NULL), PBR_OK);
    check_u64(strlen(out), 255);
    check_fail(pbr_name_stored(pbr_span_str("a\0b.pxar"), out, diag), PBR_E_ARG, "RDR-070");
    check_fail(pbr_name_stored(pbr_span("a\0b.pxar", 8), out, diag), PBR_E_ARG, "RDR-070");
    name[245] = 'n';
    memcpy(name + 246, ".pxar", 6);
    check_fail(pbr_name_stored(pbr_span(name, 251), out, diag), PBR_E_ARG, "IDX-083");
    check_fail(pbr_name_stored(pbr_span_str("dir/.pxar"), out, diag), PBR_E_ARG, "RDR-070");
    enum pbr_file_type type;
    check(!pbr_name_file_type(pbr_span_str("a.didx/b"), &type));
    check(!pbr_name_file_type(pbr_span_str(""), &type));
}

static void test_safe_ids_start_with_a_word_character(void **state)
{
    (void)state;
    static const char *const good[] = { "a", "_", "0", "a.b-c_d", "A..", "9-" };
    static const char *const wrong[] = {
        "", ".", "-a", ".a", "a/b", "a b", "\xc3\xa4", "a\n", "a:"
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        check(pbr_name_is_safe_id(pbr_span_str(good[i])));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        check(!pbr_name_is_safe_id(pbr_span_str(wrong[i])));
    check(!pbr_name_is_safe_id(pbr_span("a\0", 2)));
}

static void test_times_are_written_and_read_as_utc(void **state)
{
    (void)state;
    static const struct {
        int64_t time_s;
        const char *text;
    } cases[] = {
        { 1, "1970-01-01T00:00:01Z" },
        { 1700000000, "2023-11-14T22:13:20Z" },
        { 951782400, "2000-02-29T00:00:00Z" },
        { 951868799, "2000-02-29T23:59:59Z" },
        { 4107542400, "2100-03-01T00:00:00Z" },
        { 4107542399, "2100-02-28T23:59:59Z" },
        { 253402300799, "9999-12-31T23:59:59Z" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[PBR_TIME_TEXT + 1];
        int64_t back = 0;
        check(pbr_time_format(cases[i].time_s, text));
        check_str(text, cases[i].text);
        check(pbr_time_parse(pbr_span_str(cases[i].text), &back));
        check(back == cases[i].time_s);
    }
    char text[PBR_TIME_TEXT + 1];
    check(!pbr_time_format(0, text));
    check(!pbr_time_format(-1, text));
    check(!pbr_time_format(253402300800, text));
}

static void test_only_the_exact_form_of_a_real_time_is_read(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13:20z",
        "2023-11-14t22:13:20Z",
        "2023-11-14 22:13:20Z",
        "2023-11-14T22:13:20ZZ",
        "+023-11-14T22:13:20Z",
        "2023-1--14T22:13:20Z",
        "2023-13-14T22:13:20Z",
        "2023-00-14T22:13:20Z",
        "2023-11-31T22:13:20Z",
        "2023-11-00T22:13:20Z",
        "2023-02-29T22:13:20Z",
        "2100-02-29T22:13:20Z",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:60:20Z",
        "2023-11-14T22:13:60Z",
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int64_t t = 5;
        check(!pbr_time_parse(pbr_span_str(wrong[i]), &t));
        check(t == 5);
    }
}

static void test_any_second_can_be_shown(void **state)
{
    (void)state;
    static const struct {
        int64_t time_s;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00Z" },
        { -1, "1969-12-31T23:59:59Z" },
        { -62135596800, "0001-01-01T00:00:00Z" },
        { -62167219200, "0000-01-01T00:00:00Z" },
        { -62167219201, "-001-12-31T23:59:59Z" },
        { 253402300800, "10000-01-01T00:00:00Z" },
        { INT64_MAX, "292277026596-12-04T15:30:07Z" },
        { INT64_MIN, "-292277022657-01-27T08:29:52Z" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];
        pbr_time_format_any(cases[i].time_s, text);
        check_str(text, cases[i].text);
    }
}

static void test_times_with_zone_keep_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time_s;
        int offset_min;
        const char *again;
    } cases[] = {
        { "2023-11-14T22:13:20+00:00", 1700000000, 0, "2023-11-14T22:13:20+00:00" },
        { "2023-11-14T22:13:20Z", 1700000000, 0, "2023-11-14T22:13:20+00:00" },
        { "2023-11-14T23:13:20+01:00", 1700000000, 60, "2023-11-14T23:13:20+01:00" },
        { "2023-11-14T16:43:20-05:30", 1700000000, -330, "2023-11-14T16:43:20-05:30" },
        { "1970-01-01T00:00:00+23:59", -86340, 1439, "1970-01-01T00:00:00+23:59" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbr_zone_time t = { 0 };
        char text[PBR_ZONE_TIME_TEXT + 1];
        check(pbr_time_parse_zone(pbr_span_str(cases[i].text), &t));
        check(t.time_s == cases[i].time_s);
        check_int(t.offset_min, cases[i].offset_min);
        check(pbr_time_format_zone(&t, text));
        check_str(text, cases[i].again);
    }
    static const char *const wrong[] = {
        "2023-11-14T22:13:20",       "2023-11-14T22:13:20+0000",   "2023-11-14T22:13:20+00:60",
        "2023-11-14T22:13:20+24:00", "2023-11-14T22:13:20 00:00",  "2023-11-14T22:13:20.5Z",
        "2023-11-14T22:13:20+00-00", "2023-11-14T22:13:20+00:00Z", "2023-11-14T22:13:20z",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct pbr_zone_time t;
        check(!pbr_time_parse_zone(pbr_span_str(wrong[i]), &t));
    }
    static const struct pbr_zone_time none[] = { { 253402300799, 1 }, { -62167219200, -1 },
                                                 { INT64_MAX, 1 },    { INT64_MIN, -1 },
                                                 { 0, 1440 },         { 0, -1440 } };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        char text[PBR_ZONE_TIME_TEXT + 1];
        check(!pbr_time_format_zone(&none[i], text));
    }
}

static void check_ns(const char *ns, const char *want)
{
    struct pbr_diag d = { 0 };
    check_int(pbr_ns_check(pbr_span_str(ns), &d), want ? PBR_E_ARG : PBR_OK);
    check_str(d.text, want ? want : "");
    if (want)
        check_str(d.rule, "API-032");
}

static void test_namespaces_have_bounded_parts_depth_and_length(void **state)
{
    (void)state;
    char text[600];
    check_ns("", NULL);
    check_ns("a", NULL);
    check_ns("a/b/c/d/e/f/g", NULL);
    check_ns("a/b/c/d/e/f/g/h", "namespace too deep, 7 >= max 7");
    check_ns("/", "not a valid namespace component: ");
    check_ns("a/", "not a valid namespace component: ");
    check_ns("/a", "not a valid namespace component: ");
    check_ns("a//b", "not a valid namespace component: ");
    check_ns("a/../b", "not a valid namespace component: ..");

    memset(text, 'n', sizeof(text));
    text[255] = 0;
    check_ns(text, NULL);
    text[255] = 'n';
    text[256] = 0;
    check_ns(text, "namespace length exceeded");
    text[100] = '/';
    check_ns(text, NULL); /* 256 in all */
    text[256] = 'n';
    text[257] = 0;
    check_ns(text, "namespace length exceeded");
    text[254] = '/';
    text[256] = 0;
    check_ns(text, NULL);
    text[255] = '/';
    text[254] = 'n';
    text[256] = 'n';
    check_ns(text, "namespace length exceeded");
}

static void test_group_and_snapshot_paths_come_back_as_written(void **state)
{
    (void)state;
    struct pbr_snapshot s = { 0 };
    char text[300];
    check_int(pbr_snapshot_parse(pbr_span_str("host/web-1/2023-11-14T22:13:20Z"), &s, NULL),
              PBR_OK);
    check_str(s.group.type, "host");
    check_str(s.group.id, "web-1");
    check(s.time_s == 1700000000);
    pbr_snapshot_format(&s, text, sizeof(text));
    check_str(text, "host/web-1/2023-11-14T22:13:20Z");
    pbr_group_format(&s.group, text, sizeof(text));
    check_str(text, "host/web-1");
    struct pbr_group g;
    check_int(pbr_group_parse(pbr_span_str("vm/100"), &g, NULL), PBR_OK);
    check_str(g.type, "vm");
    check_int(pbr_group_parse(pbr_span_str("ct/x"), &g, NULL), PBR_OK);
}

static void test_malformed_paths_are_refused_with_the_original_s_text(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "host",
        "host/web-1",
        "Host/web-1/2023-11-14T22:13:20Z",
        "ct//2023-11-14T22:13:20Z",
        "ct/.x/2023-11-14T22:13:20Z",
        "ct/x/2023-11-14T22:13:20Z/",
        "ct/x/2023-11-14T22:13:20",
        "/ct/x/2023-11-14T22:13:20Z",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct pbr_snapshot s = { .time_s = 3 };
        struct pbr_diag d = { 0 };
        char text[100];
        (void)snprintf(text, sizeof(text), "unable to parse backup snapshot path '%s'", wrong[i]);
        check_int(pbr_snapshot_parse(pbr_span_str(wrong[i]), &s, &d), PBR_E_ARG);
        check_str(d.text, text);
        check_str(d.rule, "API-033");
        check(s.time_s == 3);
    }
    static const char *const groups[] = { "", "host", "host/", "host/a/b", "x/a", "host/-a" };
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        struct pbr_group g;
        check_fail(pbr_group_parse(pbr_span_str(groups[i]), &g, diag), PBR_E_ARG, "API-033");
    }
    char id[300] = "host/";
    struct pbr_group g;
    memset(id + 5, 'i', 256);
    check_int(pbr_group_parse(pbr_span(id, 5 + 255), &g, NULL), PBR_OK);
    check_fail(pbr_group_parse(pbr_span(id, 5 + 256), &g, diag), PBR_E_ARG, "API-033");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archive_names_of_the_vectors_map_as_listed),
        cmocka_unit_test(test_archive_names_that_do_not_fit_are_refused),
        cmocka_unit_test(test_safe_ids_start_with_a_word_character),
        cmocka_unit_test(test_times_are_written_and_read_as_utc),
        cmocka_unit_test(test_only_the_exact_form_of_a_real_time_is_read),
        cmocka_unit_test(test_any_second_can_be_shown),
        cmocka_unit_test(test_times_with_zone_keep_it),
        cmocka_unit_test(test_namespaces_have_bounded_parts_depth_and_length),
        cmocka_unit_test(test_group_and_snapshot_paths_come_back_as_written),
        cmocka_unit_test(test_malformed_paths_are_refused_with_the_original_s_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
