/* SPDX-License-Identifier: MIT */
/* Rate limit of connections: a token bucket per direction, shared by all pipes of a client [BKP-284]. What a pipe may not
 * send or take yet waits in the calling thread.
 *
 * Thread: a throttle is internally locked; a pipe is not shared. */
#ifndef PBR_NET_THROTTLE_H
#define PBR_NET_THROTTLE_H

#include "base/io.h"

struct pbr_throttle;

/* rate: bytes a second, > 0. burst: size of the bucket, 0 = rate. */
PBR_MUST_USE int pbr_throttle_new(const struct pbr_env *env, uint64_t rate, uint64_t burst, struct pbr_throttle **ret);
/* After all its pipes were closed. NULL is fine. */
void pbr_throttle_free(struct pbr_throttle *t);
/* Wraps `inner`, which is taken over on success. */
PBR_MUST_USE int pbr_throttle_pipe(struct pbr_throttle *t, const struct pbr_pipe *inner, struct pbr_pipe *ret);

#endif
