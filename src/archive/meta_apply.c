/* SPDX-License-Identifier: MIT */
/* Metadata of an entry, step by step; see meta_apply.h. The ACL values are built in meta_acl.c. */
#include "archive/meta_apply.h"

#include <errno.h>
#include <string.h>

enum { XATTR_NAME_MAX = 255 };

/* ENTRY.flags bits and what they are in the file system [CRT-122]. */
struct flag_pair {
    uint64_t entry;
    uint32_t system;
};

static const struct flag_pair inode_flags[] = {
    { 0x00010000, 0x00000020 }, /* APPEND */
    { 0x00020000, 0x00000080 }, /* NOATIME */
    { 0x00040000, 0x00000004 }, /* COMPR */
    { 0x00080000, 0x00800000 }, /* NOCOW */
    { 0x00100000, 0x00000040 }, /* NODUMP */
    { 0x00200000, 0x00010000 }, /* DIRSYNC */
    { 0x00400000, 0x00000010 }, /* IMMUTABLE */
    { 0x00800000, 0x00000008 }, /* SYNC */
    { 0x01000000, 0x00000400 }, /* NOCOMP */
    { 0x02000000, 0x20000000 }, /* PROJINHERIT */
};

static const struct flag_pair fat_flags[] = {
    { 0x2000, 0x02 }, /* HIDDEN */
    { 0x4000, 0x04 }, /* SYSTEM */
    { 0x8000, 0x20 }, /* ARCHIVE */
};

/* NOATIME, COMPR, NOCOW, NOCOMP, PROJINHERIT: some work on empty files only [EXT-063]. */
#define INITIAL_FLAGS UINT64_C(0x030e0000)

enum {
    INODE_FLAG_NR = sizeof(inode_flags) / sizeof(inode_flags[0]),
    FAT_FLAG_NR = sizeof(fat_flags) / sizeof(fat_flags[0])
};

static uint32_t to_system(const struct flag_pair *table, size_t nr, uint64_t bits)
{
    uint32_t out = 0;
    for (size_t i = 0; i < nr; i++)
        out |= bits & table[i].entry ? table[i].system : 0;
    return out;
}

/* "Unsupported here" for flags and FAT attributes [CRT-120]. */
static bool is_unsupported(int rc)
{
    return rc == -ENOTTY || rc == -ENOSYS || rc == -EBADF || rc == -EOPNOTSUPP || rc == -EINVAL;
}

static int tell(const struct pbr_meta_job *job, const struct pbr_meta_note *note)
{
    const int rc = job->note ? job->note(job->ctx, note) : PBR_OK;
    return note->is_error && rc < 0 ? rc : PBR_OK;
}

/* The outcome of a system call: reported if it failed, unless EOPNOTSUPP may be ignored. */
static int done(const struct pbr_meta_job *job, int result, bool optional, const char *rule,
                const char *text)
{
    if (result >= 0 || (optional && result == -EOPNOTSUPP))
        return PBR_OK;
    return tell(
        job,
        &(struct pbr_meta_note){
            .is_error = true, .code = PBR_E_IO, .rule = rule, .text = text, .os_errno = -result });
}

static int apply_owner(const struct pbr_meta_job *job, int node, const struct pbr_pxar_meta *meta)
{
    if (!(job->features & PBR_FEATURE_OWNER))
        return PBR_OK;
    const int rc = job->target->ops->set_owner(job->target->ctx, node, meta->uid, meta->gid);
    return done(job, rc, true, "EXT-064", "failed to set ownership");
}

bool pbr_meta_xattr_ok(struct pbr_span name)
{
    if (pbr_span_eq_str(name, "security.NTACL") || pbr_span_eq_str(name, "security.capability"))
        return true;
    return name.len <= XATTR_NAME_MAX && !memchr(name.ptr, 0, name.len) &&
           (pbr_span_starts(name, "user.") || pbr_span_starts(name, "trusted."));
}

/* *ret_supported: the file system has xattrs at all. */
static int apply_xattrs(const struct pbr_meta_job *job, int node, const struct pbr_pxar_meta *meta,
                        bool *ret_supported)
{
    char name[XATTR_NAME_MAX + 1];
    *ret_supported = true;
    if (!(job->features & PBR_FEATURE_XATTRS))
        return PBR_OK;
    for (size_t i = 0; i < meta->xattr_nr; i++) {
        const struct pbr_pxar_xattr *attr = &meta->xattrs[i];
        const size_t shown = attr->name.len < XATTR_NAME_MAX ? attr->name.len : XATTR_NAME_MAX;
        if (shown)
            memcpy(name, attr->name.ptr, shown);
        name[shown] = 0;
        if (!pbr_meta_xattr_ok(attr->name)) {
            (void)tell(job, &(struct pbr_meta_note){ .rule = "EXT-065",
                                                     .text = "skipping invalid xattr named",
                                                     .subject = name });
            continue;
        }
        const int rc = job->target->ops->set_xattr(job->target->ctx, node, name, attr->value);
        if (rc == -EOPNOTSUPP) {
            *ret_supported = false;
            return PBR_OK;
        }
        if (rc < 0) /* ends the xattrs of this entry [EXT-065] */
            return tell(job, &(struct pbr_meta_note){ .is_error = true,
                                                      .code = PBR_E_IO,
                                                      .rule = "EXT-065",
                                                      .text = "failed to set extended attribute",
                                                      .subject = name,
                                                      .os_errno = -rc });
    }
    return PBR_OK;
}

static int apply_fcaps(const struct pbr_meta_job *job, int node, const struct pbr_pxar_meta *meta)
{
    if (!(job->features & PBR_FEATURE_FCAPS) || !meta->has_fcaps)
        return PBR_OK;
    const int rc =
        job->target->ops->set_xattr(job->target->ctx, node, "security.capability", meta->fcaps);
    return done(job, rc, false, "EXT-066", "failed to set file capabilities");
}

/* Takes the value over. */
static int set_acl(const struct pbr_meta_job *job, int node, const char *name,
                   struct pbr_span value, const char *text)
{
    const int rc = value.len ? job->target->ops->set_xattr(job->target->ctx, node, name, value) : 0;
    pbr_free(job->env, (void *)(uintptr_t)value.ptr);
    return done(job, rc, false, "EXT-073", text);
}

static int apply_acls(const struct pbr_meta_job *job, int node, const struct pbr_pxar_meta *meta)
{
    struct pbr_span value;
    bool patched;
    if (!(job->features & PBR_FEATURE_ACL))
        return PBR_OK;
    int rc = pbr_meta_acl_access(job->env, meta, &value, &patched);
    if (rc < 0)
        return rc;
    if (patched)
        (void)tell(job, &(struct pbr_meta_note){
                            .rule = "EXT-069",
                            .text = "Missing GROUP_OBJ entry in ACL, resetting to value of MASK" });
    rc = set_acl(job, node, "system.posix_acl_access", value, "failed to set access ACL");
    if (rc < 0)
        return rc;
    rc = pbr_meta_acl_default(job->env, meta, &value);
    if (rc < 0)
        return rc;
    return set_acl(job, node, "system.posix_acl_default", value, "failed to set default ACL");
}

static int apply_projid(const struct pbr_meta_job *job, int node, const struct pbr_pxar_meta *meta)
{
    if (!(job->features & PBR_FEATURE_QUOTA_PROJID) || !meta->has_projid)
        return PBR_OK;
    const int rc = job->target->ops->set_projid(job->target->ctx, node, (uint32_t)meta->projid);
    return done(job, rc, false, "EXT-075",
                "failed to set quota project id: error while getting/setting fsxattr");
}

/* Without permissions restored a directory has what it was created with: the archived bits less the
 * umask. The owner bits that were added so that it could be filled go again. */
static int restrict_mode(const struct pbr_meta_job *job, int node, uint64_t mode)
{
    struct pbr_target_stat st;
    const uint32_t extra = 0700u & ~(uint32_t)mode;
    if (!job->restrict_mode || !extra)
        return PBR_OK;
    int rc = job->target->ops->stat(job->target->ctx, node, &st);
    if (rc >= 0)
        rc = job->target->ops->set_mode(job->target->ctx, node, st.mode & PBR_MODE_PERM & ~extra);
    return done(job, rc, true, "EXT-040", "failed to set permissions");
}

static int apply_mode(const struct pbr_meta_job *job, int node, enum pbr_pxar_kind kind,
                      const struct pbr_pxar_meta *meta)
{
    const uint64_t perm = meta->mode & ~(uint64_t)PBR_MODE_TYPE;
    if (kind == PBR_KIND_SYMLINK)
        return PBR_OK;
    if (!(job->features & PBR_FEATURE_PERMISSIONS))
        return restrict_mode(job, node, meta->mode);
    if (perm & ~(uint64_t)PBR_MODE_PERM)
        return tell(job, &(struct pbr_meta_note){ .is_error = true,
                                                  .code = PBR_E_FORMAT,
                                                  .rule = "EXT-042",
                                                  .text = "failed to set permissions",
                                                  .reason = "mode contains illegal bits" });
    const int rc = job->target->ops->set_mode(job->target->ctx, node, (uint32_t)perm);
    return done(job, rc, true, "EXT-076", "failed to set permissions");
}

static int apply_mtime(const struct pbr_meta_job *job, int node, const struct pbr_pxar_meta *meta)
{
    const int rc =
        job->target->ops->set_mtime(job->target->ctx, node, meta->mtime_s, meta->mtime_ns);
    return done(job, rc, true, "EXT-077", "failed to set modification time");
}

/* Read, modify, write of the inode flags; silent where there are none. */
static int change_flags(const struct pbr_meta_job *job, int node, uint32_t set, uint32_t mask)
{
    const struct pbr_target_ops *ops = job->target->ops;
    uint32_t now = 0;
    int rc = ops->get_inode_flags(job->target->ctx, node, &now);
    const uint32_t want = set | (now & ~mask);
    if (rc >= 0 && want != now)
        rc = ops->set_inode_flags(job->target->ctx, node, want);
    return done(job, is_unsupported(rc) ? 0 : rc, true, "EXT-078", "failed to set inode flags");
}

int pbr_meta_apply_initial_flags(const struct pbr_meta_job *job, int node, uint64_t entry_flags)
{
    const uint32_t set =
        to_system(inode_flags, INODE_FLAG_NR, entry_flags & job->features & INITIAL_FLAGS);
    return set ? change_flags(job, node, set, set) : PBR_OK;
}

int pbr_meta_apply_flags(const struct pbr_meta_job *job, int node, uint64_t entry_flags)
{
    const uint32_t mask = to_system(inode_flags, INODE_FLAG_NR, job->features);
    const uint32_t set =
        to_system(inode_flags, INODE_FLAG_NR, entry_flags & job->features & ~job->hold);
    const uint32_t fat = to_system(fat_flags, FAT_FLAG_NR, entry_flags & job->features);
    if (set) {
        const int rc = change_flags(job, node, set, mask);
        if (rc < 0)
            return rc;
    }
    if (!fat)
        return PBR_OK;
    const int rc = job->target->ops->set_fat_attrs(job->target->ctx, node, fat);
    return done(job, is_unsupported(rc) ? 0 : rc, true, "EXT-079", "failed to set FAT attributes");
}

int pbr_meta_apply(const struct pbr_meta_job *job, int node, enum pbr_pxar_kind kind,
                   const struct pbr_pxar_meta *meta)
{
    bool xattrs_supported;
    int rc = apply_owner(job, node, meta);
    if (rc == PBR_OK)
        rc = apply_xattrs(job, node, meta, &xattrs_supported);
    if (rc == PBR_OK && xattrs_supported)
        rc = apply_fcaps(job, node, meta);
    if (rc == PBR_OK)
        rc = apply_acls(job, node, meta);
    if (rc == PBR_OK)
        rc = apply_projid(job, node, meta);
    if (rc == PBR_OK)
        rc = apply_mode(job, node, kind, meta);
    if (rc == PBR_OK)
        rc = apply_mtime(job, node, meta);
    if (rc == PBR_OK)
        rc = pbr_meta_apply_flags(job, node, meta->flags);
    return rc;
}
