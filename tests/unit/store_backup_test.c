/* SPDX-License-Identifier: MIT */
/* covers: CHK-088 BKP-035 BKP-036 BKP-037 BKP-038 BKP-039 BKP-040 BKP-041 BKP-042 BKP-080 BKP-091 BKP-092 BKP-093 BKP-094 BKP-096 BKP-097 BKP-100 BKP-102 BKP-104 BKP-113 BKP-118 BKP-120 BKP-121 BKP-125 BKP-126 BKP-132 BKP-133 BKP-136 BKP-138 BKP-142 BKP-143 BKP-144 BKP-146 BKP-170 BKP-171 BKP-172 BKP-173 BKP-175 BKP-181 BKP-182 BKP-185 BKP-187 BKP-200 BKP-203 BKP-204 IDX-070 IDX-071 IDX-072 IDX-073 IDX-074 IDX-111 IDX-112 IDX-116 IDX-117 IDX-118 MAN-061 MAN-064 */
/* Backup sessions on the datastore: begin, dynamic indexes, blobs, finish, abort; each refusal with its text. */
#define FX_BASE "/dev/shm"
#include "store_fixture.h"

#include <signal.h>

static const uint64_t seeds3[] = { 11, 12, 13 };

static struct pbr_store_backup *begun(struct fx *f, const char *id, int64_t time_s)
{
    struct pbr_store_backup *b = NULL;
    check_ok(fx_begin(f, id, time_s, &b, diag));
    return b;
}

/* ---- begin ---- */

static void test_a_new_group_gets_its_owner(void **state)
{
    struct fx f;
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    const struct pbr_span owner = fx_read(&f, "host/a/owner");
    check_span(owner, pbr_span_str("root@pam\n"));
    test_unload(owner);
    check(pbr_store_backup_base(b) == NULL);
    check(fx_exists(&f, "host/a/2023-11-14T22:13:20Z"));
    pbr_store_backup_end(b);
    check(!fx_exists(&f, "host/a")); /* nothing was finished: the group goes too */
    fx_stop(&f);
}

static void test_begin_refuses_with_the_originals_texts(void **state)
{
    struct fx f;
    struct pbr_store_backup *b = NULL, *c;
    struct pbr_diag d = { 0 };
    struct pbr_store_backup_opts o = { .ns = "x", .snapshot = fx_snap("a", FX_TIME), .auth_id = FX_OWNER };
    (void)state;
    fx_start(&f);
    check_int(pbr_store_backup_begin(f.s, &o, &b, &d), PBR_E_NOENT);
    check_str(d.text, "namespace not found");
    check_int(d.status, 404);
    o.ns = "";
    o.benchmark = true;
    check_text(pbr_store_backup_begin(f.s, &o, &b, diag), PBR_E_ARG, "BKP-036",
               "benchmark flags is only allowed on 'host/benchmark'");
    o.benchmark = false;
    o.snapshot = fx_snap("benchmark", FX_TIME);
    check_text(pbr_store_backup_begin(f.s, &o, &b, diag), PBR_E_ARG, "BKP-036",
               "unable to run benchmark without --benchmark flags");
    o.snapshot = fx_snap("a", FX_TIME);
    check(!fx_exists(&f, "host"));

    fx_backup_ok(&f, "a", FX_TIME, seeds3, 3);
    check_text(fx_begin(&f, "a", FX_TIME, &b, diag), PBR_E_STATE, "BKP-040",
               "backup timestamp is older than last backup.");
    check_text(fx_begin(&f, "a", FX_TIME - 1, &b, diag), PBR_E_STATE, "BKP-040",
               "backup timestamp is older than last backup.");
    o.auth_id = "other@pam";
    o.snapshot.time_s++;
    check_text(pbr_store_backup_begin(f.s, &o, &b, diag), PBR_E_STATE, "BKP-038",
               "backup owner check failed (other@pam != root@pam)");
    fx_mkdir(&f, "host/a/2023-11-14T22:13:21Z"); /* left over, unfinished */
    check_text(fx_begin(&f, "a", FX_TIME + 1, &b, diag), PBR_E_EXIST, "BKP-042", "backup directory already exists.");
    check(fx_exists(&f, "host/a/2023-11-14T22:13:21Z"));

    b = begun(&f, "a", FX_TIME + 2);
    check_fail(fx_begin(&f, "a", FX_TIME + 3, &c, diag), PBR_E_STATE, "BKP-037"); /* one writer per group */
    struct pbr_store_backup *other = begun(&f, "b", FX_TIME); /* other groups are independent */
    pbr_store_backup_end(other);
    pbr_store_backup_end(b);
    check(fx_exists(&f, "host/a/owner"));
    fx_stop(&f);
}

static void test_tokens_and_users_own_groups_as_specified(void **state)
{
    (void)state;
    check(pbr_store_owner_allows("u@pbs", "u@pbs"));
    check(pbr_store_owner_allows("u@pbs!t", "u@pbs"));
    check(pbr_store_owner_allows("u@pbs!t", "u@pbs!t"));
    check(!pbr_store_owner_allows("u@pbs", "u@pbs!t")); /* a token may not write to its user's group */
    check(!pbr_store_owner_allows("u@pbs!t2", "u@pbs!t"));
    check(!pbr_store_owner_allows("u@pbs!t!x", "u@pbs!t"));
    check(!pbr_store_owner_allows("u@pbsx", "u@pbs"));
    check(!pbr_store_owner_allows("u@pb", "u@pbs"));
}

static void test_the_base_is_the_newest_finished_snapshot_unless_it_failed_verification(void **state)
{
    struct fx f;
    struct pbr_store_backup *b;
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds3, 3);
    fx_backup_ok(&f, "a", FX_TIME + 10, seeds3, 2);
    fx_mkdir(&f, "host/a/2023-11-14T22:13:40Z"); /* newer, unfinished */
    b = begun(&f, "a", FX_TIME + 15);
    assert_non_null(pbr_store_backup_base(b));
    check_int(pbr_store_backup_base(b)->time_s, FX_TIME + 10);
    /* the base is locked while the session runs */
    const struct pbr_snapshot base = fx_snap("a", FX_TIME + 10);
    check_fail(pbr_store_forget_snapshot(f.s, "", &base, diag), PBR_E_STATE, "IDX-123");
    pbr_store_backup_end(b);

    check_ok(pbr_store_set_verify_state(f.s, "", &base, true, "UPID:x", diag));
    b = begun(&f, "a", FX_TIME + 15);
    check(pbr_store_backup_base(b) != NULL);
    pbr_store_backup_end(b);
    check_ok(pbr_store_set_verify_state(f.s, "", &base, false, "UPID:x", diag));
    b = begun(&f, "a", FX_TIME + 5); /* no base: older ones are not considered, any free time goes */
    check(pbr_store_backup_base(b) == NULL);
    pbr_store_backup_end(b);
    fx_stop(&f);
}

static void test_a_base_that_is_locked_or_unreadable_stops_the_session(void **state)
{
    struct fx f;
    struct pbr_store_backup *b;
    struct pbr_store_lock *lock;
    char text[512];
    const struct pbr_snapshot base = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds3, 3);
    check_ok(pbr_store_lock_snapshot(f.s, "", &base, PBR_STORE_EXCLUSIVE, &lock, diag));
    check_fail(fx_begin(&f, "a", FX_TIME + 1, &b, diag), PBR_E_STATE, "IDX-123");
    pbr_store_unlock(lock);
    fx_write(&f, "host/a/2023-11-14T22:13:20Z/index.json.blob", "short", 5);
    (void)snprintf(text, sizeof(text),
                   "unable to load blob '\"%s/host/a/2023-11-14T22:13:20Z/index.json.blob\"' - blob too small (5 bytes).",
                   f.root);
    check_text(fx_begin(&f, "a", FX_TIME + 1, &b, diag), PBR_E_TRUNCATED, "API-097", text);
    fx_stop(&f);
}

static void test_sessions_and_garbage_collection_exclude_each_other(void **state)
{
    struct fx f;
    struct pbr_gc_result r;
    struct pbr_store_lock *lock;
    struct pbr_store_backup *b;
    (void)state;
    fx_start(&f);
    b = begun(&f, "a", FX_TIME);
    check_fail(pbr_store_gc(f.s, NULL, &r, diag), PBR_E_STATE, "IDX-103");
    pbr_store_backup_end(b);
    check_ok(pbr_store_lock_chunks(f.s, PBR_STORE_EXCLUSIVE, &lock, diag));
    check_fail(fx_begin(&f, "a", FX_TIME, &b, diag), PBR_E_STATE, "IDX-103");
    pbr_store_unlock(lock);
    check(!fx_exists(&f, "host/a")); /* begin left nothing behind */
    check_ok(pbr_store_gc(f.s, NULL, &r, diag));
    fx_stop(&f);
}

/* ---- dynamic indexes ---- */

/* The chunks and checksums that spec/backup-protocol.md works through. */
static void test_the_worked_example_is_accepted(void **state)
{
    struct fx f;
    uint64_t wid;
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    struct fx_chunk hello = fx_text_blob(&f, "hello world");
    uint8_t raw[23], wanted[PBR_DIGEST_LEN];
    check(pbr_parse_hex(pbr_span_str("42ab3807be8370a185114a0d68656c6c6f20776f726c64"), raw, sizeof(raw)));
    check_span(pbr_buf_span(&hello.raw), pbr_span(raw, sizeof(raw)));
    check(pbr_parse_hex(pbr_span_str("11770b3ea657fe68cba19675143e4715c8de9d763d3c21a85af6b7513d43997d"), wanted, 32));
    check_ok(fx_create(b, "root.pxar.didx", &wid, diag));
    check_u64(wid, 1);
    check(fx_exists(&f, "host/a/2023-11-14T22:13:20Z/root.pxar.tmp_didx"));
    check_ok(fx_upload(b, PBR_INDEX_DYNAMIC, wid, &hello, NULL, diag));
    /* the plain text of the second digest is not given: register it by hand as a trusted, encrypted chunk */
    uint8_t enc[60];
    const struct pbr_blob head = { .kind = PBR_BLOB_ENC };
    pbr_blob_hdr_emit(&head, enc);
    memset(enc + 44, 0, sizeof(enc) - 44);
    const struct pbr_store_upload up = { .wid = wid, .digest = wanted, .size = 5, .encoded_size = sizeof(enc) };
    check_ok(pbr_store_backup_chunk(b, &up, enc, sizeof(enc), NULL, diag));
    check_ok(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, hello.digest, 0, diag));
    check_ok(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, wanted, 11, diag));
    check_ok(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, hello.digest, 16, diag));
    check_ok(pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, wid, 3, 27,
                                    "c18dc043bf2ed79dc32d3f26bd2bc91b3c1b177bf899fa85315e4d6b63c6f7c8", diag));
    check(fx_exists(&f, "host/a/2023-11-14T22:13:20Z/root.pxar.didx"));
    check(!fx_exists(&f, "host/a/2023-11-14T22:13:20Z/root.pxar.tmp_didx"));
    fx_chunk_free(&hello);
    pbr_store_backup_end(b);
    fx_stop(&f);
}

static void test_a_closed_index_parses_strictly_and_holds_what_was_appended(void **state)
{
    struct fx f;
    struct pbr_store_index ix;
    uint64_t many[16];
    (void)state;
    fx_start(&f);
    for (size_t i = 0; i < 16; i++)
        many[i] = i % 5;
    fx_backup_ok(&f, "a", FX_TIME, many, 16);
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    check_ok(pbr_store_load_index(f.s, "", &snap, "root.pxar.didx", &ix, diag));
    struct pbr_index strict;
    check_ok(pbr_index_parse(pbr_buf_span(&ix.file), true, &strict, diag));
    check_u64(strict.entry_nr, 16);
    check_int(strict.ctime_s, FX_TIME);
    check_int(strict.uuid[6] >> 4, 4); /* a random UUID */
    check(memcmp(pbr_index_digest(&strict, 3), pbr_index_digest(&strict, 8), PBR_DIGEST_LEN) == 0);
    pbr_store_index_release(&ix);
    fx_stop(&f);
}

static const char zero_csum[] = "0000000000000000000000000000000000000000000000000000000000000000";

static void test_dynamic_writers_refuse_with_the_originals_texts(void **state)
{
    struct fx f;
    struct pbr_store_put put = { 0 };
    uint64_t wid;
    uint32_t size;
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    struct fx_chunk c = fx_text_blob(&f, "hello world");
    check_text(fx_create(b, "root.pxar.fidx", &wid, diag), PBR_E_ARG, "BKP-100",
               "wrong archive extension: 'root.pxar.fidx'");
    check_fail(fx_create(b, "../x.didx", &wid, diag), PBR_E_ARG, "IDX-081");
    check_text(fx_upload(b, PBR_INDEX_DYNAMIC, 1, &c, &put, diag), PBR_E_NOENT, "BKP-125",
               "dynamic writer '1' not registered");
    check_u64(put.stored_size, c.raw.len); /* stored before the writer is looked at, but not known */
    check(!pbr_known_get(pbr_store_backup_known(b), c.digest, &size));
    check_text(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, 1, c.digest, 0, diag), PBR_E_NOENT, "BKP-132",
               "no such chunk b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
    check_ok(fx_create(b, "root.pxar.didx", &wid, diag));
    check_text(fx_upload(b, PBR_INDEX_FIXED, wid, &c, NULL, diag), PBR_E_NOENT, "BKP-125",
               "fixed writer '1' not registered");
    const struct pbr_store_upload up = { .wid = wid, .digest = c.digest, .size = 11, .encoded_size = 20 };
    check_text(pbr_store_backup_chunk(b, &up, c.raw.ptr, 23, NULL, diag), PBR_E_PROTO, "BKP-113",
               "uploaded chunk is larger than announced.");
    check_text(pbr_store_backup_chunk(b, &up, c.raw.ptr, 19, NULL, diag), PBR_E_PROTO, "BKP-113",
               "uploaded chunk has unexpected size.");
    check_ok(fx_upload(b, PBR_INDEX_DYNAMIC, wid, &c, NULL, diag));
    check_text(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, 9, c.digest, 0, diag), PBR_E_NOENT, "BKP-125",
               "dynamic writer '9' not registered");
    check_ok(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, 0, diag));
    check_text(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, 0, diag), PBR_E_PROTO, "BKP-133",
               "dynamic writer 'root.pxar.didx' append chunk failed - got strange chunk offset (11 != 0)");
    check_text(pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, wid, 1, 11, "abc", diag), PBR_E_ARG, "BKP-144",
               "Odd number of digits");
    check_text(pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, wid, 1, 11, "abcd", diag), PBR_E_ARG, "BKP-144",
               "Invalid string length");
    check_text(pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, wid, 2, 11, zero_csum, diag), PBR_E_PROTO, "BKP-142",
               "dynamic writer 'root.pxar.didx' close failed - unexpected chunk count (1 != 2)");
    check_text(pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, wid, 1, 12, zero_csum, diag), PBR_E_PROTO, "BKP-142",
               "dynamic writer 'root.pxar.didx' close failed - unexpected file size (11 != 12)");
    /* refused for count or size: appends go on; for the checksum: closed, and the session can never be finished */
    check_ok(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, 11, diag));
    check_text(pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, wid, 2, 22, zero_csum, diag), PBR_E_INTEGRITY, "BKP-142",
               "dynamic writer 'root.pxar.didx' close failed - got unexpected checksum");
    check(fx_exists(&f, "host/a/2023-11-14T22:13:20Z/root.pxar.didx")); /* IDX-071 */
    check_text(pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, wid, 2, 22, zero_csum, diag), PBR_E_STATE, "BKP-142",
               "dynamic writer 'root.pxar.didx' close failed - already closed");
    check_text(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, 22, diag), PBR_E_STATE, "BKP-136",
               "dynamic writer 'root.pxar.didx' append chunk failed - already closed");
    check_text(fx_upload(b, PBR_INDEX_DYNAMIC, wid, &c, NULL, diag), PBR_E_STATE, "BKP-118",
               "dynamic writer 'root.pxar.didx' register chunk failed - already closed");
    check_text(pbr_store_backup_finish(b, diag), PBR_E_STATE, "BKP-181",
               "found open index writer - unable to finish backup");
    pbr_store_backup_end(b);
    fx_chunk_free(&c);
    fx_stop(&f);
}

static void test_ids_above_256_cannot_be_used(void **state)
{
    struct fx f;
    uint64_t wid = 0;
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    struct fx_chunk c = fx_chunk(&f, 1, 100);
    for (int i = 0; i < 257; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "a%d.pxar.didx", i);
        check_ok(fx_create(b, name, &wid, diag));
    }
    check_u64(wid, 257);
    check_ok(fx_upload(b, PBR_INDEX_DYNAMIC, 256, &c, NULL, diag));
    check_fail(fx_upload(b, PBR_INDEX_DYNAMIC, 257, &c, NULL, diag), PBR_E_NOENT, "BKP-125");
    fx_chunk_free(&c);
    pbr_store_backup_end(b);
    check(!fx_exists(&f, "host/a"));
    fx_stop(&f);
}

/* ---- previous ---- */

static void test_only_chunks_of_this_session_or_the_downloaded_previous_index_can_be_appended(void **state)
{
    struct fx f;
    uint64_t wid, size;
    int fd;
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds3, 3);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME + 1);
    struct fx_chunk c = fx_chunk(&f, seeds3[0], 100 + seeds3[0]);
    check_ok(fx_create(b, "root.pxar.didx", &wid, diag));
    check_fail(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, 0, diag), PBR_E_NOENT, "BKP-132");
    check_ok(pbr_store_backup_previous(b, "index.json.blob", &fd, &size, diag)); /* registers nothing */
    close(fd);
    check_fail(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, 0, diag), PBR_E_NOENT, "BKP-132");
    check_ok(pbr_store_backup_previous(b, "root.pxar.didx", &fd, &size, diag));
    check_u64(size, 4096 + 3 * 40);
    close(fd);
    check_ok(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, 0, diag));
    check_fail(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, 0, diag), PBR_E_PROTO, "BKP-133");
    check_ok(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, wid, c.digest, c.size, diag)); /* its size was end - start */
    fx_chunk_free(&c);
    pbr_store_backup_end(b);
    fx_stop(&f);
}

static void test_previous_refuses_with_the_originals_texts(void **state)
{
    struct fx f;
    struct pbr_diag d = { 0 };
    char text[512];
    uint64_t size;
    int fd = -1;
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    check_text(pbr_store_backup_previous(b, "x.foo", &fd, &size, diag), PBR_E_STATE, "BKP-091",
               "no valid previous backup");
    pbr_store_backup_end(b);
    fx_backup_ok(&f, "a", FX_TIME, seeds3, 3);
    b = begun(&f, "a", FX_TIME + 1);
    check_text(pbr_store_backup_previous(b, "x.foo", &fd, &size, diag), PBR_E_ARG, "BKP-092",
               "unknown archive type: \"x.foo\"");
    (void)snprintf(text, sizeof(text),
                   "Unable to open dynamic index \"%s/host/a/2023-11-14T22:13:20Z/x.didx\" - No such file or directory "
                   "(os error 2)", f.root);
    check_text(pbr_store_backup_previous(b, "x.didx", &fd, &size, diag), PBR_E_NOENT, "BKP-093", text);
    check_fail(pbr_store_backup_previous(b, "x.fidx", &fd, &size, diag), PBR_E_NOENT, "BKP-093");
    check_fail(pbr_store_backup_previous(b, "../owner.blob", &fd, &size, diag), PBR_E_ARG, "IDX-081");
    check_int(pbr_store_backup_previous(b, "x.blob", &fd, &size, &d), PBR_E_NOENT);
    check_int(d.status, 404);
    (void)snprintf(text, sizeof(text), "open file \"%s/host/a/2023-11-14T22:13:20Z/x.blob\" failed - not found", f.root);
    check_str(d.text, text);
    fx_write(&f, "host/a/2023-11-14T22:13:20Z/root.pxar.didx", "x", 1);
    check_fail(pbr_store_backup_previous(b, "root.pxar.didx", &fd, &size, diag), PBR_E_TRUNCATED, "IDX-014");
    check_int(fd, -1);
    pbr_store_backup_end(b);
    fx_stop(&f);
}

/* ---- blobs, finish ---- */

static void test_blobs_are_checked_and_replace_each_other(void **state)
{
    struct fx f;
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    struct fx_chunk c = fx_text_blob(&f, "one"), d = fx_text_blob(&f, "other");
    const struct pbr_span one = pbr_buf_span(&c.raw), other = pbr_buf_span(&d.raw);
    check_text(pbr_store_backup_blob(b, "x.conf", one.len, one, diag), PBR_E_ARG, "BKP-170",
               "wrong blob file extension: 'x.conf'");
    check_fail(pbr_store_backup_blob(b, "../x.blob", one.len, one, diag), PBR_E_ARG, "IDX-081");
    check_text(pbr_store_backup_blob(b, "x.conf.blob", 16, one, diag), PBR_E_PROTO, "BKP-171",
               "got blob with unexpected length (16 != 15)");
    c.raw.ptr[14] ^= 1;
    check_text(pbr_store_backup_blob(b, "x.conf.blob", one.len, one, diag), PBR_E_INTEGRITY, "BLOB-051",
               "Data blob has wrong CRC checksum.");
    c.raw.ptr[14] ^= 1;
    check_ok(pbr_store_backup_blob(b, "x.conf.blob", one.len, one, diag));
    check_ok(pbr_store_backup_blob(b, "x.conf.blob", other.len, other, diag));
    const struct pbr_span back = fx_read(&f, "host/a/2023-11-14T22:13:20Z/x.conf.blob");
    check_span(back, other);
    test_unload(back);
    fx_chunk_free(&c);
    fx_chunk_free(&d);
    pbr_store_backup_end(b);
    check(!fx_exists(&f, "host/a"));
    fx_stop(&f);
}

static void test_finish_refuses_with_the_originals_texts(void **state)
{
    struct fx f;
    char text[640];
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    check_text(pbr_store_backup_finish(b, diag), PBR_E_STATE, "BKP-181",
               "backup does not contain valid files (file count == 0)");
    struct fx_chunk c = fx_text_blob(&f, "no json");
    check_ok(pbr_store_backup_blob(b, "x.conf.blob", c.raw.len, pbr_buf_span(&c.raw), diag));
    (void)snprintf(text, sizeof(text),
                   "unable to update manifest blob - unable to load blob '\"%s/host/a/2023-11-14T22:13:20Z/"
                   "index.json.blob\"' - No such file or directory (os error 2)", f.root);
    check_text(pbr_store_backup_finish(b, diag), PBR_E_NOENT, "API-097", text);
    check_int(pbr_store_backup_state(b), PBR_BACKUP_FINISHING);
    check_text(pbr_store_backup_finish(b, diag), PBR_E_STATE, "BKP-080",
               "backup is already in the process of finishing.");
    check_ok(pbr_store_backup_blob(b, "y.conf.blob", c.raw.len, pbr_buf_span(&c.raw), diag)); /* not checked */
    pbr_store_backup_end(b);

    b = begun(&f, "a", FX_TIME);
    check_ok(pbr_store_backup_blob(b, "index.json.blob", c.raw.len, pbr_buf_span(&c.raw), diag));
    struct pbr_diag d = { 0 };
    check_int(pbr_store_backup_finish(b, &d), PBR_E_FORMAT);
    check(pbr_span_starts(pbr_span_str(d.text),
                          "unable to update manifest blob - unable to parse backup manifest json - "));
    pbr_store_backup_end(b);
    check(!pbr_store_has_snapshot(f.s, "", &snap));

    fx_backup_ok(&f, "a", FX_TIME, seeds3, 1);
    b = begun(&f, "a", FX_TIME + 1);
    check_ok(pbr_store_backup_blob(b, "x.conf.blob", c.raw.len, pbr_buf_span(&c.raw), diag));
    char path[1024], away[1024];
    check_int(rename(fx_path(&f, "host/a/2023-11-14T22:13:20Z", path), fx_path(&f, "gone", away)), 0);
    check_text(pbr_store_backup_finish(b, diag), PBR_E_STATE, "BKP-181",
               "base snapshot host/a/2023-11-14T22:13:20Z was removed during backup, cannot finish as chunks might be "
               "missing");
    fx_chunk_free(&c);
    pbr_store_backup_end(b);
    fx_stop(&f);
}

static void test_a_snapshot_becomes_visible_by_finish_alone(void **state)
{
    struct fx f;
    struct fx_file file;
    struct pbr_store_snapshots l;
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    struct fx_chunk c = fx_chunk(&f, 1, 1000);
    check_ok(fx_archive(&f, b, "root.pxar.didx", &c, 1, &file, diag));
    check_ok(fx_manifest(&f, b, &snap, &file, 1, diag));
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check_int(l.nr, 1);
    check(!l.items[0].finished && !l.items[0].has_manifest);
    pbr_store_snapshots_release(&l);
    check_ok(pbr_store_backup_finish(b, diag));
    check_int(pbr_store_backup_state(b), PBR_BACKUP_FINISHED);
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check(l.items[0].finished && l.items[0].has_manifest);
    check_int(l.items[0].file_nr, 2);
    pbr_store_snapshots_release(&l);
    check(!fx_exists(&f, "host/a/2023-11-14T22:13:20Z/index.json.tmp_blob"));
    struct pbr_store_backup *next = begun(&f, "a", FX_TIME + 1); /* the locks are free before the session ends */
    pbr_store_backup_end(next);
    pbr_store_backup_end(b);
    check(pbr_store_has_snapshot(f.s, "", &snap));
    fx_chunk_free(&c);
    fx_stop(&f);
}

/* Changing system calls of one backup on a store with this sync level. */
static long calls_of(enum pbr_store_sync sync)
{
    struct fx f;
    fx_start(&f);
    pbr_store_close(f.s);
    fx_open_with(&f, (struct pbr_store_opts){ .sync = sync });
    f.fault.nth = 100000;
    fx_backup_ok(&f, "a", FX_TIME, seeds3, 3);
    const long calls = 100000 - f.fault.nth;
    fx_stop(&f);
    return calls;
}

static void test_sync_levels_cost_what_they_say(void **state)
{
    (void)state;
    struct fx f;
    const long none = calls_of(PBR_STORE_SYNC_NONE);
    check_int(calls_of(PBR_STORE_SYNC_FILE) - none, 3 * 2 + 1 + 2 * 2 + 2); /* chunks, index, two manifests, owner */
    fx_start(&f);
    pbr_store_close(f.s); /* the default: one sync of the file system */
    const struct pbr_store_opts opts = { .fault = &f.fault };
    check_ok(pbr_store_open(&f.env, f.root, &opts, &f.s, diag));
    f.fault.nth = 100000;
    fx_backup_ok(&f, "a", FX_TIME, seeds3, 3);
    check_int(100000 - f.fault.nth - none, 1);
    fx_stop(&f);
}

static int64_t stat_of(const struct pbr_manifest *m, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(m->unprotected, "chunk_upload_stats"), key));
}

static void test_finish_notes_what_was_uploaded(void **state)
{
    struct fx f;
    struct fx_file file;
    struct pbr_manifest m = { 0 };
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
    (void)state;
    fx_start(&f);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME);
    struct fx_chunk c[3] = { fx_chunk(&f, 1, 1000), fx_chunk(&f, 2, 500), fx_chunk(&f, 1, 1000) };
    struct fx_chunk blob = fx_text_blob(&f, "key: value\n");
    check_ok(fx_archive(&f, b, "root.pxar.didx", c, 3, &file, diag));
    check_ok(pbr_store_backup_blob(b, "x.conf.blob", blob.raw.len, pbr_buf_span(&blob.raw), diag));
    check_ok(fx_manifest(&f, b, &snap, &file, 1, diag));
    struct stat st;
    char path[1024];
    check_int(stat(fx_path(&f, "host/a/2023-11-14T22:13:20Z/index.json.tmp_blob", path), &st), 0);
    check_ok(pbr_store_backup_finish(b, diag));
    check_ok(pbr_store_load_manifest(f.s, "", &snap, &m, NULL, diag));
    check_int(stat_of(&m, "count"), 3);
    check_int(stat_of(&m, "duplicates"), 1);
    check_int(stat_of(&m, "compressed_size"), 2 * (1000 + 12) + 500 + 12);
    check_int(stat_of(&m, "size"), 2500 + (int64_t)blob.raw.len + st.st_size); /* blobs and manifest: raw length */
    check_u64(m.files[0].size, 2500);
    pbr_manifest_release(&m);
    for (size_t i = 0; i < 3; i++)
        fx_chunk_free(&c[i]);
    fx_chunk_free(&blob);
    pbr_store_backup_end(b);
    fx_stop(&f);
}

static void test_after_finish_only_blobs_are_taken(void **state)
{
    struct fx f;
    struct fx_file file;
    uint64_t wid, size;
    int fd;
    const struct pbr_snapshot snap = fx_snap("a", FX_TIME + 1);
    const char *text = "backup already marked as finished.";
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "a", FX_TIME, seeds3, 3);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME + 1);
    struct fx_chunk c = fx_chunk(&f, 1, 1000);
    check_ok(fx_archive(&f, b, "root.pxar.didx", &c, 1, &file, diag));
    check_ok(fx_manifest(&f, b, &snap, &file, 1, diag));
    check_ok(pbr_store_backup_finish(b, diag));
    check_text(pbr_store_backup_finish(b, diag), PBR_E_STATE, "BKP-080", text);
    check_text(fx_create(b, "x.didx", &wid, diag), PBR_E_STATE, "BKP-080", text);
    check_text(fx_upload(b, PBR_INDEX_DYNAMIC, 1, &c, NULL, diag), PBR_E_STATE, "BKP-080", text);
    check_text(pbr_store_backup_append(b, PBR_INDEX_DYNAMIC, 1, c.digest, 0, diag), PBR_E_STATE, "BKP-080", text);
    check_text(pbr_store_backup_close(b, PBR_INDEX_DYNAMIC, 1, 1, 1, zero_csum, diag), PBR_E_STATE, "BKP-080", text);
    check_text(pbr_store_backup_previous(b, "root.pxar.didx", &fd, &size, diag), PBR_E_STATE, "BKP-080", text);
    check_ok(pbr_store_backup_previous(b, "index.json.blob", &fd, &size, diag));
    close(fd);
    check_ok(pbr_store_backup_blob(b, "late.log.blob", c.raw.len, pbr_buf_span(&c.raw), diag));
    check_ok(pbr_store_backup_blob(b, "index.json.blob", c.raw.len, pbr_buf_span(&c.raw), diag)); /* even the manifest */
    const struct pbr_span back = fx_read(&f, "host/a/2023-11-14T22:13:21Z/index.json.blob");
    check_span(back, pbr_buf_span(&c.raw));
    test_unload(back);
    fx_chunk_free(&c);
    pbr_store_backup_end(b);
    fx_stop(&f);
}

static void test_an_aborted_session_leaves_chunks_and_nothing_else(void **state)
{
    struct fx f;
    struct fx_file file;
    uint64_t size;
    (void)state;
    fx_start(&f);
    fx_backup_ok(&f, "keep", FX_TIME, seeds3, 1);
    fx_backup_ok(&f, "a", FX_TIME, seeds3, 1);
    struct pbr_store_backup *b = begun(&f, "a", FX_TIME + 1);
    struct fx_chunk c = fx_chunk(&f, 1, 1000);
    check_ok(fx_archive(&f, b, "root.pxar.didx", &c, 1, &file, diag));
    fx_mkdir(&f, "host/a/2023-11-14T22:13:21Z/deep"); /* whatever lies there */
    fx_mkdir(&f, "host/a/2023-11-14T22:13:21Z/deep/er");
    fx_write(&f, "host/a/2023-11-14T22:13:21Z/deep/er/x", "x", 1);
    pbr_store_backup_end(b);
    check(!fx_exists(&f, "host/a/2023-11-14T22:13:21Z"));
    check(fx_exists(&f, "host/a/owner"));
    check_ok(pbr_store_chunk_stat(f.s, c.digest, &size));
    fx_chunk_free(&c);
    fx_stop(&f);
}

static void test_a_killed_session_leaves_an_unfinished_snapshot(void **state)
{
    struct fx f;
    struct pbr_store_backup *b;
    struct pbr_store_snapshots l;
    (void)state;
    fx_start(&f);
    const pid_t pid = fork();
    if (pid == 0) { /* dies with the manifest uploaded and finish not called */
        struct fx_file file;
        struct pbr_store *s;
        const struct pbr_snapshot snap = fx_snap("a", FX_TIME);
        struct fx_chunk c = fx_chunk(&f, 1, 1000);
        pbr_store_close(f.s);
        if (pbr_store_open(&f.env, f.root, NULL, &s, NULL) < 0)
            _exit(1);
        f.s = s;
        if (fx_begin(&f, "a", FX_TIME, &b, NULL) < 0 || fx_archive(&f, b, "r.pxar.didx", &c, 1, &file, NULL) < 0 ||
            fx_manifest(&f, b, &snap, &file, 1, NULL) < 0)
            _exit(1);
        (void)raise(SIGKILL);
    }
    int status;
    check_int(waitpid(pid, &status, 0), pid);
    check(WIFSIGNALED(status));
    check_ok(pbr_store_list_snapshots(f.s, "", NULL, NULL, &l, diag));
    check_int(l.nr, 1);
    check(!l.items[0].finished);
    pbr_store_snapshots_release(&l);
    check_fail(fx_begin(&f, "a", FX_TIME, &b, diag), PBR_E_EXIST, "BKP-042"); /* blocks only its own time */
    b = begun(&f, "a", FX_TIME - 1);
    check(pbr_store_backup_base(b) == NULL);
    pbr_store_backup_end(b);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_group_gets_its_owner),
        cmocka_unit_test(test_begin_refuses_with_the_originals_texts),
        cmocka_unit_test(test_tokens_and_users_own_groups_as_specified),
        cmocka_unit_test(test_the_base_is_the_newest_finished_snapshot_unless_it_failed_verification),
        cmocka_unit_test(test_a_base_that_is_locked_or_unreadable_stops_the_session),
        cmocka_unit_test(test_sessions_and_garbage_collection_exclude_each_other),
        cmocka_unit_test(test_the_worked_example_is_accepted),
        cmocka_unit_test(test_a_closed_index_parses_strictly_and_holds_what_was_appended),
        cmocka_unit_test(test_dynamic_writers_refuse_with_the_originals_texts),
        cmocka_unit_test(test_ids_above_256_cannot_be_used),
        cmocka_unit_test(test_only_chunks_of_this_session_or_the_downloaded_previous_index_can_be_appended),
        cmocka_unit_test(test_previous_refuses_with_the_originals_texts),
        cmocka_unit_test(test_blobs_are_checked_and_replace_each_other),
        cmocka_unit_test(test_finish_refuses_with_the_originals_texts),
        cmocka_unit_test(test_a_snapshot_becomes_visible_by_finish_alone),
        cmocka_unit_test(test_sync_levels_cost_what_they_say),
        cmocka_unit_test(test_finish_notes_what_was_uploaded),
        cmocka_unit_test(test_after_finish_only_blobs_are_taken),
        cmocka_unit_test(test_an_aborted_session_leaves_chunks_and_nothing_else),
        cmocka_unit_test(test_a_killed_session_leaves_an_unfinished_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
