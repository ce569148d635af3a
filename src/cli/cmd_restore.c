/* SPDX-License-Identifier: MIT */
/* pbsref restore [CLI-060 .. CLI-062, EXT-110 .. EXT-113] */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/create.h"
#include "archive/meta_apply.h"
#include "cli/cli.h"
#include "cli/extraction.h"
#include "client/human.h"
#include "client/restore.h"
#include "sys/fd.h"

const struct pbr_opt pbr_opts_restore[] = {
    { .name = "ignore-acls", .type = PBR_OPT_BOOL, .help = "do not restore ACLs" },
    { .name = "ignore-xattrs", .type = PBR_OPT_BOOL, .help = "do not restore extended attributes" },
    { .name = "ignore-ownership", .type = PBR_OPT_BOOL, .help = "do not restore owners" },
    { .name = "ignore-permissions", .type = PBR_OPT_BOOL, .help = "do not restore permissions" },
    { .name = "ignore-extract-device-errors", .type = PBR_OPT_BOOL, .help = "go on when device nodes cannot be made" },
    { .name = "crypt-mode", .type = PBR_OPT_CHOICE, .value = "MODE", .help = "none: use no key, not even the default one; otherwise the manifest decides",
      .choices = (const char *const[]){ "none", "encrypt", "sign-only", NULL } },
    { .name = "raw", .type = PBR_OPT_BOOL, .help = "the file as stored on the server (index, blob), undecoded", .own = true },
    { 0 },
};

struct job {
    struct pbr_cli *cli;
    const struct pbr_args *args;
    struct pbr_restore *restore;
    const char *archive_name, *target;
    bool to_stdout;
};

/* ---- output of bytes ---- */

static int copy_stream(struct job *j, struct pbr_stream *in, uint64_t total, int fd, struct pbr_diag *diag)
{
    uint64_t done = 0;
    for (;;) {
        struct pbr_span view;
        int rc = pbr_stream_peek(in, &view, diag);
        if (rc == PBR_OK && view.len == 0)
            return PBR_OK;
        if (rc == PBR_OK)
            rc = pbr_write_all(fd, view, j->target, diag);
        if (rc < 0)
            return rc;
        pbr_stream_consume(in, view.len);
        done += view.len;
        pbr_progress_show(j->cli, j->archive_name, 0, done, total);
    }
}

struct bytes_from {
    struct pbr_stream *stream; /* or */
    struct pbr_span span;
    uint64_t total;
};

static int emit(struct job *j, const struct bytes_from *from, int fd, struct pbr_diag *diag)
{
    return from->stream ? copy_stream(j, from->stream, from->total, fd, diag)
                        : pbr_write_all(fd, from->span, j->target, diag);
}

/* Files must not exist, index.json is replaced (CLI-060). Published whole or not at all. */
static int write_bytes(struct job *j, const struct bytes_from *from, bool replace, struct pbr_diag *diag)
{
    struct pbr_publish out;
    if (j->to_stdout)
        return emit(j, from, STDOUT_FILENO, diag);
    if (!replace && faccessat(AT_FDCWD, j->target, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return pbr_fail_at(diag, PBR_E_EXIST, "CLI-061", "unable to create target file \"%s\" - File exists", j->target);
    int rc = pbr_publish_open(&out, &j->cli->env, AT_FDCWD, j->target, 0600, diag);
    if (rc == PBR_OK) {
        pbr_interrupt_removes(out.tmp_name);
        rc = emit(j, from, out.fd, diag);
    }
    pbr_progress_clear();
    pbr_interrupt_removes(NULL);
    if (rc == PBR_OK)
        rc = pbr_publish_commit(&out, replace, diag);
    pbr_publish_abort(&out);
    return rc;
}

/* ---- kinds of archives ---- */

/* Switches that leave something out. */
static const struct pbr_args_flag leaves_out[] = {
    { "ignore-acls", PBR_FEATURE_ACL },
    { "ignore-xattrs", PBR_FEATURE_XATTRS },
    { "ignore-ownership", PBR_FEATURE_OWNER },
    { "ignore-permissions", PBR_FEATURE_PERMISSIONS },
    { 0 },
};

static int restore_tree(struct job *j, struct pbr_restore_archive *a, struct pbr_diag *diag)
{
    struct pbr_extract_stats stats;
    char size[PBR_HUMAN_MAX], span[PBR_HUMAN_MAX], rate[PBR_HUMAN_MAX];
    const struct pbr_env *env = &j->cli->env;
    const uint64_t begin = env->mono_ns(env->ctx);
    struct pbr_extraction x = { .cli = j->cli,
                                .args = j->args,
                                .target = j->target,
                                .strict = true,
                                .ignore_device_errors = pbr_args_bool(j->args, "ignore-extract-device-errors"),
                                .without = pbr_args_flags(j->args, leaves_out),
                                .draft = a->kind == PBR_RESTORE_SPLIT && a->profile == PBR_PROFILE_DRAFT_SPLIT,
                                .total = a->size,
                                .what = j->archive_name };
    int rc = pbr_restore_streams(j->restore, a, false, diag);
    if (rc == PBR_OK)
        rc = pbr_extraction_run(&x, &a->stream, a->kind == PBR_RESTORE_SPLIT ? &a->payload : NULL, &stats, diag);
    if (rc < 0) {
        pbr_diag_context(diag, "error extracting archive");
        return rc;
    }
    const uint64_t spent = env->mono_ns(env->ctx) - begin;
    pbr_human_size(stats.bytes, size);
    pbr_human_span(spent, span);
    pbr_human_rate(stats.bytes, spent, rate);
    pbr_log(env, PBR_LOG_INFO, "restore complete (%s processed in %s, average %s/s)", size, span, rate);
    return PBR_OK;
}

static int restore_stream(struct job *j, struct pbr_restore_archive *a, struct pbr_diag *diag)
{
    const struct bytes_from from = { .stream = &a->stream, .total = a->size };
    const int rc = pbr_restore_streams(j->restore, a, false, diag);
    return rc == PBR_OK ? write_bytes(j, &from, false, diag) : rc;
}

static int restore_blob(struct job *j, struct pbr_restore_archive *a, struct pbr_diag *diag)
{
    struct pbr_buf plain;
    int rc = pbr_restore_blob(j->restore, a, &plain, diag);
    if (rc < 0)
        return rc;
    const struct bytes_from from = { .span = pbr_buf_span(&plain) };
    rc = write_bytes(j, &from, false, diag);
    pbr_buf_release(&plain);
    return rc;
}

static int restore_raw(struct job *j, struct pbr_diag *diag)
{
    char stored[PBR_ARCHIVE_NAME_MAX + 1];
    struct pbr_buf raw;
    int rc = pbr_name_stored(pbr_span_str(j->archive_name), stored, diag);
    if (rc == PBR_OK)
        rc = pbr_restore_raw(j->restore, stored, &raw, diag);
    if (rc < 0)
        return rc;
    const struct bytes_from from = { .span = pbr_buf_span(&raw) };
    rc = write_bytes(j, &from, false, diag);
    pbr_buf_release(&raw);
    return rc;
}

static int restore_archive(struct job *j, struct pbr_diag *diag)
{
    struct pbr_restore_archive a;
    if (pbr_args_bool(j->args, "raw"))
        return restore_raw(j, diag);
    int rc = pbr_restore_find(j->restore, j->archive_name, &a, diag);
    if (rc < 0)
        return rc;
    switch (a.kind) {
    case PBR_RESTORE_MANIFEST: {
        const struct bytes_from from = { .span = pbr_restore_json(j->restore) };
        rc = write_bytes(j, &from, true, diag);
        break;
    }
    case PBR_RESTORE_BLOB:
        rc = restore_blob(j, &a, diag);
        break;
    case PBR_RESTORE_STREAM:
        rc = restore_stream(j, &a, diag);
        break;
    case PBR_RESTORE_PXAR:
        rc = j->to_stdout ? restore_stream(j, &a, diag) : restore_tree(j, &a, diag);
        break;
    case PBR_RESTORE_SPLIT:
        rc = j->to_stdout ? pbr_fail_at(diag, PBR_E_ARG, "EXT-113", "unable to pipe split archive")
                          : restore_tree(j, &a, diag);
        break;
    }
    pbr_restore_archive_release(&a);
    return rc;
}

int pbr_cmd_restore(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct job j = { .cli = cli,
                     .args = args,
                     .archive_name = pbr_args_text(args, "archive-name"),
                     .target = pbr_args_text(args, "target") };
    const char *ns;
    struct pbr_client *client;
    struct pbr_snapshot snapshot;
    struct pbr_key_choice key = { 0 };
    j.to_stdout = strcmp(j.target, "-") == 0;
    if (j.to_stdout && pbr_args_has(args, "pattern"))
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-061", "patterns not allowed when restoring to stdout");
    int rc = pbr_namespace(args, &ns, diag);
    if (rc == PBR_OK)
        rc = pbr_key_load(cli, args, &key, diag);
    if (rc == PBR_OK)
        rc = pbr_cli_connect(cli, args, &client, diag);
    if (rc < 0) {
        pbr_crypt_wipe(&key.crypt);
        return rc;
    }
    const struct pbr_crypt *crypt = pbr_key_announce(cli, &key);
    rc = pbr_resolve_snapshot(client, ns, pbr_args_text(args, "snapshot"), &snapshot, diag);
    if (rc == PBR_OK)
        rc = pbr_restore_open(&cli->env, client, ns, &snapshot, crypt, &j.restore, diag);
    if (rc == PBR_OK)
        rc = restore_archive(&j, diag);
    pbr_progress_clear();
    pbr_restore_close(j.restore);
    pbr_cli_disconnect(cli, client);
    pbr_crypt_wipe(&key.crypt);
    return rc;
}
