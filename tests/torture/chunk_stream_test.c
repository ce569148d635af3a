/* SPDX-License-Identifier: MIT */
/* covers: CHK-063 */
/* Every acquire, raw, inject and allocation fails once: nothing leaks, the code comes through, the stream stays
 * refused, and what was emitted before is a prefix of the good run. */
#include "chunk_data.h"
#include "chunk_out.h"

enum { FILES = 60 };

static int produce(struct pbr_chunk_stream *cs, struct pbr_diag *diag)
{
    static uint8_t data[20000];
    struct pbr_sink sink = pbr_chunk_stream_sink(cs);
    const struct pbr_inject_chunk chunks[2] = { { .size = 70000 }, { .size = 5 } };
    const struct pbr_inject inj = { chunks, 2 };
    uint64_t seed = 77;

    for (unsigned i = 0; i < FILES; i++) {
        const size_t len = (size_t)(test_next_random(&seed) % sizeof(data));
        fill_splitmix64(data, len, i);
        int rc = pbr_chunk_stream_suggest(cs, pbr_chunk_stream_pos(cs), diag);
        if (rc == PBR_OK)
            rc = pbr_sink_write(&sink, pbr_span(data, len), diag);
        if (rc == PBR_OK && i % 10 == 9)
            rc = pbr_chunk_stream_inject(cs, pbr_chunk_stream_pos(cs), &inj, diag);
        if (rc < 0)
            return rc;
    }
    return pbr_chunk_stream_finish(cs, diag);
}

/* One run with a fault; true if it was hit. `good` is the log of the run without. */
static bool run_with(long call_nth, long alloc_nth, int want_code, struct chunk_log *good)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct chunk_room room;
    const struct pbr_chunk_out out = room_out(&room, &env);
    const struct pbr_chunk_stream_opts opts = { .avg = 4096, .payload = true };
    struct pbr_chunk_stream *cs = NULL;
    struct pbr_diag diag = { 0 };
    room.fault.nth = call_nth;
    w.alloc_fault.nth = alloc_nth;

    int rc = pbr_chunk_stream_new(&env, &opts, &out, &cs, &diag);
    if (rc == PBR_OK)
        rc = produce(cs, &diag);
    const bool hit = room.fault.hit || w.alloc_fault.hit;
    check_int(rc, hit ? want_code : PBR_OK);
    check_int(diag.code, rc);
    if (hit && cs) {
        struct pbr_sink sink = pbr_chunk_stream_sink(cs);
        const size_t emitted = room.log.nr;
        check_int(pbr_sink_write(&sink, pbr_span("x", 1), NULL), want_code);
        check_int(pbr_chunk_stream_suggest(cs, pbr_chunk_stream_pos(cs), NULL), want_code);
        check_int(pbr_chunk_stream_finish(cs, NULL), want_code);
        check_int(room.log.nr, emitted);
    }
    pbr_chunk_stream_free(cs);
    check_int(room.held, 0);
    check_int(w.live_allocs, 0);

    if (!hit && good->nr == 0) {
        *good = room.log;
        room.log = (struct chunk_log){ 0 };
    }
    check(room.log.nr <= good->nr);
    for (size_t i = 0; i < room.log.nr; i++) {
        check_u64(room.log.events[i].start, good->events[i].start);
        check_u64(room.log.events[i].len, good->events[i].len);
    }
    room_clear(&room);
    return hit;
}

static void test_each_failing_call_of_the_client_ends_the_stream_cleanly(void **state)
{
    (void)state;
    struct chunk_log good = { 0 };
    check(!run_with(-1, -1, PBR_OK, &good));
    check(good.nr > 60);
    long nth = 0;
    while (run_with(nth, -1, PBR_E_IO, &good))
        nth++;
    check(nth > 120); /* acquire, raw and inject were all reached */
    free(good.events);
}

static void test_each_failing_allocation_ends_the_stream_cleanly(void **state)
{
    (void)state;
    struct chunk_log good = { 0 };
    check(!run_with(-1, -1, PBR_OK, &good));
    long nth = 0;
    while (run_with(-1, nth, PBR_E_NOMEM, &good))
        nth++;
    check(nth > 60);
    free(good.events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_failing_call_of_the_client_ends_the_stream_cleanly),
        cmocka_unit_test(test_each_failing_allocation_ends_the_stream_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
