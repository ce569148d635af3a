/* SPDX-License-Identifier: MIT */
/* covers: BKP-050 BKP-051 BKP-052 */
/* The first bytes of both ends of an HTTP/2 connection are those that stand in spec/backup-protocol.md. */
#include "spec_example.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/h2_client.h"
#include "net/h2_server.h"
#include "net/tls_server.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* One end as a pipe for the code under test, the other as a descriptor for the test. */
static int connect_pipe(const struct pbr_env *env, struct pbr_pipe *ret)
{
    int fds[2];
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    check_int(pbr_pipe_socket(env, fds[0], ret, NULL), PBR_OK);
    return fds[1];
}

static void check_bytes(int fd, struct pbr_span want)
{
    uint8_t got[256];
    check(want.len <= sizeof(got));
    check_int(recv(fd, got, want.len, MSG_WAITALL), (long)want.len);
    check_span(pbr_span(got, want.len), want);
}

static void test_client_begins_with_the_bytes_of_the_sheet(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_pipe pipe;
    struct pbr_h2_client *client = NULL;
    struct pbr_span want = example_load("backup-protocol.md", "h2-client-settings");
    const int fd = connect_pipe(&env, &pipe);

    check_int(pbr_h2_client_new(&env, &pipe, &client, NULL), PBR_OK);
    check_int(pbr_h2_client_step(client, -1, 0, NULL), PBR_OK);
    check_bytes(fd, pbr_span_str(PREFACE));
    check_bytes(fd, want);

    pbr_h2_client_free(client);
    close(fd);
    test_unload(want);
    check_int(w.live_allocs, 0);
}

static int refuse_begin(void *ctx, struct pbr_h2_stream *st)
{
    (void)ctx;
    (void)st;
    return PBR_E_PROTO;
}

static int refuse_data(void *ctx, struct pbr_h2_stream *st, struct pbr_span piece)
{
    (void)piece;
    return refuse_begin(ctx, st);
}

static void ignore_closed(void *ctx, struct pbr_h2_stream *st)
{
    (void)ctx;
    (void)st;
}

static void test_server_begins_with_the_bytes_of_the_sheet(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    const struct pbr_h2_server_ops ops = {
        .begin = refuse_begin, .data = refuse_data, .end = refuse_begin, .closed = ignore_closed
    };
    const struct pbr_h2_server_opts opts = { 0 };
    struct pbr_pipe pipe;
    struct pbr_h2_server *server = NULL;
    struct pbr_span want = example_load("backup-protocol.md", "h2-server-settings");
    const int fd = connect_pipe(&env, &pipe);
    unsigned next = 0;

    check_int(pbr_h2_server_new(&env, &pipe, &ops, &opts, &server, NULL), PBR_OK);
    check_int(pbr_h2_server_step(server, &next, NULL), PBR_OK);
    check_bytes(fd, want);

    pbr_h2_server_free(server);
    close(fd);
    test_unload(want);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_begins_with_the_bytes_of_the_sheet),
        cmocka_unit_test(test_server_begins_with_the_bytes_of_the_sheet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
