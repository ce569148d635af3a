/* SPDX-License-Identifier: MIT */
/* covers: BLOB-061 BLOB-091 BLOB-092 IDX-022 IDX-105 MAN-032 MAN-063 MAN-073 */
/* Verification finds each kind of damage, names its rule, and finds nothing in a sound datastore. */
#include "store_fixture.h"

#define DIR "host/a/2023-11-14T22:13:20Z/"
static const uint64_t seeds[] = { 1, 2, 3, 1 };

static struct pbr_verify_report verify(struct fx *f, struct pbr_verify_opts opts)
{
    struct pbr_verify_report r = { 0 };
    check_ok(pbr_store_verify(f->s, &opts, &r, diag));
    return r;
}

/* One snapshot has exactly the problems of one rule in one file. */
static void check_one(struct fx *f, const char *file, const char *rule)
{
    struct pbr_verify_report r = verify(f, (struct pbr_verify_opts){ 0 });
    check_u64(r.failed_snapshots, 1);
    check(r.items[0].problem_nr >= 1);
    for (size_t i = 0; i < r.items[0].problem_nr; i++) {
        check_str(r.items[0].problems[i].file, file);
        assert_non_null(r.items[0].problems[i].rule);
        check_str(r.items[0].problems[i].rule, rule);
    }
    pbr_verify_report_release(&r);
}

static void chunk_rel(struct fx *f, uint64_t seed, char out[128])
{
    char hex[65];
    struct fx_chunk c = fx_chunk(f, seed, 100 + seed % 1000);
    pbr_format_hex(c.digest, PBR_DIGEST_LEN, hex);
    fx_chunk_free(&c);
    (void)snprintf(out, 128, ".chunks/%.4s/%s", hex, hex);
}

/* Flips one byte of a file; negative: counted from its end. */
static void flip(struct fx *f, const char *rel, long at)
{
    const struct pbr_span in = fx_read(f, rel);
    uint8_t *copy = malloc(in.len);
    assert_non_null(copy);
    memcpy(copy, in.ptr, in.len);
    copy[at < 0 ? (size_t)((long)in.len + at) : (size_t)at] ^= 1;
    fx_write(f, rel, copy, in.len);
    free(copy);
    test_unload(in);
}

static void start(struct fx *f)
{
    fx_start(f);
    fx_backup_ok(f, "a", FX_TIME, seeds, 4);
}

static void test_a_sound_store_has_no_problems_and_each_chunk_is_read_once(void **state)
{
    struct fx f;
    (void)state;
    start(&f);
    fx_backup_ok(&f, "a", FX_TIME + 1, seeds, 4);
    fx_mkdir(&f, "host/a/2023-11-14T22:13:29Z");
    struct pbr_verify_report r = verify(&f, (struct pbr_verify_opts){ 0 });
    check_u64(r.failed_snapshots, 0);
    check_int(r.nr, 2);
    check_u64(r.skipped_snapshots, 1);
    check_u64(r.indexes, 2);
    check_u64(r.chunks, 3);
    pbr_verify_report_release(&r);
    fx_stop(&f);
}

static void test_damaged_chunks_are_found(void **state)
{
    struct fx f;
    char rel[128], path[1024];
    (void)state;
    start(&f);
    chunk_rel(&f, 1, rel);
    flip(&f, rel, -1);
    struct pbr_verify_report r = verify(&f, (struct pbr_verify_opts){ 0 });
    check_u64(r.bad_chunks, 1);
    check_u64(r.renamed_chunks, 0);
    check_int(r.items[0].problem_nr, 2); /* it is named twice */
    check_str(r.items[0].problems[0].rule, "BLOB-051");
    pbr_verify_report_release(&r);
    flip(&f, rel, -1);
    chunk_rel(&f, 2, rel);
    check_int(unlink(fx_path(&f, rel, path)), 0);
    check_one(&f, "root.pxar.didx", "BLOB-091");
    fx_stop(&f);
}

static void test_a_chunk_with_good_crc_and_other_content_is_found(void **state)
{
    struct fx f;
    char rel[128];
    (void)state;
    start(&f);
    chunk_rel(&f, 1, rel);
    struct fx_chunk other = fx_chunk(&f, 99, 101);
    fx_write(&f, rel, other.raw.ptr, other.raw.len);
    fx_chunk_free(&other);
    struct pbr_verify_report r = verify(&f, (struct pbr_verify_opts){ .rename_bad = true });
    check_str(r.items[0].problems[0].rule, "BLOB-059");
    check_u64(r.renamed_chunks, 1);
    pbr_verify_report_release(&r);
    check(!fx_exists(&f, rel));
    (void)snprintf(rel + strlen(rel), sizeof(rel) - strlen(rel), ".0.bad");
    check(fx_exists(&f, rel));
    fx_stop(&f);
}

static void test_an_encrypted_chunk_in_an_unencrypted_archive_is_found(void **state)
{
    struct fx f;
    char rel[128];
    uint8_t raw[60];
    const struct pbr_blob head = { .kind = PBR_BLOB_ENC };
    (void)state;
    start(&f);
    chunk_rel(&f, 1, rel);
    pbr_blob_hdr_emit(&head, raw);
    memset(raw + 44, 7, 16);
    pbr_blob_fix_crc(raw, sizeof(raw));
    fx_write(&f, rel, raw, sizeof(raw));
    check_one(&f, "root.pxar.didx", "BLOB-091");
    fx_stop(&f);
}

static void test_damaged_indexes_are_found(void **state)
{
    struct fx f;
    (void)state;
    start(&f);
    flip(&f, DIR "root.pxar.didx", 4096 + 8); /* a digest: the checksum, and a chunk that is not there */
    struct pbr_verify_report r = verify(&f, (struct pbr_verify_opts){ 0 });
    check_int(r.items[0].problem_nr, 2);
    check_str(r.items[0].problems[0].rule, "IDX-022");
    check_str(r.items[0].problems[1].rule, "BLOB-091");
    pbr_verify_report_release(&r);
    flip(&f, DIR "root.pxar.didx", 4096 + 8);
    flip(&f, DIR "root.pxar.didx", 4096); /* an end: the checksum, and two lengths */
    r = verify(&f, (struct pbr_verify_opts){ 0 });
    check_int(r.items[0].problem_nr, 3);
    check_str(r.items[0].problems[1].rule, "BLOB-061");
    pbr_verify_report_release(&r);
    flip(&f, DIR "root.pxar.didx", 4096);
    flip(&f, DIR "root.pxar.didx", 0);
    check_one(&f, "root.pxar.didx", "IDX-015");
    flip(&f, DIR "root.pxar.didx", 0);
    flip(&f, DIR "root.pxar.didx", 32); /* the checksum in the header, which no reader looks at */
    check_one(&f, "root.pxar.didx", "IDX-010");
    flip(&f, DIR "root.pxar.didx", 32);
    flip(&f, DIR "root.pxar.didx", 24); /* the time in the header is nobody's business */
    r = verify(&f, (struct pbr_verify_opts){ 0 });
    check_u64(r.failed_snapshots, 0);
    pbr_verify_report_release(&r);
    fx_stop(&f);
}

static void test_a_missing_file_or_manifest_is_found(void **state)
{
    struct fx f;
    char path[1024];
    (void)state;
    start(&f);
    check_int(unlink(fx_path(&f, DIR "root.pxar.didx", path)), 0);
    check_one(&f, "root.pxar.didx", "BKP-093");
    fx_write(&f, DIR "index.json.blob", "x", 1);
    check_one(&f, "index.json.blob", "API-097");
    fx_stop(&f);
}

/* A finished backup of one blob file. */
static void blob_backup(struct fx *f)
{
    struct pbr_store_backup *b;
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    struct fx_file file = { 0 };
    struct fx_chunk c = fx_text_blob(f, "key: value\n");
    check_ok(fx_begin(f, "a", FX_TIME, &b, diag));
    check_ok(pbr_store_backup_blob(b, "x.conf.blob", c.raw.len, pbr_buf_span(&c.raw), diag));
    (void)snprintf(file.name, sizeof(file.name), "x.conf.blob");
    file.size = c.raw.len;
    check_ok(pbr_sha256(pbr_buf_span(&c.raw), pbr_span(NULL, 0), file.csum));
    check_ok(fx_manifest(f, b, &snap, &file, 1, diag));
    check_ok(pbr_store_backup_finish(b, diag));
    pbr_store_backup_end(b);
    fx_chunk_free(&c);
}

static void test_blobs_are_compared_with_the_manifest(void **state)
{
    struct fx f;
    (void)state;
    fx_start(&f);
    blob_backup(&f);
    struct pbr_verify_report r = verify(&f, (struct pbr_verify_opts){ 0 });
    check_u64(r.failed_snapshots, 0);
    check_u64(r.blobs, 1);
    pbr_verify_report_release(&r);
    struct fx_chunk other = fx_text_blob(&f, "key: valuE\n");
    fx_write(&f, DIR "x.conf.blob", other.raw.ptr, other.raw.len);
    check_one(&f, "x.conf.blob", "MAN-032");
    fx_chunk_free(&other);
    fx_stop(&f);
}

static void test_names_in_the_manifest_are_not_trusted(void **state)
{
    static const char *const names[] = { "../../../secret.blob", "x.conf", ".hidden.blob", "" };
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct fx f;
        char text[512];
        struct pbr_verify_report r;
        fx_start(&f);
        fx_write(&f, "secret.blob", "x", 1);
        blob_backup(&f);
        (void)snprintf(text, sizeof(text),
                       "{\"backup-type\":\"host\",\"backup-id\":\"a\",\"backup-time\":1700000000,\"files\":[{\"filename\":"
                       "\"%s\",\"crypt-mode\":\"none\",\"size\":1,\"csum\":"
                       "\"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\"}]}", names[i]);
        struct fx_chunk c = fx_text_blob(&f, text);
        fx_write(&f, DIR "index.json.blob", c.raw.ptr, c.raw.len);
        fx_chunk_free(&c);
        r = verify(&f, (struct pbr_verify_opts){ 0 });
        check_u64(r.failed_snapshots, 1);
        check_str(r.items[0].problems[0].file, "index.json.blob");
        check_u64(r.blobs, 0); /* nothing outside was opened */
        pbr_verify_report_release(&r);
        fx_stop(&f);
    }
}

static void test_the_result_can_be_noted_in_the_manifest(void **state)
{
    struct fx f;
    struct pbr_store_snapshots l;
    char rel[128];
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    (void)state;
    start(&f);
    struct pbr_verify_opts opts = { .snapshot = &snap, .upid = "UPID:1" };
    struct pbr_verify_report r = verify(&f, opts);
    pbr_verify_report_release(&r);
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check_str(l.items[0].verify_state, "ok");
    pbr_store_snapshots_release(&l);
    chunk_rel(&f, 1, rel);
    flip(&f, rel, -1);
    r = verify(&f, opts);
    pbr_verify_report_release(&r);
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check_str(l.items[0].verify_state, "failed");
    check_str(l.items[0].verify_upid, "UPID:1");
    pbr_store_snapshots_release(&l);
    fx_stop(&f);
}

static void test_what_is_verified_can_be_chosen(void **state)
{
    struct fx f;
    const struct pbr_group g = { .type = "host", .id = "b" };
    const struct pbr_snapshot gone = fx_snap("c", FX_TIME);
    struct pbr_verify_report r;
    (void)state;
    start(&f);
    fx_backup_ok(&f, "b", FX_TIME, seeds, 1);
    r = verify(&f, (struct pbr_verify_opts){ .group = &g });
    check_int(r.nr, 1);
    check_str(r.items[0].id.group.id, "b");
    pbr_verify_report_release(&r);
    const struct pbr_verify_opts opts = { .snapshot = &gone };
    check_fail(pbr_store_verify(f.s, &opts, &r, diag), PBR_E_NOENT, "API-097");
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_store_has_no_problems_and_each_chunk_is_read_once),
        cmocka_unit_test(test_damaged_chunks_are_found),
        cmocka_unit_test(test_a_chunk_with_good_crc_and_other_content_is_found),
        cmocka_unit_test(test_an_encrypted_chunk_in_an_unencrypted_archive_is_found),
        cmocka_unit_test(test_damaged_indexes_are_found),
        cmocka_unit_test(test_a_missing_file_or_manifest_is_found),
        cmocka_unit_test(test_blobs_are_compared_with_the_manifest),
        cmocka_unit_test(test_names_in_the_manifest_are_not_trusted),
        cmocka_unit_test(test_the_result_can_be_noted_in_the_manifest),
        cmocka_unit_test(test_what_is_verified_can_be_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
