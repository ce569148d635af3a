/* SPDX-License-Identifier: MIT */
/* Inside of the store room: the store object, changing system calls (each can be made to fail by opts.fault), paths,
 * directories, files published by rename, texts of the original. */
#ifndef PBR_STORE_STORE_INT_H
#define PBR_STORE_STORE_INT_H

#include <sys/types.h>

#include "chunk/seal.h"
#include "store/snapshot.h"
#include "store/store.h"

#define STORE_MANIFEST "index.json.blob"
#define STORE_MANIFEST_PENDING "index.json.tmp_blob" /* uploaded, not yet finished */
#define STORE_LOG "client.log.blob"
#define STORE_PROTECTED ".protected"

enum {
    STORE_PATH_MAX = 1024,       /* relative: namespace 256 + 8 * "ns/", type, id 255, time 20, a file name 255 */
    STORE_TREE_DEPTH_MAX = 64,   /* directories below each other that are removed or walked */
    STORE_NOTES_MAX = 1 << 20,   /* group notes */
    STORE_OWNER_MAX = 4096,
};

struct pbr_store {
    const struct pbr_env *env;
    char *path; /* absolute */
    char *name;
    int root_fd, chunks_fd, locks_fd;
    enum pbr_store_sync sync;
    bool read_only;
    struct pbr_fault *fault;
    struct pbr_sealer *sealer;
    struct pbr_opener *opener;
    struct pbr_buf plain; /* decoded chunk or blob; cleared before each use */
};

/* ---- disk.c: changing system calls; negative with errno set ---- */

int store_mkdir(struct pbr_store *s, int dirfd, const char *name, mode_t mode);
int store_unlink(struct pbr_store *s, int dirfd, const char *name, int flags);
int store_rename(struct pbr_store *s, int dirfd, const char *from, const char *to);
int store_create(struct pbr_store *s, int dirfd, const char *name, int flags, mode_t mode);
int store_truncate(struct pbr_store *s, int fd, uint64_t size);
int store_fsync(struct pbr_store *s, int fd);
int store_syncfs(struct pbr_store *s);
/* These two with a diagnosis. */
PBR_MUST_USE int store_pwrite(struct pbr_store *s, int fd, uint64_t off, struct pbr_span in, const char *what,
                              struct pbr_diag *diag);

/* A file written under a temporary name in its directory [IDX-104]. */
struct store_file {
    int dirfd; /* not owned */
    int fd;
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    char tmp_name[PBR_ARCHIVE_NAME_MAX + 16];
};
PBR_MUST_USE int store_file_create(struct pbr_store *s, struct store_file *f, int dirfd, const char *name,
                                   struct pbr_diag *diag);
/* Renames over `name`; syncs before if the store's level is FILE. The file is closed and, on failure, gone. */
PBR_MUST_USE int store_file_commit(struct pbr_store *s, struct store_file *f, struct pbr_diag *diag);
void store_file_abort(struct pbr_store *s, struct store_file *f);
/* create, write, commit. */
PBR_MUST_USE int store_save(struct pbr_store *s, int dirfd, const char *name, struct pbr_span in,
                            struct pbr_diag *diag);
/* Last extension replaced by `ext` (with its dot), or `ext` appended if there is none. */
void store_replace_ext(const char *name, const char *ext, char *out, size_t cap);
/* n random characters of [A-Za-z0-9] and a NUL. */
PBR_MUST_USE int store_random_text(struct pbr_store *s, char *out, size_t n);

/* ---- dir.c ---- */

/* Opens a directory below dirfd component by component, no link followed. Negative: errno set. "" = dirfd itself. */
int store_open_dir(int dirfd, const char *rel);
/* Makes missing components (0755). */
int store_make_dir(struct pbr_store *s, int dirfd, const char *rel);
bool store_is_dir(int dirfd, const char *name);
/* A regular file, no link followed; *ret_size its length. Negative: errno set. */
int store_open_regular(int dirfd, const char *name, uint64_t *ret_size);

/* A whole regular file. The text of a failure is the bare cause: "No such file or directory (os error 2)". *ret is
 * initialised on success only. */
PBR_MUST_USE int store_load(struct pbr_store *s, int dirfd, const char *name, size_t max, struct pbr_buf *ret,
                            struct pbr_diag *diag);

struct store_names {
    const struct pbr_env *env;
    char **items;
    size_t nr, cap;
};
/* Sorted names in a directory (borrowed fd) that `want` accepts. *ret is initialised on success only. */
PBR_MUST_USE int store_read_dir(const struct pbr_env *env, int dirfd, bool (*want)(const char *name),
                                struct store_names *ret, struct pbr_diag *diag);
PBR_MUST_USE int store_names_add(struct store_names *n, const char *name);
void store_names_release(struct store_names *n);
/* Removes a directory with everything in it; the manifest goes first, so that it never looks finished. */
PBR_MUST_USE int store_remove_tree(struct pbr_store *s, int dirfd, const char *name, struct pbr_diag *diag);

/* Regular files below the root, names that start with a dot left out, links not followed [IDX-120]. `path` is relative
 * to the root; all is borrowed. The first negative return of `each` ends the walk. */
PBR_MUST_USE int store_walk(struct pbr_store *s, int (*each)(void *ctx, int dirfd, const char *name, const char *path,
                                                             struct pbr_diag *diag),
                            void *ctx, struct pbr_diag *diag);

/* ---- path.c: checked names to relative paths (STORE_PATH_MAX bytes) ---- */

PBR_MUST_USE int store_ns_path(const char *ns, char *out, struct pbr_diag *diag);
PBR_MUST_USE int store_group_path(const char *ns, const struct pbr_group *g, char *out, struct pbr_diag *diag);
PBR_MUST_USE int store_snap_path(const char *ns, const struct pbr_snapshot *snap, char *out, struct pbr_diag *diag);
/* Opened directories; PBR_E_NOENT with "ENOENT: No such file or directory" and `rule` if missing. */
PBR_MUST_USE int store_open_ns(struct pbr_store *s, const char *ns, const char *rule, int *ret_fd,
                               struct pbr_diag *diag);
PBR_MUST_USE int store_open_group(struct pbr_store *s, const char *ns, const struct pbr_group *g, const char *rule,
                                  int *ret_fd, struct pbr_diag *diag);
PBR_MUST_USE int store_open_snap(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                 const char *rule, int *ret_fd, struct pbr_diag *diag);
bool store_want_type(const char *name);
bool store_want_id(const char *name);
bool store_want_time(const char *name);
bool store_want_file(const char *name);
/* "No such file or directory (os error 2)" */
struct store_cause {
    char text[128];
};
struct store_cause store_cause(int os_errno);
/* The file name is a safe id with one of the three extensions. */
PBR_MUST_USE int store_check_name(const char *name, enum pbr_file_type *ret, struct pbr_diag *diag);

/* ---- manifest.c ---- */

/* Loads `name` in a snapshot directory as a manifest; `path` is the file's full name for the message. */
PBR_MUST_USE int store_manifest_read(struct pbr_store *s, int dirfd, const char *path, const char *name,
                                     struct pbr_manifest *ret, uint64_t *ret_raw_size, struct pbr_diag *diag);
/* Text, sealed, published as index.json.blob. `before` (may be NULL) runs between writing and the rename. */
PBR_MUST_USE int store_manifest_write(struct pbr_store *s, int dirfd, const struct pbr_manifest *m,
                                      int (*before)(struct pbr_store *s, struct pbr_diag *diag),
                                      struct pbr_diag *diag);
/* Creates sealer and opener on first use. */
PBR_MUST_USE int store_need_coders(struct pbr_store *s, struct pbr_diag *diag);

/* ---- group.c ---- */

/* First line of the owner file without trailing white space; the caller frees *ret. */
PBR_MUST_USE int store_read_owner(struct pbr_store *s, int group_fd, const char *path, char **ret,
                                  struct pbr_diag *diag);
/* Makes the group with its owner in one step (a directory renamed into place); PBR_E_EXIST if it exists. */
PBR_MUST_USE int store_create_group(struct pbr_store *s, const char *ns, const struct pbr_group *g, const char *owner,
                                    struct pbr_diag *diag);
/* Removes the group if no snapshot is in it; the caller holds its lock. */
PBR_MUST_USE int store_drop_empty_group(struct pbr_store *s, const char *ns, const struct pbr_group *g,
                                        struct pbr_diag *diag);
/* Snapshot times of an open group, sorted ascending. */
struct store_times {
    int64_t *items;
    size_t nr;
};
PBR_MUST_USE int store_read_times(struct pbr_store *s, int group_fd, struct store_times *ret, struct pbr_diag *diag);

/* Drops one snapshot whose locks the caller holds; no check of protection. */
PBR_MUST_USE int store_drop_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                     struct pbr_diag *diag);

/* Manifest lock: waits up to 5 s [IDX-123]. */
PBR_MUST_USE int store_lock_manifest(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                     struct pbr_store_lock **ret, struct pbr_diag *diag);

/* PBR_E_NOMEM with a text. */
int store_nomem(struct pbr_diag *diag);
/* Grows an array by one element's room; false: out of memory, nothing changed. */
PBR_MUST_USE bool store_grow(const struct pbr_env *env, void **items, size_t nr, size_t *cap, size_t size);

#endif
