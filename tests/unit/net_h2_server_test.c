/* SPDX-License-Identifier: MIT */
/* covers: BKP-050 BKP-052 BKP-054 BKP-057 BKP-113 BKP-310 BKP-312 RDR-106 */
/* The HTTP/2 server against nghttp2 as client over a pipe in memory that moves any number of bytes
 * at a time. */
#include "net/h2_server.h"

#include <nghttp2/nghttp2.h>

#include "test.h"

static struct test_world world;

/* ---- a pipe in memory: what the server reads and what it wrote ---- */

struct wire {
    struct pbr_buf in, out;
    size_t step; /* bytes per read or write at most */
    bool closed, peer_closed;
};

static int wire_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want,
                     struct pbr_diag *diag)
{
    struct wire *w = ctx;
    size_t n = w->in.len < len ? w->in.len : len;

    (void)diag;
    n = n < w->step ? n : w->step;
    *ret_want = n == 0 && !w->peer_closed ? PBR_PIPE_READ : 0;
    if (n > 0)
        memcpy(out, w->in.ptr, n);
    pbr_buf_drop(&w->in, n);
    *ret = n;
    return PBR_OK;
}

static int wire_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want,
                      struct pbr_diag *diag)
{
    struct wire *w = ctx;

    (void)diag;
    *ret_want = 0;
    *ret = in.len < w->step ? in.len : w->step;
    return pbr_buf_append(&w->out, pbr_span_sub(in, 0, *ret));
}

static void wire_close(void *ctx)
{
    ((struct wire *)ctx)->closed = true;
}

/* ---- a handler that echoes ---- */

struct echo {
    struct pbr_env *env;
    long begun, closed;
    uint64_t body_bytes;
    size_t answer_len; /* 0: echo nothing but the count */
    bool answer_at_begin;
    uint64_t fail_read_at; /* source fails here; 0: never */
};

static int pattern_read_at(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    const struct echo *e = ctx;

    if (e->fail_read_at && off + len > e->fail_read_at)
        return pbr_fail_at(diag, PBR_E_IO, NULL, "no");
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)((off + i) * 31 >> 3);
    return PBR_OK;
}

static int answer_pattern(struct echo *e, struct pbr_h2_stream *st)
{
    const struct pbr_h2_answer a = {
        .status = 200,
        .content_type = "application/octet-stream",
        .length = e->answer_len,
        .source = { .ctx = e, .size = e->answer_len, .read_at = pattern_read_at }
    };
    return pbr_h2_answer(st, &a, NULL);
}

static int on_begin(void *ctx, struct pbr_h2_stream *st)
{
    struct echo *e = ctx;
    e->begun++;
    return e->answer_at_begin ? answer_pattern(e, st) : PBR_OK;
}

static int on_data(void *ctx, struct pbr_h2_stream *st, struct pbr_span piece)
{
    struct echo *e = ctx;
    (void)st;
    e->body_bytes += piece.len;
    return PBR_OK;
}

static int on_end(void *ctx, struct pbr_h2_stream *st)
{
    return answer_pattern(ctx, st);
}

static void on_closed(void *ctx, struct pbr_h2_stream *st)
{
    struct echo *e = ctx;
    (void)st;
    e->closed++;
}

/* ---- the client ---- */

struct client {
    nghttp2_session *s;
    struct wire wire;
    struct pbr_h2_server *server;
    struct echo echo;
    size_t body_left; /* request body still to send, per request */
    bool hold_body;   /* keep it open */
    int status;
    uint64_t got; /* answer bytes */
    bool got_ok;
    size_t largest;
    long streams_closed;
    uint32_t last_code;
    uint32_t settings[7];
    int rc; /* of the server's last step */
    unsigned next;
};

static ssize_t body_read(nghttp2_session *s, int32_t id, uint8_t *buf, size_t cap, uint32_t *flags,
                         nghttp2_data_source *source, void *ctx)
{
    struct client *c = ctx;
    const size_t n = cap < c->body_left ? cap : c->body_left;

    (void)s;
    (void)id;
    (void)source;
    if (n == 0 && c->hold_body)
        return NGHTTP2_ERR_DEFERRED;
    memset(buf, 'x', n);
    c->body_left -= n;
    if (c->body_left == 0 && !c->hold_body)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int got_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
                      size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                      void *ctx)
{
    struct client *c = ctx;
    uint64_t v;
    (void)s;
    (void)f;
    (void)flags;
    if (pbr_span_eq_str(pbr_span(name, name_len), ":status") &&
        pbr_parse_u64(pbr_span(value, value_len), 0, 999, &v))
        c->status = (int)v;
    return 0;
}

static int got_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                    void *ctx)
{
    struct client *c = ctx;
    (void)s;
    (void)flags;
    (void)id;
    for (size_t i = 0; i < len; i++)
        c->got_ok &= data[i] == (uint8_t)((c->got + i) * 31 >> 3);
    c->got += len;
    return 0;
}

static int got_frame(nghttp2_session *s, const nghttp2_frame *f, void *ctx)
{
    struct client *c = ctx;
    (void)s;
    if (f->hd.type == NGHTTP2_DATA && f->hd.length > c->largest)
        c->largest = f->hd.length;
    if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK))
        for (size_t i = 0; i < f->settings.niv; i++)
            c->settings[f->settings.iv[i].settings_id] = f->settings.iv[i].value;
    return 0;
}

static int got_close(nghttp2_session *s, int32_t id, uint32_t code, void *ctx)
{
    struct client *c = ctx;
    (void)s;
    (void)id;
    c->streams_closed++;
    c->last_code = code;
    return 0;
}

static void start(struct client *c, struct pbr_env *env, uint32_t window, uint32_t frame,
                  size_t step)
{
    const struct pbr_h2_server_ops ops = { on_begin, on_data, on_end, on_closed, &c->echo };
    const struct pbr_h2_server_opts opts = { 0 };
    const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window },
                                                { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, frame } };
    nghttp2_session_callbacks *cb;

    memset(c, 0, sizeof(*c));
    c->got_ok = true;
    c->echo.env = env;
    c->wire.step = step;
    pbr_buf_init(&c->wire.in, env, 1 << 28);
    pbr_buf_init(&c->wire.out, env, 1 << 28);
    const struct pbr_pipe pipe = { &c->wire, -1, wire_read, wire_write, wire_close };
    check_int(pbr_h2_server_new(env, &pipe, &ops, &opts, &c->server, NULL), PBR_OK);

    check_int(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, got_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, got_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, got_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, got_close);
    check_int(nghttp2_session_client_new(&c->s, cb, c), 0);
    nghttp2_session_callbacks_del(cb);
    check_int(nghttp2_submit_settings(c->s, 0, settings, 2), 0);
    if (window > 65535)
        check_int(nghttp2_session_set_local_window_size(c->s, 0, 0, (int32_t)window), 0);
}

static void stop(struct client *c)
{
    pbr_h2_server_free(c->server);
    check(c->wire.closed);
    check_int(c->echo.begun, c->echo.closed);
    nghttp2_session_del(c->s);
    pbr_buf_release(&c->wire.in);
    pbr_buf_release(&c->wire.out);
    check_int(world.live_allocs, 0);
}

static int32_t request(struct client *c, const char *path, size_t filler, bool body)
{
    char *value = malloc(filler + 1);
    assert_non_null(value);
    memset(value, 'a', filler);
    nghttp2_nv nv[] = {
        { (uint8_t *)(uintptr_t) ":method", (uint8_t *)(uintptr_t) "POST", 7, 4, 0 },
        { (uint8_t *)(uintptr_t) ":path", (uint8_t *)(uintptr_t)path, 5, strlen(path), 0 },
        { (uint8_t *)(uintptr_t) "filler", (uint8_t *)value, 6, filler, 0 }
    };
    const nghttp2_data_provider data = { .read_callback = body_read };
    const int32_t id =
        nghttp2_submit_request(c->s, NULL, nv, path[0] ? 3 : 1, body ? &data : NULL, NULL);
    free(value);
    check(id > 0);
    return id;
}

/* Moves bytes both ways until nothing happens any more. */
static void settle(struct client *c)
{
    for (bool moved = true; moved;) {
        const uint8_t *bytes;
        ssize_t n;
        moved = false;
        while ((n = nghttp2_session_mem_send(c->s, &bytes)) > 0) {
            check_int(pbr_buf_append(&c->wire.in, pbr_span(bytes, (size_t)n)), PBR_OK);
            moved = true;
        }
        c->rc = pbr_h2_server_step(c->server, &c->next, NULL);
        moved |= c->rc == PBR_OK && (c->next & PBR_H2_AGAIN);
        if (c->wire.out.len == 0)
            continue;
        check_int(nghttp2_session_mem_recv(c->s, c->wire.out.ptr, c->wire.out.len),
                  (ssize_t)c->wire.out.len);
        pbr_buf_clear(&c->wire.out);
        moved = true;
    }
}

static void test_settings_are_those_of_the_original(void **state)
{
    struct pbr_env env = test_env(&world);
    struct client c;
    (void)state;

    start(&c, &env, 65535, 16384, 1 << 20);
    settle(&c);
    check_int(c.rc, PBR_OK);
    check_int(c.settings[NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS], 200);
    check_int(c.settings[NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE], 32 << 20);
    check_int(c.settings[NGHTTP2_SETTINGS_MAX_FRAME_SIZE], 4 << 20);
    check_int(c.settings[NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE], 16384);
    check_int(nghttp2_session_get_remote_window_size(c.s), 32 << 20);
    stop(&c);
}

static void test_bodies_of_any_size_pass_any_window_and_any_transport(void **state)
{
    static const struct {
        uint32_t window, frame;
        size_t step, body, answer;
    } cases[] = { { 65535, 16384, 1, 3000, 3000 },
                  { 100, 16384, 50000, 70000, 20000 },
                  { INT32_MAX, 4 << 20, 1 << 20, 40 << 20, 20 << 20 },
                  { 65535, 16384, 1000, 1 << 20, 1 << 20 },
                  { INT32_MAX, 4 << 20, 7777, 1 << 20, 3 << 20 },
                  { 65535, 16384, 1 << 20, 0, 1 } };
    struct pbr_env env = test_env(&world);
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client c;
        start(&c, &env, cases[i].window, cases[i].frame, cases[i].step);
        c.body_left = cases[i].body;
        c.echo.answer_len = cases[i].answer;
        (void)request(&c, "/x", 1, true);
        settle(&c);
        check_int(c.status, 200);
        check_u64(c.echo.body_bytes, cases[i].body);
        check_u64(c.got, cases[i].answer);
        check(c.got_ok);
        check_int(c.streams_closed, 1);
        check_int(c.last_code, NGHTTP2_NO_ERROR);
        check(c.largest <= cases[i].frame && c.largest <= cases[i].window);
        if (cases[i].answer > 1 << 20 && cases[i].frame > 16384)
            check(c.largest > 500000); /* not in small pieces */
        stop(&c);
    }
}

static void test_many_streams_share_the_connection(void **state)
{
    struct pbr_env env = test_env(&world);
    struct client c;
    (void)state;

    start(&c, &env, 65535, 16384, 3000);
    c.echo.answer_len = 1000;
    settle(&c);
    for (int i = 0; i < 200; i++)
        (void)request(&c, "/x", 1, false);
    settle(&c);
    check_int(c.echo.begun, 200);
    check_int(c.streams_closed, 200);
    check_u64(c.got, 200000);
    stop(&c);
}

static void test_early_answer_is_followed_by_a_reset_without_error(void **state)
{
    struct pbr_env env = test_env(&world);
    struct client c;
    (void)state;

    start(&c, &env, 65535, 16384, 1 << 20);
    c.echo.answer_at_begin = true;
    c.echo.answer_len = 5;
    c.hold_body = true;
    c.body_left = 10;
    (void)request(&c, "/x", 1, true);
    settle(&c);
    check_int(c.status, 200);
    check_u64(c.got, 5);
    check_int(c.streams_closed, 1);
    check_int(c.last_code, NGHTTP2_NO_ERROR);
    check_u64(c.echo.body_bytes, 0); /* no body after the answer */
    c.hold_body = false;
    (void)request(&c, "/y", 1, false);
    settle(&c);
    check_int(c.streams_closed, 2);
    stop(&c);
}

static void test_long_headers_and_missing_path_are_answered_for_that_stream(void **state)
{
    struct pbr_env env = test_env(&world);
    struct client c;
    (void)state;

    start(&c, &env, 65535, 16384, 1 << 20);
    (void)request(&c, "/x", 17000, false);
    settle(&c);
    check_int(c.status, 431);
    (void)request(&c, "", 0, false);
    settle(&c);
    check_int(c.status, 400);
    check_int(c.echo.begun, 0);
    (void)request(&c, "/x", 15000, false);
    settle(&c);
    check_int(c.status, 200);
    check_int(c.echo.begun, 1);
    stop(&c);
}

static void test_source_that_fails_resets_the_stream(void **state)
{
    struct pbr_env env = test_env(&world);
    struct client c;
    (void)state;

    start(&c, &env, INT32_MAX, 16384, 1 << 20);
    c.echo.answer_len = 100000;
    c.echo.fail_read_at = 50000;
    (void)request(&c, "/x", 1, false);
    settle(&c);
    check(c.got < 100000);
    check_int(c.last_code, NGHTTP2_INTERNAL_ERROR);
    stop(&c);
}

static void test_goaway_garbage_and_end_of_input_end_the_connection(void **state)
{
    struct pbr_env env = test_env(&world);
    struct client c;
    (void)state;

    start(&c, &env, 65535, 16384, 1 << 20);
    settle(&c);
    pbr_h2_server_goaway(c.server);
    settle(&c);
    check_int(c.next, PBR_H2_CLOSED);
    stop(&c);

    start(&c, &env, 65535, 16384, 1 << 20);
    (void)request(&c, "/x", 1, true); /* half a request, then the end */
    c.hold_body = true;
    settle(&c);
    c.wire.peer_closed = true;
    settle(&c);
    check_int(c.next, PBR_H2_CLOSED);
    stop(&c);

    start(&c, &env, 65535, 16384, 1 << 20);
    check_int(pbr_buf_append(&c.wire.in, pbr_span_str("GET / HTTP/1.1\r\nhost: x\r\n\r\n")),
              PBR_OK);
    struct pbr_diag d = { 0 };
    check_int(pbr_h2_server_step(c.server, &c.next, &d), PBR_E_PROTO);
    check_str(d.rule, "BKP-050");
    stop(&c);
}

static void test_preloaded_bytes_come_first(void **state)
{
    struct pbr_env env = test_env(&world);
    struct client c;
    const uint8_t *bytes;
    ssize_t n;
    (void)state;

    start(&c, &env, 65535, 16384, 1 << 20);
    c.echo.answer_len = 1;
    (void)request(&c, "/x", 1, false);
    while ((n = nghttp2_session_mem_send(c.s, &bytes)) > 0)
        check_int(pbr_h2_server_preload(c.server, pbr_span(bytes, (size_t)n)), PBR_OK);
    settle(&c);
    check_int(c.status, 200);
    stop(&c);
}

static void test_every_failing_allocation_ends_the_connection_without_leak(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct pbr_env env = test_env(&world);
        struct client c;
        start(&c, &env, 65535, 16384, 1 << 20);
        c.echo.answer_len = 300000;
        c.body_left = 1000;
        world.alloc_fault.nth = nth;
        (void)request(&c, "/x", 1, true);
        const uint8_t *bytes;
        ssize_t n;
        while ((n = nghttp2_session_mem_send(c.s, &bytes)) > 0) {
            const struct pbr_fault held = world.alloc_fault;
            world.alloc_fault.nth = -1; /* the test's own buffer */
            check_int(pbr_buf_append(&c.wire.in, pbr_span(bytes, (size_t)n)), PBR_OK);
            world.alloc_fault = held;
        }
        uint8_t *room;
        const struct pbr_fault held = world.alloc_fault;
        world.alloc_fault.nth = -1;
        check_int(pbr_buf_reserve(&c.wire.out, 1 << 20, &room), PBR_OK);
        world.alloc_fault = held;
        c.rc = pbr_h2_server_step(c.server, &c.next, NULL);
        const bool hit = world.alloc_fault.hit;
        world.alloc_fault.nth = -1;
        if (!hit)
            check_int(c.rc, PBR_OK);
        stop(&c);
        if (!hit)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_are_those_of_the_original),
        cmocka_unit_test(test_bodies_of_any_size_pass_any_window_and_any_transport),
        cmocka_unit_test(test_many_streams_share_the_connection),
        cmocka_unit_test(test_early_answer_is_followed_by_a_reset_without_error),
        cmocka_unit_test(test_long_headers_and_missing_path_are_answered_for_that_stream),
        cmocka_unit_test(test_source_that_fails_resets_the_stream),
        cmocka_unit_test(test_goaway_garbage_and_end_of_input_end_the_connection),
        cmocka_unit_test(test_preloaded_bytes_come_first),
        cmocka_unit_test(test_every_failing_allocation_ends_the_connection_without_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
