/* SPDX-License-Identifier: MIT */
/* covers: IDX-100 IDX-101 IDX-103 IDX-107 IDX-108 IDX-109 IDX-110 IDX-122 IDX-123 */
/* Layout of a datastore directory, opening, names that are refused, and locks. */
#define FX_BASE "/dev/shm"
#include "store_fixture.h"

#include <dirent.h>

static unsigned mode_of(const struct fx *f, const char *rel)
{
    struct stat st;
    char path[1024];
    assert_int_equal(lstat(fx_path(f, rel, path), &st), 0);
    return (unsigned)st.st_mode & 07777;
}

static unsigned long entries_of(const struct fx *f, const char *rel)
{
    char path[1024];
    unsigned long n = 0;
    DIR *d = opendir(fx_path(f, rel, path));
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void test_init_makes_all_directories_with_their_modes_whatever_the_umask(void **state)
{
    struct fx f;
    const struct pbr_store_opts opts = { .sync = PBR_STORE_SYNC_NONE };
    (void)state;
    fx_env(&f);
    const mode_t before = umask(077);
    const int rc = pbr_store_init(&f.env, f.root, &opts, NULL);
    (void)umask(before);
    check_int(rc, PBR_OK);
    check_int(mode_of(&f, ""), 0755);
    check_int(mode_of(&f, ".chunks"), 0750);
    check_int(mode_of(&f, ".chunks/0000"), 0750);
    check_int(mode_of(&f, ".chunks/ffff"), 0750);
    check_int(entries_of(&f, ".chunks"), 65536);
    check(fx_exists(&f, ".lock"));
    fx_stop(&f);
}

static void test_init_again_adds_what_is_missing_and_keeps_the_rest(void **state)
{
    struct fx f;
    const struct pbr_store_opts opts = { .sync = PBR_STORE_SYNC_NONE, .lazy = true };
    char path[1024];
    (void)state;
    fx_start(&f);
    check_int(mode_of(&f, ".lock"), 0644);
    const uint64_t seeds[] = { 1 };
    fx_backup_ok(&f, "a", FX_TIME, seeds, 1);
    check_int(unlink(fx_path(&f, ".lock", path)), 0);
    check_ok(pbr_store_init(&f.env, f.root, &opts, diag));
    check(fx_exists(&f, ".lock"));
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    check(pbr_store_has_snapshot(f.s, "", &snap));
    fx_stop(&f);
}

static void test_init_refuses_a_directory_with_other_things_in_it(void **state)
{
    struct fx f;
    const struct pbr_store_opts opts = { .lazy = true };
    (void)state;
    fx_env(&f);
    check_int(mkdir(f.root, 0755), 0);
    fx_write(&f, "letter.txt", "x", 1);
    check_int(pbr_store_init(&f.env, f.root, &opts, NULL), PBR_E_EXIST);
    check(!fx_exists(&f, ".chunks"));
    fx_stop(&f);
}

static void test_open_refuses_what_is_no_datastore(void **state)
{
    struct fx f;
    struct pbr_store *s = NULL;
    char path[1024];
    (void)state;
    fx_env(&f);
    check_int(pbr_store_open(&f.env, f.root, NULL, &s, NULL), PBR_E_NOENT);
    check_int(mkdir(f.root, 0755), 0);
    check_int(pbr_store_open(&f.env, f.root, NULL, &s, NULL), PBR_E_NOENT);
    check_int(symlink("/tmp", fx_path(&f, ".chunks", path)), 0); /* a link is not followed */
    check(pbr_store_open(&f.env, f.root, NULL, &s, NULL) < 0);
    check(s == NULL);
    fx_stop(&f);
}

static void test_a_store_is_named_after_its_directory_or_as_told(void **state)
{
    struct fx f;
    struct pbr_store_space space;
    (void)state;
    fx_start(&f);
    check_str(pbr_store_name(f.s), "store");
    check_str(pbr_store_path(f.s), f.root);
    check_ok(pbr_store_space(f.s, &space, diag));
    check(space.total >= space.used && space.total > 0);
    pbr_store_close(f.s);
    fx_open_with(&f, (struct pbr_store_opts){ .name = "other" });
    check_str(pbr_store_name(f.s), "other");
    fx_stop(&f);
}

static void test_reading_only_creates_nothing(void **state)
{
    struct fx f;
    struct pbr_store_backup *b;
    (void)state;
    fx_env(&f);
    check_int(mkdir(f.root, 0755), 0);
    fx_mkdir(&f, ".chunks");
    fx_open_with(&f, (struct pbr_store_opts){ .read_only = true });
    check(!fx_exists(&f, ".lock") && !fx_exists(&f, ".locks"));
    check_int(fx_begin(&f, "a", FX_TIME, &b, NULL), PBR_E_STATE);
    check_int(entries_of(&f, ""), 1);
    fx_stop(&f);
}

static void test_names_that_do_not_fit_the_patterns_are_refused(void **state)
{
    struct fx f;
    static const struct {
        const char *ns, *type, *id, *rule;
        int64_t time_s;
    } cases[] = {
        { "", "host", "..", "IDX-108", FX_TIME },     { "", "host", "a/b", "IDX-108", FX_TIME },
        { "", "host", ".hidden", "IDX-108", FX_TIME }, { "", "host", "", "IDX-108", FX_TIME },
        { "", "disk", "a", "IDX-107", FX_TIME },       { "", "host", "a", "IDX-109", 0 },
        { "", "host", "a", "IDX-109", -1 },            { "", "host", "a", "IDX-109", INT64_C(253402300800) },
        { "..", "host", "a", "API-032", FX_TIME },     { "a//b", "host", "a", "API-032", FX_TIME },
        { "/a", "host", "a", "API-032", FX_TIME },     { "a/b/c/d/e/f/g/h", "host", "a", "API-032", FX_TIME },
    };
    (void)state;
    fx_start(&f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbr_snapshot s = fx_snap(cases[i].id, cases[i].time_s);
        struct pbr_store_lock *lock;
        (void)snprintf(s.group.type, sizeof(s.group.type), "%s", cases[i].type);
        check(!pbr_store_has_snapshot(f.s, cases[i].ns, &s));
        check_fail(pbr_store_lock_snapshot(f.s, cases[i].ns, &s, PBR_STORE_SHARED, &lock, diag), PBR_E_ARG,
                   cases[i].rule);
    }
    fx_stop(&f);
}

static void test_locks_conflict_within_one_process(void **state)
{
    struct fx f;
    struct pbr_store_lock *a, *b, *c;
    const struct pbr_snapshot s = fx_snap("a-b.c", FX_TIME);
    (void)state;
    fx_start(&f);
    check_ok(pbr_store_lock_group(f.s, "", &s.group, &a, diag));
    check_fail(pbr_store_lock_group(f.s, "", &s.group, &b, diag), PBR_E_STATE, "BKP-037");
    check(fx_exists(&f, ".locks/host-a\\x2db.c")); /* IDX-122 */
    check_ok(pbr_store_lock_group(f.s, "ns1/ns2", &s.group, &b, diag)); /* another namespace is another lock */
    check(fx_exists(&f, ".locks/ns1:ns2-host-a\\x2db.c"));
    pbr_store_unlock(a);
    pbr_store_unlock(b);
    check_ok(pbr_store_lock_snapshot(f.s, "", &s, PBR_STORE_SHARED, &a, diag));
    check_ok(pbr_store_lock_snapshot(f.s, "", &s, PBR_STORE_SHARED, &b, diag));
    check_fail(pbr_store_lock_snapshot(f.s, "", &s, PBR_STORE_EXCLUSIVE, &c, diag), PBR_E_STATE, "IDX-123");
    pbr_store_unlock(a);
    check_fail(pbr_store_lock_snapshot(f.s, "", &s, PBR_STORE_EXCLUSIVE, &c, diag), PBR_E_STATE, "IDX-123");
    pbr_store_unlock(b);
    check_ok(pbr_store_lock_snapshot(f.s, "", &s, PBR_STORE_EXCLUSIVE, &c, diag));
    check_fail(pbr_store_lock_snapshot(f.s, "", &s, PBR_STORE_SHARED, &a, diag), PBR_E_STATE, "IDX-123");
    pbr_store_unlock(c);
    pbr_store_unlock(NULL);
    check_int(entries_of(&f, ".locks"), 0); /* the last holder takes the file away */
    fx_stop(&f);
}

static void test_locks_conflict_between_processes_and_end_with_the_holder(void **state)
{
    struct fx f;
    struct pbr_store_lock *lock;
    const struct pbr_group g = { .type = "host", .id = "a" };
    int ready[2], go[2];
    char c = 0;
    (void)state;
    fx_start(&f);
    check_int(pipe(ready) | pipe(go), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct pbr_store *s;
        if (pbr_store_open(&f.env, f.root, NULL, &s, NULL) < 0 || pbr_store_lock_group(s, "", &g, &lock, NULL) < 0)
            _exit(1);
        (void)!write(ready[1], "x", 1);
        (void)!read(go[0], &c, 1);
        _exit(0); /* without unlocking, as a killed one */
    }
    check_int(read(ready[0], &c, 1), 1);
    check_int(pbr_store_lock_group(f.s, "", &g, &lock, NULL), PBR_E_STATE);
    check_int(write(go[1], "x", 1), 1);
    int status;
    check_int(waitpid(pid, &status, 0), pid);
    check_int(status, 0);
    check_ok(pbr_store_lock_group(f.s, "", &g, &lock, diag));
    pbr_store_unlock(lock);
    close(ready[0]), close(ready[1]), close(go[0]), close(go[1]);
    fx_stop(&f);
}

static void test_long_names_get_a_hashed_lock_file(void **state)
{
    struct fx f;
    struct pbr_store_lock *a, *b;
    struct pbr_group g = { .type = "host" }, h;
    (void)state;
    fx_start(&f);
    memset(g.id, '-', PBR_ID_MAX); /* four bytes each when escaped */
    g.id[0] = 'a';
    h = g;
    h.id[100] = 'b';
    check_ok(pbr_store_lock_group(f.s, "", &g, &a, diag));
    check_ok(pbr_store_lock_group(f.s, "", &h, &b, diag)); /* equal beginning and end, another hash */
    pbr_store_unlock(a);
    check_fail(pbr_store_lock_group(f.s, "", &h, &a, diag), PBR_E_STATE, "BKP-037");
    pbr_store_unlock(b);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_makes_all_directories_with_their_modes_whatever_the_umask),
        cmocka_unit_test(test_init_again_adds_what_is_missing_and_keeps_the_rest),
        cmocka_unit_test(test_init_refuses_a_directory_with_other_things_in_it),
        cmocka_unit_test(test_open_refuses_what_is_no_datastore),
        cmocka_unit_test(test_a_store_is_named_after_its_directory_or_as_told),
        cmocka_unit_test(test_reading_only_creates_nothing),
        cmocka_unit_test(test_names_that_do_not_fit_the_patterns_are_refused),
        cmocka_unit_test(test_locks_conflict_within_one_process),
        cmocka_unit_test(test_locks_conflict_between_processes_and_end_with_the_holder),
        cmocka_unit_test(test_long_names_get_a_hashed_lock_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
