/* SPDX-License-Identifier: MIT */
/* Change detection: which files keep the payload they have in the previous snapshot [CDM-040 .. CDM-097]. Entries go in
 * in archive order; per entry comes out whether it is written now or kept waiting, and in between the calls of
 * `struct pbr_reuse_ops`: write what waits (as references or with contents), put chunks of the previous snapshot into the
 * payload stream. No I/O here: looking up, writing and injecting are the caller's.
 *
 *   cache   entries that wait, counted here and kept by the caller                    [CDM-073 .. CDM-082]
 *   range   the previous payload bytes of the files among them, one piece             [CDM-055]
 *   held    last chunk of the range before, not injected yet: it may be continued     [CDM-068 .. CDM-070]
 *
 * Stricter than the original: ranges that reach into a marker or beyond the index, or that begin inside the range of a
 * file accepted before, are not re-used (CDM-059, CDM-125).
 * Pure. Thread: not shared; ops run on the caller's thread. */
#ifndef PBR_DETECT_REUSE_H
#define PBR_DETECT_REUSE_H

#include "chunk/stream.h"
#include "detect/run.h"
#include "format/pxar_dec.h"

enum {
    PBR_REUSE_BATCH = 128,         /* chunks in one injection [CDM-090] */
    PBR_REUSE_CACHE_DEFAULT = 512, /* entries that wait at most, without a better number [CDM-082] */
};

enum pbr_reuse_kind {
    PBR_REUSE_FILE,
    PBR_REUSE_DIR,
    PBR_REUSE_DIR_END,
    PBR_REUSE_OTHER, /* symlink, device, fifo, socket */
};

struct pbr_reuse_entry {
    enum pbr_reuse_kind kind;
    const struct pbr_pxar_meta *meta; /* files; borrowed for the call */
    uint64_t size;                    /* files: content bytes */
    uint64_t dev, ino, nlink;         /* files */
};

/* Negative results end the run: they are passed on. */
struct pbr_reuse_ops {
    void *ctx;
    /* The previous entry of the same path, or NULL if there is none [CDM-041]. Asked for files only, at most once per
     * entry, during pbr_reuse_add of it. *ret is borrowed until the next call of any op. */
    int (*lookup)(void *ctx, const struct pbr_pxar_entry **ret, struct pbr_diag *diag);
    /* Write all that waits, in order: files as references to payload position + *start_pad + rel, or, start_pad NULL,
     * with contents [CDM-076]. Comes also if nothing waits. */
    int (*replay)(void *ctx, const uint64_t *start_pad, struct pbr_diag *diag);
    /* Put these chunks (1..PBR_REUSE_BATCH, `bytes` together) at the payload position. inj is valid during the call. */
    int (*inject)(void *ctx, const struct pbr_inject *inj, uint64_t bytes, struct pbr_diag *diag);
    /* The entry's previous offset is not behind `last`, the last one accepted: damaged reference, the file is written
     * anew [CDM-049]. May be NULL. */
    void (*disordered)(void *ctx, uint64_t off, uint64_t last);
};

/* Counters of the summary [CDM-111, CDM-112]; sizes of files count their header of 16 bytes. */
struct pbr_reuse_counts {
    uint64_t reused_files, reused_size;
    uint64_t reencoded_files, reencoded_size;
    uint64_t hardlinks;     /* first entries of files with more than one link */
    uint64_t injected_nr, injected_size;
    uint64_t partial;       /* injected chunks of which something is not used */
};

struct pbr_reuse;

/* `previous` is the payload index of the previous snapshot, parsed strictly, borrowed. cache_max: entries that may wait,
 * directory ends not counted; at least 1 (ARG). `ops` is copied. */
PBR_MUST_USE int pbr_reuse_new(const struct pbr_env *env, const struct pbr_index *previous, uint64_t cache_max,
                               const struct pbr_reuse_ops *ops, struct pbr_reuse **ret, struct pbr_diag *diag);
void pbr_reuse_free(struct pbr_reuse *r); /* NULL is fine */

/* Where the first file of the previous payload stream can begin: behind the start marker (16, unless this is called), or at 0
 * in the draft that has none [SPL-025]. Before the first entry. */
void pbr_reuse_set_first(struct pbr_reuse *r, uint64_t first);

/* The next entry of the walk. *ret_wait false: it is to be written now, and nothing waits then. True: keep it until the
 * next replay; *ret_rel is its `rel`. After a failure only free and counts. */
PBR_MUST_USE int pbr_reuse_add(struct pbr_reuse *r, const struct pbr_reuse_entry *entry, bool *ret_wait,
                               uint64_t *ret_rel, struct pbr_diag *diag);
/* End of the walk: nothing waits and nothing is held back afterwards. */
PBR_MUST_USE int pbr_reuse_finish(struct pbr_reuse *r, struct pbr_diag *diag);

struct pbr_reuse_counts pbr_reuse_counts(const struct pbr_reuse *r);
/* Bytes of injected chunks that no reference needs: the last line of the summary. */
uint64_t pbr_reuse_padding(const struct pbr_reuse_counts *c);

#endif
