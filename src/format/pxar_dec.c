/* SPDX-License-Identifier: MIT */
/* Push decoder of pxar archives; see pxar_dec.h. The grammar is that of spec/pxar-format.md sections 4 and 13:
 *
 *   place           items allowed there
 *   BEGIN           FORMAT_VERSION DRAFT_VERSION ENTRY ENTRY_V1
 *   AFTER_VERSION   PRELUDE ENTRY ENTRY_V1
 *   AFTER_PRELUDE   ENTRY ENTRY_V1
 *   SUBTREE         FILENAME ENTRY ENTRY_V1 HARDLINK, at position 0 also FORMAT_VERSION
 *   NODE            ENTRY ENTRY_V1 HARDLINK APPENDIX_REF              (after FILENAME)
 *   ATTRS           attribute items; SYMLINK DEVICE PAYLOAD PAYLOAD_REF end the entry with themselves, FILENAME
 *                   and GOODBYE end it before themselves, so does APPENDIX
 *   DIR             FILENAME GOODBYE, in the root also APPENDIX
 *   TAIL            GOODBYE                                           (after the appendix)
 *
 * Content of bounded items is parsed (pxar_dec_item.c) where it lies in the input if it lies there in one piece, else
 * from `hold`. */
#include "format/pxar_dec_int.h"

#include <string.h>

#include "base/limits.h"
#include "format/goodbye.h"

/* Results of the phase functions besides errors. */
enum { GO = 0, EVENT = 1, STARVED = 2 };

int pbr_pxar_dec_new(const struct pbr_env *env, const struct pbr_pxar_dec_opts *opts, struct pbr_pxar_dec **ret)
{
    struct pbr_pxar_dec *dec = pbr_alloc(env, 1, sizeof(*dec));
    if (!dec)
        return PBR_E_NOMEM;
    dec->env = env;
    if (opts)
        dec->opts = *opts;
    dec->pos = dec->opts.subtree ? dec->opts.base_pos : 0;
    dec->place = dec->opts.subtree ? IN_SUBTREE : IN_BEGIN;
    pbr_buf_init(&dec->hold, env, PBR_PRELUDE_MAX);
    pbr_buf_init(&dec->text, env, PBR_PXAR_TEXT_MAX);
    pbr_buf_init(&dec->xattr_ats, env, PBR_PXAR_LIST_MAX);
    pbr_buf_init(&dec->xattrs, env, PBR_PXAR_LIST_MAX);
    for (size_t i = 0; i < ACL_LISTS; i++)
        pbr_buf_init(&dec->acls[i], env, PBR_PXAR_LIST_MAX);
    *ret = dec;
    return PBR_OK;
}

void pbr_pxar_dec_free(struct pbr_pxar_dec *dec)
{
    if (!dec)
        return;
    pbr_buf_release(&dec->hold);
    pbr_buf_release(&dec->text);
    pbr_buf_release(&dec->xattr_ats);
    pbr_buf_release(&dec->xattrs);
    for (size_t i = 0; i < ACL_LISTS; i++)
        pbr_buf_release(&dec->acls[i]);
    pbr_free(dec->env, dec);
}

uint64_t pbr_pxar_dec_pos(const struct pbr_pxar_dec *dec)
{
    return dec->pos;
}

uint64_t pbr_pxar_dec_data_left(const struct pbr_pxar_dec *dec)
{
    return dec->phase == PH_DATA || dec->phase == PH_APPENDIX ? dec->left : 0;
}

void pbr_pxar_dec_data_skipped(struct pbr_pxar_dec *dec, uint64_t n)
{
    if (dec->phase != PH_DATA && dec->phase != PH_APPENDIX)
        return;
    if (n > dec->left)
        n = dec->left;
    dec->left -= n;
    dec->pos += n;
}

/* ---- input ---- */

/* The next n bytes in one piece: GO with *ret set, valid until the next take, or STARVED after taking all there is. */
static int take(struct pbr_pxar_dec *dec, struct pbr_cur *in, size_t n, const uint8_t **ret, struct pbr_diag *diag)
{
    if (dec->hold.len == 0 && pbr_cur_left(in) >= n) {
        *ret = pbr_cur_take(in, n);
        dec->pos += n;
        return GO;
    }
    const size_t missing = n - dec->hold.len;
    const size_t have = pbr_cur_left(in) < missing ? pbr_cur_left(in) : missing;
    const int rc = pbr_buf_append(&dec->hold, pbr_cur_span(in, have));
    if (rc < 0)
        return pbr_dec_no_room(dec, rc, diag);
    dec->pos += have;
    if (have < missing)
        return STARVED;
    *ret = dec->hold.ptr;
    pbr_buf_clear(&dec->hold); /* the memory stays until the next take */
    return GO;
}

/* ---- headers ---- */

/* Content length an item must have, or UINT64_MAX; with the rule that says so. */
static uint64_t exact_len(uint64_t htype, const char **ret_rule)
{
    *ret_rule = "PXAR-020";
    switch (htype) {
    case PBR_PXAR_FORMAT_VERSION: *ret_rule = "PXAR-021"; return 8;
    case PBR_PXAR_ENTRY: *ret_rule = "PXAR-022"; return PBR_PXAR_ENTRY_LEN;
    case PBR_PXAR_ENTRY_V1: *ret_rule = "PXAR-023"; return 32;
    case PBR_PXAR_PAYLOAD_REF: *ret_rule = "PXAR-024"; return 16;
    case PBR_PXAR_APPENDIX_REF: *ret_rule = "APX-018"; return 16;
    case PBR_PXAR_APPENDIX: *ret_rule = "APX-016"; return 8;
    case PBR_PXAR_DRAFT_VERSION: *ret_rule = "APX-035"; return 0;
    case PBR_PXAR_DEVICE:
    case PBR_PXAR_ACL_USER:
    case PBR_PXAR_ACL_GROUP:
    case PBR_PXAR_ACL_DEFAULT_USER:
    case PBR_PXAR_ACL_DEFAULT_GROUP: return 16;
    case PBR_PXAR_ACL_GROUP_OBJ:
    case PBR_PXAR_QUOTA_PROJID: return 8;
    case PBR_PXAR_ACL_DEFAULT: return 32;
    default: return UINT64_MAX;
    }
}

static bool is_attr(uint64_t htype)
{
    switch (htype) {
    case PBR_PXAR_XATTR:
    case PBR_PXAR_ACL_USER:
    case PBR_PXAR_ACL_GROUP:
    case PBR_PXAR_ACL_GROUP_OBJ:
    case PBR_PXAR_ACL_DEFAULT:
    case PBR_PXAR_ACL_DEFAULT_USER:
    case PBR_PXAR_ACL_DEFAULT_GROUP:
    case PBR_PXAR_FCAPS:
    case PBR_PXAR_QUOTA_PROJID: return true;
    default: return false;
    }
}

static bool is_entry(uint64_t htype)
{
    return htype == PBR_PXAR_ENTRY || htype == PBR_PXAR_ENTRY_V1;
}

/* What stands in a directory, and so ends an entry before it. */
static bool ends_entry(uint64_t htype)
{
    return htype == PBR_PXAR_FILENAME || htype == PBR_PXAR_GOODBYE || htype == PBR_PXAR_APPENDIX;
}

/* The table at the head of this file. */
static bool is_allowed(const struct pbr_pxar_dec *dec)
{
    const uint64_t t = dec->htype;
    switch (dec->place) {
    case IN_BEGIN: return is_entry(t) || t == PBR_PXAR_FORMAT_VERSION || t == PBR_PXAR_DRAFT_VERSION;
    case IN_AFTER_VERSION: return is_entry(t) || t == PBR_PXAR_PRELUDE;
    case IN_AFTER_PRELUDE: return is_entry(t);
    case IN_SUBTREE:
        return is_entry(t) || t == PBR_PXAR_FILENAME || t == PBR_PXAR_HARDLINK ||
               (t == PBR_PXAR_FORMAT_VERSION && dec->opts.base_pos == 0);
    case IN_NODE: return is_entry(t) || t == PBR_PXAR_HARDLINK || t == PBR_PXAR_APPENDIX_REF;
    case IN_ATTRS:
        return is_attr(t) || t == PBR_PXAR_SYMLINK || t == PBR_PXAR_DEVICE || t == PBR_PXAR_PAYLOAD ||
               t == PBR_PXAR_PAYLOAD_REF || ends_entry(t);
    case IN_DIR: return ends_entry(t);
    case IN_TAIL: return t == PBR_PXAR_GOODBYE;
    }
    return false;
}

static int misplaced(const struct pbr_pxar_dec *dec, struct pbr_diag *diag)
{
    static const char *const wanted[] = {
        [IN_BEGIN] = "the root's ENTRY or FORMAT_VERSION",
        [IN_AFTER_VERSION] = "PRELUDE or the root's ENTRY",
        [IN_AFTER_PRELUDE] = "the root's ENTRY",
        [IN_SUBTREE] = "FILENAME or ENTRY",
        [IN_NODE] = "ENTRY or HARDLINK",
        [IN_ATTRS] = "an attribute or the end of the entry",
        [IN_DIR] = "FILENAME or GOODBYE",
        [IN_TAIL] = "the root's GOODBYE",
    };
    const char *name = pbr_pxar_type_name(dec->htype);
    const char *rule = strcmp(name, "UNKNOWN") == 0              ? "PXAR-223"
                       : dec->htype == PBR_PXAR_FORMAT_VERSION   ? "PXAR-042"
                       : dec->htype == PBR_PXAR_PRELUDE          ? "PXAR-043"
                       : dec->place == IN_TAIL                   ? "APX-026"
                       : dec->place == IN_BEGIN                  ? "PXAR-005"
                       : dec->place <= IN_AFTER_PRELUDE          ? "PXAR-030"
                       : dec->place == IN_ATTRS                  ? "PXAR-031"
                                                                 : "PXAR-224";
    return pbr_fail(diag, PBR_E_FORMAT, rule, dec->item_pos, "item %s (%016" PRIx64 ") where %s is expected", name,
                    dec->htype, wanted[dec->place]);
}

static int check_header(const struct pbr_pxar_dec *dec, uint64_t full, struct pbr_diag *diag)
{
    uint64_t end;
    if (full < PBR_PXAR_HDR)
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-004", dec->item_pos, "invalid header of %s - too small (%" PRIu64 ")",
                        pbr_pxar_type_name(dec->htype), full);
    if (full - PBR_PXAR_HDR > pbr_pxar_content_max(dec->htype))
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-020", dec->item_pos,
                        "invalid content size (%" PRIu64 " > %" PRIu64 ") of %s", full - PBR_PXAR_HDR,
                        pbr_pxar_content_max(dec->htype), pbr_pxar_type_name(dec->htype));
    if (!is_allowed(dec))
        return misplaced(dec, diag);

    const char *rule;
    const uint64_t exact = exact_len(dec->htype, &rule);
    if (exact != UINT64_MAX && full - PBR_PXAR_HDR != exact)
        return pbr_fail(diag, PBR_E_FORMAT, rule, dec->item_pos, "%s has %" PRIu64 " bytes of content, not %" PRIu64,
                        pbr_pxar_type_name(dec->htype), full - PBR_PXAR_HDR, exact);
    if (dec->htype == PBR_PXAR_GOODBYE &&
        (full - PBR_PXAR_HDR == 0 || (full - PBR_PXAR_HDR) % PBR_PXAR_GOODBYE_REC != 0))
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-150", dec->item_pos,
                        "goodbye table of %" PRIu64 " bytes is no row of 24-byte records", full - PBR_PXAR_HDR);
    if (dec->htype == PBR_PXAR_PRELUDE && full - PBR_PXAR_HDR > PBR_PRELUDE_MAX)
        return pbr_fail(diag, PBR_E_LIMIT, NULL, dec->item_pos, "prelude of %" PRIu64 " bytes", full - PBR_PXAR_HDR);
    if (!pbr_add(dec->item_pos, full, &end))
        return pbr_fail(diag, PBR_E_FORMAT, "PXAR-003", dec->item_pos, "item of %" PRIu64 " bytes ends beyond 2^64",
                        full);
    return PBR_OK;
}

/* ---- phases ---- */

static int event(const struct pbr_pxar_dec *dec, enum pbr_pxar_ev ev, struct pbr_pxar_event *ret)
{
    *ret = (struct pbr_pxar_event){
        .ev = ev,
        .pos = dec->item_pos,
        .size = dec->item_len + PBR_PXAR_HDR,
        .htype = dec->htype,
        .depth = dec->depth,
    };
    return EVENT;
}

static int entry_event(struct pbr_pxar_dec *dec, struct pbr_pxar_event *ret)
{
    event(dec, PBR_PXAR_EV_ENTRY, ret);
    ret->pos = dec->entry.entry_pos;
    ret->entry = dec->entry;
    if (dec->opts.subtree)
        dec->phase = PH_END;
    else if (dec->entry.kind == PBR_KIND_DIR)
        dec->depth++;
    return EVENT;
}

static int step_header(struct pbr_pxar_dec *dec, struct pbr_cur *in, struct pbr_diag *diag)
{
    const uint8_t *p;
    if (dec->hold.len == 0)
        dec->item_pos = dec->pos;
    const int rc = take(dec, in, PBR_PXAR_HDR, &p, diag);
    if (rc != GO)
        return rc;
    dec->htype = pbr_get_u64le(p);
    const uint64_t full = pbr_get_u64le(p + 8);
    const int bad = check_header(dec, full, diag);
    if (bad < 0)
        return bad;
    dec->item_len = full - PBR_PXAR_HDR;
    dec->phase = PH_DISPATCH;
    return GO;
}

/* An entry that ended without an item of its own: the mode tells fifos and sockets from directories (PXAR-220). */
static int finish_open_entry(struct pbr_pxar_dec *dec, uint64_t end_pos, struct pbr_pxar_event *ret,
                             struct pbr_diag *diag)
{
    const uint64_t type = dec->entry.meta.mode & PBR_MODE_TYPE;
    const enum pbr_pxar_kind kind = type == PBR_MODE_FIFO     ? PBR_KIND_FIFO
                                    : type == PBR_MODE_SOCKET ? PBR_KIND_SOCKET
                                                              : PBR_KIND_DIR;
    const int rc = pbr_dec_finish_entry(dec, kind, end_pos, diag);
    if (rc < 0)
        return rc;
    dec->place = IN_DIR;
    return entry_event(dec, ret);
}

static int step_dispatch(struct pbr_pxar_dec *dec, struct pbr_pxar_event *ret, struct pbr_diag *diag)
{
    if (dec->place == IN_ATTRS && ends_entry(dec->htype))
        return finish_open_entry(dec, dec->item_pos, ret, diag);
    if (dec->htype == PBR_PXAR_APPENDIX && dec->depth != 1)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-026", dec->item_pos, "an appendix below the root directory");

    if (dec->htype == PBR_PXAR_PAYLOAD) {
        dec->entry.size = dec->item_len;
        dec->entry.data_pos = dec->pos;
        dec->body = pbr_span(NULL, 0);
        dec->left = dec->item_len;
        dec->entry_ready = true;
        const int rc = pbr_dec_finish_entry(dec, PBR_KIND_FILE, dec->pos, diag);
        if (rc < 0)
            return rc;
        dec->phase = PH_PARSED;
    } else if (dec->htype == PBR_PXAR_GOODBYE) {
        dec->body = pbr_span(NULL, 0);
        dec->left = dec->item_len;
        dec->phase = PH_PARSED;
    } else {
        dec->phase = PH_BODY;
        return GO;
    }
    return dec->opts.items ? event(dec, PBR_PXAR_EV_ITEM, ret) : GO;
}

static int step_body(struct pbr_pxar_dec *dec, struct pbr_cur *in, struct pbr_pxar_event *ret,
                     struct pbr_diag *diag)
{
    const uint8_t *p;
    int rc = take(dec, in, (size_t)dec->item_len, &p, diag); /* at most PBR_PRELUDE_MAX */
    if (rc != GO)
        return rc;
    dec->body = pbr_span(p, (size_t)dec->item_len);
    rc = pbr_dec_parse_body(dec, dec->body, diag);
    if (rc < 0)
        return rc;
    dec->phase = PH_PARSED;
    if (!dec->opts.items)
        return GO;
    event(dec, PBR_PXAR_EV_ITEM, ret);
    ret->data = dec->body;
    return EVENT;
}

static int step_parsed(struct pbr_pxar_dec *dec, struct pbr_pxar_event *ret)
{
    if (dec->htype == PBR_PXAR_GOODBYE) {
        dec->phase = PH_RECORDS;
        return event(dec, PBR_PXAR_EV_GOODBYE, ret);
    }
    dec->phase = PH_HEADER;
    if (dec->htype == PBR_PXAR_FORMAT_VERSION) {
        event(dec, PBR_PXAR_EV_VERSION, ret);
        ret->version = dec->version;
        return EVENT;
    }
    if (dec->htype == PBR_PXAR_PRELUDE) {
        event(dec, PBR_PXAR_EV_PRELUDE, ret);
        ret->data = dec->body;
        return EVENT;
    }
    if (dec->htype == PBR_PXAR_APPENDIX) {
        dec->phase = PH_APPENDIX;
        dec->left = dec->appendix_total;
        event(dec, PBR_PXAR_EV_APPENDIX, ret);
        ret->total = dec->appendix_total;
        return EVENT;
    }
    if (!dec->entry_ready)
        return GO;
    dec->entry_ready = false;
    dec->place = IN_DIR;
    if (dec->htype == PBR_PXAR_PAYLOAD)
        dec->phase = PH_DATA;
    return entry_event(dec, ret);
}

static int step_data(struct pbr_pxar_dec *dec, struct pbr_cur *in, struct pbr_pxar_event *ret)
{
    if (dec->left == 0) {
        dec->phase = PH_HEADER;
        event(dec, PBR_PXAR_EV_FILE_END, ret);
        ret->entry = dec->entry;
        return EVENT;
    }
    const size_t avail = pbr_cur_left(in);
    if (avail == 0)
        return STARVED;
    const size_t n = avail < dec->left ? avail : (size_t)dec->left;
    event(dec, PBR_PXAR_EV_DATA, ret);
    ret->entry = dec->entry;
    ret->data = pbr_cur_span(in, n);
    dec->left -= n;
    dec->pos += n;
    return EVENT;
}

static int step_appendix(struct pbr_pxar_dec *dec, struct pbr_cur *in, struct pbr_pxar_event *ret)
{
    if (dec->left == 0) {
        dec->place = IN_TAIL;
        dec->phase = PH_HEADER;
        return GO;
    }
    const size_t avail = pbr_cur_left(in);
    if (avail == 0)
        return STARVED;
    const size_t n = avail < dec->left ? avail : (size_t)dec->left;
    event(dec, PBR_PXAR_EV_APPENDIX_DATA, ret);
    ret->data = pbr_cur_span(in, n);
    dec->left -= n;
    dec->pos += n;
    return EVENT;
}

/* The last record of the root's table, where there is an appendix [APX-032]. */
static int check_appendix_tail(const struct pbr_pxar_dec *dec, struct pbr_pxar_rec rec, struct pbr_diag *diag)
{
    if (rec.hash != PBR_PXAR_APPENDIX_TAIL || rec.offset != dec->item_pos - dec->appendix_start ||
        rec.size != dec->appendix_total)
        return pbr_fail(diag, PBR_E_FORMAT, "APX-032", dec->pos - PBR_PXAR_GOODBYE_REC,
                        "the archive has an appendix, but its last record does not say so");
    return PBR_OK;
}

static int step_records(struct pbr_pxar_dec *dec, struct pbr_cur *in, struct pbr_pxar_event *ret,
                        struct pbr_diag *diag)
{
    const bool has_tail = dec->depth == 1 && dec->appendix_total > 0;
    const uint64_t last = has_tail ? PBR_PXAR_GOODBYE_REC : 0;
    if (dec->left == 0) {
        dec->depth--;
        dec->phase = dec->depth == 0 ? PH_END : PH_HEADER;
        return event(dec, PBR_PXAR_EV_DIR_END, ret);
    }
    if (dec->opts.skip_goodbye && dec->left > last) {
        const size_t avail = pbr_cur_left(in);
        const size_t n = avail < dec->left - last ? avail : (size_t)(dec->left - last);
        (void)pbr_cur_take(in, n);
        dec->left -= n;
        dec->pos += n;
        return dec->left > last ? STARVED : GO;
    }
    const uint8_t *p;
    const int rc = take(dec, in, PBR_PXAR_GOODBYE_REC, &p, diag);
    if (rc != GO)
        return rc;
    const struct pbr_pxar_rec rec = pbr_goodbye_rec_get(p);
    dec->left -= PBR_PXAR_GOODBYE_REC;
    const int bad = has_tail && dec->left == 0 ? check_appendix_tail(dec, rec, diag) : PBR_OK;
    if (bad < 0)
        return bad;
    if (dec->opts.skip_goodbye)
        return GO;
    event(dec, PBR_PXAR_EV_GOODBYE_REC, ret);
    ret->rec = rec;
    return EVENT;
}

static int step_phase(struct pbr_pxar_dec *dec, struct pbr_cur *in, struct pbr_pxar_event *ret,
                      struct pbr_diag *diag)
{
    switch (dec->phase) {
    case PH_HEADER: return step_header(dec, in, diag);
    case PH_DISPATCH: return step_dispatch(dec, ret, diag);
    case PH_BODY: return step_body(dec, in, ret, diag);
    case PH_PARSED: return step_parsed(dec, ret);
    case PH_DATA: return step_data(dec, in, ret);
    case PH_RECORDS: return step_records(dec, in, ret, diag);
    case PH_APPENDIX: return step_appendix(dec, in, ret);
    case PH_END: return event(dec, PBR_PXAR_EV_END, ret);
    case PH_FAILED: break;
    }
    return pbr_fail(diag, PBR_E_STATE, NULL, dec->pos, "decoder used after a failure");
}

int pbr_pxar_dec_step(struct pbr_pxar_dec *dec, struct pbr_span in, size_t *ret_used, struct pbr_pxar_event *ret,
                      struct pbr_diag *diag)
{
    struct pbr_cur cur = pbr_cur(in);
    int rc;
    do { /* every GO moves to a later phase of the item or takes bytes */
        rc = step_phase(dec, &cur, ret, diag);
    } while (rc == GO);
    if (rc < 0) {
        dec->phase = PH_FAILED;
        return rc;
    }
    if (rc == STARVED)
        event(dec, PBR_PXAR_EV_MORE, ret);
    *ret_used = cur.pos;
    return PBR_OK;
}

int pbr_pxar_dec_finish(struct pbr_pxar_dec *dec, struct pbr_pxar_event *ret, struct pbr_diag *diag)
{
    if (dec->phase == PH_END) {
        event(dec, PBR_PXAR_EV_END, ret);
        return PBR_OK;
    }
    const bool at_item = dec->phase == PH_HEADER && dec->hold.len == 0;
    if (dec->opts.subtree && at_item && dec->place == IN_ATTRS) { /* PXAR-267 */
        const int rc = finish_open_entry(dec, dec->pos, ret, diag);
        return rc < 0 ? rc : PBR_OK;
    }
    if (dec->phase == PH_FAILED)
        return pbr_fail(diag, PBR_E_STATE, NULL, dec->pos, "decoder used after a failure");
    dec->phase = PH_FAILED;
    return pbr_fail(diag, PBR_E_TRUNCATED, "PXAR-225", dec->pos, "unexpected EOF, the archive goes on here");
}
