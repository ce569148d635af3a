/* SPDX-License-Identifier: MIT */
/* Boundaries of a payload stream: hash cuts, suggested boundaries [CHK-065 .. CHK-075] and forced ones, where
 * chunks of an earlier snapshot are injected [CHK-076 .. CHK-083]. A state machine over a buffer that its owner
 * keeps: the owner appends a message, calls step until it says MORE, and does what each event says. Without
 * suggestions and injections it is the plain chunker [CHK-060, CHK-061].
 *
 * The result depends on how the stream is divided into messages and on what was queued before each [CHK-064];
 * stream.h defines the division that is used in production.
 *
 * Thread: not shared. */
#ifndef PBR_CHUNK_BOUNDARY_H
#define PBR_CHUNK_BOUNDARY_H

#include "base/env.h"
#include "chunk/cut.h"

/* An injection: `size` bytes that are not in the buffer stand at stream offset `boundary`. */
struct pbr_forced {
    uint64_t boundary;
    uint64_t size;
    const void *ref; /* the owner's, handed back with the event */
};

struct pbr_fifo { /* queue of equal elements in one growing array */
    uint8_t *ptr;
    size_t head, len, cap; /* in elements; [head, len) are queued */
};

struct pbr_boundary {
    const struct pbr_env *env;
    struct pbr_cut cut;
    size_t scanned;    /* bytes of the open chunk without a cut; they are the first ones of the buffer */
    uint64_t consumed; /* stream offset of the first byte of the buffer, injected bytes included */
    struct pbr_fifo suggested; /* uint64_t */
    bool has_suggestion;
    uint64_t suggestion; /* under consideration: `cur` of 7.2 */
    struct pbr_fifo forced; /* struct pbr_forced */
    bool has_pending;
    struct pbr_forced pending;
};

enum pbr_boundary_event {
    PBR_BOUNDARY_MORE,   /* nothing to do: append the next message */
    PBR_BOUNDARY_CUT,    /* the first len bytes are a chunk (len >= 1): take them out of the buffer */
    PBR_BOUNDARY_INJECT, /* the same with len >= 0 (0: no chunk, CHK-080); the injection stands behind them */
};

struct pbr_boundary_step {
    size_t len;
    uint64_t start;           /* stream offset of the first of these bytes */
    struct pbr_forced forced; /* INJECT only */
};

/* Takes a copy of `cut`. */
void pbr_boundary_init(struct pbr_boundary *b, const struct pbr_env *env, const struct pbr_cut *cut);
void pbr_boundary_release(struct pbr_boundary *b);

/* Queue at the end; no check against the position is made here. PBR_E_NOMEM. */
PBR_MUST_USE int pbr_boundary_suggest(struct pbr_boundary *b, uint64_t off);
PBR_MUST_USE int pbr_boundary_force(struct pbr_boundary *b, const struct pbr_forced *forced);

/* One event for the bytes buffered from `consumed` on, all messages so far; returns an enum pbr_boundary_event,
 * and sets *ret unless it is MORE. An injection that stands at the end of a buffer without unscanned bytes
 * comes at once (the original waits for the next message). PBR_E_ARG with CHK-083 if an injection lies before
 * `consumed`. */
PBR_MUST_USE int pbr_boundary_step(struct pbr_boundary *b, struct pbr_span buffer, struct pbr_boundary_step *ret,
                                   struct pbr_diag *diag);

/* End of the stream. CUT: the rest of the buffer is the last chunk [CHK-062]; MORE: the buffer is empty.
 * PBR_E_STATE with CHK-086 if an injection was not reached. */
PBR_MUST_USE int pbr_boundary_finish(struct pbr_boundary *b, struct pbr_span buffer, struct pbr_boundary_step *ret,
                                     struct pbr_diag *diag);

#endif
