/* SPDX-License-Identifier: MIT */
/* The catalog (catalog.pcat1.didx): names, types, sizes and times of the archives of a snapshot
 * [CAT], and the extended format of a draft [APX-070 .. APX-082].
 *
 *   offset size
 *        0    8  magic                                                    [CAT-001]
 *        8       directory tables, children before parents, root last    [CAT-002, CAT-004]
 *    end-8    8  absolute offset of the root table, u64 LE                [CAT-003]
 *
 *   table: varint L; then L bytes: varint N, N entries
 *   entry: type (1), varint name length, name; 'd': varint (table start - child's table start);
 *          'f': varint size, signed varint mtime                          [CAT-010 .. CAT-019]
 *   extended: 'f' has signed varint ctime and varint archive position more  [APX-072]
 *          'r': as 'f', the position is one in the appendix                 [APX-073]
 *          'a', only in the root: as 'd', and varint appendix start         [APX-074]
 *
 * The writer streams: it holds the tables of open directories only. The reader loads one table at a
 * time and walks with an explicit stack; it holds the tables of the current path. Thread: objects
 * are not shared. */
#ifndef PBR_FORMAT_CATALOG_H
#define PBR_FORMAT_CATALOG_H

#include "base/env.h"
#include "base/io.h"

enum pbr_pcat_type {
    PBR_PCAT_DIR = 'd',
    PBR_PCAT_FILE = 'f',
    PBR_PCAT_SYMLINK = 'l',
    PBR_PCAT_HARDLINK = 'h',
    PBR_PCAT_BLOCK = 'b',
    PBR_PCAT_CHAR = 'c',
    PBR_PCAT_FIFO = 'p',
    PBR_PCAT_SOCKET = 's',
    PBR_PCAT_REF = 'r',     /* extended: a file in the appendix */
    PBR_PCAT_ARCHIVE = 'a', /* extended: a directory of the root that is an archive */
};

struct pbr_pcat_entry {
    enum pbr_pcat_type type;
    struct pbr_span
        name;        /* raw bytes; read: nothing about them is checked but their number (CAT-050) */
    uint64_t size;   /* FILE, REF */
    int64_t mtime_s; /* FILE, REF */
    int64_t ctime_s; /* extended, FILE and REF */
    uint64_t pos;    /* extended: FILE: of its FILENAME in the archive; REF: in the appendix; ARCHIVE: where the appendix
                        starts in the archive, 0 without one */
    uint64_t table;  /* read, DIR and ARCHIVE: where its table starts, for pbr_pcat_walk_new */
};
/* Whether it has a table: DIR or ARCHIVE. */
bool pbr_pcat_is_dir(const struct pbr_pcat_entry *entry);

/* ---- numbers (section 3) ---- */

enum { PBR_PCAT_U64_MAX = 10, PBR_PCAT_I64_MAX = 11 };
/* Bytes written. */
size_t pbr_pcat_u64_emit(uint64_t value, uint8_t out[PBR_PCAT_U64_MAX]);
size_t pbr_pcat_i64_emit(int64_t value, uint8_t out[PBR_PCAT_I64_MAX]);
/* TRUNCATED at the end of input; FORMAT if the number does not end in time (CAT-031, CAT-034,
 * CAT-036). */
PBR_MUST_USE int pbr_pcat_u64_parse(struct pbr_cur *in, uint64_t *ret, struct pbr_diag *diag);
PBR_MUST_USE int pbr_pcat_i64_parse(struct pbr_cur *in, int64_t *ret, struct pbr_diag *diag);

/* ---- writer ---- */

/* Calls nest: start_dir, add/start_dir..., end_dir; names at the top are stored archive names
 * (CAT-060). After a failure that is not ARG or STATE the output is not usable, and every further
 * call is STATE. */
struct pbr_pcat_writer;
/* Writes the magic. `sink` must outlive the writer. */
PBR_MUST_USE int pbr_pcat_writer_new(const struct pbr_env *env, struct pbr_sink *sink,
                                     struct pbr_pcat_writer **ret, struct pbr_diag *diag);
/* The same in the extended format: files carry ctime and position. */
PBR_MUST_USE int pbr_pcat_writer_new_extended(const struct pbr_env *env, struct pbr_sink *sink,
                                              struct pbr_pcat_writer **ret, struct pbr_diag *diag);
void pbr_pcat_writer_free(struct pbr_pcat_writer *w);
/* ARG for an empty name, one with '/' or NUL, or one longer than a reader takes (CAT-043); LIMIT
 * above PBR_PATH_DEPTH_MAX open directories. */
PBR_MUST_USE int pbr_pcat_writer_start_dir(struct pbr_pcat_writer *w, struct pbr_span name,
                                           struct pbr_diag *diag);
/* Any type but DIR and ARCHIVE; REF in the extended format only. */
PBR_MUST_USE int pbr_pcat_writer_add(struct pbr_pcat_writer *w, const struct pbr_pcat_entry *entry,
                                     struct pbr_diag *diag);
/* Writes the directory's table. STATE without an open directory (CAT-053). */
PBR_MUST_USE int pbr_pcat_writer_end_dir(struct pbr_pcat_writer *w, struct pbr_diag *diag);
/* The same for a directory of the root, entered as an archive [APX-074, APX-078]; extended format only. */
PBR_MUST_USE int pbr_pcat_writer_end_archive(struct pbr_pcat_writer *w, uint64_t appendix_start,
                                             struct pbr_diag *diag);
/* Writes root table and root pointer. STATE with open directories, or the second time (CAT-053). */
PBR_MUST_USE int pbr_pcat_writer_finish(struct pbr_pcat_writer *w, struct pbr_diag *diag);
/* Bytes written so far. */
uint64_t pbr_pcat_writer_size(const struct pbr_pcat_writer *w);

/* ---- reader ---- */

struct pbr_pcat;
/* Checks magic and root pointer (CAT-040, CAT-041). `src` must outlive the catalog. */
PBR_MUST_USE int pbr_pcat_open(const struct pbr_env *env, const struct pbr_source *src,
                               struct pbr_pcat **ret, struct pbr_diag *diag);
void pbr_pcat_free(struct pbr_pcat *cat);
uint64_t pbr_pcat_root(const struct pbr_pcat *cat); /* where the root table starts */
bool pbr_pcat_is_extended(const struct pbr_pcat *cat);

/* "/" is the root, one leading '/' is dropped, the rest is looked up part by part; the first of
 * equal names counts (CAT-022, CAT-086). ret->name borrows from `path`. NOENT if it is not there.
 */
PBR_MUST_USE int pbr_pcat_lookup(const struct pbr_pcat *cat, struct pbr_span path,
                                 struct pbr_pcat_entry *ret, struct pbr_diag *diag);

/* One directory in memory, to look many names up: its table and 72 bytes per entry. */
struct pbr_pcat_dir;
PBR_MUST_USE int pbr_pcat_dir_load(const struct pbr_pcat *cat, uint64_t table, struct pbr_pcat_dir **ret,
                                   struct pbr_diag *diag);
void pbr_pcat_dir_free(struct pbr_pcat_dir *dir); /* NULL is fine */
/* The first entry of that name, or NULL. Borrowed until the directory is freed. */
const struct pbr_pcat_entry *pbr_pcat_dir_find(const struct pbr_pcat_dir *dir, struct pbr_span name);

/* Depth first, parents before their content, in the order of the tables (CAT-080). */
struct pbr_pcat_walk;
/* Everything below the table at `table` (pbr_pcat_root, or an entry's). */
PBR_MUST_USE int pbr_pcat_walk_new(const struct pbr_pcat *cat, uint64_t table,
                                   struct pbr_pcat_walk **ret, struct pbr_diag *diag);
void pbr_pcat_walk_free(struct pbr_pcat_walk *w);
/* 1 and an entry, or 0 at the end. ret->name is valid until the next call. All of section 4 is
 * checked, and that no table is used twice (CAT-052), so that a walk ends. A failed walk stays
 * failed (STATE). */
PBR_MUST_USE int pbr_pcat_walk_next(struct pbr_pcat_walk *w, struct pbr_pcat_entry *ret,
                                    struct pbr_diag *diag);
/* Does not descend into the directory that `next` gave last. */
void pbr_pcat_walk_skip(struct pbr_pcat_walk *w);
/* Path of the last entry: names from the walk's top joined by '/', without a leading one. Until the
 * next call. */
struct pbr_span pbr_pcat_walk_path(const struct pbr_pcat_walk *w);
/* 0 for entries of the walk's top. */
size_t pbr_pcat_walk_depth(const struct pbr_pcat_walk *w);

#endif
