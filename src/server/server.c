/* SPDX-License-Identifier: MIT */
/* The mock server's life: options, listener, poll loop; see server.h.
 *
 * Other threads speak to the loop through a pipe: one `struct message` a write, which is atomic.
 * Thread: see server.h. */
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server_int.h"
#include "sys/fd.h"

enum { CONNS_MAX = 1000, FDS_BEFORE_CONNS = 2 };

struct message {
    int fd; /* -1: stop */
    int tls;
};

/* ---- clock ---- */

uint64_t pbr_srv_now_ns(const struct pbr_server *s)
{
    return s->env.mono_ns(s->env.ctx);
}

int64_t pbr_srv_now_s(const struct pbr_server *s)
{
    return s->env.now_s(s->env.ctx);
}

static void *outer_realloc(void *ctx, void *p, size_t size)
{
    const struct pbr_server *s = ctx;
    return s->outer->realloc(s->outer->ctx, p, size);
}

static void outer_free(void *ctx, void *p)
{
    const struct pbr_server *s = ctx;
    s->outer->free(s->outer->ctx, p);
}

static int64_t fixed_now_s(void *ctx)
{
    const struct pbr_server *s = ctx;
    return s->fixed_now_s;
}

static uint64_t outer_mono_ns(void *ctx)
{
    const struct pbr_server *s = ctx;
    return s->outer->mono_ns(s->outer->ctx);
}

static int outer_random(void *ctx, uint8_t *out, size_t len)
{
    const struct pbr_server *s = ctx;
    return s->outer->random(s->outer->ctx, out, len);
}

static void outer_log(void *ctx, enum pbr_log_level level, const char *line)
{
    const struct pbr_server *s = ctx;
    s->outer->log(s->outer->ctx, level, line);
}

/* The given env, or one whose clock stands still. */
static void wire_env(struct pbr_server *s, const struct pbr_env *env, int64_t now_s)
{
    s->outer = env;
    s->env = *env;
    if (now_s == 0)
        return;
    s->fixed_now_s = now_s;
    s->env = (struct pbr_env){ .ctx = s,
                               .realloc = outer_realloc,
                               .free = outer_free,
                               .now_s = fixed_now_s,
                               .mono_ns = outer_mono_ns,
                               .random = outer_random,
                               .log = outer_log };
}

/* ---- start ---- */

static int open_stores(struct pbr_server *s, const struct pbr_server_opts *opts,
                       struct pbr_diag *diag)
{
    s->stores = pbr_alloc(&s->env, opts->store_nr ? opts->store_nr : 1, sizeof(*s->stores));
    if (!s->stores)
        return PBR_E_NOMEM;
    for (size_t i = 0; i < opts->store_nr; i++) {
        const char *name = opts->stores[i].name;
        const struct pbr_store_opts o = { .name = name,
                                          .sync = opts->sync ? PBR_STORE_SYNC_FILESYSTEM
                                                             : PBR_STORE_SYNC_NONE,
                                          .fault = &s->store_fault };
        if (!pbr_store_name_ok(pbr_span_str(name)))
            return pbr_fail_at(diag, PBR_E_ARG, "BKP-015",
                               "'%s' is no datastore name (3 to 32 characters)", name);
        const int rc = pbr_store_open(&s->env, opts->stores[i].path, &o, &s->stores[i].store, diag);
        if (rc < 0)
            return rc;
        memcpy(s->stores[i].name, name, strlen(name) + 1);
        s->store_nr++;
    }
    return PBR_OK;
}

static int parse_faults(struct pbr_server *s, const struct pbr_server_opts *opts,
                        struct pbr_diag *diag)
{
    const size_t nr = opts->fault_nr ? opts->fault_nr : 1;

    s->faults = pbr_alloc(&s->env, nr, sizeof(*s->faults));
    s->fault_text = pbr_alloc(&s->env, nr, sizeof(*s->fault_text));
    if (!s->faults || !s->fault_text)
        return PBR_E_NOMEM;
    for (size_t i = 0; i < opts->fault_nr; i++) {
        const int rc = pbr_fault_spec_parse(&s->faults[i], pbr_span_str(opts->faults[i]), diag);
        if (rc < 0)
            return rc;
        s->fault_text[i] = pbr_strdup(&s->env, opts->faults[i]);
        if (!s->fault_text[i])
            return PBR_E_NOMEM;
        s->fault_nr++;
    }
    return PBR_OK;
}

static int open_outside(struct pbr_server *s, const struct pbr_server_opts *opts,
                        struct pbr_diag *diag)
{
    int rc = PBR_OK;

    if (pipe2(s->wake, O_CLOEXEC | O_NONBLOCK) < 0)
        return pbr_fail_os(diag, errno, "pipe");
    if (opts->journal_path) {
        s->journal_fd =
            pbr_openat(AT_FDCWD, opts->journal_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
        if (s->journal_fd < 0)
            return pbr_fail_os(diag, errno, "%s", opts->journal_path);
    }
    if (opts->listen || opts->tls_cert_file)
        rc = pbr_tls_server_new(&s->env, opts->tls_cert_file, opts->tls_key_file, &s->tls, diag);
    if (rc == PBR_OK && opts->listen)
        rc = pbr_listen(opts->listen_host ? opts->listen_host : "127.0.0.1", opts->listen_port,
                        &s->listen_fd, &s->port, diag);
    return rc;
}

int pbr_server_new(const struct pbr_env *env, const struct pbr_server_opts *opts,
                   struct pbr_server **ret, struct pbr_diag *diag)
{
    struct pbr_server *s = pbr_alloc(env, 1, sizeof(*s));
    int rc = PBR_E_NOMEM;

    if (!s)
        goto out;
    wire_env(s, env, opts->now_s);
    s->journal_fd = s->listen_fd = s->wake[0] = s->wake[1] = -1;
    s->store_fault.nth = -1;
    s->no_auth = opts->no_auth;
    s->auth_delay_ms = opts->auth_delay_ms;
    if (!opts->tls_cert_file != !opts->tls_key_file) {
        rc = pbr_fail_at(diag, PBR_E_ARG, NULL, "certificate and key go together");
        goto out;
    }
    rc = pbr_srv_auth_new(s, opts, diag);
    if (rc == PBR_OK)
        rc = pbr_srv_tasks_new(s);
    if (rc == PBR_OK)
        rc = parse_faults(s, opts, diag);
    if (rc == PBR_OK)
        rc = open_stores(s, opts, diag);
    if (rc == PBR_OK)
        rc = open_outside(s, opts, diag);
    if (rc < 0)
        goto out;
    *ret = s;
    s = NULL;
out:
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "cannot start the server");
    pbr_server_free(s);
    return rc;
}

static void end_connections(struct pbr_server *s)
{
    while (s->conns)
        pbr_srv_conn_free(s->conns);
}

/* A peer that is gone must not end the process: writing to it fails instead. */
static void block_sigpipe(sigset_t *ret_old)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, ret_old);
}

/* Takes a SIGPIPE that came meanwhile out of the way, then restores the mask. */
static void restore_sigpipe(const sigset_t *old)
{
    const struct timespec now = { 0 };
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    while (!sigismember(old, SIGPIPE) && sigtimedwait(&set, NULL, &now) > 0)
        continue;
    (void)pthread_sigmask(SIG_SETMASK, old, NULL);
}

static void drop_messages(struct pbr_server *s)
{
    struct message m;
    while (s->wake[0] >= 0 && read(s->wake[0], &m, sizeof(m)) == (ssize_t)sizeof(m))
        pbr_close(&m.fd);
}

void pbr_server_free(struct pbr_server *s)
{
    sigset_t old;

    if (!s)
        return;
    block_sigpipe(&old);
    end_connections(s);
    restore_sigpipe(&old);
    drop_messages(s);
    for (size_t i = 0; s->stores && i < s->store_nr; i++)
        pbr_store_close(s->stores[i].store);
    pbr_free(&s->env, s->stores);
    for (size_t i = 0; s->fault_text && i < s->fault_nr; i++)
        pbr_free(&s->env, s->fault_text[i]);
    pbr_free(&s->env, s->fault_text);
    pbr_free(&s->env, s->faults);
    pbr_srv_auth_free(s->auth);
    pbr_srv_tasks_free(s);
    pbr_tls_server_free(s->tls);
    pbr_close(&s->listen_fd);
    pbr_close(&s->journal_fd);
    pbr_close(&s->wake[0]);
    pbr_close(&s->wake[1]);
    pbr_free(s->outer, s);
}

uint16_t pbr_server_port(const struct pbr_server *s)
{
    return s->port;
}

const char *pbr_server_fingerprint(const struct pbr_server *s)
{
    return s->tls ? pbr_tls_server_fingerprint(s->tls) : "";
}

/* ---- messages ---- */

void pbr_server_stop(struct pbr_server *s)
{
    const struct message m = { .fd = -1 };
    const int e = errno;
    while (write(s->wake[1], &m, sizeof(m)) < 0 && errno == EINTR)
        continue;
    errno = e;
}

int pbr_server_adopt(struct pbr_server *s, int fd, bool tls)
{
    const struct message m = { .fd = fd, .tls = tls };

    if (tls && !s->tls)
        return PBR_E_ARG;
    while (write(s->wake[1], &m, sizeof(m)) < 0)
        if (errno != EINTR)
            return PBR_E_IO;
    return PBR_OK;
}

/* False: stop. */
static bool take_messages(struct pbr_server *s)
{
    struct message m;

    while (read(s->wake[0], &m, sizeof(m)) == (ssize_t)sizeof(m)) {
        if (m.fd < 0)
            return false;
        if (s->conn_nr >= CONNS_MAX || pbr_srv_conn_new(s, m.fd, m.tls != 0, NULL) < 0)
            pbr_close(&m.fd);
    }
    return true;
}

static void take_connections(struct pbr_server *s)
{
    while (s->conn_nr < CONNS_MAX) {
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        if (pbr_srv_conn_new(s, fd, true, NULL) < 0)
            pbr_close(&fd);
    }
}

/* ---- the loop ---- */

/* Waits for a while no longer than until the next timer. */
static int poll_timeout(const struct pbr_server *s)
{
    uint64_t due = 0;

    for (const struct pbr_srv_conn *c = s->conns; c; c = c->next) {
        const uint64_t d = pbr_srv_conn_due(c);
        if (c->state == PBR_CONN_DEAD || (c->want & PBR_H2_AGAIN))
            return 0;
        if (d && (!due || d < due))
            due = d;
    }
    if (!due)
        return -1;
    const uint64_t now = pbr_srv_now_ns(s);
    return due <= now ? 0 : (int)((due - now) / 1000000 % 3600000) + 1;
}

static size_t fill_fds(const struct pbr_server *s, struct pollfd *fds)
{
    size_t nr = FDS_BEFORE_CONNS;

    fds[0] = (struct pollfd){ .fd = s->wake[0], .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = s->conn_nr < CONNS_MAX ? s->listen_fd : -1, .events = POLLIN };
    for (const struct pbr_srv_conn *c = s->conns; c; c = c->next) {
        short events = 0;
        if (c->want & PBR_PIPE_READ)
            events |= POLLIN;
        if (c->want & PBR_PIPE_WRITE)
            events |= POLLOUT;
        fds[nr++] = (struct pollfd){ .fd = c->fd, .events = events ? events : POLLRDHUP };
    }
    return nr;
}

/* The peer is gone while an answer waits for its time or for ever. */
static bool hung_up(const struct pbr_srv_conn *c, short events)
{
    return !(c->want & (PBR_PIPE_READ | PBR_PIPE_WRITE)) &&
           (events & (POLLHUP | POLLERR | POLLRDHUP));
}

static void step_connections(struct pbr_server *s, const struct pollfd *fds, size_t nr)
{
    size_t i = FDS_BEFORE_CONNS;

    /* New connections are put in front: the first `skip` of the list have no entry in fds. */
    size_t skip = s->conn_nr - (nr - FDS_BEFORE_CONNS);
    struct pbr_srv_conn *next;
    for (struct pbr_srv_conn *c = s->conns; c; c = next) {
        next = c->next;
        const uint64_t due = pbr_srv_conn_due(c);
        const bool is_new = skip > 0;
        const short events = is_new ? 0 : fds[i].revents;
        if (is_new)
            skip--;
        else
            i++;
        if (hung_up(c, events))
            pbr_srv_conn_kill(c, false);
        if (is_new || events || (c->want & PBR_H2_AGAIN) || (due && due <= pbr_srv_now_ns(s)))
            pbr_srv_conn_step(c);
        if (c->state == PBR_CONN_DEAD)
            pbr_srv_conn_free(c);
    }
}

static int loop(struct pbr_server *s, struct pollfd *fds, struct pbr_diag *diag)
{
    for (;;) {
        const size_t nr = fill_fds(s, fds);
        if (poll(fds, (nfds_t)nr, poll_timeout(s)) < 0) {
            if (errno == EINTR)
                continue;
            return pbr_fail_os(diag, errno, "poll");
        }
        if ((fds[0].revents & POLLIN) && !take_messages(s))
            return PBR_OK;
        if (fds[1].revents & POLLIN)
            take_connections(s);
        step_connections(s, fds, nr);
    }
}

int pbr_server_run(struct pbr_server *s, struct pbr_diag *diag)
{
    struct pollfd *fds = pbr_alloc(&s->env, CONNS_MAX + FDS_BEFORE_CONNS, sizeof(*fds));
    sigset_t old;

    if (!fds)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for the server");
    block_sigpipe(&old);
    const int rc = loop(s, fds, diag);
    end_connections(s);
    restore_sigpipe(&old);
    pbr_free(&s->env, fds);
    return rc;
}
