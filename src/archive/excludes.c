/* SPDX-License-Identifier: MIT */
/* Sources and text form of exclude patterns; see excludes.h. */
#include "archive/excludes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/create_int.h"
#include "base/limits.h"
#include "format/quote.h"
#include "sys/fd.h"

static const char SANITIZED[] =
    "Sanitized exclude pattern. Exclude patterns are relative to the current backup root, not the current working "
    "directory and should not contain '.' or '..' as path segments.";

static int add_normalised(struct pbr_pattern_list *l, struct pbr_span text, bool include, bool anchored,
                          uint64_t *warnings, struct pbr_diag *diag)
{
    struct pbr_buf out;
    bool changed;
    pbr_buf_init(&out, l->env, text.len + 1);
    int rc = pbr_pattern_normalise(text, &out, &changed);
    if (rc < 0) {
        rc = pbr_fail_at(diag, rc, NULL, "no memory for a pattern");
    } else {
        if (changed) {
            pbr_log(l->env, PBR_LOG_WARN, "%s", SANITIZED);
            ++*warnings;
        }
        rc = pbr_pattern_list_add(l, pbr_buf_span(&out), include, anchored, diag);
    }
    pbr_buf_release(&out);
    return rc;
}

int pbr_excludes_add_cli(struct pbr_pattern_list *l, struct pbr_span text, bool normalise, uint64_t *warnings,
                         struct pbr_diag *diag)
{
    const int rc = normalise ? add_normalised(l, text, false, false, warnings, diag)
                             : pbr_pattern_list_add(l, text, false, false, diag);
    if (rc < 0)
        pbr_diag_context(diag, "invalid exclude pattern entry"); /* [CLI-042] */
    return rc;
}

/* ---- .pxarexclude ---- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n' || byte == '\f';
}

static struct pbr_span trim(struct pbr_span line)
{
    while (line.len > 0 && is_blank(line.ptr[0]))
        line = pbr_span_sub(line, 1, line.len);
    while (line.len > 0 && is_blank(line.ptr[line.len - 1]))
        line.len--;
    return line;
}

/* "/" dir line, for lines that begin with a slash (CRT-046); dir is not escaped (CRT-049). */
static int add_anchored(struct pbr_pattern_list *l, struct pbr_span dir, struct pbr_span line, bool include,
                        uint64_t *warnings, struct pbr_diag *diag)
{
    struct pbr_buf text;
    int rc = PBR_OK;
    pbr_buf_init(&text, l->env, dir.len + line.len + 1);
    if (dir.len > 0)
        rc = pbr_buf_append_u8(&text, '/');
    if (rc == PBR_OK)
        rc = pbr_buf_append(&text, dir);
    if (rc == PBR_OK)
        rc = pbr_buf_append(&text, line);
    if (rc < 0)
        rc = pbr_fail_at(diag, rc, NULL, "no memory for a pattern");
    else
        rc = add_normalised(l, pbr_buf_span(&text), include, true, warnings, diag);
    pbr_buf_release(&text);
    return rc;
}

static int add_line(struct pbr_pattern_list *l, struct pbr_span dir, struct pbr_span line, uint64_t *warnings,
                    struct pbr_diag *diag)
{
    const bool include = line.ptr[0] == '!';
    if (include) /* what is left goes through the general parser, which takes one more '!' [CRT-047, CRT-048] */
        line = pbr_span_sub(line, 1, line.len);
    if (line.len > 0 && line.ptr[0] == '/')
        return add_anchored(l, dir, line, include, warnings, diag);
    return add_normalised(l, line, include, false, warnings, diag);
}

/* The path of a directory's `.pxarexclude`, quoted. */
static const char *quoted_file(const struct pbr_env *env, struct pbr_span dir, struct pbr_quoted *q)
{
    struct pbr_buf path;
    pbr_buf_init(&path, env, dir.len + 32);
    int rc = pbr_buf_append(&path, dir);
    if (rc == PBR_OK && dir.len > 0)
        rc = pbr_buf_append_u8(&path, '/');
    if (rc == PBR_OK)
        rc = pbr_buf_append(&path, pbr_span_str(".pxarexclude"));
    pbr_quote_path(q, rc == PBR_OK ? pbr_buf_span(&path) : dir);
    pbr_buf_release(&path);
    return q->text;
}

int pbr_excludes_parse(struct pbr_pattern_list *l, struct pbr_span dir, struct pbr_span content, uint64_t *warnings,
                       struct pbr_diag *diag)
{
    for (size_t at = 0; at < content.len;) {
        const uint8_t *nl = memchr(content.ptr + at, '\n', content.len - at);
        const size_t end = nl ? (size_t)(nl - content.ptr) : content.len;
        const struct pbr_span line = trim(pbr_span_sub(content, at, end - at));
        at = end + 1;
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        struct pbr_diag bad = { 0 };
        const size_t before = l->nr;
        const int rc = add_line(l, dir, line, warnings, &bad);
        const bool is_bad_line = rc == PBR_E_ARG || (rc == PBR_E_LIMIT && before < PBR_PATTERNS_MAX);
        if (rc < 0 && !is_bad_line)
            return pbr_fail_at(diag, rc, bad.rule, "%s", bad.text);
        if (rc < 0) { /* [CRT-045] */
            struct pbr_quoted q;
            pbr_log(l->env, PBR_LOG_ERROR, "bad pattern in %s: %s", quoted_file(l->env, dir, &q), bad.text);
            ++*warnings;
        }
    }
    return PBR_OK;
}

/* Whole content of fd. *ret_errno: what read said, 0 if everything was read, EFBIG above the limit. */
static int read_all(int fd, struct pbr_buf *out, int *ret_errno)
{
    for (;;) {
        uint8_t *room;
        if (out->len == out->max) {
            *ret_errno = EFBIG;
            return PBR_OK;
        }
        const size_t want = out->max - out->len < 65536 ? out->max - out->len : 65536;
        const int rc = pbr_buf_reserve(out, want, &room);
        if (rc < 0)
            return rc;
        const ssize_t n = pbr_read_some(fd, room, want);
        *ret_errno = n < 0 ? errno : 0;
        if (n <= 0)
            return PBR_OK;
        out->len += (size_t)n;
    }
}

static int load_open(struct pbr_pattern_list *l, int fd, struct pbr_span dir, uint64_t *warnings,
                     struct pbr_diag *diag)
{
    struct pbr_quoted q;
    struct stat st;
    struct pbr_buf content;
    int err = 0;
    int rc = PBR_OK;

    pbr_buf_init(&content, l->env, (size_t)PBR_EXCLUDES_FILE_MAX + 1);
    if (fstat(fd, &st) < 0)
        err = errno;
    else if (S_ISDIR(st.st_mode))
        err = EISDIR;
    else if (!S_ISREG(st.st_mode)) /* a fifo would never end */
        err = EINVAL;
    else
        rc = read_all(fd, &content, &err);

    if (rc < 0) {
        rc = pbr_fail_at(diag, rc, NULL, "no memory for %s", quoted_file(l->env, dir, &q));
    } else if (err) { /* nothing of it counts [CRT-044] */
        pbr_log(l->env, PBR_LOG_WARN, "ignoring .pxarexclude after read error in %s: %s", quoted_file(l->env, dir, &q),
                err == EINVAL ? "not a regular file" : strerror(err));
        ++*warnings;
    } else {
        rc = pbr_excludes_parse(l, dir, pbr_buf_span(&content), warnings, diag);
    }
    pbr_buf_release(&content);
    return rc;
}

int pbr_excludes_load(struct pbr_pattern_list *l, int dirfd, struct pbr_span dir, uint64_t *warnings,
                      struct pbr_diag *diag)
{
    struct pbr_quoted q;
    const int flags = O_RDONLY | O_NOCTTY;
    int fd = pbr_open_noatime(dirfd, ".pxarexclude", flags | O_NONBLOCK);
    if (fd < 0 && errno == EWOULDBLOCK) /* a regular file under a lease: wait for its holder */
        fd = pbr_open_noatime(dirfd, ".pxarexclude", flags);
    if (fd < 0 && errno == ENOENT)
        return PBR_OK;
    if (fd < 0 && (errno == EACCES || errno == ESTALE)) { /* [CRT-042] */
        if (errno == EACCES)
            pbr_log(l->env, PBR_LOG_WARN, "failed to open file: \".pxarexclude\": access denied");
        else
            pbr_log(l->env, PBR_LOG_WARN, "warning: stale file handle encountered while reading: %s",
                    quoted_file(l->env, dir, &q));
        ++*warnings;
        return PBR_OK;
    }
    if (fd < 0)
        return pbr_fail_os(diag, errno, "failed to open %s", quoted_file(l->env, dir, &q));
    const int rc = load_open(l, fd, dir, warnings, diag);
    pbr_close(&fd);
    return rc;
}

/* ---- text form ---- */

int pbr_excludes_text(const struct pbr_pattern_list *l, size_t n, struct pbr_buf *out)
{
    int rc = PBR_OK;
    for (size_t i = 0; rc == PBR_OK && i < n; i++) {
        const struct pbr_pattern *p = l->items[i];
        const struct pbr_span text = pbr_pattern_text(p);
        if (pbr_pattern_is_include(p))
            rc = pbr_buf_append_u8(out, '!');
        if (rc == PBR_OK)
            rc = pbr_buf_append(out, text);
        if (rc == PBR_OK && pbr_pattern_is_dirs_only(p) && !pbr_span_ends(text, "/"))
            rc = pbr_buf_append_u8(out, '/');
        if (rc == PBR_OK)
            rc = pbr_buf_append_u8(out, '\n');
    }
    return rc;
}

static int append_json_byte(struct pbr_buf *out, uint8_t byte)
{
    static const char *const SHORT[] = { ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f",
                                         ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\" };
    if (byte < sizeof(SHORT) / sizeof(SHORT[0]) && SHORT[byte])
        return pbr_buf_append(out, pbr_span_str(SHORT[byte]));
    if (byte < 0x20)
        return pbr_buf_printf(out, "\\u%04x", byte);
    return pbr_buf_append_u8(out, byte);
}

int pbr_excludes_prelude(struct pbr_span text, struct pbr_buf *out, struct pbr_diag *diag)
{
    int rc = pbr_buf_append(out, pbr_span_str("{\"exclude-patterns\":\""));
    for (size_t at = 0; rc == PBR_OK && at < text.len;) {
        uint32_t code_point;
        size_t bad;
        const size_t n = pbr_utf8_next(pbr_span_sub(text, at, text.len - at), &code_point, &bad);
        if (n == 0)
            return pbr_fail(diag, PBR_E_ARG, "CRT-057", at, "exclude patterns are not valid UTF-8");
        for (size_t i = 0; rc == PBR_OK && i < n; i++)
            rc = append_json_byte(out, text.ptr[at + i]);
        at += n;
    }
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_span_str("\"}"));
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "no room for the prelude") : PBR_OK;
}
