/* SPDX-License-Identifier: MIT */
/* REST calls that change a datastore [API section 6.2].
 *
 * Thread: the server's. */
#include <stdio.h>
#include <string.h>

#include "server/server_int.h"
#include "store/prune.h"

static const char *ns_of(const struct pbr_srv_call *call, char out[PBR_NS_MAX + 1])
{
    return pbr_srv_param_text(call, "ns", out, PBR_NS_MAX + 1);
}

static json_t *removed_json(const struct pbr_store_removed *n)
{
    return json_pack("{s:I, s:I, s:I}", "protected-snapshots", (json_int_t)n->protected_snapshots,
                     "removed-groups", (json_int_t)n->groups, "removed-snapshots",
                     (json_int_t)n->snapshots);
}

static int delete_group(struct pbr_srv_call *call, struct pbr_store *store, struct pbr_srv_reply *r,
                        struct pbr_diag *diag)
{
    const struct pbr_group g = pbr_srv_param_group(call);
    struct pbr_store_removed n = { 0 };
    char ns[PBR_NS_MAX + 1];
    const int rc = pbr_store_forget_group(store, ns_of(call, ns), &g, &n, diag);

    if (rc < 0)
        return rc;
    if (n.protected_snapshots > 0 && pbr_params_flag(&call->params, "error-on-protected", true))
        return pbr_fail_at(diag, PBR_E_PARTIAL, "API-106",
                           "group only partially deleted due to protected snapshots");
    return pbr_srv_reply_data(r, removed_json(&n));
}

/* API-105: the cause in the debug form of the original, quotes and backslashes escaped. */
static void delete_failed(int code, struct pbr_diag *diag)
{
    static const char head[] = "failed to delete snapshot - ";
    const struct pbr_diag cause = *diag;
    const bool locked =
        code == PBR_E_STATE && pbr_span_starts(pbr_span_str(cause.text), "unable to acquire");
    const char *before = locked ? "Error {\n    context: \"" : "\"",
               *after = locked ? "\",\n}" : "\"";
    size_t at = (size_t)snprintf(diag->text, sizeof(diag->text), "%s%s", head, before);

    for (const char *c = cause.text; *c && at + 8 < sizeof(diag->text); c++) {
        if (*c == '"' || *c == '\\')
            diag->text[at++] = '\\';
        diag->text[at++] = *c;
    }
    (void)snprintf(diag->text + at, sizeof(diag->text) - at, "%s", after);
}

static int delete_snapshot(struct pbr_srv_call *call, struct pbr_store *store,
                           struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    const struct pbr_snapshot snap = pbr_srv_param_snapshot(call);
    char ns[PBR_NS_MAX + 1];
    const int rc = pbr_store_forget_snapshot(store, ns_of(call, ns), &snap, diag);

    if (rc < 0)
        delete_failed(rc, diag);
    return rc < 0 ? rc : pbr_srv_reply_null(r);
}

static int put_notes(struct pbr_srv_call *call, struct pbr_store *store, struct pbr_srv_reply *r,
                     struct pbr_diag *diag)
{
    const struct pbr_snapshot snap = pbr_srv_param_snapshot(call);
    char ns[PBR_NS_MAX + 1];
    char *notes = pbr_strndup(r->env, pbr_params_str(&call->params, "notes"));

    if (!notes)
        return PBR_E_NOMEM;
    const int rc = pbr_store_set_notes(store, ns_of(call, ns), &snap, notes, diag);
    pbr_free(r->env, notes);
    return rc < 0 ? rc : pbr_srv_reply_null(r);
}

static int put_protected(struct pbr_srv_call *call, struct pbr_store *store,
                         struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    const struct pbr_snapshot snap = pbr_srv_param_snapshot(call);
    char ns[PBR_NS_MAX + 1];
    const int rc = pbr_store_set_protected(
        store, ns_of(call, ns), &snap, pbr_params_flag(&call->params, "protected", false), diag);
    return rc < 0 ? rc : pbr_srv_reply_null(r);
}

/* ---- prune ---- */

static uint64_t keep(const struct pbr_srv_call *call, const char *name)
{
    return (uint64_t)pbr_params_int(&call->params, name, 0);
}

static json_t *prune_json(const struct pbr_prune_result *res, const struct pbr_group *g,
                          const char *ns)
{
    json_t *list = json_array();

    for (size_t i = 0; i < res->nr; i++) {
        const struct pbr_prune_item *it = &res->items[i];
        json_t *o = json_pack("{s:s, s:I, s:s, s:b}", "backup-id", g->id, "backup-time",
                              (json_int_t)it->time_s, "backup-type", g->type, "keep",
                              (int)pbr_prune_keeps(it->mark));
        if (ns[0])
            (void)json_object_set_new(o, "ns", json_string(ns));
        (void)json_object_set_new(o, "protected", json_boolean(it->is_protected));
        (void)json_array_append_new(list, o);
    }
    return list;
}

static int prune(struct pbr_srv_call *call, struct pbr_srv_store *st, struct pbr_srv_reply *r,
                 struct pbr_diag *diag)
{
    struct pbr_server *s = call->conn->srv;
    const struct pbr_group g = pbr_srv_param_group(call);
    const struct pbr_prune_keep k = { keep(call, "keep-last"),    keep(call, "keep-hourly"),
                                      keep(call, "keep-daily"),   keep(call, "keep-weekly"),
                                      keep(call, "keep-monthly"), keep(call, "keep-yearly") };
    const bool dry_run = pbr_params_flag(&call->params, "dry-run", false);
    struct pbr_prune_result res = { 0 };
    char ns[PBR_NS_MAX + 1], id[400];
    const int rc = pbr_store_prune(st->store, ns_of(call, ns), &g, &k, dry_run, &res, diag);

    if (rc < 0)
        return rc;
    json_t *list = prune_json(&res, &g, ns);
    pbr_free(r->env, res.items);
    if (dry_run)
        return pbr_srv_reply_data(r, list);

    (void)snprintf(id, sizeof(id), "%s:%s/%s", st->name, g.type, g.id);
    struct pbr_srv_task *t = pbr_srv_task_start(s, "prune", id, call->auth_id);
    pbr_srv_task_log(s, t, "removed %zu of %zu snapshots", res.removed, res.nr);
    pbr_srv_task_end(s, t, NULL);
    if (!pbr_params_flag(&call->params, "use-task", false))
        return pbr_srv_reply_data(r, list);
    json_decref(list);
    return pbr_srv_reply_data(r, json_string(pbr_srv_task_upid(t)));
}

/* ---- owner ---- */

/* API-112: the owner himself, a user for his tokens and a token's user; root may everything. */
static bool may_change_owner(const char *auth_id, const char *owner, const char *to)
{
    const struct pbr_span me = pbr_span_str(auth_id), from = pbr_span_str(owner),
                          new_owner = pbr_span_str(to);

    if (strcmp(auth_id, "root@pam") == 0)
        return true;
    return pbr_span_eq(me, pbr_authid_user(me, NULL)) &&
           pbr_span_eq(me, pbr_authid_user(from, NULL)) &&
           pbr_span_eq(me, pbr_authid_user(new_owner, NULL));
}

static int change_owner(struct pbr_srv_call *call, struct pbr_store *store, struct pbr_srv_reply *r,
                        struct pbr_diag *diag)
{
    const struct pbr_group g = pbr_srv_param_group(call);
    char ns[PBR_NS_MAX + 1], to[PBR_AUTHID_MAX + 1];
    char *owner = NULL;
    bool is_token;

    (void)pbr_srv_param_text(call, "new-owner", to, sizeof(to));
    int rc = pbr_store_get_owner(store, ns_of(call, ns), &g, &owner, diag);
    if (rc < 0)
        return rc;
    (void)pbr_authid_user(pbr_span_str(to), &is_token);
    if (!may_change_owner(call->auth_id, owner, to)) {
        diag->status = 401;
        r->delay_ms = call->conn->srv->auth_delay_ms;
        rc =
            pbr_fail_at(diag, PBR_E_REMOTE, "API-112",
                        "%s does not have permission to change owner of backup group '%s/%s' to %s",
                        call->auth_id, g.type, g.id, to);
    } else if (!pbr_srv_auth_knows(call->conn->srv, pbr_span_str(to))) {
        rc = pbr_fail_at(diag, PBR_E_NOENT, "API-112", "%s '%s' is inactive or non-existent",
                         is_token ? "API token" : "user", to);
    } else {
        rc = pbr_store_set_owner(store, ns, &g, to, diag);
    }
    pbr_free(r->env, owner);
    return rc < 0 ? rc : pbr_srv_reply_null(r);
}

static int upload_log(struct pbr_srv_call *call, struct pbr_store *store, struct pbr_srv_reply *r,
                      struct pbr_diag *diag)
{
    const struct pbr_snapshot snap = pbr_srv_param_snapshot(call);
    char ns[PBR_NS_MAX + 1];
    char *owner = NULL;
    int rc = pbr_store_get_owner(store, ns_of(call, ns), &snap.group, &owner, diag);

    if (rc < 0)
        return rc;
    if (!pbr_owner_ok(pbr_span_str(call->auth_id), pbr_span_str(owner)))
        rc = pbr_fail_at(diag, PBR_E_REMOTE, "API-113", "backup owner check failed (%s != %s)",
                         call->auth_id, owner);
    else
        rc = pbr_store_put_log(store, ns, &snap, pbr_buf_span(&call->body), diag);
    pbr_free(r->env, owner);
    return rc < 0 ? rc : pbr_srv_reply_null(r);
}

/* ---- namespaces ---- */

static int create_namespace(struct pbr_srv_call *call, struct pbr_store *store,
                            struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    char parent[PBR_NS_MAX + 1], name[PBR_NS_MAX + 1], full[2 * PBR_NS_MAX + 4];

    (void)pbr_srv_param_text(call, "parent", parent, sizeof(parent));
    (void)pbr_srv_param_text(call, "name", name, sizeof(name));
    const int rc = pbr_store_create_namespace(store, parent, name, diag);
    if (rc < 0)
        return rc;
    (void)snprintf(full, sizeof(full), "%s%s%s", parent, parent[0] ? "/" : "", name);
    return pbr_srv_reply_data(r, json_string(full));
}

static int delete_namespace(struct pbr_srv_call *call, struct pbr_store *store,
                            struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    struct pbr_store_removed n = { 0 };
    char ns[PBR_NS_MAX + 1];
    const int rc = pbr_store_delete_namespace(
        store, ns_of(call, ns), pbr_params_flag(&call->params, "delete-groups", false), &n, diag);

    if (rc < 0)
        return rc;
    if (n.protected_snapshots > 0 && pbr_params_flag(&call->params, "error-on-protected", true))
        return pbr_fail_at(diag, PBR_E_PARTIAL, "API-114",
                           "group only partially deleted due to protected snapshots");
    return pbr_srv_reply_data(r, removed_json(&n));
}

int pbr_srv_rest_change(struct pbr_srv_call *call, struct pbr_srv_store *st,
                        struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    switch (call->route->call) {
    case PBR_CALL_GROUP_DELETE:
        return delete_group(call, st->store, r, diag);
    case PBR_CALL_SNAPSHOT_DELETE:
        return delete_snapshot(call, st->store, r, diag);
    case PBR_CALL_NOTES_PUT:
        return put_notes(call, st->store, r, diag);
    case PBR_CALL_PROTECTED_PUT:
        return put_protected(call, st->store, r, diag);
    case PBR_CALL_PRUNE:
        return prune(call, st, r, diag);
    case PBR_CALL_CHANGE_OWNER:
        return change_owner(call, st->store, r, diag);
    case PBR_CALL_UPLOAD_LOG:
        return upload_log(call, st->store, r, diag);
    case PBR_CALL_NS_CREATE:
        return create_namespace(call, st->store, r, diag);
    default:
        return delete_namespace(call, st->store, r, diag);
    }
}
