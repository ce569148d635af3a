/* SPDX-License-Identifier: MIT */
/* The three byte types: span (borrowed), cur (bounded reader), buf (owned, with a maximum), and checked
 * arithmetic on lengths. There is no pointer arithmetic on input outside these.
 *
 * Thread: plain values, not shared. */
#ifndef PBR_BASE_BYTES_H
#define PBR_BASE_BYTES_H

#include "base/err.h"

struct pbr_env;

/* ---- checked arithmetic: false means overflow, *ret untouched ---- */

static inline PBR_MUST_USE bool pbr_add(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_add_overflow(a, b, ret);
}

static inline PBR_MUST_USE bool pbr_sub(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_sub_overflow(a, b, ret);
}

static inline PBR_MUST_USE bool pbr_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_mul_overflow(a, b, ret);
}

static inline PBR_MUST_USE bool pbr_to_size(uint64_t a, size_t *ret)
{
    *ret = (size_t)a;
    return (uint64_t)*ret == a;
}

/* ---- span: borrowed, constant ---- */

struct pbr_span {
    const uint8_t *ptr;
    size_t len;
};

static inline struct pbr_span pbr_span(const void *ptr, size_t len)
{
    return (struct pbr_span){ ptr, len };
}

/* The bytes of a C string without its NUL. */
struct pbr_span pbr_span_str(const char *text);
bool pbr_span_eq(struct pbr_span a, struct pbr_span b);
bool pbr_span_eq_str(struct pbr_span a, const char *text);
bool pbr_span_starts(struct pbr_span a, const char *prefix);
bool pbr_span_ends(struct pbr_span a, const char *suffix);
/* Bytewise order, shorter prefix first (the order of archive entries, CRT-021): <0, 0, >0. */
int pbr_span_cmp(struct pbr_span a, struct pbr_span b);
/* a[off .. off+len), clipped to a. */
struct pbr_span pbr_span_sub(struct pbr_span a, size_t off, size_t len);

/* ---- integers in little endian byte order (PXAR-001) ---- */

static inline uint16_t pbr_get_u16le(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t pbr_get_u32le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t pbr_get_u64le(const uint8_t *p)
{
    return (uint64_t)pbr_get_u32le(p) | (uint64_t)pbr_get_u32le(p + 4) << 32;
}

static inline void pbr_put_u16le(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void pbr_put_u32le(uint8_t *p, uint32_t v)
{
    pbr_put_u16le(p, (uint16_t)v);
    pbr_put_u16le(p + 2, (uint16_t)(v >> 16));
}

static inline void pbr_put_u64le(uint8_t *p, uint64_t v)
{
    pbr_put_u32le(p, (uint32_t)v);
    pbr_put_u32le(p + 4, (uint32_t)(v >> 32));
}

/* ---- cur: bounded reader with a sticky `bad` ---- */

struct pbr_cur {
    const uint8_t *base;
    size_t len;
    size_t pos; /* <= len always */
    bool bad;   /* a read went past the end; everything read since is zero */
};

struct pbr_cur pbr_cur(struct pbr_span in);
size_t pbr_cur_left(const struct pbr_cur *c);
/* The next n bytes, or NULL (and bad) if there are fewer. */
const uint8_t *pbr_cur_take(struct pbr_cur *c, size_t n);
struct pbr_span pbr_cur_span(struct pbr_cur *c, size_t n);
struct pbr_span pbr_cur_rest(struct pbr_cur *c);
uint8_t pbr_cur_u8(struct pbr_cur *c);
uint16_t pbr_cur_u16le(struct pbr_cur *c);
uint32_t pbr_cur_u32le(struct pbr_cur *c);
uint64_t pbr_cur_u64le(struct pbr_cur *c);

/* ---- buf: owned, growing, created with its maximum ---- */

struct pbr_buf {
    const struct pbr_env *env;
    uint8_t *ptr;
    size_t len;
    size_t cap;
    size_t max; /* len never exceeds this: PBR_E_LIMIT */
};

void pbr_buf_init(struct pbr_buf *b, const struct pbr_env *env, size_t max);
void pbr_buf_release(struct pbr_buf *b);
struct pbr_span pbr_buf_span(const struct pbr_buf *b);
/* Makes room for n more bytes behind len; *ret points there. len is unchanged: add to it what was written.
 * PBR_E_LIMIT or PBR_E_NOMEM, the buffer then is as before. */
PBR_MUST_USE int pbr_buf_reserve(struct pbr_buf *b, size_t n, uint8_t **ret);
PBR_MUST_USE int pbr_buf_append(struct pbr_buf *b, struct pbr_span in);
PBR_MUST_USE int pbr_buf_append_u8(struct pbr_buf *b, uint8_t v);
PBR_MUST_USE int pbr_buf_append_u64le(struct pbr_buf *b, uint64_t v);
PBR_MUST_USE int pbr_buf_printf(struct pbr_buf *b, const char *fmt, ...) PBR_PRINTF(2, 3);
/* Drops the first n bytes (n <= len), moving the rest to the front. */
void pbr_buf_drop(struct pbr_buf *b, size_t n);
void pbr_buf_clear(struct pbr_buf *b);
/* Hands the memory (ptr, length len) to the caller, who frees it with pbr_free; the buffer is empty after. */
uint8_t *pbr_buf_steal(struct pbr_buf *b, size_t *ret_len);
/* Appends a NUL that does not count in len, and returns the text; NULL on failure. */
const char *pbr_buf_cstr(struct pbr_buf *b);

/* ---- text to numbers and back ---- */

/* Decimal digits only, no sign, no space, min <= value <= max; false otherwise. */
PBR_MUST_USE bool pbr_parse_u64(struct pbr_span in, uint64_t min, uint64_t max, uint64_t *ret);
/* Optional leading '-'. */
PBR_MUST_USE bool pbr_parse_i64(struct pbr_span in, int64_t min, int64_t max, int64_t *ret);
/* Exactly 2*n hex digits; either case. */
PBR_MUST_USE bool pbr_parse_hex(struct pbr_span in, uint8_t *out, size_t n);
/* 2*n lower-case digits and a NUL. */
void pbr_format_hex(const uint8_t *in, size_t n, char *out);

#endif
