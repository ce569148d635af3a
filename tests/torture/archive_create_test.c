/* SPDX-License-Identifier: MIT */
/* covers: CRT-170 */
/* Creation under faults: the n-th allocation, or the n-th write to an output, fails. Each time the right code comes back
 * and nothing leaks; the sources are as before. */
#include <sys/xattr.h>

#include "archive_tree.h"
#include "descriptors.h"

static void make_all_kinds(struct tree *t)
{
    tree_init(t);
    put_file(t, ".pxarexclude", "*.tmp\n/sub/gone\n");
    put_file(t, "a", "content");
    (void)setxattr(t->path, "user.dir", "1", 1, 0); /* not on every file system: then there is less to fail */
    check_int(linkat(t->fd, "a", t->fd, "b", 0), 0);
    put_dir(t, "sub");
    put_file(t, "sub/gone", "");
    put_file(t, "sub/kept", "x");
    put_file(t, "sub/.pxarexclude", "!x.tmp\n./y\n");
    put_link(t, "sub/ln", "a");
    put_big(t, "z", 70000);
}

static int defer_all(void *ctx, struct pbr_create *cr, const struct pbr_create_entry *e, struct pbr_create_plan *ret,
                     struct pbr_diag *diag)
{
    (void)ctx;
    (void)cr;
    (void)e;
    (void)diag;
    ret->how = PBR_CREATE_DEFER;
    return PBR_OK;
}

static int replay_all(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    (void)ctx;
    return pbr_create_replay(cr, NULL, diag);
}

static struct pbr_create_opts opts_of(bool defer, const struct pbr_span *excludes)
{
    struct pbr_create_opts opts = { .excludes = excludes, .exclude_nr = 1, .skip_lost_and_found = true };
    if (defer) {
        opts.hooks.decide = defer_all;
        opts.hooks.flush = replay_all;
    }
    return opts;
}

static void test_every_failing_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    const struct pbr_span excludes[] = { pbr_span_str("q[a-c]*") };
    struct tree t;
    make_all_kinds(&t);
    for (int way = 0; way < 3; way++) { /* version 1, split, split with everything deferred */
        const struct pbr_create_opts opts = opts_of(way == 2, excludes);
        for (long nth = 0;; nth++) {
            check_int(tree_create(&t, &opts, way > 0), PBR_OK); /* outputs have their memory from here on */
            const long live = t.w.live_allocs;
            const int fds = open_descriptors();
            t.w.alloc_fault = (struct pbr_fault){ .nth = nth };
            const int rc = tree_create(&t, &opts, way > 0);
            const bool hit = t.w.alloc_fault.hit;
            t.w.alloc_fault = (struct pbr_fault){ .nth = -1 };
            check_int(rc, hit ? PBR_E_NOMEM : PBR_OK);
            check_int(t.w.live_allocs, live);
            check_int(open_descriptors(), fds);
            if (!hit) {
                check(nth > 20);
                break;
            }
            check_u64(t.stats.dirs, 0); /* untouched */
        }
    }
    tree_release(&t);
}

static int faulty_create(struct tree *t, const struct pbr_create_opts *opts, struct pbr_fault *fault, bool in_payload)
{
    struct pbr_sink_fault f = { .inner = pbr_sink_buf(in_payload ? &t->payload : &t->archive), .fault = fault };
    struct pbr_sink good = pbr_sink_buf(in_payload ? &t->archive : &t->payload);
    struct pbr_sink bad = pbr_sink_faulty(&f);
    pbr_buf_clear(&t->archive);
    pbr_buf_clear(&t->payload);
    t->diag = (struct pbr_diag){ 0 };
    const struct pbr_create_outputs outputs = { in_payload ? &good : &bad, in_payload ? &bad : &good };
    return pbr_create(&t->env, t->fd, t->path, &outputs, opts, NULL,
                      &t->diag);
}

static void test_every_failing_write_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    const struct pbr_span excludes[] = { pbr_span_str("q[a-c]*") };
    struct tree t;
    make_all_kinds(&t);
    const struct pbr_create_opts opts = opts_of(false, excludes);
    check_int(tree_create(&t, &opts, true), PBR_OK);
    const long live = t.w.live_allocs;
    for (int in_payload = 0; in_payload < 2; in_payload++) {
        for (long nth = 0;; nth++) {
            struct pbr_fault fault = { .nth = nth };
            const int fds = open_descriptors();
            const int rc = faulty_create(&t, &opts, &fault, in_payload);
            check(fault.hit ? rc < 0 : rc == PBR_OK);
            check_int(t.w.live_allocs, live);
            check_int(open_descriptors(), fds);
            if (!fault.hit) {
                check(nth > 4);
                break;
            }
        }
    }
    tree_release(&t);
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_failing_allocation_is_reported_and_leaks_nothing),
        cmocka_unit_test(test_every_failing_write_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
