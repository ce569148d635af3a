/* SPDX-License-Identifier: MIT */
/* Sizes and time spans as people read them [CLI-016, CLI-018]. Pure. */
#ifndef PBR_CLIENT_HUMAN_H
#define PBR_CLIENT_HUMAN_H

#include "base/bytes.h"

enum { PBR_HUMAN_MAX = 48 };

/* "0 B", "1.5 MiB", "1.234 GiB": binary units, at most 3 decimals. */
void pbr_human_size(uint64_t bytes, char out[PBR_HUMAN_MAX]);
/* The same with at most 1 decimal: "1.2 GiB". */
void pbr_human_size_short(uint64_t bytes, char out[PBR_HUMAN_MAX]);
/* The same for a rate; "0 B" if ns is 0. Add "/s" yourself. */
void pbr_human_rate(uint64_t bytes, uint64_t ns, char out[PBR_HUMAN_MAX]);
/* "500K", "1.5 MiB", "10G": powers of 1000, with "i" of 1024, optional B, any case (CLI-017). False if it is none. */
PBR_MUST_USE bool pbr_human_parse_size(struct pbr_span text, uint64_t *ret);
/* "1h 2m 3.5s", "45s", "<0.1s", "0s". */
void pbr_human_span(uint64_t ns, char out[PBR_HUMAN_MAX]);

#endif
