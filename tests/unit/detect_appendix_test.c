/* SPDX-License-Identifier: MIT */
/* covers: APX-030 APX-091 APX-092 APX-093 APX-094 APX-095 APX-096 APX-097 APX-098 APX-099 APX-100 APX-101 APX-102 APX-103 APX-130 APX-131
 * APX-132 APX-133 APX-134 APX-135 APX-136 APX-137 APX-141 SYS-051 */
#include "test.h"

#include "detect/appendix.h"

enum { ROWS = 64 };

/* One row of a table: an entry of the walk, and what the previous catalog has of that name. */
struct row {
    char kind;            /* f file, d directory, e directory end, l symlink */
    const char *name;
    uint64_t size;
    uint64_t ino;         /* 0: a file of its own */
    char was;             /* type in the catalog, 0: not there */
    uint64_t pos;
    int ctime, was_ctime; /* offsets */
    uint64_t was_size;
};

struct rig {
    struct test_world world;
    struct pbr_env env;
    struct pbr_index index;
    uint8_t *file;
    struct pbr_appendix *a;
    const struct row *row;
    struct pbr_pcat_entry lent;
    struct {
        const struct row *row;
        uint64_t token;
    } waiting[ROWS];
    size_t waiting_nr;
    char log[512];
};

static const struct pbr_pxar_meta META = { .mode = PBR_MODE_REG | 0644, .mtime_s = 1700000000 };

static struct rig *rig;

static int set_up(void **state)
{
    (void)state;
    rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->env = test_env(&rig->world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pbr_appendix_free(rig->a);
    free(rig->file);
    check_int(rig->world.live_allocs, 0);
    free(rig);
    return 0;
}

/* Chunks that end there; the digest is the letter. */
static void make_index(const uint64_t *ends, const char *letters)
{
    const struct pbr_index head = { .kind = PBR_INDEX_DYNAMIC };
    const size_t nr = strlen(letters);
    free(rig->file);
    rig->file = calloc(1, PBR_INDEX_HDR + nr * PBR_DIDX_REC);
    assert_non_null(rig->file);
    pbr_index_hdr_emit(&head, rig->file);
    for (size_t i = 0; i < nr; i++) {
        const uint8_t digest[PBR_DIGEST_LEN] = { (uint8_t)letters[i] };
        pbr_didx_rec_emit(ends[i], digest, rig->file + PBR_INDEX_HDR + i * PBR_DIDX_REC);
    }
    check_int(pbr_index_parse(pbr_span(rig->file, PBR_INDEX_HDR + nr * PBR_DIDX_REC), false, &rig->index, NULL), PBR_OK);
}

static int lookup(void *ctx, const struct pbr_pcat_entry **ret, struct pbr_diag *diag)
{
    struct rig *r = ctx;
    (void)diag;
    *ret = r->row->was ? &r->lent : NULL;
    r->lent = (struct pbr_pcat_entry){ .type = (enum pbr_pcat_type)r->row->was,
                                       .size = r->row->was_size ? r->row->was_size : r->row->size,
                                       .ctime_s = 1700000100 + r->row->was_ctime,
                                       .pos = r->row->pos };
    return PBR_OK;
}

static void note(const char *name, const char *how, uint64_t off, bool has_off)
{
    char *at = rig->log + strlen(rig->log);
    const size_t room = sizeof(rig->log) - (size_t)(at - rig->log);
    (void)(has_off ? snprintf(at, room, "%s%s%" PRIu64 " ", name, how, off) : snprintf(at, room, "%s%s ", name, how));
}

static int replay(void *ctx, bool as_refs, struct pbr_diag *diag)
{
    struct rig *r = ctx;
    for (size_t i = 0; i < r->waiting_nr; i++) {
        uint64_t off = 0;
        const bool ref = as_refs && r->waiting[i].token > 0;
        if (ref) {
            const int rc = pbr_appendix_place(r->a, r->waiting[i].token, &off, diag);
            if (rc < 0)
                return rc;
        }
        note(r->waiting[i].row->name, ref ? "@" : "", off, ref);
    }
    r->waiting_nr = 0;
    return PBR_OK;
}

static void start(const struct pbr_appendix_opts *opts)
{
    const struct pbr_appendix_ops ops = { .ctx = rig, .lookup = lookup, .replay = replay };
    pbr_appendix_free(rig->a);
    rig->a = NULL;
    rig->log[0] = 0;
    rig->waiting_nr = 0;
    check_int(pbr_appendix_new(&rig->env, &rig->index, opts, &ops, &rig->a, NULL), PBR_OK);
}

static void step(const struct row *row)
{
    const struct pbr_appendix_entry e = {
        .kind = row->kind == 'f' ? PBR_REUSE_FILE : row->kind == 'd' ? PBR_REUSE_DIR : row->kind == 'e' ? PBR_REUSE_DIR_END
                                                                                               : PBR_REUSE_OTHER,
        .name = pbr_span_str(row->name),
        .meta = &META,
        .size = row->size,
        .ctime_s = 1700000100 + row->ctime,
        .dev = 1,
        .ino = row->ino,
        .nlink = row->ino ? 2 : 1,
    };
    bool wait;
    uint64_t token;
    rig->row = row;
    check_int(pbr_appendix_add(rig->a, &e, &wait, &token, NULL), PBR_OK);
    if (!wait) {
        check_u64(rig->waiting_nr, 0);
        note(row->name, "", 0, false);
        return;
    }
    check(rig->waiting_nr < ROWS);
    rig->waiting[rig->waiting_nr].row = row;
    rig->waiting[rig->waiting_nr++].token = token;
}

/* The order in which entries were written; "name@offset" as a reference. */
static void expect(const struct row *rows, size_t nr, const struct pbr_appendix_opts *opts, const char *want)
{
    start(opts);
    for (size_t i = 0; i < nr; i++)
        step(&rows[i]);
    check_int(pbr_appendix_finish(rig->a, NULL), PBR_OK);
    check_str(rig->log, want);
}
#define expect_plan(rows, opts, want) expect(rows, sizeof(rows) / sizeof((rows)[0]), opts, want)

static void check_chunks(const char *letters, uint64_t total)
{
    const struct pbr_collect *c = pbr_appendix_chunks(rig->a);
    struct pbr_inject batch;
    uint64_t bytes, sum = 0;
    size_t from = 0, n = 0;
    while (pbr_collect_batch(c, &from, &batch, &bytes)) {
        check(batch.chunk_nr <= PBR_COLLECT_BATCH);
        for (size_t i = 0; i < batch.chunk_nr; i++)
            check_int(batch.chunks[i].digest[0], letters[n++]);
        sum += bytes;
    }
    check_u64(n, strlen(letters));
    check_u64(sum, total);
    check_u64(c->total, total);
}

static const struct pbr_appendix_opts ALL = { .waiting_max = 1000 };

/* ---- the worked example ---- */

static void test_snapshot_2_of_the_example(void **state)
{
    static const struct row rows[] = { { 'f', "a.bin", 3000, 0, 'f', 56, 0, 0, 0 },
                                       { 'f', "b.txt", 6, 0, 'f', 3150, 100, 0, 5 } };
    (void)state;
    make_index((const uint64_t[]){ 2048, 3337 }, "pq");
    expect_plan(rows, &ALL, "a.bin@56 b.txt ");
    check_chunks("pq", 3337);
    const struct pbr_appendix_counts c = pbr_appendix_counts(rig->a);
    check_u64(c.referenced_files, 1);
    check_u64(c.referenced_bytes, 3000);
    check_u64(c.encoded_files, 1);
}

static void test_snapshot_3_of_the_example(void **state)
{
    static const struct row rows[] = { { 'f', "a.bin", 3000, 0, 'r', 56, 0, 0, 0 },
                                       { 'f', "b.txt", 6, 0, 'f', 110, 0, 0, 0 } };
    const struct pbr_appendix_opts opts = { .previous_start = 234, .waiting_max = 1000 };
    (void)state;
    make_index((const uint64_t[]){ 234, 2282, 3571, 3683 }, "opqr");
    expect_plan(rows, &opts, "a.bin@56 b.txt@3447 ");
    check_chunks("pqo", 3571);
}

/* ---- candidates ---- */

static void test_what_makes_a_file_a_candidate(void **state)
{
    static const struct row rows[] = {
        { 'f', "same", 100, 0, 'f', 0, 0, 0, 0 },    { 'f', "ctime", 100, 0, 'f', 0, 1, 0, 0 },
        { 'f', "size", 100, 0, 'f', 0, 0, 0, 99 },   { 'f', "gone", 100, 0, 0, 0, 0, 0, 0 },
        { 'f', "link", 100, 0, 'l', 0, 0, 0, 0 },    { 'f', "dir", 100, 0, 'd', 0, 0, 0, 0 },
        { 'f', "beyond", 100, 0, 'f', 806, 0, 0, 0 }, { 'f', "just", 100, 0, 'f', 807, 0, 0, 0 },
    };
    (void)state;
    make_index((const uint64_t[]){ 1000 }, "p");
    /* name and stat: 16 + n + 1 + 56, header 16; "just" ends exactly with the index */
    expect_plan(rows, &ALL, "same@0 ctime size gone link dir beyond just@807 ");
    check_chunks("p", 1000);
}

static void test_references_need_a_previous_appendix(void **state)
{
    static const struct row rows[] = { { 'f', "a", 10, 0, 'r', 56, 0, 0, 0 } };
    (void)state;
    make_index((const uint64_t[]){ 1000 }, "p");
    expect_plan(rows, &ALL, "a ");
    check_chunks("", 0);
}

static void test_small_files_are_never_candidates(void **state)
{
    static const struct row rows[] = { { 'f', "at", 1024, 0, 'f', 0, 0, 0, 0 }, { 'f', "above", 1025, 0, 'f', 2000, 0, 0, 0 } };
    const struct pbr_appendix_opts opts = { .small = PBR_APPENDIX_SMALL, .waiting_max = 1000 };
    (void)state;
    make_index((const uint64_t[]){ 4000 }, "p");
    expect_plan(rows, &opts, "at above@2000 ");
}

/* ---- look-ahead ---- */

static void test_runs_below_the_threshold_are_encoded(void **state)
{
    static const struct row rows[] = {
        { 'd', "d", 0, 0, 0, 0, 0, 0, 0 },           { 'f', "a", 2000, 0, 'f', 0, 0, 0, 0 },
        { 'l', "s", 0, 0, 0, 0, 0, 0, 0 },           { 'f', "tiny", 9, 0, 'f', 0, 0, 0, 0 },
        { 'f', "b", 2000, 0, 'f', 3000, 0, 0, 0 },   { 'f', "new", 2000, 0, 0, 0, 0, 0, 0 },
        { 'f', "c", 2000, 0, 'f', 6000, 0, 0, 0 },   { 'e', "/d", 0, 0, 0, 0, 0, 0, 0 },
        { 'f', "e", 3000, 0, 'f', 9000, 0, 0, 0 },   { 'l', "t", 0, 0, 0, 0, 0, 0, 0 },
        { 'f', "f", 2000, 0, 'f', 13000, 0, 0, 0 },
    };
    const struct pbr_appendix_opts opts = { .small = 1024, .threshold = 5000, .waiting_max = 1000 };
    (void)state;
    make_index((const uint64_t[]){ 5000, 10000, 20000 }, "pqr");
    /* a and b have 4000 bytes: encoded when `new` comes; c and e reach 5000, with the directory's end between them; f is left */
    expect_plan(rows, &opts, "d a s tiny b new c@1000 /d e@4000 t f ");
    check_chunks("qr", 15000);
}

static void test_one_large_file_takes_along_what_waits(void **state)
{
    static const struct row rows[] = { { 'f', "a", 2000, 0, 'f', 0, 0, 0, 0 },
                                       { 'd', "d", 0, 0, 0, 0, 0, 0, 0 },
                                       { 'f', "b", 6000, 0, 'f', 3000, 0, 0, 0 },
                                       { 'e', "/d", 0, 0, 0, 0, 0, 0, 0 } };
    const struct pbr_appendix_opts opts = { .small = 1024, .threshold = 5000, .waiting_max = 1000 };
    (void)state;
    make_index((const uint64_t[]){ 5000, 10000 }, "pq");
    expect_plan(rows, &opts, "a@0 d b@3000 /d ");
    check_chunks("pq", 10000);
}

static void test_hard_links_are_neutral_but_the_first(void **state)
{
    static const struct row rows[] = { { 'f', "a", 2000, 7, 'f', 0, 0, 0, 0 },
                                       { 'f', "b", 2000, 7, 'f', 0, 5, 0, 0 },
                                       { 'f', "c", 2000, 0, 'f', 3000, 0, 0, 0 } };
    const struct pbr_appendix_opts opts = { .small = 1024, .threshold = 4000, .waiting_max = 1000 };
    (void)state;
    make_index((const uint64_t[]){ 10000 }, "p");
    expect_plan(rows, &opts, "a@0 b c@3000 ");
}

static void test_only_so_many_entries_wait(void **state)
{
    static const struct row rows[] = { { 'f', "a", 2000, 0, 'f', 0, 0, 0, 0 },
                                       { 'l', "s", 0, 0, 0, 0, 0, 0, 0 },
                                       { 'f', "b", 2000, 0, 'f', 3000, 0, 0, 0 } };
    const struct pbr_appendix_opts opts = { .small = 1024, .threshold = 4000, .waiting_max = 2 };
    (void)state;
    make_index((const uint64_t[]){ 10000 }, "p");
    expect_plan(rows, &opts, "a s b ");
    check_chunks("", 0);
}

static void test_alternating_files_are_all_encoded(void **state)
{
    struct row rows[ROWS];
    char names[ROWS][4], want[512] = "";
    (void)state;
    make_index((const uint64_t[]){ 10000000 }, "p");
    for (size_t i = 0; i < ROWS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%02zu", i);
        rows[i] = (struct row){ 'f', names[i], 102400, 0, 'f', 103000 * i, i % 2, 0, 0 };
        (void)snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s ", names[i]);
    }
    const struct pbr_appendix_opts opts = { .small = PBR_APPENDIX_SMALL, .threshold = PBR_APPENDIX_THRESHOLD, .waiting_max = 1000 };
    expect_plan(rows, &opts, want);
    check_chunks("", 0);
    for (size_t i = 0; i < 30; i++)
        rows[i].ctime = 0;
    expect(rows, 30, &opts, "00@0 01@103000 02@206000 03@309000 04@412000 05@515000 06@618000 07@721000 08@824000 09@927000 "
                            "10@1030000 11@1133000 12@1236000 13@1339000 14@1442000 15@1545000 16@1648000 17@1751000 "
                            "18@1854000 19@1957000 20@2060000 21 22 23 24 25 26 27 28 29 ");
}

/* ---- collection ---- */

static void test_chunks_are_collected_once_where_they_can_be(void **state)
{
    /* 73 bytes of head and header: ranges of 100 bytes have 11 of content with names of one letter */
    static const struct row rows[] = {
        { 'f', "a", 10, 0, 'f', 150, 0, 0, 0 }, /* chunk p, q: rule 3 */
        { 'f', "b", 10, 0, 'f', 250, 0, 0, 0 }, /* q, r: rule 2 */
        { 'f', "c", 10, 0, 'f', 10, 0, 0, 0 },  /* p: rule 1 */
        { 'f', "d", 10, 0, 'f', 410, 0, 0, 0 }, /* t: rule 3 */
        { 'f', "e", 10, 0, 'f', 310, 0, 0, 0 }, /* s: rule 3, r s is not there */
    };
    (void)state;
    make_index((const uint64_t[]){ 200, 300, 310, 410, 600 }, "pqrst");
    expect_plan(rows, &ALL, "a@150 b@250 c@10 d@410 e@600 ");
    check_chunks("pqrsts", 700);
}

/* Two files that would get one place: the second one's chunks come again [APX-103]. */
static void test_no_two_files_share_a_place(void **state)
{
    static const struct row rows[] = { { 'f', "a", 10, 0, 'f', 5, 0, 0, 0 },
                                       { 'f', "b", 10, 0, 'f', 305, 0, 0, 0 },
                                       { 'f', "c", 10, 0, 'f', 410, 0, 0, 0 } };
    (void)state;
    make_index((const uint64_t[]){ 300, 600, 900 }, "ppq");
    expect_plan(rows, &ALL, "a@5 b@305 c@110 ");
    check_chunks("pp", 600);
}

static void test_misuse_is_refused(void **state)
{
    uint64_t off;
    struct pbr_appendix *none = NULL;
    const struct pbr_appendix_ops ops = { .lookup = lookup, .replay = replay };
    (void)state;
    make_index((const uint64_t[]){ 200 }, "p");
    const struct pbr_appendix_opts no_room = { 0 };
    check_fail(pbr_appendix_new(&rig->env, &rig->index, &no_room, &ops, &none, diag), PBR_E_ARG, "APX-116");
    start(&ALL);
    check_int(pbr_appendix_place(rig->a, 1, &off, NULL), PBR_E_STATE);
    struct pbr_run run;
    check_fail(pbr_run_cover(&rig->index, 150, 201, &run, diag), PBR_E_FORMAT, "APX-095");
    check_fail(pbr_run_cover(&rig->index, 150, 150, &run, diag), PBR_E_FORMAT, "APX-095");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_snapshot_2_of_the_example, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_snapshot_3_of_the_example, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_makes_a_file_a_candidate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_references_need_a_previous_appendix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_files_are_never_candidates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_runs_below_the_threshold_are_encoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_large_file_takes_along_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hard_links_are_neutral_but_the_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_so_many_entries_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_alternating_files_are_all_encoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chunks_are_collected_once_where_they_can_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_two_files_share_a_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_misuse_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
