/* SPDX-License-Identifier: MIT */
/* covers: IDX-008 IDX-009 IDX-010 IDX-016 IDX-030 IDX-031 IDX-032 IDX-047 IDX-048 IDX-051 */
/* covers: IDX-057 */
#include "format/index.h"
#include "test.h"

enum { ENTRIES_MAX = 40 };

struct sample {
    uint8_t bytes[PBR_INDEX_HDR + ENTRIES_MAX * PBR_DIDX_REC];
    size_t len;
    uint64_t ends[ENTRIES_MAX];
    uint64_t nr;
};

static void random_bytes(uint64_t *seed, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)test_next_random(seed);
}

static void make(uint64_t *seed, enum pbr_index_kind kind, struct sample *s)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_index ix = { .kind = kind, .ctime_s = (int64_t)test_next_random(seed) };
    struct pbr_index_sum *sum = NULL;
    memset(s, 0, sizeof(*s));
    s->nr = 1 + test_next_random(seed) % ENTRIES_MAX;
    ix.chunk_size = UINT64_C(1) << (test_next_random(seed) % 24);
    ix.size = (s->nr - 1) * ix.chunk_size + 1 + test_next_random(seed) % ix.chunk_size;
    random_bytes(seed, ix.uuid, sizeof(ix.uuid));
    assert_int_equal(pbr_index_sum_new(&env, kind, &sum), PBR_OK);

    uint64_t end = 0;
    s->len = PBR_INDEX_HDR;
    for (uint64_t i = 0; i < s->nr; i++) {
        uint8_t digest[PBR_DIGEST_LEN];
        random_bytes(seed, digest, sizeof(digest));
        end += 1 + test_next_random(seed) % (16 << 20);
        if (kind == PBR_INDEX_FIXED)
            end = i + 1 < s->nr ? (i + 1) * ix.chunk_size : ix.size;
        s->ends[i] = end;
        assert_int_equal(pbr_index_sum_add(sum, end, digest), PBR_OK);
        if (kind == PBR_INDEX_DYNAMIC)
            pbr_didx_rec_emit(end, digest, s->bytes + s->len);
        else
            memcpy(s->bytes + s->len, digest, sizeof(digest));
        s->len += kind == PBR_INDEX_DYNAMIC ? PBR_DIDX_REC : PBR_FIDX_REC;
    }
    assert_int_equal(pbr_index_sum_result(sum, ix.stored_csum), PBR_OK);
    pbr_index_sum_free(sum);
    assert_int_equal(w.live_allocs, 0);
    pbr_index_hdr_emit(&ix, s->bytes);
}

static uint64_t slow_lookup(const struct sample *s, uint64_t off)
{
    uint64_t i = 0;
    while (i < s->nr && off >= s->ends[i])
        i++;
    return i;
}

static void test_parsed_index_is_what_was_emitted_and_finds_every_offset(void **state)
{
    (void)state;
    uint64_t seed = test_seed(11);
    for (int run = 0; run < 400; run++) {
        struct sample s;
        struct pbr_index ix;
        uint8_t hdr[PBR_INDEX_HDR];
        make(&seed, run % 2 ? PBR_INDEX_FIXED : PBR_INDEX_DYNAMIC, &s);
        check_int(pbr_index_parse(pbr_span(s.bytes, s.len), true, &ix, NULL), PBR_OK);
        check_u64(ix.entry_nr, s.nr);
        check_u64(ix.size, s.ends[s.nr - 1]);
        pbr_index_hdr_emit(&ix, hdr);
        assert_memory_equal(hdr, s.bytes, sizeof(hdr));
        for (uint64_t i = 0; i < s.nr; i++) {
            check_u64(pbr_index_end(&ix, i), s.ends[i]);
            check_u64(pbr_index_start(&ix, i), i ? s.ends[i - 1] : 0);
            const uint64_t offs[] = { s.ends[i] - 1, s.ends[i],
                                      test_next_random(&seed) % (ix.size + 3) };
            for (size_t k = 0; k < 3; k++) {
                uint64_t got = s.nr;
                check(pbr_index_lookup(&ix, offs[k], &got) == (offs[k] < ix.size));
                check_u64(got, slow_lookup(&s, offs[k]));
            }
        }
    }
}

static void test_every_strict_prefix_is_refused_unless_it_ends_with_a_dynamic_entry(void **state)
{
    (void)state;
    uint64_t seed = test_seed(12);
    for (int kind = 0; kind < 2; kind++) {
        struct sample s;
        make(&seed, (enum pbr_index_kind)kind, &s);
        for (size_t len = 0; len < s.len; len++) {
            struct pbr_index ix;
            const bool whole = kind == PBR_INDEX_DYNAMIC && len > PBR_INDEX_HDR &&
                               (len - PBR_INDEX_HDR) % PBR_DIDX_REC == 0;
            const int rc = pbr_index_parse(pbr_span(s.bytes, len), false, &ix, NULL);
            /* there is no entry count in a dynamic index; only the checksum tells that entries are
             * missing */
            check_int(rc, whole ? PBR_OK : len < PBR_INDEX_HDR ? PBR_E_TRUNCATED : PBR_E_FORMAT);
            check(pbr_index_parse(pbr_span(s.bytes, len), true, &ix, NULL) < 0);
        }
    }
}

static void test_flipping_any_byte_under_the_checksum_is_noticed(void **state)
{
    (void)state;
    uint64_t seed = test_seed(13);
    for (int kind = 0; kind < 2; kind++) {
        struct sample s;
        make(&seed, (enum pbr_index_kind)kind, &s);
        for (size_t i = PBR_INDEX_HDR; i < s.len; i++) {
            struct pbr_index ix;
            s.bytes[i] ^= 1;
            const int rc = pbr_index_parse(pbr_span(s.bytes, s.len), true, &ix, NULL);
            /* a changed end may break the order first */
            check(rc == PBR_E_INTEGRITY || (kind == PBR_INDEX_DYNAMIC && rc == PBR_E_FORMAT));
            if (kind == PBR_INDEX_FIXED || (i - PBR_INDEX_HDR) % PBR_DIDX_REC >= 8)
                check_int(rc, PBR_E_INTEGRITY);
            s.bytes[i] ^= 1;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsed_index_is_what_was_emitted_and_finds_every_offset),
        cmocka_unit_test(test_every_strict_prefix_is_refused_unless_it_ends_with_a_dynamic_entry),
        cmocka_unit_test(test_flipping_any_byte_under_the_checksum_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
