/* SPDX-License-Identifier: MIT */
/* Inside of pxar verification: one entry's values. */
#ifndef PBR_ARCHIVE_VERIFY_INT_H
#define PBR_ARCHIVE_VERIFY_INT_H

#include "format/pxar_dec.h"

/* First wrong value of an entry; FORMAT with the rule that says so. NOMEM. */
PBR_MUST_USE int pbr_verify_entry(const struct pbr_env *env, const struct pbr_pxar_entry *e, struct pbr_diag *diag);

#endif
