/* SPDX-License-Identifier: MIT */
/* See memfs.h. Names are one list of (directory, name, inode); looking up is a walk over it, which is enough for what
 * an input can make. */
#include "support/memfs.h"

#include <errno.h>

#include "format/pxar.h"
#include "fuzz.h"

enum { LINKS_MAX = 60000, SIZE_MAX_FILE = 1 << 30, NONE = -1 };

struct entry {
    size_t dir, inode;
    char *name;
};

struct node {
    bool open, is_dir, writable, meta_only;
    size_t inode;
};

struct memfs {
    struct memfs_inode inodes[MEMFS_INODES];
    size_t inode_nr;
    struct entry names[MEMFS_NAMES];
    size_t name_nr;
    struct node nodes[MEMFS_NODES];
    size_t open_nr, open_most;
    uint64_t bytes;
    long nth;
    bool failed;
};

/* ---- judging the caller ---- */

static bool fails(struct memfs *fs)
{
    if (fs->nth < 0 || fs->nth-- > 0)
        return false;
    fs->failed = true;
    return true;
}

static void check_name(const char *name)
{
    MUST(name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/'));
}

static struct node *node_at(struct memfs *fs, int node)
{
    MUST(node >= 0 && node < MEMFS_NODES && fs->nodes[node].open);
    return &fs->nodes[node];
}

static size_t dir_at(struct memfs *fs, int node)
{
    const struct node *n = node_at(fs, node);
    MUST(n->is_dir);
    return n->inode;
}

/* For every change of an object: nothing outside of the root is ever changed [EXT-034, EXT-035, EXT-036]. */
static struct memfs_inode *changed(struct memfs *fs, int node)
{
    struct memfs_inode *i = &fs->inodes[node_at(fs, node)->inode];
    MUST(!i->outside);
    return i;
}

/* ---- objects, names, nodes ---- */

static int new_inode(struct memfs *fs, uint32_t mode, size_t *ret)
{
    if (fs->inode_nr >= MEMFS_INODES)
        return -ENOSPC;
    fs->inodes[fs->inode_nr] = (struct memfs_inode){ .mode = mode, .links = 1 };
    *ret = fs->inode_nr++;
    return 0;
}

static struct entry *find(const struct memfs *fs, size_t dir, struct pbr_span name)
{
    for (size_t i = 0; i < fs->name_nr; i++)
        if (fs->names[i].dir == dir && pbr_span_eq_str(name, fs->names[i].name))
            return (struct entry *)(uintptr_t)&fs->names[i];
    return NULL;
}

static int check_free(const struct memfs *fs, size_t dir, const char *name)
{
    if (strlen(name) > 255)
        return -ENAMETOOLONG;
    return find(fs, dir, pbr_span_str(name)) ? -EEXIST : 0;
}

static int add_name(struct memfs *fs, size_t dir, const char *name, size_t inode)
{
    const int rc = check_free(fs, dir, name);
    if (rc < 0)
        return rc;
    if (fs->name_nr >= MEMFS_NAMES)
        return -ENOSPC;
    char *copy = strdup(name);
    MUST(copy);
    fs->names[fs->name_nr++] = (struct entry){ dir, inode, copy };
    return 0;
}

/* A new object under a new name; *ret may be NULL. */
static int make(struct memfs *fs, size_t dir, const char *name, uint32_t mode, size_t *ret)
{
    size_t inode = 0;
    int rc = check_free(fs, dir, name);
    if (rc == 0)
        rc = new_inode(fs, mode, &inode);
    if (rc == 0)
        rc = add_name(fs, dir, name, inode);
    if (rc == 0 && ret)
        *ret = inode;
    return rc;
}

static int open_inode(struct memfs *fs, size_t inode, struct node as)
{
    for (int i = 1; i < MEMFS_NODES; i++)
        if (!fs->nodes[i].open) {
            as.open = true;
            as.inode = inode;
            fs->nodes[i] = as;
            fs->open_nr++;
            fs->open_most = fs->open_nr > fs->open_most ? fs->open_nr : fs->open_most;
            return i;
        }
    return -EMFILE;
}

static void fill_stat(const struct memfs *fs, size_t inode, struct pbr_target_stat *ret)
{
    const struct memfs_inode *i = &fs->inodes[inode];
    *ret = (struct pbr_target_stat){ i->mode, i->links, { 1, inode } };
}

/* ---- operations on names ---- */

/* What stands under the name. */
static int look_up(struct memfs *fs, int dir, const char *name, struct entry **ret)
{
    check_name(name);
    struct entry *e = find(fs, dir_at(fs, dir), pbr_span_str(name));
    if (fails(fs))
        return -EIO;
    if (!e)
        return -ENOENT;
    *ret = e;
    return 0;
}

static int fs_mkdir(void *ctx, int dir, const char *name, uint32_t mode)
{
    struct memfs *fs = ctx;
    size_t inode = 0;
    const size_t up = dir_at(fs, dir);
    check_name(name);
    MUST((mode & ~07777u) == 0);
    if (fails(fs))
        return -EIO;
    const int rc = make(fs, up, name, PBR_MODE_DIR | mode, &inode);
    if (rc == 0)
        fs->inodes[inode].up = up;
    return rc;
}

static int fs_open_dir(void *ctx, int dir, const char *name)
{
    struct memfs *fs = ctx;
    struct entry *e = NULL;
    const int rc = look_up(fs, dir, name, &e);
    if (rc < 0)
        return rc;
    if ((fs->inodes[e->inode].mode & PBR_MODE_TYPE) != PBR_MODE_DIR)
        return -ENOTDIR;
    return open_inode(fs, e->inode, (struct node){ .is_dir = true });
}

static int fs_open_up(void *ctx, int dir)
{
    struct memfs *fs = ctx;
    const size_t inode = dir_at(fs, dir);
    MUST(inode != 0); /* above the root */
    return fails(fs) ? -EIO : open_inode(fs, fs->inodes[inode].up, (struct node){ .is_dir = true });
}

static int fs_open_node(void *ctx, int dir, const char *name)
{
    struct memfs *fs = ctx;
    struct entry *e = NULL;
    const int rc = look_up(fs, dir, name, &e);
    return rc < 0 ? rc : open_inode(fs, e->inode, (struct node){ .meta_only = true });
}

static int fs_create(void *ctx, int dir, const char *name, uint32_t mode)
{
    struct memfs *fs = ctx;
    size_t inode = 0;
    check_name(name);
    MUST((mode & ~07777u) == 0);
    const size_t at = dir_at(fs, dir);
    const int rc = fails(fs) ? -EIO : make(fs, at, name, PBR_MODE_REG | mode, &inode);
    return rc < 0 ? rc : open_inode(fs, inode, (struct node){ .writable = true });
}

static int fs_open_empty(void *ctx, int dir, const char *name)
{
    struct memfs *fs = ctx;
    struct entry *e = NULL;
    const int rc = look_up(fs, dir, name, &e);
    if (rc < 0)
        return rc;
    struct memfs_inode *i = &fs->inodes[e->inode];
    if ((i->mode & PBR_MODE_TYPE) != PBR_MODE_REG)
        return (i->mode & PBR_MODE_TYPE) == PBR_MODE_SYMLINK ? -ELOOP : -EINVAL;
    MUST(!i->outside && i->links == 1);
    fs->bytes -= i->size;
    free(i->bytes);
    i->bytes = NULL;
    i->size = 0;
    return open_inode(fs, e->inode, (struct node){ .writable = true });
}

static int fs_stat_name(void *ctx, int dir, const char *name, struct pbr_target_stat *ret)
{
    struct memfs *fs = ctx;
    struct entry *e = NULL;
    const int rc = look_up(fs, dir, name, &e);
    if (rc < 0)
        return rc;
    fill_stat(fs, e->inode, ret);
    return 0;
}

static int fs_unlink(void *ctx, int dir, const char *name)
{
    struct memfs *fs = ctx;
    struct entry *e = NULL;
    const int rc = look_up(fs, dir, name, &e);
    if (rc < 0)
        return rc;
    if ((fs->inodes[e->inode].mode & PBR_MODE_TYPE) == PBR_MODE_DIR)
        return -EISDIR;
    fs->inodes[e->inode].links--;
    free(e->name);
    *e = fs->names[--fs->name_nr];
    return 0;
}

static int fs_symlink(void *ctx, int dir, const char *name, const char *link_target)
{
    struct memfs *fs = ctx;
    size_t inode = 0;
    check_name(name);
    const size_t at = dir_at(fs, dir);
    if (!link_target[0])
        return -ENOENT;
    const int rc = fails(fs) ? -EIO : make(fs, at, name, PBR_MODE_SYMLINK | 0777, &inode);
    if (rc < 0)
        return rc;
    fs->inodes[inode].link_target = strdup(link_target);
    MUST(fs->inodes[inode].link_target);
    return 0;
}

static int fs_mknod(void *ctx, int dir, const char *name, uint32_t mode, uint64_t dev)
{
    struct memfs *fs = ctx;
    const uint32_t type = mode & PBR_MODE_TYPE;
    size_t inode = 0;
    check_name(name);
    MUST(type == PBR_MODE_BLOCK || type == PBR_MODE_CHAR || type == PBR_MODE_FIFO || type == PBR_MODE_SOCKET);
    const size_t at = dir_at(fs, dir);
    const int rc = fails(fs) ? -EIO : make(fs, at, name, mode, &inode);
    if (rc == 0)
        fs->inodes[inode].dev = dev;
    return rc;
}

/* The entry at a path from the root, through directories only. */
static struct entry *resolve(const struct memfs *fs, struct pbr_span path, bool judge)
{
    size_t dir = 0;
    for (size_t at = 0;;) {
        const struct pbr_span rest = pbr_span_sub(path, at, SIZE_MAX);
        const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
        const struct pbr_span name = pbr_span_sub(rest, 0, slash ? (size_t)(slash - rest.ptr) : rest.len);
        MUST(!judge || !pbr_pxar_name_check(name));
        struct entry *e = find(fs, dir, name);
        if (!e || !slash)
            return e;
        if ((fs->inodes[e->inode].mode & PBR_MODE_TYPE) != PBR_MODE_DIR)
            return NULL;
        dir = e->inode;
        at += name.len + 1;
    }
}

static int fs_link(void *ctx, int root, const char *path, int dir, const char *name)
{
    struct memfs *fs = ctx;
    check_name(name);
    MUST(dir_at(fs, root) == 0);
    const size_t at = dir_at(fs, dir);
    const struct entry *e = resolve(fs, pbr_span_str(path), true);
    if (fails(fs))
        return -EIO;
    if (!e)
        return -ENOENT;
    struct memfs_inode *i = &fs->inodes[e->inode];
    if ((i->mode & PBR_MODE_TYPE) == PBR_MODE_DIR)
        return -EPERM;
    if (i->links >= LINKS_MAX)
        return -EMLINK;
    const int rc = add_name(fs, at, name, e->inode);
    i->links += rc == 0;
    return rc;
}

static int fs_open_path(void *ctx, int root, const char *path)
{
    struct memfs *fs = ctx;
    MUST(dir_at(fs, root) == 0);
    const struct entry *e = resolve(fs, pbr_span_str(path), true);
    if (fails(fs))
        return -EIO;
    if (!e)
        return -ENOENT;
    if ((fs->inodes[e->inode].mode & PBR_MODE_TYPE) != PBR_MODE_REG)
        return -EINVAL;
    return open_inode(fs, e->inode, (struct node){ 0 });
}

/* ---- operations on nodes ---- */

static int fs_stat(void *ctx, int node, struct pbr_target_stat *ret)
{
    struct memfs *fs = ctx;
    const struct node *n = node_at(fs, node);
    if (fails(fs))
        return -EIO;
    fill_stat(fs, n->inode, ret);
    return 0;
}

static int resize(struct memfs *fs, struct memfs_inode *i, uint64_t size)
{
    if (size > SIZE_MAX_FILE)
        return -EFBIG;
    if (size > i->size && size - i->size > MEMFS_BYTES - fs->bytes)
        return -ENOSPC;
    uint8_t *bytes = realloc(i->bytes, size ? (size_t)size : 1);
    MUST(bytes);
    if (size > i->size)
        memset(bytes + i->size, 0, (size_t)(size - i->size));
    fs->bytes += size - i->size;
    i->bytes = bytes;
    i->size = size;
    return 0;
}

static int fs_write_at(void *ctx, int node, uint64_t off, struct pbr_span in)
{
    struct memfs *fs = ctx;
    struct memfs_inode *i = changed(fs, node);
    MUST(node_at(fs, node)->writable && in.len > 0);
    if (fails(fs))
        return -EIO;
    if (off > SIZE_MAX_FILE)
        return -EFBIG;
    const int rc = off + in.len > i->size ? resize(fs, i, off + in.len) : 0;
    if (rc == 0)
        memcpy(i->bytes + off, in.ptr, in.len);
    return rc;
}

static int fs_set_size(void *ctx, int node, uint64_t size)
{
    struct memfs *fs = ctx;
    struct memfs_inode *i = changed(fs, node);
    MUST(node_at(fs, node)->writable);
    return fails(fs) ? -EIO : resize(fs, i, size);
}

static int fs_set_owner(void *ctx, int node, uint32_t uid, uint32_t gid)
{
    struct memfs *fs = ctx;
    struct memfs_inode *i = changed(fs, node);
    if (fails(fs))
        return -EIO;
    i->uid = uid;
    i->gid = gid;
    return 0;
}

static int fs_set_xattr(void *ctx, int node, const char *name, struct pbr_span value)
{
    struct memfs *fs = ctx;
    struct memfs_inode *i = changed(fs, node);
    MUST(name[0] && strlen(name) <= 255);
    if (fails(fs))
        return -EIO;
    i->xattr_nr++;
    fuzz_hash_str(&i->xattr_hash, name);
    fuzz_hash_span(&i->xattr_hash, value);
    return 0;
}

static int fs_set_mode(void *ctx, int node, uint32_t mode)
{
    struct memfs *fs = ctx;
    struct memfs_inode *i = changed(fs, node);
    MUST((mode & ~07777u) == 0);
    MUST((i->mode & PBR_MODE_TYPE) != PBR_MODE_SYMLINK); /* would be that of what it points to */
    if (fails(fs))
        return -EIO;
    i->mode = (i->mode & PBR_MODE_TYPE) | mode;
    return 0;
}

static int fs_set_mtime(void *ctx, int node, int64_t s, uint32_t ns)
{
    struct memfs *fs = ctx;
    struct memfs_inode *i = changed(fs, node);
    if (fails(fs))
        return -EIO;
    if (ns >= 1000000000u)
        return -EINVAL;
    i->mtime_s = s;
    i->mtime_ns = ns;
    return 0;
}

static int fs_get_inode_flags(void *ctx, int node, uint32_t *ret)
{
    struct memfs *fs = ctx;
    const struct node *n = node_at(fs, node);
    if (fails(fs))
        return -EIO;
    if (n->meta_only)
        return -EBADF;
    *ret = fs->inodes[n->inode].inode_flags;
    return 0;
}

static int fs_set_inode_flags(void *ctx, int node, uint32_t bits)
{
    struct memfs *fs = ctx;
    changed(fs, node)->inode_flags = bits;
    return fails(fs) ? -EIO : 0;
}

static int fs_set_fat_attrs(void *ctx, int node, uint32_t bits)
{
    struct memfs *fs = ctx;
    changed(fs, node)->fat_attrs = bits;
    return fails(fs) ? -EIO : 0;
}

static int fs_set_projid(void *ctx, int node, uint32_t projid)
{
    struct memfs *fs = ctx;
    changed(fs, node)->projid = projid;
    return fails(fs) ? -EIO : 0;
}

static int fs_close(void *ctx, int node)
{
    struct memfs *fs = ctx;
    node_at(fs, node)->open = false;
    MUST(node != 0);
    fs->open_nr--;
    return fails(fs) ? -EIO : 0;
}

static const struct pbr_target_ops memfs_ops = {
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

/* ---- the whole ---- */

struct memfs *memfs_new(void)
{
    struct memfs *fs = calloc(1, sizeof(*fs));
    MUST(fs);
    fs->nth = NONE;
    fs->inodes[0] = (struct memfs_inode){ .mode = PBR_MODE_DIR | 0700, .links = 1 };
    fs->inode_nr = 1;
    fs->nodes[0] = (struct node){ .open = true, .is_dir = true };
    return fs;
}

void memfs_free(struct memfs *fs)
{
    MUST(fs->open_nr == 0);
    for (size_t i = 0; i < fs->name_nr; i++)
        free(fs->names[i].name);
    for (size_t i = 0; i < fs->inode_nr; i++) {
        free(fs->inodes[i].bytes);
        free(fs->inodes[i].link_target);
    }
    free(fs);
}

struct pbr_target memfs_target(struct memfs *fs)
{
    return (struct pbr_target){ .ops = &memfs_ops, .ctx = fs, .root = 0 };
}

void memfs_fail_at(struct memfs *fs, long nth)
{
    fs->nth = nth;
}

bool memfs_has_failed(const struct memfs *fs)
{
    return fs->failed;
}

size_t memfs_open_most(const struct memfs *fs)
{
    return fs->open_most;
}

size_t memfs_put(struct memfs *fs, size_t dir, const char *name, uint32_t mode, const char *content)
{
    const uint32_t type = mode & PBR_MODE_TYPE;
    size_t inode = 0;
    MUST(make(fs, dir, name, mode, &inode) == 0);
    struct memfs_inode *i = &fs->inodes[inode];
    i->up = dir;
    if (type == PBR_MODE_SYMLINK) {
        i->link_target = strdup(content);
        MUST(i->link_target);
    } else if (type == PBR_MODE_REG) {
        MUST(resize(fs, i, strlen(content)) == 0);
        memcpy(i->bytes, content, strlen(content));
    }
    return inode;
}

size_t memfs_put_outside(struct memfs *fs, size_t dir, const char *name, const char *content)
{
    const size_t inode = memfs_put(fs, dir, name, PBR_MODE_REG | 0600, content);
    fs->inodes[inode].outside = true;
    fs->inodes[inode].links = 2;
    return inode;
}

const struct memfs_inode *memfs_inode(const struct memfs *fs, size_t inode)
{
    return &fs->inodes[inode];
}

const struct memfs_inode *memfs_find(const struct memfs *fs, struct pbr_span path)
{
    MUST(path.len && path.ptr[0] == '/');
    if (path.len == 1)
        return &fs->inodes[0];
    const struct entry *e = resolve(fs, pbr_span_sub(path, 1, SIZE_MAX), false);
    return e ? &fs->inodes[e->inode] : NULL;
}

size_t memfs_name_nr(const struct memfs *fs)
{
    return fs->name_nr;
}
