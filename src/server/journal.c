/* SPDX-License-Identifier: MIT */
/* The journal: one JSON object a line, in the order of events. Members of every line: "event", and
 * "conn" (number of the connection, from 1) where there is one. Further members:
 *
 *   connection    peer, tls                             disconnect
 *   request       stream (HTTP/2), method, path, params, auth, status, in, out (body bytes), ms,
 * error session       protocol, store, ns, snapshot, base   finish        snapshot abort snapshot
 * fault         fault (its text) chunk         wid, digest, size, encoded-size, state "new" or
 * "known" index-create  wid, name, kind                       index-append  wid, digests, offsets
 *   index-close   wid, chunk-count, size, csum
 *   known         name, chunks (what `previous` registered: number known after it)
 *   chunk-read    digest, encoded-size                  download      name, size
 *
 * Thread: the server's. */
#include <unistd.h>

#include "base/limits.h"
#include "server/server_int.h"
#include "sys/fd.h"

static int append_dump(const char *text, size_t len, void *ctx)
{
    return pbr_buf_append(ctx, pbr_span(text, len)) == PBR_OK ? 0 : -1;
}

void pbr_srv_journal(struct pbr_server *s, const char *event, uint64_t conn_id, json_t *more)
{
    struct pbr_buf line;
    json_t *o = s->journal_fd >= 0 ? json_object() : NULL;

    pbr_buf_init(&line, &s->env, PBR_REPLY_BODY_MAX);
    if (o) {
        (void)json_object_set_new(o, "event", json_string(event));
        if (conn_id)
            (void)json_object_set_new(o, "conn", json_integer((json_int_t)conn_id));
        (void)json_object_update(o, more);
        if (json_dump_callback(o, append_dump, &line, JSON_COMPACT) == 0 &&
            pbr_buf_append_u8(&line, '\n') == PBR_OK)
            if (pbr_write_all(s->journal_fd, pbr_buf_span(&line), "journal", NULL) < 0)
                pbr_log(&s->env, PBR_LOG_WARN, "journal cannot be written");
    }
    json_decref(o);
    json_decref(more);
    pbr_buf_release(&line);
}

/* Secrets stay out. */
static json_t *params_json(const struct pbr_srv_call *call)
{
    json_t *o = pbr_params_to_json(&call->params);
    (void)json_object_del(o, "password");
    return o;
}

void pbr_srv_journal_request(const struct pbr_srv_call *call)
{
    struct pbr_server *s = call->conn->srv;
    const struct pbr_srv_reply *r = &call->reply;

    if (s->journal_fd < 0)
        return;
    json_t *o = json_pack("{s:s, s:s, s:i, s:I, s:I, s:I}", "method", call->method, "path",
                          call->path_text, "status", r->status, "in", (json_int_t)call->body_len,
                          "out", (json_int_t)r->length, "ms",
                          (json_int_t)((pbr_srv_now_ns(s) - call->start_ns) / 1000000));
    if (call->st)
        (void)json_object_set_new(o, "stream", json_integer(pbr_h2_id(call->st)));
    if (call->auth_id)
        (void)json_object_set_new(o, "auth", json_string(call->auth_id));
    if (call->has_params)
        (void)json_object_set_new(o, "params", params_json(call));
    if (r->status >= 400 && r->mem)
        (void)json_object_set_new(o, "error",
                                  json_stringn((const char *)r->mem, (size_t)r->length));
    pbr_srv_journal(s, "request", call->conn->id, o);
}
