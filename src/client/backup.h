/* SPDX-License-Identifier: MIT */
/* One backup run: sources to a new snapshot [BKP-220 .. BKP-249, BKP-270 .. BKP-276, CLI-030 .. CLI-053];
 * in the released format or in one of two drafts [SPL, APX].
 * Messages of the original go to env->log.
 * Thread: one call per client; hooks run on the caller's thread. */
#ifndef PBR_CLIENT_BACKUP_H
#define PBR_CLIENT_BACKUP_H

#include "archive/create.h"
#include "client/api.h"
#include "client/session.h"
#include "detect/appendix.h"
#include "client/upload.h"
#include "format/profile.h"

enum pbr_spec_type { PBR_SPEC_PXAR, PBR_SPEC_IMG, PBR_SPEC_CONF, PBR_SPEC_LOG };

/* NAME.TYPE:PATH (CLI-030). Spans borrow from the text. */
struct pbr_backup_spec {
    enum pbr_spec_type type;
    char target[PBR_ARCHIVE_NAME_MAX - 16]; /* "root.pxar" */
    char base[PBR_ARCHIVE_NAME_MAX - 16];   /* "root" */
    const char *path;                       /* borrowed from the text */
};
PBR_MUST_USE int pbr_backup_spec_parse(const char *text, struct pbr_backup_spec *ret, struct pbr_diag *diag);

struct pbr_backup_progress {
    uint64_t files;       /* entries archived so far */
    uint64_t bytes;       /* stream bytes so far, all archives */
    uint64_t total;       /* where it is known beforehand (images), else 0 */
    uint64_t sent_bytes;  /* acknowledged encoded bytes */
    const char *archive;
};

struct pbr_backup_opts {
    struct pbr_snapshot snapshot;
    const char *ns;
    const char *client_name;        /* node name, for the message only */
    enum pbr_profile profile;
    struct pbr_detection detection; /* as pbr_detection_parse made it for the profile */
    uint64_t appendix_threshold;    /* draft-appendix: bytes of unchanged files in a row that are referenced [APX-136] */
    bool data_suffix;               /* draft-split: payload archives end in .pxar.data [SPL-014] */
    uint64_t chunk_size;            /* average, bytes; 0 = 4 MiB (CHK-002) */
    struct pbr_create_opts create;  /* hooks must be empty */
    enum pbr_crypt_mode crypt_mode;
    const struct pbr_crypt *crypt;  /* for encrypt and sign-only; borrowed */
    const char *crypt_source;       /* with crypt: message that says where the key comes from (CLI-047), or NULL */
    bool dry_run, no_cache;
    unsigned workers;               /* 0 = by processors */
    void (*progress)(void *ctx, const struct pbr_backup_progress *p);
    void *progress_ctx;
};

struct pbr_backup_archive {
    char name[PBR_ARCHIVE_NAME_MAX + 1]; /* stored name */
    bool has_upload, has_create;
    struct pbr_upload_stats upload;
    struct pbr_create_stats create;
    uint64_t size;                       /* as in the manifest */
};

struct pbr_backup_result {
    const struct pbr_env *env;
    struct pbr_backup_archive *archives;
    size_t archive_nr, archive_cap;
    uint64_t duration_ns;
    uint64_t warnings; /* entries skipped or changed while reading */
};
void pbr_backup_result_release(struct pbr_backup_result *r);

/* Checks all sources, opens a session, uploads everything, manifest last, finish. After any failure the session is
 * dropped without finish: the server then removes the snapshot (BKP-203). *ret is set on success only.
 * PBR_E_ARG for unusable sources and names (CLI-032), REMOTE and the sessions' codes otherwise. */
PBR_MUST_USE int pbr_backup(const struct pbr_env *env, struct pbr_client *client,
                            const struct pbr_backup_spec *specs, size_t spec_nr, const struct pbr_backup_opts *opts,
                            struct pbr_backup_result *ret, struct pbr_diag *diag);

#endif
