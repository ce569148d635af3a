/* SPDX-License-Identifier: MIT */
/* What lies where in one archive of a snapshot: entries with their payload ranges, from the metadata archive, and the chunks,
 * from the payload index; of the draft with an appendix both out of the one archive and its index. Two of these are
 * compared by report.h. No payload byte is needed.
 *
 * Whether a backup read a file's contents shows in the goodbye table: the record of a file that was encoded counts its
 * contents, the record of a re-used one does not [PXAR-157, PXAR-158, CDM-083]. Of empty files that tells nothing.
 *
 * Memory: about 120 bytes and the path per entry, 16 bytes per chunk.
 * Pure. Thread: not shared while it is filled, shared const after pbr_layout_finish. */
#ifndef PBR_DETECT_LAYOUT_H
#define PBR_DETECT_LAYOUT_H

#include "format/index.h"
#include "format/pxar_dec.h"

enum pbr_layout_read {
    PBR_LAYOUT_READ_UNKNOWN, /* no record, or nothing to tell by */
    PBR_LAYOUT_READ,         /* contents were encoded */
    PBR_LAYOUT_NOT_READ,     /* only a reference was written */
};

struct pbr_layout_entry {
    struct pbr_span path; /* without the leading '/'; raw bytes. Of the layout */
    enum pbr_pxar_kind kind;
    enum pbr_layout_read read;
    struct pbr_pxar_meta *extended; /* everything, if there is more than the fields below; else NULL */
    uint64_t mode, flags;
    int64_t mtime_s;
    uint32_t mtime_ns, uid, gid;
    uint64_t off, size;             /* files: where they begin in the payload stream, content bytes */
    uint64_t head;                  /* files: bytes there before the PAYLOAD header; 0 but in one-stream archives */
    uint64_t name_pos, end_pos;     /* its items in the metadata archive */
};

struct pbr_layout;

/* `payload` is borrowed. */
PBR_MUST_USE int pbr_layout_new(const struct pbr_env *env, const struct pbr_index *payload, struct pbr_layout **ret,
                                struct pbr_diag *diag);
void pbr_layout_free(struct pbr_layout *l); /* NULL is fine */

/* The next entry in archive order; `path` as pbr_reader_path gives it ("/a/b"). Everything is copied. A file without a
 * payload reference is FORMAT with rule PXAR-248. */
PBR_MUST_USE int pbr_layout_add(struct pbr_layout *l, struct pbr_span path, const struct pbr_pxar_entry *entry,
                                struct pbr_diag *diag);
/* The same for a file of an archive in one stream, which is its own payload stream [APX-003]: `in_appendix` tells whether it
 * was re-used. */
PBR_MUST_USE int pbr_layout_add_inline(struct pbr_layout *l, struct pbr_span path, const struct pbr_pxar_entry *entry,
                                       bool in_appendix, struct pbr_diag *diag);
/* What of the payload stream is in use without belonging to a file: all before `first` and from `last` on. Start and tail
 * marker unless this is called; nothing at the start in the draft without start marker [SPL-025], everything around the
 * appendix in the one that has it [APX-025]. */
void pbr_layout_set_frame(struct pbr_layout *l, uint64_t first, uint64_t last);
/* A record of the goodbye table at archive position `goodbye_pos`, after the entries it speaks of. */
void pbr_layout_record(struct pbr_layout *l, uint64_t goodbye_pos, const struct pbr_pxar_rec *rec);
/* No more entries. Before it only free, add and record are allowed, after it everything but those two. */
PBR_MUST_USE int pbr_layout_finish(struct pbr_layout *l, struct pbr_diag *diag);

const struct pbr_index *pbr_layout_index(const struct pbr_layout *l);
uint64_t pbr_layout_first(const struct pbr_layout *l);
uint64_t pbr_layout_last(const struct pbr_layout *l);
bool pbr_layout_is_inline(const struct pbr_layout *l); /* of one stream */
/* In archive order; files of an appendix as they stand in it, behind all others. */
size_t pbr_layout_count(const struct pbr_layout *l);
const struct pbr_layout_entry *pbr_layout_get(const struct pbr_layout *l, size_t i);
/* Files by payload position; n-th of pbr_layout_file_count: its number for pbr_layout_get. */
size_t pbr_layout_file_count(const struct pbr_layout *l);
size_t pbr_layout_file(const struct pbr_layout *l, size_t n);
/* By path; false if there is none. */
bool pbr_layout_find(const struct pbr_layout *l, struct pbr_span path, size_t *ret_i);

/* Entries of the index with this digest, in order: number of them, and the n-th. */
size_t pbr_layout_digest_count(const struct pbr_layout *l, const uint8_t digest[PBR_DIGEST_LEN], size_t *ret_first);
uint64_t pbr_layout_digest_get(const struct pbr_layout *l, size_t first, size_t n);

/* Metadata equal as change detection compares it [CDM-043, CDM-044]. */
bool pbr_layout_meta_equal(const struct pbr_layout_entry *a, const struct pbr_layout_entry *b);
/* The same without mode, owner, flags and time. */
bool pbr_layout_attributes_equal(const struct pbr_layout_entry *a, const struct pbr_layout_entry *b);

#endif
