/* SPDX-License-Identifier: MIT */
/* Removing snapshots, groups and namespaces; making and listing namespaces [API-105, API-106, API-114]. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/store_int.h"
#include "sys/fd.h"

/* ---- snapshots and groups ---- */

int store_drop_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, struct pbr_diag *diag)
{
    char rel[STORE_PATH_MAX], time[PBR_TIME_TEXT + 1];
    int fd;
    int rc = store_snap_path(ns, snap, rel, diag);
    if (rc < 0)
        return rc;
    if (!pbr_store_has_snapshot(s, ns, snap))
        return pbr_fail_at(diag, PBR_E_NOENT, "API-105", "removing backup snapshot \"%s/%s\" failed - %s", s->path, rel,
                           store_cause(ENOENT).text);
    rc = store_open_group(s, ns, &snap->group, "API-105", &fd, diag);
    if (rc < 0)
        return rc;
    rc = pbr_time_format(snap->time_s, time) ? store_remove_tree(s, fd, time, diag) : PBR_E_ARG;
    pbr_close(&fd);
    return rc;
}

/* Removes one snapshot under its lock; *ret_protected instead if it is protected. */
static int forget_one(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, bool *ret_protected,
                      struct pbr_diag *diag)
{
    struct pbr_store_lock *lock;
    int rc = pbr_store_lock_snapshot(s, ns, snap, PBR_STORE_EXCLUSIVE, &lock, diag);
    if (rc < 0)
        return rc;
    *ret_protected = pbr_store_is_protected(s, ns, snap);
    if (!*ret_protected)
        rc = store_drop_snapshot(s, ns, snap, diag);
    pbr_store_unlock(lock);
    return rc;
}

int pbr_store_forget_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                              struct pbr_diag *diag)
{
    struct pbr_store_lock *lock;
    bool is_protected;
    int rc = forget_one(s, ns, snap, &is_protected, diag);
    if (rc < 0)
        return rc;
    if (is_protected)
        return pbr_fail_at(diag, PBR_E_STATE, "API-105", "cannot remove protected snapshot");
    /* The group goes with its last snapshot, unless a backup is just adding one. */
    if (pbr_store_lock_group(s, ns, &snap->group, &lock, NULL) == PBR_OK) {
        rc = store_drop_empty_group(s, ns, &snap->group, diag);
        pbr_store_unlock(lock);
    }
    return rc;
}

static int forget_snapshots(struct pbr_store *s, const char *ns, const struct pbr_group *g,
                            struct pbr_store_removed *ret, struct pbr_diag *diag)
{
    struct store_times times;
    struct pbr_diag cause = { 0 };
    int fd;
    int rc = store_open_group(s, ns, g, "API-106", &fd, diag);
    if (rc < 0)
        return rc;
    rc = store_read_times(s, fd, &times, diag);
    pbr_close(&fd);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < times.nr; i++) {
        const struct pbr_snapshot snap = { .group = *g, .time_s = times.items[i] };
        bool is_protected;
        rc = forget_one(s, ns, &snap, &is_protected, &cause);
        if (rc == PBR_OK)
            *(is_protected ? &ret->protected_snapshots : &ret->snapshots) += 1;
    }
    pbr_free(s->env, times.items);
    if (rc < 0)
        return pbr_fail_at(diag, rc, "API-106", "while destroying group '%s/%s': %s", g->type, g->id, cause.text);
    return PBR_OK;
}

int pbr_store_forget_group(struct pbr_store *s, const char *ns, const struct pbr_group *g,
                           struct pbr_store_removed *ret, struct pbr_diag *diag)
{
    char rel[STORE_PATH_MAX];
    struct pbr_store_removed removed = { 0 };
    struct pbr_store_lock *lock;
    int rc = store_group_path(ns, g, rel, diag);
    if (rc < 0)
        return rc;
    if (!pbr_store_has_group(s, ns, g))
        return pbr_fail_at(diag, PBR_E_NOENT, "API-106", "read dir \"%s/%s\" - ENOENT: No such file or directory",
                           s->path, rel);
    rc = pbr_store_lock_group(s, ns, g, &lock, diag);
    if (rc < 0) {
        pbr_diag_context(diag, "while destroying group '%s/%s'", g->type, g->id);
        return rc;
    }
    rc = forget_snapshots(s, ns, g, &removed, diag);
    if (rc == PBR_OK && removed.protected_snapshots == 0) {
        rc = store_drop_empty_group(s, ns, g, diag);
        removed.groups = rc == PBR_OK;
    }
    pbr_store_unlock(lock);
    if (rc == PBR_OK)
        *ret = removed;
    return rc;
}

/* ---- namespaces ---- */

bool pbr_store_has_namespace(struct pbr_store *s, const char *ns)
{
    int fd;
    if (store_open_ns(s, ns, NULL, &fd, NULL) < 0)
        return false;
    pbr_close(&fd);
    return true;
}

void pbr_store_namespaces_release(struct pbr_store_namespaces *l)
{
    struct store_names n = { l->env, l->items, l->nr, l->cap };
    if (l->env)
        store_names_release(&n);
    *l = (struct pbr_store_namespaces){ 0 };
}

static size_t depth_of(const char *ns)
{
    size_t n = *ns != 0;
    for (; *ns; ns++)
        n += *ns == '/';
    return n;
}

/* Appends the namespaces directly below `parent`. */
static int add_children(struct pbr_store *s, const char *parent, struct store_names *all, struct pbr_diag *diag)
{
    struct store_names names;
    int rc;
    int parent_fd;
    if (store_open_ns(s, parent, NULL, &parent_fd, NULL) < 0)
        return PBR_OK;
    int fd = store_open_dir(parent_fd, "ns");
    pbr_close(&parent_fd);
    if (fd < 0)
        return PBR_OK;
    rc = store_read_dir(s->env, fd, store_want_id, &names, diag);
    if (rc < 0) {
        pbr_close(&fd);
        return rc;
    }
    for (size_t i = 0; rc == PBR_OK && i < names.nr; i++) {
        char ns[STORE_PATH_MAX];
        (void)snprintf(ns, sizeof(ns), "%s%s%s", parent, *parent ? "/" : "", names.items[i]);
        if (pbr_ns_check(pbr_span_str(ns), NULL) == PBR_OK && store_is_dir(fd, names.items[i]) &&
            store_names_add(all, ns) < 0)
            rc = store_nomem(diag);
    }
    store_names_release(&names);
    pbr_close(&fd);
    return rc;
}

int pbr_store_list_namespaces(struct pbr_store *s, const char *parent, unsigned max_depth,
                              struct pbr_store_namespaces *ret, struct pbr_diag *diag)
{
    struct store_names all = { .env = s->env };
    const size_t top = depth_of(parent);
    int rc = pbr_ns_check(pbr_span_str(parent), diag);
    if (rc == PBR_OK && store_names_add(&all, parent) < 0)
        rc = store_nomem(diag);
    for (size_t i = 0; rc == PBR_OK && i < all.nr; i++) { /* grows while it is walked: parents before children */
        char ns[PBR_NS_MAX + 1];
        (void)snprintf(ns, sizeof(ns), "%s", all.items[i]);
        if (depth_of(ns) - top < max_depth)
            rc = add_children(s, ns, &all, diag);
    }
    if (rc < 0) {
        store_names_release(&all);
        return rc;
    }
    *ret = (struct pbr_store_namespaces){ all.env, all.items, all.nr, all.cap };
    return PBR_OK;
}

int pbr_store_create_namespace(struct pbr_store *s, const char *parent, const char *name, struct pbr_diag *diag)
{
    char ns[2 * STORE_PATH_MAX], path[STORE_PATH_MAX];
    if (!pbr_name_is_safe_id(pbr_span_str(name)) || strlen(name) > PBR_ID_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "API-032", "not a valid namespace component: %.255s", name);
    (void)snprintf(ns, sizeof(ns), "%.*s%s%s", PBR_NS_MAX + 1, parent, *parent ? "/" : "", name);
    int rc = store_ns_path(ns, path, diag);
    if (rc < 0)
        return rc;
    if (!pbr_store_has_namespace(s, parent))
        return pbr_fail_at(diag, PBR_E_NOENT, "API-114",
                           "cannot create new namespace, parent %s doesn't already exists", parent);
    int fd = store_make_dir(s, s->root_fd, path);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot create namespace %s", ns);
    pbr_close(&fd);
    return PBR_OK;
}

/* Groups of one namespace: removed, or only counted in *ret_left. */
static int empty_namespace(struct pbr_store *s, const char *ns, bool delete_groups, struct pbr_store_removed *ret,
                           uint64_t *ret_left, struct pbr_diag *diag)
{
    struct pbr_store_groups groups;
    int rc = pbr_store_list_groups(s, ns, &groups, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < groups.nr; i++) {
        struct pbr_store_removed one = { 0 };
        if (!delete_groups) {
            *ret_left += 1;
            continue;
        }
        rc = pbr_store_forget_group(s, ns, &groups.items[i].id, &one, diag);
        ret->groups += one.groups;
        ret->snapshots += one.snapshots;
        ret->protected_snapshots += one.protected_snapshots;
    }
    pbr_store_groups_release(&groups);
    return rc;
}

/* Removes the directories of a namespace that are empty now; what is not stays. */
static void drop_empty_dirs(struct pbr_store *s, const char *ns)
{
    static const char *const inner[] = { "ct", "host", "vm", "ns" };
    char path[STORE_PATH_MAX];
    int fd;
    if (store_ns_path(ns, path, NULL) < 0 || (fd = store_open_dir(s->root_fd, path)) < 0)
        return;
    for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++)
        (void)store_unlink(s, fd, inner[i], AT_REMOVEDIR);
    pbr_close(&fd);
    if (*ns)
        (void)store_unlink(s, s->root_fd, path, AT_REMOVEDIR);
}

int pbr_store_delete_namespace(struct pbr_store *s, const char *ns, bool delete_groups,
                               struct pbr_store_removed *ret, struct pbr_diag *diag)
{
    struct pbr_store_namespaces all;
    struct pbr_store_removed removed = { 0 };
    uint64_t left = 0;
    int rc = pbr_ns_check(pbr_span_str(ns), diag);
    if (rc < 0)
        return rc;
    if (!pbr_store_has_namespace(s, ns)) {
        *ret = removed;
        return PBR_OK;
    }
    rc = pbr_store_list_namespaces(s, ns, PBR_NS_DEPTH_MAX, &all, diag);
    if (rc < 0)
        return rc;
    for (size_t i = all.nr; rc == PBR_OK && i > 0; i--) { /* children first */
        rc = empty_namespace(s, all.items[i - 1], delete_groups, &removed, &left, diag);
        if (rc == PBR_OK)
            drop_empty_dirs(s, all.items[i - 1]);
    }
    pbr_store_namespaces_release(&all);
    if (rc < 0)
        return rc;
    *ret = removed;
    if (left > 0)
        return pbr_fail_at(diag, PBR_E_PARTIAL, "API-114",
                           "only partially deleted due to existing groups but `delete-groups` not true");
    return PBR_OK;
}
