/* SPDX-License-Identifier: MIT */
/* What a snapshot re-used of an earlier one; see report.h. Chunks first, for what a file is hangs on its chunks; why files
 * were read again is in report_why.c. */
#include "detect/report.h"

#include <string.h>

#include "detect/report_int.h"

static int no_memory(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the report");
}

uint64_t pbr_report_range_end(const struct pbr_layout_entry *e)
{
    uint64_t end;
    return pbr_add(e->off, e->head, &end) && pbr_add(end, e->size, &end) && pbr_add(end, PBR_PXAR_HDR, &end) ? end : UINT64_MAX;
}

static const struct pbr_layout_entry *nth_file(const struct pbr_report *r, size_t n)
{
    return pbr_layout_get(r->now, pbr_layout_file(r->now, n));
}

/* ---- chunks: what is used of them, by whom ---- */

struct sweep {
    size_t chunk;
    uint64_t done; /* everything before is accounted for */
};

/* [from, to) is in use; calls come by `from`. */
static void mark_used(struct pbr_report *r, struct sweep *s, uint64_t from, uint64_t to)
{
    from = from < s->done ? s->done : from; /* ranges of damaged archives may overlap */
    while (s->chunk < r->chunk_nr && from < to) {
        struct pbr_report_chunk *c = &r->chunks[s->chunk];
        const uint64_t end = c->start + c->size;
        if (from < end) {
            const uint64_t upto = to < end ? to : end;
            c->used += upto - from;
            from = s->done = upto;
        }
        if (from < end)
            return;
        s->chunk++;
    }
}

static void measure_use(struct pbr_report *r)
{
    const uint64_t size = pbr_layout_index(r->now)->size;
    struct sweep s = { 0 };
    mark_used(r, &s, 0, pbr_layout_first(r->now));
    for (size_t n = 0; n < pbr_layout_file_count(r->now); n++) {
        const struct pbr_layout_entry *e = nth_file(r, n);
        mark_used(r, &s, e->off, pbr_report_range_end(e));
    }
    mark_used(r, &s, pbr_layout_last(r->now), size);
}

static void assign_files(struct pbr_report *r)
{
    const size_t file_nr = pbr_layout_file_count(r->now);
    size_t first = 0;
    for (size_t i = 0; i < r->chunk_nr; i++) {
        struct pbr_report_chunk *c = &r->chunks[i];
        while (first < file_nr && pbr_report_range_end(nth_file(r, first)) <= c->start)
            first++;
        size_t last = first;
        while (last < file_nr && nth_file(r, last)->off < c->start + c->size)
            last++;
        c->file_first = first;
        c->file_nr = last - first;
    }
}

/* ---- chunks: where they come from ---- */

static bool old_has_at(const struct pbr_report *r, uint64_t old, const uint8_t *digest)
{
    const struct pbr_index *ix = pbr_layout_index(r->before);
    return old < ix->entry_nr && memcmp(pbr_index_digest(ix, old), digest, PBR_DIGEST_LEN) == 0;
}

/* Whether a file's header lies in a chunk of the earlier stream at the same place inside of it; *ret_old: which one. */
static bool is_same_place(const struct pbr_report *r, size_t chunk, const struct pbr_layout_entry *e, uint64_t *ret_old)
{
    size_t at;
    uint64_t old;
    if (!r->before || !pbr_layout_find(r->before, e->path, &at))
        return false;
    const struct pbr_layout_entry *was = pbr_layout_get(r->before, at);
    const struct pbr_index *ix = pbr_layout_index(r->before);
    if (was->kind != PBR_KIND_FILE || !pbr_index_lookup(ix, was->off, &old) || e->off < r->chunks[chunk].start)
        return false;
    if (!old_has_at(r, old, pbr_index_digest(pbr_layout_index(r->now), chunk)) ||
        was->off - pbr_index_start(ix, old) != e->off - r->chunks[chunk].start)
        return false;
    *ret_old = old;
    return true;
}

/* The earlier entry that a chunk most likely is: the neighbour of the one before, the one its files were in, any. */
static uint64_t find_old(const struct pbr_report *r, size_t i)
{
    size_t first;
    uint64_t old;
    const uint8_t *digest = pbr_index_digest(pbr_layout_index(r->now), i);
    if (!r->before || pbr_layout_digest_count(r->before, digest, &first) == 0)
        return PBR_REPORT_NONE;
    if (i > 0 && r->chunks[i - 1].old != PBR_REPORT_NONE && old_has_at(r, r->chunks[i - 1].old + 1, digest))
        return r->chunks[i - 1].old + 1;
    const struct pbr_report_chunk *c = &r->chunks[i];
    for (size_t n = 0; n < c->file_nr && n < 2; n++) /* the first may begin before the chunk */
        if (is_same_place(r, i, nth_file(r, c->file_first + n), &old))
            return old;
    return pbr_layout_digest_get(r->before, first, 0);
}

/* Whether any file in the chunk was read. Files that do not tell are asked only if all others are silent too. */
static bool was_read(const struct pbr_report *r, size_t i)
{
    const struct pbr_report_chunk *c = &r->chunks[i];
    bool unknown = false, same = true, known = false;
    uint64_t old;
    for (size_t n = 0; n < c->file_nr; n++) {
        const struct pbr_layout_entry *e = nth_file(r, c->file_first + n);
        if (e->read == PBR_LAYOUT_READ)
            return true;
        known = known || e->read == PBR_LAYOUT_NOT_READ;
        if (e->read == PBR_LAYOUT_READ_UNKNOWN && e->off >= c->start) {
            unknown = true;
            same = same && is_same_place(r, i, e, &old);
        }
    }
    return !known && unknown ? !same : false;
}

static bool is_marker(const struct pbr_report_chunk *c)
{
    return c->file_nr == 0 && c->used == c->size && c->size > 0;
}

static enum pbr_report_chunk_kind kind_of_chunk(const struct pbr_report *r, size_t i)
{
    const struct pbr_report_chunk *c = &r->chunks[i];
    if (is_marker(c))
        return PBR_REPORT_CHUNK_MARKER;
    if (c->old == PBR_REPORT_NONE && (c->sent || !c->read))
        return PBR_REPORT_CHUNK_NEW;
    if (c->read)
        return PBR_REPORT_CHUNK_KNOWN;
    return c->used < c->size ? PBR_REPORT_CHUNK_PART : PBR_REPORT_CHUNK_WHOLE;
}

static bool is_joined(const struct pbr_report *r, size_t i)
{
    if (i == 0)
        return false;
    const struct pbr_report_chunk *a = &r->chunks[i - 1], *b = &r->chunks[i];
    if (a->kind == PBR_REPORT_CHUNK_MARKER || b->kind == PBR_REPORT_CHUNK_MARKER)
        return true;
    if (a->read != b->read)
        return false;
    return a->read || (a->old == PBR_REPORT_NONE ? b->old == PBR_REPORT_NONE : b->old == a->old + 1);
}

static void judge_chunks(struct pbr_report *r)
{
    const struct pbr_index *ix = pbr_layout_index(r->now);
    for (size_t i = 0; i < r->chunk_nr; i++) {
        struct pbr_report_chunk *c = &r->chunks[i];
        size_t first;
        (void)pbr_layout_digest_count(r->now, pbr_index_digest(ix, i), &first);
        c->old = find_old(r, i);
        c->read = !is_marker(c) && was_read(r, i);
        c->sent = c->old == PBR_REPORT_NONE && pbr_layout_digest_get(r->now, first, 0) == i;
        c->kind = kind_of_chunk(r, i);
        c->joined = is_joined(r, i);
    }
}

/* ---- files ---- */

static void find_chunks(struct pbr_report *r, struct pbr_report_file *f, const struct pbr_layout_entry *e)
{
    const struct pbr_index *ix = pbr_layout_index(r->now);
    uint64_t last;
    const uint64_t end = pbr_report_range_end(e);
    if (!pbr_index_lookup(ix, e->off, &f->chunk_first))
        return; /* a damaged reference: no chunk has it */
    if (!pbr_index_lookup(ix, end - 1, &last))
        last = ix->entry_nr - 1;
    f->chunk_nr = last - f->chunk_first + 1;
}

static bool is_file_read(const struct pbr_report *r, const struct pbr_report_file *f, const struct pbr_layout_entry *e)
{
    uint64_t old;
    if (e->read != PBR_LAYOUT_READ_UNKNOWN)
        return e->read == PBR_LAYOUT_READ;
    if (f->chunk_nr == 0 || r->chunks[f->chunk_first].read)
        return true;
    return r->chunks[f->chunk_first].kind != PBR_REPORT_CHUNK_PART && !is_same_place(r, (size_t)f->chunk_first, e, &old);
}

static enum pbr_report_file_kind kind_of_file(const struct pbr_report *r, const struct pbr_report_file *f,
                                              const struct pbr_layout_entry *e)
{
    if (e->kind == PBR_KIND_HARDLINK)
        return PBR_REPORT_FILE_LINK;
    if (is_file_read(r, f, e))
        return f->old_entry == SIZE_MAX ? PBR_REPORT_FILE_NEW : PBR_REPORT_FILE_REENCODED;
    for (uint64_t i = 0; i < f->chunk_nr; i++)
        if (r->chunks[f->chunk_first + i].old == PBR_REPORT_NONE)
            return PBR_REPORT_FILE_KEPT;
    return f->chunk_nr > 0 ? PBR_REPORT_FILE_REUSED : PBR_REPORT_FILE_KEPT;
}

static void judge_files(struct pbr_report *r)
{
    const size_t nr = pbr_layout_count(r->now);
    for (size_t i = 0; i < nr; i++) {
        const struct pbr_layout_entry *e = pbr_layout_get(r->now, i);
        if (e->kind != PBR_KIND_FILE && e->kind != PBR_KIND_HARDLINK)
            continue;
        struct pbr_report_file *f = &r->files[r->file_nr++];
        *f = (struct pbr_report_file){ .entry = i, .old_entry = SIZE_MAX };
        if (r->before && !pbr_layout_find(r->before, e->path, &f->old_entry))
            f->old_entry = SIZE_MAX;
        if (e->kind == PBR_KIND_FILE)
            find_chunks(r, f, e);
        f->kind = kind_of_file(r, f, e);
    }
}

/* The file at an entry of the layout; entries ascend. */
static struct pbr_report_file *file_at(const struct pbr_report *r, size_t entry)
{
    size_t low = 0, high = r->file_nr;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (r->files[mid].entry < entry)
            low = mid + 1;
        else
            high = mid;
    }
    return low < r->file_nr && r->files[low].entry == entry ? &r->files[low] : NULL;
}

static void measure_gaps(struct pbr_report *r)
{
    uint64_t done = pbr_layout_first(r->now);
    for (size_t n = 0; n < pbr_layout_file_count(r->now); n++) {
        const struct pbr_layout_entry *e = nth_file(r, n);
        struct pbr_report_file *f = file_at(r, pbr_layout_file(r->now, n));
        const uint64_t end = pbr_report_range_end(e);
        f->gap = e->off > done ? e->off - done : 0;
        done = end > done ? end : done;
    }
}

/* ---- sums ---- */

static void count(struct pbr_report_sum *sum, uint64_t bytes)
{
    sum->nr++;
    sum->bytes += bytes;
}

static uint64_t count_removed(const struct pbr_report *r)
{
    uint64_t nr = 0;
    size_t at;
    for (size_t i = 0; r->before && i < pbr_layout_count(r->before); i++) {
        const struct pbr_layout_entry *e = pbr_layout_get(r->before, i);
        if (e->kind != PBR_KIND_FILE && e->kind != PBR_KIND_HARDLINK)
            continue;
        const struct pbr_layout_entry *is = pbr_layout_find(r->now, e->path, &at) ? pbr_layout_get(r->now, at) : NULL;
        nr += !is || (is->kind != PBR_KIND_FILE && is->kind != PBR_KIND_HARDLINK);
    }
    return nr;
}

static void add_up(struct pbr_report *r)
{
    struct pbr_report_totals *t = &r->totals;
    for (size_t i = 0; i < r->file_nr; i++)
        count(&t->files[r->files[i].kind], pbr_layout_get(r->now, r->files[i].entry)->size);
    for (size_t i = 0; i < r->chunk_nr; i++) {
        const struct pbr_report_chunk *c = &r->chunks[i];
        count(&t->chunks[c->kind], c->size);
        if (c->sent)
            count(&t->sent, c->size);
        if (!c->read && c->kind != PBR_REPORT_CHUNK_MARKER && c->file_nr + (c->old != PBR_REPORT_NONE) > 0)
            count(&t->injected, c->size);
        t->padding += c->size - c->used;
        t->pieces += !c->joined;
    }
    t->removed = count_removed(r);
}

void pbr_report_age(struct pbr_report *r, const struct pbr_report *earlier)
{
    for (size_t i = 0; i < r->chunk_nr; i++) {
        struct pbr_report_chunk *c = &r->chunks[i];
        c->age = c->old == PBR_REPORT_NONE ? 0 : 1 + (earlier ? earlier->chunks[c->old].age : 0);
    }
    for (size_t i = 0; i < r->file_nr; i++) {
        struct pbr_report_file *f = &r->files[i];
        const bool kept = f->kind == PBR_REPORT_FILE_REUSED && f->old_entry != SIZE_MAX;
        const struct pbr_report_file *was = kept && earlier ? file_at(earlier, f->old_entry) : NULL;
        f->age = kept ? 1 + (was ? was->age : 0) : 0;
    }
}

/* ---- life ---- */

static size_t count_files(const struct pbr_layout *l)
{
    size_t nr = 0;
    for (size_t i = 0; i < pbr_layout_count(l); i++)
        nr += pbr_layout_get(l, i)->kind == PBR_KIND_FILE || pbr_layout_get(l, i)->kind == PBR_KIND_HARDLINK;
    return nr;
}

int pbr_report_new(const struct pbr_env *env, const struct pbr_layout *now, const struct pbr_layout *before,
                   struct pbr_report **ret, struct pbr_diag *diag)
{
    const struct pbr_index *ix = pbr_layout_index(now);
    struct pbr_report *r = pbr_alloc(env, 1, sizeof(*r));
    if (!r)
        return no_memory(diag);
    *r = (struct pbr_report){ .env = env, .now = now, .before = before, .chunk_nr = (size_t)ix->entry_nr };
    r->chunks = pbr_alloc(env, r->chunk_nr + 1, sizeof(*r->chunks));
    r->files = pbr_alloc(env, count_files(now) + 1, sizeof(*r->files));
    if (!r->chunks || !r->files) {
        pbr_report_free(r);
        return no_memory(diag);
    }
    for (size_t i = 0; i < r->chunk_nr; i++) {
        r->chunks[i].start = pbr_index_start(ix, i);
        r->chunks[i].size = pbr_index_end(ix, i) - r->chunks[i].start;
    }
    measure_use(r);
    assign_files(r);
    judge_chunks(r);
    judge_files(r);
    measure_gaps(r);
    pbr_report_explain(r);
    add_up(r);
    pbr_report_age(r, NULL);
    *ret = r;
    return PBR_OK;
}

void pbr_report_free(struct pbr_report *r)
{
    if (!r)
        return;
    pbr_free(r->env, r->chunks);
    pbr_free(r->env, r->files);
    pbr_free(r->env, r);
}

int pbr_report_sent(const struct pbr_env *env, const struct pbr_index *now, const struct pbr_index *before,
                    struct pbr_report_sum *ret, struct pbr_diag *diag)
{
    struct pbr_layout *one = NULL, *two = NULL;
    struct pbr_report *r = NULL;
    int rc = pbr_layout_new(env, now, &one, diag);
    if (rc == PBR_OK)
        rc = pbr_layout_finish(one, diag);
    if (rc == PBR_OK && before)
        rc = pbr_layout_new(env, before, &two, diag);
    if (rc == PBR_OK && before)
        rc = pbr_layout_finish(two, diag);
    if (rc == PBR_OK)
        rc = pbr_report_new(env, one, two, &r, diag);
    if (rc == PBR_OK)
        *ret = r->totals.sent;
    pbr_report_free(r);
    pbr_layout_free(two);
    pbr_layout_free(one);
    return rc;
}

/* ---- views ---- */

const struct pbr_layout *pbr_report_now(const struct pbr_report *r)
{
    return r->now;
}

const struct pbr_layout *pbr_report_before(const struct pbr_report *r)
{
    return r->before;
}

const struct pbr_report_totals *pbr_report_totals(const struct pbr_report *r)
{
    return &r->totals;
}

size_t pbr_report_chunk_count(const struct pbr_report *r)
{
    return r->chunk_nr;
}

const struct pbr_report_chunk *pbr_report_chunk(const struct pbr_report *r, size_t i)
{
    return &r->chunks[i];
}

size_t pbr_report_file_count(const struct pbr_report *r)
{
    return r->file_nr;
}

const struct pbr_report_file *pbr_report_file(const struct pbr_report *r, size_t i)
{
    return &r->files[i];
}

const struct pbr_layout_entry *pbr_report_entry(const struct pbr_report *r, const struct pbr_report_file *f)
{
    return pbr_layout_get(r->now, f->entry);
}

const struct pbr_layout_entry *pbr_report_old_entry(const struct pbr_report *r, const struct pbr_report_file *f)
{
    return f->old_entry == SIZE_MAX ? NULL : pbr_layout_get(r->before, f->old_entry);
}
