/* SPDX-License-Identifier: MIT */
/* covers: CDM-124 PXAR-134 */
/* The check of files while memory runs out, at every place in turn: NOMEM comes back, nothing leaks, nothing stays open. */
#include "descriptors.h"
#include "pxar_data.h"

#include "client/check.h"

static void check_torture(const char *const *paths, size_t path_nr, bool has_errors)
{
    const int descriptors = open_descriptors();
    for (long nth = 0;; nth++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        const struct pbr_check_opts opts = { 0 };
        struct pbr_check_result r = { 0 };
        struct pbr_diag diag = { 0 };
        w.alloc_fault.nth = nth;
        const int rc = pbr_check_files(&env, paths, path_nr, &opts, &r, &diag);
        const bool hit = w.alloc_fault.hit;
        if (rc == PBR_OK) { /* a text may be shortened, a verdict never */
            check(has_errors == (r.errors > 0));
            pbr_check_result_release(&r);
        } else {
            check_int(rc, PBR_E_NOMEM);
            check(hit);
            check_u64(r.file_nr, 0);
        }
        check_int(diag.code, rc);
        check_int(w.live_allocs, 0);
        check_int(open_descriptors(), descriptors);
        if (!hit) {
            check(nth > 10);
            return;
        }
    }
}

static void test_intact_archives(void **state)
{
    (void)state;
    const char *const split[] = { GOLDEN "nested.mpxar", GOLDEN "nested.ppxar" };
    const char *const single[] = { GOLDEN "nested.pxar" };
    check_torture(split, 2, false);
    check_torture(single, 1, false);
}

/* The middle of the archive is zeros: the rest is reached by goodbye tables. */
static void test_archive_that_breaks_off_in_the_middle(void **state)
{
    (void)state;
    struct pxar_pair p = load_pair(GOLDEN "nested.mpxar");
    char path[] = "/tmp/pbsref-check-XXXXXX";
    const char *const paths[] = { path, GOLDEN "nested.ppxar" };
    const int fd = mkstemp(path);
    static const uint8_t zeros[8];
    check(fd >= 0);
    check_int(write(fd, p.archive.ptr, p.archive.len), (int)p.archive.len);
    check_int(pwrite(fd, zeros, sizeof(zeros), (off_t)p.archive.len / 2), (int)sizeof(zeros));
    close(fd);
    check_torture(paths, 2, true);
    unlink(path);
    unload_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intact_archives),
        cmocka_unit_test(test_archive_that_breaks_off_in_the_middle),
    };
    return cmocka_run_group_tests_name("client_check_torture", tests, NULL, NULL);
}
