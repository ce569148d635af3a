/* SPDX-License-Identifier: MIT */
/* covers: PXAR-152 PXAR-153 PXAR-159 PXAR-162 PXAR-173 PXAR-260 PXAR-261 PXAR-262 PXAR-263 PXAR-265 PXAR-266 PXAR-267
 * PXAR-268 PXAR-269 PXAR-270 PXAR-271 PXAR-272 PXAR-273 PXAR-274 PXAR-275 PXAR-277 PXAR-278 */
#include "pxar_data.h"

#include "archive/access.h"
#include "format/goodbye.h"

struct opened {
    struct pbr_source archive, payload;
    struct pbr_access *a;
};

static void open_pair(struct opened *o, const struct pbr_env *env, const struct pxar_pair *p)
{
    o->archive = pbr_source_mem(&p->archive);
    o->payload = pbr_source_mem(&p->payload);
    o->a = NULL;
    check_int(pbr_access_open(env, &o->archive, p->split ? &o->payload : NULL, &o->a, NULL), PBR_OK);
}

static void check_equal(const struct pbr_pxar_entry *a, const struct pbr_pxar_entry *b)
{
    check_int(a->kind, b->kind);
    check_span(a->name, b->name);
    check_span(a->target, b->target);
    check(pbr_pxar_meta_equal(&a->meta, &b->meta));
    check_u64(a->size, b->size);
    check_u64(a->has_ref, b->has_ref);
    check_u64(a->ref_off, b->ref_off);
    check_u64(a->data_pos, b->data_pos);
    check_u64(a->link_off, b->link_off);
    check_u64(a->major, b->major);
    check_u64(a->minor, b->minor);
    check_u64(a->name_pos, b->name_pos);
    check_u64(a->entry_pos, b->entry_pos);
    check_u64(a->end_pos, b->end_pos);
}

static void check_contents(struct pbr_reader *r, struct pbr_access *a, const struct pbr_access_entry *e)
{
    struct pbr_access_content c;
    uint64_t off = 0;
    check_int(pbr_access_content(a, e, &c, NULL), PBR_OK);
    check_u64(c.size, e->entry.size);
    for (;;) {
        uint8_t got[300];
        struct pbr_span view;
        size_t n;
        check_int(pbr_reader_content(r, &view, NULL), PBR_OK);
        if (view.len == 0)
            break;
        for (size_t at = 0; at < view.len; at += n) {
            const size_t want = view.len - at < sizeof(got) ? view.len - at : sizeof(got);
            check_int(pbr_access_content_read(&c, off, got, want, &n, NULL), PBR_OK);
            check_u64(n, want);
            check_span(pbr_span(got, n), pbr_span_sub(view, at, n));
            off += n;
        }
    }
    size_t none = 1;
    uint8_t byte;
    check_u64(off, c.size);
    check_int(pbr_access_content_read(&c, off, &byte, 1, &none, NULL), PBR_OK);
    check_u64(none, 0);
}

static void check_lookups(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_streams s;
    struct opened o;
    (void)path;
    open_pair(&o, &env, p);
    struct pbr_reader *r = open_reader(&env, &s, p, 0, NULL);
    for (;;) {
        struct pbr_pxar_event ev;
        struct pbr_access_entry *e = NULL;
        check_int(pbr_reader_next(r, &ev, NULL), PBR_OK);
        if (ev.ev == PBR_PXAR_EV_END)
            break;
        if (ev.ev != PBR_PXAR_EV_ENTRY)
            continue;
        check_int(pbr_access_lookup(o.a, pbr_reader_path(r), &e, NULL), PBR_OK);
        check_equal(&e->entry, &ev.entry);
        check_int(e->is_root, ev.depth == 0);
        if (ev.entry.kind == PBR_KIND_FILE)
            check_contents(r, o.a, e);
        if (ev.entry.kind == PBR_KIND_HARDLINK) {
            struct pbr_access_entry *target = NULL, *named = NULL;
            check_int(pbr_access_follow(o.a, e, &target, NULL), PBR_OK);
            check_int(pbr_access_lookup(o.a, ev.entry.target, &named, NULL), PBR_OK);
            check_equal(&target->entry, &named->entry);
            pbr_access_entry_free(target);
            pbr_access_entry_free(named);
        }
        pbr_access_entry_free(e);
    }
    pbr_reader_free(r);
    pbr_access_free(o.a);
    check_int(w.live_allocs, 0);
}

static void test_every_path_is_found_and_equals_the_sequential_reading(void **state)
{
    (void)state;
    for_golden(check_lookups);
}

/* Walking all directories in archive order meets the same positions as reading from the front. */
static uint64_t walk(struct pbr_access *a, const struct pbr_access_entry *dir_entry, uint64_t last)
{
    struct pbr_access_dir *d = NULL;
    check_int(pbr_access_opendir(a, dir_entry, &d, NULL), PBR_OK);
    struct pbr_access_entry *self = NULL;
    check_int(pbr_access_dir_self(d, &self, NULL), PBR_OK);
    check_u64(self->entry.entry_pos, dir_entry->entry.entry_pos);
    check_u64(self->entry.name.len, 0);
    pbr_access_entry_free(self);
    for (uint64_t i = 0; i < pbr_access_dir_count(d); i++) {
        struct pbr_access_entry *e = NULL;
        check_int(pbr_access_dir_get_ordered(d, i, &e, NULL), PBR_OK);
        check(e->entry.name_pos > last);
        last = e->entry.name_pos;
        if (e->entry.kind == PBR_KIND_DIR)
            last = walk(a, e, last);
        pbr_access_entry_free(e);
    }
    struct pbr_access_entry *none = NULL;
    check_int(pbr_access_dir_get(d, pbr_access_dir_count(d), &none, NULL), PBR_E_ARG);
    pbr_access_dir_free(d);
    return last;
}

static void check_walk(const char *path, const struct pxar_pair *p)
{
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct opened o;
    struct pbr_access_entry *root = NULL;
    (void)path;
    open_pair(&o, &env, p);
    check_int(pbr_access_root(o.a, &root, NULL), PBR_OK);
    walk(o.a, root, 0);
    pbr_access_entry_free(root);
    pbr_access_free(o.a);
    check_int(w.live_allocs, 0);
}

static void test_directories_can_be_walked_in_archive_order(void **state)
{
    (void)state;
    for_golden(check_walk);
}

static void test_paths_are_read_as_the_rule_says(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "hardlinks.pxar");
    struct opened o;
    static const char *const same[] = { "/a/first", "a/first", "./a/./first", "//a//first", "/a/first/" };
    static const char *const root[] = { "/", ".", "//", "/./." };
    struct pbr_access_entry *e = NULL;
    open_pair(&o, &env, &p);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        check_int(pbr_access_lookup(o.a, pbr_span_str(same[i]), &e, NULL), PBR_OK);
        check(pbr_span_eq_str(e->entry.name, "first"));
        pbr_access_entry_free(e);
    }
    for (size_t i = 0; i < sizeof(root) / sizeof(root[0]); i++) {
        check_int(pbr_access_lookup(o.a, pbr_span_str(root[i]), &e, NULL), PBR_OK);
        check(e->is_root);
        pbr_access_entry_free(e);
    }
    check_fail(pbr_access_lookup(o.a, pbr_span_str(""), &e, diag), PBR_E_NOENT, "PXAR-271");
    check_fail(pbr_access_lookup(o.a, pbr_span_str("a/../m"), &e, diag), PBR_E_ARG, "PXAR-271");
    check_fail(pbr_access_lookup(o.a, pbr_span_str("a/first/x"), &e, diag), PBR_E_ARG, "PXAR-271");
    check_fail(pbr_access_lookup(o.a, pbr_span_str("a/nothing"), &e, diag), PBR_E_NOENT, "PXAR-269");
    pbr_access_free(o.a);
    unload_pair(&p);
    check_int(w.live_allocs, 0);
}

/* ---- archives with one wrong place ---- */

struct changed {
    struct pbr_span in;
    uint8_t *bytes;
    struct pbr_source archive;
};

static void change_open(struct changed *c, const char *path)
{
    const struct pbr_span in = test_load(path);
    c->bytes = (uint8_t *)(uintptr_t)in.ptr;
    c->in = in;
    c->archive = pbr_source_mem(&c->in);
}

static void test_wrong_tables_are_refused(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct changed c;
    struct pbr_access *a = NULL;
    struct pbr_access_entry *e = NULL;
    change_open(&c, GOLDEN "one-file.pxar");
    check_int(pbr_access_open(&env, &c.archive, NULL, &a, NULL), PBR_OK);
    uint8_t *tail = c.bytes + c.in.len - 24;
    uint8_t saved[24];
    memcpy(saved, tail, 24);

    tail[0] ^= 1;
    check_fail(pbr_access_root(a, &e, diag), PBR_E_FORMAT, "PXAR-261");
    memcpy(tail, saved, 24);
    static const uint64_t sizes[] = { 0, 16, 39 };
    for (size_t i = 0; i < 3; i++) {
        pbr_put_u64le(tail + 16, sizes[i]);
        check_fail(pbr_access_root(a, &e, diag), PBR_E_FORMAT, "PXAR-263");
    }
    static const uint64_t wrong[] = { 41, 40 + 24 * 1000, UINT64_MAX - 7 };
    for (size_t i = 0; i < 3; i++) {
        pbr_put_u64le(tail + 16, wrong[i]);
        check_fail(pbr_access_root(a, &e, diag), PBR_E_FORMAT, "PXAR-261");
    }
    memcpy(tail, saved, 24);
    pbr_put_u64le(tail + 8, UINT64_MAX);
    check_fail(pbr_access_root(a, &e, diag), PBR_E_FORMAT, "PXAR-261");
    pbr_put_u64le(tail + 8, pbr_get_u64le(saved + 8) - 1);
    check_fail(pbr_access_root(a, &e, diag), PBR_E_FORMAT, "PXAR-153");
    memcpy(tail, saved, 24);

    uint8_t *rec = tail - 24; /* the only child's */
    uint8_t saved_rec[24];
    memcpy(saved_rec, rec, 24);
    const struct pbr_span name = { c.bytes + 56 + 16, c.bytes[56 + 8] - 17u };
    static const uint64_t offsets[] = { UINT64_MAX, 100000 };
    for (size_t i = 0; i < 2; i++) {
        pbr_put_u64le(rec + 8, offsets[i]);
        check_fail(pbr_access_lookup(a, name, &e, diag), PBR_E_FORMAT, "PXAR-266");
    }
    memcpy(rec, saved_rec, 24);
    static const uint64_t spans[] = { 0, UINT64_MAX };
    for (size_t i = 0; i < 2; i++) {
        pbr_put_u64le(rec + 16, spans[i]);
        check_fail(pbr_access_lookup(a, name, &e, diag), PBR_E_FORMAT, "PXAR-266");
    }
    memcpy(rec, saved_rec, 24);
    pbr_put_u64le(rec + 16, 20); /* ends inside the entry */
    check_fail(pbr_access_lookup(a, name, &e, diag), PBR_E_TRUNCATED, "PXAR-225");
    memcpy(rec, saved_rec, 24);
    check_int(pbr_access_lookup(a, name, &e, NULL), PBR_OK);
    pbr_access_entry_free(e);
    pbr_access_free(a);

    c.in.len--; /* PXAR-262: the root ends where the archive ends */
    c.archive.size--;
    check_int(pbr_access_open(&env, &c.archive, NULL, &a, NULL), PBR_OK);
    check_fail(pbr_access_root(a, &e, diag), PBR_E_FORMAT, "PXAR-261");
    pbr_access_free(a);
    c.in.len = 23;
    c.archive.size = 23;
    check_fail(pbr_access_open(&env, &c.archive, NULL, &a, diag), PBR_E_FORMAT, "PXAR-260");
    test_unload(pbr_span(c.bytes, 1));
    check_int(w.live_allocs, 0);
}

/* A record whose size leads to the end of another directory. */
static void test_a_directory_opens_with_its_own_table_only(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct changed c;
    struct pbr_access *a = NULL;
    struct pbr_access_entry *first = NULL, *other = NULL;
    struct pbr_access_dir *d = NULL;
    change_open(&c, GOLDEN "hardlinks.pxar");
    check_int(pbr_access_open(&env, &c.archive, NULL, &a, NULL), PBR_OK);
    check_int(pbr_access_lookup(a, pbr_span_str("/a"), &first, NULL), PBR_OK);
    check_int(pbr_access_lookup(a, pbr_span_str("/z"), &other, NULL), PBR_OK);
    first->end = other->end;
    check_fail(pbr_access_opendir(a, first, &d, diag), PBR_E_FORMAT, "PXAR-152");
    check(!d);
    pbr_access_entry_free(first);
    pbr_access_entry_free(other);
    pbr_access_free(a);
    test_unload(c.in);
    check_int(w.live_allocs, 0);
}

static void test_wrong_versions_are_refused(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct changed c;
    struct pbr_access *a = NULL;
    change_open(&c, GOLDEN "one-file.mpxar");
    c.bytes[16] = 3;
    check_fail(pbr_access_open(&env, &c.archive, NULL, &a, diag), PBR_E_UNSUPPORTED, "PXAR-041");
    c.bytes[0] ^= 1;
    check_fail(pbr_access_open(&env, &c.archive, NULL, &a, diag), PBR_E_FORMAT, "PXAR-005");
    test_unload(c.in);
}

static void test_contents_need_a_fitting_payload_stream(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pxar_pair p = load_pair(GOLDEN "hardlinks.mpxar");
    uint8_t *payload = (uint8_t *)(uintptr_t)p.payload.ptr;
    struct opened o;
    struct pbr_access_entry *e = NULL;
    struct pbr_access_content content;
    open_pair(&o, &env, &p);
    check_int(pbr_access_lookup(o.a, pbr_span_str("/a/first"), &e, NULL), PBR_OK);
    payload[16] ^= 1;
    check_fail(pbr_access_content(o.a, e, &content, diag), PBR_E_FORMAT, "PXAR-243");
    payload[16] ^= 1;
    payload[24] ^= 1;
    check_fail(pbr_access_content(o.a, e, &content, diag), PBR_E_FORMAT, "PXAR-243");
    payload[24] ^= 1;
    o.payload.size = 16 + 16 + 4999;
    check_fail(pbr_access_content(o.a, e, &content, diag), PBR_E_FORMAT, "PXAR-274");
    pbr_access_entry_free(e);
    check_int(pbr_access_lookup(o.a, pbr_span_str("/a"), &e, NULL), PBR_OK);
    check_int(pbr_access_content(o.a, e, &content, NULL), PBR_E_STATE);
    pbr_access_entry_free(e);
    pbr_access_free(o.a);

    check_int(pbr_access_open(&env, &o.archive, NULL, &o.a, NULL), PBR_OK);
    check_int(pbr_access_lookup(o.a, pbr_span_str("/a/first"), &e, NULL), PBR_OK);
    check_fail(pbr_access_content(o.a, e, &content, diag), PBR_E_STATE, "PXAR-278");
    pbr_access_entry_free(e);
    pbr_access_free(o.a);
    unload_pair(&p);
    check_int(w.live_allocs, 0);
}

static void test_links_lead_to_regular_files_only(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct changed c;
    struct pbr_access *a = NULL;
    struct pbr_access_entry *first = NULL, *link = NULL, *last = NULL, *target = NULL;
    change_open(&c, GOLDEN "hardlinks.pxar");
    check_int(pbr_access_open(&env, &c.archive, NULL, &a, NULL), PBR_OK);
    check_int(pbr_access_lookup(a, pbr_span_str("/a"), &first, NULL), PBR_OK);
    check_int(pbr_access_lookup(a, pbr_span_str("/m"), &link, NULL), PBR_OK);
    check_int(pbr_access_lookup(a, pbr_span_str("/z/last"), &last, NULL), PBR_OK);
    check_int(pbr_access_follow(a, first, &target, NULL), PBR_E_STATE);
    const uint64_t wrong[] = { 0, link->entry.name_pos + 1, link->entry.name_pos - first->entry.name_pos };
    for (size_t i = 0; i < 3; i++) {
        link->entry.link_off = wrong[i];
        check_fail(pbr_access_follow(a, link, &target, diag), PBR_E_FORMAT, "PXAR-275");
    }
    last->entry.link_off = last->entry.name_pos - link->entry.name_pos; /* PXAR-277: a chain */
    check_fail(pbr_access_follow(a, last, &target, diag), PBR_E_FORMAT, "PXAR-275");
    pbr_access_entry_free(first);
    pbr_access_entry_free(link);
    pbr_access_entry_free(last);
    pbr_access_free(a);
    test_unload(c.in);
    check_int(w.live_allocs, 0);
}

/* Names of one directory whose goodbye hashes are all made equal: every one is still found by name. */
static void test_equal_hashes_are_all_reached(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct changed c;
    struct pbr_access *a = NULL;
    struct pbr_access_dir *d = NULL;
    char names[9][64];
    change_open(&c, GOLDEN "goodbye-09.pxar");
    check_int(pbr_access_open(&env, &c.archive, NULL, &a, NULL), PBR_OK);
    check_int(pbr_access_opendir_at(a, c.in.len, &d, NULL), PBR_OK);
    check_u64(pbr_access_dir_count(d), 9);
    for (uint64_t i = 0; i < 9; i++) {
        struct pbr_access_entry *e = NULL;
        check_int(pbr_access_dir_get(d, i, &e, NULL), PBR_OK);
        snprintf(names[i], sizeof(names[i]), "%.*s", (int)e->entry.name.len, (const char *)e->entry.name.ptr);
        pbr_access_entry_free(e);
    }
    pbr_access_dir_free(d);
    for (size_t k = 0; k < 9; k++) { /* the hash of the name that is looked for, in all records */
        for (size_t i = 0; i < 9; i++)
            pbr_put_u64le(c.bytes + c.in.len - 24 * (10 - i), pbr_pxar_name_hash(pbr_span_str(names[k])));
        struct pbr_access_entry *e = NULL;
        check_int(pbr_access_lookup(a, pbr_span_str(names[k]), &e, NULL), PBR_OK);
        check(pbr_span_eq_str(e->entry.name, names[k]));
        pbr_access_entry_free(e);
    }
    pbr_access_free(a);
    test_unload(c.in);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_path_is_found_and_equals_the_sequential_reading),
        cmocka_unit_test(test_directories_can_be_walked_in_archive_order),
        cmocka_unit_test(test_paths_are_read_as_the_rule_says),
        cmocka_unit_test(test_wrong_tables_are_refused),
        cmocka_unit_test(test_a_directory_opens_with_its_own_table_only),
        cmocka_unit_test(test_wrong_versions_are_refused),
        cmocka_unit_test(test_contents_need_a_fitting_payload_stream),
        cmocka_unit_test(test_links_lead_to_regular_files_only),
        cmocka_unit_test(test_equal_hashes_are_all_reached),
    };
    return cmocka_run_group_tests_name("archive_access", tests, NULL, NULL);
}
