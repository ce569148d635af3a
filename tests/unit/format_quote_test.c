/* SPDX-License-Identifier: MIT */
/* covers: EXT-141 */
#include "test.h"

#include "format/quote.h"

static const struct {
    const char *in;
    size_t len; /* 0: up to the NUL */
    const char *want;
} CASES[] = {
    { "/plain", 0, "\"/plain\"" },
    { "", 0, "\"\"" },
    { "a\"b\\c'd", 0, "\"a\\\"b\\\\c'd\"" },
    { "\t\n\r", 0, "\"\\t\\n\\r\"" },
    { "a\0b", 3, "\"a\\0b\"" },
    { "\x1b\x7f\x01", 0, "\"\\u{1b}\\u{7f}\\u{1}\"" },
    { "\xc2\xa0", 0, "\"\\u{a0}\"" },                 /* no-break space */
    { "\xe2\x80\x8b", 0, "\"\\u{200b}\"" },           /* zero width space */
    { "e\xcc\x81", 0, "\"e\\u{301}\"" },              /* combining acute */
    { "\xc3\xa4\xe2\x82\xac", 0, "\"\xc3\xa4\xe2\x82\xac\"" }, /* printable */
    { "\xe3\x80\xae", 0, "\"\\u{302e}\"" },           /* Mc, but extends graphemes */
    { "\xf0\x9f\x98\x80", 0, "\"\xf0\x9f\x98\x80\"" },
    { "\xee\x80\x80", 0, "\"\\u{e000}\"" },           /* private use */
    { "\xff\xfe", 0, "\"\\xFF\\xFE\"" },
    { "a\x80z", 0, "\"a\\x80z\"" },
    { "\xc0\xaf", 0, "\"\\xC0\\xAF\"" },              /* overlong */
    { "\xed\xa0\x80", 0, "\"\\xED\\xA0\\x80\"" },     /* surrogate */
    { "\xf4\x90\x80\x80", 0, "\"\\xF4\\x90\\x80\\x80\"" },
    { "\xe2\x82", 0, "\"\\xE2\\x82\"" },              /* cut short */
    { "\xe2\x82/\xc3", 0, "\"\\xE2\\x82/\\xC3\"" },
};

static void test_names_are_quoted_as_the_original_does(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct pbr_buf out;
        const size_t len = CASES[i].len ? CASES[i].len : strlen(CASES[i].in);
        pbr_buf_init(&out, &env, 1000);
        check_int(pbr_quote(pbr_span(CASES[i].in, len), &out), PBR_OK);
        check_str(pbr_buf_cstr(&out), CASES[i].want);
        pbr_buf_release(&out);
    }
}

static void test_a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf out;
    pbr_buf_init(&out, &env, 10);
    check_int(pbr_buf_append(&out, pbr_span_str("keep")), PBR_OK);
    check_int(pbr_quote(pbr_span_str("\xff\xff\xff"), &out), PBR_E_LIMIT);
    check_str(pbr_buf_cstr(&out), "keep");
    pbr_buf_release(&out);
}

static void test_the_table_is_the_categories_of_the_rule(void **state)
{
    (void)state;
    static const uint32_t yes[] = { 0,      0x1f,   0x7f,   0xa0,    0xad,    0x300,    0x378,   0x488,   0x2028,
                                    0x2029, 0x3000, 0xfeff, 0xff9e,  0x1d165, 0xe0001,  0xf0000, 0x10ffff };
    static const uint32_t no[] = { 0x20, 0x7e, 0xa1, 0xff, 0x377, 0x903, 0x2027, 0x4e00, 0xfffd, 0x1f600 };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        check(pbr_quote_is_escaped(yes[i]));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        check(!pbr_quote_is_escaped(no[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_quoted_as_the_original_does),
        cmocka_unit_test(test_a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(test_the_table_is_the_categories_of_the_rule),
    };
    return cmocka_run_group_tests_name("format_quote", tests, NULL, NULL);
}
