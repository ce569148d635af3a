/* SPDX-License-Identifier: MIT */
/* For files whose tests all work on one env: set_up makes it, tear_down proves that nothing is left; around each test or the
 * whole group. Included last: other headers have parameters of these names. */
#ifndef PBR_TEST_FILE_ENV_H
#define PBR_TEST_FILE_ENV_H

#include "test.h"

static struct test_world world;
static struct pbr_env env;

static inline int set_up(void **state)
{
    (void)state;
    env = test_env(&world);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    check_int(world.live_allocs, 0);
    return 0;
}

#endif
