/* SPDX-License-Identifier: MIT */
/* One backup session on the datastore: what the server keeps and does between the upgrade and the end of the connection
 * [BKP sections 4 and 5], without any HTTP. Every refusal carries the original's text; diag.status where it is not 400.
 *
 *   begin --> active --finish--> finishing --> finished
 *                \--end (without finish): the snapshot directory is removed [BKP-203]
 *
 * On disk: the manifest the client uploads lies under the temporary name `index.json.tmp_blob` until finish publishes the
 * rewritten one by a rename; so a killed process leaves a directory without manifest, never a half snapshot that looks
 * finished (the original shows it as finished from the upload on).
 * Thread: as the store; any number of sessions on one store. */
#ifndef PBR_STORE_BACKUP_H
#define PBR_STORE_BACKUP_H

#include "store/chunk.h"
#include "chunk/known.h"
#include "store/snapshot.h"
#include "store/writer.h"

struct pbr_store_backup;

enum pbr_backup_state { PBR_BACKUP_ACTIVE, PBR_BACKUP_FINISHING, PBR_BACKUP_FINISHED };

struct pbr_store_backup_opts {
    const char *ns;
    struct pbr_snapshot snapshot;
    const char *auth_id;   /* becomes the owner of a new group */
    bool benchmark;        /* group host/benchmark: no owner check, never finished */
};

/* Checks and effects of BKP-035 .. BKP-042 in that order: namespace (404), benchmark group, group directory with owner,
 * group lock, owner check, base snapshot, its time and shared lock, new directory with exclusive lock; then the shared
 * chunk-store lock. After a failure nothing new is left behind. *ret is freed by end. */
PBR_MUST_USE int pbr_store_backup_begin(struct pbr_store *s, const struct pbr_store_backup_opts *opts,
                                        struct pbr_store_backup **ret, struct pbr_diag *diag);
/* Removes everything of an unfinished snapshot (and the group if that leaves it empty), releases the locks, frees. */
void pbr_store_backup_end(struct pbr_store_backup *b);

enum pbr_backup_state pbr_store_backup_state(const struct pbr_store_backup *b);
/* Borrowed until end. The base snapshot [BKP-039], NULL if there is none: what previous_backup_time answers. */
const struct pbr_snapshot *pbr_store_backup_base(const struct pbr_store_backup *b);
const struct pbr_known *pbr_store_backup_known(const struct pbr_store_backup *b);

/* `previous` [BKP-090 .. BKP-097]: opens a file of the base; an index is parsed and its chunks become known first. */
PBR_MUST_USE int pbr_store_backup_previous(struct pbr_store_backup *b, const char *name, int *ret_fd,
                                           uint64_t *ret_size, struct pbr_diag *diag);

/* `dynamic_index`/`fixed_index` create [BKP-100 .. BKP-104, BKP-147 .. BKP-153]. has_size and reuse_csum (NULL: none, the
 * text as given) only count for fixed ones. */
struct pbr_store_index_opts {
    enum pbr_index_kind kind;
    const char *name;
    bool has_size;
    uint64_t size;
    const char *reuse_csum;
};
PBR_MUST_USE int pbr_store_backup_create(struct pbr_store_backup *b, const struct pbr_store_index_opts *opts,
                                         uint64_t *ret_wid, struct pbr_diag *diag);

/* `dynamic_chunk`/`fixed_chunk` after the body has the announced length [BKP-113 .. BKP-125]. The CRC in raw is
 * overwritten. ret (may be NULL) tells new or duplicate, also if registering fails after the chunk was stored. */
struct pbr_store_upload {
    enum pbr_index_kind kind;
    uint64_t wid;
    const uint8_t *digest;
    uint64_t size;          /* announced plain length */
    uint64_t encoded_size;  /* announced raw length */
};
PBR_MUST_USE int pbr_store_backup_chunk(struct pbr_store_backup *b, const struct pbr_store_upload *up, uint8_t *raw,
                                        size_t len, struct pbr_store_put *ret, struct pbr_diag *diag);

/* One pair of an append [BKP-132 .. BKP-137, BKP-155 .. BKP-159]. Equal lengths of the lists are the caller's check. A known
 * chunk whose file is gone is NOENT too, with rule BKP-132, and marks the base as failed [BKP-184]. */
PBR_MUST_USE int pbr_store_backup_append(struct pbr_store_backup *b, enum pbr_index_kind kind, uint64_t wid,
                                         const uint8_t digest[PBR_DIGEST_LEN], uint64_t off, struct pbr_diag *diag);

/* `dynamic_close`/`fixed_close` [BKP-142 .. BKP-146, BKP-160 .. BKP-166]. csum is the text as given. */
PBR_MUST_USE int pbr_store_backup_close(struct pbr_store_backup *b, enum pbr_index_kind kind, uint64_t wid,
                                        uint64_t chunk_nr, uint64_t size, const char *csum, struct pbr_diag *diag);

/* `blob` [BKP-170 .. BKP-175]. */
PBR_MUST_USE int pbr_store_backup_blob(struct pbr_store_backup *b, const char *name, uint64_t encoded_size,
                                       struct pbr_span raw, struct pbr_diag *diag);

/* `finish` [BKP-180 .. BKP-187]: checks, rewrites the manifest with chunk_upload_stats, syncs, publishes, releases group
 * and snapshot locks. */
PBR_MUST_USE int pbr_store_backup_finish(struct pbr_store_backup *b, struct pbr_diag *diag);

#endif
