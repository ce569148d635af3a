/* SPDX-License-Identifier: MIT */
/* covers: APX-119 APX-161 SYS-060 */
/* A creation of the draft with an appendix on a previous catalog, while memory runs out, the catalog cannot be read or a chunk
 * is refused, at every place in turn. Without memory and without the server it fails with the right code; without the catalog
 * it goes on without re-use. Nothing leaks, no descriptor stays open. */
#include "client/catalog_reference.h"
#include "reference_faults.h"

/* A creation under way. */
struct making {
    struct pbr_catalog_reference *ref;
    struct pbr_pcat_writer *catalog;
};

/* ---- hooks ---- */

static int on_decide(void *ctx, struct pbr_create *cr, const struct pbr_create_entry *entry, struct pbr_create_plan *ret,
                     struct pbr_diag *diag)
{
    return pbr_catalog_reference_decide(((struct making *)ctx)->ref, cr, entry, ret, diag);
}

static int on_flush(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    return pbr_catalog_reference_flush(((struct making *)ctx)->ref, cr, diag);
}

static int on_close(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    return pbr_catalog_reference_close(((struct making *)ctx)->ref, cr, diag);
}

static int on_dir(void *ctx, struct pbr_span name, struct pbr_diag *diag)
{
    return pbr_pcat_writer_start_dir(((struct making *)ctx)->catalog, name, diag);
}

static int on_dir_end(void *ctx, struct pbr_diag *diag)
{
    return pbr_pcat_writer_end_dir(((struct making *)ctx)->catalog, diag);
}

static int on_other(void *ctx, char type, struct pbr_span name, uint64_t size, int64_t mtime_s, struct pbr_diag *diag)
{
    const struct pbr_pcat_entry e = { .type = (enum pbr_pcat_type)type, .name = name, .size = size, .mtime_s = mtime_s };
    return pbr_pcat_writer_add(((struct making *)ctx)->catalog, &e, diag);
}

static int on_file(void *ctx, const struct pbr_create_file *f, struct pbr_diag *diag)
{
    const struct pbr_pcat_entry e = { .type = f->is_ref ? PBR_PCAT_REF : PBR_PCAT_FILE, .name = f->name, .size = f->size,
                                      .mtime_s = f->mtime_s, .ctime_s = f->ctime_s, .pos = f->pos };
    return pbr_pcat_writer_add(((struct making *)ctx)->catalog, &e, diag);
}

/* ---- a run ---- */

static int open_reference(struct run *r, struct making *m, const struct pbr_source *previous, const struct pbr_index *index,
                          struct pbr_diag *diag)
{
    const struct pbr_catalog_reference_opts opts = { .small = 1024, .threshold = 50000, .waiting_max = 100 };
    const int rc = pbr_catalog_reference_new(&r->env, previous, "t", index, &opts, &m->ref, diag);
    if (rc == PBR_OK)
        pbr_catalog_reference_set_stream(m->ref, r->chunks);
    return rc;
}

static int archive(struct run *r, struct making *m, int root, struct pbr_diag *diag)
{
    struct pbr_sink sink = pbr_chunk_stream_sink(r->chunks);
    struct pbr_create_opts opts = { .hooks = { .ctx = m, .cat_dir_start = on_dir, .cat_dir_end = on_dir_end,
                                               .cat_entry = on_other, .cat_file = on_file } };
    if (m->ref) {
        opts.profile = PBR_PROFILE_DRAFT_APPENDIX;
        opts.hooks.decide = on_decide;
        opts.hooks.flush = on_flush;
        opts.hooks.close = on_close;
    }
    int rc = pbr_pcat_writer_start_dir(m->catalog, pbr_span_str("t"), diag);
    if (rc == PBR_OK)
        rc = pbr_create(&r->env, root, "tree", &(const struct pbr_create_outputs){ &sink, NULL }, &opts, &r->stats, diag);
    if (rc == PBR_OK)
        rc = pbr_chunk_stream_finish(r->chunks, diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_writer_end_archive(m->catalog, m->ref ? pbr_catalog_reference_start(m->ref) : 0, diag);
    return rc < 0 ? rc : pbr_pcat_writer_finish(m->catalog, diag);
}

static int create(struct run *r, int root, const struct pbr_source *previous, const struct pbr_index *index)
{
    struct pbr_diag diag = { 0 };
    struct making m = { 0 };
    struct pbr_sink sink = pbr_sink_buf(&r->out.reference);
    int rc = open_chunks(r, &diag);
    if (rc == PBR_OK && previous)
        rc = open_reference(r, &m, previous, index, &diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_writer_new_extended(&r->env, &sink, &m.catalog, &diag);
    if (rc == PBR_OK)
        rc = archive(r, &m, root, &diag);
    check(rc >= 0 || diag.code != PBR_OK || rc == PBR_E_NOMEM);
    pbr_pcat_writer_free(m.catalog);
    pbr_catalog_reference_free(m.ref);
    pbr_chunk_stream_free(r->chunks);
    return rc;
}

static void check_reused(const struct run *r)
{
    check(r->stats.reused_files >= 12);
}

/* A directory: told, the rest is encoded [APX-161]. */
static void check_damaged(const struct run *r)
{
    check(r->stats.reused_files < 12);
    check_u64(r->stats.files, FILES);
}

static int set_up(void **state)
{
    static const struct design design = { create, check_reused, check_damaged };
    return set_up_design(&design, state);
}

static void test_every_allocation_may_fail(void **state)
{
    check_faults(*state, ALLOC, 50);
}

static void test_every_read_of_the_catalog_may_fail(void **state)
{
    check_faults(*state, READ, 6);
}

static void test_every_chunk_may_be_refused(void **state)
{
    check_faults(*state, CHUNK, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_every_read_of_the_catalog_may_fail),
        cmocka_unit_test(test_every_chunk_may_be_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
