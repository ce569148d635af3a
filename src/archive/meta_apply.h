/* SPDX-License-Identifier: MIT */
/* Applies the metadata of an archive entry to a node of a target, in the order of EXT-060: owner,
 * xattrs, file capabilities, ACLs, project id, permissions, mtime, inode flags and FAT attributes.
 *
 * Thread: plain functions on what is handed in. */
#ifndef PBR_ARCHIVE_META_APPLY_H
#define PBR_ARCHIVE_META_APPLY_H

#include "archive/create.h" /* PBR_FEATURE_... */
#include "archive/target.h"
#include "format/pxar.h"

/* Feature flags of CRT-130 that only extraction looks at. */
#define PBR_FEATURE_PERMISSIONS UINT64_C(0x100)
#define PBR_FEATURE_OWNER UINT64_C(0x200000000)

/* One step that failed, or something worth saying. Valid during the callback only. */
struct pbr_meta_note {
    bool is_error; /* else a remark */
    enum pbr_err code;
    const char *rule;    /* spec ID or NULL */
    const char *text;    /* "failed to set ownership" */
    const char *subject; /* name of an extended attribute, or NULL */
    const char *reason;  /* why; NULL: os_errno says it */
    int os_errno;
};

struct pbr_meta_job {
    const struct pbr_env *env;
    const struct pbr_target *target;
    uint64_t features;  /* feature flags in force (CRT-130) */
    uint64_t hold;      /* ENTRY.flags bits to leave out now (applied later, EXT-050) */
    bool restrict_mode; /* set for directories that were created with more permissions than archived
                         */
    /* Called for every note. For errors: PBR_OK goes on with the next step, a negative code ends
     * pbr_meta_apply. */
    int (*note)(void *ctx, const struct pbr_meta_note *note);
    void *ctx;
};

/* Applies `meta` to `node`, which is of the given kind (never HARDLINK). PBR_OK even if steps
 * failed and the callback wanted to go on; else what the callback returned, or NOMEM. */
PBR_MUST_USE int pbr_meta_apply(const struct pbr_meta_job *job, int node, enum pbr_pxar_kind kind,
                                const struct pbr_pxar_meta *meta);
/* The inode flags that must be set while a file is empty [EXT-063]. */
PBR_MUST_USE int pbr_meta_apply_initial_flags(const struct pbr_meta_job *job, int node,
                                              uint64_t entry_flags);
/* The inode flags of `entry_flags` that are in the features and not held back [EXT-078]. */
PBR_MUST_USE int pbr_meta_apply_flags(const struct pbr_meta_job *job, int node,
                                      uint64_t entry_flags);

/* Names that extraction sets: CRT-107 and security.capability [EXT-065]. */
bool pbr_meta_xattr_ok(struct pbr_span name);

/* POSIX ACLs as the kernel takes them in xattrs (CRT-115), built as EXT-069 .. EXT-072 say. `mode`
 * are the permission bits of the entry. *ret is memory of env, freed by the caller; empty if there
 * is no such ACL. *ret_patched: the entry has named users or groups without ACL_GROUP_OBJ. */
PBR_MUST_USE int pbr_meta_acl_access(const struct pbr_env *env, const struct pbr_pxar_meta *meta,
                                     struct pbr_span *ret, bool *ret_patched);
PBR_MUST_USE int pbr_meta_acl_default(const struct pbr_env *env, const struct pbr_pxar_meta *meta,
                                      struct pbr_span *ret);

#endif
