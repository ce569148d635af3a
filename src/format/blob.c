/* SPDX-License-Identifier: MIT */
/* The data blob envelope; layout in blob.h [BLOB-001 .. BLOB-015, BLOB-050, BLOB-051]. Thread:
 * plain values. */
#include "format/blob.h"

#include <string.h>

#include "prim/prim.h"

enum { MAGIC_LEN = 8, CRC_OFF = 8, IV_OFF = 12, TAG_OFF = 28, HDR = 12, HDR_ENC = 44 };

/* First 8 bytes of the SHA-256 of "Proxmox Backup ... blob v1.0" [BLOB-001, BLOB-008]. */
static const uint8_t magics[][MAGIC_LEN] = {
    [PBR_BLOB_PLAIN] = { 0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1 },
    [PBR_BLOB_ZSTD] = { 0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f },
    [PBR_BLOB_ENC] = { 0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0 },
    [PBR_BLOB_ENC_ZSTD] = { 0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b },
};

size_t pbr_blob_hdr_len(enum pbr_blob_kind kind)
{
    return pbr_blob_is_encrypted(kind) ? HDR_ENC : HDR;
}

static bool kind_of(const uint8_t *magic, enum pbr_blob_kind *ret)
{
    for (unsigned i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
        if (memcmp(magics[i], magic, MAGIC_LEN) == 0) {
            *ret = (enum pbr_blob_kind)i;
            return true;
        }
    return false;
}

int pbr_blob_parse(struct pbr_span raw, struct pbr_blob *ret, struct pbr_diag *diag)
{
    struct pbr_blob blob = { 0 };
    if (raw.len < HDR)
        return pbr_fail(diag, PBR_E_TRUNCATED, "BLOB-050", 0, "blob too small (%zu bytes).",
                        raw.len);
    if (!kind_of(raw.ptr, &blob.kind))
        return pbr_fail(diag, PBR_E_FORMAT, "BLOB-050", 0,
                        "unable to parse raw blob - wrong magic");

    const size_t hdr = pbr_blob_hdr_len(blob.kind);
    if (raw.len < hdr)
        return pbr_fail(diag, PBR_E_TRUNCATED, "BLOB-050", 0,
                        "encrypted blob too small (%zu bytes).", raw.len);
    blob.crc = pbr_get_u32le(raw.ptr + CRC_OFF);
    if (pbr_blob_is_encrypted(blob.kind)) {
        memcpy(blob.iv, raw.ptr + IV_OFF, sizeof(blob.iv));
        memcpy(blob.tag, raw.ptr + TAG_OFF, sizeof(blob.tag));
    }
    blob.payload = pbr_span_sub(raw, hdr, raw.len - hdr);
    *ret = blob;
    return PBR_OK;
}

int pbr_blob_check_crc(const struct pbr_blob *blob, struct pbr_diag *diag)
{
    if (pbr_crc32(0, blob->payload) != blob->crc)
        return pbr_fail(diag, PBR_E_INTEGRITY, "BLOB-051", CRC_OFF,
                        "Data blob has wrong CRC checksum.");
    return PBR_OK;
}

void pbr_blob_hdr_emit(const struct pbr_blob *blob, uint8_t *out)
{
    memcpy(out, magics[blob->kind], MAGIC_LEN);
    pbr_put_u32le(out + CRC_OFF, blob->crc);
    if (!pbr_blob_is_encrypted(blob->kind))
        return;
    memcpy(out + IV_OFF, blob->iv, sizeof(blob->iv));
    memcpy(out + TAG_OFF, blob->tag, sizeof(blob->tag));
}

void pbr_blob_fix_crc(uint8_t *raw, size_t len)
{
    enum pbr_blob_kind kind = PBR_BLOB_PLAIN;
    if (len < HDR || !kind_of(raw, &kind))
        return;
    pbr_put_u32le(raw + CRC_OFF,
                  pbr_crc32(0, pbr_span_sub(pbr_span(raw, len), pbr_blob_hdr_len(kind), len)));
}
