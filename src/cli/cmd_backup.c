/* SPDX-License-Identifier: MIT */
/* pbsref backup [CLI-030 .. CLI-053] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "cli/cli.h"
#include "client/backup.h"
#include "format/name.h"
#include "sys/env.h"

const struct pbr_opt pbr_opts_backup[] = {
    { .name = "backup-type", .type = PBR_OPT_CHOICE, .value = "TYPE", .help = "vm, ct or host (default host)",
      .choices = (const char *const[]){ "vm", "ct", "host", NULL } },
    { .name = "backup-id", .type = PBR_OPT_TEXT, .value = "ID", .help = "backup id (default: host name up to the first dot)" },
    { .name = "backup-time", .type = PBR_OPT_NUMBER, .value = "EPOCH", .help = "time of the snapshot (default: now)", .min = 1,
      .max = 253402300799 },
    { .name = "change-detection-mode", .type = PBR_OPT_TEXT, .value = "MODE",
      .help = "legacy: one archive and a catalog; data: metadata and payload apart; "
              "metadata: the same, unchanged files keep the previous payload (default legacy). "
              "With a draft format: data (default) or metadata[:NAME.pxar]..." },
    { .name = "format-profile", .type = PBR_OPT_CHOICE, .value = "PROFILE",
      .help = "how archives are written: released (default), or one of two drafts that released software cannot read",
      .choices = (const char *const[]){ "released", "draft-split", "draft-appendix", NULL }, .own = true },
    { .name = "appendix-threshold", .type = PBR_OPT_NUMBER, .value = "BYTES",
      .help = "draft-appendix: unchanged files are re-used from this many bytes in a row on (default 2097152)", .max = 1 << 30,
      .own = true },
    { .name = "payload-suffix", .type = PBR_OPT_CHOICE, .value = "SUFFIX",
      .help = "draft-split: ending of payload archives, pld (default) or data",
      .choices = (const char *const[]){ "pld", "data", NULL }, .own = true },
    { .name = "chunk-size", .type = PBR_OPT_NUMBER, .value = "KIB", .help = "average chunk size, a power of two (default 4096)",
      .min = 64, .max = 4096 },
    { .name = "exclude", .type = PBR_OPT_LIST, .value = "PATTERN", .help = "leave out what matches; may be repeated" },
    { .name = "include-dev", .type = PBR_OPT_LIST, .value = "PATH", .help = "also descend into the file system of PATH" },
    { .name = "all-file-systems", .type = PBR_OPT_BOOL, .help = "descend into all mount points" },
    { .name = "skip-lost-and-found", .type = PBR_OPT_BOOL, .help = "leave out lost+found" },
    { .name = "skip-e2big-xattr", .type = PBR_OPT_BOOL, .help = "keep files whose extended attributes are too big, without these" },
    { .name = "entries-max", .type = PBR_OPT_NUMBER, .value = "N", .help = "directory entries held in memory (default 1048576)" },
    { .name = "crypt-mode", .type = PBR_OPT_CHOICE, .value = "MODE", .help = "none, encrypt or sign-only (default: encrypt if there is a key)",
      .choices = (const char *const[]){ "none", "encrypt", "sign-only", NULL } },
    { .name = "dry-run", .type = PBR_OPT_BOOL, .help = "only show what would be uploaded" },
    { .name = "no-cache", .type = PBR_OPT_BOOL, .help = "ask the server to bypass its cache" },
    { .name = "workers", .type = PBR_OPT_NUMBER, .value = "N", .help = "threads that hash and compress (default: processors)",
      .min = 1, .max = 4, .own = true },
    { 0 },
};

int pbr_chunk_size_from(const struct pbr_args *args, uint64_t *ret, struct pbr_diag *diag)
{
    const uint64_t bytes = pbr_args_number(args, "chunk-size", 4096) * 1024;
    if (bytes & (bytes - 1))
        return pbr_fail_at(diag, PBR_E_ARG, "CHK-001", "Got unsupported chunk size '%" PRIu64 "'", bytes);
    *ret = bytes;
    return PBR_OK;
}

static int take_snapshot(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_snapshot *ret, char *node,
                         size_t node_cap, struct pbr_diag *diag)
{
    struct utsname u;
    const char *type = pbr_args_text(args, "backup-type");
    const char *id = pbr_args_text(args, "backup-id");
    (void)snprintf(node, node_cap, "%s", uname(&u) == 0 ? u.nodename : "localhost");
    node[strcspn(node, ".")] = 0;
    if (!id)
        id = node;
    if (!pbr_name_is_safe_id(pbr_span_str(id)) || strlen(id) > PBR_ID_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-015", "'%s' is not a backup id (letters, digits, '.', '_' and '-')", id);
    (void)snprintf(ret->group.type, sizeof(ret->group.type), "%s", type ? type : "host");
    (void)snprintf(ret->group.id, sizeof(ret->group.id), "%s", id);
    ret->time_s = (int64_t)pbr_args_number(args, "backup-time", (uint64_t)cli->env.now_s(cli->env.ctx));
    return PBR_OK;
}

/* Devices of --include-dev paths (CRT-006). */
static int take_devices(struct pbr_cli *cli, const struct pbr_args *args, uint64_t **ret, size_t *ret_nr,
                        struct pbr_diag *diag)
{
    const char *const *paths;
    const size_t n = pbr_args_list(args, "include-dev", &paths);
    *ret = NULL;
    *ret_nr = 0;
    if (n && pbr_args_bool(args, "all-file-systems"))
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-043", "option 'all-file-systems' conflicts with option 'include-dev'");
    if (n == 0)
        return PBR_OK;
    uint64_t *devs = pbr_alloc(&cli->env, n, sizeof(*devs));
    if (!devs)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for devices");
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        if (stat(paths[i], &st) != 0) {
            pbr_free(&cli->env, devs);
            return pbr_fail_os(diag, errno, "fstat on %s failed", paths[i]);
        }
        devs[i] = st.st_dev;
    }
    *ret = devs;
    *ret_nr = n;
    return PBR_OK;
}

static void show_progress(void *ctx, const struct pbr_backup_progress *p)
{
    pbr_progress_show(ctx, p->archive, p->files, p->bytes, p->total);
}

static json_t *archive_json(const struct pbr_backup_archive *a)
{
    json_t *o = json_pack("{s:s, s:I}", "name", a->name, "size", (json_int_t)a->size);
    if (a->has_upload) {
        const struct {
            const char *name;
            uint64_t value;
        } figures[] = {
            { "chunks", a->upload.chunk_nr },          { "new_chunks", a->upload.new_nr },
            { "known_chunks", a->upload.known_nr },    { "injected_chunks", a->upload.injected_nr },
            { "new_bytes", a->upload.new_bytes },      { "known_bytes", a->upload.known_bytes },
            { "injected_bytes", a->upload.injected_bytes }, { "encoded_bytes", a->upload.encoded_bytes },
        };
        for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
            json_object_set_new(o, figures[i].name, json_integer((json_int_t)figures[i].value));
    }
    if (a->has_create) {
        const struct pbr_create_stats *c = &a->create;
        const uint64_t entries = c->files + c->dirs + c->symlinks + c->hardlinks + c->devices + c->fifos + c->sockets;
        json_object_set_new(o, "files", json_integer((json_int_t)c->files));
        json_object_set_new(o, "entries", json_integer((json_int_t)entries));
        json_object_set_new(o, "file_bytes", json_integer((json_int_t)c->file_bytes));
        json_object_set_new(o, "reused_files", json_integer((json_int_t)c->reused_files));
        json_object_set_new(o, "reused_bytes", json_integer((json_int_t)c->reused_bytes));
    }
    return o;
}

static int print_result(const struct pbr_backup_opts *opts, const struct pbr_backup_result *r, enum pbr_format format,
                        struct pbr_diag *diag)
{
    char snapshot[320];
    json_t *archives = json_array();
    for (size_t i = 0; i < r->archive_nr; i++)
        json_array_append_new(archives, archive_json(&r->archives[i]));
    pbr_snapshot_format(&opts->snapshot, snapshot, sizeof(snapshot));
    json_t *root = json_pack("{s:s, s:o, s:f, s:I, s:I}", "snapshot", snapshot, "archives", archives, "duration_s",
                             (double)r->duration_ns / 1e9, "peak_memory", (json_int_t)pbr_sys_peak_memory(), "warnings",
                             (json_int_t)r->warnings);
    const int rc = root ? pbr_print_json(root, format, diag) : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the output");
    json_decref(root);
    return rc;
}

static int run_backup(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_backup_opts *opts,
                      const struct pbr_backup_spec *specs, size_t n, struct pbr_diag *diag)
{
    struct pbr_client *client;
    struct pbr_backup_result result = { 0 };
    struct pbr_repo repo;
    int rc = pbr_repository(cli, args, &repo, diag);
    if (rc == PBR_OK && repo.dir[0])
        rc = pbr_embedded_prepare(cli, repo.dir, diag);
    if (rc == PBR_OK)
        rc = pbr_cli_connect(cli, args, &client, diag);
    if (rc < 0)
        return rc;
    rc = pbr_source_result(pbr_backup(&cli->env, client, specs, n, opts, &result, diag));
    pbr_progress_clear();
    pbr_cli_disconnect(cli, client);
    if (rc == PBR_OK && pbr_output_format(args) != PBR_FORMAT_TEXT)
        rc = print_result(opts, &result, pbr_output_format(args), diag);
    pbr_backup_result_release(&result);
    return rc;
}

/* Format and mode; before any connection is made [APX-090]. */
static int take_profile(const struct pbr_args *args, struct pbr_backup_opts *o, struct pbr_diag *diag)
{
    const char *profile = pbr_args_text(args, "format-profile");
    const char *suffix = pbr_args_text(args, "payload-suffix");
    if (profile && !pbr_profile_parse(pbr_span_str(profile), &o->profile))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "unknown format profile '%s'", profile);
    if (suffix && o->profile != PBR_PROFILE_DRAFT_SPLIT)
        return pbr_fail_at(diag, PBR_E_ARG, "SPL-014", "--payload-suffix needs --format-profile draft-split");
    o->appendix_threshold = pbr_args_number(args, "appendix-threshold", PBR_APPENDIX_THRESHOLD);
    o->data_suffix = suffix && strcmp(suffix, "data") == 0;
    return pbr_detection_parse(o->profile, pbr_args_text(args, "change-detection-mode"), &o->detection, diag);
}

static int take_options(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_backup_opts *o,
                        struct pbr_key_choice *key, uint64_t **devs, struct pbr_diag *diag)
{
    o->dry_run = pbr_args_bool(args, "dry-run");
    o->no_cache = pbr_args_bool(args, "no-cache");
    o->workers = (unsigned)pbr_args_number(args, "workers", 0);
    o->create.normalise_excludes = true;
    o->create.all_file_systems = pbr_args_bool(args, "all-file-systems");
    o->create.skip_lost_and_found = pbr_args_bool(args, "skip-lost-and-found");
    o->create.skip_e2big_xattr = pbr_args_bool(args, "skip-e2big-xattr");
    o->create.has_entries_max = pbr_args_has(args, "entries-max");
    o->create.entries_max = pbr_args_number(args, "entries-max", 0);
    o->progress = show_progress;
    o->progress_ctx = cli;
    int rc = take_profile(args, o, diag);
    if (rc == PBR_OK)
        rc = pbr_chunk_size_from(args, &o->chunk_size, diag);
    if (rc == PBR_OK)
        rc = pbr_namespace(args, &o->ns, diag);
    if (rc == PBR_OK)
        rc = take_devices(cli, args, devs, &o->create.include_dev_nr, diag);
    o->create.include_devs = *devs;
    if (rc == PBR_OK)
        rc = pbr_key_load(cli, args, key, diag);
    o->crypt_mode = key->mode;
    o->crypt = key->mode == PBR_CRYPT_NONE ? NULL : &key->crypt;
    o->crypt_source = key->source;
    return rc;
}

int pbr_cmd_backup(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    const char *const *texts, *const *patterns;
    char node[256];
    uint64_t *devs = NULL;
    struct pbr_key_choice key = { 0 };
    struct pbr_backup_opts opts = { .client_name = node };
    const size_t n = pbr_args_list(args, "backupspec", &texts);
    opts.create.exclude_nr = pbr_args_list(args, "exclude", &patterns);
    struct pbr_backup_spec *specs = pbr_alloc(&cli->env, n, sizeof(*specs));
    struct pbr_span *excludes = pbr_alloc(&cli->env, opts.create.exclude_nr + 1, sizeof(*excludes));
    int rc = specs && excludes ? PBR_OK : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the command line");
    for (size_t i = 0; i < n && rc == PBR_OK; i++)
        rc = pbr_backup_spec_parse(texts[i], &specs[i], diag);
    for (size_t i = 0; i < opts.create.exclude_nr && rc == PBR_OK; i++)
        excludes[i] = pbr_span_str(patterns[i]);
    opts.create.excludes = excludes;
    if (rc == PBR_OK)
        rc = take_snapshot(cli, args, &opts.snapshot, node, sizeof(node), diag);
    if (rc == PBR_OK)
        rc = take_options(cli, args, &opts, &key, &devs, diag);
    if (rc == PBR_OK)
        rc = run_backup(cli, args, &opts, specs, n, diag);
    pbr_crypt_wipe(&key.crypt);
    pbr_free(&cli->env, devs);
    pbr_free(&cli->env, excludes);
    pbr_free(&cli->env, specs);
    return rc;
}
