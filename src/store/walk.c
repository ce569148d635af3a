/* SPDX-License-Identifier: MIT */
/* Walk over everything below the root of a datastore but names that start with a dot [IDX-120]: an explicit stack, links
 * not followed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "store/store_int.h"
#include "sys/fd.h"

struct walk_level {
    int fd;
    struct store_names names;
    size_t next;
    size_t path_len; /* length of the path that leads here */
};

struct walk {
    struct pbr_store *s;
    struct walk_level *levels;
    size_t depth;
    struct pbr_buf path;
};

static bool want_visible(const char *name)
{
    return name[0] != '.';
}

/* Takes fd over. */
static int push_level(struct walk *w, int fd, struct pbr_diag *diag)
{
    struct walk_level *l = &w->levels[w->depth];
    const int rc = store_read_dir(w->s->env, fd, want_visible, &l->names, diag);
    if (rc < 0) {
        pbr_close(&fd);
        return rc;
    }
    l->fd = fd;
    l->next = 0;
    l->path_len = w->path.len;
    w->depth++;
    return PBR_OK;
}

static void pop_level(struct walk *w)
{
    struct walk_level *l = &w->levels[--w->depth];
    store_names_release(&l->names);
    pbr_close(&l->fd);
}

static int visit(struct walk *w, const char *name,
                 int (*each)(void *ctx, int dirfd, const char *name, const char *path, struct pbr_diag *diag),
                 void *ctx, struct pbr_diag *diag)
{
    struct walk_level *l = &w->levels[w->depth - 1];
    struct stat st;
    w->path.len = l->path_len;
    if (fstatat(l->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? PBR_OK : pbr_fail_os(diag, errno, "cannot stat %s", name);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return PBR_OK;
    const int rc = pbr_buf_printf(&w->path, "%s%s", l->path_len ? "/" : "", name);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "cannot walk below %s: %s", w->s->path, pbr_err_name(rc));
    if (S_ISREG(st.st_mode)) {
        const char *path = pbr_buf_cstr(&w->path);
        return path ? each(ctx, l->fd, name, path, diag) : store_nomem(diag);
    }
    if (w->depth == STORE_TREE_DEPTH_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "more than %d directories below each other in %s",
                           STORE_TREE_DEPTH_MAX, w->s->path);
    int fd = store_open_dir(l->fd, name);
    if (fd < 0)
        return errno == ENOENT ? PBR_OK : pbr_fail_os(diag, errno, "cannot open %s", name);
    return push_level(w, fd, diag);
}

int store_walk(struct pbr_store *s,
               int (*each)(void *ctx, int dirfd, const char *name, const char *path, struct pbr_diag *diag),
               void *ctx, struct pbr_diag *diag)
{
    struct walk w = { .s = s, .levels = pbr_alloc(s->env, STORE_TREE_DEPTH_MAX, sizeof(*w.levels)) };
    if (!w.levels)
        return store_nomem(diag);
    pbr_buf_init(&w.path, s->env, STORE_TREE_DEPTH_MAX * 256);
    int fd = store_open_dir(s->root_fd, "");
    int rc = fd < 0 ? pbr_fail_os(diag, errno, "cannot open %s", s->path) : push_level(&w, fd, diag);
    while (rc == PBR_OK && w.depth > 0) {
        struct walk_level *l = &w.levels[w.depth - 1];
        if (l->next < l->names.nr)
            rc = visit(&w, l->names.items[l->next++], each, ctx, diag);
        else
            pop_level(&w);
    }
    while (w.depth > 0)
        pop_level(&w);
    pbr_buf_release(&w.path);
    pbr_free(s->env, w.levels);
    return rc;
}
