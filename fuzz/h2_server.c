/* SPDX-License-Identifier: MIT */
/* What a client sends on an upgraded connection, against HTTP/2 of the server. Input: byte 0 bytes that the connection takes
 * from us between two reads (times 64; 0: no limit); byte 1 when streams are answered (see enum when, mod 6); byte 2 bit 0:
 * no preface is put before the client's bytes, bit 1: small windows; byte 3 reserved; then the client's bytes.
 *
 * Reaches: pbr_h2_server_* and the stream calls (h2_server.c), nghttp2 below them.
 * Not compared: nghttp2 counts the reads, not the frames, when it refuses more than eight CONTINUATION frames (1.52).
 * Asserts: per stream begin, data*, end at most once, closed exactly once and last, nothing but closed after an answer or a
 * reset; heads and bodies do not depend on how the input is split; what a head says is text without control characters, at
 * most 200 streams are open; memory bodies and sources are released once; a failure is final. */
#include "fuzz.h"

#include "net/h2_server.h"

enum { HEAD = 4, STREAMS_MAX = 2000, OPEN_MAX = 200, STEPS_MAX = 20000, IN_MAX = 8000, BODY = 300, TURN = 3 };

/* IN_MAX: nghttp2 gives up if more than a thousand answers to control frames wait, which depends on the splits. */

enum when { AT_BEGIN, AT_DATA, AT_END, LATER, RESET, GOAWAY, WHENS };

struct stream {
    struct pbr_h2_stream *st; /* NULL once closed */
    bool answered, ended;
    uint64_t head, body;
    uint64_t len;
};

struct world {
    struct pbr_span in;
    size_t pos, budget, limit;
    enum fuzz_split how;
    uint64_t state;
    enum when when;
    struct pbr_h2_server *h2;
    struct stream streams[STREAMS_MAX];
    size_t nr, open_nr, sources;
    int closed;
    bool too_many; /* CONTINUATION frames, says nghttp2 */
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* ---- the connection ---- */

static int wire_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct world *w = ctx;
    (void)diag;
    size_t n = fuzz_piece(w->how, &w->state, w->in.len - w->pos);
    n = n < len ? n : len;
    if (n)
        memcpy(out, w->in.ptr + w->pos, n);
    w->pos += n;
    *ret = n;
    *ret_want = 0; /* the end of input is the end of the connection */
    w->budget = w->limit;
    return PBR_OK;
}

static int wire_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct world *w = ctx;
    (void)diag;
    *ret = w->limit && w->budget < in.len ? w->budget : in.len;
    *ret_want = *ret ? 0 : PBR_PIPE_WRITE;
    w->budget -= w->limit ? *ret : 0;
    return PBR_OK;
}

static void wire_close(void *ctx)
{
    ((struct world *)ctx)->closed++;
}

/* ---- streams ---- */

static int read_source(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    (void)ctx;
    (void)diag;
    MUST(off <= BODY && len <= BODY - off);
    memset(out, 'b', len);
    return PBR_OK;
}

static void close_source(void *ctx)
{
    MUST(((struct world *)ctx)->sources-- > 0);
}

static int answer(struct world *w, struct stream *s)
{
    const size_t turn = (size_t)(s - w->streams) % TURN;
    struct pbr_h2_answer a = { .status = 200 + (int)turn, .content_type = turn ? "text/plain" : NULL, .has_length = turn };
    if (turn == 1) {
        a.mem = pbr_alloc(&fuzz_env, BODY, 1);
        a.length = BODY;
        MUST(a.mem);
    } else if (turn == 2) {
        a.source = (struct pbr_source){ .ctx = w, .size = BODY, .read_at = read_source, .close = close_source };
        a.length = BODY;
        w->sources++;
    }
    MUST(pbr_h2_answer(s->st, &a, NULL) == PBR_OK);
    s->answered = true;
    const struct pbr_h2_answer again = { .status = 500 };
    MUST(pbr_h2_answer(s->st, &again, NULL) == PBR_E_STATE);
    return PBR_OK;
}

static int act(struct world *w, struct stream *s, enum when now)
{
    if (s->answered)
        return PBR_OK;
    if (w->when == GOAWAY && now == AT_END)
        pbr_h2_server_goaway(w->h2);
    if (w->when == RESET && now == AT_DATA) {
        pbr_h2_reset(s->st, 8);
        s->answered = true;
        return PBR_OK;
    }
    return w->when == now || (now == AT_END && w->when != LATER) ? answer(w, s) : PBR_OK;
}

static struct stream *stream_of(struct world *w, struct pbr_h2_stream *st)
{
    struct stream *s = pbr_h2_user(st);
    MUST(s && s >= w->streams && s < w->streams + w->nr && s->st == st);
    return s;
}

static void hash_text(uint64_t *h, const char *text)
{
    for (const char *c = text; c && *c; c++)
        MUST(((unsigned char)*c >= ' ' || *c == '\t') && *c != 0x7f);
    fuzz_hash_str(h, text);
}

static int on_begin(void *ctx, struct pbr_h2_stream *st)
{
    struct world *w = ctx;
    MUST(w->nr < STREAMS_MAX && !pbr_h2_user(st) && pbr_h2_method(st) && pbr_h2_path(st));
    struct stream *s = &w->streams[w->nr++];
    *s = (struct stream){ .st = st, .head = 1, .body = 1 };
    MUST(++w->open_nr <= OPEN_MAX);
    pbr_h2_set_user(st, s);
    fuzz_hash_u64(&s->head, (uint64_t)pbr_h2_id(st));
    hash_text(&s->head, pbr_h2_method(st));
    hash_text(&s->head, pbr_h2_path(st));
    hash_text(&s->head, pbr_h2_content_type(st));
    return act(w, s, AT_BEGIN);
}

static int on_data(void *ctx, struct pbr_h2_stream *st, struct pbr_span piece)
{
    struct world *w = ctx;
    struct stream *s = stream_of(w, st);
    MUST(!s->answered && !s->ended);
    fuzz_hash(&s->body, piece.ptr, piece.len);
    s->len += piece.len;
    return act(w, s, AT_DATA);
}

static int on_end(void *ctx, struct pbr_h2_stream *st)
{
    struct world *w = ctx;
    struct stream *s = stream_of(w, st);
    MUST(!s->answered && !s->ended);
    s->ended = true;
    return act(w, s, AT_END);
}

static void on_closed(void *ctx, struct pbr_h2_stream *st)
{
    struct world *w = ctx;
    stream_of(w, st)->st = NULL;
    w->open_nr--;
}

/* ---- a connection's life ---- */

static void answer_late(struct world *w)
{
    for (size_t i = 0; i < w->nr; i++)
        if (w->streams[i].st && w->streams[i].ended && !w->streams[i].answered)
            (void)answer(w, &w->streams[i]);
}

/* The hash of all heads, and, where splits cannot matter, of all bodies. */
static uint64_t run(struct world *w, enum fuzz_split how, uint8_t limit, bool small, int *ret_rc)
{
    const struct pbr_pipe pipe = { .ctx = w, .fd = -1, .read = wire_read, .write = wire_write, .close = wire_close };
    const struct pbr_h2_server_ops ops = { .begin = on_begin, .data = on_data, .end = on_end, .closed = on_closed, .ctx = w };
    const struct pbr_h2_server_opts opts = { .window = small ? 70000 : 0 };
    struct pbr_diag diag = { 0 };
    uint64_t hash = 1;
    unsigned next = 0;
    int rc = PBR_OK;
    w->how = how;
    w->state = w->in.len;
    w->limit = w->budget = limit * 64u;
    w->pos = w->nr = w->open_nr = w->sources = 0;
    w->closed = 0;
    MUST(pbr_h2_server_new(&fuzz_env, &pipe, &ops, &opts, &w->h2, NULL) == PBR_OK);
    for (int i = 0; i < STEPS_MAX && rc == PBR_OK && !(next & PBR_H2_CLOSED); i++) {
        rc = pbr_h2_server_step(w->h2, &next, &diag);
        if (w->when == LATER && rc == PBR_OK)
            answer_late(w);
    }
    MUST(rc < 0 || (next & PBR_H2_CLOSED)); /* the input has an end */
    if (rc < 0)
        MUST(pbr_h2_server_step(w->h2, &next, NULL) == rc);
    pbr_h2_server_free(w->h2);
    MUST(w->closed == 1 && w->open_nr == 0 && w->sources == 0);
    for (size_t i = 0; i < w->nr; i++) {
        MUST(!w->streams[i].st);
        fuzz_hash_u64(&hash, w->streams[i].head);
        if (w->when == AT_END || w->when == LATER) {
            fuzz_hash_u64(&hash, w->streams[i].body);
            fuzz_hash_u64(&hash, w->streams[i].ended);
        }
    }
    w->too_many |= strstr(diag.text, "CONTINUATION") != NULL;
    *ret_rc = rc;
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < HEAD || len > IN_MAX)
        return 0;
    struct world *w = calloc(1, sizeof(*w));
    struct pbr_buf in;
    int rc[2];
    MUST(w);
    pbr_buf_init(&in, &fuzz_env, IN_MAX + sizeof(preface));
    if (!(data[2] & 1))
        MUST(pbr_buf_append(&in, pbr_span_str(preface)) == PBR_OK);
    MUST(pbr_buf_append(&in, pbr_span(data + HEAD, len - HEAD)) == PBR_OK);
    w->in = pbr_buf_span(&in);
    w->when = data[1] % WHENS;
    const uint64_t whole = run(w, FUZZ_WHOLE, 0, data[2] & 2, &rc[0]);
    for (enum fuzz_split how = FUZZ_BYTES; how < FUZZ_SPLITS; how++) {
        const uint64_t split = run(w, how, 0, data[2] & 2, &rc[1]);
        if (w->when == AT_END || w->when == LATER) /* others end streams and connections in the middle of a piece */
            MUST(w->too_many || (split == whole && rc[0] == rc[1]));
    }
    (void)run(w, FUZZ_RANDOM, data[0], data[2] & 2, &rc[0]);
    pbr_buf_release(&in);
    free(w);
    return 0;
}
