/* SPDX-License-Identifier: MIT */
/* Raw ACLs; see capture_acl.h. */
#include "archive/capture_acl.h"

#include <stdlib.h>

enum { ACL_HDR = 4, ACL_REC = 8, ACL_VERSION = 2 };

enum acl_tag {
    TAG_USER_OBJ = 0x01,
    TAG_USER = 0x02,
    TAG_GROUP_OBJ = 0x04,
    TAG_GROUP = 0x08,
    TAG_MASK = 0x10,
    TAG_OTHER = 0x20,
};

/* One ACL taken apart. Users fill `ids` from the front, groups from the back. */
struct acl {
    uint64_t user_obj, group_obj, mask, other; /* PBR_PXAR_NO_MASK: not there */
    struct pbr_pxar_acl_id *users, *groups;
    size_t user_nr, group_nr;
};

size_t pbr_acl_entries_max(struct pbr_span raw)
{
    return raw.len / ACL_REC;
}

/* Ascending by (id, permissions) [PXAR-110]. */
static int id_cmp(const void *a, const void *b)
{
    const struct pbr_pxar_acl_id *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->perm < y->perm ? -1 : x->perm > y->perm;
}

static int acl_parse(struct pbr_span raw, struct pbr_pxar_acl_id *ids, struct acl *ret, struct pbr_diag *diag)
{
    struct pbr_cur c = pbr_cur(raw);
    struct acl acl = { .user_obj = PBR_PXAR_NO_MASK,
                       .group_obj = PBR_PXAR_NO_MASK,
                       .mask = PBR_PXAR_NO_MASK,
                       .other = PBR_PXAR_NO_MASK,
                       .users = ids,
                       .groups = ids + pbr_acl_entries_max(raw) };

    const uint32_t version = pbr_cur_u32le(&c);
    if (c.bad || version != ACL_VERSION || pbr_cur_left(&c) % ACL_REC != 0)
        return pbr_fail_at(diag, PBR_E_FORMAT, "CRT-115", "ACL of %zu bytes, version %" PRIu32, raw.len, version);
    while (pbr_cur_left(&c) > 0) {
        const uint64_t at = c.pos;
        const uint16_t tag = pbr_cur_u16le(&c);
        const uint64_t perm = pbr_cur_u16le(&c) & 7u;
        const uint32_t id = pbr_cur_u32le(&c);
        switch (tag) {
        case TAG_USER_OBJ:
            acl.user_obj = perm;
            break;
        case TAG_USER:
            acl.users[acl.user_nr++] = (struct pbr_pxar_acl_id){ id, perm };
            break;
        case TAG_GROUP_OBJ:
            acl.group_obj = perm;
            break;
        case TAG_GROUP:
            *--acl.groups = (struct pbr_pxar_acl_id){ id, perm };
            acl.group_nr++;
            break;
        case TAG_MASK:
            acl.mask = perm;
            break;
        case TAG_OTHER:
            acl.other = perm;
            break;
        default:
            return pbr_fail(diag, PBR_E_FORMAT, "CRT-113", at, "unknown ACL tag 0x%x", tag);
        }
    }
    if (acl.user_nr > 1)
        qsort(acl.users, acl.user_nr, sizeof(*acl.users), id_cmp);
    if (acl.group_nr > 1)
        qsort(acl.groups, acl.group_nr, sizeof(*acl.groups), id_cmp);
    *ret = acl;
    return PBR_OK;
}

int pbr_acl_access_parse(struct pbr_span raw, struct pbr_pxar_acl_id *ids, struct pbr_pxar_meta *meta,
                         struct pbr_diag *diag)
{
    struct acl acl;
    const int rc = acl_parse(raw, ids, &acl, diag);
    if (rc < 0)
        return rc;
    meta->acl_users = acl.users;
    meta->acl_user_nr = acl.user_nr;
    meta->acl_groups = acl.groups;
    meta->acl_group_nr = acl.group_nr;
    if (acl.group_obj != PBR_PXAR_NO_MASK && acl.mask != PBR_PXAR_NO_MASK) { /* [PXAR-107] */
        meta->has_acl_group_obj = true;
        meta->acl_group_obj = acl.group_obj;
    }
    return PBR_OK;
}

int pbr_acl_default_parse(struct pbr_span raw, struct pbr_pxar_acl_id *ids, struct pbr_pxar_meta *meta,
                          struct pbr_diag *diag)
{
    struct acl acl;
    const int rc = acl_parse(raw, ids, &acl, diag);
    if (rc < 0)
        return rc;
    meta->acl_default_users = acl.users;
    meta->acl_default_user_nr = acl.user_nr;
    meta->acl_default_groups = acl.groups;
    meta->acl_default_group_nr = acl.group_nr;
    meta->acl_default.user_obj = acl.user_obj;
    meta->acl_default.group_obj = acl.group_obj;
    meta->acl_default.other = acl.other;
    meta->acl_default.mask = acl.mask;
    /* missing ones are PBR_PXAR_NO_MASK; nothing at all: no item [PXAR-109] */
    meta->has_acl_default = acl.user_obj != PBR_PXAR_NO_MASK || acl.group_obj != PBR_PXAR_NO_MASK ||
                            acl.other != PBR_PXAR_NO_MASK || acl.mask != PBR_PXAR_NO_MASK;
    return PBR_OK;
}
