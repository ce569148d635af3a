/* SPDX-License-Identifier: MIT */
/* covers: EXT-010 EXT-011 EXT-015 EXT-142 EXT-145 PXAR-221 PXAR-226 PXAR-227 PXAR-228 PXAR-229 PXAR-240 PXAR-241 PXAR-242
 * PXAR-243 PXAR-244 PXAR-245 PXAR-246 PXAR-247 PXAR-248 PXAR-278 */
#include "pxar_data.h"

static const struct pbr_pxar_meta DIR_META = { .mode = 040755 }, FILE_META = { .mode = 0100644 };

static struct test_world world;
static struct pbr_env env;
static struct pbr_buf archive, payload;
static struct pbr_sink archive_sink, payload_sink;

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

/* Two files "a" and "b" with five bytes each, in a split archive or not. */
static struct pxar_pair two_files(bool split)
{
    struct pbr_pxar_enc *enc = NULL;
    check_int(pbr_pxar_enc_new(&env, &archive_sink, split ? &payload_sink : NULL, NULL, &DIR_META, &enc, NULL), PBR_OK);
    for (int i = 0; i < 2; i++) {
        check_int(pbr_pxar_enc_file(enc, pbr_span_str(i ? "b" : "a"), &FILE_META, 5, NULL, NULL), PBR_OK);
        check_int(pbr_pxar_enc_file_write(enc, pbr_span_str(i ? "world" : "hello"), NULL), PBR_OK);
        check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
    }
    check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
    pbr_pxar_enc_free(enc);
    return (struct pxar_pair){ pbr_buf_span(&archive), pbr_buf_span(&payload), split };
}

enum { REF_A = 24 + 56 + 18 + 56 + 16, REF_B = REF_A + 16 + 18 + 56 + 16 }; /* contents of the PAYLOAD_REF items */

static struct pbr_pxar_event next_entry(struct pbr_reader *r)
{
    struct pbr_pxar_event ev;
    do {
        check_int(pbr_reader_next(r, &ev, NULL), PBR_OK);
    } while (ev.ev != PBR_PXAR_EV_ENTRY);
    return ev;
}

static void test_events_come_in_archive_order_with_paths(void **state)
{
    (void)state;
    struct pxar_pair p = load_pair(GOLDEN "hardlinks.pxar");
    struct pxar_streams s;
    static const char *const want[] = { "E /",       "E /a",       "E /a/first",   "E /a/second", "D /a",  "E /m",
                                        "E /z",      "E /z/alone", "E /z/empty",   "E /z/empty-too", "E /z/last",
                                        "D /z",      "D /" };
    struct pbr_reader *r = open_reader(&env, &s, &p, 5, NULL);
    check_str(pbr_reader_path_str(r), "/");
    for (size_t i = 0;; i++) {
        struct pbr_pxar_event ev;
        char line[64];
        check_int(pbr_reader_next(r, &ev, NULL), PBR_OK);
        if (ev.ev == PBR_PXAR_EV_END) {
            check_u64(i, sizeof(want) / sizeof(want[0]));
            break;
        }
        check(i < sizeof(want) / sizeof(want[0]));
        snprintf(line, sizeof(line), "%c %s", ev.ev == PBR_PXAR_EV_ENTRY ? 'E' : 'D', pbr_reader_path_str(r));
        check_str(line, want[i]);
        check(pbr_span_eq_str(pbr_reader_path(r), line + 2));
    }
    struct pbr_pxar_event again;
    check_int(pbr_reader_next(r, &again, NULL), PBR_OK);
    check_int(again.ev, PBR_PXAR_EV_END);
    check_u64(pbr_reader_pos(r), p.archive.len);
    pbr_reader_free(r);
    unload_pair(&p);
}

static void test_streams_stand_behind_the_archive_after_its_end(void **state)
{
    (void)state;
    for (int split = 0; split < 2; split++) {
        pbr_buf_clear(&archive);
        pbr_buf_clear(&payload);
        two_files(split);
        const size_t len = archive.len;
        check_int(pbr_buf_append(&archive, pbr_span_str("trailing")), PBR_OK);
        struct pxar_pair p = { pbr_buf_span(&archive), pbr_buf_span(&payload), split };
        struct pxar_streams s;
        struct pbr_reader *r = open_reader(&env, &s, &p, 0, NULL);
        struct pbr_pxar_event ev;
        do {
            check_int(pbr_reader_next(r, &ev, NULL), PBR_OK);
        } while (ev.ev != PBR_PXAR_EV_END);
        check_u64(s.archive_mem.pos, len);
        check_u64(s.payload_mem.pos, split ? 16 + 21 : 0); /* as far as the last header: PXAR-242, PXAR-246 */
        check_u64(pbr_reader_payload_pos(r), s.payload_mem.pos);
        pbr_reader_free(r);
    }
}

static void test_spans_of_an_entry_outlive_its_contents(void **state)
{
    (void)state;
    for (int split = 0; split < 2; split++) {
        pbr_buf_clear(&archive);
        pbr_buf_clear(&payload);
        struct pxar_pair p = two_files(split);
        struct pxar_streams s;
        struct pbr_reader *r = open_reader(&env, &s, &p, 1, NULL);
        next_entry(r);
        struct pbr_pxar_event ev = next_entry(r);
        struct pbr_span view;
        char got[8] = "";
        for (size_t n = 0;; n++) {
            check_int(pbr_reader_content(r, &view, NULL), PBR_OK);
            if (view.len == 0)
                break;
            check(n < 5 && view.len == 1);
            got[n] = (char)view.ptr[0];
        }
        check_str(got, "hello");
        check_int(pbr_reader_content(r, &view, NULL), PBR_OK); /* stays at the end */
        check_u64(view.len, 0);
        check(pbr_span_eq_str(ev.entry.name, "a"));
        check_str(pbr_reader_path_str(r), "/a");
        pbr_reader_free(r);
    }
}

static void test_contents_are_views_into_the_stream(void **state)
{
    (void)state;
    for (int split = 0; split < 2; split++) {
        pbr_buf_clear(&archive);
        pbr_buf_clear(&payload);
        struct pxar_pair p = two_files(split);
        struct pxar_streams s;
        struct pbr_reader *r = open_reader(&env, &s, &p, 0, NULL);
        struct pbr_span view;
        next_entry(r);
        const struct pbr_pxar_event ev = next_entry(r);
        check_int(pbr_reader_content(r, &view, NULL), PBR_OK);
        check(view.ptr == (split ? p.payload.ptr + 32 : p.archive.ptr + ev.entry.data_pos));
        check_u64(view.len, 5);
        pbr_reader_free(r);
    }
}

static void test_contents_need_a_file(void **state)
{
    (void)state;
    struct pxar_pair p = two_files(false);
    struct pxar_streams s;
    struct pbr_span view;
    struct pbr_reader *r = open_reader(&env, &s, &p, 0, NULL);
    check_int(pbr_reader_content(r, &view, NULL), PBR_E_STATE);
    next_entry(r);
    check_int(pbr_reader_content(r, &view, NULL), PBR_E_STATE);
    next_entry(r);
    check_int(pbr_reader_content(r, &view, NULL), PBR_OK);
    pbr_reader_free(r);
}

/* ---- start of the payload stream ---- */

static int open_with(struct pxar_pair *p, struct pbr_diag *diag)
{
    struct pxar_streams s;
    struct pbr_reader *r = NULL;
    s.archive_mem = (struct pbr_stream_mem){ .in = p->archive };
    s.payload_mem = (struct pbr_stream_mem){ .in = p->payload };
    s.archive = pbr_stream_mem(&s.archive_mem);
    s.payload = pbr_stream_mem(&s.payload_mem);
    const int rc = pbr_reader_open(&env, &s.archive, &s.payload, &r, diag);
    check(rc == PBR_OK || !r);
    pbr_reader_free(r);
    return rc;
}

static void test_payload_streams_start_with_their_marker(void **state)
{
    (void)state;
    struct pxar_pair p = two_files(true), cut = p;
    cut.payload.len = 15;
    check_fail(open_with(&cut, diag), PBR_E_TRUNCATED, "PXAR-240");
    cut.payload.len = 0;
    check_fail(open_with(&cut, diag), PBR_E_TRUNCATED, "PXAR-240");
    payload.ptr[0] ^= 1;
    check_fail(open_with(&p, diag), PBR_E_FORMAT, "PXAR-240");
    payload.ptr[0] ^= 1;
    payload.ptr[8]++;
    check_fail(open_with(&p, diag), PBR_E_FORMAT, "PXAR-241");
    payload.ptr[8]--;
    check_int(open_with(&p, NULL), PBR_OK);
}

/* ---- references ---- */

/* Reads all entries, and contents of the files whose letter is in `read`. */
static int run(const struct pxar_pair *p, const char *read, struct pbr_diag *diag)
{
    struct pxar_streams s;
    struct pbr_reader *r = open_reader(&env, &s, p, 0, NULL);
    int rc;
    for (;;) {
        struct pbr_pxar_event ev;
        struct pbr_span view = { 0 };
        rc = pbr_reader_next(r, &ev, diag);
        if (rc < 0 || ev.ev == PBR_PXAR_EV_END)
            break;
        if (ev.ev != PBR_PXAR_EV_ENTRY || ev.entry.name.len == 0 || !strchr(read, ev.entry.name.ptr[0]))
            continue;
        do {
            rc = pbr_reader_content(r, &view, diag);
        } while (rc == PBR_OK && view.len);
        if (rc < 0)
            break;
    }
    pbr_reader_free(r);
    return rc;
}

static void test_references_may_not_go_back(void **state)
{
    (void)state;
    const struct pxar_pair p = two_files(true);
    pbr_put_u64le(archive.ptr + REF_B, 15);
    check_fail(run(&p, "", diag), PBR_E_FORMAT, "PXAR-242");
    pbr_put_u64le(archive.ptr + REF_B, 16); /* the same offset: fine unless the first was read (PXAR-245) */
    check_int(run(&p, "", NULL), PBR_OK);
    check_int(run(&p, "b", NULL), PBR_OK);
    check_fail(run(&p, "a", diag), PBR_E_FORMAT, "PXAR-242");
    pbr_put_u64le(archive.ptr + REF_B, 36); /* into the first one's data */
    check_fail(run(&p, "a", diag), PBR_E_FORMAT, "PXAR-242");
    pbr_put_u64le(archive.ptr + REF_B, 10000);
    check_fail(run(&p, "", diag), PBR_E_TRUNCATED, "PXAR-242");
    pbr_put_u64le(archive.ptr + REF_B, UINT64_MAX - 3);
    check_fail(run(&p, "", diag), PBR_E_FORMAT, "PXAR-130");
}

static void test_payload_headers_are_checked_when_contents_are_opened(void **state)
{
    (void)state;
    const struct pxar_pair p = two_files(true);
    payload.ptr[16] ^= 1;
    check_int(run(&p, "b", NULL), PBR_OK);
    check_fail(run(&p, "a", diag), PBR_E_FORMAT, "PXAR-243");
    payload.ptr[16] ^= 1;
    payload.ptr[24]++;
    check_fail(run(&p, "a", diag), PBR_E_FORMAT, "PXAR-243");

    /* PXAR-244: the next entry can be read */
    struct pxar_streams s;
    struct pbr_reader *r = open_reader(&env, &s, &p, 0, NULL);
    struct pbr_span view;
    next_entry(r);
    next_entry(r);
    check_int(pbr_reader_content(r, &view, NULL), PBR_E_FORMAT);
    check_int(pbr_reader_content(r, &view, NULL), PBR_E_STATE);
    next_entry(r);
    check_int(pbr_reader_content(r, &view, NULL), PBR_OK);
    check(pbr_span_eq_str(view, "world"));
    pbr_reader_free(r);
}

static void test_early_ends_inside_contents_are_noticed(void **state)
{
    (void)state;
    struct pxar_pair p = two_files(true);
    p.payload.len = 16 + 16 + 3;
    check_fail(run(&p, "a", diag), PBR_E_TRUNCATED, "PXAR-226");
    p.payload.len = 16 + 10;
    check_fail(run(&p, "a", diag), PBR_E_TRUNCATED, "PXAR-243");
    pbr_buf_clear(&archive);
    p = two_files(false);
    p.archive.len = 56 + 18 + 56 + 16 + 3;
    check_fail(run(&p, "a", diag), PBR_E_TRUNCATED, "PXAR-226");
    check_fail(run(&p, "", diag), PBR_E_TRUNCATED, "PXAR-225");
}

static void test_forms_are_not_mixed(void **state)
{
    (void)state;
    struct pxar_pair p = two_files(true);
    const struct pxar_pair alone = { .archive = p.archive };
    check_fail(run(&alone, "", diag), PBR_E_FORMAT, "EXT-142");

    struct pxar_streams s;
    const struct pbr_reader_opts opts = { .meta_only = true };
    struct pbr_reader *r = open_reader(&env, &s, &alone, 0, &opts);
    struct pbr_span view;
    next_entry(r);
    check_u64(next_entry(r).entry.ref_off, 16);
    check_fail(pbr_reader_content(r, &view, diag), PBR_E_STATE, "PXAR-278");
    check_u64(next_entry(r).entry.ref_off, 37);
    pbr_reader_free(r);

    struct pbr_buf keep = payload;
    pbr_buf_init(&payload, &env, 1 << 20);
    pbr_buf_clear(&archive);
    p = two_files(false);
    p.payload = pbr_buf_span(&keep);
    p.split = true;
    check_fail(run(&p, "", diag), PBR_E_FORMAT, "PXAR-248");
    pbr_buf_release(&keep);
}

static void test_gaps_between_references_are_told(void **state)
{
    (void)state;
    struct pbr_pxar_enc *enc = NULL;
    check_int(pbr_pxar_enc_new(&env, &archive_sink, &payload_sink, NULL, &DIR_META, &enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_ref(enc, pbr_span_str("a"), &FILE_META, 16, 100, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_ref(enc, pbr_span_str("b"), &FILE_META, 132, 10, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_ref(enc, pbr_span_str("c"), &FILE_META, 165, 10, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
    pbr_pxar_enc_free(enc);
    static const uint64_t want[] = { 0, 0, 0, 7 };
    const struct pxar_pair p = { .archive = pbr_buf_span(&archive) };
    const struct pbr_reader_opts opts = { .meta_only = true };
    struct pxar_streams s;
    struct pbr_reader *r = open_reader(&env, &s, &p, 0, &opts);
    for (size_t i = 0; i < 4; i++) {
        next_entry(r);
        check_u64(pbr_reader_padding(r), want[i]);
    }
    pbr_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events_come_in_archive_order_with_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams_stand_behind_the_archive_after_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_spans_of_an_entry_outlive_its_contents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_contents_are_views_into_the_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_contents_need_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_payload_streams_start_with_their_marker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_references_may_not_go_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_payload_headers_are_checked_when_contents_are_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_early_ends_inside_contents_are_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forms_are_not_mixed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gaps_between_references_are_told, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("archive_read", tests, NULL, NULL);
}
