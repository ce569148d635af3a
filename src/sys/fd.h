/* SPDX-License-Identifier: MIT */
/* File descriptors: EINTR and short-transfer loops, whole files, files published atomically.
 *
 * Thread: a descriptor has one owner at a time, except pread on a shared one. */
#ifndef PBR_SYS_FD_H
#define PBR_SYS_FD_H

#include <sys/types.h>

#include "base/io.h"

/* Closes if *fd >= 0 and sets it to -1. errno is kept. */
void pbr_close(int *fd);

/* openat with O_CLOEXEC, retried on EINTR. Negative: failed, errno set (no diag: callers tell errno values apart). */
int pbr_openat(int dirfd, const char *path, int flags, mode_t mode);

/* Up to len bytes; 0 = end. Negative: failed, errno set. */
ssize_t pbr_read_some(int fd, uint8_t *out, size_t len);
/* Exactly len bytes at off; PBR_E_TRUNCATED if the file ends before. `what` names the file in the diagnosis. */
PBR_MUST_USE int pbr_pread_all(int fd, uint64_t off, uint8_t *out, size_t len, const char *what, struct pbr_diag *diag);
PBR_MUST_USE int pbr_write_all(int fd, struct pbr_span in, const char *what, struct pbr_diag *diag);
PBR_MUST_USE int pbr_pwrite_all(int fd, uint64_t off, struct pbr_span in, const char *what, struct pbr_diag *diag);

/* The whole regular file, refused above `max` (PBR_E_LIMIT). buf is initialised here on success only; caller releases. */
PBR_MUST_USE int pbr_load_file(const struct pbr_env *env, int dirfd, const char *path, size_t max,
                               struct pbr_buf *ret, struct pbr_diag *diag);

/* The same from where an open descriptor stands to its end: files, pipes, terminals. The caller closes it. */
PBR_MUST_USE int pbr_load_fd(const struct pbr_env *env, int fd, size_t max, const char *what, struct pbr_buf *ret,
                             struct pbr_diag *diag);

/* ---- source, stream and sink over descriptors ---- */

/* A regular file or block device as a source; the source owns a duplicate name of the fd: closing it closes fd. */
PBR_MUST_USE int pbr_source_open(const struct pbr_env *env, int dirfd, const char *path, struct pbr_source *ret,
                                 struct pbr_diag *diag);
/* A sequential reader over fd with a buffer of `cap` bytes; takes fd over on success (closed by pbr_stream_close)
 * if `own`. skip seeks where the file can. `what` (copied) names it in diagnoses. */
PBR_MUST_USE int pbr_stream_fd(const struct pbr_env *env, int fd, bool own, size_t cap, const char *what,
                               struct pbr_stream *ret, struct pbr_diag *diag);

/* Buffered output to a descriptor, with reserve/commit. */
struct pbr_fd_sink {
    const struct pbr_env *env;
    int fd;            /* not owned */
    uint8_t *buf;
    size_t len, cap;
    uint64_t written;  /* bytes given to the sink so far */
    char *what;
};
PBR_MUST_USE int pbr_fd_sink_init(struct pbr_fd_sink *s, const struct pbr_env *env, int fd, size_t cap,
                                  const char *what);
void pbr_fd_sink_release(struct pbr_fd_sink *s); /* does not flush */
PBR_MUST_USE int pbr_fd_sink_flush(struct pbr_fd_sink *s, struct pbr_diag *diag);
struct pbr_sink pbr_fd_sink(struct pbr_fd_sink *s);

/* ---- files published atomically: temporary name, fsync, rename, fsync of the directory ---- */

struct pbr_publish {
    const struct pbr_env *env;
    int dirfd;      /* not owned */
    int fd;         /* write here; -1 after commit/abort */
    char *tmp_name;
    char *name;
};

/* Creates a temporary file `<name>.tmp_XXXXXX` beside `name` (relative to dirfd), exclusively. */
PBR_MUST_USE int pbr_publish_open(struct pbr_publish *p, const struct pbr_env *env, int dirfd, const char *name,
                                  mode_t mode, struct pbr_diag *diag);
/* Syncs, then renames over `name` (replace) or links to it only if it does not exist (!replace: PBR_E_EXIST). */
PBR_MUST_USE int pbr_publish_commit(struct pbr_publish *p, bool replace, struct pbr_diag *diag);
/* Removes the temporary file; fine after commit or a failed open. Releases everything. */
void pbr_publish_abort(struct pbr_publish *p);

#endif
