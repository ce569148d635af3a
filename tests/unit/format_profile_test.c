/* SPDX-License-Identifier: MIT */
/* covers: APX-085 APX-086 APX-087 APX-088 APX-089 APX-090 APX-170 SPL-010 SPL-011 SPL-013 SPL-014 SPL-015 SPL-092 SPL-100 SPL-110
 * SPL-111 SPL-120 SPL-121 SYS-002 SYS-022 SYS-030 SYS-031 SYS-065 */
#include "format/profile.h"

#include "file_env.h"

static void test_profiles_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        enum pbr_profile p;
        check(pbr_profile_parse(pbr_span_str(pbr_profile_name((enum pbr_profile)i)), &p));
        check_int(p, i);
    }
    enum pbr_profile p;
    check(!pbr_profile_parse(pbr_span_str("draft"), &p));
    check(!pbr_profile_parse(pbr_span_str(""), &p));
}

/* ---- mode grammar ---- */

static void test_draft_modes(void **state)
{
    static const char *const good[] = {
        "data", "metadata", "metadata:root.pxar", "metadata:root.pxar:home.pxar", "metadata:a-b_9.pxar",
    };
    static const char *const bad[] = {
        "metadata:", "metadata:root", "metadata:root.pxar,home.pxar", "metadata:root.pxar.didx", "metadata:a.b.pxar",
        "data:root.pxar", "legacy", "METADATA", "", "metadata:.pxar", "metadata:root.pxar:", "metadata::root.pxar",
        "metadata:ro ot.pxar", "metadataroot.pxar", "metadata:root.PXAR",
    };
    static const enum pbr_profile drafts[] = { PBR_PROFILE_DRAFT_SPLIT, PBR_PROFILE_DRAFT_APPENDIX };
    static const char *const rules[] = { "SPL-100", "APX-086" };
    struct pbr_detection d;
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
            check_int(pbr_detection_parse(drafts[p], good[i], &d, NULL), PBR_OK);
            check_int(d.mode, i ? PBR_MODE_METADATA : PBR_MODE_LEGACY);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
            check_fail(pbr_detection_parse(drafts[p], bad[i], &d, diag), PBR_E_ARG, rules[p]);
        check_int(pbr_detection_parse(drafts[p], NULL, &d, NULL), PBR_OK);
        check_int(d.mode, PBR_MODE_LEGACY);
    }
}

static void test_released_modes(void **state)
{
    struct pbr_detection d;
    (void)state;
    static const char *const modes[] = { "legacy", "data", "metadata" };
    for (int i = 0; i < 3; i++) {
        check_int(pbr_detection_parse(PBR_PROFILE_RELEASED, modes[i], &d, NULL), PBR_OK);
        check_int(d.mode, i);
    }
    check_int(pbr_detection_parse(PBR_PROFILE_RELEASED, NULL, &d, NULL), PBR_OK);
    check_int(d.mode, PBR_MODE_LEGACY);
    check_fail(pbr_detection_parse(PBR_PROFILE_RELEASED, "metadata:root.pxar", &d, diag), PBR_E_ARG, "CLI-040");
    check_fail(pbr_detection_parse(PBR_PROFILE_RELEASED, "", &d, diag), PBR_E_ARG, "CLI-040");
}

static void test_a_list_names_the_archives_that_are_meant(void **state)
{
    struct pbr_detection d;
    (void)state;
    check_int(pbr_detection_parse(PBR_PROFILE_DRAFT_APPENDIX, "metadata:root.pxar:home.pxar", &d, NULL), PBR_OK);
    check_int(pbr_detection_mode(&d, "root.pxar"), PBR_MODE_METADATA);
    check_int(pbr_detection_mode(&d, "home.pxar"), PBR_MODE_METADATA);
    check_int(pbr_detection_mode(&d, "me.pxar"), PBR_MODE_LEGACY);
    check_int(pbr_detection_mode(&d, "root.pxa"), PBR_MODE_LEGACY);
    check_int(pbr_detection_parse(PBR_PROFILE_DRAFT_APPENDIX, "metadata", &d, NULL), PBR_OK);
    check_int(pbr_detection_mode(&d, "any.pxar"), PBR_MODE_METADATA);
    check_int(pbr_detection_parse(PBR_PROFILE_DRAFT_APPENDIX, "data", &d, NULL), PBR_OK);
    check_int(pbr_detection_mode(&d, "any.pxar"), PBR_MODE_LEGACY);
}

/* ---- names ---- */

static void test_split_names_follow_the_profile(void **state)
{
    struct pbr_split_names n;
    char long_name[300];
    (void)state;
    check(pbr_split_names(PBR_PROFILE_RELEASED, "root", false, &n));
    check_str(n.meta, "root.mpxar.didx");
    check_str(n.payload, "root.ppxar.didx");
    check(pbr_split_names(PBR_PROFILE_DRAFT_SPLIT, "root", false, &n));
    check_str(n.meta, "root.pxar.meta.didx");
    check_str(n.payload, "root.pxar.pld.didx");
    check(pbr_split_names(PBR_PROFILE_DRAFT_SPLIT, "root", true, &n));
    check_str(n.payload, "root.pxar.data.didx");
    check(pbr_name_is_safe_id(pbr_span_str(n.meta)) && pbr_name_is_safe_id(pbr_span_str(n.payload)));
    check(!pbr_split_names(PBR_PROFILE_DRAFT_APPENDIX, "root", false, &n));
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    check(!pbr_split_names(PBR_PROFILE_RELEASED, long_name, false, &n));
    check(pbr_name_is_metadata(pbr_span_str("a.mpxar.didx")) && pbr_name_is_metadata(pbr_span_str("a.pxar.meta.didx")));
    check(!pbr_name_is_metadata(pbr_span_str("a.pxar.didx")) && !pbr_name_is_metadata(pbr_span_str("a.pxar.pld.didx")));
}

/* What a user's name means in a snapshot with these files; `want` is "form name payload", or a rule. */
static void expect(const char *const *files, const char *name, const char *want)
{
    struct pbr_manifest m;
    const struct pbr_snapshot s = { .group = { "host", "x" }, .time_s = 1 };
    char stored[PBR_ARCHIVE_NAME_MAX + 1], got[600];
    struct pbr_archive_names found;
    struct pbr_diag d = { 0 };
    check_int(pbr_manifest_init(&m, &env, &s), PBR_OK);
    for (size_t i = 0; files[i]; i++)
        check_int(pbr_manifest_add(&m, files[i], PBR_CRYPT_NONE, 1, (const uint8_t[PBR_DIGEST_LEN]){ 0 }), PBR_OK);
    check_int(pbr_name_stored(pbr_span_str(name), stored, NULL), PBR_OK);
    const int rc = pbr_archive_find(&m, stored, &found, &d);
    if (rc < 0)
        (void)snprintf(got, sizeof(got), "%s", d.rule);
    else
        (void)snprintf(got, sizeof(got), "%d %s %s", found.form, found.name,
                       found.form == PBR_ARCHIVE_SPLIT ? found.payload : "");
    check_str(got, want);
    pbr_manifest_release(&m);
}

static void test_any_spelling_finds_the_drafts_pair(void **state)
{
    static const char *const pld[] = { "root.pxar.pld.didx", "root.pxar.meta.didx", NULL };
    static const char *const data[] = { "root.pxar.data.didx", "root.pxar.meta.didx", NULL };
    static const char *const spellings[] = { "root.pxar",          "root.pxar.didx", "root.pxar.meta",      "root.pxar.meta.didx",
                                             "root.pxar.pld",      "root.pxar.pld.didx", "root.pxar.data", "root.pxar.data.didx" };
    (void)state;
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        expect(pld, spellings[i], "2 root.pxar.meta.didx root.pxar.pld.didx");
        expect(data, spellings[i], "2 root.pxar.meta.didx root.pxar.data.didx");
    }
    expect(pld, "other.pxar", "RDR-071");
    expect(pld, "root.mpxar", "RDR-071");
}

static void test_a_plain_archive_has_precedence(void **state)
{
    static const char *const files[] = { "root.pxar.didx", "root.pxar.pld.didx", "root.pxar.meta.didx", NULL };
    (void)state;
    expect(files, "root.pxar", "1 root.pxar.didx ");
    expect(files, "root.pxar.didx", "1 root.pxar.didx ");
    expect(files, "root.pxar.meta", "2 root.pxar.meta.didx root.pxar.pld.didx");
}

static void test_two_payload_names_are_refused(void **state)
{
    static const char *const files[] = { "root.pxar.data.didx", "root.pxar.pld.didx", "root.pxar.meta.didx", NULL };
    (void)state;
    expect(files, "root.pxar", "SPL-014");
    expect(files, "root.pxar.pld", "SPL-014");
}

static void test_a_missing_payload_archive_is_no_error_yet(void **state)
{
    static const char *const files[] = { "root.pxar.meta.didx", NULL };
    (void)state;
    expect(files, "root.pxar", "2 root.pxar.meta.didx ");
}

static void test_released_names_are_found_as_before(void **state)
{
    static const char *const split[] = { "root.ppxar.didx", "root.mpxar.didx", "disk.img.fidx", "a.conf.blob",
                                         "catalog.pcat1.didx", NULL };
    (void)state;
    expect(split, "root.pxar", "2 root.mpxar.didx root.ppxar.didx");
    expect(split, "root.mpxar", "2 root.mpxar.didx root.ppxar.didx");
    expect(split, "root.ppxar.didx", "2 root.mpxar.didx root.ppxar.didx");
    expect(split, "disk.img", "0 disk.img.fidx ");
    expect(split, "a.conf", "0 a.conf.blob ");
    expect(split, "catalog.pcat1", "0 catalog.pcat1.didx ");
    expect(split, "b.conf", "RDR-071");
    expect(split, "root.pxar.meta", "RDR-071");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profiles_have_names),
        cmocka_unit_test(test_draft_modes),
        cmocka_unit_test(test_released_modes),
        cmocka_unit_test(test_a_list_names_the_archives_that_are_meant),
        cmocka_unit_test(test_split_names_follow_the_profile),
        cmocka_unit_test(test_any_spelling_finds_the_drafts_pair),
        cmocka_unit_test(test_a_plain_archive_has_precedence),
        cmocka_unit_test(test_two_payload_names_are_refused),
        cmocka_unit_test(test_a_missing_payload_archive_is_no_error_yet),
        cmocka_unit_test(test_released_names_are_found_as_before),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
