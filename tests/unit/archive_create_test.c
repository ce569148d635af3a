/* SPDX-License-Identifier: MIT */
/* covers: CRT-006 CRT-010 CRT-021 CRT-022 CRT-026 CRT-030 CRT-031 CRT-040 CRT-051 CRT-056 CRT-058 CRT-060 CRT-062
 * CRT-067 CRT-094 CRT-096 CRT-140 CRT-141 CRT-142 CRT-143 CRT-144 CRT-145 CRT-162 CRT-163 CRT-164 CRT-181 CRT-182
 * CLI-052 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "archive_tree.h"

/* ---- what is archived, in which order ---- */

static void test_entries_come_sorted_depth_first_and_links_after_their_first_name(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    put_file(&t, "a0", "1");
    put_file(&t, "a.b", "22");
    put_dir(&t, "a");
    put_file(&t, "a/z", "4444");
    put_link(&t, "a/ln", "../b");
    check_int(linkat(t.fd, "a/z", t.fd, "b", 0), 0);
    check_int(linkat(t.fd, "a/ln", t.fd, "ln2", 0), 0); /* links to symlinks are stored independently */
    check_int(mkfifoat(t.fd, "p", 0600), 0);
    put_file(&t, "\xff", "");
    put_file(&t, "~", "");
    check_str(tree_trace(&t), "a{ l:ln f:z(4) } f:a.b(2) f:a0(1) h:b l:ln2 p:p f:~(0) f:\xff(0) ");
    check_u64(t.stats.files, 5);
    check_u64(t.stats.file_bytes, 7);
    check_u64(t.stats.hardlinks, 1);
    check_u64(t.stats.symlinks, 2);
    check_u64(t.stats.fifos, 1);
    check_u64(t.stats.dirs, 2);
    check_int(unlinkat(t.fd, "b", 0), 0);
    check_int(linkat(t.fd, "a/z", t.fd, "../pbsref-outside", 0), 0); /* the other name is outside the tree */
    const bool plain = strcmp(tree_trace(&t), "a{ l:ln f:z(4) } f:a.b(2) f:a0(1) l:ln2 p:p f:~(0) f:\xff(0) ") == 0;
    check_int(unlinkat(t.fd, "../pbsref-outside", 0), 0);
    check(plain);
    tree_release(&t);
}

static void test_example_of_the_documentation(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    put_file(&t, ".pxarexclude", "/subfolder0/file1\n/subfolder1/*\n!/subfolder1/file2\n");
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof(name), "subfolder%d", i);
        put_dir(&t, name);
        for (int k = 0; k < 4; k++) {
            snprintf(name, sizeof(name), "subfolder%d/file%d", i, k);
            put_file(&t, name, "");
        }
    }
    put_file(&t, "subfolder0/.pxarexclude", "file3\n");
    check_str(tree_trace(&t), "f:.pxarexclude(51) subfolder0{ f:.pxarexclude(6) f:file0(0) f:file2(0) } "
                              "subfolder1{ f:file2(0) } ");
    check_u64(t.stats.excluded, 5);
    tree_release(&t);
}

static void test_patterns_of_a_directory_end_with_it_and_deeper_ones_win(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    put_dir(&t, "a");
    put_dir(&t, "b");
    put_file(&t, "a/.pxarexclude", "!x.tmp\n/local\n*.log\n");
    put_file(&t, "a/x.tmp", "");
    put_file(&t, "a/y.tmp", "");
    put_file(&t, "a/local", "");
    put_file(&t, "a/q.log", "");
    put_file(&t, "b/x.tmp", "");
    put_file(&t, "b/local", "");
    put_file(&t, "b/q.log", "");
    const struct pbr_span excludes[] = { pbr_span_str("*.tmp") };
    struct pbr_create_opts opts = trace_opts(&t);
    opts.excludes = excludes;
    opts.exclude_nr = 1;
    check_int(tree_create(&t, &opts, false), PBR_OK);
    check_str(t.trace, "a{ f:.pxarexclude(20) f:x.tmp(0) } b{ f:local(0) f:q.log(0) } f:.pxarexclude-cli(6) ");
    check_int(tree_create(&t, &opts, true), PBR_OK);
    check_str(t.trace, "a{ f:.pxarexclude(20) f:x.tmp(0) } b{ f:local(0) f:q.log(0) } ");
    tree_release(&t);
}

static void test_pxarexclude_cli_of_the_source_and_lost_and_found_are_left_out(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    put_file(&t, ".pxarexclude-cli", "old\n");
    put_dir(&t, "d");
    put_file(&t, "d/.pxarexclude-cli", "only the root's is special\n");
    put_dir(&t, "d/lost+found");
    put_file(&t, "lost+found", "");
    check_str(tree_trace(&t), "d{ f:.pxarexclude-cli(27) lost+found{ } } f:lost+found(0) ");
    struct pbr_create_opts opts = trace_opts(&t);
    opts.skip_lost_and_found = true;
    check_int(tree_create(&t, &opts, false), PBR_OK);
    check_str(t.trace, "d{ f:.pxarexclude-cli(27) } f:.pxarexclude-cli(11) ");
    tree_release(&t);
}

static void test_entries_max_counts_the_directories_on_the_path(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    struct pbr_create_opts opts = { .has_entries_max = true, .entries_max = 0 };
    check_int(tree_create(&t, &opts, false), PBR_OK); /* an empty root has none */
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof(name), "d%d", i);
        put_dir(&t, name);
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof(name), "d%d/f%d", i, k);
            put_file(&t, name, "");
        }
    }
    opts.entries_max = 5;
    check_int(tree_create(&t, &opts, false), PBR_OK);
    opts.entries_max = 4;
    check_int(tree_create(&t, &opts, false), PBR_E_LIMIT);
    check_str(t.diag.rule, "CRT-030");
    check(strstr(t.diag.text, "exceeded allowed number of file entries (> 4)") != NULL);
    tree_release(&t);
}

static void test_bad_options_and_roots_are_refused(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    const uint64_t dev = 1;
    struct pbr_create_opts opts = { .all_file_systems = true, .include_devs = &dev, .include_dev_nr = 1 };
    check_int(tree_create(&t, &opts, false), PBR_E_ARG);
    check_str(t.diag.rule, "CRT-006");
    const struct pbr_span bad = pbr_span_str("[a-");
    opts = (struct pbr_create_opts){ .excludes = &bad, .exclude_nr = 1 };
    check_int(tree_create(&t, &opts, false), PBR_E_ARG);
    check_str(t.diag.rule, "CRT-082");
    check_u64(t.archive.len, 0);
    const struct pbr_span latin = pbr_span_str("\xe4");
    opts.excludes = &latin;
    check_int(tree_create(&t, &opts, false), PBR_OK);
    check_int(tree_create(&t, &opts, true), PBR_E_ARG);
    check_str(t.diag.rule, "CRT-057");
    tree_release(&t);
}

static void test_a_virtual_file_system_is_no_source(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf out;
    struct pbr_diag diag = { 0 };
    pbr_buf_init(&out, &env, 1 << 20);
    struct pbr_sink sink = pbr_sink_buf(&out);
    int fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        SKIP("no /proc");
    check_int(pbr_create(&env, fd, "/proc/self", &(const struct pbr_create_outputs){ &sink, NULL }, NULL, NULL, &diag), PBR_E_UNSUPPORTED);
    check_str(diag.rule, "CRT-010");
    check_u64(out.len, 0);
    pbr_close(&fd);
    pbr_buf_release(&out);
    check_int(w.live_allocs, 0);
}

/* ---- files that change meanwhile: the progress hook runs between listing and opening ---- */

struct meddler {
    struct tree *t;
    const char *at; /* path */
    void (*act)(struct tree *t);
    int rc;
};

static int meddle(void *ctx, struct pbr_span path, struct pbr_diag *diag)
{
    const struct meddler *m = ctx;
    (void)diag;
    if (!pbr_span_eq_str(path, m->at))
        return PBR_OK;
    if (m->act)
        m->act(m->t);
    return m->rc;
}

static int create_meddled(struct tree *t, const char *at, void (*act)(struct tree *t))
{
    struct meddler m = { .t = t, .at = at, .act = act };
    const struct pbr_create_opts opts = { .hooks = { .ctx = &m, .entry = meddle } };
    return tree_create(t, &opts, false);
}

static void remove_b(struct tree *t)
{
    check_int(unlinkat(t->fd, "b", 0), 0);
}

static void remove_b_dir(struct tree *t)
{
    check_int(unlinkat(t->fd, "b", AT_REMOVEDIR), 0);
}

static void test_vanished_entries_are_left_out_with_a_warning(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct tree t;
        tree_init(&t);
        put_file(&t, "a", "1");
        if (kind == 0)
            put_file(&t, "b", "2");
        else if (kind == 1)
            put_link(&t, "b", "x");
        else
            put_dir(&t, "b");
        put_file(&t, "c", "3");
        tree_set_time(t.fd, ".");
        check_int(create_meddled(&t, "b", kind == 2 ? remove_b_dir : remove_b), PBR_OK);
        check_str(t.log, "warning: file vanished while reading: \"b\"\n");
        check_u64(t.stats.skipped, 1);
        check_u64(t.stats.warnings, 1);
        struct pbr_buf first = t.archive; /* the same as of a tree that never had it */
        pbr_buf_init(&t.archive, &t.env, TREE_ARCHIVE_MAX);
        tree_set_time(t.fd, ".");
        check_int(tree_create(&t, NULL, false), PBR_OK);
        check_span(pbr_buf_span(&first), pbr_buf_span(&t.archive));
        pbr_buf_release(&first);
        tree_release(&t);
    }
}

static void shrink_b(struct tree *t)
{
    int fd = openat(t->fd, "b", O_WRONLY | O_CLOEXEC);
    check_int(ftruncate(fd, 10), 0);
    pbr_close(&fd);
}

static void grow_b(struct tree *t)
{
    int fd = openat(t->fd, "b", O_WRONLY | O_APPEND | O_CLOEXEC);
    check_int(write(fd, "more", 4), 4);
    pbr_close(&fd);
}

/* Archive of a folder with "b" of this size, before (`first`) and after `act` in the middle. */
static void change_while_reading(struct tree *t, size_t size, void (*act)(struct tree *t), struct pbr_buf *first)
{
    tree_init(t);
    put_big(t, "b", size);
    put_file(t, "c", "3");
    tree_set_time(t->fd, ".");
    check_int(tree_create(t, NULL, false), PBR_OK);
    *first = t->archive;
    pbr_buf_init(&t->archive, &t->env, TREE_ARCHIVE_MAX);
    check_int(create_meddled(t, "b", act), PBR_OK);
    check_int(t->archive.len, first->len);
}

static void test_a_shrunk_file_is_filled_with_zeros(void **state)
{
    (void)state;
    struct tree t;
    struct pbr_buf first;
    change_while_reading(&t, (5 << 20) + 3, shrink_b, &first);
    check_str(t.log, "warning: file size shrunk while reading: \"b\", file will be padded with zeros!\n");
    size_t zeros = 0;
    for (size_t i = 0; i < first.len; i++) {
        if (t.archive.ptr[i] != first.ptr[i]) {
            check_int(first.ptr[i], 'x');
            check_int(t.archive.ptr[i], 0);
            zeros++;
        }
    }
    check_u64(zeros, (5 << 20) + 3 - 10);
    pbr_buf_release(&first);
    tree_release(&t);
}

static void test_a_grown_file_is_cut_to_its_announced_size(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, 1000, 4 << 20, (4 << 20) + 1 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct tree t;
        struct pbr_buf first;
        change_while_reading(&t, sizes[i], grow_b, &first);
        check_str(t.log, "warning: file size increased while reading: \"b\", file will be truncated!\n");
        check_span(pbr_buf_span(&t.archive), pbr_buf_span(&first));
        pbr_buf_release(&first);
        tree_release(&t);
    }
}

static void test_a_hook_can_end_the_creation(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    put_dir(&t, "d");
    put_file(&t, "d/x", "");
    struct meddler m = { .t = &t, .at = "d/x", .rc = PBR_E_CANCELED };
    const struct pbr_create_opts opts = { .hooks = { .ctx = &m, .entry = meddle } };
    check_int(tree_create(&t, &opts, false), PBR_E_CANCELED);
    tree_release(&t);
}

static void replace_b_by_link(struct tree *t)
{
    remove_b(t);
    put_link(t, "b", "/etc/passwd");
}

static void test_a_file_that_became_a_link_is_not_followed(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    put_file(&t, "b", "2");
    check_int(create_meddled(&t, "b", replace_b_by_link), PBR_E_IO);
    check(strstr(t.diag.text, "\"b\"") != NULL);
    tree_release(&t);
}

static void test_unreadable_entries_are_left_out_with_a_warning(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t);
    if (geteuid() != 0) {
        tree_release(&t);
        SKIP("needs root, to read as somebody else");
    }
    put_file(&t, "a", "not the reader's own: no O_NOATIME");
    put_file(&t, "b", "2");
    put_dir(&t, "d");
    put_file(&t, "d/below", "3");
    put_dir(&t, "search");
    put_file(&t, "search/x", "4");
    check_int(fchmodat(t.fd, "b", 0, 0), 0);
    check_int(fchmodat(t.fd, "d", 0, 0), 0);
    check_int(fchmodat(t.fd, "search", 0744, 0), 0); /* readable, not searchable: stat fails */
    check_int(fchmodat(t.fd, ".", 0755, 0), 0);
    check_int(seteuid(65534), 0);
    const struct pbr_create_opts opts = trace_opts(&t);
    const int rc = tree_create(&t, &opts, false);
    check_int(seteuid(0), 0);
    check_int(rc, PBR_OK);
    check_str(t.trace, "f:a(34) search{ } ");
    check(strstr(t.log, "failed to open file: \"b\": access denied\n") != NULL);
    check(strstr(t.log, "failed to open file: \"d\": access denied\n") != NULL);
    check(strstr(t.log, "warning: failed to stat file: \"search/x\": access denied\n") != NULL);
    check_u64(t.stats.skipped, 3);
    tree_release(&t);
}

static void test_the_longest_symlink_target_is_archived(void **state)
{
    (void)state;
    struct tree t;
    char target[4096];
    tree_init(&t);
    memset(target, 'a', sizeof(target));
    target[4095] = 0;
    put_link(&t, "l", target);
    check_str(tree_trace(&t), "l:l ");
    tree_release(&t);
}

/* ---- depth ---- */

enum { DEEP = 700 };

static void make_deep(struct tree *t)
{
    int fd = openat(t->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < DEEP; i++) {
        check_int(mkdirat(fd, "d", 0755), 0);
        int file = openat(fd, "z", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        pbr_close(&file);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        check(next >= 0);
        pbr_close(&fd);
        fd = next;
    }
    pbr_close(&fd);
}

static void test_deep_trees_need_a_bounded_number_of_descriptors(void **state)
{
    (void)state;
    struct tree t;
    struct rlimit old;
    tree_init(&t);
    make_deep(&t);
    check_int(getrlimit(RLIMIT_NOFILE, &old), 0);
    const struct rlimit few = { .rlim_cur = 256, .rlim_max = old.rlim_max };
    check_int(setrlimit(RLIMIT_NOFILE, &few), 0);
    const int rc = tree_create(&t, NULL, true);
    check_int(setrlimit(RLIMIT_NOFILE, &old), 0);
    check_int(rc, PBR_OK);
    check_u64(t.stats.dirs, DEEP + 1);
    check_u64(t.stats.files, DEEP);
    tree_release(&t);
}

static void move_upper_part(struct tree *t)
{
    check_int(mkdirat(t->fd, "y", 0755), 0);
    check_int(renameat(t->fd, "d/d/d", t->fd, "y/moved"), 0);
}

static void test_a_directory_moved_while_it_is_read_ends_the_creation(void **state)
{
    (void)state;
    struct tree t;
    char deepest[2 * DEEP + 1];
    tree_init(&t);
    make_deep(&t);
    for (size_t i = 0; i < sizeof(deepest); i++)
        deepest[i] = i % 2 ? '/' : 'd';
    deepest[sizeof(deepest) - 2] = 0;
    check_int(create_meddled(&t, deepest, move_upper_part), PBR_E_IO);
    check(strstr(t.diag.text, "was moved to another directory while it was read") != NULL);
    tree_release(&t);
}

/* ---- mount points, in a mount namespace of its own ---- */

static const char MOUNT_DEFAULT[] = "proc{ } same{ f:in(0) } tmp{ } ";
static const char MOUNT_ALL[] = "proc{ } same{ f:in(0) } tmp{ f:on-tmpfs(1) } ";

/* Runs in a child; the number of the first thing that is wrong, 77 if mounts are not possible here. */
static int in_namespace(struct tree *t)
{
    char proc[96], tmp[96], same[96], src[96];
    struct stat st;
    snprintf(proc, sizeof(proc), "%s/proc", t->path);
    snprintf(tmp, sizeof(tmp), "%s/tmp", t->path);
    snprintf(same, sizeof(same), "%s/same", t->path);
    snprintf(src, sizeof(src), "%s-src", t->path);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("/proc", proc, NULL, MS_BIND, NULL) != 0 || mount("none", tmp, "tmpfs", 0, NULL) != 0 ||
        mount(src, same, NULL, MS_BIND, NULL) != 0)
        return 77;
    pbr_close(&t->fd); /* it belongs to the old namespace */
    t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put_file(t, "tmp/on-tmpfs", "1");
    struct pbr_create_opts opts = trace_opts(t);
    if (tree_create(t, &opts, false) != PBR_OK || strcmp(t->trace, MOUNT_DEFAULT) != 0 || t->stats.mount_points != 2)
        return 1;
    if (!strstr(t->log, "skipping mount point: \"tmp\"\n"))
        return 2;
    opts.all_file_systems = true;
    if (tree_create(t, &opts, false) != PBR_OK || strcmp(t->trace, MOUNT_ALL) != 0)
        return 3;
    if (fstatat(t->fd, "tmp", &st, 0) != 0)
        return 4;
    const uint64_t dev = st.st_dev;
    opts.all_file_systems = false;
    opts.include_devs = &dev;
    opts.include_dev_nr = 1;
    return tree_create(t, &opts, false) == PBR_OK && strcmp(t->trace, MOUNT_ALL) == 0 ? 0 : 5;
}

static void test_mount_points_are_archived_empty_unless_allowed_and_virtual_ones_always(void **state)
{
    if (getenv("PBR_TEST_SLOW")) /* set by make check-valgrind */
        SKIP("Valgrind does not follow into a mount namespace of its own");
    (void)state;
    struct tree t;
    char src[96];
    int status = -1;
    tree_init(&t);
    snprintf(src, sizeof(src), "../%.40s-src", t.path + strlen("/tmp/"));
    check_int(mkdirat(t.fd, src, 0755), 0);
    put_dir(&t, "proc");
    put_dir(&t, "same");
    put_dir(&t, "tmp");
    char inner[128];
    snprintf(inner, sizeof(inner), "%s/in", src);
    put_file(&t, inner, "");
    const pid_t pid = fork();
    if (pid == 0)
        _exit(in_namespace(&t));
    check_int(waitpid(pid, &status, 0), pid);
    check_int(unlinkat(t.fd, inner, 0), 0);
    check_int(unlinkat(t.fd, src, AT_REMOVEDIR), 0);
    tree_release(&t);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("no mount namespace here");
    check_int(status, 0);
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_come_sorted_depth_first_and_links_after_their_first_name),
        cmocka_unit_test(test_example_of_the_documentation),
        cmocka_unit_test(test_patterns_of_a_directory_end_with_it_and_deeper_ones_win),
        cmocka_unit_test(test_pxarexclude_cli_of_the_source_and_lost_and_found_are_left_out),
        cmocka_unit_test(test_entries_max_counts_the_directories_on_the_path),
        cmocka_unit_test(test_bad_options_and_roots_are_refused),
        cmocka_unit_test(test_a_virtual_file_system_is_no_source),
        cmocka_unit_test(test_vanished_entries_are_left_out_with_a_warning),
        cmocka_unit_test(test_a_shrunk_file_is_filled_with_zeros),
        cmocka_unit_test(test_a_grown_file_is_cut_to_its_announced_size),
        cmocka_unit_test(test_a_hook_can_end_the_creation),
        cmocka_unit_test(test_a_file_that_became_a_link_is_not_followed),
        cmocka_unit_test(test_unreadable_entries_are_left_out_with_a_warning),
        cmocka_unit_test(test_the_longest_symlink_target_is_archived),
        cmocka_unit_test(test_deep_trees_need_a_bounded_number_of_descriptors),
        cmocka_unit_test(test_a_directory_moved_while_it_is_read_ends_the_creation),
        cmocka_unit_test(test_mount_points_are_archived_empty_unless_allowed_and_virtual_ones_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
