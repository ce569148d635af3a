/* SPDX-License-Identifier: MIT */
/* Items of pxar archives one by one, and the entry they build; see pxar_dec.h.
 *
 *   item            content                                                                        rule
 *   FORMAT_VERSION  version u64                                                                    PXAR-040
 *   PRELUDE         bytes                                                                          PXAR-043
 *   FILENAME        name, NUL                                                                      PXAR-070
 *   ENTRY           mode u64, flags u64, uid u32, gid u32, secs i64, nanos u32, padding u32        PXAR-050
 *   ENTRY_V1        mode u64, flags u64, uid u32, gid u32, nanoseconds u64                         PXAR-060
 *   XATTR           name, NUL, value                                                               PXAR-085
 *   ACL_*           [id u64,] permissions u64; ACL_DEFAULT: four of them                           PXAR-100 ..
 *   FCAPS           bytes                                                                          PXAR-088
 *   QUOTA_PROJID    id u64                                                                         PXAR-089
 *   SYMLINK         target, NUL                                                                    PXAR-072
 *   HARDLINK        distance u64, path, NUL                                                        PXAR-073
 *   DEVICE          major u64, minor u64                                                           PXAR-078
 *   PAYLOAD_REF     offset u64, size u64                                                           PXAR-130
 *   APPENDIX_REF    offset u64, size u64                                                           APX-018
 *   APPENDIX        total u64                                                                      APX-016
 *   DRAFT_VERSION   nothing                                                                        APX-035
 *
 * What an entry keeps goes to `text`, so that it does not depend on the input's life. */
#include <string.h>

#include "base/limits.h"
#include "format/pxar_dec_int.h"

int pbr_dec_no_room(const struct pbr_pxar_dec *dec, int rc, struct pbr_diag *diag)
{
    return pbr_fail(diag, (enum pbr_err)rc, NULL, dec->item_pos, "entry's metadata: %s",
                    rc == PBR_E_LIMIT ? "more than the limit allows" : "out of memory");
}

/* ---- the entry being built ---- */

static void reset_entry(struct pbr_pxar_dec *dec)
{
    dec->entry = (struct pbr_pxar_entry){ 0 };
    dec->name = dec->target = dec->fcaps = (struct piece){ 0 };
    dec->is_root = false;
    pbr_buf_clear(&dec->text);
    pbr_buf_clear(&dec->xattr_ats);
    pbr_buf_clear(&dec->xattrs);
    for (size_t i = 0; i < ACL_LISTS; i++)
        pbr_buf_clear(&dec->acls[i]);
}

static int keep_text(struct pbr_pxar_dec *dec, struct pbr_span in, struct piece *ret, struct pbr_diag *diag)
{
    const struct piece at = { dec->text.len, in.len };
    const int rc = pbr_buf_append(&dec->text, in);
    if (rc < 0)
        return pbr_dec_no_room(dec, rc, diag);
    *ret = at;
    return PBR_OK;
}

static int keep_record(struct pbr_pxar_dec *dec, struct pbr_buf *list, const void *rec, size_t size,
                       struct pbr_diag *diag)
{
    const int rc = pbr_buf_append(list, pbr_span(rec, size));
    return rc < 0 ? pbr_dec_no_room(dec, rc, diag) : PBR_OK;
}

static struct pbr_span text_at(const struct pbr_pxar_dec *dec, struct piece at)
{
    return pbr_span_sub(pbr_buf_span(&dec->text), at.off, at.len);
}

static const struct pbr_pxar_acl_id *acl_list(const struct pbr_buf *list, size_t *ret_nr)
{
    *ret_nr = list->len / sizeof(struct pbr_pxar_acl_id);
    return *ret_nr ? (const void *)list->ptr : NULL;
}

static int resolve_xattrs(struct pbr_pxar_dec *dec, struct pbr_diag *diag)
{
    const struct xattr_at *at = (const void *)dec->xattr_ats.ptr;
    const size_t nr = dec->xattr_ats.len / sizeof(*at);
    for (size_t i = 0; i < nr; i++) {
        const struct pbr_pxar_xattr x = { text_at(dec, at[i].name), text_at(dec, at[i].value) };
        const int rc = keep_record(dec, &dec->xattrs, &x, sizeof(x), diag);
        if (rc < 0)
            return rc;
    }
    dec->entry.meta.xattrs = nr ? (const void *)dec->xattrs.ptr : NULL;
    dec->entry.meta.xattr_nr = nr;
    return PBR_OK;
}

int pbr_dec_finish_entry(struct pbr_pxar_dec *dec, enum pbr_pxar_kind kind, uint64_t end_pos, struct pbr_diag *diag)
{
    struct pbr_pxar_entry *e = &dec->entry;
    if (dec->is_root && kind != PBR_KIND_DIR)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-229", e->entry_pos, "the archive's root is a %s, no directory",
                        pbr_pxar_kind_name(kind));
    if (kind == PBR_KIND_DIR && !dec->opts.subtree && dec->depth >= PBR_PATH_DEPTH_MAX)
        return pbr_fail(diag, PBR_E_LIMIT, NULL, e->entry_pos, "more than %d directories below each other",
                        PBR_PATH_DEPTH_MAX);
    const int rc = resolve_xattrs(dec, diag);
    if (rc < 0)
        return rc;

    e->kind = kind;
    e->end_pos = end_pos;
    e->name = text_at(dec, dec->name);
    e->target = text_at(dec, dec->target);
    e->meta.fcaps = text_at(dec, dec->fcaps);
    e->meta.acl_users = acl_list(&dec->acls[ACL_USERS], &e->meta.acl_user_nr);
    e->meta.acl_groups = acl_list(&dec->acls[ACL_GROUPS], &e->meta.acl_group_nr);
    e->meta.acl_default_users = acl_list(&dec->acls[ACL_DEFAULT_USERS], &e->meta.acl_default_user_nr);
    e->meta.acl_default_groups = acl_list(&dec->acls[ACL_DEFAULT_GROUPS], &e->meta.acl_default_group_nr);
    return PBR_OK;
}

/* ---- one parser per item ---- */

static int parse_filename(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag)
{
    reset_entry(dec);
    dec->entry.name_pos = dec->item_pos;
    if (body.len == 0 || body.ptr[body.len - 1] != 0)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-071", dec->item_pos,
                        "illegal path found (missing terminating zero)");
    const struct pbr_span name = pbr_span(body.ptr, body.len - 1);
    const char *wrong = pbr_pxar_name_check(name);
    if (wrong)
        return pbr_fail(diag, PBR_E_FORMAT, memchr(name.ptr, 0, name.len) ? "PXAR-081" : "PXAR-071", dec->item_pos,
                        "illegal path found: %s", wrong);
    dec->place = IN_NODE;
    return keep_text(dec, name, &dec->name, diag);
}

static void begin_node(struct pbr_pxar_dec *dec)
{
    const bool named = dec->place == IN_NODE;
    if (!named) {
        const bool is_root = dec->place != IN_SUBTREE;
        reset_entry(dec);
        dec->is_root = is_root;
        dec->entry.name_pos = dec->item_pos;
    }
    dec->entry.entry_pos = dec->item_pos;
}

static void parse_entry(struct pbr_pxar_dec *dec, const uint8_t *p)
{
    begin_node(dec);
    struct pbr_pxar_meta *m = &dec->entry.meta;
    m->mode = pbr_get_u64le(p);
    m->flags = pbr_get_u64le(p + 8);
    m->uid = pbr_get_u32le(p + 16);
    m->gid = pbr_get_u32le(p + 20);
    if (dec->htype == PBR_PXAR_ENTRY) {
        m->mtime_s = (int64_t)pbr_get_u64le(p + 24);
        m->mtime_ns = pbr_get_u32le(p + 32);
        /* p + 36: padding, garbage in old archives (PXAR-055) */
    } else {
        const uint64_t ns = pbr_get_u64le(p + 24); /* PXAR-060, PXAR-061 */
        m->mtime_s = (int64_t)(ns / 1000000000u);
        m->mtime_ns = (uint32_t)(ns % 1000000000u);
    }
    dec->place = IN_ATTRS;
}

/* Text with one NUL behind it that belongs to no one else (SYMLINK, HARDLINK). */
static int parse_target(struct pbr_pxar_dec *dec, struct pbr_span body, const char *rule, struct pbr_diag *diag)
{
    if (body.len == 0 || memchr(body.ptr, 0, body.len) != &body.ptr[body.len - 1])
        return pbr_fail(diag, PBR_E_FORMAT, rule, dec->item_pos, "target of %s is not ended by its only NUL",
                        pbr_pxar_type_name(dec->htype));
    return keep_text(dec, pbr_span(body.ptr, body.len - 1), &dec->target, diag);
}

static int parse_hardlink(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag)
{
    begin_node(dec);
    if (body.len <= 8)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-073", dec->item_pos, "bad hardlink entry (too small)");
    dec->entry.link_off = pbr_get_u64le(body.ptr);
    const int rc = parse_target(dec, pbr_span_sub(body, 8, body.len), "PXAR-073", diag);
    if (rc < 0)
        return rc;
    dec->entry_ready = true;
    return pbr_dec_finish_entry(dec, PBR_KIND_HARDLINK, dec->pos, diag);
}

static int parse_appendix_ref(struct pbr_pxar_dec *dec, const uint8_t *p, struct pbr_diag *diag)
{
    begin_node(dec);
    dec->entry.appendix_off = pbr_get_u64le(p);
    dec->entry.size = pbr_get_u64le(p + 8);
    dec->entry_ready = true;
    return pbr_dec_finish_entry(dec, PBR_KIND_APPENDIX_REF, dec->pos, diag);
}

static int parse_appendix(struct pbr_pxar_dec *dec, const uint8_t *p, struct pbr_diag *diag)
{
    uint64_t end;
    const uint64_t total = pbr_get_u64le(p);
    if (total == 0 || !pbr_add(dec->pos, total, &end))
        return pbr_fail(diag, PBR_E_FORMAT, "APX-016", dec->item_pos, "appendix of %" PRIu64 " bytes", total);
    dec->appendix_start = dec->pos;
    dec->appendix_total = total;
    return PBR_OK;
}

static int parse_xattr(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag)
{
    const uint8_t *nul = body.len ? memchr(body.ptr, 0, body.len) : NULL;
    if (!nul)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-086", dec->item_pos, "missing value separator in xattr");
    const size_t name_len = (size_t)(nul - body.ptr);
    struct xattr_at x;
    int rc = keep_text(dec, pbr_span_sub(body, 0, name_len), &x.name, diag);
    if (rc < 0)
        return rc;
    rc = keep_text(dec, pbr_span_sub(body, name_len + 1, body.len), &x.value, diag);
    if (rc < 0)
        return rc;
    return keep_record(dec, &dec->xattr_ats, &x, sizeof(x), diag);
}

static int parse_acl_id(struct pbr_pxar_dec *dec, const uint8_t *p, size_t list, struct pbr_diag *diag)
{
    const struct pbr_pxar_acl_id id = { pbr_get_u64le(p), pbr_get_u64le(p + 8) };
    return keep_record(dec, &dec->acls[list], &id, sizeof(id), diag);
}

static int repeated(const struct pbr_pxar_dec *dec, struct pbr_diag *diag)
{
    return pbr_fail(diag, PBR_E_FORMAT, "PXAR-032", dec->item_pos, "multiple %s items in one entry",
                    pbr_pxar_type_name(dec->htype));
}

static int parse_single_attr(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag)
{
    struct pbr_pxar_meta *m = &dec->entry.meta;
    bool *has = dec->htype == PBR_PXAR_ACL_GROUP_OBJ ? &m->has_acl_group_obj
                : dec->htype == PBR_PXAR_ACL_DEFAULT ? &m->has_acl_default
                : dec->htype == PBR_PXAR_FCAPS       ? &m->has_fcaps
                                                     : &m->has_projid;
    if (*has)
        return repeated(dec, diag);
    *has = true;

    if (has == &m->has_fcaps)
        return keep_text(dec, body, &dec->fcaps, diag);
    if (has == &m->has_acl_group_obj) {
        m->acl_group_obj = pbr_get_u64le(body.ptr);
    } else if (has == &m->has_projid) {
        m->projid = pbr_get_u64le(body.ptr);
    } else {
        m->acl_default.user_obj = pbr_get_u64le(body.ptr);
        m->acl_default.group_obj = pbr_get_u64le(body.ptr + 8);
        m->acl_default.other = pbr_get_u64le(body.ptr + 16);
        m->acl_default.mask = pbr_get_u64le(body.ptr + 24);
    }
    return PBR_OK;
}

static int parse_attr(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag)
{
    switch (dec->htype) {
    case PBR_PXAR_XATTR: return parse_xattr(dec, body, diag);
    case PBR_PXAR_ACL_USER: return parse_acl_id(dec, body.ptr, ACL_USERS, diag);
    case PBR_PXAR_ACL_GROUP: return parse_acl_id(dec, body.ptr, ACL_GROUPS, diag);
    case PBR_PXAR_ACL_DEFAULT_USER: return parse_acl_id(dec, body.ptr, ACL_DEFAULT_USERS, diag);
    case PBR_PXAR_ACL_DEFAULT_GROUP: return parse_acl_id(dec, body.ptr, ACL_DEFAULT_GROUPS, diag);
    default: return parse_single_attr(dec, body, diag);
    }
}

/* Items that end the entry they stand in. */
static int parse_ending(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag)
{
    enum pbr_pxar_kind kind = PBR_KIND_FILE;
    if (dec->htype == PBR_PXAR_SYMLINK) {
        kind = PBR_KIND_SYMLINK;
        const int rc = parse_target(dec, body, "PXAR-072", diag);
        if (rc < 0)
            return rc;
    } else if (dec->htype == PBR_PXAR_DEVICE) {
        kind = PBR_KIND_DEVICE;
        dec->entry.major = pbr_get_u64le(body.ptr);
        dec->entry.minor = pbr_get_u64le(body.ptr + 8);
    } else {
        dec->entry.has_ref = true;
        dec->entry.ref_off = pbr_get_u64le(body.ptr);
        dec->entry.size = pbr_get_u64le(body.ptr + 8);
    }
    dec->entry_ready = true;
    return pbr_dec_finish_entry(dec, kind, dec->pos, diag);
}

static int parse_version(struct pbr_pxar_dec *dec, const uint8_t *p, struct pbr_diag *diag)
{
    dec->version = pbr_get_u64le(p);
    if (dec->version != 1 && dec->version != 2)
        return pbr_fail(diag, PBR_E_UNSUPPORTED, "PXAR-041", dec->item_pos, "unknown format version %" PRIu64,
                        dec->version);
    dec->place = IN_AFTER_VERSION;
    return PBR_OK;
}

static int parse_prelude(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag)
{
    dec->place = IN_AFTER_PRELUDE;
    if (!dec->opts.items)
        return PBR_OK;
    struct piece at = { 0 }; /* reported twice, as ITEM and as PRELUDE: must outlive the input */
    const int rc = keep_text(dec, body, &at, diag);
    if (rc == PBR_OK)
        dec->body = text_at(dec, at);
    return rc;
}

int pbr_dec_parse_body(struct pbr_pxar_dec *dec, struct pbr_span body, struct pbr_diag *diag)
{
    switch (dec->htype) {
    case PBR_PXAR_FORMAT_VERSION: return parse_version(dec, body.ptr, diag);
    case PBR_PXAR_DRAFT_VERSION: dec->place = IN_AFTER_PRELUDE; return PBR_OK;
    case PBR_PXAR_APPENDIX_REF: return parse_appendix_ref(dec, body.ptr, diag);
    case PBR_PXAR_APPENDIX: return parse_appendix(dec, body.ptr, diag);
    case PBR_PXAR_PRELUDE: return parse_prelude(dec, body, diag);
    case PBR_PXAR_FILENAME: return parse_filename(dec, body, diag);
    case PBR_PXAR_ENTRY:
    case PBR_PXAR_ENTRY_V1: parse_entry(dec, body.ptr); return PBR_OK;
    case PBR_PXAR_HARDLINK: return parse_hardlink(dec, body, diag);
    case PBR_PXAR_SYMLINK:
    case PBR_PXAR_DEVICE:
    case PBR_PXAR_PAYLOAD_REF: return parse_ending(dec, body, diag);
    default: return parse_attr(dec, body, diag);
    }
}
