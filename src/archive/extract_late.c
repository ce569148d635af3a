/* SPDX-License-Identifier: MIT */
/* Immutable and append-only files: they get these flags when everything else is done, because no
 * further link can be made to them afterwards [EXT-050]. Each is found again by its path beneath
 * the root and must still be the same inode.
 *
 * Memory: the path of each such file. Thread: as extract.h. */
#include <errno.h>
#include <string.h>

#include "archive/extract_int.h"

static int grow(struct pbr_extract_run *run)
{
    if (run->late_nr < run->late_cap)
        return PBR_OK;
    const size_t cap = run->late_cap ? 2 * run->late_cap : 16;
    struct pbr_extract_late *late = pbr_realloc(run->env, run->late, cap * sizeof(*late));
    if (!late)
        return PBR_E_NOMEM;
    run->late = late;
    run->late_cap = cap;
    return PBR_OK;
}

int pbr_extract_late_add(struct pbr_extract_run *run, int node, uint64_t flags)
{
    struct pbr_target_stat st;
    const int result = run->target->ops->stat(run->target->ctx, node, &st);
    if (result < 0) {
        const struct pbr_extract_cause cause = pbr_extract_os_cause(result);
        return pbr_extract_fail(
            run, (struct pbr_extract_note){ .detail = "failed to set inode flags" }, &cause);
    }
    if (run->late_nr >=
        PBR_ENTRIES_MAX_DEFAULT) { /* bounded memory: from here on at once, like the original */
        struct pbr_meta_job job = run->meta;
        job.hold = 0;
        return pbr_meta_apply_flags(&job, node, flags);
    }
    char *path =
        grow(run) == PBR_OK ? pbr_strndup(run->env, pbr_span_sub(run->path, 1, SIZE_MAX)) : NULL;
    if (!path)
        return pbr_fail_at(run->diag, PBR_E_NOMEM, NULL, "no memory");
    run->late[run->late_nr++] = (struct pbr_extract_late){ path, st.id, flags };
    return PBR_OK;
}

static int apply_one(struct pbr_extract_run *run, const struct pbr_meta_job *job,
                     const struct pbr_extract_late *late)
{
    const struct pbr_target *t = run->target;
    struct pbr_target_stat st;
    const int node = t->ops->open_path(t->ctx, t->root, late->path);
    int result = node < 0 ? node : t->ops->stat(t->ctx, node, &st);
    if (result >= 0 && (st.id.dev != late->id.dev || st.id.ino != late->id.ino))
        result = -ESTALE; /* overwritten by a later entry of that name, or moved by somebody */
    int rc = PBR_OK;
    if (result >= 0)
        rc = pbr_meta_apply_flags(job, node, late->flags);
    if (node >= 0)
        (void)t->ops->close(t->ctx, node);
    if (result >= 0 || !job->note)
        return rc;
    const struct pbr_extract_cause cause = pbr_extract_os_cause(result);
    return pbr_extract_fail(run, (struct pbr_extract_note){ .detail = "failed to set inode flags" },
                            &cause);
}

/* Makes the file the entry at work. */
static int select_entry(struct pbr_extract_run *run, const struct pbr_extract_late *late,
                        struct pbr_buf *path)
{
    const char *slash = strrchr(late->path, '/');
    const struct pbr_span name = pbr_span_str(slash ? slash + 1 : late->path);
    pbr_buf_clear(path);
    int rc = pbr_buf_append_u8(path, '/');
    if (rc == PBR_OK)
        rc = pbr_buf_append(path, pbr_span_str(late->path));
    if (rc < 0)
        return pbr_fail_at(run->diag, rc, NULL, "no memory");
    run->path = pbr_buf_span(path);
    memcpy(run->name, name.ptr, name.len);
    run->name[name.len] = 0;
    run->context = "failed to extract file";
    run->entry_failed = false;
    run->ignore_errors = false;
    return PBR_OK;
}

int pbr_extract_late_apply(struct pbr_extract_run *run, bool quiet)
{
    struct pbr_meta_job job = run->meta;
    struct pbr_buf path;
    int rc = PBR_OK;
    job.hold = 0;
    job.note = quiet ? NULL : job.note;
    pbr_buf_init(&path, run->env, PBR_READER_PATH_MAX);
    for (size_t i = 0; rc == PBR_OK && i < run->late_nr; i++) {
        if (!quiet)
            rc = select_entry(run, &run->late[i], &path);
        if (rc == PBR_OK)
            rc = apply_one(run, &job, &run->late[i]);
    }
    run->path = (struct pbr_span){ 0 };
    pbr_buf_release(&path);
    return rc;
}

void pbr_extract_late_release(struct pbr_extract_run *run)
{
    for (size_t i = 0; i < run->late_nr; i++)
        pbr_free(run->env, run->late[i].path);
    pbr_free(run->env, run->late);
}
