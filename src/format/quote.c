/* SPDX-License-Identifier: MIT */
/* Quoting of file names; see quote.h. */
#include "format/quote.h"

#include <string.h>

/* Ascending, disjoint ranges of code points that are shown as escapes; made by ci/gen-quote-table.py. */
struct range {
    uint32_t first, last;
};
static const struct range escaped[] = {
#include "format/quote_table.inc"
};

bool pbr_quote_is_escaped(uint32_t code_point)
{
    size_t lo = 0, hi = sizeof(escaped) / sizeof(escaped[0]);
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (code_point > escaped[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < sizeof(escaped) / sizeof(escaped[0]) && code_point >= escaped[lo].first;
}

/* Bounds of the second byte by the first: no overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t sequence_len(uint8_t first, uint8_t *ret_low, uint8_t *ret_high)
{
    *ret_low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *ret_high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t pbr_utf8_next(struct pbr_span in, uint32_t *ret, size_t *ret_bad)
{
    uint8_t low, high;
    *ret_bad = 1;
    const size_t len = in.len ? sequence_len(in.ptr[0], &low, &high) : 0;
    if (len == 0)
        return 0;
    static const uint8_t first_mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t value = in.ptr[0] & first_mask[len];
    for (size_t i = 1; i < len; i++) {
        if (i >= in.len || in.ptr[i] < low || in.ptr[i] > high) {
            *ret_bad = i;
            return 0;
        }
        value = value << 6 | (in.ptr[i] & 0x3f);
        low = 0x80;
        high = 0xbf;
    }
    *ret = value;
    return len;
}

static const char *short_escape(uint32_t c)
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\t': return "\\t";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case 0: return "\\0";
    default: return NULL;
    }
}

static int quote_inner(struct pbr_span in, struct pbr_buf *out)
{
    size_t plain = 0; /* start of the run that is copied as it is */
    for (size_t at = 0; at < in.len;) {
        uint32_t c = 0;
        size_t bad;
        const size_t len = pbr_utf8_next(pbr_span_sub(in, at, in.len), &c, &bad);
        const char *text = len ? short_escape(c) : NULL;
        if (len && !text && (c < 0x7f ? c >= 0x20 : !pbr_quote_is_escaped(c))) {
            at += len;
            continue;
        }
        int rc = pbr_buf_append(out, pbr_span_sub(in, plain, at - plain));
        if (rc == PBR_OK && text)
            rc = pbr_buf_append(out, pbr_span_str(text));
        else if (rc == PBR_OK && len)
            rc = pbr_buf_printf(out, "\\u{%" PRIx32 "}", c);
        for (size_t i = 0; rc == PBR_OK && !len && i < bad; i++)
            rc = pbr_buf_printf(out, "\\x%02X", in.ptr[at + i]);
        if (rc < 0)
            return rc;
        at += len ? len : bad;
        plain = at;
    }
    return pbr_buf_append(out, pbr_span_sub(in, plain, in.len - plain));
}

int pbr_quote(struct pbr_span in, struct pbr_buf *out)
{
    const size_t before = out->len;
    int rc = pbr_buf_append_u8(out, '"');
    if (rc == PBR_OK)
        rc = quote_inner(in, out);
    if (rc == PBR_OK)
        rc = pbr_buf_append_u8(out, '"');
    if (rc < 0)
        out->len = before;
    return rc;
}
