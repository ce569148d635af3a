/* SPDX-License-Identifier: MIT */
/* Bounded queue between two stages of a pipeline. Elements are pointers; who takes one out owns it.
 *
 * Thread: internally locked; any number of producers and consumers. */
#ifndef PBR_SYS_QUEUE_H
#define PBR_SYS_QUEUE_H

#include "base/env.h"

struct pbr_queue;

PBR_MUST_USE int pbr_queue_new(const struct pbr_env *env, size_t capacity, struct pbr_queue **ret);
/* The queue must be empty or hold elements that nobody owns any more. */
void pbr_queue_free(struct pbr_queue *q);

/* Waits while full. PBR_E_CANCELED if the queue was canceled: the element stays the caller's. */
PBR_MUST_USE int pbr_queue_push(struct pbr_queue *q, void *element);
/* Waits while empty. *ret = NULL once the queue is closed and drained, or canceled (then rest by pbr_queue_drain). */
void pbr_queue_pop(struct pbr_queue *q, void **ret);
/* Without waiting: false if empty. */
bool pbr_queue_try_pop(struct pbr_queue *q, void **ret);

/* No more pushes will come; consumers drain what is there. */
void pbr_queue_close(struct pbr_queue *q);
/* Wakes everybody; pushes fail, pops give NULL. */
void pbr_queue_cancel(struct pbr_queue *q);
/* After cancel: takes out what was left, NULL when empty. */
void *pbr_queue_drain(struct pbr_queue *q);

#endif
