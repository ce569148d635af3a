/* SPDX-License-Identifier: MIT */
/* Texts inside a URL: percent codes, form-urlencoded parameters, paths.
 *
 * Spec: API-002, API-005, API-078, API-123, BKP-015, BKP-060, BKP-065. Thread: plain values. */
#ifndef PBR_PROTO_FORM_H
#define PBR_PROTO_FORM_H

#include "base/env.h"

/* ---- percent codes ---- */

enum pbr_percent_set {
    PBR_PERCENT_CREDENTIAL, /* control characters, space, "#<>`?{} and non-ASCII; not '%' (API-078)
                             */
    PBR_PERCENT_ALL,        /* everything but letters and digits (API-123) */
};
/* Appends the encoded text. */
PBR_MUST_USE int pbr_percent_encode(struct pbr_span in, enum pbr_percent_set set,
                                    struct pbr_buf *out);
/* Appends the decoded text; a '%' without two hex digits stays as it is. */
PBR_MUST_USE int pbr_percent_decode(struct pbr_span in, struct pbr_buf *out);

/* ---- key=value&key=value ---- */

struct pbr_form_pair {
    struct pbr_span key, value; /* decoded; borrowed from the form */
};
struct pbr_form {
    const struct pbr_env *env;
    struct pbr_form_pair *pairs;
    size_t nr;
    uint8_t *text;
};

/* Decodes all pairs in their order ('+' is a space; empty pairs are dropped). Release it also when
 * it is empty. */
PBR_MUST_USE int pbr_form_parse(struct pbr_form *f, const struct pbr_env *env, struct pbr_span in);
void pbr_form_release(struct pbr_form *f);

/* Appends "key=value", with '&' before it if `out` holds anything behind its first `base` bytes (a
 * path and its '?'). */
PBR_MUST_USE int pbr_form_put(struct pbr_buf *out, size_t base, const char *key,
                              struct pbr_span value);
PBR_MUST_USE int pbr_form_put_str(struct pbr_buf *out, size_t base, const char *key,
                                  const char *value);
PBR_MUST_USE int pbr_form_put_u64(struct pbr_buf *out, size_t base, const char *key,
                                  uint64_t value);

/* Is all of it UTF-8? If not, *ret_at (may be NULL) is the offset of the first byte that belongs to
 * none (BKP-066). */
bool pbr_utf8_valid(struct pbr_span in, size_t *ret_at);

/* ---- paths ---- */

enum { PBR_PATH_PARTS_MAX = 16 };

struct pbr_path {
    char text[1024]; /* decoded components joined by NUL */
    const char *part[PBR_PATH_PARTS_MAX];
    size_t nr;
};
/* Splits a request path (without query): empty components vanish, one that begins with '.' gives
 * FORMAT with "path contains illegal components" (API-002). LIMIT if it is longer or deeper than
 * any known path. */
PBR_MUST_USE int pbr_path_parse(struct pbr_path *p, struct pbr_span in, struct pbr_diag *diag);

#endif
