/* SPDX-License-Identifier: MIT */
/* Inside of the pxar decoder: its state, and the entry that is being built (pxar_dec_item.c) as the phases in
 * pxar_dec.c use it. */
#ifndef PBR_FORMAT_PXAR_DEC_INT_H
#define PBR_FORMAT_PXAR_DEC_INT_H

#include "format/pxar_dec.h"

enum place { IN_BEGIN, IN_AFTER_VERSION, IN_AFTER_PRELUDE, IN_SUBTREE, IN_NODE, IN_ATTRS, IN_DIR, IN_TAIL };

enum phase {
    PH_HEADER,   /* wait for the next item's 16 bytes */
    PH_DISPATCH, /* header loaded: may complete the open entry, then begin the item */
    PH_BODY,     /* wait for all of the item's content */
    PH_PARSED,   /* content taken in: report what the item completes */
    PH_DATA,     /* file contents */
    PH_RECORDS,  /* goodbye records */
    PH_APPENDIX, /* bytes of the appendix */
    PH_END,      /* report END */
    PH_FAILED,
};

struct piece { /* of `text`: an offset, since text moves when it grows */
    size_t off, len;
};

struct xattr_at {
    struct piece name, value;
};

enum { ACL_USERS, ACL_GROUPS, ACL_DEFAULT_USERS, ACL_DEFAULT_GROUPS, ACL_LISTS };

struct pbr_pxar_dec {
    const struct pbr_env *env;
    struct pbr_pxar_dec_opts opts;
    enum place place;
    enum phase phase;
    uint64_t pos;       /* archive position behind the last byte taken */
    uint32_t depth;     /* open directories */
    bool is_root;       /* the open entry is the archive's root */

    uint64_t htype, item_pos, item_len; /* current item; item_len: content bytes */
    uint64_t left;      /* PH_DATA, PH_RECORDS, PH_APPENDIX: bytes to come */
    struct pbr_buf hold; /* first bytes of a header, body or record that is split over inputs */

    struct pbr_pxar_entry entry; /* being built; spans and arrays are set by finish_entry */
    bool entry_ready;            /* PH_PARSED reports it */
    uint64_t version;
    uint64_t appendix_start, appendix_total; /* from PH_APPENDIX on; total 0: no appendix */
    struct pbr_span body;        /* PH_PARSED: content of the item */
    struct pbr_buf text;
    struct piece name, target, fcaps;
    struct pbr_buf xattr_ats;    /* struct xattr_at */
    struct pbr_buf xattrs;       /* struct pbr_pxar_xattr, made from xattr_ats */
    struct pbr_buf acls[ACL_LISTS]; /* struct pbr_pxar_acl_id */
};

/* The failure of keeping something in memory: LIMIT or NOMEM. */
int pbr_dec_no_room(const struct pbr_pxar_dec *dec, int rc, struct pbr_diag *diag);
/* Takes the whole content of the current item in. Sets dec->place, and dec->entry_ready if it ends the entry. */
PBR_MUST_USE int pbr_dec_parse_body(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag);
/* All items of the entry are in: sets its kind, its spans and its arrays. `end_pos` is where its own items end. */
PBR_MUST_USE int pbr_dec_finish_entry(struct pbr_pxar_dec *dec, enum pbr_pxar_kind kind, uint64_t end_pos,
                                      struct pbr_diag *diag);

#endif
