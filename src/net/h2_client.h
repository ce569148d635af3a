/* SPDX-License-Identifier: MIT */
/* Client side of HTTP/2 on an upgraded connection: many requests in flight, one object, no thread of its own. Settings
 * and windows as spec/backup-protocol.md says (BKP-050 .. BKP-056). Knows nothing of backups.
 *
 * Thread: not shared; callbacks run inside step, shut and free. */
#ifndef PBR_NET_H2_CLIENT_H
#define PBR_NET_H2_CLIENT_H

#include "base/io.h"

struct pbr_h2_client;

struct pbr_h2_reply {
    int status;          /* 0 if no answer came: then `diag` of the callback says why */
    struct pbr_buf body; /* the callback may steal it; what is left is released after it */
};

struct pbr_h2_req {
    const char *method;
    const char *path;         /* "/endpoint?query"; copied */
    const char *content_type; /* static text or NULL */
    struct pbr_span body;     /* borrowed until `done` was called */
    size_t reply_max;         /* answer bytes at most: LIMIT */
    /* Called exactly once per accepted request. rc < 0: no complete answer. */
    void (*done)(void *ctx, int rc, struct pbr_h2_reply *reply, const struct pbr_diag *diag);
    void *ctx;
};

/* Takes the pipe over, also on failure. Sends preface, SETTINGS and WINDOW_UPDATE with the first step. */
PBR_MUST_USE int pbr_h2_client_new(const struct pbr_env *env, const struct pbr_pipe *pipe,
                                   struct pbr_h2_client **ret, struct pbr_diag *diag);
/* Outstanding requests fail with CANCELED. Closes the pipe. */
void pbr_h2_client_free(struct pbr_h2_client *c);

/* Queues a request; sent by step. On failure `done` is not called. */
PBR_MUST_USE int pbr_h2_client_submit(struct pbr_h2_client *c, const struct pbr_h2_req *req, struct pbr_diag *diag);

/* Sends and receives what can be without waiting, then waits at most timeout_ms (-1: for ever) for the connection or
 * for `wake_fd` (-1: none) to become readable, and goes on once more. A failure is final: all outstanding requests
 * were failed with it. */
PBR_MUST_USE int pbr_h2_client_step(struct pbr_h2_client *c, int wake_fd, int timeout_ms, struct pbr_diag *diag);

/* Requests accepted and not done. */
size_t pbr_h2_client_pending(const struct pbr_h2_client *c);

#endif
