/* SPDX-License-Identifier: MIT */
/* Snapshots side by side, for people to see what was re-used: the layouts of their split archives (and of those in one stream
 * with an appendix), each compared with the snapshot before it (detect/report.h). Manifests, payload indexes and metadata
 * archives are read through reader sessions, payload chunks never; of an archive in one stream the chunks with entries.
 * Thread: not shared. */
#ifndef PBR_CLIENT_HISTORY_H
#define PBR_CLIENT_HISTORY_H

#include "client/restore.h"
#include "detect/report.h"

enum { PBR_HISTORY_MAX = 32 }; /* snapshots at once, each with all its entries in memory */

struct pbr_history_archive {
    char name[PBR_ARCHIVE_NAME_MAX + 1];  /* as the user calls it: "root.pxar" */
    struct pbr_restore_archive stored;    /* its indexes; of one in one stream: as the payload's */
    bool is_inline;                       /* in one stream, of the draft with an appendix */
    struct pbr_layout *layout;
    struct pbr_report *report;            /* against the snapshot before, or against nothing */
    const struct pbr_history_archive *before; /* in that snapshot, NULL if it has none */
    const char *no_before;                /* why there is none, a clause for people; NULL with `before` */
    struct pbr_report_sum metadata_sent;  /* of the metadata archive */
};

/* What a snapshot holds besides. */
struct pbr_history_other {
    char name[PBR_ARCHIVE_NAME_MAX + 1]; /* as stored */
    uint64_t size;
    const char *what;                    /* "archive in one stream", ... Static */
};

struct pbr_generation {
    struct pbr_snapshot snapshot;
    struct pbr_history_archive *archives;
    size_t archive_nr;
    struct pbr_history_other *others;
    size_t other_nr;
};

struct pbr_history {
    const struct pbr_env *env;
    struct pbr_generation *generations; /* oldest first */
    size_t nr;
    bool direct; /* each is the one that the next one's backup looked at; false: chosen by a person */
};

/* snapshots: oldest first, 1 .. PBR_HISTORY_MAX (ARG); `direct` as above. Each but the first is compared with the one before
 * it, the first with nothing. NOENT if the last one holds no split archive; the text says what it holds instead. */
PBR_MUST_USE int pbr_history_load(const struct pbr_env *env, struct pbr_client *c, const char *ns,
                                  const struct pbr_snapshot *snapshots, size_t nr, bool direct,
                                  const struct pbr_crypt *crypt, struct pbr_history *ret, struct pbr_diag *diag);
void pbr_history_release(struct pbr_history *h);

/* The archive of that name, or NULL. */
const struct pbr_history_archive *pbr_generation_find(const struct pbr_generation *g, const char *name);

#endif
