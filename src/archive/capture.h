/* SPDX-License-Identifier: MIT */
/* Metadata of one entry as the archive stores it: extended attributes, file capabilities, ACLs (from the raw extended
 * attributes, CRT-115), inode flags, FAT attributes, quota project id (spec/create.md section 8).
 * Thread: a capture is not shared. */
#ifndef PBR_ARCHIVE_CAPTURE_H
#define PBR_ARCHIVE_CAPTURE_H

#include "archive/create_int.h"
#include "format/pxar.h"

/* Scratch memory, used again for each entry. */
struct pbr_capture {
    const struct pbr_env *env;
    struct pbr_buf names;    /* as flistxattr gives them */
    struct pbr_buf values;   /* of the stored attributes, one behind the other */
    struct pbr_buf special;  /* fcaps and raw ACLs */
    struct pbr_pxar_xattr *xattrs;
    size_t xattr_nr, xattr_cap;
    struct pbr_pxar_acl_id *ids;
    size_t id_cap;
    size_t fcaps_at, fcaps_len, access_at, access_len, default_at, default_len; /* in `special` */
    bool has_fcaps;
};

enum { PBR_CAPTURE_STALE = 1 };

void pbr_capture_init(struct pbr_capture *c, const struct pbr_env *env);
void pbr_capture_release(struct pbr_capture *c);

/* Everything about the entry with this stat. `fd` is open for reading (regular files and directories), or -1 for the
 * other types, which have nothing but their stat (CRT-101). scope->features loses XATTRS if the file system has none
 * (CRT-110). *ret borrows from c until the next call.
 * PBR_CAPTURE_STALE: the handle went stale (CRT-102). IO: what CRT-109, CRT-120, CRT-126 call fatal. FORMAT: an ACL that
 * makes no sense (CRT-113). NOMEM. */
PBR_MUST_USE int pbr_capture_entry(struct pbr_capture *c, int fd, const struct pbr_entry_stat *st,
                                   struct pbr_fs_scope *scope, bool skip_e2big, struct pbr_pxar_meta *ret,
                                   struct pbr_diag *diag);

/* ---- parts, for tests ---- */

/* Is this attribute stored as an XATTR item (CRT-107)? */
bool pbr_capture_name_is_stored(struct pbr_span name);
/* Inode flags and FAT attribute bits as ENTRY.flags (CRT-122). */
uint64_t pbr_capture_map_inode_flags(uint32_t flags);
uint64_t pbr_capture_map_fat_attrs(uint32_t attrs);

#endif
