/* SPDX-License-Identifier: MIT */
/* The calls of the reader protocol [RDR section 2].
 *
 * Thread: the server's. */
#include <string.h>
#include <unistd.h>

#include "server/server_int.h"

enum { SPEEDTEST_BYTES = 1 << 20 };

/* Index files: all chunks become permitted, then the file is sent [RDR-022, RDR-025]. */
static int download_index(struct pbr_srv_session *se, const char *name, struct pbr_srv_reply *r,
                          struct pbr_diag *diag)
{
    struct pbr_store_index ix;
    int rc = pbr_store_load_index(se->store->store, se->ns, &se->snapshot, name, &ix, diag);

    if (rc < 0)
        return rc;
    rc = pbr_store_known_add(&se->allowed, &ix.ix, diag);
    if (rc == PBR_OK)
        pbr_srv_reply_mem(r, &ix.file, false);
    pbr_store_index_release(&ix);
    return rc;
}

static int call_download(struct pbr_srv_session *se, struct pbr_srv_call *call,
                         struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    enum pbr_file_type type;
    uint64_t size = 0;
    int fd = -1;
    int rc;

    (void)pbr_srv_param_text(call, "file-name", name, sizeof(name));
    if (!pbr_name_file_type(pbr_span_str(name), &type))
        return pbr_fail_at(diag, PBR_E_ARG, "RDR-020", "unknown archive type: \"%s\"", name);
    if (type == PBR_FILE_BLOB) {
        rc = pbr_store_open_file(se->store->store, se->ns, &se->snapshot, name, &fd, &size, diag);
        if (rc == PBR_OK)
            rc = pbr_srv_reply_fd(r, fd, size, false, diag);
    } else {
        rc = download_index(se, name, r, diag);
    }
    if (rc < 0)
        return rc;
    pbr_srv_journal(call->conn->srv, "download", call->conn->id,
                    json_pack("{s:s, s:I}", "name", name, "size", (json_int_t)r->length));
    return PBR_OK;
}

static int call_chunk(struct pbr_srv_session *se, struct pbr_srv_call *call,
                      struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[65];
    uint64_t size = 0;
    int fd = -1;

    (void)pbr_srv_param_text(call, "digest", hex, sizeof(hex));
    if (!pbr_parse_hex(pbr_span_str(hex), digest, sizeof(digest)))
        return PBR_E_ARG;
    if (!pbr_known_get(&se->allowed, digest, NULL)) {
        diag->status = 401;
        r->delay_ms = call->conn->srv->auth_delay_ms; /* BKP-070 */
        return pbr_fail_at(diag, PBR_E_REMOTE, "RDR-031", "download chunk %s not allowed", hex);
    }
    int rc = pbr_store_chunk_open(se->store->store, digest, &fd, &size, diag);
    if (rc == PBR_OK)
        rc = pbr_srv_reply_fd(r, fd, size, true, diag);
    if (rc < 0)
        return rc;
    pbr_srv_fault_step(call->conn->srv, &call->fired, call->conn->id, PBR_FAULT_AT_CHUNK_READ, "",
                       hex);
    pbr_srv_journal(call->conn->srv, "chunk-read", call->conn->id,
                    json_pack("{s:s, s:I}", "digest", hex, "encoded-size", (json_int_t)size));
    return PBR_OK;
}

static int call_speedtest(struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    struct pbr_buf b;
    uint8_t *room;

    pbr_buf_init(&b, r->env, SPEEDTEST_BYTES);
    if (pbr_buf_reserve(&b, SPEEDTEST_BYTES, &room) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for the speed test");
    memset(room, 'A', SPEEDTEST_BYTES);
    b.len = SPEEDTEST_BYTES;
    pbr_srv_reply_mem(r, &b, false);
    return PBR_OK;
}

int pbr_srv_reader_call(struct pbr_srv_session *se, struct pbr_srv_call *call,
                        struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    switch (call->route->call) {
    case PBR_CALL_DOWNLOAD:
        return call_download(se, call, r, diag);
    case PBR_CALL_CHUNK:
        return call_chunk(se, call, r, diag);
    case PBR_CALL_SPEEDTEST:
        return call_speedtest(r, diag);
    default:
        return pbr_srv_reply_data(r, json_pack("[{s:s}, {s:s}, {s:s}]", "subdir", "chunk", "subdir",
                                               "download", "subdir", "speedtest"));
    }
}
