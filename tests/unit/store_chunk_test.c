/* SPDX-License-Identifier: MIT */
/* covers: IDX-100 IDX-101 IDX-104 IDX-105 BLOB-083 BLOB-084 BLOB-086 BLOB-089 BLOB-090 BKP-114 BKP-115 BKP-116 BKP-117 BKP-122 RDR-033 */
/* Chunk files: what an upload must fulfil, where it lies, what happens to duplicates. */
#include "store_fixture.h"

static const char *chunk_rel(const uint8_t *digest, char out[128])
{
    char hex[65];
    pbr_format_hex(digest, PBR_DIGEST_LEN, hex);
    (void)snprintf(out, 128, ".chunks/%.4s/%s", hex, hex);
    return out;
}

/* A raw encrypted blob: kind, zero IV and tag, n bytes of payload. The server cannot tell it from a real one. */
static size_t encrypted(uint8_t *out, enum pbr_blob_kind kind, size_t n)
{
    const struct pbr_blob head = { .kind = kind };
    pbr_blob_hdr_emit(&head, out);
    memset(out + 44, 0x5a, n);
    pbr_blob_fix_crc(out, 44 + n);
    return 44 + n;
}

static void test_a_chunk_lies_under_its_digest_with_the_right_crc(void **state)
{
    struct fx f;
    struct pbr_store_put put;
    struct pbr_buf back;
    char rel[128];
    (void)state;
    fx_start(&f);
    struct fx_chunk c = fx_chunk(&f, 7, 1000);
    c.raw.ptr[8] ^= 0xff; /* the client's CRC is not looked at */
    check_ok(pbr_store_chunk_put(f.s, c.raw.ptr, c.raw.len, c.digest, c.size, &put, diag));
    check(!put.duplicate);
    check_u64(put.stored_size, c.raw.len);
    check(fx_exists(&f, chunk_rel(c.digest, rel)));
    check_ok(pbr_store_chunk_load(f.s, c.digest, &back, diag));
    struct pbr_blob blob;
    check_ok(pbr_blob_parse(pbr_buf_span(&back), &blob, diag));
    check_ok(pbr_blob_check_crc(&blob, diag));
    check_span(pbr_buf_span(&back), pbr_buf_span(&c.raw));
    pbr_buf_release(&back);
    fx_chunk_free(&c);
    fx_stop(&f);
}

static void test_unencrypted_uploads_are_checked(void **state)
{
    struct fx f;
    struct pbr_store_put put;
    uint8_t other[PBR_DIGEST_LEN] = { 1 }, garbage[64] = { 0 };
    char rel[128];
    (void)state;
    fx_start(&f);
    struct fx_chunk c = fx_chunk(&f, 7, 1000);
    check_text(pbr_store_chunk_put(f.s, c.raw.ptr, c.raw.len, other, c.size, &put, diag), PBR_E_INTEGRITY, "BLOB-059",
               "detected chunk with wrong digest.");
    check_text(pbr_store_chunk_put(f.s, c.raw.ptr, c.raw.len, c.digest, 999, &put, diag), PBR_E_INTEGRITY, "BLOB-061",
               "detected chunk with wrong length (999 != 1000)");
    check_text(pbr_store_chunk_put(f.s, garbage, sizeof(garbage), c.digest, 20, &put, diag), PBR_E_FORMAT, "BLOB-050",
               "unable to parse raw blob - wrong magic");
    check_text(pbr_store_chunk_put(f.s, garbage, 11, c.digest, 20, &put, diag), PBR_E_TRUNCATED, "BLOB-050",
               "blob too small (11 bytes).");
    (void)encrypted(garbage, PBR_BLOB_ENC, 0);
    check_text(pbr_store_chunk_put(f.s, garbage, 43, c.digest, 20, &put, diag), PBR_E_TRUNCATED, "BLOB-050",
               "encrypted blob too small (43 bytes).");
    fx_chunk_free(&c);

    char text[2000];
    memset(text, 'x', sizeof(text));
    fx_seal(&f, pbr_span(text, sizeof(text)), true, &c);
    check_text(pbr_store_chunk_put(f.s, c.raw.ptr, c.raw.len - 3, c.digest, c.size, &put, diag), PBR_E_FORMAT,
               "BLOB-054", "incomplete frame");
    c.raw.ptr[12] ^= 0xff;
    check_fail(pbr_store_chunk_put(f.s, c.raw.ptr, c.raw.len, c.digest, c.size, &put, diag), PBR_E_FORMAT, "BLOB-054");
    check(!fx_exists(&f, chunk_rel(c.digest, rel)));
    fx_chunk_free(&c);
    fx_stop(&f);
}

static void test_a_compressed_chunk_may_not_blow_up(void **state)
{
    struct fx f;
    struct fx_chunk c;
    struct pbr_store_put put;
    const size_t len = PBR_CHUNK_MAX + 1;
    (void)state;
    fx_start(&f);
    uint8_t *zeros = calloc(len, 1);
    assert_non_null(zeros);
    fx_seal(&f, pbr_span(zeros, len), true, &c);
    check_fail(pbr_store_chunk_put(f.s, c.raw.ptr, c.raw.len, c.digest, PBR_CHUNK_MAX, &put, diag), PBR_E_LIMIT,
               "BLOB-060");
    free(zeros);
    fx_chunk_free(&c);
    fx_stop(&f);
}

static void test_encrypted_uploads_are_taken_on_trust(void **state)
{
    struct fx f;
    struct pbr_store_put put;
    const uint8_t digest[PBR_DIGEST_LEN] = { 9 };
    uint8_t raw[200];
    (void)state;
    fx_start(&f);
    const size_t len = encrypted(raw, PBR_BLOB_ENC_ZSTD, 50);
    check_ok(pbr_store_chunk_put(f.s, raw, len, digest, 12345, &put, diag));
    check(!put.duplicate);
    fx_stop(&f);
}

/* What is stored under one digest after an old and a new raw blob: the old, the new, or an error. */
static void check_pair(struct pbr_span old, struct pbr_span fresh, int want_rc, bool want_old)
{
    struct fx f;
    struct pbr_store_put put = { 0 };
    struct pbr_buf back;
    const uint8_t digest[PBR_DIGEST_LEN] = { 0xab, 0xcd };
    fx_start(&f);
    check_ok(pbr_store_chunk_insert(f.s, old, digest, &put, diag));
    check_int(pbr_store_chunk_insert(f.s, fresh, digest, &put, NULL), want_rc);
    check_ok(pbr_store_chunk_load(f.s, digest, &back, diag));
    check_span(pbr_buf_span(&back), want_old ? old : fresh);
    if (want_rc == PBR_OK) {
        check_int(put.duplicate, want_old);
        check_u64(put.stored_size, want_old ? old.len : fresh.len);
    }
    pbr_buf_release(&back);
    fx_stop(&f);
}

static size_t plain(uint8_t *out, char fill, size_t n)
{
    const struct pbr_blob head = { .kind = PBR_BLOB_PLAIN };
    pbr_blob_hdr_emit(&head, out);
    memset(out + 12, fill, n);
    pbr_blob_fix_crc(out, 12 + n);
    return 12 + n;
}

static void test_duplicates_are_decided_by_raw_length(void **state)
{
    uint8_t p50[128], q50[128], p40[128], e50[128], e40[128], z40[128], none[1];
    const struct pbr_span a = pbr_span(p50, plain(p50, 'a', 50));
    const struct pbr_span same = pbr_span(q50, plain(q50, 'b', 50));
    const struct pbr_span shorter = pbr_span(p40, plain(p40, 'c', 40));
    const struct pbr_span enc = pbr_span(e50, encrypted(e50, PBR_BLOB_ENC, 50));
    const struct pbr_span enc_short = pbr_span(e40, encrypted(e40, PBR_BLOB_ENC, 40));
    const struct pbr_span enc_zstd = pbr_span(z40, encrypted(z40, PBR_BLOB_ENC_ZSTD, 40));
    const struct pbr_span empty = pbr_span(none, 0);
    (void)state;
    check_pair(a, same, PBR_OK, true);           /* (a) equal length: contents are not compared */
    check_pair(empty, a, PBR_OK, false);         /* (b) */
    check_pair(empty, enc, PBR_OK, false);
    check_pair(enc_zstd, enc, PBR_OK, true);     /* (c) */
    check_pair(enc, enc_zstd, PBR_OK, true);
    check_pair(shorter, a, PBR_OK, true);        /* (d) the shorter survives */
    check_pair(a, shorter, PBR_OK, false);
    check_pair(enc, a, PBR_OK, false);
    check_pair(a, enc, PBR_E_EXIST, true);       /* BLOB-090 */
    check_pair(enc, enc_short, PBR_E_EXIST, true);
}

static void test_refused_duplicates_have_the_originals_texts(void **state)
{
    struct fx f;
    struct pbr_store_put put;
    uint8_t raw[128];
    const uint8_t digest[PBR_DIGEST_LEN] = { 0xab };
    (void)state;
    fx_start(&f);
    check_ok(pbr_store_chunk_insert(f.s, pbr_span(raw, plain(raw, 'a', 50)), digest, &put, diag));
    check_text(pbr_store_chunk_insert(f.s, pbr_span(raw, encrypted(raw, PBR_BLOB_ENC, 50)), digest, &put, diag),
               PBR_E_EXIST, "BLOB-090",
               "Overwriting unencrypted chunk 'ab00000000000000000000000000000000000000000000000000000000000000' on store "
               "'store' with encrypted chunk with same digest not allowed!");
    fx_stop(&f);
}

static void test_inserting_sets_the_access_time(void **state)
{
    struct fx f;
    struct pbr_store_put put;
    struct stat st;
    char rel[128], path[1024];
    (void)state;
    fx_start(&f);
    struct fx_chunk c = fx_chunk(&f, 1, 100);
    check_ok(pbr_store_chunk_insert(f.s, pbr_buf_span(&c.raw), c.digest, &put, diag));
    check_int(stat(fx_path(&f, chunk_rel(c.digest, rel), path), &st), 0);
    check_int(st.st_atim.tv_sec, FX_TIME);
    check_int(st.st_mode & 07777, 0644);
    const struct timespec written = st.st_mtim;
    f.now_s += 1000;
    check_ok(pbr_store_chunk_insert(f.s, pbr_buf_span(&c.raw), c.digest, &put, diag));
    check(put.duplicate);
    check_int(stat(path, &st), 0);
    check_int(st.st_atim.tv_sec, FX_TIME + 1000);
    check_int(st.st_mtim.tv_sec, written.tv_sec);
    f.now_s += 1000;
    check_ok(pbr_store_chunk_touch(f.s, c.digest));
    check_int(stat(path, &st), 0);
    check_int(st.st_atim.tv_sec, FX_TIME + 2000);
    fx_chunk_free(&c);
    fx_stop(&f);
}

static void test_a_missing_chunk_is_named(void **state)
{
    struct fx f;
    int fd = -1;
    uint64_t size;
    char text[512], rel[128];
    const uint8_t digest[PBR_DIGEST_LEN] = { 0xfe };
    (void)state;
    fx_start(&f);
    (void)snprintf(text, sizeof(text), "reading file \"%s/%s\" failed: No such file or directory (os error 2)", f.root,
                   chunk_rel(digest, rel));
    check_text(pbr_store_chunk_open(f.s, digest, &fd, &size, diag), PBR_E_NOENT, "RDR-033", text);
    check_int(pbr_store_chunk_stat(f.s, digest, &size), PBR_E_NOENT);
    check_int(pbr_store_chunk_touch(f.s, digest), PBR_E_NOENT);
    check_int(fd, -1);
    fx_stop(&f);
}

static void test_a_link_in_place_of_a_chunk_is_not_followed(void **state)
{
    struct fx f;
    char rel[128], path[1024];
    int fd;
    uint64_t size;
    const uint8_t digest[PBR_DIGEST_LEN] = { 0 };
    (void)state;
    fx_start(&f);
    fx_mkdir(&f, ".chunks/0000");
    check_int(symlink("/etc/passwd", fx_path(&f, chunk_rel(digest, rel), path)), 0);
    check_int(pbr_store_chunk_open(f.s, digest, &fd, &size, NULL), PBR_E_IO);
    check_int(unlink(path), 0);
    check_int(mkfifo(path, 0600), 0); /* nor does a FIFO hang */
    check_int(pbr_store_chunk_open(f.s, digest, &fd, &size, NULL), PBR_E_IO);
    fx_stop(&f);
}

static void test_bad_chunks_get_the_next_free_number(void **state)
{
    struct fx f;
    struct pbr_store_put put;
    char rel[128], bad[160];
    (void)state;
    fx_start(&f);
    struct fx_chunk c = fx_chunk(&f, 1, 100);
    for (int i = 0; i < 12; i++) {
        check_ok(pbr_store_chunk_insert(f.s, pbr_buf_span(&c.raw), c.digest, &put, diag));
        check_ok(pbr_store_chunk_mark_bad(f.s, c.digest, diag));
        check(!fx_exists(&f, chunk_rel(c.digest, rel)));
        (void)snprintf(bad, sizeof(bad), "%s.%d.bad", rel, i < 9 ? i : 9); /* 9 is overwritten */
        check(fx_exists(&f, bad));
    }
    fx_chunk_free(&c);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_chunk_lies_under_its_digest_with_the_right_crc),
        cmocka_unit_test(test_unencrypted_uploads_are_checked),
        cmocka_unit_test(test_a_compressed_chunk_may_not_blow_up),
        cmocka_unit_test(test_encrypted_uploads_are_taken_on_trust),
        cmocka_unit_test(test_duplicates_are_decided_by_raw_length),
        cmocka_unit_test(test_refused_duplicates_have_the_originals_texts),
        cmocka_unit_test(test_inserting_sets_the_access_time),
        cmocka_unit_test(test_a_missing_chunk_is_named),
        cmocka_unit_test(test_a_link_in_place_of_a_chunk_is_not_followed),
        cmocka_unit_test(test_bad_chunks_get_the_next_free_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
