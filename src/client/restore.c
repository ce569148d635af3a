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

static int newest_of_group(struct pbr_client *c, const char *ns, const struct pbr_group *group, int64_t *ret_time,
                           struct pbr_diag *diag)
{
    char text[300];
    json_t *list = NULL;
    size_t i;
    const json_t *item;
    json_t *params = json_pack("{s:s, s:s}", "backup-id", group->id, "backup-type", group->type);
    if (params && ns && ns[0])
        json_object_set_new(params, "ns", json_string(ns));
    const int rc = pbr_client_call(c, "GET", "admin/datastore/{store}/snapshots", params, &list, diag);
    json_decref(params);
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

/* name.pxar.didx -> name.mpxar.didx and the like; false if `name` does not end in `from`. */
static bool replace_suffix(const char *name, const char *from, const char *to, char *out, size_t cap)
{
    const size_t len = strlen(name), cut = strlen(from);
    if (len < cut || strcmp(name + len - cut, from) != 0)
        return false;
    const int n = snprintf(out, cap, "%.*s%s", (int)(len - cut), name, to);
    return n > 0 && (size_t)n < cap;
}

static int find_split(struct pbr_restore *r, const char *stored, struct pbr_restore_archive *a, bool *ret_found,
                      struct pbr_diag *diag)
{
    const bool listed = pbr_manifest_find(&r->manifest, stored) != NULL;
    const char *from = pbr_span_ends(pbr_span_str(stored), ".mpxar.didx")   ? ".mpxar.didx"
                       : pbr_span_ends(pbr_span_str(stored), ".ppxar.didx") ? ".ppxar.didx"
                                                                             : ".pxar.didx";
    *ret_found = false;
    if (strcmp(from, ".pxar.didx") == 0 && listed)
        return PBR_OK; /* one stream */
    if (!replace_suffix(stored, from, ".mpxar.didx", a->name, sizeof(a->name)) ||
        !replace_suffix(stored, from, ".ppxar.didx", a->payload_name, sizeof(a->payload_name)))
        return PBR_OK;
    if (!listed && !pbr_manifest_find(&r->manifest, a->name))
        return PBR_OK;
    *ret_found = true;
    a->kind = PBR_RESTORE_SPLIT;
    int rc = pbr_session_index(r->link, PBR_FETCH_READER, &r->manifest, a->name, &a->index, diag);
    if (rc == PBR_OK)
        rc = pbr_session_index(r->link, PBR_FETCH_READER, &r->manifest, a->payload_name, &a->payload_index, diag);
    a->size = a->index.index.size + a->payload_index.index.size;
    return rc;
}

static int find_stored(struct pbr_restore *r, const char *stored, struct pbr_restore_archive *a,
                       struct pbr_diag *diag)
{
    enum pbr_file_type type;
    bool found = false;
    if (!pbr_name_file_type(pbr_span_str(stored), &type))
        return pbr_fail_at(diag, PBR_E_ARG, "RDR-070", "failed to parse archive type for '%s'", stored);
    int rc = type == PBR_FILE_DIDX ? find_split(r, stored, a, &found, diag) : PBR_OK;
    if (rc < 0 || found)
        return rc;
    const struct pbr_manifest_file *f = pbr_manifest_find(&r->manifest, stored);
    if (!f)
        return pbr_fail_at(diag, PBR_E_NOENT, "RDR-071", "archive not found in manifest: '%s'", stored);
    (void)snprintf(a->name, sizeof(a->name), "%s", stored);
    a->size = f->size;
    a->kind = type == PBR_FILE_BLOB                                            ? PBR_RESTORE_BLOB
              : pbr_span_ends(pbr_span_str(stored), ".pxar.didx") ? PBR_RESTORE_PXAR
                                                                               : PBR_RESTORE_STREAM;
    return type == PBR_FILE_BLOB
               ? PBR_OK
               : pbr_session_index(r->link, PBR_FETCH_READER, &r->manifest, stored, &a->index, diag);
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
