/* SPDX-License-Identifier: MIT */
/* Tasks: sessions, garbage collections and prunes leave a record with a log; garbage collection
 * runs inline, so its task has always ended when it is asked for [API section 6.3].
 *
 * Thread: the server's. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/server_int.h"
#include "store/gc.h"

enum { TASKS_MAX = 1000, LINES_MAX = 64, UPID_MAX = 1024 };

struct pbr_srv_task {
    struct pbr_srv_task *older;
    char *upid, *type, *id, *auth_id;
    char *status; /* NULL while running */
    int64_t start_s, end_s;
    char *line[LINES_MAX];
    size_t line_nr;
};

struct pbr_srv_tasks {
    struct pbr_srv_task *newest;
    size_t nr;
    uint64_t next_id;
};

/* ---- records ---- */

int pbr_srv_tasks_new(struct pbr_server *s)
{
    s->tasks = pbr_alloc(&s->env, 1, sizeof(*s->tasks));
    return s->tasks ? PBR_OK : PBR_E_NOMEM;
}

static void free_task(const struct pbr_env *env, struct pbr_srv_task *t)
{
    for (size_t i = 0; i < t->line_nr; i++)
        pbr_free(env, t->line[i]);
    pbr_free(env, t->upid);
    pbr_free(env, t->type);
    pbr_free(env, t->id);
    pbr_free(env, t->auth_id);
    pbr_free(env, t->status);
    pbr_free(env, t);
}

void pbr_srv_tasks_free(struct pbr_server *s)
{
    if (!s->tasks)
        return;
    struct pbr_srv_task *older;
    for (struct pbr_srv_task *t = s->tasks->newest; t; t = older) {
        older = t->older;
        free_task(&s->env, t);
    }
    pbr_free(&s->env, s->tasks);
    s->tasks = NULL;
}

/* API-124: '/' becomes '-', other characters than letters, digits, '_', '.' and a leading '.'
 * become \xNN. */
static int put_upid_id(struct pbr_buf *out, const char *id)
{
    int rc = PBR_OK;

    for (size_t i = 0; id[i] && rc == PBR_OK; i++) {
        const char c = id[i];
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                           (c >= 'A' && c <= 'Z') || c == '_' || (c == '.' && i > 0);
        if (plain)
            rc = pbr_buf_append_u8(out, (uint8_t)c);
        else if (c == '/')
            rc = pbr_buf_append_u8(out, '-');
        else
            rc = pbr_buf_printf(out, "\\x%02x", (unsigned)(uint8_t)c);
    }
    return rc;
}

static char *make_upid(const struct pbr_server *s, const struct pbr_srv_task *t, uint64_t number)
{
    struct pbr_buf b;
    char *upid = NULL;

    pbr_buf_init(&b, &s->env, UPID_MAX);
    if (pbr_buf_printf(&b, "UPID:%s:%08X:%08X:%08" PRIX64 ":%08" PRIX64 ":%s:", PBR_SRV_NODE,
                       (unsigned)getpid(), 1u, number, (uint64_t)t->start_s, t->type) == PBR_OK &&
        put_upid_id(&b, t->id) == PBR_OK && pbr_buf_printf(&b, ":%s:", t->auth_id) == PBR_OK)
        upid = pbr_strndup(&s->env, pbr_buf_span(&b));
    pbr_buf_release(&b);
    return upid;
}

/* Forgets the oldest that has ended. */
static void drop_oldest(struct pbr_server *s)
{
    struct pbr_srv_task **victim = NULL;

    for (struct pbr_srv_task **p = &s->tasks->newest; *p; p = &(*p)->older)
        if ((*p)->status)
            victim = p;
    if (!victim)
        return;
    struct pbr_srv_task *t = *victim;
    *victim = t->older;
    s->tasks->nr--;
    free_task(&s->env, t);
}

struct pbr_srv_task *pbr_srv_task_start(struct pbr_server *s, const char *type, const char *id,
                                        const char *auth_id)
{
    struct pbr_srv_task *t = pbr_alloc(&s->env, 1, sizeof(*t));

    if (!t)
        return NULL;
    t->start_s = pbr_srv_now_s(s);
    t->type = pbr_strdup(&s->env, type);
    t->id = pbr_strdup(&s->env, id);
    t->auth_id = pbr_strdup(&s->env, auth_id);
    if (t->type && t->id && t->auth_id)
        t->upid = make_upid(s, t, s->tasks->next_id);
    if (!t->upid) {
        free_task(&s->env, t);
        return NULL;
    }
    s->tasks->next_id++;
    if (s->tasks->nr >= TASKS_MAX)
        drop_oldest(s);
    t->older = s->tasks->newest;
    s->tasks->newest = t;
    s->tasks->nr++;
    return t;
}

void pbr_srv_task_log(struct pbr_server *s, struct pbr_srv_task *t, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    if (!t || t->line_nr == LINES_MAX)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    t->line[t->line_nr] = pbr_strdup(&s->env, line);
    t->line_nr += t->line[t->line_nr] != NULL;
}

void pbr_srv_task_end(struct pbr_server *s, struct pbr_srv_task *t, const char *status)
{
    if (!t)
        return;
    pbr_srv_task_log(s, t, status ? "TASK ERROR: %s" : "TASK %s", status ? status : "OK");
    t->end_s = pbr_srv_now_s(s);
    t->status = pbr_strdup(&s->env, status ? status : "OK");
}

const char *pbr_srv_task_upid(const struct pbr_srv_task *t)
{
    return t ? t->upid : "";
}

/* ---- calls ---- */

static bool is_listed(const struct pbr_srv_call *call, const struct pbr_srv_task *t)
{
    const struct pbr_span store = pbr_params_str(&call->params, "store");
    const struct pbr_span user = pbr_params_str(&call->params, "userfilter");
    const struct pbr_span type = pbr_params_str(&call->params, "typefilter");
    char prefix[256];

    if (pbr_params_flag(&call->params, "running", false) && t->status)
        return false;
    if (user.len > 0) {
        (void)snprintf(prefix, sizeof(prefix), "%.*s", (int)(user.len < 200 ? user.len : 200),
                       (const char *)user.ptr);
        if (!strstr(t->auth_id, prefix))
            return false;
    }
    if (type.len > 0 && !pbr_span_eq_str(type, t->type))
        return false;
    if (store.len == 0)
        return true;
    (void)snprintf(prefix, sizeof(prefix), "%.*s", (int)(store.len < 200 ? store.len : 200),
                   (const char *)store.ptr);
    const size_t len = strlen(prefix);
    return strcmp(t->type, "reader") != 0 && strcmp(t->type, "benchmark") != 0 && /* API-120 */
           strncmp(t->id, prefix, len) == 0 && (t->id[len] == '\0' || t->id[len] == ':');
}

static json_t *task_json(const struct pbr_srv_task *t)
{
    json_t *o =
        json_pack("{s:s, s:s, s:i, s:i, s:I, s:s, s:s, s:s}", "upid", t->upid, "node", PBR_SRV_NODE,
                  "pid", (int)getpid(), "pstart", 1, "starttime", (json_int_t)t->start_s,
                  "worker_type", t->type, "worker_id", t->id, "user", t->auth_id);
    if (t->status) {
        (void)json_object_set_new(o, "endtime", json_integer(t->end_s));
        (void)json_object_set_new(o, "status", json_string(t->status));
    }
    return o;
}

static int list_tasks(struct pbr_srv_call *call, struct pbr_srv_reply *r)
{
    const int64_t start = pbr_params_int(&call->params, "start", 0),
                  limit = pbr_params_int(&call->params, "limit", 50);
    json_t *list = json_array();
    int64_t nr = 0;

    for (const struct pbr_srv_task *t = call->conn->srv->tasks->newest; t; t = t->older) {
        if (!is_listed(call, t))
            continue;
        if (nr >= start && (limit == 0 || nr - start < limit))
            (void)json_array_append_new(list, task_json(t));
        nr++;
    }
    return pbr_srv_reply_json(r, json_pack("{s:o, s:I}", "data", list, "total", (json_int_t)nr));
}

static struct pbr_srv_task *find_task(const struct pbr_srv_call *call, struct pbr_diag *diag)
{
    const char *upid = call->path.part[5]; /* api2 json nodes {node} tasks {upid} */
    struct pbr_srv_task *t = call->conn->srv->tasks->newest;

    while (t && strcmp(t->upid, upid) != 0)
        t = t->older;
    if (!t) {
        diag->status = 404;
        (void)pbr_fail_at(diag, PBR_E_NOENT, "API-121", "no such task");
    }
    return t;
}

static int task_log(const struct pbr_srv_call *call, const struct pbr_srv_task *t,
                    struct pbr_srv_reply *r)
{
    const int64_t limit = pbr_params_int(&call->params, "limit", 50);
    int64_t start = pbr_params_int(&call->params, "start", 0);
    json_t *list = json_array();

    if (start < 1)
        start = 1;
    for (size_t i = (size_t)start - 1;
         i < t->line_nr && (limit == 0 || (int64_t)i < start - 1 + limit); i++)
        (void)json_array_append_new(
            list, json_pack("{s:I, s:s}", "n", (json_int_t)i + 1, "t", t->line[i]));
    json_t *whole =
        json_pack("{s:o, s:I, s:i}", "data", list, "total", (json_int_t)t->line_nr, "success", 1);
    (void)json_object_set_new(whole, "active", json_boolean(!t->status));
    return pbr_srv_reply_json(r, whole);
}

static int task_status(const struct pbr_srv_task *t, struct pbr_srv_reply *r)
{
    json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:I, s:s, s:s, s:s, s:s}", "upid", t->upid, "node",
                          PBR_SRV_NODE, "pid", (int)getpid(), "pstart", 1, "starttime",
                          (json_int_t)t->start_s, "type", t->type, "id", t->id, "user", t->auth_id,
                          "status", t->status ? "stopped" : "running");
    if (t->status)
        (void)json_object_set_new(o, "exitstatus", json_string(t->status));
    return pbr_srv_reply_data(r, o);
}

static int run_gc(struct pbr_srv_call *call, struct pbr_srv_store *st, struct pbr_srv_reply *r)
{
    struct pbr_server *s = call->conn->srv;
    struct pbr_srv_task *t = pbr_srv_task_start(s, "garbage_collection", st->name, call->auth_id);
    const struct pbr_gc_opts opts = { 0 };
    struct pbr_gc_result res = { 0 };
    struct pbr_diag why = { 0 };

    pbr_srv_task_log(s, t, "starting garbage collection on store %s", st->name);
    const int rc = pbr_store_gc(st->store, &opts, &res, &why);
    if (rc == PBR_OK) {
        pbr_srv_task_log(s, t, "Removed garbage: %" PRIu64 " B", res.removed_bytes);
        pbr_srv_task_log(s, t, "Removed chunks: %" PRIu64, res.removed_chunks);
        pbr_srv_task_log(s, t, "Pending removals: %" PRIu64 " B (in %" PRIu64 " chunks)",
                         res.pending_bytes, res.pending_chunks);
        pbr_srv_task_log(s, t, "Original data usage: %" PRIu64 " B", res.index_data_bytes);
        pbr_srv_task_log(s, t, "On-Disk chunks: %" PRIu64, res.disk_chunks);
    }
    pbr_srv_task_end(s, t, rc < 0 ? why.text : NULL);
    return pbr_srv_reply_data(r, json_string(pbr_srv_task_upid(t)));
}

int pbr_srv_rest_task(struct pbr_srv_call *call, struct pbr_srv_store *st, struct pbr_srv_reply *r,
                      struct pbr_diag *diag)
{
    if (call->route->call == PBR_CALL_GC)
        return run_gc(call, st, r);
    if (call->route->call == PBR_CALL_TASKS)
        return list_tasks(call, r);
    const struct pbr_srv_task *t = find_task(call, diag);
    if (!t)
        return PBR_E_NOENT;
    if (call->route->call == PBR_CALL_TASK_LOG)
        return task_log(call, t, r);
    if (call->route->call == PBR_CALL_TASK_STATUS)
        return task_status(t, r);
    return pbr_srv_reply_null(r); /* stop: tasks end by themselves or with their connection */
}
