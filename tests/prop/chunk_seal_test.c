/* SPDX-License-Identifier: MIT */
/* covers: BLOB-012 BLOB-022 BLOB-025 BLOB-045 BLOB-050 BLOB-051 BLOB-056 BLOB-057 BLOB-059 */
/* covers: BLOB-070 BLOB-071 BLOB-072 */
#include "base/limits.h"
#include "chunk/seal.h"
#include "test.h"

enum { PLAIN_MAX = 3000 };

struct rig {
    struct test_world w;
    struct pbr_env env;
    struct pbr_sealer *sealer;
    struct pbr_opener *opener;
    struct pbr_crypt crypt;
    struct pbr_buf raw, plain;
};

static int setup(void **state)
{
    static const uint8_t key[32] = { 1, 2, 3 };
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->env = test_env(&r->w);
    assert_int_equal(pbr_crypt_init(&r->crypt, key), PBR_OK);
    assert_int_equal(pbr_sealer_new(&r->env, &r->sealer), PBR_OK);
    assert_int_equal(pbr_opener_new(&r->env, &r->opener), PBR_OK);
    pbr_buf_init(&r->raw, &r->env, 1 << 20);
    pbr_buf_init(&r->plain, &r->env, 1 << 20);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    pbr_sealer_free(r->sealer);
    pbr_opener_free(r->opener);
    pbr_buf_release(&r->raw);
    pbr_buf_release(&r->plain);
    assert_int_equal(r->w.live_allocs, 0);
    free(r);
    return 0;
}

/* Random length, random amount of repetition: both kinds of every pair turn up. */
static struct pbr_span random_plain(uint64_t *seed, uint8_t *out)
{
    const size_t len = test_next_random(seed) % PLAIN_MAX;
    const uint64_t mask = test_next_random(seed) % 2 ? 0xff : 3;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(test_next_random(seed) & mask);
    return pbr_span(out, len);
}

static void test_open_gives_back_what_was_sealed_under_its_digest(void **state)
{
    struct rig *r = *state;
    uint64_t seed = test_seed(31);
    unsigned kinds[4] = { 0 };
    for (int run = 0; run < 500; run++) {
        uint8_t bytes[PLAIN_MAX], digest[PBR_DIGEST_LEN];
        const struct pbr_span plain = random_plain(&seed, bytes);
        const struct pbr_crypt *crypt = run % 2 ? &r->crypt : NULL;
        struct pbr_blob blob;
        struct pbr_span got;
        check_int(pbr_chunk_digest(crypt, plain, digest), PBR_OK);
        pbr_buf_clear(&r->raw);
        pbr_buf_clear(&r->plain);
        check_int(pbr_seal(r->sealer, crypt, run % 3 != 0, plain, &r->raw, NULL), PBR_OK);
        check_int(pbr_blob_parse(pbr_buf_span(&r->raw), &blob, NULL), PBR_OK);
        kinds[blob.kind]++;
        const struct pbr_open_opts opts = {
            .crypt = crypt, .digest = digest, .has_len = true, .len = plain.len
        };
        check_int(pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, NULL),
                  PBR_OK);
        check_span(got, plain);
    }
    for (size_t i = 0; i < 4; i++)
        check(kinds[i] > 20);
}

static void test_no_change_of_a_byte_and_no_prefix_passes_the_digest(void **state)
{
    struct rig *r = *state;
    uint64_t seed = test_seed(32);
    for (int kind = 0; kind < 4; kind++) {
        uint8_t bytes[200], digest[PBR_DIGEST_LEN];
        const struct pbr_crypt *crypt = kind >= 2 ? &r->crypt : NULL;
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)(test_next_random(&seed) & 3);
        const struct pbr_span plain = pbr_span(bytes, sizeof(bytes));
        struct pbr_span got;
        check_int(pbr_chunk_digest(crypt, plain, digest), PBR_OK);
        pbr_buf_clear(&r->raw);
        check_int(pbr_seal(r->sealer, crypt, kind % 2, plain, &r->raw, NULL), PBR_OK);
        const struct pbr_open_opts opts = { .crypt = crypt, .digest = digest };
        struct pbr_open_opts lenient = opts;
        lenient.skip_crc = true;
        for (size_t i = 0; i < r->raw.len; i++)
            for (unsigned bit = 1; bit < 256; bit <<= 1) {
                r->raw.ptr[i] ^= (uint8_t)bit;
                const int rc =
                    pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, NULL);
                check(rc == PBR_E_INTEGRITY || (i < 8 && rc == PBR_E_FORMAT));
                check_u64(r->plain.len, 0);
                /* without the CRC the tag, the frame or the digest finds it; a bit that zstd does
                 * not use may differ */
                if (i >= 12 && pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &lenient, &r->plain,
                                             &got, NULL) == PBR_OK) {
                    check_int(kind, PBR_BLOB_ZSTD);
                    check_span(got, plain);
                }
                pbr_buf_clear(&r->plain);
                r->raw.ptr[i] ^= (uint8_t)bit;
            }
        for (size_t len = 0; len < r->raw.len; len++) {
            const int rc =
                pbr_open_blob(r->opener, pbr_span(r->raw.ptr, len), &opts, &r->plain, &got, NULL);
            check_int(rc, len < pbr_blob_hdr_len((enum pbr_blob_kind)kind) ? PBR_E_TRUNCATED
                                                                           : PBR_E_INTEGRITY);
        }
    }
}

static void test_a_swapped_magic_never_opens_under_the_digest(void **state)
{
    struct rig *r = *state;
    static const char *const magics[] = { "42ab3807be8370a1", "31b958426fb6a37f",
                                          "7b6785be222d4cf0", "e6591bbf0bbfd80b" };
    uint8_t text[300], digest[PBR_DIGEST_LEN];
    memset(text, 'm', sizeof(text));
    for (int kind = 0; kind < 4; kind++)
        for (int other = 0; other < 4; other++) {
            const struct pbr_crypt *crypt = kind >= 2 ? &r->crypt : NULL;
            struct pbr_span got;
            check_int(pbr_chunk_digest(crypt, pbr_span(text, sizeof(text)), digest), PBR_OK);
            pbr_buf_clear(&r->raw);
            pbr_buf_clear(&r->plain);
            check_int(
                pbr_seal(r->sealer, crypt, kind % 2, pbr_span(text, sizeof(text)), &r->raw, NULL),
                PBR_OK);
            check(pbr_parse_hex(pbr_span_str(magics[other]), r->raw.ptr, 8));
            const struct pbr_open_opts opts = { .crypt = &r->crypt, .digest = digest };
            const int rc =
                pbr_open_blob(r->opener, pbr_buf_span(&r->raw), &opts, &r->plain, &got, NULL);
            check((rc == PBR_OK) == (kind == other));
        }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_open_gives_back_what_was_sealed_under_its_digest),
        T(test_no_change_of_a_byte_and_no_prefix_passes_the_digest),
        T(test_a_swapped_magic_never_opens_under_the_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
