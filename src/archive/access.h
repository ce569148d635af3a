/* SPDX-License-Identifier: MIT */
/* Random access to archives by goodbye tables (section 14 of spec/pxar-format.md), over a source for the archive and,
 * for split archives, one for the payload stream. Directories are opened from the position where they end [PXAR-261],
 * entries are handed out as values that can be kept; nothing is cached but what the caller holds.
 *
 * Archives of a draft with an appendix [APX-060 .. APX-064]: a reference into it is handed out as the file it leads to.
 *
 * Thread: an accessor, and directories of it, are not shared. */
#ifndef PBR_ARCHIVE_ACCESS_H
#define PBR_ARCHIVE_ACCESS_H

#include "base/io.h"
#include "format/pxar_dec.h"

struct pbr_access;
struct pbr_access_dir;

/* An entry found: owned, freed by pbr_access_entry_free. Spans of `entry` point into the object itself. For hard links
 * `entry` is the link, not what it points to. */
struct pbr_access_entry {
    struct pbr_pxar_entry entry;
    uint64_t end;      /* archive position one past the entry's range by its goodbye record [PXAR-266]; for a directory
                          the position pbr_access_opendir needs [PXAR-272] */
    uint64_t at;       /* archive position of its FILENAME in the directory; of a file in the appendix `entry` has another */
    bool is_root;
    const struct pbr_env *env;
    struct pbr_pxar_dec *dec; /* holds the memory behind `entry` */
};

/* `archive` and `payload` (NULL: version 1, or contents are not wanted) are borrowed. FORMAT: too small or wrong
 * version [PXAR-260]. */
PBR_MUST_USE int pbr_access_open(const struct pbr_env *env, const struct pbr_source *archive,
                                 const struct pbr_source *payload, struct pbr_access **ret, struct pbr_diag *diag);
void pbr_access_free(struct pbr_access *a);

/* Bytes [*ret_start, *ret_start + result) are the appendix of a draft's archive; 0: it has none. */
uint64_t pbr_access_appendix(const struct pbr_access *a, uint64_t *ret_start);

void pbr_access_entry_free(struct pbr_access_entry *e); /* NULL is fine */

/* Whether a failure to read is about the bytes asked for, so that others may be readable: a lost chunk, not a lost
 * connection. */
bool pbr_access_is_loss(int rc, const struct pbr_diag *cause);

/* The root directory's own entry. */
PBR_MUST_USE int pbr_access_root(struct pbr_access *a, struct pbr_access_entry **ret, struct pbr_diag *diag);
/* By path [PXAR-271]: leading '/' or '.' is the root, "." and empty components are ignored, ".." is ARG, a missing name
 * NOENT, descending into something that is no directory ARG. Links are not followed. */
PBR_MUST_USE int pbr_access_lookup(struct pbr_access *a, struct pbr_span path, struct pbr_access_entry **ret,
                                   struct pbr_diag *diag);

/* ---- directories ---- */

/* Opens a directory: reads and checks its goodbye table (bounded: 24 bytes a child). STATE if `e` is no directory. */
PBR_MUST_USE int pbr_access_opendir(struct pbr_access *a, const struct pbr_access_entry *e,
                                    struct pbr_access_dir **ret, struct pbr_diag *diag);
/* The same by the end position alone (archive size: root). */
PBR_MUST_USE int pbr_access_opendir_at(struct pbr_access *a, uint64_t end, struct pbr_access_dir **ret,
                                       struct pbr_diag *diag);
void pbr_access_dir_free(struct pbr_access_dir *d);
uint64_t pbr_access_dir_count(const struct pbr_access_dir *d);
/* Archive position that its tail names as the directory's ENTRY; root: 0 [PXAR-152, PXAR-153]. */
uint64_t pbr_access_dir_start(const struct pbr_access_dir *d);
/* The directory's own entry (name empty). FORMAT if something else lies where the table says it is [PXAR-265]. */
PBR_MUST_USE int pbr_access_dir_self(struct pbr_access_dir *d, struct pbr_access_entry **ret, struct pbr_diag *diag);
/* Child i in table order [PXAR-268]. ARG if i is out of range. */
PBR_MUST_USE int pbr_access_dir_get(struct pbr_access_dir *d, uint64_t i, struct pbr_access_entry **ret,
                                    struct pbr_diag *diag);
/* Child i in archive order: ascending position of its FILENAME. Builds an index on first use. */
PBR_MUST_USE int pbr_access_dir_get_ordered(struct pbr_access_dir *d, uint64_t i, struct pbr_access_entry **ret,
                                            struct pbr_diag *diag);
/* By name, visiting both subtrees of equal hashes [PXAR-173, PXAR-269, PXAR-270]. NOENT if there is none. */
PBR_MUST_USE int pbr_access_dir_find(struct pbr_access_dir *d, struct pbr_span name, struct pbr_access_entry **ret,
                                     struct pbr_diag *diag);

/* ---- links and contents ---- */

/* The regular file a hard link points to [PXAR-275]; its name is the target's own. FORMAT if it is none. */
PBR_MUST_USE int pbr_access_follow(struct pbr_access *a, const struct pbr_access_entry *link,
                                   struct pbr_access_entry **ret, struct pbr_diag *diag);

/* Contents of a regular file as a range of one of the sources [PXAR-273, PXAR-274]; for split archives the PAYLOAD
 * header was read and checked. STATE: not a file, or a reference without payload source [PXAR-278]. */
struct pbr_access_content {
    const struct pbr_source *src;
    uint64_t off;  /* in src */
    uint64_t size;
};
PBR_MUST_USE int pbr_access_content(struct pbr_access *a, const struct pbr_access_entry *file,
                                    struct pbr_access_content *ret, struct pbr_diag *diag);
/* Up to `len` bytes at `off` of the contents; *ret_len = 0 at or behind the end. */
PBR_MUST_USE int pbr_access_content_read(const struct pbr_access_content *c, uint64_t off, uint8_t *out, size_t len,
                                         size_t *ret_len, struct pbr_diag *diag);

#endif
