/* SPDX-License-Identifier: MIT */
/* Server side of HTTP/2 on an upgraded connection (prior knowledge, no upgrade stream): nghttp2
 * over a byte pipe. Bodies are handed on as they arrive and credited at once; answers come from
 * memory or a source, in large frames, as far as the peer's windows allow. Knows nothing of
 * backups.
 *
 * Settings as the original announces them [BKP-052]: INITIAL_WINDOW_SIZE 32 MiB, MAX_FRAME_SIZE 4
 * MiB, MAX_CONCURRENT_STREAMS 200, MAX_HEADER_LIST_SIZE 16384, connection window 32 MiB. A stream
 * beyond the 200 is refused (REFUSED_STREAM), one with longer headers gets a 431 [BKP-057], one
 * without method or path or with control characters in them a 400 (RFC 9113, 8.2.1). An answer
 * given while the request's body is still coming is followed by RST_STREAM NO_ERROR [BKP-113].
 *
 * Thread: not shared; callbacks run inside step and free. */
#ifndef PBR_NET_H2_SERVER_H
#define PBR_NET_H2_SERVER_H

#include "base/io.h"

struct pbr_h2_server;
struct pbr_h2_stream;

struct pbr_h2_server_ops {
    /* The request's head is complete. Answering is allowed from here on. A failure ends the
     * connection, here and below. */
    int (*begin)(void *ctx, struct pbr_h2_stream *st);
    /* A piece of the body. Not called any more once the stream was answered. */
    int (*data)(void *ctx, struct pbr_h2_stream *st, struct pbr_span piece);
    /* The request is complete. Not called if the stream was answered before. */
    int (*end)(void *ctx, struct pbr_h2_stream *st);
    /* The stream is gone (answered, reset, or the connection ends); st is invalid after it. Once
     * per begin. */
    void (*closed)(void *ctx, struct pbr_h2_stream *st);
    void *ctx;
};

struct pbr_h2_server_opts {
    uint32_t window; /* both windows; 0 = 32 MiB */
};

/* Takes the pipe over on success. */
PBR_MUST_USE int pbr_h2_server_new(const struct pbr_env *env, const struct pbr_pipe *pipe,
                                   const struct pbr_h2_server_ops *ops,
                                   const struct pbr_h2_server_opts *opts,
                                   struct pbr_h2_server **ret, struct pbr_diag *diag);
/* Calls `closed` for every stream left, closes the pipe. NULL is fine. */
void pbr_h2_server_free(struct pbr_h2_server *h);

/* Bytes that were read before the upgrade and belong to HTTP/2 [BKP-029]: given to the first step.
 */
PBR_MUST_USE int pbr_h2_server_preload(struct pbr_h2_server *h, struct pbr_span in);

enum pbr_h2_next {
    PBR_H2_READ = PBR_PIPE_READ, /* wait for these directions, then step again */
    PBR_H2_WRITE = PBR_PIPE_WRITE,
    PBR_H2_AGAIN = 4,  /* there may be more to read already: step again soon */
    PBR_H2_CLOSED = 8, /* the connection has ended in order */
};
/* Reads and writes what can be without waiting; *ret_next is a mask of enum pbr_h2_next. A failure
 * is final: IO, or PROTO if the peer broke HTTP/2. */
PBR_MUST_USE int pbr_h2_server_step(struct pbr_h2_server *h, unsigned *ret_next,
                                    struct pbr_diag *diag);

/* ---- streams ---- */

struct pbr_h2_answer {
    int status;
    const char *content_type; /* NULL: none */
    bool has_length;          /* send content-length */
    int64_t date_s;
    uint64_t length; /* body bytes */
    uint8_t *mem;    /* body in memory, from pbr_alloc: taken over on success; NULL: `source` */
    struct pbr_source source; /* body read when the peer takes it; closed with the stream. read_at
                                 NULL: no body */
};
/* Once per stream. The body is sent by step. */
PBR_MUST_USE int pbr_h2_answer(struct pbr_h2_stream *st, const struct pbr_h2_answer *a,
                               struct pbr_diag *diag);
/* RST_STREAM with that error code. */
void pbr_h2_reset(struct pbr_h2_stream *st, uint32_t code);
/* GOAWAY NO_ERROR; the connection ends as soon as it is sent. */
void pbr_h2_server_goaway(struct pbr_h2_server *h);

int32_t pbr_h2_id(const struct pbr_h2_stream *st);
/* Borrowed until `closed`. Header values are as sent; content_type NULL if there is none. */
const char *pbr_h2_method(const struct pbr_h2_stream *st);
const char *pbr_h2_path(const struct pbr_h2_stream *st);
const char *pbr_h2_content_type(const struct pbr_h2_stream *st);
void pbr_h2_set_user(struct pbr_h2_stream *st, void *user);
void *pbr_h2_user(const struct pbr_h2_stream *st);
uint64_t pbr_h2_sent(const struct pbr_h2_stream *st); /* body bytes of the answer sent so far */

#endif
