/* SPDX-License-Identifier: MIT */
/* Extraction for the command line; see extraction.h. */
#include "cli/extraction.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "format/pattern.h"
#include "sys/fd.h"

enum { FILES_FROM_MAX = 64 << 20, NOTE_MAX = 64 << 10 };

const struct pbr_opt pbr_opts_overwrite[] = {
    { .name = "pattern", .type = PBR_OPT_LIST, .value = "PATTERN", .help = "extract only what matches; may be repeated" },
    { .name = "allow-existing-dirs", .type = PBR_OPT_BOOL, .help = "extract into directories that exist" },
    { .name = "overwrite", .type = PBR_OPT_BOOL, .help = "replace existing files, symlinks and hard links" },
    { .name = "overwrite-files", .type = PBR_OPT_BOOL, .help = "replace existing files" },
    { .name = "overwrite-symlinks", .type = PBR_OPT_BOOL, .help = "replace existing entries by symlinks" },
    { .name = "overwrite-hardlinks", .type = PBR_OPT_BOOL, .help = "replace existing entries by hard links" },
    { .name = "prelude-target", .type = PBR_OPT_TEXT, .value = "FILE", .help = "write the archive's prelude to FILE" },
    { 0 },
};

/* ---- patterns ---- */

static int add_pattern(struct pbr_pattern_list *list, struct pbr_span text, struct pbr_diag *diag)
{
    const int rc = pbr_pattern_list_add(list, text, true, false, diag);
    if (rc < 0)
        pbr_diag_context(diag, "error in pattern");
    return rc;
}

static struct pbr_span trim(struct pbr_span s)
{
    while (s.len && strchr(" \t\r\n\f\v", s.ptr[0]))
        s = pbr_span_sub(s, 1, s.len);
    while (s.len && strchr(" \t\r\n\f\v", s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* One pattern a line; these come before those of the command line (EXT-007). */
static int add_file(struct pbr_cli *cli, struct pbr_pattern_list *list, const char *path, struct pbr_diag *diag)
{
    struct pbr_buf text;
    int rc = pbr_load_file(&cli->env, AT_FDCWD, path, FILES_FROM_MAX, &text, diag);
    if (rc < 0)
        return rc;
    struct pbr_span rest = pbr_buf_span(&text);
    while (rest.len && rc == PBR_OK) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        const size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        const struct pbr_span line = trim(pbr_span(rest.ptr, len));
        if (line.len && line.ptr[0] != '#')
            rc = add_pattern(list, line, diag);
        rest = pbr_span_sub(rest, len + 1, rest.len);
    }
    if (rc < 0)
        pbr_diag_context(diag, "bad pattern in file '%s'", path);
    pbr_buf_release(&text);
    return rc;
}

static int take_patterns(struct pbr_extraction *x, bool has_files_from, struct pbr_pattern_list *list,
                         struct pbr_diag *diag)
{
    const char *const *texts;
    const size_t n = pbr_args_list(x->args, "pattern", &texts);
    const char *file = has_files_from ? pbr_args_text(x->args, "files-from") : NULL;
    int rc = file ? add_file(x->cli, list, file, diag) : PBR_OK;
    for (size_t i = 0; i < n && rc == PBR_OK; i++)
        rc = add_pattern(list, pbr_span_str(texts[i]), diag);
    return rc;
}

/* ---- callbacks ---- */

static void on_note(void *ctx, const struct pbr_extract_note *note)
{
    struct pbr_extraction *x = ctx;
    struct pbr_buf text;
    char rule[32] = "";
    if (note->last && note->level == PBR_EXTRACT_ERROR)
        return; /* it comes back as the command's own error */
    pbr_buf_init(&text, &x->cli->env, NOTE_MAX);
    if (note->rule)
        (void)snprintf(rule, sizeof(rule), " (rule %s)", note->rule);
    if (pbr_extract_note_text(note, true, &text) == PBR_OK && pbr_buf_cstr(&text))
        pbr_log(&x->cli->env,
                note->level == PBR_EXTRACT_ERROR  ? PBR_LOG_ERROR
                : note->level == PBR_EXTRACT_WARN ? PBR_LOG_WARN
                                                  : PBR_LOG_INFO,
                note->level == PBR_EXTRACT_ERROR ? "error: %s%s%s" : "%s%s%s", (const char *)text.ptr,
                note->incomplete ? " (the file is incomplete)" : "", rule);
    pbr_buf_release(&text);
}

static int on_progress(void *ctx, const struct pbr_extract_stats *so_far)
{
    struct pbr_extraction *x = ctx;
    pbr_progress_show(x->cli, x->what, so_far->entries, so_far->bytes, x->total);
    return PBR_OK;
}

static int write_prelude(const struct pbr_extraction *x, struct pbr_span prelude, struct pbr_diag *diag)
{
    const char *path = pbr_args_text(x->args, "prelude-target");
    if (!path)
        return PBR_OK;
    if (!prelude.ptr) {
        pbr_log(&x->cli->env, PBR_LOG_INFO, "No prelude entry found, skip prelude restore.");
        return PBR_OK;
    }
    const bool overwrite = pbr_args_bool(x->args, "overwrite") || pbr_args_bool(x->args, "overwrite-files");
    return pbr_extract_prelude_to_file(path, overwrite, prelude, diag);
}

/* Comes once, before anything is extracted: the archive is one, so the target may be made now (EXT-012). */
static int on_prelude(void *ctx, struct pbr_span prelude, struct pbr_diag *diag)
{
    struct pbr_extraction *x = ctx;
    int rc = write_prelude(x, prelude, diag);
    if (rc == PBR_OK && !x->opened)
        rc = pbr_target_fs_open(&x->cli->env, x->target, &x->root, diag);
    x->opened = x->opened || rc == PBR_OK;
    return rc;
}

int pbr_extraction_run(struct pbr_extraction *x, struct pbr_stream *archive, struct pbr_stream *payload,
                       struct pbr_extract_stats *ret, struct pbr_diag *diag)
{
    struct pbr_pattern_list patterns;
    struct pbr_reader *reader = NULL;
    const struct pbr_reader_opts reader_opts = { .draft = x->draft };
    const bool all = pbr_args_bool(x->args, "overwrite");
    *ret = (struct pbr_extract_stats){ 0 };
    pbr_pattern_list_init(&patterns, &x->cli->env);
    int rc = take_patterns(x, x->has_files_from, &patterns, diag);
    if (rc == PBR_OK)
        rc = pbr_reader_open_opts(&x->cli->env, archive, payload, &reader_opts, &reader, diag);
    if (rc == PBR_OK) {
        const struct pbr_extract_opts opts = {
            .patterns = patterns.nr ? &patterns : NULL,
            .allow_existing_dirs = pbr_args_bool(x->args, "allow-existing-dirs"),
            .overwrite_files = all || pbr_args_bool(x->args, "overwrite-files"),
            .overwrite_symlinks = all || pbr_args_bool(x->args, "overwrite-symlinks"),
            .overwrite_hardlinks = all || pbr_args_bool(x->args, "overwrite-hardlinks"),
            .strict = x->strict,
            .ignore_device_errors = x->ignore_device_errors,
            .without = x->without,
            .report = on_note,
            .progress = x->cli->stderr_tty ? on_progress : NULL,
            .prelude = on_prelude,
            .ctx = x,
        };
        rc = pbr_extract(&x->cli->env, reader, &x->root, &opts, ret, diag);
    }
    if (x->opened)
        pbr_target_close(&x->root);
    pbr_progress_clear();
    pbr_reader_free(reader);
    pbr_pattern_list_release(&patterns);
    return rc;
}
