/* SPDX-License-Identifier: MIT */
/* covers: CDM-032 CDM-103 */
/* A creation on a previous archive while memory runs out, the previous archive cannot be read or a chunk is refused, at every
 * place in turn: the right code comes back, nothing leaks, no descriptor stays open. */
#include "client/reference.h"
#include "reference_faults.h"

enum { WAITING = 11 }; /* so that the cache is full once, and the last chunk held back is less than a tenth */

static int on_decide(void *ctx, struct pbr_create *cr, const struct pbr_create_entry *entry,
                     struct pbr_create_plan *ret, struct pbr_diag *diag)
{
    return pbr_reference_decide(ctx, cr, entry, ret, diag);
}

static int on_flush(void *ctx, struct pbr_create *cr, struct pbr_diag *diag)
{
    return pbr_reference_flush(ctx, cr, diag);
}

static int create(struct run *r, int root, const struct pbr_source *previous, const struct pbr_index *index)
{
    struct pbr_diag diag = { 0 };
    struct pbr_reference *ref = NULL;
    struct pbr_sink archive = pbr_sink_buf(&r->out.reference);
    struct pbr_create_opts opts = { 0 };
    int rc = open_chunks(r, &diag);
    if (rc == PBR_OK && previous) {
        rc = pbr_reference_new(&r->env, previous, index, WAITING, &ref, &diag);
        if (rc == PBR_OK)
            pbr_reference_set_payload(ref, r->chunks);
        opts.hooks = (struct pbr_create_hooks){ .ctx = ref, .decide = on_decide, .flush = on_flush };
    }
    if (rc == PBR_OK) {
        struct pbr_sink payload = pbr_chunk_stream_sink(r->chunks);
        rc = pbr_create(&r->env, root, "tree", &(const struct pbr_create_outputs){ &archive, &payload }, &opts, &r->stats, &diag);
    }
    if (rc == PBR_OK)
        rc = pbr_chunk_stream_finish(r->chunks, &diag);
    check_int(diag.code, rc);
    if (rc == PBR_OK && ref) {
        const struct pbr_reuse_counts counts = pbr_reference_counts(ref);
        check_u64(r->stats.reused_files, counts.reused_files);
        check_u64(r->out.end, 32 + counts.injected_size + counts.reencoded_size);
    }
    pbr_reference_free(ref);
    pbr_chunk_stream_free(r->chunks);
    return rc;
}

static void check_reused(const struct run *r)
{
    check_u64(r->stats.reused_files, FILES);
}

/* The root directory's table: nothing is found then [CDM-032]. */
static void check_damaged(const struct run *r)
{
    check_u64(r->stats.reused_files, 0);
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

static void test_every_read_of_the_previous_archive_may_fail(void **state)
{
    check_faults(*state, READ, 10);
}

static void test_every_chunk_may_be_refused(void **state)
{
    check_faults(*state, CHUNK, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_every_read_of_the_previous_archive_may_fail),
        cmocka_unit_test(test_every_chunk_may_be_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
