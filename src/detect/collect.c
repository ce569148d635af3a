/* SPDX-License-Identifier: MIT */
/* Collecting chunks for an appendix; see collect.h. */
#include "detect/collect.h"

#include <string.h>

enum { CHUNKS_MAX = 1 << 30, RANGES_MAX = 1 << 30 }; /* bytes: 26 million chunks, 67 million files */

#define NONE UINT32_MAX

/* Chunks with one digest are linked in their order. */
struct pbr_collect_link {
    uint64_t start; /* of the chunk in the appendix */
    uint32_t next;  /* number of the next chunk with this digest, or NONE */
    uint32_t last;  /* in the first of them: number of the last one */
};

struct pbr_collect_range {
    uint64_t start, end;
};

void pbr_collect_init(struct pbr_collect *c, const struct pbr_env *env)
{
    *c = (struct pbr_collect){ .env = env };
    pbr_buf_init(&c->chunks, env, CHUNKS_MAX);
    pbr_buf_init(&c->links, env, CHUNKS_MAX);
    pbr_buf_init(&c->used, env, RANGES_MAX);
    pbr_known_init(&c->first, env);
}

void pbr_collect_release(struct pbr_collect *c)
{
    pbr_buf_release(&c->chunks);
    pbr_buf_release(&c->links);
    pbr_buf_release(&c->used);
    pbr_known_release(&c->first);
}

size_t pbr_collect_count(const struct pbr_collect *c)
{
    return c->chunks.len / sizeof(struct pbr_inject_chunk);
}

static const struct pbr_inject_chunk *chunk_at(const struct pbr_collect *c, size_t i)
{
    return (const void *)(c->chunks.ptr + i * sizeof(struct pbr_inject_chunk));
}

static struct pbr_collect_link *link_at(const struct pbr_collect *c, size_t i)
{
    return (void *)(c->links.ptr + i * sizeof(struct pbr_collect_link));
}

/* ---- places in use ---- */

static struct pbr_collect_range *range_at(const struct pbr_collect *c, size_t i)
{
    return (void *)(c->used.ptr + i * sizeof(struct pbr_collect_range));
}

/* Number of places that begin before `off`. */
static size_t places_before(const struct pbr_collect *c, uint64_t off)
{
    size_t low = 0, high = c->used.len / sizeof(struct pbr_collect_range);
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (range_at(c, mid)->start < off)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_free(const struct pbr_collect *c, uint64_t start, uint64_t len)
{
    const size_t n = c->used.len / sizeof(struct pbr_collect_range);
    const size_t i = places_before(c, start);
    return (i == 0 || range_at(c, i - 1)->end <= start) && (i == n || range_at(c, i)->start - start >= len);
}

static int use(struct pbr_collect *c, uint64_t start, uint64_t len)
{
    const struct pbr_collect_range range = { start, start + len };
    const size_t i = places_before(c, start);
    const size_t behind = c->used.len - i * sizeof(range);
    const int rc = pbr_buf_append(&c->used, pbr_span(&range, sizeof(range)));
    if (rc < 0)
        return rc;
    memmove(range_at(c, i + 1), range_at(c, i), behind); /* mostly nothing: places come in order */
    *range_at(c, i) = range;
    return PBR_OK;
}

/* ---- chunks ---- */

static int push(struct pbr_collect *c, const uint8_t *digest, uint64_t size)
{
    struct pbr_inject_chunk chunk = { .size = size };
    const size_t i = pbr_collect_count(c);
    const struct pbr_collect_link link = { .start = c->total, .next = NONE, .last = (uint32_t)i };
    uint32_t first;
    memcpy(chunk.digest, digest, PBR_DIGEST_LEN);
    int rc = pbr_buf_append(&c->chunks, pbr_span(&chunk, sizeof(chunk)));
    if (rc == PBR_OK)
        rc = pbr_buf_append(&c->links, pbr_span(&link, sizeof(link)));
    if (rc < 0)
        return rc;
    if (!pbr_add(c->total, size, &c->total))
        return PBR_E_LIMIT;
    if (!pbr_known_get(&c->first, digest, &first))
        return pbr_known_set(&c->first, digest, (uint32_t)i);
    link_at(c, link_at(c, first)->last)->next = (uint32_t)i;
    link_at(c, first)->last = (uint32_t)i;
    return PBR_OK;
}

/* Entries first + from .. of the run. */
static int push_run(struct pbr_collect *c, const struct pbr_index *ix, const struct pbr_run *run, uint64_t from)
{
    int rc = PBR_OK;
    for (uint64_t i = run->first + from; rc == PBR_OK && i < run->first + run->nr; i++)
        rc = push(c, pbr_index_digest(ix, i), pbr_index_end(ix, i) - pbr_index_start(ix, i));
    return rc;
}

static bool stands_at(const struct pbr_collect *c, size_t at, const struct pbr_index *ix, const struct pbr_run *run)
{
    if (run->nr > pbr_collect_count(c) - at)
        return false;
    for (uint64_t i = 0; i < run->nr; i++)
        if (memcmp(chunk_at(c, at + i)->digest, pbr_index_digest(ix, run->first + i), PBR_DIGEST_LEN) != 0)
            return false;
    return true;
}

/* Rule 1 of APX-100: all of it is there already. */
static bool find_whole(const struct pbr_collect *c, const struct pbr_index *ix, const struct pbr_run *run, uint64_t len,
                       uint64_t *ret_off)
{
    uint32_t i;
    if (!pbr_known_get(&c->first, pbr_index_digest(ix, run->first), &i))
        return false;
    for (; i != NONE; i = link_at(c, i)->next) {
        const uint64_t off = link_at(c, i)->start + run->start_pad;
        if (stands_at(c, i, ix, run) && is_free(c, off, len)) {
            *ret_off = off;
            return true;
        }
    }
    return false;
}

/* Rule 2: the last chunk is its first one. */
static bool continues_last(const struct pbr_collect *c, const struct pbr_index *ix, const struct pbr_run *run, uint64_t len,
                           uint64_t *ret_off)
{
    const size_t n = pbr_collect_count(c);
    if (n == 0 || memcmp(chunk_at(c, n - 1)->digest, pbr_index_digest(ix, run->first), PBR_DIGEST_LEN) != 0)
        return false;
    *ret_off = link_at(c, n - 1)->start + run->start_pad;
    return is_free(c, *ret_off, len);
}

int pbr_collect_add(struct pbr_collect *c, const struct pbr_index *ix, const struct pbr_run *run, uint64_t len,
                    uint64_t *ret_off, struct pbr_diag *diag)
{
    uint64_t off = c->total + run->start_pad;
    int rc = PBR_OK;
    if (find_whole(c, ix, run, len, &off))
        rc = PBR_OK;
    else if (continues_last(c, ix, run, len, &off))
        rc = push_run(c, ix, run, 1);
    else {
        off = c->total + run->start_pad; /* rule 3 */
        rc = push_run(c, ix, run, 0);
    }
    if (rc == PBR_OK)
        rc = use(c, off, len);
    if (rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "appendix: %s", pbr_err_name(rc));
    *ret_off = off;
    return PBR_OK;
}

bool pbr_collect_batch(const struct pbr_collect *c, size_t *from, struct pbr_inject *ret, uint64_t *ret_bytes)
{
    const size_t left = pbr_collect_count(c) - *from;
    const size_t n = left < PBR_COLLECT_BATCH ? left : PBR_COLLECT_BATCH;
    if (n == 0)
        return false;
    *ret = (struct pbr_inject){ .chunks = chunk_at(c, *from), .chunk_nr = n };
    *ret_bytes = 0;
    for (size_t i = 0; i < n; i++)
        *ret_bytes += ret->chunks[i].size;
    *from += n;
    return true;
}
