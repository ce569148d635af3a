/* SPDX-License-Identifier: MIT */
/* covers: CRT-002 CRT-143 CRT-150 CHK-065 CHK-066 CHK-068 CHK-069 CDM-007 CDM-083 CDM-084 CDM-130 PXAR-131 PXAR-157 PXAR-158
 * PXAR-205 */
/* Split archives: suggested boundaries, and entries that are deferred and replayed with or without a reference. */

#include "archive_tree.h"
#include "descriptors.h"
#include "format/pxar_dec.h"

static void make_files(struct tree *t)
{
    tree_init(t);
    put_big(t, "a", 100);
    put_file(t, "b", "");
    check_int(linkat(t->fd, "a", t->fd, "c", 0), 0);
    put_dir(t, "d");
    put_big(t, "d/x", 5);
    put_link(t, "d/y", "x");
    put_big(t, "e", 30);
    tree_set_time(t->fd, "d");
    tree_set_time(t->fd, ".");
}

/* ---- suggested boundaries ---- */

struct positions {
    uint64_t at[16];
    size_t nr;
};

static int keep_position(void *ctx, uint64_t pos, struct pbr_diag *diag)
{
    struct positions *p = ctx;
    (void)diag;
    check(p->nr < 16);
    p->at[p->nr++] = pos;
    return PBR_OK;
}

static void test_each_file_suggests_the_place_of_its_payload_header(void **state)
{
    (void)state;
    struct tree t;
    struct positions p = { .nr = 0 };
    make_files(&t);
    const struct pbr_create_opts opts = { .hooks = { .ctx = &p, .suggest = keep_position } };
    check_int(tree_create(&t, &opts, true), PBR_OK);
    check_int(p.nr, 4); /* a, b, d/x, e; not the hard link, directory, symlink, tail marker */
    check_u64(p.at[0], 16);
    check_u64(p.at[1], 16 + 116);
    check_u64(p.at[2], 16 + 116 + 16);
    check_u64(p.at[3], 16 + 116 + 16 + 21);
    p.nr = 0;
    check_int(tree_create(&t, &opts, false), PBR_OK);
    check_int(p.nr, 0);
    tree_release(&t);
}

/* ---- deferring ---- */

/* Replay at the end; at directory d, and defer nothing from there on; never; never, and defer only the first. */
enum when { AT_END, AT_D, NEVER, FIRST_ONLY };

struct planner {
    enum when when;
    bool done;          /* replayed: nothing is deferred any more */
    const uint64_t *base;
    uint64_t rel;       /* of the next file */
    uint64_t inject;    /* after the replay */
    char events[1024];
    size_t deferred_max;
};

static int replay(struct planner *p, struct pbr_create *cr, struct pbr_diag *diag)
{
    const int rc = pbr_create_replay(cr, p->base, diag);
    p->done = true;
    return rc < 0 || p->inject == 0 ? rc : pbr_create_injected(cr, p->inject, diag);
}

static int plan(void *ctx, struct pbr_create *cr, const struct pbr_create_entry *e, struct pbr_create_plan *ret,
                struct pbr_diag *diag)
{
    struct planner *p = ctx;
    const size_t used = strlen(p->events);
    static const char *const KIND[] = { "", "{", "}" };
    snprintf(p->events + used, sizeof(p->events) - used, "%.*s%s ", (int)e->path.len, (const char *)e->path.ptr,
             KIND[e->event]);
    if (p->when == AT_D && pbr_span_eq_str(e->path, "d") && e->event == PBR_CREATE_EV_DIR)
        return replay(p, cr, diag);
    if (p->done || (p->when == FIRST_ONLY && used > 0))
        return PBR_OK;
    ret->how = PBR_CREATE_DEFER;
    if (e->event == PBR_CREATE_EV_ENTRY && (e->meta->mode & PBR_MODE_TYPE) == PBR_MODE_REG) {
        ret->rel = p->rel;
        p->rel += 16 + e->size;
    }
    if (pbr_create_deferred(cr) + 1 > p->deferred_max)
        p->deferred_max = pbr_create_deferred(cr) + 1;
    return PBR_OK;
}

static int flush(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    struct planner *p = ctx;
    return p->when == AT_END ? replay(p, cr, diag) : PBR_OK;
}

static struct pbr_create_opts plan_opts(struct planner *p)
{
    return (struct pbr_create_opts){ .hooks = { .ctx = p, .decide = plan, .flush = flush } };
}

static void test_deferring_without_reference_changes_nothing(void **state)
{
    (void)state;
    for (enum when when = AT_END; when <= AT_D; when++) {
        struct tree t;
        struct planner p = { .when = when };
        const int fds = open_descriptors();
        make_files(&t);
        check_int(tree_create(&t, NULL, true), PBR_OK);
        struct pbr_buf archive = t.archive, payload = t.payload;
        pbr_buf_init(&t.archive, &t.env, TREE_ARCHIVE_MAX);
        pbr_buf_init(&t.payload, &t.env, TREE_ARCHIVE_MAX);
        const struct pbr_create_opts opts = plan_opts(&p);
        check_int(tree_create(&t, &opts, true), PBR_OK);
        check_span(pbr_buf_span(&t.archive), pbr_buf_span(&archive));
        check_span(pbr_buf_span(&t.payload), pbr_buf_span(&payload));
        check_str(p.events, "a b c d{ d/x d/y d} e ");
        check_int(p.deferred_max, when == AT_END ? 8 : 3);
        pbr_buf_release(&archive);
        pbr_buf_release(&payload);
        tree_release(&t);
        check_int(open_descriptors(), fds);
    }
}

/* "name@ref+size" of each file, "name->target" of hard links. */
static void list_refs(struct tree *t, char *out, size_t cap)
{
    struct pbr_pxar_dec *dec;
    struct pbr_pxar_event ev;
    struct pbr_span in = pbr_buf_span(&t->archive);
    check_int(pbr_pxar_dec_new(&t->env, NULL, &dec), PBR_OK);
    out[0] = 0;
    do {
        size_t used;
        check_int(pbr_pxar_dec_step(dec, in, &used, &ev, &t->diag), PBR_OK);
        check(ev.ev != PBR_PXAR_EV_MORE);
        in = pbr_span_sub(in, used, in.len);
        const size_t at = strlen(out);
        if (ev.ev == PBR_PXAR_EV_ENTRY && ev.entry.kind == PBR_KIND_FILE)
            snprintf(out + at, cap - at, "%.*s@%" PRIu64 "+%" PRIu64 " ", (int)ev.entry.name.len,
                     (const char *)ev.entry.name.ptr, ev.entry.ref_off, ev.entry.size);
        else if (ev.ev == PBR_PXAR_EV_ENTRY && ev.entry.kind == PBR_KIND_HARDLINK)
            snprintf(out + at, cap - at, "%.*s->%.*s ", (int)ev.entry.name.len, (const char *)ev.entry.name.ptr,
                     (int)ev.entry.target.len, (const char *)ev.entry.target.ptr);
    } while (ev.ev != PBR_PXAR_EV_END);
    pbr_pxar_dec_free(dec);
}

static void test_replayed_references_need_no_content(void **state)
{
    (void)state;
    struct tree t;
    char refs[512];
    const uint64_t base = 16 + 7;
    struct planner p = { .when = AT_END, .base = &base, .inject = 300 };
    make_files(&t);
    const struct pbr_create_opts opts = plan_opts(&p);
    check_int(tree_create(&t, NULL, true), PBR_OK);
    const size_t len = t.archive.len;
    check_int(tree_create(&t, &opts, true), PBR_OK);
    check_u64(t.archive.len, len);   /* only offsets and goodbye sizes differ [CDM-130] */
    check_u64(t.payload.len, 32);    /* start and tail marker */
    check_u64(t.stats.reused_files, 4);
    check_u64(t.stats.reused_bytes, 135);
    check_u64(t.stats.hardlinks, 1);
    list_refs(&t, refs, sizeof(refs));
    /* the second name of a took 116 bytes of `rel` in this planner */
    check_str(refs, "a@23+100 b@139+0 c->a x@271+5 e@292+30 ");
    tree_release(&t);
}

static void test_new_content_follows_injected_chunks(void **state)
{
    (void)state;
    struct tree t;
    char refs[512];
    const uint64_t base = 16;
    struct planner p = { .when = AT_D, .base = &base, .inject = 300 };
    make_files(&t);
    const struct pbr_create_opts opts = plan_opts(&p);
    check_int(tree_create(&t, &opts, true), PBR_OK);
    list_refs(&t, refs, sizeof(refs));
    check_str(refs, "a@16+100 b@132+0 c->a x@316+5 e@337+30 ");
    check_u64(t.payload.len, 16 + 21 + 46 + 16); /* the injected 300 bytes do not pass through here */
    check_u64(t.stats.reused_files, 2);
    tree_release(&t);
}

static void test_forgotten_or_overtaken_entries_are_an_error_and_leak_nothing(void **state)
{
    (void)state;
    for (enum when when = NEVER; when <= FIRST_ONLY; when++) {
        struct tree t;
        struct planner p = { .when = when };
        const int fds = open_descriptors();
        make_files(&t);
        const struct pbr_create_opts opts = plan_opts(&p);
        check_int(tree_create(&t, &opts, true), PBR_E_STATE);
        check(strstr(t.diag.text, when == NEVER ? "deferred entries were never written"
                                                : "cannot be written before the deferred ones") != NULL);
        tree_release(&t);
        check_int(open_descriptors(), fds);
    }
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_file_suggests_the_place_of_its_payload_header),
        cmocka_unit_test(test_deferring_without_reference_changes_nothing),
        cmocka_unit_test(test_replayed_references_need_no_content),
        cmocka_unit_test(test_new_content_follows_injected_chunks),
        cmocka_unit_test(test_forgotten_or_overtaken_entries_are_an_error_and_leak_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
