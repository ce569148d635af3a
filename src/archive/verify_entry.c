/* SPDX-License-Identifier: MIT */
/* Values of one entry that no reader needs to be right, but every writer gets right; see verify.h. */
#include "archive/verify_int.h"

#include <stdlib.h>
#include <string.h>

enum { XATTR_NAME_MAX = 255 }; /* Linux */

static int bad(const struct pbr_pxar_entry *e, const char *rule, const char *text, struct pbr_diag *diag)
{
    return pbr_fail(diag, PBR_E_FORMAT, rule, e->entry_pos, "%s", text);
}

static bool type_fits(const struct pbr_pxar_entry *e)
{
    const uint64_t type = e->meta.mode & PBR_MODE_TYPE;
    switch (e->kind) {
    case PBR_KIND_DIR: return type == PBR_MODE_DIR;
    case PBR_KIND_FILE: return type == PBR_MODE_REG;
    case PBR_KIND_SYMLINK: return type == PBR_MODE_SYMLINK;
    case PBR_KIND_DEVICE: return type == PBR_MODE_BLOCK || type == PBR_MODE_CHAR;
    case PBR_KIND_FIFO: return type == PBR_MODE_FIFO;
    case PBR_KIND_SOCKET: return type == PBR_MODE_SOCKET;
    case PBR_KIND_HARDLINK:
    case PBR_KIND_APPENDIX_REF: return true;
    }
    return false;
}

static int check_stat(const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    const struct pbr_pxar_meta *m = &e->meta;
    if ((m->mode & ~(uint64_t)(PBR_MODE_TYPE | PBR_MODE_PERM)) != 0)
        return bad(e, "PXAR-050", "mode has bits beyond type and permissions", diag);
    if (!type_fits(e))
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-220", e->entry_pos, "mode %" PRIo64 " on a %s", m->mode,
                        pbr_pxar_kind_name(e->kind));
    if (m->mtime_ns >= 1000000000u)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-050", e->entry_pos, "%" PRIu32 " nanoseconds", m->mtime_ns);
    if (e->kind == PBR_KIND_DEVICE && (e->major > UINT32_MAX || e->minor > UINT32_MAX))
        return bad(e, "PXAR-079", "device number beyond 32 bits", diag);
    return PBR_OK;
}

static int by_name(const void *pa, const void *pb)
{
    const struct pbr_pxar_xattr *a = pa, *b = pb;
    return pbr_span_cmp(a->name, b->name);
}

static int check_xattrs(const struct pbr_env *env, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    const size_t n = e->meta.xattr_nr;
    for (size_t i = 0; i < n; i++) {
        const size_t len = e->meta.xattrs[i].name.len;
        if (len == 0 || len > XATTR_NAME_MAX)
            return bad(e, "PXAR-086", "an extended attribute has no name, or none that a file can have", diag);
    }
    if (n < 2)
        return PBR_OK;
    struct pbr_pxar_xattr *sorted = pbr_alloc(env, n, sizeof(*sorted));
    if (!sorted)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    memcpy(sorted, e->meta.xattrs, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_name);
    int rc = PBR_OK;
    for (size_t i = 1; rc == PBR_OK && i < n; i++) {
        if (pbr_span_eq(sorted[i - 1].name, sorted[i].name))
            rc = bad(e, "PXAR-087", "an extended attribute is there twice", diag);
    }
    pbr_free(env, sorted);
    return rc;
}

static int check_acl_ids(const struct pbr_pxar_entry *e, const struct pbr_pxar_acl_id *ids, size_t nr,
                         struct pbr_diag *diag)
{
    for (size_t i = 0; i < nr; i++) {
        if (ids[i].perm > 7)
            return bad(e, "PXAR-100", "ACL permissions beyond rwx", diag);
        if (i > 0 && ids[i].id <= ids[i - 1].id)
            return bad(e, "PXAR-110", "ACL ids are not ascending", diag);
    }
    return PBR_OK;
}

static bool is_perm(uint64_t value)
{
    return value <= 7 || value == PBR_PXAR_NO_MASK;
}

static int check_acls(const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    const struct pbr_pxar_meta *m = &e->meta;
    int rc = check_acl_ids(e, m->acl_users, m->acl_user_nr, diag);
    if (rc == PBR_OK)
        rc = check_acl_ids(e, m->acl_groups, m->acl_group_nr, diag);
    if (rc == PBR_OK)
        rc = check_acl_ids(e, m->acl_default_users, m->acl_default_user_nr, diag);
    if (rc == PBR_OK)
        rc = check_acl_ids(e, m->acl_default_groups, m->acl_default_group_nr, diag);
    if (rc < 0)
        return rc;
    if (m->has_acl_group_obj && m->acl_group_obj > 7)
        return bad(e, "PXAR-100", "ACL permissions beyond rwx", diag);
    if (m->has_acl_default && !(is_perm(m->acl_default.user_obj) && is_perm(m->acl_default.group_obj) &&
                                is_perm(m->acl_default.other) && is_perm(m->acl_default.mask)))
        return bad(e, "PXAR-100", "default ACL permissions beyond rwx", diag);
    const bool has_default = m->has_acl_default || m->acl_default_user_nr || m->acl_default_group_nr;
    if (has_default && e->kind != PBR_KIND_DIR)
        return bad(e, "PXAR-109", "default ACL on something that is no directory", diag);
    return PBR_OK;
}

/* Relative, no empty, "." or ".." components (PXAR-075, EXT-034). */
static int check_link_path(const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    size_t from = 0;
    for (size_t at = 0; at <= e->target.len; at++) {
        if (at < e->target.len && e->target.ptr[at] != '/')
            continue;
        const char *wrong = pbr_pxar_name_check(pbr_span_sub(e->target, from, at - from));
        if (wrong)
            return pbr_fail(diag, PBR_E_FORMAT, "PXAR-075", e->entry_pos, "hard link target path: %s", wrong);
        from = at + 1;
    }
    return PBR_OK;
}

int pbr_verify_entry(const struct pbr_env *env, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    if (e->kind == PBR_KIND_HARDLINK)
        return check_link_path(e, diag);
    int rc = check_stat(e, diag);
    if (rc == PBR_OK)
        rc = check_xattrs(env, e, diag);
    if (rc == PBR_OK)
        rc = check_acls(e, diag);
    return rc;
}
