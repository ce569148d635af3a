/* SPDX-License-Identifier: MIT */
/* Changing system calls of the store, each of which opts.fault can make fail, and files published by rename. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_int.h"
#include "sys/fd.h"

/* True if this call has to fail. */
static bool hit(struct pbr_store *s)
{
    if (!s->fault || !pbr_fault_step(s->fault))
        return false;
    errno = ENOSPC;
    return true;
}

int store_mkdir(struct pbr_store *s, int dirfd, const char *name, mode_t mode)
{
    return hit(s) ? -1 : mkdirat(dirfd, name, mode);
}

int store_unlink(struct pbr_store *s, int dirfd, const char *name, int flags)
{
    return hit(s) ? -1 : unlinkat(dirfd, name, flags);
}

int store_rename(struct pbr_store *s, int dirfd, const char *from, const char *to)
{
    return hit(s) ? -1 : renameat(dirfd, from, dirfd, to);
}

int store_create(struct pbr_store *s, int dirfd, const char *name, int flags, mode_t mode)
{
    return hit(s) ? -1 : pbr_openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | flags, mode);
}

int store_truncate(struct pbr_store *s, int fd, uint64_t size)
{
    return hit(s) ? -1 : ftruncate(fd, (off_t)size);
}

int store_fsync(struct pbr_store *s, int fd)
{
    return hit(s) ? -1 : fsync(fd);
}

int store_syncfs(struct pbr_store *s)
{
    return hit(s) ? -1 : syncfs(s->root_fd);
}

int store_pwrite(struct pbr_store *s, int fd, uint64_t off, struct pbr_span in, const char *what,
                 struct pbr_diag *diag)
{
    if (hit(s))
        return pbr_fail_os(diag, errno, "cannot write %s", what);
    return pbr_pwrite_all(fd, off, in, what, diag);
}

int store_nomem(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
}

bool store_grow(const struct pbr_env *env, void **items, size_t nr, size_t *cap, size_t size)
{
    uint64_t bytes;
    if (nr < *cap)
        return true;
    const size_t want = *cap ? *cap * 2 : 8;
    if (want < *cap || !pbr_mul(want, size, &bytes) || bytes > SIZE_MAX)
        return false;
    void *grown = pbr_realloc(env, *items, (size_t)bytes);
    if (!grown)
        return false;
    *items = grown;
    *cap = want;
    return true;
}

/* ---- files published by rename ---- */

int store_random_text(struct pbr_store *s, char *out, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t salt[16];

    if (n > sizeof(salt))
        n = sizeof(salt);
    const int rc = s->env->random(s->env->ctx, salt, n);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        out[i] = letters[salt[i] % (sizeof(letters) - 1)];
    out[n] = 0;
    return PBR_OK;
}

void store_replace_ext(const char *name, const char *ext, char *out, size_t cap)
{
    const char *dot = strrchr(name, '.');
    const size_t stem = dot && dot != name ? (size_t)(dot - name) : strlen(name);
    (void)snprintf(out, cap, "%.*s%s", (int)stem, name, ext);
}

int store_file_create(struct pbr_store *s, struct store_file *f, int dirfd, const char *name, struct pbr_diag *diag)
{
    *f = (struct store_file){ .dirfd = dirfd, .fd = -1 };
    if (strlen(name) > PBR_ARCHIVE_NAME_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "IDX-081", "file name too long");
    (void)snprintf(f->name, sizeof(f->name), "%s", name);
    for (int tries = 0; tries < 100; tries++) {
        char ext[16] = ".tmp_";
        const int rc = store_random_text(s, ext + 5, 6);
        if (rc < 0)
            return pbr_fail_at(diag, rc, NULL, "no random bytes for a temporary name");
        store_replace_ext(name, ext, f->tmp_name, sizeof(f->tmp_name));
        f->fd = store_create(s, dirfd, f->tmp_name, O_EXCL, 0644);
        if (f->fd >= 0)
            return PBR_OK;
        if (errno != EEXIST)
            return pbr_fail_os(diag, errno, "cannot create %s", f->tmp_name);
    }
    return pbr_fail_at(diag, PBR_E_IO, NULL, "cannot find a temporary name for %s", name);
}

static int sync_dir(struct pbr_store *s, int dirfd)
{
    int fd = pbr_openat(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
    const int rc = fd < 0 ? -1 : store_fsync(s, fd);
    pbr_close(&fd);
    return rc;
}

int store_file_commit(struct pbr_store *s, struct store_file *f, struct pbr_diag *diag)
{
    int rc = PBR_OK;

    if (s->sync == PBR_STORE_SYNC_FILE && store_fsync(s, f->fd) != 0)
        rc = pbr_fail_os(diag, errno, "cannot sync %s", f->tmp_name);
    else if (store_rename(s, f->dirfd, f->tmp_name, f->name) != 0)
        rc = pbr_fail_os(diag, errno, "Atomic rename file \"%s\" failed", f->name);
    if (rc < 0) {
        store_file_abort(s, f);
        return rc;
    }
    pbr_close(&f->fd);
    if (s->sync == PBR_STORE_SYNC_FILE && sync_dir(s, f->dirfd) != 0)
        return pbr_fail_os(diag, errno, "cannot sync the directory of %s", f->name);
    return PBR_OK;
}

void store_file_abort(struct pbr_store *s, struct store_file *f)
{
    (void)s;
    if (f->fd >= 0)
        (void)unlinkat(f->dirfd, f->tmp_name, 0);
    pbr_close(&f->fd);
}

int store_save(struct pbr_store *s, int dirfd, const char *name, struct pbr_span in, struct pbr_diag *diag)
{
    struct store_file f;
    int rc = store_file_create(s, &f, dirfd, name, diag);
    if (rc < 0)
        return rc;
    rc = store_pwrite(s, f.fd, 0, in, f.tmp_name, diag);
    if (rc < 0) {
        store_file_abort(s, &f);
        return rc;
    }
    return store_file_commit(s, &f, diag);
}
