/* SPDX-License-Identifier: MIT */
/* Set of (device, inode) pairs: hard linked files that were met before [CDM-078]. 16 bytes and a little per pair.
 * Pure. Thread: not shared. */
#ifndef PBR_DETECT_SEEN_H
#define PBR_DETECT_SEEN_H

#include "base/env.h"

struct pbr_seen_pair {
    uint64_t dev, ino;
    bool used;
};

struct pbr_seen {
    const struct pbr_env *env;
    struct pbr_seen_pair *slots;
    size_t count;
    size_t capacity; /* power of two, or 0 */
};

void pbr_seen_init(struct pbr_seen *s, const struct pbr_env *env);
void pbr_seen_release(struct pbr_seen *s);
/* *ret_new: the pair was not in the set; it is now. NOMEM leaves the set as it was. */
PBR_MUST_USE int pbr_seen_add(struct pbr_seen *s, uint64_t dev, uint64_t ino, bool *ret_new);

#endif
