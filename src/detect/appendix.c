/* SPDX-License-Identifier: MIT */
/* Change detection of the draft with an appendix; see appendix.h. The steps of APX-133, in their order. */
#include "detect/appendix.h"

#include "detect/seen.h"

enum { PAYLOAD_HDR = 16, WAITING_BYTES_MAX = 1 << 30 };

/* Where a candidate stands in the previous archive. */
struct candidate {
    uint64_t start, end;
    uint64_t size;
};

struct pbr_appendix {
    const struct pbr_env *env;
    struct pbr_index previous;
    struct pbr_appendix_opts opts;
    struct pbr_appendix_ops ops;
    struct pbr_collect chunks;
    struct pbr_seen seen;
    uint64_t waiting;          /* entries */
    uint64_t cached;           /* bytes of candidates among them */
    struct pbr_buf candidates; /* struct candidate; token is the number plus 1 */
    struct pbr_appendix_counts counts;
};

/* ---- is a file unchanged ---- */

/* The byte range of the entry in the previous archive [APX-092, APX-095]. */
static bool range_of(const struct pbr_appendix *a, const struct pbr_appendix_entry *e, const struct pbr_pcat_entry *was,
                     struct candidate *ret)
{
    uint64_t start = was->pos, len;
    if (was->type == PBR_PCAT_REF && (a->opts.previous_start == 0 || !pbr_add(a->opts.previous_start, was->pos, &start)))
        return false;
    if (!pbr_add(pbr_pxar_head_len(e->name, e->meta), PAYLOAD_HDR, &len) || !pbr_add(len, e->size, &len) ||
        !pbr_add(start, len, &ret->end))
        return false;
    ret->start = start;
    ret->size = e->size;
    return ret->end <= a->previous.size;
}

/* APX-091. */
static int is_candidate(struct pbr_appendix *a, const struct pbr_appendix_entry *e, bool *ret, struct candidate *ret_at,
                        struct pbr_diag *diag)
{
    const struct pbr_pcat_entry *was = NULL;
    *ret = false;
    const int rc = a->ops.lookup(a->ops.ctx, &was, diag);
    if (rc < 0 || !was || (was->type != PBR_PCAT_FILE && was->type != PBR_PCAT_REF))
        return rc;
    *ret = was->ctime_s == e->ctime_s && was->size == e->size && range_of(a, e, was, ret_at);
    return PBR_OK;
}

/* ---- what waits ---- */

static int flush(struct pbr_appendix *a, bool as_refs, struct pbr_diag *diag)
{
    const uint64_t files = a->candidates.len / sizeof(struct candidate);
    *(as_refs ? &a->counts.referenced_files : &a->counts.encoded_files) += files;
    *(as_refs ? &a->counts.referenced_bytes : &a->counts.encoded_bytes) += a->cached;
    const int rc = a->ops.replay(a->ops.ctx, as_refs, diag);
    a->waiting = 0;
    a->cached = 0;
    pbr_buf_clear(&a->candidates);
    return rc;
}

/* Entries that neither count nor end the run. */
static int add_neutral(struct pbr_appendix *a, bool *ret_wait)
{
    *ret_wait = a->waiting > 0;
    a->waiting += *ret_wait;
    return PBR_OK;
}

static int add_candidate(struct pbr_appendix *a, const struct candidate *at, bool *ret_wait, uint64_t *ret_token,
                         struct pbr_diag *diag)
{
    const int rc = pbr_buf_append(&a->candidates, pbr_span(at, sizeof(*at)));
    if (rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "files that wait: %s", pbr_err_name(rc));
    a->waiting++;
    a->cached += at->size;
    *ret_wait = true;
    *ret_token = a->candidates.len / sizeof(*at);
    return PBR_OK;
}

static int add_file(struct pbr_appendix *a, const struct pbr_appendix_entry *e, bool *ret_wait, uint64_t *ret_token,
                    struct pbr_diag *diag)
{
    struct candidate at = { 0 };
    bool is_new = true, reusable;
    if (e->nlink > 1 && pbr_seen_add(&a->seen, e->dev, e->ino, &is_new) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a hard linked file");
    if (!is_new || e->size <= a->opts.small) {
        if (is_new) {
            a->counts.encoded_files++;
            a->counts.encoded_bytes += e->size;
        }
        return add_neutral(a, ret_wait);
    }
    int rc = is_candidate(a, e, &reusable, &at, diag);
    if (rc == PBR_OK && reusable)
        return add_candidate(a, &at, ret_wait, ret_token, diag);
    if (rc == PBR_OK)
        rc = flush(a, false, diag);
    a->counts.encoded_files++;
    a->counts.encoded_bytes += e->size;
    return rc;
}

/* The threshold is looked at when the next entry comes, so that the candidate that reached it is among what waits. */
static int make_room(struct pbr_appendix *a, struct pbr_diag *diag)
{
    if (a->candidates.len > 0 && a->cached >= a->opts.threshold)
        return flush(a, true, diag);
    return a->waiting >= a->opts.waiting_max ? flush(a, false, diag) : PBR_OK;
}

int pbr_appendix_add(struct pbr_appendix *a, const struct pbr_appendix_entry *entry, bool *ret_wait, uint64_t *ret_token,
                     struct pbr_diag *diag)
{
    *ret_wait = false;
    *ret_token = 0;
    const int rc = make_room(a, diag);
    if (rc < 0)
        return rc;
    return entry->kind == PBR_REUSE_FILE ? add_file(a, entry, ret_wait, ret_token, diag) : add_neutral(a, ret_wait);
}

int pbr_appendix_place(struct pbr_appendix *a, uint64_t token, uint64_t *ret_off, struct pbr_diag *diag)
{
    struct pbr_run run;
    const size_t nr = a->candidates.len / sizeof(struct candidate);
    if (token == 0 || token > nr)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "no candidate %" PRIu64 " waits", token);
    const struct candidate *at = (const void *)(a->candidates.ptr + (token - 1) * sizeof(*at));
    const int rc = pbr_run_cover(&a->previous, at->start, at->end, &run, diag);
    return rc < 0 ? rc : pbr_collect_add(&a->chunks, &a->previous, &run, at->end - at->start, ret_off, diag);
}

int pbr_appendix_finish(struct pbr_appendix *a, struct pbr_diag *diag)
{
    const int rc = make_room(a, diag);
    return rc < 0 ? rc : flush(a, false, diag);
}

/* ---- life ---- */

int pbr_appendix_new(const struct pbr_env *env, const struct pbr_index *previous, const struct pbr_appendix_opts *opts,
                     const struct pbr_appendix_ops *ops, struct pbr_appendix **ret, struct pbr_diag *diag)
{
    if (opts->waiting_max == 0 || previous->kind != PBR_INDEX_DYNAMIC)
        return pbr_fail_at(diag, PBR_E_ARG, "APX-116", "re-use needs a dynamic index and room for an entry to wait");
    struct pbr_appendix *a = pbr_alloc(env, 1, sizeof(*a));
    if (!a)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for change detection");
    a->env = env;
    a->previous = *previous;
    a->opts = *opts;
    a->ops = *ops;
    pbr_collect_init(&a->chunks, env);
    pbr_seen_init(&a->seen, env);
    pbr_buf_init(&a->candidates, env, WAITING_BYTES_MAX);
    *ret = a;
    return PBR_OK;
}

void pbr_appendix_free(struct pbr_appendix *a)
{
    if (!a)
        return;
    pbr_collect_release(&a->chunks);
    pbr_seen_release(&a->seen);
    pbr_buf_release(&a->candidates);
    pbr_free(a->env, a);
}

const struct pbr_collect *pbr_appendix_chunks(const struct pbr_appendix *a)
{
    return &a->chunks;
}

struct pbr_appendix_counts pbr_appendix_counts(const struct pbr_appendix *a)
{
    return a->counts;
}
