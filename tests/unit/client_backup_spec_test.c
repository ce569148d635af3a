/* SPDX-License-Identifier: MIT */
/* covers: CLI-030 IDX-082 */
#include "test.h"

#include "client/backup.h"

static void test_specifications_are_taken_apart(void **state)
{
    static const struct {
        const char *text;
        enum pbr_spec_type type;
        const char *target, *base, *path;
    } rows[] = {
        { "root.pxar:/", PBR_SPEC_PXAR, "root.pxar", "root", "/" },
        { "disk.img:/dev/sda1", PBR_SPEC_IMG, "disk.img", "disk", "/dev/sda1" },
        { "a_B-9.conf:/etc/x.conf:y", PBR_SPEC_CONF, "a_B-9.conf", "a_B-9", "/etc/x.conf:y" }, /* the first colon */
        { "x.log::", PBR_SPEC_LOG, "x.log", "x", ":" },
        { "-x.log:a", PBR_SPEC_LOG, "-x.log", "-x", "a" }, /* passes here, refused by servers (IDX-082) */
        { "x.pxar:relative dir/", PBR_SPEC_PXAR, "x.pxar", "x", "relative dir/" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pbr_backup_spec s;
        check_int(pbr_backup_spec_parse(rows[i].text, &s, NULL), PBR_OK);
        check_int(s.type, rows[i].type);
        check_str(s.target, rows[i].target);
        check_str(s.base, rows[i].base);
        check_str(s.path, rows[i].path);
    }
}

static void test_other_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "", ":", "root", "root.pxar", "root.pxar:", ".pxar:/", "root:/", "root.:/", "root.txt:/", "root.PXAR:/",
        "root.pxar.didx:/", "a.b.pxar:/", "a b.pxar:/", "a/b.pxar:/", "root.didx:/", "root.blob:/", "root.mpxar:/",
        "root.pxa:/", "root.pxarx:/", "\xc3\xa4.pxar:/", "root:x.pxar", " root.pxar:/", "root.pxar :/",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct pbr_backup_spec s = { .base = "kept" };
        if (pbr_backup_spec_parse(texts[i], &s, NULL) == PBR_OK)
            print_error("accepted: '%s'\n", texts[i]);
        check_fail(pbr_backup_spec_parse(texts[i], &s, diag), PBR_E_ARG, "CLI-030");
        check_str(s.base, "kept");
    }
}

static void test_long_names_leave_room_for_what_is_added(void **state)
{
    (void)state;
    char text[400];
    struct pbr_backup_spec s;
    size_t longest = 0;
    for (size_t n = 1; n < 300; n++) {
        snprintf(text, sizeof(text), "%0*d.pxar:/", (int)n, 0);
        if (pbr_backup_spec_parse(text, &s, NULL) == PBR_OK) {
            check_int(longest, n - 1); /* up to one length, none beyond */
            longest = n;
            check_int(strlen(s.base), n);
            check_int(strlen(s.target), n + 5);
        }
    }
    check(longest > 100);
    check(longest + strlen(".mpxar.didx") <= PBR_ARCHIVE_NAME_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_specifications_are_taken_apart),
        cmocka_unit_test(test_other_texts_are_refused),
        cmocka_unit_test(test_long_names_leave_room_for_what_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
