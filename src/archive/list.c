/* SPDX-License-Identifier: MIT */
/* `pxar list`; see list.h. A long line is [EXT-143, EXT-144]:
 *
 *   mode string, ' ', "uid/gid" in 13 columns, ' ', time, ' ', size right in 8 columns, ' ',
 *   "path"[ -> "target"][ offset]
 */
#include "archive/list.h"

#include <stdio.h>

#include "format/name.h"
#include "format/quote.h"

enum { LINE_MAX_BYTES = 256 << 20, TIME_TEXT = 64 }; /* a path quoted byte for byte grows tenfold at most */

static char type_char(const struct pbr_pxar_entry *e)
{
    if (e->kind == PBR_KIND_HARDLINK)
        return 'L';
    if (e->kind == PBR_KIND_APPENDIX_REF)
        return '-';
    switch (e->meta.mode & PBR_MODE_TYPE) {
    case PBR_MODE_REG: return '-';
    case PBR_MODE_BLOCK: return 'b';
    case PBR_MODE_CHAR: return 'c';
    case PBR_MODE_DIR: return 'd';
    case PBR_MODE_SYMLINK: return 'l';
    case PBR_MODE_FIFO: return 'p';
    case PBR_MODE_SOCKET: return 's';
    default: return '?';
    }
}

static bool has_acl(const struct pbr_pxar_meta *m)
{
    return m->acl_user_nr || m->acl_group_nr || m->acl_default_user_nr || m->acl_default_group_nr ||
           m->has_acl_group_obj || m->has_acl_default;
}

/* One permission triple; `special` replaces x: lower case with x, upper case without. */
static void triple(char *out, uint64_t bits, bool special, char letter)
{
    const bool exec = bits & 1;
    out[0] = bits & 4 ? 'r' : '-';
    out[1] = bits & 2 ? 'w' : '-';
    out[2] = special ? (char)(exec ? letter : letter - 'a' + 'A') : exec ? 'x' : '-';
}

static void mode_text(const struct pbr_pxar_entry *e, char out[13])
{
    const uint64_t mode = e->meta.mode;
    out[0] = type_char(e);
    triple(out + 1, mode >> 6, mode & 04000, 's');
    triple(out + 4, mode >> 3, mode & 02000, 's');
    triple(out + 7, mode, mode & 01000, 't');
    out[10] = has_acl(&e->meta) ? '+' : ' ';
    out[11] = e->meta.xattr_nr ? '+' : ' ';
    out[12] = 0;
}

static void utc_time(int64_t time_s, char *out, size_t cap)
{
    char text[32];
    pbr_time_format_any(time_s, text); /* YYYY-MM-DDThh:mm:ssZ, years of any length */
    char *t = NULL, *z = NULL;
    for (char *p = text; *p; p++) {
        t = *p == 'T' ? p : t;
        z = *p == 'Z' ? p : z;
    }
    if (t)
        *t = ' ';
    if (z)
        *z = 0;
    (void)snprintf(out, cap, "%s", text);
}

static int put_long_columns(const struct pbr_pxar_entry *e, const struct pbr_list_opts *opts, struct pbr_buf *out)
{
    char mode[13], owner[32], when[TIME_TEXT], size[48];
    mode_text(e, mode);
    (void)snprintf(owner, sizeof(owner), "%" PRIu32 "/%" PRIu32, e->meta.uid, e->meta.gid);
    if (opts->format_time)
        opts->format_time(e->meta.mtime_s, when, sizeof(when));
    else
        utc_time(e->meta.mtime_s, when, sizeof(when));
    if (e->kind == PBR_KIND_DEVICE)
        (void)snprintf(size, sizeof(size), "%" PRIu64 ",%" PRIu64, e->major, e->minor);
    else
        (void)snprintf(size, sizeof(size), "%" PRIu64, e->kind == PBR_KIND_FILE || e->kind == PBR_KIND_APPENDIX_REF ? e->size : 0);
    return pbr_buf_printf(out, "%s %-13s %s %8s ", mode, owner, when, size);
}

static int put_line(const struct pbr_pxar_entry *e, struct pbr_span path, const struct pbr_list_opts *opts,
                    struct pbr_buf *out)
{
    const bool link = e->kind == PBR_KIND_SYMLINK || e->kind == PBR_KIND_HARDLINK;
    int rc = opts->long_form ? put_long_columns(e, opts, out) : PBR_OK;
    if (rc == PBR_OK)
        rc = pbr_quote(path, out);
    if (rc == PBR_OK && opts->long_form && link) {
        rc = pbr_buf_append(out, pbr_span_str(" -> "));
        if (rc == PBR_OK)
            rc = pbr_quote(e->target, out);
    }
    if (rc == PBR_OK && opts->long_form && e->has_ref)
        rc = pbr_buf_printf(out, " %" PRIu64, e->ref_off);
    return rc < 0 ? rc : pbr_buf_append_u8(out, '\n');
}

int pbr_list_line(const struct pbr_pxar_entry *entry, struct pbr_span path, const struct pbr_list_opts *opts,
                  struct pbr_buf *out)
{
    const size_t before = out->len;
    const int rc = put_line(entry, path, opts, out);
    if (rc < 0)
        out->len = before;
    return rc;
}

static void note(const struct pbr_env *env, const struct pbr_reader *r, const struct pbr_pxar_event *ev)
{
    if (ev->ev == PBR_PXAR_EV_VERSION)
        pbr_log(env, PBR_LOG_DEBUG, "pxar format version %" PRIu64, ev->version);
    else if (ev->ev == PBR_PXAR_EV_PRELUDE)
        pbr_log(env, PBR_LOG_DEBUG, "prelude of size %zu", ev->data.len);
    else if (ev->ev == PBR_PXAR_EV_ENTRY && pbr_reader_padding(r) > 0)
        pbr_log(env, PBR_LOG_DEBUG, "Encountered padding of %" PRIu64 " bytes", pbr_reader_padding(r));
}

static int list_entries(const struct pbr_env *env, struct pbr_reader *r, const struct pbr_list_opts *opts,
                        struct pbr_buf *line, struct pbr_sink *out, struct pbr_diag *diag)
{
    for (;;) {
        struct pbr_pxar_event ev;
        int rc = pbr_reader_next(r, &ev, diag);
        if (rc < 0 || ev.ev == PBR_PXAR_EV_END)
            return rc;
        if (opts->notes)
            note(env, r, &ev);
        if (ev.ev != PBR_PXAR_EV_ENTRY)
            continue;
        if (opts->long_form && ev.entry.kind == PBR_KIND_APPENDIX_REF) { /* its line comes when its metadata comes */
            rc = pbr_reader_want(r, diag);
            if (rc < 0)
                return rc;
            continue;
        }
        pbr_buf_clear(line);
        rc = pbr_list_line(&ev.entry, pbr_reader_path(r), opts, line);
        if (rc < 0)
            return pbr_fail(diag, (enum pbr_err)rc, NULL, ev.pos, "line of the listing: %s", pbr_err_name(rc));
        rc = pbr_sink_write(out, pbr_buf_span(line), diag);
        if (rc < 0)
            return rc;
    }
}

int pbr_list(const struct pbr_env *env, struct pbr_reader *r, const struct pbr_list_opts *opts, struct pbr_sink *out,
             struct pbr_diag *diag)
{
    struct pbr_buf line;
    pbr_buf_init(&line, env, LINE_MAX_BYTES);
    const int rc = list_entries(env, r, opts, &line, out, diag);
    pbr_buf_release(&line);
    return rc;
}
