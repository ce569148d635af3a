/* SPDX-License-Identifier: MIT */
/* Small helpers of creation: opening, file system types, names in messages; see create_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "archive/create.h"
#include "archive/create_int.h"
#include "format/quote.h"
#include "sys/fd.h"

int pbr_open_noatime(int dirfd, const char *name, int flags)
{
    const int fd = pbr_openat(dirfd, name, flags | O_NOATIME, 0);
    return fd < 0 && errno == EPERM ? pbr_openat(dirfd, name, flags, 0) : fd; /* [CRT-181] */
}

void pbr_entry_stat_from(struct pbr_entry_stat *ret, const struct stat *st)
{
    *ret = (struct pbr_entry_stat){ .dev = st->st_dev,
                                    .ino = st->st_ino,
                                    .nlink = st->st_nlink,
                                    .size = (uint64_t)st->st_size,
                                    .rdev = st->st_rdev,
                                    .mtime_s = st->st_mtim.tv_sec,
                                    .ctime_s = st->st_ctim.tv_sec,
                                    .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
                                    .mode = st->st_mode,
                                    .uid = st->st_uid,
                                    .gid = st->st_gid };
}

/* ---- file systems ---- */

int pbr_fs_type(int fd, uint64_t *ret)
{
    struct statfs fs;
    int rc;
    do {
        rc = fstatfs(fd, &fs);
    } while (rc < 0 && errno == EINTR);
    if (rc == 0)
        *ret = (uint64_t)fs.f_type & UINT32_MAX; /* the magic numbers have 32 bits, the field may be signed */
    return rc;
}

uint64_t pbr_fs_features(uint64_t fs_type, uint64_t requested)
{
    const uint64_t three = PBR_FEATURE_XATTRS | PBR_FEATURE_ACL | PBR_FEATURE_FCAPS;
    uint64_t has = three;
    switch (fs_type) { /* [CRT-133] */
    case PBR_FS_MSDOS:
        has = 0;
        break;
    case PBR_FS_EXT:
    case PBR_FS_XFS:
    case PBR_FS_ZFS:
        has = three | PBR_FEATURE_QUOTA_PROJID;
        break;
    case PBR_FS_TMPFS:
        has = PBR_FEATURE_ACL; /* without effect [CRT-114] */
        break;
    case PBR_FS_FUSE:
        has = PBR_FEATURE_XATTRS;
        break;
    default: /* btrfs and everything else */
        break;
    }
    return requested & has;
}

bool pbr_fs_is_virtual(uint64_t fs_type)
{
    static const uint32_t VIRTUAL[] = {
        0x42494e4d, /* binfmt_misc */ 0x63677270, /* cgroup2 */    0x0027e0eb, /* cgroup */
        0x62656570, /* configfs */    0x64626720, /* debugfs */    0x00001cd1, /* devpts */
        0xde5e81e4, /* efivarfs */    0x65735543, /* fusectl */    0x958458f6, /* hugetlbfs */
        0x19800202, /* mqueue */      0x6e667364, /* nfsd */       0x00009fa0, /* proc */
        0x6165676c, /* pstore */      0x67596969, /* rpc_pipefs */ 0x73636673, /* securityfs */
        0xf97cff8c, /* selinuxfs */   0x43415d53, /* smackfs */    0x62656572, /* sysfs */
    };
    for (size_t i = 0; i < sizeof(VIRTUAL) / sizeof(VIRTUAL[0]); i++)
        if (VIRTUAL[i] == fs_type)
            return true;
    return false;
}

/* ---- names in messages ---- */

/* A buffer over q's memory: full is PBR_E_LIMIT, nothing is allocated. */
static int quote_into(struct pbr_quoted *q, struct pbr_span text)
{
    struct pbr_buf out = { .ptr = (uint8_t *)q->text, .cap = sizeof(q->text) - 1, .max = sizeof(q->text) - 1 };
    const int rc = pbr_quote(text, &out);
    q->text[rc < 0 ? 0 : out.len] = 0;
    return rc;
}

const char *pbr_quote_path(struct pbr_quoted *q, struct pbr_span path)
{
    enum { SURE = (sizeof(q->text) - 3) / 5 }; /* "\u{7f}" is the longest form per byte */
    if (quote_into(q, path) < 0)
        (void)quote_into(q, pbr_span_sub(path, path.len > SURE ? path.len - SURE : 0, SURE));
    return q->text;
}
