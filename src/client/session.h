/* SPDX-License-Identifier: MIT */
/* What backup and reader sessions share: opening them, fetching files of a snapshot and checking them against its
 * manifest [BKP-220 .. BKP-224, RDR-050 .. RDR-054].
 * Thread: not shared, except the link inside. */
#ifndef PBR_CLIENT_SESSION_H
#define PBR_CLIENT_SESSION_H

#include "chunk/known.h"
#include "chunk/seal.h"
#include "client/api.h"
#include "format/index.h"
#include "format/manifest.h"

/* Backup session on a new snapshot (BKP-015, BKP-017). */
PBR_MUST_USE int pbr_session_open_backup(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot,
                                         bool no_cache, struct pbr_link **ret, struct pbr_diag *diag);
/* Reader session on an existing one (RDR-002, RDR-003). */
PBR_MUST_USE int pbr_session_open_reader(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot,
                                         struct pbr_link **ret, struct pbr_diag *diag);

/* The same beside a backup: the rate limit does not hold for it [APX-114]. */
PBR_MUST_USE int pbr_session_open_reference(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot,
                                            struct pbr_link **ret, struct pbr_diag *diag);

/* Where a file is fetched from: `download` of a reader session or `previous` of a backup session. */
enum pbr_fetch_from { PBR_FETCH_READER, PBR_FETCH_PREVIOUS };

/* A file as stored, in memory; at most PBR_INDEX_SIZE_MAX bytes. */
PBR_MUST_USE int pbr_session_fetch(struct pbr_link *link, enum pbr_fetch_from from, const char *name,
                                   struct pbr_buf *ret, struct pbr_diag *diag);

/* index.json.blob: CRC, decode, parse; with a key its signature (RDR-051). Texts of RDR-051, rule MAN-048 or MAN-052. */
PBR_MUST_USE int pbr_session_manifest(const struct pbr_env *env, struct pbr_link *link, enum pbr_fetch_from from,
                                      const struct pbr_crypt *crypt, struct pbr_manifest *ret,
                                      struct pbr_buf *ret_json, struct pbr_diag *diag);

/* An index checked against the manifest (RDR-052). `file` owns the bytes that `index` borrows. */
struct pbr_fetched_index {
    struct pbr_buf file;
    struct pbr_index index;
    enum pbr_crypt_mode crypt_mode;
};
PBR_MUST_USE int pbr_session_index(struct pbr_link *link, enum pbr_fetch_from from, const struct pbr_manifest *manifest,
                                   const char *name, struct pbr_fetched_index *ret, struct pbr_diag *diag);
void pbr_fetched_index_release(struct pbr_fetched_index *ix);

/* All digests of an index into a set of known chunks (BKP-224). */
PBR_MUST_USE int pbr_session_add_known(const struct pbr_index *index, struct pbr_known *known);

/* A *.blob file checked against the manifest and decoded (RDR-053). */
PBR_MUST_USE int pbr_session_blob(const struct pbr_env *env, struct pbr_link *link,
                                  const struct pbr_manifest *manifest, const char *name,
                                  const struct pbr_crypt *crypt, struct pbr_buf *ret_plain, struct pbr_diag *diag);

#endif
