/* SPDX-License-Identifier: MIT */
/* Dump of all items; see dump.h. One line an item, in both forms the same fields:
 *
 *   text   "  position     size TYPE key=value ..."        bytes quoted as in listings (EXT-141)
 *   JSON   {"offset":N,"size":N,"type":"TYPE","key":...}   bytes as text if they are valid UTF-8 without NUL, else as
 *                                                          "key_hex"; numbers from 2^53 on as decimal strings */
#include "archive/dump.h"

#include "archive/read.h"
#include "format/goodbye.h"
#include "format/name.h"
#include "format/quote.h"

enum { LINE_BYTES_MAX = 256 << 20 }; /* the longest item is a prelude of 16 MiB; quoted at most tenfold */

#define JSON_SAFE_INT (UINT64_C(1) << 53)

/* A line being built; the first failure sticks. */
struct line {
    struct pbr_buf buf;
    bool json;
    int rc;
};

static void put(struct line *l, struct pbr_span in)
{
    if (l->rc == PBR_OK)
        l->rc = pbr_buf_append(&l->buf, in);
}

static void put_text(struct line *l, const char *text)
{
    put(l, pbr_span_str(text));
}

static void put_number(struct line *l, uint64_t value)
{
    if (l->rc == PBR_OK)
        l->rc = pbr_buf_printf(&l->buf, "%" PRIu64, value);
}

static void key(struct line *l, const char *name, const char *suffix)
{
    put_text(l, l->json ? ",\"" : " ");
    put_text(l, name);
    put_text(l, suffix);
    put_text(l, l->json ? "\":" : "=");
}

static void field_u64(struct line *l, const char *name, uint64_t value)
{
    const bool quoted = l->json && value >= JSON_SAFE_INT;
    key(l, name, "");
    put_text(l, quoted ? "\"" : "");
    put_number(l, value);
    put_text(l, quoted ? "\"" : "");
}

/* Octal and hexadecimal numbers are text in JSON, too. */
static void field_word(struct line *l, const char *name, const char *word)
{
    key(l, name, "");
    put_text(l, l->json ? "\"" : "");
    put_text(l, word);
    put_text(l, l->json ? "\"" : "");
}

/* Valid UTF-8 without NUL, which many JSON readers refuse. */
static bool is_text(struct pbr_span in)
{
    while (in.len > 0) {
        uint32_t code = 0;
        size_t bad;
        const size_t n = pbr_utf8_next(in, &code, &bad);
        if (n == 0 || code == 0)
            return false;
        in = pbr_span_sub(in, n, in.len);
    }
    return true;
}

static void put_json_string(struct line *l, struct pbr_span in)
{
    size_t plain = 0;
    put_text(l, "\"");
    for (size_t i = 0; i < in.len; i++) {
        const uint8_t c = in.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put(l, pbr_span_sub(in, plain, i - plain));
        if (l->rc == PBR_OK)
            l->rc = c >= 0x20 ? pbr_buf_printf(&l->buf, "\\%c", c) : pbr_buf_printf(&l->buf, "\\u%04x", c);
        plain = i + 1;
    }
    put(l, pbr_span_sub(in, plain, in.len - plain));
    put_text(l, "\"");
}

static void field_bytes(struct line *l, const char *name, struct pbr_span in)
{
    if (!l->json) {
        key(l, name, "");
        if (l->rc == PBR_OK)
            l->rc = pbr_quote(in, &l->buf);
        return;
    }
    if (is_text(in)) {
        key(l, name, "");
        put_json_string(l, in);
        return;
    }
    key(l, name, "_hex");
    put_text(l, "\"");
    for (size_t i = 0; i < in.len; i++) {
        char hex[3];
        pbr_format_hex(&in.ptr[i], 1, hex);
        put_text(l, hex);
    }
    put_text(l, "\"");
}

static void field_hash(struct line *l, const char *name, uint64_t hash)
{
    uint8_t bytes[8];
    char hex[17];
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(hash >> (56 - 8 * i));
    pbr_format_hex(bytes, 8, hex);
    field_word(l, name, hex);
}

/* ---- fields of each item ---- */

static void field_perm(struct line *l, const char *name, uint64_t perm)
{
    if (perm == PBR_PXAR_NO_MASK)
        field_word(l, name, "none");
    else
        field_u64(l, name, perm);
}

static void entry_fields(struct line *l, struct pbr_cur *in, bool legacy)
{
    char text[32], octal[32];
    const uint64_t mode = pbr_cur_u64le(in);
    const uint64_t flags = pbr_cur_u64le(in);
    const uint32_t uid = pbr_cur_u32le(in);
    const uint32_t gid = pbr_cur_u32le(in);
    uint64_t time = pbr_cur_u64le(in);
    uint64_t ns = legacy ? time % 1000000000u : pbr_cur_u32le(in);
    if (legacy)
        time /= 1000000000u;

    size_t at = sizeof(octal);
    octal[--at] = 0;
    for (uint64_t rest = mode; rest && at > 1; rest >>= 3)
        octal[--at] = (char)('0' + (rest & 7));
    octal[--at] = '0';
    pbr_time_format_any((int64_t)time, text);
    field_word(l, "mode", octal + at);
    field_u64(l, "flags", flags);
    field_u64(l, "uid", uid);
    field_u64(l, "gid", gid);
    field_word(l, "mtime", text);
    field_u64(l, "mtime_ns", ns);
}

static void xattr_fields(struct line *l, struct pbr_span body)
{
    size_t n = 0;
    while (n < body.len && body.ptr[n])
        n++;
    field_bytes(l, "name", pbr_span_sub(body, 0, n));
    field_bytes(l, "value", pbr_span_sub(body, n + 1, body.len));
}

/* Text with its NUL, which is left out. */
static void text_field(struct line *l, const char *name, struct pbr_span body)
{
    field_bytes(l, name, pbr_span_sub(body, 0, body.len ? body.len - 1 : 0));
}

static void acl_fields(struct line *l, uint64_t htype, struct pbr_cur *in)
{
    static const char *const parts[] = { "user_obj", "group_obj", "other", "mask" };
    if (htype == PBR_PXAR_ACL_DEFAULT) {
        for (size_t i = 0; i < 4; i++)
            field_perm(l, parts[i], pbr_cur_u64le(in));
        return;
    }
    if (htype != PBR_PXAR_ACL_GROUP_OBJ) {
        const bool user = htype == PBR_PXAR_ACL_USER || htype == PBR_PXAR_ACL_DEFAULT_USER;
        field_u64(l, user ? "uid" : "gid", pbr_cur_u64le(in));
    }
    field_perm(l, "perm", pbr_cur_u64le(in));
}

static void two_fields(struct line *l, const char *first, const char *second, struct pbr_cur *in)
{
    field_u64(l, first, pbr_cur_u64le(in));
    field_u64(l, second, pbr_cur_u64le(in));
}

static void item_fields(struct line *l, const struct pbr_pxar_event *ev)
{
    struct pbr_cur in = pbr_cur(ev->data);
    switch (ev->htype) {
    case PBR_PXAR_FORMAT_VERSION: field_u64(l, "version", pbr_cur_u64le(&in)); break;
    case PBR_PXAR_PRELUDE: field_bytes(l, "prelude", ev->data); break;
    case PBR_PXAR_ENTRY: entry_fields(l, &in, false); break;
    case PBR_PXAR_ENTRY_V1: entry_fields(l, &in, true); break;
    case PBR_PXAR_FILENAME:
        text_field(l, "name", ev->data);
        field_hash(l, "hash", pbr_pxar_name_hash(pbr_span_sub(ev->data, 0, ev->data.len - 1)));
        break;
    case PBR_PXAR_SYMLINK: text_field(l, "target", ev->data); break;
    case PBR_PXAR_HARDLINK:
        field_u64(l, "distance", pbr_cur_u64le(&in));
        text_field(l, "target", pbr_cur_rest(&in));
        break;
    case PBR_PXAR_DEVICE: two_fields(l, "major", "minor", &in); break;
    case PBR_PXAR_XATTR: xattr_fields(l, ev->data); break;
    case PBR_PXAR_FCAPS: field_bytes(l, "value", ev->data); break;
    case PBR_PXAR_QUOTA_PROJID: field_u64(l, "projid", pbr_cur_u64le(&in)); break;
    case PBR_PXAR_PAYLOAD: field_u64(l, "bytes", ev->size - PBR_PXAR_HDR); break;
    case PBR_PXAR_PAYLOAD_REF: two_fields(l, "payload_offset", "bytes", &in); break;
    case PBR_PXAR_APPENDIX_REF: two_fields(l, "appendix_offset", "bytes", &in); break;
    case PBR_PXAR_APPENDIX: field_u64(l, "bytes", pbr_cur_u64le(&in)); break;
    case PBR_PXAR_DRAFT_VERSION: break;
    case PBR_PXAR_GOODBYE: field_u64(l, "records", (ev->size - PBR_PXAR_HDR) / PBR_PXAR_GOODBYE_REC); break;
    default: acl_fields(l, ev->htype, &in); break;
    }
}

/* ---- lines ---- */

static void begin(struct line *l, uint64_t pos, uint64_t size, const char *type)
{
    pbr_buf_clear(&l->buf);
    l->rc = l->json ? pbr_buf_printf(&l->buf, "{\"offset\":%" PRIu64 ",\"size\":%" PRIu64 ",\"type\":\"%s\"", pos,
                                     size, type)
                    : pbr_buf_printf(&l->buf, "%12" PRIu64 " %8" PRIu64 " %s", pos, size, type);
}

static void record_line(struct line *l, const struct pbr_pxar_rec *rec, uint64_t goodbye_pos, uint64_t pos)
{
    const bool tail = rec->hash == PBR_PXAR_GOODBYE_TAIL;
    begin(l, pos, PBR_PXAR_GOODBYE_REC,
          tail ? "GOODBYE_TAIL" : rec->hash == PBR_PXAR_APPENDIX_TAIL ? "APPENDIX_TAIL" : "GOODBYE_RECORD");
    field_hash(l, "hash", rec->hash);
    field_u64(l, "distance", rec->offset);
    if (rec->offset <= goodbye_pos)
        field_u64(l, "at", goodbye_pos - rec->offset);
    field_u64(l, "bytes", rec->size);
}

static int end(struct line *l, struct pbr_sink *out, struct pbr_diag *diag)
{
    put_text(l, l->json ? "}\n" : "\n");
    if (l->rc < 0)
        return pbr_fail_at(diag, (enum pbr_err)l->rc, NULL, "line of the dump: %s", pbr_err_name(l->rc));
    return pbr_sink_write(out, pbr_buf_span(&l->buf), diag);
}

static int dump_items(struct pbr_reader *r, struct line *l, struct pbr_sink *out, struct pbr_diag *diag)
{
    for (;;) {
        struct pbr_pxar_event ev;
        int rc = pbr_reader_next(r, &ev, diag);
        if (rc < 0 || ev.ev == PBR_PXAR_EV_END)
            return rc;
        if (ev.ev == PBR_PXAR_EV_ITEM) {
            begin(l, ev.pos, ev.size, pbr_pxar_type_name(ev.htype));
            item_fields(l, &ev);
        } else if (ev.ev == PBR_PXAR_EV_GOODBYE_REC) {
            record_line(l, &ev.rec, ev.pos, pbr_reader_pos(r) - PBR_PXAR_GOODBYE_REC);
        } else {
            continue;
        }
        rc = end(l, out, diag);
        if (rc < 0)
            return rc;
    }
}

int pbr_dump(const struct pbr_env *env, struct pbr_stream *archive, const struct pbr_dump_opts *opts,
             struct pbr_sink *out, struct pbr_diag *diag)
{
    const struct pbr_reader_opts reader_opts = { .meta_only = true, .items = true, .goodbye = true };
    struct pbr_reader *r;
    int rc = pbr_reader_open_opts(env, archive, NULL, &reader_opts, &r, diag);
    if (rc < 0)
        return rc;
    struct line l = { .json = opts && opts->json };
    pbr_buf_init(&l.buf, env, LINE_BYTES_MAX);
    rc = dump_items(r, &l, out, diag);
    pbr_buf_release(&l.buf);
    pbr_reader_free(r);
    return rc;
}
