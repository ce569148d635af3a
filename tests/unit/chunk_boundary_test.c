/* SPDX-License-Identifier: MIT */
/* covers: SYS-063 CHK-060 CHK-061 CHK-062 CHK-064 CHK-070 CHK-071 CHK-072 CHK-073 CHK-074 CHK-075 CHK-076 */
/* covers: CHK-078 CHK-079 CHK-080 CHK-081 CHK-082 CHK-083 CHK-086 */
#include "chunk/boundary.h"
#include "chunk_data.h"

/* A driver with a buffer: messages in, results compared with the vector as they come. */
struct driver {
    struct pbr_boundary b;
    struct pbr_span in;
    size_t head, tail; /* of the buffer within `in` */
    const json_t *result;
    size_t seen;
};

static void expect(struct driver *d, const char *kind, uint64_t len, uint64_t end)
{
    const json_t *want = json_array_get(d->result, d->seen++);
    assert_non_null(want);
    check_str(kind, json_string_value(json_array_get(want, 0)));
    check_u64(len, (uint64_t)json_integer_value(json_array_get(want, 1)));
    check_u64(end, (uint64_t)json_integer_value(json_array_get(want, 2)));
}

static struct pbr_span buffered(const struct driver *d)
{
    return pbr_span(d->in.ptr + d->head, d->tail - d->head);
}

static void deliver(struct driver *d, size_t n)
{
    struct pbr_boundary_step s;
    d->tail += n;
    assert_true(d->tail <= d->in.len);
    for (;;) {
        const int event = pbr_boundary_step(&d->b, buffered(d), &s, NULL);
        if (event == PBR_BOUNDARY_MORE)
            break;
        assert_true(event > 0);
        d->head += s.len;
        expect(d, "raw", s.len, s.start + s.len);
        if (event == PBR_BOUNDARY_INJECT) {
            check_u64(s.forced.boundary, s.start + s.len);
            expect(d, "inject", s.forced.size, s.start + s.len + s.forced.size);
        }
    }
}

static void play(struct driver *d, const json_t *line)
{
    const char what = json_string_value(json_array_get(line, 0))[0];
    const uint64_t a = (uint64_t)json_integer_value(json_array_get(line, 1));
    const uint64_t b = (uint64_t)json_integer_value(json_array_get(line, 2));
    if (what == 'S') {
        check_int(pbr_boundary_suggest(&d->b, a), PBR_OK);
    } else if (what == 'F') {
        check_int(pbr_boundary_force(&d->b, &(struct pbr_forced){ .boundary = a, .size = b }), PBR_OK);
    } else {
        check_int(what, 'D');
        for (uint64_t i = 0; i < (b ? b : 1); i++)
            deliver(d, (size_t)a);
    }
}

static void check_vector(const struct pbr_env *env, const json_t *v)
{
    struct pbr_cut cut;
    struct driver d = { .in = chunk_input(json_object_get(v, "input")), .result = json_object_get(v, "result") };
    const json_t *script = json_object_get(v, "script");
    struct pbr_boundary_step s;

    check_int(pbr_cut_init(&cut, json_u64(v, "avg"), PBR_FIND_AUTO, NULL), PBR_OK);
    pbr_boundary_init(&d.b, env, &cut);
    for (size_t i = 0; i < json_array_size(script); i++)
        play(&d, json_array_get(script, i));
    check_u64(d.tail, d.in.len);
    const int event = pbr_boundary_finish(&d.b, buffered(&d), &s, NULL);
    if (event == PBR_BOUNDARY_CUT)
        expect(&d, "raw", s.len, s.start + s.len);
    else
        check_int(event, PBR_BOUNDARY_MORE);
    check_int(d.seen, json_array_size(d.result));
    pbr_boundary_release(&d.b);
    test_unload(d.in);
}

static void test_scripted_streams_are_cut_as_recorded(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    const bool slow = getenv("PBR_TEST_SLOW") != NULL;
    json_t *root = chunk_vectors("spec/vectors/chunker.json");
    const json_t *vectors = json_object_get(root, "stream");

    check(json_array_size(vectors) >= 35);
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        const json_t *v = json_array_get(vectors, i);
        const char *id = json_string_value(json_object_get(v, "id"));
        if (slow && strcmp(id, "f-64m-4m") == 0)
            printf("skip: %s under PBR_TEST_SLOW\n", id);
        else
            check_vector(&env, v);
    }
    check_int(w.live_allocs, 0);
    json_decref(root);
}

static struct pbr_boundary boundary_new(const struct pbr_env *env, uint64_t avg)
{
    struct pbr_cut cut;
    struct pbr_boundary b;
    check_int(pbr_cut_init(&cut, avg, PBR_FIND_AUTO, NULL), PBR_OK);
    pbr_boundary_init(&b, env, &cut);
    return b;
}

static void test_an_injection_behind_the_stream_is_refused(void **state)
{
    (void)state;
    static const uint8_t zeros[3000];
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_boundary b = boundary_new(&env, 256);
    struct pbr_boundary_step s = { .len = 9 };

    check_int(pbr_boundary_step(&b, pbr_span(zeros, 1500), &s, NULL), PBR_BOUNDARY_CUT);
    check_u64(s.len, 1024);
    check_int(pbr_boundary_force(&b, &(struct pbr_forced){ .boundary = 1023, .size = 1 }), PBR_OK);
    s.len = 9;
    check_fail(pbr_boundary_step(&b, pbr_span(zeros, 476), &s, diag), PBR_E_ARG, "CHK-083");
    check_u64(s.len, 9);
    pbr_boundary_release(&b);
    check_int(w.live_allocs, 0);
}

static void test_an_injection_that_was_not_reached_is_an_error_at_the_end(void **state)
{
    (void)state;
    static const uint8_t zeros[100];
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_boundary b = boundary_new(&env, 256);
    struct pbr_boundary_step s;

    check_int(pbr_boundary_force(&b, &(struct pbr_forced){ .boundary = 101, .size = 1 }), PBR_OK);
    check_fail(pbr_boundary_finish(&b, pbr_span(zeros, 100), &s, diag), PBR_E_STATE, "CHK-086");
    check_int(pbr_boundary_step(&b, pbr_span(zeros, 100), &s, NULL), PBR_BOUNDARY_MORE);
    check_fail(pbr_boundary_finish(&b, pbr_span(zeros, 100), &s, diag), PBR_E_STATE, "CHK-086");
    pbr_boundary_release(&b);
}

/* The sheet's decision returns to the hash after dropping it; the next suggestion waits for the next scan. */
static void test_a_suggestion_at_the_scan_start_is_lost_and_the_hash_goes_first(void **state)
{
    (void)state;
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_boundary b = boundary_new(&env, 65536);
    struct pbr_boundary_step s;
    uint8_t *p = malloc(200000);
    assert_non_null(p);
    fill_splitmix64(p, 200000, 1);

    check_int(pbr_boundary_step(&b, pbr_span(p, 30000), &s, NULL), PBR_BOUNDARY_MORE);
    check_int(pbr_boundary_suggest(&b, 30000), PBR_OK);
    check_int(pbr_boundary_suggest(&b, 90000), PBR_OK);
    check_int(pbr_boundary_step(&b, pbr_span(p, 200000), &s, NULL), PBR_BOUNDARY_CUT);
    check_u64(s.len, 35256);
    check_int(pbr_boundary_step(&b, pbr_span(p + s.len, 200000 - s.len), &s, NULL), PBR_BOUNDARY_CUT);
    check_u64(s.start + s.len, 90000);
    pbr_boundary_release(&b);
    free(p);
}

static void test_the_queue_keeps_its_order_and_grows_no_more_than_it_must(void **state)
{
    (void)state;
    static const uint8_t zeros[128];
    struct test_world w;
    const struct pbr_env env = test_env(&w);
    struct pbr_boundary b = boundary_new(&env, 256);
    struct pbr_boundary_step s;
    uint64_t queued = 0, cut = 0;

    for (unsigned round = 0; round < 5000; round++) { /* about 100 are queued at any time */
        check_int(pbr_boundary_suggest(&b, queued += 64 + queued % 7), PBR_OK);
        if (round < 100)
            continue;
        check_int(pbr_boundary_step(&b, pbr_span(zeros, 128), &s, NULL), PBR_BOUNDARY_CUT);
        check_u64(s.len, 64 + cut % 7);
        cut += s.len;
    }
    check(w.allocs <= 3);
    pbr_boundary_release(&b);
    check_int(w.live_allocs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripted_streams_are_cut_as_recorded),
        cmocka_unit_test(test_an_injection_behind_the_stream_is_refused),
        cmocka_unit_test(test_an_injection_that_was_not_reached_is_an_error_at_the_end),
        cmocka_unit_test(test_a_suggestion_at_the_scan_start_is_lost_and_the_hash_goes_first),
        cmocka_unit_test(test_the_queue_keeps_its_order_and_grows_no_more_than_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
