/* SPDX-License-Identifier: MIT */
/* covers: BKP-119 BKP-147 BKP-148 BKP-150 BKP-151 BKP-153 BKP-155 BKP-156 BKP-157 BKP-158 BKP-159 BKP-160 BKP-161 BKP-162 BKP-163 BKP-164 BKP-165 IDX-049 IDX-060 IDX-061 IDX-062 IDX-063 IDX-064 */
/* Fixed index writers: placement, sizes known and growing, incremental ones; each refusal with its text. */
#include "store_fixture.h"

#define FIXED PBR_INDEX_FIXED
#define CS PBR_FIDX_CHUNK_SIZE
static const char csum_of_zero_and_hello[] = "97b78b3b89518e9dd8a29b80e1ae99650dd0a6ddc2bd31900d31e424e9aa2f41";
static const char zero_csum[] = "0000000000000000000000000000000000000000000000000000000000000000";

struct session {
    struct fx f;
    struct pbr_store_backup *b;
    struct fx_chunk zero, hello; /* 4 MiB of zeros, "hello world": the worked example */
    uint64_t wid;
};

static void start(struct session *s)
{
    fx_start(&s->f);
    check_ok(fx_begin(&s->f, "a", FX_TIME, &s->b, diag));
    uint8_t *zeros = calloc(CS, 1);
    assert_non_null(zeros);
    fx_seal(&s->f, pbr_span(zeros, CS), true, &s->zero);
    free(zeros);
    s->hello = fx_text_blob(&s->f, "hello world");
}

static void stop(struct session *s)
{
    pbr_store_backup_end(s->b);
    fx_chunk_free(&s->zero);
    fx_chunk_free(&s->hello);
    fx_stop(&s->f);
}

/* size 0: not given */
static int create(struct session *s, uint64_t size, const char *reuse, struct pbr_diag *diag)
{
    const struct pbr_store_index_opts o = {
        .kind = FIXED, .name = "d.img.fidx", .has_size = size != 0, .size = size, .reuse_csum = reuse
    };
    return pbr_store_backup_create(s->b, &o, &s->wid, diag);
}

static void upload_both(struct session *s)
{
    check_ok(fx_upload(s->b, FIXED, s->wid, &s->zero, NULL, diag));
    check_ok(fx_upload(s->b, FIXED, s->wid, &s->hello, NULL, diag));
}

static int append(struct session *s, const struct fx_chunk *c, uint64_t off, struct pbr_diag *diag)
{
    return pbr_store_backup_append(s->b, FIXED, s->wid, c->digest, off, diag);
}

static int close_index(struct session *s, uint64_t nr, uint64_t size, const char *csum, struct pbr_diag *diag)
{
    return pbr_store_backup_close(s->b, FIXED, s->wid, nr, size, csum, diag);
}

static void check_index(struct session *s, uint64_t size)
{
    const struct pbr_span file = fx_read(&s->f, "host/a/2023-11-14T22:13:20Z/d.img.fidx");
    struct pbr_index ix;
    check_ok(pbr_index_parse(file, true, &ix, diag));
    check_int(ix.kind, PBR_INDEX_FIXED);
    check_u64(ix.size, size);
    check_u64(ix.chunk_size, CS);
    check(memcmp(pbr_index_digest(&ix, 0), s->zero.digest, PBR_DIGEST_LEN) == 0);
    test_unload(file);
}

static void test_the_worked_example_is_accepted_in_any_order(void **state)
{
    struct session s;
    (void)state;
    start(&s);
    check_ok(create(&s, CS + 11, NULL, diag));
    check(fx_exists(&s.f, "host/a/2023-11-14T22:13:20Z/d.img.tmp_fidx"));
    upload_both(&s);
    check_ok(append(&s, &s.hello, CS, diag));
    check_ok(append(&s, &s.zero, 0, diag));
    check_ok(close_index(&s, 2, CS + 11, csum_of_zero_and_hello, diag));
    check_index(&s, CS + 11);
    stop(&s);
}

static void test_a_growing_index_takes_the_highest_end(void **state)
{
    struct session s;
    (void)state;
    start(&s);
    check_ok(create(&s, 0, NULL, diag));
    upload_both(&s);
    check_ok(append(&s, &s.zero, 0, diag));
    check_ok(append(&s, &s.hello, CS, diag));
    check_text(append(&s, &s.zero, 2 * CS, diag), PBR_E_PROTO, "BKP-156",
               "refusing to resize from 4194315 to 12582912"); /* an end off the grid freezes the size */
    check_text(close_index(&s, 2, CS + 12, csum_of_zero_and_hello, diag), PBR_E_PROTO, "BKP-162",
               "fixed writer 'd.img.fidx' close failed - unexpected size (4194316 != 4194315)");
    check_ok(close_index(&s, 2, CS + 11, csum_of_zero_and_hello, diag));
    check_index(&s, CS + 11);
    stop(&s);
}

static void test_a_growing_index_without_chunks_cannot_be_closed(void **state)
{
    struct session s;
    (void)state;
    start(&s);
    check_ok(create(&s, 0, NULL, diag));
    check_ok(fx_upload(s.b, FIXED, s.wid, &s.zero, NULL, diag));
    check_text(close_index(&s, 0, 0, zero_csum, diag), PBR_E_STATE, "BKP-165",
               "fidx file must have at least one chunk");
    check_text(append(&s, &s.zero, 0, diag), PBR_E_STATE, "BKP-165", "cannot write to closed index file.");
    check_text(close_index(&s, 0, 0, zero_csum, diag), PBR_E_STATE, "BKP-165",
               "cannot close already closed index file.");
    check_fail(pbr_store_backup_finish(s.b, diag), PBR_E_STATE, "BKP-181");
    stop(&s);
}

static void test_refused_appends_have_the_originals_texts(void **state)
{
    struct session s;
    (void)state;
    start(&s);
    check_int(create(&s, UINT64_MAX, NULL, NULL), PBR_E_LIMIT); /* no index of that size is even begun */
    check_ok(create(&s, 2 * CS + 11, NULL, diag));
    upload_both(&s);
    check_text(append(&s, &s.zero, 2 * CS, diag), PBR_E_PROTO, "BKP-156",
               "refusing to resize from 8388619 to 12582912");
    check_text(append(&s, &s.hello, CS, diag), PBR_E_PROTO, "BKP-156", "chunk with unexpected length (11 != 4194304");
    check_text(append(&s, &s.zero, 4096, diag), PBR_E_PROTO, "BKP-156", "got unaligned chunk (pos = 4096)");
    check_text(append(&s, &s.zero, UINT64_MAX - 100, diag), PBR_E_PROTO, "BKP-156",
               "got chunk with small offset (4194203 < 4194304");
    check_ok(append(&s, &s.hello, 2 * CS, diag));
    stop(&s);
}

static void test_only_one_short_chunk_may_be_uploaded(void **state)
{
    struct session s;
    (void)state;
    start(&s);
    check_ok(create(&s, CS + 11, NULL, diag));
    upload_both(&s);
    check_text(fx_upload(s.b, FIXED, s.wid, &s.hello, NULL, diag), PBR_E_PROTO, "BKP-119",
               "fixed writer '1' - detected multiple end chunks (chunk size too small)");
    uint8_t *big = calloc(CS + 1, 1);
    assert_non_null(big);
    struct fx_chunk c;
    fx_seal(&s.f, pbr_span(big, CS + 1), true, &c);
    free(big);
    check_text(fx_upload(s.b, FIXED, s.wid, &c, NULL, diag), PBR_E_PROTO, "BKP-119",
               "fixed writer 'd.img.fidx' - got large chunk (4194305 > 4194304");
    fx_chunk_free(&c);
    stop(&s);
}

static void test_close_compares_counts_size_and_checksum(void **state)
{
    struct session s;
    (void)state;
    start(&s);
    check_ok(create(&s, CS + 11, NULL, diag));
    upload_both(&s);
    check_ok(append(&s, &s.zero, 0, diag));
    check_text(close_index(&s, 2, CS + 11, zero_csum, diag), PBR_E_PROTO, "BKP-161",
               "fixed writer 'd.img.fidx' close failed - received wrong number of chunk (1 != 2)");
    check_text(close_index(&s, 1, CS + 11, zero_csum, diag), PBR_E_PROTO, "BKP-162",
               "fixed writer 'd.img.fidx' close failed - unexpected chunk count (2 != 1)");
    check_ok(append(&s, &s.zero, 0, diag)); /* the same entry again: counts twice */
    check_text(close_index(&s, 2, CS, zero_csum, diag), PBR_E_PROTO, "BKP-162",
               "fixed writer 'd.img.fidx' close failed - unexpected file size (4194315 != 4194304)");
    check_text(close_index(&s, 2, CS + 11, zero_csum, diag), PBR_E_INTEGRITY, "BKP-164",
               "fixed writer 'd.img.fidx' close failed - got unexpected checksum");
    check_text(append(&s, &s.zero, 0, diag), PBR_E_STATE, "BKP-136",
               "fixed writer 'd.img.fidx' append chunk failed - already closed");
    stop(&s);
}

/* Finishes the session with the worked example and begins the next one of the group. */
static void next_generation(struct session *s)
{
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    struct fx_file file = { .name = "d.img.fidx", .size = CS + 11 };
    check_ok(create(s, CS + 11, NULL, diag));
    upload_both(s);
    check_ok(append(s, &s->zero, 0, diag));
    check_ok(append(s, &s->hello, CS, diag));
    check_ok(close_index(s, 2, CS + 11, csum_of_zero_and_hello, diag));
    check_ok(fx_manifest(&s->f, s->b, &snap, &file, 1, diag));
    check_ok(pbr_store_backup_finish(s->b, diag));
    pbr_store_backup_end(s->b);
    check_ok(fx_begin(&s->f, "a", FX_TIME + 1, &s->b, diag));
}

static void test_an_incremental_index_starts_from_the_previous_one(void **state)
{
    struct session s;
    uint64_t size;
    int fd;
    (void)state;
    start(&s);
    next_generation(&s);
    check_ok(create(&s, CS + 11, csum_of_zero_and_hello, diag));
    check_fail(append(&s, &s.zero, 0, diag), PBR_E_NOENT, "BKP-132"); /* reuse registers nothing */
    check_ok(close_index(&s, 0, 0, csum_of_zero_and_hello, diag));    /* size is not looked at */
    const struct pbr_span file = fx_read(&s.f, "host/a/2023-11-14T22:13:21Z/d.img.fidx");
    struct pbr_index ix;
    check_ok(pbr_index_parse(file, true, &ix, diag));
    check_u64(ix.size, CS + 11);
    check(memcmp(pbr_index_digest(&ix, 1), s.hello.digest, PBR_DIGEST_LEN) == 0);
    test_unload(file);
    check_ok(create(&s, CS + 11, csum_of_zero_and_hello, diag));
    check_ok(pbr_store_backup_previous(s.b, "d.img.fidx", &fd, &size, diag));
    close(fd);
    check_ok(append(&s, &s.hello, CS, diag));
    check_ok(close_index(&s, 1, 4711, csum_of_zero_and_hello, diag));
    stop(&s);
}

static void test_reuse_is_refused_with_the_originals_texts(void **state)
{
    struct session s;
    struct pbr_diag d = { 0 };
    (void)state;
    start(&s);
    check_text(create(&s, 0, zero_csum, diag), PBR_E_ARG, "BKP-151", "size is required for incremental backups");
    check_text(create(&s, CS, zero_csum, diag), PBR_E_STATE, "BKP-151",
               "cannot reuse index - no valid previous backup exists");
    next_generation(&s);
    const struct pbr_store_index_opts other = {
        .kind = FIXED, .name = "e.img.fidx", .has_size = true, .size = CS, .reuse_csum = zero_csum
    };
    check_text(pbr_store_backup_create(s.b, &other, &s.wid, diag), PBR_E_NOENT, "BKP-151",
               "cannot reuse index - no previous backup exists for archive");
    check_int(create(&s, CS + 11, zero_csum, &d), PBR_E_INTEGRITY);
    char text[512];
    (void)snprintf(text, sizeof(text), "expected csum (%s) doesn't match last backup's (%s), cannot do incremental "
                   "backup", zero_csum, csum_of_zero_and_hello);
    check_str(d.text, text);
    char upper[65];
    for (size_t i = 0; i < 65; i++)
        upper[i] = (char)(csum_of_zero_and_hello[i] >= 'a' ? csum_of_zero_and_hello[i] - 32 : csum_of_zero_and_hello[i]);
    check_fail(create(&s, CS + 11, upper, diag), PBR_E_INTEGRITY, "BKP-151"); /* compared as text */
    check_text(create(&s, 3 * CS, csum_of_zero_and_hello, diag), PBR_E_STATE, "BKP-151",
               "cannot reuse index - index sizes not equal (3 != 2)");
    stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_worked_example_is_accepted_in_any_order),
        cmocka_unit_test(test_a_growing_index_takes_the_highest_end),
        cmocka_unit_test(test_a_growing_index_without_chunks_cannot_be_closed),
        cmocka_unit_test(test_refused_appends_have_the_originals_texts),
        cmocka_unit_test(test_only_one_short_chunk_may_be_uploaded),
        cmocka_unit_test(test_close_compares_counts_size_and_checksum),
        cmocka_unit_test(test_an_incremental_index_starts_from_the_previous_one),
        cmocka_unit_test(test_reuse_is_refused_with_the_originals_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
