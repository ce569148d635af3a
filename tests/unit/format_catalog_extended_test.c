/* SPDX-License-Identifier: MIT */
/* covers: APX-070 APX-071 APX-072 APX-073 APX-074 APX-075 APX-076 APX-081 APX-172 SYS-048 */
#include "test.h"

#include "format/catalog.h"

/* The catalog of snapshot 2 of spec/draft-appendix.md section 16. */
static const uint8_t EXAMPLE[78] = {
    0xcc, 0xdf, 0x18, 0xd3, 0xbb, 0x7d, 0xb7, 0xe2,                               /* magic */
    0x28, 0x02,                                                                   /* table at 8: 40 bytes, 2 entries */
    0x72, 0x05, 'a',  '.',  'b',  'i',  'n',  0xb8, 0x17, 0x80, 0xe2, 0xcf, 0xaa, /* r a.bin 3000, mtime, */
    0x06, 0xe4, 0xe2, 0xcf, 0xaa, 0x06, 0x38,                                     /* ctime, appendix offset 56 */
    0x66, 0x05, 'b',  '.',  't',  'x',  't',  0x06, 0x80, 0xe2, 0xcf, 0xaa, 0x06, /* f b.txt 6, mtime, */
    0xc8, 0xe3, 0xcf, 0xaa, 0x06, 0x6e,                                           /* ctime, position 110 */
    0x14, 0x01,                                                                   /* table at 49: 20 bytes, 1 entry */
    0x61, 0x0e, 'r',  'o',  'o',  't',  '.',  'p',  'x',  'a',  'r',  '.',  'd',  'i', 'd', 'x', 0x29, 0xea, 0x01,
    0x31, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static struct test_world world;
static struct pbr_env env;
static struct pbr_buf out;
static struct pbr_sink sink;

static int set_up(void **state)
{
    (void)state;
    env = test_env(&world);
    pbr_buf_init(&out, &env, 1 << 20);
    sink = pbr_sink_buf(&out);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pbr_buf_release(&out);
    check_int(world.live_allocs, 0);
    return 0;
}

static const struct pbr_pcat_entry A_BIN = { .type = PBR_PCAT_REF, .size = 3000, .mtime_s = 1700000000, .ctime_s = 1700000100,
                                             .pos = 56 };
static const struct pbr_pcat_entry B_TXT = { .type = PBR_PCAT_FILE, .size = 6, .mtime_s = 1700000000, .ctime_s = 1700000200,
                                             .pos = 110 };

static struct pbr_pcat_entry named(struct pbr_pcat_entry e, const char *name)
{
    e.name = pbr_span_str(name);
    return e;
}

static void test_the_example_is_written_byte_for_byte(void **state)
{
    struct pbr_pcat_writer *w;
    (void)state;
    pbr_buf_clear(&out);
    const struct pbr_pcat_entry a = named(A_BIN, "a.bin"), b = named(B_TXT, "b.txt");
    check_int(pbr_pcat_writer_new_extended(&env, &sink, &w, NULL), PBR_OK);
    check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("root.pxar.didx"), NULL), PBR_OK);
    check_int(pbr_pcat_writer_add(w, &a, NULL), PBR_OK);
    check_int(pbr_pcat_writer_add(w, &b, NULL), PBR_OK);
    check_int(pbr_pcat_writer_end_archive(w, 234, NULL), PBR_OK);
    check_int(pbr_pcat_writer_finish(w, NULL), PBR_OK);
    pbr_pcat_writer_free(w);
    check_span(pbr_buf_span(&out), pbr_span(EXAMPLE, sizeof(EXAMPLE)));
}

static struct pbr_pcat *open_catalog(struct pbr_source *src, struct pbr_span *in)
{
    struct pbr_pcat *cat;
    *src = pbr_source_mem(in);
    check_int(pbr_pcat_open(&env, src, &cat, NULL), PBR_OK);
    return cat;
}

static void test_the_example_is_read(void **state)
{
    struct pbr_span in = pbr_span(EXAMPLE, sizeof(EXAMPLE));
    struct pbr_source src;
    struct pbr_pcat_entry e;
    struct pbr_pcat_dir *dir;
    (void)state;
    struct pbr_pcat *cat = open_catalog(&src, &in);
    check(pbr_pcat_is_extended(cat));
    check_int(pbr_pcat_lookup(cat, pbr_span_str("root.pxar.didx"), &e, NULL), PBR_OK);
    check_int(e.type, PBR_PCAT_ARCHIVE);
    check(pbr_pcat_is_dir(&e));
    check_u64(e.pos, 234);
    check_u64(e.table, 8);
    check_int(pbr_pcat_dir_load(cat, e.table, &dir, NULL), PBR_OK);
    const struct pbr_pcat_entry *a = pbr_pcat_dir_find(dir, pbr_span_str("a.bin"));
    const struct pbr_pcat_entry *b = pbr_pcat_dir_find(dir, pbr_span_str("b.txt"));
    check_int(a->type, PBR_PCAT_REF);
    check_u64(a->size, 3000);
    check_int(a->mtime_s, 1700000000);
    check_int(a->ctime_s, 1700000100);
    check_u64(a->pos, 56);
    check_int(b->type, PBR_PCAT_FILE);
    check_u64(b->pos, 110);
    check(!pbr_pcat_dir_find(dir, pbr_span_str("a")) && !pbr_pcat_dir_find(dir, pbr_span_str("")) &&
          !pbr_pcat_dir_find(dir, pbr_span_str("zz")));
    pbr_pcat_dir_free(dir);
    check_int(pbr_pcat_lookup(cat, pbr_span_str("root.pxar.didx/b.txt"), &e, NULL), PBR_OK); /* archives are entered */
    check_int(e.ctime_s, 1700000200);
    pbr_pcat_free(cat);
}

static void test_a_walk_enters_archives(void **state)
{
    struct pbr_span in = pbr_span(EXAMPLE, sizeof(EXAMPLE));
    struct pbr_source src;
    struct pbr_pcat_entry e;
    struct pbr_pcat_walk *walk;
    char text[128] = "";
    (void)state;
    struct pbr_pcat *cat = open_catalog(&src, &in);
    check_int(pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, NULL), PBR_OK);
    while (pbr_pcat_walk_next(walk, &e, NULL) == 1)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%c %.*s;", (char)e.type,
                       (int)pbr_pcat_walk_path(walk).len, (const char *)pbr_pcat_walk_path(walk).ptr);
    check_str(text, "a root.pxar.didx;r root.pxar.didx/a.bin;f root.pxar.didx/b.txt;");
    pbr_pcat_walk_free(walk);
    pbr_pcat_free(cat);
}

/* All of a catalog; the first failure. */
static int read_all(struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_source src = pbr_source_mem(&in);
    struct pbr_pcat *cat;
    struct pbr_pcat_walk *walk = NULL;
    struct pbr_pcat_entry e;
    int rc = pbr_pcat_open(&env, &src, &cat, diag);
    if (rc < 0)
        return rc;
    rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, diag);
    while (rc >= 0 && (rc = pbr_pcat_walk_next(walk, &e, diag)) > 0)
        continue;
    pbr_pcat_walk_free(walk);
    pbr_pcat_free(cat);
    return rc;
}

static void test_new_entries_belong_to_the_extended_format(void **state)
{
    uint8_t bytes[sizeof(EXAMPLE)];
    struct pbr_pcat_writer *w;
    const struct pbr_pcat_entry a = named(A_BIN, "a.bin");
    (void)state;
    memcpy(bytes, EXAMPLE, sizeof(bytes));
    check_int(read_all(pbr_span(bytes, sizeof(bytes)), NULL), PBR_OK);
    memcpy(bytes, "\x91\xfd\x60\xf9\xc4\x67\x58\xd5", 8); /* magic of version 1 */
    check_fail(read_all(pbr_span(bytes, sizeof(bytes)), diag), PBR_E_FORMAT, "CAT-044");
    memcpy(bytes, EXAMPLE, sizeof(bytes));
    bytes[10] = 'a'; /* an archive below the root */
    check_fail(read_all(pbr_span(bytes, sizeof(bytes)), diag), PBR_E_FORMAT, "CAT-044");
    pbr_buf_clear(&out);
    check_int(pbr_pcat_writer_new(&env, &sink, &w, NULL), PBR_OK);
    check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("x"), NULL), PBR_OK);
    check_fail(pbr_pcat_writer_add(w, &a, diag), PBR_E_ARG, "APX-073");
    check_fail(pbr_pcat_writer_end_archive(w, 1, diag), PBR_E_STATE, "APX-074");
    pbr_pcat_writer_free(w);
    check_int(pbr_pcat_writer_new_extended(&env, &sink, &w, NULL), PBR_OK);
    check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("x"), NULL), PBR_OK);
    check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("y"), NULL), PBR_OK);
    check_fail(pbr_pcat_writer_end_archive(w, 1, diag), PBR_E_STATE, "APX-074");
    pbr_pcat_writer_free(w);
}

static void test_a_plain_directory_at_the_top_is_an_archive_without_appendix(void **state)
{
    struct pbr_pcat_writer *w;
    struct pbr_source src;
    struct pbr_pcat_entry e;
    const struct pbr_pcat_entry b = named(B_TXT, "b");
    (void)state;
    pbr_buf_clear(&out);
    check_int(pbr_pcat_writer_new_extended(&env, &sink, &w, NULL), PBR_OK);
    check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("x.pxar.didx"), NULL), PBR_OK);
    check_int(pbr_pcat_writer_add(w, &b, NULL), PBR_OK);
    check_int(pbr_pcat_writer_end_dir(w, NULL), PBR_OK);
    check_int(pbr_pcat_writer_finish(w, NULL), PBR_OK);
    pbr_pcat_writer_free(w);
    struct pbr_span in = pbr_buf_span(&out);
    struct pbr_pcat *cat = open_catalog(&src, &in);
    check_int(pbr_pcat_lookup(cat, pbr_span_str("x.pxar.didx"), &e, NULL), PBR_OK);
    check(pbr_pcat_is_dir(&e));
    check_u64(e.pos, 0);
    pbr_pcat_free(cat);
}

static void test_every_prefix_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof(EXAMPLE); n++) /* the pointer at the end is then another one */
        check(read_all(pbr_span(EXAMPLE, n), NULL) < 0);
}

/* Many names in a random order, some of them twice: the first one counts. */
static void test_names_are_found_in_large_directories(void **state)
{
    enum { NAMES = 3000 };
    struct pbr_pcat_writer *w;
    struct pbr_source src;
    struct pbr_pcat_entry e;
    struct pbr_pcat_dir *dir;
    static uint64_t first[NAMES];
    uint64_t seed = 7;
    char name[16];
    (void)state;
    memset(first, 0, sizeof(first));
    pbr_buf_clear(&out);
    check_int(pbr_pcat_writer_new_extended(&env, &sink, &w, NULL), PBR_OK);
    check_int(pbr_pcat_writer_start_dir(w, pbr_span_str("x"), NULL), PBR_OK);
    for (uint64_t i = 1; i <= NAMES; i++) {
        const size_t n = (size_t)(test_next_random(&seed) % NAMES);
        (void)snprintf(name, sizeof(name), "%zx", n);
        const struct pbr_pcat_entry f = { .type = PBR_PCAT_FILE, .name = pbr_span_str(name), .pos = i };
        check_int(pbr_pcat_writer_add(w, &f, NULL), PBR_OK);
        first[n] = first[n] ? first[n] : i;
    }
    check_int(pbr_pcat_writer_end_archive(w, 0, NULL), PBR_OK);
    check_int(pbr_pcat_writer_finish(w, NULL), PBR_OK);
    pbr_pcat_writer_free(w);
    struct pbr_span in = pbr_buf_span(&out);
    struct pbr_pcat *cat = open_catalog(&src, &in);
    check_int(pbr_pcat_lookup(cat, pbr_span_str("x"), &e, NULL), PBR_OK);
    check_int(pbr_pcat_dir_load(cat, e.table, &dir, NULL), PBR_OK);
    for (size_t n = 0; n < NAMES; n++) {
        (void)snprintf(name, sizeof(name), "%zx", n);
        const struct pbr_pcat_entry *found = pbr_pcat_dir_find(dir, pbr_span_str(name));
        check_u64(found ? found->pos : 0, first[n]);
    }
    pbr_pcat_dir_free(dir);
    pbr_pcat_free(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_is_written_byte_for_byte),
        cmocka_unit_test(test_the_example_is_read),
        cmocka_unit_test(test_a_walk_enters_archives),
        cmocka_unit_test(test_new_entries_belong_to_the_extended_format),
        cmocka_unit_test(test_a_plain_directory_at_the_top_is_an_archive_without_appendix),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_names_are_found_in_large_directories),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
