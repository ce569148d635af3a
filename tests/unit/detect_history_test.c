/* SPDX-License-Identifier: MIT */
/* covers: CDM-059 CDM-060 CDM-062 CDM-065 CDM-078 CDM-140 CDM-142 CDM-143 CDM-144 CDM-145 CDM-151 CDM-169 CHK-062 */
/* Defects that the original had once (section 12 of spec/change-detection.md), and faults that are easily made: each test
 * fails on the defective behaviour. Those of the whole program are in tests/e2e/test_history.py. */
#include "chunk_out.h"
#include "detect/seen.h"
#include "detect_scene.h"
#include "format/pxar_enc.h"

/* ---- sizes ---- */

/* Same metadata, other size: the new references would point to a payload of the wrong length. */
static void test_CDM_140_a_file_of_another_size_is_not_reused(void **state)
{
    const uint64_t ends[] = { 200064 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 100000 },
                                              { .name = "b", .off = 100032, .size = 100000 } };
    const struct scene scene = SCENE(ends, previous);
    const uint64_t sizes[] = { 100001, 99999, 0 };
    (void)state;
    for (size_t i = 0; i < NR(sizes); i++) {
        const struct item items[] = { FILE_("a", 100000), FILE_("b", sizes[i]) };
        check_play(&scene, items, NR(items), ALL_WAIT,
             &(struct want){ .refs = "a@16 b@100032", .injections = "", .reencoded_files = 2,
                             .reencoded_size = 100032 + sizes[i] });
    }
}

/* ---- order of references ---- */

/* Neither the same place twice nor back again. */
static void test_CDM_142_the_encoder_refuses_references_out_of_order(void **state)
{
    const struct pbr_pxar_meta dir = { .mode = 040755 }, file = { .mode = 0100644 };
    const struct {
        uint64_t off;
        const char *rule;
    } bad[] = { { 5000, "PXAR-139" }, { 4999, "PXAR-139" }, { 16, "PXAR-139" }, { 15, "PXAR-204" } };
    (void)state;
    for (size_t i = 0; i < NR(bad); i++) {
        struct test_world world;
        struct pbr_env env = test_env(&world);
        struct pbr_buf archive, payload;
        struct pbr_pxar_enc *enc = NULL;
        pbr_buf_init(&archive, &env, 1 << 20);
        pbr_buf_init(&payload, &env, 1 << 20);
        struct pbr_sink archive_sink = pbr_sink_buf(&archive), payload_sink = pbr_sink_buf(&payload);
        check_int(pbr_pxar_enc_new(&env, &archive_sink, &payload_sink, NULL, &dir, &enc, NULL), PBR_OK);
        check_int(pbr_pxar_enc_file_ref(enc, pbr_span_str("a"), &file, 5000, 10, NULL, NULL), PBR_OK);
        check_fail(pbr_pxar_enc_file_ref(enc, pbr_span_str("b"), &file, bad[i].off, 10, NULL, diag), PBR_E_STATE, bad[i].rule);
        pbr_pxar_enc_free(enc);
        pbr_buf_release(&archive);
        pbr_buf_release(&payload);
        check_int(world.live_allocs, 0);
    }
}

/* An old snapshot repeats a place, and goes back: those files are written anew with a warning each, the others re-used. The
 * greatest offset is one of the whole run: the second file out of order comes long after a changed one ended the range. */
static void test_CDM_143_old_references_out_of_order_end_no_backup(void **state)
{
    const uint64_t ends[] = { 400080, 800160, 1200256 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 400048 },
                                              { .name = "b", .off = 16, .size = 400048 },
                                              { .name = "c", .off = 400080, .size = 400064 },
                                              { .name = "d", .off = 800160, .size = 1000 },
                                              { .name = "e", .off = 400080, .size = 400064 },
                                              { .name = "f", .off = 801176, .size = 399048 } };
    const struct item items[] = { FILE_("a", 400048), FILE_("b", 400048), FILE_("c", 400064), TOUCHED("d", 1000),
                                  FILE_("e", 400064), FILE_("f", 399048) };
    const struct scene scene = SCENE(ends, previous);
    struct world *w = world_of(&scene);
    uint64_t last = 0;
    (void)state;
    check_int(world_run(w, items, NR(items), ALL_WAIT), PBR_OK);
    check_u64(w->disordered, 2);
    check_u64(w->counts.reused_files, 1); /* f; a and c share too little of what CDM-058 takes */
    check_int(w->written_nr, NR(items));
    for (size_t i = 0; i < w->written_nr; i++) {
        check(w->written[i].off > last);
        last = w->written[i].off;
    }
    check(!w->written[1].reused && !w->written[4].reused && w->written[5].reused);
    world_free_all(w);
}

/* ---- the held chunk ---- */

/* Entries 1 and 3 have the same digest. The one held is not the one that the next range needs: d0 would refer to b0's copy,
 * behind b1 [scenario D3]. */
static void test_CDM_144_equal_content_elsewhere_is_another_chunk(void **state)
{
    (void)state;
    check_scenario_D3();
}

/* The first repair put the held chunk into the stream at every hole: the same chunk twice where a range goes on in it
 * [scenario U2]. */
static void test_CDM_144_a_continued_chunk_is_not_repeated(void **state)
{
    (void)state;
    check_scenario_U2();
}

/* What an unrelated chunk's range used is nothing to subtract: the padding would go below zero and wrap [scenario D2]. */
static void test_CDM_145_padding_never_goes_below_zero(void **state)
{
    (void)state;
    check_scenario_D2();
}

/* One chunk holds the whole first range; what lies before it there is padding for the second range as well: 16 + 16 + 175
 * of 2000 bytes is too much, 16 + 175 would not be. */
static void test_padding_before_a_range_of_one_held_chunk_counts(void **state)
{
    const uint64_t ends[] = { 1000, 2000, 3000 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 918 },
                                              { .name = "gone", .off = 950, .size = 0 },
                                              { .name = "c", .off = 966, .size = 843 } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { FILE_("a", 918), FILE_("c", 843) };
    (void)state;
    check_play(&scene, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@32 c@1016", .injections = "16:1000:1", .reused_files = 1, .reused_size = 934,
                         .reencoded_files = 1, .reencoded_size = 859, .padding = 66, .partial = 1 });
}

/* ---- damaged references ---- */

static void test_CDM_059_nothing_refers_behind_the_previous_index(void **state)
{
    const uint64_t ends[] = { 200032 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 150000 },
                                              { .name = "b", .off = 150032, .size = 49985 },
                                              { .name = "c", .off = 200032, .size = 1000 } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { FILE_("a", 150000), FILE_("b", 49985), FILE_("c", 1000) };
    (void)state;
    check_play(&scene, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@16 b@150032 c@200033", .injections = "", .reencoded_files = 3, .reencoded_size = 201033 });
}

/* ---- hard links ---- */

static void test_many_hard_linked_files_are_all_remembered(void **state)
{
    enum { MANY = 5000 };
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_seen seen;
    bool is_new;
    (void)state;
    pbr_seen_init(&seen, &env);
    for (uint64_t i = 0; i < MANY; i++) {
        check_int(pbr_seen_add(&seen, i % 3, i * 7, &is_new), PBR_OK);
        check(is_new);
    }
    for (uint64_t i = 0; i < MANY; i++) {
        check_int(pbr_seen_add(&seen, i % 3, i * 7, &is_new), PBR_OK);
        check(!is_new);
    }
    pbr_seen_release(&seen);
    check_int(world.live_allocs, 0);
}

/* ---- the chunk stream ---- */

/* Once it has ended, it asks for nothing and gives nothing any more. */
static void test_CDM_151_a_chunk_stream_that_ended_stays_ended(void **state)
{
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct chunk_room room;
    const struct pbr_chunk_out out = room_out(&room, &env);
    const struct pbr_chunk_stream_opts opts = { .avg = 4096, .payload = true };
    const uint8_t bytes[100] = { 1 };
    struct pbr_chunk_stream *cs = NULL;
    (void)state;
    check_int(pbr_chunk_stream_new(&env, &opts, &out, &cs, NULL), PBR_OK);
    struct pbr_sink sink = pbr_chunk_stream_sink(cs);
    check_int(pbr_sink_write(&sink, pbr_span(bytes, sizeof(bytes)), NULL), PBR_OK);
    check_int(pbr_chunk_stream_finish(cs, NULL), PBR_OK);
    check_int(room.log.nr, 1);
    check_int(pbr_sink_write(&sink, pbr_span(bytes, sizeof(bytes)), NULL), PBR_E_STATE);
    check_int(pbr_chunk_stream_finish(cs, NULL), PBR_E_STATE);
    check_int(room.log.nr, 1);
    check_u64(room.raw_len, sizeof(bytes));
    pbr_chunk_stream_free(cs);
    check_int(room.held, 0);
    check_int(world.live_allocs, 0);
    room_clear(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_CDM_140_a_file_of_another_size_is_not_reused),
        cmocka_unit_test(test_CDM_142_the_encoder_refuses_references_out_of_order),
        cmocka_unit_test(test_CDM_143_old_references_out_of_order_end_no_backup),
        cmocka_unit_test(test_CDM_144_equal_content_elsewhere_is_another_chunk),
        cmocka_unit_test(test_CDM_144_a_continued_chunk_is_not_repeated),
        cmocka_unit_test(test_CDM_145_padding_never_goes_below_zero),
        cmocka_unit_test(test_padding_before_a_range_of_one_held_chunk_counts),
        cmocka_unit_test(test_CDM_059_nothing_refers_behind_the_previous_index),
        cmocka_unit_test(test_many_hard_linked_files_are_all_remembered),
        cmocka_unit_test(test_CDM_151_a_chunk_stream_that_ended_stays_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
