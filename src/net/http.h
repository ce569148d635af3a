/* SPDX-License-Identifier: MIT */
/* Client side of HTTP/1.1 through libcurl: REST calls, and connections upgraded to another protocol. Knows nothing of
 * backups. TLS certificate rules are those of spec/rest-api.md section 4 (API-050 .. API-056).
 *
 * Thread: an object is not shared; a pipe made by pbr_http_upgrade lives on its own and may be used by another thread
 * than its maker. */
#ifndef PBR_NET_HTTP_H
#define PBR_NET_HTTP_H

#include "base/io.h"

struct pbr_http_opts {
    const char *host;         /* DNS name, IPv4, or IPv6 in brackets */
    uint16_t port;
    const char *proxy;        /* "[http://][user:password@]host[:port]" or NULL (API-016) */
    const char *fingerprint;  /* expected certificate, "aa:bb:..." or NULL (API-052) */
    /* Asked when the chain is not trusted and the fingerprint does not match (API-054): true accepts. May be NULL. */
    bool (*confirm)(void *ctx, const char *fingerprint, bool mismatch);
    void *confirm_ctx;
    /* Plain connection to a server inside this process instead of TCP and TLS: returns a connected descriptor
     * (taken over) or -1 with errno. */
    int (*dial)(void *ctx);
    void *dial_ctx;
    long connect_timeout_s;   /* 0 = 10 (API-015) */
    long reply_timeout_s;     /* 0 = 120 (API-015) */
};

struct pbr_http;

/* Strings are copied. No connection is made yet. */
PBR_MUST_USE int pbr_http_new(const struct pbr_env *env, const struct pbr_http_opts *opts, struct pbr_http **ret,
                              struct pbr_diag *diag);
void pbr_http_free(struct pbr_http *http);

struct pbr_http_reply {
    int status;
    struct pbr_buf body;      /* released by pbr_http_reply_release */
    struct pbr_secret cookie; /* value of set-cookie __Host-PBSAuthCookie, if any (API-063) */
};
void pbr_http_reply_release(struct pbr_http_reply *r);

/* One call on a kept-alive connection. `path` is absolute with its query. `headers`: NULL-terminated lines "name: value".
 * `body` NULL: none. Any status is PBR_OK; REMOTE if no answer came (text says why), LIMIT if it exceeds reply_max. */
PBR_MUST_USE int pbr_http_call(struct pbr_http *http, const char *method, const char *path,
                               const char *const *headers, const struct pbr_span *body, size_t reply_max,
                               struct pbr_http_reply *ret, struct pbr_diag *diag);

/* A connection of its own: GET with `upgrade: protocol`; on 101 *ret is the raw byte pipe behind it (BKP-025 .. BKP-029).
 * Another status: REMOTE with diag->status and the body as text. */
PBR_MUST_USE int pbr_http_upgrade(struct pbr_http *http, const char *path, const char *protocol,
                                  const char *const *headers, struct pbr_pipe *ret, struct pbr_diag *diag);

/* Fingerprint of the certificate seen on the last connection that was not trusted by its chain, or "". */
const char *pbr_http_fingerprint(const struct pbr_http *http);

#endif
