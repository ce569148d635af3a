/* SPDX-License-Identifier: MIT */
/* Metadata capture; see capture.h. */
#include "archive/capture.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/msdos_fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "archive/capture_acl.h"
#include "archive/create.h"

enum {
    XATTR_SPACE = 65536, /* the kernel gives neither longer lists nor longer values, but E2BIG (XATTR_SIZE_MAX) */
    STOP = 2,            /* E2BIG with the option to skip: no more attributes of this entry [CRT-109] */
};

void pbr_capture_init(struct pbr_capture *c, const struct pbr_env *env)
{
    *c = (struct pbr_capture){ .env = env };
    pbr_buf_init(&c->names, env, XATTR_SPACE);
    pbr_buf_init(&c->values, env, (size_t)1 << 30); /* 65536 bytes of names with 65536 bytes each stay below */
    pbr_buf_init(&c->special, env, 4 * XATTR_SPACE);
}

void pbr_capture_release(struct pbr_capture *c)
{
    if (!c->env)
        return;
    pbr_buf_release(&c->names);
    pbr_buf_release(&c->values);
    pbr_buf_release(&c->special);
    pbr_free(c->env, c->xattrs);
    pbr_free(c->env, c->ids);
    *c = (struct pbr_capture){ .env = NULL };
}

/* ---- extended attributes ---- */

bool pbr_capture_name_is_stored(struct pbr_span name)
{
    if (name.len > 255)
        return false;
    return pbr_span_starts(name, "user.") || pbr_span_starts(name, "trusted.") ||
           pbr_span_eq_str(name, "security.NTACL");
}

/* E2BIG, ESTALE and the rest that is not tolerated. */
static int xattr_failed(int err, const char *what, bool skip_e2big, struct pbr_diag *diag)
{
    if (err == ESTALE)
        return PBR_CAPTURE_STALE;
    if (err == E2BIG && skip_e2big)
        return STOP;
    return pbr_fail_os(diag, err, err == E2BIG ? "cannot read %s (try --skip-e2big-xattr)" : "cannot read %s", what);
}

/* Appends the value to `out`. *ret_have: false if the attribute is gone or unsupported (CRT-108). */
static int read_value(int fd, const char *name, struct pbr_buf *out, bool skip_e2big, bool *ret_have,
                      struct pbr_diag *diag)
{
    uint8_t *room;
    const int rc = pbr_buf_reserve(out, XATTR_SPACE, &room);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for extended attributes");
    const ssize_t n = fgetxattr(fd, name, room, XATTR_SPACE);
    *ret_have = n >= 0;
    if (n >= 0) {
        out->len += (size_t)n;
        return PBR_OK;
    }
    if (errno == ENODATA || errno == EOPNOTSUPP || errno == EBADF)
        return PBR_OK;
    return xattr_failed(errno, "extended attribute", skip_e2big, diag);
}

static int add_xattr(struct pbr_capture *c, int fd, const char *name, bool skip_e2big, struct pbr_diag *diag)
{
    bool have = false;
    const size_t at = c->values.len;
    if (c->xattr_nr == c->xattr_cap) {
        const size_t cap = c->xattr_cap ? 2 * c->xattr_cap : 16;
        struct pbr_pxar_xattr *more = pbr_realloc(c->env, c->xattrs, cap * sizeof(*more));
        if (!more)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for extended attributes");
        c->xattrs = more;
        c->xattr_cap = cap;
    }
    const int rc = read_value(fd, name, &c->values, skip_e2big, &have, diag);
    if (rc == PBR_OK && have) /* where the value lies is known when `values` has stopped growing */
        c->xattrs[c->xattr_nr++] = (struct pbr_pxar_xattr){ .name = pbr_span_str(name),
                                                            .value = { NULL, c->values.len - at } };
    return rc;
}

/* Both raw ACLs at once, whichever name was seen (CRT-112); the default one only for directories. */
static int read_acls(struct pbr_capture *c, int fd, bool is_dir, bool skip_e2big, struct pbr_diag *diag)
{
    bool have;
    c->access_at = c->special.len;
    int rc = read_value(fd, "system.posix_acl_access", &c->special, skip_e2big, &have, diag);
    c->access_len = c->special.len - c->access_at;
    if (rc != PBR_OK || !is_dir)
        return rc;
    c->default_at = c->special.len;
    rc = read_value(fd, "system.posix_acl_default", &c->special, skip_e2big, &have, diag);
    c->default_len = c->special.len - c->default_at;
    return rc;
}

struct names_state {
    uint64_t features;
    bool is_dir, skip_e2big, acls_read;
};

static int read_one(struct pbr_capture *c, int fd, const char *name, struct names_state *s, struct pbr_diag *diag)
{
    const struct pbr_span span = pbr_span_str(name);
    if (pbr_span_eq_str(span, "security.capability")) {
        if (!(s->features & PBR_FEATURE_FCAPS)) /* [CRT-111] */
            return PBR_OK;
        c->fcaps_at = c->special.len;
        const int rc = read_value(fd, name, &c->special, s->skip_e2big, &c->has_fcaps, diag);
        c->fcaps_len = c->special.len - c->fcaps_at;
        return rc;
    }
    if (pbr_span_eq_str(span, "system.posix_acl_access") || pbr_span_eq_str(span, "system.posix_acl_default")) {
        if (!(s->features & PBR_FEATURE_ACL) || s->acls_read)
            return PBR_OK;
        s->acls_read = true;
        return read_acls(c, fd, s->is_dir, s->skip_e2big, diag);
    }
    return pbr_capture_name_is_stored(span) ? add_xattr(c, fd, name, s->skip_e2big, diag) : PBR_OK;
}

/* The list of names into c->names; empty if there is none. */
static int list_names(struct pbr_capture *c, int fd, struct pbr_fs_scope *scope, bool skip_e2big,
                      struct pbr_diag *diag)
{
    uint8_t *room;
    const int rc = pbr_buf_reserve(&c->names, XATTR_SPACE, &room);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for extended attributes");
    const ssize_t n = flistxattr(fd, (char *)room, XATTR_SPACE);
    if (n >= 0) {
        c->names.len = (size_t)n;
        return PBR_OK;
    }
    if (errno == EOPNOTSUPP) { /* [CRT-110] */
        scope->features &= ~PBR_FEATURE_XATTRS;
        return PBR_OK;
    }
    return errno == EBADF ? PBR_OK : xattr_failed(errno, "extended attribute names", skip_e2big, diag);
}

static int read_xattrs(struct pbr_capture *c, int fd, struct pbr_fs_scope *scope, bool is_dir, bool skip_e2big,
                       struct pbr_diag *diag)
{
    struct names_state s = { .features = scope->features, .is_dir = is_dir, .skip_e2big = skip_e2big };
    int rc = list_names(c, fd, scope, skip_e2big, diag);

    for (size_t at = 0; rc == PBR_OK && at < c->names.len;) {
        const char *name = (const char *)c->names.ptr + at;
        const size_t len = strnlen(name, c->names.len - at);
        if (len == c->names.len - at) /* names end with NUL; a cut one is none */
            break;
        rc = read_one(c, fd, name, &s, diag);
        at += len + 1;
    }
    size_t at = 0;
    for (size_t i = 0; i < c->xattr_nr; i++) {
        c->xattrs[i].value.ptr = c->values.ptr + at;
        at += c->xattrs[i].value.len;
    }
    return rc == STOP ? PBR_OK : rc;
}

/* ---- ACLs ---- */

static int take_acls(struct pbr_capture *c, struct pbr_pxar_meta *meta, struct pbr_diag *diag)
{
    const struct pbr_span access = pbr_span_sub(pbr_buf_span(&c->special), c->access_at, c->access_len);
    const struct pbr_span dflt = pbr_span_sub(pbr_buf_span(&c->special), c->default_at, c->default_len);
    const size_t need = pbr_acl_entries_max(access) + pbr_acl_entries_max(dflt);

    if (need == 0)
        return PBR_OK;
    if (need > c->id_cap) {
        struct pbr_pxar_acl_id *more = pbr_realloc(c->env, c->ids, need * sizeof(*more));
        if (!more)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for an ACL");
        c->ids = more;
        c->id_cap = need;
    }
    int rc = PBR_OK;
    if (access.len > 0)
        rc = pbr_acl_access_parse(access, c->ids, meta, diag);
    if (rc == PBR_OK && dflt.len > 0)
        rc = pbr_acl_default_parse(dflt, c->ids + pbr_acl_entries_max(access), meta, diag);
    return rc;
}

/* ---- inode flags and project id ---- */

/* Table of CRT-122. */
static const struct {
    uint32_t source;
    uint32_t flag;
} INODE_FLAGS[] = {
    { 0x00000020, 0x00010000 }, /* append only */
    { 0x00000080, 0x00020000 }, /* no atime */
    { 0x00000004, 0x00040000 }, /* compress */
    { 0x00800000, 0x00080000 }, /* no copy on write */
    { 0x00000040, 0x00100000 }, /* no dump */
    { 0x00010000, 0x00200000 }, /* synchronous directory */
    { 0x00000010, 0x00400000 }, /* immutable */
    { 0x00000008, 0x00800000 }, /* synchronous */
    { 0x00000400, 0x01000000 }, /* do not compress */
    { 0x20000000, 0x02000000 }, /* inherit project id */
}, FAT_ATTRS[] = {
    { 0x02, 0x2000 }, /* hidden */
    { 0x04, 0x4000 }, /* system */
    { 0x20, 0x8000 }, /* archive */
};

uint64_t pbr_capture_map_inode_flags(uint32_t flags)
{
    uint64_t mapped = 0;
    for (size_t i = 0; i < sizeof(INODE_FLAGS) / sizeof(INODE_FLAGS[0]); i++)
        mapped |= flags & INODE_FLAGS[i].source ? INODE_FLAGS[i].flag : 0;
    return mapped;
}

uint64_t pbr_capture_map_fat_attrs(uint32_t attrs)
{
    uint64_t mapped = 0;
    for (size_t i = 0; i < sizeof(FAT_ATTRS) / sizeof(FAT_ATTRS[0]); i++)
        mapped |= attrs & FAT_ATTRS[i].source ? FAT_ATTRS[i].flag : 0;
    return mapped;
}

/* An ioctl whose absence means "none" (CRT-120). *ret_have: it answered. */
static int ask(int fd, unsigned long request, void *answer, bool *ret_have, const char *what, struct pbr_diag *diag)
{
    *ret_have = ioctl(fd, request, answer) == 0;
    if (*ret_have)
        return PBR_OK;
    switch (errno) {
    case ENOTTY:
    case ENOSYS:
    case EBADF:
    case EOPNOTSUPP:
    case EINVAL:
        return PBR_OK;
    case ESTALE:
        return PBR_CAPTURE_STALE;
    default:
        return pbr_fail_os(diag, errno, "cannot read %s", what);
    }
}

static int read_flags(int fd, uint64_t fs_type, struct pbr_pxar_meta *meta, struct pbr_diag *diag)
{
    uint32_t answer[2] = { 0, 0 }; /* the request says long, the kernel writes 32 bits [CRT-120] */
    bool have;
    int rc = ask(fd, FS_IOC_GETFLAGS, answer, &have, "inode flags", diag);
    if (rc != PBR_OK)
        return rc;
    if (have)
        meta->flags |= pbr_capture_map_inode_flags(answer[0]);
    if (fs_type != PBR_FS_MSDOS && fs_type != PBR_FS_FUSE) /* [CRT-121] */
        return PBR_OK;
    answer[0] = 0;
    rc = ask(fd, FAT_IOCTL_GET_ATTRIBUTES, answer, &have, "FAT attributes", diag);
    if (rc == PBR_OK && have)
        meta->flags |= pbr_capture_map_fat_attrs(answer[0]);
    return rc;
}

static int read_projid(int fd, const struct pbr_fs_scope *scope, struct pbr_pxar_meta *meta, struct pbr_diag *diag)
{
    const uint64_t type = scope->fs_type;
    struct fsxattr attr = { 0 };
    bool have;

    if (!(scope->features & PBR_FEATURE_QUOTA_PROJID))
        return PBR_OK;
    if (type != PBR_FS_EXT && type != PBR_FS_XFS && type != PBR_FS_FUSE && type != PBR_FS_ZFS) /* [CRT-126] */
        return PBR_OK;
    const int rc = ask(fd, FS_IOC_FSGETXATTR, &attr, &have, "quota project id", diag);
    if (rc == PBR_OK && have && attr.fsx_projid != 0) {
        meta->has_projid = true;
        meta->projid = attr.fsx_projid;
    }
    return rc;
}

/* ---- all of it ---- */

static void forget_last(struct pbr_capture *c)
{
    pbr_buf_clear(&c->names);
    pbr_buf_clear(&c->values);
    pbr_buf_clear(&c->special);
    c->xattr_nr = 0;
    c->fcaps_at = c->fcaps_len = c->access_at = c->access_len = c->default_at = c->default_len = 0;
    c->has_fcaps = false;
}

int pbr_capture_entry(struct pbr_capture *c, int fd, const struct pbr_entry_stat *st, struct pbr_fs_scope *scope,
                      bool skip_e2big, struct pbr_pxar_meta *ret, struct pbr_diag *diag)
{
    struct pbr_pxar_meta meta = { .mode = st->mode,
                                  .uid = st->uid,
                                  .gid = st->gid,
                                  .mtime_s = st->mtime_s,
                                  .mtime_ns = st->mtime_ns };
    int rc = PBR_OK;

    forget_last(c);
    if (fd >= 0) { /* in the order of CRT-101 */
        if (scope->features & PBR_FEATURE_XATTRS) /* without it no ACLs and capabilities either [CRT-105] */
            rc = read_xattrs(c, fd, scope, (st->mode & PBR_MODE_TYPE) == PBR_MODE_DIR, skip_e2big, diag);
        if (rc == PBR_OK)
            rc = take_acls(c, &meta, diag);
        if (rc == PBR_OK)
            rc = read_flags(fd, scope->fs_type, &meta, diag);
        if (rc == PBR_OK)
            rc = read_projid(fd, scope, &meta, diag);
    }
    if (rc != PBR_OK)
        return rc;
    meta.xattrs = c->xattrs;
    meta.xattr_nr = c->xattr_nr;
    meta.has_fcaps = c->has_fcaps;
    meta.fcaps = pbr_span_sub(pbr_buf_span(&c->special), c->fcaps_at, c->fcaps_len);
    *ret = meta;
    return PBR_OK;
}
