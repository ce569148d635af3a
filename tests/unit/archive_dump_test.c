/* SPDX-License-Identifier: MIT */
/* covers: PXAR-002 PXAR-180 PXAR-183 */
#include "pxar_data.h"

#include <jansson.h>

#include "archive/dump.h"

static const struct pbr_pxar_meta ROOT = { .mode = 040755, .uid = 1000, .gid = 1000, .mtime_s = 1430487000,
                                           .mtime_ns = 1000000 },
                                  FILE_A = { .mode = 0100644, .uid = 1000, .gid = 1000, .mtime_s = 1430487001 };

static int dump(const struct pbr_env *env, struct pbr_span in, bool json, struct pbr_buf *out, struct pbr_diag *diag)
{
    struct pbr_stream_mem mem = { .in = in };
    struct pbr_stream stream = pbr_stream_mem(&mem);
    struct pbr_sink sink = pbr_sink_buf(out);
    const struct pbr_dump_opts opts = { .json = json };
    return pbr_dump(env, &stream, &opts, &sink, diag);
}

static void test_text_of_an_archive(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf archive, out;
    struct pbr_pxar_enc *enc = NULL;
    pbr_buf_init(&archive, &env, 1 << 20);
    pbr_buf_init(&out, &env, 1 << 20);
    struct pbr_sink sink = pbr_sink_buf(&archive);
    check_int(pbr_pxar_enc_new(&env, &sink, NULL, NULL, &ROOT, &enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file(enc, pbr_span_str("a"), &FILE_A, 2, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_write(enc, pbr_span_str("xy"), NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_end(enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_hardlink(enc, pbr_span_str("b\n"), pbr_span_str("a"), 56, NULL), PBR_OK);
    check_int(pbr_pxar_enc_finish(enc, NULL), PBR_OK);
    pbr_pxar_enc_free(enc);
    check_int(dump(&env, pbr_buf_span(&archive), false, &out, NULL), PBR_OK);
    check_str(pbr_buf_cstr(&out),
              "           0       56 ENTRY mode=040755 flags=0 uid=1000 gid=1000 mtime=2015-05-01T13:30:00Z mtime_ns=1000000\n"
              "          56       18 FILENAME name=\"a\" hash=0c26e9067c2c7bcf\n"
              "          74       56 ENTRY mode=0100644 flags=0 uid=1000 gid=1000 mtime=2015-05-01T13:30:01Z mtime_ns=0\n"
              "         130       18 PAYLOAD bytes=2\n"
              "         148       19 FILENAME name=\"b\\n\" hash=0121cde73e276b98\n"
              "         167       26 HARDLINK distance=92 target=\"a\"\n"
              "         193       88 GOODBYE records=3\n"
              "         209       24 GOODBYE_RECORD hash=0c26e9067c2c7bcf distance=137 at=56 bytes=92\n"
              "         233       24 GOODBYE_RECORD hash=0121cde73e276b98 distance=45 at=148 bytes=45\n"
              "         257       24 GOODBYE_TAIL hash=ef5eed5b753e1555 distance=193 at=0 bytes=88\n");
    pbr_buf_release(&archive);
    pbr_buf_release(&out);
    check_int(w.live_allocs, 0);
}

/* Every line is a JSON object; offsets and sizes of items and skipped contents cover the archive without gaps. */
static void check_json(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf out;
    uint64_t next = 0;
    (void)path;
    pbr_buf_init(&out, &env, 1 << 26);
    check_int(dump(&env, p->archive, true, &out, NULL), PBR_OK);
    struct pbr_span rest = pbr_buf_span(&out);
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        assert_non_null(end);
        const size_t len = (size_t)(end - rest.ptr);
        json_error_t error;
        json_t *line = json_loadb((const char *)rest.ptr, len, 0, &error);
        assert_non_null(line);
        const char *type = json_string_value(json_object_get(line, "type"));
        const uint64_t size = (uint64_t)json_integer_value(json_object_get(line, "size"));
        check_u64((uint64_t)json_integer_value(json_object_get(line, "offset")), next);
        next += strcmp(type, "GOODBYE") == 0 ? PBR_PXAR_HDR : size;
        if (strcmp(type, "FILENAME") == 0)
            check(json_object_get(line, "name") || json_object_get(line, "name_hex"));
        json_decref(line);
        rest = pbr_span_sub(rest, len + 1, rest.len);
    }
    check_u64(next, p->archive.len);
    pbr_buf_release(&out);
    check_int(w.live_allocs, 0);
}

static void test_json_lines_cover_every_byte_of_golden_archives(void **state)
{
    (void)state;
    for_golden(check_json);
}

static void test_lines_before_a_fault_are_written(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf out;
    struct pxar_pair p = load_pair(GOLDEN "one-file.pxar");
    pbr_buf_init(&out, &env, 1 << 20);
    check_fail(dump(&env, pbr_span_sub(p.archive, 0, 100), false, &out, diag), PBR_E_TRUNCATED, "PXAR-225");
    check(strstr(pbr_buf_cstr(&out), " FILENAME ") != NULL);
    pbr_buf_release(&out);
    unload_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_of_an_archive),
        cmocka_unit_test(test_json_lines_cover_every_byte_of_golden_archives),
        cmocka_unit_test(test_lines_before_a_fault_are_written),
    };
    return cmocka_run_group_tests_name("archive_dump", tests, NULL, NULL);
}
