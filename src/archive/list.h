/* SPDX-License-Identifier: MIT */
/* `pxar list`: one line per entry, short (EXT-140, EXT-141) or long (EXT-143, EXT-144).
 *
 * Thread: not shared. */
#ifndef PBR_ARCHIVE_LIST_H
#define PBR_ARCHIVE_LIST_H

#include "archive/read.h"

struct pbr_list_opts {
    bool long_form;       /* mode, owner, time, size, path, link target, payload offset */
    bool notes;           /* EXT-145: version, prelude and padding lines to env's log at level debug */
    /* Seconds to local time text `YYYY-MM-DD hh:mm:ss`; out has 64 bytes. NULL: UTC. */
    void (*format_time)(int64_t time_s, char *out, size_t cap);
};

/* Appends the line of one entry, line end included, to `out`. `path` as pbr_reader_path gives it. LIMIT or NOMEM. */
PBR_MUST_USE int pbr_list_line(const struct pbr_pxar_entry *entry, struct pbr_span path,
                               const struct pbr_list_opts *opts, struct pbr_buf *out);

/* Reads all entries from `r` (just opened) and writes their lines to `out`. Long lines of files in the appendix of a draft's
 * archive come last, in the order of the appendix: only there are owner and time known [APX-050]. */
PBR_MUST_USE int pbr_list(const struct pbr_env *env, struct pbr_reader *r, const struct pbr_list_opts *opts,
                          struct pbr_sink *out, struct pbr_diag *diag);

#endif
