/* SPDX-License-Identifier: MIT */
/* Repository, secrets and caches from options, environment and files [API-030 .. API-047, CLI-045]; see cli.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/cli.h"
#include "cli/cache.h"
#include "cli/secret.h"
#include "client/human.h"
#include "format/name.h"
#include "sys/fd.h"

const struct pbr_opt pbr_opts_repository[] = {
    { .name = "repository", .type = PBR_OPT_TEXT, .value = "REPO",
      .help = "[[auth-id@]server[:port]:]datastore, or dir:PATH for a datastore directory of this machine "
              "(default: PBS_REPOSITORY)" },
    { .name = "server", .type = PBR_OPT_TEXT, .value = "HOST", .help = "server, instead of --repository" },
    { .name = "port", .type = PBR_OPT_NUMBER, .value = "PORT", .help = "port of the server (default 8007)", .min = 1, .max = 65535 },
    { .name = "datastore", .type = PBR_OPT_TEXT, .value = "NAME", .help = "datastore, instead of --repository" },
    { .name = "auth-id", .type = PBR_OPT_TEXT, .value = "ID", .help = "user or API token, instead of --repository" },
    { 0 },
};

const struct pbr_opt pbr_opts_namespace[] = {
    { .name = "ns", .type = PBR_OPT_TEXT, .value = "NS", .help = "namespace (default: PBS_NAMESPACE, else the root)" },
    { 0 },
};

const struct pbr_opt pbr_opts_key[] = {
    { .name = "keyfile", .type = PBR_OPT_TEXT, .value = "PATH", .help = "key file, to read encrypted or signed snapshots" },
    { .name = "keyfd", .type = PBR_OPT_NUMBER, .value = "FD", .help = "the same from an open file descriptor", .max = 1 << 20 },
    { 0 },
};

const struct pbr_opt pbr_opts_output[] = {
    { .name = "output-format", .type = PBR_OPT_CHOICE, .value = "FORMAT", .help = "text, json or json-pretty (default text)",
      .choices = (const char *const[]){ "text", "json", "json-pretty", NULL } },
    { 0 },
};

const struct pbr_opt pbr_opts_rate[] = {
    { .name = "rate", .type = PBR_OPT_TEXT, .value = "SIZE", .help = "limit in bytes a second, e.g. 10M or 512KiB" },
    { .name = "burst", .type = PBR_OPT_TEXT, .value = "SIZE", .help = "bytes that may pass at once (default: the rate)" },
    { 0 },
};

/* ---- repository ---- */

static const char *text_or(const char *first, const char *second)
{
    return first ? first : second ? second : "";
}

static int repository_from_parts(const struct pbr_args *args, struct pbr_repo *ret, struct pbr_diag *diag)
{
    uint64_t port = pbr_args_number(args, "port", 0);
    const char *env_port = getenv("PBS_PORT");
    if (port == 0 && env_port && !pbr_parse_u64(pbr_span_str(env_port), 1, 65535, &port))
        port = 0; /* malformed is ignored (API-031) */
    const char *env_auth = getenv("PBS_AUTH_ID");
    if (env_auth && !pbr_repo_is_auth_id(pbr_span_str(env_auth)))
        env_auth = NULL;
    return pbr_repo_from_parts(text_or(pbr_args_text(args, "auth-id"), env_auth),
                               text_or(pbr_args_text(args, "server"), getenv("PBS_SERVER")), (uint16_t)port,
                               text_or(pbr_args_text(args, "datastore"), getenv("PBS_DATASTORE")), ret, diag);
}

int pbr_repository(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_repo *ret, struct pbr_diag *diag)
{
    struct pbr_secret text = { 0 };
    struct pbr_diag ignored = { 0 };
    const char *whole = pbr_args_text(args, "repository");
    const bool parts = pbr_args_has(args, "server") || pbr_args_has(args, "port") || pbr_args_has(args, "datastore") ||
                       pbr_args_has(args, "auth-id");
    if (whole && parts)
        return pbr_fail_at(diag, PBR_E_ARG, "API-030",
                           "--repository and --server/--port/--datastore/--auth-id are mutually exclusive");
    if (whole)
        return pbr_repo_parse(pbr_span_str(whole), ret, diag);
    if (parts)
        return repository_from_parts(args, ret, diag);
    if (pbr_secret_from_env(cli, "PBS_REPOSITORY", "proxmox-backup-client.repository", &text, &ignored) < 0)
        pbr_print_error(cli, &ignored); /* logged and treated as unset (API-042) */
    if (text.ptr) {
        const int rc = pbr_repo_parse(pbr_span(text.ptr, text.len), ret, diag);
        pbr_secret_release(&text);
        return rc;
    }
    if (getenv("PBS_DATASTORE"))
        return repository_from_parts(args, ret, diag);
    return pbr_fail_at(diag, PBR_E_ARG, "API-030",
                       "unable to get (default) repository: give --repository or set PBS_REPOSITORY");
}

int pbr_namespace(const struct pbr_args *args, const char **ret, struct pbr_diag *diag)
{
    const char *ns = pbr_args_text(args, "ns");
    if (!ns)
        ns = getenv("PBS_NAMESPACE");
    if (!ns)
        ns = "";
    const int rc = pbr_ns_check(pbr_span_str(ns), diag);
    if (rc == PBR_OK)
        *ret = ns;
    return rc;
}

/* ---- password ---- */

static int ask_password(struct pbr_cli *cli, const char *user, struct pbr_secret *ret, struct pbr_diag *diag)
{
    char question[PBR_ID_MAX + 32];
    if (!pbr_can_ask())
        return pbr_fail_at(diag, PBR_E_ARG, "API-080",
                           "no password input mechanism available (set PBS_PASSWORD, PBS_PASSWORD_FILE, PBS_PASSWORD_FD "
                           "or PBS_PASSWORD_CMD)");
    (void)snprintf(question, sizeof(question), "Password for \"%s\": ", user);
    return pbr_ask_secret(cli, question, ret, diag);
}

struct connection {
    struct pbr_cli *cli;
    struct pbr_repo repo;
    bool explicit_fingerprint;
};

static struct connection the_connection; /* one repository per process */

static int get_secret(void *ctx, struct pbr_secret *ret, struct pbr_diag *diag)
{
    struct connection *c = ctx;
    int rc = pbr_secret_from_env(c->cli, "PBS_PASSWORD", "proxmox-backup-client.password", ret, diag);
    if (rc < 0 || ret->ptr)
        return rc;
    if (pbr_repo_is_token(&c->repo))
        return pbr_fail_at(diag, PBR_E_ARG, "API-079", "API token secret must be provided! (set PBS_PASSWORD)");
    if (pbr_cache_ticket(&c->cli->env, pbr_repo_host(&c->repo), pbr_repo_auth_id(&c->repo), ret))
        return PBR_OK;
    return ask_password(c->cli, pbr_repo_auth_id(&c->repo), ret, diag);
}

/* ---- certificate ---- */

static bool confirm_certificate(void *ctx, const char *fingerprint, bool mismatch)
{
    struct connection *c = ctx;
    char answer[16];
    (void)c;
    (void)mismatch;
    if (!isatty(0))
        return false;
    (void)fprintf(stderr, "fingerprint: %s\n", fingerprint);
    for (;;) {
        (void)fprintf(stderr, "Are you sure you want to continue connecting? (y/n): ");
        if (!fgets(answer, sizeof(answer), stdin) || answer[0] == 'n' || answer[0] == 'N')
            return false;
        if (answer[0] == 'y' || answer[0] == 'Y')
            return true;
    }
}

/* ---- connecting ---- */

/* API-016: only http, which is also what a proxy without scheme speaks. */
static int take_proxy(struct pbr_cli *cli, struct pbr_client_opts *opts, struct pbr_diag *diag)
{
    opts->proxy = getenv("ALL_PROXY");
    if (!opts->proxy)
        return PBR_OK;
    const char *mark = strstr(opts->proxy, "://");
    if (mark && strncmp(opts->proxy, "http:", 5) != 0)
        return pbr_fail_at(diag, PBR_E_ARG, "API-016", "unsupported proxy scheme '%.*s'", (int)(mark - opts->proxy), opts->proxy);
    pbr_log(&cli->env, PBR_LOG_INFO, "Using proxy connection: %s:%u", pbr_repo_host(&opts->repo), pbr_repo_port(&opts->repo));
    return PBR_OK;
}

static int connect_remote(struct pbr_cli *cli, struct pbr_client_opts *opts, struct pbr_client **ret,
                          struct pbr_diag *diag)
{
    struct pbr_secret pinned = { 0 };
    struct pbr_diag ignored = { 0 };
    char cached[96] = "";
    if (pbr_secret_from_env(cli, "PBS_FINGERPRINT", "proxmox-backup-client.fingerprint", &pinned, &ignored) < 0)
        pbr_print_error(cli, &ignored);
    the_connection.explicit_fingerprint = pinned.len > 0;
    if (pinned.len > 0)
        opts->fingerprint = (const char *)pinned.ptr;
    else if (pbr_cache_fingerprint(&cli->env, pbr_repo_host(&opts->repo), cached))
        opts->fingerprint = cached;
    int rc = take_proxy(cli, opts, diag);
    opts->secret = get_secret;
    opts->secret_ctx = &the_connection;
    opts->confirm = confirm_certificate;
    opts->confirm_ctx = &the_connection;
    if (rc == PBR_OK)
        rc = pbr_client_new(&cli->env, opts, ret, diag);
    pbr_secret_release(&pinned);
    return rc;
}

static int take_size(const struct pbr_args *args, const char *option, uint64_t *ret, struct pbr_diag *diag)
{
    const char *text = pbr_args_text(args, option);
    if (text && !pbr_human_parse_size(pbr_span_str(text), ret))
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-017", "--%s: '%s' is not a size (e.g. 10M, 512KiB)", option, text);
    return PBR_OK;
}

int pbr_cli_connect(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_client **ret, struct pbr_diag *diag)
{
    struct pbr_client_opts opts = { 0 };
    int rc = pbr_repository(cli, args, &opts.repo, diag);
    if (rc == PBR_OK && pbr_args_knows(args, "rate")) {
        rc = take_size(args, "rate", &opts.rate, diag);
        if (rc == PBR_OK)
            rc = take_size(args, "burst", &opts.burst, diag);
    }
    if (rc < 0)
        return rc;
    the_connection = (struct connection){ .cli = cli, .repo = opts.repo };
    if (!opts.repo.dir[0])
        return connect_remote(cli, &opts, ret, diag);
    rc = pbr_embedded_start(cli, opts.repo.dir, &cli->embedded, diag);
    if (rc < 0)
        return rc;
    opts.dial = pbr_embedded_dial;
    opts.dial_ctx = cli->embedded;
    rc = pbr_client_new(&cli->env, &opts, ret, diag);
    if (rc < 0) {
        pbr_embedded_stop(cli->embedded);
        cli->embedded = NULL;
    }
    return rc;
}

void pbr_cli_disconnect(struct pbr_cli *cli, struct pbr_client *c)
{
    if (c && !cli->embedded) {
        const struct pbr_secret *ticket = pbr_client_ticket(c);
        const char *fingerprint = pbr_client_fingerprint(c);
        const char *host = pbr_repo_host(pbr_client_repo(c));
        if (ticket)
            pbr_cache_store_ticket(&cli->env, host, pbr_repo_auth_id(pbr_client_repo(c)), ticket, pbr_client_csrf(c));
        if (fingerprint[0] && ticket && !the_connection.explicit_fingerprint)
            pbr_cache_store_fingerprint(&cli->env, host, fingerprint);
    }
    pbr_client_free(c);
    pbr_embedded_stop(cli->embedded);
    cli->embedded = NULL;
}

int pbr_ticket_forget(struct pbr_cli *cli, const struct pbr_repo *repo, struct pbr_diag *diag)
{
    (void)diag;
    if (!pbr_cache_store_ticket(&cli->env, pbr_repo_host(repo), pbr_repo_auth_id(repo), NULL, NULL))
        pbr_log(&cli->env, PBR_LOG_WARN, "no ticket found for %s on server %s", pbr_repo_auth_id(repo), pbr_repo_host(repo));
    return PBR_OK;
}
