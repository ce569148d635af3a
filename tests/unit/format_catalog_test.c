/* SPDX-License-Identifier: MIT */
/* covers: CAT-001 CAT-002 CAT-003 CAT-004 CAT-005 CAT-007 CAT-010 CAT-011 CAT-012 CAT-013 */
/* covers: CAT-014 CAT-015 CAT-016 CAT-017 CAT-018 CAT-019 CAT-020 CAT-022 CAT-030 CAT-031 */
/* covers: CAT-032 CAT-033 CAT-034 CAT-035 CAT-036 CAT-037 CAT-040 CAT-041 CAT-042 CAT-043 */
/* covers: CAT-044 CAT-045 CAT-046 CAT-047 CAT-048 CAT-049 CAT-051 CAT-052 CAT-053 CAT-080 */
/* covers: CAT-086 CAT-090 */
#include "base/limits.h"
#include "format/catalog.h"
#include "vector.h"

struct rig {
    struct test_world w;
    struct pbr_env env;
    struct pbr_buf out;
    struct pbr_sink sink;
    json_t *top;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->env = test_env(&r->w);
    pbr_buf_init(&r->out, &r->env, 16 << 20);
    r->sink = pbr_sink_buf(&r->out);
    r->top = vector_load("catalog");
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    pbr_buf_release(&r->out);
    json_decref(r->top);
    assert_int_equal(r->w.live_allocs, 0);
    free(r);
    return 0;
}

/* ---- numbers ---- */

static uint64_t parse_decimal(const char *text)
{
    uint64_t u = 0;
    int64_t s = 0;
    if (pbr_parse_u64(pbr_span_str(text), 0, UINT64_MAX, &u))
        return u;
    assert_true(pbr_parse_i64(pbr_span_str(text), INT64_MIN, INT64_MAX, &s));
    return (uint64_t)s;
}

static void check_parse(const json_t *v, bool is_signed)
{
    const struct pbr_span in = vector_hex(v, "hex");
    struct pbr_cur c = pbr_cur(in);
    uint64_t u = 0;
    int64_t s = 0;
    struct pbr_diag d = { 0 };
    const int rc = is_signed ? pbr_pcat_i64_parse(&c, &s, &d) : pbr_pcat_u64_parse(&c, &u, &d);
    if (vector_text_or_null(v, "error_class")) {
        check_str(vector_text(v, "error_class"), "varint-too-long");
        check_int(rc, PBR_E_FORMAT);
        check_str(d.rule, is_signed ? "CAT-034" : "CAT-031");
    } else {
        const char *rest = vector_text_or_null(v, "rest_hex");
        check_int(rc, PBR_OK);
        check_u64(is_signed ? (uint64_t)s : u, parse_decimal(vector_text(v, "value")));
        check_u64(pbr_cur_left(&c), rest ? strlen(rest) / 2 : 0);
    }
    test_unload(in);
}

static void test_numbers_of_the_vectors_are_written_and_read(void **state)
{
    struct rig *r = *state;
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(r->top, "u64"), i, v)
    {
        uint8_t out[PBR_PCAT_U64_MAX];
        const struct pbr_span want = vector_hex(v, "hex");
        const size_t n = pbr_pcat_u64_emit(parse_decimal(vector_text(v, "value")), out);
        check_span(pbr_span(out, n), want);
        check_parse(v, false);
        test_unload(want);
    }
    check(i >= 16);
    json_array_foreach(json_object_get(r->top, "i64"), i, v)
    {
        uint8_t out[PBR_PCAT_I64_MAX];
        const struct pbr_span want = vector_hex(v, "hex");
        const size_t n = pbr_pcat_i64_emit((int64_t)parse_decimal(vector_text(v, "value")), out);
        check_span(pbr_span(out, n), want);
        check_parse(v, true);
        test_unload(want);
    }
    check(i >= 23);
    json_array_foreach(json_object_get(r->top, "u64_decode_only"), i, v) check_parse(v, false);
    json_array_foreach(json_object_get(r->top, "i64_decode_only"), i, v) check_parse(v, true);
}

static void test_cut_and_endless_numbers_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[11];
    uint64_t u;
    int64_t s;
    memset(bytes, 0x80, sizeof(bytes));
    for (size_t n = 0; n < 10; n++) {
        struct pbr_cur c = pbr_cur(pbr_span(bytes, n));
        check_fail(pbr_pcat_u64_parse(&c, &u, diag), PBR_E_TRUNCATED, "CAT-045");
    }
    for (size_t n = 0; n < 11; n++) {
        struct pbr_cur c = pbr_cur(pbr_span(bytes, n));
        check_fail(pbr_pcat_i64_parse(&c, &s, diag), PBR_E_TRUNCATED, "CAT-045");
    }
    bytes[10] = 1; /* would be shifted by 70 */
    struct pbr_cur c = pbr_cur(pbr_span(bytes, 11));
    check_fail(pbr_pcat_i64_parse(&c, &s, diag), PBR_E_FORMAT, "CAT-034");
}

/* ---- trees ---- */

/* Names in the vectors are bytes as latin-1; JSON has them as UTF-8. */
static struct pbr_span latin1(const char *utf8, uint8_t *out)
{
    size_t n = 0;
    for (const uint8_t *p = (const uint8_t *)utf8; *p; p++) {
        if (*p >= 0xc0) {
            out[n++] = (uint8_t)((*p & 3) << 6 | (p[1] & 0x3f));
            p++;
        } else {
            out[n++] = *p;
        }
    }
    return pbr_span(out, n);
}

static struct pbr_pcat_entry entry_of(const json_t *v, uint8_t *name)
{
    struct pbr_pcat_entry e = { .type = (enum pbr_pcat_type)vector_text(v, "type")[0],
                                .name = latin1(vector_text(v, "name"), name) };
    if (e.type == PBR_PCAT_FILE) {
        e.size = vector_u64(v, "size");
        e.mtime_s = (int64_t)vector_u64(v, "mtime");
    }
    return e;
}

/* Trees of the vectors are a few levels deep. */
static void write_tree(struct pbr_pcat_writer *w, const json_t *tree)
{
    size_t i;
    json_t *v;
    json_array_foreach(tree, i, v)
    {
        uint8_t name[4096];
        const struct pbr_pcat_entry e = entry_of(v, name);
        if (e.type != PBR_PCAT_DIR) {
            check_int(pbr_pcat_writer_add(w, &e, NULL), PBR_OK);
            continue;
        }
        check_int(pbr_pcat_writer_start_dir(w, e.name, NULL), PBR_OK);
        write_tree(w, vector_member(v, "children"));
        check_int(pbr_pcat_writer_end_dir(w, NULL), PBR_OK);
    }
}

static void check_tree(struct pbr_pcat_walk *w, const json_t *tree, size_t depth)
{
    size_t i;
    json_t *v;
    json_array_foreach(tree, i, v)
    {
        uint8_t name[4096];
        struct pbr_pcat_entry got;
        const struct pbr_pcat_entry want = entry_of(v, name);
        check_int(pbr_pcat_walk_next(w, &got, NULL), 1);
        check_int(got.type, want.type);
        check_span(got.name, want.name);
        check_u64(got.size, want.size);
        check(got.mtime_s == want.mtime_s);
        check_u64(pbr_pcat_walk_depth(w), depth);
        const struct pbr_span path = pbr_pcat_walk_path(w);
        check(path.len >= want.name.len);
        check_span(pbr_span_sub(path, path.len - want.name.len, path.len), want.name);
        if (want.type == PBR_PCAT_DIR) {
            check_u64(got.table, vector_u64(v, "start"));
            check_tree(w, vector_member(v, "children"), depth + 1);
        }
    }
}

static void test_files_of_the_vectors_are_written_and_read(void **state)
{
    struct rig *r = *state;
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(r->top, "files"), i, v)
    {
        const struct pbr_span want = vector_hex(v, "file_hex");
        struct pbr_pcat_writer *w;
        pbr_buf_clear(&r->out);
        check_int(pbr_pcat_writer_new(&r->env, &r->sink, &w, NULL), PBR_OK);
        write_tree(w, vector_member(v, "tree"));
        check_int(pbr_pcat_writer_finish(w, NULL), PBR_OK);
        check_u64(pbr_pcat_writer_size(w), want.len);
        pbr_pcat_writer_free(w);
        check_span(pbr_buf_span(&r->out), want);

        const struct pbr_source src = pbr_source_mem(&want);
        struct pbr_pcat *cat;
        struct pbr_pcat_walk *walk;
        struct pbr_pcat_entry end;
        check_int(pbr_pcat_open(&r->env, &src, &cat, NULL), PBR_OK);
        check_u64(pbr_pcat_root(cat), vector_u64(v, "root_start"));
        check_int(pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, NULL), PBR_OK);
        check_tree(walk, vector_member(v, "tree"), 0);
        check_int(pbr_pcat_walk_next(walk, &end, NULL), 0);
        check_int(pbr_pcat_walk_next(walk, &end, NULL), 0);
        pbr_pcat_walk_free(walk);
        pbr_pcat_free(cat);
        test_unload(want);
    }
    check(i >= 3);
}

/* Reads all of a catalog; the result of the first call that fails, with its rule. */
static int read_all(const struct pbr_env *env, struct pbr_span file, struct pbr_diag *diag)
{
    const struct pbr_source src = pbr_source_mem(&file);
    struct pbr_pcat *cat = NULL;
    struct pbr_pcat_walk *walk = NULL;
    struct pbr_pcat_entry entry;
    int rc = pbr_pcat_open(env, &src, &cat, diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, diag);
    while (rc == PBR_OK || rc == 1) {
        rc = pbr_pcat_walk_next(walk, &entry, diag);
        if (rc == 0)
            break;
    }
    if (walk && rc < 0)
        check_int(pbr_pcat_walk_next(walk, &entry, NULL), PBR_E_STATE);
    pbr_pcat_walk_free(walk);
    pbr_pcat_free(cat);
    return rc;
}

static void test_malformed_vectors_are_refused_by_rule(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *name, *rule;
        int code;
    } want[] = {
        { "bad-magic", "CAT-040", PBR_E_FORMAT },
        { "shorter-than-16", "CAT-041", PBR_E_TRUNCATED },
        { "root-pointer-past-end", "CAT-041", PBR_E_TRUNCATED },
        { "zero-size-table", "CAT-042", PBR_E_FORMAT },
        { "unknown-type", "CAT-044", PBR_E_FORMAT },
        { "name-4096", "CAT-043", PBR_E_FORMAT },
        { "trailing-bytes-in-table", "CAT-046", PBR_E_FORMAT },
        { "truncated-entry", "CAT-045", PBR_E_TRUNCATED },
        { "dir-offset-zero", "CAT-052", PBR_E_FORMAT },
        { "dir-offset-too-big", "CAT-047", PBR_E_FORMAT },
        { "varint-10-bytes-no-end", "CAT-031", PBR_E_FORMAT },
    };
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(r->top, "invalid_or_tolerated"), i, v)
    {
        struct pbr_diag d = { 0 };
        const struct pbr_span file = vector_hex(v, "file_hex");
        assert_true(i < sizeof(want) / sizeof(want[0]));
        check_str(vector_text(v, "name"), want[i].name);
        check_int(read_all(&r->env, file, &d), want[i].code);
        check_str(d.rule, want[i].rule);
        test_unload(file);
    }
    check_u64(i, sizeof(want) / sizeof(want[0]));
}

static void check_hex_refused(struct rig *r, const char *hex, int code, const char *rule)
{
    const struct pbr_span file = vector_unhex(hex);
    check_fail(read_all(&r->env, file, diag), code, rule);
    test_unload(file);
}

#define MAGIC "91fd60f9c46758d5"

static void test_pointers_that_would_lead_in_circles_are_refused(void **state)
{
    struct rig *r = *state;
    check_hex_refused(r,
                      MAGIC "0100"
                            "0700000000000000",
                      PBR_E_FORMAT, "CAT-051");
    check_hex_refused(r,
                      MAGIC "0100"
                            "0a00000000000000",
                      PBR_E_TRUNCATED, "CAT-041");
    /* a table longer than what there is, and one whose length would wrap */
    check_hex_refused(r,
                      MAGIC "0300"
                            "0800000000000000",
                      PBR_E_TRUNCATED, "CAT-041");
    check_hex_refused(r,
                      MAGIC "ffffffffffffffffff01"
                            "0800000000000000",
                      PBR_E_TRUNCATED, "CAT-041");
    /* child that overlaps its parent: starts at 8, says 5 bytes, parent starts at 10 */
    check_hex_refused(r,
                      MAGIC "0500"
                            "05"
                            "01"
                            "640161"
                            "02"
                            "0a00000000000000",
                      PBR_E_TRUNCATED, "CAT-041");
    /* two entries for the same child: tables of 2, 9 bytes where 11 lie before the root pointer */
    check_hex_refused(r,
                      MAGIC "0100"
                            "09"
                            "02"
                            "640161"
                            "02"
                            "640162"
                            "02"
                            "0a00000000000000",
                      PBR_E_FORMAT, "CAT-052");
    /* more entries announced than there are */
    check_hex_refused(r,
                      MAGIC "0a"
                            "ffffffffffffffffff01"
                            "0800000000000000",
                      PBR_E_TRUNCATED, "CAT-045");
}

static void test_lookup_follows_parts_from_the_root(void **state)
{
    struct rig *r = *state;
    const json_t *v = json_array_get(json_object_get(r->top, "files"), 0);
    const struct pbr_span file = vector_hex(v, "file_hex");
    const struct pbr_source src = pbr_source_mem(&file);
    struct pbr_pcat *cat;
    struct pbr_pcat_entry e;
    check_int(pbr_pcat_open(&r->env, &src, &cat, NULL), PBR_OK);

    check_int(pbr_pcat_lookup(cat, pbr_span_str("/"), &e, NULL), PBR_OK);
    check_int(e.type, PBR_PCAT_DIR);
    check_u64(e.table, 54);
    check_int(pbr_pcat_lookup(cat, pbr_span_str("/root.pxar.didx/sub"), &e, NULL), PBR_OK);
    check_u64(e.table, 8);
    check_span(e.name, pbr_span_str("sub"));
    check_int(pbr_pcat_lookup(cat, pbr_span_str("root.pxar.didx/sub/old"), &e, NULL), PBR_OK);
    check_int(e.type, PBR_PCAT_FILE);
    check_u64(e.size, 300);
    check(e.mtime_s == -1);

    static const char *const absent[] = { "",
                                          "//",
                                          "//root.pxar.didx",
                                          "root.pxar.didx/",
                                          "root.pxar.didx//sub",
                                          "root.pxar.didx/sub/none",
                                          "root.pxar.didx/a.txt/x",
                                          "a.txt",
                                          "." };
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        check_fail(pbr_pcat_lookup(cat, pbr_span_str(absent[i]), &e, diag), PBR_E_NOENT, "CAT-086");
    pbr_pcat_free(cat);
    test_unload(file);
}

static void test_walk_starts_anywhere_and_leaves_out_what_is_skipped(void **state)
{
    struct rig *r = *state;
    const json_t *v = json_array_get(json_object_get(r->top, "files"), 0);
    const struct pbr_span file = vector_hex(v, "file_hex");
    const struct pbr_source src = pbr_source_mem(&file);
    struct pbr_pcat *cat;
    struct pbr_pcat_walk *w;
    struct pbr_pcat_entry e;
    static const char *const want[] = { "a.txt", "sub", "z-hard" };
    check_int(pbr_pcat_open(&r->env, &src, &cat, NULL), PBR_OK);
    check_int(pbr_pcat_lookup(cat, pbr_span_str("root.pxar.didx"), &e, NULL), PBR_OK);
    check_int(pbr_pcat_walk_new(cat, e.table, &w, NULL), PBR_OK);
    for (size_t i = 0; i < 3; i++) {
        check_int(pbr_pcat_walk_next(w, &e, NULL), 1);
        check_span(pbr_pcat_walk_path(w), pbr_span_str(want[i]));
        pbr_pcat_walk_skip(w);
    }
    check_int(pbr_pcat_walk_next(w, &e, NULL), 0);
    pbr_pcat_walk_free(w);

    static const char *const paths[] = { "root.pxar.didx",         "root.pxar.didx/a.txt",
                                         "root.pxar.didx/sub",     "root.pxar.didx/sub/link",
                                         "root.pxar.didx/sub/old", "root.pxar.didx/z-hard" };
    check_int(pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &w, NULL), PBR_OK);
    for (size_t i = 0; i < 6; i++) {
        check_int(pbr_pcat_walk_next(w, &e, NULL), 1);
        check_span(pbr_pcat_walk_path(w), pbr_span_str(paths[i]));
    }
    pbr_pcat_walk_free(w);
    check_fail(pbr_pcat_walk_new(cat, 7, &w, diag), PBR_E_FORMAT, "CAT-051");
    check_fail(pbr_pcat_walk_new(cat, 73, &w, diag), PBR_E_FORMAT, "CAT-051");
    pbr_pcat_free(cat);
    test_unload(file);
}

static void test_writer_refuses_what_no_reader_takes(void **state)
{
    struct rig *r = *state;
    struct pbr_pcat_writer *w;
    char name[4097];
    struct pbr_pcat_entry e = { .type = PBR_PCAT_FILE };
    memset(name, 'n', sizeof(name));
    check_int(pbr_pcat_writer_new(&r->env, &r->sink, &w, NULL), PBR_OK);
    check_fail(pbr_pcat_writer_end_dir(w, diag), PBR_E_STATE, "CAT-053");
    check_fail(pbr_pcat_writer_start_dir(w, pbr_span_str(""), diag), PBR_E_ARG, "CAT-053");
    check_fail(pbr_pcat_writer_start_dir(w, pbr_span_str("a/b"), diag), PBR_E_ARG, "CAT-053");
    check_fail(pbr_pcat_writer_start_dir(w, pbr_span("a\0", 2), diag), PBR_E_ARG, "CAT-053");
    check_fail(pbr_pcat_writer_start_dir(w, pbr_span(name, 4096), diag), PBR_E_ARG, "CAT-043");
    e.name = pbr_span(name, 4096);
    check_fail(pbr_pcat_writer_add(w, &e, diag), PBR_E_ARG, "CAT-043");
    e.name = pbr_span(name, 4095);
    check_int(pbr_pcat_writer_add(w, &e, NULL), PBR_OK);
    e.type = PBR_PCAT_DIR;
    check_fail(pbr_pcat_writer_add(w, &e, diag), PBR_E_ARG, "CAT-053");
    check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("d"), NULL), PBR_OK);
    check_fail(pbr_pcat_writer_finish(w, diag), PBR_E_STATE, "CAT-053");
    check_int(pbr_pcat_writer_end_dir(w, NULL), PBR_OK);
    check_int(pbr_pcat_writer_finish(w, NULL), PBR_OK);
    check_fail(pbr_pcat_writer_finish(w, diag), PBR_E_STATE, "CAT-053");
    check_fail(pbr_pcat_writer_start_dir(w, pbr_span_str("d"), diag), PBR_E_STATE, "CAT-053");
    pbr_pcat_writer_free(w);
    check_int(read_all(&r->env, pbr_buf_span(&r->out), NULL), 0);
}

static void test_deep_trees_are_bounded_and_need_no_recursion(void **state)
{
    struct rig *r = *state;
    struct pbr_pcat_writer *w;
    check_int(pbr_pcat_writer_new(&r->env, &r->sink, &w, NULL), PBR_OK);
    for (int i = 0; i < PBR_PATH_DEPTH_MAX; i++)
        check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("d"), NULL), PBR_OK);
    for (int i = 0; i < PBR_PATH_DEPTH_MAX; i++)
        check_int(pbr_pcat_writer_end_dir(w, NULL), PBR_OK);
    check_int(pbr_pcat_writer_finish(w, NULL), PBR_OK);
    pbr_pcat_writer_free(w);
    check_int(read_all(&r->env, pbr_buf_span(&r->out), NULL), 0);

    pbr_buf_clear(&r->out);
    check_int(pbr_pcat_writer_new(&r->env, &r->sink, &w, NULL), PBR_OK);
    for (int i = 0; i < PBR_PATH_DEPTH_MAX; i++)
        check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("d"), NULL), PBR_OK);
    check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("d"), NULL), PBR_E_LIMIT);
    pbr_pcat_writer_free(w);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_numbers_of_the_vectors_are_written_and_read),
        T(test_cut_and_endless_numbers_are_refused),
        T(test_files_of_the_vectors_are_written_and_read),
        T(test_malformed_vectors_are_refused_by_rule),
        T(test_pointers_that_would_lead_in_circles_are_refused),
        T(test_lookup_follows_parts_from_the_root),
        T(test_walk_starts_anywhere_and_leaves_out_what_is_skipped),
        T(test_writer_refuses_what_no_reader_takes),
        T(test_deep_trees_are_bounded_and_need_no_recursion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
