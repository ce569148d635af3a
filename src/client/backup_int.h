/* SPDX-License-Identifier: MIT */
/* Inside client only: a backup run in progress, shared by backup.c and the files that handle one kind of source. */
#ifndef PBR_CLIENT_BACKUP_INT_H
#define PBR_CLIENT_BACKUP_INT_H

#include "client/backup.h"
#include "client/catalog_reference.h"
#include "client/fetch.h"
#include "client/reference.h"
#include "format/catalog.h"

struct pbr_backup_run {
    const struct pbr_env *env;
    struct pbr_client *client;
    const struct pbr_backup_opts *opts;
    struct pbr_link *link;
    struct pbr_pipeline *pipeline;
    bool has_previous;
    struct pbr_manifest previous;
    struct pbr_manifest manifest;
    struct pbr_backup_result result;
    struct pbr_backup_progress progress;
    char repo[4300];                /* canonical form, for messages */
    struct pbr_backup_catalog *catalog; /* legacy mode and drafts, from the first pxar source on */
    bool has_listed;                /* draft-appendix: the group has a snapshot */
    struct pbr_snapshot listed;
    int old_catalog_state;          /* 0: not asked for yet, 1: there, -1: cannot be had */
    struct pbr_source old_catalog;
};

/* A chunk stream into an index on the server. */
struct pbr_backup_stream {
    struct pbr_backup_run *run;
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    struct pbr_upload *upload;
    struct pbr_chunk_out inner;   /* the upload's */
    struct pbr_chunk_stream *chunks;
    struct pbr_sink sink;
    uint64_t last_report_ns;
    struct pbr_upload_stats stats; /* after drain */
    bool report;                  /* "processed ..." every minute (BKP-270) */
};

PBR_MUST_USE int pbr_backup_stream_open(struct pbr_backup_run *run, struct pbr_backup_stream *s, const char *name,
                                        const struct pbr_chunk_stream_opts *opts, uint64_t size, bool use_previous,
                                        struct pbr_diag *diag);
void pbr_backup_stream_release(struct pbr_backup_stream *s);
/* Last chunk out; does not wait. */
PBR_MUST_USE int pbr_backup_stream_end(struct pbr_backup_stream *s, struct pbr_diag *diag);
/* After end: everything acknowledged, summary lines: s->stats. */
PBR_MUST_USE int pbr_backup_stream_drain(struct pbr_backup_stream *s, struct pbr_diag *diag);
/* After drain: index closed, manifest entry. */
PBR_MUST_USE int pbr_backup_stream_close(struct pbr_backup_stream *s, const struct pbr_create_stats *create,
                                         struct pbr_diag *diag);
/* Both. */
PBR_MUST_USE int pbr_backup_stream_finish(struct pbr_backup_stream *s, const struct pbr_create_stats *create,
                                          struct pbr_diag *diag);

/* The previous snapshot of an archive in metadata mode; ref is NULL if nothing can be re-used. */
struct pbr_backup_reference {
    struct pbr_reference *ref;
    struct pbr_link *reader;
    struct pbr_fetched_index meta, payload;
    struct pbr_source source; /* the metadata archive, over reader */
    bool has_source;
};

/* Of a split archive, with the names of the profile. Nothing to do but in `mode` metadata with a previous manifest. To be
 * closed after failures too. */
PBR_MUST_USE int pbr_backup_reference_open(struct pbr_backup_run *run, const char *base, enum pbr_change_mode mode,
                                           struct pbr_backup_reference *ret, struct pbr_diag *diag);
void pbr_backup_reference_close(struct pbr_backup_reference *r);

/* Entries that may wait with an open file each; raises the limit of open files [CDM-025, CDM-081]. */
uint64_t pbr_backup_raise_open_files(const struct pbr_env *env);

/* The same for an archive of the draft with an appendix; `target` as stored. */
struct pbr_backup_appendix {
    struct pbr_catalog_reference *ref; /* NULL: nothing can be re-used */
    struct pbr_fetched_index index;
};
/* Before the session: which snapshot would serve. */
void pbr_backup_appendix_look(struct pbr_backup_run *run);
PBR_MUST_USE int pbr_backup_appendix_open(struct pbr_backup_run *run, const char *target,
                                          struct pbr_backup_appendix *ret, struct pbr_diag *diag);
void pbr_backup_appendix_close(struct pbr_backup_appendix *r);
/* What is kept for all archives. */
void pbr_backup_appendix_release(struct pbr_backup_run *run);

PBR_MUST_USE int pbr_backup_pxar(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd,
                                 struct pbr_diag *diag);
PBR_MUST_USE int pbr_backup_catalog_finish(struct pbr_backup_run *run, struct pbr_diag *diag);
void pbr_backup_catalog_free(struct pbr_backup_run *run);
PBR_MUST_USE int pbr_backup_image(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd,
                                  uint64_t size, struct pbr_diag *diag);
PBR_MUST_USE int pbr_backup_blob(struct pbr_backup_run *run, const char *name, bool in_manifest, bool encrypt,
                                 struct pbr_span plain, struct pbr_diag *diag);
void pbr_backup_report(struct pbr_backup_run *run, const char *archive);

#endif
