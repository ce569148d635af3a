/* SPDX-License-Identifier: MIT */
/* Stack of directories; see walk_int.h. Reading one is in walk_list.c. */
#include "archive/walk_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "sys/fd.h"

enum { PATH_SPACE_MAX = 32 << 20 }; /* PBR_PATH_DEPTH_MAX names of NAME_MAX bytes need 1 MiB */

int pbr_walk_init(struct pbr_walk *w, const struct pbr_env *env, uint64_t kept_max, struct pbr_create_stats *stats,
                  struct pbr_diag *diag)
{
    *w = (struct pbr_walk){ .env = env, .stats = stats, .kept_max = kept_max };
    pbr_pattern_list_init(&w->patterns, env);
    pbr_buf_init(&w->path, env, PATH_SPACE_MAX);
    w->dents = pbr_realloc(env, NULL, PBR_WALK_DENTS_LEN);
    return w->dents ? PBR_OK : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to read directories");
}

static void dir_release(struct pbr_walk *w, struct pbr_walk_dir *dir)
{
    pbr_close(&dir->fd);
    pbr_buf_release(&dir->names);
    pbr_free(w->env, dir->entries);
}

void pbr_walk_release(struct pbr_walk *w)
{
    if (!w->env)
        return;
    while (w->depth > 0)
        dir_release(w, &w->dirs[--w->depth]);
    pbr_free(w->env, w->dirs);
    pbr_free(w->env, w->dents);
    pbr_buf_release(&w->path);
    pbr_pattern_list_release(&w->patterns);
    *w = (struct pbr_walk){ .env = NULL };
}

struct pbr_walk_dir *pbr_walk_top(struct pbr_walk *w)
{
    assert(w->depth > 0);
    return &w->dirs[w->depth - 1];
}

const char *pbr_walk_name(const struct pbr_walk_dir *dir, const struct pbr_walk_entry *entry)
{
    return (const char *)dir->names.ptr + entry->name_off;
}

struct pbr_span pbr_walk_path(const struct pbr_walk *w)
{
    return w->path.len > 0 ? pbr_span_sub(pbr_buf_span(&w->path), 1, w->path.len) : pbr_span("", 0);
}

void pbr_walk_warn(struct pbr_walk *w, const char *before, struct pbr_span path, const char *after)
{
    struct pbr_quoted q;
    pbr_log(w->env, PBR_LOG_WARN, "%s%s%s", before, pbr_quote_path(&q, path), after);
    w->stats->warnings++;
}

void pbr_walk_skip(struct pbr_walk *w, const char *before, struct pbr_span path, const char *after)
{
    pbr_walk_warn(w, before, path, after);
    w->stats->skipped++;
}

/* One more directory on top, empty. */
static int push(struct pbr_walk *w, struct pbr_diag *diag)
{
    if (w->depth > PBR_PATH_DEPTH_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "more than %d directories below each other", PBR_PATH_DEPTH_MAX);
    if (w->depth == w->dir_cap) {
        const size_t cap = w->dir_cap ? 2 * w->dir_cap : 16;
        struct pbr_walk_dir *more = pbr_realloc(w->env, w->dirs, cap * sizeof(*more));
        if (!more)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a directory");
        w->dirs = more;
        w->dir_cap = cap;
    }
    w->dirs[w->depth++] = (struct pbr_walk_dir){ .fd = -1 };
    return PBR_OK;
}

int pbr_walk_enter(struct pbr_walk *w, int *fd, const struct pbr_entry_stat *st, const struct pbr_fs_scope *scope,
                   struct pbr_diag *diag)
{
    const int rc = push(w, diag);
    if (rc < 0) {
        pbr_close(fd);
        return rc;
    }
    struct pbr_walk_dir *dir = pbr_walk_top(w);
    dir->fd = *fd;
    *fd = -1;
    dir->dev = st->dev;
    dir->ino = st->ino;
    dir->scope = *scope;
    pbr_buf_init(&dir->names, w->env, SIZE_MAX / 4); /* bounded by kept_max names of NAME_MAX bytes */
    dir->path_len = w->path.len;
    dir->pattern_nr = w->patterns.nr;
    dir->kept_before = w->kept;
    if (w->depth > PBR_WALK_FD_MAX)
        pbr_close(&w->dirs[w->depth - PBR_WALK_FD_MAX - 1].fd);
    return pbr_walk_list(w, diag);
}

/* Opens the parent, closed before, through `..` of the directory behind fd. */
static int reopen(struct pbr_walk *w, int fd, struct pbr_walk_dir *parent, struct pbr_diag *diag)
{
    struct pbr_quoted q;
    struct stat st;
    int up = pbr_open_noatime(fd, "..", O_RDONLY | O_DIRECTORY | O_NOCTTY);

    if (up < 0 || fstat(up, &st) < 0) {
        const int err = errno;
        pbr_close(&up);
        return pbr_fail_os(diag, err, "cannot go back to the directory above %s",
                           pbr_quote_path(&q, pbr_walk_path(w)));
    }
    if (st.st_dev != parent->dev || st.st_ino != parent->ino) {
        pbr_close(&up);
        return pbr_fail_at(diag, PBR_E_IO, NULL, "%s was moved to another directory while it was read",
                           pbr_quote_path(&q, pbr_walk_path(w)));
    }
    parent->fd = up;
    return PBR_OK;
}

int pbr_walk_leave(struct pbr_walk *w, struct pbr_diag *diag)
{
    struct pbr_walk_dir *dir = pbr_walk_top(w);
    int rc = PBR_OK;

    w->path.len = dir->path_len;
    w->kept = dir->kept_before;
    pbr_pattern_list_cut(&w->patterns, dir->pattern_nr);
    if (w->depth > 1 && dir[-1].fd < 0)
        rc = reopen(w, dir->fd, dir - 1, diag);
    dir_release(w, dir);
    w->depth--;
    return rc;
}

int pbr_walk_next(struct pbr_walk *w, const struct pbr_walk_entry **ret, struct pbr_diag *diag)
{
    struct pbr_walk_dir *dir = pbr_walk_top(w);
    w->path.len = dir->path_len;
    if (dir->next == dir->entry_nr) {
        *ret = NULL;
        return PBR_OK;
    }
    const struct pbr_walk_entry *entry = &dir->entries[dir->next];
    int rc = pbr_buf_append_u8(&w->path, '/');
    if (rc == PBR_OK)
        rc = pbr_buf_append(&w->path, pbr_span(pbr_walk_name(dir, entry), entry->name_len));
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for a path");
    dir->next++;
    *ret = entry;
    return PBR_OK;
}
