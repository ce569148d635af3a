/* SPDX-License-Identifier: MIT */
/* The upload side of a backup: chunks of one or more indexes go through digest, compression, encryption and the wire
 * [BKP-235 .. BKP-245]. Stages, joined by bounded memory:
 *
 *   producer (chunk stream) -> workers: digest, known?, seal -> link: POST *_chunk -> answer -> PUT *_index -> close
 *
 * A chunk is appended to its index only after its upload and everything before it was acknowledged, appends of an index
 * are serial and in stream order (BKP-240), chunk uploads are not.
 * The bytes produced are the same for every number of workers.
 *
 * Thread: a pipeline is internally locked; each upload has one producer thread at a time. */
#ifndef PBR_CLIENT_UPLOAD_H
#define PBR_CLIENT_UPLOAD_H

#include "chunk/known.h"
#include "chunk/seal.h"
#include "chunk/stream.h"
#include "client/link.h"
#include "format/index.h"
#include "format/name.h"

struct pbr_pipeline;

struct pbr_pipeline_opts {
    const struct pbr_crypt *crypt; /* encrypt chunks with it, or NULL; borrowed */
    unsigned workers;              /* 0 = one per processor, at most 4 */
    uint64_t in_flight_max;        /* encoded bytes sent and not acknowledged; 0 = 24 MiB */
};

/* `link` is borrowed and must be freed (pbr_link_free) after pbr_pipeline_stop and before pbr_pipeline_free. */
PBR_MUST_USE int pbr_pipeline_new(const struct pbr_env *env, struct pbr_link *link,
                                  const struct pbr_pipeline_opts *opts, struct pbr_pipeline **ret,
                                  struct pbr_diag *diag);
/* Stops the workers; nothing is submitted any more. */
void pbr_pipeline_stop(struct pbr_pipeline *p);
/* After pbr_pipeline_stop and pbr_link_free. Frees its uploads too. */
void pbr_pipeline_free(struct pbr_pipeline *p);

struct pbr_upload;

struct pbr_upload_stats {
    uint64_t size;            /* stream bytes, injected ones included */
    uint64_t chunk_nr;        /* entries: new, known and injected */
    uint64_t known_nr;        /* known and not injected */
    uint64_t known_bytes;
    uint64_t injected_nr, injected_bytes;
    uint64_t new_nr, new_bytes;
    uint64_t encoded_bytes;   /* raw blobs of new chunks */
    uint64_t acked_bytes;     /* of those, acknowledged */
    uint64_t duration_ns;     /* from open to the last append */
    uint8_t csum[PBR_DIGEST_LEN]; /* index checksum, after finish */
};

/* Creates the index on the server (POST dynamic_index or fixed_index; `size` counts for fixed only, UINT64_MAX = not
 * known) and returns the upload, owned by the pipeline. `known` is moved in: chunks that need not be sent. */
PBR_MUST_USE int pbr_upload_open(struct pbr_pipeline *p, const char *archive_name, enum pbr_index_kind kind,
                                 uint64_t size, struct pbr_known *known, struct pbr_upload **ret,
                                 struct pbr_diag *diag);
/* Output of a chunk stream into this upload (chunk/stream.h). */
struct pbr_chunk_out pbr_upload_out(struct pbr_upload *u);
/* No more chunks come: what is left is sent. Does not wait, so that several uploads can end side by side. */
void pbr_upload_end(struct pbr_upload *u);
/* The same, and waits until everything was acknowledged and appended; *ret has all figures. */
PBR_MUST_USE int pbr_upload_finish(struct pbr_upload *u, struct pbr_upload_stats *ret, struct pbr_diag *diag);
/* Closes the index with the checks of the protocol (BKP-140, BKP-160). After finish. */
PBR_MUST_USE int pbr_upload_close(struct pbr_upload *u, struct pbr_diag *diag);
/* What the server said no to, for this upload alone: other uploads go on [SPL-063]. PBR_OK if nothing; *ret otherwise. From
 * any thread. */
PBR_MUST_USE int pbr_upload_failure(struct pbr_upload *u, struct pbr_diag *ret);
/* Figures so far, from any thread. */
void pbr_upload_stats(struct pbr_upload *u, struct pbr_upload_stats *ret);

#endif
