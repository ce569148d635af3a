/* SPDX-License-Identifier: MIT */
/* covers: EXT-010 EXT-011 EXT-012 EXT-014 EXT-044 EXT-060 EXT-061 EXT-062 EXT-064 EXT-066 EXT-069
 * EXT-070 EXT-075 EXT-077 EXT-078 EXT-102 */
/* Every golden archive is extracted; what came out is compared by the independent Python reader and
 * walker with the archive and with the tree that the archive was made of
 * (golden_extract_compare.py). */
#include <dirent.h>

#include "extract_util.h"

static const char golden_dir[] = "testdata/golden/pxar";

static bool ends(const char *name, const char *suffix)
{
    return pbr_span_ends(pbr_span_str(name), suffix);
}

static char *golden_path(const char *base, const char *ending)
{
    char *out = NULL;
    assert_true(asprintf(&out, "%s/%s%s", golden_dir, base, ending) > 0);
    return out;
}

/* Extracts golden archive `name` (NAME.pxar or NAME.mpxar) to dir/NAME.v1 or dir/NAME.split. */
static void extract_golden(const char *name, const char *dir, size_t step)
{
    struct outcome o = { .world = { .alloc_fault = { .nth = -1 } } };
    struct pbr_target target;
    struct test_world world;
    struct pbr_env env = test_env(&world);
    const bool split = ends(name, ".mpxar");
    char *base = strndup(name, strlen(name) - (split ? 6 : 5));
    char *meta_path = golden_path(name, "");
    char *payload_path = golden_path(base, ".ppxar");
    char *out = NULL;
    assert_true(asprintf(&out, "%s/%s.%s", dir, base, split ? "split" : "v1") > 0);
    const struct pbr_span meta = test_load(meta_path);
    const struct pbr_span payload = split ? test_load(payload_path) : pbr_span(NULL, 0);
    assert_int_equal(pbr_target_fs_open(&env, out, &target, NULL), PBR_OK);
    extract_to(&o, meta, payload, &target, (struct pbr_extract_opts){ 0 }, step);
    if (o.rc != PBR_OK)
        print_error("%s: %s\n%s", name, o.diag.text, o.said);
    check_int(o.rc, PBR_OK);
    check_int(o.errors, 0);
    pbr_target_close(&target);
    test_unload(meta);
    if (split)
        test_unload(payload);
    free(base);
    free(meta_path);
    free(payload_path);
    free(out);
}

/* Large payload streams are only described by their digest in golden.json. */
static bool is_stored(const char *name)
{
    if (!ends(name, ".mpxar"))
        return ends(name, ".pxar") && !ends(name, ".ppxar");
    char *base = strndup(name, strlen(name) - 6);
    char *payload_path = golden_path(base, ".ppxar");
    const bool there = access(payload_path, R_OK) == 0;
    free(base);
    free(payload_path);
    return there;
}

static unsigned extract_all(const char *dir, size_t step)
{
    DIR *d = opendir(golden_dir);
    unsigned nr = 0;
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (!is_stored(e->d_name))
            continue;
        extract_golden(e->d_name, dir, step);
        nr++;
    }
    closedir(d);
    return nr;
}

static void check_all(size_t step)
{
    const struct scratch s = scratch_make();
    char *extracted = scratch_path(&s, "extracted");
    char *trees = scratch_path(&s, "trees");
    assert_int_equal(mkdir(extracted, 0755), 0);
    assert_int_equal(mkdir(trees, 0755), 0);
    const unsigned nr = extract_all(extracted, step);
    check(nr >= 80);
    const char *const argv[] = { "/usr/bin/python3", "tests/unit/golden_extract_compare.py",
                                 extracted, trees, NULL };
    check_int(run_program(argv), 0);
    free(extracted);
    free(trees);
    scratch_remove(&s);
}

static void test_golden_archives_give_their_trees_back(void **state)
{
    (void)state;
    if (geteuid() != 0)
        SKIP("owners, devices and trusted attributes need root");
    check_all(0);
}

static void test_the_result_does_not_depend_on_how_the_input_arrives(void **state)
{
    (void)state;
    if (geteuid() != 0)
        SKIP("owners, devices and trusted attributes need root");
    check_all(1021);
}

static uint64_t allocated(const char *dir, const char *name)
{
    struct stat st;
    check(stat_in(dir, name, &st));
    return (uint64_t)st.st_blocks * 512;
}

/* Blocks of zeros become holes; where the input is cut does not matter. */
static void test_zero_blocks_are_not_written(void **state)
{
    (void)state;
    static uint8_t content[200000];
    static const size_t steps[] = { 0, 4095, 4096, 5000 };
    uint64_t rng = 5;
    for (size_t i = 0; i < 10000; i++) /* 0..9999 data, then zeros, one byte, zeros to the end */
        content[i] = (uint8_t)(test_next_random(&rng) | 1);
    content[100000] = 1;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const struct scratch s = scratch_make();
        struct outcome o = { .world = { .alloc_fault = { .nth = -1 } } };
        struct test_world world;
        struct pbr_env env = test_env(&world);
        struct pbr_target fs;
        struct faulty f;
        struct stat st;
        struct arch a;
        arch_init(&a);
        arch_root(&a);
        arch_file(&a, "mixed", content, sizeof(content));
        arch_file(&a, "zeros", content + 120000, 70000);
        arch_file(&a, "aligned", content, 8192);
        arch_end(&a);
        assert_int_equal(pbr_target_fs_open(&env, s.path, &fs, NULL), PBR_OK);
        const struct pbr_target target = faulty_target(&f, fs);
        extract_to(&o, pbr_buf_span(&a.out), pbr_span(NULL, 0), &target,
                   (struct pbr_extract_opts){ 0 }, steps[i]);
        check_int(o.rc, PBR_OK);
        check_u64(o.stats.bytes, sizeof(content) + 70000 + 8192);
        check(stat_in(s.path, "mixed", &st));
        check_int(st.st_size, sizeof(content));
        check(allocated(s.path, "mixed") <= 4 * 4096);
        check(allocated(s.path, "zeros") == 0);
        check_int(allocated(s.path, "aligned"), 8192);
        char *path = scratch_path(&s, "mixed");
        const struct pbr_span got = test_load(path);
        check_span(got, pbr_span(content, sizeof(content)));
        test_unload(got);
        free(path);
        pbr_target_close(&fs);
        arch_release(&a);
        scratch_remove(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_archives_give_their_trees_back),
        cmocka_unit_test(test_the_result_does_not_depend_on_how_the_input_arrives),
        cmocka_unit_test(test_zero_blocks_are_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
