/* SPDX-License-Identifier: MIT */
/* Listing groups, snapshots and their files [API-090 .. API-097, MAN-074]. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_int.h"
#include "sys/fd.h"

size_t pbr_store_comment_len(const char *notes)
{
    return strcspn(notes, "\n");
}

/* ---- files ---- */

static bool is_regular(int dirfd, const char *name)
{
    struct stat st;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static bool has_file(const struct pbr_store_file *files, size_t nr, const char *name)
{
    for (size_t i = 0; i < nr; i++) {
        if (strcmp(files[i].name, name) == 0)
            return true;
    }
    return false;
}

static void add_file(struct pbr_store_snapshot *snap, const char *name, bool has_info, enum pbr_crypt_mode mode,
                     uint64_t size)
{
    struct pbr_store_file *f = &snap->files[snap->file_nr++];
    *f = (struct pbr_store_file){ .has_info = has_info, .crypt_mode = mode, .size = size };
    (void)snprintf(f->name, sizeof(f->name), "%s", name);
    if (!pbr_add(snap->size, size, &snap->size))
        snap->size = UINT64_MAX; /* a manifest may claim anything */
}

/* *files: manifest entries in their order, index.json.blob, then what else lies in the directory [API-093]. */
static int fill_files(struct pbr_store *s, int fd, const struct pbr_manifest *m, uint64_t raw_size,
                      struct pbr_store_snapshot *ret, struct pbr_diag *diag)
{
    struct store_names names;
    const size_t listed = m ? m->file_nr : 0;
    int rc = store_read_dir(s->env, fd, store_want_file, &names, diag);
    if (rc < 0)
        return rc;
    ret->files = pbr_alloc(s->env, listed + names.nr + 1, sizeof(*ret->files));
    if (!ret->files) {
        store_names_release(&names);
        return store_nomem(diag);
    }
    for (size_t i = 0; i < listed; i++)
        add_file(ret, m->files[i].name, true, m->files[i].crypt_mode, m->files[i].size);
    if (m)
        add_file(ret, STORE_MANIFEST, true, m->has_signature ? PBR_CRYPT_SIGN_ONLY : PBR_CRYPT_NONE, raw_size);
    const size_t known = ret->file_nr;
    for (size_t i = 0; i < names.nr; i++) {
        if (!has_file(ret->files, known, names.items[i]) && is_regular(fd, names.items[i]))
            add_file(ret, names.items[i], false, PBR_CRYPT_NONE, 0);
    }
    store_names_release(&names);
    return PBR_OK;
}

/* ---- one snapshot ---- */

static void release_snapshot(const struct pbr_env *env, struct pbr_store_snapshot *p)
{
    pbr_free(env, p->files);
    pbr_free(env, p->owner);
    pbr_free(env, p->notes);
    pbr_free(env, p->fingerprint);
    pbr_free(env, p->verify_state);
    pbr_free(env, p->verify_upid);
}

/* Copies a string member; false: out of memory. */
static bool copy_member(const struct pbr_env *env, const json_t *object, const char *key, char **ret)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text)
        return true;
    *ret = pbr_strdup(env, text);
    return *ret != NULL;
}

/* Members of `unprotected` [MAN-060 .. MAN-063]. */
static int fill_unprotected(struct pbr_store *s, const struct pbr_manifest *m, struct pbr_store_snapshot *ret,
                            struct pbr_diag *diag)
{
    const json_t *verify = json_object_get(m->unprotected, "verify_state");
    const char *state = json_string_value(json_object_get(verify, "state"));
    const bool valid = state && json_is_string(json_object_get(verify, "upid")) &&
                       (strcmp(state, "ok") == 0 || strcmp(state, "failed") == 0);
    if (!copy_member(s->env, m->unprotected, "notes", &ret->notes) ||
        !copy_member(s->env, m->unprotected, "key-fingerprint", &ret->fingerprint))
        return store_nomem(diag);
    if (valid && (!copy_member(s->env, verify, "state", &ret->verify_state) ||
                  !copy_member(s->env, verify, "upid", &ret->verify_upid)))
        return store_nomem(diag);
    return PBR_OK;
}

/* What there is to say about an open snapshot directory. With `strict` a manifest that cannot be read is an error. */
static int fill_snapshot(struct pbr_store *s, int fd, const char *rel, bool strict, struct pbr_store_snapshot *ret,
                         struct pbr_diag *diag)
{
    char path[2 * STORE_PATH_MAX];
    struct pbr_manifest m = { 0 };
    uint64_t raw_size = 0;

    ret->finished = is_regular(fd, STORE_MANIFEST);
    ret->is_protected = faccessat(fd, STORE_PROTECTED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    (void)snprintf(path, sizeof(path), "%s/%s/" STORE_MANIFEST, s->path, rel);
    int rc = store_manifest_read(s, fd, path, STORE_MANIFEST, &m, &raw_size, strict ? diag : NULL);
    if (rc == PBR_E_NOMEM || (rc < 0 && strict))
        return rc;
    ret->has_manifest = rc == PBR_OK;
    rc = fill_files(s, fd, ret->has_manifest ? &m : NULL, raw_size, ret, diag);
    if (ret->has_manifest) {
        if (rc == PBR_OK)
            rc = fill_unprotected(s, &m, ret, diag);
        pbr_manifest_release(&m);
    }
    return rc;
}

static int append_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *id, const char *owner,
                           bool strict, struct pbr_store_snapshots *l, struct pbr_diag *diag)
{
    char rel[STORE_PATH_MAX];
    struct pbr_store_snapshot item = { .id = *id };
    void *items = l->items;
    int fd;
    int rc = store_snap_path(ns, id, rel, diag);
    if (rc == PBR_OK)
        rc = store_open_snap(s, ns, id, "API-097", &fd, diag);
    if (rc < 0)
        return rc;
    rc = fill_snapshot(s, fd, rel, strict, &item, diag);
    pbr_close(&fd);
    if (rc == PBR_OK && owner && !(item.owner = pbr_strdup(s->env, owner)))
        rc = store_nomem(diag);
    if (rc == PBR_OK && !store_grow(s->env, &items, l->nr, &l->cap, sizeof(*l->items)))
        rc = store_nomem(diag);
    if (rc < 0) {
        release_snapshot(s->env, &item);
        return rc;
    }
    l->items = items;
    l->items[l->nr++] = item;
    return PBR_OK;
}

void pbr_store_snapshots_release(struct pbr_store_snapshots *l)
{
    if (!l->env)
        return;
    for (size_t i = 0; i < l->nr; i++)
        release_snapshot(l->env, &l->items[i]);
    pbr_free(l->env, l->items);
    *l = (struct pbr_store_snapshots){ 0 };
}

int pbr_store_list_files(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                         struct pbr_store_snapshots *ret, struct pbr_diag *diag)
{
    struct pbr_store_snapshots l = { .env = s->env };
    const int rc = append_snapshot(s, ns, snap, NULL, true, &l, diag);
    if (rc < 0) {
        pbr_store_snapshots_release(&l);
        return rc;
    }
    *ret = l;
    return PBR_OK;
}

/* ---- walking the groups of a namespace ---- */

struct group_visit {
    struct pbr_store *s;
    const char *ns, *type, *id; /* type, id: NULL = any */
    /* group_fd and owner are borrowed. */
    int (*each)(void *ctx, const struct pbr_group *g, int group_fd, const char *owner, struct pbr_diag *diag);
    void *ctx;
};

static int visit_group(const struct group_visit *v, int type_fd, const char *type, const char *id,
                       struct pbr_diag *diag)
{
    struct pbr_group g;
    char rel[STORE_PATH_MAX], *owner;
    int fd = store_open_dir(type_fd, id);
    if (fd < 0)
        return PBR_OK; /* not a directory */
    (void)snprintf(g.type, sizeof(g.type), "%s", type);
    (void)snprintf(g.id, sizeof(g.id), "%s", id);
    int rc = store_group_path(v->ns, &g, rel, diag);
    if (rc == PBR_OK) {
        rc = store_read_owner(v->s, fd, rel, &owner, NULL);
        if (rc == PBR_OK) {
            rc = v->each(v->ctx, &g, fd, owner, diag);
            pbr_free(v->s->env, owner);
        } else {
            rc = rc == PBR_E_NOMEM ? store_nomem(diag) : PBR_OK; /* without owner it is not listed [IDX-111] */
        }
    }
    pbr_close(&fd);
    return rc;
}

static int visit_type(const struct group_visit *v, int ns_fd, const char *type, struct pbr_diag *diag)
{
    struct store_names ids;
    int fd = store_open_dir(ns_fd, type);
    if (fd < 0)
        return PBR_OK;
    int rc = store_read_dir(v->s->env, fd, store_want_id, &ids, diag);
    if (rc == PBR_OK) {
        for (size_t i = 0; rc == PBR_OK && i < ids.nr; i++) {
            if (!v->id || strcmp(v->id, ids.items[i]) == 0)
                rc = visit_group(v, fd, type, ids.items[i], diag);
        }
        store_names_release(&ids);
    }
    pbr_close(&fd);
    return rc;
}

static int visit_groups(const struct group_visit *v, struct pbr_diag *diag)
{
    static const char *const types[] = { "ct", "host", "vm" };
    int fd;
    int rc = store_open_ns(v->s, v->ns, "API-096", &fd, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < sizeof(types) / sizeof(types[0]); i++) {
        if (!v->type || strcmp(v->type, types[i]) == 0)
            rc = visit_type(v, fd, types[i], diag);
    }
    pbr_close(&fd);
    return rc;
}

/* ---- snapshots ---- */

struct snapshot_visit {
    struct pbr_store *s;
    const char *ns;
    struct pbr_store_snapshots list;
};

static int list_group_snapshots(void *ctx, const struct pbr_group *g, int group_fd, const char *owner,
                                struct pbr_diag *diag)
{
    struct snapshot_visit *v = ctx;
    struct store_times times;
    int rc = store_read_times(v->s, group_fd, &times, diag);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == PBR_OK && i < times.nr; i++) {
        const struct pbr_snapshot id = { .group = *g, .time_s = times.items[i] };
        struct pbr_diag cause = { 0 };
        rc = append_snapshot(v->s, v->ns, &id, owner, false, &v->list, &cause);
        if (rc == PBR_E_NOENT)
            rc = PBR_OK; /* removed meanwhile */
        else if (rc < 0)
            rc = pbr_fail_at(diag, rc, cause.rule, "%s", cause.text);
    }
    pbr_free(v->s->env, times.items);
    return rc;
}

int pbr_store_list_snapshots(struct pbr_store *s, const char *ns, const char *type, const char *id,
                             struct pbr_store_snapshots *ret, struct pbr_diag *diag)
{
    struct snapshot_visit v = { .s = s, .ns = ns, .list = { .env = s->env } };
    const struct group_visit visit = { s, ns, type, id, list_group_snapshots, &v };
    const int rc = visit_groups(&visit, diag);
    if (rc < 0) {
        pbr_store_snapshots_release(&v.list);
        return rc;
    }
    *ret = v.list;
    return PBR_OK;
}

/* ---- groups ---- */

struct group_list_visit {
    struct pbr_store *s;
    const char *ns;
    struct pbr_store_groups list;
};

static void release_group(const struct pbr_env *env, struct pbr_store_group *g)
{
    pbr_free(env, g->owner);
    pbr_free(env, g->notes);
    pbr_free(env, g->files);
}

void pbr_store_groups_release(struct pbr_store_groups *l)
{
    if (!l->env)
        return;
    for (size_t i = 0; i < l->nr; i++)
        release_group(l->env, &l->items[i]);
    pbr_free(l->env, l->items);
    *l = (struct pbr_store_groups){ 0 };
}

/* File names of one snapshot of a group. */
static int fill_names(struct pbr_store *s, int group_fd, int64_t time_s, struct pbr_store_group *ret,
                      struct pbr_diag *diag)
{
    struct pbr_store_snapshot snap = { 0 };
    char time[PBR_TIME_TEXT + 1];
    if (!pbr_time_format(time_s, time))
        return PBR_OK;
    int fd = store_open_dir(group_fd, time);
    if (fd < 0)
        return PBR_OK;
    const int rc = fill_files(s, fd, NULL, 0, &snap, diag);
    pbr_close(&fd);
    ret->files = snap.files;
    ret->file_nr = snap.file_nr;
    return rc;
}

/* Newest finished snapshot; if none is, the newest [API-090]. 0: none at all. */
static int64_t last_backup(int group_fd, const struct store_times *times)
{
    for (size_t i = times->nr; i > 0; i--) {
        char name[PBR_TIME_TEXT + 1];
        if (!pbr_time_format(times->items[i - 1], name))
            continue;
        int fd = store_open_dir(group_fd, name);
        const bool finished = fd >= 0 && is_regular(fd, STORE_MANIFEST);
        pbr_close(&fd);
        if (finished)
            return times->items[i - 1];
    }
    return times->nr ? times->items[times->nr - 1] : 0;
}

static int list_group(void *ctx, const struct pbr_group *g, int group_fd, const char *owner, struct pbr_diag *diag)
{
    struct group_list_visit *v = ctx;
    struct pbr_store_group item = { .id = *g };
    struct store_times times;
    void *items = v->list.items;
    int rc = store_read_times(v->s, group_fd, &times, diag);
    if (rc < 0)
        return rc;

    item.backup_nr = times.nr;
    item.last_backup_s = last_backup(group_fd, &times);
    pbr_free(v->s->env, times.items);
    if (item.last_backup_s)
        rc = fill_names(v->s, group_fd, item.last_backup_s, &item, diag);
    if (rc == PBR_OK)
        rc = pbr_store_get_group_notes(v->s, v->ns, g, &item.notes, diag);
    if (rc == PBR_OK && !*item.notes) {
        pbr_free(v->s->env, item.notes);
        item.notes = NULL;
    }
    if (rc == PBR_OK && (!(item.owner = pbr_strdup(v->s->env, owner)) ||
                         !store_grow(v->s->env, &items, v->list.nr, &v->list.cap, sizeof(*v->list.items))))
        rc = store_nomem(diag);
    if (rc < 0) {
        release_group(v->s->env, &item);
        return rc;
    }
    v->list.items = items;
    v->list.items[v->list.nr++] = item;
    return PBR_OK;
}

int pbr_store_list_groups(struct pbr_store *s, const char *ns, struct pbr_store_groups *ret, struct pbr_diag *diag)
{
    struct group_list_visit v = { .s = s, .ns = ns, .list = { .env = s->env } };
    const struct group_visit visit = { s, ns, NULL, NULL, list_group, &v };
    const int rc = visit_groups(&visit, diag);
    if (rc < 0) {
        pbr_store_groups_release(&v.list);
        return rc;
    }
    *ret = v.list;
    return PBR_OK;
}
