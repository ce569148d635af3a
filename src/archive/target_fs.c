/* SPDX-License-Identifier: MIT */
/* The real file system as a target of extraction; see target.h. A node is a file descriptor: opened
 * for reading (directories), writing (files) or O_PATH (everything else, the entry itself, never
 * what a symlink points to).
 *
 * Metadata calls work on the descriptor; on O_PATH ones, where the kernel says EBADF, through
 * /proc/self/fd [EXT-062].
 *
 * Thread: as target.h. */
#include "archive/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/msdos_fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/fd.h"

enum { PROC_PATH_CAP = 40 };

static int result(int rc)
{
    return rc < 0 ? -errno : rc;
}

static const char *proc_path(int node, char out[PROC_PATH_CAP])
{
    (void)snprintf(out, PROC_PATH_CAP, "/proc/self/fd/%d", node);
    return out;
}

/* ---- names ---- */

static int fs_mkdir(void *ctx, int dir, const char *name, uint32_t mode)
{
    (void)ctx;
    return result(mkdirat(dir, name, mode));
}

static int fs_open_dir(void *ctx, int dir, const char *name)
{
    (void)ctx;
    return result(pbr_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0));
}

static int fs_open_up(void *ctx, int dir)
{
    (void)ctx;
    return result(pbr_openat(dir, "..", O_RDONLY | O_DIRECTORY, 0));
}

static int fs_open_node(void *ctx, int dir, const char *name)
{
    (void)ctx;
    return result(pbr_openat(dir, name, O_PATH | O_NOFOLLOW, 0));
}

static int fs_create(void *ctx, int dir, const char *name, uint32_t mode)
{
    (void)ctx;
    return result(pbr_openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
}

static int fs_stat(void *ctx, int node, struct pbr_target_stat *ret)
{
    struct stat st;
    (void)ctx;
    if (fstat(node, &st) != 0)
        return -errno;
    *ret = (struct pbr_target_stat){ st.st_mode, st.st_nlink, { st.st_dev, st.st_ino } };
    return 0;
}

static int fs_stat_name(void *ctx, int dir, const char *name, struct pbr_target_stat *ret)
{
    struct stat st;
    (void)ctx;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    *ret = (struct pbr_target_stat){ st.st_mode, st.st_nlink, { st.st_dev, st.st_ino } };
    return 0;
}

/* Closes `fd` and says why it is of no use. */
static int give_up(int fd, int error)
{
    pbr_close(&fd);
    return -error;
}

static int fs_open_empty(void *ctx, int dir, const char *name)
{
    struct stat st;
    (void)ctx;
    /* O_NONBLOCK: should a fifo have taken the file's place meanwhile, the call must not wait for
     * its other end */
    const int fd = pbr_openat(dir, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0)
        return give_up(fd, errno);
    if (!S_ISREG(st.st_mode))
        return give_up(fd, EINVAL);
    if (ftruncate(fd, 0) != 0)
        return give_up(fd, errno);
    return fd;
}

static int fs_unlink(void *ctx, int dir, const char *name)
{
    (void)ctx;
    return result(unlinkat(dir, name, 0));
}

static int fs_symlink(void *ctx, int dir, const char *name, const char *link_target)
{
    (void)ctx;
    return result(symlinkat(link_target, dir, name));
}

static int fs_mknod(void *ctx, int dir, const char *name, uint32_t mode, uint64_t dev)
{
    (void)ctx;
    return result(mknodat(dir, name, mode, (dev_t)dev));
}

/* The directory that holds the last component of `path`, one component at a time. Each step refuses
 * symlinks. */
static int walk_to_parent(int root, const char *path, size_t parent_len)
{
    char name[NAME_MAX + 1];
    int dir = pbr_openat(root, ".", O_PATH | O_DIRECTORY, 0);
    for (size_t at = 0; dir >= 0 && at < parent_len;) {
        const size_t len = strcspn(path + at, "/");
        if (len > NAME_MAX)
            return give_up(dir, ENAMETOOLONG);
        memcpy(name, path + at, len);
        name[len] = 0;
        const int next = pbr_openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
        if (next < 0)
            return give_up(dir, errno);
        pbr_close(&dir);
        dir = next;
        at += len + 1;
    }
    return result(dir);
}

/* The same at once where the kernel can [openat2, Linux 5.6]. */
static int open_parent(int root, const char *path, size_t parent_len)
{
    char parent[PATH_MAX];
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve =
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    if (parent_len == 0 || parent_len >= sizeof(parent))
        return walk_to_parent(root, path, parent_len);
    memcpy(parent, path, parent_len);
    parent[parent_len] = 0;
    const long fd = syscall(SYS_openat2, root, parent, &how, sizeof(how));
    if (fd >= 0)
        return (int)fd;
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
        return -errno;
    return walk_to_parent(
        root, path,
        parent_len); /* old kernel, filtered call, race, no descriptor: its errno counts */
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static size_t parent_len_of(const char *path)
{
    const char *name = last_component(path);
    return name == path ? 0 : (size_t)(name - path) - 1;
}

static int fs_link(void *ctx, int root, const char *path, int dir, const char *name)
{
    (void)ctx;
    int parent = open_parent(root, path, parent_len_of(path));
    if (parent < 0)
        return parent;
    const int rc = result(linkat(parent, last_component(path), dir, name, 0));
    pbr_close(&parent);
    return rc;
}

static int fs_open_path(void *ctx, int root, const char *path)
{
    struct stat st;
    (void)ctx;
    int parent = open_parent(root, path, parent_len_of(path));
    if (parent < 0)
        return parent;
    const int fd = result(
        pbr_openat(parent, last_component(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0));
    pbr_close(&parent);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) != 0)
        return give_up(fd, errno);
    return S_ISREG(st.st_mode) ? fd : give_up(fd, EINVAL);
}

/* ---- nodes ---- */

static int fs_write_at(void *ctx, int node, uint64_t off, struct pbr_span in)
{
    struct pbr_diag diag = { 0 };
    (void)ctx;
    if (pbr_pwrite_all(node, off, in, "", &diag) == PBR_OK)
        return 0;
    return diag.os_errno ? -diag.os_errno : -EIO;
}

static int fs_set_size(void *ctx, int node, uint64_t size)
{
    (void)ctx;
    if (size > INT64_MAX)
        return -EFBIG;
    return result(ftruncate(node, (off_t)size));
}

static int fs_set_owner(void *ctx, int node, uint32_t uid, uint32_t gid)
{
    (void)ctx;
    return result(fchownat(node, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

static int fs_set_xattr(void *ctx, int node, const char *name, struct pbr_span value)
{
    char path[PROC_PATH_CAP];
    (void)ctx;
    if (fsetxattr(node, name, value.ptr, value.len, 0) == 0)
        return 0;
    if (errno != EBADF)
        return -errno;
    return result(setxattr(proc_path(node, path), name, value.ptr, value.len, 0));
}

static int fs_set_mode(void *ctx, int node, uint32_t mode)
{
    char path[PROC_PATH_CAP];
    (void)ctx;
    if (fchmod(node, mode) == 0)
        return 0;
    if (errno != EBADF)
        return -errno;
    return result(chmod(proc_path(node, path), mode));
}

static int fs_set_mtime(void *ctx, int node, int64_t s, uint32_t ns)
{
    char path[PROC_PATH_CAP];
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
                                       { .tv_sec = s, .tv_nsec = (long)ns } };
    (void)ctx;
    if (ns >= 1000000000u) /* UTIME_NOW and UTIME_OMIT lie there */
        return -EINVAL;
    if (futimens(node, times) == 0)
        return 0;
    if (errno != EBADF)
        return -errno;
    return result(utimensat(AT_FDCWD, proc_path(node, path), times, 0));
}

static int fs_get_inode_flags(void *ctx, int node, uint32_t *ret)
{
    uint32_t bits[2] = { 0 }; /* the request says `long`, the kernel fills 32 bits [CRT-120] */
    (void)ctx;
    if (ioctl(node, FS_IOC_GETFLAGS, bits) != 0)
        return -errno;
    *ret = bits[0];
    return 0;
}

static int fs_set_inode_flags(void *ctx, int node, uint32_t bits)
{
    uint32_t arg[2] = { bits, 0 };
    (void)ctx;
    return result(ioctl(node, FS_IOC_SETFLAGS, arg));
}

static int fs_set_fat_attrs(void *ctx, int node, uint32_t bits)
{
    (void)ctx;
    return result(ioctl(node, FAT_IOCTL_SET_ATTRIBUTES, &bits));
}

static int fs_set_projid(void *ctx, int node, uint32_t projid)
{
    struct fsxattr attr;
    (void)ctx;
    if (ioctl(node, FS_IOC_FSGETXATTR, &attr) != 0)
        return -errno;
    attr.fsx_projid = projid;
    return result(ioctl(node, FS_IOC_FSSETXATTR, &attr));
}

static int fs_close(void *ctx, int node)
{
    (void)ctx;
    const int rc = result(close(node));
    return rc == -EINTR ? 0 : rc; /* Linux has closed it */
}

static const struct pbr_target_ops fs_ops = {
    .mkdir = fs_mkdir,
    .open_dir = fs_open_dir,
    .open_up = fs_open_up,
    .open_node = fs_open_node,
    .create = fs_create,
    .open_empty = fs_open_empty,
    .stat_name = fs_stat_name,
    .unlink = fs_unlink,
    .symlink = fs_symlink,
    .mknod = fs_mknod,
    .link = fs_link,
    .open_path = fs_open_path,
    .stat = fs_stat,
    .write_at = fs_write_at,
    .set_size = fs_set_size,
    .set_owner = fs_set_owner,
    .set_xattr = fs_set_xattr,
    .set_mode = fs_set_mode,
    .set_mtime = fs_set_mtime,
    .get_inode_flags = fs_get_inode_flags,
    .set_inode_flags = fs_set_inode_flags,
    .set_fat_attrs = fs_set_fat_attrs,
    .set_projid = fs_set_projid,
    .close = fs_close,
};

/* ---- the target itself ---- */

struct pbr_target pbr_target_fs(int root_fd)
{
    return (struct pbr_target){ &fs_ops, NULL, root_fd };
}

/* Creates the components of `path` one after the other; `copy` is the same text, cut at each '/' in
 * turn. */
static int make_path(char *copy, struct pbr_diag *diag)
{
    for (char *at = copy; *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        const bool is_last = at[strspn(at, "/")] == 0;
        const char cut = *at;
        *at = 0;
        const int rc = mkdir(copy, is_last ? 0700 : 0755);
        const int error = errno;
        struct stat st;
        if (rc != 0 && error != EEXIST && !(stat(copy, &st) == 0 && S_ISDIR(st.st_mode)))
            return pbr_fail_os(diag, error, "unable to create target directory \"%s\"", copy);
        *at = cut;
        if (is_last)
            break;
    }
    return PBR_OK;
}

int pbr_target_fs_open(const struct pbr_env *env, const char *path, struct pbr_target *ret,
                       struct pbr_diag *diag)
{
    char *copy = pbr_strdup(env, path);
    if (!copy)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory");
    const int rc = make_path(copy, diag);
    pbr_free(env, copy);
    if (rc < 0)
        return rc;
    const int fd = pbr_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "unable to open target directory \"%s\"", path);
    *ret = pbr_target_fs(fd);
    return PBR_OK;
}

void pbr_target_close(struct pbr_target *t)
{
    if (t->ops && t->root >= 0)
        (void)t->ops->close(t->ctx, t->root);
    *t = (struct pbr_target){ .root = -1 };
}
