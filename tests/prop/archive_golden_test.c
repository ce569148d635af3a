/* SPDX-License-Identifier: MIT */
/* covers: PXAR-002 PXAR-006 PXAR-007 PXAR-030 PXAR-031 PXAR-033 PXAR-035 PXAR-036 PXAR-037 PXAR-038 PXAR-045 PXAR-050
 * PXAR-072 PXAR-073 PXAR-078 PXAR-088 PXAR-089 PXAR-101 PXAR-102 PXAR-103 PXAR-104 PXAR-120 PXAR-130 PXAR-131 PXAR-132
 * PXAR-133 PXAR-137 PXAR-150 PXAR-151 PXAR-200 PXAR-202 PXAR-203 PXAR-207 PXAR-208 PXAR-221 PXAR-222 PXAR-225 PXAR-228 */
#include "pxar_data.h"


/* What the decoder said, as a hash that covers every field and all contents. */
static void add_event(struct pbr_buf *out, const struct pbr_pxar_event *ev)
{
    const struct pbr_pxar_meta *m = &ev->entry.meta;
    const uint64_t numbers[] = { (uint64_t)ev->ev, ev->pos, ev->size, ev->htype, ev->version, ev->depth, ev->rec.hash,
                                 ev->rec.offset, ev->rec.size, (uint64_t)ev->entry.kind, ev->entry.size,
                                 ev->entry.has_ref, ev->entry.ref_off, ev->entry.data_pos, ev->entry.link_off,
                                 ev->entry.major, ev->entry.minor, ev->entry.name_pos, ev->entry.entry_pos,
                                 ev->entry.end_pos, m->mode, m->flags, m->uid, m->gid, (uint64_t)m->mtime_s,
                                 m->mtime_ns, m->acl_user_nr, m->acl_group_nr, m->acl_default_user_nr,
                                 m->acl_default_group_nr, m->acl_group_obj, m->projid, m->acl_default.mask };
    check_int(pbr_buf_append(out, pbr_span(numbers, sizeof(numbers))), PBR_OK);
    check_int(pbr_buf_append(out, ev->entry.name), PBR_OK);
    check_int(pbr_buf_append(out, ev->entry.target), PBR_OK);
    check_int(pbr_buf_append(out, m->fcaps), PBR_OK);
    check_int(pbr_buf_append(out, pbr_span(m->acl_users, m->acl_user_nr * sizeof(*m->acl_users))), PBR_OK);
    check_int(pbr_buf_append(out, pbr_span(m->acl_groups, m->acl_group_nr * sizeof(*m->acl_groups))), PBR_OK);
    for (size_t i = 0; i < m->xattr_nr; i++) {
        check_int(pbr_buf_append(out, m->xattrs[i].name), PBR_OK);
        check_int(pbr_buf_append(out, m->xattrs[i].value), PBR_OK);
    }
}

/* Events of the archive pushed in pieces of `step` bytes (0: one call); DATA pieces are joined. */
static void decode(const struct pbr_env *env, struct pbr_span in, size_t step, bool items, struct pbr_buf *out,
                   struct pbr_buf *data)
{
    const struct pbr_pxar_dec_opts opts = { .items = items };
    struct pbr_pxar_dec *dec = NULL;
    check_int(pbr_pxar_dec_new(env, &opts, &dec), PBR_OK);
    for (size_t at = 0;;) {
        uint8_t copy[1];
        struct pbr_pxar_event ev;
        struct pbr_diag diag = { 0 };
        size_t used;
        struct pbr_span piece = pbr_span_sub(in, at, step ? step : in.len);
        if (step == 1 && piece.len) { /* bytes that vanish after the call */
            copy[0] = piece.ptr[0];
            piece = pbr_span(copy, 1);
        }
        check_int(pbr_pxar_dec_step(dec, piece, &used, &ev, &diag), PBR_OK);
        at += used;
        check_u64(pbr_pxar_dec_pos(dec), at);
        if (ev.ev == PBR_PXAR_EV_MORE) {
            check(at < in.len);
            continue;
        }
        if (ev.ev == PBR_PXAR_EV_DATA || ev.ev == PBR_PXAR_EV_PRELUDE)
            check_int(pbr_buf_append(data, ev.data), PBR_OK);
        if (ev.ev != PBR_PXAR_EV_DATA)
            add_event(out, &ev);
        if (ev.ev == PBR_PXAR_EV_END)
            break;
    }
    pbr_pxar_dec_free(dec);
}

static void check_split_independence(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    static const size_t steps[] = { 1, 3, 17, 4096 };
    struct pbr_buf whole, data, other, other_data;
    (void)path;
    pbr_buf_init(&whole, &env, 1 << 26);
    pbr_buf_init(&data, &env, 1 << 26);
    pbr_buf_init(&other, &env, 1 << 26);
    pbr_buf_init(&other_data, &env, 1 << 26);
    for (int items = 0; items < 2; items++) {
        pbr_buf_clear(&whole);
        pbr_buf_clear(&data);
        decode(&env, p->archive, 0, items, &whole, &data);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
            pbr_buf_clear(&other);
            pbr_buf_clear(&other_data);
            decode(&env, p->archive, steps[i], items, &other, &other_data);
            check_span(pbr_buf_span(&other), pbr_buf_span(&whole));
            check_span(pbr_buf_span(&other_data), pbr_buf_span(&data));
        }
    }
    pbr_buf_release(&whole);
    pbr_buf_release(&data);
    pbr_buf_release(&other);
    pbr_buf_release(&other_data);
    check_int(w.live_allocs, 0);
}

static void test_events_do_not_depend_on_how_the_input_is_split(void **state)
{
    (void)state;
    for_golden(check_split_independence);
}

static void check_transcoding(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_buf archive, payload;
    struct pxar_streams s;
    struct pbr_diag diag = { 0 };
    (void)path;
    pbr_buf_init(&archive, &env, 1 << 26);
    pbr_buf_init(&payload, &env, 1 << 26);
    struct pbr_sink archive_sink = pbr_sink_buf(&archive), payload_sink = pbr_sink_buf(&payload);
    struct pbr_reader *r = open_reader(&env, &s, p, 1000, NULL);
    check_int(transcode(&env, r, &archive_sink, p->split ? &payload_sink : NULL, &diag), PBR_OK);
    pbr_reader_free(r);
    check_span(pbr_buf_span(&archive), p->archive);
    check_span(pbr_buf_span(&payload), p->payload);
    pbr_buf_release(&archive);
    pbr_buf_release(&payload);
    check_int(w.live_allocs, 0);
}

static void test_encoding_what_was_decoded_gives_the_same_bytes(void **state)
{
    (void)state;
    for_golden(check_transcoding);
}

static int read_all(struct pbr_reader *r, bool contents, struct pbr_diag *diag)
{
    for (;;) {
        struct pbr_pxar_event ev;
        struct pbr_span view = { 0 };
        int rc = pbr_reader_next(r, &ev, diag);
        if (rc < 0 || ev.ev == PBR_PXAR_EV_END)
            return rc;
        const bool file = contents && ev.ev == PBR_PXAR_EV_ENTRY && ev.entry.kind == PBR_KIND_FILE;
        do {
            if (file)
                rc = pbr_reader_content(r, &view, diag);
        } while (rc == PBR_OK && view.len > 0);
        if (rc < 0)
            return rc;
    }
}

static void check_prefixes(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    if (p->archive.len > 3000 && strstr(path, "one-file") == NULL)
        return; /* quadratic */
    for (size_t len = 0; len < p->archive.len; len++) {
        struct pxar_streams s;
        struct pxar_pair cut = *p;
        struct pbr_diag diag = { 0 };
        cut.archive.len = len;
        struct pbr_reader *r = open_reader(&env, &s, &cut, 0, NULL);
        check_int(read_all(r, len % 2, &diag), PBR_E_TRUNCATED);
        check(strcmp(diag.rule, "PXAR-225") == 0 || strcmp(diag.rule, "PXAR-226") == 0);
        pbr_reader_free(r);
    }
    for (size_t len = PBR_PXAR_HDR; p->split && len < p->payload.len - PBR_PXAR_HDR; len++) {
        struct pxar_streams s;
        struct pxar_pair cut = *p;
        struct pbr_diag diag = { 0 };
        cut.payload.len = len;
        struct pbr_reader *r = open_reader(&env, &s, &cut, 0, NULL);
        check_int(read_all(r, true, &diag), PBR_E_TRUNCATED);
        pbr_reader_free(r);
    }
    check_int(w.live_allocs, 0);
}

static void test_strict_prefixes_are_truncated(void **state)
{
    (void)state;
    for_golden(check_prefixes);
}

/* Skipping, reading half and reading all give the same entries. */
static void check_skipping(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    uint64_t files[3] = { 0 };
    (void)path;
    for (int how = 0; how < 3; how++) {
        struct pxar_streams s;
        struct pbr_reader *r = open_reader(&env, &s, p, 7, NULL);
        for (;;) {
            struct pbr_pxar_event ev;
            struct pbr_span view = { 0 };
            uint64_t got = 0;
            check_int(pbr_reader_next(r, &ev, NULL), PBR_OK);
            if (ev.ev == PBR_PXAR_EV_END)
                break;
            if (ev.ev != PBR_PXAR_EV_ENTRY || ev.entry.kind != PBR_KIND_FILE)
                continue;
            files[how] += ev.entry.size;
            if (how == 0)
                continue;
            do {
                check_int(pbr_reader_content(r, &view, NULL), PBR_OK);
                got += view.len;
            } while (view.len > 0 && how == 2);
            check(how == 1 || got == ev.entry.size);
        }
        pbr_reader_free(r);
    }
    check_u64(files[1], files[0]);
    check_u64(files[2], files[0]);
}

static void test_contents_may_be_skipped_in_whole_or_in_part(void **state)
{
    (void)state;
    for_golden(check_skipping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_do_not_depend_on_how_the_input_is_split),
        cmocka_unit_test(test_encoding_what_was_decoded_gives_the_same_bytes),
        cmocka_unit_test(test_strict_prefixes_are_truncated),
        cmocka_unit_test(test_contents_may_be_skipped_in_whole_or_in_part),
    };
    return cmocka_run_group_tests_name("archive_golden", tests, NULL, NULL);
}
