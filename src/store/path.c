/* SPDX-License-Identifier: MIT */
/* Checked names to paths relative to the root [IDX-107 .. IDX-110], and the patterns by which directory entries count. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/store_int.h"
#include "sys/fd.h"

int store_ns_path(const char *ns, char *out, struct pbr_diag *diag)
{
    size_t at = 0;
    const int rc = pbr_ns_check(pbr_span_str(ns), diag);
    if (rc < 0)
        return rc;

    out[0] = 0;
    while (*ns) {
        const size_t len = (size_t)(strchrnul(ns, '/') - ns);
        at += (size_t)snprintf(out + at, STORE_PATH_MAX - at, "%sns/%.*s", at ? "/" : "", (int)len, ns);
        ns += len + (ns[len] == '/');
    }
    return PBR_OK;
}

int store_group_path(const char *ns, const struct pbr_group *g, char *out, struct pbr_diag *diag)
{
    const int rc = store_ns_path(ns, out, diag);
    if (rc < 0)
        return rc;
    if (!pbr_backup_type_ok(pbr_span_str(g->type)))
        return pbr_fail_at(diag, PBR_E_ARG, "IDX-107", "invalid backup type '%s'", g->type);
    if (!pbr_name_is_safe_id(pbr_span_str(g->id)))
        return pbr_fail_at(diag, PBR_E_ARG, "IDX-108", "invalid backup id '%s'", g->id);
    const size_t at = strlen(out);
    (void)snprintf(out + at, STORE_PATH_MAX - at, "%s%s/%s", at ? "/" : "", g->type, g->id);
    return PBR_OK;
}

int store_snap_path(const char *ns, const struct pbr_snapshot *snap, char *out, struct pbr_diag *diag)
{
    char time[PBR_TIME_TEXT + 1];
    const int rc = store_group_path(ns, &snap->group, out, diag);
    if (rc < 0)
        return rc;
    if (!pbr_time_format(snap->time_s, time))
        return pbr_fail_at(diag, PBR_E_ARG, "IDX-109", "invalid backup time %" PRId64, snap->time_s);
    const size_t at = strlen(out);
    (void)snprintf(out + at, STORE_PATH_MAX - at, "/%s", time);
    return PBR_OK;
}

static int open_path(struct pbr_store *s, const char *path, const char *rule, int *ret_fd, struct pbr_diag *diag)
{
    const int fd = store_open_dir(s->root_fd, path);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return pbr_fail_at(diag, PBR_E_NOENT, rule, "ENOENT: No such file or directory");
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s/%s", s->path, path);
    *ret_fd = fd;
    return PBR_OK;
}

int store_open_ns(struct pbr_store *s, const char *ns, const char *rule, int *ret_fd, struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX];
    const int rc = store_ns_path(ns, path, diag);
    return rc < 0 ? rc : open_path(s, path, rule, ret_fd, diag);
}

int store_open_group(struct pbr_store *s, const char *ns, const struct pbr_group *g, const char *rule, int *ret_fd,
                     struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX];
    const int rc = store_group_path(ns, g, path, diag);
    return rc < 0 ? rc : open_path(s, path, rule, ret_fd, diag);
}

int store_open_snap(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, const char *rule,
                    int *ret_fd, struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX];
    const int rc = store_snap_path(ns, snap, path, diag);
    return rc < 0 ? rc : open_path(s, path, rule, ret_fd, diag);
}

bool store_want_type(const char *name)
{
    return pbr_backup_type_ok(pbr_span_str(name));
}

bool store_want_id(const char *name)
{
    return strlen(name) <= PBR_ID_MAX && pbr_name_is_safe_id(pbr_span_str(name));
}

bool store_want_time(const char *name)
{
    int64_t time_s;
    return pbr_time_parse(pbr_span_str(name), &time_s) && time_s >= 1;
}

bool store_want_file(const char *name)
{
    enum pbr_file_type type;
    return strlen(name) <= PBR_ARCHIVE_NAME_MAX && pbr_name_file_type(pbr_span_str(name), &type);
}

int store_check_name(const char *name, enum pbr_file_type *ret, struct pbr_diag *diag)
{
    if (!pbr_name_is_safe_id(pbr_span_str(name)) || strlen(name) > PBR_ARCHIVE_NAME_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "IDX-081", "invalid file name \"%s\"", name);
    if (!pbr_name_file_type(pbr_span_str(name), ret))
        return pbr_fail_at(diag, PBR_E_ARG, "RDR-020", "unknown archive type: \"%s\"", name);
    return PBR_OK;
}

struct store_cause store_cause(int os_errno)
{
    struct store_cause c;
    char reason[96] = "";
    (void)snprintf(c.text, sizeof(c.text), "%s (os error %d)", strerror_r(os_errno, reason, sizeof(reason)), os_errno);
    return c;
}
