/* SPDX-License-Identifier: MIT */
/* Push decoder of `.pxar` and `.mpxar`: bytes in by step, events out. Works if input arrives one byte at a time; holds
 * at most one entry's metadata items (bounded by limits) and 8 bytes per open directory.
 *
 * It is strict: what spec/pxar-format.md calls an error or a possible strictness is refused with rule ID and offset;
 * spec/deviations.md lists where it refuses what the original accepts. Goodbye records are handed out as they come;
 * checking a whole table is `pbr_goodbye_check` (goodbye.h), done by `pxar verify`.
 *
 * Archives of the drafts are read too: references without FORMAT_VERSION [SPL-020, SPL-026], and an appendix, whose bytes
 * are handed out as they are, since they do not follow the grammar [APX-004, APX-050, APX-051].
 * Thread: not shared. */
#ifndef PBR_FORMAT_PXAR_DEC_H
#define PBR_FORMAT_PXAR_DEC_H

#include "base/io.h"
#include "format/pxar.h"

struct pbr_pxar_dec;

enum pbr_pxar_ev {
    PBR_PXAR_EV_MORE,      /* all of `in` was taken; push more, or finish */
    PBR_PXAR_EV_VERSION,   /* FORMAT_VERSION: ev.version */
    PBR_PXAR_EV_PRELUDE,   /* ev.data: the whole prelude */
    PBR_PXAR_EV_ENTRY,     /* one entry complete: everything but file content. Root first, name empty */
    PBR_PXAR_EV_DATA,      /* v1 file content: ev.data is the next piece; ev.entry.size tells the total */
    PBR_PXAR_EV_FILE_END,  /* v1 file content complete (also for empty files) */
    PBR_PXAR_EV_GOODBYE,   /* GOODBYE header of the current directory seen: ev.pos, ev.size */
    PBR_PXAR_EV_GOODBYE_REC, /* one record, the tail included: ev.rec */
    PBR_PXAR_EV_DIR_END,   /* goodbye complete, directory left; ev.depth is the depth after leaving */
    PBR_PXAR_EV_END,       /* root left; nothing more is taken (trailing bytes: PXAR-227) */
    PBR_PXAR_EV_APPENDIX,  /* APPENDIX: ev.total bytes follow from ev.pos + ev.size on */
    PBR_PXAR_EV_APPENDIX_DATA, /* the next piece of them in ev.data; behind the last one the root's GOODBYE */
    PBR_PXAR_EV_ITEM,      /* only with opts.items: every item: ev.htype, ev.pos, ev.size; ev.data is its content, but
                              empty for PAYLOAD and GOODBYE. Comes before the event that the item completes */
};

struct pbr_pxar_rec {
    uint64_t hash, offset, size;
};

struct pbr_pxar_entry {
    enum pbr_pxar_kind kind;
    struct pbr_span name;        /* empty for the root */
    struct pbr_pxar_meta meta;   /* all zero for hard links (PXAR-077) and appendix references */
    uint64_t size;               /* regular files: content bytes, appendix references too */
    uint64_t appendix_off;       /* appendix reference: where its FILENAME is, from the appendix' start (APX-028) */
    bool has_ref;                /* content in the payload stream */
    uint64_t ref_off;            /* ...its PAYLOAD header is at this payload position (PXAR-131) */
    uint64_t data_pos;           /* v1: archive position of the first content byte */
    struct pbr_span target;      /* symlink target, or hard link target path */
    uint64_t link_off;           /* hard link: backwards distance (PXAR-074) */
    uint64_t major, minor;       /* devices */
    uint64_t name_pos;           /* position of the FILENAME header (root: of ENTRY) */
    uint64_t entry_pos;          /* position of the ENTRY or HARDLINK header */
    uint64_t end_pos;            /* end of the entry's own items (v1 files: start of content) */
};

struct pbr_pxar_event {
    enum pbr_pxar_ev ev;
    uint64_t pos;                /* archive position of the item the event speaks of */
    uint64_t size;               /* full size of that item */
    uint64_t htype;
    uint64_t version;
    uint64_t total;              /* APPENDIX: bytes of the section */
    uint32_t depth;              /* of the entry: root 0 */
    struct pbr_span data;        /* borrowed from `in` or the decoder, until the next step */
    struct pbr_pxar_entry entry; /* ENTRY, and the same again for DATA and FILE_END. Spans point into the decoder: valid
                                    until the step that takes the next FILENAME or attribute item, so for all of DATA */
    struct pbr_pxar_rec rec;
};

/* Bounds on one entry: an inode has at most 64 KiB of attribute names with 64 KiB values; in practice far less. */
enum { PBR_PXAR_TEXT_MAX = 64 << 20, PBR_PXAR_LIST_MAX = 16 << 20 };

struct pbr_pxar_dec_opts {
    bool items;        /* report EV_ITEM */
    bool skip_goodbye; /* no EV_GOODBYE_REC: tables are passed over */
    bool subtree;      /* input is one entry's range (accessor), from FILENAME, ENTRY or, at 0, FORMAT_VERSION on:
                          END follows its ENTRY; no contents, no descent */
    uint64_t base_pos; /* archive position of the first byte, for subtree */
};

PBR_MUST_USE int pbr_pxar_dec_new(const struct pbr_env *env, const struct pbr_pxar_dec_opts *opts,
                                  struct pbr_pxar_dec **ret);
void pbr_pxar_dec_free(struct pbr_pxar_dec *dec);

/* Takes bytes from the front of `in` until an event is complete; *ret_used bytes are done with. The archive position
 * advances by the same. Codes: PBR_OK with *ret filled; FORMAT, UNSUPPORTED, LIMIT, NOMEM with rule and offset. */
PBR_MUST_USE int pbr_pxar_dec_step(struct pbr_pxar_dec *dec, struct pbr_span in, size_t *ret_used,
                                   struct pbr_pxar_event *ret, struct pbr_diag *diag);

/* During v1 content and in the appendix: lets the caller skip it at the source. Returns how many content bytes are left and, with
 * skip_done, tells the decoder that n of them were skipped outside. */
uint64_t pbr_pxar_dec_data_left(const struct pbr_pxar_dec *dec);
void pbr_pxar_dec_data_skipped(struct pbr_pxar_dec *dec, uint64_t n);

/* The input is over: PBR_E_TRUNCATED (rule PXAR-225) unless EV_END was seen (or, subtree, the entry ended: then a
 * last ENTRY event may be delivered through *ret with PBR_OK and ret->ev == PBR_PXAR_EV_ENTRY). */
PBR_MUST_USE int pbr_pxar_dec_finish(struct pbr_pxar_dec *dec, struct pbr_pxar_event *ret, struct pbr_diag *diag);

uint64_t pbr_pxar_dec_pos(const struct pbr_pxar_dec *dec);

#endif
