/* SPDX-License-Identifier: MIT */
/* The world outside as a value: allocator, clocks, random, log. Code below `cli` asks the system for
 * nothing else, so that the same input with the same env gives the same bytes. `sys` implements it
 * (sys/env.h), tests inject their own.
 *
 * Thread: shared const; the functions behind it are internally locked or stateless. */
#ifndef PBR_BASE_ENV_H
#define PBR_BASE_ENV_H

#include "base/bytes.h"

enum pbr_log_level { PBR_LOG_ERROR, PBR_LOG_WARN, PBR_LOG_INFO, PBR_LOG_DEBUG };

struct pbr_env {
    void *ctx; /* handed to every function below */
    /* size 0 is asked for as 1. Returned memory is not cleared. p may be NULL. */
    void *(*realloc)(void *ctx, void *p, size_t size);
    void (*free)(void *ctx, void *p);
    int64_t (*now_s)(void *ctx);      /* seconds since the Unix epoch */
    uint64_t (*mono_ns)(void *ctx);   /* monotonic, for durations only */
    int (*random)(void *ctx, uint8_t *out, size_t len); /* PBR_OK or PBR_E_IO */
    void (*log)(void *ctx, enum pbr_log_level level, const char *line); /* no line end */
};

/* All take a valid env. */
void *pbr_alloc(const struct pbr_env *env, size_t count, size_t size); /* zeroed; NULL on overflow too */
void *pbr_realloc(const struct pbr_env *env, void *p, size_t size);
void pbr_free(const struct pbr_env *env, void *p); /* NULL is fine */
char *pbr_strdup(const struct pbr_env *env, const char *text);
/* Copy of the bytes with a NUL behind them. */
char *pbr_strndup(const struct pbr_env *env, struct pbr_span in);
char *pbr_asprintf(const struct pbr_env *env, const char *fmt, ...) PBR_PRINTF(2, 3);
void pbr_log(const struct pbr_env *env, enum pbr_log_level level, const char *fmt, ...) PBR_PRINTF(3, 4);
/* A failure that ends nothing: the text, ": " and the diagnosis. */
void pbr_log_failure(const struct pbr_env *env, enum pbr_log_level level, const struct pbr_diag *why, const char *fmt, ...)
    PBR_PRINTF(4, 5);

/* Overwrites secrets in a way the compiler may not drop. */
void pbr_wipe(void *p, size_t len);

/* A secret text or key: owned, wiped on release, never put into a diag. */
struct pbr_secret {
    const struct pbr_env *env;
    uint8_t *ptr; /* NUL behind len */
    size_t len;
};

PBR_MUST_USE int pbr_secret_set(struct pbr_secret *s, const struct pbr_env *env, struct pbr_span in);
void pbr_secret_release(struct pbr_secret *s);

#endif
