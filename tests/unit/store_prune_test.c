/* SPDX-License-Identifier: MIT */
/* covers: API-107 API-108 */
/* The selection of a prune. Cases are written as text: one snapshot per word, newest first, "day.hour" counted from
 * 2023-11-06 (a Monday), with '?' unfinished and '!' protected behind; the expectation has one letter each: k keep,
 * p partial, P protected, r remove. */
#include "store_fixture.h"

#include <time.h>

#define MONDAY INT64_C(1699228800) /* 2023-11-06T00:00:00Z */

/* Periods in UTC, so that the tests do not depend on the zone. */
static void utc(void *ctx, enum pbr_prune_period period, int64_t time_s, char out[PBR_PRUNE_PERIOD_TEXT])
{
    const time_t t = (time_t)time_s;
    struct tm tm;
    (void)ctx;
    assert_non_null(gmtime_r(&t, &tm));
    switch (period) {
    case PBR_PRUNE_HOUR: (void)!strftime(out, PBR_PRUNE_PERIOD_TEXT, "%Y%m%d%H", &tm); break;
    case PBR_PRUNE_DAY: (void)!strftime(out, PBR_PRUNE_PERIOD_TEXT, "%Y%m%d", &tm); break;
    case PBR_PRUNE_WEEK: (void)!strftime(out, PBR_PRUNE_PERIOD_TEXT, "%G-%V", &tm); break;
    case PBR_PRUNE_MONTH: (void)!strftime(out, PBR_PRUNE_PERIOD_TEXT, "%Y%m", &tm); break;
    case PBR_PRUNE_YEAR: (void)!strftime(out, PBR_PRUNE_PERIOD_TEXT, "%Y", &tm); break;
    }
}

static size_t parse(const char *text, struct pbr_prune_item items[32])
{
    size_t nr = 0;
    while (*text) {
        char *end;
        const long day = strtol(text, &end, 10);
        const long hour = *end == '.' ? strtol(end + 1, &end, 10) : 0;
        items[nr] = (struct pbr_prune_item){ .time_s = MONDAY + day * 86400 + hour * 3600, .finished = true };
        for (; *end && *end != ' '; end++) {
            items[nr].finished = items[nr].finished && *end != '?';
            items[nr].is_protected = items[nr].is_protected || *end == '!';
        }
        nr++;
        text = *end ? end + 1 : end;
    }
    return nr;
}

static void check_case(struct pbr_prune_keep keep, const char *snapshots, const char *want)
{
    static const char letters[] = { '?', 'k', 'p', 'P', 'r' };
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_prune_item items[32];
    char got[33] = "";
    const size_t nr = parse(snapshots, items);
    check_ok(pbr_prune_select(&env, &keep, utc, NULL, items, nr, diag));
    for (size_t i = 0; i < nr; i++)
        got[i] = letters[items[i].mark];
    got[nr] = 0;
    if (strcmp(got, want) != 0)
        fail_msg("%s: got %s, want %s", snapshots, got, want);
    check_int(w.live_allocs, 0);
}

#define KEEP(...) ((struct pbr_prune_keep){ __VA_ARGS__ })

static void test_without_options_everything_stays(void **state)
{
    (void)state;
    check_case(KEEP(0), "3 2 1? 0!", "kkkP");
    check_case(KEEP(0), "", "");
}

static void test_keep_last_counts_snapshots(void **state)
{
    (void)state;
    check_case(KEEP(.last = 2), "3 2 1 0", "kkrr");
    check_case(KEEP(.last = 9), "3 2 1 0", "kkkk");
    check_case(KEEP(.last = 1), "0 1 2 3", "rrrk"); /* order of the input does not matter */
}

static void test_each_rule_keeps_the_newest_of_a_period(void **state)
{
    (void)state;
    check_case(KEEP(.daily = 2), "3.9 3.1 2.7 2.3 1.1", "krkrr");
    check_case(KEEP(.hourly = 2), "3.9 3.8 3.7", "kkr");
    check_case(KEEP(.weekly = 2), "8 7 6 5 0 -1", "krkrrr");  /* ISO weeks begin on Monday */
    check_case(KEEP(.monthly = 2), "1 0 -6 -7", "krkr");      /* 2023-11-07, 06; 2023-10-31, 30 */
    check_case(KEEP(.yearly = 2), "60 56 55 0", "krkr");      /* 2024-01-05, 01; 2023-12-31 */
    check_case(KEEP(.weekly = 1), "56 55", "kr");             /* 2024-01-01 is in week 1, 2023-12-31 in week 52 */
}

static void test_periods_of_earlier_rules_are_covered_and_cost_nothing(void **state)
{
    (void)state;
    check_case(KEEP(.last = 1, .daily = 2), "3.9 3.1 2.7 2.3 1.1 0", "krkrkr");
    check_case(KEEP(.daily = 2, .weekly = 1), "8 7 6 5 -1", "kkkrr");
    check_case(KEEP(.last = 2, .hourly = 1, .daily = 1), "3.9 3.8 3.7 2", "kkkk");
}

static void test_protected_ones_stay_and_do_not_count(void **state)
{
    (void)state;
    check_case(KEEP(.last = 1), "3! 2 1", "Pkr");
    check_case(KEEP(.daily = 1), "3.9! 3.1 2", "Pkr"); /* nor do they cover their period */
}

static void test_unfinished_ones_stay_only_as_the_newest(void **state)
{
    (void)state;
    check_case(KEEP(.last = 1), "3? 2 1?", "pkr");
    check_case(KEEP(.last = 1), "3? 2? 1", "prk");
    check_case(KEEP(.last = 2), "3 2? 1 0", "krkr");
}

static void test_local_periods_follow_the_zone(void **state)
{
    char a[PBR_PRUNE_PERIOD_TEXT], b[PBR_PRUNE_PERIOD_TEXT];
    (void)state;
    const char *before = getenv("TZ");
    char *saved = before ? strdup(before) : NULL;
    setenv("TZ", "EET-02", 1); /* two hours east */
    tzset();
    pbr_prune_local(NULL, PBR_PRUNE_DAY, MONDAY - 1, a);
    pbr_prune_local(NULL, PBR_PRUNE_DAY, MONDAY, b);
    check_str(a, "2023/11/06");
    check_str(b, "2023/11/06");
    pbr_prune_local(NULL, PBR_PRUNE_HOUR, MONDAY, b);
    check_str(b, "2023/11/06/02");
    pbr_prune_local(NULL, PBR_PRUNE_WEEK, MONDAY, b);
    check_str(b, "2023/45");
    pbr_prune_local(NULL, PBR_PRUNE_MONTH, MONDAY, b);
    check_str(b, "2023/11");
    pbr_prune_local(NULL, PBR_PRUNE_YEAR, MONDAY, b);
    check_str(b, "2023");
    if (saved)
        setenv("TZ", saved, 1);
    else
        unsetenv("TZ");
    free(saved);
    tzset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_options_everything_stays),
        cmocka_unit_test(test_keep_last_counts_snapshots),
        cmocka_unit_test(test_each_rule_keeps_the_newest_of_a_period),
        cmocka_unit_test(test_periods_of_earlier_rules_are_covered_and_cost_nothing),
        cmocka_unit_test(test_protected_ones_stay_and_do_not_count),
        cmocka_unit_test(test_unfinished_ones_stay_only_as_the_newest),
        cmocka_unit_test(test_local_periods_follow_the_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
