/* SPDX-License-Identifier: MIT */
/* Helpers over struct pbr_env; see env.h. */
#include "base/env.h"

#include <stdio.h>
#include <string.h>

void *pbr_alloc(const struct pbr_env *env, size_t count, size_t size)
{
    uint64_t bytes;
    if (!pbr_mul(count, size, &bytes) || bytes > SIZE_MAX)
        return NULL;
    void *p = pbr_realloc(env, NULL, (size_t)bytes);
    if (p)
        memset(p, 0, (size_t)bytes);
    return p;
}

void *pbr_realloc(const struct pbr_env *env, void *p, size_t size)
{
    return env->realloc(env->ctx, p, size ? size : 1);
}

void pbr_free(const struct pbr_env *env, void *p)
{
    if (p)
        env->free(env->ctx, p);
}

char *pbr_strdup(const struct pbr_env *env, const char *text)
{
    return pbr_strndup(env, pbr_span_str(text));
}

char *pbr_strndup(const struct pbr_env *env, struct pbr_span in)
{
    char *p = in.len < SIZE_MAX ? pbr_realloc(env, NULL, in.len + 1) : NULL;
    if (!p)
        return NULL;
    if (in.len)
        memcpy(p, in.ptr, in.len);
    p[in.len] = 0;
    return p;
}

char *pbr_asprintf(const struct pbr_env *env, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : pbr_realloc(env, NULL, (size_t)n + 1);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

void pbr_log(const struct pbr_env *env, enum pbr_log_level level, const char *fmt, ...)
{
    char line[8192]; /* longest text is a quoted path of PATH_MAX bytes */
    if (!env->log)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    env->log(env->ctx, level, line);
}

void pbr_log_failure(const struct pbr_env *env, enum pbr_log_level level, const struct pbr_diag *why, const char *fmt, ...)
{
    char what[1024], cause[PBR_DIAG_TEXT_MAX + 64];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    pbr_diag_format(why, cause, sizeof(cause));
    pbr_log(env, level, "%s: %s", what, cause);
}

void pbr_wipe(void *p, size_t len)
{
    if (!p)
        return;
    memset(p, 0, len);
    __asm__ __volatile__("" : : "r"(p) : "memory");
}

int pbr_secret_set(struct pbr_secret *s, const struct pbr_env *env, struct pbr_span in)
{
    char *copy = pbr_strndup(env, in);
    if (!copy)
        return PBR_E_NOMEM;
    pbr_secret_release(s);
    *s = (struct pbr_secret){ env, (uint8_t *)copy, in.len };
    return PBR_OK;
}

void pbr_secret_release(struct pbr_secret *s)
{
    if (!s->ptr)
        return;
    pbr_wipe(s->ptr, s->len);
    pbr_free(s->env, s->ptr);
    *s = (struct pbr_secret){ 0 };
}
