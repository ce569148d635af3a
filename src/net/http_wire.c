/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 by hand on a raw connection: the upgrade to another protocol, and the calls to a server inside this process
 * (which libcurl cannot be handed a connected socket pair for). See http.h. */
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "net/http_int.h"
#include "net/tls_server.h"
#include "sys/fd.h"

/* ---- the raw connection of a curl handle ---- */

struct raw_pipe {
    const struct pbr_env *env;
    CURL *curl;
};

static int raw_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct raw_pipe *p = ctx;
    *ret = 0;
    *ret_want = 0;
    const CURLcode rc = curl_easy_recv(p->curl, out, len, ret);
    if (rc == CURLE_AGAIN)
        *ret_want = PBR_PIPE_READ;
    else if (rc != CURLE_OK)
        return pbr_fail_at(diag, PBR_E_REMOTE, NULL, "connection lost: %s", curl_easy_strerror(rc));
    return PBR_OK;
}

static int raw_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct raw_pipe *p = ctx;
    *ret = 0;
    *ret_want = 0;
    const CURLcode rc = curl_easy_send(p->curl, in.ptr, in.len, ret);
    if (rc == CURLE_AGAIN)
        *ret_want = PBR_PIPE_WRITE;
    else if (rc != CURLE_OK)
        return pbr_fail_at(diag, PBR_E_REMOTE, NULL, "connection lost: %s", curl_easy_strerror(rc));
    return PBR_OK;
}

static void raw_close(void *ctx)
{
    struct raw_pipe *p = ctx;
    curl_easy_cleanup(p->curl);
    pbr_free(p->env, p);
}

static int connect_embedded(struct pbr_http *http, struct pbr_pipe *ret, struct pbr_diag *diag)
{
    int fd = http->opts.dial(http->opts.dial_ctx);
    if (fd < 0)
        return pbr_fail_at(diag, PBR_E_REMOTE, NULL, "the embedded server is gone");
    const int rc = pbr_pipe_socket(http->env, fd, ret, diag);
    if (rc < 0)
        pbr_close(&fd);
    return rc;
}

static int connect_curl(struct pbr_http *http, struct pbr_pipe *ret, struct pbr_diag *diag)
{
    CURL *c = curl_easy_init();
    struct raw_pipe *p = c ? pbr_alloc(http->env, 1, sizeof(*p)) : NULL;
    if (!p) {
        if (c)
            curl_easy_cleanup(c);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a connection");
    }
    p->env = http->env;
    p->curl = c;
    int rc = pbr_http_begin(http, c, "/", diag);
    if (rc == PBR_OK) {
        CURLcode code = curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
        if (code == CURLE_OK)
            code = curl_easy_perform(c);
        curl_socket_t fd = CURL_SOCKET_BAD;
        if (code == CURLE_OK)
            code = curl_easy_getinfo(c, CURLINFO_ACTIVESOCKET, &fd);
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
        if (code != CURLE_OK)
            rc = pbr_http_fail_curl(http, code, diag);
        *ret = (struct pbr_pipe){ .ctx = p, .fd = fd, .read = raw_read, .write = raw_write, .close = raw_close };
    }
    if (rc < 0)
        raw_close(p);
    return rc;
}

static int connect_pipe(struct pbr_http *http, struct pbr_pipe *ret, struct pbr_diag *diag)
{
    return http->opts.dial ? connect_embedded(http, ret, diag) : connect_curl(http, ret, diag);
}

/* ---- a pipe that gives early bytes first ---- */

struct early_pipe {
    const struct pbr_env *env;
    struct pbr_pipe inner;
    struct pbr_buf early; /* bytes that came with the header block (BKP-029) */
    size_t pos;
};

static int early_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct early_pipe *p = ctx;
    if (p->pos >= p->early.len)
        return p->inner.read(p->inner.ctx, out, len, ret, ret_want, diag);
    const struct pbr_span rest = pbr_span_sub(pbr_buf_span(&p->early), p->pos, len);
    memcpy(out, rest.ptr, rest.len);
    p->pos += rest.len;
    *ret = rest.len;
    *ret_want = 0;
    return PBR_OK;
}

static int early_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct early_pipe *p = ctx;
    return p->inner.write(p->inner.ctx, in, ret, ret_want, diag);
}

static void early_close(void *ctx)
{
    struct early_pipe *p = ctx;
    p->inner.close(p->inner.ctx);
    pbr_buf_release(&p->early);
    pbr_free(p->env, p);
}

/* Takes `inner` over on success. */
static int wrap_early(struct pbr_http *http, const struct pbr_pipe *inner, struct pbr_span early, struct pbr_pipe *ret)
{
    struct early_pipe *p = pbr_alloc(http->env, 1, sizeof(*p));
    if (!p)
        return PBR_E_NOMEM;
    p->env = http->env;
    p->inner = *inner;
    pbr_buf_init(&p->early, http->env, PBR_REPLY_BODY_MAX);
    if (pbr_buf_append(&p->early, early) < 0) {
        pbr_free(http->env, p);
        return PBR_E_NOMEM;
    }
    *ret = (struct pbr_pipe){
        .ctx = p, .fd = inner->fd, .read = early_read, .write = early_write, .close = early_close
    };
    return PBR_OK;
}

/* ---- request and answer ---- */

/* Waits until the pipe can go on in direction `want`, at most until `deadline_ns`. */
static int wait_for(const struct pbr_env *env, const struct pbr_pipe *pipe, unsigned want, uint64_t deadline_ns,
                    struct pbr_diag *diag)
{
    struct pollfd p = { .fd = pipe->fd, .events = 0 };
    if (want & PBR_PIPE_READ)
        p.events |= POLLIN;
    if (want & PBR_PIPE_WRITE)
        p.events |= POLLOUT;
    for (;;) {
        const uint64_t now = env->mono_ns(env->ctx);
        if (now >= deadline_ns)
            return pbr_fail_at(diag, PBR_E_REMOTE, "BKP-028", "http upgrade request timed out");
        const int n = poll(&p, 1, (int)((deadline_ns - now) / 1000000u) + 1);
        if (n > 0)
            return PBR_OK;
        if (n < 0 && errno != EINTR)
            return pbr_fail_os(diag, errno, "poll");
    }
}

static int send_request(struct pbr_http *http, struct pbr_pipe *pipe, struct pbr_span text, uint64_t deadline_ns,
                        struct pbr_diag *diag)
{
    while (text.len > 0) {
        size_t n;
        unsigned want;
        int rc = pipe->write(pipe->ctx, text, &n, &want, diag);
        if (rc == PBR_OK && n == 0)
            rc = wait_for(http->env, pipe, want, deadline_ns, diag);
        if (rc < 0)
            return rc;
        text = pbr_span_sub(text, n, text.len);
    }
    return PBR_OK;
}

/* Reads until `done` says enough or the peer closes; *ret_eof tells which. */
static int read_more(struct pbr_http *http, struct pbr_pipe *pipe, struct pbr_buf *in, uint64_t deadline_ns,
                     bool *ret_eof, struct pbr_diag *diag)
{
    uint8_t *room;
    size_t n;
    unsigned want;
    const int reserved = pbr_buf_reserve(in, 4096, &room);
    if (reserved < 0)
        return pbr_fail_at(diag, reserved, NULL, "cannot hold %zu bytes of an answer", in->len + 4096);
    for (;;) {
        int rc = pipe->read(pipe->ctx, room, 4096, &n, &want, diag);
        if (rc < 0)
            return rc;
        if (n > 0 || want == 0)
            break;
        rc = wait_for(http->env, pipe, want, deadline_ns, diag);
        if (rc < 0)
            return rc;
    }
    in->len += n;
    *ret_eof = n == 0;
    return PBR_OK;
}

static size_t header_end(struct pbr_span in)
{
    const uint8_t *p = in.len ? memmem(in.ptr, in.len, "\r\n\r\n", 4) : NULL;
    return p ? (size_t)(p - in.ptr) + 4 : 0;
}

/* Value of content-length in a header block, or UINT64_MAX. */
static uint64_t content_length(struct pbr_span head)
{
    uint64_t value = UINT64_MAX;
    for (size_t at = 0; at < head.len;) {
        const uint8_t *end = memchr(head.ptr + at, '\n', head.len - at);
        const size_t len = end ? (size_t)(end - (head.ptr + at)) : head.len - at;
        static const char name[] = "content-length:";
        if (len > sizeof(name) - 1 && strncasecmp((const char *)head.ptr + at, name, sizeof(name) - 1) == 0) {
            struct pbr_span text = pbr_span_sub(head, at + sizeof(name) - 1, len - (sizeof(name) - 1));
            while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
                text = pbr_span_sub(text, 1, text.len);
            while (text.len && (text.ptr[text.len - 1] == '\r' || text.ptr[text.len - 1] == ' '))
                text.len--;
            if (!pbr_parse_u64(text, 0, UINT64_MAX - 1, &value))
                value = UINT64_MAX;
        }
        at += len + 1;
    }
    return value;
}

enum { REFUSAL_MAX = 64 << 10 }; /* a message; what is behind it is not waited for */

/* The refusal's body is the reason (BKP-027). */
static int refused(struct pbr_http *http, struct pbr_pipe *pipe, struct pbr_buf *in, size_t head, int status,
                   uint64_t deadline_ns, struct pbr_diag *diag)
{
    const uint64_t want = content_length(pbr_span_sub(pbr_buf_span(in), 0, head));
    bool eof = false;
    while (!eof && in->len - head < want && in->len - head < REFUSAL_MAX)
        if (read_more(http, pipe, in, deadline_ns, &eof, NULL) < 0)
            break;
    const struct pbr_span body = pbr_span_sub(pbr_buf_span(in), head, want < in->len ? (size_t)want : in->len);
    const int rc = body.len ? pbr_fail_at(diag, PBR_E_REMOTE, NULL, "%.*s", (int)(body.len < 400 ? body.len : 400),
                                          (const char *)body.ptr)
                            : pbr_fail_at(diag, PBR_E_REMOTE, NULL, "server answered %d to the upgrade", status);
    if (diag)
        diag->status = status;
    return rc;
}

static int await_101(struct pbr_http *http, struct pbr_pipe *pipe, struct pbr_buf *in, uint64_t deadline_ns,
                     size_t *ret_head, struct pbr_diag *diag)
{
    size_t head = 0;
    uint64_t status;
    while (head == 0) {
        bool eof;
        const int rc = read_more(http, pipe, in, deadline_ns, &eof, diag);
        if (rc < 0)
            return rc;
        head = header_end(pbr_buf_span(in));
        if (head == 0 && in->len > PBR_HEADER_LIST_MAX)
            return pbr_fail_at(diag, PBR_E_LIMIT, "BKP-025", "answer to the upgrade is too long");
        if (eof && head == 0)
            return pbr_fail_at(diag, PBR_E_REMOTE, NULL, "server closed the connection during the upgrade");
    }
    if (!pbr_span_starts(pbr_buf_span(in), "HTTP/1.") ||
        !pbr_parse_u64(pbr_span_sub(pbr_buf_span(in), 9, 3), 100, 599, &status))
        return pbr_fail_at(diag, PBR_E_PROTO, "BKP-025", "answer to the upgrade is not HTTP/1.1");
    if (status != 101)
        return refused(http, pipe, in, head, (int)status, deadline_ns, diag);
    *ret_head = head;
    return PBR_OK;
}

static int emit_request(struct pbr_http *http, const char *path, const char *protocol, const char *const *headers,
                        struct pbr_buf *out)
{
    int rc = pbr_buf_printf(out,
                            "GET %s HTTP/1.1\r\nhost: %s:%u\r\nconnection: upgrade\r\nupgrade: %s\r\n"
                            "content-type: application/x-www-form-urlencoded\r\n",
                            path, http->opts.dial ? "localhost" : http->opts.host, http->opts.port, protocol);
    for (; rc == PBR_OK && headers && *headers; headers++)
        rc = pbr_buf_printf(out, "%s\r\n", *headers);
    return rc == PBR_OK ? pbr_buf_append(out, pbr_span_str("\r\n")) : rc;
}

/* ---- upgrade ---- */

int pbr_http_upgrade(struct pbr_http *http, const char *path, const char *protocol, const char *const *headers,
                     struct pbr_pipe *ret, struct pbr_diag *diag)
{
    struct pbr_pipe pipe, whole;
    struct pbr_buf request, answer;
    size_t head = 0;
    const long reply_s = http->opts.reply_timeout_s ? http->opts.reply_timeout_s : 120;
    int rc = connect_pipe(http, &pipe, diag);
    if (rc < 0)
        return rc;
    const uint64_t deadline_ns = http->env->mono_ns(http->env->ctx) + (uint64_t)reply_s * 1000000000u;
    pbr_buf_init(&request, http->env, PBR_HEADER_LIST_MAX);
    pbr_buf_init(&answer, http->env, PBR_REPLY_BODY_MAX);
    rc = emit_request(http, path, protocol, headers, &request);
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "upgrade request too long");
    if (rc == PBR_OK)
        rc = send_request(http, &pipe, pbr_buf_span(&request), deadline_ns, diag);
    if (rc == PBR_OK)
        rc = await_101(http, &pipe, &answer, deadline_ns, &head, diag);
    if (rc == PBR_OK) {
        rc = wrap_early(http, &pipe, pbr_span_sub(pbr_buf_span(&answer), head, answer.len), &whole);
        if (rc < 0)
            (void)pbr_fail_at(diag, rc, NULL, "no memory for a connection");
    }
    pbr_wipe(request.ptr, request.len); /* holds the ticket */
    pbr_buf_release(&request);
    pbr_buf_release(&answer);
    if (rc < 0)
        pipe.close(pipe.ctx);
    else
        *ret = whole;
    return rc;
}

/* ---- REST calls to the embedded server ---- */

static int emit_call(const char *method, const char *path, const char *const *headers, const struct pbr_span *body,
                     struct pbr_buf *out)
{
    int rc = pbr_buf_printf(out, "%s %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", method, path);
    for (; rc == PBR_OK && headers && *headers; headers++)
        rc = pbr_buf_printf(out, "%s\r\n", *headers);
    if (rc == PBR_OK && body)
        rc = pbr_buf_printf(out, "content-length: %zu\r\n", body->len);
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_span_str("\r\n"));
    return rc == PBR_OK && body ? pbr_buf_append(out, *body) : rc;
}

/* Reads one answer to its end: as announced, or to the end of the connection. */
static int read_answer(struct pbr_http *http, struct pbr_pipe *pipe, struct pbr_buf *in, uint64_t deadline_ns,
                       struct pbr_http_reply *ret, struct pbr_diag *diag)
{
    size_t head = 0;
    uint64_t status, want = UINT64_MAX;
    bool eof = false;
    while (!eof && (head == 0 || in->len - head < want)) {
        const int rc = read_more(http, pipe, in, deadline_ns, &eof, diag);
        if (rc < 0)
            return rc;
        if (head == 0 && (head = header_end(pbr_buf_span(in))) > 0)
            want = content_length(pbr_span_sub(pbr_buf_span(in), 0, head));
    }
    if (head == 0 || !pbr_parse_u64(pbr_span_sub(pbr_buf_span(in), 9, 3), 100, 599, &status))
        return pbr_fail_at(diag, PBR_E_PROTO, NULL, "the embedded server gave no answer");
    const size_t len = want < in->len ? (size_t)want : in->len;
    const int rc = pbr_buf_append(&ret->body, pbr_span_sub(pbr_buf_span(in), head, len));
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "the embedded server's answer is too long");
    ret->status = (int)status;
    return PBR_OK;
}

int pbr_http_call_embedded(struct pbr_http *http, const char *method, const char *path, const char *const *headers,
                           const struct pbr_span *body, size_t reply_max, struct pbr_http_reply *ret,
                           struct pbr_diag *diag)
{
    struct pbr_pipe pipe;
    struct pbr_buf request, answer;
    struct pbr_http_reply reply = { 0 };
    const long reply_s = http->opts.reply_timeout_s ? http->opts.reply_timeout_s : 120;
    const uint64_t deadline_ns = http->env->mono_ns(http->env->ctx) + (uint64_t)reply_s * 1000000000u;
    int rc = connect_pipe(http, &pipe, diag);
    if (rc < 0)
        return rc;
    pbr_buf_init(&request, http->env, PBR_REPLY_BODY_MAX);
    pbr_buf_init(&answer, http->env, reply_max + PBR_HEADER_LIST_MAX);
    pbr_buf_init(&reply.body, http->env, reply_max);
    rc = emit_call(method, path, headers, body, &request);
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "request too long");
    if (rc == PBR_OK)
        rc = send_request(http, &pipe, pbr_buf_span(&request), deadline_ns, diag);
    if (rc == PBR_OK)
        rc = read_answer(http, &pipe, &answer, deadline_ns, &reply, diag);
    pipe.close(pipe.ctx);
    pbr_buf_release(&request);
    pbr_buf_release(&answer);
    if (rc < 0)
        pbr_http_reply_release(&reply);
    else
        *ret = reply;
    return rc;
}
