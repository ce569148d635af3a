/* SPDX-License-Identifier: MIT */
/* Goodbye tables; see goodbye.h. */
#include "format/goodbye.h"

#include <stdlib.h>
#include <string.h>

#include "prim/prim.h"

void pbr_goodbye_rec_emit(const struct pbr_pxar_rec *rec, uint8_t out[PBR_PXAR_GOODBYE_REC])
{
    pbr_put_u64le(out, rec->hash);
    pbr_put_u64le(out + 8, rec->offset);
    pbr_put_u64le(out + 16, rec->size);
}

struct pbr_pxar_rec pbr_goodbye_rec_get(const uint8_t in[PBR_PXAR_GOODBYE_REC])
{
    return (struct pbr_pxar_rec){
        .hash = pbr_get_u64le(in),
        .offset = pbr_get_u64le(in + 8),
        .size = pbr_get_u64le(in + 16),
    };
}

/* ---- order of the slots ---- */

size_t pbr_goodbye_first(size_t n)
{
    size_t slot = 0;
    while (slot < n / 2) /* left child 2i+1 < n */
        slot = 2 * slot + 1;
    return slot;
}

size_t pbr_goodbye_after(size_t slot, size_t n)
{
    if (slot <= (SIZE_MAX - 2) / 2 && 2 * slot + 2 < n) { /* leftmost of the right subtree */
        slot = 2 * slot + 2;
        while (slot <= (SIZE_MAX - 1) / 2 && 2 * slot + 1 < n)
            slot = 2 * slot + 1;
        return slot;
    }
    while (slot != 0 && slot % 2 == 0) /* up as long as we come from the right */
        slot = (slot - 1) / 2;
    return slot == 0 ? n : (slot - 1) / 2;
}

/* ---- building ---- */

/* Merges the runs a and b of from into to, stable. */
static void merge(const struct pbr_pxar_rec *from, size_t a, size_t mid, size_t end, struct pbr_pxar_rec *to)
{
    size_t b = mid;
    for (size_t i = a; i < end; i++) {
        if (a < mid && (b >= end || from[a].hash <= from[b].hash))
            to[i] = from[a++];
        else
            to[i] = from[b++];
    }
}

/* Stable merge sort by hash; the result is in the array that is returned, `recs` or `scratch`. */
static struct pbr_pxar_rec *sort_by_hash(struct pbr_pxar_rec *recs, struct pbr_pxar_rec *scratch, size_t n)
{
    struct pbr_pxar_rec *from = recs, *to = scratch;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t at = 0; at < n; at += 2 * width) {
            const size_t mid = n - at < width ? n : at + width;
            const size_t end = n - at < 2 * width ? n : at + 2 * width;
            merge(from, at, mid, end, to);
        }
        struct pbr_pxar_rec *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

int pbr_goodbye_arrange(const struct pbr_env *env, struct pbr_pxar_rec *recs, size_t n)
{
    if (n < 2)
        return PBR_OK;
    struct pbr_pxar_rec *scratch = pbr_alloc(env, n, sizeof(*scratch));
    if (!scratch)
        return PBR_E_NOMEM;

    struct pbr_pxar_rec *sorted = sort_by_hash(recs, scratch, n);
    struct pbr_pxar_rec *table = sorted == recs ? scratch : recs;
    size_t next = 0;
    for (size_t slot = pbr_goodbye_first(n); slot < n; slot = pbr_goodbye_after(slot, n))
        table[slot] = sorted[next++];
    if (table != recs)
        memcpy(recs, table, n * sizeof(*recs));
    pbr_free(env, scratch);
    return PBR_OK;
}

/* ---- checking ---- */

static int by_hash_and_pos(const void *pa, const void *pb)
{
    const struct pbr_goodbye_child *a = pa, *b = pb;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return a->name_pos < b->name_pos ? -1 : a->name_pos > b->name_pos;
}

void pbr_goodbye_sort(struct pbr_goodbye_child *children, size_t n)
{
    if (n)
        qsort(children, n, sizeof(*children), by_hash_and_pos);
}

void pbr_goodbye_child_set_name(struct pbr_goodbye_child *child, struct pbr_span name)
{
    child->hash = pbr_pxar_name_hash(name);
    child->name_check = pbr_crc32(0, name);
}

/* The child with this hash and position, or NULL. */
static struct pbr_goodbye_child *child_at(struct pbr_goodbye_child *children, size_t n, uint64_t hash,
                                          uint64_t name_pos)
{
    const struct pbr_goodbye_child key = { .hash = hash, .name_pos = name_pos };
    return n ? bsearch(&key, children, n, sizeof(*children), by_hash_and_pos) : NULL;
}

static int check_tail(const struct pbr_pxar_rec *tail, size_t n, uint64_t goodbye_pos, uint64_t dir_pos,
                      uint64_t at, struct pbr_diag *diag)
{
    const uint64_t full = PBR_PXAR_HDR + ((uint64_t)n + 1) * PBR_PXAR_GOODBYE_REC;
    if (tail->hash != PBR_PXAR_GOODBYE_TAIL)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-152", at, "last goodbye record is no tail");
    if (tail->size != full)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-152", at,
                        "goodbye tail says %" PRIu64 " bytes, the item has %" PRIu64, tail->size, full);
    if (tail->offset != goodbye_pos - dir_pos)
        return pbr_fail(diag, PBR_E_FORMAT, dir_pos ? "PXAR-152" : "PXAR-153", at,
                        "goodbye tail offset %" PRIu64 ", the directory starts %" PRIu64 " bytes before",
                        tail->offset, goodbye_pos - dir_pos);
    return PBR_OK;
}

static int check_rec(const struct pbr_pxar_rec *rec, struct pbr_goodbye_child *children, size_t n,
                     uint64_t goodbye_pos, uint64_t at, struct pbr_diag *diag)
{
    struct pbr_goodbye_child *c =
        rec->offset <= goodbye_pos ? child_at(children, n, rec->hash, goodbye_pos - rec->offset) : NULL;
    if (!c)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-151", at,
                        "goodbye record (hash %016" PRIx64 ", offset %" PRIu64 ") fits no child", rec->hash,
                        rec->offset);
    if (c->named)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-150", at, "goodbye table names one child twice");
    c->named = true;
    const uint64_t size = c->end_pos - c->name_pos;
    if (rec->size != size && rec->size != size + c->size_extra)
        return pbr_fail(diag, PBR_E_FORMAT, c->size_extra ? "PXAR-157" : "PXAR-154", at,
                        "goodbye record says %" PRIu64 " bytes, the child has %" PRIu64, rec->size, size);
    return PBR_OK;
}

int pbr_goodbye_check(const struct pbr_pxar_rec *recs, struct pbr_goodbye_child *children, size_t n,
                      uint64_t goodbye_pos, uint64_t dir_pos, struct pbr_diag *diag)
{
    const uint64_t first = goodbye_pos + PBR_PXAR_HDR;
    int rc = check_tail(&recs[n], n, goodbye_pos, dir_pos, first + (uint64_t)n * PBR_PXAR_GOODBYE_REC, diag);
    if (rc < 0)
        return rc;

    /* n records that each name another one of the n children name them all */
    size_t last = n;
    for (size_t slot = pbr_goodbye_first(n); slot < n; slot = pbr_goodbye_after(slot, n)) {
        const uint64_t at = first + (uint64_t)slot * PBR_PXAR_GOODBYE_REC;
        rc = check_rec(&recs[slot], children, n, goodbye_pos, at, diag);
        if (rc < 0)
            return rc;
        if (last < n && recs[slot].hash < recs[last].hash)
            return pbr_fail(diag, PBR_E_FORMAT, "PXAR-170", at, "goodbye records are not in tree order");
        last = slot;
    }
    return PBR_OK;
}

/* ---- lookup ---- */

void pbr_goodbye_find_init(struct pbr_goodbye_find *f, uint64_t hash, size_t n)
{
    f->hash = hash;
    f->n = n;
    f->depth = 0;
    f->started = false;
}

static void push_slot(struct pbr_goodbye_find *f, size_t parent, size_t child)
{
    /* 2i+1 or 2i+2; a parent beyond SIZE_MAX / 2 - 1 has no children that memory could hold */
    if (parent <= SIZE_MAX / 2 - 1 && 2 * parent + child < f->n)
        f->stack[f->depth++] = 2 * parent + child;
}

bool pbr_goodbye_find_next(struct pbr_goodbye_find *f, uint64_t (*hash_at)(void *ctx, size_t i), void *ctx,
                           size_t *ret_index)
{
    if (!f->started) {
        f->started = true;
        if (f->n > 0)
            f->stack[f->depth++] = 0;
    }
    while (f->depth > 0) { /* depth first: at most one open sibling per level, so 64 levels fit the stack */
        const size_t slot = f->stack[--f->depth];
        const uint64_t hash = hash_at(ctx, slot);
        if (f->hash < hash) {
            push_slot(f, slot, 1);
            continue;
        }
        push_slot(f, slot, 2);
        if (hash != f->hash)
            continue;
        push_slot(f, slot, 1);
        *ret_index = slot;
        return true;
    }
    return false;
}
