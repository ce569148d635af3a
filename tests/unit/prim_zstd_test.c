/* SPDX-License-Identifier: MIT */
/* covers: BLOB-023 BLOB-024 BLOB-025 BLOB-027 BLOB-053 BLOB-054 BLOB-060 */
#include <zstd.h>

#include "prim/prim.h"
#include "test.h"

struct rig {
    struct test_world w;
    struct pbr_env env;
    struct pbr_zstd_enc *enc;
    struct pbr_zstd_dec *dec;
    struct pbr_buf out;
    uint8_t plain[200000];
    uint8_t packed[200000];
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->env = test_env(&r->w);
    assert_int_equal(pbr_zstd_enc_new(&r->env, &r->enc), PBR_OK);
    assert_int_equal(pbr_zstd_dec_new(&r->env, &r->dec), PBR_OK);
    pbr_buf_init(&r->out, &r->env, 1 << 20);
    for (size_t i = 0; i < sizeof(r->plain); i++)
        r->plain[i] = (uint8_t)(i / 100 + i % 7);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    pbr_zstd_enc_free(r->enc);
    pbr_zstd_dec_free(r->dec);
    pbr_buf_release(&r->out);
    assert_int_equal(r->w.live_allocs, 0);
    free(r);
    return 0;
}

/* A frame as old clients wrote it: no content size [BLOB-026]. */
static size_t stream_compress(struct pbr_span in, uint8_t *out, size_t cap)
{
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    assert_non_null(ctx);
    ZSTD_inBuffer src = { in.ptr, in.len, 0 };
    ZSTD_outBuffer dst = { out, cap, 0 };
    assert_false(ZSTD_isError(ZSTD_compressStream2(ctx, &dst, &src, ZSTD_e_flush)));
    assert_int_equal(ZSTD_compressStream2(ctx, &dst, &src, ZSTD_e_end), 0);
    ZSTD_freeCCtx(ctx);
    assert_int_equal(ZSTD_getFrameContentSize(out, dst.pos), ZSTD_CONTENTSIZE_UNKNOWN);
    return dst.pos;
}

static void test_compressed_frame_carries_its_size_and_no_checksum(void **state)
{
    struct rig *r = *state;
    size_t len = 0;
    const struct pbr_span plain = pbr_span(r->plain, 100000);
    check_int(pbr_zstd_compress(r->enc, plain, r->packed, plain.len, &len), PBR_OK);
    check(len > 0 && len < plain.len);
    check_u64(ZSTD_getFrameContentSize(r->packed, len), plain.len);
    check_int(r->packed[4] & 4, 0); /* frame header descriptor: checksum flag */
    check_u64(ZSTD_findFrameCompressedSize(r->packed, len), len);
    check_int(pbr_zstd_decompress(r->dec, pbr_span(r->packed, len), 0, &r->out, NULL), PBR_OK);
    check_span(pbr_buf_span(&r->out), plain);
}

static void test_result_that_does_not_fit_is_no_result(void **state)
{
    struct rig *r = *state;
    uint64_t seed = 1;
    size_t len = 9;
    for (size_t i = 0; i < 1000; i++)
        r->plain[i] = (uint8_t)test_next_random(&seed);
    check_int(pbr_zstd_compress(r->enc, pbr_span(r->plain, 1000), r->packed, 1000, &len), PBR_OK);
    check_u64(len, 0);
    check_int(pbr_zstd_compress(r->enc, pbr_span(NULL, 0), r->packed, 0, &len), PBR_OK);
    check_u64(len, 0);
}

static void test_frames_of_all_kinds_are_joined(void **state)
{
    struct rig *r = *state;
    static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 's', 'k', 'p' };
    const struct pbr_span plain = pbr_span(r->plain, sizeof(r->plain));
    size_t at = 0, len = 0;
    memcpy(r->packed, skippable, sizeof(skippable));
    at += sizeof(skippable);
    at += stream_compress(pbr_span_sub(plain, 0, 150000), r->packed + at, sizeof(r->packed) - at);
    check_int(
        pbr_zstd_compress(r->enc, pbr_span_sub(plain, 150000, 40000), r->packed + at, 40000, &len),
        PBR_OK);
    at += len;
    memcpy(r->packed + at, skippable, sizeof(skippable));
    at += sizeof(skippable);
    check_int(
        pbr_zstd_compress(r->enc, pbr_span_sub(plain, 190000, 10000), r->packed + at, 10000, &len),
        PBR_OK);
    at += len;

    static const size_t expect[] = { 0, 1, 200000, 1 << 30 };
    for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++) {
        pbr_buf_clear(&r->out);
        check_int(pbr_buf_append(&r->out, pbr_span_str("before")), PBR_OK);
        check_int(pbr_zstd_decompress(r->dec, pbr_span(r->packed, at), expect[i], &r->out, NULL),
                  PBR_OK);
        check_span(pbr_span_sub(pbr_buf_span(&r->out), 0, 6), pbr_span_str("before"));
        check_span(pbr_span_sub(pbr_buf_span(&r->out), 6, r->out.len), plain);
    }
}

static void test_every_strict_prefix_is_an_incomplete_frame(void **state)
{
    struct rig *r = *state;
    size_t len[2];
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0)
            check_int(pbr_zstd_compress(r->enc, pbr_span(r->plain, 3000), r->packed, 3000, &len[0]),
                      PBR_OK);
        else
            len[1] = stream_compress(pbr_span(r->plain, 3000), r->packed, sizeof(r->packed));
        for (size_t n = 0; n < len[kind]; n++) {
            struct pbr_diag d = { 0 };
            check_int(pbr_zstd_decompress(r->dec, pbr_span(r->packed, n), 0, &r->out, &d),
                      PBR_E_FORMAT);
            check_str(d.rule, "BLOB-054");
            check_str(d.text, "incomplete frame");
            check_u64(r->out.len, 0);
        }
    }
}

static void test_garbage_is_named_in_the_library_s_words(void **state)
{
    struct rig *r = *state;
    struct pbr_diag d = { 0 };
    size_t len;
    check_int(pbr_zstd_decompress(r->dec, pbr_span_str("no frame at all"), 0, &r->out, &d),
              PBR_E_FORMAT);
    check_str(d.text, "Unknown frame descriptor");
    check_int(pbr_zstd_compress(r->enc, pbr_span(r->plain, 3000), r->packed, 3000, &len), PBR_OK);
    memcpy(r->packed + len, "trailing garbage", 16);
    check_fail(pbr_zstd_decompress(r->dec, pbr_span(r->packed, len + 16), 0, &r->out, diag),
               PBR_E_FORMAT, "BLOB-054");
    check_u64(r->out.len, 0);
    /* the object works on after a failure */
    check_int(pbr_zstd_decompress(r->dec, pbr_span(r->packed, len), 0, &r->out, NULL), PBR_OK);
    check_u64(r->out.len, 3000);
}

static void test_output_never_exceeds_the_maximum(void **state)
{
    struct rig *r = *state;
    size_t len;
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0)
            check_int(
                pbr_zstd_compress(r->enc, pbr_span(r->plain, 200000), r->packed, 200000, &len),
                PBR_OK);
        else
            len = stream_compress(pbr_span(r->plain, 200000), r->packed, sizeof(r->packed));
        struct pbr_buf small;
        pbr_buf_init(&small, &r->env, 199999);
        check_fail(pbr_zstd_decompress(r->dec, pbr_span(r->packed, len), 0, &small, diag),
                   PBR_E_LIMIT, "BLOB-060");
        check_u64(small.len, 0);
        check(small.cap <= 199999);
        pbr_buf_release(&small);
        pbr_buf_init(&small, &r->env, 200000);
        check_int(pbr_zstd_decompress(r->dec, pbr_span(r->packed, len), 0, &small, NULL), PBR_OK);
        check_span(pbr_buf_span(&small), pbr_span(r->plain, 200000));
        pbr_buf_release(&small);
    }
}

static void test_a_lie_about_the_size_allocates_no_more_than_the_maximum(void **state)
{
    struct rig *r = *state;
    /* frame header: single segment, 8 byte content size of 2^62; then a last raw block of 0 bytes
     */
    static const uint8_t lie[] = {
        0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0
    };
    check_fail(pbr_zstd_decompress(r->dec, pbr_span(lie, sizeof(lie)), 0, &r->out, diag),
               PBR_E_LIMIT, "BLOB-060");
    check(r->out.cap <= r->out.max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compressed_frame_carries_its_size_and_no_checksum,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_result_that_does_not_fit_is_no_result, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_frames_of_all_kinds_are_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_strict_prefix_is_an_incomplete_frame, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_garbage_is_named_in_the_library_s_words, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_output_never_exceeds_the_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_lie_about_the_size_allocates_no_more_than_the_maximum, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
