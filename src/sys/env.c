/* SPDX-License-Identifier: MIT */
/* The real world behind struct pbr_env; see env.h. */
#include "sys/env.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void *sys_realloc(void *ctx, void *p, size_t size)
{
    (void)ctx;
    return realloc(p, size);
}

static void sys_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static int64_t sys_now_s(void *ctx)
{
    (void)ctx;
    return (int64_t)time(NULL);
}

static uint64_t sys_mono_ns(void *ctx)
{
    (void)ctx;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int sys_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    while (len > 0) {
        const ssize_t n = getrandom(out, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return PBR_E_IO;
        out += n;
        len -= (size_t)n;
    }
    return PBR_OK;
}

struct pbr_env pbr_sys_env(void (*log)(void *ctx, enum pbr_log_level level, const char *line), void *log_ctx)
{
    return (struct pbr_env){ .ctx = log_ctx,
                             .realloc = sys_realloc,
                             .free = sys_free,
                             .now_s = sys_now_s,
                             .mono_ns = sys_mono_ns,
                             .random = sys_random,
                             .log = log };
}

void pbr_sys_tune_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
    (void)mallopt(M_ARENA_MAX, 2);
}

void pbr_sys_unused(void *ptr, size_t len)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = ((uintptr_t)ptr + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)ptr + len) / page * page;
    if (end > from)
        (void)madvise((uint8_t *)ptr + (from - (uintptr_t)ptr), end - from, MADV_DONTNEED);
}

uint64_t pbr_sys_peak_memory(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (uint64_t)usage.ru_maxrss * 1024u; /* Linux counts KiB */
}

int pbr_sys_utc_offset_min(int64_t time_s)
{
    const time_t t = (time_t)time_s;
    struct tm tm;
    return localtime_r(&t, &tm) ? (int)(tm.tm_gmtoff / 60) : 0;
}

void pbr_sys_format_local(int64_t time_s, enum pbr_time_form form, char out[64])
{
    const time_t t = (time_t)time_s;
    struct tm tm;
    size_t n = 0;
    if (localtime_r(&t, &tm))
        n = form == PBR_TIME_C     ? strftime(out, 64, "%a %b %e %H:%M:%S %Y", &tm)
            : form == PBR_TIME_ISO ? strftime(out, 64, "%Y-%m-%dT%H:%M:%SZ", &tm)
                                   : strftime(out, 64, "%Y-%m-%d %H:%M:%S", &tm);
    if (n == 0)
        out[0] = 0;
}
