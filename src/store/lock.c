/* SPDX-License-Identifier: MIT */
/* Locks of a datastore: record locks that belong to the open file (F_OFD_SETLK), so that two sessions of one process
 * conflict as two processes do. Lock files lie in `.locks/`, outside the snapshot directories [IDX-123]; who lets go last
 * removes the file, and who locked a file that was removed meanwhile tries again.
 *
 * Name: namespaces joined by ':', then "type/id[/time]", escaped as in IDX-122 but in one flat directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/store_int.h"
#include "sys/fd.h"

enum { LOCK_NAME_MAX = 255, MANIFEST_WAIT_STEPS = 500, MANIFEST_WAIT_MS = 10 };

struct pbr_store_lock {
    struct pbr_store *store;
    int fd;                        /* -1: read-only store */
    char name[LOCK_NAME_MAX + 1];  /* in .locks; empty: the file stays */
};

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == ':';
}

/* systemd unit escaping; false if it does not fit. */
static bool escape(const char *text, char *out, size_t cap)
{
    size_t at = 0;
    for (const char *p = text; *p; p++) {
        if (at + 5 > cap)
            return false;
        if (*p == '/')
            out[at++] = '-';
        else if (is_plain(*p) && !(*p == '.' && p == text))
            out[at++] = *p;
        else
            at += (size_t)snprintf(out + at, cap - at, "\\x%02x", (unsigned char)*p);
    }
    out[at] = 0;
    return true;
}

/* Lock file name of an unescaped path: escaped, or shortened with a hash from 255 bytes on [IDX-122]. */
static int lock_name(const char *path, char out[LOCK_NAME_MAX + 1], struct pbr_diag *diag)
{
    char escaped[4 * STORE_PATH_MAX];
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[2 * PBR_DIGEST_LEN + 1];

    if (escape(path, escaped, sizeof(escaped)) && strlen(escaped) < LOCK_NAME_MAX) {
        memcpy(out, escaped, strlen(escaped) + 1);
        return PBR_OK;
    }
    const int rc = pbr_sha256(pbr_span_str(path), pbr_span(NULL, 0), digest);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "cannot compute a digest");
    pbr_format_hex(digest, sizeof(digest), hex);
    const size_t len = strlen(escaped);
    (void)snprintf(out, LOCK_NAME_MAX + 1, "%.80s...%s-%s", escaped, escaped + (len > 80 ? len - 80 : 0), hex);
    return PBR_OK;
}

/* 0, or -1 with errno: EAGAIN if somebody holds it. */
static int set_lock(int fd, enum pbr_store_lock_mode mode)
{
    struct flock fl = { .l_type = mode == PBR_STORE_EXCLUSIVE ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };
    int rc;
    do {
        rc = fcntl(fd, F_OFD_SETLK, &fl);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno == EACCES)
        errno = EAGAIN;
    return rc;
}

/* Is the file behind fd still the one with this name? */
static bool is_current(int fd, int dirfd, const char *name)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && fstatat(dirfd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Descriptor that holds the lock; negative with errno. */
static int take(int dirfd, const char *name, enum pbr_store_lock_mode mode)
{
    for (;;) {
        int fd = pbr_openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
        if (fd < 0)
            return -1;
        if (set_lock(fd, mode) != 0) {
            pbr_close(&fd);
            return -1;
        }
        if (is_current(fd, dirfd, name))
            return fd;
        pbr_close(&fd); /* its last holder removed it between open and lock */
    }
}

static int acquire(struct pbr_store *s, int dirfd, const char *name, bool keep, enum pbr_store_lock_mode mode,
                   struct pbr_store_lock **ret, struct pbr_diag *diag)
{
    struct pbr_store_lock *l = pbr_alloc(s->env, 1, sizeof(*l));
    if (!l)
        return store_nomem(diag);
    l->store = s;
    l->fd = s->read_only ? -1 : take(dirfd, name, mode);
    if (l->fd < 0 && !s->read_only) {
        const int os_errno = errno;
        pbr_free(s->env, l);
        if (os_errno == EAGAIN)
            return PBR_E_STATE; /* the caller has the text */
        return pbr_fail_os(diag, os_errno, "cannot lock %s", name);
    }
    if (!keep)
        (void)snprintf(l->name, sizeof(l->name), "%s", name);
    *ret = l;
    return PBR_OK;
}

void pbr_store_unlock(struct pbr_store_lock *l)
{
    if (!l)
        return;
    /* The last holder gets it exclusively and may take the file away. */
    if (l->fd >= 0 && l->name[0] && set_lock(l->fd, PBR_STORE_EXCLUSIVE) == 0)
        (void)unlinkat(l->store->locks_fd, l->name, 0);
    pbr_close(&l->fd);
    pbr_free(l->store->env, l);
}

int pbr_store_lock_chunks(struct pbr_store *s, enum pbr_store_lock_mode mode, struct pbr_store_lock **ret,
                          struct pbr_diag *diag)
{
    const int rc = acquire(s, s->root_fd, ".lock", true, mode, ret, diag);
    if (rc == PBR_E_STATE)
        return pbr_fail_at(diag, rc, "IDX-103", "unable to get %s lock on datastore '%s'",
                           mode == PBR_STORE_EXCLUSIVE ? "exclusive" : "shared", s->name);
    return rc;
}

/* "a:b/host/web-1..." : namespaces joined by ':' before the rest. */
static void lock_path(const char *ns, const char *rest, char out[STORE_PATH_MAX])
{
    (void)snprintf(out, STORE_PATH_MAX, "%s%s%s", ns, *ns ? "/" : "", rest);
    for (char *p = out; *ns; p++, ns++) {
        if (*p == '/')
            *p = ':';
    }
}

static int acquire_path(struct pbr_store *s, const char *ns, const char *rest, enum pbr_store_lock_mode mode,
                        char name[LOCK_NAME_MAX + 1], struct pbr_store_lock **ret, struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX];
    lock_path(ns, rest, path);
    const int rc = lock_name(path, name, diag);
    return rc < 0 ? rc : acquire(s, s->locks_fd, name, false, mode, ret, diag);
}

int pbr_store_lock_group(struct pbr_store *s, const char *ns, const struct pbr_group *g, struct pbr_store_lock **ret,
                         struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX], text[512], name[LOCK_NAME_MAX + 1];
    int rc = store_group_path(ns, g, path, diag);
    if (rc < 0)
        return rc;
    pbr_group_format(g, text, sizeof(text));
    rc = acquire_path(s, ns, text, PBR_STORE_EXCLUSIVE, name, ret, diag);
    if (rc == PBR_E_STATE)
        return pbr_fail_at(diag, rc, "BKP-037", "unable to acquire backup group lock \"%s/.locks/%s\"", s->path, name);
    return rc;
}

int pbr_store_lock_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                            enum pbr_store_lock_mode mode, struct pbr_store_lock **ret, struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX], text[512], name[LOCK_NAME_MAX + 1];
    int rc = store_snap_path(ns, snap, path, diag);
    if (rc < 0)
        return rc;
    pbr_snapshot_format(snap, text, sizeof(text));
    rc = acquire_path(s, ns, text, mode, name, ret, diag);
    if (rc == PBR_E_STATE)
        return pbr_fail_at(diag, rc, "IDX-123", "unable to acquire snapshot lock \"%s/.locks/%s\"", s->path, name);
    return rc;
}

int store_lock_manifest(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                        struct pbr_store_lock **ret, struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX], text[512], name[LOCK_NAME_MAX + 1];
    int rc = store_snap_path(ns, snap, path, diag);
    if (rc < 0)
        return rc;
    pbr_snapshot_format(snap, text, sizeof(text));
    const size_t at = strlen(text);
    (void)snprintf(text + at, sizeof(text) - at, "/.index.json.lck");
    for (int i = 0; i < MANIFEST_WAIT_STEPS; i++) {
        static const struct timespec wait = { .tv_nsec = MANIFEST_WAIT_MS * 1000000L };
        rc = acquire_path(s, ns, text, PBR_STORE_EXCLUSIVE, name, ret, diag);
        if (rc != PBR_E_STATE)
            return rc;
        (void)nanosleep(&wait, NULL);
    }
    return pbr_fail_at(diag, PBR_E_STATE, "IDX-123", "unable to acquire manifest lock \"%s/.locks/%s\"", s->path, name);
}
