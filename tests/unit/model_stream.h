/* SPDX-License-Identifier: MIT */
/* Snapshots of the model tests, kept whole in memory: every byte of the payload stream, its chunks, and what the metadata
 * archive says. And text that grows: logs, failures. */
#ifndef PBR_MODEL_STREAM_H
#define PBR_MODEL_STREAM_H

#include "model_tree.h"
#include "prim/prim.h"

enum { HDR = 16 };

/* ---- text ---- */

struct text {
    char *s;
    size_t len, cap;
};

static inline __attribute__((format(printf, 2, 3))) void text_add(struct text *t, const char *format, ...)
{
    va_list args;
    char line[1024];
    va_start(args, format);
    const int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    const size_t len = n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1;
    if (t->cap - t->len < len + 1) {
        t->cap = 2 * (t->cap + len + 1);
        t->s = realloc(t->s, t->cap);
        assert_non_null(t->s);
    }
    memcpy(t->s + t->len, line, len + 1);
    t->len += len;
}

/* ---- snapshots ---- */

struct chunk {
    uint64_t start, end;
    uint8_t digest[PBR_DIGEST_LEN];
};

struct item {
    char path[PATH_SPACE];
    enum walk_kind kind;
    bool hardlink;
    struct inode in;
    uint64_t off;          /* files: of the payload header */
    uint64_t size;         /* as the reference says: the tests damage it */
    uint64_t stored_seed;  /* whose content the payload is: not in.seed if a change went unseen */
    bool reused;
};

struct snapshot {
    enum run_mode mode;
    uint8_t *bytes;
    uint64_t len, cap;
    struct chunk *chunks;
    size_t chunk_nr, chunk_cap;
    struct item items[2 * NODES_MAX];
    size_t item_nr;
};

static inline void snapshot_release(struct snapshot *s)
{
    free(s->bytes);
    free(s->chunks);
    *s = (struct snapshot){ 0 };
}

static inline uint8_t *snapshot_grow(struct snapshot *s, uint64_t n)
{
    if (s->cap - s->len < n) {
        s->cap = 2 * (s->cap + n);
        s->bytes = realloc(s->bytes, s->cap);
        assert_non_null(s->bytes);
    }
    s->len += n;
    return s->bytes + s->len - n;
}

static inline void snapshot_add_chunk(struct snapshot *s, uint64_t start, uint64_t end)
{
    if (s->chunk_nr == s->chunk_cap) {
        s->chunk_cap = s->chunk_cap ? 2 * s->chunk_cap : 64;
        s->chunks = realloc(s->chunks, s->chunk_cap * sizeof(*s->chunks));
        assert_non_null(s->chunks);
    }
    struct chunk *c = &s->chunks[s->chunk_nr++];
    *c = (struct chunk){ .start = start, .end = end };
    check_int(pbr_sha256(pbr_span(s->bytes + start, (size_t)(end - start)), pbr_span(NULL, 0), c->digest), PBR_OK);
}

/* Header and content of a file's payload. */
static inline void put_payload(uint8_t *at, uint64_t size, uint64_t seed)
{
    uint64_t state = seed;
    memset(at, 'H', HDR);
    memcpy(at + 8, &size, sizeof(size));
    for (uint64_t i = 0; i < size; i += 8) {
        const uint64_t word = test_next_random(&state);
        memcpy(at + HDR + i, &word, size - i < 8 ? size - i : 8);
    }
}

static inline const struct item *snapshot_find(const struct snapshot *s, const char *path)
{
    for (size_t i = 0; i < s->item_nr; i++)
        if (strcmp(s->items[i].path, path) == 0)
            return &s->items[i];
    return NULL;
}

#endif
