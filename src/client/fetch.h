/* SPDX-License-Identifier: MIT */
/* The bytes of an archive or image out of its index: chunks are requested ahead over a reader session, decoded on a
 * thread of their own and handed out in order as views [RDR-030, RDR-060, RDR-061]; or read at any offset.
 * The original fetches one chunk at a time (RDR-065); the requests are the same, only earlier.
 *
 * What is requested ahead of the reader, besides the chunk at its position:
 *
 *   reader                                         up to
 *   in a range that it announced (`expect`)        the end of that range
 *   has read n bytes in a row                      n bytes further; bytes that it skips take as many off, beyond the
 *                                                  chunk it stands in; an announced range counts when it is read over
 *
 * and never more than `ahead_bytes`. So one file out of an archive costs the chunks that hold it, and a whole restore
 * has everything in flight after its first chunks.
 *
 * Thread: stream and source are not shared; the link below them may be. */
#ifndef PBR_CLIENT_FETCH_H
#define PBR_CLIENT_FETCH_H

#include "client/session.h"

struct pbr_fetch_opts {
    const struct pbr_crypt *crypt;   /* for encrypted archives; borrowed */
    uint64_t ahead_bytes;            /* most plain bytes requested ahead of the reader; 0 = 32 MiB */
};

/* Sequential. `ix` is borrowed and must outlive the stream, so must `link`. Skipped chunks that were not requested yet
 * are never fetched; nothing is requested before the first peek. A missing or damaged chunk fails the peek that needs it; the text names digest and offset. */
PBR_MUST_USE int pbr_fetch_stream(const struct pbr_env *env, struct pbr_link *link,
                                  const struct pbr_fetched_index *ix, const struct pbr_fetch_opts *opts,
                                  struct pbr_stream *ret, struct pbr_diag *diag);

/* Random access with a cache of the last few chunks. */
PBR_MUST_USE int pbr_fetch_source(const struct pbr_env *env, struct pbr_link *link,
                                  const struct pbr_fetched_index *ix, const struct pbr_fetch_opts *opts,
                                  struct pbr_source *ret, struct pbr_diag *diag);

#endif
