/* SPDX-License-Identifier: MIT */
/* Access and default ACLs of an entry as the xattr values that the kernel takes [CRT-115, EXT-069
 * .. EXT-072]:
 *
 *   offset size
 *        0    4  version, 2
 *        4    8  per entry: tag u16le, permissions u16le, id u32le
 *
 * in the tag order the kernel demands: USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER.
 *
 * Thread: plain functions. */
#include "archive/meta_apply.h"

enum {
    ACL_VERSION = 2,
    ACL_HDR = 4,
    ACL_REC = 8,
    TAG_USER_OBJ = 1,
    TAG_USER = 2,
    TAG_GROUP_OBJ = 4,
    TAG_GROUP = 8,
    TAG_MASK = 0x10,
    TAG_OTHER = 0x20,
};

#define ACL_NO_ID UINT32_MAX

/* What one ACL consists of. */
struct acl {
    uint64_t user_obj, group_obj, other, mask;
    bool has_mask;
    const struct pbr_pxar_acl_id *users, *groups;
    size_t user_nr, group_nr;
};

static uint8_t *put(uint8_t *at, uint16_t tag, uint64_t perm, uint32_t id)
{
    pbr_put_u16le(at, tag);
    pbr_put_u16le(at + 2, (uint16_t)(perm & 7)); /* the low three bits count [EXT-074] */
    pbr_put_u32le(at + 4, id);
    return at + ACL_REC;
}

static uint8_t *put_named(uint8_t *at, uint16_t tag, const struct pbr_pxar_acl_id *ids, size_t nr)
{
    for (size_t i = 0; i < nr; i++)
        at = put(at, tag, ids[i].perm, (uint32_t)ids[i].id); /* cut to 32 bits [EXT-074] */
    return at;
}

static int acl_emit(const struct pbr_env *env, const struct acl *acl, struct pbr_span *ret)
{
    uint64_t records, size;
    size_t len;
    if (!pbr_add(acl->user_nr, acl->group_nr, &records) || !pbr_add(records, 4, &records) ||
        !pbr_mul(records, ACL_REC, &size) || !pbr_add(size, ACL_HDR, &size) ||
        !pbr_to_size(size, &len))
        return PBR_E_LIMIT;
    uint8_t *value = pbr_alloc(env, len, 1);
    if (!value)
        return PBR_E_NOMEM;
    pbr_put_u32le(value, ACL_VERSION);
    uint8_t *at = put(value + ACL_HDR, TAG_USER_OBJ, acl->user_obj, ACL_NO_ID);
    at = put_named(at, TAG_USER, acl->users, acl->user_nr);
    at = put(at, TAG_GROUP_OBJ, acl->group_obj, ACL_NO_ID);
    at = put_named(at, TAG_GROUP, acl->groups, acl->group_nr);
    if (acl->has_mask)
        at = put(at, TAG_MASK, acl->mask, ACL_NO_ID);
    at = put(at, TAG_OTHER, acl->other, ACL_NO_ID);
    *ret = pbr_span(value, (size_t)(at - value));
    return PBR_OK;
}

/* "At least one ACL item of any kind" [EXT-068]. */
static bool has_any(const struct pbr_pxar_meta *m)
{
    return m->has_acl_group_obj || m->has_acl_default || m->acl_user_nr || m->acl_group_nr ||
           m->acl_default_user_nr || m->acl_default_group_nr;
}

int pbr_meta_acl_access(const struct pbr_env *env, const struct pbr_pxar_meta *meta,
                        struct pbr_span *ret, bool *ret_patched)
{
    const bool named = meta->acl_user_nr || meta->acl_group_nr;
    const uint64_t group_bits = meta->mode >> 3;
    *ret_patched = named && !meta->has_acl_group_obj;
    if (!has_any(meta)) {
        *ret = (struct pbr_span){ 0 };
        return PBR_OK;
    }
    return acl_emit(
        env,
        &(struct acl){ .user_obj = meta->mode >> 6,
                       .group_obj = meta->has_acl_group_obj ? meta->acl_group_obj : group_bits,
                       .other = meta->mode,
                       .mask = group_bits,
                       .has_mask = meta->has_acl_group_obj || named,
                       .users = meta->acl_users,
                       .user_nr = meta->acl_user_nr,
                       .groups = meta->acl_groups,
                       .group_nr = meta->acl_group_nr },
        ret);
}

int pbr_meta_acl_default(const struct pbr_env *env, const struct pbr_pxar_meta *meta,
                         struct pbr_span *ret)
{
    if (!meta->has_acl_default) { /* named default entries without it are lost [EXT-071] */
        *ret = (struct pbr_span){ 0 };
        return PBR_OK;
    }
    return acl_emit(
        env,
        &(struct acl){ .user_obj = meta->acl_default.user_obj, /* "none" becomes rwx [EXT-072] */
                       .group_obj = meta->acl_default.group_obj,
                       .other = meta->acl_default.other,
                       .mask = meta->acl_default.mask,
                       .has_mask = meta->acl_default.mask != PBR_PXAR_NO_MASK,
                       .users = meta->acl_default_users,
                       .user_nr = meta->acl_default_user_nr,
                       .groups = meta->acl_default_groups,
                       .group_nr = meta->acl_default_group_nr },
        ret);
}
