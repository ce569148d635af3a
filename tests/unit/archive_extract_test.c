/* SPDX-License-Identifier: MIT */
/* covers: EXT-004 EXT-012 EXT-013 EXT-014 EXT-015 EXT-020 EXT-041 EXT-045 EXT-049 EXT-062 EXT-069
 * EXT-080 EXT-081 EXT-090 EXT-092 EXT-093 EXT-095 EXT-100 EXT-101 EXT-111 PXAR-080 PXAR-243
 * PXAR-244
 */
#include <sys/xattr.h>

#include "archive/create.h"
#include "archive/meta_apply.h"
#include "extract_util.h"
#include "format/pattern.h"

static void verify_text(const char *dir, const char *name, const char *want)
{
    char *text = get_file(dir, name);
    assert_non_null(text);
    check_str(text, want);
    free(text);
}

static unsigned mode_of(const char *dir, const char *name)
{
    struct stat st;
    check(stat_in(dir, name, &st));
    return st.st_mode & 07777;
}

/* A directory that its owner may not write to, with a file in it; fifo, socket; device. */
static void mixed_archive(struct arch *a)
{
    arch_init(a);
    arch_entry(a, PBR_MODE_DIR | 0711);
    arch_name(a, "closed");
    arch_entry(a, PBR_MODE_DIR | 0555);
    arch_text(a, "inside", "text");
    arch_end(a);
    arch_name(a, "fifo");
    arch_entry(a, PBR_MODE_FIFO | 0622);
    arch_name(a, "sock");
    arch_entry(a, PBR_MODE_SOCKET | 0700);
    arch_end(a);
}

static void test_a_directory_without_write_permission_is_filled(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    char *target = scratch_path(&s, "new/parent/target");
    struct arch a;
    struct outcome o;
    struct stat st;
    mixed_archive(&a);
    extract_dir(&o, pbr_buf_span(&a.out), target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_OK);
    verify_text(target, "closed/inside", "text");
    check_int(mode_of(target, "closed"), 0555);
    check_int(mode_of(target, "closed/inside"), 0640);
    check_int(mode_of(target, "fifo"), 0622);
    check_int(mode_of(target, "sock"), 0700);
    check_int(mode_of(target, "."), 0711); /* the root's metadata [EXT-014] */
    check(stat_in(target, ".", &st));
    check_int(st.st_mtim.tv_sec, 1700000000);
    check_int(st.st_mtim.tv_nsec, 5);
    check_int(o.stats.entries, 5);
    check_int(o.stats.dirs, 2);
    check_int(o.stats.files, 1);
    check_int(o.stats.specials, 2);
    check_int(o.stats.bytes, 4);
    check_int(o.progress_calls, 4);
    char *closed = scratch_path(&s, "new/parent/target/closed");
    assert_int_equal(chmod(closed, 0755), 0);
    free(closed);
    free(target);
    arch_release(&a);
    scratch_remove(&s);
}

static void test_the_target_is_created_with_its_parents(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_target t;
    struct pbr_diag diag = { 0 };
    char *target = scratch_path(&s, "a//b/c/");
    const mode_t mask = umask(022);
    check_int(pbr_target_fs_open(&env, target, &t, NULL), PBR_OK);
    pbr_target_close(&t);
    check_int(mode_of(s.path, "a"), 0755);
    check_int(mode_of(s.path, "a/b"), 0755);
    check_int(mode_of(s.path, "a/b/c"), 0700);
    check_int(pbr_target_fs_open(&env, target, &t, NULL), PBR_OK); /* there already */
    pbr_target_close(&t);
    umask(mask);
    free(target);
    put_file(s.path, "file", "x");
    target = scratch_path(&s, "file/under");
    check_int(pbr_target_fs_open(&env, target, &t, &diag), PBR_E_IO);
    check_int(diag.os_errno, ENOTDIR);
    free(target);
    scratch_remove(&s);
}

static void test_without_permissions_umask_and_creation_modes_stay(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    const mode_t mask = umask(027);
    mixed_archive(&a);
    extract_dir(&o, pbr_buf_span(&a.out), s.path,
                (struct pbr_extract_opts){ .without = PBR_FEATURE_PERMISSIONS });
    umask(mask);
    check_int(o.rc, PBR_OK);
    check_int(mode_of(s.path, "closed"), 0550); /* as if created with 0555 [EXT-040] */
    check_int(mode_of(s.path, "closed/inside"), 0600);
    check_int(mode_of(s.path, "fifo"), 0600);
    check_int(mode_of(s.path, "."), 0700);
    char *closed = scratch_path(&s, "closed");
    assert_int_equal(chmod(closed, 0755), 0);
    free(closed);
    arch_release(&a);
    scratch_remove(&s);
}

static void test_kinds_that_are_switched_off_are_passed_over(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    mixed_archive(&a);
    extract_dir(&o, pbr_buf_span(&a.out), s.path,
                (struct pbr_extract_opts){ .without = PBR_FEATURE_FIFOS | PBR_FEATURE_SOCKETS });
    check_int(o.rc, PBR_OK);
    check_int(o.stats.skipped, 2);
    check(!stat_in(s.path, "fifo", &st) && !stat_in(s.path, "sock", &st));
    char *closed = scratch_path(&s, "closed");
    assert_int_equal(chmod(closed, 0755), 0);
    free(closed);
    arch_release(&a);
    scratch_remove(&s);
}

static void device_archive(struct arch *a, uint64_t mode)
{
    uint8_t numbers[16] = { 0 };
    pbr_put_u64le(numbers, 1);
    pbr_put_u64le(numbers + 8, 3);
    arch_init(a);
    arch_root(a);
    arch_name(a, "dev");
    arch_entry(a, mode);
    arch_item(a, PBR_PXAR_DEVICE, numbers, sizeof(numbers));
    arch_end(a);
}

static void test_errors_of_devices_can_be_ignored(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    put_file(s.path, "dev", "in the way");
    device_archive(&a, PBR_MODE_CHAR | 0666);
    extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ .strict = true });
    check_int(o.rc, PBR_E_IO);
    check_str(
        o.diag.text,
        "encountered unexpected error during extraction: error at entry \"dev\": failed to extract "
        "device: failed to create device node: File exists (os error 17)");
    extract_dir(&o, pbr_buf_span(&a.out), s.path,
                (struct pbr_extract_opts){ .strict = true, .ignore_device_errors = true });
    check_int(o.rc, PBR_OK);
    check_int(o.notes, 0);
    verify_text(s.path, "dev", "in the way");
    arch_release(&a);
    scratch_remove(&s);
}

static void test_a_device_that_is_none_makes_nothing(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    device_archive(&a, PBR_MODE_REG | 04755);
    extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ 0 });
    check(o.rc == PBR_E_PARTIAL || o.rc == PBR_E_FORMAT);
    check(!stat_in(s.path, "dev", &st));
    arch_release(&a);
    scratch_remove(&s);
}

static int not_permitted_owner(void *ctx, int node, uint32_t uid, uint32_t gid)
{
    (void)ctx;
    (void)node;
    (void)uid;
    (void)gid;
    return -EPERM;
}

static int not_permitted_node(void *ctx, int dir, const char *name, uint32_t mode, uint64_t dev)
{
    (void)ctx;
    (void)dir;
    (void)name;
    (void)mode;
    (void)dev;
    return -EPERM;
}

/* As without root: everything else is restored all the same [EXT-095]. */
static void test_what_is_not_permitted_costs_only_itself(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct outcome o = { .world = { .alloc_fault = { .nth = -1 } } };
    struct pbr_target target;
    struct arch a;
    struct stat st;
    mixed_archive(&a);
    assert_int_equal(pbr_target_fs_open(&env, s.path, &target, NULL), PBR_OK);
    struct pbr_target_ops ops = *target.ops;
    ops.set_owner = not_permitted_owner;
    ops.mknod = not_permitted_node;
    const struct pbr_target limited = { &ops, target.ctx, target.root };
    extract_to(&o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &limited,
               (struct pbr_extract_opts){ 0 }, 0);
    check_int(o.rc, PBR_E_PARTIAL);
    check_int(o.stats.failed,
              5); /* fifo, socket; owners of file, directory, root: once per entry */
    check_int(o.errors, 5);
    check(strstr(o.said,
                 "failed to leave directory\n    2: failed to set ownership\n    3: EPERM: ") !=
          NULL);
    verify_text(s.path, "closed/inside", "text");
    check_int(mode_of(s.path, "closed"), 0555);
    check_int(mode_of(s.path, "closed/inside"), 0640);
    check(stat_in(s.path, "closed", &st));
    check_int(st.st_mtim.tv_sec, 1700000000);
    char *closed = scratch_path(&s, "closed");
    assert_int_equal(chmod(closed, 0755), 0);
    free(closed);
    pbr_target_close(&target);
    arch_release(&a);
    scratch_remove(&s);
}

static void test_every_name_is_quoted_in_messages(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, "a\n\x1b\"\xff", "1");
    arch_text(&a, "a\n\x1b\"\xff", "2");
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_E_PARTIAL);
    check_str(o.said, "error at \"/a\\n\\u{1b}\\\"\\xFF\"\nCaused by:\n"
                      "    0: error at entry \"a\\n\\u{1b}\\\"\\xFF\"\n"
                      "    1: failed to extract file\n"
                      "    2: failed to create file \"a\\n\\u{1b}\\\"\\xFF\"\n"
                      "    3: EEXIST: File exists\n");
    check_str(o.diag.text, "there were errors: 1 of 3 entries");
    arch_release(&a);
    scratch_remove(&s);
}

static void test_progress_can_cancel(void **state)
{
    (void)state;
    struct arch a;
    const size_t size = 20 << 20;
    uint8_t *content = calloc(1, size);
    assert_non_null(content);
    arch_init(&a);
    arch_root(&a);
    arch_file(&a, "afile", "x", 1);
    arch_file(&a, "large", content, size);
    arch_end(&a);
    for (unsigned at = 1; at <= 3; at++) {
        const struct scratch s = scratch_make();
        struct outcome o = { .world = { .alloc_fault = { .nth = -1 } }, .cancel_at = at };
        struct test_world world;
        struct pbr_env env = test_env(&world);
        struct pbr_target target;
        assert_int_equal(pbr_target_fs_open(&env, s.path, &target, NULL), PBR_OK);
        extract_to(&o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &target,
                   (struct pbr_extract_opts){ 0 }, 65536);
        check_int(o.rc, PBR_E_CANCELED);
        check_str(o.incomplete, at > 1 ? "/large" : "");
        pbr_target_close(&target);
        scratch_remove(&s);
    }
    free(content);
    arch_release(&a);
}

static void test_the_prelude_is_handed_out_once(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    const uint8_t version[8] = { 2 };
    arch_init(&a);
    arch_root(&a);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_OK);
    check_int(o.prelude_calls, 1);
    check(o.prelude.ptr == NULL); /* there is none [EXT-101] */
    for (size_t len = 0; len <= 5; len += 5) {
        arch_release(&a);
        arch_init(&a);
        arch_item(&a, PBR_PXAR_FORMAT_VERSION, version, sizeof(version));
        arch_item(&a, PBR_PXAR_PRELUDE, "hello", len);
        arch_root(&a);
        arch_end(&a);
        extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ 0 });
        check_int(o.rc, PBR_OK);
        check_int(o.prelude_calls, 1);
        check(o.prelude.ptr != NULL);
        check_int(o.prelude.len, len);
    }
    arch_release(&a);
    scratch_remove(&s);
}

static void test_a_prelude_file_is_created_exclusively_unless_overwriting(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct pbr_diag diag = { 0 };
    char *path = scratch_path(&s, "prelude");
    check_int(pbr_extract_prelude_to_file(path, false, pbr_span_str("a long first text"), &diag),
              PBR_OK);
    check_int(pbr_extract_prelude_to_file(path, false, pbr_span_str("second"), &diag), PBR_E_EXIST);
    verify_text(s.path, "prelude", "a long first text");
    check_int(pbr_extract_prelude_to_file(path, true, pbr_span_str("third"), NULL), PBR_OK);
    verify_text(s.path, "prelude", "third");
    free(path);
    scratch_remove(&s);
}

/* A split archive with two files; the payload record of the first does not fit its reference. */
static void test_a_payload_header_that_does_not_fit_costs_one_file(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct outcome o = { .world = { .alloc_fault = { .nth = -1 } } };
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_target target;
    struct arch a, p;
    uint8_t ref[16];
    const uint8_t version[8] = { 2 };
    arch_init(&p);
    arch_item(&p, PBR_PXAR_PAYLOAD_START, NULL, 0);
    arch_item(&p, PBR_PXAR_PAYLOAD, "four", 4);
    arch_item(&p, PBR_PXAR_PAYLOAD, "fine", 4);
    arch_init(&a);
    arch_item(&a, PBR_PXAR_FORMAT_VERSION, version, sizeof(version));
    arch_root(&a);
    for (unsigned i = 0; i < 2; i++) {
        pbr_put_u64le(ref, 16 + i * 20);
        pbr_put_u64le(ref + 8, i ? 4 : 3);
        arch_name(&a, i ? "b" : "a");
        arch_entry(&a, PBR_MODE_REG | 0644);
        arch_item(&a, PBR_PXAR_PAYLOAD_REF, ref, sizeof(ref));
    }
    arch_end(&a);
    assert_int_equal(pbr_target_fs_open(&env, s.path, &target, NULL), PBR_OK);
    extract_to(&o, pbr_buf_span(&a.out), pbr_buf_span(&p.out), &target,
               (struct pbr_extract_opts){ 0 }, 0);
    check_int(o.rc, PBR_E_PARTIAL);
    check_str(o.incomplete, "/a");
    check_str(o.last_rule, "PXAR-243");
    verify_text(s.path, "b", "fine");
    check_int(mode_of(s.path, "a"), 0600); /* no metadata on what is not whole [EXT-045] */
    pbr_target_close(&target);
    arch_release(&a);
    arch_release(&p);
    scratch_remove(&s);
}

static void test_trailing_bytes_after_the_root_are_ignored(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, "f", "1");
    arch_end(&a);
    assert_int_equal(pbr_buf_append(&a.out, pbr_span_str("trailing")), PBR_OK);
    extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_OK);
    arch_release(&a);
    scratch_remove(&s);
}

/* Patterns; `want` are the paths that must be there, all others must not. */
static void check_pattern_case(const char *const *patterns, const char *want)
{
    static const char *const paths[] = { "a", "a/b", "a/b/c", "a/b/c/f", "a/g", "e", "z" };
    const struct scratch s = scratch_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_pattern_list list;
    struct arch a;
    struct outcome o;
    char found[64] = { 0 };
    arch_init(&a);
    arch_root(&a);
    arch_dir(&a, "a");
    arch_dir(&a, "b");
    arch_dir(&a, "c");
    arch_text(&a, "f", "f");
    arch_end(&a);
    arch_end(&a);
    arch_text(&a, "g", "g");
    arch_end(&a);
    arch_dir(&a, "e");
    arch_end(&a);
    arch_text(&a, "z", "z");
    arch_end(&a);
    pbr_pattern_list_init(&list, &env);
    for (; *patterns; patterns++)
        assert_int_equal(pbr_pattern_list_add(&list, pbr_span_str(*patterns), true, false, NULL),
                         PBR_OK);
    extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ .patterns = &list });
    check_int(o.rc, PBR_OK);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct stat st;
        if (!stat_in(s.path, paths[i], &st))
            continue;
        (void)snprintf(found + strlen(found), sizeof(found) - strlen(found), " %s", paths[i]);
        check_int(st.st_mtim.tv_sec,
                  1700000000); /* directories made on demand get their metadata too [EXT-026] */
        check_int(st.st_mode & 07777, S_ISDIR(st.st_mode) ? 0750 : 0640);
    }
    check_str(found, want);
    pbr_pattern_list_release(&list);
    arch_release(&a);
    scratch_remove(&s);
}

static void test_patterns_select_as_the_state_of_each_directory_says(void **state)
{
    (void)state;
    check_pattern_case((const char *const[]){ NULL }, " a a/b a/b/c a/b/c/f a/g e z");
    check_pattern_case((const char *const[]){ "a", NULL }, " a a/b a/b/c a/b/c/f a/g");
    check_pattern_case((const char *const[]){ "a", "!b", NULL }, " a a/g");
    check_pattern_case((const char *const[]){ "a", "!b", "f", NULL }, " a a/b a/b/c a/b/c/f a/g");
    check_pattern_case((const char *const[]){ "c", NULL }, " a a/b a/b/c a/b/c/f");
    check_pattern_case((const char *const[]){ "e", NULL }, ""); /* [EXT-025] */
    check_pattern_case((const char *const[]){ "**", NULL }, " a a/b a/b/c a/b/c/f a/g z");
    check_pattern_case((const char *const[]){ "z/", NULL }, ""); /* directories only */
    check_pattern_case((const char *const[]){ "/a/g", "z", NULL }, " a a/g z");
    check_pattern_case((const char *const[]){ "!a", NULL }, "");
}

static void test_missing_group_obj_is_a_warning(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    uint8_t user[16] = { 0 };
    pbr_put_u64le(user, 1000);
    pbr_put_u64le(user + 8, 4);
    arch_init(&a);
    arch_root(&a);
    arch_name(&a, "f");
    arch_entry(&a, PBR_MODE_REG | 0664);
    arch_item(&a, PBR_PXAR_ACL_USER, user, sizeof(user));
    arch_item(&a, PBR_PXAR_PAYLOAD, "x", 1);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ 0 });
    check_int(o.warnings, 1);
    check_str(o.said, "\"/f\": Missing GROUP_OBJ entry in ACL, resetting to value of MASK\n");
    arch_release(&a);
    scratch_remove(&s);
}

/* Nodes that cannot be opened are reached through /proc/self/fd [EXT-062]. */
static void test_special_files_get_their_acls(void **state)
{
    (void)state;
    const struct scratch s = scratch_make();
    struct arch a;
    struct outcome o;
    uint8_t user[16] = { 0 }, group_obj[8] = { 4 }, got[128];
    char *path = scratch_path(&s, "p");
    pbr_put_u64le(user, 1000);
    pbr_put_u64le(user + 8, 4);
    arch_init(&a);
    arch_root(&a);
    arch_name(&a, "p");
    arch_entry(&a, PBR_MODE_FIFO | 0664);
    arch_item(&a, PBR_PXAR_ACL_USER, user, sizeof(user));
    arch_item(&a, PBR_PXAR_ACL_GROUP_OBJ, group_obj, sizeof(group_obj));
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), s.path, (struct pbr_extract_opts){ 0 });
    if (o.rc == PBR_E_PARTIAL && strstr(o.said, "EOPNOTSUPP")) {
        arch_release(&a);
        free(path);
        scratch_remove(&s);
        SKIP("the file system of the scratch directory has no ACLs");
    }
    check_int(o.rc, PBR_OK);
    check_int(lgetxattr(path, "system.posix_acl_access", got, sizeof(got)), 4 + 5 * 8);
    check_int(mode_of(s.path, "p"), 0664);
    free(path);
    arch_release(&a);
    scratch_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_directory_without_write_permission_is_filled),
        cmocka_unit_test(test_the_target_is_created_with_its_parents),
        cmocka_unit_test(test_without_permissions_umask_and_creation_modes_stay),
        cmocka_unit_test(test_kinds_that_are_switched_off_are_passed_over),
        cmocka_unit_test(test_errors_of_devices_can_be_ignored),
        cmocka_unit_test(test_a_device_that_is_none_makes_nothing),
        cmocka_unit_test(test_what_is_not_permitted_costs_only_itself),
        cmocka_unit_test(test_every_name_is_quoted_in_messages),
        cmocka_unit_test(test_progress_can_cancel),
        cmocka_unit_test(test_the_prelude_is_handed_out_once),
        cmocka_unit_test(test_a_prelude_file_is_created_exclusively_unless_overwriting),
        cmocka_unit_test(test_a_payload_header_that_does_not_fit_costs_one_file),
        cmocka_unit_test(test_trailing_bytes_after_the_root_are_ignored),
        cmocka_unit_test(test_patterns_select_as_the_state_of_each_directory_says),
        cmocka_unit_test(test_missing_group_obj_is_a_warning),
        cmocka_unit_test(test_special_files_get_their_acls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
