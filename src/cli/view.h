/* SPDX-License-Identifier: MIT */
/* What `pbsref inspect` and its kin print: members and lists of objects, as JSON in the form of the views of
 * spec/adapters.md (numbers as decimal strings, bytes as hex, names as name text) or as text. Lists are printed as they
 * come, so that an archive of any size needs no memory.
 * Thread: main thread only. */
#ifndef PBR_CLI_VIEW_H
#define PBR_CLI_VIEW_H

#include "cli/cli.h"

struct pbr_view {
    bool text;          /* else JSON */
    bool begun, listed; /* something was printed in the object, in the open list */
};

/* One object: begin, then members and lists, then end. */
void pbr_view_begin(struct pbr_view *v, enum pbr_format format);
void pbr_view_end(struct pbr_view *v);
/* Takes `value` over; NULL (no memory) becomes NOMEM. */
PBR_MUST_USE int pbr_view_member(struct pbr_view *v, const char *name, json_t *value, struct pbr_diag *diag);
/* A list: open, its items one by one (`value` taken over), close. Lists do not nest. */
void pbr_view_list(struct pbr_view *v, const char *name);
PBR_MUST_USE int pbr_view_item(struct pbr_view *v, json_t *value, struct pbr_diag *diag);
void pbr_view_list_end(struct pbr_view *v);

/* Values; NULL if there is no memory. */
json_t *pbr_view_u64(uint64_t value);
json_t *pbr_view_i64(int64_t value);
json_t *pbr_view_hex(struct pbr_span bytes);
/* Name text: 0x20 to 0x7e except the backslash as they are, everything else as \xHH. */
json_t *pbr_view_name(const struct pbr_env *env, struct pbr_span name);

#endif
