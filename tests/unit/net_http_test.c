/* SPDX-License-Identifier: MIT */
/* covers: BKP-025 BKP-026 BKP-027 BKP-028 BKP-029 */
/* Upgrades and calls over a socket pair: a script on a thread takes the request up to its empty line, then writes its
 * answer piece by piece. */
#include "h2_fake.h"

#include "net/http.h"

struct script {
    const char *pieces[6]; /* written one after the other, with a pause between */
    size_t repeat;         /* the last piece that often more, 0 = once */
    bool stay;             /* leave the connection open until the test ends */
    bool early;            /* answer first, then take the request */
    int fd;
    char request[8192];
    size_t len;
    pthread_t thread;
    bool dialed;
    int quit[2];
};

static struct mt_world world;
static struct pbr_env env;
static struct script script;

static bool request_complete(const struct script *s)
{
    const char *end = strstr(s->request, "\r\n\r\n");
    const char *length = strstr(s->request, "content-length: ");
    return end && (!length || strlen(end + 4) >= strtoul(length + 16, NULL, 10));
}

static void take_request(struct script *s)
{
    ssize_t n;
    while (!request_complete(s) && s->len < sizeof(s->request) - 1 &&
           (n = read(s->fd, s->request + s->len, sizeof(s->request) - 1 - s->len)) > 0)
        s->len += (size_t)n;
}

static void *play(void *ctx)
{
    struct script *s = ctx;
    if (!s->early)
        take_request(s);
    for (size_t i = 0; i < 6 && s->pieces[i]; i++) {
        const bool last = i == 5 || !s->pieces[i + 1];
        for (size_t k = 0; k <= (last ? s->repeat : 0); k++)
            if (send(s->fd, s->pieces[i], strlen(s->pieces[i]), MSG_NOSIGNAL) < 0)
                break;
        usleep(2000);
    }
    if (s->early)
        take_request(s);
    if (s->stay) {
        struct pollfd p = { .fd = s->quit[0], .events = POLLIN };
        poll(&p, 1, 20000);
    }
    close(s->fd);
    return NULL;
}

static int dial(void *ctx)
{
    struct script *s = ctx;
    int fds[2];
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    check_int(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    s->fd = fds[1];
    s->dialed = true;
    check_int(pipe(s->quit), 0);
    check_int(pthread_create(&s->thread, NULL, play, s), 0);
    return fds[0];
}

static void end_script(void)
{
    if (!script.dialed)
        return;
    check_int(write(script.quit[1], "x", 1), 1);
    pthread_join(script.thread, NULL);
    close(script.quit[0]);
    close(script.quit[1]);
    script.dialed = false;
}

static struct pbr_http *open_http(void)
{
    const struct pbr_http_opts opts = {
        .host = "localhost", .port = 8007, .dial = dial, .dial_ctx = &script, .reply_timeout_s = 1
    };
    struct pbr_http *http = NULL;
    env = mt_env(&world);
    check_int(pbr_http_new(&env, &opts, &http, NULL), PBR_OK);
    return http;
}

/* One upgrade against `s`; reads the connection behind it to its end (or `want` bytes) into out. */
static int upgrade(const struct script *s, char *out, size_t want, struct pbr_diag *diag)
{
    static const char *const headers[] = { "authorization: PBSAPIToken=x", NULL };
    struct pbr_pipe pipe;
    script = *s;
    struct pbr_http *http = open_http();
    const int rc = pbr_http_upgrade(http, "/api2/json/backup?a=b", "proxmox-backup-protocol-v1", headers, &pipe, diag);
    pbr_http_free(http); /* the pipe lives on its own */
    if (rc == PBR_OK) {
        size_t len = 0;
        while (len < want) {
            size_t n;
            unsigned dir;
            check_int(pipe.read(pipe.ctx, (uint8_t *)out + len, want - len > 3 ? 3 : want - len, &n, &dir, diag), PBR_OK);
            len += n;
            if (n == 0 && dir == 0)
                break;
            if (n == 0) {
                struct pollfd p = { .fd = pipe.fd, .events = POLLIN };
                check_int(poll(&p, 1, 5000), 1);
            }
        }
        out[len] = 0;
        pipe.close(pipe.ctx);
    }
    end_script();
    check_int(atomic_load(&world.live_allocs), 0);
    return rc;
}

#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nupgrade: proxmox-backup-protocol-v1\r\nconnection: Upgrade\r\n\r\n"

static void test_request_asks_for_the_protocol(void **state)
{
    (void)state;
    char out[16];
    check_int(upgrade(&(struct script){ .pieces = { SWITCH "x" } }, out, 1, NULL), PBR_OK);
    check(strncmp(script.request, "GET /api2/json/backup?a=b HTTP/1.1\r\n", 36) == 0);
    check(strcasestr(script.request, "\r\nupgrade: proxmox-backup-protocol-v1\r\n"));
    check(strcasestr(script.request, "\r\nconnection: upgrade\r\n"));
    check(strcasestr(script.request, "\r\nauthorization: PBSAPIToken=x\r\n"));
    check(strcasestr(script.request, "\r\nhost: localhost:8007\r\n"));
}

static void test_bytes_behind_the_head_are_not_lost(void **state)
{
    static const struct script rows[] = {
        { .pieces = { SWITCH "early bytes" } },
        { .pieces = { SWITCH, "early bytes" } },
        { .pieces = { SWITCH "ear", "ly b", "ytes" } },
        { .pieces = { "HTTP/1.1 101", " Switching Protocols\r", "\n\r", "\nearly", " bytes" } },
        { .pieces = { "HTTP/1.0 101\r\n\r\nearly bytes" } }, /* only the status counts (BKP-026) */
        { .early = true, .pieces = { SWITCH "early bytes" } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[64];
        check_int(upgrade(&rows[i], out, 60, NULL), PBR_OK);
        check_str(out, "early bytes");
    }
}

static void test_refusal_is_reported_with_its_text(void **state)
{
    static const struct {
        struct script script;
        int status;
        const char *text;
    } rows[] = {
        { { .pieces = { "HTTP/1.1 400 Bad Request\r\ncontent-length: 9\r\n\r\nno such t" }, .stay = true }, 400, "no such t" },
        { { .pieces = { "HTTP/1.1 400 Bad Request\r\nContent-Length:  9 \r\n\r\nno ", "such", " thing" }, .stay = true }, 400,
          "no such t" }, /* the length counts */
        { { .pieces = { "HTTP/1.1 401 Unauthorized\r\n\r\n", "authentication", " failed" } }, 401, "authentication failed" },
        { { .pieces = { "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n" }, .stay = true }, 404,
          "server answered 404 to the upgrade" },
        { { .pieces = { "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}" }, .stay = true }, 200, "{}" },
        { { .pieces = { "HTTP/1.1 400 B\r\ncontent-length: 100\r\n\r\ncut off" } }, 400, "cut off" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pbr_diag diag = { 0 };
        char out[8];
        check_int(upgrade(&rows[i].script, out, 1, &diag), PBR_E_REMOTE);
        check_str(diag.text, rows[i].text);
        check_int(diag.status, rows[i].status);
    }
}

static void test_what_is_no_answer_is_refused(void **state)
{
    static const struct {
        struct script script;
        int rc;
    } rows[] = {
        { { .pieces = { "SSH-2.0-OpenSSH_9.2\r\n\r\n" } }, PBR_E_PROTO },
        { { .pieces = { "HTTP/2 101\r\n\r\n" } }, PBR_E_PROTO },
        { { .pieces = { "HTTP/1.1 10\r\n\r\n" } }, PBR_E_PROTO },
        { { .pieces = { "HTTP/1.1 -01 x\r\n\r\n" } }, PBR_E_PROTO },
        { { .pieces = { "\r\n\r\n" } }, PBR_E_PROTO },
        { { .pieces = { NULL } }, PBR_E_REMOTE }, /* closed without a word */
        { { .pieces = { "HTTP/1.1 101 Switching Pro" } }, PBR_E_REMOTE },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[8];
        struct pbr_diag diag = { 0 };
        check_int(upgrade(&rows[i].script, out, 1, &diag), rows[i].rc);
        check_int(diag.status, 0);
    }
}

static void test_head_without_end_is_a_limit(void **state)
{
    (void)state;
    char line[1025] = "x: ", out[8];
    memset(line + 3, 'a', sizeof(line) - 4);
    check_int(upgrade(&(struct script){ .pieces = { "HTTP/1.1 101 x\r\n", line }, .repeat = 5000 }, out, 1, NULL),
              PBR_E_LIMIT);
}

static void test_silence_ends_after_the_time_out(void **state)
{
    (void)state;
    struct pbr_diag diag = { 0 };
    char out[8];
    const uint64_t begin = mt_mono_ns(NULL);
    check_int(upgrade(&(struct script){ .pieces = { "HTTP/1.1 101 " }, .stay = true }, out, 1, &diag), PBR_E_REMOTE);
    check_str(diag.text, "http upgrade request timed out");
    check_str(diag.rule, "BKP-028");
    const uint64_t ns = mt_mono_ns(NULL) - begin;
    check(ns >= 900000000u);
}

static int refuse_dial(void *ctx)
{
    (void)ctx;
    errno = ECONNREFUSED;
    return -1;
}

static void test_failed_connection_is_reported(void **state)
{
    (void)state;
    const struct pbr_http_opts opts = { .host = "localhost", .port = 8007, .dial = refuse_dial };
    struct pbr_http *http;
    struct pbr_http_reply reply;
    struct pbr_pipe pipe;
    env = mt_env(&world);
    check_int(pbr_http_new(&env, &opts, &http, NULL), PBR_OK);
    check_int(pbr_http_upgrade(http, "/", "p", NULL, &pipe, NULL), PBR_E_REMOTE);
    check_int(pbr_http_call(http, "GET", "/", NULL, NULL, 10, &reply, NULL), PBR_E_REMOTE);
    pbr_http_free(http);
    check_int(atomic_load(&world.live_allocs), 0);
}

/* ---- calls ---- */

static int call(const struct script *s, const char *method, const struct pbr_span *body, size_t max, int *ret_status,
                char out[64])
{
    static const char *const headers[] = { "content-type: application/json", NULL };
    struct pbr_http_reply reply = { 0 };
    script = *s;
    struct pbr_http *http = open_http();
    const int rc = pbr_http_call(http, method, "/api2/json/version", headers, body, max, &reply, NULL);
    if (rc == PBR_OK) {
        *ret_status = reply.status;
        snprintf(out, 64, "%.*s", (int)reply.body.len, (const char *)reply.body.ptr);
    }
    pbr_http_reply_release(&reply);
    pbr_http_free(http);
    end_script();
    check_int(atomic_load(&world.live_allocs), 0);
    return rc;
}

static void test_call_gives_status_and_body(void **state)
{
    static const struct {
        struct script script;
        int status;
        const char *body;
    } rows[] = {
        { { .pieces = { "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"data\":1}\n" }, .stay = true }, 200, "{\"data\":1}\n" },
        { { .pieces = { "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", "cdef" }, .stay = true }, 200, "abcd" },
        { { .pieces = { "HTTP/1.1 403 Forbidden\r\n\r\nper", "mission" } }, 403, "permission" },
        { { .pieces = { "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n" }, .stay = true }, 204, "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status;
        char out[64];
        check_int(call(&rows[i].script, "GET", NULL, 100, &status, out), PBR_OK);
        check_int(status, rows[i].status);
        check_str(out, rows[i].body);
    }
}

static void test_call_sends_body_and_its_length(void **state)
{
    (void)state;
    const struct pbr_span body = pbr_span_str("{\"a\":1}");
    const struct script answer = { .pieces = { "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" } };
    int status;
    char out[64];
    check_int(call(&answer, "POST", &body, 100, &status, out), PBR_OK);
    check(strncmp(script.request, "POST /api2/json/version HTTP/1.1\r\n", 34) == 0);
    check(strstr(script.request, "\r\ncontent-length: 7\r\n"));
    check(strstr(script.request, "\r\ncontent-type: application/json\r\n"));
    check_str(strstr(script.request, "\r\n\r\n"), "\r\n\r\n{\"a\":1}");
    check_int(call(&answer, "DELETE", NULL, 100, &status, out), PBR_OK);
    check(!strstr(script.request, "content-length"));
}

static void test_answer_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    const struct script s = { .pieces = { "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n123456" } };
    int status;
    char out[64];
    check_int(call(&s, "GET", NULL, 6, &status, out), PBR_OK);
    check_int(call(&s, "GET", NULL, 5, &status, out), PBR_E_LIMIT);
}

static void test_call_without_an_answer_fails(void **state)
{
    (void)state;
    int status;
    char out[64];
    check_int(call(&(struct script){ .pieces = { NULL } }, "GET", NULL, 6, &status, out), PBR_E_PROTO);
    check_int(call(&(struct script){ .pieces = { "HTTP/1.1 200" }, .stay = true }, "GET", NULL, 6, &status, out),
              PBR_E_REMOTE);
}

static void test_upgrade_survives_failing_allocations(void **state)
{
    (void)state;
    for (long nth = 0; nth < 1000; nth++) {
        struct pbr_pipe pipe;
        script = (struct script){ .pieces = { SWITCH "x" } };
        struct pbr_http *http = open_http();
        atomic_store(&world.fail_at, nth);
        const int rc = pbr_http_upgrade(http, "/", "p", NULL, &pipe, NULL);
        const bool hit = atomic_load(&world.hit);
        atomic_store(&world.fail_at, -1);
        check_int(rc, hit ? PBR_E_NOMEM : PBR_OK);
        if (rc == PBR_OK)
            pipe.close(pipe.ctx);
        pbr_http_free(http);
        end_script();
        check_int(atomic_load(&world.live_allocs), 0);
        if (!hit)
            return;
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_asks_for_the_protocol),
        cmocka_unit_test(test_bytes_behind_the_head_are_not_lost),
        cmocka_unit_test(test_refusal_is_reported_with_its_text),
        cmocka_unit_test(test_what_is_no_answer_is_refused),
        cmocka_unit_test(test_head_without_end_is_a_limit),
        cmocka_unit_test(test_silence_ends_after_the_time_out),
        cmocka_unit_test(test_failed_connection_is_reported),
        cmocka_unit_test(test_call_gives_status_and_body),
        cmocka_unit_test(test_call_sends_body_and_its_length),
        cmocka_unit_test(test_answer_beyond_the_limit_is_refused),
        cmocka_unit_test(test_call_without_an_answer_fails),
        cmocka_unit_test(test_upgrade_survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
