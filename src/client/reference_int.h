/* SPDX-License-Identifier: MIT */
/* Inside client only: what a creation on a previous snapshot needs whatever tells of that snapshot, an archive (reference.c)
 * or a catalog (catalog_reference.c): what an entry of the walk is to change detection, and the previous directories beside
 * the walk.
 *
 * Thread: not shared. */
#ifndef PBR_CLIENT_REFERENCE_INT_H
#define PBR_CLIENT_REFERENCE_INT_H

#include "archive/create.h"
#include "detect/reuse.h"

enum pbr_reuse_kind pbr_reference_kind(const struct pbr_create_entry *entry);

/* Previous directories from the root down to where the walk is, one a level; owned. NULL: there is none of that path. */
struct pbr_reference_levels {
    const struct pbr_env *env;
    void (*dir_free)(void *dir); /* NULL is fine to it */
    void **dirs;
    size_t depth, cap;
};

void pbr_reference_levels_init(struct pbr_reference_levels *l, const struct pbr_env *env, void (*dir_free)(void *dir));
void pbr_reference_levels_release(struct pbr_reference_levels *l);
/* One level down. Takes `dir` over, on failure too: NOMEM. */
PBR_MUST_USE int pbr_reference_levels_enter(struct pbr_reference_levels *l, void *dir, struct pbr_diag *diag);
void pbr_reference_levels_leave(struct pbr_reference_levels *l);
/* Where the walk is; NULL also before the first level. Borrowed until it is left. */
void *pbr_reference_levels_get(const struct pbr_reference_levels *l);

#endif
