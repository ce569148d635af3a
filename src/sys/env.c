/* SPDX-License-Identifier: MIT */
/* The real world behind struct pbr_env; see env.h. */
#include "sys/env.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "sys/fd.h"

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

/* Not from getrusage(): there the process that started this one counts too, from before exec. */
uint64_t pbr_sys_peak_memory(void)
{
    static const char name[] = "\nVmHWM:";
    char text[16384]; /* the file has some 1500 bytes, more for a member of many groups */
    uint64_t kib = 0;
    const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t len = pbr_read_some(fd, (uint8_t *)text, sizeof(text) - 1);
    (void)close(fd);
    text[len > 0 ? len : 0] = 0;
    const char *at = strstr(text, name);
    if (!at)
        return 0;
    at += sizeof(name) - 1;
    at += strspn(at, " \t");
    const struct pbr_span digits = pbr_span(at, strspn(at, "0123456789"));
    return pbr_parse_u64(digits, 0, UINT64_MAX / 1024, &kib) ? kib * 1024 : 0;
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
