/* SPDX-License-Identifier: MIT */
/* The real world behind struct pbr_env: malloc, clocks, getrandom. `cli` wires log and overrides. */
#ifndef PBR_SYS_ENV_H
#define PBR_SYS_ENV_H

#include "base/env.h"

/* An env on the real system; `log` may be NULL (silent). `log_ctx` is handed to it as ctx, and to all other
 * functions, which ignore it. Thread: shared const if `log` is. */
struct pbr_env pbr_sys_env(void (*log)(void *ctx, enum pbr_log_level level, const char *line), void *log_ctx);

/* Peak resident memory of this process in bytes (VmHWM). */
uint64_t pbr_sys_peak_memory(void);

/* Wall clock in seconds as a text of local time, `strftime` format, C locale. */
void pbr_sys_format_local(int64_t time_s, const char *format, char *out, size_t cap)
    __attribute__((format(strftime, 2, 0)));

#endif
