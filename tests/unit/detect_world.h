/* SPDX-License-Identifier: MIT */
/* What tests of detect share: a walk over a list of entries, with the archiver and the payload stream around the decision
 * played in memory. */
#ifndef PBR_DETECT_WORLD_H
#define PBR_DETECT_WORLD_H

#include "detect/reuse.h"
#include "test.h"

enum { WORLD_MAX = 600, CHUNKS_MAX = 8192, HDR = 16 };

struct item {
    enum pbr_reuse_kind kind;
    const char *name; /* path */
    uint64_t size;
    uint64_t mtime;
    uint64_t ino;     /* 0: a file of its own */
    uint64_t seed;    /* of the content */
};

struct previous_item {
    const char *name;
    uint64_t off, size, mtime;
    bool hardlink, dir;
};

struct written {
    const struct item *item;
    uint64_t off;
    bool link, reused;
};

struct injected {
    uint64_t boundary, bytes, nr;
};

struct chunk {
    uint64_t end;
    bool is_injected;
    uint8_t digest[PBR_DIGEST_LEN];
};

struct world {
    struct test_world test;
    struct pbr_env env;
    struct pbr_index index;
    uint8_t *index_file;
    const struct previous_item *previous;
    size_t previous_nr;
    const struct item *current;
    struct pbr_pxar_entry lent;
    uint64_t lookups, disordered;
    /* the archiver */
    uint64_t pos;
    struct {
        const struct item *item;
        uint64_t rel;
    } waiting[WORLD_MAX];
    size_t waiting_nr, waiting_most; /* most: without directory ends */
    struct written written[WORLD_MAX];
    size_t written_nr;
    struct injected injections[CHUNKS_MAX];
    size_t injection_nr;
    struct chunk injected_chunks[CHUNKS_MAX]; /* in stream order */
    size_t injected_chunk_nr;
    struct pbr_reuse_counts counts;
};

/* Index file of these ends; digests are the chunk's number, or digest_of[i]. */
static inline void world_index(struct world *w, const uint64_t *ends, const uint8_t (*digests)[PBR_DIGEST_LEN], size_t nr)
{
    const struct pbr_index head = { .kind = PBR_INDEX_DYNAMIC };
    w->index_file = calloc(1, PBR_INDEX_HDR + nr * PBR_DIDX_REC);
    assert_non_null(w->index_file);
    pbr_index_hdr_emit(&head, w->index_file);
    for (size_t i = 0; i < nr; i++) {
        uint8_t number[PBR_DIGEST_LEN] = { (uint8_t)i, (uint8_t)(i >> 8), 1 };
        pbr_didx_rec_emit(ends[i], digests ? digests[i] : number, w->index_file + PBR_INDEX_HDR + i * PBR_DIDX_REC);
    }
    check_int(pbr_index_parse(pbr_span(w->index_file, PBR_INDEX_HDR + nr * PBR_DIDX_REC), false, &w->index, NULL), PBR_OK);
}

static inline struct pbr_pxar_meta meta_of(uint64_t mtime)
{
    return (struct pbr_pxar_meta){ .mode = PBR_MODE_REG | 0644, .mtime_s = (int64_t)mtime };
}

static int world_lookup(void *ctx, const struct pbr_pxar_entry **ret, struct pbr_diag *diag)
{
    struct world *w = ctx;
    (void)diag;
    w->lookups++;
    *ret = NULL;
    for (size_t i = 0; i < w->previous_nr; i++) {
        const struct previous_item *p = &w->previous[i];
        if (strcmp(p->name, w->current->name) != 0)
            continue;
        w->lent = (struct pbr_pxar_entry){ .kind = PBR_KIND_FILE, .meta = meta_of(p->mtime), .size = p->size,
                                           .has_ref = true, .ref_off = p->off };
        if (p->hardlink)
            w->lent = (struct pbr_pxar_entry){ .kind = PBR_KIND_HARDLINK };
        if (p->dir)
            w->lent = (struct pbr_pxar_entry){ .kind = PBR_KIND_DIR, .meta = meta_of(p->mtime) };
        *ret = &w->lent;
    }
    return PBR_OK;
}

static inline void write_item(struct world *w, const struct item *item, const uint64_t *ref)
{
    struct written *out = &w->written[w->written_nr];
    if (item->kind != PBR_REUSE_FILE)
        return;
    check(w->written_nr < WORLD_MAX);
    *out = (struct written){ .item = item };
    for (size_t i = 0; i < w->written_nr; i++)
        out->link |= item->ino && w->written[i].item->ino == item->ino;
    w->written_nr++;
    if (out->link)
        return;
    out->reused = ref != NULL;
    out->off = ref ? *ref : w->pos;
    check(out->off >= w->pos);
    if (!ref)
        w->pos += HDR + item->size;
}

static int world_replay(void *ctx, const uint64_t *start_pad, struct pbr_diag *diag)
{
    struct world *w = ctx;
    const uint64_t base = start_pad ? w->pos + *start_pad : 0;
    (void)diag;
    for (size_t i = 0; i < w->waiting_nr; i++) {
        const uint64_t ref = base + w->waiting[i].rel;
        write_item(w, w->waiting[i].item, start_pad ? &ref : NULL);
    }
    w->waiting_nr = 0;
    return PBR_OK;
}

static int world_inject(void *ctx, const struct pbr_inject *inj, uint64_t bytes, struct pbr_diag *diag)
{
    struct world *w = ctx;
    uint64_t sum = 0;
    (void)diag;
    check(inj->chunk_nr >= 1 && inj->chunk_nr <= PBR_REUSE_BATCH && w->injection_nr < CHUNKS_MAX);
    w->injections[w->injection_nr++] = (struct injected){ w->pos, bytes, inj->chunk_nr };
    for (size_t i = 0; i < inj->chunk_nr; i++) {
        struct chunk *c = &w->injected_chunks[w->injected_chunk_nr++];
        check(inj->chunks[i].size > 0 && w->injected_chunk_nr < CHUNKS_MAX);
        sum += inj->chunks[i].size;
        *c = (struct chunk){ .end = w->pos + sum, .is_injected = true };
        memcpy(c->digest, inj->chunks[i].digest, PBR_DIGEST_LEN);
    }
    check_u64(sum, bytes);
    w->pos += bytes;
    return PBR_OK;
}

static void world_disordered(void *ctx, uint64_t off, uint64_t last)
{
    struct world *w = ctx;
    (void)off;
    (void)last;
    w->disordered++;
}

static inline uint64_t links_of(const struct item *items, size_t nr, const struct item *item)
{
    uint64_t n = 0;
    for (size_t i = 0; i < nr; i++)
        n += items[i].ino == item->ino;
    return item->ino ? n : 1;
}

/* Walks the items against w->index and w->previous. */
static inline int world_run(struct world *w, const struct item *items, size_t nr, uint64_t cache_max)
{
    struct pbr_reuse *r = NULL;
    const struct pbr_reuse_ops ops = { .ctx = w, .lookup = world_lookup, .replay = world_replay, .inject = world_inject,
                                       .disordered = world_disordered };
    uint64_t limited = 0;
    w->pos = HDR;
    int rc = pbr_reuse_new(&w->env, &w->index, cache_max, &ops, &r, NULL);
    for (size_t i = 0; i < nr && rc == PBR_OK; i++) {
        const struct pbr_pxar_meta meta = meta_of(items[i].mtime);
        const struct pbr_reuse_entry e = { .kind = items[i].kind, .meta = &meta, .size = items[i].size, .dev = 1,
                                           .ino = items[i].ino, .nlink = links_of(items, nr, &items[i]) };
        bool wait;
        uint64_t rel;
        w->current = &items[i];
        rc = pbr_reuse_add(r, &e, &wait, &rel, NULL);
        if (rc < 0)
            break;
        if (!wait) {
            check_int(w->waiting_nr, 0);
            write_item(w, &items[i], NULL);
            continue;
        }
        limited = w->waiting_nr == 0 ? 0 : limited;
        limited += items[i].kind != PBR_REUSE_DIR_END;
        check(limited <= cache_max && w->waiting_nr < WORLD_MAX);
        w->waiting[w->waiting_nr].item = &items[i];
        w->waiting[w->waiting_nr++].rel = rel;
    }
    if (rc == PBR_OK)
        rc = pbr_reuse_finish(r, NULL);
    if (rc == PBR_OK) {
        check_int(w->waiting_nr, 0);
        w->counts = pbr_reuse_counts(r);
        w->pos += HDR; /* tail marker */
    }
    pbr_reuse_free(r);
    return rc;
}

static inline struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->env = test_env(&w->test);
    return w;
}

static inline void world_free_all(struct world *w)
{
    check_int(w->test.live_allocs, 0);
    free(w->index_file);
    free(w);
}

#endif
