/* SPDX-License-Identifier: MIT */
/* covers: IDX-104 IDX-116 MAN-068 BKP-203 */
/* The nth changing system call, or the nth allocation, fails (once, and from there on) in every operation that writes:
 * the datastore then shows the old state or the new one, never half of either; nothing leaks; a second try works. */
#define FX_BASE "/dev/shm"
#include "../unit/store_fixture.h"

#include <fnmatch.h>

static const uint64_t seeds[] = { 1, 2, 3 };
static const struct pbr_group group_a = { .type = "host", .id = "a" };

/* The operations: each takes a store with host/a at FX_TIME (seeds 1, 2, 3) and FX_TIME + 1, the clock far later. */

static int op_backup(struct fx *f)
{
    const uint64_t fresh[] = { 3, 4, 5 };
    return fx_backup(f, "a", FX_TIME + 100, fresh, 3, NULL);
}

static int op_new_group(struct fx *f)
{
    return fx_backup(f, "new", FX_TIME + 100, seeds, 1, NULL);
}

static int op_forget(struct fx *f)
{
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    return pbr_store_forget_snapshot(f->s, "", &snap, NULL);
}

static int op_forget_group(struct fx *f)
{
    struct pbr_store_removed r;
    return pbr_store_forget_group(f->s, "", &group_a, &r, NULL);
}

static int op_notes(struct fx *f)
{
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    return pbr_store_set_notes(f->s, "", &snap, "new notes", NULL);
}

static int op_owner(struct fx *f)
{
    return pbr_store_set_owner(f->s, "", &group_a, "new@pam", NULL);
}

static int op_protect(struct fx *f)
{
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    return pbr_store_set_protected(f->s, "", &snap, true, NULL);
}

static int op_gc(struct fx *f)
{
    struct pbr_gc_result r;
    return pbr_store_gc(f->s, NULL, &r, NULL);
}

static int op_prune(struct fx *f)
{
    struct pbr_prune_result r;
    const struct pbr_prune_keep keep = { .last = 1 };
    const int rc = pbr_store_prune(f->s, "", &group_a, &keep, false, &r, NULL);
    if (rc < 0)
        return rc;
    pbr_free(&f->env, r.items);
    return r.failed ? PBR_E_IO : PBR_OK;
}

static int op_namespace(struct fx *f)
{
    return pbr_store_create_namespace(f->s, "", "n", NULL);
}

static int op_verify(struct fx *f)
{
    struct pbr_verify_report r;
    const struct pbr_verify_opts opts = { .upid = "UPID:1" };
    const int rc = pbr_store_verify(f->s, &opts, &r, NULL);
    if (rc < 0)
        return rc;
    check_u64(r.failed_snapshots, 0); /* a fault of ours is no damage of the data */
    pbr_verify_report_release(&r);
    return PBR_OK;
}

static unsigned left_over; /* counted by nftw, which takes no context */

static int count_left_over(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    left_over += type == FTW_F && fnmatch("*.tmp_??????", path + ftw->base, 0) == 0;
    return 0;
}

/* Whatever happened: what is finished is whole, and owners are one of the two. */
static void check_sound(struct fx *f)
{
    struct pbr_verify_report r;
    struct pbr_store_groups g;
    check_ok(pbr_store_verify(f->s, NULL, &r, diag));
    for (size_t i = 0; i < r.nr; i++) {
        for (size_t k = 0; k < r.items[i].problem_nr; k++)
            print_error("%s: %s\n", r.items[i].problems[k].file, r.items[i].problems[k].text);
    }
    check_u64(r.failed_snapshots, 0);
    pbr_verify_report_release(&r);
    check_ok(pbr_store_list_groups(f->s, "", &g, diag));
    for (size_t i = 0; i < g.nr; i++)
        check(strcmp(g.items[i].owner, FX_OWNER) == 0 || strcmp(g.items[i].owner, "new@pam") == 0);
    for (size_t i = 0; i < 2; i++) { /* one without owner would not be listed */
        const struct pbr_snapshot any = fx_snap(i ? "a" : "new", FX_TIME);
        bool listed = false;
        for (size_t k = 0; k < g.nr; k++)
            listed = listed || strcmp(g.items[k].id.id, any.group.id) == 0;
        check_int(pbr_store_has_group(f->s, "", &any.group), listed);
    }
    pbr_store_groups_release(&g);
    left_over = 0;
    check_int(nftw(f->root, count_left_over, 32, FTW_PHYS), 0);
    check_int(left_over, 0);
}

/* Puts a file back, so that a directory of a memory file system hands it out before older ones: who removes in that
 * order must still take the manifest first. */
static void renew(struct fx *f, const char *rel)
{
    char path[1024];
    const struct pbr_span in = fx_read(f, rel);
    check_int(unlink(fx_path(f, rel, path)), 0);
    fx_write(f, rel, in.ptr, in.len);
    test_unload(in);
}

static void prepare(struct fx *f)
{
    fx_start(f);
    fx_backup_ok(f, "a", FX_TIME, seeds, 3);
    fx_backup_ok(f, "a", FX_TIME + 1, seeds, 2);
    renew(f, "host/a/2023-11-14T22:13:20Z/root.pxar.didx");
    renew(f, "host/a/2023-11-14T22:13:21Z/root.pxar.didx");
    struct pbr_store_put put;
    struct fx_chunk garbage = fx_chunk(f, 77, 100);
    check_ok(pbr_store_chunk_insert(f->s, pbr_buf_span(&garbage.raw), garbage.digest, &put, diag));
    fx_chunk_free(&garbage);
    f->now_s += 3 * PBR_GC_CUTOFF_S;
}

/* One run with the fault at n. False once the fault was not reached: the whole path has been walked. */
static bool run_once(int (*op)(struct fx *f), bool alloc, bool sticky, long n, bool may_survive)
{
    struct fx f;
    prepare(&f);
    struct pbr_fault *fault = alloc ? &f.world.alloc_fault : &f.fault;
    *fault = (struct pbr_fault){ .nth = n, .sticky = sticky };
    const int rc = op(&f);
    const bool hit = fault->hit;
    *fault = (struct pbr_fault){ .nth = -1 };
    if (!hit)
        check_int(rc, PBR_OK);
    else if (rc == PBR_OK && !may_survive)
        fail_msg("fault %ld went unnoticed", n);
    if (alloc && rc < 0 && rc != PBR_E_NOMEM && rc != PBR_E_IO)
        fail_msg("failed allocation %ld gave %s", n, pbr_err_name(rc));
    check_sound(&f);
    if (hit && rc < 0 && op == op_backup) { /* the next one goes through */
        struct pbr_diag diag = { 0 };
        if (fx_backup(&f, "a", FX_TIME + 200, seeds, 1, &diag) != PBR_OK)
            fail_msg("%s", diag.text);
        check_sound(&f);
    }
    fx_stop(&f); /* nothing leaked */
    return hit;
}

static void torture(int (*op)(struct fx *f), bool may_survive)
{
    for (int kind = 0; kind < 4; kind++) {
        long n = 0;
        while (run_once(op, kind & 1, kind & 2, n, may_survive))
            n++;
        check(n > 0 || (kind & 1)); /* every operation writes; not every one allocates */
    }
}

#define TORTURE(name, op, may_survive)                                                             \
    static void test_##name(void **state)                                                         \
    {                                                                                              \
        (void)state;                                                                               \
        torture(op, may_survive);                                                                  \
    }

/* may_survive: some calls are best effort (removing an empty group, tidying up, counting a failure and going on). */
TORTURE(a_backup_is_there_whole_or_not_at_all, op_backup, true)
TORTURE(a_new_group_has_its_owner_or_is_not_there, op_new_group, true)
TORTURE(a_forgotten_snapshot_is_whole_or_unfinished_or_gone, op_forget, true)
TORTURE(a_forgotten_group_is_sound_at_every_step, op_forget_group, true)
TORTURE(notes_are_old_or_new, op_notes, false)
TORTURE(the_owner_is_old_or_new, op_owner, false)
TORTURE(protection_is_on_or_off, op_protect, false)
TORTURE(garbage_collection_never_takes_what_is_used, op_gc, false)
TORTURE(prune_leaves_sound_snapshots, op_prune, true)
TORTURE(a_namespace_is_there_or_not, op_namespace, true)
TORTURE(verification_does_not_blame_the_data, op_verify, true)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_backup_is_there_whole_or_not_at_all),
        cmocka_unit_test(test_a_new_group_has_its_owner_or_is_not_there),
        cmocka_unit_test(test_a_forgotten_snapshot_is_whole_or_unfinished_or_gone),
        cmocka_unit_test(test_a_forgotten_group_is_sound_at_every_step),
        cmocka_unit_test(test_notes_are_old_or_new),
        cmocka_unit_test(test_the_owner_is_old_or_new),
        cmocka_unit_test(test_protection_is_on_or_off),
        cmocka_unit_test(test_garbage_collection_never_takes_what_is_used),
        cmocka_unit_test(test_prune_leaves_sound_snapshots),
        cmocka_unit_test(test_a_namespace_is_there_or_not),
        cmocka_unit_test(test_verification_does_not_blame_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
