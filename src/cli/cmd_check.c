/* SPDX-License-Identifier: MIT */
/* pbsref check: deep consistency of a snapshot or of archive files [CDM-121 .. CDM-127]. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "client/check.h"
#include "client/restore.h"
#include "format/quote.h"

const struct pbr_opt pbr_opts_check[] = {
    { .name = "metadata-only", .type = PBR_OPT_BOOL, .help = "read no file contents and no images", .own = true },
    { .name = "findings-max", .type = PBR_OPT_NUMBER, .value = "N", .min = 1, .own = true,
      .help = "findings of one kind shown per file, the rest is counted (default 20)" },
    { .name = "json", .type = PBR_OPT_BOOL, .help = "the same as --output-format json", .own = true },
    { 0 },
};

struct output {
    struct pbr_cli *cli;
    json_t *list;          /* of findings; NULL: text */
    int rc;                /* of the output itself */
    struct pbr_diag first; /* first error found */
};

static const char *level_text(enum pbr_check_level level)
{
    static const char *const texts[] = { "error", "warning", "note" };
    return texts[level];
}

/* ---- findings ---- */

static int add_json(struct output *out, const struct pbr_check_finding *f, const char *path)
{
    json_t *item = json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s}", "level", level_text(f->level), "name", f->name, "file",
                             f->file, "rule", f->rule, "defect", f->defect, "path", path, "text", f->text);
    if (!item || (f->has_off && json_object_set_new(item, "offset", json_integer((json_int_t)f->off)) < 0) ||
        json_array_append_new(out->list, item) < 0)
        return PBR_E_NOMEM;
    return PBR_OK;
}

static void print_text(const struct pbr_check_finding *f, const char *path)
{
    (void)printf("%s: %s: %s: %s%s%s", f->file, level_text(f->level), f->name, path ? path : "", path ? ": " : "", f->text);
    (void)printf(" (");
    if (f->has_off)
        (void)printf("offset %" PRIu64 ", ", f->off);
    (void)printf("rule %s", f->rule ? f->rule : "-");
    if (f->defect)
        (void)printf(", known defect %s", f->defect);
    (void)printf(")\n");
}

static void on_finding(void *ctx, const struct pbr_check_finding *f)
{
    struct output *out = ctx;
    struct pbr_buf path;
    const char *quoted = NULL;
    pbr_progress_clear();
    pbr_buf_init(&path, &out->cli->env, 1 << 20);
    if (f->path.len > 0 && pbr_quote(f->path, &path) == PBR_OK)
        quoted = pbr_buf_cstr(&path);
    if (f->level == PBR_CHECK_ERROR)
        (void)pbr_fail(&out->first, PBR_E_INTEGRITY, f->rule, f->off, "%s: %s", f->file, f->text);
    if (!out->list)
        print_text(f, quoted);
    else if (add_json(out, f, quoted) < 0)
        out->rc = PBR_E_NOMEM;
    pbr_buf_release(&path);
}

static void on_progress(void *ctx, const char *file, uint64_t done, uint64_t total)
{
    struct output *out = ctx;
    pbr_progress_show(out->cli, file, 0, done, total);
}

/* ---- summary ---- */

static void print_file(const struct pbr_check_opts *opts, const struct pbr_check_file *f)
{
    for (size_t i = 0; pbr_check_name(i); i++) {
        const uint64_t rest = pbr_check_omitted(opts, f, i);
        if (rest)
            (void)printf("%s: %" PRIu64 " more of %s\n", f->name, rest, pbr_check_name(i));
    }
    (void)printf("%s: %s, %s, %" PRIu64 " bytes", f->name, f->errors ? "DAMAGED" : "ok", f->kind, f->size);
    if (f->chunks)
        (void)printf(", %" PRIu64 " chunks", f->chunks);
    if (f->entries)
        (void)printf(", %" PRIu64 " entries (%" PRIu64 " files, %" PRIu64 " hard links)", f->entries, f->files, f->hardlinks);
    if (f->has_padding)
        (void)printf(", %" PRIu64 " bytes of padding", f->padding_bytes);
    if (f->damaged_paths)
        (void)printf("; %" PRIu64 " findings at paths", f->damaged_paths);
    if (f->errors + f->warnings + f->notes)
        (void)printf("; %" PRIu64 " errors, %" PRIu64 " warnings, %" PRIu64 " notes", f->errors, f->warnings, f->notes);
    (void)printf("\n");
}

static json_t *counts_json(const struct pbr_check_opts *opts, const struct pbr_check_file *f, bool omitted)
{
    json_t *counts = json_object();
    for (size_t i = 0; pbr_check_name(i); i++) {
        const uint64_t n = omitted ? pbr_check_omitted(opts, f, i) : f->counts[i];
        if (n)
            json_object_set_new(counts, pbr_check_name(i), json_integer((json_int_t)n));
    }
    return counts;
}

static json_t *file_json(const struct pbr_check_opts *opts, const struct pbr_check_file *f)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "name", f->name, "kind", f->kind, "size",
                          (json_int_t)f->size, "chunks", (json_int_t)f->chunks, "bad_chunks", (json_int_t)f->bad_chunks,
                          "errors", (json_int_t)f->errors, "warnings", (json_int_t)f->warnings, "notes",
                          (json_int_t)f->notes, "path_findings", (json_int_t)f->damaged_paths, "contents_read", f->contents);
    json_object_set_new(o, "counts", counts_json(opts, f, false));
    json_object_set_new(o, "omitted", counts_json(opts, f, true));
    if (f->entries) {
        json_object_set_new(o, "entries", json_integer((json_int_t)f->entries));
        json_object_set_new(o, "files", json_integer((json_int_t)f->files));
        json_object_set_new(o, "hardlinks", json_integer((json_int_t)f->hardlinks));
        json_object_set_new(o, "references", json_integer((json_int_t)f->references));
    }
    if (f->has_padding)
        json_object_set_new(o, "padding_bytes", json_integer((json_int_t)f->padding_bytes));
    return o;
}

static int print_json(const struct output *out, const struct pbr_check_opts *opts, const struct pbr_check_result *r,
                      enum pbr_format format, struct pbr_diag *diag)
{
    json_t *files = json_array();
    for (size_t i = 0; i < r->file_nr; i++)
        json_array_append_new(files, file_json(opts, &r->files[i]));
    json_t *root = json_pack("{s:b, s:I, s:I, s:I, s:O, s:o}", "ok", r->errors == 0, "errors", (json_int_t)r->errors,
                             "warnings", (json_int_t)r->warnings, "notes", (json_int_t)r->notes, "findings", out->list,
                             "files", files);
    const int rc = root ? pbr_print_json(root, format, diag)
                        : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the output");
    json_decref(root);
    return rc;
}

static int finish(struct output *out, const struct pbr_check_opts *opts, const struct pbr_check_result *r,
                  enum pbr_format format, struct pbr_diag *diag)
{
    int rc = out->rc;
    pbr_progress_clear();
    if (rc == PBR_OK && out->list)
        rc = print_json(out, opts, r, format, diag);
    for (size_t i = 0; !out->list && i < r->file_nr; i++)
        print_file(opts, &r->files[i]);
    if (!out->list)
        (void)printf("%s: %" PRIu64 " errors, %" PRIu64 " warnings, %" PRIu64 " notes\n", r->errors ? "DAMAGED" : "ok", r->errors,
                     r->warnings, r->notes);
    if (rc == PBR_OK && fflush(stdout) != 0)
        rc = pbr_fail_at(diag, PBR_E_IO, NULL, "cannot write to standard output");
    if (rc < 0 || r->errors == 0)
        return rc;
    *diag = (struct pbr_diag){ 0 };
    return pbr_fail_at(diag, PBR_E_INTEGRITY, out->first.rule, "%" PRIu64 " errors were found; the first: %s", r->errors,
                       out->first.text);
}

/* ---- what to check ---- */

static int check_snapshot(struct pbr_cli *cli, const struct pbr_args *args, const char *text,
                          const struct pbr_check_opts *opts, struct pbr_check_result *ret, struct pbr_diag *diag)
{
    const char *ns;
    struct pbr_client *client;
    struct pbr_snapshot snapshot;
    int rc = pbr_namespace(args, &ns, diag);
    if (rc == PBR_OK)
        rc = pbr_cli_connect(cli, args, &client, diag);
    if (rc < 0)
        return rc;
    rc = pbr_resolve_snapshot(client, ns, text, &snapshot, diag);
    if (rc == PBR_OK)
        rc = pbr_check_snapshot(client, ns, &snapshot, opts, ret, diag);
    pbr_cli_disconnect(cli, client);
    return rc;
}

/* host/ID and the like are snapshots, even where files of that name are: those are ./host/ID. */
static bool is_snapshot(const char *text)
{
    struct pbr_group group;
    struct pbr_snapshot snapshot;
    return pbr_group_parse(pbr_span_str(text), &group, NULL) == PBR_OK ||
           pbr_snapshot_parse(pbr_span_str(text), &snapshot, NULL) == PBR_OK;
}

static int check_what(struct pbr_cli *cli, const struct pbr_args *args, const struct pbr_check_opts *opts,
                      struct pbr_check_result *ret, struct pbr_diag *diag)
{
    const char *const *what;
    const size_t n = pbr_args_list(args, "snapshot-or-files", &what);
    if (n == 1 && is_snapshot(what[0]))
        return check_snapshot(cli, args, what[0], opts, ret, diag);
    return pbr_check_files(&cli->env, what, n, opts, ret, diag);
}

int pbr_cmd_check(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_key_choice key = { 0 };
    struct pbr_check_result result = { 0 };
    struct output out = { .cli = cli };
    const enum pbr_format format = pbr_args_bool(args, "json") ? PBR_FORMAT_JSON : pbr_output_format(args);
    int rc = pbr_key_load(cli, args, &key, diag);
    if (rc < 0) {
        pbr_crypt_wipe(&key.crypt);
        return rc;
    }
    const struct pbr_check_opts opts = { .crypt = pbr_key_announce(cli, &key),
                                         .metadata_only = pbr_args_bool(args, "metadata-only"),
                                         .findings_max = pbr_args_number(args, "findings-max", 0),
                                         .report = on_finding,
                                         .progress = on_progress,
                                         .ctx = &out };
    out.list = format == PBR_FORMAT_TEXT ? NULL : json_array();
    rc = check_what(cli, args, &opts, &result, diag);
    pbr_progress_clear();
    if (rc == PBR_OK) {
        rc = finish(&out, &opts, &result, format, diag);
        pbr_check_result_release(&result);
    }
    json_decref(out.list);
    pbr_crypt_wipe(&key.crypt);
    return rc;
}
