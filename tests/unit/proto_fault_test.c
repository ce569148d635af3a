/* SPDX-License-Identifier: MIT */
/* The fault language: what is accepted, what a spec means, and which matches fire. */
#include "proto/fault.h"
#include "test.h"

static struct pbr_fault_spec parse(const char *text)
{
    struct pbr_fault_spec f;
    struct pbr_diag d = { 0 };

    if (pbr_fault_spec_parse(&f, pbr_span_str(text), &d) < 0) {
        print_error("%s: %s\n", text, d.text);
        fail();
    }
    return f;
}

static void test_specs_are_understood(void **state)
{
    static const struct {
        const char *text;
        enum pbr_fault_where where;
        enum pbr_fault_what what;
        const char *method, *pattern;
        uint64_t first, last, value;
    } cases[] = {
        { "POST /dynamic_chunk#3:status=503", PBR_FAULT_AT_REQUEST, PBR_FAULT_STATUS, "POST",
          "/dynamic_chunk", 3, 3, 503 },
        { "GET *snapshots#2+:delay=250", PBR_FAULT_AT_REQUEST, PBR_FAULT_DELAY, "GET", "*snapshots",
          2, UINT64_MAX, 250 },
        { "accept:reset", PBR_FAULT_AT_ACCEPT, PBR_FAULT_RESET, "*", "*", 1, 1, 0 },
        { "upgrade reader#*:close", PBR_FAULT_AT_UPGRADE, PBR_FAULT_CLOSE, "*", "reader", 1,
          UINT64_MAX, 0 },
        { "upgrade#1:window=1000", PBR_FAULT_AT_UPGRADE, PBR_FAULT_WINDOW, "*", "*", 1, 1, 1000 },
        { "chunk-read abcd*#1:corrupt=4", PBR_FAULT_AT_CHUNK_READ, PBR_FAULT_CORRUPT, "*", "abcd*",
          1, 1, 4 },
        { "chunk-write#9:enospc", PBR_FAULT_AT_CHUNK_WRITE, PBR_FAULT_ENOSPC, "*", "*", 9, 9, 0 },
        { "* *#1:lie=size", PBR_FAULT_AT_REQUEST, PBR_FAULT_LIE_SIZE, "*", "*", 1, 1, 0 },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct pbr_fault_spec f = parse(cases[i].text);
        check_int(f.where, cases[i].where);
        check_int(f.what, cases[i].what);
        check_str(f.method, cases[i].method);
        check_str(f.pattern, cases[i].pattern);
        check_u64(f.first, cases[i].first);
        check_u64(f.last, cases[i].last);
        check_u64(f.value, cases[i].value);
    }
    check_str(parse("GET /x#1:status=500,a, b: c#d").text, "a, b: c#d");
}

static void test_bad_specs_are_refused_and_leave_the_output(void **state)
{
    static const char *const bad[] = { "",
                                       "accept",
                                       "accept#1",
                                       "accept#0:reset",
                                       "accept#x:reset",
                                       "accept#1:nothing",
                                       "GET#1:reset",
                                       "accept#1:delay",
                                       "accept#1:delay=x",
                                       "accept#1:status=99",
                                       "accept#1:status=600",
                                       "accept#1:reset=1",
                                       "GET /x#1:window=5",
                                       "#1:reset",
                                       "accept#1:lie=other" };
    struct pbr_fault_spec f = { .value = 77 };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pbr_diag d = { 0 };
        check_int(pbr_fault_spec_parse(&f, pbr_span_str(bad[i]), &d), PBR_E_ARG);
        check(d.text[0] != '\0');
        check_u64(f.value, 77);
    }
}

static void test_only_the_stated_matches_fire(void **state)
{
    struct pbr_fault_spec third = parse("POST /chunk#3:reset"), onward = parse("* /c*#2+:reset");
    (void)state;

    for (int i = 1; i <= 5; i++) {
        check(!pbr_fault_spec_step(&third, PBR_FAULT_AT_REQUEST, "GET", "/chunk"));
        check(!pbr_fault_spec_step(&third, PBR_FAULT_AT_ACCEPT, "POST", "/chunk"));
        check(!pbr_fault_spec_step(&third, PBR_FAULT_AT_REQUEST, "POST", "/chunks"));
        check_int(pbr_fault_spec_step(&third, PBR_FAULT_AT_REQUEST, "POST", "/chunk"), i == 3);
        check_int(pbr_fault_spec_step(&onward, PBR_FAULT_AT_REQUEST, "PUT", "/close"), i >= 2);
    }
}

static void test_patterns_match_whole_texts(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = { { "*", "", true },          { "", "", true },       { "", "a", false },
                  { "a?c", "abc", true },     { "a?c", "ac", false }, { "a*c", "abbc", true },
                  { "a*c", "abcd", false },   { "*b*", "abc", true }, { "**a", "xxa", true },
                  { "*a*b*", "xaxxb", true }, { "*a*b", "ba", false } };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_int(pbr_pattern_match(cases[i].pattern, cases[i].text), cases[i].match);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_specs_are_understood),
        cmocka_unit_test(test_bad_specs_are_refused_and_leave_the_output),
        cmocka_unit_test(test_only_the_stated_matches_fire),
        cmocka_unit_test(test_patterns_match_whole_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
