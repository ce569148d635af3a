/* SPDX-License-Identifier: MIT */
/* Making an archive of a directory tree, version 1 (one sink) or version 2 (archive and payload), byte for byte as
 * the original does (spec/create.md), or as one of two drafts has it [SPL-020 .. SPL-039, APX-025 .. APX-044].
 * Everything the archive needs from outside is in the options: where warnings go (env->log), the catalog, suggested chunk
 * boundaries, and the decision whether a file's content is re-used.
 *
 * Memory: the directories on the current path with their entries (entries_max, CRT-030), one record per hard linked
 * file (CRT-143), and what `decide` defers. Descriptors: bounded whatever the depth (walk_int.h).
 * Thread: one call has one thread; hooks run on it. */
#ifndef PBR_ARCHIVE_CREATE_H
#define PBR_ARCHIVE_CREATE_H

#include "base/io.h"
#include "format/profile.h"
#include "format/pxar.h"

/* Feature flags of CRT-130 that creation looks at (CRT-132). The full default set is PBR_FEATURE_DEFAULT (CRT-131). */
#define PBR_FEATURE_DEVICE_NODES UINT64_C(0x400)
#define PBR_FEATURE_FIFOS UINT64_C(0x800)
#define PBR_FEATURE_SOCKETS UINT64_C(0x1000)
#define PBR_FEATURE_XATTRS UINT64_C(0x10000000)
#define PBR_FEATURE_ACL UINT64_C(0x20000000)
#define PBR_FEATURE_FCAPS UINT64_C(0x80000000)
#define PBR_FEATURE_QUOTA_PROJID UINT64_C(0x100000000)
#define PBR_FEATURE_DEFAULT UINT64_C(0x90000003ffefff00)

struct pbr_create; /* a creation in progress, as hooks see it */

/* What is about to be archived. Spans and meta are borrowed until the hook returns. */
enum pbr_create_event {
    PBR_CREATE_EV_ENTRY,   /* a file, symlink, device, fifo, socket (also one that becomes a hard link) */
    PBR_CREATE_EV_DIR,     /* a directory begins; its entries follow, then DIR_END */
    PBR_CREATE_EV_DIR_END,
};

struct pbr_create_entry {
    enum pbr_create_event event;
    struct pbr_span path;             /* relative to the root, no leading slash (CRT-031) */
    struct pbr_span name;             /* last component */
    const struct pbr_pxar_meta *meta; /* what the archive will say; NULL for DIR_END */
    uint64_t size;                    /* regular files: st_size of the listing (CRT-025) */
    uint64_t dev, ino, nlink;
    int64_t ctime_s;                  /* regular files */
};

/* How the entry goes on. All zero: encode now, content is read from the file. */
enum pbr_create_how {
    PBR_CREATE_ENCODE, /* now */
    PBR_CREATE_DEFER,  /* keep it (regular files: with their open descriptor) until pbr_create_replay is called */
};

struct pbr_create_plan {
    enum pbr_create_how how;
    uint64_t rel; /* DEFER, regular file: payload offset relative to the base that replay receives (CDM-076) */
};

/* A regular file as it was written, for catalogs that say where it is [APX-071 .. APX-073, APX-077]. */
struct pbr_create_file {
    struct pbr_span name;
    uint64_t size;
    int64_t mtime_s, ctime_s; /* ctime 0: made by the creation itself [APX-079] */
    bool is_ref;              /* in the appendix */
    uint64_t pos;             /* of its FILENAME in the archive; is_ref: in the appendix */
};

/* Any hook may be NULL. A negative result ends the creation with it. */
struct pbr_create_hooks {
    void *ctx;
    /* Before each entry is opened (CRT-031); not for the root. */
    int (*entry)(void *ctx, struct pbr_span path, struct pbr_diag *diag);
    /* The catalog's view, in archive order (CRT-162). `type` is the catalog's type byte (CAT-013 .. CAT-019);
     * size and mtime count for 'f' only. The root has no dir_start of its own. */
    int (*cat_dir_start)(void *ctx, struct pbr_span name, struct pbr_diag *diag);
    int (*cat_dir_end)(void *ctx, struct pbr_diag *diag);
    int (*cat_entry)(void *ctx, char type, struct pbr_span name, uint64_t size, int64_t mtime_s, struct pbr_diag *diag);
    /* In place of cat_entry for regular files, after the file was written [APX-077]. */
    int (*cat_file)(void *ctx, const struct pbr_create_file *file, struct pbr_diag *diag);
    /* Version 2: a cut in front of this payload position is wanted; before the file's first byte (CHK-065). */
    int (*suggest)(void *ctx, uint64_t payload_pos, struct pbr_diag *diag);
    /* Version 2 and drafts: encode now or defer. Metadata was read, content was not, and is not if the file is replayed as a
     * reference. May call the pbr_create_... functions below. */
    int (*decide)(void *ctx, struct pbr_create *cr, const struct pbr_create_entry *entry, struct pbr_create_plan *ret,
                  struct pbr_diag *diag);
    /* With decide: everything was walked; deferred entries must be replayed now. */
    int (*flush)(void *ctx, struct pbr_create *cr, struct pbr_diag *diag);
    /* draft-appendix: all children of the root are written; the place for pbr_create_appendix. */
    int (*close)(void *ctx, struct pbr_create *cr, struct pbr_diag *diag);
};

struct pbr_create_opts {
    enum pbr_profile profile;     /* of the archive: draft-split needs a payload, draft-appendix must have none */
    uint64_t without;             /* feature flags taken out of PBR_FEATURE_DEFAULT (CRT-003) */
    const struct pbr_span *excludes; /* command line patterns in order (CRT-040); borrowed for the call */
    size_t exclude_nr;
    bool normalise_excludes;      /* CRT-041: backup client yes, `pxar create` no */
    bool skip_lost_and_found;     /* appends the pattern `lost+found` */
    bool skip_e2big_xattr;        /* CRT-109 */
    bool all_file_systems;        /* no limit on devices (CRT-006) */
    const uint64_t *include_devs; /* st_dev values besides the root's; borrowed */
    size_t include_dev_nr;
    bool has_entries_max;         /* false: PBR_ENTRIES_MAX_DEFAULT */
    uint64_t entries_max;         /* CRT-030 */
    struct pbr_create_hooks hooks;
};

/* What went into the archive; the root counts as a directory. */
struct pbr_create_stats {
    uint64_t files, dirs, symlinks, hardlinks, devices, fifos, sockets;
    uint64_t file_bytes;    /* announced sizes of `files` */
    uint64_t reused_files;  /* of `files`: written as references */
    uint64_t reused_bytes;
    uint64_t excluded;      /* names dropped by patterns */
    uint64_t skipped;       /* entries left out with a warning */
    uint64_t mount_points;  /* directories archived empty (CRT-062) */
    uint64_t warnings;
};

/* Where an archive goes [SPL-080]; the catalog's hooks are in the options. Borrowed. */
struct pbr_create_outputs {
    struct pbr_sink *archive;
    struct pbr_sink *payload; /* NULL: one self-contained stream */
};

/* Archives the directory behind root_fd (borrowed). `root_path` names it in messages.
 * Messages of CLI-052 go to env->log. *ret is set on success only. After a failure the sinks hold a part of an archive
 * that must be thrown away (CRT-170).
 *
 * ARG bad pattern or options (CRT-040, CRT-006); IO with the path in the text for what section 11 of spec/create.md
 * calls fatal; LIMIT for CRT-030, CRT-149 and depth; NOMEM; UNSUPPORTED for CRT-010 and CRT-183; what sinks and hooks
 * return. */
PBR_MUST_USE int pbr_create(const struct pbr_env *env, int root_fd, const char *root_path,
                            const struct pbr_create_outputs *outputs, const struct pbr_create_opts *opts,
                            struct pbr_create_stats *ret, struct pbr_diag *diag);

/* ---- for decide and flush only ---- */

uint64_t pbr_create_payload_pos(const struct pbr_create *cr);
size_t pbr_create_deferred(const struct pbr_create *cr); /* entries waiting, DIR_END included */
/* Writes all deferred entries in order: regular files as references to *base + rel (CDM-083), or, base NULL, with
 * their content. */
PBR_MUST_USE int pbr_create_replay(struct pbr_create *cr, const uint64_t *base, struct pbr_diag *diag);
/* draft-appendix: writes all deferred entries in order. `off` is asked for each regular file that `rel` marks, in this
 * order, and gives its appendix offset; rel 0 is encoded. `off` NULL: everything is encoded [APX-134]. */
PBR_MUST_USE int pbr_create_replay_appendix(struct pbr_create *cr,
                                            int (*off)(void *ctx, uint64_t rel, uint64_t *ret, struct pbr_diag *diag),
                                            void *ctx, struct pbr_diag *diag);
/* For close: writes APPENDIX and announces `total` bytes from *ret_start on; then each batch as it was injected. */
PBR_MUST_USE int pbr_create_appendix(struct pbr_create *cr, uint64_t total, uint64_t *ret_start, struct pbr_diag *diag);
PBR_MUST_USE int pbr_create_appended(struct pbr_create *cr, uint64_t n, struct pbr_diag *diag);
/* Chunks of n bytes in total were put into the payload stream at its current position (CDM-090). */
PBR_MUST_USE int pbr_create_injected(struct pbr_create *cr, uint64_t n, struct pbr_diag *diag);

#endif
