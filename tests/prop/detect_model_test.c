/* SPDX-License-Identifier: MIT */
/* covers: CDM-006 CDM-010 CDM-011 CDM-012 CDM-041 CDM-042 CDM-043 CDM-044 CDM-045 CDM-047 CDM-048 CDM-049 CDM-050 CDM-055 CDM-056 CDM-058 CDM-059 CDM-060 CDM-061 CDM-062 CDM-065 CDM-066 CDM-067 CDM-068 CDM-069 CDM-070 CDM-072 CDM-074 CDM-075 CDM-076 CDM-077 CDM-078 CDM-079 CDM-081 CDM-084 CDM-087 CDM-090 CDM-091 CDM-092 CDM-096 CDM-111 CDM-112 CDM-122 CDM-123 CDM-124 CDM-125 CDM-126 CDM-127 CDM-128 CDM-129 CDM-132 */
/* Change detection over generations: random trees and edits, every decision compared with a brute-force model, every stream
 * kept whole and looked at byte by byte.
 *
 *   PBR_MODEL_ROUNDS=  generations to run (make check-model ROUNDS=)
 *   PBR_SEED=          where to begin (make check-model SEED=); a failure names the seed of its chain
 *
 * A failing chain is made smaller, then printed as a list of edits. Chains run in processes of their own, so that one that
 * crashes is found and made smaller too. */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model_reuse.h"
#include "model_subject.h"

enum { ROUNDS_DEFAULT = 3000, SHRINK_TRIES = 4000 };

/* What happened, so that a run that proves nothing shows. */
struct seen {
    uint64_t rounds, reused, reencoded, continued, rejected, injected, repeated, disordered, stable, hidden;
};

/* ---- random scripts ---- */

static uint64_t below(uint64_t *rng, uint64_t n)
{
    return test_next_random(rng) % n;
}

struct taste {
    uint64_t scale, cut_max, avg;
    bool alike; /* few contents and sizes: equal chunks at several places */
};

static uint64_t random_size(uint64_t *rng, const struct taste *t)
{
    if (t->alike)
        return t->scale / 2 * (1 + below(rng, 3));
    switch (below(rng, 8)) {
    case 0:
        return below(rng, 3);
    case 1:
        return 255 + below(rng, 35); /* 272 is the smallest file that is worth its markers [CDM-065] */
    case 2:
        return below(rng, t->scale * 4);
    case 3:
        return t->cut_max * (1 + below(rng, 4)) - HDR % t->cut_max;
    default:
        return below(rng, t->scale);
    }
}

static struct edit random_edit(uint64_t *rng, const struct taste *t, bool creates)
{
    static const enum edit_op FIRST[] = { EDIT_CREATE, EDIT_CREATE, EDIT_CREATE, EDIT_CREATE, EDIT_CREATE, EDIT_CREATE,
                                          EDIT_MKDIR, EDIT_MKDIR, EDIT_OTHER, EDIT_LINK };
    struct edit e = { .pick = below(rng, 1000), .other = below(rng, 1000) };
    e.op = creates ? FIRST[below(rng, 10)] : (enum edit_op)below(rng, EDIT_OPS);
    if (e.op == EDIT_DELETE && below(rng, 2) == 0)
        e.op = EDIT_CREATE;
    e.size = random_size(rng, t);
    e.seed = below(rng, t->alike ? 3 : 1 << 20);
    return e;
}

static void random_generation(struct generation *g, uint64_t *rng, const struct taste *t, bool is_first)
{
    static const uint64_t ROOMS[] = { 1, 2, 3, 5, 8, 1000, 1000, 1000, 1000, 1000 };
    const uint64_t mode = below(rng, 20), many = below(rng, 4);
    g->mode = mode == 0 && !is_first ? RUN_LEGACY : mode <= 2 ? RUN_DATA : RUN_METADATA;
    g->cache_max = ROOMS[below(rng, sizeof(ROOMS) / sizeof(ROOMS[0]))];
    g->cut = t->avg;
    g->cut_max = t->cut_max;
    g->cut_seed = test_next_random(rng);
    g->edit_nr = is_first ? 5 + below(rng, 50) : many == 0 ? 0 : many == 1 ? below(rng, 16) : 1 + below(rng, 3);
    for (size_t i = 0; i < g->edit_nr; i++)
        g->edits[i] = random_edit(rng, t, is_first);
}

static void random_script(struct script *s, uint64_t seed)
{
    static const uint64_t SCALES[] = { 40, 400, 2000, 5000 }, CUTS[] = { 8, 64, 700, 5000 }, AVERAGES[] = { 256, 512, 4096 };
    uint64_t rng = seed;
    struct taste t = { .scale = SCALES[below(&rng, 4)], .cut_max = CUTS[below(&rng, 4)], .alike = below(&rng, 4) == 0 };
    t.avg = t.alike || below(&rng, 2) == 0 ? AVERAGES[below(&rng, 3)] : 0;
    if (t.avg == 0 && t.cut_max < 64 && t.scale > 400)
        t.cut_max = 64;
    *s = (struct script){ .generation_nr = 10 + below(&rng, GENERATIONS_MAX - 9) };
    for (size_t i = 0; i < s->generation_nr; i++)
        random_generation(&s->generations[i], &rng, &t, i == 0);
}

/* ---- invariants ---- */

static void check_references(const struct snapshot *s, bool is_damaged, struct text *wrong)
{
    uint64_t next = HDR;
    for (size_t i = 0; i < s->item_nr; i++) {
        const struct item *x = &s->items[i];
        if (x->kind != WALK_FILE || x->hardlink)
            continue;
        if (x->off < next || x->off + HDR + x->size > s->len - HDR) {
            text_add(wrong, "%s at %" PRIu64 " lies before %" PRIu64 " or behind the end\n", x->path, x->off, next);
            return;
        }
        uint8_t *want = malloc(HDR + x->size + 8);
        assert_non_null(want);
        put_payload(want, x->size, x->stored_seed);
        if (!(is_damaged && x->reused) && memcmp(s->bytes + x->off, want, HDR + x->size) != 0)
            text_add(wrong, "%s at %" PRIu64 " holds something else\n", x->path, x->off);
        free(want);
        next = x->off + HDR + x->size;
    }
}

static bool has_chunk(const struct snapshot *s, const struct chunk *c)
{
    for (size_t i = 0; i < s->chunk_nr; i++)
        if (memcmp(s->chunks[i].digest, c->digest, PBR_DIGEST_LEN) == 0)
            return true;
    return false;
}

/* Chunks fill the stream; bytes that no reference needs lie in chunks of the previous stream, and are as many as said. */
static void check_chunks(const struct snapshot *s, const struct snapshot *before, const struct pbr_reuse_counts *c,
                         struct text *wrong)
{
    bool *needed = calloc(1, s->len);
    uint64_t at = 0, gaps = 0;
    assert_non_null(needed);
    memset(needed, true, HDR);
    memset(needed + s->len - HDR, true, HDR);
    for (size_t i = 0; i < s->item_nr; i++)
        if (s->items[i].kind == WALK_FILE && !s->items[i].hardlink)
            memset(needed + s->items[i].off, true, HDR + s->items[i].size);
    for (size_t i = 0; i < s->chunk_nr; i++) {
        const struct chunk *k = &s->chunks[i];
        uint64_t unused = 0;
        if (k->start != at || k->end <= k->start)
            text_add(wrong, "chunk %zu begins at %" PRIu64 "\n", i, k->start);
        at = k->end;
        for (uint64_t b = k->start; b < k->end; b++)
            unused += !needed[b];
        if (unused > 0 && (!before || !has_chunk(before, k)))
            text_add(wrong, "chunk %zu has bytes that nobody needs and is new\n", i);
        gaps += unused;
    }
    if (at != s->len || gaps != pbr_reuse_padding(c))
        text_add(wrong, "chunks to %" PRIu64 " of %" PRIu64 ", %" PRIu64 " bytes of padding\n", at, s->len, gaps);
    free(needed);
}

static void check_figures(const struct pbr_reuse_counts *c, const struct figures *f, struct text *wrong)
{
    if (c->reused_files != f->reused_files || c->reused_size != f->reused_size || c->reencoded_files != f->reencoded_files ||
        c->reencoded_size != f->reencoded_size || c->hardlinks != f->hardlinks || c->injected_nr != f->injected_nr ||
        c->injected_size != f->injected_size || c->partial != f->partial)
        text_add(wrong, "other figures than the model's\n");
}

static uint64_t repeated_chunks(const struct snapshot *s, const struct snapshot *before)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->chunk_nr; i++)
        for (size_t k = i + 1; k < s->chunk_nr; k++)
            n += memcmp(s->chunks[i].digest, s->chunks[k].digest, PBR_DIGEST_LEN) == 0 && has_chunk(before, &s->chunks[i]);
    return n;
}

/* The first line that differs. */
static void check_logs(const struct text *got, const struct text *want, struct text *wrong)
{
    size_t at = 0, line = 0;
    while (got->s[at] && got->s[at] == want->s[at])
        at++;
    if (got->s[at] == want->s[at])
        return;
    while (at > 0 && got->s[at - 1] != '\n')
        at--;
    for (size_t i = 0; i < at; i++)
        line += got->s[i] == '\n';
    text_add(wrong, "decision %zu: \"%.*s\", the model says \"%.*s\"\n", line, (int)strcspn(got->s + at, "\n"), got->s + at,
             (int)strcspn(want->s + at, "\n"), want->s + at);
}

/* ---- a chain ---- */

struct chain {
    struct tree tree;
    struct walk walk, walk_before;
    struct snapshot before; /* chunks: of the last backup */
    bool has_before, was_whole; /* whole: it re-used every file, each chunk once; markers are chunks */
    enum sabotage sabotage;
    struct seen *seen;
    FILE *trace;
    struct text wrong;
};

/* References as a damaged archive or index would have them [CDM-143, CDM-167, CDM-169]. */
static void damage(struct snapshot *s, const struct edit *e)
{
    struct item *files[2 * NODES_MAX];
    size_t nr = 0;
    for (size_t i = 0; i < s->item_nr; i++)
        if (s->items[i].kind == WALK_FILE && !s->items[i].hardlink)
            files[nr++] = &s->items[i];
    if (nr == 0)
        return;
    struct item *one = files[e->pick % nr], *two = files[e->other % nr];
    const uint64_t off = one->off, odd[] = { two->off, s->len - HDR - one->size, s->len, UINT64_MAX - e->size, e->size % HDR,
                                             off + e->seed % 64, off - e->seed % 16, e->seed };
    if (e->seed % 9 == 8 && s->chunk_nr > 1) {
        s->chunk_nr = 1 + e->pick % (s->chunk_nr - 1);
        s->len = s->chunks[s->chunk_nr - 1].end;
        return;
    }
    one->off = odd[e->seed % 8];
    if (e->seed % 2 == 0)
        two->off = off;
}

static bool is_damaged(const struct generation *g)
{
    for (size_t i = 0; i < g->edit_nr; i++)
        if (g->edits[i].op == EDIT_DAMAGE)
            return true;
    return false;
}

static bool same_walk(const struct walk *a, const struct walk *b)
{
    bool same = a->nr == b->nr;
    for (size_t i = 0; same && i < a->nr; i++)
        same = strcmp(a->entries[i].path, b->entries[i].path) == 0 && a->entries[i].ino == b->entries[i].ino &&
               memcmp(&a->entries[i].in, &b->entries[i].in, sizeof(struct inode)) == 0;
    return same;
}

/* A second run without a change gives the same chunks and references again [CDM-132]. */
static void check_stable(struct chain *c, const struct generation *g, const struct snapshot *after)
{
    if (!c->was_whole || g->cache_max < 1000 || g->cut == 0 || !same_walk(&c->walk, &c->walk_before))
        return;
    bool same = after->chunk_nr == c->before.chunk_nr;
    for (size_t i = 0; same && i < after->chunk_nr; i++)
        same = after->chunks[i].end == c->before.chunks[i].end &&
               memcmp(after->chunks[i].digest, c->before.chunks[i].digest, PBR_DIGEST_LEN) == 0;
    for (size_t i = 0; same && i < after->item_nr; i++)
        same = after->items[i].off == c->before.items[i].off;
    if (!same)
        text_add(&c->wrong, "an unchanged tree gives another stream\n");
    c->seen->stable++;
}

static void compare(struct chain *c, const struct subject *s, const struct snapshot *reference, uint64_t cache_max)
{
    struct model *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    model_run(m, reference, &c->walk, cache_max);
    if (c->trace)
        fprintf(c->trace, "  decisions:\n%s", s->log.s);
    check_logs(&s->log, &m->log, &c->wrong);
    if (c->wrong.len == 0)
        check_figures(&s->counts, &m->figures, &c->wrong);
    c->seen->reused += m->figures.reused_files;
    c->seen->reencoded += m->figures.reencoded_files;
    c->seen->injected += m->figures.injected_nr;
    c->seen->continued += m->continued;
    c->seen->rejected += m->rejected;
    c->seen->disordered += m->log.s && strstr(m->log.s, "out of order") != NULL;
    free(m->log.s);
    free(m);
}

static void backup(struct chain *c, const struct generation *g, const struct snapshot *reference, struct snapshot *after)
{
    struct subject *s = calloc(1, sizeof(*s));
    const bool damaged = is_damaged(g);
    assert_non_null(s);
    s->sabotage = c->sabotage;
    after->mode = g->mode;
    subject_run(s, reference, &c->walk, g->cache_max, after);
    text_add(&c->wrong, "%s", s->wrong.s ? s->wrong.s : "");
    if (reference && c->wrong.len == 0)
        compare(c, s, reference, g->cache_max);
    if (c->wrong.len == 0)
        check_references(after, damaged, &c->wrong);
    if (c->wrong.len == 0) {
        if (g->cut)
            subject_cut(s, g->cut);
        else
            subject_cut_anywhere(s, g->cut_seed, g->cut_max);
        text_add(&c->wrong, "%s", s->wrong.s ? s->wrong.s : "");
        check_chunks(after, reference, &s->counts, &c->wrong);
    }
    if (reference && !damaged && c->wrong.len == 0) {
        check_stable(c, g, after);
        const uint64_t repeated = repeated_chunks(after, reference);
        c->seen->repeated += repeated > 0;
        c->was_whole = s->counts.injected_nr > 0 && s->counts.reencoded_files == 0 && repeated == 0 && g->cut > 0;
    }
    subject_release(s);
    free(s);
}

static void run_generation(struct chain *c, size_t number, const struct generation *g)
{
    struct snapshot after = { 0 }, reference = c->before;
    c->tree.trace = c->trace;
    if (c->trace)
        fprintf(c->trace, "generation %zu: %s, %" PRIu64 " may wait, chunks of %" PRIu64 "\n", number, MODE_NAMES[g->mode],
                g->cache_max, g->cut ? g->cut : g->cut_max);
    for (size_t i = 0; i < g->edit_nr; i++)
        edit_apply(&c->tree, &g->edits[i]);
    c->walk_before = c->walk;
    c->walk.nr = 0;
    walk_below(&c->tree, -1, &c->walk);
    const bool refers = g->mode == RUN_METADATA && c->has_before && c->before.mode != RUN_LEGACY;
    for (size_t i = 0; refers && i < g->edit_nr; i++)
        if (g->edits[i].op == EDIT_DAMAGE)
            damage(&reference, &g->edits[i]);
    if (g->mode != RUN_LEGACY)
        backup(c, g, refers ? &reference : NULL, &after);
    after.mode = g->mode;
    c->seen->rounds++;
    if (refers && is_damaged(g)) { /* a dead end: the next one goes on from the good snapshot */
        snapshot_release(&after);
        c->walk = c->walk_before;
        return;
    }
    c->was_whole &= refers;
    snapshot_release(&c->before);
    c->before = after;
    c->has_before = true;
}

/* False: something is wrong, and was printed if there is a trace. */
static bool run_script(const struct script *s, enum sabotage sabotage, struct seen *seen, FILE *trace)
{
    struct chain *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->sabotage = sabotage;
    c->seen = seen;
    c->trace = trace;
    for (size_t i = 0; i < s->generation_nr && c->wrong.len == 0; i++)
        run_generation(c, i, &s->generations[i]);
    const bool fine = c->wrong.len == 0;
    if (!fine && trace)
        fprintf(trace, "  wrong: %s", c->wrong.s);
    snapshot_release(&c->before);
    free(c->wrong.s);
    free(c);
    return fine;
}

/* ---- making a failing script smaller ---- */

/* In a process of its own: a crash is a failure too. */
static bool holds(const struct script *s, enum sabotage sabotage, struct seen *seen, FILE *trace)
{
    int status = 0;
    (void)fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const bool fine = run_script(s, sabotage, seen, trace);
        (void)fflush(NULL);
        _exit(fine ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status == 0;
}

struct shrink {
    struct script script;
    enum sabotage sabotage;
    struct seen *seen; /* of no interest, but somewhere to count */
    int tries;
};

/* Keeps `next` if it fails still. */
static bool keep_if_failing(struct shrink *h, const struct script *next)
{
    if (h->tries++ >= SHRINK_TRIES || holds(next, h->sabotage, h->seen, NULL))
        return false;
    h->script = *next;
    return true;
}

static void drop_edits(struct generation *g, size_t from, size_t nr)
{
    memmove(g->edits + from, g->edits + from + nr, (g->edit_nr - from - nr) * sizeof(g->edits[0]));
    g->edit_nr -= nr;
}

static bool shrink_generations(struct shrink *h)
{
    bool better = false;
    for (size_t i = h->script.generation_nr; i-- > 1;) {
        struct script next = h->script;
        memmove(next.generations + i, next.generations + i + 1, (next.generation_nr - i - 1) * sizeof(next.generations[0]));
        next.generation_nr--;
        better |= keep_if_failing(h, &next);
    }
    return better;
}

static bool shrink_edits(struct shrink *h)
{
    bool better = false;
    for (size_t i = 0; i < h->script.generation_nr; i++) {
        for (size_t part = h->script.generations[i].edit_nr; part > 0; part /= 2) {
            for (size_t from = 0; from + part <= h->script.generations[i].edit_nr;) {
                struct script next = h->script;
                drop_edits(&next.generations[i], from, part);
                if (keep_if_failing(h, &next))
                    better = true;
                else
                    from += part;
            }
        }
    }
    return better;
}

static bool shrink_values(struct shrink *h)
{
    bool better = false;
    for (size_t i = 0; i < h->script.generation_nr; i++) {
        struct script next = h->script;
        next.generations[i].cache_max = 1000;
        if (h->script.generations[i].cache_max != 1000)
            better |= keep_if_failing(h, &next);
        for (size_t k = 0; k < h->script.generations[i].edit_nr; k++) {
            next = h->script;
            next.generations[i].edits[k].size /= 2;
            if (h->script.generations[i].edits[k].size > 0)
                better |= keep_if_failing(h, &next);
        }
    }
    return better;
}

static void shrink(struct shrink *h)
{
    for (bool better = true; better && h->tries < SHRINK_TRIES;) {
        better = shrink_generations(h);
        better = shrink_edits(h) || better;
    }
    for (bool better = true; better && h->tries < SHRINK_TRIES;) {
        better = shrink_values(h);
        better = shrink_edits(h) || better;
    }
}

static size_t count_edits(const struct script *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->generation_nr; i++)
        n += s->generations[i].edit_nr;
    return n;
}

/* ---- tests ---- */

static struct seen *seen_new(void)
{
    struct seen *seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(seen != MAP_FAILED);
    return seen;
}

static void seen_free(struct seen *seen)
{
    (void)munmap(seen, sizeof(*seen));
}

static uint64_t rounds_wanted(void)
{
    const char *text = getenv("PBR_MODEL_ROUNDS");
    return text && *text ? strtoull(text, NULL, 10) : ROUNDS_DEFAULT;
}

static void report(const struct script *failing, uint64_t seed, enum sabotage sabotage, struct seen *seen)
{
    struct shrink *h = calloc(1, sizeof(*h));
    assert_non_null(h);
    *h = (struct shrink){ .script = *failing, .sabotage = sabotage, .seen = seen };
    shrink(h);
    printf("chain of seed %" PRIu64 " fails: PBR_SEED=%" PRIu64 " PBR_MODEL_ROUNDS=1 repeats it. Made smaller:\n", seed, seed);
    (void)holds(&h->script, sabotage, seen, stdout);
    free(h);
}

static void test_decisions_equal_the_model(void **state)
{
    const uint64_t seed = test_seed(20260), rounds = rounds_wanted();
    struct seen *seen = seen_new();
    struct script *s = calloc(1, sizeof(*s));
    (void)state;
    assert_non_null(s);
    for (uint64_t i = 0; seen->rounds < rounds; i++) {
        random_script(s, seed + i);
        if (!holds(s, SABOTAGE_NONE, seen, NULL)) {
            report(s, seed + i, SABOTAGE_NONE, seen);
            fail();
        }
    }
    printf("%" PRIu64 " generations: %" PRIu64 " files re-used, %" PRIu64 " encoded; %" PRIu64 " chunks injected, %" PRIu64
           " held ones continued, %" PRIu64 " ranges not worth it, %" PRIu64 " runs repeat a chunk, %" PRIu64
           " have references out of order, %" PRIu64 " without a change\n",
           seen->rounds, seen->reused, seen->reencoded, seen->injected, seen->continued, seen->rejected, seen->repeated,
           seen->disordered, seen->stable);
    if (rounds >= ROUNDS_DEFAULT) /* the properties must not hold because nothing happens */
        check(seen->reused > rounds && seen->reencoded > rounds && seen->continued > 0 && seen->rejected > rounds / 10 &&
              seen->repeated > 0 && seen->disordered > 0 && seen->stable > 0);
    free(s);
    seen_free(seen);
}

/* A chain that fails becomes a handful of edits. */
static void test_wrong_decisions_are_found_and_made_small(void **state)
{
    static const enum sabotage ALL[] = { SABOTAGE_PAD, SABOTAGE_DROP_INJECTION, SABOTAGE_ALWAYS_ANEW };
    struct seen *seen = seen_new();
    struct shrink *h = calloc(1, sizeof(*h));
    (void)state;
    assert_non_null(h);
    for (size_t i = 0; i < sizeof(ALL) / sizeof(ALL[0]); i++) {
        uint64_t seed = 1;
        do
            random_script(&h->script, seed++);
        while (holds(&h->script, ALL[i], seen, NULL) && seed < 50);
        *h = (struct shrink){ .script = h->script, .sabotage = ALL[i], .seen = seen };
        check(!holds(&h->script, ALL[i], seen, NULL));
        shrink(h);
        check(!holds(&h->script, ALL[i], seen, NULL));
        check_int(h->script.generation_nr, 2);
        check(count_edits(&h->script) <= 3);
    }
    free(h);
    seen_free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions_equal_the_model),
        cmocka_unit_test(test_wrong_decisions_are_found_and_made_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
