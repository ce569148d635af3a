/* SPDX-License-Identifier: MIT */
/* covers: API-090 API-092 API-093 API-096 API-097 API-105 API-106 API-107 API-110 API-111 API-112 API-113 API-114 IDX-110 IDX-111 IDX-113 IDX-114 IDX-115 IDX-116 MAN-062 MAN-063 MAN-066 MAN-068 MAN-082 RDR-020 RDR-022 RDR-023 */
/* Listing and changing groups, snapshots and namespaces. */
#include "store_fixture.h"

static const uint64_t seeds[] = { 1, 2, 3 };
static const struct pbr_group group_a = { .type = "host", .id = "a" };

static void test_lists_take_only_what_fits_the_patterns(void **state)
{
    struct fx f;
    struct pbr_store_snapshots l;
    struct pbr_store_groups g;
    char path[1024];
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "b", FX_TIME + 5, seeds, 1);
    fx_backup_ok(&f, "a", FX_TIME, seeds, 1);
    fx_backup_ok(&f, "a", FX_TIME + 5, seeds, 1);
    fx_mkdir(&f, "host/a/2023-11-14T22:13:30Z"); /* unfinished */
    fx_write(&f, "host/a/2023-11-14T22:13:30Z/x.pxar.tmp_didx", "x", 1);
    fx_write(&f, "host/a/2023-11-14T22:13:30Z/y.conf.blob", "x", 1);
    fx_mkdir(&f, "host/a/2023-11-14T22:13:30");
    fx_mkdir(&f, "host/a/.tmp_x");
    fx_mkdir(&f, "host/noowner");
    fx_mkdir(&f, "host/noowner/2023-11-14T22:13:20Z");
    fx_mkdir(&f, "disk");
    fx_write(&f, "host/file", "x", 1);
    check_int(symlink("a", fx_path(&f, "host/link", path)), 0);
    check_int(symlink("/etc", fx_path(&f, "host/a/2023-11-14T22:13:40Z", path)), 0);
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check_int(l.nr, 4);
    check_str(l.items[0].id.group.id, "a");
    check_int(l.items[2].id.time_s, FX_TIME + 10);
    check(!l.items[2].finished);
    check_int(l.items[2].file_nr, 1);
    check_str(l.items[2].files[0].name, "y.conf.blob");
    check(!l.items[2].files[0].has_info);
    pbr_store_snapshots_release(&l);
    check_ok(pbr_store_list_snapshots(f.s, "", "host", "b", &l, diag));
    check_int(l.nr, 1);
    pbr_store_snapshots_release(&l);
    check_ok(pbr_store_list_snapshots(f.s, "", "vm", "nothing", &l, diag)); /* a missing group is an empty list */
    check_int(l.nr, 0);
    pbr_store_snapshots_release(&l);
    check_ok(pbr_store_list_groups(f.s, "", &g, diag));
    check_int(g.nr, 2);
    check_int(g.items[0].last_backup_s, FX_TIME + 5); /* the newest finished one */
    check_u64(g.items[0].backup_nr, 3);
    check_int(g.items[0].file_nr, 2);
    pbr_store_groups_release(&g);
    check_text(pbr_store_list_snapshots(f.s, "gone", NULL, NULL, &l, diag), PBR_E_NOENT, "API-096",
               "ENOENT: No such file or directory");
    check_text(pbr_store_list_groups(f.s, "gone", &g, diag), PBR_E_NOENT, "API-096",
               "ENOENT: No such file or directory");
    fx_stop(&f);
}

static void test_a_snapshot_with_unreadable_manifest_is_listed_like_an_unfinished_one(void **state)
{
    struct fx f;
    struct pbr_store_snapshots l;
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME), gone = fx_snap("a", FX_TIME + 1);
    char text[512];
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds, 1);
    fx_write(&f, "host/a/2023-11-14T22:13:20Z/index.json.blob", "garbage of some length", 22);
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check(l.items[0].finished && !l.items[0].has_manifest);
    check_int(l.items[0].file_nr, 2);
    pbr_store_snapshots_release(&l);
    (void)snprintf(text, sizeof(text), "unable to load blob '\"%s/host/a/2023-11-14T22:13:20Z/index.json.blob\"' - "
                   "unable to parse raw blob - wrong magic", f.root);
    check_text(pbr_store_list_files(f.s, "", &snap, &l, diag), PBR_E_FORMAT, "API-097", text);
    check_text(pbr_store_list_files(f.s, "", &gone, &l, diag), PBR_E_NOENT, "API-097",
               "ENOENT: No such file or directory");
    fx_stop(&f);
}

static void test_notes_and_verify_state_live_in_the_manifest(void **state)
{
    struct fx f;
    struct pbr_store_snapshots l;
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    char *text;
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds, 1);
    check_ok(pbr_store_get_notes(f.s, "", &snap, &text, diag));
    check_str(text, "");
    pbr_free(&f.env, text);
    check_ok(pbr_store_set_notes(f.s, "", &snap, "first line\nsecond \xc3\xa4", diag));
    check_fail(pbr_store_set_notes(f.s, "", &snap, "no utf-8 \xff", diag), PBR_E_ARG, "MAN-062");
    check_ok(pbr_store_set_verify_state(f.s, "", &snap, true, "UPID:n:1:", diag));
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check_str(l.items[0].notes, "first line\nsecond \xc3\xa4");
    check_int(pbr_store_comment_len(l.items[0].notes), 10);
    check_str(l.items[0].verify_state, "ok");
    check_str(l.items[0].verify_upid, "UPID:n:1:");
    check_str(l.items[0].files[0].name, "root.pxar.didx"); /* the rest is as it was */
    check_str(l.items[0].files[1].name, "index.json.blob");
    pbr_store_snapshots_release(&l);
    struct pbr_manifest m = { 0 };
    check_ok(pbr_store_load_manifest(f.s, "", &snap, &m, NULL, diag));
    check(json_object_get(m.unprotected, "chunk_upload_stats") != NULL); /* other members are preserved */
    pbr_manifest_release(&m);

    check_ok(pbr_store_set_group_notes(f.s, "", &group_a, "of the group", diag));
    check_ok(pbr_store_get_group_notes(f.s, "", &group_a, &text, diag));
    check_str(text, "of the group");
    pbr_free(&f.env, text);
    fx_stop(&f);
}

static void test_the_log_is_taken_once_and_checked(void **state)
{
    struct fx f;
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME), gone = fx_snap("a", FX_TIME + 1);
    int fd;
    uint64_t size;
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds, 1);
    struct fx_chunk log = fx_text_blob(&f, "log text");
    check_fail(pbr_store_put_log(f.s, "", &gone, pbr_buf_span(&log.raw), diag), PBR_E_NOENT, "API-113");
    check_text(pbr_store_put_log(f.s, "", &snap, pbr_span(log.raw.ptr, 4), diag), PBR_E_TRUNCATED, "BLOB-050",
               "blob too small (4 bytes).");
    log.raw.ptr[8] ^= 1;
    check_fail(pbr_store_put_log(f.s, "", &snap, pbr_buf_span(&log.raw), diag), PBR_E_INTEGRITY, "BLOB-051");
    log.raw.ptr[8] ^= 1;
    check_ok(pbr_store_put_log(f.s, "", &snap, pbr_buf_span(&log.raw), diag));
    check_text(pbr_store_put_log(f.s, "", &snap, pbr_buf_span(&log.raw), diag), PBR_E_EXIST, "API-113",
               "backup already contains a log.");
    check_ok(pbr_store_open_file(f.s, "", &snap, "client.log.blob", &fd, &size, diag)); /* not in the manifest */
    check_u64(size, log.raw.len);
    close(fd);
    check_text(pbr_store_open_file(f.s, "", &snap, "owner", &fd, &size, diag), PBR_E_ARG, "RDR-020",
               "unknown archive type: \"owner\"");
    check_fail(pbr_store_open_file(f.s, "", &snap, "../../../x.blob", &fd, &size, diag), PBR_E_ARG, "IDX-081");
    fx_chunk_free(&log);
    fx_stop(&f);
}

static void test_owners_can_be_changed(void **state)
{
    struct fx f;
    char *owner, text[512];
    const struct pbr_group gone = { .type = "host", .id = "gone" };
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds, 1);
    check_ok(pbr_store_set_owner(f.s, "", &group_a, "u@pbs!t", diag));
    check_ok(pbr_store_get_owner(f.s, "", &group_a, &owner, diag));
    check_str(owner, "u@pbs!t");
    pbr_free(&f.env, owner);
    check_fail(pbr_store_set_owner(f.s, "", &group_a, "u@pbs\nx", diag), PBR_E_ARG, "IDX-111");
    fx_write(&f, "host/a/owner", "x@pam  \r\nmore\n", 14); /* first line, trailing white space dropped */
    check_ok(pbr_store_get_owner(f.s, "", &group_a, &owner, diag));
    check_str(owner, "x@pam");
    pbr_free(&f.env, owner);
    (void)snprintf(text, sizeof(text), "unable to read \"%s/host/gone/owner\" - No such file or directory (os error 2)",
                   f.root);
    check_text(pbr_store_get_owner(f.s, "", &gone, &owner, diag), PBR_E_NOENT, "API-112", text);
    fx_stop(&f);
}

static void test_protected_snapshots_stay(void **state)
{
    struct fx f;
    struct pbr_store_removed r;
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME), gone = fx_snap("a", FX_TIME + 9);
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds, 1);
    fx_backup_ok(&f, "a", FX_TIME + 1, seeds, 1);
    check_ok(pbr_store_set_protected(f.s, "", &snap, true, diag));
    check_ok(pbr_store_set_protected(f.s, "", &snap, true, diag));
    check(pbr_store_is_protected(f.s, "", &snap) && !pbr_store_is_protected(f.s, "", &gone));
    check_text(pbr_store_set_protected(f.s, "", &gone, true, diag), PBR_E_NOENT, "API-111",
               "snapshot host/a/2023-11-14T22:13:29Z does not exist!");
    check_text(pbr_store_forget_snapshot(f.s, "", &snap, diag), PBR_E_STATE, "API-105",
               "cannot remove protected snapshot");
    check_ok(pbr_store_forget_group(f.s, "", &group_a, &r, diag));
    check_u64(r.groups, 0);
    check_u64(r.snapshots, 1);
    check_u64(r.protected_snapshots, 1);
    check(pbr_store_has_snapshot(f.s, "", &snap));
    check_ok(pbr_store_set_protected(f.s, "", &snap, false, diag));
    check_ok(pbr_store_set_protected(f.s, "", &snap, false, diag));
    check_ok(pbr_store_forget_group(f.s, "", &group_a, &r, diag));
    check_u64(r.groups, 1);
    check(!fx_exists(&f, "host/a"));
    fx_stop(&f);
}

static void test_forgetting_the_last_snapshot_takes_the_group_along(void **state)
{
    struct fx f;
    struct pbr_store_lock *lock;
    struct pbr_store_removed r;
    char text[512];
    struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds, 1);
    fx_backup_ok(&f, "a", FX_TIME + 1, seeds, 1);
    check_ok(pbr_store_lock_snapshot(f.s, "", &snap, PBR_STORE_SHARED, &lock, diag)); /* a reader */
    check_fail(pbr_store_forget_snapshot(f.s, "", &snap, diag), PBR_E_STATE, "IDX-123");
    check_int(pbr_store_forget_group(f.s, "", &group_a, &r, NULL), PBR_E_STATE);
    pbr_store_unlock(lock);
    check_ok(pbr_store_forget_snapshot(f.s, "", &snap, diag));
    check(fx_exists(&f, "host/a/owner"));
    (void)snprintf(text, sizeof(text), "removing backup snapshot \"%s/host/a/2023-11-14T22:13:20Z\" failed - No such "
                   "file or directory (os error 2)", f.root);
    check_text(pbr_store_forget_snapshot(f.s, "", &snap, diag), PBR_E_NOENT, "API-105", text);
    snap.time_s++;
    check_ok(pbr_store_forget_snapshot(f.s, "", &snap, diag));
    check(!fx_exists(&f, "host/a"));
    (void)snprintf(text, sizeof(text), "read dir \"%s/host/a\" - ENOENT: No such file or directory", f.root);
    check_text(pbr_store_forget_group(f.s, "", &group_a, &r, diag), PBR_E_NOENT, "API-106", text);
    fx_stop(&f);
}

/* ---- namespaces ---- */

static void check_namespaces(struct fx *f, const char *parent, unsigned depth, const char *want)
{
    struct pbr_store_namespaces l;
    char got[512] = "";
    check_ok(pbr_store_list_namespaces(f->s, parent, depth, &l, diag));
    for (size_t i = 0; i < l.nr; i++) {
        const size_t at = strlen(got);
        (void)snprintf(got + at, sizeof(got) - at, "%s%s", i ? " " : "", *l.items[i] ? l.items[i] : "-");
    }
    check_str(got, want);
    pbr_store_namespaces_release(&l);
}

static void test_namespaces_are_made_listed_and_removed(void **state)
{
    struct fx f;
    struct pbr_store_removed r;
    struct pbr_store_backup *b;
    (void)state;
    fx_start(&f);
    check_ok(pbr_store_create_namespace(f.s, "", "b", diag));
    check_ok(pbr_store_create_namespace(f.s, "", "a", diag));
    check_ok(pbr_store_create_namespace(f.s, "a", "x", diag));
    check_ok(pbr_store_create_namespace(f.s, "a/x", "y", diag));
    check_ok(pbr_store_create_namespace(f.s, "a/x", "y", diag)); /* again: no error */
    check(fx_exists(&f, "ns/a/ns/x/ns/y"));
    check_text(pbr_store_create_namespace(f.s, "gone", "y", diag), PBR_E_NOENT, "API-114",
               "cannot create new namespace, parent gone doesn't already exists");
    check_text(pbr_store_create_namespace(f.s, "a", "../x", diag), PBR_E_ARG, "API-032",
               "not a valid namespace component: ../x");
    fx_mkdir(&f, "ns/.hidden");
    check_namespaces(&f, "", 7, "- a b a/x a/x/y");
    check_namespaces(&f, "", 1, "- a b");
    check_namespaces(&f, "", 0, "-");
    check_namespaces(&f, "a", 1, "a a/x");
    check_namespaces(&f, "gone", 7, "gone"); /* just that name */

    const struct pbr_store_backup_opts o = { .ns = "a/x", .snapshot = fx_snap("g", FX_TIME), .auth_id = FX_OWNER };
    check_ok(pbr_store_backup_begin(f.s, &o, &b, diag));
    struct fx_file file;
    struct fx_chunk c = fx_chunk(&f, 1, 100);
    check_ok(fx_archive(&f, b, "r.pxar.didx", &c, 1, &file, diag));
    check_ok(fx_manifest(&f, b, &o.snapshot, &file, 1, diag));
    check_ok(pbr_store_backup_finish(b, diag));
    pbr_store_backup_end(b);
    fx_chunk_free(&c);
    check(fx_exists(&f, "ns/a/ns/x/host/g/owner"));
    check_text(pbr_store_delete_namespace(f.s, "a", false, &r, diag), PBR_E_PARTIAL, "API-114",
               "only partially deleted due to existing groups but `delete-groups` not true");
    check(!fx_exists(&f, "ns/a/ns/x/ns") && fx_exists(&f, "ns/a/ns/x/host/g"));
    check_ok(pbr_store_delete_namespace(f.s, "a", true, &r, diag));
    check_u64(r.groups, 1);
    check_u64(r.snapshots, 1);
    check(!fx_exists(&f, "ns/a"));
    check_ok(pbr_store_delete_namespace(f.s, "a", true, &r, diag)); /* missing: zeros */
    check_u64(r.groups, 0);
    check_namespaces(&f, "", 7, "- b");
    fx_stop(&f);
}

/* ---- prune, applied ---- */

static void test_prune_removes_what_it_does_not_keep(void **state)
{
    struct fx f;
    struct pbr_prune_result r;
    struct pbr_store_lock *lock;
    const struct pbr_prune_keep keep = { .last = 1 };
    const struct pbr_snapshot first = fx_snap("a", FX_TIME), last = fx_snap("a", FX_TIME + 3);
    const struct pbr_group gone = { .type = "host", .id = "gone" };
    (void)state;
    fx_start(&f);
    for (int i = 0; i < 4; i++)
        fx_backup_ok(&f, "a", FX_TIME + i, seeds, 1);
    check_ok(pbr_store_prune(f.s, "", &group_a, &keep, true, &r, diag));
    check_int(r.nr, 4);
    check_int(r.removed, 0);
    check_int(r.items[0].time_s, FX_TIME); /* oldest first */
    pbr_free(&f.env, r.items);
    check_ok(pbr_store_lock_snapshot(f.s, "", &first, PBR_STORE_SHARED, &lock, diag));
    check_ok(pbr_store_prune(f.s, "", &group_a, &keep, false, &r, diag));
    pbr_store_unlock(lock);
    check_int(r.removed, 2);
    check_int(r.failed, 1); /* in use */
    pbr_free(&f.env, r.items);
    check(pbr_store_has_snapshot(f.s, "", &first) && pbr_store_has_snapshot(f.s, "", &last));
    check_text(pbr_store_prune(f.s, "", &gone, &keep, true, &r, diag), PBR_E_NOENT, "API-107",
               "ENOENT: No such file or directory");
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_take_only_what_fits_the_patterns),
        cmocka_unit_test(test_a_snapshot_with_unreadable_manifest_is_listed_like_an_unfinished_one),
        cmocka_unit_test(test_notes_and_verify_state_live_in_the_manifest),
        cmocka_unit_test(test_the_log_is_taken_once_and_checked),
        cmocka_unit_test(test_owners_can_be_changed),
        cmocka_unit_test(test_protected_snapshots_stay),
        cmocka_unit_test(test_forgetting_the_last_snapshot_takes_the_group_along),
        cmocka_unit_test(test_namespaces_are_made_listed_and_removed),
        cmocka_unit_test(test_prune_removes_what_it_does_not_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
