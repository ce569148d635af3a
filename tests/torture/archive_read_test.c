/* SPDX-License-Identifier: MIT */
/* covers: PXAR-225 PXAR-244 */
/* Each allocation and each read fails once: the right code comes back, nothing leaks, outputs stay untouched. */
#include "pxar_data.h"

#include "archive/access.h"
#include "archive/dump.h"
#include "archive/list.h"
#include "archive/verify.h"

/* A stream whose nth peek fails. */
struct faulty_stream {
    struct pbr_stream inner;
    struct pbr_fault *fault;
};

static int faulty_peek(void *ctx, struct pbr_span *ret, struct pbr_diag *diag)
{
    struct faulty_stream *f = ctx;
    if (pbr_fault_step(f->fault))
        return pbr_fail_at(diag, PBR_E_IO, NULL, "injected read error");
    return pbr_stream_peek(&f->inner, ret, diag);
}

static void faulty_consume(void *ctx, size_t n)
{
    struct faulty_stream *f = ctx;
    pbr_stream_consume(&f->inner, n);
}

struct setting {
    const struct pbr_env *env;
    struct pxar_pair p;
    struct pbr_fault *read_fault;
    struct pbr_diag diag;
    struct pbr_stream_mem mem[2];
    struct faulty_stream faulty[2];
    struct pbr_stream stream[2];
    struct pbr_source source[2];
    struct pbr_source_fault source_fault[2];
    struct pbr_buf out[2];
    struct pbr_sink sink[2];
};

static void prepare(struct setting *s)
{
    const struct pbr_span in[] = { s->p.archive, s->p.payload };
    static struct test_world sink_world; /* outputs do not fail here */
    static struct pbr_env sink_env;
    sink_env = test_env(&sink_world);
    for (int i = 0; i < 2; i++) {
        s->mem[i] = (struct pbr_stream_mem){ .in = in[i], .step = 200 };
        s->faulty[i] = (struct faulty_stream){ pbr_stream_mem(&s->mem[i]), s->read_fault };
        s->stream[i] = (struct pbr_stream){ .ctx = &s->faulty[i], .peek = faulty_peek, .consume = faulty_consume };
        pbr_buf_init(&s->out[i], &sink_env, 1 << 26);
        s->sink[i] = pbr_sink_buf(&s->out[i]);
    }
    s->source_fault[0] = (struct pbr_source_fault){ pbr_source_mem(&s->p.archive), s->read_fault };
    s->source_fault[1] = (struct pbr_source_fault){ pbr_source_mem(&s->p.payload), s->read_fault };
    s->source[0] = pbr_source_faulty(&s->source_fault[0]);
    s->source[1] = pbr_source_faulty(&s->source_fault[1]);
}

static void clean_up(struct setting *s)
{
    pbr_buf_release(&s->out[0]);
    pbr_buf_release(&s->out[1]);
}

static struct pbr_stream *payload_of(struct setting *s)
{
    return s->p.split ? &s->stream[1] : NULL;
}

/* ---- what is tortured ---- */

static int do_transcode(struct setting *s)
{
    struct pbr_reader *r = NULL;
    int rc = pbr_reader_open(s->env, &s->stream[0], payload_of(s), &r, &s->diag);
    if (rc == PBR_OK)
        rc = transcode(s->env, r, &s->sink[0], s->p.split ? &s->sink[1] : NULL, &s->diag);
    if (rc < 0 && r && s->read_fault->hit) {
        struct pbr_pxar_event ev = { .pos = 77 };
        check_int(pbr_reader_next(r, &ev, NULL), PBR_E_STATE);
        check_u64(ev.pos, 77);
    }
    pbr_reader_free(r);
    return rc;
}

static int do_list(struct setting *s)
{
    struct pbr_reader *r = NULL;
    const struct pbr_list_opts opts = { .long_form = true };
    int rc = pbr_reader_open(s->env, &s->stream[0], payload_of(s), &r, &s->diag);
    if (rc == PBR_OK)
        rc = pbr_list(s->env, r, &opts, &s->sink[0], &s->diag);
    pbr_reader_free(r);
    return rc;
}

static int do_dump(struct setting *s)
{
    const struct pbr_dump_opts opts = { .json = true };
    return pbr_dump(s->env, &s->stream[0], &opts, &s->sink[0], &s->diag);
}

static int do_verify(struct setting *s)
{
    const struct pbr_verify_opts opts = { .contents = true };
    struct pbr_verify_result res = { .entries = 4711 };
    const int rc = pbr_verify(s->env, &s->stream[0], payload_of(s), &opts, &res, &s->diag);
    if (rc < 0)
        check_u64(res.entries, 4711);
    else
        check_u64(res.errors, 0);
    return rc;
}

static int walk(struct setting *s, struct pbr_access *a, struct pbr_access_entry *dir_entry)
{
    struct pbr_access_dir *d = NULL;
    int rc = pbr_access_opendir(a, dir_entry, &d, &s->diag);
    for (uint64_t i = 0; rc == PBR_OK && i < pbr_access_dir_count(d); i++) {
        struct pbr_access_entry *e = NULL, *target = NULL;
        struct pbr_access_content c;
        rc = pbr_access_dir_get_ordered(d, i, &e, &s->diag);
        if (rc < 0)
            check(!e);
        else if (e->entry.kind == PBR_KIND_DIR)
            rc = walk(s, a, e);
        else if (e->entry.kind == PBR_KIND_FILE)
            rc = pbr_access_content(a, e, &c, &s->diag);
        else if (e->entry.kind == PBR_KIND_HARDLINK)
            rc = pbr_access_follow(a, e, &target, &s->diag);
        pbr_access_entry_free(target);
        pbr_access_entry_free(e);
    }
    pbr_access_dir_free(d);
    return rc;
}

static int do_access(struct setting *s)
{
    struct pbr_access *a = NULL;
    struct pbr_access_entry *root = NULL, *found = NULL;
    int rc = pbr_access_open(s->env, &s->source[0], s->p.split ? &s->source[1] : NULL, &a, &s->diag);
    if (rc == PBR_OK)
        rc = pbr_access_root(a, &root, &s->diag);
    if (rc == PBR_OK)
        rc = walk(s, a, root);
    if (rc == PBR_OK)
        rc = pbr_access_lookup(a, pbr_span_str("/."), &found, &s->diag);
    check(rc == PBR_OK || !found);
    pbr_access_entry_free(found);
    pbr_access_entry_free(root);
    pbr_access_free(a);
    return rc;
}

/* ---- the loop ---- */

static const char *const FILES[] = { GOLDEN "xattrs.mpxar", GOLDEN "hardlinks.pxar", GOLDEN "acl-default.pxar",
                                     GOLDEN "special-files.mpxar", GOLDEN "excludes.cli.mpxar" };

static void check_torture(int (*run)(struct setting *s))
{
    for (size_t f = 0; f < sizeof(FILES) / sizeof(FILES[0]); f++) {
        struct pxar_pair p = load_pair(FILES[f]);
        for (int reads = 0; reads < 2; reads++) {
            for (long nth = 0;; nth++) {
                struct test_world w;
                const struct pbr_env env = test_env(&w);
                struct pbr_fault read_fault = { .nth = reads ? nth : -1 };
                struct setting s = { .env = &env, .p = p, .read_fault = &read_fault };
                if (!reads)
                    w.alloc_fault.nth = nth;
                prepare(&s);
                const int rc = run(&s);
                const bool hit = read_fault.hit || w.alloc_fault.hit;
                check_int(rc, !hit ? PBR_OK : reads ? PBR_E_IO : PBR_E_NOMEM);
                check_int(s.diag.code, rc);
                check_int(w.live_allocs, 0);
                clean_up(&s);
                if (!hit) {
                    check(nth > 2);
                    break;
                }
            }
        }
        unload_pair(&p);
    }
}

static void test_reading_and_encoding(void **state)
{
    (void)state;
    check_torture(do_transcode);
}

static void test_listing(void **state)
{
    (void)state;
    check_torture(do_list);
}

static void test_dumping(void **state)
{
    (void)state;
    check_torture(do_dump);
}

static void test_verifying(void **state)
{
    (void)state;
    check_torture(do_verify);
}

static void test_random_access(void **state)
{
    (void)state;
    check_torture(do_access);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading_and_encoding), cmocka_unit_test(test_listing),
        cmocka_unit_test(test_dumping),              cmocka_unit_test(test_verifying),
        cmocka_unit_test(test_random_access),
    };
    return cmocka_run_group_tests_name("archive_read_torture", tests, NULL, NULL);
}
