/* SPDX-License-Identifier: MIT */
/* Every item of an archive with offset, size and decoded fields, as text or as JSON lines (one object a line).
 * File contents are not shown. Goodbye records are shown one by one.
 *
 * Thread: not shared. */
#ifndef PBR_ARCHIVE_DUMP_H
#define PBR_ARCHIVE_DUMP_H

#include "base/io.h"

struct pbr_dump_opts {
    bool json;
};

/* `archive`: `.pxar` or `.mpxar`; no payload stream is needed. What was decoded before a failure has been written. */
PBR_MUST_USE int pbr_dump(const struct pbr_env *env, struct pbr_stream *archive, const struct pbr_dump_opts *opts,
                          struct pbr_sink *out, struct pbr_diag *diag);

#endif
