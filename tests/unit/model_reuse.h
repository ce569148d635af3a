/* SPDX-License-Identifier: MIT */
/* The decisions of change detection by brute force: sections 3 to 8 of spec/change-detection.md with everything spelled out.
 * The previous stream lies in memory byte by byte; padding is not accounted for but counted, as the bytes of a chunk's copy
 * that nobody uses. Shares no code with src/detect. */
#ifndef PBR_MODEL_REUSE_H
#define PBR_MODEL_REUSE_H

#include "model_stream.h"

enum { BATCH = 128 }; /* CDM-090 */

/* One chunk of the previous stream on its way into the new one. Its number is its identity [CDM-061]. */
struct copy {
    size_t number;
    uint64_t size;
    bool *used; /* per byte: a reference needs it */
};

struct waiting_entry {
    const struct walk_entry *e;
    uint64_t off; /* files: in the previous stream */
    bool is_file, is_duplicate;
};

struct figures {
    uint64_t reused_files, reused_size, reencoded_files, reencoded_size, hardlinks, injected_nr, injected_size, partial;
};

struct model {
    const struct snapshot *previous;
    uint64_t cache_max;
    struct text log;
    uint64_t pos; /* P */
    struct waiting_entry waiting[2 * NODES_MAX];
    size_t waiting_nr;
    uint64_t range_start, range_end; /* R; the end stays when it becomes empty [CDM-079] */
    struct copy held;
    bool has_held;
    struct {
        uint64_t off, end;
    } accepted[NODES_MAX];
    size_t accepted_nr;
    bool seen[NODES_MAX], written[NODES_MAX]; /* inodes [CDM-078, CDM-084] */
    struct figures figures;
    uint64_t continued, rejected; /* how often: tests want to have seen it */
};

/* ---- writing ---- */

static inline void model_file(struct model *m, const struct walk_entry *e, bool reused, uint64_t off)
{
    if (e->links > 1 && m->written[e->ino]) {
        text_add(&m->log, "%s is a link\n", e->path);
        return;
    }
    m->written[e->ino] = true;
    text_add(&m->log, "%s %s at %" PRIu64 "\n", e->path, reused ? "referred to" : "written", off);
    if (reused) {
        m->figures.reused_files++;
        m->figures.reused_size += HDR + e->in.size;
    } else {
        m->figures.reencoded_files++;
        m->figures.reencoded_size += HDR + e->in.size;
        m->pos += HDR + e->in.size;
    }
}

static inline void model_entry(struct model *m, const struct walk_entry *e)
{
    if (e->kind == WALK_FILE)
        model_file(m, e, false, m->pos);
    else
        text_add(&m->log, "%s %s\n", e->path, e->kind == WALK_DIR_END ? "ends" : "is an entry");
}

/* In batches; the chunk's line says which it is and how much of it is of no use [CDM-060, CDM-090]. */
static inline void model_inject(struct model *m, struct copy *copies, size_t nr)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < nr; i++) {
        uint64_t unused = 0;
        if (i % BATCH == 0)
            text_add(&m->log, "inject at %" PRIu64 "\n", m->pos + bytes);
        for (uint64_t b = 0; b < copies[i].size; b++)
            unused += !copies[i].used[b];
        text_add(&m->log, "  chunk %02x%02x of %" PRIu64 "\n", m->previous->chunks[copies[i].number].digest[0],
                 m->previous->chunks[copies[i].number].digest[1], copies[i].size);
        bytes += copies[i].size;
        m->figures.partial += unused > 0;
        m->figures.injected_nr++;
        free(copies[i].used);
    }
    m->figures.injected_size += bytes;
    m->pos += bytes;
}

static inline void model_inject_held(struct model *m)
{
    if (m->has_held)
        model_inject(m, &m->held, 1);
    m->has_held = false;
}

/* What waits, in order: files refer to their place in the copies that begin at P with chunk `first`, or are written. */
static inline void model_replay(struct model *m, bool reused, uint64_t first)
{
    model_inject_held(m);
    for (size_t i = 0; i < m->waiting_nr; i++) {
        const struct waiting_entry *w = &m->waiting[i];
        if (w->is_file && !w->is_duplicate && reused)
            model_file(m, w->e, true, m->pos + w->off - m->previous->chunks[first].start);
        else
            model_entry(m, w->e);
    }
    m->waiting_nr = 0;
    m->range_start = m->range_end;
}

/* ---- section 5 ---- */

/* From the chunk that holds the range's first byte to the first one that ends behind its end [CDM-056, CDM-058]. */
static inline size_t model_copies(const struct model *m, struct copy *out)
{
    size_t nr = 0;
    for (size_t i = 0; i < m->previous->chunk_nr; i++) {
        const struct chunk *c = &m->previous->chunks[i];
        if (c->end <= m->range_start)
            continue;
        struct copy *copy = &out[nr++];
        *copy = (struct copy){ .number = i, .size = c->end - c->start, .used = calloc(c->end - c->start, 1) };
        assert_non_null(copy->used);
        for (uint64_t b = 0; b < copy->size; b++)
            copy->used[b] = c->start + b >= m->range_start && c->start + b < m->range_end;
        if (c->end > m->range_end)
            break;
    }
    return nr;
}

/* More than a tenth of the copies is of no use; the size of the copies is the whole [CDM-065, CDM-066]. */
static inline bool model_is_wasteful(const struct copy *copies, size_t nr)
{
    uint64_t total = 0, unused = 0;
    for (size_t i = 0; i < nr; i++) {
        total += copies[i].size;
        for (uint64_t b = 0; b < copies[i].size; b++)
            unused += !copies[i].used[b];
    }
    return 10 * unused > total;
}

static inline void model_flush(struct model *m, bool keep)
{
    struct copy *copies = calloc(m->previous->chunk_nr, sizeof(*copies));
    assert_non_null(copies);
    const size_t nr = m->range_start == m->range_end ? 0 : model_copies(m, copies);
    const bool goes_on = nr > 0 && m->has_held && m->held.number == copies[0].number;
    for (uint64_t b = 0; goes_on && b < copies[0].size; b++) /* one copy serves both ranges */
        copies[0].used[b] |= m->held.used[b];
    if (nr == 0 || model_is_wasteful(copies, nr)) {
        m->rejected += nr > 0;
        for (size_t i = 0; i < nr; i++)
            free(copies[i].used);
        model_replay(m, false, 0);
        free(copies);
        return;
    }
    if (goes_on) {
        m->continued++;
        m->has_held = false;
        free(m->held.used);
    }
    model_inject_held(m);
    model_replay(m, true, copies[0].number);
    model_inject(m, copies, keep ? nr - 1 : nr);
    if (keep) {
        m->held = copies[nr - 1];
        m->has_held = true;
    }
    free(copies);
}

/* ---- section 3 ---- */

static inline bool model_is_reusable(struct model *m, const struct walk_entry *e, uint64_t *ret_off)
{
    const struct item *old = snapshot_find(m->previous, e->path);
    if (!old || old->kind != WALK_FILE || old->hardlink)
        return false;
    if (old->in.mode != e->in.mode || old->in.uid != e->in.uid || old->in.mtime != e->in.mtime ||
        old->in.xattrs != e->in.xattrs || old->size != e->in.size)
        return false;
    const uint64_t tail = m->previous->len - HDR; /* payloads lie between the markers [CDM-059] */
    if (old->off < HDR || old->off > tail || tail - old->off < HDR || tail - old->off - HDR < old->size)
        return false;
    for (size_t i = 0; i < m->accepted_nr; i++)
        if (old->off <= m->accepted[i].off || old->off < m->accepted[i].end) { /* CDM-042 f, CDM-125 */
            text_add(&m->log, "%s is out of order: %" PRIu64 " behind %" PRIu64 "\n", e->path, old->off,
                     m->accepted[m->accepted_nr - 1].off);
            return false;
        }
    m->accepted[m->accepted_nr].off = old->off;
    m->accepted[m->accepted_nr++].end = old->off + HDR + old->size;
    *ret_off = old->off;
    return true;
}

/* ---- section 6 ---- */

static inline void model_wait(struct model *m, const struct walk_entry *e, uint64_t off, bool is_duplicate)
{
    m->waiting[m->waiting_nr++] =
        (struct waiting_entry){ .e = e, .off = off, .is_file = e->kind == WALK_FILE, .is_duplicate = is_duplicate };
}

static inline uint64_t model_limited(const struct model *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->waiting_nr; i++)
        n += m->waiting[i].e->kind != WALK_DIR_END; /* CDM-081 */
    return n;
}

static inline void model_add_file(struct model *m, const struct walk_entry *e)
{
    uint64_t off;
    if (e->links > 1 && m->seen[e->ino]) {
        model_wait(m, e, 0, true);
        return;
    }
    m->figures.hardlinks += e->links > 1;
    m->seen[e->ino] = true;
    if (!model_is_reusable(m, e, &off)) {
        model_flush(m, false);
        model_inject_held(m);
        model_entry(m, e);
        return;
    }
    if (m->range_end == 0)
        m->range_start = m->range_end = off;
    if (m->range_end != off) { /* a hole */
        model_flush(m, true);
        m->range_start = off;
    }
    m->range_end = off + HDR + e->in.size;
    model_wait(m, e, off, false);
}

static inline void model_add(struct model *m, const struct walk_entry *e)
{
    if (e->kind == WALK_DIR_END) {
        if (m->waiting_nr > 0)
            model_wait(m, e, 0, false);
        else
            model_entry(m, e);
        return;
    }
    if (model_limited(m) >= m->cache_max)
        model_flush(m, true);
    if (e->kind == WALK_FILE) {
        model_add_file(m, e);
    } else if (m->waiting_nr > 0) {
        model_wait(m, e, 0, false);
    } else {
        model_replay(m, false, 0);
        model_entry(m, e);
    }
}

/* The whole run. The caller frees log.s. */
static inline void model_run(struct model *m, const struct snapshot *previous, const struct walk *walk, uint64_t cache_max)
{
    *m = (struct model){ .previous = previous, .cache_max = cache_max, .pos = HDR };
    for (size_t i = 0; i < walk->nr; i++)
        model_add(m, &walk->entries[i]);
    model_flush(m, false);
    model_inject_held(m);
    text_add(&m->log, "end at %" PRIu64 "\n", m->pos + HDR);
}

#endif
