/* SPDX-License-Identifier: MIT */
/* covers: RDR-030 RDR-060 RDR-061 */
/* Archives read out of chunks, from a scripted server: sequential with read-ahead, and at random offsets. */
#include "h2_fake.h"

#include "base/limits.h"
#include "client/fetch.h"
#include "net/tls_server.h"

enum { CHUNKS = 150, LEN_MAX = 900 };

enum fault { NO_FAULT, MISSING, WRONG_CONTENT, WRONG_LENGTH, BAD_CRC, CUT_OFF, ENCRYPTED, DROP, RESET };

struct server {
    struct fake h2;
    bool late;   /* answers come newest first, whenever the client goes quiet */
    bool lazy;   /* only the chunk `wanted` is answered; all, once that is CHUNKS */
    atomic_size_t wanted;
    enum fault fault;
    size_t at;   /* chunk that the fault is about */
    size_t requests[CHUNKS];
    size_t request_nr;
};

static struct mt_world world;
static struct pbr_env env;

/* ---- an archive of CHUNKS chunks ---- */

static uint8_t content[CHUNKS * LEN_MAX];
static uint64_t ends[CHUNKS];
static uint8_t digests[CHUNKS][PBR_DIGEST_LEN];
static struct pbr_buf blobs[CHUNKS];
static struct pbr_fetched_index archive;

static uint64_t start_of(size_t i)
{
    return i ? ends[i - 1] : 0;
}

static struct pbr_span chunk(size_t i)
{
    return pbr_span(content + start_of(i), (size_t)(ends[i] - start_of(i)));
}

static int make_archive(void **state)
{
    (void)state;
    static struct mt_world own;
    static struct pbr_env plain;
    struct pbr_sealer *sealer;
    uint64_t random = 5, end = 0;
    plain = mt_env(&own);
    check_int(pbr_sealer_new(&plain, &sealer), PBR_OK);
    pbr_buf_init(&archive.file, &plain, 1 << 20);
    uint8_t hdr[PBR_INDEX_HDR], rec[PBR_DIDX_REC];
    pbr_index_hdr_emit(&(struct pbr_index){ .kind = PBR_INDEX_DYNAMIC, .ctime_s = 1700000000 }, hdr);
    check_int(pbr_buf_append(&archive.file, pbr_span(hdr, sizeof(hdr))), PBR_OK);
    for (size_t i = 0; i < CHUNKS; i++) {
        const size_t len = 1 + test_next_random(&random) % LEN_MAX;
        for (size_t k = 0; k < len; k++)
            content[end + k] = (uint8_t)(i % 2 ? test_next_random(&random) : i);
        ends[i] = end += len;
        check_int(pbr_chunk_digest(NULL, chunk(i), digests[i]), PBR_OK);
        pbr_buf_init(&blobs[i], &plain, PBR_CHUNK_RAW_MAX);
        check_int(pbr_seal(sealer, NULL, true, chunk(i), &blobs[i], NULL), PBR_OK);
        pbr_didx_rec_emit(end, digests[i], rec);
        check_int(pbr_buf_append(&archive.file, pbr_span(rec, sizeof(rec))), PBR_OK);
    }
    pbr_sealer_free(sealer);
    check_int(pbr_index_parse(pbr_buf_span(&archive.file), false, &archive.index, NULL), PBR_OK);
    return 0;
}

static int drop_archive(void **state)
{
    (void)state;
    for (size_t i = 0; i < CHUNKS; i++)
        pbr_buf_release(&blobs[i]);
    pbr_fetched_index_release(&archive);
    return 0;
}

/* ---- server (its thread) ---- */

static size_t chunk_of(const struct fake_stream *st)
{
    char hex[128];
    uint8_t digest[PBR_DIGEST_LEN];
    size_t i = 0;
    if (!fake_is(st, "GET", "/chunk") || !pbr_parse_hex(pbr_span_str(fake_query(st, "digest", hex)), digest, PBR_DIGEST_LEN))
        return CHUNKS;
    while (i < CHUNKS && memcmp(digests[i], digest, PBR_DIGEST_LEN) != 0)
        i++;
    return i;
}

static void give_damaged(struct server *s, struct fake_stream *st, size_t i)
{
    uint8_t copy[2 * LEN_MAX];
    size_t len = blobs[i].len;
    memcpy(copy, blobs[i].ptr, len);
    switch (s->fault) {
    case MISSING: fake_answer_text(&s->h2, st, 400, "reading file failed"); return;
    case WRONG_CONTENT: fake_answer(&s->h2, st, 200, blobs[i + 1].ptr, blobs[i + 1].len); return;
    case WRONG_LENGTH: fake_answer(&s->h2, st, 200, blobs[i + 2].ptr, blobs[i + 2].len); return;
    case BAD_CRC: copy[len - 1] ^= 1; break;
    case CUT_OFF: len = 7; break;
    case ENCRYPTED: memcpy(copy, "\x7b\x67\x85\xbe\x22\x2d\x4c\xf0", 8); break;
    case DROP: s->h2.close_after_send = true; return;
    default: fake_reset(&s->h2, st, NGHTTP2_INTERNAL_ERROR); return;
    }
    fake_answer(&s->h2, st, 200, copy, len);
}

static void give(struct server *s, struct fake_stream *st)
{
    const size_t i = chunk_of(st);
    if (i == CHUNKS)
        fake_answer_text(&s->h2, st, 404, "no such path");
    else if (s->fault && i == s->at)
        give_damaged(s, st, i);
    else
        fake_answer(&s->h2, st, 200, blobs[i].ptr, blobs[i].len);
}

static void handle(struct fake *f, struct fake_stream *st)
{
    struct server *s = f->ctx;
    const size_t i = chunk_of(st);
    s->request_nr++;
    if (i < CHUNKS)
        s->requests[i]++;
    if (!s->late && !s->lazy)
        give(s, st);
}

static void on_idle(struct fake *f)
{
    struct server *s = f->ctx;
    const size_t wanted = atomic_load(&s->wanted);
    int left = 5;
    for (struct fake_stream *st = f->streams; st && left > 0; st = st->next)
        if (st->complete && !st->answered && (!s->lazy || wanted == CHUNKS || chunk_of(st) == wanted)) {
            give(s, st);
            left--;
        }
}

/* ---- client ---- */

static int open_link(struct server *s, struct pbr_link **ret, struct pbr_diag *diag)
{
    int fds[2];
    struct pbr_pipe pipe;
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    check_int(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    fake_init(&s->h2, fds[1], 0, handle, s);
    s->h2.idle = s->late || s->lazy ? on_idle : NULL;
    fake_start(&s->h2);
    int rc = pbr_pipe_socket(&env, fds[0], &pipe, diag);
    if (rc < 0)
        close(fds[0]);
    else
        rc = pbr_link_new(&env, &pipe, ret, diag);
    return rc;
}

static void close_all(struct server *s, struct pbr_link *link)
{
    pbr_link_free(link);
    fake_release(&s->h2);
    check_int(atomic_load(&world.live_allocs), 0);
}

static int set_up(void **state)
{
    (void)state;
    env = mt_env(&world);
    return 0;
}

/* Reads everything, or until a failure; *ret_pos: how far it came. */
static int read_all(struct pbr_stream *st, uint64_t *ret_pos, struct pbr_diag *diag)
{
    *ret_pos = 0;
    for (;;) {
        struct pbr_span view;
        const int rc = pbr_stream_peek(st, &view, diag);
        if (rc < 0 || view.len == 0)
            return rc;
        check_span(view, pbr_span_sub(pbr_span(content, (size_t)archive.index.size), (size_t)*ret_pos, view.len));
        pbr_stream_consume(st, view.len);
        *ret_pos += view.len;
    }
}

static void test_archive_comes_out_in_order(void **state)
{
    static const uint64_t ahead[] = { 0, 1, 5000 };
    (void)state;
    for (size_t a = 0; a < 3; a++)
        for (int late = 0; late < 2; late++) {
            static struct server s;
            struct pbr_link *link;
            struct pbr_stream st;
            uint64_t pos;
            const struct pbr_fetch_opts opts = { .ahead_bytes = ahead[a] };
            s = (struct server){ .late = late };
            check_int(open_link(&s, &link, NULL), PBR_OK);
            check_int(pbr_fetch_stream(&env, link, &archive, &opts, &st, NULL), PBR_OK);
            check_int(read_all(&st, &pos, NULL), PBR_OK);
            check_u64(pos, archive.index.size);
            pbr_stream_close(&st);
            fake_join(&s.h2);
            for (size_t i = 0; i < CHUNKS; i++)
                check_int(s.requests[i], 1);
            check(s.h2.open_max <= (ahead[a] == 1 ? 2 : 64)); /* the window */
            close_all(&s, link);
        }
}

static void test_skipped_chunks_are_not_fetched(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        static struct server s;
        struct pbr_link *link;
        struct pbr_stream st;
        const struct pbr_fetch_opts opts = { .ahead_bytes = 1 };
        uint8_t byte;
        s = (struct server){ .late = late };
        check_int(open_link(&s, &link, NULL), PBR_OK);
        check_int(pbr_fetch_stream(&env, link, &archive, &opts, &st, NULL), PBR_OK);
        uint64_t pos = 0;
        for (size_t i = 0; i < CHUNKS; i += 10) { /* the last byte of every tenth chunk */
            check_int(pbr_stream_skip(&st, ends[i] - 1 - pos, NULL), PBR_OK);
            check_int(pbr_stream_read(&st, &byte, 1, NULL), PBR_OK);
            check_int(byte, content[ends[i] - 1]);
            pos = ends[i];
        }
        struct pbr_diag diag = { 0 };
        check_int(pbr_stream_skip(&st, archive.index.size - pos + 1, &diag), PBR_E_TRUNCATED);
        check_int(pbr_stream_skip(&st, archive.index.size - pos, NULL), PBR_OK);
        struct pbr_span view;
        check_int(pbr_stream_peek(&st, &view, NULL), PBR_OK);
        check_int(view.len, 0);
        pbr_stream_close(&st);
        fake_join(&s.h2);
        for (size_t i = 0; i < CHUNKS; i++)
            check(s.requests[i] <= (i % 10 < 2)); /* one ahead at most */
        close_all(&s, link);
    }
}

static size_t requests_from(const struct server *s, size_t first)
{
    size_t nr = 0;
    for (size_t i = first; i < CHUNKS; i++)
        nr += s->requests[i];
    return nr;
}

/* Reads `before` bytes, skips to chunk `at` and reads its first byte; how many chunks from `at` on that costs. */
static size_t cost_of_read(uint64_t before, size_t at, uint64_t announced)
{
    static struct server s;
    static uint8_t out[sizeof(content)];
    struct pbr_link *link;
    struct pbr_stream st;
    const struct pbr_fetch_opts opts = { 0 };
    s = (struct server){ 0 };
    check_int(open_link(&s, &link, NULL), PBR_OK);
    check_int(pbr_fetch_stream(&env, link, &archive, &opts, &st, NULL), PBR_OK);
    check_int(pbr_stream_read(&st, out, (size_t)before, NULL), PBR_OK);
    check_int(pbr_stream_skip(&st, start_of(at) - before, NULL), PBR_OK);
    if (announced)
        pbr_stream_expect(&st, announced);
    check_int(pbr_stream_read(&st, out, 1, NULL), PBR_OK);
    check_int(out[0], content[start_of(at)]);
    pbr_stream_close(&st);
    fake_join(&s.h2);
    const size_t nr = requests_from(&s, at);
    check(before > 0 || nr == requests_from(&s, 0));
    close_all(&s, link);
    return nr;
}

static void test_nothing_is_read_ahead_before_there_is_a_sequence(void **state)
{
    (void)state;
    check_int(cost_of_read(0, 0, 0), 1);
    check_int(cost_of_read(0, 70, 0), 1);
    check_int(cost_of_read(16, 70, 0), 1);            /* the start marker, say, and a file */
    check_int(cost_of_read(16, 1, 0), 1);
    check_int(cost_of_read(start_of(20), 130, 0), 1); /* farther than what was read before */
}

static void test_announced_range_is_read_ahead_and_nothing_behind_it(void **state)
{
    (void)state;
    check_int(cost_of_read(0, 70, 1), 1);
    check_int(cost_of_read(0, 70, ends[70] - start_of(70)), 1);
    check_int(cost_of_read(0, 70, ends[70] - start_of(70) + 1), 2);
    check_int(cost_of_read(0, 70, ends[99] - start_of(70)), 30);
    check_int(cost_of_read(0, 140, UINT64_MAX), 10); /* clipped to the archive */
}

/* Reads ahead as far as it read before: the window opens to everything. */
static void test_sequence_opens_the_window(void **state)
{
    (void)state;
    static struct server s;
    struct pbr_link *link;
    struct pbr_stream st;
    static uint8_t out[sizeof(content)];
    const struct pbr_fetch_opts opts = { 0 };
    s = (struct server){ 0 };
    check_int(open_link(&s, &link, NULL), PBR_OK);
    check_int(pbr_fetch_stream(&env, link, &archive, &opts, &st, NULL), PBR_OK);
    check_int(pbr_stream_read(&st, out, (size_t)start_of(60) + 1, NULL), PBR_OK);
    pbr_stream_close(&st);
    fake_join(&s.h2);
    const size_t nr = requests_from(&s, 0);
    check(nr > 100 && start_of(nr - 1) < 2 * start_of(60) + 1);
    close_all(&s, link);
}

/* A reader that skips over what it asked for leaves answers on their way: their number stays bounded. */
static void test_fast_skipping_does_not_pile_up_requests(void **state)
{
    (void)state;
    static struct server s;
    struct pbr_link *link;
    struct pbr_stream st;
    const struct pbr_fetch_opts opts = { .ahead_bytes = 20 * LEN_MAX };
    uint64_t random = 17, pos = 0;
    s = (struct server){ .lazy = true };
    check_int(open_link(&s, &link, NULL), PBR_OK);
    check_int(pbr_fetch_stream(&env, link, &archive, &opts, &st, NULL), PBR_OK);
    pbr_stream_expect(&st, archive.index.size);
    for (;;) {
        uint8_t byte;
        const uint64_t n = test_next_random(&random) % (15 * LEN_MAX);
        if (n >= archive.index.size - pos)
            break;
        uint64_t i = 0;
        check(pbr_index_lookup(&archive.index, pos + n, &i));
        atomic_store(&s.wanted, (size_t)i);
        check_int(pbr_stream_skip(&st, n, NULL), PBR_OK);
        check_int(pbr_stream_read(&st, &byte, 1, NULL), PBR_OK);
        check_int(byte, content[pos + n]);
        pos += n + 1;
    }
    atomic_store(&s.wanted, CHUNKS);
    pbr_stream_close(&st);
    fake_join(&s.h2);
    check(s.h2.open_max > 20 && s.h2.open_max <= 65); /* the window, and the one that is waited for */
    close_all(&s, link);
}

static void test_close_in_the_middle_waits_for_what_is_under_way(void **state)
{
    (void)state;
    for (size_t after = 0; after < 20; after++) {
        static struct server s;
        struct pbr_link *link;
        struct pbr_stream st;
        const struct pbr_fetch_opts opts = { 0 };
        s = (struct server){ .late = after % 2, .fault = after % 3 ? NO_FAULT : DROP, .at = after + 3 };
        check_int(open_link(&s, &link, NULL), PBR_OK);
        check_int(pbr_fetch_stream(&env, link, &archive, &opts, &st, NULL), PBR_OK);
        for (size_t i = 0; i < after; i++) {
            struct pbr_span view;
            if (pbr_stream_peek(&st, &view, NULL) < 0)
                break;
            pbr_stream_consume(&st, view.len);
        }
        pbr_stream_close(&st);
        close_all(&s, link);
    }
}

static const struct {
    enum fault fault;
    int rc;
} faults[] = { /* never TRUNCATED: readers would take that for the end of the archive */
               { MISSING, PBR_E_REMOTE },    { WRONG_CONTENT, PBR_E_INTEGRITY }, { WRONG_LENGTH, PBR_E_INTEGRITY },
               { BAD_CRC, PBR_E_INTEGRITY }, { CUT_OFF, PBR_E_FORMAT },          { ENCRYPTED, PBR_E_FORMAT },
               { DROP, PBR_E_REMOTE },       { RESET, PBR_E_REMOTE } };

static void check_named(const struct pbr_diag *diag, size_t i)
{
    char hex[2 * PBR_DIGEST_LEN + 1], want[128];
    pbr_format_hex(digests[i], PBR_DIGEST_LEN, hex);
    snprintf(want, sizeof(want), "chunk %s (archive offset %" PRIu64 ")", hex, start_of(i));
    if (!strstr(diag->text, want))
        print_error("'%s' does not name '%s'\n", diag->text, want);
    check(strstr(diag->text, want));
}

static void test_damaged_chunk_fails_the_read_that_needs_it(void **state)
{
    enum { AT = 40 };
    (void)state;
    for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++)
        for (int late = 0; late < 2; late++) {
            static struct server s;
            struct pbr_link *link;
            struct pbr_stream st;
            struct pbr_diag diag = { 0 };
            uint64_t pos;
            const struct pbr_fetch_opts opts = { .ahead_bytes = 3000 };
            s = (struct server){ .late = late, .fault = faults[k].fault, .at = AT };
            check_int(open_link(&s, &link, NULL), PBR_OK);
            check_int(pbr_fetch_stream(&env, link, &archive, &opts, &st, NULL), PBR_OK);
            const int rc = read_all(&st, &pos, &diag);
            check(rc < 0);
            if (faults[k].fault == ENCRYPTED) /* too small for that kind, or of the wrong kind */
                check(rc == PBR_E_FORMAT || rc == PBR_E_CRYPTO || rc == PBR_E_INTEGRITY);
            else if (faults[k].fault != DROP)
                check_int(rc, faults[k].rc);
            check_int(diag.code, rc);
            if (faults[k].fault == DROP) {
                check(pos <= start_of(AT)); /* what was under way is lost too */
            } else {
                check_u64(pos, start_of(AT));
                check_named(&diag, AT);
                check_int(pbr_stream_peek(&st, &(struct pbr_span){ 0 }, NULL), rc); /* and again */
                /* what lies behind it is still readable */
                check_int(pbr_stream_skip(&st, ends[AT] - pos, NULL), PBR_OK);
                uint8_t byte;
                check_int(pbr_stream_read(&st, &byte, 1, NULL), PBR_OK);
                check_int(byte, content[ends[AT]]);
            }
            pbr_stream_close(&st);
            close_all(&s, link);
        }
}

static void test_damaged_chunk_does_not_matter_if_it_is_skipped(void **state)
{
    enum { AT = 20 };
    (void)state;
    for (size_t k = 0; k < 5; k++) {
        static struct server s;
        struct pbr_link *link;
        struct pbr_stream st;
        const struct pbr_fetch_opts opts = { 0 };
        static uint8_t out[sizeof(content)];
        s = (struct server){ .fault = faults[k].fault, .at = AT };
        check_int(open_link(&s, &link, NULL), PBR_OK);
        check_int(pbr_fetch_stream(&env, link, &archive, &opts, &st, NULL), PBR_OK);
        check_int(pbr_stream_read(&st, out, (size_t)start_of(AT), NULL), PBR_OK);
        check_int(pbr_stream_skip(&st, ends[AT] - start_of(AT), NULL), PBR_OK);
        check_int(pbr_stream_read(&st, out, (size_t)(archive.index.size - ends[AT]), NULL), PBR_OK);
        check_span(pbr_span(out, (size_t)(archive.index.size - ends[AT])),
                   pbr_span(content + ends[AT], (size_t)(archive.index.size - ends[AT])));
        pbr_stream_close(&st);
        close_all(&s, link);
    }
}

static void test_empty_archive_needs_no_request(void **state)
{
    (void)state;
    static struct server s;
    struct pbr_link *link;
    struct pbr_stream st;
    struct pbr_source src;
    struct pbr_span view;
    struct pbr_fetched_index empty = { 0 };
    const struct pbr_fetch_opts opts = { 0 };
    s = (struct server){ 0 };
    check_int(open_link(&s, &link, NULL), PBR_OK);
    check_int(pbr_fetch_stream(&env, link, &empty, &opts, &st, NULL), PBR_OK);
    check_int(pbr_stream_peek(&st, &view, NULL), PBR_OK);
    check_int(view.len, 0);
    check_int(pbr_stream_skip(&st, 1, NULL), PBR_E_TRUNCATED);
    pbr_stream_close(&st);
    check_int(pbr_fetch_source(&env, link, &empty, &opts, &src, NULL), PBR_OK);
    uint8_t byte;
    check_int(pbr_source_read_at(&src, 0, &byte, 1, NULL), PBR_E_TRUNCATED);
    pbr_source_close(&src);
    fake_join(&s.h2);
    check_int(s.request_nr, 0);
    close_all(&s, link);
}

/* ---- random access ---- */

static void test_source_reads_across_chunks(void **state)
{
    (void)state;
    static struct server s;
    struct pbr_link *link;
    struct pbr_source src;
    const struct pbr_fetch_opts opts = { 0 };
    static uint8_t out[sizeof(content)];
    uint64_t random = 23;
    s = (struct server){ 0 };
    check_int(open_link(&s, &link, NULL), PBR_OK);
    check_int(pbr_fetch_source(&env, link, &archive, &opts, &src, NULL), PBR_OK);
    check_u64(src.size, archive.index.size);
    for (int i = 0; i < 100; i++) {
        const uint64_t off = test_next_random(&random) % src.size;
        const uint64_t want = test_next_random(&random) % 3000;
        const size_t len = (size_t)(want < src.size - off ? want : src.size - off);
        check_int(pbr_source_read_at(&src, off, out, len, NULL), PBR_OK);
        check_span(pbr_span(out, len), pbr_span(content + off, len));
    }
    pbr_source_close(&src);
    close_all(&s, link);
}

static void test_source_keeps_the_chunks_used_last(void **state)
{
    (void)state;
    static struct server s;
    struct pbr_link *link;
    struct pbr_source src;
    const struct pbr_fetch_opts opts = { 0 };
    uint8_t byte;
    s = (struct server){ 0 };
    check_int(open_link(&s, &link, NULL), PBR_OK);
    check_int(pbr_fetch_source(&env, link, &archive, &opts, &src, NULL), PBR_OK);
    for (int round = 0; round < 10; round++) /* four chunks in turn fit */
        for (size_t i = 0; i < 4; i++)
            check_int(pbr_source_read_at(&src, start_of(i), &byte, 1, NULL), PBR_OK);
    check_int(pbr_source_read_at(&src, start_of(4), &byte, 1, NULL), PBR_OK); /* the oldest goes: 0 */
    check_int(pbr_source_read_at(&src, start_of(1), &byte, 1, NULL), PBR_OK);
    check_int(pbr_source_read_at(&src, start_of(0), &byte, 1, NULL), PBR_OK);
    pbr_source_close(&src);
    fake_join(&s.h2);
    check_int(s.requests[0], 2);
    for (size_t i = 1; i < 5; i++)
        check_int(s.requests[i], 1);
    close_all(&s, link);
}

static void test_source_reports_damage_and_goes_on(void **state)
{
    enum { AT = 7 };
    (void)state;
    for (size_t k = 0; k < 5; k++) {
        static struct server s;
        struct pbr_link *link;
        struct pbr_source src;
        struct pbr_diag diag = { 0 };
        const struct pbr_fetch_opts opts = { 0 };
        uint8_t byte;
        s = (struct server){ .fault = faults[k].fault, .at = AT };
        check_int(open_link(&s, &link, NULL), PBR_OK);
        check_int(pbr_fetch_source(&env, link, &archive, &opts, &src, NULL), PBR_OK);
        check_int(pbr_source_read_at(&src, start_of(AT), &byte, 1, &diag), faults[k].rc);
        check_named(&diag, AT);
        check_int(pbr_source_read_at(&src, start_of(AT), &byte, 1, NULL), faults[k].rc);
        check_int(pbr_source_read_at(&src, start_of(AT + 1), &byte, 1, NULL), PBR_OK);
        check_int(byte, content[start_of(AT + 1)]);
        pbr_source_close(&src);
        close_all(&s, link);
    }
}

static void test_failed_allocations_end_the_read(void **state)
{
    (void)state;
    size_t failures = 0;
    for (long nth = 0; nth < 20000; nth += nth < 60 ? 1 : 29) {
        static struct server s;
        struct pbr_link *link = NULL;
        struct pbr_stream st;
        struct pbr_diag diag = { 0 };
        uint64_t pos = 0;
        const struct pbr_fetch_opts opts = { .ahead_bytes = 3000 };
        s = (struct server){ 0 };
        env = mt_env(&world);
        atomic_store(&world.fail_at, nth);
        int rc = open_link(&s, &link, &diag);
        if (rc == PBR_OK) {
            rc = pbr_fetch_stream(&env, link, &archive, &opts, &st, &diag);
            if (rc == PBR_OK) {
                rc = read_all(&st, &pos, &diag);
                pbr_stream_close(&st);
            }
        }
        close_all(&s, link);
        failures += rc < 0;
        check(rc == PBR_OK || rc == PBR_E_NOMEM);
        check(rc == PBR_OK || diag.text[0]);
        if (!atomic_load(&world.hit)) {
            check_int(rc, PBR_OK);
            check_u64(pos, archive.index.size);
            check(failures > 20);
            return;
        }
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_archive_comes_out_in_order, set_up),
        cmocka_unit_test_setup(test_skipped_chunks_are_not_fetched, set_up),
        cmocka_unit_test_setup(test_nothing_is_read_ahead_before_there_is_a_sequence, set_up),
        cmocka_unit_test_setup(test_announced_range_is_read_ahead_and_nothing_behind_it, set_up),
        cmocka_unit_test_setup(test_sequence_opens_the_window, set_up),
        cmocka_unit_test_setup(test_fast_skipping_does_not_pile_up_requests, set_up),
        cmocka_unit_test_setup(test_close_in_the_middle_waits_for_what_is_under_way, set_up),
        cmocka_unit_test_setup(test_damaged_chunk_fails_the_read_that_needs_it, set_up),
        cmocka_unit_test_setup(test_damaged_chunk_does_not_matter_if_it_is_skipped, set_up),
        cmocka_unit_test_setup(test_empty_archive_needs_no_request, set_up),
        cmocka_unit_test_setup(test_source_reads_across_chunks, set_up),
        cmocka_unit_test_setup(test_source_keeps_the_chunks_used_last, set_up),
        cmocka_unit_test_setup(test_source_reports_damage_and_goes_on, set_up),
        cmocka_unit_test_setup(test_failed_allocations_end_the_read, set_up),
    };
    return cmocka_run_group_tests(tests, make_archive, drop_archive);
}
