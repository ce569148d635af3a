/* SPDX-License-Identifier: MIT */
/* Extraction of an archive into a target directory, safe against hostile archives: nothing outside
 * the target is ever created, written or changed, whatever the archive says and whatever lies in
 * the target (EXT-030 .. EXT-036).
 *
 * Differences to the original, on purpose:
 *
 *   EXT-034  hard link targets with "." or ".." are refused; the path is resolved beneath the root,
 *            through no symlink
 *   EXT-035  an existing symlink is never entered as a directory, also with allow_existing_dirs
 *   EXT-036  with overwrite_files an existing symlink, fifo, socket or device is removed and a new
 *            file created, also a regular file with several names (the others may be other entries,
 *            or lie outside); only a regular file with one name is emptied and written in place
 *   EXT-041  directories are created with mode 0700 and get their permissions when they are left
 *   EXT-050  immutable and append-only files get these flags at the very end, so that hard links to
 *            them can be made
 *   EXT-093  a directory that cannot be created is one error; each entry below it that was to be
 *            extracted fails with the same cause; there is no further error at the end, and no slip
 *            of the selection state (EXT-094)
 *   PXAR-054 a modification time with a billion nanoseconds or more is an error of that entry
 *   PXAR-080 a device that is neither block nor character device is an error of that entry
 *
 * Files in the appendix of a draft's archive are extracted when it is read, behind everything else; hard links to them and
 * the metadata of their directories follow [APX-052 .. APX-056].
 *
 * Directories may be nested as deep as an archive can say; open descriptors stay below a budget:
 * beyond it the outer ones are closed and found again through "..", which must then be the same
 * directory (device and inode number).
 *
 * Thread: not shared; callbacks run on the caller's thread. */
#ifndef PBR_ARCHIVE_EXTRACT_H
#define PBR_ARCHIVE_EXTRACT_H

#include "archive/read.h"
#include "archive/target.h"

struct pbr_pattern_list;

enum pbr_extract_level { PBR_EXTRACT_ERROR, PBR_EXTRACT_WARN, PBR_EXTRACT_INFO };

/* Something to tell about one entry. All pointers are valid during the callback only. */
struct pbr_extract_note {
    enum pbr_extract_level level;
    struct pbr_span path; /* "/dir/name", raw bytes */
    struct pbr_span name; /* last component; empty for the root */
    const char *context;  /* "failed to extract file" [EXT-092]; NULL if there is none */
    const char
        *detail; /* what failed in there: "failed to create file"; NULL if the cause says it all */
    struct pbr_span detail_subject; /* printed in quotes behind detail; ptr NULL: none */
    const char *cause;              /* innermost text, "EEXIST: File exists"; may be NULL */
    const char *rule;               /* spec ID or NULL */
    enum pbr_err code;
    int os_errno;
    bool incomplete; /* a file with part of its contents lies at this path */
    bool last;       /* extraction ends with this error */
    bool has_off;
    uint64_t off;    /* if has_off: position in the stream that the cause speaks of */
};

struct pbr_extract_stats {
    uint64_t entries; /* seen, the root included */
    uint64_t dirs, files, symlinks, hardlinks,
        specials;        /* extracted; dirs: created or entered, root included */
    uint64_t skipped;    /* not selected, or of a kind that was switched off */
    uint64_t bytes;      /* contents of files */
    uint64_t errors;     /* notes of level ERROR */
    uint64_t failed;     /* entries with at least one error */
    uint64_t incomplete; /* files left with part of their contents */
};

struct pbr_extract_opts {
    const struct pbr_pattern_list *patterns; /* NULL: everything [EXT-020 .. EXT-029] */
    bool allow_existing_dirs;                /* [EXT-040] */
    bool overwrite_files;                    /* [EXT-043] */
    bool overwrite_symlinks;                 /* [EXT-046] */
    bool overwrite_hardlinks;                /* [EXT-047] */
    bool strict;                             /* the first error ends it [EXT-091] */
    bool ignore_device_errors;               /* [EXT-111] */
    uint64_t without;       /* PBR_FEATURE_... taken out of the default set [EXT-080] */
    unsigned open_dirs_max; /* budget of open directories; 0 = 256, at least 2 */
    void (*report)(void *ctx, const struct pbr_extract_note *note); /* may be NULL */
    /* After every entry and every 4 MiB of contents; anything but PBR_OK ends extraction with
     * CANCELED. May be NULL. */
    int (*progress)(void *ctx, const struct pbr_extract_stats *so_far);
    /* Gets the prelude; `prelude.ptr` NULL: the archive has none [EXT-100, EXT-101]. A failure is
     * fatal. May be NULL. */
    int (*prelude)(void *ctx, struct pbr_span prelude, struct pbr_diag *diag);
    void *ctx; /* handed to the three callbacks */
};

/* Extracts everything that `reader` (freshly opened) still holds into `target`. *ret_stats is
 * filled in any case.
 *
 *   PBR_OK    all was extracted
 *   PARTIAL   not strict, and entries failed: each was reported; diag: "there were errors" and how
 *             many
 *   CANCELED  progress said so
 *   others    strict: the first error of an entry. Else fatal: archive malformed or cut short, no
 *             memory, prelude [EXT-090]. Directories that were open keep mode 0700 and get no
 *             metadata [EXT-091]. */
PBR_MUST_USE int pbr_extract(const struct pbr_env *env, struct pbr_reader *reader,
                             const struct pbr_target *target, const struct pbr_extract_opts *opts,
                             struct pbr_extract_stats *ret_stats, struct pbr_diag *diag);

/* Text of a note. Not `one_line`: as the original prints tolerated errors, `error at "/f"`, an
 * empty line, `Caused by:` and numbered lines; without a line end at the end. `one_line`: the chain
 * joined by ": ". Warnings and remarks are one line in both forms: `"/path": text`. */
PBR_MUST_USE int pbr_extract_note_text(const struct pbr_extract_note *note, bool one_line,
                                       struct pbr_buf *out);

/* Where a prelude is written to: a file relative to the working directory, created exclusively, or
 * emptied if `overwrite` [EXT-100]. The function fits into pbr_extract_opts.prelude through a small
 * wrapper of the caller. */
PBR_MUST_USE int pbr_extract_prelude_to_file(const char *path, bool overwrite,
                                             struct pbr_span prelude, struct pbr_diag *diag);

#endif
