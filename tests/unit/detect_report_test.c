/* SPDX-License-Identifier: MIT */
/* covers: CDM-042 CDM-043 CDM-047 CDM-058 CDM-059 CDM-060 CDM-065 CDM-101 CDM-143 PXAR-157 PXAR-158 */
/* Layouts and the report made of two of them, on small streams laid out by hand; figures of T6, U2 and U3 of
 * spec/change-detection.md. */
#include "detect/report.h"
#include "test.h"

enum { HDR = 16, ITEMS = 100, FILES_MAX = 12, CHUNKS_MAX = 16 };

struct row {
    const char *path;
    uint64_t off, size;
    enum pbr_layout_read read;
    enum pbr_pxar_kind kind; /* DIR is 0: files say PBR_KIND_FILE */
    int64_t mtime_s;
    uint64_t mode;
};

#define FILE_AT(path_, off_, size_, read_) { .path = (path_), .off = (off_), .size = (size_), .read = (read_), .kind = PBR_KIND_FILE }

struct chunk {
    uint64_t size;
    uint8_t digest; /* first byte of it */
};

/* One layout with the memory that it borrows. */
struct side {
    struct pbr_layout *layout;
    struct pbr_index index;
    uint8_t file[PBR_INDEX_HDR + CHUNKS_MAX * PBR_DIDX_REC];
};

struct fixture {
    struct test_world world;
    struct pbr_env env;
    struct side now, before;
    struct pbr_report *report;
};

static void fill_index(struct side *s, const struct chunk *chunks)
{
    const struct pbr_index head = { .kind = PBR_INDEX_DYNAMIC };
    uint64_t end = 0;
    size_t nr = 0;
    pbr_index_hdr_emit(&head, s->file);
    for (; chunks[nr].size; nr++) {
        uint8_t digest[PBR_DIGEST_LEN] = { chunks[nr].digest };
        end += chunks[nr].size;
        pbr_didx_rec_emit(end, digest, s->file + PBR_INDEX_HDR + nr * PBR_DIDX_REC);
    }
    check_int(pbr_index_parse(pbr_span(s->file, PBR_INDEX_HDR + nr * PBR_DIDX_REC), false, &s->index, NULL), PBR_OK);
}

static int add_row(struct pbr_layout *l, const struct row *row, uint64_t name_pos, struct pbr_diag *diag)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/%s", row->path);
    const struct pbr_pxar_entry e = { .kind = row->kind,
                                      .size = row->size,
                                      .has_ref = row->kind == PBR_KIND_FILE,
                                      .ref_off = row->off,
                                      .meta = { .mode = row->mode, .mtime_s = row->mtime_s },
                                      .name_pos = name_pos,
                                      .end_pos = name_pos + ITEMS };
    return pbr_layout_add(l, pbr_span_str(path), &e, diag);
}

static int fill_layout(const struct pbr_env *env, struct side *s, const struct row *rows, struct pbr_diag *diag)
{
    size_t nr = 0;
    int rc = pbr_layout_new(env, &s->index, &s->layout, diag);
    for (; rows[nr].path && rc == PBR_OK; nr++)
        rc = add_row(s->layout, &rows[nr], 1000 * (nr + 1), diag);
    for (size_t i = nr; i > 0 && rc == PBR_OK; i--) { /* any order: tables are sorted by hash */
        const struct pbr_pxar_rec rec = { .offset = 500000 - 1000 * i,
                                          .size = ITEMS + (rows[i - 1].read == PBR_LAYOUT_READ ? rows[i - 1].size : 0) };
        if (rows[i - 1].read != PBR_LAYOUT_READ_UNKNOWN)
            pbr_layout_record(s->layout, 500000, &rec);
    }
    return rc < 0 ? rc : pbr_layout_finish(s->layout, diag);
}

static void set_up(struct fixture *f)
{
    *f = (struct fixture){ 0 };
    f->env = test_env(&f->world);
}

/* A report of two streams. */
static void compare(struct fixture *f, const struct chunk *chunks, const struct row *rows, const struct chunk *old_chunks,
                    const struct row *old_rows)
{
    set_up(f);
    fill_index(&f->now, chunks);
    check_int(fill_layout(&f->env, &f->now, rows, NULL), PBR_OK);
    if (old_rows) {
        fill_index(&f->before, old_chunks);
        check_int(fill_layout(&f->env, &f->before, old_rows, NULL), PBR_OK);
    }
    check_int(pbr_report_new(&f->env, f->now.layout, f->before.layout, &f->report, NULL), PBR_OK);
}

static void tear_down(struct fixture *f)
{
    pbr_report_free(f->report);
    pbr_layout_free(f->now.layout);
    pbr_layout_free(f->before.layout);
    check_int(f->world.live_allocs, 0);
}

/* More entries than the first piece of memory holds, each found again; of one stream, with the length of what stands before it. */
static void test_a_layout_grows_and_keeps_everything(void **state)
{
    enum { MANY = 2500 };
    static const struct chunk chunks[] = { { 1 << 20, 1 }, { 0 } };
    struct fixture f;
    size_t at;
    char path[16];
    (void)state;
    set_up(&f);
    fill_index(&f.now, chunks);
    check_int(pbr_layout_new(&f.env, &f.now.index, &f.now.layout, NULL), PBR_OK);
    for (unsigned i = 0; i < MANY; i++) {
        const struct pbr_pxar_entry e = { .kind = PBR_KIND_FILE, .size = i % 7, .name_pos = 300 * i, .data_pos = 300 * i + 90 + i % 5 };
        (void)snprintf(path, sizeof(path), "/f%05u", i);
        check_int(pbr_layout_add_inline(f.now.layout, pbr_span_str(path), &e, false, NULL), PBR_OK);
    }
    check_int(pbr_layout_finish(f.now.layout, NULL), PBR_OK);
    check(pbr_layout_is_inline(f.now.layout));
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(path, sizeof(path), "/f%05u", i);
        check(pbr_layout_find(f.now.layout, pbr_span_str(path + 1), &at));
        const struct pbr_layout_entry *e = pbr_layout_get(f.now.layout, at);
        check_u64(e->off, 300 * i);
        check_u64(e->size, i % 7);
        check_u64(e->head, 74 + i % 5);
    }
    pbr_layout_free(f.now.layout);
    check_int(f.world.live_allocs, 0);
}

/* Kinds of all chunks as letters, n w p k m, with ',' where a piece begins; and of all files, r e n k l. NULL: not asked. */
static void check_kinds(const struct pbr_report *r, const char *chunks, const char *files)
{
    char text[64];
    size_t n = 0;
    for (size_t i = 0; i < pbr_report_chunk_count(r); i++) {
        const struct pbr_report_chunk *c = pbr_report_chunk(r, i);
        if (i > 0 && !c->joined)
            text[n++] = ',';
        text[n++] = "nwpkm"[c->kind];
    }
    text[n] = 0;
    if (chunks)
        check_str(text, chunks);
    for (n = 0; n < pbr_report_file_count(r); n++)
        text[n] = "renkl"[pbr_report_file(r, n)->kind];
    text[n] = 0;
    if (files)
        check_str(text, files);
}

#define R PBR_LAYOUT_READ
#define N PBR_LAYOUT_NOT_READ

/* Tree U and its payload stream [U1]. */
static const struct chunk u1_chunks[] = { { 200032, 1 }, { 18048, 2 }, { 38979, 3 }, { 56036, 4 }, { 105017, 5 }, { 0 } };
static const struct row u1_rows[] = { FILE_AT("a", 16, 200000, R), FILE_AT("p0", 200032, 6000, R), FILE_AT("p1", 206048, 6000, R),
                                      FILE_AT("p2", 212064, 6000, R), FILE_AT("z", 218080, 200000, R), { 0 } };

static void test_without_an_earlier_snapshot_all_is_new(void **state)
{
    (void)state;
    struct fixture f;
    compare(&f, u1_chunks, u1_rows, NULL, NULL);
    check_kinds(f.report, "nnnnn", "nnnnn");
    const struct pbr_report_totals *t = pbr_report_totals(f.report);
    check_u64(t->sent.nr, 5);
    check_u64(t->sent.bytes, 418112);
    check_u64(t->padding, 0);
    check_u64(t->pieces, 1);
    tear_down(&f);
}

/* U2: p1 removed; its bytes stay as padding. */
static void test_a_hole_is_padding_of_its_chunk(void **state)
{
    (void)state;
    static const struct chunk chunks[] = { { 16, 9 },    { 200032, 1 }, { 18048, 2 }, { 38979, 3 },
                                           { 56036, 4 }, { 105017, 5 }, { 16, 8 },    { 0 } };
    static const struct row rows[] = { FILE_AT("a", 32, 200000, N), FILE_AT("p0", 200048, 6000, N), FILE_AT("p2", 212080, 6000, N),
                                       FILE_AT("z", 218096, 200000, N), { 0 } };
    struct fixture f;
    compare(&f, chunks, rows, u1_chunks, u1_rows);
    check_kinds(f.report, "mppwwpm", "rrrr");
    const struct pbr_report_totals *t = pbr_report_totals(f.report);
    check_u64(t->injected.nr, 5);
    check_u64(t->injected.bytes, 418112);
    check_u64(t->padding, 16 + 6016 + 16); /* 5.906 KiB */
    check_u64(t->chunks[PBR_REPORT_CHUNK_PART].nr, 3);
    check_u64(t->removed, 1);
    check_u64(t->sent.bytes, 32);
    check_u64(t->pieces, 1);
    check_u64(pbr_report_file(f.report, 2)->gap, 6016);
    check_u64(pbr_report_chunk(f.report, 2)->size - pbr_report_chunk(f.report, 2)->used, 6016);
    check_u64(pbr_report_chunk(f.report, 2)->old, 1);
    tear_down(&f);
}

/* U3: p1 touched; chunk 1 is there twice. */
static const struct chunk u3_chunks[] = { { 16, 9 },    { 200032, 1 }, { 18048, 2 },  { 6016, 7 }, { 18048, 2 },
                                          { 38979, 3 }, { 56036, 4 },  { 105017, 5 }, { 16, 8 },   { 0 } };
static const struct row u3_rows[] = { FILE_AT("a", 32, 200000, N), FILE_AT("p0", 200048, 6000, N),
                                      { "p1", 218096, 6000, R, PBR_KIND_FILE, 5, 0 }, FILE_AT("p2", 236144, 6000, N),
                                      FILE_AT("z", 242160, 200000, N), { 0 } };

static void test_a_changed_file_breaks_the_stream_in_pieces(void **state)
{
    (void)state;
    struct fixture f;
    compare(&f, u3_chunks, u3_rows, u1_chunks, u1_rows);
    check_kinds(f.report, "mpp,n,pwwpm", "rrerr");
    check_int(pbr_report_file(f.report, 2)->why, PBR_WHY_MTIME);
    const struct pbr_report_totals *t = pbr_report_totals(f.report);
    check_u64(t->injected.nr, 6);
    check_u64(t->padding, 16 + 12032 + 12032 + 16); /* 23.531 KiB */
    check_u64(t->pieces, 3);
    check_u64(t->sent.nr, 3); /* both markers and p1 */
    check_u64(pbr_report_chunk(f.report, 4)->old, 1);
    tear_down(&f);
}

/* U4: unchanged, and encoded again because the next chunk counts as padding. */
static void test_unchanged_files_are_told_from_changed_ones(void **state)
{
    (void)state;
    struct fixture f;
    compare(&f, u3_chunks, u3_rows, u3_chunks, u3_rows);
    check_kinds(f.report, "mpp,k,pwwpm", "rrerr");
    check_int(pbr_report_file(f.report, 2)->why, PBR_WHY_PADDING);
    check_int(pbr_report_file(f.report, 2)->waste_permille, 750);
    check_u64(pbr_report_totals(f.report)->sent.nr, 0);
    tear_down(&f);
}

/* b is gone: its chunk came along all the same. */
static void test_a_chunk_that_no_file_needs_any_more_counts_as_injected(void **state)
{
    (void)state;
    static const struct chunk chunks[] = { { 16, 9 }, { 200016, 1 }, { 50016, 2 }, { 16, 8 }, { 0 } };
    static const struct row before[] = { FILE_AT("a", 16, 200000, R), FILE_AT("b", 200032, 50000, R), { 0 } };
    static const struct row now[] = { FILE_AT("a", 16, 200000, N), { 0 } };
    struct fixture f;
    compare(&f, chunks, now, chunks, before);
    const struct pbr_report_totals *t = pbr_report_totals(f.report);
    check_u64(t->injected.nr, 2);
    check_u64(t->injected.bytes, 250032);
    check_u64(t->padding, 50016);
    tear_down(&f);
}

/* x comes back, y is encoded although re-using it would have wasted nothing: that has no reason of ours. */
static void test_where_something_was_reused_the_rest_is_not_explained_away(void **state)
{
    (void)state;
    static const struct chunk before_chunks[] = { { 16, 9 }, { 50016, 1 }, { 50016, 2 }, { 70016, 3 }, { 16, 8 }, { 0 } };
    static const struct row before[] = { FILE_AT("x", 16, 50000, R), FILE_AT("m", 50032, 50000, R), FILE_AT("y", 100048, 70000, R), { 0 } };
    static const struct chunk chunks[] = { { 16, 9 }, { 50016, 1 }, { 40016, 4 }, { 70016, 5 }, { 16, 8 }, { 0 } };
    static const struct row now[] = { FILE_AT("x", 16, 50000, N), FILE_AT("m", 50032, 40000, R), FILE_AT("y", 90048, 70000, R), { 0 } };
    struct fixture f;
    compare(&f, chunks, now, before_chunks, before);
    check_kinds(f.report, NULL, "ree");
    check_int(pbr_report_file(f.report, 1)->why, PBR_WHY_SIZE);
    check_int(pbr_report_file(f.report, 2)->why, PBR_WHY_OTHER);
    tear_down(&f);
}

static void test_data_mode_says_that_nothing_was_reused(void **state)
{
    (void)state;
    struct fixture f;
    compare(&f, u1_chunks, u1_rows, u1_chunks, u1_rows);
    check_kinds(f.report, "kkkkk", "eeeee");
    for (size_t i = 0; i < 5; i++)
        check_int(pbr_report_file(f.report, i)->why, PBR_WHY_NO_REUSE);
    check_u64(pbr_report_totals(f.report)->injected.nr, 0);
    tear_down(&f);
}

static void test_each_difference_has_its_reason(void **state)
{
    (void)state;
    static const struct chunk chunks[] = { { 96 + 6 * 16, 3 }, { 0 } };
    static const struct row rows[] = {
        { "dir", 16, 0, PBR_LAYOUT_READ_UNKNOWN, PBR_KIND_FILE, 0, 0 }, { "link", 32, 4, R, PBR_KIND_FILE, 0, 0 },
        { "mode", 52, 4, R, PBR_KIND_FILE, 0, 0600 },                   { "mtime", 72, 4, R, PBR_KIND_FILE, 7, 0 },
        { "new", 92, 4, R, PBR_KIND_FILE, 0, 0 },                       { "size", 112, 9, R, PBR_KIND_FILE, 0, 0 },
        { "zlink", 0, 0, N, PBR_KIND_HARDLINK, 0, 0 },                  { 0 }
    };
    static const struct chunk old_chunks[] = { { 4096, 4 }, { 0 } };
    static const struct row old_rows[] = { { "dir", 0, 0, N, PBR_KIND_DIR, 0, 0 },
                                           { "link", 0, 0, N, PBR_KIND_HARDLINK, 0, 0 },
                                           { "mode", 500, 4, R, PBR_KIND_FILE, 0, 0644 },
                                           { "mtime", 520, 4, R, PBR_KIND_FILE, 0, 0 },
                                           { "size", 540, 4, R, PBR_KIND_FILE, 0, 0 },
                                           { 0 } };
    struct fixture f;
    compare(&f, chunks, rows, old_chunks, old_rows);
    check_kinds(f.report, NULL, "eeeenel");
    const unsigned want[] = { PBR_WHY_TYPE, PBR_WHY_LINK, PBR_WHY_MODE, PBR_WHY_MTIME, 0, PBR_WHY_SIZE, 0 };
    for (size_t i = 0; i < 7; i++)
        check_int(pbr_report_file(f.report, i)->why, want[i]);
    tear_down(&f);
}

/* A reference of the earlier archive that change detection refuses. */
static void test_damaged_references_are_named(void **state)
{
    (void)state;
    static const struct row old_rows[] = { FILE_AT("a", 16, 200000, R), FILE_AT("p0", 206048, 6000, R), FILE_AT("p1", 200032, 6000, R),
                                           FILE_AT("p2", 1 << 30, 6000, R), FILE_AT("z", UINT64_MAX - 8, 200000, R), { 0 } };
    struct fixture f;
    compare(&f, u1_chunks, u1_rows, u1_chunks, old_rows);
    check_int(pbr_report_file(f.report, 2)->why, PBR_WHY_REFERENCE);
    check_int(pbr_report_file(f.report, 3)->why, PBR_WHY_REFERENCE);
    check_int(pbr_report_file(f.report, 4)->why, PBR_WHY_REFERENCE);
    tear_down(&f);
}

/* The snapshot under report itself is damaged: everything stays in bounds. */
static void test_references_out_of_range_are_survived(void **state)
{
    (void)state;
    static const struct row rows[] = { FILE_AT("a", 0, 300, N), FILE_AT("b", 100, UINT64_MAX, N), FILE_AT("c", UINT64_MAX, 1, R),
                                       FILE_AT("d", 418111, 50, N), { 0 } };
    struct fixture f;
    compare(&f, u1_chunks, rows, u1_chunks, rows);
    for (size_t i = 0; i < pbr_report_chunk_count(f.report); i++)
        check(pbr_report_chunk(f.report, i)->used <= pbr_report_chunk(f.report, i)->size);
    check_u64(pbr_report_file(f.report, 2)->chunk_nr, 0);
    tear_down(&f);
}

/* Against a snapshot that was not the reference. */
static void test_reuse_of_a_snapshot_in_between_is_no_reuse_of_this_one(void **state)
{
    (void)state;
    static const struct chunk chunks[] = { { 16, 9 }, { 200032, 1 }, { 18048, 6 }, { 16, 8 }, { 0 } };
    static const struct row rows[] = { FILE_AT("a", 32, 200000, N), FILE_AT("p0", 200048, 6000, N), { 0 } };
    struct fixture f;
    compare(&f, chunks, rows, u1_chunks, u1_rows);
    check_kinds(f.report, "mp,nm", "rk");
    tear_down(&f);
}

static void test_a_repeated_chunk_is_sent_once(void **state)
{
    (void)state;
    static const struct chunk chunks[] = { { 1016, 1 }, { 1000, 2 }, { 1000, 2 }, { 1016, 3 }, { 0 } };
    static const struct row rows[] = { FILE_AT("a", 16, 1000 - HDR, R), FILE_AT("b", 1016, 1000 - HDR, R),
                                       FILE_AT("c", 2016, 1000 - HDR, R), FILE_AT("d", 3016, 1000 - HDR, R), { 0 } };
    struct fixture f;
    struct pbr_report_sum sent;
    compare(&f, chunks, rows, NULL, NULL);
    check_kinds(f.report, "nnkn", NULL);
    check_u64(pbr_report_totals(f.report)->sent.nr, 3);
    check_u64(pbr_report_totals(f.report)->sent.bytes, 3032);
    check_int(pbr_report_sent(&f.env, &f.now.index, NULL, &sent, NULL), PBR_OK);
    check_u64(sent.bytes, 3032);
    check_int(pbr_report_sent(&f.env, &f.now.index, &f.now.index, &sent, NULL), PBR_OK);
    check_u64(sent.nr, 0);
    tear_down(&f);
}

/* Empty files have no telling record: their place decides. */
static void test_empty_files_go_by_their_place(void **state)
{
    (void)state;
    static const struct chunk old_chunks[] = { { 416, 1 }, { 416, 2 }, { 0 } };
    static const struct row old_rows[] = { FILE_AT("a", 16, 384, R), FILE_AT("b", 400, 0, R), FILE_AT("c", 416, 384, R),
                                           FILE_AT("d", 800, 0, R), { 0 } };
    static const struct chunk chunks[] = { { 16, 9 }, { 416, 1 }, { 416, 3 }, { 0 } };
    static const struct row rows[] = { FILE_AT("a", 32, 384, N), FILE_AT("b", 416, 0, N), FILE_AT("c", 432, 384, R),
                                       FILE_AT("d", 816, 0, R), { 0 } };
    struct fixture f;
    compare(&f, chunks, rows, old_chunks, old_rows);
    check_kinds(f.report, NULL, "rree");
    tear_down(&f);
}

static void test_ages_add_up(void **state)
{
    (void)state;
    struct fixture f, g;
    compare(&f, u3_chunks, u3_rows, u1_chunks, u1_rows);
    compare(&g, u3_chunks, u3_rows, u3_chunks, u3_rows);
    pbr_report_age(g.report, f.report);
    check_int(pbr_report_chunk(f.report, 1)->age, 1);
    check_int(pbr_report_chunk(g.report, 1)->age, 2);
    check_int(pbr_report_chunk(g.report, 3)->age, 1);
    check_int(pbr_report_file(g.report, 0)->age, 2);
    check_int(pbr_report_file(g.report, 2)->age, 0);
    tear_down(&g);
    tear_down(&f);
}

static void test_contents_in_a_metadata_archive_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    fill_index(&f.now, u1_chunks);
    check_int(pbr_layout_new(&f.env, &f.now.index, &f.now.layout, NULL), PBR_OK);
    const struct pbr_pxar_entry inline_file = { .kind = PBR_KIND_FILE, .size = 3 };
    check_fail(pbr_layout_add(f.now.layout, pbr_span_str("/a"), &inline_file, diag), PBR_E_FORMAT, "PXAR-248");
    tear_down(&f);
}

/* Attributes beside the stat fields are kept, and compared as change detection does. */
static void test_metadata_is_compared_in_full(void **state)
{
    (void)state;
    const struct pbr_pxar_xattr one = { pbr_span_str("user.a"), pbr_span_str("1") }, two = { pbr_span_str("user.a"), pbr_span_str("2") },
                                other = { pbr_span_str("user.b"), pbr_span_str("1") };
    const struct pbr_pxar_xattr *const xattrs[] = { &one, &two, &other, NULL };
    struct fixture f;
    set_up(&f);
    fill_index(&f.now, u1_chunks);
    check_int(pbr_layout_new(&f.env, &f.now.index, &f.now.layout, NULL), PBR_OK);
    for (size_t i = 0; i < 4; i++) {
        const char path[] = { '/', (char)('a' + i), 0 };
        const struct pbr_pxar_entry e = { .kind = PBR_KIND_FILE, .has_ref = true, .ref_off = 16, .name_pos = i + 1,
                                          .meta = { .uid = 5, .xattrs = xattrs[i], .xattr_nr = xattrs[i] != NULL } };
        check_int(pbr_layout_add(f.now.layout, pbr_span_str(path), &e, NULL), PBR_OK);
    }
    check_int(pbr_layout_finish(f.now.layout, NULL), PBR_OK);
    const struct pbr_layout *l = f.now.layout;
    check(pbr_layout_meta_equal(pbr_layout_get(l, 0), pbr_layout_get(l, 1)));
    check(!pbr_layout_meta_equal(pbr_layout_get(l, 0), pbr_layout_get(l, 2)));
    check(!pbr_layout_meta_equal(pbr_layout_get(l, 0), pbr_layout_get(l, 3)));
    check(!pbr_layout_attributes_equal(pbr_layout_get(l, 0), pbr_layout_get(l, 3)));
    tear_down(&f);
}

static void test_running_out_of_memory_leaves_nothing(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct fixture f;
        set_up(&f);
        fill_index(&f.now, u3_chunks);
        fill_index(&f.before, u1_chunks);
        f.world.alloc_fault = (struct pbr_fault){ .nth = nth };
        int rc = fill_layout(&f.env, &f.now, u3_rows, NULL);
        if (rc == PBR_OK)
            rc = fill_layout(&f.env, &f.before, u1_rows, NULL);
        if (rc == PBR_OK)
            rc = pbr_report_new(&f.env, f.now.layout, f.before.layout, &f.report, NULL);
        const bool hit = f.world.alloc_fault.hit;
        check_int(rc, hit ? PBR_E_NOMEM : PBR_OK);
        tear_down(&f);
        if (!hit)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_an_earlier_snapshot_all_is_new),
        cmocka_unit_test(test_a_hole_is_padding_of_its_chunk),
        cmocka_unit_test(test_a_changed_file_breaks_the_stream_in_pieces),
        cmocka_unit_test(test_unchanged_files_are_told_from_changed_ones),
        cmocka_unit_test(test_a_chunk_that_no_file_needs_any_more_counts_as_injected),
        cmocka_unit_test(test_where_something_was_reused_the_rest_is_not_explained_away),
        cmocka_unit_test(test_a_layout_grows_and_keeps_everything),
        cmocka_unit_test(test_data_mode_says_that_nothing_was_reused),
        cmocka_unit_test(test_each_difference_has_its_reason),
        cmocka_unit_test(test_damaged_references_are_named),
        cmocka_unit_test(test_references_out_of_range_are_survived),
        cmocka_unit_test(test_reuse_of_a_snapshot_in_between_is_no_reuse_of_this_one),
        cmocka_unit_test(test_a_repeated_chunk_is_sent_once),
        cmocka_unit_test(test_empty_files_go_by_their_place),
        cmocka_unit_test(test_ages_add_up),
        cmocka_unit_test(test_contents_in_a_metadata_archive_are_refused),
        cmocka_unit_test(test_metadata_is_compared_in_full),
        cmocka_unit_test(test_running_out_of_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
