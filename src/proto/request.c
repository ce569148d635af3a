/* SPDX-License-Identifier: MIT */
/* Requests as the reference client writes them; see request.h. */
#include "proto/request.h"

#include <string.h>

/* Collects a path and its query; the first failure sticks. */
struct query {
    struct pbr_buf *out;
    size_t base; /* where the query begins */
    int rc;
};

static struct query start(struct pbr_buf *out, const char *path)
{
    struct query q = { .out = out };
    q.rc = pbr_buf_append(out, pbr_span_str(path));
    if (q.rc == PBR_OK)
        q.rc = pbr_buf_append_u8(out, '?');
    q.base = out->len;
    return q;
}

static void put_str(struct query *q, const char *key, const char *value)
{
    if (q->rc == PBR_OK)
        q->rc = pbr_form_put_str(q->out, q->base, key, value);
}

static void put_u64(struct query *q, const char *key, uint64_t value)
{
    if (q->rc == PBR_OK)
        q->rc = pbr_form_put_u64(q->out, q->base, key, value);
}

static void put_hex(struct query *q, const char *key, const uint8_t digest[PBR_REQUEST_DIGEST])
{
    char hex[2 * PBR_REQUEST_DIGEST + 1];
    pbr_format_hex(digest, PBR_REQUEST_DIGEST, hex);
    put_str(q, key, hex);
}

int pbr_upgrade_path(enum pbr_api api, const struct pbr_upgrade *u, struct pbr_buf *out)
{
    const bool writer = api == PBR_API_BACKUP;
    struct query q = start(out, writer ? "//api2/json/backup" : "//api2/json/reader");

    put_str(&q, "backup-id", u->snapshot.group.id);
    put_u64(&q, "backup-time", (uint64_t)u->snapshot.time_s);
    put_str(&q, "backup-type", u->snapshot.group.type);
    if (writer)
        put_str(&q, "benchmark", u->benchmark ? "true" : "false");
    put_str(&q, "debug", u->debug ? "true" : "false");
    if (writer && u->no_cache)
        put_str(&q, "no-cache", "true");
    if (u->ns && u->ns[0])
        put_str(&q, "ns", u->ns);
    put_str(&q, "store", u->store);
    return q.rc;
}

int pbr_request_chunk(bool fixed, uint64_t wid, const uint8_t digest[PBR_REQUEST_DIGEST],
                      uint64_t size, uint64_t encoded_size, struct pbr_buf *out)
{
    struct query q = start(out, fixed ? "/fixed_chunk" : "/dynamic_chunk");

    put_hex(&q, "digest", digest);
    put_u64(&q, "encoded-size", encoded_size);
    put_u64(&q, "size", size);
    put_u64(&q, "wid", wid);
    return q.rc;
}

int pbr_request_create(bool fixed, const char *archive, bool has_size, uint64_t size,
                       struct pbr_buf *out)
{
    struct query q = start(out, fixed ? "/fixed_index" : "/dynamic_index");

    put_str(&q, "archive-name", archive);
    if (fixed && has_size)
        put_u64(&q, "size", size);
    return q.rc;
}

int pbr_request_close(bool fixed, uint64_t wid, uint64_t chunk_nr, uint64_t size,
                      const uint8_t csum[PBR_REQUEST_DIGEST], struct pbr_buf *out)
{
    struct query q = start(out, fixed ? "/fixed_close" : "/dynamic_close");

    put_u64(&q, "chunk-count", chunk_nr);
    put_hex(&q, "csum", csum);
    put_u64(&q, "size", size);
    put_u64(&q, "wid", wid);
    return q.rc;
}

int pbr_request_blob(const char *file, uint64_t encoded_size, struct pbr_buf *out)
{
    struct query q = start(out, "/blob");

    put_u64(&q, "encoded-size", encoded_size);
    put_str(&q, "file-name", file);
    return q.rc;
}

int pbr_request_previous(const char *archive, struct pbr_buf *out)
{
    struct query q = start(out, "/previous");
    put_str(&q, "archive-name", archive);
    return q.rc;
}

int pbr_request_download(const char *file, struct pbr_buf *out)
{
    struct query q = start(out, "/download");
    put_str(&q, "file-name", file);
    return q.rc;
}

int pbr_request_get_chunk(const uint8_t digest[PBR_REQUEST_DIGEST], struct pbr_buf *out)
{
    struct query q = start(out, "/chunk");
    put_hex(&q, "digest", digest);
    return q.rc;
}

int pbr_append_body(uint64_t wid, const struct pbr_append_entry *entries, size_t nr,
                    struct pbr_buf *out)
{
    int rc = pbr_buf_append(out, pbr_span_str("{\"digest-list\":["));

    for (size_t i = 0; i < nr && rc == PBR_OK; i++) {
        char hex[2 * PBR_REQUEST_DIGEST + 1];
        pbr_format_hex(entries[i].digest, PBR_REQUEST_DIGEST, hex);
        rc = pbr_buf_printf(out, "%s\"%s\"", i ? "," : "", hex);
    }
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_span_str("],\"offset-list\":["));
    for (size_t i = 0; i < nr && rc == PBR_OK; i++)
        rc = pbr_buf_printf(out, "%s%" PRIu64, i ? "," : "", entries[i].off);
    if (rc == PBR_OK)
        rc = pbr_buf_printf(out, "],\"wid\":%" PRIu64 "}", wid);
    return rc;
}
