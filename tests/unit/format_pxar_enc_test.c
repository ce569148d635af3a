/* SPDX-License-Identifier: MIT */
/* covers: CRT-149 PXAR-008 PXAR-020 PXAR-025 PXAR-038 PXAR-071 PXAR-076 PXAR-080 PXAR-139 PXAR-158 PXAR-200 PXAR-201 PXAR-204
 * PXAR-205 PXAR-206 PXAR-209 */
#include "test.h"

#include "base/limits.h"
#include "format/goodbye.h"
#include "format/pxar_enc.h"

static const struct pbr_pxar_meta DIR_META = { .mode = 040755 }, FILE_META = { .mode = 0100644 },
                                  FIFO_META = { .mode = 010644 }, DEV_META = { .mode = 060600 };

static struct test_world world;
static struct pbr_env env;
static struct pbr_buf archive, payload;
static struct pbr_sink archive_sink, payload_sink;
static struct pbr_pxar_enc *enc;

static void start(bool split)
{
    pbr_buf_clear(&archive);
    pbr_buf_clear(&payload);
    pbr_pxar_enc_free(enc);
    enc = NULL;
    check_int(pbr_pxar_enc_new(&env, &archive_sink, split ? &payload_sink : NULL, NULL, &DIR_META, &enc, NULL), PBR_OK);
}

static int set_up(void **state)
{
    (void)state;
    env = test_env(&world);
    pbr_buf_init(&archive, &env, 1 << 26);
    pbr_buf_init(&payload, &env, 1 << 26);
    archive_sink = pbr_sink_buf(&archive);
    payload_sink = pbr_sink_buf(&payload);
    enc = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pbr_pxar_enc_free(enc);
    pbr_buf_release(&archive);
    pbr_buf_release(&payload);
    check_int(world.live_allocs, 0);
    return 0;
}

static struct pbr_span name(const char *text)
{
    return pbr_span_str(text);
}

/* A refused call leaves the encoder unusable. */
#define check_refused(call, code, rule)                                                                  \
    do {                                                                                           \
        check_fail(call, code, rule);                                                              \
        check_int(pbr_pxar_enc_finish(enc, NULL), PBR_E_STATE);                                    \
    } while (0)

static void test_modes_and_names_are_checked(void **state)
{
    (void)state;
    start(false);
    check_refused(pbr_pxar_enc_dir_enter(enc, name("a"), &FILE_META, diag), PBR_E_ARG, "PXAR-201");
    start(false);
    check_refused(pbr_pxar_enc_special(enc, name("a"), &FILE_META, diag), PBR_E_ARG, "PXAR-201");
    start(false);
    check_refused(pbr_pxar_enc_device(enc, name("a"), &FIFO_META, 1, 2, diag), PBR_E_ARG, "PXAR-080");
    start(false);
    check_refused(pbr_pxar_enc_file(enc, name("a/b"), &FILE_META, 0, NULL, diag), PBR_E_ARG, "PXAR-071");
    start(false);
    check_refused(pbr_pxar_enc_symlink(enc, name(".."), &FILE_META, name("t"), diag), PBR_E_ARG, "PXAR-071");
    struct pbr_pxar_enc *none = NULL;
    check_fail(pbr_pxar_enc_new(&env, &archive_sink, NULL, NULL, &FILE_META, &none, diag), PBR_E_ARG, "PXAR-201");
    const struct pbr_span prelude = name("{}");
    check_fail(pbr_pxar_enc_new(&env, &archive_sink, NULL, &prelude, &DIR_META, &none, diag), PBR_E_ARG, "PXAR-200");
    check(!none);
}

static void test_sizes_beyond_the_limits_are_refused(void **state)
{
    (void)state;
    static char big[65536 + 300];
    memset(big, 'x', sizeof(big));
    struct pbr_pxar_xattr x = { pbr_span(big, 255), pbr_span(big, 65535) };
    struct pbr_pxar_meta meta = FILE_META;
    meta.xattrs = &x;
    meta.xattr_nr = 1;
    start(false);
    check_int(pbr_pxar_enc_file(enc, name("fits"), &meta, 0, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
    x.value.len = 65536; /* the kernel's maximum is one byte more than the format has room for: PXAR-025 */
    check_refused(pbr_pxar_enc_file(enc, name("a"), &meta, 0, NULL, diag), PBR_E_LIMIT, "PXAR-020");
    start(false);
    check_refused(pbr_pxar_enc_symlink(enc, name("a"), &FILE_META, pbr_span(big, 4097), diag), PBR_E_LIMIT, "PXAR-020");
    start(false);
    check_int(pbr_pxar_enc_symlink(enc, name("a"), &FILE_META, pbr_span(big, 4096), NULL), PBR_OK);
    check_refused(pbr_pxar_enc_hardlink(enc, name("h"), pbr_span(big, 4097), 56, diag), PBR_E_LIMIT, "PXAR-020");
}

static void test_contents_must_have_the_announced_size(void **state)
{
    (void)state;
    for (int split = 0; split < 2; split++) {
        start(split);
        check_int(pbr_pxar_enc_file(enc, name("a"), &FILE_META, 3, NULL, NULL), PBR_OK);
        check_refused(pbr_pxar_enc_file_write(enc, name("four"), diag), PBR_E_STATE, "PXAR-206");
        start(split);
        check_int(pbr_pxar_enc_file(enc, name("a"), &FILE_META, 3, NULL, NULL), PBR_OK);
        check_int(pbr_pxar_enc_file_write(enc, name("on"), NULL), PBR_OK);
        check_refused(pbr_pxar_enc_file_end(enc, diag), PBR_E_STATE, "PXAR-206");
        start(split);
        check_int(pbr_pxar_enc_file(enc, name("a"), &FILE_META, 3, NULL, NULL), PBR_OK);
        check_refused(pbr_pxar_enc_finish(enc, diag), PBR_E_STATE, "PXAR-206");
        start(split);
        check_int(pbr_pxar_enc_file(enc, name("a"), &FILE_META, 3, NULL, NULL), PBR_OK);
        check_refused(pbr_pxar_enc_file(enc, name("b"), &FILE_META, 0, NULL, diag), PBR_E_STATE, "PXAR-206");
        start(split);
        check_int(pbr_pxar_enc_file_write(enc, name("x"), NULL), PBR_E_STATE);
    }
}

static void test_reserved_room_writes_the_same_bytes(void **state)
{
    (void)state;
    struct pbr_buf first;
    pbr_buf_init(&first, &env, 1 << 20);
    for (int how = 0; how < 2; how++) {
        start(true);
        check_int(pbr_pxar_enc_file(enc, name("a"), &FILE_META, 1000, NULL, NULL), PBR_OK);
        for (size_t left = 1000; left > 0;) {
            uint8_t bytes[1000], *p = bytes;
            size_t n = 10;
            if (how == 1)
                check_int(pbr_pxar_enc_file_reserve(enc, left < 70 ? left : 70, &p, &n, NULL), PBR_OK);
            check(n > 0 && n <= left);
            for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t)(1000 - left + i);
            if (how == 1)
                check_int(pbr_pxar_enc_file_commit(enc, n, NULL), PBR_OK);
            else
                check_int(pbr_pxar_enc_file_write(enc, pbr_span(bytes, n), NULL), PBR_OK);
            left -= n;
        }
        check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
        check_u64(pbr_pxar_enc_payload_pos(enc), 16 + 16 + 1000);
        check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
        if (how == 0)
            check_int(pbr_buf_append(&first, pbr_buf_span(&payload)), PBR_OK);
        else
            check_span(pbr_buf_span(&payload), pbr_buf_span(&first));
    }
    pbr_buf_release(&first);
}

static void test_references_only_go_forward(void **state)
{
    (void)state;
    start(true);
    check_int(pbr_pxar_enc_file(enc, name("a"), &FILE_META, 0, NULL, NULL), PBR_OK); /* 16..32 */
    check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_ref(enc, name("b"), &FILE_META, 40, 10, NULL, NULL), PBR_OK);
    check_u64(pbr_pxar_enc_payload_pos(enc), 32);
    check_refused(pbr_pxar_enc_file_ref(enc, name("c"), &FILE_META, 40, 10, NULL, diag), PBR_E_STATE, "PXAR-139");
    start(true);
    check_refused(pbr_pxar_enc_file_ref(enc, name("c"), &FILE_META, 15, 10, NULL, diag), PBR_E_STATE, "PXAR-204");
    start(true);
    check_int(pbr_pxar_enc_file_ref(enc, name("b"), &FILE_META, 40, 10, NULL, NULL), PBR_OK);
    check_refused(pbr_pxar_enc_file(enc, name("c"), &FILE_META, 1, NULL, diag), PBR_E_STATE, "PXAR-139");
    start(true);
    check_int(pbr_pxar_enc_file_ref(enc, name("b"), &FILE_META, 40, 10, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_payload_advance(enc, 100, NULL), PBR_OK); /* PXAR-205 */
    check_u64(pbr_pxar_enc_payload_pos(enc), 116);
    check_int(pbr_pxar_enc_file(enc, name("c"), &FILE_META, 0, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
    check_u64(payload.len, 16 + 16); /* nothing was written for b */
    start(false);
    check_refused(pbr_pxar_enc_file_ref(enc, name("c"), &FILE_META, 40, 10, NULL, diag), PBR_E_STATE, "PXAR-204");
    start(false);
    check_refused(pbr_pxar_enc_payload_advance(enc, 1, diag), PBR_E_STATE, "PXAR-205");
    start(true);
    check_refused(pbr_pxar_enc_payload_advance(enc, UINT64_MAX, diag), PBR_E_LIMIT, "PXAR-205");
}

static void test_goodbye_sizes_tell_new_data_from_references(void **state)
{
    (void)state;
    for (int ref = 0; ref < 2; ref++) {
        start(true);
        if (ref) {
            check_int(pbr_pxar_enc_file_ref(enc, name("a"), &FILE_META, 16, 5, NULL, NULL), PBR_OK);
        } else {
            check_int(pbr_pxar_enc_file(enc, name("a"), &FILE_META, 5, NULL, NULL), PBR_OK);
            check_int(pbr_pxar_enc_file_write(enc, name("hello"), NULL), PBR_OK);
            check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
        }
        check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
        const struct pbr_pxar_rec rec = pbr_goodbye_rec_get(archive.ptr + archive.len - 48);
        check_u64(rec.offset, 106);
        check_u64(rec.size, ref ? 106 : 111);
    }
}

static void test_hard_links_only_point_back(void **state)
{
    (void)state;
    start(false);
    const uint64_t here = pbr_pxar_enc_pos(enc);
    check_refused(pbr_pxar_enc_hardlink(enc, name("h"), name("a"), here, diag), PBR_E_ARG, "PXAR-076");
    start(false);
    check_refused(pbr_pxar_enc_hardlink(enc, name("h"), name(""), 0, diag), PBR_E_ARG, "PXAR-073");
}

static void test_directories_must_be_left_and_entered(void **state)
{
    (void)state;
    start(false);
    check_int(pbr_pxar_enc_dir_leave(enc, NULL), PBR_E_STATE);
    start(false);
    check_int(pbr_pxar_enc_dir_enter(enc, name("a"), &DIR_META, NULL), PBR_OK);
    check_int(pbr_pxar_enc_finish(enc, NULL), PBR_E_STATE);
    start(false);
    check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_device(enc, name("a"), &DEV_META, 1, 2, NULL), PBR_E_STATE);
    start(false);
    int rc = PBR_OK;
    int depth = 0;
    while (rc == PBR_OK && depth < PBR_PATH_DEPTH_MAX + 10) {
        rc = pbr_pxar_enc_dir_enter(enc, name("d"), &DIR_META, NULL);
        depth += rc == PBR_OK;
    }
    check_int(rc, PBR_E_LIMIT); /* as deep as the decoder goes */
    check_int(depth, PBR_PATH_DEPTH_MAX - 1);
}

static void test_failed_writes_end_the_encoder(void **state)
{
    (void)state;
    struct pbr_fault fault;
    for (long nth = 0;; nth++) {
        struct pbr_sink_fault faulty = { .inner = payload_sink, .fault = &fault };
        struct pbr_sink sink = pbr_sink_faulty(&faulty);
        fault = (struct pbr_fault){ .nth = nth };
        pbr_pxar_enc_free(enc);
        enc = NULL;
        int rc = pbr_pxar_enc_new(&env, &sink, &sink, NULL, &DIR_META, &enc, NULL);
        if (rc == PBR_OK)
            rc = pbr_pxar_enc_file(enc, name("a"), &FILE_META, 2, NULL, NULL);
        if (rc == PBR_OK)
            rc = pbr_pxar_enc_file_write(enc, name("ab"), NULL);
        if (rc == PBR_OK)
            rc = pbr_pxar_enc_file_end(enc, NULL);
        if (rc == PBR_OK)
            rc = pbr_pxar_enc_finish(enc, NULL);
        if (!fault.hit) {
            check_int(rc, PBR_OK);
            check(nth >= 8);
            break;
        }
        check_int(rc, PBR_E_IO);
        if (enc)
            check_int(pbr_pxar_enc_finish(enc, NULL), PBR_E_STATE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_modes_and_names_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sizes_beyond_the_limits_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_contents_must_have_the_announced_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reserved_room_writes_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_references_only_go_forward, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_goodbye_sizes_tell_new_data_from_references, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hard_links_only_point_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_directories_must_be_left_and_entered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_writes_end_the_encoder, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("format_pxar_enc", tests, NULL, NULL);
}
