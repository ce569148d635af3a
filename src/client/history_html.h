/* SPDX-License-Identifier: MIT */
/* A page that shows what was re-used: headlines, a map of the payload stream with one cell per chunk, generations side by
 * side, and tables of what was read and why. One file without script and without anything from elsewhere (its own content
 * policy forbids both); light and dark.
 * Bounded: above a number of chunks a cell stands for several, and says so; tables have `rows` rows, names are cut.
 * Thread: not shared. */
#ifndef PBR_CLIENT_HISTORY_HTML_H
#define PBR_CLIENT_HISTORY_HTML_H

#include "client/history.h"

struct pbr_html_opts {
    size_t rows;   /* of a table; 0 = 50 */
    size_t cells;  /* of all maps together; 0 = 8000 */
    size_t shown;  /* generations, counted from the newest; 0 = all. The others only serve as what came before */
};

PBR_MUST_USE int pbr_history_html(const struct pbr_history *h, const struct pbr_html_opts *opts, struct pbr_sink *out,
                                  struct pbr_diag *diag);

#endif
