/* SPDX-License-Identifier: MIT */
/* Reading one directory: names, filter, stat, order (CRT-020 .. CRT-030); see walk_int.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/excludes.h"
#include "archive/walk_int.h"
#include "base/limits.h"
#include "sys/fd.h"

/* One name on its way into the list. Its stat is taken once, when a pattern or the list needs it (CRT-025). */
struct candidate {
    int dirfd;
    const char *name;
    struct pbr_entry_stat st;
    bool have_stat;
    int err; /* of the stat, 0 if it went well */
};

static bool candidate_stat(struct candidate *c)
{
    struct stat st;
    if (c->have_stat || c->err)
        return !c->err;
    if (fstatat(c->dirfd, c->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        c->err = errno;
        return false;
    }
    pbr_entry_stat_from(&c->st, &st);
    c->have_stat = true;
    return true;
}

static int candidate_mode(void *ctx, uint64_t *ret_mode)
{
    struct candidate *c = ctx;
    if (!candidate_stat(c))
        return 1;
    *ret_mode = c->st.mode;
    return PBR_OK;
}

/* Warning or end (CRT-026 .. CRT-028). */
static int stat_failed(struct pbr_walk *w, int err, struct pbr_diag *diag)
{
    const struct pbr_span path = pbr_walk_path(w);
    struct pbr_quoted q;
    switch (err) {
    case ENOENT:
        pbr_walk_skip(w, "warning: file vanished while reading directory: ", path, "");
        return PBR_OK;
    case EACCES:
        pbr_walk_skip(w, "warning: failed to stat file: ", path, ": access denied");
        return PBR_OK;
    case ESTALE:
        pbr_walk_skip(w, "warning: stale file handle encountered while reading: ", path, "");
        return PBR_OK;
    default:
        return pbr_fail_os(diag, err, "failed to stat %s", pbr_quote_path(&q, path));
    }
}

/* Appends to the directory's list. */
static int keep(struct pbr_walk *w, struct pbr_walk_dir *dir, const struct candidate *c, struct pbr_diag *diag)
{
    const size_t len = strlen(c->name);
    if (w->kept >= w->kept_max)
        return pbr_fail_at(diag, PBR_E_LIMIT, "CRT-030", "exceeded allowed number of file entries (> %" PRIu64 ")",
                           w->kept_max);
    if (dir->entry_nr == dir->entry_cap) {
        const size_t cap = dir->entry_cap ? 2 * dir->entry_cap : 32;
        struct pbr_walk_entry *more =
            cap <= SIZE_MAX / sizeof(*more) ? pbr_realloc(w->env, dir->entries, cap * sizeof(*more)) : NULL;
        if (!more)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for directory entries");
        dir->entries = more;
        dir->entry_cap = cap;
    }
    const size_t off = dir->names.len;
    const int rc = pbr_buf_append(&dir->names, pbr_span(c->name, len + 1));
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for directory entries");
    dir->entries[dir->entry_nr++] = (struct pbr_walk_entry){ .name_off = off, .name_len = len, .st = c->st };
    w->kept++;
    return PBR_OK;
}

/* One name of the directory: left out, kept, or a failure. */
static int consider(struct pbr_walk *w, struct pbr_walk_dir *dir, const char *name, struct pbr_diag *diag)
{
    struct candidate c = { .dirfd = dir->fd, .name = name };
    enum pbr_verdict verdict = PBR_VERDICT_NONE;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return PBR_OK;
    if (w->depth == 1 && strcmp(name, ".pxarexclude-cli") == 0) /* [CRT-022] */
        return PBR_OK;
    w->path.len = dir->path_len;
    int rc = pbr_buf_append_u8(&w->path, '/');
    if (rc == PBR_OK)
        rc = pbr_buf_append(&w->path, pbr_span_str(name));
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for a path");

    rc = pbr_pattern_list_verdict_lazy(&w->patterns, pbr_buf_span(&w->path), candidate_mode, &c, &verdict);
    if (rc == PBR_OK && verdict == PBR_VERDICT_EXCLUDE) {
        w->stats->excluded++;
        return PBR_OK;
    }
    if (rc != PBR_OK || !candidate_stat(&c))
        return stat_failed(w, c.err, diag);
    return keep(w, dir, &c, diag);
}

static int list_names(struct pbr_walk *w, struct pbr_walk_dir *dir, struct pbr_diag *diag)
{
    struct pbr_quoted q;
    for (;;) {
        const ssize_t n = getdents64(dir->fd, w->dents, PBR_WALK_DENTS_LEN);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) { /* [CRT-029] */
            w->path.len = dir->path_len;
            return pbr_fail_os(diag, errno, "failed to read directory %s", pbr_quote_path(&q, pbr_walk_path(w)));
        }
        if (n == 0)
            return PBR_OK;
        for (size_t at = 0; at < (size_t)n;) {
            const struct dirent64 *ent = (const struct dirent64 *)(const void *)(w->dents + at);
            const int rc = consider(w, dir, ent->d_name, diag);
            if (rc < 0)
                return rc;
            at += ent->d_reclen;
        }
    }
}

/* Bytewise, shorter prefix first [CRT-021]. */
static int entry_cmp(const void *a, const void *b, void *names)
{
    const struct pbr_walk_entry *x = a, *y = b;
    const uint8_t *base = names;
    return pbr_span_cmp(pbr_span(base + x->name_off, x->name_len), pbr_span(base + y->name_off, y->name_len));
}

int pbr_walk_list(struct pbr_walk *w, struct pbr_diag *diag)
{
    struct pbr_walk_dir *dir = pbr_walk_top(w);
    int rc = pbr_excludes_load(&w->patterns, dir->fd, pbr_walk_path(w), &w->stats->warnings, diag);
    if (rc == PBR_OK)
        rc = list_names(w, dir, diag);
    w->path.len = dir->path_len;
    if (rc == PBR_OK && dir->entry_nr > 1)
        qsort_r(dir->entries, dir->entry_nr, sizeof(*dir->entries), entry_cmp, dir->names.ptr);
    return rc;
}
