/* SPDX-License-Identifier: MIT */
/* pbsref serve: the mock server in the foreground. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "format/name.h"
#include "server/server.h"
#include "sys/fd.h"

const struct pbr_opt pbr_opts_serve[] = {
    { .name = "store", .type = PBR_OPT_TEXT, .value = "DIR", .help = "datastore directory; made if missing" },
    { .name = "datastore", .type = PBR_OPT_TEXT, .value = "NAME", .help = "its name for clients (default: last part of DIR)" },
    { .name = "listen", .type = PBR_OPT_TEXT, .value = "ADDR:PORT", .help = "numeric address and port (default 127.0.0.1:0 = any free port)" },
    { .name = "allow-remote", .type = PBR_OPT_BOOL, .help = "allow other than loopback addresses" },
    { .name = "ready-fd", .type = PBR_OPT_NUMBER, .value = "FD", .help = "write the ready line there (default: standard output)", .max = 1 << 20 },
    { .name = "ready-file", .type = PBR_OPT_TEXT, .value = "FILE", .help = "write the ready line to FILE, atomically" },
    { .name = "tls-cert", .type = PBR_OPT_TEXT, .value = "FILE", .help = "PEM certificate (default: a self-signed one made at start)" },
    { .name = "tls-key", .type = PBR_OPT_TEXT, .value = "FILE", .help = "PEM key" },
    { .name = "user", .type = PBR_OPT_LIST, .value = "NAME@REALM:PASSWORD", .help = "a user; may be repeated" },
    { .name = "token", .type = PBR_OPT_LIST, .value = "USER!NAME:SECRET", .help = "an API token; may be repeated" },
    { .name = "journal", .type = PBR_OPT_TEXT, .value = "FILE", .help = "one JSON object a line for everything that happens" },
    { .name = "fault", .type = PBR_OPT_LIST, .value = "WHERE#N:WHAT", .help = "misbehave at the N-th match; may be repeated" },
    { .name = "now", .type = PBR_OPT_NUMBER, .value = "EPOCH", .help = "fixed clock" },
    { .name = "auth-delay", .type = PBR_OPT_NUMBER, .value = "MS", .help = "delay of refused logins (default 0; the original has 3000)" },
    { .name = "no-sync", .type = PBR_OPT_BOOL, .help = "do not wait for the disk when a backup finishes" },
    { 0 },
};

static struct pbr_server *serving; /* for the signal handler */

static void on_signal(int signo)
{
    (void)signo;
    pbr_server_stop(serving);
}

/* "ADDR:PORT", "[::1]:PORT". */
static int take_listen(const struct pbr_args *args, char host[64], uint16_t *ret_port, struct pbr_diag *diag)
{
    const char *text = pbr_args_text(args, "listen");
    uint64_t port = 0;
    if (!text)
        text = "127.0.0.1:0";
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    const bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (!colon || len == 0 || len >= 64 || !pbr_parse_u64(pbr_span_str(colon + 1), 0, 65535, &port))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "--listen wants ADDR:PORT, not '%s'", text);
    (void)snprintf(host, 64, "%.*s", (int)(brackets ? len - 2 : len), brackets ? text + 1 : text);
    *ret_port = (uint16_t)port;
    if (strncmp(host, "127.", 4) != 0 && strcmp(host, "::1") != 0 && !pbr_args_bool(args, "allow-remote"))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "%s is not a loopback address: this is a test server; say --allow-remote to serve others",
                           host);
    return PBR_OK;
}

/* "ID:SECRET" texts, split at the first colon behind the realm (names have none, API-020). */
static int take_creds(struct pbr_cli *cli, const struct pbr_args *args, const char *option, struct pbr_server_cred **ret,
                      size_t *ret_nr, struct pbr_diag *diag)
{
    const char *const *texts;
    const size_t n = pbr_args_list(args, option, &texts);
    struct pbr_server_cred *creds = pbr_alloc(&cli->env, n + 1, sizeof(*creds));
    if (!creds)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for users");
    *ret = creds;
    for (size_t i = 0; i < n; i++) {
        const char *colon = strchr(texts[i], ':');
        char *id = colon ? pbr_strndup(&cli->env, pbr_span(texts[i], (size_t)(colon - texts[i]))) : NULL;
        if (!id)
            return pbr_fail_at(diag, PBR_E_ARG, NULL, "--%s wants ID:SECRET", option);
        creds[i] = (struct pbr_server_cred){ .id = id, .secret = colon + 1 };
        *ret_nr = i + 1;
    }
    return PBR_OK;
}

static void free_creds(struct pbr_cli *cli, struct pbr_server_cred *creds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pbr_free(&cli->env, (void *)(uintptr_t)creds[i].id);
    pbr_free(&cli->env, creds);
}

static int write_ready(struct pbr_cli *cli, const struct pbr_args *args, const char *name, struct pbr_diag *diag)
{
    char line[512];
    struct pbr_publish out;
    const char *file = pbr_args_text(args, "ready-file");
    const int n = snprintf(line, sizeof(line), "{\"datastore\":\"%s\",\"fingerprint\":\"%s\",\"pid\":%ld,\"port\":%u}\n", name,
                           pbr_server_fingerprint(serving), (long)getpid(), pbr_server_port(serving));
    const struct pbr_span text = pbr_span(line, (size_t)n);
    if (!file)
        return pbr_write_all((int)pbr_args_number(args, "ready-fd", 1), text, "ready line", diag);
    int rc = pbr_publish_open(&out, &cli->env, AT_FDCWD, file, 0644, diag);
    if (rc == PBR_OK)
        rc = pbr_write_all(out.fd, text, file, diag);
    if (rc == PBR_OK)
        rc = pbr_publish_commit(&out, true, diag);
    pbr_publish_abort(&out);
    return rc;
}

static int serve(struct pbr_cli *cli, const struct pbr_args *args, const struct pbr_server_opts *opts,
                 struct pbr_diag *diag)
{
    const struct sigaction stop = { .sa_handler = on_signal };
    int rc = pbr_server_new(&cli->env, opts, &serving, diag);
    if (rc < 0)
        return rc;
    (void)sigaction(SIGINT, &stop, NULL);
    (void)sigaction(SIGTERM, &stop, NULL);
    rc = write_ready(cli, args, opts->stores[0].name, diag);
    if (rc == PBR_OK)
        rc = pbr_server_run(serving, diag);
    pbr_server_free(serving);
    serving = NULL;
    return rc;
}

static const char *store_name(const struct pbr_args *args, const char *dir, char out[64])
{
    const char *name = pbr_args_text(args, "datastore");
    if (name)
        return name;
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    size_t from = len;
    while (from > 0 && dir[from - 1] != '/')
        from--;
    (void)snprintf(out, 64, "%.*s", (int)(len - from), dir + from);
    return strlen(out) >= 3 && pbr_name_is_safe_id(pbr_span_str(out)) ? out : "store";
}

int pbr_cmd_serve(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    char host[64], name[64];
    const char *const *faults;
    struct pbr_server_cred *users = NULL, *tokens = NULL;
    const char *dir = pbr_args_text(args, "store");
    struct pbr_server_opts opts = { .store_nr = 1, .listen = true, .listen_host = host };
    if (!dir)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "--store is missing: which datastore directory?");
    const struct pbr_server_store store = { .name = store_name(args, dir, name), .path = dir };
    opts.stores = &store;
    opts.tls_cert_file = pbr_args_text(args, "tls-cert");
    opts.tls_key_file = pbr_args_text(args, "tls-key");
    opts.journal_path = pbr_args_text(args, "journal");
    opts.fault_nr = pbr_args_list(args, "fault", &faults);
    opts.faults = faults;
    opts.now_s = (int64_t)pbr_args_number(args, "now", 0);
    opts.auth_delay_ms = (unsigned)pbr_args_number(args, "auth-delay", 0);
    opts.sync = !pbr_args_bool(args, "no-sync");
    int rc = take_listen(args, host, &opts.listen_port, diag);
    if (rc == PBR_OK)
        rc = take_creds(cli, args, "user", &users, &opts.user_nr, diag);
    if (rc == PBR_OK)
        rc = take_creds(cli, args, "token", &tokens, &opts.token_nr, diag);
    opts.users = users;
    opts.tokens = tokens;
    if (rc == PBR_OK)
        rc = pbr_embedded_prepare(cli, dir, diag); /* one command is enough to have a server */
    if (rc == PBR_OK)
        rc = serve(cli, args, &opts, diag);
    free_creds(cli, users, opts.user_nr);
    free_creds(cli, tokens, opts.token_nr);
    return rc;
}
