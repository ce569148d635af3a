/* SPDX-License-Identifier: MIT */
/* Sequential reading of an index with read-ahead; see fetch.h. Random access is in fetch_source.c.
 *
 * A slot's life: BUSY (requested, then queued for the decoder) -> READY | FAILED.
 * The window is a ring of the chunks [first, next). Slots that the reader skipped are marked and freed by whoever
 * finishes with them; until then their bytes count against the read-ahead, so that a reader that skips fast does not
 * pile up answers. */
#include "client/fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/limits.h"
#include "client/fetch_int.h"
#include "proto/request.h"
#include "sys/queue.h"

enum { WINDOW_MAX = 64, WINDOW_MIN = 2 };
#define AHEAD_DEFAULT (UINT64_C(32) << 20)

enum slot_state { SLOT_BUSY, SLOT_READY, SLOT_FAILED };

struct slot {
    struct fetch *f;
    uint64_t i;            /* entry of the index */
    enum slot_state state;
    bool dropped;          /* the reader went past it */
    struct pbr_buf raw, out;
    struct pbr_span plain; /* in raw or out */
    int rc;
    struct pbr_diag diag;
};

struct fetch {
    const struct pbr_env *env;
    struct pbr_link *link;
    const struct pbr_fetched_index *ix;
    struct pbr_fetch_opts opts;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct pbr_queue *arrived;
    pthread_t decoder;
    struct slot *ring[WINDOW_MAX];
    uint64_t first, next;  /* entries in the window */
    uint64_t pos;          /* offset of the reader in the archive */
    uint64_t credit;       /* bytes read in a row, less those skipped; at most ahead_bytes */
    uint64_t want_end;     /* of the announced range */
    uint64_t want_credit;  /* credit when it was announced: what counts inside of it */
    size_t busy;           /* slots a callback or the decoder still works on */
    uint64_t late_bytes;   /* plain bytes of the busy slots that were dropped */
};

/* s->f may be gone already. */
static void free_slot(const struct pbr_env *env, struct slot *s)
{
    pbr_buf_release(&s->raw);
    pbr_buf_release(&s->out);
    pbr_free(env, s);
}

/* ---- one chunk ---- */

int pbr_fetch_chunk_path(const struct pbr_env *env, const struct pbr_index *ix, uint64_t i, struct pbr_buf *ret,
                         struct pbr_diag *diag)
{
    struct pbr_buf path;
    pbr_buf_init(&path, env, PBR_URI_MAX);
    const int rc = pbr_request_get_chunk(pbr_index_digest(ix, i), &path);
    if (rc < 0 || !pbr_buf_cstr(&path)) {
        pbr_buf_release(&path);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a request");
    }
    *ret = path;
    return PBR_OK;
}

int pbr_fetch_decode(struct pbr_opener *opener, const struct pbr_fetched_index *ix, uint64_t i,
                     const struct pbr_crypt *crypt, struct pbr_span raw, struct pbr_buf *out,
                     struct pbr_span *ret_plain, struct pbr_diag *diag)
{
    const uint64_t len = pbr_index_end(&ix->index, i) - pbr_index_start(&ix->index, i);
    const struct pbr_open_opts opts = { .crypt = crypt,
                                        .want = ix->crypt_mode == PBR_CRYPT_ENCRYPT ? PBR_OPEN_ENCRYPTED
                                                                                    : PBR_OPEN_UNENCRYPTED,
                                        .digest = pbr_index_digest(&ix->index, i),
                                        .has_len = true,
                                        .len = len };
    int rc = pbr_open_blob(opener, raw, &opts, out, ret_plain, diag);
    if (rc == PBR_E_TRUNCATED) { /* of this chunk: readers of the archive would take it for the archive's end */
        rc = PBR_E_FORMAT;
        if (diag)
            diag->code = PBR_E_FORMAT;
    }
    return rc;
}

void pbr_fetch_name_chunk(const struct pbr_index *ix, uint64_t i, struct pbr_diag *diag)
{
    char hex[2 * PBR_DIGEST_LEN + 1];
    pbr_format_hex(pbr_index_digest(ix, i), PBR_DIGEST_LEN, hex);
    pbr_diag_context(diag, "chunk %s (archive offset %" PRIu64 ")", hex, pbr_index_start(ix, i));
}

/* ---- decoder thread ---- */

static uint64_t slot_bytes(const struct slot *s)
{
    return pbr_index_end(&s->f->ix->index, s->i) - pbr_index_start(&s->f->ix->index, s->i);
}

/* The last that a thread does with its slot: once `busy` is 0 `f` may be gone. */
static void finish_slot(struct slot *s, int rc)
{
    struct fetch *f = s->f;
    const struct pbr_env *env = f->env;
    s->rc = rc;
    if (rc < 0)
        pbr_fetch_name_chunk(&f->ix->index, s->i, &s->diag);
    pthread_mutex_lock(&f->lock);
    const bool drop = s->dropped;
    s->state = rc < 0 ? SLOT_FAILED : SLOT_READY;
    f->busy--;
    f->late_bytes -= drop ? slot_bytes(s) : 0;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (drop)
        free_slot(env, s);
}

static bool is_dropped(struct slot *s)
{
    pthread_mutex_lock(&s->f->lock);
    const bool dropped = s->dropped;
    pthread_mutex_unlock(&s->f->lock);
    return dropped;
}

static void *run_decoder(void *ctx)
{
    struct fetch *f = ctx;
    struct pbr_opener *opener = NULL;
    const int ready = pbr_opener_new(f->env, &opener);
    for (;;) {
        void *element;
        pbr_queue_pop(f->arrived, &element);
        struct slot *s = element;
        if (!s)
            break;
        int rc = ready;
        if (is_dropped(s)) /* nobody will look at it */
            rc = PBR_E_CANCELED;
        else if (rc < 0)
            (void)pbr_fail_at(&s->diag, rc, NULL, "no memory for a decompressor");
        else
            rc = pbr_fetch_decode(opener, f->ix, s->i, f->opts.crypt, pbr_buf_span(&s->raw), &s->out, &s->plain,
                                  &s->diag);
        finish_slot(s, rc);
    }
    pbr_opener_free(opener);
    return NULL;
}

/* ---- requests ---- */

static void on_chunk(void *ctx, int rc, struct pbr_h2_reply *reply, const struct pbr_diag *failure)
{
    struct slot *s = ctx;
    struct fetch *f = s->f;
    s->diag = *failure;
    if (rc == PBR_OK)
        rc = pbr_link_status(reply, &s->diag);
    if (rc == PBR_OK) {
        s->raw = reply->body;
        pbr_buf_init(&reply->body, f->env, 0);
        rc = pbr_queue_push(f->arrived, s); /* longer than `busy` gets: never blocks */
        if (rc == PBR_OK)
            return;
        (void)pbr_fail_at(&s->diag, rc, NULL, "reading was stopped");
    }
    finish_slot(s, rc);
}

static int request(struct fetch *f, uint64_t i, struct pbr_diag *diag)
{
    struct pbr_buf path;
    int rc = pbr_fetch_chunk_path(f->env, &f->ix->index, i, &path, diag);
    if (rc < 0)
        return rc;
    struct slot *s = pbr_alloc(f->env, 1, sizeof(*s));
    if (!s) {
        pbr_buf_release(&path);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a chunk");
    }
    s->f = f;
    s->i = i;
    pbr_buf_init(&s->raw, f->env, PBR_CHUNK_RAW_MAX);
    pbr_buf_init(&s->out, f->env, PBR_CHUNK_MAX);
    const struct pbr_h2_req req = { .method = "GET",
                                    .path = pbr_buf_cstr(&path),
                                    .reply_max = PBR_CHUNK_RAW_MAX,
                                    .done = on_chunk,
                                    .ctx = s };
    pthread_mutex_lock(&f->lock);
    f->busy++;
    pthread_mutex_unlock(&f->lock);
    rc = pbr_link_submit(f->link, &req, diag); /* copies the path */
    pbr_buf_release(&path);
    if (rc < 0) {
        pthread_mutex_lock(&f->lock);
        f->busy--;
        pthread_mutex_unlock(&f->lock);
        free_slot(f->env, s);
        return rc;
    }
    f->ring[i % WINDOW_MAX] = s;
    return PBR_OK;
}

/* How far beyond the reader's position chunks are worth a request; see fetch.h. */
static uint64_t wanted_ahead(const struct fetch *f)
{
    if (f->pos >= f->want_end)
        return f->credit;
    const uint64_t left = f->want_end - f->pos;
    return left > f->want_credit ? left : f->want_credit;
}

/* May entry `next` be requested? The one at the reader's position always. */
static bool may_request(struct fetch *f)
{
    const uint64_t held = f->next - f->first;
    if (held == 0 || f->next >= f->ix->index.entry_nr)
        return f->next < f->ix->index.entry_nr;
    pthread_mutex_lock(&f->lock);
    const size_t busy = f->busy;
    const uint64_t late = f->late_bytes;
    pthread_mutex_unlock(&f->lock);
    const uint64_t distance = pbr_index_start(&f->ix->index, f->next) - f->pos;
    if (distance >= wanted_ahead(f))
        return false;
    const bool near = late < f->opts.ahead_bytes && distance < f->opts.ahead_bytes - late;
    return held < WINDOW_MAX && busy < WINDOW_MAX && (near || (late == 0 && held < WINDOW_MIN));
}

/* Requests everything that belongs into the window of the current position. */
static int fill_window(struct fetch *f, struct pbr_diag *diag)
{
    while (may_request(f)) {
        const int rc = request(f, f->next, diag);
        if (rc < 0)
            return rc;
        f->next++;
    }
    return PBR_OK;
}

/* Takes the first slot out of the window. */
static void drop_first(struct fetch *f)
{
    struct slot *s = f->ring[f->first % WINDOW_MAX];
    f->ring[f->first % WINDOW_MAX] = NULL;
    f->first++;
    pthread_mutex_lock(&f->lock);
    s->dropped = true;
    const bool done = s->state != SLOT_BUSY;
    f->late_bytes += done ? 0 : slot_bytes(s);
    pthread_mutex_unlock(&f->lock);
    if (done)
        free_slot(f->env, s);
}

/* Moves the window so that the chunk at pos is its first. */
static void move_window(struct fetch *f)
{
    const struct pbr_index *ix = &f->ix->index;
    uint64_t want = ix->entry_nr;
    (void)pbr_index_lookup(ix, f->pos, &want);
    while (f->first < f->next && f->first < want)
        drop_first(f);
    if (f->first < want)
        f->first = f->next = want;
}

/* ---- stream ---- */

static int stream_peek(void *ctx, struct pbr_span *ret, struct pbr_diag *diag)
{
    struct fetch *f = ctx;
    if (f->pos >= f->ix->index.size) {
        *ret = pbr_span(NULL, 0);
        return PBR_OK;
    }
    move_window(f);
    int rc = fill_window(f, diag);
    if (rc < 0)
        return rc;
    struct slot *s = f->ring[f->first % WINDOW_MAX];
    pthread_mutex_lock(&f->lock);
    while (s->state == SLOT_BUSY)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
    if (s->state == SLOT_FAILED) {
        if (diag && diag->code == PBR_OK)
            *diag = s->diag;
        return s->rc;
    }
    const uint64_t inside = f->pos - pbr_index_start(&f->ix->index, s->i);
    *ret = pbr_span_sub(s->plain, (size_t)inside, s->plain.len);
    return PBR_OK;
}

static void stream_consume(void *ctx, size_t n)
{
    struct fetch *f = ctx;
    const uint64_t room = f->opts.ahead_bytes - f->credit;
    f->pos += n;
    f->credit += n < room ? n : room;
}

static void stream_expect(void *ctx, uint64_t n)
{
    struct fetch *f = ctx;
    const uint64_t left = f->ix->index.size - f->pos;
    f->want_end = f->pos + (n < left ? n : left);
    f->want_credit = f->credit;
}

/* Bytes of the chunk that was handed out last may be passed over for nothing, others cost. */
static void pay_for_skip(struct fetch *f, uint64_t n)
{
    const uint64_t held_end = f->first < f->next ? pbr_index_end(&f->ix->index, f->first) : 0;
    const uint64_t end = f->pos + n;
    const uint64_t from = f->pos > held_end ? f->pos : held_end;
    const uint64_t price = end > from ? end - from : 0;
    f->credit -= price < f->credit ? price : f->credit;
}

static int stream_skip(void *ctx, uint64_t n, struct pbr_diag *diag)
{
    struct fetch *f = ctx;
    if (n > f->ix->index.size - f->pos)
        return pbr_fail(diag, PBR_E_TRUNCATED, NULL, f->pos, "archive ends %" PRIu64 " bytes early",
                        n - (f->ix->index.size - f->pos));
    pay_for_skip(f, n);
    f->pos += n;
    return PBR_OK;
}

static void stream_close(void *ctx)
{
    struct fetch *f = ctx;
    while (f->first < f->next)
        drop_first(f);
    pthread_mutex_lock(&f->lock);
    while (f->busy > 0)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
    pbr_queue_close(f->arrived);
    pthread_join(f->decoder, NULL);
    pbr_queue_free(f->arrived);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    pbr_free(f->env, f);
}

int pbr_fetch_stream(const struct pbr_env *env, struct pbr_link *link, const struct pbr_fetched_index *ix,
                     const struct pbr_fetch_opts *opts, struct pbr_stream *ret, struct pbr_diag *diag)
{
    struct fetch *f = pbr_alloc(env, 1, sizeof(*f));
    if (!f || pbr_queue_new(env, WINDOW_MAX * 2, &f->arrived) < 0) {
        pbr_free(env, f);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to read an archive");
    }
    f->env = env;
    f->link = link;
    f->ix = ix;
    f->opts = *opts;
    if (f->opts.ahead_bytes == 0)
        f->opts.ahead_bytes = AHEAD_DEFAULT;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    const int failed = pthread_create(&f->decoder, NULL, run_decoder, f);
    if (failed) {
        pthread_cond_destroy(&f->changed);
        pthread_mutex_destroy(&f->lock);
        pbr_queue_free(f->arrived);
        pbr_free(env, f);
        return pbr_fail_os(diag, failed, "cannot start a decoding thread");
    }
    *ret = (struct pbr_stream){ .ctx = f,
                                .peek = stream_peek,
                                .consume = stream_consume,
                                .skip = stream_skip,
                                .expect = stream_expect,
                                .close = stream_close };
    return PBR_OK;
}
