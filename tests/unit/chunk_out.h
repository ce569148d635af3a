/* SPDX-License-Identifier: MIT */
/* A client of the chunk stream for tests: buffers from the test env (so that leaks and overruns show), all
 * events and all raw bytes recorded, faults on demand. */
#ifndef PBR_TEST_CHUNK_OUT_H
#define PBR_TEST_CHUNK_OUT_H

#include "chunk/stream.h"
#include "test.h"

struct chunk_event {
    bool injected;
    uint64_t start, len;
};

struct chunk_log {
    struct chunk_event *events;
    size_t nr, cap;
};

struct chunk_room {
    const struct pbr_env *env;
    struct chunk_log log;
    uint8_t *raw; /* raw bytes in order */
    size_t raw_len, raw_cap;
    long held, held_max;       /* buffers that the stream owns */
    struct pbr_fault fault;    /* of acquire, raw and inject, counted together; nth < 0: never */
    size_t asked;              /* cap of the last acquire */
};

static inline void chunk_log_add(struct chunk_log *log, bool injected, uint64_t start, uint64_t len)
{
    if (log->nr == log->cap) {
        log->cap = log->cap ? 2 * log->cap : 64;
        log->events = realloc(log->events, log->cap * sizeof(*log->events));
        assert_non_null(log->events);
    }
    log->events[log->nr++] = (struct chunk_event){ injected, start, len };
}

static inline int room_fault(struct chunk_room *r, struct pbr_diag *diag)
{
    return pbr_fault_step(&r->fault) ? pbr_fail_at(diag, PBR_E_IO, "CHK-063", "injected failure") : PBR_OK;
}

static inline int room_acquire(void *ctx, size_t cap, uint8_t **ret, struct pbr_diag *diag)
{
    struct chunk_room *r = ctx;
    const int rc = room_fault(r, diag);
    if (rc < 0)
        return rc;
    uint8_t *buf = pbr_realloc(r->env, NULL, cap);
    if (!buf)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no buffer");
    r->asked = cap;
    if (++r->held > r->held_max)
        r->held_max = r->held;
    *ret = buf;
    return PBR_OK;
}

static inline void room_release(void *ctx, uint8_t *buf)
{
    struct chunk_room *r = ctx;
    r->held--;
    pbr_free(r->env, buf);
}

static inline int room_raw(void *ctx, uint8_t *buf, size_t len, uint64_t start, struct pbr_diag *diag)
{
    struct chunk_room *r = ctx;
    const int rc = room_fault(r, diag);
    if (rc == PBR_OK) {
        if (r->raw_cap - r->raw_len < len) {
            r->raw_cap = 2 * (r->raw_len + len);
            r->raw = realloc(r->raw, r->raw_cap);
            assert_non_null(r->raw);
        }
        memcpy(r->raw + r->raw_len, buf, len);
        r->raw_len += len;
        chunk_log_add(&r->log, false, start, len);
    }
    room_release(r, buf);
    return rc;
}

static inline int room_inject(void *ctx, uint64_t boundary, const struct pbr_inject *inj, struct pbr_diag *diag)
{
    struct chunk_room *r = ctx;
    const int rc = room_fault(r, diag);
    if (rc < 0)
        return rc;
    uint64_t sum = 0;
    for (size_t i = 0; i < inj->chunk_nr; i++)
        sum += inj->chunks[i].size;
    chunk_log_add(&r->log, true, boundary, sum);
    return PBR_OK;
}

static inline struct pbr_chunk_out room_out(struct chunk_room *r, const struct pbr_env *env)
{
    *r = (struct chunk_room){ .env = env, .fault = { .nth = -1 } };
    return (struct pbr_chunk_out){
        .ctx = r, .acquire = room_acquire, .release = room_release, .raw = room_raw, .inject = room_inject
    };
}

static inline void room_clear(struct chunk_room *r)
{
    free(r->log.events);
    free(r->raw);
    r->log = (struct chunk_log){ 0 };
    r->raw = NULL;
    r->raw_len = r->raw_cap = 0;
}

#endif
