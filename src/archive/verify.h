/* SPDX-License-Identifier: MIT */
/* Checks the structure of an archive without extracting it: the grammar (by the decoder), every goodbye table (hashes,
 * order, offsets, sizes, tail; PXAR-150 .. PXAR-173), hard link targets (PXAR-074 .. PXAR-077), mode against kind
 * (PXAR-220), times (PXAR-050), payload references (PXAR-131 .. PXAR-139) with their PAYLOAD headers, start and tail
 * marker of the payload stream (PXAR-134, PXAR-135), bytes behind the end (PXAR-036, PXAR-262), order of
 * names (PXAR-034; a warning), names that are twice in one directory (EXT-051).
 * Also the values inside entries that readers take as they come: times and mode bits (PXAR-050), device numbers
 * (PXAR-079), attributes without a name (PXAR-086) or named twice (PXAR-087), ACL permissions and order (PXAR-100,
 * PXAR-109, PXAR-110).
 * Memory: 80 bytes per child of the open directories, 16 bytes per regular file for hard links.
 * Archives of the drafts are recognised by what they hold [SPL-027, APX-171]. `entry` hears of a file in an appendix twice:
 * where its reference stands, and again, complete, when the appendix is read.
 *
 * Thread: not shared. */
#ifndef PBR_ARCHIVE_VERIFY_H
#define PBR_ARCHIVE_VERIFY_H

#include "base/io.h"
#include "format/pxar_dec.h"

struct pbr_verify_finding {
    bool warning;         /* else an error */
    const char *rule;     /* spec ID */
    uint64_t off;         /* archive position, or payload position for findings about the payload stream */
    bool in_payload;
    struct pbr_span path; /* raw bytes of the entry's path; empty: the archive as a whole */
    const char *text;
    uint64_t reached;     /* archive position that the decoder had reached */
    bool broke;           /* the grammar broke behind `path`, the last entry that could be read */
};

struct pbr_verify_opts {
    bool meta_only;      /* split archive without payload stream: headers and markers there are not checked */
    bool contents;       /* also read all contents of version 1 or payload to their end (finds unreadable chunks) */
    /* Called for every finding, on the caller's thread; spans and texts valid during the call. NULL: only counted. */
    void (*report)(void *ctx, const struct pbr_verify_finding *f);
    /* Called for every entry once it was checked (files: once their contents were read, if they are); its spans are valid
     * during the call. Files of an appendix come twice: as reference, and where their old encoding stands [APX-029]. A
     * failure ends the verification. NULL: not called. */
    int (*entry)(void *ctx, const struct pbr_pxar_entry *e, struct pbr_span path, bool in_appendix,
                 struct pbr_diag *diag);
    bool refs_elsewhere; /* order and range of payload references are checked by `entry` */
    void *ctx;
};

struct pbr_verify_result {
    uint64_t errors, warnings;
    uint64_t entries, dirs, files, hardlinks;
    uint64_t file_bytes;     /* announced sizes of all regular files */
    uint64_t refs;           /* payload references */
    uint64_t padding_bytes;  /* bytes of the payload stream, or of the appendix, that no reference covers, markers not counted */
    uint64_t appendix_refs, appendix_bytes; /* of a draft's archive with an appendix */
    uint64_t archive_size, payload_size;
    bool broken;             /* the grammar broke; nothing behind broken_pos was looked at */
    uint64_t broken_pos;     /* archive position behind the last entry or directory that could be read */
    uint64_t open_dirs;      /* directories that were open there */
    bool after_dir;          /* the last thing read was the end of a directory */
};

/* Reads both streams to their ends. PBR_OK with *ret filled whenever reading came to an end, findings or not: look at
 * ret->errors. A break in the grammar is one error finding (with the decoder's rule) and ends the reading. Failures of
 * the streams themselves, NOMEM and LIMIT are returned. */
PBR_MUST_USE int pbr_verify(const struct pbr_env *env, struct pbr_stream *archive, struct pbr_stream *payload,
                            const struct pbr_verify_opts *opts, struct pbr_verify_result *ret, struct pbr_diag *diag);

#endif
