/* SPDX-License-Identifier: MIT */
/* covers: PXAR-004 PXAR-005 PXAR-020 PXAR-021 PXAR-022 PXAR-023 PXAR-024 PXAR-031 PXAR-032 PXAR-033 PXAR-034
 * PXAR-041 PXAR-042 PXAR-043 PXAR-045 PXAR-047 PXAR-054 PXAR-055 PXAR-060 PXAR-061 PXAR-062 PXAR-063 PXAR-071 PXAR-072
 * PXAR-073 PXAR-077 PXAR-081 PXAR-086 PXAR-121 PXAR-150 PXAR-161 PXAR-220 PXAR-223 PXAR-224 PXAR-225 PXAR-227 PXAR-229 */
#include "test.h"

#include "base/limits.h"
#include "format/pxar_dec.h"

/* ---- hand-made archives ---- */

static struct pbr_buf made;

static void item(uint64_t htype, const void *content, size_t len)
{
    uint8_t hdr[PBR_PXAR_HDR];
    pbr_pxar_hdr_emit(hdr, htype, len);
    check_int(pbr_buf_append(&made, pbr_span(hdr, sizeof(hdr))), PBR_OK);
    check_int(pbr_buf_append(&made, pbr_span(content, len)), PBR_OK);
}

static void text(uint64_t htype, const char *value)
{
    item(htype, value, strlen(value) + 1);
}

static void numbers(uint64_t htype, uint64_t a, uint64_t b, size_t nr)
{
    uint8_t bytes[16];
    pbr_put_u64le(bytes, a);
    pbr_put_u64le(bytes + 8, b);
    item(htype, bytes, 8 * nr);
}

static void entry(uint64_t mode)
{
    uint8_t bytes[PBR_PXAR_ENTRY_LEN] = { 0 };
    pbr_put_u64le(bytes, mode);
    pbr_put_u32le(bytes + 36, 0xdeadbeef); /* PXAR-055: garbage that old writers left */
    item(PBR_PXAR_ENTRY, bytes, sizeof(bytes));
}

static void goodbye(void)
{
    static const uint8_t tail[24];
    item(PBR_PXAR_GOODBYE, tail, sizeof(tail));
}

static void file(const char *name)
{
    text(PBR_PXAR_FILENAME, name);
    entry(0100644);
}

/* Decodes `made`; the ENTRY events go to `kinds` as letters. Result and rule of the first failure. */
static char kinds[64];
static struct pbr_pxar_event last_entry;

static int run(const struct pbr_env *env, struct pbr_diag *diag)
{
    static const char letters[] = { [PBR_KIND_DIR] = 'd',  [PBR_KIND_FILE] = 'f',   [PBR_KIND_SYMLINK] = 'l',
                                    [PBR_KIND_DEVICE] = 'b', [PBR_KIND_FIFO] = 'p', [PBR_KIND_SOCKET] = 's',
                                    [PBR_KIND_HARDLINK] = 'h' };
    struct pbr_pxar_dec *dec = NULL;
    struct pbr_span in = pbr_buf_span(&made);
    size_t nr = 0;
    int rc;
    check_int(pbr_pxar_dec_new(env, NULL, &dec), PBR_OK);
    for (;;) {
        struct pbr_pxar_event ev = { .ev = PBR_PXAR_EV_FILE_END };
        size_t used = 12345;
        rc = pbr_pxar_dec_step(dec, in, &used, &ev, diag);
        if (rc < 0) { /* outputs untouched, and the decoder stays failed */
            check_u64(used, 12345);
            check_int(ev.ev, PBR_PXAR_EV_FILE_END);
            check_int(pbr_pxar_dec_step(dec, in, &used, &ev, NULL), PBR_E_STATE);
            break;
        }
        in = pbr_span_sub(in, used, in.len);
        if (ev.ev == PBR_PXAR_EV_MORE)
            rc = pbr_pxar_dec_finish(dec, &ev, diag);
        if (rc < 0 || ev.ev == PBR_PXAR_EV_END)
            break;
        if (ev.ev == PBR_PXAR_EV_ENTRY) {
            check(nr < sizeof(kinds) - 1);
            kinds[nr++] = letters[ev.entry.kind];
            last_entry = ev;
        }
    }
    kinds[nr] = 0;
    pbr_pxar_dec_free(dec);
    pbr_buf_clear(&made);
    return rc;
}

#define check_refused(rule) check_fail(run(&env, diag), PBR_E_FORMAT, rule)

static struct test_world world;
static struct pbr_env env;

static int set_up(void **state)
{
    (void)state;
    env = test_env(&world);
    pbr_buf_init(&made, &env, 64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pbr_buf_release(&made);
    check_int(world.live_allocs, 0);
    return 0;
}

/* ---- grammar ---- */

static void test_kind_follows_from_the_item_that_ends_the_entry(void **state)
{
    (void)state;
    entry(040755);
    file("mode-of-dir");
    item(PBR_PXAR_PAYLOAD, "xyz", 3);
    text(PBR_PXAR_FILENAME, "fifo");
    entry(010600);
    text(PBR_PXAR_FILENAME, "socket");
    entry(0140600);
    text(PBR_PXAR_FILENAME, "dir-by-absence");
    entry(0100644); /* PXAR-220 */
    goodbye();
    text(PBR_PXAR_FILENAME, "link");
    entry(0);
    text(PBR_PXAR_SYMLINK, "t");
    text(PBR_PXAR_FILENAME, "device");
    entry(0);
    numbers(PBR_PXAR_DEVICE, 8, 1, 2);
    text(PBR_PXAR_FILENAME, "hard");
    item(PBR_PXAR_HARDLINK, "\x01\0\0\0\0\0\0\0t", 10);
    file("ref");
    numbers(PBR_PXAR_PAYLOAD_REF, 16, 3, 2); /* without FORMAT_VERSION: PXAR-047 */
    file("a"); /* not sorted: PXAR-034 */
    item(PBR_PXAR_PAYLOAD, "", 0);
    goodbye();
    check_int(pbr_buf_append(&made, pbr_span_str("trailing bytes")), PBR_OK); /* PXAR-227 */
    check_int(run(&env, NULL), PBR_OK);
    check_str(kinds, "dfpsdlbhff");
}

static void test_attributes_may_come_in_any_order_and_repeat(void **state)
{
    (void)state;
    entry(040755);
    numbers(PBR_PXAR_QUOTA_PROJID, 77, 0, 1);
    numbers(PBR_PXAR_ACL_DEFAULT_GROUP, 5, 6, 2);
    item(PBR_PXAR_FCAPS, "caps", 4);
    numbers(PBR_PXAR_ACL_USER, 1, 2, 2);
    item(PBR_PXAR_XATTR, "user.a\0v\0w", 10);
    numbers(PBR_PXAR_ACL_GROUP_OBJ, 4, 0, 1);
    numbers(PBR_PXAR_ACL_USER, 1, 2, 2);
    item(PBR_PXAR_XATTR, "user.a\0", 7);
    item(PBR_PXAR_XATTR, "\0", 1);
    goodbye();
    struct pbr_pxar_dec *dec = NULL;
    struct pbr_pxar_event ev;
    size_t used;
    check_int(pbr_pxar_dec_new(&env, NULL, &dec), PBR_OK);
    check_int(pbr_pxar_dec_step(dec, pbr_buf_span(&made), &used, &ev, NULL), PBR_OK);
    check_int(ev.ev, PBR_PXAR_EV_ENTRY);
    const struct pbr_pxar_meta *m = &ev.entry.meta;
    check_u64(m->projid, 77);
    check_u64(m->xattr_nr, 3);
    check(pbr_span_eq_str(m->xattrs[0].name, "user.a"));
    check_span(m->xattrs[0].value, pbr_span("v\0w", 3));
    check_u64(m->xattrs[1].value.len, 0);
    check_u64(m->xattrs[2].name.len, 0);
    check_u64(m->acl_user_nr, 2);
    check_u64(m->acl_default_groups[0].id, 5);
    check_u64(m->acl_group_obj, 4);
    check(pbr_span_eq_str(m->fcaps, "caps"));
    pbr_pxar_dec_free(dec);
    pbr_buf_clear(&made);
}

static void test_single_attributes_may_not_repeat(void **state)
{
    (void)state;
    static const uint8_t zero[32];
    static const struct {
        uint64_t htype;
        size_t len;
    } single[] = { { PBR_PXAR_ACL_GROUP_OBJ, 8 }, { PBR_PXAR_ACL_DEFAULT, 32 }, { PBR_PXAR_FCAPS, 20 },
                   { PBR_PXAR_QUOTA_PROJID, 8 } };
    for (size_t i = 0; i < 4; i++) {
        entry(040755);
        item(single[i].htype, zero, single[i].len);
        item(single[i].htype, zero, single[i].len);
        check_refused("PXAR-032");
    }
}

static void test_misplaced_items_are_refused(void **state)
{
    (void)state;
    text(PBR_PXAR_FILENAME, "a");
    check_refused("PXAR-005");
    goodbye();
    check_refused("PXAR-005");
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    check_refused("PXAR-042");
    entry(040755);
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    check_refused("PXAR-042");
    text(PBR_PXAR_PRELUDE, "x");
    check_refused("PXAR-043");
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    text(PBR_PXAR_PRELUDE, "x");
    text(PBR_PXAR_PRELUDE, "x");
    check_refused("PXAR-043");
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    text(PBR_PXAR_FILENAME, "x");
    check_refused("PXAR-030");
    entry(040755);
    item(0x1234, "x", 1);
    check_refused("PXAR-223");
    entry(040755);
    text(PBR_PXAR_FILENAME, "a");
    text(PBR_PXAR_FILENAME, "b");
    check_refused("PXAR-224");
    entry(040755);
    file("a");
    item(PBR_PXAR_HARDLINK, "\x01\0\0\0\0\0\0\0t", 10);
    check_refused("PXAR-031");
    entry(040755);
    file("a");
    item(PBR_PXAR_PAYLOAD, "x", 1);
    item(PBR_PXAR_XATTR, "n\0v", 3);
    check_refused("PXAR-224");
    entry(040755);
    file("a");
    item(PBR_PXAR_PAYLOAD, "x", 1);
    item(PBR_PXAR_PAYLOAD, "x", 1);
    check_refused("PXAR-224");
}

static void test_the_root_must_be_a_directory(void **state)
{
    (void)state;
    entry(0100644);
    item(PBR_PXAR_PAYLOAD, "x", 1);
    check_refused("PXAR-229");
    entry(0120777);
    text(PBR_PXAR_SYMLINK, "x");
    check_refused("PXAR-229");
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    entry(010600);
    goodbye();
    check_refused("PXAR-229");
    item(PBR_PXAR_HARDLINK, "\x01\0\0\0\0\0\0\0t", 10);
    check_refused("PXAR-005");
}

static void test_versions_1_and_2_are_known(void **state)
{
    (void)state;
    for (uint64_t version = 0; version < 4; version++) {
        numbers(PBR_PXAR_FORMAT_VERSION, version, 0, 1);
        item(PBR_PXAR_PRELUDE, "", 0); /* PXAR-045 */
        entry(040755);
        goodbye();
        if (version == 1 || version == 2)
            check_int(run(&env, NULL), PBR_OK);
        else
            check_fail(run(&env, diag), PBR_E_UNSUPPORTED, "PXAR-041");
    }
}

/* ---- sizes ---- */

static void header_only(uint64_t htype, uint64_t full)
{
    uint8_t hdr[PBR_PXAR_HDR];
    pbr_put_u64le(hdr, htype);
    pbr_put_u64le(hdr + 8, full);
    check_int(pbr_buf_append(&made, pbr_span(hdr, sizeof(hdr))), PBR_OK);
}

static void test_sizes_are_checked_before_any_content_is_read(void **state)
{
    (void)state;
    static const struct {
        uint64_t htype, full;
        const char *rule;
    } cases[] = {
        { PBR_PXAR_XATTR, 15, "PXAR-004" },
        { PBR_PXAR_XATTR, 0, "PXAR-004" },
        { PBR_PXAR_XATTR, 16 + 65792, "PXAR-020" },
        { PBR_PXAR_FCAPS, 16 + 65792, "PXAR-020" },
        { PBR_PXAR_SYMLINK, 16 + 4098, "PXAR-020" },
        { PBR_PXAR_FILENAME, 16 + 4098, "PXAR-020" },
        { PBR_PXAR_DEVICE, 31, "PXAR-020" },
        { PBR_PXAR_DEVICE, 33, "PXAR-020" },
        { PBR_PXAR_ACL_USER, 31, "PXAR-020" },
        { PBR_PXAR_ACL_GROUP, 16, "PXAR-020" },
        { PBR_PXAR_ACL_DEFAULT_USER, 31, "PXAR-020" },
        { PBR_PXAR_ACL_DEFAULT_GROUP, 31, "PXAR-020" },
        { PBR_PXAR_ACL_GROUP_OBJ, 23, "PXAR-020" },
        { PBR_PXAR_ACL_DEFAULT, 47, "PXAR-020" },
        { PBR_PXAR_QUOTA_PROJID, 23, "PXAR-020" },
        { PBR_PXAR_PAYLOAD_REF, 31, "PXAR-024" },
        { PBR_PXAR_PAYLOAD, UINT64_MAX, "PXAR-003" },
        { PBR_PXAR_GOODBYE, 16, "PXAR-150" },
        { PBR_PXAR_GOODBYE, 41, "PXAR-150" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        entry(040755);
        file("a");
        header_only(cases[i].htype, cases[i].full);
        check_refused(cases[i].rule);
    }
    header_only(PBR_PXAR_FORMAT_VERSION, 25);
    check_refused("PXAR-021");
    header_only(PBR_PXAR_ENTRY, 55);
    check_refused("PXAR-022");
    header_only(PBR_PXAR_ENTRY, 57);
    check_refused("PXAR-020");
    header_only(PBR_PXAR_ENTRY_V1, 49);
    check_refused("PXAR-023");
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    header_only(PBR_PXAR_PRELUDE, PBR_PRELUDE_MAX + 17);
    check_int(run(&env, NULL), PBR_E_LIMIT);
    check(world.live_allocs <= 1); /* only `made` itself */
}

static void test_directories_below_each_other_are_limited(void **state)
{
    (void)state;
    entry(040755);
    for (int i = 0; i <= PBR_PATH_DEPTH_MAX; i++) {
        text(PBR_PXAR_FILENAME, "d");
        entry(040755);
    }
    struct pbr_diag diag = { 0 };
    struct pbr_pxar_dec *dec = NULL;
    struct pbr_span in = pbr_buf_span(&made);
    int rc = PBR_OK;
    check_int(pbr_pxar_dec_new(&env, NULL, &dec), PBR_OK);
    while (rc == PBR_OK) {
        struct pbr_pxar_event ev;
        size_t used;
        rc = pbr_pxar_dec_step(dec, in, &used, &ev, &diag);
        if (rc == PBR_OK) {
            check(ev.ev != PBR_PXAR_EV_MORE);
            in = pbr_span_sub(in, used, in.len);
        }
    }
    check_int(rc, PBR_E_LIMIT);
    pbr_pxar_dec_free(dec);
    pbr_buf_clear(&made);
}

/* ---- content ---- */

static void test_bad_names_and_targets_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t htype;
        const char *content;
        size_t len;
        const char *rule;
    } cases[] = {
        { PBR_PXAR_FILENAME, "", 0, "PXAR-071" },
        { PBR_PXAR_FILENAME, "\0", 1, "PXAR-071" },
        { PBR_PXAR_FILENAME, "abc", 3, "PXAR-071" },
        { PBR_PXAR_FILENAME, ".", 2, "PXAR-071" },
        { PBR_PXAR_FILENAME, "..", 3, "PXAR-071" },
        { PBR_PXAR_FILENAME, "a/b", 4, "PXAR-071" },
        { PBR_PXAR_FILENAME, "a\0b", 4, "PXAR-081" },
        { PBR_PXAR_HARDLINK, "12345678", 8, "PXAR-073" },
        { PBR_PXAR_HARDLINK, "12345678t", 9, "PXAR-073" },
        { PBR_PXAR_HARDLINK, "12345678t\0u", 12, "PXAR-073" },
        { PBR_PXAR_SYMLINK, "", 0, "PXAR-072" },
        { PBR_PXAR_SYMLINK, "t", 1, "PXAR-072" },
        { PBR_PXAR_SYMLINK, "t\0u", 4, "PXAR-072" },
        { PBR_PXAR_XATTR, "user.a", 6, "PXAR-086" },
        { PBR_PXAR_XATTR, "", 0, "PXAR-086" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        entry(040755);
        if (cases[i].htype == PBR_PXAR_HARDLINK)
            text(PBR_PXAR_FILENAME, "x");
        else if (cases[i].htype != PBR_PXAR_FILENAME)
            file("x");
        item(cases[i].htype, cases[i].content, cases[i].len);
        check_refused(cases[i].rule);
    }
}

static void test_legacy_entries_count_nanoseconds(void **state)
{
    (void)state;
    static const char hex[] = "ffce1c1c0a85da113000000000000000ed410000000000000000000000000000"
                              "0700000008000000153d2cfa581cda13";
    uint8_t bytes[48];
    check(pbr_parse_hex(pbr_span_str(hex), bytes, sizeof(bytes)));
    entry(040755); /* both kinds in one archive */
    text(PBR_PXAR_FILENAME, "old");
    check_int(pbr_buf_append(&made, pbr_span(bytes, sizeof(bytes))), PBR_OK);
    goodbye();
    goodbye();
    check_int(run(&env, NULL), PBR_OK);
    check_str(kinds, "dd");
    const struct pbr_pxar_meta *m = &last_entry.entry.meta;
    check_u64(m->mode, 040755);
    check_u64(m->uid, 7);
    check_u64(m->gid, 8);
    check_u64((uint64_t)m->mtime_s, 1430487000);
    check_u64(m->mtime_ns, 123456789);
}

static void test_values_that_readers_take_as_they_come(void **state)
{
    (void)state;
    uint8_t bytes[PBR_PXAR_ENTRY_LEN];
    memset(bytes, 0xff, sizeof(bytes));
    entry(040755);
    file("a");
    item(PBR_PXAR_PAYLOAD, "x", 1);
    text(PBR_PXAR_FILENAME, "b");
    item(PBR_PXAR_ENTRY, bytes, sizeof(bytes)); /* PXAR-054 */
    item(PBR_PXAR_PAYLOAD, "x", 1);
    goodbye(); /* two children, no record: PXAR-161 */
    check_int(run(&env, NULL), PBR_OK);
    check_u64(last_entry.entry.meta.mtime_ns, UINT32_MAX);
    check(last_entry.entry.meta.mtime_s == -1);
}

static void test_fields_of_an_entry_lie_where_the_table_says(void **state)
{
    (void)state;
    uint8_t bytes[PBR_PXAR_ENTRY_LEN];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(0x10 + i);
    pbr_put_u64le(bytes, 040755); /* PXAR-050 */
    entry(040755);
    text(PBR_PXAR_FILENAME, "d");
    item(PBR_PXAR_ENTRY, bytes, sizeof(bytes));
    goodbye();
    goodbye();
    check_int(run(&env, NULL), PBR_OK);
    const struct pbr_pxar_meta *m = &last_entry.entry.meta;
    check_u64(m->mode, 040755);
    check_u64(m->flags, UINT64_C(0x1f1e1d1c1b1a1918));
    check_u64(m->uid, 0x23222120);
    check_u64(m->gid, 0x27262524);
    check_u64((uint64_t)m->mtime_s, UINT64_C(0x2f2e2d2c2b2a2928));
    check_u64(m->mtime_ns, 0x33323130);
}

static void test_items_are_told_one_by_one_if_wanted(void **state)
{
    (void)state;
    static const uint64_t want[] = { PBR_PXAR_ENTRY, PBR_PXAR_FILENAME, PBR_PXAR_ENTRY, PBR_PXAR_SYMLINK, PBR_PXAR_GOODBYE };
    const struct pbr_pxar_dec_opts opts = { .items = true };
    struct pbr_pxar_dec *dec = NULL;
    struct pbr_pxar_event ev = { 0 };
    size_t nr = 0, used;
    entry(040755);
    text(PBR_PXAR_FILENAME, "l");
    entry(0120777);
    text(PBR_PXAR_SYMLINK, "to");
    goodbye();
    struct pbr_span in = pbr_buf_span(&made);
    check_int(pbr_pxar_dec_new(&env, &opts, &dec), PBR_OK);
    while (ev.ev != PBR_PXAR_EV_END) {
        check_int(pbr_pxar_dec_step(dec, in, &used, &ev, NULL), PBR_OK);
        in = pbr_span_sub(in, used, in.len);
        if (ev.ev != PBR_PXAR_EV_ITEM)
            continue;
        check(nr < sizeof(want) / sizeof(want[0]));
        check_u64(ev.htype, want[nr]);
        if (ev.htype == PBR_PXAR_SYMLINK)
            check_span(ev.data, pbr_span("to", 3));
        nr++;
    }
    check_u64(nr, 5);
    pbr_pxar_dec_free(dec);
}

/* ---- one entry's range ---- */

static struct pbr_pxar_entry subtree(uint64_t base, int want_rc)
{
    const struct pbr_pxar_dec_opts opts = { .subtree = true, .base_pos = base };
    struct pbr_pxar_dec *dec = NULL;
    struct pbr_span in = pbr_buf_span(&made);
    struct pbr_pxar_event ev, found = { 0 };
    size_t used;
    check_int(pbr_pxar_dec_new(&env, &opts, &dec), PBR_OK);
    int rc = PBR_OK;
    for (;;) {
        rc = pbr_pxar_dec_step(dec, in, &used, &ev, NULL);
        if (rc < 0)
            break;
        in = pbr_span_sub(in, used, in.len);
        if (ev.ev == PBR_PXAR_EV_MORE)
            rc = pbr_pxar_dec_finish(dec, &ev, NULL);
        if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_ENTRY)
            found = ev;
        if (rc < 0 || ev.ev == PBR_PXAR_EV_END)
            break;
    }
    check_int(rc, want_rc);
    pbr_pxar_dec_free(dec);
    pbr_buf_clear(&made);
    return found.entry;
}

static void test_a_range_holds_one_entry(void **state)
{
    (void)state;
    file("x");
    item(PBR_PXAR_PAYLOAD, NULL, 0);
    struct pbr_pxar_entry e = subtree(1000, PBR_OK);
    check_int(e.kind, PBR_KIND_FILE);
    check_u64(e.name_pos, 1000);
    check_u64(e.entry_pos, 1018);
    check_u64(e.data_pos, 1018 + 56 + 16);
    text(PBR_PXAR_FILENAME, "x");
    entry(010600); /* PXAR-267: the end of the range ends a fifo */
    check_int(subtree(1000, PBR_OK).kind, PBR_KIND_FIFO);
    text(PBR_PXAR_FILENAME, "x");
    entry(0100600);
    check_int(subtree(1000, PBR_OK).kind, PBR_KIND_DIR);
    entry(040700);
    goodbye();
    check_int(subtree(1000, PBR_OK).kind, PBR_KIND_DIR);
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    text(PBR_PXAR_PRELUDE, "p");
    entry(040700);
    goodbye();
    check_int(subtree(0, PBR_OK).kind, PBR_KIND_DIR);
    numbers(PBR_PXAR_FORMAT_VERSION, 2, 0, 1);
    subtree(1000, PBR_E_FORMAT);
    text(PBR_PXAR_FILENAME, "x");
    subtree(1000, PBR_E_TRUNCATED);
    goodbye();
    subtree(1000, PBR_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kind_follows_from_the_item_that_ends_the_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_attributes_may_come_in_any_order_and_repeat, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_single_attributes_may_not_repeat, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_misplaced_items_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_root_must_be_a_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_versions_1_and_2_are_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sizes_are_checked_before_any_content_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_directories_below_each_other_are_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_names_and_targets_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_legacy_entries_count_nanoseconds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_that_readers_take_as_they_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fields_of_an_entry_lie_where_the_table_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_items_are_told_one_by_one_if_wanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_range_holds_one_entry, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("format_pxar_dec", tests, NULL, NULL);
}
