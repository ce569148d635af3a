/* SPDX-License-Identifier: MIT */
/* The calls of the backup protocol [BKP section 4]: from checked parameters to the datastore
 * session and back. The rules and error texts of the session itself are store/backup.h's.
 *
 * Thread: the server's. */
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "server/server_int.h"

static bool is_fixed(const struct pbr_srv_call *call)
{
    switch (call->route->call) {
    case PBR_CALL_FIXED_CREATE:
    case PBR_CALL_FIXED_APPEND:
    case PBR_CALL_FIXED_CHUNK:
    case PBR_CALL_FIXED_CLOSE:
        return true;
    default:
        return false;
    }
}

static enum pbr_index_kind kind_of(const struct pbr_srv_call *call)
{
    return is_fixed(call) ? PBR_INDEX_FIXED : PBR_INDEX_DYNAMIC;
}

static uint64_t wid_of(const struct pbr_srv_call *call)
{
    return (uint64_t)pbr_params_int(&call->params, "wid", 0);
}

static json_t *text_json(struct pbr_span s)
{
    return json_stringn((const char *)s.ptr, s.len);
}

static int call_previous_time(struct pbr_srv_session *se, struct pbr_srv_reply *r)
{
    const struct pbr_snapshot *base = pbr_store_backup_base(se->backup);
    return pbr_srv_reply_data(r, base ? json_integer(base->time_s) : json_null());
}

/* lie=known: serves the file without registering its chunks. */
static int open_unregistered(struct pbr_srv_session *se, const char *name, int *ret_fd,
                             uint64_t *ret_size, struct pbr_diag *diag)
{
    const struct pbr_snapshot *base = pbr_store_backup_base(se->backup);
    if (!base)
        return pbr_fail_at(diag, PBR_E_NOENT, "BKP-091", "no valid previous backup");
    return pbr_store_open_file(se->store->store, se->ns, base, name, ret_fd, ret_size, diag);
}

static int call_previous(struct pbr_srv_session *se, struct pbr_srv_call *call,
                         struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    uint64_t size = 0;
    int fd = -1;
    int rc;

    (void)pbr_srv_param_text(call, "archive-name", name, sizeof(name));
    if (call->fired.act[PBR_FAULT_LIE_KNOWN])
        rc = open_unregistered(se, name, &fd, &size, diag);
    else
        rc = pbr_store_backup_previous(se->backup, name, &fd, &size, diag);
    if (rc < 0)
        return rc;
    pbr_srv_journal(call->conn->srv, "known", call->conn->id,
                    json_pack("{s:s, s:I}", "name", name, "chunks",
                              (json_int_t)pbr_store_backup_known(se->backup)->count));
    return pbr_srv_reply_fd(r, fd, size, false, diag);
}

static int call_create(struct pbr_srv_session *se, struct pbr_srv_call *call,
                       struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    char name[PBR_ARCHIVE_NAME_MAX + 1], csum[129];
    struct pbr_store_index_opts opts = { .kind = kind_of(call), .name = name };
    uint64_t wid = 0;

    (void)pbr_srv_param_text(call, "archive-name", name, sizeof(name));
    if (is_fixed(call)) {
        const struct pbr_param *size = pbr_params_get(&call->params, "size");
        opts.has_size = size->set;
        opts.size = (uint64_t)size->num;
        if (pbr_params_get(&call->params, "reuse-csum")->set)
            opts.reuse_csum = pbr_srv_param_text(call, "reuse-csum", csum, sizeof(csum));
    }
    const int rc = pbr_store_backup_create(se->backup, &opts, &wid, diag);
    if (rc < 0)
        return rc;
    pbr_srv_journal(call->conn->srv, "index-create", call->conn->id,
                    json_pack("{s:I, s:s, s:s}", "wid", (json_int_t)wid, "name", name, "kind",
                              is_fixed(call) ? "fixed" : "dynamic"));
    return pbr_srv_reply_data(r, json_integer((json_int_t)wid));
}

static int call_chunk(struct pbr_srv_session *se, struct pbr_srv_call *call,
                      struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    const struct pbr_span hex = pbr_params_str(&call->params, "digest");
    uint8_t digest[PBR_DIGEST_LEN];
    struct pbr_store_put put = { 0 };
    char subject[65] = "";
    const struct pbr_store_upload up = { .kind = kind_of(call),
                                         .wid = wid_of(call),
                                         .digest = digest,
                                         .size = (uint64_t)pbr_params_int(&call->params, "size", 0),
                                         .encoded_size = (uint64_t)pbr_params_int(
                                             &call->params, "encoded-size", 0) };

    if (call->body_len != up.encoded_size)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-113", "uploaded chunk has unexpected size.");
    if (!pbr_parse_hex(hex, digest, sizeof(digest)))
        return PBR_E_ARG;
    memcpy(subject, hex.ptr, hex.len < 64 ? hex.len : 64);
    pbr_srv_fault_step(call->conn->srv, &call->fired, call->conn->id, PBR_FAULT_AT_CHUNK_WRITE, "",
                       subject);
    if (pbr_srv_fault_replaces(&call->fired))
        return pbr_srv_reply_null(r);
    if (call->fired.act[PBR_FAULT_ENOSPC])
        call->conn->srv->store_fault.nth = 0;
    if (!call->fired.act[PBR_FAULT_LIE_KNOWN]) {
        const int rc =
            pbr_store_backup_chunk(se->backup, &up, call->body.ptr, call->body.len, &put, diag);
        if (rc < 0)
            return rc;
    }
    pbr_srv_journal(call->conn->srv, "chunk", call->conn->id,
                    json_pack("{s:I, s:s, s:I, s:I, s:s}", "wid", (json_int_t)up.wid, "digest",
                              subject, "size", (json_int_t)up.size, "encoded-size",
                              (json_int_t)up.encoded_size, "state",
                              put.duplicate ? "known" : "new"));
    return pbr_srv_reply_data(r, text_json(hex));
}

static int call_append(struct pbr_srv_session *se, struct pbr_srv_call *call,
                       struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    const struct pbr_param *digests = pbr_params_get(&call->params, "digest-list");
    const struct pbr_param *offs = pbr_params_get(&call->params, "offset-list");
    json_t *o = call->conn->srv->journal_fd >= 0 ? pbr_params_to_json(&call->params) : NULL;
    int rc = PBR_OK;

    if (offs->nr != digests->nr)
        rc = pbr_fail_at(diag, PBR_E_ARG, "BKP-131", "offset list has wrong length (%zu != %zu)",
                         offs->nr, digests->nr);
    for (size_t i = 0; i < digests->nr && rc == PBR_OK; i++) {
        uint8_t digest[PBR_DIGEST_LEN];
        if (!pbr_parse_hex(digests->strs[i], digest, sizeof(digest)))
            rc = PBR_E_ARG;
        else
            rc = pbr_store_backup_append(se->backup, kind_of(call), wid_of(call), digest,
                                         (uint64_t)offs->nums[i], diag);
    }
    if (rc < 0) {
        json_decref(o);
        return rc;
    }
    if (o) {
        (void)json_object_set(o, "digests", json_object_get(o, "digest-list"));
        (void)json_object_set(o, "offsets", json_object_get(o, "offset-list"));
        (void)json_object_del(o, "digest-list");
        (void)json_object_del(o, "offset-list");
        pbr_srv_journal(call->conn->srv, "index-append", call->conn->id, o);
    }
    return pbr_srv_reply_null(r);
}

static int call_close(struct pbr_srv_session *se, struct pbr_srv_call *call,
                      struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    const uint64_t chunk_nr = (uint64_t)pbr_params_int(&call->params, "chunk-count", 0);
    const uint64_t size = (uint64_t)pbr_params_int(&call->params, "size", 0);
    char csum[129];

    (void)pbr_srv_param_text(call, "csum", csum, sizeof(csum));
    const int rc =
        pbr_store_backup_close(se->backup, kind_of(call), wid_of(call), chunk_nr, size, csum, diag);
    if (rc < 0)
        return rc;
    pbr_srv_journal(call->conn->srv, "index-close", call->conn->id,
                    pbr_params_to_json(&call->params));
    return pbr_srv_reply_null(r);
}

static int call_blob(struct pbr_srv_session *se, struct pbr_srv_call *call, struct pbr_srv_reply *r,
                     struct pbr_diag *diag)
{
    const uint64_t announced = (uint64_t)pbr_params_int(&call->params, "encoded-size", 0);
    char name[PBR_ARCHIVE_NAME_MAX + 1];

    (void)pbr_srv_param_text(call, "file-name", name, sizeof(name));
    if (call->body_len > announced && strlen(name) > 5 &&
        strcmp(name + strlen(name) - 5, ".blob") == 0)
        return pbr_fail_at(diag, PBR_E_ARG, "BKP-171",
                           "got blob with unexpected length (%" PRIu64 " != %" PRIu64 ")",
                           announced, call->body_len);
    const int rc =
        pbr_store_backup_blob(se->backup, name, announced, pbr_buf_span(&call->body), diag);
    return rc < 0 ? rc : pbr_srv_reply_null(r);
}

static int call_finish(struct pbr_srv_session *se, struct pbr_srv_call *call,
                       struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    char name[300];
    const int rc = pbr_store_backup_finish(se->backup, diag);

    if (rc < 0)
        return rc;
    pbr_snapshot_format(&se->snapshot, name, sizeof(name));
    pbr_srv_journal(call->conn->srv, "finish", call->conn->id,
                    json_pack("{s:s}", "snapshot", name));
    return pbr_srv_reply_null(r);
}

static int call_index(struct pbr_srv_reply *r)
{
    static const char *const names[] = {
        "blob",     "dynamic_chunk",        "dynamic_close", "dynamic_index",
        "finish",   "fixed_chunk",          "fixed_close",   "fixed_index",
        "previous", "previous_backup_time", "speedtest"
    };
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)json_array_append_new(list, json_pack("{s:s}", "subdir", names[i]));
    return pbr_srv_reply_data(r, list);
}

int pbr_srv_writer_call(struct pbr_srv_session *se, struct pbr_srv_call *call,
                        struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    switch (call->route->call) {
    case PBR_CALL_PREVIOUS_TIME:
        return call_previous_time(se, r);
    case PBR_CALL_PREVIOUS:
        return call_previous(se, call, r, diag);
    case PBR_CALL_DYNAMIC_CREATE:
    case PBR_CALL_FIXED_CREATE:
        return call_create(se, call, r, diag);
    case PBR_CALL_DYNAMIC_CHUNK:
    case PBR_CALL_FIXED_CHUNK:
        return call_chunk(se, call, r, diag);
    case PBR_CALL_DYNAMIC_APPEND:
    case PBR_CALL_FIXED_APPEND:
        return call_append(se, call, r, diag);
    case PBR_CALL_DYNAMIC_CLOSE:
    case PBR_CALL_FIXED_CLOSE:
        return call_close(se, call, r, diag);
    case PBR_CALL_BLOB:
        return call_blob(se, call, r, diag);
    case PBR_CALL_FINISH:
        return call_finish(se, call, r, diag);
    case PBR_CALL_INDEX:
        return call_index(r);
    default: /* speedtest: the body was dropped as it came [BKP-190] */
        return pbr_srv_reply_null(r);
    }
}
