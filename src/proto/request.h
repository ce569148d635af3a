/* SPDX-License-Identifier: MIT */
/* Requests as the reference client writes them: upgrade paths, calls of the two upgraded protocols,
 * JSON bodies. Parameters come in alphabetical order, JSON without white space.
 *
 * Spec: BKP-011, BKP-015 .. BKP-019, BKP-090 .. BKP-170, BKP-242, RDR-003, RDR-020, RDR-030,
 * API-005. Thread: plain values. */
#ifndef PBR_PROTO_REQUEST_H
#define PBR_PROTO_REQUEST_H

#include "format/name.h"
#include "proto/api.h"

enum { PBR_REQUEST_DIGEST = 32 };

struct pbr_upgrade {
    const char *store;
    const char *ns; /* NULL or "" = root: not sent */
    struct pbr_snapshot snapshot;
    bool benchmark, debug; /* always sent, as words; benchmark only to the writer */
    bool no_cache;         /* sent only if set (BKP-017) */
};

/* Appends "//api2/json/backup?..." or "//api2/json/reader?..." with the doubled slash of the
 * original (BKP-011). */
PBR_MUST_USE int pbr_upgrade_path(enum pbr_api api, const struct pbr_upgrade *u,
                                  struct pbr_buf *out);

/* Appends "/dynamic_chunk?digest=..&encoded-size=..&size=..&wid=.." (`fixed`: fixed_chunk). */
PBR_MUST_USE int pbr_request_chunk(bool fixed, uint64_t wid,
                                   const uint8_t digest[PBR_REQUEST_DIGEST], uint64_t size,
                                   uint64_t encoded_size, struct pbr_buf *out);
/* "/dynamic_index?archive-name=..", fixed also with "&size=.." if has_size. */
PBR_MUST_USE int pbr_request_create(bool fixed, const char *archive, bool has_size, uint64_t size,
                                    struct pbr_buf *out);
/* "/dynamic_close?chunk-count=..&csum=..&size=..&wid=.." */
PBR_MUST_USE int pbr_request_close(bool fixed, uint64_t wid, uint64_t chunk_nr, uint64_t size,
                                   const uint8_t csum[PBR_REQUEST_DIGEST], struct pbr_buf *out);
/* "/blob?encoded-size=..&file-name=.." */
PBR_MUST_USE int pbr_request_blob(const char *file, uint64_t encoded_size, struct pbr_buf *out);
/* "/previous?archive-name=..", "/download?file-name=..", "/chunk?digest=.." */
PBR_MUST_USE int pbr_request_previous(const char *archive, struct pbr_buf *out);
PBR_MUST_USE int pbr_request_download(const char *file, struct pbr_buf *out);
PBR_MUST_USE int pbr_request_get_chunk(const uint8_t digest[PBR_REQUEST_DIGEST],
                                       struct pbr_buf *out);

struct pbr_append_entry {
    uint8_t digest[PBR_REQUEST_DIGEST];
    uint64_t off; /* start of the chunk in its stream (BKP-133, BKP-156) */
};
/* The body {"digest-list":[..],"offset-list":[..],"wid":n} (BKP-242). */
PBR_MUST_USE int pbr_append_body(uint64_t wid, const struct pbr_append_entry *entries, size_t nr,
                                 struct pbr_buf *out);

#endif
