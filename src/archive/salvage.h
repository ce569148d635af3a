/* SPDX-License-Identifier: MIT */
/* What goodbye tables still lead to in an archive that cannot be read in order any more: behind a broken item or a chunk
 * that is lost. Walks from the root's table down [PXAR-261, PXAR-268, PXAR-272], in archive order, past everything that
 * cannot be read.
 * Memory: one goodbye table (24 and 8 bytes a child) per open directory. No recursion; siblings must not overlap, so the
 * walk is linear in the archive's size, whatever the tables say.
 *
 * Thread: not shared. */
#ifndef PBR_ARCHIVE_SALVAGE_H
#define PBR_ARCHIVE_SALVAGE_H

#include "base/io.h"
#include "format/pxar_dec.h"

struct pbr_salvage_opts {
    uint64_t from; /* archive position: entries before it are known already, directories around it are entered */
    /* An entry behind `from`, also a file of an appendix behind it; spans are valid during the call. A failure ends the walk. */
    int (*entry)(void *ctx, const struct pbr_pxar_entry *e, struct pbr_span path, struct pbr_diag *diag);
    /* A child of `dir` that cannot be read, or with `whole` the goodbye table of `dir`, and so all of its entries that were
     * not read before. */
    void (*lost)(void *ctx, struct pbr_span dir, bool whole, const struct pbr_diag *cause);
    void *ctx;
};

/* PBR_OK also when nothing could be read: `lost` was told. Failures: those of `entry`, NOMEM, and of the source what is not
 * the archive's fault (IO, PROTO, a connection that is gone). */
PBR_MUST_USE int pbr_salvage(const struct pbr_env *env, const struct pbr_source *archive,
                             const struct pbr_salvage_opts *opts, struct pbr_diag *diag);

#endif
