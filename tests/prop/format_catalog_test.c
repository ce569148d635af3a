/* SPDX-License-Identifier: MIT */
/* covers: CAT-002 CAT-004 CAT-010 CAT-012 CAT-020 CAT-022 CAT-030 CAT-033 CAT-041 CAT-045 */
/* covers: CAT-052 CAT-086 */
#include "format/catalog.h"
#include "test.h"

enum { ENTRIES_MAX = 200, PATH_MAX_LEN = 400 };

/* What was written, in the order in which a walk must give it. */
struct line {
    enum pbr_pcat_type type;
    uint64_t size;
    int64_t mtime_s;
    size_t depth;
    char path[PATH_MAX_LEN];
};

struct model {
    struct line lines[ENTRIES_MAX];
    size_t nr;
};

static uint64_t below(uint64_t *seed, uint64_t n)
{
    return test_next_random(seed) % n;
}

static const enum pbr_pcat_type types[] = { PBR_PCAT_FILE,  PBR_PCAT_SYMLINK, PBR_PCAT_HARDLINK,
                                            PBR_PCAT_BLOCK, PBR_PCAT_CHAR,    PBR_PCAT_FIFO,
                                            PBR_PCAT_SOCKET };

/* Names are unique by their number, so that a lookup has one answer. */
static struct line *add_line(struct model *m, uint64_t *seed, const char *dir, size_t depth,
                             enum pbr_pcat_type type)
{
    struct line *l = &m->lines[m->nr];
    *l = (struct line){ .type = type, .depth = depth };
    if (type == PBR_PCAT_FILE) {
        l->size = test_next_random(seed) >> below(seed, 64);
        l->mtime_s = (int64_t)(test_next_random(seed) >> below(seed, 64));
    }
    (void)snprintf(l->path, sizeof(l->path), "%s%s%zu-\xff", dir, depth ? "/" : "", m->nr);
    m->nr++;
    return l;
}

static struct pbr_span name_of(const struct line *l)
{
    const char *slash = strrchr(l->path, '/');
    return pbr_span_str(slash ? slash + 1 : l->path);
}

/* A random tree goes to the writer and into the model. */
static void write_random(uint64_t *seed, struct pbr_pcat_writer *w, struct model *m)
{
    size_t open[20], depth = 0; /* lines of the open directories */
    m->nr = 0;
    for (size_t n = below(seed, ENTRIES_MAX); n > 0 && m->nr < ENTRIES_MAX; n--) {
        const char *dir = depth ? m->lines[open[depth - 1]].path : "";
        const uint64_t what = below(seed, 10);
        if (what < 2 && depth < 20) {
            const struct line *l = add_line(m, seed, dir, depth, PBR_PCAT_DIR);
            assert_int_equal(pbr_pcat_writer_start_dir(w, name_of(l), NULL), PBR_OK);
            open[depth++] = m->nr - 1;
        } else if (what < 4 && depth > 0) {
            assert_int_equal(pbr_pcat_writer_end_dir(w, NULL), PBR_OK);
            depth--;
        } else {
            const struct line *l = add_line(m, seed, dir, depth, types[below(seed, 7)]);
            const struct pbr_pcat_entry e = {
                .type = l->type, .name = name_of(l), .size = l->size, .mtime_s = l->mtime_s
            };
            assert_int_equal(pbr_pcat_writer_add(w, &e, NULL), PBR_OK);
        }
    }
    for (; depth > 0; depth--)
        assert_int_equal(pbr_pcat_writer_end_dir(w, NULL), PBR_OK);
    assert_int_equal(pbr_pcat_writer_finish(w, NULL), PBR_OK);
}

static void make(uint64_t *seed, struct pbr_buf *out, struct model *m)
{
    struct pbr_sink sink = pbr_sink_buf(out);
    struct pbr_pcat_writer *w;
    pbr_buf_clear(out);
    assert_int_equal(pbr_pcat_writer_new(out->env, &sink, &w, NULL), PBR_OK);
    write_random(seed, w, m);
    assert_int_equal(pbr_pcat_writer_size(w), out->len);
    pbr_pcat_writer_free(w);
}

static void check_walk(const struct pbr_pcat *cat, const struct model *m)
{
    struct pbr_pcat_walk *walk;
    struct pbr_pcat_entry e, found;
    check_int(pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, NULL), PBR_OK);
    for (size_t i = 0; i < m->nr; i++) {
        const struct line *l = &m->lines[i];
        check_int(pbr_pcat_walk_next(walk, &e, NULL), 1);
        check_int(e.type, l->type);
        check_span(e.name, name_of(l));
        check_span(pbr_pcat_walk_path(walk), pbr_span_str(l->path));
        check_u64(pbr_pcat_walk_depth(walk), l->depth);
        check_u64(e.size, l->size);
        check(e.mtime_s == l->mtime_s);
        check_int(pbr_pcat_lookup(cat, pbr_span_str(l->path), &found, NULL), PBR_OK);
        check(found.type == l->type && found.size == l->size && found.table == e.table);
    }
    check_int(pbr_pcat_walk_next(walk, &e, NULL), 0);
    pbr_pcat_walk_free(walk);
}

static void test_a_walk_gives_what_was_written_in_order(void **state)
{
    (void)state;
    uint64_t seed = test_seed(51);
    struct model *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    for (int run = 0; run < 200; run++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        struct pbr_buf out;
        pbr_buf_init(&out, &env, 1 << 20);
        make(&seed, &out, m);
        const struct pbr_span file = pbr_buf_span(&out);
        const struct pbr_source src = pbr_source_mem(&file);
        struct pbr_pcat *cat;
        check_int(pbr_pcat_open(&env, &src, &cat, NULL), PBR_OK);
        check_walk(cat, m);
        pbr_pcat_free(cat);
        pbr_buf_release(&out);
        check_int(w.live_allocs, 0);
    }
    free(m);
}

/* Entries of the whole walk, or the error. */
static long walk_all(const struct pbr_env *env, struct pbr_span file)
{
    const struct pbr_source src = pbr_source_mem(&file);
    struct pbr_pcat *cat = NULL;
    struct pbr_pcat_walk *walk = NULL;
    struct pbr_pcat_entry e;
    long n = 0;
    int rc = pbr_pcat_open(env, &src, &cat, NULL);
    if (rc == PBR_OK)
        rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, NULL);
    while (rc >= 0 && (rc = pbr_pcat_walk_next(walk, &e, NULL)) == 1)
        n++;
    pbr_pcat_walk_free(walk);
    pbr_pcat_free(cat);
    return rc < 0 ? rc : n;
}

static void test_every_strict_prefix_is_refused(void **state)
{
    (void)state;
    uint64_t seed = test_seed(52);
    struct model *m = calloc(1, sizeof(*m));
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf out;
    assert_non_null(m);
    pbr_buf_init(&out, &env, 1 << 20);
    do
        make(&seed, &out, m);
    while (m->nr < 30);
    for (size_t len = 0; len < out.len; len++)
        check(walk_all(&env, pbr_span(out.ptr, len)) < 0);
    check(walk_all(&env, pbr_buf_span(&out)) == (long)m->nr);
    pbr_buf_release(&out);
    check_int(w.live_allocs, 0);
    free(m);
}

static void test_damage_never_makes_a_walk_endless_or_leaky(void **state)
{
    (void)state;
    uint64_t seed = test_seed(53);
    struct model *m = calloc(1, sizeof(*m));
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf out;
    long refused = 0;
    assert_non_null(m);
    pbr_buf_init(&out, &env, 1 << 20);
    for (int run = 0; run < 50; run++) {
        make(&seed, &out, m);
        for (int k = 0; k < 200; k++) {
            uint8_t *at = out.ptr + below(&seed, out.len);
            const uint8_t was = *at;
            *at = (uint8_t)test_next_random(&seed);
            const long n = walk_all(&env, pbr_buf_span(&out));
            /* an entry takes three bytes, and no table is read twice */
            check(n < (long)out.len);
            refused += n < 0;
            *at = was;
        }
    }
    check(refused > 100);
    pbr_buf_release(&out);
    check_int(w.live_allocs, 0);
    free(m);
}

static void test_numbers_come_back_and_take_as_few_bytes_as_they_can(void **state)
{
    (void)state;
    uint64_t seed = test_seed(54);
    for (int run = 0; run < 100000; run++) {
        uint8_t out[PBR_PCAT_I64_MAX];
        const uint64_t u = test_next_random(&seed) >> below(&seed, 64);
        const int64_t s = run % 2 ? (int64_t)u : (int64_t)(0 - u);
        uint64_t gu = 0;
        int64_t gs = 0;
        size_t n = pbr_pcat_u64_emit(u, out);
        struct pbr_cur c = pbr_cur(pbr_span(out, n));
        check_int(pbr_pcat_u64_parse(&c, &gu, NULL), PBR_OK);
        check(gu == u && pbr_cur_left(&c) == 0);
        check(n == 1 || u >> (7 * (n - 1)) != 0);
        n = pbr_pcat_i64_emit(s, out);
        c = pbr_cur(pbr_span(out, n));
        check_int(pbr_pcat_i64_parse(&c, &gs, NULL), PBR_OK);
        check(gs == s && pbr_cur_left(&c) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_walk_gives_what_was_written_in_order),
        cmocka_unit_test(test_every_strict_prefix_is_refused),
        cmocka_unit_test(test_damage_never_makes_a_walk_endless_or_leaky),
        cmocka_unit_test(test_numbers_come_back_and_take_as_few_bytes_as_they_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
