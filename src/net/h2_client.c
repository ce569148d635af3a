/* SPDX-License-Identifier: MIT */
/* HTTP/2 client over nghttp2; see h2_client.h.
 *
 * Bodies are sent without a copy: nghttp2 frames them, on_send_data takes the frame over and flush_frame writes header
 * and bytes straight from the request's span. A frame that was begun must go out whole, at the same address (TLS), even
 * if the server answers and resets its stream meanwhile: nghttp2 counts it as sent at once, nothing else is written
 * before it, and its request is done only after it. */
#include "net/h2_client.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    WINDOW = 2147483646,     /* BKP-051 */
    FRAME_MAX = 4194304,     /* BKP-051 */
    FRAME_HDR = 9,
    WRITE_STEP = 256 << 10,  /* one write: a retry must repeat it exactly (TLS) */
    READ_STEP = 256 << 10,
};

struct request {
    struct request *next, *prev;
    struct pbr_h2_client *client;
    struct pbr_h2_req req;
    char *path;
    size_t sent;
    struct pbr_h2_reply reply;
    struct pbr_diag diag;
    int rc;
    bool ended;  /* the answer came to its end */
    bool closed; /* the stream is closed; done once its frame under way is out */
};

struct frame {
    struct request *of; /* NULL: none under way */
    uint8_t hdr[FRAME_HDR];
    size_t at, len;     /* of the payload in the request's body */
    size_t done;        /* bytes written, header included */
};

struct pbr_h2_client {
    const struct pbr_env *env;
    struct pbr_pipe pipe;
    nghttp2_session *session;
    struct request *first;   /* all outstanding */
    size_t pending;
    struct frame out;        /* DATA frame that is written in part */
    bool goaway;             /* the server will take no more requests */
    unsigned want_write;     /* directions a blocked write waits for; 0: not blocked */
    unsigned want_read;
    struct pbr_diag io_diag; /* why the pipe failed */
    int failed;              /* code of the final failure */
    uint8_t in[READ_STEP];
};

/* ---- requests ---- */

static void unlink_request(struct request *r)
{
    struct pbr_h2_client *c = r->client;
    if (r->prev)
        r->prev->next = r->next;
    else
        c->first = r->next;
    if (r->next)
        r->next->prev = r->prev;
    c->pending--;
}

static void complete(struct request *r, int rc)
{
    struct pbr_h2_client *c = r->client;
    unlink_request(r);
    if (rc < 0)
        r->reply.status = 0;
    r->req.done(r->req.ctx, rc, &r->reply, &r->diag);
    pbr_buf_release(&r->reply.body);
    pbr_free(c->env, r->path);
    pbr_free(c->env, r);
}

static void fail_all(struct pbr_h2_client *c, int rc, const struct pbr_diag *diag)
{
    c->out.of = NULL;
    while (c->first) {
        struct request *r = c->first;
        if (!r->closed)
            r->diag = *diag;
        complete(r, r->closed ? r->rc : rc);
    }
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
                         .value = (uint8_t *)(uintptr_t)value,
                         .namelen = strlen(name),
                         .valuelen = strlen(value),
                         .flags = NGHTTP2_NV_FLAG_NONE };
}

static ssize_t give_body(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t length, uint32_t *flags,
                         nghttp2_data_source *source, void *ctx)
{
    (void)session;
    (void)stream;
    (void)buf;
    (void)ctx;
    const struct request *r = source->ptr;
    const size_t left = r->req.body.len - r->sent;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left <= length)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)(left < length ? left : length);
}

int pbr_h2_client_submit(struct pbr_h2_client *c, const struct pbr_h2_req *req, struct pbr_diag *diag)
{
    if (c->failed) {
        if (diag && diag->code == PBR_OK)
            *diag = c->io_diag;
        return c->failed;
    }
    struct request *r = pbr_alloc(c->env, 1, sizeof(*r));
    char *path = r ? pbr_strdup(c->env, req->path) : NULL;
    if (!path) {
        pbr_free(c->env, r);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a request");
    }
    *r = (struct request){ .client = c, .req = *req, .path = path };
    pbr_buf_init(&r->reply.body, c->env, req->reply_max);
    nghttp2_nv nv[6] = {
        header(":method", req->method),   header(":scheme", "https"),
        header(":path", path),            header(":authority", "localhost:8007"), /* BKP-056 */
        header("user-agent", "pbsref/" PBR_VERSION),
    };
    size_t n = 5;
    if (req->content_type)
        nv[n++] = header("content-type", req->content_type);
    const nghttp2_data_provider body = { .source = { .ptr = r }, .read_callback = give_body };
    const int32_t id = nghttp2_submit_request(c->session, NULL, nv, n, req->body.len ? &body : NULL, r);
    if (id < 0) {
        pbr_free(c->env, path);
        pbr_free(c->env, r);
        return pbr_fail_at(diag, PBR_E_PROTO, NULL, "cannot send request: %s", nghttp2_strerror(id));
    }
    r->next = c->first;
    if (c->first)
        c->first->prev = r;
    c->first = r;
    c->pending++;
    return PBR_OK;
}

/* ---- nghttp2 callbacks ---- */

/* Writes from `from`; returns how much went out, sets want_write when blocked. */
static ssize_t write_some(struct pbr_h2_client *c, struct pbr_span in)
{
    size_t total = 0;
    while (total < in.len) {
        size_t n;
        const struct pbr_span piece = pbr_span_sub(in, total, WRITE_STEP);
        if (c->pipe.write(c->pipe.ctx, piece, &n, &c->want_write, &c->io_diag) < 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        total += n;
        if (n == 0)
            break;
    }
    return (ssize_t)total;
}

/* Goes on with the frame under way; c->out.of is NULL once it is out. */
static int flush_frame(struct pbr_h2_client *c)
{
    struct frame *f = &c->out;
    struct request *r = f->of;
    if (!r)
        return PBR_OK;
    while (f->done < FRAME_HDR + f->len) {
        const struct pbr_span part =
            f->done < FRAME_HDR
                ? pbr_span(f->hdr + f->done, FRAME_HDR - f->done)
                : pbr_span_sub(r->req.body, f->at + (f->done - FRAME_HDR), f->len + FRAME_HDR - f->done);
        const ssize_t n = write_some(c, part);
        if (n <= 0)
            return n < 0 ? (int)c->io_diag.code : PBR_OK;
        f->done += (size_t)n;
    }
    f->of = NULL;
    if (r->closed)
        complete(r, r->rc);
    return PBR_OK;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t length, int flags, void *ctx)
{
    (void)session;
    (void)flags;
    struct pbr_h2_client *c = ctx;
    if (flush_frame(c) < 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    const ssize_t n = c->out.of ? 0 : write_some(c, pbr_span(data, length));
    return n == 0 ? NGHTTP2_ERR_WOULDBLOCK : n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd, size_t length,
                        nghttp2_data_source *source, void *ctx)
{
    (void)session;
    (void)frame;
    struct pbr_h2_client *c = ctx;
    struct request *r = source->ptr;
    if (flush_frame(c) < 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (c->out.of)
        return NGHTTP2_ERR_WOULDBLOCK;
    c->out = (struct frame){ .of = r, .at = r->sent, .len = length };
    memcpy(c->out.hdr, framehd, FRAME_HDR);
    r->sent += length;
    return flush_frame(c) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t stream, int32_t session_window,
                            int32_t stream_window, uint32_t remote_max_frame, void *ctx)
{
    (void)session;
    (void)type;
    (void)stream;
    (void)ctx;
    ssize_t n = (ssize_t)remote_max_frame;
    n = session_window < n ? session_window : n;
    return stream_window < n ? stream_window : n;
}

/* The rest of the answer is not wanted: it may have no end. on_close reports. */
static void give_up(struct request *r, int32_t stream, int rc)
{
    r->rc = rc;
    (void)nghttp2_submit_rst_stream(r->client->session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
    (void)flags;
    (void)ctx;
    struct request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    uint64_t number;
    if (!r || r->rc < 0 || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (pbr_span_eq_str(pbr_span(name, name_len), ":status") &&
        pbr_parse_u64(pbr_span(value, value_len), 100, 999, &number))
        r->reply.status = (int)number;
    if (pbr_span_eq_str(pbr_span(name, name_len), "content-length") &&
        pbr_parse_u64(pbr_span(value, value_len), 0, r->req.reply_max, &number)) {
        uint8_t *room;
        if (pbr_buf_reserve(&r->reply.body, (size_t)number, &room) < 0)
            give_up(r, frame->hd.stream_id, pbr_fail_at(&r->diag, PBR_E_NOMEM, NULL, "no memory for an answer"));
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t len,
                   void *ctx)
{
    (void)flags;
    (void)ctx;
    struct request *r = nghttp2_session_get_stream_user_data(session, stream);
    if (!r || r->rc < 0)
        return 0;
    const int rc = pbr_buf_append(&r->reply.body, pbr_span(data, len));
    if (rc == PBR_E_LIMIT)
        (void)pbr_fail_at(&r->diag, rc, NULL, "answer to %s exceeds %zu bytes", r->path, r->req.reply_max);
    if (rc < 0)
        give_up(r, stream, pbr_fail_at(&r->diag, rc, NULL, "no memory for an answer"));
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct pbr_h2_client *c = ctx;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        c->goaway = true;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!r)
        return 0;
    r->ended = true;
    if (r->sent < r->req.body.len) /* answered without reading on: window for the rest may never come (BKP-113) */
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error_code, void *ctx)
{
    struct pbr_h2_client *c = ctx;
    struct request *r = nghttp2_session_get_stream_user_data(session, stream);
    if (!r)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream, NULL);
    /* an answer may be followed by RST_STREAM when the server did not want the rest of the body (BKP-113) */
    if (r->rc == PBR_OK && !r->ended && r->reply.status < 400)
        r->rc = pbr_fail_at(&r->diag, PBR_E_REMOTE, NULL, "request %s was reset by the server (%s)", r->path,
                            nghttp2_http2_strerror(error_code));
    if (c->out.of == r)
        r->closed = true;
    else
        complete(r, r->rc);
    return 0;
}

/* ---- life ---- */

static int setup_session(struct pbr_h2_client *c)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        return PBR_E_NOMEM;
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, frame_length);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    int rc = nghttp2_session_client_new(&c->session, cb, c);
    nghttp2_session_callbacks_del(cb);
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
        { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_MAX },
    };
    if (rc == 0)
        rc = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2);
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
    return rc == 0 ? PBR_OK : PBR_E_NOMEM;
}

int pbr_h2_client_new(const struct pbr_env *env, const struct pbr_pipe *pipe, struct pbr_h2_client **ret,
                      struct pbr_diag *diag)
{
    struct pbr_h2_client *c = pbr_alloc(env, 1, sizeof(*c));
    if (!c) {
        pipe->close(pipe->ctx);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a connection");
    }
    c->env = env;
    c->pipe = *pipe;
    if (setup_session(c) < 0) {
        pbr_h2_client_free(c);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a connection");
    }
    *ret = c;
    return PBR_OK;
}

void pbr_h2_client_free(struct pbr_h2_client *c)
{
    if (!c)
        return;
    struct pbr_diag diag = { 0 };
    (void)pbr_fail_at(&diag, PBR_E_CANCELED, NULL, "connection closed");
    fail_all(c, PBR_E_CANCELED, &diag);
    if (c->session)
        nghttp2_session_del(c->session);
    c->pipe.close(c->pipe.ctx);
    pbr_free(c->env, c);
}

size_t pbr_h2_client_pending(const struct pbr_h2_client *c)
{
    return c->pending;
}

/* ---- moving bytes ---- */

static int session_error(struct pbr_h2_client *c, const char *doing, int code)
{
    return pbr_fail_at(&c->io_diag, PBR_E_PROTO, NULL, "HTTP/2 %s: %s", doing, nghttp2_strerror(code));
}

static int send_all(struct pbr_h2_client *c)
{
    c->want_write = 0;
    int rc = flush_frame(c);
    if (rc < 0 || c->out.of)
        return rc;
    rc = nghttp2_session_send(c->session);
    if (rc == 0)
        return PBR_OK;
    return c->io_diag.code ? c->io_diag.code : session_error(c, "send", rc);
}

static int receive_all(struct pbr_h2_client *c)
{
    for (;;) {
        size_t n;
        int rc = c->pipe.read(c->pipe.ctx, c->in, sizeof(c->in), &n, &c->want_read, &c->io_diag);
        if (rc < 0)
            return rc;
        if (n == 0 && c->want_read)
            return PBR_OK;
        if (n == 0)
            return pbr_fail_at(&c->io_diag, PBR_E_REMOTE, NULL, "server closed the connection");
        const ssize_t used = nghttp2_session_mem_recv(c->session, c->in, n);
        if (used < 0)
            return session_error(c, "receive", (int)used);
        if (nghttp2_session_want_write(c->session)) {
            rc = send_all(c); /* window updates must not wait for the end of input (BKP-312) */
            if (rc < 0)
                return rc;
        }
    }
}

/* After a GOAWAY of either side and its last request nothing will ever come (the server may leave the connection open). */
static int check_alive(struct pbr_h2_client *c)
{
    if (c->out.of || nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session))
        return PBR_OK;
    return c->goaway ? pbr_fail_at(&c->io_diag, PBR_E_REMOTE, NULL, "server ended the connection (GOAWAY)")
                     : pbr_fail_at(&c->io_diag, PBR_E_PROTO, NULL, "server broke the HTTP/2 protocol");
}

static int wait_ready(struct pbr_h2_client *c, int wake_fd, int timeout_ms)
{
    struct pollfd p[2] = { { .fd = c->pipe.fd, .events = POLLIN }, { .fd = wake_fd, .events = POLLIN } };
    if (c->want_write & PBR_PIPE_WRITE || c->want_read & PBR_PIPE_WRITE)
        p[0].events |= POLLOUT;
    const int n = poll(p, 2, timeout_ms);
    if (n < 0 && errno != EINTR)
        return pbr_fail_os(&c->io_diag, errno, "poll");
    return PBR_OK;
}

int pbr_h2_client_step(struct pbr_h2_client *c, int wake_fd, int timeout_ms, struct pbr_diag *diag)
{
    int rc = c->failed;
    if (rc == PBR_OK)
        rc = send_all(c);
    if (rc == PBR_OK)
        rc = receive_all(c);
    if (rc == PBR_OK)
        rc = send_all(c);
    if (rc == PBR_OK)
        rc = check_alive(c);
    if (rc == PBR_OK)
        rc = wait_ready(c, wake_fd, timeout_ms);
    if (rc < 0) {
        c->failed = rc;
        fail_all(c, rc, &c->io_diag);
        if (diag && diag->code == PBR_OK)
            *diag = c->io_diag;
    }
    return rc;
}
