/* SPDX-License-Identifier: MIT */
/* Data blobs of all kinds, as they come; encrypted ones under a fixed key (32 bytes 0 .. 31).
 *
 * Reaches: pbr_blob_parse, _check_crc, _hdr_emit, _fix_crc (blob.c), pbr_open_blob, pbr_seal (seal.c, zstd.c).
 * Asserts: the header is emitted again to the same bytes; a mended CRC is right; plain data never exceeds the bound
 * that was given; with a CRC check there is no more success than without; what was opened can be sealed and opened again. */
#include "fuzz.h"

#include "chunk/seal.h"

enum { PLAIN_MAX = 1 << 20 };

/* The result; on success *ret_plain lies in `raw` or `out`, which the caller initialised and releases. */
static int open_it(struct pbr_span raw, const struct pbr_crypt *crypt, bool skip_crc, struct pbr_buf *out,
                   struct pbr_span *ret_plain)
{
    struct pbr_opener *o = NULL;
    struct pbr_diag diag = { 0 };
    const struct pbr_open_opts opts = { .crypt = crypt, .skip_crc = skip_crc, .max = PLAIN_MAX };
    MUST(pbr_opener_new(&fuzz_env, &o) == PBR_OK);
    const int rc = pbr_open_blob(o, raw, &opts, out, ret_plain, &diag);
    MUST(rc == (int)diag.code);
    MUST(rc < 0 || ret_plain->len <= PLAIN_MAX);
    pbr_opener_free(o);
    return rc;
}

static void check_seal(struct pbr_span plain, const struct pbr_crypt *crypt)
{
    struct pbr_sealer *s = NULL;
    struct pbr_buf raw, out;
    struct pbr_span again;
    pbr_buf_init(&raw, &fuzz_env, PLAIN_MAX + 100);
    pbr_buf_init(&out, &fuzz_env, PLAIN_MAX);
    MUST(pbr_sealer_new(&fuzz_env, &s) == PBR_OK);
    MUST(pbr_seal(s, crypt, true, plain, &raw, NULL) == PBR_OK);
    MUST(raw.len <= plain.len + 44);
    MUST(open_it(pbr_buf_span(&raw), crypt, false, &out, &again) == PBR_OK);
    MUST(pbr_span_eq(plain, again));
    pbr_sealer_free(s);
    pbr_buf_release(&raw);
    pbr_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct pbr_span in = pbr_span(data, len);
    struct pbr_blob blob;
    struct pbr_crypt crypt;
    uint8_t key[32], hdr[44];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    MUST(pbr_crypt_init(&crypt, key) == PBR_OK);
    struct pbr_buf out, checked;
    struct pbr_span plain, same;
    pbr_buf_init(&out, &fuzz_env, PLAIN_MAX);
    pbr_buf_init(&checked, &fuzz_env, PLAIN_MAX);
    const int rc = open_it(in, &crypt, true, &out, &plain);
    const int strict = open_it(in, &crypt, false, &checked, &same);
    MUST(rc == PBR_OK || strict < 0);
    MUST(strict < 0 || pbr_span_eq(plain, same));
    if (pbr_blob_parse(in, &blob, NULL) == PBR_OK) {
        const size_t hdr_len = pbr_blob_hdr_len(blob.kind);
        MUST(hdr_len + blob.payload.len == len);
        pbr_blob_hdr_emit(&blob, hdr);
        MUST(memcmp(hdr, data, hdr_len) == 0);
        MUST(strict < 0 || pbr_blob_check_crc(&blob, NULL) == PBR_OK);
        uint8_t *copy = malloc(len);
        MUST(copy);
        memcpy(copy, data, len);
        pbr_blob_fix_crc(copy, len);
        MUST(pbr_blob_parse(pbr_span(copy, len), &blob, NULL) == PBR_OK && pbr_blob_check_crc(&blob, NULL) == PBR_OK);
        free(copy);
    } else {
        MUST(rc < 0);
    }
    if (rc == PBR_OK) {
        check_seal(plain, NULL);
        check_seal(plain, &crypt);
    }
    pbr_buf_release(&out);
    pbr_buf_release(&checked);
    return 0;
}
