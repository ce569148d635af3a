/* SPDX-License-Identifier: MIT */
/* Query strings as the field's clients send them [API-005]; see api.h. */
#include <stdlib.h>
#include <string.h>

#include "client/api.h"

static int emit_encoded(struct pbr_buf *out, const char *text)
{
    int rc = PBR_OK;
    for (; *text && rc == PBR_OK; text++) {
        const unsigned char c = (unsigned char)*text;
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           strchr("*-._", c) != NULL;
        if (plain)
            rc = pbr_buf_append_u8(out, c);
        else if (c == ' ')
            rc = pbr_buf_append_u8(out, '+');
        else
            rc = pbr_buf_printf(out, "%%%02X", c);
    }
    return rc;
}

static int emit_pair(struct pbr_buf *out, const char *key, const json_t *value)
{
    int rc = out->len ? pbr_buf_append_u8(out, '&') : PBR_OK;
    if (rc == PBR_OK)
        rc = emit_encoded(out, key);
    if (rc == PBR_OK)
        rc = pbr_buf_append_u8(out, '=');
    if (rc < 0)
        return rc;
    if (json_is_string(value))
        return emit_encoded(out, json_string_value(value));
    if (json_is_integer(value))
        return pbr_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_boolean(value))
        return pbr_buf_append(out, pbr_span_str(json_is_true(value) ? "true" : "false"));
    return PBR_E_ARG;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int pbr_query_emit(json_t *params, struct pbr_buf *out)
{
    const char *keys[64];
    const char *key;
    json_t *value;
    size_t n = 0;
    struct pbr_buf query;
    pbr_buf_init(&query, out->env, out->max);
    json_object_foreach(params, key, value) {
        if (n == sizeof(keys) / sizeof(keys[0]))
            return PBR_E_LIMIT;
        keys[n++] = key;
    }
    qsort(keys, n, sizeof(keys[0]), by_name);
    int rc = PBR_OK;
    for (size_t i = 0; i < n && rc == PBR_OK; i++) {
        value = json_object_get(params, keys[i]);
        if (!json_is_array(value)) {
            rc = emit_pair(&query, keys[i], value);
            continue;
        }
        for (size_t k = 0; k < json_array_size(value) && rc == PBR_OK; k++)
            rc = emit_pair(&query, keys[i], json_array_get(value, k));
    }
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_buf_span(&query));
    pbr_buf_release(&query);
    return rc;
}
