/* SPDX-License-Identifier: MIT */
/* covers: EXT-140 EXT-142 EXT-143 EXT-144 EXT-145 PXAR-242 */
#include "pxar_data.h"

#include "archive/list.h"

static struct pbr_span listing(const struct pbr_env *env, const struct pxar_pair *p, bool long_form, bool notes,
                               struct pbr_buf *out)
{
    const struct pbr_list_opts opts = { .long_form = long_form, .notes = notes };
    struct pxar_streams s;
    struct pbr_reader *r = open_reader(env, &s, p, 0, NULL);
    struct pbr_sink sink = pbr_sink_buf(out);
    check_int(pbr_list(env, r, &opts, &sink, NULL), PBR_OK);
    pbr_reader_free(r);
    return pbr_buf_span(out);
}

static void check_golden(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    char list[512];
    struct pbr_buf out;
    if (p->split) /* the golden listings are of the version 1 archives */
        return;
    snprintf(list, sizeof(list), "%.*s.list", (int)(strlen(path) - 5), path);
    const struct pbr_span want = test_load(list);
    pbr_buf_init(&out, &env, 1 << 24);
    check_span(listing(&env, p, true, false, &out), want);
    pbr_buf_release(&out);
    check_int(w.live_allocs, 0);
    test_unload(want);
}

static void test_golden_listings_are_equal_byte_for_byte(void **state)
{
    (void)state;
    for_golden(check_golden);
}

static void test_short_form_is_the_quoted_path(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "hardlinks.pxar");
    struct pbr_buf out;
    pbr_buf_init(&out, &env, 1 << 20);
    listing(&env, &p, false, false, &out);
    check_str(pbr_buf_cstr(&out), "\"/\"\n\"/a\"\n\"/a/first\"\n\"/a/second\"\n\"/m\"\n\"/z\"\n\"/z/alone\"\n"
                                  "\"/z/empty\"\n\"/z/empty-too\"\n\"/z/last\"\n");
    pbr_buf_release(&out);
    unload_pair(&p);
}

static void test_split_archives_show_payload_offsets(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "hardlinks.mpxar");
    struct pbr_buf out;
    pbr_buf_init(&out, &env, 1 << 20);
    listing(&env, &p, true, false, &out);
    check(strstr(pbr_buf_cstr(&out), "     5000 \"/a/first\" 16\n") != NULL ||
          strstr(pbr_buf_cstr(&out), " 5000 \"/a/first\" 16\n") != NULL);
    check(strstr(pbr_buf_cstr(&out), "L---------   0/0           1970-01-01 00:00:00        0 \"/m\" -> \"a/first\"\n"));
    pbr_buf_release(&out);
    unload_pair(&p);
}

static void test_special_bits_show_in_the_mode(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    static const struct {
        uint64_t mode;
        const char *want;
    } cases[] = {
        { 0100644, "-rw-r--r--  " }, { 0106755, "-rwsr-sr-x  " }, { 0106644, "-rwSr-Sr--  " },
        { 0041777, "drwxrwxrwt  " }, { 0041776, "drwxrwxrwT  " }, { 0120777, "lrwxrwxrwx  " },
        { 0170000, "?---------  " }, { 0140755, "srwxr-xr-x  " }, { 0010600, "prw-------  " },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct pbr_pxar_entry e = { .kind = PBR_KIND_FIFO, .meta = { .mode = cases[i].mode } };
        const struct pbr_list_opts opts = { .long_form = true };
        struct pbr_buf out;
        pbr_buf_init(&out, &env, 1000);
        check_int(pbr_list_line(&e, pbr_span_str("/x"), &opts, &out), PBR_OK);
        check_int(strncmp(pbr_buf_cstr(&out), cases[i].want, 12), 0);
        pbr_buf_release(&out);
    }
}

static void test_references_without_payload_stream_are_refused(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "one-file.mpxar");
    struct pxar_pair alone = { .archive = p.archive };
    struct pxar_streams s;
    struct pbr_reader *r = open_reader(&env, &s, &alone, 0, NULL);
    struct pbr_buf out;
    const struct pbr_list_opts opts = { 0 };
    pbr_buf_init(&out, &env, 1 << 20);
    struct pbr_sink sink = pbr_sink_buf(&out);
    check_fail(pbr_list(&env, r, &opts, &sink, diag), PBR_E_FORMAT, "EXT-142");
    pbr_reader_free(r);
    pbr_buf_release(&out);
    unload_pair(&p);
}

static char logged[4096];

static void keep_log(void *ctx, enum pbr_log_level level, const char *line)
{
    (void)ctx;
    check_int(level, PBR_LOG_DEBUG);
    const size_t len = strlen(logged);
    snprintf(logged + len, sizeof(logged) - len, "%s\n", line);
}

static void test_notes_go_to_the_log(void **state)
{
    (void)state;
    struct test_world w;
    struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "excludes.cli.mpxar");
    struct pbr_buf out;
    env.log = keep_log;
    logged[0] = 0;
    pbr_buf_init(&out, &env, 1 << 20);
    listing(&env, &p, false, true, &out);
    check_int(strncmp(logged, "pxar format version 2\nprelude of size ", 38), 0);
    pbr_buf_release(&out);
    unload_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_listings_are_equal_byte_for_byte),
        cmocka_unit_test(test_short_form_is_the_quoted_path),
        cmocka_unit_test(test_split_archives_show_payload_offsets),
        cmocka_unit_test(test_special_bits_show_in_the_mode),
        cmocka_unit_test(test_references_without_payload_stream_are_refused),
        cmocka_unit_test(test_notes_go_to_the_log),
    };
    return cmocka_run_group_tests_name("archive_list", tests, NULL, NULL);
}
