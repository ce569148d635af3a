/* SPDX-License-Identifier: MIT */
/* Walk over the readable rest of a broken archive; see salvage.h. */
#include "archive/salvage.h"

#include <string.h>

#include "archive/access.h"
#include "archive/read.h"
#include "base/limits.h"

struct level {
    struct pbr_access_dir *dir;
    uint64_t next;     /* child to look at, in archive order */
    uint64_t floor;    /* the next child must begin here or behind */
    size_t path_len;   /* of the directory itself; root: 0 */
};

struct salvage {
    const struct pbr_env *env;
    const struct pbr_salvage_opts *opts;
    struct pbr_access *access;
    struct pbr_buf levels; /* struct level */
    struct pbr_buf path;
};

/* Tells a loss and returns PBR_OK; other failures are returned. */
static int lost(struct salvage *s, int rc, bool whole, const struct pbr_diag *cause, struct pbr_diag *diag)
{
    if (!pbr_access_is_loss(rc, cause)) {
        if (diag && diag->code == PBR_OK)
            *diag = *cause;
        return rc;
    }
    s->opts->lost(s->opts->ctx, s->path.len ? pbr_buf_span(&s->path) : pbr_span_str("/"), whole, cause);
    return PBR_OK;
}

static struct level *top(struct salvage *s)
{
    return (void *)(s->levels.ptr + (s->levels.len - sizeof(struct level)));
}

static int no_memory(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to walk a broken archive");
}

static int push(struct salvage *s, struct pbr_access_dir *dir, struct pbr_diag *diag)
{
    const struct level level = { .dir = dir, .path_len = s->path.len };
    int rc = pbr_buf_append(&s->levels, pbr_span(&level, sizeof(level)));
    if (rc == PBR_OK)
        return PBR_OK;
    pbr_access_dir_free(dir);
    if (rc != PBR_E_LIMIT)
        return no_memory(diag);
    struct pbr_diag cause = { 0 };
    rc = pbr_fail_at(&cause, PBR_E_LIMIT, NULL, "directories are too deep");
    return lost(s, rc, true, &cause, diag);
}

static void pop(struct salvage *s)
{
    pbr_access_dir_free(top(s)->dir);
    s->levels.len -= sizeof(struct level);
    if (s->levels.len > 0)
        s->path.len = top(s)->path_len;
}

static int open_root(struct salvage *s, uint64_t size, struct pbr_diag *diag)
{
    struct pbr_access_dir *dir;
    struct pbr_diag cause = { 0 };
    int rc = pbr_access_opendir_at(s->access, size, &dir, &cause);
    if (rc == PBR_OK && pbr_access_dir_start(dir) != 0) {
        pbr_access_dir_free(dir);
        rc = pbr_fail(&cause, PBR_E_FORMAT, "PXAR-153", size, "the last goodbye table is not the root's");
    }
    return rc < 0 ? lost(s, rc, true, &cause, diag) : push(s, dir, diag);
}

static int enter(struct salvage *s, const struct pbr_access_entry *e, struct pbr_diag *diag)
{
    struct pbr_access_dir *dir;
    struct pbr_diag cause = { 0 };
    const int rc = pbr_access_opendir(s->access, e, &dir, &cause);
    return rc < 0 ? lost(s, rc, true, &cause, diag) : push(s, dir, diag);
}

/* The path of a child; cut off again when the next child is looked at. */
static int append_name(struct salvage *s, struct pbr_span name, struct pbr_diag *diag)
{
    int rc = pbr_buf_append_u8(&s->path, '/');
    if (rc == PBR_OK)
        rc = pbr_buf_append(&s->path, name);
    return rc < 0 ? no_memory(diag) : PBR_OK;
}

static int visit(struct salvage *s, const struct pbr_access_entry *e, struct pbr_diag *diag)
{
    const bool is_dir = e->entry.kind == PBR_KIND_DIR;
    struct level *l = top(s);
    if (e->at < l->floor) {
        struct pbr_diag cause = { 0 };
        const int rc = pbr_fail(&cause, PBR_E_FORMAT, "PXAR-159", e->at, "entries overlap");
        return lost(s, rc, false, &cause, diag);
    }
    l->floor = is_dir ? e->end : e->at + 1;
    int rc = append_name(s, e->entry.name, diag);
    if (rc == PBR_OK && (e->at >= s->opts->from || e->entry.name_pos >= s->opts->from))
        rc = s->opts->entry(s->opts->ctx, &e->entry, pbr_buf_span(&s->path), diag);
    if (rc == PBR_OK && is_dir && e->end > s->opts->from)
        rc = enter(s, e, diag);
    return rc;
}

static int next_child(struct salvage *s, struct pbr_diag *diag)
{
    struct level *l = top(s);
    struct pbr_access_entry *e;
    struct pbr_diag cause = { 0 };
    s->path.len = l->path_len;
    if (l->next >= pbr_access_dir_count(l->dir)) {
        pop(s);
        return PBR_OK;
    }
    int rc = pbr_access_dir_get_ordered(l->dir, l->next++, &e, &cause);
    if (rc < 0)
        return lost(s, rc, false, &cause, diag);
    rc = visit(s, e, diag);
    pbr_access_entry_free(e);
    return rc;
}

int pbr_salvage(const struct pbr_env *env, const struct pbr_source *archive, const struct pbr_salvage_opts *opts,
                struct pbr_diag *diag)
{
    struct salvage s = { .env = env, .opts = opts };
    struct pbr_diag cause = { 0 };
    pbr_buf_init(&s.levels, env, PBR_PATH_DEPTH_MAX * sizeof(struct level));
    pbr_buf_init(&s.path, env, PBR_READER_PATH_MAX);
    int rc = pbr_access_open(env, archive, NULL, &s.access, &cause);
    rc = rc < 0 ? lost(&s, rc, true, &cause, diag) : open_root(&s, archive->size, diag);
    while (rc == PBR_OK && s.levels.len > 0)
        rc = next_child(&s, diag);
    while (s.levels.len > 0)
        pop(&s);
    pbr_access_free(s.access);
    pbr_buf_release(&s.levels);
    pbr_buf_release(&s.path);
    return rc;
}
