/* SPDX-License-Identifier: MIT */
/* Output of `reuse show` as text and JSON. Thread: main thread only. */
#ifndef PBR_CLI_REUSE_OUT_H
#define PBR_CLI_REUSE_OUT_H

#include "cli/cli.h"
#include "client/history.h"

/* Text of a name as a JSON string: as it is if it is UTF-8, else quoted. NULL without memory. */
json_t *pbr_reuse_name_json(const struct pbr_env *env, struct pbr_span name);

/* Generations from number `first` on; lists of files have at most `rows` rows in text, all of them in JSON. */
PBR_MUST_USE int pbr_reuse_print_text(const struct pbr_history *h, size_t first, size_t rows, struct pbr_diag *diag);
PBR_MUST_USE int pbr_reuse_print_json(const struct pbr_history *h, size_t first, enum pbr_format format, struct pbr_diag *diag);

#endif
