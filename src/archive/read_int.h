/* SPDX-License-Identifier: MIT */
/* Inside of the sequential reader: its state, shared by read.c and by read_appendix.c, which reads what stands in the
 * appendix of a draft's archive [APX-050 .. APX-056]. Thread: as read.h. */
#ifndef PBR_ARCHIVE_READ_INT_H
#define PBR_ARCHIVE_READ_INT_H

#include "archive/read.h"

/* A stream with the view that was last peeked: bytes before `off` are done with, but the stream is told so only when
 * the view is used up. So pieces handed out stay valid, and no read happens before it is needed. */
struct pbr_window {
    struct pbr_stream *stream;
    struct pbr_span view;
    size_t off;
};

enum pbr_content { CONTENT_NONE, CONTENT_INLINE, CONTENT_REF, CONTENT_REF_OPEN, CONTENT_APPENDIX, CONTENT_DONE };

/* An appendix reference that is wanted. */
struct pbr_wanted {
    uint64_t off, size;             /* as in the reference */
    size_t path, path_len;          /* in `paths` */
    uint32_t name_len, depth;
};

struct pbr_reader_appendix {
    bool seen_ref, open;
    uint64_t start, total, pos;     /* while open; pos: bytes of the section done with */
    struct pbr_buf wanted;          /* struct pbr_wanted, in the order of the archive; when open by offset */
    struct pbr_buf paths;
    size_t next;                    /* number of the next one */
    struct pbr_pxar_dec *dec;       /* holds the last entry handed out */
};

struct pbr_reader {
    const struct pbr_env *env;
    struct pbr_reader_opts opts;
    struct pbr_pxar_dec *dec;
    struct pbr_window archive, payload; /* payload.stream NULL: none */
    bool failed, ended;
    bool has_marker;           /* the payload stream begins with its start marker */

    struct pbr_buf path;       /* "" for the root, else "/dir/name"; NUL behind it */
    struct pbr_buf dir_lens;   /* size_t: path length of each open directory */

    enum pbr_content content;     /* of the last ENTRY */
    uint64_t ref_size;
    uint64_t ref_left;         /* CONTENT_REF_OPEN, CONTENT_APPENDIX */
    struct pbr_reader_appendix appendix;
    struct pbr_pxar_entry last; /* of the last ENTRY, without its spans */
    uint32_t last_depth;
    uint64_t payload_pos;      /* bytes read from the payload stream */
    uint64_t ref_end;          /* end of the last referenced record */
    uint64_t padding;
};

/* What was not taken of the view. */
struct pbr_span pbr_window_rest(const struct pbr_window *w);
/* At least one byte in the view, or none at the end of the stream. */
PBR_MUST_USE int pbr_window_fill(struct pbr_window *w, struct pbr_diag *diag);
PBR_MUST_USE int pbr_window_skip(struct pbr_window *w, uint64_t n, struct pbr_diag *diag);

void pbr_reader_appendix_init(struct pbr_reader *r);
void pbr_reader_appendix_release(struct pbr_reader *r);
/* The APPENDIX item was read: orders what is wanted. FORMAT APX-054. */
PBR_MUST_USE int pbr_reader_appendix_open(struct pbr_reader *r, const struct pbr_pxar_event *ev, struct pbr_diag *diag);
/* 1 and the ENTRY of the next wanted file, or 0 behind the section. */
PBR_MUST_USE int pbr_reader_appendix_next(struct pbr_reader *r, struct pbr_pxar_event *ret, struct pbr_diag *diag);
/* The next piece of its contents. */
PBR_MUST_USE int pbr_reader_appendix_content(struct pbr_reader *r, struct pbr_span *ret, struct pbr_diag *diag);

#endif
