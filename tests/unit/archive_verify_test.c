/* SPDX-License-Identifier: MIT */
/* covers: EXT-051 PXAR-008 PXAR-034 PXAR-036 PXAR-050 PXAR-074 PXAR-075 PXAR-076 PXAR-079 PXAR-087 PXAR-100 PXAR-109 PXAR-110
 * PXAR-134 PXAR-135 PXAR-138 PXAR-139 PXAR-140 PXAR-150 PXAR-151 PXAR-152 PXAR-153 PXAR-155 PXAR-156 PXAR-157 PXAR-158
 * PXAR-160 PXAR-184 PXAR-220 PXAR-245 */
#include "pxar_data.h"

#include "archive/verify.h"

static const struct pbr_pxar_meta DIR_META = { .mode = 040755 }, FILE_META = { .mode = 0100644 };

struct seen {
    char rules[512]; /* "PXAR-050 " for errors, "(PXAR-034) " for warnings */
    char path[256];  /* of the first finding */
};

static void note(void *ctx, const struct pbr_verify_finding *f)
{
    struct seen *s = ctx;
    const size_t len = strlen(s->rules);
    check(f->text[0] != 0);
    if (len == 0)
        snprintf(s->path, sizeof(s->path), "%.*s", (int)f->path.len, (const char *)f->path.ptr);
    snprintf(s->rules + len, sizeof(s->rules) - len, f->warning ? "(%s) " : "%s ", f->rule);
}

static struct pbr_verify_result verify(const struct pbr_env *env, const struct pxar_pair *p, bool meta_only,
                                       struct seen *s)
{
    struct pbr_stream_mem archive_mem = { .in = p->archive, .step = 100 }, payload_mem = { .in = p->payload, .step = 9 };
    struct pbr_stream archive = pbr_stream_mem(&archive_mem), payload = pbr_stream_mem(&payload_mem);
    const struct pbr_verify_opts opts = { .meta_only = meta_only, .contents = true, .report = note, .ctx = s };
    struct pbr_verify_result res;
    *s = (struct seen){ 0 };
    check_int(pbr_verify(env, &archive, p->split ? &payload : NULL, &opts, &res, NULL), PBR_OK);
    return res;
}

static void check_clean(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct seen s;
    (void)path;
    const struct pbr_verify_result res = verify(&env, p, false, &s);
    check_str(s.rules, "");
    check_u64(res.errors + res.warnings, 0);
    check_u64(res.archive_size, p->archive.len);
    check_u64(res.payload_size, p->payload.len);
    check_u64(res.padding_bytes, 0);
    check_int(w.live_allocs, 0);
}

static void test_golden_archives_are_clean(void **state)
{
    (void)state;
    for_golden(check_clean);
}

/* Metadata archives of change detection: both forms of goodbye sizes in one archive, references with gaps. */
static void test_metadata_archives_with_reused_payload_are_clean(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    glob_t found;
    uint64_t refs = 0;
    check_int(glob("testdata/golden/reuse/*.mpxar", 0, NULL, &found), 0);
    check(found.gl_pathc >= 40);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const struct pxar_pair p = { .archive = test_load(found.gl_pathv[i]) };
        struct seen s;
        const struct pbr_verify_result res = verify(&env, &p, true, &s);
        check_str(s.rules, "");
        refs += res.refs;
        test_unload(p.archive);
    }
    check(refs > 500);
    globfree(&found);
    check_int(w.live_allocs, 0);
}

/* ---- one fault each ---- */

static struct test_world world;
static struct pbr_env env;
static struct pbr_buf archive, payload;
static struct pbr_sink archive_sink, payload_sink;
static struct pbr_pxar_enc *enc;

static int set_up(void **state)
{
    (void)state;
    env = test_env(&world);
    pbr_buf_init(&archive, &env, 1 << 20);
    pbr_buf_init(&payload, &env, 1 << 20);
    archive_sink = pbr_sink_buf(&archive);
    payload_sink = pbr_sink_buf(&payload);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pbr_buf_release(&archive);
    pbr_buf_release(&payload);
    check_int(world.live_allocs, 0);
    return 0;
}

static void start(bool split)
{
    pbr_buf_clear(&archive);
    pbr_buf_clear(&payload);
    check_int(pbr_pxar_enc_new(&env, &archive_sink, split ? &payload_sink : NULL, NULL, &DIR_META, &enc, NULL), PBR_OK);
}

static void file(const char *name, const struct pbr_pxar_meta *meta, const char *content)
{
    check_int(pbr_pxar_enc_file(enc, pbr_span_str(name), meta, strlen(content), NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_write(enc, pbr_span_str(content), NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
}

static void enter(const char *name)
{
    check_int(pbr_pxar_enc_dir_enter(enc, pbr_span_str(name), &DIR_META, NULL), PBR_OK);
}

static void leave(void)
{
    check_int(pbr_pxar_enc_dir_leave(enc, NULL), PBR_OK);
}

static struct pxar_pair finish(bool split)
{
    check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
    pbr_pxar_enc_free(enc);
    return (struct pxar_pair){ pbr_buf_span(&archive), pbr_buf_span(&payload), split };
}

static void expect(bool split, const char *rules)
{
    struct seen s;
    const struct pxar_pair p = { pbr_buf_span(&archive), pbr_buf_span(&payload), split };
    verify(&env, &p, false, &s);
    check_str(s.rules, rules);
}

static void one_file(const struct pbr_pxar_meta *meta, const char *rules)
{
    start(false);
    file("a", meta, "x");
    finish(false);
    expect(false, rules);
}

static void test_values_inside_entries_are_judged(void **state)
{
    (void)state;
    const struct pbr_pxar_xattr twice[] = { { pbr_span_str("user.a"), pbr_span_str("") },
                                            { pbr_span_str("user.b"), pbr_span_str("") },
                                            { pbr_span_str("user.a"), pbr_span_str("1") } };
    const struct pbr_pxar_acl_id ids[] = { { 5, 7 }, { 4, 7 } }, wide = { 1, 8 };
    struct pbr_pxar_meta m;
    one_file(&FILE_META, "");
    m = FILE_META, m.mode = 0200100644;
    one_file(&m, "PXAR-050 ");
    m = FILE_META, m.mode = 0644;
    one_file(&m, "PXAR-220 ");
    m = FILE_META, m.mtime_ns = 1000000000;
    one_file(&m, "PXAR-050 ");
    m = FILE_META, m.xattrs = twice, m.xattr_nr = 2;
    one_file(&m, "");
    m = FILE_META, m.xattrs = twice, m.xattr_nr = 3;
    one_file(&m, "PXAR-087 ");
    m = FILE_META, m.acl_groups = ids, m.acl_group_nr = 2;
    one_file(&m, "PXAR-110 ");
    m = FILE_META, m.acl_users = &wide, m.acl_user_nr = 1;
    one_file(&m, "PXAR-100 ");
    m = FILE_META, m.has_acl_group_obj = true, m.acl_group_obj = 8;
    one_file(&m, "PXAR-100 ");
    m = FILE_META, m.has_acl_default = true;
    one_file(&m, "PXAR-109 ");
    start(false);
    m = DIR_META, m.mode = 020600;
    check_int(pbr_pxar_enc_device(enc, pbr_span_str("d"), &m, UINT64_C(1) << 32, 0, NULL), PBR_OK);
    finish(false);
    expect(false, "PXAR-079 ");
}

static void test_names_out_of_order_are_a_warning(void **state)
{
    (void)state;
    struct seen s;
    start(false);
    file("b", &FILE_META, "");
    file("a", &FILE_META, "");
    file("A", &FILE_META, ""); /* one warning a directory */
    struct pxar_pair p = finish(false);
    const struct pbr_verify_result res = verify(&env, &p, false, &s);
    check_str(s.rules, "(PXAR-034) ");
    check_str(s.path, "/a");
    check_u64(res.warnings, 1);
    check_u64(res.errors, 0);
    start(false);
    file("a", &FILE_META, "");
    file("a", &FILE_META, "1");
    finish(false);
    expect(false, "EXT-051 ");
    start(false);
    file("x", &FILE_META, "");
    file(".pxarexclude-cli", &FILE_META, ""); /* stands last */
    finish(false);
    expect(false, "");
}

static void test_names_that_are_there_twice_are_errors(void **state)
{
    (void)state;
    struct seen s;
    for (int split = 0; split < 2; split++) {
        start(split);
        enter("d");
        file("a", &FILE_META, "1");
        file("b", &FILE_META, "2");
        file("b", &FILE_META, "3"); /* next to each other: with its own path */
        leave();
        enter("d"); /* so are directories */
        leave();
        struct pxar_pair p = finish(split);
        struct pbr_verify_result res = verify(&env, &p, false, &s);
        check_str(s.rules, "EXT-051 EXT-051 ");
        check_str(s.path, "/d/b");
        check_u64(res.errors, 2);
        start(split);
        enter("d");
        for (const char *name = "abcabc"; *name; name++) /* one error a directory, and one warning for the order */
            file((char[]){ *name, 0 }, &FILE_META, "1");
        leave();
        p = finish(split);
        res = verify(&env, &p, false, &s);
        check_str(s.rules, "(PXAR-034) EXT-051 ");
        check_u64(res.errors, 1);
    }
}

/* Two names with the hash e31cee61a8994f1c, found by search. */
static void test_equal_hashes_of_different_names_are_a_warning(void **state)
{
    (void)state;
    static const char *const names[] = { "f4d7f2c49ba45330", "fd648b8f38f10ea9" };
    check_u64(pbr_pxar_name_hash(pbr_span_str(names[0])), UINT64_C(0xe31cee61a8994f1c));
    start(false);
    file(names[0], &FILE_META, "");
    file(names[1], &FILE_META, "");
    finish(false);
    expect(false, "(PXAR-160) ");
    start(false);
    file(names[0], &FILE_META, "");
    file(names[1], &FILE_META, "");
    file(names[0], &FILE_META, "");
    finish(false);
    expect(false, "(PXAR-034) (PXAR-160) EXT-051 ");
}

static void test_hard_links_must_name_what_they_point_to(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int64_t shift;
        const char *rules;
    } cases[] = {
        { "d/f", 0, "" },          { "d/g", 0, "PXAR-075 " },   { "d/f", 1, "PXAR-074 " },  { "/d/f", 0, "PXAR-075 PXAR-075 " },
        { "d/../d/f", 0, "PXAR-075 PXAR-075 " },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t pos = 0;
        start(false);
        enter("d");
        check_int(pbr_pxar_enc_file(enc, pbr_span_str("f"), &FILE_META, 0, &pos, NULL), PBR_OK);
        check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
        file("g", &FILE_META, "");
        leave();
        check_int(pbr_pxar_enc_hardlink(enc, pbr_span_str("h"), pbr_span_str(cases[i].path),
                                        pos + (uint64_t)cases[i].shift, NULL),
                  PBR_OK);
        finish(false);
        expect(false, cases[i].rules);
    }
}

/* Every byte of every goodbye table of an archive with subdirectories: no change stays unnoticed. */
static void test_every_bit_of_goodbye_tables_counts(void **state)
{
    (void)state;
    for (int split = 0; split < 2; split++) {
        start(split);
        file("a", &FILE_META, "hello");
        enter("d");
        const uint64_t before = pbr_pxar_enc_pos(enc);
        file("f", &FILE_META, "");
        file("g", &FILE_META, "world"); /* five bytes: no single bit leads from one legal size to the other */
        const uint64_t inner = pbr_pxar_enc_pos(enc);
        leave();
        const uint64_t inner_end = pbr_pxar_enc_pos(enc);
        file("z", &FILE_META, "");
        const uint64_t outer = pbr_pxar_enc_pos(enc);
        const struct pxar_pair p = finish(split);
        check(before < inner);
        expect(split, "");
        for (size_t at = 0; at < p.archive.len; at++) {
            if (!((at >= inner + 16 && at < inner_end) || at >= outer + 16))
                continue;
            struct seen s;
            archive.ptr[at] ^= (uint8_t)(1u << (at % 8));
            check(verify(&env, &p, false, &s).errors > 0);
            archive.ptr[at] ^= (uint8_t)(1u << (at % 8));
        }
    }
}

static void test_tables_without_a_record_per_child_are_found(void **state)
{
    (void)state;
    start(false);
    file("a", &FILE_META, "");
    file("b", &FILE_META, "");
    finish(false);
    /* drop one record; tail and item size say so consistently */
    const size_t tail = archive.len - 24, goodbye = tail - 48 - 16;
    memmove(archive.ptr + tail - 24, archive.ptr + tail, 24);
    archive.len -= 24;
    pbr_put_u64le(archive.ptr + goodbye + 8, 16 + 48);
    pbr_put_u64le(archive.ptr + archive.len - 8, 16 + 48);
    expect(false, "PXAR-150 ");
    /* one child named twice, the other not at all */
    start(false);
    file("a", &FILE_META, "");
    file("b", &FILE_META, "");
    finish(false);
    memcpy(archive.ptr + archive.len - 48, archive.ptr + archive.len - 72, 24);
    expect(false, "PXAR-150 ");
}

static void test_ends_of_the_streams_are_checked(void **state)
{
    (void)state;
    start(true);
    file("a", &FILE_META, "hello");
    finish(true);
    expect(true, "");
    check_int(pbr_buf_append_u8(&archive, 0), PBR_OK);
    expect(true, "PXAR-036 ");
    archive.len--;
    check_int(pbr_buf_append_u8(&payload, 0), PBR_OK);
    expect(true, "PXAR-135 ");
    payload.len -= 17;
    expect(true, "PXAR-135 ");
    payload.len -= 1;
    expect(true, "PXAR-226 ");
    payload.len = 15;
    expect(true, "PXAR-240 ");
}

static void test_unread_contents_must_be_there(void **state)
{
    (void)state;
    start(true);
    file("a", &FILE_META, "hello hello hello hello");
    struct pxar_pair p = finish(true);
    p.payload.len -= 16 + 5;
    struct pbr_stream_mem archive_mem = { .in = p.archive }, payload_mem = { .in = p.payload, .step = 4 };
    struct pbr_stream a = pbr_stream_mem(&archive_mem), b = pbr_stream_mem(&payload_mem);
    struct seen s = { 0 };
    const struct pbr_verify_opts opts = { .report = note, .ctx = &s };
    struct pbr_verify_result res;
    check_int(pbr_verify(&env, &a, &b, &opts, &res, NULL), PBR_OK);
    check_str(s.rules, "PXAR-274 ");
}

static void test_references_must_not_overlap_or_repeat(void **state)
{
    (void)state;
    enum { REF_A = 24 + 56 + 18 + 56 + 16, REF_B = REF_A + 16 + 18 + 56 + 16 };
    static const struct {
        uint64_t off;
        const char *rules;
    } cases[] = { { 16, "PXAR-139 " }, { 15, "PXAR-134 " }, { 20, "PXAR-245 " }, { 37, "" }, { 1000, "" } };
    start(true);
    file("a", &FILE_META, "hello");
    file("b", &FILE_META, "");
    const struct pxar_pair p = finish(true);
    const struct pxar_pair alone = { .archive = p.archive };
    check_u64(pbr_get_u64le(archive.ptr + REF_B), 37);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen s;
        pbr_put_u64le(archive.ptr + REF_B, cases[i].off);
        verify(&env, &alone, true, &s);
        check_str(s.rules, cases[i].rules);
    }
}

static void test_versions_fit_the_contents(void **state)
{
    (void)state;
    start(true);
    file("a", &FILE_META, "hello");
    finish(true);
    archive.ptr[16] = 1;
    expect(true, "PXAR-008 ");
    archive.ptr[16] = 2;
    const struct pxar_pair p = { .archive = pbr_buf_span(&archive) };
    struct seen s;
    verify(&env, &p, false, &s); /* a metadata archive alone */
    check_str(s.rules, "EXT-142 ");
}

/* Bytes between records: counted, no fault. */
static void test_padding_is_counted(void **state)
{
    (void)state;
    start(true);
    file("a", &FILE_META, "hello");
    check_int(pbr_buf_append(&payload, pbr_span_str("0123456789")), PBR_OK);
    check_int(pbr_pxar_enc_payload_advance(enc, 10, NULL), PBR_OK);
    file("b", &FILE_META, "x");
    const struct pxar_pair p = finish(true);
    struct seen s;
    const struct pbr_verify_result res = verify(&env, &p, false, &s);
    check_str(s.rules, "");
    check_u64(res.padding_bytes, 10);
    check_u64(res.files, 2);
    check_u64(res.file_bytes, 6);
    check_u64(res.entries, 3);
    check_u64(res.dirs, 1);
    check_u64(res.refs, 2);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_archives_are_clean),
        cmocka_unit_test(test_metadata_archives_with_reused_payload_are_clean),
        WITH(test_values_inside_entries_are_judged),
        WITH(test_names_out_of_order_are_a_warning),
        WITH(test_names_that_are_there_twice_are_errors),
        WITH(test_equal_hashes_of_different_names_are_a_warning),
        WITH(test_hard_links_must_name_what_they_point_to),
        WITH(test_every_bit_of_goodbye_tables_counts),
        WITH(test_tables_without_a_record_per_child_are_found),
        WITH(test_ends_of_the_streams_are_checked),
        WITH(test_unread_contents_must_be_there),
        WITH(test_references_must_not_overlap_or_repeat),
        WITH(test_versions_fit_the_contents),
        WITH(test_padding_is_counted),
    };
    return cmocka_run_group_tests_name("archive_verify", tests, NULL, NULL);
}
