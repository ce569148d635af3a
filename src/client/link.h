/* SPDX-License-Identifier: MIT */
/* One upgraded connection (backup or reader protocol) with its own I/O thread: requests from any thread, many in
 * flight. Thread: internally locked; `done` callbacks run on the I/O thread, must not block and must not call
 * pbr_link_call. */
#ifndef PBR_CLIENT_LINK_H
#define PBR_CLIENT_LINK_H

#include <jansson.h>

#include "net/h2_client.h"

struct pbr_link;

/* Takes the pipe over, also on failure, and starts the thread. */
PBR_MUST_USE int pbr_link_new(const struct pbr_env *env, const struct pbr_pipe *pipe, struct pbr_link **ret,
                              struct pbr_diag *diag);
/* Stops the thread and closes the connection; outstanding requests are called back with CANCELED before it returns. */
void pbr_link_free(struct pbr_link *link);
const struct pbr_env *pbr_link_env(const struct pbr_link *link);

/* Queues a request; `done` is called exactly once after PBR_OK. `req->path` is copied. */
PBR_MUST_USE int pbr_link_submit(struct pbr_link *link, const struct pbr_h2_req *req, struct pbr_diag *diag);

/* Sends and waits. *ret_body (may be NULL) is the answer's body on status 200, owned by the caller. Other statuses:
 * REMOTE with diag->status and the body as text (BKP-068). */
PBR_MUST_USE int pbr_link_call(struct pbr_link *link, const char *method, const char *path, const char *content_type,
                               struct pbr_span body, size_t reply_max, struct pbr_buf *ret_body,
                               struct pbr_diag *diag);

/* The same for JSON answers: *ret (may be NULL) is the member `data`, owned by the caller (BKP-071). */
PBR_MUST_USE int pbr_link_call_json(struct pbr_link *link, const char *method, const char *path,
                                    const char *content_type, struct pbr_span body, json_t **ret,
                                    struct pbr_diag *diag);

/* Turns an answer into a result: PBR_OK for 2xx, else REMOTE with the text. For `done` callbacks. */
PBR_MUST_USE int pbr_link_status(const struct pbr_h2_reply *reply, struct pbr_diag *diag);

#endif
