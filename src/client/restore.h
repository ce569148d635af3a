/* SPDX-License-Identifier: MIT */
/* Reading a snapshot: session, manifest, archives as streams [RDR-050 .. RDR-073, EXT-112].
 * Thread: not shared. */
#ifndef PBR_CLIENT_RESTORE_H
#define PBR_CLIENT_RESTORE_H

#include "client/fetch.h"
#include "client/session.h"
#include "format/profile.h"

/* "type/id/time" as it is, "type/id" as the newest finished snapshot of the group (API-095). */
PBR_MUST_USE int pbr_resolve_snapshot(struct pbr_client *c, const char *ns, const char *text, struct pbr_snapshot *ret,
                                      struct pbr_diag *diag);
/* Times of finished snapshots of the same group before `snapshot`, newest first, at most `cap`: a backup looks at the
 * first of them [CDM-020]. */
PBR_MUST_USE int pbr_snapshots_before(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot,
                                      int64_t *times, size_t cap, size_t *ret_nr, struct pbr_diag *diag);

struct pbr_restore;

/* Reader session and manifest. `crypt` NULL: no key. */
PBR_MUST_USE int pbr_restore_open(const struct pbr_env *env, struct pbr_client *c, const char *ns,
                                  const struct pbr_snapshot *snapshot, const struct pbr_crypt *crypt,
                                  struct pbr_restore **ret, struct pbr_diag *diag);
/* After all archives were released. NULL is fine. */
void pbr_restore_close(struct pbr_restore *r);
const struct pbr_manifest *pbr_restore_manifest(const struct pbr_restore *r);
/* The decoded JSON text (MAN-076). */
struct pbr_span pbr_restore_json(const struct pbr_restore *r);

enum pbr_restore_kind {
    PBR_RESTORE_PXAR,     /* one stream */
    PBR_RESTORE_SPLIT,    /* metadata archive and payload stream */
    PBR_RESTORE_STREAM,   /* image, catalog: bytes */
    PBR_RESTORE_BLOB,
    PBR_RESTORE_MANIFEST,
};

struct pbr_restore_archive {
    enum pbr_restore_kind kind;
    char name[PBR_ARCHIVE_NAME_MAX + 1];         /* stored name; SPLIT: of the metadata archive */
    char payload_name[PBR_ARCHIVE_NAME_MAX + 1]; /* SPLIT; "" if the snapshot lacks it [SPL-092] */
    enum pbr_profile profile;                    /* SPLIT: whose names these are */
    struct pbr_fetched_index index, payload_index;
    struct pbr_stream stream, payload;           /* open after pbr_restore_streams */
    uint64_t size;                               /* all bytes, for progress */
};

/* Finds what a user calls `name` (IDX-083, IDX-094, RDR-070, RDR-071, SPL-015), fetches and checks its indexes. */
PBR_MUST_USE int pbr_restore_find(struct pbr_restore *r, const char *name, struct pbr_restore_archive *ret,
                                  struct pbr_diag *diag);
/* Opens the stream(s) of PXAR, SPLIT and STREAM archives. `a` must stay where it is until release. `metadata_only`:
 * the payload stream stays closed. NOENT with SPL-092 if it is wanted and not there. */
PBR_MUST_USE int pbr_restore_streams(struct pbr_restore *r, struct pbr_restore_archive *a, bool metadata_only,
                                     struct pbr_diag *diag);
/* Random access to one of the indexes; closed by the caller before release. */
PBR_MUST_USE int pbr_restore_source(struct pbr_restore *r, const struct pbr_fetched_index *ix,
                                    struct pbr_source *ret, struct pbr_diag *diag);
/* Decoded content of a BLOB. */
PBR_MUST_USE int pbr_restore_blob(struct pbr_restore *r, const struct pbr_restore_archive *a, struct pbr_buf *ret,
                                  struct pbr_diag *diag);
/* The file as stored, undecoded. */
PBR_MUST_USE int pbr_restore_raw(struct pbr_restore *r, const char *stored_name, struct pbr_buf *ret,
                                 struct pbr_diag *diag);
void pbr_restore_archive_release(struct pbr_restore_archive *a);

#endif
