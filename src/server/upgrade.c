/* SPDX-License-Identifier: MIT */
/* From an upgrade request to a session: the checks before the 101 in their order, and the end of a
 * session [BKP sections 1.4 and 5, RDR-004 .. RDR-007].
 *
 * Thread: the server's. */
#include <stdio.h>
#include <string.h>

#include "server/server_int.h"

static struct pbr_srv_store *find_store(struct pbr_server *s, struct pbr_span name)
{
    for (size_t i = 0; i < s->store_nr; i++)
        if (pbr_span_eq_str(name, s->stores[i].name))
            return &s->stores[i];
    return NULL;
}

static int begin_backup(struct pbr_srv_call *call, struct pbr_srv_session *se,
                        struct pbr_diag *diag)
{
    const struct pbr_store_backup_opts opts = {
        .ns = se->ns, .snapshot = se->snapshot, .auth_id = call->auth_id, .benchmark = se->benchmark
    };
    return pbr_store_backup_begin(se->store->store, &opts, &se->backup, diag);
}

static int begin_reader(struct pbr_srv_call *call, struct pbr_srv_session *se,
                        struct pbr_diag *diag)
{
    struct pbr_diag why = { 0 };
    char name[300];

    pbr_snapshot_format(&se->snapshot, name, sizeof(name));
    if (!pbr_store_has_snapshot(se->store->store, se->ns, &se->snapshot))
        return pbr_fail_at(diag, PBR_E_NOENT, "RDR-004", "snapshot %s does not exist.", name);
    const int rc = pbr_store_lock_snapshot(se->store->store, se->ns, &se->snapshot,
                                           PBR_STORE_SHARED, &se->lock, &why);
    if (rc < 0)
        return pbr_fail_at(diag, rc, "RDR-004", "while reading snapshot '%s' - %s", name, why.text);
    pbr_known_init(&se->allowed, &call->conn->srv->env);
    return PBR_OK;
}

static struct pbr_srv_task *start_task(struct pbr_srv_call *call, const struct pbr_srv_session *se)
{
    const struct pbr_group *g = &se->snapshot.group;
    const char *type = se->api == PBR_API_READER ? "reader"
                       : se->benchmark           ? "benchmark"
                                                 : "backup";
    char id[400];

    if (se->api == PBR_API_READER)
        (void)snprintf(id, sizeof(id), "%s:%s/%s/%08" PRIX64, se->store->name, g->type, g->id,
                       (uint64_t)se->snapshot.time_s);
    else
        (void)snprintf(id, sizeof(id), "%s:%s/%s", se->store->name, g->type, g->id);
    return pbr_srv_task_start(call->conn->srv, type, id, call->auth_id);
}

static void journal_session(struct pbr_srv_call *call, const struct pbr_srv_session *se)
{
    const struct pbr_snapshot *base = se->backup ? pbr_store_backup_base(se->backup) : NULL;
    char name[300], base_name[300] = "";

    pbr_snapshot_format(&se->snapshot, name, sizeof(name));
    if (base)
        pbr_snapshot_format(base, base_name, sizeof(base_name));
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "protocol",
                          se->api == PBR_API_READER ? "reader" : "backup", "store", se->store->name,
                          "ns", se->ns, "snapshot", name, "auth", call->auth_id);
    if (base)
        (void)json_object_set_new(o, "base", json_string(base_name));
    pbr_srv_journal(call->conn->srv, "session", call->conn->id, o);
}

int pbr_srv_upgrade(struct pbr_srv_call *call, const char *upgrade_header,
                    struct pbr_srv_session **ret, struct pbr_diag *diag)
{
    struct pbr_server *s = call->conn->srv;
    const struct pbr_span store = pbr_params_str(&call->params, "store");
    const enum pbr_api api =
        call->route->call == PBR_CALL_UPGRADE_READER ? PBR_API_READER : PBR_API_BACKUP;
    struct pbr_srv_session *se = pbr_alloc(&s->env, 1, sizeof(*se));
    int rc = PBR_E_NOMEM;

    if (!se)
        goto out;
    se->api = api;
    (void)pbr_srv_param_text(call, "ns", se->ns, sizeof(se->ns));
    se->snapshot = pbr_srv_param_snapshot(call);
    se->benchmark = api == PBR_API_BACKUP && pbr_params_flag(&call->params, "benchmark", false);
    rc = pbr_ns_check(pbr_span_str(se->ns),
                      diag); /* the schema lets one level too many pass [BKP-015] */
    if (rc < 0)
        goto out;
    se->store = find_store(s, store);
    if (!se->store) {
        rc = pbr_fail_at(diag, PBR_E_NOENT, "BKP-033", "no such datastore '%.*s'", (int)store.len,
                         (const char *)store.ptr);
        goto out;
    }
    rc = pbr_upgrade_check(api, upgrade_header, diag);
    if (rc == PBR_OK)
        rc = api == PBR_API_READER ? begin_reader(call, se, diag) : begin_backup(call, se, diag);
    if (rc < 0)
        goto out;
    se->task = start_task(call, se);
    journal_session(call, se);
    *ret = se;
    se = NULL;
out:
    pbr_srv_session_free(call->conn, se);
    return rc;
}

void pbr_srv_session_free(struct pbr_srv_conn *c, struct pbr_srv_session *se)
{
    struct pbr_server *s = c->srv;
    char name[300];

    if (!se)
        return;
    if (se->backup) {
        const bool finished = pbr_store_backup_state(se->backup) == PBR_BACKUP_FINISHED;
        pbr_snapshot_format(&se->snapshot, name, sizeof(name));
        pbr_store_backup_end(se->backup);
        if (!finished)
            pbr_srv_journal(s, "abort", c->id, json_pack("{s:s}", "snapshot", name));
        pbr_srv_task_end(s, se->task,
                         finished || se->benchmark ? NULL
                                                   : "backup ended but finished state is not set.");
    } else {
        pbr_srv_task_end(s, se->task, NULL);
    }
    pbr_store_unlock(se->lock);
    if (se->allowed.env)
        pbr_known_release(&se->allowed);
    pbr_free(&s->env, se);
}
