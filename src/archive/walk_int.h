/* SPDX-License-Identifier: MIT */
/* The walk of creation: which entries there are, in archive order, with the stat of the listing (spec/create.md
 * section 3). A stack of directories, no recursion. Inside archive/ only.
 *
 * Descriptors: at most WALK_FD_MAX directories are open at a time. In deeper trees the upper ones are closed and opened
 * again on the way back, through `..` of the directory that is left; device and inode must be the same as before,
 * else the walk ends with an error (the tree was moved meanwhile).
 * Thread: not shared. */
#ifndef PBR_ARCHIVE_WALK_INT_H
#define PBR_ARCHIVE_WALK_INT_H

#include "archive/create.h"
#include "archive/create_int.h"
#include "format/pattern.h"

enum { PBR_WALK_FD_MAX = 200, PBR_WALK_DENTS_LEN = 128 << 10 };

struct pbr_walk_entry {
    size_t name_off; /* in the directory's names, with a NUL behind it */
    size_t name_len;
    struct pbr_entry_stat st;
};

struct pbr_walk_dir {
    int fd; /* owned; -1 while closed to save descriptors */
    uint64_t dev, ino;
    struct pbr_fs_scope scope;
    struct pbr_buf names;
    struct pbr_walk_entry *entries; /* sorted */
    size_t entry_nr, entry_cap, next;
    size_t path_len;      /* of the walk's path while in this directory */
    size_t pattern_nr;    /* patterns in force outside of it */
    uint64_t kept_before; /* counter outside of it (CRT-030) */
};

struct pbr_walk {
    const struct pbr_env *env;
    struct pbr_create_stats *stats; /* excluded, skipped, warnings count here */
    struct pbr_pattern_list patterns;
    size_t cli_pattern_nr;  /* of these, from the command line: the first ones */
    uint64_t kept, kept_max;
    struct pbr_buf path;    /* "/dir/name" of the current entry; "" for the root */
    struct pbr_walk_dir *dirs;
    size_t depth, dir_cap;
    uint8_t *dents;
};

/* `stats` must outlive the walk. release may follow a failed init. */
PBR_MUST_USE int pbr_walk_init(struct pbr_walk *w, const struct pbr_env *env, uint64_t kept_max,
                               struct pbr_create_stats *stats, struct pbr_diag *diag);
void pbr_walk_release(struct pbr_walk *w);

/* Goes into the directory behind *fd (taken over, set to -1, also on failure), whose path is the current one: reads its
 * `.pxarexclude`, lists, filters, stats and sorts (CRT-020). */
PBR_MUST_USE int pbr_walk_enter(struct pbr_walk *w, int *fd, const struct pbr_entry_stat *st,
                                const struct pbr_fs_scope *scope, struct pbr_diag *diag);
/* Leaves the current directory; the path is its path again. */
PBR_MUST_USE int pbr_walk_leave(struct pbr_walk *w, struct pbr_diag *diag);

/* The directory that the walk is in (depth > 0). Valid until enter or leave. */
struct pbr_walk_dir *pbr_walk_top(struct pbr_walk *w);
/* Next entry of the current directory, whose path becomes the current one. *ret NULL: there is none left. Borrowed until
 * enter or leave. */
PBR_MUST_USE int pbr_walk_next(struct pbr_walk *w, const struct pbr_walk_entry **ret, struct pbr_diag *diag);
const char *pbr_walk_name(const struct pbr_walk_dir *dir, const struct pbr_walk_entry *entry);
/* Path of the current entry without leading slash; "" for the root. Borrowed until it changes. */
struct pbr_span pbr_walk_path(const struct pbr_walk *w);

/* Warns: `before`, the path in quotes, `after`; counted. */
void pbr_walk_warn(struct pbr_walk *w, const char *before, struct pbr_span path, const char *after);
/* The same for an entry that is left out because of it. */
void pbr_walk_skip(struct pbr_walk *w, const char *before, struct pbr_span path, const char *after);

/* Fills the directory on top of the stack (walk_list.c). */
PBR_MUST_USE int pbr_walk_list(struct pbr_walk *w, struct pbr_diag *diag);

#endif
