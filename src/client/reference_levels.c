/* SPDX-License-Identifier: MIT */
/* The walk of a creation, seen from the previous snapshot; see reference_int.h. */
#include "client/reference_int.h"

enum { FIRST_LEVELS = 32 };

enum pbr_reuse_kind pbr_reference_kind(const struct pbr_create_entry *entry)
{
    if (entry->event == PBR_CREATE_EV_DIR_END)
        return PBR_REUSE_DIR_END;
    if (entry->event == PBR_CREATE_EV_DIR)
        return PBR_REUSE_DIR;
    return entry->meta && (entry->meta->mode & PBR_MODE_TYPE) == PBR_MODE_REG ? PBR_REUSE_FILE : PBR_REUSE_OTHER;
}

void pbr_reference_levels_init(struct pbr_reference_levels *l, const struct pbr_env *env, void (*dir_free)(void *dir))
{
    *l = (struct pbr_reference_levels){ .env = env, .dir_free = dir_free };
}

void pbr_reference_levels_release(struct pbr_reference_levels *l)
{
    while (l->depth > 0)
        pbr_reference_levels_leave(l);
    pbr_free(l->env, l->dirs);
}

int pbr_reference_levels_enter(struct pbr_reference_levels *l, void *dir, struct pbr_diag *diag)
{
    if (l->depth == l->cap) { /* bounded by PBR_PATH_DEPTH_MAX, as the walk is */
        const size_t cap = l->cap ? l->cap * 2 : FIRST_LEVELS;
        void **more = pbr_realloc(l->env, l->dirs, cap * sizeof(*more));
        if (!more) {
            l->dir_free(dir);
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a directory of the previous snapshot");
        }
        l->dirs = more;
        l->cap = cap;
    }
    l->dirs[l->depth++] = dir;
    return PBR_OK;
}

void pbr_reference_levels_leave(struct pbr_reference_levels *l)
{
    if (l->depth > 0)
        l->dir_free(l->dirs[--l->depth]);
}

void *pbr_reference_levels_get(const struct pbr_reference_levels *l)
{
    return l->depth > 0 ? l->dirs[l->depth - 1] : NULL;
}
