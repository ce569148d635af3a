/* SPDX-License-Identifier: MIT */
/* Reading a snapshot; see restore.h. */
#include "client/restore.h"

#include <stdio.h>
#include <string.h>

struct pbr_restore {
    const struct pbr_env *env;
    struct pbr_link *link;
    const struct pbr_crypt *crypt;
    struct pbr_manifest manifest;
    struct pbr_buf json;
};

/* ---- which snapshot ---- */

static bool is_finished(const json_t *snapshot)
{
    size_t i;
    const json_t *file;
    json_array_foreach(json_object_get(snapshot, "files"), i, file) {
        const char *name = json_string_value(json_is_string(file) ? file : json_object_get(file, "filename"));
        if (name && strcmp(name, "index.json.blob") == 0)
            return true;
    }
    return false;
}

static int list_group(struct pbr_client *c, const char *ns, const struct pbr_group *group, json_t **ret,
                      struct pbr_diag *diag)
{
    json_t *params = json_pack("{s:s, s:s}", "backup-id", group->id, "backup-type", group->type);
    if (params && ns && ns[0])
        json_object_set_new(params, "ns", json_string(ns));
    const int rc = pbr_client_call(c, "GET", "admin/datastore/{store}/snapshots", params, ret, diag);
    json_decref(params);
    return rc;
}

static int newest_of_group(struct pbr_client *c, const char *ns, const struct pbr_group *group, int64_t *ret_time,
                           struct pbr_diag *diag)
{
    char text[300];
    json_t *list = NULL;
    size_t i;
    const json_t *item;
    const int rc = list_group(c, ns, group, &list, diag);
    if (rc < 0)
        return rc;
    int64_t newest = 0;
    json_array_foreach(list, i, item) {
        const int64_t time_s = json_integer_value(json_object_get(item, "backup-time"));
        if (is_finished(item) && time_s > newest)
            newest = time_s;
    }
    const bool any = json_array_size(list) > 0;
    json_decref(list);
    pbr_group_format(group, text, sizeof(text));
    if (newest == 0)
        return pbr_fail_at(diag, PBR_E_NOENT, "API-095", "backup group %s does not contain any %ssnapshots.", text,
                           any ? "finished " : "");
    *ret_time = newest;
    return PBR_OK;
}

/* Keeps the `cap` largest values in descending order. */
static void keep_newest(int64_t *times, size_t cap, size_t *nr, int64_t time_s)
{
    size_t at = *nr;
    while (at > 0 && times[at - 1] < time_s)
        at--;
    if (at == cap)
        return;
    *nr += *nr < cap;
    memmove(times + at + 1, times + at, (*nr - at - 1) * sizeof(*times));
    times[at] = time_s;
}

int pbr_snapshots_before(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot, int64_t *times,
                         size_t cap, size_t *ret_nr, struct pbr_diag *diag)
{
    json_t *list = NULL;
    size_t i, nr = 0;
    const json_t *item;
    const int rc = list_group(c, ns, &snapshot->group, &list, diag);
    if (rc < 0)
        return rc;
    json_array_foreach(list, i, item) {
        const int64_t time_s = json_integer_value(json_object_get(item, "backup-time"));
        if (is_finished(item) && time_s > 0 && time_s < snapshot->time_s)
            keep_newest(times, cap, &nr, time_s);
    }
    json_decref(list);
    *ret_nr = nr;
    return PBR_OK;
}

int pbr_resolve_snapshot(struct pbr_client *c, const char *ns, const char *text, struct pbr_snapshot *ret,
                         struct pbr_diag *diag)
{
    struct pbr_snapshot s;
    const struct pbr_span span = pbr_span_str(text);
    if (pbr_group_parse(span, &s.group, NULL) < 0)
        return pbr_snapshot_parse(span, ret, diag);
    const int rc = newest_of_group(c, ns, &s.group, &s.time_s, diag);
    if (rc == PBR_OK)
        *ret = s;
    return rc;
}

/* ---- session ---- */

int pbr_restore_open(const struct pbr_env *env, struct pbr_client *c, const char *ns,
                     const struct pbr_snapshot *snapshot, const struct pbr_crypt *crypt, struct pbr_restore **ret,
                     struct pbr_diag *diag)
{
    struct pbr_restore *r = pbr_alloc(env, 1, sizeof(*r));
    if (!r)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to restore");
    r->env = env;
    r->crypt = crypt;
    int rc = pbr_session_open_reader(c, ns, snapshot, &r->link, diag);
    if (rc == PBR_OK)
        rc = pbr_session_manifest(env, r->link, PBR_FETCH_READER, crypt, &r->manifest, &r->json, diag);
    if (rc < 0) {
        pbr_link_free(r->link);
        pbr_free(env, r);
        return rc;
    }
    *ret = r;
    return PBR_OK;
}

void pbr_restore_close(struct pbr_restore *r)
{
    if (!r)
        return;
    pbr_link_free(r->link);
    pbr_manifest_release(&r->manifest);
    pbr_buf_release(&r->json);
    pbr_free(r->env, r);
}

const struct pbr_manifest *pbr_restore_manifest(const struct pbr_restore *r)
{
    return &r->manifest;
}

struct pbr_span pbr_restore_json(const struct pbr_restore *r)
{
    return pbr_buf_span(&r->json);
}

/* ---- archives ---- */

static int fetch_index(struct pbr_restore *r, const char *name, struct pbr_fetched_index *ret, struct pbr_diag *diag)
{
    return pbr_session_index(r->link, PBR_FETCH_READER, &r->manifest, name, ret, diag);
}

static int find_split(struct pbr_restore *r, const struct pbr_archive_names *names, struct pbr_restore_archive *a,
                      struct pbr_diag *diag)
{
    a->kind = PBR_RESTORE_SPLIT;
    a->profile = names->profile;
    memcpy(a->name, names->name, sizeof(a->name));
    memcpy(a->payload_name, names->payload, sizeof(a->payload_name));
    int rc = fetch_index(r, a->name, &a->index, diag);
    if (rc == PBR_OK && a->payload_name[0])
        rc = fetch_index(r, a->payload_name, &a->payload_index, diag);
    a->size = a->index.index.size + a->payload_index.index.size;
    return rc;
}

static int find_stored(struct pbr_restore *r, const char *stored, struct pbr_restore_archive *a,
                       struct pbr_diag *diag)
{
    enum pbr_file_type type;
    struct pbr_archive_names names;
    if (!pbr_name_file_type(pbr_span_str(stored), &type))
        return pbr_fail_at(diag, PBR_E_ARG, "RDR-070", "failed to parse archive type for '%s'", stored);
    const int rc = pbr_archive_find(&r->manifest, stored, &names, diag);
    if (rc < 0)
        return rc;
    if (names.form == PBR_ARCHIVE_SPLIT)
        return find_split(r, &names, a, diag);
    memcpy(a->name, names.name, sizeof(a->name));
    a->size = pbr_manifest_find(&r->manifest, a->name)->size;
    a->kind = type == PBR_FILE_BLOB                ? PBR_RESTORE_BLOB
              : names.form == PBR_ARCHIVE_PXAR ? PBR_RESTORE_PXAR
                                                   : PBR_RESTORE_STREAM;
    return type == PBR_FILE_BLOB ? PBR_OK : fetch_index(r, stored, &a->index, diag);
}

int pbr_restore_find(struct pbr_restore *r, const char *name, struct pbr_restore_archive *ret,
                     struct pbr_diag *diag)
{
    char stored[PBR_ARCHIVE_NAME_MAX + 1];
    struct pbr_restore_archive a = { 0 };
    int rc = pbr_name_stored(pbr_span_str(name), stored, diag);
    if (rc < 0)
        return rc;
    if (strcmp(stored, "index.json.blob") == 0) {
        a.kind = PBR_RESTORE_MANIFEST;
        a.size = r->json.len;
        memcpy(a.name, stored, sizeof(a.name));
    } else {
        rc = find_stored(r, stored, &a, diag);
    }
    if (rc < 0)
        pbr_restore_archive_release(&a);
    else
        *ret = a;
    return rc;
}

int pbr_restore_streams(struct pbr_restore *r, struct pbr_restore_archive *a, bool metadata_only,
                        struct pbr_diag *diag)
{
    const struct pbr_fetch_opts opts = { .crypt = r->crypt };
    if (a->kind == PBR_RESTORE_SPLIT && !metadata_only && !a->payload_name[0])
        return pbr_fail_at(diag, PBR_E_NOENT, "SPL-092", "the snapshot has no payload archive for '%s'", a->name);
    int rc = pbr_fetch_stream(r->env, r->link, &a->index, &opts, &a->stream, diag);
    if (rc == PBR_OK && a->kind == PBR_RESTORE_SPLIT && !metadata_only)
        rc = pbr_fetch_stream(r->env, r->link, &a->payload_index, &opts, &a->payload, diag);
    return rc;
}

int pbr_restore_source(struct pbr_restore *r, const struct pbr_fetched_index *ix, struct pbr_source *ret,
                       struct pbr_diag *diag)
{
    const struct pbr_fetch_opts opts = { .crypt = r->crypt };
    return pbr_fetch_source(r->env, r->link, ix, &opts, ret, diag);
}

int pbr_restore_blob(struct pbr_restore *r, const struct pbr_restore_archive *a, struct pbr_buf *ret,
                     struct pbr_diag *diag)
{
    return pbr_session_blob(r->env, r->link, &r->manifest, a->name, r->crypt, ret, diag);
}

int pbr_restore_raw(struct pbr_restore *r, const char *stored_name, struct pbr_buf *ret, struct pbr_diag *diag)
{
    return pbr_session_fetch(r->link, PBR_FETCH_READER, stored_name, ret, diag);
}

void pbr_restore_archive_release(struct pbr_restore_archive *a)
{
    if (a->payload.ctx)
        pbr_stream_close(&a->payload);
    if (a->stream.ctx)
        pbr_stream_close(&a->stream);
    pbr_fetched_index_release(&a->payload_index);
    pbr_fetched_index_release(&a->index);
}
