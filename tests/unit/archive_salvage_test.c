/* SPDX-License-Identifier: MIT */
/* covers: PXAR-159 PXAR-261 PXAR-268 PXAR-272 */
/* The walk over what goodbye tables lead to: complete on whole archives, exact about what is lost, linear on hostile ones. */
#include "pxar_data.h"

#include "archive/salvage.h"
#include "format/goodbye.h"

static const struct pbr_pxar_meta DIR_META = { .mode = 040755 };

struct paths {
    struct pbr_buf text; /* one path a line */
    uint64_t from;
    size_t entries, lost, whole;
};

static void add_path(struct paths *p, struct pbr_span path)
{
    check_int(pbr_buf_append(&p->text, path), PBR_OK);
    check_int(pbr_buf_append_u8(&p->text, '\n'), PBR_OK);
    p->entries++;
}

static int on_entry(void *ctx, const struct pbr_pxar_entry *e, struct pbr_span path, struct pbr_diag *diag)
{
    struct paths *p = ctx;
    (void)diag;
    check(e->name_pos >= p->from);
    add_path(p, path);
    return PBR_OK;
}

static void on_lost(void *ctx, struct pbr_span dir, bool whole, const struct pbr_diag *cause)
{
    struct paths *p = ctx;
    check(dir.len > 0 && cause->code != PBR_OK && cause->text[0]);
    p->lost++;
    p->whole += whole;
}

static void salvage(const struct pbr_env *env, const struct pbr_source *src, uint64_t from, struct paths *ret)
{
    const struct pbr_salvage_opts opts = { .from = from, .entry = on_entry, .lost = on_lost, .ctx = ret };
    *ret = (struct paths){ .from = from };
    pbr_buf_init(&ret->text, env, 64 << 20);
    check_int(pbr_salvage(env, src, &opts, NULL), PBR_OK);
}

/* What the sequential reader sees from `from` on. */
static void read_paths(const struct pbr_env *env, const struct pxar_pair *p, uint64_t from, struct paths *ret)
{
    struct pxar_streams s;
    struct pbr_pxar_event ev;
    const struct pbr_reader_opts opts = { .meta_only = true };
    const struct pxar_pair alone = { .archive = p->archive };
    struct pbr_reader *r = open_reader(env, &s, &alone, 0, &opts);
    *ret = (struct paths){ .from = from };
    pbr_buf_init(&ret->text, env, 64 << 20);
    do {
        check_int(pbr_reader_next(r, &ev, NULL), PBR_OK);
        if (ev.ev == PBR_PXAR_EV_ENTRY && ev.depth > 0 && ev.entry.name_pos >= from)
            add_path(ret, pbr_reader_path(r));
    } while (ev.ev != PBR_PXAR_EV_END);
    pbr_reader_free(r);
}

static void check_same(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    const struct pbr_source src = pbr_source_mem(&p->archive);
    (void)path;
    for (uint64_t from = 0; from <= p->archive.len; from += p->archive.len / 5 + 1) {
        struct paths have, want;
        salvage(&env, &src, from, &have);
        read_paths(&env, p, from, &want);
        check_span(pbr_buf_span(&have.text), pbr_buf_span(&want.text));
        check_u64(have.lost, 0);
        pbr_buf_release(&have.text);
        pbr_buf_release(&want.text);
    }
    check_int(w.live_allocs, 0);
}

static void test_whole_archives_are_walked_completely_from_any_position(void **state)
{
    (void)state;
    for_golden(check_same);
}

/* A source with a hole: what a lost chunk is. */
struct holed {
    struct pbr_span in;
    uint64_t start, end;
    int rc;
    int status;
};

static int read_holed(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    const struct holed *h = ctx;
    if (off < h->end && off + len > h->start) {
        const int rc = pbr_fail(diag, (enum pbr_err)h->rc, "BLOB-091", off, "lost");
        if (diag)
            diag->status = h->status;
        return rc;
    }
    memcpy(out, h->in.ptr + off, len);
    return PBR_OK;
}

static void test_a_hole_loses_what_lies_in_it_and_no_more(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "nested.pxar");
    struct paths all;
    const struct pbr_source whole = pbr_source_mem(&p.archive);
    salvage(&env, &whole, 0, &all);
    for (uint64_t at = 0; at < p.archive.len; at += p.archive.len / 40 + 1) {
        struct holed hole = { p.archive, at, at + 20, PBR_E_INTEGRITY, 0 };
        const struct pbr_source src = { .ctx = &hole, .size = p.archive.len, .read_at = read_holed };
        struct paths rest;
        salvage(&env, &src, 0, &rest);
        check(rest.entries <= all.entries);
        check(rest.entries == all.entries || rest.lost > 0); /* contents are not read */
        if (at + 20 < p.archive.len - 24 - 16)
            check(rest.entries > 0 || rest.whole > 0);
        pbr_buf_release(&rest.text);
    }
    pbr_buf_release(&all.text);
    unload_pair(&p);
    check_int(w.live_allocs, 0);
}

static void test_failures_that_are_no_loss_end_the_walk(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "nested.pxar");
    const struct {
        int rc, status;
        bool loss;
    } cases[] = { { PBR_E_IO, 0, false },     { PBR_E_PROTO, 0, false },   { PBR_E_CANCELED, 0, false },
                  { PBR_E_REMOTE, 0, false }, { PBR_E_REMOTE, 404, true }, { PBR_E_CRYPTO, 0, true } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct holed hole = { p.archive, 40, 60, cases[i].rc, cases[i].status };
        const struct pbr_source src = { .ctx = &hole, .size = p.archive.len, .read_at = read_holed };
        struct paths seen = { 0 };
        struct pbr_diag diag = { 0 };
        const struct pbr_salvage_opts opts = { .entry = on_entry, .lost = on_lost, .ctx = &seen };
        pbr_buf_init(&seen.text, &env, 1 << 20);
        hole.start = p.archive.len - 24; /* the first thing that is read */
        hole.end = p.archive.len;
        const int rc = pbr_salvage(&env, &src, &opts, &diag);
        check_int(rc, cases[i].loss ? PBR_OK : cases[i].rc);
        check_int(diag.code, rc);
        check_u64(seen.lost, cases[i].loss);
        pbr_buf_release(&seen.text);
    }
    unload_pair(&p);
    check_int(w.live_allocs, 0);
}

enum { DEPTH = 40 };

static void make_chain(const struct pbr_env *env, struct pbr_buf *out)
{
    struct pbr_pxar_enc *enc;
    struct pbr_sink sink = pbr_sink_buf(out);
    check_int(pbr_pxar_enc_new(env, &sink, NULL, NULL, &DIR_META, &enc, NULL), PBR_OK);
    for (int i = 0; i < DEPTH; i++)
        check_int(pbr_pxar_enc_dir_enter(enc, pbr_span_str("a"), &DIR_META, NULL), PBR_OK);
    for (int i = 0; i < DEPTH; i++) {
        check_int(pbr_pxar_enc_dir_leave(enc, NULL), PBR_OK);
        check_int(pbr_pxar_enc_dir_enter(enc, pbr_span_str("b"), &DIR_META, NULL), PBR_OK);
        check_int(pbr_pxar_enc_dir_leave(enc, NULL), PBR_OK);
    }
    check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
    pbr_pxar_enc_free(enc);
}

/* Every table names its first directory twice: a walk that follows both does 2^40 steps. */
static void test_tables_that_name_one_directory_twice_do_not_multiply(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf archive;
    struct paths seen;
    const uint64_t a = pbr_pxar_name_hash(pbr_span_str("a"));
    pbr_buf_init(&archive, &env, 1 << 20);
    make_chain(&env, &archive);
    size_t end = archive.len;
    for (int i = 0; i < DEPTH; i++) {
        const struct pbr_pxar_rec tail = pbr_goodbye_rec_get(archive.ptr + end - PBR_PXAR_GOODBYE_REC);
        uint8_t *recs = archive.ptr + end - tail.size + PBR_PXAR_HDR;
        const size_t first = pbr_goodbye_rec_get(recs).hash == a ? 0 : PBR_PXAR_GOODBYE_REC;
        const struct pbr_pxar_rec rec = pbr_goodbye_rec_get(recs + first);
        memcpy(recs + (PBR_PXAR_GOODBYE_REC - first), recs + first, PBR_PXAR_GOODBYE_REC);
        end = end - tail.size - rec.offset + rec.size;
    }
    const struct pbr_span span = pbr_buf_span(&archive);
    const struct pbr_source src = pbr_source_mem(&span);
    salvage(&env, &src, 0, &seen);
    check_u64(seen.entries, DEPTH);
    check_u64(seen.lost, DEPTH);
    pbr_buf_release(&seen.text);
    pbr_buf_release(&archive);
    check_int(w.live_allocs, 0);
}

static void test_what_is_no_archive_is_lost_as_a_whole(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    static const uint8_t zeros[200];
    for (size_t n = 0; n <= sizeof(zeros); n += 20) {
        const struct pbr_span span = pbr_span(zeros, n);
        const struct pbr_source src = pbr_source_mem(&span);
        struct paths seen;
        salvage(&env, &src, 0, &seen);
        check_u64(seen.entries, 0);
        check_u64(seen.whole, 1);
        pbr_buf_release(&seen.text);
    }
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_archives_are_walked_completely_from_any_position),
        cmocka_unit_test(test_a_hole_loses_what_lies_in_it_and_no_more),
        cmocka_unit_test(test_failures_that_are_no_loss_end_the_walk),
        cmocka_unit_test(test_tables_that_name_one_directory_twice_do_not_multiply),
        cmocka_unit_test(test_what_is_no_archive_is_lost_as_a_whole),
    };
    return cmocka_run_group_tests_name("archive_salvage", tests, NULL, NULL);
}
