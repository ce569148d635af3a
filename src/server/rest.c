/* SPDX-License-Identifier: MIT */
/* REST requests: path, authentication, route, parameters, and the calls that belong to no datastore
 * [API sections 1, 5, 6, BKP section 1.4].
 *
 * Thread: the server's. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "server/server_int.h"

enum { SKIP_API2_FORMAT = 2, STORE_PART = 4 }; /* api2 json admin datastore {store} */

/* ---- head ---- */

static void refuse(struct pbr_srv_call *call, int status, const char *content_type,
                   const char *text)
{
    pbr_srv_reply_text(&call->reply, status, content_type, pbr_span_str(text));
}

static void refuse_unknown(struct pbr_srv_call *call)
{
    char text[1200];
    (void)snprintf(text, sizeof(text), "Path '%s' not found.", call->path_text);
    refuse(call, 404, PBR_SRV_JSON_TYPE, text);
}

/* True if the path lies below /api2/json. */
static bool check_base(struct pbr_srv_call *call)
{
    const struct pbr_path *p = &call->path;
    char text[1100];

    if (p->nr == 0 || strcmp(p->part[0], "api2") != 0) {
        if (strcmp(call->method, "GET") != 0)
            refuse(call, 400, NULL, "invalid http method for path"); /* API-012 */
        else
            refuse_unknown(call);
        return false;
    }
    if (p->nr < SKIP_API2_FORMAT) {
        refuse_unknown(call);
        return false;
    }
    if (strcmp(p->part[1], "json") == 0)
        return true;
    (void)snprintf(text, sizeof(text), "Unsupported output format '%s'.", p->part[1]);
    refuse(call, 400, NULL, text);
    return false;
}

static void refuse_unauthenticated(struct pbr_srv_call *call)
{
    refuse(call, 401, NULL, "authentication failed");
    (void)snprintf(call->reply.extra, sizeof(call->reply.extra), "%s", PBR_SRV_EXPIRED_COOKIE);
    call->reply.delay_ms = call->conn->srv->auth_delay_ms;
}

static bool is_upgrade(const struct pbr_route *route)
{
    return route->call == PBR_CALL_UPGRADE_BACKUP || route->call == PBR_CALL_UPGRADE_READER;
}

void pbr_srv_rest_head(struct pbr_srv_call *call, const char *target)
{
    struct pbr_srv_conn *c = call->conn;
    struct pbr_diag diag = { 0 };
    const size_t len = strlen(target);

    if (len - (strchr(target, '?') != NULL) > PBR_URI_MAX) { /* API-003 */
        (void)snprintf(call->path_text, sizeof(call->path_text), "%.200s", target);
        refuse(call, 414, NULL, "");
        return;
    }
    if (pbr_srv_call_target(call, target, &diag) < 0) {
        refuse(call, 400, NULL, diag.text);
        return;
    }
    if (!check_base(call))
        return;
    call->auth_id = pbr_srv_auth_check(c->srv, &c->http);
    call->route = pbr_route_find(PBR_API_REST, call->method, &call->path, SKIP_API2_FORMAT);
    pbr_srv_fault_step(c->srv, &call->fired, c->id, PBR_FAULT_AT_REQUEST, call->method,
                       call->path_text);
    if (call->route && is_upgrade(call->route)) {
        pbr_srv_fault_step(c->srv, &call->fired, c->id, PBR_FAULT_AT_UPGRADE, call->method,
                           call->route->path);
        if (call->fired.act[PBR_FAULT_WINDOW])
            c->window = (uint32_t)call->fired.act[PBR_FAULT_WINDOW]->value;
    }
    if (!call->auth_id && !(call->route && call->route->no_auth))
        refuse_unauthenticated(call);
    else if (!call->route)
        refuse_unknown(call);
}

/* ---- parameters ---- */

const char *pbr_srv_param_text(const struct pbr_srv_call *call, const char *name, char *out,
                               size_t cap)
{
    const struct pbr_span v = pbr_params_str(&call->params, name);
    const size_t n = v.len < cap ? v.len : cap - 1;

    if (n > 0)
        memcpy(out, v.ptr, n);
    out[n] = '\0';
    return out;
}

struct pbr_group pbr_srv_param_group(const struct pbr_srv_call *call)
{
    struct pbr_group g;

    memset(&g, 0, sizeof(g));
    (void)pbr_srv_param_text(call, "backup-type", g.type, sizeof(g.type));
    (void)pbr_srv_param_text(call, "backup-id", g.id, sizeof(g.id));
    return g;
}

struct pbr_snapshot pbr_srv_param_snapshot(const struct pbr_srv_call *call)
{
    return (struct pbr_snapshot){ .group = pbr_srv_param_group(call),
                                  .time_s = pbr_params_int(&call->params, "backup-time", 0) };
}

/* Answers and returns false if they are refused. */
static bool check_params(struct pbr_srv_call *call)
{
    struct pbr_diag diag = { 0 };
    struct pbr_buf text;

    pbr_buf_init(&text, &call->conn->srv->env, PBR_JSON_BODY_MAX);
    const int rc = pbr_srv_call_params(call, &text, &diag);
    if (rc == PBR_E_ARG) /* with content type, unlike on upgraded connections [API-008] */
        pbr_srv_reply_text(&call->reply, 400, PBR_SRV_JSON_TYPE, pbr_buf_span(&text));
    else if (rc < 0)
        pbr_srv_reply_fail(&call->reply, rc, &diag, PBR_SRV_JSON_TYPE);
    pbr_buf_release(&text);
    return rc == PBR_OK;
}

/* ---- calls ---- */

static int call_version(struct pbr_srv_reply *r)
{
    return pbr_srv_reply_data(r, json_pack("{s:s, s:s, s:s}", "release", "0", "repoid",
                                           "pbsref-" PBR_VERSION, "version", "4.2"));
}

static int call_stores(const struct pbr_server *s, struct pbr_srv_reply *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->store_nr; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "backend-type", "filesystem",
                                                    "mount-status", "nonremovable", "store",
                                                    s->stores[i].name));
    return pbr_srv_reply_data(r, list);
}

static int call_upgrade(struct pbr_srv_call *call, struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    struct pbr_srv_conn *c = call->conn;
    const int rc = pbr_srv_upgrade(call, pbr_http1_get(&c->http, "upgrade"), &c->upgraded, diag);

    if (rc < 0)
        return rc;
    c->close_after = false;
    r->status = 101;
    (void)snprintf(r->extra, sizeof(r->extra), "connection: upgrade\r\nupgrade: %s\r\n",
                   pbr_upgrade_word(c->upgraded->api));
    return PBR_OK;
}

/* The datastore of an admin/datastore path. */
static int find_store(struct pbr_srv_call *call, struct pbr_srv_store **ret, struct pbr_diag *diag)
{
    struct pbr_server *s = call->conn->srv;
    const char *name = call->path.part[STORE_PART];

    for (size_t i = 0; i < s->store_nr; i++) {
        if (strcmp(name, s->stores[i].name) != 0)
            continue;
        *ret = &s->stores[i];
        return PBR_OK;
    }
    return pbr_fail_at(diag, PBR_E_NOENT, "BKP-033", "no such datastore '%s'", name);
}

static int store_call(struct pbr_srv_call *call, pbr_srv_rest_fn *fn, struct pbr_srv_reply *r,
                      struct pbr_diag *diag)
{
    struct pbr_srv_store *st = NULL;
    const int rc = find_store(call, &st, diag);

    return rc < 0 ? rc : fn(call, st, r, diag);
}

static int run(struct pbr_srv_call *call, struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    struct pbr_server *s = call->conn->srv;

    switch (call->route->call) {
    case PBR_CALL_TICKET:
        return pbr_srv_auth_login(call, r, diag);
    case PBR_CALL_PING:
        return pbr_srv_reply_data(r, json_pack("{s:b}", "pong", 1));
    case PBR_CALL_VERSION:
        return call_version(r);
    case PBR_CALL_USERS:
        return pbr_srv_reply_data(
            r, pbr_srv_auth_users(s, pbr_params_flag(&call->params, "include_tokens", false)));
    case PBR_CALL_UPGRADE_BACKUP:
    case PBR_CALL_UPGRADE_READER:
        return call_upgrade(call, r, diag);
    case PBR_CALL_STORES:
        return call_stores(s, r);
    case PBR_CALL_IDENTITY:
        return pbr_srv_reply_data(
            r, json_pack("{s:s}", "pbs-instance-id", "00000000-0000-4000-8000-000000000000"));
    case PBR_CALL_TASKS:
    case PBR_CALL_TASK_LOG:
    case PBR_CALL_TASK_STATUS:
    case PBR_CALL_TASK_STOP:
        return pbr_srv_rest_task(call, NULL, r, diag);
    case PBR_CALL_GC:
        return store_call(call, pbr_srv_rest_task, r, diag);
    case PBR_CALL_STATUS:
    case PBR_CALL_GROUPS:
    case PBR_CALL_SNAPSHOTS:
    case PBR_CALL_FILES:
    case PBR_CALL_NOTES_GET:
    case PBR_CALL_PROTECTED_GET:
    case PBR_CALL_NS_LIST:
        return store_call(call, pbr_srv_rest_list, r, diag);
    default:
        return store_call(call, pbr_srv_rest_change, r, diag);
    }
}

void pbr_srv_rest_answer(struct pbr_srv_call *call)
{
    struct pbr_server *s = call->conn->srv;
    struct pbr_srv_reply *r = &call->reply;
    struct pbr_diag diag = { 0 };

    r->status = 200;
    if (!check_params(call))
        return;
    s->store_fault.nth = call->fired.act[PBR_FAULT_ENOSPC] ? 0 : -1;
    const int rc = run(call, r, &diag);
    s->store_fault.nth = -1;
    if (rc == PBR_OK)
        return;
    pbr_srv_reply_fail(r, rc, &diag, PBR_SRV_JSON_TYPE);
    if (r->status == 401 && call->route->call == PBR_CALL_TICKET) { /* API-064 */
        (void)snprintf(r->extra, sizeof(r->extra), "%s", PBR_SRV_EXPIRED_COOKIE);
        r->delay_ms = s->auth_delay_ms;
    }
}
