/* SPDX-License-Identifier: MIT */
/* Preloaded: the monotonic clock of a program runs FAST_CLOCK times as fast; or, with CLOCK_BACK, the wall clock goes back by
 * that many seconds after the first look at it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static int real_clock(clockid_t id, struct timespec *ts)
{
    int (*next)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return next(id, ts);
}

static int64_t setting(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoll(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int64_t begin;
    const int rc = real_clock(id, ts);
    const int64_t now = (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec, factor = setting("FAST_CLOCK");
    if (id != CLOCK_MONOTONIC || factor == 0)
        return rc;
    int64_t none = 0;
    (void)__atomic_compare_exchange_n(&begin, &none, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    const int64_t then = begin + (now - begin) * factor;
    ts->tv_sec = then / 1000000000;
    ts->tv_nsec = then % 1000000000;
    return rc;
}

time_t time(time_t *ret)
{
    static int looked;
    struct timespec ts;
    (void)real_clock(CLOCK_REALTIME, &ts);
    if (__atomic_fetch_add(&looked, 1, __ATOMIC_SEQ_CST) > 0)
        ts.tv_sec -= setting("CLOCK_BACK");
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
