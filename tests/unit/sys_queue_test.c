/* SPDX-License-Identifier: MIT */
#include "h2_fake.h" /* the env for several threads */

#include "sys/queue.h"

enum { PRODUCERS = 4, CONSUMERS = 3, EACH = 20000 };

static struct mt_world world;
static struct pbr_env env;

static int set_up(void **state)
{
    (void)state;
    env = mt_env(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    check_int(atomic_load(&world.live_allocs), 0);
    return 0;
}

static void *number(uintptr_t n)
{
    return (void *)n;
}

static void test_elements_come_out_in_order(void **state)
{
    (void)state;
    struct pbr_queue *q;
    void *e;
    check_int(pbr_queue_new(&env, 3, &q), PBR_OK);
    check(!pbr_queue_try_pop(q, &e));
    for (uintptr_t round = 1; round < 20; round++) {
        check_int(pbr_queue_push(q, number(round)), PBR_OK);
        check_int(pbr_queue_push(q, number(round + 100)), PBR_OK);
        pbr_queue_pop(q, &e);
        assert_ptr_equal(e, number(round));
        check(pbr_queue_try_pop(q, &e));
        assert_ptr_equal(e, number(round + 100));
    }
    pbr_queue_free(q);
}

static void test_closed_queue_is_drained_then_gives_null(void **state)
{
    (void)state;
    struct pbr_queue *q;
    void *e;
    check_int(pbr_queue_new(&env, 4, &q), PBR_OK);
    check_int(pbr_queue_push(q, number(1)), PBR_OK);
    check_int(pbr_queue_push(q, number(2)), PBR_OK);
    pbr_queue_close(q);
    pbr_queue_pop(q, &e);
    assert_ptr_equal(e, number(1));
    pbr_queue_pop(q, &e);
    assert_ptr_equal(e, number(2));
    pbr_queue_pop(q, &e);
    assert_null(e);
    pbr_queue_free(q);
}

static void test_canceled_queue_refuses_and_can_be_drained(void **state)
{
    (void)state;
    struct pbr_queue *q;
    void *e = number(9);
    check_int(pbr_queue_new(&env, 2, &q), PBR_OK);
    check_int(pbr_queue_push(q, number(1)), PBR_OK);
    check_int(pbr_queue_push(q, number(2)), PBR_OK);
    pbr_queue_cancel(q);
    check_int(pbr_queue_push(q, number(3)), PBR_E_CANCELED); /* full: does not wait */
    pbr_queue_pop(q, &e);
    assert_null(e);
    check(!pbr_queue_try_pop(q, &e));
    assert_ptr_equal(pbr_queue_drain(q), number(1));
    assert_ptr_equal(pbr_queue_drain(q), number(2));
    assert_null(pbr_queue_drain(q));
    pbr_queue_free(q);
}

/* ---- threads ---- */

struct side {
    struct pbr_queue *q;
    unsigned id;
    uint64_t sum;
    unsigned long nr;
    bool in_order;
    int rc;
};

static void *produce(void *ctx)
{
    struct side *s = ctx;
    for (uintptr_t i = 1; i <= EACH && s->rc == PBR_OK; i++)
        s->rc = pbr_queue_push(s->q, number((uintptr_t)s->id * EACH + i));
    return NULL;
}

static void *consume(void *ctx)
{
    struct side *s = ctx;
    uintptr_t last[PRODUCERS] = { 0 };
    s->in_order = true;
    for (;;) {
        void *e;
        pbr_queue_pop(s->q, &e);
        if (!e)
            return NULL;
        const uintptr_t n = (uintptr_t)e - 1;
        s->in_order = s->in_order && last[n / EACH] < (uintptr_t)e;
        last[n / EACH] = (uintptr_t)e;
        s->sum += n;
        s->nr++;
    }
}

static void test_no_element_is_lost_or_doubled_between_threads(void **state)
{
    (void)state;
    struct pbr_queue *q;
    struct side producers[PRODUCERS], consumers[CONSUMERS];
    pthread_t p[PRODUCERS], c[CONSUMERS];
    uint64_t sum = 0;
    unsigned long nr = 0;
    const uint64_t all = (uint64_t)PRODUCERS * EACH;
    check_int(pbr_queue_new(&env, 5, &q), PBR_OK);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        consumers[i] = (struct side){ .q = q };
        check_int(pthread_create(&c[i], NULL, consume, &consumers[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct side){ .q = q, .id = i };
        check_int(pthread_create(&p[i], NULL, produce, &producers[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        pthread_join(p[i], NULL);
    pbr_queue_close(q);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        pthread_join(c[i], NULL);
        check(consumers[i].in_order);
        sum += consumers[i].sum;
        nr += consumers[i].nr;
    }
    check_u64(nr, all);
    check_u64(sum, all * (all - 1) / 2);
    pbr_queue_free(q);
}

static void test_cancel_wakes_everybody_who_waits(void **state)
{
    (void)state;
    struct pbr_queue *full, *empty;
    struct side p = { 0 }, c = { 0 };
    pthread_t producer, consumer;
    check_int(pbr_queue_new(&env, 1, &full), PBR_OK);
    check_int(pbr_queue_new(&env, 1, &empty), PBR_OK);
    p.q = full;
    c.q = empty;
    check_int(pthread_create(&producer, NULL, produce, &p), 0);
    check_int(pthread_create(&consumer, NULL, consume, &c), 0);
    usleep(20000); /* most likely both wait by now; the result is the same if not */
    pbr_queue_cancel(full);
    pbr_queue_cancel(empty);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    check_int(p.rc, PBR_E_CANCELED);
    check_int(c.nr, 0);
    while (pbr_queue_drain(full))
        ;
    pbr_queue_free(full);
    pbr_queue_free(empty);
}

static void test_new_survives_failing_allocation(void **state)
{
    (void)state;
    struct pbr_queue *q = number(1);
    for (long nth = 0; nth < 2; nth++) {
        atomic_store(&world.fail_at, nth);
        check_int(pbr_queue_new(&env, 3, &q), PBR_E_NOMEM);
        assert_ptr_equal(q, number(1));
        check_int(atomic_load(&world.live_allocs), 0);
    }
    pbr_queue_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_elements_come_out_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_closed_queue_is_drained_then_gives_null, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_canceled_queue_refuses_and_can_be_drained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_element_is_lost_or_doubled_between_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_wakes_everybody_who_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_survives_failing_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
