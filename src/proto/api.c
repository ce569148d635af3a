/* SPDX-License-Identifier: MIT */
/* Every call of the three protocols; see api.h. */
#include "proto/api.h"

#include <string.h>

#include "base/limits.h"
#include "format/name.h"
#include "proto/identity.h"

/* ---- patterns ---- */

static bool match_archive_name(struct pbr_span v)
{
    return v.len <= PBR_ARCHIVE_NAME_MAX && pbr_name_is_safe_id(v);
}

static bool match_digest(struct pbr_span v)
{
    for (size_t i = 0; i < v.len; i++)
        if (!((v.ptr[i] >= '0' && v.ptr[i] <= '9') || (v.ptr[i] >= 'a' && v.ptr[i] <= 'f')))
            return false;
    return v.len == 64;
}

/* The schema admits 8 components, the parser of namespaces then only 7 (BKP-015). */
static bool match_ns(struct pbr_span v)
{
    size_t part_nr = 1, start = 0;

    if (v.len == 0)
        return true;
    for (size_t i = 0; i <= v.len; i++) {
        if (i < v.len && v.ptr[i] != '/')
            continue;
        if (!pbr_name_is_safe_id(pbr_span_sub(v, start, i - start)))
            return false;
        part_nr += i < v.len;
        start = i + 1;
    }
    return part_nr <= 8;
}

static const char *const backup_types[] = { "vm", "ct", "host", NULL };

bool pbr_store_name_ok(struct pbr_span name)
{
    return name.len >= 3 && name.len <= 32 && pbr_name_is_safe_id(name);
}

/* ---- parameters, each list in ascending order ---- */

/* clang-format off: one parameter, one call a line */
#define ARCHIVE_NAME                                                                               \
    {                                                                                              \
        .name = "archive-name", .match = match_archive_name                                        \
    }
#define FILE_NAME                                                                                  \
    {                                                                                              \
        .name = "file-name", .match = match_archive_name                                           \
    }
#define BACKUP_ID                                                                                  \
    {                                                                                              \
        .name = "backup-id", .match = pbr_name_is_safe_id, .max_len = PBR_ID_MAX                   \
    }
#define BACKUP_TIME                                                                                \
    {                                                                                              \
        .name = "backup-time", .type = PBR_PARAM_INT, .min = 1                                     \
    }
#define BACKUP_TYPE                                                                                \
    {                                                                                              \
        .name = "backup-type", .words = backup_types                                               \
    }
#define OPT_BACKUP_ID                                                                              \
    {                                                                                              \
        .name = "backup-id", .match = pbr_name_is_safe_id, .max_len = PBR_ID_MAX, .optional = true \
    }
#define OPT_BACKUP_TYPE                                                                            \
    {                                                                                              \
        .name = "backup-type", .words = backup_types, .optional = true                             \
    }
#define OPT_NS                                                                                     \
    {                                                                                              \
        .name = "ns", .match = match_ns, .max_len = PBR_NS_MAX, .optional = true                   \
    }
#define OPT_BOOL(n)                                                                                \
    {                                                                                              \
        .name = n, .type = PBR_PARAM_BOOL, .optional = true                                        \
    }
#define OPT_INT(n, lowest)                                                                         \
    {                                                                                              \
        .name = n, .type = PBR_PARAM_INT, .min = lowest, .optional = true                          \
    }
#define OPT_STR(n)                                                                                 \
    {                                                                                              \
        .name = n, .optional = true                                                                \
    }
#define STORE                                                                                      \
    {                                                                                              \
        .name = "store", .match = pbr_name_is_safe_id, .min_len = 3, .max_len = 32                 \
    }
#define DIGEST                                                                                     \
    {                                                                                              \
        .name = "digest", .match = match_digest                                                    \
    }
#define WID                                                                                        \
    {                                                                                              \
        .name = "wid", .type = PBR_PARAM_INT, .min = 1, .max = 256, .has_max = true                \
    }
#define INT(n, lowest)                                                                             \
    {                                                                                              \
        .name = n, .type = PBR_PARAM_INT, .min = lowest                                            \
    }
#define INT_TO(n, lowest, highest)                                                                 \
    {                                                                                              \
        .name = n, .type = PBR_PARAM_INT, .min = lowest, .max = highest, .has_max = true           \
    }

#define PARAMS(x, ...)                                                                             \
    static const struct pbr_param_def x##_defs[] = { __VA_ARGS__ };                                \
    static const struct pbr_schema x = { x##_defs, sizeof(x##_defs) / sizeof(x##_defs[0]) }

static const struct pbr_schema no_params = { NULL, 0 };
PARAMS(p_archive, ARCHIVE_NAME);
PARAMS(p_fixed_create, ARCHIVE_NAME, OPT_STR("reuse-csum"), OPT_INT("size", 1));
PARAMS(p_chunk, DIGEST, INT_TO("encoded-size", 13, PBR_CHUNK_RAW_MAX),
       INT_TO("size", 1, PBR_CHUNK_MAX), WID);
PARAMS(p_append, { .name = "digest-list", .type = PBR_PARAM_STR_LIST, .match = match_digest },
       { .name = "offset-list", .type = PBR_PARAM_INT_LIST }, WID);
PARAMS(p_dynamic_close, INT("chunk-count", 1), { .name = "csum" }, INT("size", 1), WID);
PARAMS(p_fixed_close, INT("chunk-count", 0), { .name = "csum" }, INT("size", 0), WID);
PARAMS(p_blob, INT_TO("encoded-size", 12, PBR_CHUNK_RAW_MAX), FILE_NAME);
PARAMS(p_file, FILE_NAME);
PARAMS(p_digest, DIGEST);

PARAMS(p_upgrade_backup, BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, OPT_BOOL("benchmark"),
       OPT_BOOL("debug"), OPT_BOOL("no-cache"), OPT_NS, STORE);
PARAMS(p_upgrade_reader, BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, OPT_BOOL("debug"), OPT_NS, STORE);
PARAMS(p_ticket, OPT_BOOL("http-only"), OPT_STR("password"), OPT_STR("path"), OPT_INT("port", 1),
       OPT_STR("privs"), OPT_STR("tfa-challenge"), { .name = "username", .match = pbr_userid_ok });
PARAMS(p_users, OPT_BOOL("include_tokens"));
PARAMS(p_ns, OPT_NS);
PARAMS(p_group_delete, BACKUP_ID, BACKUP_TYPE, OPT_BOOL("error-on-protected"), OPT_NS);
PARAMS(p_some_group, OPT_BACKUP_ID, OPT_BACKUP_TYPE, OPT_NS);
PARAMS(p_snapshot, BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, OPT_NS);
PARAMS(p_notes, BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, { .name = "notes" }, OPT_NS);
PARAMS(p_protected, BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, OPT_NS,
       { .name = "protected", .type = PBR_PARAM_BOOL });
PARAMS(p_prune, BACKUP_ID, BACKUP_TYPE, OPT_BOOL("dry-run"), OPT_INT("keep-daily", 1),
       OPT_INT("keep-hourly", 1), OPT_INT("keep-last", 1), OPT_INT("keep-monthly", 1),
       OPT_INT("keep-weekly", 1), OPT_INT("keep-yearly", 1), OPT_NS, OPT_BOOL("use-task"));
PARAMS(p_owner, BACKUP_ID, BACKUP_TYPE, { .name = "new-owner", .match = pbr_authid_ok }, OPT_NS);
PARAMS(p_ns_list,
       { .name = "max-depth", .type = PBR_PARAM_INT, .max = 7, .has_max = true, .optional = true },
       { .name = "parent", .match = match_ns, .max_len = PBR_NS_MAX, .optional = true });
PARAMS(p_ns_create, { .name = "name", .match = pbr_name_is_safe_id },
       { .name = "parent", .match = match_ns, .max_len = PBR_NS_MAX, .optional = true });
PARAMS(p_ns_delete, OPT_BOOL("delete-groups"), OPT_BOOL("error-on-protected"),
       { .name = "ns", .match = match_ns, .max_len = PBR_NS_MAX });
PARAMS(p_status, OPT_BOOL("verbose"));
PARAMS(p_tasks, OPT_BOOL("errors"), OPT_INT("limit", 0), OPT_BOOL("running"), OPT_INT("since", 0),
       OPT_INT("start", 0), OPT_STR("statusfilter"), OPT_STR("store"), OPT_STR("typefilter"),
       OPT_INT("until", 0), OPT_STR("userfilter"));
PARAMS(p_task_log, OPT_BOOL("download"), OPT_INT("limit", 0), OPT_INT("start", 0),
       OPT_BOOL("test-status"));

/* ---- the table ---- */

#define D "admin/datastore/{store}"
#define T "nodes/{node}/tasks"

static const struct pbr_route routes[] = {
    { PBR_API_REST, "POST", "access/ticket", PBR_CALL_TICKET, PBR_BODY_PLAIN, &p_ticket, true },
    { PBR_API_REST, "GET", "ping", PBR_CALL_PING, PBR_BODY_PLAIN, &no_params, true },
    { PBR_API_REST, "GET", "version", PBR_CALL_VERSION, PBR_BODY_PLAIN, &no_params, false },
    { PBR_API_REST, "GET", "access/users", PBR_CALL_USERS, PBR_BODY_PLAIN, &p_users, false },
    { PBR_API_REST, "GET", "backup", PBR_CALL_UPGRADE_BACKUP, PBR_BODY_STREAM, &p_upgrade_backup,
      false },
    { PBR_API_REST, "GET", "reader", PBR_CALL_UPGRADE_READER, PBR_BODY_STREAM, &p_upgrade_reader,
      false },
    { PBR_API_REST, "GET", "admin/datastore", PBR_CALL_STORES, PBR_BODY_PLAIN, &no_params, false },
    { PBR_API_REST, "GET", D "/status", PBR_CALL_STATUS, PBR_BODY_PLAIN, &p_status, false },
    { PBR_API_REST, "GET", D "/groups", PBR_CALL_GROUPS, PBR_BODY_PLAIN, &p_ns, false },
    { PBR_API_REST, "DELETE", D "/groups", PBR_CALL_GROUP_DELETE, PBR_BODY_PLAIN, &p_group_delete,
      false },
    { PBR_API_REST, "GET", D "/snapshots", PBR_CALL_SNAPSHOTS, PBR_BODY_PLAIN, &p_some_group,
      false },
    { PBR_API_REST, "DELETE", D "/snapshots", PBR_CALL_SNAPSHOT_DELETE, PBR_BODY_PLAIN, &p_snapshot,
      false },
    { PBR_API_REST, "GET", D "/files", PBR_CALL_FILES, PBR_BODY_PLAIN, &p_snapshot, false },
    { PBR_API_REST, "GET", D "/notes", PBR_CALL_NOTES_GET, PBR_BODY_PLAIN, &p_snapshot, false },
    { PBR_API_REST, "PUT", D "/notes", PBR_CALL_NOTES_PUT, PBR_BODY_PLAIN, &p_notes, false },
    { PBR_API_REST, "GET", D "/protected", PBR_CALL_PROTECTED_GET, PBR_BODY_PLAIN, &p_snapshot,
      false },
    { PBR_API_REST, "PUT", D "/protected", PBR_CALL_PROTECTED_PUT, PBR_BODY_PLAIN, &p_protected,
      false },
    { PBR_API_REST, "POST", D "/prune", PBR_CALL_PRUNE, PBR_BODY_PLAIN, &p_prune, false },
    { PBR_API_REST, "POST", D "/change-owner", PBR_CALL_CHANGE_OWNER, PBR_BODY_PLAIN, &p_owner,
      false },
    { PBR_API_REST, "POST", D "/upload-backup-log", PBR_CALL_UPLOAD_LOG, PBR_BODY_STREAM,
      &p_snapshot, false },
    { PBR_API_REST, "GET", D "/namespace", PBR_CALL_NS_LIST, PBR_BODY_PLAIN, &p_ns_list, false },
    { PBR_API_REST, "POST", D "/namespace", PBR_CALL_NS_CREATE, PBR_BODY_PLAIN, &p_ns_create,
      false },
    { PBR_API_REST, "DELETE", D "/namespace", PBR_CALL_NS_DELETE, PBR_BODY_PLAIN, &p_ns_delete,
      false },
    { PBR_API_REST, "POST", D "/gc", PBR_CALL_GC, PBR_BODY_PLAIN, &no_params, false },
    { PBR_API_REST, "GET", T, PBR_CALL_TASKS, PBR_BODY_PLAIN, &p_tasks, false },
    { PBR_API_REST, "GET", T "/{upid}/log", PBR_CALL_TASK_LOG, PBR_BODY_PLAIN, &p_task_log, false },
    { PBR_API_REST, "GET", T "/{upid}/status", PBR_CALL_TASK_STATUS, PBR_BODY_PLAIN, &no_params,
      false },
    { PBR_API_REST, "DELETE", T "/{upid}", PBR_CALL_TASK_STOP, PBR_BODY_PLAIN, &no_params, false },
    { PBR_API_REST, "GET", "nodes/{node}/identity", PBR_CALL_IDENTITY, PBR_BODY_PLAIN, &no_params,
      false },

    { PBR_API_BACKUP, "GET", "", PBR_CALL_INDEX, PBR_BODY_PLAIN, &no_params, false },
    { PBR_API_BACKUP, "POST", "blob", PBR_CALL_BLOB, PBR_BODY_STREAM, &p_blob, false },
    { PBR_API_BACKUP, "POST", "dynamic_chunk", PBR_CALL_DYNAMIC_CHUNK, PBR_BODY_STREAM, &p_chunk,
      false },
    { PBR_API_BACKUP, "POST", "dynamic_close", PBR_CALL_DYNAMIC_CLOSE, PBR_BODY_PLAIN,
      &p_dynamic_close, false },
    { PBR_API_BACKUP, "POST", "dynamic_index", PBR_CALL_DYNAMIC_CREATE, PBR_BODY_PLAIN, &p_archive,
      false },
    { PBR_API_BACKUP, "PUT", "dynamic_index", PBR_CALL_DYNAMIC_APPEND, PBR_BODY_PLAIN, &p_append,
      false },
    { PBR_API_BACKUP, "POST", "finish", PBR_CALL_FINISH, PBR_BODY_PLAIN, &no_params, false },
    { PBR_API_BACKUP, "POST", "fixed_chunk", PBR_CALL_FIXED_CHUNK, PBR_BODY_STREAM, &p_chunk,
      false },
    { PBR_API_BACKUP, "POST", "fixed_close", PBR_CALL_FIXED_CLOSE, PBR_BODY_PLAIN, &p_fixed_close,
      false },
    { PBR_API_BACKUP, "POST", "fixed_index", PBR_CALL_FIXED_CREATE, PBR_BODY_PLAIN, &p_fixed_create,
      false },
    { PBR_API_BACKUP, "PUT", "fixed_index", PBR_CALL_FIXED_APPEND, PBR_BODY_PLAIN, &p_append,
      false },
    { PBR_API_BACKUP, "GET", "previous", PBR_CALL_PREVIOUS, PBR_BODY_STREAM, &p_archive, false },
    { PBR_API_BACKUP, "GET", "previous_backup_time", PBR_CALL_PREVIOUS_TIME, PBR_BODY_PLAIN,
      &no_params, false },
    { PBR_API_BACKUP, "POST", "speedtest", PBR_CALL_SPEEDTEST, PBR_BODY_STREAM, &no_params, false },

    { PBR_API_READER, "GET", "", PBR_CALL_INDEX, PBR_BODY_PLAIN, &no_params, false },
    { PBR_API_READER, "GET", "chunk", PBR_CALL_CHUNK, PBR_BODY_STREAM, &p_digest, false },
    { PBR_API_READER, "GET", "download", PBR_CALL_DOWNLOAD, PBR_BODY_STREAM, &p_file, false },
    { PBR_API_READER, "GET", "speedtest", PBR_CALL_SPEEDTEST, PBR_BODY_STREAM, &no_params, false },
};

/* clang-format on */
static bool path_matches(const char *pattern, const struct pbr_path *path, size_t skip)
{
    for (size_t i = skip; i < path->nr; i++) {
        const size_t len = strcspn(pattern, "/");
        if (len == 0)
            return false;
        if (pattern[0] != '{' &&
            (strlen(path->part[i]) != len || memcmp(pattern, path->part[i], len) != 0))
            return false;
        pattern += len;
        pattern += *pattern == '/';
    }
    return *pattern == '\0';
}

const struct pbr_route *pbr_route_find(enum pbr_api api, const char *method,
                                       const struct pbr_path *path, size_t skip)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
        if (routes[i].api == api && strcmp(routes[i].method, method) == 0 &&
            path_matches(routes[i].path, path, skip))
            return &routes[i];
    return NULL;
}

const char *pbr_upgrade_word(enum pbr_api api)
{
    return api == PBR_API_READER ? "proxmox-backup-reader-protocol-v1"
                                 : "proxmox-backup-protocol-v1";
}

int pbr_upgrade_check(enum pbr_api api, const char *header, struct pbr_diag *diag)
{
    if (!header)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-034", "missing Upgrade header");
    if (strcmp(header, pbr_upgrade_word(api)) != 0)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-014", "invalid protocol name");
    return PBR_OK;
}
