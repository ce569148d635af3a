/* SPDX-License-Identifier: MIT */
/* Hard linked files met so far: (device, inode) -> where the first name was archived (CRT-143). Inside archive/ only.
 * Memory: one slot and the path per file with more than one link. Thread: not shared. */
#ifndef PBR_ARCHIVE_CREATE_LINKS_H
#define PBR_ARCHIVE_CREATE_LINKS_H

#include "base/env.h"

struct pbr_link {
    uint64_t dev, ino;
    uint64_t pos;         /* of the FILENAME header */
    struct pbr_span path; /* owned by the table; ptr NULL: free slot */
};

struct pbr_links {
    const struct pbr_env *env;
    struct pbr_link *slots; /* cap is a power of two; at most 3/4 used */
    size_t nr, cap;
};

void pbr_links_init(struct pbr_links *t, const struct pbr_env *env);
void pbr_links_release(struct pbr_links *t);
/* Borrowed until the next add; NULL: not met yet. */
const struct pbr_link *pbr_links_find(const struct pbr_links *t, uint64_t dev, uint64_t ino);
/* Not yet in the table; `path` is copied. NOMEM: the table is unchanged. */
PBR_MUST_USE int pbr_links_add(struct pbr_links *t, uint64_t dev, uint64_t ino, uint64_t pos, struct pbr_span path);

#endif
