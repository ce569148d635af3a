/* SPDX-License-Identifier: MIT */
/* Server side of HTTP/2; see h2_server.h.
 *
 * Output is collected in one buffer: frames that nghttp2 serialises, and DATA frames whose payload
 * is read straight behind the place of their header (read_body), so that a file's bytes are copied
 * once before they go to the pipe. */
#include "net/h2_server.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "net/http1.h"

enum {
    WINDOW = 32 << 20,
    FRAME_MAX = 4 << 20,
    STREAMS_MAX = 200,
    FRAME_HDR = 9,
    DATA_MAX = 1 << 20,     /* payload of one DATA frame: bounds the memory for output */
    OUT_ENOUGH = 256 << 10, /* collect at least this much before writing */
    OUT_MAX = OUT_ENOUGH + DATA_MAX + (1 << 20),
    IN_CAP = 256 << 10,
    READS_PER_STEP = 16, /* then other connections get their turn */
    PRELOAD_MAX = 1 << 20,
};

struct pbr_h2_stream {
    struct pbr_h2_server *h;
    struct pbr_h2_stream *prev, *next;
    int32_t id;
    char *method, *path, *content_type;
    size_t header_bytes; /* of the header list so far [BKP-057] */
    bool begun, remote_done, answered, malformed;
    struct pbr_h2_answer answer;
    uint64_t sent;
    void *user;
};

struct pbr_h2_server {
    const struct pbr_env *env;
    struct pbr_pipe pipe;
    struct pbr_h2_server_ops ops;
    nghttp2_session *session;
    struct pbr_h2_stream *streams;
    size_t stream_nr;
    struct pbr_buf out;
    size_t out_pos;
    size_t data_len; /* payload lying behind out.len + FRAME_HDR, not yet counted */
    struct pbr_buf preload;
    uint8_t *in;
    bool settings_patched, peer_closed, out_of_memory;
    int failed; /* of step */
};

/* ---- streams ---- */

static void free_answer(struct pbr_h2_stream *st)
{
    pbr_free(st->h->env, st->answer.mem);
    st->answer.mem = NULL;
    if (st->answer.source.read_at)
        pbr_source_close(&st->answer.source);
    st->answer.source = (struct pbr_source){ 0 };
}

static void free_stream(struct pbr_h2_stream *st)
{
    struct pbr_h2_server *h = st->h;

    if (st->begun)
        h->ops.closed(h->ops.ctx, st);
    free_answer(st);
    if (st->prev)
        st->prev->next = st->next;
    else
        h->streams = st->next;
    if (st->next)
        st->next->prev = st->prev;
    h->stream_nr--;
    pbr_free(h->env, st->method);
    pbr_free(h->env, st->path);
    pbr_free(h->env, st->content_type);
    pbr_free(h->env, st);
}

static struct pbr_h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int fatal(struct pbr_h2_server *h)
{
    h->out_of_memory = true;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct pbr_h2_server *h = ctx;
    const int32_t id = frame->hd.stream_id;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h->stream_nr >= STREAMS_MAX) /* the others go on [BKP-052] */
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    struct pbr_h2_stream *st = pbr_alloc(h->env, 1, sizeof(*st));
    if (!st)
        return fatal(h);
    *st = (struct pbr_h2_stream){ .h = h, .id = id, .next = h->streams };
    if (h->streams)
        h->streams->prev = st;
    h->streams = st;
    h->stream_nr++;
    return nghttp2_session_set_stream_user_data(session, id, st) == 0 ? 0 : fatal(h);
}

/* What no field value may hold (RFC 9113, 8.2.1). nghttp2 does not look: its checks of messages are off [BKP-056]. */
static bool has_controls(struct pbr_span value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
            return true;
    return false;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    struct pbr_h2_server *h = ctx;
    struct pbr_h2_stream *st = stream_of(session, frame->hd.stream_id);
    const struct pbr_span key = pbr_span(name, name_len);
    char **field = NULL;

    (void)flags;
    if (!st || frame->headers.cat != NGHTTP2_HCAT_REQUEST || st->begun)
        return 0;
    st->header_bytes += name_len + value_len + 32; /* RFC 9113, 6.5.2 */
    if (st->header_bytes > PBR_HEADER_LIST_MAX)
        return 0;
    if (pbr_span_eq_str(key, ":method"))
        field = &st->method;
    else if (pbr_span_eq_str(key, ":path"))
        field = &st->path;
    else if (pbr_span_eq_str(key, "content-type"))
        field = &st->content_type;
    if (!field || *field)
        return 0;
    st->malformed = st->malformed || has_controls(pbr_span(value, value_len));
    *field = pbr_strndup(h->env, pbr_span(value, value_len));
    return *field ? 0 : fatal(h);
}

/* Answers a request that no handler shall see. */
static int answer_bare(struct pbr_h2_stream *st, int status)
{
    const struct pbr_h2_answer a = { .status = status,
                                     .has_length = true,
                                     .date_s = st->h->env->now_s(st->h->env->ctx) };
    return pbr_h2_answer(st, &a, NULL) == PBR_OK ? 0 : fatal(st->h);
}

static int request_head(struct pbr_h2_server *h, struct pbr_h2_stream *st)
{
    if (st->header_bytes > PBR_HEADER_LIST_MAX)
        return answer_bare(st, 431);
    if (!st->method || !st->path || st->malformed)
        return answer_bare(st, 400);
    st->begun = true;
    return h->ops.begin(h->ops.ctx, st) == PBR_OK ? 0 : fatal(h);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct pbr_h2_server *h = ctx;
    const bool headers = frame->hd.type == NGHTTP2_HEADERS;
    struct pbr_h2_stream *st;
    int rc = 0;

    if (!headers && frame->hd.type != NGHTTP2_DATA)
        return 0;
    st = stream_of(session, frame->hd.stream_id);
    if (!st)
        return 0;
    st->remote_done = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (headers && frame->headers.cat == NGHTTP2_HCAT_REQUEST && !st->begun)
        rc = request_head(h, st);
    if (rc == 0 && st->remote_done && st->begun && !st->answered)
        rc = h->ops.end(h->ops.ctx, st) == PBR_OK ? 0 : fatal(h);
    return rc;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *ctx)
{
    struct pbr_h2_server *h = ctx;
    struct pbr_h2_stream *st = stream_of(session, id);

    (void)flags;
    if (!st || !st->begun || st->answered)
        return 0;
    return h->ops.data(h->ops.ctx, st, pbr_span(data, len)) == PBR_OK ? 0 : fatal(h);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    struct pbr_h2_stream *st = stream_of(session, id);

    (void)ctx;
    (void)code;
    if (st)
        free_stream(st);
    return 0;
}

/* The answer went out while the request is still coming: tell the peer to stop [BKP-113]. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    (void)ctx;
    if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    const struct pbr_h2_stream *st = stream_of(session, frame->hd.stream_id);
    if (!st || st->remote_done)
        return 0;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                     NGHTTP2_NO_ERROR);
}

/* ---- answers ---- */

static ssize_t frame_length(nghttp2_session *session, uint8_t frame_type, int32_t id,
                            int32_t session_window, int32_t stream_window, uint32_t frame_max,
                            void *ctx)
{
    int64_t n = DATA_MAX;

    (void)session;
    (void)frame_type;
    (void)id;
    (void)ctx;
    n = n < session_window ? n : session_window;
    n = n < stream_window ? n : stream_window;
    n = n < frame_max ? n : frame_max;
    return (ssize_t)n;
}

/* Puts the payload of the next DATA frame behind the room for its header. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct pbr_h2_server *h = ctx;
    struct pbr_h2_stream *st = source->ptr;
    const uint64_t left = st->answer.length - st->sent;
    const size_t n = left < cap ? (size_t)left : cap;
    uint8_t *room;

    (void)session;
    (void)id;
    (void)buf;
    if (pbr_buf_reserve(&h->out, FRAME_HDR + n, &room) < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (n > 0 && st->answer.mem)
        memcpy(room + FRAME_HDR, st->answer.mem + st->sent, n);
    else if (n > 0 &&
             pbr_source_read_at(&st->answer.source, st->sent, room + FRAME_HDR, n, NULL) < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM: the peer must not take it for
                                                         complete */
    h->data_len = n;
    st->sent += n;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (st->sent == st->answer.length)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *hdr,
                     size_t length, nghttp2_data_source *source, void *ctx)
{
    struct pbr_h2_server *h = ctx;

    (void)session;
    (void)frame;
    (void)source;
    if (length != h->data_len)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(h->out.ptr + h->out.len, hdr, FRAME_HDR);
    h->out.len += FRAME_HDR + length;
    h->data_len = 0;
    return h->out.len - h->out_pos < OUT_ENOUGH
               ? 0
               : NGHTTP2_ERR_PAUSE; /* else it would go on to the window's end */
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
                         .namelen = strlen(name),
                         .value = (uint8_t *)(uintptr_t)value,
                         .valuelen = strlen(value) };
}

int pbr_h2_answer(struct pbr_h2_stream *st, const struct pbr_h2_answer *a, struct pbr_diag *diag)
{
    struct pbr_h2_server *h = st->h;
    const nghttp2_data_provider body = { .source = { .ptr = st }, .read_callback = read_body };
    char status[12], length[24], date[30];
    nghttp2_nv nv[4];
    size_t nr = 0;

    if (st->answered)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "stream %d was answered already", (int)st->id);
    (void)snprintf(status, sizeof(status), "%d", a->status);
    (void)snprintf(length, sizeof(length), "%" PRIu64, a->length);
    pbr_http_date(a->date_s, date);
    nv[nr++] = header(":status", status);
    if (a->content_type)
        nv[nr++] = header("content-type", a->content_type);
    nv[nr++] = header("date", date);
    if (a->has_length)
        nv[nr++] = header("content-length", length);

    const bool empty = a->length == 0;
    if (nghttp2_submit_response(h->session, st->id, nv, nr, empty ? NULL : &body) != 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for an answer");
    st->answered = true;
    st->answer = *a;
    return PBR_OK;
}

void pbr_h2_reset(struct pbr_h2_stream *st, uint32_t code)
{
    st->answered = true;
    (void)nghttp2_submit_rst_stream(st->h->session, NGHTTP2_FLAG_NONE, st->id, code);
}

void pbr_h2_server_goaway(struct pbr_h2_server *h)
{
    (void)nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
}

int32_t pbr_h2_id(const struct pbr_h2_stream *st)
{
    return st->id;
}

const char *pbr_h2_method(const struct pbr_h2_stream *st)
{
    return st->method;
}

const char *pbr_h2_path(const struct pbr_h2_stream *st)
{
    return st->path;
}

const char *pbr_h2_content_type(const struct pbr_h2_stream *st)
{
    return st->content_type;
}

void pbr_h2_set_user(struct pbr_h2_stream *st, void *user)
{
    st->user = user;
}

void *pbr_h2_user(const struct pbr_h2_stream *st)
{
    return st->user;
}

uint64_t pbr_h2_sent(const struct pbr_h2_stream *st)
{
    return st->sent;
}

/* ---- the session ---- */

/* The library would end the connection for a stream beyond MAX_CONCURRENT_STREAMS, the original
 * only refuses it: the library is told a limit that is never reached, the peer the real one. */
static void patch_settings(struct pbr_h2_server *h, const uint8_t *frame, size_t len)
{
    uint8_t *copy = h->out.ptr + (h->out.len - len);

    h->settings_patched = true;
    for (size_t at = FRAME_HDR; frame[3] == NGHTTP2_SETTINGS && at + 6 <= len; at += 6) {
        if (frame[at] != 0 || frame[at + 1] != NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
            continue;
        copy[at + 2] = copy[at + 3] = copy[at + 4] = 0;
        copy[at + 5] = STREAMS_MAX;
    }
}

static int submit_settings(struct pbr_h2_server *h, uint32_t window)
{
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, INT32_MAX },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window },
        { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_MAX },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, PBR_HEADER_LIST_MAX },
    };
    const size_t nr = sizeof(settings) / sizeof(settings[0]);

    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, nr) != 0)
        return PBR_E_NOMEM;
    if (window > NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE &&
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, (int32_t)window) !=
            0)
        return PBR_E_NOMEM;
    return PBR_OK;
}

static int new_session(struct pbr_h2_server *h, uint32_t window)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *option = NULL;
    int rc = PBR_E_NOMEM;

    if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&option) != 0)
        goto out;
    nghttp2_option_set_no_http_messaging(option,
                                         1); /* any authority and scheme, none as well [BKP-056] */
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, frame_length);
    if (nghttp2_session_server_new2(&h->session, cb, h, option) != 0)
        goto out;
    rc = submit_settings(h, window);
out:
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    return rc;
}

int pbr_h2_server_new(const struct pbr_env *env, const struct pbr_pipe *pipe,
                      const struct pbr_h2_server_ops *ops, const struct pbr_h2_server_opts *opts,
                      struct pbr_h2_server **ret, struct pbr_diag *diag)
{
    struct pbr_h2_server *h = pbr_alloc(env, 1, sizeof(*h));
    int rc = PBR_E_NOMEM;

    if (!h)
        goto out;
    h->env = env;
    h->ops = *ops;
    pbr_buf_init(&h->out, env, OUT_MAX);
    pbr_buf_init(&h->preload, env, PRELOAD_MAX);
    h->in = pbr_alloc(env, IN_CAP, 1);
    if (!h->in)
        goto out;
    rc = new_session(h, opts->window ? opts->window : WINDOW);
    if (rc < 0)
        goto out;
    h->pipe = *pipe;
    *ret = h;
    h = NULL;
out:
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "cannot start HTTP/2");
    pbr_h2_server_free(h);
    return rc;
}

void pbr_h2_server_free(struct pbr_h2_server *h)
{
    if (!h)
        return;
    while (h->streams)
        free_stream(h->streams);
    nghttp2_session_del(h->session);
    if (h->pipe.close)
        h->pipe.close(h->pipe.ctx);
    pbr_buf_release(&h->out);
    pbr_buf_release(&h->preload);
    pbr_free(h->env, h->in);
    pbr_free(h->env, h);
}

int pbr_h2_server_preload(struct pbr_h2_server *h, struct pbr_span in)
{
    return pbr_buf_append(&h->preload, in);
}

/* ---- moving bytes ---- */

static int session_failed(struct pbr_h2_server *h, ssize_t code, struct pbr_diag *diag)
{
    if (h->out_of_memory || code == NGHTTP2_ERR_NOMEM)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory on an HTTP/2 connection");
    return pbr_fail_at(diag, PBR_E_PROTO, "BKP-050", "HTTP/2: %s", nghttp2_strerror((int)code));
}

/* Fills the output buffer from the session. */
static int collect(struct pbr_h2_server *h, struct pbr_diag *diag)
{
    if (h->out_pos == h->out.len)
        h->out.len = h->out_pos = 0;
    while (h->out.len - h->out_pos < OUT_ENOUGH) {
        const uint8_t *bytes;
        if (h->out.len > OUT_ENOUGH && h->out_pos > 0) {
            pbr_buf_drop(&h->out, h->out_pos);
            h->out_pos = 0;
        }
        const size_t before = h->out.len;
        const ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
        if (n < 0)
            return session_failed(h, n, diag);
        if (n == 0 && h->out.len == before)
            break;
        if (n > 0 && pbr_buf_append(&h->out, pbr_span(bytes, (size_t)n)) < 0)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory on an HTTP/2 connection");
        if (n > 0 && !h->settings_patched)
            patch_settings(h, bytes, (size_t)n);
    }
    return PBR_OK;
}

static int write_out(struct pbr_h2_server *h, unsigned *next, struct pbr_diag *diag)
{
    for (;;) {
        int rc = collect(h, diag);
        if (rc < 0 || h->out_pos == h->out.len)
            return rc;
        size_t n = 0;
        unsigned want = 0;
        rc = h->pipe.write(h->pipe.ctx, pbr_span(h->out.ptr + h->out_pos, h->out.len - h->out_pos),
                           &n, &want, diag);
        if (rc < 0)
            return rc;
        h->out_pos += n;
        if (n == 0) {
            *next |= want;
            return PBR_OK;
        }
    }
}

static int feed(struct pbr_h2_server *h, struct pbr_span in, struct pbr_diag *diag)
{
    while (in.len > 0) {
        const ssize_t n = nghttp2_session_mem_recv(h->session, in.ptr, in.len);
        if (n < 0)
            return session_failed(h, n, diag);
        in = pbr_span_sub(in, (size_t)n, in.len);
    }
    return PBR_OK;
}

static int read_in(struct pbr_h2_server *h, unsigned *next, struct pbr_diag *diag)
{
    int rc = feed(h, pbr_buf_span(&h->preload), diag);

    pbr_buf_clear(&h->preload);
    for (int i = 0; rc == PBR_OK && i < READS_PER_STEP; i++) {
        size_t n = 0;
        unsigned want = 0;
        rc = h->pipe.read(h->pipe.ctx, h->in, IN_CAP, &n, &want, diag);
        if (rc < 0)
            return rc;
        if (n == 0) {
            h->peer_closed = want == 0;
            *next |= want;
            return PBR_OK;
        }
        rc = feed(h, pbr_span(h->in, n), diag);
    }
    *next |= PBR_H2_AGAIN | PBR_H2_READ;
    return rc;
}

int pbr_h2_server_step(struct pbr_h2_server *h, unsigned *ret_next, struct pbr_diag *diag)
{
    unsigned next = 0;
    if (h->failed < 0)
        return pbr_fail_at(diag, (enum pbr_err)h->failed, NULL, "HTTP/2 connection used after a failure");
    int rc = read_in(h, &next, diag);

    if (rc == PBR_OK)
        rc = write_out(h, &next, diag);
    else if (rc == PBR_E_PROTO) /* the GOAWAY that says why, as far as it goes */
        (void)write_out(h, &next, NULL);
    h->failed = rc;
    if (rc < 0)
        return rc;
    const bool flushed = h->out_pos == h->out.len;
    if (h->peer_closed || (flushed && !nghttp2_session_want_read(h->session) &&
                           !nghttp2_session_want_write(h->session)))
        next = PBR_H2_CLOSED;
    *ret_next = next;
    return PBR_OK;
}
