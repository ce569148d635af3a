/* SPDX-License-Identifier: MIT */
/* The files of spec/vectors/ for C tests: JSON members as C values. A missing member fails the
 * test. */
#ifndef PBR_TEST_VECTOR_H
#define PBR_TEST_VECTOR_H

#include <jansson.h>

#include "test.h"

/* spec/vectors/<name>.json; the caller does json_decref. */
static inline json_t *vector_load(const char *name)
{
    char path[64];
    json_error_t error;
    (void)snprintf(path, sizeof(path), "spec/vectors/%s.json", name);
    json_t *top = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!top)
        print_error("%s: %s\n", path, error.text);
    assert_non_null(top);
    return top;
}

static inline const json_t *vector_member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        print_error("vector without member %s\n", name);
    assert_non_null(value);
    return value;
}

/* Text member, or NULL if it is missing or null. */
static inline const char *vector_text_or_null(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static inline const char *vector_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(vector_member(object, name));
    assert_non_null(text);
    return text;
}

static inline uint64_t vector_u64(const json_t *object, const char *name)
{
    assert_true(json_is_integer(vector_member(object, name)));
    return (uint64_t)json_integer_value(vector_member(object, name));
}

/* Bytes of a hex text; test_unload frees them. */
static inline struct pbr_span vector_unhex(const char *text)
{
    const size_t len = strlen(text) / 2;
    uint8_t *bytes = malloc(len + 1);
    assert_non_null(bytes);
    assert_true(pbr_parse_hex(pbr_span_str(text), bytes, len));
    return pbr_span(bytes, len);
}

static inline struct pbr_span vector_hex(const json_t *object, const char *name)
{
    return vector_unhex(vector_text(object, name));
}

/* Exactly n bytes of hex into out. */
static inline void vector_hex_into(const json_t *object, const char *name, uint8_t *out, size_t n)
{
    assert_true(pbr_parse_hex(pbr_span_str(vector_text(object, name)), out, n));
}

#endif
