/* SPDX-License-Identifier: MIT */
/* What must wait until the appendix of a draft's archive is read [APX-052 .. APX-056]: files that are references, hard links to
 * them, and the metadata of directories that get such files, since creating them changes times and may need permissions
 * that the archived ones do not give [APX-055]. Directories keep mode 0700 until then.
 *
 * Memory: 8 bytes per reference; path and target per link; path and metadata per directory. Thread: as extract.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/extract_int.h"

enum { POSITIONS_MAX = 1 << 30 };

struct later_link {
    char *path, *target; /* path with leading slash */
};

struct later_dir {
    char *path; /* with leading slash */
    struct pbr_pxar_meta *meta;
};

struct pbr_extract_later {
    struct pbr_buf refs; /* uint64_t: FILENAME position of each wanted reference, ascending */
    struct later_link *links;
    size_t link_nr, link_cap;
    struct later_dir *dirs;
    size_t dir_nr, dir_cap;
    int node;   /* the directory opened last, or -1 */
    char *node_path;
};

static int no_memory(struct pbr_extract_run *run)
{
    return pbr_fail_at(run->diag, PBR_E_NOMEM, NULL, "no memory");
}

static struct pbr_extract_later *later_of(struct pbr_extract_run *run)
{
    if (run->later)
        return run->later;
    run->later = pbr_alloc(run->env, 1, sizeof(*run->later));
    if (run->later) {
        run->later->node = -1;
        pbr_buf_init(&run->later->refs, run->env, POSITIONS_MAX);
    }
    return run->later;
}

/* ---- entries of the regular part ---- */

/* The directory must be there, and must not be finished before the appendix. *ret false: it cannot be, which is reported. */
static int hold_dir(struct pbr_extract_run *run, bool *ret)
{
    const struct pbr_extract_cause *failed;
    const int rc = pbr_extract_dirs_ensure(run, &failed);
    *ret = rc == PBR_OK && !failed;
    if (rc == PBR_OK && failed)
        return pbr_extract_fail(run, (struct pbr_extract_note){ .detail = "failed to enter directory" }, failed);
    if (*ret)
        run->dirs.levels[run->dirs.nr - 1].held = true;
    return rc;
}

int pbr_extract_later_file(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry)
{
    bool held;
    struct pbr_extract_later *later = later_of(run);
    int rc = later ? hold_dir(run, &held) : no_memory(run);
    if (rc < 0 || !held)
        return rc;
    rc = pbr_buf_append(&later->refs, pbr_span(&entry->name_pos, sizeof(entry->name_pos)));
    return rc < 0 ? no_memory(run) : pbr_reader_want(run->reader, run->diag);
}

static int by_value(const void *pa, const void *pb)
{
    uint64_t a, b;
    memcpy(&a, pa, sizeof(a));
    memcpy(&b, pb, sizeof(b));
    return a < b ? -1 : a > b;
}

bool pbr_extract_is_later(const struct pbr_extract_run *run, const struct pbr_pxar_entry *link)
{
    const struct pbr_extract_later *later = run->later;
    const uint64_t target = link->name_pos - link->link_off;
    return later && link->link_off <= link->name_pos && later->refs.len > 0 &&
           bsearch(&target, later->refs.ptr, later->refs.len / sizeof(target), sizeof(target), by_value);
}

int pbr_extract_later_link(struct pbr_extract_run *run, const struct pbr_pxar_entry *link)
{
    bool held;
    struct pbr_extract_later *later = run->later;
    const int rc = hold_dir(run, &held);
    if (rc < 0 || !held)
        return rc;
    if (later->link_nr == later->link_cap) {
        const size_t cap = later->link_cap ? 2 * later->link_cap : 16;
        struct later_link *more = pbr_realloc(run->env, later->links, cap * sizeof(*more));
        if (!more)
            return no_memory(run);
        later->links = more;
        later->link_cap = cap;
    }
    struct later_link one = { pbr_strndup(run->env, run->path), pbr_strndup(run->env, link->target) };
    if (!one.path || !one.target) {
        pbr_free(run->env, one.path);
        pbr_free(run->env, one.target);
        return no_memory(run);
    }
    later->links[later->link_nr++] = one;
    return PBR_OK;
}

int pbr_extract_later_dir(struct pbr_extract_run *run, struct pbr_extract_dir *level)
{
    struct pbr_extract_later *later = run->later;
    if (later->dir_nr == later->dir_cap) {
        const size_t cap = later->dir_cap ? 2 * later->dir_cap : 16;
        struct later_dir *more = pbr_realloc(run->env, later->dirs, cap * sizeof(*more));
        if (!more)
            return no_memory(run);
        later->dirs = more;
        later->dir_cap = cap;
    }
    char *path = pbr_strndup(run->env, run->path);
    if (!path)
        return no_memory(run);
    later->dirs[later->dir_nr++] = (struct later_dir){ path, level->meta };
    level->meta = NULL;
    return PBR_OK;
}

/* ---- finding the way back ---- */

static void close_node(struct pbr_extract_run *run)
{
    struct pbr_extract_later *later = run->later;
    if (later->node >= 0 && later->node != run->target->root)
        (void)run->target->ops->close(run->target->ctx, later->node);
    later->node = -1;
    pbr_free(run->env, later->node_path);
    later->node_path = NULL;
}

/* Component by component, through no symlink. A node, or a negative errno value. */
static int walk_to(struct pbr_extract_run *run, struct pbr_span path)
{
    const struct pbr_target *t = run->target;
    char name[PBR_NAME_MAX + 1];
    int node = t->root;
    size_t at = 1;
    while (at < path.len) {
        const struct pbr_span rest = pbr_span_sub(path, at, path.len);
        const uint8_t *slash = memchr(rest.ptr, '/', rest.len);
        const size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;
        if (len > PBR_NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, rest.ptr, len);
        name[len] = 0;
        const int next = t->ops->open_dir(t->ctx, node, name);
        if (node != t->root)
            (void)t->ops->close(t->ctx, node);
        if (next < 0)
            return next;
        node = next;
        at += len + 1;
    }
    return node;
}

/* The node of the directory `path`; kept, since the next file is mostly in the same one. */
static int dir_node(struct pbr_extract_run *run, struct pbr_span path)
{
    struct pbr_extract_later *later = run->later;
    if (later->node_path && pbr_span_eq_str(path, later->node_path))
        return later->node;
    close_node(run);
    later->node_path = pbr_strndup(run->env, path);
    if (!later->node_path)
        return -ENOMEM;
    const int node = walk_to(run, path);
    if (node < 0) {
        pbr_free(run->env, later->node_path);
        later->node_path = NULL;
        return node;
    }
    later->node = node;
    return node;
}

/* Makes `path` the entry at work; returns the path of its directory, "" for the root. */
static struct pbr_span select_path(struct pbr_extract_run *run, struct pbr_span path, const char *context)
{
    size_t cut = path.len;
    while (cut > 0 && path.ptr[cut - 1] != '/')
        cut--;
    const size_t len = path.len - cut < PBR_NAME_MAX ? path.len - cut : PBR_NAME_MAX;
    memcpy(run->name, path.ptr + cut, len);
    run->name[len] = 0;
    run->path = path;
    run->context = context;
    run->entry_failed = false;
    run->ignore_errors = false;
    return pbr_span_sub(path, 0, cut > 0 ? cut - 1 : 0);
}

static int lost(struct pbr_extract_run *run, int result)
{
    const struct pbr_extract_cause cause = pbr_extract_os_cause(result);
    return pbr_extract_fail(run, (struct pbr_extract_note){ .detail = "failed to enter directory" }, &cause);
}

/* ---- when the appendix is read ---- */

int pbr_extract_later_entry(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry)
{
    const struct pbr_span dir = select_path(run, pbr_reader_path(run->reader), "failed to extract file");
    const int node = dir_node(run, dir);
    const int rc = node < 0 ? lost(run, node) : pbr_extract_file(run, node, entry);
    return rc == PBR_OK ? pbr_extract_progress(run) : rc;
}

static int make_link(struct pbr_extract_run *run, const struct later_link *link)
{
    const struct pbr_pxar_entry entry = { .kind = PBR_KIND_HARDLINK, .target = pbr_span_str(link->target) };
    const struct pbr_span dir = select_path(run, pbr_span_str(link->path), "failed to extract hardlink");
    const int node = dir_node(run, dir);
    return node < 0 ? lost(run, node) : pbr_extract_hardlink(run, node, &entry);
}

static int finish_dir(struct pbr_extract_run *run, const struct later_dir *dir)
{
    (void)select_path(run, pbr_span_str(dir->path), "failed to leave directory");
    close_node(run);
    const int node = walk_to(run, run->path);
    if (node < 0)
        return lost(run, node);
    run->meta.restrict_mode = true;
    const int rc = pbr_meta_apply(&run->meta, node, PBR_KIND_DIR, dir->meta);
    run->meta.restrict_mode = false;
    (void)run->target->ops->close(run->target->ctx, node);
    return rc;
}

int pbr_extract_later_finish(struct pbr_extract_run *run)
{
    struct pbr_extract_later *later = run->later;
    int rc = PBR_OK;
    if (!later)
        return PBR_OK;
    for (size_t i = 0; i < later->link_nr && rc == PBR_OK; i++)
        rc = make_link(run, &later->links[i]);
    for (size_t i = 0; i < later->dir_nr && rc == PBR_OK; i++) /* noted when they were left: inner ones first */
        rc = finish_dir(run, &later->dirs[i]);
    close_node(run);
    return rc;
}

void pbr_extract_later_release(struct pbr_extract_run *run)
{
    struct pbr_extract_later *later = run->later;
    if (!later)
        return;
    close_node(run);
    for (size_t i = 0; i < later->link_nr; i++) {
        pbr_free(run->env, later->links[i].path);
        pbr_free(run->env, later->links[i].target);
    }
    for (size_t i = 0; i < later->dir_nr; i++) {
        pbr_free(run->env, later->dirs[i].path);
        pbr_free(run->env, later->dirs[i].meta);
    }
    pbr_free(run->env, later->links);
    pbr_free(run->env, later->dirs);
    pbr_buf_release(&later->refs);
    pbr_free(run->env, later);
    run->later = NULL;
}
