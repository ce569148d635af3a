/* SPDX-License-Identifier: MIT */
/* covers: CDM-003 CDM-111 EXT-141 */
/* The words and the page about what was re-used, on snapshots made by hand. */
#include "client/history_html.h"
#include "client/history_words.h"
#include "format/quote.h"
#include "test.h"

enum { HDR = 16, PAGE_MAX = 64 << 20 };

struct fixture {
    struct test_world world;
    struct pbr_env env;
    struct pbr_generation generations[2];
    struct pbr_history_archive archives[2];
    struct pbr_history_other other;
    struct pbr_history history;
    uint8_t *index_files[2];
    struct pbr_buf page;
};

/* Chunks of equal size; digests count from `first_digest` on. */
static void fill_index(struct fixture *f, size_t g, size_t chunk_nr, uint64_t chunk_size, uint32_t first_digest)
{
    const struct pbr_index head = { .kind = PBR_INDEX_DYNAMIC };
    f->index_files[g] = calloc(1, PBR_INDEX_HDR + chunk_nr * PBR_DIDX_REC);
    assert_non_null(f->index_files[g]);
    pbr_index_hdr_emit(&head, f->index_files[g]);
    for (size_t i = 0; i < chunk_nr; i++) {
        uint8_t digest[PBR_DIGEST_LEN] = { 0 };
        pbr_put_u32le(digest, first_digest + (uint32_t)i);
        pbr_didx_rec_emit((i + 1) * chunk_size, digest, f->index_files[g] + PBR_INDEX_HDR + i * PBR_DIDX_REC);
    }
    check_int(pbr_index_parse(pbr_span(f->index_files[g], PBR_INDEX_HDR + chunk_nr * PBR_DIDX_REC), false,
                              &f->archives[g].stored.payload_index.index, NULL), PBR_OK);
}

/* One file that fills the stream but for `holes` bytes before the tail marker. */
static void fill_layout(struct fixture *f, size_t g, struct pbr_span path, enum pbr_layout_read read, uint64_t holes, int64_t mtime_s)
{
    struct pbr_history_archive *a = &f->archives[g];
    const uint64_t size = a->stored.payload_index.index.size;
    const struct pbr_pxar_entry e = { .kind = PBR_KIND_FILE, .has_ref = true, .ref_off = HDR, .size = size - 3 * HDR - holes,
                                      .name_pos = 100, .end_pos = 200, .meta = { .mtime_s = mtime_s } };
    const struct pbr_pxar_rec rec = { .offset = 400, .size = 100 + (read == PBR_LAYOUT_READ ? e.size : 0) };
    check_int(pbr_layout_new(&f->env, &a->stored.payload_index.index, &a->layout, NULL), PBR_OK);
    check_int(pbr_layout_add(a->layout, path, &e, NULL), PBR_OK);
    pbr_layout_record(a->layout, 500, &rec);
    check_int(pbr_layout_finish(a->layout, NULL), PBR_OK);
    a->stored.size = size;
    (void)snprintf(a->name, sizeof(a->name), "root.pxar");
    check_int(pbr_report_new(&f->env, a->layout, g ? f->archives[0].layout : NULL, &a->report, NULL), PBR_OK);
    a->before = g ? &f->archives[0] : NULL;
    a->no_before = g ? NULL : "there is no snapshot before it";
}

/* Two generations of one file: read, then re-used with a hole (or read again). */
static void set_up(struct fixture *f, size_t chunk_nr, struct pbr_span path, enum pbr_layout_read read)
{
    *f = (struct fixture){ 0 };
    f->env = test_env(&f->world);
    for (size_t g = 0; g < 2; g++) {
        fill_index(f, g, chunk_nr, 1000, g == 1 && read == PBR_LAYOUT_READ ? 1u << 24 : 0);
        fill_layout(f, g, path, g ? read : PBR_LAYOUT_READ, g ? 1500 : 0, read == PBR_LAYOUT_READ ? (int64_t)g : 0);
        f->generations[g] = (struct pbr_generation){ .archives = &f->archives[g], .archive_nr = 1,
                                                     .snapshot = { .group = { "host", "box" }, .time_s = 1700000000 + (int64_t)g } };
    }
    f->history = (struct pbr_history){ .env = &f->env, .generations = f->generations, .nr = 2, .direct = true };
    pbr_buf_init(&f->page, &f->env, PAGE_MAX);
}

static void tear_down(struct fixture *f)
{
    for (size_t g = 0; g < 2; g++) {
        pbr_report_free(f->archives[g].report);
        pbr_layout_free(f->archives[g].layout);
        free(f->index_files[g]);
    }
    pbr_buf_release(&f->page);
    check_int(f->world.live_allocs, 0);
}

static const char *make_page(struct fixture *f, const struct pbr_html_opts *opts)
{
    struct pbr_sink sink = pbr_sink_buf(&f->page);
    check_int(pbr_history_html(&f->history, opts, &sink, NULL), PBR_OK);
    const char *text = pbr_buf_cstr(&f->page);
    assert_non_null(text);
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    while ((text = strstr(text, what)) != NULL) {
        n++;
        text++;
    }
    return n;
}

static void test_words_are_the_figures(void **state)
{
    (void)state;
    struct fixture f;
    struct pbr_buf out;
    set_up(&f, 100, pbr_span_str("/a"), PBR_LAYOUT_NOT_READ);
    pbr_buf_init(&out, &f.env, 4096);
    const struct pbr_history_archive *a = &f.archives[1];
    check_int(pbr_words_files(a, &out), PBR_OK);
    check_str(pbr_buf_cstr(&out), "1 of 1 file re-used without reading");
    pbr_buf_clear(&out);
    check_int(pbr_words_bytes(a, true, &out), PBR_OK);
    check_str(pbr_buf_cstr(&out), "0 B of 97.7 KiB uploaded");
    pbr_buf_clear(&out);
    check_int(pbr_words_read(a, &out), PBR_OK);
    check_str(pbr_buf_cstr(&out), "0 files of 0 B read");
    pbr_buf_clear(&out);
    check_int(pbr_words_padding(a, &out), PBR_OK);
    check_str(pbr_buf_cstr(&out), "1.5 KiB of padding (1.5 % of the payload stream) in 2 of 100 re-used chunks");
    pbr_buf_clear(&out);
    check_int(pbr_words_read(&f.archives[0], &out), PBR_OK);
    check_str(pbr_buf_cstr(&out), "1 file of 97.6 KiB read: there is no snapshot before it");
    pbr_buf_release(&out);
    tear_down(&f);
}

static void test_a_map_has_one_cell_per_chunk(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 100, pbr_span_str("/a"), PBR_LAYOUT_NOT_READ);
    const struct pbr_html_opts opts = { .shown = 1 };
    const char *text = make_page(&f, &opts);
    check_int(count(text, "<g><title>chunk "), 100);
    check_int(count(text, ": re-used whole"), 98);
    check_int(count(text, ": re-used in part"), 2);
    check_int(count(text, "<svg class=map"), 1);
    tear_down(&f);
}

static void test_generations_stand_side_by_side(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 100, pbr_span_str("/a"), PBR_LAYOUT_READ);
    const struct pbr_html_opts opts = { 0 };
    const char *text = make_page(&f, &opts);
    check_int(count(text, "<svg class=map"), 2);
    check_int(count(text, "<g><title>"), 200);
    check_int(count(text, "size 97.6 KiB → 96.1 KiB, time"), 1);
    tear_down(&f);
}

static void test_the_page_is_bounded(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 200000, pbr_span_str("/a"), PBR_LAYOUT_NOT_READ);
    const struct pbr_html_opts opts = { .shown = 1, .cells = 1000 };
    const char *text = make_page(&f, &opts);
    check_int(count(text, "<g><title>chunks "), 1000);
    check_int(count(text, "200000 chunks: one cell stands for 200 of them."), 1);
    check(f.page.len < 300000);
    tear_down(&f);
}

static void test_names_cannot_leave_their_place(void **state)
{
    (void)state;
    static const char name[] = "/<script>alert(1)</script>\"'&\x1b[31m\xe2\x80\xae\xff\n</title>";
    struct fixture f;
    set_up(&f, 10, pbr_span(name, sizeof(name) - 1), PBR_LAYOUT_READ);
    const struct pbr_html_opts opts = { 0 };
    const char *text = make_page(&f, &opts);
    check_int(count(text, "<script"), 0);
    check_int(count(text, "\x1b"), 0);
    check_int(count(text, "\xe2\x80\xae"), 0);
    check_int(count(text, "\xff"), 0);
    check(count(text, "&lt;script&gt;alert(1)&lt;/script&gt;\\&quot;") > 2);
    check(count(text, "&amp;\\u{1b}[31m\\u{202e}\\xFF\\n&lt;/title&gt;") > 2);
    check_int(count(text, "default-src 'none'"), 1);
    tear_down(&f);
}

static void test_long_names_are_cut_between_characters(void **state)
{
    (void)state;
    struct test_world world;
    const struct pbr_env env = test_env(&world);
    uint8_t name[3000];
    struct pbr_buf out;
    for (size_t i = 0; i < sizeof(name); i += 3)
        memcpy(name + i, "€", 3);
    for (size_t max = 20; max < 40; max++) {
        uint32_t point;
        size_t bad;
        pbr_buf_init(&out, &env, 4096);
        check_int(pbr_words_name(pbr_span(name, sizeof(name)), max, &out), PBR_OK);
        check(out.len > 10 && out.len <= max + 6);
        for (struct pbr_span left = pbr_buf_span(&out); left.len > 0;) {
            const size_t n = pbr_utf8_next(left, &point, &bad);
            check(n > 0);
            left = pbr_span_sub(left, n, left.len);
        }
        pbr_buf_release(&out);
    }
}

/* A sink that refuses: its failure comes out, the page stops. */
static int refuse(void *ctx, struct pbr_span in, struct pbr_diag *diag)
{
    (void)ctx;
    (void)in;
    return pbr_fail_at(diag, PBR_E_IO, NULL, "full");
}

static void test_a_failing_sink_is_reported(void **state)
{
    (void)state;
    struct fixture f;
    struct pbr_diag diag = { 0 };
    const struct pbr_html_opts opts = { 0 };
    struct pbr_sink sink = { .write = refuse };
    set_up(&f, 3000, pbr_span_str("/a"), PBR_LAYOUT_NOT_READ);
    check_int(pbr_history_html(&f.history, &opts, &sink, &diag), PBR_E_IO);
    check_str(diag.text, "full");
    tear_down(&f);
}

static void test_running_out_of_memory_is_reported(void **state)
{
    (void)state;
    const struct pbr_html_opts opts = { 0 };
    for (long nth = 0;; nth++) {
        struct fixture f;
        struct pbr_diag diag = { 0 };
        set_up(&f, 10, pbr_span_str("/a"), PBR_LAYOUT_READ);
        struct pbr_sink sink = pbr_sink_buf(&f.page);
        f.world.alloc_fault = (struct pbr_fault){ .nth = nth };
        const int rc = pbr_history_html(&f.history, &opts, &sink, &diag);
        const bool hit = f.world.alloc_fault.hit;
        check(hit ? rc < 0 : rc == PBR_OK);
        tear_down(&f);
        if (!hit)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_the_figures),
        cmocka_unit_test(test_a_map_has_one_cell_per_chunk),
        cmocka_unit_test(test_generations_stand_side_by_side),
        cmocka_unit_test(test_the_page_is_bounded),
        cmocka_unit_test(test_names_cannot_leave_their_place),
        cmocka_unit_test(test_long_names_are_cut_between_characters),
        cmocka_unit_test(test_a_failing_sink_is_reported),
        cmocka_unit_test(test_running_out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
