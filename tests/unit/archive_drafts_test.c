/* SPDX-License-Identifier: MIT */
/* covers: APX-004 APX-005 APX-028 APX-029 APX-030 APX-037 APX-045 APX-052 APX-053 APX-054 APX-055 APX-056 APX-057 APX-060 APX-061 APX-062
 * APX-063 APX-064 APX-171 SPL-024 SPL-025 SPL-026 SPL-027 SPL-090 SPL-091 SPL-092 SYS-005 SYS-047 */
#include "draft_data.h"
#include "pxar_data.h"

#include <errno.h>

#include "archive/access.h"
#include "archive/list.h"
#include "archive/meta_apply.h"
#include "archive/verify.h"
#include "extract_util.h"

#include "file_env.h"

/* What a reader finds: "path=contents;" in its order, contents shortened; references that are wanted come at the end. */
static int read_all(const struct pxar_pair *p, size_t step, bool want, const struct pbr_reader_opts *opts, char *out, size_t cap,
                    struct pbr_diag *diag)
{
    struct pxar_streams s = { .archive_mem = { .in = p->archive, .step = step }, .payload_mem = { .in = p->payload, .step = step } };
    struct pbr_reader *r = NULL;
    struct pbr_pxar_event ev = { .ev = PBR_PXAR_EV_MORE };
    size_t len = 0;
    s.archive = pbr_stream_mem(&s.archive_mem);
    s.payload = pbr_stream_mem(&s.payload_mem);
    out[0] = 0;
    int rc = pbr_reader_open_opts(&env, &s.archive, p->split ? &s.payload : NULL, opts, &r, diag);
    while (rc == PBR_OK && ev.ev != PBR_PXAR_EV_END) {
        rc = pbr_reader_next(r, &ev, diag);
        if (rc < 0 || ev.ev != PBR_PXAR_EV_ENTRY || ev.depth == 0)
            continue;
        len += (size_t)snprintf(out + len, cap - len, "%s=", pbr_reader_path_str(r));
        if (ev.entry.kind == PBR_KIND_APPENDIX_REF) {
            len += (size_t)snprintf(out + len, cap - len, "@%" PRIu64 ";", ev.entry.appendix_off);
            if (want)
                rc = pbr_reader_want(r, diag);
            continue;
        }
        struct pbr_span view = { .len = 0 };
        uint64_t sum = 0;
        while (rc == PBR_OK && ev.entry.kind == PBR_KIND_FILE && (rc = pbr_reader_content(r, &view, diag)) == PBR_OK && view.len) {
            if (ev.entry.size < 10)
                len += (size_t)snprintf(out + len, cap - len, "%.*s", (int)view.len, (const char *)view.ptr);
            sum += view.len;
        }
        len += (size_t)snprintf(out + len, cap - len, sum < 10 ? ";" : "%" PRIu64 ";", sum);
    }
    pbr_reader_free(r);
    return rc;
}

/* ---- split ---- */

static void test_split_archive_of_the_draft_is_read(void **state)
{
    (void)state;
    struct draft_out o;
    char text[200];
    draft_split_example(&o, &env);
    const struct pxar_pair p = { pbr_buf_span(&o.archive), pbr_buf_span(&o.payload), true };
    for (size_t step = 1; step < 300; step = step * 3 + 1) {
        check_int(read_all(&p, step, false, NULL, text, sizeof(text), NULL), PBR_OK);
        check_str(text, "/f=hi\n;");
    }
    /* without its tail marker too [SPL-027] */
    const struct pxar_pair cut = { p.archive, pbr_span_sub(p.payload, 0, 19), true };
    check_int(read_all(&cut, 0, false, NULL, text, sizeof(text), NULL), PBR_OK);
    /* references are absolute: nothing is taken for a start marker */
    const struct pxar_pair no_payload = { p.archive, p.payload, false };
    check_fail(read_all(&no_payload, 0, false, NULL, text, sizeof(text), diag), PBR_E_FORMAT, "EXT-142");
    const struct pbr_reader_opts meta_only = { .meta_only = true };
    struct pxar_streams s;
    struct pbr_reader *r = open_reader(&env, &s, &no_payload, 0, &meta_only); /* listing works [SPL-092] */
    struct pbr_pxar_event ev;
    struct pbr_span view;
    for (int i = 0; i < 2; i++)
        check_int(pbr_reader_next(r, &ev, NULL), PBR_OK);
    check_u64(ev.entry.size, 3);
    check_int(pbr_reader_content(r, &view, NULL), PBR_E_STATE);
    pbr_reader_free(r);
    draft_release(&o);
}

/* With start marker, and with FORMAT_VERSION but without one if it is known to be a draft. */
static void test_markers_are_free_in_drafts(void **state)
{
    (void)state;
    struct draft_out o;
    uint8_t bytes[24];
    char text[200];
    struct pbr_buf in;
    draft_split_example(&o, &env);
    pbr_buf_init(&in, &env, 1 << 16);
    pbr_pxar_hdr_emit(bytes, PBR_PXAR_PAYLOAD_START, 0);
    check_int(pbr_buf_append(&in, pbr_span(bytes, 16)), PBR_OK);
    check_int(pbr_buf_append(&in, pbr_buf_span(&o.payload)), PBR_OK);
    pbr_put_u64le(o.archive.ptr + 146, 16);
    struct pxar_pair p = { pbr_buf_span(&o.archive), pbr_buf_span(&in), true };
    check_int(read_all(&p, 0, false, NULL, text, sizeof(text), NULL), PBR_OK);
    check_str(text, "/f=hi\n;");
    pbr_put_u64le(o.archive.ptr + 146, 0);

    pbr_buf_clear(&in);
    pbr_pxar_hdr_emit(bytes, PBR_PXAR_FORMAT_VERSION, 8);
    pbr_put_u64le(bytes + 16, 2);
    check_int(pbr_buf_append(&in, pbr_span(bytes, 24)), PBR_OK);
    check_int(pbr_buf_append(&in, pbr_buf_span(&o.archive)), PBR_OK);
    p = (struct pxar_pair){ pbr_buf_span(&in), pbr_buf_span(&o.payload), true };
    check_fail(read_all(&p, 0, false, NULL, text, sizeof(text), diag), PBR_E_FORMAT, "PXAR-240");
    const struct pbr_reader_opts draft = { .draft = true };
    check_int(read_all(&p, 0, false, &draft, text, sizeof(text), NULL), PBR_OK);
    check_str(text, "/f=hi\n;");
    pbr_buf_release(&in);
    draft_release(&o);
}

static void test_references_of_the_draft_are_checked(void **state)
{
    (void)state;
    struct draft_out o;
    char text[200];
    draft_split_example(&o, &env);
    const struct pxar_pair p = { pbr_buf_span(&o.archive), pbr_buf_span(&o.payload), true };
    pbr_put_u64le(o.archive.ptr + 154, 2); /* size */
    check_fail(read_all(&p, 0, false, NULL, text, sizeof(text), diag), PBR_E_FORMAT, "PXAR-243");
    pbr_put_u64le(o.archive.ptr + 154, 3);
    pbr_put_u64le(o.archive.ptr + 146, 19); /* the tail marker */
    check_fail(read_all(&p, 0, false, NULL, text, sizeof(text), diag), PBR_E_FORMAT, "PXAR-243");
    draft_release(&o);
}

/* ---- appendix ---- */

static void test_appendix_is_read_behind_the_rest(void **state)
{
    (void)state;
    struct draft_out o;
    char text[200];
    draft_snapshot2(&o, &env);
    const struct pxar_pair p = { .archive = pbr_buf_span(&o.archive) };
    for (size_t step = 1; step < 5000; step = step * 4 + 1) {
        check_int(read_all(&p, step, true, NULL, text, sizeof(text), NULL), PBR_OK);
        check_str(text, "/a.bin=@56;/b.txt=HELLO!;/a.bin=3000;");
        check_int(read_all(&p, step, false, NULL, text, sizeof(text), NULL), PBR_OK);
        check_str(text, "/a.bin=@56;/b.txt=HELLO!;");
    }
    draft_release(&o);
}

static void test_appendix_is_reached_at_random(void **state)
{
    (void)state;
    struct draft_out o;
    struct pbr_access *a;
    struct pbr_access_entry *root, *e;
    struct pbr_access_dir *dir;
    struct pbr_access_content c;
    uint8_t bytes[3000];
    size_t n;
    draft_snapshot2(&o, &env);
    struct pbr_span in = pbr_buf_span(&o.archive);
    const struct pbr_source src = pbr_source_mem(&in);
    check_int(pbr_access_open(&env, &src, NULL, &a, NULL), PBR_OK);
    check_int(pbr_access_root(a, &root, NULL), PBR_OK);
    check_int(pbr_access_opendir(a, root, &dir, NULL), PBR_OK);
    check_u64(pbr_access_dir_count(dir), 2);
    check_int(pbr_access_dir_find(dir, pbr_span_str("a.bin"), &e, NULL), PBR_OK);
    check_int(e->entry.kind, PBR_KIND_FILE);
    check_int(e->entry.meta.mtime_s, 1700000000);
    check_int(pbr_access_content(a, e, &c, NULL), PBR_OK);
    check_int(pbr_access_content_read(&c, 0, bytes, sizeof(bytes), &n, NULL), PBR_OK);
    check_span(pbr_span(bytes, n), draft_a_bin());
    pbr_access_entry_free(e);
    check_int(pbr_access_lookup(a, pbr_span_str("b.txt"), &e, NULL), PBR_OK);
    check_u64(e->entry.size, 6);
    pbr_access_entry_free(e);
    pbr_access_dir_free(dir);
    pbr_access_entry_free(root);
    pbr_access_free(a);
    draft_release(&o);
}

struct seen {
    char rules[200];
};

static void on_finding(void *ctx, const struct pbr_verify_finding *f)
{
    struct seen *s = ctx;
    (void)snprintf(s->rules + strlen(s->rules), sizeof(s->rules) - strlen(s->rules), "%s%s ", f->warning ? "?" : "", f->rule);
}

static struct pbr_verify_result verify(const struct pxar_pair *p, const char *want)
{
    struct pxar_streams s = { .archive_mem = { .in = p->archive }, .payload_mem = { .in = p->payload } };
    struct pbr_verify_result res = { 0 };
    struct seen seen = { "" };
    const struct pbr_verify_opts opts = { .contents = true, .report = on_finding, .ctx = &seen };
    s.archive = pbr_stream_mem(&s.archive_mem);
    s.payload = pbr_stream_mem(&s.payload_mem);
    check_int(pbr_verify(&env, &s.archive, p->split ? &s.payload : NULL, &opts, &res, NULL), PBR_OK);
    check_str(seen.rules, want);
    return res;
}

static void test_intact_drafts_verify(void **state)
{
    (void)state;
    struct draft_out o;
    draft_split_example(&o, &env);
    struct pxar_pair p = { pbr_buf_span(&o.archive), pbr_buf_span(&o.payload), true };
    struct pbr_verify_result r = verify(&p, "");
    check_u64(r.refs, 1);
    check_u64(r.padding_bytes, 0);
    p.payload.len = 19;
    (void)verify(&p, "?SPL-024 ");
    draft_release(&o);
    draft_snapshot2(&o, &env);
    p = (struct pxar_pair){ .archive = pbr_buf_span(&o.archive) };
    r = verify(&p, "");
    check_u64(r.files, 2);
    check_u64(r.entries, 3);
    check_u64(r.file_bytes, 3006);
    check_u64(r.appendix_refs, 1);
    check_u64(r.appendix_bytes, 3337);
    check_u64(r.padding_bytes, 3337 - 3094);
    draft_release(&o);
}

/* One fault in the example: what the reader, random access and the check say. */
static void test_faults_around_the_appendix(void **state)
{
    enum { REF = 94, A = 234, OLD = A + 56, END = 3683 };
    static const struct {
        size_t at;
        uint64_t value;
        const char *reads, *opens;
    } rows[] = {
        { REF, 3337, "APX-054", "APX-054" },            /* behind the section */
        { REF, 3300, "PXAR-003", NULL },                /* somewhere in it; what decoding finds there */
        { REF + 8, 2999, "APX-054", "APX-054" },        /* another size than the file has */
        { REF, 3150, "APX-054", "APX-054" },            /* another file */
        { END - 24, 0, "APX-032", "PXAR-261" },         /* no appendix by the last record */
        { END - 16, 3336, "APX-032", "APX-061" },       /* ... that starts elsewhere */
        { END - 8, 3336, "APX-032", "APX-061" },        /* ... of another size */
        { A - 8, 3336, NULL, "APX-061" },
    };
    (void)state;
    struct draft_out o;
    char text[200];
    draft_snapshot2(&o, &env);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct pxar_pair p = { .archive = pbr_buf_span(&o.archive) };
        struct pbr_span in = p.archive;
        const struct pbr_source src = pbr_source_mem(&in);
        const uint64_t was = pbr_get_u64le(o.archive.ptr + rows[i].at);
        struct pbr_diag d = { 0 };
        struct pbr_access *a = NULL;
        struct pbr_access_entry *e = NULL;
        pbr_put_u64le(o.archive.ptr + rows[i].at, rows[i].value);
        check(read_all(&p, 0, true, NULL, text, sizeof(text), &d) < 0);
        if (rows[i].reads && strcmp(rows[i].reads, "PXAR-003") != 0)
            check_str(d.rule, rows[i].reads);
        d = (struct pbr_diag){ 0 };
        int rc = pbr_access_open(&env, &src, NULL, &a, &d);
        if (rc == PBR_OK)
            rc = pbr_access_lookup(a, pbr_span_str("a.bin"), &e, &d);
        check(rc < 0);
        if (rows[i].opens)
            check_str(d.rule, rows[i].opens);
        pbr_access_free(a);
        pbr_put_u64le(o.archive.ptr + rows[i].at, was);
    }
    o.archive.ptr[OLD + 16] = 'b'; /* the name there */
    const struct pxar_pair p = { .archive = pbr_buf_span(&o.archive) };
    check_fail(read_all(&p, 0, true, NULL, text, sizeof(text), diag), PBR_E_FORMAT, "APX-054");
    check_int(read_all(&p, 0, false, NULL, text, sizeof(text), NULL), PBR_OK); /* nobody looks there */
    draft_release(&o);
}

static void test_references_without_appendix_and_twice(void **state)
{
    (void)state;
    struct draft_out o;
    char text[200];
    uint64_t start;
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_appendix_ref(o.enc, pbr_span_str("a"), 0, 1, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_finish(o.enc, NULL), PBR_OK);
    struct pxar_pair p = { .archive = pbr_buf_span(&o.archive) };
    check_fail(read_all(&p, 0, true, NULL, text, sizeof(text), diag), PBR_E_FORMAT, "APX-056");
    check_fail(read_all(&p, 0, false, NULL, text, sizeof(text), diag), PBR_E_FORMAT, "APX-056");
    draft_release(&o);

    struct draft_out one;
    draft_snapshot1(&one, &env);
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_appendix_ref(o.enc, pbr_span_str("a.bin"), 56, 3000, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_dir_enter(o.enc, pbr_span_str("d"), &EXAMPLE_DIR, NULL), PBR_OK);
    check_int(pbr_pxar_enc_appendix_ref(o.enc, pbr_span_str("a.bin"), 56, 3000, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_dir_leave(o.enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_appendix(o.enc, one.archive.len, &start, NULL), PBR_OK);
    check_int(pbr_buf_append(&o.archive, pbr_buf_span(&one.archive)), PBR_OK);
    check_int(pbr_pxar_enc_advance(o.enc, one.archive.len, NULL), PBR_OK);
    check_int(pbr_pxar_enc_finish(o.enc, NULL), PBR_OK);
    p = (struct pxar_pair){ .archive = pbr_buf_span(&o.archive) };
    check_fail(read_all(&p, 0, true, NULL, text, sizeof(text), diag), PBR_E_FORMAT, "APX-054");
    draft_release(&o);
    draft_release(&one);
}

/* ---- extraction ---- */

static int extract(struct pbr_span archive, const char *dir, struct pbr_extract_stats *stats, struct pbr_diag *diag)
{
    const struct pxar_pair p = { .archive = archive };
    struct pxar_streams s;
    struct pbr_reader *r = open_reader(&env, &s, &p, 100, NULL);
    struct pbr_target target;
    const struct pbr_extract_opts opts = { .strict = true, .without = PBR_FEATURE_OWNER };
    check_int(pbr_target_fs_open(&env, dir, &target, NULL), PBR_OK);
    const int rc = pbr_extract(&env, r, &target, &opts, stats, diag);
    pbr_target_close(&target);
    pbr_reader_free(r);
    return rc;
}

/* A directory without write permission below another one, with a file that comes out of the appendix, and a hard link to it. */
static void test_extraction_returns_to_directories(void **state)
{
    static const struct pbr_pxar_meta closed = { .mode = 040555, .mtime_s = 1600000000 };
    (void)state;
    struct draft_out o, one;
    struct pbr_extract_stats stats;
    struct stat st, link;
    uint64_t start, pos;
    struct scratch dir = scratch_make();
    draft_snapshot1(&one, &env);
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_dir_enter(o.enc, pbr_span_str("d"), &closed, NULL), PBR_OK);
    check_int(pbr_pxar_enc_dir_enter(o.enc, pbr_span_str("e"), &closed, NULL), PBR_OK);
    check_int(pbr_pxar_enc_appendix_ref(o.enc, pbr_span_str("b.txt"), 3150, 5, &pos, NULL), PBR_OK);
    check_int(pbr_pxar_enc_appendix_ref(o.enc, pbr_span_str("a.bin"), 56, 3000, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_dir_leave(o.enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_dir_leave(o.enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_hardlink(o.enc, pbr_span_str("h"), pbr_span_str("d/e/b.txt"), pos, NULL), PBR_OK);
    check_int(pbr_pxar_enc_appendix(o.enc, one.archive.len, &start, NULL), PBR_OK);
    check_int(pbr_buf_append(&o.archive, pbr_buf_span(&one.archive)), PBR_OK);
    check_int(pbr_pxar_enc_advance(o.enc, one.archive.len, NULL), PBR_OK);
    check_int(pbr_pxar_enc_finish(o.enc, NULL), PBR_OK);
    struct pbr_diag diag = { 0 };
    check_int(extract(pbr_buf_span(&o.archive), dir.path, &stats, &diag), PBR_OK);
    check_u64(stats.files, 2);
    check_u64(stats.hardlinks, 1);
    check_u64(stats.entries, 6);
    char *text = get_file(dir.path, "d/e/b.txt");
    check_str(text, "hello");
    free(text);
    check(stat_in(dir.path, "d/e/b.txt", &st) && stat_in(dir.path, "h", &link));
    check(st.st_ino == link.st_ino && st.st_nlink == 2);
    check_int(st.st_mtime, 1700000000);
    for (int i = 0; i < 2; i++) {
        check(stat_in(dir.path, i ? "d/e" : "d", &st));
        check_int(st.st_mode & 07777, 0555);
        check_int(st.st_mtime, 1600000000);
    }
    check(stat_in(dir.path, "d/e/a.bin", &st));
    check_int(st.st_size, 3000);
    const char *const argv[] = { "chmod", "-R", "u+rwX", dir.path, NULL };
    check_int(run_program(argv), 0);
    scratch_remove(&dir);
    draft_release(&o);
    draft_release(&one);
}

/* No allocation that fails leaves anything behind, nor is it taken for success. */
static void test_memory_may_run_out_while_extracting(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct draft_out o;
        struct test_world w;
        const struct pbr_env outer = env;
        struct pbr_extract_stats stats;
        struct pbr_diag diag = { 0 };
        struct scratch dir = scratch_make();
        draft_snapshot2(&o, &outer);
        env = test_env(&w);
        w.alloc_fault.nth = nth;
        const struct pxar_pair p = { .archive = pbr_buf_span(&o.archive) };
        struct pxar_streams s = { .archive_mem = { .in = p.archive, .step = 500 } };
        struct pbr_reader *r = NULL;
        struct pbr_target target;
        const struct pbr_extract_opts opts = { .strict = true, .without = PBR_FEATURE_OWNER };
        s.archive = pbr_stream_mem(&s.archive_mem);
        int rc = pbr_target_fs_open(&outer, dir.path, &target, NULL);
        check_int(rc, PBR_OK);
        rc = pbr_reader_open(&env, &s.archive, NULL, &r, &diag);
        if (rc == PBR_OK)
            rc = pbr_extract(&env, r, &target, &opts, &stats, &diag);
        pbr_reader_free(r);
        pbr_target_close(&target);
        check_int(rc, w.alloc_fault.hit ? diag.code : PBR_OK);
        check(!w.alloc_fault.hit || rc < 0);
        check_int(w.live_allocs, 0);
        env = outer;
        draft_release(&o);
        scratch_remove(&dir);
        if (!w.alloc_fault.hit)
            break;
    }
}

/* ---- listing ---- */

static void test_long_lines_wait_for_their_metadata(void **state)
{
    (void)state;
    struct draft_out o;
    struct pbr_buf out;
    draft_snapshot2(&o, &env);
    for (int long_form = 0; long_form < 2; long_form++) {
        const struct pxar_pair p = { .archive = pbr_buf_span(&o.archive) };
        struct pxar_streams s;
        struct pbr_reader *r = open_reader(&env, &s, &p, 0, NULL);
        const struct pbr_list_opts opts = { .long_form = long_form };
        pbr_buf_init(&out, &env, 1 << 16);
        struct pbr_sink sink = pbr_sink_buf(&out);
        check_int(pbr_list(&env, r, &opts, &sink, NULL), PBR_OK);
        check_str(pbr_buf_cstr(&out), long_form ? "drwxr-xr-x   0/0           2023-11-14 22:13:20        0 \"/\"\n"
                                                  "-rw-r--r--   0/0           2023-11-14 22:13:20        6 \"/b.txt\"\n"
                                                  "-rw-r--r--   0/0           2023-11-14 22:13:20     3000 \"/a.bin\"\n"
                                                : "\"/\"\n\"/a.bin\"\n\"/b.txt\"\n");
        pbr_buf_release(&out);
        pbr_reader_free(r);
    }
    draft_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_archive_of_the_draft_is_read),
        cmocka_unit_test(test_markers_are_free_in_drafts),
        cmocka_unit_test(test_references_of_the_draft_are_checked),
        cmocka_unit_test(test_appendix_is_read_behind_the_rest),
        cmocka_unit_test(test_appendix_is_reached_at_random),
        cmocka_unit_test(test_intact_drafts_verify),
        cmocka_unit_test(test_faults_around_the_appendix),
        cmocka_unit_test(test_references_without_appendix_and_twice),
        cmocka_unit_test(test_extraction_returns_to_directories),
        cmocka_unit_test(test_memory_may_run_out_while_extracting),
        cmocka_unit_test(test_long_lines_wait_for_their_metadata),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
