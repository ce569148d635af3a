/* SPDX-License-Identifier: MIT */
/* Numbers and entries of the catalog; layout in catalog.h [CAT-010 .. CAT-037]. Thread: plain
 * values. */
#include "format/catalog.h"

#include "base/limits.h"
#include "format/catalog_int.h"

/* ---- numbers ---- */

int pbr_pcat_u64_parse(struct pbr_cur *in, uint64_t *ret, struct pbr_diag *diag)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < PBR_PCAT_U64_MAX; i++) {
        const uint8_t byte = pbr_cur_u8(in);
        if (in->bad)
            return pbr_fail(diag, PBR_E_TRUNCATED, "CAT-045", in->pos, "number cut short");
        value |= (uint64_t)(byte & 0x7f) << (7 * i); /* bits beyond 64 drop out [CAT-031] */
        if (byte < 0x80) {
            *ret = value;
            return PBR_OK;
        }
    }
    return pbr_fail(diag, PBR_E_FORMAT, "CAT-031", in->pos, "number longer than 10 bytes");
}

size_t pbr_pcat_u64_emit(uint64_t value, uint8_t out[PBR_PCAT_U64_MAX])
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (uint8_t)(0x80 | (value & 0x7f));
    out[n++] = (uint8_t)value;
    return n;
}

int pbr_pcat_i64_parse(struct pbr_cur *in, int64_t *ret, struct pbr_diag *diag)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < PBR_PCAT_I64_MAX; i++) {
        const uint8_t byte = pbr_cur_u8(in);
        if (in->bad)
            return pbr_fail(diag, PBR_E_TRUNCATED, "CAT-045", in->pos, "number cut short");
        if (byte == 0) { /* end of a negative number, or of a plain zero [CAT-034] */
            *ret = (int64_t)(0 - value);
            return PBR_OK;
        }
        if (i == PBR_PCAT_I64_MAX - 1)
            break; /* an eleventh byte has no bits left to give [CAT-036] */
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *ret = (int64_t)value;
            return PBR_OK;
        }
    }
    return pbr_fail(diag, PBR_E_FORMAT, "CAT-034", in->pos, "number longer than 11 bytes");
}

size_t pbr_pcat_i64_emit(int64_t value, uint8_t out[PBR_PCAT_I64_MAX])
{
    if (value >= 0)
        return pbr_pcat_u64_emit((uint64_t)value, out);
    size_t n = 0;
    uint64_t rest = 0 - (uint64_t)value;
    for (; rest >= 0x80; rest >>= 7)
        out[n++] = (uint8_t)(0x80 | (rest & 0x7f));
    out[n++] =
        (uint8_t)(0x80 | rest); /* all bytes of the magnitude go on, the 0 ends it [CAT-033] */
    out[n++] = 0;
    return n;
}

/* ---- entries ---- */

bool pbr_pcat_is_dir(const struct pbr_pcat_entry *entry)
{
    return entry->type == PBR_PCAT_DIR || entry->type == PBR_PCAT_ARCHIVE;
}

static bool type_ok(uint8_t type, struct pcat_form form)
{
    switch (type) {
    case PBR_PCAT_REF:
        return form.extended;
    case PBR_PCAT_ARCHIVE:
        return form.extended && form.root;
    case PBR_PCAT_DIR:
    case PBR_PCAT_FILE:
    case PBR_PCAT_SYMLINK:
    case PBR_PCAT_HARDLINK:
    case PBR_PCAT_BLOCK:
    case PBR_PCAT_CHAR:
    case PBR_PCAT_FIFO:
    case PBR_PCAT_SOCKET:
        return true;
    default:
        return false;
    }
}

/* A directory's offset counts back from the table it stands in [CAT-012, CAT-020, CAT-052]. */
static int parse_offset(struct pbr_cur *in, uint64_t table, uint64_t at, struct pbr_pcat_entry *ret,
                        struct pbr_diag *diag)
{
    uint64_t back = 0;
    const int rc = pbr_pcat_u64_parse(in, &back, diag);
    if (rc < 0)
        return rc;
    if (back > table - PCAT_MAGIC_LEN)
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-047", at,
                        "directory offset %" PRIu64 " in the table at %" PRIu64, back, table);
    if (back == 0)
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-052", at, "directory contains itself");
    ret->table = table - back;
    return PBR_OK;
}

/* Size and times, and in the extended format the position [CAT-013, APX-072, APX-073]. */
static int parse_file(struct pbr_cur *in, bool extended, struct pbr_pcat_entry *ret, struct pbr_diag *diag)
{
    int rc = pbr_pcat_u64_parse(in, &ret->size, diag);
    if (rc == PBR_OK)
        rc = pbr_pcat_i64_parse(in, &ret->mtime_s, diag);
    if (rc == PBR_OK && extended)
        rc = pbr_pcat_i64_parse(in, &ret->ctime_s, diag);
    if (rc == PBR_OK && extended)
        rc = pbr_pcat_u64_parse(in, &ret->pos, diag);
    return rc;
}

int pbr_pcat_entry_parse(struct pbr_cur *in, uint64_t table, uint64_t base, struct pcat_form form,
                         struct pbr_pcat_entry *ret, struct pbr_diag *diag)
{
    struct pbr_pcat_entry entry = { 0 };
    uint64_t name_len = 0;
    const uint64_t at = base + in->pos;
    const uint8_t type = pbr_cur_u8(in);
    if (in->bad)
        return pbr_fail(diag, PBR_E_TRUNCATED, "CAT-045", at, "table ends before its last entry");
    if (!type_ok(type, form))
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-044", at, "unknown entry type 0x%02x", type);
    entry.type = (enum pbr_pcat_type)type;
    int rc = pbr_pcat_u64_parse(in, &name_len, diag);
    if (rc < 0)
        return rc;
    if (name_len > PBR_CATALOG_NAME_MAX)
        return pbr_fail(diag, PBR_E_FORMAT, "CAT-043", at, "name of %" PRIu64 " bytes", name_len);
    entry.name = pbr_cur_span(in, (size_t)name_len);
    if (in->bad)
        return pbr_fail(diag, PBR_E_TRUNCATED, "CAT-045", at, "name runs past the table");

    if (pbr_pcat_is_dir(&entry))
        rc = parse_offset(in, table, at, &entry, diag);
    if (rc == PBR_OK && entry.type == PBR_PCAT_ARCHIVE)
        rc = pbr_pcat_u64_parse(in, &entry.pos, diag);
    if (entry.type == PBR_PCAT_FILE || entry.type == PBR_PCAT_REF)
        rc = parse_file(in, form.extended, &entry, diag);
    if (rc < 0)
        return rc;
    *ret = entry;
    return PBR_OK;
}

int pbr_pcat_entry_emit(const struct pbr_pcat_entry *entry, bool extended, struct pbr_buf *out)
{
    uint8_t number[PBR_PCAT_I64_MAX];
    int rc = pbr_buf_append_u8(out, (uint8_t)entry->type);
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_span(number, pbr_pcat_u64_emit(entry->name.len, number)));
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, entry->name);
    if (rc < 0 || (entry->type != PBR_PCAT_FILE && entry->type != PBR_PCAT_REF))
        return rc;
    rc = pbr_buf_append(out, pbr_span(number, pbr_pcat_u64_emit(entry->size, number)));
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, pbr_span(number, pbr_pcat_i64_emit(entry->mtime_s, number)));
    if (rc == PBR_OK && extended)
        rc = pbr_buf_append(out, pbr_span(number, pbr_pcat_i64_emit(entry->ctime_s, number)));
    if (rc == PBR_OK && extended)
        rc = pbr_buf_append(out, pbr_span(number, pbr_pcat_u64_emit(entry->pos, number)));
    return rc;
}
