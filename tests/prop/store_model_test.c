/* SPDX-License-Identifier: MIT */
/* covers: IDX-109 IDX-112 IDX-114 IDX-116 IDX-117 IDX-118 IDX-120 IDX-121 BKP-200 BKP-203 API-105 */
/* The datastore against a model in memory: random operations, and after each of them what is listed, what the indexes
 * hold and which chunks exist must be what the model says. */
#define FX_BASE "/dev/shm"
#include "../unit/store_fixture.h"

enum { GROUPS = 3, SNAPS = 12, SEEDS = 24, CHUNKS = 6, STEPS = 300 };

struct model_snap {
    bool there, is_protected;
    int64_t time_s;
    char notes[16];
    uint64_t seeds[CHUNKS];
    size_t nr;
};

struct model {
    struct fx f;
    uint64_t random;
    struct model_snap snaps[GROUPS][SNAPS];
    int64_t chunk_time[SEEDS]; /* access time; 0: not stored */
    struct pbr_store_backup *open[GROUPS]; /* sessions that are under way */
};

static uint64_t pick(struct model *m, uint64_t n)
{
    return test_next_random(&m->random) % n;
}

static const char *group_name(size_t g)
{
    static const char *const names[GROUPS] = { "a", "b.c", "d-e" };
    return names[g];
}

static struct model_snap *newest(struct model *m, size_t g)
{
    struct model_snap *best = NULL;
    for (size_t i = 0; i < SNAPS; i++) {
        struct model_snap *s = &m->snaps[g][i];
        if (s->there && (!best || s->time_s > best->time_s))
            best = s;
    }
    return best;
}

static struct model_snap *free_place(struct model *m, size_t g)
{
    for (size_t i = 0; i < SNAPS; i++) {
        if (!m->snaps[g][i].there)
            return &m->snaps[g][i];
    }
    return NULL;
}

/* ---- operations ---- */

static void do_backup(struct model *m, size_t g)
{
    struct model_snap fresh = { .there = true, .time_s = m->f.now_s, .nr = 1 + pick(m, CHUNKS) };
    struct model_snap *place = free_place(m, g);
    const struct model_snap *last = newest(m, g);
    struct pbr_diag diag = { 0 };
    if (pick(m, 8) == 0)
        fresh.time_s -= (int64_t)pick(m, 500);
    for (size_t i = 0; i < fresh.nr; i++)
        fresh.seeds[i] = pick(m, SEEDS);
    if (!place)
        return;
    const int rc = fx_backup(&m->f, group_name(g), fresh.time_s, fresh.seeds, fresh.nr, &diag);
    if (m->open[g] || (last && fresh.time_s <= last->time_s)) {
        check_int(rc, PBR_E_STATE);
        return;
    }
    if (rc != PBR_OK)
        fail_msg("%s", diag.text);
    for (size_t i = 0; i < fresh.nr; i++)
        m->chunk_time[fresh.seeds[i]] = m->f.now_s;
    *place = fresh;
}

/* Begins a session that stays open, or ends one without finishing it. */
static void do_session(struct model *m, size_t g)
{
    struct fx_file file;
    if (m->open[g]) {
        pbr_store_backup_end(m->open[g]);
        m->open[g] = NULL;
        return;
    }
    const uint64_t seed = pick(m, SEEDS);
    check_ok(fx_begin(&m->f, group_name(g), m->f.now_s, &m->open[g], diag));
    const struct model_snap *last = newest(m, g);
    const struct pbr_snapshot *base = pbr_store_backup_base(m->open[g]);
    check_int(base ? base->time_s : 0, last ? last->time_s : 0);
    struct fx_chunk c = fx_chunk(&m->f, seed, 100 + seed);
    check_ok(fx_archive(&m->f, m->open[g], "root.pxar.didx", &c, 1, &file, diag));
    m->chunk_time[seed] = m->f.now_s;
    fx_chunk_free(&c);
}

static void do_forget(struct model *m, size_t g)
{
    struct model_snap *s = &m->snaps[g][pick(m, SNAPS)];
    const struct pbr_snapshot id = fx_snap(group_name(g), s->time_s);
    if (!s->there)
        return;
    const bool in_use = m->open[g] && newest(m, g) == s;
    const int rc = pbr_store_forget_snapshot(m->f.s, "", &id, NULL);
    check_int(rc, in_use || s->is_protected ? PBR_E_STATE : PBR_OK);
    if (rc == PBR_OK)
        *s = (struct model_snap){ 0 };
}

static void do_mark(struct model *m, size_t g)
{
    struct model_snap *s = &m->snaps[g][pick(m, SNAPS)];
    const struct pbr_snapshot id = fx_snap(group_name(g), s->time_s);
    if (!s->there)
        return;
    s->is_protected = pick(m, 2);
    (void)snprintf(s->notes, sizeof(s->notes), "n%d", (int)pick(m, 1000));
    check_ok(pbr_store_set_protected(m->f.s, "", &id, s->is_protected, diag));
    check_ok(pbr_store_set_notes(m->f.s, "", &id, s->notes, diag));
}

static void do_gc(struct model *m)
{
    bool used[SEEDS] = { false };
    struct pbr_gc_result r;
    uint64_t removed = 0;
    const struct pbr_gc_opts opts = { .has_cutoff = true, .cutoff_s = 200 };
    const bool busy = m->open[0] || m->open[1] || m->open[2];
    const int rc = pbr_store_gc(m->f.s, &opts, &r, NULL);
    check_int(rc, busy ? PBR_E_STATE : PBR_OK);
    if (busy)
        return;
    for (size_t g = 0; g < GROUPS; g++) {
        for (size_t i = 0; i < SNAPS; i++) {
            for (size_t k = 0; k < m->snaps[g][i].nr; k++)
                used[m->snaps[g][i].seeds[k]] = true;
        }
    }
    for (size_t i = 0; i < SEEDS; i++) {
        if (m->chunk_time[i] && used[i])
            m->chunk_time[i] = m->f.now_s;
        if (m->chunk_time[i] && m->chunk_time[i] < m->f.now_s - 200) {
            m->chunk_time[i] = 0;
            removed++;
        }
    }
    check_u64(r.removed_chunks, removed);
    check_u64(r.missing_chunks, 0);
}

static void do_reopen(struct model *m)
{
    if (m->open[0] || m->open[1] || m->open[2])
        return;
    pbr_store_close(m->f.s);
    fx_open(&m->f);
}

/* ---- comparison ---- */

static void compare_index(struct model *m, const struct pbr_snapshot *id, const struct model_snap *s)
{
    struct pbr_store_index ix;
    check_ok(pbr_store_load_index(m->f.s, "", id, "root.pxar.didx", &ix, diag));
    check_u64(ix.ix.entry_nr, s->nr);
    for (size_t i = 0; i < s->nr; i++) {
        struct fx_chunk c = fx_chunk(&m->f, s->seeds[i], 100 + s->seeds[i]);
        check(memcmp(pbr_index_digest(&ix.ix, i), c.digest, PBR_DIGEST_LEN) == 0);
        check_u64(pbr_index_end(&ix.ix, i) - pbr_index_start(&ix.ix, i), c.size);
        fx_chunk_free(&c);
    }
    pbr_store_index_release(&ix);
}

static void compare_group(struct model *m, size_t g)
{
    struct pbr_store_snapshots l;
    size_t want = m->open[g] != NULL;
    check_ok(pbr_store_list_snapshots(m->f.s, "", "host", group_name(g), &l, diag));
    for (size_t i = 0; i < SNAPS; i++) {
        const struct model_snap *s = &m->snaps[g][i];
        const struct pbr_store_snapshot *got = NULL;
        if (!s->there)
            continue;
        want++;
        for (size_t k = 0; k < l.nr; k++)
            got = l.items[k].id.time_s == s->time_s ? &l.items[k] : got;
        assert_non_null(got);
        check(got->has_manifest);
        check_int(got->is_protected, s->is_protected);
        check_str(got->notes ? got->notes : "", s->notes);
        compare_index(m, &got->id, s);
    }
    check_int(l.nr, want);
    pbr_store_snapshots_release(&l);
    const struct pbr_snapshot any = fx_snap(group_name(g), 1);
    check_int(pbr_store_has_group(m->f.s, "", &any.group), want > 0);
}

static void compare(struct model *m)
{
    for (size_t g = 0; g < GROUPS; g++)
        compare_group(m, g);
    for (uint64_t i = 0; i < SEEDS; i++) {
        uint64_t size;
        struct fx_chunk c = fx_chunk(&m->f, i, 100 + i);
        check_int(pbr_store_chunk_stat(m->f.s, c.digest, &size), m->chunk_time[i] ? PBR_OK : PBR_E_NOENT);
        fx_chunk_free(&c);
    }
}

static void test_the_store_does_what_the_model_does(void **state)
{
    struct model *m = calloc(1, sizeof(*m));
    (void)state;
    assert_non_null(m);
    fx_start(&m->f);
    m->random = test_seed(20);
    for (int step = 0; step < STEPS; step++) {
        const size_t g = pick(m, GROUPS);
        m->f.now_s += 1 + (int64_t)pick(m, 100);
        switch (pick(m, 10)) {
        case 0: case 1: case 2: do_backup(m, g); break;
        case 3: case 4: do_session(m, g); break;
        case 5: case 6: do_forget(m, g); break;
        case 7: do_mark(m, g); break;
        case 8: do_gc(m); break;
        default: do_reopen(m); break;
        }
        compare(m);
    }
    for (size_t g = 0; g < GROUPS; g++)
        pbr_store_backup_end(m->open[g]);
    fx_stop(&m->f);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_store_does_what_the_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
