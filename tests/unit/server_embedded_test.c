/* SPDX-License-Identifier: MIT */
/* covers: BKP-300 BKP-301 BKP-309 API-011 API-140 */
/* The server inside another program: its thread, connections handed over, options refused, and its
 * end. */
#include "server/server.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "sys/env.h"
#include "test.h"

struct host {
    struct pbr_env env;
    char dir[64];
    struct pbr_server *server;
    pthread_t thread;
    int rc;
};

static void *run(void *arg)
{
    struct host *h = arg;
    struct pbr_diag d = { 0 };
    h->rc = pbr_server_run(h->server, &d);
    return NULL;
}

static void make_store(struct host *h)
{
    const struct pbr_store_opts lazy = { .lazy = true };
    struct pbr_diag d = { 0 };

    h->env = pbr_sys_env(NULL, NULL);
    snprintf(h->dir, sizeof(h->dir), "/tmp/pbsref-server-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    if (pbr_store_init(&h->env, h->dir, &lazy, &d) < 0) {
        print_error("%s\n", d.text);
        fail();
    }
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_store(const struct host *h)
{
    check_int(nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void start(struct host *h)
{
    struct pbr_diag d = { 0 };

    memset(h, 0, sizeof(*h));
    make_store(h);
    const struct pbr_server_store store = { "local", h->dir };
    const struct pbr_server_opts opts = { .stores = &store, .store_nr = 1, .no_auth = true };
    check_int(pbr_server_new(&h->env, &opts, &h->server, &d), PBR_OK);
    check_int(pthread_create(&h->thread, NULL, run, h), 0);
}

static void stop(struct host *h)
{
    pbr_server_stop(h->server);
    check_int(pthread_join(h->thread, NULL), 0);
    check_int(h->rc, PBR_OK);
    pbr_server_free(h->server);
    remove_store(h);
}

static int dial(struct host *h)
{
    int fd[2];
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    check_int(pbr_server_adopt(h->server, fd[1], false), PBR_OK);
    return fd[0];
}

/* Sends, and reads until `want` has come; true if it has before the end. */
static bool talk(int fd, const char *request, const char *want)
{
    char got[8192];
    size_t len = 0;

    check_int(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while (len + 1 < sizeof(got)) {
        const ssize_t n = read(fd, got + len, sizeof(got) - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        got[len] = '\0';
        if (strstr(got, want))
            return true;
    }
    return false;
}

#define UPGRADE                                                                                    \
    "GET /api2/json/backup?backup-id=a&backup-time=1&backup-type=host&store=local HTTP/1.1\r\n"    \
    "upgrade: proxmox-backup-protocol-v1\r\n\r\n"

static void test_connections_handed_over_are_served_without_login(void **state)
{
    struct host h;
    int fd[4];
    (void)state;

    start(&h);
    for (int i = 0; i < 4; i++)
        fd[i] = dial(&h);
    for (int i = 0; i < 4; i++)
        check(talk(fd[i], "GET /api2/json/admin/datastore/local/groups HTTP/1.1\r\n\r\n",
                   "{\"data\":[]}"));
    check(talk(fd[0], UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"));
    check(talk(fd[1], UPGRADE, "HTTP/1.1 400 "));
    check(talk(fd[1], "GET /api2/json/version HTTP/1.1\r\n\r\n", "\"version\""));
    check_int(pbr_server_port(h.server), 0);
    check_str(pbr_server_fingerprint(h.server), "");
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    stop(&h);
}

static void test_stop_ends_open_sessions_and_removes_their_snapshots(void **state)
{
    struct host h;
    struct stat st;
    char path[200], rest[16];
    (void)state;

    start(&h);
    const int fd = dial(&h);
    check(talk(fd, UPGRADE, "101 Switching"));
    snprintf(path, sizeof(path), "%s/host/a/1970-01-01T00:00:01Z", h.dir);
    check_int(stat(path, &st), 0);
    pbr_server_stop(h.server);
    check_int(pthread_join(h.thread, NULL), 0);
    check_int(stat(path, &st), -1);
    while (read(fd, rest, sizeof(rest)) > 0)
        continue;
    close(fd);
    check_int(pthread_create(&h.thread, NULL, run, &h), 0); /* it can run again */
    const int again = dial(&h);
    check(talk(again, UPGRADE, "101 Switching"));
    close(again);
    stop(&h);
}

static void test_connection_left_in_the_queue_is_closed_with_the_server(void **state)
{
    struct host h = { .rc = 0 };
    char byte;
    (void)state;

    make_store(&h);
    const struct pbr_server_store store = { "local", h.dir };
    const struct pbr_server_opts opts = { .stores = &store, .store_nr = 1, .no_auth = true };
    check_int(pbr_server_new(&h.env, &opts, &h.server, NULL), PBR_OK);
    const int fd = dial(&h);
    pbr_server_free(h.server);
    check_int(read(fd, &byte, 1), 0);
    close(fd);
    remove_store(&h);
}

static void test_tls_needs_a_certificate(void **state)
{
    struct host h = { .rc = 0 };
    int fd[2];
    (void)state;

    make_store(&h);
    const struct pbr_server_store store = { "local", h.dir };
    const struct pbr_server_opts opts = { .stores = &store, .store_nr = 1 };
    check_int(pbr_server_new(&h.env, &opts, &h.server, NULL), PBR_OK);
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    check_int(pbr_server_adopt(h.server, fd[0], true), PBR_E_ARG);
    close(fd[0]); /* still ours */
    close(fd[1]);
    pbr_server_free(h.server);
    remove_store(&h);
}

static void test_bad_options_are_refused(void **state)
{
    static const char *const fault = "nonsense";
    static const struct pbr_server_cred token = { "root@pam", "s" }, user = { "root", "s" };
    struct host h = { .rc = 0 };
    (void)state;

    make_store(&h);
    const struct pbr_server_store good = { "local", h.dir }, short_name = { "ab", h.dir },
                                  none = { "local", "/proc/nonexistent" };
    const struct {
        struct pbr_server_opts opts;
        int rc;
    } cases[] = {
        { { .stores = &short_name, .store_nr = 1 }, PBR_E_ARG },
        { { .stores = &none, .store_nr = 1 }, PBR_E_NOENT },
        { { .stores = &good, .store_nr = 1, .faults = &fault, .fault_nr = 1 }, PBR_E_ARG },
        { { .stores = &good, .store_nr = 1, .tokens = &token, .token_nr = 1 }, PBR_E_ARG },
        { { .stores = &good, .store_nr = 1, .users = &user, .user_nr = 1 }, PBR_E_ARG },
        { { .stores = &good, .store_nr = 1, .tls_cert_file = "/x" }, PBR_E_ARG },
        { { .stores = &good, .store_nr = 1, .tls_cert_file = "/x", .tls_key_file = "/y" },
          PBR_E_CRYPTO },
        { { .stores = &good, .store_nr = 1, .listen = true, .listen_host = "localhost" },
          PBR_E_ARG },
        { { .stores = &good, .store_nr = 1, .journal_path = "/proc/nonexistent/j" }, PBR_E_NOENT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbr_server *s = NULL;
        struct pbr_diag d = { 0 };
        check_int(pbr_server_new(&h.env, &cases[i].opts, &s, &d), cases[i].rc);
        check(s == NULL);
        check(d.text[0] != '\0');
    }
    remove_store(&h);
}

static void test_listener_has_a_port_and_a_fingerprint(void **state)
{
    struct host h = { .rc = 0 };
    (void)state;

    make_store(&h);
    const struct pbr_server_store store = { "local", h.dir };
    const struct pbr_server_opts opts = { .stores = &store, .store_nr = 1, .listen = true };
    struct pbr_server *other = NULL;
    check_int(pbr_server_new(&h.env, &opts, &h.server, NULL), PBR_OK);
    check_int(pbr_server_new(&h.env, &opts, &other, NULL), PBR_OK);
    check(pbr_server_port(h.server) != 0 && pbr_server_port(h.server) != pbr_server_port(other));
    check_int(strlen(pbr_server_fingerprint(h.server)), 95);
    check(strcmp(pbr_server_fingerprint(h.server), pbr_server_fingerprint(other)) != 0);
    pbr_server_free(other);
    pbr_server_free(h.server);
    remove_store(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_handed_over_are_served_without_login),
        cmocka_unit_test(test_stop_ends_open_sessions_and_removes_their_snapshots),
        cmocka_unit_test(test_connection_left_in_the_queue_is_closed_with_the_server),
        cmocka_unit_test(test_tls_needs_a_certificate),
        cmocka_unit_test(test_bad_options_are_refused),
        cmocka_unit_test(test_listener_has_a_port_and_a_fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
