/* SPDX-License-Identifier: MIT */
/* Texts inside a URL; see form.h. */
#include "proto/form.h"

#include <string.h>

static const char upper_hex[] = "0123456789ABCDEF";

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool must_encode(uint8_t c, enum pbr_percent_set set)
{
    if (set == PBR_PERCENT_ALL)
        return !is_alnum(c);
    return c <= ' ' || c >= 0x7f || strchr("\"#<>`?{}", c) != NULL;
}

static int put_percent(struct pbr_buf *out, uint8_t c)
{
    const uint8_t code[3] = { '%', (uint8_t)upper_hex[c >> 4], (uint8_t)upper_hex[c & 15] };
    return pbr_buf_append(out, pbr_span(code, sizeof(code)));
}

int pbr_percent_encode(struct pbr_span in, enum pbr_percent_set set, struct pbr_buf *out)
{
    for (size_t i = 0; i < in.len; i++) {
        const uint8_t c = in.ptr[i];
        const int rc = must_encode(c, set) ? put_percent(out, c) : pbr_buf_append_u8(out, c);
        if (rc < 0)
            return rc;
    }
    return PBR_OK;
}

/* Decodes one character at in[*i] and moves on. */
static uint8_t take_decoded(struct pbr_span in, size_t *i, bool plus_is_space)
{
    const uint8_t c = in.ptr[(*i)++];
    uint8_t v;

    if (c == '+' && plus_is_space)
        return ' ';
    if (c != '%' || in.len - *i < 2 || !pbr_parse_hex(pbr_span_sub(in, *i, 2), &v, 1))
        return c;
    *i += 2;
    return v;
}

int pbr_percent_decode(struct pbr_span in, struct pbr_buf *out)
{
    for (size_t i = 0; i < in.len;) {
        const int rc = pbr_buf_append_u8(out, take_decoded(in, &i, false));
        if (rc < 0)
            return rc;
    }
    return PBR_OK;
}

/* Decodes `in` to *at, which has room for it, and moves *at on. */
static struct pbr_span decode_to(struct pbr_span in, uint8_t **at)
{
    uint8_t *const start = *at;
    for (size_t i = 0; i < in.len;)
        *(*at)++ = take_decoded(in, &i, true);
    return pbr_span(start, (size_t)(*at - start));
}

static size_t find_byte(struct pbr_span in, uint8_t what)
{
    const uint8_t *p = in.len ? memchr(in.ptr, what, in.len) : NULL;
    return p ? (size_t)(p - in.ptr) : in.len;
}

int pbr_form_parse(struct pbr_form *f, const struct pbr_env *env, struct pbr_span in)
{
    *f = (struct pbr_form){ .env = env };
    if (in.len == 0)
        return PBR_OK;

    size_t pair_nr = 1;
    for (size_t i = 0; i < in.len; i++)
        pair_nr += in.ptr[i] == '&';
    f->pairs = pbr_alloc(env, pair_nr, sizeof(*f->pairs));
    f->text = pbr_alloc(env, in.len, 1); /* decoding never lengthens */
    if (!f->pairs || !f->text) {
        pbr_form_release(f);
        return PBR_E_NOMEM;
    }

    uint8_t *at = f->text;
    while (in.len > 0) {
        const struct pbr_span pair = pbr_span_sub(in, 0, find_byte(in, '&'));
        in = pbr_span_sub(in, pair.len + 1, in.len);
        if (pair.len == 0)
            continue;
        const size_t eq = find_byte(pair, '=');
        struct pbr_form_pair *p = &f->pairs[f->nr++];
        p->key = decode_to(pbr_span_sub(pair, 0, eq), &at);
        p->value = decode_to(pbr_span_sub(pair, eq + 1, pair.len), &at);
    }
    return PBR_OK;
}

void pbr_form_release(struct pbr_form *f)
{
    if (!f->env)
        return;
    pbr_free(f->env, f->pairs);
    pbr_free(f->env, f->text);
    *f = (struct pbr_form){ .env = f->env };
}

static int put_form_text(struct pbr_buf *out, struct pbr_span in)
{
    for (size_t i = 0; i < in.len; i++) {
        const uint8_t c = in.ptr[i];
        int rc;
        if (is_alnum(c) || c == '*' || c == '-' || c == '.' || c == '_')
            rc = pbr_buf_append_u8(out, c);
        else if (c == ' ')
            rc = pbr_buf_append_u8(out, '+');
        else
            rc = put_percent(out, c);
        if (rc < 0)
            return rc;
    }
    return PBR_OK;
}

int pbr_form_put(struct pbr_buf *out, size_t base, const char *key, struct pbr_span value)
{
    int rc = out->len > base ? pbr_buf_append_u8(out, '&') : PBR_OK;
    if (rc == PBR_OK)
        rc = put_form_text(out, pbr_span_str(key));
    if (rc == PBR_OK)
        rc = pbr_buf_append_u8(out, '=');
    if (rc == PBR_OK)
        rc = put_form_text(out, value);
    return rc;
}

int pbr_form_put_str(struct pbr_buf *out, size_t base, const char *key, const char *value)
{
    return pbr_form_put(out, base, key, pbr_span_str(value));
}

int pbr_form_put_u64(struct pbr_buf *out, size_t base, const char *key, uint64_t value)
{
    int rc = out->len > base ? pbr_buf_append_u8(out, '&') : PBR_OK;
    if (rc == PBR_OK)
        rc = put_form_text(out, pbr_span_str(key));
    if (rc == PBR_OK)
        rc = pbr_buf_printf(out, "=%" PRIu64, value);
    return rc;
}

/* Length of the sequence at in[i], 0 if there is none. */
static size_t utf8_len(struct pbr_span in, size_t i)
{
    const uint8_t c = in.ptr[i];
    const size_t n = c < 0x80                ? 1
                     : c >= 0xc2 && c < 0xe0 ? 2
                     : c >= 0xe0 && c < 0xf0 ? 3
                     : c >= 0xf0 && c < 0xf5 ? 4
                                             : 0;

    if (n == 0 || n > in.len - i)
        return 0;
    for (size_t k = 1; k < n; k++)
        if ((in.ptr[i + k] & 0xc0) != 0x80)
            return 0;
    if (n < 3)
        return n;
    const uint8_t d = in.ptr[i + 1];
    const bool bad = (c == 0xe0 && d < 0xa0) || (c == 0xed && d >= 0xa0) ||
                     (c == 0xf0 && d < 0x90) ||
                     (c == 0xf4 && d >= 0x90); /* overlong, surrogates, beyond U+10FFFF */
    return bad ? 0 : n;
}

bool pbr_utf8_valid(struct pbr_span in, size_t *ret_at)
{
    for (size_t i = 0; i < in.len;) {
        const size_t n = utf8_len(in, i);
        if (n == 0) {
            if (ret_at)
                *ret_at = i;
            return false;
        }
        i += n;
    }
    return true;
}

static int illegal_path(struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_FORMAT, "API-002", "path contains illegal components");
}

int pbr_path_parse(struct pbr_path *p, struct pbr_span in, struct pbr_diag *diag)
{
    struct pbr_path path;
    size_t used = 0;

    path.nr = 0;
    while (in.len > 0) {
        const struct pbr_span part = pbr_span_sub(in, 0, find_byte(in, '/'));
        in = pbr_span_sub(in, part.len + 1, in.len);
        if (part.len == 0)
            continue;
        if (path.nr == PBR_PATH_PARTS_MAX || part.len >= sizeof(path.text) - used)
            return pbr_fail_at(diag, PBR_E_LIMIT, "API-002", "path is too long");
        char *const start = path.text + used;
        for (size_t i = 0; i < part.len;) {
            const uint8_t c = take_decoded(part, &i, false);
            if (c == 0)
                return illegal_path(diag);
            path.text[used++] = (char)c;
        }
        path.text[used++] = '\0';
        if (start[0] == '.')
            return illegal_path(diag);
        path.part[path.nr++] = start;
    }

    memcpy(p->text, path.text, used);
    for (size_t i = 0; i < path.nr; i++)
        p->part[i] = p->text + (path.part[i] - path.text);
    p->nr = path.nr;
    return PBR_OK;
}
