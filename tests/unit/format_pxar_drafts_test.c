/* SPDX-License-Identifier: MIT */
/* covers: APX-010 APX-011 APX-012 APX-013 APX-016 APX-017 APX-018 APX-019 APX-020 APX-025 APX-026 APX-027 APX-031 APX-032 APX-033
 * APX-034 APX-035 APX-036 APX-040 APX-041 APX-042 APX-043 APX-044 APX-050 APX-051 SPL-020 SPL-021 SPL-022 SPL-023 SPL-024 SPL-025
 * SPL-026 SPL-028 SPL-030 SPL-031 SPL-032 SPL-033 SPL-034 SPL-035 SPL-036 SPL-037 SYS-004 */
#include "draft_data.h"

#include "format/goodbye.h"
#include "format/pxar_dec.h"

#include "file_env.h"

/* ---- encoder ---- */

static void test_item_types_are_hashes_of_their_names(void **state)
{
    static const struct {
        const char *text;
        uint64_t type;
    } rows[] = {
        { "__PROXMOX_FORMAT_APPENDIX__", PBR_PXAR_APPENDIX },
        { "__PROXMOX_FORMAT_PXAR_APPENDIX_REF__", PBR_PXAR_APPENDIX_REF },
        { "__PROXMOX_FORMAT_APPENDIX_TAIL__", PBR_PXAR_APPENDIX_TAIL },
        { "__PROXMOX_FORMAT_VERSION_2__", PBR_PXAR_DRAFT_VERSION },
        { "__PROXMOX_FORMAT_PXAR_PAYLOAD_REF__", PBR_PXAR_PAYLOAD_REF },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_u64(pbr_pxar_name_hash(pbr_span_str(rows[i].text)), rows[i].type);
}

static void test_split_example_is_written_byte_for_byte(void **state)
{
    (void)state;
    struct draft_out o;
    draft_split_example(&o, &env);
    check_u64(o.archive.len, 226);
    check_sha256(pbr_buf_span(&o.archive), "edcb9be13c9fe3ee582c815500c975f9d0478accf0cbde35d25cb1f86a1b135f");
    check_u64(o.payload.len, 35);
    check_sha256(pbr_buf_span(&o.payload), "c1b55d30df61f384abe60fa07cf471cc2e9a2bf269785728487759ca41f432d4");
    draft_release(&o);
}

static void test_split_archive_without_files_has_a_tail_marker_only(void **state)
{
    static const uint8_t want[] = { 0xb5, 0x81, 0x4c, 0x98, 0x8b, 0xb7, 0x72, 0x6c, 0x10, 0, 0, 0, 0, 0, 0, 0 };
    (void)state;
    struct draft_out o;
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_attach(o.enc, &o.payload_sink, NULL), PBR_OK);
    check_u64(o.payload.len, 0);
    check_int(pbr_pxar_enc_finish(o.enc, NULL), PBR_OK);
    check_span(pbr_buf_span(&o.payload), pbr_span(want, sizeof(want)));
    draft_release(&o);
}

static void test_payload_is_attached_once_and_before_files(void **state)
{
    (void)state;
    struct draft_out o;
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_attach(o.enc, &o.payload_sink, NULL), PBR_OK);
    check_fail(pbr_pxar_enc_attach(o.enc, &o.payload_sink, diag), PBR_E_STATE, "SPL-032");
    draft_release(&o);
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_symlink(o.enc, pbr_span_str("l"), &(const struct pbr_pxar_meta){ .mode = 0120777 },
                                   pbr_span_str("x"), NULL), PBR_OK);
    draft_file(&o, "f", pbr_span_str("x"));
    check_fail(pbr_pxar_enc_attach(o.enc, &o.payload_sink, diag), PBR_E_STATE, "SPL-032");
    draft_release(&o);
}

static void test_attached_payload_takes_references_and_injections(void **state)
{
    (void)state;
    struct draft_out o;
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_attach(o.enc, &o.payload_sink, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_ref(o.enc, pbr_span_str("a"), &EXAMPLE_FILE, 0, 4, NULL, NULL), PBR_OK);
    check_int(pbr_pxar_enc_payload_advance(o.enc, 20, NULL), PBR_OK);
    check_u64(pbr_pxar_enc_payload_pos(o.enc), 20);
    check_u64(o.payload.len, 0);
    check_fail(pbr_pxar_enc_file_ref(o.enc, pbr_span_str("b"), &EXAMPLE_FILE, 19, 4, NULL, diag), PBR_E_STATE, "PXAR-204");
    draft_release(&o);
    draft_begin(&o, &env);
    check_fail(pbr_pxar_enc_file_ref(o.enc, pbr_span_str("b"), &EXAMPLE_FILE, 0, 4, NULL, diag), PBR_E_STATE, "PXAR-204");
    draft_release(&o);
}

static void test_appendix_example_is_written_byte_for_byte(void **state)
{
    (void)state;
    struct draft_out o;
    draft_snapshot1(&o, &env);
    check_u64(o.archive.len, 3337);
    check_sha256(pbr_buf_span(&o.archive), "b49b973e777ebe38189f8a0992dd6401baee8cebaf73960d97324eb14161dce2");
    draft_release(&o);
    draft_snapshot2(&o, &env);
    check_u64(o.archive.len, 3683);
    check_sha256(pbr_buf_span(&o.archive), "470f4208f063827fb518688902ad358a54e559e8421f0e6456ede11e81537f76");
    draft_release(&o);
}

static void test_appendix_calls_have_their_order(void **state)
{
    (void)state;
    uint64_t start;
    struct draft_out o;
    draft_begin(&o, &env); /* below the root */
    check_int(pbr_pxar_enc_dir_enter(o.enc, pbr_span_str("d"), &EXAMPLE_DIR, NULL), PBR_OK);
    check_fail(pbr_pxar_enc_appendix(o.enc, 1, &start, diag), PBR_E_STATE, "APX-041");
    draft_release(&o);
    draft_begin(&o, &env); /* empty */
    check_fail(pbr_pxar_enc_appendix(o.enc, 0, &start, diag), PBR_E_LIMIT, "APX-016");
    draft_release(&o);
    draft_begin(&o, &env); /* entries and a second one behind it */
    check_int(pbr_pxar_enc_appendix(o.enc, 7, &start, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file(o.enc, pbr_span_str("f"), &EXAMPLE_FILE, 0, NULL, NULL), PBR_E_STATE);
    draft_release(&o);
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_appendix(o.enc, 7, &start, NULL), PBR_OK);
    check_int(pbr_pxar_enc_appendix(o.enc, 7, &start, NULL), PBR_E_STATE);
    draft_release(&o);
    draft_begin(&o, &env); /* too much, too little */
    check_int(pbr_pxar_enc_appendix(o.enc, 7, &start, NULL), PBR_OK);
    check_int(pbr_pxar_enc_advance(o.enc, 3, NULL), PBR_OK);
    check_fail(pbr_pxar_enc_advance(o.enc, 5, diag), PBR_E_STATE, "APX-042");
    draft_release(&o);
    draft_begin(&o, &env);
    check_int(pbr_pxar_enc_appendix(o.enc, 7, &start, NULL), PBR_OK);
    check_fail(pbr_pxar_enc_finish(o.enc, diag), PBR_E_STATE, "APX-042");
    draft_release(&o);
    draft_begin(&o, &env); /* with a payload stream */
    check_int(pbr_pxar_enc_attach(o.enc, &o.payload_sink, NULL), PBR_OK);
    check_fail(pbr_pxar_enc_appendix_ref(o.enc, pbr_span_str("a"), 0, 1, NULL, diag), PBR_E_STATE, "APX-040");
    draft_release(&o);
}

/* Of every entry of an archive with all attributes: what head_len says is what stands there. */
static void test_head_len_is_what_is_written(void **state)
{
    static const char *const files[] = { "testdata/golden/pxar/xattrs.pxar", "testdata/golden/pxar/acl-default.pxar",
                                         "testdata/golden/pxar/acl-access.pxar", "testdata/golden/pxar/capabilities.pxar" };
    (void)state;
    size_t seen = 0;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct pbr_span in = test_load(files[i]);
        struct pbr_pxar_dec *dec;
        struct pbr_pxar_event ev;
        size_t used, at = 0;
        check_int(pbr_pxar_dec_new(&env, NULL, &dec), PBR_OK);
        do {
            check_int(pbr_pxar_dec_step(dec, pbr_span_sub(in, at, in.len), &used, &ev, NULL), PBR_OK);
            at += used;
            if (ev.ev != PBR_PXAR_EV_ENTRY || ev.entry.kind != PBR_KIND_FILE)
                continue;
            seen++;
            check_u64(pbr_pxar_head_len(ev.entry.name, &ev.entry.meta), ev.entry.data_pos - 16 - ev.entry.name_pos);
        } while (ev.ev != PBR_PXAR_EV_END);
        pbr_pxar_dec_free(dec);
        free((void *)(uintptr_t)in.ptr);
    }
    check(seen > 3);
}

static void test_head_len_counts_every_item(void **state)
{
    (void)state;
    const struct pbr_pxar_meta plain = { 0 };
    const struct pbr_pxar_meta all = { .has_acl_group_obj = true, .has_acl_default = true, .has_projid = true };
    const uint64_t bare = 16 + 3 + 56; /* FILENAME of "ab", ENTRY */
    check_u64(pbr_pxar_head_len(pbr_span_str("ab"), &plain), bare);
    check_u64(pbr_pxar_head_len(pbr_span_str("ab"), &all), bare + 24 + 48 + 24);
}

/* ---- decoder ---- */

/* Events as text; DATA and APPENDIX_DATA are summed up, so that the text does not depend on how the input is cut. */
static int decode(struct pbr_span in, size_t step, bool skip_goodbye, char *out, size_t cap, struct pbr_diag *diag)
{
    struct pbr_pxar_dec *dec;
    struct pbr_pxar_event ev = { .ev = PBR_PXAR_EV_MORE };
    const struct pbr_pxar_dec_opts opts = { .skip_goodbye = skip_goodbye };
    size_t at = 0, len = 0;
    uint64_t sum = 0;
    out[0] = 0;
    check_int(pbr_pxar_dec_new(&env, &opts, &dec), PBR_OK);
    int rc = PBR_OK;
    while (rc == PBR_OK && ev.ev != PBR_PXAR_EV_END) {
        size_t used = 0;
        const size_t n = in.len - at < step ? in.len - at : step;
        rc = pbr_pxar_dec_step(dec, pbr_span_sub(in, at, n), &used, &ev, diag);
        if (rc < 0)
            break;
        at += used;
        if (ev.ev == PBR_PXAR_EV_MORE && at == in.len)
            rc = pbr_pxar_dec_finish(dec, &ev, diag);
        sum = ev.ev == PBR_PXAR_EV_APPENDIX_DATA ? sum + ev.data.len : sum;
        if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_ENTRY)
            len += (size_t)snprintf(out + len, cap - len, "%.*s:%d:%" PRIu64 ":%" PRIu64 " ", (int)ev.entry.name.len,
                                    (const char *)ev.entry.name.ptr, ev.entry.kind, ev.entry.size, ev.entry.appendix_off);
        if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_APPENDIX)
            len += (size_t)snprintf(out + len, cap - len, "appendix:%" PRIu64 " ", ev.total);
        if (rc == PBR_OK && ev.ev == PBR_PXAR_EV_GOODBYE)
            len += (size_t)snprintf(out + len, cap - len, "%" PRIu64 " ", sum);
    }
    pbr_pxar_dec_free(dec);
    return rc;
}

static void test_appendix_is_handed_out_as_it_is(void **state)
{
    (void)state;
    struct draft_out o;
    char text[256];
    draft_snapshot2(&o, &env);
    for (size_t step = 1; step < 5000; step = step * 3 + 1) {
        for (int skip = 0; skip < 2; skip++) {
            check_int(decode(pbr_buf_span(&o.archive), step, skip, text, sizeof(text), NULL), PBR_OK);
            check_str(text, ":0:0:0 a.bin:7:3000:56 b.txt:1:6:0 appendix:3337 3337 ");
        }
    }
    for (size_t n = 0; n < o.archive.len; n++) /* no prefix is an archive */
        check_int(decode(pbr_span_sub(pbr_buf_span(&o.archive), 0, n), 4096, true, text, sizeof(text), NULL),
                  PBR_E_TRUNCATED);
    draft_release(&o);
}

static void test_draft_version_marker_is_passed_over(void **state)
{
    (void)state;
    struct draft_out o;
    struct pbr_buf in;
    uint8_t hdr[16];
    char text[256];
    draft_snapshot1(&o, &env);
    pbr_buf_init(&in, &env, 1 << 20);
    pbr_pxar_hdr_emit(hdr, PBR_PXAR_DRAFT_VERSION, 0);
    check_int(pbr_buf_append(&in, pbr_span(hdr, 16)), PBR_OK);
    check_int(pbr_buf_append(&in, pbr_buf_span(&o.archive)), PBR_OK);
    check_int(decode(pbr_buf_span(&in), 7, true, text, sizeof(text), NULL), PBR_OK);
    check_str(text, ":0:0:0 a.bin:1:3000:0 b.txt:1:5:0 0 ");
    in.ptr[8] = 17; /* it has no content */
    check_fail(decode(pbr_buf_span(&in), 4096, true, text, sizeof(text), diag), PBR_E_FORMAT, "PXAR-020");
    pbr_buf_release(&in);
    draft_release(&o);
}

static void test_one_fault_is_one_rule(void **state)
{
    enum { REF = 78, APPENDIX = 210, GOODBYE = 3571, END = 3683 };
    static const struct {
        size_t at;
        uint8_t value;
        const char *rule;
    } rows[] = {
        { REF + 8, 31, "APX-018" },           { REF + 8, 33, "PXAR-020" },       { APPENDIX + 8, 23, "APX-016" },
        { APPENDIX + 8, 25, "PXAR-020" },     { END - 24, 0, "APX-032" },        { END - 16, 1, "APX-032" },
        { END - 8, 1, "APX-032" },            { REF, 0, "PXAR-223" },            { APPENDIX, 0, "PXAR-223" },
    };
    (void)state;
    struct draft_out o;
    char text[256];
    draft_snapshot2(&o, &env);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint8_t was = o.archive.ptr[rows[i].at];
        struct pbr_diag d = { 0 };
        o.archive.ptr[rows[i].at] = rows[i].value;
        check(decode(pbr_buf_span(&o.archive), 4096, i % 2, text, sizeof(text), &d) < 0);
        check_str(d.rule, rows[i].rule);
        o.archive.ptr[rows[i].at] = was;
    }
    memset(o.archive.ptr + APPENDIX + 16, 0, 8); /* no bytes at all */
    check_fail(decode(pbr_buf_span(&o.archive), 4096, true, text, sizeof(text), diag), PBR_E_FORMAT, "APX-016");
    memset(o.archive.ptr + APPENDIX + 16, 0xff, 8);
    check_fail(decode(pbr_buf_span(&o.archive), 4096, true, text, sizeof(text), diag), PBR_E_FORMAT, "APX-016");
    draft_release(&o);
}

/* An archive built of raw items around the one in question. */
static void put(struct pbr_buf *out, uint64_t htype, const void *content, size_t len)
{
    uint8_t hdr[16];
    pbr_pxar_hdr_emit(hdr, htype, len);
    check_int(pbr_buf_append(out, pbr_span(hdr, 16)), PBR_OK);
    check_int(pbr_buf_append(out, pbr_span(content, len)), PBR_OK);
}

static void test_appendix_stands_in_the_root_and_last(void **state)
{
    static const uint8_t one[8] = { 1 };
    (void)state;
    struct draft_out o;
    struct pbr_buf in;
    char text[256];
    draft_begin(&o, &env);
    pbr_buf_init(&in, &env, 1 << 20);
    check_int(pbr_buf_append(&in, pbr_buf_span(&o.archive)), PBR_OK); /* the root's ENTRY */
    const size_t root = in.len;
    put(&in, PBR_PXAR_FILENAME, "d", 2);
    check_int(pbr_buf_append(&in, pbr_buf_span(&o.archive)), PBR_OK); /* a directory like it */
    put(&in, PBR_PXAR_APPENDIX, one, 8);
    check_fail(decode(pbr_buf_span(&in), 4096, true, text, sizeof(text), diag), PBR_E_FORMAT, "APX-026");
    in.len = root;
    put(&in, PBR_PXAR_APPENDIX, one, 8);
    check_int(pbr_buf_append_u8(&in, 0), PBR_OK);
    const size_t behind = in.len;
    put(&in, PBR_PXAR_APPENDIX, one, 8);
    check_fail(decode(pbr_buf_span(&in), 4096, true, text, sizeof(text), diag), PBR_E_FORMAT, "APX-026");
    in.len = behind;
    put(&in, PBR_PXAR_FILENAME, "d", 2);
    check_fail(decode(pbr_buf_span(&in), 4096, true, text, sizeof(text), diag), PBR_E_FORMAT, "APX-026");
    pbr_buf_release(&in);
    draft_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_item_types_are_hashes_of_their_names),
        cmocka_unit_test(test_split_example_is_written_byte_for_byte),
        cmocka_unit_test(test_split_archive_without_files_has_a_tail_marker_only),
        cmocka_unit_test(test_payload_is_attached_once_and_before_files),
        cmocka_unit_test(test_attached_payload_takes_references_and_injections),
        cmocka_unit_test(test_appendix_example_is_written_byte_for_byte),
        cmocka_unit_test(test_appendix_calls_have_their_order),
        cmocka_unit_test(test_head_len_is_what_is_written),
        cmocka_unit_test(test_head_len_counts_every_item),
        cmocka_unit_test(test_appendix_is_handed_out_as_it_is),
        cmocka_unit_test(test_draft_version_marker_is_passed_over),
        cmocka_unit_test(test_one_fault_is_one_rule),
        cmocka_unit_test(test_appendix_stands_in_the_root_and_last),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
