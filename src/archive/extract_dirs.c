/* SPDX-License-Identifier: MIT */
/* The directories from the root to the current one; see extract_int.h.
 *
 * A directory is created when it is selected or when something in it is extracted [EXT-024,
 * EXT-026], with mode 0700 so that it can be filled and nobody else looks into what is not
 * finished; it gets its metadata when it is left [EXT-061].
 *
 * Thread: as extract.h. */
#include <errno.h>
#include <string.h>

#include "archive/extract_int.h"

enum { OPEN_MAX_DEFAULT = 256, OPEN_MAX_LEAST = 2 };

static int grow(struct pbr_extract_run *run)
{
    struct pbr_extract_dirs *d = &run->dirs;
    if (d->nr < d->cap)
        return PBR_OK;
    const size_t cap = d->cap ? 2 * d->cap : 32;
    struct pbr_extract_dir *levels = pbr_realloc(run->env, d->levels, cap * sizeof(*levels));
    if (!levels)
        return PBR_E_NOMEM;
    d->levels = levels;
    d->cap = cap;
    return PBR_OK;
}

static void free_level(const struct pbr_extract_run *run, struct pbr_extract_dir *level)
{
    pbr_free(run->env, level->name);
    pbr_free(run->env, level->meta);
}

int pbr_extract_dirs_push(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry,
                          bool selected)
{
    struct pbr_extract_dir level = { .node = -1, .selected = selected };
    struct pbr_extract_dirs *d = &run->dirs;
    level.name = pbr_strndup(run->env, entry->name);
    if (!level.name || grow(run) < 0 ||
        pbr_pxar_meta_dup(run->env, &entry->meta, &level.meta) < 0) {
        free_level(run, &level);
        return pbr_fail_at(run->diag, PBR_E_NOMEM, NULL, "no memory");
    }
    if (d->nr == 0) { /* the root is there */
        level.node = run->target->root;
        d->created_nr = 1;
        d->first_open = 1;
        run->stats.dirs++;
    }
    d->levels[d->nr++] = level;
    return PBR_OK;
}

int pbr_extract_dirs_node(const struct pbr_extract_run *run)
{
    return run->dirs.levels[run->dirs.created_nr - 1].node;
}

bool pbr_extract_dirs_selected(const struct pbr_extract_run *run)
{
    return run->dirs.levels[run->dirs.nr - 1].selected;
}

/* Permissions at creation: 0700, the archived ones come later. If they are not to come, as the
 * original creates it, with the owner's bits on top until it is left [EXT-040]. */
static uint32_t creation_mode(const struct pbr_extract_run *run, uint64_t mode)
{
    if (run->meta.features & PBR_FEATURE_PERMISSIONS)
        return 0700;
    return (uint32_t)(mode & 01777) | 0700;
}

/* Something that is there stands in the way of directory `name`: says so if it is a symlink
 * [EXT-035]. */
static struct pbr_extract_cause not_a_directory(struct pbr_extract_run *run, int dir,
                                                const char *name, int result)
{
    struct pbr_target_stat st;
    struct pbr_extract_cause cause = pbr_extract_os_cause(result);
    if (result == -ENOTDIR && run->target->ops->stat_name(run->target->ctx, dir, name, &st) >= 0 &&
        (st.mode & PBR_MODE_TYPE) == PBR_MODE_SYMLINK) {
        cause.rule = "EXT-035";
        cause.text = "ENOTDIR: refusing to follow a symbolic link";
    }
    return cause;
}

/* Returns the node of the new (or allowed) directory, or -1 with *ret_cause. */
static int create_level(struct pbr_extract_run *run, int dir, const struct pbr_extract_dir *level,
                        struct pbr_extract_cause *ret_cause)
{
    const struct pbr_target *t = run->target;
    const uint64_t mode = level->meta->mode;
    if (mode & ~(uint64_t)(PBR_MODE_TYPE | PBR_MODE_PERM)) {
        *ret_cause = (struct pbr_extract_cause){ .code = PBR_E_FORMAT,
                                                 .rule = "EXT-042",
                                                 .text = "mode contains illegal bits" };
        return -1;
    }
    const int made = t->ops->mkdir(t->ctx, dir, level->name, creation_mode(run, mode));
    if (made < 0 && !(made == -EEXIST && run->opts->allow_existing_dirs)) {
        *ret_cause = pbr_extract_os_cause(made);
        return -1;
    }
    const int node = t->ops->open_dir(t->ctx, dir, level->name);
    if (node >= 0)
        return node;
    *ret_cause = not_a_directory(run, dir, level->name, node);
    return -1;
}

/* Keeps the number of open directories below the budget: the outermost one but the root is closed.
 */
static int close_outermost(struct pbr_extract_run *run)
{
    struct pbr_extract_dirs *d = &run->dirs;
    const unsigned asked = run->opts->open_dirs_max;
    const size_t budget = asked == 0               ? OPEN_MAX_DEFAULT
                          : asked < OPEN_MAX_LEAST ? OPEN_MAX_LEAST
                                                   : asked;
    if (1 + d->created_nr - d->first_open <= budget)
        return PBR_OK;
    struct pbr_extract_dir *level = &d->levels[d->first_open];
    struct pbr_target_stat st;
    const int rc = run->target->ops->stat(run->target->ctx, level->node, &st);
    if (rc < 0)
        return pbr_fail_os(run->diag, -rc, "cannot identify directory \"%s\"", level->name);
    level->id = st.id;
    (void)run->target->ops->close(run->target->ctx, level->node);
    level->node = -1;
    d->first_open++;
    return PBR_OK;
}

int pbr_extract_dirs_ensure(struct pbr_extract_run *run,
                            const struct pbr_extract_cause **ret_failed)
{
    struct pbr_extract_dirs *d = &run->dirs;
    while (!d->has_failed && d->created_nr < d->nr) {
        struct pbr_extract_dir *level = &d->levels[d->created_nr];
        const int node = create_level(run, d->levels[d->created_nr - 1].node, level, &d->cause);
        if (node < 0) {
            d->has_failed = true;
            break;
        }
        level->node = node;
        d->created_nr++;
        run->stats.dirs++;
        const int rc = close_outermost(run);
        if (rc < 0)
            return rc;
    }
    *ret_failed = d->has_failed ? &d->cause : NULL;
    return PBR_OK;
}

/* The directory above the innermost one is open again. */
static int reopen_outer(struct pbr_extract_run *run)
{
    struct pbr_extract_dirs *d = &run->dirs;
    const struct pbr_target *t = run->target;
    if (d->created_nr < 2 || d->levels[d->created_nr - 2].node >= 0)
        return PBR_OK;
    struct pbr_extract_dir *outer = &d->levels[d->created_nr - 2];
    struct pbr_target_stat st;
    const int node = t->ops->open_up(t->ctx, d->levels[d->created_nr - 1].node);
    const int result = node < 0 ? node : t->ops->stat(t->ctx, node, &st);
    if (result >= 0 && st.id.dev == outer->id.dev && st.id.ino == outer->id.ino) {
        outer->node = node;
        d->first_open = d->created_nr - 2;
        return PBR_OK;
    }
    if (node >= 0)
        (void)t->ops->close(t->ctx, node);
    if (result < 0)
        return pbr_fail_os(run->diag, -result, "cannot return to directory \"%s\"", outer->name);
    return pbr_fail_at(run->diag, PBR_E_STATE, "EXT-032",
                       "directory \"%s\" was moved during extraction", outer->name);
}

static int leave(struct pbr_extract_run *run, struct pbr_extract_dir *level)
{
    int rc = reopen_outer(run); /* first: afterwards the permissions may not allow it */
    if (rc < 0)
        return rc;
    if (level->held && run->dirs.nr > 1) { /* so its parent must stay passable, too */
        run->dirs.levels[run->dirs.nr - 2].held = true;
        return pbr_extract_later_dir(run, level);
    }
    run->meta.restrict_mode = run->dirs.created_nr > 1;
    rc = pbr_meta_apply(&run->meta, level->node, PBR_KIND_DIR, level->meta);
    run->meta.restrict_mode = false;
    return rc;
}

int pbr_extract_dirs_pop(struct pbr_extract_run *run)
{
    struct pbr_extract_dirs *d = &run->dirs;
    struct pbr_extract_dir *level = &d->levels[d->nr - 1];
    if (d->created_nr < d->nr) {
        d->has_failed = d->has_failed && d->created_nr != d->nr - 1;
    } else {
        const int rc = leave(run, level);
        if (rc < 0)
            return rc;
        if (d->nr > 1)
            (void)run->target->ops->close(run->target->ctx, level->node);
        d->created_nr--;
    }
    free_level(run, level);
    d->nr--;
    return PBR_OK;
}

void pbr_extract_dirs_release(struct pbr_extract_run *run)
{
    struct pbr_extract_dirs *d = &run->dirs;
    for (size_t i = d->nr; i-- > 0;) {
        if (i > 0 && d->levels[i].node >= 0)
            (void)run->target->ops->close(run->target->ctx, d->levels[i].node);
        free_level(run, &d->levels[i]);
    }
    pbr_free(run->env, d->levels);
}
