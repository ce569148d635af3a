/* SPDX-License-Identifier: MIT */
/* covers: BLOB-001 BLOB-002 BLOB-003 BLOB-004 BLOB-005 BLOB-008 BLOB-011 BLOB-012 BLOB-013 */
/* covers: BLOB-050 BLOB-051 BLOB-110 BLOB-111 BLOB-112 BKP-114 BKP-117 BKP-172 */
#include "format/blob.h"
#include "prim/prim.h"
#include "vector.h"

static const char *const kind_names[] = { "uncompressed", "compressed", "encrypted",
                                          "encrypted-compressed" };

static void test_magics_are_the_start_of_the_hash_of_their_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Proxmox Backup uncompressed blob v1.0",
        "Proxmox Backup zstd compressed blob v1.0",
        "Proxmox Backup encrypted blob v1.0",
        "Proxmox Backup zstd compressed encrypted blob v1.0",
    };
    for (int kind = 0; kind < 4; kind++) {
        uint8_t digest[PBR_DIGEST_LEN], hdr[44];
        const struct pbr_blob blob = { .kind = (enum pbr_blob_kind)kind };
        check_int(pbr_sha256(pbr_span_str(texts[kind]), pbr_span(NULL, 0), digest), PBR_OK);
        pbr_blob_hdr_emit(&blob, hdr);
        assert_memory_equal(hdr, digest, 8);
        check_u64(pbr_blob_hdr_len(blob.kind), kind < 2 ? 12 : 44);
    }
}

static void test_vectors_parse_and_their_headers_emit_equal(void **state)
{
    (void)state;
    json_t *top = vector_load("blob");
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(top, "valid"), i, v)
    {
        const struct pbr_span raw = vector_hex(v, "blob_hex");
        struct pbr_blob blob;
        uint8_t hdr[44];
        check_int(pbr_blob_parse(raw, &blob, NULL), PBR_OK);
        check_str(kind_names[blob.kind], vector_text(v, "magic_kind"));
        check_u64(blob.crc, vector_u64(v, "crc32_value"));
        check_int(pbr_blob_check_crc(&blob, NULL), PBR_OK);
        const size_t hdr_len = pbr_blob_hdr_len(blob.kind);
        check_u64(blob.payload.len, raw.len - hdr_len);
        pbr_blob_hdr_emit(&blob, hdr);
        check_span(pbr_span(hdr, hdr_len), pbr_span_sub(raw, 0, hdr_len));
        test_unload(raw);
    }
    check(i > 10);
    json_decref(top);
}

static void test_length_is_checked_before_magic_and_named_as_the_server_does(void **state)
{
    (void)state;
    static const struct {
        const char *magic;
        size_t len;
        int want;
        const char *text;
    } cases[] = {
        { "0000000000000000", 0, PBR_E_TRUNCATED, "blob too small (0 bytes)." },
        { "42ab3807be8370a1", 11, PBR_E_TRUNCATED, "blob too small (11 bytes)." },
        { "42ab3807be8370a1", 12, PBR_OK, "" },
        { "31b958426fb6a37f", 12, PBR_OK, "" },
        { "43ab3807be8370a1", 12, PBR_E_FORMAT, "unable to parse raw blob - wrong magic" },
        { "0000000000000000", 50, PBR_E_FORMAT, "unable to parse raw blob - wrong magic" },
        { "7b6785be222d4cf0", 12, PBR_E_TRUNCATED, "encrypted blob too small (12 bytes)." },
        { "7b6785be222d4cf0", 43, PBR_E_TRUNCATED, "encrypted blob too small (43 bytes)." },
        { "e6591bbf0bbfd80b", 43, PBR_E_TRUNCATED, "encrypted blob too small (43 bytes)." },
        { "e6591bbf0bbfd80b", 44, PBR_OK, "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t raw[50] = { 0 };
        struct pbr_diag d = { 0 };
        struct pbr_blob blob = { .crc = 77 };
        check(pbr_parse_hex(pbr_span_str(cases[i].magic), raw, 8));
        check_int(pbr_blob_parse(pbr_span(raw, cases[i].len), &blob, &d), cases[i].want);
        check_str(d.text, cases[i].text);
        check_u64(d.off, 0);
        if (cases[i].want != PBR_OK)
            check_u64(blob.crc, 77); /* outputs are untouched */
    }
}

static void test_crc_covers_the_payload_and_nothing_else(void **state)
{
    (void)state;
    json_t *top = vector_load("blob");
    size_t k;
    json_t *v;
    json_array_foreach(json_object_get(top, "valid"), k, v)
    {
        const struct pbr_span loaded = vector_hex(v, "blob_hex");
        uint8_t *raw = (uint8_t *)(uintptr_t)loaded.ptr;
        for (size_t i = 8; i < loaded.len; i++) {
            struct pbr_blob blob;
            struct pbr_diag d = { 0 };
            raw[i] ^= 0x20;
            check_int(pbr_blob_parse(loaded, &blob, NULL), PBR_OK);
            const size_t hdr_len = pbr_blob_hdr_len(blob.kind);
            const bool covered = i < 12 || i >= hdr_len; /* the field itself, or the payload */
            check_int(pbr_blob_check_crc(&blob, &d), covered ? PBR_E_INTEGRITY : PBR_OK);
            if (covered) {
                check_str(d.text, "Data blob has wrong CRC checksum.");
                check_str(d.rule, "BLOB-051");
            }
            raw[i] ^= 0x20;
        }
        test_unload(loaded);
    }
    json_decref(top);
}

static void test_wrong_crc_can_be_put_right_in_place(void **state)
{
    (void)state;
    json_t *top = vector_load("blob");
    size_t k;
    json_t *v;
    json_array_foreach(json_object_get(top, "valid"), k, v)
    {
        const struct pbr_span want = vector_hex(v, "blob_hex");
        const struct pbr_span got = vector_hex(v, "blob_hex");
        memset((uint8_t *)(uintptr_t)got.ptr + 8, 0xee, 4);
        pbr_blob_fix_crc((uint8_t *)(uintptr_t)got.ptr, got.len);
        check_span(got, want);
        test_unload(want);
        test_unload(got);
    }
    json_decref(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_magics_are_the_start_of_the_hash_of_their_texts),
        cmocka_unit_test(test_vectors_parse_and_their_headers_emit_equal),
        cmocka_unit_test(test_length_is_checked_before_magic_and_named_as_the_server_does),
        cmocka_unit_test(test_crc_covers_the_payload_and_nothing_else),
        cmocka_unit_test(test_wrong_crc_can_be_put_right_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
