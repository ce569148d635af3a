/* SPDX-License-Identifier: MIT */
/* Result codes and the diagnosis of a failure.
 *
 * Every function that can fail returns PBR_OK or one of `enum pbr_err` (negative). A code says what the
 * caller does next; the diagnosis says to a person what broke: which rule of spec/, where, and a text.
 * Thread: a diag belongs to one thread at a time. */
#ifndef PBR_BASE_ERR_H
#define PBR_BASE_ERR_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PBR_MUST_USE __attribute__((warn_unused_result))
#define PBR_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

enum pbr_err {
    PBR_OK = 0,
    PBR_E_ARG = -1,          /* misuse by the caller or a bad option */
    PBR_E_NOMEM = -2,        /* allocation failed */
    PBR_E_IO = -3,           /* the operating system refused; see diag.os_errno */
    PBR_E_TRUNCATED = -4,    /* input ends where more bytes are needed */
    PBR_E_FORMAT = -5,       /* input is malformed */
    PBR_E_UNSUPPORTED = -6,  /* well-formed, but nothing we know */
    PBR_E_LIMIT = -7,        /* refused by one of our limits */
    PBR_E_INTEGRITY = -8,    /* digest, CRC, tag or signature does not match */
    PBR_E_CRYPTO = -9,       /* key missing or wrong */
    PBR_E_PROTO = -10,       /* the peer broke the protocol */
    PBR_E_REMOTE = -11,      /* the peer answered with an error or could not be reached */
    PBR_E_NOENT = -12,       /* the named thing does not exist */
    PBR_E_EXIST = -13,       /* the named thing exists already */
    PBR_E_STATE = -14,       /* not possible in this state */
    PBR_E_CANCELED = -15,    /* stopped on request */
    PBR_E_PARTIAL = -16,     /* done in part; what is missing was reported one by one */
};

enum { PBR_DIAG_TEXT_MAX = 512, PBR_DIAG_NO_OFF = 0 };

struct pbr_diag {
    enum pbr_err code;
    const char *rule;  /* spec ID such as "PXAR-004"; static string or NULL */
    uint64_t off;      /* byte offset the text speaks of */
    bool has_off;
    int os_errno;      /* for PBR_E_IO: errno, else 0 */
    int status;        /* HTTP status, if the failure is a peer's answer or shall become one; else 0 */
    char text[PBR_DIAG_TEXT_MAX];
};

/* Fills `diag` (NULL is fine) unless it already holds a failure: the deepest cause survives. Returns `code`. */
int pbr_fail(struct pbr_diag *diag, enum pbr_err code, const char *rule, uint64_t off, const char *fmt, ...)
    PBR_PRINTF(5, 6);

/* Like pbr_fail, for failures that have no byte offset. */
int pbr_fail_at(struct pbr_diag *diag, enum pbr_err code, const char *rule, const char *fmt, ...)
    PBR_PRINTF(4, 5);

/* A failed system call: code PBR_E_IO (NOENT/EXIST for those two errno values), text ": <strerror>" appended. */
int pbr_fail_os(struct pbr_diag *diag, int os_errno, const char *fmt, ...) PBR_PRINTF(3, 4);

/* Puts "prefix: " before the text of an existing failure (who was at work when it happened). */
void pbr_diag_context(struct pbr_diag *diag, const char *fmt, ...) PBR_PRINTF(2, 3);

/* Forgets a failure that was dealt with. */
void pbr_diag_clear(struct pbr_diag *diag);

/* One line for people: text, then " (offset N, rule PXAR-004)" as far as known. `cap` bytes, always NUL-terminated. */
void pbr_diag_format(const struct pbr_diag *diag, char *out, size_t cap);

/* Short name of a code: "format", "integrity", ... Static. */
const char *pbr_err_name(int code);

#endif
