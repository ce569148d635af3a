/* SPDX-License-Identifier: MIT */
/* Quoting of file names for people: the "debug" form that listings of archives use (EXT-141).
 *
 *   \" \\ \t \n \r \0     as shown
 *   \u{hex}               other characters that do not print, or combine with the one before; lower case, no padding
 *   \xHH                  bytes that are not valid UTF-8; upper case
 *   everything else       unchanged
 * Thread: pure functions. */
#ifndef PBR_FORMAT_QUOTE_H
#define PBR_FORMAT_QUOTE_H

#include "base/bytes.h"

/* Appends `in` in double quotes. LIMIT or NOMEM; `out` then is as before. */
PBR_MUST_USE int pbr_quote(struct pbr_span in, struct pbr_buf *out);

/* Whether the quoted form shows this code point as \u{...}, apart from the characters with a short escape. */
bool pbr_quote_is_escaped(uint32_t code_point);

/* Length 1..4 of the valid UTF-8 sequence at the front of `in`, its code point in *ret; 0 if there is none. *ret_bad
 * then is the length of the longest front part that no valid sequence has, at least 1: what is shown as \x.. bytes. */
size_t pbr_utf8_next(struct pbr_span in, uint32_t *ret, size_t *ret_bad);

#endif
