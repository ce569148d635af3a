/* SPDX-License-Identifier: MIT */
/* covers: SYS-063 CHK-002 CHK-044 CHK-055 CHK-058 CHK-060 CHK-062 CHK-063 CHK-065 CHK-067 CHK-068 CHK-080 */
/* covers: CHK-083 CHK-085 CHK-110 CHK-111 CHK-112 CHK-113 CDM-090 CDM-093 CDM-094 */
#include "chunk_data.h"
#include "chunk_out.h"
#include "prim/prim.h"

/* A stream with its client, and an env that must end without allocations. */
struct bench {
    struct test_world w;
    struct pbr_env env;
    struct chunk_room room;
    struct pbr_chunk_stream *cs;
    struct pbr_sink sink;
};

static void setup(struct bench *b, const struct pbr_chunk_stream_opts *opts)
{
    b->env = test_env(&b->w);
    const struct pbr_chunk_out out = room_out(&b->room, &b->env);
    check_int(pbr_chunk_stream_new(&b->env, opts, &out, &b->cs, NULL), PBR_OK);
    b->sink = pbr_chunk_stream_sink(b->cs);
}

static void teardown(struct bench *b)
{
    pbr_chunk_stream_free(b->cs);
    check_int(b->room.held, 0);
    check_int(b->w.live_allocs, 0);
    room_clear(&b->room);
}

static void put_random(struct bench *b, size_t len, uint64_t seed)
{
    uint8_t *p = malloc(len + 1);
    assert_non_null(p);
    fill_splitmix64(p, len, seed);
    check_int(pbr_sink_write(&b->sink, pbr_span(p, len), NULL), PBR_OK);
    free(p);
}

static void inject(struct bench *b, uint64_t size)
{
    const struct pbr_inject_chunk chunk = { .size = size };
    const struct pbr_inject inj = { &chunk, 1 };
    check_int(pbr_chunk_stream_inject(b->cs, pbr_chunk_stream_pos(b->cs), &inj, NULL), PBR_OK);
}

static void suggest(struct bench *b)
{
    check_int(pbr_chunk_stream_suggest(b->cs, pbr_chunk_stream_pos(b->cs), NULL), PBR_OK);
}

static void finish(struct bench *b)
{
    check_int(pbr_chunk_stream_finish(b->cs, NULL), PBR_OK);
}

/* Ends of all events in stream order; injected ones count. */
static void verify_ends(const struct bench *b, const uint64_t *ends, size_t nr)
{
    for (size_t i = 0; i < nr && i < b->room.log.nr; i++)
        check_u64(b->room.log.events[i].start + b->room.log.events[i].len, ends[i]);
    check_int(b->room.log.nr, nr);
}

#define check_ends(b, ...)                                                                         \
    verify_ends((b), (const uint64_t[]){ __VA_ARGS__ }, sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static void test_an_empty_stream_has_no_chunk_and_takes_no_buffer(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct bench b;
        setup(&b, &(struct pbr_chunk_stream_opts){ .payload = kind == 1, .fixed = kind == 2 });
        finish(&b);
        check_int(b.room.log.nr, 0);
        check_int(b.room.held_max, 0);
        teardown(&b);
    }
}

static void test_images_are_cut_every_4_mib_whatever_the_average(void **state)
{
    (void)state;
    enum { MIB = 1 << 20 };
    struct bench b;
    setup(&b, &(struct pbr_chunk_stream_opts){ .avg = 65536, .fixed = true });
    check_u64(pbr_chunk_stream_buffer_size(b.cs), 4 * MIB);
    put_random(&b, 9 * MIB, 1);
    finish(&b);
    check_ends(&b, 4 * MIB, 8 * MIB, 9 * MIB);
    teardown(&b);

    setup(&b, &(struct pbr_chunk_stream_opts){ .fixed = true });
    put_random(&b, 8 * MIB, 1); /* no empty chunk at the end */
    finish(&b);
    check_ends(&b, 4 * MIB, 8 * MIB);
    teardown(&b);
}

static void test_default_average_is_4_mib(void **state)
{
    (void)state;
    struct bench b;
    setup(&b, &(struct pbr_chunk_stream_opts){ 0 });
    check_u64(pbr_chunk_stream_buffer_size(b.cs), 16777216);
    put_random(&b, 10000000, 1);
    finish(&b);
    check_ends(&b, 3987091, 9472018, 10000000);
    check_u64(b.room.log.events[1].start, 3987091);
    teardown(&b);
}

/* The start marker alone is the first chunk if the first files are re-used, the tail marker alone the last one. */
static void test_injections_at_both_ends_leave_the_markers_alone_in_chunks(void **state)
{
    (void)state;
    static const uint8_t head[16] = { 0xd2, 0x4e, 0x4a, 0x19, 0xc2, 0x68, 0x4c, 0x83, 0x10 };
    static const uint8_t tail[16] = { 0xb5, 0x81, 0x4c, 0x98, 0x8b, 0xb7, 0x72, 0x6c, 0x10 };
    struct bench b;
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[65];

    setup(&b, &(struct pbr_chunk_stream_opts){ .payload = true });
    check_int(pbr_sink_write(&b.sink, pbr_span(head, 16), NULL), PBR_OK);
    suggest(&b);
    inject(&b, 8418540);
    inject(&b, 3581508); /* the second batch: no empty chunk between them */
    check_u64(pbr_chunk_stream_pos(b.cs), 12000064);
    check_int(pbr_sink_write(&b.sink, pbr_span(tail, 16), NULL), PBR_OK);
    finish(&b);
    check_ends(&b, 16, 8418556, 12000064, 12000080);

    check_int(pbr_sha256(pbr_span(b.room.raw, 16), pbr_span(NULL, 0), digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), hex);
    check_str(hex, "c3aef320d932bc67b7e919943a7ecac2c743d1af285f1d912d6f3f4a647f60a5");
    check_int(pbr_sha256(pbr_span(b.room.raw + 16, 16), pbr_span(NULL, 0), digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), hex);
    check_str(hex, "d0947d64cf10fd8e368128d3f5b4c33a4926b2887d9950b5c3d43e5e32835a07");
    teardown(&b);
}

/* The last file before it ends a message exactly; the original may lose the suggestion there. */
static void test_a_suggestion_at_a_message_end_is_not_lost(void **state)
{
    (void)state;
    struct bench b;
    setup(&b, &(struct pbr_chunk_stream_opts){ .avg = 4194304, .payload = true });
    put_random(&b, 5 * PBR_CHUNK_MESSAGE, 1);
    uint8_t *room;
    size_t room_len;
    /* a reader asks for room, finds the end of its file, and the next file begins */
    check_int(b.sink.reserve(b.sink.ctx, 4194304, &room, &room_len, NULL), PBR_OK);
    check(room_len >= 1);
    check_int(b.sink.commit(b.sink.ctx, 0, NULL), PBR_OK);
    suggest(&b);
    check_int(b.room.log.nr, 0);
    put_random(&b, 1, 2);
    check_int(b.room.log.nr, 1);
    finish(&b);
    check_ends(&b, 5 * PBR_CHUNK_MESSAGE, 5 * PBR_CHUNK_MESSAGE + 1);
    teardown(&b);
}

static void test_repeated_suggestions_of_a_reused_run_take_no_memory(void **state)
{
    (void)state;
    struct bench b;
    setup(&b, &(struct pbr_chunk_stream_opts){ .avg = 65536, .payload = true });
    put_random(&b, 20000, 1);
    suggest(&b);
    const long before = b.w.allocs;
    for (unsigned i = 0; i < 100000; i++)
        suggest(&b);
    check_int(b.w.allocs, before);
    put_random(&b, 20000, 2);
    finish(&b);
    check_ends(&b, 20000, 40000);
    teardown(&b);
}

/* A suggestion inside the message hides the hash cut 35256 before it; one in a later message does not. */
static void test_suggestions_win_over_hash_cuts_within_a_message_only(void **state)
{
    (void)state;
    struct bench b;
    uint8_t *p = malloc(1 << 20);
    assert_non_null(p);
    fill_splitmix64(p, 1 << 20, 1);

    setup(&b, &(struct pbr_chunk_stream_opts){ .avg = 65536, .payload = true });
    check_int(pbr_sink_write(&b.sink, pbr_span(p, 90000), NULL), PBR_OK);
    suggest(&b);
    check_int(pbr_sink_write(&b.sink, pbr_span(p + 90000, 10000), NULL), PBR_OK);
    finish(&b);
    check_ends(&b, 90000, 100000);
    teardown(&b);

    setup(&b, &(struct pbr_chunk_stream_opts){ .avg = 65536, .payload = true });
    check_int(pbr_sink_write(&b.sink, pbr_span(p, 262145), NULL), PBR_OK);
    suggest(&b);
    check_int(pbr_sink_write(&b.sink, pbr_span(p + 262145, 10000), NULL), PBR_OK);
    finish(&b);
    check_ends(&b, 35256, 134453, 156937, 201927, 262145, 272145);
    teardown(&b);
    free(p);
}

static void test_boundaries_are_only_taken_at_the_position_and_in_a_payload_stream(void **state)
{
    (void)state;
    static const struct pbr_inject_chunk chunk = { .size = 100 }, empty = { .size = 0 }, huge = { .size = 16777217 };
    const struct pbr_inject one = { &chunk, 1 }, none = { NULL, 0 }, bad = { &empty, 1 }, big = { &huge, 1 };
    struct bench b;

    setup(&b, &(struct pbr_chunk_stream_opts){ .payload = true });
    put_random(&b, 50, 1);
    check_fail(pbr_chunk_stream_suggest(b.cs, 49, diag), PBR_E_ARG, "CHK-065");
    check_fail(pbr_chunk_stream_suggest(b.cs, 51, diag), PBR_E_ARG, "CHK-065");
    check_fail(pbr_chunk_stream_inject(b.cs, 49, &one, diag), PBR_E_ARG, "CHK-085");
    check_fail(pbr_chunk_stream_inject(b.cs, 51, &one, diag), PBR_E_ARG, "CHK-085");
    check_fail(pbr_chunk_stream_inject(b.cs, 50, &bad, diag), PBR_E_ARG, "CHK-009");
    check_fail(pbr_chunk_stream_inject(b.cs, 50, &big, diag), PBR_E_ARG, "CHK-009");
    check_int(pbr_chunk_stream_inject(b.cs, 50, &none, NULL), PBR_OK);
    check_int(b.sink.commit(b.sink.ctx, (size_t)100 << 20, NULL), PBR_E_ARG);
    finish(&b); /* misuse left no trace */
    check_ends(&b, 50);
    check_int(pbr_chunk_stream_finish(b.cs, NULL), PBR_E_STATE);
    check_int(pbr_sink_write(&b.sink, pbr_span("x", 1), NULL), PBR_E_STATE);
    check_int(pbr_chunk_stream_suggest(b.cs, 50, NULL), PBR_E_STATE);
    teardown(&b);

    setup(&b, &(struct pbr_chunk_stream_opts){ 0 });
    check_int(pbr_chunk_stream_suggest(b.cs, 0, NULL), PBR_E_STATE);
    check_int(pbr_chunk_stream_inject(b.cs, 0, &one, NULL), PBR_E_STATE);
    teardown(&b);
}

static void test_refused_options_make_no_stream(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct chunk_room room;
    const struct pbr_chunk_out out = room_out(&room, &env);
    struct pbr_chunk_stream *cs = NULL;
    struct pbr_chunk_stream_opts o = { .avg = 65537 };

    check_fail(pbr_chunk_stream_new(&env, &o, &out, &cs, diag), PBR_E_ARG, "CHK-001");
    o = (struct pbr_chunk_stream_opts){ .payload = true, .fixed = true };
    check_int(pbr_chunk_stream_new(&env, &o, &out, &cs, NULL), PBR_E_ARG);
    check(cs == NULL);
    check_int(w.live_allocs, 0);
    pbr_chunk_stream_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_stream_has_no_chunk_and_takes_no_buffer),
        cmocka_unit_test(test_images_are_cut_every_4_mib_whatever_the_average),
        cmocka_unit_test(test_default_average_is_4_mib),
        cmocka_unit_test(test_injections_at_both_ends_leave_the_markers_alone_in_chunks),
        cmocka_unit_test(test_a_suggestion_at_a_message_end_is_not_lost),
        cmocka_unit_test(test_repeated_suggestions_of_a_reused_run_take_no_memory),
        cmocka_unit_test(test_suggestions_win_over_hash_cuts_within_a_message_only),
        cmocka_unit_test(test_boundaries_are_only_taken_at_the_position_and_in_a_payload_stream),
        cmocka_unit_test(test_refused_options_make_no_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
