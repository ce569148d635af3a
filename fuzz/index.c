/* SPDX-License-Identifier: MIT */
/* Index files, dynamic and fixed, as they come.
 *
 * Reaches: pbr_index_parse, _lookup, _csum, _hdr_emit, pbr_didx_rec_emit (index.c).
 * Asserts: strict accepts nothing that the other refuses; the chunks cover the archive without gap; a lookup finds the
 * chunk that holds the byte; header and records emitted again are parsed to the same index, records to the same bytes. */
#include "fuzz.h"

#include "format/index.h"

static void check_lookup(const struct pbr_index *ix, uint64_t off)
{
    uint64_t i = UINT64_MAX;
    const bool found = pbr_index_lookup(ix, off, &i);
    MUST(found == (off < ix->size));
    if (found)
        MUST(i < ix->entry_nr && pbr_index_start(ix, i) <= off && off < pbr_index_end(ix, i));
}

static void check_entries(const struct pbr_index *ix, struct pbr_buf *out)
{
    uint64_t pos = 0;
    for (uint64_t i = 0; i < ix->entry_nr; i++) {
        const uint64_t start = pbr_index_start(ix, i), end = pbr_index_end(ix, i);
        uint8_t rec[PBR_DIDX_REC];
        MUST(start == pos && end >= start);
        pos = end;
        check_lookup(ix, start);
        check_lookup(ix, end - 1);
        pbr_didx_rec_emit(end, pbr_index_digest(ix, i), rec);
        const struct pbr_span piece = ix->kind == PBR_INDEX_DYNAMIC ? pbr_span(rec, sizeof(rec))
                                                                    : pbr_span(pbr_index_digest(ix, i), PBR_FIDX_REC);
        MUST(pbr_buf_append(out, piece) == PBR_OK);
    }
    MUST(pos == ix->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct pbr_span in = pbr_span(data, len);
    struct pbr_index ix, again, strict;
    struct pbr_diag diag = { 0 };
    const int rc = pbr_index_parse(in, false, &ix, &diag);
    MUST(rc == (int)diag.code);
    if (rc < 0) {
        MUST(diag.rule);
        MUST(pbr_index_parse(in, true, &strict, NULL) < 0);
        return 0;
    }
    struct pbr_buf out;
    uint8_t hdr[PBR_INDEX_HDR], csum[2][PBR_DIGEST_LEN];
    pbr_buf_init(&out, &fuzz_env, len + PBR_INDEX_HDR);
    pbr_index_hdr_emit(&ix, hdr);
    MUST(pbr_buf_append(&out, pbr_span(hdr, sizeof(hdr))) == PBR_OK);
    check_entries(&ix, &out);
    MUST(pbr_span_eq(pbr_span_sub(pbr_buf_span(&out), PBR_INDEX_HDR, out.len), ix.entries));
    check_lookup(&ix, 0);
    check_lookup(&ix, ix.size);
    check_lookup(&ix, UINT64_MAX);
    MUST(pbr_index_parse(pbr_buf_span(&out), false, &again, NULL) == PBR_OK);
    MUST(again.kind == ix.kind && again.size == ix.size && again.entry_nr == ix.entry_nr && again.ctime_s == ix.ctime_s &&
         again.chunk_size == ix.chunk_size && memcmp(again.uuid, ix.uuid, sizeof(ix.uuid)) == 0 &&
         memcmp(again.stored_csum, ix.stored_csum, PBR_DIGEST_LEN) == 0);
    MUST(pbr_index_csum(&ix, csum[0]) == PBR_OK && pbr_index_csum(&again, csum[1]) == PBR_OK);
    MUST(memcmp(csum[0], csum[1], PBR_DIGEST_LEN) == 0);
    if (pbr_index_parse(in, true, &strict, NULL) == PBR_OK)
        MUST(memcmp(strict.stored_csum, csum[0], PBR_DIGEST_LEN) == 0);
    pbr_buf_release(&out);
    return 0;
}
