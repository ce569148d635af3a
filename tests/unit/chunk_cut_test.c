/* SPDX-License-Identifier: MIT */
/* covers: CHK-001 CHK-002 CHK-003 CHK-004 CHK-007 CHK-009 CHK-021 CHK-022 CHK-023 CHK-030 */
/* covers: CHK-031 CHK-032 CHK-033 CHK-034 CHK-040 CHK-041 CHK-042 CHK-043 CHK-044 CHK-045 CHK-050 */
/* covers: CHK-051 CHK-055 */
#include <sys/mman.h>
#include <unistd.h>

#include "chunk/cut.h"
#include "chunk_data.h"
#include "prim/prim.h"

static struct pbr_cut cut_new(uint64_t avg)
{
    struct pbr_cut c;
    check_int(pbr_cut_init(&c, avg, PBR_FIND_AUTO, NULL), PBR_OK);
    return c;
}

/* Every cut of `in` must be the next one of `ends`; the rest is the last chunk. */
static void check_pushed(struct pbr_cut *c, struct pbr_span in, size_t piece, const json_t *ends)
{
    size_t pos = 0, nr = 0, open = 0;
    while (pos < in.len) {
        const size_t cut = pbr_cut_push(c, pbr_span_sub(in, pos, piece));
        const size_t step = cut ? cut : in.len - pos < piece ? in.len - pos : piece;
        pos += step;
        open += step;
        if (cut) {
            check_u64(pos, (uint64_t)json_integer_value(json_array_get(ends, nr++)));
            open = 0;
        }
    }
    if (open)
        check_u64(pos, (uint64_t)json_integer_value(json_array_get(ends, nr++)));
    check_int(nr, json_array_size(ends));
}

static void check_scanned(const struct pbr_cut *c, struct pbr_span in, const json_t *ends)
{
    size_t start = 0, nr = 0;
    while (start < in.len) {
        size_t size = pbr_cut_scan(c, in.ptr + start, 0, in.len - start);
        if (size == 0)
            size = in.len - start;
        start += size;
        check_u64(start, (uint64_t)json_integer_value(json_array_get(ends, nr++)));
    }
    check_int(nr, json_array_size(ends));
}

static void check_vector(const json_t *v)
{
    const struct pbr_span in = chunk_input(json_object_get(v, "input"));
    const json_t *ends = json_object_get(v, "ends");
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[65];

    check_u64(in.len, json_u64(v, "size"));
    check_int(pbr_sha256(in, pbr_span(NULL, 0), digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), hex);
    check_str(hex, json_string_value(json_object_get(v, "sha256")));
    check_u64(json_array_size(ends), json_u64(v, "count"));

    struct pbr_cut c = cut_new(json_u64(v, "avg"));
    check_scanned(&c, in, ends);
    check_pushed(&c, in, SIZE_MAX, ends);
    pbr_cut_reset(&c);
    check_pushed(&c, in, 4093, ends);
    if (in.len <= 1 << 20) {
        pbr_cut_reset(&c);
        check_pushed(&c, in, 1, ends);
    }
    test_unload(in);
}

static void test_all_plain_vectors_are_cut_alike_by_scan_and_by_push(void **state)
{
    (void)state;
    const bool slow = getenv("PBR_TEST_SLOW") != NULL;
    json_t *root = chunk_vectors("spec/vectors/chunker.json");
    const json_t *plain = json_object_get(root, "plain");
    size_t left_out = 0;

    check(json_array_size(plain) >= 100);
    for (size_t i = 0; i < json_array_size(plain); i++) {
        const json_t *v = json_array_get(plain, i);
        if (slow && json_u64(v, "size") > 1 << 20)
            left_out++;
        else
            check_vector(v);
    }
    if (left_out)
        printf("skip: %zu long vectors under PBR_TEST_SLOW\n", left_out);
    json_decref(root);
}

static void test_sizes_follow_from_the_average(void **state)
{
    (void)state;
    const struct pbr_cut catalog = cut_new(PBR_CHUNK_AVG_CATALOG), standard = cut_new(PBR_CHUNK_AVG_DEFAULT);
    check_u64(catalog.min, 131072);
    check_u64(catalog.max, 2097152);
    check_u64(standard.min, 1048576);
    check_u64(standard.max, 16777216);
}

static void test_refused_parameters_leave_the_cutter_untouched(void **state)
{
    (void)state;
    struct pbr_cut c = { .size = 5 };
    check_fail(pbr_cut_init(&c, 65535, PBR_FIND_AUTO, diag), PBR_E_ARG, "CHK-001");
    check_fail(pbr_cut_init_fixed(&c, 0, diag), PBR_E_ARG, "CHK-009");
    check_fail(pbr_cut_init_fixed(&c, 16777217, diag), PBR_E_ARG, "CHK-009");
    check_u64(c.size, 5);
    check_int(pbr_cut_init_fixed(&c, 16777216, NULL), PBR_OK);
}

static void test_an_empty_push_changes_nothing(void **state)
{
    (void)state;
    static const uint8_t zeros[1024];
    struct pbr_cut c = cut_new(256);
    check_u64(pbr_cut_push(&c, pbr_span(NULL, 0)), 0);
    check_u64(pbr_cut_push(&c, pbr_span(zeros, 1000)), 0);
    check_u64(pbr_cut_push(&c, pbr_span(zeros, 0)), 0);
    check_u64(pbr_cut_push(&c, pbr_span(zeros, 1000)), 24); /* constant data: cut at max */
}

static void test_a_reset_forgets_the_open_chunk(void **state)
{
    (void)state;
    enum { LEN = 300000, BEFORE = 20001 };
    uint8_t *data = malloc(LEN);
    assert_non_null(data);
    fill_splitmix64(data, LEN, 1);
    struct pbr_cut c = cut_new(65536);
    check_u64(pbr_cut_push(&c, pbr_span(data + 100000, BEFORE)), 0);
    pbr_cut_reset(&c);
    check_u64(pbr_cut_push(&c, pbr_span(data, LEN)), 35256);
    free(data);
}

static void test_fixed_chunks_depend_on_nothing_but_the_size(void **state)
{
    (void)state;
    uint8_t data[1000];
    struct pbr_cut c;
    fill_splitmix64(data, sizeof(data), 3);
    check_int(pbr_cut_init_fixed(&c, 300, NULL), PBR_OK);
    check_u64(pbr_cut_push(&c, pbr_span(data, 1000)), 300);
    check_u64(pbr_cut_push(&c, pbr_span(data, 299)), 0);
    check_u64(pbr_cut_push(&c, pbr_span(data, 2)), 1);
    check_u64(pbr_cut_push(&c, pbr_span(data, 300)), 300);
    check_u64(pbr_cut_scan(&c, data, 0, 299), 0);
    check_u64(pbr_cut_scan(&c, data, 299, 1000), 300);
    check_int(pbr_cut_init_fixed(&c, 1, NULL), PBR_OK);
    check_u64(pbr_cut_push(&c, pbr_span(data, 5)), 1);
}

/* The bytes in front of the first tested window lie on a page that cannot be read. */
static void test_bytes_before_the_first_window_are_not_looked_at(void **state)
{
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t min = 16384, len = 4 * page + 262144;
    uint8_t *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    fill_splitmix64(map, len, 1);
    const struct pbr_cut plain = cut_new(65536);
    const size_t skipped = (min - 65) / page * page;
    check(skipped > 0);
    check_int(mprotect(map, skipped, PROT_NONE), 0);
    check_u64(pbr_cut_scan(&plain, map, 0, len), 35256);
    struct pbr_cut c = cut_new(65536);
    check_u64(pbr_cut_push(&c, pbr_span(map, len)), 35256);
    munmap(map, len);
}

/* A window that cuts is planted so that it ends at a chosen byte of constant data. */
static void test_candidates_count_from_min_to_max_only(void **state)
{
    (void)state;
    enum { AVG = 4096, MIN = AVG / 4, MAX = AVG * 4 };
    uint8_t window[64], data[2 * MAX];
    struct pbr_find f;
    uint64_t seed = test_seed(9);
    check_int(pbr_find_init(&f, AVG, PBR_FIND_AUTO, NULL), PBR_OK);
    /* Neither the zeros around it nor the windows that only touch it may be candidates. */
    size_t end = 0, again = 0;
    do {
        uint8_t probe[64 + 64 + 64] = { 0 };
        fill_splitmix64(window, sizeof(window), test_next_random(&seed));
        memcpy(probe + 64, window, 64);
        end = pbr_find_candidate(&f, probe, 64, sizeof(probe));
        again = pbr_find_candidate(&f, probe, 128, sizeof(probe));
    } while (end != 127 || again != 192);

    static const struct {
        size_t at; /* size of the chunk at the planted candidate */
        size_t want;
    } cases[] = { { MIN - 1, MAX }, { MIN, MIN }, { MIN + 1, MIN + 1 }, { MAX - 1, MAX - 1 }, { MAX, MAX },
                  { MAX + 1, MAX } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(data, 0, sizeof(data));
        memcpy(data + cases[i].at - 64, window, 64);
        for (size_t piece = 1; piece < sizeof(data); piece = piece * 3 + 1) {
            struct pbr_cut c = cut_new(AVG);
            size_t pos = 0, cut = 0;
            while (!cut) {
                cut = pbr_cut_push(&c, pbr_span_sub(pbr_span(data, sizeof(data)), pos, piece));
                pos += cut ? cut : piece;
            }
            check_u64(pos, cases[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_plain_vectors_are_cut_alike_by_scan_and_by_push),
        cmocka_unit_test(test_sizes_follow_from_the_average),
        cmocka_unit_test(test_refused_parameters_leave_the_cutter_untouched),
        cmocka_unit_test(test_an_empty_push_changes_nothing),
        cmocka_unit_test(test_a_reset_forgets_the_open_chunk),
        cmocka_unit_test(test_fixed_chunks_depend_on_nothing_but_the_size),
        cmocka_unit_test(test_bytes_before_the_first_window_are_not_looked_at),
        cmocka_unit_test(test_candidates_count_from_min_to_max_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
