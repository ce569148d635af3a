/* SPDX-License-Identifier: MIT */
/* Inside detect only: the report while it is made. */
#ifndef PBR_DETECT_REPORT_INT_H
#define PBR_DETECT_REPORT_INT_H

#include "detect/report.h"


struct pbr_report {
    const struct pbr_env *env;
    const struct pbr_layout *now, *before;
    struct pbr_report_chunk *chunks;
    size_t chunk_nr;
    struct pbr_report_file *files;
    size_t file_nr;
    struct pbr_report_totals totals;
};

/* One past the payload range of a file; UINT64_MAX if that is beyond 64 bits. */
uint64_t pbr_report_range_end(const struct pbr_layout_entry *e);
/* Sets `why` of files that were read again; their kinds are set. */
void pbr_report_explain(struct pbr_report *r);

#endif
