/* SPDX-License-Identifier: MIT */
/* Regular files [EXT-043 .. EXT-045]. Contents are written straight from the reader's views; blocks
 * of 4096 bytes that are all zero become holes, everything between two holes is one write.
 *
 * Thread: as extract.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive/extract_int.h"

enum { HOLE_BLOCK = 4096, PROGRESS_STEP = 4 << 20 };

/* ---- creating ---- */

/* With overwrite_files: a regular file is emptied and written in place, unless it has other names:
 * they may be other entries, or lie outside the target. That one and everything else is removed and
 * replaced, neither opened nor followed [EXT-036]; directories cannot be removed that way (EISDIR).
 */
static int overwrite(const struct pbr_target *t, int dir, const char *name)
{
    struct pbr_target_stat st;
    int rc = t->ops->stat_name(t->ctx, dir, name, &st);
    if (rc < 0)
        return rc;
    if ((st.mode & PBR_MODE_TYPE) == PBR_MODE_REG && st.links == 1)
        return t->ops->open_empty(t->ctx, dir, name);
    rc = t->ops->unlink(t->ctx, dir, name);
    return rc < 0 ? rc : t->ops->create(t->ctx, dir, name, 0600);
}

/* A node to write to, or a negative errno value. */
static int open_output(struct pbr_extract_run *run, int dir)
{
    const struct pbr_target *t = run->target;
    const int node = t->ops->create(t->ctx, dir, run->name, 0600);
    if (node == -EEXIST && run->opts->overwrite_files)
        return overwrite(t, dir, run->name);
    return node;
}

/* ---- contents ---- */

static uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v)); /* host order is fine: only zero or not counts */
    return v;
}

/* True if all n bytes are zero. Data mostly shows at the first look; long runs of zeros go by whole
 * cache lines. */
static bool is_zero(const uint8_t *p, size_t n)
{
    while (n >= 128) {
        uint64_t any = 0;
        for (size_t i = 0; i < 128; i += 8)
            any |= load_u64(p + i);
        if (any)
            return false;
        p += 128;
        n -= 128;
    }
    uint8_t rest = 0;
    for (size_t i = 0; i < n; i++)
        rest |= p[i];
    return rest == 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct output {
    int node;
    uint64_t pos; /* of the next byte */
    uint64_t end; /* behind the last byte written */
};

/* Writes what is not zero. The blocks lie on multiples of 4096 from the file's start [EXT-044]. */
static int write_sparse(const struct pbr_target *t, struct output *out, struct pbr_span in)
{
    while (in.len) {
        size_t step = least(in.len, HOLE_BLOCK - (size_t)(out->pos % HOLE_BLOCK));
        const bool hole = is_zero(in.ptr, step);
        size_t n = step;
        while (n < in.len) {
            step = least(in.len - n, HOLE_BLOCK);
            if (is_zero(in.ptr + n, step) != hole)
                break;
            n += step;
        }
        if (!hole) {
            const int rc = t->ops->write_at(t->ctx, out->node, out->pos, pbr_span_sub(in, 0, n));
            if (rc < 0)
                return rc;
            out->end = out->pos + n;
        }
        out->pos += n;
        in = pbr_span_sub(in, n, SIZE_MAX);
    }
    return 0;
}

/* The reader failed in the middle of this file. Only a payload header that does not fit leaves the
 * archive readable [PXAR-244]; everything else ends extraction [EXT-090]. */
static int content_failed(struct pbr_extract_run *run, const struct pbr_diag *diag)
{
    if (diag->code == PBR_E_FORMAT && diag->rule && strcmp(diag->rule, "PXAR-243") == 0)
        return pbr_extract_fail(run,
                                (struct pbr_extract_note){ .incomplete = true,
                                                           .has_off = diag->has_off,
                                                           .off = diag->off },
                                &(struct pbr_extract_cause){
                                    .code = diag->code, .rule = diag->rule, .text = diag->text });
    pbr_extract_broken_file(run, diag);
    if (run->diag && run->diag->code == PBR_OK)
        *run->diag = *diag;
    return diag->code;
}

static int write_failed(struct pbr_extract_run *run, int result)
{
    const struct pbr_extract_cause cause = pbr_extract_os_cause(result);
    return pbr_extract_fail(
        run,
        (struct pbr_extract_note){ .detail = "failed to write file content", .incomplete = true },
        &cause);
}

static int size_differs(struct pbr_extract_run *run, uint64_t got, uint64_t size)
{
    char text[96];
    (void)snprintf(text, sizeof(text), "extracted %" PRIu64 " bytes of a file of %" PRIu64 " bytes",
                   got, size);
    return pbr_extract_fail(
        run, (struct pbr_extract_note){ .incomplete = true },
        &(struct pbr_extract_cause){ .code = PBR_E_FORMAT, .rule = "EXT-045", .text = text });
}

/* *ret_whole: all of it is in the file. */
static int copy_content(struct pbr_extract_run *run, int node, uint64_t size, bool *ret_whole)
{
    const struct pbr_target *t = run->target;
    struct output out = { .node = node };
    struct pbr_diag diag = { 0 };
    struct pbr_span view;
    *ret_whole = false;
    for (uint64_t told = 0;;) {
        int rc = pbr_reader_content(run->reader, &view, &diag);
        if (rc < 0)
            return content_failed(run, &diag);
        if (view.len == 0)
            break;
        const int result = write_sparse(t, &out, view);
        if (result < 0)
            return write_failed(run, result);
        run->stats.bytes += view.len;
        if (out.pos - told < PROGRESS_STEP)
            continue;
        told = out.pos;
        rc = pbr_extract_progress(run);
        if (rc < 0) {
            pbr_extract_broken_file(run, run->diag ? run->diag : &(struct pbr_diag){ .code = rc });
            return rc;
        }
    }
    if (out.pos != size)
        return size_differs(run, out.pos, size);
    const int result = out.end < size ? t->ops->set_size(t->ctx, node, size) : 0;
    if (result < 0)
        return write_failed(run, result);
    *ret_whole = true;
    return PBR_OK;
}

static int fill_and_finish(struct pbr_extract_run *run, int node,
                           const struct pbr_pxar_entry *entry)
{
    const uint64_t flags = entry->meta.flags & run->meta.features;
    bool whole = false;
    int rc = pbr_meta_apply_initial_flags(&run->meta, node, flags);
    if (rc == PBR_OK)
        rc = copy_content(run, node, entry->size, &whole);
    if (rc != PBR_OK || !whole)
        return rc;
    run->stats.files++;
    run->meta.hold = PBR_EXTRACT_LATE_FLAGS;
    rc = pbr_meta_apply(&run->meta, node, PBR_KIND_FILE, &entry->meta);
    run->meta.hold = 0;
    if (rc == PBR_OK && (flags & PBR_EXTRACT_LATE_FLAGS))
        rc = pbr_extract_late_add(run, node, flags);
    return rc;
}

int pbr_extract_file(struct pbr_extract_run *run, int dir, const struct pbr_pxar_entry *entry)
{
    const int node = open_output(run, dir);
    if (node < 0) {
        const struct pbr_extract_cause cause = pbr_extract_os_cause(node);
        return pbr_extract_fail(
            run,
            (struct pbr_extract_note){ .detail = "failed to create file",
                                       .detail_subject = pbr_span_str(run->name) },
            &cause);
    }
    int rc = fill_and_finish(run, node, entry);
    const int closed = run->target->ops->close(run->target->ctx, node);
    if (rc == PBR_OK && closed < 0 &&
        !run->entry_failed) /* a file system that tells only now that it is full */
        rc = write_failed(run, closed);
    return rc;
}
