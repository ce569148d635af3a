/* SPDX-License-Identifier: MIT */
/* covers: EXT-030 EXT-031 EXT-032 EXT-033 EXT-034 EXT-035 EXT-036 EXT-037 EXT-038 EXT-042 EXT-043
 * EXT-045 EXT-050 EXT-051 EXT-077 EXT-065 EXT-090 EXT-091 EXT-093 */
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "extract_util.h"
#include "format/pattern.h"

/* Scratch with `target` (not yet there) and `outside/victim`, which no archive may reach. */
struct place {
    struct scratch s;
    char *target, *outside;
};

static struct place place_make(void)
{
    struct place p = { .s = scratch_make() };
    p.target = scratch_path(&p.s, "target");
    p.outside = scratch_path(&p.s, "outside");
    assert_int_equal(mkdir(p.outside, 0755), 0);
    put_file(p.outside, "victim", "untouched\n");
    return p;
}

/* Nothing outside was changed, added or linked. */
static void check_outside(const struct place *p)
{
    struct stat st;
    char *text = get_file(p->outside, "victim");
    assert_non_null(text);
    check_str(text, "untouched\n");
    free(text);
    check(stat_in(p->outside, "victim", &st));
    check_int(st.st_nlink, 1);
    check_int(st.st_mode & 07777, 0644);
    check(!stat_in(p->outside, "new", &st));
    check(stat_in(p->outside, ".", &st));
    check_int(st.st_mode & 07777, 0755);
}

static void place_remove(struct place *p)
{
    check_outside(p);
    scratch_remove(&p->s);
    free(p->target);
    free(p->outside);
}

static void verify_text(const char *dir, const char *name, const char *want)
{
    char *text = get_file(dir, name);
    if (!text)
        print_error("%s/%s is no regular file\n", dir, name);
    assert_non_null(text);
    check_str(text, want);
    free(text);
}

static void check_hardlink_case(const char *path, size_t path_len, const char *rule)
{
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, "first", "1");
    arch_symlink(&a, "out", "../outside");
    arch_hardlink(&a, "link", path, path_len);
    arch_text(&a, "zlast", "2");
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target,
                (struct pbr_extract_opts){ .overwrite_hardlinks = true });
    if (rule[0] == 'P') {
        check_int(o.rc, PBR_E_FORMAT);
        check_str(o.diag.rule, rule);
    } else {
        check_int(o.rc, PBR_E_PARTIAL);
        check_int(o.stats.failed, 1);
        check_str(o.last_rule, rule);
        verify_text(p.target, "zlast", "2");
    }
    check(!stat_in(p.target, "link", &st));
    arch_release(&a);
    place_remove(&p);
}

static void test_hard_links_never_reach_outside(void **state)
{
    (void)state;
    check_hardlink_case("../outside/victim", 17, "EXT-034");
    check_hardlink_case("first/../../outside/victim", 26, "EXT-034");
    check_hardlink_case("./first", 7, "EXT-034");
    check_hardlink_case("a//b", 4, "EXT-034");
    check_hardlink_case("first/", 6, "EXT-034");
    check_hardlink_case("", 0, "EXT-034");
    check_hardlink_case("fi\0rst", 6, "PXAR-073"); /* by the decoder */
    check_hardlink_case("/etc/passwd", 11, "EXT-033");
    check_hardlink_case("out/victim", 10,
                  ""); /* through a symlink of the archive: the operating system says no */
    check_hardlink_case("first/x", 7, "");
}

static void test_a_hard_link_to_a_symlink_links_the_symlink_itself(void **state)
{
    (void)state;
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat one, two;
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, "afile", "1");
    arch_symlink(&a, "s", "../outside/victim");
    arch_hardlink(&a, "t", "s", 1);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_OK);
    check(stat_in(p.target, "s", &one) && stat_in(p.target, "t", &two));
    check(one.st_ino == two.st_ino && S_ISLNK(two.st_mode));
    arch_release(&a);
    place_remove(&p);
}

static void test_hard_links_join_names_in_different_directories(void **state)
{
    (void)state;
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat one, two;
    arch_init(&a);
    arch_root(&a);
    arch_dir(&a, "a");
    arch_dir(&a, "b");
    arch_dir(&a, "c");
    arch_text(&a, "f", "content");
    arch_end(&a);
    arch_end(&a);
    arch_end(&a);
    arch_dir(&a, "z");
    arch_hardlink(&a, "link", "a/b/c/f", 7);
    arch_hardlink(&a, "none", "a/b/x/f", 7);
    arch_end(&a);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_E_PARTIAL);
    check_int(o.stats.failed, 1);
    check(strstr(o.said, "ENOENT: ") != NULL);
    check(stat_in(p.target, "a/b/c/f", &one) && stat_in(p.target, "z/link", &two));
    check(one.st_ino == two.st_ino);
    arch_release(&a);
    place_remove(&p);
}

static void test_a_symlink_is_never_entered_as_a_directory(void **state)
{
    (void)state;
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    arch_init(&a);
    arch_root(&a);
    arch_symlink(&a, "x", "../outside");
    arch_dir(&a, "x");
    arch_text(&a, "new", "evil");
    arch_dir(&a, "sub");
    arch_text(&a, "deep", "evil");
    arch_end(&a);
    arch_end(&a);
    arch_text(&a, "zlast", "fine");
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target,
                (struct pbr_extract_opts){ .allow_existing_dirs = true, .overwrite_files = true });
    check_int(o.rc, PBR_E_PARTIAL);
    check_int(
        o.stats.failed,
        4); /* the directory and each entry below it, once, and nothing at the end [EXT-093] */
    check_int(o.errors, 4);
    check_str(o.last_rule, "EXT-035");
    check_int(o.stats.dirs, 1);
    check(stat_in(p.target, "x", &st) && S_ISLNK(st.st_mode));
    verify_text(p.target, "zlast", "fine");
    check(stat_in(p.target, ".", &st)); /* the root was finished */
    check_int(st.st_mtim.tv_sec, 1700000000);
    arch_release(&a);
    place_remove(&p);
}

static void test_overwriting_a_file_never_writes_through_a_link(void **state)
{
    (void)state;
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    arch_init(&a);
    arch_root(&a);
    arch_symlink(&a, "f", "../outside/victim");
    arch_text(&a, "f", "new");
    arch_symlink(&a, "g", "../outside/new"); /* dangling */
    arch_text(&a, "g", "new");
    arch_name(&a, "h");
    arch_entry(&a, PBR_MODE_FIFO | 0600);
    arch_text(&a, "h", "no waiting for a reader");
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target,
                (struct pbr_extract_opts){ .overwrite_files = true });
    check_int(o.rc, PBR_OK);
    verify_text(p.target, "f", "new");
    verify_text(p.target, "g", "new");
    verify_text(p.target, "h", "no waiting for a reader");
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_E_PARTIAL);
    check_int(o.stats.failed, 6); /* without the option everything stays [EXT-051] */
    check(stat_in(p.target, "f", &st) && S_ISREG(st.st_mode));
    arch_release(&a);
    place_remove(&p);
}

static void test_overwriting_leaves_other_names_of_the_old_file_alone(void **state)
{
    (void)state;
    struct place p = place_make();
    char *victim = scratch_path(&p.s, "outside/victim");
    char *inside = scratch_path(&p.s, "target/f");
    struct arch a;
    struct outcome o;
    assert_int_equal(mkdir(p.target, 0755), 0);
    assert_int_equal(link(victim, inside), 0);
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, "f", "new");
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target,
                (struct pbr_extract_opts){ .overwrite_files = true });
    check_int(o.rc, PBR_OK);
    verify_text(p.target, "f", "new");
    arch_release(&a);
    free(victim);
    free(inside);
    place_remove(&p);
}

static void test_a_second_entry_of_the_same_name_fails_or_overwrites(void **state)
{
    (void)state;
    for (int overwrite = 0; overwrite < 2; overwrite++) {
        struct place p = place_make();
        struct arch a;
        struct outcome o;
        arch_init(&a);
        arch_root(&a);
        arch_text(&a, "f", "the longer first text");
        arch_text(&a, "f", "second");
        arch_end(&a);
        extract_dir(&o, pbr_buf_span(&a.out), p.target,
                    (struct pbr_extract_opts){ .overwrite_files = overwrite });
        check_int(o.rc, overwrite ? PBR_OK : PBR_E_PARTIAL);
        verify_text(p.target, "f", overwrite ? "second" : "the longer first text");
        arch_release(&a);
        place_remove(&p);
    }
}

static void check_name_case(const void *name, size_t len)
{
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, "before", "b");
    arch_name_n(&a, name, len);
    arch_entry(&a, PBR_MODE_REG | 0644);
    arch_item(&a, PBR_PXAR_PAYLOAD, "evil", 4);
    arch_text(&a, "later", "l");
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target,
                (struct pbr_extract_opts){ .overwrite_files = true });
    check(o.rc == PBR_E_FORMAT || (len > PBR_NAME_MAX && o.rc == PBR_E_LIMIT));
    verify_text(p.target, "before", "b");
    check(!stat_in(p.target, "later", &st)); /* fatal, also when errors of entries are not */
    arch_release(&a);
    place_remove(&p);
}

static void test_names_that_are_not_one_component_end_extraction(void **state)
{
    static char longest[PBR_NAME_MAX + 1];
    (void)state;
    check_name_case("../outside/new", 14);
    check_name_case("a/b", 3);
    check_name_case("/abs", 4);
    check_name_case("..", 2);
    check_name_case(".", 1);
    check_name_case("", 0);
    check_name_case("a\0b", 3);
    memset(longest, 'n', sizeof(longest));
    check_name_case(longest, sizeof(longest));
}

static void test_a_name_longer_than_the_file_system_allows_is_an_error_of_its_entry(void **state)
{
    (void)state;
    static char name[301];
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    memset(name, 'n', 300);
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, name, "x");
    arch_text(&a, "z", "x");
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_E_PARTIAL);
    check_int(o.stats.files, 1);
    arch_release(&a);
    place_remove(&p);
}

/* With names of eight bytes, so that paths soon are longer than the system's limit. */
static void deep_archive(struct arch *a, unsigned levels)
{
    arch_init(a);
    arch_root(a);
    for (unsigned i = 0; i < levels; i++)
        arch_dir(a, "directry");
    arch_text(a, "leaf", "bottom");
    for (unsigned i = 0; i < levels; i++)
        arch_end(a);
    arch_text(a, "zlast", "top");
    arch_end(a);
}

static void test_deep_trees_are_extracted_with_few_descriptors(void **state)
{
    (void)state;
    struct place p = place_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct faulty f;
    struct pbr_target fs, target;
    struct arch a;
    struct outcome o = { .world = { .alloc_fault = { .nth = -1 } } };
    deep_archive(&a, 1100);
    assert_int_equal(pbr_target_fs_open(&env, p.target, &fs, NULL), PBR_OK);
    target = faulty_target(&f, fs);
    extract_to(&o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &target,
               (struct pbr_extract_opts){ .open_dirs_max = 10 }, 0);
    check_int(o.rc, PBR_OK);
    check_int(o.stats.dirs, 1101);
    check_int(o.stats.files, 2);
    check_int(f.open_nodes, 0);
    check(f.most_open <= 12); /* budget, the one just opened, and a file */
    verify_text(p.target, "zlast", "top");
    int dir = open(p.target, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 1100; i++) {
        struct stat st;
        const int next = openat(dir, "directry", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        assert_int_equal(fstat(next, &st), 0);
        if ((st.st_mode & 07777) != 0750 || st.st_mtim.tv_sec != 1700000000)
            fail_msg("level %d has mode %o", i, st.st_mode);
        close(dir);
        dir = next;
    }
    check_int(faccessat(dir, "leaf", F_OK, 0), 0);
    close(dir);
    pbr_target_close(&fs);
    arch_release(&a);
    place_remove(&p);
}

static void test_absurd_nesting_is_refused_by_the_limit(void **state)
{
    (void)state;
    struct place p = place_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_pattern_list nothing; /* the limit holds all the same, and nothing is created */
    struct arch a;
    struct outcome o;
    deep_archive(&a, 10000);
    pbr_pattern_list_init(&nothing, &env);
    assert_int_equal(pbr_pattern_list_add(&nothing, pbr_span_str("nothing"), true, false, NULL),
                     PBR_OK);
    extract_dir(&o, pbr_buf_span(&a.out), p.target,
                (struct pbr_extract_opts){ .patterns = &nothing });
    check_int(o.rc, PBR_E_LIMIT);
    check_int(o.stats.dirs, 1);
    pbr_pattern_list_release(&nothing);
    arch_release(&a);
    place_remove(&p);
}

/* A target whose ".." leads to the root: as if the directory had been moved there meanwhile. */
static int open_root_instead(void *ctx, int dir)
{
    const int *root = ctx; /* the real operations ignore ctx */
    (void)dir;
    return dup(*root);
}

static void test_a_directory_moved_away_meanwhile_ends_extraction(void **state)
{
    (void)state;
    struct place p = place_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_target target;
    struct arch a;
    struct outcome o = { .world = { .alloc_fault = { .nth = -1 } } };
    deep_archive(&a, 8);
    assert_int_equal(pbr_target_fs_open(&env, p.target, &target, NULL), PBR_OK);
    struct pbr_target_ops ops = *target.ops;
    ops.open_up = open_root_instead;
    struct pbr_target moved = { &ops, &target.root, target.root };
    extract_to(&o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &moved,
               (struct pbr_extract_opts){ .open_dirs_max = 2 }, 0);
    check_int(o.rc, PBR_E_STATE);
    check_str(o.diag.rule, "EXT-032");
    pbr_target_close(&target);
    arch_release(&a);
    place_remove(&p);
}

/* ---- contents and attributes ---- */

static void test_a_file_cut_short_is_named_as_incomplete(void **state)
{
    (void)state;
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    uint8_t hdr[PBR_PXAR_HDR];
    arch_init(&a);
    arch_root(&a);
    arch_text(&a, "afirst", "whole");
    arch_dir(&a, "d");
    arch_name(&a, "huge");
    arch_entry(&a, PBR_MODE_REG | 0644);
    pbr_pxar_hdr_emit(hdr, PBR_PXAR_PAYLOAD, UINT64_C(1) << 50);
    assert_int_equal(pbr_buf_append(&a.out, pbr_span(hdr, sizeof(hdr))), PBR_OK);
    assert_int_equal(pbr_buf_append(&a.out, pbr_span_str("only this")), PBR_OK);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_E_TRUNCATED);
    check_str(o.incomplete, "/d/huge");
    check_int(o.stats.incomplete, 1);
    check_int(o.stats.files, 1);
    verify_text(p.target, "d/huge", "only this"); /* nothing is allocated from the announced size */
    verify_text(p.target, "afirst", "whole");
    arch_release(&a);
    place_remove(&p);
}

static void test_mode_bits_beyond_the_permissions_are_an_error(void **state)
{
    (void)state;
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    arch_init(&a);
    arch_root(&a);
    arch_name(&a, "d");
    arch_entry(&a, PBR_MODE_DIR | 0755 | UINT64_C(0x100000000));
    arch_text(&a, "inside", "x");
    arch_end(&a);
    arch_name(&a, "f");
    arch_entry(&a, PBR_MODE_REG | 0644 | UINT64_C(0x40000));
    arch_item(&a, PBR_PXAR_PAYLOAD, "content", 7);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_E_PARTIAL);
    check_str(o.last_rule, "EXT-042");
    check_int(o.stats.failed, 3);
    check(!stat_in(p.target, "d", &st));
    check(stat_in(p.target, "f", &st));
    check_int(st.st_mode & 07777, 0600);
    check_int(st.st_mtim.tv_sec,
              1700000000); /* the steps after the failed one were done [EXT-081] */
    verify_text(p.target, "f", "content");
    arch_release(&a);
    place_remove(&p);
}

static void test_a_time_that_is_none_is_an_error(void **state)
{
    (void)state;
    static const uint32_t values[] = { 1000000000, 0x3fffffff /* UTIME_NOW */,
                                       0x3ffffffe /* UTIME_OMIT */, UINT32_MAX };
    for (size_t i = 0; i < 4; i++) {
        struct place p = place_make();
        struct arch a;
        struct outcome o;
        arch_init(&a);
        arch_root(&a);
        arch_name(&a, "f");
        arch_entry_full(&a, PBR_MODE_REG | 0644 | 0x40000, 0, 1700000000,
                        values[i]); /* a second fault: the mode */
        arch_item(&a, PBR_PXAR_PAYLOAD, "content", 7);
        arch_end(&a);
        extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
        check_int(o.rc, PBR_E_PARTIAL);
        check_int(o.errors, 2);
        check_int(o.stats.failed, 1); /* two errors of one entry */
        check_str(o.last_rule, "EXT-077");
        arch_release(&a);
        place_remove(&p);
    }
}

static void test_attributes_that_are_not_for_archives_are_left_out(void **state)
{
    (void)state;
    static const char bad[][32] = { "security.selinux", "system.posix_acl_access",
                                    "btrfs.compression", "user", "" };
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    char long_name[300] = "user.";
    memset(long_name + 5, 'x', 251); /* 256 bytes */
    arch_init(&a);
    arch_root(&a);
    arch_name(&a, "f");
    arch_entry(&a, PBR_MODE_REG | 0644);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        arch_item(&a, PBR_PXAR_XATTR, bad[i], strlen(bad[i]) + 1);
    arch_item(&a, PBR_PXAR_XATTR, long_name, 257);
    arch_item(&a, PBR_PXAR_PAYLOAD, "content", 7);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, PBR_OK);
    check_int(o.infos, 6);
    check_int(o.errors, 0);
    verify_text(p.target, "f", "content");
    arch_release(&a);
    place_remove(&p);
}

static void check_link_target_case(const void *content, size_t len, int rc, const char *rule)
{
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    arch_init(&a);
    arch_root(&a);
    arch_name(&a, "s");
    arch_entry(&a, PBR_MODE_SYMLINK | 0777);
    arch_item(&a, PBR_PXAR_SYMLINK, content, len);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    check_int(o.rc, rc);
    if (rule)
        check_str(o.diag.rule, rule);
    check(!stat_in(p.target, "s", &st));
    arch_release(&a);
    place_remove(&p);
}

static void test_symlinks_that_cannot_be_are_refused(void **state)
{
    static char longest[4097];
    (void)state;
    check_link_target_case("a\0b", 4, PBR_E_FORMAT, "PXAR-072");
    check_link_target_case("", 1, PBR_E_PARTIAL, "EXT-004"); /* ENOENT [EXT-038] */
    memset(longest, 'l', sizeof(longest) - 1);
    check_link_target_case(longest, sizeof(longest), PBR_E_PARTIAL, "EXT-004"); /* ENAMETOOLONG */
}

static void test_strict_ends_with_the_first_error(void **state)
{
    (void)state;
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    arch_init(&a);
    arch_root(&a);
    arch_dir(&a, "d");
    arch_text(&a, "f", "1");
    arch_text(&a, "f", "2");
    arch_text(&a, "g", "3");
    arch_end(&a);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ .strict = true });
    check_int(o.rc, PBR_E_IO);
    check_int(o.diag.os_errno, EEXIST);
    check_str(o.diag.text, "encountered unexpected error during extraction: error at entry \"f\": "
                           "failed to extract file: "
                           "failed to create file \"f\": EEXIST: File exists");
    check_int(o.notes, 1);
    check(!stat_in(p.target, "d/g", &st));
    check(stat_in(p.target, "d", &st)); /* open directories get no metadata [EXT-091] */
    check_int(st.st_mode & 07777, 0700);
    arch_release(&a);
    place_remove(&p);
}

static bool set_flags(const char *dir, const char *name, unsigned flags)
{
    char *path = NULL;
    unsigned bits[2] = { flags, 0 };
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    const int fd = open(path, O_RDONLY);
    free(path);
    const bool fine = fd >= 0 && ioctl(fd, FS_IOC_SETFLAGS, bits) == 0;
    close(fd);
    return fine;
}

static unsigned get_flags(const char *dir, const char *name)
{
    char *path = NULL;
    unsigned bits[2] = { 0 };
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    const int fd = open(path, O_RDONLY);
    free(path);
    check(fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, bits) == 0);
    close(fd);
    return bits[0];
}

static void test_immutable_files_get_their_hard_links_first(void **state)
{
    (void)state;
    struct place p = place_make();
    struct arch a;
    struct outcome o;
    struct stat st;
    if (geteuid() != 0 || !set_flags(p.outside, "victim", FS_IMMUTABLE_FL)) {
        place_remove(&p);
        SKIP("needs the right to set immutable flags and a file system that has them");
    }
    check(set_flags(p.outside, "victim", 0));
    arch_init(&a);
    arch_root(&a);
    arch_dir(&a, "d");
    arch_name(&a, "f");
    arch_entry_full(&a, PBR_MODE_REG | 0644, 0x00420000 /* IMMUTABLE, NOATIME */, 1700000000, 0);
    arch_item(&a, PBR_PXAR_PAYLOAD, "content", 7);
    arch_end(&a);
    arch_hardlink(&a, "link", "d/f", 3);
    arch_end(&a);
    extract_dir(&o, pbr_buf_span(&a.out), p.target, (struct pbr_extract_opts){ 0 });
    const unsigned flags = get_flags(p.target, "link");
    check(set_flags(p.target, "link", 0)); /* before anything can fail: else the scratch stays */
    check_int(o.rc, PBR_OK);
    check_int(flags & (FS_IMMUTABLE_FL | FS_NOATIME_FL), FS_IMMUTABLE_FL | FS_NOATIME_FL);
    check(stat_in(p.target, "link", &st));
    check_int(st.st_nlink, 2);
    check_int(st.st_mtim.tv_sec, 1700000000);
    arch_release(&a);
    place_remove(&p);
}

/* A target with inode flags whatever the file system: counts how often IMMUTABLE is set, or refuses
 * it. */
struct flag_target {
    struct pbr_target_ops ops;
    unsigned immutable_nr;
    bool refuse;
};

static int get_no_flags(void *ctx, int node, uint32_t *ret)
{
    (void)ctx;
    (void)node;
    *ret = 0;
    return 0;
}

static int set_counted_flags(void *ctx, int node, uint32_t bits)
{
    struct flag_target *t = ctx; /* the real operations ignore ctx */
    (void)node;
    if ((bits & FS_IMMUTABLE_FL) && t->refuse)
        return -EPERM;
    t->immutable_nr += (bits & FS_IMMUTABLE_FL) != 0;
    return 0;
}

/* "f" is immutable and, with `replaced`, a later entry makes it a second name of "g", which is not.
 */
static void late_flag_case(struct flag_target *t, struct outcome *o, bool replaced, bool strict)
{
    struct place p = place_make();
    struct test_world world;
    struct pbr_env env = test_env(&world);
    struct pbr_target fs;
    struct arch a;
    arch_init(&a);
    arch_root(&a);
    arch_dir(&a, "d");
    arch_name(&a, "f");
    arch_entry_full(&a, PBR_MODE_REG | 0644, 0x00400000 /* IMMUTABLE */, 1700000000, 0);
    arch_item(&a, PBR_PXAR_PAYLOAD, "content", 7);
    arch_text(&a, "g", "other");
    if (replaced)
        arch_hardlink(&a, "f", "d/g", 3);
    arch_end(&a);
    arch_end(&a);
    assert_int_equal(pbr_target_fs_open(&env, p.target, &fs, NULL), PBR_OK);
    t->ops = *fs.ops;
    t->ops.get_inode_flags = get_no_flags;
    t->ops.set_inode_flags = set_counted_flags;
    const struct pbr_target target = { &t->ops, t, fs.root };
    *o = (struct outcome){ .world = { .alloc_fault = { .nth = -1 } } };
    extract_to(o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &target,
               (struct pbr_extract_opts){ .strict = strict, .overwrite_hardlinks = true }, 0);
    pbr_target_close(&fs);
    arch_release(&a);
    place_remove(&p);
}

static void test_late_flags_reach_only_the_file_they_belong_to(void **state)
{
    (void)state;
    struct flag_target t = { .refuse = false };
    struct outcome o;
    late_flag_case(&t, &o, false, false);
    check_int(o.rc, PBR_OK);
    check_int(t.immutable_nr, 1);
    t = (struct flag_target){ .refuse = false };
    late_flag_case(&t, &o, true, false);
    check_int(t.immutable_nr, 0);
    check_int(o.rc, PBR_E_PARTIAL);
    check(strstr(o.said, "error at \"/d/f\"") && strstr(o.said, "ESTALE: "));
}

static void test_late_flags_that_are_refused_are_errors(void **state)
{
    (void)state;
    struct flag_target t = { .refuse = true };
    struct outcome o;
    late_flag_case(&t, &o, false, false);
    check_int(o.rc, PBR_E_PARTIAL);
    check_int(o.stats.failed, 1);
    check(strstr(o.said, "error at \"/d/f\"") &&
          strstr(o.said, "failed to set inode flags\n    3: EPERM: "));
    late_flag_case(&t, &o, false, true);
    check_int(o.rc, PBR_E_IO);
    check_int(o.diag.os_errno, EPERM);
}

/* From here on openat2 does not exist for this process, as on kernels before 5.6. */
static bool forbid_openat2(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]),
                                        .filter = filter };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static const char again[] = "PBR_TEST_WITHOUT_OPENAT2";

/* All tests of this file once more, in a process that cannot call openat2. */
static void test_all_of_it_holds_without_openat2(void **state)
{
    if (getenv("PBR_TEST_SLOW")) /* set by make check-valgrind */
        SKIP("Valgrind needs system calls that the seccomp filter refuses");
    (void)state;
    if (getenv(again))
        return;
    const char *const argv[] = { "/proc/self/exe", NULL };
    assert_int_equal(setenv(again, "1", 1), 0);
    const int status = run_program(argv);
    assert_int_equal(unsetenv(again), 0);
    if (status == 77)
        SKIP("this system does not allow system call filters");
    check_int(status, 0);
}

int main(void)
{
    if (getenv(again) && !forbid_openat2())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hard_links_never_reach_outside),
        cmocka_unit_test(test_a_hard_link_to_a_symlink_links_the_symlink_itself),
        cmocka_unit_test(test_hard_links_join_names_in_different_directories),
        cmocka_unit_test(test_a_symlink_is_never_entered_as_a_directory),
        cmocka_unit_test(test_overwriting_a_file_never_writes_through_a_link),
        cmocka_unit_test(test_overwriting_leaves_other_names_of_the_old_file_alone),
        cmocka_unit_test(test_a_second_entry_of_the_same_name_fails_or_overwrites),
        cmocka_unit_test(test_names_that_are_not_one_component_end_extraction),
        cmocka_unit_test(test_a_name_longer_than_the_file_system_allows_is_an_error_of_its_entry),
        cmocka_unit_test(test_deep_trees_are_extracted_with_few_descriptors),
        cmocka_unit_test(test_absurd_nesting_is_refused_by_the_limit),
        cmocka_unit_test(test_a_directory_moved_away_meanwhile_ends_extraction),
        cmocka_unit_test(test_a_file_cut_short_is_named_as_incomplete),
        cmocka_unit_test(test_mode_bits_beyond_the_permissions_are_an_error),
        cmocka_unit_test(test_a_time_that_is_none_is_an_error),
        cmocka_unit_test(test_attributes_that_are_not_for_archives_are_left_out),
        cmocka_unit_test(test_symlinks_that_cannot_be_are_refused),
        cmocka_unit_test(test_strict_ends_with_the_first_error),
        cmocka_unit_test(test_immutable_files_get_their_hard_links_first),
        cmocka_unit_test(test_late_flags_reach_only_the_file_they_belong_to),
        cmocka_unit_test(test_late_flags_that_are_refused_are_errors),
        cmocka_unit_test(test_all_of_it_holds_without_openat2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
