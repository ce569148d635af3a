/* SPDX-License-Identifier: MIT */
/* What a snapshot re-used of an earlier one, chunk by chunk and file by file, told from both archives' layouts alone.
 *
 *   chunk    NEW     not in the earlier payload index
 *            WHOLE   of the earlier one, taken without reading a file; every byte is in use
 *            PART    the same, but some bytes of it are padding: no file refers to them [CDM-060, CDM-095]
 *            KNOWN   files in it were read, and came out as a chunk that was there already, or further up in this
 *                    stream [CDM-101]
 *            MARKER  nothing but the start or the tail marker [CDM-093]
 *   file     REUSED     a reference to old chunks, contents not read
 *            REENCODED  read again although the earlier snapshot has the path; `why` says what for
 *            NEW        read; no such path before
 *            KEPT       not read, but its chunks are not in the earlier snapshot: re-used of one in between
 *            LINK       hard link, has no payload
 *
 * Compared with the snapshot that was the reference, the figures are those of the backup's own summary [CDM-111] (its
 * hard link counter aside, CDM-112).
 * Memory: 64 bytes a chunk, 80 bytes a file.
 * Pure. Thread: shared const after pbr_report_new. */
#ifndef PBR_DETECT_REPORT_H
#define PBR_DETECT_REPORT_H

#include "detect/layout.h"

enum pbr_report_chunk_kind {
    PBR_REPORT_CHUNK_NEW,
    PBR_REPORT_CHUNK_WHOLE,
    PBR_REPORT_CHUNK_PART,
    PBR_REPORT_CHUNK_KNOWN,
    PBR_REPORT_CHUNK_MARKER,
    PBR_REPORT_CHUNK_KINDS,
};

enum pbr_report_file_kind {
    PBR_REPORT_FILE_REUSED,
    PBR_REPORT_FILE_REENCODED,
    PBR_REPORT_FILE_NEW,
    PBR_REPORT_FILE_KEPT,
    PBR_REPORT_FILE_LINK,
    PBR_REPORT_FILE_KINDS,
};

/* Why a file was read again; several may hold. */
enum pbr_report_why {
    PBR_WHY_TYPE = 1 << 0,       /* it was no regular file */
    PBR_WHY_LINK = 1 << 1,       /* it was a hard link [CDM-047] */
    PBR_WHY_SIZE = 1 << 2,
    PBR_WHY_MTIME = 1 << 3,
    PBR_WHY_MODE = 1 << 4,
    PBR_WHY_OWNER = 1 << 5,
    PBR_WHY_FLAGS = 1 << 6,
    PBR_WHY_ATTRIBUTES = 1 << 7, /* extended attributes, ACL, capabilities, quota project */
    PBR_WHY_PADDING = 1 << 8,    /* unchanged, but too little of its chunks would be in use [CDM-065] */
    PBR_WHY_REFERENCE = 1 << 9,  /* unchanged, but the earlier reference is out of range or order [CDM-059, CDM-143] */
    PBR_WHY_NO_REUSE = 1 << 10,  /* unchanged, but nothing at all was re-used: data mode, or no usable reference */
    PBR_WHY_OTHER = 1 << 11,     /* unchanged; the archives do not tell why (a full look-ahead cache, for instance) */
    PBR_WHY_BITS = 12,
};

#define PBR_REPORT_NONE UINT64_MAX

struct pbr_report_chunk {
    enum pbr_report_chunk_kind kind;
    bool read;          /* files in it were read; false: taken as it was, or a marker */
    bool sent;          /* the backup had to upload it: not in the earlier index, nor before in this stream */
    bool joined;        /* continues the chunk before it: both cut anew, or neighbours in the earlier stream too */
    uint64_t start, size;
    uint64_t used;      /* bytes of it that files refer to, markers included; the rest is padding */
    uint64_t old;       /* number of the entry in the earlier index, or NONE */
    size_t file_first;  /* by pbr_layout_file: files with a byte in it */
    size_t file_nr;
    unsigned age;       /* snapshots before this one that have it without a gap, as far as was looked; see pbr_report_age */
};

struct pbr_report_file {
    size_t entry;                  /* of the layout */
    enum pbr_report_file_kind kind;
    unsigned why;                  /* of enum pbr_report_why; REENCODED only */
    unsigned waste_permille;       /* with PBR_WHY_PADDING: how much of its chunks would not be in use */
    size_t old_entry;              /* of the earlier layout, SIZE_MAX if there is none */
    uint64_t chunk_first, chunk_nr;/* chunks with a byte of it; none for links */
    uint64_t gap;                  /* padding between the payload before it and its own */
    unsigned age;                  /* snapshots since it was read */
};

struct pbr_report_sum {
    uint64_t nr, bytes;
};

struct pbr_report_totals {
    struct pbr_report_sum files[PBR_REPORT_FILE_KINDS];   /* bytes of contents, without headers */
    struct pbr_report_sum chunks[PBR_REPORT_CHUNK_KINDS]; /* bytes of the payload stream */
    struct pbr_report_sum sent;     /* chunks with `sent` */
    struct pbr_report_sum injected; /* chunks that were taken whole without reading: WHOLE and PART, or NEW of KEPT files */
    uint64_t removed;               /* files of the earlier snapshot whose path is no file or hard link now */
    uint64_t padding;               /* bytes of the payload stream that no file refers to */
    uint64_t pieces;                /* runs of chunks that are not `joined`: 1 = one piece */
};

struct pbr_report;

/* `now` and `before` are borrowed; before NULL: there is nothing earlier, everything is new. */
PBR_MUST_USE int pbr_report_new(const struct pbr_env *env, const struct pbr_layout *now, const struct pbr_layout *before,
                                struct pbr_report **ret, struct pbr_diag *diag);
void pbr_report_free(struct pbr_report *r); /* NULL is fine */

/* Sets `age` again, given the report of the earlier snapshot (its `now` is our `before`) with its ages; without that, 1 is
 * the highest. */
void pbr_report_age(struct pbr_report *r, const struct pbr_report *earlier);

const struct pbr_layout *pbr_report_now(const struct pbr_report *r);
const struct pbr_layout *pbr_report_before(const struct pbr_report *r); /* may be NULL */
const struct pbr_report_totals *pbr_report_totals(const struct pbr_report *r);
size_t pbr_report_chunk_count(const struct pbr_report *r);
const struct pbr_report_chunk *pbr_report_chunk(const struct pbr_report *r, size_t i);
/* Files and hard links in archive order. */
size_t pbr_report_file_count(const struct pbr_report *r);
const struct pbr_report_file *pbr_report_file(const struct pbr_report *r, size_t i);
const struct pbr_layout_entry *pbr_report_entry(const struct pbr_report *r, const struct pbr_report_file *f);
const struct pbr_layout_entry *pbr_report_old_entry(const struct pbr_report *r, const struct pbr_report_file *f); /* or NULL */

/* Chunks and bytes of index `now` that a backup had to upload, given the earlier one (NULL: none). For metadata archives,
 * which have no layout of their own. */
PBR_MUST_USE int pbr_report_sent(const struct pbr_env *env, const struct pbr_index *now, const struct pbr_index *before,
                                 struct pbr_report_sum *ret, struct pbr_diag *diag);

/* Words: "new", "re-used", ...; "size", "padding", ... Static. */
const char *pbr_report_chunk_word(enum pbr_report_chunk_kind kind);
const char *pbr_report_file_word(enum pbr_report_file_kind kind);
const char *pbr_report_why_word(enum pbr_report_why bit);

#endif
