/* SPDX-License-Identifier: MIT */
/* covers: BKP-071 BKP-235 BKP-240 BKP-242 BKP-243 BKP-244 BKP-245 BKP-302 CHK-087 */
/* The upload pipeline against a scripted server that plays the backup protocol, checks every rule as requests come in, and
 * may answer out of order or not at all. The client's threads are the real ones. */
#include "h2_fake.h"

#include <jansson.h>

#include "client/upload.h"
#include "net/tls_server.h"
#include "sys/env.h"

enum { IDS_MAX = 2000, LEN_MAX = 300, ENTRIES_MAX = 2000 };

/* Where and how the server misbehaves; nth counts from 0. */
enum fault_where { AT_NONE, AT_CREATE, AT_CHUNK, AT_APPEND, AT_CLOSE };
enum fault_what { DO_REFUSE, DO_RESET, DO_DROP, DO_GOAWAY, DO_SILENCE_THEN_DROP, DO_GARBAGE };

struct server {
    struct fake h2;
    bool late; /* answers chunks and appends out of order, newest first, whenever the client goes quiet */
    enum fault_where where;
    enum fault_what what;
    size_t nth, seen;
    bool appending; /* an append is not answered yet */
    bool bare;      /* answers without a result have no body at all */
    uint64_t pos;   /* end of what was appended */
    size_t chunk_nr, append_nr, close_nr, largest_append, entry_nr;
    uint64_t entries[ENTRIES_MAX]; /* ids in the order of appends */
    bool sent[IDS_MAX], acked[IDS_MAX], known[IDS_MAX];
    char broken[200]; /* the first rule that the client broke */
};

static struct mt_world world;
static struct pbr_env env;

/* ---- chunks: id i has len_of(i) bytes, the first eight are i ---- */

static size_t len_of(uint64_t id)
{
    return 20 + id % (LEN_MAX - 20);
}

static void content_of(uint64_t id, uint8_t *out)
{
    uint64_t state = id;
    for (size_t i = 0; i < len_of(id); i++)
        out[i] = (uint8_t)(i < 8 ? id >> 8 * i : test_next_random(&state) & (id % 3 ? 0xff : 1));
}

static uint8_t digests[IDS_MAX][PBR_DIGEST_LEN];

static int make_digests(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < IDS_MAX; id++) {
        uint8_t content[LEN_MAX];
        content_of(id, content);
        check_int(pbr_chunk_digest(NULL, pbr_span(content, len_of(id)), digests[id]), PBR_OK);
    }
    return 0;
}

static size_t id_of(const char *hex)
{
    uint8_t digest[PBR_DIGEST_LEN];
    size_t id = 0;
    if (!pbr_parse_hex(pbr_span_str(hex), digest, PBR_DIGEST_LEN))
        return IDS_MAX;
    while (id < IDS_MAX && memcmp(digests[id], digest, PBR_DIGEST_LEN) != 0)
        id++;
    return id;
}

/* ---- server (its thread) ---- */

#define MUST(server, cond)                                                                         \
    do {                                                                                           \
        if (!(cond) && !(server)->broken[0])                                                       \
            snprintf((server)->broken, sizeof((server)->broken), "line %d: %s", __LINE__, #cond);  \
    } while (0)

static bool misbehave(struct server *s, struct fake_stream *st, enum fault_where where)
{
    if (s->where != where || s->seen++ != s->nth)
        return false;
    switch (s->what) {
    case DO_REFUSE: fake_answer_text(&s->h2, st, 400, "backup already marked as finished."); break;
    case DO_RESET: fake_reset(&s->h2, st, NGHTTP2_INTERNAL_ERROR); break;
    case DO_DROP: s->h2.close_after_send = true; break;
    case DO_GOAWAY:
        nghttp2_session_terminate_session(s->h2.session, NGHTTP2_ENHANCE_YOUR_CALM);
        s->h2.close_after_send = true;
        break;
    case DO_SILENCE_THEN_DROP: st->answered = true; break; /* and see on_idle */
    case DO_GARBAGE: fake_answer_text(&s->h2, st, 200, where == AT_CREATE ? "{\"data\":\"x\"}" : "no json"); break;
    }
    return true;
}

static uint64_t query_u64(const struct fake_stream *st, const char *name)
{
    char text[128];
    uint64_t v = UINT64_MAX;
    (void)!pbr_parse_u64(pbr_span_str(fake_query(st, name, text)), 0, UINT64_MAX, &v);
    return v;
}

static void take_chunk(struct server *s, struct fake_stream *st)
{
    char hex[128];
    const size_t id = id_of(fake_query(st, "digest", hex));
    struct pbr_opener *opener;
    struct pbr_buf out;
    struct pbr_span plain;
    MUST(s, id < IDS_MAX && !s->known[id] && !s->sent[id]);
    if (s->broken[0])
        return;
    MUST(s, query_u64(st, "wid") == 1 && query_u64(st, "encoded-size") == st->len && query_u64(st, "size") == len_of(id));
    const struct pbr_env plain_env = pbr_sys_env(NULL, NULL);
    const struct pbr_open_opts opts = { .digest = digests[id], .has_len = true, .len = len_of(id) };
    MUST(s, pbr_opener_new(&plain_env, &opener) == PBR_OK);
    pbr_buf_init(&out, &plain_env, LEN_MAX);
    MUST(s, pbr_open_blob(opener, pbr_span(st->body, st->len), &opts, &out, &plain, NULL) == PBR_OK);
    pbr_buf_release(&out);
    pbr_opener_free(opener);
    s->sent[id] = true;
    s->chunk_nr++;
}

static void take_append(struct server *s, struct fake_stream *st)
{
    json_t *body = json_loadb((const char *)st->body, st->len, 0, NULL);
    const json_t *list = json_object_get(body, "digest-list"), *offsets = json_object_get(body, "offset-list");
    MUST(s, !s->appending); /* serial (BKP-240) */
    MUST(s, st->len > 16 && memcmp(st->body, "{\"digest-list\":[", 16) == 0); /* BKP-242 */
    MUST(s, strcmp(st->content_type, "application/json") == 0);
    MUST(s, json_array_size(list) == json_array_size(offsets) && json_array_size(list) > 0);
    MUST(s, json_integer_value(json_object_get(body, "wid")) == 1);
    for (size_t i = 0; i < json_array_size(list) && !s->broken[0]; i++) {
        const size_t id = id_of(json_string_value(json_array_get(list, i)));
        MUST(s, id < IDS_MAX && (s->acked[id] || s->known[id])); /* only after its upload was acknowledged */
        MUST(s, (uint64_t)json_integer_value(json_array_get(offsets, i)) == s->pos);
        MUST(s, s->entry_nr < ENTRIES_MAX);
        if (s->broken[0])
            break;
        s->entries[s->entry_nr++] = id;
        s->pos += len_of(id);
    }
    s->append_nr++;
    s->largest_append = json_array_size(list) > s->largest_append ? json_array_size(list) : s->largest_append;
    s->appending = true;
    json_decref(body);
}

static void acknowledge(struct server *s, struct fake_stream *st)
{
    char hex[128];
    if (fake_is(st, "PUT", "/dynamic_index"))
        s->appending = false;
    else if (id_of(fake_query(st, "digest", hex)) < IDS_MAX)
        s->acked[id_of(fake_query(st, "digest", hex))] = true;
    fake_answer_text(&s->h2, st, 200, s->bare ? "" : "{\"data\":null}");
}

static void check_close(struct server *s, struct fake_stream *st)
{
    struct pbr_index_sum *sum;
    const struct pbr_env plain_env = pbr_sys_env(NULL, NULL);
    uint8_t csum[PBR_DIGEST_LEN];
    char hex[2 * PBR_DIGEST_LEN + 1], text[128];
    uint64_t end = 0;
    MUST(s, pbr_index_sum_new(&plain_env, PBR_INDEX_DYNAMIC, &sum) == PBR_OK);
    for (size_t i = 0; i < s->entry_nr; i++)
        MUST(s, pbr_index_sum_add(sum, end += len_of(s->entries[i]), digests[s->entries[i]]) == PBR_OK);
    MUST(s, pbr_index_sum_result(sum, csum) == PBR_OK);
    pbr_index_sum_free(sum);
    pbr_format_hex(csum, PBR_DIGEST_LEN, hex);
    MUST(s, strcmp(fake_query(st, "csum", text), hex) == 0); /* BKP-243, BKP-244 */
    MUST(s, query_u64(st, "chunk-count") == s->entry_nr && query_u64(st, "size") == end && query_u64(st, "wid") == 1);
    MUST(s, !s->appending);
    s->close_nr++;
}

static void handle(struct fake *f, struct fake_stream *st)
{
    struct server *s = f->ctx;
    enum fault_where where = AT_NONE;
    if (fake_is(st, "POST", "/dynamic_index"))
        where = AT_CREATE;
    else if (fake_is(st, "POST", "/dynamic_chunk"))
        where = AT_CHUNK;
    else if (fake_is(st, "PUT", "/dynamic_index"))
        where = AT_APPEND;
    else if (fake_is(st, "POST", "/dynamic_close"))
        where = AT_CLOSE;
    MUST(s, where != AT_NONE);
    if (misbehave(s, st, where))
        return;
    if (where == AT_CHUNK)
        take_chunk(s, st);
    if (where == AT_APPEND)
        take_append(s, st);
    if (where == AT_CLOSE)
        check_close(s, st);
    if (where == AT_CREATE) {
        MUST(s, st->len == 0 && strcmp(st->path, "/dynamic_index?archive-name=a.didx") == 0);
        fake_answer_text(f, st, 200, "{\"data\":1}");
    } else if (!s->late || where == AT_CLOSE) {
        acknowledge(s, st);
    }
}

/* Nothing came for a while: the newest unanswered request gets its answer, three times; a silent server goes away. */
static void on_idle(struct fake *f)
{
    struct server *s = f->ctx;
    int left = 3;
    for (struct fake_stream *st = f->streams; st && left > 0; st = st->next)
        if (st->complete && !st->answered) {
            acknowledge(s, st);
            left--;
        }
    if (s->where && s->what == DO_SILENCE_THEN_DROP && s->seen > s->nth && left == 3)
        f->close_after_send = true;
}

/* ---- client ---- */

struct step {
    uint64_t id;
    uint64_t injected; /* if not 0: that many chunks id, id + 1, ... are injected instead */
};

static int feed(struct pbr_upload *u, const struct step *steps, size_t nr, struct pbr_diag *diag)
{
    const struct pbr_chunk_out out = pbr_upload_out(u);
    uint64_t pos = 0;
    int rc = PBR_OK;
    for (size_t i = 0; i < nr && rc == PBR_OK; i++) {
        if (steps[i].injected) {
            struct pbr_inject_chunk chunks[32];
            const struct pbr_inject inject = { chunks, steps[i].injected };
            for (size_t k = 0; k < inject.chunk_nr; k++) {
                memcpy(chunks[k].digest, digests[steps[i].id + k], PBR_DIGEST_LEN);
                chunks[k].size = len_of(steps[i].id + k);
            }
            rc = out.inject(out.ctx, pos, &inject, diag);
            for (size_t k = 0; k < inject.chunk_nr; k++)
                pos += chunks[k].size;
            continue;
        }
        uint8_t *buf;
        rc = out.acquire(out.ctx, LEN_MAX, &buf, diag);
        if (rc < 0)
            break;
        content_of(steps[i].id, buf);
        rc = out.raw(out.ctx, buf, len_of(steps[i].id), pos, diag);
        pos += len_of(steps[i].id);
    }
    return rc;
}

struct session {
    struct pbr_link *link;
    struct pbr_pipeline *pipeline;
};

static int session_open(struct session *c, struct server *s, const struct pbr_pipeline_opts *opts, struct pbr_diag *diag)
{
    int fds[2];
    struct pbr_pipe pipe;
    *c = (struct session){ 0 };
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    check_int(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    fake_init(&s->h2, fds[1], 0, handle, s);
    s->h2.idle = s->late || s->what == DO_SILENCE_THEN_DROP ? on_idle : NULL;
    fake_start(&s->h2);
    int rc = pbr_pipe_socket(&env, fds[0], &pipe, diag);
    if (rc < 0) {
        close(fds[0]);
        return rc;
    }
    rc = pbr_link_new(&env, &pipe, &c->link, diag);
    return rc == PBR_OK ? pbr_pipeline_new(&env, c->link, opts, &c->pipeline, diag) : rc;
}

static void session_close(struct session *c, struct server *s)
{
    pbr_pipeline_stop(c->pipeline);
    pbr_link_free(c->link);
    pbr_pipeline_free(c->pipeline);
    fake_release(&s->h2);
}

/* A whole upload; the failing call's result. `known`: ids below it are known from an earlier snapshot. */
static int run(struct server *s, const struct step *steps, size_t nr, uint64_t known_nr, unsigned workers,
               struct pbr_upload_stats *ret, struct pbr_diag *diag)
{
    struct session c;
    struct pbr_known known;
    struct pbr_upload *u = NULL;
    const struct pbr_pipeline_opts opts = { .workers = workers, .in_flight_max = 2000 };
    pbr_known_init(&known, &env);
    for (uint64_t id = 0; id < known_nr; id++)
        s->known[id] = true;
    int rc = session_open(&c, s, &opts, diag);
    for (uint64_t id = 0; id < known_nr && rc == PBR_OK; id++) {
        rc = pbr_known_set(&known, digests[id], 1);
        if (rc < 0)
            (void)pbr_fail_at(diag, rc, NULL, "known");
    }
    if (rc == PBR_OK)
        rc = pbr_upload_open(c.pipeline, "a.didx", PBR_INDEX_DYNAMIC, 0, &known, &u, diag);
    if (rc == PBR_OK)
        rc = feed(u, steps, nr, diag);
    if (rc == PBR_OK)
        rc = pbr_upload_finish(u, ret, diag);
    if (rc == PBR_OK)
        rc = pbr_upload_close(u, diag);
    pbr_known_release(&known);
    session_close(&c, s);
    check_str(s->broken, "");
    check_int(atomic_load(&world.live_allocs), 0);
    return rc;
}

static int set_up(void **state)
{
    (void)state;
    env = mt_env(&world);
    return 0;
}

static void check_entries(const struct server *s, const struct step *steps, size_t nr)
{
    size_t at = 0;
    for (size_t i = 0; i < nr; i++)
        for (uint64_t k = 0; k < (steps[i].injected ? steps[i].injected : 1); k++) {
            check(at < s->entry_nr);
            check_u64(s->entries[at], steps[i].id + k);
            at++;
        }
    check_int(at, s->entry_nr);
    check_int(s->close_nr, 1);
}

/* ---- tests ---- */

static void test_new_chunks_are_sent_once_and_appended_in_order(void **state)
{
    (void)state;
    static struct step steps[900];
    for (size_t i = 0; i < 900; i++)
        steps[i].id = i % 3 == 2 ? i / 2 : i; /* every third repeats an earlier one, perhaps still under way */
    size_t new_nr = 0;
    bool seen[900] = { false };
    for (size_t i = 0; i < 900; i++) {
        new_nr += !seen[steps[i].id];
        seen[steps[i].id] = true;
    }
    for (int late = 0; late < 2; late++)
        for (unsigned workers = 1; workers <= 4; workers += 3) {
            static struct server s;
            struct pbr_upload_stats stats;
            s = (struct server){ .late = late };
            check_int(run(&s, steps, late ? 200 : 900, 0, workers, &stats, NULL), PBR_OK);
            check_entries(&s, steps, late ? 200 : 900);
            check_u64(stats.new_nr, s.chunk_nr);
            check_u64(stats.new_nr + stats.known_nr, stats.chunk_nr);
            check_u64(stats.acked_bytes, stats.encoded_bytes);
            check_u64(stats.size, s.pos);
            check(s.largest_append <= 256);
            if (!late)
                check_u64(stats.new_nr, new_nr);
        }
}

/* Workers meet at the same digest: whoever comes second must wait for the upload of the first, though it may stand before
 * it in the stream. */
static void test_twins_are_appended_after_the_upload_of_either(void **state)
{
    (void)state;
    static struct server s;
    static struct step steps[80];
    struct pbr_upload_stats stats;
    for (size_t i = 0; i < 80; i++)
        steps[i].id = i / 4;
    for (int round = 0; round < 15; round++) {
        s = (struct server){ .late = true };
        check_int(run(&s, steps, 80, 0, 4, &stats, NULL), PBR_OK);
        check_entries(&s, steps, 80);
        check_int(s.chunk_nr, 20);
        check_u64(stats.known_nr, 60);
    }
}

static void test_known_chunks_are_not_sent(void **state)
{
    (void)state;
    static struct server s;
    static struct step steps[600];
    struct pbr_upload_stats stats;
    for (size_t i = 0; i < 600; i++)
        steps[i].id = i % 10 == 9 ? 500 + i : i % 500;
    s = (struct server){ 0 };
    check_int(run(&s, steps, 600, 500, 2, &stats, NULL), PBR_OK);
    check_entries(&s, steps, 600);
    check_int(s.chunk_nr, 60);
    check_u64(stats.known_nr, 540);
    check_u64(stats.new_nr, 60);
}

static void test_injected_chunks_stand_where_they_belong(void **state)
{
    (void)state;
    static struct server s;
    static const struct step steps[] = { { 0, 30 }, { 100, 0 }, { 101, 0 }, { 30, 5 }, { 40, 32 }, { 102, 0 }, { 90, 1 } };
    struct pbr_upload_stats stats;
    uint64_t injected_bytes = 0;
    for (int late = 0; late < 2; late++) {
        s = (struct server){ .late = late };
        /* known to the server from the previous index, but not to this upload's set */
        for (uint64_t id = 0; id < 95; id++)
            s.known[id] = true;
        check_int(run(&s, steps, sizeof(steps) / sizeof(steps[0]), 0, 2, &stats, NULL), PBR_OK);
        check_entries(&s, steps, sizeof(steps) / sizeof(steps[0]));
        check_int(s.chunk_nr, 3);
        check_u64(stats.injected_nr, 68);
        check_u64(stats.chunk_nr, 71);
        injected_bytes = stats.size - stats.new_bytes;
        check_u64(stats.injected_bytes, injected_bytes);
    }
}

static void test_empty_stream_is_closed_without_an_append(void **state)
{
    (void)state;
    static struct server s;
    struct pbr_upload_stats stats;
    s = (struct server){ 0 };
    check_int(run(&s, NULL, 0, 0, 0, &stats, NULL), PBR_OK);
    check_int(s.append_nr, 0);
    check_int(s.close_nr, 1);
    check_u64(stats.size, 0);
}

static void test_empty_answers_are_as_good_as_null(void **state)
{
    (void)state;
    static struct server s;
    static struct step steps[20];
    struct pbr_upload_stats stats;
    for (size_t i = 0; i < 20; i++)
        steps[i].id = i;
    s = (struct server){ .bare = true };
    check_int(run(&s, steps, 20, 0, 2, &stats, NULL), PBR_OK);
    check_entries(&s, steps, 20);
}

static void test_slow_answers_bound_what_is_in_flight(void **state)
{
    (void)state;
    static struct server s;
    static struct step steps[120];
    struct pbr_upload_stats stats;
    for (size_t i = 0; i < 120; i++)
        steps[i].id = i;
    s = (struct server){ .late = true };
    check_int(run(&s, steps, 120, 0, 4, &stats, NULL), PBR_OK);
    check_entries(&s, steps, 120);
    /* 2000 bytes of blobs of at least 32 bytes, and one append */
    check(s.h2.open_max <= 2000 / 32 + 2);
}

static void test_every_failure_of_the_server_ends_the_upload(void **state)
{
    static const struct {
        enum fault_where where;
        size_t nth;
    } places[] = { { AT_CREATE, 0 }, { AT_CHUNK, 0 },  { AT_CHUNK, 17 }, { AT_CHUNK, 199 },
                   { AT_APPEND, 0 }, { AT_APPEND, 1 }, { AT_CLOSE, 0 } };
    static struct step steps[400];
    (void)state;
    for (size_t i = 0; i < 400; i++)
        steps[i].id = i / 2; /* 200 new ones, each twice */
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        for (enum fault_what what = DO_REFUSE; what <= DO_GARBAGE; what++)
            for (int late = 0; late < 2; late++) {
                static struct server s;
                struct pbr_upload_stats stats;
                struct pbr_diag diag = { 0 };
                if (what == DO_GARBAGE && places[i].where != AT_CREATE && places[i].where != AT_CLOSE)
                    continue; /* the bodies of the other answers are not looked at */
                s = (struct server){ .late = late, .where = places[i].where, .what = what, .nth = places[i].nth };
                const int rc = run(&s, steps, late ? 220 : 400, 0, 2, &stats, &diag);
                if (late && s.seen <= s.nth) { /* not reached: late answers make few, large appends */
                    check_int(rc, PBR_OK);
                    continue;
                }
                check(rc < 0);
                check_int(diag.code, rc);
                check(diag.text[0]);
                check_int(s.close_nr, 0);
                if (what == DO_REFUSE) {
                    check_int(rc, PBR_E_REMOTE);
                    check_int(diag.status, 400);
                    check(strstr(diag.text, "backup already marked as finished."));
                }
            }
}

static void test_upload_given_up_in_the_middle_leaves_nothing_behind(void **state)
{
    (void)state;
    for (size_t stop_after = 0; stop_after < 90; stop_after += 9) {
        static struct server s;
        static struct step steps[100];
        struct session c;
        struct pbr_upload *u;
        const struct pbr_pipeline_opts opts = { .workers = 3 };
        for (size_t i = 0; i < 100; i++)
            steps[i].id = i;
        s = (struct server){ .late = stop_after % 2 };
        check_int(session_open(&c, &s, &opts, NULL), PBR_OK);
        check_int(pbr_upload_open(c.pipeline, "a.didx", PBR_INDEX_DYNAMIC, 0, NULL, &u, NULL), PBR_OK);
        check_int(feed(u, steps, stop_after, NULL), PBR_OK);
        session_close(&c, &s);
        check_str(s.broken, "");
        check_int(atomic_load(&world.live_allocs), 0);
    }
}

static void test_use_after_a_failure_is_refused(void **state)
{
    (void)state;
    static struct server s;
    struct session c;
    struct pbr_upload *u;
    struct pbr_upload_stats stats;
    const struct pbr_pipeline_opts opts = { .workers = 1 };
    const struct step step = { .id = 3 };
    uint8_t *buf;
    s = (struct server){ .where = AT_CHUNK, .what = DO_REFUSE };
    check_int(session_open(&c, &s, &opts, NULL), PBR_OK);
    check_int(pbr_upload_open(c.pipeline, "a.didx", PBR_INDEX_DYNAMIC, 0, NULL, &u, NULL), PBR_OK);
    check_int(feed(u, &step, 1, NULL), PBR_OK);
    check_int(pbr_upload_finish(u, &stats, NULL), PBR_E_REMOTE);
    const struct pbr_chunk_out out = pbr_upload_out(u);
    check_int(out.acquire(out.ctx, LEN_MAX, &buf, NULL), PBR_E_REMOTE);
    check_int(out.inject(out.ctx, 0, &(struct pbr_inject){ 0 }, NULL), PBR_E_REMOTE);
    check_int(pbr_upload_finish(u, &stats, NULL), PBR_E_REMOTE);
    session_close(&c, &s);
    check_int(atomic_load(&world.live_allocs), 0);
}

/* Threads make the order of allocations vary: any failure is fine, as long as the run ends and nothing is left. */
static void test_failed_allocations_end_the_upload(void **state)
{
    static struct step steps[60];
    size_t failures = 0;
    (void)state;
    for (size_t i = 0; i < 60; i++)
        steps[i].id = i % 40;
    for (long nth = 0; nth < 5000; nth += nth < 40 ? 1 : 13) {
        static struct server s;
        struct pbr_upload_stats stats;
        struct pbr_diag diag = { 0 };
        s = (struct server){ 0 };
        env = mt_env(&world);
        atomic_store(&world.fail_at, nth);
        const int rc = run(&s, steps, 60, 10, 2, &stats, &diag);
        const bool hit = atomic_load(&world.hit);
        if (!hit) {
            check_int(rc, PBR_OK);
            check(failures > 20);
            return;
        }
        failures += rc < 0;
        check(rc == PBR_OK || rc == PBR_E_NOMEM);
        check(rc == PBR_OK || diag.text[0]);
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_new_chunks_are_sent_once_and_appended_in_order, set_up),
        cmocka_unit_test_setup(test_twins_are_appended_after_the_upload_of_either, set_up),
        cmocka_unit_test_setup(test_known_chunks_are_not_sent, set_up),
        cmocka_unit_test_setup(test_injected_chunks_stand_where_they_belong, set_up),
        cmocka_unit_test_setup(test_empty_stream_is_closed_without_an_append, set_up),
        cmocka_unit_test_setup(test_empty_answers_are_as_good_as_null, set_up),
        cmocka_unit_test_setup(test_slow_answers_bound_what_is_in_flight, set_up),
        cmocka_unit_test_setup(test_every_failure_of_the_server_ends_the_upload, set_up),
        cmocka_unit_test_setup(test_upload_given_up_in_the_middle_leaves_nothing_behind, set_up),
        cmocka_unit_test_setup(test_use_after_a_failure_is_refused, set_up),
        cmocka_unit_test_setup(test_failed_allocations_end_the_upload, set_up),
    };
    return cmocka_run_group_tests(tests, make_digests, NULL);
}
