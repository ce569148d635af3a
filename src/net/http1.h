/* SPDX-License-Identifier: MIT */
/* HTTP/1.1, the server's side: a push parser for requests and the head of answers. No I/O.
 *
 *   HEAD -> BODY* -> END, then the next request. Bodies come by content-length, chunked, or not at
 * all: a request with neither header has none (API-004). Bytes behind END belong to whoever reads
 * next, HTTP/2 after an upgrade (BKP-029).
 *
 * Spec: BKP-005, BKP-012, BKP-013, BKP-025, API-004, API-014. Thread: not shared. */
#ifndef PBR_NET_HTTP1_H
#define PBR_NET_HTTP1_H

#include "base/env.h"

enum {
    PBR_HTTP1_HEAD_MAX =
        65536, /* request line and header lines: room to see that a path is too long (API-003) */
    PBR_HTTP1_HEADERS_MAX = 100,
};

enum pbr_http1_event {
    PBR_HTTP1_MORE = 1, /* the input is used up */
    PBR_HTTP1_HEAD,     /* method, target and headers can be read, until the step after END */
    PBR_HTTP1_BODY,     /* a piece of the body */
    PBR_HTTP1_END,      /* the request is complete */
};

struct pbr_http1_header {
    const char *name;  /* lower case */
    const char *value; /* without white space around it */
};

struct pbr_http1 {
    const struct pbr_env *env;
    struct pbr_buf head; /* raw head; cut into NUL-terminated texts once complete */
    const char *method, *target;
    struct pbr_http1_header header[PBR_HTTP1_HEADERS_MAX];
    size_t header_nr;
    bool keep_alive;
    bool expect_continue; /* "expect: 100-continue": answer it before waiting for the body */
    int state;
    uint64_t left;   /* body or chunk bytes still to come */
    size_t line_len; /* of the chunk header or trailer line so far */
};

void pbr_http1_init(struct pbr_http1 *p, const struct pbr_env *env);
void pbr_http1_release(struct pbr_http1 *p);
/* The next event of *in, which is moved on by what was used. ret_body: borrowed from *in. Failures
 * are final: FORMAT for something that is no HTTP, LIMIT for an oversized head (diag.status 431).
 */
PBR_MUST_USE int pbr_http1_step(struct pbr_http1 *p, struct pbr_span *in, struct pbr_span *ret_body,
                                struct pbr_diag *diag);
/* The first header of that (lower-case) name, or NULL. */
const char *pbr_http1_get(const struct pbr_http1 *p, const char *name);
/* True between two requests: nothing of the next one has come yet. */
bool pbr_http1_idle(const struct pbr_http1 *p);

/* The reason phrase of a status, "" if unknown. */
const char *pbr_http1_reason(int status);
/* "Sun, 06 Nov 1994 08:49:37 GMT" of an epoch second; out has 30 bytes. */
void pbr_http_date(int64_t time_s, char out[30]);

struct pbr_http1_answer {
    int status;
    const char *content_type; /* NULL: none */
    const char *extra;        /* further header lines, each with its CRLF; NULL: none */
    bool has_length;
    uint64_t length; /* content-length */
    bool close;      /* connection: close */
    int64_t date_s;
};
/* Appends status line, headers and the empty line. */
PBR_MUST_USE int pbr_http1_emit(const struct pbr_http1_answer *a, struct pbr_buf *out);

#endif
