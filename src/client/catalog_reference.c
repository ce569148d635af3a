/* SPDX-License-Identifier: MIT */
/* The previous catalog at work in a creation; see catalog_reference.h. */
#include "client/catalog_reference.h"

#include "client/reference_int.h"

struct pbr_catalog_reference {
    const struct pbr_env *env;
    struct pbr_pcat *cat;
    struct pbr_appendix *detect;
    struct pbr_chunk_stream *archive;
    struct pbr_create *cr; /* of the hook under way */
    struct pbr_span name;  /* of the entry under way */
    struct pbr_reference_levels levels; /* of struct pbr_pcat_dir */
    bool broken;           /* the catalog is damaged: nothing more is looked up */
    uint64_t start;        /* of the new appendix */
};

/* ---- previous entries ---- */

/* Damage means only that nothing more is re-used; other failures are passed on. */
static int give_up(struct pbr_catalog_reference *ref, int rc, const struct pbr_diag *why, struct pbr_diag *diag)
{
    if (rc == PBR_E_NOMEM) {
        if (diag && diag->code == PBR_OK)
            *diag = *why;
        return rc;
    }
    if (!ref->broken)
        pbr_log_failure(ref->env, PBR_LOG_WARN, why, "cannot read the reference catalog, continue without reference");
    ref->broken = true;
    return PBR_OK;
}

static const struct pbr_pcat_entry *find(const struct pbr_catalog_reference *ref, struct pbr_span name)
{
    const struct pbr_pcat_dir *dir = pbr_reference_levels_get(&ref->levels);
    return dir && !ref->broken ? pbr_pcat_dir_find(dir, name) : NULL;
}

static int lookup(void *ctx, const struct pbr_pcat_entry **ret, struct pbr_diag *diag)
{
    struct pbr_catalog_reference *ref = ctx;
    (void)diag;
    *ret = pbr_pcat_is_extended(ref->cat) ? find(ref, ref->name) : NULL; /* [APX-081] */
    return PBR_OK;
}

/* The same name below the previous directory, if it is a directory there too [APX-099]. */
static int enter_dir(struct pbr_catalog_reference *ref, struct pbr_span name, struct pbr_diag *diag)
{
    const struct pbr_pcat_entry *entry = find(ref, name);
    struct pbr_pcat_dir *dir = NULL;
    struct pbr_diag why = { 0 };
    int rc = PBR_OK;
    if (entry && entry->type == PBR_PCAT_DIR) {
        rc = pbr_pcat_dir_load(ref->cat, entry->table, &dir, &why);
        if (rc < 0)
            rc = give_up(ref, rc, &why, diag);
    }
    return rc < 0 ? rc : pbr_reference_levels_enter(&ref->levels, dir, diag);
}

/* ---- what detect wants done ---- */

static int place(void *ctx, uint64_t token, uint64_t *ret, struct pbr_diag *diag)
{
    struct pbr_catalog_reference *ref = ctx;
    return pbr_appendix_place(ref->detect, token, ret, diag);
}

static int replay(void *ctx, bool as_refs, struct pbr_diag *diag)
{
    struct pbr_catalog_reference *ref = ctx;
    return pbr_create_replay_appendix(ref->cr, as_refs ? place : NULL, ref, diag);
}

/* ---- hooks ---- */

int pbr_catalog_reference_decide(struct pbr_catalog_reference *ref, struct pbr_create *cr,
                                 const struct pbr_create_entry *entry, struct pbr_create_plan *ret, struct pbr_diag *diag)
{
    bool wait;
    uint64_t token;
    const struct pbr_appendix_entry e = { .kind = pbr_reference_kind(entry),
                                          .name = entry->name,
                                          .meta = entry->meta,
                                          .size = entry->size,
                                          .ctime_s = entry->ctime_s,
                                          .dev = entry->dev,
                                          .ino = entry->ino,
                                          .nlink = entry->nlink };
    ref->cr = cr;
    ref->name = entry->name;
    int rc = pbr_appendix_add(ref->detect, &e, &wait, &token, diag);
    if (rc == PBR_OK && e.kind == PBR_REUSE_DIR)
        rc = enter_dir(ref, entry->name, diag);
    if (rc < 0)
        return rc;
    if (e.kind == PBR_REUSE_DIR_END)
        pbr_reference_levels_leave(&ref->levels);
    *ret = (struct pbr_create_plan){ .how = wait ? PBR_CREATE_DEFER : PBR_CREATE_ENCODE, .rel = token };
    return PBR_OK;
}

int pbr_catalog_reference_flush(struct pbr_catalog_reference *ref, struct pbr_create *cr, struct pbr_diag *diag)
{
    ref->cr = cr;
    return pbr_appendix_finish(ref->detect, diag);
}

int pbr_catalog_reference_close(struct pbr_catalog_reference *ref, struct pbr_create *cr, struct pbr_diag *diag)
{
    const struct pbr_collect *chunks = pbr_appendix_chunks(ref->detect);
    struct pbr_inject batch;
    uint64_t bytes, at;
    size_t next = 0;
    if (pbr_collect_count(chunks) == 0)
        return PBR_OK; /* [APX-036] */
    int rc = pbr_create_appendix(cr, chunks->total, &ref->start, diag);
    at = ref->start;
    while (rc == PBR_OK && pbr_collect_batch(chunks, &next, &batch, &bytes)) { /* [APX-141] */
        rc = pbr_chunk_stream_inject(ref->archive, at, &batch, diag);
        if (rc == PBR_OK)
            rc = pbr_create_appended(cr, bytes, diag);
        at += bytes;
    }
    return rc;
}

void pbr_catalog_reference_set_stream(struct pbr_catalog_reference *ref, struct pbr_chunk_stream *archive)
{
    ref->archive = archive;
}

uint64_t pbr_catalog_reference_start(const struct pbr_catalog_reference *ref)
{
    return ref->start;
}

struct pbr_appendix_counts pbr_catalog_reference_counts(const struct pbr_catalog_reference *ref)
{
    return pbr_appendix_counts(ref->detect);
}

/* ---- life ---- */

static void free_dir(void *dir)
{
    pbr_pcat_dir_free(dir);
}

/* The archive's directory in the catalog, and where its appendix starts [APX-081, APX-125]. */
static int open_root(struct pbr_catalog_reference *ref, const char *target, uint64_t *ret_start, struct pbr_diag *diag)
{
    struct pbr_pcat_entry entry;
    struct pbr_pcat_dir *dir = NULL;
    int rc = pbr_pcat_lookup(ref->cat, pbr_span_str(target), &entry, diag);
    if (rc == PBR_OK && !pbr_pcat_is_dir(&entry))
        rc = pbr_fail_at(diag, PBR_E_NOENT, "APX-125", "'%s' is no archive in the reference catalog", target);
    if (rc == PBR_OK)
        rc = pbr_pcat_dir_load(ref->cat, entry.table, &dir, diag);
    if (rc < 0)
        return rc;
    *ret_start = entry.type == PBR_PCAT_ARCHIVE ? entry.pos : 0;
    return pbr_reference_levels_enter(&ref->levels, dir, diag);
}

int pbr_catalog_reference_new(const struct pbr_env *env, const struct pbr_source *catalog, const char *target,
                              const struct pbr_index *previous, const struct pbr_catalog_reference_opts *opts,
                              struct pbr_catalog_reference **ret, struct pbr_diag *diag)
{
    struct pbr_catalog_reference *ref = pbr_alloc(env, 1, sizeof(*ref));
    const struct pbr_appendix_ops ops = { .ctx = ref, .lookup = lookup, .replay = replay };
    struct pbr_appendix_opts detect = { .small = opts->small,
                                        .threshold = opts->threshold,
                                        .waiting_max = opts->waiting_max };
    if (!ref)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the previous catalog");
    ref->env = env;
    pbr_reference_levels_init(&ref->levels, env, free_dir);
    int rc = pbr_pcat_open(env, catalog, &ref->cat, diag);
    if (rc == PBR_OK)
        rc = open_root(ref, target, &detect.previous_start, diag);
    if (rc == PBR_OK)
        rc = pbr_appendix_new(env, previous, &detect, &ops, &ref->detect, diag);
    if (rc < 0) {
        pbr_catalog_reference_free(ref);
        return rc;
    }
    *ret = ref;
    return PBR_OK;
}

void pbr_catalog_reference_free(struct pbr_catalog_reference *ref)
{
    if (!ref)
        return;
    pbr_reference_levels_release(&ref->levels);
    pbr_appendix_free(ref->detect);
    pbr_pcat_free(ref->cat);
    pbr_free(ref->env, ref);
}
