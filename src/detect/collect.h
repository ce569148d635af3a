/* SPDX-License-Identifier: MIT */
/* The appendix section being put together: chunks of an earlier index, one behind the other, and where in it each file's
 * old encoding stands [APX-100 .. APX-103].
 *
 * Memory: 48 bytes per chunk, 16 per file.
 * Pure. Thread: not shared. */
#ifndef PBR_DETECT_COLLECT_H
#define PBR_DETECT_COLLECT_H

#include "chunk/known.h"
#include "chunk/stream.h"
#include "detect/run.h"

enum { PBR_COLLECT_BATCH = 128 }; /* chunks in one injection [APX-141] */

struct pbr_collect {
    const struct pbr_env *env;
    struct pbr_buf chunks;    /* struct pbr_inject_chunk, in order */
    struct pbr_buf links;     /* struct pbr_collect_link, one per chunk */
    struct pbr_known first;   /* digest -> number of its first chunk */
    struct pbr_buf used;      /* struct pbr_collect_range: of files, by start */
    uint64_t total;           /* bytes */
};

void pbr_collect_init(struct pbr_collect *c, const struct pbr_env *env);
void pbr_collect_release(struct pbr_collect *c);

/* Puts the chunks run->first .. of `ix` in, as far as they are not there, and says where byte run->start_pad of them, the
 * first of `len` bytes, then stands. No two files get overlapping places [APX-103]. NOMEM; LIMIT. */
PBR_MUST_USE int pbr_collect_add(struct pbr_collect *c, const struct pbr_index *ix, const struct pbr_run *run, uint64_t len,
                                 uint64_t *ret_off, struct pbr_diag *diag);

size_t pbr_collect_count(const struct pbr_collect *c);
/* The next at most PBR_COLLECT_BATCH chunks from number *from on, which moves on; `bytes` together. False: none are left.
 * Borrowed until the next add. */
bool pbr_collect_batch(const struct pbr_collect *c, size_t *from, struct pbr_inject *ret, uint64_t *ret_bytes);

#endif
