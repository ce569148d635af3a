/* SPDX-License-Identifier: MIT */
/* Deep consistency of a snapshot, or of archives as local files: what a verification of chunk digests does not see. Manifest
 * (sizes, checksums, signature), index files, every archive's structure with its goodbye tables and hard links (by
 * archive/verify.h), payload references against payload stream and index (CDM-121 .. CDM-127), the catalog against the
 * archives (CAT-060 .. CAT-065), every chunk, with the paths that a missing or corrupt one damages.
 *
 * A defect does not end the check: lost chunks are passed over, and what lies behind a broken item is reached by goodbye
 * tables (archive/salvage.h).
 *
 * Known historical defects and the traces by which they are told (finding -> defect):
 *   reference-behind-data      CDM-059  a re-used range reached beyond the previous payload index
 *   directory-not-closed       CDM-080  the end of a directory with a stale handle was never written
 *   stale-size                 CDM-140  file sizes were not compared: PAYLOAD header and reference disagree on the size
 *   archive-ends-early         CDM-141  the archiver failed after its stream had ended, and the backup passed as good
 *   payload-tail-marker        CDM-141  the same, seen in the payload stream
 *   references-not-increasing  CDM-142  the encoder took references that repeat or go backwards
 *   held-chunk-mistaken        CDM-144  equal digests were taken for the same chunk: references go back into the chunk in
 *                                       which the file before ends
 *   repeated-chunk             CDM-144  a first repair put the held chunk once more at every hole: a chunk stands twice in a
 *                                       row, files before the hole use one copy, files behind it the other (a note: harmless)
 * The other entries of that list (CDM-143, CDM-145 .. CDM-155) leave no trace in a snapshot.
 *
 * Memory: the index files (40 bytes a chunk), what archive/verify.h holds (80 bytes per child of open directories, 16 per
 * file), 24 bytes per damaged chunk, 36 bytes per distinct chunk of images, the chunks of the read-ahead.
 *
 * Thread: not shared. */
#ifndef PBR_CLIENT_CHECK_H
#define PBR_CLIENT_CHECK_H

#include "chunk/seal.h"
#include "client/api.h"
#include "format/manifest.h"

enum pbr_check_level { PBR_CHECK_ERROR, PBR_CHECK_WARNING, PBR_CHECK_NOTE };

struct pbr_check_finding {
    enum pbr_check_level level;
    const char *name;     /* stable, as in the list above: "goodbye-order"; static */
    const char *file;     /* stored name, or local path */
    const char *rule;     /* spec ID or NULL; static */
    const char *defect;   /* ID of a known historical defect or NULL; static */
    struct pbr_span path; /* raw bytes of a path in the archive, or empty */
    bool has_off;
    uint64_t off;         /* position in the stream of `file` */
    const char *text;
};

struct pbr_check_opts {
    const struct pbr_crypt *crypt; /* NULL: no key */
    bool metadata_only;            /* no payload data, no contents, no images: only what leads to them */
    uint64_t findings_max;         /* reported per file and name, more are counted; 0 = 20 */
    /* For every finding, on the caller's thread; everything in it is valid during the call. */
    void (*report)(void *ctx, const struct pbr_check_finding *f);
    void (*progress)(void *ctx, const char *file, uint64_t done, uint64_t total); /* or NULL */
    void *ctx;
};

/* Of one file of the snapshot. */
struct pbr_check_file {
    char *name;
    const char *kind;                /* "archive", "metadata", "payload", "catalog", "image", "blob", "manifest", "index" */
    uint64_t size;                   /* bytes of the stream, of blobs as stored */
    uint64_t chunks, bad_chunks;
    uint64_t errors, warnings, notes;
    uint64_t damaged_paths;          /* paths that an error was reported for */
    uint64_t entries, files, hardlinks, references; /* of archives */
    bool has_padding;
    uint64_t padding_bytes;          /* payload: bytes that no reference covers, markers not counted */
    bool contents;                   /* all data was read */
    uint64_t *counts;                /* findings by name; see pbr_check_name */
};

struct pbr_check_result {
    const struct pbr_env *env;
    struct pbr_check_file *files;
    size_t file_nr, file_cap;
    uint64_t errors, warnings, notes;
};
void pbr_check_result_release(struct pbr_check_result *r);

/* Names of findings, numbered; NULL behind the last. */
const char *pbr_check_name(size_t i);
/* How many findings of a name were counted but not reported. */
uint64_t pbr_check_omitted(const struct pbr_check_opts *opts, const struct pbr_check_file *f, size_t name);

/* Checks a snapshot through a reader session. PBR_OK with *ret (released by the caller) whenever the check came to its end,
 * findings or not. Failures: CRYPTO (key missing or wrong, MAN-052), REMOTE (not reached, no such snapshot), NOMEM, LIMIT. */
PBR_MUST_USE int pbr_check_snapshot(struct pbr_client *c, const char *ns, const struct pbr_snapshot *snapshot,
                                    const struct pbr_check_opts *opts, struct pbr_check_result *ret,
                                    struct pbr_diag *diag);

/* Checks local files, told apart by content: archives (X.mpxar with X.ppxar), catalogs, indexes (X.didx describes X, if X is
 * there), manifests (index.json.blob or JSON text), other blobs. Failures: IO and NOENT of the files themselves, ARG for
 * files that are none of these, CRYPTO, NOMEM, LIMIT. */
PBR_MUST_USE int pbr_check_files(const struct pbr_env *env, const char *const *paths, size_t path_nr,
                                 const struct pbr_check_opts *opts, struct pbr_check_result *ret,
                                 struct pbr_diag *diag);

#endif
