/* SPDX-License-Identifier: MIT */
/* covers: IDX-109 API-033 CRY-022 */
#include "format/name.h"
#include "test.h"

struct day {
    unsigned year, month, day;
};

static bool leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The calendar as one counts it by hand. */
static void next_day(struct day *d)
{
    static const unsigned days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (++d->day <= days[d->month - 1] + (d->month == 2 && leap(d->year) ? 1u : 0u))
        return;
    d->day = 1;
    if (++d->month <= 12)
        return;
    d->month = 1;
    d->year++;
}

static void test_every_day_up_to_9999_is_the_one_counted_by_hand(void **state)
{
    (void)state;
    uint64_t seed = test_seed(21);
    struct day d = { 1970, 1, 1 };
    for (int64_t t = 0; d.year < 10000; t += 86400, next_day(&d)) {
        char text[PBR_TIME_TEXT + 1], want[64];
        int64_t back = -1;
        const int64_t s = (int64_t)(test_next_random(&seed) % 86400);
        if (t + s == 0)
            continue;
        (void)snprintf(want, sizeof(want), "%04u-%02u-%02uT%02d:%02d:%02dZ", d.year, d.month, d.day,
                       (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
        assert_true(pbr_time_format(t + s, text));
        assert_string_equal(text, want);
        assert_true(pbr_time_parse(pbr_span_str(text), &back));
        assert_true(back == t + s);
    }
}

static void test_years_of_any_size_repeat_every_400(void **state)
{
    (void)state;
    uint64_t seed = test_seed(22);
    const int64_t era = INT64_C(146097) * 86400;
    for (int run = 0; run < 100000; run++) {
        char a[32], b[32];
        const int64_t t = (int64_t)(test_next_random(&seed) % (uint64_t)(INT64_MAX / 2 - era)) *
                          (run % 2 ? 1 : -1);
        int64_t ya = 0, yb = 0;
        pbr_time_format_any(t, a);
        pbr_time_format_any(t + era, b);
        const size_t la = strlen(a) - 16, lb = strlen(b) - 16; /* "-MM-DDTHH:MM:SSZ" */
        check_str(a + la, b + lb);
        assert_true(pbr_parse_i64(pbr_span(a, la), INT64_MIN, INT64_MAX, &ya));
        assert_true(pbr_parse_i64(pbr_span(b, lb), INT64_MIN, INT64_MAX, &yb));
        check(yb == ya + 400);
    }
}

static void test_times_with_any_zone_come_back(void **state)
{
    (void)state;
    uint64_t seed = test_seed(23);
    for (int run = 0; run < 100000; run++) {
        const struct pbr_zone_time t = {
            .time_s = (int64_t)(test_next_random(&seed) % UINT64_C(253402214400)),
            .offset_min = (int)(test_next_random(&seed) % 2879) - 1439,
        };
        struct pbr_zone_time back;
        char text[PBR_ZONE_TIME_TEXT + 1];
        assert_true(pbr_time_format_zone(&t, text));
        assert_true(pbr_time_parse_zone(pbr_span_str(text), &back));
        check(back.time_s == t.time_s && back.offset_min == t.offset_min);
    }
}

static void test_no_text_makes_the_parsers_accept_what_they_do_not_write(void **state)
{
    (void)state;
    static const char alphabet[] = "hostvmc/-:TZ0123456789.";
    uint64_t seed = test_seed(24);
    unsigned accepted = 0;
    for (int run = 0; run < 200000; run++) {
        char text[64] = "host/a/2023-11-14T22:13:20Z", again[320];
        struct pbr_snapshot s;
        for (uint64_t n = test_next_random(&seed) % 3; n > 0; n--)
            text[test_next_random(&seed) % strlen(text)] =
                alphabet[test_next_random(&seed) % (sizeof(alphabet) - 1)];
        if (pbr_snapshot_parse(pbr_span_str(text), &s, NULL) < 0)
            continue;
        accepted++;
        pbr_snapshot_format(&s, again, sizeof(again));
        check_str(again, text);
    }
    check(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_day_up_to_9999_is_the_one_counted_by_hand),
        cmocka_unit_test(test_years_of_any_size_repeat_every_400),
        cmocka_unit_test(test_times_with_any_zone_come_back),
        cmocka_unit_test(test_no_text_makes_the_parsers_accept_what_they_do_not_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
