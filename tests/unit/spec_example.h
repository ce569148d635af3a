/* SPDX-License-Identifier: MIT */
/* Blocks of bytes in the sheets of spec/: fenced as ```hex name=NAME; each line has its position in hex, the bytes, and
 * after ';' words for people. `00*4032` stands for that many equal bytes. */
#ifndef PBR_TEST_SPEC_EXAMPLE_H
#define PBR_TEST_SPEC_EXAMPLE_H

#include "test.h"

/* The lines of block `name`, between its fences; not owned. */
static inline struct pbr_span example_text(struct pbr_span sheet, const char *name)
{
    char fence[96];
    (void)snprintf(fence, sizeof(fence), "```hex name=%s\n", name);
    const char *all = (const char *)sheet.ptr;
    const char *start = memmem(all, sheet.len, fence, strlen(fence));
    if (!start)
        print_error("no block %s\n", name);
    assert_non_null(start);
    start += strlen(fence);
    const char *end = memmem(start, sheet.len - (size_t)(start - all), "```", 3);
    assert_non_null(end);
    while (end[-1] == ' ')
        end--; /* the closing fence may be indented */
    return pbr_span(start, (size_t)(end - start));
}

/* Appends one word: hex digits, or BYTE*COUNT. */
static inline void example_word(struct pbr_buf *out, const char *word, size_t len)
{
    uint8_t bytes[64];
    const char *star = memchr(word, '*', len);
    const size_t digits = star ? (size_t)(star - word) : len;
    check(digits % 2 == 0 && digits / 2 <= sizeof(bytes));
    check(pbr_parse_hex(pbr_span(word, digits), bytes, digits / 2));
    uint64_t times = 1;
    if (star)
        check(pbr_parse_u64(pbr_span(star + 1, len - digits - 1), 1, 1 << 20, &times));
    for (uint64_t i = 0; i < times; i++)
        check_int(pbr_buf_append(out, pbr_span(bytes, digits / 2)), PBR_OK);
}

/* The bytes of block `name` of spec/<sheet>; test_unload frees them. A wrong position fails the test. */
static inline struct pbr_span example_load(const char *sheet, const char *name)
{
    char path[96];
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf out;
    pbr_buf_init(&out, &env, 1 << 20);
    (void)snprintf(path, sizeof(path), "spec/%s", sheet);
    struct pbr_span file = test_load(path);
    const struct pbr_span text = example_text(file, name);
    const char *p = (const char *)text.ptr, *const end = p + text.len;
    const uint64_t start = strtoull(p, NULL, 16); /* a block may be a later part of something */
    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        const char *stop = memchr(p, ';', (size_t)(line_end - p));
        bool first = true;
        for (stop = stop ? stop : line_end; p < stop; p += strspn(p, " ")) {
            const size_t len = strcspn(p, " ;\n");
            if (len > 0 && first)
                check_u64(strtoull(p, NULL, 16), start + pbr_buf_span(&out).len);
            else if (len > 0)
                example_word(&out, p, len);
            first = first && len == 0;
            p += len;
        }
        p = line_end + 1;
    }
    test_unload(file);
    size_t len = 0;
    uint8_t *bytes = pbr_buf_steal(&out, &len);
    check(len > 0);
    return pbr_span(bytes, len);
}

#endif
