/* SPDX-License-Identifier: MIT */
/* REST calls that show what lies in a datastore [API section 6.1, API-110, API-111, API-114,
 * API-116].
 *
 * Thread: the server's. */
#include <string.h>

#include "server/server_int.h"

static const char *ns_of(const struct pbr_srv_call *call, char out[PBR_NS_MAX + 1])
{
    return pbr_srv_param_text(call, "ns", out, PBR_NS_MAX + 1);
}

/* Text that may hold bytes which are no UTF-8. */
static json_t *text_json(const char *text, size_t len)
{
    json_t *j = json_stringn(text, len);
    return j ? j : json_string("(not UTF-8)");
}

static void put_comment(json_t *o, const char *notes)
{
    if (notes && notes[0])
        (void)json_object_set_new(o, "comment", text_json(notes, pbr_store_comment_len(notes)));
}

static json_t *group_json(const struct pbr_store_group *g)
{
    json_t *o = json_object(), *files = json_array();

    (void)json_object_set_new(o, "backup-type", json_string(g->id.type));
    (void)json_object_set_new(o, "backup-id", json_string(g->id.id));
    (void)json_object_set_new(o, "last-backup", json_integer(g->last_backup_s));
    (void)json_object_set_new(o, "backup-count", json_integer((json_int_t)g->backup_nr));
    for (size_t i = 0; i < g->file_nr; i++)
        (void)json_array_append_new(files, json_string(g->files[i].name));
    (void)json_object_set_new(o, "files", files);
    if (g->owner)
        (void)json_object_set_new(o, "owner", text_json(g->owner, strlen(g->owner)));
    put_comment(o, g->notes);
    return o;
}

static int list_groups(struct pbr_srv_call *call, struct pbr_store *store, struct pbr_srv_reply *r,
                       struct pbr_diag *diag)
{
    char ns[PBR_NS_MAX + 1];
    struct pbr_store_groups l;
    json_t *list;
    int rc = pbr_store_list_groups(store, ns_of(call, ns), &l, diag);

    if (rc < 0)
        return rc;
    list = json_array();
    for (size_t i = 0; i < l.nr; i++)
        (void)json_array_append_new(list, group_json(&l.items[i]));
    pbr_store_groups_release(&l);
    return pbr_srv_reply_data(r, list);
}

/* `sorted`: members in the order of `files` calls, else in that of `snapshots` [API-097]. */
static json_t *file_json(const struct pbr_store_file *f, bool sorted)
{
    json_t *o = json_object();

    if (!sorted)
        (void)json_object_set_new(o, "filename", json_string(f->name));
    if (f->has_info)
        (void)json_object_set_new(o, "crypt-mode", json_string(pbr_crypt_mode_name(f->crypt_mode)));
    if (sorted)
        (void)json_object_set_new(o, "filename", json_string(f->name));
    if (f->has_info)
        (void)json_object_set_new(o, "size", json_integer((json_int_t)f->size));
    return o;
}

static json_t *files_json(const struct pbr_store_snapshot *s, bool sorted)
{
    json_t *files = json_array();

    for (size_t i = 0; i < s->file_nr; i++)
        (void)json_array_append_new(files, file_json(&s->files[i], sorted));
    return files;
}

static json_t *snapshot_json(const struct pbr_store_snapshot *s)
{
    json_t *o = json_object();

    (void)json_object_set_new(o, "backup-type", json_string(s->id.group.type));
    (void)json_object_set_new(o, "backup-id", json_string(s->id.group.id));
    (void)json_object_set_new(o, "backup-time", json_integer(s->id.time_s));
    put_comment(o, s->notes);
    if (s->verify_state)
        (void)json_object_set_new(
            o, "verification",
            json_pack("{s:s, s:s}", "upid", s->verify_upid, "state", s->verify_state));
    if (s->fingerprint)
        (void)json_object_set_new(o, "fingerprint",
                                  text_json(s->fingerprint, strlen(s->fingerprint)));
    (void)json_object_set_new(o, "files", files_json(s, false));
    if (s->has_manifest)
        (void)json_object_set_new(o, "size", json_integer((json_int_t)s->size));
    if (s->owner)
        (void)json_object_set_new(o, "owner", text_json(s->owner, strlen(s->owner)));
    (void)json_object_set_new(o, "protected", json_boolean(s->is_protected));
    return o;
}

static int list_snapshots(struct pbr_srv_call *call, struct pbr_store *store,
                          struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    const struct pbr_group g = pbr_srv_param_group(call);
    char ns[PBR_NS_MAX + 1];
    struct pbr_store_snapshots l;
    int rc = pbr_store_list_snapshots(store, ns_of(call, ns), g.type[0] ? g.type : NULL,
                                      g.id[0] ? g.id : NULL, &l, diag);

    if (rc < 0)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < l.nr; i++)
        (void)json_array_append_new(list, snapshot_json(&l.items[i]));
    pbr_store_snapshots_release(&l);
    return pbr_srv_reply_data(r, list);
}

static int list_files(struct pbr_srv_call *call, struct pbr_store *store, struct pbr_srv_reply *r,
                      struct pbr_diag *diag)
{
    const struct pbr_snapshot snap = pbr_srv_param_snapshot(call);
    char ns[PBR_NS_MAX + 1];
    struct pbr_store_snapshots l;
    int rc = pbr_store_list_files(store, ns_of(call, ns), &snap, &l, diag);

    if (rc < 0)
        return rc;
    json_t *files = files_json(&l.items[0], true);
    pbr_store_snapshots_release(&l);
    return pbr_srv_reply_data(r, files);
}

static int get_notes(struct pbr_srv_call *call, struct pbr_store *store, struct pbr_srv_reply *r,
                     struct pbr_diag *diag)
{
    const struct pbr_snapshot snap = pbr_srv_param_snapshot(call);
    char ns[PBR_NS_MAX + 1];
    char *notes = NULL;
    int rc = pbr_store_get_notes(store, ns_of(call, ns), &snap, &notes, diag);

    if (rc < 0)
        return rc;
    rc = pbr_srv_reply_data(r, text_json(notes, strlen(notes)));
    pbr_free(r->env, notes);
    return rc;
}

static int list_namespaces(struct pbr_srv_call *call, struct pbr_store *store,
                           struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    char parent[PBR_NS_MAX + 1];
    struct pbr_store_namespaces l;
    int rc;

    (void)pbr_srv_param_text(call, "parent", parent, sizeof(parent));
    rc = pbr_store_list_namespaces(
        store, parent, (unsigned)pbr_params_int(&call->params, "max-depth", 7), &l, diag);
    if (rc < 0)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < l.nr; i++)
        (void)json_array_append_new(list, json_pack("{s:s}", "ns", l.items[i]));
    pbr_store_namespaces_release(&l);
    return pbr_srv_reply_data(r, list);
}

static int get_status(struct pbr_store *store, struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    struct pbr_store_space space;
    const int rc = pbr_store_space(store, &space, diag);

    if (rc < 0)
        return rc;
    return pbr_srv_reply_data(r,
                              json_pack("{s:I, s:s, s:I, s:I}", "avail", (json_int_t)space.avail,
                                        "backend-type", "filesystem", "total",
                                        (json_int_t)space.total, "used", (json_int_t)space.used));
}

int pbr_srv_rest_list(struct pbr_srv_call *call, struct pbr_srv_store *st, struct pbr_srv_reply *r,
                      struct pbr_diag *diag)
{
    struct pbr_snapshot snap;
    char ns[PBR_NS_MAX + 1];

    switch (call->route->call) {
    case PBR_CALL_GROUPS:
        return list_groups(call, st->store, r, diag);
    case PBR_CALL_SNAPSHOTS:
        return list_snapshots(call, st->store, r, diag);
    case PBR_CALL_FILES:
        return list_files(call, st->store, r, diag);
    case PBR_CALL_NOTES_GET:
        return get_notes(call, st->store, r, diag);
    case PBR_CALL_PROTECTED_GET:
        snap = pbr_srv_param_snapshot(call);
        return pbr_srv_reply_data(
            r, json_boolean(pbr_store_is_protected(st->store, ns_of(call, ns), &snap)));
    case PBR_CALL_NS_LIST:
        return list_namespaces(call, st->store, r, diag);
    default:
        return get_status(st->store, r, diag);
    }
}
