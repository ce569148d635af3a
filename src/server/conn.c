/* SPDX-License-Identifier: MIT */
/* One connection: is it TLS, HTTP/1.1 requests one after the other, then perhaps HTTP/2 [BKP
 * section 1, API section 1]. Nothing here waits; a request whose answer is due later keeps the
 * connection from reading on.
 *
 * Thread: the server's. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "server/server_int.h"
#include "sys/fd.h"

enum {
    IN_CAP = 64 << 10,
    HANDSHAKE_S = 10, /* BKP-004 */
    OUT_MAX = PBR_REPLY_BODY_MAX + PBR_HTTP1_HEAD_MAX,
    LOG_BODY_MAX = PBR_BLOB_PLAIN_MAX + PBR_BLOB_HDR_MAX,
    TLS_HANDSHAKE_RECORD = 0x16,
};

/* ---- life ---- */

static void journal_connection(struct pbr_srv_conn *c, bool tls)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } a;
    socklen_t len = sizeof(a);
    char host[INET6_ADDRSTRLEN] = "", peer[INET6_ADDRSTRLEN + 16] = "local";

    if (getpeername(c->fd, &a.any, &len) == 0 &&
        (a.any.sa_family == AF_INET || a.any.sa_family == AF_INET6)) {
        const bool v4 = a.any.sa_family == AF_INET;
        (void)inet_ntop(a.any.sa_family, v4 ? (void *)&a.v4.sin_addr : (void *)&a.v6.sin6_addr,
                        host, sizeof(host));
        (void)snprintf(peer, sizeof(peer), "%s:%u", host,
                       (unsigned)ntohs(v4 ? a.v4.sin_port : a.v6.sin6_port));
    }
    pbr_srv_journal(c->srv, "connection", c->id,
                    json_pack("{s:s, s:b}", "peer", peer, "tls", (int)tls));
}

/* accept#N faults: what needs no request happens at once. */
static void accept_faults(struct pbr_srv_conn *c)
{
    struct pbr_srv_fired fired = { 0 };

    pbr_srv_fault_step(c->srv, &fired, c->id, PBR_FAULT_AT_ACCEPT, "", "accept");
    if (fired.act[PBR_FAULT_WINDOW])
        c->window = (uint32_t)fired.act[PBR_FAULT_WINDOW]->value;
    if (fired.act[PBR_FAULT_STALL]) {
        c->want = 0;
        c->deadline_ns = 0;
        c->state = PBR_CONN_PEEK;
        c->close_after = true; /* marks the stall: never stepped */
    } else if (pbr_srv_fault_replaces(&fired)) {
        pbr_srv_conn_kill(c, fired.act[PBR_FAULT_RESET] != NULL);
    }
}

int pbr_srv_conn_new(struct pbr_server *s, int fd, bool tls, struct pbr_diag *diag)
{
    struct pbr_srv_conn *c = pbr_alloc(&s->env, 1, sizeof(*c));
    int rc = pbr_socket_prepare(fd, diag);

    if (!c || rc < 0) {
        pbr_free(&s->env, c);
        return rc < 0 ? rc : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for a connection");
    }
    c->srv = s;
    c->fd = fd;
    c->id = ++s->next_conn_id;
    c->want = PBR_PIPE_READ;
    c->state = tls ? PBR_CONN_PEEK : PBR_CONN_HTTP1;
    pbr_http1_init(&c->http, &s->env);
    pbr_buf_init(&c->out, &s->env, OUT_MAX);
    c->in = pbr_alloc(&s->env, IN_CAP, 1);
    rc = c->in ? PBR_OK : PBR_E_NOMEM;
    if (rc == PBR_OK && !tls)
        rc = pbr_pipe_socket(&s->env, fd, &c->pipe, diag);
    if (rc < 0) {
        pbr_free(&s->env, c->in);
        pbr_free(&s->env, c);
        return rc;
    }
    if (tls)
        c->deadline_ns = pbr_srv_now_ns(s) + HANDSHAKE_S * UINT64_C(1000000000);
    c->next = s->conns;
    if (s->conns)
        s->conns->prev = c;
    s->conns = c;
    s->conn_nr++;
    journal_connection(c, tls);
    accept_faults(c);
    return PBR_OK;
}

static void drop_call(struct pbr_srv_conn *c)
{
    if (!c->call)
        return;
    pbr_srv_call_release(c->call);
    pbr_free(&c->srv->env, c->call);
    c->call = NULL;
}

void pbr_srv_conn_kill(struct pbr_srv_conn *c, bool reset)
{
    c->state = PBR_CONN_DEAD;
    c->reset = c->reset || reset; /* a reset that was decided stays one */
}

void pbr_srv_conn_free(struct pbr_srv_conn *c)
{
    struct pbr_server *s = c->srv;

    if (c->reset && c->pipe.ctx)
        pbr_pipe_make_reset(&c->pipe);
    else if (c->reset)
        pbr_socket_make_reset(c->fd);
    drop_call(c);
    if (c->h2)
        pbr_h2_server_free(c->h2);
    else if (c->pipe.read)
        c->pipe.close(c->pipe.ctx);
    else
        pbr_close(&c->fd);
    pbr_srv_session_free(c, c->session);
    pbr_srv_session_free(c, c->upgraded);
    pbr_srv_journal(s, "disconnect", c->id, NULL);
    pbr_http1_release(&c->http);
    pbr_buf_release(&c->out);
    pbr_free(&s->env, c->in);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->conn_nr--;
    pbr_free(&s->env, c);
}

uint64_t pbr_srv_conn_due(const struct pbr_srv_conn *c)
{
    uint64_t due = c->deadline_ns;

    if (c->call && c->call->due_ns && (!due || c->call->due_ns < due))
        due = c->call->due_ns;
    for (const struct pbr_srv_call *call = c->calls; call; call = call->next)
        if (call->due_ns && (!due || call->due_ns < due))
            due = call->due_ns;
    return due;
}

/* ---- is it TLS? ---- */

static void step_peek(struct pbr_srv_conn *c)
{
    uint8_t first;
    const ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);
    int rc;

    c->want = PBR_PIPE_READ;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        pbr_srv_conn_kill(c, false);
        return;
    }
    c->redirect = first != TLS_HANDSHAKE_RECORD; /* BKP-004 */
    if (c->redirect)
        rc = pbr_pipe_socket(&c->srv->env, c->fd, &c->pipe, NULL);
    else
        rc = pbr_pipe_tls(&c->srv->env, c->srv->tls, c->fd, &c->pipe, NULL);
    if (rc < 0)
        pbr_srv_conn_kill(c, false);
    else
        c->state = PBR_CONN_HTTP1;
}

/* ---- HTTP/1.1: writing ---- */

static int put_head(struct pbr_srv_conn *c, struct pbr_srv_reply *r)
{
    const struct pbr_http1_answer a = { .status = r->status,
                                        .content_type = r->content_type,
                                        .extra = r->extra[0] ? r->extra : NULL,
                                        .has_length = r->status != 101,
                                        .length = r->length,
                                        .close = c->close_after,
                                        .date_s = pbr_srv_now_s(c->srv) };
    return pbr_http1_emit(&a, &c->out);
}

static void send_reply(struct pbr_srv_conn *c)
{
    struct pbr_srv_reply *r = &c->call->reply;
    int rc = put_head(c, r);

    if (rc == PBR_OK && r->mem)
        rc = pbr_buf_append(&c->out, pbr_span(r->mem, (size_t)r->length));
    drop_call(c);
    if (rc < 0)
        pbr_srv_conn_kill(c, false);
}

/* True once everything is written. */
static bool flush(struct pbr_srv_conn *c)
{
    while (c->out_pos < c->out.len) {
        size_t n = 0;
        unsigned want = 0;
        if (c->pipe.write(c->pipe.ctx, pbr_span(c->out.ptr + c->out_pos, c->out.len - c->out_pos),
                          &n, &want, NULL) < 0) {
            pbr_srv_conn_kill(c, false);
            return false;
        }
        c->out_pos += n;
        c->want = want;
        if (n == 0)
            return false;
    }
    pbr_buf_clear(&c->out);
    c->out_pos = 0;
    return true;
}

/* ---- HTTP/1.1: requests ---- */

static bool replace_answer(struct pbr_srv_call *call)
{
    const struct pbr_srv_fired *f = &call->fired;

    if (f->act[PBR_FAULT_STALL])
        call->stalled = true;
    else if (f->act[PBR_FAULT_RESET] || f->act[PBR_FAULT_RST_STREAM])
        pbr_srv_conn_kill(call->conn, true);
    else if (f->act[PBR_FAULT_CLOSE] || f->act[PBR_FAULT_GOAWAY])
        pbr_srv_conn_kill(call->conn, false);
    else
        return false;
    return true;
}

/* BKP-004: 301 for GET and HEAD, 308 for others, 400 without Host. */
static void answer_redirect(struct pbr_srv_conn *c, struct pbr_srv_reply *r)
{
    const char *host = pbr_http1_get(&c->http, "host");
    const bool plain = strcmp(c->http.method, "GET") == 0 || strcmp(c->http.method, "HEAD") == 0;

    pbr_srv_reply_text(r, !host ? 400 : plain ? 301 : 308, NULL, pbr_span_str(""));
    if (host && strlen(host) < 256)
        (void)snprintf(r->extra, sizeof(r->extra), "location: https://%s\r\n", host);
    c->close_after = true;
}

static bool begin_request(struct pbr_srv_conn *c)
{
    struct pbr_srv_call *call = pbr_alloc(&c->srv->env, 1, sizeof(*call));

    if (!call)
        return false;
    c->call = call;
    call->conn = c;
    call->method = c->http.method;
    call->content_type = pbr_http1_get(&c->http, "content-type");
    call->start_ns = pbr_srv_now_ns(c->srv);
    pbr_buf_init(&call->body, &c->srv->env, 0);
    pbr_srv_reply_init(&call->reply, &c->srv->env);
    call->reply.status = 0;
    c->close_after = !c->http.keep_alive;
    if (c->redirect)
        answer_redirect(c, &call->reply);
    else
        pbr_srv_rest_head(call, c->http.target);
    if (call->route)
        pbr_buf_init(&call->body, &c->srv->env,
                     call->route->body == PBR_BODY_PLAIN ? PBR_JSON_BODY_MAX : LOG_BODY_MAX);
    return !c->http.expect_continue ||
           pbr_buf_append(&c->out, pbr_span_str("HTTP/1.1 100 Continue\r\n\r\n")) == PBR_OK;
}

static bool take_body(struct pbr_srv_call *call, struct pbr_span piece)
{
    call->body_len += piece.len;
    if (call->reply.status != 0 || call->body_len > call->body.max)
        return true; /* refused already, or to be refused: only counted */
    return pbr_buf_append(&call->body, piece) == PBR_OK;
}

static void end_request(struct pbr_srv_conn *c)
{
    struct pbr_srv_call *call = c->call;

    if (call->reply.status == 0 && pbr_srv_fault_replaces(&call->fired))
        call->reply.status = 200;
    else if (call->reply.status == 0 && call->body_len > call->body.max)
        pbr_srv_reply_text(&call->reply, 400, NULL, pbr_span_str("Request body too large"));
    else if (call->reply.status == 0)
        pbr_srv_rest_answer(call);
    pbr_srv_fault_reply(&call->fired, &call->reply);
    pbr_srv_journal_request(call);
    if (replace_answer(call))
        return;
    call->due_ns = pbr_srv_now_ns(c->srv) + (uint64_t)call->reply.delay_ms * 1000000;
    if (call->reply.delay_ms == 0)
        send_reply(c);
}

static void refuse_garbage(struct pbr_srv_conn *c, const struct pbr_diag *diag)
{
    struct pbr_srv_reply r;

    pbr_srv_reply_init(&r, &c->srv->env);
    r.status = diag->status ? diag->status : 400;
    drop_call(c);
    c->close_after = true;
    if (put_head(c, &r) < 0)
        pbr_srv_conn_kill(c, false);
}

/* Takes the next event out of the input; false when more input is needed. */
static bool step_request(struct pbr_srv_conn *c)
{
    struct pbr_span in = pbr_span(c->in + c->in_pos, c->in_len - c->in_pos), piece = { 0 };
    struct pbr_diag diag = { 0 };
    const int event = pbr_http1_step(&c->http, &in, &piece, &diag);
    bool ok = true;

    c->in_pos = c->in_len - in.len;
    if (event < 0)
        refuse_garbage(c, &diag);
    else if (event == PBR_HTTP1_HEAD)
        ok = begin_request(c);
    else if (event == PBR_HTTP1_BODY)
        ok = take_body(c->call, piece);
    else if (event == PBR_HTTP1_END)
        end_request(c);
    if (!ok)
        pbr_srv_conn_kill(c, false);
    return event != PBR_HTTP1_MORE;
}

static bool fill(struct pbr_srv_conn *c)
{
    size_t n = 0;
    unsigned want = 0;

    c->in_pos = c->in_len = 0;
    const int rc = c->pipe.read(c->pipe.ctx, c->in, IN_CAP, &n, &want, NULL);
    if (rc < 0 || (n == 0 && want == 0)) {
        pbr_srv_conn_kill(c, false);
        return false;
    }
    if (c->deadline_ns && pbr_pipe_is_ready(&c->pipe))
        c->deadline_ns = 0;
    c->in_len = n;
    c->want = want;
    return n > 0;
}

/* Is an answer being waited for? Sends it if its time has come. */
static bool is_waiting(struct pbr_srv_conn *c)
{
    if (!c->call || (!c->call->due_ns && !c->call->stalled))
        return false;
    c->want = 0;
    if (c->call->stalled || c->call->due_ns > pbr_srv_now_ns(c->srv))
        return true;
    send_reply(c);
    return false;
}

static void step_http1(struct pbr_srv_conn *c)
{
    while (c->state == PBR_CONN_HTTP1) {
        if (is_waiting(c) || !flush(c))
            return;
        if (c->upgraded && !c->call) {
            if (pbr_srv_session_start(c, NULL) < 0)
                pbr_srv_conn_kill(c, false);
            else
                c->state = PBR_CONN_HTTP2;
            return;
        }
        if (c->close_after && !c->call) {
            pbr_srv_conn_kill(c, false);
            return;
        }
        if (step_request(c))
            continue;
        if (!fill(c))
            return;
    }
}

/* ---- HTTP/2 ---- */

static void step_http2(struct pbr_srv_conn *c)
{
    unsigned next = 0;

    pbr_srv_session_timers(c, pbr_srv_now_ns(c->srv));
    if (pbr_h2_server_step(c->h2, &next, NULL) < 0 || (next & PBR_H2_CLOSED))
        c->state = PBR_CONN_DEAD;
    c->want = next;
}

void pbr_srv_conn_step(struct pbr_srv_conn *c)
{
    if (c->deadline_ns && pbr_srv_now_ns(c->srv) >= c->deadline_ns)
        pbr_srv_conn_kill(c, false);
    if (c->state == PBR_CONN_PEEK && !c->close_after)
        step_peek(c);
    if (c->state == PBR_CONN_HTTP1)
        step_http1(c);
    if (c->state == PBR_CONN_HTTP2)
        step_http2(c);
}
