/* SPDX-License-Identifier: MIT */
/* Sequential reader of archives; see read.h. */
#include "archive/read_int.h"

#include "base/limits.h"

/* ---- window ---- */

struct pbr_span pbr_window_rest(const struct pbr_window *w)
{
    return pbr_span_sub(w->view, w->off, w->view.len);
}

/* Tells the stream what was taken; the view is gone. */
static void window_sync(struct pbr_window *w)
{
    if (w->off > 0) /* so there is a stream */
        pbr_stream_consume(w->stream, w->off);
    w->view = pbr_span(NULL, 0);
    w->off = 0;
}

int pbr_window_fill(struct pbr_window *w, struct pbr_diag *diag)
{
    if (w->off < w->view.len)
        return PBR_OK;
    window_sync(w);
    return pbr_stream_peek(w->stream, &w->view, diag);
}

int pbr_window_skip(struct pbr_window *w, uint64_t n, struct pbr_diag *diag)
{
    const size_t here = w->view.len - w->off;
    if (n <= here) {
        w->off += (size_t)n;
        return PBR_OK;
    }
    w->off = w->view.len;
    window_sync(w);
    return pbr_stream_skip(w->stream, n - here, diag);
}

/* The caller is going to read the next n bytes. */
static void window_expect(struct pbr_window *w, uint64_t n)
{
    if (!w->stream->expect)
        return; /* the view can stay */
    window_sync(w);
    pbr_stream_expect(w->stream, n);
}

static int window_read(struct pbr_window *w, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    window_sync(w);
    return pbr_stream_read(w->stream, out, len, diag);
}

/* An early end found by the stream is named after the archive rule that it breaks. */
static int stream_failed(int rc, const struct pbr_diag *cause, const char *rule, uint64_t pos, const char *what,
                         struct pbr_diag *diag)
{
    if (rc == PBR_E_TRUNCATED)
        return pbr_fail(diag, PBR_E_TRUNCATED, rule, pos, "unexpected EOF in %s", what);
    if (diag && diag->code == PBR_OK)
        *diag = *cause;
    return rc;
}

/* ---- open ---- */

static int read_start_marker(struct pbr_reader *r, struct pbr_diag *diag)
{
    uint8_t hdr[PBR_PXAR_HDR];
    struct pbr_diag cause = { 0 };
    const int rc = window_read(&r->payload, hdr, sizeof(hdr), &cause);
    if (rc < 0)
        return stream_failed(rc, &cause, "PXAR-240", 0, "the payload start marker", diag);
    const uint64_t htype = pbr_get_u64le(hdr);
    const uint64_t full = pbr_get_u64le(hdr + 8);
    if (htype != PBR_PXAR_PAYLOAD_START)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-240", 0,
                        "unexpected header in payload input: expected %016" PRIx64 ", got %016" PRIx64,
                        PBR_PXAR_PAYLOAD_START, htype);
    if (full != PBR_PXAR_HDR)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-241", 8, "payload start marker of %" PRIu64 " bytes", full);
    r->payload_pos = PBR_PXAR_HDR;
    return PBR_OK;
}

/* Drafts have no start marker [SPL-025] and no FORMAT_VERSION [SPL-026]; what they have first may be anything, since
 * chunks of an earlier snapshot may begin there. So the archive tells: the first byte of its first item is enough. */
static int read_payload_start(struct pbr_reader *r, struct pbr_diag *diag)
{
    const int rc = pbr_window_fill(&r->archive, diag);
    if (rc < 0)
        return rc;
    const struct pbr_span view = pbr_window_rest(&r->archive);
    const uint8_t first = view.len > 0 ? view.ptr[0] : 0;
    r->has_marker = !r->opts.draft && first != (PBR_PXAR_ENTRY & 0xff) && first != (PBR_PXAR_ENTRY_V1 & 0xff);
    return r->has_marker ? read_start_marker(r, diag) : PBR_OK;
}

static int set_up(struct pbr_reader *r, struct pbr_diag *diag)
{
    const struct pbr_pxar_dec_opts opts = { .items = r->opts.items, .skip_goodbye = !r->opts.goodbye };
    pbr_reader_appendix_init(r);
    pbr_buf_init(&r->path, r->env, PBR_READER_PATH_MAX);
    pbr_buf_init(&r->dir_lens, r->env, PBR_PATH_DEPTH_MAX * sizeof(size_t));
    int rc = pbr_pxar_dec_new(r->env, &opts, &r->dec);
    if (rc == PBR_OK && !pbr_buf_cstr(&r->path))
        rc = PBR_E_NOMEM;
    if (rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)rc, NULL, "out of memory");
    rc = r->payload.stream ? read_payload_start(r, diag) : PBR_OK;
    r->ref_end = r->payload.stream && !r->has_marker ? 0 : PBR_PXAR_HDR; /* behind the start marker */
    return rc;
}

int pbr_reader_open_opts(const struct pbr_env *env, struct pbr_stream *archive, struct pbr_stream *payload,
                         const struct pbr_reader_opts *opts, struct pbr_reader **ret, struct pbr_diag *diag)
{
    struct pbr_reader *r = pbr_alloc(env, 1, sizeof(*r));
    if (!r)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory");
    r->env = env;
    if (opts)
        r->opts = *opts;
    r->archive.stream = archive;
    r->payload.stream = payload;
    const int rc = set_up(r, diag);
    if (rc < 0) {
        pbr_reader_free(r);
        return rc;
    }
    *ret = r;
    return PBR_OK;
}

int pbr_reader_open(const struct pbr_env *env, struct pbr_stream *archive, struct pbr_stream *payload,
                    struct pbr_reader **ret, struct pbr_diag *diag)
{
    return pbr_reader_open_opts(env, archive, payload, NULL, ret, diag);
}

void pbr_reader_free(struct pbr_reader *r)
{
    if (!r)
        return;
    pbr_pxar_dec_free(r->dec);
    pbr_reader_appendix_release(r);
    pbr_buf_release(&r->path);
    pbr_buf_release(&r->dir_lens);
    pbr_free(r->env, r);
}

/* ---- path ---- */

static void set_path_len(struct pbr_reader *r, size_t len)
{
    r->path.len = len;
    r->path.ptr[len] = 0; /* there is always room for it: see add_name */
}

static size_t top_dir_len(const struct pbr_reader *r)
{
    const size_t *lens = (const void *)r->dir_lens.ptr;
    return lens[r->dir_lens.len / sizeof(*lens) - 1];
}

static int add_name(struct pbr_reader *r, struct pbr_span name)
{
    uint8_t *p;
    int rc = pbr_buf_append_u8(&r->path, '/');
    if (rc == PBR_OK)
        rc = pbr_buf_append(&r->path, name);
    if (rc == PBR_OK)
        rc = pbr_buf_reserve(&r->path, 1, &p);
    if (rc == PBR_OK)
        *p = 0;
    return rc;
}

static int enter_entry(struct pbr_reader *r, const struct pbr_pxar_event *ev, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    if (ev->depth > 0) {
        set_path_len(r, top_dir_len(r));
        rc = add_name(r, ev->entry.name);
    }
    if (rc == PBR_OK && ev->entry.kind == PBR_KIND_DIR)
        rc = pbr_buf_append(&r->dir_lens, pbr_span(&r->path.len, sizeof(r->path.len)));
    if (rc < 0)
        return pbr_fail(diag, (enum pbr_err)rc, NULL, ev->pos, "path: %s",
                        rc == PBR_E_LIMIT ? "longer than the limit" : "out of memory");
    return PBR_OK;
}

/* 1. FORMAT if the archive ends without the appendix that references lead to [APX-056]. */
static int leave_dir(struct pbr_reader *r, const struct pbr_pxar_event *ev, struct pbr_diag *diag)
{
    if (ev->depth == 0 && r->appendix.seen_ref && r->appendix.total == 0)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-056", ev->pos, "the archive has references into an appendix, but none");
    set_path_len(r, top_dir_len(r));
    r->dir_lens.len -= sizeof(size_t);
    return 1;
}

struct pbr_span pbr_reader_path(const struct pbr_reader *r)
{
    return r->path.len ? pbr_buf_span(&r->path) : pbr_span("/", 1);
}

const char *pbr_reader_path_str(const struct pbr_reader *r)
{
    return r->path.len ? (const char *)r->path.ptr : "/";
}

/* ---- events ---- */

/* The decoder's next event. First with no input: what it has ready needs no read, so nothing blocks behind the end. */
static int pull(struct pbr_reader *r, struct pbr_pxar_event *ret, struct pbr_diag *diag)
{
    for (;;) {
        size_t used;
        int rc = pbr_pxar_dec_step(r->dec, pbr_window_rest(&r->archive), &used, ret, diag);
        if (rc < 0)
            return rc;
        r->archive.off += used;
        if (ret->ev != PBR_PXAR_EV_MORE)
            return PBR_OK;
        rc = pbr_window_fill(&r->archive, diag);
        if (rc < 0)
            return rc;
        if (r->archive.view.len == 0)
            return pbr_pxar_dec_finish(r->dec, ret, diag);
    }
}

static int skip_inline(struct pbr_reader *r, struct pbr_diag *diag)
{
    const uint64_t left = pbr_pxar_dec_data_left(r->dec);
    struct pbr_diag cause = { 0 };
    const int rc = pbr_window_skip(&r->archive, left, &cause);
    if (rc < 0)
        return stream_failed(rc, &cause, "PXAR-225", pbr_pxar_dec_pos(r->dec), "file contents", diag);
    pbr_pxar_dec_data_skipped(r->dec, left);
    return PBR_OK;
}

/* Moves the payload stream to the PAYLOAD header of a reference (PXAR-242). */
static int go_to_ref(struct pbr_reader *r, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    uint64_t end;
    if (!pbr_add(e->ref_off, PBR_PXAR_HDR, &end) || !pbr_add(end, e->size, &end))
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-130", e->entry_pos, "payload reference ends beyond 2^64");
    r->padding = e->ref_off > r->ref_end ? e->ref_off - r->ref_end : 0;
    r->ref_end = end;
    if (!r->payload.stream)
        return PBR_OK;
    if (e->ref_off < r->payload_pos)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-242", e->entry_pos,
                        "unexpected offset %" PRIu64 ", smaller than already consumed payload %" PRIu64, e->ref_off,
                        r->payload_pos);
    struct pbr_diag cause = { 0 };
    const uint64_t n = e->ref_off - r->payload_pos;
    if (n == 0)
        return PBR_OK;
    window_sync(&r->payload); /* the stream learns that nobody looks at these bytes, also inside of the view */
    const int rc = pbr_stream_skip(r->payload.stream, n, &cause);
    if (rc < 0)
        return stream_failed(rc, &cause, "PXAR-242", e->ref_off, "the payload stream before a reference", diag);
    r->payload_pos = e->ref_off;
    return PBR_OK;
}

static int enter_file(struct pbr_reader *r, const struct pbr_pxar_entry *e, struct pbr_diag *diag)
{
    if (!e->has_ref) {
        if (r->payload.stream)
            return pbr_fail(diag, PBR_E_FORMAT, "PXAR-248", e->entry_pos,
                            "file contents inside the metadata archive of a split archive");
        r->content = CONTENT_INLINE;
        return PBR_OK;
    }
    if (!r->payload.stream && !r->opts.meta_only)
        return pbr_fail(diag, PBR_E_FORMAT, "EXT-142", e->entry_pos, "payload input required for split archives");
    r->content = CONTENT_REF;
    r->ref_size = e->size;
    return go_to_ref(r, e, diag);
}

/* 1: the event goes to the caller; 0: it is ours. */
static int handle(struct pbr_reader *r, const struct pbr_pxar_event *ev, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    switch (ev->ev) {
    case PBR_PXAR_EV_ENTRY:
        rc = enter_entry(r, ev, diag);
        r->last = ev->entry;
        r->last_depth = ev->depth;
        r->appendix.seen_ref |= ev->entry.kind == PBR_KIND_APPENDIX_REF;
        if (rc == PBR_OK && ev->entry.kind == PBR_KIND_FILE)
            rc = enter_file(r, &ev->entry, diag);
        return rc < 0 ? rc : 1;
    case PBR_PXAR_EV_APPENDIX: rc = pbr_reader_appendix_open(r, ev, diag); return rc < 0 ? rc : 1;
    case PBR_PXAR_EV_DIR_END: return leave_dir(r, ev, diag);
    case PBR_PXAR_EV_END:
        r->ended = true;
        window_sync(&r->archive);
        window_sync(&r->payload);
        return 1;
    case PBR_PXAR_EV_GOODBYE:
    case PBR_PXAR_EV_GOODBYE_REC: return r->opts.goodbye;
    case PBR_PXAR_EV_VERSION:
    case PBR_PXAR_EV_PRELUDE:
    case PBR_PXAR_EV_ITEM: return 1;
    case PBR_PXAR_EV_MORE:
    case PBR_PXAR_EV_DATA:
    case PBR_PXAR_EV_FILE_END:
    case PBR_PXAR_EV_APPENDIX_DATA: break;
    }
    return 0;
}

static int next_event(struct pbr_reader *r, struct pbr_pxar_event *ret, struct pbr_diag *diag)
{
    int rc = r->appendix.open ? pbr_reader_appendix_next(r, ret, diag) : skip_inline(r, diag);
    r->content = rc == 1 ? r->content : CONTENT_NONE;
    r->padding = 0;
    while (rc == 0) {
        rc = pull(r, ret, diag);
        if (rc == PBR_OK)
            rc = handle(r, ret, diag);
    }
    return rc < 0 ? rc : PBR_OK;
}

int pbr_reader_next(struct pbr_reader *r, struct pbr_pxar_event *ret, struct pbr_diag *diag)
{
    if (r->failed)
        return pbr_fail(diag, PBR_E_STATE, NULL, pbr_reader_pos(r), "archive reader used after a failure");
    struct pbr_pxar_event ev;
    if (r->ended) {
        *ret = (struct pbr_pxar_event){ .ev = PBR_PXAR_EV_END, .pos = pbr_reader_pos(r) };
        return PBR_OK;
    }
    const int rc = next_event(r, &ev, diag);
    if (rc < 0) {
        r->failed = true;
        return rc;
    }
    *ret = ev;
    return PBR_OK;
}

/* ---- contents ---- */

static int inline_content(struct pbr_reader *r, struct pbr_span *ret, struct pbr_diag *diag)
{
    struct pbr_pxar_event ev;
    if (pbr_pxar_dec_data_left(r->dec) == 0) {
        r->content = CONTENT_DONE;
        *ret = pbr_span(NULL, 0);
        return PBR_OK;
    }
    if (pbr_pxar_dec_data_left(r->dec) == r->last.size)
        window_expect(&r->archive, r->last.size);
    struct pbr_diag cause = { 0 };
    const int rc = pull(r, &ev, &cause);
    if (rc < 0)
        return stream_failed(rc, &cause, "PXAR-226", pbr_pxar_dec_pos(r->dec), "file contents", diag);
    *ret = ev.data;
    return PBR_OK;
}

/* Reads the PAYLOAD header where a reference points, and compares (PXAR-243). */
static int open_ref(struct pbr_reader *r, struct pbr_diag *diag)
{
    uint8_t hdr[PBR_PXAR_HDR];
    struct pbr_diag cause = { 0 };
    const uint64_t at = r->payload_pos;
    window_expect(&r->payload, sizeof(hdr) + r->ref_size); /* no overflow: go_to_ref added them */
    int rc = window_read(&r->payload, hdr, sizeof(hdr), &cause);
    if (rc < 0)
        return stream_failed(rc, &cause, "PXAR-243", at, "a PAYLOAD header", diag);
    r->payload_pos += sizeof(hdr);
    rc = pbr_reader_check_payload_header(hdr, r->ref_size, at, diag);
    if (rc < 0)
        return rc;
    r->content = CONTENT_REF_OPEN;
    r->ref_left = r->ref_size;
    return PBR_OK;
}

int pbr_reader_check_payload_header(const uint8_t hdr[PBR_PXAR_HDR], uint64_t ref_size, uint64_t at,
                                    struct pbr_diag *diag)
{
    const uint64_t htype = pbr_get_u64le(hdr);
    const uint64_t full = pbr_get_u64le(hdr + 8);
    if (htype != PBR_PXAR_PAYLOAD)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-243", at,
                        "unexpected header: expected %016" PRIx64 ", got %016" PRIx64, PBR_PXAR_PAYLOAD, htype);
    if (full < PBR_PXAR_HDR || full - PBR_PXAR_HDR != ref_size)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-243", at,
                        "encountered size mismatch: header of %" PRIu64 " bytes, reference to %" PRIu64, full,
                        ref_size);
    return PBR_OK;
}

static int ref_content(struct pbr_reader *r, struct pbr_span *ret, struct pbr_diag *diag)
{
    if (r->ref_left == 0) {
        r->content = CONTENT_DONE;
        *ret = pbr_span(NULL, 0);
        return PBR_OK;
    }
    const int rc = pbr_window_fill(&r->payload, diag);
    if (rc < 0)
        return rc;
    const struct pbr_span rest = pbr_window_rest(&r->payload);
    if (rest.len == 0)
        return pbr_fail(diag, PBR_E_TRUNCATED, "PXAR-226", r->payload_pos,
                        "payload stream ends, %" PRIu64 " bytes of the file are missing", r->ref_left);
    const size_t n = rest.len < r->ref_left ? rest.len : (size_t)r->ref_left;
    *ret = pbr_span_sub(rest, 0, n);
    r->payload.off += n;
    r->payload_pos += n;
    r->ref_left -= n;
    return PBR_OK;
}

int pbr_reader_content(struct pbr_reader *r, struct pbr_span *ret, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    if (r->content == CONTENT_REF) {
        if (!r->payload.stream)
            return pbr_fail(diag, PBR_E_STATE, "PXAR-278", pbr_reader_pos(r), "contents without the payload stream");
        r->content = CONTENT_NONE; /* a failed header check cannot be repeated: the header is read */
        rc = open_ref(r, diag);
        r->failed = rc < 0 && rc != PBR_E_FORMAT; /* PXAR-244: a wrong header is this file's failure only */
        if (rc < 0)
            return rc;
    }
    switch (r->content) {
    case CONTENT_INLINE: rc = inline_content(r, ret, diag); break;
    case CONTENT_REF_OPEN: rc = ref_content(r, ret, diag); break;
    case CONTENT_APPENDIX: rc = pbr_reader_appendix_content(r, ret, diag); break;
    case CONTENT_DONE: *ret = pbr_span(NULL, 0); return PBR_OK;
    case CONTENT_REF:
    case CONTENT_NONE: return pbr_fail(diag, PBR_E_STATE, NULL, pbr_reader_pos(r), "no file contents to read here");
    }
    if (rc < 0)
        r->failed = true;
    return rc;
}

uint64_t pbr_reader_padding(const struct pbr_reader *r)
{
    return r->padding;
}

uint64_t pbr_reader_pos(const struct pbr_reader *r)
{
    return pbr_pxar_dec_pos(r->dec);
}

uint64_t pbr_reader_payload_pos(const struct pbr_reader *r)
{
    return r->payload_pos;
}
