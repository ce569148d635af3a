/* SPDX-License-Identifier: MIT */
/* Inside client only: writing the page of history_html.h. Functions that put something do nothing once `rc` is negative.
 * Thread: not shared. */
#ifndef PBR_CLIENT_HTML_INT_H
#define PBR_CLIENT_HTML_INT_H

#include "client/history_html.h"

struct pbr_page {
    const struct pbr_env *env;
    const struct pbr_history *history;
    struct pbr_html_opts opts;
    struct pbr_sink *out;
    struct pbr_buf buf;     /* what was not handed to `out` yet */
    struct pbr_buf scratch; /* one text before it is escaped */
    int rc;
    struct pbr_diag *diag;
};

/* Markup as it is. */
void pbr_page_put(struct pbr_page *p, const char *fmt, ...) PBR_PRINTF(2, 3);
/* Text, with & < > " ' escaped. */
void pbr_page_text(struct pbr_page *p, struct pbr_span text);
/* A file name, escaped for people and for markup; `max` as in pbr_words_name. */
void pbr_page_name(struct pbr_page *p, struct pbr_span name, size_t max);
/* What a function of history_words.h appended to p->scratch with result `rc`; clears it. */
void pbr_page_words(struct pbr_page *p, int rc);

/* The map of one archive in one generation (history_map.c), at most `cells` cells, `columns` in a row. */
void pbr_page_map(struct pbr_page *p, const struct pbr_history_archive *a, size_t cells, size_t columns);
/* One bar of the whole payload stream, shares by bytes. */
void pbr_page_bar(struct pbr_page *p, const struct pbr_history_archive *a);

#endif
