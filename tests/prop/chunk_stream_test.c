/* SPDX-License-Identifier: MIT */
/* covers: CHK-007 CHK-008 CHK-042 CHK-061 CHK-064 CHK-069 CHK-071 CHK-072 CHK-073 CHK-075 */
/* covers: CHK-079 CHK-080 CHK-081 CHK-085 CHK-110 CHK-111 CHK-112 CHK-113 BKP-246 BKP-247 */
/* Cutter and chunk stream against a byte-at-a-time model, with the data fed in random pieces. */
#include "chunk/find_int.h"
#include "chunk_data.h"
#include "chunk_out.h"

/* ---- the model: section 2, 3, 7.2 and 8.1 of the sheet, one byte at a time, and the canonical messages ---- */

struct op {
    size_t raw; /* raw offset at which it happens */
    uint64_t inject; /* bytes, or 0: a suggestion */
};

struct model {
    uint64_t avg;
    const uint8_t *data;
    uint8_t ring[64];
    uint32_t h;
    size_t size;
    size_t start, end; /* raw offsets of the buffer */
    size_t scanned;
    uint64_t consumed;
    uint64_t queue[512];
    size_t head, tail;
    bool has_cur;
    uint64_t cur;
    uint64_t next_end; /* raw offset where the open message ends at the latest */
    struct chunk_log log;
};

static uint32_t rotl(uint32_t x)
{
    return x << 1 | x >> 31;
}

static size_t model_plain(struct model *m)
{
    for (size_t i = m->start + m->scanned; i < m->end; i++) {
        const uint8_t in = m->data[i];
        if (m->size < 64)
            m->h = rotl(m->h) ^ pbr_find_table[in];
        else
            m->h = rotl(m->h) ^ pbr_find_table[m->ring[m->size & 63]] ^ pbr_find_table[in];
        m->ring[m->size & 63] = in;
        m->size++;
        if (m->size <= 64)
            continue;
        const bool hit = (m->h & (2 * m->avg - 1)) >= 2 * m->avg - 3;
        if (m->size >= 4 * m->avg || (m->size >= m->avg / 4 && hit)) {
            m->h = 0;
            m->size = 0;
            return i + 1 - (m->start + m->scanned);
        }
    }
    return 0;
}

static size_t model_scan(struct model *m)
{
    const uint64_t base = m->consumed, pos = m->scanned, total = m->end - m->start;
    for (;;) {
        if (!m->has_cur) {
            if (m->head == m->tail)
                return model_plain(m);
            m->cur = m->queue[m->head++];
            m->has_cur = true;
        }
        if (m->cur < base + pos) {
            m->has_cur = false;
            continue;
        }
        if (m->cur > base + total)
            return model_plain(m);
        const uint64_t s = m->cur - base;
        if (s < m->avg / 4) {
            m->has_cur = false;
            continue;
        }
        if (s > m->avg * 4)
            return model_plain(m);
        m->has_cur = false;
        if (s == pos)
            return model_plain(m);
        m->h = 0;
        m->size = 0;
        return (size_t)(s - pos);
    }
}

static void model_emit(struct model *m, size_t len)
{
    if (len)
        chunk_log_add(&m->log, false, m->consumed, len);
    m->consumed += len;
    m->start += len;
    m->scanned = 0;
}

/* The message ends at raw offset `end`; with an injection behind it if `inject` is not 0. */
static void model_message(struct model *m, size_t end, uint64_t inject)
{
    m->end = end;
    const uint64_t boundary = m->consumed + (end - m->start);
    while (m->scanned < m->end - m->start) {
        const size_t k = model_scan(m);
        if (k == 0)
            m->scanned = m->end - m->start;
        else
            model_emit(m, m->scanned + k);
    }
    if (inject) {
        model_emit(m, m->end - m->start);
        m->h = 0;
        m->size = 0;
        chunk_log_add(&m->log, true, boundary, inject);
        m->consumed += inject;
    }
}

static void model_advance(struct model *m, size_t raw)
{
    while (m->next_end < raw) {
        model_message(m, (size_t)m->next_end, 0);
        m->next_end += 262144;
    }
}

static void model_run(struct model *m, struct pbr_span in, const struct op *ops, size_t op_nr)
{
    m->data = in.ptr;
    m->next_end = 262144;
    for (size_t i = 0; i < op_nr; i++) {
        model_advance(m, ops[i].raw);
        if (ops[i].inject) {
            model_message(m, ops[i].raw, ops[i].inject);
            m->next_end = (ops[i].raw / 262144 + 1) * 262144;
        } else {
            m->queue[m->tail++] = m->consumed + (ops[i].raw - m->start);
        }
    }
    model_advance(m, in.len);
    model_message(m, in.len, 0);
    model_emit(m, m->end - m->start);
}

/* ---- random input ---- */

static uint64_t pick(uint64_t *seed, uint64_t below)
{
    return test_next_random(seed) % below;
}

static struct pbr_span random_data(uint64_t *seed, size_t len)
{
    uint8_t *p = malloc(len + 1);
    assert_non_null(p);
    fill_splitmix64(p, len, test_next_random(seed));
    if (pick(seed, 2)) { /* stretches without any cut value */
        for (size_t pos = 0; pos < len;) {
            const size_t n = 1 + (size_t)pick(seed, 40000);
            const size_t end = n < len - pos ? pos + n : len;
            if (pick(seed, 3) == 0)
                memset(p + pos, 0, end - pos);
            pos = end;
        }
    }
    return pbr_span(p, len);
}

static int by_offset(const void *a, const void *b)
{
    const struct op *x = a, *y = b;
    return x->raw < y->raw ? -1 : x->raw > y->raw;
}

/* Up to 400 suggestions and injections, some on message ends and directly behind each other. */
static size_t random_ops(uint64_t *seed, struct op *ops, size_t len)
{
    const size_t nr = (size_t)pick(seed, 400);
    for (size_t i = 0; i < nr; i++) {
        ops[i].raw = (size_t)pick(seed, len + 1);
        if (pick(seed, 8) == 0)
            ops[i].raw = ops[i].raw / 262144 * 262144;
        if (i > 0 && pick(seed, 8) == 0)
            ops[i].raw = ops[i - 1].raw + (size_t)pick(seed, 2);
        if (ops[i].raw > len)
            ops[i].raw = len;
        ops[i].inject = pick(seed, 6) == 0 ? 1 + pick(seed, 300000) : 0;
    }
    qsort(ops, nr, sizeof(*ops), by_offset);
    return nr;
}

/* ---- the stream under test ---- */

static void feed(struct pbr_sink *sink, struct pbr_span in, uint64_t *seed, uint64_t piece_max, bool payload)
{
    while (in.len > 0) {
        size_t n = 1 + (size_t)pick(seed, piece_max);
        n = n < in.len ? n : in.len;
        if (pick(seed, 2)) {
            check_int(pbr_sink_write(sink, pbr_span(in.ptr, n), NULL), PBR_OK);
        } else {
            uint8_t *room;
            size_t room_len;
            check_int(sink->reserve(sink->ctx, n, &room, &room_len, NULL), PBR_OK);
            check(room_len >= 1 && room_len <= n);
            check(!payload || room_len == n || room_len >= 65536); /* a plain buffer ends with the largest chunk */
            n = 1 + (size_t)pick(seed, room_len); /* a short read */
            memcpy(room, in.ptr, n);
            check_int(sink->commit(sink->ctx, n, NULL), PBR_OK);
        }
        in = pbr_span_sub(in, n, in.len);
    }
}

static void apply(struct pbr_chunk_stream *cs, const struct op *op)
{
    const uint64_t pos = pbr_chunk_stream_pos(cs);
    if (op->inject) {
        struct pbr_inject_chunk chunks[2] = { { .size = 1 }, { .size = op->inject - 1 } };
        const struct pbr_inject inj = { op->inject > 1 ? chunks : &chunks[0], op->inject > 1 ? 2 : 1 };
        check_int(pbr_chunk_stream_inject(cs, pos, &inj, NULL), PBR_OK);
        check_u64(pbr_chunk_stream_pos(cs), pos + op->inject);
    } else {
        check_int(pbr_chunk_stream_suggest(cs, pos, NULL), PBR_OK);
    }
}

static void check_same(const struct chunk_log *got, const struct chunk_log *want)
{
    for (size_t i = 0; i < got->nr && i < want->nr; i++) {
        check_int(got->events[i].injected, want->events[i].injected);
        check_u64(got->events[i].start, want->events[i].start);
        check_u64(got->events[i].len, want->events[i].len);
    }
    check_int(got->nr, want->nr);
}

static void check_legal(const struct chunk_log *log, uint64_t avg)
{
    uint64_t pos = 0;
    for (size_t i = 0; i < log->nr; i++) {
        const struct chunk_event *e = &log->events[i];
        const bool free_size = i + 1 == log->nr || log->events[i + 1].injected;
        check_u64(e->start, pos);
        check(e->len >= 1);
        check(e->injected || e->len <= 4 * avg);
        check(e->injected || free_size || e->len >= avg / 4);
        pos += e->len;
    }
}

static void check_stream(const struct pbr_chunk_stream_opts *opts, struct pbr_span in, const struct op *ops,
                       size_t op_nr, uint64_t *seed, uint64_t piece_max, const struct chunk_log *want)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct chunk_room room;
    const struct pbr_chunk_out out = room_out(&room, &env);
    struct pbr_chunk_stream *cs;
    size_t pos = 0;

    check_int(pbr_chunk_stream_new(&env, opts, &out, &cs, NULL), PBR_OK);
    struct pbr_sink sink = pbr_chunk_stream_sink(cs);
    for (size_t i = 0; i < op_nr; i++) {
        feed(&sink, pbr_span(in.ptr + pos, ops[i].raw - pos), seed, piece_max, opts->payload);
        pos = ops[i].raw;
        apply(cs, &ops[i]);
    }
    feed(&sink, pbr_span(in.ptr + pos, in.len - pos), seed, piece_max, opts->payload);
    const uint64_t end = pbr_chunk_stream_pos(cs);
    check_int(pbr_chunk_stream_finish(cs, NULL), PBR_OK);
    check_u64(pbr_chunk_stream_pos(cs), end);
    pbr_chunk_stream_free(cs);

    check_same(&room.log, want);
    check_legal(&room.log, opts->avg);
    check_span(pbr_span(room.raw, room.raw_len), in);
    check(room.held_max <= 2);
    check_int(w.live_allocs, 0);
    room_clear(&room);
}

static const uint64_t averages[] = { 256, 512, 4096, 65536, 262144 };
enum { AVERAGE_NR = sizeof(averages) / sizeof(averages[0]) };

static void test_payload_stream_gives_the_model_s_chunks_however_it_is_fed(void **state)
{
    (void)state;
    static const uint64_t pieces[] = { 3, 5000, 300000, 5000000 };
    uint64_t seed = test_seed(20240917);
    for (unsigned round = 0; round < 30; round++) {
        const uint64_t avg = averages[round % AVERAGE_NR];
        const struct pbr_span in = random_data(&seed, (size_t)pick(&seed, avg < 4096 ? 600000 : 1400000));
        struct op ops[400];
        const size_t op_nr = random_ops(&seed, ops, in.len);
        struct model m = { .avg = avg };
        model_run(&m, in, ops, op_nr);

        const struct pbr_chunk_stream_opts opts = { .avg = avg, .payload = true };
        for (size_t i = round % 8 ? 1 + round % 2 : 0; i < 4; i += 2) /* byte-wise now and then */
            check_stream(&opts, in, ops, op_nr, &seed, pieces[i], &m.log);
        free(m.log.events);
        test_unload(in);
    }
}

/* Each piece lies in memory of its own, so that nothing around it can help. */
static void check_pushed(uint64_t avg, struct pbr_span in, uint64_t *seed, uint64_t piece_max,
                         const struct chunk_log *want)
{
    struct pbr_cut c;
    size_t pos = 0, nr = 0;
    check_int(pbr_cut_init(&c, avg, PBR_FIND_AUTO, NULL), PBR_OK);
    while (pos < in.len) {
        const struct pbr_span piece = pbr_span_sub(in, pos, 1 + (size_t)pick(seed, piece_max));
        uint8_t *copy = malloc(piece.len);
        assert_non_null(copy);
        memcpy(copy, piece.ptr, piece.len);
        const size_t cut = pbr_cut_push(&c, pbr_span(copy, piece.len));
        free(copy);
        pos += cut ? cut : piece.len;
        if (cut) {
            check_u64(pos, want->events[nr].start + want->events[nr].len);
            nr++;
        }
    }
    check_int(nr + (c.size > 0), want->nr);
}

static void test_plain_stream_and_cutter_give_the_model_s_chunks_however_they_are_fed(void **state)
{
    (void)state;
    static const uint64_t pieces[] = { 3, 100, 5000, 5000000 };
    uint64_t seed = test_seed(31);
    for (unsigned round = 0; round < 30; round++) {
        const uint64_t avg = averages[round % AVERAGE_NR];
        const struct pbr_span in = random_data(&seed, (size_t)pick(&seed, 1400000));
        struct model m = { .avg = avg, .data = in.ptr, .end = in.len };
        for (size_t k = 1; k && m.start < m.end;) {
            k = model_plain(&m);
            model_emit(&m, k ? k : m.end - m.start);
        }
        const struct pbr_chunk_stream_opts opts = { .avg = avg };
        for (size_t i = round % 8 ? 1 : 0; i < 4; i++)
            check_stream(&opts, in, NULL, 0, &seed, pieces[i], &m.log);

        for (size_t i = round % 8 ? 1 : 0; i < 4; i++)
            check_pushed(avg, in, &seed, pieces[i], &m.log);
        free(m.log.events);
        test_unload(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payload_stream_gives_the_model_s_chunks_however_it_is_fed),
        cmocka_unit_test(test_plain_stream_and_cutter_give_the_model_s_chunks_however_they_are_fed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
