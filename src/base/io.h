/* SPDX-License-Identifier: MIT */
/* Interfaces to bytes elsewhere: source (random access), stream (sequential), sink (output), pipe (a connection).
 * Each is a small vtable with a context; memory versions are here, real ones in `sys`, chunked ones in `client`.
 *
 * Thread: an object has one owner thread at a time. */
#ifndef PBR_BASE_IO_H
#define PBR_BASE_IO_H

#include "base/env.h"

/* ---- source: random access, known size ---- */

struct pbr_source {
    void *ctx;
    uint64_t size;
    /* Reads exactly `len` bytes at `off`; past the end is PBR_E_TRUNCATED. */
    int (*read_at)(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag);
    void (*close)(void *ctx); /* may be NULL */
};

PBR_MUST_USE int pbr_source_read_at(const struct pbr_source *src, uint64_t off, uint8_t *out, size_t len,
                                    struct pbr_diag *diag);
void pbr_source_close(struct pbr_source *src);
/* Borrowed memory as a source; nothing to close. `in` must outlive it and stays where it is. */
struct pbr_source pbr_source_mem(const struct pbr_span *in);

/* ---- stream: sequential, borrowed views instead of copies ---- */

struct pbr_stream {
    void *ctx;
    /* A view of the bytes at the current position: at least one, or none at the end of the stream.
     * Valid until the next call on the stream. May block. */
    int (*peek)(void *ctx, struct pbr_span *ret, struct pbr_diag *diag);
    /* Moves on by n bytes of the last view (n <= its length). */
    void (*consume)(void *ctx, size_t n);
    /* Moves on by n bytes without looking at them; PBR_E_TRUNCATED if the stream ends before. NULL: peek+consume. */
    int (*skip)(void *ctx, uint64_t n, struct pbr_diag *diag);
    void (*close)(void *ctx); /* may be NULL */
    /* The next n bytes will be wanted, if they exist: a stream that fetches may do so ahead. NULL: no use for it. */
    void (*expect)(void *ctx, uint64_t n);
};

PBR_MUST_USE int pbr_stream_peek(struct pbr_stream *s, struct pbr_span *ret, struct pbr_diag *diag);
void pbr_stream_consume(struct pbr_stream *s, size_t n);
PBR_MUST_USE int pbr_stream_skip(struct pbr_stream *s, uint64_t n, struct pbr_diag *diag);
void pbr_stream_expect(struct pbr_stream *s, uint64_t n);
/* Copies exactly `len` bytes out; PBR_E_TRUNCATED if the stream ends before. */
PBR_MUST_USE int pbr_stream_read(struct pbr_stream *s, uint8_t *out, size_t len, struct pbr_diag *diag);
void pbr_stream_close(struct pbr_stream *s);

struct pbr_stream_mem {
    struct pbr_span in;
    size_t pos;
    size_t step; /* largest view; 0 = everything. 1 tests byte-wise arrival */
};
/* Borrowed memory as a stream; `m` must outlive it. */
struct pbr_stream pbr_stream_mem(struct pbr_stream_mem *m);

/* ---- sink: output ---- */

struct pbr_sink {
    void *ctx;
    int (*write)(void *ctx, struct pbr_span in, struct pbr_diag *diag);
    /* Optional pair that saves a copy: reserve gives room for 1..want bytes inside the sink (valid until the
     * next call), commit takes the first n of them. Both NULL: use write. */
    int (*reserve)(void *ctx, size_t want, uint8_t **ret, size_t *ret_len, struct pbr_diag *diag);
    int (*commit)(void *ctx, size_t n, struct pbr_diag *diag);
};

PBR_MUST_USE int pbr_sink_write(struct pbr_sink *s, struct pbr_span in, struct pbr_diag *diag);
/* Appends to a buf that outlives the sink. */
struct pbr_sink pbr_sink_buf(struct pbr_buf *b);

/* ---- pipe: a byte connection, never blocking ---- */

enum pbr_pipe_want { PBR_PIPE_READ = 1, PBR_PIPE_WRITE = 2 };

struct pbr_pipe {
    void *ctx;
    int fd; /* for poll */
    /* PBR_OK with *ret > 0; PBR_OK with *ret == 0 and *ret_want != 0: would block, poll for these directions;
     * PBR_OK with both 0: the peer closed (read only). */
    int (*read)(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want, struct pbr_diag *diag);
    int (*write)(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want, struct pbr_diag *diag);
    void (*close)(void *ctx);
};

/* ---- faults, for tests: the nth call fails, and from there on if `sticky` ---- */

struct pbr_fault {
    long nth;     /* counts down; the call that finds 0 fails; negative: never */
    bool sticky;
    bool hit;
};

/* True if this call must fail. */
bool pbr_fault_step(struct pbr_fault *f);

struct pbr_source_fault {
    struct pbr_source inner;
    struct pbr_fault *fault;
};
struct pbr_source pbr_source_faulty(struct pbr_source_fault *f);

struct pbr_sink_fault {
    struct pbr_sink inner;
    struct pbr_fault *fault;
};
struct pbr_sink pbr_sink_faulty(struct pbr_sink_fault *f);

#endif
