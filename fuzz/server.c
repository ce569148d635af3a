/* SPDX-License-Identifier: MIT */
/* Sessions of the backup and reader protocol against the mock server on a datastore of its own. Input: bytes 0..7 reserved;
 * then one record after the other: a byte that says what (see enum op, mod OPS), a byte of flags (bit 0: one parameter lies,
 * which one says bit 1; bit 2: do not wait for the answer), parameters, see step_op.
 *
 * Reaches: pbr_srv_* of conn.c, session.c, upgrade.c, writer.c, reader.c, reply.c, the calls and schemas of proto/, the
 * datastore (store/backup.c, writer.c, chunk.c, manifest.c) and both ends of HTTP/2.
 * Asserts: every request is answered once, or its connection ends; a call that is in order is answered 200, a lie is not;
 * a session that was not finished leaves no snapshot, a finished one a manifest that can be read; nothing appears outside
 * of the store's own places; no descriptor is left open. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunk/seal.h"
#include "server/server_int.h"
#include "support/take.h"

enum { HEAD = 8, CALLS_MAX = 60, WRITERS = 4, CHUNKS = 8, BODY_MAX = 4096, ROUNDS_MAX = 4000, PATH_CAP = 400,
       TARGET_CAP = 4096 };

enum op { OP_CREATE, OP_CHUNK, OP_APPEND, OP_CLOSE, OP_BLOB, OP_FINISH, OP_RAW, OP_NEXT, OP_READER, OP_DOWNLOAD,
          OP_GET_CHUNK, OPS };
enum { LIE = 1, LIE_OTHER = 2, NO_WAIT = 4 };

struct chunk {
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[65];
    uint64_t size;
};

struct writer {
    bool open;
    uint64_t wid, pos, count;
    struct pbr_sha256 *sum; /* over the records */
    struct pbr_buf records;
};

struct call { /* one request */
    bool used;
    int closed; /* times */
    int status;
    struct pbr_buf body;
    size_t sent;
    char answer[64];
    size_t answer_len;
};

struct world {
    char root[PATH_CAP];
    struct pbr_server *srv;
    struct pbr_srv_conn *conn;
    int fd;
    nghttp2_session *h2;
    bool ended, reader, finished;
    bool wild; /* calls from the input's own text may have changed the session: what is in order is not known any more */
    int64_t time_s;
    struct call calls[CALLS_MAX];
    size_t call_nr;
    struct writer writers[WRITERS];
    size_t writer_nr, open_nr, closed_nr;
    struct chunk chunks[CHUNKS];
    size_t chunk_nr, session_chunks; /* of this session: from there on */
    bool has_manifest;
};

/* ---- the datastore ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void make_root(struct world *w)
{
    const char *given = getenv("TMPDIR");
    const char *base = given && strlen(given) < PATH_CAP / 2 ? given : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char chunks[PATH_CAP + 16];
    (void)snprintf(w->root, sizeof(w->root), "%s/pbr-fuzz-XXXXXX", base);
    MUST(mkdtemp(w->root));
    (void)snprintf(chunks, sizeof(chunks), "%s/.chunks", w->root);
    MUST(mkdir(chunks, 0750) == 0);
}

/* Names in a directory that are not among the allowed ones; 0 if it does not exist. */
static size_t strangers(const char *path, const char *const *allowed)
{
    size_t nr = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        bool known = e->d_name[0] == '.' && (!e->d_name[1] || (e->d_name[1] == '.' && !e->d_name[2]));
        for (size_t i = 0; allowed[i] && !known; i++)
            known = strcmp(allowed[i], e->d_name) == 0;
        nr += !known;
    }
    if (d)
        closedir(d);
    return nr;
}

static void snapshot_path(const struct world *w, const char *file, char *out, size_t cap)
{
    char name[300];
    struct pbr_snapshot s = { .time_s = w->time_s };
    (void)snprintf(s.group.type, sizeof(s.group.type), "host");
    (void)snprintf(s.group.id, sizeof(s.group.id), "h");
    pbr_snapshot_format(&s, name, sizeof(name));
    (void)snprintf(out, cap, "%s/%s%s%s", w->root, name, file ? "/" : "", file ? file : "");
}

static void check_store(const struct world *w)
{
    static const char *const top[] = { ".chunks", ".lock", ".locks", "host", ".gc-status", NULL };
    static const char *const types[] = { "h", NULL };
    char path[PATH_CAP + 320];
    MUST(strangers(w->root, top) == 0);
    (void)snprintf(path, sizeof(path), "%s/host", w->root);
    MUST(strangers(path, types) == 0);
    if (w->reader)
        return;
    snapshot_path(w, NULL, path, sizeof(path));
    MUST((access(path, F_OK) == 0) == w->finished);
    snapshot_path(w, "index.json.blob", path, sizeof(path));
    MUST(!w->finished || access(path, R_OK) == 0);
}

/* ---- the client's end ---- */

static ssize_t send_some(nghttp2_session *h2, const uint8_t *data, size_t len, int flags, void *ctx)
{
    const struct world *w = ctx;
    const ssize_t n = send(w->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)h2;
    (void)flags;
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
    return n;
}

static ssize_t give_body(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t cap, uint32_t *flags,
                         nghttp2_data_source *source, void *ctx)
{
    struct call *c = source->ptr;
    const struct pbr_span piece = pbr_span_sub(pbr_buf_span(&c->body), c->sent, cap);
    (void)h2;
    (void)id;
    (void)ctx;
    if (piece.len)
        memcpy(buf, piece.ptr, piece.len);
    c->sent += piece.len;
    if (c->sent == c->body.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)piece.len;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
    struct call *c = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    uint64_t status = 0;
    (void)flags;
    (void)ctx;
    if (c && pbr_span_eq_str(pbr_span(name, name_len), ":status")) {
        MUST(c->status == 0 && pbr_parse_u64(pbr_span(value, value_len), 200, 599, &status));
        c->status = (int)status;
    }
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
    struct call *c = nghttp2_session_get_stream_user_data(h2, id);
    (void)flags;
    (void)ctx;
    for (size_t i = 0; c && i < len && c->answer_len < sizeof(c->answer) - 1; i++)
        c->answer[c->answer_len++] = (char)data[i];
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *ctx)
{
    struct call *c = nghttp2_session_get_stream_user_data(h2, id);
    (void)code;
    (void)ctx;
    if (c)
        MUST(++c->closed == 1);
    return 0;
}

static void new_client(struct world *w)
{
    nghttp2_session_callbacks *cb;
    MUST(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_send_callback(cb, send_some);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    MUST(nghttp2_session_client_new(&w->h2, cb, w) == 0);
    nghttp2_session_callbacks_del(cb);
    MUST(nghttp2_submit_settings(w->h2, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
}

/* One turn of both ends; false once the connection has ended. */
static bool turn(struct world *w)
{
    uint8_t in[16384];
    if (w->ended)
        return false;
    if (nghttp2_session_send(w->h2) != 0)
        w->ended = true;
    pbr_srv_conn_step(w->conn);
    for (;;) {
        const ssize_t n = recv(w->fd, in, sizeof(in), MSG_DONTWAIT);
        if (n <= 0) {
            w->ended = w->ended || n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
            break;
        }
        MUST(nghttp2_session_mem_recv(w->h2, in, (size_t)n) == n); /* the server keeps to HTTP/2 */
    }
    w->ended = w->ended || w->conn->state == PBR_CONN_DEAD;
    return !w->ended;
}

/* The status, 0 if the connection ended before. */
static int wait_for(struct world *w, const struct call *c)
{
    for (int i = 0; i < ROUNDS_MAX && !c->closed; i++)
        if (!turn(w))
            break;
    MUST(c->closed || w->ended);
    return c->closed ? c->status : 0;
}

/* ---- sessions ---- */

static void start(struct world *w, bool reader)
{
    int fds[2];
    char text[TARGET_CAP], in[4096];
    size_t len = 0;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    w->fd = fds[0];
    w->reader = reader;
    w->ended = w->finished = w->has_manifest = w->wild = false;
    w->writer_nr = w->open_nr = w->closed_nr = 0;
    w->session_chunks = w->chunk_nr;
    MUST(pbr_srv_conn_new(w->srv, fds[1], false, NULL) == PBR_OK);
    w->conn = w->srv->conns;
    const int n = snprintf(text, sizeof(text),
                           "GET /api2/json/%s?store=sss&backup-type=host&backup-id=h&backup-time=%lld HTTP/1.1\r\nHost: "
                           "a\r\nConnection: upgrade\r\nUpgrade: proxmox-backup-%sprotocol-v1\r\n\r\n",
                           reader ? "reader" : "backup", (long long)w->time_s, reader ? "reader-" : "");
    MUST(send(w->fd, text, (size_t)n, MSG_NOSIGNAL) == n);
    for (int i = 0; i < ROUNDS_MAX && !(len > 4 && memcmp(in + len - 4, "\r\n\r\n", 4) == 0); i++) {
        pbr_srv_conn_step(w->conn);
        const ssize_t got = recv(w->fd, in + len, 1, MSG_DONTWAIT);
        len += got > 0 ? 1 : 0;
        MUST(len < sizeof(in));
    }
    new_client(w);
    MUST(len > 12 && memcmp(in, "HTTP/1.1 ", 9) == 0);
    if (memcmp(in + 9, "101", 3) != 0)
        w->ended = true;
    MUST(!w->ended || reader);
}

static void stop(struct world *w)
{
    (void)close(w->fd);
    nghttp2_session_del(w->h2);
    w->h2 = NULL;
    pbr_srv_conn_free(w->conn);
    for (size_t i = 0; i < w->writer_nr; i++)
        pbr_buf_release(&w->writers[i].records);
    for (size_t i = 0; i < w->call_nr; i++)
        pbr_buf_release(&w->calls[i].body);
    w->call_nr = 0;
    check_store(w);
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name, .namelen = strlen(name),
                         .value = (uint8_t *)(uintptr_t)value, .valuelen = strlen(value) };
}

static struct call *request(struct world *w, const char *method, const char *path, struct pbr_span body, bool json)
{
    if (w->call_nr == CALLS_MAX || w->ended)
        return NULL;
    struct call *c = &w->calls[w->call_nr++];
    *c = (struct call){ .used = true };
    pbr_buf_init(&c->body, &fuzz_env, BODY_MAX * 4);
    MUST(pbr_buf_append(&c->body, body) == PBR_OK);
    const nghttp2_nv nv[] = { header(":method", method), header(":scheme", "https"), header(":authority", "a"),
                              header(":path", path), header("content-type", "application/json") };
    const nghttp2_data_provider data = { .source = { .ptr = c }, .read_callback = give_body };
    if (nghttp2_submit_request(w->h2, NULL, nv, json ? 5 : 4, body.len ? &data : NULL, c) < 0)
        c->closed = 1;
    return c;
}

/* ---- calls ---- */

struct order { /* how a call is to be made */
    struct take *in;
    uint8_t flags;
};

static bool lies(const struct order *o, int which)
{
    return (o->flags & LIE) && ((o->flags & LIE_OTHER) != 0) == which;
}

/* A call that is in order is answered 200, another one is not. */
static struct call *settle(struct world *w, const struct order *o, struct call *c, bool in_order)
{
    if (!c || (in_order && w->call_nr == CALLS_MAX))
        return NULL;
    if ((o->flags & NO_WAIT) && !in_order)
        return NULL;
    const int status = wait_for(w, c);
    MUST(w->wild || status == 0 || (status == 200) == in_order);
    MUST(w->wild || status != 0 || !in_order);
    return status == 200 ? c : NULL;
}

static void call_create(struct world *w, struct order *o)
{
    static const char *const good[] = { "a.pxar.didx", "b.mpxar.didx", "b.ppxar.didx", "catalog.pcat1.didx" };
    static const char *const bad[] = { "a.pxar", "a.blob", "../a.didx", "a.fidx" };
    const size_t i = w->writer_nr;
    char path[200];
    if (i == WRITERS)
        return;
    (void)snprintf(path, sizeof(path), "/dynamic_index?archive-name=%s", o->flags & LIE ? bad[i] : good[i]);
    const struct call *c = settle(w, o, request(w, "POST", path, pbr_span(NULL, 0), false),
                                  !(o->flags & LIE) && !w->finished && !w->reader);
    uint64_t wid = 0;
    if (!c)
        return;
    MUST(pbr_span_starts(pbr_span(c->answer, c->answer_len), "{\"data\":") && c->answer[c->answer_len - 1] == '}');
    MUST(pbr_parse_u64(pbr_span(c->answer + 8, c->answer_len - 9), 1, 256, &wid));
    w->writers[w->writer_nr++] = (struct writer){ .open = true, .wid = wid };
    pbr_buf_init(&w->writers[i].records, &fuzz_env, CALLS_MAX * PBR_DIDX_REC);
    w->open_nr++;
}

static struct writer *pick_writer(struct world *w, struct order *o)
{
    const size_t i = take_u8(o->in);
    return w->writer_nr ? &w->writers[i % w->writer_nr] : NULL;
}

static void seal(struct pbr_span plain, struct pbr_buf *out)
{
    struct pbr_sealer *s = NULL;
    pbr_buf_init(out, &fuzz_env, BODY_MAX * 2);
    MUST(pbr_sealer_new(&fuzz_env, &s) == PBR_OK && pbr_seal(s, NULL, true, plain, out, NULL) == PBR_OK);
    pbr_sealer_free(s);
}

static void call_chunk(struct world *w, struct order *o)
{
    const struct writer *writer = pick_writer(w, o);
    struct pbr_span plain = take_span(o->in, 1 + take_u8(o->in));
    struct chunk c = { .size = plain.len };
    struct pbr_buf raw;
    char path[300];
    if (!writer || plain.len == 0)
        return;
    MUST(pbr_chunk_digest(NULL, plain, c.digest) == PBR_OK);
    pbr_format_hex(c.digest, sizeof(c.digest), c.hex);
    seal(plain, &raw);
    (void)snprintf(path, sizeof(path), "/dynamic_chunk?digest=%s&encoded-size=%zu&size=%llu&wid=%llu", c.hex,
                   raw.len + (lies(o, 0) ? 1 : 0), (unsigned long long)c.size + (lies(o, 1) ? 1 : 0),
                   (unsigned long long)writer->wid);
    const bool in_order = !(o->flags & LIE) && writer->open && !w->finished && !w->reader;
    bool known = false;
    for (size_t i = w->session_chunks; i < w->chunk_nr; i++)
        known = known || memcmp(w->chunks[i].digest, c.digest, PBR_DIGEST_LEN) == 0;
    struct call *sent = request(w, "POST", path, pbr_buf_span(&raw), false);
    if (settle(w, o, sent, in_order) && !known && w->chunk_nr < CHUNKS)
        w->chunks[w->chunk_nr++] = c;
    pbr_buf_release(&raw);
}

static void call_append(struct world *w, struct order *o)
{
    struct writer *writer = pick_writer(w, o);
    const size_t own = w->chunk_nr - w->session_chunks, i = take_u8(o->in);
    char body[300];
    uint8_t rec[PBR_DIDX_REC];
    if (!writer || own == 0)
        return;
    const struct chunk *c = &w->chunks[w->session_chunks + i % own];
    const int n = snprintf(body, sizeof(body), "{\"wid\":%llu,\"digest-list\":[\"%s%s\"],\"offset-list\":[%llu]}",
                           (unsigned long long)writer->wid, lies(o, 0) ? "0" : "", c->hex,
                           (unsigned long long)writer->pos + (lies(o, 1) ? 1 : 0));
    const bool in_order = !(o->flags & LIE) && writer->open && !w->finished && !w->reader;
    if (!settle(w, o, request(w, "PUT", "/dynamic_index", pbr_span(body, (size_t)n), true), in_order))
        return;
    writer->pos += c->size;
    writer->count++;
    pbr_didx_rec_emit(writer->pos, c->digest, rec);
    MUST(pbr_buf_append(&writer->records, pbr_span(rec, sizeof(rec))) == PBR_OK);
}

static void call_close(struct world *w, struct order *o)
{
    struct writer *writer = pick_writer(w, o);
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[65], body[300];
    if (!writer)
        return;
    MUST(pbr_sha256(pbr_buf_span(&writer->records), pbr_span(NULL, 0), digest) == PBR_OK);
    digest[0] ^= lies(o, 0);
    pbr_format_hex(digest, sizeof(digest), hex);
    const int n = snprintf(body, sizeof(body), "{\"wid\":%llu,\"chunk-count\":%llu,\"size\":%llu,\"csum\":\"%s\"}",
                           (unsigned long long)writer->wid, (unsigned long long)writer->count,
                           (unsigned long long)writer->pos + (lies(o, 1) ? 1 : 0), hex);
    const bool could = writer->open && writer->count > 0 && !w->finished && !w->reader;
    struct call *c = request(w, "POST", "/dynamic_close", pbr_span(body, (size_t)n), true);
    if (c && could && lies(o, 0))
        writer->open = false; /* for good: the session cannot be finished any more [BKP-146] */
    if (!settle(w, o, c, could && !(o->flags & LIE)))
        return;
    writer->open = false;
    w->open_nr--;
    w->closed_nr++;
}

/* A blob, or the manifest. */
static void call_blob(struct world *w, struct order *o)
{
    char text[300], path[200];
    const uint8_t what = take_u8(o->in);
    const bool manifest = what & 1;
    struct pbr_span plain = take_span(o->in, what);
    struct pbr_buf raw;
    if (manifest) {
        const int n = snprintf(text, sizeof(text),
                               "{\"backup-id\":\"h\",\"backup-time\":%lld,\"backup-type\":\"host\",\"files\":[],"
                               "\"signature\":null,\"unprotected\":{}}",
                               (long long)w->time_s);
        plain = pbr_span(text, (size_t)n);
    }
    seal(plain, &raw);
    if (lies(o, 1))
        raw.ptr[raw.len - 1] ^= 1;
    (void)snprintf(path, sizeof(path), "/blob?encoded-size=%zu&file-name=%s", raw.len + (lies(o, 0) ? 1 : 0),
                   manifest ? "index.json.blob" : "x.conf.blob");
    struct call *c = request(w, "POST", path, pbr_buf_span(&raw), false);
    if (settle(w, o, c, !(o->flags & LIE) && !w->reader)) { /* also after finish [BKP-175] */
        w->has_manifest = w->has_manifest || manifest;
        w->closed_nr++;
    }
    pbr_buf_release(&raw);
}

static void call_finish(struct world *w, struct order *o)
{
    const bool in_order = !w->finished && !w->reader && w->open_nr == 0 && w->closed_nr > 0 && w->has_manifest;
    struct call *c = request(w, "POST", "/finish", pbr_span(NULL, 0), false);
    o->flags &= (uint8_t)~NO_WAIT;
    if (settle(w, o, c, in_order))
        w->finished = true;
    else if (!w->reader && w->open_nr == 0 && w->closed_nr > 0 && !w->finished)
        w->ended = true; /* without a manifest: finishing for good [BKP-187], nothing more is in order */
}

/* Method, path and query, and a body, from the input. */
static void call_raw(struct world *w, struct order *o)
{
    static const char *const methods[] = { "GET", "POST", "PUT", "DELETE" };
    static const char *const paths[] = { "/", "/blob", "/dynamic_chunk", "/dynamic_index", "/dynamic_close", "/fixed_index",
                                         "/fixed_chunk", "/fixed_close", "/previous", "/previous_backup_time", "/speedtest",
                                         "/chunk", "/download", "/%2e%2e", "/upload//x", "" };
    char path[TARGET_CAP];
    const uint8_t what = take_u8(o->in);
    const struct pbr_span query = take_span(o->in, take_u8(o->in));
    size_t len = (size_t)snprintf(path, sizeof(path), "%s?", paths[what % 16]);
    for (size_t i = 0; i < query.len; i++)
        len += (size_t)snprintf(path + len, sizeof(path) - len, query.ptr[i] > ' ' && query.ptr[i] < 0x7f ? "%c" : "%%%02x",
                                query.ptr[i]);
    const struct pbr_span body = take_span(o->in, take_u8(o->in));
    struct call *c = request(w, methods[what >> 4 & 3], path, body, o->flags & LIE);
    w->wild = w->wild || (what >> 4 & 3) != 0;
    if (c && !(o->flags & NO_WAIT))
        (void)wait_for(w, c);
}

static void call_next(struct world *w, bool reader)
{
    const bool finished = w->finished && !w->reader;
    stop(w);
    w->time_s += !reader || !finished;
    if (reader && !finished)
        reader = false; /* nothing to read there */
    start(w, reader);
}

static void call_download(struct world *w, struct order *o)
{
    static const char *const names[] = { "a.pxar.didx", "b.mpxar.didx", "x.conf.blob", "index.json.blob", "../owner" };
    char path[200];
    if (!w->reader)
        return;
    const uint8_t i = take_u8(o->in) % 5;
    (void)snprintf(path, sizeof(path), "/download?file-name=%s", names[i]);
    struct call *c = request(w, "GET", path, pbr_span(NULL, 0), false);
    if (!c)
        return;
    const int status = wait_for(w, c);
    MUST(i != 3 || status == 200);
    MUST(i != 4 || status == 400);
}

static void call_get_chunk(struct world *w, struct order *o)
{
    char path[200];
    if (!w->reader || w->chunk_nr == 0)
        return;
    (void)snprintf(path, sizeof(path), "/chunk?digest=%s", w->chunks[take_u8(o->in) % w->chunk_nr].hex);
    struct call *c = request(w, "GET", path, pbr_span(NULL, 0), false);
    if (c && !(o->flags & NO_WAIT))
        (void)wait_for(w, c);
}

static void step_op(struct world *w, enum op op, struct order *o)
{
    switch (op) {
    case OP_CREATE: call_create(w, o); break;
    case OP_CHUNK: call_chunk(w, o); break;
    case OP_APPEND: call_append(w, o); break;
    case OP_CLOSE: call_close(w, o); break;
    case OP_BLOB: call_blob(w, o); break;
    case OP_FINISH: call_finish(w, o); break;
    case OP_RAW: call_raw(w, o); break;
    case OP_NEXT: call_next(w, false); break;
    case OP_READER: call_next(w, true); break;
    case OP_DOWNLOAD: call_download(w, o); break;
    default: call_get_chunk(w, o); break;
    }
}

static int lowest_free_fd(void)
{
    const int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    MUST(fd >= 0);
    (void)close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct take t = { .left = pbr_span(data, len) };
    if (take_span(&t, HEAD).len < HEAD)
        return 0;
    const int fd_before = lowest_free_fd();
    struct world *w = calloc(1, sizeof(*w));
    MUST(w);
    json_object_seed(1);
    make_root(w);
    const struct pbr_server_store store = { .name = "sss", .path = w->root };
    const struct pbr_server_opts opts = { .stores = &store, .store_nr = 1, .no_auth = true };
    MUST(pbr_server_new(&fuzz_env, &opts, &w->srv, NULL) == PBR_OK);
    w->time_s = 1700000000;
    start(w, false);
    for (size_t i = 0; i < CALLS_MAX && take_more(&t); i++) {
        const enum op op = take_u8(&t) % OPS;
        struct order o = { .in = &t, .flags = take_u8(&t) };
        step_op(w, op, &o);
    }
    stop(w);
    pbr_server_free(w->srv);
    MUST(nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    free(w);
    MUST(lowest_free_fd() == fd_before);
    return 0;
}
