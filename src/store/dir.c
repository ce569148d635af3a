/* SPDX-License-Identifier: MIT */
/* Directories of the store: opened component by component without following links, listed sorted, removed as a tree. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_int.h"
#include "sys/fd.h"

enum { DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW };

/* Cuts the first component off *rel into out (NAME_MAX + 1 bytes); false if it is too long. */
static bool first_component(const char **rel, char *out)
{
    const char *slash = strchrnul(*rel, '/');
    const size_t len = (size_t)(slash - *rel);
    if (len > 255)
        return false;
    memcpy(out, *rel, len);
    out[len] = 0;
    *rel = *slash ? slash + 1 : slash;
    return true;
}

/* `make` may be NULL: nothing is created. */
static int walk(struct pbr_store *make, int dirfd, const char *rel)
{
    char part[256];
    int fd = pbr_openat(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);

    while (fd >= 0 && *rel) {
        if (!first_component(&rel, part)) {
            pbr_close(&fd);
            errno = ENAMETOOLONG;
            return -1;
        }
        int next = pbr_openat(fd, part, DIR_FLAGS, 0);
        if (next < 0 && errno == ENOENT && make) {
            if (store_mkdir(make, fd, part, 0755) == 0 || errno == EEXIST)
                next = pbr_openat(fd, part, DIR_FLAGS, 0);
        }
        pbr_close(&fd);
        fd = next;
    }
    return fd;
}

int store_open_dir(int dirfd, const char *rel)
{
    return walk(NULL, dirfd, rel);
}

int store_make_dir(struct pbr_store *s, int dirfd, const char *rel)
{
    return walk(s, dirfd, rel);
}

bool store_is_dir(int dirfd, const char *name)
{
    struct stat st;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int store_open_regular(int dirfd, const char *name, uint64_t *ret_size)
{
    struct stat st;
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY; /* a FIFO must not hang the server */
    int fd = pbr_openat(dirfd, name, flags | O_NOATIME, 0);

    if (fd < 0 && errno == EPERM) /* O_NOATIME is for the owner only */
        fd = pbr_openat(dirfd, name, flags, 0);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        pbr_close(&fd);
        errno = EINVAL;
        return -1;
    }
    *ret_size = (uint64_t)st.st_size;
    return fd;
}

int store_load(struct pbr_store *s, int dirfd, const char *name, size_t max, struct pbr_buf *ret,
               struct pbr_diag *diag)
{
    struct pbr_buf b;
    uint8_t *room;
    uint64_t size;
    int rc;
    int fd = store_open_regular(dirfd, name, &size);
    if (fd < 0) {
        const int os_errno = errno;
        return pbr_fail_at(diag, os_errno == ENOENT ? PBR_E_NOENT : PBR_E_IO, NULL, "%s", store_cause(os_errno).text);
    }
    pbr_buf_init(&b, s->env, max);
    if (size > max)
        rc = pbr_fail_at(diag, PBR_E_LIMIT, NULL, "file of %" PRIu64 " bytes, at most %zu", size, max);
    else if (pbr_buf_reserve(&b, (size_t)size, &room) < 0)
        rc = store_nomem(diag);
    else
        rc = pbr_pread_all(fd, 0, room, (size_t)size, name, diag);
    pbr_close(&fd);
    if (rc < 0) {
        pbr_buf_release(&b);
        return rc;
    }
    b.len = (size_t)size;
    *ret = b;
    return PBR_OK;
}

/* ---- names ---- */

int store_names_add(struct store_names *n, const char *name)
{
    void *items = n->items;
    if (!store_grow(n->env, &items, n->nr, &n->cap, sizeof(*n->items)))
        return PBR_E_NOMEM;
    n->items = items;
    n->items[n->nr] = pbr_strdup(n->env, name);
    if (!n->items[n->nr])
        return PBR_E_NOMEM;
    n->nr++;
    return PBR_OK;
}

void store_names_release(struct store_names *n)
{
    for (size_t i = 0; i < n->nr; i++)
        pbr_free(n->env, n->items[i]);
    pbr_free(n->env, n->items);
    *n = (struct store_names){ .env = n->env };
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A new stream over the directory, independent of dirfd's position. */
static DIR *open_stream(int dirfd)
{
    int fd = pbr_openat(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        pbr_close(&fd);
    return d;
}

/* NULL at the end or on failure: errno is 0 at the end. */
static struct dirent *next_entry(DIR *d)
{
    struct dirent *e;
    do {
        errno = 0;
        e = readdir(d);
    } while (e && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
    return e;
}

int store_read_dir(const struct pbr_env *env, int dirfd, bool (*want)(const char *name), struct store_names *ret,
                   struct pbr_diag *diag)
{
    struct store_names n = { .env = env };
    int rc = PBR_OK;
    struct dirent *e;
    DIR *d = open_stream(dirfd);

    if (!d)
        return pbr_fail_os(diag, errno, "cannot list a directory of the datastore");
    while (rc == PBR_OK && (e = next_entry(d)) != NULL) {
        if (want(e->d_name) && store_names_add(&n, e->d_name) < 0)
            rc = store_nomem(diag);
    }
    if (rc == PBR_OK && errno != 0)
        rc = pbr_fail_os(diag, errno, "cannot list a directory of the datastore");
    (void)closedir(d);
    if (rc < 0) {
        store_names_release(&n);
        return rc;
    }
    if (n.nr > 1)
        qsort(n.items, n.nr, sizeof(*n.items), by_name);
    *ret = n;
    return PBR_OK;
}

/* ---- removing a tree ---- */

struct level {
    int fd;
    DIR *d;
    char name[256]; /* in the level above */
};

/* Opens `name` in dirfd as the next level. Negative: errno set. */
static int enter(struct level *l, int dirfd, const char *name)
{
    l->fd = pbr_openat(dirfd, name, DIR_FLAGS, 0);
    if (l->fd < 0)
        return -1;
    l->d = open_stream(l->fd);
    if (!l->d || strlen(name) >= sizeof(l->name)) {
        pbr_close(&l->fd);
        return -1;
    }
    memcpy(l->name, name, strlen(name) + 1);
    return 0;
}

static void leave(struct level *l)
{
    (void)closedir(l->d);
    pbr_close(&l->fd);
}

/* Works the open levels off until none is left. Negative: errno set; levels still open are in *depth. */
static int empty_levels(struct pbr_store *s, int dirfd, struct level *levels, size_t *depth)
{
    while (*depth > 0) {
        struct level *l = &levels[*depth - 1];
        const struct dirent *e = next_entry(l->d);
        if (!e && errno != 0)
            return -1;
        if (!e) {
            leave(l);
            --*depth;
            const int parent = *depth ? levels[*depth - 1].fd : dirfd;
            if (store_unlink(s, parent, l->name, AT_REMOVEDIR) != 0 && errno != ENOENT)
                return -1;
            continue;
        }
        if (store_unlink(s, l->fd, e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if ((errno != EISDIR && errno != EPERM) || !store_is_dir(l->fd, e->d_name))
            return -1;
        if (*depth == STORE_TREE_DEPTH_MAX) {
            errno = ELOOP;
            return -1;
        }
        if (enter(&levels[*depth], l->fd, e->d_name) != 0)
            return -1;
        ++*depth;
    }
    return 0;
}

int store_remove_tree(struct pbr_store *s, int dirfd, const char *name, struct pbr_diag *diag)
{
    size_t depth = 0;
    int rc = PBR_OK;
    struct level *levels = pbr_alloc(s->env, STORE_TREE_DEPTH_MAX, sizeof(*levels));

    if (!levels)
        return store_nomem(diag);
    if (enter(&levels[0], dirfd, name) == 0) {
        depth = 1;
        if (store_unlink(s, levels[0].fd, STORE_MANIFEST, 0) != 0 && errno != ENOENT)
            rc = pbr_fail_os(diag, errno, "cannot remove %s", name);
        else if (empty_levels(s, dirfd, levels, &depth) != 0)
            rc = pbr_fail_os(diag, errno, "cannot remove %s", name);
    } else if (errno != ENOENT) {
        rc = pbr_fail_os(diag, errno, "cannot remove %s", name);
    }
    while (depth > 0)
        leave(&levels[--depth]);
    pbr_free(s->env, levels);
    return rc;
}
