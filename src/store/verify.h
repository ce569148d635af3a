/* SPDX-License-Identifier: MIT */
/* Verification of snapshots as the server does it: manifest, index checksums and sizes, blobs, every chunk of every index
 * [BLOB-091, BLOB-092, MAN-073, IDX-022]. Encrypted chunks can be verified by CRC and kind only. A chunk is read once per
 * run, however many indexes hold it.
 * Thread: as the store. */
#ifndef PBR_STORE_VERIFY_H
#define PBR_STORE_VERIFY_H

#include "chunk/known.h"
#include "store/snapshot.h"

enum { PBR_VERIFY_PROBLEMS_MAX = 1000 }; /* kept per snapshot; more are only counted */

struct pbr_verify_problem {
    char file[PBR_ARCHIVE_NAME_MAX + 1];
    const char *rule;   /* spec ID or NULL; static */
    char *text;
};

struct pbr_verify_snapshot {
    char ns[PBR_NS_MAX + 1];
    struct pbr_snapshot id;
    struct pbr_verify_problem *problems;
    size_t problem_nr, problem_cap;
    uint64_t problems_seen; /* 0: the snapshot is fine */
};

struct pbr_verify_report {
    const struct pbr_env *env;
    struct pbr_verify_snapshot *items; /* every snapshot looked at */
    size_t nr, cap;
    uint64_t failed_snapshots;
    uint64_t indexes, blobs;
    uint64_t chunks, chunk_bytes;      /* distinct chunks read, their raw bytes */
    uint64_t bad_chunks, missing_chunks, renamed_chunks;
    uint64_t skipped_snapshots;        /* unfinished ones, without manifest */
};

struct pbr_verify_opts {
    const char *ns;                 /* NULL: all namespaces */
    const struct pbr_group *group;  /* NULL: all; else in `ns` (NULL: root) */
    const struct pbr_snapshot *snapshot; /* NULL: all; else exactly this one in `ns` */
    bool rename_bad;                /* corrupt chunks become <digest>.<n>.bad [IDX-105] */
    const char *upid;               /* not NULL: verify_state is written to each manifest [MAN-063] */
};

/* PBR_OK if the run went through, whatever it found: look at failed_snapshots. The caller releases *ret (initialised on
 * success only). */
PBR_MUST_USE int pbr_store_verify(struct pbr_store *s, const struct pbr_verify_opts *opts,
                                  struct pbr_verify_report *ret, struct pbr_diag *diag);
void pbr_verify_report_release(struct pbr_verify_report *r);

#endif
