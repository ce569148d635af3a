/* SPDX-License-Identifier: MIT */
/* Seeded data for the chunker's tests: the input segments of spec/vectors/chunker.json. */
#ifndef PBR_TEST_CHUNK_DATA_H
#define PBR_TEST_CHUNK_DATA_H

#include <jansson.h>

#include "test.h"

static inline void fill_splitmix64(uint8_t *out, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i += 8) {
        uint8_t word[8];
        pbr_put_u64le(word, test_next_random(&seed));
        memcpy(out + i, word, len - i < 8 ? len - i : 8);
    }
}

static inline void fill_segment(uint8_t *out, size_t len, const char *kind, uint64_t arg)
{
    if (strcmp(kind, "splitmix64") == 0) {
        fill_splitmix64(out, len, arg);
    } else if (strcmp(kind, "byte") == 0) {
        memset(out, (int)arg, len);
    } else if (strcmp(kind, "mod") == 0) {
        for (size_t i = 0; i < len; i++)
            out[i] = (uint8_t)(i % arg);
    } else if (strcmp(kind, "counter32") == 0) {
        for (size_t i = 0; i < len; i++)
            out[i] = (uint8_t)((uint32_t)(arg + i / 4) >> 8 * (i % 4));
    } else {
        fail_msg("unknown segment kind %s", kind);
    }
}

/* One `kind:arg:len`; the kind is cut off in place. */
static inline size_t segment_parse(char *text, uint64_t *ret_arg)
{
    char *const arg = strchr(text, ':');
    assert_non_null(arg);
    *arg = 0;
    char *len;
    *ret_arg = strtoull(arg + 1, &len, 0);
    assert_int_equal(*len, ':');
    return strtoull(len + 1, NULL, 0);
}

/* All segments of a vector's "input"; the caller frees it with test_unload. */
static inline struct pbr_span chunk_input(const json_t *segments)
{
    uint8_t *out = NULL;
    size_t len = 0;
    for (size_t i = 0; i < json_array_size(segments); i++) {
        char text[100];
        snprintf(text, sizeof(text), "%s", json_string_value(json_array_get(segments, i)));
        uint64_t arg;
        const size_t n = segment_parse(text, &arg);
        out = realloc(out, len + n + 1);
        assert_non_null(out);
        fill_segment(out + len, n, text, arg);
        len += n;
    }
    return pbr_span(out, len);
}

static inline json_t *chunk_vectors(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        fail_msg("%s: %s", path, error.text);
    return root;
}

static inline uint64_t json_u64(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

#endif
