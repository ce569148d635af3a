/* SPDX-License-Identifier: MIT */
/* Commands that are one or two REST calls: list, snapshot list|files|forget, prune, status, version, login, logout [API
 * section 6, CLI section 4]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "client/human.h"
#include "format/name.h"

const struct pbr_opt pbr_opts_prune[] = {
    { .name = "dry-run", .type = PBR_OPT_BOOL, .help = "only show what would be removed" },
    { .name = "keep-last", .type = PBR_OPT_NUMBER, .value = "N", .help = "keep the last N snapshots", .min = 1 },
    { .name = "keep-hourly", .type = PBR_OPT_NUMBER, .value = "N", .help = "keep the last of each of N hours", .min = 1 },
    { .name = "keep-daily", .type = PBR_OPT_NUMBER, .value = "N", .help = "keep the last of each of N days", .min = 1 },
    { .name = "keep-weekly", .type = PBR_OPT_NUMBER, .value = "N", .help = "keep the last of each of N weeks", .min = 1 },
    { .name = "keep-monthly", .type = PBR_OPT_NUMBER, .value = "N", .help = "keep the last of each of N months", .min = 1 },
    { .name = "keep-yearly", .type = PBR_OPT_NUMBER, .value = "N", .help = "keep the last of each of N years", .min = 1 },
    { .name = "quiet", .type = PBR_OPT_BOOL, .help = "show only what is removed" },
    { 0 },
};

/* One call with connecting around it; *ret_data is the caller's. */
static int call_once(struct pbr_cli *cli, const struct pbr_args *args, const char *method, const char *path,
                     json_t *params, json_t **ret_data, struct pbr_diag *diag)
{
    struct pbr_client *client;
    int rc = pbr_cli_connect(cli, args, &client, diag);
    if (rc < 0)
        return rc;
    rc = pbr_client_call(client, method, path, params, ret_data, diag);
    pbr_cli_disconnect(cli, client);
    return rc;
}

static int add_namespace(const struct pbr_args *args, json_t *params, struct pbr_diag *diag)
{
    const char *ns;
    const int rc = pbr_namespace(args, &ns, diag);
    if (rc == PBR_OK && ns[0])
        json_object_set_new(params, "ns", json_string(ns));
    return rc;
}

static int add_group(const char *text, json_t *params, struct pbr_diag *diag)
{
    struct pbr_group g;
    const int rc = pbr_group_parse(pbr_span_str(text), &g, diag);
    if (rc < 0)
        return rc;
    json_object_set_new(params, "backup-type", json_string(g.type));
    json_object_set_new(params, "backup-id", json_string(g.id));
    return PBR_OK;
}

static int add_snapshot(const char *text, json_t *params, struct pbr_diag *diag)
{
    struct pbr_snapshot s;
    const int rc = pbr_snapshot_parse(pbr_span_str(text), &s, diag);
    if (rc < 0)
        return rc;
    json_object_set_new(params, "backup-type", json_string(s.group.type));
    json_object_set_new(params, "backup-id", json_string(s.group.id));
    json_object_set_new(params, "backup-time", json_integer(s.time_s));
    return PBR_OK;
}

/* ---- lists ---- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static void snapshot_text(const json_t *item, const char *time_key, char *out, size_t cap)
{
    char when[32];
    pbr_time_format_any(json_integer_value(json_object_get(item, time_key)), when);
    (void)snprintf(out, cap, "%s/%s/%s", text_of(item, "backup-type"), text_of(item, "backup-id"), when);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Archive names without .didx, .fidx, .blob, sorted, separated by blanks. */
static void files_text(const json_t *item, char *out, size_t cap)
{
    const char *names[64];
    size_t n = 0, i, used = 0;
    const json_t *file;
    json_array_foreach(json_object_get(item, "files"), i, file) {
        const char *name = json_string_value(json_is_string(file) ? file : json_object_get(file, "filename"));
        if (name && n < sizeof(names) / sizeof(names[0]))
            names[n++] = name;
    }
    qsort(names, n, sizeof(names[0]), by_text);
    out[0] = 0;
    for (i = 0; i < n && used < cap; i++) {
        enum pbr_file_type type;
        const char *dot = strrchr(names[i], '.');
        const size_t len = dot && pbr_name_file_type(pbr_span_str(names[i]), &type) ? (size_t)(dot - names[i])
                                                                                     : strlen(names[i]);
        const int written = snprintf(out + used, cap - used, "%s%.*s", i ? " " : "", (int)len, names[i]);
        used += written > 0 ? (size_t)written : 0;
    }
}

static int by_item(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    const int type = strcmp(text_of(*x, "backup-type"), text_of(*y, "backup-type"));
    const int id = type ? type : strcmp(text_of(*x, "backup-id"), text_of(*y, "backup-id"));
    if (id)
        return id;
    const json_int_t s = json_integer_value(json_object_get(*x, "backup-time"));
    const json_int_t t = json_integer_value(json_object_get(*y, "backup-time"));
    return s < t ? -1 : s > t;
}

/* Rows of a list in a fixed order: servers answer in any (API-090). */
static int sorted_rows(const struct pbr_env *env, const json_t *list, struct pbr_table *t,
                       int (*row)(struct pbr_table *t, const json_t *item), struct pbr_diag *diag)
{
    const size_t n = json_array_size(list);
    const json_t **items = pbr_alloc(env, n + 1, sizeof(*items));
    int rc = items ? PBR_OK : PBR_E_NOMEM;
    for (size_t i = 0; items && i < n; i++)
        items[i] = json_array_get(list, i);
    if (items)
        qsort(items, n, sizeof(*items), by_item);
    for (size_t i = 0; i < n && rc == PBR_OK; i++)
        rc = row(t, items[i]);
    pbr_free(env, items);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "no memory for the output") : PBR_OK;
}

static int print_list(struct pbr_cli *cli, const struct pbr_args *args, const json_t *list,
                      const struct pbr_table_column *columns, size_t column_nr,
                      int (*row)(struct pbr_table *t, const json_t *item), struct pbr_diag *diag)
{
    struct pbr_table *t;
    const enum pbr_format format = pbr_output_format(args);
    if (format != PBR_FORMAT_TEXT)
        return pbr_print_json(list, format, diag);
    int rc = pbr_table_new(&cli->env, columns, column_nr, &t);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for the output");
    rc = sorted_rows(&cli->env, list, t, row, diag);
    if (rc == PBR_OK)
        pbr_table_print(t);
    pbr_table_free(t);
    return rc;
}

static int group_row(struct pbr_table *t, const json_t *item)
{
    char group[300], last[340], count[32], files[2048];
    (void)snprintf(group, sizeof(group), "%s/%s", text_of(item, "backup-type"), text_of(item, "backup-id"));
    snapshot_text(item, "last-backup", last, sizeof(last));
    (void)snprintf(count, sizeof(count), "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(item, "backup-count")));
    files_text(item, files, sizeof(files));
    return pbr_table_row(t, (const char *const[]){ group, last, count, files });
}

int pbr_cmd_list(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = {
        { "group", false }, { "last snapshot", false }, { "backup-count", true }, { "files", false }
    };
    json_t *data = NULL;
    json_t *params = json_object();
    int rc = add_namespace(args, params, diag);
    if (rc == PBR_OK)
        rc = call_once(cli, args, "GET", "admin/datastore/{store}/groups", json_object_size(params) ? params : NULL, &data, diag);
    if (rc == PBR_OK)
        rc = print_list(cli, args, data, columns, 4, group_row, diag);
    json_decref(data);
    json_decref(params);
    return rc;
}

static int snapshot_row(struct pbr_table *t, const json_t *item)
{
    char snapshot[340], size[PBR_HUMAN_MAX] = "", files[2048];
    snapshot_text(item, "backup-time", snapshot, sizeof(snapshot));
    if (json_object_get(item, "size"))
        pbr_human_size((uint64_t)json_integer_value(json_object_get(item, "size")), size);
    files_text(item, files, sizeof(files));
    return pbr_table_row(t, (const char *const[]){ snapshot, size, files });
}

int pbr_cmd_snapshot_list(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = { { "snapshot", false }, { "size", true }, { "files", false } };
    const char *group = pbr_args_text(args, "group");
    json_t *data = NULL;
    json_t *params = json_object();
    int rc = add_namespace(args, params, diag);
    if (rc == PBR_OK && group)
        rc = add_group(group, params, diag);
    if (rc == PBR_OK)
        rc = call_once(cli, args, "GET", "admin/datastore/{store}/snapshots", params, &data, diag);
    if (rc == PBR_OK)
        rc = print_list(cli, args, data, columns, 3, snapshot_row, diag);
    json_decref(data);
    json_decref(params);
    return rc;
}

static int file_row(struct pbr_table *t, const json_t *item)
{
    char size[32] = "";
    const json_t *n = json_object_get(item, "size");
    if (n)
        (void)snprintf(size, sizeof(size), "%" JSON_INTEGER_FORMAT, json_integer_value(n));
    return pbr_table_row(t, (const char *const[]){ text_of(item, "filename"), text_of(item, "crypt-mode"), size });
}

int pbr_cmd_snapshot_files(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = { { "filename", false }, { "crypt-mode", false }, { "size", true } };
    json_t *data = NULL;
    json_t *params = json_object();
    int rc = add_namespace(args, params, diag);
    if (rc == PBR_OK)
        rc = add_snapshot(pbr_args_text(args, "snapshot"), params, diag);
    if (rc == PBR_OK)
        rc = call_once(cli, args, "GET", "admin/datastore/{store}/files", params, &data, diag);
    if (rc == PBR_OK)
        rc = print_list(cli, args, data, columns, 3, file_row, diag);
    json_decref(data);
    json_decref(params);
    return rc;
}

int pbr_cmd_snapshot_forget(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    json_t *params = json_object();
    int rc = add_namespace(args, params, diag);
    if (rc == PBR_OK)
        rc = add_snapshot(pbr_args_text(args, "snapshot"), params, diag);
    if (rc == PBR_OK)
        rc = call_once(cli, args, "DELETE", "admin/datastore/{store}/snapshots", params, NULL, diag);
    json_decref(params);
    return rc;
}

/* ---- prune ---- */

static int prune_row(struct pbr_table *t, const json_t *item)
{
    char snapshot[340];
    snapshot_text(item, "backup-time", snapshot, sizeof(snapshot));
    const char *keep = json_is_true(json_object_get(item, "keep"))        ? "keep"
                       : json_is_true(json_object_get(item, "protected")) ? "protected"
                                                                          : "remove";
    return pbr_table_row(t, (const char *const[]){ snapshot, keep });
}

static json_t *only_removed(const json_t *list)
{
    json_t *removed = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (!json_is_true(json_object_get(item, "keep")))
            json_array_append(removed, item);
    }
    return removed;
}

int pbr_cmd_prune(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = { { "snapshot", false }, { "keep", false } };
    static const char *const rules[] = { "keep-last",   "keep-hourly",  "keep-daily",
                                         "keep-weekly", "keep-monthly", "keep-yearly" };
    json_t *data = NULL;
    json_t *params = json_object();
    int rc = add_namespace(args, params, diag);
    if (rc == PBR_OK)
        rc = add_group(pbr_args_text(args, "group"), params, diag);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (pbr_args_has(args, rules[i]))
            json_object_set_new(params, rules[i], json_integer((json_int_t)pbr_args_number(args, rules[i], 0)));
    if (pbr_args_has(args, "dry-run"))
        json_object_set_new(params, "dry-run", json_boolean(pbr_args_bool(args, "dry-run")));
    if (rc == PBR_OK)
        rc = call_once(cli, args, "POST", "admin/datastore/{store}/prune", params, &data, diag);
    if (rc == PBR_OK && pbr_args_bool(args, "quiet")) {
        json_t *removed = only_removed(data);
        json_decref(data);
        data = removed;
    }
    if (rc == PBR_OK)
        rc = print_list(cli, args, data, columns, 2, prune_row, diag);
    json_decref(data);
    json_decref(params);
    return rc;
}

/* ---- status, version, login ---- */

static int print_status(struct pbr_cli *cli, const json_t *data, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = { { "name", false }, { "value", true } };
    static const char *const keys[] = { "total", "used", "avail" };
    struct pbr_table *t;
    const double total = (double)json_integer_value(json_object_get(data, "total"));
    int rc = pbr_table_new(&cli->env, columns, 2, &t);
    for (size_t i = 0; i < 3 && rc == PBR_OK; i++) {
        char size[PBR_HUMAN_MAX], cell[PBR_HUMAN_MAX + 16];
        const json_int_t n = json_integer_value(json_object_get(data, keys[i]));
        pbr_human_size((uint64_t)n, size);
        if (i == 0 || total <= 0)
            (void)snprintf(cell, sizeof(cell), "%s", size);
        else
            (void)snprintf(cell, sizeof(cell), "%s (%.0f %%)", size, (double)n * 100.0 / total);
        rc = pbr_table_row(t, (const char *const[]){ keys[i], cell });
    }
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for the output");
    pbr_table_print(t);
    pbr_table_free(t);
    return PBR_OK;
}

int pbr_cmd_status(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    json_t *data = NULL;
    const enum pbr_format format = pbr_output_format(args);
    int rc = call_once(cli, args, "GET", "admin/datastore/{store}/status", NULL, &data, diag);
    if (rc == PBR_OK)
        rc = format == PBR_FORMAT_TEXT ? print_status(cli, data, diag) : pbr_print_json(data, format, diag);
    json_decref(data);
    return rc;
}

int pbr_cmd_version(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_repo repo;
    struct pbr_diag quiet = { 0 };
    json_t *server = NULL;
    const enum pbr_format format = pbr_output_format(args);
    if (pbr_repository(cli, args, &repo, &quiet) == PBR_OK) {
        pbr_diag_clear(&quiet);
        if (call_once(cli, args, "GET", "version", NULL, &server, &quiet) < 0)
            pbr_log(&cli->env, PBR_LOG_ERROR, "could not connect to server - %s", quiet.text);
    }
    int rc = PBR_OK;
    if (format == PBR_FORMAT_TEXT) {
        (void)printf("client version: %s\n", PBR_VERSION);
        if (server)
            (void)printf("server version: %s.%s\n", text_of(server, "version"), text_of(server, "release"));
    } else {
        json_t *root = json_pack("{s:{s:s, s:s, s:s}}", "client", "release", "0", "repoid", "pbsref", "version", PBR_VERSION);
        if (server)
            json_object_set(root, "server", server);
        rc = pbr_print_json(root, format, diag);
        json_decref(root);
    }
    json_decref(server);
    return rc;
}

int pbr_cmd_login(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_client *client;
    int rc = pbr_cli_connect(cli, args, &client, diag);
    if (rc < 0)
        return rc;
    rc = pbr_client_login(client, diag);
    pbr_cli_disconnect(cli, client); /* stores the ticket */
    return rc;
}

int pbr_cmd_logout(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_repo repo;
    const int rc = pbr_repository(cli, args, &repo, diag);
    return rc < 0 ? rc : pbr_ticket_forget(cli, &repo, diag);
}
