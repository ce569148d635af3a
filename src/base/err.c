/* SPDX-License-Identifier: MIT */
/* Result codes and the diagnosis of a failure; see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool holds_failure(const struct pbr_diag *diag)
{
    return diag && diag->code != PBR_OK;
}

PBR_PRINTF(4, 0)
static void fill(struct pbr_diag *diag, enum pbr_err code, const char *rule, const char *fmt, va_list ap)
{
    diag->code = code;
    diag->rule = rule;
    (void)vsnprintf(diag->text, sizeof(diag->text), fmt, ap);
}

int pbr_fail(struct pbr_diag *diag, enum pbr_err code, const char *rule, uint64_t off, const char *fmt, ...)
{
    if (!diag || holds_failure(diag))
        return code;
    va_list ap;
    va_start(ap, fmt);
    fill(diag, code, rule, fmt, ap);
    va_end(ap);
    diag->off = off;
    diag->has_off = true;
    return code;
}

int pbr_fail_at(struct pbr_diag *diag, enum pbr_err code, const char *rule, const char *fmt, ...)
{
    if (!diag || holds_failure(diag))
        return code;
    va_list ap;
    va_start(ap, fmt);
    fill(diag, code, rule, fmt, ap);
    va_end(ap);
    return code;
}

int pbr_fail_os(struct pbr_diag *diag, int os_errno, const char *fmt, ...)
{
    const enum pbr_err code = os_errno == ENOENT   ? PBR_E_NOENT
                              : os_errno == EEXIST ? PBR_E_EXIST
                              : os_errno == ENOMEM ? PBR_E_NOMEM
                                                   : PBR_E_IO;
    if (!diag || holds_failure(diag))
        return code;
    va_list ap;
    va_start(ap, fmt);
    fill(diag, code, NULL, fmt, ap);
    va_end(ap);
    diag->os_errno = os_errno;
    const size_t len = strlen(diag->text);
    char reason[96] = "";
    (void)snprintf(diag->text + len, sizeof(diag->text) - len, ": %s",
                   strerror_r(os_errno, reason, sizeof(reason)));
    return code;
}

void pbr_diag_context(struct pbr_diag *diag, const char *fmt, ...)
{
    if (!holds_failure(diag))
        return;
    char old[PBR_DIAG_TEXT_MAX];
    memcpy(old, diag->text, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(diag->text, sizeof(diag->text), fmt, ap);
    va_end(ap);
    const size_t len = strlen(diag->text);
    (void)snprintf(diag->text + len, sizeof(diag->text) - len, ": %s", old);
}

void pbr_diag_clear(struct pbr_diag *diag)
{
    if (diag)
        *diag = (struct pbr_diag){ 0 };
}

void pbr_diag_format(const struct pbr_diag *diag, char *out, size_t cap)
{
    const char *text = diag->text[0] ? diag->text : pbr_err_name(diag->code);

    if (diag->has_off && diag->rule)
        (void)snprintf(out, cap, "%s (offset %" PRIu64 ", rule %s)", text, diag->off, diag->rule);
    else if (diag->has_off)
        (void)snprintf(out, cap, "%s (offset %" PRIu64 ")", text, diag->off);
    else if (diag->rule)
        (void)snprintf(out, cap, "%s (rule %s)", text, diag->rule);
    else
        (void)snprintf(out, cap, "%s", text);
}

const char *pbr_err_name(int code)
{
    switch (code) {
    case PBR_OK: return "ok";
    case PBR_E_ARG: return "argument";
    case PBR_E_NOMEM: return "out of memory";
    case PBR_E_IO: return "input/output";
    case PBR_E_TRUNCATED: return "truncated";
    case PBR_E_FORMAT: return "format";
    case PBR_E_UNSUPPORTED: return "unsupported";
    case PBR_E_LIMIT: return "limit";
    case PBR_E_INTEGRITY: return "integrity";
    case PBR_E_CRYPTO: return "crypto";
    case PBR_E_PROTO: return "protocol";
    case PBR_E_REMOTE: return "remote";
    case PBR_E_NOENT: return "not found";
    case PBR_E_EXIST: return "exists";
    case PBR_E_STATE: return "state";
    case PBR_E_CANCELED: return "canceled";
    case PBR_E_PARTIAL: return "partial";
    default: return "unknown";
    }
}
