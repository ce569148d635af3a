/* SPDX-License-Identifier: MIT */
/* The previous snapshot at work in a creation of the draft with an appendix: looks files up in its catalog, asks
 * detect/appendix.h, and carries out what that decides on the creation (archive/create.h) and on the archive's chunk stream
 * [APX-091 .. APX-146]. Where catalog and index come from is the caller's. The counterpart of reference.h.
 *
 * Memory: one directory of the catalog per level of the walk.
 * Thread: not shared; runs on the thread of the creation. */
#ifndef PBR_CLIENT_CATALOG_REFERENCE_H
#define PBR_CLIENT_CATALOG_REFERENCE_H

#include "archive/create.h"
#include "detect/appendix.h"

struct pbr_catalog_reference;

struct pbr_catalog_reference_opts {
    uint64_t small, threshold, waiting_max; /* as in pbr_appendix_opts */
};

/* `catalog` is the whole file; `target` the archive's stored name in it; `previous` the archive's index, parsed strictly. All
 * borrowed. NOENT: no such archive in the catalog [APX-125]. A catalog that is not extended is fine: nothing is found in it
 * [APX-080, APX-160]. */
PBR_MUST_USE int pbr_catalog_reference_new(const struct pbr_env *env, const struct pbr_source *catalog, const char *target,
                                           const struct pbr_index *previous,
                                           const struct pbr_catalog_reference_opts *opts,
                                           struct pbr_catalog_reference **ret, struct pbr_diag *diag);
void pbr_catalog_reference_free(struct pbr_catalog_reference *ref); /* NULL is fine */

/* Where injected chunks go, before the creation begins; borrowed. It must take injections (chunk/stream.h, payload). */
void pbr_catalog_reference_set_stream(struct pbr_catalog_reference *ref, struct pbr_chunk_stream *archive);

/* The hooks of the creation of these names. A catalog that turns out to be damaged is told of once, and not used any more
 * [APX-161]. */
PBR_MUST_USE int pbr_catalog_reference_decide(struct pbr_catalog_reference *ref, struct pbr_create *cr,
                                              const struct pbr_create_entry *entry, struct pbr_create_plan *ret,
                                              struct pbr_diag *diag);
PBR_MUST_USE int pbr_catalog_reference_flush(struct pbr_catalog_reference *ref, struct pbr_create *cr,
                                             struct pbr_diag *diag);
PBR_MUST_USE int pbr_catalog_reference_close(struct pbr_catalog_reference *ref, struct pbr_create *cr,
                                             struct pbr_diag *diag);

/* After close: where the new archive's appendix starts, 0 if it has none [APX-074]. */
uint64_t pbr_catalog_reference_start(const struct pbr_catalog_reference *ref);
struct pbr_appendix_counts pbr_catalog_reference_counts(const struct pbr_catalog_reference *ref);

#endif
