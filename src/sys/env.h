/* SPDX-License-Identifier: MIT */
/* The real world behind struct pbr_env: malloc, clocks, getrandom. `cli` wires log and overrides. */
#ifndef PBR_SYS_ENV_H
#define PBR_SYS_ENV_H

#include "base/env.h"

/* An env on the real system; `log` may be NULL (silent). `log_ctx` is handed to it as ctx, and to all other
 * functions, which ignore it. Thread: shared const if `log` is. */
struct pbr_env pbr_sys_env(void (*log)(void *ctx, enum pbr_log_level level, const char *line), void *log_ctx);

/* For programs, once at the start: big blocks, such as chunks, go back to the system as soon as they are freed. The C library
 * else keeps them after a while, in one pool for each thread. */
void pbr_sys_tune_memory(void);

/* The contents of memory that stays allocated are not needed any more: its pages may go back to the system. */
void pbr_sys_unused(void *ptr, size_t len);

/* Peak resident memory of this process in bytes (VmHWM); 0: unknown. */
uint64_t pbr_sys_peak_memory(void);

/* Forms of local time, all in the C locale. */
enum pbr_time_form {
    PBR_TIME_C,    /* "Tue Nov 14 22:13:20 2023" (CLI-019) */
    PBR_TIME_ISO,  /* "2023-11-14T22:13:20Z": the Z is literal although the zone is local (CAT-082) */
    PBR_TIME_LIST, /* "2023-11-14 22:13:20" (EXT-143) */
};
/* Local time minus UTC at that time, minutes (CRY-022). */
int pbr_sys_utc_offset_min(int64_t time_s);
/* Local time as a text of at most 63 characters and NUL; empty if the year cannot be represented. */
void pbr_sys_format_local(int64_t time_s, enum pbr_time_form form, char out[64]);

#endif
