/* SPDX-License-Identifier: MIT */
/* Bounded queue; see queue.h. */
#include "sys/queue.h"

#include <pthread.h>

struct pbr_queue {
    const struct pbr_env *env;
    pthread_mutex_t lock;
    pthread_cond_t not_full;
    pthread_cond_t not_empty;
    void **slots;
    size_t capacity, head, count;
    bool closed, canceled;
};

int pbr_queue_new(const struct pbr_env *env, size_t capacity, struct pbr_queue **ret)
{
    struct pbr_queue *q = pbr_alloc(env, 1, sizeof(*q));
    void **slots = q ? pbr_alloc(env, capacity, sizeof(*slots)) : NULL;
    if (!slots) {
        pbr_free(env, q);
        return PBR_E_NOMEM;
    }
    q->env = env;
    q->slots = slots;
    q->capacity = capacity;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_full, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    *ret = q;
    return PBR_OK;
}

void pbr_queue_free(struct pbr_queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->not_empty);
    pthread_cond_destroy(&q->not_full);
    pthread_mutex_destroy(&q->lock);
    pbr_free(q->env, q->slots);
    pbr_free(q->env, q);
}

static void *take_first(struct pbr_queue *q)
{
    void *element = q->slots[q->head];
    q->head = (q->head + 1) % q->capacity;
    q->count--;
    return element;
}

int pbr_queue_push(struct pbr_queue *q, void *element)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == q->capacity && !q->canceled)
        pthread_cond_wait(&q->not_full, &q->lock);
    const bool ok = !q->canceled;
    if (ok) {
        q->slots[(q->head + q->count) % q->capacity] = element;
        q->count++;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return ok ? PBR_OK : PBR_E_CANCELED;
}

void pbr_queue_pop(struct pbr_queue *q, void **ret)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closed && !q->canceled)
        pthread_cond_wait(&q->not_empty, &q->lock);
    *ret = NULL;
    if (q->count > 0 && !q->canceled) {
        *ret = take_first(q);
        pthread_cond_signal(&q->not_full);
    }
    pthread_mutex_unlock(&q->lock);
}

bool pbr_queue_try_pop(struct pbr_queue *q, void **ret)
{
    pthread_mutex_lock(&q->lock);
    const bool got = q->count > 0 && !q->canceled;
    if (got) {
        *ret = take_first(q);
        pthread_cond_signal(&q->not_full);
    }
    pthread_mutex_unlock(&q->lock);
    return got;
}

static void wake_all(struct pbr_queue *q, bool cancel)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    q->canceled = q->canceled || cancel;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->not_full);
    pthread_mutex_unlock(&q->lock);
}

void pbr_queue_close(struct pbr_queue *q)
{
    wake_all(q, false);
}

void pbr_queue_cancel(struct pbr_queue *q)
{
    wake_all(q, true);
}

void *pbr_queue_drain(struct pbr_queue *q)
{
    pthread_mutex_lock(&q->lock);
    void *element = q->count > 0 ? take_first(q) : NULL;
    pthread_mutex_unlock(&q->lock);
    return element;
}
