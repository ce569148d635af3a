/* SPDX-License-Identifier: MIT */
/* Inside client only: the parts of the snapshot check. */
#ifndef PBR_CLIENT_CHECK_INT_H
#define PBR_CLIENT_CHECK_INT_H

#include "archive/verify.h"
#include "client/check.h"
#include "client/link.h"
#include "client/session.h"
#include "format/catalog.h"

/* Every finding; the order is that of check_report.c's table. */
enum check_name {
    CHECK_MANIFEST,
    CHECK_SIGNATURE,
    CHECK_FILE_MISSING,
    CHECK_FILE_SIZE,
    CHECK_FILE_CSUM,
    CHECK_FILE_CRYPT_MODE,
    CHECK_BLOB,
    CHECK_INDEX,
    CHECK_INDEX_CSUM,
    CHECK_SPLIT_PAIR,
    CHECK_CHUNK_MISSING,
    CHECK_CHUNK_CORRUPT,
    CHECK_DAMAGED_PATH,
    CHECK_LOST_ENTRY,
    CHECK_LOST_DIRECTORY,
    CHECK_STRUCTURE,
    CHECK_ENDS_EARLY,
    CHECK_NOT_CLOSED,
    CHECK_TRAILING,
    CHECK_NAME_ORDER,
    CHECK_NAME_TWICE,
    CHECK_ENTRY_VALUE,
    CHECK_GOODBYE_COUNT,
    CHECK_GOODBYE_CHILD,
    CHECK_GOODBYE_SIZE,
    CHECK_GOODBYE_ORDER,
    CHECK_GOODBYE_TAIL,
    CHECK_GOODBYE_COLLISION,
    CHECK_HARDLINK_TARGET,
    CHECK_HARDLINK_PATH,
    CHECK_START_MARKER,
    CHECK_TAIL_MARKER,
    CHECK_REF_MARKER,
    CHECK_REF_BEHIND,
    CHECK_REF_ORDER,
    CHECK_REF_HELD,
    CHECK_REF_OVERLAP,
    CHECK_STALE_SIZE,
    CHECK_PAYLOAD_HEADER,
    CHECK_PADDING,
    CHECK_REPEATED_CHUNK,
    CHECK_CATALOG,
    CHECK_CATALOG_MISSING,
    CHECK_CATALOG_EXTRA,
    CHECK_CATALOG_VALUE,
    CHECK_NAME_NR,
};

/* ---- report (check_report.c) ---- */

struct check {
    const struct pbr_env *env;
    const struct pbr_check_opts *opts;
    struct pbr_check_result res;
    bool stored; /* files are as stored: what is encrypted needs its key */
};

/* A record for `name`; *ret is its number (records move when more are added). */
PBR_MUST_USE int check_add_file(struct check *c, const char *name, const char *kind, size_t *ret, struct pbr_diag *diag);

struct check_where {
    size_t file;          /* number of the record */
    const char *rule;
    struct pbr_span path; /* may be empty */
    bool has_off;
    uint64_t off;
};
void check_report(struct check *c, enum check_name name, const struct check_where *at, const char *fmt, ...)
    PBR_PRINTF(4, 5);
/* The same with the words of a failure, whose rule and offset count if `at` has none. */
void check_report_cause(struct check *c, enum check_name name, const struct check_where *at,
                        const struct pbr_diag *cause);
/* Name for a rule that archive/verify.h reports. */
enum check_name check_name_of_rule(const char *rule);
/* A finding about the bytes becomes PBR_OK, reported; other failures are returned in diag. */
PBR_MUST_USE int check_found(struct check *c, enum check_name name, const struct check_where *at, int rc,
                             const struct pbr_diag *cause, struct pbr_diag *diag);

/* ---- one stream of the snapshot (check_part.c) ---- */

struct check_bad {
    uint64_t start, end; /* in the stream */
    uint64_t missing;    /* else corrupt */
};

struct check_part {
    struct check *c;
    size_t file;
    const struct pbr_index *ix; /* NULL: none */
    uint64_t size;
    struct pbr_buf bad;         /* struct check_bad, ascending */
    bool skips;                 /* skipped bytes need not be read */
    bool draft;                 /* payload of a draft: no markers are demanded [SPL-024, SPL-025, SPL-027] */
    const uint64_t *origin;     /* where the chunks of `ix` stand in the file, if `ix` is an extract; or NULL */
    uint64_t pos;               /* of the reader */
    /* how to get at the bytes; both may be called several times */
    int (*open_stream)(void *ctx, struct pbr_stream *ret, struct pbr_diag *diag);
    int (*open_source)(void *ctx, struct pbr_source *ret, struct pbr_diag *diag);
    void *ctx;
    struct pbr_stream inner;    /* while a stream is open */
    uint64_t hole_end;          /* zeros are served up to here */
    uint64_t shown;             /* progress was shown up to here */
};

/* `p` filled but for the fields behind ctx. */
void check_part_init(struct check_part *p, struct check *c);
void check_part_release(struct check_part *p);
/* The stream with chunks that cannot be had replaced by zeros; each of them is reported and noted in `bad`. One at a time;
 * `p` stays where it is. Closed by the caller. */
PBR_MUST_USE int check_part_stream(struct check_part *p, struct pbr_stream *ret, struct pbr_diag *diag);
/* Notes and reports chunk i as lost; the same chunk twice is once. */
PBR_MUST_USE int check_part_add_bad(struct check_part *p, uint64_t i, const struct pbr_diag *cause,
                                    struct pbr_diag *diag);
/* First damaged range that meets [start, end), or NULL; *ret_nr how many do. */
const struct check_bad *check_part_damage(const struct check_part *p, uint64_t start, uint64_t end, size_t *ret_nr);
/* Reads `s` to its end. */
PBR_MUST_USE int check_part_drain(struct pbr_stream *s, struct pbr_diag *diag);

/* ---- chunks of a file of the snapshot (check_chunks.c) ---- */

/* An index fetched from the server, as a part. Stays where it is until release. */
struct check_remote {
    struct pbr_link *link;
    const struct pbr_crypt *crypt;
    struct pbr_fetched_index index;
    struct check_part part;
};
/* `index` moves into *ret, which is initialised. */
void check_remote_init(struct check_remote *ret, struct check *c, struct pbr_link *link, size_t file,
                       const struct pbr_fetched_index *index);
void check_remote_release(struct check_remote *r);
/* Reads every distinct chunk of the index once. */
PBR_MUST_USE int check_chunks(struct check_remote *r, struct pbr_diag *diag);

/* ---- payload stream (check_payload.c) ---- */

struct check_payload {
    struct check_part *part;
    uint64_t begin;       /* of the first record: behind the start marker, if there is one */
    size_t meta_file;     /* record of the metadata archive: references are its content */
    struct pbr_stream s;
    bool open;
    struct pbr_source src;
    bool src_open;
    bool has_last;
    uint64_t last;        /* offset of the last reference */
    uint64_t last_end;
    uint64_t top;         /* greatest offset so far */
    uint64_t covered_end; /* greatest end so far */
    uint64_t refs;
    uint64_t gaps;        /* bytes between references */
    uint64_t first_gap;   /* within the chunk of the start marker, or 0 */
    uint64_t last_gap;    /* within the chunk of the tail marker, or 0 */
    bool disordered;      /* gaps cannot be told */
};
/* `part` is borrowed. Reads the start marker. */
PBR_MUST_USE int check_payload_open(struct check_payload *p, struct check_part *part, size_t meta_file,
                                    struct pbr_diag *diag);
PBR_MUST_USE int check_payload_ref(struct check_payload *p, const struct pbr_pxar_entry *e, struct pbr_span path,
                                   struct pbr_diag *diag);
/* Rest of the stream, tail marker, padding account. `complete`: all references were seen. */
PBR_MUST_USE int check_payload_finish(struct check_payload *p, bool complete, struct pbr_diag *diag);
void check_payload_close(struct check_payload *p);

/* ---- catalog (check_catalog.c) ---- */

struct check_catalog {
    struct check *c;
    size_t file;
    struct pbr_pcat *cat;
    struct pbr_pcat_walk *walk; /* of the archive being compared */
    struct pbr_pcat_entry at;
    bool has_at, ended, gave_up;
};
PBR_MUST_USE int check_catalog_open(struct check_catalog *k, struct check *c, size_t file, const struct pbr_source *src,
                                    struct pbr_diag *diag);
void check_catalog_close(struct check_catalog *k);
/* The archive with this stored name is compared next. */
PBR_MUST_USE int check_catalog_begin(struct check_catalog *k, const char *archive, struct pbr_diag *diag);
PBR_MUST_USE int check_catalog_entry(struct check_catalog *k, const struct pbr_pxar_entry *e, struct pbr_span path,
                                     struct pbr_diag *diag);
/* `complete`: the archive was read to its end, so the catalog has to be at its end too. */
PBR_MUST_USE int check_catalog_end(struct check_catalog *k, bool complete, struct pbr_diag *diag);
/* Directories of the catalog that are no archive of the snapshot. */
PBR_MUST_USE int check_catalog_names(struct check_catalog *k, bool (*known)(void *ctx, struct pbr_span name), void *ctx,
                                     struct pbr_diag *diag);

/* ---- one archive (check_archive.c) ---- */

/* `payload` NULL: one stream, or the payload stream is not to be had; `catalog` NULL: none, else it knows the archive as
 * `stored`. */
PBR_MUST_USE int check_archive(struct check *c, struct check_part *archive, struct check_part *payload,
                               struct check_catalog *catalog, const char *stored, struct pbr_diag *diag);

/* ---- manifest and index rules (check_manifest.c) ---- */

PBR_MUST_USE int check_manifest_bytes(struct check *c, size_t file, struct pbr_span raw, struct pbr_manifest *ret,
                                      bool *ret_ok, struct pbr_diag *diag);
/* Index against format and manifest entry (NULL: none). *ret_ok: usable. */
PBR_MUST_USE int check_index_bytes(struct check *c, size_t file, struct pbr_span raw,
                                   const struct pbr_manifest_file *listed, struct pbr_index *ret, bool *ret_ok,
                                   struct pbr_diag *diag);
PBR_MUST_USE int check_blob_bytes(struct check *c, size_t file, struct pbr_span raw,
                                  const struct pbr_manifest_file *listed, struct pbr_diag *diag);

#endif
