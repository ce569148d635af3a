/* SPDX-License-Identifier: MIT */
/* A client of one repository: login, REST calls, upgrades [API]. The caller resolves passwords, environment and files.
 * Thread: not shared. */
#ifndef PBR_CLIENT_API_H
#define PBR_CLIENT_API_H

#include <jansson.h>

#include "client/link.h"
#include "client/repo.h"
#include "net/http.h"

struct pbr_client_opts {
    struct pbr_repo repo;
    const char *proxy;
    const char *fingerprint;
    bool (*confirm)(void *ctx, const char *fingerprint, bool mismatch);
    void *confirm_ctx;
    /* dir: repositories: connects to the embedded server, which asks for no login. */
    int (*dial)(void *ctx);
    void *dial_ctx;
    /* Called once, when the first request needs it: password, token secret or still valid ticket (API-061, API-067). */
    int (*secret)(void *ctx, struct pbr_secret *ret, struct pbr_diag *diag);
    void *secret_ctx;
    uint64_t rate, burst; /* bytes a second on upgraded connections together (BKP-284); 0 = no limit */
};

struct pbr_client;

PBR_MUST_USE int pbr_client_new(const struct pbr_env *env, const struct pbr_client_opts *opts,
                                struct pbr_client **ret, struct pbr_diag *diag);
void pbr_client_free(struct pbr_client *c);
const struct pbr_env *pbr_client_env(const struct pbr_client *c);
const struct pbr_repo *pbr_client_repo(const struct pbr_client *c);

/* Logs in if that has not happened; nothing for tokens and dir: repositories. */
PBR_MUST_USE int pbr_client_login(struct pbr_client *c, struct pbr_diag *diag);
/* After a login by password: what the ticket cache stores (API-045); NULL otherwise. Borrowed. */
const struct pbr_secret *pbr_client_ticket(const struct pbr_client *c);
const struct pbr_secret *pbr_client_csrf(const struct pbr_client *c);
/* Fingerprint accepted without a trusted chain, or "" (API-053). */
const char *pbr_client_fingerprint(const struct pbr_client *c);

/* REST call below /api2/json/ (API-004): GET, PUT and DELETE put `params` (object or NULL, borrowed) in the query, POST
 * sends JSON. "{store}" in `path` is replaced by the datastore's name. *ret (may be NULL) is the member `data`, owned by
 * the caller. REMOTE with diag->status and the server's text. */
PBR_MUST_USE int pbr_client_call(struct pbr_client *c, const char *method, const char *path, json_t *params,
                                 json_t **ret, struct pbr_diag *diag);
/* POST of raw bytes, parameters in the query (API-113). */
PBR_MUST_USE int pbr_client_upload(struct pbr_client *c, const char *path, json_t *params, struct pbr_span body,
                                   struct pbr_diag *diag);
/* GET of an absolute path (proto/request.h) with upgrade to `protocol` (BKP-010, RDR-001). `limited`: the rate limit holds. */
PBR_MUST_USE int pbr_client_upgrade(struct pbr_client *c, const char *path, const char *protocol, bool limited,
                                    struct pbr_link **ret, struct pbr_diag *diag);

/* Appends "key=value&..." of an object, keys sorted, form-urlencoded (API-005). Values: strings, integers, booleans, and
 * arrays of these (repeated keys). */
PBR_MUST_USE int pbr_query_emit(json_t *params, struct pbr_buf *out);

#endif
