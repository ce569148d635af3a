/* SPDX-License-Identifier: MIT */
/* Change detection of the draft with an appendix: which files are unchanged by the previous catalog [APX-091 .. APX-099],
 * and the look-ahead that references them only where they come in amounts [APX-130 .. APX-137]. Entries go in in archive
 * order, as into reuse.h; here a reference leads to a place in the appendix, which is collected on the way (collect.h).
 * Pure. Thread: not shared; ops run on the caller's thread. */
#ifndef PBR_DETECT_APPENDIX_H
#define PBR_DETECT_APPENDIX_H

#include "detect/collect.h"
#include "detect/reuse.h"
#include "format/catalog.h"

/* Defaults of the draft [APX-091 (4), APX-131]. */
enum { PBR_APPENDIX_SMALL = 1024, PBR_APPENDIX_THRESHOLD = 2 << 20 };

struct pbr_appendix_opts {
    uint64_t previous_start; /* where the previous archive's own appendix starts; 0: it has none */
    uint64_t small;          /* files of this many bytes or less are never candidates */
    uint64_t threshold;      /* bytes of candidates in a row that are worth it; 0: all are */
    uint64_t waiting_max;    /* entries that wait at most: each may hold a file open. Then what waits is encoded */
};

struct pbr_appendix_entry {
    enum pbr_reuse_kind kind;
    struct pbr_span name;
    const struct pbr_pxar_meta *meta; /* files */
    uint64_t size;
    int64_t ctime_s;
    uint64_t dev, ino, nlink;
};

/* Negative results end the run: they are passed on. */
struct pbr_appendix_ops {
    void *ctx;
    /* The previous catalog's entry of the same path; NULL: none, or one without ctime and position. Asked for files only,
     * during pbr_appendix_add of it. Borrowed until the next call of any op. */
    int (*lookup)(void *ctx, const struct pbr_pcat_entry **ret, struct pbr_diag *diag);
    /* Write all that waits, in order; as_refs: entries with a token as references to what pbr_appendix_place says, which
     * is asked once for each of them, in order. Comes also if nothing waits. */
    int (*replay)(void *ctx, bool as_refs, struct pbr_diag *diag);
};

struct pbr_appendix_counts {
    uint64_t referenced_files, referenced_bytes; /* contents */
    uint64_t encoded_files, encoded_bytes;
};

struct pbr_appendix;

/* `previous`: index of the previous archive, parsed strictly, borrowed. */
PBR_MUST_USE int pbr_appendix_new(const struct pbr_env *env, const struct pbr_index *previous,
                                  const struct pbr_appendix_opts *opts, const struct pbr_appendix_ops *ops,
                                  struct pbr_appendix **ret, struct pbr_diag *diag);
void pbr_appendix_free(struct pbr_appendix *a); /* NULL is fine */

/* The next entry of the walk. *ret_wait false: write it now, nothing waits then. True: keep it until the next replay, with
 * *ret_token, which is 0 for what is no candidate. */
PBR_MUST_USE int pbr_appendix_add(struct pbr_appendix *a, const struct pbr_appendix_entry *entry, bool *ret_wait,
                                  uint64_t *ret_token, struct pbr_diag *diag);
/* During replay as references: where the candidate's old encoding stands in the appendix. */
PBR_MUST_USE int pbr_appendix_place(struct pbr_appendix *a, uint64_t token, uint64_t *ret_off, struct pbr_diag *diag);
/* End of the walk: nothing waits afterwards. */
PBR_MUST_USE int pbr_appendix_finish(struct pbr_appendix *a, struct pbr_diag *diag);

/* What the appendix is made of. Borrowed. */
const struct pbr_collect *pbr_appendix_chunks(const struct pbr_appendix *a);
struct pbr_appendix_counts pbr_appendix_counts(const struct pbr_appendix *a);

#endif
