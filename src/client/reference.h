/* SPDX-License-Identifier: MIT */
/* The previous snapshot at work in a creation: looks files up in its metadata archive, asks detect/reuse.h, and carries out
 * what that decides on the creation (archive/create.h) and on the payload's chunk stream [CDM-020 .. CDM-097]. Where the
 * archive and the index come from (a session or files) is the caller's.
 *
 * Memory: one open directory of the previous archive per level of the walk.
 * Thread: not shared; runs on the thread of the creation. */
#ifndef PBR_CLIENT_REFERENCE_H
#define PBR_CLIENT_REFERENCE_H

#include "archive/create.h"
#include "detect/reuse.h"

struct pbr_reference;

/* `archive`: the previous metadata archive; `payload`: the index of its payload stream, parsed strictly. Both borrowed.
 * cache_max as for pbr_reuse_new. FORMAT if the archive's begin or end is none [CDM-032]; a root directory that cannot be
 * read is only logged: then nothing is found. */
PBR_MUST_USE int pbr_reference_new(const struct pbr_env *env, const struct pbr_source *archive,
                                   const struct pbr_index *payload, uint64_t cache_max, struct pbr_reference **ret,
                                   struct pbr_diag *diag);
void pbr_reference_free(struct pbr_reference *ref); /* NULL is fine */

/* Where injected chunks go, before the creation begins; borrowed. */
void pbr_reference_set_payload(struct pbr_reference *ref, struct pbr_chunk_stream *payload);

/* Where the first file of the previous payload stream can begin, see pbr_reuse_set_first. */
void pbr_reference_set_first(struct pbr_reference *ref, uint64_t first);

/* The hooks `decide` and `flush` of the creation, for hooks that call them with the reference. Failures of a look-up end
 * the creation [CDM-032]. */
PBR_MUST_USE int pbr_reference_decide(struct pbr_reference *ref, struct pbr_create *cr,
                                      const struct pbr_create_entry *entry, struct pbr_create_plan *ret,
                                      struct pbr_diag *diag);
PBR_MUST_USE int pbr_reference_flush(struct pbr_reference *ref, struct pbr_create *cr, struct pbr_diag *diag);

struct pbr_reuse_counts pbr_reference_counts(const struct pbr_reference *ref);
/* "Change detection summary:" and its lines, at level info [CDM-110 .. CDM-113]. */
void pbr_reference_log_summary(const struct pbr_reference *ref);

#endif
