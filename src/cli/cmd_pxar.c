/* SPDX-License-Identifier: MIT */
/* pbsref pxar create|extract|list|dump|verify: archives as files [CLI-080 .. CLI-091, EXT-001 .. EXT-007]. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/create.h"
#include "archive/dump.h"
#include "archive/list.h"
#include "archive/verify.h"
#include "cli/cli.h"
#include "cli/extraction.h"
#include "format/quote.h"
#include "sys/env.h"
#include "sys/fd.h"

enum { IO_BUFFER = 1 << 20 };

const struct pbr_opt pbr_opts_pxar_create[] = {
    { .name = "payload-output", .type = PBR_OPT_TEXT, .value = "FILE", .help = "make a split archive: contents go to FILE" },
    { .name = "format-profile", .type = PBR_OPT_CHOICE, .value = "PROFILE",
      .help = "released (default), or one of two drafts that released software cannot read; draft-split needs --payload-output",
      .choices = (const char *const[]){ "released", "draft-split", "draft-appendix", NULL }, .own = true },
    { .name = "exclude", .type = PBR_OPT_LIST, .value = "PATTERN", .help = "leave out what matches; may be repeated" },
    { .name = "all-file-systems", .type = PBR_OPT_BOOL, .help = "descend into all mount points" },
    { .name = "entries-max", .type = PBR_OPT_NUMBER, .value = "N", .help = "directory entries held in memory (default 1048576)" },
    { .name = "no-xattrs", .type = PBR_OPT_BOOL, .help = "leave out extended attributes (and ACLs and capabilities)" },
    { .name = "no-fcaps", .type = PBR_OPT_BOOL, .help = "leave out file capabilities" },
    { .name = "no-acls", .type = PBR_OPT_BOOL, .help = "leave out ACLs" },
    { .name = "no-device-nodes", .type = PBR_OPT_BOOL, .help = "accepted; without effect on creation, as in the original" },
    { .name = "no-fifos", .type = PBR_OPT_BOOL, .help = "accepted; without effect on creation, as in the original" },
    { .name = "no-sockets", .type = PBR_OPT_BOOL, .help = "accepted; without effect on creation, as in the original" },
    { 0 },
};

const struct pbr_opt pbr_opts_pxar_extract[] = {
    { .name = "files-from", .type = PBR_OPT_TEXT, .value = "FILE", .help = "patterns from FILE, one a line" },
    { .name = "strict", .type = PBR_OPT_BOOL, .help = "stop at the first error" },
    { .name = "no-xattrs", .type = PBR_OPT_BOOL, .help = "do not restore extended attributes" },
    { .name = "no-fcaps", .type = PBR_OPT_BOOL, .help = "do not restore file capabilities" },
    { .name = "no-acls", .type = PBR_OPT_BOOL, .help = "do not restore ACLs" },
    { .name = "no-device-nodes", .type = PBR_OPT_BOOL, .help = "skip device nodes" },
    { .name = "no-fifos", .type = PBR_OPT_BOOL, .help = "skip FIFOs" },
    { .name = "no-sockets", .type = PBR_OPT_BOOL, .help = "skip sockets" },
    { 0 },
};

const struct pbr_opt pbr_opts_pxar_payload[] = {
    { .name = "payload-input", .type = PBR_OPT_TEXT, .value = "FILE", .help = "payload half of a split archive" },
    { 0 },
};

const struct pbr_opt pbr_opts_pxar_list[] = {
    { .name = "long", .type = PBR_OPT_BOOL, .help = "mode, owner, time and size too (as PXAR_LOG=debug does)", .own = true },
    { 0 },
};

/* Switches that leave something out. */
static const struct pbr_args_flag leaves_out[] = {
    { "no-xattrs", PBR_FEATURE_XATTRS },
    { "no-fcaps", PBR_FEATURE_FCAPS },
    { "no-acls", PBR_FEATURE_ACL },
    { "no-device-nodes", PBR_FEATURE_DEVICE_NODES },
    { "no-fifos", PBR_FEATURE_FIFOS },
    { "no-sockets", PBR_FEATURE_SOCKETS },
    { 0 },
};

/* ---- create ---- */

struct output {
    const char *path;
    int fd;
    struct pbr_fd_sink file;
    struct pbr_sink sink;
};

/* Created exclusively, mode 0640, never overwritten (CLI-080). */
static int open_output(struct pbr_cli *cli, const char *path, struct output *o, struct pbr_diag *diag)
{
    o->path = path;
    o->fd = pbr_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
    if (o->fd < 0)
        return pbr_fail_os(diag, errno, "cannot create %s", path);
    const int rc = pbr_fd_sink_init(&o->file, &cli->env, o->fd, 4 * IO_BUFFER, path);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory to write %s", path);
    o->sink = pbr_fd_sink(&o->file);
    return PBR_OK;
}

static int close_output(struct output *o, int rc, struct pbr_diag *diag)
{
    if (o->fd < 0)
        return rc;
    if (rc == PBR_OK)
        rc = pbr_fd_sink_flush(&o->file, diag);
    if (rc == PBR_OK && fsync(o->fd) != 0 && errno != EINVAL && errno != EROFS)
        rc = pbr_fail_os(diag, errno, "cannot sync %s", o->path);
    pbr_fd_sink_release(&o->file);
    pbr_close(&o->fd);
    if (rc < 0)
        (void)unlink(o->path); /* a part of an archive is no archive (CRT-170) */
    return rc;
}

static int create(struct pbr_cli *cli, const struct pbr_args *args, int root, struct output *archive,
                  struct output *payload, struct pbr_diag *diag)
{
    const char *const *patterns;
    const char *profile = pbr_args_text(args, "format-profile");
    struct pbr_create_stats stats;
    const size_t n = pbr_args_list(args, "exclude", &patterns);
    struct pbr_span *excludes = pbr_alloc(&cli->env, n + 1, sizeof(*excludes));
    if (!excludes)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for patterns");
    for (size_t i = 0; i < n; i++)
        excludes[i] = pbr_span_str(patterns[i]);
    struct pbr_create_opts opts = { .without = pbr_args_flags(args, leaves_out),
                                          .excludes = excludes,
                                          .exclude_nr = n,
                                          .all_file_systems = pbr_args_bool(args, "all-file-systems"),
                                          .has_entries_max = pbr_args_has(args, "entries-max"),
                                          .entries_max = pbr_args_number(args, "entries-max", 0) };
    if (profile && !pbr_profile_parse(pbr_span_str(profile), &opts.profile))
        opts.profile = PBR_PROFILE_RELEASED; /* other words do not get here */
    const struct pbr_create_outputs outputs = { &archive->sink, payload->path ? &payload->sink : NULL };
    const int rc = pbr_create(&cli->env, root, pbr_args_text(args, "source"), &outputs, &opts, &stats, diag);
    pbr_free(&cli->env, excludes);
    return rc;
}

int pbr_cmd_pxar_create(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct output archive = { .fd = -1 }, payload = { .fd = -1 };
    const char *source = pbr_args_text(args, "source");
    const char *payload_path = pbr_args_text(args, "payload-output");
    int root = pbr_openat(AT_FDCWD, source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0); /* CLI-081 */
    if (root < 0)
        return pbr_fail_os(diag, errno, "cannot open source directory %s", source);
    int rc = open_output(cli, pbr_args_text(args, "archive"), &archive, diag);
    if (rc == PBR_OK && payload_path)
        rc = open_output(cli, payload_path, &payload, diag);
    if (rc == PBR_OK)
        rc = pbr_source_result(create(cli, args, root, &archive, &payload, diag));
    rc = close_output(&payload, rc, diag);
    rc = close_output(&archive, rc, diag);
    pbr_close(&root);
    return rc;
}

/* ---- input ---- */

struct input {
    struct pbr_stream archive, payload;
    bool has_payload;
};

static int open_stream(struct pbr_cli *cli, const char *path, struct pbr_stream *ret, struct pbr_diag *diag)
{
    const bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : pbr_openat(AT_FDCWD, path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s", path);
    const int rc = pbr_stream_fd(&cli->env, fd, !standard, IO_BUFFER, path, ret, diag);
    if (rc < 0 && !standard)
        pbr_close(&fd);
    return rc;
}

static void close_input(struct input *in)
{
    if (in->has_payload)
        pbr_stream_close(&in->payload);
    if (in->archive.ctx)
        pbr_stream_close(&in->archive);
}

static int open_input(struct pbr_cli *cli, const struct pbr_args *args, struct input *in, struct pbr_diag *diag)
{
    const char *path = pbr_args_text(args, "archive");
    const char *payload = strcmp(path, "-") == 0 ? NULL : pbr_args_text(args, "payload-input"); /* EXT-001 */
    *in = (struct input){ 0 };
    if (!payload && pbr_span_ends(pbr_span_str(path), ".mpxar"))
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-091", "Payload input required for split pxar archives (--payload-input)");
    int rc = open_stream(cli, path, &in->archive, diag);
    if (rc == PBR_OK && payload) {
        rc = open_stream(cli, payload, &in->payload, diag);
        in->has_payload = rc == PBR_OK;
    }
    if (rc < 0)
        close_input(in);
    return rc;
}

static void name_archive(const struct pbr_args *args, struct pbr_diag *diag)
{
    pbr_diag_context(diag, "%s", pbr_args_text(args, "archive"));
}

int pbr_cmd_pxar_extract(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct input in;
    struct pbr_extract_stats stats;
    const char *target = pbr_args_text(args, "target");
    struct pbr_extraction x = { .cli = cli,
                                .args = args,
                                .target = target ? target : ".",
                                .strict = pbr_args_bool(args, "strict"),
                                .has_files_from = true,
                                .without = pbr_args_flags(args, leaves_out),
                                .what = "extract" };
    int rc = open_input(cli, args, &in, diag);
    if (rc < 0)
        return rc;
    rc = pbr_extraction_run(&x, &in.archive, in.has_payload ? &in.payload : NULL, &stats, diag);
    if (rc < 0 && rc != PBR_E_PARTIAL)
        name_archive(args, diag);
    close_input(&in);
    return rc;
}

/* ---- list, dump, verify ---- */

static int on_stdout(struct pbr_cli *cli, struct output *out, struct pbr_diag *diag)
{
    *out = (struct output){ .path = "standard output", .fd = STDOUT_FILENO };
    const int rc = pbr_fd_sink_init(&out->file, &cli->env, STDOUT_FILENO, IO_BUFFER, out->path);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for the output");
    out->sink = pbr_fd_sink(&out->file);
    return PBR_OK;
}

/* What was written before a failure is shown too. */
static int end_stdout(struct output *out, int rc, struct pbr_diag *diag)
{
    const int flushed = pbr_fd_sink_flush(&out->file, rc < 0 ? NULL : diag);
    pbr_fd_sink_release(&out->file);
    return rc < 0 ? rc : flushed;
}

static void format_list_time(int64_t time_s, char *out, size_t cap)
{
    char text[64];
    pbr_sys_format_local(time_s, PBR_TIME_LIST, text);
    (void)snprintf(out, cap, "%s", text);
}

int pbr_cmd_pxar_list(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct input in;
    struct output out;
    struct pbr_reader *reader = NULL;
    const bool debug = cli->level >= PBR_LOG_DEBUG;
    const struct pbr_list_opts opts = { .long_form = debug || pbr_args_bool(args, "long"),
                                        .notes = debug,
                                        .format_time = format_list_time };
    int rc = open_input(cli, args, &in, diag);
    if (rc < 0)
        return rc;
    rc = on_stdout(cli, &out, diag);
    if (rc == PBR_OK) {
        rc = pbr_reader_open(&cli->env, &in.archive, in.has_payload ? &in.payload : NULL, &reader, diag);
        if (rc == PBR_OK)
            rc = pbr_list(&cli->env, reader, &opts, &out.sink, diag);
        rc = end_stdout(&out, rc, diag);
    }
    if (rc < 0)
        name_archive(args, diag);
    pbr_reader_free(reader);
    close_input(&in);
    return rc;
}

int pbr_cmd_pxar_dump(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_stream archive;
    struct output out;
    const struct pbr_dump_opts opts = { .json = pbr_output_format(args) != PBR_FORMAT_TEXT };
    int rc = open_stream(cli, pbr_args_text(args, "archive"), &archive, diag);
    if (rc < 0)
        return rc;
    rc = on_stdout(cli, &out, diag);
    if (rc == PBR_OK) {
        rc = pbr_dump(&cli->env, &archive, &opts, &out.sink, diag);
        rc = end_stdout(&out, rc, diag);
    }
    if (rc < 0)
        name_archive(args, diag);
    pbr_stream_close(&archive);
    return rc;
}

struct findings {
    struct pbr_cli *cli;
    json_t *list; /* NULL: text to stdout */
    struct pbr_diag first;
};

static void on_finding(void *ctx, const struct pbr_verify_finding *f)
{
    struct findings *found = ctx;
    struct pbr_buf path;
    pbr_buf_init(&path, &found->cli->env, 1 << 20);
    if (f->path.len == 0 || pbr_quote(f->path, &path) < 0)
        pbr_buf_clear(&path);
    const char *quoted = path.len ? pbr_buf_cstr(&path) : "";
    const char *where = f->in_payload ? "payload " : "";
    if (!f->warning)
        (void)pbr_fail(&found->first, PBR_E_FORMAT, f->rule, f->off, "%s", f->text);
    if (found->list)
        json_array_append_new(found->list, json_pack("{s:s, s:s?, s:I, s:b, s:s, s:s}", "level", f->warning ? "warning" : "error",
                                                     "rule", f->rule, "offset", (json_int_t)f->off, "in_payload", f->in_payload,
                                                     "path", quoted ? quoted : "", "text", f->text));
    else
        (void)printf("%s: %s%s%s (%soffset %" PRIu64 ", rule %s)\n", f->warning ? "warning" : "error", quoted ? quoted : "",
                     quoted && *quoted ? ": " : "", f->text, where, f->off, f->rule ? f->rule : "-");
    pbr_buf_release(&path);
}

static int print_verdict(struct findings *found, const struct pbr_verify_result *r, enum pbr_format format,
                         struct pbr_diag *diag)
{
    if (!found->list) {
        (void)printf("%s: %" PRIu64 " entries (%" PRIu64 " directories, %" PRIu64 " files, %" PRIu64 " hard links), %" PRIu64
                     " bytes of contents, %" PRIu64 " bytes of padding; %" PRIu64 " errors, %" PRIu64 " warnings\n",
                     r->errors ? "DAMAGED" : "ok", r->entries, r->dirs, r->files, r->hardlinks, r->file_bytes,
                     r->padding_bytes, r->errors, r->warnings);
        return PBR_OK;
    }
    json_t *root = json_pack("{s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "findings", found->list, "errors",
                             (json_int_t)r->errors, "warnings", (json_int_t)r->warnings, "entries", (json_int_t)r->entries,
                             "files", (json_int_t)r->files, "file_bytes", (json_int_t)r->file_bytes, "references",
                             (json_int_t)r->refs, "padding_bytes", (json_int_t)r->padding_bytes);
    const int rc = pbr_print_json(root, format, diag);
    json_decref(root);
    return rc;
}

int pbr_cmd_pxar_verify(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct input in;
    struct pbr_verify_result result = { 0 };
    struct findings found = { .cli = cli };
    const enum pbr_format format = pbr_output_format(args);
    int rc = open_input(cli, args, &in, diag);
    if (rc < 0)
        return rc;
    found.list = format == PBR_FORMAT_TEXT ? NULL : json_array();
    const struct pbr_verify_opts opts = { .contents = true, .report = on_finding, .ctx = &found };
    rc = pbr_verify(&cli->env, &in.archive, in.has_payload ? &in.payload : NULL, &opts, &result, diag);
    if (rc == PBR_OK)
        rc = print_verdict(&found, &result, format, diag);
    if (rc == PBR_OK && result.errors > 0) {
        rc = PBR_E_FORMAT;
        *diag = found.first;
    }
    if (rc < 0)
        name_archive(args, diag);
    json_decref(found.list);
    close_input(&in);
    return rc;
}
