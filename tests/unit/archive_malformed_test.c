/* SPDX-License-Identifier: MIT */
/* covers: PXAR-004 PXAR-008 PXAR-020 PXAR-021 PXAR-022 PXAR-024 PXAR-032 PXAR-041 PXAR-042 PXAR-050 PXAR-054 PXAR-071
 * PXAR-074 PXAR-075 PXAR-079 PXAR-081 PXAR-086 PXAR-087 PXAR-100 PXAR-110 PXAR-135 PXAR-136 PXAR-139 PXAR-150 PXAR-151
 * PXAR-152 PXAR-154 PXAR-157 PXAR-161 PXAR-170 PXAR-220 PXAR-223 PXAR-224 PXAR-225 PXAR-227 PXAR-230 PXAR-240 PXAR-241
 * PXAR-242 PXAR-243 PXAR-246 */
#include "pxar_data.h"

#include <jansson.h>

#include "archive/list.h"
#include "archive/verify.h"
#include "prim/prim.h"

/* ---- applying the edit of a case ---- */

static void append(struct pbr_buf *b, struct pbr_span in)
{
    check_int(pbr_buf_append(b, in), PBR_OK);
}

static void append_hex(struct pbr_buf *b, const char *hex)
{
    uint8_t *p;
    const size_t n = strlen(hex) / 2;
    check_int(pbr_buf_reserve(b, n, &p), PBR_OK);
    check(pbr_parse_hex(pbr_span_str(hex), p, n));
    b->len += n;
}

static size_t pair_at(const json_t *pair, size_t i)
{
    return (size_t)json_integer_value(json_array_get(pair, i));
}

static void apply_edit(struct pbr_span in, const json_t *edit, struct pbr_buf *out)
{
    const json_t *value;
    if ((value = json_object_get(edit, "truncate"))) {
        append(out, pbr_span_sub(in, 0, (size_t)json_integer_value(value)));
    } else if ((value = json_object_get(edit, "at"))) {
        const size_t at = (size_t)json_integer_value(value);
        append(out, pbr_span_sub(in, 0, at));
        append_hex(out, json_string_value(json_object_get(edit, "bytes")));
        append(out, pbr_span_sub(in, out->len, in.len));
    } else if ((value = json_object_get(edit, "remove"))) {
        append(out, pbr_span_sub(in, 0, pair_at(value, 0)));
        append(out, pbr_span_sub(in, pair_at(value, 0) + pair_at(value, 1), in.len));
    } else if ((value = json_object_get(edit, "duplicate"))) {
        append(out, pbr_span_sub(in, 0, pair_at(value, 0) + pair_at(value, 1)));
        append(out, pbr_span_sub(in, pair_at(value, 0), in.len));
    } else {
        value = json_object_get(edit, "append");
        assert_non_null(value);
        append(out, in);
        append_hex(out, json_string_value(value));
    }
}

/* ---- what we say to it ---- */

struct verdict {
    int rc;
    const char *rule;
};

static struct verdict of(int rc, const struct pbr_diag *diag)
{
    return (struct verdict){ rc, diag->rule ? diag->rule : "" };
}

static struct verdict run_list(const struct pbr_env *env, const struct pxar_pair *p, struct pbr_buf *out)
{
    struct pxar_streams s;
    struct pbr_reader *r = NULL;
    struct pbr_diag diag = { 0 };
    const struct pbr_list_opts opts = { 0 };
    struct pbr_sink sink = pbr_sink_buf(out);
    s.archive_mem = (struct pbr_stream_mem){ .in = p->archive };
    s.payload_mem = (struct pbr_stream_mem){ .in = p->payload };
    s.archive = pbr_stream_mem(&s.archive_mem);
    s.payload = pbr_stream_mem(&s.payload_mem);
    int rc = pbr_reader_open(env, &s.archive, p->split ? &s.payload : NULL, &r, &diag);
    if (rc == PBR_OK)
        rc = pbr_list(env, r, &opts, &sink, &diag);
    pbr_reader_free(r);
    return of(rc, &diag);
}

static void keep_first(void *ctx, const struct pbr_verify_finding *f)
{
    const char **rule = ctx;
    assert_non_null(f->rule);
    if (!f->warning && !*rule)
        *rule = f->rule;
}

static const char *run_verify(const struct pbr_env *env, const struct pxar_pair *p)
{
    const char *rule = NULL;
    struct pbr_stream_mem archive_mem = { .in = p->archive }, payload_mem = { .in = p->payload };
    struct pbr_stream archive = pbr_stream_mem(&archive_mem), payload = pbr_stream_mem(&payload_mem);
    const struct pbr_verify_opts opts = { .contents = true, .report = keep_first, .ctx = &rule };
    struct pbr_verify_result res;
    check_int(pbr_verify(env, &archive, p->split ? &payload : NULL, &opts, &res, NULL), PBR_OK);
    check_int(res.errors > 0, rule != NULL);
    return rule;
}

/* ---- the cases ---- */

struct tally {
    const char *rule;
    unsigned nr;
};

static void count(struct tally *table, size_t cap, const char *rule)
{
    for (size_t i = 0; i < cap; i++) {
        if (!table[i].rule)
            table[i].rule = rule;
        if (strcmp(table[i].rule, rule) == 0) {
            table[i].nr++;
            return;
        }
    }
    fail();
}

/* Rules by which our readers refuse what the original lists and extracts, with the number of cases. */
static const struct tally STRICTER_READING[] = {
    { "PXAR-021", 15 }, { "PXAR-022", 64 }, { "PXAR-024", 16 }, { "PXAR-150", 14 }, { "PXAR-081", 33 },
};

static unsigned nr_of(const struct tally *table, size_t n, const char *rule)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].rule && strcmp(table[i].rule, rule) == 0)
            return table[i].nr;
    }
    return 0;
}

static void check_list_output(const json_t *c, struct pbr_span out)
{
    uint8_t digest[PBR_DIGEST_LEN];
    char hex[2 * PBR_DIGEST_LEN + 1];
    const char *want = json_string_value(json_object_get(c, "list_sha256"));
    assert_non_null(want);
    check_int(pbr_sha256(out, pbr_span(NULL, 0), digest), PBR_OK);
    pbr_format_hex(digest, sizeof(digest), hex);
    check(strlen(want) >= 16); /* the front of the digest is kept */
    check_int(strncmp(hex, want, strlen(want)), 0);
}

static struct {
    struct tally reading[32];
    unsigned accepted, rejected, stricter_verify, equal_lists;
} totals;

static void check_case(const struct pbr_env *env, const json_t *c, const struct pxar_pair *base)
{
    const json_t *edit = json_object_get(c, "edit");
    const json_t *payload_edit = json_object_get(edit, "payload");
    const bool listed = json_integer_value(json_object_get(json_object_get(c, "list"), "exit")) == 0;
    const bool extracted = json_integer_value(json_object_get(json_object_get(c, "extract_strict"), "exit")) == 0;
    struct pxar_pair p = *base;
    struct pbr_buf made, out;
    pbr_buf_init(&made, env, 1 << 20);
    pbr_buf_init(&out, env, 1 << 20);
    apply_edit(payload_edit ? base->payload : base->archive, payload_edit ? payload_edit : edit, &made);
    if (payload_edit)
        p.payload = pbr_buf_span(&made);
    else
        p.archive = pbr_buf_span(&made);

    const struct verdict list = run_list(env, &p, &out);
    const char *verify = run_verify(env, &p);
    if (list.rc < 0)
        check(list.rule[0] != 0);
    if (!listed)
        check(list.rc < 0);
    if (!extracted || list.rc < 0)
        assert_non_null(verify);
    if (listed && list.rc < 0)
        count(totals.reading, 32, list.rule);
    if (listed && list.rc == PBR_OK) {
        check_list_output(c, pbr_buf_span(&out));
        totals.equal_lists++;
    }
    if (extracted)
        totals.stricter_verify += verify != NULL;
    totals.accepted += verify == NULL;
    totals.rejected += verify != NULL;
    pbr_buf_release(&made);
    pbr_buf_release(&out);
}

static void test_whatever_the_original_rejects_is_rejected(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    json_error_t error;
    json_t *doc = json_load_file("testdata/golden/malformed.json", 0, &error);
    assert_non_null(doc);
    const json_t *cases = json_object_get(doc, "cases");
    check(json_array_size(cases) > 2000);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        char path[256];
        const bool split = strcmp(json_string_value(json_object_get(c, "form")), "split") == 0;
        snprintf(path, sizeof(path), GOLDEN "%s.%s", json_string_value(json_object_get(c, "base")),
                 split ? "mpxar" : "pxar");
        struct pxar_pair base = load_pair(path);
        check_case(&env, c, &base);
        unload_pair(&base);
    }
    json_decref(doc);
    check_int(w.live_allocs, 0);

    printf("verify rejects %u, accepts %u; equal listings %u; original accepts, verify rejects: %u\n",
           totals.rejected, totals.accepted, totals.equal_lists, totals.stricter_verify);
    check_u64(totals.accepted, 40); /* valid values: another permission bit, another attribute value */
    check_u64(totals.equal_lists, 597);
    check_u64(totals.stricter_verify, 517);
    const size_t n = sizeof(STRICTER_READING) / sizeof(STRICTER_READING[0]);
    for (size_t i = 0; i < 32 && totals.reading[i].rule; i++) {
        printf("reading stricter: %s %u\n", totals.reading[i].rule, totals.reading[i].nr);
        check_u64(totals.reading[i].nr, nr_of(STRICTER_READING, n, totals.reading[i].rule));
    }
    for (size_t i = 0; i < n; i++)
        check_u64(nr_of(totals.reading, 32, STRICTER_READING[i].rule), STRICTER_READING[i].nr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_the_original_rejects_is_rejected),
    };
    return cmocka_run_group_tests_name("archive_malformed", tests, NULL, NULL);
}
