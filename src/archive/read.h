/* SPDX-License-Identifier: MIT */
/* Sequential reader of whole archives: version 1 (one stream) or split (metadata archive and payload stream). Pulls
 * bytes from streams, pushes them through format/pxar_dec.h, tracks paths, and opens file contents where they lie.
 * Extraction, listing, dump and verification all read through this.
 *
 *   pbr_reader_open -> pbr_reader_next: [VERSION [PRELUDE]] ENTRY(root) { ENTRY | DIR_END } END
 *
 * Archives of a draft with an appendix: [APPENDIX { ENTRY }] before the root's DIR_END, one for each reference that was
 * asked for [APX-050 .. APX-053]; split archives of the other draft have no marker and no version [SPL-025, SPL-026].
 * Every directory's ENTRY has its DIR_END later, the root's directly before END. Contents of a file may be read between
 * its ENTRY and the next call of pbr_reader_next, in whole, in part or not at all.
 * Rules kept: PXAR-220 .. PXAR-229 (grammar), PXAR-240 .. PXAR-246 (payload stream), EXT-011 (root is a directory).
 * Memory: one entry's metadata, the path, 16 bytes per open directory. No recursion.
 * Thread: not shared; one thread at a time for the reader and its streams. */
#ifndef PBR_ARCHIVE_READ_H
#define PBR_ARCHIVE_READ_H

#include "base/io.h"
#include "format/pxar_dec.h"

enum { PBR_READER_PATH_MAX = 64 << 20 }; /* bytes of one path: depth 4096 times names of 4096 needs 16 MiB */

struct pbr_reader;

struct pbr_reader_opts {
    bool meta_only; /* split archive without its payload stream: references are reported, contents cannot be opened */
    bool items;     /* also return EV_ITEM (see pxar_dec.h) */
    bool draft;     /* known to be a split archive of a draft: no start marker, whatever the archive says [SPL-027] */
    bool goodbye;   /* also return EV_GOODBYE and EV_GOODBYE_REC */
};

/* `archive` is the `.pxar` or `.mpxar`, `payload` the `.ppxar` or NULL. Both are borrowed and must outlive the reader;
 * closing them stays the caller's. Reads the payload start marker at once (PXAR-240), unless the
 * archive begins as those of the draft do (SPL-027): TRUNCATED or FORMAT. */
PBR_MUST_USE int pbr_reader_open(const struct pbr_env *env, struct pbr_stream *archive, struct pbr_stream *payload,
                                 struct pbr_reader **ret, struct pbr_diag *diag);
/* The same with options; `opts` NULL = all default. */
PBR_MUST_USE int pbr_reader_open_opts(const struct pbr_env *env, struct pbr_stream *archive,
                                      struct pbr_stream *payload, const struct pbr_reader_opts *opts,
                                      struct pbr_reader **ret, struct pbr_diag *diag);
void pbr_reader_free(struct pbr_reader *r);

/* The next event: VERSION, PRELUDE, ENTRY, DIR_END, APPENDIX or END (again and again), never MORE, DATA or FILE_END.
 *   ENTRY: ret->entry; its spans and arrays stay valid until the next `next`, also while contents are read.
 *   APPENDIX: ret->total; wanted files follow.
 *   DIR_END: the directory that was left; pbr_reader_path is its path, ret->depth its depth (root: 0).
 * Unread contents of the previous file are skipped: version 1 by the stream's skip, split archives when a later
 * reference is met. Split: the payload stream is moved to ret->entry.ref_off before the ENTRY is returned (PXAR-242).
 * Codes: those of pbr_pxar_dec_step; TRUNCATED (PXAR-225, PXAR-242); FORMAT: reference before the position already
 * read (PXAR-242), references without payload stream (EXT-142), inline contents beside one (PXAR-248); the streams'.
 * After a failure only path and free are allowed. */
PBR_MUST_USE int pbr_reader_next(struct pbr_reader *r, struct pbr_pxar_event *ret, struct pbr_diag *diag);

/* After the ENTRY of an appendix reference: its file is wanted. It comes as another ENTRY after APPENDIX, with the path
 * of the reference, ordered by where it stands in the appendix; its contents can be read then. LIMIT, NOMEM. */
PBR_MUST_USE int pbr_reader_want(struct pbr_reader *r, struct pbr_diag *diag);
/* Whether the last ENTRY came out of the appendix. */
bool pbr_reader_in_appendix(const struct pbr_reader *r);

/* Path of the last ENTRY or DIR_END as raw bytes: "/" for the root (also before it), "/dir/name". Valid until the next
 * `next`. */
struct pbr_span pbr_reader_path(const struct pbr_reader *r);
/* The same with a NUL behind it that does not count. */
const char *pbr_reader_path_str(const struct pbr_reader *r);

/* The next piece of the current file's contents, without copying: a view into the stream's buffer, valid until the
 * next call on the reader. Length 0 = complete: exactly entry.size bytes were handed out. Split archives: the first
 * call reads and checks the PAYLOAD header, FORMAT with rule PXAR-243 if it does not fit; the next entry can be
 * read after that (PXAR-244). TRUNCATED (PXAR-226) if the stream ends first. STATE if the last event was not a file's ENTRY. */
PBR_MUST_USE int pbr_reader_content(struct pbr_reader *r, struct pbr_span *ret, struct pbr_diag *diag);

/* What every opener of referenced contents checks: the header found at payload position `at` is a PAYLOAD header for
 * exactly `ref_size` bytes (PXAR-243). */
PBR_MUST_USE int pbr_reader_check_payload_header(const uint8_t hdr[PBR_PXAR_HDR], uint64_t ref_size, uint64_t at,
                                                 struct pbr_diag *diag);

/* Split archives: bytes between the end of the last referenced record and the current file's PAYLOAD header, where that
 * gap is not empty (EXT-145); else 0. */
uint64_t pbr_reader_padding(const struct pbr_reader *r);

/* Archive position behind the last event. */
uint64_t pbr_reader_pos(const struct pbr_reader *r);
/* Bytes read from the payload stream so far; 0 without one. After END both streams stand exactly at their positions. */
uint64_t pbr_reader_payload_pos(const struct pbr_reader *r);

#endif
