/* SPDX-License-Identifier: MIT */
/* covers: CDM-040 CDM-042 CDM-047 CDM-048 CDM-049 CDM-055 CDM-056 CDM-057 CDM-058 CDM-059 CDM-060 CDM-061 CDM-062 CDM-065 CDM-066 CDM-067 CDM-068 CDM-069 CDM-070 CDM-071 CDM-072 CDM-075 CDM-076 CDM-077 CDM-078 CDM-079 CDM-081 CDM-084 CDM-090 CDM-091 CDM-092 CDM-094 CDM-111 CDM-112 CDM-113 CDM-132 CDM-140 CDM-143 CDM-144 CDM-145 CDM-160 CDM-161 CDM-162 CDM-163 CDM-165 CDM-166 CDM-167 CDM-168 CDM-169 */
/* The worked scenarios of section 13 of spec/change-detection.md. */
#include "detect_scene.h"

/* ---- tree T ---- */

static const uint64_t T_ENDS[] = { 100032, 150048, 350380, 384264, 426692, 474444, 594914, 621613, 689636, 722170, 766717, 830444 };
static const struct previous_item T_PREVIOUS[] = {
    { .name = "a.bin", .off = 16, .size = 100000 },      { .name = "b.bin", .off = 100032, .size = 50000 },
    { .name = "dir", .dir = true },                      { .name = "dir/c.txt", .off = 150048, .size = 300 },
    { .name = "dir/d.bin", .off = 150364, .size = 200000 }, { .name = "dir/empty", .off = 350380, .size = 0 },
    { .name = "e.bin", .off = 350396, .size = 400000 },  { .name = "z.bin", .off = 750412, .size = 80000 },
};
static const struct scene T = SCENE(T_ENDS, T_PREVIOUS);
#define T_DIR(d) DIR_(d), FILE_(d "/c.txt", 300), FILE_(d "/d.bin", 200000), FILE_(d "/empty", 0), END_(d)
static const struct item T_SAME[] = { FILE_("a.bin", 100000), FILE_("b.bin", 50000), T_DIR("dir"), FILE_("e.bin", 400000),
                                      OTHER("lnk"), FILE_("z.bin", 80000) };

static void test_T2_unchanged(void **state)
{
    (void)state;
    check_play(&T, T_SAME, NR(T_SAME), ALL_WAIT,
         &(struct want){ .refs = "a.bin@32 b.bin@100048 dir/c.txt@150064 dir/d.bin@150380 dir/empty@350396 e.bin@350412 z.bin@750428",
                         .injections = "16:830444:12", .reused_files = 7, .reused_size = 830412, .padding = 32, .partial = 2 });
}

static void test_T3_a_file_that_grew_is_written_anew(void **state)
{
    const struct item items[] = { FILE_("a.bin", 100000), FILE_("b.bin", 50000), T_DIR("dir"), FILE_("e.bin", 400000),
                                  OTHER("lnk"), FILE_("z.bin", 80010) };
    (void)state;
    check_play(&T, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a.bin@32 b.bin@100048 dir/c.txt@150064 dir/d.bin@150380 dir/empty@350396 e.bin@350412 z.bin@766733",
                         .injections = "16:766717:11", .reused_files = 6, .reused_size = 750396, .reencoded_files = 1,
                         .reencoded_size = 80026, .padding = 16321, .partial = 2 });
}

static void test_T4_changed_metadata(void **state)
{
    const struct item items[] = { FILE_("a.bin", 100000), FILE_("b.bin", 50000), T_DIR("dir"), TOUCHED("e.bin", 400000),
                                  OTHER("lnk"), FILE_("z.bin", 80000) };
    (void)state;
    check_play(&T, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a.bin@32 b.bin@100048 dir/c.txt@150064 dir/d.bin@150380 dir/empty@350396 e.bin@384280 z.bin@784296",
                         .injections = "16:384264:4", .reused_files = 5, .reused_size = 350380, .reencoded_files = 2,
                         .reencoded_size = 480032, .padding = 33884, .partial = 2 });
}

static void test_T5_removed_file_holds_the_last_chunk_back(void **state)
{
    const struct item items[] = { FILE_("a.bin", 100000), FILE_("b.bin", 50000), T_DIR("dir"), OTHER("lnk"),
                                  FILE_("z.bin", 80000) };
    (void)state;
    check_play(&T, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a.bin@32 b.bin@100048 dir/c.txt@150064 dir/d.bin@150380 dir/empty@350396 z.bin@384280",
                         .injections = "16:350380:3 350396:33884:1", .reused_files = 5, .reused_size = 350380,
                         .reencoded_files = 1, .reencoded_size = 80016, .padding = 33884, .partial = 2 });
}

static void test_T6_range_ending_on_a_chunk_end_takes_the_next_one(void **state)
{
    const struct item items[] = { FILE_("a.bin", 100000), TOUCHED("b.bin", 50000), T_DIR("dir"), FILE_("e.bin", 400000),
                                  OTHER("lnk"), FILE_("z.bin", 80000) };
    (void)state;
    check_play(&T, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a.bin@16 b.bin@100032 dir/c.txt@150048 dir/d.bin@150364 dir/empty@350380 e.bin@350396 z.bin@750412",
                         .injections = "150048:680396:10", .reused_files = 5, .reused_size = 680380, .reencoded_files = 2,
                         .reencoded_size = 150032, .padding = 16, .partial = 1 });
}

static void test_T7_added_file_is_no_hole(void **state)
{
    const struct item items[] = { FILE_("a.bin", 100000), FILE_("b.bin", 50000), FILE_("bb.bin", 70000), T_DIR("dir"),
                                  FILE_("e.bin", 400000), OTHER("lnk"), FILE_("z.bin", 80000) };
    (void)state;
    check_play(&T, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a.bin@16 b.bin@100032 bb.bin@150048 dir/c.txt@220064 dir/d.bin@220380 dir/empty@420396 "
                                 "e.bin@420412 z.bin@820428",
                         .injections = "220064:680396:10", .reused_files = 5, .reused_size = 680380, .reencoded_files = 3,
                         .reencoded_size = 220048, .padding = 16, .partial = 1 });
}

static void test_T8_renamed_directory_has_no_reference(void **state)
{
    const struct item items[] = { FILE_("a.bin", 100000), FILE_("b.bin", 50000), T_DIR("dir2"), FILE_("e.bin", 400000),
                                  OTHER("lnk"), FILE_("z.bin", 80000) };
    (void)state;
    check_play(&T, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a.bin@16 b.bin@100032 dir2/c.txt@150048 dir2/d.bin@150364 dir2/empty@350380 e.bin@350412 "
                                 "z.bin@750428",
                         .injections = "350396:480064:9", .reused_files = 2, .reused_size = 480032, .reencoded_files = 5,
                         .reencoded_size = 350380, .padding = 32, .partial = 2 });
}

static void test_T9_excluded_file(void **state)
{
    const struct item items[] = { FILE_("a.bin", 100000), T_DIR("dir"), FILE_("e.bin", 400000), OTHER("lnk"),
                                  FILE_("z.bin", 80000) };
    (void)state;
    check_play(&T, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a.bin@16 dir/c.txt@100032 dir/d.bin@100348 dir/empty@300364 e.bin@300380 z.bin@700396",
                         .injections = "100032:680396:10", .reused_files = 5, .reused_size = 680380, .reencoded_files = 1,
                         .reencoded_size = 100016, .padding = 16, .partial = 1 });
}

static void test_T10_two_entries_may_wait(void **state)
{
    (void)state;
    check_play(&T, T_SAME, NR(T_SAME), 2,
         &(struct want){ .refs = "a.bin@16 b.bin@100032 dir/c.txt@150048 dir/d.bin@150364 dir/empty@350380 e.bin@350396 z.bin@766717",
                         .injections = "350380:371790:7 722170:44547:1", .reused_files = 2, .reused_size = 400032,
                         .reencoded_files = 5, .reencoded_size = 430380, .padding = 16305, .partial = 1 });
}

static void test_T2_repeated_gives_the_same(void **state)
{
    uint64_t ends[NR(T_ENDS) + 2] = { 16 };
    struct previous_item previous[NR(T_PREVIOUS)];
    const struct scene again = SCENE(ends, previous);
    (void)state;
    for (size_t i = 0; i < NR(T_ENDS); i++)
        ends[i + 1] = T_ENDS[i] + 16;
    ends[NR(T_ENDS) + 1] = 830476;
    for (size_t i = 0; i < NR(T_PREVIOUS); i++) {
        previous[i] = T_PREVIOUS[i];
        previous[i].off += 16;
    }
    check_play(&again, T_SAME, NR(T_SAME), ALL_WAIT,
         &(struct want){ .refs = "a.bin@32 b.bin@100048 dir/c.txt@150064 dir/d.bin@150380 dir/empty@350396 e.bin@350412 z.bin@750428",
                         .injections = "16:830444:12", .reused_files = 7, .reused_size = 830412, .padding = 32, .partial = 2 });
}

/* ---- tree U ---- */

static void test_U2_held_chunk_is_continued(void **state)
{
    (void)state;
    check_scenario_U2();
}

static void test_U3_chunk_is_injected_twice(void **state)
{
    const struct item items[] = { FILE_("a", 200000), FILE_("p0", 6000), TOUCHED("p1", 6000), FILE_("p2", 6000),
                                  FILE_("z", 200000) };
    (void)state;
    check_play(&U, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@32 p0@200048 p1@218096 p2@236144 z@242160", .injections = "16:218080:2 224112:218080:4",
                         .reused_files = 4, .reused_size = 412064, .reencoded_files = 1, .reencoded_size = 6016,
                         .padding = 24096, .partial = 4 });
}

static void test_U4_written_anew_again(void **state)
{
    const uint64_t ends[] = { 16, 200048, 218096, 224112, 242160, 281139, 337175, 442192, 442208 };
    const struct previous_item previous[] = { { .name = "a", .off = 32, .size = 200000 },
                                              { .name = "p0", .off = 200048, .size = 6000 },
                                              { .name = "p1", .off = 218096, .size = 6000 },
                                              { .name = "p2", .off = 236144, .size = 6000 },
                                              { .name = "z", .off = 242160, .size = 200000 } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { FILE_("a", 200000), FILE_("p0", 6000), FILE_("p1", 6000), FILE_("p2", 6000),
                                  FILE_("z", 200000) };
    (void)state;
    check_play(&scene, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@32 p0@200048 p1@218096 p2@236144 z@242160",
                         .injections = "16:200032:1 200048:18048:1 224112:218080:4", .reused_files = 4, .reused_size = 412064,
                         .reencoded_files = 1, .reencoded_size = 6016, .padding = 24096, .partial = 4 });
}

/* Room for two: f2 goes on in the chunk that f1 ended in. Only because what f1 used of it counts, the padding is small enough. */
static void test_full_cache_goes_on_in_the_held_chunk(void **state)
{
    const uint64_t ends[] = { 190000, 210000, 270032 };
    const struct previous_item previous[] = { { .name = "f0", .off = 16, .size = 99984 },
                                              { .name = "f1", .off = 100016, .size = 99984 },
                                              { .name = "f2", .off = 200016, .size = 69984 } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { FILE_("f0", 99984), FILE_("f1", 99984), FILE_("f2", 69984) };
    (void)state;
    check_play(&scene, items, NR(items), 2,
         &(struct want){ .refs = "f0@32 f1@100032 f2@200032", .injections = "16:190000:1 190016:80032:2", .reused_files = 3,
                         .reused_size = 270000, .padding = 32, .partial = 2 });
}

/* Room for two, and a hole right behind the flush: the held chunk goes at once and is needed again. */
static void test_hole_behind_a_full_cache_repeats_the_held_chunk(void **state)
{
    const struct previous_item previous[] = { { .name = "a1", .off = 16, .size = 100000 },
                                              { .name = "a2", .off = 100032, .size = 99984 },
                                              { .name = "p2", .off = 212064, .size = 6000 },
                                              { .name = "z", .off = 218080, .size = 200000 } };
    const struct scene scene = SCENE(U_ENDS, previous);
    const struct item items[] = { FILE_("a1", 100000), FILE_("a2", 99984), FILE_("p2", 6000), FILE_("z", 200000) };
    (void)state;
    check_play(&scene, items, NR(items), 2,
         &(struct want){ .refs = "a1@32 a2@100048 p2@230128 z@236144",
                         .injections = "16:200032:1 200048:18048:1 218096:218080:4", .reused_files = 4, .reused_size = 406048,
                         .padding = 30112, .partial = 4 });
}

/* ---- tree H ---- */

static const uint64_t H_ENDS[] = { 30032, 60048, 90064, 153787, 174069, 190096 };
static const struct previous_item H_PREVIOUS[] = {
    { .name = "a", .off = 16, .size = 30000 },     { .name = "b", .off = 30032, .size = 30000 },
    { .name = "c", .hardlink = true },             { .name = "d", .dir = true },
    { .name = "d/a2", .hardlink = true },          { .name = "d/x", .off = 60048, .size = 30000 },
    { .name = "m", .off = 90064, .size = 100000 }, { .name = "n", .hardlink = true },
};
static const struct scene H = SCENE(H_ENDS, H_PREVIOUS);
#define H_REST LINKED("c", 30000, 1), DIR_("d"), LINKED("d/a2", 30000, 1), FILE_("d/x", 30000), END_("d"), \
               LINKED("m", 100000, 2), LINKED("n", 100000, 2)

static void test_H2_hard_links_wait_too(void **state)
{
    const struct item items[] = { LINKED("a", 30000, 1), FILE_("b", 30000), H_REST };
    (void)state;
    check_play(&H, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@32 b@30048 c-> d/a2-> d/x@60064 m@90080 n->", .injections = "16:190096:6",
                         .reused_files = 4, .reused_size = 190064, .hardlinks = 2, .padding = 32, .partial = 2 });
}

static void test_H3_first_link_removed(void **state)
{
    const struct item items[] = { FILE_("b", 30000), H_REST };
    (void)state;
    check_play(&H, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "b@16 c@30032 d/a2-> d/x@60048 m@90064 n->", .injections = "60048:130048:4",
                         .reused_files = 2, .reused_size = 130032, .reencoded_files = 2, .reencoded_size = 60032,
                         .hardlinks = 2, .padding = 16, .partial = 1 });
}

/* ---- tree D ---- */

static void test_D2_equal_digests_are_not_the_same_chunk(void **state)
{
    (void)state;
    check_scenario_D2();
}

static void test_D3_equal_digests_and_a_rejected_range(void **state)
{
    (void)state;
    check_scenario_D3();
}

/* ---- small cases of section 13.1 ---- */

static void check_play_one(uint64_t size, const struct want *want)
{
    const uint64_t ends[] = { 48 + size };
    const struct previous_item previous[] = { { .name = "f", .off = 16, .size = size } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { FILE_("f", size) };
    check_play(&scene, items, 1, ALL_WAIT, want);
}

static void test_threshold_is_a_tenth_and_included(void **state)
{
    (void)state;
    check_play_one(0, &(struct want){ .refs = "f@16", .injections = "", .reencoded_files = 1, .reencoded_size = 16 });
    check_play_one(100, &(struct want){ .refs = "f@16", .injections = "", .reencoded_files = 1, .reencoded_size = 116 });
    check_play_one(271, &(struct want){ .refs = "f@16", .injections = "", .reencoded_files = 1, .reencoded_size = 287 });
    check_play_one(272, &(struct want){ .refs = "f@32", .injections = "16:320:1", .reused_files = 1, .reused_size = 288,
                                  .padding = 32, .partial = 1 });
}

static void test_no_regular_file(void **state)
{
    const uint64_t ends[] = { 32 };
    const struct scene scene = { .ends = ends, .end_nr = 1 };
    const struct item items[] = { DIR_("d"), OTHER("d/l"), END_("d") };
    (void)state;
    check_play(&scene, items, NR(items), ALL_WAIT, &(struct want){ .refs = "", .injections = "" });
    check_play(&scene, items, 0, ALL_WAIT, &(struct want){ .refs = "", .injections = "" });
}

static void test_file_that_was_a_directory(void **state)
{
    const uint64_t ends[] = { 1048 };
    const struct previous_item previous[] = { { .name = "b", .dir = true }, { .name = "b/x", .off = 16, .size = 1000 } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { FILE_("b", 1000) };
    (void)state;
    check_play(&scene, items, 1, ALL_WAIT,
         &(struct want){ .refs = "b@16", .injections = "", .reencoded_files = 1, .reencoded_size = 1016 });
}

static void test_three_links_count_one(void **state)
{
    const uint64_t ends[] = { 1048 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 1000 } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { LINKED("a", 1000, 5), LINKED("b", 1000, 5), LINKED("c", 1000, 5) };
    (void)state;
    check_play(&scene, items, 3, ALL_WAIT,
         &(struct want){ .refs = "a@32 b-> c->", .injections = "16:1048:1", .reused_files = 1, .reused_size = 1016,
                         .hardlinks = 1, .padding = 32, .partial = 1 });
}

static void test_CDM_167_swapped_offsets(void **state)
{
    const uint64_t ends[] = { 100032, 200048, 300064, 400096 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 100000 },
                                              { .name = "b", .off = 200048, .size = 100000 },
                                              { .name = "c", .off = 100032, .size = 100000 },
                                              { .name = "d", .off = 300064, .size = 100000 } };
    const struct item items[] = { FILE_("a", 100000), FILE_("b", 100000), FILE_("c", 100000), FILE_("d", 100000) };
    const struct scene scene = SCENE(ends, previous);
    struct world *w = world_of(&scene);
    (void)state;
    check_int(world_run(w, items, NR(items), ALL_WAIT), PBR_OK);
    check_u64(w->disordered, 1);
    verify_case(w, &(struct want){ .refs = "a@16 b@100032 c@200048 d@300064", .injections = "300064:100032:1", .reused_files = 1,
                             .reused_size = 100016, .reencoded_files = 3, .reencoded_size = 300048, .padding = 16,
                             .partial = 1 });
    world_free_all(w);
}

static void test_CDM_168_one_entry_may_wait(void **state)
{
    const uint64_t ends[] = { 200032, 220032, 406080 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 200000 }, { .name = "b", .dir = true },
                                              { .name = "b/x", .off = 200032, .size = 6000 },
                                              { .name = "b/y", .off = 206048, .size = 200000 } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { FILE_("a", 200000), DIR_("b"), FILE_("b/x", 6000), FILE_("b/y", 200000), END_("b") };
    (void)state;
    /* a: chunk 0 goes, chunk 1 is held and goes before b; x: 70 % padding; y needs chunk 1 again, 3 % of padding */
    check_play(&scene, items, NR(items), 1,
         &(struct want){ .refs = "a@32 b/x@220048 b/y@232080", .injections = "16:200032:1 200048:20000:1 226064:206048:2",
                         .reused_files = 2, .reused_size = 400032, .reencoded_files = 1, .reencoded_size = 6016,
                         .padding = 26048, .partial = 4 });
}

static void test_reference_beyond_the_index_is_refused(void **state)
{
    const uint64_t ends[] = { 200032 }; /* cut to its first entry: the original writes references behind its data */
    const struct scene scene = SCENE(ends, U_PREVIOUS);
    const struct item items[] = { FILE_("a", 200000), FILE_("p0", 6000), FILE_("p1", 6000), FILE_("p2", 6000),
                                  FILE_("z", 200000) };
    (void)state;
    check_play(&scene, items, NR(items), ALL_WAIT,
         &(struct want){ .refs = "a@16 p0@200032 p1@206048 p2@212064 z@218080", .injections = "", .reencoded_files = 5,
                         .reencoded_size = 418080 });
}

static void test_hostile_references_are_refused(void **state)
{
    const uint64_t ends[] = { 50000 };
    const struct {
        uint64_t off, size;
    } bad[] = { { 0, 40000 }, { 15, 40000 }, { 16, 49969 }, { UINT64_MAX, 0 }, { UINT64_MAX - 20, 40000 },
                { 16, UINT64_MAX - 8 }, { 50000, 0 }, { 49984, 0 } };
    (void)state;
    for (size_t i = 0; i < NR(bad); i++) {
        const struct previous_item previous[] = { { .name = "f", .off = bad[i].off, .size = bad[i].size } };
        const struct scene scene = SCENE(ends, previous);
        const struct item items[] = { FILE_("f", bad[i].size) };
        check_play(&scene, items, 1, ALL_WAIT,
             &(struct want){ .refs = "f@16", .injections = "", .reencoded_files = 1, .reencoded_size = bad[i].size + 16 });
    }
}

static void test_overlapping_references_are_refused(void **state)
{
    const uint64_t ends[] = { 25000, 50000 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 40000 },
                                              { .name = "b", .off = 20000, .size = 5000 } };
    const struct item items[] = { FILE_("a", 40000), FILE_("b", 5000) };
    const struct scene scene = SCENE(ends, previous);
    struct world *w = world_of(&scene);
    (void)state;
    check_int(world_run(w, items, NR(items), ALL_WAIT), PBR_OK);
    check_u64(w->disordered, 1);
    check_u64(w->written[1].reused, 0);
    world_free_all(w);
}

static void test_long_runs_go_in_batches(void **state)
{
    uint64_t ends[190];
    const struct previous_item previous[] = { { .name = "f", .off = 16, .size = 189952 } };
    const struct scene scene = SCENE(ends, previous);
    const struct item items[] = { FILE_("f", 189952) };
    (void)state;
    for (size_t i = 0; i < NR(ends); i++)
        ends[i] = (i + 1) * 1000;
    check_play(&scene, items, 1, ALL_WAIT,
         &(struct want){ .refs = "f@32", .injections = "16:128000:128 128016:62000:62", .reused_files = 1,
                         .reused_size = 189968, .padding = 32, .partial = 2 });
}

static void test_duplicates_are_not_looked_up(void **state)
{
    const uint64_t ends[] = { 1048 };
    const struct previous_item previous[] = { { .name = "a", .off = 16, .size = 1000 } };
    const struct item items[] = { LINKED("a", 1000, 5), DIR_("d"), OTHER("d/o"), END_("d"), LINKED("b", 1000, 5) };
    const struct scene scene = SCENE(ends, previous);
    struct world *w = world_of(&scene);
    (void)state;
    check_int(world_run(w, items, NR(items), ALL_WAIT), PBR_OK);
    check_u64(w->lookups, 1);
    world_free_all(w);
}

static void test_every_failing_allocation_is_reported(void **state)
{
    const struct item items[] = { LINKED("a", 30000, 1), FILE_("b", 30000), H_REST };
    (void)state;
    for (long nth = 0;; nth++) {
        struct world *w = world_of(&H);
        w->test.alloc_fault.nth = nth;
        const int rc = world_run(w, items, NR(items), ALL_WAIT);
        const bool hit = w->test.alloc_fault.hit;
        check_int(rc, hit ? PBR_E_NOMEM : PBR_OK);
        world_free_all(w);
        if (!hit) {
            check(nth >= 2);
            break;
        }
    }
}

static void test_no_room_to_wait_is_refused(void **state)
{
    struct pbr_reuse *r = NULL;
    struct world *w = world_of(&H);
    const struct pbr_reuse_ops ops = { 0 };
    (void)state;
    check_fail(pbr_reuse_new(&w->env, &w->index, 0, &ops, &r, diag), PBR_E_ARG, "CDM-081");
    assert_null(r);
    world_free_all(w);
}

static void test_run_outside_the_index_is_an_error(void **state)
{
    struct world *w = world_of(&H);
    struct pbr_run run = { .nr = 77 };
    (void)state;
    check_fail(pbr_run_find(&w->index, 190096, 190112, &run, diag), PBR_E_FORMAT, "CDM-056");
    check_u64(run.nr, 77);
    check_int(pbr_run_find(&w->index, 190095, 190112, &run, NULL), PBR_OK);
    check_u64(run.first, 5);
    check_u64(run.end_pad, 0); /* nothing ends behind it [CDM-057] */
    world_free_all(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_T2_unchanged),
        cmocka_unit_test(test_T3_a_file_that_grew_is_written_anew),
        cmocka_unit_test(test_T4_changed_metadata),
        cmocka_unit_test(test_T5_removed_file_holds_the_last_chunk_back),
        cmocka_unit_test(test_T6_range_ending_on_a_chunk_end_takes_the_next_one),
        cmocka_unit_test(test_T7_added_file_is_no_hole),
        cmocka_unit_test(test_T8_renamed_directory_has_no_reference),
        cmocka_unit_test(test_T9_excluded_file),
        cmocka_unit_test(test_T10_two_entries_may_wait),
        cmocka_unit_test(test_T2_repeated_gives_the_same),
        cmocka_unit_test(test_U2_held_chunk_is_continued),
        cmocka_unit_test(test_U3_chunk_is_injected_twice),
        cmocka_unit_test(test_U4_written_anew_again),
        cmocka_unit_test(test_full_cache_goes_on_in_the_held_chunk),
        cmocka_unit_test(test_hole_behind_a_full_cache_repeats_the_held_chunk),
        cmocka_unit_test(test_H2_hard_links_wait_too),
        cmocka_unit_test(test_H3_first_link_removed),
        cmocka_unit_test(test_D2_equal_digests_are_not_the_same_chunk),
        cmocka_unit_test(test_D3_equal_digests_and_a_rejected_range),
        cmocka_unit_test(test_threshold_is_a_tenth_and_included),
        cmocka_unit_test(test_no_regular_file),
        cmocka_unit_test(test_file_that_was_a_directory),
        cmocka_unit_test(test_three_links_count_one),
        cmocka_unit_test(test_CDM_167_swapped_offsets),
        cmocka_unit_test(test_CDM_168_one_entry_may_wait),
        cmocka_unit_test(test_reference_beyond_the_index_is_refused),
        cmocka_unit_test(test_hostile_references_are_refused),
        cmocka_unit_test(test_overlapping_references_are_refused),
        cmocka_unit_test(test_long_runs_go_in_batches),
        cmocka_unit_test(test_duplicates_are_not_looked_up),
        cmocka_unit_test(test_every_failing_allocation_is_reported),
        cmocka_unit_test(test_no_room_to_wait_is_refused),
        cmocka_unit_test(test_run_outside_the_index_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
