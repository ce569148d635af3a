/* SPDX-License-Identifier: MIT */
/* covers: IDX-120 IDX-121 IDX-105 */
/* Garbage collection by access time, and figures about a datastore. */
#include "store_fixture.h"

static const uint64_t seeds_a[] = { 1, 2, 3 };
static const uint64_t seeds_b[] = { 3, 4 };

static bool has_chunk(struct fx *f, uint64_t seed)
{
    uint64_t size;
    struct fx_chunk c = fx_chunk(f, seed, 100 + seed % 1000);
    const bool has = pbr_store_chunk_stat(f->s, c.digest, &size) == PBR_OK;
    fx_chunk_free(&c);
    return has;
}

static struct pbr_gc_result collect(struct fx *f, struct pbr_gc_opts opts)
{
    struct pbr_gc_result r = { 0 };
    check_ok(pbr_store_gc(f->s, &opts, &r, diag));
    return r;
}

static void test_only_old_chunks_that_nothing_names_are_removed(void **state)
{
    struct fx f;
    const struct pbr_snapshot a = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds_a, 3);
    fx_backup_ok(&f, "b", FX_TIME, seeds_b, 2);
    check_ok(pbr_store_forget_snapshot(f.s, "", &a, diag));
    f.now_s += PBR_GC_CUTOFF_S; /* exactly as old as the cutoff: still kept */
    struct pbr_gc_result r = collect(&f, (struct pbr_gc_opts){ 0 });
    check_u64(r.removed_chunks, 0);
    check_u64(r.pending_chunks, 2);
    check_u64(r.disk_chunks, 4);
    check_u64(r.index_files, 1);
    check_u64(r.index_data_bytes, 103 + 104);
    f.now_s++;
    r = collect(&f, (struct pbr_gc_opts){ .dry_run = true });
    check_u64(r.removed_chunks, 2);
    check(has_chunk(&f, 1));
    r = collect(&f, (struct pbr_gc_opts){ 0 });
    check_u64(r.removed_chunks, 2);
    check_u64(r.removed_bytes, 101 + 102 + 2 * 12);
    check_u64(r.disk_chunks, 2);
    check_u64(r.missing_chunks, 0);
    check(!has_chunk(&f, 1) && !has_chunk(&f, 2) && has_chunk(&f, 3) && has_chunk(&f, 4));
    fx_stop(&f);
}

static void test_the_cutoff_can_be_chosen(void **state)
{
    struct fx f;
    const struct pbr_snapshot a = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds_a, 3);
    check_ok(pbr_store_forget_snapshot(f.s, "", &a, diag));
    f.now_s += 10;
    check_u64(collect(&f, (struct pbr_gc_opts){ .has_cutoff = true, .cutoff_s = 10 }).removed_chunks, 0);
    check_u64(collect(&f, (struct pbr_gc_opts){ .has_cutoff = true, .cutoff_s = 9 }).removed_chunks, 3);
    fx_stop(&f);
}

static void test_every_index_counts_wherever_it_lies(void **state)
{
    struct fx f;
    char path[1024], to[1024];
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds_a, 3);
    fx_mkdir(&f, "attic");
    fx_mkdir(&f, ".dot");
    check_int(rename(fx_path(&f, "host/a/2023-11-14T22:13:20Z/root.pxar.didx", path), fx_path(&f, "attic/x.didx", to)), 0);
    f.now_s += 2 * PBR_GC_CUTOFF_S;
    check_u64(collect(&f, (struct pbr_gc_opts){ 0 }).removed_chunks, 0);
    f.now_s += 2 * PBR_GC_CUTOFF_S; /* below a name with a dot, or through a link, it does not count */
    check_int(rename(to, fx_path(&f, ".dot/x.didx", path)), 0);
    check_int(symlink(path, to), 0);
    check_u64(collect(&f, (struct pbr_gc_opts){ 0 }).removed_chunks, 3);
    fx_stop(&f);
}

static void test_an_unreadable_index_stops_the_run_before_anything_is_removed(void **state)
{
    struct fx f;
    struct pbr_gc_result r;
    uint8_t head[4096] = { 0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd };
    const struct pbr_snapshot a = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds_a, 3);
    check_ok(pbr_store_forget_snapshot(f.s, "", &a, diag));
    f.now_s += 2 * PBR_GC_CUTOFF_S;
    fx_write(&f, "empty.didx", head, sizeof(head)); /* zero entries */
    check_fail(pbr_store_gc(f.s, NULL, &r, diag), PBR_E_FORMAT, "IDX-120");
    check(has_chunk(&f, 1));
    fx_stop(&f);
}

static void test_a_missing_chunk_is_only_counted(void **state)
{
    struct fx f;
    char rel[128], path[1024], hex[65];
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds_a, 3);
    struct fx_chunk c = fx_chunk(&f, 1, 101);
    pbr_format_hex(c.digest, PBR_DIGEST_LEN, hex);
    (void)snprintf(rel, sizeof(rel), ".chunks/%.4s/%s", hex, hex);
    check_int(unlink(fx_path(&f, rel, path)), 0);
    fx_chunk_free(&c);
    const struct pbr_gc_result r = collect(&f, (struct pbr_gc_opts){ 0 });
    check_u64(r.missing_chunks, 1);
    check_u64(r.disk_chunks, 2);
    fx_stop(&f);
}

static void test_left_over_files_go_when_they_are_old_and_strangers_stay(void **state)
{
    struct fx f;
    struct pbr_gc_result r;
    char rel[160];
    const char *hex = "abcd000000000000000000000000000000000000000000000000000000000000";
    static const char *const names[] = { ".0.bad", ".tmp_x1y2z3", ".txt" };
    (void)state;
    fx_start(&f);
    fx_mkdir(&f, ".chunks/abcd");
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(rel, sizeof(rel), ".chunks/abcd/%s%s", hex, names[i]);
        fx_write(&f, rel, "x", 1);
    }
    f.now_s = INT64_C(1) << 31; /* the files have today's access time: go on in 2038 */
    r = collect(&f, (struct pbr_gc_opts){ .has_cutoff = true, .cutoff_s = INT32_MAX });
    check_u64(r.still_bad, 1);
    check_u64(r.removed_temporary, 0);
    r = collect(&f, (struct pbr_gc_opts){ 0 });
    check_u64(r.removed_bad, 1);
    check_u64(r.removed_temporary, 1);
    check_u64(r.removed_chunks, 0);
    check(fx_exists(&f, rel));
    fx_stop(&f);
}

static void test_figures_count_what_is_there(void **state)
{
    struct fx f;
    struct pbr_store_figures g;
    const struct pbr_snapshot a = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    check_ok(pbr_store_figures(f.s, &g, diag));
    check_u64(g.namespaces, 1);
    check(g.dedup_factor > 0.99 && g.dedup_factor < 1.01);
    fx_backup_ok(&f, "a", FX_TIME, seeds_a, 3);
    fx_backup_ok(&f, "a", FX_TIME + 1, seeds_a, 3);
    fx_backup_ok(&f, "b", FX_TIME, seeds_b, 2);
    fx_mkdir(&f, "host/b/2023-11-14T22:13:29Z");
    check_ok(pbr_store_create_namespace(f.s, "", "n", diag));
    check_ok(pbr_store_set_protected(f.s, "", &a, true, diag));
    check_ok(pbr_store_figures(f.s, &g, diag));
    check_u64(g.namespaces, 2);
    check_u64(g.groups, 2);
    check_u64(g.snapshots, 4);
    check_u64(g.unfinished_snapshots, 1);
    check_u64(g.protected_snapshots, 1);
    check_u64(g.indexes, 3);
    check_u64(g.blobs, 3);
    check_u64(g.index_chunks, 8);
    check_u64(g.chunks, 4);
    check_u64(g.chunk_bytes, 101 + 102 + 103 + 104 + 4 * 12);
    check_u64(g.index_data_bytes, 2 * (101 + 102 + 103) + 103 + 104);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_old_chunks_that_nothing_names_are_removed),
        cmocka_unit_test(test_the_cutoff_can_be_chosen),
        cmocka_unit_test(test_every_index_counts_wherever_it_lies),
        cmocka_unit_test(test_an_unreadable_index_stops_the_run_before_anything_is_removed),
        cmocka_unit_test(test_a_missing_chunk_is_only_counted),
        cmocka_unit_test(test_left_over_files_go_when_they_are_old_and_strangers_stay),
        cmocka_unit_test(test_figures_count_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
