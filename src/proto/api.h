/* SPDX-License-Identifier: MIT */
/* Every call of the three protocols as one table: method, path, how parameters come, which
 * parameters.
 *
 * Spec: BKP-015, BKP-060 .. BKP-062, BKP-085 .. BKP-190, RDR-002, RDR-020 .. RDR-045, API
 * section 6. Thread: constant tables. */
#ifndef PBR_PROTO_API_H
#define PBR_PROTO_API_H

#include "proto/schema.h"

enum pbr_api {
    PBR_API_REST,   /* HTTP/1.1, below /api2/json/ */
    PBR_API_BACKUP, /* upgraded, BKP section 4 */
    PBR_API_READER, /* upgraded, RDR section 2 */
};

enum pbr_call {
    /* REST */
    PBR_CALL_TICKET,
    PBR_CALL_PING,
    PBR_CALL_VERSION,
    PBR_CALL_USERS,
    PBR_CALL_UPGRADE_BACKUP,
    PBR_CALL_UPGRADE_READER,
    PBR_CALL_STORES,
    PBR_CALL_STATUS,
    PBR_CALL_GROUPS,
    PBR_CALL_GROUP_DELETE,
    PBR_CALL_SNAPSHOTS,
    PBR_CALL_SNAPSHOT_DELETE,
    PBR_CALL_FILES,
    PBR_CALL_NOTES_GET,
    PBR_CALL_NOTES_PUT,
    PBR_CALL_PROTECTED_GET,
    PBR_CALL_PROTECTED_PUT,
    PBR_CALL_PRUNE,
    PBR_CALL_CHANGE_OWNER,
    PBR_CALL_UPLOAD_LOG,
    PBR_CALL_NS_LIST,
    PBR_CALL_NS_CREATE,
    PBR_CALL_NS_DELETE,
    PBR_CALL_GC,
    PBR_CALL_TASKS,
    PBR_CALL_TASK_LOG,
    PBR_CALL_TASK_STATUS,
    PBR_CALL_TASK_STOP,
    PBR_CALL_IDENTITY,
    /* both upgraded protocols */
    PBR_CALL_INDEX,
    PBR_CALL_SPEEDTEST,
    /* backup */
    PBR_CALL_PREVIOUS_TIME,
    PBR_CALL_PREVIOUS,
    PBR_CALL_DYNAMIC_CREATE,
    PBR_CALL_DYNAMIC_APPEND,
    PBR_CALL_DYNAMIC_CHUNK,
    PBR_CALL_DYNAMIC_CLOSE,
    PBR_CALL_FIXED_CREATE,
    PBR_CALL_FIXED_APPEND,
    PBR_CALL_FIXED_CHUNK,
    PBR_CALL_FIXED_CLOSE,
    PBR_CALL_BLOB,
    PBR_CALL_FINISH,
    /* reader */
    PBR_CALL_DOWNLOAD,
    PBR_CALL_CHUNK,
};

enum pbr_body_kind {
    PBR_BODY_PLAIN,  /* parameters in query, form or JSON body (BKP-062) */
    PBR_BODY_STREAM, /* parameters in the query only, the body is data */
};

struct pbr_route {
    enum pbr_api api;
    const char *method;
    const char *path; /* components joined by '/', "{x}" matches any one */
    enum pbr_call call;
    enum pbr_body_kind body;
    const struct pbr_schema *schema;
    bool no_auth; /* answered without authentication */
};

/* The route of a request; `skip` leading components of the path were consumed by the caller. NULL:
 * unknown path, or a method that it does not have (BKP-061). */
const struct pbr_route *pbr_route_find(enum pbr_api api, const char *method,
                                       const struct pbr_path *path, size_t skip);

/* The protocol's word in the Upgrade header (BKP-014, RDR-001). */
const char *pbr_upgrade_word(enum pbr_api api);
/* PBR_E_ARG with the texts of BKP-034. NULL: no such header. */
PBR_MUST_USE int pbr_upgrade_check(enum pbr_api api, const char *header, struct pbr_diag *diag);

/* Name checks shared with path parameters: 3..32 characters (BKP-015). */
bool pbr_store_name_ok(struct pbr_span name);

#endif
