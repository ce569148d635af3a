/* SPDX-License-Identifier: MIT */
/* Where exclude patterns come from (spec/create.md section 4): the command line, `.pxarexclude` files, and the text form
 * in which archives keep the command line ones (`.pxarexclude-cli` file of version 1, PRELUDE of version 2).
 * Thread: not shared. */
#ifndef PBR_ARCHIVE_EXCLUDES_H
#define PBR_ARCHIVE_EXCLUDES_H

#include "format/pattern.h"

enum { PBR_EXCLUDES_FILE_MAX = 64 << 20 }; /* bytes of one `.pxarexclude`; larger ones are ignored with a warning */

/* Appends one --exclude argument (CRT-040); with `normalise` after CRT-050, which warns through env->log and counts in
 * *warnings if it changed something (CRT-041). ARG: bad pattern, text of CLI-042. */
PBR_MUST_USE int pbr_excludes_add_cli(struct pbr_pattern_list *l, struct pbr_span text, bool normalise,
                                      uint64_t *warnings, struct pbr_diag *diag);

/* Appends the patterns of a `.pxarexclude` with this content in directory `dir` (path relative to the root, "" = root):
 * CRT-043 .. CRT-050. Bad lines are logged and left out (CRT-045). LIMIT, NOMEM: some patterns may have been added. */
PBR_MUST_USE int pbr_excludes_parse(struct pbr_pattern_list *l, struct pbr_span dir, struct pbr_span content,
                                    uint64_t *warnings, struct pbr_diag *diag);

/* The same with the file read from the directory behind dirfd (CRT-042, CRT-044). Nothing to read: PBR_OK. Anything but
 * a regular file is ignored with a warning and never blocks. IO: errors that CRT-042 calls fatal. */
PBR_MUST_USE int pbr_excludes_load(struct pbr_pattern_list *l, int dirfd, struct pbr_span dir, uint64_t *warnings,
                                   struct pbr_diag *diag);

/* Text form of the first n patterns (CRT-055), appended to out. */
PBR_MUST_USE int pbr_excludes_text(const struct pbr_pattern_list *l, size_t n, struct pbr_buf *out);

/* PRELUDE content for this text form (CRT-057), appended to out. ARG if the text is not UTF-8. */
PBR_MUST_USE int pbr_excludes_prelude(struct pbr_span text, struct pbr_buf *out, struct pbr_diag *diag);

#endif
