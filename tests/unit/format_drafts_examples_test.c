/* SPDX-License-Identifier: MIT */
/* covers: APX-070 APX-071 APX-072 APX-073 APX-074 SPL-020 SPL-023 SPL-024 SPL-025 */
/* The archives and the catalog that stand as bytes in the sheets of the two drafts are what the encoder writes. */
#include "spec_example.h"

#include "draft_data.h"
#include "format/catalog.h"

static void test_split_example_is_what_the_sheet_shows(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct draft_out o;
    struct pbr_span archive = example_load("draft-split-stream.md", "spl-archive");
    struct pbr_span payload = example_load("draft-split-stream.md", "spl-payload");
    draft_split_example(&o, &env);
    check_span(pbr_buf_span(&o.archive), archive);
    check_span(pbr_buf_span(&o.payload), payload);
    draft_release(&o);
    test_unload(archive);
    test_unload(payload);
    check_int(w.live_allocs, 0);
}

static void test_appendix_example_is_what_the_sheet_shows(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct draft_out one, two;
    struct pbr_span head = example_load("draft-appendix.md", "apx-head"), tail = example_load("draft-appendix.md", "apx-tail");
    draft_snapshot1(&one, &env);
    draft_snapshot2(&two, &env);
    const struct pbr_span all = pbr_buf_span(&two.archive);
    check_u64(all.len, head.len + one.archive.len + tail.len);
    check_span(pbr_span_sub(all, 0, head.len), head);
    check_span(pbr_span_sub(all, head.len, one.archive.len), pbr_buf_span(&one.archive));
    check_span(pbr_span_sub(all, all.len - tail.len, tail.len), tail);
    draft_release(&one);
    draft_release(&two);
    test_unload(head);
    test_unload(tail);
    check_int(w.live_allocs, 0);
}

static void test_catalog_example_is_what_the_sheet_shows(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_span want = example_load("draft-appendix.md", "apx-catalog");
    struct pbr_pcat_writer *writer = NULL;
    struct pbr_buf out;
    pbr_buf_init(&out, &env, 1 << 12);
    struct pbr_sink sink = pbr_sink_buf(&out);
    const struct pbr_pcat_entry a = { .type = PBR_PCAT_REF, .name = pbr_span_str("a.bin"), .size = 3000, .mtime_s = 1700000000,
                                      .ctime_s = 1700000100, .pos = 56 },
                                b = { .type = PBR_PCAT_FILE, .name = pbr_span_str("b.txt"), .size = 6, .mtime_s = 1700000000,
                                      .ctime_s = 1700000200, .pos = 110 };

    check_int(pbr_pcat_writer_new_extended(&env, &sink, &writer, NULL), PBR_OK);
    check_int(pbr_pcat_writer_start_dir(writer, pbr_span_str("root.pxar.didx"), NULL), PBR_OK);
    check_int(pbr_pcat_writer_add(writer, &a, NULL), PBR_OK);
    check_int(pbr_pcat_writer_add(writer, &b, NULL), PBR_OK);
    check_int(pbr_pcat_writer_end_archive(writer, 234, NULL), PBR_OK);
    check_int(pbr_pcat_writer_finish(writer, NULL), PBR_OK);
    check_span(pbr_buf_span(&out), want);

    pbr_pcat_writer_free(writer);
    pbr_buf_release(&out);
    test_unload(want);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_example_is_what_the_sheet_shows),
        cmocka_unit_test(test_appendix_example_is_what_the_sheet_shows),
        cmocka_unit_test(test_catalog_example_is_what_the_sheet_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
