/* SPDX-License-Identifier: MIT */
/* Where an archive is extracted to: the few file system operations that extraction needs, as a
 * vtable. The real file system is archive/target_fs.c; tests put one with faults before it, fuzzing
 * uses one in memory.
 *
 * Nodes are small non-negative numbers (descriptors in the real one). Names are single path
 * components that were checked before: not empty, no '/', no NUL, not "." or "..". No operation
 * ever follows a symbolic link below the root, and none reaches anything that is not beneath the
 * root [EXT-034, EXT-035, EXT-036].
 *
 * Thread: a target has one owner thread at a time. */
#ifndef PBR_ARCHIVE_TARGET_H
#define PBR_ARCHIVE_TARGET_H

#include "base/io.h"

/* Which object a node is, to recognise it again. */
struct pbr_target_id {
    uint64_t dev, ino;
};

struct pbr_target_stat {
    uint32_t mode;  /* type and permissions as in PXAR-051 */
    uint64_t links; /* names of the object */
    struct pbr_target_id id;
};

/* All functions return 0 (or a node where that is said), or a negative errno value. */
struct pbr_target_ops {
    /* ---- names; `dir` is a directory node ---- */
    int (*mkdir)(void *ctx, int dir, const char *name, uint32_t mode); /* umask applies */
    int (*open_dir)(void *ctx, int dir,
                    const char *name);  /* node; ENOTDIR for anything else, also a symlink */
    int (*open_up)(void *ctx, int dir); /* node of the directory that holds `dir` */
    int (*open_node)(void *ctx, int dir,
                     const char *name); /* node for metadata only; of a symlink: the link itself */
    int (*create)(void *ctx, int dir, const char *name,
                  uint32_t mode); /* node of a new regular file; EEXIST */
    int (*open_empty)(
        void *ctx, int dir,
        const char *name); /* node of an existing regular file, truncated to 0 bytes */
    int (*stat_name)(void *ctx, int dir, const char *name,
                     struct pbr_target_stat *ret);       /* of a symlink: the link */
    int (*unlink)(void *ctx, int dir, const char *name); /* never a directory */
    int (*symlink)(void *ctx, int dir, const char *name, const char *link_target);
    int (*mknod)(void *ctx, int dir, const char *name, uint32_t mode,
                 uint64_t dev); /* dev as in PXAR-079 */
    /* `path` has components joined by '/', none empty, "." or ".."; it is resolved beneath `root`
     * [EXT-033]. */
    int (*link)(void *ctx, int root, const char *path, int dir, const char *name);
    int (*open_path)(void *ctx, int root,
                     const char *path); /* node of an existing regular file, to set flags */

    /* ---- nodes ---- */
    int (*stat)(void *ctx, int node, struct pbr_target_stat *ret);
    int (*write_at)(void *ctx, int node, uint64_t off, struct pbr_span in); /* all of it */
    int (*set_size)(void *ctx, int node, uint64_t size);
    int (*set_owner)(void *ctx, int node, uint32_t uid, uint32_t gid);
    int (*set_xattr)(void *ctx, int node, const char *name, struct pbr_span value);
    int (*set_mode)(void *ctx, int node, uint32_t mode); /* permission bits */
    int (*set_mtime)(void *ctx, int node, int64_t s, uint32_t ns);
    int (*get_inode_flags)(void *ctx, int node, uint32_t *ret); /* bits of FS_IOC_GETFLAGS */
    int (*set_inode_flags)(void *ctx, int node, uint32_t bits);
    int (*set_fat_attrs)(void *ctx, int node, uint32_t bits);
    int (*set_projid)(void *ctx, int node, uint32_t projid);
    int (*close)(void *ctx, int node); /* the node is gone even if this fails */
};

struct pbr_target {
    const struct pbr_target_ops *ops;
    void *ctx;
    int root; /* directory node, open as long as the target is */
};

/* The real file system below directory `path`, which is created if missing: its parents with mode
 * 0755, itself with 0700 [EXT-013]. A symlink in `path` is followed: it is the user's, not the
 * archive's. */
PBR_MUST_USE int pbr_target_fs_open(const struct pbr_env *env, const char *path,
                                    struct pbr_target *ret, struct pbr_diag *diag);
/* The same below an open directory; takes the descriptor over. */
struct pbr_target pbr_target_fs(int root_fd);
void pbr_target_close(struct pbr_target *t);

#endif
