/* SPDX-License-Identifier: MIT */
/* Dynamic and fixed index files; layout in index.h [IDX-001 .. IDX-059]. Thread: an index is shared
 * const after parse. */
#include "format/index.h"

#include <string.h>

#include "base/limits.h"

enum {
    MAGIC_LEN = 8,
    UUID_OFF = 8,
    CTIME_OFF = 24,
    CSUM_OFF = 32,
    SIZE_OFF = 64,
    CHUNK_SIZE_OFF = 72
};

/* Start of the SHA-256 of "Proxmox Backup ... sized chunk index v1.0" [IDX-001, IDX-040]. */
static const uint8_t magics[][MAGIC_LEN] = {
    [PBR_INDEX_DYNAMIC] = { 0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd },
    [PBR_INDEX_FIXED] = { 0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd },
};

static const uint8_t *record(const struct pbr_index *ix, uint64_t i)
{
    const size_t len = ix->kind == PBR_INDEX_DYNAMIC ? PBR_DIDX_REC : PBR_FIDX_REC;
    return ix->entries.ptr + (size_t)i * len;
}

/* ---- parse ---- */

/* Ends must not decrease [IDX-023]; strict: no empty chunk, none above the maximum [IDX-024,
 * IDX-021]. */
static int check_ends(const struct pbr_index *ix, bool strict, struct pbr_diag *diag)
{
    uint64_t start = 0;
    for (uint64_t i = 0; i < ix->entry_nr; i++) {
        const uint64_t end = pbr_index_end(ix, i);
        const uint64_t off = PBR_INDEX_HDR + i * PBR_DIDX_REC;
        if (end < start)
            return pbr_fail(diag, PBR_E_FORMAT, "IDX-023", off,
                            "chunk %" PRIu64 " ends at %" PRIu64 ", before its start %" PRIu64, i,
                            end, start);
        if (strict && end == start)
            return pbr_fail(diag, PBR_E_FORMAT, "IDX-024", off, "chunk %" PRIu64 " is empty", i);
        if (strict && end - start > PBR_CHUNK_MAX)
            return pbr_fail(diag, PBR_E_FORMAT, "IDX-021", off,
                            "chunk %" PRIu64 " has %" PRIu64 " bytes", i, end - start);
        start = end;
    }
    return PBR_OK;
}

static int parse_dynamic(struct pbr_index *ix, bool strict, struct pbr_diag *diag)
{
    if (ix->entries.len % PBR_DIDX_REC != 0)
        return pbr_fail(diag, PBR_E_FORMAT, "IDX-016", PBR_INDEX_HDR,
                        "%zu bytes of entries, not a multiple of %d", ix->entries.len,
                        (int)PBR_DIDX_REC);
    if (ix->entries.len == 0)
        return pbr_fail(diag, PBR_E_FORMAT, "IDX-017", PBR_INDEX_HDR, "index without entries");
    ix->entry_nr = ix->entries.len / PBR_DIDX_REC;
    ix->size = pbr_index_end(ix, ix->entry_nr - 1);
    return check_ends(ix, strict, diag);
}

static int parse_fixed(struct pbr_index *ix, struct pbr_span file, bool strict,
                       struct pbr_diag *diag)
{
    ix->size = pbr_get_u64le(file.ptr + SIZE_OFF);
    ix->chunk_size = pbr_get_u64le(file.ptr + CHUNK_SIZE_OFF);
    if (ix->chunk_size == 0 || (ix->chunk_size & (ix->chunk_size - 1)) != 0)
        return pbr_fail(diag, PBR_E_FORMAT, "IDX-056", CHUNK_SIZE_OFF,
                        "chunk size %" PRIu64 " is not a power of two", ix->chunk_size);
    ix->entry_nr = ix->size / ix->chunk_size + (ix->size % ix->chunk_size != 0);
    if (ix->entries.len % PBR_FIDX_REC != 0 || ix->entries.len / PBR_FIDX_REC != ix->entry_nr)
        return pbr_fail(diag, PBR_E_FORMAT, "IDX-057", PBR_INDEX_HDR,
                        "%zu bytes of digests for %" PRIu64 " chunks", ix->entries.len,
                        ix->entry_nr);
    if (ix->size == 0)
        return pbr_fail(diag, PBR_E_FORMAT, "IDX-058", SIZE_OFF, "index of an empty image");
    if (strict && ix->chunk_size > PBR_CHUNK_MAX)
        return pbr_fail(diag, PBR_E_FORMAT, "IDX-059", CHUNK_SIZE_OFF, "chunk size %" PRIu64,
                        ix->chunk_size);
    return PBR_OK;
}

static int check_stored_csum(const struct pbr_index *ix, struct pbr_diag *diag)
{
    uint8_t csum[PBR_DIGEST_LEN];
    const int rc = pbr_index_csum(ix, csum);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "cannot compute the checksum of an index");
    if (memcmp(csum, ix->stored_csum, sizeof(csum)) != 0)
        return pbr_fail(diag, PBR_E_INTEGRITY,
                        ix->kind == PBR_INDEX_DYNAMIC ? "IDX-010" : "IDX-048", CSUM_OFF,
                        "stored index checksum does not match the entries");
    return PBR_OK;
}

bool pbr_index_recognise(struct pbr_span head)
{
    return head.len >= MAGIC_LEN && (memcmp(head.ptr, magics[PBR_INDEX_FIXED], MAGIC_LEN) == 0 ||
                                     memcmp(head.ptr, magics[PBR_INDEX_DYNAMIC], MAGIC_LEN) == 0);
}

int pbr_index_parse(struct pbr_span file, bool strict, struct pbr_index *ret, struct pbr_diag *diag)
{
    struct pbr_index ix = { 0 };
    if (file.len >= MAGIC_LEN && memcmp(file.ptr, magics[PBR_INDEX_FIXED], MAGIC_LEN) == 0)
        ix.kind = PBR_INDEX_FIXED;
    const bool fixed = ix.kind == PBR_INDEX_FIXED;
    if (file.len < PBR_INDEX_HDR)
        return pbr_fail(diag, PBR_E_TRUNCATED, fixed ? "IDX-054" : "IDX-014", 0,
                        "index file too small (%zu bytes)", file.len);
    if (!fixed && memcmp(file.ptr, magics[PBR_INDEX_DYNAMIC], MAGIC_LEN) != 0)
        return pbr_fail(diag, PBR_E_FORMAT, "IDX-015", 0, "not an index file: wrong magic");
    if (file.len > PBR_INDEX_SIZE_MAX)
        return pbr_fail(diag, PBR_E_LIMIT, NULL, 0, "index file of %zu bytes", file.len);

    memcpy(ix.uuid, file.ptr + UUID_OFF, sizeof(ix.uuid));
    ix.ctime_s = (int64_t)pbr_get_u64le(file.ptr + CTIME_OFF);
    memcpy(ix.stored_csum, file.ptr + CSUM_OFF, sizeof(ix.stored_csum));
    ix.entries = pbr_span_sub(file, PBR_INDEX_HDR, file.len - PBR_INDEX_HDR);
    int rc = fixed ? parse_fixed(&ix, file, strict, diag) : parse_dynamic(&ix, strict, diag);
    if (rc == PBR_OK && strict)
        rc = check_stored_csum(&ix, diag);
    if (rc < 0)
        return rc;
    *ret = ix;
    return PBR_OK;
}

/* ---- emit ---- */

void pbr_index_hdr_emit(const struct pbr_index *ix, uint8_t out[PBR_INDEX_HDR])
{
    memset(out, 0, PBR_INDEX_HDR);
    memcpy(out, magics[ix->kind], MAGIC_LEN);
    memcpy(out + UUID_OFF, ix->uuid, sizeof(ix->uuid));
    pbr_put_u64le(out + CTIME_OFF, (uint64_t)ix->ctime_s);
    memcpy(out + CSUM_OFF, ix->stored_csum, sizeof(ix->stored_csum));
    if (ix->kind != PBR_INDEX_FIXED)
        return;
    pbr_put_u64le(out + SIZE_OFF, ix->size);
    pbr_put_u64le(out + CHUNK_SIZE_OFF, ix->chunk_size);
}

void pbr_didx_rec_emit(uint64_t end, const uint8_t digest[PBR_DIGEST_LEN],
                       uint8_t out[PBR_DIDX_REC])
{
    pbr_put_u64le(out, end);
    memcpy(out + 8, digest, PBR_DIGEST_LEN);
}

/* ---- entries ---- */

uint64_t pbr_index_start(const struct pbr_index *ix, uint64_t i)
{
    if (ix->kind == PBR_INDEX_FIXED)
        return i * ix->chunk_size;
    return i ? pbr_index_end(ix, i - 1) : 0;
}

uint64_t pbr_index_end(const struct pbr_index *ix, uint64_t i)
{
    if (ix->kind == PBR_INDEX_FIXED) /* only the last chunk can be shorter [IDX-047] */
        return i + 1 < ix->entry_nr ? (i + 1) * ix->chunk_size : ix->size;
    return pbr_get_u64le(record(ix, i));
}

const uint8_t *pbr_index_digest(const struct pbr_index *ix, uint64_t i)
{
    return record(ix, i) + (ix->kind == PBR_INDEX_DYNAMIC ? 8 : 0);
}

bool pbr_index_lookup(const struct pbr_index *ix, uint64_t off, uint64_t *ret_i)
{
    if (off >= ix->size)
        return false;
    if (ix->kind == PBR_INDEX_FIXED) {
        *ret_i = off / ix->chunk_size;
        return true;
    }
    uint64_t lo = 0,
             hi = ix->entry_nr - 1; /* the first entry with off < end lies in [lo, hi] [IDX-032] */
    while (lo != hi) {
        const uint64_t mid = lo + (hi - lo) / 2;
        if (off < pbr_index_end(ix, mid))
            hi = mid;
        else
            lo = mid + 1;
    }
    *ret_i = lo;
    return true;
}

/* ---- checksum ---- */

int pbr_index_csum(const struct pbr_index *ix, uint8_t out[PBR_DIGEST_LEN])
{
    return pbr_sha256(ix->entries, pbr_span(NULL, 0), out);
}

struct pbr_index_sum {
    const struct pbr_env *env;
    enum pbr_index_kind kind;
    struct pbr_sha256 *hash;
};

int pbr_index_sum_new(const struct pbr_env *env, enum pbr_index_kind kind,
                      struct pbr_index_sum **ret)
{
    struct pbr_index_sum *s = pbr_alloc(env, 1, sizeof(*s));
    if (!s)
        return PBR_E_NOMEM;
    *s = (struct pbr_index_sum){ .env = env, .kind = kind };
    const int rc = pbr_sha256_new(env, &s->hash);
    if (rc < 0) {
        pbr_index_sum_free(s);
        return rc;
    }
    *ret = s;
    return PBR_OK;
}

void pbr_index_sum_free(struct pbr_index_sum *s)
{
    if (!s)
        return;
    pbr_sha256_free(s->hash);
    pbr_free(s->env, s);
}

int pbr_index_sum_add(struct pbr_index_sum *s, uint64_t end, const uint8_t digest[PBR_DIGEST_LEN])
{
    uint8_t rec[PBR_DIDX_REC];
    if (s->kind == PBR_INDEX_FIXED) /* digests alone [IDX-048] */
        return pbr_sha256_update(s->hash, pbr_span(digest, PBR_DIGEST_LEN));
    pbr_didx_rec_emit(end, digest, rec);
    return pbr_sha256_update(s->hash, pbr_span(rec, sizeof(rec)));
}

int pbr_index_sum_result(const struct pbr_index_sum *s, uint8_t out[PBR_DIGEST_LEN])
{
    return pbr_sha256_result(s->hash, out);
}
