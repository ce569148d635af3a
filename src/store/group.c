/* SPDX-License-Identifier: MIT */
/* Groups: owner, notes, snapshot times, creation and removal in one step; protection and notes of snapshots. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/store_int.h"
#include "sys/fd.h"

/* ---- owner ---- */

int store_read_owner(struct pbr_store *s, int group_fd, const char *path, char **ret, struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    struct pbr_buf b;
    const int rc = store_load(s, group_fd, "owner", STORE_OWNER_MAX, &b, &cause);
    if (rc < 0)
        return pbr_fail_at(diag, rc, "API-112", "unable to read \"%s/%s/owner\" - %s", s->path, path, cause.text);

    const uint8_t *end = b.len ? memchr(b.ptr, '\n', b.len) : NULL;
    size_t len = end ? (size_t)(end - b.ptr) : b.len;
    while (len > 0 && isspace(b.ptr[len - 1]))
        len--;
    const bool good = len > 0 && !memchr(b.ptr, 0, len);
    char *owner = good ? pbr_strndup(s->env, pbr_span(b.ptr, len)) : NULL;
    pbr_buf_release(&b);
    if (!good)
        return pbr_fail_at(diag, PBR_E_FORMAT, "IDX-111", "unable to read \"%s/%s/owner\" - no owner in it", s->path,
                           path);
    if (!owner)
        return store_nomem(diag);
    *ret = owner;
    return PBR_OK;
}

static int save_owner(struct pbr_store *s, int group_fd, const char *owner, struct pbr_diag *diag)
{
    struct pbr_buf line;
    if (!*owner || strpbrk(owner, "\r\n"))
        return pbr_fail_at(diag, PBR_E_ARG, "IDX-111", "invalid owner");
    pbr_buf_init(&line, s->env, STORE_OWNER_MAX);
    int rc = pbr_buf_printf(&line, "%s\n", owner);
    rc = rc < 0 ? store_nomem(diag) : store_save(s, group_fd, "owner", pbr_buf_span(&line), diag);
    pbr_buf_release(&line);
    return rc;
}

int pbr_store_get_owner(struct pbr_store *s, const char *ns, const struct pbr_group *g, char **ret,
                        struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX];
    int rc = store_group_path(ns, g, path, diag);
    if (rc < 0)
        return rc;
    int fd = store_open_dir(s->root_fd, path);
    if (fd < 0)
        return pbr_fail_at(diag, PBR_E_NOENT, "API-112", "unable to read \"%s/%s/owner\" - %s", s->path, path,
                           store_cause(errno).text);
    rc = store_read_owner(s, fd, path, ret, diag);
    pbr_close(&fd);
    return rc;
}

int pbr_store_set_owner(struct pbr_store *s, const char *ns, const struct pbr_group *g, const char *owner,
                        struct pbr_diag *diag)
{
    int fd;
    int rc = store_open_group(s, ns, g, "API-112", &fd, diag);
    if (rc < 0)
        return rc;
    rc = save_owner(s, fd, owner, diag);
    pbr_close(&fd);
    return rc;
}

bool pbr_store_owner_allows(const char *owner, const char *auth_id)
{
    const size_t len = strlen(auth_id);
    if (strncmp(owner, auth_id, len) != 0)
        return false;
    return owner[len] == 0 || (owner[len] == '!' && !strchr(auth_id, '!'));
}

/* ---- groups ---- */

bool pbr_store_has_group(struct pbr_store *s, const char *ns, const struct pbr_group *g)
{
    int fd;
    if (store_open_group(s, ns, g, NULL, &fd, NULL) < 0)
        return false;
    pbr_close(&fd);
    return true;
}

bool pbr_store_has_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap)
{
    int fd;
    if (store_open_snap(s, ns, snap, NULL, &fd, NULL) < 0)
        return false;
    pbr_close(&fd);
    return true;
}

/* Makes the type directory and opens it. Negative code on failure. */
static int open_type_dir(struct pbr_store *s, const char *ns, const struct pbr_group *g, bool make,
                         struct pbr_diag *diag)
{
    char path[STORE_PATH_MAX];
    int rc = store_group_path(ns, g, path, diag);
    if (rc < 0)
        return rc;
    char *slash = strrchr(path, '/');
    *slash = 0;
    const int fd = make ? store_make_dir(s, s->root_fd, path) : store_open_dir(s->root_fd, path);
    return fd < 0 ? pbr_fail_os(diag, errno, "cannot open %s/%s", s->path, path) : fd;
}

static int tmp_name(struct pbr_store *s, char out[16], struct pbr_diag *diag)
{
    char salt[9];
    const int rc = store_random_text(s, salt, 8);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no random bytes for a temporary name");
    (void)snprintf(out, 16, ".tmp_%s", salt);
    return PBR_OK;
}

int store_create_group(struct pbr_store *s, const char *ns, const struct pbr_group *g, const char *owner,
                       struct pbr_diag *diag)
{
    char tmp[16];
    int rc = tmp_name(s, tmp, diag);
    if (rc < 0)
        return rc;
    int type_fd = open_type_dir(s, ns, g, true, diag);
    if (type_fd < 0)
        return type_fd;
    if (store_is_dir(type_fd, g->id)) {
        pbr_close(&type_fd);
        return PBR_E_EXIST;
    }
    if (store_mkdir(s, type_fd, tmp, 0755) != 0) {
        rc = pbr_fail_os(diag, errno, "cannot create group %s/%s", g->type, g->id);
        pbr_close(&type_fd);
        return rc;
    }
    int fd = store_open_dir(type_fd, tmp);
    rc = fd < 0 ? pbr_fail_os(diag, errno, "cannot open group %s/%s", g->type, g->id)
                : save_owner(s, fd, owner, diag);
    pbr_close(&fd);
    if (rc == PBR_OK && store_rename(s, type_fd, tmp, g->id) != 0)
        rc = pbr_fail_os(diag, errno, "cannot create group %s/%s", g->type, g->id);
    if (rc < 0)
        (void)!store_remove_tree(s, type_fd, tmp, NULL);
    pbr_close(&type_fd);
    return rc;
}

int store_read_times(struct pbr_store *s, int group_fd, struct store_times *ret, struct pbr_diag *diag)
{
    struct store_names names;
    int rc = store_read_dir(s->env, group_fd, store_want_time, &names, diag);
    if (rc < 0)
        return rc;
    struct store_times t = { .items = pbr_alloc(s->env, names.nr + 1, sizeof(*t.items)) };
    if (!t.items)
        rc = store_nomem(diag);
    for (size_t i = 0; rc == PBR_OK && i < names.nr; i++) { /* the texts sort as the times do */
        if (store_is_dir(group_fd, names.items[i]) &&
            pbr_time_parse(pbr_span_str(names.items[i]), &t.items[t.nr]))
            t.nr++;
    }
    store_names_release(&names);
    if (rc == PBR_OK)
        *ret = t;
    return rc;
}

int store_drop_empty_group(struct pbr_store *s, const char *ns, const struct pbr_group *g, struct pbr_diag *diag)
{
    struct store_times times;
    char tmp[16];
    int fd;
    int rc = store_open_group(s, ns, g, "API-106", &fd, diag);
    if (rc < 0)
        return rc;
    rc = store_read_times(s, fd, &times, diag);
    pbr_close(&fd);
    if (rc < 0)
        return rc;
    pbr_free(s->env, times.items);
    if (times.nr > 0)
        return PBR_OK;

    /* Renamed away first: a kill in between leaves no group without owner behind. */
    int type_fd = open_type_dir(s, ns, g, false, diag);
    if (type_fd < 0)
        return type_fd;
    rc = tmp_name(s, tmp, diag);
    if (rc == PBR_OK && store_rename(s, type_fd, g->id, tmp) != 0)
        rc = pbr_fail_os(diag, errno, "cannot remove group %s/%s", g->type, g->id);
    if (rc == PBR_OK)
        rc = store_remove_tree(s, type_fd, tmp, diag);
    pbr_close(&type_fd);
    return rc;
}

/* ---- notes and protection ---- */

int pbr_store_get_group_notes(struct pbr_store *s, const char *ns, const struct pbr_group *g, char **ret,
                              struct pbr_diag *diag)
{
    struct pbr_buf b;
    int fd;
    int rc = store_open_group(s, ns, g, "API-096", &fd, diag);
    if (rc < 0)
        return rc;
    rc = store_load(s, fd, "notes", STORE_NOTES_MAX, &b, NULL);
    pbr_close(&fd);
    char *text = rc < 0 ? pbr_strdup(s->env, "") : pbr_strndup(s->env, pbr_buf_span(&b));
    if (rc == PBR_OK)
        pbr_buf_release(&b);
    if (!text)
        return store_nomem(diag);
    *ret = text;
    return PBR_OK;
}

int pbr_store_set_group_notes(struct pbr_store *s, const char *ns, const struct pbr_group *g, const char *notes,
                              struct pbr_diag *diag)
{
    int fd;
    if (strlen(notes) > STORE_NOTES_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, "IDX-113", "notes of more than %d bytes", STORE_NOTES_MAX);
    int rc = store_open_group(s, ns, g, "API-096", &fd, diag);
    if (rc < 0)
        return rc;
    rc = store_save(s, fd, "notes", pbr_span_str(notes), diag);
    pbr_close(&fd);
    return rc;
}

int pbr_store_get_notes(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, char **ret,
                        struct pbr_diag *diag)
{
    struct pbr_manifest m = { 0 };
    const int rc = pbr_store_load_manifest(s, ns, snap, &m, NULL, diag);
    if (rc < 0)
        return rc;
    const char *notes = json_string_value(json_object_get(m.unprotected, "notes"));
    char *text = pbr_strdup(s->env, notes ? notes : "");
    pbr_manifest_release(&m);
    if (!text)
        return store_nomem(diag);
    *ret = text;
    return PBR_OK;
}

static int put_notes(void *ctx, struct pbr_manifest *m, struct pbr_diag *diag)
{
    const char *notes = ctx;
    if (json_object_set_new(m->unprotected, "notes", json_string(notes)) != 0)
        return pbr_fail_at(diag, PBR_E_ARG, "MAN-062", "notes are not valid UTF-8");
    return PBR_OK;
}

int pbr_store_set_notes(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, const char *notes,
                        struct pbr_diag *diag)
{
    char *copy = pbr_strdup(s->env, notes);
    if (!copy)
        return store_nomem(diag);
    const int rc = pbr_store_update_manifest(s, ns, snap, put_notes, copy, diag);
    pbr_free(s->env, copy);
    return rc;
}

struct verify_state {
    bool ok;
    const char *upid;
};

static int put_verify_state(void *ctx, struct pbr_manifest *m, struct pbr_diag *diag)
{
    const struct verify_state *v = ctx;
    json_t *state = json_pack("{s:s, s:s}", "state", v->ok ? "ok" : "failed", "upid", v->upid);
    if (!state || json_object_set_new(m->unprotected, "verify_state", state) != 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, "MAN-063", "cannot set the verify state");
    return PBR_OK;
}

int pbr_store_set_verify_state(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, bool ok,
                               const char *upid, struct pbr_diag *diag)
{
    struct verify_state v = { ok, upid };
    return pbr_store_update_manifest(s, ns, snap, put_verify_state, &v, diag);
}

bool pbr_store_is_protected(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap)
{
    int fd;
    if (store_open_snap(s, ns, snap, NULL, &fd, NULL) < 0)
        return false;
    const bool on = faccessat(fd, STORE_PROTECTED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    pbr_close(&fd);
    return on;
}

int pbr_store_set_protected(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, bool on,
                            struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    char text[512];
    int fd;
    int rc = store_open_snap(s, ns, snap, "API-111", &fd, &cause);
    if (rc == PBR_E_NOENT) {
        pbr_snapshot_format(snap, text, sizeof(text));
        return pbr_fail_at(diag, rc, "API-111", "snapshot %s does not exist!", text);
    }
    if (rc < 0)
        return pbr_fail_at(diag, rc, cause.rule, "%s", cause.text);
    if (on) {
        int file = store_create(s, fd, STORE_PROTECTED, 0, 0644);
        if (file < 0)
            rc = pbr_fail_os(diag, errno, "cannot create " STORE_PROTECTED);
        pbr_close(&file);
    } else if (store_unlink(s, fd, STORE_PROTECTED, 0) != 0 && errno != ENOENT) {
        rc = pbr_fail_os(diag, errno, "cannot remove " STORE_PROTECTED);
    }
    pbr_close(&fd);
    return rc;
}
