/* SPDX-License-Identifier: MIT */
/* pbsref store init|verify|gc|stat: a datastore directory of this machine. */
#include <stdio.h>

#include "cli/cli.h"
#include "client/human.h"
#include "store/gc.h"
#include "store/verify.h"

const struct pbr_opt pbr_opts_store_init[] = {
    { .name = "lazy", .type = PBR_OPT_BOOL, .help = "leave out the 65,536 chunk directories until they are needed (a real server needs them all)" },
    { 0 },
};

const struct pbr_opt pbr_opts_store_verify[] = {
    { .name = "rename-bad", .type = PBR_OPT_BOOL, .help = "rename damaged chunks to DIGEST.N.bad, so that the next backup sends them again" },
    { 0 },
};

const struct pbr_opt pbr_opts_store_gc[] = {
    { .name = "dry-run", .type = PBR_OPT_BOOL, .help = "only count what would be removed" },
    { .name = "cutoff", .type = PBR_OPT_NUMBER, .value = "SECONDS", .help = "age of unused chunks that are removed (default 86700)" },
    { 0 },
};

static int open_store(struct pbr_cli *cli, const struct pbr_args *args, bool read_only, struct pbr_store **ret,
                      struct pbr_diag *diag)
{
    const struct pbr_store_opts opts = { .read_only = read_only };
    return pbr_store_open(&cli->env, pbr_args_text(args, "dir"), &opts, ret, diag);
}

int pbr_cmd_store_init(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    const struct pbr_store_opts opts = { .lazy = pbr_args_bool(args, "lazy") };
    return pbr_store_init(&cli->env, pbr_args_text(args, "dir"), &opts, diag);
}

/* ---- figures: one list for JSON and text ---- */

struct figure {
    const char *name;
    uint64_t value;
    bool bytes;
};

static int print_figures(const struct pbr_args *args, const struct figure *f, size_t n, json_t *extra,
                         struct pbr_diag *diag)
{
    const enum pbr_format format = pbr_output_format(args);
    if (format == PBR_FORMAT_TEXT) {
        char size[PBR_HUMAN_MAX];
        for (size_t i = 0; i < n; i++) {
            pbr_human_size(f[i].value, size);
            if (f[i].bytes)
                (void)printf("%-24s %s\n", f[i].name, size);
            else
                (void)printf("%-24s %" PRIu64 "\n", f[i].name, f[i].value);
        }
        return PBR_OK;
    }
    json_t *root = extra ? json_incref(extra) : json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(root, f[i].name, json_integer((json_int_t)f[i].value));
    const int rc = pbr_print_json(root, format, diag);
    json_decref(root);
    return rc;
}

int pbr_cmd_store_stat(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_store *store;
    struct pbr_store_figures s;
    int rc = open_store(cli, args, true, &store, diag);
    if (rc < 0)
        return rc;
    rc = pbr_store_figures(store, &s, diag);
    pbr_store_close(store);
    if (rc < 0)
        return rc;
    const struct figure figures[] = {
        { "namespaces", s.namespaces, false },
        { "groups", s.groups, false },
        { "snapshots", s.snapshots, false },
        { "unfinished-snapshots", s.unfinished_snapshots, false },
        { "protected-snapshots", s.protected_snapshots, false },
        { "indexes", s.indexes, false },
        { "index-data-bytes", s.index_data_bytes, true },
        { "index-chunks", s.index_chunks, false },
        { "blobs", s.blobs, false },
        { "blob-bytes", s.blob_bytes, true },
        { "chunks", s.chunks, false },
        { "chunk-bytes", s.chunk_bytes, true },
        { "bad-chunks", s.bad_chunks, false },
    };
    json_t *extra = json_pack("{s:f}", "deduplication-factor", s.dedup_factor);
    rc = print_figures(args, figures, sizeof(figures) / sizeof(figures[0]), extra, diag);
    json_decref(extra);
    if (rc == PBR_OK && pbr_output_format(args) == PBR_FORMAT_TEXT)
        (void)printf("%-24s %.2f\n", "deduplication-factor", s.dedup_factor);
    return rc;
}

int pbr_cmd_store_gc(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_store *store;
    struct pbr_gc_result r;
    const struct pbr_gc_opts opts = { .has_cutoff = pbr_args_has(args, "cutoff"),
                                      .cutoff_s = pbr_args_number(args, "cutoff", 0),
                                      .dry_run = pbr_args_bool(args, "dry-run") };
    int rc = open_store(cli, args, false, &store, diag);
    if (rc < 0)
        return rc;
    rc = pbr_store_gc(store, &opts, &r, diag);
    pbr_store_close(store);
    if (rc < 0)
        return rc;
    const struct figure figures[] = {
        { "index-files", r.index_files, false },         { "index-data-bytes", r.index_data_bytes, true },
        { "disk-chunks", r.disk_chunks, false },         { "disk-bytes", r.disk_bytes, true },
        { "removed-chunks", r.removed_chunks, false },   { "removed-bytes", r.removed_bytes, true },
        { "pending-chunks", r.pending_chunks, false },   { "pending-bytes", r.pending_bytes, true },
        { "removed-bad", r.removed_bad, false },         { "still-bad", r.still_bad, false },
        { "removed-temporary", r.removed_temporary, false }, { "missing-chunks", r.missing_chunks, false },
    };
    return print_figures(args, figures, sizeof(figures) / sizeof(figures[0]), NULL, diag);
}

/* ---- verify ---- */

static json_t *problems_json(const struct pbr_verify_snapshot *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->problem_nr; i++)
        json_array_append_new(list, json_pack("{s:s, s:s?, s:s}", "file", s->problems[i].file, "rule", s->problems[i].rule,
                                              "text", s->problems[i].text));
    return list;
}

static json_t *report_json(const struct pbr_verify_report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->nr; i++) {
        char name[340];
        pbr_snapshot_format(&r->items[i].id, name, sizeof(name));
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:o}", "ns", r->items[i].ns, "snapshot", name, "ok",
                                              r->items[i].problems_seen == 0, "problems", problems_json(&r->items[i])));
    }
    return json_pack("{s:o}", "snapshots", list);
}

static void report_text(const struct pbr_verify_report *r)
{
    for (size_t i = 0; i < r->nr; i++) {
        const struct pbr_verify_snapshot *s = &r->items[i];
        char name[340];
        pbr_snapshot_format(&s->id, name, sizeof(name));
        (void)printf("%s%s%s%s: %s\n", s->ns[0] ? "[" : "", s->ns, s->ns[0] ? "]:" : "", name, s->problems_seen ? "DAMAGED" : "ok");
        for (size_t k = 0; k < s->problem_nr; k++)
            (void)printf("    %s: %s%s%s%s\n", s->problems[k].file, s->problems[k].text, s->problems[k].rule ? " (rule " : "",
                         s->problems[k].rule ? s->problems[k].rule : "", s->problems[k].rule ? ")" : "");
    }
}

int pbr_cmd_store_verify(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_store *store;
    struct pbr_verify_report r;
    const struct pbr_verify_opts opts = { .rename_bad = pbr_args_bool(args, "rename-bad") };
    int rc = open_store(cli, args, !opts.rename_bad, &store, diag);
    if (rc < 0)
        return rc;
    rc = pbr_store_verify(store, &opts, &r, diag);
    pbr_store_close(store);
    if (rc < 0)
        return rc;
    const struct figure figures[] = {
        { "failed-snapshots", r.failed_snapshots, false }, { "skipped-snapshots", r.skipped_snapshots, false },
        { "indexes", r.indexes, false },                   { "blobs", r.blobs, false },
        { "chunks", r.chunks, false },                     { "chunk-bytes", r.chunk_bytes, true },
        { "bad-chunks", r.bad_chunks, false },             { "missing-chunks", r.missing_chunks, false },
        { "renamed-chunks", r.renamed_chunks, false },
    };
    const bool text = pbr_output_format(args) == PBR_FORMAT_TEXT;
    json_t *extra = text ? NULL : report_json(&r);
    if (text)
        report_text(&r);
    rc = print_figures(args, figures, sizeof(figures) / sizeof(figures[0]), extra, diag);
    json_decref(extra);
    if (rc == PBR_OK && r.failed_snapshots > 0)
        rc = pbr_fail_at(diag, PBR_E_INTEGRITY, "MAN-073", "%" PRIu64 " of %zu snapshots are damaged", r.failed_snapshots, r.nr);
    pbr_verify_report_release(&r);
    return rc;
}
