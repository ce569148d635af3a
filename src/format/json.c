/* SPDX-License-Identifier: MIT */
/* JSON text: parsing with bounded depth, the canonical form that is signed [MAN-040 .. MAN-043],
 * and the pretty form of manifests [MAN-024]. Values themselves are jansson's; its allocator is not
 * the env's.
 *
 * jansson parses recursively, so the depth is bounded before it sees the text; printing uses an
 * explicit stack. Thread: an object is not shared. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "format/manifest.h"

/* ---- parse ---- */

/* Deepest nesting of arrays and objects; brackets inside strings do not count. */
static size_t depth_of(struct pbr_span text)
{
    size_t depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = text.ptr[i];
        if (in_string) {
            i += c == '\\'; /* whatever is escaped is no end */
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

int pbr_json_parse(struct pbr_span text, json_t **ret, struct pbr_diag *diag)
{
    json_error_t error = { 0 }; /* jansson leaves it alone when memory runs out */
    if (depth_of(text) > PBR_JSON_DEPTH_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, "MAN-003", "JSON nested deeper than %d levels",
                           (int)PBR_JSON_DEPTH_MAX);
    json_t *value = json_loadb(text.len ? (const char *)text.ptr : "", text.len,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!value) {
        const enum json_error_code why = json_error_code(&error);
        /* out of memory, the parser mostly leaves no text at all */
        if (why == json_error_out_of_memory || error.text[0] == 0)
            return PBR_E_NOMEM;
        return pbr_fail(
            diag, why == json_error_premature_end_of_input ? PBR_E_TRUNCATED : PBR_E_FORMAT,
            "MAN-021", error.position > 0 ? (uint64_t)error.position : 0, "%s", error.text);
    }
    *ret = value;
    return PBR_OK;
}

/* ---- emit ---- */

/* An array or object that is being printed. */
struct level {
    const json_t *value;
    const char **names; /* objects: members in order; owned */
    size_t at, nr;
};

struct printer {
    struct pbr_buf *out;
    struct pbr_diag *diag;
    bool pretty;
    struct level level[PBR_JSON_DEPTH_MAX];
    size_t depth;
};

static int put(struct printer *p, const char *text)
{
    return pbr_buf_append(p->out, pbr_span_str(text));
}

/* What stands for a character that must be escaped [MAN-043]; `room` is for those without a short
 * form. */
static const char *escape(uint8_t c, char room[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\t':
        return "\\t";
    case '\n':
        return "\\n";
    case '\f':
        return "\\f";
    case '\r':
        return "\\r";
    default:
        memcpy(room, "\\u00", 4);
        pbr_format_hex(&c, 1, room + 4);
        return room;
    }
}

int pbr_json_quote(struct pbr_span text, struct pbr_buf *out)
{
    char room[8];
    size_t from = 0;
    int rc = pbr_buf_append_u8(out, '"');
    for (size_t i = 0; rc == PBR_OK && i < text.len; i++) {
        const uint8_t c = text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        rc = pbr_buf_append(out, pbr_span_sub(text, from, i - from));
        if (rc == PBR_OK)
            rc = pbr_buf_append(out, pbr_span_str(escape(c, room)));
        from = i + 1;
    }
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_span_sub(text, from, text.len - from));
    return rc == PBR_OK ? pbr_buf_append_u8(out, '"') : rc;
}

static int put_real(struct printer *p, const json_t *value)
{
    char text[64];
    if (!p->pretty)
        return pbr_fail_at(p->diag, PBR_E_FORMAT, "MAN-042",
                           "number with a fraction in signed JSON");
    const size_t n =
        json_dumpb(value, text, sizeof(text), JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (n == 0 || n > sizeof(text))
        return PBR_E_NOMEM;
    return pbr_buf_append(p->out, pbr_span(text, n));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of an object's members in order of their bytes [MAN-040]. */
static int sort_names(struct printer *p, struct level *l)
{
    const char *name;
    json_t *value;
    size_t i = 0;
    l->names = pbr_alloc(p->out->env, l->nr, sizeof(*l->names));
    if (!l->names)
        return PBR_E_NOMEM;
    json_object_foreach((json_t *)(uintptr_t)l->value, name, value) l->names[i++] = name;
    qsort(l->names, l->nr, sizeof(*l->names), compare_names);
    return PBR_OK;
}

/* Opens an array or object; an empty one is done with at once. */
static int open_level(struct printer *p, const json_t *value)
{
    const bool object = json_is_object(value);
    struct level l = { .value = value,
                       .nr = object ? json_object_size(value) : json_array_size(value) };
    if (l.nr == 0)
        return put(p, object ? "{}" : "[]");
    if (p->depth == PBR_JSON_DEPTH_MAX)
        return pbr_fail_at(p->diag, PBR_E_LIMIT, "MAN-003", "JSON nested deeper than %d levels",
                           (int)PBR_JSON_DEPTH_MAX);
    int rc = object ? sort_names(p, &l) : PBR_OK;
    if (rc < 0)
        return rc;
    p->level[p->depth++] = l;
    return put(p, object ? "{" : "[");
}

static int put_value(struct printer *p, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return open_level(p, value);
    case JSON_STRING:
        return pbr_json_quote(pbr_span(json_string_value(value), json_string_length(value)),
                              p->out);
    case JSON_INTEGER:
        return pbr_buf_printf(p->out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return put_real(p, value);
    case JSON_TRUE:
        return put(p, "true");
    case JSON_FALSE:
        return put(p, "false");
    case JSON_NULL:
        if (!p->pretty)
            return pbr_fail_at(p->diag, PBR_E_FORMAT, "MAN-041", "null in signed JSON");
        return put(p, "null");
    }
    return PBR_E_ARG;
}

/* New line and two spaces for each open level [MAN-024]. */
static int put_break(struct printer *p)
{
    int rc = p->pretty ? put(p, "\n") : PBR_OK;
    for (size_t i = 0; p->pretty && rc == PBR_OK && i < p->depth; i++)
        rc = put(p, "  ");
    return rc;
}

static int close_level(struct printer *p)
{
    struct level *l = &p->level[--p->depth];
    pbr_free(p->out->env, l->names);
    const int rc = put_break(p);
    return rc == PBR_OK ? put(p, json_is_object(l->value) ? "}" : "]") : rc;
}

/* The next element or member of the innermost level, or its end. */
static int step(struct printer *p)
{
    struct level *l = &p->level[p->depth - 1];
    if (l->at == l->nr)
        return close_level(p);
    const size_t i = l->at++;
    int rc = i ? put(p, ",") : PBR_OK;
    if (rc == PBR_OK)
        rc = put_break(p);
    if (rc < 0 || !l->names)
        return rc < 0 ? rc : put_value(p, json_array_get(l->value, i));
    rc = pbr_json_quote(pbr_span_str(l->names[i]), p->out);
    if (rc == PBR_OK)
        rc = put(p, p->pretty ? ": " : ":");
    return rc == PBR_OK ? put_value(p, json_object_get(l->value, l->names[i])) : rc;
}

static int print(const json_t *value, bool pretty, struct pbr_buf *out, struct pbr_diag *diag)
{
    const size_t before = out->len;
    struct printer p;
    p.out = out;
    p.diag = diag;
    p.pretty = pretty;
    p.depth = 0;
    int rc = put_value(&p, value);
    while (rc == PBR_OK && p.depth > 0)
        rc = step(&p);
    while (p.depth > 0)
        pbr_free(out->env, p.level[--p.depth].names);
    if (rc < 0)
        out->len = before;
    return rc;
}

int pbr_json_canonical(const json_t *value, struct pbr_buf *out, struct pbr_diag *diag)
{
    return print(value, false, out, diag);
}

int pbr_json_pretty(const json_t *value, struct pbr_buf *out)
{
    return print(value, true, out, NULL);
}

void pbr_json_text_free(char *text)
{
    json_free_t give_back;
    if (!text)
        return;
    pbr_wipe(text, strlen(text));
    json_get_alloc_funcs(NULL, &give_back);
    give_back(text);
}
