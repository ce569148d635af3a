/* SPDX-License-Identifier: MIT */
/* Errors of extraction: what is said, what is counted, and whether it goes on [EXT-090 .. EXT-092].
 * Also the file that a prelude is written to [EXT-100].
 *
 * Thread: as extract.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "archive/extract_int.h"
#include "format/quote.h"
#include "sys/fd.h"

enum { CAUSE_CAP = 192, TEXT_MAX = 256 << 10 };

struct pbr_extract_cause pbr_extract_os_cause(int negative_errno)
{
    return (struct pbr_extract_cause){ .code = PBR_E_IO, .os_errno = -negative_errno };
}

static void cause_text(const struct pbr_extract_cause *cause, char out[CAUSE_CAP])
{
    const char *name = strerrorname_np(cause->os_errno);
    const char *text = strerrordesc_np(cause->os_errno);
    text = text ? text : "unknown error";
    if (cause->text)
        (void)snprintf(out, CAUSE_CAP, "%s", cause->text);
    else if (cause->number_style || !name)
        (void)snprintf(out, CAUSE_CAP, "%s (os error %d)", text, cause->os_errno);
    else
        (void)snprintf(out, CAUSE_CAP, "%s: %s", name, text);
}

/* ---- texts ---- */

/* What stands before chain element i. */
static int separate(bool one_line, unsigned i, struct pbr_buf *out)
{
    if (!one_line)
        return pbr_buf_printf(out, "\n    %u: ", i);
    return i ? pbr_buf_append(out, pbr_span_str(": ")) : PBR_OK;
}

static int detail_text(const struct pbr_extract_note *note, struct pbr_buf *out)
{
    int rc = pbr_buf_append(out, pbr_span_str(note->detail));
    if (rc == PBR_OK && note->detail_subject.ptr)
        rc = pbr_buf_append_u8(out, ' ');
    if (rc == PBR_OK && note->detail_subject.ptr)
        rc = pbr_quote(note->detail_subject, out);
    return rc;
}

static int remark_text(const struct pbr_extract_note *note, struct pbr_buf *out)
{
    int rc = pbr_quote(note->path, out);
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_span_str(": "));
    return rc == PBR_OK ? detail_text(note, out) : rc;
}

int pbr_extract_note_text(const struct pbr_extract_note *note, bool one_line, struct pbr_buf *out)
{
    unsigned nr = 0;
    int rc = PBR_OK;
    if (note->level != PBR_EXTRACT_ERROR)
        return remark_text(note, out);
    if (!one_line) {
        rc = pbr_buf_append(out, pbr_span_str("error at "));
        if (rc == PBR_OK)
            rc = pbr_quote(note->path, out);
        if (rc == PBR_OK)
            rc = pbr_buf_append(out, pbr_span_str("\n\nCaused by:"));
    }
    if (rc == PBR_OK)
        rc = separate(one_line, nr++, out);
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_span_str("error at entry "));
    if (rc == PBR_OK)
        rc = pbr_quote(note->name, out);
    for (int part = 0; rc == PBR_OK && part < 3; part++) {
        const char *text = part == 0 ? note->context : part == 1 ? note->detail : note->cause;
        if (!text)
            continue;
        rc = separate(one_line, nr++, out);
        if (rc == PBR_OK)
            rc = part == 1 ? detail_text(note, out) : pbr_buf_append(out, pbr_span_str(text));
    }
    return rc;
}

/* ---- failures ---- */

static void strict_diag(struct pbr_extract_run *run, const struct pbr_extract_note *note)
{
    struct pbr_buf text;
    pbr_buf_init(&text, run->env, TEXT_MAX);
    const char *chain =
        pbr_extract_note_text(note, true, &text) == PBR_OK ? pbr_buf_cstr(&text) : NULL;
    (void)pbr_fail_at(run->diag, note->code, note->rule,
                      "encountered unexpected error during extraction: %s",
                      chain ? chain : note->cause);
    if (run->diag && note->os_errno)
        run->diag->os_errno = note->os_errno;
    if (run->diag && note->has_off) {
        run->diag->has_off = true;
        run->diag->off = note->off;
    }
    pbr_buf_release(&text);
}

static void count_error(struct pbr_extract_run *run, const struct pbr_extract_note *note)
{
    run->stats.errors++;
    run->stats.incomplete += note->incomplete;
    run->stats.failed += !run->entry_failed;
    run->entry_failed = true;
}

/* Who is spoken of. */
static void fill_in(const struct pbr_extract_run *run, struct pbr_extract_note *note)
{
    note->path = run->path;
    note->name = pbr_span_str(run->name);
    note->context = run->context;
}

int pbr_extract_fail(struct pbr_extract_run *run, struct pbr_extract_note note,
                     const struct pbr_extract_cause *cause)
{
    char text[CAUSE_CAP];
    if (cause->code == PBR_E_NOMEM) /* of ours, not of the file system: no way to go on */
        return pbr_fail_at(run->diag, PBR_E_NOMEM, NULL, "no memory");
    if (run->ignore_errors)
        return PBR_OK;
    cause_text(cause, text);
    fill_in(run, &note);
    note.level = PBR_EXTRACT_ERROR;
    note.cause = text;
    note.rule = cause->rule;
    note.code = cause->code;
    note.os_errno = cause->os_errno;
    note.last = run->opts->strict;
    count_error(run, &note);
    if (run->opts->report)
        run->opts->report(run->opts->ctx, &note);
    if (!run->opts->strict)
        return PBR_OK;
    strict_diag(run, &note);
    return note.code;
}

int pbr_extract_meta_note(void *ctx, const struct pbr_meta_note *note)
{
    struct pbr_extract_run *run = ctx;
    const struct pbr_span subject =
        note->subject ? pbr_span_str(note->subject) : (struct pbr_span){ 0 };
    struct pbr_extract_note out = { .detail = note->text, .detail_subject = subject };
    if (note->is_error)
        return pbr_extract_fail(run, out,
                                &(struct pbr_extract_cause){ .code = note->code,
                                                             .rule = note->rule,
                                                             .os_errno = note->os_errno,
                                                             .text = note->reason });
    fill_in(run, &out);
    out.level = note->subject ? PBR_EXTRACT_INFO : PBR_EXTRACT_WARN;
    out.rule = note->rule;
    if (run->opts->report)
        run->opts->report(run->opts->ctx, &out);
    return PBR_OK;
}

void pbr_extract_broken_file(struct pbr_extract_run *run, const struct pbr_diag *diag)
{
    struct pbr_extract_note note = { .level = PBR_EXTRACT_ERROR,
                                     .cause = diag->text,
                                     .rule = diag->rule,
                                     .code = diag->code,
                                     .os_errno = diag->os_errno,
                                     .incomplete = true,
                                     .last = true };
    fill_in(run, &note);
    count_error(run, &note);
    if (run->opts->report)
        run->opts->report(run->opts->ctx, &note);
}

/* ---- prelude ---- */

int pbr_extract_prelude_to_file(const char *path, bool overwrite, struct pbr_span prelude,
                                struct pbr_diag *diag)
{
    int fd = pbr_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | (overwrite ? O_TRUNC : O_EXCL), 0666);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "failed to create prelude file '%s'", path);
    const int rc = pbr_write_all(fd, prelude, path, diag);
    pbr_close(&fd);
    return rc;
}
