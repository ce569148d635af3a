/* SPDX-License-Identifier: MIT */
/* Inside of the mock server: the objects that its files share.
 *
 *   server.c    options, listener, poll loop           rest.c        REST: path, authentication,
 * parameters, dispatch conn.c      one connection: HTTP/1.1, then HTTP/2  rest_list.c   what lies
 * in a datastore session.c   an upgraded connection and its calls   rest_change.c what changes it
 *   upgrade.c   checks before the 101                  rest_task.c   tasks, garbage collection
 *   writer.c    backup protocol calls                  auth.c        users, tokens, tickets
 *   reader.c    reader protocol calls                  reply.c journal.c fault.c
 *
 * Thread: everything here belongs to the server's one thread. */
#ifndef PBR_SERVER_SERVER_INT_H
#define PBR_SERVER_SERVER_INT_H

#include "net/h2_server.h"
#include "net/http1.h"
#include "net/tls_server.h"
#include "proto/api.h"
#include "proto/fault.h"
#include "proto/identity.h"
#include "server/server.h"
#include "store/backup.h"
#include "store/snapshot.h"

#define PBR_SRV_JSON_TYPE "application/json;charset=UTF-8"
#define PBR_SRV_RAW_TYPE "application/octet-stream"
#define PBR_SRV_NODE "localhost"

struct pbr_srv_conn;
struct pbr_srv_auth;
struct pbr_srv_tasks;
struct pbr_srv_task;

struct pbr_srv_store {
    char name[33];
    struct pbr_store *store;
};

struct pbr_server {
    struct pbr_env env; /* as given, with the fixed clock if one was asked for */
    const struct pbr_env *outer;
    int64_t fixed_now_s;
    struct pbr_srv_store *stores;
    size_t store_nr;
    struct pbr_fault store_fault; /* armed for one call by `enospc` */
    bool no_auth;
    unsigned auth_delay_ms;
    struct pbr_srv_auth *auth;
    struct pbr_srv_tasks *tasks;
    struct pbr_fault_spec *faults;
    char **fault_text;
    size_t fault_nr;
    int journal_fd; /* -1: none */
    struct pbr_tls_server *tls;
    int listen_fd;
    uint16_t port;
    int wake[2]; /* messages from other threads, see server.c */
    struct pbr_srv_conn *conns;
    size_t conn_nr;
    uint64_t next_conn_id;
};

/* ---- replies ---- */

struct pbr_srv_reply {
    const struct pbr_env *env;
    int status;
    const char *content_type; /* static, NULL = none */
    bool has_length;          /* announce the length */
    uint8_t *mem;             /* body in memory, owned */
    struct pbr_source file;   /* or read when it is sent, owned; read_at NULL: none */
    uint64_t length;
    char extra[768]; /* header lines, HTTP/1.1 only */
    unsigned delay_ms;
};

void pbr_srv_reply_init(struct pbr_srv_reply *r, const struct pbr_env *env);
void pbr_srv_reply_release(struct pbr_srv_reply *r);
/* {"data":X}, or the whole object. Take `value` over, also on failure; NULL means that memory was
 * short. */
PBR_MUST_USE int pbr_srv_reply_data(struct pbr_srv_reply *r, json_t *value);
PBR_MUST_USE int pbr_srv_reply_json(struct pbr_srv_reply *r, json_t *whole);
PBR_MUST_USE int pbr_srv_reply_null(struct pbr_srv_reply *r);
/* An error: bare text (BKP-068). Falls back to an empty body if memory is short. */
void pbr_srv_reply_text(struct pbr_srv_reply *r, int status, const char *content_type,
                        struct pbr_span text);
void pbr_srv_reply_fail(struct pbr_srv_reply *r, int code, const struct pbr_diag *diag,
                        const char *content_type);
/* Raw bytes: takes the buffer's memory / the descriptor over. */
void pbr_srv_reply_mem(struct pbr_srv_reply *r, struct pbr_buf *b, bool has_length);
PBR_MUST_USE int pbr_srv_reply_fd(struct pbr_srv_reply *r, int fd, uint64_t size, bool has_length,
                                  struct pbr_diag *diag);
/* Reads a file body into memory, so that it can be changed. */
PBR_MUST_USE int pbr_srv_reply_load(struct pbr_srv_reply *r, struct pbr_diag *diag);

/* ---- faults ---- */

/* What fires on one request; by kind of action, NULL = does not. */
struct pbr_srv_fired {
    const struct pbr_fault_spec *act[PBR_FAULT_ENOSPC + 1];
};
/* Counts a match in all faults and adds what fires. Writes journal lines. */
void pbr_srv_fault_step(struct pbr_server *s, struct pbr_srv_fired *fired, uint64_t conn_id,
                        enum pbr_fault_where where, const char *method, const char *subject);
/* True if an action replaces the answer, so that the call must not be carried out. */
bool pbr_srv_fault_replaces(const struct pbr_srv_fired *fired);
/* status=, short=, corrupt=, lie=csum, lie=size, delay= on a reply. */
void pbr_srv_fault_reply(const struct pbr_srv_fired *fired, struct pbr_srv_reply *r);

/* ---- calls ---- */

/* One request on its way, HTTP/1.1 or HTTP/2. */
struct pbr_srv_call {
    struct pbr_srv_conn *conn;
    struct pbr_h2_stream *st; /* NULL: HTTP/1.1 */
    struct pbr_srv_call *prev, *next;
    const char *method;       /* borrowed from the request */
    const char *content_type; /* NULL: no header */
    struct pbr_path path;
    char path_text[1100]; /* "/a/b", decoded */
    char *query;          /* raw, owned */
    const struct pbr_route *route;
    bool has_params; /* params were initialised */
    struct pbr_params params;
    const char *auth_id; /* who asks; borrowed from the server */
    struct pbr_buf body;
    uint64_t body_len; /* received, also what was not kept */
    struct pbr_srv_fired fired;
    uint64_t start_ns;
    struct pbr_srv_reply reply; /* waiting for its time */
    uint64_t due_ns;            /* 0: not waiting */
    bool stalled;
};

/* Cuts a request target into path and query; texts of API-002. */
PBR_MUST_USE int pbr_srv_call_target(struct pbr_srv_call *call, const char *target,
                                     struct pbr_diag *diag);
/* Checks the parameters of call->route; on PBR_E_ARG the message is in *text. `api` decides how
 * missing and malformed content types are answered. */
PBR_MUST_USE int pbr_srv_call_params(struct pbr_srv_call *call, struct pbr_buf *text,
                                     struct pbr_diag *diag);
void pbr_srv_call_release(struct pbr_srv_call *call);

/* ---- sessions ---- */

/* What an upgraded connection serves: exactly one of the two. */
struct pbr_srv_session {
    enum pbr_api api;
    struct pbr_srv_store *store;
    char ns[PBR_NS_MAX + 1];
    struct pbr_snapshot snapshot;
    bool benchmark;
    struct pbr_store_backup *backup; /* PBR_API_BACKUP */
    struct pbr_known allowed;        /* PBR_API_READER: chunks of downloaded indexes (RDR-022) */
    struct pbr_store_lock *lock;
    struct pbr_srv_task *task;
};

/* BKP-030 .. BKP-043 and RDR-004 behind authentication and parameters. *ret is freed by
 * session_free. */
PBR_MUST_USE int pbr_srv_upgrade(struct pbr_srv_call *call, const char *upgrade_header,
                                 struct pbr_srv_session **ret, struct pbr_diag *diag);
/* Ends the session: an unfinished snapshot is removed. */
void pbr_srv_session_free(struct pbr_srv_conn *c, struct pbr_srv_session *se);
/* The calls of both protocols; replies with data or fails with the text to answer. */
PBR_MUST_USE int pbr_srv_writer_call(struct pbr_srv_session *se, struct pbr_srv_call *call,
                                     struct pbr_srv_reply *r, struct pbr_diag *diag);
PBR_MUST_USE int pbr_srv_reader_call(struct pbr_srv_session *se, struct pbr_srv_call *call,
                                     struct pbr_srv_reply *r, struct pbr_diag *diag);

/* ---- connections ---- */

enum pbr_srv_conn_state {
    PBR_CONN_PEEK, /* TLS expected: is it TLS? */
    PBR_CONN_HTTP1,
    PBR_CONN_HTTP2,
    PBR_CONN_DEAD, /* to be freed by the loop */
};

struct pbr_srv_conn {
    struct pbr_server *srv;
    struct pbr_srv_conn *prev, *next;
    uint64_t id;
    enum pbr_srv_conn_state state;
    int fd;               /* owned by the pipe once there is one */
    struct pbr_pipe pipe; /* read NULL: none yet, or given to h2 */
    bool redirect;        /* plain HTTP where TLS belongs (BKP-004) */
    bool close_after;     /* once everything is written */
    bool reset;
    unsigned want;        /* enum pbr_h2_next */
    uint64_t deadline_ns; /* of the TLS handshake; 0 = none */
    uint32_t window;      /* 0 = standard */
    /* HTTP/1.1 */
    struct pbr_http1 http;
    uint8_t *in;
    size_t in_pos, in_len;
    struct pbr_buf out;
    size_t out_pos;
    struct pbr_srv_call *call;        /* the request being received or answered */
    struct pbr_srv_session *upgraded; /* becomes `session` once the 101 is written */
    /* HTTP/2 */
    struct pbr_h2_server *h2;
    struct pbr_srv_session *session;
    struct pbr_srv_call *calls;
};

/* Takes fd over on success. */
PBR_MUST_USE int pbr_srv_conn_new(struct pbr_server *s, int fd, bool tls, struct pbr_diag *diag);
void pbr_srv_conn_free(struct pbr_srv_conn *c);
/* Goes on with whatever is possible; sets state and want. */
void pbr_srv_conn_step(struct pbr_srv_conn *c);
/* Earliest time at which it must be stepped without input; 0 = none. */
uint64_t pbr_srv_conn_due(const struct pbr_srv_conn *c);
/* Faults that end the connection. */
void pbr_srv_conn_kill(struct pbr_srv_conn *c, bool reset);

/* session.c: the call is answered now or when its delay is over, faults included. */
PBR_MUST_USE int pbr_srv_session_start(struct pbr_srv_conn *c, struct pbr_diag *diag);
void pbr_srv_session_timers(struct pbr_srv_conn *c, uint64_t now_ns);

/* ---- REST ---- */

/* Head of a request is known: route, authentication, and how much body is kept. */
void pbr_srv_rest_head(struct pbr_srv_call *call, const char *target);
/* Whole request: fills call->reply; an upgrade sets conn->upgraded. */
void pbr_srv_rest_answer(struct pbr_srv_call *call);

typedef int pbr_srv_rest_fn(struct pbr_srv_call *call, struct pbr_srv_store *st,
                            struct pbr_srv_reply *r, struct pbr_diag *diag);
pbr_srv_rest_fn pbr_srv_rest_list, pbr_srv_rest_change, pbr_srv_rest_task;
/* Namespace, group and snapshot of the parameters. */
const char *pbr_srv_param_text(const struct pbr_srv_call *call, const char *name, char *out,
                               size_t cap);
struct pbr_group pbr_srv_param_group(const struct pbr_srv_call *call);
struct pbr_snapshot pbr_srv_param_snapshot(const struct pbr_srv_call *call);

/* ---- authentication ---- */

PBR_MUST_USE int pbr_srv_auth_new(struct pbr_server *s, const struct pbr_server_opts *opts,
                                  struct pbr_diag *diag);
void pbr_srv_auth_free(struct pbr_srv_auth *a);
/* The auth-id of a request, borrowed from the server; NULL: not authenticated (API-075 .. API-081).
 */
const char *pbr_srv_auth_check(struct pbr_server *s, const struct pbr_http1 *req);
/* `access/ticket` (API-060 .. API-065). */
PBR_MUST_USE int pbr_srv_auth_login(struct pbr_srv_call *call, struct pbr_srv_reply *r,
                                    struct pbr_diag *diag);
/* Is there such a user or token? */
bool pbr_srv_auth_knows(const struct pbr_server *s, struct pbr_span auth_id);
json_t *pbr_srv_auth_users(const struct pbr_server *s, bool with_tokens);
#define PBR_SRV_EXPIRED_COOKIE                                                                     \
    "set-cookie: __Host-PBSAuthCookie=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; "           \
    "SameSite=Lax; HttpOnly; Path=/;\r\n"

/* ---- tasks ---- */

PBR_MUST_USE int pbr_srv_tasks_new(struct pbr_server *s);
void pbr_srv_tasks_free(struct pbr_server *s);
/* A running task, owned by the list; NULL if memory is short. */
struct pbr_srv_task *pbr_srv_task_start(struct pbr_server *s, const char *type, const char *id,
                                        const char *auth_id);
void pbr_srv_task_log(struct pbr_server *s, struct pbr_srv_task *t, const char *fmt, ...)
    PBR_PRINTF(3, 4);
/* `status` NULL: OK. t may be NULL. */
void pbr_srv_task_end(struct pbr_server *s, struct pbr_srv_task *t, const char *status);
const char *pbr_srv_task_upid(const struct pbr_srv_task *t);

/* ---- journal ---- */

/* Writes {"event":..,"conn":..} and the members of `more` (taken over; may be NULL) as one line. */
void pbr_srv_journal(struct pbr_server *s, const char *event, uint64_t conn_id, json_t *more);

/* The "request" line of a call whose reply is ready. */
void pbr_srv_journal_request(const struct pbr_srv_call *call);

uint64_t pbr_srv_now_ns(const struct pbr_server *s);
int64_t pbr_srv_now_s(const struct pbr_server *s);

#endif
