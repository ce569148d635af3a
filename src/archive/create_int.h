/* SPDX-License-Identifier: MIT */
/* What the parts of creation share: file metadata of the listing, scopes, and small helpers. Inside archive/ only.
 * Thread: not shared. */
#ifndef PBR_ARCHIVE_CREATE_INT_H
#define PBR_ARCHIVE_CREATE_INT_H

#include "base/io.h"

/* ---- names in messages ---- */

struct pbr_quoted {
    char text[6144]; /* of longer paths only the end is shown */
};

/* The path in quotes, escaped (format/quote.h). Returns q->text. */
const char *pbr_quote_path(struct pbr_quoted *q, struct pbr_span path);

/* ---- opening (CRT-180, CRT-181) ---- */

/* pbr_openat with O_NOATIME, and without it if that is not permitted. */
int pbr_open_noatime(int dirfd, const char *name, int flags);

/* ---- values ---- */

/* The fields of the listing's stat that count (CRT-025). */
struct pbr_entry_stat {
    uint64_t dev, ino, nlink, size, rdev;
    int64_t mtime_s, ctime_s;
    uint32_t mtime_ns, mode, uid, gid;
};

struct stat;
void pbr_entry_stat_from(struct pbr_entry_stat *ret, const struct stat *st);

/* What holds for the entries of one directory (CRT-067): saved when a directory is entered, restored when it is left. */
struct pbr_fs_scope {
    uint64_t fs_type;  /* f_type */
    uint64_t features; /* requested and supported (CRT-132); XATTRS goes when the kernel says so (CRT-110) */
    uint64_t dev;
};

/* f_type of file systems that creation tells apart. */
#define PBR_FS_MSDOS UINT64_C(0x4d44)
#define PBR_FS_EXT UINT64_C(0xef53)
#define PBR_FS_XFS UINT64_C(0x58465342)
#define PBR_FS_ZFS UINT64_C(0x2fc12fc1)
#define PBR_FS_BTRFS UINT64_C(0x9123683e)
#define PBR_FS_TMPFS UINT64_C(0x01021994)
#define PBR_FS_FUSE UINT64_C(0x65735546)

/* fstatfs, EINTR retried. Negative: failed, errno set. */
int pbr_fs_type(int fd, uint64_t *ret);
/* A feature set cut down to what the file system type supports (CRT-133). */
uint64_t pbr_fs_features(uint64_t fs_type, uint64_t requested);
/* CRT-061. */
bool pbr_fs_is_virtual(uint64_t fs_type);

#endif
