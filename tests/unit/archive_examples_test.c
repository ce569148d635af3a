/* SPDX-License-Identifier: MIT */
/* covers: PXAR-052 PXAR-060 PXAR-062 PXAR-063 PXAR-111 PXAR-138 PXAR-150 PXAR-151 PXAR-157 PXAR-158 PXAR-172 PXAR-180
 * PXAR-181 PXAR-185 .. PXAR-191 PXAR-242 PXAR-274 PXAR-279 CRT-116 */
/* The archives that stand in spec/pxar-format.md as bytes: decoded, and encoded again to the same bytes. */
#include "pxar_data.h"
#include "spec_example.h"

#include "archive/access.h"
#include "archive/capture_acl.h"
#include "format/goodbye.h"

#include "file_env.h"

#define SHEET "pxar-format.md"

/* payload NULL: all in one stream. unload_pair frees it. */
static struct pxar_pair load_example(const char *archive, const char *payload)
{
    struct pxar_pair p = { .archive = example_load(SHEET, archive), .split = payload != NULL };
    if (payload)
        p.payload = example_load(SHEET, payload);
    return p;
}

/* Where an example is written anew. */
struct copy {
    struct pbr_buf archive, payload;
    struct pbr_sink to_archive, to_payload;
};

static void copy_init(struct copy *c)
{
    pbr_buf_init(&c->archive, &env, 1 << 16);
    pbr_buf_init(&c->payload, &env, 1 << 16);
    c->to_archive = pbr_sink_buf(&c->archive);
    c->to_payload = pbr_sink_buf(&c->payload);
}

static void check_copy(const struct copy *c, const struct pxar_pair *want)
{
    check_span(pbr_buf_span(&c->archive), want->archive);
    check_span(pbr_buf_span(&c->payload), want->payload);
}

static void copy_release(struct copy *c)
{
    pbr_buf_release(&c->archive);
    pbr_buf_release(&c->payload);
}

static void test_examples_decode_and_encode_to_the_same_bytes(void **state)
{
    static const struct {
        const char *archive, *payload;
    } examples[] = {
        { "pxar-empty-v1", NULL },
        { "pxar-empty-v2", "pxar-empty-v2-payload" },
        { "pxar-small-v1", NULL },
        { "pxar-small-v2", "pxar-small-v2-payload" },
        { "pxar-items", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct pxar_pair p = load_example(examples[i].archive, examples[i].payload);
        struct pxar_streams s;
        struct pbr_diag diag = { 0 };
        struct copy c;
        copy_init(&c);
        struct pbr_reader *r = open_reader(&env, &s, &p, 1, NULL);
        check_int(transcode(&env, r, &c.to_archive, p.split ? &c.to_payload : NULL, &diag), PBR_OK);
        check_copy(&c, &p);
        pbr_reader_free(r);
        copy_release(&c);
        unload_pair(&p);
    }
}

static struct pbr_pxar_meta plain_meta(uint64_t mode)
{
    return (struct pbr_pxar_meta){ .mode = mode, .mtime_s = 1700000000 };
}

static void test_example_with_re_used_payload_is_written_and_read(void **state)
{
    (void)state;
    struct pxar_pair p = load_example("pxar-reused", "pxar-reused-payload");
    const struct pbr_pxar_meta root = plain_meta(040755), file = plain_meta(0100644);
    const size_t injected = 73; /* one old chunk at payload position 16 */
    struct pbr_diag diag = { 0 };
    struct copy c;
    struct pbr_pxar_enc *enc = NULL;

    copy_init(&c);
    check_int(pbr_pxar_enc_new(&env, &c.to_archive, &c.to_payload, NULL, &root, &enc, &diag), PBR_OK);
    check_int(pbr_pxar_enc_file_ref(enc, pbr_span_str("kept"), &file, 32, 5, NULL, &diag), PBR_OK);
    check_int(pbr_buf_append(&c.payload, pbr_span(p.payload.ptr + 16, injected)), PBR_OK);
    check_int(pbr_pxar_enc_payload_advance(enc, injected, &diag), PBR_OK);
    check_int(pbr_pxar_enc_file(enc, pbr_span_str("small"), &file, 4, NULL, &diag), PBR_OK);
    check_int(pbr_pxar_enc_file_write(enc, pbr_span_str("new\n"), &diag), PBR_OK);
    check_int(pbr_pxar_enc_file_end(enc, &diag), PBR_OK);
    check_int(pbr_pxar_enc_finish(enc, &diag), PBR_OK);
    check_copy(&c, &p);

    struct pxar_streams s;
    struct pbr_reader *r = open_reader(&env, &s, &p, 0, NULL);
    static const char *const contents[] = { "hello", "new\n" };
    for (size_t seen = 0; seen < 2;) {
        struct pbr_pxar_event ev;
        check_int(pbr_reader_next(r, &ev, &diag), PBR_OK);
        if (ev.ev == PBR_PXAR_EV_ENTRY && ev.entry.kind == PBR_KIND_FILE) {
            struct pbr_span view;
            check_int(pbr_reader_content(r, &view, &diag), PBR_OK);
            check_span(view, pbr_span_str(contents[seen++]));
        }
    }
    pbr_reader_free(r);
    pbr_pxar_enc_free(enc);
    copy_release(&c);
    unload_pair(&p);
}

/* The example with re-used payload, its two references exchanged: they go back. */
static void test_random_access_takes_references_in_any_order(void **state)
{
    (void)state;
    struct pxar_pair p = load_example("pxar-reused", "pxar-reused-payload");
    enum { REF_KEPT = 0xad, REF_SMALL = 0x11b };
    uint8_t *bytes = (uint8_t *)(uintptr_t)p.archive.ptr, ref[16];
    memcpy(ref, bytes + REF_KEPT, sizeof(ref));
    memcpy(bytes + REF_KEPT, bytes + REF_SMALL, sizeof(ref));
    memcpy(bytes + REF_SMALL, ref, sizeof(ref));

    static const char *const names[] = { "/kept", "/small" }, *const contents[] = { "new\n", "hello" };
    const struct pbr_source archive = pbr_source_mem(&p.archive), payload = pbr_source_mem(&p.payload);
    struct pbr_access *a = NULL;
    check_int(pbr_access_open(&env, &archive, &payload, &a, NULL), PBR_OK);
    for (size_t i = 0; i < 2; i++) {
        struct pbr_access_entry *e = NULL;
        struct pbr_access_content c;
        uint8_t out[16];
        size_t len = 0;
        check_int(pbr_access_lookup(a, pbr_span_str(names[i]), &e, NULL), PBR_OK);
        check_int(pbr_access_content(a, e, &c, NULL), PBR_OK);
        check_int(pbr_access_content_read(&c, 0, out, sizeof(out), &len, NULL), PBR_OK);
        check_span(pbr_span(out, len), pbr_span_str(contents[i]));
        pbr_access_entry_free(e);
    }
    pbr_access_free(a);

    struct pxar_streams s; /* a sequential reader cannot go back */
    struct pbr_diag diag = { 0 };
    struct pbr_reader *r = open_reader(&env, &s, &p, 0, NULL);
    struct pbr_pxar_event ev;
    int rc = PBR_OK;
    for (size_t i = 0; i < 20 && rc == PBR_OK; i++)
        rc = pbr_reader_next(r, &ev, &diag);
    check_int(rc, PBR_E_FORMAT);
    check_str(diag.rule, "PXAR-242");
    pbr_reader_free(r);
    unload_pair(&p);
}

static void test_example_with_legacy_entries_is_read(void **state)
{
    (void)state;
    struct pxar_pair p = load_example("pxar-entry-v1", NULL);
    struct pxar_streams s;
    struct pbr_diag diag = { 0 };
    struct pbr_reader *r = open_reader(&env, &s, &p, 0, NULL);
    struct pbr_pxar_event ev;

    check_int(pbr_reader_next(r, &ev, &diag), PBR_OK);
    check_int(ev.ev, PBR_PXAR_EV_ENTRY);
    check_u64(ev.entry.meta.uid, 7);
    check_int(ev.entry.meta.mtime_s, 1430487000);
    check_u64(ev.entry.meta.mtime_ns, 123456789);
    check_int(pbr_reader_next(r, &ev, &diag), PBR_OK);
    check_int(ev.entry.kind, PBR_KIND_FILE);
    check_u64(ev.entry.meta.mode, 0100644);
    check_int(ev.entry.meta.mtime_s, 1430487001);

    pbr_reader_free(r);
    unload_pair(&p);
}

static void test_example_table_is_arranged_by_hash(void **state)
{
    (void)state;
    struct pbr_span item = example_load(SHEET, "pxar-table");
    struct pbr_pxar_rec stored[7], arranged[6];
    struct pbr_goodbye_child children[6];
    for (size_t i = 0; i < 7; i++)
        stored[i] = pbr_goodbye_rec_get(item.ptr + 16 + 24 * i);
    for (size_t i = 0; i < 6; i++) {
        const char name[] = { (char)('a' + i), '\0' };
        const uint64_t pos = 56 + 74 * i;
        children[i] = (struct pbr_goodbye_child){ .hash = pbr_pxar_name_hash(pbr_span_str(name)),
                                                  .name_pos = pos,
                                                  .end_pos = pos + 74 };
        arranged[5 - i] = (struct pbr_pxar_rec){ .hash = children[i].hash, .offset = 500 - pos, .size = 74 };
    }
    pbr_goodbye_sort(children, 6);
    check_int(pbr_goodbye_check(stored, children, 6, 500, 0, NULL), PBR_OK);
    check_int(pbr_goodbye_arrange(&env, arranged, 6), PBR_OK);
    for (size_t i = 0; i < 6; i++) {
        uint8_t out[PBR_PXAR_GOODBYE_REC];
        pbr_goodbye_rec_emit(&arranged[i], out);
        check_span(pbr_span(out, sizeof(out)), pbr_span(item.ptr + 16 + 24 * i, sizeof(out)));
    }
    test_unload(item);
}

static void test_example_acl_attribute_becomes_items(void **state)
{
    (void)state;
    struct pbr_span raw = example_load("create.md", "acl-xattr");
    struct pbr_pxar_acl_id ids[8];
    struct pbr_pxar_meta m = { 0 };

    check(pbr_acl_entries_max(raw) <= 8);
    check_int(pbr_acl_access_parse(raw, ids, &m, NULL), PBR_OK);
    check_u64(m.acl_user_nr, 1);
    check_u64(m.acl_users[0].id, 1001);
    check_u64(m.acl_users[0].perm, 5);
    check_u64(m.acl_group_nr, 1);
    check_u64(m.acl_groups[0].id, 50);
    check_u64(m.acl_groups[0].perm, 4);
    check(m.has_acl_group_obj);
    check_u64(m.acl_group_obj, 5);
    test_unload(raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_examples_decode_and_encode_to_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_example_with_re_used_payload_is_written_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random_access_takes_references_in_any_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_example_with_legacy_entries_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_example_table_is_arranged_by_hash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_example_acl_attribute_becomes_items, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
