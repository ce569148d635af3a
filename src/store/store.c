/* SPDX-License-Identifier: MIT */
/* A datastore directory: layout, opening, syncing; see store.h. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/store_int.h"
#include "sys/fd.h"

enum { PREFIX_NR = 65536, CHUNK_DIR_MODE = 0750 };

/* ---- init ---- */

/* Makes a directory with exactly this mode, whatever the umask. */
static int make_dir(struct pbr_store *s, int dirfd, const char *name, mode_t mode, struct pbr_diag *diag)
{
    if (store_mkdir(s, dirfd, name, mode) != 0) {
        if (errno == EEXIST && store_is_dir(dirfd, name))
            return PBR_OK;
        return pbr_fail_os(diag, errno, "cannot create %s/%s", s->path, name);
    }
    if (fchmodat(dirfd, name, mode, 0) != 0)
        return pbr_fail_os(diag, errno, "cannot set the mode of %s/%s", s->path, name);
    return PBR_OK;
}

/* The 65,536 prefix directories [IDX-101]. fchmod only where the umask takes bits away: it would double the time. */
static int make_prefixes(struct pbr_store *s, int chunks_fd, struct pbr_diag *diag)
{
    struct stat st;
    bool chmod_needed = false;

    for (unsigned i = 0; i < PREFIX_NR; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "%04x", i);
        if (store_mkdir(s, chunks_fd, name, CHUNK_DIR_MODE) != 0) {
            if (errno == EEXIST)
                continue;
            return pbr_fail_os(diag, errno, "cannot create %s/.chunks/%s", s->path, name);
        }
        if (i == 0)
            chmod_needed = fstatat(chunks_fd, name, &st, 0) != 0 || (st.st_mode & 07777) != CHUNK_DIR_MODE;
        if (chmod_needed && fchmodat(chunks_fd, name, CHUNK_DIR_MODE, 0) != 0)
            return pbr_fail_os(diag, errno, "cannot set the mode of %s/.chunks/%s", s->path, name);
    }
    return PBR_OK;
}

/* Creates an empty lock file if it is missing. */
static int make_lock_file(struct pbr_store *s, struct pbr_diag *diag)
{
    if (faccessat(s->root_fd, ".lock", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return PBR_OK;
    int fd = store_create(s, s->root_fd, ".lock", 0, 0644);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot create %s/.lock", s->path);
    pbr_close(&fd);
    return PBR_OK;
}

static bool want_any(const char *name)
{
    return strcmp(name, "lost+found") != 0;
}

/* A directory that holds other things is not taken over. */
static int check_fresh(struct pbr_store *s, struct pbr_diag *diag)
{
    struct store_names names;
    if (store_is_dir(s->root_fd, ".chunks"))
        return PBR_OK;
    const int rc = store_read_dir(s->env, s->root_fd, want_any, &names, diag);
    if (rc < 0)
        return rc;
    const size_t nr = names.nr;
    store_names_release(&names);
    if (nr > 0)
        return pbr_fail_at(diag, PBR_E_EXIST, NULL, "%s is neither empty nor a datastore", s->path);
    return PBR_OK;
}

static int make_layout(struct pbr_store *s, bool lazy, struct pbr_diag *diag)
{
    int chunks_fd;
    int rc = check_fresh(s, diag);
    if (rc == PBR_OK)
        rc = make_dir(s, s->root_fd, ".chunks", CHUNK_DIR_MODE, diag);
    if (rc == PBR_OK)
        rc = make_lock_file(s, diag);
    if (rc == PBR_OK)
        rc = make_dir(s, s->root_fd, ".locks", 0755, diag);
    if (rc < 0 || lazy)
        return rc;

    chunks_fd = store_open_dir(s->root_fd, ".chunks");
    if (chunks_fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s/.chunks", s->path);
    rc = make_prefixes(s, chunks_fd, diag);
    pbr_close(&chunks_fd);
    return rc;
}

/* ---- open ---- */

/* Last component of a path without trailing slashes; "datastore" if there is none. */
static char *name_of(const struct pbr_env *env, const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return start == end ? pbr_strdup(env, "datastore") : pbr_strndup(env, pbr_span(path + start, end - start));
}

static char *absolute(const struct pbr_env *env, const char *path)
{
    char real[PATH_MAX];
    return pbr_strdup(env, realpath(path, real) ? real : path);
}

/* The object with its root open and nothing else. */
static int new_store(const struct pbr_env *env, const char *path, const struct pbr_store_opts *opts,
                     struct pbr_store **ret, struct pbr_diag *diag)
{
    struct pbr_store *s = pbr_alloc(env, 1, sizeof(*s));
    if (!s)
        return store_nomem(diag);
    *s = (struct pbr_store){ .env = env,
                             .root_fd = -1,
                             .chunks_fd = -1,
                             .locks_fd = -1,
                             .sync = opts->sync,
                             .read_only = opts->read_only,
                             .fault = opts->fault };
    pbr_buf_init(&s->plain, env, PBR_BLOB_PLAIN_MAX);
    s->path = absolute(env, path);
    if (s->path)
        s->name = opts->name ? pbr_strdup(env, opts->name) : name_of(env, s->path);
    if (!s->name) {
        pbr_store_close(s);
        return store_nomem(diag);
    }
    s->root_fd = pbr_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (s->root_fd < 0) {
        const int rc = pbr_fail_os(diag, errno, "cannot open datastore %s", path);
        pbr_store_close(s);
        return rc;
    }
    *ret = s;
    return PBR_OK;
}

int pbr_store_init(const struct pbr_env *env, const char *path, const struct pbr_store_opts *opts,
                   struct pbr_diag *diag)
{
    static const struct pbr_store_opts standard = { 0 };
    struct pbr_store *s;

    if (!opts)
        opts = &standard;
    if (mkdir(path, 0755) == 0) {
        if (chmod(path, 0755) != 0)
            return pbr_fail_os(diag, errno, "cannot set the mode of %s", path);
    } else if (errno != EEXIST) {
        return pbr_fail_os(diag, errno, "cannot create %s", path);
    }
    int rc = new_store(env, path, opts, &s, diag);
    if (rc < 0)
        return rc;
    rc = make_layout(s, opts->lazy, diag); /* not synced: what a power cut takes, the next init adds */
    pbr_store_close(s);
    return rc;
}

int pbr_store_open(const struct pbr_env *env, const char *path, const struct pbr_store_opts *opts,
                   struct pbr_store **ret, struct pbr_diag *diag)
{
    static const struct pbr_store_opts standard = { 0 };
    struct pbr_store *s;
    int rc = new_store(env, path, opts ? opts : &standard, &s, diag);
    if (rc < 0)
        return rc;

    s->chunks_fd = store_open_dir(s->root_fd, ".chunks");
    if (s->chunks_fd < 0)
        rc = pbr_fail_os(diag, errno, "%s is not a datastore: cannot open .chunks", s->path);
    if (rc == PBR_OK && !s->read_only) {
        rc = make_lock_file(s, diag);
        if (rc == PBR_OK && !store_is_dir(s->root_fd, ".locks"))
            rc = make_dir(s, s->root_fd, ".locks", 0755, diag);
        if (rc == PBR_OK && (s->locks_fd = store_open_dir(s->root_fd, ".locks")) < 0)
            rc = pbr_fail_os(diag, errno, "cannot open %s/.locks", s->path);
    }
    if (rc < 0) {
        pbr_store_close(s);
        return rc;
    }
    *ret = s;
    return PBR_OK;
}

void pbr_store_close(struct pbr_store *s)
{
    if (!s)
        return;
    const struct pbr_env *env = s->env;
    pbr_close(&s->root_fd);
    pbr_close(&s->chunks_fd);
    pbr_close(&s->locks_fd);
    pbr_sealer_free(s->sealer);
    pbr_opener_free(s->opener);
    pbr_buf_release(&s->plain);
    pbr_free(env, s->name);
    pbr_free(env, s->path);
    pbr_free(env, s);
}

const char *pbr_store_name(const struct pbr_store *s)
{
    return s->name;
}

const char *pbr_store_path(const struct pbr_store *s)
{
    return s->path;
}

int pbr_store_sync(struct pbr_store *s, struct pbr_diag *diag)
{
    if (s->sync != PBR_STORE_SYNC_FILESYSTEM)
        return PBR_OK; /* FILE: each file was synced before its rename */
    if (store_syncfs(s) != 0)
        return pbr_fail_os(diag, errno, "cannot sync the file system of %s", s->path);
    return PBR_OK;
}

int pbr_store_space(const struct pbr_store *s, struct pbr_store_space *ret, struct pbr_diag *diag)
{
    struct statvfs v;
    if (fstatvfs(s->root_fd, &v) != 0)
        return pbr_fail_os(diag, errno, "cannot get the space of %s", s->path);
    *ret = (struct pbr_store_space){ .total = (uint64_t)v.f_blocks * v.f_frsize,
                                     .used = (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize,
                                     .avail = (uint64_t)v.f_bavail * v.f_frsize };
    return PBR_OK;
}

int store_need_coders(struct pbr_store *s, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    if (!s->opener)
        rc = pbr_opener_new(s->env, &s->opener);
    if (rc == PBR_OK && !s->sealer)
        rc = pbr_sealer_new(s->env, &s->sealer);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "cannot set up the blob coders") : PBR_OK;
}
