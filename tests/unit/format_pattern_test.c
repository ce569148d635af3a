/* SPDX-License-Identifier: MIT */
/* covers: CRT-048 CRT-050 CRT-070 CRT-071 CRT-072 CRT-073 CRT-074 CRT-075 CRT-076 CRT-077 CRT-078 CRT-079 CRT-080 CRT-081
 * CRT-082 CRT-083 CRT-085 CRT-086 CRT-087 CRT-088 CRT-089 CRT-092 CRT-093 CRT-094 */
#include "test.h"

#include <jansson.h>

#include "base/limits.h"
#include "format/pattern.h"

#define FILE_MODE UINT64_C(0100644)
#define DIR_MODE UINT64_C(0040755)
#define LINK_MODE UINT64_C(0120777)

static bool matches(const struct pbr_env *env, const char *text, const char *path, uint64_t mode, bool anchored)
{
    struct pbr_pattern *p = NULL;
    check_int(pbr_pattern_parse(env, pbr_span_str(text), false, anchored, &p, NULL), PBR_OK);
    const bool yes = pbr_pattern_matches(p, pbr_span_str(path), mode);
    pbr_pattern_free(p);
    return yes;
}

static const struct {
    const char *pattern, *path;
    bool dir, anchored, want;
} EXAMPLES[] = {
    { "foo", "/foo", 0, 0, 1 },
    { "foo", "/a/foo", 0, 0, 1 },
    { "foo", "/foo/a", 0, 0, 0 },
    { "foo", "/xfoo", 0, 0, 0 },
    { "/foo", "/foo", 0, 0, 1 },
    { "/foo", "/a/foo", 0, 0, 0 },
    { "foo/", "/foo", 1, 0, 1 },
    { "foo/", "/foo", 0, 0, 0 },
    { "a/b", "/a/b", 0, 0, 1 },
    { "a/b", "/x/a/b", 0, 0, 1 },
    { "a/b", "/xa/b", 0, 0, 0 },
    { "*", "/a", 0, 0, 1 },
    { "*", "/a/b", 0, 0, 1 },
    { "/*", "/a", 0, 0, 1 },
    { "/*", "/a/b", 0, 0, 0 },
    { "/a/*", "/a/b", 0, 0, 1 },
    { "/a/*", "/a/b/c", 0, 0, 0 },
    { "/a/**", "/a/b", 0, 0, 1 },
    { "/a/**", "/a/b/c", 0, 0, 1 },
    { "/a/**", "/a", 0, 0, 0 },
    { "**/foo", "/foo", 0, 0, 1 },
    { "**/foo", "/a/b/foo", 0, 0, 1 },
    { "/**/foo", "/foo", 0, 0, 1 },
    { "/**/foo", "/a/b/foo", 0, 0, 1 },
    { "*/foo", "/foo", 0, 0, 1 },
    { "*/foo", "/a/foo", 0, 0, 1 },
    { "a/**/b", "/a/b", 0, 0, 1 },
    { "a/**/b", "/a/x/y/b", 0, 0, 1 },
    { "a/**/b", "/a/xb", 0, 0, 0 },
    { "a**b", "/axxb", 0, 0, 1 },
    { "a**b", "/axx/b", 0, 0, 0 },
    { "?", "/a", 0, 0, 1 },
    { "?", "/ab", 0, 0, 0 },
    { "a?b", "/a/b", 0, 0, 0 },
    { "x*/y", "/xa/y", 0, 0, 1 },
    { "x*/y", "/xa/b/y", 0, 0, 0 },
    { "*.txt", "/.txt", 0, 0, 1 },
    { "*.txt", "/a.txt", 0, 0, 1 },
    { "[^ab]", "/c", 0, 0, 1 },
    { "[^ab]", "/a", 0, 0, 0 },
    { "[!ab]", "/a", 0, 0, 1 },
    { "[!ab]", "/!", 0, 0, 1 },
    { "[!ab]", "/c", 0, 0, 0 },
    { "[c-a]", "/b", 0, 0, 1 },
    { "\\*", "/*", 0, 0, 1 },
    { "\\*", "/a", 0, 0, 0 },
    { "**/", "/a/b", 1, 0, 1 },
    { "**/", "/a/b", 0, 0, 0 },
    { "sub/foo", "/sub/foo", 0, 1, 0 },
    { "/sub/foo", "/sub/foo", 0, 1, 1 },
    { "/sub/foo", "/x/sub/foo", 0, 1, 0 },
    /* quirks of classes */
    { "[]", "/a", 0, 0, 0 },
    { "[^]", "/a", 0, 0, 1 },
    { "[]a]", "/a]", 0, 0, 0 },
    { "a[^x]b", "/a/b", 0, 0, 1 },
    { "a[^/]b", "/a/b", 0, 0, 0 },
    { "[a-\\]]", "/^", 0, 0, 1 },
    { "[-a]", "/-", 0, 0, 1 },
    { "[a-c-e]", "/-", 0, 0, 1 },
    { "[a-c-e]", "/d", 0, 0, 0 },
    { "[[:digit:]-]", "/-", 0, 0, 1 },
    { "[[:print:]]", "/\x7f", 0, 0, 1 },
    { "[[:space:]]", "/\v", 0, 0, 0 },
    { "[[:space:]]", "/\f", 0, 0, 1 },
    { "[[:blank:][:upper:]]", "/Z", 0, 0, 1 },
    { "[[:alpha:]]", "/\xe4", 0, 0, 0 },
    { "[^[:alpha:]]", "/\xe4", 0, 0, 1 },
    { "[[:punct:]]", "/_", 0, 0, 1 },
    { "[[:xdigit:]][[:xdigit:]]", "/fG", 0, 0, 0 },
    /* stars next to slashes in classes: an early match must not hide a later one */
    { "*[ax/][/b]*c", "/qa/xbc", 0, 0, 1 },
    { "***", "/a", 0, 0, 1 },
    { "\\a\\b", "/ab", 0, 0, 1 },
    { "A", "/a", 0, 0, 0 },
};

static void test_examples_of_the_specification_hold(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    for (size_t i = 0; i < sizeof(EXAMPLES) / sizeof(EXAMPLES[0]); i++) {
        const bool got = matches(&env, EXAMPLES[i].pattern, EXAMPLES[i].path, EXAMPLES[i].dir ? DIR_MODE : FILE_MODE,
                                 EXAMPLES[i].anchored);
        if (got != EXAMPLES[i].want)
            print_error("row %zu: pattern %s on %s gives %d\n", i, EXAMPLES[i].pattern, EXAMPLES[i].path, got);
        check(got == EXAMPLES[i].want);
    }
    check(!matches(&env, "foo/", "/foo", LINK_MODE, false));
    check_int(w.live_allocs, 0);
}

static void test_bad_patterns_are_refused_with_their_rule(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    static const struct {
        const char *text;
        const char *rule;
    } rows[] = {
        { "a\\", "CRT-072" },   { "foo\\/", "CRT-072" }, { "[[:foo:]]", "CRT-077" }, { "[[:alpha]", "CRT-077" },
        { "[", "CRT-082" },     { "[^", "CRT-082" },     { "[a-", "CRT-082" },       { "[abc", "CRT-082" },
        { "[a-]", "CRT-082" },  { "x[a-]y", "CRT-082" }, { "a[\\", "CRT-082" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pbr_pattern *p = NULL;
        check_fail(pbr_pattern_parse(&env, pbr_span_str(rows[i].text), false, false, &p, diag), PBR_E_ARG,
                   rows[i].rule);
        check(p == NULL);
    }
    struct pbr_pattern *p = NULL;
    check_fail(pbr_pattern_parse(&env, pbr_span("a\0b", 3), false, false, &p, diag), PBR_E_ARG, "CRT-072");
    check_int(w.live_allocs, 0);
}

static void test_bang_and_slashes_are_stripped_once_and_remembered(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    static const struct {
        const char *text;
        bool include;
        const char *kept;
        bool want_include, dirs_only;
    } rows[] = {
        { "a", false, "a", false, false },      { "!a", false, "a", true, false },   { "!!a", false, "!a", true, false },
        { "!a", true, "a", false, false },      { "a//", false, "a", false, true },  { "", false, "/", false, true },
        { "//", false, "/", false, true },      { "!", false, "/", true, true },     { "/a/", false, "/a", false, true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pbr_pattern *p = NULL;
        check_int(pbr_pattern_parse(&env, pbr_span_str(rows[i].text), rows[i].include, false, &p, NULL), PBR_OK);
        check(pbr_pattern_is_include(p) == rows[i].want_include);
        check(pbr_pattern_is_dirs_only(p) == rows[i].dirs_only);
        check_span(pbr_pattern_text(p), pbr_span_str(rows[i].kept));
        pbr_pattern_free(p);
    }
}

static void test_normalisation_is_lexical(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    static const char *const rows[][2] = {
        { "./x", "x" },   { "a//b", "a/b" }, { "foo/.", "foo" }, { "foo//", "foo/" },   { "../x", "x" },
        { "/../x", "/x" }, { "!./x", "!./x" }, { "a/../b", "b" }, { "/a/../..", "/" },   { "a/b/..", "a" },
        { "..", "" },     { ".", "" },       { "", "" },         { "/", "/" },          { "./", "/" },
        { "a/b/", "a/b/" }, { "..a/.b", "..a/.b" }, { "/a/b/../c/", "/a/c/" }, { "a/..", "" }, { "a/../", "/" },
    };
    struct pbr_buf out;
    pbr_buf_init(&out, &env, 1000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool changed = false;
        pbr_buf_clear(&out);
        check_int(pbr_pattern_normalise(pbr_span_str(rows[i][0]), &out, &changed), PBR_OK);
        check_span(pbr_buf_span(&out), pbr_span_str(rows[i][1]));
        check(changed == (strcmp(rows[i][0], rows[i][1]) != 0));
    }
    bool changed = true;
    pbr_buf_clear(&out);
    check_int(pbr_pattern_normalise(pbr_span("/x", 0), &out, &changed), PBR_OK); /* what stands behind it is not looked at */
    check(pbr_buf_span(&out).len == 0 && !changed);
    pbr_buf_release(&out);
    check_int(w.live_allocs, 0);
}

struct counted_mode {
    uint64_t mode;
    int rc;
    int calls;
};

static int count_mode(void *ctx, uint64_t *ret)
{
    struct counted_mode *c = ctx;
    c->calls++;
    *ret = c->mode;
    return c->rc;
}

static void test_last_match_decides_and_the_type_is_asked_for_late_and_once(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_pattern_list l;
    struct counted_mode mode = { .mode = DIR_MODE };
    enum pbr_verdict v;

    pbr_pattern_list_init(&l, &env);
    check_int(pbr_pattern_list_add(&l, pbr_span_str("dir/"), false, false, NULL), PBR_OK);
    check_int(pbr_pattern_list_add(&l, pbr_span_str("other/"), false, false, NULL), PBR_OK);
    check_int(pbr_pattern_list_add(&l, pbr_span_str("*.tmp"), false, false, NULL), PBR_OK);
    check_int(pbr_pattern_list_add(&l, pbr_span_str("!keep.tmp"), false, false, NULL), PBR_OK);

    check_int(pbr_pattern_list_verdict_lazy(&l, pbr_span_str("/a.tmp"), count_mode, &mode, &v), PBR_OK);
    check_int(v, PBR_VERDICT_EXCLUDE);
    check_int(mode.calls, 0);
    check_int(pbr_pattern_list_verdict_lazy(&l, pbr_span_str("/keep.tmp"), count_mode, &mode, &v), PBR_OK);
    check_int(v, PBR_VERDICT_INCLUDE);
    check_int(mode.calls, 0);
    check_int(pbr_pattern_list_verdict_lazy(&l, pbr_span_str("/x/dir"), count_mode, &mode, &v), PBR_OK);
    check_int(v, PBR_VERDICT_EXCLUDE);
    check_int(mode.calls, 1);
    mode.rc = PBR_E_IO;
    check_int(pbr_pattern_list_verdict_lazy(&l, pbr_span_str("/x/dir"), count_mode, &mode, &v), PBR_E_IO);
    check_int(pbr_pattern_list_verdict(&l, pbr_span_str("/x/dir"), FILE_MODE), PBR_VERDICT_NONE);

    pbr_pattern_list_cut(&l, 3);
    check_int(pbr_pattern_list_verdict(&l, pbr_span_str("/keep.tmp"), FILE_MODE), PBR_VERDICT_EXCLUDE);
    check_fail(pbr_pattern_list_add(&l, pbr_span_str("["), false, false, diag), PBR_E_ARG, "CRT-082");
    check_int(l.nr, 3);
    pbr_pattern_list_release(&l);
    check_int(w.live_allocs, 0);
}

static void test_failing_allocations_leave_the_list_as_it_was(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        struct pbr_pattern_list l;
        pbr_pattern_list_init(&l, &env);
        w.alloc_fault = (struct pbr_fault){ .nth = nth };
        const int rc = pbr_pattern_list_add(&l, pbr_span_str("a[b-c]**"), false, false, NULL);
        if (w.alloc_fault.hit) {
            check_int(rc, PBR_E_NOMEM);
            check_int(l.nr, 0);
        }
        pbr_pattern_list_release(&l);
        check_int(w.live_allocs, 0);
        if (!w.alloc_fault.hit)
            break;
    }
}

/* Exponential or recursive matchers do not come back from this one. */
static void test_a_hostile_pattern_is_matched_in_bounded_time(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf text, path;
    pbr_buf_init(&text, &env, PBR_PATTERN_MAX + 1);
    pbr_buf_init(&path, &env, 5000);
    for (int i = 0; i < 600; i++)
        check_int(pbr_buf_append(&text, pbr_span_str(i % 2 ? "*a" : "**/")), PBR_OK);
    check_int(pbr_buf_append(&text, pbr_span_str("b")), PBR_OK);
    for (int i = 0; i < 2000; i++)
        check_int(pbr_buf_append(&path, pbr_span_str("/a")), PBR_OK);
    struct pbr_pattern *p = NULL;
    check_int(pbr_pattern_parse(&env, pbr_buf_span(&text), false, false, &p, NULL), PBR_OK);
    check(!pbr_pattern_matches_path(p, pbr_buf_span(&path)));
    pbr_pattern_free(p);

    pbr_buf_clear(&text);
    for (int i = 0; i <= PBR_PATTERN_MAX; i++)
        check_int(pbr_buf_append_u8(&text, '?'), PBR_OK);
    check_int(pbr_pattern_parse(&env, pbr_buf_span(&text), false, false, &p, NULL), PBR_E_LIMIT);
    text.len--;
    check_int(pbr_pattern_parse(&env, pbr_buf_span(&text), false, false, &p, NULL), PBR_OK);
    check(!pbr_pattern_matches_path(p, pbr_buf_span(&path)));
    pbr_pattern_free(p);
    pbr_buf_release(&text);
    pbr_buf_release(&path);
}

/* ---- what the original left out of one fixed tree ---- */

static bool json_has(const json_t *array, const char *text)
{
    size_t i;
    const json_t *one;
    json_array_foreach (array, i, one)
        if (strcmp(json_string_value(one), text) == 0)
            return true;
    return false;
}

/* Directories of the tree are those that have something below them in the list. */
static bool is_dir_of(const json_t *tree, const char *path)
{
    size_t i;
    const json_t *one;
    const size_t len = strlen(path);
    json_array_foreach (tree, i, one) {
        const char *other = json_string_value(one);
        if (strncmp(other, path, len) == 0 && other[len] == '/')
            return true;
    }
    return false;
}

/* The walk: an entry is gone if it or a directory above it is excluded (CRT-094). */
static bool is_excluded(const struct pbr_env *env, const struct pbr_pattern_list *l, const json_t *tree,
                        const char *path)
{
    char *copy = pbr_asprintf(env, "/%s", path);
    bool gone = false;
    check(copy != NULL);
    for (size_t i = 1; !gone && i <= strlen(path) + 1; i++) {
        if (copy[i] != '/' && copy[i] != 0)
            continue;
        const char saved = copy[i];
        copy[i] = 0;
        gone = pbr_pattern_list_verdict(l, pbr_span_str(copy), is_dir_of(tree, copy + 1) ? DIR_MODE : FILE_MODE) ==
               PBR_VERDICT_EXCLUDE;
        copy[i] = saved;
    }
    pbr_free(env, copy);
    return gone;
}

static void check_row(const struct pbr_env *env, const json_t *tree, const json_t *row)
{
    const json_t *one = json_object_get(row, "pattern");
    const json_t *many = json_object_get(row, "patterns");
    const json_t *cli = json_object_get(row, "cli");
    const json_t *excluded = json_object_get(cli, "excluded");
    const size_t n = many ? json_array_size(many) : 1;
    struct pbr_pattern_list l;
    int rc = PBR_OK;

    pbr_pattern_list_init(&l, env);
    for (size_t i = 0; rc == PBR_OK && i < n; i++) {
        const char *text = json_string_value(many ? json_array_get(many, i) : one);
        rc = pbr_pattern_list_add(&l, pbr_span_str(text), false, false, NULL);
    }
    if (!excluded) { /* the original refused it, or crashed (CRT-082) */
        check_int(rc, PBR_E_ARG);
    } else {
        check_int(rc, PBR_OK);
        size_t i;
        const json_t *path;
        json_array_foreach (tree, i, path) {
            const bool gone = is_excluded(env, &l, tree, json_string_value(path));
            if (gone != json_has(excluded, json_string_value(path))) {
                char *text = json_dumps(row, JSON_COMPACT);
                print_error("%s: %s\n", json_string_value(path), text);
                free(text);
                fail();
            }
        }
    }
    pbr_pattern_list_release(&l);
}

static void test_verdicts_are_those_of_the_original(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    json_t *doc = json_load_file("testdata/golden/patterns.json", 0, NULL);
    check(doc != NULL);
    const json_t *rows = json_object_get(doc, "rows");
    check(json_array_size(rows) >= 139);
    size_t i;
    const json_t *row;
    json_array_foreach (rows, i, row)
        check_row(&env, json_object_get(doc, "tree"), row);
    json_decref(doc);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_of_the_specification_hold),
        cmocka_unit_test(test_bad_patterns_are_refused_with_their_rule),
        cmocka_unit_test(test_bang_and_slashes_are_stripped_once_and_remembered),
        cmocka_unit_test(test_normalisation_is_lexical),
        cmocka_unit_test(test_last_match_decides_and_the_type_is_asked_for_late_and_once),
        cmocka_unit_test(test_failing_allocations_leave_the_list_as_it_was),
        cmocka_unit_test(test_a_hostile_pattern_is_matched_in_bounded_time),
        cmocka_unit_test(test_verdicts_are_those_of_the_original),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
