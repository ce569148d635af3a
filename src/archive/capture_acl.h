/* SPDX-License-Identifier: MIT */
/* ACLs: from the raw extended attributes to archive items (CRT-113, CRT-115, PXAR-105 .. PXAR-110).
 *
 *   offset size
 *        0    4  version, 2
 *        4    8  each: tag u16le, permissions u16le, id u32le (0xffffffff where the tag has none)
 * Thread: plain values. */
#ifndef PBR_ARCHIVE_CAPTURE_ACL_H
#define PBR_ARCHIVE_CAPTURE_ACL_H

#include "format/pxar.h"

/* How many records `raw` can hold. */
size_t pbr_acl_entries_max(struct pbr_span raw);

/* `raw` is the value of system.posix_acl_access (or _default); fills the ACL fields of *meta. `ids` has room for
 * pbr_acl_entries_max(raw) and is borrowed by *meta. FORMAT, rule CRT-113 (unknown tag) or CRT-115. */
PBR_MUST_USE int pbr_acl_access_parse(struct pbr_span raw, struct pbr_pxar_acl_id *ids, struct pbr_pxar_meta *meta,
                                      struct pbr_diag *diag);
PBR_MUST_USE int pbr_acl_default_parse(struct pbr_span raw, struct pbr_pxar_acl_id *ids, struct pbr_pxar_meta *meta,
                                       struct pbr_diag *diag);

#endif
