/* SPDX-License-Identifier: MIT */
/* covers: CRT-105 CRT-107 CRT-111 CRT-113 CRT-114 CRT-115 CRT-121 CRT-122 CRT-123 CRT-126 CRT-127 CRT-130 CRT-131 CRT-133
 * CRT-061 PXAR-106 PXAR-107 PXAR-108 PXAR-109 PXAR-110 */
#include "test.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/capture.h"
#include "archive/capture_acl.h"
#include "archive/create.h"
#include "sys/fd.h"

enum { IDS = 32, RAW_MAX = 4 + 8 * IDS };

struct rec {
    uint16_t tag, perm;
    uint32_t id;
};

static struct pbr_span raw_acl(uint8_t out[RAW_MAX], const struct rec *recs, size_t n)
{
    pbr_put_u32le(out, 2);
    for (size_t i = 0; i < n; i++) {
        pbr_put_u16le(out + 4 + 8 * i, recs[i].tag);
        pbr_put_u16le(out + 6 + 8 * i, recs[i].perm);
        pbr_put_u32le(out + 8 + 8 * i, recs[i].id);
    }
    return pbr_span(out, 4 + 8 * n);
}

static const uint32_t NONE = 0xffffffff;

static void test_access_acl_with_mask_gives_group_obj_and_sorted_names(void **state)
{
    (void)state;
    const struct rec recs[] = { { 1, 7, NONE }, { 2, 5, 1001 }, { 2, 1, 7 },     { 4, 5, NONE },
                                { 8, 2, 9 },    { 8, 4, 3 },    { 8, 1, 9 },     { 0x10, 7, NONE },
                                { 0x20, 0, NONE } };
    uint8_t raw[RAW_MAX];
    struct pbr_pxar_acl_id ids[IDS];
    struct pbr_pxar_meta m = { 0 };

    check_int(pbr_acl_access_parse(raw_acl(raw, recs, 9), ids, &m, NULL), PBR_OK);
    check(m.has_acl_group_obj);
    check_u64(m.acl_group_obj, 5);
    check_u64(m.acl_user_nr, 2);
    check_u64(m.acl_users[0].id, 7);
    check_u64(m.acl_users[1].id, 1001);
    check_u64(m.acl_users[1].perm, 5);
    check_u64(m.acl_group_nr, 3);
    check_u64(m.acl_groups[0].id, 3);
    check_u64(m.acl_groups[1].id, 9);
    check_u64(m.acl_groups[1].perm, 1);
    check_u64(m.acl_groups[2].perm, 2);
    check(!m.has_acl_default);
}

static void test_minimal_and_mask_only_acls(void **state)
{
    (void)state;
    const struct rec minimal[] = { { 1, 7, NONE }, { 4, 5, NONE }, { 0x20, 1, NONE } };
    const struct rec masked[] = { { 1, 7, NONE }, { 4, 6, NONE }, { 0x10, 1, NONE }, { 0x20, 1, NONE } };
    uint8_t raw[RAW_MAX];
    struct pbr_pxar_acl_id ids[IDS];
    struct pbr_pxar_meta m = { 0 };

    check_int(pbr_acl_access_parse(raw_acl(raw, minimal, 3), ids, &m, NULL), PBR_OK);
    check(!m.has_acl_group_obj && m.acl_user_nr == 0 && m.acl_group_nr == 0);
    check_int(pbr_acl_access_parse(raw_acl(raw, masked, 4), ids, &m, NULL), PBR_OK);
    check(m.has_acl_group_obj && m.acl_group_obj == 6 && m.acl_user_nr == 0);

    check_int(pbr_acl_default_parse(raw_acl(raw, minimal, 3), ids, &m, NULL), PBR_OK);
    check(m.has_acl_default);
    check_u64(m.acl_default.user_obj, 7);
    check_u64(m.acl_default.group_obj, 5);
    check_u64(m.acl_default.other, 1);
    check_u64(m.acl_default.mask, PBR_PXAR_NO_MASK);
    struct pbr_pxar_meta none = { 0 };
    check_int(pbr_acl_default_parse(raw_acl(raw, minimal, 0), ids, &none, NULL), PBR_OK);
    check(!none.has_acl_default);
}

static void test_malformed_acls_are_refused(void **state)
{
    (void)state;
    const struct rec odd[] = { { 1, 7, NONE }, { 3, 5, NONE } };
    uint8_t raw[RAW_MAX];
    struct pbr_pxar_acl_id ids[IDS];
    struct pbr_pxar_meta m = { 0 };

    check_fail(pbr_acl_access_parse(raw_acl(raw, odd, 2), ids, &m, diag), PBR_E_FORMAT, "CRT-113");
    check_fail(pbr_acl_default_parse(pbr_span(raw, 5), ids, &m, diag), PBR_E_FORMAT, "CRT-115");
    check_fail(pbr_acl_default_parse(pbr_span(raw, 3), ids, &m, diag), PBR_E_FORMAT, "CRT-115");
    raw[0] = 1;
    check_fail(pbr_acl_access_parse(pbr_span(raw, 12), ids, &m, diag), PBR_E_FORMAT, "CRT-115");
}

static void test_inode_and_fat_flags_are_mapped_bit_by_bit(void **state)
{
    (void)state;
    static const uint32_t rows[][2] = { { FS_APPEND_FL, 0x10000 },   { FS_NOATIME_FL, 0x20000 },
                                        { FS_COMPR_FL, 0x40000 },    { FS_NOCOW_FL, 0x80000 },
                                        { FS_NODUMP_FL, 0x100000 },  { FS_DIRSYNC_FL, 0x200000 },
                                        { FS_IMMUTABLE_FL, 0x400000 }, { FS_SYNC_FL, 0x800000 },
                                        { FS_NOCOMP_FL, 0x1000000 }, { FS_PROJINHERIT_FL, 0x2000000 } };
    uint32_t sources = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_u64(pbr_capture_map_inode_flags(rows[i][0]), rows[i][1]);
        sources |= rows[i][0];
    }
    check_u64(pbr_capture_map_inode_flags(~sources), 0); /* extents, index, ... */
    check_u64(pbr_capture_map_inode_flags(UINT32_MAX), 0x03ff0000);
    check_u64(pbr_capture_map_fat_attrs(0x02), 0x2000);
    check_u64(pbr_capture_map_fat_attrs(0x04), 0x4000);
    check_u64(pbr_capture_map_fat_attrs(0x20), 0x8000);
    check_u64(pbr_capture_map_fat_attrs(UINT32_MAX), 0xe000);
}

static void test_which_attribute_names_are_stored(void **state)
{
    (void)state;
    char name[300] = "user.";
    memset(name + 5, 'x', 250);
    check(pbr_capture_name_is_stored(pbr_span(name, 255)));
    check(!pbr_capture_name_is_stored(pbr_span(name, 256)));
    check(pbr_capture_name_is_stored(pbr_span_str("trusted.x")));
    check(pbr_capture_name_is_stored(pbr_span_str("security.NTACL")));
    check(!pbr_capture_name_is_stored(pbr_span_str("security.NTACL2")));
    check(!pbr_capture_name_is_stored(pbr_span_str("security.selinux")));
    check(!pbr_capture_name_is_stored(pbr_span_str("system.nfs4_acl")));
    check(!pbr_capture_name_is_stored(pbr_span_str("btrfs.compression")));
    check(!pbr_capture_name_is_stored(pbr_span_str("user")));
}

static void test_feature_table_and_default_set(void **state)
{
    (void)state;
    const uint64_t x = PBR_FEATURE_XATTRS, a = PBR_FEATURE_ACL, c = PBR_FEATURE_FCAPS, q = PBR_FEATURE_QUOTA_PROJID;
    const uint64_t all = PBR_FEATURE_DEFAULT;
    check_u64(all & (x | a | c | q), x | a | c | q);
    check_u64(pbr_fs_features(0x4d44, all), 0);
    check_u64(pbr_fs_features(0xef53, all), x | a | c | q);
    check_u64(pbr_fs_features(0x58465342, all), x | a | c | q);
    check_u64(pbr_fs_features(0x2fc12fc1, all), x | a | c | q);
    check_u64(pbr_fs_features(0x9123683e, all), x | a | c);
    check_u64(pbr_fs_features(0x01021994, all), a);
    check_u64(pbr_fs_features(0x65735546, all), x);
    check_u64(pbr_fs_features(0x794c7630, all), x | a | c);
    check_u64(pbr_fs_features(0xef53, all & ~x), a | c | q);
    check(pbr_fs_is_virtual(0x9fa0) && pbr_fs_is_virtual(0xf97cff8c) && pbr_fs_is_virtual(0x63677270));
    check(!pbr_fs_is_virtual(0x01021994) && !pbr_fs_is_virtual(0xef53) && !pbr_fs_is_virtual(0x74726163));
}

static void test_a_file_is_captured_with_what_its_scope_allows(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    char path[] = "/tmp/pbsref-capture-XXXXXX";
    struct pbr_capture cap;
    struct pbr_pxar_meta m;
    struct stat st;
    struct pbr_entry_stat es;
    struct statfs fs;

    int fd = mkstemp(path);
    check(fd >= 0);
    if (fstatfs(fd, &fs) != 0 || fs.f_type != 0xef53 || fsetxattr(fd, "user.b", "1\0z", 3, 0) != 0 ||
        fsetxattr(fd, "user.a", "", 0, 0) != 0) {
        unlink(path);
        pbr_close(&fd);
        SKIP("needs user attributes below /tmp on ext4");
    }
    check_int(fstat(fd, &st), 0);
    pbr_entry_stat_from(&es, &st);
    pbr_capture_init(&cap, &env);

    struct pbr_fs_scope scope = { .fs_type = 0xef53, .features = PBR_FEATURE_XATTRS };
    check_int(pbr_capture_entry(&cap, fd, &es, &scope, false, &m, NULL), PBR_OK);
    check_u64(m.xattr_nr, 2);
    size_t values = 0;
    for (size_t i = 0; i < m.xattr_nr; i++)
        values += m.xattrs[i].value.len;
    check_u64(values, 3);
    check_u64(m.mode, es.mode);
    check_u64((uint64_t)m.mtime_s, (uint64_t)st.st_mtim.tv_sec);

    scope.features = 0;
    check_int(pbr_capture_entry(&cap, fd, &es, &scope, false, &m, NULL), PBR_OK);
    check_u64(m.xattr_nr, 0);

    int on = FS_NODUMP_FL | FS_NOATIME_FL;
    if (ioctl(fd, FS_IOC_SETFLAGS, &on) == 0) { /* flags do not depend on features */
        check_int(pbr_capture_entry(&cap, fd, &es, &scope, false, &m, NULL), PBR_OK);
        check_u64(m.flags, 0x120000);
    }
    struct fsxattr attr = { 0 };
    if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) == 0) {
        attr.fsx_projid = 4711;
        if (ioctl(fd, FS_IOC_FSSETXATTR, &attr) == 0) {
            scope.features = PBR_FEATURE_QUOTA_PROJID;
            check_int(pbr_capture_entry(&cap, fd, &es, &scope, false, &m, NULL), PBR_OK);
            check(m.has_projid && m.projid == 4711);
            scope.fs_type = 0x9123683e; /* not asked for there */
            check_int(pbr_capture_entry(&cap, fd, &es, &scope, false, &m, NULL), PBR_OK);
            check(!m.has_projid);
        }
    }
    pbr_capture_release(&cap);
    unlink(path);
    pbr_close(&fd);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_access_acl_with_mask_gives_group_obj_and_sorted_names),
        cmocka_unit_test(test_minimal_and_mask_only_acls),
        cmocka_unit_test(test_malformed_acls_are_refused),
        cmocka_unit_test(test_inode_and_fat_flags_are_mapped_bit_by_bit),
        cmocka_unit_test(test_which_attribute_names_are_stored),
        cmocka_unit_test(test_feature_table_and_default_set),
        cmocka_unit_test(test_a_file_is_captured_with_what_its_scope_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
