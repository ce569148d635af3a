/* SPDX-License-Identifier: MIT */
/* Garbage collection in two phases [IDX-120, IDX-121], and figures about a datastore.
 *
 * Phase 1 walks everything below the root but names that start with a dot, follows no link, and sets the access time of
 * every chunk named by a file ending in .didx or .fidx, wherever it lies; one index that cannot be read stops the run.
 * Phase 2 removes chunks whose access time lies before the cutoff.
 * The exclusive chunk-store lock is held: no backup may run (the original lets older ones run on and moves the cutoff).
 * Thread: as the store. */
#ifndef PBR_STORE_GC_H
#define PBR_STORE_GC_H

#include "store/store.h"

enum { PBR_GC_CUTOFF_S = 24 * 3600 + 5 * 60 };

struct pbr_gc_opts {
    bool has_cutoff;
    uint64_t cutoff_s;  /* age in seconds before the run's start; default PBR_GC_CUTOFF_S */
    bool dry_run;       /* counts what would be removed; access times are set all the same */
};

struct pbr_gc_result {
    uint64_t index_files;
    uint64_t index_data_bytes;                 /* sum of the sizes of all indexed archives and images */
    uint64_t disk_chunks, disk_bytes;          /* kept and in use or pending */
    uint64_t removed_chunks, removed_bytes;
    uint64_t pending_chunks, pending_bytes;    /* unused, too young to be removed */
    uint64_t removed_bad, still_bad;           /* <digest>.<n>.bad files */
    uint64_t removed_temporary;                /* left by killed writers */
    uint64_t missing_chunks;                   /* named by an index, not in the store: only a warning */
};

/* PBR_E_STATE if a backup is running. Deterministic but for the disk: the time is env's. */
PBR_MUST_USE int pbr_store_gc(struct pbr_store *s, const struct pbr_gc_opts *opts, struct pbr_gc_result *ret,
                              struct pbr_diag *diag);

struct pbr_store_figures {
    uint64_t namespaces, groups, snapshots, unfinished_snapshots, protected_snapshots;
    uint64_t indexes, index_data_bytes, blobs, blob_bytes;
    uint64_t chunks, chunk_bytes, bad_chunks;
    uint64_t index_chunks;     /* entries over all indexes */
    double dedup_factor;       /* index_data_bytes / chunk_bytes; 1 for an empty store */
};
PBR_MUST_USE int pbr_store_figures(struct pbr_store *s, struct pbr_store_figures *ret, struct pbr_diag *diag);

#endif
