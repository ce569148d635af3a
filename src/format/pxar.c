/* SPDX-License-Identifier: MIT */
/* Item constants, name rules, device numbers and metadata values of pxar archives; see pxar.h. */
#include "format/pxar.h"

#include <string.h>

#include "base/limits.h"
#include "prim/prim.h"

/* Key words of the format's hash (PXAR-010, PXAR-011). */
#define HASH_K0 UINT64_C(0x83ac3f1cfbb450db)
#define HASH_K1 UINT64_C(0xaa4f1b6879369fbd)

uint64_t pbr_pxar_name_hash(struct pbr_span name)
{
    return pbr_siphash24(HASH_K0, HASH_K1, name);
}

const char *pbr_pxar_name_check(struct pbr_span name)
{
    if (name.len == 0)
        return "name is empty";
    if (memchr(name.ptr, '/', name.len))
        return "name contains a slash";
    if (pbr_span_eq_str(name, "."))
        return "name is \".\"";
    if (pbr_span_eq_str(name, ".."))
        return "name is \"..\"";
    if (name.len > PBR_NAME_MAX)
        return "name is longer than 4096 bytes";
    if (memchr(name.ptr, 0, name.len))
        return "name contains a NUL byte"; /* PXAR-081: no file system can hold it */
    return NULL;
}

uint64_t pbr_pxar_content_max(uint64_t htype)
{
    switch (htype) {
    case PBR_PXAR_ENTRY: return PBR_PXAR_ENTRY_LEN;
    case PBR_PXAR_FILENAME: return 4096 + 1;
    case PBR_PXAR_SYMLINK: return 4096 + 1;
    case PBR_PXAR_HARDLINK: return 8 + 4096 + 1;
    case PBR_PXAR_DEVICE: return 16;
    case PBR_PXAR_XATTR: return 255 + 65536; /* one short of the kernel's maximum (PXAR-025) */
    case PBR_PXAR_FCAPS: return 255 + 65536;
    case PBR_PXAR_ACL_USER:
    case PBR_PXAR_ACL_DEFAULT_USER:
    case PBR_PXAR_ACL_GROUP:
    case PBR_PXAR_ACL_DEFAULT_GROUP: return 16;
    case PBR_PXAR_ACL_GROUP_OBJ: return 8;
    case PBR_PXAR_ACL_DEFAULT: return 32;
    case PBR_PXAR_QUOTA_PROJID: return 8;
    case PBR_PXAR_PAYLOAD_REF: return 16;
    case PBR_PXAR_PAYLOAD_TAIL: return 16;
    case PBR_PXAR_APPENDIX: return 8;
    case PBR_PXAR_APPENDIX_REF: return 16;
    case PBR_PXAR_DRAFT_VERSION: return 0;
    default: return UINT64_MAX;
    }
}

const char *pbr_pxar_type_name(uint64_t htype)
{
    switch (htype) {
    case PBR_PXAR_FORMAT_VERSION: return "FORMAT_VERSION";
    case PBR_PXAR_PRELUDE: return "PRELUDE";
    case PBR_PXAR_ENTRY: return "ENTRY";
    case PBR_PXAR_ENTRY_V1: return "ENTRY_V1";
    case PBR_PXAR_FILENAME: return "FILENAME";
    case PBR_PXAR_SYMLINK: return "SYMLINK";
    case PBR_PXAR_DEVICE: return "DEVICE";
    case PBR_PXAR_XATTR: return "XATTR";
    case PBR_PXAR_ACL_USER: return "ACL_USER";
    case PBR_PXAR_ACL_GROUP: return "ACL_GROUP";
    case PBR_PXAR_ACL_GROUP_OBJ: return "ACL_GROUP_OBJ";
    case PBR_PXAR_ACL_DEFAULT: return "ACL_DEFAULT";
    case PBR_PXAR_ACL_DEFAULT_USER: return "ACL_DEFAULT_USER";
    case PBR_PXAR_ACL_DEFAULT_GROUP: return "ACL_DEFAULT_GROUP";
    case PBR_PXAR_FCAPS: return "FCAPS";
    case PBR_PXAR_QUOTA_PROJID: return "QUOTA_PROJID";
    case PBR_PXAR_HARDLINK: return "HARDLINK";
    case PBR_PXAR_PAYLOAD: return "PAYLOAD";
    case PBR_PXAR_PAYLOAD_REF: return "PAYLOAD_REF";
    case PBR_PXAR_GOODBYE: return "GOODBYE";
    case PBR_PXAR_PAYLOAD_START: return "PAYLOAD_START_MARKER";
    case PBR_PXAR_PAYLOAD_TAIL: return "PAYLOAD_TAIL_MARKER";
    case PBR_PXAR_APPENDIX: return "APPENDIX";
    case PBR_PXAR_APPENDIX_REF: return "APPENDIX_REF";
    case PBR_PXAR_APPENDIX_TAIL: return "APPENDIX_TAIL";
    case PBR_PXAR_DRAFT_VERSION: return "DRAFT_VERSION";
    default: return "UNKNOWN";
    }
}

const char *pbr_pxar_kind_name(enum pbr_pxar_kind kind)
{
    switch (kind) {
    case PBR_KIND_DIR: return "directory";
    case PBR_KIND_FILE: return "file";
    case PBR_KIND_SYMLINK: return "symlink";
    case PBR_KIND_DEVICE: return "device";
    case PBR_KIND_FIFO: return "fifo";
    case PBR_KIND_SOCKET: return "socket";
    case PBR_KIND_HARDLINK: return "hardlink";
    case PBR_KIND_APPENDIX_REF: return "appendix reference";
    }
    return "unknown";
}

void pbr_pxar_hdr_emit(uint8_t out[PBR_PXAR_HDR], uint64_t htype, uint64_t content_len)
{
    pbr_put_u64le(out, htype);
    pbr_put_u64le(out + 8, content_len + PBR_PXAR_HDR);
}

void pbr_pxar_dev_split(uint64_t dev, uint64_t *ret_major, uint64_t *ret_minor)
{
    *ret_major = ((dev >> 8) & 0xfff) | ((dev >> 32) & 0xfffff000);
    *ret_minor = (dev & 0xff) | ((dev >> 12) & 0xffffff00);
}

uint64_t pbr_pxar_dev_join(uint64_t major, uint64_t minor)
{
    return ((major & 0xfff) << 8) | ((major & 0xfffff000) << 32) | (minor & 0xff) |
           ((minor & 0xffffff00) << 12);
}

/* Adds `nr` items with `content` bytes each; false beyond 64 bits. */
static bool add_items(uint64_t *len, uint64_t nr, uint64_t content)
{
    uint64_t bytes;
    return pbr_mul(nr, content + PBR_PXAR_HDR, &bytes) && pbr_add(*len, bytes, len);
}

uint64_t pbr_pxar_head_len(struct pbr_span name, const struct pbr_pxar_meta *m)
{
    uint64_t len = 0, ids = 0;
    bool ok = add_items(&len, 1, (uint64_t)name.len + 1) && add_items(&len, 1, PBR_PXAR_ENTRY_LEN);
    for (size_t i = 0; ok && i < m->xattr_nr; i++)
        ok = add_items(&len, 1, (uint64_t)m->xattrs[i].name.len + 1 + m->xattrs[i].value.len);
    ok = ok && pbr_add(m->acl_user_nr, m->acl_group_nr, &ids) && pbr_add(ids, m->acl_default_user_nr, &ids) &&
         pbr_add(ids, m->acl_default_group_nr, &ids) && add_items(&len, ids, 16);
    ok = ok && add_items(&len, m->has_acl_group_obj, 8) && add_items(&len, m->has_acl_default, 32) &&
         add_items(&len, m->has_projid, 8);
    if (ok && m->has_fcaps)
        ok = add_items(&len, 1, m->fcaps.len);
    return ok ? len : UINT64_MAX;
}

static bool acl_ids_equal(const struct pbr_pxar_acl_id *a, size_t a_nr, const struct pbr_pxar_acl_id *b,
                          size_t b_nr)
{
    if (a_nr != b_nr)
        return false;
    for (size_t i = 0; i < a_nr; i++) {
        if (a[i].id != b[i].id || a[i].perm != b[i].perm)
            return false;
    }
    return true;
}

static bool acls_equal(const struct pbr_pxar_meta *a, const struct pbr_pxar_meta *b)
{
    if (a->has_acl_group_obj != b->has_acl_group_obj || a->has_acl_default != b->has_acl_default)
        return false;
    if (a->has_acl_group_obj && a->acl_group_obj != b->acl_group_obj)
        return false;
    if (a->has_acl_default &&
        (a->acl_default.user_obj != b->acl_default.user_obj ||
         a->acl_default.group_obj != b->acl_default.group_obj || a->acl_default.other != b->acl_default.other ||
         a->acl_default.mask != b->acl_default.mask))
        return false;
    return acl_ids_equal(a->acl_users, a->acl_user_nr, b->acl_users, b->acl_user_nr) &&
           acl_ids_equal(a->acl_groups, a->acl_group_nr, b->acl_groups, b->acl_group_nr) &&
           acl_ids_equal(a->acl_default_users, a->acl_default_user_nr, b->acl_default_users,
                         b->acl_default_user_nr) &&
           acl_ids_equal(a->acl_default_groups, a->acl_default_group_nr, b->acl_default_groups,
                         b->acl_default_group_nr);
}

bool pbr_pxar_meta_equal(const struct pbr_pxar_meta *a, const struct pbr_pxar_meta *b)
{
    if (a->mode != b->mode || a->flags != b->flags || a->uid != b->uid || a->gid != b->gid ||
        a->mtime_s != b->mtime_s || a->mtime_ns != b->mtime_ns)
        return false;
    if (a->xattr_nr != b->xattr_nr)
        return false;
    for (size_t i = 0; i < a->xattr_nr; i++) { /* values do not count: PXAR-116 */
        if (!pbr_span_eq(a->xattrs[i].name, b->xattrs[i].name))
            return false;
    }
    if (a->has_fcaps != b->has_fcaps || (a->has_fcaps && !pbr_span_eq(a->fcaps, b->fcaps)))
        return false;
    if (a->has_projid != b->has_projid || (a->has_projid && a->projid != b->projid))
        return false;
    return acls_equal(a, b);
}

/* Where the parts of a copy go inside its one allocation. */
struct dup_area {
    uint8_t *ptr;
    size_t used;
};

static struct pbr_pxar_acl_id *dup_ids(struct dup_area *area, const struct pbr_pxar_acl_id *ids, size_t nr)
{
    void *at = area->ptr + area->used;
    if (nr)
        memcpy(at, ids, nr * sizeof(*ids));
    area->used += nr * sizeof(*ids);
    return at;
}

static struct pbr_span dup_span(struct dup_area *area, struct pbr_span in)
{
    uint8_t *at = area->ptr + area->used;
    if (in.len)
        memcpy(at, in.ptr, in.len);
    area->used += in.len;
    return pbr_span(at, in.len);
}

/* Bytes behind the struct; false on overflow. */
static bool dup_size(const struct pbr_pxar_meta *m, uint64_t *ret)
{
    uint64_t ids = 0, total = 0, part;
    if (!pbr_add(m->acl_user_nr, m->acl_group_nr, &ids) || !pbr_add(ids, m->acl_default_user_nr, &ids) ||
        !pbr_add(ids, m->acl_default_group_nr, &ids) || !pbr_mul(ids, sizeof(struct pbr_pxar_acl_id), &total) ||
        !pbr_mul(m->xattr_nr, sizeof(struct pbr_pxar_xattr), &part) || !pbr_add(total, part, &total) ||
        !pbr_add(total, m->fcaps.len, &total))
        return false;
    for (size_t i = 0; i < m->xattr_nr; i++) {
        if (!pbr_add(total, m->xattrs[i].name.len, &total) || !pbr_add(total, m->xattrs[i].value.len, &total))
            return false;
    }
    *ret = total;
    return true;
}

int pbr_pxar_meta_dup(const struct pbr_env *env, const struct pbr_pxar_meta *meta, struct pbr_pxar_meta **ret)
{
    uint64_t bytes, total;
    size_t size;
    if (!dup_size(meta, &bytes) || !pbr_add(bytes, sizeof(*meta), &total) || !pbr_to_size(total, &size))
        return PBR_E_NOMEM;
    struct pbr_pxar_meta *m = pbr_realloc(env, NULL, size);
    if (!m)
        return PBR_E_NOMEM;

    /* arrays first: struct, ids and xattrs keep 8-byte alignment, bytes follow */
    struct dup_area area = { (uint8_t *)(m + 1), 0 };
    *m = *meta;
    m->acl_users = dup_ids(&area, meta->acl_users, meta->acl_user_nr);
    m->acl_groups = dup_ids(&area, meta->acl_groups, meta->acl_group_nr);
    m->acl_default_users = dup_ids(&area, meta->acl_default_users, meta->acl_default_user_nr);
    m->acl_default_groups = dup_ids(&area, meta->acl_default_groups, meta->acl_default_group_nr);
    struct pbr_pxar_xattr *xattrs = (void *)(area.ptr + area.used);
    area.used += meta->xattr_nr * sizeof(*xattrs);
    for (size_t i = 0; i < meta->xattr_nr; i++) {
        xattrs[i].name = dup_span(&area, meta->xattrs[i].name);
        xattrs[i].value = dup_span(&area, meta->xattrs[i].value);
    }
    m->xattrs = xattrs;
    m->fcaps = dup_span(&area, meta->fcaps);
    *ret = m;
    return PBR_OK;
}
