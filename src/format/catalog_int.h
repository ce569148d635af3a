/* SPDX-License-Identifier: MIT */
/* What the catalog's writer and reader share; layout in catalog.h. Thread: plain values. */
#ifndef PBR_FORMAT_CATALOG_INT_H
#define PBR_FORMAT_CATALOG_INT_H

#include "format/catalog.h"

enum { PCAT_MAGIC_LEN = 8, PCAT_POINTER_LEN = 8 };

/* First 8 bytes of the SHA-256 of "Proxmox Backup Catalog file v1.0" [CAT-001]. */
#define PCAT_MAGIC                                                                                 \
    {                                                                                              \
        0x91, 0xfd, 0x60, 0xf9, 0xc4, 0x67, 0x58, 0xd5                                             \
    }

/* The same of "Proxmox Backup Catalog file v2.0" [APX-070]. */
#define PCAT_MAGIC_EXTENDED                                                                        \
    {                                                                                              \
        0xcc, 0xdf, 0x18, 0xd3, 0xbb, 0x7d, 0xb7, 0xe2                                             \
    }

/* Which entries may stand in a table. */
struct pcat_form {
    bool extended;
    bool root; /* the table is the root's */
};

/* Type and name, then for files size and mtime; a directory's offset is not written [CAT-010 ..
 * CAT-019]. On failure `out` may hold a part of it. */
PBR_MUST_USE int pbr_pcat_entry_emit(const struct pbr_pcat_entry *entry, bool extended, struct pbr_buf *out);
/* `table` is the start of the table that `in` belongs to, `base` the offset of in's first byte in
 * the file. */
PBR_MUST_USE int pbr_pcat_entry_parse(struct pbr_cur *in, uint64_t table, uint64_t base,
                                      struct pcat_form form, struct pbr_pcat_entry *ret,
                                      struct pbr_diag *diag);

#endif
