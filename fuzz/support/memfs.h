/* SPDX-License-Identifier: MIT */
/* A file system in memory as a target of extraction (archive/target.h) that judges its caller: names that are no single
 * component, nodes that are not open, writes to what was opened for reading, and every change of something that lies
 * outside of the root end the program (MUST).
 *
 * Bounded: MEMFS_INODES objects and MEMFS_BYTES of contents in all, ENOSPC beyond.
 * Thread: not shared. */
#ifndef PBR_FUZZ_MEMFS_H
#define PBR_FUZZ_MEMFS_H

#include "archive/target.h"

enum { MEMFS_INODES = 1024, MEMFS_NAMES = 2 * MEMFS_INODES, MEMFS_NODES = 64, MEMFS_BYTES = 8 << 20 };

struct memfs_inode {
    uint32_t mode; /* type and permissions; 0: free */
    uint32_t uid, gid;
    uint64_t links;
    bool outside;      /* not to be changed: reached through a name inside, or not at all */
    uint8_t *bytes;    /* regular file */
    uint64_t size;
    char *link_target; /* symlink */
    uint64_t dev;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint32_t inode_flags, fat_attrs, projid;
    size_t up;         /* directory: inode of the directory that holds it */
    size_t xattr_nr;
    uint64_t xattr_hash;
};

struct memfs;

struct memfs *memfs_new(void);
void memfs_free(struct memfs *fs); /* MUST: no node is open but the root */

/* The root is the target's. */
struct pbr_target memfs_target(struct memfs *fs);
/* From the nth call on, that one fails with EIO; negative: never. */
void memfs_fail_at(struct memfs *fs, long nth);
bool memfs_has_failed(const struct memfs *fs);
/* Most nodes that were open at once, the root not counted. */
size_t memfs_open_most(const struct memfs *fs);

/* Puts something into directory inode `dir` (root: 0) before the run; returns its inode. `content`: bytes of a file or
 * the target of a symlink. */
size_t memfs_put(struct memfs *fs, size_t dir, const char *name, uint32_t mode, const char *content);
/* A second name for a file that lies outside of the root. */
size_t memfs_put_outside(struct memfs *fs, size_t dir, const char *name, const char *content);
const struct memfs_inode *memfs_inode(const struct memfs *fs, size_t inode);
/* What is at "/a/b"; NULL if nothing. No symlink is followed. */
const struct memfs_inode *memfs_find(const struct memfs *fs, struct pbr_span path);
size_t memfs_name_nr(const struct memfs *fs);

#endif
