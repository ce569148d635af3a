/* SPDX-License-Identifier: MIT */
/* Runs of chunks of a previous payload index; see run.h. */
#include "detect/run.h"

enum { MARKER = 16 }; /* start and tail marker of a payload stream [CDM-086] */

bool pbr_run_holds(const struct pbr_index *ix, uint64_t start, uint64_t end)
{
    return pbr_run_holds_from(ix, MARKER, start, end);
}

bool pbr_run_holds_from(const struct pbr_index *ix, uint64_t first, uint64_t start, uint64_t end)
{
    return ix->size >= first + MARKER && start >= first && start < end && end <= ix->size - MARKER;
}

/* The first entry that ends behind `off`, or the number of entries [CDM-058]. */
static uint64_t first_behind(const struct pbr_index *ix, uint64_t off)
{
    uint64_t low = 0, high = ix->entry_nr;
    while (low < high) {
        const uint64_t mid = low + (high - low) / 2;
        if (pbr_index_end(ix, mid) > off)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

int pbr_run_find(const struct pbr_index *ix, uint64_t start, uint64_t end, struct pbr_run *ret, struct pbr_diag *diag)
{
    const uint64_t first = first_behind(ix, start);
    if (first >= ix->entry_nr)
        return pbr_fail(diag, PBR_E_FORMAT, "CDM-056", start, "payload offset %" PRIu64 " out of range of the previous index",
                        start);
    const uint64_t behind = first_behind(ix, end);
    const bool open_end = behind >= ix->entry_nr;
    const uint64_t last = open_end ? ix->entry_nr - 1 : behind;
    *ret = (struct pbr_run){ .first = first,
                             .nr = last - first + 1,
                             .size = pbr_index_end(ix, last) - pbr_index_start(ix, first),
                             .start_pad = start - pbr_index_start(ix, first),
                             .end_pad = open_end ? 0 : pbr_index_end(ix, last) - end };
    return PBR_OK;
}

int pbr_run_cover(const struct pbr_index *ix, uint64_t start, uint64_t end, struct pbr_run *ret, struct pbr_diag *diag)
{
    if (start >= end || end > ix->size)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-095", start, "range up to %" PRIu64 " of a previous index of %" PRIu64 " bytes",
                        end, ix->size);
    const uint64_t first = first_behind(ix, start);
    const uint64_t last = first_behind(ix, end - 1);
    *ret = (struct pbr_run){ .first = first,
                             .nr = last - first + 1,
                             .size = pbr_index_end(ix, last) - pbr_index_start(ix, first),
                             .start_pad = start - pbr_index_start(ix, first),
                             .end_pad = pbr_index_end(ix, last) - end };
    return PBR_OK;
}
