/* SPDX-License-Identifier: MIT */
/* Chunk uploads and index appends; see upload.h.
 *
 * One lock guards the whole pipeline: it is held for list and counter work only, never while hashing, compressing or
 * waiting for the network. A job's life, in this order:
 *
 *   QUEUED -> (worker) KNOWN                      its digest is on the server, or will be: see `pending` below
 *          -> (worker) SENT -> (answer) ACKED
 *
 * The known map holds ACKED or PENDING per digest. A chunk that equals one still under way is KNOWN, but is appended
 * only once that one was acknowledged. */
#include "client/upload.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "proto/request.h"
#include "sys/env.h"
#include "sys/queue.h"

enum {
    APPEND_AT = 64,           /* entries that trigger an append (BKP-237) */
    APPEND_MAX = 256,         /* entries in one append: below 64 KiB of JSON for old servers (BKP-066, BKP-241) */
    WORKERS_MAX = 4,
    QUEUE_LEN = 64,
    BUFFER_BYTES = 64 << 20,  /* plain chunk buffers of one upload in all */
    BUFFERS_MIN = 5,          /* two in the stream, one per worker, one waiting */
    BUFFERS_MAX = 64,
};

enum job_state { JOB_QUEUED, JOB_KNOWN, JOB_SENT, JOB_ACKED };
enum { KNOWN_PENDING = 0, KNOWN_ACKED = 1 };

struct job {
    struct job *next;
    struct pbr_upload *upload;
    enum job_state state;
    uint8_t *plain;         /* pool buffer, until sealed */
    size_t len;
    uint64_t start;
    uint8_t digest[PBR_DIGEST_LEN];
    struct pbr_buf raw;     /* sealed blob, until acknowledged */
};

struct free_buffer {
    struct free_buffer *next;
};

struct pbr_upload {
    struct pbr_upload *next;
    struct pbr_pipeline *p;
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    enum pbr_index_kind kind;
    uint64_t wid;
    struct pbr_known known;
    struct pbr_index_sum *sum;
    struct job *first, **last;     /* jobs in stream order that are not in a batch yet */
    struct pbr_append_entry batch[APPEND_MAX];
    size_t batch_nr;
    struct pbr_buf append_body;    /* the append under way */
    bool appending, finishing;
    struct pbr_upload_stats stats;
    uint64_t begin_ns;
    int failed; /* the server refused something of it; the others may go on */
    struct pbr_diag diag;
    struct free_buffer *free_buffers;
    size_t buffer_nr, buffer_max, buffer_cap;
};

struct pbr_pipeline {
    const struct pbr_env *env;
    struct pbr_link *link;
    struct pbr_pipeline_opts opts;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything: buffers, in-flight bytes, jobs done, failure */
    struct pbr_queue *queue;
    pthread_t workers[WORKERS_MAX];
    unsigned worker_nr;
    uint64_t in_flight;
    int failed;
    struct pbr_diag diag;
    struct pbr_upload *uploads;
};

/* ---- failure: the first one counts, everybody wakes ---- */

static void fail_locked(struct pbr_pipeline *p, int rc, const struct pbr_diag *diag)
{
    if (p->failed)
        return;
    p->failed = rc;
    p->diag = *diag;
    pthread_cond_broadcast(&p->changed);
}

static void fail_pipeline(struct pbr_pipeline *p, int rc, const struct pbr_diag *diag)
{
    pthread_mutex_lock(&p->lock);
    fail_locked(p, rc, diag);
    pthread_mutex_unlock(&p->lock);
}

/* A refusal concerns this upload, anything else the whole connection. */
static void fail_upload_locked(struct pbr_upload *u, int rc, const struct pbr_diag *diag)
{
    if (rc != PBR_E_REMOTE || diag->status == 0) {
        fail_locked(u->p, rc, diag);
        return;
    }
    if (!u->failed) {
        u->failed = rc;
        u->diag = *diag;
    }
    pthread_cond_broadcast(&u->p->changed);
}

static int failure_locked(const struct pbr_upload *u, struct pbr_diag *diag)
{
    const struct pbr_pipeline *p = u->p;
    if (u->failed && diag && diag->code == PBR_OK)
        *diag = u->diag;
    else if (p->failed && diag && diag->code == PBR_OK)
        *diag = p->diag;
    return u->failed ? u->failed : p->failed;
}

/* ---- buffers ---- */

static int acquire(void *ctx, size_t cap, uint8_t **ret, struct pbr_diag *diag)
{
    struct pbr_upload *u = ctx;
    struct pbr_pipeline *p = u->p;
    int rc = PBR_OK;
    pthread_mutex_lock(&p->lock);
    if (u->buffer_max == 0) {
        const size_t fit = BUFFER_BYTES / cap;
        u->buffer_cap = cap;
        u->buffer_max = fit < BUFFERS_MIN ? BUFFERS_MIN : fit > BUFFERS_MAX ? BUFFERS_MAX : fit;
    }
    while (!u->free_buffers && u->buffer_nr >= u->buffer_max && !p->failed && !u->failed)
        pthread_cond_wait(&p->changed, &p->lock);
    rc = failure_locked(u, diag);
    struct free_buffer *buf = u->free_buffers;
    if (rc == PBR_OK && buf)
        u->free_buffers = buf->next;
    const bool fresh = rc == PBR_OK && !buf;
    u->buffer_nr += fresh;
    pthread_mutex_unlock(&p->lock);
    if (rc < 0)
        return rc;
    if (fresh)
        buf = pbr_realloc(p->env, NULL, u->buffer_cap);
    if (!buf) {
        pthread_mutex_lock(&p->lock);
        u->buffer_nr--;
        pthread_mutex_unlock(&p->lock);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a chunk of %zu bytes", cap);
    }
    *ret = (uint8_t *)buf;
    return PBR_OK;
}

static void give_back_locked(struct pbr_upload *u, uint8_t *ptr)
{
    struct free_buffer *buf = (struct free_buffer *)(void *)ptr; /* comes from malloc: aligned */
    buf->next = u->free_buffers;
    u->free_buffers = buf;
    pthread_cond_broadcast(&u->p->changed);
}

/* A chunk of `used` bytes is done with. What it had above the average goes back to the system: all buffers would else hold
 * as much as the largest chunk, which is four times the average. */
static void forget_chunk(const struct pbr_upload *u, uint8_t *ptr, size_t used)
{
    const size_t keep = u->buffer_cap / 4;
    if (used > keep)
        pbr_sys_unused(ptr + keep, used - keep);
}

static void release_buffer(void *ctx, uint8_t *buf)
{
    struct pbr_upload *u = ctx;
    pthread_mutex_lock(&u->p->lock);
    give_back_locked(u, buf);
    pthread_mutex_unlock(&u->p->lock);
}

/* ---- appends ---- */

static void advance_locked(struct pbr_upload *u);

static void on_appended(void *ctx, int rc, struct pbr_h2_reply *reply, const struct pbr_diag *failure)
{
    struct pbr_upload *u = ctx;
    struct pbr_diag diag = *failure;
    if (rc == PBR_OK)
        rc = pbr_link_status(reply, &diag);
    pthread_mutex_lock(&u->p->lock);
    u->appending = false;
    if (rc < 0) {
        pbr_diag_context(&diag, "cannot append to %s", u->name);
        fail_upload_locked(u, rc, &diag);
    } else {
        advance_locked(u);
    }
    pthread_cond_broadcast(&u->p->changed);
    pthread_mutex_unlock(&u->p->lock);
}

static void send_append_locked(struct pbr_upload *u)
{
    struct pbr_diag diag = { 0 };
    pbr_buf_clear(&u->append_body);
    int rc = pbr_append_body(u->wid, u->batch, u->batch_nr, &u->append_body);
    u->batch_nr = 0;
    if (rc < 0)
        (void)pbr_fail_at(&diag, rc, NULL, "no memory to append to %s", u->name);
    const struct pbr_h2_req req = { .method = "PUT",
                                    .path = u->kind == PBR_INDEX_DYNAMIC ? "/dynamic_index" : "/fixed_index",
                                    .content_type = "application/json",
                                    .body = pbr_buf_span(&u->append_body),
                                    .reply_max = PBR_JSON_BODY_MAX,
                                    .done = on_appended,
                                    .ctx = u };
    if (rc == PBR_OK)
        rc = pbr_link_submit(u->p->link, &req, &diag);
    if (rc < 0)
        fail_locked(u->p, rc, &diag);
    else
        u->appending = true;
}

static int add_to_batch(struct pbr_upload *u, const struct job *job)
{
    struct pbr_append_entry *entry = &u->batch[u->batch_nr++];
    memcpy(entry->digest, job->digest, PBR_DIGEST_LEN);
    entry->off = job->start;
    u->stats.chunk_nr++;
    return pbr_index_sum_add(u->sum, job->start + job->len, job->digest);
}

static bool may_append(const struct pbr_upload *u, const struct job *job)
{
    uint32_t value;
    return job->state == JOB_ACKED ||
           (job->state == JOB_KNOWN && pbr_known_get(&u->known, job->digest, &value) && value == KNOWN_ACKED);
}

/* Moves finished jobs from the front of the list into the batch and sends it when it is full or the last one. */
static void advance_locked(struct pbr_upload *u)
{
    while (u->first && u->batch_nr < APPEND_MAX && may_append(u, u->first)) {
        struct job *job = u->first;
        u->first = job->next;
        if (!u->first)
            u->last = &u->first;
        const int rc = add_to_batch(u, job);
        pbr_free(u->p->env, job);
        if (rc < 0) {
            struct pbr_diag diag = { 0 };
            (void)pbr_fail_at(&diag, rc, NULL, "no memory to append to %s", u->name);
            fail_locked(u->p, rc, &diag);
            return;
        }
    }
    const bool last = u->finishing && !u->first && u->batch_nr > 0;
    if (!u->appending && !u->p->failed && !u->failed && (u->batch_nr >= APPEND_AT || last))
        send_append_locked(u);
    if (u->finishing && !u->first && u->batch_nr == 0 && !u->appending)
        pthread_cond_broadcast(&u->p->changed);
}

/* ---- workers ---- */

static void on_chunk_sent(void *ctx, int rc, struct pbr_h2_reply *reply, const struct pbr_diag *failure)
{
    struct job *job = ctx;
    struct pbr_upload *u = job->upload;
    struct pbr_pipeline *p = u->p;
    struct pbr_diag diag = *failure;
    if (rc == PBR_OK)
        rc = pbr_link_status(reply, &diag);
    pthread_mutex_lock(&p->lock);
    p->in_flight -= job->raw.len;
    u->stats.acked_bytes += job->raw.len;
    pbr_buf_release(&job->raw);
    job->state = JOB_ACKED;
    if (rc < 0) {
        pbr_diag_context(&diag, "cannot upload a chunk of %s", u->name);
        fail_upload_locked(u, rc, &diag);
    } else if (pbr_known_set(&u->known, job->digest, KNOWN_ACKED) == PBR_OK) { /* is there: never allocates */
        advance_locked(u);
    }
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static int send_chunk(struct job *job, struct pbr_diag *diag)
{
    struct pbr_upload *u = job->upload;
    struct pbr_pipeline *p = u->p;
    struct pbr_buf path;
    pbr_buf_init(&path, p->env, PBR_URI_MAX);
    int rc = pbr_request_chunk(u->kind == PBR_INDEX_FIXED, u->wid, job->digest, job->len, job->raw.len, &path);
    if (rc < 0) {
        pbr_buf_release(&path);
        return pbr_fail_at(diag, rc, NULL, "no memory for a request");
    }
    pthread_mutex_lock(&p->lock);
    while (p->in_flight > 0 && p->in_flight + job->raw.len > p->opts.in_flight_max && !p->failed && !u->failed)
        pthread_cond_wait(&p->changed, &p->lock);
    rc = failure_locked(u, diag);
    if (rc == PBR_OK) {
        p->in_flight += job->raw.len;
        u->stats.encoded_bytes += job->raw.len;
        job->state = JOB_SENT;
    }
    pthread_mutex_unlock(&p->lock);
    const struct pbr_h2_req req = { .method = "POST",
                                    .path = pbr_buf_cstr(&path),
                                    .content_type = "application/octet-stream",
                                    .body = pbr_buf_span(&job->raw),
                                    .reply_max = PBR_JSON_BODY_MAX,
                                    .done = on_chunk_sent,
                                    .ctx = job };
    if (rc == PBR_OK)
        rc = pbr_link_submit(p->link, &req, diag); /* copies the path */
    pbr_buf_release(&path);
    return rc;
}

/* Decides whether the chunk must be sent (BKP-235) and marks it. */
static int classify(struct job *job, bool *ret_send, struct pbr_diag *diag)
{
    struct pbr_upload *u = job->upload;
    int rc = PBR_OK;
    pthread_mutex_lock(&u->p->lock);
    *ret_send = !pbr_known_get(&u->known, job->digest, NULL);
    if (*ret_send) {
        u->stats.new_nr++;
        u->stats.new_bytes += job->len;
        rc = pbr_known_set(&u->known, job->digest, KNOWN_PENDING);
    } else {
        u->stats.known_nr++;
        u->stats.known_bytes += job->len;
        give_back_locked(u, job->plain);
        job->plain = NULL;
        job->state = JOB_KNOWN;
        advance_locked(u);
    }
    pthread_mutex_unlock(&u->p->lock);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "no memory for the list of known chunks") : rc;
}

static int work(struct pbr_pipeline *p, struct pbr_sealer *sealer, struct job *job, struct pbr_diag *diag)
{
    bool send;
    const struct pbr_span plain = pbr_span(job->plain, job->len);
    int rc = pbr_chunk_digest(p->opts.crypt, plain, job->digest);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "cannot compute a chunk digest");
    rc = classify(job, &send, diag);
    if (rc < 0 || !send)
        return rc; /* a known job may be gone already */
    pbr_buf_init(&job->raw, p->env, PBR_CHUNK_RAW_MAX);
    rc = pbr_seal(sealer, p->opts.crypt, true, plain, &job->raw, diag);
    if (rc < 0)
        return rc;
    forget_chunk(job->upload, job->plain, job->len);
    release_buffer(job->upload, job->plain);
    job->plain = NULL;
    return send_chunk(job, diag);
}

static bool has_failed(struct pbr_upload *u)
{
    pthread_mutex_lock(&u->p->lock);
    const bool failed = u->failed != PBR_OK;
    pthread_mutex_unlock(&u->p->lock);
    return failed;
}

static void *run_worker(void *ctx)
{
    struct pbr_pipeline *p = ctx;
    struct pbr_sealer *sealer = NULL;
    struct pbr_diag diag = { 0 };
    int rc = pbr_sealer_new(p->env, &sealer);
    if (rc < 0) {
        (void)pbr_fail_at(&diag, rc, NULL, "no memory for a compressor");
        fail_pipeline(p, rc, &diag);
    }
    for (;;) {
        void *job;
        pbr_queue_pop(p->queue, &job);
        if (!job)
            break;
        /* jobs that are not done stay in their upload's list and are freed with it */
        struct pbr_upload *u = ((struct job *)job)->upload;
        if (rc == PBR_OK && !has_failed(u))
            rc = work(p, sealer, job, &diag);
        if (rc < 0 && has_failed(u)) { /* that is why; the other uploads go on */
            pbr_diag_clear(&diag);
            rc = PBR_OK;
        }
        if (rc < 0)
            fail_pipeline(p, rc, &diag);
    }
    pbr_sealer_free(sealer);
    return NULL;
}

/* ---- chunks from the stream ---- */

static struct job *add_job(struct pbr_upload *u, uint64_t start, uint64_t len)
{
    struct job *job = pbr_alloc(u->p->env, 1, sizeof(*job));
    if (!job)
        return NULL;
    job->upload = u;
    job->start = start;
    job->len = (size_t)len;
    *u->last = job;
    u->last = &job->next;
    u->stats.size += len;
    return job;
}

static int take_raw(void *ctx, uint8_t *buf, size_t len, uint64_t start, struct pbr_diag *diag)
{
    struct pbr_upload *u = ctx;
    struct pbr_pipeline *p = u->p;
    pthread_mutex_lock(&p->lock);
    int rc = failure_locked(u, diag);
    struct job *job = rc == PBR_OK ? add_job(u, start, len) : NULL;
    if (job)
        job->plain = buf;
    else
        give_back_locked(u, buf);
    pthread_mutex_unlock(&p->lock);
    if (rc < 0)
        return rc;
    if (!job)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a chunk");
    rc = pbr_queue_push(p->queue, job);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "upload was stopped") : PBR_OK;
}

static int take_injected(void *ctx, uint64_t boundary, const struct pbr_inject *inj, struct pbr_diag *diag)
{
    struct pbr_upload *u = ctx;
    pthread_mutex_lock(&u->p->lock);
    int rc = failure_locked(u, diag);
    for (size_t i = 0; i < inj->chunk_nr && rc == PBR_OK; i++) {
        const struct pbr_inject_chunk *chunk = &inj->chunks[i];
        struct job *job = add_job(u, boundary, chunk->size);
        if (!job) {
            rc = pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a re-used chunk");
            break;
        }
        memcpy(job->digest, chunk->digest, PBR_DIGEST_LEN);
        job->state = JOB_ACKED; /* the server knows it from the previous index (CHK-088) */
        boundary += chunk->size;
        u->stats.injected_nr++;
        u->stats.injected_bytes += chunk->size;
    }
    if (rc == PBR_OK)
        advance_locked(u);
    pthread_mutex_unlock(&u->p->lock);
    return rc;
}

struct pbr_chunk_out pbr_upload_out(struct pbr_upload *u)
{
    return (struct pbr_chunk_out){
        .ctx = u, .acquire = acquire, .release = release_buffer, .raw = take_raw, .inject = take_injected
    };
}

/* ---- life of an upload ---- */

static void free_upload(struct pbr_upload *u)
{
    const struct pbr_env *env = u->p->env;
    while (u->first) {
        struct job *job = u->first;
        u->first = job->next;
        pbr_free(env, job->plain);
        if (job->raw.env)
            pbr_buf_release(&job->raw);
        pbr_free(env, job);
    }
    while (u->free_buffers) {
        struct free_buffer *buf = u->free_buffers;
        u->free_buffers = buf->next;
        pbr_free(env, buf);
    }
    pbr_known_release(&u->known);
    pbr_index_sum_free(u->sum);
    pbr_buf_release(&u->append_body);
    pbr_free(env, u);
}

static int create_index(struct pbr_upload *u, uint64_t size, struct pbr_diag *diag)
{
    struct pbr_buf path;
    json_t *data = NULL;
    pbr_buf_init(&path, u->p->env, PBR_URI_MAX);
    int rc = pbr_request_create(u->kind == PBR_INDEX_FIXED, u->name, size != UINT64_MAX, size, &path);
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "no memory for a request");
    else
        rc = pbr_link_call_json(u->p->link, "POST", pbr_buf_cstr(&path), NULL, pbr_span(NULL, 0), &data, diag);
    pbr_buf_release(&path);
    if (rc == PBR_OK && (!json_is_integer(data) || json_integer_value(data) < 1))
        rc = pbr_fail_at(diag, PBR_E_PROTO, "BKP-302", "server gave no writer id for %s", u->name);
    if (rc == PBR_OK)
        u->wid = (uint64_t)json_integer_value(data);
    json_decref(data);
    if (rc < 0)
        pbr_diag_context(diag, "cannot create index %s", u->name);
    return rc;
}

int pbr_upload_open(struct pbr_pipeline *p, const char *archive_name, enum pbr_index_kind kind, uint64_t size,
                    struct pbr_known *known, struct pbr_upload **ret, struct pbr_diag *diag)
{
    struct pbr_upload *u = pbr_alloc(p->env, 1, sizeof(*u));
    if (!u || pbr_index_sum_new(p->env, kind, &u->sum) < 0) {
        pbr_free(p->env, u);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to upload %s", archive_name);
    }
    u->p = p;
    u->kind = kind;
    u->last = &u->first;
    u->begin_ns = p->env->mono_ns(p->env->ctx);
    (void)snprintf(u->name, sizeof(u->name), "%s", archive_name);
    pbr_known_init(&u->known, p->env);
    pbr_buf_init(&u->append_body, p->env, PBR_JSON_BODY_MAX);
    const int rc = create_index(u, size, diag);
    if (rc < 0) {
        free_upload(u);
        return rc;
    }
    if (known) {
        u->known = *known;
        pbr_known_init(known, p->env);
    }
    pthread_mutex_lock(&p->lock);
    u->next = p->uploads;
    p->uploads = u;
    pthread_mutex_unlock(&p->lock);
    *ret = u;
    return PBR_OK;
}

void pbr_upload_end(struct pbr_upload *u)
{
    pthread_mutex_lock(&u->p->lock);
    u->finishing = true;
    advance_locked(u);
    pthread_mutex_unlock(&u->p->lock);
}

int pbr_upload_finish(struct pbr_upload *u, struct pbr_upload_stats *ret, struct pbr_diag *diag)
{
    struct pbr_pipeline *p = u->p;
    pthread_mutex_lock(&p->lock);
    u->finishing = true;
    advance_locked(u);
    while (!p->failed && !u->failed && (u->first || u->batch_nr || u->appending))
        pthread_cond_wait(&p->changed, &p->lock);
    int rc = failure_locked(u, diag);
    u->stats.duration_ns = p->env->mono_ns(p->env->ctx) - u->begin_ns;
    if (rc == PBR_OK && pbr_index_sum_result(u->sum, u->stats.csum) < 0)
        rc = pbr_fail_at(diag, PBR_E_CRYPTO, NULL, "cannot compute the checksum of %s", u->name);
    if (rc == PBR_OK)
        *ret = u->stats;
    pthread_mutex_unlock(&p->lock);
    return rc;
}

int pbr_upload_close(struct pbr_upload *u, struct pbr_diag *diag)
{
    struct pbr_buf path;
    pbr_buf_init(&path, u->p->env, PBR_URI_MAX);
    int rc = pbr_request_close(u->kind == PBR_INDEX_FIXED, u->wid, u->stats.chunk_nr, u->stats.size, u->stats.csum, &path);
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "no memory for a request");
    else
        rc = pbr_link_call_json(u->p->link, "POST", pbr_buf_cstr(&path), NULL, pbr_span(NULL, 0), NULL, diag);
    pbr_buf_release(&path);
    if (rc < 0)
        pbr_diag_context(diag, "cannot close index %s", u->name);
    return rc;
}

int pbr_upload_failure(struct pbr_upload *u, struct pbr_diag *ret)
{
    pthread_mutex_lock(&u->p->lock);
    const int rc = u->failed;
    if (rc < 0)
        *ret = u->diag;
    pthread_mutex_unlock(&u->p->lock);
    return rc;
}

void pbr_upload_stats(struct pbr_upload *u, struct pbr_upload_stats *ret)
{
    pthread_mutex_lock(&u->p->lock);
    *ret = u->stats;
    pthread_mutex_unlock(&u->p->lock);
}

/* ---- life of the pipeline ---- */

static unsigned default_workers(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

int pbr_pipeline_new(const struct pbr_env *env, struct pbr_link *link, const struct pbr_pipeline_opts *opts,
                     struct pbr_pipeline **ret, struct pbr_diag *diag)
{
    struct pbr_pipeline *p = pbr_alloc(env, 1, sizeof(*p));
    if (!p || pbr_queue_new(env, QUEUE_LEN, &p->queue) < 0) {
        pbr_free(env, p);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the upload");
    }
    p->env = env;
    p->link = link;
    p->opts = *opts;
    if (p->opts.in_flight_max == 0)
        p->opts.in_flight_max = 24u << 20;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    const unsigned want = opts->workers == 0 ? default_workers() : opts->workers > WORKERS_MAX ? WORKERS_MAX : opts->workers;
    while (p->worker_nr < want) {
        const int failed = pthread_create(&p->workers[p->worker_nr], NULL, run_worker, p);
        if (failed) {
            pbr_pipeline_stop(p);
            pbr_pipeline_free(p);
            return pbr_fail_os(diag, failed, "cannot start an upload thread");
        }
        p->worker_nr++;
    }
    *ret = p;
    return PBR_OK;
}

void pbr_pipeline_stop(struct pbr_pipeline *p)
{
    struct pbr_diag diag = { 0 };
    if (!p)
        return;
    (void)pbr_fail_at(&diag, PBR_E_CANCELED, NULL, "upload was stopped");
    fail_pipeline(p, PBR_E_CANCELED, &diag);
    pbr_queue_cancel(p->queue);
    while (p->worker_nr > 0)
        pthread_join(p->workers[--p->worker_nr], NULL);
}

void pbr_pipeline_free(struct pbr_pipeline *p)
{
    if (!p)
        return;
    while (p->uploads) {
        struct pbr_upload *u = p->uploads;
        p->uploads = u->next;
        free_upload(u);
    }
    pbr_queue_free(p->queue);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    pbr_free(p->env, p);
}
