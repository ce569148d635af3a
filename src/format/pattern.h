/* SPDX-License-Identifier: MIT */
/* Exclude and match patterns (spec/create.md section 5): parsing, matching one, the verdict of a list, and the lexical
 * normalisation of newer clients (CRT-050). Bytes only: no character sets, no case folding (CRT-083).
 *
 *   ?        one byte but '/'                        [CRT-074]
 *   *        any bytes but '/'                       [CRT-074]
 *   ** /     (no blank) nothing, or bytes up to a '/' [CRT-075, CRT-076]
 *   **       at the end: any bytes                   [CRT-076]
 *   [a-z]    one byte of a class, '/' too; ^ negates [CRT-077 .. CRT-082]
 *   \X       the byte X                              [CRT-073]
 *
 * Time to match is at most (pattern length x path length), whatever the pattern: all ways are followed side by side.
 * Thread: a pattern is shared const after parse; a list is not shared while it is changed. */
#ifndef PBR_FORMAT_PATTERN_H
#define PBR_FORMAT_PATTERN_H

#include "base/env.h"

enum pbr_verdict { PBR_VERDICT_NONE, PBR_VERDICT_EXCLUDE, PBR_VERDICT_INCLUDE };

struct pbr_pattern;

/* `text` as a user wrote it: one leading '!' flips `include` (CRT-070), trailing slashes make it match directories only
 * (CRT-071). `anchored`: tried against whole paths only (CRT-088). ARG with rule CRT-072, CRT-077 or CRT-082; LIMIT above
 * PBR_PATTERN_MAX. The caller frees *ret with pbr_pattern_free. */
PBR_MUST_USE int pbr_pattern_parse(const struct pbr_env *env, struct pbr_span text, bool include, bool anchored,
                                   struct pbr_pattern **ret, struct pbr_diag *diag);
void pbr_pattern_free(struct pbr_pattern *p);

bool pbr_pattern_is_include(const struct pbr_pattern *p);
bool pbr_pattern_is_dirs_only(const struct pbr_pattern *p);
/* Text without leading '!' and trailing slashes (CRT-055); "/" if nothing is left. Borrowed from p. */
struct pbr_span pbr_pattern_text(const struct pbr_pattern *p);

/* Does the text match this path (CRT-085 .. CRT-088)? `path` starts with '/'. Types are not looked at: a directories-only
 * pattern matches only if the entry also is a directory (CRT-089). */
bool pbr_pattern_matches_path(const struct pbr_pattern *p, struct pbr_span path);
/* Both conditions; `mode` as in st_mode. */
bool pbr_pattern_matches(const struct pbr_pattern *p, struct pbr_span path, uint64_t mode);

/* ---- list: later patterns take precedence (CRT-092) ---- */

struct pbr_pattern_list {
    const struct pbr_env *env;
    struct pbr_pattern **items; /* owned */
    size_t nr, cap;
};

void pbr_pattern_list_init(struct pbr_pattern_list *l, const struct pbr_env *env);
void pbr_pattern_list_release(struct pbr_pattern_list *l);
/* Parses and appends; LIMIT above PBR_PATTERNS_MAX patterns. The list is unchanged on failure. */
PBR_MUST_USE int pbr_pattern_list_add(struct pbr_pattern_list *l, struct pbr_span text, bool include, bool anchored,
                                      struct pbr_diag *diag);
/* Drops patterns from the end until n are left (n <= nr). */
void pbr_pattern_list_cut(struct pbr_pattern_list *l, size_t n);

enum pbr_verdict pbr_pattern_list_verdict(const struct pbr_pattern_list *l, struct pbr_span path, uint64_t mode);
/* The same with the mode fetched at most once, when the search reaches the first directories-only pattern (CRT-093).
 * `get_mode` returns PBR_OK; any other result ends the search and is returned. */
PBR_MUST_USE int pbr_pattern_list_verdict_lazy(const struct pbr_pattern_list *l, struct pbr_span path,
                                               int (*get_mode)(void *ctx, uint64_t *ret_mode), void *ctx,
                                               enum pbr_verdict *ret);

/* Lexical normalisation (CRT-050): appends the result to `out`; *ret_changed tells whether it differs from `text`. */
PBR_MUST_USE int pbr_pattern_normalise(struct pbr_span text, struct pbr_buf *out, bool *ret_changed);

#endif
