/* SPDX-License-Identifier: MIT */
/* Token buckets; see throttle.h. */
#include "net/throttle.h"

#include <pthread.h>
#include <time.h>

enum { STEP_MAX = 64 << 10 }; /* one read or write at most: keeps the flow even */

struct bucket {
    double tokens; /* bytes that may pass; below zero: debt of a step that was larger than what was there */
    uint64_t last_ns;
};

struct pbr_throttle {
    const struct pbr_env *env;
    double rate, burst;
    pthread_mutex_t lock;
    struct bucket out, in;
};

int pbr_throttle_new(const struct pbr_env *env, uint64_t rate, uint64_t burst, struct pbr_throttle **ret)
{
    struct pbr_throttle *t = pbr_alloc(env, 1, sizeof(*t));
    if (!t)
        return PBR_E_NOMEM;
    t->env = env;
    t->rate = (double)rate;
    t->burst = (double)(burst ? burst : rate);
    t->out.tokens = t->in.tokens = t->burst;
    t->out.last_ns = t->in.last_ns = env->mono_ns(env->ctx);
    pthread_mutex_init(&t->lock, NULL);
    *ret = t;
    return PBR_OK;
}

void pbr_throttle_free(struct pbr_throttle *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    pbr_free(t->env, t);
}

/* Nanoseconds until the bucket is out of debt. */
static uint64_t refill(struct pbr_throttle *t, struct bucket *b)
{
    const uint64_t now = t->env->mono_ns(t->env->ctx);
    b->tokens += (double)(now - b->last_ns) * t->rate / 1e9;
    b->last_ns = now;
    if (b->tokens > t->burst)
        b->tokens = t->burst;
    return b->tokens >= 0 ? 0 : (uint64_t)(-b->tokens * 1e9 / t->rate) + 1;
}

static void wait_for_tokens(struct pbr_throttle *t, struct bucket *b)
{
    for (;;) {
        pthread_mutex_lock(&t->lock);
        const uint64_t wait_ns = refill(t, b);
        pthread_mutex_unlock(&t->lock);
        if (wait_ns == 0)
            return;
        const struct timespec ts = { .tv_sec = (time_t)(wait_ns / 1000000000u), .tv_nsec = (long)(wait_ns % 1000000000u) };
        (void)nanosleep(&ts, NULL);
    }
}

static void spend(struct pbr_throttle *t, struct bucket *b, size_t n)
{
    pthread_mutex_lock(&t->lock);
    b->tokens -= (double)n;
    pthread_mutex_unlock(&t->lock);
}

struct throttled {
    struct pbr_throttle *t;
    struct pbr_pipe inner;
};

static int throttled_read(void *ctx, uint8_t *out, size_t len, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct throttled *p = ctx;
    wait_for_tokens(p->t, &p->t->in);
    const int rc = p->inner.read(p->inner.ctx, out, len < STEP_MAX ? len : STEP_MAX, ret, ret_want, diag);
    spend(p->t, &p->t->in, *ret);
    return rc;
}

static int throttled_write(void *ctx, struct pbr_span in, size_t *ret, unsigned *ret_want, struct pbr_diag *diag)
{
    struct throttled *p = ctx;
    wait_for_tokens(p->t, &p->t->out);
    const int rc = p->inner.write(p->inner.ctx, pbr_span_sub(in, 0, STEP_MAX), ret, ret_want, diag);
    spend(p->t, &p->t->out, *ret);
    return rc;
}

static void throttled_close(void *ctx)
{
    struct throttled *p = ctx;
    const struct pbr_env *env = p->t->env;
    p->inner.close(p->inner.ctx);
    pbr_free(env, p);
}

int pbr_throttle_pipe(struct pbr_throttle *t, const struct pbr_pipe *inner, struct pbr_pipe *ret)
{
    struct throttled *p = pbr_alloc(t->env, 1, sizeof(*p));
    if (!p)
        return PBR_E_NOMEM;
    *p = (struct throttled){ .t = t, .inner = *inner };
    *ret = (struct pbr_pipe){
        .ctx = p, .fd = inner->fd, .read = throttled_read, .write = throttled_write, .close = throttled_close
    };
    return PBR_OK;
}
