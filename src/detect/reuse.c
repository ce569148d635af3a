/* SPDX-License-Identifier: MIT */
/* The decision of change detection; see reuse.h. Function by function the procedures of spec/change-detection.md: flush and
 * encode_cached of section 5, add_entry of section 6. */
#include "detect/reuse.h"

#include <assert.h>
#include <string.h>

#include "detect/seen.h"

enum { PAYLOAD_HDR = 16 }; /* a file's range in the payload stream begins with its header */

/* One chunk of the previous index and the bytes of it that are not used. */
struct held {
    bool set;
    uint64_t i;
    uint64_t padding;
};

struct waiting {
    uint64_t entries;      /* all, directory ends included: caching is on while there are any */
    uint64_t limited;      /* without directory ends: what the limit counts [CDM-081] */
    uint64_t files, bytes; /* re-usable files among them with headers, hard link duplicates not counted */
};

struct pbr_reuse {
    const struct pbr_env *env;
    struct pbr_index previous;
    uint64_t cache_max;
    struct pbr_reuse_ops ops;
    struct waiting waiting;
    uint64_t start, end;       /* range; empty if equal; end survives flushes, 0 before the first file [CDM-079] */
    uint64_t first;            /* payload offset of the first possible file */
    bool any_accepted;
    uint64_t last_off;         /* of files accepted so far [CDM-042 f] */
    uint64_t accepted_end;     /* end of the last accepted file's range */
    struct held held;
    struct pbr_seen seen;
    struct pbr_reuse_counts counts;
    struct pbr_inject_chunk batch[PBR_REUSE_BATCH];
};

/* ---- injection ---- */

static uint64_t chunk_size(const struct pbr_reuse *r, uint64_t i)
{
    return pbr_index_end(&r->previous, i) - pbr_index_start(&r->previous, i);
}

/* Entries first .. first + nr, in batches [CDM-090]. Padding: of the first and of the last one, added up if that is one. */
static int inject(struct pbr_reuse *r, uint64_t first, uint64_t nr, uint64_t first_pad, uint64_t last_pad,
                  struct pbr_diag *diag)
{
    for (uint64_t done = 0; done < nr;) {
        uint64_t bytes = 0;
        size_t n = 0;
        for (; n < PBR_REUSE_BATCH && done < nr; n++, done++) {
            const uint64_t i = first + done;
            const uint64_t padding = (done == 0 ? first_pad : 0) + (done == nr - 1 ? last_pad : 0);
            memcpy(r->batch[n].digest, pbr_index_digest(&r->previous, i), PBR_DIGEST_LEN);
            r->batch[n].size = chunk_size(r, i);
            bytes += r->batch[n].size;
            r->counts.partial += padding > 0;
        }
        r->counts.injected_nr += n;
        r->counts.injected_size += bytes;
        const struct pbr_inject inj = { .chunks = r->batch, .chunk_nr = n };
        const int rc = r->ops.inject(r->ops.ctx, &inj, bytes, diag);
        if (rc < 0)
            return rc;
    }
    return PBR_OK;
}

static int inject_held(struct pbr_reuse *r, struct pbr_diag *diag)
{
    const struct held h = r->held;
    r->held.set = false;
    return h.set ? inject(r, h.i, 1, h.padding, 0, diag) : PBR_OK;
}

/* ---- section 5: encode_cached and flush ---- */

static int encode_cached(struct pbr_reuse *r, const uint64_t *start_pad, struct pbr_diag *diag)
{
    int rc = inject_held(r, diag);
    if (rc == PBR_OK)
        rc = r->ops.replay(r->ops.ctx, start_pad, diag);
    if (start_pad) {
        r->counts.reused_files += r->waiting.files;
        r->counts.reused_size += r->waiting.bytes;
    } else {
        r->counts.reencoded_files += r->waiting.files;
        r->counts.reencoded_size += r->waiting.bytes;
    }
    r->waiting = (struct waiting){ 0 };
    r->start = r->end;
    return rc;
}

/* More than a tenth of the chunks would be of no use [CDM-065, CDM-066]. */
static bool is_wasteful(uint64_t padding, uint64_t total)
{
    return (double)padding / (double)total > 0.1;
}

static int flush(struct pbr_reuse *r, bool keep, struct pbr_diag *diag)
{
    struct pbr_run run;
    if (r->start == r->end)
        return encode_cached(r, NULL, diag);
    int rc = pbr_run_find(&r->previous, r->start, r->end, &run, diag);
    if (rc < 0)
        return rc;
    const struct held last = r->held;
    const bool continued = last.set && last.i == run.first;
    const uint64_t used = continued ? chunk_size(r, last.i) - last.padding : 0; /* by the range before */
    assert(used <= run.start_pad); /* ranges of accepted files never overlap */
    if (is_wasteful(run.start_pad + run.end_pad - used, run.size))
        return encode_cached(r, NULL, diag);

    r->held.set = false; /* it is the first chunk of this run, or goes now */
    if (last.set && !continued)
        rc = inject(r, last.i, 1, last.padding, 0, diag);
    if (rc == PBR_OK)
        rc = encode_cached(r, &run.start_pad, diag);
    if (rc < 0)
        return rc;
    const uint64_t first_pad = run.start_pad - used;
    if (!keep)
        return inject(r, run.first, run.nr, first_pad, run.end_pad, diag);
    r->held = (struct held){ .set = true,
                             .i = run.first + run.nr - 1,
                             .padding = (run.nr == 1 ? first_pad : 0) + run.end_pad };
    return inject(r, run.first, run.nr - 1, first_pad, 0, diag);
}

/* ---- section 3: is a file unchanged ---- */

/* *ret_off: start of its previous payload range, if *ret. */
static int is_reusable(struct pbr_reuse *r, const struct pbr_reuse_entry *entry, bool *ret, uint64_t *ret_off,
                       struct pbr_diag *diag)
{
    const struct pbr_pxar_entry *prev = NULL;
    uint64_t len, end;
    *ret = false;
    const int rc = r->ops.lookup(r->ops.ctx, &prev, diag);
    if (rc < 0 || !prev || prev->kind != PBR_KIND_FILE || !prev->has_ref) /* hard links: CDM-047 */
        return rc;
    if (!pbr_pxar_meta_equal(entry->meta, &prev->meta) || prev->size != entry->size) /* CDM-043, CDM-140 */
        return PBR_OK;
    const uint64_t off = prev->ref_off;
    if (!pbr_add(prev->size, PAYLOAD_HDR, &len) || !pbr_add(off, len, &end) || !pbr_run_holds_from(&r->previous, r->first, off, end))
        return PBR_OK; /* damaged reference: the original notices some of these only [CDM-059] */
    if (r->any_accepted && (off <= r->last_off || off < r->accepted_end)) { /* CDM-042 f, CDM-143 */
        if (r->ops.disordered)
            r->ops.disordered(r->ops.ctx, off, r->last_off);
        return PBR_OK;
    }
    r->any_accepted = true;
    r->last_off = off;
    r->accepted_end = end;
    *ret_off = off;
    *ret = true;
    return PBR_OK;
}

/* ---- section 6: add_entry ---- */

static void wait_for_replay(struct pbr_reuse *r, bool limited, uint64_t rel, bool *ret_wait, uint64_t *ret_rel)
{
    r->waiting.entries++;
    r->waiting.limited += limited;
    *ret_rel = rel;
    *ret_wait = true;
}

static int add_reusable(struct pbr_reuse *r, uint64_t off, uint64_t size, bool *ret_wait, uint64_t *ret_rel,
                        struct pbr_diag *diag)
{
    if (r->end == 0)
        r->start = r->end = off;
    if (r->end != off) { /* a hole */
        const int rc = flush(r, true, diag);
        if (rc < 0)
            return rc;
        r->start = off;
    }
    r->end = off + PAYLOAD_HDR + size;
    r->waiting.files++;
    r->waiting.bytes += PAYLOAD_HDR + size;
    wait_for_replay(r, true, off - r->start, ret_wait, ret_rel);
    return PBR_OK;
}

static int add_file(struct pbr_reuse *r, const struct pbr_reuse_entry *entry, bool *ret_wait, uint64_t *ret_rel,
                    struct pbr_diag *diag)
{
    bool is_new = true, reusable;
    uint64_t off = 0;
    if (entry->nlink > 1) {
        if (pbr_seen_add(&r->seen, entry->dev, entry->ino, &is_new) < 0)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a hard linked file");
        if (!is_new) { /* becomes a link, whatever happens to the first one [CDM-084] */
            wait_for_replay(r, true, 0, ret_wait, ret_rel);
            return PBR_OK;
        }
        r->counts.hardlinks++;
    }
    int rc = is_reusable(r, entry, &reusable, &off, diag);
    if (rc == PBR_OK && reusable)
        return add_reusable(r, off, entry->size, ret_wait, ret_rel, diag);
    if (rc == PBR_OK)
        rc = flush(r, false, diag);
    if (rc == PBR_OK)
        rc = inject_held(r, diag);
    r->counts.reencoded_files++;
    r->counts.reencoded_size += PAYLOAD_HDR + entry->size;
    return rc;
}

int pbr_reuse_add(struct pbr_reuse *r, const struct pbr_reuse_entry *entry, bool *ret_wait, uint64_t *ret_rel,
                  struct pbr_diag *diag)
{
    int rc = PBR_OK;
    *ret_wait = false;
    *ret_rel = 0;
    if (entry->kind == PBR_REUSE_DIR_END) { /* counts for nothing: no entry of its own */
        if (r->waiting.entries > 0)
            wait_for_replay(r, false, 0, ret_wait, ret_rel);
        return PBR_OK;
    }
    if (r->waiting.limited >= r->cache_max)
        rc = flush(r, true, diag);
    if (rc < 0)
        return rc;
    if (entry->kind == PBR_REUSE_FILE)
        return add_file(r, entry, ret_wait, ret_rel, diag);
    if (r->waiting.entries == 0)
        return encode_cached(r, NULL, diag); /* nothing is left but possibly a held chunk */
    wait_for_replay(r, true, 0, ret_wait, ret_rel);
    return PBR_OK;
}

int pbr_reuse_finish(struct pbr_reuse *r, struct pbr_diag *diag)
{
    const int rc = flush(r, false, diag);
    return rc < 0 ? rc : inject_held(r, diag);
}

/* ---- life ---- */

int pbr_reuse_new(const struct pbr_env *env, const struct pbr_index *previous, uint64_t cache_max,
                  const struct pbr_reuse_ops *ops, struct pbr_reuse **ret, struct pbr_diag *diag)
{
    if (cache_max == 0 || previous->kind != PBR_INDEX_DYNAMIC)
        return pbr_fail_at(diag, PBR_E_ARG, "CDM-081", "re-use needs a dynamic index and room for an entry to wait");
    struct pbr_reuse *r = pbr_alloc(env, 1, sizeof(*r));
    if (!r)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for change detection");
    r->env = env;
    r->previous = *previous;
    r->cache_max = cache_max;
    r->first = PAYLOAD_HDR;
    r->ops = *ops;
    pbr_seen_init(&r->seen, env);
    *ret = r;
    return PBR_OK;
}

void pbr_reuse_set_first(struct pbr_reuse *r, uint64_t first)
{
    r->first = first;
}

void pbr_reuse_free(struct pbr_reuse *r)
{
    if (!r)
        return;
    pbr_seen_release(&r->seen);
    pbr_free(r->env, r);
}

struct pbr_reuse_counts pbr_reuse_counts(const struct pbr_reuse *r)
{
    return r->counts;
}

uint64_t pbr_reuse_padding(const struct pbr_reuse_counts *c)
{
    return c->injected_size - c->reused_size;
}
