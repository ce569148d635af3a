/* SPDX-License-Identifier: MIT */
/* Chunk stream: bytes in through a sink, chunks out in buffers of the client's pool. The producer's read()
 * lands in the chunk's own buffer (reserve/commit); at a cut only the bytes behind it are copied, into the next
 * buffer.
 *
 *   plain    metadata stream, legacy archive, catalog: exactly the plain chunker            [CHK-060 .. CHK-063]
 *   payload  suggested boundaries and injections, canonical messages (below)                [CHK-064 .. CHK-088]
 *   fixed    images: chunks of 4 MiB                                                         [CHK-055]
 *
 * In all three the chunks depend only on the bytes and on the suggestions and injections, never on the size of
 * writes, on timing, on buffers or on the processor.
 *
 * Canonical messages. The boundaries of a payload stream depend on the messages in which its data arrive
 * [CHK-064]; the state machine of boundary.h leaves them open. Here they are defined:
 *
 *   CHK-110  Raw offsets count the payload bytes written, without injected ones. A message ends at every raw
 *            offset that is a multiple of 262144, at the raw offset of every injection, and at the end of the
 *            stream; nowhere else.
 *   CHK-111  A message is scanned when the first byte behind it arrives, or at the injection or end of stream
 *            that ends it. So every suggestion up to and including its end is queued before.
 *   CHK-112  A suggestion is queued at the position it names; a repetition of the last one is dropped, which is
 *            without effect. So none behind the end of a message is queued when the message is scanned.
 *   CHK-113  An injection is queued at the position it names, before the message that it ends is scanned. If no
 *            unscanned byte is buffered it takes effect at once, without a scan.
 *
 * Therefore no suggestion is lost for being late (CHK-078) or to a look-ahead past an injection (CHK-082), and
 * what comes out is what the original's machine gives too for a suitable division into messages.
 *
 * Thread: not shared; the functions of pbr_chunk_out run on the thread that writes. */
#ifndef PBR_CHUNK_STREAM_H
#define PBR_CHUNK_STREAM_H

#include "base/io.h"
#include "chunk/boundary.h"
#include "prim/prim.h"

enum { PBR_CHUNK_MESSAGE = 262144 }; /* CHK-110 */

struct pbr_inject_chunk {
    uint8_t digest[PBR_DIGEST_LEN];
    uint64_t size;
};

/* Chunks of an earlier snapshot that are to stand in the stream as they are. */
struct pbr_inject {
    const struct pbr_inject_chunk *chunks;
    size_t chunk_nr;
};

/* Where chunks go. Calls come in stream order: `start` and `boundary` never overlap, and leave no gap (CHK-085). Each
 * returns PBR_OK or an error, which the stream passes on. */
struct pbr_chunk_out {
    void *ctx;
    /* A buffer of at least cap bytes, the same cap in all calls. May block until one is free; the stream holds
     * at most two at a time. */
    int (*acquire)(void *ctx, size_t cap, uint8_t **ret, struct pbr_diag *diag);
    /* Takes a buffer back that holds no chunk. */
    void (*release)(void *ctx, uint8_t *buf);
    /* One chunk, buf[0 .. len), len >= 1. Takes buf over, also if it fails. `start`: its offset in the stream,
     * injected bytes included. */
    int (*raw)(void *ctx, uint8_t *buf, size_t len, uint64_t start, struct pbr_diag *diag);
    /* The injected chunks follow at stream offset `boundary`. `inj` is valid during the call. May be NULL
     * unless payload. */
    int (*inject)(void *ctx, uint64_t boundary, const struct pbr_inject *inj, struct pbr_diag *diag);
};

struct pbr_chunk_stream_opts {
    uint64_t avg;  /* 0: 4 MiB (CHK-002) */
    bool payload;  /* suggestions and injections */
    bool fixed;    /* chunks of 4 MiB; avg is ignored (CHK-058) */
    enum pbr_find_level level;
};

struct pbr_chunk_stream;

/* `out` is copied; its ctx must outlive the stream. PBR_E_ARG: avg as for pbr_cut_init, or payload and fixed
 * together. */
PBR_MUST_USE int pbr_chunk_stream_new(const struct pbr_env *env, const struct pbr_chunk_stream_opts *opts,
                                      const struct pbr_chunk_out *out, struct pbr_chunk_stream **ret,
                                      struct pbr_diag *diag);
/* Drops bytes that were not emitted and gives the buffer back. NULL is fine. */
void pbr_chunk_stream_free(struct pbr_chunk_stream *cs);

/* Bytes that acquire is asked for: the largest chunk and what may lie behind it. */
size_t pbr_chunk_stream_buffer_size(const struct pbr_chunk_stream *cs);

/* The producer's end: write, reserve and commit; usable until free. A failure of `out` is passed on and is
 * final: every later call on the stream returns the same code and calls nothing. PBR_E_STATE after finish. */
struct pbr_sink pbr_chunk_stream_sink(struct pbr_chunk_stream *cs);

/* Stream offset of the next byte written, injected bytes included. */
uint64_t pbr_chunk_stream_pos(const struct pbr_chunk_stream *cs);

/* A file's payload begins at stream offset `off`, which is the current position (CHK-065; else PBR_E_ARG with
 * that rule). PBR_E_STATE if the stream is not a payload stream. */
PBR_MUST_USE int pbr_chunk_stream_suggest(struct pbr_chunk_stream *cs, uint64_t off, struct pbr_diag *diag);

/* Ends the open chunk here and lets the chunks of `inj` follow; `boundary` is the current position (CHK-083,
 * CHK-085; else PBR_E_ARG). Bytes before it reach `raw` during the call, `inject` is called before it returns,
 * and the position has moved on by the sum of the sizes. An empty list does nothing (CDM-090). PBR_E_ARG if a
 * size is 0 or the sum too large. */
PBR_MUST_USE int pbr_chunk_stream_inject(struct pbr_chunk_stream *cs, uint64_t boundary, const struct pbr_inject *inj,
                                         struct pbr_diag *diag);

/* End of the stream: emits the last chunk, if there are bytes (CHK-044, CHK-062). Afterwards only pos and free. */
PBR_MUST_USE int pbr_chunk_stream_finish(struct pbr_chunk_stream *cs, struct pbr_diag *diag);

#endif
