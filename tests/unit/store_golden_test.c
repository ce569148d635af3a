/* SPDX-License-Identifier: MIT */
/* covers: IDX-100 IDX-107 IDX-109 IDX-111 IDX-115 IDX-116 API-090 API-092 API-093 API-097 MAN-074 BLOB-091 BLOB-092 IDX-022 */
/* The datastore that the original server wrote: opened, listed as the original client printed it, verified. */
#include "store_fixture.h"

#include <jansson.h>

/* The JSON that the original client printed: the file without its command line and exit status. */
static json_t *client_output(const char *name)
{
    char path[256];
    json_error_t err;
    (void)snprintf(path, sizeof(path), "testdata/golden/datastore/client-output/%s", name);
    const struct pbr_span text = test_load(path);
    const uint8_t *start = memchr(text.ptr, '\n', text.len);
    assert_non_null(start);
    const size_t len = text.len - (size_t)(start - text.ptr);
    json_t *j = json_loadb((const char *)start, len, JSON_DISABLE_EOF_CHECK, &err);
    assert_non_null(j);
    test_unload(text);
    return j;
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static void check_files(const struct pbr_store_snapshot *got, const json_t *want)
{
    check_int(got->file_nr, json_array_size(want));
    for (size_t i = 0; i < got->file_nr; i++) {
        const json_t *f = json_array_get(want, i);
        check_str(got->files[i].name, text_of(f, "filename"));
        check(got->files[i].has_info);
        check_str(pbr_crypt_mode_name(got->files[i].crypt_mode), text_of(f, "crypt-mode"));
        check_u64(got->files[i].size, (uint64_t)json_integer_value(json_object_get(f, "size")));
    }
}

static const struct pbr_store_snapshot *find(const struct pbr_store_snapshots *l, const json_t *want)
{
    for (size_t i = 0; i < l->nr; i++) {
        if (strcmp(l->items[i].id.group.id, text_of(want, "backup-id")) == 0 &&
            l->items[i].id.time_s == json_integer_value(json_object_get(want, "backup-time")))
            return &l->items[i];
    }
    fail_msg("snapshot of %s not listed", text_of(want, "backup-id"));
    return NULL;
}

static void test_snapshots_are_listed_as_the_original_lists_them(void **state)
{
    struct fx f;
    struct pbr_store_snapshots l;
    (void)state;
    if (!fx_golden(&f))
        SKIP("no tar with zstd");
    json_t *want = client_output("list.txt");
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check_int(l.nr, json_array_size(want));
    for (size_t i = 0; i < json_array_size(want); i++) {
        const json_t *w = json_array_get(want, i);
        const struct pbr_store_snapshot *got = find(&l, w);
        check_files(got, json_object_get(w, "files"));
        check_u64(got->size, (uint64_t)json_integer_value(json_object_get(w, "size")));
        check_str(got->owner, text_of(w, "owner"));
        check(got->finished && got->has_manifest && !got->is_protected && !got->notes);
        if (text_of(w, "fingerprint"))
            check_str(got->fingerprint, text_of(w, "fingerprint"));
        else
            check(got->fingerprint == NULL);
    }
    json_decref(want);
    pbr_store_snapshots_release(&l);
    fx_stop(&f);
}

static void test_groups_are_listed_as_the_original_lists_them(void **state)
{
    struct fx f;
    struct pbr_store_groups l;
    (void)state;
    if (!fx_golden(&f))
        SKIP("no tar with zstd");
    json_t *want = client_output("list-groups.txt");
    check_ok(pbr_store_list_groups(f.s, "", &l, diag));
    check_int(l.nr, json_array_size(want));
    for (size_t i = 0; i < json_array_size(want); i++) {
        const json_t *w = json_array_get(want, i);
        const struct pbr_store_group *got = NULL;
        for (size_t k = 0; k < l.nr; k++)
            got = strcmp(l.items[k].id.id, text_of(w, "backup-id")) == 0 ? &l.items[k] : got;
        assert_non_null(got);
        check_u64(got->backup_nr, (uint64_t)json_integer_value(json_object_get(w, "backup-count")));
        check_int(got->last_backup_s, json_integer_value(json_object_get(w, "last-backup")));
        check_str(got->owner, text_of(w, "owner"));
        check_int(got->file_nr, json_array_size(json_object_get(w, "files")));
    }
    json_decref(want);
    pbr_store_groups_release(&l);
    fx_stop(&f);
}

static void test_files_of_one_snapshot_are_listed_as_the_original_lists_them(void **state)
{
    struct fx f;
    struct pbr_store_snapshots l;
    const struct pbr_snapshot snap = fx_snap("split", 1700000100);
    (void)state;
    if (!fx_golden(&f))
        SKIP("no tar with zstd");
    json_t *want = client_output("files.txt");
    check_ok(pbr_store_list_files(f.s, "", &snap, &l, diag));
    check_int(l.nr, 1);
    check_files(&l.items[0], want);
    json_decref(want);
    pbr_store_snapshots_release(&l);
    fx_stop(&f);
}

static void test_prune_selects_as_the_original_does(void **state)
{
    struct fx f;
    struct pbr_prune_result r;
    const struct pbr_prune_keep keep = { .last = 1 };
    const struct pbr_group g = { .type = "host", .id = "reuse" };
    (void)state;
    if (!fx_golden(&f))
        SKIP("no tar with zstd");
    json_t *want = client_output("prune-dry.txt");
    check_ok(pbr_store_prune(f.s, "", &g, &keep, true, &r, diag));
    check_int(r.nr, json_array_size(want));
    for (size_t i = 0; i < r.nr; i++) {
        const json_t *w = json_array_get(want, i);
        check_int(r.items[i].time_s, json_integer_value(json_object_get(w, "backup-time")));
        check_int(pbr_prune_keeps(r.items[i].mark), json_is_true(json_object_get(w, "keep")));
    }
    check_int(r.removed, 0);
    pbr_free(&f.env, r.items);
    json_decref(want);
    fx_stop(&f);
}

static void test_everything_in_it_verifies(void **state)
{
    struct fx f;
    struct pbr_verify_report r;
    struct pbr_store_figures fig;
    (void)state;
    if (!fx_golden(&f))
        SKIP("no tar with zstd");
    check_ok(pbr_store_verify(f.s, NULL, &r, diag));
    for (size_t i = 0; i < r.nr; i++) {
        for (size_t k = 0; k < r.items[i].problem_nr; k++)
            print_error("%s: %s\n", r.items[i].problems[k].file, r.items[i].problems[k].text);
    }
    check_u64(r.failed_snapshots, 0);
    check_int(r.nr, 12);
    check_u64(r.skipped_snapshots, 0);
    check_u64(r.missing_chunks, 0);
    check_u64(r.blobs, 3);
    check_ok(pbr_store_figures(f.s, &fig, diag));
    check_u64(fig.snapshots, 12);
    check_u64(fig.groups, 7);
    check_u64(fig.indexes, r.indexes);
    check(r.chunks <= fig.chunks && r.chunks > 0);
    pbr_verify_report_release(&r);
    fx_stop(&f);
}

static void test_every_flipped_byte_of_a_chunk_is_found(void **state)
{
    struct fx f;
    struct pbr_verify_report r;
    struct pbr_store_index ix;
    char rel[128], hex[65];
    const struct pbr_snapshot snap = fx_snap("enc", 1700000000);
    (void)state;
    if (!fx_golden(&f))
        SKIP("no tar with zstd");
    check_ok(pbr_store_load_index(f.s, "", &snap, "root.ppxar.didx", &ix, diag));
    pbr_format_hex(pbr_index_digest(&ix.ix, 0), PBR_DIGEST_LEN, hex);
    pbr_store_index_release(&ix);
    (void)snprintf(rel, sizeof(rel), ".chunks/%.4s/%s", hex, hex);
    const struct pbr_span good = fx_read(&f, rel);
    uint8_t *bad = malloc(good.len);
    assert_non_null(bad);
    const struct pbr_verify_opts opts = { .ns = "", .snapshot = &snap };
    for (size_t i = 0; i < good.len; i++) {
        if (i >= 12 && i < 44)
            continue; /* IV and tag: no CRC covers them, and there is no key */
        memcpy(bad, good.ptr, good.len);
        bad[i] ^= 0x40;
        fx_write(&f, rel, bad, good.len);
        check_ok(pbr_store_verify(f.s, &opts, &r, diag));
        if (r.failed_snapshots != 1)
            fail_msg("byte %zu of an encrypted chunk changed unnoticed", i);
        pbr_verify_report_release(&r);
    }
    free(bad);
    test_unload(good);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots_are_listed_as_the_original_lists_them),
        cmocka_unit_test(test_groups_are_listed_as_the_original_lists_them),
        cmocka_unit_test(test_files_of_one_snapshot_are_listed_as_the_original_lists_them),
        cmocka_unit_test(test_prune_selects_as_the_original_does),
        cmocka_unit_test(test_everything_in_it_verifies),
        cmocka_unit_test(test_every_flipped_byte_of_a_chunk_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
