/* SPDX-License-Identifier: MIT */
/* dir: repositories: the mock server on a thread of this process, reached over socket pairs through the same protocol
 * code as any other server, without TLS and login. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "server/server.h"
#include "store/store.h"

struct pbr_embedded {
    const struct pbr_env *env;
    struct pbr_server *server;
    pthread_t thread;
    struct pbr_diag diag;
    int rc;
};

static void *run(void *ctx)
{
    struct pbr_embedded *e = ctx;
    e->rc = pbr_server_run(e->server, &e->diag);
    return NULL;
}

int pbr_embedded_prepare(struct pbr_cli *cli, const char *dir, struct pbr_diag *diag)
{
    char chunks[4200];
    (void)snprintf(chunks, sizeof(chunks), "%s/.chunks", dir);
    if (access(chunks, F_OK) == 0)
        return PBR_OK;
    pbr_log(&cli->env, PBR_LOG_INFO, "Making a datastore in %s", dir);
    return pbr_store_init(&cli->env, dir, NULL, diag);
}

int pbr_embedded_start(struct pbr_cli *cli, const char *dir, struct pbr_embedded **ret, struct pbr_diag *diag)
{
    const struct pbr_server_store store = { .name = "local", .path = dir };
    const struct pbr_server_opts opts = { .stores = &store, .store_nr = 1, .no_auth = true, .sync = true };
    struct pbr_embedded *e = pbr_alloc(&cli->env, 1, sizeof(*e));
    if (!e)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the embedded server");
    e->env = &cli->env;
    int rc = pbr_server_new(&cli->env, &opts, &e->server, diag);
    if (rc < 0) {
        pbr_free(&cli->env, e);
        return rc;
    }
    const int failed = pthread_create(&e->thread, NULL, run, e);
    if (failed) {
        pbr_server_free(e->server);
        pbr_free(&cli->env, e);
        return pbr_fail_os(diag, failed, "cannot start the embedded server");
    }
    *ret = e;
    return PBR_OK;
}

void pbr_embedded_stop(struct pbr_embedded *e)
{
    if (!e)
        return;
    pbr_server_stop(e->server);
    pthread_join(e->thread, NULL);
    pbr_server_free(e->server);
    pbr_free(e->env, e);
}

void pbr_embedded_interrupt(struct pbr_embedded *e)
{
    pbr_server_stop(e->server);
}

int pbr_embedded_dial(void *ctx)
{
    struct pbr_embedded *e = ctx;
    int ends[2];
    int size = 1 << 20; /* a chunk in a few steps */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return -1;
    for (int i = 0; i < 2; i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (pbr_server_adopt(e->server, ends[1], false) < 0) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        errno = ECONNREFUSED;
        return -1;
    }
    return ends[0];
}
