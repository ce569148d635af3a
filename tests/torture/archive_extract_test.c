/* SPDX-License-Identifier: MIT */
/* covers: EXT-041 EXT-045 EXT-061 EXT-081 EXT-090 EXT-091 */
/* The nth operation of the target, or the nth allocation, fails: extraction ends with the right
 * code, says so, closes all nodes, frees everything, and leaves nothing outside its target. */
#include "extract_util.h"

/* One of each kind, nested, with attributes, hard link and a hole; all with the caller's own ids.
 */
static void rich_archive(struct arch *a)
{
    static uint8_t content[20000];
    memset(content, 'x', 6000);
    arch_init(a);
    arch_root(a);
    arch_dir(a, "d");
    arch_dir(a, "sub");
    arch_dir(a, "deep");
    arch_name(a, "f");
    arch_entry_full(a, PBR_MODE_REG | 0644, 0x00020000 /* NOATIME */, 1700000000, 0);
    arch_item(a, PBR_PXAR_XATTR, "user.a\0value", 12);
    arch_item(a, PBR_PXAR_PAYLOAD, content, sizeof(content));
    arch_end(a);
    arch_end(a);
    arch_end(a);
    arch_hardlink(a, "h", "d/sub/deep/f", 12);
    arch_name(a, "p");
    arch_entry(a, PBR_MODE_FIFO | 0600);
    arch_symlink(a, "s", "d");
    arch_text(a, "z", "last");
    arch_end(a);
}

static void run(struct outcome *o, struct faulty *f, const struct scratch *s,
                struct pbr_span archive, struct pbr_extract_opts opts, long nth, bool sticky,
                int error)
{
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_target fs;
    char *target_path = scratch_path(s, "target");
    assert_int_equal(pbr_target_fs_open(&env, target_path, &fs, NULL), PBR_OK);
    const struct pbr_target target = faulty_target(f, fs);
    f->fault = (struct pbr_fault){ .nth = nth, .sticky = sticky };
    f->error = error;
    opts.open_dirs_max = 2;
    *o = (struct outcome){ .world = { .alloc_fault = { .nth = -1 } } };
    extract_to(o, archive, pbr_span(NULL, 0), &target, opts, 0);
    pbr_target_close(&fs);
    free(target_path);
}

static void check_every_operation(struct pbr_extract_opts opts, bool sticky, int error)
{
    struct arch a;
    rich_archive(&a);
    for (long nth = 0;; nth++) {
        const struct scratch s = scratch_make();
        struct outcome o;
        struct faulty f;
        run(&o, &f, &s, pbr_buf_span(&a.out), opts, nth, sticky, error);
        check_int(f.open_nodes, 0);
        char *target_path = scratch_path(&s, "target");
        const bool done = !f.fault.hit;
        if (done) {
            check_int(o.rc, PBR_OK);
            check_int(nth, f.operations); /* each of them was the failing one */
            check(nth > 40);
        } else if (o.rc == PBR_E_PARTIAL) {
            check(!opts.strict);
            check(o.errors >= 1);
            check(o.stats.failed >= 1 && o.stats.errors == o.errors);
        } else if (o.rc != PBR_OK) { /* strict, or no way back to an outer directory */
            check_int(o.rc, PBR_E_IO);
            check_int(o.diag.os_errno, error);
        } else { /* closing a directory, or an attribute the file system need not have */
            check(error == EIO || error == EOPNOTSUPP || error == ENOSPC);
            check_int(o.errors, 0);
        }
        if (!sticky &&
            o.rc == PBR_E_PARTIAL) { /* one failure costs one entry, or one directory's worth */
            char *text = get_file(target_path, "z");
            check(text != NULL || strstr(o.said, "entry \"z\"") != NULL);
            free(text);
        }
        free(target_path);
        scratch_remove(&s);
        if (done)
            break;
    }
    arch_release(&a);
}

static void test_one_failing_operation_is_reported_and_the_rest_done(void **state)
{
    (void)state;
    check_every_operation((struct pbr_extract_opts){ 0 }, false, EIO);
    check_every_operation((struct pbr_extract_opts){ 0 }, false, EOPNOTSUPP);
}

static void test_strict_ends_at_any_failing_operation(void **state)
{
    (void)state;
    check_every_operation((struct pbr_extract_opts){ .strict = true }, false, EIO);
}

static void test_a_target_that_stops_working_is_survived(void **state)
{
    (void)state;
    check_every_operation((struct pbr_extract_opts){ 0 }, true, ENOSPC);
    check_every_operation((struct pbr_extract_opts){ .strict = true }, true, ENOSPC);
}

static int write_fails(void *ctx, int node, uint64_t off, struct pbr_span in)
{
    (void)ctx;
    (void)node;
    (void)off;
    (void)in;
    return -ENOSPC;
}

static void test_a_full_disk_names_the_partial_file(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_target target;
    struct outcome o = { .world = { .alloc_fault = { .nth = -1 } } };
    struct arch a;
    struct stat st;
    rich_archive(&a);
    assert_int_equal(pbr_target_fs_open(&env, s.path, &target, NULL), PBR_OK);
    struct pbr_target_ops ops = *target.ops;
    ops.write_at = write_fails;
    const struct pbr_target full = { &ops, target.ctx, target.root };
    extract_to(&o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &full,
               (struct pbr_extract_opts){ .strict = true }, 0);
    check_int(o.rc, PBR_E_IO);
    check_int(o.diag.os_errno, ENOSPC);
    check_str(o.incomplete, "/d/sub/deep/f");
    check_int(o.stats.incomplete, 1);
    check(strstr(o.diag.text, "ENOSPC: No space left on device") != NULL);
    check(stat_in(s.path, "d/sub/deep/f", &st)); /* the partial file stays, without its metadata */
    check_int(st.st_mode & 07777, 0600);
    pbr_target_close(&target);
    arch_release(&a);
    scratch_remove(&s);
}

static int close_fails(void *ctx, int node)
{
    (void)ctx;
    close(node);
    return -EDQUOT;
}

/* Network file systems may tell only now that there was no room. */
static void test_a_file_whose_closing_fails_is_incomplete(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_target target;
    struct outcome o = { .world = { .alloc_fault = { .nth = -1 } } };
    struct arch a;
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, "f", "content");
    arch_end(&a);
    assert_int_equal(pbr_target_fs_open(&env, s.path, &target, NULL), PBR_OK);
    struct pbr_target_ops ops = *target.ops;
    ops.close = close_fails;
    const struct pbr_target full = { &ops, target.ctx, target.root };
    extract_to(&o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &full, (struct pbr_extract_opts){ 0 },
               0);
    check_int(o.rc, PBR_E_PARTIAL);
    check_str(o.incomplete, "/f");
    check(strstr(o.said, "EDQUOT: ") != NULL);
    pbr_target_close(&target);
    arch_release(&a);
    scratch_remove(&s);
}

static void test_every_failing_allocation_ends_extraction_cleanly(void **state)
{
    (void)state;
    struct arch a;
    rich_archive(&a);
    for (long nth = 1;; nth++) { /* extract_to takes nth > 0 for a fault */
        const struct scratch s = scratch_make();
        struct outcome o = { .world = { .alloc_fault = { .nth = nth } } };
        struct test_world world;
        struct pbr_env env = test_env(&world);
        struct pbr_target fs;
        struct faulty f;
        assert_int_equal(pbr_target_fs_open(&env, s.path, &fs, NULL), PBR_OK);
        const struct pbr_target target = faulty_target(&f, fs);
        extract_to(&o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &target,
                   (struct pbr_extract_opts){ 0 }, 1000);
        check_int(f.open_nodes, 0);
        const bool done = !o.world.alloc_fault.hit;
        check_int(o.rc, done ? PBR_OK : PBR_E_NOMEM);
        pbr_target_close(&fs);
        scratch_remove(&s);
        if (done)
            break;
    }
    arch_release(&a);
}

/* Every strict prefix of an archive: cut short, and nothing but what was whole is counted. */
static void test_every_prefix_is_truncated(void **state)
{
    (void)state;
    struct arch a;
    arch_init(&a);
    arch_root(&a);
    arch_dir(&a, "d");
    arch_text(&a, "f", "content");
    arch_end(&a);
    arch_symlink(&a, "s", "d");
    arch_end(&a);
    for (size_t len = 0; len < a.out.len; len++) {
        const struct scratch s = scratch_make();
        struct outcome o;
        extract_dir(&o, pbr_span(a.out.ptr, len), s.path, (struct pbr_extract_opts){ 0 });
        check_int(o.rc, PBR_E_TRUNCATED);
        check(o.stats.files <= 1 && o.stats.incomplete <= 1);
        scratch_remove(&s);
    }
    arch_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_failing_operation_is_reported_and_the_rest_done),
        cmocka_unit_test(test_strict_ends_at_any_failing_operation),
        cmocka_unit_test(test_a_target_that_stops_working_is_survived),
        cmocka_unit_test(test_a_full_disk_names_the_partial_file),
        cmocka_unit_test(test_a_file_whose_closing_fails_is_incomplete),
        cmocka_unit_test(test_every_failing_allocation_ends_extraction_cleanly),
        cmocka_unit_test(test_every_prefix_is_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
