/* SPDX-License-Identifier: MIT */
/* covers: APX-003 APX-007 APX-100 APX-101 APX-102 APX-103 SYS-045 SYS-062 */
/* Collecting chunks for an appendix, against a slow and obvious version of the rules, with the bytes kept: what stands at the
 * place that was given must be the file's bytes. Few different chunks, so that equal digests are common. PBR_SEED repeats. */
#include "test.h"

#include "detect/collect.h"

enum { LETTERS = 4, CHUNKS = 40, RUNS = 60, ROUNDS = 3000 };

static uint64_t below(uint64_t *rng, uint64_t n)
{
    return test_next_random(rng) % n;
}

struct model {
    uint8_t letters[CHUNKS * RUNS];
    size_t nr;
    struct {
        uint64_t start, end;
    } used[RUNS];
    size_t used_nr;
};

static uint64_t size_of(uint8_t letter)
{
    return 5 + 7 * (uint64_t)letter;
}

/* Byte `i` of a chunk. */
static uint8_t byte_of(uint8_t letter, uint64_t i)
{
    return (uint8_t)(letter * 50 + i);
}

static uint64_t start_of(const struct model *m, size_t i)
{
    uint64_t sum = 0;
    for (size_t k = 0; k < i; k++)
        sum += size_of(m->letters[k]);
    return sum;
}

static bool is_free(const struct model *m, uint64_t start, uint64_t len)
{
    for (size_t i = 0; i < m->used_nr; i++)
        if (start < m->used[i].end && m->used[i].start < start + len)
            return false;
    return true;
}

/* The three rules of APX-100 with APX-103, as they are written. */
static uint64_t model_add(struct model *m, const uint8_t *letters, size_t nr, uint64_t pad, uint64_t len)
{
    uint64_t off = UINT64_MAX;
    for (size_t p = 0; off == UINT64_MAX && p + nr <= m->nr; p++)
        if (memcmp(m->letters + p, letters, nr) == 0 && is_free(m, start_of(m, p) + pad, len))
            off = start_of(m, p) + pad;
    if (off == UINT64_MAX && m->nr > 0 && m->letters[m->nr - 1] == letters[0] &&
        is_free(m, start_of(m, m->nr - 1) + pad, len)) {
        off = start_of(m, m->nr - 1) + pad;
        letters++;
        nr--;
    } else if (off == UINT64_MAX) {
        off = start_of(m, m->nr) + pad;
    } else {
        nr = 0;
    }
    memcpy(m->letters + m->nr, letters, nr);
    m->nr += nr;
    m->used[m->used_nr].start = off;
    m->used[m->used_nr++].end = off + len;
    return off;
}

static uint8_t model_byte(const struct model *m, uint64_t off)
{
    size_t i = 0;
    while (off >= size_of(m->letters[i]))
        off -= size_of(m->letters[i++]);
    check(i < m->nr);
    return byte_of(m->letters[i], off);
}

struct previous {
    uint8_t letters[CHUNKS];
    uint64_t ends[CHUNKS];
    uint8_t file[PBR_INDEX_HDR + CHUNKS * PBR_DIDX_REC];
    struct pbr_index index;
};

static void make_previous(struct previous *p, uint64_t *rng)
{
    const struct pbr_index head = { .kind = PBR_INDEX_DYNAMIC };
    uint64_t end = 0;
    pbr_index_hdr_emit(&head, p->file);
    for (size_t i = 0; i < CHUNKS; i++) {
        p->letters[i] = (uint8_t)below(rng, LETTERS);
        const uint8_t digest[PBR_DIGEST_LEN] = { p->letters[i], 1 };
        p->ends[i] = end += size_of(p->letters[i]);
        pbr_didx_rec_emit(end, digest, p->file + PBR_INDEX_HDR + i * PBR_DIDX_REC);
    }
    check_int(pbr_index_parse(pbr_span(p->file, sizeof(p->file)), false, &p->index, NULL), PBR_OK);
}

static void round_of(uint64_t seed)
{
    struct test_world world;
    const struct pbr_env env = test_env(&world);
    static struct previous previous;
    static struct model model;
    struct pbr_collect c;
    uint64_t rng = seed;
    memset(&model, 0, sizeof(model));
    make_previous(&previous, &rng);
    pbr_collect_init(&c, &env);
    for (size_t i = 0; i < 1 + below(&rng, RUNS); i++) {
        const uint64_t start = below(&rng, previous.index.size - 1);
        const uint64_t most = previous.index.size - start;
        const uint64_t len = 1 + below(&rng, most < 60 ? most : 60);
        struct pbr_run run;
        uint64_t off;
        check_int(pbr_run_cover(&previous.index, start, start + len, &run, NULL), PBR_OK);
        check(run.start_pad + len + run.end_pad == run.size);
        check(run.end_pad < size_of(previous.letters[run.first + run.nr - 1]));
        check_int(pbr_collect_add(&c, &previous.index, &run, len, &off, NULL), PBR_OK);
        check_u64(off, model_add(&model, previous.letters + run.first, (size_t)run.nr, run.start_pad, len));
        for (uint64_t b = 0; b < len; b++) { /* the bytes of the previous stream stand there */
            size_t k = (size_t)run.first;
            while (previous.ends[k] <= start + b)
                k++;
            const uint64_t chunk_start = k ? previous.ends[k - 1] : 0;
            check_int(model_byte(&model, off + b), byte_of(previous.letters[k], start + b - chunk_start));
        }
    }
    check_u64(pbr_collect_count(&c), model.nr);
    check_u64(c.total, start_of(&model, model.nr));
    struct pbr_inject batch;
    uint64_t bytes, sum = 0;
    size_t from = 0, n = 0;
    while (pbr_collect_batch(&c, &from, &batch, &bytes)) {
        for (size_t i = 0; i < batch.chunk_nr; i++, n++)
            check_int(batch.chunks[i].digest[0], model.letters[n]);
        check(from == model.nr || batch.chunk_nr == PBR_COLLECT_BATCH);
        sum += bytes;
    }
    check_u64(n, model.nr);
    check_u64(sum, c.total);
    pbr_collect_release(&c);
    check_int(world.live_allocs, 0);
}

static void test_collection_follows_the_rules(void **state)
{
    const char *text = getenv("PBR_SEED");
    uint64_t seed = 1;
    (void)state;
    if (text)
        check(pbr_parse_u64(pbr_span_str(text), 0, UINT64_MAX, &seed));
    printf("PBR_SEED=%" PRIu64 "\n", seed);
    for (uint64_t i = 0; i < ROUNDS; i++)
        round_of(seed * 1000003 + i);
}

/* The n-th allocation fails: NOMEM, and everything is given back. */
static void test_memory_may_run_out_anywhere(void **state)
{
    static struct previous previous;
    uint64_t rng = 5;
    (void)state;
    make_previous(&previous, &rng);
    for (long nth = 0;; nth++) {
        struct test_world world;
        const struct pbr_env env = test_env(&world);
        struct pbr_collect c;
        int rc = PBR_OK;
        world.alloc_fault.nth = nth;
        pbr_collect_init(&c, &env);
        for (uint64_t start = 0; rc == PBR_OK && start + 30 < previous.index.size; start += 9) {
            struct pbr_run run;
            uint64_t off;
            struct pbr_diag diag = { 0 };
            check_int(pbr_run_cover(&previous.index, start, start + 30, &run, NULL), PBR_OK);
            rc = pbr_collect_add(&c, &previous.index, &run, 30, &off, &diag);
            check_int(diag.code, rc);
        }
        pbr_collect_release(&c);
        check_int(world.live_allocs, 0);
        if (!world.alloc_fault.hit) {
            check_int(rc, PBR_OK);
            break;
        }
        check_int(rc, PBR_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collection_follows_the_rules),
        cmocka_unit_test(test_memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
