/* SPDX-License-Identifier: MIT */
/* Inside of extraction: one run, and the parts it is made of.
 *
 *   extract.c         events of the reader, selection, the order of things
 *   extract_dirs.c    directories on the path: created when needed, closed beyond the budget
 *   extract_file.c    regular files: creating, contents with holes
 *   extract_other.c   symlinks, hard links, devices, fifos, sockets
 *   extract_appendix.c  what waits for the appendix of a draft's archive
 *   extract_late.c    inode flags that must wait for the end
 *   extract_report.c  errors: counting, texts, going on or not; prelude file
 *
 * Thread: a run has one. */
#ifndef PBR_ARCHIVE_EXTRACT_INT_H
#define PBR_ARCHIVE_EXTRACT_INT_H

#include "archive/extract.h"
#include "archive/meta_apply.h"
#include "base/limits.h"

/* Why something failed: a system call, or a rule. */
struct pbr_extract_cause {
    enum pbr_err code;
    const char *rule;
    int os_errno;
    const char *text;  /* static or alive as long as the cause; NULL: errno's text */
    bool number_style; /* "File exists (os error 17)" instead of "EEXIST: File exists" */
};

struct pbr_extract_dir {
    char *name;                 /* owned; "" for the root */
    struct pbr_pxar_meta *meta; /* owned */
    int node;                   /* -1: not created, or closed for the budget */
    bool held;                  /* gets files out of the appendix: its metadata waits [APX-055] */
    bool selected;              /* state "current" of EXT-021 */
    struct pbr_target_id id;    /* of a closed one */
};

/* Directories from the root to the current one. The first `created_nr` exist; if `has_failed`, the
 * next one cannot be created, and so nothing above it. Open nodes: the root and levels first_open
 * .. created_nr - 1. */
struct pbr_extract_dirs {
    struct pbr_extract_dir *levels;
    size_t nr, cap;
    size_t created_nr;
    size_t first_open;
    bool has_failed;
    struct pbr_extract_cause cause;
};

struct pbr_extract_late {
    char *path; /* without leading slash */
    struct pbr_target_id id;
    uint64_t flags;
};

struct pbr_extract_later;

struct pbr_extract_run {
    const struct pbr_env *env;
    struct pbr_reader *reader;
    const struct pbr_target *target;
    const struct pbr_extract_opts *opts;
    struct pbr_meta_job meta;
    struct pbr_extract_stats stats;
    struct pbr_extract_dirs dirs;
    struct pbr_extract_late *late;
    size_t late_nr, late_cap;
    struct pbr_extract_later *later; /* NULL until something waits for the appendix */
    struct pbr_diag *diag;
    /* the entry at work */
    struct pbr_span path;
    char name[PBR_NAME_MAX + 1];
    const char *context;
    bool entry_failed;
    bool ignore_errors; /* a device, and ignore_device_errors [EXT-111] */
    bool prelude_done;
};

/* ---- extract_report.c ---- */

struct pbr_extract_cause pbr_extract_os_cause(int negative_errno);
/* The entry at work failed. `note` brings detail and incomplete, the rest is filled in here.
 * PBR_OK: go on with the next entry; else the code to end with (strict), the diagnosis is filled.
 */
PBR_MUST_USE int pbr_extract_fail(struct pbr_extract_run *run, struct pbr_extract_note note,
                                  const struct pbr_extract_cause *cause);
/* Called by meta_apply; ctx is the run. */
int pbr_extract_meta_note(void *ctx, const struct pbr_meta_note *note);
/* Extraction breaks off while a file was being written: names it. The diagnosis is the reader's. */
void pbr_extract_broken_file(struct pbr_extract_run *run, const struct pbr_diag *diag);

/* ---- extract_dirs.c ---- */

PBR_MUST_USE int pbr_extract_dirs_push(struct pbr_extract_run *run,
                                       const struct pbr_pxar_entry *entry, bool selected);
/* Creates what is missing up to the current directory. *ret_failed: NULL, or why it cannot be
 * there. */
PBR_MUST_USE int pbr_extract_dirs_ensure(struct pbr_extract_run *run,
                                         const struct pbr_extract_cause **ret_failed);
int pbr_extract_dirs_node(const struct pbr_extract_run *run); /* after ensure said NULL */
bool pbr_extract_dirs_selected(const struct pbr_extract_run *run);
/* Leaves the current directory: metadata, if it was created. */
PBR_MUST_USE int pbr_extract_dirs_pop(struct pbr_extract_run *run);
void pbr_extract_dirs_release(struct pbr_extract_run *run);

/* ---- extract_file.c, extract_other.c: `dir` is the node of the directory ---- */

PBR_MUST_USE int pbr_extract_file(struct pbr_extract_run *run, int dir,
                                  const struct pbr_pxar_entry *entry);
PBR_MUST_USE int pbr_extract_symlink(struct pbr_extract_run *run, int dir,
                                     const struct pbr_pxar_entry *entry);
PBR_MUST_USE int pbr_extract_hardlink(struct pbr_extract_run *run, int dir,
                                      const struct pbr_pxar_entry *entry);
PBR_MUST_USE int pbr_extract_special(struct pbr_extract_run *run, int dir,
                                     const struct pbr_pxar_entry *entry);

/* ---- extract_late.c ---- */

/* ENTRY.flags bits that wait: APPEND and IMMUTABLE [EXT-050]. */
#define PBR_EXTRACT_LATE_FLAGS UINT64_C(0x00410000)
/* Remembers a file that has such flags. */
PBR_MUST_USE int pbr_extract_late_add(struct pbr_extract_run *run, int node, uint64_t flags);
/* Sets all of them. With `quiet` (extraction broke off) failures are not reported. */
PBR_MUST_USE int pbr_extract_late_apply(struct pbr_extract_run *run, bool quiet);
void pbr_extract_late_release(struct pbr_extract_run *run);

/* ---- extract_appendix.c ---- */

/* A reference that is wanted; its file comes with the appendix. */
PBR_MUST_USE int pbr_extract_later_file(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry);
/* Whether a hard link leads to such a file, and noting it. */
bool pbr_extract_is_later(const struct pbr_extract_run *run, const struct pbr_pxar_entry *link);
PBR_MUST_USE int pbr_extract_later_link(struct pbr_extract_run *run, const struct pbr_pxar_entry *link);
/* A held directory is left: takes its metadata over. */
PBR_MUST_USE int pbr_extract_later_dir(struct pbr_extract_run *run, struct pbr_extract_dir *level);
/* A file of the appendix. */
PBR_MUST_USE int pbr_extract_later_entry(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry);
/* The appendix is read: links, then directories. Before the root is left. */
PBR_MUST_USE int pbr_extract_later_finish(struct pbr_extract_run *run);
void pbr_extract_later_release(struct pbr_extract_run *run);

/* ---- extract.c ---- */

/* Calls the progress hook; CANCELED. */
PBR_MUST_USE int pbr_extract_progress(struct pbr_extract_run *run);

#endif
