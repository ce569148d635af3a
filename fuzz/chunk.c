/* SPDX-License-Identifier: MIT */
/* Cut points. Input: byte 0 log2 of avg / 256 (mod 4); byte 1 how often the content stands there (1 + mod 16); bytes 2, 3
 * reserved; then the content.
 *
 * Reaches: pbr_cut_init, _push, _scan, _reset (cut.c), every kernel that this processor has (find.c).
 * Asserts: with every kernel and however the input is split, the cuts are those of the definition (spec/chunker.md,
 * section 3), where the hash rolls through every byte. */
#include "fuzz.h"

#include "chunk/cut.h"
#include "chunk/find_int.h"

enum { HEAD = 4, CONTENT_MAX = 1 << 14 };

/* Size of the chunk that begins at p, or 0 if it goes on behind len: the pseudo code of the spec. */
static size_t slow_cut(uint64_t avg, const uint8_t *p, size_t len)
{
    const uint32_t mask = (uint32_t)(2 * avg - 1), limit = mask - 2;
    uint32_t h = 0;
    for (size_t i = 0; i < len; i++) {
        h = h << 1 | h >> 31;
        h ^= pbr_find_table[p[i]];
        if (i < PBR_CHUNK_WINDOW)
            continue;
        h ^= pbr_find_table[p[i - PBR_CHUNK_WINDOW]];
        const size_t size = i + 1;
        if (size >= 4 * avg || (size >= avg / 4 && (h & mask) >= limit))
            return size;
    }
    return 0;
}

static void check_push(struct pbr_cut *c, uint64_t avg, struct pbr_span in, enum fuzz_split how)
{
    uint64_t state = in.len;
    size_t begin = 0, at = 0; /* of the open chunk; pushed so far */
    size_t want = slow_cut(avg, in.ptr, in.len);
    pbr_cut_reset(c);
    while (at < in.len) {
        size_t left = fuzz_piece(how, &state, in.len - at);
        while (left > 0) {
            const size_t n = pbr_cut_push(c, pbr_span_sub(in, at, left));
            MUST(n <= left);
            if (n == 0) {
                MUST(want == 0 || at + left - begin < want);
                at += left;
                break;
            }
            at += n;
            left -= n;
            MUST(at - begin == want);
            begin = at;
            want = slow_cut(avg, in.ptr + begin, in.len - begin);
        }
    }
    MUST(want == 0);
}

static void check_scan(const struct pbr_cut *c, uint64_t avg, struct pbr_span in)
{
    uint64_t state = in.len;
    for (size_t begin = 0, want; begin < in.len; begin += want) {
        const size_t left = in.len - begin;
        size_t scanned = 0, got = 0, have = 0;
        want = slow_cut(avg, in.ptr + begin, left);
        while (got == 0 && have < left) {
            have += fuzz_piece(FUZZ_RANDOM, &state, left - have) * 8;
            have = have < left ? have : left;
            got = pbr_cut_scan(c, in.ptr + begin, scanned, have);
            MUST(got == 0 || (got > scanned && got <= have));
            scanned = have;
        }
        MUST(got == want);
        if (want == 0)
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < HEAD)
        return 0;
    const uint64_t avg = UINT64_C(256) << data[0] % 4;
    const size_t part = len - HEAD, times = 1 + data[1] % 16;
    struct pbr_buf in;
    pbr_buf_init(&in, &fuzz_env, CONTENT_MAX);
    for (size_t i = 0; i < times && part <= CONTENT_MAX - in.len; i++)
        MUST(pbr_buf_append(&in, pbr_span(data + HEAD, part)) == PBR_OK);
    for (enum pbr_find_level level = PBR_FIND_PORTABLE; level <= PBR_FIND_AVX512; level++) {
        struct pbr_cut c;
        if (pbr_cut_init(&c, avg, level, NULL) < 0)
            continue; /* not on this processor */
        for (enum fuzz_split how = FUZZ_WHOLE; how < FUZZ_SPLITS; how++)
            check_push(&c, avg, pbr_buf_span(&in), how);
        check_scan(&c, avg, pbr_buf_span(&in));
    }
    pbr_buf_release(&in);
    return 0;
}
