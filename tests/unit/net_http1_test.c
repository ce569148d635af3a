/* SPDX-License-Identifier: MIT */
/* covers: BKP-013 BKP-025 BKP-029 API-004 API-014 */
/* The request parser gives the same events however the input is cut, and refuses what is no HTTP.
 */
#include "net/http1.h"
#include "test.h"

static struct test_world world;

/* Everything that came out of a connection, as one text. */
struct heard {
    struct pbr_buf text;
    size_t used; /* input bytes taken */
    int rc;
};

static void hear_head(struct heard *h, const struct pbr_http1 *p)
{
    check_int(pbr_buf_printf(&h->text, "<%s %s %s%s", p->method, p->target,
                             p->keep_alive ? "keep" : "close", p->expect_continue ? " expect" : ""),
              PBR_OK);
    for (size_t i = 0; i < p->header_nr; i++)
        check_int(pbr_buf_printf(&h->text, "|%s=%s", p->header[i].name, p->header[i].value),
                  PBR_OK);
    check_int(pbr_buf_printf(&h->text, ">"), PBR_OK);
}

/* Feeds `in` in pieces of `step` bytes until `max_ends` requests are complete. */
static struct heard hear(const struct pbr_env *env, struct pbr_span in, size_t step, int max_ends)
{
    struct heard h = { .used = 0 };
    struct pbr_http1 p;
    int ends = 0;

    pbr_buf_init(&h.text, env, 1 << 20);
    pbr_http1_init(&p, env);
    for (size_t at = 0; at < in.len && ends < max_ends && h.rc >= 0; at += step) {
        const size_t len = step < in.len - at ? step : in.len - at;
        struct pbr_span piece = pbr_span_sub(in, at, len), body;
        for (;;) {
            h.rc = pbr_http1_step(&p, &piece, &body, NULL);
            if (h.rc == PBR_HTTP1_HEAD)
                hear_head(&h, &p);
            else if (h.rc == PBR_HTTP1_BODY)
                check_int(pbr_buf_append(&h.text, body), PBR_OK);
            else if (h.rc == PBR_HTTP1_END && ++ends <= max_ends)
                check_int(pbr_buf_printf(&h.text, "."), PBR_OK);
            if (h.rc < 0 || h.rc == PBR_HTTP1_MORE || ends == max_ends)
                break;
        }
        h.used = at + len - piece.len;
    }
    pbr_http1_release(&p);
    return h;
}

static const struct {
    const char *in, *want;
    int ends;
} good[] = {
    { "GET / HTTP/1.1\r\n\r\n", "<GET / keep>.", 1 },
    { "GET //api2/json/backup?a=b HTTP/1.1\r\nUpgrade:  x \t\r\nHOST:h\r\n\r\nPRI * HTTP/2.0",
      "<GET //api2/json/backup?a=b keep|upgrade=x|host=h>.", 1 },
    { "POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /y HTTP/1.0\r\n\r\n",
      "<POST /x keep|content-length=5>hello.<GET /y close>.", 2 },
    { "POST /x HTTP/1.1\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3;ext=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: v\r\n\r\n"
      "\r\nGET /y HTTP/1.1\r\nconnection: Close\r\n\r\n",
      "<POST /x keep|transfer-encoding=chunked>abc0123456789.<GET /y close|connection=Close>.", 2 },
    { "PUT /x HTTP/1.1\nexpect: 100-Continue\ncontent-length:0\n\n",
      "<PUT /x keep expect|expect=100-Continue|content-length=0>.", 1 },
};

static void test_requests_are_heard_the_same_however_they_are_cut(void **state)
{
    struct pbr_env env = test_env(&world);
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const struct pbr_span in = pbr_span_str(good[i].in);
        for (size_t step = 1; step <= in.len; step++) {
            struct heard h = hear(&env, in, step, good[i].ends);
            check_str(pbr_buf_cstr(&h.text), good[i].want);
            pbr_buf_release(&h.text);
        }
    }
    check_int(world.live_allocs, 0);
}

static void test_bytes_behind_the_request_are_left_for_the_next_reader(void **state)
{
    struct pbr_env env = test_env(&world);
    const struct pbr_span in = pbr_span_str(good[1].in);
    (void)state;

    for (size_t step = 1; step <= in.len; step++) {
        struct heard h = hear(&env, in, step, 1);
        check_span(pbr_span_sub(in, h.used, in.len), pbr_span_str("PRI * HTTP/2.0"));
        pbr_buf_release(&h.text);
    }
}

static void test_what_is_no_http_is_refused(void **state)
{
    static const char *const bad[] = {
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  HTTP/1.1\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nname\r\n\r\n",
        "GET / HTTP/1.1\r\n: v\r\n\r\n",
        "GET / HTTP/1.1\r\na b: v\r\n\r\n",
        "GET / HTTP/1.1\r\n folded: v\r\n\r\n",
        "GET / HTTP/1.1\r\na: v\rb: w\r\n\r\n", /* a CR alone: some would see two headers */
        "GET / HTTP/1.1\r\na: v\x01\r\n\r\n",
        "GET /\x7f HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 1x\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\ng\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
    };
    struct pbr_env env = test_env(&world);
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        for (size_t step = 1; step < 100; step += 7) {
            struct heard h = hear(&env, pbr_span_str(bad[i]), step, 5);
            if (h.rc != PBR_E_FORMAT)
                print_error("%s\n", bad[i]);
            check_int(h.rc, PBR_E_FORMAT);
            pbr_buf_release(&h.text);
        }
    check_int(world.live_allocs, 0);
}

static void test_head_is_bounded(void **state)
{
    struct pbr_env env = test_env(&world);
    struct pbr_diag d = { 0 };
    struct pbr_http1 p;
    struct pbr_span start = pbr_span_str("GET /"), body;
    char line[1024];
    int rc = PBR_HTTP1_MORE;
    (void)state;

    memset(line, 'a', sizeof(line));
    pbr_http1_init(&p, &env);
    check_int(pbr_http1_step(&p, &start, &body, NULL), PBR_HTTP1_MORE);
    for (int i = 0; i < 100 && rc == PBR_HTTP1_MORE; i++) {
        struct pbr_span more = pbr_span(line, sizeof(line));
        rc = pbr_http1_step(&p, &more, &body, &d);
    }
    check_int(rc, PBR_E_LIMIT);
    check_int(d.status, 431);
    pbr_http1_release(&p);

    char many[8000];
    size_t at = (size_t)snprintf(many, sizeof(many), "GET / HTTP/1.1\r\n");
    for (int i = 0; i <= PBR_HTTP1_HEADERS_MAX; i++)
        at += (size_t)snprintf(many + at, sizeof(many) - at, "h%d: v\r\n", i);
    at += (size_t)snprintf(many + at, sizeof(many) - at, "\r\n");
    struct heard h = hear(&env, pbr_span(many, at), at, 1);
    check_int(h.rc, PBR_E_FORMAT);
    pbr_buf_release(&h.text);
}

static void test_answers_are_written_in_the_form_of_the_original(void **state)
{
    struct pbr_env env = test_env(&world);
    const struct pbr_http1_answer plain = { .status = 200,
                                            .content_type = "application/json",
                                            .has_length = true,
                                            .length = 262,
                                            .date_s = 1700000000,
                                            .close = true };
    const struct pbr_http1_answer upgrade = { .status = 101,
                                              .extra = "connection: upgrade\r\nupgrade: x\r\n",
                                              .date_s = 951782400 };
    struct pbr_buf b;
    (void)state;

    pbr_buf_init(&b, &env, 1000);
    check_int(pbr_http1_emit(&plain, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b),
              "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 262\r\n"
              "connection: close\r\ndate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\n");
    pbr_buf_clear(&b);
    check_int(pbr_http1_emit(&upgrade, &b), PBR_OK);
    check_str(pbr_buf_cstr(&b),
              "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n"
              "date: Tue, 29 Feb 2000 00:00:00 GMT\r\n\r\n");
    pbr_buf_release(&b);
    check_int(world.live_allocs, 0);
}

static void test_dates_are_right_over_four_centuries(void **state)
{
    static const struct {
        int64_t time_s;
        const char *text;
    } cases[] = { { 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
                  { 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" },
                  { 4107542399, "Sun, 28 Feb 2100 23:59:59 GMT" },
                  { 4107542400, "Mon, 01 Mar 2100 00:00:00 GMT" },
                  { 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" } };
    char out[30];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pbr_http_date(cases[i].time_s, out);
        check_str(out, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_heard_the_same_however_they_are_cut),
        cmocka_unit_test(test_bytes_behind_the_request_are_left_for_the_next_reader),
        cmocka_unit_test(test_what_is_no_http_is_refused),
        cmocka_unit_test(test_head_is_bounded),
        cmocka_unit_test(test_answers_are_written_in_the_form_of_the_original),
        cmocka_unit_test(test_dates_are_right_over_four_centuries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
