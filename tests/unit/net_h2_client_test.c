/* SPDX-License-Identifier: MIT */
/* covers: RDR-104 BKP-050 BKP-051 BKP-053 BKP-054 BKP-056 BKP-113 BKP-312 */
#include "h2_fake.h"

#include "net/h2_client.h"
#include "net/tls_server.h"

/* ---- one client and one server, pumped in turn ---- */

struct slow_pipe { /* gives and takes at most `step` bytes a call, and would block every other call */
    struct pbr_pipe inner;
    size_t step;
    unsigned turn;
    bool limited; /* at most `budget` bytes more */
    size_t budget;
};

struct pair {
    struct test_world world;
    struct pbr_env env;
    struct fake server;
    struct slow_pipe slow;
    struct pbr_h2_client *client;
};

static int slow_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct slow_pipe *p = ctx;
    return p->inner.read(p->inner.ctx, out, p->step && p->step < len ? p->step : len, ret, ret_want, diag);
}

static int slow_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct slow_pipe *p = ctx;
    if ((p->limited && p->budget == 0) || (p->step && p->turn++ % 2)) {
        *ret = 0;
        *ret_want = PBR_PIPE_WRITE;
        return PBR_OK;
    }
    size_t len = p->step && p->step < in.len ? p->step : in.len;
    len = p->limited && p->budget < len ? p->budget : len;
    const int rc = p->inner.write(p->inner.ctx, pbr_span_sub(in, 0, len), ret, ret_want, diag);
    p->budget -= p->limited ? *ret : 0;
    return rc;
}

static void slow_close(void *ctx)
{
    struct slow_pipe *p = ctx;
    p->inner.close(p->inner.ctx);
}

static void pair_open(struct pair *p, size_t step, uint32_t window, void (*handler)(struct fake *, struct fake_stream *))
{
    int fds[2];
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    p->env = test_env(&p->world);
    p->slow = (struct slow_pipe){ .step = step };
    check_int(pbr_pipe_socket(&p->env, fds[0], &p->slow.inner, NULL), PBR_OK);
    const struct pbr_pipe pipe = {
        .ctx = &p->slow, .fd = fds[0], .read = slow_read, .write = slow_write, .close = slow_close
    };
    check_int(pbr_h2_client_new(&p->env, &pipe, &p->client, NULL), PBR_OK);
    fake_init(&p->server, fds[1], window, handler, p);
}

static void pair_close(struct pair *p)
{
    pbr_h2_client_free(p->client);
    fake_release(&p->server);
    check_int(p->world.live_allocs, 0);
}

struct outcome {
    int calls, rc, status;
    struct pbr_diag diag;
    uint8_t *body;
    size_t len;
};

static void on_done(void *ctx, int rc, struct pbr_h2_reply *reply, const struct pbr_diag *diag)
{
    struct outcome *o = ctx;
    o->calls++;
    o->rc = rc;
    o->status = reply->status;
    o->diag = *diag;
    o->len = reply->body.len;
    o->body = malloc(o->len + 1);
    if (o->len)
        memcpy(o->body, reply->body.ptr, o->len);
    o->body[o->len] = 0;
}

static void submit(struct pair *p, const char *method, const char *path, struct pbr_span body, size_t max,
                   struct outcome *o)
{
    const struct pbr_h2_req req = { .method = method,
                                    .path = path,
                                    .content_type = body.len ? "application/octet-stream" : NULL,
                                    .body = body,
                                    .reply_max = max,
                                    .done = on_done,
                                    .ctx = o };
    *o = (struct outcome){ 0 };
    check_int(pbr_h2_client_submit(p->client, &req, NULL), PBR_OK);
}

/* Until `o` is done or the client fails; the number of steps is bounded, so that a standstill fails the test. */
static int pump_until(struct pair *p, const struct outcome *o)
{
    int rc = PBR_OK;
    for (int i = 0; i < 2000000 && rc == PBR_OK && !o->calls; i++) {
        rc = pbr_h2_client_step(p->client, -1, 0, NULL);
        fake_pump(&p->server);
    }
    return rc;
}

static void forget(struct outcome *o)
{
    free(o->body);
    *o = (struct outcome){ 0 };
}

static struct pbr_span pattern(size_t len)
{
    uint64_t state = 7;
    uint8_t *p = malloc(len + 8);
    for (size_t i = 0; i < len; i += 8)
        pbr_put_u64le(p + i, test_next_random(&state));
    return pbr_span(p, len);
}

static void echo(struct fake *f, struct fake_stream *st)
{
    fake_answer(f, st, 200, st->body, st->len);
}

/* ---- tests ---- */

static void test_first_bytes_are_preface_settings_and_window_update(void **state)
{
    static const uint8_t want[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                  "\x00\x00\x0c\x04\x00\x00\x00\x00\x00\x00\x04\x7f\xff\xff\xfe\x00\x05\x00\x40\x00\x00"
                                  "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xfe\xff\xff";
    (void)state;
    struct pair p;
    uint8_t got[256];
    pair_open(&p, 0, 0, echo);
    check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
    const ssize_t n = read(p.server.fd, got, sizeof(got));
    check(n > 0);
    check_span(pbr_span(got, (size_t)n), pbr_span(want, sizeof(want) - 1));
    pair_close(&p);
}

static void check_request(struct fake *f, struct fake_stream *st)
{
    check_str(st->method, "POST");
    check_str(st->path, "/blob?file-name=a.blob");
    check_str(st->content_type, "application/octet-stream");
    echo(f, st);
}

static void test_request_and_answer_survive_any_split(void **state)
{
    static const size_t steps[] = { 0, 1, 2, 3, 7, 4096 };
    (void)state;
    const struct pbr_span body = pattern(20000);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct pair p;
        struct outcome o;
        pair_open(&p, steps[i], 1000, check_request);
        submit(&p, "POST", "/blob?file-name=a.blob", body, 1 << 20, &o);
        check_int(pump_until(&p, &o), PBR_OK);
        check_int(o.calls, 1);
        check_int(o.rc, PBR_OK);
        check_int(o.status, 200);
        check_span(pbr_span(o.body, o.len), body);
        forget(&o);
        pair_close(&p);
    }
    test_unload(body);
}

static void test_many_large_bodies_pass_small_windows_at_the_same_time(void **state)
{
    enum { N = 40 };
    (void)state;
    struct pair p;
    struct outcome o[N];
    const struct pbr_span body = pattern(300000);
    pair_open(&p, 0, 16384, echo);
    for (size_t i = 0; i < N; i++)
        submit(&p, "POST", "/x", pbr_span_sub(body, i, body.len - N), body.len, &o[i]);
    check_int(pbr_h2_client_pending(p.client), N);
    for (size_t i = 0; i < N; i++) {
        check_int(pump_until(&p, &o[i]), PBR_OK);
        check_int(o[i].rc, PBR_OK);
        check_span(pbr_span(o[i].body, o[i].len), pbr_span_sub(body, i, body.len - N));
        forget(&o[i]);
    }
    check_int(pbr_h2_client_pending(p.client), 0);
    check(p.server.open_max > 1);
    test_unload(body);
    pair_close(&p);
}

static void big_answer(struct fake *f, struct fake_stream *st)
{
    const struct pbr_span body = pattern(1 << 20);
    fake_answer(f, st, 200, body.ptr, body.len);
    test_unload(body);
}

enum { LARGE_ANSWER = 4 << 20 };

static void answer_largely(struct fake *f, struct fake_stream *st)
{
    static uint8_t *zeros;
    zeros = zeros ? zeros : calloc(1, LARGE_ANSWER);
    fake_answer(f, st, 200, zeros, LARGE_ANSWER);
}

/* Half of the connection's window, without a content-length in any answer. */
static void test_windows_are_opened_again_as_answers_come(void **state)
{
    (void)state;
    if (getenv("PBR_TEST_SLOW")) /* set by make check-valgrind */
        SKIP("a gigabyte is too much for Valgrind");
    enum { WINDOW = 2147483646, ROUNDS = WINDOW / 2 / LARGE_ANSWER + 2 };
    struct pair p;
    struct outcome o;
    pair_open(&p, 0, 0, answer_largely);
    for (size_t i = 0; i < ROUNDS; i++) {
        submit(&p, "GET", "/x", pbr_span(NULL, 0), LARGE_ANSWER, &o);
        check_int(pump_until(&p, &o), PBR_OK);
        check_u64(o.len, LARGE_ANSWER);
        forget(&o);
    }
    check(nghttp2_session_get_remote_window_size(p.server.session) > WINDOW - 3 * LARGE_ANSWER);
    pair_close(&p);
}

static void test_answer_over_the_limit_is_refused_and_the_stream_given_up(void **state)
{
    (void)state;
    struct pair p;
    struct outcome o;
    pair_open(&p, 0, 0, big_answer);
    submit(&p, "GET", "/x", pbr_span(NULL, 0), (1 << 20) - 1, &o);
    check_int(pump_until(&p, &o), PBR_OK);
    check_int(o.rc, PBR_E_LIMIT);
    check_int(o.status, 0);
    forget(&o);
    submit(&p, "GET", "/x", pbr_span(NULL, 0), 1 << 20, &o); /* the connection goes on */
    check_int(pump_until(&p, &o), PBR_OK);
    check_int(o.rc, PBR_OK);
    check_int(o.len, 1 << 20);
    check_int(p.server.resets, 1);
    forget(&o);
    pair_close(&p);
}

static void refuse_stream(struct fake *f, struct fake_stream *st)
{
    if (strcmp(st->path, "/reset") == 0)
        fake_reset(f, st, NGHTTP2_REFUSED_STREAM);
    else
        echo(f, st);
}

static void test_reset_fails_that_request_only(void **state)
{
    (void)state;
    struct pair p;
    struct outcome a, b;
    pair_open(&p, 0, 0, refuse_stream);
    submit(&p, "GET", "/reset", pbr_span(NULL, 0), 10, &a);
    submit(&p, "GET", "/ok", pbr_span(NULL, 0), 10, &b);
    check_int(pump_until(&p, &b), PBR_OK);
    check_int(pump_until(&p, &a), PBR_OK);
    check_int(a.calls, 1);
    check_int(a.rc, PBR_E_REMOTE);
    check_int(b.rc, PBR_OK);
    forget(&a);
    forget(&b);
    pair_close(&p);
}

static ssize_t half_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                         nghttp2_data_source *source, void *ctx)
{
    struct fake_stream *st = source->ptr;
    (void)s;
    (void)ctx;
    (void)flags;
    if (st->answer_sent) {
        nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
        return NGHTTP2_ERR_DEFERRED;
    }
    check(len >= 4);
    memcpy(buf, "half", 4);
    st->answer_sent = 4;
    return 4;
}

static void answer_half(struct fake *f, struct fake_stream *st)
{
    const nghttp2_nv nv = { (uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "200", 7, 3, 0 };
    const nghttp2_data_provider data = { .source = { .ptr = st }, .read_callback = half_body };
    check_int(nghttp2_submit_response(f->session, st->id, &nv, 1, &data), 0);
}

static void test_answer_without_its_end_is_not_taken_for_complete(void **state)
{
    (void)state;
    struct pair p;
    struct outcome o;
    pair_open(&p, 0, 0, answer_half);
    submit(&p, "GET", "/x", pbr_span(NULL, 0), 100, &o);
    check_int(pump_until(&p, &o), PBR_OK);
    check_int(o.calls, 1);
    check_int(o.rc, PBR_E_REMOTE);
    forget(&o);
    pair_close(&p);
}

static void refuse_early(struct fake *f, struct fake_stream *st)
{
    if (strcmp(st->path, "/big") == 0)
        fake_answer_text(f, st, 400, "uploaded chunk is larger than announced.");
}

static void test_early_refusal_is_delivered_while_the_body_is_stuck(void **state)
{
    (void)state;
    struct pair p;
    struct outcome o;
    const struct pbr_span body = pattern(1 << 20);
    pair_open(&p, 0, 1000, echo);
    p.server.opened = refuse_early;
    p.server.manual_window = true;
    submit(&p, "POST", "/big", body, 100, &o);
    check_int(pump_until(&p, &o), PBR_OK);
    check_int(o.calls, 1);
    check_int(o.rc, PBR_OK);
    check_int(o.status, 400);
    check_str((const char *)o.body, "uploaded chunk is larger than announced.");
    forget(&o);
    test_unload(body);
    pair_close(&p);
}

/* The answer and a reset come while one of the body's frames is written in part: it must be finished, or the server takes
 * what follows for its rest. */
static void test_frame_under_way_is_finished_after_a_reset(void **state)
{
    (void)state;
    static const uint32_t codes[] = { NGHTTP2_NO_ERROR, NGHTTP2_CANCEL };
    const struct pbr_span body = pattern(60000);
    for (size_t i = 0; i < 2; i++) {
        struct pair p;
        struct outcome big, small;
        pair_open(&p, 0, 0, echo);
        p.server.manual_window = true; /* the body fits, nothing is opened again */
        check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
        fake_pump(&p.server);
        check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
        submit(&p, "POST", "/big", body, 100, &big);
        p.slow.limited = true;
        p.slow.budget = 20000;
        check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
        fake_pump(&p.server);
        check(p.server.streams->len > 0 && p.server.streams->len < body.len);
        if (codes[i] == NGHTTP2_NO_ERROR)
            fake_answer_text(&p.server, p.server.streams, 400, "no");
        fake_pump(&p.server);
        fake_reset(&p.server, p.server.streams, codes[i]);
        fake_pump(&p.server);
        check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
        check_int(big.calls, 0); /* its bytes are still needed */
        p.slow.limited = false;
        submit(&p, "GET", "/small", pbr_span(NULL, 0), 100, &small);
        check_int(pump_until(&p, &big), PBR_OK);
        check_int(big.calls, 1);
        check_int(big.rc, i == 0 ? PBR_OK : PBR_E_REMOTE);
        check_int(pump_until(&p, &small), PBR_OK);
        check_int(small.calls, 1);
        check_int(small.rc, PBR_OK);
        check_int(small.status, 200);
        forget(&big);
        forget(&small);
        pair_close(&p);
    }
    test_unload(body);
}

static void no_answer(struct fake *f, struct fake_stream *st)
{
    (void)f;
    (void)st;
}

static void test_close_fails_every_request_exactly_once(void **state)
{
    enum { N = 10 };
    (void)state;
    struct pair p;
    struct outcome o[N];
    pair_open(&p, 0, 0, no_answer);
    for (size_t i = 0; i < N; i++)
        submit(&p, "GET", "/x", pbr_span(NULL, 0), 10, &o[i]);
    for (int k = 0; k < 3; k++) { /* all is read: the end is in order, no reset */
        check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
        fake_pump(&p.server);
    }
    fake_close(&p.server);
    struct pbr_diag diag = { 0 };
    check_int(pbr_h2_client_step(p.client, -1, 0, &diag), PBR_E_REMOTE);
    check_str(diag.text, "server closed the connection");
    for (size_t i = 0; i < N; i++) {
        check_int(o[i].calls, 1);
        check_int(o[i].rc, PBR_E_REMOTE);
        check_str(o[i].diag.text, "server closed the connection");
    }
    const struct pbr_h2_req late = { .method = "GET", .path = "/", .done = on_done, .ctx = &o[0] };
    check_int(pbr_h2_client_submit(p.client, &late, NULL), PBR_E_REMOTE); /* final, and done is not called */
    check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_E_REMOTE);
    check_int(pbr_h2_client_pending(p.client), 0);
    for (size_t i = 0; i < N; i++) {
        check_int(o[i].calls, 1);
        forget(&o[i]);
    }
    pair_close(&p);
}

static void test_free_cancels_outstanding_requests(void **state)
{
    (void)state;
    struct pair p;
    struct outcome o;
    pair_open(&p, 0, 0, no_answer);
    submit(&p, "GET", "/x", pbr_span(NULL, 0), 10, &o);
    check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
    pair_close(&p);
    check_int(o.calls, 1);
    check_int(o.rc, PBR_E_CANCELED);
    forget(&o);
}

static void test_goaway_lets_accepted_requests_end_and_refuses_the_rest(void **state)
{
    (void)state;
    struct pair p;
    struct outcome accepted, late;
    pair_open(&p, 0, 0, no_answer);
    submit(&p, "GET", "/accepted", pbr_span(NULL, 0), 10, &accepted);
    check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
    fake_pump(&p.server);
    nghttp2_submit_goaway(p.server.session, NGHTTP2_FLAG_NONE, p.server.streams->id, NGHTTP2_NO_ERROR, NULL, 0);
    fake_pump(&p.server);
    check_int(pbr_h2_client_step(p.client, -1, 0, NULL), PBR_OK);
    submit(&p, "GET", "/late", pbr_span(NULL, 0), 10, &late);
    check_int(pump_until(&p, &late), PBR_OK);
    check_int(late.rc, PBR_E_REMOTE);
    check_int(accepted.calls, 0);
    fake_answer_text(&p.server, p.server.streams, 200, "done");
    check(pump_until(&p, &accepted) <= 0);
    check_int(accepted.rc, PBR_OK);
    check_str((const char *)accepted.body, "done");
    /* nothing can come any more: the client does not wait for a server that leaves the connection open */
    struct pbr_diag diag = { 0 };
    check_int(pbr_h2_client_step(p.client, -1, 0, &diag), PBR_E_REMOTE);
    check_int(late.calls, 1);
    check_int(accepted.calls, 1);
    forget(&late);
    forget(&accepted);
    pair_close(&p);
}

static void test_garbage_ends_the_connection(void **state)
{
    static const char *const inputs[] = {
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nmore than one frame header",
        "\xff\xff\xff\x04\x00\x00\x00\x00\x00 a frame beyond every limit",
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pair p;
        struct outcome o;
        pair_open(&p, 0, 0, no_answer);
        submit(&p, "GET", "/x", pbr_span(NULL, 0), 10, &o);
        check(write(p.server.fd, inputs[i], 36) == 36);
        int rc = PBR_OK;
        for (int k = 0; k < 10 && rc == PBR_OK; k++)
            rc = pbr_h2_client_step(p.client, -1, 0, NULL); /* the server stays open */
        check_int(rc, PBR_E_PROTO);
        check_int(o.calls, 1);
        check_int(o.rc, PBR_E_PROTO);
        forget(&o);
        pair_close(&p);
    }
}

static void test_failed_allocations_leave_nothing_behind(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct pair p;
        struct outcome o = { 0 };
        pair_open(&p, 0, 0, echo);
        p.world.alloc_fault.nth = nth;
        const struct pbr_h2_req req = { .method = "POST",
                                        .path = "/x",
                                        .body = pbr_span_str("text"),
                                        .reply_max = 100,
                                        .done = on_done,
                                        .ctx = &o };
        const int rc = pbr_h2_client_submit(p.client, &req, NULL);
        if (rc == PBR_OK)
            check_int(pump_until(&p, &o), PBR_OK);
        const bool hit = p.world.alloc_fault.hit;
        check_int(o.calls, rc == PBR_OK);
        check_int(rc == PBR_OK ? o.rc : rc, hit ? PBR_E_NOMEM : PBR_OK);
        forget(&o);
        pair_close(&p);
        if (!hit)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_bytes_are_preface_settings_and_window_update),
        cmocka_unit_test(test_request_and_answer_survive_any_split),
        cmocka_unit_test(test_many_large_bodies_pass_small_windows_at_the_same_time),
        cmocka_unit_test(test_windows_are_opened_again_as_answers_come),
        cmocka_unit_test(test_answer_over_the_limit_is_refused_and_the_stream_given_up),
        cmocka_unit_test(test_reset_fails_that_request_only),
        cmocka_unit_test(test_answer_without_its_end_is_not_taken_for_complete),
        cmocka_unit_test(test_early_refusal_is_delivered_while_the_body_is_stuck),
        cmocka_unit_test(test_frame_under_way_is_finished_after_a_reset),
        cmocka_unit_test(test_close_fails_every_request_exactly_once),
        cmocka_unit_test(test_free_cancels_outstanding_requests),
        cmocka_unit_test(test_goaway_lets_accepted_requests_end_and_refuses_the_rest),
        cmocka_unit_test(test_garbage_ends_the_connection),
        cmocka_unit_test(test_failed_allocations_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
