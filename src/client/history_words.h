/* SPDX-License-Identifier: MIT */
/* Sentences about what was re-used, the same in text and HTML. All append plain text, file names quoted where needed, to
 * `out`; LIMIT or NOMEM. Thread: pure functions. */
#ifndef PBR_CLIENT_HISTORY_WORDS_H
#define PBR_CLIENT_HISTORY_WORDS_H

#include "client/history.h"

/* "412 of 430 files re-used without reading". */
PBR_MUST_USE int pbr_words_files(const struct pbr_history_archive *a, struct pbr_buf *out);
/* "3.1 MiB of 233 MiB uploaded"; not `direct`: "not in the other snapshot". Payload and metadata together. */
PBR_MUST_USE int pbr_words_bytes(const struct pbr_history_archive *a, bool direct, struct pbr_buf *out);
/* "18 files of 1.2 MiB read: 3 new, 10 changed, 5 unchanged but ...", and what cannot be told by figures. */
PBR_MUST_USE int pbr_words_read(const struct pbr_history_archive *a, struct pbr_buf *out);
/* "1.2 MiB of padding (0.5 % of the payload stream) in 4 of 60 re-used chunks". */
PBR_MUST_USE int pbr_words_padding(const struct pbr_history_archive *a, struct pbr_buf *out);

/* Why a file was read again: "size 1 KiB → 3 KiB, time". */
PBR_MUST_USE int pbr_words_why(const struct pbr_report *r, const struct pbr_report_file *f, struct pbr_buf *out);
/* "re-used", "new", ... */
const char *pbr_words_chunk(enum pbr_report_chunk_kind kind);

/* A file name as people see it: control characters, direction marks and bytes that are no text are escaped, the middle
 * is left out above `max` bytes (0: never). */
PBR_MUST_USE int pbr_words_name(struct pbr_span name, size_t max, struct pbr_buf *out);

/* "2023-11-14 22:13:20 UTC"; out has 40 bytes. */
void pbr_words_time(int64_t time_s, char out[40]);

/* Files of the report of one kind, the largest first, as an array of *ret_nr numbers for pbr_report_file, freed with
 * pbr_free. */
PBR_MUST_USE int pbr_words_largest(const struct pbr_env *env, const struct pbr_report *r, enum pbr_report_file_kind kind,
                                   size_t **ret, size_t *ret_nr);

#endif
