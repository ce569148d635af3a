/* SPDX-License-Identifier: MIT */
/* File descriptors; see fd.h. */
#include "sys/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>

void pbr_close(int *fd)
{
    const int saved = errno;
    if (*fd >= 0)
        (void)close(*fd); /* on Linux the descriptor is gone even after EINTR */
    *fd = -1;
    errno = saved;
}

int pbr_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    int fd;
    do {
        fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

ssize_t pbr_read_some(int fd, uint8_t *out, size_t len)
{
    ssize_t n;
    do {
        n = read(fd, out, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

int pbr_pread_all(int fd, uint64_t off, uint8_t *out, size_t len, const char *what, struct pbr_diag *diag)
{
    while (len > 0) {
        const ssize_t n = pread(fd, out, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pbr_fail_os(diag, errno, "cannot read %s", what);
        if (n == 0)
            return pbr_fail(diag, PBR_E_TRUNCATED, NULL, off, "%s ends %zu bytes early", what, len);
        out += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return PBR_OK;
}

int pbr_write_all(int fd, struct pbr_span in, const char *what, struct pbr_diag *diag)
{
    size_t done = 0;
    while (done < in.len) {
        const ssize_t n = write(fd, in.ptr + done, in.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pbr_fail_os(diag, errno, "cannot write %s", what);
        done += (size_t)n;
    }
    return PBR_OK;
}

int pbr_pwrite_all(int fd, uint64_t off, struct pbr_span in, const char *what, struct pbr_diag *diag)
{
    size_t done = 0;
    while (done < in.len) {
        const ssize_t n = pwrite(fd, in.ptr + done, in.len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pbr_fail_os(diag, errno, "cannot write %s", what);
        done += (size_t)n;
    }
    return PBR_OK;
}

/* Room for the next read: of a file the rest and one byte more, so that its end is seen without growing the buffer; else what
 * the buffer has left, so that it moves as seldom as possible (secrets are read with this, and moving leaves copies). */
static size_t next_read(const struct pbr_buf *buf, const struct stat *st)
{
    size_t want = buf->cap > buf->len ? buf->cap - buf->len : 4096;
    if (S_ISREG(st->st_mode) && (uint64_t)st->st_size >= buf->len)
        want = (size_t)st->st_size - buf->len + 1;
    return want < buf->max - buf->len ? want : buf->max - buf->len;
}

static int read_to_end(int fd, const struct stat *st, const char *what, struct pbr_buf *buf, struct pbr_diag *diag)
{
    for (;;) {
        uint8_t *room, extra;
        const size_t want = next_read(buf, st);
        const int rc = want ? pbr_buf_reserve(buf, want, &room) : PBR_OK;
        if (rc < 0)
            return pbr_fail_at(diag, rc, NULL, "no memory for %s", what);
        const ssize_t n = want ? pbr_read_some(fd, room, want) : pbr_read_some(fd, &extra, 1);
        if (n < 0)
            return pbr_fail_os(diag, errno, "cannot read %s", what);
        if (n == 0)
            return PBR_OK;
        if (want == 0)
            return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "%s has more than %zu bytes", what, buf->max);
        buf->len += (size_t)n;
    }
}

int pbr_load_fd(const struct pbr_env *env, int fd, size_t max, const char *what, struct pbr_buf *ret,
                struct pbr_diag *diag)
{
    struct pbr_buf buf;
    struct stat st = { 0 };
    int rc;
    pbr_buf_init(&buf, env, max);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
        rc = pbr_fail_at(diag, PBR_E_LIMIT, NULL, "%s has %" PRIu64 " bytes, at most %zu are allowed", what,
                         (uint64_t)st.st_size, max);
    else
        rc = read_to_end(fd, &st, what, &buf, diag);
    if (rc < 0)
        pbr_buf_release(&buf);
    else
        *ret = buf;
    return rc;
}

int pbr_load_file(const struct pbr_env *env, int dirfd, const char *path, size_t max, struct pbr_buf *ret,
                  struct pbr_diag *diag)
{
    int fd = pbr_openat(dirfd, path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s", path);
    const int rc = pbr_load_fd(env, fd, max, path, ret, diag);
    pbr_close(&fd);
    return rc;
}

/* ---- source ---- */

struct fd_source {
    const struct pbr_env *env;
    int fd;
    char *what;
};

static int fd_source_read_at(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    struct fd_source *s = ctx;
    return pbr_pread_all(s->fd, off, out, len, s->what, diag);
}

static void fd_source_close(void *ctx)
{
    struct fd_source *s = ctx;
    pbr_close(&s->fd);
    pbr_free(s->env, s->what);
    pbr_free(s->env, s);
}

static int size_of(int fd, const char *path, uint64_t *ret, struct pbr_diag *diag)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return pbr_fail_os(diag, errno, "cannot stat %s", path);
    if (S_ISBLK(st.st_mode)) {
        if (ioctl(fd, BLKGETSIZE64, ret) != 0)
            return pbr_fail_os(diag, errno, "cannot get the size of %s", path);
        return PBR_OK;
    }
    if (!S_ISREG(st.st_mode))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "%s is neither a regular file nor a block device", path);
    *ret = (uint64_t)st.st_size;
    return PBR_OK;
}

int pbr_source_open(const struct pbr_env *env, int dirfd, const char *path, struct pbr_source *ret,
                    struct pbr_diag *diag)
{
    uint64_t size = 0;
    int fd = pbr_openat(dirfd, path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s", path);
    int rc = size_of(fd, path, &size, diag);
    struct fd_source *s = rc < 0 ? NULL : pbr_alloc(env, 1, sizeof(*s));
    char *what = s ? pbr_strdup(env, path) : NULL;
    if (!what) {
        pbr_free(env, s);
        pbr_close(&fd);
        return rc < 0 ? rc : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to open %s", path);
    }
    *s = (struct fd_source){ env, fd, what };
    *ret = (struct pbr_source){ .ctx = s, .size = size, .read_at = fd_source_read_at, .close = fd_source_close };
    return PBR_OK;
}

/* ---- stream ---- */

struct fd_stream {
    const struct pbr_env *env;
    int fd;
    bool own;
    bool eof;
    size_t pos, len, cap;
    char *what;
    uint8_t *buf;
};

static int fd_stream_peek(void *ctx, struct pbr_span *ret, struct pbr_diag *diag)
{
    struct fd_stream *s = ctx;
    if (s->pos == s->len && !s->eof) {
        const ssize_t n = pbr_read_some(s->fd, s->buf, s->cap);
        if (n < 0)
            return pbr_fail_os(diag, errno, "cannot read %s", s->what);
        s->eof = n == 0;
        s->pos = 0;
        s->len = (size_t)n;
    }
    *ret = pbr_span(s->buf + s->pos, s->len - s->pos);
    return PBR_OK;
}

static void fd_stream_consume(void *ctx, size_t n)
{
    struct fd_stream *s = ctx;
    s->pos += n;
}

/* Seeks over n bytes if the file is seekable and long enough; returns how many were skipped. */
static uint64_t seek_over(struct fd_stream *s, uint64_t n)
{
    struct stat st;
    const off_t at = lseek(s->fd, 0, SEEK_CUR);
    if (at < 0 || fstat(s->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < at ||
        n > (uint64_t)(st.st_size - at))
        return 0;
    return lseek(s->fd, (off_t)n, SEEK_CUR) < 0 ? 0 : n;
}

static int fd_stream_skip(void *ctx, uint64_t n, struct pbr_diag *diag)
{
    struct fd_stream *s = ctx;
    for (;;) {
        const size_t held = s->len - s->pos;
        const size_t step = n < held ? (size_t)n : held;
        s->pos += step;
        n -= step;
        if (n == 0)
            return PBR_OK;
        if (n > s->cap)
            n -= seek_over(s, n);
        if (n == 0)
            return PBR_OK;
        struct pbr_span view;
        const int rc = fd_stream_peek(s, &view, diag);
        if (rc < 0)
            return rc;
        if (view.len == 0)
            return pbr_fail_at(diag, PBR_E_TRUNCATED, NULL, "%s ends %" PRIu64 " bytes early", s->what, n);
    }
}

static void fd_stream_close(void *ctx)
{
    struct fd_stream *s = ctx;
    if (s->own)
        pbr_close(&s->fd);
    pbr_free(s->env, s->what);
    pbr_free(s->env, s->buf);
    pbr_free(s->env, s);
}

int pbr_stream_fd(const struct pbr_env *env, int fd, bool own, size_t cap, const char *what, struct pbr_stream *ret,
                  struct pbr_diag *diag)
{
    struct fd_stream *s = pbr_alloc(env, 1, sizeof(*s));
    uint8_t *buf = s ? pbr_realloc(env, NULL, cap) : NULL;
    char *copy = buf ? pbr_strdup(env, what) : NULL;
    if (!copy) {
        pbr_free(env, buf);
        pbr_free(env, s);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to read %s", what);
    }
    *s = (struct fd_stream){ .env = env, .fd = fd, .own = own, .cap = cap, .what = copy, .buf = buf };
    *ret = (struct pbr_stream){ .ctx = s,
                                .peek = fd_stream_peek,
                                .consume = fd_stream_consume,
                                .skip = fd_stream_skip,
                                .close = fd_stream_close };
    return PBR_OK;
}

/* ---- sink ---- */

int pbr_fd_sink_init(struct pbr_fd_sink *s, const struct pbr_env *env, int fd, size_t cap, const char *what)
{
    uint8_t *buf = pbr_realloc(env, NULL, cap);
    char *copy = buf ? pbr_strdup(env, what) : NULL;
    if (!copy) {
        pbr_free(env, buf);
        return PBR_E_NOMEM;
    }
    *s = (struct pbr_fd_sink){ .env = env, .fd = fd, .buf = buf, .cap = cap, .what = copy };
    return PBR_OK;
}

void pbr_fd_sink_release(struct pbr_fd_sink *s)
{
    if (!s->env)
        return;
    pbr_free(s->env, s->buf);
    pbr_free(s->env, s->what);
    *s = (struct pbr_fd_sink){ .fd = -1 };
}

int pbr_fd_sink_flush(struct pbr_fd_sink *s, struct pbr_diag *diag)
{
    const int rc = pbr_write_all(s->fd, pbr_span(s->buf, s->len), s->what, diag);
    s->len = 0;
    return rc;
}

static int fd_sink_write(void *ctx, struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_fd_sink *s = ctx;
    s->written += in.len;
    if (in.len > s->cap - s->len) {
        const int rc = pbr_fd_sink_flush(s, diag);
        if (rc < 0)
            return rc;
        if (in.len >= s->cap)
            return pbr_write_all(s->fd, in, s->what, diag);
    }
    memcpy(s->buf + s->len, in.ptr, in.len);
    s->len += in.len;
    return PBR_OK;
}

static int fd_sink_reserve(void *ctx, size_t want, uint8_t **ret, size_t *ret_len, struct pbr_diag *diag)
{
    struct pbr_fd_sink *s = ctx;
    if (s->len == s->cap || (want > s->cap - s->len && s->len > s->cap / 2)) {
        const int rc = pbr_fd_sink_flush(s, diag);
        if (rc < 0)
            return rc;
    }
    *ret = s->buf + s->len;
    *ret_len = want < s->cap - s->len ? want : s->cap - s->len;
    return PBR_OK;
}

static int fd_sink_commit(void *ctx, size_t n, struct pbr_diag *diag)
{
    (void)diag;
    struct pbr_fd_sink *s = ctx;
    s->len += n;
    s->written += n;
    return PBR_OK;
}

struct pbr_sink pbr_fd_sink(struct pbr_fd_sink *s)
{
    return (struct pbr_sink){
        .ctx = s, .write = fd_sink_write, .reserve = fd_sink_reserve, .commit = fd_sink_commit
    };
}

/* ---- publish ---- */

int pbr_publish_open(struct pbr_publish *p, const struct pbr_env *env, int dirfd, const char *name, mode_t mode,
                     struct pbr_diag *diag)
{
    *p = (struct pbr_publish){ .env = env, .dirfd = dirfd, .fd = -1, .name = pbr_strdup(env, name) };
    if (!p->name)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to write %s", name);
    for (int tries = 0; tries < 100; tries++) {
        uint8_t salt[4];
        if (env->random(env->ctx, salt, sizeof(salt)) < 0)
            break;
        pbr_free(env, p->tmp_name);
        p->tmp_name = pbr_asprintf(env, "%s.tmp_%02x%02x%02x%02x", name, salt[0], salt[1], salt[2], salt[3]);
        if (!p->tmp_name)
            break;
        p->fd = pbr_openat(dirfd, p->tmp_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        if (p->fd >= 0)
            return PBR_OK;
        if (errno != EEXIST) {
            const int rc = pbr_fail_os(diag, errno, "cannot create %s", p->tmp_name);
            pbr_publish_abort(p);
            return rc;
        }
    }
    pbr_publish_abort(p);
    return pbr_fail_at(diag, PBR_E_IO, NULL, "cannot find a temporary name for %s", name);
}

static int rename_into_place(struct pbr_publish *p, bool replace, struct pbr_diag *diag)
{
    const unsigned flags = replace ? 0 : RENAME_NOREPLACE;
    if (renameat2(p->dirfd, p->tmp_name, p->dirfd, p->name, flags) == 0)
        return PBR_OK;
    if (!replace && errno == EINVAL) { /* file system without RENAME_NOREPLACE */
        if (linkat(p->dirfd, p->tmp_name, p->dirfd, p->name, 0) == 0) {
            (void)unlinkat(p->dirfd, p->tmp_name, 0);
            return PBR_OK;
        }
    }
    return pbr_fail_os(diag, errno, "cannot rename %s to %s", p->tmp_name, p->name);
}

/* Syncs the directory that holds `name`, so that the rename survives a power cut. */
static int sync_parent(struct pbr_publish *p, struct pbr_diag *diag)
{
    const char *slash = strrchr(p->name, '/');
    char *dir = slash ? pbr_strndup(p->env, pbr_span(p->name, (size_t)(slash - p->name) + 1)) : NULL;
    if (slash && !dir)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to write %s", p->name);
    int fd = pbr_openat(p->dirfd, dir ? dir : ".", O_RDONLY | O_DIRECTORY, 0);
    int rc = PBR_OK;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        rc = pbr_fail_os(diag, errno, "cannot sync the directory of %s", p->name);
    pbr_close(&fd);
    pbr_free(p->env, dir);
    return rc;
}

int pbr_publish_commit(struct pbr_publish *p, bool replace, struct pbr_diag *diag)
{
    if (fsync(p->fd) != 0)
        return pbr_fail_os(diag, errno, "cannot sync %s", p->tmp_name);
    int rc = rename_into_place(p, replace, diag);
    if (rc < 0)
        return rc;
    rc = sync_parent(p, diag);
    pbr_free(p->env, p->tmp_name);
    p->tmp_name = NULL;
    pbr_publish_abort(p);
    return rc;
}

void pbr_publish_abort(struct pbr_publish *p)
{
    if (p->fd >= 0 && p->tmp_name)
        (void)unlinkat(p->dirfd, p->tmp_name, 0);
    pbr_close(&p->fd);
    if (p->env) {
        pbr_free(p->env, p->tmp_name);
        pbr_free(p->env, p->name);
    }
    *p = (struct pbr_publish){ .fd = -1 };
}
