/* SPDX-License-Identifier: MIT */
/* covers: EXT-042 EXT-060 EXT-063 EXT-064 EXT-065 EXT-066 EXT-067 EXT-068 EXT-069 EXT-070 EXT-071
 * EXT-072 EXT-074 EXT-075 EXT-076 EXT-077 EXT-078 EXT-079 EXT-080 EXT-081 CRT-115 CRT-122 */
#include <errno.h>

#include "archive/meta_apply.h"
#include "test.h"

/* A target that only writes down what it is asked; one named step can fail. */
struct recorder {
    char log[2048];
    const char *fail_step;
    int error;
    uint32_t inode_flags;
    unsigned errors, warnings, remarks;
    bool stop_at_error;
    char notes[1024];
};

static int record(void *ctx, const char *step, const char *fmt, ...) PBR_PRINTF(3, 4);

static int record(void *ctx, const char *step, const char *fmt, ...)
{
    struct recorder *r = ctx;
    const size_t at = strlen(r->log);
    const int n = snprintf(r->log + at, sizeof(r->log) - at, "%s%s", at ? " " : "", step);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->log + at + n, sizeof(r->log) - at - (size_t)n, fmt, ap);
    va_end(ap);
    return r->fail_step && strcmp(step, r->fail_step) == 0 ? -r->error : 0;
}

static int rec_owner(void *ctx, int node, uint32_t uid, uint32_t gid)
{
    (void)node;
    return record(ctx, "owner", "=%u:%u", uid, gid);
}

static int rec_xattr(void *ctx, int node, const char *name, struct pbr_span value)
{
    (void)node;
    return record(ctx, name, "=%zu", value.len);
}

static int rec_mode(void *ctx, int node, uint32_t mode)
{
    (void)node;
    return record(ctx, "mode", "=%o", mode);
}

static int rec_mtime(void *ctx, int node, int64_t s, uint32_t ns)
{
    (void)node;
    return record(ctx, "mtime", "=%" PRId64 ".%u", s, ns);
}

static int rec_get_flags(void *ctx, int node, uint32_t *ret)
{
    const struct recorder *r = ctx;
    (void)node;
    *ret = r->inode_flags;
    return r->fail_step && strcmp(r->fail_step, "get-flags") == 0 ? -r->error : 0;
}

static int rec_set_flags(void *ctx, int node, uint32_t bits)
{
    (void)node;
    return record(ctx, "flags", "=%x", bits);
}

static int rec_fat(void *ctx, int node, uint32_t bits)
{
    (void)node;
    return record(ctx, "fat", "=%x", bits);
}

static int rec_projid(void *ctx, int node, uint32_t projid)
{
    (void)node;
    return record(ctx, "projid", "=%u", projid);
}

static int rec_stat(void *ctx, int node, struct pbr_target_stat *ret)
{
    (void)ctx;
    (void)node;
    *ret = (struct pbr_target_stat){ .mode = PBR_MODE_DIR | 02755, .links = 2 };
    return 0;
}

static const struct pbr_target_ops rec_ops = {
    .stat = rec_stat,
    .set_owner = rec_owner,
    .set_xattr = rec_xattr,
    .set_mode = rec_mode,
    .set_mtime = rec_mtime,
    .get_inode_flags = rec_get_flags,
    .set_inode_flags = rec_set_flags,
    .set_fat_attrs = rec_fat,
    .set_projid = rec_projid,
};

static int on_note(void *ctx, const struct pbr_meta_note *note)
{
    struct recorder *r = ctx;
    const size_t at = strlen(r->notes);
    r->errors += note->is_error;
    r->warnings += !note->is_error && !note->subject;
    r->remarks += !note->is_error && note->subject;
    (void)snprintf(r->notes + at, sizeof(r->notes) - at, "%s%s", at ? "|" : "", note->rule);
    return note->is_error && r->stop_at_error ? note->code : PBR_OK;
}

/* Everything an entry can have. */
static const struct pbr_pxar_xattr xattrs[] = {
    { { (const uint8_t *)"user.a", 6 }, { (const uint8_t *)"1", 1 } },
    { { (const uint8_t *)"security.selinux", 16 }, { (const uint8_t *)"x", 1 } },
    { { (const uint8_t *)"trusted.b", 9 }, { NULL, 0 } },
};
static const struct pbr_pxar_acl_id users[] = { { 1000, 4 },
                                                { 1001, UINT64_C(0xfffffffffffffff6) } };
static const struct pbr_pxar_acl_id groups[] = { { UINT64_C(0x1000007d0), 5 } };

static struct pbr_pxar_meta full_meta(void)
{
    return (struct pbr_pxar_meta){ .mode = PBR_MODE_REG | 06750,
                                   .flags =
                                       0x00520000 | 0x2000, /* NODUMP, IMMUTABLE, NOATIME, HIDDEN */
                                   .uid = 7,
                                   .gid = 8,
                                   .mtime_s = -5,
                                   .mtime_ns = 999999999,
                                   .xattrs = xattrs,
                                   .xattr_nr = 3,
                                   .acl_users = users,
                                   .acl_user_nr = 2,
                                   .acl_groups = groups,
                                   .acl_group_nr = 1,
                                   .has_acl_group_obj = true,
                                   .acl_group_obj = 4,
                                   .has_acl_default = true,
                                   .acl_default = { 7, 5, 1, PBR_PXAR_NO_MASK },
                                   .has_fcaps = true,
                                   .fcaps = { (const uint8_t *)"01234567890123456789", 20 },
                                   .has_projid = true,
                                   .projid = UINT64_C(0x10000002a) };
}

static int apply(struct recorder *r, struct pbr_meta_job job, enum pbr_pxar_kind kind,
                 const struct pbr_pxar_meta *meta)
{
    struct test_world world;
    const struct pbr_env env = test_env(&world);
    const struct pbr_target target = { &rec_ops, r, 0 };
    job.env = &env;
    job.target = &target;
    job.note = on_note;
    job.ctx = r;
    const int rc = pbr_meta_apply(&job, 3, kind, meta);
    check_int(world.live_allocs, 0);
    return rc;
}

static void test_steps_are_done_in_the_order_that_keeps_every_attribute(void **state)
{
    (void)state;
    struct recorder r = { .inode_flags = 0x80040 /* extents, nodump */ };
    const struct pbr_pxar_meta meta = full_meta();
    check_int(
        apply(&r, (struct pbr_meta_job){ .features = PBR_FEATURE_DEFAULT }, PBR_KIND_FILE, &meta),
        PBR_OK);
    /* nodump is neither restored nor taken away, bits that archives do not know stay */
    check_str(
        r.log,
        "owner=7:8 user.a=1 trusted.b=0 security.capability=20 system.posix_acl_access=60 "
        "system.posix_acl_default=28 projid=42 mode=6750 mtime=-5.999999999 flags=800d0 fat=2");
    check_int(r.errors, 0);
    check_int(r.remarks, 1); /* security.selinux */
}

static void test_switched_off_features_are_left_out_one_by_one(void **state)
{
    (void)state;
    static const struct {
        uint64_t without;
        const char *log;
    } cases[] = {
        { PBR_FEATURE_XATTRS,
          "owner=7:8 security.capability=20 system.posix_acl_access=60 system.posix_acl_default=28 "
          "projid=42 mode=6750 mtime=-5.999999999 flags=90 fat=2" },
        { PBR_FEATURE_XATTRS | PBR_FEATURE_FCAPS | PBR_FEATURE_ACL | PBR_FEATURE_QUOTA_PROJID,
          "owner=7:8 mode=6750 mtime=-5.999999999 flags=90 fat=2" },
        { PBR_FEATURE_OWNER | PBR_FEATURE_PERMISSIONS | PBR_FEATURE_ACL,
          "user.a=1 trusted.b=0 security.capability=20 projid=42 mtime=-5.999999999 flags=90 "
          "fat=2" },
        { 0x00400000 | 0x2000,
          "owner=7:8 user.a=1 trusted.b=0 security.capability=20 system.posix_acl_access=60 "
          "system.posix_acl_default=28 projid=42 mode=6750 mtime=-5.999999999 flags=80" },
    };
    const struct pbr_pxar_meta meta = full_meta();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct recorder r = { 0 };
        const struct pbr_meta_job job = { .features = PBR_FEATURE_DEFAULT & ~cases[i].without };
        check_int(apply(&r, job, PBR_KIND_FILE, &meta), PBR_OK);
        check_str(r.log, cases[i].log);
    }
}

static void test_symlinks_get_no_mode(void **state)
{
    (void)state;
    struct recorder r = { .fail_step = "get-flags", .error = EBADF };
    const struct pbr_pxar_meta meta = {
        .mode = PBR_MODE_SYMLINK | 0777, .flags = 0x20000, .uid = 1, .gid = 2
    };
    check_int(apply(&r, (struct pbr_meta_job){ .features = PBR_FEATURE_DEFAULT }, PBR_KIND_SYMLINK,
                    &meta),
              PBR_OK);
    check_str(r.log, "owner=1:2 mtime=0.0");
    check_int(r.errors, 0);
}

/* `after`: what was still done. */
static void failing_step(const char *step, int error, unsigned errors, const char *after)
{
    struct recorder r = { .fail_step = step, .error = error };
    const struct pbr_pxar_meta meta = full_meta();
    check_int(
        apply(&r, (struct pbr_meta_job){ .features = PBR_FEATURE_DEFAULT }, PBR_KIND_FILE, &meta),
        PBR_OK);
    check_int(r.errors, errors);
    const char *at = strstr(r.log, step);
    check(at != NULL || strcmp(step, "get-flags") == 0);
    if (!strstr(r.log, after))
        print_error("%s: %s\n", step, r.log);
    check(strstr(r.log, after) != NULL);
}

static void test_a_failed_step_is_one_error_and_the_others_are_done(void **state)
{
    (void)state;
    failing_step("owner", EPERM, 1, "owner=7:8 user.a=1");
    failing_step("owner", EOPNOTSUPP, 0, "owner=7:8 user.a=1");
    failing_step("user.a", EPERM, 1,
                 "user.a=1 security.capability=20"); /* the other xattrs are given up [EXT-065] */
    failing_step("user.a", EOPNOTSUPP, 0,
                 "user.a=1 system.posix_acl_access"); /* and capabilities too */
    failing_step("security.capability", EPERM, 1, "=20 system.posix_acl_access");
    failing_step("system.posix_acl_access", EOPNOTSUPP, 1,
                 "=60 system.posix_acl_default=28 projid"); /* [EXT-073] */
    failing_step("projid", ENOTTY, 1, "projid=42 mode");
    failing_step("mode", EPERM, 1, "mode=6750 mtime");
    failing_step("mode", EOPNOTSUPP, 0, "mode=6750 mtime");
    failing_step("mtime", EACCES, 1, "999999999 flags");
    failing_step("flags", EPERM, 1, "flags=90 fat=2");
    failing_step("flags", EOPNOTSUPP, 0, "flags=90 fat=2");
    failing_step("get-flags", ENOTTY, 0, "999999999 fat=2");
    failing_step("fat", ENOTTY, 0, "fat=2");
    failing_step("fat", EIO, 1, "fat=2");
}

static void test_the_callback_can_end_it(void **state)
{
    (void)state;
    struct recorder r = { .fail_step = "projid", .error = ENOTTY, .stop_at_error = true };
    const struct pbr_pxar_meta meta = full_meta();
    check_int(
        apply(&r, (struct pbr_meta_job){ .features = PBR_FEATURE_DEFAULT }, PBR_KIND_FILE, &meta),
        PBR_E_IO);
    check(strstr(r.log, "mode=") == NULL);
}

static void test_illegal_mode_bits_are_an_error(void **state)
{
    (void)state;
    struct recorder r = { 0 };
    const struct pbr_pxar_meta meta = { .mode = PBR_MODE_REG | 0644 | 0x80000 };
    check_int(
        apply(&r, (struct pbr_meta_job){ .features = PBR_FEATURE_DEFAULT }, PBR_KIND_FILE, &meta),
        PBR_OK);
    check_str(r.notes, "EXT-042");
    check_str(r.log, "owner=0:0 mtime=0.0");
}

static void test_without_permissions_only_the_added_owner_bits_go(void **state)
{
    (void)state;
    struct recorder r = { 0 };
    const struct pbr_pxar_meta meta = { .mode = PBR_MODE_DIR | 0555 };
    const uint64_t features = PBR_FEATURE_DEFAULT & ~PBR_FEATURE_PERMISSIONS;
    check_int(apply(&r, (struct pbr_meta_job){ .features = features, .restrict_mode = true },
                    PBR_KIND_DIR, &meta),
              PBR_OK);
    check_str(r.log, "owner=0:0 mode=2555 mtime=0.0");
    struct recorder other = { 0 };
    check_int(apply(&other, (struct pbr_meta_job){ .features = features }, PBR_KIND_DIR, &meta),
              PBR_OK);
    check_str(other.log, "owner=0:0 mtime=0.0");
}

static void test_held_flags_wait_and_initial_flags_come_first(void **state)
{
    (void)state;
    struct test_world world;
    const struct pbr_env env = test_env(&world);
    struct recorder r = { .inode_flags = 0x80000 };
    const struct pbr_target target = { &rec_ops, &r, 0 };
    struct pbr_meta_job job = {
        .env = &env, .target = &target, .features = PBR_FEATURE_DEFAULT, .hold = 0x00410000
    };
    check_int(pbr_meta_apply_flags(&job, 3, 0x00400000),
              PBR_OK); /* immutable alone, held: nothing to do */
    check_str(r.log, "");
    check_int(pbr_meta_apply_flags(&job, 3, 0x00420000), PBR_OK);
    check_str(r.log, "flags=80080");
    r.log[0] = 0;
    job.hold = 0;
    /* of all flags NOATIME, COMPR, NOCOW, NOCOMP, PROJINHERIT are set before the data */
    check_int(pbr_meta_apply_initial_flags(&job, 3, 0x03ff0000), PBR_OK);
    check_str(r.log, "flags=20880484");
    r.log[0] = 0;
    check_int(pbr_meta_apply_initial_flags(&job, 3, 0x00f10000), PBR_OK);
    check_str(r.log, "");
}

/* Takes the value over. */
static void check_acl(const struct pbr_env *env, struct pbr_span got, const char *want_hex)
{
    char hex[512] = { 0 };
    check(got.len < sizeof(hex) / 2);
    pbr_format_hex(got.ptr, got.len, hex);
    check_str(hex, want_hex);
    pbr_free(env, (void *)(uintptr_t)got.ptr);
}

static void test_access_acls_are_rebuilt_from_mode_and_items(void **state)
{
    (void)state;
    struct test_world world;
    const struct pbr_env env = test_env(&world);
    struct pbr_pxar_meta meta = full_meta();
    struct pbr_span acl;
    bool patched;
    check_int(pbr_meta_acl_access(&env, &meta, &acl, &patched), PBR_OK);
    check(!patched);
    check_acl(&env, acl,
              "02000000"
              "0100"
              "0700"
              "ffffffff"
              "0200"
              "0400"
              "e8030000"
              "0200"
              "0600"
              "e9030000"
              "0400"
              "0400"
              "ffffffff"
              "0800"
              "0500"
              "d0070000"
              "1000"
              "0500"
              "ffffffff"
              "2000"
              "0000"
              "ffffffff");
    meta.has_acl_group_obj =
        false; /* named entries without it: the group bits serve for both [EXT-069] */
    check_int(pbr_meta_acl_access(&env, &meta, &acl, &patched), PBR_OK);
    check(patched);
    check_acl(&env, acl,
              "02000000"
              "0100"
              "0700"
              "ffffffff"
              "0200"
              "0400"
              "e8030000"
              "0200"
              "0600"
              "e9030000"
              "0400"
              "0500"
              "ffffffff"
              "0800"
              "0500"
              "d0070000"
              "1000"
              "0500"
              "ffffffff"
              "2000"
              "0000"
              "ffffffff");
    meta.acl_user_nr = meta.acl_group_nr = 0; /* only a default ACL: the minimal one */
    check_int(pbr_meta_acl_access(&env, &meta, &acl, &patched), PBR_OK);
    check(!patched);
    check_acl(&env, acl,
              "02000000"
              "0100"
              "0700"
              "ffffffff"
              "0400"
              "0500"
              "ffffffff"
              "2000"
              "0000"
              "ffffffff");
    meta.has_acl_default = false;
    check_int(pbr_meta_acl_access(&env, &meta, &acl, &patched), PBR_OK);
    check(acl.ptr == NULL && acl.len == 0);
    check_int(world.live_allocs, 0);
}

static void test_default_acls_need_their_item(void **state)
{
    (void)state;
    struct test_world world;
    const struct pbr_env env = test_env(&world);
    struct pbr_pxar_meta meta = full_meta();
    struct pbr_span acl;
    meta.acl_default.other = PBR_PXAR_NO_MASK; /* becomes rwx [EXT-072] */
    check_int(pbr_meta_acl_default(&env, &meta, &acl), PBR_OK);
    check_acl(&env, acl,
              "02000000"
              "0100"
              "0700"
              "ffffffff"
              "0400"
              "0500"
              "ffffffff"
              "2000"
              "0700"
              "ffffffff");
    meta.acl_default.mask = 3;
    meta.acl_default_users = users;
    meta.acl_default_user_nr = 1;
    check_int(pbr_meta_acl_default(&env, &meta, &acl), PBR_OK);
    check_acl(&env, acl,
              "02000000"
              "0100"
              "0700"
              "ffffffff"
              "0200"
              "0400"
              "e8030000"
              "0400"
              "0500"
              "ffffffff"
              "1000"
              "0300"
              "ffffffff"
              "2000"
              "0700"
              "ffffffff");
    meta.has_acl_default = false; /* the named entry is lost [EXT-071] */
    check_int(pbr_meta_acl_default(&env, &meta, &acl), PBR_OK);
    check(acl.len == 0);
}

static void test_only_names_of_archives_are_set(void **state)
{
    (void)state;
    static char longest[300] = "user.";
    memset(longest + 5, 'n', 251);
    check(pbr_meta_xattr_ok(pbr_span_str("user.a")));
    check(pbr_meta_xattr_ok(pbr_span_str("trusted.overlay.opaque")));
    check(pbr_meta_xattr_ok(pbr_span_str("security.NTACL")));
    check(pbr_meta_xattr_ok(pbr_span_str("security.capability")));
    check(pbr_meta_xattr_ok(pbr_span(longest, 255)));
    check(!pbr_meta_xattr_ok(pbr_span(longest, 256)));
    check(!pbr_meta_xattr_ok(pbr_span("user.a\0b", 8)));
    check(!pbr_meta_xattr_ok(pbr_span_str("system.posix_acl_access")));
    check(!pbr_meta_xattr_ok(pbr_span_str("security.NTACLx")));
    check(!pbr_meta_xattr_ok(pbr_span_str("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_are_done_in_the_order_that_keeps_every_attribute),
        cmocka_unit_test(test_switched_off_features_are_left_out_one_by_one),
        cmocka_unit_test(test_symlinks_get_no_mode),
        cmocka_unit_test(test_a_failed_step_is_one_error_and_the_others_are_done),
        cmocka_unit_test(test_the_callback_can_end_it),
        cmocka_unit_test(test_illegal_mode_bits_are_an_error),
        cmocka_unit_test(test_without_permissions_only_the_added_owner_bits_go),
        cmocka_unit_test(test_held_flags_wait_and_initial_flags_come_first),
        cmocka_unit_test(test_access_acls_are_rebuilt_from_mode_and_items),
        cmocka_unit_test(test_default_acls_need_their_item),
        cmocka_unit_test(test_only_names_of_archives_are_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
