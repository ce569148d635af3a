/* SPDX-License-Identifier: MIT */
/* covers: PXAR-001 CRT-021 */
#include "test.h"

static void test_cursor_stays_bad_after_the_first_short_read(void **state)
{
    (void)state;
    const uint8_t bytes[] = { 1, 2, 3, 4, 5 };
    struct pbr_cur c = pbr_cur(pbr_span(bytes, sizeof(bytes)));

    check_u64(pbr_cur_u32le(&c), 0x04030201);
    check_u64(pbr_cur_u16le(&c), 0);
    check(c.bad);
    check_u64(pbr_cur_u8(&c), 0);
    check_u64(c.pos, 4);
}

static void test_buffer_refuses_more_than_its_maximum_and_keeps_what_it_had(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf b;

    pbr_buf_init(&b, &env, 10);
    check_int(pbr_buf_append(&b, pbr_span_str("0123456")), PBR_OK);
    check_int(pbr_buf_append(&b, pbr_span_str("789a")), PBR_E_LIMIT);
    check_span(pbr_buf_span(&b), pbr_span_str("0123456"));
    check_int(pbr_buf_append(&b, pbr_span_str("789")), PBR_OK);
    pbr_buf_drop(&b, 3);
    check_span(pbr_buf_span(&b), pbr_span_str("3456789"));
    pbr_buf_release(&b);
    check_int(w.live_allocs, 0);
}

static void test_buffer_survives_failing_allocation(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf b;

    pbr_buf_init(&b, &env, 1000);
    check_int(pbr_buf_append(&b, pbr_span_str("abc")), PBR_OK);
    w.alloc_fault.nth = 0;
    uint8_t *room;
    check_int(pbr_buf_reserve(&b, 500, &room), PBR_E_NOMEM);
    check_span(pbr_buf_span(&b), pbr_span_str("abc"));
    pbr_buf_release(&b);
    check_int(w.live_allocs, 0);
}

static void test_numbers_are_parsed_only_when_whole_and_in_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        { "0", true, 0 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "", false, 0 },
        { "-1", false, 0 },
        { "+1", false, 0 },
        { "1 ", false, 0 },
        { "007", true, 7 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t v = 99;
        check(pbr_parse_u64(pbr_span_str(cases[i].text), 0, UINT64_MAX, &v) == cases[i].ok);
        check_u64(v, cases[i].ok ? cases[i].value : 99);
    }
    int64_t s = 0;
    check(pbr_parse_i64(pbr_span_str("-9223372036854775808"), INT64_MIN, INT64_MAX, &s));
    check(s == INT64_MIN);
    check(!pbr_parse_i64(pbr_span_str("9223372036854775808"), INT64_MIN, INT64_MAX, &s));
}

static void test_names_are_ordered_bytewise_with_the_shorter_prefix_first(void **state)
{
    (void)state;
    check(pbr_span_cmp(pbr_span_str("a"), pbr_span_str("a.b")) < 0);
    check(pbr_span_cmp(pbr_span_str("a.b"), pbr_span_str("a0")) < 0);
    check(pbr_span_cmp(pbr_span_str("z"), pbr_span_str("\xff")) < 0);
    check(pbr_span_cmp(pbr_span_str("a"), pbr_span_str("a")) == 0);
}

static void test_first_failure_is_kept_and_context_is_put_before_it(void **state)
{
    (void)state;
    struct pbr_diag d = { 0 };
    char line[256];

    check_int(pbr_fail(&d, PBR_E_FORMAT, "PXAR-004", 7, "size %d", 3), PBR_E_FORMAT);
    check_int(pbr_fail_at(&d, PBR_E_IO, NULL, "later"), PBR_E_IO);
    pbr_diag_context(&d, "a.pxar");
    pbr_diag_format(&d, line, sizeof(line));
    check_str(line, "a.pxar: size 3 (offset 7, rule PXAR-004)");
    check_int(d.code, PBR_E_FORMAT);
}

static void keep_line(void *ctx, enum pbr_log_level level, const char *line)
{
    (void)snprintf(ctx, 256, "%d %s", level, line);
}

static void test_logged_failure_has_its_cause_behind_it(void **state)
{
    (void)state;
    char line[256] = "";
    const struct pbr_env env = { .ctx = line, .log = keep_line };
    struct pbr_diag d = { 0 };

    check_int(pbr_fail(&d, PBR_E_FORMAT, "PXAR-004", 7, "size 100%%"), PBR_E_FORMAT);
    pbr_log_failure(&env, PBR_LOG_WARN, &d, "no %s", "reference");
    check_str(line, "1 no reference: size 100% (offset 7, rule PXAR-004)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cursor_stays_bad_after_the_first_short_read),
        cmocka_unit_test(test_buffer_refuses_more_than_its_maximum_and_keeps_what_it_had),
        cmocka_unit_test(test_buffer_survives_failing_allocation),
        cmocka_unit_test(test_numbers_are_parsed_only_when_whole_and_in_range),
        cmocka_unit_test(test_names_are_ordered_bytewise_with_the_shorter_prefix_first),
        cmocka_unit_test(test_first_failure_is_kept_and_context_is_put_before_it),
        cmocka_unit_test(test_logged_failure_has_its_cause_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
