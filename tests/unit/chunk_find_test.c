/* SPDX-License-Identifier: MIT */
/* covers: CHK-001 CHK-005 CHK-006 CHK-009 CHK-020 CHK-023 CHK-024 CHK-026 CHK-027 CHK-031 CHK-051 */
#include <sys/mman.h>
#include <unistd.h>

#include "chunk/find_int.h"
#include "chunk_data.h"
#include "prim/prim.h"

static void test_table_is_the_published_one(void **state)
{
    (void)state;
    json_t *root = chunk_vectors("spec/vectors/buzhash-table.json");
    const json_t *table = json_object_get(root, "table_hex");
    uint8_t bytes[1024], digest[PBR_DIGEST_LEN];
    char hex[65];

    check_int(json_array_size(table), 256);
    for (size_t i = 0; i < 256; i++) {
        check_u64(pbr_find_table[i], strtoul(json_string_value(json_array_get(table, i)), NULL, 16));
        pbr_put_u32le(bytes + 4 * i, pbr_find_table[i]);
    }
    check_int(pbr_sha256(pbr_span(bytes, sizeof(bytes)), pbr_span(NULL, 0), digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), hex);
    check_str(hex, "5b52080d38287da9d2e278466e3e0db7ec98e5e8b226f50612a56fa012b1f660");
    check_u64(pbr_find_table[0xff], 0xd95ddf11);
    json_decref(root);
}

static void test_hash_of_a_full_window_matches_the_trace(void **state)
{
    (void)state;
    json_t *root = chunk_vectors("spec/vectors/chunker.json");
    const json_t *trace = json_object_get(root, "hash_trace");
    const struct pbr_span in = chunk_input(json_object_get(trace, "input"));
    const json_t *values = json_object_get(trace, "h");
    size_t checked = 0;

    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *pair = json_array_get(values, i);
        const size_t n = (size_t)json_integer_value(json_array_get(pair, 0));
        const uint32_t want = (uint32_t)strtoul(json_string_value(json_array_get(pair, 1)), NULL, 16);
        uint32_t h = 0; /* the fill phase and the roll phase, byte by byte */
        for (size_t k = 0; k < n; k++)
            h = pbr_find_rotl1(h) ^ pbr_find_table[in.ptr[k]] ^ (k >= 64 ? pbr_find_table[in.ptr[k - 64]] : 0);
        check_u64(h, want);
        if (n >= PBR_CHUNK_WINDOW) {
            check_u64(pbr_find_hash(in.ptr + n), want);
            checked++;
        }
    }
    check_int(checked, 5);
    test_unload(in);
    json_decref(root);
}

static void test_average_must_be_a_power_of_two_within_bounds(void **state)
{
    (void)state;
    static const uint64_t refused[] = { 0, 1, 128, 255, 257, 65535, 65537, 3u << 20, UINT64_MAX };
    static const uint64_t accepted[] = { 256, 65536, 524288, 4194304 };
    struct pbr_find f = { .mask = 77 };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        check_fail(pbr_find_init(&f, refused[i], PBR_FIND_AUTO, diag), PBR_E_ARG, "CHK-001");
    check_fail(pbr_find_init(&f, 8388608, PBR_FIND_AUTO, diag), PBR_E_ARG, "CHK-009");
    check_u64(f.mask, 77);
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        check_int(pbr_find_init(&f, accepted[i], PBR_FIND_PORTABLE, NULL), PBR_OK);
        check_u64(f.mask, 2 * accepted[i] - 1);
        check_u64(f.limit, 2 * accepted[i] - 3);
        check_int(f.level, PBR_FIND_PORTABLE);
    }
}

static void test_level_names_parse_back(void **state)
{
    (void)state;
    for (int i = PBR_FIND_AUTO; i <= PBR_FIND_AVX512; i++) {
        enum pbr_find_level level = PBR_FIND_AUTO;
        check(pbr_find_level_parse(pbr_span_str(pbr_find_level_name((enum pbr_find_level)i)), &level));
        check_int(level, i);
    }
    enum pbr_find_level level = PBR_FIND_AVX2;
    check(!pbr_find_level_parse(pbr_span_str("avx"), &level));
    check_int(level, PBR_FIND_AVX2);
}

/* ---- kernels against the definition ---- */

static uint32_t hash_by_definition(const uint8_t *last) /* the sum of CHK-026 */
{
    uint32_t h = 0;
    for (unsigned k = 0; k < 64; k++) {
        const uint32_t t = pbr_find_table[last[-(int)k]];
        h ^= k % 32 ? t << k % 32 | t >> (32 - k % 32) : t;
    }
    return h;
}

static bool is_candidate(uint32_t h, uint64_t avg)
{
    const uint64_t low = h % (2 * avg); /* one of the three values of CHK-031 */
    return low == 2 * avg - 3 || low == 2 * avg - 2 || low == 2 * avg - 1;
}

static size_t find_by_definition(uint64_t avg, const uint8_t *p, size_t from, size_t to)
{
    for (size_t e = from; e < to; e++) {
        if (is_candidate(hash_by_definition(p + e), avg))
            return e;
    }
    return to;
}

/* Memory whose first and last byte touch unreadable pages. */
struct guarded {
    uint8_t *map;
    size_t map_len, page;
    uint8_t *end;
};

static struct guarded guarded_new(size_t len)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (len + page - 1) / page * page;
    struct guarded g = { .map_len = room + 2 * page, .page = page };
    g.map = mmap(NULL, g.map_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(g.map, MAP_FAILED);
    assert_int_equal(mprotect(g.map + page, room, PROT_READ | PROT_WRITE), 0);
    g.end = g.map + page + room;
    return g;
}

/* The last test of a range reads its last byte and nothing behind, the first one nothing before from - 64. */
static void test_only_the_window_and_the_range_are_read(void **state)
{
    (void)state;
    struct guarded g = guarded_new(4096);
    const size_t page = g.page;
    struct pbr_find f;
    check_int(pbr_find_init(&f, 256, PBR_FIND_PORTABLE, NULL), PBR_OK);
    uint8_t *const first = g.map + page;
    fill_splitmix64(first, (size_t)(g.end - first), 7);

    for (size_t len = 65; len <= (size_t)(g.end - first); len += 1 + len / 8) {
        const uint8_t *at_end = g.end - len;
        check_u64(pbr_find_candidate(&f, at_end, 64, len), find_by_definition(256, at_end, 64, len));
        check_u64(pbr_find_candidate(&f, first, 64, len), find_by_definition(256, first, 64, len));
    }
    check_u64(pbr_find_candidate(&f, first - 36, 100, 101), find_by_definition(256, first - 36, 100, 101));
    munmap(g.map, g.map_len);
}

static void test_an_empty_range_has_no_candidate_and_reads_nothing(void **state)
{
    (void)state;
    struct guarded g = guarded_new(64);
    struct pbr_find f;
    check_int(pbr_find_init(&f, 256, PBR_FIND_AUTO, NULL), PBR_OK);
    check_u64(pbr_find_candidate(&f, g.map, 64, 64), 64);
    check_u64(pbr_find_candidate(&f, g.map, 65, 64), 64);
    munmap(g.map, g.map_len);
}

static void test_every_candidate_of_random_data_is_found_at_every_alignment(void **state)
{
    (void)state;
    static const uint64_t avgs[] = { 256, 4096, 65536 };
    uint64_t seed = test_seed(11);
    enum { LEN = 1 << 17 };
    uint8_t *data = malloc(LEN + 64);
    assert_non_null(data);
    fill_splitmix64(data, LEN + 64, seed);

    for (size_t a = 0; a < sizeof(avgs) / sizeof(avgs[0]); a++) {
        struct pbr_find f;
        size_t found_nr = 0;
        check_int(pbr_find_init(&f, avgs[a], PBR_FIND_PORTABLE, NULL), PBR_OK);
        for (size_t pos = 64; pos < LEN;) {
            const size_t want = find_by_definition(avgs[a], data, pos, LEN);
            check_u64(pbr_find_candidate(&f, data, pos, LEN), want);
            if (want < LEN) { /* the last byte of a range counts, the one behind it does not */
                found_nr++;
                check_u64(pbr_find_candidate(&f, data, pos, want + 1), want);
                check_u64(pbr_find_candidate(&f, data, pos, want), want);
                check_u64(pbr_find_candidate(&f, data, want, LEN), want);
            }
            pos = want + 1;
        }
        check(found_nr >= 1 || avgs[a] > 4096);
    }
    free(data);
}

static void test_periods_that_divide_32_never_give_a_candidate(void **state)
{
    (void)state;
    uint8_t data[4096];
    for (size_t period = 1; period <= 32; period *= 2) {
        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = (uint8_t)(i % period * 41 + 3);
        check_u64(pbr_find_hash(data + 64), 0);
        struct pbr_find f;
        check_int(pbr_find_init(&f, 256, PBR_FIND_AUTO, NULL), PBR_OK);
        check_u64(pbr_find_candidate(&f, data, 64, sizeof(data)), sizeof(data));
    }
}

/* Windows are searched whose hash ends in ...00 (rejected), 01, 10, 11 (accepted) with all other mask bits one. */
static void test_exactly_three_hash_values_are_candidates(void **state)
{
    (void)state;
    uint64_t seed = test_seed(5);
    struct pbr_find f;
    check_int(pbr_find_init(&f, 4096, PBR_FIND_PORTABLE, NULL), PBR_OK);
    unsigned seen = 0;
    uint8_t p[128];

    fill_splitmix64(p, sizeof(p), seed);
    for (unsigned long n = 0; n < 2000000 && seen != 15; n++) {
        const uint64_t word = test_next_random(&seed);
        pbr_put_u32le(p + 60, (uint32_t)word);
        pbr_put_u32le(p + 64, (uint32_t)(word >> 32));
        const uint32_t low = pbr_find_hash(p + 68) & f.mask;
        if (low < f.mask - 3)
            continue;
        seen |= 1u << (low - (f.mask - 3));
        check_u64(pbr_find_candidate(&f, p, 67, 68), low == f.mask - 3 ? 68 : 67);
    }
    check_int(seen, 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_the_published_one),
        cmocka_unit_test(test_hash_of_a_full_window_matches_the_trace),
        cmocka_unit_test(test_average_must_be_a_power_of_two_within_bounds),
        cmocka_unit_test(test_level_names_parse_back),
        cmocka_unit_test(test_only_the_window_and_the_range_are_read),
        cmocka_unit_test(test_an_empty_range_has_no_candidate_and_reads_nothing),
        cmocka_unit_test(test_every_candidate_of_random_data_is_found_at_every_alignment),
        cmocka_unit_test(test_periods_that_divide_32_never_give_a_candidate),
        cmocka_unit_test(test_exactly_three_hash_values_are_candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
