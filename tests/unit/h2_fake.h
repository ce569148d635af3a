/* SPDX-License-Identifier: MIT */
/* A scripted HTTP/2 server on one end of a socket pair, for tests of the client side: nghttp2 does the framing, the test's
 * handler decides what becomes of each complete request. It is pumped by hand, or runs on a thread of its own. Also an env
 * whose counters may be used from several threads.
 *
 * Thread: handler and answers run where the server is pumped. */
#ifndef PBR_TEST_H2_FAKE_H
#define PBR_TEST_H2_FAKE_H

#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

/* ---- env for several threads, with the real monotonic clock ---- */

struct mt_world {
    atomic_long live_allocs;
    atomic_long fail_at; /* the allocation that finds 0 fails; negative: none does */
    atomic_int hit;
};

static inline void *mt_realloc(void *ctx, void *p, size_t size)
{
    struct mt_world *w = ctx;
    if (atomic_load(&w->fail_at) >= 0 && atomic_fetch_sub(&w->fail_at, 1) == 0) {
        atomic_store(&w->hit, 1);
        return NULL;
    }
    void *q = realloc(p, size);
    if (q && !p)
        atomic_fetch_add(&w->live_allocs, 1);
    return q;
}

static inline void mt_free(void *ctx, void *p)
{
    struct mt_world *w = ctx;
    atomic_fetch_sub(&w->live_allocs, 1);
    free(p);
}

static inline uint64_t mt_mono_ns(void *ctx)
{
    struct timespec ts;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline struct pbr_env mt_env(struct mt_world *w)
{
    atomic_store(&w->live_allocs, 0);
    atomic_store(&w->fail_at, -1);
    atomic_store(&w->hit, 0);
    return (struct pbr_env){
        .ctx = w, .realloc = mt_realloc, .free = mt_free, .now_s = world_now_s, .mono_ns = mt_mono_ns
    };
}

/* ---- server ---- */

struct fake;

struct fake_stream {
    struct fake_stream *next;
    int32_t id;
    char method[16], path[1024], content_type[64];
    uint8_t *body;
    size_t len, cap;
    bool complete, answered;
    uint8_t *answer;
    size_t answer_len, answer_sent;
};

struct fake {
    int fd; /* -1: closed */
    nghttp2_session *session;
    void (*handler)(struct fake *f, struct fake_stream *st); /* once per complete request */
    void (*opened)(struct fake *f, struct fake_stream *st);  /* header list complete; may be NULL */
    void (*idle)(struct fake *f); /* on the thread, when nothing came for 2 ms; may be NULL */
    void *ctx;
    struct fake_stream *streams; /* newest first */
    size_t request_nr, open_nr, open_max;
    size_t resets;               /* RST_STREAM frames of the client */
    bool manual_window;          /* the connection and stream windows are never opened again */
    bool close_after_send;
    const uint8_t *out;          /* taken from nghttp2, not yet written */
    size_t out_len;
    pthread_t thread;
    int stop[2];
};

static inline struct fake_stream *fake_find(struct fake *f, int32_t id)
{
    struct fake_stream *st = f->streams;
    while (st && st->id != id)
        st = st->next;
    return st;
}

static inline ssize_t fake_give(nghttp2_session *s, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                                nghttp2_data_source *source, void *ctx)
{
    struct fake_stream *st = source->ptr;
    const size_t left = st->answer_len - st->answer_sent;
    const size_t n = left < len ? left : len;
    (void)s;
    (void)id;
    (void)ctx;
    memcpy(buf, st->answer + st->answer_sent, n);
    st->answer_sent += n;
    if (n == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static inline void fake_answer(struct fake *f, struct fake_stream *st, int status, const void *body, size_t len)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", status);
    const nghttp2_nv nv = { (uint8_t *)(uintptr_t) ":status", (uint8_t *)text, 7, strlen(text), 0 };
    const nghttp2_data_provider data = { .source = { .ptr = st }, .read_callback = fake_give };
    st->answered = true;
    st->answer = malloc(len + 1);
    st->answer_len = len;
    if (len)
        memcpy(st->answer, body, len);
    if (nghttp2_submit_response(f->session, st->id, &nv, 1, len ? &data : NULL) != 0)
        abort();
}

static inline void fake_answer_text(struct fake *f, struct fake_stream *st, int status, const char *text)
{
    fake_answer(f, st, status, text, strlen(text));
}

static inline void fake_reset(struct fake *f, struct fake_stream *st, uint32_t code)
{
    st->answered = true;
    nghttp2_submit_rst_stream(f->session, NGHTTP2_FLAG_NONE, st->id, code);
}

static inline int fake_on_begin(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
    struct fake *f = ctx;
    struct fake_stream *st = calloc(1, sizeof(*st));
    (void)s;
    st->id = frame->hd.stream_id;
    st->next = f->streams;
    f->streams = st;
    if (++f->open_nr > f->open_max)
        f->open_max = f->open_nr;
    return 0;
}

static inline int fake_on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                                 const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
    struct fake_stream *st = fake_find(ctx, frame->hd.stream_id);
    const struct pbr_span key = pbr_span(name, name_len);
    (void)s;
    (void)flags;
    if (pbr_span_eq_str(key, ":method"))
        snprintf(st->method, sizeof(st->method), "%.*s", (int)value_len, (const char *)value);
    if (pbr_span_eq_str(key, ":path"))
        snprintf(st->path, sizeof(st->path), "%.*s", (int)value_len, (const char *)value);
    if (pbr_span_eq_str(key, "content-type"))
        snprintf(st->content_type, sizeof(st->content_type), "%.*s", (int)value_len, (const char *)value);
    return 0;
}

static inline int fake_on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
    struct fake *f = ctx;
    struct fake_stream *st = fake_find(f, id);
    (void)flags;
    if (st->len + len > st->cap) {
        st->cap = (st->len + len) * 2;
        st->body = realloc(st->body, st->cap);
    }
    memcpy(st->body + st->len, data, len);
    st->len += len;
    if (!f->manual_window)
        nghttp2_session_consume(s, id, len);
    return 0;
}

static inline int fake_on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
    struct fake *f = ctx;
    (void)s;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        f->resets++;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct fake_stream *st = fake_find(f, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && f->opened)
        f->opened(f, st);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM && !st->complete) {
        st->complete = true;
        f->request_nr++;
        if (f->handler && !st->answered)
            f->handler(f, st);
    }
    return 0;
}

static inline int fake_on_close(nghttp2_session *s, int32_t id, uint32_t code, void *ctx)
{
    struct fake *f = ctx;
    (void)s;
    (void)id;
    (void)code;
    f->open_nr--;
    return 0;
}

static inline void fake_close(struct fake *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* Settings: window 0 = the protocol's default. */
static inline void fake_init(struct fake *f, int fd, uint32_t window,
                             void (*handler)(struct fake *f, struct fake_stream *st), void *ctx)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    *f = (struct fake){ .fd = fd, .handler = handler, .ctx = ctx, .stop = { -1, -1 } };
    fcntl(fd, F_SETFL, O_NONBLOCK);
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, fake_on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, fake_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, fake_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, fake_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, fake_on_close);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_server_new2(&f->session, cb, f, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 200 },
                                                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window ? window : 65535 },
                                                { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 4194304 } };
    nghttp2_submit_settings(f->session, NGHTTP2_FLAG_NONE, settings, 3);
}

/* Moves what can be moved without waiting. False once the connection is gone. */
static inline bool fake_pump(struct fake *f)
{
    uint8_t in[65536];
    ssize_t n;
    while (f->fd >= 0 && (n = read(f->fd, in, sizeof(in))) != 0) {
        if (n < 0)
            break;
        if (nghttp2_session_mem_recv(f->session, in, (size_t)n) < 0)
            n = 0;
        if (n == 0)
            break;
    }
    while (f->fd >= 0) {
        if (f->out_len == 0) { /* what mem_send gave stays valid until its next call */
            const ssize_t len = nghttp2_session_mem_send(f->session, &f->out);
            f->out_len = len > 0 ? (size_t)len : 0;
        }
        n = f->out_len ? send(f->fd, f->out, f->out_len, MSG_NOSIGNAL) : 0;
        if (n < 0 && errno != EAGAIN)
            fake_close(f);
        if (n <= 0)
            break;
        f->out += n;
        f->out_len -= (size_t)n;
    }
    if (f->close_after_send && f->out_len == 0 && !nghttp2_session_want_write(f->session))
        fake_close(f);
    return f->fd >= 0;
}

static inline void *fake_thread(void *ctx)
{
    struct fake *f = ctx;
    struct pollfd p[2] = { { .fd = f->fd, .events = POLLIN }, { .fd = f->stop[0], .events = POLLIN } };
    while (fake_pump(f) && !(p[1].revents & POLLIN)) {
        p[0].events = (short)(f->out_len ? POLLIN | POLLOUT : POLLIN);
        if (poll(p, 2, f->idle ? 2 : 1000) == 0 && f->idle)
            f->idle(f);
        if (p[0].revents & (POLLHUP | POLLERR) && !(p[0].revents & POLLIN))
            break;
    }
    fake_close(f);
    return NULL;
}

static inline void fake_start(struct fake *f)
{
    if (pipe(f->stop) != 0 || pthread_create(&f->thread, NULL, fake_thread, f) != 0)
        abort();
}

/* Ends the thread, if there is one, and frees everything; the journal of streams is gone after it. */
static inline void fake_join(struct fake *f)
{
    if (f->stop[1] >= 0) {
        (void)!write(f->stop[1], "x", 1);
        pthread_join(f->thread, NULL);
        close(f->stop[0]);
        close(f->stop[1]);
        f->stop[0] = f->stop[1] = -1;
    }
}

static inline void fake_release(struct fake *f)
{
    fake_join(f);
    fake_close(f);
    nghttp2_session_del(f->session);
    while (f->streams) {
        struct fake_stream *st = f->streams;
        f->streams = st->next;
        free(st->body);
        free(st->answer);
        free(st);
    }
}

/* Value of `name` in the query of a request, or "". */
static inline const char *fake_query(const struct fake_stream *st, const char *name, char out[128])
{
    const char *at = strchr(st->path, '?');
    const size_t len = strlen(name);
    out[0] = 0;
    while (at) {
        at++;
        if (strncmp(at, name, len) == 0 && at[len] == '=') {
            snprintf(out, 128, "%.*s", (int)strcspn(at + len + 1, "&"), at + len + 1);
            break;
        }
        at = strchr(at, '&');
    }
    return out;
}

static inline bool fake_is(const struct fake_stream *st, const char *method, const char *path)
{
    const size_t len = strlen(path);
    return strcmp(st->method, method) == 0 && strncmp(st->path, path, len) == 0 &&
           (st->path[len] == 0 || st->path[len] == '?');
}

#endif
