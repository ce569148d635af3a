/* SPDX-License-Identifier: MIT */
/* Base64 with the standard alphabet (RFC 4648 section 4) [CRY-023]. Thread: thread-safe. */
#include "prim/prim.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int pbr_base64_encode(struct pbr_span in, bool pad, struct pbr_buf *out)
{
    const size_t groups = in.len / 3;
    const size_t tail = in.len % 3;
    const size_t tail_len = tail == 0 ? 0 : pad ? 4 : tail + 1;
    uint64_t len;
    uint8_t *p;
    if (!pbr_mul(groups, 4, &len) || !pbr_add(len, tail_len, &len) || len > SIZE_MAX)
        return PBR_E_LIMIT;
    const int rc = pbr_buf_reserve(out, (size_t)len, &p);
    if (rc < 0)
        return rc;

    for (size_t i = 0; i < in.len; i += 3) {
        const size_t n = in.len - i < 3 ? in.len - i : 3;
        const uint32_t bits = (uint32_t)in.ptr[i] << 16 |
                              (n > 1 ? (uint32_t)in.ptr[i + 1] << 8 : 0) |
                              (n > 2 ? in.ptr[i + 2] : 0u);
        for (size_t k = 0; k <= n; k++)
            *p++ = (uint8_t)alphabet[bits >> (18 - 6 * k) & 63];
        for (size_t k = n; pad && k < 3; k++)
            *p++ = '=';
    }
    out->len += (size_t)len;
    return PBR_OK;
}

/* Text length without padding; padding must be complete or absent. */
static bool strip_padding(struct pbr_span *in)
{
    size_t n = in->len;
    while (n > 0 && in->len - n < 2 && in->ptr[n - 1] == '=')
        n--;
    if (n != in->len && in->len % 4 != 0)
        return false;
    in->len = n;
    return n % 4 != 1;
}

int pbr_base64_decode(struct pbr_span in, struct pbr_buf *out)
{
    uint8_t *p;
    if (!strip_padding(&in))
        return PBR_E_FORMAT;
    const size_t tail = in.len % 4;
    const size_t len = in.len / 4 * 3 + (tail ? tail - 1 : 0);
    const int rc = pbr_buf_reserve(out, len, &p);
    if (rc < 0)
        return rc;

    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < in.len; i++) {
        const int v = digit(in.ptr[i]);
        if (v < 0)
            return PBR_E_FORMAT;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            *p++ = (uint8_t)(bits >> have);
            bits &= (1u << have) - 1;
        }
    }
    if (bits != 0) /* bits that no byte took must be zero, else two texts would mean the same */
        return PBR_E_FORMAT;
    out->len += len;
    return PBR_OK;
}
