/* SPDX-License-Identifier: MIT */
/* Views: objects and lists of objects on standard output; see view.h. */
#include "cli/view.h"

#include <stdio.h>
#include <string.h>

/* ---- values ---- */

json_t *pbr_view_u64(uint64_t value)
{
    return json_sprintf("%" PRIu64, value);
}

json_t *pbr_view_i64(int64_t value)
{
    return json_sprintf("%" PRId64, value);
}

static bool stands_for_itself(uint8_t c)
{
    return c >= 0x20 && c <= 0x7e && c != '\\';
}

static int append_escaped(struct pbr_buf *out, struct pbr_span name, bool (*plain)(uint8_t c), const char *prefix)
{
    int rc = PBR_OK;
    for (size_t i = 0; i < name.len && rc == PBR_OK; i++) {
        char hex[3];
        if (plain && plain(name.ptr[i])) {
            rc = pbr_buf_append_u8(out, name.ptr[i]);
            continue;
        }
        pbr_format_hex(name.ptr + i, 1, hex);
        rc = pbr_buf_append(out, pbr_span_str(prefix));
        if (rc == PBR_OK)
            rc = pbr_buf_append(out, pbr_span(hex, 2));
    }
    return rc;
}

static json_t *escaped(const struct pbr_env *env, struct pbr_span bytes, bool (*plain)(uint8_t c), const char *prefix)
{
    struct pbr_buf text;
    pbr_buf_init(&text, env, 4 * bytes.len + 1);
    json_t *value = append_escaped(&text, bytes, plain, prefix) == PBR_OK ? json_stringn((const char *)text.ptr, text.len) : NULL;
    if (!bytes.len)
        value = json_string("");
    pbr_buf_release(&text);
    return value;
}

json_t *pbr_view_name(const struct pbr_env *env, struct pbr_span name)
{
    return escaped(env, name, stands_for_itself, "\\x");
}

json_t *pbr_view_hex(struct pbr_span bytes)
{
    enum { PIECE = 64 };
    char hex[2 * PIECE + 1] = "";
    json_t *value = json_string("");
    for (size_t at = 0; at < bytes.len && value; at += PIECE) {
        const struct pbr_span piece = pbr_span_sub(bytes, at, PIECE);
        pbr_format_hex(piece.ptr, piece.len, hex);
        json_t *longer = json_sprintf("%s%s", json_string_value(value), hex);
        json_decref(value);
        value = longer;
    }
    return value;
}

/* ---- output ---- */

void pbr_view_begin(struct pbr_view *v, enum pbr_format format)
{
    *v = (struct pbr_view){ .text = format == PBR_FORMAT_TEXT };
    if (!v->text)
        (void)printf("{");
}

void pbr_view_end(struct pbr_view *v)
{
    (void)printf(v->text ? "" : "}\n");
}

static int dump(const json_t *value, struct pbr_diag *diag)
{
    if (json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        return pbr_fail_at(diag, PBR_E_IO, NULL, "cannot write to standard output");
    return PBR_OK;
}

/* Strings without quotes, everything else as JSON. */
static int put_value(const struct pbr_view *v, const json_t *value, struct pbr_diag *diag)
{
    if (!v->text || !json_is_string(value))
        return dump(value, diag);
    (void)printf("%s", json_string_value(value));
    return PBR_OK;
}

static void name_member(struct pbr_view *v, const char *name)
{
    if (v->text)
        (void)printf("%s: ", name);
    else
        (void)printf("%s\"%s\":", v->begun ? "," : "", name);
    v->begun = true;
}

int pbr_view_member(struct pbr_view *v, const char *name, json_t *value, struct pbr_diag *diag)
{
    if (!value)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the output");
    name_member(v, name);
    const int rc = put_value(v, value, diag);
    if (v->text)
        (void)printf("\n");
    json_decref(value);
    return rc;
}

void pbr_view_list(struct pbr_view *v, const char *name)
{
    name_member(v, name);
    (void)printf(v->text ? "\n" : "[");
    v->listed = false;
}

/* Text: the members of an object on one line. */
static int put_line(const struct pbr_view *v, const json_t *value, struct pbr_diag *diag)
{
    const char *name;
    const json_t *member;
    int rc = PBR_OK;
    (void)printf(" ");
    if (!json_is_object(value)) {
        (void)printf(" ");
        return put_value(v, value, diag);
    }
    for (void *it = json_object_iter((json_t *)(uintptr_t)value); it && rc == PBR_OK;
         it = json_object_iter_next((json_t *)(uintptr_t)value, it)) {
        name = json_object_iter_key(it);
        member = json_object_iter_value(it);
        (void)printf(" %s=", name);
        rc = put_value(v, member, diag);
    }
    return rc;
}

int pbr_view_item(struct pbr_view *v, json_t *value, struct pbr_diag *diag)
{
    int rc;
    if (!value)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the output");
    if (v->text) {
        rc = put_line(v, value, diag);
        (void)printf("\n");
    } else {
        (void)printf(v->listed ? ",\n" : "\n");
        rc = dump(value, diag);
    }
    v->listed = true;
    json_decref(value);
    return rc;
}

void pbr_view_list_end(struct pbr_view *v)
{
    (void)printf(v->text ? "" : "]");
}
