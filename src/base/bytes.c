/* SPDX-License-Identifier: MIT */
/* Spans, cursors, buffers, numbers; see bytes.h. */
#include "base/bytes.h"

#include <stdio.h>
#include <string.h>

#include "base/env.h"

struct pbr_span pbr_span_str(const char *text)
{
    return (struct pbr_span){ (const uint8_t *)text, strlen(text) };
}

bool pbr_span_eq(struct pbr_span a, struct pbr_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool pbr_span_eq_str(struct pbr_span a, const char *text)
{
    return pbr_span_eq(a, pbr_span_str(text));
}

bool pbr_span_starts(struct pbr_span a, const char *prefix)
{
    const size_t n = strlen(prefix);
    return a.len >= n && (n == 0 || memcmp(a.ptr, prefix, n) == 0);
}

bool pbr_span_ends(struct pbr_span a, const char *suffix)
{
    const size_t n = strlen(suffix);
    return a.len >= n && (n == 0 || memcmp(a.ptr + (a.len - n), suffix, n) == 0);
}

int pbr_span_cmp(struct pbr_span a, struct pbr_span b)
{
    const size_t n = a.len < b.len ? a.len : b.len;
    const int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

struct pbr_span pbr_span_sub(struct pbr_span a, size_t off, size_t len)
{
    if (off > a.len)
        off = a.len;
    if (len > a.len - off)
        len = a.len - off;
    return (struct pbr_span){ off ? a.ptr + off : a.ptr, len };
}

struct pbr_cur pbr_cur(struct pbr_span in)
{
    return (struct pbr_cur){ .base = in.ptr, .len = in.len };
}

size_t pbr_cur_left(const struct pbr_cur *c)
{
    return c->len - c->pos;
}

const uint8_t *pbr_cur_take(struct pbr_cur *c, size_t n)
{
    if (c->bad || n > c->len - c->pos) { /* pos <= len holds always, so this cannot wrap */
        c->bad = true;
        return NULL;
    }
    const uint8_t *p = c->base ? c->base + c->pos : (const uint8_t *)"";
    c->pos += n;
    return p;
}

struct pbr_span pbr_cur_span(struct pbr_cur *c, size_t n)
{
    const uint8_t *p = pbr_cur_take(c, n);
    return p ? pbr_span(p, n) : pbr_span(NULL, 0);
}

struct pbr_span pbr_cur_rest(struct pbr_cur *c)
{
    return pbr_cur_span(c, c->bad ? 0 : pbr_cur_left(c));
}

uint8_t pbr_cur_u8(struct pbr_cur *c)
{
    const uint8_t *p = pbr_cur_take(c, 1);
    return p ? p[0] : 0;
}

uint16_t pbr_cur_u16le(struct pbr_cur *c)
{
    const uint8_t *p = pbr_cur_take(c, 2);
    return p ? pbr_get_u16le(p) : 0;
}

uint32_t pbr_cur_u32le(struct pbr_cur *c)
{
    const uint8_t *p = pbr_cur_take(c, 4);
    return p ? pbr_get_u32le(p) : 0;
}

uint64_t pbr_cur_u64le(struct pbr_cur *c)
{
    const uint8_t *p = pbr_cur_take(c, 8);
    return p ? pbr_get_u64le(p) : 0;
}

void pbr_buf_init(struct pbr_buf *b, const struct pbr_env *env, size_t max)
{
    *b = (struct pbr_buf){ .env = env, .max = max };
}

void pbr_buf_release(struct pbr_buf *b)
{
    pbr_free(b->env, b->ptr);
    b->ptr = NULL;
    b->len = b->cap = 0;
}

struct pbr_span pbr_buf_span(const struct pbr_buf *b)
{
    return (struct pbr_span){ b->ptr, b->len };
}

int pbr_buf_reserve(struct pbr_buf *b, size_t n, uint8_t **ret)
{
    if (n > b->max - b->len)
        return PBR_E_LIMIT;
    const size_t need = b->len + n;
    if (need > b->cap || !b->ptr) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        if (cap > b->max)
            cap = b->max > need ? b->max : need;
        uint8_t *p = pbr_realloc(b->env, b->ptr, cap ? cap : 1);
        if (!p)
            return PBR_E_NOMEM;
        b->ptr = p;
        b->cap = cap;
    }
    *ret = b->ptr + b->len;
    return PBR_OK;
}

int pbr_buf_append(struct pbr_buf *b, struct pbr_span in)
{
    uint8_t *p;
    const int rc = pbr_buf_reserve(b, in.len, &p);
    if (rc < 0)
        return rc;
    if (in.len)
        memcpy(p, in.ptr, in.len);
    b->len += in.len;
    return PBR_OK;
}

int pbr_buf_append_u8(struct pbr_buf *b, uint8_t v)
{
    return pbr_buf_append(b, pbr_span(&v, 1));
}

int pbr_buf_append_u64le(struct pbr_buf *b, uint64_t v)
{
    uint8_t bytes[8];
    pbr_put_u64le(bytes, v);
    return pbr_buf_append(b, pbr_span(bytes, sizeof(bytes)));
}

int pbr_buf_printf(struct pbr_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return PBR_E_ARG;
    uint8_t *p;
    int rc = pbr_buf_reserve(b, (size_t)n + 1, &p);
    if (rc < 0)
        return rc;
    va_start(ap, fmt);
    (void)vsnprintf((char *)p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return PBR_OK;
}

void pbr_buf_drop(struct pbr_buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

void pbr_buf_clear(struct pbr_buf *b)
{
    b->len = 0;
}

uint8_t *pbr_buf_steal(struct pbr_buf *b, size_t *ret_len)
{
    uint8_t *p = b->ptr;
    *ret_len = b->len;
    b->ptr = NULL;
    b->len = b->cap = 0;
    return p;
}

const char *pbr_buf_cstr(struct pbr_buf *b)
{
    uint8_t *p;
    if (pbr_buf_reserve(b, 1, &p) < 0)
        return NULL;
    *p = 0;
    return (const char *)b->ptr;
}

bool pbr_parse_u64(struct pbr_span in, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (in.len == 0)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        if (in.ptr[i] < '0' || in.ptr[i] > '9')
            return false;
        if (!pbr_mul(v, 10, &v) || !pbr_add(v, (uint64_t)(in.ptr[i] - '0'), &v))
            return false;
    }
    if (v < min || v > max)
        return false;
    *ret = v;
    return true;
}

bool pbr_parse_i64(struct pbr_span in, int64_t min, int64_t max, int64_t *ret)
{
    const bool negative = in.len > 0 && in.ptr[0] == '-';
    const uint64_t limit = (uint64_t)INT64_MAX + negative;
    uint64_t v;
    if (!pbr_parse_u64(negative ? pbr_span_sub(in, 1, in.len) : in, 0, limit, &v))
        return false;
    const int64_t value = negative ? (int64_t)(0 - v) : (int64_t)v;
    if (value < min || value > max)
        return false;
    *ret = value;
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool pbr_parse_hex(struct pbr_span in, uint8_t *out, size_t n)
{
    if (in.len / 2 != n || in.len % 2 != 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        const int hi = hex_digit(in.ptr[2 * i]);
        const int lo = hex_digit(in.ptr[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

void pbr_format_hex(const uint8_t *in, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * n] = 0;
}
