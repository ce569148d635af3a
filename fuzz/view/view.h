/* SPDX-License-Identifier: MIT */
/* What the parsers make of a file, as JSON: a line of {"accept": BOOL, "rule": ID or null, "limit": BOOL, "view": ...} that
 * tests/oracle/test_fuzz_corpus.py compares with what the oracle makes of it. `limit`: refused by a limit of ours, not by a
 * rule. All numbers are decimal strings, all bytes hex. Inputs are those of the fuzz targets.
 *
 * Thread: not shared. */
#ifndef PBR_FUZZ_VIEW_H
#define PBR_FUZZ_VIEW_H

#include <jansson.h>

#include "fuzz.h"

/* Returns the view (owned) or NULL with diag->rule set to the rule that was broken, if there is one. */
typedef json_t *view_fn(struct pbr_span in, struct pbr_diag *diag);

view_fn view_pxar, view_pair, view_index, view_blob, view_catalog, view_manifest, view_keyfile, view_pattern, view_chunk,
    view_tree;

json_t *view_u64(uint64_t v);
json_t *view_i64(int64_t v);
json_t *view_hex(struct pbr_span in);
json_t *view_sha256(struct pbr_span in);

#endif
