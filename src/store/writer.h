/* SPDX-License-Identifier: MIT */
/* Writers of index files on the server's side [IDX section 3, BKP-100 .. BKP-166]. While being written a file has its
 * name with the last extension replaced (root.pxar.tmp_didx) and is renamed at close [IDX-070]. Usually reached through
 * store/backup.h, which numbers them and keeps the known chunks.
 *
 * Dynamic: records are appended in order through a buffer. Fixed: digests go to their place in the (sparse) file, in any
 * order; memory does not depend on the image's size.
 * Thread: not shared. */
#ifndef PBR_STORE_WRITER_H
#define PBR_STORE_WRITER_H

#include "format/index.h"
#include "store/store.h"

struct pbr_store_writer;

/* What was uploaded for a writer: the base of chunk_upload_stats [MAN-061]. */
struct pbr_upload_stats {
    uint64_t count, size, compressed_size, duplicates;
};

/* Starts `name` (checked, right extension) in the directory dirfd (not owned, outlives the writer). `path` is the
 * directory's name for messages. */
PBR_MUST_USE int pbr_store_didx_new(struct pbr_store *s, int dirfd, const char *path, const char *name,
                                    struct pbr_store_writer **ret, struct pbr_diag *diag);
/* size 0: unknown, grows with the appends [IDX-062]. `reuse` (may be NULL): its digests are copied first and the writer
 * is incremental [IDX-063]; the caller checked checksum and entry count. */
PBR_MUST_USE int pbr_store_fidx_new(struct pbr_store *s, int dirfd, const char *path, const char *name, uint64_t size,
                                    const struct pbr_index *reuse, struct pbr_store_writer **ret,
                                    struct pbr_diag *diag);
/* Also removes the temporary file if the writer was not closed. NULL is fine. */
void pbr_store_writer_free(struct pbr_store_writer *w);

enum pbr_index_kind pbr_store_writer_kind(const struct pbr_store_writer *w);
const char *pbr_store_writer_name(const struct pbr_store_writer *w);

/* Counts one uploaded chunk; fixed: the size rules of BKP-119. PBR_E_STATE if closed. */
PBR_MUST_USE int pbr_store_writer_register(struct pbr_store_writer *w, uint64_t wid, uint64_t size,
                                           uint64_t stored_size, bool duplicate, struct pbr_diag *diag);
/* One entry: `size` plain bytes at `off` [BKP-133, BKP-156 .. BKP-158]. */
PBR_MUST_USE int pbr_store_writer_append(struct pbr_store_writer *w, uint64_t off, uint64_t size,
                                         const uint8_t digest[PBR_DIGEST_LEN], struct pbr_diag *diag);
/* Checks, checksum into the header, rename, comparison with csum, in this order [BKP-142, BKP-161 .. BKP-165]. Refused
 * before the rename: the writer stays open. */
PBR_MUST_USE int pbr_store_writer_close(struct pbr_store_writer *w, uint64_t chunk_nr, uint64_t size,
                                        const uint8_t csum[PBR_DIGEST_LEN], struct pbr_diag *diag);
const struct pbr_upload_stats *pbr_store_writer_stats(const struct pbr_store_writer *w);

#endif
