/* SPDX-License-Identifier: MIT */
/* covers: PXAR-010 PXAR-011 PXAR-012 PXAR-013 PXAR-014 PXAR-016 PXAR-020 PXAR-071 PXAR-079 PXAR-081 PXAR-115 PXAR-116
 * PXAR-001 PXAR-003 PXAR-040 PXAR-052 PXAR-070 PXAR-074 PXAR-075 PXAR-085 PXAR-111 PXAR-134 PXAR-135 PXAR-152 PXAR-153
 * PXAR-154 PXAR-155 PXAR-156 PXAR-157 PXAR-158 PXAR-180 PXAR-181 PXAR-182 PXAR-183 PXAR-185 PXAR-186 PXAR-187 */
#include "test.h"

#include "base/limits.h"
#include "format/pxar_enc.h"
#include "prim/prim.h"

static const struct {
    uint64_t value;
    const char *text, *name;
} CONSTANTS[] = {
    { PBR_PXAR_FORMAT_VERSION, "__PROXMOX_FORMAT_VERSION__", "FORMAT_VERSION" },
    { PBR_PXAR_PRELUDE, "__PROXMOX_FORMAT_PRELUDE__", "PRELUDE" },
    { PBR_PXAR_ENTRY, "__PROXMOX_FORMAT_ENTRY_V2__", "ENTRY" },
    { PBR_PXAR_ENTRY_V1, "__PROXMOX_FORMAT_ENTRY__", "ENTRY_V1" },
    { PBR_PXAR_FILENAME, "__PROXMOX_FORMAT_FILENAME__", "FILENAME" },
    { PBR_PXAR_SYMLINK, "__PROXMOX_FORMAT_SYMLINK__", "SYMLINK" },
    { PBR_PXAR_DEVICE, "__PROXMOX_FORMAT_DEVICE__", "DEVICE" },
    { PBR_PXAR_XATTR, "__PROXMOX_FORMAT_XATTR__", "XATTR" },
    { PBR_PXAR_ACL_USER, "__PROXMOX_FORMAT_ACL_USER__", "ACL_USER" },
    { PBR_PXAR_ACL_GROUP, "__PROXMOX_FORMAT_ACL_GROUP__", "ACL_GROUP" },
    { PBR_PXAR_ACL_GROUP_OBJ, "__PROXMOX_FORMAT_ACL_GROUP_OBJ__", "ACL_GROUP_OBJ" },
    { PBR_PXAR_ACL_DEFAULT, "__PROXMOX_FORMAT_ACL_DEFAULT__", "ACL_DEFAULT" },
    { PBR_PXAR_ACL_DEFAULT_USER, "__PROXMOX_FORMAT_ACL_DEFAULT_USER__", "ACL_DEFAULT_USER" },
    { PBR_PXAR_ACL_DEFAULT_GROUP, "__PROXMOX_FORMAT_ACL_DEFAULT_GROUP__", "ACL_DEFAULT_GROUP" },
    { PBR_PXAR_FCAPS, "__PROXMOX_FORMAT_FCAPS__", "FCAPS" },
    { PBR_PXAR_QUOTA_PROJID, "__PROXMOX_FORMAT_QUOTA_PROJID__", "QUOTA_PROJID" },
    { PBR_PXAR_HARDLINK, "__PROXMOX_FORMAT_HARDLINK__", "HARDLINK" },
    { PBR_PXAR_PAYLOAD, "__PROXMOX_FORMAT_PXAR_PAYLOAD__", "PAYLOAD" },
    { PBR_PXAR_PAYLOAD_REF, "__PROXMOX_FORMAT_PXAR_PAYLOAD_REF__", "PAYLOAD_REF" },
    { PBR_PXAR_GOODBYE, "__PROXMOX_FORMAT_GOODBYE__", "GOODBYE" },
    { PBR_PXAR_GOODBYE_TAIL, "__PROXMOX_FORMAT_PXAR_GOODBYE_TAIL_MARKER__", "UNKNOWN" },
    { PBR_PXAR_PAYLOAD_START, "__PROXMOX_FORMAT_PXAR_PAYLOAD_START_MARKER__", "PAYLOAD_START_MARKER" },
    { PBR_PXAR_PAYLOAD_TAIL, "__PROXMOX_FORMAT_PXAR_PAYLOAD_TAIL_MARKER__", "PAYLOAD_TAIL_MARKER" },
};

static void test_constants_are_hashes_of_their_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(CONSTANTS) / sizeof(CONSTANTS[0]); i++) {
        check_u64(pbr_pxar_name_hash(pbr_span_str(CONSTANTS[i].text)), CONSTANTS[i].value);
        check_str(pbr_pxar_type_name(CONSTANTS[i].value), CONSTANTS[i].name);
    }
}

static void test_name_hashes_are_those_of_the_sheet(void **state)
{
    (void)state;
    check_u64(pbr_pxar_name_hash(pbr_span_str("a")), UINT64_C(0x0c26e9067c2c7bcf));
    check_u64(pbr_pxar_name_hash(pbr_span_str("file2")), UINT64_C(0xcf00c084b2c264e7));
    check_u64(pbr_pxar_name_hash(pbr_span_str(".pxarexclude-cli")), UINT64_C(0x046975ce672e09eb));
    check_u64(pbr_pxar_name_hash(pbr_span_str("\xff")), UINT64_C(0x5e60e7e3360496b8));
    check_u64(pbr_pxar_name_hash(pbr_span_str("")), UINT64_C(0x76614015f8d1bb6c));
}

static void test_names_that_no_directory_holds_are_refused(void **state)
{
    (void)state;
    char longest[PBR_NAME_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    check(!pbr_pxar_name_check(pbr_span_str("a")));
    check(!pbr_pxar_name_check(pbr_span_str("...")));
    check(!pbr_pxar_name_check(pbr_span_str("\xff \n")));
    check(!pbr_pxar_name_check(pbr_span(longest, PBR_NAME_MAX)));
    check(pbr_pxar_name_check(pbr_span(longest, PBR_NAME_MAX + 1)) != NULL);
    check(pbr_pxar_name_check(pbr_span_str("")) != NULL);
    check(pbr_pxar_name_check(pbr_span_str(".")) != NULL);
    check(pbr_pxar_name_check(pbr_span_str("..")) != NULL);
    check(pbr_pxar_name_check(pbr_span_str("a/b")) != NULL);
    check(pbr_pxar_name_check(pbr_span("a\0b", 3)) != NULL);
}

static void test_device_numbers_split_and_join(void **state)
{
    (void)state;
    static const struct {
        uint64_t dev, major, minor;
    } cases[] = {
        { 0x801, 8, 1 },
        { 0x11032c, 259, 300 },
        { UINT64_C(0xabcd1dcba5623478), 0xabcd1234, 0xdcba5678 },
        { 0, 0, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t major, minor;
        pbr_pxar_dev_split(cases[i].dev, &major, &minor);
        check_u64(major, cases[i].major);
        check_u64(minor, cases[i].minor);
        check_u64(pbr_pxar_dev_join(major, minor), cases[i].dev);
    }
}

/* ---- metadata values ---- */

static const struct pbr_pxar_acl_id USERS[] = { { 1, 7 }, { 2, 4 } };
static const struct pbr_pxar_acl_id USERS_B[] = { { 1, 7 }, { 2, 5 } };

static struct pbr_pxar_meta full_meta(struct pbr_pxar_xattr xattrs[2])
{
    xattrs[0] = (struct pbr_pxar_xattr){ pbr_span_str("user.a"), pbr_span_str("1") };
    xattrs[1] = (struct pbr_pxar_xattr){ pbr_span_str("user.b"), pbr_span_str("") };
    return (struct pbr_pxar_meta){
        .mode = 0100640, .flags = 4, .uid = 1, .gid = 2, .mtime_s = -1, .mtime_ns = 5,
        .xattrs = xattrs, .xattr_nr = 2,
        .acl_users = USERS, .acl_user_nr = 2, .acl_default_groups = USERS, .acl_default_group_nr = 1,
        .has_acl_group_obj = true, .acl_group_obj = 5, .has_acl_default = true,
        .acl_default = { 7, 5, 0, PBR_PXAR_NO_MASK },
        .has_fcaps = true, .fcaps = pbr_span_str("caps"), .has_projid = true, .projid = 9,
    };
}

static void test_equality_sees_every_field_but_attribute_values(void **state)
{
    (void)state;
    struct pbr_pxar_xattr xa[2], xb[2];
    const struct pbr_pxar_meta a = full_meta(xa);
    struct pbr_pxar_meta b = full_meta(xb);
    check(pbr_pxar_meta_equal(&a, &b));
    xb[0].value = pbr_span_str("other"); /* PXAR-116 */
    check(pbr_pxar_meta_equal(&a, &b));
#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        b = full_meta(xb);                                                                         \
        change;                                                                                    \
        check(!pbr_pxar_meta_equal(&a, &b));                                                       \
    } while (0)
    DIFFERS(b.mode++);
    DIFFERS(b.flags++);
    DIFFERS(b.uid++);
    DIFFERS(b.gid++);
    DIFFERS(b.mtime_s++);
    DIFFERS(b.mtime_ns++);
    DIFFERS(xb[1].name = pbr_span_str("user.c"));
    DIFFERS(b.xattr_nr--);
    DIFFERS(b.acl_users = USERS_B);
    DIFFERS(b.acl_user_nr--);
    DIFFERS(b.acl_groups = USERS; b.acl_group_nr = 1);
    DIFFERS(b.acl_default_users = USERS; b.acl_default_user_nr = 1);
    DIFFERS(b.acl_default_group_nr = 0);
    DIFFERS(b.has_acl_group_obj = false);
    DIFFERS(b.acl_group_obj = 4);
    DIFFERS(b.has_acl_default = false);
    DIFFERS(b.acl_default.mask = 0);
    DIFFERS(b.has_fcaps = false);
    DIFFERS(b.fcaps = pbr_span_str("capz"));
    DIFFERS(b.has_projid = false);
    DIFFERS(b.projid = 8);
#undef DIFFERS
}

static void test_a_copy_shares_nothing_with_the_original(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_pxar_xattr xattrs[2];
    char value[] = "1";
    struct pbr_pxar_meta meta = full_meta(xattrs);
    struct pbr_pxar_meta *copy = NULL;
    xattrs[0].value = pbr_span(value, 1);
    check_int(pbr_pxar_meta_dup(&env, &meta, &copy), PBR_OK);
    check_int(w.live_allocs, 1);
    value[0] = '2';
    memset(xattrs, 0, sizeof(xattrs));
    check(pbr_span_eq_str(copy->xattrs[0].name, "user.a"));
    check(pbr_span_eq_str(copy->xattrs[0].value, "1"));
    meta = full_meta(xattrs);
    check(pbr_pxar_meta_equal(&meta, copy));
    check(copy->acl_users != meta.acl_users && copy->fcaps.ptr != meta.fcaps.ptr);
    pbr_free(&env, copy);
    w.alloc_fault.nth = 0;
    copy = NULL;
    check_int(pbr_pxar_meta_dup(&env, &meta, &copy), PBR_E_NOMEM);
    check(!copy);
}

/* ---- worked examples, sections 11 and appendix ---- */

#define ROOT_META { .mode = 040755, .uid = 1000, .gid = 1000, .mtime_s = 1430487000, .mtime_ns = 1000000 }
#define FILE_META { .mode = 0100644, .uid = 1000, .gid = 1000, .mtime_s = 1430487001 }

static const struct pbr_pxar_meta ROOT = ROOT_META, FILE_A = FILE_META;

struct made {
    struct pbr_buf archive, payload;
    struct pbr_sink archive_sink, payload_sink;
};

static void made_init(struct made *m, const struct pbr_env *env)
{
    pbr_buf_init(&m->archive, env, 1 << 20);
    pbr_buf_init(&m->payload, env, 1 << 20);
    m->archive_sink = pbr_sink_buf(&m->archive);
    m->payload_sink = pbr_sink_buf(&m->payload);
}

static void made_release(struct made *m)
{
    pbr_buf_release(&m->archive);
    pbr_buf_release(&m->payload);
}

static void check_sha(struct pbr_span in, const char *want)
{
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[2 * PBR_DIGEST_LEN + 1];
    check_int(pbr_sha256(in, pbr_span(NULL, 0), digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), hex);
    check_str(hex, want);
}

static void put_example(struct pbr_pxar_enc *enc)
{
    uint64_t a = 0;
    check_int(pbr_pxar_enc_file(enc, pbr_span_str("a"), &FILE_A, 5, &a, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_write(enc, pbr_span_str("hel"), NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_write(enc, pbr_span_str("lo"), NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_hardlink(enc, pbr_span_str("b"), pbr_span_str("a"), a, NULL), PBR_OK);
    check_int(pbr_pxar_enc_dir_enter(enc, pbr_span_str("c"), &ROOT, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file(enc, pbr_span_str("d"), &FILE_A, 0, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_dir_leave(enc, NULL), PBR_OK);
}

static void test_empty_archives_are_those_of_the_sheet(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    static const char v1[] = "efac88e5746495d53800000000000000ed410000000000000000000000000000"
                             "e8030000e8030000d87f43550000000040420f00000000001d73d542a64fec2f"
                             "280000000000000055153e755bed5eef38000000000000002800000000000000";
    static const char v2[] = "0da416df756c0f7318000000000000000200000000000000efac88e5746495d5"
                             "3800000000000000ed410000000000000000000000000000e8030000e8030000"
                             "d87f43550000000040420f00000000001d73d542a64fec2f2800000000000000"
                             "55153e755bed5eef50000000000000002800000000000000";
    static const char payload[] = "d24e4a19c2684c831000000000000000b5814c988bb7726c1000000000000000";
    for (int split = 0; split < 2; split++) {
        struct made m;
        struct pbr_pxar_enc *enc = NULL;
        uint8_t want[120], want_payload[32];
        made_init(&m, &env);
        check_int(pbr_pxar_enc_new(&env, &m.archive_sink, split ? &m.payload_sink : NULL, NULL, &ROOT, &enc, NULL),
                  PBR_OK);
        check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
        check(pbr_parse_hex(pbr_span_str(split ? v2 : v1), want, split ? 120 : 96));
        check(pbr_parse_hex(pbr_span_str(payload), want_payload, 32));
        check_span(pbr_buf_span(&m.archive), pbr_span(want, split ? 120 : 96));
        check_span(pbr_buf_span(&m.payload), pbr_span(want_payload, split ? 32 : 0));
        check_u64(pbr_pxar_enc_pos(enc), split ? 120 : 96);
        check_u64(pbr_pxar_enc_payload_pos(enc), split ? 32 : 0);
        pbr_pxar_enc_free(enc);
        made_release(&m);
    }
    check_int(w.live_allocs, 0);
}

static void test_example_trees_are_those_of_the_sheet(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    const struct pbr_span prelude = pbr_span_str("{\"exclude-patterns\":\"*.tmp\\n\"}");
    for (int split = 0; split < 2; split++) {
        struct made m;
        struct pbr_pxar_enc *enc = NULL;
        made_init(&m, &env);
        check_int(pbr_pxar_enc_new(&env, &m.archive_sink, split ? &m.payload_sink : NULL, split ? &prelude : NULL,
                                   &ROOT, &enc, NULL),
                  PBR_OK);
        put_example(enc);
        check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
        check_sha(pbr_buf_span(&m.archive), split ? "77bbe328ba08eef10e4dd5cf52e4be4832dc3065e49f2563e1bfc61493e095f3"
                                                  : "164b0e06259262e48ce38ee86603372411582a8c4b69e1f6b00c954221db9b2d");
        if (split)
            check_sha(pbr_buf_span(&m.payload), "e1485e18d9935baa12cbe23d423ea5a0f35067ad37f5f77693007fb4f4628867");
        pbr_pxar_enc_free(enc);
        made_release(&m);
    }
}

/* The bytes of one entry with an extended attribute and the ACL of PXAR-111. */
static void test_attribute_items_are_those_of_the_sheet(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    static const char want_hex[] =
        "b3173906211170161200000000000000" "6100"
        "efac88e5746495d53800000000000000" "f88100000000000000000000000000000000000000000000"
        "ffffffffffffffffc0878b3b00000000"
        "03cd7db52902ab0d1c00000000000000" "757365722e666f6f00626172"
        "b8557d450a54e82c2000000000000000" "e9030000000000000500000000000000"
        "762858e9318086101800000000000000" "0500000000000000"
        "251a7c0b1b7a14281000000000000000";
    const struct pbr_pxar_xattr xattr = { pbr_span_str("user.foo"), pbr_span_str("bar") };
    const struct pbr_pxar_acl_id user = { 1001, 5 };
    const struct pbr_pxar_meta meta = { .mode = 0100770, .mtime_s = -1, .mtime_ns = 999000000, .xattrs = &xattr,
                                        .xattr_nr = 1, .acl_users = &user, .acl_user_nr = 1,
                                        .has_acl_group_obj = true, .acl_group_obj = 5 };
    uint8_t want[(sizeof(want_hex) - 1) / 2];
    struct made m;
    struct pbr_pxar_enc *enc = NULL;
    made_init(&m, &env);
    check_int(pbr_pxar_enc_new(&env, &m.archive_sink, NULL, NULL, &ROOT, &enc, NULL), PBR_OK);
    const size_t at = m.archive.len;
    check_int(pbr_pxar_enc_file(enc, pbr_span_str("a"), &meta, 0, NULL, NULL), PBR_OK);
    check(pbr_parse_hex(pbr_span_str(want_hex), want, sizeof(want)));
    want[34] = 0xf8; /* mode 0100770 */
    check_span(pbr_span_sub(pbr_buf_span(&m.archive), at, SIZE_MAX), pbr_span(want, sizeof(want)));
    pbr_pxar_enc_free(enc);
    made_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constants_are_hashes_of_their_strings),
        cmocka_unit_test(test_name_hashes_are_those_of_the_sheet),
        cmocka_unit_test(test_names_that_no_directory_holds_are_refused),
        cmocka_unit_test(test_device_numbers_split_and_join),
        cmocka_unit_test(test_equality_sees_every_field_but_attribute_values),
        cmocka_unit_test(test_a_copy_shares_nothing_with_the_original),
        cmocka_unit_test(test_empty_archives_are_those_of_the_sheet),
        cmocka_unit_test(test_example_trees_are_those_of_the_sheet),
        cmocka_unit_test(test_attribute_items_are_those_of_the_sheet),
    };
    return cmocka_run_group_tests_name("format_pxar", tests, NULL, NULL);
}
