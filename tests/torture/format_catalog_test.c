/* SPDX-License-Identifier: MIT */
/* covers: CAT-002 CAT-041 */
#include "format/catalog.h"
#include "test.h"

/* Enough entries that every table of the writer has to grow. */
static int write_catalog(const struct pbr_env *env, struct pbr_sink *sink, struct pbr_diag *diag)
{
    struct pbr_pcat_writer *w = NULL;
    struct pbr_pcat_entry e = { .type = PBR_PCAT_FILE,
                                .name = pbr_span_str("a-name-of-some-length"),
                                .size = 300 };
    int rc = pbr_pcat_writer_new(env, sink, &w, diag);
    for (int i = 0; rc == PBR_OK && i < 20; i++)
        rc = pbr_pcat_writer_start_dir(w, pbr_span_str("dir"), diag);
    for (int i = 0; rc == PBR_OK && i < 20; i++)
        rc = pbr_pcat_writer_add(w, &e, diag);
    for (int i = 0; rc == PBR_OK && i < 20; i++) {
        rc = pbr_pcat_writer_end_dir(w, diag);
        for (int k = 0; rc == PBR_OK && k < 10; k++) {
            rc = pbr_pcat_writer_start_dir(w, pbr_span_str("dir"), diag);
            if (rc == PBR_OK)
                rc = pbr_pcat_writer_end_dir(w, diag);
        }
    }
    if (rc == PBR_OK)
        rc = pbr_pcat_writer_finish(w, diag);
    if (rc < 0 && w) /* a broken writer stays broken */
        assert_int_equal(pbr_pcat_writer_finish(w, NULL), PBR_E_STATE);
    pbr_pcat_writer_free(w);
    return rc;
}

static int read_catalog(const struct pbr_env *env, const struct pbr_source *src, long *ret_nr,
                        struct pbr_diag *diag)
{
    struct pbr_pcat *cat = NULL;
    struct pbr_pcat_walk *walk = NULL;
    struct pbr_pcat_entry e;
    long n = 0;
    int rc = pbr_pcat_open(env, src, &cat, diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_lookup(cat, pbr_span_str("dir/dir/dir"), &e, diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, diag);
    while (rc >= 0 && (rc = pbr_pcat_walk_next(walk, &e, diag)) == 1)
        n++;
    pbr_pcat_walk_free(walk);
    pbr_pcat_free(cat);
    if (rc == 0)
        *ret_nr = n;
    return rc;
}

/* A catalog in memory that no fault counts for. */
static struct pbr_span make(struct pbr_buf *out, struct test_world *w, const struct pbr_env *env)
{
    struct pbr_sink sink = pbr_sink_buf(out);
    (void)w;
    pbr_buf_init(out, env, 1 << 20);
    assert_int_equal(write_catalog(env, &sink, NULL), PBR_OK);
    return pbr_buf_span(out);
}

static int null_write(void *ctx, struct pbr_span in, struct pbr_diag *diag)
{
    (void)ctx;
    (void)in;
    (void)diag;
    return PBR_OK;
}

static void test_writer_reports_every_failing_allocation_and_leaks_nothing(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        struct pbr_sink sink = { .write = null_write };
        w.alloc_fault = (struct pbr_fault){ .nth = nth, .sticky = nth % 2 };
        const int rc = write_catalog(&env, &sink, NULL);
        check_int(w.live_allocs, 0);
        check_int(rc, w.alloc_fault.hit ? PBR_E_NOMEM : PBR_OK);
        if (!w.alloc_fault.hit) {
            check(nth > 40);
            break;
        }
    }
}

static void test_writer_passes_every_failing_write_on(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct test_world w;
        const struct pbr_env env = test_env(&w);
        struct pbr_fault fault = { .nth = nth };
        struct pbr_sink_fault faulty = { { .write = null_write }, &fault };
        struct pbr_sink sink = pbr_sink_faulty(&faulty);
        struct pbr_diag d = { 0 };
        const int rc = write_catalog(&env, &sink, &d);
        check_int(w.live_allocs, 0);
        check_int(rc, fault.hit ? PBR_E_IO : PBR_OK);
        if (!fault.hit)
            break;
        check_str(d.text, "injected write error");
    }
}

static void test_reader_reports_every_failing_allocation_and_read(void **state)
{
    (void)state;
    struct test_world outer;
    const struct pbr_env outer_env = test_env(&outer);
    struct pbr_buf out;
    const struct pbr_span file = make(&out, &outer, &outer_env);
    for (int reads = 0; reads < 2; reads++)
        for (long nth = 0;; nth++) {
            struct test_world w;
            const struct pbr_env env = test_env(&w);
            struct pbr_fault fault = { .nth = reads ? nth : -1 };
            struct pbr_source_fault faulty = { pbr_source_mem(&file), &fault };
            const struct pbr_source src = pbr_source_faulty(&faulty);
            long n = -1;
            if (!reads)
                w.alloc_fault.nth = nth;
            const int rc = read_catalog(&env, &src, &n, NULL);
            const bool hit = reads ? fault.hit : w.alloc_fault.hit;
            check_int(w.live_allocs, 0);
            check_int(rc, !hit ? PBR_OK : reads ? PBR_E_IO : PBR_E_NOMEM);
            check(n == (hit ? -1 : 240));
            if (!hit)
                break;
        }
    pbr_buf_release(&out);
    check_int(outer.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_reports_every_failing_allocation_and_leaks_nothing),
        cmocka_unit_test(test_writer_passes_every_failing_write_on),
        cmocka_unit_test(test_reader_reports_every_failing_allocation_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
