/* SPDX-License-Identifier: MIT */
/* pbsref reuse show: what snapshots re-used of each other, as text, JSON or a page with a map. Read from manifests, indexes
 * and metadata archives; payload data is never fetched. */
#include <fcntl.h>
#include <stdio.h>

#include "cli/reuse_out.h"
#include "client/history_html.h"
#include "sys/fd.h"

enum { IO_BUFFER = 1 << 18, ROWS = 50 };

const struct pbr_opt pbr_opts_reuse_show[] = {
    { .name = "against", .type = PBR_OPT_TEXT, .value = "SNAPSHOT",
      .help = "compare with this snapshot (default: the one before it in its group)" },
    { .name = "generations", .type = PBR_OPT_NUMBER, .value = "N", .help = "show the last N snapshots side by side (default 1)",
      .min = 1, .max = PBR_HISTORY_MAX - 1 },
    { .name = "html", .type = PBR_OPT_TEXT, .value = "FILE", .help = "write a page with a map of the payload stream" },
    { .name = "limit", .type = PBR_OPT_NUMBER, .value = "N", .help = "files named in a list at most, but in JSON (default 50)",
      .min = 1, .max = 1000000 },
    { 0 },
};

/* Oldest first. */
struct choice {
    struct pbr_snapshot snapshots[PBR_HISTORY_MAX];
    size_t nr;
    size_t shown; /* the newest ones; the others are only compared with */
    bool direct;
};

static int choose_against(struct pbr_client *c, const char *ns, const char *text, struct choice *ch, struct pbr_diag *diag)
{
    int64_t before = 0;
    size_t nr;
    const struct pbr_snapshot now = ch->snapshots[0];
    int rc = pbr_snapshot_parse(pbr_span_str(text), &ch->snapshots[0], diag);
    if (rc == PBR_OK)
        rc = pbr_snapshots_before(c, ns, &now, &before, 1, &nr, diag);
    if (rc < 0)
        return rc;
    char one[300], two[300];
    pbr_group_format(&now.group, one, sizeof(one));
    pbr_group_format(&ch->snapshots[0].group, two, sizeof(two));
    ch->snapshots[1] = now;
    ch->nr = 2;
    ch->direct = nr > 0 && before == ch->snapshots[0].time_s && pbr_span_eq_str(pbr_span_str(one), two);
    return PBR_OK;
}

static int choose_before(struct pbr_client *c, const char *ns, size_t generations, struct choice *ch, struct pbr_diag *diag)
{
    int64_t times[PBR_HISTORY_MAX];
    size_t nr;
    const struct pbr_snapshot now = ch->snapshots[0];
    const int rc = pbr_snapshots_before(c, ns, &now, times, generations, &nr, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < nr; i++) {
        ch->snapshots[i] = now;
        ch->snapshots[i].time_s = times[nr - 1 - i];
    }
    ch->snapshots[nr] = now;
    ch->nr = nr + 1;
    ch->shown = generations < ch->nr ? generations : ch->nr;
    ch->direct = true;
    return PBR_OK;
}

static int choose(struct pbr_client *c, const struct pbr_args *args, const char *ns, struct choice *ch, struct pbr_diag *diag)
{
    const char *against = pbr_args_text(args, "against");
    const int rc = pbr_resolve_snapshot(c, ns, pbr_args_text(args, "snapshot"), &ch->snapshots[0], diag);
    ch->shown = 1;
    if (rc < 0)
        return rc;
    return against ? choose_against(c, ns, against, ch, diag)
                   : choose_before(c, ns, pbr_args_number(args, "generations", 1), ch, diag);
}

static int write_page(struct pbr_cli *cli, const struct pbr_history *h, const struct pbr_html_opts *opts, const char *path,
                      struct pbr_diag *diag)
{
    struct pbr_publish file;
    struct pbr_fd_sink sink;
    int rc = pbr_publish_open(&file, &cli->env, AT_FDCWD, path, 0644, diag);
    if (rc < 0)
        return rc;
    pbr_interrupt_removes(file.tmp_name);
    rc = pbr_fd_sink_init(&sink, &cli->env, file.fd, IO_BUFFER, path);
    if (rc < 0) {
        rc = pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the page");
    } else {
        struct pbr_sink out = pbr_fd_sink(&sink);
        rc = pbr_history_html(h, opts, &out, diag);
        if (rc == PBR_OK)
            rc = pbr_fd_sink_flush(&sink, diag);
        pbr_fd_sink_release(&sink);
    }
    pbr_interrupt_removes(NULL);
    if (rc == PBR_OK)
        rc = pbr_publish_commit(&file, true, diag);
    pbr_publish_abort(&file);
    if (rc == PBR_OK)
        pbr_log(&cli->env, PBR_LOG_INFO, "map written to %s", path);
    return rc;
}

static int print(struct pbr_cli *cli, const struct pbr_args *args, const struct pbr_history *h, size_t shown,
                 struct pbr_diag *diag)
{
    const enum pbr_format format = pbr_output_format(args);
    const size_t rows = pbr_args_number(args, "limit", ROWS);
    const char *html = pbr_args_text(args, "html");
    const struct pbr_html_opts opts = { .rows = rows, .shown = shown };
    int rc = html ? write_page(cli, h, &opts, html, diag) : PBR_OK;
    if (rc < 0)
        return rc;
    return format == PBR_FORMAT_TEXT ? pbr_reuse_print_text(h, h->nr - shown, rows, diag)
                                     : pbr_reuse_print_json(h, h->nr - shown, format, diag);
}

static int show(struct pbr_cli *cli, const struct pbr_args *args, const char *ns, const struct pbr_crypt *crypt,
                struct pbr_diag *diag)
{
    struct choice ch = { 0 };
    struct pbr_client *client;
    struct pbr_history history = { 0 };
    int rc = pbr_cli_connect(cli, args, &client, diag);
    if (rc < 0)
        return rc;
    rc = choose(client, args, ns, &ch, diag);
    if (rc == PBR_OK)
        rc = pbr_history_load(&cli->env, client, ns, ch.snapshots, ch.nr, ch.direct, crypt, &history, diag);
    if (rc == PBR_OK)
        rc = print(cli, args, &history, ch.shown, diag);
    pbr_history_release(&history);
    pbr_cli_disconnect(cli, client);
    return rc;
}

int pbr_cmd_reuse_show(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    const char *ns;
    struct pbr_key_choice key = { 0 };
    if (pbr_args_has(args, "against") && pbr_args_has(args, "generations"))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "--against and --generations are mutually exclusive");
    int rc = pbr_namespace(args, &ns, diag);
    if (rc == PBR_OK)
        rc = pbr_key_load(cli, args, &key, diag);
    if (rc == PBR_OK)
        rc = show(cli, args, ns, pbr_key_announce(cli, &key), diag);
    pbr_crypt_wipe(&key.crypt);
    return rc;
}
