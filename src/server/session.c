/* SPDX-License-Identifier: MIT */
/* An upgraded connection: turns HTTP/2 streams into calls of the backup or reader protocol [BKP
 * section 3], collects their bodies, and sends the answers, now or later.
 *
 * Thread: the server's. */
#include <stdio.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "base/limits.h"
#include "server/server_int.h"

/* ---- calls, also of HTTP/1.1 ---- */

int pbr_srv_call_target(struct pbr_srv_call *call, const char *target, struct pbr_diag *diag)
{
    const struct pbr_env *env = &call->conn->srv->env;
    const size_t path_len = strcspn(target, "?");
    size_t at = 0;

    call->query = pbr_strdup(env, target[path_len] ? target + path_len + 1 : "");
    if (!call->query)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for a request");
    const int rc = pbr_path_parse(&call->path, pbr_span(target, path_len), diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < call->path.nr; i++)
        at += (size_t)snprintf(call->path_text + at, sizeof(call->path_text) - at, "/%s",
                               call->path.part[i]);
    if (at == 0)
        memcpy(call->path_text, "/", 2);
    return PBR_OK;
}

static int refuse(struct pbr_buf *text, const struct pbr_diag *diag)
{
    const int rc = pbr_buf_append(text, pbr_span_str(diag->text));
    return rc < 0 ? rc : PBR_E_ARG;
}

int pbr_srv_call_params(struct pbr_srv_call *call, struct pbr_buf *text, struct pbr_diag *diag)
{
    const struct pbr_span query = pbr_span_str(call->query), body = pbr_buf_span(&call->body);
    enum pbr_body_form form = PBR_BODY_FORM;
    struct pbr_diag why = { 0 };
    size_t at = 0;

    pbr_params_init(&call->params, &call->conn->srv->env, call->route->schema);
    call->has_params = true;
    if (call->route->body == PBR_BODY_STREAM)
        return pbr_params_from_form(&call->params, query, pbr_span(NULL, 0), text);
    if (pbr_body_form(call->content_type, &form, &why) < 0)
        return refuse(text, &why);
    if (!pbr_utf8_valid(body, &at)) {
        (void)pbr_fail_at(diag, PBR_E_ARG, "BKP-066",
                          "Request body not uft8: invalid utf-8 sequence of 1 bytes from index %zu",
                          at);
        return refuse(text, diag);
    }
    if (form == PBR_BODY_JSON)
        return pbr_params_from_json(&call->params, body, text);
    return pbr_params_from_form(&call->params, query, body, text);
}

void pbr_srv_call_release(struct pbr_srv_call *call)
{
    if (call->has_params)
        pbr_params_release(&call->params);
    pbr_free(&call->conn->srv->env, call->query);
    pbr_buf_release(&call->body);
    pbr_srv_reply_release(&call->reply);
}

/* ---- answering ---- */

static int send_reply(struct pbr_srv_call *call, struct pbr_diag *diag)
{
    struct pbr_srv_reply *r = &call->reply;
    struct pbr_h2_answer a = { .status = r->status,
                               .content_type = r->content_type,
                               .has_length = r->has_length,
                               .date_s = pbr_srv_now_s(call->conn->srv),
                               .length = r->length,
                               .mem = r->mem,
                               .source = r->file };
    const int rc = pbr_h2_answer(call->st, &a, diag);

    if (rc == PBR_OK) { /* the stream owns the body */
        r->mem = NULL;
        r->file = (struct pbr_source){ 0 };
    }
    call->due_ns = 0;
    return rc;
}

/* Faults that come instead of an answer; true if one did. */
static bool replace_answer(struct pbr_srv_call *call)
{
    const struct pbr_srv_fired *f = &call->fired;

    if (f->act[PBR_FAULT_STALL])
        call->stalled = true;
    else if (f->act[PBR_FAULT_RESET] || f->act[PBR_FAULT_CLOSE])
        pbr_srv_conn_kill(call->conn, f->act[PBR_FAULT_RESET] != NULL);
    else if (f->act[PBR_FAULT_GOAWAY])
        pbr_h2_server_goaway(call->conn->h2);
    else if (f->act[PBR_FAULT_RST_STREAM])
        pbr_h2_reset(call->st, NGHTTP2_INTERNAL_ERROR);
    else
        return false;
    return true;
}

/* The reply is ready: sends it, or keeps it until its time has come. */
static int answer(struct pbr_srv_call *call)
{
    struct pbr_srv_reply *r = &call->reply;

    pbr_srv_fault_reply(&call->fired, r);
    pbr_srv_journal_request(call);
    if (replace_answer(call))
        return call->conn->state == PBR_CONN_DEAD ? PBR_E_CANCELED : PBR_OK;
    if (r->delay_ms == 0)
        return send_reply(call, NULL);
    call->due_ns = pbr_srv_now_ns(call->conn->srv) + (uint64_t)r->delay_ms * 1000000;
    return PBR_OK;
}

static int answer_text(struct pbr_srv_call *call, int status, const char *content_type,
                       const char *text)
{
    pbr_srv_reply_text(&call->reply, status, content_type, pbr_span_str(text));
    return answer(call);
}

void pbr_srv_session_timers(struct pbr_srv_conn *c, uint64_t now_ns)
{
    for (struct pbr_srv_call *call = c->calls; call; call = call->next)
        if (call->due_ns && call->due_ns <= now_ns && send_reply(call, NULL) < 0)
            pbr_srv_conn_kill(c, false);
}

/* ---- streams ---- */

static bool is_chunk_upload(const struct pbr_srv_call *call)
{
    return call->route->call == PBR_CALL_DYNAMIC_CHUNK || call->route->call == PBR_CALL_FIXED_CHUNK;
}

static bool is_answered(const struct pbr_srv_call *call)
{
    return call->reply.status != 0;
}

/* Checks the parameters; answers and returns PBR_E_ARG if they are refused. */
static int check_params(struct pbr_srv_call *call)
{
    struct pbr_diag diag = { 0 };
    struct pbr_buf text;

    pbr_buf_init(&text, &call->conn->srv->env, PBR_JSON_BODY_MAX);
    int rc = pbr_srv_call_params(call, &text, &diag);
    if (rc == PBR_E_ARG) { /* without content type [BKP-068] */
        pbr_srv_reply_text(&call->reply, 400, NULL, pbr_buf_span(&text));
        rc = answer(call);
        rc = rc < 0 ? rc : PBR_E_ARG;
    }
    pbr_buf_release(&text);
    return rc;
}

static size_t kept_body_max(const struct pbr_srv_call *call)
{
    if (call->route->body == PBR_BODY_PLAIN)
        return PBR_JSON_BODY_MAX;
    if (is_chunk_upload(call) || call->route->call == PBR_CALL_BLOB)
        return (size_t)pbr_params_int(&call->params, "encoded-size", 0);
    return 0;
}

static int begin_call(struct pbr_srv_call *call, const char *target)
{
    struct pbr_srv_conn *c = call->conn;
    struct pbr_diag diag = { 0 };

    if (pbr_srv_call_target(call, target, &diag) < 0)
        return answer_text(call, 400, NULL, diag.text);
    pbr_srv_fault_step(c->srv, &call->fired, c->id, PBR_FAULT_AT_REQUEST, call->method,
                       call->path_text);
    call->route = pbr_route_find(c->session->api, call->method, &call->path, 0);
    if (!call->route) {
        char text[1200];
        (void)snprintf(text, sizeof(text), "Path '%s' not found.", call->path_text);
        return answer_text(call, 404, PBR_SRV_JSON_TYPE, text);
    }
    if (call->route->body == PBR_BODY_STREAM) {
        const int rc = check_params(call);
        if (rc < 0)
            return rc == PBR_E_ARG ? PBR_OK : rc;
    }
    pbr_buf_init(&call->body, &c->srv->env, kept_body_max(call));
    return PBR_OK;
}

static int on_begin(void *ctx, struct pbr_h2_stream *st)
{
    struct pbr_srv_conn *c = ctx;
    struct pbr_srv_call *call = pbr_alloc(&c->srv->env, 1, sizeof(*call));

    if (!call)
        return PBR_E_NOMEM;
    call->conn = c;
    call->st = st;
    call->method = pbr_h2_method(st);
    call->content_type = pbr_h2_content_type(st);
    call->start_ns = pbr_srv_now_ns(c->srv);
    pbr_buf_init(&call->body, &c->srv->env, 0);
    pbr_srv_reply_init(&call->reply, &c->srv->env);
    call->reply.status = 0; /* not answered */
    call->next = c->calls;
    if (c->calls)
        c->calls->prev = call;
    c->calls = call;
    pbr_h2_set_user(st, call);
    return begin_call(call, pbr_h2_path(st));
}

static int on_data(void *ctx, struct pbr_h2_stream *st, struct pbr_span piece)
{
    struct pbr_srv_call *call = pbr_h2_user(st);
    uint8_t *room;

    (void)ctx;
    call->body_len += piece.len;
    if (is_answered(call))
        return PBR_OK;
    if (call->body_len <= call->body.max) {
        if (call->body.cap == 0 && is_chunk_upload(call)) { /* one buffer, sized once */
            const int rc = pbr_buf_reserve(&call->body, call->body.max, &room);
            if (rc < 0)
                return rc;
        }
        return pbr_buf_append(&call->body, piece);
    }
    if (call->route->body == PBR_BODY_PLAIN)
        return answer_text(call, 400, NULL, "Request body too large");
    if (is_chunk_upload(call)) /* as soon as it is seen [BKP-113] */
        return answer_text(call, 400, PBR_SRV_JSON_TYPE,
                           "uploaded chunk is larger than announced.");
    return PBR_OK; /* only counted */
}

static int run_call(struct pbr_srv_call *call, struct pbr_diag *diag)
{
    struct pbr_srv_session *se = call->conn->session;
    struct pbr_srv_reply *r = &call->reply;
    const int rc = se->api == PBR_API_BACKUP ? pbr_srv_writer_call(se, call, r, diag)
                                             : pbr_srv_reader_call(se, call, r, diag);
    if (rc < 0)
        pbr_srv_reply_fail(r, rc, diag, PBR_SRV_JSON_TYPE);
    return rc;
}

static int on_end(void *ctx, struct pbr_h2_stream *st)
{
    struct pbr_srv_call *call = pbr_h2_user(st);
    struct pbr_server *s = call->conn->srv;
    struct pbr_diag diag = { 0 };

    (void)ctx;
    if (is_answered(call))
        return PBR_OK;
    call->reply.status = 200;
    if (pbr_srv_fault_replaces(&call->fired))
        return answer(call);
    if (call->route->body == PBR_BODY_PLAIN) {
        const int rc = check_params(call);
        if (rc < 0)
            return rc == PBR_E_ARG ? PBR_OK : rc;
    }
    s->store_fault = (struct pbr_fault){ .nth = call->fired.act[PBR_FAULT_ENOSPC] ? 0 : -1 };
    (void)run_call(call, &diag);
    s->store_fault.nth = -1;
    return answer(call);
}

static void on_closed(void *ctx, struct pbr_h2_stream *st)
{
    struct pbr_srv_conn *c = ctx;
    struct pbr_srv_call *call = pbr_h2_user(st);

    if (!call)
        return;
    if (call->prev)
        call->prev->next = call->next;
    else
        c->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    pbr_srv_call_release(call);
    pbr_free(&c->srv->env, call);
}

int pbr_srv_session_start(struct pbr_srv_conn *c, struct pbr_diag *diag)
{
    const struct pbr_h2_server_ops ops = {
        .begin = on_begin, .data = on_data, .end = on_end, .closed = on_closed, .ctx = c
    };
    const struct pbr_h2_server_opts opts = { .window = c->window };
    int rc = pbr_h2_server_new(&c->srv->env, &c->pipe, &ops, &opts, &c->h2, diag);

    if (rc < 0)
        return rc;
    c->pipe.read = NULL; /* the HTTP/2 side owns it now; ctx stays for pbr_pipe_make_reset */
    c->session = c->upgraded;
    c->upgraded = NULL;
    return pbr_h2_server_preload(c->h2, pbr_span(c->in + c->in_pos, c->in_len - c->in_pos));
}
