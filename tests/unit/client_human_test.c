/* SPDX-License-Identifier: MIT */
/* covers: CLI-016 CLI-017 CLI-018 */
#include "test.h"

#include "client/human.h"

#define KIB UINT64_C(1024)
#define SEC UINT64_C(1000000000)

static void test_sizes_have_binary_units_and_three_decimals(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        { 0, "0 B" },
        { 1, "1 B" },
        { 1023, "1023 B" },
        { KIB, "1 KiB" },
        { KIB + 1, "1.001 KiB" },
        { KIB * KIB - 1, "1023.999 KiB" },
        { KIB * KIB * 3 / 2, "1.5 MiB" },
        { 4 << 20, "4 MiB" },
        { 1325000000, "1.234 GiB" },
        { KIB * KIB * KIB * KIB, "1 TiB" },
        { KIB * KIB * KIB * KIB * KIB, "1 PiB" },
        { UINT64_MAX, "16384 PiB" }, /* the largest unit there is */
        { 100 * KIB, "100 KiB" },    /* zeros before the point stay */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[PBR_HUMAN_MAX];
        pbr_human_size(rows[i].bytes, out);
        check_str(out, rows[i].text);
    }
}

static void test_rates_are_sizes_a_second(void **state)
{
    (void)state;
    char out[PBR_HUMAN_MAX];
    pbr_human_rate(3 << 20, 2 * SEC, out);
    check_str(out, "1.5 MiB");
    pbr_human_rate(1, 2 * SEC, out);
    check_str(out, "0.5 B");
    pbr_human_rate(100, 0, out);
    check_str(out, "0 B");
}

static void test_spans_have_only_parts_that_count(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {
        { 0, "0s" },
        { 1, "<0.1s" },
        { SEC / 10 - 1, "<0.1s" },
        { SEC / 10, "0.1s" },
        { SEC * 45, "45s" },
        { SEC * 60, "1m" },
        { SEC * 3723 + SEC / 2, "1h 2m 3.5s" },
        { SEC * 3600 + 1, "1h" },
        { SEC * 86400 * 8, "1w 1d" },
        { SEC * (31557600 + 2630016), "1y 1M" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[PBR_HUMAN_MAX];
        pbr_human_span(rows[i].ns, out);
        check_str(out, rows[i].text);
    }
    char out[PBR_HUMAN_MAX];
    pbr_human_span(UINT64_MAX, out); /* the longest there is fits */
    check(strlen(out) < PBR_HUMAN_MAX - 1);
}

static void test_sizes_are_read_in_both_systems(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        { "0", 0 },          { "123", 123 },          { "123B", 123 },       { "1k", 1000 },         { "500K", 500000 },
        { "1KB", 1000 },     { "1Ki", 1024 },         { "1KiB", 1024 },      { "1.5 MiB", 1572864 }, { "10G", 10000000000 },
        { "1t", UINT64_C(1000000000000) },            { "1PiB", UINT64_C(1) << 50 },                 { ".5k", 500 },
    };
    static const char *const bad[] = { "", " ", "k", ".", "-1", "1x", "1 x", "1kk", "1kbb", "1  k", " 1", "1k ", "0x10",
                                       "99999999999999999999", "20000PiB", "1e3" };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t got = 1;
        check(pbr_human_parse_size(pbr_span_str(good[i].text), &got));
        check_u64(got, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t got = 77;
        if (pbr_human_parse_size(pbr_span_str(bad[i]), &got))
            print_error("accepted: '%s'\n", bad[i]);
        check_u64(got, 77);
    }
    uint64_t got;
    check(!pbr_human_parse_size(pbr_span("1\0", 2), &got));
    check(!pbr_human_parse_size(pbr_span(NULL, 0), &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_have_binary_units_and_three_decimals),
        cmocka_unit_test(test_rates_are_sizes_a_second),
        cmocka_unit_test(test_spans_have_only_parts_that_count),
        cmocka_unit_test(test_sizes_are_read_in_both_systems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
