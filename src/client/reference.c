/* SPDX-License-Identifier: MIT */
/* The previous snapshot at work in a creation; see reference.h. */
#include "client/reference.h"

#include "archive/access.h"
#include "client/human.h"
#include "client/reference_int.h"
#include "format/quote.h"

#define UNREADABLE "cannot read the previous metadata archive" /* [CDM-032] */

struct pbr_reference {
    const struct pbr_env *env;
    struct pbr_access *access;
    struct pbr_reuse *reuse;
    struct pbr_chunk_stream *payload;
    struct pbr_create *cr; /* of the hook under way */
    struct pbr_span name;  /* of the entry under way */
    struct pbr_reference_levels levels; /* of struct pbr_access_dir */
    struct pbr_access_entry *found;     /* what lookup lent */
};

/* ---- previous entries ---- */

/* *ret NULL: not there. The caller frees *ret. */
static int find(struct pbr_reference *ref, struct pbr_span name, struct pbr_access_entry **ret, struct pbr_diag *diag)
{
    struct pbr_diag why = { 0 };
    struct pbr_access_dir *dir = pbr_reference_levels_get(&ref->levels);
    *ret = NULL;
    if (!dir)
        return PBR_OK;
    const int rc = pbr_access_dir_find(dir, name, ret, &why);
    if (rc == PBR_OK || rc == PBR_E_NOENT)
        return PBR_OK;
    if (diag && diag->code == PBR_OK) {
        *diag = why;
        pbr_diag_context(diag, UNREADABLE);
    }
    return rc;
}

static int lookup(void *ctx, const struct pbr_pxar_entry **ret, struct pbr_diag *diag)
{
    struct pbr_reference *ref = ctx;
    pbr_access_entry_free(ref->found);
    ref->found = NULL;
    const int rc = find(ref, ref->name, &ref->found, diag);
    *ret = ref->found ? &ref->found->entry : NULL;
    return rc;
}

/* The same name below the previous directory, if it is a directory there too [CDM-041]. */
static int enter_dir(struct pbr_reference *ref, struct pbr_span name, struct pbr_diag *diag)
{
    struct pbr_access_entry *entry = NULL;
    struct pbr_access_dir *dir = NULL;
    int rc = find(ref, name, &entry, diag);
    if (rc == PBR_OK && entry && entry->entry.kind == PBR_KIND_DIR) {
        rc = pbr_access_opendir(ref->access, entry, &dir, diag);
        if (rc < 0)
            pbr_diag_context(diag, UNREADABLE);
    }
    pbr_access_entry_free(entry);
    return rc < 0 ? rc : pbr_reference_levels_enter(&ref->levels, dir, diag);
}

static int open_root(struct pbr_reference *ref, struct pbr_diag *diag)
{
    struct pbr_diag why = { 0 };
    struct pbr_access_entry *root = NULL;
    struct pbr_access_dir *dir = NULL;
    int rc = pbr_access_root(ref->access, &root, &why);
    if (rc == PBR_OK)
        rc = pbr_access_opendir(ref->access, root, &dir, &why);
    pbr_access_entry_free(root);
    if (rc == PBR_E_NOMEM)
        return pbr_fail_at(diag, rc, NULL, "no memory for the previous root directory");
    if (rc < 0) /* [CDM-032] */
        pbr_log_failure(ref->env, PBR_LOG_WARN, &why, "cannot open the previous root directory, all files are encoded");
    return pbr_reference_levels_enter(&ref->levels, dir, diag);
}

/* ---- what detect wants done ---- */

static int replay(void *ctx, const uint64_t *start_pad, struct pbr_diag *diag)
{
    struct pbr_reference *ref = ctx;
    uint64_t base;
    if (!start_pad)
        return pbr_create_replay(ref->cr, NULL, diag);
    if (!pbr_add(pbr_create_payload_pos(ref->cr), *start_pad, &base))
        return pbr_fail_at(diag, PBR_E_LIMIT, "CDM-087", "payload offset beyond 64 bits");
    return pbr_create_replay(ref->cr, &base, diag);
}

static int inject(void *ctx, const struct pbr_inject *inj, uint64_t bytes, struct pbr_diag *diag)
{
    struct pbr_reference *ref = ctx;
    const int rc = pbr_chunk_stream_inject(ref->payload, pbr_create_payload_pos(ref->cr), inj, diag);
    return rc < 0 ? rc : pbr_create_injected(ref->cr, bytes, diag);
}

static void disordered(void *ctx, uint64_t off, uint64_t last)
{
    struct pbr_reference *ref = ctx;
    struct pbr_buf quoted;
    pbr_buf_init(&quoted, ref->env, 1 << 20);
    const char *name = pbr_quote(ref->name, &quoted) == PBR_OK ? pbr_buf_cstr(&quoted) : NULL;
    pbr_log(ref->env, PBR_LOG_WARN,
            "re-encode: %s previous archive payload offset %" PRIu64 " not strictly greater than last seen %" PRIu64
            ", treating as non-reusable",
            name ? name : "file", off, last);
    pbr_buf_release(&quoted);
}

/* ---- hooks ---- */

int pbr_reference_decide(struct pbr_reference *ref, struct pbr_create *cr, const struct pbr_create_entry *entry,
                         struct pbr_create_plan *ret, struct pbr_diag *diag)
{
    bool wait;
    uint64_t rel;
    const struct pbr_reuse_entry e = { .kind = pbr_reference_kind(entry),
                                       .meta = entry->meta,
                                       .size = entry->size,
                                       .dev = entry->dev,
                                       .ino = entry->ino,
                                       .nlink = entry->nlink };
    ref->cr = cr;
    ref->name = entry->name;
    int rc = pbr_reuse_add(ref->reuse, &e, &wait, &rel, diag);
    if (rc == PBR_OK && e.kind == PBR_REUSE_DIR)
        rc = enter_dir(ref, entry->name, diag);
    if (rc < 0)
        return rc;
    if (e.kind == PBR_REUSE_DIR_END)
        pbr_reference_levels_leave(&ref->levels);
    *ret = (struct pbr_create_plan){ .how = wait ? PBR_CREATE_DEFER : PBR_CREATE_ENCODE, .rel = rel };
    return PBR_OK;
}

int pbr_reference_flush(struct pbr_reference *ref, struct pbr_create *cr, struct pbr_diag *diag)
{
    ref->cr = cr;
    return pbr_reuse_finish(ref->reuse, diag);
}

void pbr_reference_set_first(struct pbr_reference *ref, uint64_t first)
{
    pbr_reuse_set_first(ref->reuse, first);
}

void pbr_reference_set_payload(struct pbr_reference *ref, struct pbr_chunk_stream *payload)
{
    ref->payload = payload;
}

/* ---- figures ---- */

struct pbr_reuse_counts pbr_reference_counts(const struct pbr_reference *ref)
{
    return pbr_reuse_counts(ref->reuse);
}

void pbr_reference_log_summary(const struct pbr_reference *ref)
{
    const struct pbr_reuse_counts c = pbr_reuse_counts(ref->reuse);
    char reused[PBR_HUMAN_MAX], reencoded[PBR_HUMAN_MAX], padding[PBR_HUMAN_MAX];
    pbr_human_size(c.reused_size, reused);
    pbr_human_size(c.reencoded_size, reencoded);
    pbr_human_size(pbr_reuse_padding(&c), padding);
    pbr_log(ref->env, PBR_LOG_INFO, "Change detection summary:");
    pbr_log(ref->env, PBR_LOG_INFO, " - %" PRIu64 " total files (%" PRIu64 " hardlinks)",
            c.reused_files + c.reencoded_files + c.hardlinks, c.hardlinks);
    pbr_log(ref->env, PBR_LOG_INFO, " - %" PRIu64 " unchanged, reusable files with %s data", c.reused_files, reused);
    pbr_log(ref->env, PBR_LOG_INFO, " - %" PRIu64 " changed or non-reusable files with %s data", c.reencoded_files,
            reencoded);
    pbr_log(ref->env, PBR_LOG_INFO, " - %s padding in %" PRIu64 " partially reused chunks", padding, c.partial);
}

/* ---- life ---- */

static void free_dir(void *dir)
{
    pbr_access_dir_free(dir);
}

int pbr_reference_new(const struct pbr_env *env, const struct pbr_source *archive, const struct pbr_index *payload,
                      uint64_t cache_max, struct pbr_reference **ret, struct pbr_diag *diag)
{
    struct pbr_reference *ref = pbr_alloc(env, 1, sizeof(*ref));
    const struct pbr_reuse_ops ops = {
        .ctx = ref, .lookup = lookup, .replay = replay, .inject = inject, .disordered = disordered
    };
    if (!ref)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the previous archive");
    ref->env = env;
    pbr_reference_levels_init(&ref->levels, env, free_dir);
    int rc = pbr_reuse_new(env, payload, cache_max, &ops, &ref->reuse, diag);
    if (rc == PBR_OK) {
        rc = pbr_access_open(env, archive, NULL, &ref->access, diag);
        if (rc < 0)
            pbr_diag_context(diag, UNREADABLE);
    }
    if (rc == PBR_OK)
        rc = open_root(ref, diag);
    if (rc < 0) {
        pbr_reference_free(ref);
        return rc;
    }
    *ret = ref;
    return PBR_OK;
}

void pbr_reference_free(struct pbr_reference *ref)
{
    if (!ref)
        return;
    pbr_access_entry_free(ref->found);
    pbr_reference_levels_release(&ref->levels);
    pbr_access_free(ref->access);
    pbr_reuse_free(ref->reuse);
    pbr_free(ref->env, ref);
}
