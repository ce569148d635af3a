/* SPDX-License-Identifier: MIT */
/* Small trees in a temporary folder, archives of them, and what the catalog hooks saw, for tests of creation. */
#ifndef PBR_TEST_ARCHIVE_TREE_H
#define PBR_TEST_ARCHIVE_TREE_H

#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/create.h"
#include "sys/fd.h"

enum { TREE_ARCHIVE_MAX = 64 << 20 };

/* A folder with a fixed time; its own files are made by put_* relative to fd. */
struct tree {
    struct test_world w; /* first: ctx of the env */
    struct pbr_env env;
    char path[64];
    int fd;
    char log[8192];   /* lines of the log */
    char trace[8192]; /* catalog calls: "f:name(size) dir{ ... } l:name ..." */
    struct pbr_buf archive, payload;
    struct pbr_create_stats stats;
    struct pbr_diag diag;
};

static inline void tree_log(void *ctx, enum pbr_log_level level, const char *line)
{
    struct tree *t = ctx;
    const size_t used = strlen(t->log);
    (void)level;
    snprintf(t->log + used, sizeof(t->log) - used, "%s\n", line);
}

static inline void tree_init(struct tree *t)
{
    *t = (struct tree){ .path = "/tmp/pbsref-create-XXXXXX" };
    t->env = test_env(&t->w);
    t->env.log = tree_log;
    pbr_buf_init(&t->archive, &t->env, TREE_ARCHIVE_MAX);
    pbr_buf_init(&t->payload, &t->env, TREE_ARCHIVE_MAX);
    assert_non_null(mkdtemp(t->path));
    t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(t->fd >= 0);
}

static inline void tree_release(struct tree *t)
{
    const pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        execl("/bin/rm", "rm", "-rf", "--", t->path, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    pbr_close(&t->fd);
    pbr_buf_release(&t->archive);
    pbr_buf_release(&t->payload);
    assert_int_equal(t->w.live_allocs, 0);
}

/* Everything gets the same time, so that archives of equal trees are equal. */
static inline void tree_set_time(int dirfd, const char *name)
{
    const struct timespec times[2] = { { .tv_sec = 1700000000 }, { .tv_sec = 1700000000 } };
    assert_int_equal(utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static inline void put_bytes(struct tree *t, const char *name, const void *bytes, size_t len)
{
    int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(pbr_write_all(fd, pbr_span(bytes, len), name, NULL), PBR_OK);
    pbr_close(&fd);
    tree_set_time(t->fd, name);
}

static inline void put_file(struct tree *t, const char *name, const char *text)
{
    put_bytes(t, name, text, strlen(text));
}

/* `size` bytes of a letter. */
static inline void put_big(struct tree *t, const char *name, size_t size)
{
    char *bytes = malloc(size ? size : 1);
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    put_bytes(t, name, bytes, size);
    free(bytes);
}

static inline void put_dir(struct tree *t, const char *name)
{
    assert_int_equal(mkdirat(t->fd, name, 0755), 0);
}

static inline void put_link(struct tree *t, const char *name, const char *target)
{
    assert_int_equal(symlinkat(target, t->fd, name), 0);
    tree_set_time(t->fd, name);
}

/* ---- catalog calls as text ---- */

static inline void trace_add(struct tree *t, const char *fmt, ...) PBR_PRINTF(2, 3);
static inline void trace_add(struct tree *t, const char *fmt, ...)
{
    const size_t used = strlen(t->trace);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->trace + used, sizeof(t->trace) - used, fmt, ap);
    va_end(ap);
}

static inline int trace_dir_start(void *ctx, struct pbr_span name, struct pbr_diag *diag)
{
    (void)diag;
    trace_add(ctx, "%.*s{ ", (int)name.len, (const char *)name.ptr);
    return PBR_OK;
}

static inline int trace_dir_end(void *ctx, struct pbr_diag *diag)
{
    (void)diag;
    trace_add(ctx, "} ");
    return PBR_OK;
}

static inline int trace_entry(void *ctx, char type, struct pbr_span name, uint64_t size, int64_t mtime_s,
                              struct pbr_diag *diag)
{
    (void)diag;
    (void)mtime_s;
    if (type == 'f')
        trace_add(ctx, "f:%.*s(%" PRIu64 ") ", (int)name.len, (const char *)name.ptr, size);
    else
        trace_add(ctx, "%c:%.*s ", type, (int)name.len, (const char *)name.ptr);
    return PBR_OK;
}

static inline struct pbr_create_opts trace_opts(struct tree *t)
{
    return (struct pbr_create_opts){ .hooks = { .ctx = t,
                                                .cat_dir_start = trace_dir_start,
                                                .cat_dir_end = trace_dir_end,
                                                .cat_entry = trace_entry } };
}

/* Archives the folder into t->archive (and t->payload); the result of pbr_create. */
static inline int tree_create(struct tree *t, const struct pbr_create_opts *opts, bool split)
{
    pbr_buf_clear(&t->archive);
    pbr_buf_clear(&t->payload);
    t->log[0] = t->trace[0] = 0;
    t->diag = (struct pbr_diag){ 0 };
    t->stats = (struct pbr_create_stats){ 0 };
    struct pbr_sink archive = pbr_sink_buf(&t->archive), payload = pbr_sink_buf(&t->payload);
    const struct pbr_create_outputs outputs = { &archive, split ? &payload : NULL };
    return pbr_create(&t->env, t->fd, t->path, &outputs, opts, &t->stats, &t->diag);
}

/* Archives it with catalog trace only; must succeed. */
static inline const char *tree_trace(struct tree *t)
{
    const struct pbr_create_opts opts = trace_opts(t);
    if (tree_create(t, &opts, false) < 0) {
        print_error("%s\n", t->diag.text);
        fail();
    }
    return t->trace;
}

#endif
