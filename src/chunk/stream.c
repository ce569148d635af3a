/* SPDX-License-Identifier: MIT */
/* Chunk stream; see stream.h. The buffer begins with the open chunk:
 *
 *   buf [ scanned by the machine | rest of the message | behind the message end (payload) | room ]
 *       0                                                                             fill   cap
 */
#include "chunk/stream.h"

#include <string.h>

#include "base/limits.h"

enum {
    STEP_MIN = 64 << 10,  /* bytes offered to a reader at a time: few system calls ... */
    STEP_MAX = 256 << 10, /* ... but little to copy behind a cut */
    SCAN_MIN = 4 << 10,   /* small writes are gathered: each scan begins with 64 bytes of window */
    FIXED_SIZE = 4194304, /* CHK-055 */
};

struct pbr_chunk_stream {
    const struct pbr_env *env;
    struct pbr_chunk_out out;
    struct pbr_boundary boundary;
    bool payload;
    bool finished;
    int failed;   /* the code of the failure that ended the stream, or PBR_OK */
    uint8_t *buf; /* NULL: none held */
    size_t fill;
    size_t cap;
    size_t step;
    uint64_t raw_pos;     /* raw bytes written so far */
    uint64_t message_end; /* raw offset where the open message ends at the latest [CHK-110] */
    bool has_suggested;
    uint64_t suggested; /* the last one */
};

/* ---- life ---- */

static int init_cut(const struct pbr_chunk_stream_opts *opts, struct pbr_cut *cut, struct pbr_diag *diag)
{
    if (opts->payload && opts->fixed)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "a payload stream has no fixed chunks");
    if (opts->fixed)
        return pbr_cut_init_fixed(cut, FIXED_SIZE, diag);
    return pbr_cut_init(cut, opts->avg ? opts->avg : PBR_CHUNK_AVG_DEFAULT, opts->level, diag);
}

static size_t step_size(size_t max)
{
    const size_t step = max / 64;
    return step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
}

int pbr_chunk_stream_new(const struct pbr_env *env, const struct pbr_chunk_stream_opts *opts,
                         const struct pbr_chunk_out *out, struct pbr_chunk_stream **ret, struct pbr_diag *diag)
{
    struct pbr_cut cut;
    const int rc = init_cut(opts, &cut, diag);
    if (rc < 0)
        return rc;
    struct pbr_chunk_stream *cs = pbr_alloc(env, 1, sizeof(*cs));
    if (!cs)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a chunk stream");

    cs->env = env;
    cs->out = *out;
    cs->payload = opts->payload;
    cs->step = step_size(cut.max);
    cs->message_end = PBR_CHUNK_MESSAGE;
    /* Plain: everything is scanned at once, so nothing lies behind the largest chunk. Payload: behind what was
     * scanned (less than max) wait one message and the room for the byte that ends it. */
    cs->cap = opts->payload ? cut.max + PBR_CHUNK_MESSAGE + cs->step : cut.max;
    pbr_boundary_init(&cs->boundary, env, &cut);
    *ret = cs;
    return PBR_OK;
}

void pbr_chunk_stream_free(struct pbr_chunk_stream *cs)
{
    if (!cs)
        return;
    if (cs->buf)
        cs->out.release(cs->out.ctx, cs->buf);
    pbr_boundary_release(&cs->boundary);
    pbr_free(cs->env, cs);
}

size_t pbr_chunk_stream_buffer_size(const struct pbr_chunk_stream *cs)
{
    return cs->cap;
}

uint64_t pbr_chunk_stream_pos(const struct pbr_chunk_stream *cs)
{
    return cs->boundary.consumed + cs->fill;
}

/* May the stream be used? */
static int check(const struct pbr_chunk_stream *cs, struct pbr_diag *diag)
{
    if (cs->failed)
        return pbr_fail_at(diag, (enum pbr_err)cs->failed, NULL, "the chunk stream failed before");
    if (cs->finished)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "the chunk stream is finished");
    return PBR_OK;
}

/* Makes a failure final. */
static int settle(struct pbr_chunk_stream *cs, int rc)
{
    if (rc < 0)
        cs->failed = rc;
    return rc;
}

/* ---- chunks out ---- */

/* Gives away the first len bytes as a chunk; what lies behind them moves to the next buffer. */
static int hand_over(struct pbr_chunk_stream *cs, size_t len, uint64_t start, struct pbr_diag *diag)
{
    const size_t tail = cs->fill - len;
    uint8_t *next = NULL;
    if (tail > 0) {
        const int rc = cs->out.acquire(cs->out.ctx, cs->cap, &next, diag);
        if (rc < 0)
            return rc;
        memcpy(next, cs->buf + len, tail);
    }
    uint8_t *chunk = cs->buf;
    cs->buf = next;
    cs->fill = tail;
    return cs->out.raw(cs->out.ctx, chunk, len, start, diag);
}

/* Lets the machine see the first `visible` bytes of the buffer and does what it says. */
static int run(struct pbr_chunk_stream *cs, size_t visible, struct pbr_diag *diag)
{
    for (;;) {
        struct pbr_boundary_step step;
        const int event = pbr_boundary_step(&cs->boundary, pbr_span(cs->buf, visible), &step, diag);
        if (event <= PBR_BOUNDARY_MORE)
            return event;

        visible -= step.len;
        int rc = step.len > 0 ? hand_over(cs, step.len, step.start, diag) : PBR_OK; /* [CHK-080] */
        if (rc == PBR_OK && event == PBR_BOUNDARY_INJECT)
            rc = cs->out.inject(cs->out.ctx, step.forced.boundary, step.forced.ref, diag);
        if (rc < 0)
            return rc;
    }
}

/* Scans what the bytes written so far allow to scan. */
static int advance(struct pbr_chunk_stream *cs, struct pbr_diag *diag)
{
    if (!cs->payload) {
        if (cs->fill < cs->cap && cs->fill - cs->boundary.scanned < SCAN_MIN)
            return PBR_OK;
        return run(cs, cs->fill, diag);
    }
    while (cs->raw_pos > cs->message_end) { /* the first byte behind it is there [CHK-111] */
        const int rc = run(cs, cs->fill - (size_t)(cs->raw_pos - cs->message_end), diag);
        if (rc < 0)
            return rc;
        cs->message_end += PBR_CHUNK_MESSAGE;
    }
    return PBR_OK;
}

/* ---- bytes in ---- */

static int stream_reserve(void *ctx, size_t want, uint8_t **ret, size_t *ret_len, struct pbr_diag *diag)
{
    struct pbr_chunk_stream *cs = ctx;
    int rc = check(cs, diag);
    if (rc < 0)
        return rc;
    if (!cs->buf) {
        uint8_t *buf;
        rc = settle(cs, cs->out.acquire(cs->out.ctx, cs->cap, &buf, diag));
        if (rc < 0)
            return rc;
        cs->buf = buf;
    }
    const size_t uncut = cs->boundary.cut.first; /* no hash cut before: no tail to copy */
    size_t room = cs->fill + cs->step < uncut ? uncut - cs->fill : cs->step;
    if (room > cs->cap - cs->fill)
        room = cs->cap - cs->fill;
    *ret = cs->buf + cs->fill;
    *ret_len = want < room ? want : room;
    return PBR_OK;
}

static int stream_commit(void *ctx, size_t n, struct pbr_diag *diag)
{
    struct pbr_chunk_stream *cs = ctx;
    const int rc = check(cs, diag);
    if (rc < 0 || n == 0)
        return rc;
    if (!cs->buf || n > cs->cap - cs->fill)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "%zu bytes committed without room", n);
    cs->fill += n;
    cs->raw_pos += n;
    return settle(cs, advance(cs, diag));
}

static int stream_write(void *ctx, struct pbr_span in, struct pbr_diag *diag)
{
    while (in.len > 0) {
        uint8_t *room;
        size_t n;
        int rc = stream_reserve(ctx, in.len, &room, &n, diag);
        if (rc < 0)
            return rc;
        memcpy(room, in.ptr, n);
        rc = stream_commit(ctx, n, diag);
        if (rc < 0)
            return rc;
        in = pbr_span_sub(in, n, in.len);
    }
    return PBR_OK;
}

struct pbr_sink pbr_chunk_stream_sink(struct pbr_chunk_stream *cs)
{
    return (struct pbr_sink){ .ctx = cs, .write = stream_write, .reserve = stream_reserve, .commit = stream_commit };
}

/* ---- boundaries ---- */

static int check_payload(const struct pbr_chunk_stream *cs, struct pbr_diag *diag)
{
    if (!cs->payload)
        return pbr_fail_at(diag, PBR_E_STATE, NULL, "only a payload stream has suggested and forced boundaries");
    return check(cs, diag);
}

int pbr_chunk_stream_suggest(struct pbr_chunk_stream *cs, uint64_t off, struct pbr_diag *diag)
{
    int rc = check_payload(cs, diag);
    if (rc < 0)
        return rc;
    if (off != pbr_chunk_stream_pos(cs))
        return pbr_fail(diag, PBR_E_ARG, "CHK-065", off, "suggested boundary, but the stream is at %" PRIu64,
                        pbr_chunk_stream_pos(cs));
    if (cs->has_suggested && off == cs->suggested)
        return PBR_OK; /* a run of reused files names one position again and again [CHK-067, CHK-112] */

    rc = settle(cs, pbr_boundary_suggest(&cs->boundary, off));
    if (rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "no memory for a suggested boundary");
    cs->has_suggested = true;
    cs->suggested = off;
    return PBR_OK;
}

/* Sum of the sizes; refuses what cannot stand in an index. */
static int sum_sizes(const struct pbr_inject *inj, uint64_t pos, uint64_t *ret, struct pbr_diag *diag)
{
    uint64_t end = pos;
    for (size_t i = 0; i < inj->chunk_nr; i++) {
        const uint64_t size = inj->chunks[i].size;
        if (size == 0 || size > PBR_CHUNK_MAX)
            return pbr_fail(diag, PBR_E_ARG, "CHK-009", end, "injected chunk of %" PRIu64 " bytes", size);
        if (!pbr_add(end, size, &end))
            return pbr_fail(diag, PBR_E_ARG, "CHK-087", pos, "injected chunks exceed 2^64 bytes");
    }
    *ret = end - pos;
    return PBR_OK;
}

int pbr_chunk_stream_inject(struct pbr_chunk_stream *cs, uint64_t boundary, const struct pbr_inject *inj,
                            struct pbr_diag *diag)
{
    int rc = check_payload(cs, diag);
    if (rc < 0 || inj->chunk_nr == 0)
        return rc;
    if (boundary != pbr_chunk_stream_pos(cs))
        return pbr_fail(diag, PBR_E_ARG, "CHK-085", boundary, "invalid injection boundary, the stream is at %" PRIu64,
                        pbr_chunk_stream_pos(cs));
    struct pbr_forced forced = { .boundary = boundary, .ref = inj };
    rc = sum_sizes(inj, boundary, &forced.size, diag);
    if (rc < 0)
        return rc;

    rc = settle(cs, pbr_boundary_force(&cs->boundary, &forced));
    if (rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "no memory for an injection");
    return settle(cs, run(cs, cs->fill, diag)); /* it ends the message, which is scanned now [CHK-111, CHK-113] */
}

int pbr_chunk_stream_finish(struct pbr_chunk_stream *cs, struct pbr_diag *diag)
{
    int rc = check(cs, diag);
    if (rc < 0)
        return rc;
    rc = run(cs, cs->fill, diag);
    if (rc < 0)
        return settle(cs, rc);

    struct pbr_boundary_step step;
    rc = pbr_boundary_finish(&cs->boundary, pbr_span(cs->buf, cs->fill), &step, diag);
    if (rc == PBR_BOUNDARY_CUT)
        rc = hand_over(cs, step.len, step.start, diag);
    cs->finished = rc == PBR_OK;
    return settle(cs, rc);
}
