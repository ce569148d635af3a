/* SPDX-License-Identifier: MIT */
/* covers: CDM-123 CDM-124 CDM-125 PXAR-134 PXAR-135 */
/* The check of files as a library call: findings, figures and bounds. What each defect is called is tested by
 * tests/e2e/test_check_defects.py. */
#include "pxar_data.h"

#include "client/check.h"

struct seen {
    char names[1024];
    char path[256]; /* of the last finding */
    uint64_t nr;
};

static void on_finding(void *ctx, const struct pbr_check_finding *f)
{
    struct seen *s = ctx;
    const size_t len = strlen(s->names);
    check(f->text[0] != 0 && f->file[0] != 0);
    s->nr++;
    snprintf(s->names + len, sizeof(s->names) - len, "%s ", f->name);
    snprintf(s->path, sizeof(s->path), "%.*s", (int)f->path.len, (const char *)f->path.ptr);
}

static void run(const struct pbr_env *env, const char *const *paths, size_t n, const struct pbr_check_opts *more,
                struct seen *seen, struct pbr_check_result *ret)
{
    struct pbr_check_opts opts = more ? *more : (struct pbr_check_opts){ 0 };
    struct pbr_diag diag = { 0 };
    *seen = (struct seen){ 0 };
    opts.report = on_finding;
    opts.ctx = seen;
    check_int(pbr_check_files(env, paths, n, &opts, ret, &diag), PBR_OK);
    check_int(diag.code, PBR_OK);
}

static void check_clean(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    char payload[512];
    struct seen seen;
    struct pbr_check_result r;
    const char *const paths[] = { path, payload };
    payload_path(path, payload);
    run(&env, paths, p->split ? 2 : 1, NULL, &seen, &r);
    check_str(seen.names, "");
    check_u64(r.errors + r.warnings + r.notes, 0);
    check_u64(r.file_nr, p->split ? 2u : 1u);
    check_u64(r.files[0].size, p->archive.len);
    check(r.files[0].entries > 0 && r.files[0].contents);
    if (p->split) {
        check_u64(r.files[1].size, p->payload.len);
        check(r.files[1].has_padding);
        check_u64(r.files[1].padding_bytes, 0);
    }
    pbr_check_result_release(&r);
    check_int(w.live_allocs, 0);
}

static void test_golden_archives_are_clean(void **state)
{
    (void)state;
    for_golden(check_clean);
}

/* A file of the test, gone when it ends. */
static void write_file(char path[64], struct pbr_span in)
{
    snprintf(path, 64, "/tmp/pbsref-check-XXXXXX");
    const int fd = mkstemp(path);
    check(fd >= 0);
    check_int(write(fd, in.ptr, in.len), (int)in.len);
    close(fd);
}

static void test_findings_are_bounded_per_file_and_name(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "nested.mpxar");
    uint8_t *zeros = calloc(1, p.payload.len);
    char meta_path[64], payload_file[64];
    struct seen seen;
    struct pbr_check_result r;
    assert_non_null(zeros);
    memcpy(zeros, p.payload.ptr, PBR_PXAR_HDR); /* the start marker tells what it is */
    write_file(meta_path, p.archive);
    write_file(payload_file, pbr_span(zeros, p.payload.len));
    const char *const paths[] = { meta_path, payload_file };
    const struct pbr_check_opts one = { .findings_max = 1 };
    run(&env, paths, 2, &one, &seen, &r);
    size_t name = 0;
    while (strcmp(pbr_check_name(name), "payload-header") != 0)
        name++;
    check(r.files[1].counts[name] > 2);
    check_u64(pbr_check_omitted(&one, &r.files[1], name), r.files[1].counts[name] - 1);
    check_u64(r.errors, r.files[1].counts[name] + 1);
    check_str(seen.names, "payload-header payload-tail-marker ");
    pbr_check_result_release(&r);
    unlink(meta_path);
    unlink(payload_file);
    free(zeros);
    unload_pair(&p);
    check_int(w.live_allocs, 0);
}

static void test_names_are_complete_and_unique(void **state)
{
    (void)state;
    size_t n = 0;
    for (; pbr_check_name(n); n++) {
        for (size_t k = 0; k < n; k++)
            check(strcmp(pbr_check_name(k), pbr_check_name(n)) != 0);
    }
    check(n > 40);
}

static void test_files_that_cannot_be_judged_are_refused(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    const struct pbr_check_opts opts = { 0 };
    struct pbr_check_result r = { 0 };
    const char *const none[] = { "/nonexistent/file" }, *const text[] = { "LICENSE" };
    check_int(pbr_check_files(&env, none, 1, &opts, &r, NULL), PBR_E_NOENT);
    check_int(pbr_check_files(&env, text, 1, &opts, &r, NULL), PBR_E_ARG);
    check_u64(r.file_nr, 0);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_archives_are_clean),
        cmocka_unit_test(test_findings_are_bounded_per_file_and_name),
        cmocka_unit_test(test_names_are_complete_and_unique),
        cmocka_unit_test(test_files_that_cannot_be_judged_are_refused),
    };
    return cmocka_run_group_tests_name("client_check", tests, NULL, NULL);
}
