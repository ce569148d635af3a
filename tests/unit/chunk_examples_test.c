/* SPDX-License-Identifier: MIT */
/* covers: BLOB-002 BLOB-003 BLOB-004 BLOB-014 BLOB-022 BLOB-110 BLOB-111 BLOB-112 BLOB-114 BLOB-115 IDX-130 IDX-131 CAT-090
 * BKP-126 CRY-030 CRY-092 */
/* Blobs, index files, catalog and protected key that stand in spec/ as bytes: parsed, and emitted again as they were. */
#include "spec_example.h"

#include "chunk/seal.h"
#include "format/catalog.h"
#include "format/index.h"

static const uint8_t KEY[32] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

/* The IV of the examples: a0 a1 ... */
static int counting_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(0xa0 + i);
    return PBR_OK;
}

struct blob_example {
    const char *sheet, *name, *plain;
    bool keyed;
    bool canonical; /* sealing gives the same bytes: not so for zstd frames (BLOB-031) */
};

static void check_blob(const struct blob_example *x)
{
    struct test_world w;
    struct pbr_env env = test_env(&w);
    struct pbr_crypt crypt;
    struct pbr_span raw = example_load(x->sheet, x->name), plain;
    struct pbr_opener *opener = NULL;
    struct pbr_sealer *sealer = NULL;
    struct pbr_buf out, sealed;
    uint8_t digest[PBR_DIGEST_LEN];
    env.random = counting_random;
    pbr_buf_init(&out, &env, 1 << 16);
    pbr_buf_init(&sealed, &env, 1 << 16);
    check_int(pbr_crypt_init(&crypt, KEY), PBR_OK);
    const struct pbr_crypt *key = x->keyed ? &crypt : NULL;

    check_int(pbr_chunk_digest(key, pbr_span_str(x->plain), digest), PBR_OK);
    check_int(pbr_opener_new(&env, &opener), PBR_OK);
    const struct pbr_open_opts opts = { .crypt = key, .digest = digest };
    check_int(pbr_open_blob(opener, raw, &opts, &out, &plain, NULL), PBR_OK);
    check_span(plain, pbr_span_str(x->plain));
    check_int(pbr_sealer_new(&env, &sealer), PBR_OK);
    check_int(pbr_seal(sealer, key, !x->canonical, pbr_span_str(x->plain), &sealed, NULL), PBR_OK);
    if (x->canonical)
        check_span(pbr_buf_span(&sealed), raw);
    else
        check(memcmp(pbr_buf_span(&sealed).ptr, raw.ptr, 8) == 0);

    pbr_sealer_free(sealer);
    pbr_opener_free(opener);
    pbr_buf_release(&sealed);
    pbr_buf_release(&out);
    pbr_crypt_wipe(&crypt);
    test_unload(raw);
    check_int(w.live_allocs, 0);
}

static void test_example_blobs_open_and_seal(void **state)
{
#define A25 "aaaaaaaaaaaaaaaaaaaaaaaaa"
    static const struct blob_example examples[] = {
        { "data-blob.md", "blob-plain", "hello", false, true },
        { "data-blob.md", "blob-encrypted", "hello", true, true },
        { "data-blob.md", "blob-encrypted-empty", "", true, true },
        { "data-blob.md", "blob-zstd", A25 A25 A25 A25, false, false },
        { "data-blob.md", "blob-encrypted-zstd", A25 A25 A25 A25, true, false },
        { "backup-protocol.md", "chunk-body", "hello world", false, true },
    };
#undef A25
    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        check_blob(&examples[i]);
}

static void test_example_dynamic_index_parses_and_is_emitted(void **state)
{
    (void)state;
    struct pbr_span file = example_load("index-files.md", "didx");
    struct pbr_index ix;
    uint8_t head[PBR_INDEX_HDR];
    static const uint64_t ends[] = { 1000, 1024, 6024 };

    check_int(pbr_index_parse(file, true, &ix, NULL), PBR_OK); /* strict: the stored checksum is right */
    check_int(ix.kind, PBR_INDEX_DYNAMIC);
    check_u64(ix.size, 6024);
    check_u64(ix.entry_nr, 3);
    pbr_index_hdr_emit(&ix, head);
    check_span(pbr_span(head, sizeof(head)), pbr_span(file.ptr, PBR_INDEX_HDR));
    for (uint64_t i = 0; i < 3; i++) {
        uint8_t rec[PBR_DIDX_REC];
        check_u64(pbr_index_end(&ix, i), ends[i]);
        pbr_didx_rec_emit(pbr_index_end(&ix, i), pbr_index_digest(&ix, i), rec);
        check_span(pbr_span(rec, sizeof(rec)), pbr_span(file.ptr + PBR_INDEX_HDR + i * PBR_DIDX_REC, sizeof(rec)));
    }
    test_unload(file);
}

static void test_example_fixed_index_parses_and_is_emitted(void **state)
{
    (void)state;
    struct pbr_span file = example_load("index-files.md", "fidx");
    struct pbr_index ix;
    uint8_t head[PBR_INDEX_HDR];

    check_int(pbr_index_parse(file, true, &ix, NULL), PBR_OK);
    check_int(ix.kind, PBR_INDEX_FIXED);
    check_u64(ix.size, 8196);
    check_u64(ix.chunk_size, 4096);
    check_u64(ix.entry_nr, 3);
    check_u64(pbr_index_end(&ix, 2), 8196);
    pbr_index_hdr_emit(&ix, head);
    check_span(pbr_span(head, sizeof(head)), pbr_span(file.ptr, PBR_INDEX_HDR));
    test_unload(file);
}

static void test_example_catalog_walks_and_is_written(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_span file = example_load("catalog.md", "catalog");
    const struct pbr_source src = pbr_source_mem(&file);
    struct pbr_pcat *cat = NULL;
    struct pbr_pcat_walk *walk = NULL;
    struct pbr_pcat_writer *writer = NULL;
    struct pbr_pcat_entry e;
    struct pbr_buf out;
    pbr_buf_init(&out, &env, 1 << 12);
    struct pbr_sink sink = pbr_sink_buf(&out);
    size_t depth = 0;
    int rc;

    check_int(pbr_pcat_open(&env, &src, &cat, NULL), PBR_OK);
    check_int(pbr_pcat_walk_new(cat, pbr_pcat_root(cat), &walk, NULL), PBR_OK);
    check_int(pbr_pcat_writer_new(&env, &sink, &writer, NULL), PBR_OK);
    while ((rc = pbr_pcat_walk_next(walk, &e, NULL)) == 1) {
        for (; depth > pbr_pcat_walk_depth(walk); depth--)
            check_int(pbr_pcat_writer_end_dir(writer, NULL), PBR_OK);
        if (e.type == PBR_PCAT_DIR) {
            check_int(pbr_pcat_writer_start_dir(writer, e.name, NULL), PBR_OK);
            depth++;
        } else {
            check_int(pbr_pcat_writer_add(writer, &e, NULL), PBR_OK);
        }
    }
    check_int(rc, 0);
    for (; depth > 0; depth--)
        check_int(pbr_pcat_writer_end_dir(writer, NULL), PBR_OK);
    check_int(pbr_pcat_writer_finish(writer, NULL), PBR_OK);
    check_span(pbr_buf_span(&out), file);

    pbr_pcat_writer_free(writer);
    pbr_pcat_walk_free(walk);
    pbr_pcat_free(cat);
    pbr_buf_release(&out);
    test_unload(file);
    check_int(w.live_allocs, 0);
}

static void test_example_protected_key_opens(void **state)
{
    (void)state;
    struct pbr_span raw = example_load("crypto.md", "key-data");
    uint8_t salt[32], derived[32], key[32], again[32], tag[16];
    for (size_t i = 0; i < sizeof(salt); i++)
        salt[i] = (uint8_t)(0x40 + i);

    check_u64(raw.len, 64);
    check_int(pbr_scrypt(pbr_span_str("correct horse"), pbr_span(salt, sizeof(salt)), 65536, 8, 1, derived,
                         sizeof(derived)),
              PBR_OK);
    check_int(pbr_gcm_open(derived, raw.ptr, raw.ptr + 16, pbr_span(raw.ptr + 32, 32), key), PBR_OK);
    check_span(pbr_span(key, sizeof(key)), pbr_span(KEY, sizeof(KEY)));
    check_int(pbr_gcm_seal(derived, raw.ptr, pbr_span(key, sizeof(key)), again, tag), PBR_OK);
    check_span(pbr_span(again, sizeof(again)), pbr_span(raw.ptr + 32, 32));
    check_span(pbr_span(tag, sizeof(tag)), pbr_span(raw.ptr + 16, 16));
    test_unload(raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_blobs_open_and_seal),
        cmocka_unit_test(test_example_dynamic_index_parses_and_is_emitted),
        cmocka_unit_test(test_example_fixed_index_parses_and_is_emitted),
        cmocka_unit_test(test_example_catalog_walks_and_is_written),
        cmocka_unit_test(test_example_protected_key_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
